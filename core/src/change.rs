//! One changed cell, type-exact, as it travels and as the stores read and apply it.
//!
//! Where in the flow: read by the store, encoded by the protocol, applied by the other store.
//! Never holds a `db_version`: the receiver assigns its own.

use crate::key::PackedKey;
use crate::position::SiteId;

/// The column name by which cr-sqlite marks a row's creation or deletion.
pub const SENTINEL: &str = "-1";

/// A value of SQLite, type-exact: REAL 5.0 stays REAL. NaN never occurs (SQLite stores it as NULL).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// INTEGER, 64 bits.
    Integer(i64),
    /// REAL; never NaN.
    Real(f64),
    /// TEXT, valid UTF-8, at most [`crate::limits::MAX_VALUE_BYTES`] bytes.
    Text(String),
    /// BLOB, at most [`crate::limits::MAX_VALUE_BYTES`] bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// How many bytes it has: a text's or blob's own, 8 for a number, none for NULL.
    pub fn size(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Integer(_) | Self::Real(_) => 8,
            Self::Text(text) => text.len(),
            Self::Blob(blob) => blob.len(),
        }
    }
}

/// One row of `crsql_changes` without its `db_version`.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Table, at most [`crate::limits::MAX_NAME_BYTES`] bytes.
    pub table: std::sync::Arc<str>,
    /// Primary key in cr-sqlite's packed form, checked.
    pub key: PackedKey,
    /// Column, or [`SENTINEL`].
    pub column: std::sync::Arc<str>,
    /// The cell's value; NULL for a sentinel.
    pub value: Value,
    /// How often the cell was written (its Lamport clock); 0 is a cell of a resurrected row.
    pub column_version: u64,
    /// The row's causal length: odd alive, even deleted.
    pub causal_length: u64,
    /// Order within the transaction that wrote it.
    pub sequence: u64,
    /// Who wrote it.
    pub site: SiteId,
}

impl Change {
    /// Whether this marks a row's creation or deletion rather than a cell.
    pub fn is_sentinel(&self) -> bool {
        &*self.column == SENTINEL
    }
}
