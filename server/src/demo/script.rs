//! Rows on their way into the database, as text of SQL.
//!
//! Where in the flow: between the drawn shop and the writer. One script becomes a few statements of many rows, since
//! a statement is checked each time it is run. Never holds a value that anyone typed.

use std::fmt::Write;

/// Rows in one statement: far below the limit of a statement's text.
const ROWS: usize = 250;

/// A column's value.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// NULL.
    Null,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Option<i64>> for Cell {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::Number)
    }
}

/// Rows of several tables.
#[derive(Debug, Default)]
pub(super) struct Script(Vec<(&'static str, Vec<Cell>)>);

impl Script {
    /// Adds a row; `table` is the table's name with its columns in parentheses.
    pub(super) fn row(&mut self, table: &'static str, cells: Vec<Cell>) {
        self.0.push((table, cells));
    }

    /// How many rows.
    pub(super) fn rows(&self) -> usize {
        self.0.len()
    }

    /// The statements, each with many rows of one table.
    pub(super) fn statements(mut self) -> Vec<String> {
        self.0.sort_by_key(|(table, _)| *table);
        let same_table = self.0.chunk_by(|(one, _), (other, _)| one == other);
        same_table.flat_map(|rows| rows.chunks(ROWS)).map(statement).collect()
    }
}

fn statement(rows: &[(&'static str, Vec<Cell>)]) -> String {
    let mut sql = format!("INSERT INTO {} VALUES ", rows[0].0);
    for (index, (_, cells)) in rows.iter().enumerate() {
        sql.push_str(if index == 0 { "(" } else { ",(" });
        for (place, cell) in cells.iter().enumerate() {
            if place > 0 {
                sql.push(',');
            }
            match cell {
                Cell::Null => sql.push_str("NULL"),
                // Writing to a String can't fail.
                Cell::Number(number) => drop(write!(sql, "{number}")),
                Cell::Text(text) => drop(write!(sql, "'{}'", text.replace('\'', "''"))),
            }
        }
        sql.push(')');
    }
    sql
}
