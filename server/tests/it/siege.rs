//! A server in a process of its own, an honest client, and what has to hold while somebody does harm.
//!
//! Where in the flow: below the tests of hostile input. Everything an attacker does is over plain TCP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{DEADLINE, folder};
use crate::peer::Peer;
use crate::stop::{Process, start_with, start_with_files};

/// What the server's process may hold in memory, whatever is done to it: some five times what it takes at rest.
const MOST_MEMORY_BYTES: u64 = 320 * 1024 * 1024;

/// A server under attack.
pub(crate) struct Siege {
    pub(crate) address: SocketAddr,
    /// Lives as long as the server.
    _folder: TempDir,
    process: Process,
    /// In step before the attack began.
    alice: Peer,
    next: std::cell::Cell<i64>,
}

impl Siege {
    pub(crate) async fn begin() -> Self {
        Self::begin_with(&[]).await
    }

    pub(crate) async fn begin_with(arguments: &[&str]) -> Self {
        let folder = folder();
        let started = start_with(&folder, arguments);
        Self::of(folder, started).await
    }

    /// Of a server that was allowed few files at first.
    pub(crate) async fn begin_with_files(files: u32) -> Self {
        let folder = folder();
        let started = start_with_files(&folder, files);
        Self::of(folder, started).await
    }

    async fn of(folder: TempDir, (mut process, address): (Process, SocketAddr)) -> Self {
        // Nobody reads the log: it must not fill its pipe.
        let mut log = process.0.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let alice = Peer::start(address, "notes");
        alice.wait_synced().await;
        Self { address, _folder: folder, process, alice, next: std::cell::Cell::new(1) }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The honest client's write is acknowledged, somebody who comes now reads it, and the server's memory is bounded.
    pub(crate) async fn stands(&self) {
        let id = self.next.get();
        self.next.set(id + 1);
        self.alice.exec(&format!("INSERT INTO note (id, title) VALUES ({id}, 'honest')")).await;
        self.alice.wait_synced().await;
        let bob = Peer::start(self.address, "notes");
        bob.wait_value(&format!("SELECT count(*) FROM note WHERE id = {id}"), 1).await;
        let held = self.memory();
        assert!(held < MOST_MEMORY_BYTES, "the server holds {held} bytes");
    }

    fn proc(&self, what: &str) -> std::path::PathBuf {
        format!("/proc/{}/{what}", self.process.0.id()).into()
    }

    /// What the server's process has in memory, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Sockets that the server's process has open.
    pub(crate) fn open_sockets(&self) -> usize {
        let files = std::fs::read_dir(self.proc("fd")).unwrap();
        // One that was closed since the folder was read can't be followed.
        let leads = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
        leads.filter(|lead| lead.to_string_lossy().starts_with("socket:")).count()
    }
}

/// Everything that comes until the other end closes, at most a mebibyte; fails where it doesn't within `limit` and a
/// deadline's grace.
pub(crate) async fn read_to_end(stream: &mut TcpStream, limit: Duration) -> String {
    let mut bytes = Vec::new();
    let mut stream = stream.take(1 << 20);
    let reading = stream.read_to_end(&mut bytes);
    // A reset is an end too.
    drop(tokio::time::timeout(limit + DEADLINE, reading).await.expect("the server ends this connection"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends `piece` again and again until the other end has had enough; fails where it hasn't within `limit` and a
/// deadline's grace.
pub(crate) async fn send_until_closed(stream: &mut TcpStream, piece: &[u8], pause: Duration, limit: Duration) {
    let begun = Instant::now();
    while stream.write_all(piece).await.is_ok() {
        assert!(begun.elapsed() < limit + DEADLINE, "the server takes this for ever");
        tokio::time::sleep(pause).await;
    }
}
