//! Patch 6: the tables that cr-sqlite knows are those of the schema, at every use. Without it a reader omits a table
//! or fails on a column that another connection made, a writer records nothing for such a column, and a schema that
//! was rolled back stays in force.

use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::peer::{CID, Change, Peer};

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a); SELECT crsql_as_crr('t');";
const ADD_C: &str = "SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN c; SELECT crsql_commit_alter('t');";
const ADD_D: &str = "SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN d; SELECT crsql_commit_alter('t');";

/// Two connections to one file; the folder goes with the last of them.
fn two() -> (TempDir, Peer, Peer) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.db");
    let writer = Peer::on(Connection::open(&file).expect("opens"));
    writer.run("PRAGMA journal_mode = WAL");
    writer.run(SCHEMA);
    let other = Peer::on(Connection::open(&file).expect("opens"));
    (folder, writer, other)
}

/// The columns that the changes are about, in order.
fn columns(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| if let Value::Text(name) = &change[CID] { name.as_str() } else { "not text" }).collect()
}

#[test]
fn a_reader_sees_a_new_table() {
    let (_folder, writer, reader) = two();
    writer.run("INSERT INTO t VALUES (1, 1)");
    assert_eq!(reader.changes_since(0).len(), 1);
    writer.run(
        "CREATE TABLE u (id INTEGER PRIMARY KEY NOT NULL, x); SELECT crsql_as_crr('u'); INSERT INTO u VALUES (1, 1)",
    );
    assert_eq!(reader.changes_since(0).len(), 2);
}

#[test]
fn a_reader_sees_a_new_column() {
    let (_folder, writer, reader) = two();
    writer.run("INSERT INTO t VALUES (1, 1)");
    assert_eq!(reader.changes_since(0).len(), 1);
    writer.run(ADD_C);
    writer.run("INSERT INTO t VALUES (2, 2, 2)");
    assert_eq!(columns(&reader.changes_since(1)), ["a", "c"]);
}

#[test]
fn a_reader_that_looks_in_one_long_transaction_after_another_sees_a_new_table() {
    let (_folder, writer, reader) = two();
    reader.run("BEGIN");
    assert_eq!(reader.changes_since(0).len(), 0);
    writer.run(
        "CREATE TABLE u (id INTEGER PRIMARY KEY NOT NULL, x); SELECT crsql_as_crr('u'); INSERT INTO u VALUES (1, 1)",
    );
    assert_eq!(reader.changes_since(0).len(), 0, "its snapshot is older");
    reader.run("COMMIT; BEGIN");
    assert_eq!(reader.changes_since(0).len(), 1);
    reader.run("COMMIT");
}

#[test]
fn a_writer_records_a_column_that_another_made() {
    let (_folder, writer, other) = two();
    writer.run("INSERT INTO t VALUES (1, 1)");
    assert_eq!(writer.changes_since(0).len(), 1);
    other.run(ADD_C);
    writer.run("INSERT INTO t (id, a, c) VALUES (2, 2, 99)");
    assert_eq!(columns(&writer.changes_since(1)), ["a", "c"]);
    writer.run("UPDATE t SET c = 98 WHERE id = 1");
    assert_eq!(columns(&writer.changes_since(2)), ["c"]);
}

#[test]
fn several_schemas_in_one_transaction() {
    let peer = Peer::new(SCHEMA);
    peer.run("BEGIN; INSERT INTO t VALUES (1, 1)");
    peer.run(ADD_C);
    peer.run("INSERT INTO t VALUES (2, 2, 2)");
    peer.run(
        "CREATE TABLE u (id INTEGER PRIMARY KEY NOT NULL, x); SELECT crsql_as_crr('u'); INSERT INTO u VALUES (1, 1)",
    );
    peer.run("COMMIT");
    assert_eq!(columns(&peer.changes_since(0)), ["a", "a", "c", "x"]);
}

#[test]
fn a_schema_that_was_rolled_back_is_forgotten() {
    let peer = Peer::new(SCHEMA);
    peer.run("BEGIN");
    peer.run(ADD_C);
    peer.run("INSERT INTO t VALUES (1, 1, 1)");
    peer.run("ROLLBACK");
    // The same schema number again, for another column.
    peer.run(ADD_D);
    peer.run("INSERT INTO t VALUES (1, 1, 1)");
    assert_eq!(columns(&peer.changes_since(0)), ["a", "d"]);
}

#[test]
fn a_schema_that_was_rolled_back_to_a_savepoint_is_forgotten() {
    let peer = Peer::new(SCHEMA);
    peer.run("BEGIN; SAVEPOINT before");
    peer.run(ADD_C);
    peer.run("INSERT INTO t VALUES (1, 1, 1)");
    peer.run("ROLLBACK TO before");
    peer.run(ADD_D);
    peer.run("INSERT INTO t VALUES (1, 1, 1)");
    peer.run("COMMIT");
    assert_eq!(columns(&peer.changes_since(0)), ["a", "d"]);
}

#[test]
fn a_reader_goes_on_while_its_connection_makes_a_table() {
    let peer = Peer::new(SCHEMA);
    for id in 0..50 {
        peer.run(&format!("INSERT INTO t VALUES ({id}, 'a{id}')"));
    }
    let mut read = peer.conn.prepare("SELECT val FROM crsql_changes").expect("prepared");
    let mut rows = read.query([]).expect("started");
    let mut seen = 0;
    while let Some(row) = rows.next().expect("goes on") {
        let value: String = row.get(0).expect("a text");
        assert_eq!(value, format!("a{seen}"));
        if seen % 10 == 3 {
            peer.run(&format!(
                "CREATE TABLE u{seen} (id INTEGER PRIMARY KEY NOT NULL, x); SELECT crsql_as_crr('u{seen}')"
            ));
            peer.run(&format!("INSERT INTO u{seen} VALUES (1, 1)"));
        }
        seen += 1;
    }
    assert_eq!(seen, 50);
    drop(rows);
    drop(read);
    assert_eq!(peer.changes_since(0).len(), 55);
    peer.close();
}
