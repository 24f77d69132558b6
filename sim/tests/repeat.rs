//! One seed is one course of events: a failure that can't be repeated can't be understood.

use greenlight_sim::{Stores, generate, run};

/// Seeds that are run twice.
const SEEDS: std::ops::Range<u64> = 0..8;

#[test]
fn a_seed_repeats_to_the_last_line() {
    for seed in SEEDS {
        for stores in [Stores::Real, Stores::Model] {
            let schedule = generate(seed);
            let (first, second) = (run(&schedule, stores, None, true), run(&schedule, stores, None, true));
            let differs = first.trace.iter().zip(&second.trace).find(|(one, other)| one != other);
            assert_eq!(differs, None, "seed {seed}, {stores:?}");
            assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}, {stores:?}");
            assert!(first.trace.len() > schedule.steps.len(), "seed {seed}, {stores:?} was traced");
        }
    }
}
