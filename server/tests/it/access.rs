//! Who may do what, over HTTP and on the socket.
//!
//! Where in the flow: before anything else.

use greenlight_core::StatusState;
use greenlight_core::status::Reason;
use greenlight_server::access::{Access, Grant, Role, TokenDigest};
use greenlight_server::settings::Pattern;
use serde_json::json;

use crate::fixture::{NOTES, Server};
use crate::peer::{Peer, dial, open};

fn grant(databases: &str, role: Role, token: &str) -> Grant {
    Grant { databases: Pattern::new(databases, "database").unwrap(), role, digest: TokenDigest::of(token) }
}

/// With tokens for reading, writing and everything.
async fn guarded() -> Server {
    Server::start_with(|settings| {
        settings.dev = false;
        settings.databases = vec![greenlight_server::settings::DatabaseRule {
            pattern: Pattern::new("notes*", "pattern").unwrap(),
            schema: "notes".to_owned(),
            create: true,
        }];
        settings.access = Access::new(vec![
            grant("notes*", Role::Read, "reader"),
            grant("notes", Role::Write, "writer"),
            grant("*", Role::Admin, "admin"),
        ]);
    })
    .await
}

#[tokio::test]
async fn each_role_opens_what_it_should() {
    let server = guarded().await;
    for (method, path, need) in [
        ("GET", "/notes/meta", "reader"),
        ("GET", "/notes/file", "reader"),
        ("POST", "/notes/exec", "admin"),
        ("POST", "/notes/reset", "admin"),
        ("GET", "/notes/quarantine", "admin"),
        ("POST", "/notes/quarantine/retry", "admin"),
        ("POST", "/notes/quarantine/drop", "admin"),
        ("GET", "/notes/status", "admin"),
        ("GET", "/status", "admin"),
    ] {
        let named = json!({ "ids": [] });
        let body = if path.contains("/quarantine/") { named } else { json!({ "sql": "SELECT 1" }) }.to_string();
        let ask = |token: &'static str| {
            let (server, body) = (&server, &body);
            async move {
                let bearer = format!("Bearer {token}");
                let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
                server.request(method, path, &headers, body.as_bytes()).await
            }
        };
        ask("unknown").await.expect_error(401, "unauthorized");
        let nobody = server.request(method, path, &[("content-type", "application/json")], body.as_bytes()).await;
        nobody.expect_error(401, "unauthorized");
        assert_eq!(nobody.header("www-authenticate"), "Bearer");
        for token in ["reader", "writer", "admin"] {
            let answer = ask(token).await;
            if need == "reader" || token == "admin" {
                assert_eq!(answer.status, 200, "{path} {token}: {}", answer.text());
            } else {
                answer.expect_error(403, "forbidden");
            }
        }
    }
    // Strangers don't learn which names there are.
    server.get("/nothing-here/meta").await.expect_error(401, "unauthorized");
    let elsewhere = server.request("GET", "/notes-2/meta", &[("authorization", "Bearer writer")], b"").await;
    elsewhere.expect_error(403, "forbidden");
    assert_eq!(server.get("/health").await.status, 200);
    assert_eq!(server.get("/metrics").await.status, 200, "this machine itself");
    let proxied = server.request("GET", "/metrics", &[("x-forwarded-for", "10.0.0.1")], b"").await;
    proxied.expect_error(401, "unauthorized");
}

#[tokio::test]
async fn the_socket_takes_its_token_from_the_hello() {
    let server = guarded().await;
    let writer = Peer::start_with(server.address, "notes", "writer", open(NOTES));
    writer.exec("INSERT INTO note (id, title) VALUES (1, 'x')").await;
    writer.wait_synced().await;
    let reader = Peer::start_with(server.address, "notes", "reader", open(NOTES));
    reader.wait_value("SELECT count(*) FROM note", 1).await;
    reader.wait_synced().await;
    reader.exec("INSERT INTO note (id, title) VALUES (2, 'not allowed')").await;
    reader.wait("refused", |status| status.state == StatusState::Stuck).await;
    let stranger = Peer::start_with(server.address, "notes", "unknown", open(NOTES));
    let status = stranger.wait("refused", |status| status.state == StatusState::Stuck).await;
    assert_eq!(status.reason, Reason::Unauthorized);
    assert_eq!(writer.value("SELECT count(*) FROM note").await, greenlight_core::Value::Integer(1));
}

#[tokio::test]
async fn development_is_for_this_machine_itself() {
    let server = Server::start().await;
    for header in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "via"] {
        server.request("GET", "/notes/meta", &[(header, "x")], b"").await.expect_error(403, "development_only");
    }
    // A page whose name was pointed at this machine comes under that name.
    server.request("GET", "/notes/meta", &[("host", "evil.example")], b"").await.expect_error(403, "development_only");
    for origin in ["https://evil.example", "null", "http://localhost:1"] {
        let headers = [("origin", origin), ("content-type", "application/json")];
        let answer = server.request("POST", "/notes/exec", &headers, br#"{"sql": "SELECT 1"}"#).await;
        answer.expect_error(403, "origin");
        assert_eq!(answer.header("access-control-allow-origin"), "", "no page elsewhere may read");
        server.request("POST", "/notes/reset", &[("origin", origin)], b"").await.expect_error(403, "origin");
        assert!(dial(server.address, "notes", Some(origin)).await.is_err(), "{origin}");
    }
    let own = format!("http://{}", server.address);
    assert!(dial(server.address, "notes", Some(&own)).await.is_ok());
    assert!(!server.data().join("notes").exists(), "nothing of it made anything");
}

#[tokio::test]
async fn an_allowed_origin_may_connect() {
    let server = Server::start_with(|settings| settings.origins = vec!["https://shop.example".to_owned()]).await;
    assert!(dial(server.address, "notes", Some("https://shop.example")).await.is_ok());
    assert!(dial(server.address, "notes", Some("https://shop.example.evil.example")).await.is_err());
}
