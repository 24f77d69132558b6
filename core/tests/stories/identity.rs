//! Stories of databases that are not what they were: copies, restores, resets.

use greenlight_core::StatusState::{Disconnected, Incompatible, Synced};
use greenlight_core::limits::BACKOFF_MAX;
use greenlight_core::protocol::RefuseCode;
use greenlight_core::status::{Reason, Remedy};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::model::ClientModel;
use crate::network::Line;
use crate::world::World;

#[test]
fn a_database_is_copied_and_both_go_on() {
    let mut world = World::with(&["alice"]);
    world.writes("alice", 1, "title", "Dune");
    // Pending when the copy is made: both hold it as their own.
    world.dials_into("alice", Line::Refuses);
    world.cut("alice");
    world.writes("alice", 2, "title", "Emma");
    let mut copy = world.look_at("alice").model.clone();
    copy.diverge();
    world.writes("alice", 3, "title", "Ulysses");

    world.joins_with("twin", copy);
    world.settle();
    world.writes("twin", 4, "title", "Walden");
    world.shows("twin", Synced, Reason::Synced);
    assert_eq!(world.look_at("twin").model.site, world.look_at("alice").model.site, "nobody can know yet");

    world.outage_ends();
    world.pass(BACKOFF_MAX + BACKOFF_MAX);
    world.all_hold("1.title=Dune 2.title=Emma 3.title=Ulysses 4.title=Walden");
    for name in ["alice", "twin"] {
        world.shows(name, Synced, Reason::Synced);
        assert_eq!(world.status(name).pending.changes, 0);
    }
    assert_ne!(world.look_at("twin").model.site, world.look_at("alice").model.site, "one of them is a new site");
    world.writes("alice", 1, "price", "9");
    world.writes("twin", 2, "price", "8");
    world.seconds(30);
    world.all_hold("1.price=9 1.title=Dune 2.price=8 2.title=Emma 3.title=Ulysses 4.title=Walden");
}

#[test]
fn a_device_is_set_back_to_an_older_copy_of_itself() {
    let mut world = World::with(&["alice", "bob"]);
    world.writes("alice", 1, "title", "Dune");
    let mut older = world.look_at("alice").model.clone();
    older.diverge();
    world.writes("alice", 1, "title", "Dune, 2nd edition");
    world.writes("alice", 2, "title", "Emma");
    world.client("alice").model = older;
    world.restarts("alice");
    world.writes("alice", 3, "title", "Ulysses");
    world.pass(BACKOFF_MAX);
    world.all_hold("1.title=Dune, 2nd edition 2.title=Emma 3.title=Ulysses");
    world.shows("alice", Synced, Reason::Synced);
    world.shows("bob", Synced, Reason::Synced);
}

#[test]
fn a_backup_is_put_back_and_others_write_on() {
    let mut world = World::with(&["alice", "bob", "carol"]);
    world.writes("alice", 1, "title", "Dune");
    let mut backup = world.server.model.clone();
    // Lost on the server: written by alice, seen by all, and a deletion.
    world.writes("alice", 2, "title", "Emma");
    world.writes("bob", 3, "title", "Ulysses");
    world.deletes("bob", 1);
    world.all_hold("2.title=Emma 3.title=Ulysses");

    world.outage();
    backup.put_back(&world.server.model);
    world.server.model = backup;
    // Carol is back first and writes on, up to and beyond the numbers that were lost.
    world.dials_into("carol", Line::Works);
    world.pass(BACKOFF_MAX);
    for key in 10..=14 {
        world.writes("carol", key, "title", "new");
    }
    world.shows("carol", Synced, Reason::Synced);
    assert!(world.server.model.head().version > world.look_at("alice").model.cursor.version);
    world.writes("alice", 4, "title", "Walden");

    world.outage_ends();
    world.pass(BACKOFF_MAX + BACKOFF_MAX);
    let new = (10..=14).map(|key| format!("{key}.title=new"));
    let old = ["2.title=Emma", "3.title=Ulysses", "4.title=Walden"].map(String::from);
    world.all_hold(&old.into_iter().chain(new).collect::<Vec<_>>().join(" "));
    for name in ["alice", "bob", "carol"] {
        world.shows(name, Synced, Reason::Synced);
        assert_eq!(world.status(name).pending.changes, 0);
        assert_eq!(world.status(name).diagnostics.last_close.expect("the outage").code, 1006, "no other was needed");
    }
}

#[test]
fn a_backup_is_put_back_and_the_offer_is_cut() {
    let mut world = World::with(&["alice"]);
    let mut backup = world.server.model.clone();
    for key in 1..=9 {
        world.writes("alice", key, "title", "t");
    }
    world.outage();
    backup.put_back(&world.server.model);
    world.server.model = backup;
    world.outage_ends();
    world.server.dies_after_commit = true;
    world.pass(BACKOFF_MAX);
    world.server_holds("1.title=t 2.title=t 3.title=t");
    world.shows("alice", Disconnected, Reason::Offline);
    world.outage_ends();
    world.pass(BACKOFF_MAX);
    let all = (1..=9).map(|key| format!("{key}.title=t")).collect::<Vec<_>>().join(" ");
    world.all_hold(&all);
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn the_server_is_reset_and_alice_nukes() {
    let mut world = World::with(&["alice", "bob"]);
    world.writes("alice", 1, "title", "Dune");
    world.dials_into("bob", Line::Refuses);
    world.cut("bob");
    world.writes("bob", 2, "title", "Emma");
    world.server.model.reset();
    world.server_refuses_all(RefuseCode::Lineage);
    world.shows("alice", Incompatible, Reason::Lineage);
    assert_eq!(world.status("alice").remedy, Remedy::NukeAndResync);
    world.dials_into("bob", Line::Works);
    world.pass(BACKOFF_MAX);
    world.shows("bob", Incompatible, Reason::Lineage);
    assert_eq!(world.status("bob").pending.changes, 1);
    world.server_holds("");

    // An outage does not hide it, and neither does a pause.
    world.outage();
    world.seconds(60);
    world.shows("alice", Incompatible, Reason::Lineage);
    world.tells("alice", |session, now| session.pause(now));
    world.shows("alice", Incompatible, Reason::Lineage);
    world.tells("alice", |session, now| session.resume(now));
    world.outage_ends();
    world.seconds(60);
    world.shows("alice", Incompatible, Reason::Lineage);
    world.holds("alice", "1.title=Dune");

    world.client("alice").model = ClientModel::new(77);
    world.client("alice").lights.clear();
    world.tells("alice", |session, now| session.reload(now));
    world.pass(BACKOFF_MAX);
    world.shows("alice", Synced, Reason::Synced);
    let lights = &world.look_at("alice").lights;
    assert!(lights.iter().all(|(state, _)| *state != Incompatible), "the new database was never refused: {lights:?}");
    world.holds("alice", "");
    world.writes("alice", 5, "title", "Walden");
    world.server_holds("5.title=Walden");
    world.shows("bob", Incompatible, Reason::Lineage);
}

#[test]
fn alice_nukes_while_a_request_is_under_way() {
    let mut world = World::with(&["alice"]);
    world.writes("alice", 1, "title", "Dune");
    world.client("alice").drowsy = true;
    world.server_writes(2, "title", "Emma");
    world.client("alice").model = ClientModel::new(77);
    world.tells("alice", |session, now| session.reload(now));
    // The answer to what the old database was asked comes late, and is of no use any more.
    world.wakes("alice");
    world.pass(BACKOFF_MAX);
    world.all_hold("1.title=Dune 2.title=Emma");
    world.shows("alice", Synced, Reason::Synced);
}
