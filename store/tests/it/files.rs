//! Databases on disk: opened again, written by other processes, read beside the writer, copied, full.

use std::path::{Path, PathBuf};

use greenlight_core::replica::{Author, ClientStore, FaultKind, ReadRequest, ServerStore};
use greenlight_core::{Cursor, Value, Version};
use greenlight_store::{ClientDatabase, Location, OpenError, ServerDatabase, ServerReader};
use tempfile::TempDir;

use crate::peers::{all_rows, client, exec, options, pull, push, rows, schema, sync};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    (folder, path)
}

fn open(path: &Path, seed: u64) -> ServerDatabase {
    ServerDatabase::open(options(seed, Location::File(path.to_owned())), &schema()).unwrap()
}

/// Another process: a connection with cr-sqlite that knows nothing of the store.
fn other_process(path: &Path) -> rusqlite::Connection {
    let conn = rusqlite::Connection::open(path).unwrap();
    crsqlite::init(&conn).unwrap();
    conn
}

fn write_and_leave(path: &Path, sql: &str) {
    let conn = other_process(path);
    conn.execute_batch(sql).unwrap();
    crsqlite::finalize(&conn).unwrap();
}

#[test]
fn a_file_that_is_opened_again_is_as_it_was() {
    let (_folder, path) = folder();
    let mut server = open(&path, 1);
    let mut alice = client(2);
    alice.exec("INSERT INTO t VALUES (1, 1, 1)", &[]).unwrap();
    sync(&mut alice, &mut server);
    let (facts, digests) = (server.facts().unwrap(), server.digests().unwrap());
    drop(server);
    let mut server = open(&path, 99);
    assert_eq!((server.facts().unwrap(), server.digests().unwrap()), (facts.clone(), digests));
    let next = exec(&mut server, "UPDATE t SET a = 1; UPDATE t SET a = 2");
    assert!(next.head.version > facts.head.version);
    pull(&mut alice, &mut server);
    assert_eq!(all_rows(alice.connection()), all_rows(server.connection()));
}

#[test]
fn a_first_open_that_was_cut_off_anywhere_opens_again() {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4096;
    let (folder, path) = folder();
    let server = open(&path, 1);
    let log = std::fs::read(folder.path().join("shop.db-wal")).unwrap();
    let frames = (log.len() - HEADER) / FRAME;
    assert!(frames > 10, "the tables take {frames} pages of the log");
    for kept in 0..=frames {
        let torn = folder.path().join("torn.db");
        for left in ["torn.db", "torn.db-wal", "torn.db-shm"] {
            drop(std::fs::remove_file(folder.path().join(left)));
        }
        std::fs::copy(&path, &torn).unwrap();
        std::fs::write(folder.path().join("torn.db-wal"), &log[..HEADER + kept * FRAME]).unwrap();
        let mut opened = open(&torn, 2);
        exec(&mut opened, "INSERT INTO t VALUES (1, 1, 1)");
    }
    drop(server);
}

#[test]
fn tables_of_cr_sqlite_that_an_opening_elsewhere_was_cut_off_in_are_mended() {
    let (_folder, path) = folder();
    // As far as cr-sqlite alone comes before it writes its version down: without, it refuses to open the file again.
    let torn = rusqlite::Connection::open(&path).unwrap();
    torn.execute_batch("CREATE TABLE crsql_master (key TEXT PRIMARY KEY, value ANY)").unwrap();
    crsqlite::init(&torn).unwrap_err();
    drop(torn);
    let mut server = open(&path, 1);
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1)");
    drop(server);
    write_and_leave(&path, "INSERT INTO t VALUES (2, 2, 2)");
}

#[test]
fn writes_by_another_process_are_noticed_and_served() {
    let (_folder, path) = folder();
    let mut server = open(&path, 1);
    let mut alice = client(2);
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1)");
    pull(&mut alice, &mut server);
    assert!(!server.notice_external().unwrap());
    let before = server.facts().unwrap().head;

    let other = other_process(&path);
    other.execute_batch("UPDATE t SET a = 'by another'; INSERT INTO mark VALUES ('x')").unwrap();
    assert_eq!(server.facts().unwrap().head, before, "not before it was noticed");
    assert!(server.notice_external().unwrap());
    assert!(!server.notice_external().unwrap());
    let after = server.facts().unwrap().head;
    assert!(after.version > before.version && after.tag != before.tag);
    pull(&mut alice, &mut server);
    assert_eq!(all_rows(alice.connection()), all_rows(server.connection()));

    // Both write on: no number is used twice, and a commit of ours takes theirs along.
    let ours = exec(&mut server, "UPDATE t SET a = 'by us'").head;
    other.execute_batch("UPDATE t SET b = 'by another again'").unwrap();
    let theirs: i64 = other.query_row("SELECT max(db_version) FROM t__crsql_clock", [], |row| row.get(0)).unwrap();
    assert!(theirs > ours.version.to_sql());
    let both = exec(&mut server, "UPDATE t SET a = 'by us again'").head;
    assert!(both.version.to_sql() > theirs);
    pull(&mut alice, &mut server);
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
    crsqlite::finalize(&other).unwrap();
}

#[test]
fn nothing_is_read_over_a_write_that_has_no_place_in_the_history_yet() {
    let (_folder, path) = folder();
    let mut server = open(&path, 1);
    let mut alice = client(2);
    exec(&mut server, "INSERT INTO t VALUES (1, 'here for long', 1)");
    let request = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
    let mut reader = ServerReader::open(&path).unwrap();
    assert_eq!(reader.read(&request).unwrap().changes.count, 2);
    write_and_leave(&path, "UPDATE t SET a = 'new'");
    // A page up to the head would have neither the new title nor the old one.
    assert_eq!(server.read(&request).unwrap_err().kind, FaultKind::Busy);
    assert_eq!(reader.read(&request).unwrap_err().kind, FaultKind::Busy);
    assert!(server.notice_external().unwrap());
    assert_eq!(reader.read(&request).unwrap().changes.count, 2);
    pull(&mut alice, &mut server);
    assert_eq!(all_rows(alice.connection()), all_rows(server.connection()));
}

#[test]
fn writes_while_the_server_is_down_are_noticed_at_its_start() {
    let (_folder, path) = folder();
    let mut server = open(&path, 1);
    // A version that holds no change: cr-sqlite has counted it, and forgets it when the file is closed.
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1)");
    exec(&mut server, "UPDATE t SET a = 1");
    let before = server.facts().unwrap().head;
    drop(server);
    write_and_leave(&path, "UPDATE t SET a = 'meanwhile'");
    let mut server = open(&path, 1);
    assert!(server.facts().unwrap().head.version > before.version);
    let mut alice = client(2);
    pull(&mut alice, &mut server);
    assert_eq!(all_rows(alice.connection()), all_rows(server.connection()));
}

/// What a build of cr-sqlite without our patches leaves behind when a key is updated: cells with their old versions.
#[test]
fn a_key_that_a_foreign_build_moved_reaches_the_clients_whole() {
    let (_folder, path) = folder();
    let mut server = open(&path, 1);
    let mut alice = client(2);
    alice.exec("INSERT INTO t VALUES (1, 'one', 'two')", &[]).unwrap();
    sync(&mut alice, &mut server);
    let before = server.facts().unwrap().head.version.to_sql();
    write_and_leave(
        &path,
        &format!(
            "UPDATE t SET id = 2 WHERE id = 1;
             UPDATE t__crsql_clock SET db_version = {before}, site_id = 1, col_version = 1
             WHERE col_name <> '-1' AND key = (SELECT __crsql_key FROM t__crsql_pks WHERE id = 2)"
        ),
    );
    assert!(server.notice_external().unwrap());
    pull(&mut alice, &mut server);
    let expected = rows(server.connection(), "t");
    assert_eq!(expected.len(), 1);
    assert_eq!(rows(alice.connection(), "t"), expected);
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
}

#[test]
fn a_reader_sees_what_the_writer_committed() {
    let (_folder, path) = folder();
    let mut server = open(&path, 1);
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1)");
    let mut reader = ServerReader::open(&path).unwrap();
    let request = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
    for sql in ["UPDATE t SET a = 2", "DELETE FROM t", "INSERT INTO pair (x, y) VALUES ('a', x'')"] {
        exec(&mut server, sql);
        assert_eq!(reader.facts().unwrap(), server.facts().unwrap());
        let (ours, theirs) = (server.read(&request).unwrap(), reader.read(&request).unwrap());
        assert_eq!((ours.changes, ours.until, ours.next), (theirs.changes, theirs.until, theirs.next));
        assert_eq!(reader.digests().unwrap(), server.digests().unwrap());
    }
    assert!(reader.connection().execute("DELETE FROM t", []).is_err(), "it can't write");
}

#[test]
fn a_snapshot_becomes_a_client_that_needs_no_first_download() {
    let (folder, path) = folder();
    let mut server = open(&path, 1);
    let mut bob = client(3);
    bob.exec("INSERT INTO t VALUES (1, 'by Bob', 1)", &[]).unwrap();
    sync(&mut bob, &mut server);
    exec(&mut server, "INSERT INTO t VALUES (2, 'by the server', 2)");
    let copy = folder.path().join("copy.db");
    let head = ServerReader::open(&path).unwrap().snapshot_to(&copy).unwrap();
    assert_eq!(head, server.facts().unwrap().head);
    assert!(!folder.path().join("copy.db-wal").exists(), "one file");

    let own = |seed| options(seed, Location::File(copy.clone()));
    assert!(matches!(ClientDatabase::open(own(7), &schema()), Err(OpenError::Role(_))), "not before it is adopted");
    let lineage = greenlight_store::adopt(&mut own(8), &schema()).unwrap();
    assert_eq!(lineage, server.facts().unwrap().lineage);
    let mut alice = ClientDatabase::open(own(9), &schema()).unwrap();
    let state = alice.load().unwrap();
    assert_eq!((state.cursor, state.lineage, state.outbox.changes), (head, Some(lineage), 0));
    assert_ne!(state.site_id, lineage.site_id);
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());

    alice.exec("UPDATE t SET a = 'by Alice' WHERE id = 2", &[]).unwrap();
    exec(&mut server, "UPDATE t SET b = 'by the server again' WHERE id = 1");
    assert_eq!(alice.outbox().unwrap().changes, 1);
    sync(&mut alice, &mut server);
    sync(&mut bob, &mut server);
    for client in [&mut alice, &mut bob] {
        assert_eq!(all_rows(client.connection()), all_rows(server.connection()));
        assert_eq!(client.digests().unwrap(), server.digests().unwrap());
    }
}

#[test]
fn a_full_disk_is_told_and_changes_nothing() {
    let (_folder, path) = folder();
    let mut server = open(&path, 1);
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1)");
    let before = server.digests().unwrap();
    let pages: i64 = server.connection().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    server.connection().query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    let mut alice = client(2);
    let long = Value::Text("x".repeat(100_000));
    alice.exec("INSERT INTO t VALUES (2, ?1, ?1)", &[long]).unwrap();
    let plan = alice.begin_upload().unwrap();
    let changes = alice.read(&plan.read).unwrap().changes.decode().unwrap();
    let site = alice.load().unwrap().site_id;
    let part = greenlight_core::replica::UploadPart {
        site,
        since: plan.since.version,
        until: plan.until,
        last: true,
        changes,
    };
    assert_eq!(server.apply(std::slice::from_ref(&part)).unwrap_err().kind, FaultKind::Full);
    assert_eq!(server.digests().unwrap(), before);
    assert_eq!(server.peer(site, Cursor::ZERO).unwrap().held.version, Version::ZERO);

    server.connection().query_row("PRAGMA max_page_count = 100000", [], |_| Ok(())).unwrap();
    assert!(server.probe().is_ok());
    server.apply(&[part]).unwrap().remove(0).unwrap();
    assert_eq!(rows(server.connection(), "t").len(), 2);
}

#[test]
fn a_native_client_s_file_may_be_written_by_others_too() {
    let (_folder, path) = folder();
    let mut alice = ClientDatabase::open(options(2, Location::File(path.clone())), &schema()).unwrap();
    let (_other, theirs) = folder_of_server();
    let mut server = open(&theirs, 1);
    sync(&mut alice, &mut server);
    write_and_leave(&path, "INSERT INTO t VALUES (5, 'by another', 1)");
    assert!(alice.notice_external().unwrap());
    assert!(!alice.notice_external().unwrap());
    assert_eq!(alice.outbox().unwrap().changes, 2);
    push(&mut alice, &mut server);
    assert_eq!(rows(server.connection(), "t").len(), 1);
    assert_eq!(alice.outbox().unwrap().changes, 0);
}

fn folder_of_server() -> (TempDir, PathBuf) {
    folder()
}
