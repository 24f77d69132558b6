//! Putting a server's database back from a copy, while nobody has it open.
//!
//! Where in the flow: beside it; an operator's command. Everything is made ready in a file of its own, which takes the
//! database's place in one step: whoever is killed on the way leaves the old database or the new one. Never opens the
//! database with cr-sqlite, and never writes to the copy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use greenlight_core::replica::{Fault, FaultKind};
use greenlight_core::{Cursor, Epoch, Lineage, SchemaId, SiteId, Version};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

use crate::backup::{self, Backups, Kind};
use crate::database::Role;
use crate::fault::from_sqlite;
use crate::schema::Schema;
use crate::state::{self, key};
use crate::{damage, facts, identity, reader, snapshot, tables};

/// How long another process's lock is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// What SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// Findings of an integrity check that are told.
const FINDINGS: usize = 3;

/// What is put back, and where.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    /// The copy.
    pub source: PathBuf,
    /// The database's file; need not be there.
    pub target: PathBuf,
    /// Where the present file is kept.
    pub backups: Backups,
    /// Whether it becomes another database, so that clients which know the present one are refused. Without it they
    /// find that the history went another way and offer everything again.
    pub new_lineage: bool,
}

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The schema that the copy is of.
    pub schema: SchemaId,
    /// Who the database is now.
    pub lineage: Lineage,
    /// Where its history stands.
    pub head: Cursor,
    /// The copy of what was there before, if anything was.
    pub kept: Option<PathBuf>,
}

/// Why nothing was put back; the database is as it was.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RestoreError {
    /// The copy can't be read.
    #[error("the copy can't be read: {}", .0.message)]
    Source(Fault),
    /// The copy is damaged; SQLite's first findings.
    #[error("the copy is damaged: {}", .0.join("; "))]
    Damaged(Vec<String>),
    /// The copy is something else.
    #[error("the copy is not a database of a Greenlight server ({0})")]
    NotAServers(String),
    /// The copy follows another schema than the database.
    #[error("the copy follows schema `{copy}`, and the database follows `{database}`")]
    OtherSchema {
        /// The copy's.
        copy: String,
        /// The database's.
        database: String,
    },
    /// Somebody uses the database.
    #[error("another process has the database open: stop it first")]
    InUse,
    /// What has the database's name is not a file.
    #[error("what has the database's name is a link or a folder, not a file")]
    NotAFile,
    /// The disk, or the database.
    #[error("it could not be put back: {}", .0.message)]
    Fault(#[from] Fault),
}

/// How far a restore has come; tests end it there, as a kill would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreStep {
    /// The copy is copied.
    Copied,
    /// It is checked, and has its new identity, on disk.
    Ready,
    /// The present database is one file, and nobody uses it.
    Folded,
    /// The present file is kept.
    Kept,
    /// Nothing is left beside the present file.
    Cleared,
    /// The new file has its place.
    Placed,
}

/// Puts a copy in the database's place. `reached` is told of each step, and ends the restore there by failing.
///
/// # Errors
/// [`RestoreError`]; before [`RestoreStep::Placed`] the database is as it was.
pub fn restore(
    plan: &RestorePlan,
    random: &mut dyn FnMut() -> u64,
    now_ms: i64,
    reached: &mut dyn FnMut(RestoreStep) -> Result<(), Fault>,
) -> Result<Restored, RestoreError> {
    let present = match std::fs::symlink_metadata(&plan.target) {
        Ok(entry) if entry.is_file() => Some(entry),
        Ok(_) => return Err(RestoreError::NotAFile),
        Err(_) => None,
    };
    // What a damaged file has left beside its place is not this one's to remove.
    damage::set_aside_as(&plan.target, &plan.backups)?;
    let name = backup::name_of(&plan.target);
    // A leading dot is no database's name.
    let ready = plan.target.with_file_name(format!(".{name}.restore"));
    remove(&ready)?;
    copy_source(&plan.source, &ready, present.as_ref())?;
    reached(RestoreStep::Copied)?;
    let database = present.as_ref().and_then(|_| reader::schema_of(&plan.target).ok());
    let mut restored = prepare(&ready, database.as_ref(), plan.new_lineage, random)?;
    backup::sync_file(&ready)?;
    reached(RestoreStep::Ready)?;

    if present.is_some() {
        fold(&plan.target)?;
        reached(RestoreStep::Folded)?;
        restored.kept = Some(backup::keep(&plan.backups, &plan.target, Kind::Restore, now_ms)?);
        reached(RestoreStep::Kept)?;
    }
    for ending in BESIDE {
        remove(&beside(&plan.target, ending))?;
    }
    let folder = plan.target.parent().unwrap_or(Path::new(""));
    backup::sync_folder(folder)?;
    reached(RestoreStep::Cleared)?;
    std::fs::rename(&ready, &plan.target).map_err(backup::fault_of)?;
    backup::sync_folder(folder)?;
    reached(RestoreStep::Placed)?;
    backup::prune(&plan.backups, &name, Kind::Restore);
    Ok(restored)
}

/// A file that SQLite keeps beside a database.
pub(crate) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Removes a file that may not be there.
pub(crate) fn remove(file: &Path) -> Result<(), Fault> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(backup::fault_of(error)),
        _ => Ok(()),
    }
}

fn copy_source(source: &Path, ready: &Path, present: Option<&std::fs::Metadata>) -> Result<(), RestoreError> {
    let facts = std::fs::metadata(source).map_err(|error| RestoreError::Source(backup::fault_of(error)))?;
    backup::create_like(ready, present.unwrap_or(&facts))?;
    let unreadable = |error| RestoreError::Source(from_sqlite(error));
    let conn = open_source(source).map_err(unreadable)?;
    conn.execute_batch("BEGIN").map_err(unreadable)?;
    // Reads the first page: what is no database fails here.
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(unreadable)?;
    Ok(snapshot::copy_into(&conn, ready)?)
}

/// Opens a copy for reading, its log included where it has one. What lies where nothing may be written, without a
/// log, is taken as it stands.
fn open_source(source: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let probe = |conn: Connection| conn.query_row("PRAGMA schema_version", [], |_| Ok(())).map(|()| conn);
    let opened = Connection::open_with_flags(source, flags).and_then(probe);
    if opened.is_ok() || beside(source, "-wal").exists() {
        return opened;
    }
    crate::replaced::immutable(source).and_then(probe)
}

/// Checks the copy and gives it its new identity.
fn prepare(
    ready: &Path,
    database: Option<&Schema>,
    new_lineage: bool,
    random: &mut dyn FnMut() -> u64,
) -> Result<Restored, RestoreError> {
    let conn = Connection::open_with_flags(ready, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(from_sqlite)?;
    let schema = whole_and_a_servers(&conn)?;
    if let Some(database) = database
        && database.id().name != schema.id().name
    {
        let (copy, database) = (schema.id().name.clone(), database.id().name.clone());
        return Err(RestoreError::OtherSchema { copy, database });
    }
    conn.execute_batch("BEGIN IMMEDIATE").map_err(from_sqlite)?;
    if new_lineage {
        begin_lineage(&conn, &schema, random)?;
    }
    state::set(&conn, key::EPOCH, Epoch(random()).0 as i64)?;
    conn.execute_batch("COMMIT").map_err(from_sqlite)?;
    let (lineage, head) = (facts::lineage(&conn)?, state::head(&conn)?);
    Ok(Restored { schema: schema.id().clone(), lineage, head, kept: None })
}

/// Checks that a copy is whole and a server's, and tells the schema that it follows.
pub(crate) fn whole_and_a_servers(conn: &Connection) -> Result<Schema, RestoreError> {
    let findings = conn
        .prepare("PRAGMA integrity_check")
        .and_then(|mut check| check.query_map([], |row| row.get(0))?.take(FINDINGS).collect::<Result<Vec<String>, _>>())
        .unwrap_or_else(|error| vec![crate::fault::sentence(&error)]);
    if findings != ["ok"] {
        return Err(RestoreError::Damaged(findings));
    }
    let not_ours = |fault: Fault| RestoreError::NotAServers(fault.message);
    let role: Option<String> = state::get(conn, key::ROLE).map_err(not_ours)?;
    if role.as_deref() != Some(Role::Server.name()) {
        let role = role.map_or_else(|| "it has no role".to_owned(), |role| format!("it is a {role}'s"));
        return Err(RestoreError::NotAServers(role));
    }
    reader::stored_schema(conn).map_err(not_ours)
}

/// Becomes another site with the same rows: what the old one wrote stays the old one's. What is kept aside stays;
/// what was known of clients goes, since none that knows the old site is let in.
fn begin_lineage(conn: &Connection, schema: &Schema, random: &mut dyn FnMut() -> u64) -> Result<(), Fault> {
    let (high, low) = (random().to_be_bytes(), random().to_be_bytes());
    let site = SiteId(std::array::from_fn(|index| if index < 8 { high[index] } else { low[index - 8] }));
    let everything = Version::new(greenlight_core::limits::MAX_VERSION).unwrap_or_default();
    identity::reattribute(conn, &tables::tables(schema), site, everything)?;
    conn.execute_batch("DELETE FROM greenlight_tag; DELETE FROM greenlight_peer;").map_err(from_sqlite)?;
    let version = state::head(conn)?.version;
    if version == Version::ZERO {
        return Ok(());
    }
    let tag = greenlight_core::Tag(random().max(1));
    crate::server::store_head(conn, Cursor { version, tag })
}

/// Makes the present database one file, which also shows that nobody has it open. One that is too damaged for that
/// stays as it is.
fn fold(target: &Path) -> Result<(), RestoreError> {
    let folded = Connection::open_with_flags(target, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|conn| {
        conn.busy_timeout(PATIENCE)?;
        // Closing removes a log that can't be read; what is kept of a damaged database is all of it.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let mode: String = conn.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
        conn.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
        Ok(mode)
    });
    match folded.map_err(from_sqlite) {
        Ok(mode) if mode == "delete" => Ok(()),
        Ok(_) => Err(RestoreError::InUse),
        Err(fault) if fault.kind == FaultKind::Busy => Err(RestoreError::InUse),
        Err(fault) if fault.kind == FaultKind::Corrupt => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}
