//! cr-sqlite, linked into the program: native and wasm from one source.
//!
//! It stands below `store`, which calls [`init`] on every connection that it opens and [`finalize`] before it closes
//! one. It never registers itself for connections that it wasn't given (`sqlite3_auto_extension`), since a program
//! may load another build of cr-sqlite on some of its connections; and it never knows what is synced with whom.
//!
//! What a connection has after [`init`], and what the patches in `patch/` change about it, is in `README.md`.

use std::ffi::{CStr, c_char, c_int, c_void};

use rusqlite::Connection;
use sqlite_nostd as sqlite;

/// The version of cr-sqlite that is linked in.
pub const CRSQLITE_VERSION: &str = "0.16.3";

/// Why a connection could not be given, or rid of, cr-sqlite.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// cr-sqlite refused the connection: a database of a version before 0.15, one that can't be written and has no
    /// cr-sqlite tables yet, or no memory.
    #[error("cr-sqlite could not be added to the connection (SQLite code {code}): {message}")]
    Init {
        /// SQLite's result code, without the extended part.
        code: i32,
        /// cr-sqlite's message, or SQLite's own where it gave none.
        message: String,
    },
    /// The statements that cr-sqlite keeps could not be let go.
    #[error("cr-sqlite could not be finalized: {0}")]
    Finalize(#[source] rusqlite::Error),
}

unsafe extern "C" {
    /// cr-sqlite's entry point, in its C part.
    fn sqlite3_crsqlite_init(db: *mut rusqlite::ffi::sqlite3, message: *mut *mut c_char, api: *const c_void) -> c_int;
}

/// Adds cr-sqlite to one open connection: its functions, `crsql_changes`, and its commit and rollback hooks.
///
/// In a fresh database it creates its tables (`crsql_master`, `crsql_site_id`, `crsql_tracked_peers`) and a random
/// site id, so the connection must be writable the first time. A connection that has cr-sqlite already, by this
/// function or by a loaded extension, is left as it is.
///
/// A connection has one commit hook and one rollback hook, and these are now cr-sqlite's: setting others through
/// rusqlite (`commit_hook`, `rollback_hook`) would make it lose count of versions. The update hook is free.
///
/// # Errors
/// [`Error::Init`], and the connection is not to be used further for writes to synced tables.
pub fn init(conn: &Connection) -> Result<(), Error> {
    if is_ready(conn) {
        return Ok(());
    }
    let mut message: *mut c_char = std::ptr::null_mut();
    // SAFETY: the handle is open and stays so for the call, since `conn` is borrowed; `message` outlives the call.
    // With SQLITE_CORE the last argument isn't looked at.
    let code = unsafe { sqlite3_crsqlite_init(conn.handle(), &mut message, std::ptr::null()) };
    if code == rusqlite::ffi::SQLITE_OK {
        return Ok(());
    }
    Err(Error::Init { code, message: take_message(conn, message) })
}

/// Whether this connection has cr-sqlite, ours or another build of it.
pub fn is_ready(conn: &Connection) -> bool {
    conn.prepare("SELECT crsql_site_id()").is_ok()
}

/// Lets go of the statements that cr-sqlite keeps on this connection. Without it `sqlite3_close` finds them and
/// refuses. After it the connection is only to be closed.
///
/// # Errors
/// [`Error::Finalize`], where the connection has no cr-sqlite or is broken.
pub fn finalize(conn: &Connection) -> Result<(), Error> {
    conn.query_row("SELECT crsql_finalize()", [], |_| Ok(())).map_err(Error::Finalize)
}

/// cr-sqlite's own words, or SQLite's where it has none; frees the former.
fn take_message(conn: &Connection, message: *mut c_char) -> String {
    if message.is_null() {
        // SAFETY: the handle is open; the text is copied before anything else is called on it.
        return unsafe { CStr::from_ptr(rusqlite::ffi::sqlite3_errmsg(conn.handle())) }.to_string_lossy().into_owned();
    }
    // SAFETY: a C string in SQLite's memory that is handed to the caller, who frees it once.
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        rusqlite::ffi::sqlite3_free(message.cast());
        text
    }
}

/// Called by the C part: registers what is written in Rust, and returns the connection's state for cr-sqlite, or null.
///
/// # Safety
/// `db` is an open connection and `message` a place for a pointer, as SQLite gives them to an extension.
#[unsafe(no_mangle)]
unsafe extern "C" fn sqlite3_crsqlrustbundle_init(
    db: *mut sqlite::sqlite3,
    message: *mut *mut c_char,
    api: *mut sqlite::api_routines,
) -> *mut c_void {
    if crsql_fractindex_core::sqlite3_crsqlfractionalindex_init(db, message, api) != rusqlite::ffi::SQLITE_OK {
        return std::ptr::null_mut();
    }
    crsql_core::sqlite3_crsqlcore_init(db, message, api)
}
