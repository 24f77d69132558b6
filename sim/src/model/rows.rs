//! Rows and their clocks: what cr-sqlite's triggers record of local writes, and how it merges changes of others.
//!
//! Where in the flow: inside the model's files. Follows cr-sqlite 0.16.3 with our patches statement by statement
//! (`local_writes/`, `changes_vtab_write.rs`); `tests.rs` compares the two.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use greenlight_core::change::SENTINEL;
use greenlight_core::protocol::EncodedChanges;
use greenlight_core::replica::{Author, Chunk, ReadPosition, ReadRequest};
use greenlight_core::{Change, Cursor, PackedKey, SiteId, Value, Version};

use crate::workload::{Act, Conflict, Operation, TABLES};

/// Bytes of a change beside its key and value, about.
const CHANGE_BYTES: usize = 8;

/// A column by its place in its table; `None` is the row's marker, which sorts first here as it does there.
pub(super) type Column = Option<usize>;

/// What is known of one cell's writing, or of a row's making and deleting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) column_version: u64,
    pub(super) version: u64,
    pub(super) sequence: u64,
    pub(super) site: SiteId,
}

/// A row, as far as anything was ever known of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// In the order in which keys became known, as cr-sqlite numbers them.
    number: i64,
    /// Its columns' values; `None` where the table has no such row.
    pub(super) cells: Option<Vec<Value>>,
    pub(super) clocks: BTreeMap<Column, Clock>,
}

impl Row {
    pub(super) fn causal_length(&self) -> u64 {
        let marked = self.clocks.get(&None).map(|clock| clock.column_version);
        marked.unwrap_or(u64::from(!self.clocks.is_empty()))
    }

    pub(super) fn value(&self, column: Column) -> Value {
        let value = column.and_then(|place| self.cells.as_ref()?.get(place));
        value.cloned().unwrap_or(Value::Null)
    }
}

/// A place in the order in which ranges are read.
type Place = (u64, usize, i64, Column);

/// All rows of a database.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    tables: Vec<BTreeMap<PackedKey, Row>>,
    /// Every clock by its version.
    order: BTreeMap<Place, PackedKey>,
    keys: i64,
    sequence: u64,
    /// Rows as they were before the open transaction; empty where none can fail.
    undo: Option<Vec<(usize, PackedKey, Option<Row>)>>,
}

impl Default for Rows {
    fn default() -> Self {
        Self { tables: vec![BTreeMap::new(); TABLES.len()], order: BTreeMap::new(), keys: 0, sequence: 0, undo: None }
    }
}

impl Rows {
    /// The largest version of anything.
    pub(super) fn largest(&self) -> u64 {
        self.order.last_key_value().map_or(0, |(place, _)| place.0)
    }

    pub(super) fn row(&self, table: usize, key: &PackedKey) -> Option<&Row> {
        self.tables[table].get(key)
    }

    /// The clocks above a version, in order.
    pub(super) fn above(&self, version: u64) -> impl Iterator<Item = (usize, &PackedKey, Column, &Row, Clock)> {
        self.order.range((version + 1, 0, i64::MIN, None)..).filter_map(|((_, table, _, column), key)| {
            let row = self.row(*table, key)?;
            Some((*table, key, *column, row, *row.clocks.get(column)?))
        })
    }

    /// Every row of every table.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &PackedKey, &Row)> {
        let tables = self.tables.iter().enumerate();
        tables.flat_map(|(table, rows)| rows.iter().map(move |(key, row)| (table, key, row)))
    }

    // --- transactions ---

    /// Until [`Rows::keep`] or [`Rows::undo`].
    pub(super) fn begin(&mut self) {
        self.undo = Some(Vec::new());
    }

    pub(super) fn keep(&mut self) {
        self.undo = None;
    }

    pub(super) fn undo(&mut self) {
        for (table, key, before) in self.undo.take().unwrap_or_default().into_iter().rev() {
            let columns: Vec<Column> =
                self.row(table, &key).map_or_else(Vec::new, |row| row.clocks.keys().copied().collect());
            for column in columns {
                self.drop_clock(table, &key, column);
            }
            let Some(before) = before else {
                self.tables[table].remove(&key);
                continue;
            };
            for (column, clock) in &before.clocks {
                self.order.insert((clock.version, table, before.number, *column), key.clone());
            }
            self.tables[table].insert(key, before);
        }
    }

    fn touch(&mut self, table: usize, key: &PackedKey) {
        let before = self.row(table, key).cloned();
        if let Some(undo) = &mut self.undo {
            undo.push((table, key.clone(), before.clone()));
        }
        if before.is_none() {
            self.keys += 1;
            self.tables[table].insert(key.clone(), Row { number: self.keys, ..Row::default() });
        }
    }

    fn set_clock(&mut self, table: usize, key: &PackedKey, column: Column, clock: Clock) {
        let Some(row) = self.tables[table].get_mut(key) else { return };
        if let Some(old) = row.clocks.insert(column, clock) {
            self.order.remove(&(old.version, table, row.number, column));
        }
        self.order.insert((clock.version, table, row.number, column), key.clone());
    }

    fn drop_clock(&mut self, table: usize, key: &PackedKey, column: Column) {
        let Some(row) = self.tables[table].get_mut(key) else { return };
        if let Some(old) = row.clocks.remove(&column) {
            self.order.remove(&(old.version, table, row.number, column));
        }
    }

    fn drop_cells(&mut self, table: usize, key: &PackedKey) {
        let Some(row) = self.tables[table].get_mut(key) else { return };
        let columns: Vec<Column> = row.clocks.keys().copied().filter(Option::is_some).collect();
        columns.into_iter().for_each(|column| self.drop_clock(table, key, column));
    }

    fn set_cells(&mut self, table: usize, key: &PackedKey, cells: Option<Vec<Value>>) {
        if let Some(row) = self.tables[table].get_mut(key) {
            row.cells = cells;
        }
    }

    fn clock(&self, table: usize, key: &PackedKey, column: Column) -> Option<Clock> {
        self.row(table, key)?.clocks.get(&column).copied()
    }

    // --- local writes ---

    /// Does what a statement does, as `site`, at `version`. `false` where it fails on what the rows hold.
    pub(super) fn operate(&mut self, operation: &Operation, version: u64, site: SiteId) -> bool {
        let (table, key) = (operation.table, packed(&operation.key));
        let here = self.row(table, &key).and_then(|row| row.cells.clone());
        let mut writer = Writer { rows: self, table, version, site };
        match (&operation.act, here) {
            (Act::Insert(_, Conflict::Fail), Some(_)) => return false,
            (Act::Insert(_, Conflict::Ignore), Some(_)) | (Act::Update(..) | Act::Delete | Act::Rekey(..), None) => {}
            (Act::Insert(values, Conflict::Update), Some(here)) => writer.update(&key, here, values.iter().enumerate()),
            (Act::Insert(values, _), _) => writer.insert(&key, values),
            (Act::Update(place, value), Some(here)) => writer.update(&key, here, std::iter::once((*place, value))),
            (Act::Delete, Some(_)) => writer.delete(&key),
            (Act::Rekey(to, conflict), Some(here)) => return writer.rekey(&key, &packed(to), *conflict, here),
        }
        true
    }

    // --- merges ---

    /// Takes a change of another site at `version`.
    pub(super) fn merge(&mut self, change: &Change, version: u64) {
        let Some(table) = TABLES.iter().position(|table| *table.name == *change.table) else { return };
        let (key, length) = (&change.key, change.causal_length);
        self.touch(table, key);
        let here = self.row(table, key).map_or(0, Row::causal_length);
        if length < here {
            return;
        }
        let (site, sequence) = (change.site, change.sequence);
        let clock = |column_version| Clock { column_version, version, sequence, site };
        if length.is_multiple_of(2) {
            if length > here {
                self.set_cells(table, key, None);
                self.set_clock(table, key, None, clock(change.column_version));
                self.drop_cells(table, key);
            }
            return;
        }
        if change.is_sentinel() {
            if length > here {
                self.make(table, key, clock(change.column_version));
            }
            return;
        }
        let Some(place) = TABLES[table].columns.iter().position(|(name, _)| *name == &*change.column) else { return };
        let is_newer = length > here;
        if is_newer && (here != 0 || length > 1) {
            self.make(table, key, clock(length));
        }
        if is_newer || here == 0 || self.wins(table, key, place, change) {
            let mut cells = self.row(table, key).and_then(|row| row.cells.clone()).unwrap_or_else(|| defaults(table));
            cells[place] = change.value.clone();
            self.set_cells(table, key, Some(cells));
            self.set_clock(table, key, Some(place), clock(change.column_version));
        }
    }

    /// A row comes to life, or goes on to a later life: its cells stay as they are, and lose to any that come.
    fn make(&mut self, table: usize, key: &PackedKey, marker: Clock) {
        let Some(row) = self.row(table, key) else { return };
        let clocks: Vec<(Column, Clock)> =
            row.clocks.iter().filter(|(column, _)| column.is_some()).map(|(column, clock)| (*column, *clock)).collect();
        if row.cells.is_none() {
            self.set_cells(table, key, Some(defaults(table)));
        }
        for (column, clock) in clocks {
            self.set_clock(table, key, column, Clock { column_version: 0, version: marker.version, ..clock });
        }
        self.set_clock(table, key, None, marker);
    }

    fn wins(&self, table: usize, key: &PackedKey, place: usize, change: &Change) -> bool {
        let Some(clock) = self.clock(table, key, Some(place)) else { return true };
        let value = self.row(table, key).map_or(Value::Null, |row| row.value(Some(place)));
        let order = change.column_version.cmp(&clock.column_version);
        order.then_with(|| compare(&change.value, &value)) == Ordering::Greater
    }

    // --- ranges ---

    /// A page of a range; `own` is the site that [`Author::Own`] stands for.
    pub(super) fn page(&self, request: &ReadRequest, until: Cursor, own: SiteId, part_bytes: usize) -> Chunk {
        let wanted = |site: SiteId| match request.author {
            Author::Any => true,
            Author::Own => site == own,
            Author::Except(other) => site != other,
        };
        let from = match &request.after {
            Some(after) => place_of(after),
            None => (request.since.get() + 1, 0, i64::MIN, None),
        };
        let range = self.order.range(from..).take_while(|(place, _)| place.0 <= until.version.get());
        let behind = range.skip_while(|(place, _)| request.after.is_some() && **place == from);
        let mut found = behind.filter_map(|(place, key)| {
            let row = self.row(place.1, key)?;
            let clock = row.clocks.get(&place.3)?;
            wanted(clock.site).then(|| (*place, change(place.1, key, place.3, row, *clock)))
        });
        let (mut changes, mut bytes, mut last) = (Vec::new(), 0, None);
        for (place, change) in found.by_ref() {
            bytes += CHANGE_BYTES + change.key.as_bytes().len() + change.value.size();
            changes.push(change);
            last = Some(place);
            if bytes >= part_bytes {
                break;
            }
        }
        let remaining = found.count() as u64;
        let next = last.filter(|_| remaining > 0).map(position_of);
        Chunk { until, changes: EncodedChanges::from_changes(&changes), next, remaining }
    }

    /// What `old` wrote above `version` is `new`'s from now on.
    pub(super) fn pass_on(&mut self, old: SiteId, new: SiteId, version: u64) {
        let own = |clock: &&mut Clock| clock.site == old && clock.version > version;
        let clocks = self.tables.iter_mut().flat_map(BTreeMap::values_mut).flat_map(|row| row.clocks.values_mut());
        clocks.filter(own).for_each(|clock| clock.site = new);
    }

    /// Writes the cells of a row again as they are.
    pub(super) fn rewrite(&mut self, table: usize, key: &PackedKey, version: u64, site: SiteId) {
        let Some(row) = self.row(table, key) else { return };
        let cells: Vec<(Column, Clock)> = row.clocks.iter().map(|(column, clock)| (*column, *clock)).collect();
        for (column, clock) in cells.into_iter().filter(|(column, _)| column.is_some()) {
            let column_version = clock.column_version + 1;
            self.set_clock(table, key, column, Clock { column_version, version, site, ..clock });
        }
    }
}

/// A statement's work on one table.
struct Writer<'a> {
    rows: &'a mut Rows,
    table: usize,
    version: u64,
    site: SiteId,
}

impl Writer<'_> {
    fn record(&mut self, key: &PackedKey, column: Column, column_version: impl FnOnce(Option<u64>) -> u64) {
        self.rows.sequence += 1;
        let before = self.rows.clock(self.table, key, column).map(|clock| clock.column_version);
        let clock = Clock {
            column_version: column_version(before),
            version: self.version,
            sequence: self.rows.sequence,
            site: self.site,
        };
        self.rows.set_clock(self.table, key, column, clock);
    }

    fn record_cell(&mut self, key: &PackedKey, place: usize) {
        self.record(key, Some(place), |before| before.unwrap_or(0) + 1);
    }

    fn record_making(&mut self, key: &PackedKey) {
        self.record(key, None, |before| before.map_or(1, |length| length + 1 + length % 2));
    }

    fn record_deletion(&mut self, key: &PackedKey) {
        self.record(key, None, |before| before.map_or(2, |length| length + 1));
        self.rows.drop_cells(self.table, key);
    }

    fn insert(&mut self, key: &PackedKey, values: &[Value]) {
        self.rows.touch(self.table, key);
        if values.is_empty() || self.rows.clock(self.table, key, None).is_some() {
            self.record_making(key);
        }
        (0..values.len()).for_each(|place| self.record_cell(key, place));
        self.rows.set_cells(self.table, key, Some(values.to_vec()));
    }

    fn update<'v>(&mut self, key: &PackedKey, mut here: Vec<Value>, values: impl Iterator<Item = (usize, &'v Value)>) {
        self.rows.touch(self.table, key);
        for (place, value) in values {
            if here[place] != *value {
                here[place] = value.clone();
                self.record_cell(key, place);
            }
        }
        self.rows.set_cells(self.table, key, Some(here));
    }

    fn delete(&mut self, key: &PackedKey) {
        self.rows.touch(self.table, key);
        self.record_deletion(key);
        self.rows.set_cells(self.table, key, None);
    }

    fn rekey(&mut self, key: &PackedKey, to: &PackedKey, conflict: Conflict, here: Vec<Value>) -> bool {
        if key == to {
            return true;
        }
        let is_taken = self.rows.row(self.table, to).is_some_and(|row| row.cells.is_some());
        if is_taken && conflict == Conflict::Fail {
            return false;
        }
        // The new key gets its number first.
        self.rows.touch(self.table, to);
        self.delete(key);
        self.record_making(to);
        (0..here.len()).for_each(|place| self.record_cell(to, place));
        self.rows.set_cells(self.table, to, Some(here));
        true
    }
}

/// A change as it travels.
pub(super) fn change(table: usize, key: &PackedKey, column: Column, row: &Row, clock: Clock) -> Change {
    Change {
        table: TABLES[table].name.into(),
        key: key.clone(),
        column: Arc::from(column.map_or(SENTINEL, |place| TABLES[table].columns[place].0)),
        value: row.value(column),
        column_version: clock.column_version,
        causal_length: row.causal_length(),
        sequence: clock.sequence,
        site: clock.site,
    }
}

fn position_of((version, table, number, column): Place) -> ReadPosition {
    ReadPosition {
        version: Version::new(version).unwrap_or_default(),
        table: TABLES[table].name.into(),
        key: number,
        column: column.map_or(SENTINEL, |place| TABLES[table].columns[place].0).into(),
    }
}

fn place_of(position: &ReadPosition) -> Place {
    let table = TABLES.iter().position(|table| *table.name == *position.table).unwrap_or(0);
    let column = TABLES[table].columns.iter().position(|(name, _)| *name == &*position.column);
    (position.version.get(), table, position.key, column)
}

/// The key of workloads, which fit.
pub(super) fn packed(key: &[Value]) -> PackedKey {
    #[expect(clippy::expect_used, reason = "the keys of a workload are small")]
    PackedKey::pack(key).expect("a small key")
}

/// What a row's columns hold where nobody has written them.
fn defaults(table: usize) -> Vec<Value> {
    let default = |(name, _): &(&str, _)| if *name == "amount" { Value::Integer(1) } else { Value::Null };
    TABLES[table].columns.iter().map(default).collect()
}

/// cr-sqlite's order of values that were written equally often.
fn compare(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Blob(_) => 1,
        Value::Text(_) => 2,
        Value::Real(_) => 3,
        Value::Integer(_) => 4,
    };
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Real(one), Value::Real(other)) => one.total_cmp(other),
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
        _ => rank(one).cmp(&rank(other)),
    }
}
