//! Stories of being interrupted: whatever is lost, repeated or cut, both databases end up right.

use std::time::Duration;

use greenlight_core::StatusState::{Disconnected, Stuck, Synced, Syncing};
use greenlight_core::limits::{BACKOFF_MAX, PROGRESS_GIVE_UP};
use greenlight_core::status::Reason;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::network::{Down, Line};
use crate::world::World;

const UPLOAD: u8 = 4;
const DOWNLOAD: u8 = 5;
const UPLOADED: u8 = 6;

#[test]
fn the_server_dies_between_commit_and_receipt() {
    let mut world = World::with(&["alice", "bob"]);
    world.server.dies_after_commit = true;
    world.writes("alice", 1, "title", "Dune");
    world.server_holds("1.title=Dune");
    world.shows("alice", Disconnected, Reason::Offline);
    assert_eq!(world.status("alice").pending.changes, 1, "what was not acknowledged is pending");
    world.holds("bob", "");

    let head = world.server.model.head();
    world.outage_ends();
    world.seconds(20);
    world.all_hold("1.title=Dune");
    world.shows("alice", Synced, Reason::Synced);
    world.shows("bob", Synced, Reason::Synced);
    assert_eq!(world.status("alice").pending.changes, 0);
    assert_eq!(world.server.model.head(), head, "the server remembers what it holds and is sent nothing twice");
}

#[test]
fn the_acknowledgement_is_lost() {
    let mut world = World::with(&["alice"]);
    world.client("alice").wire.as_mut().expect("a connection").holds_down = true;
    world.writes("alice", 1, "title", "Dune");
    world.server_holds("1.title=Dune");
    assert_eq!(world.look_at("alice").wire.as_ref().expect("a connection").waiting_down(UPLOADED), 1);
    world.shows("alice", Syncing, Reason::Sending);
    world.cut("alice");
    world.shows("alice", Disconnected, Reason::Offline);
    assert_eq!(world.status("alice").pending.changes, 1);
    world.writes("alice", 2, "title", "Emma");
    world.seconds(5);
    world.all_hold("1.title=Dune 2.title=Emma");
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn an_upload_in_parts_is_cut_in_the_middle() {
    let mut world = World::with(&["alice"]);
    world.outage();
    for key in 1..=9 {
        world.writes("alice", key, "title", "t");
    }
    world.outage_ends();
    world.server.dies_after_commit = true;
    world.seconds(5);
    world.server_holds("1.title=t 2.title=t 3.title=t");
    world.shows("alice", Disconnected, Reason::Offline);
    assert_eq!(world.status("alice").pending.changes, 9, "only a whole range is acknowledged");
    world.outage_ends();
    world.seconds(20);
    let all = world.server.model.rows.text();
    assert_eq!(all.split(' ').count(), 9);
    world.all_hold(&all);
    world.shows("alice", Synced, Reason::Synced);
    assert_eq!(world.status("alice").pending.changes, 0);
}

#[test]
fn a_download_in_parts_is_cut_in_the_middle() {
    let mut world = World::with(&["alice", "bob"]);
    world.dials_into("bob", Line::Refuses);
    world.cut("bob");
    for key in 1..=12 {
        world.writes("alice", key, "title", "t");
    }
    let before = world.look_at("bob").model.cursor;
    world.client("bob").drowsy = true;
    world.dials_into("bob", Line::Works);
    world.seconds(2);
    while world.look_at("bob").model.rows.text().split(' ').count() < 6 {
        world.answers_one("bob");
        assert!(!world.status("bob").state.is_green(), "green in the middle of a range");
    }
    world.holds("bob", "1.title=t 2.title=t 3.title=t 4.title=t 5.title=t 6.title=t");
    world.cut("bob");
    assert_eq!(world.look_at("bob").model.cursor, before, "a cursor moves with a range's last part");
    world.wakes("bob");
    world.seconds(5);
    let all = world.server.model.rows.text();
    world.all_hold(&all);
    world.shows("bob", Synced, Reason::Synced);
}

#[test]
fn the_app_is_killed_with_changes_pending() {
    let mut world = World::with(&["alice"]);
    world.dials_into("alice", Line::Refuses);
    world.cut("alice");
    world.writes("alice", 1, "title", "Dune");
    world.restarts("alice");
    world.shows("alice", Disconnected, Reason::Offline);
    assert_eq!(world.status("alice").pending.changes, 1);
    world.dials_into("alice", Line::Works);
    world.seconds(5);
    world.all_hold("1.title=Dune");
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn the_app_is_killed_while_an_upload_is_on_its_way() {
    let mut world = World::with(&["alice", "bob"]);
    world.server.drowsy = true;
    world.writes("alice", 1, "title", "Dune");
    world.restarts("alice");
    // What the server took is committed after its sender has gone.
    world.server_wakes();
    world.writes("alice", 1, "title", "Dune, 2nd edition");
    world.seconds(5);
    world.all_hold("1.title=Dune, 2nd edition");
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn a_change_is_made_while_one_is_on_its_way() {
    let mut world = World::with(&["alice", "bob"]);
    world.server.drowsy = true;
    world.writes("alice", 1, "title", "Dune");
    world.writes("alice", 1, "title", "Dune, 2nd edition");
    world.writes("bob", 1, "price", "9");
    assert_eq!(world.status("alice").pending.changes, 1, "a cell written twice is one change");
    world.server_wakes();
    world.all_hold("1.price=9 1.title=Dune, 2nd edition");
    world.shows("alice", Synced, Reason::Synced);
    world.shows("bob", Synced, Reason::Synced);
}

/// Changes what waits on bob's wire while alice writes three times, and tells how it ends.
fn tamper(tampering: impl FnOnce(&mut crate::network::Wire)) -> World {
    let mut world = World::with(&["alice", "bob"]);
    world.half_opens("bob");
    for (key, title) in [(1, "Dune"), (2, "Emma"), (3, "Ulysses")] {
        world.writes("alice", key, "title", title);
    }
    world.writes("bob", 4, "title", "Walden");
    tampering(world.client("bob").wire.as_mut().expect("a connection"));
    world.lets_pass("bob");
    world.pass(PROGRESS_GIVE_UP + BACKOFF_MAX);
    world.all_hold("1.title=Dune 2.title=Emma 3.title=Ulysses 4.title=Walden");
    world.shows("alice", Synced, Reason::Synced);
    world.shows("bob", Synced, Reason::Synced);
    world
}

fn is_download(down: &Down) -> bool {
    matches!(down, Down::Frame(frame) if frame[0] == DOWNLOAD)
}

#[test]
fn nothing_is_tampered_with() {
    assert_eq!(tamper(|_| ()).client("bob").dials, 1);
}

#[test]
fn a_part_from_the_server_is_repeated_lost_or_overtaken() {
    let repeated = tamper(|wire| {
        let at = wire.down.iter().position(is_download).expect("a part waits");
        let Down::Frame(frame) = &wire.down[at] else { panic!("it is a frame") };
        let again = Down::Frame(frame.clone());
        wire.down.insert(at, again);
    });
    let lost = tamper(|wire| {
        let at = wire.down.iter().position(is_download).expect("a part waits");
        wire.down.remove(at);
    });
    let overtaken = tamper(|wire| {
        let parts: Vec<usize> = (0..wire.down.len()).filter(|&at| is_download(&wire.down[at])).collect();
        assert!(parts.len() >= 2, "several parts wait");
        wire.down.swap(parts[0], parts[1]);
    });
    for world in [repeated, lost, overtaken] {
        assert_eq!(world.look_at("bob").dials, 2, "a wrong part costs the connection and nothing else");
    }
}

#[test]
fn a_part_from_the_client_is_repeated_or_lost() {
    let at = |wire: &crate::network::Wire| wire.up.iter().position(|frame| frame[0] == UPLOAD).expect("a part waits");
    let repeated = tamper(|wire| {
        let again = wire.up[at(wire)].clone();
        wire.up.push_back(again);
    });
    let lost = tamper(|wire| {
        wire.up.remove(at(wire));
    });
    for world in [repeated, lost] {
        assert!(world.look_at("bob").dials <= 2);
    }
}

#[test]
fn the_last_part_or_a_receipt_is_lost_and_the_connection_lives_on() {
    // Nothing follows that would show the gap, and pings are answered: only waiting for too long tells.
    for kind in [DOWNLOAD, UPLOADED] {
        let mut world = World::with(&["alice", "bob"]);
        world.half_opens("bob");
        world.writes("bob", 1, "title", "Dune");
        world.writes("alice", 2, "title", "Emma");
        let wire = world.client("bob").wire.as_mut().expect("a connection");
        wire.holds_up = false;
        world.settle();
        let wire = world.client("bob").wire.as_mut().expect("a connection");
        let before = wire.down.len();
        wire.down.retain(|down| !matches!(down, Down::Frame(frame) if frame[0] == kind));
        assert!(wire.down.len() < before, "something was lost");
        world.lets_pass("bob");
        world.seconds(8);
        assert_ne!(world.status("bob").state, Synced, "{kind}");
        world.pass(PROGRESS_GIVE_UP + BACKOFF_MAX);
        world.all_hold("1.title=Dune 2.title=Emma");
        world.shows("bob", Synced, Reason::Synced);
        assert_eq!(world.look_at("bob").dials, 2);
    }
}

#[test]
fn a_fragment_is_repeated_or_lost() {
    const FRAGMENT: u8 = 12;
    let is_fragment = |down: &Down| matches!(down, Down::Frame(frame) if frame[0] == FRAGMENT);
    for repeated in [true, false] {
        let mut world = World::with(&["alice", "bob"]);
        world.half_opens("bob");
        world.writes("alice", 1, "title", &"long".repeat(500));
        world.writes("bob", 2, "title", &"longer".repeat(500));
        let wire = world.client("bob").wire.as_mut().expect("a connection");
        let at = wire.down.iter().position(is_fragment).expect("a fragment waits");
        let up = wire.up.iter().position(|frame| frame[0] == FRAGMENT).expect("a fragment waits");
        if repeated {
            let Down::Frame(frame) = &wire.down[at] else { panic!("it is a frame") };
            let again = Down::Frame(frame.clone());
            wire.down.insert(at, again);
        } else {
            wire.up.remove(up);
        }
        world.lets_pass("bob");
        world.seconds(20);
        world.shows("bob", Synced, Reason::Synced);
        assert_eq!(world.look_at("bob").dials, 2);
        let all = format!("1.title={} 2.title={}", "long".repeat(500), "longer".repeat(500));
        world.all_hold(&all);
    }
}

#[test]
fn a_frame_arrives_broken() {
    let world = tamper(|wire| wire.up[0].truncate(1));
    assert_eq!(world.look_at("bob").dials, 2);
    let world = tamper(|wire| wire.down.push_front(Down::Frame(vec![99])));
    assert_eq!(world.look_at("bob").dials, 2);
}

#[test]
fn an_outage_of_a_day() {
    let mut world = World::with(&["alice"]);
    world.outage();
    world.writes("alice", 1, "title", "Dune");
    for _ in 0..24 {
        world.seconds(3_600);
        world.shows("alice", Disconnected, Reason::Offline);
        assert_eq!(world.status("alice").pending.changes, 1);
    }
    let dials = world.look_at("alice").dials;
    assert!((5_000..14_000).contains(&dials), "{dials} attempts in a day");
    world.outage_ends();
    world.pass(Duration::from_secs(16));
    world.all_hold("1.title=Dune");
    world.shows("alice", Synced, Reason::Synced);
    let lights = &world.look_at("alice").lights;
    assert!(lights.iter().all(|(state, _)| *state != Stuck), "a day of waiting was nobody's fault: {lights:?}");
}

#[test]
fn the_server_takes_its_time_after_an_outage() {
    let mut world = World::with(&["alice"]);
    world.outage();
    world.writes("alice", 1, "title", "Dune");
    world.seconds(600);
    world.server.drowsy = true;
    world.outage_ends();
    world.pass(BACKOFF_MAX);
    let dials = world.look_at("alice").dials;
    world.pass(Duration::from_secs(6));
    assert_eq!(
        world.look_at("alice").dials,
        dials,
        "what waited through the outage was not kept waiting by this server"
    );
    world.server_wakes();
    world.shows("alice", Synced, Reason::Synced);
    assert_eq!(world.look_at("alice").dials, dials);
}

#[test]
fn the_local_database_is_slower_than_the_network() {
    let mut world = World::with(&["alice"]);
    world.seconds(10);
    world.cut("alice");
    world.client("alice").drowsy = true;
    world.seconds(1);
    // Connected, and what the hello is made of is being loaded; then the connection breaks, and the next one opens.
    world.cut("alice");
    world.seconds(3);
    assert_eq!(world.look_at("alice").dials, 3);
    world.wakes("alice");
    world.shows("alice", Synced, Reason::Synced);
    world.seconds(5);
    assert_eq!(world.look_at("alice").dials, 3, "one hello was said on this connection");
}
