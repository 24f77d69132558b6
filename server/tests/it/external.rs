//! Writes by other processes: the `sqlite3` shell with the loadable cr-sqlite, into the file that the server has open.
//!
//! Where in the flow: beside the server. What is missing to run these fails them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use greenlight_core::StatusState;
use serde_json::json;

use crate::fixture::{Server, eventually};
use crate::peer::Peer;

/// The loadable build, as `make extension` leaves it, unless `GREENLIGHT_EXTENSION` names another.
fn loadable() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/extension/crsqlite.so");
    let file = std::env::var_os("GREENLIGHT_EXTENSION").map_or(built, PathBuf::from);
    assert!(file.is_file(), "the loadable cr-sqlite is missing: make extension");
    file
}

pub(crate) fn shell(database: &Path, sql: &str) -> String {
    let load = format!(".load {}", loadable().display());
    let script = format!("{sql}; SELECT crsql_finalize();");
    let output = Command::new("sqlite3")
        .args(["-bail", "-cmd", ".timeout 5000", "-cmd", &load])
        .arg(database)
        .arg(script)
        .output()
        .expect("the sqlite3 shell is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn reaches_clients(database: &str, poll: bool) {
    let server = Server::start_with(|settings| {
        settings.poll = poll.then(|| Duration::from_millis(100));
    })
    .await;
    let alice = Peer::start(server.address, database);
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'alice')").await;
    alice.wait_synced().await;
    let file = server.data().join(database);
    shell(&file, "INSERT INTO note (id, title) VALUES (2, 'shell')");
    alice.wait_value("SELECT group_concat(title) FROM note", "alice,shell").await;
    // Both sides go on writing, and neither uses a version that the other has.
    for round in 3..8 {
        let id = 10 * round;
        shell(&file, &format!("UPDATE note SET title = 'round {round}' WHERE id = 1"));
        server.exec(database, "INSERT INTO note (id, title) VALUES (?, 'exec')", json!([id])).await;
        alice.exec(&format!("INSERT INTO note (id, title) VALUES ({}, 'alice')", id + 1)).await;
        alice.wait_value("SELECT title FROM note WHERE id = 1", &*format!("round {round}")).await;
        alice.wait_value(&format!("SELECT count(*) FROM note WHERE id = {id}"), 1).await;
    }
    alice.wait_synced().await;
    let count = "SELECT count(*) || ' ' || sum(id) FROM note";
    let here = server.exec(database, count, json!([])).await["rows"][0][0].as_str().unwrap().to_owned();
    alice.wait_value(count, &*here).await;
}

#[tokio::test]
async fn a_write_by_the_shell_reaches_clients_whatever_the_file_is_called() {
    for database in ["notes", "notes.db", "notes.sqlite", "notes.sqlite3"] {
        reaches_clients(database, false).await;
    }
}

#[tokio::test]
async fn a_write_by_the_shell_is_found_by_looking_too() {
    reaches_clients("notes", true).await;
}

/// No socket is open, so that no heartbeat can have found it.
async fn is_found_without_a_heartbeat(poll: Option<Duration>) {
    let server = Server::start_with(|settings| settings.poll = poll).await;
    for database in ["notes", "notes.sqlite3"] {
        server.get(&format!("/{database}/meta")).await;
        for round in 1..4 {
            shell(&server.data().join(database), &format!("INSERT INTO note (id) VALUES ({round})"));
            eventually("the head moves", || async {
                let meta = server.get(&format!("/{database}/meta")).await.json();
                (meta["head"] == json!(round)).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn the_file_systems_events_are_enough() {
    is_found_without_a_heartbeat(None).await;
}

#[tokio::test]
async fn looking_is_enough() {
    is_found_without_a_heartbeat(Some(Duration::from_millis(100))).await;
}

#[tokio::test]
async fn the_light_is_not_green_while_the_writer_can_not_commit() {
    let server = Server::start().await;
    let alice = Peer::start(server.address, "notes");
    alice.wait_synced().await;
    // Longer than the server's own patience with a lock.
    let mut holder = Command::new("sqlite3")
        .arg(server.data().join("notes"))
        .args(["BEGIN IMMEDIATE", ".shell sleep 12", "ROLLBACK"])
        .stdout(Stdio::null())
        .spawn()
        .expect("the sqlite3 shell is installed");
    let status = alice.wait("not green", |status| status.state != StatusState::Synced).await;
    assert!(holder.try_wait().unwrap().is_none(), "while the lock is held: {status:?}");
    assert_eq!(server.get("/notes/health").await.status, 503);
    assert!(holder.wait().unwrap().success());
    alice.wait_synced().await;
    assert_eq!(server.get("/notes/health").await.status, 200);
}

#[tokio::test]
async fn a_missed_event_is_made_up_for_by_the_heartbeat() {
    // Looking once a minute is as good as never.
    let server = Server::start_with(|settings| settings.poll = Some(Duration::from_secs(60))).await;
    let alice = Peer::start(server.address, "notes");
    alice.wait_synced().await;
    shell(&server.data().join("notes"), "INSERT INTO note (id, title) VALUES (1, 'shell')");
    alice.wait_value("SELECT count(*) FROM note", 1).await;
}

#[tokio::test]
async fn moving_a_row_to_another_key_loses_nothing() {
    let server = Server::start().await;
    let alice = Peer::start(server.address, "notes");
    server.exec("notes", "INSERT INTO note (id, title, size) VALUES (1, 'kept', 2.5)", json!([])).await;
    alice.wait_value("SELECT count(*) FROM note", 1).await;
    shell(&server.data().join("notes"), "UPDATE note SET id = 7 WHERE id = 1");
    alice.wait_value("SELECT id || title || size FROM note UNION ALL SELECT '' LIMIT 1", "7kept2.5").await;
    alice.wait_value("SELECT count(*) FROM note", 1).await;
}

#[tokio::test]
async fn what_was_written_while_the_server_was_away_is_served() {
    let server = Server::start().await;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (1, 'before')", json!([])).await;
    let folder = server.stop().await;
    shell(&folder.path().join("data/notes"), "INSERT INTO note (id, title) VALUES (2, 'away')");
    let server = Server::start_in(folder, |_| {}).await;
    let alice = Peer::start(server.address, "notes");
    alice.wait_value("SELECT group_concat(title) FROM note", "before,away").await;
}
