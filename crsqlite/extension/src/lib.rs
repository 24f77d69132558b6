//! cr-sqlite as a loadable extension, from the same patched source as the crate: for the `sqlite3` shell, Python and
//! every other program that writes to a database which Greenlight keeps in step. It takes the place of upstream's.
//!
//! It never links SQLite: it uses the one that loads it.

use std::ffi::{c_char, c_int, c_void};

use sqlite_nostd as sqlite;

const SQLITE_OK: c_int = 0;

unsafe extern "C" {
    /// The C part's entry point, under the name that build.rs gives it.
    fn crsqlite_init_c(
        db: *mut sqlite::sqlite3,
        message: *mut *mut c_char,
        api: *const sqlite::api_routines,
    ) -> c_int;
}

/// What SQLite looks for in a file named `crsqlite`.
///
/// # Safety
/// Called by SQLite with an open connection, a place for a message, and its table of functions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_crsqlite_init(
    db: *mut sqlite::sqlite3,
    message: *mut *mut c_char,
    api: *const sqlite::api_routines,
) -> c_int {
    // SAFETY: what SQLite handed to us is handed on.
    unsafe { crsqlite_init_c(db, message, api) }
}

/// Called by the C part: registers what is written in Rust, and returns the connection's state for cr-sqlite, or null.
///
/// # Safety
/// As for [`sqlite3_crsqlite_init`].
#[unsafe(no_mangle)]
unsafe extern "C" fn sqlite3_crsqlrustbundle_init(
    db: *mut sqlite::sqlite3,
    message: *mut *mut c_char,
    api: *mut sqlite::api_routines,
) -> *mut c_void {
    sqlite::EXTENSION_INIT2(api);
    if crsql_fractindex_core::sqlite3_crsqlfractionalindex_init(db, message, api) != SQLITE_OK {
        return std::ptr::null_mut();
    }
    crsql_core::sqlite3_crsqlcore_init(db, message, api)
}
