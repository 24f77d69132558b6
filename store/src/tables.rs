//! The synchronised tables and the SQL that reads and watches them, written once per table.
//!
//! Where in the flow: made from the schema when a database is opened, used by everything that reads or applies.
//! Never holds data.

use std::collections::HashMap;
use std::sync::Arc;

use greenlight_core::limits::{MAX_COLUMN_VERSION, MAX_KEY_BYTES, MAX_KEY_COLUMNS};
use greenlight_core::{PackedKey, Value};

use crate::schema::Schema;
use crate::schema::structure::{Affinity, KeyColumn, Table};

/// What a column of a packed key takes beside its text or blob, at most: its type and its length.
pub(crate) const KEY_COLUMN_OVERHEAD_BYTES: usize = 9;

/// One table as the engine uses it.
#[derive(Clone, Debug)]
pub(crate) struct TableSql {
    pub(crate) name: Arc<str>,
    key_affinities: Vec<Affinity>,
    /// The one key column is the rowid, which takes integers alone.
    key_is_rowid: bool,
    columns: HashMap<Arc<str>, usize>,
    /// Clock entries behind a place, in the order of `db_version, key, col_name`; the index of cr-sqlite has this
    /// order, so nothing is sorted. Parameters: version, key, column, last version, site ordinal.
    pub(crate) scan: [String; 3],
    /// How many of them there are; the same parameters.
    pub(crate) count: [String; 3],
    /// A row by cr-sqlite's key number: the key's columns, the causal length or NULL, the other columns.
    pub(crate) row: String,
    /// The largest version.
    pub(crate) head: String,
    /// Whether a row that was written above ?1 has a key too large to travel; `None` where keys are small numbers.
    pub(crate) wide_key: Option<String>,
    /// Whether a clock was written above ?1 that lies beyond its limit.
    pub(crate) beyond: String,
    /// Own entries above ?1: how many, the lowest and the highest version.
    pub(crate) own: String,
    /// Gives a key its number in cr-sqlite's table of keys, unless it has one.
    pub(crate) insert_key: String,
    /// A key's number in that table. Parameters: the key's columns.
    pub(crate) find_key: String,
    /// The key's columns, quoted and listed.
    key_list: String,
}

/// Which entries of a clock a statement looks at; an index into [`TableSql::scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Any = 0,
    Ordinal = 1,
    Others = 2,
}

impl TableSql {
    fn new(table: &Table) -> Self {
        let name = &table.name;
        let identifiers = |names: &mut dyn Iterator<Item = &Arc<str>>, prefix: &str| {
            names.map(|column| format!("{prefix}{}", quote(column))).collect::<Vec<_>>().join(", ")
        };
        let key = identifiers(&mut table.key.iter().map(|column| &column.name), "k.");
        let key_list = identifiers(&mut table.key.iter().map(|column| &column.name), "");
        let columns = identifiers(&mut table.columns.iter().map(|column| &column.name), ", t.").replace(", , ", ", ");
        let joined: Vec<String> =
            table.key.iter().map(|column| format!("t.{0} = k.{0}", quote(&column.name))).collect();
        let (clock, keys) = (quote(&format!("{name}__crsql_clock")), quote(&format!("{name}__crsql_pks")));
        let range = "(db_version, key, col_name) > (?1, ?2, ?3) AND db_version <= ?4";
        // Naming the parameter in every variant keeps their number equal.
        let whose = ["?5 IS NULL", "site_id = ?5", "site_id <> ?5"];
        let key_is_rowid = !table.without_rowid && table.key.len() == 1 && table.key[0].declared == "INTEGER";
        let lengths = table.key.iter().map(|column| format!("length(CAST(k.{} AS BLOB))", quote(&column.name)));
        let lengths = lengths.collect::<Vec<_>>().join(" + ");
        let room = MAX_KEY_BYTES - 1 - table.key.len().min(MAX_KEY_COLUMNS) * KEY_COLUMN_OVERHEAD_BYTES;
        Self {
            name: name.clone(),
            key_affinities: table.key.iter().map(|column| column.affinity).collect(),
            key_is_rowid,
            columns: table.columns.iter().enumerate().map(|(index, column)| (column.name.clone(), index)).collect(),
            scan: whose.map(|whose| {
                format!(
                    "SELECT db_version, key, col_name, col_version, site_id, seq FROM {clock} WHERE {range} AND {whose} \
                     ORDER BY db_version, key, col_name"
                )
            }),
            count: whose.map(|whose| format!("SELECT count(*) FROM {clock} WHERE {range} AND {whose}")),
            row: format!(
                "SELECT {key}, s.col_version{columns} FROM {keys} k \
                 LEFT JOIN {clock} s ON s.key = k.__crsql_key AND s.col_name = '-1' \
                 LEFT JOIN {} t ON {} WHERE k.__crsql_key = ?1",
                quote(name),
                joined.join(" AND ")
            ),
            head: format!("SELECT max(db_version) FROM {clock}"),
            wide_key: (!key_is_rowid).then(|| {
                format!(
                    "SELECT 1 FROM {clock} c JOIN {keys} k ON k.__crsql_key = c.key
                     WHERE c.db_version > ?1 AND {lengths} > {room}"
                )
            }),
            beyond: format!("SELECT 1 FROM {clock} WHERE db_version > ?1 AND col_version > {MAX_COLUMN_VERSION}"),
            own: format!(
                "SELECT count(*), min(db_version), max(db_version) FROM {clock} WHERE db_version > ?1 AND site_id = 0"
            ),
            insert_key: format!(
                "INSERT OR IGNORE INTO {keys} ({key_list}) VALUES ({})",
                parameters(1, table.key.len())
            ),
            find_key: {
                let is = |(index, column): (usize, &KeyColumn)| format!("{} IS ?{}", quote(&column.name), index + 1);
                let conditions = table.key.iter().enumerate().map(is).collect::<Vec<_>>().join(" AND ");
                format!("SELECT __crsql_key FROM {keys} WHERE {conditions}")
            },
            key_list,
        }
    }

    /// Writes a new row with some of its columns. Parameters: the key's columns, then these.
    pub(crate) fn insert_row(&self, columns: &[&str]) -> String {
        let list: String = columns.iter().map(|column| format!(", {}", quote(column))).collect();
        let parameters = parameters(1, self.key_count() + columns.len());
        format!("INSERT INTO {} ({}{list}) VALUES ({parameters})", quote(&self.name), self.key_list)
    }

    /// Writes the clocks of a new row. Parameters: the key's number and the version, then for each column the column's
    /// version, the site's ordinal and the sequence.
    pub(crate) fn insert_clocks(&self, columns: &[&str]) -> String {
        let row = |(index, column): (usize, &&str)| {
            let first = 3 + index * 3;
            format!("(?1, {}, ?{first}, ?2, ?{}, ?{})", text(column), first + 1, first + 2)
        };
        let rows = columns.iter().enumerate().map(row).collect::<Vec<_>>().join(", ");
        let clock = self.clock();
        format!("INSERT INTO {clock} (key, col_name, col_version, db_version, site_id, seq) VALUES {rows}")
    }

    pub(crate) fn key_count(&self) -> usize {
        self.key_affinities.len()
    }

    /// The columns' names with their places in a row.
    pub(crate) fn column(&self, name: &str) -> Option<(&Arc<str>, usize)> {
        self.columns.get_key_value(name).map(|(name, &index)| (name, index))
    }

    /// Counts the rows that were deleted: an even causal length, which the sentinel has as its version.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn tombstones(&self) -> String {
        format!("SELECT count(*) FROM {} WHERE col_name = '-1' AND col_version % 2 = 0", self.clock())
    }

    pub(crate) fn clock(&self) -> String {
        quote(&format!("{}__crsql_clock", self.name))
    }

    pub(crate) fn keys(&self) -> String {
        quote(&format!("{}__crsql_pks", self.name))
    }

    /// Whether rows of this table can have this key, and keep it as it is: a text that SQLite would turn into a
    /// number when it stores it would be one row here and another there.
    pub(crate) fn key_fits(&self, key: &PackedKey) -> bool {
        let values = key.values();
        values.len() == self.key_affinities.len()
            && values.iter().zip(&self.key_affinities).all(|(value, affinity)| keeps(*affinity, value))
            && (!self.key_is_rowid || matches!(values[..], [Value::Integer(_)]))
    }
}

/// All tables, in the store's order: by name.
pub(crate) fn tables(schema: &Schema) -> Vec<TableSql> {
    schema.tables().iter().map(TableSql::new).collect()
}

/// A name as SQL.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Numbered parameters, listed.
fn parameters(first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ")
}

/// Whether a column of a key stores this value as it is.
pub(crate) fn keeps(affinity: Affinity, value: &Value) -> bool {
    match (affinity, value) {
        (_, Value::Null) => false,
        (Affinity::Blob, _) | (_, Value::Blob(_)) => true,
        (Affinity::Text, Value::Text(_)) | (Affinity::Integer | Affinity::Numeric, Value::Integer(_)) => true,
        (Affinity::Text, _) => false,
        (Affinity::Real, Value::Real(_)) => true,
        (Affinity::Real, Value::Integer(_)) => false,
        (_, Value::Real(number)) => number.fract() != 0.0,
        (_, Value::Text(text)) => !looks_numeric(text),
    }
}

fn looks_numeric(text: &str) -> bool {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
    text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_sqlite_would_convert_do_not_fit() {
        let fits = |affinity, value| keeps(affinity, &value);
        assert!(fits(Affinity::Text, Value::Text("5".into())));
        assert!(!fits(Affinity::Text, Value::Integer(5)));
        assert!(fits(Affinity::Integer, Value::Integer(-5)));
        assert!(fits(Affinity::Integer, Value::Text("five".into())));
        for text in ["5", " 5 ", "-5.0", "5e3", ".5"] {
            assert!(!fits(Affinity::Integer, Value::Text(text.into())), "{text}");
        }
        assert!(!fits(Affinity::Integer, Value::Real(5.0)));
        assert!(fits(Affinity::Integer, Value::Real(5.5)));
        assert!(!fits(Affinity::Blob, Value::Null));
    }
}
