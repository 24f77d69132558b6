//! What a push by force replaces is kept in the remote, and is a remote itself.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::Command;

use greenlight_cli::crash::VARIABLE;
use serde_json::{Value, json};

use crate::fixture::{Kind, Machine, World, books, each, everywhere, names, said};

/// As many as a remote keeps.
const KEPT: usize = 8;

/// A machine whose remote is what another one keeps.
pub(crate) fn at(world: &World, name: &str, kept: &str) -> Machine {
    let machine = world.machine(name);
    match &world.storage {
        Some(storage) => {
            let keys = format!("endpoint = '{}'\nallow_http = true", storage.endpoint);
            machine.named(kept, &keys)
        }
        None => {
            let machine = Machine { remote: PathBuf::from(kept), ..machine };
            if machine.config.is_some() { machine.configured("") } else { machine }
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Both have written, and Bob's is there by force. Gives where Alice's is kept.
fn forced(alice: &Machine, bob: &Machine) -> String {
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    bob.write("Sanditon");
    let result = bob.json(&["sync", "push", "--force", "--json"]);
    assert_eq!((&result["forced"], &result["before"]), (&json!(true), &json!("diverged")));
    text(&result["kept"])
}

#[test]
fn what_a_push_by_force_replaces_can_be_pulled() {
    everywhere(|world| {
        let (alice, bob) = world.in_step();
        let kept = forced(&alice, &bob);
        assert_eq!(kept, format!("{}/before-push.1", world.shown()));
        let expected = [&["before-push.1"][..], &world.kind.names()].concat();
        assert_eq!(world.names(), expected);
        assert_eq!(names(&world.remote().join("before-push.1")).len(), 2);
        let carol = at(&world, "carol", &kept);
        carol.ok(&["sync", "pull"]);
        assert_eq!(carol.books(), ["Emma", "Persuasion"]);
        // Those who come after neither see it nor change it.
        let before = std::fs::read(world.remote().join("before-push.1/sync-meta.json")).unwrap();
        bob.write("Lady Susan");
        let result = bob.json(&["sync", "push", "--json"]);
        assert_eq!((&result["forced"], &result["kept"]), (&json!(false), &Value::Null));
        alice.ok(&["sync", "pull", "--force"]);
        assert_eq!(alice.books(), ["Emma", "Lady Susan", "Sanditon"]);
        assert_eq!(world.names(), expected);
        assert_eq!(std::fs::read(world.remote().join("before-push.1/sync-meta.json")).unwrap(), before);
        let dave = at(&world, "dave", &kept);
        dave.ok(&["sync", "pull"]);
        assert_eq!(dave.books(), ["Emma", "Persuasion"]);
    });
}

#[test]
fn who_regrets_a_push_by_force_has_what_both_had() {
    each(|world| {
        let (alice, bob) = world.in_step();
        let kept = forced(&alice, &bob);
        let of_kept = Machine { remote: PathBuf::from(&kept), ..bob.clone() };
        if world.replicas {
            of_kept.ok(&["sync", "pull", "--merge"]);
            assert_eq!(bob.books(), ["Emma", "Persuasion", "Sanditon"]);
            bob.ok(&["sync", "pull", "--merge"]);
            assert_eq!(bob.json(&["sync", "push", "--json"])["kept"], Value::Null);
            alice.ok(&["sync", "pull", "--merge"]);
            assert_eq!(alice.books(), ["Emma", "Persuasion", "Sanditon"]);
        } else {
            of_kept.ok(&["sync", "pull", "--force"]);
            assert_eq!(books(&bob.home.join("db.sqlite.before-pull")), ["Emma", "Sanditon"]);
            let result = bob.json(&["sync", "push", "--force", "--json"]);
            assert!(text(&result["kept"]).ends_with("before-push.2"), "{result}");
            assert_eq!(bob.books(), ["Emma", "Persuasion"]);
        }
    });
}

#[test]
fn a_dry_run_says_where_it_would_be_and_keeps_nothing() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    let result = bob.json(&["sync", "push", "--force", "--dry-run", "--json"]);
    let place = world.remote().join("before-push.1");
    assert_eq!((&result["before"], &result["kept"]), (&json!("behind"), &json!(place)));
    let told = bob.ok(&["sync", "push", "--force", "--dry-run"]);
    assert!(told.contains(&format!("would be kept at {}", place.display())), "{told}");
    assert_eq!(world.names(), world.kind.names());
    let told = bob.ok(&["sync", "push", "--force"]);
    assert!(told.contains(&format!("kept  {}", place.display())), "{told}");
    assert_eq!(books(&place.join("db.sqlite")), ["Emma", "Persuasion"]);
    let told = bob.configured("").ok(&["doctor"]);
    assert!(told.contains("holds generation 3; what pushes by force replaced is kept in before-push.1"), "{told}");
}

#[test]
fn another_projects_snapshot_is_kept_too() {
    each(|world| {
        let (alice, _) = world.in_step();
        let carol = world.machine("carol");
        carol.write("Ulysses");
        let mut histories = vec![alice.remote_meta()["history"].clone()];
        let mut begins_anew = || {
            let meta = alice.remote_meta();
            assert!(!histories.contains(&meta["history"]) && meta.get("ancestors").is_none(), "{meta}");
            histories.push(meta["history"].clone());
        };
        let result = carol.json(&["sync", "push", "--force", "--project", "novels", "--json"]);
        assert_eq!(result["kept"], json!(world.remote().join("before-push.1")));
        begins_anew();
        let of_kept = Machine { remote: PathBuf::from(text(&result["kept"])), ..alice.clone() };
        // Another one's too that this side comes from: what it was is said there alone.
        let result = carol.json(&["sync", "push", "--force", "--project", "letters", "--json"]);
        assert_eq!(
            (&result["before"], &result["kept"]),
            (&json!("equal"), &json!(world.remote().join("before-push.2")))
        );
        begins_anew();
        assert_eq!(
            (alice.json(&["sync", "status", "--json"])["foreign"].clone(), of_kept.status()),
            (json!(true), "equal".into())
        );
    });
}

/// Everything below a folder, by name.
pub(crate) fn contents(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for name in names(folder) {
        let path = folder.join(&name);
        match path.is_dir() {
            true => all.extend(contents(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes))),
            false => all.push((name, std::fs::read(path).unwrap())),
        }
    }
    all.retain(|(name, _)| !name.contains("sync-probe."));
    all
}

#[test]
fn more_than_so_many_are_not_kept_and_none_is_removed_unasked() {
    for kind in [Kind::Folder, Kind::Bucket] {
        let world = World::with(false, kind);
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        bob.write("Sanditon");
        alice.ok(&["sync", "push"]);
        // Each overwrites the other's, in turn.
        for turn in 0..KEPT {
            let who = if turn % 2 == 0 { &bob } else { &alice };
            let result = who.json(&["sync", "push", "--force", "--json"]);
            assert!(text(&result["kept"]).ends_with(&format!("before-push.{}", turn + 1)), "{result}");
        }
        // The clock that a meta tells counts in seconds; so that one is the oldest, it gets a time of its own.
        let third = world.remote().join("before-push.3/sync-meta.json");
        let mut meta: Value = serde_json::from_slice(&std::fs::read(&third).unwrap()).unwrap();
        meta["last_synced_at"] = json!("2020-01-01T00:00:00Z");
        std::fs::write(&third, meta.to_string()).unwrap();
        let before = contents(&world.remote());
        for words in [&["sync", "push", "--force"][..], &["sync", "push", "--force", "--dry-run"]] {
            bob.fails(words, 3, "keeps 8 snapshots that pushes by force have replaced");
            bob.fails(words, 3, "`before-push.3` is the oldest");
        }
        assert_eq!(contents(&world.remote()), before);
        // Who does not need it goes on.
        alice.write("Lady Susan");
        alice.ok(&["sync", "push"]);
        std::fs::remove_dir_all(third.parent().unwrap()).unwrap();
        let result = bob.json(&["sync", "push", "--force", "--json"]);
        let kept = text(&result["kept"]);
        assert!(kept.ends_with("before-push.3"), "{result}");
        let carol = at(&world, "carol", &kept);
        carol.ok(&["sync", "pull"]);
        assert_eq!(carol.books(), ["Emma", "Lady Susan", "Persuasion"]);
    }
}

#[test]
fn where_the_snapshot_is_missing_there_is_nothing_to_keep_and_what_is_left_of_one_is_kept() {
    each(|world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        let stored = world.remote().join("db.sqlite");
        let whole = std::fs::read(&stored).unwrap();
        std::fs::remove_file(&stored).unwrap();
        let result = bob.json(&["sync", "push", "--force", "--json"]);
        assert_eq!((&result["changed"], &result["kept"]), (&json!(true), &Value::Null));
        assert_eq!(world.names(), world.kind.names());
        // Half of one may be all that there is.
        alice.write("Lady Susan");
        std::fs::write(&stored, &whole[..whole.len() / 2]).unwrap();
        let result = alice.json(&["sync", "push", "--force", "--json"]);
        let kept = world.remote().join("before-push.1");
        assert_eq!(result["kept"], json!(kept));
        assert_eq!(std::fs::read(kept.join("db.sqlite")).unwrap(), &whole[..whole.len() / 2]);
        bob.ok(&["sync", "pull", "--force"]);
        assert_eq!(bob.books(), ["Emma", "Lady Susan", "Persuasion"]);
    });
}

#[test]
fn what_is_kept_already_is_believed_only_where_it_is_what_its_meta_says() {
    for kind in [Kind::Folder, Kind::Compressed, Kind::Bucket] {
        let world = World::with(true, kind);
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        bob.write("Sanditon");
        let output = bob.command(&["sync", "push", "--force"]).env(VARIABLE, "remote-kept:1").output().unwrap();
        assert!(output.status.code().is_none(), "it was not passed: {}", said(&output));
        // Bob's push died. What it kept is one file with what is there, and something writes into that; in a bucket
        // somebody removes half of what is kept.
        let kept = world.remote().join("before-push.1");
        let object = names(&kept).into_iter().find(|name| name.starts_with("db.sqlite")).unwrap();
        if kind == Kind::Bucket {
            std::fs::remove_file(kept.join(&object)).unwrap();
        } else {
            let stored = world.remote().join(&object);
            let whole = std::fs::read(&stored).unwrap();
            let mut file = std::fs::File::options().write(true).open(&stored).unwrap();
            file.write_all(&vec![7; whole.len()]).unwrap();
            // And whoever has the good one puts that back, as a file of its own.
            std::fs::remove_file(&stored).unwrap();
            std::fs::write(&stored, whole).unwrap();
        }
        let planned = bob.json(&["sync", "push", "--force", "--dry-run", "--json"]);
        let result = bob.json(&["sync", "push", "--force", "--json"]);
        assert_eq!(result["kept"], planned["kept"]);
        assert_eq!(text(&result["kept"]), format!("{}/before-push.2", world.shown()));
        let carol = at(&world, "carol", &text(&result["kept"]));
        carol.ok(&["sync", "pull"]);
        assert_eq!(carol.books(), ["Emma", "Persuasion"], "{kind:?}");
    }
}

#[test]
fn what_a_push_left_that_died_is_removed_by_the_next() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    let rests = [".sync-meta.json.part", "before-push.part", "sync.lock.0123456789abcdef"];
    let put = || {
        std::fs::write(world.remote().join(rests[0]), "{").unwrap();
        std::fs::create_dir(world.remote().join(rests[1])).unwrap();
        std::fs::write(world.remote().join(rests[1]).join("db.sqlite"), "half").unwrap();
        let lock = std::fs::File::create(world.remote().join(rests[2])).unwrap();
        lock.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(300)).unwrap();
    };
    put();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    assert_eq!(world.names(), world.kind.names());
    put();
    bob.ok(&["sync", "push", "--force"]);
    assert_eq!(world.names(), [&["before-push.1"][..], &world.kind.names()].concat());
    assert_eq!(books(&world.remote().join("before-push.1/db.sqlite")), ["Emma", "Persuasion"]);
}

#[test]
fn what_has_such_a_name_already_stays() {
    each(|world| {
        let (alice, bob) = world.in_step();
        std::fs::write(world.remote().join("before-push.1"), "mine").unwrap();
        std::fs::create_dir(world.remote().join("before-push.2")).unwrap();
        let kept = forced(&alice, &bob);
        assert_eq!(kept, world.remote().join("before-push.3").display().to_string());
        assert_eq!(std::fs::read(world.remote().join("before-push.1")).unwrap(), b"mine");
        assert_eq!(names(&world.remote().join("before-push.2")), [""; 0]);
        assert_eq!(books(&PathBuf::from(kept).join("db.sqlite")), ["Emma", "Persuasion"]);
    });
}

#[test]
fn what_can_have_no_second_name_is_copied() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    let stored = world.remote().join("db.sqlite");
    std::fs::set_permissions(&stored, std::fs::Permissions::from_mode(0o640)).unwrap();
    // On a file system of its own: no second name leads there.
    let inner = bob.command(&[]);
    let mut unshare = Command::new("unshare");
    let script = "mount --bind remote/db.sqlite remote/db.sqlite && exec \"$0\" sync push --force";
    unshare.args(["--map-root-user", "--mount", "bash", "-c", script]).arg(inner.get_program());
    unshare.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(world.folder.path());
    let output = unshare.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let kept = world.remote().join("before-push.1/db.sqlite");
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!((kept.metadata().unwrap().nlink(), stored.metadata().unwrap().nlink()), (1, 1));
    assert_eq!(books(&kept), ["Emma", "Persuasion"]);
    // Who pushes next finishes what could not be done there.
    bob.write("Sanditon");
    bob.ok(&["sync", "push"]);
    alice.ok(&["sync", "pull", "--force"]);
    assert_eq!(alice.books(), ["Emma", "Sanditon"]);
}

#[test]
fn what_a_storage_can_not_copy_is_not_replaced() {
    let world = World::with(false, Kind::Bucket);
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    alice.change_remote_meta(|meta| meta["payload"]["bytes"] = json!(6_u64 << 30));
    let before = contents(&world.remote());
    bob.fails(&["sync", "push", "--force"], 1, "could not keep it");
    assert_eq!(contents(&world.remote()), before);
}
