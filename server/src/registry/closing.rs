//! Closing databases: those that nobody uses, those that a restore wants, and all of them at the end.
//!
//! Where in the flow: beside it, by the housekeeping. A database is closed with its slot held: whoever wants it
//! meanwhile waits, and opens it again. Never closes one that is in use, but for a restore and at the end.

use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::slot::{Slot, State};
use super::{Arc, DatabaseName, Registry};
use crate::database::Control;
use crate::error::ApiError;
use crate::limits::{CLOSE_WAIT, GIVE_UP_GRACE};
use crate::lock::{DatabaseLock, Purpose};

impl Registry {
    /// Closes what nobody has used for so long, and tells how many that were.
    pub async fn close_idle(&self, after: Duration) -> usize {
        let mut count = 0;
        for (name, slot) in self.slots().await {
            // One that is being opened or closed isn't idle.
            let Ok(mut state) = slot.try_lock() else { continue };
            if state.idle_for().is_some_and(|idle| idle >= after) && close(&mut state).await {
                tracing::info!(database = %name, "closed: nobody uses it");
                self.metrics.idle_closed.add(1);
                count += 1;
            }
        }
        count
    }

    /// Closes what a restore waits for. What is under way has a moment to end; sockets are told.
    pub async fn give_up_wanted(&self) {
        for (name, slot) in self.slots().await {
            if !DatabaseLock::is_taken(&self.settings.data, &name, Purpose::Wanted) {
                continue;
            }
            let mut state = slot.lock().await;
            let Some(database) = state.database() else { continue };
            tracing::info!(database = %name, "given up: it is being put back from a copy");
            database.roster().tell_all(&Control::GivenUp);
            let begun = Instant::now();
            while state.idle_for().is_none() && begun.elapsed() < GIVE_UP_GRACE {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            close(&mut state).await;
        }
    }

    /// Closes all, each with what waits for its writer done.
    pub async fn close(&self, within: Duration) {
        for (_, slot) in self.slots().await {
            // One that is being opened is of no use to anybody any more, and has nothing that waits.
            let open = slot.try_lock().ok().and_then(|state| state.database().cloned());
            if let Some(database) = open {
                database.close(within).await;
            }
        }
    }

    /// A place for one more open database, if need be that of the one which nobody has used for the longest time.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] when all are in use.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        loop {
            if let Ok(place) = self.places.clone().try_acquire_owned() {
                return Ok(place);
            }
            if !self.close_longest_idle().await {
                return Err(ApiError::Overloaded);
            }
        }
    }

    async fn close_longest_idle(&self) -> bool {
        let mut longest = None;
        for (name, slot) in self.slots().await {
            let idle = slot.try_lock().ok().and_then(|mut state| state.idle_for());
            if idle.is_some_and(|idle| longest.as_ref().is_none_or(|(most, _, _)| idle > *most)) {
                longest = idle.map(|idle| (idle, name, slot));
            }
        }
        let Some((_, name, slot)) = longest else { return false };
        // Whoever came for it meanwhile may have it; then the next one is looked for.
        let Ok(mut state) = slot.try_lock() else { return true };
        if state.idle_for().is_some() && close(&mut state).await {
            tracing::info!(database = %name, "closed: its place is needed");
            self.metrics.idle_closed.add(1);
        }
        true
    }

    async fn slots(&self) -> Vec<(DatabaseName, Arc<Slot>)> {
        self.slots.read().await.iter().map(|(name, slot)| (name.clone(), slot.clone())).collect()
    }
}

/// Closes an open database. Where something of it stays open for too long, that is waited for when it is opened again.
async fn close(state: &mut State) -> bool {
    let Some(database) = state.database().cloned() else { return false };
    let closed = database.close(CLOSE_WAIT).await;
    *state = if closed { State::Idle } else { State::Failed("it is still being closed".to_owned(), Some(database)) };
    closed
}
