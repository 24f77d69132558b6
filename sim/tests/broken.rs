//! Builds broken on purpose: each has to be caught, or the checks are worth nothing.

use std::io::Write as _;

use greenlight_sim::{Breakage, Stores, run_many};

/// Schedules within which a defect has to show.
const SCHEDULES: u64 = 600;

/// Where to begin: the rarer defects need a combination that the first seeds don't have.
fn first_seed(breakage: Breakage) -> u64 {
    match breakage {
        Breakage::TwinFilteredOut => 700,
        Breakage::TornRangeForgotten => 330,
        _ => 0,
    }
}

/// The real store's heartbeat needs no new page, so a full disk never stops it; the model's does.
fn stores(breakage: Breakage) -> Stores {
    if breakage == Breakage::HeartbeatWithoutWriter { Stores::Model } else { Stores::Real }
}

#[test]
fn every_broken_build_is_caught() {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut table = format!("{:<26} {:<20} {:>6} {:>10}\n", "broken on purpose", "caught by", "seed", "schedules");
    let mut missed = Vec::new();
    for breakage in Breakage::ALL {
        let (counts, failure) = run_many(first_seed(breakage), SCHEDULES, stores(breakage), Some(breakage), threads);
        match failure {
            Some(failure) => {
                let (name, check) = (format!("{breakage:?}"), format!("{:?}", failure.violation.check));
                table += &format!("{name:<26} {check:<20} {:>6} {:>10}\n", failure.seed, counts.schedules);
            }
            None => missed.push(breakage),
        }
    }
    // Shown even when the test passes.
    std::io::stderr().write_all(table.as_bytes()).expect("stderr can be written");
    assert!(missed.is_empty(), "not caught within {SCHEDULES} schedules each: {missed:?}");
}
