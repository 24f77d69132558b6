//! Merging a snapshot with the present database, in a file that takes its place afterwards.
//!
//! Where in the flow: the second half of a pull that keeps both sides' changes. The present database is copied, and the
//! snapshot's changes are applied to the copy as a server's would be: cell by cell the clocks decide, so it does not
//! matter who merges with whom first. Nothing says whether a server has what came this way, so everything is to be
//! offered once. Never touches the present database.

use std::path::Path;

use greenlight_core::limits::{MAX_VERSION, PART_TARGET_BYTES};
use greenlight_core::replica::Author;
use greenlight_core::{Change, Version};

use super::take::copy;
use super::{Event, Head, Kind, PortableError, Present, Step, Watch};
use super::{kind, look, marks, readable_schema, schema_name, set_marks};
use crate::apply::{Failure, Poison};
use crate::aside::{self, Shelf, Shelved};
use crate::connection::Connection;
use crate::limits::{MERGE_BYTES, MERGE_CHANGES};
use crate::making::clear_place;
use crate::read::{self, Range, View};
use crate::schema::Schema;
use crate::state::{self, key};
use crate::tables::{TableSql, tables};
use crate::{ClientDatabase, Location, OpenError, Options, backup, digest};

/// What is merged.
pub struct Merge<'a> {
    /// The present database, a replica.
    pub present: &'a Path,
    /// The snapshot, which [`examine`](super::examine) has found to be a replica's of the same schema's name.
    pub snapshot: &'a Path,
    /// The file where the merged database is made, on the present one's file system.
    pub merged: &'a Path,
    /// Random: what descends from this moment is known by it.
    pub mark: u64,
    /// What the merged database is opened with; its location is `merged`.
    pub options: Options,
}

/// A merged database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// What it is. Where it holds more than the snapshot, the version is 0, which no database is at: it has moved on from
    /// what both have in common.
    pub head: Head,
    /// Whether it holds the same as the snapshot: then the remote lacks nothing.
    pub is_same: bool,
    /// Changes that could not be applied and were put aside.
    pub aside: u64,
}

/// Merges. The newer of the two schemas is that of the merged database.
///
/// # Errors
/// [`PortableError`]; what is left at `merged` is of no use.
pub fn merge(order: Merge<'_>, watch: Watch<'_>) -> Result<Merged, PortableError> {
    if !matches!(look(order.present)?, Present::Replica { .. }) {
        return Err(PortableError::Unmanaged);
    }
    clear_place(order.merged)?;
    copy(order.present, order.merged, watch)?;
    let snapshot = Snapshot::open(order.snapshot)?;
    let own = readable_schema(&*Connection::open_reader(order.merged)?)?;
    let schema = newer(&own, &snapshot.schema)?;
    let options = Options { location: Location::File(order.merged.to_owned()), ..order.options };
    let mut client = ClientDatabase::open(options, schema).map_err(of_opening)?;
    let aside = client.take_in(&snapshot, watch)?;
    let is_same = client.digests()? == digest::tables(snapshot.view())?;
    let mark = format!("{:016x}", order.mark);
    let version = client.database.transaction_or(|database| {
        let conn = &database.conn;
        state::set(conn, key::MUST_OFFER, 1)?;
        set_marks(conn, marks(conn)?, &mark)?;
        Ok::<_, PortableError>(database.largest_version()?)
    })?;
    let head = Head::Replica { mark, version: if is_same { version.get() } else { 0 }, schema: schema_name(schema) };
    // Closing folds the log in: one file, whole.
    drop(client);
    backup::sync_file(order.merged)?;
    watch(Event::Reached(Step::Merged));
    Ok(Merged { head, is_same, aside })
}

/// Of two schemas of one app the later one.
fn newer<'a>(own: &'a Schema, theirs: &'a Schema) -> Result<&'a Schema, PortableError> {
    let (ours, other) = (own.id(), theirs.id());
    if ours.number == other.number && ours.digest != other.digest {
        return Err(PortableError::SchemasDiffer { name: ours.name.clone(), number: ours.number });
    }
    Ok(if ours.number >= other.number { own } else { theirs })
}

fn of_opening(error: OpenError) -> PortableError {
    match error {
        OpenError::Fault(fault) => fault.into(),
        other => PortableError::Schema(other.to_string()),
    }
}

/// An open snapshot.
struct Snapshot {
    conn: Connection,
    schema: Schema,
    tables: Vec<TableSql>,
}

impl Snapshot {
    fn open(file: &Path) -> Result<Self, PortableError> {
        let conn = Connection::open_reader(file)?;
        if kind(&conn)? != Kind::Snapshot {
            return Err(PortableError::Unmanaged);
        }
        let schema = readable_schema(&conn)?;
        let tables = tables(&schema);
        Ok(Self { conn, schema, tables })
    }

    fn view(&self) -> View<'_> {
        View { conn: &self.conn, tables: &self.tables, part_bytes: PART_TARGET_BYTES }
    }

    /// Hands out what is on a shelf, a batch at a time.
    fn each_page(
        &self,
        shelf: Shelf,
        visit: &mut dyn FnMut(Vec<Shelved>) -> Result<(), PortableError>,
    ) -> Result<(), PortableError> {
        let mut seen = 0;
        loop {
            let page = aside::list(&self.conn, shelf, seen, MERGE_CHANGES)?;
            if page.is_empty() {
                return Ok(());
            }
            seen += page.len();
            visit(page)?;
        }
    }
}

impl ClientDatabase {
    /// Applies all that a snapshot holds, a batch at a time; tells how many changes were put aside.
    fn take_in(&mut self, snapshot: &Snapshot, watch: Watch<'_>) -> Result<u64, PortableError> {
        let until = Version::new(MAX_VERSION).unwrap_or_default();
        let range = Range { since: Version::ZERO, until, after: None, author: Author::Any };
        let of = read::count(snapshot.view(), range)?;
        let (mut done, mut aside) = (0, 0);
        let mut last = None;
        loop {
            let mut batch = Batch::default();
            let rest = Range { after: last.as_ref(), ..range };
            let next = read::walk(snapshot.view(), rest, &mut |change| batch.take(change))?;
            done += batch.changes.len() as u64;
            aside += self.apply_batch(&batch.changes)?;
            watch(Event::Merged(done, of));
            if next.is_none() {
                break;
            }
            last = next;
        }
        // What waits there is content too. Here it is tried again; what a person has left out stays so.
        for shelf in [Shelf::Held, Shelf::Quarantine] {
            snapshot.each_page(shelf, &mut |page| {
                let changes: Vec<Change> = page.into_iter().map(|shelved| shelved.change).collect();
                aside += self.apply_batch(&changes)?;
                Ok(())
            })?;
        }
        snapshot.each_page(Shelf::LeftOut, &mut |page| self.leave_out_as(&page))?;
        Ok(aside)
    }

    /// One transaction; what can't be applied is put aside in it.
    fn apply_batch(&mut self, changes: &[Change]) -> Result<u64, PortableError> {
        let settled = self.settled;
        let mut poison = Poison::default();
        loop {
            let applied = self.database.transaction_or(|database| {
                let before = database.largest_version()?.max(settled);
                database.pin_version(before)?;
                database.apply_changes(changes, None, &poison)
            });
            match applied {
                Ok(applied) => return Ok(applied.quarantined + applied.held_aside),
                Err(Failure::Fault(fault)) => return Err(fault.into()),
                Err(Failure::RolledBack(place)) => poison.add(place, changes),
            }
        }
    }

    fn leave_out_as(&mut self, left_out: &[Shelved]) -> Result<(), PortableError> {
        Ok(self.database.transaction(|database| {
            for shelved in left_out {
                if !aside::holds(&database.conn, Shelf::Quarantine, &shelved.change)? {
                    let (change, reason) = (&shelved.change, &shelved.reason);
                    aside::put(&database.conn, Shelf::LeftOut, change, reason, shelved.since_ms, None)?;
                }
            }
            aside::check_room(&database.conn)
        })?)
    }
}

/// Changes that are applied in one transaction.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    bytes: usize,
}

impl Batch {
    /// Whether it took the change: it is full at its limits, and holds one at least.
    fn take(&mut self, change: &Change) -> bool {
        let is_full = self.changes.len() >= MERGE_CHANGES || self.bytes >= MERGE_BYTES;
        if !is_full {
            self.bytes += change.value.size() + change.key.as_bytes().len();
            self.changes.push(change.clone());
        }
        !is_full
    }
}
