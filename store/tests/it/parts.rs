//! Ranges that travel in several parts: what moves with which part, what is refused, and what a part that comes twice
//! does.

use greenlight_core::replica::{
    Author, ClientStore, DownloadPart, FaultKind, ReadRequest, ServerStore, UploadPart, UploadPlan,
};
use greenlight_core::{Bound, Cursor, Epoch, Lineage, SiteId, Value, Version};
use greenlight_store::{ClientDatabase, Location, ServerDatabase};

use crate::peers::{all_rows, client, exec, options, pull, push, rows, schema, server};

const FILL: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
                    INSERT INTO t SELECT i, 'title ' || i, i FROM n; INSERT INTO mark VALUES ('a'), ('b')";

fn small(seed: u64) -> greenlight_store::Options {
    let mut options = options(seed, Location::Memory);
    options.part_bytes = 100;
    options
}

fn client_of_small_parts(seed: u64) -> ClientDatabase {
    ClientDatabase::open(small(seed), &schema()).unwrap()
}

fn upload_parts(client: &mut ClientDatabase) -> (UploadPlan, Vec<UploadPart>) {
    let site = client.load().unwrap().site_id;
    let plan = client.begin_upload().unwrap();
    let (mut request, mut parts) = (plan.read.clone(), Vec::new());
    loop {
        let chunk = client.read(&request).unwrap();
        let (last, changes) = (chunk.next.is_none(), chunk.changes.decode().unwrap());
        parts.push(UploadPart { site, since: plan.since.version, until: plan.until, last, changes });
        request.after = chunk.next;
        if last {
            return (plan, parts);
        }
    }
}

fn download_parts(server: &mut ServerDatabase, since: Cursor, author: Author) -> Vec<DownloadPart> {
    let mut request = ReadRequest { since: since.version, until: None, after: None, author };
    let mut parts = Vec::new();
    loop {
        let chunk = server.read(&request).unwrap();
        let (last, changes) = (chunk.next.is_none(), chunk.changes.decode().unwrap());
        parts.push(DownloadPart { since, until: chunk.until, last, changes });
        request.until = Some(chunk.until);
        request.after = chunk.next;
        if last {
            return parts;
        }
    }
}

fn apply(server: &mut ServerDatabase, part: &UploadPart) {
    server.apply(std::slice::from_ref(part)).unwrap().remove(0).unwrap();
}

fn held(server: &mut ServerDatabase, site: SiteId) -> Bound {
    server.peer(site, Cursor::ZERO).unwrap().held
}

#[test]
fn from_client_to_client_in_many_parts() {
    let (mut alice, mut bob) = (client_of_small_parts(2), client(3));
    let mut server = ServerDatabase::open(small(1), &schema()).unwrap();
    alice.exec(FILL, &[]).unwrap();
    let site = alice.load().unwrap().site_id;
    let (plan, parts) = upload_parts(&mut alice);
    assert!(parts.len() > 5, "{} parts", parts.len());
    assert_eq!(parts.iter().map(|part| part.changes.len()).sum::<usize>(), 82);
    for (index, part) in parts.iter().enumerate() {
        assert_eq!(held(&mut server, site), Bound::ZERO, "before part {index}");
        apply(&mut server, part);
    }
    assert_eq!(held(&mut server, site), plan.until);
    assert_eq!(alice.outbox().unwrap().changes, 82, "pending until it is acknowledged");
    assert_eq!(alice.acknowledge(plan.until).unwrap().changes, 0);

    let parts = download_parts(&mut server, Cursor::ZERO, Author::Any);
    assert!(parts.len() > 5);
    for part in &parts {
        assert_eq!(bob.load().unwrap().cursor, Cursor::ZERO);
        bob.apply(part).unwrap();
    }
    assert_eq!(bob.load().unwrap().cursor, server.facts().unwrap().head);
    assert_eq!(all_rows(alice.connection()), all_rows(bob.connection()));
    let digests = server.digests().unwrap();
    assert_eq!((alice.digests().unwrap(), bob.digests().unwrap()), (digests.clone(), digests));
}

#[test]
fn a_part_that_comes_twice_changes_nothing() {
    let (mut alice, mut bob) = (client_of_small_parts(2), client(3));
    let mut server = ServerDatabase::open(small(1), &schema()).unwrap();
    alice.exec(FILL, &[]).unwrap();
    alice.exec("DELETE FROM t WHERE id % 3 = 0; UPDATE t SET id = id + 100 WHERE id % 3 = 1", &[]).unwrap();
    let (_, parts) = upload_parts(&mut alice);
    for part in &parts {
        apply(&mut server, part);
    }
    let site = alice.load().unwrap().site_id;
    let before = (server.facts().unwrap(), server.digests().unwrap(), held(&mut server, site));
    for part in parts.iter().rev() {
        apply(&mut server, part);
        assert_eq!((server.facts().unwrap(), server.digests().unwrap(), held(&mut server, site)), before);
    }

    let parts = download_parts(&mut server, Cursor::ZERO, Author::Any);
    let (last, first) = parts.split_last().unwrap();
    for part in first.iter().chain(first) {
        bob.apply(part).unwrap();
        assert_eq!(bob.load().unwrap().cursor, Cursor::ZERO);
    }
    bob.apply(last).unwrap();
    let after = (bob.load().unwrap(), bob.digests().unwrap());
    assert_eq!(after.1, server.digests().unwrap());
    assert_eq!(bob.apply(last).unwrap_err().kind, FaultKind::OutOfOrder, "the cursor has moved past it");
    assert_eq!((bob.load().unwrap(), bob.digests().unwrap()), after);
}

#[test]
fn a_part_that_follows_another_cursor_is_refused_whole() {
    let (mut server, mut alice) = (server(1), client(2));
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1)");
    pull(&mut alice, &mut server);
    let before = alice.load().unwrap();
    exec(&mut server, "INSERT INTO t VALUES (2, 2, 2)");
    let part = download_parts(&mut server, before.cursor, Author::Any).remove(0);
    let tag = greenlight_core::Tag(before.cursor.tag.0 ^ 1);
    for since in [Cursor::ZERO, part.until, Cursor { tag, ..before.cursor }] {
        for last in [false, true] {
            let wrong = DownloadPart { since, last, ..part.clone() };
            assert_eq!(alice.apply(&wrong).unwrap_err().kind, FaultKind::OutOfOrder);
        }
    }
    assert_eq!(alice.load().unwrap(), before);
    assert_eq!(rows(alice.connection(), "t").len(), 1);
    alice.apply(&part).unwrap();
    assert_eq!(rows(alice.connection(), "t").len(), 2);
}

#[test]
fn an_upload_that_breaks_off_begins_anew() {
    let mut alice = client_of_small_parts(2);
    let mut server = server(1);
    alice.exec(FILL, &[]).unwrap();
    let site = alice.load().unwrap().site_id;
    let (first_plan, parts) = upload_parts(&mut alice);
    apply(&mut server, &parts[0]);
    apply(&mut server, &parts[1]);
    // Meanwhile more is written, also into cells that were sent already.
    alice.exec("UPDATE t SET a = 'again' WHERE id < 5", &[]).unwrap();
    let (plan, parts) = upload_parts(&mut alice);
    assert_ne!(plan.until.tag, first_plan.until.tag);
    assert!(plan.until.version > first_plan.until.version);
    assert_eq!(plan.since, Bound::ZERO);
    for part in &parts {
        apply(&mut server, part);
    }
    assert_eq!(held(&mut server, site), plan.until);
    assert_eq!(all_rows(alice.connection()), all_rows(server.connection()));
    assert_eq!(alice.acknowledge(plan.until).unwrap().changes, 0);
    assert_eq!(alice.acknowledge(first_plan.until).unwrap_err().kind, FaultKind::OutOfOrder, "bounds don't go back");
}

#[test]
fn a_page_in_the_middle_can_be_read_again() {
    let mut server = ServerDatabase::open(small(1), &schema()).unwrap();
    exec(&mut server, FILL);
    let mut request = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
    for _ in 0..3 {
        let chunk = server.read(&request).unwrap();
        let again = server.read(&request).unwrap();
        assert_eq!((&chunk.changes, &chunk.next, chunk.remaining), (&again.changes, &again.next, again.remaining));
        (request.until, request.after) = (Some(chunk.until), chunk.next);
    }
}

#[test]
fn a_cell_that_is_written_while_its_range_is_read_travels_with_the_next() {
    let mut server = ServerDatabase::open(small(1), &schema()).unwrap();
    let mut alice = client(2);
    exec(&mut server, FILL);
    let request = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
    let first = server.read(&request).unwrap();
    exec(&mut server, "UPDATE t SET a = 'meanwhile', b = NULL; DELETE FROM t WHERE id > 30");
    let part = |chunk: &greenlight_core::replica::Chunk| DownloadPart {
        since: Cursor::ZERO,
        until: chunk.until,
        last: chunk.next.is_none(),
        changes: chunk.changes.decode().unwrap(),
    };
    alice.apply(&part(&first)).unwrap();
    let (until, mut after) = (Some(first.until), first.next);
    while after.is_some() {
        let chunk = server.read(&ReadRequest { until, after, ..request.clone() }).unwrap();
        alice.apply(&part(&chunk)).unwrap();
        after = chunk.next;
    }
    assert_eq!(alice.load().unwrap().cursor, first.until);
    pull(&mut alice, &mut server);
    assert_eq!(all_rows(alice.connection()), all_rows(server.connection()));
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
}

#[test]
fn after_a_range_in_parts_a_restored_server_is_offered_everything_until_one_was_read_at_once() {
    let mut server = ServerDatabase::open(small(1), &schema()).unwrap();
    let mut alice = client(2);
    exec(&mut server, FILL);
    let lineage = server.facts().unwrap().lineage;
    let restored = |epoch| Lineage { epoch: Epoch(epoch), ..lineage };
    alice.adopt(lineage, Bound::ZERO, true).unwrap();
    // What was written again between the readings of two parts is in neither: a backup of that time still has it.
    pull(&mut alice, &mut server);
    let held = alice.load().unwrap();
    assert_ne!(held.cursor, Cursor::ZERO);
    alice.adopt(restored(1), Bound::ZERO, true).unwrap();
    assert_eq!(alice.load().unwrap().cursor, Cursor::ZERO);
    assert!(alice.begin_upload().unwrap().offer);

    pull(&mut alice, &mut server);
    exec(&mut server, "INSERT INTO mark VALUES ('one part')");
    pull(&mut alice, &mut server);
    let cursor = alice.load().unwrap().cursor;
    assert_ne!(cursor, held.cursor);
    alice.adopt(restored(2), Bound::ZERO, true).unwrap();
    assert_eq!(alice.load().unwrap().cursor, cursor, "it holds just what the server had there");
}

#[test]
fn a_client_s_own_pages_hold_only_what_is_its_own_and_pending() {
    let mut server = server(1);
    let (mut alice, mut bob) = (client_of_small_parts(2), client(3));
    bob.exec(FILL, &[]).unwrap();
    push(&mut bob, &mut server);
    alice.exec("INSERT INTO t VALUES (1000, 'sent', 1)", &[]).unwrap();
    push(&mut alice, &mut server);
    pull(&mut alice, &mut server);
    alice.exec("UPDATE t SET a = 'by Alice' WHERE id % 2; INSERT INTO mark VALUES ('c')", &[]).unwrap();
    let site = alice.load().unwrap().site_id;
    let (_, parts) = upload_parts(&mut alice);
    let changes: Vec<_> = parts.iter().flat_map(|part| &part.changes).collect();
    assert!(parts.len() > 1);
    assert_eq!(changes.len(), 21);
    assert!(changes.iter().all(|change| change.site == site && change.value != Value::Text("sent".into())));
}
