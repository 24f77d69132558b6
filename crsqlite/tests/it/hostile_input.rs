//! Patch 8: what makes no sense in `crsql_changes` is an error that leaves the database as it was. Without it a
//! malformed key ends the process, and the rest is taken in.

use crate::peer::Peer;

const SCHEMA: &str = "
    CREATE TABLE s (id TEXT PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('s');
    CREATE TABLE c (x INTEGER NOT NULL, y TEXT NOT NULL, v, PRIMARY KEY (x, y)); SELECT crsql_as_crr('c');";

/// `INSERT INTO crsql_changes` with the key and the numbers as SQL.
fn insert(peer: &Peer, table: &str, pk: &str, col_version: &str, site: &str, cl: &str) -> rusqlite::Result<usize> {
    let sql =
        format!("INSERT INTO crsql_changes VALUES ('{table}', {pk}, 'v', 'new', {col_version}, 0, {site}, {cl}, 1)");
    peer.conn.execute(&sql, [])
}

/// Everything that a change could have touched.
fn everything(peer: &Peer) -> Vec<Vec<rusqlite::types::Value>> {
    let mut all = peer.rows("SELECT * FROM s");
    for table in ["c", "s__crsql_pks", "c__crsql_pks", "s__crsql_clock", "c__crsql_clock", "crsql_site_id"] {
        all.extend(peer.rows(&format!("SELECT * FROM {table}")));
    }
    all
}

#[test]
fn malformed_keys_are_errors() {
    let peer = Peer::new(SCHEMA);
    peer.run("INSERT INTO s VALUES ('a', 'old'); INSERT INTO c VALUES (1, 'b', 'old')");
    let before = everything(&peer);
    let bad = [
        "x''",
        "x'01'",
        "x'0109'",
        "x'01490102030405060708090a'",
        "x'010bffffff'",
        "x'0143ffffffffffffffffff'",
        "x'ff'",
        "x'010b02ff41'",
        "x'07'",
        "'text'",
        "NULL",
        "5",
        "x'00'",
        "x'010b016161'",
        "x'020b01610901'",
        "x'0106'",
        "x'010243'",
        "x'01f9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff'",
    ];
    for pk in bad {
        let error = insert(&peer, "s", pk, "1", "zeroblob(16)", "1").expect_err(pk).to_string();
        assert!(error.contains("not a packed primary key of table s"), "{pk}: {error}");
    }
    let short = insert(&peer, "c", "x'010901'", "1", "zeroblob(16)", "1").expect_err("one of two columns");
    assert!(short.to_string().contains("table c"), "{short}");
    assert_eq!(everything(&peer), before);
    insert(&peer, "s", "x'010b0161'", "2", "zeroblob(16)", "1").expect("a good one still works");
}

#[test]
fn impossible_numbers_and_sites_are_errors() {
    let peer = Peer::new(SCHEMA);
    peer.run("INSERT INTO s VALUES ('a', 'old')");
    let before = everything(&peer);
    let cases = [
        ("-1", "zeroblob(16)", "1"),
        ("-9223372036854775808", "zeroblob(16)", "1"),
        ("1", "zeroblob(16)", "0"),
        ("1", "zeroblob(16)", "-1"),
        ("1", "zeroblob(16)", "NULL"),
        ("1", "zeroblob(15)", "1"),
        ("1", "zeroblob(17)", "1"),
        ("1", "x''", "1"),
        ("1", "NULL", "1"),
    ];
    for (col_version, site, cl) in cases {
        insert(&peer, "s", "x'010b0161'", col_version, site, cl).expect_err("refused");
    }
    assert_eq!(everything(&peer), before);
    insert(&peer, "s", "x'010b0161'", "0", "zeroblob(16)", "3").expect("a resurrected row has cells of version 0");
}

#[test]
fn unpacking_a_malformed_key_is_an_error() {
    let peer = Peer::new(SCHEMA);
    for package in ["x''", "x'01'", "x'01f9ffffffffffffffffffffffffffffffff'", "x'010b02ff41'", "NULL"] {
        let outcome = peer.try_rows(&format!("SELECT cell FROM crsql_unpack_columns WHERE package = {package}"));
        assert!(outcome.is_err(), "{package} gave {outcome:?}");
    }
    let whole = peer.rows("SELECT cell FROM crsql_unpack_columns WHERE package = crsql_pack_columns(1, 'b', NULL)");
    assert_eq!(whole.len(), 3);
}
