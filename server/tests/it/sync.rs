//! Sync through the server: two clients, a third that comes later, the server's own writes, a reset.

use std::time::Duration;

use greenlight_core::StatusState;
use serde_json::json;

use crate::fixture::{NOTES, Server, eventually};
use crate::peer::{Peer, open, pending};

#[tokio::test]
async fn two_clients_see_each_others_writes() {
    let server = Server::start().await;
    let (alice, bob) = (Peer::start(server.address, "notes"), Peer::start(server.address, "notes"));
    alice.wait_synced().await;
    bob.wait_synced().await;

    alice.exec("INSERT INTO note (id, title, size, body) VALUES (1, 'Alice', 5.0, x'00ff')").await;
    bob.wait_value("SELECT title || typeof(size) || hex(body) FROM note UNION ALL SELECT '' LIMIT 1", "Alicereal00FF")
        .await;
    bob.exec("UPDATE note SET title = 'Bob' WHERE id = 1; INSERT INTO tag VALUES (1, 'red', -3)").await;
    alice.wait_value("SELECT title FROM note", "Bob").await;
    alice.exec("DELETE FROM tag").await;
    bob.wait_value("SELECT count(*) FROM tag", 0).await;
    let status = alice.wait_synced().await;
    assert_eq!(status.pending.changes, 0);
}

#[tokio::test]
async fn what_was_written_offline_arrives_after() {
    let server = Server::start().await;
    let (alice, bob) = (Peer::start(server.address, "notes"), Peer::start(server.address, "notes"));
    alice.wait_synced().await;
    bob.wait_synced().await;
    alice.with(|_, session| session.pause(crate::peer::now())).await;
    alice.wait("paused", |status| status.state == StatusState::Disconnected).await;
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'a'), (2, 'b'), (3, 'c')").await;
    bob.exec("INSERT INTO note (id, title) VALUES (4, 'd')").await;
    let counted = alice.with(|store, _| pending(store)).await;
    assert!(counted >= 3);
    assert_eq!(alice.wait("pending", |status| status.pending.changes > 0).await.pending.changes, counted);

    alice.with(|_, session| session.resume(crate::peer::now())).await;
    alice.wait_value("SELECT count(*) FROM note", 4).await;
    bob.wait_value("SELECT count(*) FROM note", 4).await;
    assert_eq!(alice.wait_synced().await.pending.changes, 0);
}

#[tokio::test]
async fn a_large_range_travels_in_parts_and_reaches_a_newcomer() {
    let server = Server::start().await;
    let alice = Peer::start(server.address, "notes");
    let bob = Peer::start(server.address, "notes");
    bob.wait_synced().await;
    alice
        .exec(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
             INSERT INTO note (id, title, body) SELECT i, 'note ' || i, randomblob(200) FROM n",
        )
        .await;
    bob.wait_value("SELECT count(*) FROM note", 5000).await;
    let carol = Peer::start(server.address, "notes");
    carol.wait_value("SELECT count(*) FROM note", 5000).await;
    let carols = carol.wait_synced().await.progress.expect("it took several parts");
    assert_eq!(carols.changes.done, carols.changes.total);
    let sum = "SELECT sum(id * length(body)) || max(title) FROM note";
    assert_eq!(carol.value(sum).await, alice.value(sum).await);
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[5000]]));
}

#[tokio::test]
async fn a_changeset_is_encoded_once_for_all() {
    let server = Server::start().await;
    let mut peers = Vec::new();
    for _ in 0..4 {
        peers.push(Peer::start(server.address, "notes"));
    }
    for peer in &peers {
        peer.wait_synced().await;
    }
    let count = |text: &str, name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let metrics = || async { server.get("/metrics").await.text() };
    let before = metrics().await;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (1, 'x')", json!([])).await;
    for peer in &peers {
        peer.wait_value("SELECT count(*) FROM note", 1).await;
    }
    let after = eventually("all were served", || async {
        let text = metrics().await;
        let served = count(&text, "greenlight_pages_served_total") - count(&before, "greenlight_pages_served_total");
        (served == 4).then_some(text)
    })
    .await;
    assert_eq!(count(&after, "greenlight_pages_read_total") - count(&before, "greenlight_pages_read_total"), 1);
}

#[tokio::test]
async fn the_servers_own_statements_reach_clients() {
    let server = Server::start().await;
    let alice = Peer::start(server.address, "notes");
    alice.wait_synced().await;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (?, ?)", json!([9, "from exec"])).await;
    alice.wait_value("SELECT title FROM note UNION ALL SELECT '' LIMIT 1", "from exec").await;
    // A move to another key: nothing of the row may be lost on its way.
    server.exec("notes", "UPDATE note SET id = 10 WHERE id = 9", json!([])).await;
    alice.wait_value("SELECT id || title FROM note", "10from exec").await;
}

#[tokio::test]
async fn databases_are_apart_and_stay_after_a_restart() {
    let server = Server::start().await;
    let alice = Peer::start(server.address, "notes-1");
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'one')").await;
    alice.wait("acknowledged", |status| status.state == StatusState::Synced && status.pending.changes == 0).await;
    assert_eq!(server.exec("notes-2", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[0]]));
    let before = server.get("/notes-1/meta").await.json();
    let folder = server.stop().await;
    alice.wait("noticed", |status| status.state == StatusState::Disconnected).await;

    let left: Vec<_> = std::fs::read_dir(folder.path().join("data")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with("-wal")), "closed in order: {left:?}");
    let server = Server::start_in(folder, |_| {}).await;
    let bob = Peer::start(server.address, "notes-1");
    bob.wait_value("SELECT count(*) FROM note", 1).await;
    assert_eq!(server.get("/notes-1/meta").await.json(), before);
}

#[tokio::test]
async fn a_reset_is_told_at_once_and_is_incompatible() {
    let server = Server::start().await;
    let alice = Peer::start(server.address, "notes");
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'one')").await;
    alice.wait_synced().await;
    let before = server.get("/notes/meta").await.json();
    let after = server.request("POST", "/notes/reset", &[], b"").await;
    assert_eq!(after.status, 200, "{}", after.text());
    assert_ne!(after.json()["site_id"], before["site_id"]);
    assert_eq!(after.json()["head"], json!(0));
    alice.wait("incompatible", |status| status.state == StatusState::Incompatible).await;
    assert_eq!(alice.value("SELECT count(*) FROM note").await, greenlight_core::Value::Integer(1), "it keeps its own");
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[0]]));
    let bob = Peer::start(server.address, "notes");
    bob.wait_synced().await;
}

#[tokio::test]
async fn another_schema_is_refused_by_name() {
    let server = Server::start().await;
    let store = open(&NOTES.replace("size REAL, ", "size REAL, colour TEXT, "));
    let alice = Peer::start_with(server.address, "notes", "", store);
    let status = alice.wait("incompatible", |status| status.state == StatusState::Incompatible).await;
    assert!(format!("{status:?}").contains("colour"), "{status:?}");
}

#[tokio::test]
async fn the_status_names_who_is_there_and_how_far() {
    let server = Server::start().await;
    let alice = Peer::start(server.address, "notes");
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'one')").await;
    alice.wait_synced().await;
    let status = eventually("a report of the light", || async {
        let status = server.get("/notes/status").await.json();
        (status["clients"][0]["state"] == json!("synced")).then_some(status)
    })
    .await;
    let client = &status["clients"][0];
    assert_eq!(client["agent"], json!("test"));
    assert_eq!(client["pending"], json!(0));
    assert_eq!(client["lag_versions"], json!(0));
    assert_eq!(status["writer"], json!("commits"));
    drop(alice);
    eventually("it left", || async {
        let status = server.get("/notes/status").await.json();
        status["clients"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_light_stays_green_while_nothing_happens() {
    let server = Server::start().await;
    let alice = Peer::start(server.address, "notes");
    alice.wait_synced().await;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(alice.status().state, StatusState::Synced, "{:?}", alice.status());
    }
}
