//! The simulator's own eyes: what a database holds, read by SQL that shares nothing with the store's.
//!
//! Where in the flow: behind every check of a real database ([`Disk`](crate::disk::Disk) asks the model's files). Never writes, never asks a session or a store.

use std::collections::BTreeMap;

use greenlight_core::Value as CoreValue;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::workload::{TABLES, Table};

/// cr-sqlite's name for a row's marker.
const SENTINEL: &str = "-1";

/// One cell, or a row's marker, as some database held it at some time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    /// An index into [`TABLES`].
    pub table: usize,
    /// The key's values.
    pub key: Vec<Value>,
    /// The column; `-1` is the marker.
    pub column: String,
    /// The row's causal length: even when it is deleted.
    pub causal_length: i64,
    /// How often the cell was written.
    pub column_version: i64,
    /// Its value.
    pub value: Value,
    /// Its version in the database that it was read from.
    pub version: i64,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, key, column, causal_length, column_version, value, version } = self;
        let name = TABLES[*table].name;
        write!(f, "{name}{key:?}.{column} = {value:?} (length {causal_length}, written {column_version}, v{version})")
    }
}

/// Whether a row of this causal length and these cells, with their versions, holds a cell or one that wins over it.
pub(crate) fn is_held(cell: &Cell, causal_length: i64, cells: &BTreeMap<String, (i64, Value)>) -> bool {
    if causal_length != cell.causal_length {
        return causal_length > cell.causal_length;
    }
    if cell.column == SENTINEL || cell.causal_length % 2 == 0 {
        return true;
    }
    cells.get(&cell.column).is_some_and(|(version, value)| {
        *version > cell.column_version || *version == cell.column_version && !is_larger(&cell.value, value)
    })
}

/// The name of a column by its place; of none, the marker's.
pub(crate) fn column_name(table: usize, column: Option<usize>) -> &'static str {
    column.map_or(SENTINEL, |place| TABLES[table].columns[place].0)
}

/// A value as SQL has it.
pub(crate) fn sql(value: &CoreValue) -> Value {
    match value {
        CoreValue::Null => Value::Null,
        CoreValue::Integer(number) => Value::Integer(*number),
        CoreValue::Real(number) => Value::Real(*number),
        CoreValue::Text(text) => Value::Text(text.clone()),
        CoreValue::Blob(blob) => Value::Blob(blob.clone()),
    }
}

/// And back.
pub(crate) fn from_sql(value: &Value) -> CoreValue {
    match value {
        Value::Null => CoreValue::Null,
        Value::Integer(number) => CoreValue::Integer(*number),
        Value::Real(number) => CoreValue::Real(*number),
        Value::Text(text) => CoreValue::Text(text.clone()),
        Value::Blob(blob) => CoreValue::Blob(blob.clone()),
    }
}

/// cr-sqlite's order of values that were written equally often.
fn is_larger(one: &Value, other: &Value) -> bool {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Blob(_) => 1,
        Value::Text(_) => 2,
        Value::Real(_) => 3,
        Value::Integer(_) => 4,
    };
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one > other,
        (Value::Real(one), Value::Real(other)) => one > other,
        (Value::Text(one), Value::Text(other)) => one > other,
        (Value::Blob(one), Value::Blob(other)) => one > other,
        _ => rank(one) > rank(other),
    }
}

/// The cells above a version, own ones alone or everyone's.
pub(crate) fn cells_above(conn: &Connection, version: i64, own: bool) -> rusqlite::Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for (index, table) in TABLES.iter().enumerate() {
        let own = if own { " AND c.site_id = 0" } else { "" };
        let sql = format!("{} WHERE c.db_version > ?1{own}", select(table));
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query([version])?;
        while let Some(row) = rows.next()? {
            let count = table.key.len();
            cells.push(Cell {
                table: index,
                key: (0..count).map(|place| row.get(place)).collect::<Result<_, _>>()?,
                column: row.get(count)?,
                causal_length: row.get(count + 1)?,
                column_version: row.get(count + 2)?,
                value: row.get(count + 3)?,
                version: row.get(count + 4)?,
            });
        }
    }
    Ok(cells)
}

/// Whether a database holds a cell, or one that wins over it.
pub(crate) fn holds(conn: &Connection, cell: &Cell) -> rusqlite::Result<bool> {
    let table = &TABLES[cell.table];
    let matching: Vec<String> = table.key.iter().map(|(name, _)| format!("p.{name} = ?")).collect();
    let sql = format!("{} WHERE {}", select(table), matching.join(" AND "));
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(&cell.key))?;
    let (mut causal_length, mut cells) = (0, BTreeMap::new());
    let count = table.key.len();
    while let Some(row) = rows.next()? {
        causal_length = row.get(count + 1)?;
        cells.insert(row.get(count)?, (row.get(count + 2)?, row.get(count + 3)?));
    }
    Ok(is_held(cell, causal_length, &cells))
}

/// The version at which a database holds what became of a cell: the cell itself, or the marker of its row where that
/// was deleted or created again since. Zero where there is neither.
pub(crate) fn present_version(conn: &Connection, cell: &Cell) -> rusqlite::Result<i64> {
    let table = &TABLES[cell.table];
    let matching: Vec<String> = table.key.iter().map(|(name, _)| format!("p.{name} = ?")).collect();
    let sql = format!(
        "SELECT ifnull(max(c.db_version), 0) FROM {0}__crsql_clock c JOIN {0}__crsql_pks p ON p.__crsql_key = c.key
         WHERE {1} AND (c.col_name = ? OR c.col_name = '{SENTINEL}' AND c.col_version > ?)",
        table.name,
        matching.join(" AND ")
    );
    let own = [Value::Text(cell.column.clone()), Value::Integer(cell.causal_length)];
    conn.prepare_cached(&sql)?.query_row(params_from_iter(cell.key.iter().chain(&own)), |row| row.get(0))
}

/// The key's columns, then column, causal length, column version, value, version.
fn select(table: &Table) -> String {
    let name = table.name;
    let keys: Vec<String> = table.key.iter().map(|(key, _)| format!("p.{key}")).collect();
    let joins: Vec<String> = table.key.iter().map(|(key, _)| format!("t.{key} = p.{key}")).collect();
    let cases: Vec<String> =
        table.columns.iter().map(|(column, _)| format!("WHEN '{column}' THEN t.{column}")).collect();
    let value = if cases.is_empty() { "NULL".to_owned() } else { format!("CASE c.col_name {} END", cases.join(" ")) };
    format!(
        "SELECT {}, c.col_name, ifnull(s.col_version, 1), c.col_version, {value}, c.db_version
         FROM {name}__crsql_clock c JOIN {name}__crsql_pks p ON p.__crsql_key = c.key
         LEFT JOIN {name}__crsql_clock s ON s.key = c.key AND s.col_name = '{SENTINEL}'
         LEFT JOIN {name} t ON {}",
        keys.join(", "),
        joins.join(" AND ")
    )
}

/// The largest version of a database, over all sites.
pub(crate) fn largest_version(conn: &Connection) -> rusqlite::Result<i64> {
    let mut largest = 0;
    for table in &TABLES {
        let sql = format!("SELECT ifnull(max(db_version), 0) FROM {}__crsql_clock", table.name);
        largest = largest.max(conn.prepare_cached(&sql)?.query_row([], |row| row.get(0))?);
    }
    Ok(largest)
}

/// How many own changes lie above a version, by the clocks.
pub(crate) fn own_above(conn: &Connection, version: i64) -> rusqlite::Result<u64> {
    let mut total = 0;
    for table in &TABLES {
        let sql = format!("SELECT count(*) FROM {}__crsql_clock WHERE site_id = 0 AND db_version > ?1", table.name);
        total += number(conn, &sql, [version])?;
    }
    Ok(total)
}

/// The same by cr-sqlite's own table of changes; the connection must have cr-sqlite.
pub(crate) fn own_changes_above(conn: &Connection, version: i64) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM crsql_changes WHERE db_version > ?1
               AND site_id = (SELECT site_id FROM crsql_site_id WHERE ordinal = 0)";
    number(conn, sql, [version])
}

/// A count, which is never negative.
fn number(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<u64> {
    conn.prepare_cached(sql)?.query_row(params, |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// A number of the client's state; zero where it was never set.
pub(crate) fn state_number(conn: &Connection, key: &str) -> rusqlite::Result<i64> {
    let sql = "SELECT ifnull(max(value), 0) FROM greenlight_state WHERE key = ?1";
    conn.prepare_cached(sql)?.query_row([key], |row| row.get(0))
}

/// The site id of the server that a client follows.
pub(crate) fn followed_site(conn: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT max(value) FROM greenlight_state WHERE key = 'server'";
    conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

/// How many changes are in quarantine or held aside.
pub(crate) fn aside(conn: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT (SELECT count(*) FROM greenlight_quarantine) + (SELECT count(*) FROM greenlight_held)";
    number(conn, sql, [])
}

/// Every row of every table, one line each, sorted: two databases that agree have equal lists.
pub(crate) fn rows(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut lines = Vec::new();
    for table in &TABLES {
        let mut statement = conn.prepare_cached(&format!("SELECT * FROM {}", table.name))?;
        let count = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let values = (0..count).map(|place| row.get(place)).collect::<Result<Vec<Value>, _>>()?;
            lines.push(format!("{}{values:?}", table.name));
        }
    }
    lines.sort_unstable();
    Ok(lines)
}
