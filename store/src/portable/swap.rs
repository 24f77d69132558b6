//! Putting a file in a database's place in one step, while nobody has that open.
//!
//! Where in the flow: the end of a pull. Whoever is killed on the way leaves the old database or the new one, each
//! without a log that is not its own. Never removes the old one: it stays under another name.

use std::io::ErrorKind;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{BUSY_LIMIT, Event, PortableError, Present, Step, Watch, present};
use crate::{backup, restore};

/// What takes whose place.
#[derive(Clone, Copy, Debug)]
pub struct Swap<'a> {
    /// The file that is ready, on disk, in the folder of the database.
    pub ready: &'a Path,
    /// The database; need not be there.
    pub target: &'a Path,
    /// The name that the present one keeps; what has it already is replaced.
    pub kept: &'a Path,
    /// What the present one is, as far as the caller knows; `None` where it does not matter.
    pub expected: Option<&'a Present>,
}

/// Swaps. Tells whether something was there before, which is kept.
///
/// # Errors
/// [`PortableError`]; the database is as it was.
pub fn swap(order: &Swap<'_>, watch: Watch<'_>) -> Result<bool, PortableError> {
    let folder = order.target.parent().unwrap_or(Path::new(""));
    let is_there = match std::fs::symlink_metadata(order.target) {
        Ok(entry) if entry.is_file() => true,
        Ok(_) => return Err(PortableError::NotAFile),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(backup::fault_of(error).into()),
    };
    if !is_there {
        // A log without its file is somebody else's, and would be played into the new one.
        for ending in ["-wal", "-shm", "-journal"] {
            restore::remove(&restore::beside(order.target, ending))?;
        }
        place(order, folder, watch)?;
        return Ok(false);
    }
    // One file without a log, which nobody has open: switching the log off needs the database for oneself.
    let conn = Connection::open_with_flags(order.target, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.busy_timeout(BUSY_LIMIT)?;
    let mode = |mode: &str| conn.query_row(mode, [], |row| row.get::<_, String>(0));
    let had_log = mode("PRAGMA journal_mode")? == "wal";
    if mode("PRAGMA journal_mode = DELETE")? != "delete" {
        return Err(PortableError::Busy);
    }
    let placed = replace(order, &conn, folder, watch);
    if placed.is_err() && had_log {
        // The database is to be as it was; one that can't have its log back works without.
        drop(conn.execute_batch("ROLLBACK"));
        drop(mode("PRAGMA journal_mode = WAL"));
    }
    placed.map(|()| true)
}

fn replace(order: &Swap<'_>, conn: &Connection, folder: &Path, watch: Watch<'_>) -> Result<(), PortableError> {
    let version = || conn.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
    let before = version()?;
    keep(order)?;
    backup::sync_folder(folder)?;
    watch(Event::Reached(Step::Kept));
    // Held until the new file has the name: nobody begins to write into the old one on the way.
    conn.execute_batch("BEGIN EXCLUSIVE")?;
    let is_expected = order.expected.map_or(Ok(true), |expected| present(conn).map(|now| now == *expected))?;
    if version()? != before || !is_expected || restore::beside(order.target, "-wal").exists() {
        return Err(PortableError::Moved);
    }
    place(order, folder, watch)
}

fn place(order: &Swap<'_>, folder: &Path, watch: Watch<'_>) -> Result<(), PortableError> {
    std::fs::rename(order.ready, order.target).map_err(backup::fault_of)?;
    backup::sync_folder(folder)?;
    watch(Event::Reached(Step::Placed));
    Ok(())
}

/// Gives the present file a second name; where the file system has no such thing, a copy has it.
fn keep(order: &Swap<'_>) -> Result<(), PortableError> {
    let part = restore::beside(order.kept, ".part");
    restore::remove(&part)?;
    if std::fs::hard_link(order.target, &part).is_err() {
        std::fs::copy(order.target, &part).map_err(backup::fault_of)?;
        backup::sync_file(&part)?;
    }
    std::fs::rename(&part, order.kept).map_err(backup::fault_of)?;
    // Two names of one file are not renamed but left.
    Ok(restore::remove(&part)?)
}
