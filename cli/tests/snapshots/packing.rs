//! Snapshots that are compressed or encrypted: what lies there, what opens it, and what is refused.

use std::io::Read as _;
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::fixture::{Kind, Machine, PASSPHRASE, World, each, names, said};

const PACKED: [Kind; 2] = [Kind::Compressed, Kind::Encrypted];

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the tools of the formats make of it.
fn opened(file: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(file).unwrap();
    if file.extension().unwrap() == "age" {
        let identity = age::scrypt::Identity::new(PASSPHRASE.into());
        bytes = age::decrypt(&identity, &bytes).unwrap();
    }
    zstd::decode_all(&*bytes).unwrap()
}

#[test]
fn what_is_stored_is_what_its_name_says_and_opens_with_the_formats_own_tools() {
    for kind in PACKED {
        let world = World::with(true, kind);
        let (alice, bob) = world.in_step();
        assert_eq!(names(&world.remote()), kind.names());
        let file = world.remote().join(kind.names()[0]);
        let (stored, meta) = (std::fs::read(&file).unwrap(), alice.remote_meta());
        let snapshot = opened(&file);
        assert!(snapshot.starts_with(b"SQLite format 3\0"));
        assert_eq!((&meta["db_hash"], &meta["db_bytes"]), (&json!(sum(&snapshot)), &json!(snapshot.len())));
        let payload = &meta["payload"];
        assert_eq!((&payload["hash"], &payload["bytes"]), (&json!(sum(&stored)), &json!(stored.len())));
        let packing = if kind == Kind::Encrypted { ("zstd", "age") } else { ("zstd", "none") };
        assert_eq!((&payload["compression"], &payload["encryption"]), (&json!(packing.0), &json!(packing.1)));
        assert_eq!(meta["format"], 2, "a program that can't unpack says so");
        assert!(stored.len() < snapshot.len() / 4, "{} of {}", stored.len(), snapshot.len());
        assert_eq!(bob.books(), ["Emma"]);
        for machine in [&alice, &bob] {
            assert!(!names(&machine.home).iter().any(|name| name.contains("packed")), "{:?}", names(&machine.home));
        }
    }
}

#[test]
fn switching_leaves_nothing_of_the_old_packing_behind() {
    each(|world| {
        let (alice, _) = world.in_step();
        let bob = world.machine("bob").configured("");
        let steps = [
            ("compression = 'zstd'", "db.sqlite.zst"),
            ("encryption = 'age'", "db.sqlite.zst.age"),
            ("compression = 'none'", "db.sqlite.age"),
            ("encryption = 'none'", "db.sqlite"),
        ];
        let mut alice = alice;
        for (number, (keys, name)) in steps.into_iter().enumerate() {
            alice = alice.configured(keys);
            alice.write(&format!("Volume {number}"));
            alice.ok(&["sync", "push"]);
            assert_eq!(names(&world.remote()), [name, "sync-meta.json"]);
            // Whatever it says here: the remote's meta tells how it is packed.
            bob.ok(&["sync", "pull"]);
            assert_eq!(bob.books().len(), number + 2);
        }
        let keys = alice.remote_meta();
        assert_eq!((&keys["format"], keys.get("payload")), (&json!(1), None), "as an older program knows it");
    });
}

#[test]
fn a_push_packs_anew_what_is_there_otherwise_than_the_configuration_says() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    let alice = alice.configured("encryption = 'age'");
    assert_eq!(alice.status(), "equal");
    alice.ok(&["sync", "push"]);
    assert_eq!(names(&world.remote()), ["db.sqlite.age", "sync-meta.json"]);
    assert!(alice.ok(&["sync", "push"]).contains("Nothing to push"));
    assert_eq!(alice.remote_meta()["generation"], 2);
    let bob = bob.configured("");
    bob.ok(&["sync", "pull"]);
    assert_eq!((bob.books(), bob.status()), (vec!["Emma".to_owned()], "equal".to_owned()));
}

#[test]
fn who_does_not_know_that_it_is_encrypted_does_not_open_it_to_everybody() {
    let world = World::with(true, Kind::Encrypted);
    let (alice, bob) = world.in_step();
    bob.write("Sanditon");
    let before = alice.remote_meta();
    let bob = Machine { config: None, ..bob };
    bob.fails(&["sync", "push"], 3, "GREENLIGHT_PASSPHRASE holds none");
    assert_eq!((bob.remote_meta(), names(&world.remote())), (before, world.kind.names().map(str::to_owned).to_vec()));
    bob.configured("").ok(&["sync", "push"]);
    assert_eq!(names(&world.remote()), world.kind.names());
    alice.ok(&["sync", "pull"]);
    assert_eq!(alice.books(), ["Emma", "Sanditon"]);
}

#[test]
fn without_the_right_passphrase_nothing_is_changed() {
    let world = World::with(true, Kind::Encrypted);
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    let before = std::fs::read(bob.db()).unwrap();
    let file = world.folder.path().join("phrase");
    let with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        format!("passphrase_file = '{}'", file.display())
    };
    let refuses = |bob: &Machine, why: &str| {
        bob.fails(&["sync", "pull"], 3, why);
        bob.fails(&["sync", "pull", "--force"], 3, why);
        assert_eq!((std::fs::read(bob.db()).unwrap() == before, bob.status().as_str()), (true, "behind"));
        assert!(!names(&bob.home).iter().any(|name| name.contains("part")), "{:?}", names(&bob.home));
    };
    let bob = Machine { config: None, ..bob };
    refuses(&bob, "GREENLIGHT_PASSPHRASE holds none");
    let bob = bob.configured(&with("wrong\n"));
    refuses(&bob, "does not open what is there");
    let bob = bob.configured(&with("\n"));
    refuses(&bob, "is empty");
    let bob = bob.configured("passphrase_file = 'nowhere'");
    refuses(&bob, "nowhere can't be read");
    // A file's name stands above the environment; its line's end is none of the passphrase.
    let bob = bob.configured(&with(&format!("{PASSPHRASE}\r\n")));
    let output = bob.command(&["sync", "pull"]).env("GREENLIGHT_PASSPHRASE", "wrong").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(bob.books(), ["Emma", "Persuasion"]);
    for machine in [&alice, &bob] {
        for file in ["logs/greenlight.log", "sync-meta.json"] {
            assert!(!std::fs::read_to_string(machine.home.join(file)).unwrap().contains(PASSPHRASE));
        }
    }
}

#[test]
fn a_push_with_another_passphrase_locks_nobody_out_unless_it_is_forced() {
    let world = World::with(true, Kind::Encrypted);
    let (alice, bob) = world.in_step();
    bob.write("Sanditon");
    let before = alice.remote_meta();
    let file = world.folder.path().join("phrase");
    let bob = bob.configured(&format!("passphrase_file = '{}'", file.display()));
    let refuses = |words: &[&str], why: &str| {
        bob.fails(words, 3, why);
        assert_eq!(bob.remote_meta(), before);
        assert!(!names(&bob.home).contains(&"db.sqlite.bak".to_owned()), "it was copied for nothing");
    };
    refuses(&["sync", "push"], "phrase can't be read");
    std::fs::write(&file, "corect horse battery staple").unwrap();
    refuses(&["sync", "push"], "does not open what is there");
    refuses(&["sync", "push", "--dry-run"], "does not open what is there");
    std::fs::write(&file, PASSPHRASE).unwrap();
    bob.ok(&["sync", "push"]);
    alice.ok(&["sync", "pull"]);
    assert_eq!(alice.books(), ["Emma", "Sanditon"]);
    std::fs::write(&file, "another one").unwrap();
    bob.write("Persuasion");
    bob.ok(&["sync", "push", "--force"]);
    alice.fails(&["sync", "pull"], 3, "does not open what is there");
}

#[test]
fn what_an_older_program_has_stored_is_pushed_over_unchecked() {
    let world = World::with(true, Kind::Encrypted);
    let (alice, _) = world.in_step();
    alice.change_remote_meta(|meta| drop(meta["payload"].as_object_mut().unwrap().remove("check").unwrap()));
    alice.write("Persuasion");
    let output = alice.command(&["sync", "push"]).env("GREENLIGHT_PASSPHRASE", "another one").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    alice.change_remote_meta(|meta| meta["payload"]["check"] = json!("no number"));
    alice.write("Sanditon");
    alice.fails(&["sync", "push"], 1, "can't be checked");
}

#[test]
fn what_was_encrypted_is_not_opened_by_a_meta_that_was_replaced_or_is_gone() {
    let world = World::with(true, Kind::Encrypted);
    let (alice, bob) = world.in_step();
    let file = world.remote().join("sync-meta.json");
    let before = std::fs::read(&file).unwrap();
    let (alice, bob) = (alice.configured(""), bob.configured("compression = 'none'"));
    for machine in [&alice, &bob] {
        machine.write("Sanditon");
        machine.change_remote_meta(|meta| {
            meta["format"] = json!(1);
            meta.as_object_mut().unwrap().remove("payload");
        });
        machine.fails(&["sync", "push"], 3, "was encrypted");
        assert!(!names(&world.remote()).contains(&"db.sqlite".to_owned()));
        machine.fails(&["sync", "push", "--force"], 3, "was encrypted");
        std::fs::remove_dir_all(world.remote()).unwrap();
        machine.fails(&["sync", "push"], 3, "is it mounted?");
        machine.fails(&["sync", "push", "--force"], 3, "was encrypted");
        machine.fails(&["sync", "push", "--force", "--dry-run"], 3, "was encrypted");
        assert!(!world.remote().exists());
        std::fs::create_dir(world.remote()).unwrap();
        std::fs::write(&file, &before).unwrap();
    }
    std::fs::remove_dir_all(world.remote()).unwrap();
    bob.configured("encryption = 'none'").ok(&["sync", "push", "--force"]);
    assert_eq!(names(&world.remote()), ["db.sqlite", "sync-meta.json"]);
}

#[test]
fn the_address_of_a_configured_remote_means_that_one() {
    let world = World::with(true, Kind::Encrypted);
    let alice = world.machine("alice");
    alice.write("Emma");
    alice.ok(&["sync", "push", "--dry-run"]);
    std::fs::create_dir(world.remote()).unwrap();
    for (number, way) in ["remote", "./remote/", "alice/../remote"].into_iter().enumerate() {
        let mut command = alice.command(&["sync", "push", "--force", "--remote", &format!("folder:{way}")]);
        let output = command.current_dir(world.folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(names(&world.remote()), world.kind.names());
        std::fs::remove_dir_all(world.remote()).unwrap();
        std::fs::create_dir(world.remote()).unwrap();
        alice.write(&format!("Volume {number}"));
    }
}

/// Puts other bytes there, with a meta that fits them.
fn plant(machine: &Machine, name: &str, stored: &[u8]) {
    std::fs::write(machine.remote.join(name), stored).unwrap();
    machine.change_remote_meta(|meta| {
        meta["payload"]["hash"] = json!(sum(stored));
        meta["payload"]["bytes"] = json!(stored.len());
        meta["generation"] = json!(meta["generation"].as_u64().unwrap() + 1);
    });
}

fn refuses(bob: &Machine, code: i32, why: &str) {
    let before = std::fs::read(bob.db()).unwrap();
    bob.fails(&["sync", "pull", "--force"], code, why);
    assert_eq!(std::fs::read(bob.db()).unwrap(), before);
    assert!(!names(&bob.home).iter().any(|name| name.contains("part")), "{:?}", names(&bob.home));
}

#[test]
fn what_is_cut_or_foreign_is_found_before_it_is_opened() {
    let world = World::with(true, Kind::Compressed);
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    let file = world.remote().join("db.sqlite.zst");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    refuses(&bob, 1, "bytes instead of");
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &changed).unwrap();
    refuses(&bob, 1, "its hash is");
    std::fs::remove_file(&file).unwrap();
    refuses(&bob, 1, "there is no db.sqlite.zst");
    std::fs::write(&file, &whole).unwrap();
    bob.ok(&["sync", "pull"]);
}

#[test]
fn what_unpacks_to_something_else_is_refused_at_the_limit() {
    let world = World::with(true, Kind::Compressed);
    let (alice, bob) = world.in_step();
    let plant = |stored: &[u8]| plant(&alice, "db.sqlite.zst", stored);
    plant(b"no compressed file");
    refuses(&bob, 1, "can't be unpacked");
    let snapshot = opened(&{
        let file = world.folder.path().join("good.zst");
        std::fs::write(&file, zstd::encode_all(&*std::fs::read(alice.home.join("db.sqlite")).unwrap(), 3).unwrap())
            .unwrap();
        file
    });
    plant(&zstd::encode_all(&snapshot[..snapshot.len() / 2], 3).unwrap());
    refuses(&bob, 1, "it unpacks to");
    let whole = zstd::encode_all(&*snapshot, 3).unwrap();
    plant(&whole[..whole.len() - 10]);
    refuses(&bob, 1, "can't be unpacked");
    // 256 MiB of nothing in some kilobytes, which a disk limit of 4 MiB shows not to be written.
    let bomb = zstd::encode_all(std::io::repeat(0).take(256 << 20), 3).unwrap();
    assert!(bomb.len() < 1 << 16);
    plant(&bomb);
    let mut shell = std::process::Command::new("bash");
    let command = bob.command(&[]);
    shell.args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""]).arg(command.get_program());
    shell.args(["sync", "pull", "--force"]).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().unwrap();
    assert!(said(&output).contains("it unpacks to more than"), "{}", said(&output));
    assert_eq!((output.status.code(), bob.books()), (Some(1), vec!["Emma".to_owned()]));
}

#[test]
fn a_passphrase_that_would_cost_too_much_is_refused() {
    let world = World::with(true, Kind::Encrypted);
    let (alice, bob) = world.in_step();
    let body = "A".repeat(43);
    let header = format!("age-encryption.org/v1\n-> scrypt {} 40\n{body}\n--- {body}\n", "A".repeat(22));
    plant(&alice, "db.sqlite.zst.age", &[header.as_bytes(), &[0; 64]].concat());
    refuses(&bob, 1, "can't be unpacked");
}
