//! Patch 2: memory handed to SQLite comes from SQLite. Without it these free Rust's memory with SQLite's allocator,
//! which ends the process.

use rusqlite::types::Value;

use crate::peer::Peer;

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a); SELECT crsql_as_crr('t');";

/// Often enough for a damaged heap to show.
const TIMES: i64 = 200;

#[test]
fn values_and_index_strings_are_copied() {
    let peer = Peer::new(SCHEMA);
    for round in 0..TIMES {
        peer.run(&format!("INSERT INTO t VALUES ({round}, 'x')"));
        let packed = peer.one(&format!("SELECT crsql_pack_columns({round}, 'some text')"));
        assert!(matches!(packed, Value::Blob(bytes) if bytes[0] == 2));
        // A query with constraints makes an index string, which SQLite frees.
        let rows = peer.rows(&format!("SELECT val FROM crsql_changes WHERE db_version > {round} AND cid = 'a'"));
        assert_eq!(rows.len(), 1);
    }
    peer.close();
}

#[test]
fn messages_are_copied() {
    let peer = Peer::new(SCHEMA);
    peer.run("CREATE TABLE u (a INT, b INT UNIQUE)");
    for _ in 0..TIMES {
        let refused = peer.try_rows("SELECT crsql_as_crr('u')").expect_err("it has no key");
        assert!(refused.to_string().contains("unique indices"), "{refused}");
        let unknown = "INSERT INTO crsql_changes VALUES ('no', x'010901', 'a', 1, 1, 0, zeroblob(16), 1, 1)";
        let refused = peer.conn.execute(unknown, []).expect_err("there is no such table");
        assert!(refused.to_string().contains("could not find the schema information"), "{refused}");
        let refused = peer.conn.execute("DELETE FROM crsql_changes", []);
        assert!(refused.is_ok(), "no rows, so nothing is refused yet");
    }
    peer.run("INSERT INTO t VALUES (1, 'x')");
    for _ in 0..TIMES {
        let refused = peer.conn.execute("DELETE FROM crsql_changes", []).expect_err("changes can't be deleted");
        assert!(refused.to_string().contains("Only INSERT and SELECT"), "{refused}");
    }
    peer.close();
}
