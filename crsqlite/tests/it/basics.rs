//! The linked cr-sqlite works at all: a table becomes a CRR, a write is recorded, another database takes it over.

use crate::peer::Peer;

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a TEXT, b REAL); SELECT crsql_as_crr('t');";

#[test]
fn a_change_travels_and_connections_close() {
    let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    a.run("INSERT INTO t VALUES (1, 'x', 1.5)");
    let changes = a.changes_since(0);
    assert_eq!(changes.len(), 2, "one for each column beside the key");
    b.apply_all(&changes);
    assert_eq!(a.rows("SELECT * FROM t"), b.rows("SELECT * FROM t"));
    a.close();
    b.close();
}

#[test]
fn a_second_init_changes_nothing() {
    let a = Peer::new(SCHEMA);
    a.run("INSERT INTO t VALUES (1, 'x', 1.5)");
    crsqlite::init(&a.conn).expect("accepted");
    a.run("INSERT INTO t VALUES (2, 'y', 2.5)");
    assert_eq!(a.changes_since(0).len(), 4);
    a.close();
}

#[test]
fn a_refused_connection_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plain.db");
    rusqlite::Connection::open(&file).expect("made").execute_batch("CREATE TABLE x (y)").expect("a table");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let conn = rusqlite::Connection::open_with_flags(&file, flags).expect("opened");
    let error = crsqlite::init(&conn).expect_err("its tables can't be made").to_string();
    assert!(error.contains("readonly"), "{error}");
    assert!(crsqlite::finalize(&conn).is_err(), "there is nothing to let go");
}
