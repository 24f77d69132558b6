//! A line on which what a server has in store comes late, behind its other messages.
//!
//! Where in the flow: between a client and a server of the tests. Never changes a message, nor their order.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How much later; long enough for a client that does not wait to have ended.
const LATE: Duration = Duration::from_millis(1_500);
/// The protocol's number of a part of the server's history.
const DOWNLOAD: u8 = 5;

/// An address that leads to `server`. It lasts as long as the process of the test.
pub(crate) fn behind(server: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = server.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pass(from, to));
            std::thread::spawn(move || pass_late(server, client));
        }
    });
    address
}

/// Until one of the two hangs up.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    // Either end may go at any time.
    drop(std::io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Both));
}

/// The same, a WebSocket's frames one by one.
fn pass_late(mut from: TcpStream, mut to: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if from.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let is_socket = head.starts_with(b"HTTP/1.1 101");
    if to.write_all(&head).is_err() || !is_socket {
        return pass(from, to);
    }
    while let Ok(frame) = frame(&mut from) {
        if frame.body.first() == Some(&DOWNLOAD) {
            std::thread::sleep(LATE);
        }
        if to.write_all(&frame.head).and_then(|()| to.write_all(&frame.body)).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
}

struct Frame {
    head: Vec<u8>,
    body: Vec<u8>,
}

/// A frame as RFC 6455 has it; a server's is not masked.
fn frame(from: &mut TcpStream) -> std::io::Result<Frame> {
    let mut head = vec![0; 2];
    from.read_exact(&mut head)?;
    let more = match head[1] & 127 {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mut length = vec![0; more];
    from.read_exact(&mut length)?;
    let bytes = match more {
        0 => u64::from(head[1] & 127),
        _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    head.extend(length);
    let mut body = vec![0; usize::try_from(bytes).unwrap()];
    from.read_exact(&mut body)?;
    Ok(Frame { head, body })
}
