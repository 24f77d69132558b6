//! Patch 10: an empty or NULL value is a value like others. Without it a debug build ends at a slice from a null
//! pointer.

use rusqlite::params;
use rusqlite::types::Value;

use crate::peer::Peer;

const SCHEMA: &str = "CREATE TABLE n (id INTEGER PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('n');
    CREATE TABLE b (id BLOB PRIMARY KEY NOT NULL, v); SELECT crsql_as_crr('b');";

#[test]
fn null_and_empty_values_travel() {
    let (a, b) = (Peer::new(SCHEMA), Peer::new(SCHEMA));
    let values = [Value::Null, Value::Text(String::new()), Value::Blob(vec![])];
    for (id, value) in values.into_iter().enumerate() {
        let id = id as i64;
        a.conn.execute("INSERT INTO n VALUES (?, ?)", params![id, value]).expect("insert");
        a.conn.execute("UPDATE n SET v = x'01' WHERE id = ?", params![id]).expect("update");
        a.conn.execute("UPDATE n SET v = ? WHERE id = ?", params![value, id]).expect("update back");
        // Equal column versions: the values are compared.
        b.conn.execute("INSERT INTO n VALUES (?, ?)", params![id, value]).expect("insert");
        b.conn.execute("UPDATE n SET v = x'' WHERE id = ?", params![id]).expect("update");
        b.conn.execute("UPDATE n SET v = NULL WHERE id = ?", params![id]).expect("update back");
    }
    a.run("INSERT INTO b VALUES (x'', x'')");
    let (from_a, from_b) = (a.changes_since(0), b.changes_since(0));
    a.apply_all(&from_b);
    b.apply_all(&from_a);
    for all in ["SELECT * FROM n ORDER BY id", "SELECT * FROM b"] {
        assert_eq!(a.rows(all), b.rows(all));
    }
}

#[test]
fn functions_take_no_arguments() {
    let peer = Peer::new(SCHEMA);
    assert_eq!(peer.one("SELECT hex(crsql_pack_columns())"), Value::Text("00".into()));
    assert!(peer.try_rows("SELECT crsql_as_crr()").is_err());
    assert_eq!(peer.int("SELECT count(*) FROM crsql_changes"), 0);
}
