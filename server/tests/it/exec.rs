//! `exec`: what it answers, what it refuses, and that a refusal leaves everything as it was.
//!
//! Where in the flow: an operator's or an app's own SQL.

use serde_json::{Value, json};

use crate::fixture::Server;

async fn refused(server: &Server, body: Value, code: &str) -> String {
    let answer = server.post("/notes/exec", &body).await;
    answer.expect_error(400, code);
    answer.json()["error"]["sentence"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_value_survives_the_round_trip() {
    let server = Server::start().await;
    let row = json!([
        { "$integer": "-9223372036854775808" },
        "Büch \u{1F4D8} 'quoted'",
        5.0,
        { "$blob": "AP/+" },
    ]);
    let insert = "INSERT INTO note (id, title, size, body) VALUES (?, ?, ?, ?)";
    let answer = server.exec("notes", insert, row.clone()).await;
    assert_eq!(answer, json!({ "columns": [], "rows": [], "changes": 1 }));
    let answer = server.exec("notes", "SELECT id, title, size, body FROM note WHERE id = ?", json!([row[0]])).await;
    assert_eq!(answer, json!({ "columns": ["id", "title", "size", "body"], "rows": [row], "changes": 0 }));
    let types = "SELECT typeof(?), typeof(?), typeof(?), typeof(?), typeof(?), typeof(?), ?";
    let answer =
        server.exec("notes", types, json!([null, 5, 5.0, "5", { "$blob": "" }, true, 9007199254740992i64])).await;
    assert_eq!(answer["rows"], json!([["null", "integer", "real", "text", "blob", "integer", 9007199254740992i64]]));
}

#[tokio::test]
async fn several_statements_without_params_are_one_transaction() {
    let server = Server::start().await;
    let script = "INSERT INTO note (id) VALUES (1), (2); DELETE FROM note WHERE id = 1; SELECT id FROM note";
    let answer = server.post("/notes/exec", &json!({ "sql": script })).await.json();
    assert_eq!(answer, json!({ "columns": ["id"], "rows": [[2]], "changes": 3 }));
    let sentence = refused(&server, json!({ "sql": "INSERT INTO note (id) VALUES (3); SELECT nonsense" }), "sql").await;
    assert!(sentence.contains("no such column: nonsense"), "SQLite's own words: {sentence}");
    let answer = server.exec("notes", "SELECT count(*) FROM note", json!([])).await;
    assert_eq!(answer["rows"], json!([[1]]), "nothing of what failed was done");
}

#[tokio::test]
async fn what_must_not_be_run_is_refused() {
    let server = Server::start().await;
    for sql in [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "ATTACH 'other' AS other",
        "DETACH main",
        "SELECT load_extension('x')",
        "DELETE FROM greenlight_state",
        "DELETE FROM note__crsql_clock",
        "DELETE FROM crsql_changes",
        "SELECT crsql_finalize()",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA synchronous = OFF",
        "CREATE TABLE more (id INTEGER)",
        "DROP TABLE note",
    ] {
        refused(&server, json!({ "sql": sql }), "sql_denied").await;
    }
    refused(&server, json!({ "sql": "INSERT INTO note (id, title) VALUES (1, NULL)" }), "sql").await;
    refused(&server, json!({ "sql": "VACUUM" }), "sql").await;
    refused(&server, json!({ "sql": "SELECT ?" }), "sql_params").await;
    refused(&server, json!({ "sql": "SELECT ?", "params": [1, 2] }), "sql_params").await;
    refused(&server, json!({ "sql": "SELECT ?; SELECT ?", "params": [1] }), "sql_params").await;
    refused(&server, json!({ "sql": "" }), "sql_params").await;
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[0]]));
    assert_eq!(server.get("/notes/health").await.status, 200);
}

#[tokio::test]
async fn bodies_that_are_not_right_are_refused() {
    let server = Server::start().await;
    let json = [("content-type", "application/json; charset=utf-8")];
    for body in ["", "nonsense", "[]", "{}", r#"{"sql": 1}"#, r#"{"sql": "SELECT 1", "param": []}"#, "\u{0}", "{"] {
        server.request("POST", "/notes/exec", &json, body.as_bytes()).await.expect_error(400, "invalid_body");
    }
    for params in ["{}", "[[1]]", r#"[{"$blob": "?"}]"#, r#"[{"$integer": "x"}]"#, "[18446744073709551615]"] {
        let body = format!(r#"{{"sql": "SELECT ?", "params": {params}}}"#);
        server.request("POST", "/notes/exec", &json, body.as_bytes()).await.expect_error(400, "invalid_body");
    }
    let plain = server.request("POST", "/notes/exec", &[("content-type", "text/plain")], br#"{"sql": "SELECT 1"}"#);
    plain.await.expect_error(415, "content_type");
    let huge = format!(r#"{{"sql": "SELECT '{}'"}}"#, "x".repeat(17 * 1024 * 1024));
    server.request("POST", "/notes/exec", &json, huge.as_bytes()).await.expect_error(413, "too_large");
    assert!(!server.data().join("notes").exists(), "nothing of it made a database");
}

#[tokio::test]
async fn many_at_once_are_all_answered() {
    let server = std::sync::Arc::new(Server::start().await);
    let mut all = tokio::task::JoinSet::new();
    for id in 0..100 {
        let server = server.clone();
        all.spawn(async move {
            // Every fifth fails, and takes none of its neighbours in the same commit along.
            let title = if id % 5 == 0 { Value::Null } else { json!("x") };
            let body = json!({ "sql": "INSERT INTO note (id, title) VALUES (?, ?)", "params": [id, title] });
            (id, server.post("/notes/exec", &body).await.status)
        });
    }
    while let Some(done) = all.join_next().await {
        let (id, status) = done.unwrap();
        assert_eq!(status, if id % 5 == 0 { 400 } else { 200 }, "{id}");
    }
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[80]]));
}
