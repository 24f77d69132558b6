//! Which writes were done: each write of an app carries a random id, recorded in the transaction that does it. When
//! a tab goes away before it has answered, the next one is asked again, and answers without doing it twice.
//!
//! Where in the flow: step 1 of a write. Never synchronised: the table is this browser's own.

use greenlight_core::replica::{Fault, FaultKind};
use greenlight_store::ClientDatabase;

use rusqlite::OptionalExtension;

/// Writes that are remembered. Those of one tab that have no answer yet are far fewer.
const KEPT: i64 = 20_000;
/// Older ones are removed once in so many writes.
const PRUNE_EVERY: i64 = 1_000;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS greenlight_request (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, changes INTEGER NOT NULL
) STRICT";

/// Creates the table where it is missing.
pub(crate) fn prepare(database: &ClientDatabase) -> Result<(), Fault> {
    let conn = database.connection();
    let there = conn.prepare("SELECT 1 FROM greenlight_request").is_ok();
    if there { Ok(()) } else { conn.execute_batch(CREATE).map_err(fault) }
}

/// How many rows a write changed that was done before.
pub(crate) fn done(database: &ClientDatabase, id: &str) -> Result<Option<i64>, Fault> {
    let sql = "SELECT changes FROM greenlight_request WHERE id = ?1";
    let mut statement = database.connection().prepare_cached(sql).map_err(fault)?;
    statement.query_row([id], |row| row.get(0)).optional().map_err(fault)
}

/// Records a write, within its transaction.
pub(crate) fn record(database: &ClientDatabase, id: &str, changes: i64) -> Result<(), Fault> {
    let conn = database.connection();
    conn.prepare_cached("INSERT INTO greenlight_request (id, changes) VALUES (?1, ?2)")
        .and_then(|mut statement| statement.execute((id, changes)))
        .map_err(fault)?;
    let number = conn.last_insert_rowid();
    if number % PRUNE_EVERY == 0 {
        conn.execute("DELETE FROM greenlight_request WHERE number <= ?1", [number - KEPT]).map_err(fault)?;
    }
    Ok(())
}

fn fault(error: rusqlite::Error) -> Fault {
    let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    let kind = if full { FaultKind::Full } else { FaultKind::Io };
    Fault { kind, message: error.to_string() }
}
