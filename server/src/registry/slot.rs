//! A place for one database, and what is known of it.
//!
//! Where in the flow: whoever opens or closes a database holds its slot meanwhile, so that others wait and find it done.
//! Never held by who only uses the database: that one has the [`Database`] itself, which tells that it is in use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::database::{Database, Hold};

/// A place for one database: opened by whoever comes first, while others wait.
pub(super) type Slot = Mutex<State>;

#[derive(Debug, Default)]
pub(super) enum State {
    /// Never opened by this process.
    #[default]
    Unused,
    Open(Open),
    /// It was open, and was closed in good order.
    Idle,
    /// Why the last opening failed, and what was open before.
    Failed(String, Option<Arc<Database>>),
    /// Why it could not be made, such as for want of room: nothing was ever there.
    Unmade(String),
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) database: Arc<Database>,
    used: Instant,
    /// Its writer's thread has it too; here it stays until all else is closed.
    _hold: Arc<Hold>,
}

impl State {
    pub(super) fn open(database: Arc<Database>, hold: Arc<Hold>) -> Self {
        Self::Open(Open { database, used: Instant::now(), _hold: hold })
    }

    /// The open database, whether or not its writer is there.
    pub(super) fn database(&self) -> Option<&Arc<Database>> {
        if let Self::Open(open) = self { Some(&open.database) } else { None }
    }

    /// The open database, for somebody who uses it.
    pub(super) fn touch(&mut self) -> Option<Arc<Database>> {
        let Self::Open(open) = self else { return None };
        open.used = Instant::now();
        open.database.is_alive().then(|| open.database.clone())
    }

    /// What was open before, and has to be gone before it is opened again.
    pub(super) fn before(&self) -> Option<Arc<Database>> {
        match self {
            Self::Open(Open { database, .. }) | Self::Failed(_, Some(database)) => Some(database.clone()),
            Self::Unused | Self::Idle | Self::Failed(_, None) | Self::Unmade(_) => None,
        }
    }

    /// Whether it may be made: what was there once is never made anew.
    pub(super) fn may_be_made(&self) -> bool {
        matches!(self, Self::Unused | Self::Unmade(_))
    }

    /// For how long nobody has used it; `None` while somebody does, or it isn't open. Ask with the slot held: nobody
    /// can get hold of it then.
    pub(super) fn idle_for(&mut self) -> Option<Duration> {
        let Self::Open(open) = self else { return None };
        // One whose writer has ended is not closed but opened again, which looks at what happened to its file.
        if !open.database.is_alive() {
            return None;
        }
        if Arc::strong_count(&open.database) > 1 {
            // A socket is here for long: what counts is when it leaves. Whoever only looks (at its status, say) delays
            // the closing, and no more.
            if !open.database.roster().is_empty() {
                open.used = Instant::now();
            }
            return None;
        }
        Some(open.used.elapsed())
    }
}
