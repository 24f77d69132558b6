//! Frames and packed keys: decoded or refused, and what was decoded is written and read again as it was.
//!
//! Where in the flow: the first step of whatever comes out of a socket. Has no database.

use greenlight_core::protocol::{ClientMessage, Download, EncodedChanges, ServerMessage, Upload};
use greenlight_core::{Change, PackedKey};

/// Runs one input: in both directions as a frame, and as a key.
pub fn run(data: &[u8]) {
    decode(data);
    if let Ok(message) = ClientMessage::decode(data) {
        let frame = of_client(message).encode();
        let again = ClientMessage::decode(&frame).expect("what was encoded can be decoded");
        assert_eq!(of_client(again).encode(), frame, "and is the same");
    }
    if let Ok(message) = ServerMessage::decode(data) {
        let frame = of_server(message).encode();
        let again = ServerMessage::decode(&frame).expect("what was encoded can be decoded");
        assert_eq!(of_server(again).encode(), frame, "and is the same");
    }
    if let Ok(key) = PackedKey::new(data) {
        let packed = PackedKey::pack(&key.values()).expect("values of a key make a key");
        assert_eq!(packed.as_bytes(), data, "a key has one spelling");
    }
}

/// Decodes alone: what a stranger's frame costs before anything is known of it.
pub fn decode(data: &[u8]) {
    drop(ClientMessage::decode(data));
    drop(ServerMessage::decode(data));
    drop(PackedKey::new(data));
}

fn of_client(message: ClientMessage<Vec<Change>>) -> ClientMessage<EncodedChanges> {
    match message {
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

fn of_server(message: ServerMessage<Vec<Change>>) -> ServerMessage<EncodedChanges> {
    match message {
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
