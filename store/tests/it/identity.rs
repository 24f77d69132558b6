//! Who a database is: copies, restores, resets, forks, and what heals them.

use greenlight_core::replica::{Author, ClientStore, FaultKind, ReadRequest, ServerStore, UploadPart};
use greenlight_core::{Bound, Cursor, Tag, Version};

use crate::peers::{all_rows, client, exec, pull, push, rows, server, sync};

#[test]
fn a_copy_becomes_another_site_and_loses_nothing() {
    let (mut server, mut alice) = (server(1), client(2));
    alice.exec("INSERT INTO t VALUES (1, 'sent', 1)", &[]).unwrap();
    sync(&mut alice, &mut server);
    alice.exec("INSERT INTO t VALUES (2, 'pending', 2)", &[]).unwrap();
    let before = alice.load().unwrap();
    alice.become_new_site().unwrap();
    let after = alice.load().unwrap();
    assert_ne!(after.site_id, before.site_id);
    assert_eq!((after.cursor, after.acknowledged), (Cursor::ZERO, Bound::ZERO));
    assert_eq!(after.outbox.changes, 2, "what was never acknowledged is its own");

    sync(&mut alice, &mut server);
    assert_eq!(all_rows(alice.connection()), all_rows(server.connection()));
    assert_eq!(alice.outbox().unwrap().changes, 0);
    let attributed: i64 = server
        .connection()
        .query_row("SELECT count(*) FROM crsql_changes WHERE site_id = ?", [&before.site_id.0[..]], |row| row.get(0))
        .unwrap();
    assert_eq!(attributed, 2, "what the old site wrote stays the old site's");
    alice.exec("UPDATE t SET a = 'again' WHERE id = 1", &[]).unwrap();
    sync(&mut alice, &mut server);
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
}

#[test]
fn only_bounds_that_were_sent_count_as_sent() {
    let mut alice = client(2);
    assert!(alice.was_sent(Bound::ZERO).unwrap());
    alice.exec("INSERT INTO t VALUES (1, 1, 1)", &[]).unwrap();
    let plan = alice.begin_upload().unwrap();
    assert!(alice.was_sent(plan.until).unwrap());
    let other = Bound { tag: Tag(plan.until.tag.0 ^ 1), ..plan.until };
    assert!(!alice.was_sent(other).unwrap());
    assert_eq!(alice.acknowledge(other).unwrap_err().kind, FaultKind::OutOfOrder);
    assert_eq!(alice.acknowledge(plan.until).unwrap().changes, 0);
}

#[test]
fn every_bound_that_was_handed_out_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let location = greenlight_store::Location::File(folder.path().join("client"));
        greenlight_store::ClientDatabase::open(crate::peers::options(5, location), &crate::peers::schema()).unwrap()
    };
    let (mut alice, mut handed_out) = (open(), Vec::new());
    for round in 0..40 {
        if round % 3 != 0 {
            alice.exec(&format!("INSERT INTO t VALUES ({round}, 1, 1)"), &[]).unwrap();
        }
        if round % 2 == 0 {
            handed_out.push(alice.begin_upload().unwrap().until);
        }
        if round % 5 == 0
            && let Some(bound) = handed_out.last()
        {
            alice.acknowledge(*bound).unwrap();
        }
        if round % 7 == 0 {
            drop(alice);
            alice = open();
        }
        if round % 4 == 0 {
            alice.begin_transaction().unwrap();
            alice.exec("DELETE FROM t", &[]).unwrap();
            alice.rollback_transaction();
        }
    }
    for bound in handed_out {
        assert!(alice.was_sent(bound).unwrap(), "{bound:?}");
    }
}

#[test]
fn an_upload_of_the_last_commit_waits_for_no_second_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client");
    let location = greenlight_store::Location::File(path.clone());
    let schema = crate::peers::schema();
    let mut alice = greenlight_store::ClientDatabase::open(crate::peers::options(5, location), &schema).unwrap();
    let watcher = rusqlite::Connection::open(&path).unwrap();
    let commits = || watcher.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    alice.exec("INSERT INTO t VALUES (1, 1, 1)", &[]).unwrap();
    let before = commits();
    let plan = alice.begin_upload().unwrap();
    assert_eq!(commits(), before, "its bound's tag is on disk already");
    alice.acknowledge(plan.until).unwrap();
    let empty = alice.begin_upload().unwrap();
    assert_ne!(empty.until.tag, plan.until.tag, "an empty one gets a fresh tag");
    assert_ne!(commits(), before);
}

#[test]
fn a_write_during_an_upload_stays_pending() {
    let (mut server, mut alice) = (server(1), client(2));
    alice.exec("INSERT INTO t VALUES (1, 1, 1)", &[]).unwrap();
    let plan = alice.begin_upload().unwrap();
    let changes = alice.read(&plan.read).unwrap().changes.decode().unwrap();
    let site = alice.load().unwrap().site_id;
    let part = UploadPart { site, since: plan.since.version, until: plan.until, last: true, changes };
    server.apply(&[part]).unwrap().remove(0).unwrap();
    alice.exec("UPDATE t SET a = 2 WHERE id = 1", &[]).unwrap();
    let outbox = alice.acknowledge(plan.until).unwrap();
    assert_eq!(outbox.changes, 1, "the cell that was written again has moved above the bound");
    push(&mut alice, &mut server);
    assert_eq!(alice.outbox().unwrap().changes, 0);
}

#[test]
fn a_restored_server_gets_back_what_it_lost() {
    let (mut server, mut alice, mut bob) = (server(1), client(2), client(3));
    alice.exec("INSERT INTO t VALUES (1, 'before', 1)", &[]).unwrap();
    sync(&mut alice, &mut server);
    sync(&mut bob, &mut server);
    let backup = copy(server.connection());
    alice.exec("INSERT INTO t VALUES (2, 'lost', 2)", &[]).unwrap();
    exec(&mut server, "UPDATE t SET b = 'lost too' WHERE id = 1");
    sync(&mut alice, &mut server);
    let lost = alice.load().unwrap().cursor;

    put_back(server.connection(), &backup);
    let lineage = server.renew_epoch().unwrap();
    // Someone writes on, so that the heads look alike.
    exec(&mut server, "INSERT INTO t VALUES (3, 'after', 3)");
    exec(&mut server, "INSERT INTO t VALUES (4, 'after', 4)");
    let site = alice.load().unwrap().site_id;
    let peer = server.peer(site, lost).unwrap();
    assert!(!peer.cursor_known, "the tag tells the histories apart");
    assert!(alice.was_sent(peer.held).unwrap());
    alice.adopt(lineage, peer.held, true).unwrap();
    alice.forget_cursor().unwrap();
    assert!(alice.begin_upload().unwrap().offer);
    sync(&mut alice, &mut server);
    assert!(!alice.begin_upload().unwrap().offer, "an acknowledged offer is not made again");
    let bobs = bob.load().unwrap();
    assert!(server.peer(bobs.site_id, bobs.cursor).unwrap().cursor_known, "Bob saw nothing of what was lost");
    sync(&mut bob, &mut server);
    for client in [&mut alice, &mut bob] {
        assert_eq!(all_rows(client.connection()), all_rows(server.connection()));
        assert_eq!(client.digests().unwrap(), server.digests().unwrap());
    }
    assert_eq!(rows(server.connection(), "t").len(), 4);
}

/// A backup of an in-memory database.
fn copy(conn: &rusqlite::Connection) -> rusqlite::Connection {
    let mut copy = rusqlite::Connection::open_in_memory().unwrap();
    rusqlite::backup::Backup::new(conn, &mut copy).unwrap().step(-1).unwrap();
    copy
}

fn put_back(conn: &rusqlite::Connection, backup: &rusqlite::Connection) {
    // SAFETY: the handle stays open while the borrowed connection made of it is used, and nothing else runs on it.
    let mut target = unsafe { rusqlite::Connection::from_handle(conn.handle()).unwrap() };
    rusqlite::backup::Backup::new(backup, &mut target).unwrap().step(-1).unwrap();
}

#[test]
fn a_reset_begins_anew() {
    let (mut server, mut alice) = (server(1), client(2));
    alice.exec("INSERT INTO t VALUES (1, 1, 1)", &[]).unwrap();
    sync(&mut alice, &mut server);
    let before = server.facts().unwrap();
    let lineage = server.reset().unwrap();
    let after = server.facts().unwrap();
    assert_eq!((after.lineage, after.head), (lineage, Cursor::ZERO));
    assert_ne!(after.lineage.site_id, before.lineage.site_id);
    assert_ne!(after.lineage.epoch, before.lineage.epoch);
    assert!(rows(server.connection(), "t").is_empty());
    let request = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
    assert_eq!(server.read(&request).unwrap().changes.count, 0, "no tombstones either");
    exec(&mut server, "INSERT INTO t VALUES (1, 'new', 1)");
    let mut bob = client(3);
    pull(&mut bob, &mut server);
    assert_eq!(all_rows(bob.connection()), all_rows(server.connection()));
    let site = bob.connection().query_row("SELECT site_id FROM crsql_changes", [], |row| row.get::<_, Vec<u8>>(0));
    assert_eq!(site.unwrap(), lineage.site_id.0, "what is written after it is the new site's");
}

#[test]
fn a_cursor_moves_with_the_last_part_alone() {
    let (mut server, mut alice) = (server(1), client(2));
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1)");
    let head = server.facts().unwrap().head;
    let request = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
    let changes = server.read(&request).unwrap().changes.decode().unwrap();
    let part =
        |since, last| greenlight_core::replica::DownloadPart { since, until: head, last, changes: changes.clone() };
    alice.apply(&part(Cursor::ZERO, false)).unwrap();
    assert_eq!(alice.load().unwrap().cursor, Cursor::ZERO);
    alice.apply(&part(Cursor::ZERO, true)).unwrap();
    assert_eq!(alice.load().unwrap().cursor, head);
    assert_eq!(alice.apply(&part(Cursor::ZERO, true)).unwrap_err().kind, FaultKind::OutOfOrder);
}

#[test]
fn heads_grow_and_are_never_used_twice() {
    let mut server = server(1);
    let mut heads = Vec::new();
    for sql in [
        "INSERT INTO t VALUES (1, 1, 1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t WHERE id = 9",
        "UPDATE t SET a = 2",
        "SELECT 1",
        "DELETE FROM t",
    ] {
        heads.push(exec(&mut server, sql).head);
    }
    assert_eq!(heads[0], heads[1], "an update that changes nothing is no version");
    assert_eq!(heads[3], heads[4]);
    assert!(heads[0].version < heads[3].version && heads[3].version < heads[5].version);
    for head in &heads {
        assert!(server.peer(greenlight_core::SiteId([1; 16]), *head).unwrap().cursor_known);
    }
    let wrong = Cursor { tag: Tag(1), ..heads[5] };
    assert!(!server.peer(greenlight_core::SiteId([1; 16]), wrong).unwrap().cursor_known);
}
