//! Many schedules on several threads.
//!
//! Where in the flow: called by the tests. Each schedule runs on one thread from its first step to its last.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::breakage::Breakage;
use crate::oracle::Violation;
use crate::report::Counts;
use crate::run::run;
use crate::schedule::generate;
use crate::stores::Stores;

/// The first schedule that failed, by its seed.
#[derive(Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What it broke.
    pub violation: Violation,
}

/// Runs the schedules of `count` seeds from `first` on, until one fails. Of several failures it tells the one with
/// the lowest seed.
pub fn run_many(
    first: u64,
    count: u64,
    stores: Stores,
    breakage: Option<Breakage>,
    threads: usize,
) -> (Counts, Option<Failure>) {
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let total: Mutex<(Counts, Option<Failure>)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let seed = first.wrapping_add(number);
                    let outcome = run(&generate(seed), stores, breakage, false);
                    // A panic is caught within the run, so nobody leaves the lock in the middle of something.
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    total.0.add(&outcome.counts);
                    if let Some(violation) = outcome.violation {
                        failed.store(true, Ordering::Relaxed);
                        if total.1.as_ref().is_none_or(|other| other.seed > seed) {
                            total.1 = Some(Failure { seed, violation });
                        }
                    }
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}
