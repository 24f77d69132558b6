//! The program dies at every step of a push and a pull, and leaves a remote and a database that can be used.

use greenlight_cli::crash::{Point, VARIABLE};

use crate::fixture::{Kind, Machine, World, names};

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
        | Point::RemotePlaced
        | Point::RemoteCleared
        | Point::Packed => (true, false, false),
        Point::PackedFetched | Point::Fitted => (false, true, false),
        Point::Merged => (false, false, true),
        Point::Fetched | Point::Kept | Point::Placed => (false, true, true),
        // A push that is forced passes it, and all that any push does.
        Point::RemoteKept => (false, false, false),
        Point::Attempted | Point::Remembered => (true, true, true),
    }
}

/// Those of a push or those of a pull, with every kind of remote that passes them. Where passphrases make it slow, the
/// points at which packing matters are enough.
fn at_each(pushing: bool, test: impl Fn(Point, World)) {
    let points = || Point::ALL.iter().copied().filter(|point| if pushing { is_of(*point).0 } else { is_of(*point).1 });
    let kinds = Kind::ALL.map(|kind| (kind, true));
    for (kind, replicas) in std::iter::once((Kind::Folder, false)).chain(kinds) {
        for point in points() {
            let of_packing = matches!(point, Point::Packed | Point::PackedFetched);
            let is_at_remote = matches!(
                point,
                Point::RemoteHalf
                    | Point::RemoteCopied
                    | Point::RemoteNamed
                    | Point::RemoteMeta
                    | Point::RemotePlaced
                    | Point::RemoteCleared
            );
            let passes = match kind {
                Kind::Folder => !of_packing,
                // The steps at home are the same.
                Kind::Compressed => of_packing || is_at_remote || point == Point::Fetched,
                Kind::Encrypted => of_packing,
                // The same, and there is no name that changes.
                Kind::Bucket => {
                    matches!(point, Point::RemoteCopied | Point::RemoteMeta | Point::RemoteCleared | Point::Fetched)
                }
            };
            if passes {
                test(point, World::with(replicas, kind));
            }
        }
    }
}

fn dies(machine: &Machine, words: &[&str], point: Point) {
    let output = machine.command(words).env(VARIABLE, format!("{}:1", point.name())).output().unwrap();
    assert!(output.status.code().is_none(), "{} was not passed: {}", point.name(), crate::fixture::said(&output));
}

#[test]
fn a_push_that_is_killed_leaves_a_usable_remote() {
    at_each(true, |point, world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        dies(&alice, &["sync", "push"], point);
        let context = format!("{} {} {:?}", point.name(), world.replicas, world.kind);
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
        assert_eq!(world.names(), world.kind.names(), "{context}");
        bob.ok(&["sync", "pull"]);
        assert_eq!(bob.books(), ["Emma", "Persuasion", "Sanditon"], "{context}");
        let rest: Vec<_> = names(&alice.home).into_iter().filter(|name| name.contains("part")).collect();
        assert_eq!(rest, [""; 0], "{context}");
    });
}

#[test]
fn a_push_by_force_that_is_killed_loses_neither() {
    for kind in [Kind::Folder, Kind::Compressed, Kind::Bucket] {
        // What comes before is as in any push.
        let points = match kind {
            Kind::Folder => &[
                Point::RemoteHalf,
                Point::RemoteNamed,
                Point::RemoteKept,
                Point::RemoteMeta,
                Point::RemotePlaced,
                Point::RemoteCleared,
                Point::Remembered,
            ][..],
            Kind::Compressed => &[Point::RemoteKept, Point::RemotePlaced],
            _ => &[Point::RemoteCopied, Point::RemoteKept, Point::RemoteMeta],
        };
        for point in points.iter().copied() {
            let world = World::with(true, kind);
            let (alice, bob) = world.in_step();
            alice.write("Persuasion");
            alice.ok(&["sync", "push"]);
            bob.write("Sanditon");
            dies(&bob, &["sync", "push", "--force"], point);
            let context = format!("{} {kind:?}", point.name());
            let carol = world.machine("carol");
            carol.ok(&["sync", "pull"]);
            let arrived = carol.books() == ["Emma", "Sanditon"];
            assert!(arrived || carol.books() == ["Emma", "Persuasion"], "{context}: {:?}", carol.books());
            assert_eq!(bob.status(), if arrived { "equal" } else { "diverged" }, "{context}");
            // What is done again is not kept twice.
            bob.write("Lady Susan");
            bob.ok(&["sync", "push", "--force"]);
            let expected = [&["before-push.1"][..], &kind.names()].concat();
            assert_eq!(world.names(), expected, "{context}");
            let kept = crate::kept::at(&world, "dave", &format!("{}/before-push.1", world.shown()));
            kept.ok(&["sync", "pull"]);
            assert_eq!(kept.books(), ["Emma", "Persuasion"], "{context}");
            assert_eq!(names(&world.remote().join("before-push.1")).len(), 2, "{context}");
        }
    }
}

#[test]
fn a_first_push_that_is_killed_leaves_nothing_or_a_remote() {
    at_each(true, |point, world| {
        let (alice, bob) = (world.machine("alice"), world.machine("bob"));
        alice.write("Emma");
        dies(&alice, &["sync", "push"], point);
        let status = alice.status();
        assert!(["empty", "equal"].contains(&status.as_str()), "{}: {status}", point.name());
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        bob.ok(&["sync", "pull"]);
        assert_eq!(bob.books(), ["Emma", "Persuasion"], "{}", point.name());
        assert_eq!(world.names(), world.kind.names(), "{}", point.name());
    });
}

#[test]
fn a_pull_that_is_killed_leaves_the_old_database_or_the_new_one() {
    at_each(false, |point, world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        dies(&bob, &["sync", "pull"], point);
        let context = format!("{} {} {:?}", point.name(), world.replicas, world.kind);
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

#[test]
fn what_was_kept_before_a_killed_pull_is_kept_until_the_next_one_arrives() {
    for replicas in [false, true] {
        let world = World::new(replicas);
        let (alice, bob) = world.in_step();
        let kept = bob.home.join("db.sqlite.before-pull");
        alice.write("Lady Susan");
        alice.ok(&["sync", "push"]);
        bob.ok(&["sync", "pull"]);
        std::fs::write(&kept, "precious").unwrap();
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        dies(&bob, &["sync", "pull"], Point::Kept);
        assert_eq!(crate::fixture::books(&kept), ["Emma", "Lady Susan"]);
        assert_eq!(std::fs::read(bob.home.join("db.sqlite.before-pull.older")).unwrap(), b"precious");
        // One that fails gives it back.
        let reader = rusqlite::Connection::open(bob.db()).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM book").unwrap();
        bob.fails(&["sync", "pull"], 9, "database busy");
        drop(reader);
        assert_eq!(std::fs::read(&kept).unwrap(), b"precious");
        dies(&bob, &["sync", "pull"], Point::Placed);
        assert_eq!(crate::fixture::books(&kept), ["Emma", "Lady Susan"]);
        alice.write("Sanditon");
        alice.ok(&["sync", "push"]);
        bob.ok(&["sync", "pull"]);
        assert_eq!(crate::fixture::books(&kept), ["Emma", "Lady Susan", "Persuasion"]);
        let rest: Vec<_> = names(&bob.home).into_iter().filter(|name| name.contains("before-pull")).collect();
        assert_eq!(rest, ["db.sqlite.before-pull"]);
    }
}

#[test]
fn a_first_pull_that_is_killed_leaves_no_database_or_the_new_one() {
    at_each(false, |point, world| {
        if point != Point::Kept {
            let (alice, bob) = (world.machine("alice"), world.machine("bob"));
            alice.write("Emma");
            alice.ok(&["sync", "push"]);
            dies(&bob, &["sync", "pull"], point);
            assert_eq!(bob.status(), if bob.db().exists() { "equal" } else { "behind" }, "{}", point.name());
            bob.ok(&["sync", "pull"]);
            assert_eq!(bob.books(), ["Emma"], "{}", point.name());
        }
    });
}

#[test]
fn what_is_written_after_a_killed_pull_is_not_lost() {
    at_each(false, |point, world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        dies(&bob, &["sync", "pull"], point);
        bob.write("Sanditon");
        let context = format!("{} {} {:?}", point.name(), world.replicas, world.kind);
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

#[test]
fn a_push_that_packs_otherwise_and_is_killed_leaves_a_usable_remote() {
    for point in [Point::RemoteCopied, Point::RemoteNamed, Point::RemoteMeta, Point::RemotePlaced, Point::RemoteCleared]
    {
        for keys in ["compression = 'zstd'", "compression = 'none'"] {
            let packs = keys.contains("zstd");
            let world = World::with(true, if packs { Kind::Folder } else { Kind::Compressed });
            let (alice, _) = world.in_step();
            let alice = alice.configured(keys);
            alice.write("Persuasion");
            dies(&alice, &["sync", "push"], point);
            let context = format!("{} {keys}", point.name());
            let carol = world.machine("carol");
            carol.ok(&["sync", "pull"]);
            assert_eq!(carol.status(), "equal", "{context}");
            let arrived = carol.books() == ["Emma", "Persuasion"];
            assert_eq!(alice.status(), if arrived { "equal" } else { "ahead" }, "{context}");
            alice.write("Sanditon");
            alice.ok(&["sync", "push"]);
            let name = if packs { "db.sqlite.zst" } else { "db.sqlite" };
            assert_eq!(names(&world.remote()), [name, "sync-meta.json"], "{context}");
            carol.ok(&["sync", "pull"]);
            assert_eq!(carol.books(), ["Emma", "Persuasion", "Sanditon"], "{context}");
        }
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
