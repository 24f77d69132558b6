//! The store's own tables: what a database remembers about sync beside its rows.
//!
//! Where in the flow: created when a database is opened, written in the same transaction as what they describe.
//! Never synchronised, and never written by an app (the guard sees to it).

use greenlight_core::limits::MAX_VERSION;
use greenlight_core::replica::Fault;
use greenlight_core::{Bound, Cursor, Epoch, Lineage, SiteId, Tag, Version};
use rusqlite::types::{FromSql, ToSql};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::fault::{from_sqlite, internal};

/// The names of the keys of `greenlight_state`.
pub(crate) mod key {
    /// `client` or `server`.
    pub(crate) const ROLE: &str = "role";
    /// The schema file's text.
    pub(crate) const SCHEMA: &str = "schema";
    /// Server: the incarnation. Client: the followed server's.
    pub(crate) const EPOCH: &str = "epoch";
    /// When the database last proved that it can commit.
    pub(crate) const PROBE: &str = "probe";
    /// Server: the head's version.
    pub(crate) const HEAD_VERSION: &str = "head_version";
    /// Server: the head's tag.
    pub(crate) const HEAD_TAG: &str = "head_tag";
    /// Client: the followed server's site id.
    pub(crate) const SERVER: &str = "server";
    /// Client: the cursor's version.
    pub(crate) const CURSOR_VERSION: &str = "cursor_version";
    /// Client: the cursor's tag.
    pub(crate) const CURSOR_TAG: &str = "cursor_tag";
    /// Client: the acknowledged bound's version.
    pub(crate) const ACKNOWLEDGED_VERSION: &str = "acknowledged_version";
    /// Client: the acknowledged bound's tag.
    pub(crate) const ACKNOWLEDGED_TAG: &str = "acknowledged_tag";
    /// Client: not zero while the next upload must offer everything.
    pub(crate) const MUST_OFFER: &str = "must_offer";
    /// Client: not 0 while what is here is not just what the server had at the cursor: a range is applied in part, or
    /// came in parts and none that was read at once has followed yet, or the cursor was set to zero.
    pub(crate) const TORN: &str = "torn";
    /// Client: the tag of the upload begun last, where it offers everything.
    pub(crate) const OFFERED: &str = "offered";
    /// Client: the version of the bound that the last local commit prepared.
    pub(crate) const PREPARED_VERSION: &str = "prepared_version";
    /// Client: that bound's tag.
    pub(crate) const PREPARED_TAG: &str = "prepared_tag";
    /// Client: not zero where the server said that it may only read.
    pub(crate) const READ_ONLY: &str = "read_only";
    /// Client: up to this version there is no own change above the acknowledgement.
    pub(crate) const SETTLED: &str = "settled";
    /// Client: marks of the snapshots that were exchanged without a server, the oldest first, with spaces between.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) const MARKS: &str = "marks";
}

/// A table of changes that are shelved, each with why and since when.
macro_rules! shelf {
    ($table:literal) => {
        concat!(
            "CREATE TABLE IF NOT EXISTS ",
            $table,
            " (
  table_name TEXT NOT NULL, key BLOB NOT NULL, column_name TEXT NOT NULL, value ANY,
  column_version INTEGER NOT NULL, causal_length INTEGER NOT NULL, sequence INTEGER NOT NULL, site BLOB NOT NULL,
  reason TEXT NOT NULL, since_ms INTEGER NOT NULL, sender BLOB,
  PRIMARY KEY (table_name, key, column_name, column_version, causal_length, site)
) STRICT, WITHOUT ROWID;
"
        )
    };
}

/// Creates the tables where they are missing. Both roles have them all, so that a copy can change its role.
pub(crate) const CREATE: &str = concat!(
    "
CREATE TABLE IF NOT EXISTS greenlight_state (key TEXT NOT NULL PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS greenlight_tag (version INTEGER PRIMARY KEY, tag INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS greenlight_peer (
  site BLOB NOT NULL PRIMARY KEY, bound INTEGER NOT NULL, tag INTEGER NOT NULL, seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS greenlight_bound (
  number INTEGER PRIMARY KEY, version INTEGER NOT NULL, tag INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS greenlight_bound_by_version ON greenlight_bound (version, tag);
CREATE TABLE IF NOT EXISTS greenlight_written (version INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL) STRICT;
",
    shelf!("greenlight_quarantine"),
    shelf!("greenlight_held"),
    shelf!("greenlight_left_out"),
);

/// Empties everything but the schema and the role.
pub(crate) const FORGET: &str = "
DELETE FROM greenlight_state WHERE key NOT IN ('role', 'schema');
DELETE FROM greenlight_tag;
DELETE FROM greenlight_peer;
DELETE FROM greenlight_bound;
DELETE FROM greenlight_written;
DELETE FROM greenlight_quarantine;
DELETE FROM greenlight_held;
DELETE FROM greenlight_left_out;
";

/// Drops what is a client's alone, and keeps its content: what waits on a shelf too.
#[cfg(not(target_family = "wasm"))]
pub(crate) const FORGET_MAKER: &str = "
DELETE FROM greenlight_state WHERE key <> 'schema';
DELETE FROM greenlight_tag;
DELETE FROM greenlight_peer;
DELETE FROM greenlight_bound;
DELETE FROM greenlight_written;
UPDATE greenlight_quarantine SET sender = NULL;
UPDATE greenlight_held SET sender = NULL;
UPDATE greenlight_left_out SET sender = NULL;
";

/// Whether the server last said that this client may only read.
pub(crate) fn is_read_only(conn: &Connection) -> Result<bool, Fault> {
    Ok(get::<i64>(conn, key::READ_ONLY)?.is_some_and(|note| note != 0))
}

/// Whether all that is here, whoever wrote it, is to be offered to the server once.
pub(crate) fn must_offer(conn: &Connection) -> Result<bool, Fault> {
    Ok(get::<i64>(conn, key::MUST_OFFER)?.is_some_and(|note| note != 0))
}

/// Reads a value; `None` where it was never set.
pub(crate) fn get<T: FromSql>(conn: &Connection, key: &str) -> Result<Option<T>, Fault> {
    conn.prepare_cached("SELECT value FROM greenlight_state WHERE key = ?1")
        .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
        .map_err(from_sqlite)
}

/// Writes a value.
pub(crate) fn set(conn: &Connection, key: &str, value: impl ToSql) -> Result<(), Fault> {
    conn.prepare_cached("INSERT OR REPLACE INTO greenlight_state (key, value) VALUES (?1, ?2)")
        .and_then(|mut statement| statement.execute((key, value)).map(drop))
        .map_err(from_sqlite)
}

/// A version that was stored; zero where it was never set.
pub(crate) fn version(conn: &Connection, key: &str) -> Result<Version, Fault> {
    read_version(get::<i64>(conn, key)?.unwrap_or(0))
}

/// A tag that was stored; zero where it was never set.
pub(crate) fn tag(conn: &Connection, key: &str) -> Result<Tag, Fault> {
    Ok(Tag::from_sql(get(conn, key)?.unwrap_or(0)))
}

/// A client's cursor.
pub(crate) fn cursor(conn: &Connection) -> Result<Cursor, Fault> {
    Ok(Cursor { version: version(conn, key::CURSOR_VERSION)?, tag: tag(conn, key::CURSOR_TAG)? })
}

/// Moves a client's cursor.
pub(crate) fn set_cursor(conn: &Connection, cursor: Cursor) -> Result<(), Fault> {
    set(conn, key::CURSOR_VERSION, cursor.version.to_sql())?;
    set(conn, key::CURSOR_TAG, cursor.tag.to_sql())
}

/// What a client's server has acknowledged.
pub(crate) fn acknowledged(conn: &Connection) -> Result<Bound, Fault> {
    Ok(Bound { version: version(conn, key::ACKNOWLEDGED_VERSION)?, tag: tag(conn, key::ACKNOWLEDGED_TAG)? })
}

/// Records an acknowledgement.
pub(crate) fn set_acknowledged(conn: &Connection, bound: Bound) -> Result<(), Fault> {
    set(conn, key::ACKNOWLEDGED_VERSION, bound.version.to_sql())?;
    set(conn, key::ACKNOWLEDGED_TAG, bound.tag.to_sql())
}

/// The lineage that a client follows.
pub(crate) fn followed(conn: &Connection) -> Result<Option<Lineage>, Fault> {
    let Some(site) = get::<Vec<u8>>(conn, key::SERVER)? else { return Ok(None) };
    let site_id = SiteId::from_slice(&site).ok_or_else(|| internal("the server's site id is not 16 bytes long"))?;
    Ok(Some(Lineage { site_id, epoch: epoch(conn)? }))
}

/// A server's own epoch, or the one that a client follows.
pub(crate) fn epoch(conn: &Connection) -> Result<Epoch, Fault> {
    Ok(Epoch(get::<i64>(conn, key::EPOCH)?.unwrap_or(0) as u64))
}

/// A server's head.
pub(crate) fn head(conn: &Connection) -> Result<Cursor, Fault> {
    Ok(Cursor { version: version(conn, key::HEAD_VERSION)?, tag: tag(conn, key::HEAD_TAG)? })
}

/// Moves a server's head, and makes cr-sqlite begin above it whoever writes next: numbers are never used twice,
/// even after a file was opened again or by another process.
pub(crate) fn set_head(conn: &Connection, head: Cursor) -> Result<(), Fault> {
    set(conn, key::HEAD_VERSION, head.version.to_sql())?;
    set(conn, key::HEAD_TAG, head.tag.to_sql())?;
    pin_floor(conn, head.version)
}

/// cr-sqlite numbers its next transaction above this, on every connection.
pub(crate) fn pin_floor(conn: &Connection, version: Version) -> Result<(), Fault> {
    conn.prepare_cached("INSERT OR REPLACE INTO crsql_master (key, value) VALUES ('pre_compact_dbversion', ?1)")
        .and_then(|mut statement| statement.execute([version.to_sql()]).map(drop))
        .map_err(from_sqlite)
}

/// Checks a version that was read.
pub(crate) fn read_version(number: i64) -> Result<Version, Fault> {
    Version::from_sql(number).ok_or_else(|| internal(format!("version {number} is not within 0 and {MAX_VERSION}")))
}

/// Whether a statement returns a row.
pub(crate) fn exists(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<bool, Fault> {
    conn.prepare_cached(sql).and_then(|mut statement| statement.exists(params)).map_err(from_sqlite)
}

/// Runs a cached statement that returns nothing, and tells how many rows it changed.
pub(crate) fn run(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<usize, Fault> {
    conn.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(from_sqlite)
}

/// Runs a cached statement that returns one row.
pub(crate) fn one<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<T, Fault> {
    conn.prepare_cached(sql).and_then(|mut statement| statement.query_row(params, read)).map_err(from_sqlite)
}

/// How many rows one of the store's own tables has.
pub(crate) fn rows(conn: &Connection, table: &str) -> Result<u64, Fault> {
    one(conn, &format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).map(|count| count as u64)
}
