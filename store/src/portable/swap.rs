//! Putting a file in a database's place in one step, while nobody has that open.
//!
//! Where in the flow: the end of a pull. Whoever is killed on the way leaves the old database or the new one, each
//! without a log that is not its own. Never removes the old one: it stays under another name, and what had that name
//! before goes only once the new one is there.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use greenlight_core::replica::Fault;
use rusqlite::{Connection, OpenFlags};

use super::{BUSY_LIMIT, Event, PortableError, Present, Step, Watch, present};
use crate::{backup, restore};

/// What a log that lies about without its database is called from then on.
const ASIDE: &str = ".aside";
/// Logs without a database that are kept under that name, each with a number.
const ASIDE_LIMIT: u32 = 100;

/// A database that is about to be replaced, from before anything of it was copied: whether anybody has written to it
/// since. What shows movement tells nothing of tables that are this machine's alone.
#[derive(Debug)]
pub struct Watched {
    conn: Connection,
    version: i64,
}

impl Watched {
    /// Watches a database; `None` where there is none.
    ///
    /// # Errors
    /// [`PortableError`].
    pub fn begin(target: &Path) -> Result<Option<Self>, PortableError> {
        match std::fs::symlink_metadata(target) {
            Ok(entry) if entry.is_file() => {}
            Ok(_) => return Err(PortableError::NotAFile),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(backup::fault_of(error).into()),
        }
        let conn = open(target)?;
        let version = data_version(&conn)?;
        Ok(Some(Self { conn, version }))
    }
}

fn open(target: &Path) -> Result<Connection, PortableError> {
    let conn = Connection::open_with_flags(target, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.busy_timeout(BUSY_LIMIT)?;
    Ok(conn)
}

/// A number that changes when another connection commits.
fn data_version(conn: &Connection) -> Result<i64, PortableError> {
    Ok(conn.query_row("PRAGMA data_version", [], |row| row.get(0))?)
}

/// What takes whose place.
#[derive(Debug)]
pub struct Swap<'a> {
    /// The file that is ready, on disk, in the folder of the database.
    pub ready: &'a Path,
    /// The database; need not be there.
    pub target: &'a Path,
    /// The present one, which nobody else may have written to since; `None` where `expected` tells enough.
    pub watched: Option<Watched>,
    /// The name that the present one keeps; what has it already is replaced, once the new one is in place.
    pub kept: &'a Path,
    /// What the present one is, as far as the caller knows; `None` where it does not matter.
    pub expected: Option<&'a Present>,
}

/// Swaps. Tells whether something was there before, which is kept.
///
/// # Errors
/// [`PortableError`]; the database is as it was.
pub fn swap(mut order: Swap<'_>, watch: Watch<'_>) -> Result<bool, PortableError> {
    let is_there = match std::fs::symlink_metadata(order.target) {
        Ok(entry) if entry.is_file() => true,
        Ok(_) => return Err(PortableError::NotAFile),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(backup::fault_of(error).into()),
    };
    if !is_there {
        set_logs_aside(order.target)?;
        std::fs::rename(order.ready, order.target).map_err(backup::fault_of)?;
        tell_placed(folder_of(order.target), watch)?;
        return Ok(false);
    }
    let (conn, seen) = match order.watched.take() {
        Some(watched) => (watched.conn, Some(watched.version)),
        None => (open(order.target)?, None),
    };
    let mode = |mode: &str| conn.query_row(mode, [], |row| row.get::<_, String>(0));
    let had_log = mode("PRAGMA journal_mode")? == "wal";
    let seen = if had_log { fold_in(&conn, seen)? } else { seen.map_or_else(|| data_version(&conn), Ok)? };
    let placed = replace(&order, &conn, seen, watch);
    if placed.is_err() && had_log {
        // The database is to be as it was; one that can't have its log back works without.
        drop(conn.execute_batch("ROLLBACK"));
        drop(mode("PRAGMA journal_mode = WAL"));
    }
    placed.map(|()| true)
}

/// Makes one file of a database with a log, which nobody else has open: switching the log off needs the database for
/// oneself. That changes what is seen of it, so nobody else gets in between the two. Gives what is to be seen from now on.
fn fold_in(conn: &Connection, seen: Option<i64>) -> Result<i64, PortableError> {
    let mode = |mode: &str| conn.query_row(mode, [], |row| row.get::<_, String>(0));
    mode("PRAGMA locking_mode = EXCLUSIVE")?;
    conn.execute_batch("BEGIN EXCLUSIVE")?;
    let now = data_version(conn)?;
    conn.execute_batch("ROLLBACK")?;
    if seen.is_some_and(|seen| seen != now) {
        return Err(PortableError::Moved);
    }
    if mode("PRAGMA journal_mode = DELETE")? != "delete" {
        return Err(PortableError::Busy);
    }
    let now = data_version(conn)?;
    // Let go of, by reading, while the present file gets its second name: should that be a copy, closing it would give up
    // all locks without SQLite's knowing. Whoever writes meanwhile is noticed.
    mode("PRAGMA locking_mode = NORMAL")?;
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(now)
}

fn replace(order: &Swap<'_>, conn: &Connection, seen: i64, watch: Watch<'_>) -> Result<(), PortableError> {
    let folder = folder_of(order.target);
    let mut kept = Kept::prepare(order)?;
    // Held until the new file has the name: nobody begins to write into the old one on the way.
    conn.execute_batch("BEGIN EXCLUSIVE")?;
    let is_expected = order.expected.map_or(Ok(true), |expected| present(conn).map(|now| now == *expected))?;
    if data_version(conn)? != seen || !is_expected || restore::beside(order.target, "-wal").exists() {
        return Err(PortableError::Moved);
    }
    kept.give_name(folder)?;
    watch(Event::Reached(Step::Kept));
    std::fs::rename(order.ready, order.target).map_err(backup::fault_of)?;
    kept.is_placed = true;
    tell_placed(folder, watch)?;
    // One that can't be removed takes space, and is gone with the next swap.
    drop(restore::remove(&kept.older));
    Ok(())
}

fn folder_of(target: &Path) -> &Path {
    target.parent().unwrap_or(Path::new(""))
}

/// Has the new name on disk.
fn tell_placed(folder: &Path, watch: Watch<'_>) -> Result<(), PortableError> {
    backup::sync_folder(folder)?;
    watch(Event::Reached(Step::Placed));
    Ok(())
}

/// The name that the present database keeps. Until the new one is in place what had it before is kept too, and gets it
/// back where it comes to nothing.
struct Kept<'a> {
    name: &'a Path,
    /// The present database's second name for the time being.
    part: PathBuf,
    /// What had the name before.
    older: PathBuf,
    is_named: bool,
    is_placed: bool,
}

impl<'a> Kept<'a> {
    /// Gives the present file a second name; where the file system has no such thing, a copy has it. That can't be made
    /// later: closing the file gives up all locks that this program has on it.
    fn prepare(order: &Swap<'a>) -> Result<Self, Fault> {
        let (part, older) = (restore::beside(order.kept, ".part"), restore::beside(order.kept, ".older"));
        let kept = Self { name: order.kept, part, older, is_named: false, is_placed: false };
        kept.clear(order.target)?;
        if std::fs::hard_link(order.target, &kept.part).is_err() {
            std::fs::copy(order.target, &kept.part).map_err(backup::fault_of)?;
            backup::sync_file(&kept.part)?;
        }
        Ok(kept)
    }

    /// Undoes what a swap that was killed before it had placed anything has left, and clears up after one that had.
    fn clear(&self, target: &Path) -> Result<(), Fault> {
        restore::remove(&self.part)?;
        if is_one_file(self.name, target) {
            restore::remove(self.name)?;
        }
        if is_there(self.name) { restore::remove(&self.older) } else { rename_if_there(&self.older, self.name) }
    }

    fn give_name(&mut self, folder: &Path) -> Result<(), Fault> {
        rename_if_there(self.name, &self.older)?;
        self.is_named = true;
        std::fs::rename(&self.part, self.name).map_err(backup::fault_of)?;
        backup::sync_folder(folder)
    }

    fn take_back(&self) -> Result<(), Fault> {
        restore::remove(&self.part)?;
        if !self.is_named || self.is_placed {
            return Ok(());
        }
        if is_there(&self.older) { rename_if_there(&self.older, self.name) } else { restore::remove(self.name) }
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        // The database itself is in its place, and the next swap does what can't be done now.
        drop(self.take_back());
    }
}

/// Keeps logs that lie about without their database, which was moved away: they may hold what that lacks, and would be
/// played into the new one.
fn set_logs_aside(target: &Path) -> Result<(), Fault> {
    for ending in ["-wal", "-shm", "-journal"] {
        let log = restore::beside(target, ending);
        let has_content = std::fs::symlink_metadata(&log).is_ok_and(|facts| facts.len() > 0);
        if ending == "-shm" || !has_content {
            restore::remove(&log)?;
            continue;
        }
        let mut places = (1..=ASIDE_LIMIT).map(|number| match number {
            1 => restore::beside(&log, ASIDE),
            _ => restore::beside(&log, &format!("{ASIDE}-{number}")),
        });
        let place = places.find(|place| !is_there(place));
        let place = place.ok_or_else(|| backup::fault_of(ErrorKind::AlreadyExists.into()))?;
        std::fs::rename(&log, place).map_err(backup::fault_of)?;
    }
    Ok(())
}

fn is_there(file: &Path) -> bool {
    !matches!(std::fs::symlink_metadata(file), Err(error) if error.kind() == ErrorKind::NotFound)
}

fn rename_if_there(from: &Path, to: &Path) -> Result<(), Fault> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(backup::fault_of(error)),
        _ => Ok(()),
    }
}

/// Whether two names are one file's.
#[cfg(unix)]
fn is_one_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |file| std::fs::symlink_metadata(file).map(|facts| (facts.dev(), facts.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

/// Nobody can tell.
#[cfg(not(unix))]
fn is_one_file(_one: &Path, _other: &Path) -> bool {
    false
}
