//! Changes that are kept but not applied: in quarantine because they failed, or held aside for a later schema.
//!
//! Where in the flow: written in the same transaction as the part that brought them, so they count as received.
//! Never drops one silently.

use greenlight_core::limits::{MAX_COLUMN_VERSION, MAX_SEQUENCE};
use greenlight_core::replica::{Fault, FaultKind};
use greenlight_core::{Change, PackedKey, SiteId, Value};
use rusqlite::{Connection, Row};

use crate::fault::{from_sqlite, internal};
use crate::limits::ASIDE_LIMIT;
use crate::state;
use crate::value::{self, Bind};

/// Where a change is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// It could not be applied; a person has to look.
    Quarantine,
    /// Its table or column is not known yet.
    Held,
}

impl Shelf {
    fn table(self) -> &'static str {
        match self {
            Self::Quarantine => "greenlight_quarantine",
            Self::Held => "greenlight_held",
        }
    }
}

/// A change on a shelf.
#[derive(Clone, Debug, PartialEq)]
pub struct Shelved {
    /// The change.
    pub change: Change,
    /// Why it is here, for a person.
    pub reason: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// Which peer sent it: the client on a server, the server on a client.
    pub sender: Option<SiteId>,
}

/// Puts a change aside; whether it wasn't there before.
pub(crate) fn put(
    conn: &Connection,
    shelf: Shelf,
    change: &Change,
    reason: &str,
    now_ms: i64,
    sender: Option<SiteId>,
) -> Result<bool, Fault> {
    let sql = format!(
        "INSERT OR IGNORE INTO {} (table_name, key, column_name, value, column_version, causal_length, sequence, site,
           reason, since_ms, sender) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        shelf.table()
    );
    let added = state::run(
        conn,
        &sql,
        (
            &*change.table,
            change.key.as_bytes(),
            &*change.column,
            Bind(&change.value),
            change.column_version as i64,
            change.causal_length as i64,
            change.sequence as i64,
            &change.site.0[..],
            reason,
            now_ms,
            sender.as_ref().map(|site| &site.0[..]),
        ),
    )?;
    Ok(added > 0)
}

/// How many changes are on a shelf.
pub(crate) fn count(conn: &Connection, shelf: Shelf) -> Result<u64, Fault> {
    state::rows(conn, shelf.table())
}

/// Fails when a shelf holds more than its limit.
pub(crate) fn check_room(conn: &Connection) -> Result<(), Fault> {
    for shelf in [Shelf::Quarantine, Shelf::Held] {
        if count(conn, shelf)? > ASIDE_LIMIT {
            let message = format!("more than {ASIDE_LIMIT} changes are kept aside");
            return Err(Fault { kind: FaultKind::Full, message });
        }
    }
    Ok(())
}

/// What is on a shelf, at most `limit`, in the order of tables and keys.
pub(crate) fn list(conn: &Connection, shelf: Shelf, limit: usize) -> Result<Vec<Shelved>, Fault> {
    select(conn, shelf, "1", &[], limit)
}

/// What is held aside of one column.
pub(crate) fn of_column(conn: &Connection, table: &str, column: &str) -> Result<Vec<Shelved>, Fault> {
    let filter = "table_name = ?1 AND column_name = ?2";
    select(conn, Shelf::Held, filter, &[table, column], ASIDE_LIMIT as usize)
}

/// The tables and columns of what is held aside.
pub(crate) fn held_columns(conn: &Connection) -> Result<Vec<(String, String)>, Fault> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    conn.prepare_cached("SELECT DISTINCT table_name, column_name FROM greenlight_held ORDER BY 1, 2")
        .and_then(|mut statement| statement.query_map([], read)?.collect())
        .map_err(from_sqlite)
}

fn select(conn: &Connection, shelf: Shelf, filter: &str, params: &[&str], limit: usize) -> Result<Vec<Shelved>, Fault> {
    let sql = format!(
        "SELECT table_name, key, column_name, value, column_version, causal_length, sequence, site, reason, since_ms,
           sender FROM {} WHERE {filter} ORDER BY table_name, key, column_name, column_version LIMIT {limit}",
        shelf.table()
    );
    let mut statement = conn.prepare_cached(&sql).map_err(from_sqlite)?;
    let mut rows = statement.query(rusqlite::params_from_iter(params)).map_err(from_sqlite)?;
    let mut shelved = Vec::new();
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        let stored = Stored::read(row).map_err(from_sqlite)?;
        shelved.push(stored.check().ok_or_else(|| internal("a change that was put aside can't be read"))?);
    }
    Ok(shelved)
}

/// A row as it stands, unchecked: any process may have written it.
struct Stored {
    table: String,
    key: Vec<u8>,
    column: String,
    value: Value,
    numbers: [i64; 3],
    site: Vec<u8>,
    reason: String,
    since_ms: i64,
    sender: Option<Vec<u8>>,
}

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            table: row.get(0)?,
            key: row.get(1)?,
            column: row.get(2)?,
            value: value::read(row.get_ref(3)?),
            numbers: [row.get(4)?, row.get(5)?, row.get(6)?],
            site: row.get(7)?,
            reason: row.get(8)?,
            since_ms: row.get(9)?,
            sender: row.get(10)?,
        })
    }

    fn check(self) -> Option<Shelved> {
        let number =
            |index: usize, limit: u64| u64::try_from(self.numbers[index]).ok().filter(|number| *number <= limit);
        let change = Change {
            column_version: number(0, MAX_COLUMN_VERSION)?,
            causal_length: number(1, MAX_COLUMN_VERSION)?,
            sequence: number(2, MAX_SEQUENCE)?,
            table: self.table.into(),
            key: PackedKey::new(&self.key).ok()?,
            column: self.column.into(),
            value: self.value,
            site: SiteId::from_slice(&self.site)?,
        };
        let sender = self.sender.as_deref().and_then(SiteId::from_slice);
        Some(Shelved { change, reason: self.reason, since_ms: self.since_ms, sender })
    }
}

/// Takes a change off a shelf.
pub(crate) fn take(conn: &Connection, shelf: Shelf, change: &Change) -> Result<bool, Fault> {
    let sql = format!(
        "DELETE FROM {} WHERE table_name = ?1 AND key = ?2 AND column_name = ?3 AND column_version = ?4
           AND causal_length = ?5 AND site = ?6",
        shelf.table()
    );
    let params = (
        &*change.table,
        change.key.as_bytes(),
        &*change.column,
        change.column_version as i64,
        change.causal_length as i64,
        &change.site.0[..],
    );
    Ok(state::run(conn, &sql, params)? > 0)
}
