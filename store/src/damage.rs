//! A server's file that is damaged: found before anybody is served from it, and set aside with all that lies beside it.
//!
//! Where in the flow: before a server opens a file, and beside one that is open. What is set aside is the only sign that
//! there was a database, so as long as it lies there and the file's place is empty, nothing may be made in that place.
//! Never deletes anything, and never changes a byte of what it finds.

use std::path::{Path, PathBuf};

use greenlight_core::replica::{Fault, FaultKind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::backup::{self, Backups, Kind};
use crate::crash::{self, Point};
use crate::fault::{from_sqlite, sentence};
use crate::limits::BUSY_TIMEOUT;
use crate::restore::beside;

/// SQLite's steps between two questions whether to go on.
const CHECK_STEPS: i32 = 100_000;
/// Findings that SQLite is asked for. More than are told, since some are no damage.
const FINDINGS: usize = 100;
/// Findings that are told.
const TOLD: usize = 3;
/// What SQLite keeps beside a file, without which the file is less than it was.
const BESIDE: [&str; 3] = ["-wal", "-journal", "-shm"];

/// What a look at a file found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examined {
    /// Every page is what it should be.
    Whole,
    /// Looking took too long, or was ended.
    Unfinished,
    /// It is damaged; in SQLite's words.
    Damaged(String),
}

/// Looks at every page of a file, its log included. Indexes are not compared with their tables. `goes_on` is asked every
/// now and then.
///
/// # Errors
/// Any [`Fault`] that says nothing about the file: the disk fails, somebody has it locked.
pub fn examine(file: &Path, goes_on: impl FnMut() -> bool + Send + 'static) -> Result<Examined, Fault> {
    let length = std::fs::metadata(file).map_err(backup::fault_of)?.len();
    if length == 0 {
        // SQLite would take it for a new database.
        return Ok(Examined::Damaged("the file is empty".to_owned()));
    }
    match findings(file, goes_on) {
        Ok(found) if found.is_empty() => Ok(Examined::Whole),
        Ok(found) => Ok(Examined::Damaged(found[..found.len().min(TOLD)].join("; "))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(Examined::Unfinished),
        Err(error) => {
            let words = sentence(&error);
            let fault = from_sqlite(error);
            if fault.kind == FaultKind::Corrupt { Ok(Examined::Damaged(words)) } else { Err(fault) }
        }
    }
}

fn findings(file: &Path, mut goes_on: impl FnMut() -> bool + Send + 'static) -> rusqlite::Result<Vec<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(file, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    // Closing must not fold the log of a damaged file into it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.progress_handler(CHECK_STEPS, Some(move || !goes_on()))?;
    let mut check = conn.prepare(&format!("PRAGMA quick_check({FINDINGS})"))?;
    let found = check.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().filter(|finding| finding != "ok" && !is_about_a_value(finding)).collect())
}

/// A row that breaks a rule of its table is an app's business: the file is whole.
fn is_about_a_value(finding: &str) -> bool {
    finding.starts_with("CHECK constraint failed in ") || finding.contains(" value in ")
}

/// Moves a file and what lies beside it to the copies, on disk before it returns. Nobody may have it open.
///
/// # Errors
/// Any [`Fault`]; the file is where it was, or what is missing is done by [`set_aside_as`].
pub fn set_aside(file: &Path, backups: &Backups, now_ms: i64) -> Result<PathBuf, Fault> {
    backup::make_folder(&backups.folder)?;
    let place = backup::free_place(backups, &backup::name_of(file), Kind::Damaged, now_ms);
    // The file first: without it nobody reads its log, and with the copy nobody makes another in its place.
    std::fs::rename(file, &place).map_err(backup::fault_of)?;
    sync_both(file, backups)?;
    crash::point(Point::DamageMoved);
    move_rest(file, &place)?;
    sync_both(file, backups)?;
    Ok(place)
}

/// Where a file was set aside, if nothing took its place since. Finishes what was cut off.
///
/// # Errors
/// Any [`Fault`].
pub fn set_aside_as(file: &Path, backups: &Backups) -> Result<Option<PathBuf>, Fault> {
    if std::fs::symlink_metadata(file).is_ok() {
        return Ok(None);
    }
    let Some(place) = backup::copies(backups, &backup::name_of(file), Kind::Damaged).pop() else { return Ok(None) };
    move_rest(file, &place)?;
    Ok(Some(place))
}

/// Moves what is left beside a file that was moved already. A log that is there already is kept: it was the file's.
fn move_rest(file: &Path, place: &Path) -> Result<(), Fault> {
    for ending in BESIDE {
        let (from, to) = (beside(file, ending), beside(place, ending));
        if from.exists() && !to.exists() {
            std::fs::rename(from, to).map_err(backup::fault_of)?;
        }
    }
    Ok(())
}

fn sync_both(file: &Path, backups: &Backups) -> Result<(), Fault> {
    backup::sync_folder(&backups.folder)?;
    file.parent().map_or(Ok(()), backup::sync_folder)
}

/// The names of all files that were set aside.
pub fn names_set_aside(backups: &Backups) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(&backups.folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| backup::owner_of(&entry.file_name(), Kind::Damaged)).collect();
    names.sort_unstable();
    names.dedup();
    names
}
