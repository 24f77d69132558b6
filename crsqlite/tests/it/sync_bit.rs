//! Patch 5: whatever becomes of a merge, the next local write is recorded. Without it the bit that silences the
//! triggers stays set after a failed insert, update or delete, and local writes go missing from `crsql_changes`.

use crate::peer::Peer;

const PLAIN: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b); SELECT crsql_as_crr('t');";

/// Applies what `from` has, which must fail, and checks that a local write is recorded afterwards.
fn fails_and_recovers(onto: &Peer, from: &Peer) {
    onto.run("BEGIN");
    let outcome: rusqlite::Result<Vec<()>> = from.changes_since(0).iter().map(|change| onto.apply(change)).collect();
    assert!(outcome.is_err(), "the merge was to fail");
    assert_eq!(onto.int("SELECT crsql_internal_sync_bit()"), 0, "right after the failed merge");
    // RAISE(ROLLBACK) has ended the transaction already.
    if !onto.conn.is_autocommit() {
        onto.run("ROLLBACK");
    }
    assert_eq!(onto.int("SELECT crsql_internal_sync_bit()"), 0);
    let before = onto.changes_since(0).len();
    onto.run("INSERT INTO t VALUES (77, 1, 1)");
    assert_eq!(onto.changes_since(0).len(), before + 2, "the local write is recorded");
}

#[test]
fn a_merge_that_breaks_a_check() {
    let onto = Peer::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a CHECK (a IS NULL OR a < 100), b); SELECT crsql_as_crr('t');",
    );
    let from = Peer::new(PLAIN);
    from.run("INSERT INTO t VALUES (1, 500, 'x')");
    fails_and_recovers(&onto, &from);
}

#[test]
fn a_delete_that_a_trigger_refuses() {
    let (onto, from) = (Peer::new(PLAIN), Peer::new(PLAIN));
    from.run("INSERT INTO t VALUES (1, 5, 'x')");
    onto.apply_all(&from.changes_since(0));
    onto.run("CREATE TRIGGER keep BEFORE DELETE ON t BEGIN SELECT raise(ABORT, 'kept'); END");
    from.run("DELETE FROM t");
    fails_and_recovers(&onto, &from);
}

#[test]
fn a_resurrection_that_a_trigger_refuses() {
    let (onto, from) = (Peer::new(PLAIN), Peer::new(PLAIN));
    from.run("INSERT INTO t VALUES (1, 5, 'x'); DELETE FROM t; INSERT INTO t VALUES (1, 6, 'y')");
    onto.run("CREATE TRIGGER keep BEFORE INSERT ON t WHEN new.id = 1 BEGIN SELECT raise(ABORT, 'kept'); END");
    fails_and_recovers(&onto, &from);
}

#[test]
fn a_trigger_that_rolls_everything_back() {
    let (onto, from) = (Peer::new(PLAIN), Peer::new(PLAIN));
    from.run("INSERT INTO t VALUES (1, 5, 'x')");
    onto.run("CREATE TRIGGER keep BEFORE INSERT ON t WHEN new.id = 1 BEGIN SELECT raise(ROLLBACK, 'kept'); END");
    fails_and_recovers(&onto, &from);
}

#[test]
fn a_bit_set_by_hand_ends_with_a_rollback() {
    let peer = Peer::new(PLAIN);
    peer.run("BEGIN; SELECT crsql_internal_sync_bit(1); INSERT INTO t VALUES (1, 1, 1); ROLLBACK");
    peer.run("INSERT INTO t VALUES (1, 1, 1)");
    assert_eq!(peer.changes_since(0).len(), 2);
}
