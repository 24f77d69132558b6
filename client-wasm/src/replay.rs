//! Reading a bundle back: from its changes to the statements that write its values as new local writes.
//!
//! Where in the flow: outside of sync; the statements then go the way of every local write. Never takes over clocks
//! or versions: what is written again wins by being newer, as if a person had typed it.

use std::collections::BTreeMap;

use greenlight_core::change::SENTINEL;
use greenlight_core::{SchemaShape, Value};
use thiserror::Error;

use crate::bundle::{FORMAT, Header, Line, SavedChange, read_value};

/// Rows of one bundle; beyond it there is no room for them at once.
pub const MAX_ROWS: usize = 2_000_000;

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
}

/// One row's state, gathered from its changes.
#[derive(Debug, Default)]
struct Row {
    key: Vec<Value>,
    /// The highest causal length seen: even is deleted.
    causal_length: u64,
    cells: BTreeMap<String, Value>,
}

/// What was read of a bundle so far.
#[derive(Debug, Default)]
pub struct Replay {
    lines: u64,
    ended: bool,
    /// By table and the key's JSON text.
    rows: BTreeMap<(String, String), Row>,
}

/// A statement with its parameters.
pub type Statement = (String, Vec<Value>);

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

    fn take_line(&mut self, line: &[u8], number: u64) -> Result<(), ReplayError> {
        let wrong = || ReplayError::NotABundle(number + 1);
        if number == 0 {
            let header: Header = serde_json::from_slice(line).map_err(|_| wrong())?;
            let known = header.greenlight_bundle == FORMAT;
            return if known { Ok(()) } else { Err(ReplayError::Format(header.greenlight_bundle)) };
        }
        match serde_json::from_slice(line).map_err(|_| wrong())? {
            Line::Change(change) => self.take_change(change).ok_or_else(wrong)?,
            Line::Piece { .. } => {}
            Line::End { end } if end == number => self.ended = true,
            Line::End { .. } => return Err(ReplayError::Incomplete),
        }
        if self.rows.len() > MAX_ROWS { Err(ReplayError::TooLarge) } else { Ok(()) }
    }

    fn take_change(&mut self, change: SavedChange) -> Option<()> {
        let name = serde_json::to_string(&change.key).ok()?;
        let row = self.rows.entry((change.table, name)).or_default();
        row.key = change.key.iter().map(|value| read_value(value.as_ref())).collect::<Option<_>>()?;
        row.causal_length = row.causal_length.max(change.causal_length);
        if change.column != SENTINEL {
            row.cells.insert(change.column, read_value(change.value.as_ref())?);
        }
        Some(())
    }

    /// The statements that write the rows, deleted ones last. Tables and columns that the schema has no more, and
    /// rows whose key has another number of columns now, are left out; the bundle keeps them.
    ///
    /// # Errors
    /// [`ReplayError::Incomplete`].
    pub fn statements(self, shape: &SchemaShape) -> Result<Vec<Statement>, ReplayError> {
        if !self.ended {
            return Err(ReplayError::Incomplete);
        }
        let mut statements = Vec::new();
        let mut deletes = Vec::new();
        for ((table, _), row) in self.rows {
            let Some(shape) = shape.tables.iter().find(|shape| shape.name == table) else { continue };
            if shape.key.len() != row.key.len() {
                continue;
            }
            if row.causal_length % 2 == 0 {
                deletes.push(delete(&table, &shape.key, row.key));
            } else {
                statements.push(upsert(&table, &shape.key, &shape.columns, row));
            }
        }
        statements.append(&mut deletes);
        Ok(statements)
    }
}

fn delete(table: &str, key: &[String], values: Vec<Value>) -> Statement {
    let conditions: Vec<String> = key.iter().map(|column| format!("{} IS ?", quoted(column))).collect();
    (format!("DELETE FROM {} WHERE {}", quoted(table), conditions.join(" AND ")), values)
}

fn upsert(table: &str, key: &[String], known: &[String], row: Row) -> Statement {
    let mut values = row.key;
    let mut columns: Vec<String> = key.iter().map(|column| quoted(column)).collect();
    let conflict = columns.join(", ");
    let mut updates = Vec::new();
    for (column, value) in row.cells.into_iter().filter(|(column, _)| known.contains(column)) {
        let column = quoted(&column);
        updates.push(format!("{column} = excluded.{column}"));
        columns.push(column);
        values.push(value);
    }
    let what = if updates.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", updates.join(", ")) };
    let places = vec!["?"; values.len()].join(", ");
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({places}) ON CONFLICT ({conflict}) DO {what}",
        quoted(table),
        columns.join(", ")
    );
    (sql, values)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{self, SavedValue};
    use greenlight_core::TableShape;

    fn shape() -> SchemaShape {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let table = TableShape { name: "book".to_owned(), key: names(&["isbn"]), columns: names(&["pages", "title"]) };
        SchemaShape { tables: vec![table] }
    }

    fn header() -> Vec<u8> {
        let header = Header {
            greenlight_bundle: FORMAT,
            id: "0".repeat(32),
            name: "shop".to_owned(),
            created_at: 1,
            reason: "lineage".to_owned(),
            site_id: "0".repeat(32),
            server_site_id: None,
            server_epoch: None,
            cursor: 0,
            acknowledged: 0,
            schema_name: "shop".to_owned(),
            schema_number: 1,
            schema_digest: "0".repeat(32),
            changes: 0,
        };
        bundle::line(&header).unwrap()
    }

    fn change(table: &str, isbn: &str, column: &str, value: Option<&str>, causal_length: u64) -> Line {
        let text = |text: &str| SavedValue::Text(text.to_owned());
        Line::Change(SavedChange {
            table: table.to_owned(),
            key: vec![Some(text(isbn))],
            column: column.to_owned(),
            value: value.map(text),
            column_version: 1,
            causal_length,
        })
    }

    fn read(lines: &[Line]) -> Result<Vec<Statement>, ReplayError> {
        let mut replay = Replay::default();
        replay.take(&header())?;
        for line in lines {
            replay.take(&bundle::line(line).unwrap())?;
        }
        replay.statements(&shape())
    }

    #[test]
    fn a_row_is_written_whole_and_deletions_come_last() {
        let statements = read(&[
            change("book", "1", SENTINEL, None, 2),
            change("book", "2", SENTINEL, None, 1),
            change("book", "2", "title", Some("Emma"), 1),
            change("book", "2", "colour", Some("unknown column"), 1),
            change("shelf", "2", "title", Some("unknown table"), 1),
            bundle::piece(b"file"),
            Line::End { end: 7 },
        ])
        .unwrap();
        let text = |text: &str| Value::Text(text.to_owned());
        let insert = "INSERT INTO \"book\" (\"isbn\", \"title\") VALUES (?, ?) \
                      ON CONFLICT (\"isbn\") DO UPDATE SET \"title\" = excluded.\"title\"";
        assert_eq!(statements[0], (insert.to_owned(), vec![text("2"), text("Emma")]));
        assert_eq!(statements[1], ("DELETE FROM \"book\" WHERE \"isbn\" IS ?".to_owned(), vec![text("1")]));
        assert_eq!(statements.len(), 2);
    }

    #[test]
    fn a_bundle_that_was_cut_is_refused() {
        assert!(matches!(read(&[change("book", "1", "title", None, 1)]), Err(ReplayError::Incomplete)));
        assert!(matches!(read(&[Line::End { end: 2 }]), Err(ReplayError::Incomplete)));
        let mut replay = Replay::default();
        assert!(matches!(replay.take(b"{}\n"), Err(ReplayError::NotABundle(1))));
    }
}
