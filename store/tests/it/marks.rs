//! What a client remembers about its server across reopening: bounds that it sent, the note of a fork, who it is.

use std::path::Path;

use greenlight_core::replica::{Author, ClientStore, DownloadPart, FaultKind, ReadRequest, ServerStore};
use greenlight_core::{Bound, Cursor, Epoch, Lineage, SiteId, Tag, Value, Version};
use greenlight_store::{ClientDatabase, Location, StatementError};

use crate::peers::{all_rows, change, client, exec, options, pull, push, rows, schema, server, sync};

fn open(path: &Path, seed: u64) -> ClientDatabase {
    ClientDatabase::open(options(seed, Location::File(path.to_owned())), &schema()).unwrap()
}

#[test]
fn a_fork_is_remembered_until_an_offer_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client");
    let (mut server, mut bob) = (server(1), client(3));
    bob.exec("INSERT INTO t VALUES (1, 'by Bob', 1)", &[]).unwrap();
    sync(&mut bob, &mut server);
    let mut alice = open(&path, 2);
    alice.exec("INSERT INTO t VALUES (2, 'by Alice', 2)", &[]).unwrap();
    sync(&mut alice, &mut server);
    let before_the_fork = alice.begin_upload().unwrap();
    assert!(!before_the_fork.offer);

    alice.forget_cursor().unwrap();
    assert_eq!(alice.load().unwrap().cursor, Cursor::ZERO);
    drop(alice);
    let mut alice = open(&path, 20);
    assert_eq!(alice.load().unwrap().cursor, Cursor::ZERO);
    alice.acknowledge(before_the_fork.until).unwrap();
    let plan = alice.begin_upload().unwrap();
    assert!(plan.offer, "the acknowledgement of an upload that was no offer doesn't clear the note");
    assert_eq!((plan.since, plan.read.since, plan.read.author), (Bound::ZERO, Version::ZERO, Author::Any));
    let offered = alice.read(&plan.read).unwrap().changes.decode().unwrap();
    let bobs = bob.load().unwrap().site_id;
    assert!(offered.iter().any(|change| change.site == bobs), "every site's changes, under their own names");

    drop(alice);
    let mut alice = open(&path, 21);
    let again = alice.begin_upload().unwrap();
    assert!(again.offer, "an offer that was begun is not one that has arrived");
    drop(alice);
    let mut alice = open(&path, 22);
    alice.acknowledge(again.until).unwrap();
    assert!(!alice.begin_upload().unwrap().offer);
    drop(alice);
    assert!(!open(&path, 23).begin_upload().unwrap().offer);
}

#[test]
fn what_was_sent_is_known_after_reopening_and_by_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client");
    let mut alice = open(&path, 2);
    let mut sent = Vec::new();
    for id in 0..5 {
        alice.exec("INSERT INTO t VALUES (?1, 1, 1)", &[Value::Integer(id)]).unwrap();
        sent.push(alice.begin_upload().unwrap().until);
    }
    drop(alice);
    let mut alice = open(&path, 3);
    for bound in &sent {
        assert!(alice.was_sent(*bound).unwrap(), "{bound:?}");
        assert!(!alice.was_sent(Bound { tag: Tag(bound.tag.0.wrapping_add(1)), ..*bound }).unwrap());
        assert!(!alice.was_sent(Bound { version: Version::new(99).unwrap(), ..*bound }).unwrap());
    }
    assert!(!alice.was_sent(Bound { version: sent[0].version, tag: sent[1].tag }).unwrap(), "a pair, not two facts");
    alice.become_new_site().unwrap();
    assert!(!alice.was_sent(sent[4]).unwrap(), "the new site has sent nothing");
    assert!(alice.was_sent(Bound::ZERO).unwrap());
}

#[test]
fn a_lower_bound_that_a_server_holds_makes_changes_pending_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client");
    let (mut server, mut alice) = (server(1), open(&path, 2));
    alice.exec("INSERT INTO t VALUES (1, 1, 1)", &[]).unwrap();
    push(&mut alice, &mut server);
    let early = alice.load().unwrap().acknowledged;
    alice.exec("INSERT INTO t VALUES (2, 2, 2); INSERT INTO mark VALUES ('a')", &[]).unwrap();
    sync(&mut alice, &mut server);
    assert_eq!(alice.outbox().unwrap().changes, 0);
    let lineage = Lineage { epoch: Epoch(7), ..server.facts().unwrap().lineage };
    alice.adopt(lineage, early, true).unwrap();
    assert_eq!(alice.outbox().unwrap().changes, 3);
    drop(alice);
    let mut alice = open(&path, 3);
    let state = alice.load().unwrap();
    assert_eq!((state.lineage, state.acknowledged, state.outbox.changes), (Some(lineage), early, 3));
    alice.adopt(lineage, Bound::ZERO, true).unwrap();
    assert_eq!(alice.outbox().unwrap().changes, 5);
}

#[test]
fn a_range_cut_short_by_a_restore_is_offered_even_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client");
    let (mut server, mut alice) = (server(1), open(&path, 2));
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1)");
    sync(&mut alice, &mut server);
    let followed = server.facts().unwrap().lineage;
    alice.adopt(followed, Bound::ZERO, true).unwrap();
    let cursor = alice.load().unwrap().cursor;
    let until = Cursor { version: Version::new(99).unwrap(), tag: Tag(99) };
    let changes = vec![change("t", &[Value::Integer(5)], "a", Value::Null)];
    alice.apply(&DownloadPart { since: cursor, until, last: false, changes }).unwrap();
    drop(alice);
    let mut alice = open(&path, 3);
    alice.adopt(followed, Bound::ZERO, true).unwrap();
    assert_eq!(alice.load().unwrap().cursor, cursor, "the same server goes on where it was");
    assert!(!alice.begin_upload().unwrap().offer);
    alice.adopt(Lineage { epoch: Epoch(followed.epoch.0 ^ 1), ..followed }, Bound::ZERO, true).unwrap();
    assert_eq!(alice.load().unwrap().cursor, Cursor::ZERO);
    assert!(alice.begin_upload().unwrap().offer);
}

#[test]
fn a_new_site_s_changes_are_split_at_the_acknowledgement() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client");
    let (mut server, mut alice, mut bob) = (server(1), open(&path, 2), client(3));
    bob.exec("INSERT INTO t VALUES (9, 'by Bob', 9)", &[]).unwrap();
    sync(&mut bob, &mut server);
    alice.exec("INSERT INTO t VALUES (1, 'kept', 'old'), (2, 'deleted', 0)", &[]).unwrap();
    sync(&mut alice, &mut server);
    alice.exec("UPDATE t SET b = 'new' WHERE id = 1; DELETE FROM t WHERE id = 2", &[]).unwrap();
    alice.exec("UPDATE t SET a = 'touched' WHERE id = 9; UPDATE t SET id = 3 WHERE id = 1", &[]).unwrap();
    let (old, pending) = (alice.load().unwrap(), alice.pending_by_table().unwrap());
    let before = all_rows(alice.connection());
    alice.become_new_site().unwrap();
    drop(alice);
    let mut alice = open(&path, 4);
    let new = alice.load().unwrap();
    assert_ne!(new.site_id, old.site_id);
    assert_eq!(new.outbox.changes, old.outbox.changes);
    assert_eq!(alice.pending_by_table().unwrap(), pending);
    assert_eq!((new.cursor, new.acknowledged), (Cursor::ZERO, Bound::ZERO));
    assert_eq!(all_rows(alice.connection()), before);

    let request = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
    let all = alice.read(&request).unwrap().changes.decode().unwrap();
    let count = |site: SiteId| all.iter().filter(|change| change.site == site).count() as u64;
    assert_eq!(count(new.site_id), new.outbox.changes);
    assert_eq!(count(new.site_id) + count(old.site_id) + count(bob.load().unwrap().site_id), all.len() as u64);

    for _ in 0..2 {
        sync(&mut alice, &mut server);
        sync(&mut bob, &mut server);
    }
    for client in [&mut alice, &mut bob] {
        assert_eq!(all_rows(client.connection()), all_rows(server.connection()));
        assert_eq!(client.digests().unwrap(), server.digests().unwrap());
    }
    // Once more: the ordinals of both former selves stay apart.
    alice.exec("UPDATE t SET b = 'twice'", &[]).unwrap();
    alice.become_new_site().unwrap();
    let third = alice.load().unwrap();
    assert!(third.site_id != new.site_id && third.site_id != old.site_id);
    sync(&mut alice, &mut server);
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
}

#[test]
fn a_reset_is_not_held_up_by_an_app_s_trigger() {
    let ddl = format!(
        "{}CREATE TRIGGER keeps BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'rows of t are kept'); END;",
        crate::peers::DDL
    );
    let schema = greenlight_store::Schema::parse(&ddl).unwrap();
    let mut server = greenlight_store::ServerDatabase::open(options(1, Location::Memory), &schema).unwrap();
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1)");
    server.reset().unwrap();
    assert!(rows(server.connection(), "t").is_empty());
    exec(&mut server, "INSERT INTO t VALUES (2, 2, 2)");
    assert!(server.connection().execute_batch("DELETE FROM t").is_err(), "the trigger is there as before");
}

#[test]
fn a_snapshot_is_of_one_moment_and_leaves_the_peers_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("server"), folder.path().join("copy"));
    let mut server =
        greenlight_store::ServerDatabase::open(options(1, Location::File(path.clone())), &schema()).unwrap();
    let mut bob = client(3);
    bob.exec("INSERT INTO t VALUES (1, 'by Bob', 1); INSERT INTO mark VALUES ('gone'); DELETE FROM mark", &[]).unwrap();
    sync(&mut bob, &mut server);
    let head = greenlight_store::ServerReader::open(&path).unwrap().snapshot_to(&copy).unwrap();
    exec(&mut server, "INSERT INTO t VALUES (2, 'later', 2)");
    let mut reader = greenlight_store::ServerReader::open(&path).unwrap();
    assert!(reader.snapshot_to(&copy).is_err(), "nothing is overwritten");
    greenlight_store::adopt(&mut options(8, Location::File(copy.clone())), &schema()).unwrap();
    let again = greenlight_store::adopt(&mut options(9, Location::File(copy.clone())), &schema());
    assert!(matches!(again, Err(greenlight_store::OpenError::Role(_))), "once");
    let mut alice = open(&copy, 4);
    assert_eq!(alice.load().unwrap().cursor, head);
    assert_eq!(rows(alice.connection(), "t").len(), 1, "what came later is not in it");
    assert!(rows(alice.connection(), "greenlight_peer").is_empty());
    // What is written here gets numbers above all that the copy holds, and reaches the server.
    alice.exec("INSERT INTO mark VALUES ('gone')", &[]).unwrap();
    assert!(alice.outbox().unwrap().head > head.version);
    push(&mut alice, &mut server);
    pull(&mut alice, &mut server);
    pull(&mut bob, &mut server);
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
    assert_eq!(bob.digests().unwrap(), server.digests().unwrap());
    assert_eq!(all_rows(bob.connection()), all_rows(alice.connection()));
}

#[test]
fn who_may_only_read_writes_and_offers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client");
    let (mut server, mut alice) = (server(1), open(&path, 2));
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1)");
    sync(&mut alice, &mut server);
    let followed = server.facts().unwrap().lineage;
    alice.adopt(followed, Bound::ZERO, false).unwrap();
    drop(alice);
    let mut alice = open(&path, 3);
    assert!(alice.load().unwrap().read_only, "it is kept");
    for sql in ["INSERT INTO t VALUES (2, 2, 2)", "UPDATE t SET a = 9", "DELETE FROM t"] {
        let Err(StatementError::Fault(fault)) = alice.exec(sql, &[]) else { panic!("{sql} was done") };
        assert_eq!(fault.kind, FaultKind::Forbidden, "{sql}");
    }
    alice.exec("UPDATE t SET a = a", &[]).unwrap();
    assert_eq!(alice.outbox().unwrap().changes, 0);
    let rows = alice.query("SELECT id, a FROM t", &[]).unwrap().rows;
    assert_eq!(rows, [[Value::Integer(1), Value::Integer(1)]]);
    alice.forget_cursor().unwrap();
    assert!(!alice.begin_upload().unwrap().offer);
    // Once it may write, it makes up for it.
    alice.adopt(followed, Bound::ZERO, true).unwrap();
    assert!(alice.begin_upload().unwrap().offer);
    alice.exec("INSERT INTO t VALUES (2, 2, 2)", &[]).unwrap();
    assert_eq!(alice.outbox().unwrap().changes, 2);
}
