//! A model of the store: the same answers without SQLite, for ten times as many schedules.
//!
//! Where in the flow: behind [`ClientMachine`](crate::stores::ClientMachine) and
//! [`ServerMachine`](crate::stores::ServerMachine), and behind the simulator's own eyes. A file outlives the process
//! that has it open. It never puts changes aside, since nothing in the simulation gives a reason to.

mod client;
mod rows;
mod server;
#[cfg(test)]
mod tests;

use std::cell::{Ref, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use greenlight_core::replica::{DigestScope, DigestSum, Fault, FaultKind};
use greenlight_core::{Bound, Change, Cursor, Epoch, Lineage, SiteId, Tag, Value, Version};
use rusqlite::types::Value as SqlValue;

use self::rows::{Clock, Column, Row, Rows, change, packed};
use crate::content::{self, Cell};
use crate::workload::{Operation, TABLES};

pub(crate) use self::client::ClientModel;
pub(crate) use self::server::ServerModel;

/// The site id of a file that nobody has opened yet.
const NOBODY: SiteId = SiteId([0; 16]);

/// What is on the disk.
#[derive(Clone, Debug)]
struct Content {
    site: SiteId,
    rows: Rows,
    /// A client's: the server's lineage that it follows.
    followed: Option<Lineage>,
    cursor: Cursor,
    acknowledged: Bound,
    sent: HashSet<Bound>,
    must_offer: bool,
    offered: Option<Tag>,
    torn: Torn,
    /// A server's.
    epoch: Epoch,
    head: Cursor,
    tags: BTreeMap<Version, Tag>,
    held: HashMap<SiteId, Bound>,
}

/// Whether a client holds just what the server had at its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Torn {
    No,
    Yes,
    /// And a range is coming in parts.
    InParts,
}

impl Torn {
    /// After the last part of a range, or its only one.
    fn after_last(self) -> Self {
        if self == Self::InParts { Self::Yes } else { Self::No }
    }
}

impl Content {
    /// An empty database.
    fn of(site: SiteId, epoch: Epoch) -> Self {
        Self {
            site,
            rows: Rows::default(),
            followed: None,
            cursor: Cursor::ZERO,
            acknowledged: Bound::ZERO,
            sent: HashSet::new(),
            must_offer: false,
            offered: None,
            torn: Torn::No,
            epoch,
            head: Cursor::ZERO,
            tags: BTreeMap::new(),
            held: HashMap::new(),
        }
    }
}

/// A file that several may have open.
#[derive(Clone, Debug)]
pub(crate) struct File(Rc<RefCell<Content>>);

impl File {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(Content::of(NOBODY, Epoch(0)))))
    }

    /// Another file with the same content.
    pub(crate) fn copy(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// What another process writes, all of it or nothing.
    pub(crate) fn write_as_other(&self, operations: &[Operation]) {
        let mut content = self.0.borrow_mut();
        let (version, site) = (content.rows.largest() + 1, content.site);
        content.rows.begin();
        if operations.iter().all(|operation| content.rows.operate(operation, version, site)) {
            content.rows.keep();
        } else {
            content.rows.undo();
        }
    }

    // --- the simulator's own eyes ---

    pub(crate) fn largest_version(&self) -> i64 {
        self.0.borrow().rows.largest() as i64
    }

    pub(crate) fn acknowledged_version(&self) -> i64 {
        self.0.borrow().acknowledged.version.to_sql()
    }

    pub(crate) fn followed(&self) -> Option<Lineage> {
        self.0.borrow().followed
    }

    pub(crate) fn cells_above(&self, version: i64, own: bool) -> Vec<Cell> {
        let content = self.0.borrow();
        let above = content.rows.above(version.unsigned_abs());
        let wanted = above.filter(|(.., clock)| !own || clock.site == content.site);
        wanted.map(|(table, key, column, row, clock)| cell(table, &key.values(), column, row, clock)).collect()
    }

    pub(crate) fn own_above(&self, version: i64) -> u64 {
        own_above(&self.0.borrow(), version.unsigned_abs())
    }

    pub(crate) fn holds(&self, cell: &Cell) -> bool {
        let content = self.0.borrow();
        let Some(row) = find(&content, cell) else { return false };
        let length = row.causal_length() as i64;
        let clocks = row.clocks.iter().map(|(column, clock)| {
            let value = content::sql(&row.value(*column));
            (content::column_name(cell.table, *column).to_owned(), (clock.column_version as i64, value))
        });
        content::is_held(cell, length, &clocks.collect())
    }

    pub(crate) fn present_version(&self, cell: &Cell) -> i64 {
        let content = self.0.borrow();
        let Some(row) = find(&content, cell) else { return 0 };
        let of = |(column, clock): (&Column, &Clock)| {
            let same = content::column_name(cell.table, *column) == cell.column;
            let later = column.is_none() && clock.column_version as i64 > cell.causal_length;
            (same || later).then_some(clock.version as i64)
        };
        row.clocks.iter().filter_map(of).max().unwrap_or(0)
    }

    /// As the real ones' rows are told.
    pub(crate) fn rows(&self) -> Vec<String> {
        let content = self.0.borrow();
        let line = |table: usize, key: &[Value], cells: &[Value]| {
            let values: Vec<SqlValue> = key.iter().chain(cells).map(content::sql).collect();
            format!("{}{values:?}", TABLES[table].name)
        };
        let living = content.rows.all().filter_map(|(table, key, row)| Some((table, key, row.cells.as_ref()?)));
        let mut lines: Vec<String> = living.map(|(table, key, cells)| line(table, &key.values(), cells)).collect();
        lines.sort_unstable();
        lines
    }

    fn content(&self) -> Ref<'_, Content> {
        self.0.borrow()
    }
}

fn find<'a>(content: &'a Content, cell: &Cell) -> Option<&'a Row> {
    let key: Vec<Value> = cell.key.iter().map(content::from_sql).collect();
    content.rows.row(cell.table, &packed(&key))
}

fn cell(table: usize, key: &[Value], column: Column, row: &Row, clock: Clock) -> Cell {
    Cell {
        table,
        key: key.iter().map(content::sql).collect(),
        column: content::column_name(table, column).to_owned(),
        causal_length: row.causal_length() as i64,
        column_version: clock.column_version as i64,
        value: content::sql(&row.value(column)),
        version: clock.version as i64,
    }
}

fn own_above(content: &Content, version: u64) -> u64 {
    content.rows.above(version).filter(|(.., clock)| clock.site == content.site).count() as u64
}

/// Sums by name, as the store's.
fn digest(content: &Content, scope: &DigestScope) -> BTreeMap<Vec<u8>, DigestSum> {
    let mut sums = BTreeMap::<Vec<u8>, DigestSum>::new();
    for (table, key, column, row, clock) in content.rows.above(0) {
        let change = change(table, key, column, row, clock);
        if change.is_sentinel() && change.causal_length == 1 {
            continue;
        }
        let bucket = hash(&key.as_bytes()) as u8;
        let name = match scope {
            DigestScope::Tables => change.table.as_bytes().to_vec(),
            DigestScope::Buckets(name) if **name == *change.table => vec![bucket],
            DigestScope::Rows(name, wanted) if **name == *change.table && bucket == *wanted => key.as_bytes().to_vec(),
            _ => continue,
        };
        let sum = sums.entry(name).or_default();
        *sum = sum.wrapping_add(of_change(&change));
    }
    sums
}

fn of_change(change: &Change) -> DigestSum {
    let (kind, bytes): (u8, Vec<u8>) = match &change.value {
        Value::Null => (0, Vec::new()),
        Value::Integer(number) => (1, number.to_be_bytes().to_vec()),
        Value::Real(number) => (2, number.to_bits().to_be_bytes().to_vec()),
        Value::Text(text) => (3, text.as_bytes().to_vec()),
        Value::Blob(blob) => (4, blob.clone()),
    };
    let numbers = (change.column_version, change.causal_length);
    DigestSum::from(hash(&(&*change.table, change.key.as_bytes(), &*change.column, kind, bytes, numbers)))
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

fn tables(content: &Content) -> Vec<(String, [u8; 16])> {
    let sums = digest(content, &DigestScope::Tables);
    let mut names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    names.sort_unstable();
    let sum = |name: &str| sums.get(name.as_bytes()).copied().unwrap_or_default().to_be_bytes();
    names.into_iter().map(|name| (name.to_owned(), sum(name))).collect()
}

fn full() -> Fault {
    Fault { kind: FaultKind::Full, message: "the model's disk is full".to_owned() }
}

fn out_of_order(message: &str) -> Fault {
    Fault { kind: FaultKind::OutOfOrder, message: message.to_owned() }
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap_or_default()
}
