//! The time, as it is handed in.
//!
//! Where in the flow: an argument of every `handle_*`. Never read here.

use std::time::Duration;

/// One reading of both clocks.
///
/// The monotonic clock never goes back but may stand still while a laptop sleeps; the wall clock counts sleep but
/// may be set. Ages are therefore the larger of the two differences: a clock set forward makes the light wait for
/// the next echo, and never keeps it green for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since any fixed moment of this process.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
}

impl Now {
    /// The age of `earlier`, by whichever clock says more; never negative.
    pub fn since(self, earlier: Now) -> Duration {
        let monotonic = self.monotonic_ms.saturating_sub(earlier.monotonic_ms);
        let wall = u64::try_from(self.wall_ms.saturating_sub(earlier.wall_ms)).unwrap_or(0);
        Duration::from_millis(monotonic.max(wall))
    }

    /// The age of `earlier` by the monotonic clock alone: for waits and backoff, which a set clock must not cut short.
    pub fn monotonic_since(self, earlier: Now) -> Duration {
        Duration::from_millis(self.monotonic_ms.saturating_sub(earlier.monotonic_ms))
    }

    /// This moment plus a duration, on both clocks.
    pub fn plus(self, duration: Duration) -> Now {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Now {
            monotonic_ms: self.monotonic_ms.saturating_add(ms),
            wall_ms: self.wall_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)),
        }
    }
}
