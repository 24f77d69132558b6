//! Stories of comparing while nothing happens: what was damaged behind everyone's back is found, named and mended.

use greenlight_core::StatusState::{Connecting, Stuck, Synced};
use greenlight_core::Value;
use greenlight_core::limits::{VERIFY_AGAIN, VERIFY_EVERY, VERIFY_IDLE};
use greenlight_core::status::{Diverged, Reason};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::world::World;

/// Two in step with some rows, compared once.
fn compared() -> World {
    let mut world = World::with(&["alice", "bob"]);
    for key in 1..=9 {
        world.writes(if key % 2 == 0 { "alice" } else { "bob" }, key, "title", &format!("book {key}"));
    }
    world.deletes("bob", 4);
    world.pass(VERIFY_IDLE * 3);
    world.is_damaged = true;
    world
}

fn differences(world: &World, name: &str) -> Vec<Vec<Diverged>> {
    world.look_at(name).diverged.clone()
}

fn one_row() -> Vec<Diverged> {
    vec![Diverged { table: "book".into(), rows: 1 }]
}

#[test]
fn who_is_in_step_is_told_since_when() {
    let mut world = compared();
    for name in ["alice", "bob"] {
        let status = world.status(name);
        assert!(status.verified_at.is_some(), "{name}");
        assert_eq!(status.diverged, []);
        assert_eq!(differences(&world, name), Vec::<Vec<Diverged>>::new());
    }
    // Not again while nothing changes, but for what an hour may bring.
    let first = world.status("alice").verified_at;
    world.pass(VERIFY_EVERY * 3);
    assert_eq!(world.status("alice").verified_at, first);
    world.pass(VERIFY_AGAIN);
    let second = world.status("alice").verified_at;
    assert!(second > first);
    // Again after a change.
    world.writes("bob", 1, "title", "another");
    world.pass(VERIFY_EVERY + VERIFY_IDLE * 2);
    assert!(world.status("alice").verified_at > second);
    assert!(world.status("bob").verified_at > second);
}

#[test]
fn a_row_that_got_lost_here_comes_back() {
    let mut world = compared();
    world.client("alice").model.rows.damage(3, "title", None);
    world.client("alice").lights.clear();
    world.pass(VERIFY_AGAIN + VERIFY_IDLE * 4);
    assert_eq!(differences(&world, "alice"), [one_row()], "found once, and mended at once");
    let lights = &world.look_at("alice").lights;
    assert!(lights.contains(&(Connecting, Reason::Exchanging)), "not green until it is found mended: {lights:?}");
    assert_eq!(world.status("alice").diverged, []);
    world.shows("alice", Synced, Reason::Synced);
    let text = world.server.model.rows.text();
    world.all_hold(&text);
    assert!(text.contains("3.title=book 3"));
}

#[test]
fn a_row_that_got_lost_on_the_server_comes_back() {
    let mut world = compared();
    let before = world.server.model.rows.text();
    world.server.model.rows.damage(2, "title", None);
    world.pass(VERIFY_AGAIN + VERIFY_IDLE * 4);
    world.server_holds(&before);
    world.all_hold(&before);
    assert_eq!(world.status("alice").diverged, []);
    assert_eq!(world.status("bob").diverged, []);
}

#[test]
fn a_cell_with_equal_clocks_is_settled_by_the_merge() {
    let mut world = compared();
    world.client("alice").model.rows.damage(3, "title", Some(Value::Text("zzz".into())));
    world.pass(VERIFY_AGAIN + VERIFY_IDLE * 4);
    assert_eq!(differences(&world, "alice"), [one_row()]);
    // Bob wrote that cell, so nobody sends it to him: his own comparison finds it.
    world.pass(VERIFY_EVERY * 2);
    let text = world.server.model.rows.text();
    assert!(text.contains("3.title=zzz"), "the larger value wins: {text}");
    world.all_hold(&text);
}

#[test]
fn values_that_the_merge_takes_for_equal_are_written_again() {
    let mut world = compared();
    world.client("alice").model.rows.damage(3, "title", Some(Value::Integer(5)));
    world.server.model.rows.damage(3, "title", Some(Value::Real(5.0)));
    world.client("bob").model.rows.damage(3, "title", Some(Value::Real(5.0)));
    world.pass(VERIFY_AGAIN + VERIFY_IDLE * 6 + VERIFY_EVERY);
    assert_eq!(differences(&world, "alice"), [one_row(), one_row()], "twice: the first repair could not help");
    assert_eq!(world.status("alice").diverged, []);
    world.shows("alice", Synced, Reason::Synced);
    let text = world.server.model.rows.text();
    world.all_hold(&text);
}

#[test]
fn who_may_only_read_writes_nothing_to_mend_them() {
    let mut world = World::new();
    world.joins("alice");
    world.writes("alice", 3, "title", "Dune");
    world.server.may_write = false;
    world.joins("bob");
    world.pass(VERIFY_IDLE * 3);
    world.is_damaged = true;
    world.client("bob").model.rows.damage(3, "title", Some(Value::Integer(5)));
    world.client("alice").model.rows.damage(3, "title", Some(Value::Real(5.0)));
    world.server.model.rows.damage(3, "title", Some(Value::Real(5.0)));
    world.pass(VERIFY_AGAIN + VERIFY_EVERY * 6);
    world.shows("bob", Stuck, Reason::Diverged);
    assert_eq!(world.status("bob").pending.changes, 0);
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn what_can_not_be_mended_is_said() {
    let mut world = World::with(&["alice"]);
    world.writes("alice", 5, "title", "Dune");
    world.pass(VERIFY_IDLE * 3);
    world.is_damaged = true;
    // A server that loses the same cell again and again.
    for _ in 0..VERIFY_AGAIN.as_secs() + 60 {
        world.server.model.rows.damage(5, "title", None);
        world.seconds(1);
    }
    let status = world.status("alice");
    assert_eq!((status.state, status.reason), (Stuck, Reason::Diverged), "{:?}", differences(&world, "alice"));
    assert_eq!(status.diverged, one_row());
    assert_eq!(differences(&world, "alice").len(), 3, "two repairs, and then no more");
    world.holds("alice", "5.title=Dune");
    // Once the server keeps what it has, a click is enough.
    world.tells("alice", |session, now| session.retry(now));
    world.pass(VERIFY_EVERY * 2);
    world.all_hold("5.title=Dune");
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn a_slow_server_is_asked_once_and_its_late_answer_is_not_misread() {
    let mut world = compared();
    let first = world.status("alice").verified_at;
    world.server.digests_late = true;
    world.writes("alice", 1, "title", "then");
    world.pass(VERIFY_EVERY + VERIFY_IDLE * 2);
    assert_eq!(world.server.owed.len(), 2, "each has asked");
    // Meanwhile work goes on; nobody asks again before the answer, and nobody wakes up for nothing.
    for second in 0..200 {
        world.writes("alice", 2, "title", &format!("now {second}"));
        world.seconds(1);
    }
    world.pass(VERIFY_EVERY * 2);
    assert_eq!(world.server.owed.len(), 2);
    assert_eq!((world.look_at("alice").dials, world.look_at("bob").dials), (1, 1));
    world.server_gives_digests();
    assert_eq!(differences(&world, "alice"), Vec::<Vec<Diverged>>::new());
    world.pass(VERIFY_EVERY + VERIFY_IDLE * 2);
    assert!(world.status("alice").verified_at > first);
    world.shows("alice", Synced, Reason::Synced);
}

#[test]
fn work_goes_before_comparing() {
    let mut world = compared();
    let first = world.status("alice").verified_at;
    // Somebody types all the time: there is never a quiet moment, and no difference is ever made up.
    for second in 0..120 {
        world.writes("alice", 1 + second % 7, "title", &format!("typing {second}"));
        world.seconds(1);
    }
    assert_eq!(world.status("alice").verified_at, first);
    assert_eq!(differences(&world, "alice"), Vec::<Vec<Diverged>>::new());
    world.pass(VERIFY_IDLE * 2);
    assert!(world.status("alice").verified_at > first);
}
