//! The server's own binary as a child that is to die, and what it leaves in its folder.
//!
//! Where in the flow: below every story. Requests to it may get no answer; that is told, and is no failure.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use greenlight_store::ServerReader;
use greenlight_store::crash::{Point, VARIABLE};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{Answer, DEADLINE, extension};

const SIGKILL: i32 = 9;

/// A running server in a process of its own. Dropped, it is killed.
pub(crate) struct Child {
    process: std::process::Child,
    log: std::path::PathBuf,
    /// `None` where it died before it listened.
    pub(crate) address: Option<SocketAddr>,
}

/// A command of the binary, with its log in the folder.
pub(crate) fn command(folder: &Path, armed: Option<(Point, u64)>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
    command.env("RUST_LOG", "warn").env_remove(VARIABLE).stdin(Stdio::null());
    command.stderr(std::fs::File::create(folder.join("log")).unwrap());
    if let Some((point, occurrence)) = armed {
        command.env(VARIABLE, format!("{}:{occurrence}", point.name()));
    }
    command
}

impl Child {
    /// Starts the server on a folder and waits until it listens, or is dead.
    pub(crate) fn start(folder: &Path, armed: Option<(Point, u64)>) -> Self {
        let mut command = command(folder, armed);
        command.args(["--dev", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        command.arg("--data").arg(folder.join("data")).arg("--schemas").arg(folder.join("schemas"));
        if let Some(extension) = extension() {
            command.arg("--extension").arg(extension);
        }
        Self::listening(command, folder)
    }

    /// Waits until a server says where it listens.
    pub(crate) fn listening(mut command: Command, folder: &Path) -> Self {
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").map(|address| address.parse().unwrap());
        Self { process, log: folder.join("log"), address }
    }

    /// Where it listens; it does.
    pub(crate) fn at(&self) -> SocketAddr {
        self.address.unwrap_or_else(|| panic!("it never listened: {}", self.words()))
    }

    /// What it has logged.
    pub(crate) fn words(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Waits until it is dead, and checks that it died at this point and of nothing else.
    pub(crate) async fn dies_at(mut self, point: Point) {
        let begun = Instant::now();
        while !self.has_ended() {
            assert!(begun.elapsed() < DEADLINE, "it never came to {}: {}", point.name(), self.words());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        expect_death(self.process.wait().unwrap(), point, &self.words());
    }

    /// Kills it from outside.
    pub(crate) fn kill(mut self) {
        assert!(!self.has_ended(), "it ended by itself: {}", self.words());
        self.process.kill().unwrap();
        assert_eq!(self.process.wait().unwrap().signal(), Some(SIGKILL));
    }
}

impl Child {
    /// Its process's number.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may be dead already, which is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A real kill, at this point.
pub(crate) fn expect_death(status: ExitStatus, point: Point, log: &str) {
    assert_eq!(status.signal(), Some(SIGKILL), "{}: {log}", point.name());
    assert!(log.contains(&format!("dies at {}\n", point.name())), "{log}");
}

/// Asks; `None` where no whole answer came.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all((head + &body).as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    // A connection that is reset may have brought the whole answer before.
    drop(tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("an answer or an end in time"));
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let answer = Answer::parse(&bytes);
    let length: usize = answer.header("content-length").parse().ok()?;
    (bytes.len() == end + 4 + length).then_some(answer)
}

/// What lies in a folder of databases, copied away so that looking at it changes nothing there.
pub(crate) struct Remains(TempDir);

impl Remains {
    /// A copy of a database's file and log as they are now.
    pub(crate) fn of(folder: &Path, database: &str) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for name in [database.to_owned(), format!("{database}-wal")] {
            let from = folder.join("data").join(&name);
            if from.exists() {
                std::fs::copy(from, copy.path().join(name)).unwrap();
            }
        }
        std::fs::rename(copy.path().join(database), copy.path().join("db")).unwrap();
        let log = copy.path().join(format!("{database}-wal"));
        if log.exists() {
            std::fs::rename(log, copy.path().join("db-wal")).unwrap();
        }
        Self(copy)
    }

    /// Opens it. It is whole.
    pub(crate) fn open(&self) -> ServerReader {
        let reader = ServerReader::open(&self.0.path().join("db")).unwrap();
        assert_eq!(text(&reader, "PRAGMA integrity_check"), "ok");
        reader
    }
}

/// A text that is in the database.
pub(crate) fn text(reader: &ServerReader, sql: &str) -> String {
    reader.connection().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// A number that is in the database.
pub(crate) fn number(reader: &ServerReader, sql: &str) -> i64 {
    reader.connection().query_row(sql, [], |row| row.get(0)).unwrap()
}
