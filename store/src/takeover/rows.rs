//! What rows hold that can't travel: keys that are missing, too long or converted, text that is none, too much data.
//!
//! Where in the flow: the second look at a database that is taken over, after its definitions. Reads every row once and
//! keeps counts alone. Never changes one.

use std::collections::BTreeMap;

use greenlight_core::limits::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::{Obstacle, TableRows, TakeoverError};
use crate::schema::structure::Table;
use crate::tables::{KEY_COLUMN_OVERHEAD_BYTES, keeps, quote};
use crate::value;

/// Rows between two words of progress.
const PROGRESS_ROWS: u64 = 4_096;
/// What a value takes beside its bytes in a row, at most.
const VALUE_OVERHEAD_BYTES: usize = 9;
/// Characters of a key that are told.
const SHOWN: usize = 60;
/// Rows that break the types of their table and are told in SQLite's words.
const TYPES_TOLD: usize = 20;

/// What may be wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    NullKey,
    ConvertedKey,
    LongKey,
    NoText,
    LargeRow,
}

/// What is wrong, and in which column, with how many rows, and the first of them.
type Found = BTreeMap<(Wrong, Option<usize>), (u64, String)>;

/// Counts rows, and finds those that can't travel.
pub(super) fn scan(
    conn: &Connection,
    tables: &[Table],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Vec<TableRows>, Vec<Obstacle>), TakeoverError> {
    let tables: Vec<&Table> = tables.iter().filter(|table| !table.is_virtual).collect();
    let mut counts = Vec::new();
    for table in &tables {
        let sql = format!("SELECT count(*) FROM {}", quote(&table.name));
        let rows = conn.query_row(&sql, [], |row| row.get::<_, i64>(0))? as u64;
        counts.push(TableRows { table: table.name.to_string(), rows });
    }
    let total = counts.iter().map(|table| table.rows).sum();
    let mut done = 0;
    let mut obstacles = Vec::new();
    for table in tables {
        scan_table(conn, table, &mut obstacles, &mut || {
            done += 1;
            if done % PROGRESS_ROWS == 0 {
                progress(done, total);
            }
        })?;
    }
    Ok((counts, obstacles))
}

fn scan_table(
    conn: &Connection,
    table: &Table,
    obstacles: &mut Vec<Obstacle>,
    each: &mut dyn FnMut(),
) -> Result<(), TakeoverError> {
    let names: Vec<&str> =
        table.key.iter().map(|column| &*column.name).chain(table.columns.iter().map(|column| &*column.name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let list = names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    let mut statement = conn.prepare(&format!("SELECT {list} FROM {}", quote(&table.name)))?;
    let mut found = Found::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each();
        judge(table, row, names.len(), &mut found)?;
    }
    obstacles.extend(found.into_iter().map(|((wrong, column), (count, first))| {
        let column = column.and_then(|index| names.get(index)).map(|name| (*name).to_owned());
        obstacle(wrong, &table.name, column, count, &first)
    }));
    check_rules(conn, table, obstacles)
}

/// Rows that a CHECK would not let in: it was off, or is younger than they are.
fn check_rules(conn: &Connection, table: &Table, obstacles: &mut Vec<Obstacle>) -> Result<(), TakeoverError> {
    // One of several columns is an obstacle itself.
    for check in table.checks.iter().filter(|check| check.columns.len() <= 1) {
        let (name, rule) = (&table.name, &check.expression);
        let sql = format!("SELECT count(*) FROM {} WHERE NOT ({rule})", quote(name));
        let count: i64 = conn.query_row(&sql, [], |row| row.get(0))?;
        if count > 0 {
            obstacles.push(Obstacle {
                table: Some(name.to_string()),
                column: check.columns.first().cloned(),
                problem: format!(
                    "table `{name}` has {} that its CHECK does not let in ({rule})",
                    rows_of(count as u64)
                ),
                remedy: "mend or delete these rows, or leave out the CHECK".to_owned(),
                mended: false,
            });
        }
    }
    Ok(())
}

fn rows_of(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

fn judge(table: &Table, row: &Row<'_>, columns: usize, found: &mut Found) -> Result<(), TakeoverError> {
    let mut find = |wrong, column| {
        let entry = found.entry((wrong, column)).or_insert_with(|| (0, key_of(table, row)));
        entry.0 += 1;
    };
    let (mut row_bytes, mut key_bytes) = (0, 1);
    for index in 0..columns {
        let value = row.get_ref(index)?;
        let bytes = match value {
            ValueRef::Null => 0,
            ValueRef::Integer(_) | ValueRef::Real(_) => 8,
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        };
        row_bytes += bytes + VALUE_OVERHEAD_BYTES;
        if let ValueRef::Text(bytes) = value
            && std::str::from_utf8(bytes).is_err()
        {
            find(Wrong::NoText, Some(index));
        }
        let Some(key) = table.key.get(index) else { continue };
        key_bytes += bytes + KEY_COLUMN_OVERHEAD_BYTES;
        if value == ValueRef::Null {
            find(Wrong::NullKey, Some(index));
        } else if !keeps(key.affinity, &value::read(value)) {
            find(Wrong::ConvertedKey, Some(index));
        }
    }
    if key_bytes > MAX_KEY_BYTES {
        find(Wrong::LongKey, None);
    }
    if row_bytes > MAX_VALUE_BYTES {
        find(Wrong::LargeRow, None);
    }
    Ok(())
}

/// A row's key as a person reads it, and nothing that would write on a terminal.
fn key_of(table: &Table, row: &Row<'_>) -> String {
    let values = (0..table.key.len()).map(|index| match row.get_ref(index) {
        Ok(ValueRef::Integer(number)) => number.to_string(),
        Ok(ValueRef::Real(number)) => number.to_string(),
        Ok(ValueRef::Text(text)) => format!("'{}'", String::from_utf8_lossy(text)),
        Ok(ValueRef::Blob(blob)) => format!("a blob of {} bytes", blob.len()),
        Ok(ValueRef::Null) | Err(_) => "NULL".to_owned(),
    });
    let key = values.collect::<Vec<_>>().join(", ").replace(char::is_control, " ");
    if key.chars().count() > SHOWN { key.chars().take(SHOWN).chain(['…']).collect() } else { key }
}

fn obstacle(wrong: Wrong, table: &str, column: Option<String>, count: u64, first: &str) -> Obstacle {
    let rows = rows_of(count);
    let first = if first.is_empty() { String::new() } else { format!(", the first with the key {first}") };
    let name = column.as_deref().unwrap_or_default();
    let (t, c) = (quote(table), quote(name));
    let (problem, remedy) = match wrong {
        Wrong::NullKey => (
            format!("table `{table}` has {rows} without a value in key column `{name}`"),
            format!("give them keys (UPDATE {t} SET {c} = ... WHERE {c} IS NULL), or delete them"),
        ),
        Wrong::ConvertedKey => (
            format!("table `{table}` has {rows} with a key in column `{name}` that its type would convert{first}"),
            format!("declare {c} as BLOB or TEXT, or give them other keys"),
        ),
        Wrong::LongKey => (
            format!("table `{table}` has {rows} with a key of more than {MAX_KEY_BYTES} bytes{first}"),
            "give them shorter keys, as a hash of the long ones".to_owned(),
        ),
        Wrong::NoText => (
            format!("table `{table}` has {rows} with text in column `{name}` that is not UTF-8{first}"),
            format!("write it as UTF-8, or store it as a blob (UPDATE {t} SET {c} = CAST({c} AS BLOB) WHERE ...)"),
        ),
        Wrong::LargeRow => (
            format!("table `{table}` has {rows} of more than {MAX_VALUE_BYTES} bytes{first}"),
            "keep large data in files, or spread it over several rows".to_owned(),
        ),
    };
    Obstacle { table: Some(table.to_owned()), column, problem, remedy, mended: false }
}

/// Rows that their own table would not take today, in SQLite's words: `NULL value in t.c`.
pub(super) fn broken_types(found: Vec<String>) -> Vec<Obstacle> {
    let told = found.into_iter().take(TYPES_TOLD).map(|text| {
        let place = text.rsplit(" in ").next().unwrap_or_default().to_owned();
        let (table, column) = match place.split_once('.') {
            Some((table, column)) => (table.to_owned(), Some(column.to_owned())),
            None => (place, None),
        };
        Obstacle {
            problem: format!(
                "table `{table}` has a row that it would not take today, nor will another machine: {text}"
            ),
            table: Some(table),
            column,
            remedy: "mend or delete the row".to_owned(),
            mended: false,
        }
    });
    told.collect()
}
