//! A write's whole way through two stores, and what each step leaves behind.

use greenlight_core::replica::{ClientStore, FaultKind, ServerStore, UploadPart};
use greenlight_core::{Bound, Tag, Value, Version};
use greenlight_store::{Shelf, Work};

use crate::peers::{all_rows, change, client, exec, pull, push, rows, server, sync};

#[test]
fn a_write_reaches_the_other_client_and_is_acknowledged() {
    let (mut server, mut alice, mut bob) = (server(1), client(2), client(3));
    let (answer, commit) = alice
        .exec("INSERT INTO t VALUES (?, ?, ?)", &[Value::Integer(1), Value::Text("x".into()), Value::Real(5.0)])
        .unwrap();
    assert_eq!(answer.changes, 1);
    assert_eq!((commit.outbox.changes, &commit.tables[..]), (2, &["t".to_owned()][..]));
    assert!(commit.outbox.oldest_ms.is_some());

    push(&mut alice, &mut server);
    assert_eq!(alice.outbox().unwrap().changes, 0);
    pull(&mut bob, &mut server);
    assert_eq!(all_rows(bob.connection()), all_rows(alice.connection()));
    assert_eq!(bob.outbox().unwrap().changes, 0, "what was downloaded is not pending");
    assert_eq!(bob.digests().unwrap(), server.digests().unwrap());
    pull(&mut alice, &mut server);
    assert_eq!(alice.load().unwrap().cursor, server.facts().unwrap().head);
}

#[test]
fn every_kind_of_write_converges() {
    let (mut server, mut alice, mut bob) = (server(1), client(2), client(3));
    let writes = [
        "INSERT INTO t VALUES (1, 'a', x'00ff'), (2, NULL, 2.5), (255, 9223372036854775807, ''), (-1, 0, 0)",
        "INSERT INTO pair (x, y, n) VALUES ('', x'', 1), ('k', x'80', 2)",
        "INSERT INTO mark VALUES ('one'), ('two')",
        "UPDATE t SET id = 7 WHERE id = 1",
        "UPDATE OR REPLACE t SET id = 2 WHERE id = 7",
        "DELETE FROM t WHERE id = 255",
        "INSERT OR REPLACE INTO t VALUES (255, 1, 1)",
        "UPDATE pair SET x = 'z', m = 1.5 WHERE x = 'k'",
        "DELETE FROM mark WHERE id = 'one'",
        "INSERT INTO mark VALUES ('one')",
    ];
    for (round, sql) in writes.iter().enumerate() {
        let writer = if round % 2 == 0 { &mut alice } else { &mut bob };
        writer.exec(sql, &[]).unwrap();
        sync(&mut alice, &mut server);
        sync(&mut bob, &mut server);
        sync(&mut alice, &mut server);
        assert_eq!(all_rows(alice.connection()), all_rows(server.connection()), "{sql}");
        assert_eq!(all_rows(bob.connection()), all_rows(server.connection()), "{sql}");
        assert_eq!(alice.digests().unwrap(), server.digests().unwrap(), "{sql}");
        assert_eq!(bob.digests().unwrap(), server.digests().unwrap(), "{sql}");
    }
}

#[test]
fn what_cannot_be_applied_is_put_aside_and_stops_nothing() {
    let mut server = server(1);
    let bad_check = change("pair", &[Value::Text("a".into()), Value::Blob(vec![1])], "n", Value::Integer(500));
    let unknown = change("later", &[Value::Integer(1)], "a", Value::Integer(1));
    let wrong_key = change("pair", &[Value::Text("a".into())], "n", Value::Integer(5));
    let good = change("t", &[Value::Integer(1)], "a", Value::Text("good".into()));
    let part = UploadPart {
        site: good.site,
        since: Version::ZERO,
        until: Bound { version: Version::new(3).unwrap(), tag: Tag(77) },
        last: true,
        changes: vec![bad_check, unknown, wrong_key, good],
    };
    let applied = server.apply(std::slice::from_ref(&part)).unwrap().remove(0).unwrap();
    assert_eq!((applied.quarantined, applied.held_aside), (2, 1));
    assert_eq!(rows(server.connection(), "t").len(), 1);
    assert_eq!(rows(server.connection(), "pair").len(), 0, "a failed change leaves no row behind");
    assert_eq!(server.shelved(Shelf::Quarantine, 10).unwrap().len(), 2);
    let site = part.changes[0].site;
    let head = server.facts().unwrap().head;
    assert_eq!(server.peer(site, head).unwrap().held, part.until);
    assert!(server.peer(site, head).unwrap().cursor_known);

    // Again: nothing new, and local writes are still recorded.
    assert_eq!(server.apply(&[part]).unwrap().remove(0).unwrap(), Default::default());
    let committed = exec(&mut server, "INSERT INTO t VALUES (2, 1, 1)");
    assert_ne!(committed.before, committed.head);
    assert_eq!(committed.tables, ["t"]);
}

#[test]
fn a_range_that_leaves_a_gap_is_refused_alone() {
    let mut server = server(1);
    let part = |site, since, key| UploadPart {
        site: greenlight_core::SiteId([site; 16]),
        since: Version::new(since).unwrap(),
        until: Bound { version: Version::new(9).unwrap(), tag: Tag(1) },
        last: true,
        changes: vec![change("t", &[Value::Integer(key)], "a", Value::Null)],
    };
    let results = server.apply(&[part(1, 5, 1), part(2, 0, 2)]).unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().kind, FaultKind::OutOfOrder);
    assert!(results[1].is_ok());
    assert_eq!(rows(server.connection(), "t").len(), 1);
}

#[test]
fn one_failing_statement_stops_no_other() {
    let mut server = server(1);
    let work = |sql: &str| Work::Exec { sql: sql.to_owned(), params: Vec::new() };
    let committed = server
        .commit(&[
            work("INSERT INTO t VALUES (1, 1, 1)"),
            work("INSERT INTO t VALUES (1, 2, 2)"),
            work("INSERT OR ROLLBACK INTO t VALUES (1, 3, 3)"),
            work("INSERT INTO t VALUES (2, 1, 1)"),
        ])
        .unwrap();
    let ok: Vec<bool> = committed.done.iter().map(|done| matches!(done, greenlight_store::Done::Exec(Ok(_)))).collect();
    assert_eq!(ok, [true, false, false, true]);
    assert_eq!(rows(server.connection(), "t").len(), 2);
}

#[test]
fn a_session_sees_nothing_of_an_open_transaction() {
    let mut alice = client(2);
    alice.begin_transaction().unwrap();
    alice.exec("INSERT INTO t VALUES (1, 1, 1)", &[]).unwrap();
    assert_eq!(alice.load().unwrap_err().kind, FaultKind::Busy);
    assert_eq!(alice.begin_upload().unwrap_err().kind, FaultKind::Busy);
    assert!(alice.exec("INSERT INTO t VALUES (1, 1, 1)", &[]).is_err());
    let commit = alice.commit_transaction().unwrap();
    assert_eq!((commit.outbox.changes, commit.tables), (2, vec!["t".to_owned()]));
    alice.begin_transaction().unwrap();
    alice.exec("DELETE FROM t", &[]).unwrap();
    alice.rollback_transaction();
    assert_eq!(rows(alice.connection(), "t").len(), 1);
}
