//! How far a range is that takes several parts.
//!
//! Where in the flow: fed by inbox and outbox, shown in the status. Keeps the final totals for a late subscriber.

use super::ClientSession;
use crate::status::{Direction, Progress, Share};
use crate::time::Now;

/// Counts what is done of one range.
#[derive(Debug)]
pub(super) struct Meter {
    direction: Direction,
    started: Now,
    measured: Now,
    changes: Share,
    bytes: u64,
}

impl Meter {
    pub(super) fn start(now: Now, direction: Direction, total: u64) -> Self {
        Self { direction, started: now, measured: now, changes: Share { done: 0, total }, bytes: 0 }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.changes.done >= self.changes.total
    }

    /// The shown form: bytes in total are estimated from the mean until all is done.
    pub(super) fn progress(&self) -> Progress {
        let Share { done, total } = self.changes;
        let all = if done == 0 { 0 } else { (self.bytes as f64 * (total as f64 / done as f64)) as u64 };
        let seconds = self.measured.monotonic_since(self.started).as_secs_f64();
        let per_second = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        let left = total.saturating_sub(done) as f64;
        let eta_ms = (per_second > 0.0).then(|| (left / per_second * 1_000.0) as u64);
        Progress {
            direction: self.direction,
            changes: self.changes,
            bytes: Share { done: self.bytes, total: all.max(self.bytes) },
            per_second,
            eta_ms,
        }
    }
}

impl ClientSession {
    pub(super) fn start_meter(&mut self, now: Now, direction: Direction, total: u64) {
        self.progress = Some(Meter::start(now, direction, total));
    }

    pub(super) fn measure(&mut self, now: Now, direction: Direction, changes: u64, bytes: u64, remaining: u64) {
        let Some(meter) = &mut self.progress else { return };
        if meter.direction != direction || meter.is_complete() {
            return;
        }
        meter.measured = now;
        meter.bytes += bytes;
        meter.changes.done += changes;
        meter.changes.total = meter.changes.done + remaining;
    }
}
