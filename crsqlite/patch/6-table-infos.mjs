// Patch 6: what cr-sqlite remembers of the tables is compared with the schema on every use.
//
// Upstream looks once in a transaction, and takes commit and rollback hooks for its end, which reads don't fire. So a
// reader omits a new table for ever and fails on a new column; a writer whose schema another process changed drops
// the clock of the new column; and a schema that was rolled back, whose number is then used again, is never noticed.

const INFOS = "core/src/tableinfo.rs";

export default function apply(tree) {
  comparesEveryTime(tree);
  keepsWhatCursorsUse(tree);
}

/** Any difference counts, and is looked for on every use. */
function comparesEveryTime(tree) {
  // The number alone isn't enough: BEGIN; ALTER (5 to 6); ROLLBACK TO; another ALTER is 6 again. The statement that
  // reads it is prepared anew by SQLite whenever the schema that it was prepared with is gone, and SQLite counts that.
  tree.edit(
    "c/ext-data.h",
    "  int mergeEqualValues;\n",
    "  int mergeEqualValues;\n  int repreparedForDbVersion;\n  int repreparedForTableInfos;\n  int openCursors;\n  void *retiredTableInfos;\n",
  );
  tree.edit(
    "core/src/c.rs",
    "    pub mergeEqualValues: ::core::ffi::c_int,\n",
    `    pub mergeEqualValues: ::core::ffi::c_int,
    pub repreparedForDbVersion: ::core::ffi::c_int,
    pub repreparedForTableInfos: ::core::ffi::c_int,
    pub openCursors: ::core::ffi::c_int,
    pub retiredTableInfos: *mut ::core::ffi::c_void,
`,
  );
  tree.edit(
    "c/ext-data.c",
    "  crsql_init_table_info_vec(pExtData);\n",
    "  pExtData->repreparedForDbVersion = -1;\n  pExtData->repreparedForTableInfos = -1;\n  pExtData->openCursors = 0;\n" +
      "  pExtData->retiredTableInfos = 0;\n  crsql_init_table_info_vec(pExtData);\n",
  );
  tree.edit(
    "c/ext-data.c",
    /( +)sqlite3_reset\(pExtData->pPragmaSchemaVersionStmt\);\n +if \(which == DB_VERSION_SCHEMA_VERSION\)/g,
    (found, indent) =>
      `${indent}int reprepared = sqlite3_stmt_status(pExtData->pPragmaSchemaVersionStmt, SQLITE_STMTSTATUS_REPREPARE, 0);\n${found}`,
  );
  for (const [number, count] of [
    ["pragmaSchemaVersion", "repreparedForDbVersion"],
    ["pragmaSchemaVersionForTableInfos", "repreparedForTableInfos"],
  ]) {
    tree.edit(
      "c/ext-data.c",
      `if (version > pExtData->${number}) {`,
      `if (version != pExtData->${number} || reprepared != pExtData->${count}) {\n        pExtData->${count} = reprepared;`,
    );
  }
  // Once in a transaction is not enough.
  tree.edit(INFOS, /    let already_updated = unsafe [^;]*;\n    if already_updated \{[^}]*\}\n/g, "");
  // A look that failed (busy, no memory) has to be repeated.
  tree.edit(
    INFOS,
    /            Err\(e\) => \{\n                forget\(table_infos\);\n/g,
    (found) => `${found}                unsafe { (*ext_data).pragmaSchemaVersionForTableInfos = -1 };\n`,
  );
}

/** A cursor that is open while the tables are looked at again may still point to a statement of the old ones. */
function keepsWhatCursorsUse(tree) {
  tree.edit(
    INFOS,
    "                *table_infos = new_table_infos;\n",
    "                retire(ext_data, core::mem::replace(&mut *table_infos, new_table_infos));\n",
  );
  tree.append(
    INFOS,
    `
/// Puts away infos that are out of date until no cursor is open that may use their statements.
fn retire(ext_data: *mut crsql_ExtData, old: Vec<TableInfo>) {
    unsafe {
        if (*ext_data).openCursors == 0 {
            return;
        }
        if (*ext_data).retiredTableInfos.is_null() {
            let none: Vec<Vec<TableInfo>> = vec![];
            (*ext_data).retiredTableInfos = Box::into_raw(Box::new(none)) as *mut c_void;
        }
        (*((*ext_data).retiredTableInfos as *mut Vec<Vec<TableInfo>>)).push(old);
    }
}

/// Drops what was put away, with its statements. Called when the last cursor closes, and before the connection does.
#[no_mangle]
pub extern "C" fn crsql_drop_retired_table_infos(ext_data: *mut crsql_ExtData) {
    unsafe {
        if !(*ext_data).retiredTableInfos.is_null() {
            drop(Box::from_raw((*ext_data).retiredTableInfos as *mut Vec<Vec<TableInfo>>));
            (*ext_data).retiredTableInfos = core::ptr::null_mut();
        }
    }
}
`,
  );
  tree.edit(
    "c/ext-data.c",
    "void crsql_drop_table_info_vec(crsql_ExtData *pExtData);\n",
    "void crsql_drop_table_info_vec(crsql_ExtData *pExtData);\nvoid crsql_drop_retired_table_infos(crsql_ExtData *pExtData);\n",
  );
  // crsql_freeExtData and crsql_finalize.
  tree.edit(
    "c/ext-data.c",
    "  crsql_clear_stmt_cache(pExtData);\n",
    "  crsql_drop_retired_table_infos(pExtData);\n  crsql_clear_stmt_cache(pExtData);\n",
    2,
  );
  tree.edit(
    "c/changes-vtab.c",
    "int crsql_changes_next(sqlite3_vtab_cursor *cur);\n",
    "int crsql_changes_next(sqlite3_vtab_cursor *cur);\nvoid crsql_drop_retired_table_infos(crsql_ExtData *pExtData);\n",
  );
  tree.edit(
    "c/changes-vtab.c",
    "  pCur->pTab = (crsql_Changes_vtab *)p;\n",
    "  pCur->pTab = (crsql_Changes_vtab *)p;\n  pCur->pTab->pExtData->openCursors++;\n",
  );
  tree.edit(
    "c/changes-vtab.c",
    "  changesCrsrFinalize(pCur);\n  sqlite3_free(pCur);\n",
    `  crsql_ExtData *pExtData = pCur->pTab->pExtData;
  changesCrsrFinalize(pCur);
  sqlite3_free(pCur);
  if (--pExtData->openCursors == 0) {
    crsql_drop_retired_table_infos(pExtData);
  }
`,
  );
}
