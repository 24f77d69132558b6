// Patch 2: memory handed to SQLite comes from SQLite's allocator.
//
// Upstream makes sqlite3_malloc the global allocator of its library, so that a Rust string may be given away and
// freed by sqlite3_free. Linked into a program with its own allocator that is heap corruption. So it is copied:
// errors and index strings into sqlite3_malloc's memory, values by SQLite itself (SQLITE_TRANSIENT).

const CAPI = "sqlite-rs-embedded/sqlite3_capi/src/capi.rs";
const NOSTD = "sqlite-rs-embedded/sqlite_nostd/src/nostd.rs";

/** Turns every `x.into_raw()` of a C string in `file` into a copy owned by SQLite. */
function copyStrings(tree, file, crate, times) {
  tree.edit(file, /\b(err|cstring|s|e|f)\.into_raw\(\)/g, (_, name) => `${crate}::sqlite_owned(${name})`, times);
}

export default function apply(tree) {
  tree.append(
    CAPI,
    `
/// A copy of \`text\` in memory that SQLite owns and frees; null when there is none left.
pub fn sqlite_owned(text: CString) -> *mut c_char {
    let bytes = text.as_bytes_with_nul();
    let copy = malloc(bytes.len());
    if !copy.is_null() {
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len()) }
    }
    copy as *mut c_char
}
`,
  );
  copyStrings(tree, NOSTD, "sqlite3_capi", 3);
  copyStrings(tree, "core/src/bootstrap.rs", "sqlite_nostd", 1);
  copyStrings(tree, "core/src/changes_vtab.rs", "sqlite_nostd", 4);
  copyStrings(tree, "core/src/changes_vtab_write.rs", "sqlite_nostd", 9);
  copyStrings(tree, "core/src/unpack_columns_vtab.rs", "sqlite_nostd", 4);

  // Values: SQLite copies, and our buffer is dropped as any other.
  tree.edit(NOSTD, /let \(ptr, len, _\) = (text|blob|val)\.into_raw_parts\(\);/g, (_, name) => `let (ptr, len) = (${name}.as_ptr(), ${name}.len());`, 4);
  tree.edit(NOSTD, "Destructor::CUSTOM(droprust)", "Destructor::TRANSIENT", 4);

  // The index string of a query on crsql_changes, which SQLite frees (needToFreeIdxStr).
  tree.edit(
    "core/src/changes_vtab.rs",
    "let (ptr, _, _) = str.into_raw_parts();",
    `let ptr = sqlite::malloc(str.len());
        if ptr.is_null() {
            return Err(ResultCode::NOMEM);
        }
        core::ptr::copy_nonoverlapping(str.as_ptr(), ptr, str.len());`,
  );
  // The result of crsql_as_crr's failure: sqlite3_result_error copies the message and nobody frees it.
  tree.edit(
    "core/src/lib.rs",
    "sqlite::result_error(ctx, err_msg, -1);",
    "sqlite::result_error(ctx, err_msg, -1);\n        sqlite::free(err_msg as *mut c_void);",
  );
}
