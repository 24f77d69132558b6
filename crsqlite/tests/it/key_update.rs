//! Patch 7: UPDATE of a primary key is a write of every cell, in this version and by this site. Without it a peer that
//! reads the range ends with a row of NULLs, or keeps the cells of a row that was replaced.

use rusqlite::types::Value;

use crate::peer::{CID, CL, COL_VERSION, Change, DB_VERSION, PK, Peer, SITE_ID};

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b); SELECT crsql_as_crr('t');";

/// Sends what `from` wrote above `version` and checks that the tables are equal.
fn window_suffices(from: &Peer, version: i64, to: &Peer) {
    to.apply_all(&from.changes_since(version));
    assert_eq!(from.rows("SELECT * FROM t ORDER BY id"), to.rows("SELECT * FROM t ORDER BY id"));
}

#[test]
fn the_window_holds_the_whole_row() {
    let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    a.run("INSERT INTO t VALUES (1, 'x', 'y')");
    window_suffices(&a, 0, &b);
    let seen = a.head();
    a.run("UPDATE t SET id = 2 WHERE id = 1");
    let window = a.changes_since(seen);
    let told: Vec<(&Value, &Value)> = window.iter().map(|change| (&change[PK], &change[CID])).collect();
    let (one, two) = (Value::Blob(vec![1, 9, 1]), Value::Blob(vec![1, 9, 2]));
    let text = |name: &str| Value::Text(name.to_owned());
    let (sentinel, cell_a, cell_b) = (text("-1"), text("a"), text("b"));
    assert_eq!(told, [(&one, &sentinel), (&two, &sentinel), (&two, &cell_a), (&two, &cell_b)]);
    let numbers = |at: usize| -> Vec<&Value> { window.iter().map(|change| &change[at]).collect() };
    assert!(numbers(DB_VERSION).iter().all(|version| **version == Value::Integer(seen + 1)));
    assert_eq!(numbers(CL), [2, 1, 1, 1].map(Value::Integer).iter().collect::<Vec<_>>());
    window_suffices(&a, seen, &b);
}

#[test]
fn a_row_of_another_site_becomes_this_site_s() {
    let (a, b, server) = (Peer::new(SCHEMA), Peer::new(SCHEMA), Peer::new(SCHEMA));
    a.run("INSERT INTO t VALUES (1, 'x', 'y')");
    server.apply_all(&a.changes_since(0));
    b.apply_all(&server.changes_since(0));
    b.run("UPDATE t SET id = 2 WHERE id = 1");
    let own = b.one("SELECT crsql_site_id()");
    let mine: Vec<Change> = b.changes_since(1).into_iter().filter(|change| change[SITE_ID] == own).collect();
    assert_eq!(mine.len(), 4);
    server.apply_all(&mine);
    // The author of the old row is sent everything that isn't its own.
    let site_a = a.one("SELECT crsql_site_id()");
    let news: Vec<Change> = server.changes_since(1).into_iter().filter(|change| change[SITE_ID] != site_a).collect();
    a.apply_all(&news);
    let moved = vec![vec![Value::Integer(2), Value::Text("x".into()), Value::Text("y".into())]];
    for peer in [&a, &b, &server] {
        assert_eq!(peer.rows("SELECT * FROM t"), moved);
    }
}

#[test]
fn a_replaced_row_loses_everywhere() {
    let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    a.run("INSERT INTO t VALUES (1, 'one', 1); INSERT INTO t VALUES (2, 'two', 2)");
    for round in 0..4 {
        a.run(&format!("UPDATE t SET a = 'two{round}' WHERE id = 2"));
    }
    window_suffices(&a, 0, &b);
    let seen = a.head();
    a.run("UPDATE OR REPLACE t SET id = 2 WHERE id = 1");
    let cell = a.changes_since(seen).into_iter().find(|change| change[CID] == Value::Text("a".into()));
    assert_eq!(cell.expect("it is in the window")[COL_VERSION], Value::Integer(6), "above the replaced cell's 5");
    window_suffices(&a, seen, &b);
}

#[test]
fn a_replaced_row_loses_a_column_that_the_other_never_had_written() {
    let add = "SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN c; SELECT crsql_commit_alter('t');";
    let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    a.run("INSERT INTO t VALUES (1, 'one', 1); INSERT INTO t VALUES (2, 'two', 2)");
    a.run(add);
    b.run(add);
    a.run("UPDATE t SET c = 'filled' WHERE id = 2");
    window_suffices(&a, 0, &b);
    let seen = a.head();
    a.run("UPDATE OR REPLACE t SET id = 2 WHERE id = 1");
    window_suffices(&a, seen, &b);
}

#[test]
fn there_and_back_again() {
    let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    a.run("INSERT INTO t VALUES (1, 'x', 'y')");
    window_suffices(&a, 0, &b);
    for (from, to) in [(1, 2), (2, 1), (1, 300), (300, 1)] {
        let seen = a.head();
        a.run(&format!("UPDATE t SET id = {to}, b = b || '!' WHERE id = {from}"));
        window_suffices(&a, seen, &b);
    }
}

#[test]
fn every_key_of_a_table_at_once() {
    let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    a.run("INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2), (3, 'z', 3)");
    window_suffices(&a, 0, &b);
    let seen = a.head();
    a.run("UPDATE t SET id = id + 10");
    window_suffices(&a, seen, &b);
}

#[test]
fn a_table_of_nothing_but_its_key() {
    let schema = "CREATE TABLE t (x INTEGER NOT NULL, y TEXT NOT NULL, PRIMARY KEY (x, y)); SELECT crsql_as_crr('t');";
    let (a, b) = (Peer::new(schema), Peer::new(schema));
    a.run("INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    b.apply_all(&a.changes_since(0));
    let seen = a.head();
    a.run("UPDATE t SET y = y || '!'");
    b.apply_all(&a.changes_since(seen));
    assert_eq!(a.rows("SELECT * FROM t ORDER BY 1"), b.rows("SELECT * FROM t ORDER BY 1"));
}
