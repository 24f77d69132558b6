//! Copies of a database: a consistent file while it is in use, and turning such a copy into a client's own.
//!
//! Where in the flow: a server hands out snapshots, a new client begins with one instead of a long first download.
//! Never copies a moment that no commit was at.

use std::path::Path;
use std::time::Duration;

use greenlight_core::replica::Fault;
use greenlight_core::{Bound, Cursor, Lineage, Tag, Version};
use rusqlite::Connection;
use rusqlite::backup::Backup;

use crate::database::{OpenError, Role};
use crate::fault::{from_sqlite, internal};
use crate::options::{Location, Options};
use crate::schema::Schema;
use crate::state::{self, key};
use crate::tables::tables;
use crate::{facts, identity};

/// Writes what the open read transaction of `conn` sees to a new file, and tells its head.
pub(crate) fn copy(conn: &Connection, target: &Path) -> Result<Cursor, Fault> {
    if target.exists() {
        return Err(internal("the snapshot's file exists already"));
    }
    let head = state::head(conn)?;
    copy_into(conn, target)?;
    Ok(head)
}

/// The same into an empty file, or one that is not there.
pub(crate) fn copy_into(conn: &Connection, target: &Path) -> Result<(), Fault> {
    let mut file = Connection::open(target).map_err(from_sqlite)?;
    Backup::new(conn, &mut file)
        .and_then(|backup| backup.run_to_completion(std::ffi::c_int::MAX, Duration::ZERO, None))
        .map_err(from_sqlite)?;
    // One file, without a log beside it.
    file.execute_batch("PRAGMA journal_mode = DELETE").map_err(from_sqlite)
}

/// Turns a copy of a server's file into a client's database: another site id, the server's own changes attributed
/// to the server, the cursor at the copy's head. Do this before [`ClientDatabase::open`](crate::ClientDatabase::open).
///
/// # Errors
/// [`OpenError`]; the file is left as it was.
pub fn adopt(options: &mut Options, schema: &Schema) -> Result<Lineage, OpenError> {
    let Location::File(path) = &options.location else {
        return Err(internal("only a file can be adopted").into());
    };
    // Without cr-sqlite, which would remember the old identity.
    let conn = Connection::open(path).map_err(from_sqlite)?;
    let role: Option<String> = state::get(&conn, key::ROLE)?;
    if role.as_deref() != Some(Role::Server.name()) {
        return Err(OpenError::Role(role.unwrap_or_else(|| "foreign".to_owned())));
    }
    let (high, low) = ((options.random)().to_be_bytes(), (options.random)().to_be_bytes());
    let site =
        greenlight_core::SiteId(std::array::from_fn(|index| if index < 8 { high[index] } else { low[index - 8] }));
    let (head, lineage) = (state::head(&conn)?, facts::lineage(&conn)?);
    conn.execute_batch("BEGIN IMMEDIATE").map_err(from_sqlite)?;
    adopt_within(&conn, schema, site, head, lineage)?;
    conn.execute_batch("COMMIT").map_err(from_sqlite)?;
    Ok(lineage)
}

fn adopt_within(
    conn: &Connection,
    schema: &Schema,
    site: greenlight_core::SiteId,
    head: Cursor,
    lineage: Lineage,
) -> Result<(), Fault> {
    let everything = Version::new(greenlight_core::limits::MAX_VERSION).unwrap_or_default();
    identity::reattribute(conn, &tables(schema), site, everything)?;
    conn.execute_batch(state::FORGET).map_err(from_sqlite)?;
    state::set(conn, key::ROLE, Role::Client.name())?;
    state::set(conn, key::SERVER, &lineage.site_id.0[..])?;
    state::set(conn, key::EPOCH, lineage.epoch.0 as i64)?;
    state::set_cursor(conn, head)?;
    // Nothing of this new site is anywhere yet; what the copy holds lies at or below its head.
    state::set_acknowledged(conn, Bound { version: Version::ZERO, tag: Tag::ZERO })?;
    state::set(conn, key::SETTLED, head.version.to_sql())
}
