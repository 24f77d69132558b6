//! Databases that nobody uses are closed and opened again, and nobody notices.
//!
//! Where in the flow: beside the clients; what is left open is looked up with the system.

use std::sync::Arc;
use std::time::Duration;

use greenlight_server::metrics::Metrics;
use greenlight_server::name::DatabaseName;
use greenlight_server::registry::Registry;
use serde_json::json;

use crate::external::shell;
use crate::fixture::{JSON, Server, eventually, folder, open_files, settings};
use crate::peer::Peer;

async fn idle_after(idle: Duration) -> Server {
    Server::start_with(|settings| settings.operations.idle = Some(idle)).await
}

/// The threads of this process with a name.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|found| found.trim() == name).count()
}

async fn closed(server: &Server, name: &str) {
    let file = server.data().join(name);
    eventually("its files are closed", || async { open_files(&file).is_empty().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_files_and_its_thread_go_and_it_is_opened_again_for_whoever_comes() {
    let server = idle_after(Duration::from_secs(1)).await;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (1, 'before')", json!([])).await;
    let file = server.data().join("notes");
    assert!(!open_files(&file).is_empty() && threads("writer notes") > 0, "it is open while it is used");
    closed(&server, "notes").await;
    eventually("its thread is gone", || async { (threads("writer notes") == 0).then_some(()) }).await;
    assert!(!file.with_file_name("notes-wal").exists(), "its log is folded in");
    let status = server.get("/status").await.json();
    assert_eq!(status["databases"][0]["idle"], json!(true), "{status}");
    let health = server.get("/notes/health").await;
    assert_eq!((health.status, health.json()["checks"].clone()), (200, json!({ "idle": "ok" })));
    assert_eq!(server.get("/health").await.status, 200);
    let metrics = server.get("/metrics").await.text();
    assert!(
        metrics.contains("\ngreenlight_databases_open 0\n") && metrics.contains("_idle_closed_total 1\n"),
        "{metrics}"
    );
    assert!(open_files(&file).is_empty(), "looking at it doesn't open it");

    // Written by another process meanwhile: nobody was told, and whoever comes sees it.
    shell(&file, "INSERT INTO note (id, title) VALUES (2, 'by the shell')");
    let alice = Peer::start(server.address, "notes");
    alice.wait_value("SELECT group_concat(title) FROM note", "before,by the shell").await;
    alice.exec("INSERT INTO note (id, title) VALUES (3, 'by alice')").await;
    alice.wait_synced().await;
    // While it is used, another one comes and goes.
    server.get("/notes-2/meta").await;
    closed(&server, "notes-2").await;
    assert!(!open_files(&file).is_empty() && alice.status().diagnostics.last_close.is_none(), "a socket is a use");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_while_it_closes_finds_it_open_again() {
    let server = Arc::new(idle_after(Duration::from_millis(1)).await);
    let mut tasks = Vec::new();
    for task in 0..6 {
        let server = server.clone();
        tasks.push(tokio::spawn(async move {
            for round in 0..40 {
                let id = task * 1_000 + round;
                let body = json!({ "sql": "INSERT INTO note (id) VALUES (?)", "params": [id] }).to_string();
                let answer = server.request("POST", "/notes/exec", &JSON, body.as_bytes()).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                // Around the time between two looks, so that some come at the very moment.
                tokio::time::sleep(Duration::from_millis(15 + (id * 7) % 23)).await;
            }
        }));
    }
    for round in 0..5 {
        let peer = Peer::start(server.address, "notes");
        peer.exec(&format!("INSERT INTO note (id) VALUES ({})", 100_000 + round)).await;
        peer.wait_synced().await;
        assert!(peer.status().diagnostics.last_close.is_none(), "{:?}", peer.status());
    }
    for task in tasks {
        task.await.unwrap();
    }
    for _ in 0..5 {
        closed(&server, "notes").await;
        let rows = server.exec("notes", "SELECT count(*) FROM note", json!([])).await;
        assert_eq!(rows["rows"], json!([[6 * 40 + 5]]), "nothing was lost");
    }
    let metrics = server.get("/metrics").await.text();
    let times = metrics.lines().find_map(|line| line.strip_prefix("greenlight_idle_closed_total "));
    assert!(times.unwrap().parse::<u32>().unwrap() >= 5, "{times:?}");
}

#[tokio::test]
async fn what_vanished_meanwhile_is_not_made_anew() {
    let server = idle_after(Duration::from_millis(50)).await;
    server.exec("notes", "INSERT INTO note (id) VALUES (1)", json!([])).await;
    closed(&server, "notes").await;
    let (file, away) = (server.data().join("notes"), server.folder.path().join("away"));
    std::fs::rename(&file, &away).unwrap();
    let answer = server.get("/notes/meta").await;
    answer.expect_error(503, "unavailable");
    assert!(answer.text().contains("its file is gone") && !file.exists(), "{}", answer.text());
    std::fs::rename(&away, &file).unwrap();
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[1]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn for_one_more_than_may_be_open_the_longest_idle_one_is_closed() {
    let folder = folder();
    let registry = Registry::new(Arc::new(settings(folder.path())), Arc::new(Metrics::default())).unwrap();
    let get = async |number: usize| registry.get(&DatabaseName::parse(&format!("notes-{number}")).unwrap()).await;
    let limit = greenlight_server::limits::MAX_DATABASES;
    let mut used = Vec::new();
    for number in 0..limit {
        used.push(get(number).await.unwrap());
    }
    let refused = get(limit).await.unwrap_err();
    assert!(refused.to_string().contains("too much to do"), "all are in use: {refused}");
    // The first two are not in use any more; the first was used later.
    drop(used.drain(..2));
    drop(get(0).await.unwrap());
    let there = |number: usize| !open_files(&folder.path().join(format!("data/notes-{number}-wal"))).is_empty();
    drop(get(limit).await.unwrap());
    assert!(there(0) && !there(1), "the one that was used longest ago");
    drop(get(limit + 1).await.unwrap());
    assert!(!there(0) && there(limit) && there(2));
    assert!(get(2).await.unwrap().is_alive(), "one that was in use all the time");
    drop(used);
    registry.close(crate::fixture::DEADLINE).await;
}
