//! Snapshots in a bucket: what a storage does and does not do, and that nothing is lost by it.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use hyper::Method;
use serde_json::json;

use crate::fixture::{Kind, Machine, World, names, said};
use crate::relay::Relay;
use crate::storage::{ADDRESS, Fate, Storage};

/// More than some parts of 8 MiB.
const MANY_BYTES: i64 = 20 * 1024 * 1024;

fn world() -> World {
    World::with(false, Kind::Bucket)
}

fn storage(world: &World) -> &Storage {
    world.storage.as_ref().unwrap()
}

/// Writes what does not compress.
fn write_much(machine: &Machine) {
    machine.write("Ulysses");
    let sql = "UPDATE book SET expires_at = randomblob(?1) WHERE title = 'Ulysses'";
    machine.plain().execute(sql, [MANY_BYTES]).unwrap();
}

fn much(machine: &Machine) -> Vec<u8> {
    machine.plain().query_row("SELECT expires_at FROM book WHERE title = 'Ulysses'", [], |row| row.get(0)).unwrap()
}

#[test]
fn an_object_is_named_by_the_meta_and_the_old_one_goes() {
    let world = world();
    let (alice, bob) = world.in_step();
    let meta = alice.remote_meta();
    let object = meta["payload"]["object"].as_str().unwrap().to_owned();
    assert!(object.starts_with(&format!("db.sqlite.{}.", meta["db_hash"].as_str().unwrap())), "{object}");
    assert_eq!((&meta["format"], names(&world.remote())), (&json!(2), vec![object.clone(), "sync-meta.json".into()]));
    let stored = std::fs::read(world.remote().join(&object)).unwrap();
    assert!(stored.starts_with(b"SQLite format 3\0"), "not packed unless that is said");
    alice.write("Persuasion");
    let text = alice.ok(&["sync", "push"]);
    assert!(text.contains(ADDRESS), "{text}");
    let next = alice.remote_meta()["payload"]["object"].as_str().unwrap().to_owned();
    assert_ne!(next, object);
    assert_eq!(names(&world.remote()), [next, "sync-meta.json".into()]);
    bob.ok(&["sync", "pull"]);
    assert_eq!(bob.books(), ["Emma", "Persuasion"]);
}

#[test]
fn a_long_one_travels_in_parts_and_packed_as_is_said() {
    let world = world();
    let (alice, bob) = world.in_step();
    let parts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&parts);
    storage(&world).rule(move |method, path| {
        counted.fetch_add(u32::from(method == Method::PUT && path.contains("partNumber=")), Ordering::Relaxed);
        Fate::Answered
    });
    write_much(&alice);
    alice.ok(&["sync", "push"]);
    assert_eq!(parts.load(Ordering::Relaxed), 3);
    bob.ok(&["sync", "pull"]);
    assert_eq!(much(&bob), much(&alice));
    let bob = bob.at_storage(storage(&world), "compression = 'zstd'\nencryption = 'age'");
    bob.ok(&["sync", "push"]);
    let stored = names(&world.remote());
    assert!(stored.len() == 2 && stored[0].starts_with("db.sqlite.zst.age."), "{stored:?}");
    assert!(bob.remote_meta()["payload"]["check"].is_string(), "who pushes next can try the passphrase");
    alice.ok(&["sync", "pull"]);
    assert_eq!((much(&bob), alice.status()), (much(&alice), "equal".to_owned()));
}

#[test]
fn of_two_who_saw_the_same_the_second_is_told() {
    let world = world();
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    bob.write("Sanditon");
    let is_held = Arc::new(AtomicBool::new(false));
    let holding = Arc::clone(&is_held);
    storage(&world).rule(move |method, path| {
        let is_first =
            method == Method::PUT && path.contains("sync-meta.json") && !holding.swap(true, Ordering::AcqRel);
        if is_first { Fate::Held } else { Fate::Answered }
    });
    let mut pushing = alice.command(&["sync", "push"]);
    let pushing = pushing.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !is_held.load(Ordering::Acquire) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came to the decisive write");
        std::thread::sleep(Duration::from_millis(10));
    }
    bob.ok(&["sync", "push"]);
    let bobs = bob.remote_meta();
    storage(&world).release();
    let output = pushing.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(9), "{}", said(&output));
    assert!(said(&output).contains("by another machine meanwhile"), "{}", said(&output));
    assert_eq!((alice.remote_meta(), names(&world.remote()).len()), (bobs, 2));
    assert_eq!((alice.status(), bob.status()), ("diverged".to_owned(), "equal".to_owned()));
}

#[test]
fn an_answer_that_is_lost_is_found_out() {
    let world = world();
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    let mut left = 1;
    storage(&world).rule(move |method, path| {
        match method == Method::PUT && path.contains("sync-meta.json") && left > 0 {
            true => {
                left -= 1;
                Fate::AnswerLost
            }
            false => Fate::Answered,
        }
    });
    alice.ok(&["sync", "push"]);
    assert_eq!((alice.remote_meta()["generation"].as_u64(), names(&world.remote()).len()), (Some(2), 2));
    bob.ok(&["sync", "pull"]);
    assert_eq!(bob.books(), ["Emma", "Persuasion"]);
}

#[test]
fn a_storage_that_is_gone_after_the_decisive_write_is_asked_later() {
    let world = world();
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    let mut gone = false;
    storage(&world).rule(move |method, path| match gone {
        true => Fate::Lost,
        false => {
            gone = method == Method::PUT && path.contains("sync-meta.json");
            if gone { Fate::AnswerLost } else { Fate::Answered }
        }
    });
    alice.fails(&["sync", "push"], 4, "holds the old one or the new one");
    storage(&world).rule(|_, _| Fate::Answered);
    assert_eq!(alice.status(), "equal", "it had arrived");
    bob.ok(&["sync", "pull"]);
    assert_eq!(bob.books(), ["Emma", "Persuasion"]);
}

#[test]
fn a_storage_that_goes_in_the_middle_loses_nothing() {
    let world = world();
    let (alice, bob) = world.in_step();
    let before = (alice.remote_meta(), world.names());
    write_much(&alice);
    let goes_at = |world: &World, kind: Method, what: &'static str, nth: u32| {
        let mut seen = 0;
        storage(world).rule(move |method, path| {
            seen += u32::from(*method == kind && path.contains(what));
            if seen >= nth { Fate::Lost } else { Fate::Answered }
        });
    };
    goes_at(&world, Method::PUT, "partNumber=", 2);
    alice.fails(&["sync", "push"], 4, "can't be reached");
    storage(&world).rule(|_, _| Fate::Answered);
    assert_eq!(((alice.remote_meta(), world.names()), alice.status().as_str()), (before, "ahead"));
    alice.ok(&["sync", "push"]);
    goes_at(&world, Method::GET, "db.sqlite", 2);
    bob.fails(&["sync", "pull"], 4, "can't be reached");
    storage(&world).rule(|_, _| Fate::Answered);
    assert_eq!((bob.books(), bob.status()), (vec!["Emma".to_owned()], "behind".to_owned()));
    assert!(!names(&bob.home).iter().any(|name| name.contains("part")), "{:?}", names(&bob.home));
    bob.ok(&["sync", "pull"]);
    assert_eq!(much(&bob), much(&alice));
}

#[test]
fn a_hiccup_is_no_error() {
    let world = world();
    let (alice, bob) = world.in_step();
    write_much(&alice);
    let mut count = 0;
    storage(&world).rule(move |method, path| {
        count += 1;
        if count % 4 == 0 && method == Method::GET && path.contains("db.sqlite") { Fate::Lost } else { Fate::Answered }
    });
    alice.ok(&["sync", "push"]);
    bob.ok(&["sync", "pull"]);
    assert_eq!(much(&bob), much(&alice));
}

#[test]
fn what_a_dead_push_left_goes_after_a_day_and_what_is_not_ours_stays() {
    let world = world();
    let (alice, _) = world.in_step();
    let old = format!("db.sqlite.zst.{}.{}", "a".repeat(64), "b".repeat(16));
    let new = format!("db.sqlite.{}.{}", "c".repeat(64), "d".repeat(16));
    let probe = format!("sync-probe.{}", "e".repeat(16));
    let mine = ["db.sqlite.zst.mine", "sync-probe.txt", "letter.txt"];
    for name in [&old, &new, &probe].into_iter().map(String::as_str).chain(mine) {
        let path = world.remote().join(name);
        std::fs::write(&path, "x").unwrap();
        if name != new {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(25 * 3600)).unwrap();
        }
    }
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    let object = alice.remote_meta()["payload"]["object"].as_str().unwrap().to_owned();
    let mut expected: Vec<_> =
        mine.map(str::to_owned).into_iter().chain([new, object, "sync-meta.json".into()]).collect();
    expected.sort_unstable();
    assert_eq!(names(&world.remote()), expected);
}

#[test]
fn a_bucket_that_is_not_there_and_credentials_that_are_not_right_are_told() {
    let world = world();
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    let with = |name: &str, value: &str| alice.command(&["sync", "push"]).env(name, value).output().unwrap();
    for (name, value, code, why) in [
        ("AWS_SECRET_ACCESS_KEY", "wrong", 3, "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "mallory", 3, "refuses what these credentials ask for"),
    ] {
        let output = with(name, value);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(why) && !said(&output).contains('<'), "{}", said(&output));
    }
    let output =
        alice.command(&["sync", "push"]).env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").output();
    let output = output.unwrap();
    assert!(said(&output).contains("there are no credentials: set AWS_ACCESS_KEY_ID"), "{}", said(&output));
    assert_eq!((alice.remote_meta()["generation"].as_u64(), alice.status()), (Some(1), "ahead".to_owned()));
    storage(&world).remove_bucket();
    for machine in [&alice, &bob] {
        for words in [["sync", "push"], ["sync", "pull"], ["sync", "status"]] {
            machine.fails(&words, 1, "there is no bucket `shop-bucket`");
        }
    }
    let nowhere = bob.named(ADDRESS, "endpoint = 'http://127.0.0.1:1'\nallow_http = true");
    nowhere.fails(&["sync", "pull"], 4, "can't be reached");
    let plain = nowhere.named(ADDRESS, "endpoint = 'http://127.0.0.1:1'");
    plain.fails(&["sync", "pull"], 1, "allow_http = true");
}

#[test]
fn a_storage_that_knows_no_conditions_is_not_pushed_to() {
    let world = World::new(false);
    let storage = Storage::without_conditions(world.folder.path());
    let alice = world.machine("alice").at_storage(&storage, "");
    alice.write("Emma");
    let output = alice.command(&["sync", "push"]).env("AWS_SKIP_SIGNATURE", "true").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("does not know conditional writes"), "{}", said(&output));
    assert_eq!(names(&world.folder.path().join(crate::storage::PLACE)), [""; 0]);
}

#[test]
fn what_the_meta_names_and_is_not_right_is_refused() {
    let world = world();
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    let file = world.remote().join(alice.remote_meta()["payload"]["object"].as_str().unwrap());
    let whole = std::fs::read(&file).unwrap();
    let refuses = |why: &str| {
        bob.fails(&["sync", "pull", "--force"], 1, why);
        assert_eq!(bob.books(), ["Emma"]);
        assert!(!names(&bob.home).iter().any(|name| name.contains("part")), "{:?}", names(&bob.home));
    };
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    refuses("bytes instead of");
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &changed).unwrap();
    refuses("its hash is");
    std::fs::remove_file(&file).unwrap();
    refuses("there is no object");
    let meta = alice.remote_meta();
    alice.change_remote_meta(|meta| meta["payload"]["object"] = json!("../../db.sqlite"));
    refuses("can't be understood");
    std::fs::write(world.remote().join("sync-meta.json"), meta.to_string()).unwrap();
    std::fs::write(&file, &whole).unwrap();
    bob.ok(&["sync", "pull"]);
}

#[test]
fn a_remote_that_is_planned_is_refused_with_a_sentence() {
    let alice = World::new(false).machine("alice");
    for words in [["sync", "push"], ["sync", "pull"], ["sync", "status"], ["sync", "now"]] {
        alice.fails(&[&words[..], &["--remote", "ssh://host/shop"]].concat(), 1, "ssh remotes are not there yet");
    }
    assert!(!alice.home.exists());
}

#[test]
fn what_may_still_be_on_its_way_keeps_the_object_that_it_names() {
    let world = world();
    let (alice, _) = world.in_step();
    let before = alice.remote_meta();
    alice.write("Persuasion");
    storage(&world).rule(|method, path| {
        if method == Method::PUT && path.contains("sync-meta.json") { Fate::Lost } else { Fate::Answered }
    });
    alice.fails(&["sync", "push"], 4, "holds the old one or the new one");
    assert_eq!(
        (alice.remote_meta(), names(&world.remote()).len()),
        (before, 3),
        "the old object, the new one, the meta"
    );
    storage(&world).rule(|_, _| Fate::Answered);
    assert_eq!(alice.status(), "ahead");
    alice.ok(&["sync", "push"]);
    assert_eq!(alice.remote_meta()["generation"], 2);
}

#[test]
fn what_can_not_be_looked_at_again_is_not_named_and_goes() {
    let world = world();
    let (alice, _) = world.in_step();
    let before = (alice.remote_meta(), names(&world.remote()));
    alice.write("Persuasion");
    storage(&world).rule(|method, _| if method == Method::HEAD { Fate::Lost } else { Fate::Answered });
    alice.fails(&["sync", "push"], 4, "can't be reached");
    assert_eq!((alice.remote_meta(), names(&world.remote())), before);
}

#[test]
fn the_doctor_says_what_a_bucket_holds_and_when_it_is_out_of_reach() {
    let world = world();
    let (alice, _) = world.in_step();
    let finding = |machine: &Machine| {
        let report = machine.json(&["doctor", "--json"]);
        let checks = report["checks"].as_array().unwrap().clone();
        let check = checks.into_iter().find(|check| check["check"] == "remote shared").unwrap();
        (check["level"].as_str().unwrap().to_owned(), check["says"].as_str().unwrap().to_owned())
    };
    assert_eq!(finding(&alice), ("ok".to_owned(), format!("{ADDRESS} holds generation 1")));
    storage(&world).remove_bucket();
    let (level, says) = finding(&alice);
    assert!(level == "problem" && says.contains("there is no bucket"), "{level}: {says}");
    let (level, says) = finding(&alice.named(ADDRESS, "endpoint = 'http://127.0.0.1:1'\nallow_http = true"));
    assert!(level == "warning" && says.contains("can't be reached"), "{level}: {says}");
}

#[test]
fn a_storage_behind_tls_is_believed_where_its_authority_is() {
    let world = world();
    let (authority, other) = (world.folder.path().join("authority.pem"), world.folder.path().join("other.pem"));
    let upstream = storage(&world).endpoint.replace("http://", "");
    let relay = Relay::start(&upstream, "127.0.0.1", &authority);
    // Another authority of the same name.
    let _another = Relay::start("127.0.0.1:9", "127.0.0.1", &other);
    let keys = format!("endpoint = 'https://{}'", relay.address);
    let (alice, bob) = (world.machine("alice").named(ADDRESS, &keys), world.machine("bob").named(ADDRESS, &keys));
    alice.write("Emma");
    let run = |machine: &Machine, authority: &Path, words: &[&str]| {
        let output = machine.command(words).env("SSL_CERT_FILE", authority).output().unwrap();
        (output.status.code(), said(&output))
    };
    for words in [&["sync", "push"], &["sync", "status"]] {
        let (code, told) = run(&alice, &other, words);
        assert_eq!(code, Some(4), "{told}");
        assert!(told.contains("an authority that this machine does not trust"), "{told}");
    }
    assert!(!world.remote().exists(), "nothing was stored");
    for (machine, words) in [(&alice, &["sync", "push"]), (&bob, &["sync", "pull"])] {
        let (code, told) = run(machine, &authority, words);
        assert_eq!(code, Some(0), "{told}");
    }
    assert_eq!(bob.books(), ["Emma"]);
}
