//! Stories of disks: full, locked, failing, on either side. What can't be saved is never called saved.

use greenlight_core::StatusState::{Connecting, Disconnected, Stuck, Synced};
use greenlight_core::limits::{BACKOFF_MAX, EARLY_CLOSE, HEARTBEAT, STORAGE_RETRY};
use greenlight_core::replica::{Fault, FaultKind};
use greenlight_core::status::{Reason, Remedy};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::model::{LATER, POISON};
use crate::network::Line;
use crate::world::World;

#[test]
fn the_servers_disk_is_full() {
    for (kind, state, reason) in [
        (FaultKind::Full, Stuck, Reason::ServerStorage),
        (FaultKind::ReadOnly, Stuck, Reason::ServerStorage),
        (FaultKind::Io, Stuck, Reason::ServerStorage),
        (FaultKind::Busy, Connecting, Reason::ServerBusy),
    ] {
        let mut world = World::with(&["alice"]);
        world.server_disk(Some(kind));
        // Told at once, and not with the next heartbeat.
        world.shows("alice", state, reason);
        world.seconds(600);
        world.shows("alice", state, reason);
        assert_eq!(world.look_at("alice").dials, 1, "nothing to send, and reading works");
        world.server_disk(None);
        world.pass(HEARTBEAT);
        world.shows("alice", Synced, Reason::Synced);
    }
}

#[test]
fn alice_writes_to_a_full_server() {
    let mut world = World::with(&["alice", "bob"]);
    world.server_disk(Some(FaultKind::Full));
    world.writes("alice", 1, "title", "Dune");
    world.seconds(600);
    // It is dialled again and again, and the reason stays: neither "offline" nor "closes early" would be the truth.
    let before = world.look_at("alice").lights.len();
    world.seconds(60);
    world.shows("alice", Stuck, Reason::ServerStorage);
    assert_eq!(world.look_at("alice").lights.len(), before, "{:?}", world.look_at("alice").lights);
    assert_eq!(world.status("alice").pending.changes, 1);
    world.server_holds("");
    world.server_disk(None);
    world.pass(BACKOFF_MAX + EARLY_CLOSE);
    world.all_hold("1.title=Dune");
    world.shows("alice", Synced, Reason::Synced);
    world.shows("bob", Synced, Reason::Synced);
}

#[test]
fn the_server_can_save_what_is_small_and_not_what_alice_writes() {
    for (kind, state, reason) in [
        (FaultKind::Full, Stuck, Reason::ServerStorage),
        (FaultKind::Io, Stuck, Reason::ServerStorage),
        (FaultKind::Busy, Disconnected, Reason::Offline),
    ] {
        let mut world = World::with(&["alice"]);
        // Its writer says that it commits, by what it tries by itself.
        world.server.model.broken = Some(kind);
        world.writes("alice", 1, "title", "Dune");
        world.shows("alice", state, reason);
        world.seconds(600);
        world.server_holds("");
        if kind != FaultKind::Busy {
            world.shows("alice", state, reason);
            // Gone altogether, it is an outage like any other.
            world.outage();
            world.seconds(60);
            world.shows("alice", Disconnected, Reason::Offline);
            world.outage_ends();
        }
        world.server.model.broken = None;
        world.pass(BACKOFF_MAX + EARLY_CLOSE);
        world.all_hold("1.title=Dune");
        world.shows("alice", Synced, Reason::Synced);
    }
}

#[test]
fn this_devices_storage_is_full() {
    let mut world = World::with(&["alice"]);
    world.client("alice").model.broken = Some(FaultKind::Full);
    world.server_writes(1, "title", "Dune");
    world.shows("alice", Stuck, Reason::StorageFull);
    assert_eq!(world.status("alice").remedy, Remedy::FreeSpace);
    assert_eq!(world.status("alice").diagnostics.last_error.as_deref(), Some("the disk said Full"));
    world.holds("alice", "");
    world.seconds(60);
    world.shows("alice", Stuck, Reason::StorageFull);
    world.client("alice").model.broken = None;
    world.pass(BACKOFF_MAX + EARLY_CLOSE);
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
}

#[test]
fn a_write_of_the_apps_finds_no_room_and_later_there_is_some() {
    let mut world = World::with(&["alice"]);
    world.client("alice").model.broken = Some(FaultKind::Full);
    let fault = Fault { kind: FaultKind::Full, message: "no room".to_owned() };
    world.tells("alice", |session, now| session.handle_local_fault(now, fault));
    world.seconds(60);
    world.shows("alice", Stuck, Reason::StorageFull);
    // Nobody writes again, and nobody reloads.
    world.client("alice").model.broken = None;
    world.pass(STORAGE_RETRY + BACKOFF_MAX);
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn the_local_database_is_locked_for_a_moment() {
    let mut world = World::with(&["alice"]);
    world.seconds(10);
    world.client("alice").model.broken = Some(FaultKind::Busy);
    world.server_writes(1, "title", "Dune");
    world.shows("alice", Disconnected, Reason::Offline);
    world.client("alice").model.broken = None;
    world.pass(BACKOFF_MAX);
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
}

#[test]
fn the_local_database_can_not_be_opened() {
    let mut world = World::new();
    world.joins("alice");
    world.client("alice").model.broken = Some(FaultKind::Io);
    world.seconds(60);
    world.shows("alice", Stuck, Reason::LocalStorage);
    assert_eq!(world.look_at("alice").dials, 0);
    // It can be opened again, and the server is away: that is all there is to say.
    world.client("alice").model.broken = None;
    world.dials_into("alice", Line::Refuses);
    world.pass(BACKOFF_MAX);
    world.shows("alice", Disconnected, Reason::Offline);
    world.outage_ends();
    world.pass(BACKOFF_MAX);
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn the_app_meets_a_fault_of_its_own() {
    let mut world = World::with(&["alice"]);
    let fault = Fault { kind: FaultKind::Full, message: "quota exceeded".into() };
    world.tells("alice", |session, now| session.handle_local_fault(now, fault));
    world.shows("alice", Stuck, Reason::StorageFull);
    world.writes("alice", 1, "title", "Dune");
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
}

#[test]
fn a_change_that_can_not_be_applied_stops_no_other() {
    let mut world = World::with(&["alice"]);
    world.server_writes(1, "title", "Dune");
    world.server_writes(2, "title", POISON);
    world.server_writes(3, "title", "Emma");
    world.holds("alice", "1.title=Dune 3.title=Emma");
    world.shows("alice", Stuck, Reason::Quarantined);
    assert_eq!(world.status("alice").quarantined, 1);
    assert_eq!(world.look_at("alice").model.cursor, world.server.model.head(), "it is passed");
    world.seconds(60);
    assert_eq!(world.look_at("alice").dials, 1, "and makes no loop");
}

#[test]
fn a_change_that_the_server_can_not_apply_is_acknowledged() {
    let mut world = World::with(&["alice", "bob"]);
    world.writes("alice", 1, "title", POISON);
    world.writes("alice", 2, "title", "Emma");
    world.server_holds("2.title=Emma");
    world.holds("bob", "2.title=Emma");
    assert_eq!(world.status("alice").pending.changes, 0, "it is on the server's disk, set aside");
    // What differs is known, so nothing is compared, and nobody is told to nuke.
    world.seconds(600);
    world.shows("alice", Synced, Reason::Synced);
    assert_eq!(world.look_at("alice").dials, 1, "and it makes no loop");
}

#[test]
fn a_column_that_this_app_does_not_have_yet() {
    let mut world = World::with(&["alice"]);
    world.server_writes(1, LATER, "x");
    world.server_writes(1, "title", "Dune");
    world.holds("alice", "1.title=Dune");
    assert_eq!(world.status("alice").held_aside, 1);
}
