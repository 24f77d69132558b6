//! What a database file says of itself, for a person: whose it is, what waits in it, and whether it is damaged.
//!
//! Where in the flow: beside sync, for `status` with a server and for the doctor. Never writes anything, not even the
//! files that SQLite lays beside a database while it reads, unless a log is there already. Never reads a row's values.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use greenlight_core::compatibility::Identity;
use greenlight_core::replica::Fault;
use greenlight_core::{Lineage, Version};
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::{BUSY_LIMIT, FINDINGS, Kind, PortableError, hex, kind, largest_version, readable_schema, user_version};
use crate::aside::{self, Shelf};
use crate::schema::Schema;
use crate::state::{self, key};
use crate::tables::tables;

/// What a database file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspected {
    /// `plain`, `client`, `server`, `snapshot`, or `unmanaged`: of a cr-sqlite that Greenlight does not look after.
    pub role: &'static str,
    /// `wal` where a log is kept beside it.
    pub journal_mode: String,
    /// The app's own number.
    pub user_version: u64,
    /// Of what a client holds of a server's database.
    pub client: Option<ClientSide>,
}

/// What a client's database knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientSide {
    /// The schema's name.
    pub schema_name: String,
    /// The schema's number; what is printed of a snapshot and of a server calls it so.
    #[serde(rename = "schema_version")]
    pub schema_number: u32,
    /// The digest of its structure, 32 hexadecimal digits.
    pub schema_digest: String,
    /// The followed server's site id, 32 hexadecimal digits; `None` before the first sync with one.
    pub server_site_id: Option<String>,
    /// The followed server's epoch, 16 hexadecimal digits.
    pub server_epoch: Option<String>,
    /// Up to which version of the server's history this is.
    pub cursor: u64,
    /// Up to which own version the server has everything.
    pub acknowledged: u64,
    /// The largest version of any change.
    pub version: u64,
    /// Own changes above the acknowledgement.
    pub pending: u64,
    /// Whether all that is here, whoever wrote it, is to be offered to the server once: nobody knows what of it the
    /// server has, as after a pull from elsewhere.
    pub must_offer: bool,
    /// Incoming changes that could not be applied.
    pub quarantined: u64,
    /// Incoming changes that wait for a newer schema.
    pub held_aside: u64,
    /// Incoming changes that a person left out.
    pub left_out: u64,
    /// Whether the server last said that this client may only read.
    pub read_only: bool,
    /// What it is, as a server judges it.
    #[serde(skip)]
    pub identity: Identity,
}

/// A table and how many rows it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Its name.
    pub table: String,
    /// Its rows.
    pub rows: u64,
}

/// The versions of SQLite and of cr-sqlite that are built in.
pub fn versions() -> (&'static str, &'static str) {
    (rusqlite::version(), crsqlite::CRSQLITE_VERSION)
}

/// What the file is, and what waits in it.
///
/// # Errors
/// [`PortableError`].
pub fn inspect(file: &Path) -> Result<Inspected, PortableError> {
    reading(file, |conn| {
        let kind = kind(conn)?;
        Ok(Inspected {
            role: match kind {
                Kind::Plain => "plain",
                Kind::Replica => "client",
                Kind::Snapshot => "snapshot",
                Kind::Server => "server",
                Kind::Unmanaged => "unmanaged",
            },
            journal_mode: conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?,
            user_version: user_version(conn)?,
            client: (kind == Kind::Replica).then(|| client(conn)).transpose()?,
        })
    })
}

/// The schema that a client's database has; `None` for a plain database, which has none.
///
/// # Errors
/// [`PortableError`], also for a file that is neither.
pub fn schema(file: &Path) -> Result<Option<Schema>, PortableError> {
    reading(file, |conn| match kind(conn)? {
        Kind::Plain => Ok(None),
        Kind::Replica => Ok(Some(readable_schema(conn)?)),
        Kind::Snapshot => Err(PortableError::Snapshot),
        Kind::Server => Err(PortableError::Servers),
        Kind::Unmanaged => Err(PortableError::Unmanaged),
    })
}

/// Reads the file from its first page to its last, but for what indexes say; SQLite's first findings, none where it is
/// sound.
///
/// # Errors
/// [`PortableError`], where it can't even be read.
pub fn damage(file: &Path) -> Result<Vec<String>, PortableError> {
    reading(file, |conn| {
        let mut check = conn.prepare("PRAGMA quick_check")?;
        let findings = check.query_map([], |row| row.get(0))?.take(FINDINGS).collect::<Result<Vec<String>, _>>()?;
        Ok(if findings == ["ok"] { Vec::new() } else { findings })
    })
}

/// The statements that make the database, and how many rows its tables have.
///
/// # Errors
/// [`PortableError`].
pub fn outline(file: &Path) -> Result<(Vec<String>, Vec<Counted>), PortableError> {
    reading(file, |conn| {
        let mut select = conn.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name")?;
        let statements = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut select = conn.prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE TABLE%' \
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        )?;
        let names = select.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
        let count = |table: String| {
            let rows = state::rows(conn, &crate::tables::quote(&table))?;
            Ok::<_, Fault>(Counted { table, rows })
        };
        Ok((statements, names.into_iter().map(count).collect::<Result<_, _>>()?))
    })
}

fn client(conn: &Connection) -> Result<ClientSide, PortableError> {
    let schema = readable_schema(conn)?;
    let since = state::acknowledged(conn)?.version.max(state::version(conn, key::SETTLED)?);
    let mut pending = 0;
    for table in tables(&schema) {
        pending += state::one(conn, &table.own, [since.to_sql()], |row| row.get::<_, i64>(0))?.unsigned_abs();
    }
    let id = schema.id();
    let followed: Option<Lineage> = state::followed(conn)?;
    let number = |version: Version| version.get();
    Ok(ClientSide {
        schema_name: id.name.clone(),
        schema_number: id.number,
        schema_digest: hex(&id.digest),
        server_site_id: followed.map(|lineage| lineage.site_id.to_hex()),
        server_epoch: followed.map(|lineage| lineage.epoch.to_hex()),
        cursor: number(state::cursor(conn)?.version),
        acknowledged: number(state::acknowledged(conn)?.version),
        version: largest_version(conn, &schema)?,
        pending,
        must_offer: state::must_offer(conn)?,
        quarantined: aside::count(conn, Shelf::Quarantine)?,
        held_aside: aside::count(conn, Shelf::Held)?,
        left_out: aside::count(conn, Shelf::LeftOut)?,
        read_only: state::is_read_only(conn)?,
        identity: Identity {
            server: followed.map(|lineage| lineage.site_id),
            schema: id.clone(),
            shape: Some(schema.shape().clone()),
        },
    })
}

/// Reads within one transaction. A database without a log is opened as one that nobody writes, since SQLite makes a log
/// beside it otherwise; if somebody has written meanwhile it is read again, as a database in use.
fn reading<T>(file: &Path, read: impl Fn(&Connection) -> Result<T, PortableError>) -> Result<T, PortableError> {
    let stamp = stamp(file);
    if !has_log(file) {
        let found = open(file, true).and_then(|conn| within(&conn, &read));
        if !has_log(file) && self::stamp(file) == stamp {
            return found;
        }
    }
    within(&open(file, false)?, &read)
}

fn within<T>(conn: &Connection, read: impl Fn(&Connection) -> Result<T, PortableError>) -> Result<T, PortableError> {
    conn.execute_batch("BEGIN")?;
    let found = read(conn)?;
    conn.execute_batch("COMMIT")?;
    Ok(found)
}

fn open(file: &Path, is_unused: bool) -> Result<Connection, PortableError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(uri(file, is_unused), flags)?;
    conn.busy_timeout(BUSY_LIMIT)?;
    Ok(conn)
}

/// The file's name as SQLite reads names that carry options.
fn uri(file: &Path, is_unused: bool) -> String {
    let mut uri = String::from("file:");
    for &byte in file.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _written = write!(uri, "%{byte:02x}");
        }
    }
    if is_unused { uri + "?immutable=1" } else { uri }
}

/// A log with something in it, of either kind.
fn has_log(file: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|end| std::fs::metadata(beside(file, end)).is_ok_and(|facts| facts.len() > 0))
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or(OsStr::new("")).to_owned();
    name.push(end);
    file.with_file_name(name)
}

/// By what a write is seen.
fn stamp(file: &Path) -> Option<(u64, std::time::SystemTime)> {
    let facts = std::fs::metadata(file).ok()?;
    Some((facts.len(), facts.modified().ok()?))
}
