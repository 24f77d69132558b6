//! Whole HTTP requests to a real server on a real port.
//!
//! Where in the flow: from the socket to the answer, through everything that lies between. The server lives as long as
//! the process and keeps its databases from input to input; what fails may need those before it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use greenlight_server::Settings;
use tempfile::TempDir;

use crate::content::SCHEMA;

/// Everything is answered long before this, or never.
const DEADLINE: Duration = Duration::from_secs(60);
/// Most of an answer that is looked at.
const ANSWER_BYTES: u64 = 1 << 20;

struct Server {
    address: SocketAddr,
    /// Lives as long as the server.
    _folder: TempDir,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a fresh folder");
        std::fs::create_dir(folder.path().join("schemas")).expect("a folder in it");
        std::fs::write(folder.path().join("schemas/fuzz.sql"), SCHEMA).expect("a file in that");
        let settings = Settings::dev(folder.path().join("data"), folder.path().join("schemas"));
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = greenlight_server::bind(&settings).await.expect("a free port");
                tell.send(listener.local_addr().expect("an address")).expect("somebody waits for it");
                greenlight_server::run(listener, settings, std::future::pending()).await.expect("it runs for ever");
            });
        });
        let address = told.recv().expect("the server has started");
        Server { address, _folder: folder }
    })
}

/// Runs one input. With an empty line, what comes before it is a head (its own request line, a header a line) to which
/// host and length are added, and what comes after is the body; else it is sent as it stands.
pub(crate) fn run(data: &[u8]) {
    let server = server();
    let (request, is_whole) = request(data, server.address);
    let answer = ask(server.address, &request, is_whole);
    let rest = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "));
    let status = rest.and_then(|rest| rest.get(..3));
    assert!(answer.is_empty() || status.is_some(), "an answer that is no HTTP: {}", String::from_utf8_lossy(&answer));
    assert_ne!(status, Some(&b"500"[..]), "{}", String::from_utf8_lossy(&answer));
    let health = ask(server.address, b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", true);
    assert!(health.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&health));
}

/// What is sent, and whether its length is right, so that an answer comes without anything more.
fn request(data: &[u8], address: SocketAddr) -> (Vec<u8>, bool) {
    let Some(at) = data.windows(2).position(|pair| pair == b"\n\n") else { return (data.to_vec(), false) };
    let (head, body) = (&data[..at], &data[at + 2..]);
    let mut request = head.split(|&byte| byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
    let has = |name: &[u8]| {
        head.split(|&byte| byte == b'\n')
            .any(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
    };
    if !has(b"host:") {
        request.extend_from_slice(format!("\r\nhost: {address}").as_bytes());
    }
    let is_whole = !has(b"content-length:") && !has(b"transfer-encoding:") && !has(b"connection:") && !has(b"upgrade:");
    if is_whole {
        request.extend_from_slice(format!("\r\ncontent-length: {}", body.len()).as_bytes());
    }
    if is_whole {
        request.extend_from_slice(b"\r\nconnection: close");
    }
    request.extend_from_slice(b"\r\n\r\n");
    request.extend_from_slice(body);
    (request, is_whole)
}

/// Sends, and reads to the end of the answer. What is not whole ends here: a server needn't wait for more of it.
fn ask(address: SocketAddr, request: &[u8], is_whole: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the server takes connections");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    stream.set_write_timeout(Some(DEADLINE)).expect("a time limit");
    // A server that has heard enough may answer and close before it has read all.
    drop(stream.write_all(request));
    if !is_whole {
        drop(stream.shutdown(Shutdown::Write));
    }
    let mut answer = Vec::new();
    match stream.take(ANSWER_BYTES).read_to_end(&mut answer) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("no end of the answer to {}", String::from_utf8_lossy(request));
        }
        // Reset by a server that has not read all: what it said is here, or was nothing.
        _ => answer,
    }
}
