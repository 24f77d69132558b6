//! A schema goes up: the server keeps a copy first, and without one it leaves the database as it is.
//!
//! Where in the flow: between two runs of a server on one folder.

use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{NOTES, Server};
use crate::peer::{Peer, open};

const TWO: &str = "-- schema: notes 2
CREATE TABLE note (id INTEGER NOT NULL PRIMARY KEY, title TEXT NOT NULL DEFAULT '', size REAL, body BLOB, colour TEXT);
CREATE TABLE tag (note_id INTEGER NOT NULL, name TEXT NOT NULL, weight INTEGER, PRIMARY KEY (note_id, name));
";

/// Three notes by schema 1, and the server stopped.
async fn filled() -> TempDir {
    let server = Server::start().await;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (1, 'a'), (2, 'b'), (3, 'c')", json!([])).await;
    server.stop().await
}

fn set_schema(folder: &TempDir, text: &str) {
    std::fs::write(folder.path().join("schemas/notes.sql"), text).unwrap();
}

fn copies(folder: &TempDir) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.path().join("data/backups")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_copy_is_kept_of_before_and_is_no_database() {
    let folder = filled().await;
    set_schema(&folder, TWO);
    // In every folder of databases, also one where each name is a database.
    let server = Server::start_in(folder, |settings| {
        settings.databases = vec![greenlight_server::settings::DatabaseRule {
            pattern: greenlight_server::settings::Pattern::new("*", "pattern").unwrap(),
            schema: "notes".to_owned(),
            create: true,
            max_bytes: None,
        }];
    })
    .await;
    assert_eq!(server.get("/notes/meta").await.json()["schema_version"], json!(2));
    server.exec("notes", "DELETE FROM note", json!([])).await;
    let kept = copies(&server.folder);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let name = kept[0].file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("notes.schema-1.20") && name.ends_with("Z.sqlite3"), "{name}");
    let count = |sql: &str| -> i64 {
        let conn = greenlight_store::ServerReader::open(&kept[0]).unwrap();
        conn.connection().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("SELECT count(*) FROM note"), 3);
    server.get("/backups/meta").await.expect_error(400, "invalid_name");
    server.get(&format!("/backups%2f{name}/meta")).await.expect_error(400, "invalid_name");
    let status = server.get("/status").await.json();
    assert_eq!(status["databases"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(server.get("/health").await.status, 200);

    let alice = Peer::start_with(server.address, "notes", "", open(TWO));
    alice.wait_synced().await;
    let folder = server.stop().await;
    let server = Server::start_in(folder, |_| {}).await;
    assert_eq!(server.get("/notes/meta").await.status, 200);
    assert_eq!(copies(&server.folder), kept, "once");
}

#[tokio::test]
async fn without_a_copy_the_database_stays_as_it_was() {
    let folder = filled().await;
    set_schema(&folder, TWO);
    std::fs::write(folder.path().join("data/backups"), "in the way").unwrap();
    let server = Server::start_in(folder, |_| {}).await;
    let answer = server.get("/notes/meta").await;
    answer.expect_error(503, "unavailable");
    assert!(answer.text().contains("stays at schema 1 and was not migrated to 2"), "{}", answer.text());
    assert_eq!(server.get("/health").await.json()["checks"]["database:notes"], json!("unavailable"));
    // It is tried again with each request.
    std::fs::remove_file(server.data().join("backups")).unwrap();
    assert_eq!(server.get("/notes/meta").await.json()["schema_version"], json!(2));
    assert_eq!(copies(&server.folder).len(), 1);
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[3]]));
}

#[tokio::test]
async fn what_is_no_addition_is_refused_by_table_and_column() {
    let mut folder = filled().await;
    for (text, parts) in [
        (TWO.replace("size REAL, ", ""), ["`note`", "`size`"]),
        (TWO.replace("weight INTEGER", "weight TEXT"), ["`tag`", "`weight`"]),
        (TWO.replace("CREATE TABLE tag", "CREATE TABLE label"), ["`tag`", "gone"]),
    ] {
        set_schema(&folder, &text);
        let server = Server::start_in(folder, |_| {}).await;
        let answer = server.get("/notes/meta").await;
        answer.expect_error(503, "unavailable");
        assert!(parts.iter().all(|part| answer.text().contains(part)), "{parts:?}: {}", answer.text());
        folder = server.stop().await;
        assert!(copies(&folder).is_empty());
    }
    set_schema(&folder, NOTES);
    let server = Server::start_in(folder, |_| {}).await;
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[3]]));
}
