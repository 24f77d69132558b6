//! Stories of fragments that make up no message, or one that may not come now.

use std::time::Duration;

use greenlight_core::limits::PROGRESS_GIVE_UP;
use greenlight_core::protocol::{ClientMessage, CloseCode, Fragment, Ping, Pong, Receipt, ServerMessage, WriterState};
use greenlight_core::server::Output;
use greenlight_core::{Change, StatusState, Value};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{BOB, Client, NOW, Server, bound, by, cursor, download, upload};

fn fragment(number: u64, last: bool, bytes: &[u8]) -> Fragment {
    Fragment { number, last, bytes: bytes.to_vec() }
}

/// Fragments that cost the connection, with the code: the frames are for either end.
fn wrong() -> Vec<(Vec<Fragment>, CloseCode)> {
    let nested = ClientMessage::Fragment(fragment(0, true, &[1])).encode();
    let receipt = ClientMessage::Received(0).encode();
    vec![
        (vec![fragment(1, true, &[1])], CloseCode::OutOfOrder),
        (vec![fragment(0, false, &[1]), fragment(0, true, &[1])], CloseCode::OutOfOrder),
        (vec![fragment(0, false, &[1]), fragment(2, true, &[1])], CloseCode::OutOfOrder),
        (vec![fragment(0, true, &[99])], CloseCode::Malformed),
        (vec![fragment(0, true, &nested)], CloseCode::Malformed),
        (vec![fragment(0, true, &receipt)], CloseCode::Malformed),
    ]
}

#[test]
fn a_clients_message_in_fragments_is_taken_and_each_one_answered() {
    let mut server = Server::live();
    let frame = ClientMessage::Upload(upload(0, 1, 0, true)).encode();
    for (number, byte) in frame.iter().enumerate() {
        let number = number as u64;
        server.hears(&ClientMessage::Fragment(fragment(number, number + 1 == frame.len() as u64, &[*byte])));
        assert_eq!(server.said(), ServerMessage::Received(number));
    }
    server.applies();
}

#[test]
fn a_client_whose_fragments_are_wrong() {
    for mut server in [Server::new(), Server::live()] {
        server.hears(&ClientMessage::Received(0));
        server.closed(CloseCode::OutOfOrder);
    }
    let mut server = Server::new();
    server.hears(&ClientMessage::Fragment(fragment(0, false, &[1])));
    server.closed(CloseCode::OutOfOrder);
    for (fragments, code) in wrong() {
        let mut server = Server::live();
        for fragment in fragments {
            let number = fragment.number;
            server.hears(&ClientMessage::Fragment(fragment));
            assert_eq!(server.said(), ServerMessage::Received(number));
        }
        server.closed(code);
    }
}

#[test]
fn a_servers_message_in_fragments_is_taken_and_each_one_answered() {
    let mut client = Client::live();
    client.sent.clear();
    let part = download(0, 3, 0, true);
    let frame = ServerMessage::Download(part).encode();
    let (first, rest) = frame.split_at(5);
    client.hears(&ServerMessage::Fragment(fragment(0, false, first)));
    assert!(client.sent.contains(&ClientMessage::Received(0)), "{:?}", client.sent);
    client.hears(&ServerMessage::Fragment(fragment(1, true, rest)));
    assert!(client.sent.contains(&ClientMessage::Received(1)), "{:?}", client.sent);
    let receipt = Receipt { until: cursor(3), part: 0, last: true };
    assert!(client.sent.contains(&ClientMessage::Downloaded(receipt)), "{:?}", client.sent);
}

#[test]
fn a_server_whose_fragments_are_wrong() {
    let received = ServerMessage::Received(0);
    Client::greeting().refuses(&received, CloseCode::OutOfOrder);
    Client::live().refuses(&received, CloseCode::OutOfOrder);
    let early = ServerMessage::Fragment(fragment(0, false, &[1]));
    Client::greeting().refuses(&early, CloseCode::OutOfOrder);
    for (mut fragments, code) in wrong() {
        let mut client = Client::live();
        let last = fragments.pop().expect("there is one");
        for fragment in fragments {
            client.hears(&ServerMessage::Fragment(fragment));
        }
        client.refuses(&ServerMessage::Fragment(last), code);
    }
    // What the fragments make up is judged as if it had come by itself.
    let pong = ServerMessage::Pong(Pong { number: 9, head: cursor(3), writer: WriterState::Commits });
    Client::live().refuses(&ServerMessage::Fragment(fragment(0, true, &pong.encode())), CloseCode::OutOfOrder);
    let receipt = ServerMessage::Uploaded(Receipt { until: bound(7), part: 0, last: true });
    Client::live().refuses(&ServerMessage::Fragment(fragment(0, true, &receipt.encode())), CloseCode::OutOfOrder);
}

#[test]
fn a_client_that_pings_and_never_reads() {
    let mut server = Server::live();
    let long = Change { value: Value::Text("long".repeat(1_000)), ..by(BOB) };
    server.reads(4, &[long], false);
    while let Some(output) = server.0.poll_output() {
        assert!(matches!(output, Output::Send(_) | Output::Read(_)), "{output:?}");
    }
    for second in 1..=PROGRESS_GIVE_UP.as_secs() {
        assert!(server.0.poll_output().is_none(), "{second} s");
        let now = NOW.plus(Duration::from_secs(second));
        let ping = Ping { number: second, state: StatusState::Connecting, pending: 0, cursor: cursor(3) };
        server.0.handle_frame(now, &ClientMessage::Ping(ping).encode());
        assert!(matches!(server.said(), ServerMessage::Pong(_)));
        let due = server.0.wake_at().expect("it has a deadline");
        assert!(due.monotonic_ms <= NOW.plus(PROGRESS_GIVE_UP).monotonic_ms, "{second} s");
        server.0.handle_timeout(now);
    }
    server.closed(CloseCode::Overloaded);
}
