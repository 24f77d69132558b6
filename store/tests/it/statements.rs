//! What apps and operators may run, and what comes back.

use greenlight_core::Value;
use greenlight_store::{Done, StatementError, Work};

use crate::peers::{client, exec, rows, server};

#[test]
fn values_come_back_as_they_went_in() {
    let mut alice = client(1);
    let values = [
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Integer(i64::MAX),
        Value::Real(5.0),
        Value::Real(-0.0),
        Value::Text("ü\u{0}x".into()),
        Value::Text(String::new()),
        Value::Blob(vec![0, 255]),
        Value::Blob(vec![]),
    ];
    for (id, value) in values.iter().enumerate() {
        let params = [Value::Integer(id as i64), value.clone()];
        let (answer, _) = alice.exec("INSERT INTO t (id, a) VALUES (?1, ?2) RETURNING a, id", &params).unwrap();
        assert_eq!((answer.columns, answer.changes), (vec!["a".to_owned(), "id".to_owned()], 1));
        assert_eq!(answer.rows, [[value.clone(), Value::Integer(id as i64)]]);
    }
    let answer = alice.query("SELECT a FROM t ORDER BY id", &[]).unwrap();
    assert_eq!(answer.rows.concat(), values);
}

#[test]
fn what_is_not_an_app_s_business_is_denied() {
    let mut alice = client(1);
    alice.exec("INSERT INTO t VALUES (1, 1, 1)", &[]).unwrap();
    let before = alice.digests().unwrap();
    for sql in [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT x",
        "ATTACH ':memory:' AS x",
        "DETACH main",
        "VACUUM",
        "SELECT load_extension('x')",
        "SELECT crsql_internal_sync_bit(1)",
        "SELECT crsql_next_db_version(100)",
        "SELECT crsql_begin_alter('t')",
        "SELECT crsql_as_table('t')",
        "SELECT crsql_finalize()",
        "PRAGMA journal_mode = off",
        "PRAGMA writable_schema = on",
        "PRAGMA user_version = 3",
        "PRAGMA foreign_keys = on",
        "DROP TABLE t",
        "ALTER TABLE t ADD COLUMN z",
        "CREATE TABLE z (a)",
        "CREATE UNIQUE INDEX z ON t (a)",
        "CREATE TRIGGER z AFTER INSERT ON t BEGIN SELECT 1; END",
        "CREATE TEMP TRIGGER z AFTER INSERT ON t BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE z USING fts5 (a)",
        "DROP VIEW sums",
        "REINDEX",
        "ANALYZE",
        "DELETE FROM t__crsql_clock",
        "UPDATE t__crsql_pks SET id = 3",
        "UPDATE crsql_site_id SET site_id = x'00'",
        "INSERT INTO crsql_changes VALUES ('t', x'010901', 'a', 1, 1, 1, x'00', 1, 1)",
        "DELETE FROM greenlight_state",
        "INSERT INTO greenlight_bound VALUES (1, 1, 1)",
        "DELETE FROM sqlite_schema",
        "SELECT 1; DELETE FROM greenlight_state",
    ] {
        let result = alice.exec(sql, &[]);
        assert!(matches!(result, Err(StatementError::Denied(_) | StatementError::Sql(_))), "{sql}: {result:?}");
        assert!(!alice.in_transaction());
    }
    assert_eq!(alice.digests().unwrap(), before);
    let (_, commit) = alice.exec("UPDATE t SET a = 2", &[]).unwrap();
    assert_eq!(commit.outbox.changes, 2, "and writes are recorded as ever");
}

#[test]
fn what_is_an_app_s_business_is_allowed() {
    let mut alice = client(1);
    for sql in [
        "CREATE TEMP TABLE z (a); INSERT INTO z VALUES (1); DROP TABLE z",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) INSERT INTO t SELECT i, 'x', upper('y') FROM n",
        "UPDATE t SET id = id + 100 WHERE id > 5; DELETE FROM t WHERE id = 1",
        "SELECT crsql_site_id(), crsql_db_version()",
        "SELECT * FROM sums",
        "PRAGMA table_info(t)",
        "SELECT count(*) FROM crsql_changes",
        "REPLACE INTO pair (x, y) VALUES ('a', x'01')",
        "-- a word before\nSELECT 1 /* and after */;",
    ] {
        let result = alice.exec(sql, &[]);
        assert!(result.is_ok(), "{sql}: {result:?}");
    }
    assert_eq!(rows(alice.connection(), "t").len(), 8);
}

#[test]
fn wrong_requests_are_told_and_change_nothing() {
    let mut alice = client(1);
    let one = [Value::Integer(1)];
    for (sql, params) in [
        ("", &[][..]),
        (" -- nothing\n", &[]),
        ("SELECT ?1, ?2", &one),
        ("SELECT 1", &one),
        ("INSERT INTO t VALUES (?1, 1, 1); SELECT ?1", &one),
    ] {
        let result = alice.exec(sql, params);
        assert!(matches!(result, Err(StatementError::Parameters(_))), "{sql}: {result:?}");
    }
    for sql in ["SELEC 1", "SELECT * FROM nowhere", "INSERT INTO t VALUES (1, 1, 1); INSERT INTO t VALUES (1, 1, 1)"] {
        assert!(matches!(alice.exec(sql, &[]), Err(StatementError::Sql(_))), "{sql}");
    }
    assert!(rows(alice.connection(), "t").is_empty());
    assert!(alice.query("DELETE FROM t", &[]).is_err());
    assert!(alice.query("SELECT 1; SELECT 2", &[]).is_err());
    let long = format!("SELECT '{}'", "x".repeat(greenlight_store::limits::SQL_BYTES));
    assert!(matches!(alice.exec(&long, &[]), Err(StatementError::TooLarge(_))));
}

#[test]
fn too_large_a_result_is_refused() {
    let mut alice = client(1);
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    assert!(matches!(alice.query(endless, &[]), Err(StatementError::TooLarge(_))));
}

#[test]
fn a_query_tells_what_it_reads() {
    let alice = client(1);
    assert_eq!(alice.tables_read("SELECT * FROM sums, t").unwrap(), ["pair", "t"]);
    assert_eq!(alice.tables_read("SELECT (SELECT count(*) FROM mark)").unwrap(), ["mark"]);
    assert!(alice.tables_read("SELECT 1").unwrap().is_empty());
}

#[test]
fn an_operator_s_statement_is_a_version_like_any_other() {
    let mut server = server(1);
    let committed = exec(&mut server, "INSERT INTO t VALUES (1, 1, 1); INSERT INTO mark VALUES ('a')");
    assert_eq!(committed.tables, ["mark", "t"]);
    let denied = Work::Exec { sql: "DELETE FROM greenlight_tag".to_owned(), params: Vec::new() };
    let committed = server.commit(&[denied]).unwrap();
    assert!(matches!(committed.done[..], [Done::Exec(Err(StatementError::Denied(_)))]));
    assert_eq!(committed.before, committed.head);
}

#[test]
fn a_value_too_large_to_travel_fails_where_it_is_written() {
    let mut alice = client(1);
    let limit = greenlight_core::limits::MAX_VALUE_BYTES;
    let large = Value::Blob(vec![0; limit + 1]);
    assert!(matches!(alice.exec("INSERT INTO t VALUES (1, ?1, 1)", &[large]), Err(StatementError::TooLarge(_))));
    let sql = format!("INSERT INTO t VALUES (1, zeroblob({}), 1)", limit + 1);
    assert!(matches!(alice.exec(&sql, &[]), Err(StatementError::TooLarge(_))));
    let written: Result<_, greenlight_core::replica::Fault> = alice.local_write(|conn| {
        conn.execute(&sql, []).map_err(|error| greenlight_core::replica::Fault {
            kind: greenlight_core::replica::FaultKind::Internal,
            message: error.to_string(),
        })
    });
    assert!(written.is_err());
    assert!(rows(alice.connection(), "t").is_empty());

    // Nearly as large travels, and so do two that meet in one row.
    let mut server = server(2);
    let mut bob = client(3);
    let nearly = [Value::Blob(vec![7; limit - 1_000])];
    alice.exec("INSERT INTO t (id, a) VALUES (1, ?1)", &nearly).unwrap();
    bob.exec("INSERT INTO t (id, b) VALUES (1, ?1)", &nearly).unwrap();
    for _ in 0..2 {
        crate::peers::sync(&mut alice, &mut server);
        crate::peers::sync(&mut bob, &mut server);
    }
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
    assert_eq!(bob.digests().unwrap(), server.digests().unwrap());
    assert_eq!(server.shelved(greenlight_store::Shelf::Quarantine, 1).unwrap(), []);
}
