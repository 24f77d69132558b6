//! The program dies at every step of a push and a pull, and leaves a remote and a database that can be used.

use greenlight_cli::crash::{Point, VARIABLE};

use crate::fixture::{Machine, World, each, names};

/// The steps of a push, those of a pull, and those of a pull that merges. Exhaustive: a step without a test is not to be
/// had.
fn is_of(point: Point) -> (bool, bool, bool) {
    match point {
        Point::Marked
        | Point::Folded
        | Point::Copied
        | Point::BackedUp
        | Point::Stripped
        | Point::RemoteLocked
        | Point::RemoteHalf
        | Point::RemoteCopied
        | Point::RemoteNamed
        | Point::RemoteMeta
        | Point::RemotePlaced => (true, false, false),
        Point::Fitted => (false, true, false),
        Point::Merged => (false, false, true),
        Point::Fetched | Point::Kept | Point::Placed => (false, true, true),
        Point::Attempted | Point::Remembered => (true, true, true),
    }
}

fn dies(machine: &Machine, words: &[&str], point: Point) {
    let output = machine.command(words).env(VARIABLE, format!("{}:1", point.name())).output().unwrap();
    assert!(output.status.code().is_none(), "{} was not passed: {}", point.name(), crate::fixture::said(&output));
}

#[test]
fn a_push_that_is_killed_leaves_a_usable_remote() {
    for point in Point::ALL.iter().copied().filter(|point| is_of(*point).0) {
        each(|world| {
            let (alice, bob) = world.in_step();
            alice.write("Persuasion");
            dies(&alice, &["sync", "push"], point);
            let context = format!("{} {}", point.name(), world.replicas);
            // The remote is usable as it is: who pulls now gets the old state or the new one, whole.
            let carol = world.machine("carol");
            carol.ok(&["sync", "pull"]);
            let arrived = carol.books() == ["Emma", "Persuasion"];
            assert!(arrived || carol.books() == ["Emma"], "{context}: {:?}", carol.books());
            assert_eq!(bob.status(), if arrived { "behind" } else { "equal" }, "{context}");
            assert_eq!(alice.status(), if arrived { "equal" } else { "ahead" }, "{context}");
            assert_eq!(alice.books(), ["Emma", "Persuasion"], "{context}");
            // And so it goes on.
            alice.write("Sanditon");
            assert_eq!(alice.status(), "ahead", "{context}");
            alice.ok(&["sync", "push"]);
            assert_eq!(names(&world.remote()), ["db.sqlite", "sync-meta.json"], "{context}");
            bob.ok(&["sync", "pull"]);
            assert_eq!(bob.books(), ["Emma", "Persuasion", "Sanditon"], "{context}");
            let rest: Vec<_> = names(&alice.home).into_iter().filter(|name| name.contains("part")).collect();
            assert_eq!(rest, [""; 0], "{context}");
        });
    }
}

#[test]
fn a_first_push_that_is_killed_leaves_nothing_or_a_remote() {
    for point in Point::ALL.iter().copied().filter(|point| is_of(*point).0) {
        each(|world| {
            let (alice, bob) = (world.machine("alice"), world.machine("bob"));
            alice.write("Emma");
            dies(&alice, &["sync", "push"], point);
            let status = alice.status();
            assert!(["empty", "equal"].contains(&status.as_str()), "{}: {status}", point.name());
            alice.write("Persuasion");
            alice.ok(&["sync", "push"]);
            bob.ok(&["sync", "pull"]);
            assert_eq!(bob.books(), ["Emma", "Persuasion"], "{}", point.name());
            assert_eq!(names(&world.remote()), ["db.sqlite", "sync-meta.json"], "{}", point.name());
        });
    }
}

#[test]
fn a_pull_that_is_killed_leaves_the_old_database_or_the_new_one() {
    for point in Point::ALL.iter().copied().filter(|point| is_of(*point).1) {
        each(|world| {
            let (alice, bob) = world.in_step();
            alice.write("Persuasion");
            alice.ok(&["sync", "push"]);
            dies(&bob, &["sync", "pull"], point);
            let context = format!("{} {}", point.name(), world.replicas);
            let arrived = bob.books() == ["Emma", "Persuasion"];
            assert!(arrived || bob.books() == ["Emma"], "{context}: {:?}", bob.books());
            assert_eq!(bob.status(), if arrived { "equal" } else { "behind" }, "{context}");
            bob.ok(&["sync", "pull"]);
            assert_eq!(bob.books(), ["Emma", "Persuasion"], "{context}");
            bob.write("Sanditon");
            bob.ok(&["sync", "push"]);
            alice.ok(&["sync", "pull"]);
            assert_eq!(alice.books(), ["Emma", "Persuasion", "Sanditon"], "{context}");
        });
    }
}

#[test]
fn a_first_pull_that_is_killed_leaves_no_database_or_the_new_one() {
    for point in Point::ALL.iter().copied().filter(|point| is_of(*point).1 && *point != Point::Kept) {
        each(|world| {
            let (alice, bob) = (world.machine("alice"), world.machine("bob"));
            alice.write("Emma");
            alice.ok(&["sync", "push"]);
            dies(&bob, &["sync", "pull"], point);
            assert_eq!(bob.status(), if bob.db().exists() { "equal" } else { "behind" }, "{}", point.name());
            bob.ok(&["sync", "pull"]);
            assert_eq!(bob.books(), ["Emma"], "{}", point.name());
        });
    }
}

#[test]
fn what_is_written_after_a_killed_pull_is_not_lost() {
    for point in Point::ALL.iter().copied().filter(|point| is_of(*point).1) {
        each(|world| {
            let (alice, bob) = world.in_step();
            alice.write("Persuasion");
            alice.ok(&["sync", "push"]);
            dies(&bob, &["sync", "pull"], point);
            bob.write("Sanditon");
            let context = format!("{} {}", point.name(), world.replicas);
            // Both have moved, or what came is here and this side alone has: never that the remote's may be dropped
            // while it is not here.
            let arrived = bob.books().contains(&"Persuasion".to_owned());
            match bob.status().as_str() {
                "ahead" => assert!(arrived, "{context}"),
                "diverged" => assert!(!arrived || !world.replicas, "{context}"),
                other => panic!("{context}: {other}"),
            }
        });
    }
}

#[test]
fn a_merge_that_is_killed_leaves_the_old_database_or_the_merged_one() {
    for point in Point::ALL.iter().copied().filter(|point| is_of(*point).2) {
        let world = World::new(true);
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        bob.write("Sanditon");
        dies(&bob, &["sync", "pull", "--merge"], point);
        let arrived = bob.books().contains(&"Persuasion".to_owned());
        assert!(bob.books().contains(&"Sanditon".to_owned()), "{}", point.name());
        assert_eq!(bob.status(), if arrived { "ahead" } else { "diverged" }, "{}", point.name());
        bob.write("Lady Susan");
        bob.ok(&["sync", "pull", "--merge"]);
        bob.ok(&["sync", "push"]);
        alice.ok(&["sync", "pull"]);
        assert_eq!(alice.books(), ["Emma", "Lady Susan", "Persuasion", "Sanditon"], "{}", point.name());
        let rest: Vec<_> = names(&bob.home).into_iter().filter(|name| name.contains("part")).collect();
        assert_eq!(rest, [""; 0], "{}", point.name());
    }
}
