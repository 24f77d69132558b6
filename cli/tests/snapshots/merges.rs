//! Both sides have moved, and both sides' changes are kept.

use greenlight_cli::sync::{self, How, Packing, Place, Stage, SyncConfig, SyncError};
use greenlight_core::replica::ClientStore;
use greenlight_store::portable::PortableError;
use greenlight_store::{ClientDatabase, Location, Options, Schema};
use proptest::prelude::*;
use serde_json::json;

use crate::fixture::{Kind, Machine, World, books, each, names};
use crate::identity::{converged, serve};

/// Alice and Bob, who have both written since they were in step; Alice has pushed.
fn diverged(world: &World) -> (Machine, Machine) {
    let (alice, bob) = world.in_step();
    alice.write("Persuasion");
    bob.write("Sanditon");
    alice.ok(&["sync", "push"]);
    assert_eq!(bob.status(), "diverged");
    (alice, bob)
}

fn digests(machine: &Machine) -> Vec<(String, [u8; 16])> {
    machine.replica().digests().unwrap()
}

#[test]
fn what_both_have_written_is_kept_and_handed_on() {
    Kind::ALL.into_iter().for_each(|kind| keeps_both(&World::with(true, kind)));
}

fn keeps_both(world: &World) {
    let (alice, bob) = diverged(world);
    let text = crate::fixture::said(&bob.run(&["sync", "status"]));
    assert!(text.contains("--merge"), "{text}");
    bob.fails(&["sync", "pull"], 8, "`greenlight sync pull --merge` keeps what both have");
    bob.fails(&["sync", "pull", "--merge", "--force"], 2, "cannot be used");

    let before = std::fs::read(bob.db()).unwrap();
    let result = bob.json(&["sync", "pull", "--merge", "--dry-run", "--json"]);
    assert_eq!((&result["merged"], &result["dry_run"]), (&json!(true), &json!(true)));
    assert_eq!(result["unpushed"], json!(null));
    assert_eq!(std::fs::read(bob.db()).unwrap(), before);

    let site = bob.replica().load().unwrap().site_id;
    let result = bob.json(&["sync", "pull", "--merge", "--json"]);
    assert_eq!(
        (&result["merged"], &result["forced"], &result["changed"], &result["before"]),
        (&json!(true), &json!(false), &json!(true), &json!("diverged"))
    );
    assert_eq!(result["unpushed"], json!(true));
    assert_eq!(bob.books(), ["Emma", "Persuasion", "Sanditon"]);
    assert_eq!(books(&bob.home.join("db.sqlite.before-pull")), ["Emma", "Sanditon"]);
    assert_eq!(bob.replica().load().unwrap().site_id, site);
    let rest: Vec<_> = names(&bob.home).into_iter().filter(|name| name.contains("part")).collect();
    assert_eq!(rest, [""; 0]);

    assert_eq!(bob.status(), "ahead");
    bob.ok(&["sync", "push"]);
    assert_eq!(alice.status(), "behind");
    alice.ok(&["sync", "pull", "--merge"]);
    assert_eq!((alice.status().as_str(), bob.status().as_str()), ("equal", "equal"));
    assert_eq!(digests(&alice), digests(&bob));
}

#[test]
fn a_plain_database_can_not_be_merged() {
    let world = World::new(false);
    let (_, bob) = diverged(&world);
    let before = std::fs::read(bob.db()).unwrap();
    bob.fails(&["sync", "pull", "--merge"], 3, "plain SQLite database");
    assert_eq!(std::fs::read(bob.db()).unwrap(), before);
    let text = crate::fixture::said(&bob.run(&["sync", "status"]));
    assert!(!text.contains("--merge"), "{text}");
}

#[test]
fn a_merge_is_offered_where_both_are_of_one_schema() {
    let plain = World::new(false);
    let maker = plain.machine("maker");
    maker.write("Emma");
    maker.ok(&["sync", "push"]);
    let replicas = World::new(true);
    let alice = replicas.machine("alice");
    alice.write("Emma");
    alice.ok(&["sync", "push"]);
    let bob = replicas.machine("bob");
    bob.write("Sanditon");
    let offers = |remote: &str| {
        let words = |action: &'static str| ["sync", action, "--remote", remote];
        let said = ["status", "push", "pull"].map(|action| crate::fixture::said(&bob.run(&words(action))));
        let offered = said.each_ref().map(|said| said.contains("--merge"));
        assert!(said.iter().all(|said| said.contains("diverged") || said.contains("Diverged")), "{said:?}");
        offered
    };
    assert_eq!(offers(&replicas.shown()), [true; 3]);
    assert_eq!(offers(&plain.shown()), [false; 3], "it would be refused");
    let before = std::fs::read(bob.db()).unwrap();
    bob.fails(&["sync", "pull", "--merge", "--remote", &plain.shown()], 3, "it is a plain SQLite database");
    assert_eq!(std::fs::read(bob.db()).unwrap(), before);
    alice.change_remote_meta(|meta| meta["schema_name"] = json!("notes"));
    assert_eq!(offers(&replicas.shown()), [false; 3]);
    bob.fails(&["sync", "status"], 8, "follow different schemas (`shop` here, `notes` there)");
    // What an older program has pushed does not say; the merge itself finds out.
    alice.change_remote_meta(|meta| drop(meta.as_object_mut().unwrap().remove("schema_name")));
    assert_eq!(offers(&replicas.shown()), [false; 3]);
    bob.ok(&["sync", "pull", "--merge"]);
    assert_eq!(bob.books(), ["Emma", "Sanditon"]);
}

#[test]
fn who_has_nothing_of_their_own_is_in_step_after_a_merge() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    // The same cell by the same value and version: nothing differs but who wrote it last.
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    // Put back from a copy: it has not what it was known by.
    let old = bob.home.join("db.sqlite.old");
    std::fs::copy(bob.db(), &old).unwrap();
    bob.ok(&["sync", "pull"]);
    std::fs::copy(&old, bob.db()).unwrap();
    assert_eq!(bob.status(), "diverged");
    let told = bob.ok(&["sync", "pull", "--merge"]);
    assert!(told.contains("The remote has all of it already") && !told.contains("Push"), "{told}");
    assert_eq!((bob.status().as_str(), bob.books()), ("equal", alice.books()));
}

#[test]
fn the_later_schema_is_that_of_both() {
    const LATER: &str =
        "-- schema: shop 2\nCREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT, price INTEGER);";
    let open = |machine: &Machine, schema: &str| {
        let options = Options::system(Location::File(machine.db()), || 1).unwrap();
        ClientDatabase::open(options, &Schema::parse(schema).unwrap()).unwrap()
    };
    let price = |machine: &Machine| -> Option<i64> {
        let conn = rusqlite::Connection::open(machine.db()).unwrap();
        conn.query_row("SELECT price FROM book WHERE title = 'Persuasion'", [], |row| row.get(0)).unwrap()
    };
    for later_is_here in [false, true] {
        let world = World::new(true);
        let (alice, bob) = world.in_step();
        let sql = "INSERT INTO book (isbn, title, price) VALUES ('p', 'Persuasion', 7)";
        let (upgraded, other) = if later_is_here { (&bob, &alice) } else { (&alice, &bob) };
        open(upgraded, LATER).exec(sql, &[]).unwrap();
        other.write("Sanditon");
        alice.ok(&["sync", "push"]);
        bob.ok(&["sync", "pull", "--merge"]);
        assert_eq!((bob.books().len(), price(&bob)), (3, Some(7)), "{later_is_here}");
        bob.ok(&["sync", "push"]);
        alice.ok(&["sync", "pull"]);
        assert_eq!((alice.books().len(), price(&alice)), (3, Some(7)), "{later_is_here}");
    }
    // Two that are no steps of one history.
    let world = World::new(true);
    let (alice, bob) = diverged(&world);
    open(&alice, LATER).exec("UPDATE book SET price = 1", &[]).unwrap();
    open(&bob, &LATER.replace("price", "cost")).exec("UPDATE book SET cost = 1", &[]).unwrap();
    alice.ok(&["sync", "push"]);
    bob.fails(&["sync", "pull", "--merge"], 3, "needs another number");
    assert_eq!(bob.books(), ["Emma", "Sanditon"]);
    let schema = world.folder.path().join("shop.sql");
    std::fs::write(&schema, crate::fixture::SCHEMA).unwrap();
    bob.fails(&["sync", "pull", "--merge", "--schema", schema.to_str().unwrap()], 3, "update that first");
}

#[test]
fn what_the_snapshot_keeps_aside_is_kept_aside_here() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    let shelve = |machine: &Machine, shelf: &str, column: &str| {
        let conn = rusqlite::Connection::open(machine.db()).unwrap();
        let sql = format!(
            "INSERT INTO greenlight_{shelf} (table_name, key, column_name, value, column_version, causal_length, sequence,
               site, reason, since_ms, sender)
             VALUES ('book', x'010b0145', ?1, 'x', 9, 1, 0, zeroblob(16), 'why', 1, NULL)"
        );
        conn.execute(&sql, [column]).unwrap();
    };
    shelve(&alice, "held", "price");
    shelve(&alice, "left_out", "rating");
    // What could not be applied there may be applied here.
    shelve(&alice, "quarantine", "title");
    alice.write("Persuasion");
    alice.ok(&["sync", "push"]);
    bob.write("Sanditon");
    bob.ok(&["sync", "pull", "--merge"]);
    let outbox = bob.replica().load().unwrap().outbox;
    assert_eq!((outbox.held_aside, outbox.left_out, outbox.quarantined), (1, 1, 0));
    assert_eq!(bob.books().len(), 4, "{:?}", bob.books());
}

#[test]
fn more_changes_than_fit_into_one_transaction_all_arrive() {
    let world = World::new(true);
    let (alice, bob) = world.in_step();
    let rows = greenlight_store::limits::MERGE_CHANGES + 100;
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO book (isbn, title) SELECT printf('%06d', i), i FROM n"
    );
    alice.replica().exec(&sql, &[]).unwrap();
    bob.write("Sanditon");
    alice.ok(&["sync", "push"]);
    bob.ok(&["sync", "pull", "--merge"]);
    assert_eq!(bob.books().len(), rows + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_gets_what_came_by_a_merge() {
    let world = World::new(true);
    let (url, server) = serve(&world).await;
    let (alice, bob) = world.in_step();
    // Both know the server; Alice has changes that only the folder knows, and is never seen again.
    assert_eq!(converged(&[&alice, &bob], &url), ["Emma"]);
    alice.write("Persuasion");
    bob.write("Sanditon");
    alice.ok(&["sync", "push", "--force"]);
    bob.ok(&["sync", "now", "--remote", &url]);
    bob.ok(&["sync", "pull", "--merge"]);
    bob.ok(&["sync", "now", "--remote", &url]);
    let carol = world.machine("carol");
    std::fs::create_dir_all(&carol.home).unwrap();
    drop(carol.replica());
    assert_eq!(converged(&[&carol, &bob], &url), ["Emma", "Persuasion", "Sanditon"]);
    server.abort();
}

/// What one of three machines does.
#[derive(Clone, Debug)]
enum Act {
    Add,
    Change(u8),
    Delete(u8),
    /// Merges, then pushes.
    Exchange,
}

fn act() -> impl Strategy<Value = (usize, Act)> {
    let what = prop_oneof![
        3 => Just(Act::Add),
        3 => any::<u8>().prop_map(Act::Change),
        1 => any::<u8>().prop_map(Act::Delete),
        2 => Just(Act::Exchange),
    ];
    (0..3usize, what)
}

fn exchange(machine: &Machine) {
    if machine.remote.join("sync-meta.json").exists() {
        machine.ok(&["sync", "pull", "--merge"]);
    }
    machine.ok(&["sync", "push"]);
}

/// What nobody deleted is everywhere in the end, and all hold the same: the same titles, with the same clocks.
fn converge(acts: &[(usize, Act)]) -> Result<(), TestCaseError> {
    let world = World::new(true);
    let machines = ["alice", "bob", "carol"].map(|name| world.machine(name));
    for machine in &machines {
        std::fs::create_dir_all(&machine.home).unwrap();
        drop(machine.replica());
    }
    let (mut added, mut deleted) = (Vec::new(), Vec::new());
    for (number, (who, act)) in acts.iter().enumerate() {
        let machine = &machines[*who];
        let known = machine.books();
        let one_of = |pick: u8| {
            let isbns = isbns(machine);
            (!isbns.is_empty()).then(|| isbns[usize::from(pick) % isbns.len()].clone())
        };
        match act {
            Act::Add => {
                machine.write(&format!("{number:03}"));
                added.push(format!("{number:03}"));
                prop_assert_eq!(machine.books().len(), known.len() + 1);
            }
            Act::Change(pick) => {
                if let Some(isbn) = one_of(*pick) {
                    let sql = format!("UPDATE book SET title = 'by {who} at {number}' WHERE isbn = '{isbn}'");
                    machine.replica().exec(&sql, &[]).unwrap();
                }
            }
            Act::Delete(pick) => {
                if let Some(isbn) = one_of(*pick) {
                    machine.replica().exec(&format!("DELETE FROM book WHERE isbn = '{isbn}'"), &[]).unwrap();
                    deleted.push(isbn);
                }
            }
            Act::Exchange => exchange(machine),
        }
    }
    for machine in machines.iter().chain(&machines) {
        exchange(machine);
    }
    for machine in &machines {
        prop_assert_eq!(machine.status(), "equal");
        prop_assert_eq!(digests(machine), digests(&machines[0]));
        prop_assert_eq!(machine.books(), machines[0].books());
    }
    let there = isbns(&machines[0]);
    for isbn in added {
        prop_assert_eq!(there.contains(&isbn), !deleted.contains(&isbn), "{}", isbn);
    }
    Ok(())
}

fn isbns(machine: &Machine) -> Vec<String> {
    let conn = rusqlite::Connection::open(machine.db()).unwrap();
    let mut select = conn.prepare("SELECT isbn FROM book ORDER BY isbn").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn machines_that_merge_by_a_folder_come_to_hold_the_same(acts in prop::collection::vec(act(), 4..24)) {
        converge(&acts)?;
    }
}

fn config(world: &World, machine: &Machine) -> SyncConfig {
    SyncConfig {
        local_db: machine.db(),
        local_meta: machine.home.join("sync-meta.json"),
        lock: machine.home.join("sync.lock"),
        remote: Place::Folder(world.remote()),
        packing: Packing::default(),
        project: "default".to_owned(),
        max_schema: None,
    }
}

#[test]
fn what_is_written_while_a_pull_by_force_fetches_stops_it() {
    each(|world| {
        let (_, bob) = diverged(&world);
        let force = How { force: true, ..How::default() };
        let mut written = false;
        let stopped = sync::pull(&config(&world, &bob), force, &mut |stage, _, _| {
            if stage == Stage::Fetching && !written {
                written = true;
                bob.write("Lady Susan");
            }
        });
        assert!(matches!(&stopped, Err(SyncError::Local { source: PortableError::Moved, .. })), "{stopped:?}");
        assert_eq!(bob.books(), ["Emma", "Lady Susan", "Sanditon"]);
        assert!(!bob.home.join("db.sqlite.before-pull").exists());
        bob.ok(&["sync", "pull", "--force"]);
        assert_eq!(bob.books(), ["Emma", "Persuasion"]);
    });
}

#[test]
fn what_is_written_beside_the_schema_while_a_pull_fetches_is_taken_along() {
    let world = World::new(true);
    let (_, bob) = diverged(&world);
    let note = |sql: &str| rusqlite::Connection::open(bob.db()).unwrap().execute_batch(sql).unwrap();
    note("CREATE TABLE note (text)");
    let force = How { force: true, ..How::default() };
    let mut written = false;
    let pulled = sync::pull(&config(&world, &bob), force, &mut |stage, _, _| {
        if stage == Stage::Fetching && !written {
            written = true;
            note("INSERT INTO note VALUES ('meanwhile')");
        }
    });
    assert!(pulled.is_ok() && written, "{pulled:?}");
    assert_eq!(bob.books(), ["Emma", "Persuasion"]);
    let conn = rusqlite::Connection::open(bob.db()).unwrap();
    assert_eq!(conn.query_row("SELECT text FROM note", [], |row| row.get::<_, String>(0)).unwrap(), "meanwhile");
}

#[test]
fn what_is_written_beside_the_schema_while_a_merge_is_at_work_stops_it() {
    let world = World::new(true);
    let (_, bob) = diverged(&world);
    let note = |sql: &str| rusqlite::Connection::open(bob.db()).unwrap().execute_batch(sql).unwrap();
    note("CREATE TABLE note (text)");
    let config = config(&world, &bob);
    let merge = How { merge: true, ..How::default() };
    let mut written = false;
    let stopped = sync::pull(&config, merge, &mut |stage, _, _| {
        // The copy is made, and what is written now is not in it.
        if stage == Stage::Merging && !written {
            written = true;
            note("INSERT INTO note VALUES ('meanwhile')");
        }
    });
    assert!(matches!(&stopped, Err(SyncError::Local { source: PortableError::Moved, .. })), "{stopped:?}");
    assert_eq!(bob.books(), ["Emma", "Sanditon"]);
    bob.ok(&["sync", "pull", "--merge"]);
    assert_eq!(bob.books(), ["Emma", "Persuasion", "Sanditon"]);
    let conn = rusqlite::Connection::open(bob.db()).unwrap();
    let kept: String = conn.query_row("SELECT text FROM note", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "meanwhile");
}
