//! Snapshots that travel without a server: what a local file is and whether it has moved, a copy of it that belongs to
//! nobody, and such a copy made this machine's own.
//!
//! Where in the flow: beside sync, below the remotes that hold one snapshot each (a folder). Works on files alone, and,
//! but for a merge, without cr-sqlite, which would remember an identity. Never writes a cell of its own.
//!
//! Two kinds of file travel. A **replica** is a Greenlight client's database: its snapshot has the role `snapshot`, no
//! own site id, and nothing of what its maker knows of a server; what the maker wrote stays attributed to it. A **plain**
//! database is any other: it travels as it is.

pub(crate) mod content;
mod fit;
mod inspect;
mod local;
mod merge;
mod swap;
pub(crate) mod take;

use std::path::Path;
use std::time::Duration;

use greenlight_core::replica::{Fault, FaultKind};
use rusqlite::ffi::{SQLITE_READONLY_RECOVERY, SQLITE_READONLY_ROLLBACK};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::database::Role;
use crate::fault::from_sqlite;
use crate::reader;
use crate::schema::Schema;
use crate::state::{self, key};
use crate::tables::tables;

pub use fit::{Fit, fit};
pub use inspect::{ClientSide, Counted, Inspected, damage, inspect, outline, schema, versions};
pub use merge::{Merge, Merged, merge};
pub use swap::{Swap, Watched, swap};
pub use take::{Take, Taken, hash_of, take};

/// How long another process's transaction is waited for, before the database counts as busy.
pub const BUSY_LIMIT: Duration = Duration::from_secs(3);
/// Marks of earlier snapshots that a replica remembers; the oldest go first.
pub const MARKS: usize = 4_096;
/// What stands before a mark of another numbering.
const RENUMBERED: char = '-';
/// The role of a snapshot: no client and no server opens it.
const SNAPSHOT: &str = "snapshot";
/// Findings of an integrity check that are told.
pub(crate) const FINDINGS: usize = 3;

/// A step of taking or placing a snapshot; each leaves everything usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The database carries the mark of the snapshot that is about to be taken.
    Marked,
    /// Its log is folded into the file.
    Folded,
    /// The local backup is copied, under a name for the time being.
    Copied,
    /// The local backup has its name.
    BackedUp,
    /// The snapshot is made and on disk.
    Stripped,
    /// What came is this machine's own, and on disk.
    Fitted,
    /// What came is merged with what is here, and on disk.
    Merged,
    /// The present database is kept under another name.
    Kept,
    /// What came has the database's name.
    Placed,
}

/// What whoever takes or places a snapshot is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step is done.
    Reached(Step),
    /// Bytes copied, of so many.
    Copied(u64, u64),
    /// Changes merged, of so many.
    Merged(u64, u64),
}

/// Told of events as they happen.
pub type Watch<'a> = &'a mut dyn FnMut(Event);

/// The state that a database had when it was exchanged: what its movement is judged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Head {
    /// A replica's.
    Replica {
        /// Random, in the file as well: only what descends from that moment has it. 16 hexadecimal digits.
        mark: String,
        /// The largest version of any change, which never falls.
        version: u64,
        /// Name, number and digest of the schema.
        schema: String,
    },
    /// A plain database's: a digest of its schema and of every row, 64 hexadecimal digits.
    Plain {
        /// The digest.
        content: String,
    },
}

/// What a local database is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Present {
    /// A replica.
    Replica {
        /// Marks of the snapshots that it descends from, the oldest first; with a `-` before it one from before a pull,
        /// since which versions are numbered otherwise.
        marks: Vec<String>,
        /// The largest version of any change.
        version: u64,
        /// Name, number and digest of the schema.
        schema: String,
        /// The schema's number.
        number: u64,
    },
    /// A plain database.
    Plain {
        /// A digest of its schema and of every row.
        content: String,
        /// Its `user_version`.
        number: u64,
    },
}

/// The name in a replica's name, number and digest of a schema.
fn first_word(schema: &str) -> &str {
    schema.split(' ').next().unwrap_or_default()
}

impl Head {
    /// The name of a replica's schema; `None` for a plain database.
    pub fn schema_name(&self) -> Option<&str> {
        match self {
            Self::Replica { schema, .. } => Some(first_word(schema)),
            Self::Plain { .. } => None,
        }
    }
}

impl Present {
    /// The name of a replica's schema; `None` for a plain database.
    pub fn schema_name(&self) -> Option<&str> {
        match self {
            Self::Replica { schema, .. } => Some(first_word(schema)),
            Self::Plain { .. } => None,
        }
    }

    /// Whether it is as it was then. Versions from before a pull are of another numbering: what descends from such a
    /// moment is never taken for it.
    pub fn is_at(&self, head: &Head) -> bool {
        match (self, head) {
            (Self::Replica { marks, version, schema, .. }, Head::Replica { mark, version: then, schema: follows }) => {
                marks.contains(mark) && version == then && schema == follows
            }
            (Self::Plain { content, .. }, Head::Plain { content: then }) => content == then,
            _ => false,
        }
    }

    /// Whether it is what became of that state. Of a plain database nobody can tell, so it is taken for granted.
    pub fn descends_from(&self, head: &Head) -> bool {
        match (self, head) {
            (Self::Replica { marks, .. }, Head::Replica { mark, .. }) => {
                marks.iter().any(|known| known.trim_start_matches(RENUMBERED) == mark)
            }
            (Self::Plain { .. }, Head::Plain { .. }) => true,
            _ => false,
        }
    }

    /// The schema's number: a replica's own, a plain database's `user_version`.
    pub fn schema_version(&self) -> u64 {
        match self {
            Self::Replica { number, .. } | Self::Plain { number, .. } => *number,
        }
    }
}

/// What a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name of a replica's schema; `None` for a plain database.
    pub schema: Option<String>,
    /// The schema's number, or `user_version`.
    pub schema_version: u64,
}

/// Why a snapshot could not be taken or placed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PortableError {
    /// Another process is at work in the database.
    #[error("database busy; close what else has it open and try again")]
    Busy,
    /// It is a server's.
    #[error("it is the database of a Greenlight server: `greenlight-server backup` copies those")]
    Servers,
    /// It is a snapshot that nobody made a database of.
    #[error("it is a snapshot and not a database: put it into a remote's folder and pull it")]
    Snapshot,
    /// It has cr-sqlite's tables, and Greenlight does not know it.
    #[error("it is a database of cr-sqlite that Greenlight does not look after: copying its identity would break it")]
    Unmanaged,
    /// It is damaged; SQLite's first findings.
    #[error("it is damaged: {}", .0.join("; "))]
    Damaged(Vec<String>),
    /// Its schema can't be read by this program.
    #[error("its schema can't be used by this program, which may be too old for it: {0}")]
    Schema(String),
    /// Two schemas of one name and number that are not the same.
    #[error("schema `{name}` {number} is not the same here and there: one of the two needs another number")]
    SchemasDiffer {
        /// The name of both.
        name: String,
        /// The number of both.
        number: u32,
    },
    /// A table that is this machine's alone can't be carried over.
    #[error(
        "table `{table}`, which is on this machine alone, can't be kept: {why}. Rename or drop it and try again; nothing \
         was replaced"
    )]
    Local {
        /// The table.
        table: String,
        /// What SQLite says.
        why: String,
    },
    /// What has the database's name is not a file.
    #[error("what has the database's name is a link or a folder, not a file")]
    NotAFile,
    /// It was written while this was at work.
    #[error("it was written by another process meanwhile; nothing was replaced")]
    Moved,
    /// The disk, or SQLite.
    #[error("{}", .0.message)]
    Fault(Fault),
}

impl From<Fault> for PortableError {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            FaultKind::Busy => Self::Busy,
            FaultKind::Corrupt => Self::Damaged(vec![fault.message]),
            _ => Self::Fault(fault),
        }
    }
}

impl From<rusqlite::Error> for PortableError {
    fn from(error: rusqlite::Error) -> Self {
        from_sqlite(error).into()
    }
}

/// What a local database is, as it was last committed. A plain one is read whole: as long as reading its bytes takes,
/// and somewhat more.
///
/// # Errors
/// [`PortableError`].
pub fn look(file: &Path) -> Result<Present, PortableError> {
    let conn = reader(file)?;
    conn.execute_batch("BEGIN")?;
    let present = present(&conn)?;
    conn.execute_batch("COMMIT")?;
    Ok(present)
}

/// Opens a database to read it. A transaction that was cut off is undone first, which only who may write can do.
fn reader(file: &Path) -> Result<Connection, PortableError> {
    let open = |flags| {
        let conn = Connection::open_with_flags(file, flags)?;
        conn.busy_timeout(BUSY_LIMIT)?;
        // Reads the first page: until then nothing is looked at.
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok::<_, rusqlite::Error>(conn)
    };
    let opened = open(OpenFlags::SQLITE_OPEN_READ_ONLY);
    let code = opened.as_ref().err().and_then(rusqlite::Error::sqlite_extended_error_code);
    if matches!(code, Some(SQLITE_READONLY_ROLLBACK | SQLITE_READONLY_RECOVERY)) {
        drop(open(OpenFlags::SQLITE_OPEN_READ_WRITE)?);
        return Ok(open(OpenFlags::SQLITE_OPEN_READ_ONLY)?);
    }
    Ok(opened?)
}

/// Checks a snapshot that came from elsewhere, from its first page to its last index.
///
/// # Errors
/// [`PortableError`]: damaged, of a schema that can't be read, or no snapshot.
pub fn examine(file: &Path) -> Result<Found, PortableError> {
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check(&conn)?;
    match kind(&conn)? {
        Kind::Plain => Ok(Found { schema: None, schema_version: user_version(&conn)? }),
        Kind::Snapshot => {
            let id = readable_schema(&conn)?.id().clone();
            Ok(Found { schema: Some(id.name), schema_version: u64::from(id.number) })
        }
        // Somebody put a client's own file there: it has an identity that must not be copied.
        Kind::Replica | Kind::Unmanaged => Err(PortableError::Unmanaged),
        Kind::Server => Err(PortableError::Servers),
    }
}

fn check(conn: &Connection) -> Result<(), PortableError> {
    let findings = conn
        .prepare("PRAGMA integrity_check")
        .and_then(|mut check| check.query_map([], |row| row.get(0))?.take(FINDINGS).collect::<Result<Vec<String>, _>>())
        .unwrap_or_else(|error| vec![crate::fault::sentence(&error)]);
    if findings == ["ok"] { Ok(()) } else { Err(PortableError::Damaged(findings)) }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Replica,
    Snapshot,
    Server,
    Unmanaged,
}

pub(crate) fn kind(conn: &Connection) -> Result<Kind, PortableError> {
    let is_there = |name: &str| {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?)";
        conn.query_row(sql, [name], |row| row.get::<_, bool>(0))
    };
    if !is_there("crsql_site_id")? && !is_there("greenlight_state")? {
        return Ok(Kind::Plain);
    }
    if !is_there("greenlight_state")? {
        return Ok(Kind::Unmanaged);
    }
    Ok(match state::get::<String>(conn, key::ROLE)?.as_deref() {
        Some(SNAPSHOT) => Kind::Snapshot,
        Some(role) if role == Role::Client.name() => Kind::Replica,
        Some(role) if role == Role::Server.name() => Kind::Server,
        _ => Kind::Unmanaged,
    })
}

fn present(conn: &Connection) -> Result<Present, PortableError> {
    match kind(conn)? {
        Kind::Plain => Ok(Present::Plain { content: content::digest(conn)?, number: user_version(conn)? }),
        Kind::Replica => {
            let schema = readable_schema(conn)?;
            let (version, number) = (largest_version(conn, &schema)?, u64::from(schema.id().number));
            Ok(Present::Replica { marks: marks(conn)?, version, schema: schema_name(&schema), number })
        }
        Kind::Snapshot => Err(PortableError::Snapshot),
        Kind::Server => Err(PortableError::Servers),
        Kind::Unmanaged => Err(PortableError::Unmanaged),
    }
}

pub(crate) fn user_version(conn: &Connection) -> Result<u64, PortableError> {
    let number: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(u64::try_from(number).unwrap_or(0))
}

fn readable_schema(conn: &Connection) -> Result<Schema, PortableError> {
    reader::stored_schema(conn).map_err(|fault| PortableError::Schema(fault.message))
}

/// Name, number and digest.
fn schema_name(schema: &Schema) -> String {
    let id = schema.id();
    format!("{} {} {}", id.name, id.number, hex(&id.digest))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn largest_version(conn: &Connection, schema: &Schema) -> Result<u64, PortableError> {
    let mut largest = 0;
    for table in tables(schema) {
        let head = state::one(conn, &table.head, [], |row| row.get::<_, Option<i64>>(0))?;
        largest = largest.max(state::read_version(head.unwrap_or(0))?.get());
    }
    Ok(largest)
}

fn marks(conn: &Connection) -> Result<Vec<String>, PortableError> {
    let text = state::get::<String>(conn, key::MARKS)?.unwrap_or_default();
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// Adds a mark, within the caller's transaction.
fn set_marks(conn: &Connection, mut marks: Vec<String>, mark: &str) -> Result<(), PortableError> {
    marks.push(mark.to_owned());
    let surplus = marks.len().saturating_sub(MARKS);
    Ok(state::set(conn, key::MARKS, marks[surplus..].join(" "))?)
}
