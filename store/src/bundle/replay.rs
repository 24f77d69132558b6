//! Reading a bundle back: what it would change in a database, and doing that, as new local writes.
//!
//! Where in the flow: outside of sync; what is written then goes the way of every local write. Never takes over clocks
//! or versions: what is written again wins by being newer, as if a person had typed it. Never writes a cell that has
//! the bundle's value already, so that a replay may be repeated.

use std::collections::BTreeMap;

use greenlight_core::change::SENTINEL;
use greenlight_core::replica::{ClientStore, Fault};
use greenlight_core::{SchemaShape, TableShape, Value};
use serde::Serialize;
use thiserror::Error;

use super::{FORMAT, Header, Line, SavedChange, SavedValue, read_value, save_value};
use crate::client::ClientDatabase;
use crate::statement::StatementError;
use crate::tables::quote;

/// Rows of one bundle; beyond it there is no room for them at once.
pub const MAX_ROWS: usize = 2_000_000;
/// Cells of one table that a plan shows with both values.
pub const MAX_SAMPLES: usize = 20;

/// Why a bundle can't be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It isn't one.
    #[error("line {0} is not a bundle's")]
    NotABundle(u64),
    /// A newer version of this program wrote it.
    #[error("the bundle's format {0} is not known here")]
    Format(u32),
    /// Its last line is missing or does not fit.
    #[error("the bundle is not complete")]
    Incomplete,
    /// More than [`MAX_ROWS`].
    #[error("the bundle has more than {MAX_ROWS} rows")]
    TooLarge,
    /// The database could not be read.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A row could not be read or written.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// Which rows of a bundle are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// What the server had not acknowledged.
    #[default]
    Unacknowledged,
    /// Everything that was in the database, where the bundle holds it: after a reset of the server it may exist
    /// nowhere else.
    All,
}

/// One row's state, gathered from its changes.
#[derive(Clone, Debug, Default)]
struct Row {
    key: Vec<Value>,
    /// The highest causal length seen: even is deleted.
    causal_length: u64,
    cells: BTreeMap<String, Value>,
}

/// By table and the key's JSON text.
type Gathered = BTreeMap<(String, String), Row>;

/// What was read of a bundle so far.
#[derive(Debug, Default)]
pub struct Replay {
    lines: u64,
    ended: bool,
    header: Option<Header>,
    pending: Gathered,
    acknowledged: Gathered,
}

/// What a replay would do to one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TablePlan {
    /// Its name.
    pub table: String,
    /// Rows that are not here.
    pub added: u64,
    /// Rows of which cells are here with other values.
    pub overwritten: u64,
    /// Rows that are here and deleted in the bundle.
    pub deleted: u64,
    /// Rows that need nothing.
    pub equal: u64,
    /// Rows that can't be written: the table, a key of this form or all of the columns are unknown here.
    pub unknown: u64,
    /// Cells that would be overwritten, at most [`MAX_SAMPLES`].
    pub samples: Vec<Sample>,
}

/// A cell that would be overwritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// The row's key.
    pub key: Vec<Option<SavedValue>>,
    /// The column.
    pub column: String,
    /// What is here.
    pub here: Option<SavedValue>,
    /// What the bundle has.
    pub bundle: Option<SavedValue>,
}

/// What a replay would do.
#[derive(Debug, Default)]
pub struct Plan {
    /// By table, in the order of names; tables of which nothing is in the bundle are left out.
    pub tables: Vec<TablePlan>,
    statements: Vec<(String, Vec<Value>)>,
}

impl Plan {
    /// How many rows it writes or deletes.
    pub fn rows(&self) -> u64 {
        self.statements.len() as u64
    }

    /// Writes it within the app's transaction that the caller holds ([`ClientDatabase::begin_transaction`]).
    ///
    /// # Errors
    /// A statement's; then the caller rolls back.
    pub fn write(self, database: &mut ClientDatabase) -> Result<u64, ReplayError> {
        let rows = self.rows();
        for (sql, params) in self.statements {
            database.exec(&sql, &params)?;
        }
        Ok(rows)
    }
}

impl Replay {
    /// Takes in whole lines.
    ///
    /// # Errors
    /// [`ReplayError`]; then nothing of the bundle is to be written.
    pub fn take(&mut self, lines: &[u8]) -> Result<(), ReplayError> {
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            if self.ended {
                return Err(ReplayError::Incomplete);
            }
            let number = self.lines;
            self.take_line(line, number)?;
            self.lines += 1;
        }
        Ok(())
    }

    /// The first line; `None` before it was taken in.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Whether all of the bundle was taken in.
    pub fn is_complete(&self) -> bool {
        self.ended
    }

    /// By table, in the order of names: rows that were pending, and, where the bundle holds the whole database, all.
    pub fn tables(&self) -> Vec<(String, u64, u64)> {
        let mut counts = BTreeMap::<&str, (u64, u64)>::new();
        for (table, _) in self.pending.keys() {
            counts.entry(table).or_default().0 += 1;
        }
        for (table, _) in self.acknowledged.keys() {
            counts.entry(table).or_default().1 += 1;
        }
        counts.into_iter().map(|(table, (pending, all))| (table.to_owned(), pending, all)).collect()
    }

    fn take_line(&mut self, line: &[u8], number: u64) -> Result<(), ReplayError> {
        let wrong = || ReplayError::NotABundle(number + 1);
        if number == 0 {
            let header: Header = serde_json::from_slice(line).map_err(|_| wrong())?;
            if header.greenlight_bundle != FORMAT {
                return Err(ReplayError::Format(header.greenlight_bundle));
            }
            self.header = Some(header);
            return Ok(());
        }
        match serde_json::from_slice(line).map_err(|_| wrong())? {
            Line::Change(change) => self.take_change(change).ok_or_else(wrong)?,
            Line::Piece { .. } => {}
            Line::End { end } if end == number => self.ended = true,
            Line::End { .. } => return Err(ReplayError::Incomplete),
        }
        let rows = self.pending.len() + self.acknowledged.len();
        if rows > MAX_ROWS { Err(ReplayError::TooLarge) } else { Ok(()) }
    }

    fn take_change(&mut self, change: SavedChange) -> Option<()> {
        let name = serde_json::to_string(&change.key).ok()?;
        let rows = if change.acknowledged { &mut self.acknowledged } else { &mut self.pending };
        let row = rows.entry((change.table, name)).or_default();
        row.key = change.key.iter().map(|value| read_value(value.as_ref())).collect::<Option<_>>()?;
        row.causal_length = row.causal_length.max(change.causal_length);
        if change.column != SENTINEL {
            row.cells.insert(change.column, read_value(change.value.as_ref())?);
        }
        Some(())
    }

    /// What writing the bundle's rows into this database would do. Deletions come last.
    ///
    /// # Errors
    /// [`ReplayError::Incomplete`], or the database's.
    pub fn plan(self, database: &mut ClientDatabase, rows: Rows) -> Result<Plan, ReplayError> {
        if !self.ended {
            return Err(ReplayError::Incomplete);
        }
        let mut chosen = if rows == Rows::All { self.acknowledged } else { Gathered::new() };
        // What was pending is the latest that was known of its rows.
        for (name, row) in self.pending {
            let known = chosen.entry(name).or_default();
            known.causal_length = known.causal_length.max(row.causal_length);
            known.key = row.key;
            known.cells.extend(row.cells);
        }
        let shape = database.load()?.shape;
        let mut plan = Plan::default();
        let mut deletes = Vec::new();
        for ((table, _), row) in chosen {
            if plan.tables.last().is_none_or(|last| last.table != table) {
                plan.tables.push(TablePlan { table: table.clone(), ..TablePlan::default() });
            }
            let (Some(told), known) = (plan.tables.last_mut(), known_table(&shape, &table, &row)) else { continue };
            let Some(shape) = known else {
                told.unknown += 1;
                continue;
            };
            let dead = row.causal_length.is_multiple_of(2);
            let here = present(database, shape, &row)?;
            match (here, dead) {
                (None, true) => told.equal += 1,
                (Some(_), true) => {
                    told.deleted += 1;
                    deletes.push(delete(shape, row.key));
                }
                (None, false) => {
                    told.added += 1;
                    plan.statements.push(upsert(shape, row.key, row.cells));
                }
                (Some(here), false) => {
                    let differing = differing(shape, &row, here, told);
                    if differing.is_empty() {
                        told.equal += 1;
                    } else {
                        told.overwritten += 1;
                        plan.statements.push(upsert(shape, row.key, differing));
                    }
                }
            }
        }
        plan.statements.append(&mut deletes);
        Ok(plan)
    }
}

/// The table's shape, where the row can be written: the key has as many columns, and one of the cells' is known.
fn known_table<'a>(shape: &'a SchemaShape, name: &str, row: &Row) -> Option<&'a TableShape> {
    let table = shape.tables.iter().find(|table| table.name == name)?;
    let dead = row.causal_length.is_multiple_of(2);
    let writable = dead || row.cells.is_empty() || row.cells.keys().any(|column| table.columns.contains(column));
    (table.key.len() == row.key.len() && writable).then_some(table)
}

/// The row's cells as they are here, in the order of the shape's columns; `None` where the row isn't here.
fn present(database: &mut ClientDatabase, table: &TableShape, row: &Row) -> Result<Option<Vec<Value>>, StatementError> {
    let columns: Vec<String> = table.columns.iter().map(|column| quote(column)).collect();
    let list = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
    let sql = format!("SELECT {list} FROM {} WHERE {}", quote(&table.name), is_key(table));
    Ok(database.query(&sql, &row.key)?.rows.into_iter().next())
}

/// The bundle's cells that are here with another value.
fn differing(table: &TableShape, row: &Row, here: Vec<Value>, told: &mut TablePlan) -> BTreeMap<String, Value> {
    let mut differing = BTreeMap::new();
    for (column, here) in table.columns.iter().zip(here) {
        let Some(value) = row.cells.get(column).filter(|value| **value != here) else { continue };
        if told.samples.len() < MAX_SAMPLES {
            told.samples.push(Sample {
                key: row.key.iter().map(save_value).collect(),
                column: column.clone(),
                here: save_value(&here),
                bundle: save_value(value),
            });
        }
        differing.insert(column.clone(), value.clone());
    }
    differing
}

fn is_key(table: &TableShape) -> String {
    table.key.iter().map(|column| format!("{} IS ?", quote(column))).collect::<Vec<_>>().join(" AND ")
}

fn delete(table: &TableShape, key: Vec<Value>) -> (String, Vec<Value>) {
    (format!("DELETE FROM {} WHERE {}", quote(&table.name), is_key(table)), key)
}

fn upsert(table: &TableShape, key: Vec<Value>, cells: BTreeMap<String, Value>) -> (String, Vec<Value>) {
    let mut values = key;
    let mut columns: Vec<String> = table.key.iter().map(|column| quote(column)).collect();
    let conflict = columns.join(", ");
    let mut updates = Vec::new();
    for (column, value) in cells.into_iter().filter(|(column, _)| table.columns.contains(column)) {
        let column = quote(&column);
        updates.push(format!("{column} = excluded.{column}"));
        columns.push(column);
        values.push(value);
    }
    let what = if updates.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", updates.join(", ")) };
    let places = vec!["?"; values.len()].join(", ");
    let list = columns.join(", ");
    let sql =
        format!("INSERT INTO {} ({list}) VALUES ({places}) ON CONFLICT ({conflict}) DO {what}", quote(&table.name));
    (sql, values)
}
