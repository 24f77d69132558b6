//! Stories of connections that lie: half-open, frozen, closed at once, silent. The light says so by its deadline.

use std::time::Duration;

use greenlight_core::StatusState::{self, Connecting, Disconnected, Stuck, Synced, Syncing};
use greenlight_core::limits::{
    ACKNOWLEDGEMENT_LIMIT, BACKOFF_MAX, CONNECT_LIMIT, EARLY_CLOSE, FRESHNESS, HEARTBEAT, IDLE_LIMIT, WELCOME_GIVE_UP,
    WELCOME_LIMIT,
};
use greenlight_core::status::Reason;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::network::Line;
use crate::world::World;

const INSTANT: Duration = Duration::from_millis(1);

fn states(world: &World, name: &str) -> Vec<StatusState> {
    let mut states: Vec<_> = world.look_at(name).lights.iter().map(|(state, _)| *state).collect();
    states.dedup();
    states
}

#[test]
fn a_half_open_socket_turns_the_light_by_the_deadline() {
    let mut world = World::with(&["alice"]);
    world.half_opens("alice");
    world.server_writes(1, "title", "Dune");
    world.pass(FRESHNESS - INSTANT);
    world.shows("alice", Synced, Reason::Synced);
    world.pass(INSTANT);
    world.shows("alice", Connecting, Reason::NoEcho);
    world.pass(IDLE_LIMIT - FRESHNESS);
    world.shows("alice", Disconnected, Reason::Offline);
    world.holds("alice", "");
    world.seconds(5);
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
}

#[test]
fn a_pulled_cable_is_an_outage_even_with_changes_waiting() {
    let mut world = World::with(&["alice"]);
    world.half_opens("alice");
    world.dials_into("alice", Line::Refuses);
    world.writes("alice", 1, "title", "Dune");
    world.shows("alice", Syncing, Reason::Sending);
    world.client("alice").lights.clear();
    world.seconds(120);
    assert_eq!(states(&world, "alice"), [Syncing, Connecting, Disconnected], "never stuck");
    assert_eq!(world.status("alice").pending.changes, 1);
    world.server_holds("");
    world.outage_ends();
    world.pass(BACKOFF_MAX);
    world.all_hold("1.title=Dune");
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn a_server_that_takes_changes_and_does_not_acknowledge() {
    let mut world = World::with(&["alice"]);
    world.server.drowsy = true;
    world.seconds(1);
    world.writes("alice", 1, "title", "Dune");
    world.shows("alice", Syncing, Reason::Sending);
    world.pass(ACKNOWLEDGEMENT_LIMIT - INSTANT);
    world.shows("alice", Syncing, Reason::Sending);
    world.pass(INSTANT);
    world.shows("alice", Stuck, Reason::NoAcknowledgement);
    world.server_holds("");
    world.client("alice").lights.clear();
    world.seconds(600);
    assert_eq!(states(&world, "alice"), [Stuck], "for as long as it lasts, though it is tried again");
    assert!(world.look_at("alice").dials > 10);
    world.server_wakes();
    world.seconds(30);
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
    world.server.drowsy = true;
    world.writes("alice", 1, "title", "Emma");
    world.shows("alice", Syncing, Reason::Sending);
}

#[test]
fn a_slow_server_that_moves_is_not_stuck() {
    let mut world = World::with(&["alice"]);
    world.outage();
    for key in 1..=30 {
        world.writes("alice", key, "title", "t");
    }
    world.server.drowsy = true;
    world.outage_ends();
    world.pass(BACKOFF_MAX);
    world.client("alice").lights.clear();
    for _ in 0..10 {
        world.server_commits_one();
        world.seconds(6);
    }
    world.shows("alice", Synced, Reason::Synced);
    assert!(!states(&world, "alice").contains(&Stuck), "{:?}", world.look_at("alice").lights);
}

#[test]
fn somebody_who_types_without_a_pause_is_not_stuck() {
    let mut world = World::with(&["alice"]);
    world.server.drowsy = true;
    world.client("alice").lights.clear();
    // There is always something pending: but it is never the same.
    world.writes("alice", 0, "title", "t");
    for key in 1..=30 {
        world.writes("alice", key, "title", "t");
        world.seconds(1);
        world.server_commits_one();
        assert!(world.status("alice").pending.changes > 0);
    }
    assert_eq!(states(&world, "alice"), [Syncing]);
}

#[test]
fn the_server_closes_at_once_again_and_again() {
    let mut world = World::with(&["alice"]);
    world.pass(EARLY_CLOSE);
    world.dials_into("alice", Line::Closes(1011));
    world.cut("alice");
    let first = world.look_at("alice").dials;
    while world.look_at("alice").dials < first + 2 {
        world.shows("alice", Disconnected, Reason::Offline);
        world.pass(Duration::from_millis(100));
    }
    while world.look_at("alice").dials < first + 3 {
        world.pass(Duration::from_millis(100));
    }
    world.shows("alice", Stuck, Reason::ClosesEarly);
    let status = world.status("alice");
    assert_eq!(status.diagnostics.early_closes, 3);
    assert_eq!(status.diagnostics.last_close.expect("a close").code, 1011);
    world.seconds(60);
    world.shows("alice", Stuck, Reason::ClosesEarly);

    // Nobody listens any more: that is an outage and nothing worse.
    world.dials_into("alice", Line::Refuses);
    world.pass(BACKOFF_MAX);
    world.shows("alice", Disconnected, Reason::Offline);

    world.dials_into("alice", Line::Closes(1011));
    world.seconds(120);
    world.shows("alice", Stuck, Reason::ClosesEarly);
    world.dials_into("alice", Line::Works);
    world.pass(BACKOFF_MAX + EARLY_CLOSE);
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn a_connection_that_breaks_after_every_exchange() {
    let mut world = World::with(&["alice"]);
    world.seconds(10);
    world.cut("alice");
    world.shows("alice", Disconnected, Reason::Offline);
    // Each of these exchanges data and is gone within a second.
    for _ in 0..3 {
        let dials = world.look_at("alice").dials;
        while world.look_at("alice").dials == dials {
            world.pass(Duration::from_millis(50));
        }
        world.pass(Duration::from_secs(1));
        world.cut("alice");
    }
    world.shows("alice", Stuck, Reason::ClosesEarly);
    world.pass(BACKOFF_MAX);
    world.shows("alice", Synced, Reason::Synced);
    world.cut("alice");
    world.shows("alice", Disconnected, Reason::Offline);
}

#[test]
fn somebody_who_never_says_welcome_hangs_up_first() {
    let mut world = World::with(&["alice"]);
    world.dials_into("alice", Line::Swallows);
    world.cut("alice");
    let first = world.look_at("alice").dials;
    while world.look_at("alice").dials == first {
        world.pass(INSTANT);
    }
    world.pass(WELCOME_LIMIT);
    world.shows("alice", Stuck, Reason::NoWelcome);
    // A server that got no hello closes: that is no outage, and the light doesn't go from one to the other and back.
    world.cut("alice");
    world.shows("alice", Stuck, Reason::NoWelcome);
    world.pass(BACKOFF_MAX);
    world.shows("alice", Stuck, Reason::NoWelcome);
    world.dials_into("alice", Line::Refuses);
    world.cut("alice");
    world.pass(BACKOFF_MAX);
    world.shows("alice", Disconnected, Reason::Offline);
}

#[test]
fn somebody_listens_and_never_says_welcome() {
    let mut world = World::with(&["alice"]);
    world.dials_into("alice", Line::Swallows);
    world.cut("alice");
    let first = world.look_at("alice").dials;
    while world.look_at("alice").dials == first {
        world.pass(INSTANT);
    }
    world.shows("alice", Connecting, Reason::Handshaking);
    world.pass(WELCOME_LIMIT - INSTANT);
    world.shows("alice", Connecting, Reason::Handshaking);
    world.pass(INSTANT);
    world.shows("alice", Stuck, Reason::NoWelcome);
    world.pass(WELCOME_GIVE_UP - WELCOME_LIMIT);
    world.shows("alice", Stuck, Reason::NoWelcome);
    world.seconds(120);
    world.shows("alice", Stuck, Reason::NoWelcome);
    assert!(world.look_at("alice").dials > first + 2, "it is tried again");
    assert!(world.status("alice").diagnostics.attempt > 2, "with longer and longer pauses");

    world.dials_into("alice", Line::Refuses);
    world.pass(WELCOME_GIVE_UP + BACKOFF_MAX);
    world.shows("alice", Disconnected, Reason::Offline);
    world.outage_ends();
    world.pass(BACKOFF_MAX);
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn an_attempt_that_neither_opens_nor_fails() {
    let mut world = World::new();
    world.joins("alice");
    world.dials_into("alice", Line::Hangs);
    world.settle();
    world.shows("alice", Connecting, Reason::Dialling);
    world.pass(CONNECT_LIMIT);
    world.shows("alice", Disconnected, Reason::Offline);
    world.seconds(300);
    assert!(world.look_at("alice").dials >= 8, "it is tried again");
    world.shows("alice", Disconnected, Reason::Offline);
    world.dials_into("alice", Line::Works);
    world.pass(CONNECT_LIMIT + BACKOFF_MAX);
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn alice_pauses_and_resumes() {
    let mut world = World::with(&["alice", "bob"]);
    world.tells("alice", |session, now| session.pause(now));
    world.shows("alice", Disconnected, Reason::Paused);
    world.writes("alice", 1, "title", "Dune");
    world.writes("bob", 2, "title", "Emma");
    world.seconds(3_600);
    world.shows("alice", Disconnected, Reason::Paused);
    assert_eq!(world.status("alice").pending.changes, 1);
    assert_eq!(world.look_at("alice").dials, 1, "a pause is no attempt");
    world.holds("alice", "1.title=Dune");
    world.server_holds("2.title=Emma");
    world.tells("alice", |session, now| session.retry(now));
    world.shows("alice", Disconnected, Reason::Paused);
    world.tells("alice", |session, now| session.resume(now));
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune 2.title=Emma");
}

#[test]
fn a_pause_in_every_phase_is_a_pause() {
    for (line, time) in
        [(Line::Refuses, 1_000), (Line::Hangs, 1_000), (Line::Swallows, 11_000), (Line::Closes(1), 9_000)]
    {
        let mut world = World::new();
        world.joins("alice");
        world.dials_into("alice", line);
        world.pass(Duration::from_millis(time));
        world.tells("alice", |session, now| session.pause(now));
        let dials = world.look_at("alice").dials;
        world.seconds(600);
        world.shows("alice", Disconnected, Reason::Paused);
        assert_eq!(world.look_at("alice").dials, dials, "{line:?}");
        world.dials_into("alice", Line::Works);
        world.tells("alice", |session, now| session.resume(now));
        world.pass(EARLY_CLOSE);
        world.shows("alice", Synced, Reason::Synced);
    }
    // Before the database has even answered.
    let mut world = World::new();
    world.joins("alice");
    let now = world.now;
    world.client("alice").session.pause(now);
    world.seconds(60);
    world.shows("alice", Disconnected, Reason::Paused);
    assert_eq!(world.look_at("alice").dials, 0);
    world.tells("alice", |session, now| session.resume(now));
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn a_click_dials_at_once() {
    let mut world = World::with(&["alice"]);
    world.outage();
    world.seconds(600);
    let dials = world.look_at("alice").dials;
    world.tells("alice", |session, now| session.retry(now));
    assert_eq!(world.look_at("alice").dials, dials + 1);
    world.shows("alice", Disconnected, Reason::Offline);
    world.outage_ends();
    world.tells("alice", |session, now| session.retry(now));
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn the_connection_is_taken_over_by_a_newer_one() {
    let mut world = World::with(&["alice"]);
    // The old socket hangs half-open, and the server does not know yet: the app was opened again elsewhere.
    let model = world.look_at("alice").model.clone();
    world.half_opens("alice");
    world.dials_into("alice", Line::Refuses);
    world.joins_with("alice, again", model);
    world.settle();
    world.shows("alice, again", Synced, Reason::Synced);
    world.lets_pass("alice");
    world.shows("alice", Disconnected, Reason::Offline);
    let status = world.status("alice");
    assert_eq!(status.diagnostics.last_close.expect("a close").code, 4003);
    assert_eq!(status.diagnostics.early_closes, 0);
}

#[test]
fn a_server_that_hears_nothing_lets_go() {
    let mut world = World::with(&["alice"]);
    world.half_opens("alice");
    world.pass(IDLE_LIMIT - HEARTBEAT);
    let wire = world.look_at("alice").wire.as_ref().expect("a connection");
    assert!(wire.server.as_ref().expect("the server's end").report().is_some());
    // A server's session alone, which the client's giving up doesn't end.
    let mut session = greenlight_core::server::ServerSession::new(world.now);
    let due = session.wake_at().expect("a hello is due");
    session.handle_timeout(due);
    let closed = session.poll_output();
    assert!(
        matches!(&closed, Some(greenlight_core::server::Output::Close(code, _)) if code.number() == 4004),
        "{closed:?}"
    );
    assert_eq!(session.wake_at(), None);
}
