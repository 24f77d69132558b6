//! Stories of being refused: the light says why, in words that help, and goes on by itself once it may.

use greenlight_core::StatusState::{self, Disconnected, Incompatible, Stuck, Synced, Syncing};
use greenlight_core::limits::{BACKOFF_MAX, EARLY_CLOSE, HEARTBEAT, HELD_BACK_RETRY, MAX_TOKEN_BYTES, VERIFY_EVERY};
use greenlight_core::protocol::{PROTOCOL, RefuseCode, ServerMessage, Welcome, WriterState};
use greenlight_core::replica::{ServerFacts, ServerStore};
use greenlight_core::status::{Reason, Remedy};
use greenlight_core::{Bound, SchemaId, SchemaShape};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::model::ClientModel;
use crate::network::Line;
use crate::world::World;

/// Alice's app has this schema beside the server's `shop 4`; what her light shows then.
fn with_schema(change: impl FnOnce(&mut SchemaId, &mut SchemaShape)) -> World {
    let mut model = ClientModel::new(1);
    change(&mut model.schema, &mut model.shape);
    model.write(1, "title", "Dune");
    let mut world = World::new();
    world.joins_with("alice", model);
    world.settle();
    world
}

#[track_caller]
fn is_refused(world: &mut World, reason: Reason, words: &[&str]) {
    world.shows("alice", Incompatible, reason);
    assert_eq!(world.status("alice").pending.changes, 1);
    let sentence = world.status("alice").sentence;
    for word in words {
        assert!(sentence.contains(word), "{word} in: {sentence}");
    }
    world.server_holds("");
    world.seconds(300);
    world.shows("alice", Incompatible, reason);
    assert_eq!(world.status("alice").diagnostics.early_closes, 0);
}

#[test]
fn the_app_is_newer_than_the_server() {
    let mut world = with_schema(|schema, shape| {
        schema.number = 5;
        shape.tables[0].columns.insert(0, "isbn".into());
    });
    is_refused(&mut world, Reason::SchemaNewer, &["`book`", "`isbn`", "`shop` 4", "`shop` 5"]);
    // The server is updated: nothing has to be done here.
    let (schema, shape) = (world.look_at("alice").model.schema.clone(), world.look_at("alice").model.shape.clone());
    (world.server.model.schema, world.server.model.shape) = (schema, shape);
    world.pass(BACKOFF_MAX);
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
}

#[test]
fn the_app_is_older_and_has_what_the_server_dropped() {
    let mut world = with_schema(|schema, shape| {
        schema.number = 3;
        shape.tables[0].columns.push("shelf".into());
    });
    is_refused(&mut world, Reason::SchemaOlder, &["`book`", "`shelf`", "`shop` 3"]);
    assert_eq!(world.status("alice").remedy, Remedy::UpdateApp);
}

#[test]
fn the_app_is_older_and_lacks_a_column() {
    let world = with_schema(|schema, shape| {
        schema.number = 3;
        shape.tables[0].columns.remove(0);
    });
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
}

#[test]
fn the_structures_differ_under_one_number() {
    let mut world = with_schema(|schema, shape| {
        schema.digest = [5; 16];
        shape.tables[0].columns.push("weight".into());
    });
    is_refused(&mut world, Reason::SchemaDiffers, &["`book`", "`weight`", "on the server"]);

    let mut world = with_schema(|schema, shape| {
        schema.digest = [5; 16];
        shape.tables[0].columns.remove(0);
    });
    is_refused(&mut world, Reason::SchemaDiffers, &["`book`", "`price`", "in the app"]);

    let mut world = with_schema(|schema, _| schema.digest = [5; 16]);
    is_refused(&mut world, Reason::SchemaDiffers, &["types, defaults or checks"]);

    let mut world = with_schema(|schema, shape| {
        schema.digest = [5; 16];
        shape.tables[0].key = vec!["isbn".into(), "id".into()];
    });
    is_refused(&mut world, Reason::SchemaDiffers, &["`book`", "(id)", "(isbn, id)"]);
}

#[test]
fn the_app_is_another_one() {
    let mut world = with_schema(|schema, _| schema.name = "library".into());
    is_refused(&mut world, Reason::SchemaDiffers, &["`shop`", "`library`"]);
}

#[test]
fn the_token_is_missing_then_given() {
    let mut world = World::new();
    world.server.token = Some("secret");
    world.joins("alice");
    world.settle();
    world.shows("alice", Stuck, Reason::Unauthorized);
    assert_eq!(world.status("alice").remedy, Remedy::SignIn);
    world.writes("alice", 1, "title", "Dune");
    world.seconds(60);
    world.shows("alice", Stuck, Reason::Unauthorized);
    world.client("alice").token = "secret".into();
    world.tells("alice", |session, now| session.retry(now));
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
}

#[test]
fn the_token_expires_and_is_renewed() {
    let mut world = World::new();
    world.server.token = Some("monday");
    world.joins("alice");
    world.client("alice").token = "monday".into();
    world.seconds(60);
    world.shows("alice", Synced, Reason::Synced);
    world.server.token = Some("tuesday");
    world.server_refuses_all(RefuseCode::Unauthorized);
    world.shows("alice", Stuck, Reason::Unauthorized);
    world.writes("alice", 1, "title", "Dune");
    assert_eq!(world.status("alice").pending.changes, 1);
    world.server_holds("");
    world.client("alice").token = "tuesday".into();
    world.pass(BACKOFF_MAX);
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
}

#[test]
fn a_refusal_followed_by_an_outage_is_an_outage() {
    let mut world = World::with(&["alice"]);
    world.server.refuses = Some(RefuseCode::Unavailable);
    world.cut("alice");
    world.pass(BACKOFF_MAX);
    world.shows("alice", Stuck, Reason::ServerUnavailable);
    world.dials_into("alice", Line::Refuses);
    world.pass(BACKOFF_MAX);
    world.shows("alice", Disconnected, Reason::Offline);
    world.server.refuses = None;
    world.outage_ends();
    world.pass(BACKOFF_MAX);
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn each_refusal_of_a_hello() {
    let expected = [
        (RefuseCode::Protocol, Incompatible, Reason::Protocol),
        (RefuseCode::Forbidden, Stuck, Reason::Forbidden),
        (RefuseCode::UnknownDatabase, Stuck, Reason::UnknownDatabase),
        (RefuseCode::Unavailable, Stuck, Reason::ServerUnavailable),
    ];
    for (code, state, reason) in expected {
        let mut world = World::new();
        world.server.refuses = Some(code);
        world.joins("alice");
        world.seconds(60);
        world.shows("alice", state, reason);
        assert_eq!(world.status("alice").diagnostics.last_error.as_deref(), Some("not here"));
        world.server.refuses = None;
        world.pass(BACKOFF_MAX + EARLY_CLOSE);
        world.shows("alice", Synced, Reason::Synced);
        assert_eq!(world.status("alice").diagnostics.last_error, None);
    }
}

#[test]
fn a_server_that_answers_in_another_version() {
    let mut world = World::new();
    world.joins("alice");
    world.dials_into("alice", Line::Swallows);
    world.settle();
    let ServerFacts { lineage, schema, shape, head } = world.server.model.facts().expect("the model answers");
    let welcome = Welcome {
        protocol: PROTOCOL + 1,
        features: 0,
        lineage,
        schema,
        shape,
        head,
        held: Bound::ZERO,
        cursor_known: true,
        may_write: true,
        writer: WriterState::Commits,
    };
    let wire = world.client("alice").wire.as_mut().expect("a connection");
    wire.send_down(ServerMessage::Welcome(welcome).encode());
    world.settle();
    world.shows("alice", Incompatible, Reason::Protocol);
    assert!(world.status("alice").sentence.contains("version 2"));
}

#[test]
fn a_token_that_may_only_read() {
    let mut world = World::with(&["alice"]);
    world.server.may_write = false;
    world.joins("bob");
    world.settle();
    world.shows("bob", Synced, Reason::Synced);
    assert!(world.status("bob").read_only && !world.status("alice").read_only);
    assert!(world.status("bob").sentence.contains("not change"), "{}", world.status("bob").sentence);
    world.writes("alice", 1, "title", "Dune");
    world.all_hold("1.title=Dune");
    // The store refuses the app's own writes then; what got in all the same is not hidden.
    world.writes("bob", 2, "title", "Emma");
    world.shows("bob", Stuck, Reason::Forbidden);
    assert_eq!(world.status("bob").pending.changes, 1);
    world.server_holds("1.title=Dune");
    // It stays connected and goes on reading, instead of sending what is refused and dialling again.
    let dials = world.look_at("bob").dials;
    world.pass(HELD_BACK_RETRY / 3);
    world.shows("bob", Stuck, Reason::Forbidden);
    world.writes("alice", 3, "title", "Sanditon");
    world.holds("bob", "1.title=Dune 2.title=Emma 3.title=Sanditon");
    world.pass(HELD_BACK_RETRY / 3);
    assert_eq!(world.look_at("bob").dials, dials);
    // An outage is one, and who may write some day sends what waited.
    world.outage();
    world.shows("bob", Disconnected, Reason::Offline);
    world.server.may_write = true;
    world.outage_ends();
    world.pass(BACKOFF_MAX * 2);
    world.all_hold("1.title=Dune 2.title=Emma 3.title=Sanditon");
    world.shows("bob", Synced, Reason::Synced);
}

/// Bob may only read, and has written all the same.
fn held_back() -> World {
    let mut world = World::with(&["alice"]);
    world.server.may_write = false;
    world.joins("bob");
    world.settle();
    world.writes("bob", 1, "title", "Emma");
    world.shows("bob", Stuck, Reason::Forbidden);
    world.client("bob").lights.clear();
    world.settle();
    world
}

/// The lights that Bob has seen since then.
fn seen(world: &World) -> &[(StatusState, Reason)] {
    &world.look_at("bob").lights
}

#[test]
fn who_is_held_back_asks_again_in_time() {
    let mut world = held_back();
    let dials = world.look_at("bob").dials;
    world.pass(HELD_BACK_RETRY * 3 + EARLY_CLOSE);
    assert_eq!(world.look_at("bob").dials, dials + 3);
    assert_eq!(seen(&world), [(Stuck, Reason::Forbidden)], "it does not flicker");
    world.server_holds("");
    // The token file has one by now that may write.
    world.server.may_write = true;
    world.pass(HELD_BACK_RETRY);
    world.shows("bob", Synced, Reason::Synced);
    world.all_hold("1.title=Emma");
    let (first, rest) = seen(&world).split_first().expect("lights");
    assert_eq!(*first, (Stuck, Reason::Forbidden));
    assert!(rest.iter().all(|(state, _)| *state != Stuck && *state != Disconnected), "{rest:?}");
}

#[test]
fn who_is_held_back_asks_again_at_once_by_hand() {
    let mut world = held_back();
    world.tells("bob", |session, now| session.retry(now));
    assert_eq!(seen(&world), [(Stuck, Reason::Forbidden)]);
    world.server.may_write = true;
    world.tells("bob", |session, now| session.retry(now));
    world.shows("bob", Synced, Reason::Synced);
    world.all_hold("1.title=Emma");
    // What is not held back is left alone.
    let dials = world.look_at("bob").dials;
    world.tells("bob", |session, now| session.retry(now));
    world.pass(HELD_BACK_RETRY * 2);
    assert_eq!(world.look_at("bob").dials, dials);
}

#[test]
fn who_is_held_back_and_finds_an_outage_is_offline() {
    let mut world = held_back();
    world.dials_into("bob", Line::Refuses);
    world.tells("bob", |session, now| session.retry(now));
    world.shows("bob", Disconnected, Reason::Offline);
    world.pass(BACKOFF_MAX * 4);
    world.dials_into("bob", Line::Works);
    world.pass(BACKOFF_MAX + EARLY_CLOSE);
    world.shows("bob", Stuck, Reason::Forbidden);
    assert_eq!(world.status("bob").diagnostics.attempt, 0, "the next outage waits no longer than the first");
}

#[test]
fn what_comes_in_is_not_cut_off_to_ask_again() {
    let mut world = held_back();
    world.dials_into("bob", Line::Refuses);
    world.cut("bob");
    world.server.may_write = true;
    for key in 11..=22 {
        world.writes("alice", key, "title", "t");
    }
    world.server.may_write = false;
    world.client("bob").drowsy = true;
    world.dials_into("bob", Line::Works);
    world.seconds(20);
    while world.look_at("bob").model.rows.text().split(' ').count() < 6 {
        world.answers_one("bob");
    }
    world.shows("bob", Stuck, Reason::Forbidden);
    let dials = world.look_at("bob").dials;
    world.tells("bob", |session, now| session.retry(now));
    assert_eq!(world.look_at("bob").dials, dials);
    world.wakes("bob");
    world.pass(HEARTBEAT);
    assert_eq!(world.look_at("bob").dials, dials + 1, "as soon as it is here");
    world.holds("bob", &format!("1.title=Emma {}", world.server.model.rows.text()));
}

#[test]
fn who_may_only_read_offers_nothing_after_a_restore() {
    let mut world = World::with(&["alice", "bob"]);
    world.writes("alice", 1, "title", "Dune");
    let mut backup = world.server.model.clone();
    world.writes("alice", 2, "title", "Emma");
    world.all_hold("1.title=Dune 2.title=Emma");
    world.outage();
    backup.put_back(&world.server.model);
    world.server.model = backup;
    // Bob comes back first, and may only read by now.
    world.server.may_write = false;
    world.dials_into("bob", Line::Works);
    world.pass(BACKOFF_MAX);
    // What is only here is found by comparing, and said.
    world.server_holds("1.title=Dune");
    // Who may write brings it back, and all is well again.
    world.server.may_write = true;
    world.outage_ends();
    world.pass(VERIFY_EVERY * 4);
    world.all_hold("1.title=Dune 2.title=Emma");
    world.shows("alice", Synced, Reason::Synced);
    world.shows("bob", Synced, Reason::Synced);
}

#[test]
fn a_token_too_long_for_the_protocol() {
    let mut world = World::new();
    world.joins("alice");
    world.client("alice").token = "x".repeat(MAX_TOKEN_BYTES + 1);
    world.settle();
    world.shows("alice", Stuck, Reason::Unauthorized);
    assert!(world.status("alice").diagnostics.last_error.expect("an error").contains("8192"));
}

#[test]
fn the_app_goes_on_writing_while_it_waits() {
    let mut world = World::with(&["alice"]);
    world.server.drowsy = true;
    world.writes("alice", 1, "title", "Dune");
    world.shows("alice", Syncing, Reason::Sending);
    world.server_refuses_all(RefuseCode::Unauthorized);
    world.shows("alice", Stuck, Reason::Unauthorized);
    assert_eq!(world.status("alice").pending.changes, 1);
    world.server_wakes();
    world.pass(BACKOFF_MAX);
    world.shows("alice", Synced, Reason::Synced);
    world.all_hold("1.title=Dune");
}
