//! How versions are counted, as far as the store relies on it: what `crsql_db_version()` falls back to, the floor in
//! `crsql_master`, and the version that a transaction can be pinned to.
//!
//! A version that is used twice would be taken for known by those who have the first. External writers (the loadable
//! extension in another process) count for themselves, so the floor has to hold for every build.

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::peer::Peer;

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a); SELECT crsql_as_crr('t');";
const VERSION: &str = "SELECT crsql_db_version()";
const FLOOR: &str = "INSERT OR REPLACE INTO crsql_master VALUES ('pre_compact_dbversion', ";

fn folder() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.db");
    (folder, file)
}

fn open(file: &Path) -> Peer {
    let peer = Peer::on(Connection::open(file).expect("opens"));
    peer.run("PRAGMA journal_mode = WAL");
    peer
}

/// Why the floor is needed: a version that nothing carries is forgotten with the connection.
#[test]
fn without_a_floor_a_version_is_used_twice() {
    let (_folder, file) = folder();
    let first = open(&file);
    first.run(SCHEMA);
    first.run("INSERT INTO t VALUES (1, 'x')");
    first.run("UPDATE t SET a = 'x'");
    assert_eq!(first.int(VERSION), 2, "it runs ahead of what carries it");
    assert_eq!(first.head(), 1);
    first.close();
    let second = open(&file);
    assert_eq!(second.int(VERSION), 1, "and falls back");
    second.close();
}

/// The same by a migration, which at least leaves a floor of its own.
#[test]
fn a_dropped_column_takes_its_versions_along() {
    let (_folder, file) = folder();
    let peer = open(&file);
    peer.run("CREATE TABLE u (id INTEGER PRIMARY KEY NOT NULL, a, b); SELECT crsql_as_crr('u')");
    peer.run("INSERT INTO u VALUES (1, 'x', 'y')");
    peer.run("UPDATE u SET b = 'z'");
    assert_eq!(peer.head(), 2);
    peer.run("SELECT crsql_begin_alter('u'); ALTER TABLE u DROP COLUMN b; SELECT crsql_commit_alter('u')");
    assert_eq!(peer.head(), 1, "no change carries it any longer");
    peer.close();
    let again = open(&file);
    assert_eq!(again.int(VERSION), 2, "and the floor remembers it");
    again.close();
}

#[test]
fn the_floor_holds_for_later_connections() {
    let (_folder, file) = folder();
    let first = open(&file);
    first.run(SCHEMA);
    first.run("INSERT INTO t VALUES (1, 'x')");
    first.run(&format!("{FLOOR} 100)"));
    first.close();
    let second = open(&file);
    assert_eq!(second.int(VERSION), 100);
    second.run("INSERT INTO t VALUES (2, 'y')");
    assert_eq!(second.head(), 101);
    second.close();
}

#[test]
fn the_floor_reaches_a_connection_that_is_open() {
    let (_folder, file) = folder();
    let (store, external) = (open(&file), open(&file));
    store.run(SCHEMA);
    external.run("INSERT INTO t VALUES (1, 'x')");
    assert_eq!(external.int(VERSION), 1);
    store.run(&format!("{FLOOR} 100)"));
    external.run("INSERT INTO t VALUES (2, 'y')");
    assert_eq!(external.head(), 101);
    store.run("INSERT INTO t VALUES (3, 'z')");
    assert_eq!(store.head(), 102);
}

/// The connection that writes the floor learns of it at its next transaction, provided that it wrote nothing else in
/// that one, or that the floor isn't above that one's own version.
#[test]
fn the_floor_and_the_connection_that_writes_it() {
    let alone = Peer::new(SCHEMA);
    alone.run("INSERT INTO t VALUES (1, 'x')");
    alone.run(&format!("{FLOOR} 100)"));
    alone.run("INSERT INTO t VALUES (2, 'y')");
    assert_eq!(alone.head(), 101);

    let own_version = Peer::new(SCHEMA);
    for id in 0..3 {
        own_version.run(&format!("BEGIN; INSERT INTO t VALUES ({id}, 'x'); {FLOOR} crsql_next_db_version()); COMMIT"));
        assert_eq!(own_version.int("SELECT value FROM crsql_master WHERE key = 'pre_compact_dbversion'"), id + 1);
        assert_eq!(own_version.head(), id + 1);
    }

    let above = Peer::new(SCHEMA);
    above.run(&format!("BEGIN; INSERT INTO t VALUES (1, 'x'); {FLOOR} 100); COMMIT"));
    above.run("INSERT INTO t VALUES (2, 'y')");
    assert_eq!(above.head(), 2, "not seen: this connection trusts its own count");
}

/// A migration writes the floor anew, from the count that its connection has. So the floor is to be written again
/// after one, and before the transaction ends.
#[test]
fn a_migration_writes_the_floor_anew() {
    let alter = "SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN c; SELECT crsql_commit_alter('t');";
    let floor = "SELECT value FROM crsql_master WHERE key = 'pre_compact_dbversion'";
    let peer = Peer::new(SCHEMA);
    peer.run("INSERT INTO t VALUES (1, 'x')");
    peer.run(&format!("{FLOOR} 100)"));
    peer.run(alter);
    assert_eq!(peer.int(floor), 100, "it was known, so it stays");

    let same = Peer::new(SCHEMA);
    same.run("INSERT INTO t VALUES (1, 'x')");
    same.run(&format!("BEGIN; SELECT crsql_db_version(); {FLOOR} 100); {alter} COMMIT"));
    assert_eq!(same.int(floor), 1, "it was written in the same transaction, and is lost");
}

/// Before there is a CRR, versions are 0 whatever the floor says; it counts from the transaction after the first.
#[test]
fn the_floor_counts_once_there_is_a_crr() {
    let peer = Peer::new("");
    peer.run(&format!("{FLOOR} 100)"));
    assert_eq!(peer.int(VERSION), 0);
    peer.run(SCHEMA);
    peer.run("INSERT INTO t VALUES (1, 'x')");
    assert_eq!(peer.head(), 101);
}

#[test]
fn a_transaction_is_pinned_to_a_version() {
    let (peer, other) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    other.run("INSERT INTO t VALUES (9, 'merged')");
    peer.run("INSERT INTO t VALUES (1, 'x')");
    peer.run("BEGIN; INSERT INTO t VALUES (2, 'before')");
    assert_eq!(peer.int("SELECT crsql_next_db_version(50)"), 50);
    peer.run("INSERT INTO t VALUES (3, 'after'); UPDATE t SET a = 'y' WHERE id = 1");
    for change in other.changes_since(0) {
        peer.apply(&change).expect("applied");
    }
    assert_eq!(peer.int("SELECT crsql_next_db_version(20)"), 50, "it never goes down");
    peer.run("COMMIT");
    let versions = peer.rows("SELECT pk, db_version FROM crsql_changes ORDER BY pk");
    let versions: Vec<i64> =
        versions.iter().map(|row| if let rusqlite::types::Value::Integer(n) = row[1] { n } else { -1 }).collect();
    assert_eq!(versions, [50, 2, 50, 50], "what was written before keeps the version that was next then");
    peer.run("INSERT INTO t VALUES (4, 'later')");
    assert_eq!(peer.head(), 51);
}

#[test]
fn a_pin_ends_with_a_rollback_but_not_with_a_savepoint() {
    let peer = Peer::new(SCHEMA);
    peer.run("BEGIN; SELECT crsql_next_db_version(50); INSERT INTO t VALUES (1, 'x'); ROLLBACK");
    peer.run("INSERT INTO t VALUES (1, 'x')");
    assert_eq!(peer.head(), 1);
    peer.run(
        "BEGIN; SAVEPOINT s; SELECT crsql_next_db_version(50); ROLLBACK TO s; INSERT INTO t VALUES (2, 'x'); COMMIT",
    );
    assert_eq!(peer.head(), 50);
}
