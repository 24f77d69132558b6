//! Stories of much data and slow ends: never more than a window on its way, never a change skipped.

use greenlight_core::StatusState::{Connecting, Synced, Syncing};
use greenlight_core::limits::{FRESHNESS, WINDOW_PARTS};
use greenlight_core::status::{Direction, Reason};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::network::Line;
use crate::world::World;

const DOWNLOAD: u8 = 5;

#[test]
fn a_slow_reader_costs_a_window_and_no_more() {
    let mut world = World::with(&["alice", "bob"]);
    world.client("bob").drowsy = true;
    for key in 1..=60 {
        world.writes("alice", key, "title", "t");
    }
    let (_, down) = world.look_at("bob").wire.as_ref().expect("a connection").most_parts();
    assert_eq!(down, WINDOW_PARTS, "the server stops at the window");
    // Bob answers pings, but is behind: by the deadline his light says so.
    world.pass(FRESHNESS);
    world.shows("bob", Connecting, Reason::CatchingUp);
    world.shows("alice", Synced, Reason::Synced);
    world.seconds(60);
    world.shows("bob", Connecting, Reason::CatchingUp);
    world.wakes("bob");
    world.seconds(3);
    world.shows("bob", Synced, Reason::Synced);
    world.all_hold(&world.server.model.rows.text());
    assert_eq!(world.look_at("bob").model.rows.text().split(' ').count(), 60);
    assert_eq!(world.look_at("bob").dials, 1);
}

#[test]
fn a_large_value_goes_up_a_slow_line_under_a_light_that_says_so() {
    for (rate, length, seconds) in [(10_000, 400_000, 60), (2_000, 100_000, 90)] {
        let mut world = World::with(&["alice", "bob"]);
        world.client("alice").wire.as_mut().expect("a connection").bytes_per_second = Some(rate);
        world.client("alice").lights.clear();
        world.writes("alice", 1, "title", &"t".repeat(length));
        for _ in 0..seconds / 10 {
            world.seconds(10);
        }
        world.shows("alice", Synced, Reason::Synced);
        // It moved all the time, and was fresh: never yellow, never stuck.
        assert_eq!(world.look_at("alice").lights, [(Syncing, Reason::Sending), (Synced, Reason::Synced)], "{rate}");
        assert_eq!(world.look_at("alice").dials, 1);
        world.shows("bob", Synced, Reason::Synced);
        world.holds("bob", &world.server.model.rows.text());
    }
}

#[test]
fn a_large_value_comes_down_a_slow_line_under_a_light_that_says_so() {
    let mut world = World::with(&["alice"]);
    world.client("alice").wire.as_mut().expect("a connection").bytes_per_second = Some(10_000);
    world.server_writes(1, "title", &"t".repeat(400_000));
    world.client("alice").lights.clear();
    world.seconds(30);
    world.shows("alice", Connecting, Reason::CatchingUp);
    world.seconds(20);
    world.shows("alice", Synced, Reason::Synced);
    let lights = &world.look_at("alice").lights;
    assert_eq!(lights[..], [(Synced, Reason::Synced), (Connecting, Reason::CatchingUp), (Synced, Reason::Synced)]);
    assert_eq!(world.look_at("alice").dials, 1);
    world.holds("alice", &world.server.model.rows.text());
}

#[test]
fn many_small_commits_become_few_parts() {
    let mut world = World::with(&["alice", "bob"]);
    world.client("bob").wire.as_mut().expect("a connection").holds_up = true;
    for round in 0..50 {
        world.writes("alice", 1, "title", &format!("{round:03}"));
    }
    let parts = world.look_at("bob").wire.as_ref().expect("a connection").waiting_down(DOWNLOAD);
    assert!(parts <= WINDOW_PARTS as usize);
    world.lets_pass("bob");
    world.all_hold("1.title=049");
    world.seconds(5);
    world.shows("bob", Synced, Reason::Synced);
}

#[test]
fn a_slow_server_gets_a_window_and_no_more() {
    let mut world = World::with(&["alice"]);
    world.dials_into("alice", Line::Refuses);
    world.cut("alice");
    for key in 1..=40 {
        world.writes("alice", key, "title", "t");
    }
    world.server.drowsy = true;
    world.dials_into("alice", Line::Works);
    world.seconds(1);
    let (up, _) = world.look_at("alice").wire.as_ref().expect("a connection").most_parts();
    assert_eq!(up, WINDOW_PARTS, "the client stops at the window");
    let progress = world.status("alice").progress.expect("a range in parts");
    assert_eq!((progress.direction, progress.changes.done, progress.changes.total), (Direction::Up, 0, 40));
    world.server_wakes();
    world.seconds(3);
    world.shows("alice", Synced, Reason::Synced);
    let progress = world.status("alice").progress.expect("the totals stay");
    assert_eq!((progress.changes.done, progress.changes.total), (40, 40));
    assert_eq!(progress.bytes.done, progress.bytes.total);
    assert_eq!(progress.eta_ms, Some(0));
    world.all_hold(&world.server.model.rows.text());
}

#[test]
fn the_author_passes_own_changes_without_getting_them() {
    let mut world = World::with(&["alice", "bob"]);
    for key in 1..=9 {
        world.writes("alice", key, "title", "t");
    }
    assert_eq!(world.look_at("alice").model.cursor, world.server.model.head());
    let version = world.look_at("alice").model.rows.head();
    assert_eq!(version.get(), 9, "nothing was applied here");
}

#[test]
fn both_write_without_a_pause() {
    let mut world = World::with(&["alice", "bob"]);
    for round in 0..100 {
        world.writes("alice", round % 7, "title", &format!("a{round}"));
        world.writes("bob", round % 5, "title", &format!("b{round}"));
        if round % 10 == 0 {
            world.seconds(1);
        }
        for name in ["alice", "bob"] {
            let state = world.status(name).state;
            assert!(matches!(state, Synced | Syncing), "{name} shows {state:?} in round {round}");
        }
    }
    world.seconds(5);
    world.all_hold(&world.server.model.rows.text());
}

#[test]
fn a_quiet_hour_is_pings_alone() {
    let mut world = World::with(&["alice"]);
    world.client("alice").lights.clear();
    world.seconds(3_600);
    assert_eq!(world.look_at("alice").lights, [(Synced, Reason::Synced)], "no flicker");
    assert_eq!(world.look_at("alice").dials, 1);
    let report = world.look_at("alice").wire.as_ref().and_then(|wire| wire.server.as_ref()?.report());
    let report = report.expect("a report");
    assert_eq!((report.state, report.pending, report.agent.as_str()), (Some(Synced), 0, "alice"));
}
