//! A database in memory, small enough to be right by reading: what the stories' sessions drive instead of SQLite.
//!
//! Where in the flow: under the sessions, in the place of the store. Cells win by causal length, column version and
//! value, as in cr-sqlite; a transaction is all or nothing; tags are counted up instead of drawn.

mod client;
mod rows;
mod server;

pub(crate) use client::ClientModel;
pub(crate) use rows::Rows;
pub(crate) use server::ServerModel;

use greenlight_core::replica::{Fault, FaultKind};
use greenlight_core::{SchemaId, SchemaShape, TableShape};

/// The one table of the stories.
pub(crate) const BOOK: &str = "book";
/// A column that no schema has: a change of it is held aside.
pub(crate) const LATER: &str = "later";
/// A value that no table takes: a change to it is quarantined.
pub(crate) const POISON: &str = "poison";

/// The stories' schema.
pub(crate) fn schema() -> (SchemaId, SchemaShape) {
    let columns = ["price", "title"].map(String::from).to_vec();
    let book = TableShape { name: BOOK.into(), key: vec!["id".into()], columns };
    (SchemaId { name: "shop".into(), number: 4, digest: [4; 16] }, SchemaShape { tables: vec![book] })
}

pub(crate) fn fault(kind: FaultKind) -> Fault {
    Fault { kind, message: format!("the disk said {kind:?}") }
}
