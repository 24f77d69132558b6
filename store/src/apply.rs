//! Applying changes through cr-sqlite, with those that can't be applied put aside.
//!
//! Where in the flow: step 5 on a server, step 8 on a client, inside the transaction that also moves the cursor or
//! the bound. A change is bound with `db_version` 0: one commit is one version, and no peer's number has an effect.
//! Never lets one change stop another, and never leaves cr-sqlite's sync bit set.

mod absent;
mod again;

use std::collections::HashSet;
use std::sync::Arc;

use greenlight_core::limits::MAX_COLUMN_VERSION;
use greenlight_core::replica::{Applied, Fault};
use greenlight_core::{Change, SiteId, Value};
use rusqlite::CachedStatement;

use self::absent::AbsentRows;
pub(crate) use self::again::{Again, Culprits};
use crate::aside::{self, Shelf};
use crate::database::Database;
use crate::fault::{from_sqlite, is_change_to_blame, sentence};
use crate::limits::{ROLLBACK_RETRIES, SAVEPOINT_CHANGES};
use crate::value::Bind;

const INSERT: &str = "INSERT INTO crsql_changes (\"table\", pk, cid, val, col_version, db_version, site_id, cl, seq)
                      VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8)";

/// Why changes were not applied.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database failed, or the request was wrong.
    Fault(Fault),
    /// The transaction has to be done again: the fast way met a change, at this place, that can't be applied, or, in
    /// the careful way, the change made the whole transaction roll back. An app's trigger can do that.
    RolledBack(usize),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// How changes are applied. At first the fast way, without savepoints: the first change that fails ends it. Then the
/// careful way: changes that fail are put aside, and those that rolled back a transaction are not tried again.
#[derive(Debug, Default)]
pub(crate) struct Poison {
    careful: bool,
    places: HashSet<usize>,
    tables: HashSet<Arc<str>>,
}

impl Poison {
    /// The careful way from the start.
    pub(crate) fn careful() -> Self {
        Self { careful: true, ..Self::default() }
    }

    /// Takes note of a culprit, after the fast way by going the careful one. Each further call makes the next attempt
    /// reach further, so attempts are bounded by [`ROLLBACK_RETRIES`] and the number of tables.
    pub(crate) fn add(&mut self, place: usize, changes: &[Change]) {
        if !std::mem::replace(&mut self.careful, true) {
            return;
        }
        if self.places.len() >= ROLLBACK_RETRIES
            && let Some(change) = changes.get(place)
        {
            self.tables.insert(change.table.clone());
        }
        self.places.insert(place);
    }

    fn holds(&self, place: usize, change: &Change) -> bool {
        self.places.contains(&place) || self.tables.contains(&change.table)
    }
}

/// What is to become of a change, before cr-sqlite is asked.
enum Fate {
    Apply,
    Aside(Shelf, &'static str),
}

impl Database {
    /// Applies changes within the transaction that the caller holds; all or none of those that can be applied.
    pub(crate) fn apply_changes(
        &mut self,
        changes: &[Change],
        sender: Option<SiteId>,
        poison: &Poison,
    ) -> Result<Applied, Failure> {
        let now_ms = self.wall_ms();
        let mut applied = Applied::default();
        let mut good = Vec::with_capacity(changes.len());
        for (place, change) in changes.iter().enumerate() {
            match self.fate(change, poison.holds(place, change)) {
                Fate::Apply => good.push(place),
                Fate::Aside(shelf, reason) => self.shelve(&mut applied, shelf, change, reason, now_ms, sender)?,
            }
        }
        if !poison.careful {
            self.apply_all(changes, &good)?;
            good.clear();
        }
        for group in good.chunks(SAVEPOINT_CHANGES) {
            if self.apply_group(changes, group)? {
                continue;
            }
            for &place in group {
                if let Err(reason) = self.apply_one(place, &changes[place])? {
                    self.shelve(&mut applied, Shelf::Quarantine, &changes[place], &reason, now_ms, sender)?;
                }
            }
        }
        if applied != Applied::default() {
            aside::check_room(&self.conn)?;
        }
        Ok(applied)
    }

    fn shelve(
        &self,
        applied: &mut Applied,
        shelf: Shelf,
        change: &Change,
        reason: &str,
        now_ms: i64,
        sender: Option<SiteId>,
    ) -> Result<(), Fault> {
        // It came again: whoever left it out has seen it.
        let is_seen = shelf == Shelf::Quarantine && aside::holds(&self.conn, Shelf::LeftOut, change)?;
        if !is_seen && aside::put(&self.conn, shelf, change, reason, now_ms, sender)? {
            match shelf {
                Shelf::Quarantine => applied.quarantined += 1,
                Shelf::Held => applied.held_aside += 1,
                Shelf::LeftOut => {}
            }
        }
        Ok(())
    }

    /// cr-sqlite checks nothing, so this does.
    fn fate(&self, change: &Change, poisonous: bool) -> Fate {
        let quarantine = |reason| Fate::Aside(Shelf::Quarantine, reason);
        let Some(table) = self.table(&change.table) else {
            return Fate::Aside(Shelf::Held, "the table is not in the schema yet");
        };
        let dead = change.causal_length.is_multiple_of(2);
        if poisonous {
            quarantine("a trigger rolled the whole transaction back")
        } else if !change.is_sentinel() && table.column(&change.column).is_none() {
            Fate::Aside(Shelf::Held, "the column is not in the schema yet")
        } else if !table.key_fits(&change.key) {
            quarantine("the key does not fit the table's key columns")
        } else if change.column_version > MAX_COLUMN_VERSION
            || !(1..=MAX_COLUMN_VERSION).contains(&change.causal_length)
        {
            quarantine("the change's version is out of range")
        } else if change.is_sentinel() && (change.column_version != change.causal_length || change.value != Value::Null)
        {
            quarantine("the row's marker contradicts itself")
        } else if !change.is_sentinel() && dead {
            quarantine("the cell belongs to a row that it says is deleted")
        } else {
            Fate::Apply
        }
    }

    /// The fast way: the caller's transaction is the only net.
    fn apply_all(&self, changes: &[Change], good: &[usize]) -> Result<(), Failure> {
        if good.is_empty() {
            return Ok(());
        }
        let applied = self.apply_rows(changes, good);
        self.clear_sync_bit()?;
        applied.map_err(
            |(place, error)| {
                if is_change_to_blame(&error) { Failure::RolledBack(place) } else { from_sqlite(error).into() }
            },
        )
    }

    /// Row by row: those that are not here yet straight into the tables, all others through cr-sqlite. May leave the
    /// sync bit set. An error comes with the place of a change of its row.
    fn apply_rows(&self, changes: &[Change], good: &[usize]) -> Result<(), (usize, rusqlite::Error)> {
        let at = |place| move |error| (place, error);
        let begin = at(good[0]);
        let mut absent = AbsentRows::new(self).map_err(begin)?;
        let mut insert = self.conn.prepare_cached(INSERT).map_err(begin)?;
        let mut set_bit = self.conn.prepare_cached("SELECT crsql_internal_sync_bit(1)").map_err(begin)?;
        let mut bit_is_set = false;
        for row in good.chunk_by(|&a, &b| changes[a].table == changes[b].table && changes[a].key == changes[b].key) {
            let table = self.table(&changes[row[0]].table);
            if let Some(table) = table.filter(|table| absent.suits(table, changes, row)) {
                if !bit_is_set {
                    set_bit.query_row([], |_| Ok(())).map_err(at(row[0]))?;
                    bit_is_set = true;
                }
                if absent.insert(table, changes).map_err(at(row[0]))? {
                    continue;
                }
            }
            for &place in row {
                insert_change(&mut insert, &changes[place]).map_err(at(place))?;
            }
            // cr-sqlite sets it and clears it for itself.
            bit_is_set = false;
        }
        Ok(())
    }

    /// The careful way: a group in one savepoint. `false` when a change failed; then none of the group is applied.
    fn apply_group(&self, changes: &[Change], good: &[usize]) -> Result<bool, Failure> {
        self.savepoint("SAVEPOINT greenlight_part")?;
        let mut insert = self.conn.prepare_cached(INSERT).map_err(from_sqlite)?;
        for &place in good {
            if let Err(error) = insert_change(&mut insert, &changes[place]) {
                drop(insert);
                self.recover(place, &error, "ROLLBACK TO greenlight_part; RELEASE greenlight_part")?;
                return Ok(false);
            }
        }
        self.savepoint("RELEASE greenlight_part")?;
        Ok(true)
    }

    /// The slowest way; the inner error is the reason for the quarantine.
    fn apply_one(&self, place: usize, change: &Change) -> Result<Result<(), String>, Failure> {
        self.savepoint("SAVEPOINT greenlight_change")?;
        let mut insert = self.conn.prepare_cached(INSERT).map_err(from_sqlite)?;
        if let Err(error) = insert_change(&mut insert, change) {
            drop(insert);
            self.recover(place, &error, "ROLLBACK TO greenlight_change; RELEASE greenlight_change")?;
            return Ok(Err(sentence(&error)));
        }
        self.savepoint("RELEASE greenlight_change")?;
        Ok(Ok(()))
    }

    /// Goes back to the savepoint, if the transaction still stands and the error is the change's own.
    fn recover(&self, place: usize, error: &rusqlite::Error, back: &str) -> Result<(), Failure> {
        self.clear_sync_bit()?;
        if !is_change_to_blame(error) {
            return Err(from_sqlite(copy(error)).into());
        }
        if self.conn.is_autocommit() {
            return Err(Failure::RolledBack(place));
        }
        self.savepoint(back)?;
        Ok(())
    }

    fn savepoint(&self, sql: &str) -> Result<(), Fault> {
        self.conn.execute_batch(sql).map_err(from_sqlite)
    }
}

fn insert_change(insert: &mut CachedStatement<'_>, change: &Change) -> rusqlite::Result<()> {
    let params = (
        &*change.table,
        change.key.as_bytes(),
        &*change.column,
        Bind(&change.value),
        // Within their limits: the change was checked before.
        change.column_version as i64,
        &change.site.0[..],
        change.causal_length as i64,
        change.sequence as i64,
    );
    insert.execute(params).map(drop)
}

/// rusqlite's errors can't be cloned; a statement's failure can be made again.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => rusqlite::Error::SqliteFailure(*code, message.clone()),
        other => rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(1), Some(other.to_string())),
    }
}
