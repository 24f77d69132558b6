//! What push, pull and status do when nothing goes wrong but people.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fixture::{World, books, each, everywhere, names, said};

/// A push that finds a database busy is tried so often.
const TRIES: u32 = 20;

/// Ends a thread that looks at it, also where the test has failed.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn a_push_and_a_pull_carry_everything() {
    let world = World::new(false);
    let (alice, bob) = (world.machine("alice"), world.machine("bob"));
    alice.write("Emma");
    let sql = "INSERT INTO book VALUES ('x', 'Gone', '2030-01-01T00:00:00Z', '2026-01-01T00:00:00Z')";
    alice.plain().execute(sql, []).unwrap();
    let text = alice.ok(&["sync", "push"]);
    let hash = alice.remote_meta()["db_hash"].as_str().unwrap().to_owned();
    for part in [alice.db().to_str().unwrap(), world.remote().to_str().unwrap(), "generation 1", &hash[..12]] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(names(&world.remote()), ["db.sqlite", "sync-meta.json"]);
    let snapshot = std::fs::read(world.remote().join("db.sqlite")).unwrap();
    let sum: String = Sha256::digest(&snapshot).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sum, hash);
    assert_eq!(alice.remote_meta()["db_bytes"], snapshot.len());
    assert_eq!(books(&alice.home.join("db.sqlite.bak")), alice.books());

    bob.ok(&["sync", "pull"]);
    assert_eq!(bob.books(), ["Emma", "Gone"]);
    let row: (String, String) = bob
        .plain()
        .query_row("SELECT expires_at, deleted_at FROM book WHERE isbn = 'x'", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(row, ("2030-01-01T00:00:00Z".into(), "2026-01-01T00:00:00Z".into()));

    bob.write("Persuasion");
    bob.ok(&["sync", "push"]);
    assert_eq!(alice.remote_meta()["generation"], 2);
    assert_ne!(alice.remote_meta()["db_hash"], hash);
    let text = alice.ok(&["sync", "pull"]);
    assert!(text.contains("db.sqlite.before-pull"), "{text}");
    assert_eq!(alice.books().len(), 3);
    assert_eq!(books(&alice.home.join("db.sqlite.before-pull")), ["Emma", "Gone"]);
    alice.ok(&["sync", "status"]);
    let log = std::fs::read_to_string(alice.home.join("logs/greenlight.log")).unwrap();
    let spans = [("push", "empty"), ("pull", "behind"), ("status", "equal")];
    for (action, scenario) in spans {
        let told = log.lines().find(|line| {
            line.contains(&format!("cli.sync.{action}")) && line.contains(&format!("\"scenario\":\"{scenario}\""))
        });
        let told = told.unwrap_or_else(|| panic!("{action}: {log}"));
        assert!(told.contains("\"project\":\"default\"") && told.contains("\"remote\":\""), "{told}");
    }
}

#[test]
fn the_status_tells_who_has_moved() {
    everywhere(|world| {
        let (alice, bob) = (world.machine("alice"), world.machine("bob"));
        assert_eq!((alice.status(), alice.run(&["sync", "status"]).status.code()), ("empty".into(), Some(0)));
        alice.write("Emma");
        assert_eq!((alice.status(), alice.run(&["sync", "status"]).status.code()), ("empty".into(), Some(7)));
        alice.ok(&["sync", "push"]);
        assert_eq!((alice.status(), alice.run(&["sync", "status"]).status.code()), ("equal".into(), Some(0)));
        assert_eq!((bob.status(), bob.run(&["sync", "status"]).status.code()), ("behind".into(), Some(6)));
        bob.ok(&["sync", "pull"]);
        assert_eq!(bob.status(), "equal");
        alice.write("Persuasion");
        assert_eq!((alice.status(), alice.run(&["sync", "status"]).status.code()), ("ahead".into(), Some(7)));
        alice.ok(&["sync", "push"]);
        assert_eq!((alice.status().as_str(), bob.status().as_str()), ("equal", "behind"));
        bob.write("Sanditon");
        assert_eq!((bob.status(), bob.run(&["sync", "status"]).status.code()), ("diverged".into(), Some(8)));
        let text = crate::fixture::said(&bob.run(&["sync", "status"]));
        for part in ["Diverged", "generation 2", "generation 1", &world.shown()] {
            assert!(text.contains(part), "{part}: {text}");
        }
    });
}

#[test]
fn a_checkpoint_or_a_vacuum_is_no_movement() {
    everywhere(|world| {
        let (alice, _) = world.in_step();
        let conn = rusqlite::Connection::open(alice.db()).unwrap();
        conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_checkpoint(TRUNCATE); VACUUM").unwrap();
        drop(conn);
        assert_eq!(alice.status(), "equal");
        let again = alice.ok(&["sync", "push"]);
        assert!(again.contains("Nothing to push"), "{again}");
        assert_eq!(alice.remote_meta()["generation"], 1);
        assert!(alice.ok(&["sync", "pull"]).contains("Nothing to pull"));
    });
}

#[test]
fn a_divergence_stops_until_it_is_forced() {
    everywhere(|world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        bob.write("Sanditon");
        alice.ok(&["sync", "push"]);
        let meta = alice.remote_meta();
        bob.fails(&["sync", "push"], 8, "have diverged");
        bob.fails(&["sync", "pull"], 8, "--force");
        assert_eq!((bob.books(), bob.remote_meta()), (vec!["Emma".to_owned(), "Sanditon".to_owned()], meta));

        bob.ok(&["sync", "push", "--force"]);
        assert_eq!((bob.remote_meta()["generation"].as_u64(), bob.status().as_str()), (Some(3), "equal"));
        // Nothing new was written by her, and what is there does not hold what she pushed.
        assert_eq!(alice.status(), "diverged");
        alice.write("Emma 2");
        alice.fails(&["sync", "pull"], 8, "have diverged");
        let result = alice.json(&["sync", "pull", "--force", "--json"]);
        assert_eq!((&result["forced"], &result["changed"]), (&json!(true), &json!(true)));
        assert_eq!(alice.books(), ["Emma", "Sanditon"]);
        assert_eq!(books(&alice.home.join("db.sqlite.before-pull")), ["Emma", "Emma 2", "Persuasion"]);
        assert_eq!(alice.status(), "equal");
    });
}

#[test]
fn who_is_behind_does_not_push_and_who_is_ahead_does_not_lose() {
    everywhere(|world| {
        let (alice, bob) = world.in_step();
        alice.write("Persuasion");
        let text = alice.ok(&["sync", "pull"]);
        assert!(text.contains("Push them"), "{text}");
        assert_eq!(alice.books(), ["Emma", "Persuasion"]);
        alice.ok(&["sync", "push"]);
        bob.fails(&["sync", "push"], 6, "pull first");
        assert_eq!(bob.remote_meta()["generation"], 2);
    });
}

#[test]
fn a_dry_run_changes_nothing() {
    everywhere(|world| {
        let (alice, bob) = (world.machine("alice"), world.machine("bob"));
        alice.write("Emma");
        let tried = alice.json(&["sync", "push", "--dry-run", "--json"]);
        assert_eq!(
            (&tried["changed"], &tried["dry_run"], &tried["generation"]),
            (&json!(true), &json!(true), &json!(1))
        );
        assert!(!world.remote().exists());
        alice.ok(&["sync", "push"]);
        assert!(bob.ok(&["sync", "pull", "--dry-run"]).contains("Nothing was changed"));
        assert!(!bob.db().exists());
        alice.write("Persuasion");
        let tried = alice.ok(&["sync", "pull", "--force", "--dry-run"]);
        assert!(tried.contains("give up what is here") && tried.contains("Nothing was changed"), "{tried}");
        assert_eq!(alice.books(), ["Emma", "Persuasion"]);
    });
}

#[test]
fn json_has_the_documented_shape() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    let keys = |value: &Value| {
        let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort_unstable();
        keys.join(" ")
    };
    let status = bob.json(&["sync", "status", "--json"]);
    let shape = "diverged foreign local local_path mergeable project remote remote_path status unfinished why";
    assert_eq!(keys(&status), shape);
    assert_eq!(keys(&status["local"]), "db_bytes db_hash generation last_synced_at machine schema_version");
    let meta = "db_bytes db_hash format generation history last_synced_at machine project schema_name schema_version";
    assert_eq!(keys(&status["remote"]), meta);
    assert_eq!(keys(&alice.remote_meta()), meta);
    alice.write("Persuasion");
    let result = "action backup before changed db_bytes db_hash dry_run forced generation kept last_synced_at local_path \
                  machine merged remote_path unpushed";
    let push = alice.json(&["sync", "push", "--json"]);
    assert_eq!((keys(&push), &push["action"], &push["generation"]), (result.to_owned(), &json!("push"), &json!(2)));
    let pull = bob.json(&["sync", "pull", "--json"]);
    assert_eq!((keys(&pull), &pull["action"], &pull["before"]), (result.to_owned(), &json!("pull"), &json!("behind")));
    assert_eq!(pull["db_hash"], push["db_hash"]);
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md")).unwrap();
    for key in meta.split(' ').chain(result.split(' ')) {
        assert!(docs.contains(&format!("\"{key}\"")), "docs/cli.md does not name {key}");
    }
}

#[test]
fn the_log_is_folded_in_by_a_push_beside_a_reader() {
    each(|world| {
        let alice = world.machine("alice");
        alice.write("Emma");
        // Somebody has it open, so the log stays when others close it.
        let idle = rusqlite::Connection::open(alice.db()).unwrap();
        idle.query_row("SELECT count(*) FROM book", [], |row| row.get::<_, i64>(0)).unwrap();
        alice.write("Persuasion");
        let log = alice.home.join("db.sqlite-wal");
        assert!(std::fs::metadata(&log).unwrap().len() > 0);
        alice.ok(&["sync", "push"]);
        assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
        drop(idle);
        assert_eq!(books(&world.remote().join("db.sqlite")), ["Emma", "Persuasion"]);
    });
}

#[test]
fn what_another_process_writes_meanwhile_is_in_the_snapshot_whole_or_not_at_all() {
    let world = World::new(false);
    let (alice, bob) = (world.machine("alice"), world.machine("bob"));
    alice.write("Emma");
    let conn = alice.plain();
    conn.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    conn.execute_batch("CREATE TABLE pair (a INTEGER, b INTEGER); INSERT INTO pair VALUES (0, 0)").unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ending = Ending(&stop);
        let writer = scope.spawn(|| {
            let conn = conn;
            let mut count = 0;
            while !stop.load(Ordering::Acquire) {
                count += 1;
                conn.execute_batch(&format!(
                    "BEGIN; UPDATE pair SET a = {count}; INSERT INTO book (isbn, title) VALUES ('{count}', 'x');
                     UPDATE pair SET b = {count}; COMMIT"
                ))
                .unwrap();
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            count
        });
        for _ in 0..5 {
            // Whoever finds it busy tries again.
            assert!((0..TRIES).any(|_| alice.run(&["sync", "push"]).status.success()), "never to be had");
            bob.ok(&["sync", "pull"]);
            let conn = bob.plain();
            let read = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(read("SELECT a FROM pair"), read("SELECT b FROM pair"));
            assert_eq!(read("SELECT a FROM pair"), read("SELECT count(*) - 1 FROM book"));
        }
        drop(ending);
        assert!(writer.join().unwrap() > 5);
    });
}

#[test]
fn remotes_are_remembered_apart() {
    each(|world| {
        let (alice, bob) = world.in_step();
        let usb = world.folder.path().join("usb");
        let usb = usb.to_str().unwrap();
        alice.ok(&["sync", "push", "--remote", usb]);
        assert_eq!(alice.status(), "equal");
        alice.write("Persuasion");
        alice.ok(&["sync", "push", "--remote", usb]);
        assert_eq!(alice.status(), "ahead");
        alice.ok(&["sync", "push"]);
        assert_eq!(alice.remote_meta()["generation"], 2);
        // Moved to another place it is the same remote.
        let moved = world.folder.path().join("moved");
        std::fs::rename(world.remote(), &moved).unwrap();
        let status = bob.json(&["sync", "status", "--json", "--remote", moved.to_str().unwrap()]);
        assert_eq!(status["status"], "behind");
    });
}

#[test]
fn a_server_is_told_from_a_folder() {
    let world = World::new(true);
    let alice = world.machine("alice");
    alice.write("Emma");
    let server = ["--remote", "ws://127.0.0.1:1/shop"];
    let status = alice.run(&[&["sync", "status"], &server[..]].concat());
    assert_eq!(status.status.code(), Some(4), "{}", said(&status));
    alice.fails(&[&["sync", "push", "--force"], &server[..]].concat(), 2, "merges what both sides have");
}
