//! Ages by two clocks of which one may be set and the other may sleep.

use std::time::Duration;

use greenlight_core::Now;
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const START: Now = Now { monotonic_ms: 1_000_000, wall_ms: 1_700_000_000_000 };

fn passed(monotonic_ms: u64, wall_ms: i64) -> Now {
    Now { monotonic_ms: START.monotonic_ms + monotonic_ms, wall_ms: START.wall_ms + wall_ms }
}

#[test]
fn the_larger_difference_is_the_age() {
    let age = |monotonic_ms: u64, wall_ms: i64| passed(monotonic_ms, wall_ms).since(START).as_millis();
    assert_eq!(age(7, 7), 7);
    assert_eq!(age(7, 3_600_007), 3_600_007, "slept, or set forward");
    assert_eq!(age(7, -3_600_000), 7, "set back");
    assert_eq!(START.since(passed(7, 7)).as_millis(), 0, "never negative");
    assert_eq!(passed(7, 3_600_007).monotonic_since(START).as_millis(), 7, "a wait is not cut short");
}

proptest! {
    #[test]
    fn no_reading_of_the_clocks_overflows(
        now in (any::<u64>(), any::<i64>()),
        earlier in (any::<u64>(), any::<i64>()),
        wait: u64,
    ) {
        let read = |(monotonic_ms, wall_ms)| Now { monotonic_ms, wall_ms };
        let (now, earlier) = (read(now), read(earlier));
        prop_assert!(now.since(earlier) >= now.monotonic_since(earlier));
        prop_assert!(now.plus(Duration::from_millis(wait)).since(now) <= Duration::from_millis(wait));
    }

    #[test]
    fn a_moment_plus_a_wait_is_that_much_later(wait in 0..1_000_000_000u64) {
        let wait = Duration::from_millis(wait);
        prop_assert_eq!(START.plus(wait).since(START), wait);
    }
}
