//! Stories of time: lids that close, clocks that are set. The light never stays green for it.

use std::time::Duration;

use greenlight_core::StatusState::{Connecting, Disconnected, Synced};
use greenlight_core::limits::{FRESHNESS, HEARTBEAT};
use greenlight_core::status::Reason;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::world::World;

const HOUR_MS: i64 = 3_600_000;
const INSTANT: Duration = Duration::from_millis(1);

#[test]
fn the_laptop_sleeps_for_an_hour() {
    let mut world = World::with(&["alice"]);
    world.sleeps("alice", Duration::from_secs(3_600));
    world.server.model.write(1, "title", "Dune");
    // The first glance after the lid is opened, before any timer has run.
    assert!(!world.status("alice").state.is_green());
    world.shows("alice", Connecting, Reason::NoEcho);
    world.pass(INSTANT);
    world.shows("alice", Disconnected, Reason::Offline);
    world.seconds(2);
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
}

#[test]
fn the_laptop_sleeps_with_changes_pending() {
    let mut world = World::with(&["alice"]);
    world.half_opens("alice");
    world.writes("alice", 1, "title", "Dune");
    world.sleeps("alice", Duration::from_secs(3_600));
    assert!(!world.status("alice").state.is_green());
    world.pass(INSTANT);
    world.shows("alice", Disconnected, Reason::Offline);
    world.seconds(2);
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
}

#[test]
fn the_laptop_naps_for_less_than_the_deadline() {
    let mut world = World::with(&["alice"]);
    world.sleeps("alice", FRESHNESS - INSTANT);
    world.shows("alice", Synced, Reason::Synced);
    world.lets_pass("alice");
    world.pass(HEARTBEAT);
    world.shows("alice", Synced, Reason::Synced);
    assert_eq!(world.look_at("alice").dials, 1);
}

#[test]
fn the_clock_is_set_forward() {
    let mut world = World::with(&["alice"]);
    world.client("alice").set_ms = HOUR_MS;
    world.shows("alice", Connecting, Reason::NoEcho);
    world.seconds(3);
    world.shows("alice", Synced, Reason::Synced);
    assert!(world.look_at("alice").dials <= 2);
    world.seconds(60);
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn the_clock_is_set_back() {
    let mut world = World::with(&["alice"]);
    world.client("alice").set_ms = -HOUR_MS;
    world.shows("alice", Synced, Reason::Synced);
    world.seconds(60);
    world.shows("alice", Synced, Reason::Synced);
    assert_eq!(world.look_at("alice").dials, 1);
    // The deadline is kept all the same.
    world.half_opens("alice");
    world.pass(FRESHNESS);
    world.shows("alice", Connecting, Reason::NoEcho);
}

#[test]
fn the_clock_is_set_while_waiting_to_dial() {
    for set_ms in [-HOUR_MS, HOUR_MS] {
        let mut world = World::with(&["alice"]);
        world.outage();
        world.seconds(60);
        world.client("alice").set_ms = set_ms;
        world.outage_ends();
        world.seconds(16);
        world.shows("alice", Synced, Reason::Synced);
    }
}

#[test]
fn last_synced_is_when_it_was_last_green() {
    let mut world = World::with(&["alice"]);
    world.seconds(60);
    world.outage();
    let left = world.now.wall_ms;
    world.seconds(600);
    let status = world.status("alice");
    let synced = status.last_synced_at.expect("it was green once");
    assert!((left - 2_000..=left).contains(&synced), "{} before the outage", left - synced);
    assert_eq!(status.since, left);
}
