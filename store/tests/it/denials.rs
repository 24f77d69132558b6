//! The guard from the side of someone who tries to get around it, and statements inside an app's transaction.

use greenlight_core::Value;
use greenlight_core::replica::ClientStore;
use greenlight_store::limits::SQL_PARAMETERS;
use greenlight_store::{Done, StatementError, Work};

use crate::peers::{client, rows, server};

/// Each would break sync, or reach beyond the database, if it were let through.
const WAYS_AROUND: [&str; 27] = [
    "DELETE FROM \"greenlight_state\"",
    "DELETE FROM main.greenlight_state",
    "delete from GREENLIGHT_STATE",
    "UPDATE [Greenlight_Tag] SET tag = 1",
    "REPLACE INTO greenlight_peer VALUES (x'00', 1, 1, 1)",
    "WITH x AS (SELECT 1) DELETE FROM t__crsql_clock",
    "UPDATE T__CRSQL_CLOCK SET db_version = 1",
    "DELETE FROM crsql_master",
    "DELETE FROM CRSQL_CHANGES",
    "INSERT INTO t SELECT 5, crsql_internal_sync_bit(1), 1",
    "UPDATE t SET a = CRSQL_NEXT_DB_VERSION(1000000)",
    "SELECT \"crsql_finalize\"()",
    "SELECT crsql_fract_as_ordered('t', 'a')",
    "SELECT crsql_automigrate('CREATE TABLE z (a)')",
    "SELECT Load_Extension('x')",
    "EXPLAIN DELETE FROM greenlight_state",
    "/**/ COMMIT",
    "END",
    "RELEASE greenlight_statement",
    "ROLLBACK TO greenlight_statement",
    "VACUUM INTO 'copy'",
    "PRAGMA main.journal_mode = delete",
    "PRAGMA synchronous = off",
    "PRAGMA wal_checkpoint",
    "PRAGMA optimize",
    "SELECT * FROM pragma_wal_checkpoint",
    "ATTACH DATABASE '' AS x",
];

#[test]
fn no_spelling_gets_around_the_guard() {
    let (mut alice, mut server) = (client(1), server(2));
    alice.exec("INSERT INTO t VALUES (1, 1, 1)", &[]).unwrap();
    let before = (alice.load().unwrap(), alice.digests().unwrap());
    for sql in WAYS_AROUND {
        // Alone, behind a statement that is allowed, and within a transaction.
        for text in [sql.to_owned(), format!("INSERT INTO mark VALUES ('x'); {sql}")] {
            let result = alice.exec(&text, &[]);
            assert!(matches!(result, Err(StatementError::Denied(_) | StatementError::Sql(_))), "{text}: {result:?}");
            alice.begin_transaction().unwrap();
            assert!(alice.exec(&text, &[]).is_err(), "{text}");
            assert!(alice.in_transaction(), "{text}");
            alice.rollback_transaction();
        }
        assert!(alice.query(sql, &[]).is_err(), "{sql}");
        let done = server.commit(&[Work::Exec { sql: sql.to_owned(), params: vec![] }]).unwrap().done;
        assert!(matches!(done[..], [Done::Exec(Err(StatementError::Denied(_) | StatementError::Sql(_)))]), "{sql}");
    }
    assert_eq!((alice.load().unwrap(), alice.digests().unwrap()), before, "nothing of it was done");
    assert!(rows(server.connection(), "t").is_empty());
}

#[test]
fn a_denial_says_what_it_denies() {
    let mut alice = client(1);
    for (sql, part) in [
        ("BEGIN", "transactions"),
        ("ATTACH 'x' AS y", "attached"),
        ("DELETE FROM greenlight_state", "`greenlight_state`"),
        ("SELECT crsql_finalize()", "`crsql_finalize`"),
        ("PRAGMA synchronous = off", "`synchronous`"),
        ("DROP TABLE t", "schema's file"),
    ] {
        match alice.exec(sql, &[]) {
            Err(StatementError::Denied(sentence)) => assert!(sentence.contains(part), "{sql}: {sentence}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn a_statement_that_fails_in_a_transaction_leaves_the_others() {
    let mut alice = client(1);
    alice.begin_transaction().unwrap();
    alice.exec("INSERT INTO t VALUES (1, 1, 1)", &[]).unwrap();
    assert!(alice.exec("INSERT INTO t VALUES (2, 2, 2); INSERT INTO t VALUES (1, 1, 1)", &[]).is_err());
    assert!(alice.exec("DELETE FROM t; DELETE FROM greenlight_state", &[]).is_err());
    assert!(alice.exec("INSERT INTO t VALUES (?1, 1, 1)", &[]).is_err());
    let (answer, commit) = alice.exec("SELECT id FROM t", &[]).unwrap();
    assert_eq!(answer.rows.concat(), [Value::Integer(1)]);
    assert_eq!(commit, Default::default(), "nothing is committed yet");
    assert!(alice.in_transaction());
    let commit = alice.commit_transaction().unwrap();
    assert_eq!(commit.outbox.changes, 2);
    // One that rolls all back ends the transaction, and later ones are recorded as ever.
    alice.begin_transaction().unwrap();
    alice.exec("INSERT INTO mark VALUES ('lost')", &[]).unwrap();
    assert!(alice.exec("INSERT OR ROLLBACK INTO t VALUES (1, 1, 1)", &[]).is_err());
    assert!(!alice.in_transaction());
    assert!(alice.commit_transaction().is_err());
    assert!(rows(alice.connection(), "mark").is_empty());
    assert_eq!(alice.exec("INSERT INTO mark VALUES ('kept')", &[]).unwrap().1.outbox.changes, 3);
}

/// SQLite takes larger keys than peers do: such a row could never be sent, and all behind it would wait for ever.
#[test]
fn a_key_too_large_to_travel_fails_where_it_is_written() {
    let (mut alice, mut server) = (client(1), server(2));
    let long = "x".repeat(greenlight_core::limits::MAX_KEY_BYTES);
    for sql in ["INSERT INTO mark VALUES (?1)", "INSERT INTO pair (x, y) VALUES ('a', CAST(?1 AS BLOB))"] {
        let params = vec![Value::Text(long.clone())];
        let error = alice.exec(sql, &params).unwrap_err();
        assert!(error.to_string().contains("primary key"), "{error}");
        alice.begin_transaction().unwrap();
        alice.exec(sql, &params).unwrap();
        assert!(alice.commit_transaction().is_err());
        let good =
            Work::Exec { sql: "INSERT INTO t SELECT 1 + max(0, count(*)), 1, 1 FROM t".to_owned(), params: vec![] };
        let done = server.commit(&[Work::Exec { sql: sql.to_owned(), params }, good]).unwrap().done;
        assert!(matches!(done[..], [Done::Exec(Err(StatementError::TooLarge(_))), Done::Exec(Ok(_))]), "{done:?}");
    }
    for database in [alice.connection(), server.connection()] {
        assert!(rows(database, "mark").is_empty() && rows(database, "pair").is_empty());
    }
    assert_eq!(rows(server.connection(), "t").len(), 2);
    alice.exec("INSERT INTO mark VALUES (?1)", &[Value::Text("x".repeat(8_000))]).unwrap();
    crate::peers::sync(&mut alice, &mut server);
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
}

#[test]
fn several_statements_are_all_done_or_none() {
    let mut alice = client(1);
    let (answer, commit) = alice
        .exec("INSERT INTO t VALUES (1, 1, 1), (2, 2, 2); UPDATE t SET a = 5; SELECT sum(a) AS s FROM t;", &[])
        .unwrap();
    assert_eq!((answer.columns, answer.rows), (vec!["s".to_owned()], vec![vec![Value::Integer(10)]]));
    assert_eq!((answer.changes, commit.tables), (4, vec!["t".to_owned()]), "of all of them, and of no trigger");
    let head = commit.outbox.head;
    for wrong in ["DELETE FROM t; SELEC 1", "DELETE FROM t; SELECT * FROM nowhere", "DELETE FROM t; BEGIN"] {
        assert!(alice.exec(wrong, &[]).is_err());
    }
    assert_eq!(rows(alice.connection(), "t").len(), 2);
    assert_eq!(alice.outbox().unwrap().head, head);
}

#[test]
fn parameters_are_counted_and_bounded() {
    let mut alice = client(1);
    let none = |count: usize| vec![Value::Null; count];
    let too_many = alice.exec("SELECT 1", &none(SQL_PARAMETERS + 1));
    assert!(matches!(too_many, Err(StatementError::TooLarge(_))));
    let marks = vec!["?"; SQL_PARAMETERS].join(", ");
    assert!(alice.query(&format!("SELECT 1 IN ({marks})"), &none(SQL_PARAMETERS)).is_ok());
    for (sql, given) in [("SELECT :a, :b", 1), ("SELECT ?2", 1), ("SELECT ?, ?", 3), ("SELECT @a, @a", 2)] {
        assert!(matches!(alice.query(sql, &none(given)), Err(StatementError::Parameters(_))), "{sql}");
    }
    let answer = alice.query("SELECT :b, :a, :b", &[Value::Integer(1), Value::Text("x'; --".into())]).unwrap();
    assert_eq!(answer.rows.concat(), [Value::Integer(1), Value::Text("x'; --".into()), Value::Integer(1)]);
    assert!(matches!(alice.exec("SELECT 1\0; DELETE FROM t", &[]), Err(StatementError::Sql(_))));
}
