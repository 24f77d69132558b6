//! Cells and rows that a peer has brought to the highest version that there is: they can't be written again where they
//! are, and everything else goes on.

use greenlight_core::limits::MAX_COLUMN_VERSION;
use greenlight_core::replica::{Author, ClientStore, DownloadPart, ReadRequest, ServerStore, UploadPart};
use greenlight_core::{Bound, Change, Cursor, SiteId, Tag, Value, Version};
use greenlight_store::{Done, Location, ServerDatabase, Shelf, StatementError, Work};

use crate::peers::{change, client, exec, options, pull, rows, schema, server};

/// A row whose cell `a`, and one whose very life, can't be written again.
fn at_the_edge() -> Vec<Change> {
    let pinned = change("t", &[Value::Integer(1)], "a", Value::Integer(1));
    let row = change("t", &[Value::Integer(2)], "-1", Value::Null);
    let (most, odd) = (MAX_COLUMN_VERSION, MAX_COLUMN_VERSION - 1);
    vec![
        Change { column_version: most, ..pinned },
        Change { column_version: odd, causal_length: odd, ..row.clone() },
        Change { column: "b".into(), value: Value::Integer(2), causal_length: odd, ..row },
    ]
}

fn upload(changes: Vec<Change>) -> UploadPart {
    let until = Bound { version: Version::new(1).unwrap(), tag: Tag(1) };
    UploadPart { site: SiteId([9; 16]), since: Version::ZERO, until, last: true, changes }
}

fn work(sql: &str) -> Work {
    Work::Exec { sql: sql.to_owned(), params: vec![] }
}

/// What a client that comes now would be sent.
fn history(server: &mut ServerDatabase) -> Vec<Change> {
    let request = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
    server.read(&request).unwrap().changes.decode().unwrap()
}

const BEYOND: [&str; 2] =
    ["UPDATE t SET a = 5 WHERE id = 1", "DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (2, 1, 1)"];

#[test]
fn a_server_refuses_the_write_beyond_and_no_other() {
    let mut server = server(1);
    server.apply(&[upload(at_the_edge())]).unwrap().remove(0).unwrap();
    exec(&mut server, "INSERT INTO t VALUES (3, 3, 3)");
    for sql in BEYOND {
        let done = server.commit(&[work(sql), work("UPDATE t SET b = b + 1 WHERE id = 1 OR id = 3")]).unwrap().done;
        let [Done::Exec(first), Done::Exec(Ok(_))] = &done[..] else { panic!("{sql}: {done:?}") };
        let Err(StatementError::TooLarge(sentence)) = first else { panic!("{sql}: {first:?}") };
        assert!(sentence.contains("highest version"), "{sentence}");
    }
    assert!(!history(&mut server).is_empty(), "all of it can be read");
    let mut alice = client(2);
    pull(&mut alice, &mut server);
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
}

#[test]
fn a_client_refuses_the_write_beyond_and_no_other() {
    let mut alice = client(1);
    let until = Cursor { version: Version::new(1).unwrap(), tag: Tag(1) };
    let part = DownloadPart { since: Cursor::ZERO, until, last: true, changes: at_the_edge() };
    alice.apply(&part).unwrap();
    for sql in BEYOND {
        let error = alice.exec(sql, &[]).unwrap_err();
        assert!(error.to_string().contains("highest version"), "{sql}: {error}");
        alice.begin_transaction().unwrap();
        alice.exec("INSERT INTO mark VALUES ('lost')", &[]).unwrap();
        alice.exec(sql, &[]).unwrap();
        assert!(alice.commit_transaction().is_err(), "{sql}");
    }
    assert!(rows(alice.connection(), "mark").is_empty());
    let (_, commit) = alice.exec("INSERT INTO mark VALUES ('kept')", &[]).unwrap();
    assert_eq!(commit.outbox.changes, 1);
    let plan = alice.begin_upload().unwrap();
    assert_eq!(alice.read(&plan.read).unwrap().changes.count, 1, "what is pending can be sent");
}

#[test]
fn what_another_process_writes_beyond_is_brought_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut server = ServerDatabase::open(options(1, Location::File(path.clone())), &schema()).unwrap();
    server.apply(&[upload(at_the_edge())]).unwrap().remove(0).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    crsqlite::init(&other).unwrap();
    let write = "UPDATE t SET a = 5 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (2, 1, 1)";
    other.execute_batch(write).unwrap();
    assert!(server.notice_external().unwrap());
    let history = history(&mut server);
    assert!(history.iter().any(|change| change.value == Value::Integer(5)));
    assert!(history.iter().all(|change| change.column_version.max(change.causal_length) <= MAX_COLUMN_VERSION));
    // Within a commit of our own, too.
    other.execute_batch("UPDATE t SET a = 6 WHERE id = 1").unwrap();
    exec(&mut server, "INSERT INTO mark VALUES ('x')");
    crsqlite::finalize(&other).unwrap();
    let mut alice = client(2);
    pull(&mut alice, &mut server);
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
    assert_eq!(rows(alice.connection(), "t").len(), 2);
}

#[test]
fn dropping_from_quarantine_does_not_lead_beyond() {
    let mut server = server(1);
    let trigger = "CREATE TRIGGER app BEFORE UPDATE ON t WHEN new.a = 7 BEGIN SELECT RAISE(ABORT, 'no'); END";
    server.connection().execute_batch(trigger).unwrap();
    exec(&mut server, "INSERT INTO t VALUES (1, 0, 0)");
    let pinned = at_the_edge().remove(0);
    let refused = Change { value: Value::Integer(7), column_version: 5, ..pinned.clone() };
    assert_eq!(server.apply(&[upload(vec![refused])]).unwrap().remove(0).unwrap().quarantined, 1);
    server.apply(&[upload(vec![pinned])]).unwrap().remove(0).unwrap();
    let ids: Vec<_> =
        server.shelved(Shelf::Quarantine, 10).unwrap().iter().map(greenlight_store::Shelved::id).collect();
    assert_eq!(server.drop_quarantined(&ids).unwrap().0.len(), 1);
    assert!(!history(&mut server).is_empty(), "all of it can be read");
}

/// Each row brings other columns, so each is written by statements of its own.
#[test]
fn rows_of_thousands_of_kinds_take_little_memory() {
    const COLUMNS: u32 = 12;
    const MOST_BYTES: i64 = 20 * 1024 * 1024;
    let columns: String = (0..COLUMNS).map(|at| format!(", c{at}")).collect();
    let text = format!("-- schema: wide 1\nCREATE TABLE w (id INTEGER NOT NULL PRIMARY KEY{columns});");
    let schema = greenlight_store::Schema::parse(&text).unwrap();
    let mut server = ServerDatabase::open(options(1, Location::Memory), &schema).unwrap();
    let mut changes = Vec::new();
    for id in 1..1_i64 << COLUMNS {
        let cells = (0..COLUMNS).filter(|at| id >> at & 1 == 1);
        changes.extend(cells.map(|at| change("w", &[Value::Integer(id)], &format!("c{at}"), Value::Integer(1))));
    }
    for part in changes.chunks(16_000) {
        server.apply(&[upload(part.to_vec())]).unwrap().remove(0).unwrap();
    }
    // SAFETY: it only reads a number that SQLite keeps.
    let most = unsafe { rusqlite::ffi::sqlite3_memory_highwater(0) };
    assert!(most < MOST_BYTES, "SQLite held {most} bytes");
    assert!(!history(&mut server).is_empty());
}
