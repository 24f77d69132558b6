//! A database is put back from a copy: what it does to clients that know more, and to servers that have it open.
//!
//! Where in the flow: the command, as an operator runs it, beside a running server or between two runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use greenlight_core::StatusState;
use greenlight_core::status::Reason;
use greenlight_server::lock::{DatabaseLock, Purpose};
use greenlight_server::name::DatabaseName;
use greenlight_store::{Location, Schema, ServerDatabase};
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{JSON, NOTES, Server, eventually, folder, open_files};
use crate::peer::{Peer, pending};

fn command(folder: &Path, database: &str, from: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
    command.arg("restore").arg("--data").arg(folder.join("data")).args(["--database", database]);
    command.arg("--from").arg(from).stdin(Stdio::null());
    command
}

pub(crate) fn restore(folder: &Path, from: &Path, more: &[&str]) -> Output {
    command(folder, "notes", from).args(more).output().unwrap()
}

/// Two clients in step on one note; a copy of that; then three more notes that both have, and that were acknowledged.
async fn ahead_of_a_copy() -> (Server, Peer, Peer, PathBuf) {
    let server = Server::start().await;
    let (alice, bob) = (Peer::start(server.address, "notes"), Peer::start(server.address, "notes"));
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'before')").await;
    bob.wait_value("SELECT count(*) FROM note", 1).await;
    alice.wait_synced().await;
    let copy = server.folder.path().join("copy");
    std::fs::write(&copy, server.get("/notes/file").await.body).unwrap();
    alice.exec("INSERT INTO note (id, title) VALUES (2, 'by alice')").await;
    bob.exec("INSERT INTO note (id, title) VALUES (3, 'by bob')").await;
    bob.wait_value("SELECT count(*) FROM note", 3).await;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (4, 'by the server')", json!([])).await;
    server.exec("notes", "UPDATE note SET title = 'changed' WHERE id = 1", json!([])).await;
    for peer in [&alice, &bob] {
        peer.wait_value("SELECT group_concat(title) FROM note", "changed,by alice,by bob,by the server").await;
        peer.wait_synced().await;
        assert_eq!(peer.with(|store, _| pending(store)).await, 0);
    }
    (server, alice, bob, copy)
}

async fn again(folder: TempDir, address: std::net::SocketAddr) -> Server {
    Server::start_in(folder, |settings| settings.listen = address).await
}

#[tokio::test]
async fn clients_bring_back_what_came_after_the_copy() {
    let (server, alice, bob, copy) = ahead_of_a_copy().await;
    let (address, before) = (server.address, server.get("/notes/meta").await.json());
    let folder = server.stop().await;
    let done = restore(folder.path(), &copy, &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.contains("restored `notes`") && text.contains("before-restore"), "{text}");
    // Before anybody connects the file is the copy.
    let reader = greenlight_store::ServerReader::open(&folder.path().join("data/notes")).unwrap();
    let count: i64 = reader.connection().query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
    drop(reader);

    let server = again(folder, address).await;
    // Others write on, so that heads alone would look fine.
    for id in 10..20 {
        server.exec("notes", "INSERT INTO note (id, title) VALUES (?, 'since')", json!([id])).await;
    }
    let titles = "SELECT group_concat(title) FROM (SELECT title FROM note WHERE id < 10 ORDER BY id)";
    let whole = "changed,by alice,by bob,by the server";
    eventually("the server has all of it again", || async {
        (server.exec("notes", titles, json!([])).await["rows"] == json!([[whole]])).then_some(())
    })
    .await;
    for peer in [&alice, &bob] {
        peer.wait_value("SELECT count(*) FROM note", 14).await;
        peer.wait_value(titles, whole).await;
        peer.wait_synced().await;
    }
    let after = server.get("/notes/meta").await.json();
    assert_eq!(after["site_id"], before["site_id"]);
    assert_ne!(after["epoch"], before["epoch"]);
}

#[tokio::test]
async fn with_a_new_lineage_they_are_refused() {
    let (server, alice, bob, copy) = ahead_of_a_copy().await;
    let (address, before) = (server.address, server.get("/notes/meta").await.json());
    let folder = server.stop().await;
    let done = restore(folder.path(), &copy, &["--new-lineage"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let server = again(folder, address).await;
    for peer in [&alice, &bob] {
        let status = peer.wait("incompatible", |status| status.state == StatusState::Incompatible).await;
        assert_eq!(status.reason, Reason::Lineage, "{status:?}");
        peer.wait_value("SELECT count(*) FROM note", 4).await;
    }
    assert_ne!(server.get("/notes/meta").await.json()["site_id"], before["site_id"]);
    let carol = Peer::start(server.address, "notes");
    carol.wait_value("SELECT group_concat(title) FROM note", "before").await;
    carol.exec("INSERT INTO note (id, title) VALUES (2, 'by carol')").await;
    carol.wait_synced().await;
    let rows = server.exec("notes", "SELECT group_concat(title) FROM note", json!([])).await;
    assert_eq!(rows["rows"], json!([["before,by carol"]]), "nothing of what was undone came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_gives_up_the_one_database_and_its_others_go_on() {
    let (server, alice, bob, copy) = ahead_of_a_copy().await;
    let carol = Peer::start(server.address, "notes-2");
    carol.exec("INSERT INTO note (id, title) VALUES (1, 'elsewhere')").await;
    carol.wait_synced().await;
    let before = server.get("/notes/meta").await.json();
    let path = server.folder.path().to_owned();
    let done = tokio::task::spawn_blocking(move || restore(&path, &copy, &[])).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // They come back by themselves, and what the copy lacks comes with them.
    let titles = "SELECT group_concat(title) FROM (SELECT title FROM note ORDER BY id)";
    let whole = "changed,by alice,by bob,by the server";
    eventually("the server has all of it again", || async {
        let body = json!({ "sql": titles }).to_string();
        let answer = server.request("POST", "/notes/exec", &JSON, body.as_bytes()).await;
        (answer.status == 200 && answer.json()["rows"] == json!([[whole]])).then_some(())
    })
    .await;
    for peer in [&alice, &bob] {
        peer.wait_synced().await;
        let close = peer.status().diagnostics.last_close.expect("it was told");
        assert_eq!((close.code, &*close.reason), (4006, "the database is being put back from a copy"));
    }
    let after = server.get("/notes/meta").await.json();
    assert_eq!(after["site_id"], before["site_id"]);
    assert_ne!(after["epoch"], before["epoch"]);
    assert!(carol.status().diagnostics.last_close.is_none(), "the other database was not touched");
    carol.exec("INSERT INTO note (id, title) VALUES (2, 'still')").await;
    carol.wait_synced().await;
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_is_at_work_nobody_opens_the_database_and_no_other_begins() {
    let server = Server::start().await;
    server.exec("notes", "INSERT INTO note (id) VALUES (1)", json!([])).await;
    let copy = server.folder.path().join("copy");
    std::fs::write(&copy, server.get("/notes/file").await.body).unwrap();
    let (data, name) = (server.data(), DatabaseName::parse("notes").unwrap());
    let wanted = DatabaseLock::alone(&data, &name, Purpose::Wanted).unwrap();
    let open = eventually("given up", || async { DatabaseLock::alone(&data, &name, Purpose::Open).ok() }).await;
    assert!(open_files(&data.join("notes")).is_empty(), "{:?}", open_files(&data.join("notes")));
    let refused = server.get("/notes/meta").await;
    refused.expect_error(503, "unavailable");
    assert!(refused.text().contains("it is being put back from a copy"), "{}", refused.text());
    assert_eq!(server.get("/notes-2/meta").await.status, 200);
    let other = restore(server.folder.path(), &copy, &[]);
    let sentence = String::from_utf8(other.stderr).unwrap();
    assert!(!other.status.success() && sentence.contains("another restore of `notes` is at work"), "{sentence}");
    drop(open);
    server.get("/notes/meta").await.expect_error(503, "unavailable");
    drop(wanted);
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[1]]));

    // A server that doesn't give it up: it may be frozen, or of a kind that doesn't know how.
    let held = DatabaseLock::shared(&data, &DatabaseName::parse("notes-2").unwrap(), Purpose::Open).unwrap();
    let refused = command(server.folder.path(), "notes-2", &copy).args(["--wait", "2"]).output().unwrap();
    let sentence = String::from_utf8(refused.stderr).unwrap();
    assert!(sentence.contains("a server has `notes-2` open and does not give it up"), "{sentence}");
    drop(held);
    for (name, from, part) in [
        ("no/name", "copy", "a database's name is"),
        ("notes", "nowhere", "the copy can't be read"),
        ("notes", "schemas/notes.sql", "the copy can't be read"),
    ] {
        let refused = command(server.folder.path(), name, &server.folder.path().join(from)).output().unwrap();
        let sentence = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && sentence.contains(part), "{sentence}");
    }
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[1]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_leaves_one_database_or_the_other() {
    let server = Server::start().await;
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                INSERT INTO note (id, title, body) SELECT i + ?, 'x', randomblob(2000) FROM n";
    server.exec("notes", fill, json!([0])).await;
    let copy = server.folder.path().join("copy");
    std::fs::write(&copy, server.get("/notes/file").await.body).unwrap();
    server.exec("notes", fill, json!([10_000])).await;
    let folder = server.stop().await;
    let file = folder.path().join("data/notes");
    let old = std::fs::read(&file).unwrap();
    let (mut outcomes, mut delay) = ([0, 0], Duration::ZERO);
    for _ in 0..25 {
        let mut child = command(folder.path(), "notes", &copy).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(delay);
        // It may have ended before.
        drop(child.kill());
        let ended = child.wait().unwrap();
        assert!(!ended.success() || delay > Duration::ZERO);
        delay += Duration::from_millis(4);
        // For writing, as the server opens it: what was being written is taken back.
        let options = greenlight_store::Options::system(Location::File(file.clone()), || 0).unwrap();
        let database = ServerDatabase::open(options, &Schema::parse(NOTES).unwrap()).unwrap();
        let ask = |sql: &str| -> String { database.connection().query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(ask("PRAGMA integrity_check"), "ok");
        match &*ask("SELECT count(*) || ' ' || count(DISTINCT length(body)) FROM note") {
            "4000 1" => outcomes[0] += 1,
            "2000 1" => outcomes[1] += 1,
            other => panic!("a mixture: {other}"),
        }
        drop(database);
        std::fs::write(&file, &old).unwrap();
    }
    assert!(outcomes[0] > 0, "never killed before the end: {outcomes:?}");
    let done = restore(folder.path(), &copy, &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let kept = std::fs::read_dir(folder.path().join("data/backups")).unwrap().count();
    assert!(kept <= 5 + 2, "what was killed leaves no heap: {kept}");
}

#[tokio::test]
async fn the_folder_may_be_named_by_the_configuration() {
    let (server, _alice, _bob, copy) = ahead_of_a_copy().await;
    let elsewhere = folder();
    std::fs::write(elsewhere.path().join("server.toml"), "data = \"data\"\nschemas = \"schemas\"\n").unwrap();
    std::fs::create_dir(elsewhere.path().join("data")).unwrap();
    let run = |set: &dyn Fn(&mut Command) -> &mut Command| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
        command.env_remove("GREENLIGHT_DATA").env_remove("GREENLIGHT_CONFIG").args(["restore", "--database", "notes"]);
        command.arg("--from").arg(&copy);
        set(&mut command);
        command.output().unwrap()
    };
    let config = elsewhere.path().join("server.toml");
    assert!(!run(&|command| command).status.success(), "no folder is named");
    assert!(run(&|command| command.arg("--config").arg(&config)).status.success());
    assert!(run(&|command| command.env("GREENLIGHT_DATA", elsewhere.path().join("data"))).status.success());
    drop(server);
    let server = Server::start_in(elsewhere, |_| {}).await;
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[1]]));
}
