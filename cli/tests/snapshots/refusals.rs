//! What is not done, and the sentence that says so.

use std::path::Path;

use greenlight_cli::sync::{FolderRemote, Meta, Replacement, SnapshotRemote as _, SyncError};
use serde_json::{Value, json};

use crate::fixture::{Kind, Machine, World, books, each, everywhere, names, said};

/// A refused pull leaves everything as it was.
fn refuses(bob: &Machine, words: &[&str], code: i32, why: &str) {
    let before = std::fs::read(bob.db()).unwrap();
    bob.fails(&[&["sync", "pull"], words].concat(), code, why);
    assert_eq!(std::fs::read(bob.db()).unwrap(), before);
    assert!(!names(&bob.home).iter().any(|name| name.contains("part")), "{:?}", names(&bob.home));
}

#[test]
fn a_remote_that_is_not_there_is_told_and_made_by_a_push() {
    each(|world| {
        let (alice, bob) = (world.machine("alice"), world.machine("bob"));
        bob.fails(&["sync", "pull"], 1, "there is no snapshot at");
        bob.fails(&["sync", "push"], 1, "there is no database");
        assert!(!world.remote().exists());
        alice.write("Emma");
        alice.ok(&["sync", "push"]);
        assert!(world.remote().join("db.sqlite").exists());
    });
}

#[test]
fn a_second_sync_fails_while_the_lock_is_held_and_a_stale_one_is_no_lock() {
    each(|world| {
        let (alice, _) = world.in_step();
        let lock = alice.home.join("sync.lock");
        let file = std::fs::File::options().write(true).open(&lock).unwrap();
        file.try_lock().unwrap();
        let text = json!({ "pid": 4242, "machine": "elsewhere", "since": "2026-01-02T03:04:05Z", "command": "greenlight sync pull" });
        std::fs::write(&lock, text.to_string()).unwrap();
        for words in [["sync", "push"], ["sync", "pull"]] {
            alice.fails(&words, 9, "process 4242 on elsewhere since 2026-01-02T03:04:05Z (`greenlight sync pull`)");
        }
        assert_eq!(alice.status(), "equal", "looking needs no lock");
        drop(file);
        alice.ok(&["sync", "push"]);
    });
}

#[test]
fn a_database_in_use_is_not_replaced_and_a_writer_is_waited_for_no_longer_than_the_limit() {
    each(|world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        let writer = rusqlite::Connection::open(alice.db()).unwrap();
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        alice.fails(&["sync", "push"], 9, "database busy; close");
        assert_eq!(alice.remote_meta()["generation"], 1);
        drop(writer);
        alice.ok(&["sync", "push"]);
        let reader = rusqlite::Connection::open(bob.db()).unwrap();
        reader.query_row("SELECT count(*) FROM book", [], |row| row.get::<_, i64>(0)).unwrap();
        bob.fails(&["sync", "pull"], 9, "database busy; close");
        assert_eq!(bob.books(), ["Emma"]);
        drop(reader);
        bob.ok(&["sync", "pull"]);
        assert_eq!(bob.books(), ["Emma", "Persuasion"]);
    });
}

#[test]
fn a_pull_that_finds_a_reader_leaves_what_was_kept_before() {
    use std::os::unix::fs::MetadataExt as _;
    let world = World::new(false);
    let (alice, bob) = world.in_step();
    alice.write("Lady Susan");
    alice.ok(&["sync", "push"]);
    bob.ok(&["sync", "pull"]);
    rusqlite::Connection::open(bob.db()).unwrap().execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    let kept = bob.home.join("db.sqlite.before-pull");
    std::fs::write(&kept, "precious").unwrap();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    let reader = rusqlite::Connection::open(bob.db()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM book", [], |row| row.get::<_, i64>(0)).unwrap();
    bob.fails(&["sync", "pull"], 9, "database busy; close");
    assert_eq!(std::fs::read(&kept).unwrap(), b"precious");
    assert_eq!(std::fs::metadata(bob.db()).unwrap().nlink(), 1, "no second name");
    drop(reader);
    bob.ok(&["sync", "pull"]);
    assert_eq!(books(&kept), ["Emma", "Lady Susan"]);
    assert!(!names(&bob.home).iter().any(|name| name.contains("older")), "{:?}", names(&bob.home));
}

#[test]
fn a_snapshot_that_is_cut_or_changed_is_refused() {
    each(|world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        alice.ok(&["sync", "push"]);
        let file = world.remote().join("db.sqlite");
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        refuses(&bob, &[], 1, "try again");
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        std::fs::write(&file, &changed).unwrap();
        refuses(&bob, &["--force"], 1, "its hash is");
        std::fs::remove_file(&file).unwrap();
        refuses(&bob, &[], 1, "there is no db.sqlite");
        std::fs::write(&file, &whole).unwrap();
        bob.ok(&["sync", "pull"]);
    });
}

/// Puts another file into the remote, with a meta that fits it.
fn plant(alice: &Machine, file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    use sha2::{Digest, Sha256};
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(alice.remote.join("db.sqlite"), &bytes).unwrap();
    alice.change_remote_meta(|meta| {
        meta["ancestors"] = json!(meta["db_hash"].as_str().unwrap()[..16]);
        meta["db_hash"] = json!(hash);
        meta["db_bytes"] = json!(bytes.len());
        meta["generation"] = json!(meta["generation"].as_u64().unwrap() + 1);
    });
}

#[test]
fn a_snapshot_that_is_damaged_is_refused_though_its_hash_is_right() {
    each(|world| {
        let (alice, bob) = world.in_step();
        let file = world.folder.path().join("damaged");
        let mut bytes = std::fs::read(world.remote().join("db.sqlite")).unwrap();
        for byte in &mut bytes[4_096..4_196] {
            *byte = 0xff;
        }
        std::fs::write(&file, &bytes).unwrap();
        plant(&alice, &file);
        refuses(&bob, &["--force"], 3, "damaged");
        std::fs::write(&file, "no database at all").unwrap();
        plant(&alice, &file);
        refuses(&bob, &["--force"], 3, "damaged");
    });
}

#[test]
fn another_project_or_another_lineage_needs_force() {
    each(|world| {
        let (alice, bob) = world.in_step();
        bob.fails(&["sync", "pull", "--project", "other"], 3, "holds project `default`");
        bob.fails(&["sync", "push", "--project", "other"], 3, "holds project `default`");
        assert_eq!(bob.run(&["sync", "status", "--project", "other"]).status.code(), Some(3));
        let carol = world.machine("carol");
        carol.write("Ulysses");
        carol.fails(&["sync", "push"], 8, "never exchanged");
        carol.fails(&["sync", "pull"], 8, "never exchanged");
        assert_eq!(alice.remote_meta()["generation"], 1);
        carol.ok(&["sync", "push", "--project", "other", "--force"]);
        alice.fails(&["sync", "pull"], 3, "holds project `other`");
        assert_eq!(alice.books(), ["Emma"]);
    });
}

#[test]
fn another_kind_of_database_needs_force() {
    let (plain, replicas) = (World::new(false), World::new(true));
    let (alice, _) = plain.in_step();
    let (bob, _) = replicas.in_step();
    // The same history, as far as the meta tells: only what is in the file shows it.
    let other = std::fs::read(alice.remote.join("db.sqlite")).unwrap();
    let file = replicas.folder.path().join("other");
    std::fs::write(&file, other).unwrap();
    plant(&bob, &file);
    refuses(&bob, &[], 3, "plain SQLite database");
}

#[test]
fn what_is_newer_than_the_program_or_the_app_is_refused() {
    each(|world| {
        let (alice, bob) = world.in_step();
        alice.change_remote_meta(|meta| meta["format"] = json!(3));
        for words in [&[][..], &["--force"]] {
            refuses(&bob, words, 3, "format 3");
        }
        alice.fails(&["sync", "push", "--force"], 3, "update greenlight");
        alice.change_remote_meta(|meta| meta["format"] = json!(1));
        alice.change_remote_meta(|meta| {
            meta["schema_version"] = json!(7);
            meta["generation"] = json!(2);
            meta["ancestors"] = json!(meta["db_hash"].as_str().unwrap()[..16]);
        });
        let schema = world.folder.path().join("shop.sql");
        std::fs::write(&schema, crate::fixture::SCHEMA).unwrap();
        refuses(&bob, &["--force", "--schema", schema.to_str().unwrap()], 3, "follows schema 7");
        bob.ok(&["sync", "pull"]);
    });
}

#[test]
fn a_meta_that_says_nonsense_is_told() {
    let world = World::new(false);
    let (alice, bob) = world.in_step();
    let meta = world.remote().join("sync-meta.json");
    for text in ["", "{", "{\"format\":1}", "[]"] {
        std::fs::write(&meta, text).unwrap();
        refuses(&bob, &["--force"], 1, "can't be understood");
        alice.fails(&["sync", "status"], 1, "can't be understood");
    }
    std::fs::remove_file(&meta).unwrap();
    alice.fails(&["sync", "push", "--force"], 1, "no sync-meta.json");
    assert!(world.remote().join("db.sqlite").exists());
}

/// Ends with this code before long and in little memory, and says this.
fn fails_soon(machine: &Machine, words: &[&str], why: &str) {
    let command = machine.command(&[]);
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", "ulimit -v 4194304; exec timeout 20 \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{words:?}: {}", said(&output));
    assert!(said(&output).contains(why), "{words:?}: {}", said(&output));
}

#[test]
fn what_is_no_file_is_neither_waited_for_nor_read_without_an_end() {
    let world = World::new(false);
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    let put_pipe = |name: &str| {
        let path = world.remote().join(name);
        std::fs::rename(&path, world.folder.path().join("aside")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    };
    let put_back = |path: &Path| std::fs::rename(world.folder.path().join("aside"), path).unwrap();
    let db = put_pipe("db.sqlite");
    fails_soon(&bob, &["sync", "pull"], "it is no file");
    put_back(&db);
    let meta = put_pipe("sync-meta.json");
    fails_soon(&bob, &["sync", "status"], "it is no file");
    fails_soon(&alice, &["sync", "push", "--force"], "it is no file");
    std::fs::remove_file(&meta).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &meta).unwrap();
    fails_soon(&bob, &["sync", "pull"], "it is no file");
    std::fs::remove_file(&meta).unwrap();
    std::fs::File::create(&meta).unwrap().set_len(1 << 40).unwrap();
    fails_soon(&bob, &["sync", "pull"], "it is longer than");
    put_back(&meta);
    let lock = world.remote().join("sync.lock");
    assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
    bob.ok(&["sync", "pull"]);
    bob.write("Sanditon");
    fails_soon(&bob, &["sync", "push"], "it is no file");
}

#[test]
fn a_meta_that_counts_too_far_or_writes_on_the_terminal_is_refused() {
    let world = World::new(false);
    let (alice, _) = world.in_step();
    alice.write("Persuasion");
    let before = alice.remote_meta();
    let long = "x".repeat(2000);
    for (key, value) in [
        ("generation", json!(u64::MAX)),
        ("generation", json!((1_u64 << 53) + 1)),
        ("machine", json!("host\u{1b}[2J")),
        ("machine", json!(long)),
        ("project", json!("notes\n")),
        ("last_synced_at", json!("\u{202e}now")),
    ] {
        alice.change_remote_meta(|meta| meta[key] = value);
        for words in [&["sync", "status"][..], &["sync", "push", "--force"], &["sync", "pull", "--force"]] {
            alice.fails(words, 1, &format!("its {}", if key == "generation" { "generation" } else { "`" }));
            assert!(!said(&alice.run(words)).contains(['\u{1b}', '\u{202e}']));
        }
        alice.change_remote_meta(|meta| meta.clone_from(&before));
    }
    // What nobody could read is not pushed either.
    let output = alice.command(&["sync", "push", "--force"]).env("GREENLIGHT_PROJECT", long).output().unwrap();
    assert!(said(&output).contains("its `project`"), "{}", said(&output));
    alice.change_remote_meta(|meta| meta["generation"] = json!(1_u64 << 53));
    alice.fails(&["sync", "push", "--force"], 1, "its generation");
    alice.change_remote_meta(|meta| meta.clone_from(&before));
    alice.ok(&["sync", "push"]);
}

#[test]
fn a_servers_database_and_a_foreign_cr_sqlite_are_not_copied() {
    let world = World::new(true);
    let alice = world.machine("alice");
    alice.write("Emma");
    alice.ok(&["sync", "push"]);
    let set = |sql: &str| rusqlite::Connection::open(alice.db()).unwrap().execute_batch(sql).unwrap();
    set("UPDATE greenlight_state SET value = 'server' WHERE key = 'role'");
    alice.fails(&["sync", "push", "--force"], 3, "greenlight-server backup");
    set("DROP TABLE greenlight_state");
    alice.fails(&["sync", "push", "--force"], 3, "does not look after");
    std::fs::copy(world.remote().join("db.sqlite"), alice.db()).unwrap();
    alice.fails(&["sync", "push", "--force"], 3, "it is a snapshot");
}

#[test]
fn two_machines_that_push_at_once_lose_nothing() {
    everywhere(|world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        bob.write("Sanditon");
        let children: Vec<_> =
            [&alice, &bob].map(|machine| machine.command(&["sync", "push"]).spawn().unwrap()).into_iter().collect();
        let codes: Vec<_> = children.into_iter().map(|mut child| child.wait().unwrap().code().unwrap()).collect();
        assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
        assert!(codes.iter().all(|code| [0, 8, 9].contains(code)), "{codes:?}");
        assert_eq!(alice.remote_meta()["generation"], 2);
        let (winner, loser) = if codes[0] == 0 { (&alice, &bob) } else { (&bob, &alice) };
        assert_eq!((winner.status().as_str(), loser.status().as_str()), ("equal", "diverged"));
        assert_eq!(world.names(), world.kind.names());
        let carol = world.machine("carol");
        carol.ok(&["sync", "pull"]);
        assert_eq!(carol.books(), winner.books());
    });
}

#[test]
fn another_machines_lock_in_the_folder_is_respected_and_told() {
    let world = World::new(false);
    let (alice, _) = world.in_step();
    alice.write("Persuasion");
    let text = json!({
        "pid": 7, "machine": "far\u{1b}[2J", "since": "2026-01-02T03:04:05Z", "command": "greenlight", "token": "1",
        "here": null, "lifetime": 120
    });
    let lock = world.remote().join("sync.lock");
    std::fs::write(&lock, text.to_string()).unwrap();
    let output = alice.run(&["sync", "push"]);
    assert_eq!(output.status.code(), Some(9));
    assert!(said(&output).contains("process 7 on far"), "{}", said(&output));
    assert!(!said(&output).contains('\u{1b}'));
    let file = std::fs::File::options().write(true).open(&lock).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3_600)).unwrap();
    alice.ok(&["sync", "push"]);
    assert!(!lock.exists());
}

#[test]
fn a_database_that_was_put_back_is_not_pushed_over_what_is_newer() {
    let world = World::new(true);
    let (alice, _) = world.in_step();
    let old = std::fs::read(alice.db()).unwrap();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    std::fs::write(alice.db(), old).unwrap();
    alice.write("Sanditon");
    alice.fails(&["sync", "push"], 8, "does not come from what was exchanged last");
    assert_eq!(alice.remote_meta()["generation"], 2);
}

#[test]
fn a_memory_of_another_database_says_nothing_of_this_one() {
    let world = World::new(false);
    let (alice, _) = world.in_step();
    let other = world.machine("other");
    other.write("Ulysses");
    let meta = alice.home.join("sync-meta.json");
    let words = ["sync", "push", "--sync-meta", meta.to_str().unwrap()];
    other.fails(&words, 8, "never exchanged");
    assert_eq!(alice.remote_meta()["generation"], 1);
}

#[test]
fn a_damaged_database_is_not_pushed_and_a_pull_helps_once_it_is_moved_away() {
    each(|world| {
        let (alice, _) = world.in_step();
        std::fs::write(alice.db(), "no database any more").unwrap();
        for words in [&["sync", "status"][..], &["sync", "push", "--force"], &["sync", "pull", "--force"]] {
            alice.fails(words, 1, "Move it away");
        }
        assert_eq!(std::fs::read(alice.db()).unwrap(), b"no database any more");
        std::fs::rename(alice.db(), alice.home.join("damaged")).unwrap();
        alice.ok(&["sync", "pull"]);
        assert_eq!(alice.books(), ["Emma"]);
    });
}

#[test]
fn what_was_not_seen_is_not_replaced() {
    let world = World::new(false);
    let (alice, _) = world.in_step();
    let seen: Meta = serde_json::from_value(alice.remote_meta()).unwrap();
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    let before = (alice.remote_meta(), std::fs::read(world.remote().join("db.sqlite")).unwrap());
    let remote = FolderRemote::new(&world.remote());
    let next = Meta { generation: 9, ..seen.clone() };
    for seen in [None, Some(&seen)] {
        let raced =
            remote.replace(&Replacement { seen, keeps: true, file: &alice.db(), meta: &next }, &mut |_, _, _| {});
        assert!(matches!(raced, Err(SyncError::Raced(_))), "{raced:?}");
    }
    assert_eq!((alice.remote_meta(), std::fs::read(world.remote().join("db.sqlite")).unwrap()), before);
    assert_eq!(names(&world.remote()), ["db.sqlite", "sync-meta.json"]);
}

#[test]
fn a_status_says_that_a_snapshot_is_missing_or_cut_and_a_push_puts_it_there_anew() {
    for kind in [Kind::Folder, Kind::Compressed, Kind::Bucket] {
        let world = World::with(false, kind);
        let (alice, bob) = world.in_step();
        for is_missing in [false, true] {
            assert_eq!(bob.json(&["sync", "status", "--json"])["unfinished"], Value::Null);
            let object = bob.remote_meta()["payload"]["object"].as_str().map(str::to_owned);
            let file = world.remote().join(object.as_deref().unwrap_or(kind.names()[0]));
            let whole = std::fs::read(&file).unwrap();
            let why = if is_missing {
                std::fs::remove_file(&file).unwrap();
                "there is no ".to_owned()
            } else {
                std::fs::write(&file, &whole[1..]).unwrap();
                format!("it has {} bytes instead of {}", whole.len() - 1, whole.len())
            };
            let status = bob.json(&["sync", "status", "--json"]);
            assert_eq!(status["status"], "equal");
            assert!(status["unfinished"].as_str().unwrap().contains(&why), "{kind:?}: {status}");
            bob.fails(&["sync", "status"], 1, &why);
            // The doctor looks at those that are configured.
            if bob.config.is_some() {
                bob.fails(&["doctor"], 1, &why);
            }
            bob.ok(&["sync", "push"]);
            bob.ok(&["sync", "status"]);
            alice.ok(&["sync", "pull"]);
            assert_eq!((alice.books(), alice.status().as_str()), (vec!["Emma".to_owned()], "equal"));
        }
    }
}

#[test]
fn what_a_medium_made_of_a_snapshot_is_found_before_it_counts() {
    let world = World::new(false);
    let (alice, _) = world.in_step();
    let seen: Meta = serde_json::from_value(alice.remote_meta()).unwrap();
    let whole = std::fs::read(world.remote().join("db.sqlite")).unwrap();
    let (file, remote) = (world.folder.path().join("next"), FolderRemote::new(&world.remote()));
    std::fs::write(&file, &whole).unwrap();
    let next = Meta { generation: 2, ..seen.clone() };
    let part = world.remote().join(format!("db.sqlite.{}.part", next.db_hash));
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&flipped[..], &whole[1..], &[&whole[..], &[0]].concat()] {
        let order = Replacement { seen: Some(&seen), keeps: false, file: &file, meta: &next };
        let replaced = remote.replace(&order, &mut |_, done, of| {
            if done == of {
                std::fs::write(&part, damaged).unwrap();
            }
        });
        assert!(matches!(&replaced, Err(SyncError::Unfinished { why, .. }) if why.contains("reads otherwise")));
        assert_eq!(
            (&alice.remote_meta()["generation"], &world.names()[..]),
            (&json!(1), &world.kind.names().map(str::to_owned)[..])
        );
    }
    let order = Replacement { seen: Some(&seen), keeps: false, file: &file, meta: &next };
    remote.replace(&order, &mut |_, _, _| {}).unwrap();
    assert_eq!(alice.remote_meta()["generation"], 2);
}
