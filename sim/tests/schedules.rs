//! The ordinary run: two thousand schedules on the real store, and twenty thousand others on the model of it, each
//! checked at every step and at its end.
//!
//! `GREENLIGHT_SIM_SCHEDULES=N` runs another number on the real store and ten times that on the model,
//! `GREENLIGHT_SIM_SEED=S` one seed alone on both; with both, N seeds from S.

use std::io::Write as _;
use std::time::Instant;

use greenlight_sim::{Stores, generate, run, run_many, shrink};

/// Schedules of the ordinary run on the real store.
const SCHEDULES: u64 = 2_000;
/// For each of them so many on the model.
const MODEL_SHARE: u64 = 10;
/// The first seed on the model: others than on the real store.
const MODEL_SEED: u64 = 1_000_000;
/// The lines of a trace that are printed: the last.
const LINES: usize = 3_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Printed even when the test passes.
fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("stderr can be written");
}

#[test]
fn every_promise_holds_at_every_step() {
    check(Stores::Real, 0, 1);
}

#[test]
fn every_promise_holds_at_every_step_on_the_model() {
    check(Stores::Model, MODEL_SEED, MODEL_SHARE);
}

fn check(stores: Stores, usual: u64, share: u64) {
    let first = number("GREENLIGHT_SIM_SEED");
    let ordinary = if first.is_some() { 1 } else { SCHEDULES * share };
    let count = number("GREENLIGHT_SIM_SCHEDULES").map_or(ordinary, |count| count * share);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let began = Instant::now();
    let (counts, failure) = run_many(first.unwrap_or(usual), count, stores, None, threads);
    say(&format!("{stores:?}: {}", counts.summary(began.elapsed())));
    let Some(failure) = failure else { return };
    explain(failure.seed, stores);
    panic!("seed {}: {}", failure.seed, failure.violation);
}

/// Prints the smallest schedule that fails in the same way, and what happened in it.
fn explain(seed: u64, stores: Stores) {
    let schedule = generate(seed);
    let Some(violation) = run(&schedule, stores, None, false).violation else {
        say(&format!("seed {seed} does not fail again: something is not deterministic"));
        return;
    };
    let (small, outcome) = shrink(&schedule, stores, None, violation.check);
    say(&format!("seed {seed}, shrunk from {} to {} steps:", schedule.steps.len(), small.steps.len()));
    for timed in &small.steps {
        say(&format!("  +{} ms {:?}", timed.after_ms, timed.step));
    }
    say(&format!("{} clients, parts of {} bytes", small.clients, small.part_bytes));
    for line in outcome.trace.iter().skip(outcome.trace.len().saturating_sub(LINES)) {
        say(line);
    }
    if let Some(violation) = outcome.violation {
        say(&violation.to_string());
    }
    say(&format!("again: GREENLIGHT_SIM_SEED={seed} cargo test --release -p greenlight-sim"));
}
