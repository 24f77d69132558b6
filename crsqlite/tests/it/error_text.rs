//! Patch 11: a merge that is refused says why. Without it the error is "constraint failed" alone.

use crate::peer::Peer;

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a); SELECT crsql_as_crr('t');";

#[test]
fn the_text_of_a_trigger_and_of_a_check_comes_through() {
    let from = Peer::new(SCHEMA);
    from.run("INSERT INTO t VALUES (1, 'thirteen')");
    let changes = from.changes_since(0);
    let raising = "CREATE TRIGGER picky BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'not on a Friday'); END;";
    let checked = SCHEMA.replace("a)", "a CHECK (a IS NOT 'thirteen'))");
    for (schema, text) in [(format!("{SCHEMA} {raising}"), "not on a Friday"), (checked, "CHECK constraint failed")] {
        let to = Peer::new(&schema);
        let error = to.apply(&changes[0]).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        // The next error is its own.
        let error = to.conn.execute_batch("INSERT INTO crsql_changes (cid) VALUES ('a')").unwrap_err().to_string();
        assert!(!error.contains(text), "{error}");
    }
}
