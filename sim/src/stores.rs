//! What a simulated machine runs on: the real store, or a model of it that is so much faster that ten times as many
//! schedules can be run.
//!
//! Where in the flow: between the machines and the databases. What the sessions see of both is the same; whether the
//! model does what the store does is a test of its own (`model/tests.rs`).

use greenlight_core::replica::{Applied, ClientStore, Fault, Outbox, ServerStore, UploadPart};
use greenlight_core::{Cursor, Lineage};
use greenlight_store::{ClientDatabase, ServerDatabase};

use crate::workload::Operation;

/// Which databases a simulation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// The product's, on SQLite and cr-sqlite in memory.
    Real,
    /// The model.
    Model,
}

/// Digests of all tables, by name.
pub(crate) type TableDigests = Vec<(String, [u8; 16])>;

/// A client's open database.
pub(crate) trait ClientMachine: ClientStore {
    /// Does all of it as one transaction of an app. `None` where something of it failed on what the rows hold; then
    /// nothing was changed.
    fn write(&mut self, operations: &[Operation]) -> Result<Option<Outbox>, Fault>;
    /// As the store's.
    fn digests(&mut self) -> Result<TableDigests, Fault>;
    /// No room is left on its disk, or there is again.
    fn set_full(&mut self, full: bool) -> rusqlite::Result<()>;
    /// The product's, where it is that: most builds that are broken on purpose are broken there.
    fn real(&mut self) -> Option<&mut ClientDatabase>;
}

/// A piece of work for a server's writer.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// A client's part.
    Upload(UploadPart),
    /// The server's own app.
    Exec(Operation),
}

/// What became of one commit.
#[derive(Debug)]
pub(crate) struct Committed {
    /// For each task what its sender is told, where it has one.
    pub(crate) done: Vec<Option<Result<Applied, Fault>>>,
    pub(crate) before: Cursor,
    pub(crate) head: Cursor,
}

/// A server's open database.
pub(crate) trait ServerMachine: ServerStore {
    fn commit(&mut self, tasks: &[Task]) -> Result<Committed, Fault>;
    fn head(&mut self) -> Result<Cursor, Fault>;
    fn probe(&mut self) -> Result<(), Fault>;
    fn notice_external(&mut self) -> Result<bool, Fault>;
    fn renew_epoch(&mut self) -> Result<Lineage, Fault>;
    fn reset(&mut self) -> Result<Lineage, Fault>;
    fn digests(&mut self) -> Result<TableDigests, Fault>;
    fn set_full(&mut self, full: bool) -> rusqlite::Result<()>;
    fn real(&mut self) -> Option<&mut ServerDatabase>;
}
