// Patch 5: the sync bit is cleared on every way out of a merge.
//
// While a remote change is written, crsql_internal_sync_bit is 1, so that the triggers don't record it as a local one.
// Upstream sets and clears it by running statements. When the merge fails (a CHECK, a trigger's RAISE), the function
// returns before the one that clears; when the connection is being interrupted, that one fails. Either way every later
// local write of the connection goes unrecorded, with nothing to show for it. The bit is an int in memory: so it is
// set and cleared there, around the one statement that needs it, and cleared by a rollback too.

const WRITE = "core/src/changes_vtab_write.rs";

export default function apply(tree) {
  // The connection's state knows where the bit is.
  tree.edit("c/ext-data.h", "  int mergeEqualValues;\n", "  int mergeEqualValues;\n  int *pSyncBit;\n");
  tree.edit("c/ext-data.c", "  pExtData->mergeEqualValues = 0;\n", "  pExtData->mergeEqualValues = 0;\n  pExtData->pSyncBit = 0;\n");
  tree.edit(
    "core/src/c.rs",
    "    pub mergeEqualValues: ::core::ffi::c_int,\n",
    "    pub mergeEqualValues: ::core::ffi::c_int,\n    pub pSyncBit: *mut ::core::ffi::c_int,\n",
  );
  tree.edit(
    "core/src/lib.rs",
    /let ext_data = unsafe \{ crsql_newExtData\(.*\) \};\n    if ext_data\.is_null\(\) \{[^}]*\}\n/g,
    (found) => `${found}    unsafe { (*ext_data).pSyncBit = sync_bit_ptr };\n`,
  );

  tree.append(
    WRITE,
    `
/// Runs \`write\` with the sync bit set, and clears the bit whatever comes of it.
unsafe fn unrecorded<T>(ext_data: *mut crsql_ExtData, write: impl FnOnce() -> T) -> T {
    let bit = (*ext_data).pSyncBit;
    *bit = 1;
    let outcome = write();
    *bit = 0;
    outcome
}
`,
  );
  // The three merges: an insert or update, a sentinel, a delete.
  const set = String.raw`\(\*(?<data>ext_data|\(\*tab\)\.pExtData)\)\s*\.pSetSyncBitStmt\s*\.step\(\)`;
  const reset = String.raw`\s*\.and_then\(\|_\| \(\*\k<data>\)\.pSetSyncBitStmt\.reset\(\)\)`;
  const write = String.raw`\s*\.and_then\(\|_\| (?<statement>\w+)\.step\(\)\)`;
  tree.edit(
    WRITE,
    new RegExp(set + reset + write, "g"),
    (...found) => {
      const { data, statement } = found.at(-1);
      return `unrecorded(${data}, || ${statement}.step())`;
    },
    3,
  );
  tree.edit(WRITE, /\n    let sync_rc = (?:unsafe \{)?[^;]*pClearSyncBitStmt[^;]*;\n/g, "\n", 3);
  tree.edit(WRITE, /    if let Err\(sync_rc\) = sync_rc \{\n        return Err\(sync_rc\);\n    \}\n/g, "", 3);

  // Who sets the bit by hand and then rolls back doesn't leave it behind either.
  tree.edit(
    "c/crsqlite.c",
    /static void rollbackHook\(void \*pUserData\) \{\n.*pUserData;\n/g,
    (found) => `${found}\n  *pExtData->pSyncBit = 0;`,
  );
}
