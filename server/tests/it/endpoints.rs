//! Each endpoint's answer, and the answers to what no endpoint takes.
//!
//! Where in the flow: over plain HTTP.

use std::time::Duration;

use serde_json::json;

use crate::fixture::{Server, eventually, extension, folder, settings};
use crate::peer::Peer;

#[tokio::test]
async fn meta_says_what_a_database_is() {
    let server = Server::start().await;
    let meta = server.get("/notes/meta").await;
    assert_eq!((meta.status, meta.header("cache-control")), (200, "no-store"));
    let meta = meta.json();
    assert_eq!(meta["schema_name"], json!("notes"));
    assert_eq!(meta["schema_version"], json!(1));
    assert_eq!(meta["head"], json!(0));
    let note = json!({"name": "note", "key": ["id"], "columns": ["body", "size", "title"]});
    let tag = json!({"name": "tag", "key": ["note_id", "name"], "columns": ["weight"]});
    assert_eq!(meta["tables"], json!([note, tag]));
    for (field, digits) in [("site_id", 32), ("epoch", 16), ("schema_digest", 32)] {
        let text = meta[field].as_str().unwrap();
        assert!(text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{field}: {text}");
    }
    assert_eq!(server.get("/notes/meta").await.json(), meta);
    server.exec("notes", "INSERT INTO note (id) VALUES (1)", json!([])).await;
    assert_eq!(server.get("/notes/meta").await.json()["head"], json!(1));
}

#[tokio::test]
async fn names_lead_to_databases_only_where_they_may() {
    let server = Server::start().await;
    for name in ["notes", "notes.db", "notes.sqlite3", "notes-42"] {
        assert_eq!(server.get(&format!("/{name}/meta")).await.status, 200, "{name}");
        assert!(server.data().join(name).is_file(), "names are kept whole: {name}");
    }
    for name in ["notebook", "other", "Notes"] {
        server.get(&format!("/{name}/meta")).await.expect_error(404, "unknown_database");
        assert!(!server.data().join(name).exists());
    }
    let long = "n".repeat(129);
    for name in ["status", "health", "metrics", "..", "a..b", "-x", "x-wal", "notes%2f..", "no%00tes", "%ff", &long] {
        let answer = server.get(&format!("/{name}/meta")).await;
        answer.expect_error(400, "invalid_name");
    }
    server.get("/nothing").await.expect_error(404, "not_found");
    server.get("/notes/meta/more").await.expect_error(404, "not_found");
    server.request("DELETE", "/notes/meta", &[], b"").await.expect_error(405, "method_not_allowed");
    server.get("/notes/exec").await.expect_error(405, "method_not_allowed");
    server.get("/notes/sync").await.expect_error(426, "not_a_socket");
}

#[tokio::test]
async fn rules_say_what_is_a_database_and_what_may_be_made() {
    let folder = folder();
    std::fs::write(
        folder.path().join("server.toml"),
        "data = \"data\"\nschemas = \"schemas\"\ndev = true\n\
         [[database]]\npattern = \"kept*\"\nschema = \"notes\"\n\
         [[database]]\npattern = \"*\"\nschema = \"notes\"\ncreate = true\n",
    )
    .unwrap();
    let flags = greenlight_server::Flags { config: Some(folder.path().join("server.toml")), ..Default::default() };
    let loaded = greenlight_server::Settings::load(flags).unwrap();
    let server = Server::start_in(folder, |settings| settings.databases = loaded.databases).await;
    server.get("/kept-1/meta").await.expect_error(404, "unknown_database");
    assert_eq!(server.get("/anything/meta").await.status, 200);
    std::fs::copy(server.data().join("anything"), server.data().join("kept-2")).unwrap();
    assert_eq!(server.get("/kept-2/meta").await.status, 200);
}

#[tokio::test]
async fn one_bad_database_never_stops_the_others() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(
        folder.path().join("data/notes-bad"),
        "this is no database, and longer than a header is ".repeat(40),
    )
    .unwrap();
    let server = Server::start_in(folder, |_| {}).await;
    let health = server.get("/health").await;
    assert_eq!(health.status, 503);
    assert_eq!(health.json()["checks"]["database:notes-bad"], json!("damaged"));
    assert_eq!(server.get("/notes/meta").await.status, 200);
    assert_eq!(server.get("/notes/health").await.status, 200);
    server.get("/notes-bad/meta").await.expect_error(503, "unavailable");
    server.get("/notes-bad/health").await.expect_error(503, "unavailable");
    let status = server.get("/status").await.json();
    assert_eq!(status["databases"].as_array().unwrap().len(), 2, "{status}");
}

#[tokio::test]
async fn what_could_not_be_made_is_made_when_it_can_be() {
    let server = Server::start().await;
    // Something that can't be cleared away lies where a database is made.
    let block = server.data().join(".notes.making");
    std::fs::create_dir_all(block.join("in the way")).unwrap();
    server.get("/notes/meta").await.expect_error(503, "unavailable");
    std::fs::remove_dir_all(block).unwrap();
    assert_eq!(server.get("/notes/meta").await.status, 200);
    // What was there, and vanished, is not.
    std::fs::remove_file(server.data().join("notes")).unwrap();
    let gone = || async { (server.get("/notes/meta").await.status == 503).then_some(()) };
    eventually("noticed", gone).await;
    assert!(!server.data().join("notes").exists());
}

#[tokio::test]
async fn health_names_its_checks_and_makes_nothing() {
    let server = Server::start().await;
    server.get("/notes/health").await.expect_error(404, "unknown_database");
    assert!(!server.data().join("notes").exists());
    server.get("/notes/meta").await;
    let health = server.get("/notes/health").await;
    assert_eq!(health.json(), json!({ "status": "ok", "checks": { "reader": "ok", "writer": "ok" } }));
    let health = server.get("/health").await.json();
    assert_eq!((&health["status"], &health["checks"]["database:notes"]), (&json!("ok"), &json!("ok")));
    let stranger = [("x-forwarded-for", "10.0.0.1")];
    let health = server.request("GET", "/health", &stranger, b"").await;
    assert_eq!(health.status, 200);
    assert!(!health.text().contains("notes"), "names are nobody's business: {}", health.text());
}

/// Checks a text as Prometheus reads it, and gives each sample's name with its labels, and its value.
fn samples(text: &str) -> std::collections::BTreeMap<String, f64> {
    let (mut described, mut found) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, _] => drop(described.insert(name.to_owned(), None)),
            ["#", "TYPE", name, kind] => drop(described.insert(name.to_owned(), Some(kind.to_owned()))),
            _ => {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let family = name.split('{').next().unwrap();
                let family = ["_bucket", "_sum", "_count"]
                    .iter()
                    .filter_map(|ending| family.strip_suffix(ending))
                    .find(|family| described.get(*family) == Some(&Some("histogram".to_owned())))
                    .unwrap_or(family);
                assert!(described.get(family).is_some_and(Option::is_some), "not described before: {line}");
                assert!(found.insert(name.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
            }
        }
    }
    found
}

#[tokio::test]
async fn metrics_are_what_prometheus_reads_and_all_of_them_are_there() {
    let plan = greenlight_server::settings::BackupPlan { every: Duration::from_millis(100), keep: 1 };
    // What is deleted is counted once in ten minutes, so it is there before.
    let server = Server::start().await;
    server.exec("notes", "INSERT INTO note (id) VALUES (1), (2)", json!([])).await;
    server.exec("notes", "DELETE FROM note WHERE id = 1", json!([])).await;
    let server = Server::start_in(server.stop().await, |settings| {
        settings.operations.backups = Some(plan);
        settings.operations.sample = Duration::from_millis(50);
    })
    .await;
    let alice = Peer::start(server.address, "notes");
    alice.exec("INSERT INTO note (id, title) VALUES (3, 'x')").await;
    alice.wait_synced().await;
    let nobody = Peer::start(server.address, "nobodys");
    nobody.wait("refused", |status| status.diagnostics.last_close.is_some()).await;
    server.get("/nothing").await.expect_error(404, "not_found");
    let all = eventually("what is counted by and by", || async {
        let answer = server.get("/metrics").await;
        assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
        let found = samples(&answer.text());
        let there = |name: &str| found.contains_key(&format!("greenlight_{name}{{database=\"notes\"}}"));
        (there("database_tombstones") && there("backup_bytes")).then_some(found)
    })
    .await;
    let get = |name: &str| all[&format!("greenlight_{name}")];
    for (name, value) in [
        ("databases_open", 1.0),
        ("sockets", 1.0),
        ("database_sockets{database=\"notes\"}", 1.0),
        ("database_clients_behind{database=\"notes\"}", 0.0),
        ("database_tombstones{database=\"notes\"}", 1.0),
        ("commit_seconds_count", get("commit_parts_count")),
        ("commit_seconds_bucket{le=\"+Inf\"}", get("commit_parts_count")),
    ] {
        assert_eq!(get(name), value, "{name}");
    }
    assert!(
        get("refusals_total{code=\"unknown_database\"}") >= 1.0 && get("http_responses_total{class=\"4xx\"}") >= 1.0
    );
    assert!(get("commit_parts_sum") >= 1.0 && get("bytes_in_total") > 0.0 && get("bytes_out_total") > 0.0);
    assert!(get("database_bytes{database=\"notes\"}") > 0.0 && get("start_time_seconds") > 1.7e9);
    for family in &greenlight_server::metrics::families::FAMILIES {
        let name = format!("greenlight_{}", family.name);
        assert!(all.keys().any(|found| found.starts_with(&name)), "{name} is in the table and not there");
    }
}

#[tokio::test]
async fn the_last_hour_is_shown_to_operators_alone() {
    let server = Server::start_with(|settings| settings.operations.sample = Duration::from_millis(20)).await;
    let alice = Peer::start(server.address, "notes");
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'x')").await;
    alice.wait_synced().await;
    let history = eventually("samples", || async {
        let history = server.get("/status?history").await.json()["history"].clone();
        let clients = history["databases"]["notes"]["clients"].as_array()?.clone();
        // The commit may come after some samples with the client.
        let committed = history["commits"].as_array()?.iter().any(|count| *count != json!(0));
        (committed && clients.iter().filter(|count| **count == json!(1)).count() >= 3).then_some(history)
    })
    .await;
    assert_eq!(history["every_ms"], json!(20));
    let of =
        |value: &serde_json::Value| value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect::<Vec<_>>();
    assert!(of(&history["commits"]).iter().sum::<u64>() >= 1, "{history}");
    assert!(of(&history["databases"]["notes"]["bytes"]).last().unwrap() > &0, "{history}");
    assert!(server.get("/status").await.json()["history"].is_null(), "only where it is asked for");
    let stranger = [("x-forwarded-for", "10.0.0.1")];
    server.request("GET", "/status?history", &stranger, b"").await.expect_error(403, "development_only");
}

#[tokio::test]
async fn the_file_is_a_consistent_copy_and_comes_in_ranges_too() {
    let server = Server::start().await;
    server.exec("notes", "INSERT INTO note (id, body) VALUES (1, zeroblob(300000))", json!([])).await;
    let whole = server.get("/notes/file").await;
    assert_eq!((whole.status, whole.header("greenlight-version")), (200, "1"));
    let meta = server.get("/notes/meta").await.json();
    assert_eq!(json!(whole.header("greenlight-site-id")), meta["site_id"]);
    assert_eq!(json!(whole.header("greenlight-epoch")), meta["epoch"]);
    assert_eq!(whole.header("greenlight-tag").len(), 16);
    let tag = whole.header("etag").to_owned();

    let mut pieces = Vec::new();
    while pieces.len() < whole.body.len() {
        let range = format!("bytes={}-{}", pieces.len(), pieces.len() + 99_999);
        let headers = [("range", range.as_str()), ("if-range", tag.as_str())];
        let piece = server.request("GET", "/notes/file", &headers, b"").await;
        assert_eq!(piece.status, 206);
        pieces.extend(piece.body);
    }
    assert!(pieces == whole.body, "the same bytes");
    let beyond = server.request("GET", "/notes/file", &[("range", "bytes=99999999-")], b"").await;
    beyond.expect_error(416, "range");
    assert_eq!(server.request("GET", "/notes/file", &[("if-none-match", &tag)], b"").await.status, 304);

    server.exec("notes", "INSERT INTO note (id) VALUES (2)", json!([])).await;
    let changed = server.request("GET", "/notes/file", &[("range", "bytes=0-9"), ("if-range", &tag)], b"").await;
    assert_eq!((changed.status, changed.header("greenlight-version")), (200, "2"), "ranges of two copies never mix");

    // The copy is a database that a server can take up.
    let folder = folder();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/notes"), &changed.body).unwrap();
    let second = Server::start_in(folder, |_| {}).await;
    assert_eq!(second.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[2]]));
}

#[tokio::test]
async fn a_server_does_not_start_with_what_it_can_not_use() {
    let folder = folder();
    let run = |settings: greenlight_server::Settings| async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ended = greenlight_server::run(listener, settings, std::future::pending()).await;
        ended.expect_err("it must not start").to_string()
    };
    let base = settings(folder.path());
    let mut open = base.clone();
    open.listen = "0.0.0.0:0".parse().unwrap();
    assert!(run(open.clone()).await.contains("--dev"), "development is for loopback");
    open.dev = false;
    assert!(run(open).await.contains("nothing says who may come in"));
    let mut web = base.clone();
    web.web = Some(folder.path().join("nowhere"));
    assert!(run(web).await.starts_with("web is not usable"));
    let mut missing = base.clone();
    missing.schemas = folder.path().join("nowhere");
    assert!(run(missing).await.starts_with("schemas is not usable"));
    if extension().is_none() {
        let mut other = base.clone();
        other.extension = Some(folder.path().join("nowhere.so"));
        assert!(run(other).await.starts_with("extension is not usable"));
    }
    std::fs::write(folder.path().join("schemas/bad.sql"), "CREATE TABLE t (a)").unwrap();
    let sentence = run(base.clone()).await;
    assert!(sentence.contains("bad.sql") && sentence.contains("-- schema:"), "{sentence}");
    std::fs::write(folder.path().join("schemas/bad.sql"), "-- schema: bad 1\nCREATE TABLE t (a INTEGER PRIMARY KEY);")
        .unwrap();
    let sentence = run(base).await;
    assert!(sentence.contains("bad.sql") && sentence.contains("can't be synchronised"), "{sentence}");
}
