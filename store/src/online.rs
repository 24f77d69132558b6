//! A backup of a database that may be in use: a consistent copy, checked before it has its name.
//!
//! Where in the flow: beside it; an operator's command, and the server's own schedule. Reads what was committed when it
//! began and holds nobody up. Never overwrites a file, and never leaves half a copy under the name of a whole one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use greenlight_core::replica::{Fault, FaultKind};
use greenlight_core::{Cursor, Lineage, SchemaId};
use rusqlite::OpenFlags;
use rusqlite::backup::{Backup, StepResult};
use thiserror::Error;

use crate::backup::{self, Backups, Kind};
use crate::connection::Connection;
use crate::fault::from_sqlite;
use crate::limits::{BACKUP_STEP_PAGES, CHECK_STEPS};
use crate::restore::{self, RestoreError, remove};
use crate::{facts, state};

/// Where a backup goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupPlace {
    /// A file that must not be there yet.
    File(PathBuf),
    /// The folder of copies, under a name with the time; of those that were made so, the oldest go.
    Kept(Backups),
}

/// A backup that was made and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// The file.
    pub file: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// The schema that it follows.
    pub schema: SchemaId,
    /// Whose it is.
    pub lineage: Lineage,
    /// Where its history stands.
    pub head: Cursor,
}

/// Why there is no backup; what was there before is as it was.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BackupError {
    /// The database can't be read.
    #[error("the database can't be read: {}", .0.message)]
    Source(Fault),
    /// A file of that name is there.
    #[error("there is a file of that name already")]
    Taken,
    /// The copy is damaged, and so is the database; SQLite's first findings.
    #[error("the database is damaged: {}", .0.join("; "))]
    Damaged(Vec<String>),
    /// The file is something else.
    #[error("it is not a database of a Greenlight server ({0})")]
    NotAServers(String),
    /// Whoever asked wants it no more.
    #[error("it was stopped")]
    Stopped,
    /// The disk.
    #[error("the copy could not be written: {}", .0.message)]
    Fault(#[from] Fault),
}

/// Copies the database at `source` as it was last committed, checks the copy, has it on disk, and gives it its name.
/// Ends soon after `stop` is set. One at a time for each place: the caller sees to that.
///
/// # Errors
/// [`BackupError`]; then there is no new file.
pub fn back_up(
    source: &Path,
    place: &BackupPlace,
    now_ms: i64,
    stop: &Arc<AtomicBool>,
) -> Result<BackedUp, BackupError> {
    let (folder, name) = match place {
        BackupPlace::File(file) if std::fs::symlink_metadata(file).is_ok() => return Err(BackupError::Taken),
        BackupPlace::File(file) => (file.parent().unwrap_or(Path::new("")).to_owned(), backup::name_of(file)),
        BackupPlace::Kept(backups) => {
            backup::make_folder(&backups.folder)?;
            (backups.folder.clone(), backup::name_of(source))
        }
    };
    // Apart from that of a migration, which a server may be making beside this.
    let part = folder.join(format!(".{name}.backup.part"));
    // What another one left that was killed.
    remove(&part)?;
    let made = write(source, &part, stop).and_then(|()| check(&part, stop)).and_then(|mut made| {
        backup::sync_file(&part)?;
        made.file = match place {
            BackupPlace::File(file) => file.clone(),
            BackupPlace::Kept(backups) => backup::free_place(backups, &name, Kind::Backup, now_ms),
        };
        place_file(&part, &made.file)?;
        backup::sync_folder(&folder)?;
        Ok(made)
    });
    let made = made.inspect_err(|_| drop(remove(&part)))?;
    if let BackupPlace::Kept(backups) = place {
        backup::prune(backups, &name, Kind::Backup);
    }
    Ok(made)
}

/// Gives the copy its name, unlike a rename without taking anybody's place; by a rename where the file system has no
/// other way.
fn place_file(part: &Path, file: &Path) -> Result<(), BackupError> {
    match std::fs::hard_link(part, file) {
        Ok(()) => Ok(remove(part)?),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(BackupError::Taken),
        Err(_) => Ok(std::fs::rename(part, file).map_err(backup::fault_of)?),
    }
}

/// When the newest backup of a database was made that is kept in the folder of copies, and its length.
pub fn last_backup(backups: &Backups, database: &Path) -> Option<(SystemTime, u64)> {
    let newest = backup::copies(backups, &backup::name_of(database), Kind::Backup).pop()?;
    let facts = std::fs::metadata(newest).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}

/// Copies within one read transaction, in steps between which it can be stopped.
fn write(source: &Path, part: &Path, stop: &AtomicBool) -> Result<(), BackupError> {
    let unreadable = |error| BackupError::Source(from_sqlite(error));
    let present = std::fs::metadata(source).map_err(|error| BackupError::Source(backup::fault_of(error)))?;
    let reader = Connection::open_reader(source).map_err(BackupError::Source)?;
    reader.execute_batch("BEGIN").map_err(unreadable)?;
    // Reads the first page: now it is decided which moment is copied, and what is no database fails.
    reader.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(unreadable)?;
    backup::create_like(part, &present)?;
    let mut file = rusqlite::Connection::open(part).map_err(from_sqlite)?;
    let copying = Backup::new(&reader, &mut file).map_err(from_sqlite)?;
    while copying.step(BACKUP_STEP_PAGES).map_err(from_sqlite)? != StepResult::Done {
        if stop.load(Ordering::Acquire) {
            return Err(BackupError::Stopped);
        }
    }
    drop(copying);
    // One file, without a log beside it.
    Ok(file.execute_batch("PRAGMA journal_mode = DELETE").map_err(from_sqlite)?)
}

/// Opens the copy as a restore would, and lets it say what it is.
fn check(part: &Path, stop: &Arc<AtomicBool>) -> Result<BackedUp, BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let mut conn = rusqlite::Connection::open_with_flags(part, flags).map_err(from_sqlite)?;
    let stopped = stop.clone();
    conn.progress_handler(CHECK_STEPS, Some(move || stopped.load(Ordering::Acquire))).map_err(from_sqlite)?;
    let checked = restore::whole_and_a_servers(&conn);
    if stop.load(Ordering::Acquire) {
        return Err(BackupError::Stopped);
    }
    let schema = checked.map_err(|error| match error {
        RestoreError::Damaged(findings) => BackupError::Damaged(findings),
        RestoreError::NotAServers(role) => BackupError::NotAServers(role),
        RestoreError::Fault(fault) => BackupError::Fault(fault),
        other => BackupError::Fault(Fault { kind: FaultKind::Internal, message: other.to_string() }),
    })?;
    let (lineage, head) = (facts::lineage(&conn)?, state::head(&conn)?);
    let bytes = std::fs::metadata(part).map_err(backup::fault_of)?.len();
    Ok(BackedUp { file: PathBuf::new(), bytes, schema: schema.id().clone(), lineage, head })
}
