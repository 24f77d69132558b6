//! A server on a free port with a fresh folder, and a small HTTP client.
//!
//! Where in the flow: every test begins here. The server ends with its fixture.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use greenlight_server::{RunError, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Everything that is waited for comes long before this, or never.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The schema that most tests use.
pub(crate) const NOTES: &str = "-- schema: notes 1
CREATE TABLE note (id INTEGER NOT NULL PRIMARY KEY, title TEXT NOT NULL DEFAULT '', size REAL, body BLOB);
CREATE TABLE tag (note_id INTEGER NOT NULL, name TEXT NOT NULL, weight INTEGER, PRIMARY KEY (note_id, name));
";

/// The header of a body that is JSON.
pub(crate) const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// What this process has open whose path begins with this one.
pub(crate) fn open_files(path: &Path) -> Vec<PathBuf> {
    let here = std::fs::read_dir("/proc/self/fd").unwrap();
    // One that is listed may be closed by now.
    let targets = here.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    targets
        .filter(|target| target.as_os_str().as_encoded_bytes().starts_with(path.as_os_str().as_encoded_bytes()))
        .collect()
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), RunError>>,
}

/// A fresh folder with an empty `data` and the schema `notes`.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("schemas")).unwrap();
    std::fs::write(folder.path().join("schemas/notes.sql"), NOTES).unwrap();
    folder
}

/// The other build of cr-sqlite that this run is with.
pub(crate) fn extension() -> Option<PathBuf> {
    std::env::var_os("GREENLIGHT_TEST_EXTENSION").map(PathBuf::from)
}

/// Settings for development in a folder.
pub(crate) fn settings(folder: &Path) -> Settings {
    let mut settings = Settings::dev(folder.join("data"), folder.join("schemas"));
    settings.extension = extension();
    settings
}

impl Server {
    /// For development, with nothing in it.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With some settings changed.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_in(folder(), change).await
    }

    /// In a folder that is there already.
    pub(crate) async fn start_in(folder: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(folder.path());
        change(&mut settings);
        let listener = greenlight_server::bind(&settings).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(greenlight_server::run(listener, settings, async move {
            // A dropped fixture is told apart from one that was stopped by nobody.
            drop(stopped.await);
        }));
        Self { address, folder, stop: Some(stop), task }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Stops in order and gives the folder back.
    pub(crate) async fn stop(mut self) -> TempDir {
        drop(self.stop.take());
        tokio::time::timeout(DEADLINE, self.task).await.expect("the server stops in time").unwrap().unwrap();
        self.folder
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes()).await
    }

    /// Runs SQL and expects it to be done.
    pub(crate) async fn exec(&self, database: &str, sql: &str, params: Value) -> Value {
        let answer = self.post(&format!("/{database}/exec"), &json!({ "sql": sql, "params": params })).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.json()
    }

    pub(crate) async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.address, method, path, headers, body).await
    }
}

/// One request to a server, on a connection of its own.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        head += &format!("host: {address}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    // A server that has heard enough may answer and close before it has read all.
    let sent = stream.write_all(body).await;
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("an answer in time");
    assert!(!bytes.is_empty(), "no answer: {sent:?} {read:?}");
    Answer::parse(&bytes)
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Checks that this is an error as all errors are: a code, a sentence, details, and no path of the machine.
    pub(crate) fn expect_error(&self, status: u16, code: &str) {
        let body = self.json();
        assert_eq!((self.status, &body["error"]["code"]), (status, &json!(code)), "{body}");
        assert!(body["error"]["sentence"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{body}");
        assert!(body["error"]["details"].is_object(), "{body}");
        assert!(!self.text().contains(std::env::temp_dir().to_str().unwrap()), "{body}");
    }
}

/// Asks again and again until `check` gives something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut check: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
