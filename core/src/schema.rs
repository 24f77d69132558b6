//! A schema's identity and shape, as the handshake compares them.
//!
//! Where in the flow: read from a schema file by the store, carried by hello and welcome. Never parses SQL.

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_COLUMNS, MAX_KEY_COLUMNS, MAX_NAME_BYTES, MAX_TABLES};

/// The identity of a schema: what its file's first line says (`-- schema: shop 4`) and a digest of its structure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaId {
    /// Name, at most [`crate::limits::MAX_NAME_BYTES`] bytes.
    pub name: String,
    /// Number, raised with each change of the schema.
    pub number: u32,
    /// First 16 bytes of the SHA-256 of the normalised structure.
    pub digest: [u8; 16],
}

/// The shape of one table that takes part in sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableShape {
    /// Table name.
    pub name: String,
    /// Primary key columns, in key order.
    pub key: Vec<String>,
    /// The other columns, sorted by name.
    pub columns: Vec<String>,
}

/// The shape of a schema: its tables sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SchemaShape {
    /// The tables, sorted by name, at most [`crate::limits::MAX_TABLES`].
    pub tables: Vec<TableShape>,
}

impl SchemaShape {
    /// The shape of these tables; `None` where they are not sorted, or more or longer than the protocol carries.
    pub fn new(tables: Vec<TableShape>) -> Option<Self> {
        let fits = |names: &[String], limit: usize| {
            names.len() <= limit && names.iter().all(|name| name.len() <= MAX_NAME_BYTES)
        };
        let is_sorted = tables.is_sorted_by(|one, next| one.name < next.name);
        let all_fit = tables.iter().all(|table| {
            table.name.len() <= MAX_NAME_BYTES && fits(&table.key, MAX_KEY_COLUMNS) && fits(&table.columns, MAX_COLUMNS)
        });
        (tables.len() <= MAX_TABLES && is_sorted && all_fit).then_some(Self { tables })
    }

    /// The first thing that `self` lacks of `other`, as a sentence's subject and object:
    /// ``table `book` lacks column `publisher` ``. `None` when `self` holds all that `other` has, with equal keys.
    pub fn lacks_of(&self, other: &SchemaShape) -> Option<String> {
        for theirs in &other.tables {
            let Ok(index) = self.tables.binary_search_by(|table| table.name.cmp(&theirs.name)) else {
                return Some(format!("table `{}` is missing", theirs.name));
            };
            let ours = &self.tables[index];
            if ours.key != theirs.key {
                return Some(format!(
                    "table `{}` has the primary key ({}) and not ({})",
                    theirs.name,
                    ours.key.join(", "),
                    theirs.key.join(", ")
                ));
            }
            if let Some(column) = theirs.columns.iter().find(|column| !ours.columns.contains(column)) {
                return Some(format!("table `{}` lacks column `{column}`", theirs.name));
            }
        }
        None
    }
}
