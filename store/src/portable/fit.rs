//! Making a snapshot this machine's own, before it takes the database's place.
//!
//! Where in the flow: the second half of a pull, on a file that nobody else has. This machine keeps its site id, and
//! what it wrote earlier is its own again. Versions are numbered otherwise now, so nothing of what a server has of it
//! can be told by numbers: the cursor begins at zero, and everything is to be offered once. Never claims that a server
//! has anything.

use std::path::Path;

use greenlight_core::{Bound, Cursor, SiteId};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{BUSY_LIMIT, Event, Head, Kind, PortableError, RENUMBERED, Step, Watch};
use super::{content, kind, largest_version, local, marks, readable_schema, reader, schema_name, set_marks};
use crate::backup;
use crate::database::Role;
use crate::schema::Schema;
use crate::state::{self, key};
use crate::tables::tables;

/// What is made this machine's own.
pub struct Fit<'a> {
    /// The snapshot, in a file that may be changed.
    pub file: &'a Path,
    /// The present database, whose identity is kept; `None` where there is none.
    pub present: Option<&'a Path>,
    /// Random: what descends from this moment is known by it.
    pub mark: u64,
    /// Whether what is here descends from what was exchanged before, so that it stays known by its older marks too.
    pub continues: bool,
    /// Uniform random numbers: a machine without an identity gets one.
    pub random: &'a mut dyn FnMut() -> u64,
}

/// What is this machine's and not the snapshot's.
struct Identity {
    site: SiteId,
    /// Above every number that was used here: the server remembers them.
    floor: u64,
    /// Keys and values of the store's state that are kept.
    kept: Vec<(&'static str, rusqlite::types::Value)>,
    /// Bounds that were sent.
    bounds: Vec<(i64, i64)>,
    marks: Vec<String>,
}

/// What a machine keeps of its state: the server that it follows and what it last prepared to send.
const KEPT: [&str; 5] = [key::SERVER, key::EPOCH, key::READ_ONLY, key::PREPARED_VERSION, key::PREPARED_TAG];

/// Makes a snapshot this machine's own.
///
/// # Errors
/// [`PortableError`]; the present database is not touched.
pub fn fit(order: Fit<'_>, watch: Watch<'_>) -> Result<Head, PortableError> {
    let conn = Connection::open_with_flags(order.file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.busy_timeout(BUSY_LIMIT)?;
    let head = match kind(&conn)? {
        Kind::Snapshot => {
            let identity = order.present.map_or(Ok(None), identity)?;
            // What the schema does not name is kept too, where there is a replica.
            let present = order.present.filter(|_| identity.is_some());
            let mut identity = identity.unwrap_or_else(|| Identity::fresh(order.random));
            if !order.continues {
                identity.marks.clear();
            }
            for mark in identity.marks.iter_mut().filter(|mark| !mark.starts_with(RENUMBERED)) {
                mark.insert(0, RENUMBERED);
            }
            let mark = format!("{:016x}", order.mark);
            conn.execute_batch("PRAGMA foreign_keys = OFF")?;
            present.map_or(Ok(()), |present| local::attach(&conn, present))?;
            // An immediate one would lock the present database as well.
            conn.execute_batch("BEGIN")?;
            let schema = readable_schema(&conn)?;
            take_over(&conn, &schema, &identity)?;
            set_marks(&conn, identity.marks, &mark)?;
            present.map_or(Ok(()), |_| local::carry_over(&conn))?;
            conn.execute_batch("COMMIT")?;
            present.map_or(Ok(()), |_| local::detach(&conn))?;
            with_log(&conn)?;
            Head::Replica { mark, version: largest_version(&conn, &schema)?, schema: schema_name(&schema) }
        }
        Kind::Plain => {
            if order.present.map_or(Ok(true), has_log)? {
                with_log(&conn)?;
            }
            Head::Plain { content: content::digest(&conn)? }
        }
        Kind::Server => return Err(PortableError::Servers),
        Kind::Replica | Kind::Unmanaged => return Err(PortableError::Unmanaged),
    };
    drop(conn);
    backup::sync_file(order.file)?;
    watch(Event::Reached(Step::Fitted));
    Ok(head)
}

impl Identity {
    fn fresh(random: &mut dyn FnMut() -> u64) -> Self {
        let (high, low) = (random().to_be_bytes(), random().to_be_bytes());
        let site = SiteId(std::array::from_fn(|index| if index < 8 { high[index] } else { low[index - 8] }));
        Self { site, floor: 0, kept: Vec::new(), bounds: Vec::new(), marks: Vec::new() }
    }
}

/// The present database's identity; `None` where that is a plain one.
fn identity(present: &Path) -> Result<Option<Identity>, PortableError> {
    let conn = reader(present)?;
    conn.execute_batch("BEGIN")?;
    if kind(&conn)? != Kind::Replica {
        return Ok(None);
    }
    let site = conn.query_row("SELECT site_id FROM crsql_site_id WHERE ordinal = 0", [], |row| {
        Ok(SiteId::from_slice(row.get_ref(0)?.as_blob()?))
    })?;
    let site = site.ok_or(PortableError::Unmanaged)?;
    let mut kept = Vec::new();
    for key in KEPT {
        if let Some(value) = state::get(&conn, key)? {
            kept.push((key, value));
        }
    }
    let mut sent = conn.prepare("SELECT version, tag FROM greenlight_bound ORDER BY number")?;
    let bounds = sent.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<(i64, i64)>, _>>()?;
    let mut floor = largest_version(&conn, &readable_schema(&conn)?)?;
    floor = floor.max(state::acknowledged(&conn)?.version.get());
    floor = floor.max(state::version(&conn, key::PREPARED_VERSION)?.get());
    for (version, _) in &bounds {
        floor = floor.max(state::read_version(*version)?.get());
    }
    Ok(Some(Identity { site, floor, kept, bounds, marks: marks(&conn)? }))
}

/// Within the caller's transaction.
fn take_over(conn: &Connection, schema: &Schema, identity: &Identity) -> Result<(), PortableError> {
    let site = &identity.site.0[..];
    let author: Option<i64> =
        conn.query_row("SELECT ordinal FROM crsql_site_id WHERE site_id = ?1", [site], |row| row.get(0)).optional()?;
    match author {
        Some(ordinal) => {
            for table in tables(schema) {
                let sql = format!("UPDATE {} SET site_id = 0 WHERE site_id = ?1", table.clock());
                state::run(conn, &sql, [ordinal])?;
            }
            state::run(conn, "UPDATE crsql_site_id SET ordinal = 0 WHERE ordinal = ?1", [ordinal])?;
        }
        None => {
            state::run(conn, "INSERT INTO crsql_site_id (site_id, ordinal) VALUES (?1, 0)", [site])?;
        }
    }
    conn.execute_batch(state::FORGET_MAKER)?;
    for (key, value) in &identity.kept {
        state::set(conn, key, value)?;
    }
    for bound in &identity.bounds {
        state::run(conn, "INSERT INTO greenlight_bound (version, tag) VALUES (?1, ?2)", *bound)?;
    }
    state::set(conn, key::ROLE, Role::Client.name())?;
    state::set_cursor(conn, Cursor::ZERO)?;
    state::set_acknowledged(conn, Bound::ZERO)?;
    state::set(conn, key::TORN, 1)?;
    state::set(conn, key::MUST_OFFER, 1)?;
    state::set(conn, key::SETTLED, 0)?;
    let floor = identity.floor.max(largest_version(conn, schema)?);
    Ok(state::pin_floor(conn, greenlight_core::Version::new(floor).unwrap_or_default())?)
}

/// With a log, as what it replaces; closing folds it in. A database with a log can't be replaced unseen while somebody
/// has it open.
fn with_log(conn: &Connection) -> Result<(), PortableError> {
    Ok(conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?)
}

fn has_log(present: &Path) -> Result<bool, PortableError> {
    let conn = reader(present)?;
    let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    Ok(mode == "wal")
}
