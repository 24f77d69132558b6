//! What the log tells, and what it never tells.
//!
//! Where in the flow: the real binary with tokens, driven by good and bad requests; then its standard error is read.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::Digest as _;
use tempfile::TempDir;

use crate::fixture::{Answer, NOTES, ask, extension, folder};
use crate::peer::{Peer, open};
use crate::stop::{Process, terminate};

/// Each of these is a token, or stands in SQL, a value, a query, a header or a body.
const SECRETS: [&str; 9] = [
    "adm1n-t0ken-of-an-operator",
    "wr1te-t0ken-of-an-app",
    "wr0ng-t0ken-of-nobody",
    "s3cret-in-a-value",
    "s3cret-in-sql",
    "s3cret-in-a-query",
    "s3cret-in-a-header",
    "s3cret-in-a-body",
    "s3cret-from-a-client",
];

fn hex(token: &str) -> String {
    sha2::Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn start(folder: &TempDir, form: &str, level: &str) -> (Process, SocketAddr) {
    let config = folder.path().join("server.toml");
    let [admin, write, ..] = SECRETS;
    let text = format!(
        "data = \"data\"\nschemas = \"schemas\"\nlisten = \"127.0.0.1:0\"\nlog = \"{form}\"\n\
         [[database]]\npattern = \"notes*\"\nschema = \"notes\"\ncreate = true\n\
         [[token]]\ndatabase = \"*\"\nrole = \"admin\"\nsha256 = \"{}\"\n\
         [[token]]\ndatabase = \"*\"\nrole = \"write\"\nsha256 = \"{}\"\n",
        hex(admin),
        hex(write)
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
    command.arg("--config").arg(config).env("RUST_LOG", level).env_remove("GREENLIGHT_ADMIN_TOKEN");
    command.env_remove("GREENLIGHT_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(extension) = extension() {
        command.arg("--extension").arg(extension);
    }
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect(&line).parse().unwrap();
    (Process(child), address)
}

/// Reads the log beside what is done, so that a full pipe holds nobody up.
fn hear(process: &mut Process) -> std::thread::JoinHandle<String> {
    let mut stderr = process.0.stderr.take().unwrap();
    std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    })
}

async fn send(address: SocketAddr, method: &str, to: &str, token: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer), ("content-type", "application/json"), ("x-mine", "s3cret-in-a-header")];
    ask(address, method, to, &headers, body.as_bytes()).await
}

/// Everything that a request may hold, in good ones and bad ones. The first answer is that of a good one.
async fn drive(address: SocketAddr) -> Vec<Answer> {
    let [admin, write, wrong, ..] = SECRETS;
    let exec = |sql: &str, params: Value| json!({ "sql": sql, "params": params }).to_string();
    let insert = exec("INSERT INTO note (id, title) VALUES (1, ?)", json!(["s3cret-in-a-value"]));
    let mut answers = vec![send(address, "POST", "/notes/exec?token=s3cret-in-a-query", admin, &insert).await];
    for (method, to, token, body) in [
        ("POST", "/notes/exec", wrong, &*insert),
        ("POST", "/notes/exec", write, &*insert),
        ("POST", "/notes/exec", admin, &*exec("INSERT INTO note VALUES ('s3cret-in-sql')", json!([]))),
        ("POST", "/notes/exec", admin, &*exec("SELECT s3cret-in-sql", json!([]))),
        ("POST", "/notes/exec", admin, &*exec("ATTACH 's3cret-in-sql' AS x", json!([]))),
        ("POST", "/notes/exec", admin, "{\"sql\": \"s3cret-in-a-body"),
        ("POST", "/notes/quarantine/drop", admin, "{\"ids\": [\"s3cret-in-a-body\"]}"),
        ("GET", "/notes/meta?s3cret-in-a-query", admin, ""),
        ("GET", "/s3cret-in-a-query", admin, ""),
        ("s3cret-in-a-header", "/notes/meta", admin, ""),
        ("GET", "/notes-2/sync", wrong, ""),
    ] {
        answers.push(send(address, method, to, token, body).await);
    }
    let alice = Peer::start_with(address, "notes", write, open(NOTES));
    alice.exec("INSERT INTO note (id, title) VALUES (2, 's3cret-from-a-client')").await;
    alice.wait_synced().await;
    let stranger = Peer::start_with(address, "notes", wrong, open(NOTES));
    stranger.wait("refused", |status| status.diagnostics.last_close.is_some()).await;
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_no_sql_and_no_value_is_in_it_at_any_level() {
    for form in ["text", "json"] {
        let folder = folder();
        let (mut process, address) = start(&folder, form, "trace");
        let hearing = hear(&mut process);
        let answers = drive(address).await;
        assert_eq!(answers[0].status, 200, "{}", answers[0].text());
        assert!(answers[1..].iter().all(|answer| answer.status >= 400 || answer.header("x-request-id").len() > 8));
        assert!(terminate(&mut process).success());
        let log = hearing.join().unwrap();
        assert!(log.contains("answered") && log.contains("the socket has ended"), "{log}");
        for secret in SECRETS {
            let told: Vec<_> = log.lines().filter(|line| line.contains(secret)).collect();
            assert!(told.is_empty(), "{secret}: {told:?}");
        }
        for token in &SECRETS[..3] {
            assert!(!log.contains(&hex(token)), "nor a token's digest");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_json_each_line_says_which_request_it_belongs_to() {
    let folder = folder();
    let (mut process, address) = start(&folder, "json", "debug");
    let hearing = hear(&mut process);
    let answers = drive(address).await;
    assert!(terminate(&mut process).success());
    let log = hearing.join().unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut ids = std::collections::HashSet::new();
    for answer in &answers {
        let id = answer.header("x-request-id");
        assert!(ids.insert(id.to_owned()), "an id of its own: {id}");
        let found = lines.iter().find(|line| line["span"]["id"] == json!(id) && line["message"] == json!("answered"));
        let found = &found.unwrap_or_else(|| panic!("{id} is not in the log: {log}"))["span"];
        assert_eq!((&found["status"], found["duration_ms"].is_u64()), (&json!(answer.status), true), "{found}");
        if answer.status >= 400 {
            assert_eq!(answer.json()["error"]["details"]["request_id"], json!(id));
        }
    }
    let first = lines.iter().find(|line| line["span"]["id"] == json!(answers[0].header("x-request-id"))).unwrap();
    let span = &first["span"];
    assert_eq!(
        (&span["method"], &span["database"], &span["route"]),
        (&json!("POST"), &json!("notes"), &json!("/{db}/exec"))
    );
    // A socket's own lines are the request's that it came by.
    for message in ["the socket has ended", "refused: this needs a token that is known here"] {
        let line = lines.iter().find(|line| line["message"] == json!(message)).unwrap_or_else(|| panic!("{log}"));
        assert_eq!((&line["span"]["route"], &line["span"]["status"]), (&json!("/{db}/sync"), &json!(101)), "{line}");
    }
}

#[tokio::test]
async fn an_id_is_never_taken_from_outside() {
    let server = crate::fixture::Server::start().await;
    let forged = [("x-request-id", "forged")];
    let answer = server.request("GET", "/health", &forged, b"").await;
    assert!(answer.header("x-request-id").len() > 8 && !answer.header("x-request-id").contains("forged"));
}
