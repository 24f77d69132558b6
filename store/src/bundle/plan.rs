//! What a replay would change in a database, and doing that, as new local writes.
//!
//! Where in the flow: outside of sync; what is written then goes the way of every local write. Never takes over clocks
//! or versions: what is written again wins by being newer, as if a person had typed it. Never writes a cell that has
//! the bundle's value already: each row is compared in the transaction that writes it, so a replay may be cut off
//! anywhere and repeated.

use std::collections::BTreeMap;

use greenlight_core::{SchemaShape, TableShape, Value};
use serde::Serialize;
use thiserror::Error;

use super::replay::{ReplayError, Row};
use super::{Excerpt, excerpt};
use crate::client::ClientDatabase;
use crate::statement::StatementError;
use crate::tables::quote;

/// Cells of one table that a plan shows with both values, unknown columns of one that it names, and refused rows that a
/// replay shows.
pub const MAX_SAMPLES: usize = 20;
/// Rows that one transaction of a replay writes at most.
pub const BATCH_ROWS: u64 = 1_000;
/// Rows that one step of a plan or a replay compares at most.
pub const BATCH_COMPARED: usize = 5_000;
/// A transaction of a replay ends once it has compared so many bytes of the bundle's values.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;

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
    /// Rows that are here and whose deletion the server had not acknowledged.
    pub deleted: u64,
    /// Rows that need nothing.
    pub equal: u64,
    /// Rows that can't be written: the table, a key of this form or all of the columns are unknown here.
    pub unknown: u64,
    /// Columns that are unknown here, at most [`MAX_SAMPLES`]; their cells are left in the bundle.
    pub unknown_columns: Vec<String>,
    /// Cells that would be overwritten, at most [`MAX_SAMPLES`].
    pub samples: Vec<Sample>,
}

/// A cell that would be overwritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// The row's key.
    pub key: Vec<Option<Excerpt>>,
    /// The column.
    pub column: String,
    /// What is here.
    pub here: Option<Excerpt>,
    /// What the bundle has.
    pub bundle: Option<Excerpt>,
}

/// What a replay would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// How many rows it would write or delete.
    pub rows: u64,
    /// Whether the bundle holds everything that was in the database; else all of its rows are those that were pending.
    pub whole: bool,
    /// By table, in the order of names; tables of which nothing is in the bundle are left out.
    pub tables: Vec<TablePlan>,
}

/// What a replay has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// Rows that were written or deleted.
    pub rows: u64,
    /// Rows that the schema's constraints did not let in. They stay in the bundle; the others were written all the same.
    pub refused: u64,
    /// The first of them, at most [`MAX_SAMPLES`].
    pub refusals: Vec<Refusal>,
}

/// A row that could not be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Its table.
    pub table: String,
    /// Its key.
    pub key: Vec<Option<Excerpt>>,
    /// SQLite's sentence.
    pub why: String,
}

/// A replay that failed on its way. What it wrote before that stays; it may be repeated.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct Stopped {
    /// What was committed.
    pub written: Written,
    /// Why it went no further.
    #[source]
    pub error: ReplayError,
}

/// The rows of a bundle that are to be replayed, deletions last.
#[derive(Debug)]
pub struct Chosen {
    rows: Vec<(String, Row)>,
    whole: bool,
    /// The first row that is not written yet.
    next: usize,
}

/// What a row needs.
enum Step {
    Unknown,
    Nothing,
    Add(BTreeMap<String, Value>),
    /// The cells that differ, with what is here.
    Overwrite(BTreeMap<String, (Value, Value)>),
    Delete,
}

impl Chosen {
    pub(super) fn new(rows: Vec<(String, Row)>, whole: bool) -> Self {
        Self { rows, whole, next: 0 }
    }

    /// What writing all of it would do. Reads every row that the bundle has, in no transaction of its own: where others
    /// write at the same time it is as of several moments.
    ///
    /// # Errors
    /// The database's.
    pub fn plan(&self, database: &mut ClientDatabase) -> Result<Plan, ReplayError> {
        let mut plan = Planning::default();
        while self.plan_some(database, &mut plan)? {}
        Ok(plan.done())
    }

    /// Goes on with a plan, by [`BATCH_COMPARED`] rows or [`BATCH_BYTES`]. Returns whether there is more to look at.
    ///
    /// # Errors
    /// The database's.
    pub fn plan_some(&self, database: &mut ClientDatabase, plan: &mut Planning) -> Result<bool, ReplayError> {
        plan.whole = self.whole;
        let shape = database.shape().clone();
        let mut bytes = 0;
        for (table, row) in self.rows.iter().skip(plan.looked).take(BATCH_COMPARED) {
            let step = compare(database, &shape, table, row)?;
            plan.tell(table, row, step, &shape);
            plan.looked += 1;
            bytes += size(row);
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        Ok(plan.looked < self.rows.len())
    }

    /// Writes all of it, in transactions of at most [`BATCH_ROWS`] rows each.
    ///
    /// # Errors
    /// [`Stopped`], with what was written until then.
    pub fn write(mut self, database: &mut ClientDatabase) -> Result<Written, Stopped> {
        let mut written = Written::default();
        loop {
            let batch = database.begin_transaction().map_err(ReplayError::from).and_then(|()| {
                let batch = self.write_some(database)?;
                database.commit_transaction()?;
                Ok(batch)
            });
            match batch {
                Ok((batch, more)) => {
                    written.add(batch);
                    if !more {
                        return Ok(written);
                    }
                }
                Err(error) => {
                    database.rollback_transaction();
                    return Err(Stopped { written, error });
                }
            }
        }
    }

    /// Writes the next batch within the app's transaction that the caller holds ([`ClientDatabase::begin_transaction`])
    /// and commits. Returns what it did, and whether there is more. A row that a constraint refuses is told and left
    /// out.
    ///
    /// # Errors
    /// The database's; then the caller rolls back and does not go on.
    pub fn write_some(&mut self, database: &mut ClientDatabase) -> Result<(Written, bool), ReplayError> {
        let shape = database.shape().clone();
        let (mut written, mut bytes) = (Written::default(), 0);
        for (table, row) in self.rows[self.next..].iter().take(BATCH_COMPARED) {
            let known = shape.tables.iter().find(|known| known.name == *table);
            let step = compare(database, &shape, table, row)?;
            if let Some((sql, params)) = known.and_then(|known| statement(known, row, step)) {
                match database.exec(&sql, &params) {
                    Ok(_) => written.rows += 1,
                    Err(StatementError::Fault(fault)) => return Err(fault.into()),
                    // An app's trigger rolled back what was written before in this batch.
                    Err(error) if !database.in_transaction() => return Err(error.into()),
                    Err(error) => written.refuse(table, row, &error),
                }
            }
            self.next += 1;
            bytes += size(row);
            if written.rows >= BATCH_ROWS || bytes >= BATCH_BYTES {
                break;
            }
        }
        Ok((written, self.next < self.rows.len()))
    }
}

impl Written {
    /// Adds what a further batch did.
    pub fn add(&mut self, batch: Self) {
        self.rows += batch.rows;
        self.refused += batch.refused;
        self.refusals.extend(batch.refusals);
        self.refusals.truncate(MAX_SAMPLES);
    }

    fn refuse(&mut self, table: &str, row: &Row, why: &StatementError) {
        self.refused += 1;
        if self.refusals.len() < MAX_SAMPLES {
            let key = row.key.iter().map(excerpt).collect();
            self.refusals.push(Refusal { table: table.to_owned(), key, why: why.to_string() });
        }
    }
}

/// A plan that is being made.
#[derive(Debug, Default)]
pub struct Planning {
    whole: bool,
    looked: usize,
    rows: u64,
    tables: BTreeMap<String, TablePlan>,
}

impl Planning {
    /// The plan, once there is no more to look at.
    pub fn done(self) -> Plan {
        Plan { rows: self.rows, whole: self.whole, tables: self.tables.into_values().collect() }
    }

    fn tell(&mut self, table: &str, row: &Row, step: Step, shape: &SchemaShape) {
        if !self.tables.contains_key(table) {
            self.tables.insert(table.to_owned(), TablePlan { table: table.to_owned(), ..TablePlan::default() });
        }
        let Some(told) = self.tables.get_mut(table) else { return };
        if row.lives() {
            let known = shape.tables.iter().find(|known| known.name == table);
            let mut unknown =
                row.cells.keys().filter(|column| known.is_some_and(|known| !known.columns.contains(column)));
            while told.unknown_columns.len() < MAX_SAMPLES
                && let Some(column) = unknown.find(|column| !told.unknown_columns.contains(column))
            {
                told.unknown_columns.push(column.clone());
            }
        }
        self.rows += u64::from(!matches!(step, Step::Unknown | Step::Nothing));
        match step {
            Step::Unknown => told.unknown += 1,
            Step::Nothing => told.equal += 1,
            Step::Add(_) => told.added += 1,
            Step::Delete => told.deleted += 1,
            Step::Overwrite(cells) => {
                told.overwritten += 1;
                for (column, (here, bundle)) in cells.into_iter().take(MAX_SAMPLES - told.samples.len()) {
                    let key = row.key.iter().map(excerpt).collect();
                    told.samples.push(Sample { key, column, here: excerpt(&here), bundle: excerpt(&bundle) });
                }
            }
        }
    }
}

/// The bundle's bytes of a row.
fn size(row: &Row) -> usize {
    row.key.iter().chain(row.cells.values()).chain(row.rest.values()).map(Value::size).sum()
}

fn compare(database: &mut ClientDatabase, shape: &SchemaShape, table: &str, row: &Row) -> Result<Step, ReplayError> {
    let Some(shape) = shape.tables.iter().find(|known| known.name == table && writable(known, row)) else {
        return Ok(Step::Unknown);
    };
    let here = present(database, shape, row)?;
    Ok(match here {
        None if !row.lives() => Step::Nothing,
        Some(_) if !row.lives() => Step::Delete,
        None => {
            let cells = row.rest.iter().chain(&row.cells).filter(|(column, _)| shape.columns.contains(column));
            Step::Add(cells.map(|(column, value)| (column.clone(), value.clone())).collect())
        }
        Some(here) => {
            let differing: BTreeMap<_, _> = shape
                .columns
                .iter()
                .zip(here)
                .filter_map(|(column, here)| {
                    let value = row.cells.get(column).filter(|value| **value != here)?;
                    Some((column.clone(), (here, value.clone())))
                })
                .collect();
            if differing.is_empty() { Step::Nothing } else { Step::Overwrite(differing) }
        }
    })
}

/// Whether the key has as many columns, and one of the cells' is known.
fn writable(table: &TableShape, row: &Row) -> bool {
    let any = !row.lives() || row.cells.is_empty() || row.cells.keys().any(|column| table.columns.contains(column));
    table.key.len() == row.key.len() && any
}

/// The row's cells as they are here, in the order of the shape's columns; `None` where the row isn't here.
fn present(database: &mut ClientDatabase, table: &TableShape, row: &Row) -> Result<Option<Vec<Value>>, StatementError> {
    let columns: Vec<String> = table.columns.iter().map(|column| quote(column)).collect();
    let list = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
    let sql = format!("SELECT {list} FROM {} WHERE {}", quote(&table.name), is_key(table));
    Ok(database.query(&sql, &row.key)?.rows.into_iter().next())
}

fn is_key(table: &TableShape) -> String {
    table.key.iter().map(|column| format!("{} IS ?", quote(column))).collect::<Vec<_>>().join(" AND ")
}

/// What carries out a step; `None` where there is nothing to do.
fn statement(table: &TableShape, row: &Row, step: Step) -> Option<(String, Vec<Value>)> {
    match step {
        Step::Unknown | Step::Nothing => None,
        Step::Delete => Some((format!("DELETE FROM {} WHERE {}", quote(&table.name), is_key(table)), row.key.clone())),
        Step::Add(cells) => {
            let columns: Vec<String> = table.key.iter().chain(cells.keys()).map(|column| quote(column)).collect();
            let places = vec!["?"; columns.len()].join(", ");
            let sql = format!("INSERT INTO {} ({}) VALUES ({places})", quote(&table.name), columns.join(", "));
            Some((sql, row.key.iter().cloned().chain(cells.into_values()).collect()))
        }
        Step::Overwrite(cells) => {
            let sets: Vec<String> = cells.keys().map(|column| format!("{} = ?", quote(column))).collect();
            let sql = format!("UPDATE {} SET {} WHERE {}", quote(&table.name), sets.join(", "), is_key(table));
            let values = cells.into_values().map(|(_, bundle)| bundle).chain(row.key.iter().cloned());
            Some((sql, values.collect()))
        }
    }
}
