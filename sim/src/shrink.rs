//! Making a failing schedule small: steps are left out for as long as it still fails in the same way.
//!
//! Where in the flow: after a failure, before it is printed.

use crate::breakage::Breakage;
use crate::oracle::Check;
use crate::run::{Outcome, run};
use crate::schedule::{Schedule, Timed};
use crate::stores::Stores;

/// Runs that shrinking may take.
const RUNS: usize = 600;

/// The smallest schedule that was found to break the same promise, and its outcome with a trace.
pub fn shrink(schedule: &Schedule, stores: Stores, breakage: Option<Breakage>, check: Check) -> (Schedule, Outcome) {
    let mut left = RUNS;
    let mut fails = |steps: &[Timed]| {
        if left == 0 {
            return false;
        }
        left -= 1;
        let outcome = run(&Schedule { steps: steps.to_vec(), ..schedule.clone() }, stores, breakage, false);
        outcome.violation.is_some_and(|violation| violation.check == check)
    };
    let mut steps = schedule.steps.clone();
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(start..(start + size).min(steps.len()));
            if fails(&fewer) {
                steps = fewer;
            } else {
                start += size;
            }
        }
        size /= 2;
    }
    let small = Schedule { steps, ..schedule.clone() };
    let outcome = run(&small, stores, breakage, true);
    (small, outcome)
}
