//! The only file that reads the clocks.
//!
//! Where in the flow: hands the time to sessions, which never read it themselves.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use greenlight_core::Now;

/// One reading of both clocks.
pub fn now() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let monotonic_ms = milliseconds(START.get_or_init(Instant::now).elapsed());
    Now { monotonic_ms, wall_ms: wall_ms() }
}

/// Milliseconds since 1970; zero for a clock set before.
pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How long from `now` until `then`, by the monotonic clock; zero when it has passed.
pub fn until(now: Now, then: Now) -> Duration {
    Duration::from_millis(then.monotonic_ms.saturating_sub(now.monotonic_ms))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
