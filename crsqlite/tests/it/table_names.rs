//! Patch 9: a table whose name is a keyword can be a CRR. Without it `crsql_as_crr` fails with a syntax error.

use crate::peer::Peer;

#[test]
fn a_keyword_is_a_name() {
    let peer =
        Peer::new("CREATE TABLE \"order\" (id INTEGER PRIMARY KEY NOT NULL, \"group\"); SELECT crsql_as_crr('order');");
    peer.run("INSERT INTO \"order\" VALUES (1, 2)");
    assert_eq!(peer.changes_since(0).len(), 1);
    peer.run(
        "SELECT crsql_begin_alter('order'); ALTER TABLE \"order\" ADD COLUMN n; SELECT crsql_commit_alter('order');",
    );
    peer.run("UPDATE \"order\" SET n = 5");
    assert_eq!(peer.changes_since(0).len(), 2);
}
