//! Backups of a server's database, and putting one back.
//!
//! Where in the flow: outside of sync, while no server has the database open. A restore beside a live write-ahead log
//! would silently replay that log over the old file, so it is folded in and removed first. Never leaves a mixture: at
//! every moment the name leads to the whole old database or to the whole new one.

use std::fs::File;
use std::path::{Path, PathBuf};

use greenlight_core::replica::Fault;
use greenlight_core::{Epoch, Lineage, SiteId, Version};
use rusqlite::Connection;
use thiserror::Error;

use crate::connection::Connection as Reading;
use crate::database::Role;
use crate::fault::from_sqlite;
use crate::reader::schema_of;
use crate::state::{self, key};
use crate::tables::tables;
use crate::{facts, identity, snapshot};

/// What clients are to make of a restored database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It was lost and comes back: the same site in a new epoch. Clients offer what they have, so that nothing of what
    /// was written since the backup is lost.
    AfterLoss,
    /// What was written since the backup is to be undone: another site. Clients are told that it is not what they
    /// followed, and keep what they have in a bundle.
    AsUndo,
}

/// Why a database could not be backed up or restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The backup is no server's database, or is damaged.
    #[error("the backup can't be used: {0}")]
    Backup(String),
    /// Another process has the database open.
    #[error("the database is in use; stop the server first")]
    InUse,
    /// A file could not be written, moved or read.
    #[error("{0}: {1}")]
    File(&'static str, std::io::Error),
    /// SQLite failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Writes a consistent copy of a database, which may be in use, to a new file, and flushes it.
///
/// # Errors
/// [`RestoreError`]; then there is no such file.
pub fn back_up(database: &Path, copy: &Path) -> Result<(), RestoreError> {
    let part = beside(copy, ".part");
    remove(&part)?;
    let conn = Reading::open_reader(database)?;
    conn.execute_batch("BEGIN").map_err(from_sqlite)?;
    snapshot::copy(&conn, &part)?;
    conn.execute_batch("COMMIT").map_err(from_sqlite)?;
    flush(&part)?;
    rename(&part, copy)
}

/// Puts a backup in the place of a database. What is there now is kept as `kept`, a file that must not exist.
/// `random` are three random numbers: for the new epoch, and for an undo the new site id.
///
/// # Errors
/// [`RestoreError`]; then the database is what it was.
pub fn restore(
    database: &Path,
    backup: &Path,
    kept: &Path,
    how: Restored,
    random: [u64; 3],
) -> Result<Lineage, RestoreError> {
    let fresh = beside(database, ".restoring");
    remove(&fresh)?;
    let lineage = prepare(backup, &fresh, how, random)?;
    if database.exists() {
        // Fails where another process has it open. Afterwards all of it is in the one file.
        fold_log(database)?;
        back_up(database, kept)?;
    }
    rename(&fresh, database)?;
    Ok(lineage)
}

/// A copy of the backup that is what the database is to be.
fn prepare(backup: &Path, fresh: &Path, how: Restored, [epoch, high, low]: [u64; 3]) -> Result<Lineage, RestoreError> {
    let unusable = |fault: Fault| RestoreError::Backup(fault.message);
    let schema = schema_of(backup).map_err(unusable)?;
    back_up(backup, fresh)?;
    let conn = Connection::open(fresh).map_err(from_sqlite)?;
    let sound: String = state::one(&conn, "PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(unusable)?;
    if sound != "ok" {
        return Err(RestoreError::Backup(format!("it is damaged: {sound}")));
    }
    let role: Option<String> = state::get(&conn, key::ROLE)?;
    if role.as_deref() != Some(Role::Server.name()) {
        return Err(RestoreError::Backup("it is not a server's database".to_owned()));
    }
    conn.execute_batch("BEGIN IMMEDIATE").map_err(from_sqlite)?;
    if how == Restored::AsUndo {
        let (high, low) = (high.to_be_bytes(), low.to_be_bytes());
        let site = SiteId(std::array::from_fn(|at| if at < 8 { high[at] } else { low[at - 8] }));
        let everything = Version::new(greenlight_core::limits::MAX_VERSION).unwrap_or_default();
        identity::reattribute(&conn, &tables(&schema), site, everything)?;
        state::run(&conn, "DELETE FROM greenlight_peer", [])?;
    }
    state::set(&conn, key::EPOCH, Epoch(epoch).0 as i64)?;
    let lineage = facts::lineage(&conn)?;
    conn.execute_batch("COMMIT").map_err(from_sqlite)?;
    drop(conn);
    flush(fresh)?;
    Ok(lineage)
}

/// Folds the write-ahead log into the file and removes it; only one who has the file to himself can.
fn fold_log(database: &Path) -> Result<(), RestoreError> {
    let conn = Connection::open(database).map_err(from_sqlite)?;
    let alone = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;";
    let mode = conn
        .execute_batch(alone)
        .and_then(|()| conn.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0)));
    match mode {
        Ok(mode) if mode == "delete" => Ok(()),
        Ok(_) => Err(RestoreError::InUse),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Err(RestoreError::InUse),
        Err(error) => Err(from_sqlite(error).into()),
    }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // A leading dot: no database has such a name.
    file.with_file_name(format!(".{name}{ending}"))
}

fn remove(file: &Path) -> Result<(), RestoreError> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RestoreError::File("a file of an earlier attempt can't be removed", error))
        }
        _ => Ok(()),
    }
}

fn flush(file: &Path) -> Result<(), RestoreError> {
    let synced = File::open(file).and_then(|file| file.sync_all());
    synced.map_err(|error| RestoreError::File("a file could not be flushed to disk", error))
}

/// Renames and makes that durable.
fn rename(from: &Path, to: &Path) -> Result<(), RestoreError> {
    std::fs::rename(from, to).map_err(|error| RestoreError::File("a file could not be moved into place", error))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    flush(folder)
}
