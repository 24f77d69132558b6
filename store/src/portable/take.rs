//! Taking a snapshot: the database as it was last committed, in a file that belongs to nobody.
//!
//! Where in the flow: the first half of a push. Holds writers up while it copies, and readers not at all. Never changes
//! more in the database than its mark, and leaves the local backup whole or as it was.

use std::fs::File;
use std::io::{self, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use super::{BUSY_LIMIT, Event, Head, Kind, PortableError, Present, SNAPSHOT, Step, Watch};
use super::{content, hex, kind, local, marks, present, readable_schema, reader, set_marks};
use crate::backup;
use crate::limits::BACKUP_STEP_PAGES;
use crate::making::clear_place;
use crate::state::{self, key};
use crate::tables::tables;

/// How much of a file is read at a time, in bytes.
const PIECE_BYTES: usize = 1024 * 1024;

/// What is taken, and where to.
#[derive(Clone, Copy, Debug)]
pub struct Take<'a> {
    /// The database.
    pub source: &'a Path,
    /// Where its backup is kept; one that is there is replaced once the new one is whole.
    pub backup: &'a Path,
    /// A file for the time being, beside the backup; not there afterwards if [`Taken::file`] is another.
    pub part: &'a Path,
    /// Another one, likewise; a plain database needs none.
    pub compacted: &'a Path,
    /// Random: what descends from this moment is known by it.
    pub mark: u64,
}

/// A snapshot that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The file: a plain database's is the backup itself.
    pub file: PathBuf,
    /// Its SHA-256, 64 hexadecimal digits.
    pub hash: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// What the database was at that moment.
    pub head: Head,
    /// The schema's number, or `user_version`.
    pub schema_version: u64,
}

/// Takes a snapshot.
///
/// # Errors
/// [`PortableError`]; the database and an older backup are as they were, but for the mark.
pub fn take(order: &Take<'_>, watch: Watch<'_>) -> Result<Taken, PortableError> {
    let writer = Connection::open_with_flags(order.source, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    writer.busy_timeout(BUSY_LIMIT)?;
    let mark = format!("{:016x}", order.mark);
    let is_replica = match kind(&writer)? {
        Kind::Plain => false,
        Kind::Replica => true,
        Kind::Snapshot => return Err(PortableError::Snapshot),
        Kind::Server => return Err(PortableError::Servers),
        Kind::Unmanaged => return Err(PortableError::Unmanaged),
    };
    if is_replica {
        writer.execute_batch("BEGIN IMMEDIATE")?;
        set_marks(&writer, marks(&writer)?, &mark)?;
        writer.execute_batch("COMMIT")?;
    }
    watch(Event::Reached(Step::Marked));
    let busy: i64 = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(PortableError::Busy);
    }
    watch(Event::Reached(Step::Folded));
    clear_place(order.part)?;
    // From here on nobody writes until the copy is complete: it is of one moment, whoever is at work beside it.
    writer.execute_batch("BEGIN IMMEDIATE")?;
    copy(order.source, order.part, watch)?;
    writer.execute_batch("ROLLBACK")?;
    if is_replica {
        clear_place(order.compacted)?;
        let (synced, compacted) = both(|| backup::sync_file(order.part), || compact(order.part, order.compacted));
        synced?;
        compacted?;
    } else {
        backup::sync_file(order.part)?;
    }
    watch(Event::Reached(Step::Copied));
    std::fs::rename(order.part, order.backup).map_err(backup::fault_of)?;
    backup::sync_folder(order.backup.parent().unwrap_or(Path::new("")))?;
    watch(Event::Reached(Step::BackedUp));
    if is_replica { finish(order, &mark, watch) } else { finish_plain(order, watch) }
}

pub(super) fn copy(source: &Path, part: &Path, watch: Watch<'_>) -> Result<(), PortableError> {
    copy_from(&reader(source)?, source, part, watch)
}

/// Copies what a connection to `source` sees, which is one moment where it is in a transaction.
pub(crate) fn copy_from(
    reader: &Connection,
    source: &Path,
    part: &Path,
    watch: Watch<'_>,
) -> Result<(), PortableError> {
    backup::create_like(part, &std::fs::metadata(source).map_err(backup::fault_of)?)?;
    let mut file = Connection::open(part)?;
    let page: i64 = reader.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let bytes = |pages: i32| u64::try_from(i64::from(pages) * page).unwrap_or(0);
    let copying = Backup::new(reader, &mut file)?;
    loop {
        match copying.step(BACKUP_STEP_PAGES)? {
            StepResult::Done => break,
            StepResult::More => {}
            _ => return Err(PortableError::Busy),
        }
        let progress = copying.progress();
        watch(Event::Copied(bytes(progress.pagecount - progress.remaining), bytes(progress.pagecount)));
    }
    drop(copying);
    // One file, without a log beside it.
    Ok(file.execute_batch("PRAGMA journal_mode = DELETE")?)
}

/// A plain database's snapshot is its backup.
fn finish_plain(order: &Take<'_>, watch: Watch<'_>) -> Result<Taken, PortableError> {
    let conn = Connection::open_with_flags(order.backup, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let (hashed, content) = both(|| hash(order.backup), || content::digest(&conn));
    let (hash, bytes) = hashed?;
    let head = Head::Plain { content: content? };
    let schema_version = super::user_version(&conn)?;
    watch(Event::Reached(Step::Stripped));
    Ok(Taken { file: order.backup.to_owned(), hash, bytes, head, schema_version })
}

/// Makes a replica's snapshot of a compacted copy.
fn finish(order: &Take<'_>, mark: &str, watch: Watch<'_>) -> Result<Taken, PortableError> {
    std::fs::rename(order.compacted, order.part).map_err(backup::fault_of)?;
    let conn = Connection::open_with_flags(order.part, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let Present::Replica { version, schema, number, .. } = present(&conn)? else {
        return Err(PortableError::Unmanaged);
    };
    // Nobody needs a half-made one, so it takes no journal; and what is dropped must not be left in free pages.
    conn.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA secure_delete = ON; PRAGMA foreign_keys = OFF;
         BEGIN IMMEDIATE",
    )?;
    let has_room = strip(&conn)?;
    conn.execute_batch("COMMIT")?;
    drop(conn);
    if has_room {
        compact(order.part, order.compacted)?;
        std::fs::rename(order.compacted, order.part).map_err(backup::fault_of)?;
    }
    let (hashed, synced) = both(|| hash(order.part), || backup::sync_file(order.part));
    synced?;
    let (hash, bytes) = hashed?;
    watch(Event::Reached(Step::Stripped));
    let head = Head::Replica { mark: mark.to_owned(), version, schema };
    Ok(Taken { file: order.part.to_owned(), hash, bytes, head, schema_version: number })
}

/// Does two things at once that read the same file: each takes about as long as reading or writing it.
fn both<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (one.join().unwrap_or_else(|panic| resume_unwind(panic)), other)
    })
}

fn hash(file: &Path) -> Result<(String, u64), PortableError> {
    File::open(file).and_then(hash_of).map_err(|error| backup::fault_of(error).into())
}

/// The SHA-256 of what is read to its end, 64 hexadecimal digits, and its length.
///
/// # Errors
/// What reading ends with.
pub fn hash_of(mut file: impl Read) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((hex(&hash.finalize()), bytes));
        }
        hash.update(&piece[..read]);
        bytes += read as u64;
    }
}

/// Compacts a database into an empty file. One reading and one writing of it, where a copy and `VACUUM` would write it
/// three times.
fn compact(from: &Path, to: &Path) -> Result<(), PortableError> {
    backup::create_like(to, &std::fs::metadata(from).map_err(backup::fault_of)?)?;
    let conn = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    // A path need not be UTF-8, and SQLite hands it on as it is.
    let path = ToSqlOutput::Borrowed(ValueRef::Text(to.as_os_str().as_encoded_bytes()));
    conn.execute("VACUUM INTO ?1", [path])?;
    Ok(())
}

/// Takes away what is its maker's alone: the own site id, what is known of a server, what was sent. What the maker wrote
/// becomes an author's like any other. Changes that wait on a shelf are content and stay. Tells whether tables went.
fn strip(conn: &Connection) -> Result<bool, PortableError> {
    let schema = readable_schema(conn)?;
    let has_room = local::strip(conn, &schema)?;
    let ordinal: i64 = state::one(conn, "SELECT max(ordinal) + 1 FROM crsql_site_id", [], |row| row.get(0))?;
    let mut wrote = false;
    for table in tables(&schema) {
        let sql = format!("UPDATE {} SET site_id = ?1 WHERE site_id = 0", table.clock());
        wrote |= state::run(conn, &sql, [ordinal])? > 0;
    }
    if wrote {
        state::run(conn, "UPDATE crsql_site_id SET ordinal = ?1 WHERE ordinal = 0", [ordinal])?;
    } else {
        state::run(conn, "DELETE FROM crsql_site_id WHERE ordinal = 0", [])?;
    }
    conn.execute_batch(state::FORGET_MAKER)?;
    // cr-sqlite's own note of whom its database has met, which nothing here uses.
    if state::exists(conn, "SELECT 1 FROM sqlite_schema WHERE name = 'crsql_tracked_peers'", [])? {
        conn.execute_batch("DELETE FROM crsql_tracked_peers")?;
    }
    state::set(conn, key::ROLE, SNAPSHOT)?;
    Ok(has_room)
}
