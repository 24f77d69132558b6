//! The product's store as the simulation's machines run it.
//!
//! Where in the flow: behind [`ClientMachine`] and [`ServerMachine`]. Never does anything that a real driver doesn't.

use greenlight_core::replica::{Fault, Outbox};
use greenlight_core::{Cursor, Lineage};
use greenlight_store::{ClientDatabase, Done, ServerDatabase, StatementError, Work};
use rusqlite::Connection;

use crate::stores::{ClientMachine, Committed, ServerMachine, TableDigests, Task};
use crate::workload::Operation;

impl ClientMachine for ClientDatabase {
    fn write(&mut self, operations: &[Operation]) -> Result<Option<Outbox>, Fault> {
        self.begin_transaction()?;
        for (sql, params) in operations.iter().map(Operation::statement) {
            match self.exec(&sql, &params) {
                Ok(_) => {}
                Err(StatementError::Fault(fault)) => {
                    self.rollback_transaction();
                    return Err(fault);
                }
                Err(_) => {
                    self.rollback_transaction();
                    return Ok(None);
                }
            }
        }
        self.commit_transaction().map(|commit| Some(commit.outbox))
    }

    fn digests(&mut self) -> Result<TableDigests, Fault> {
        ClientDatabase::digests(self)
    }

    fn set_full(&mut self, full: bool) -> rusqlite::Result<()> {
        set_full(self.connection(), full)
    }

    fn real(&mut self) -> Option<&mut ClientDatabase> {
        Some(self)
    }
}

impl ServerMachine for ServerDatabase {
    fn commit(&mut self, tasks: &[Task]) -> Result<Committed, Fault> {
        let work: Vec<Work> = tasks.iter().map(work).collect();
        let committed = ServerDatabase::commit(self, &work)?;
        let told = |done| if let Done::Upload(result) = done { Some(result) } else { None };
        let done = committed.done.into_iter().map(told).collect();
        Ok(Committed { done, before: committed.before, head: committed.head })
    }

    fn head(&mut self) -> Result<Cursor, Fault> {
        ServerDatabase::head(self)
    }

    fn probe(&mut self) -> Result<(), Fault> {
        ServerDatabase::probe(self)
    }

    fn notice_external(&mut self) -> Result<bool, Fault> {
        ServerDatabase::notice_external(self)
    }

    fn renew_epoch(&mut self) -> Result<Lineage, Fault> {
        ServerDatabase::renew_epoch(self)
    }

    fn reset(&mut self) -> Result<Lineage, Fault> {
        ServerDatabase::reset(self)
    }

    fn digests(&mut self) -> Result<TableDigests, Fault> {
        ServerDatabase::digests(self)
    }

    fn set_full(&mut self, full: bool) -> rusqlite::Result<()> {
        set_full(self.connection(), full)
    }

    fn real(&mut self) -> Option<&mut ServerDatabase> {
        Some(self)
    }
}

fn work(task: &Task) -> Work {
    match task {
        Task::Upload(part) => Work::Upload(part.clone()),
        Task::Exec(operation) => {
            let (sql, params) = operation.statement();
            Work::Exec { sql, params }
        }
    }
}

/// A full disk: no page can be added to the file.
fn set_full(conn: &Connection, full: bool) -> rusqlite::Result<()> {
    let pages: i64 =
        if full { conn.query_row("PRAGMA page_count", [], |row| row.get(0))? } else { i64::from(i32::MAX) - 1 };
    conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
}
