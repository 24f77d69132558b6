//! Patch 12: a table that becomes a CRR is filled in one pass. Without it every cell is looked for once more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::peer::Peer;

/// Keys that sort otherwise than they were written; defaults, and values that are them.
const ROWS: &str =
    "CREATE TABLE t (x TEXT NOT NULL, n INTEGER NOT NULL, a, b DEFAULT 7, \"c d\" TEXT, PRIMARY KEY (x, n));
    WITH RECURSIVE many (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < 200)
    INSERT INTO t SELECT hex(i * 7919 % 211), i % 5, i, iif(i % 3, 7, NULL), iif(i % 2, 'text', NULL) FROM many";
/// Every clock entry, with the key that it is of.
const CLOCKS: &str = "SELECT x, n, col_name, col_version, db_version, site_id, seq, __crsql_key
    FROM t__crsql_clock JOIN t__crsql_pks ON key = __crsql_key ORDER BY seq";

/// How often statements that read the clocks are prepared while a table of these columns becomes a CRR.
fn looks(columns: &str) -> u32 {
    let mut peer = Peer::new(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, {columns}); INSERT INTO t (id) VALUES (1)"
    ));
    let seen = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&seen);
    let watch = move |context: AuthContext<'_>| {
        let is_read = matches!(context.action, AuthAction::Read { table_name: "t__crsql_clock", .. });
        counted.fetch_add(u32::from(is_read), Ordering::Relaxed);
        Authorization::Allow
    };
    peer.conn.authorizer(Some(watch)).expect("it is watched");
    peer.run("SELECT crsql_as_crr('t')");
    assert_eq!(peer.int("SELECT count(*) FROM t__crsql_clock"), columns.split(',').count() as i64);
    seen.load(Ordering::Relaxed)
}

#[test]
fn clocks_are_not_looked_for_once_more_for_each_column() {
    assert_eq!(looks("a"), looks("a, b, c, d"));
}

#[test]
fn every_cell_has_its_clock_in_the_order_of_the_keys() {
    let peer = Peer::new(ROWS);
    peer.run("SELECT crsql_as_crr('t')");
    let expected = "SELECT x, n, name, 1, 1, 0, 3 * (number - 1) + place, number FROM
        (SELECT x, n, row_number() OVER (ORDER BY x, n) AS number FROM t),
        (SELECT 'a' AS name, 0 AS place UNION ALL SELECT 'b', 1 UNION ALL SELECT 'c d', 2) ORDER BY 7";
    let (clocks, expected) = (peer.rows(CLOCKS), peer.rows(expected));
    assert!(clocks.len() == 600 && clocks == expected, "{:?}, {:?}", &clocks[..9], &expected[..9]);
}

#[test]
fn what_is_missing_later_is_still_found() {
    let peer = Peer::new(ROWS);
    peer.run("SELECT crsql_as_crr('t')");
    let before = peer.rows(CLOCKS);
    // A row and a column beside cr-sqlite, as in an alteration.
    peer.run(
        "SELECT crsql_begin_alter('t'); ALTER TABLE t ADD COLUMN e DEFAULT 1;
         INSERT INTO t (x, n, a, e) VALUES ('new', 1, 2, 3); UPDATE t SET e = 5 WHERE n = 2;
         SELECT crsql_commit_alter('t')",
    );
    let after = peer.rows(CLOCKS);
    assert!(before.iter().all(|entry| after.contains(entry)), "what was there stays");
    // Those that are not the default, and those of the new row.
    assert_eq!(peer.int("SELECT count(*) FROM t__crsql_clock WHERE col_name = 'e'"), 41);
    assert_eq!(after.len() - before.len(), 44);
}
