//! The audit log tells who did what, and neither it nor any other word of the server tells a secret.
//!
//! Where in the flow: a server that runs as a program, so that its log is what an operator would read.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use greenlight_core::StatusState;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::fixture::{NOTES, eventually, folder};
use crate::peer::{Peer, open};
use crate::tokens::{Signer, add, claims, token};

const ADMIN: &str = "the operator's own secret word";
const SQL_SECRET: &str = "a line from a private diary";

struct Program {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Program {
    fn start() -> Self {
        let folder = folder();
        let path = folder.path();
        let config = "[[database]]\npattern = \"notes*\"\nschema = \"notes\"\ncreate = true\n";
        std::fs::write(path.join("config.toml"), config).unwrap();
        let keys = serde_json::json!({ "keys": [Signer::secret("k").jwk()] }).to_string();
        std::fs::write(path.join("keys.json"), keys).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_greenlight-server"))
            .arg("--data")
            .arg(path.join("data"))
            .arg("--schemas")
            .arg(path.join("schemas"))
            .arg("--config")
            .arg(path.join("config.toml"))
            .arg("--jwks")
            .arg(path.join("keys.json"))
            .args(["--listen", "127.0.0.1:0"])
            .env("GREENLIGHT_ADMIN_TOKEN", ADMIN)
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(path.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}"));
        Self { address: address.parse().unwrap(), child, folder }
    }

    async fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("data/.audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn who_did_what_is_told_and_no_secret_is() {
    let program = Program::start();
    let writer = add(program.folder.path(), "till 3", "write", &[]);
    let jwt = Signer::secret("k").sign(&claims("write"));
    let admitted = || async { program.ask("GET", "/notes/meta", &writer, "").await.contains("200 OK").then_some(()) };
    eventually("the token is known", admitted).await;

    let peer = Peer::start_with(program.address, "notes", &writer, open(NOTES));
    peer.exec(&format!("INSERT INTO note (id, title) VALUES (1, '{SQL_SECRET}')")).await;
    peer.wait_synced().await;
    let signed = Peer::start_with(program.address, "notes", &jwt, open(NOTES));
    signed.wait_synced().await;
    let stranger = Peer::start_with(program.address, "notes", "a-stranger's-guess", open(NOTES));
    stranger.wait("refused", |status| status.state == StatusState::Stuck).await;

    let exec =
        format!(r#"{{"sql": "UPDATE note SET title = ? WHERE title = '{SQL_SECRET}'", "params": ["{SQL_SECRET}"]}}"#);
    assert!(program.ask("POST", "/notes/exec", ADMIN, &exec).await.contains("200 OK"));
    let bad = format!(r#"{{"sql": "SELECT '{SQL_SECRET}' FROM nowhere"}}"#);
    assert!(program.ask("POST", "/notes/exec", ADMIN, &bad).await.contains("400 Bad"));
    assert!(program.ask("POST", "/notes/exec", &writer, &exec).await.contains("403 Forbidden"));
    assert!(program.ask("GET", "/notes/file", &jwt, "").await.starts_with("HTTP/1.1 200 OK"));
    assert!(token(program.folder.path(), &["revoke", "till 3"]).status.success());
    peer.wait("let go", |status| status.state == StatusState::Stuck).await;
    assert!(program.ask("POST", "/notes/reset", ADMIN, "").await.contains("200 OK"));

    let lines = program.audit();
    let find = |event: &str, who: &str| lines.iter().find(|line| line["event"] == event && line["who"] == who);
    let token_id = greenlight_server::access::TokenDigest::of(&writer).id();
    let admin_id = greenlight_server::access::TokenDigest::of(ADMIN).id();
    let (till, operator) = (format!("token:{token_id}"), format!("token:{admin_id}"));
    for (event, who) in [
        ("token_add", "operator"),
        ("connect", &*till),
        ("connect", "subject:alice"),
        ("exec", &operator),
        ("file", "subject:alice"),
        ("token_revoke", "operator"),
        ("close_access", &till),
        ("reset", &operator),
    ] {
        let line = find(event, who).unwrap_or_else(|| panic!("{event} by {who}: {lines:#?}"));
        assert!(line["time"].is_string(), "{line}");
        assert!(who == "operator" || (line["address"] == "127.0.0.1" && line["database"] == "notes"), "{line}");
    }
    let outcomes: Vec<_> = lines.iter().filter(|line| line["event"] == "exec").map(|line| &line["outcome"]).collect();
    assert_eq!(outcomes, ["ok", "sql"]);
    let codes: Vec<_> = lines.iter().filter(|line| line["event"] == "refuse").map(|line| &line["code"]).collect();
    assert!(codes.contains(&&Value::from("unauthorized")) && codes.contains(&&Value::from("forbidden")), "{codes:?}");
    no_secret_in(&program, &[&writer, &jwt]);
}

/// Not in the audit log, the server's log, its arguments, nor the file of tokens.
fn no_secret_in(program: &Program, tokens: &[&str]) {
    let read = |path: &str| {
        let mut bytes = Vec::new();
        std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let folder = program.folder.path().display();
    let log = read(&format!("{folder}/log"));
    assert!(log.contains("refused") && log.contains("TRACE"), "all of it was logged");
    let arguments = read(&format!("/proc/{}/cmdline", program.child.id()));
    let places =
        [read(&format!("{folder}/data/.audit.jsonl")), log, arguments, read(&format!("{folder}/data/.tokens.json"))];
    for secret in tokens.iter().copied().chain([ADMIN, SQL_SECRET, "a-stranger's-guess"]) {
        for (number, place) in places.iter().enumerate() {
            if let Some(at) = place.find(secret) {
                let line = place[..at].rfind('\n').map_or(0, |start| start + 1);
                panic!("place {number} tells a secret: {}", place[line..].lines().next().unwrap_or_default());
            }
        }
    }
}
