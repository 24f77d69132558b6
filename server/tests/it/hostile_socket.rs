//! WebSockets that do harm: frames that never end, floods of pings, what was not agreed on; and clients that say more
//! than anybody may.
//!
//! Where in the flow: over plain TCP, frame by frame. What a peer says within whole frames is core's tests' business.

use std::time::Duration;

use futures_util::SinkExt;
use greenlight_core::limits::{FRAGMENT_BYTES, HELLO_LIMIT, IDLE_LIMIT, MAX_PART_CHANGES};
use greenlight_core::protocol::{ClientMessage, EncodedChanges, Fragment, ServerMessage, Upload};
use greenlight_core::replica::ClientStore;
use greenlight_core::{Bound, Change, PackedKey, Tag, Value, Version};
use greenlight_server::limits::MESSAGE_BYTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{DEADLINE, NOTES};
use crate::peer::{dial, open};
use crate::protocol::{closed, hello, message};
use crate::siege::{Siege, read_to_end, send_until_closed};

/// A WebSocket by hand; returns the server's answer, too.
async fn upgrade(siege: &Siege) -> (TcpStream, String) {
    let mut stream = siege.connect().await;
    let request = "GET /notes/sync HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   sec-websocket-protocol: greenlight.v1\r\n\
                   sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tokio::time::timeout(DEADLINE, stream.read_u8()).await.expect("an answer").unwrap());
    }
    (stream, String::from_utf8(answer).unwrap().to_ascii_lowercase())
}

/// A frame's first bytes: its flags and type, its length, an empty mask.
fn head(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const PING: u8 = 9;
const LAST: u8 = 0x80;

#[tokio::test]
async fn compression_is_not_agreed_on() {
    let siege = Siege::begin().await;
    let (mut stream, answer) = upgrade(&siege).await;
    assert!(answer.starts_with("http/1.1 101 ") && !answer.contains("sec-websocket-extensions"), "{answer}");
    // The bit of a compressed message, all the same.
    stream.write_all(&[LAST | 0x40 | BINARY, 0x81, 0, 0, 0, 0, 1]).await.unwrap();
    read_to_end(&mut stream, HELLO_LIMIT).await;
}

#[tokio::test]
async fn frames_that_no_websocket_has_end_it() {
    let siege = Siege::begin().await;
    for frame in [
        // Without a mask, of a reserved type, a closing frame in pieces, a ping that is too long, a length beyond all.
        vec![LAST | BINARY, 1, 1],
        vec![LAST | 3, 0x80, 0, 0, 0, 0],
        vec![8, 0x80, 0, 0, 0, 0],
        [head(LAST | PING, 200), vec![0; 200]].concat(),
        head(LAST | BINARY, u64::MAX),
        head(LAST | BINARY, MESSAGE_BYTES as u64 + 1),
        vec![LAST, 0x80, 0, 0, 0, 0],
        [head(LAST | TEXT, 2), vec![0xff, 0xff]].concat(),
    ] {
        let (mut stream, _) = upgrade(&siege).await;
        stream.write_all(&frame).await.unwrap();
        read_to_end(&mut stream, HELLO_LIMIT).await;
    }
    siege.stands().await;
}

async fn a_message_that_never_ends_is_not_waited_for(siege: &Siege) {
    // A frame that comes byte by byte, and continuations that are empty, or short, without a last one.
    let continuation = [vec![0x00, 0x81], vec![0; 5]].concat();
    let messages = [
        (head(LAST | BINARY, 1_000), vec![0]),
        ([vec![BINARY, 0x80], vec![0; 4]].concat(), vec![0x00, 0x80, 0, 0, 0, 0]),
        ([vec![BINARY, 0x80], vec![0; 4]].concat(), continuation),
    ];
    let sending = messages.map(async |(begin, more)| {
        let (mut stream, _) = upgrade(siege).await;
        stream.write_all(&begin).await.unwrap();
        send_until_closed(&mut stream, &more, Duration::from_millis(200), HELLO_LIMIT).await;
    });
    futures_util::future::join_all(sending).await;
}

/// All at once: each of them mostly waits.
pub(crate) async fn what_takes_too_long_is_not_waited_for() {
    let siege = Siege::begin().await;
    let honest = async {
        for _ in 0..3 {
            siege.stands().await;
        }
    };
    tokio::join!(
        a_message_that_never_ends_is_not_waited_for(&siege),
        a_flood_of_pings_is_no_word(&siege),
        a_client_that_only_pretends_to_live_is_let_go(&siege),
        honest,
    );
    siege.stands().await;
}

#[tokio::test]
async fn thousands_of_sockets_that_say_nothing_cost_little() {
    const THOUSANDS: usize = 2_500;
    greenlight_server::files::take_all(THOUSANDS);
    let siege = Siege::begin_with(&["--max-sockets", "4000"]).await;
    let mut silent = Vec::new();
    // Some as connections alone, the others as WebSockets that never say hello.
    for number in 0..THOUSANDS {
        silent.push(if number % 5 == 0 { siege.connect().await } else { upgrade(&siege).await.0 });
        if number % 500 == 0 {
            siege.stands().await;
        }
    }
    siege.stands().await;
    while let Some(mut stream) = silent.pop() {
        read_to_end(&mut stream, HELLO_LIMIT).await;
    }
    siege.stands().await;
}

#[tokio::test]
async fn what_strangers_make_the_server_hold_is_bounded() {
    let siege = Siege::begin().await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        let (mut stream, _) = upgrade(&siege).await;
        stream.write_all(&head(LAST | BINARY, MESSAGE_BYTES as u64)).await.unwrap();
        stream.write_all(&vec![0; MESSAGE_BYTES - 1]).await.unwrap();
        streams.push(stream);
    }
    siege.stands().await;
}

async fn a_flood_of_pings_is_no_word(siege: &Siege) {
    let (mut stream, _) = upgrade(siege).await;
    let pings = [vec![LAST | PING, 0x80 | 100], vec![0; 104]].concat().repeat(200);
    // Nobody reads the answers either.
    send_until_closed(&mut stream, &pings, Duration::ZERO, HELLO_LIMIT).await;
}

#[tokio::test]
async fn fragments_without_a_last_one_end_the_connection() {
    let siege = Siege::begin().await;
    let mut socket = dial(siege.address, "notes", None).await.unwrap();
    socket.send(Message::Binary(hello(&mut open(NOTES)).into())).await.unwrap();
    assert!(matches!(message(&mut socket).await, ServerMessage::Welcome(_)));
    let begun = std::time::Instant::now();
    for number in 0.. {
        let fragment = Fragment { number, last: false, bytes: vec![4; FRAGMENT_BYTES] };
        let frame = ClientMessage::<EncodedChanges>::Fragment(fragment).encode();
        if socket.send(Message::Binary(frame.into())).await.is_err() {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "fragments are taken for ever");
    }
    siege.stands().await;
}

async fn a_client_that_only_pretends_to_live_is_let_go(siege: &Siege) {
    let mut socket = dial(siege.address, "notes", None).await.unwrap();
    socket.send(Message::Binary(hello(&mut open(NOTES)).into())).await.unwrap();
    assert!(matches!(message(&mut socket).await, ServerMessage::Welcome(_)));
    let (mut sink, mut stream) = futures_util::StreamExt::split(socket);
    // The WebSocket's own pings say nothing of a client.
    let pinging = tokio::spawn(async move {
        while sink.send(Message::Ping(vec![1].into())).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let ended = tokio::time::timeout(IDLE_LIMIT + DEADLINE, async {
        loop {
            match futures_util::StreamExt::next(&mut stream).await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("ended without a closing frame: {other:?}"),
            }
        }
    });
    assert_eq!(ended.await.expect("the server ends it"), 4004);
    pinging.await.unwrap();
}

pub(crate) async fn many_sockets_that_say_nothing_keep_nobody_out_for_long() {
    let siege = Siege::begin_with(&["--max-sockets", "40"]).await;
    let mut sockets = Vec::new();
    for _ in 0..38 {
        sockets.push(dial(siege.address, "notes", None).await.unwrap());
    }
    // All taken but for the one who is in step: whoever comes is told so, and gets in when the silent ones are let go.
    siege.stands().await;
    assert_eq!(closed(&mut sockets[0]).await.0, 4004);
}

/// Parts as large as may be, one behind the other without a pause, of rows that are all the same.
async fn flood(siege: &Siege, site: u8) {
    const PARTS: u64 = 2;
    let mut store = open(NOTES);
    let mut socket = dial(siege.address, "notes", None).await.unwrap();
    socket.send(Message::Binary(hello(&mut store).into())).await.unwrap();
    assert!(matches!(message(&mut socket).await, ServerMessage::Welcome(_)));
    let own = store.load().unwrap().site_id;
    let bound = |version| Bound { version: Version::new(version).unwrap(), tag: Tag(version) };
    let change = |id: u64| Change {
        table: "tag".into(),
        key: PackedKey::pack(&[Value::Integer(i64::from(site)), Value::Text(id.to_string())]).unwrap(),
        column: "weight".into(),
        value: Value::Integer(1),
        column_version: 1,
        causal_length: 1,
        sequence: 0,
        site: own,
    };
    let mut fragments = 0;
    for part in 0..PARTS {
        let changes: Vec<Change> = (0..MAX_PART_CHANGES as u64).map(|id| change(part * 1_000_000 + id)).collect();
        let upload = Upload {
            since: if part == 0 { Bound::ZERO } else { bound(part) },
            until: bound(part + 1),
            part: 0,
            last: true,
            offer: false,
            remaining: 0,
            changes: EncodedChanges::from_changes(&changes),
        };
        let frame = ClientMessage::Upload(upload).encode();
        let count = frame.chunks(FRAGMENT_BYTES).count();
        for (at, piece) in frame.chunks(FRAGMENT_BYTES).enumerate() {
            let fragment = Fragment { number: fragments, last: at + 1 == count, bytes: piece.to_vec() };
            fragments += 1;
            let frame = ClientMessage::<EncodedChanges>::Fragment(fragment).encode();
            socket.send(Message::Binary(frame.into())).await.unwrap();
        }
        while !matches!(message(&mut socket).await, ServerMessage::Uploaded(receipt) if receipt.last) {}
    }
}

#[tokio::test]
async fn who_writes_as_much_as_may_be_holds_nobody_up() {
    let siege = Siege::begin().await;
    let honest = async {
        for _ in 0..2 {
            siege.stands().await;
        }
    };
    tokio::join!(flood(&siege, 1), flood(&siege, 2), honest);
    siege.stands().await;
}
