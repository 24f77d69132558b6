//! Taking over a plain SQLite database: what it holds that can't be synchronised, and a copy of it that can.
//!
//! Where in the flow: once in a database's life, before its first sync. Looks at one moment of the file, copies that, and
//! makes the copy a client's database, every row of which is its own change; who puts the copy in the file's place is the
//! caller. Never writes to the file itself.

mod convert;
mod mend;
mod rows;
mod words;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use thiserror::Error;

use crate::portable::{self, BUSY_LIMIT, FINDINGS, Kind, PortableError, Present, Watch};
use crate::schema::{self, Schema, SchemaError};
use crate::{backup, restore};

pub use convert::{Converted, convert};
pub use mend::mend;

/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The byte of the file's header that tells of a log, and its value then.
const LOG: (usize, u8) = (18, 2);

/// What is taken over, as whoever does it chose.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The schema's name.
    pub name: String,
    /// Tables that stay as they are, on this machine alone; the case of letters doesn't count.
    pub skip: Vec<String>,
}

/// Something that keeps a database from being taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// The table that it is about, if it is about one.
    pub table: Option<String>,
    /// The column, if it is about one.
    pub column: Option<String>,
    /// It in words, naming table and column.
    pub problem: String,
    /// What to change.
    pub remedy: String,
    /// Whether [`Inspection::mend`] does that.
    pub mended: bool,
}

/// A table that is taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableRows {
    /// Its name.
    pub table: String,
    /// Its rows.
    pub rows: u64,
}

/// What a plain database holds.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its schema, for a schema file; `None` where there are obstacles.
    pub schema: Option<Schema>,
    /// The tables that are taken over, in the order of their definition.
    pub tables: Vec<TableRows>,
    /// The tables that stay as they are.
    pub skipped: Vec<String>,
    /// All that keeps it from being taken over.
    pub obstacles: Vec<Obstacle>,
    /// SQL that mends what can be mended without knowing what the data means.
    pub mend: Option<String>,
    /// What to know, although it keeps nothing from being taken over.
    pub notes: Vec<String>,
}

/// Why a file could not be looked at or taken over.
#[derive(Debug, Error)]
pub enum TakeoverError {
    /// There is no file.
    #[error("there is no file of this name")]
    NotThere,
    /// It is a link or a folder.
    #[error("it is a link or a folder: name the database's file itself")]
    NotAFile,
    /// It holds nothing.
    #[error("it is empty, so there is nothing to take over: `greenlight init --schema FILE` makes a new database")]
    Empty,
    /// It is something else, or can't be told from something else.
    #[error("it is no SQLite database, or it is encrypted: decrypt it first, with the program that made it")]
    NotADatabase,
    /// Nobody may write it.
    #[error("it may only be read: give yourself the right to write it")]
    ReadOnly,
    /// A transaction was cut off.
    #[error(
        "its last transaction was cut off, or is going on: open it once with the program that uses it, which undoes \
         what is half-way, and close that"
    )]
    Unfinished,
    /// It is a Greenlight client's.
    #[error("it is Greenlight's already: `greenlight sync now` brings it in step with a server")]
    Replica,
    /// Its text is not in UTF-8.
    #[error("its text is in {0}, and sync needs UTF-8: make it anew with `sqlite3 OLD .dump | sqlite3 NEW`")]
    Encoding(String),
    /// A table that was named isn't there.
    #[error("it has no table `{0}` that could be left out")]
    UnknownTable(String),
    /// The name or the length of the schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Busy, damaged, of another kind, or the disk.
    #[error(transparent)]
    Portable(#[from] PortableError),
}

impl From<rusqlite::Error> for TakeoverError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_extended_error_code() {
            // A log of a transaction that was cut off can't be undone by who only reads.
            Some(rusqlite::ffi::SQLITE_READONLY_ROLLBACK | rusqlite::ffi::SQLITE_READONLY_RECOVERY) => Self::Unfinished,
            _ if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => Self::NotADatabase,
            _ => Self::Portable(error.into()),
        }
    }
}

impl From<greenlight_core::replica::Fault> for TakeoverError {
    fn from(fault: greenlight_core::replica::Fault) -> Self {
        Self::Portable(fault.into())
    }
}

/// A plain database, as it was at the moment when it was opened. Others may read it meanwhile, and write where it has a
/// log, unless it was opened alone.
#[derive(Debug)]
pub struct Plain<'a> {
    file: &'a Path,
    conn: Connection,
}

impl<'a> Plain<'a> {
    /// Opens a database. `alone` fails where another process has one with a log open, which could not be replaced.
    ///
    /// # Errors
    /// [`TakeoverError`]; nothing is left beside the file that was not there.
    pub fn open(file: &'a Path, alone: bool) -> Result<Self, TakeoverError> {
        let conn = connect(file)?;
        conn.busy_timeout(BUSY_LIMIT)?;
        if alone {
            conn.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))?;
        }
        conn.execute_batch("BEGIN")?;
        let encoding: String = conn.query_row("PRAGMA encoding", [], |row| row.get(0))?;
        match portable::kind(&conn)? {
            Kind::Plain => {}
            Kind::Replica => return Err(TakeoverError::Replica),
            Kind::Server => return Err(PortableError::Servers.into()),
            Kind::Snapshot => return Err(PortableError::Snapshot.into()),
            Kind::Unmanaged => return Err(PortableError::Unmanaged.into()),
        }
        if encoding != "UTF-8" {
            return Err(TakeoverError::Encoding(encoding));
        }
        Ok(Self { file, conn })
    }

    /// All that keeps the database from being taken over, or its schema. Checks the file from its first page to its last
    /// index, and reads every row; `progress` is told how many of
    /// how many.
    ///
    /// # Errors
    /// [`TakeoverError`].
    pub fn inspect(&self, choice: &Choice, progress: &mut dyn FnMut(u64, u64)) -> Result<Inspection, TakeoverError> {
        let (definitions, skipped) = words::definitions(&self.conn, choice)?;
        let (definitions, mut obstacles) = words::tried(definitions)?;
        let text = words::schema_text(&choice.name, &definitions);
        let read = schema::read(&text)?;
        obstacles.extend(read.findings.iter().map(words::obstacle));
        let mut broken = check(&self.conn)?;
        obstacles.append(&mut broken);
        let (tables, mut found) = rows::scan(&self.conn, &read.tables, progress)?;
        obstacles.append(&mut found);
        let mend = mend::script(&read, &definitions, &mut obstacles)?;
        let schema = if obstacles.is_empty() { Some(Schema::parse(&text)?) } else { None };
        let notes = words::notes(&read.tables, &skipped);
        Ok(Inspection { schema, tables, skipped, obstacles, mend, notes })
    }

    /// Copies what was looked at to `part`, which must not be there, and has it on disk. Tells what the database is, by
    /// which is known whether it has moved since.
    ///
    /// # Errors
    /// [`TakeoverError`]; then nothing of use is at `part`.
    pub fn copy_to(self, part: &Path, watch: Watch<'_>) -> Result<Present, TakeoverError> {
        portable::take::copy_from(&self.conn, self.file, part, watch)?;
        drop(self);
        backup::sync_file(part)?;
        Ok(portable::look(part)?)
    }
}

/// Opens the file so that it, and what lies beside it, are afterwards as they were. Only who may write can open a
/// database with a log without leaving that; only who can't write leaves one without a log as it is.
fn connect(file: &Path) -> Result<Connection, TakeoverError> {
    let entry = match std::fs::symlink_metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(TakeoverError::NotThere),
        entry => entry.map_err(backup::fault_of)?,
    };
    if !entry.is_file() {
        return Err(TakeoverError::NotAFile);
    }
    let mut header = Vec::new();
    File::open(file).and_then(|file| file.take(100).read_to_end(&mut header)).map_err(backup::fault_of)?;
    if header.is_empty() {
        return Err(TakeoverError::Empty);
    }
    if !header.starts_with(MAGIC) {
        return Err(TakeoverError::NotADatabase);
    }
    if entry.permissions().readonly() {
        return Err(TakeoverError::ReadOnly);
    }
    if header.get(LOG.0) != Some(&LOG.1) {
        return Ok(Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?);
    }
    let has_log = restore::beside(file, "-wal").exists();
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // What somebody else left in the log stays there.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)?;
    Ok(conn)
}

/// Checks the whole file. Rows that break the types of their own table are an obstacle, anything else is damage. On a
/// connection that only reads SQLite looks at no CHECK: that is done with the rows.
fn check(conn: &Connection) -> Result<Vec<Obstacle>, TakeoverError> {
    let mut statement = conn.prepare("PRAGMA integrity_check")?;
    let found = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>();
    let found = found.unwrap_or_else(|error| vec![crate::fault::sentence(&error)]);
    let (rules, mut damage): (Vec<_>, Vec<_>) =
        found.into_iter().filter(|text| text != "ok").partition(|text| text.contains(" value in "));
    if !damage.is_empty() {
        damage.truncate(FINDINGS);
        return Err(PortableError::Damaged(damage).into());
    }
    Ok(rows::broken_types(rules))
}
