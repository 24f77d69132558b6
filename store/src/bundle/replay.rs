//! Reading a bundle back: its lines become rows, and what is to be replayed is chosen of them.
//!
//! Where in the flow: outside of sync, before [`Chosen`] compares and writes. Never touches a database.

use std::collections::BTreeMap;

use greenlight_core::Value;
use greenlight_core::change::SENTINEL;
use greenlight_core::replica::Fault;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::plan::Chosen;
use super::{Excerpt, FORMAT, Header, Line, SavedChange, excerpt, read_value};
use crate::statement::StatementError;

/// Rows of one bundle; beyond it there is no room for them at once.
pub const MAX_ROWS: usize = 2_000_000;

/// Why a bundle can't be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It isn't one.
    #[error("line {0} is not a bundle's")]
    NotABundle(u64),
    /// A newer version of this program wrote it.
    #[error("the bundle's format {0} is not known here")]
    Format(u32),
    /// Its last line is missing or does not fit.
    #[error("the bundle is not complete")]
    Incomplete,
    /// More than [`MAX_ROWS`].
    #[error("the bundle has more than {MAX_ROWS} rows")]
    TooLarge,
    /// The database could not be read.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A row could not be read, or the transaction was rolled back by an app's trigger.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// Which rows of a bundle are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// What the server had not acknowledged.
    #[default]
    Unacknowledged,
    /// Everything that was in the database, where the bundle holds it: after a reset of the server it may exist
    /// nowhere else.
    All,
}

/// One row's state, gathered from its changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) key: Vec<Value>,
    /// The highest causal length seen: even is deleted.
    causal_length: u64,
    /// What is to be here.
    pub(super) cells: BTreeMap<String, Value>,
    /// What the row had beside that: written only where it is not here at all, so that it is not added by halves.
    pub(super) rest: BTreeMap<String, Value>,
}

impl Row {
    pub(super) fn lives(&self) -> bool {
        !self.causal_length.is_multiple_of(2)
    }
}

/// How many rows of a table a bundle holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Its name.
    pub table: String,
    /// Rows with something that the server had not acknowledged.
    pub pending: u64,
    /// All rows, and those that were deleted; 0 where the bundle does not hold the whole database.
    pub all: u64,
    /// The first of them in the order of their keys' JSON, as many as were asked for.
    pub rows: Vec<HeldRow>,
}

/// A row as a bundle holds it, long values cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldRow {
    /// Its key.
    pub key: Vec<Option<Excerpt>>,
    /// Whether something of it was not acknowledged.
    pub pending: bool,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Its cells by column; of a row in a bundle that does not hold the whole database, those that were pending.
    pub cells: BTreeMap<String, Option<Excerpt>>,
}

/// By table and the key's JSON text.
type Gathered = BTreeMap<(String, String), Row>;

/// What the first line of every format has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Numbered {
    greenlight_bundle: u32,
}

/// What was read of a bundle so far.
#[derive(Debug, Default)]
pub struct Replay {
    lines: u64,
    ended: bool,
    header: Option<Header>,
    pending: Gathered,
    acknowledged: Gathered,
}

impl Replay {
    /// Takes in whole lines.
    ///
    /// # Errors
    /// [`ReplayError`]; then nothing of the bundle is to be written.
    pub fn take(&mut self, lines: &[u8]) -> Result<(), ReplayError> {
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            if self.ended {
                return Err(ReplayError::Incomplete);
            }
            let number = self.lines;
            self.take_line(line, number)?;
            self.lines += 1;
        }
        Ok(())
    }

    /// The first line; `None` before it was taken in.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Whether all of the bundle was taken in.
    pub fn is_complete(&self) -> bool {
        self.ended
    }

    /// Whether the bundle holds everything that was in the database, and not only what was pending.
    pub fn holds_all(&self) -> bool {
        !self.acknowledged.is_empty()
    }

    /// What is in the bundle by table, in the order of names, with at most `limit` rows of each.
    pub fn held(&self, limit: usize) -> Vec<Held> {
        let mut held = BTreeMap::<&str, Held>::new();
        let names = self.pending.keys().chain(self.acknowledged.keys().filter(|name| !self.pending.contains_key(name)));
        for name in names {
            let (pending, all) = (self.pending.get(name), self.acknowledged.get(name));
            let told = held.entry(&name.0).or_insert_with(|| Held { table: name.0.clone(), ..Held::default() });
            told.pending += u64::from(pending.is_some());
            told.all += u64::from(all.is_some());
            if told.rows.len() < limit {
                told.rows.extend(pending.or(all).map(|row| held_row(row, all, pending.is_some())));
            }
        }
        held.into_values().collect()
    }

    fn take_line(&mut self, line: &[u8], number: u64) -> Result<(), ReplayError> {
        let wrong = || ReplayError::NotABundle(number + 1);
        if number == 0 {
            // The number alone first: the rest of a newer header may be anything.
            let Numbered { greenlight_bundle } = serde_json::from_slice(line).map_err(|_| wrong())?;
            if greenlight_bundle != FORMAT {
                return Err(ReplayError::Format(greenlight_bundle));
            }
            self.header = Some(serde_json::from_slice(line).map_err(|_| wrong())?);
            return Ok(());
        }
        match serde_json::from_slice(line).map_err(|_| wrong())? {
            Line::Change(change) => self.take_change(change).ok_or_else(wrong)?,
            Line::Piece { .. } => {}
            Line::End { end } if end == number => self.ended = true,
            Line::End { .. } => return Err(ReplayError::Incomplete),
        }
        let rows = self.pending.len() + self.acknowledged.len();
        if rows > MAX_ROWS { Err(ReplayError::TooLarge) } else { Ok(()) }
    }

    fn take_change(&mut self, change: SavedChange) -> Option<()> {
        let name = serde_json::to_string(&change.key).ok()?;
        let rows = if change.acknowledged { &mut self.acknowledged } else { &mut self.pending };
        let row = rows.entry((change.table, name)).or_default();
        row.key = change.key.iter().map(|value| read_value(value.as_ref())).collect::<Option<_>>()?;
        row.causal_length = row.causal_length.max(change.causal_length);
        if change.column != SENTINEL {
            row.cells.insert(change.column, read_value(change.value.as_ref())?);
        }
        Some(())
    }

    /// The rows that are to be replayed. Acknowledged rows that were deleted in the bundle's database are left out:
    /// what others have put there since is not deleted by an old deletion.
    ///
    /// # Errors
    /// [`ReplayError::Incomplete`].
    pub fn choose(self, rows: Rows) -> Result<Chosen, ReplayError> {
        if !self.ended {
            return Err(ReplayError::Incomplete);
        }
        let whole = self.holds_all();
        let mut known = self.acknowledged;
        let mut chosen = Gathered::new();
        // What was pending is the latest that was known of its rows.
        for (name, mut row) in self.pending {
            if let Some(old) = known.remove(&name) {
                row.causal_length = row.causal_length.max(old.causal_length);
                if rows == Rows::All {
                    row.cells = old.cells.into_iter().chain(row.cells).collect();
                } else {
                    row.rest = old.cells;
                }
            }
            chosen.insert(name, row);
        }
        if rows == Rows::All {
            chosen.extend(known.into_iter().filter(|(_, row)| row.lives()));
        }
        let (live, dead): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|(_, row)| row.lives());
        Ok(Chosen::new(live.into_iter().chain(dead).map(|((table, _), row)| (table, row)).collect(), whole))
    }
}

fn held_row(row: &Row, all: Option<&Row>, pending: bool) -> HeldRow {
    let rest = all.into_iter().flat_map(|all| &all.cells);
    let cells = rest.chain(&row.cells).map(|(column, value)| (column.clone(), excerpt(value))).collect();
    HeldRow { key: row.key.iter().map(excerpt).collect(), pending, deleted: !row.lives(), cells }
}
