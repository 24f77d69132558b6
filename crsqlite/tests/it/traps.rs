//! What is left as it is in cr-sqlite, and has to be worked around above: each test shows a trap, so that a change in
//! it is noticed. None of these is wished for.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::Value;

use crate::peer::{CID, CL, COL_VERSION, Change, DB_VERSION, Peer, SITE_ID};

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b); SELECT crsql_as_crr('t');";

fn numbers(changes: &[Change], at: usize) -> Vec<i64> {
    let number = |change: &Change| if let Value::Integer(number) = change[at] { number } else { i64::MIN };
    changes.iter().map(number).collect()
}

/// A number that no write can be above: the cell is pinned for ever. So `core` refuses such versions.
#[test]
fn the_largest_column_version_pins_a_cell() {
    let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    a.run("INSERT INTO t VALUES (1, 'evil', 1)");
    let mut change = a.changes_since(0)[0].clone();
    change[COL_VERSION] = Value::Integer(i64::MAX);
    b.apply(&change).expect("taken in");
    assert!(b.conn.execute("UPDATE t SET a = 'good'", []).is_err(), "its clock can't be counted up");
}

/// Why changes are applied with `db_version` 0: theirs would be taken over.
#[test]
fn a_foreign_version_is_taken_over_unless_it_is_0() {
    let (a, b, c) = (Peer::new(SCHEMA), Peer::new(SCHEMA), Peer::new(SCHEMA));
    for id in 0..3 {
        a.run(&format!("INSERT INTO t VALUES ({id}, 1, 1)"));
    }
    let mut changes = a.changes_since(0);
    b.apply_all(&changes);
    assert_eq!(numbers(&b.changes_since(0), DB_VERSION), [1; 6], "one commit, one version");

    changes[0][DB_VERSION] = Value::Integer(1_000_000);
    for change in &changes {
        c.apply_as_is(change).expect("applied");
    }
    assert!(c.head() >= 1_000_000, "a hostile version moves the head");
}

/// A second delivery changes nothing and bumps nothing: `db_version` stays.
#[test]
fn a_second_delivery_is_free() {
    let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    a.run("INSERT INTO t VALUES (1, 'x', 1); DELETE FROM t; INSERT INTO t VALUES (1, 'y', 2); INSERT INTO t VALUES (2, 'z', 3)");
    b.apply_all(&a.changes_since(0));
    let before = b.changes_since(0);
    b.apply_all(&a.changes_since(0));
    assert_eq!(b.changes_since(0), before);
}

/// The merge's order: causal length, then column version, then the larger value, with type before content.
#[test]
fn the_larger_value_wins_a_tie_and_type_comes_first() {
    // NULL < blob < text < real < integer, whatever they contain.
    let ascending = ["NULL", "x'ff'", "'zzz'", "1e300", "-5"];
    for pair in ascending.windows(2) {
        let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
        a.run(&format!("INSERT INTO t VALUES (1, {}, 0)", pair[0]));
        b.run(&format!("INSERT INTO t VALUES (1, {}, 0)", pair[1]));
        let (from_a, from_b) = (a.changes_since(0), b.changes_since(0));
        a.apply_all(&from_b);
        b.apply_all(&from_a);
        let winner = format!("SELECT quote(a) = quote({}) FROM t", pair[1]);
        assert_eq!((a.int(&winner), b.int(&winner)), (1, 1), "{pair:?}");
    }
}

/// A tie of equal values stays with whom it was: the site id breaks no tie, and no version moves.
#[test]
fn equal_values_stay_with_their_site() {
    let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    for peer in [&a, &b] {
        peer.run("INSERT INTO t VALUES (1, 'same', 1)");
    }
    let before = b.changes_since(0);
    b.apply_all(&a.changes_since(0));
    assert_eq!(b.changes_since(0), before);
    assert_ne!(a.changes_since(0)[0][SITE_ID], before[0][SITE_ID]);
}

/// Numbers that compare equal and aren't the same stay different for ever. So digests are type-exact, and a repair is
/// a write with a higher column version.
#[test]
fn zeros_of_two_signs_stay_different() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a); SELECT crsql_as_crr('t');";
    let (a, b) = (Peer::new(schema), Peer::new(schema));
    a.conn.execute("INSERT INTO t VALUES (1, ?)", [0.0_f64]).expect("insert");
    b.conn.execute("INSERT INTO t VALUES (1, ?)", [-0.0_f64]).expect("insert");
    let (from_a, from_b) = (a.changes_since(0), b.changes_since(0));
    a.apply_all(&from_b);
    b.apply_all(&from_a);
    let bits = |peer: &Peer| if let Value::Real(number) = peer.one("SELECT a FROM t") { number.to_bits() } else { 1 };
    assert_ne!(bits(&a), bits(&b));
    a.run("UPDATE t SET a = 1.0; UPDATE t SET a = 0.0");
    b.apply_all(&a.changes_since(0));
    assert_eq!(bits(&a), bits(&b), "a repair");
}

#[test]
fn not_a_number_becomes_null() {
    let peer = Peer::new(SCHEMA);
    peer.conn.execute("INSERT INTO t VALUES (1, ?, 0)", [f64::NAN]).expect("insert");
    assert_eq!(peer.one("SELECT a FROM t"), Value::Null);
}

/// `INSERT OR REPLACE` of a live row is a delete and an insert where the row was ever deleted before, and an update
/// where it wasn't.
#[test]
fn replacing_a_live_row_may_raise_its_causal_length() {
    let peer = Peer::new(SCHEMA);
    peer.run("INSERT INTO t VALUES (1, 1, 1); INSERT OR REPLACE INTO t VALUES (1, 2, 2)");
    assert_eq!(numbers(&peer.changes_since(0), CL), [1, 1]);
    assert_eq!(numbers(&peer.changes_since(0), COL_VERSION), [2, 2]);
    peer.run("DELETE FROM t; INSERT INTO t VALUES (1, 1, 1)");
    assert_eq!(numbers(&peer.changes_since(0), CL), [3, 3, 3]);
    peer.run("INSERT OR REPLACE INTO t VALUES (1, 2, 2)");
    assert_eq!(numbers(&peer.changes_since(0), CL), [5, 5, 5]);
}

/// A cell of a row that was brought back by others has column version 0, and is legitimate on the wire.
#[test]
fn a_resurrected_row_has_cells_of_version_0() {
    let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    a.run("INSERT INTO t VALUES (1, 'x', 'y')");
    b.apply_all(&a.changes_since(0));
    let seen = a.head();
    a.run("DELETE FROM t; INSERT INTO t VALUES (1, 'x2', 'y2')");
    // Only the sentinel and one cell have come so far.
    let window = a.changes_since(seen);
    let part: Vec<Change> = window.into_iter().filter(|change| change[CID] != Value::Text("b".into())).collect();
    b.apply_all(&part);
    let old = b.changes_since(0).into_iter().find(|change| change[CID] == Value::Text("b".into()));
    assert_eq!(old.expect("it is kept until the new one comes")[COL_VERSION], Value::Integer(0));
}

/// A change that fails leaves traces (a key, a sentinel) unless it runs in a savepoint.
#[test]
fn a_failed_change_leaves_traces_without_a_savepoint() {
    let checked = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a CHECK (a IS NULL OR a < 100), b); SELECT crsql_as_crr('t');";
    let (onto, from) = (Peer::new(checked), Peer::new(SCHEMA));
    from.run("INSERT INTO t VALUES (1, 500, 1)");
    let change = &from.changes_since(0)[0];
    onto.run("BEGIN");
    onto.apply(change).expect_err("the check");
    let traces = "SELECT (SELECT count(*) FROM t__crsql_pks) + (SELECT count(*) FROM t__crsql_clock)";
    let left = onto.int(traces);
    onto.run("ROLLBACK; BEGIN; SAVEPOINT one");
    onto.apply(change).expect_err("the check");
    onto.run("ROLLBACK TO one; RELEASE one; COMMIT");
    assert_eq!(onto.int(traces), 0, "nothing with one");
    assert_eq!(left, 1, "the key without one");
}

/// What an app's trigger writes while a change is applied isn't recorded. So schemas with such triggers are refused.
#[test]
fn a_trigger_writes_unrecorded_while_a_change_is_applied() {
    let schema = format!(
        "{SCHEMA} CREATE TABLE log (id INTEGER PRIMARY KEY NOT NULL, n); SELECT crsql_as_crr('log');
         CREATE TRIGGER note AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id, 1); END;"
    );
    let (a, b) = (Peer::new(SCHEMA), Peer::new(&schema));
    a.run("INSERT INTO t VALUES (1, 1, 1)");
    b.apply_all(&a.changes_since(0));
    assert_eq!(b.int("SELECT count(*) FROM log"), 1);
    assert_eq!(b.int("SELECT count(*) FROM log__crsql_clock"), 0);
}

/// A failed `crsql_as_crr` ends the caller's transaction. So each is tried in one of its own.
#[test]
fn a_refused_table_rolls_the_transaction_back() {
    let peer = Peer::new(SCHEMA);
    peer.run("BEGIN; INSERT INTO t VALUES (1, 1, 1); CREATE TABLE u (x)");
    assert!(peer.try_rows("SELECT crsql_as_crr('u')").is_err());
    assert!(peer.conn.is_autocommit(), "there is no transaction left");
    assert_eq!(peer.int("SELECT count(*) FROM t"), 0);
}

/// Rows that change between begin and commit of an alter have no new clock, so others don't learn of it.
#[test]
fn data_changed_inside_an_alter_is_not_told() {
    let peer = Peer::new(SCHEMA);
    peer.run("INSERT INTO t VALUES (1, 'x', 'y')");
    let seen = peer.head();
    peer.run("SELECT crsql_begin_alter('t'); UPDATE t SET a = 'changed'; SELECT crsql_commit_alter('t')");
    assert_eq!(peer.changes_since(seen).len(), 0);
}

/// `DROP TABLE` of a CRR breaks reading for all tables; `crsql_as_table` first is the way.
#[test]
fn a_dropped_table_breaks_reading() {
    let peer =
        Peer::new(&format!("{SCHEMA} CREATE TABLE u (id INTEGER PRIMARY KEY NOT NULL, x); SELECT crsql_as_crr('u');"));
    peer.run("INSERT INTO t VALUES (1, 1, 1); INSERT INTO u VALUES (1, 1)");
    peer.run("BEGIN; DROP TABLE u");
    assert!(peer.try_rows("SELECT * FROM crsql_changes").is_err());
    peer.run("ROLLBACK; SELECT crsql_as_table('u'); DROP TABLE u");
    assert_eq!(peer.changes_since(0).len(), 2);
}

/// Key columns are compared by SQLite: with a collation, two keys of one site are one key of another.
#[test]
fn a_collation_on_a_key_folds_rows() {
    let exact = "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a); SELECT crsql_as_crr('t');";
    let folding = "CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, a); SELECT crsql_as_crr('t');";
    let (a, b) = (Peer::new(exact), Peer::new(folding));
    a.run("INSERT INTO t VALUES ('x', 1), ('X', 2)");
    b.apply_all(&a.changes_since(0));
    assert_eq!((a.int("SELECT count(*) FROM t"), b.int("SELECT count(*) FROM t")), (2, 1));
}

/// What is refused by cr-sqlite itself; the rest of the lint is the store's.
#[test]
fn schemas_that_are_refused() {
    for columns in [
        "id INTEGER PRIMARY KEY NOT NULL, a UNIQUE",
        "id INTEGER PRIMARY KEY",
        "id INTEGER PRIMARY KEY NOT NULL, a NOT NULL",
        "id INTEGER PRIMARY KEY NOT NULL, a REFERENCES other (id)",
        "id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, a",
        "a, b",
    ] {
        let peer = Peer::new(&format!("CREATE TABLE u ({columns})"));
        assert!(peer.try_rows("SELECT crsql_as_crr('u')").is_err(), "{columns}");
    }
}

/// An authorizer sees what cr-sqlite runs for a write too, and can't tell it from the user's. So the user's statement
/// is prepared once under it, to be judged, and once more without it, to be run.
#[test]
fn an_authorizer_sees_cr_sqlite_s_own_statements() {
    let no_internals = |context: AuthContext<'_>| match context.action {
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
            if table_name.contains("__crsql_") =>
        {
            Authorization::Deny
        }
        AuthAction::Pragma { .. } => Authorization::Deny,
        _ => Authorization::Allow,
    };
    let mut peer = Peer::new(SCHEMA);
    let allow_all = None::<fn(AuthContext<'_>) -> Authorization>;
    peer.conn.authorizer(Some(no_internals)).expect("set");
    assert!(peer.conn.prepare("SELECT * FROM t__crsql_clock").is_err(), "the user's own look is denied");
    assert!(peer.conn.execute("INSERT INTO t VALUES (1, 1, 1)", []).is_err(), "and a legitimate write with it");

    peer.conn.prepare("INSERT INTO t VALUES (1, 1, 1)").expect("judged: nothing internal is named");
    peer.conn.authorizer(allow_all).expect("unset");
    peer.run("INSERT INTO t VALUES (1, 1, 1)");
    assert_eq!(peer.changes_since(0).len(), 2);
}
