//! Whatever can be said comes back as it was said, and a part of any size fits into a frame.

use greenlight_core::limits::{
    MAX_AGENT_BYTES, MAX_FRAME_BYTES, MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_PART_CHANGES, MAX_PART_NAMES, MAX_PART_SITES,
    MAX_SENTENCE_BYTES, MAX_VALUE_BYTES, PART_TARGET_BYTES,
};
use greenlight_core::protocol::{
    ChangesEncoder, ClientMessage, Download, EncodedChanges, Refuse, RefuseCode, ServerMessage, Upload, WireError,
};
use greenlight_core::{Change, Cursor, PackedKey, SiteId, Value};
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::arbitrary::{changes, client_message, server_message};

/// A client's message with its changes encoded.
pub(crate) fn to_send(message: &ClientMessage<Vec<Change>>) -> ClientMessage<EncodedChanges> {
    match message.clone() {
        ClientMessage::Hello(hello) => ClientMessage::Hello(hello),
        ClientMessage::Upload(Upload { since, until, part, last, offer, remaining, changes }) => {
            let changes = EncodedChanges::from_changes(&changes);
            ClientMessage::Upload(Upload { since, until, part, last, offer, remaining, changes })
        }
        ClientMessage::Downloaded(receipt) => ClientMessage::Downloaded(receipt),
        ClientMessage::Ping(ping) => ClientMessage::Ping(ping),
        ClientMessage::Verify(verify) => ClientMessage::Verify(verify),
        ClientMessage::Fragment(fragment) => ClientMessage::Fragment(fragment),
        ClientMessage::Received(number) => ClientMessage::Received(number),
    }
}

/// A server's message with its changes encoded.
pub(crate) fn to_serve(message: &ServerMessage<Vec<Change>>) -> ServerMessage<EncodedChanges> {
    match message.clone() {
        ServerMessage::Welcome(welcome) => ServerMessage::Welcome(welcome),
        ServerMessage::Refuse(refuse) => ServerMessage::Refuse(refuse),
        ServerMessage::Download(Download { since, until, part, last, remaining, changes }) => {
            let changes = EncodedChanges::from_changes(&changes);
            ServerMessage::Download(Download { since, until, part, last, remaining, changes })
        }
        ServerMessage::Uploaded(receipt) => ServerMessage::Uploaded(receipt),
        ServerMessage::Pong(pong) => ServerMessage::Pong(pong),
        ServerMessage::Digests(answer) => ServerMessage::Digests(answer),
        ServerMessage::Fragment(fragment) => ServerMessage::Fragment(fragment),
        ServerMessage::Received(number) => ServerMessage::Received(number),
    }
}

proptest! {
    #[test]
    fn a_clients_message_comes_back(message in client_message()) {
        let frame = to_send(&message).encode();
        let decoded = ClientMessage::decode(&frame);
        prop_assert_eq!(decoded.as_ref(), Ok(&message));
        // Once more in bytes, which tell 0.0 from -0.0.
        let again = decoded.map(|message| to_send(&message).encode());
        prop_assert_eq!(again, Ok(frame));
    }

    #[test]
    fn a_servers_message_comes_back(message in server_message()) {
        let frame = to_serve(&message).encode();
        let decoded = ServerMessage::decode(&frame);
        prop_assert_eq!(decoded.as_ref(), Ok(&message));
        let again = decoded.map(|message| to_serve(&message).encode());
        prop_assert_eq!(again, Ok(frame));
    }

    #[test]
    fn encoded_changes_know_their_count_and_their_only_site(changes in changes()) {
        let encoded = EncodedChanges::from_changes(&changes);
        prop_assert_eq!(encoded.count, changes.len() as u64);
        let first = changes.first().map(|change| change.site);
        let only = first.filter(|&site| changes.iter().all(|change| change.site == site));
        prop_assert_eq!(encoded.only_site, only);
        prop_assert_eq!(encoded.decode(), Ok(changes));
    }

    #[test]
    fn a_cut_message_is_refused(message in client_message(), cut in any::<prop::sample::Index>()) {
        let frame = to_send(&message).encode();
        let answer = ClientMessage::decode(&frame[..cut.index(frame.len())]);
        prop_assert!(matches!(answer, Err(WireError::Truncated(_))), "{:?}", answer);
    }

    #[test]
    fn a_cut_answer_is_refused(message in server_message(), cut in any::<prop::sample::Index>()) {
        let frame = to_serve(&message).encode();
        let answer = ServerMessage::decode(&frame[..cut.index(frame.len())]);
        prop_assert!(matches!(answer, Err(WireError::Truncated(_))), "{:?}", answer);
    }
}

#[test]
fn what_people_read_is_clipped_at_a_character() {
    let sentence = format!("{}é", "x".repeat(MAX_SENTENCE_BYTES - 1));
    let refuse = ServerMessage::Refuse(Refuse { code: RefuseCode::Lineage, sentence });
    let Ok(ServerMessage::Refuse(refuse)) = ServerMessage::decode(&to_serve(&refuse).encode()) else {
        panic!("a long sentence is still a refusal");
    };
    assert_eq!(refuse.sentence, "x".repeat(MAX_SENTENCE_BYTES - 1));
    let Ok(ClientMessage::Hello(hello)) = ClientMessage::decode(&crate::frame::hello().bytes()) else {
        panic!("the frame is a hello");
    };
    let hello = ClientMessage::Hello(greenlight_core::protocol::Hello { agent: "€".repeat(99), ..hello });
    let Ok(ClientMessage::Hello(hello)) = ClientMessage::decode(&to_send(&hello).encode()) else {
        panic!("a long agent is still a hello");
    };
    assert_eq!(hello.agent, "€".repeat(MAX_AGENT_BYTES / 3));
}

fn cell(number: usize, value: Value) -> Change {
    let mut site = [0; 16];
    site[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Change {
        table: format!("{:0>1$}", number % 4_000, MAX_NAME_BYTES).into(),
        key: PackedKey::pack(&[Value::Integer(number as i64)]).expect("a small key"),
        column: "c".into(),
        value,
        column_version: 1,
        causal_length: 1,
        sequence: number as u64,
        site: SiteId(site),
    }
}

#[test]
fn a_full_part_and_one_largest_change_fit_into_a_frame() {
    // Every change brings the longest of names and another site, for as long as the encoder takes more.
    let mut encoder = ChangesEncoder::new();
    let mut number = 0;
    while !encoder.is_full() {
        encoder.push(&cell(number, Value::Null));
        number += 1;
    }
    let all_but_one = encoder.count() - 1;
    let mut encoder = ChangesEncoder::new();
    for number in 0..all_but_one as usize {
        encoder.push(&cell(number, Value::Null));
    }
    assert!(!encoder.is_full());
    let key = PackedKey::pack(&[Value::Blob(vec![7; MAX_KEY_BYTES - 4])]).expect("the largest key");
    encoder.push(&Change { key, ..cell(0, Value::Blob(vec![7; MAX_VALUE_BYTES])) });
    assert!(encoder.is_full());
    let message = ServerMessage::Download(Download {
        since: Cursor::ZERO,
        until: Cursor::ZERO,
        part: 0,
        last: true,
        remaining: 0,
        changes: encoder.finish(),
    });
    let frame = message.encode();
    assert!(frame.len() <= MAX_FRAME_BYTES, "{} bytes", frame.len());
    assert_eq!(ServerMessage::decode(&frame).map(drop), Ok(()));
}

#[test]
fn a_part_is_full_by_each_of_its_limits() {
    let fill = |next: &dyn Fn(usize) -> Change| {
        let mut encoder = ChangesEncoder::new();
        let mut number = 0;
        while !encoder.is_full() {
            encoder.push(&next(number));
            number += 1;
        }
        let part = encoder.finish();
        assert!(part.decode().is_ok(), "a full part is a valid one");
        (number, part.body.len())
    };
    let (count, _) = fill(&|number| Change { table: "t".into(), site: SiteId([1; 16]), ..cell(number, Value::Null) });
    assert_eq!(count, MAX_PART_CHANGES, "small changes");
    let (_, bytes) = fill(&|number| cell(number % 2, Value::Blob(vec![0; 1_000])));
    assert!((PART_TARGET_BYTES..PART_TARGET_BYTES + 2_000).contains(&bytes), "{bytes} bytes of large changes");
    let (count, _) = fill(&|number| Change { column: format!("c{number}").into(), ..cell(0, Value::Null) });
    assert_eq!(count, MAX_PART_NAMES - 2, "many names");
    let (count, bytes) = fill(&|number| cell(number, Value::Null));
    assert!(count < MAX_PART_SITES && bytes < PART_TARGET_BYTES + 2_000, "{count} sites, {bytes} bytes");
}
