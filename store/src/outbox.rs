//! What is waiting to be acknowledged, counted from the clocks.
//!
//! Where in the flow: step 2 on a client, after every local commit and every applied part. Never counts what lies at
//! or below the acknowledgement.

use greenlight_core::Version;
use greenlight_core::limits::MAX_VERSION;
use greenlight_core::replica::{Author, Fault, Outbox};
use rusqlite::OptionalExtension;

use crate::aside::{self, Shelf};
use crate::database::Database;
use crate::fault::from_sqlite;
use crate::limits::SIZE_SAMPLE;
use crate::read::{self, Range};
use crate::state;

/// Own changes above `acknowledged`. `settled` is where the search begins: nothing of our own lies between the two,
/// and it is moved as far as that is found true. Without it a client that has downloaded much would look through all
/// of it after each of its writes.
pub(crate) fn count(database: &Database, acknowledged: Version, settled: &mut Version) -> Result<Outbox, Fault> {
    let since = acknowledged.max(*settled);
    let mut outbox = Outbox {
        head: acknowledged,
        quarantined: aside::count(&database.conn, Shelf::Quarantine)?,
        held_aside: aside::count(&database.conn, Shelf::Held)?,
        left_out: aside::count(&database.conn, Shelf::LeftOut)?,
        ..Outbox::default()
    };
    let mut lowest = None;
    for table in &database.tables {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let found: (i64, Option<i64>, Option<i64>) = state::one(&database.conn, &table.own, [since.to_sql()], read)?;
        outbox.changes += found.0 as u64;
        if let (Some(low), Some(high)) = (found.1, found.2) {
            let (low, high) = (state::read_version(low)?, state::read_version(high)?);
            lowest = Some(lowest.map_or(low, |lowest: Version| lowest.min(low)));
            outbox.head = outbox.head.max(high);
        }
    }
    match lowest {
        None => *settled = database.largest_version()?.max(since),
        Some(lowest) => {
            *settled = state::read_version(lowest.to_sql() - 1)?.max(since);
            outbox.bytes = size(database, since, outbox.changes)?;
            outbox.oldest_ms = written_at(database, lowest)?;
        }
    }
    Ok(outbox)
}

/// About how many bytes: the first few are looked at and taken as a sample.
fn size(database: &Database, since: Version, changes: u64) -> Result<u64, Fault> {
    let (mut seen, mut bytes) = (0u64, 0u64);
    let until = Version::new(MAX_VERSION).unwrap_or_default();
    read::walk(database.view(), Range { since, until, after: None, author: Author::Own }, &mut |change| {
        seen += 1;
        bytes += (change.key.as_bytes().len() + change.value.size()) as u64;
        seen < SIZE_SAMPLE
    })?;
    Ok(bytes.saturating_mul(changes.max(seen)).checked_div(seen).unwrap_or(0))
}

/// When the transaction of a version was made, as far as it is remembered.
fn written_at(database: &Database, version: Version) -> Result<Option<i64>, Fault> {
    // Where its own time is not remembered: that of the next commit, else that of the last one before it.
    let sql = "SELECT wall_ms FROM (SELECT * FROM greenlight_written WHERE version >= ?1 ORDER BY version LIMIT 1)
               UNION ALL
               SELECT wall_ms FROM (SELECT * FROM greenlight_written WHERE version < ?1 ORDER BY version DESC LIMIT 1)
               LIMIT 1";
    let mut statement = database.conn.prepare_cached(sql).map_err(from_sqlite)?;
    statement.query_row([version.to_sql()], |row| row.get(0)).optional().map_err(from_sqlite)
}
