//! The operator's view of what could not be applied: looking, trying again, dropping, and the schema that makes room.
//!
//! Where in the flow: over HTTP, with clients that wrote what the server's triggers refuse.

use greenlight_core::StatusState;
use serde_json::{Value, json};

use crate::fixture::{NOTES, Server, eventually, folder};
use crate::peer::Peer;

/// Refuses titles that begin with `bad`, as the server's rule alone: triggers never travel.
fn strict(number: u32, kind: &str) -> String {
    let notes = NOTES.replace("notes 1", &format!("notes {number}"));
    let raise = format!("WHEN new.title LIKE 'bad%' BEGIN SELECT RAISE({kind}, 'no such title'); END;");
    format!("{notes}CREATE TRIGGER i BEFORE INSERT ON note {raise}\nCREATE TRIGGER u BEFORE UPDATE ON note {raise}\n")
}

async fn start(schema: &str) -> Server {
    let folder = folder();
    std::fs::write(folder.path().join("schemas/notes.sql"), schema).unwrap();
    Server::start_in(folder, |_| {}).await
}

/// A client that has written three notes, two of them bad, all acknowledged.
async fn with_bad_notes(server: &Server) -> Peer {
    let alice = Peer::start(server.address, "notes");
    let long = "x".repeat(5_000);
    alice.exec(&format!("INSERT INTO note (id, title) VALUES (1, 'bad one'), (2, 'good'), (3, 'bad {long}')")).await;
    alice.wait("acknowledged", |status| status.pending.changes == 0 && status.state == StatusState::Synced).await;
    alice
}

async fn list(server: &Server, query: &str) -> Value {
    let answer = server.get(&format!("/notes/quarantine{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn act(server: &Server, what: &str, ids: &[&str]) -> Value {
    let answer = server.post(&format!("/notes/quarantine/{what}"), &json!({ "ids": ids })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn ids(list: &Value) -> Vec<String> {
    list["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// The other columns of a bad note are applied: each change is judged on its own.
const TITLED: &str = "SELECT count(*) FROM note WHERE title <> ''";

async fn count(server: &Server) -> Value {
    server.exec("notes", TITLED, json!([])).await["rows"][0][0].clone()
}

#[tokio::test]
async fn it_shows_what_was_refused_and_by_whom() {
    let server = start(&strict(1, "ABORT")).await;
    let alice = with_bad_notes(&server).await;
    let site =
        alice.with(|store, _| greenlight_core::replica::ClientStore::load(store).unwrap().site_id.to_hex()).await;
    let all = list(&server, "").await;
    let rows = all["rows"].as_array().unwrap();
    assert_eq!((&all["total"], rows.len()), (&json!(rows.len()), rows.len()));
    let short = rows.iter().find(|row| row["value"] == json!("bad one")).unwrap();
    for (field, expected) in [
        ("table", json!("note")),
        ("key", json!([1])),
        ("column", json!("title")),
        ("value_bytes", json!(7)),
        ("site", json!(site)),
        ("sender", json!(site)),
    ] {
        assert_eq!(short[field], expected, "{field}: {short}");
    }
    assert_eq!(short["reason"], "no such title", "{short}");
    assert!(short["since_ms"].as_i64().unwrap() > 1_700_000_000_000, "{short}");
    let long = rows.iter().find(|row| row["value_bytes"] == json!(5_004)).unwrap();
    assert_eq!(long["value"], json!(null), "too long to be shown");

    let mut paged = Vec::new();
    for offset in 0..rows.len() {
        let page = list(&server, &format!("?offset={offset}&limit=1")).await;
        assert_eq!(page["total"], all["total"]);
        paged.extend(ids(&page));
    }
    assert_eq!(paged, ids(&all));
    for query in ["?limit=0", "?limit=501", "?offset=-1", "?limit", "?all=1"] {
        server.get(&format!("/notes/quarantine{query}")).await.expect_error(400, "invalid_body");
    }
    let total = all["total"].as_u64().unwrap();
    assert_eq!(server.get("/notes/status").await.json()["quarantined"], json!(total));
    assert_eq!(server.get("/status").await.json()["databases"][0]["quarantined"], json!(total));
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains(&format!("\ngreenlight_quarantined_changes {total}\n")), "{metrics}");
}

#[tokio::test]
async fn what_is_tried_again_and_fits_now_reaches_clients() {
    for kind in ["ABORT", "ROLLBACK"] {
        let server = start(&strict(1, kind)).await;
        let _alice = with_bad_notes(&server).await;
        let bob = Peer::start(server.address, "notes");
        bob.wait_value(TITLED, 1).await;
        bob.wait_synced().await;
        let before = list(&server, "").await;
        let named = ids(&before);
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        let unknown = "00112233445566778899aabbccddeeff";

        // The rule is still there: nothing of it changes but the reason's words.
        let answer = act(&server, "retry", &[&named[..], &[unknown, named[0]]].concat()).await;
        assert_eq!(answer["unknown"], json!([unknown]), "{kind}");
        assert!(!answer["kept"].as_array().unwrap().is_empty(), "{kind}: {answer}");
        assert_eq!(count(&server).await, json!(1), "{kind}");
        let after = list(&server, "").await;
        assert_eq!(after["rows"][0]["since_ms"], before["rows"][0]["since_ms"], "{kind}");
        let head = server.get("/notes/meta").await.json()["head"].clone();
        server.exec("notes", "INSERT INTO note (id, title) VALUES (9, 'still recorded')", json!([])).await;
        assert_ne!(server.get("/notes/meta").await.json()["head"], head, "{kind}");

        // An operator lifts it by hand.
        let conn = greenlight_store::ServerReader::open(&server.data().join("notes")).unwrap();
        drop(conn);
        let lifted = std::process::Command::new("sqlite3")
            .args(["-cmd", ".timeout 5000"])
            .arg(server.data().join("notes"))
            .arg("DROP TRIGGER i; DROP TRIGGER u")
            .status();
        assert!(lifted.expect("the sqlite3 shell is installed").success());
        let left = ids(&list(&server, "").await);
        let left: Vec<&str> = left.iter().map(String::as_str).collect();
        let answer = act(&server, "retry", &left).await;
        assert_eq!(answer["applied"].as_array().unwrap().len(), left.len(), "{kind}: {answer}");
        assert_eq!(list(&server, "").await["total"], json!(0), "{kind}");
        bob.wait_value("SELECT count(*) FROM note WHERE title LIKE 'bad%'", 2).await;
        bob.wait_synced().await;
    }
}

#[tokio::test]
async fn only_what_is_named_is_dropped() {
    let server = start(&strict(1, "ABORT")).await;
    let _alice = with_bad_notes(&server).await;
    let all = ids(&list(&server, "").await);
    assert!(all.len() > 1);
    let answer = act(&server, "drop", &[&all[0]]).await;
    assert_eq!(answer, json!({ "dropped": [all[0]], "unknown": [] }));
    assert_eq!(ids(&list(&server, "").await), all[1..]);
    assert_eq!(act(&server, "drop", &[&all[0]]).await, json!({ "dropped": [], "unknown": [all[0]] }));
    assert_eq!(act(&server, "retry", &[]).await, json!({ "applied": [], "kept": [], "unknown": [] }));
    let many: Vec<String> = (0..501).map(|number| format!("{number:032x}")).collect();
    for bad in [json!({}), json!({ "ids": ["*"] }), json!({ "ids": "all" }), json!({ "ids": many }), json!([])] {
        server.post("/notes/quarantine/drop", &bad).await.expect_error(400, "invalid_body");
    }
    let form = server.request("POST", "/notes/quarantine/drop", &[], b"ids=all").await;
    form.expect_error(415, "content_type");
    server.get("/notes/quarantine/drop").await.expect_error(405, "method_not_allowed");
    assert_eq!(ids(&list(&server, "").await), all[1..], "nothing of it dropped anything");
    assert_eq!(count(&server).await, json!(1));
}

#[tokio::test]
async fn another_schema_has_all_of_it_tried_again() {
    // By a new number, and by a trigger alone.
    for (schema, left) in [(strict(2, "ABORT").replace("bad%", "bad x%"), 1), (NOTES.to_owned(), 0)] {
        let server = start(&strict(1, "ABORT")).await;
        drop(with_bad_notes(&server).await);
        let before = server.get("/notes/meta").await.json()["head"].as_u64().unwrap();
        assert!(list(&server, "").await["total"].as_u64().unwrap() > 1);
        let folder = server.stop().await;
        std::fs::write(folder.path().join("schemas/notes.sql"), schema).unwrap();
        let server = Server::start_in(folder, |_| {}).await;
        assert_eq!(count(&server).await, json!(3 - left));
        let titles = list(&server, "").await;
        assert_eq!(titles["rows"].as_array().unwrap().is_empty(), left == 0, "{titles}");
        assert!(server.get("/notes/meta").await.json()["head"].as_u64().unwrap() > before, "so that clients read it");
        let bob = Peer::start_with(server.address, "notes", "", crate::peer::open(NOTES));
        eventually("it reaches a client", || async {
            let found = bob.value("SELECT title FROM note WHERE id = 1 UNION ALL SELECT '' LIMIT 1").await;
            (found == greenlight_core::Value::Text("bad one".to_owned())).then_some(())
        })
        .await;
    }
}
