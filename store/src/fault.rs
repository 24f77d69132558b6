//! SQLite's errors as the faults that sessions understand: the only file that knows both.
//!
//! Where in the flow: every method of the store ends here when it fails. Never lets the path of a file out.

use greenlight_core::replica::{Fault, FaultKind};
use rusqlite::ErrorCode;

/// A [`Fault`] of SQLite's making.
pub(crate) fn from_sqlite(error: rusqlite::Error) -> Fault {
    let kind = kind_of(&error);
    Fault { kind, message: sentence(&error) }
}

/// Whether one change is to blame and can be put aside, rather than the disk, the file or the connection. After a read
/// that failed, cr-sqlite's statements may stand half-way, and every later change is answered with misuse.
pub(crate) fn is_change_to_blame(error: &rusqlite::Error) -> bool {
    let is_ours = matches!(error.sqlite_error_code(), Some(ErrorCode::OutOfMemory | ErrorCode::ApiMisuse));
    kind_of(error) == FaultKind::Internal && !is_ours
}

/// A fault that is the store's own finding.
pub(crate) fn internal(message: impl Into<String>) -> Fault {
    Fault { kind: FaultKind::Internal, message: message.into() }
}

/// A request that does not follow what the store holds.
pub(crate) fn out_of_order(message: impl Into<String>) -> Fault {
    Fault { kind: FaultKind::OutOfOrder, message: message.into() }
}

/// What SQLite says, as it may be shown.
pub(crate) fn sentence(error: &rusqlite::Error) -> String {
    match error {
        // SQLite and rusqlite name the file here, and a path of this machine is nobody's business.
        _ if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => "unable to open the database file".to_owned(),
        rusqlite::Error::InvalidPath(_) => "unable to open the database file".to_owned(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        _ => error.to_string(),
    }
}

fn kind_of(error: &rusqlite::Error) -> FaultKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => FaultKind::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => FaultKind::ReadOnly,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            FaultKind::Busy
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => FaultKind::Corrupt,
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::NoLargeFileSupport) => FaultKind::Io,
        _ => FaultKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_never_told() {
        let error = rusqlite::Connection::open("/nowhere/secret/shop").unwrap_err();
        let fault = from_sqlite(error);
        assert_eq!(fault.kind, FaultKind::Io);
        assert!(!fault.message.contains("secret"), "{}", fault.message);
    }

    #[test]
    fn a_full_disk_is_known() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        conn.execute_batch("PRAGMA max_page_count = 2; CREATE TABLE a (x)").unwrap();
        let error = conn.execute("INSERT INTO a VALUES (zeroblob(100000))", []).unwrap_err();
        assert!(!is_change_to_blame(&error));
        assert_eq!(from_sqlite(error).kind, FaultKind::Full);
    }
}
