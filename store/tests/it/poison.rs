//! Changes that fail in every way an app's triggers and checks can make them fail: they are put aside, the others
//! are applied, and what is written locally afterwards is still recorded.

use greenlight_core::replica::{ClientStore, DigestScope, DownloadPart, ServerStore, UploadPart};
use greenlight_core::{Bound, Change, Cursor, Tag, Value, Version};
use greenlight_store::{ClientDatabase, Location, Schema, ServerDatabase, Shelf, Work};

use crate::peers::{DDL, all_rows, change, client, exec, options, pull, push, rows, schema, server, sync};

fn rows_of(count: i64) -> Vec<Change> {
    (0..count).map(|id| change("t", &[Value::Integer(id)], "a", Value::Integer(id))).collect()
}

fn trigger(kind: &str, when: &str) -> String {
    format!("CREATE TRIGGER app BEFORE INSERT ON t WHEN {when} BEGIN SELECT RAISE({kind}, 'no such row'); END")
}

fn upload(site: u8, changes: Vec<Change>) -> UploadPart {
    let until = Bound { version: Version::new(1).unwrap(), tag: Tag(u64::from(site)) };
    UploadPart { site: greenlight_core::SiteId([site; 16]), since: Version::ZERO, until, last: true, changes }
}

#[test]
fn a_trigger_that_aborts_stops_its_row_alone() {
    for kind in ["ABORT", "FAIL", "ROLLBACK"] {
        let mut server = server(1);
        server.connection().execute_batch(&trigger(kind, "new.id % 10 = 3")).unwrap();
        let applied = server.apply(&[upload(1, rows_of(40)), upload(2, rows_of(2))]).unwrap();
        assert_eq!(applied[0].as_ref().unwrap().quarantined, 4, "{kind}");
        assert_eq!(applied[1].as_ref().unwrap().quarantined, 0, "{kind}");
        assert_eq!(rows(server.connection(), "t").len(), 36, "{kind}");
        for site in [1, 2] {
            let peer = server.peer(greenlight_core::SiteId([site; 16]), Cursor::ZERO).unwrap();
            assert_eq!(peer.held.tag, Tag(u64::from(site)), "{kind}");
        }
        let committed = exec(&mut server, "INSERT INTO t VALUES (1000, 1, 1)");
        assert_ne!(committed.before, committed.head, "{kind}: local writes are still recorded");
        let keys: i64 =
            server.connection().query_row("SELECT count(*) FROM t__crsql_pks", [], |row| row.get(0)).unwrap();
        assert_eq!(keys, 37, "{kind}: a failed change leaves nothing behind");
    }
}

#[test]
fn a_trigger_that_rolls_everything_back_ends_even_with_many_rows() {
    let mut server = server(1);
    server.connection().execute_batch(&trigger("ROLLBACK", "new.id >= 20")).unwrap();
    let mut changes = rows_of(100);
    changes.push(change("mark", &[Value::Text("good".into())], "-1", Value::Null));
    let applied = server.apply(&[upload(1, changes)]).unwrap().remove(0).unwrap();
    assert!(applied.quarantined >= 80, "all that can't be applied, and perhaps more of its table");
    assert_eq!(rows(server.connection(), "mark").len(), 1, "other tables go on");
    let shelved = server.shelved(Shelf::Quarantine, 1_000).unwrap();
    assert_eq!(shelved.len() as u64, applied.quarantined);
    assert!(shelved.iter().all(|one| one.sender == Some(greenlight_core::SiteId([1; 16]))));
}

#[test]
fn a_statement_beside_a_rolled_back_part_is_not_lost() {
    let mut server = server(1);
    server.connection().execute_batch(&trigger("ROLLBACK", "new.id = 5")).unwrap();
    let exec = Work::Exec { sql: "INSERT INTO mark VALUES ('kept')".to_owned(), params: Vec::new() };
    server.commit(&[exec.clone(), Work::Upload(upload(1, rows_of(10)))]).unwrap();
    assert_eq!(rows(server.connection(), "mark").len(), 1);
    assert_eq!(rows(server.connection(), "t").len(), 9);
}

#[test]
fn a_client_goes_on_too() {
    let mut alice = client(1);
    alice.connection().execute_batch(&trigger("ROLLBACK", "new.id = 2")).unwrap();
    let until = Cursor { version: Version::new(9).unwrap(), tag: Tag(9) };
    let part = DownloadPart { since: Cursor::ZERO, until, last: true, changes: rows_of(4) };
    let (applied, outbox) = alice.apply(&part).unwrap();
    assert_eq!((applied.quarantined, outbox.quarantined), (1, 1));
    assert_eq!(alice.load().unwrap().cursor, until);
    assert_eq!(rows(alice.connection(), "t").len(), 3);
    alice.exec("INSERT INTO t VALUES (50, 1, 1)", &[]).unwrap();
    assert_eq!(alice.outbox().unwrap().changes, 2);
}

#[test]
fn hostile_fields_are_put_aside_before_cr_sqlite_sees_them() {
    let mut server = server(1);
    let base = change("t", &[Value::Integer(1)], "a", Value::Integer(1));
    let far = 1 << 50;
    let hostile = vec![
        Change { column_version: far, ..base.clone() },
        Change { causal_length: far + 1, column_version: 2, ..base.clone() },
        Change { causal_length: 0, ..base.clone() },
        Change { causal_length: 2, column_version: 7, ..base.clone() },
        Change { column: "-1".into(), value: Value::Null, causal_length: 3, column_version: 5, ..base.clone() },
        Change { column: "-1".into(), causal_length: 1, ..base.clone() },
        change("t", &[Value::Text("1".into())], "a", Value::Null),
        change("t", &[Value::Integer(1), Value::Integer(2)], "a", Value::Null),
        change("pair", &[Value::Integer(1), Value::Blob(vec![])], "n", Value::Integer(1)),
    ];
    let count = hostile.len() as u64;
    let applied = server.apply(&[upload(1, hostile)]).unwrap().remove(0).unwrap();
    assert_eq!(applied.quarantined, count);
    assert!(rows(server.connection(), "t").is_empty());
    let head = server.facts().unwrap().head;
    assert_eq!(head, Cursor::ZERO, "nothing of it became a version");
}

#[test]
fn quarantine_does_not_keep_two_sites_from_agreeing_on_the_rest() {
    let (mut server, mut alice) = (server(1), client(2));
    server.connection().execute_batch(&trigger("ABORT", "new.id = 1")).unwrap();
    alice.exec("INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)", &[]).unwrap();
    sync(&mut alice, &mut server);
    assert_eq!(alice.outbox().unwrap().changes, 0, "received, so acknowledged");
    assert_eq!(rows(server.connection(), "t").len(), 1);
    assert_eq!(server.shelved(Shelf::Quarantine, 10).unwrap().len(), 2);
}

#[test]
fn what_was_put_aside_is_applied_once_what_it_failed_at_is_put_right() {
    let (mut alice, mut server) = (client(1), server(3));
    alice.connection().execute_batch(&trigger("ROLLBACK", "new.id % 10 = 3")).unwrap();
    for id in 0..40 {
        exec(&mut server, &format!("INSERT INTO t VALUES ({id}, 'a', 'b')"));
    }
    sync(&mut alice, &mut server);
    assert!(alice.outbox().unwrap().quarantined >= 4);
    // Tried too early: what fits goes in, what does not stays, with its reason and its time.
    let (_, outbox) = alice.retry_quarantined().unwrap();
    assert_eq!(outbox.quarantined, 8, "two cells of four rows");
    let kept = alice.shelved(Shelf::Quarantine, 100).unwrap();
    assert!(kept.iter().all(|one| one.since_ms > 0 && one.reason.contains("rolled")), "{kept:?}");
    assert_eq!(alice.retry_quarantined().unwrap().0, 0);
    alice.connection().execute_batch("DROP TRIGGER app").unwrap();
    let (applied, outbox) = alice.retry_quarantined().unwrap();
    assert_eq!((applied, outbox.quarantined, outbox.changes), (8, 0, 0), "others' changes are not pending here");
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
}

/// A server whose rules refuse what Alice is about to write, Alice and Bob, all in step.
fn refusing(rule: &str) -> (ServerDatabase, ClientDatabase, ClientDatabase) {
    let (mut server, mut alice, mut bob) = (server(1), client(2), client(3));
    exec(&mut server, "INSERT INTO t VALUES (1, 'one', 1); INSERT INTO t VALUES (2, 'two', 2)");
    exec(&mut server, "DELETE FROM t WHERE id = 2");
    for client in [&mut alice, &mut bob] {
        sync(client, &mut server);
    }
    server.connection().execute_batch(rule).unwrap();
    (server, alice, bob)
}

fn has_sums(server: &mut ServerDatabase) -> bool {
    server.digest(&DigestScope::Tables).unwrap().sums.is_some()
}

#[test]
fn what_is_dropped_is_overruled_at_its_author() {
    let raise = "BEGIN SELECT RAISE(ABORT, 'no'); END";
    for (rule, sql) in [
        ("BEFORE INSERT ON t", "INSERT INTO t VALUES (3, 'three', 3)"),
        ("BEFORE INSERT ON t", "INSERT INTO t VALUES (2, 'two again', 3)"),
        ("BEFORE UPDATE ON t", "UPDATE t SET a = 'other', b = 7 WHERE id = 1"),
        ("BEFORE DELETE ON t", "DELETE FROM t WHERE id = 1"),
        (
            "BEFORE INSERT ON t",
            "INSERT INTO t VALUES (3, 'three', 3); DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (3, 'x', 1)",
        ),
        ("BEFORE UPDATE ON t", "DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (1, 'made again', 9)"),
    ] {
        let (mut server, mut alice, mut bob) = refusing(&format!("CREATE TRIGGER rule {rule} {raise}"));
        let before = all_rows(server.connection());
        alice.exec(sql, &[]).unwrap();
        push(&mut alice, &mut server);
        let ids: Vec<_> =
            server.shelved(Shelf::Quarantine, 100).unwrap().iter().map(greenlight_store::Shelved::id).collect();
        assert!(!ids.is_empty(), "{sql}");
        assert!(!has_sums(&mut server), "{sql}: nobody is told that rows differ which are known to");
        let (dropped, unknown) = server.drop_quarantined(&ids).unwrap();
        assert_eq!((dropped.len(), unknown.len()), (ids.len(), 0), "{sql}");
        assert!(has_sums(&mut server), "{sql}");
        assert_eq!(all_rows(server.connection()), before, "{sql}: nothing of the server's changed");
        for client in [&mut alice, &mut bob] {
            sync(client, &mut server);
            assert_eq!(all_rows(client.connection()), before, "{sql}");
            assert_eq!(client.digests().unwrap(), server.digests().unwrap(), "{sql}");
        }
        assert_eq!(server.shelved(Shelf::Quarantine, 1).unwrap(), [], "{sql}: nothing came back");
    }
}

#[test]
fn what_is_left_out_stays_out_until_the_schema_changes() {
    let folder = tempfile::tempdir().unwrap();
    let location = || Location::File(folder.path().join("alice.db"));
    let rule = "CREATE TRIGGER rule BEFORE INSERT ON t WHEN new.id > 1 BEGIN SELECT RAISE(ABORT, 'too many'); END;";
    let strict = Schema::parse(&format!("{DDL}{rule}")).unwrap();
    let (mut server, mut alice) = (server(1), ClientDatabase::open(options(2, location()), &strict).unwrap());
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1); INSERT INTO t VALUES (2, 2, 2); INSERT INTO t VALUES (3, 3, 3)");
    pull(&mut alice, &mut server);
    let aside = alice.shelved(Shelf::Quarantine, 100).unwrap();
    assert_eq!(aside.len(), 4);
    let of_two: Vec<_> = aside.iter().take(2).map(greenlight_store::Shelved::id).collect();
    let (count, outbox) = alice.leave_out(&of_two).unwrap();
    assert_eq!((count, outbox.quarantined, outbox.left_out, outbox.changes), (2, 2, 2, 0));
    assert_eq!(alice.leave_out(&of_two).unwrap().0, 0, "it is not in quarantine any more");
    // All of it comes again: only what nobody has looked at is shown.
    alice.forget_cursor().unwrap();
    pull(&mut alice, &mut server);
    let outbox = alice.outbox().unwrap();
    assert_eq!((outbox.quarantined, outbox.left_out), (2, 2));
    drop(alice);
    // Another rule, under which one of the two rows is still refused: it is shown anew.
    let looser = Schema::parse(&format!("{DDL}{}", rule.replace("> 1", "> 2"))).unwrap();
    let mut alice = ClientDatabase::open(options(3, location()), &looser).unwrap();
    let outbox = alice.outbox().unwrap();
    assert_eq!((outbox.quarantined, outbox.left_out), (2, 0));
    assert_eq!(rows(alice.connection(), "t").len(), 2);
    drop(alice);
    let mut alice = ClientDatabase::open(options(4, location()), &schema()).unwrap();
    assert_eq!((alice.outbox().unwrap().quarantined, rows(alice.connection(), "t").len()), (0, 3));
}
