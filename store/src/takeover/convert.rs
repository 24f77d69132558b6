//! Making the copy of a plain database a client's: its tables synchronised, every row a change of its own.
//!
//! Where in the flow: between looking at a database and putting the copy in its place. The copy is nobody's yet, and
//! thrown away where this fails, so nothing is flushed on the way; all of it is at the end. Never writes a cell.

use std::path::Path;

use greenlight_core::SiteId;
use greenlight_core::replica::ClientStore;

use super::TakeoverError;
use crate::client::ClientDatabase;
use crate::connection::{Connection, Opening};
use crate::database::{OpenError, Role};
use crate::fault::{from_sqlite, internal};
use crate::limits::TAKEOVER_CACHE_KIB;
use crate::options::{Location, Options};
use crate::portable::PortableError;
use crate::schema::{Schema, migrate};
use crate::state::{self, key};
use crate::{backup, restore};

/// Rows between two words of progress.
const PROGRESS_ROWS: u64 = 1_024;

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Changes that wait to be sent: one for each cell beside the keys.
    pub changes: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Makes the copy at `part` a client's database of this schema, and has it on disk as one file. `random` gives uniform
/// random numbers; `progress` is told how many rows are done.
///
/// # Errors
/// [`TakeoverError`]; then the copy is of no use any more.
pub fn convert(
    part: &Path,
    schema: &Schema,
    mut options: Options,
    progress: impl FnMut(u64) + Send + 'static,
) -> Result<Converted, TakeoverError> {
    options.location = Location::File(part.to_owned());
    synchronise(part, schema, &mut options, progress)?;
    // As any program will: what this can't open must not take a database's place.
    let mut client = ClientDatabase::reopen(options).map_err(refused)?;
    let changes = client.load()?.outbox.changes;
    drop(client);
    if std::fs::metadata(restore::beside(part, "-wal")).is_ok_and(|facts| facts.len() > 0) {
        return Err(internal("the copy could not be written into one file").into());
    }
    backup::sync_file(part)?;
    let bytes = std::fs::metadata(part).map_err(backup::fault_of)?.len();
    Ok(Converted { changes, bytes })
}

fn synchronise(
    part: &Path,
    schema: &Schema,
    options: &mut Options,
    mut progress: impl FnMut(u64) + Send + 'static,
) -> Result<(), TakeoverError> {
    let (high, low) = ((options.random)().to_be_bytes(), (options.random)().to_be_bytes());
    let site = SiteId(std::array::from_fn(|index| if index < 8 { high[index] } else { low[index - 8] }));
    let mut conn = Connection::open(&Location::File(part.to_owned()), None, site, Opening::First)?;
    // New pages need no journal: what is written is written once.
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; PRAGMA cache_size = -{TAKEOVER_CACHE_KIB}"
    ))
    .map_err(from_sqlite)?;
    let mut rows = 0;
    conn.watch_inserts(move |table| {
        // Each row's key gets its number once.
        if table.ends_with("__crsql_pks") {
            rows += 1;
            if rows % PROGRESS_ROWS == 0 {
                progress(rows);
            }
        }
    })?;
    conn.execute_batch("BEGIN IMMEDIATE").map_err(from_sqlite)?;
    conn.execute_batch(state::CREATE).map_err(from_sqlite)?;
    state::set(&conn, key::ROLE, Role::Client.name())?;
    migrate::apply(&conn, schema, |_| Ok(())).map_err(refused)?;
    conn.execute_batch("COMMIT; PRAGMA journal_mode = WAL").map_err(from_sqlite)?;
    Ok(())
}

fn refused(error: OpenError) -> TakeoverError {
    match error {
        OpenError::Schema(error) => TakeoverError::Schema(error),
        OpenError::Fault(fault) => fault.into(),
        other => PortableError::Schema(other.to_string()).into(),
    }
}
