//! Virtual time: one true clock of the simulation, and the two clocks that each machine reads instead.
//!
//! Where in the flow: under everything. Never reads a real clock.

use std::time::Duration;

use greenlight_core::Now;

/// The true time: milliseconds since the schedule began. No machine of the simulation can see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// So many milliseconds later.
    #[must_use]
    pub fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// So much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        self.after_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What the wall clocks show when a schedule begins: some day in 2026.
const WALL_START_MS: i64 = 1_790_000_000_000;
/// What the monotonic clocks show then; not zero, so that nothing takes zero for "never".
const MONOTONIC_START_MS: u64 = 1_000_000;

/// A machine's clocks: the wall clock may be set, the monotonic one stands still while the machine sleeps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    offset_ms: i64,
    slept_ms: u64,
}

impl Clock {
    /// What the machine reads at a true time. Not while it sleeps.
    pub(crate) fn read(&self, time: Time) -> Now {
        Now { monotonic_ms: (MONOTONIC_START_MS + time.0).saturating_sub(self.slept_ms), wall_ms: self.wall_ms(time) }
    }

    /// What its wall shows.
    pub(crate) fn wall_ms(&self, time: Time) -> i64 {
        WALL_START_MS.saturating_add_unsigned(time.0).saturating_add(self.offset_ms)
    }

    /// When its monotonic clock will show a moment, if it doesn't sleep until then.
    pub(crate) fn time_of(&self, moment: Now) -> Time {
        Time((moment.monotonic_ms + self.slept_ms).saturating_sub(MONOTONIC_START_MS))
    }

    /// Somebody sets the wall clock.
    pub(crate) fn jump(&mut self, ms: i64) {
        self.offset_ms = self.offset_ms.saturating_add(ms);
    }

    /// It slept so long: the monotonic clock did not go on.
    pub(crate) fn slept(&mut self, ms: u64) {
        self.slept_ms += ms;
    }
}
