//! Noticing that another file, or other content, came into the place of an open database's.
//!
//! Where in the flow: looked at by a server's writer around each commit and with each heartbeat. SQLite itself goes on
//! with what it has open, and would mix the new content with its log. Never opens the file past SQLite: closing it
//! would let go of the locks that this process has on it.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use greenlight_core::replica::{Fault, FaultKind};
use greenlight_core::{Cursor, Lineage};
use rusqlite::{Connection, OpenFlags};

use crate::backup::{self, Backups, Kind};
use crate::database::Role;
use crate::fault::{from_sqlite, internal};
use crate::restore::{beside, remove};
use crate::state::{self, key};
use crate::{facts, reader};

/// How long a file must not have changed before it counts as whole.
const SETTLED: Duration = Duration::from_millis(300);
/// How long that is waited for.
const SETTLE_WAIT: Duration = Duration::from_secs(10);

/// What happened to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// Another file has its name, or none has.
    Renamed,
    /// Other content was written over it, past SQLite.
    Overwritten,
    /// Its history fell back: other content was put in by SQLite's own means.
    PutBack,
    /// The log that is open has lost its name: what is written to it nobody would find again.
    LogGone,
}

/// Where SQLite's log stands with the file. Whatever SQLite writes into the file shows here before it does so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Checkpoints {
    salt: [u8; 8],
    done: [u8; 4],
    begun: [u8; 4],
}

/// When the file was written last, and its length.
type Stamp = (i64, i64, u64);

/// What the file holds without its log; `None` where that can't be read at this moment.
type Print = Option<(Lineage, Cursor, i64, i64)>;

/// Looks at an open database's file.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    identity: (u64, u64),
    /// Of the log; `None` where there was none.
    log: Option<(u64, u64)>,
    stamp: Stamp,
    /// SQLite's index of the log. Held open as long as the database is, and for the same reason never opened twice.
    index: Option<File>,
    checkpoints: Checkpoints,
    print: Print,
}

impl FileWatch {
    /// Begins with the file as it is now, which was opened just before. Drop it after the database.
    ///
    /// # Errors
    /// When it isn't there any more.
    pub fn new(path: &Path) -> Result<Self, Fault> {
        let index = File::open(beside(path, "-shm")).ok();
        let facts = std::fs::metadata(path).map_err(backup::fault_of)?;
        let mut watch = Self {
            path: path.to_owned(),
            identity: identity(&facts),
            log: log_of(path),
            stamp: stamp(&facts),
            index,
            checkpoints: Checkpoints::default(),
            print: print(path),
        };
        watch.checkpoints = watch.read_checkpoints();
        Ok(watch)
    }

    /// What happened since the last look, if it wasn't SQLite's doing. Costs a few system calls while nothing did.
    pub fn look(&mut self) -> Option<Replacement> {
        let before = self.read_checkpoints();
        let facts = match std::fs::metadata(&self.path) {
            Ok(facts) => facts,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(Replacement::Renamed),
            // It tells nothing about the file.
            Err(_) => return None,
        };
        if identity(&facts) != self.identity {
            return Some(Replacement::Renamed);
        }
        // SQLite itself removes it with the last connection that is closed, and this one is open.
        if self.log.is_some() && log_of(&self.path) != self.log {
            return Some(Replacement::LogGone);
        }
        let after = self.read_checkpoints();
        let by_sqlite = self.checkpoints != before || before != after;
        self.checkpoints = after;
        let stamp = stamp(&facts);
        if self.index.is_none() || stamp == self.stamp {
            return None;
        }
        let print = print(&self.path);
        // The same as before: only its date was touched.
        if !by_sqlite && (print.is_none() || print != self.print) {
            return Some(Replacement::Overwritten);
        }
        (self.stamp, self.print) = (stamp, print);
        None
    }

    fn read_checkpoints(&self) -> Checkpoints {
        // Salts in the index's header; what is and what was about to be written back, behind its two headers. The
        // layout is SQLite's file format and kept for ever.
        let mut index = [0; 132];
        let read = self.index.as_ref().map(|file| file.read_exact_at(&mut index, 0));
        let (Some(Ok(())), [.., b0, b1, b2, b3]) = (read, index) else { return Checkpoints::default() };
        let part = |at: usize| -> [u8; 4] { std::array::from_fn(|byte| index[at + byte]) };
        Checkpoints { salt: std::array::from_fn(|byte| index[32 + byte]), done: part(96), begun: [b0, b1, b2, b3] }
    }
}

fn log_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(beside(path, "-wal")).ok().as_ref().map(identity)
}

fn identity(facts: &Metadata) -> (u64, u64) {
    (facts.dev(), facts.ino())
}

fn stamp(facts: &Metadata) -> Stamp {
    (facts.mtime(), facts.mtime_nsec(), facts.len())
}

/// Reads the file alone, as if nobody else had it.
fn print(path: &Path) -> Print {
    let conn = immutable(path).ok()?;
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get(0)).ok();
    let numbers = (number("PRAGMA page_count")?, number("PRAGMA schema_version")?);
    Some((facts::lineage(&conn).ok()?, state::head(&conn).ok()?, numbers.0, numbers.1))
}

/// Opens a file as one that nobody changes, without its log.
pub(crate) fn immutable(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        uri += &format!("%{byte:02x}");
    }
    Connection::open_with_flags(uri + "?immutable=1", flags)
}

/// Makes ready for opening what came into a database's place, once nobody in this process has the old one open: waits
/// until it is written, takes the log of what was there out of its way, and checks that it is whole and a server's.
///
/// # Errors
/// Why it can't be opened; it may be tried again.
pub fn take_up(path: &Path, replacement: Replacement, backups: &Backups, now_ms: i64) -> Result<(), Fault> {
    settle(path)?;
    // In the first case too: what was open may not have been the last to close, and left its log here.
    if matches!(replacement, Replacement::Renamed | Replacement::Overwritten) {
        backup::set_log_aside(backups, path, Kind::Replaced, now_ms)?;
        remove(&beside(path, "-shm"))?;
    }
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(from_sqlite)?;
    let check: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(from_sqlite)?;
    let role: Option<String> = state::get(&conn, key::ROLE)?;
    if check != "ok" || role.as_deref() != Some(Role::Server.name()) {
        let message = "the file that came into its place is not a whole database of a server".to_owned();
        return Err(Fault { kind: FaultKind::Corrupt, message });
    }
    reader::stored_schema(&conn).map(drop)
}

/// Waits until nobody writes to the file any more.
fn settle(path: &Path) -> Result<(), Fault> {
    let begun = Instant::now();
    let (mut last, mut since) = (None, begun);
    loop {
        let facts = std::fs::metadata(path).ok();
        let now = facts.as_ref().filter(|facts| facts.is_file() && facts.len() > 0).map(stamp);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if last.is_some() && since.elapsed() >= SETTLED {
            return Ok(());
        }
        if facts.is_none() && since.elapsed() >= SETTLED {
            return Err(internal("its file is gone"));
        }
        if begun.elapsed() >= SETTLE_WAIT {
            return Err(internal("the file that came into its place is being written"));
        }
        std::thread::sleep(SETTLED / 10);
    }
}
