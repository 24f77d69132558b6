//! The light: one value computed from facts and the time.
//!
//! Where in the flow: the last step of every event on a client; a driver publishes it when it differs.
//! Never keeps state of its own and never guesses: what is not a fact here is not shown.

mod judge;
mod reason;

pub use judge::{Compared, Facts, Link, judge, next_change};
pub use reason::{Reason, Remedy};

use serde::Serialize;

use crate::key::PackedKey;
use crate::limits::MAX_DESCRIBED_ROWS;
use crate::position::SiteId;
use crate::protocol::CloseCode;

/// The six states of the light.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusState {
    /// Red: no connection, or paused.
    Disconnected,
    /// Yellow, pulsing: dialling, shaking hands, or behind an announced head for longer than the deadline.
    Connecting,
    /// Solid green: fresh in both directions and nothing pending.
    Synced,
    /// Hollow green with a count: fresh in both directions, changes on their way and moving.
    Syncing,
    /// Red with a warning: no progress; see the reason.
    Stuck,
    /// Red with an error: can't be reconciled; see the reason and its remedy.
    Incompatible,
}

impl StatusState {
    /// Every state, in the order of its number.
    pub const ALL: [Self; 6] =
        [Self::Disconnected, Self::Connecting, Self::Synced, Self::Syncing, Self::Stuck, Self::Incompatible];

    /// The number on the wire.
    pub fn number(self) -> u8 {
        Self::ALL.iter().position(|&state| state == self).map_or(0, |index| index as u8)
    }

    /// The state of a number on the wire.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether the light is green.
    pub fn is_green(self) -> bool {
        matches!(self, Self::Synced | Self::Syncing)
    }

    /// The state's name, as the footer's `data-status` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Synced => "synced",
            Self::Syncing => "syncing",
            Self::Stuck => "stuck",
            Self::Incompatible => "incompatible",
        }
    }
}

/// Everything a page or a terminal shows of sync. Serialised with camelCase names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// What the light shows.
    pub state: StatusState,
    /// Why, as a stable code.
    pub reason: Reason,
    /// The same for a person, in English; apps translate by the reason.
    pub sentence: String,
    /// What a person can do.
    pub remedy: Remedy,
    /// Since when it has been in this state for this reason, milliseconds since 1970.
    pub since: i64,
    /// What is not acknowledged.
    pub pending: Pending,
    /// When the light was last solid green, milliseconds since 1970.
    pub last_synced_at: Option<i64>,
    /// When the server was asked whose digests of all tables were equal to those here, milliseconds since 1970.
    pub verified_at: Option<i64>,
    /// What differed when it was last compared; empty once it is found equal.
    pub diverged: Vec<Diverged>,
    /// The age of what is shown: milliseconds since the ping whose answer was caught up with.
    pub freshness_ms: Option<u64>,
    /// The range under way or the last one that took several parts.
    pub progress: Option<Progress>,
    /// Incoming changes that could not be applied.
    pub quarantined: u64,
    /// Incoming changes that wait for a newer schema.
    pub held_aside: u64,
    /// Incoming changes that could not be applied and that a person has left out of this database.
    pub left_out: u64,
    /// Whether the server last said that this client may only read: the app's writes are refused.
    pub read_only: bool,
    /// For the details panel and for reports.
    pub diagnostics: Diagnostics,
}

/// A table that differed from the server's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diverged {
    /// Its name.
    pub table: String,
    /// Rows that were found to differ; there may be more.
    pub rows: u64,
}

/// For a log: which tables differed from the server's, and by their keys which of their rows.
pub fn describe(tables: &[Diverged], rows: &[(String, PackedKey)]) -> String {
    let mut text = String::from("rows differed from the server's and are being mended:");
    for Diverged { table, rows: count } in tables {
        let keys = rows.iter().filter(|(of, _)| of == table).map(|(_, key)| format!("{:?}", key.values()));
        let keys: Vec<_> = keys.take(MAX_DESCRIBED_ROWS).collect();
        text.push_str(&format!(" {table}: {count} ({})", keys.join(", ")));
    }
    text
}

/// Own changes above the acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// `crsql_changes` rows.
    pub changes: u64,
    /// About how many bytes.
    pub bytes: u64,
    /// The age of the oldest.
    pub oldest_age_ms: Option<u64>,
}

/// The way a range travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the server.
    Down,
    /// To the server.
    Up,
}

/// Done of total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Done.
    pub done: u64,
    /// Total; exact for changes, and for bytes an estimate from the mean until the end.
    pub total: u64,
}

/// How far a range is that takes several parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Which way.
    pub direction: Direction,
    /// In changes.
    pub changes: Share,
    /// In bytes of encoded changes.
    pub bytes: Share,
    /// Changes per second, on average since the range began.
    pub per_second: f64,
    /// How long it will take at that rate.
    pub eta_ms: Option<u64>,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastClose {
    /// The close code; 1006 where none came.
    pub code: u16,
    /// The reason that came with it.
    pub reason: String,
}

impl LastClose {
    /// Whether the server said that it could not take part just now.
    pub fn is_overload(&self) -> bool {
        self.code == CloseCode::Overloaded.number()
    }
}

/// The server that the client followed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerSeen {
    /// Its site id.
    pub site_id: SiteId,
    /// Its epoch, 16 hexadecimal digits.
    pub epoch: String,
    /// The newest head it announced on this connection; zero before.
    pub head: u64,
}

/// Facts behind the state.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostics {
    /// Failed attempts in a row.
    pub attempt: u32,
    /// Closes soon after the opening, in a row.
    pub early_closes: u32,
    /// How the last connection ended.
    pub last_close: Option<LastClose>,
    /// The last error of the local database or the last refusal.
    pub last_error: Option<String>,
    /// When the next attempt is due, milliseconds since 1970.
    pub next_attempt_at: Option<i64>,
    /// The server.
    pub server: Option<ServerSeen>,
    /// This database's site id.
    pub site_id: Option<SiteId>,
    /// Where it stands in the server's history.
    pub cursor: u64,
    /// Up to where the server holds its own changes.
    pub acknowledged: u64,
}
