//! Backups: one is put back by the real command, clients heal or are told; and one is kept before each migration.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use greenlight_core::StatusState;
use greenlight_core::status::Reason;
use serde_json::json;

use crate::fixture::{NOTES, Server, eventually};
use crate::peer::Peer;

fn restore(folder: &Path, from: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
    command.args(["restore", "--database", "notes", "--data"]).arg(folder.join("data"));
    command.arg("--from").arg(from).args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn kept(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join("data/.backups")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn count(file: &Path) -> i64 {
    let conn = rusqlite::Connection::open(file).unwrap();
    conn.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap()
}

/// A server whose backup has one row, while it and its client have three; all of them acknowledged.
async fn with_backup() -> (Server, Peer, PathBuf) {
    let server = Server::start().await;
    let alice = Peer::start(server.address, "notes");
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'early')").await;
    alice.wait("synced", |status| status.state == StatusState::Synced && status.pending.changes == 0).await;
    let answer = server.get("/notes/file").await;
    assert_eq!(answer.status, 200);
    let backup = server.folder.path().join("backup.sqlite3");
    std::fs::write(&backup, &answer.body).unwrap();
    alice.exec("INSERT INTO note (id, title) VALUES (2, 'late')").await;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (3, 'late too')", json!([])).await;
    alice.wait_value("SELECT count(*) FROM note", 3).await;
    alice.wait("synced", |status| status.state == StatusState::Synced && status.pending.changes == 0).await;
    (server, alice, backup)
}

#[tokio::test]
async fn clients_bring_back_what_a_restored_backup_lacks() {
    let (server, alice, backup) = with_backup().await;
    let address = server.address;
    let folder = server.stop().await;
    let output = restore(folder.path(), &backup, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("bring back"), "{}", said(&output));
    assert_eq!(count(&folder.path().join("data/notes")), 1);
    let kept = kept(folder.path());
    assert_eq!((kept.len(), count(&kept[0])), (1, 3), "what was there before is kept");
    let server = Server::start_in(folder, |settings| settings.listen = address).await;
    eventually("the late rows are back", || async {
        let rows = server.exec("notes", "SELECT id FROM note ORDER BY id", json!([])).await["rows"].clone();
        (rows == json!([[1], [2], [3]])).then_some(())
    })
    .await;
    assert_eq!(alice.wait_synced().await.pending.changes, 0);
    alice.wait_value("SELECT count(*) FROM note", 3).await;
}

#[tokio::test]
async fn an_undo_is_another_database_to_its_clients() {
    let (server, alice, backup) = with_backup().await;
    let address = server.address;
    let folder = server.stop().await;
    let output = restore(folder.path(), &backup, &["--new-lineage"]);
    assert!(output.status.success(), "{}", said(&output));
    let server = Server::start_in(folder, |settings| settings.listen = address).await;
    let status = alice.wait("incompatible", |status| status.state == StatusState::Incompatible).await;
    assert_eq!(status.reason, Reason::Lineage);
    alice.wait_value("SELECT count(*) FROM note", 3).await;
    let bob = Peer::start(server.address, "notes");
    bob.wait_value("SELECT count(*) FROM note", 1).await;
    bob.exec("INSERT INTO note (id, title) VALUES (9, 'on')").await;
    bob.wait("verified", |status| status.verified_at.is_some() && status.diverged.is_empty()).await;
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[2]]));
}

#[tokio::test]
async fn a_running_server_is_not_restored_under_its_feet() {
    let (server, alice, backup) = with_backup().await;
    let output = restore(server.folder.path(), &backup, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("stop the server first"), "{}", said(&output));
    assert_eq!(kept(server.folder.path()), Vec::<PathBuf>::new());
    alice.exec("INSERT INTO note (id, title) VALUES (4, 'on')").await;
    alice.wait("synced", |status| status.state == StatusState::Synced && status.pending.changes == 0).await;
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[4]]));
    for (words, why) in
        [(["--database", "../notes"], "a database's name"), (["--database", ".backups"], "a database's name")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
        command.arg("restore").args(words).arg("--data").arg(server.data()).arg("--from").arg(&backup);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(why), "{}", said(&output));
    }
}

const NOTES_2: &str = "-- schema: notes 2
CREATE TABLE note (id INTEGER NOT NULL PRIMARY KEY, title TEXT NOT NULL DEFAULT '', size REAL, body BLOB, mood TEXT);
CREATE TABLE tag (note_id INTEGER NOT NULL, name TEXT NOT NULL, weight INTEGER, PRIMARY KEY (note_id, name));
";

#[tokio::test]
async fn a_copy_is_kept_before_a_migration_and_none_without_need() {
    let server = Server::start().await;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (1, 'before')", json!([])).await;
    let folder = server.stop().await;
    let folder = Server::start_in(folder, |_| {}).await.stop().await;
    assert_eq!(kept(folder.path()), Vec::<PathBuf>::new());
    std::fs::write(folder.path().join("schemas/notes.sql"), NOTES_2).unwrap();
    let server = Server::start_in(folder, |_| {}).await;
    server.exec("notes", "UPDATE note SET mood = 'after'", json!([])).await;
    let copies = kept(server.folder.path());
    assert_eq!(copies.len(), 1);
    let name = copies[0].file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("notes.schema-1.") && name.ends_with(".sqlite3"), "{name}");
    let conn = rusqlite::Connection::open(&copies[0]).unwrap();
    assert_eq!(count(&copies[0]), 1);
    assert!(conn.prepare("SELECT mood FROM note").is_err(), "it is from before");
    assert_eq!(server.get("/.backups/meta").await.status, 400, "no database has such a name");
    assert_eq!(server.get(&format!("/{name}/meta")).await.status, 404);
}

#[tokio::test]
async fn without_a_copy_there_is_no_migration() {
    let server = Server::start().await;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (1, 'before')", json!([])).await;
    let folder = server.stop().await;
    // Where the copies go, there is something else.
    std::fs::write(folder.path().join("data/.backups"), "").unwrap();
    std::fs::write(folder.path().join("schemas/notes.sql"), NOTES_2).unwrap();
    let server = Server::start_in(folder, |_| {}).await;
    let answer = server.get("/notes/meta").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "unavailable");
    let folder = server.stop().await;
    std::fs::write(folder.path().join("schemas/notes.sql"), NOTES).unwrap();
    let server = Server::start_in(folder, |_| {}).await;
    let meta = server.get("/notes/meta").await.json();
    assert_eq!(meta["schema_version"], 1, "as it was");
}
