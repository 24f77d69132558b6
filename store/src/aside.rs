//! Changes that are kept but not applied: in quarantine because they failed, left out by a person after that, or held
//! aside for a later schema.
//!
//! Where in the flow: written in the same transaction as the part that brought them, so they count as received.
//! Never drops one silently.

use std::collections::HashSet;

use greenlight_core::limits::{MAX_COLUMN_VERSION, MAX_SEQUENCE};
use greenlight_core::replica::{Fault, FaultKind};
use greenlight_core::{Change, PackedKey, SiteId, Value};
use rusqlite::{Connection, Row};
use sha2::{Digest, Sha256};

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
    /// It could not be applied, and a person wants it left out until the schema changes.
    LeftOut,
}

impl Shelf {
    fn table(self) -> &'static str {
        match self {
            Self::Quarantine => "greenlight_quarantine",
            Self::Held => "greenlight_held",
            Self::LeftOut => "greenlight_left_out",
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

/// Names a change on a shelf; the same as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShelvedId(pub [u8; 16]);

impl ShelvedId {
    /// 32 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        SiteId(self.0).to_hex()
    }

    /// Reads what [`ShelvedId::to_hex`] writes.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
        Some(Self(number.to_be_bytes()))
    }

    /// Of what tells it from every other change on its shelf.
    fn of(table: &[u8], key: &[u8], column: &[u8], numbers: [i64; 2], site: &[u8]) -> Self {
        let mut hash = Sha256::new();
        for part in [table, key, column, &numbers[0].to_be_bytes(), &numbers[1].to_be_bytes(), site] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let full: [u8; 32] = hash.finalize().into();
        Self(std::array::from_fn(|index| full[index]))
    }
}

impl Shelved {
    /// Its name.
    pub fn id(&self) -> ShelvedId {
        let change = &self.change;
        let numbers = [change.column_version as i64, change.causal_length as i64];
        let (table, column) = (change.table.as_bytes(), change.column.as_bytes());
        ShelvedId::of(table, change.key.as_bytes(), column, numbers, &change.site.0)
    }
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

/// Whether a change is on a shelf.
pub(crate) fn holds(conn: &Connection, shelf: Shelf, change: &Change) -> Result<bool, Fault> {
    let sql = format!("SELECT 1 FROM {} WHERE {ONE}", shelf.table());
    state::exists(conn, &sql, one(change))
}

/// How many changes are on a shelf.
pub(crate) fn count(conn: &Connection, shelf: Shelf) -> Result<u64, Fault> {
    state::rows(conn, shelf.table())
}

/// Fails when a shelf holds more than its limit.
pub(crate) fn check_room(conn: &Connection) -> Result<(), Fault> {
    for shelf in [Shelf::Quarantine, Shelf::Held, Shelf::LeftOut] {
        if count(conn, shelf)? > ASIDE_LIMIT {
            let message = format!("more than {ASIDE_LIMIT} changes are kept aside");
            return Err(Fault { kind: FaultKind::Full, message });
        }
    }
    Ok(())
}

/// What is on a shelf, at most `limit`, in the order of tables and keys, without the first `offset`.
pub(crate) fn list(conn: &Connection, shelf: Shelf, offset: usize, limit: usize) -> Result<Vec<Shelved>, Fault> {
    let sql = format!("{} ORDER BY {ORDER} LIMIT ?1 OFFSET ?2", select(shelf));
    read(conn, &sql, (limit as i64, offset as i64), |_| Ok(true))
}

/// The changes in quarantine with these names.
pub(crate) fn find(conn: &Connection, ids: &HashSet<ShelvedId>) -> Result<Vec<Shelved>, Fault> {
    let sql = format!("{} ORDER BY {ORDER}", select(Shelf::Quarantine));
    read(conn, &sql, [], |row| {
        let bytes = |index| row.get_ref(index).map(|value| value.as_bytes().unwrap_or_default());
        let numbers = [row.get(4)?, row.get(5)?];
        Ok(ids.contains(&ShelvedId::of(bytes(0)?, bytes(1)?, bytes(2)?, numbers, bytes(7)?)))
    })
}

/// Says anew why a change is in quarantine.
pub(crate) fn set_reason(conn: &Connection, change: &Change, reason: &str) -> Result<(), Fault> {
    let sql = format!("UPDATE greenlight_quarantine SET reason = ?7 WHERE {ONE}");
    let (table, key, column, column_version, causal_length, site) = one(change);
    state::run(conn, &sql, (table, key, column, column_version, causal_length, site, reason)).map(drop)
}

/// What is held aside of one column.
pub(crate) fn of_column(conn: &Connection, table: &str, column: &str) -> Result<Vec<Shelved>, Fault> {
    let sql = format!("{} WHERE table_name = ?1 AND column_name = ?2 ORDER BY {ORDER}", select(Shelf::Held));
    read(conn, &sql, [table, column], |_| Ok(true))
}

/// The tables and columns of what is held aside.
pub(crate) fn held_columns(conn: &Connection) -> Result<Vec<(String, String)>, Fault> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    conn.prepare_cached("SELECT DISTINCT table_name, column_name FROM greenlight_held ORDER BY 1, 2")
        .and_then(|mut statement| statement.query_map([], read)?.collect())
        .map_err(from_sqlite)
}

/// That of the shelves' own keys, so that nothing is sorted.
const ORDER: &str = "table_name, key, column_name, column_version, causal_length, site";

/// What finds one change; its parameters are those of [`one`].
const ONE: &str = "table_name = ?1 AND key = ?2 AND column_name = ?3 AND column_version = ?4 AND causal_length = ?5
                     AND site = ?6";

fn one(change: &Change) -> (&str, &[u8], &str, i64, i64, &[u8]) {
    let numbers = (change.column_version as i64, change.causal_length as i64);
    (&change.table, change.key.as_bytes(), &change.column, numbers.0, numbers.1, &change.site.0)
}

fn select(shelf: Shelf) -> String {
    format!(
        "SELECT table_name, key, column_name, value, column_version, causal_length, sequence, site, reason, since_ms,
           sender FROM {}",
        shelf.table()
    )
}

/// The rows that are wanted; of others no value is read.
fn read(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    wanted: impl Fn(&Row<'_>) -> rusqlite::Result<bool>,
) -> Result<Vec<Shelved>, Fault> {
    let mut statement = conn.prepare_cached(sql).map_err(from_sqlite)?;
    let mut rows = statement.query(params).map_err(from_sqlite)?;
    let mut shelved = Vec::new();
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        if wanted(row).map_err(from_sqlite)? {
            let stored = Stored::read(row).map_err(from_sqlite)?;
            shelved.push(stored.check().ok_or_else(|| internal("a change that was put aside can't be read"))?);
        }
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
    let sql = format!("DELETE FROM {} WHERE {ONE}", shelf.table());
    Ok(state::run(conn, &sql, one(change))? > 0)
}

/// Moves a change from one shelf to another.
pub(crate) fn move_to(conn: &Connection, shelved: &Shelved, from: Shelf, to: Shelf) -> Result<(), Fault> {
    put(conn, to, &shelved.change, &shelved.reason, shelved.since_ms, shelved.sender)?;
    take(conn, from, &shelved.change).map(drop)
}
