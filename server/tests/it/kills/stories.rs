//! Kills at what happens seldom: making a database, migrating it, resetting it, putting it back, cleaning its
//! quarantine, taking note of writes by others.
//!
//! Where in the flow: each story prepares a folder, lets a server die at a point of it, judges what is left, and starts
//! the server again, which has to be as if it had never died.

use std::path::Path;
use std::process::Stdio;

use greenlight_core::StatusState;
use greenlight_store::ServerReader;
use greenlight_store::crash::Point;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::child::{Child, Remains, ask, command, expect_death, number, text};
use crate::external::shell;
use crate::fixture::{NOTES, eventually, folder};
use crate::peer::{Peer, open};

const TWO: &str = "-- schema: notes 2
CREATE TABLE note (id INTEGER NOT NULL PRIMARY KEY, title TEXT NOT NULL DEFAULT '', size REAL, body BLOB, colour TEXT);
CREATE TABLE tag (note_id INTEGER NOT NULL, name TEXT NOT NULL, weight INTEGER, PRIMARY KEY (note_id, name));
";
const TITLES: &str = "SELECT coalesce(group_concat(title), '') FROM (SELECT title FROM note ORDER BY id)";
const SITE: &str = "SELECT hex(site_id) FROM crsql_site_id WHERE ordinal = 0";

async fn exec(child: &Child, sql: &str) -> Value {
    let answer = ask(child.at(), "POST", "/notes/exec", Some(&json!({ "sql": sql }))).await.expect("an answer");
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.json()
}

/// A folder with three notes, and no server.
async fn filled() -> TempDir {
    let folder = folder();
    let child = Child::start(folder.path(), None);
    exec(&child, "INSERT INTO note (id, title) VALUES (1, 'a'), (2, 'b'), (3, 'c')").await;
    child.kill();
    folder
}

/// A server that comes up takes a client's writes and gives it everything.
async fn serves(folder: &Path, schema: &str, titles: &str) {
    let child = Child::start(folder, None);
    let peer = Peer::start_with(child.at(), "notes", "", open(schema));
    peer.wait_value(TITLES, titles).await;
    peer.exec("INSERT INTO note (id, title) VALUES (99, 'after the kill')").await;
    let both = [titles, "after the kill"].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(",");
    let arrives = || async { (exec(&child, TITLES).await["rows"] == json!([[both]])).then_some(()) };
    eventually("the server has both", arrives).await;
    peer.wait("in step", |status| status.state == StatusState::Synced && status.pending.changes == 0).await;
    assert_eq!(ask(child.at(), "GET", "/health", None).await.expect("an answer").status, 200);
}

pub(super) async fn making(point: Point) {
    let folder = folder();
    let child = Child::start(folder.path(), Some((point, 1)));
    let peer = Peer::start(child.at(), "notes");
    child.dies_at(point).await;
    drop(peer);
    serves(folder.path(), NOTES, "").await;
}

pub(super) async fn migrating(point: Point) {
    let folder = filled().await;
    std::fs::write(folder.path().join("schemas/notes.sql"), TWO).unwrap();
    Child::start(folder.path(), Some((point, 1))).dies_at(point).await;
    let remains = Remains::of(folder.path(), "notes");
    let reader = remains.open();
    let columns = number(&reader, "SELECT count(*) FROM pragma_table_info('note')");
    assert_eq!(columns, if point == Point::SchemaCommitted { 5 } else { 4 });
    assert_eq!(text(&reader, TITLES), "a,b,c");
    serves(folder.path(), TWO, "a,b,c").await;
    let copies = std::fs::read_dir(folder.path().join("data/backups")).unwrap();
    let whole = copies.map(|entry| entry.unwrap().path()).filter(|path| {
        path.extension().is_some_and(|extension| extension == "sqlite3")
            && number(&ServerReader::open(path).unwrap(), "SELECT count(*) FROM pragma_table_info('note')") == 4
    });
    assert!(whole.count() >= 1, "a copy of before is kept");
}

pub(super) async fn noting(point: Point) {
    let folder = filled().await;
    shell(&folder.path().join("data/notes"), "INSERT INTO note (id, title) VALUES (4, 'by another')");
    Child::start(folder.path(), Some((point, 1))).dies_at(point).await;
    serves(folder.path(), NOTES, "a,b,c,by another").await;
}

pub(super) async fn resetting(point: Point) {
    let folder = filled().await;
    let before = text(&Remains::of(folder.path(), "notes").open(), SITE);
    let child = Child::start(folder.path(), Some((point, 1)));
    assert!(ask(child.at(), "POST", "/notes/reset", Some(&json!({}))).await.is_none(), "nobody is told");
    child.dies_at(point).await;
    let reader = Remains::of(folder.path(), "notes");
    let reader = reader.open();
    let (site, titles) = (text(&reader, SITE), text(&reader, TITLES));
    let undone = point == Point::ResetBeforeCommit;
    assert_eq!((site == before, &*titles), (undone, if undone { "a,b,c" } else { "" }));
    serves(folder.path(), NOTES, &titles).await;
}

pub(super) async fn restoring(point: Point) {
    let folder = filled().await;
    let child = Child::start(folder.path(), None);
    let copy = folder.path().join("copy");
    std::fs::write(&copy, ask(child.at(), "GET", "/notes/file", None).await.expect("a copy").body).unwrap();
    exec(&child, "INSERT INTO note (id, title) VALUES (4, 'd')").await;
    child.kill();
    let run = |armed| {
        let mut command = command(folder.path(), armed);
        command.arg("restore").arg("--data").arg(folder.path().join("data")).args(["--database", "notes"]);
        command.arg("--from").arg(&copy).stdout(Stdio::null());
        command.status().unwrap()
    };
    let status = run(Some((point, 1)));
    expect_death(status, point, &std::fs::read_to_string(folder.path().join("log")).unwrap());
    let titles = text(&Remains::of(folder.path(), "notes").open(), TITLES);
    assert_eq!(titles, if point == Point::RestorePlaced { "a,b,c" } else { "a,b,c,d" });
    serves(folder.path(), NOTES, &titles).await;
    assert!(run(None).success(), "and it can be done once more");
    serves(folder.path(), NOTES, "a,b,c").await;
}

/// Refuses titles that begin with `bad`.
fn strict() -> String {
    let raise = "WHEN new.title LIKE 'bad%' BEGIN SELECT RAISE(ABORT, 'no such title'); END;";
    format!("{NOTES}CREATE TRIGGER i BEFORE INSERT ON note {raise}\nCREATE TRIGGER u BEFORE UPDATE ON note {raise}\n")
}

/// `retry` after the rule was lifted by hand, or `drop`.
pub(super) async fn cleaning(point: Point) {
    let folder = folder();
    std::fs::write(folder.path().join("schemas/notes.sql"), strict()).unwrap();
    let child = Child::start(folder.path(), None);
    let alice = Peer::start(child.at(), "notes");
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'bad one'), (2, 'good')").await;
    let list = || async {
        let listed = ask(child.at(), "GET", "/notes/quarantine", None).await.expect("an answer").json();
        listed["rows"].as_array().filter(|rows| !rows.is_empty()).map(|_| listed.clone())
    };
    let listed = eventually("something is in quarantine", list).await;
    let ids: Vec<_> = listed["rows"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
    child.kill();
    let retries = matches!(point, Point::RetryBeforeCommit | Point::RetryCommitted);
    if retries {
        shell(&folder.path().join("data/notes"), "DROP TRIGGER i; DROP TRIGGER u");
    }
    let child = Child::start(folder.path(), Some((point, 1)));
    let path = if retries { "/notes/quarantine/retry" } else { "/notes/quarantine/drop" };
    assert!(ask(child.at(), "POST", path, Some(&json!({ "ids": ids }))).await.is_none(), "nobody is told");
    child.dies_at(point).await;
    let done = matches!(point, Point::RetryCommitted | Point::DropCommitted);
    let remains = Remains::of(folder.path(), "notes");
    let mut reader = remains.open();
    let left = reader.shelf_count(greenlight_store::Shelf::Quarantine).unwrap();
    assert_eq!(left, if done { 0 } else { ids.len() as u64 }, "all of it or nothing");
    let bad = number(&reader, "SELECT count(*) FROM note WHERE title = 'bad one'");
    assert_eq!(bad, i64::from(done && retries));
    // Whoever comes gets the same as everybody.
    let child = Child::start(folder.path(), None);
    let bob = Peer::start_with(child.at(), "notes", "", open(&strict().replace("bad%", "never")));
    bob.wait_value("SELECT count(*) FROM note WHERE title = 'bad one'", bad).await;
    bob.wait("in step", |status| status.state == StatusState::Synced && status.pending.changes == 0).await;
    assert_eq!(exec(&child, "SELECT count(*) FROM note WHERE title = 'good'").await["rows"], json!([[1]]));
}

pub(super) async fn damaged(point: Point) {
    let folder = filled().await;
    let (data, log) = (folder.path().join("data"), folder.path().join("data/notes-wal"));
    let bytes = vec![0x5a; 20_000];
    std::fs::write(data.join("notes"), &bytes).unwrap();
    let log_bytes = std::fs::read(&log).unwrap();
    assert!(!log_bytes.is_empty(), "the kill left a log");
    Child::start(folder.path(), Some((point, 1))).dies_at(point).await;
    assert!(!data.join("notes").exists() && log.exists());
    // The next start finishes it, and makes nothing in its place.
    let child = Child::start(folder.path(), None);
    let answer = ask(child.at(), "GET", "/notes/meta", None).await.expect("an answer");
    answer.expect_error(503, "unavailable");
    assert!(!data.join("notes").exists() && !log.exists());
    let kept = crate::damage::kept(&data);
    assert_eq!(std::fs::read(&kept).unwrap(), bytes);
    assert_eq!(std::fs::read(format!("{}-wal", kept.display())).unwrap(), log_bytes);
}
