//! One seed is one course of events: a failure that can't be repeated can't be understood.

use greenlight_sim::{generate, run};

/// Seeds that are run twice.
const SEEDS: std::ops::Range<u64> = 0..8;

#[test]
fn a_seed_repeats_to_the_last_line() {
    for seed in SEEDS {
        let schedule = generate(seed);
        let (first, second) = (run(&schedule, None, true), run(&schedule, None, true));
        let differs = first.trace.iter().zip(&second.trace).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
        assert!(first.trace.len() > schedule.steps.len(), "seed {seed} was traced");
    }
}
