//! Rows of cells with clocks: local writes, merges, and reading a range in pages.
//!
//! Where in the flow: inside both models. Never loses a newer cell to an older one, in whatever order they come.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use greenlight_core::change::SENTINEL;
use greenlight_core::protocol::EncodedChanges;
use greenlight_core::replica::{Author, Chunk, DigestPage, DigestScope, DigestSum, ReadPosition, ReadRequest};
use greenlight_core::{Change, Cursor, PackedKey, SiteId, Tag, Value, Version};

use super::BOOK;

/// How many changes a page holds: few, so that ranges take several parts.
const PAGE: usize = 3;

/// A cell's value and clock, and the place in this database's history where it came to be.
#[derive(Clone, Debug)]
struct Cell {
    value: Value,
    column_version: u64,
    site: SiteId,
    version: u64,
    sequence: u64,
}

/// A row: how often it was made and deleted, and its cells; a sentinel is a cell too.
#[derive(Clone, Debug, Default)]
struct Row {
    causal_length: u64,
    cells: BTreeMap<Arc<str>, Cell>,
}

/// The rows of a database, and its version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    rows: BTreeMap<PackedKey, Row>,
    head: u64,
    sequence: u64,
}

impl Rows {
    /// The version of the last transaction that changed anything.
    pub(crate) fn head(&self) -> Version {
        Version::new(self.head).expect("stories are short")
    }

    /// The living rows, as a person would note them: `1.title=Dune 2.title=Emma`.
    pub(crate) fn text(&self) -> String {
        let living = self.rows.iter().filter(|(_, row)| row.causal_length % 2 == 1);
        let cells = living.flat_map(|(key, row)| {
            let number = if let [Value::Integer(number)] = key.values()[..] { number } else { 0 };
            let shown = move |(column, cell): (&Arc<str>, &Cell)| match &cell.value {
                _ if &**column == SENTINEL => None,
                Value::Text(text) => Some(format!("{number}.{column}={text}")),
                other => Some(format!("{number}.{column}={other:?}")),
            };
            row.cells.iter().filter_map(shown)
        });
        cells.collect::<Vec<_>>().join(" ")
    }

    /// Begins a transaction: everything until the next one gets one version, the one after `head`.
    pub(crate) fn begin(&mut self) {
        self.sequence = 0;
    }

    /// An app's write. Each is a transaction.
    pub(crate) fn write(&mut self, site: SiteId, key: i64, column: &str, value: &str) {
        self.begin();
        let row = self.rows.get(&packed(key));
        let causal_length = row.map_or(1, |row| row.causal_length + (row.causal_length + 1) % 2);
        let before = row.and_then(|row| row.cells.get(column)).filter(|_| row.is_some_and(Row::lives));
        let column_version = before.map_or(0, |cell| cell.column_version) + 1;
        let version = self.head + 1;
        if causal_length > 1 && !row.is_some_and(Row::lives) {
            self.merge_at(version, &change(site, key, SENTINEL, Value::Null, causal_length, causal_length));
        }
        self.merge_at(version, &change(site, key, column, Value::Text(value.into()), column_version, causal_length));
    }

    /// An app's deletion.
    pub(crate) fn delete(&mut self, site: SiteId, key: i64) {
        self.begin();
        let length = self.rows.get(&packed(key)).filter(|row| row.lives()).expect("a living row").causal_length + 1;
        self.merge_at(self.head + 1, &change(site, key, SENTINEL, Value::Null, length, length));
    }

    /// Takes changes of others as one version.
    pub(crate) fn merge(&mut self, version: u64, changes: &[Change]) {
        for change in changes {
            self.merge_at(version, change);
        }
    }

    /// The version that the open transaction would get.
    pub(crate) fn next_version(&self) -> u64 {
        self.head + 1
    }

    fn merge_at(&mut self, version: u64, change: &Change) {
        let row = self.rows.entry(change.key.clone()).or_default();
        if change.causal_length < row.causal_length {
            return;
        }
        if change.causal_length > row.causal_length {
            *row = Row { causal_length: change.causal_length, cells: BTreeMap::new() };
            if change.causal_length > 1 && !change.is_sentinel() {
                // A cell of a row made again tells of the making too.
                let sentinel = Change {
                    column: SENTINEL.into(),
                    value: Value::Null,
                    column_version: change.causal_length,
                    ..change.clone()
                };
                self.put(version, &sentinel);
            }
        } else if !change.is_sentinel() && !row.lives() {
            return;
        }
        let row = self.rows.entry(change.key.clone()).or_default();
        let wins = row.cells.get(&change.column).is_none_or(|cell| beats(change, cell));
        if wins {
            self.put(version, change);
        }
    }

    fn put(&mut self, version: u64, change: &Change) {
        self.sequence += 1;
        self.head = version;
        let row = self.rows.entry(change.key.clone()).or_default();
        let cell = Cell {
            value: change.value.clone(),
            column_version: change.column_version,
            site: change.site,
            version,
            sequence: self.sequence,
        };
        row.cells.insert(change.column.clone(), cell);
    }

    /// The largest version of a cell that `site` wrote.
    pub(crate) fn head_of(&self, site: SiteId) -> Version {
        let own = self.cells().filter(|(_, _, cell)| cell.site == site);
        Version::new(own.map(|(_, _, cell)| cell.version).max().unwrap_or(0)).expect("stories are short")
    }

    /// How many cells of `site` lie above `version`.
    pub(crate) fn count_above(&self, site: SiteId, version: Version) -> u64 {
        self.cells().filter(|(_, _, cell)| cell.site == site && cell.version > version.get()).count() as u64
    }

    /// What `old` wrote above `version` is `new`'s from now on.
    pub(crate) fn pass_on(&mut self, old: SiteId, new: SiteId, version: Version) {
        let cells = self.rows.values_mut().flat_map(|row| row.cells.values_mut());
        for cell in cells.filter(|cell| cell.site == old && cell.version > version.get()) {
            cell.site = new;
        }
    }

    /// A page of a range; `own` is the site that [`Author::Own`] stands for.
    pub(crate) fn page(&self, request: &ReadRequest, head: Cursor, own: SiteId) -> Chunk {
        let until = request.until.unwrap_or(head);
        let wanted = |site: SiteId| match request.author {
            Author::Any => true,
            Author::Own => site == own,
            Author::Except(other) => site != other,
        };
        let mut found: Vec<(u64, u64, Change)> = self
            .cells()
            .filter(|(_, _, cell)| cell.version > request.since.get() && cell.version <= until.version.get())
            .filter(|(_, _, cell)| wanted(cell.site))
            .map(|(key, name, cell)| (cell.version, cell.sequence, self.change(key, name, cell)))
            .filter(|(version, sequence, _)| match &request.after {
                Some(after) => (*version, *sequence) > (after.version.get(), after.key as u64),
                None => true,
            })
            .collect();
        found.sort_by_key(|(version, sequence, _)| (*version, *sequence));
        let remaining = found.len().saturating_sub(PAGE) as u64;
        found.truncate(PAGE);
        let next = found.last().filter(|_| remaining > 0).map(|(version, sequence, _)| ReadPosition {
            version: Version::new(*version).expect("stories are short"),
            table: BOOK.into(),
            key: *sequence as i64,
            column: SENTINEL.into(),
        });
        let changes: Vec<Change> = found.into_iter().map(|(_, _, change)| change).collect();
        Chunk { until, changes: EncodedChanges::from_changes(&changes), next, remaining }
    }

    /// A page of digests.
    pub(crate) fn digest(&self, scope: &DigestScope, after: Option<&ReadPosition>) -> DigestPage {
        let until = Cursor { version: self.head(), tag: Tag::ZERO };
        let request =
            ReadRequest { since: Version::ZERO, until: Some(until), after: after.cloned(), author: Author::Any };
        let chunk = self.page(&request, until, SiteId([0; 16]));
        let changes = chunk.changes.decode().expect("own changes");
        let counted = changes.iter().filter(|change| !(change.is_sentinel() && change.causal_length == 1));
        let named = counted.filter_map(|change| {
            let bucket = change.key.as_bytes().last().copied().unwrap_or(0) % 2;
            let name = match scope {
                DigestScope::Tables => change.table.as_bytes().to_vec(),
                DigestScope::Buckets(_) => vec![bucket],
                DigestScope::Rows(_, wanted) if bucket == *wanted => change.key.as_bytes().to_vec(),
                DigestScope::Rows(..) => return None,
            };
            let of = (&change.key, &change.column, &change.value, change.column_version, change.causal_length);
            let mut hash = DefaultHasher::new();
            format!("{of:?}").hash(&mut hash);
            Some((name, DigestSum::from(hash.finish())))
        });
        DigestPage { sums: named.collect(), next: chunk.next }
    }

    /// Damages a cell behind everyone's back; neither clocks nor versions tell.
    pub(crate) fn damage(&mut self, key: i64, column: &str, value: Option<Value>) {
        let row = self.rows.get_mut(&packed(key)).expect("a row");
        match value {
            Some(value) => row.cells.get_mut(column).expect("a cell").value = value,
            None => drop(row.cells.remove(column)),
        }
    }

    /// Writes the cells of a row again as they are.
    pub(crate) fn rewrite(&mut self, site: SiteId, key: &PackedKey) {
        let version = self.next_version();
        let Some(row) = self.rows.get_mut(key) else { return };
        for (column, cell) in &mut row.cells {
            if &**column != SENTINEL {
                (cell.site, cell.version) = (site, version);
                cell.column_version += 1;
                self.head = version;
            }
        }
    }

    fn cells(&self) -> impl Iterator<Item = (&PackedKey, &Arc<str>, &Cell)> {
        self.rows.iter().flat_map(|(key, row)| row.cells.iter().map(move |(name, cell)| (key, name, cell)))
    }

    fn change(&self, key: &PackedKey, column: &Arc<str>, cell: &Cell) -> Change {
        Change {
            table: BOOK.into(),
            key: key.clone(),
            column: column.clone(),
            value: cell.value.clone(),
            column_version: cell.column_version,
            causal_length: self.rows[key].causal_length,
            sequence: cell.sequence,
            site: cell.site,
        }
    }
}

impl Row {
    fn lives(&self) -> bool {
        self.causal_length % 2 == 1
    }
}

fn packed(key: i64) -> PackedKey {
    PackedKey::pack(&[Value::Integer(key)]).expect("a small key")
}

fn change(site: SiteId, key: i64, column: &str, value: Value, column_version: u64, causal_length: u64) -> Change {
    let (table, key, column) = (BOOK.into(), packed(key), column.into());
    Change { table, key, column, value, column_version, causal_length, sequence: 0, site }
}

/// Whether a change wins over a cell of the same causal length.
fn beats(change: &Change, cell: &Cell) -> bool {
    let text = |value: &Value| if let Value::Text(text) = value { text.clone() } else { String::new() };
    change.column_version.cmp(&cell.column_version).then_with(|| text(&change.value).cmp(&text(&cell.value)))
        == Ordering::Greater
}
