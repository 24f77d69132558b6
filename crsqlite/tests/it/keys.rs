//! Patch 4: every key is the same on the other side. Without it the integers and lengths whose first byte is 128 or
//! more come out negative.

use rusqlite::params;
use rusqlite::types::Value;

use crate::peer::{PK, Peer};

const SCHEMA: &str = "
    CREATE TABLE n (id INTEGER PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('n');
    CREATE TABLE s (id TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('s');
    CREATE TABLE b (id BLOB PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('b');
    CREATE TABLE r (id REAL PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('r');
    CREATE TABLE c (x INTEGER NOT NULL, y TEXT NOT NULL, z BLOB NOT NULL, v, PRIMARY KEY (x, y, z));
    SELECT crsql_as_crr('c');";

const INTEGERS: [i64; 22] = [
    0,
    1,
    127,
    128,
    200,
    255,
    256,
    32_767,
    32_768,
    65_535,
    65_536,
    8_388_608,
    16_777_215,
    16_777_216,
    2_147_483_647,
    2_147_483_648,
    4_294_967_295,
    140_737_488_355_328,
    i64::MAX,
    i64::MIN,
    -1,
    -200,
];

const LENGTHS: [usize; 9] = [0, 1, 127, 128, 255, 256, 32_768, 40_000, 70_000];

/// Applies everything that `a` has to a fresh peer and compares every table.
fn travels(a: &Peer) {
    let b = Peer::new(SCHEMA);
    b.apply_all(&a.changes_since(0));
    for table in ["n", "s", "b", "r", "c"] {
        let all = format!("SELECT * FROM {table} ORDER BY 1, 2, 3");
        let all = if table == "c" { all } else { all.replace(", 3", "") };
        assert_eq!(a.rows(&all), b.rows(&all), "{table}");
    }
    // Applied again they are known, so nothing gets a new version.
    let head = b.head();
    b.apply_all(&a.changes_since(0));
    assert_eq!(b.head(), head);
}

#[test]
fn integer_keys_travel() {
    let a = Peer::new(SCHEMA);
    for id in INTEGERS {
        a.conn.execute("INSERT INTO n VALUES (?1, ?1)", params![id]).expect("insert");
    }
    travels(&a);
}

#[test]
fn text_and_blob_keys_of_every_length_travel() {
    let a = Peer::new(SCHEMA);
    for length in LENGTHS {
        let text = "é".repeat(length / 2) + &"x".repeat(length % 2);
        a.conn.execute("INSERT INTO s VALUES (?, ?)", params![text, length as i64]).expect("insert");
        a.conn.execute("INSERT INTO b VALUES (?, ?)", params![vec![0xff_u8; length], length as i64]).expect("insert");
    }
    travels(&a);
}

#[test]
fn real_and_composite_keys_travel() {
    let a = Peer::new(SCHEMA);
    for id in [0.0, -1.5, 3.0, f64::MAX, f64::MIN_POSITIVE] {
        a.conn.execute("INSERT INTO r VALUES (?1, ?1)", params![id]).expect("insert");
    }
    for (x, y, z) in [(0, "", vec![]), (200, "é", vec![0]), (-1, "a\0b", vec![255_u8; 200])] {
        a.conn.execute("INSERT INTO c VALUES (?, ?, ?, 'v')", params![x, y, z]).expect("insert");
    }
    travels(&a);
}

/// The packed form, which `core` and other clients read and write: unsigned and minimal integers, bare type bytes.
#[test]
fn the_packed_form_is_what_is_documented() {
    let a = Peer::new(SCHEMA);
    let packed = |values: &str| a.one(&format!("SELECT hex(crsql_pack_columns({values}))"));
    for (values, form) in [
        ("255", "0109FF"),
        ("0", "0101"),
        ("-1", "0141FFFFFFFFFFFFFFFF"),
        ("''", "0103"),
        ("x''", "0104"),
        ("NULL", "0105"),
        ("1.0", "01023FF0000000000000"),
        ("'ab', 256", "020B02616211 0100"),
    ] {
        assert_eq!(packed(values), Value::Text(form.replace(' ', "")), "{values}");
    }
    a.run("INSERT INTO n VALUES (255, 1)");
    assert_eq!(a.changes_since(0)[0][PK], Value::Blob(vec![1, 9, 255]));
}
