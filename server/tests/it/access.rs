//! Who may do what, over HTTP and on the socket.
//!
//! Where in the flow: before anything else.

use greenlight_core::replica::FaultKind;
use greenlight_core::status::Reason;
use greenlight_core::{Status, StatusState, Value};
use greenlight_server::access::{Access, Grant, Role};
use greenlight_store::StatementError;

use crate::fixture::{NOTES, Server, eventually};
use crate::peer::{Peer, dial, open};
use crate::tokens::{add, guard, token};

fn grant(databases: &str, role: Role, token: &str) -> Grant {
    Grant::new(databases, role, token).unwrap()
}

/// With tokens for reading, writing and everything.
async fn guarded() -> Server {
    Server::start_with(|settings| {
        guard(settings);
        settings.access = Access::new(vec![
            grant("notes*", Role::Read, "reader"),
            grant("notes", Role::Write, "writer"),
            grant("notes", Role::Admin, "admin"),
            grant("notes-2", Role::Admin, "elsewhere"),
            Grant { expires: Some(1), ..grant("notes", Role::Admin, "expired") },
            grant("*", Role::Admin, "root"),
        ]);
    })
    .await
}

/// The tables of the document, by their first word: the other columns' names, and rows of cells.
fn documented(first: &str) -> (Vec<&'static str>, Vec<Vec<&'static str>>) {
    let text = include_str!("../../../docs/security.md");
    let cells = |line: &'static str| -> Vec<&'static str> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
    };
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&format!("| {first} |")));
    let head = cells(lines.next().unwrap());
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect();
    (head[1..].to_vec(), rows)
}

/// A token of each column; the revoked one was known until a moment ago.
async fn token_of(column: &str, server: &Server) -> Option<String> {
    let text = match column {
        "no token" => return None,
        "unknown" => "nobody's",
        "expired" => "expired",
        "read" => "reader",
        "write" => "writer",
        "admin" | "other page" => "admin",
        "admin elsewhere" => "elsewhere",
        "revoked" => {
            let folder = server.folder.path();
            let text = add(folder, "gone", "admin", &[]);
            let bearer = format!("Bearer {text}");
            let status = async || server.request("GET", "/notes/meta", &[("authorization", &bearer)], b"").await.status;
            eventually("known", || async { (status().await == 200).then_some(()) }).await;
            assert!(token(folder, &["revoke", "gone"]).status.success());
            eventually("forgotten", || async { (status().await == 401).then_some(()) }).await;
            return Some(text);
        }
        other => panic!("an unknown column: {other}"),
    };
    Some(text.to_owned())
}

#[tokio::test]
async fn every_request_answers_every_role_as_documented() {
    let server = guarded().await;
    server.request("GET", "/notes/meta", &[("authorization", "Bearer admin")], b"").await;
    let (columns, rows) = documented("request");
    assert!(rows.len() >= 15 && columns.len() == 9, "the document's table was found");
    let mut wrong = Vec::new();
    for (number, column) in columns.iter().enumerate() {
        let token = token_of(column, &server).await.map(|token| format!("Bearer {token}"));
        for row in &rows {
            let (method, path) = row[0].split_once(' ').unwrap();
            let path = path.replace("{db}", "notes");
            let body = if path.contains("/quarantine/") { r#"{"ids": []}"# } else { r#"{"sql": "SELECT 1"}"# };
            let body = if method == "POST" { body } else { "" };
            // As a proxy forwards it, so that nobody is taken for somebody at this machine.
            let mut headers = vec![("content-type", "application/json"), ("x-forwarded-for", "203.0.113.7")];
            headers.extend(token.as_deref().map(|token| ("authorization", token)));
            headers.extend((*column == "other page").then_some(("origin", "https://evil.example")));
            let answer = server.request(method, &path, &headers, body.as_bytes()).await;
            if answer.status.to_string() != row[number + 1] {
                wrong.push(format!("{} for {column}: {} instead of {}", row[0], answer.status, row[number + 1]));
            }
            match answer.status {
                401 => {
                    answer.expect_error(401, "unauthorized");
                    assert_eq!(answer.header("www-authenticate"), "Bearer");
                }
                403 if *column == "other page" => answer.expect_error(403, "origin"),
                403 => answer.expect_error(403, "forbidden"),
                _ => {}
            }
            assert_eq!(answer.header("access-control-allow-origin"), "", "no page elsewhere may read");
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    // Strangers don't learn which names there are, and whoever runs the server gets at all of it.
    server.get("/nothing-here/meta").await.expect_error(401, "unauthorized");
    for path in ["/status", "/metrics"] {
        let headers = [("authorization", "Bearer root"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(server.request("GET", path, &headers, b"").await.status, 200, "{path}");
    }
    assert_eq!(server.get("/metrics").await.status, 200, "this machine itself");
}

#[tokio::test]
async fn every_socket_answers_every_role_as_documented() {
    let server = guarded().await;
    let (columns, rows) = documented("socket");
    let of = |name: &str| rows.iter().find(|row| row[0] == name).unwrap()[1..].to_vec();
    let (receives, sends) = (of("receives"), of("sends"));
    assert_eq!(columns.len(), 8, "the document's table was found");
    let first = Peer::start_with(server.address, "notes", "admin", open(NOTES));
    first.exec("INSERT INTO note (id, title) VALUES (1, 'x')").await;
    first.wait_synced().await;
    let shown = |status: &Status| match status.reason {
        Reason::Synced => "yes",
        Reason::Unauthorized => "unauthorized",
        Reason::Forbidden => "forbidden",
        _ => "",
    };
    for (number, column) in columns.iter().enumerate() {
        let token = token_of(column, &server).await.unwrap_or_default();
        let peer = Peer::start_with(server.address, "notes", &token, open(NOTES));
        let status = peer.wait("decided", |status| !shown(status).is_empty()).await;
        assert_eq!(shown(&status), receives[number], "{column} receives");
        let rows = peer.value("SELECT count(*) FROM note").await;
        assert_eq!(rows == Value::Integer(0), receives[number] != "yes", "{column}");
        // One that doesn't wait to be told.
        let sender = Peer::start_with(server.address, "notes", &token, open(NOTES));
        sender.exec(&format!("INSERT INTO tag (note_id, name) VALUES (1, '{column}')")).await;
        let decided = |status: &Status| !shown(status).is_empty() && (shown(status) != "yes" || !status.read_only);
        let status = sender.wait("decided", decided).await;
        assert_eq!(shown(&status), sends[number], "{column} sends");
        let there = format!("SELECT count(*) FROM tag WHERE name = '{column}'");
        first.wait_value(&there, i64::from(sends[number] == "yes")).await;
    }
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
    assert!(reader.status().read_only && !writer.status().read_only);
    let refused = reader.with(|store, _| store.exec("DELETE FROM note", &[]).map(drop)).await;
    let Err(StatementError::Fault(fault)) = refused else { panic!("{refused:?}") };
    assert_eq!(fault.kind, FaultKind::Forbidden);
    let status = reader.status();
    assert_eq!((status.state, status.pending.changes), (StatusState::Synced, 0));
    // A client that doesn't ask its store first is turned away by the server.
    let forged = Peer::start_with(server.address, "notes", "reader", open(NOTES));
    forged.exec("INSERT INTO note (id, title) VALUES (2, 'before it knew')").await;
    let status = forged.wait("refused", |status| status.state == StatusState::Stuck).await;
    assert_eq!((status.reason, status.pending.changes), (Reason::Forbidden, 3), "what is only here is not hidden");
    let stranger = Peer::start_with(server.address, "notes", "unknown", open(NOTES));
    let status = stranger.wait("refused", |status| status.state == StatusState::Stuck).await;
    assert_eq!(status.reason, Reason::Unauthorized);
    assert_eq!(writer.value("SELECT count(*) FROM note").await, Value::Integer(1));
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
