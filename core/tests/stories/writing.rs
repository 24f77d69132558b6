//! Stories of writing: alone, together, at once, away from the network.

use greenlight_core::StatusState::{Connecting, Disconnected, Synced, Syncing};
use greenlight_core::status::Reason;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::world::World;

#[test]
fn alice_opens_an_empty_shop() {
    let mut world = World::new();
    world.joins("alice");
    world.shows("alice", Connecting, Reason::Opening);
    world.settle();
    world.shows("alice", Synced, Reason::Synced);
    assert_eq!(world.status("alice").pending.changes, 0);
    world.all_hold("");
    let shown: Vec<Reason> = world.look_at("alice").lights.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(*shown.last().expect("lights"), Reason::Synced);
    assert!(!shown.contains(&Reason::Offline), "{shown:?}");
}

#[test]
fn alice_writes_and_bob_sees_it() {
    let mut world = World::with(&["alice", "bob"]);
    world.writes("alice", 1, "title", "Dune");
    world.all_hold("1.title=Dune");
    world.shows("alice", Synced, Reason::Synced);
    world.shows("bob", Synced, Reason::Synced);
    world.writes("bob", 1, "price", "9");
    world.writes("alice", 2, "title", "Emma");
    world.all_hold("1.price=9 1.title=Dune 2.title=Emma");
    world.seconds(60);
    world.shows("alice", Synced, Reason::Synced);
    assert_eq!(world.look_at("alice").dials, 1, "a minute of quiet costs no connection");
}

#[test]
fn alice_asks_and_hears_what_was_there_when_she_asked() {
    let mut world = World::with(&["alice"]);
    world.seconds(1);
    let caught_up = |world: &World| world.look_at("alice").session.facts().caught_up;
    assert_ne!(caught_up(&world), Some(world.now), "the last heartbeat is older");
    world.client("alice").wire.as_mut().expect("a connection").holds_down = true;
    world.server_writes(7, "title", "Ulysses");
    world.tells("alice", |session, now| session.ask_head(now));
    assert_ne!(caught_up(&world), Some(world.now), "nothing came yet");
    world.lets_pass("alice");
    assert_eq!(caught_up(&world), Some(world.now), "without waiting for the next heartbeat");
    assert_eq!(world.look_at("alice").model.cursor, world.server.model.head());
}

#[test]
fn the_server_writes_and_both_see_it() {
    let mut world = World::with(&["alice", "bob"]);
    world.server_writes(7, "title", "Ulysses");
    world.all_hold("7.title=Ulysses");
    assert_eq!(world.status("alice").pending.changes, 0, "what others wrote never waits");
    let cursor = world.look_at("alice").model.cursor;
    assert_eq!(cursor, world.server.model.head());
}

#[test]
fn alice_writes_offline_bob_deletes_both_come_back() {
    let mut world = World::with(&["alice", "bob"]);
    world.writes("alice", 1, "title", "Dune");
    world.writes("alice", 2, "title", "Emma");
    world.outage();
    world.shows("alice", Disconnected, Reason::Offline);
    world.shows("bob", Disconnected, Reason::Offline);

    world.writes("alice", 1, "price", "9");
    world.writes("alice", 2, "title", "Emma, by Jane Austen");
    world.deletes("bob", 1);
    world.shows("alice", Disconnected, Reason::Offline);
    assert_eq!(world.status("alice").pending.changes, 2);
    assert_eq!(world.status("bob").pending.changes, 1);
    world.server_holds("1.title=Dune 2.title=Emma");
    world.holds("alice", "1.price=9 1.title=Dune 2.title=Emma, by Jane Austen");
    world.holds("bob", "2.title=Emma");

    world.outage_ends();
    world.seconds(20);
    // The deletion wins over a cell of the row that it deleted.
    world.all_hold("2.title=Emma, by Jane Austen");
    for name in ["alice", "bob"] {
        world.shows(name, Synced, Reason::Synced);
        assert_eq!(world.status(name).pending.changes, 0);
    }
}

#[test]
fn bob_makes_the_row_again() {
    let mut world = World::with(&["alice", "bob"]);
    world.writes("alice", 1, "title", "Dune");
    world.deletes("bob", 1);
    world.all_hold("");
    world.writes("bob", 1, "title", "Dune Messiah");
    world.all_hold("1.title=Dune Messiah");
}

#[test]
fn both_write_the_same_cell_at_once() {
    let mut world = World::with(&["alice", "bob"]);
    world.outage();
    world.writes("alice", 1, "title", "Dune");
    world.writes("bob", 1, "title", "Emma");
    world.outage_ends();
    world.seconds(20);
    // Written equally often: the larger value wins on every site.
    world.all_hold("1.title=Emma");
    world.outage();
    world.writes("alice", 1, "title", "A");
    world.writes("alice", 1, "title", "B");
    world.writes("bob", 1, "title", "Z");
    world.outage_ends();
    world.seconds(20);
    world.all_hold("1.title=B");
}

#[test]
fn pending_counts_down_only_by_acknowledgement() {
    let mut world = World::with(&["alice"]);
    world.server.drowsy = true;
    for key in 1..=5 {
        world.writes("alice", key, "title", "t");
    }
    world.shows("alice", Syncing, Reason::Sending);
    assert_eq!(world.status("alice").pending.changes, 5, "sent is not saved");
    world.server_holds("");
    world.server_wakes();
    world.shows("alice", Synced, Reason::Synced);
    assert_eq!(world.status("alice").pending.changes, 0);
    world.all_hold("1.title=t 2.title=t 3.title=t 4.title=t 5.title=t");
}

#[test]
fn a_newcomer_gets_everything_in_parts_and_sees_how_far_it_is() {
    let mut world = World::with(&["alice"]);
    for key in 1..=120 {
        world.writes("alice", key, "title", "t");
    }
    world.joins("bob");
    world.client("bob").drowsy = true;
    let mut seen = Vec::new();
    for _ in 0..500 {
        let status = world.status("bob");
        if let Some(progress) = status.progress {
            seen.push((progress.changes.done, progress.changes.total));
            assert!(progress.changes.done == 120 || !status.state.is_green(), "green before all is here");
        }
        world.answers_one("bob");
    }
    world.wakes("bob");
    seen.dedup();
    assert_eq!(seen.first(), Some(&(0, 120)));
    assert_eq!(seen.last(), Some(&(120, 120)), "a late subscriber gets the totals");
    assert!(seen.len() == 41 && seen.is_sorted(), "{seen:?}");
    world.shows("bob", Synced, Reason::Synced);
    world.holds("bob", &world.server.model.rows.text());
}

#[test]
fn a_cell_is_written_again_between_two_parts() {
    let mut world = World::with(&["alice"]);
    // So many that bob's own upload is acknowledged before the range ends: all else that green needs is there.
    for key in 1..=120 {
        world.writes("alice", key, "title", "t");
    }
    world.client("alice").lights.clear();
    world.joins("bob");
    world.client("bob").drowsy = true;
    world.settle();
    while world.look_at("bob").model.rows.text().is_empty() {
        world.answers_one("bob");
    }
    // The window is full: the last row was not read yet, and now leaves the range.
    world.writes("alice", 120, "title", "u");
    while world.look_at("bob").model.cursor.version.get() < 120 {
        world.answers_one("bob");
    }
    assert_eq!(world.look_at("bob").model.rows.text().split(' ').count(), 119, "the old value came with no part");
    let progress = world.status("bob").progress.expect("a range in parts");
    assert_eq!(
        (progress.changes.done, progress.changes.total),
        (119, 119),
        "a range may shrink, and ends all the same"
    );
    assert!(!world.status("bob").state.is_green(), "a row is missing that the server has had for long");
    world.wakes("bob");
    world.shows("bob", Synced, Reason::Synced);
    world.all_hold(&world.server.model.rows.text());
}
