//! What a server does by itself every so often: closes databases that nobody uses, and gives up those that a restore
//! wants.
//!
//! Where in the flow: beside it, one task for the life of the server. Never runs once the server stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::limits::{HOUSEKEEPING_LEAST, HOUSEKEEPING_MOST};
use crate::memory;
use crate::registry::Registry;

/// Begins; it ends with the server. `idle` is how long a database stays open that nobody uses.
pub(crate) fn start(
    registry: Arc<Registry>,
    idle: Option<Duration>,
    mut stopping: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let every = idle.map_or(HOUSEKEEPING_MOST, |idle| (idle / 4).clamp(HOUSEKEEPING_LEAST, HOUSEKEEPING_MOST));
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                // Also when nobody can say any more that it stops.
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
            registry.give_up_wanted().await;
            let Some(idle) = idle else { continue };
            if registry.close_idle(idle).await > 0
                && let Err(error) = tokio::task::spawn_blocking(memory::give_back).await
            {
                tracing::error!("memory could not be given back: {error}");
            }
        }
    })
}
