//! Another file comes into the place of one that the server has open: by another name's file, by being written over,
//! by SQLite's own means, or not at all. It is noticed, told, and the clients bring back what it lacks.
//!
//! Where in the flow: beside a running server, as a hurried operator does it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use greenlight_core::StatusState;
use greenlight_core::status::Reason;
use serde_json::json;

use crate::fixture::{Server, eventually};
use crate::peer::Peer;

/// Two clients in step on `notes`, a copy of that as the server hands it out, and then more.
async fn ahead(poll: Option<Duration>, filler: u64) -> (Server, Peer, Peer, PathBuf) {
    let server = Server::start_with(|settings| settings.poll = poll).await;
    let (alice, bob) = (Peer::start(server.address, "notes"), Peer::start(server.address, "notes"));
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'before')").await;
    bob.wait_value("SELECT count(*) FROM note", 1).await;
    alice.wait_synced().await;
    let copy = server.folder.path().join("copy");
    std::fs::write(&copy, server.get("/notes/file").await.body).unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 99 + ?)
                INSERT INTO note (id, body) SELECT i, randomblob(1000) FROM n WHERE i < 100 + ?1";
    server.exec("notes", fill, json!([filler])).await;
    alice.exec("INSERT INTO note (id, title) VALUES (2, 'by alice')").await;
    bob.exec("INSERT INTO note (id, title) VALUES (3, 'by bob')").await;
    for peer in [&alice, &bob] {
        peer.wait_value(TITLES, "before,by alice,by bob").await;
        peer.wait_synced().await;
    }
    (server, alice, bob, copy)
}

const TITLES: &str = "SELECT group_concat(title) FROM (SELECT title FROM note WHERE id < 100 ORDER BY id)";

async fn meta(server: &Server) -> serde_json::Value {
    server.get("/notes/meta").await.json()
}

/// Everything that was acknowledged is on the server and with both, under another epoch of the same site.
async fn heals(server: &Server, peers: [&Peer; 2], before: &serde_json::Value, filler: i64) {
    eventually("another epoch", || async {
        let after = meta(server).await;
        (after["epoch"].is_string() && after["epoch"] != before["epoch"]).then_some(())
    })
    .await;
    peers[0].exec("INSERT INTO note (id, title) VALUES (4, 'since')").await;
    let whole = "before,by alice,by bob,since";
    for peer in peers {
        peer.wait_value(TITLES, whole).await;
        peer.wait_synced().await;
    }
    let count = "SELECT count(*) FROM note WHERE id >= 100";
    eventually("the server has all of it", || async {
        let rows = server.exec("notes", &format!("{TITLES} UNION ALL {count}"), json!([])).await;
        (rows["rows"] == json!([[whole], [filler]])).then_some(())
    })
    .await;
    assert_eq!(meta(server).await["site_id"], before["site_id"]);
    let check = greenlight_store::ServerReader::open(&server.data().join("notes")).unwrap();
    let check: String = check.connection().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    assert!(server.get("/metrics").await.text().contains("\ngreenlight_files_replaced_total 1\n"));
    assert_eq!(server.get("/health").await.status, 200);
}

/// Looking at events once a minute is as good as never: the heartbeat has to find it.
const NO_EVENTS: Option<Duration> = Some(Duration::from_secs(60));

#[tokio::test]
async fn another_file_is_renamed_into_its_place() {
    for poll in [None, NO_EVENTS] {
        let (server, alice, bob, copy) = ahead(poll, 5).await;
        let before = meta(&server).await;
        std::fs::rename(&copy, server.data().join("notes")).unwrap();
        heals(&server, [&alice, &bob], &before, 5).await;
    }
}

#[tokio::test]
async fn an_older_file_is_copied_over_it() {
    // With little everything is in the log still; with much it was written into the file.
    for (poll, filler) in [(None, 5), (NO_EVENTS, 5), (NO_EVENTS, 8_000)] {
        let (server, alice, bob, copy) = ahead(poll, filler).await;
        let before = meta(&server).await;
        std::fs::copy(&copy, server.data().join("notes")).unwrap();
        heals(&server, [&alice, &bob], &before, i64::try_from(filler).unwrap()).await;
    }
}

#[tokio::test]
async fn an_older_state_is_put_in_by_sqlites_own_means() {
    let (server, alice, bob, copy) = ahead(NO_EVENTS, 5).await;
    let before = meta(&server).await;
    let restored = Command::new("sqlite3")
        .args(["-cmd", ".timeout 5000"])
        .arg(server.data().join("notes"))
        .arg(format!(".restore {}", copy.display()))
        .output()
        .expect("the sqlite3 shell is installed");
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    heals(&server, [&alice, &bob], &before, 5).await;
}

#[tokio::test]
async fn who_is_connected_is_told_at_once_and_nothing_is_acknowledged_into_the_old_file() {
    let (server, alice, _bob, copy) = ahead(NO_EVENTS, 5).await;
    std::fs::rename(&copy, server.data().join("notes")).unwrap();
    // Nobody has noticed yet, in all likelihood; what is written now must not be lost either way.
    for id in 10..40 {
        alice.exec(&format!("INSERT INTO note (id, title) VALUES ({id}, 'meanwhile')")).await;
    }
    let status = alice.wait("told", |status| status.diagnostics.last_close.is_some()).await;
    let close = status.diagnostics.last_close.unwrap();
    assert_eq!((close.code, &*close.reason), (4005, "another file came into the database's place"));
    alice.wait_synced().await;
    let count = server.exec("notes", "SELECT count(*) FROM note WHERE title = 'meanwhile'", json!([])).await;
    assert_eq!(count["rows"], json!([[30]]));
}

#[tokio::test]
async fn another_sites_file_is_another_lineage() {
    let (server, alice, bob, _copy) = ahead(NO_EVENTS, 5).await;
    server.exec("notes-2", "INSERT INTO note (id, title) VALUES (1, 'of another')", json!([])).await;
    let other = server.get("/notes-2/file").await.body;
    std::fs::write(server.folder.path().join("other"), other).unwrap();
    std::fs::rename(server.folder.path().join("other"), server.data().join("notes")).unwrap();
    for peer in [&alice, &bob] {
        let status = peer.wait("incompatible", |status| status.state == StatusState::Incompatible).await;
        assert_eq!(status.reason, Reason::Lineage);
        peer.wait_value(TITLES, "before,by alice,by bob").await;
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_made_anew() {
    let (server, alice, bob, copy) = ahead(NO_EVENTS, 5).await;
    let before = meta(&server).await;
    let file = server.data().join("notes");
    std::fs::remove_file(&file).unwrap();
    alice.wait("not green", |status| status.state != StatusState::Synced).await;
    eventually("it is told", || async { (server.get("/notes/meta").await.status == 503).then_some(()) }).await;
    let answer = server.get("/notes/meta").await;
    answer.expect_error(503, "unavailable");
    assert!(answer.text().contains("its file is gone") && !file.exists(), "{}", answer.text());
    assert_eq!(server.get("/health").await.status, 503);
    std::fs::rename(&copy, &file).unwrap();
    heals(&server, [&alice, &bob], &before, 5).await;
}

#[tokio::test]
async fn what_is_no_database_is_not_served() {
    let (server, alice, bob, copy) = ahead(NO_EVENTS, 5).await;
    let before = meta(&server).await;
    std::fs::write(server.data().join("notes"), "no database at all, by mistake ".repeat(500)).unwrap();
    alice.wait("not green", |status| status.state != StatusState::Synced).await;
    eventually("it is told", || async { (server.get("/notes/meta").await.status == 503).then_some(()) }).await;
    std::fs::copy(&copy, server.data().join("notes")).unwrap();
    heals(&server, [&alice, &bob], &before, 5).await;
}

fn loadable() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/extension/crsqlite.so");
    std::env::var_os("GREENLIGHT_EXTENSION").map_or(built, PathBuf::from)
}

#[tokio::test]
async fn what_sqlite_and_others_do_to_the_file_is_no_replacement() {
    let (server, alice, bob, _copy) = ahead(NO_EVENTS, 5).await;
    let before = meta(&server).await;
    let file = server.data().join("notes");
    let shell = |sql: &str| {
        let load = format!(".load {}", loadable().display());
        let output =
            Command::new("sqlite3").args(["-cmd", ".timeout 5000", "-cmd", &load]).arg(&file).arg(sql).output();
        assert!(output.expect("the sqlite3 shell is installed").status.success(), "{sql}");
    };
    for round in 0..3_i64 {
        server.exec("notes", "UPDATE note SET body = randomblob(1000)", json!([])).await;
        shell("PRAGMA wal_checkpoint(TRUNCATE)");
        shell(&format!("UPDATE note SET size = {round}; SELECT crsql_finalize(); PRAGMA wal_checkpoint(RESTART)"));
        shell("VACUUM");
        assert!(Command::new("touch").arg(&file).status().unwrap().success());
        // Longer than a heartbeat.
        tokio::time::sleep(Duration::from_millis(2_300)).await;
        // And while nothing else happens.
        assert!(Command::new("touch").arg(&file).status().unwrap().success());
        tokio::time::sleep(Duration::from_millis(2_300)).await;
        alice.wait_value("SELECT CAST(max(size) AS INTEGER) FROM note", round).await;
    }
    // Enough for SQLite's own checkpoints.
    for _ in 0..20 {
        server.exec("notes", "UPDATE note SET body = randomblob(400000)", json!([])).await;
    }
    bob.wait_synced().await;
    assert_eq!(meta(&server).await["epoch"], before["epoch"]);
    assert!(server.get("/metrics").await.text().contains("\ngreenlight_files_replaced_total 0\n"));
    for peer in [&alice, &bob] {
        assert_eq!(peer.status().diagnostics.last_close, None);
    }
}

#[tokio::test]
async fn without_any_client_nothing_is_acknowledged_into_a_file_that_nobody_finds_again() {
    let server = Server::start_with(|settings| settings.poll = NO_EVENTS).await;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (1, 'before')", json!([])).await;
    let copy = server.get("/notes/file").await.body;
    server.exec("notes", "INSERT INTO note (id, title) VALUES (2, 'after')", json!([])).await;
    let before = meta(&server).await;
    let replace = || {
        std::fs::write(server.folder.path().join("copy"), &copy).unwrap();
        std::fs::rename(server.folder.path().join("copy"), server.data().join("notes")).unwrap();
    };
    replace();
    let insert = json!({ "sql": "INSERT INTO note (id, title) VALUES (3, 'since')" });
    eventually("it is done", || async { (server.post("/notes/exec", &insert).await.status == 200).then_some(()) })
        .await;
    let titles = "SELECT group_concat(title) FROM note";
    assert_eq!(server.exec("notes", titles, json!([])).await["rows"], json!([["before,since"]]), "in the new file");
    let after = meta(&server).await;
    assert!(after["epoch"] != before["epoch"] && after["site_id"] == before["site_id"]);

    // And nobody asks for anything: the heartbeat finds it all the same.
    replace();
    eventually("noticed", || async {
        server.get("/metrics").await.text().contains("\ngreenlight_files_replaced_total 2\n").then_some(())
    })
    .await;
    assert_eq!(server.exec("notes", titles, json!([])).await["rows"], json!([["before"]]));
}
