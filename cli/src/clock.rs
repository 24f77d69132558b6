//! The clocks of this machine, as core wants them read.
//!
//! Where in the flow: one reading per event. Never decides anything.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use greenlight_core::Now;

/// Reads both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic_ms: milliseconds(self.start.elapsed()), wall_ms: wall_ms() }
    }

    /// The moment as the runtime's timers want it.
    pub(crate) fn instant(&self, moment: Now) -> Instant {
        self.start + Duration::from_millis(moment.monotonic_ms)
    }
}

/// Milliseconds since 1970; zero before.
pub(crate) fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| milliseconds(since) as i64)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
