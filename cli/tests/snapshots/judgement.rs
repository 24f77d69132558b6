//! Who has moved is judged so that nothing gets lost unseen: over several remotes, after force, and in copies.

use greenlight_store::{ClientDatabase, Location, Options, Schema};

use crate::fixture::{Machine, World, books, each, names, said};

/// The same machine with another remote.
fn at(machine: &Machine, remote: &str) -> Machine {
    let mut other = machine.clone();
    other.remote = machine.home.parent().unwrap().join(remote);
    other
}

#[test]
fn whoever_names_no_database_hears_of_the_one_that_was_exchanged() {
    let world = World::new(false);
    let alice = world.machine("alice");
    alice.write("Emma");
    let other = alice.home.join("other.db");
    std::fs::rename(alice.db(), &other).unwrap();
    let name = other.to_str().unwrap();
    let status = |code: i32, words: &[&str]| {
        let output = alice.run(&[&["sync", "status"], words].concat());
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        said(&output)
    };
    alice.ok(&["sync", "push", "--db", name]);
    let hint = format!("what was exchanged with the remote is --db {name}");
    assert!(status(0, &["--db", name]).starts_with("Equal"));
    let told = status(6, &[]);
    assert!(told.contains("there is no database here") && told.contains(&hint), "{told}");
    // One that has nothing to do with it.
    alice.plain().execute_batch("CREATE TABLE film (title TEXT)").unwrap();
    let told = status(8, &[]);
    assert!(told.contains("were never exchanged") && told.contains(&hint), "{told}");
    alice.fails(&["sync", "push"], 8, &hint);
    alice.ok(&["sync", "pull", "--force"]);
    assert!(!status(0, &[]).contains("--db"));
}

#[test]
fn what_was_overwritten_by_force_is_a_divergence_for_whoever_pushed_it() {
    each(|world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        bob.write("Sanditon");
        bob.ok(&["sync", "push", "--force"]);
        assert_eq!(alice.status(), "diverged");
        alice.fails(&["sync", "pull"], 8, "does not come from what was exchanged last");
        if world.replicas {
            alice.ok(&["sync", "pull", "--merge"]);
            assert_eq!(alice.books(), ["Emma", "Persuasion", "Sanditon"]);
            alice.ok(&["sync", "push"]);
            assert_eq!(bob.status(), "behind");
        }
    });
}

#[test]
fn of_two_copies_of_a_remote_the_one_that_goes_on_does_not_hide_the_other() {
    each(|world| {
        let (alice, bob) = world.in_step();
        let there = at(&bob, "copy");
        std::fs::create_dir(&there.remote).unwrap();
        for name in names(&bob.remote) {
            std::fs::copy(bob.remote.join(&name), there.remote.join(&name)).unwrap();
        }
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        for title in ["Sanditon", "Lady Susan"] {
            there.write(title);
            there.ok(&["sync", "push"]);
        }
        // What carries the folder lets the other copy win.
        for name in names(&there.remote) {
            std::fs::copy(there.remote.join(&name), alice.remote.join(&name)).unwrap();
        }
        assert_eq!(alice.status(), "diverged");
    });
}

#[test]
fn versions_of_another_numbering_are_not_compared() {
    let world = World::new(true);
    let (alice, bob, carol) = (world.machine("alice"), world.machine("bob"), world.machine("carol"));
    for title in ["Emma", "Persuasion", "Sanditon"] {
        alice.write(title);
    }
    let other = at(&alice, "other");
    alice.ok(&["sync", "push"]);
    other.ok(&["sync", "push"]);
    at(&carol, "other").ok(&["sync", "pull"]);
    // Bob's numbers are smaller than Alice's, and become hers.
    bob.write("Northanger Abbey");
    bob.ok(&["sync", "pull", "--merge"]);
    for title in ["Lady Susan", "The Watsons", "Evelyn"] {
        bob.write(title);
        bob.ok(&["sync", "push"]);
        alice.ok(&["sync", "pull"]);
        assert_eq!(other.status(), "ahead", "the other remote has none of Bob's, {title}");
    }
    other.ok(&["sync", "push"]);
    let carol = at(&carol, "other");
    carol.ok(&["sync", "pull"]);
    assert_eq!(carol.books().len(), 7);
}

#[test]
fn databases_of_one_home_are_remembered_apart() {
    each(|world| {
        let alice = world.machine("alice");
        alice.write("Emma");
        let second = alice.home.join("second.sqlite");
        alice.ok(&["sync", "push"]);
        std::fs::copy(alice.db(), &second).unwrap();
        let (db, remote) = (second.to_str().unwrap(), world.folder.path().join("second"));
        alice.ok(&["sync", "push", "--db", db, "--remote", remote.to_str().unwrap()]);
        assert_eq!(alice.status(), "equal");
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        // The copy lacks what was pushed since, and was never exchanged with that place.
        let status = alice.json(&["sync", "status", "--db", db, "--json"]);
        assert_eq!((status["status"].as_str(), status["local"]["generation"].as_u64()), (Some("diverged"), Some(0)));
        // Nor is a file of the one's a push's of the other's.
        let (third, bak) = (alice.home.join("third.sqlite"), alice.home.join("third.sqlite.bak"));
        std::fs::copy(alice.db(), &third).unwrap();
        std::fs::write(&bak, "mine").unwrap();
        let (db, remote) = (third.to_str().unwrap(), world.folder.path().join("third"));
        alice.fails(&["sync", "push", "--db", db, "--remote", remote.to_str().unwrap()], 3, "is there already");
        assert_eq!(std::fs::read(&bak).unwrap(), b"mine");
    });
}

#[test]
fn what_was_given_up_is_no_part_of_what_is_here() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    let other = at(&alice, "other");
    alice.write("Persuasion");
    other.ok(&["sync", "push"]);
    bob.write("Sanditon");
    bob.ok(&["sync", "push"]);
    alice.ok(&["sync", "pull", "--force"]);
    assert_eq!(alice.books(), ["Emma", "Sanditon"]);
    // What is there has what was given up here, and a push would drop it.
    assert_eq!(other.status(), "diverged");
    other.fails(&["sync", "push"], 8, "does not come from what was exchanged last");
    other.ok(&["sync", "pull", "--merge"]);
    assert_eq!(other.books(), ["Emma", "Persuasion", "Sanditon"]);
}

#[test]
fn another_schema_is_a_movement_though_no_row_has_moved() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    let newer = crate::fixture::SCHEMA.replace("shop 1", "shop 2").replace("title TEXT", "title TEXT, year INTEGER");
    let options = Options::system(Location::File(alice.db()), || 1).unwrap();
    drop(ClientDatabase::open(options, &Schema::parse(&newer).unwrap()).unwrap());
    assert_eq!(alice.status(), "ahead");
    alice.ok(&["sync", "push"]);
    bob.ok(&["sync", "pull"]);
    let status = bob.json(&["sync", "status", "--json"]);
    assert_eq!((status["status"].as_str(), status["local"]["schema_version"].as_u64()), (Some("equal"), Some(2)));
}

#[test]
fn a_place_that_is_gone_is_not_taken_for_a_new_one() {
    each(|world| {
        let (alice, _) = world.in_step();
        std::fs::rename(&alice.remote, world.folder.path().join("unplugged")).unwrap();
        assert_eq!((alice.status(), alice.run(&["sync", "status"]).status.code()), ("empty".into(), Some(3)));
        assert!(said(&alice.run(&["sync", "status"])).contains("is it mounted?"));
        alice.fails(&["sync", "push"], 3, "is it mounted?");
        assert!(!alice.remote.exists());
        alice.ok(&["sync", "push", "--force"]);
        assert_eq!(alice.status(), "equal");
    });
}

#[test]
fn what_was_given_up_by_force_outlives_the_pulls_after_it() {
    each(|world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        for title in ["Sanditon", "Lady Susan"] {
            bob.write(title);
            bob.ok(&["sync", "pull", "--force"]);
        }
        for title in ["The Watsons", "Evelyn"] {
            alice.write(title);
            alice.ok(&["sync", "push"]);
            bob.ok(&["sync", "pull"]);
        }
        let kept = |name: &str| books(&bob.home.join(format!("db.sqlite.before-pull{name}")));
        assert!(kept(".1").contains(&"Sanditon".to_owned()), "{:?}", names(&bob.home));
        assert!(kept(".2").contains(&"Lady Susan".to_owned()));
        assert!(!bob.home.join("db.sqlite.before-pull.3").exists());
    });
}

#[test]
fn what_a_person_has_named_so_is_not_replaced() {
    each(|world| {
        let (alice, bob) = (world.machine("alice"), world.machine("bob"));
        alice.write("Emma");
        std::fs::write(alice.home.join("db.sqlite.bak"), "mine").unwrap();
        alice.fails(&["sync", "push"], 3, "db.sqlite.bak is there already");
        assert_eq!(std::fs::read(alice.home.join("db.sqlite.bak")).unwrap(), b"mine");
        std::fs::remove_file(alice.home.join("db.sqlite.bak")).unwrap();
        alice.ok(&["sync", "push"]);
        bob.write("Sanditon");
        std::fs::write(bob.home.join("db.sqlite.before-pull"), "mine").unwrap();
        bob.fails(&["sync", "pull", "--force"], 3, "is there already");
        assert_eq!(std::fs::read(bob.home.join("db.sqlite.before-pull")).unwrap(), b"mine");
        assert_eq!(bob.books(), ["Sanditon"]);
    });
}
