//! Every field at its limit is taken, above it refused by name; and only the shortest spelling of a number is read.

use greenlight_core::limits::*;
use greenlight_core::protocol::{ClientMessage, ServerMessage, WireError};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::frame::{
    self, Frame, all, bytes, digests, download, downloaded, fragment, hello, list, ping, pong, refuse, text_of, upload,
    uploaded, varint, verify, welcome, zigzag,
};
use WireError::{Invalid, LeftOver, TooLarge, Truncated, UnknownType};

/// Decodes in the direction that the message's type belongs to.
fn decode(frame: &Frame) -> Result<(), WireError> {
    let bytes = frame.bytes();
    match bytes[0] {
        1 | 4 | 7 | 8 | 10 | 12 | 13 => ClientMessage::decode(&bytes).map(drop),
        _ => ServerMessage::decode(&bytes).map(drop),
    }
}

fn taken(frame: Frame, what: &str) {
    assert_eq!(decode(&frame), Ok(()), "{what}");
}

fn refused(frame: Frame, error: WireError) {
    assert_eq!(decode(&frame), Err(error), "{frame:02x?}");
}

fn names(count: usize) -> Vec<u8> {
    list((0..count).map(|number| bytes(format!("n{number}").as_bytes())))
}

fn table(name: &[u8], key: usize, columns: usize) -> Vec<u8> {
    [bytes(name), names(key), names(columns)].concat()
}

#[test]
fn the_frames_are_valid_as_they_stand() {
    let (client, server) = all();
    for frame in client.into_iter().chain(server) {
        taken(frame, "as it stands");
    }
}

#[test]
fn fields_of_the_handshake() {
    taken(hello().with("protocol", varint(65_535)), "a later protocol is for the session to judge");
    refused(hello().with("protocol", varint(0)), Invalid("protocol"));
    refused(hello().with("protocol", varint(65_536)), TooLarge("protocol"));
    refused(welcome().with("protocol", varint(0)), Invalid("protocol"));
    taken(hello().with("features", varint(u64::MAX)), "unknown features are for the session to ignore");
    refused(hello().with("lineage", [2]), Invalid("lineage"));
    taken(hello().with("token", text_of(MAX_TOKEN_BYTES)), "longest token");
    refused(hello().with("token", text_of(MAX_TOKEN_BYTES + 1)), TooLarge("token"));
    refused(hello().with("token", bytes(&[0xff])), Invalid("token"));
    taken(hello().with("agent", text_of(MAX_AGENT_BYTES)), "longest agent");
    refused(hello().with("agent", text_of(MAX_AGENT_BYTES + 1)), TooLarge("agent"));
    refused(welcome().with("cursor known", [2]), Invalid("cursor known"));
    refused(welcome().with("may write", [2]), Invalid("may write"));
    refused(welcome().with("writer", [5]), Invalid("writer"));
    refused(refuse().with("code", varint(0)), Invalid("code"));
    refused(refuse().with("code", varint(11)), Invalid("code"));
    taken(refuse().with("sentence", text_of(MAX_SENTENCE_BYTES)), "longest sentence");
    refused(refuse().with("sentence", text_of(MAX_SENTENCE_BYTES + 1)), TooLarge("sentence"));
}

#[test]
fn fields_of_the_schema() {
    for frame in [hello(), welcome()] {
        taken(frame.with("schema name", text_of(MAX_NAME_BYTES)), "longest name");
        refused(frame.with("schema name", text_of(MAX_NAME_BYTES + 1)), TooLarge("schema name"));
        taken(frame.with("schema number", varint(u64::from(u32::MAX))), "highest number");
        refused(frame.with("schema number", varint(1 << 32)), TooLarge("schema number"));
        let tables = |count: usize| list((0..count).map(|at| table(format!("t{at:03}").as_bytes(), 1, 1)));
        taken(frame.with("shape", tables(MAX_TABLES)), "most tables");
        refused(frame.with("shape", tables(MAX_TABLES + 1)), TooLarge("tables"));
        taken(frame.with("shape", list([table(b"t", MAX_KEY_COLUMNS, MAX_COLUMNS)])), "most columns");
        refused(frame.with("shape", list([table(b"t", MAX_KEY_COLUMNS + 1, 1)])), TooLarge("key column"));
        refused(frame.with("shape", list([table(b"t", 1, MAX_COLUMNS + 1)])), TooLarge("column"));
        refused(frame.with("shape", list([table(&[b'a'; MAX_NAME_BYTES + 1], 1, 1)])), TooLarge("table"));
        refused(frame.with("shape", list([table(b"b", 1, 1), table(b"a", 1, 1)])), Invalid("table"));
        refused(frame.with("shape", list([table(b"a", 1, 1), table(b"a", 1, 1)])), Invalid("table"));
    }
}

#[test]
fn positions() {
    let marks = [
        (hello(), "cursor"),
        (hello(), "acknowledged"),
        (welcome(), "head"),
        (welcome(), "held"),
        (upload(), "until"),
        (download(), "until"),
        (uploaded(), "until"),
        (downloaded(), "until"),
        (ping(), "cursor"),
        (pong(), "head"),
    ];
    for (frame, field) in marks {
        taken(frame.with(field, varint(MAX_VERSION)), field);
        refused(frame.with(field, varint(MAX_VERSION + 1)), TooLarge(field));
    }
    for frame in [upload(), download()] {
        refused(frame.with("since", varint(MAX_VERSION + 1)), TooLarge("since"));
        refused(frame.with("since", varint(302)), Invalid("until"));
        taken(frame.with("part", varint(u64::from(MAX_RANGE_PARTS))), "last part number");
        refused(frame.with("part", varint(u64::from(MAX_RANGE_PARTS) + 1)), TooLarge("part"));
        refused(frame.with("last", [2]), Invalid("last"));
    }
    refused(upload().with("offer", [2]), Invalid("offer"));
    for frame in [uploaded(), downloaded()] {
        refused(frame.with("part", varint(u64::from(MAX_RANGE_PARTS) + 1)), TooLarge("part"));
        refused(frame.with("last", [9]), Invalid("last"));
    }
    refused(ping().with("state", [6]), Invalid("state"));
    refused(pong().with("writer", [5]), Invalid("writer"));
}

#[test]
fn tables_of_a_body() {
    for frame in [upload(), download()] {
        taken(frame.with("names", names(MAX_PART_NAMES)), "most names");
        refused(frame.with("names", names(MAX_PART_NAMES + 1)), TooLarge("names"));
        taken(frame.with("names", list([text_of(MAX_NAME_BYTES), bytes(b"b")])), "longest name");
        refused(frame.with("names", list([text_of(MAX_NAME_BYTES + 1), bytes(b"b")])), TooLarge("name"));
        refused(frame.with("names", list([bytes(b""), bytes(b"b")])), Invalid("name"));
        refused(frame.with("names", list([bytes(b"a\0"), bytes(b"b")])), Invalid("name"));
        refused(frame.with("names", list([bytes(&[0xc3]), bytes(b"b")])), Invalid("name"));
        let sites = |count: usize| [varint(count as u64), vec![7; 16 * count]].concat();
        taken(frame.with("sites", sites(MAX_PART_SITES)), "most sites");
        refused(frame.with("sites", sites(MAX_PART_SITES + 1)), TooLarge("sites"));
        // A count that nothing can follow is refused before anything is made for it.
        refused(frame.with("sites", varint(MAX_PART_SITES as u64)), Truncated("sites"));
        refused(frame.with("changes", varint(MAX_PART_CHANGES as u64)), Truncated("changes"));
        refused(frame.with("changes", varint(MAX_PART_CHANGES as u64 + 1)), TooLarge("changes"));
    }
}

#[test]
fn the_most_changes_fit_and_one_more_does_not() {
    // Same row, same site, version and causal length 1, NULL: three bytes a change.
    let more = |count: usize| [0x0f, 0, 0].repeat(count);
    let first = [zigzag(5), more(MAX_PART_CHANGES - 1)].concat();
    taken(upload().with("changes", varint(MAX_PART_CHANGES as u64)).with("value", first), "most changes");
    let first = [zigzag(5), more(MAX_PART_CHANGES)].concat();
    refused(upload().with("changes", varint(MAX_PART_CHANGES as u64 + 1)).with("value", first), TooLarge("changes"));
}

#[test]
fn fields_of_a_change() {
    for frame in [upload(), download()] {
        refused(frame.with("flags", [0x90]), Invalid("flags"));
        for kind in 5..8 {
            refused(frame.with("flags", [kind << 4]), Invalid("value type"));
        }
        // The first change has no row and no site before it.
        refused(frame.with("flags", [0x11]).with("table", []).with("key", []), Invalid("flags"));
        refused(frame.with("flags", [0x12]).with("change site", []), Invalid("flags"));
        refused(frame.with("table", varint(2)), Invalid("name"));
        refused(frame.with("column", varint(2)), Invalid("name"));
        refused(frame.with("change site", varint(1)), Invalid("site"));
        taken(frame.with("column version", varint(0)), "a cell of a resurrected row");
        taken(frame.with("column version", varint(MAX_COLUMN_VERSION)), "highest column version");
        refused(frame.with("column version", varint(MAX_COLUMN_VERSION + 1)), TooLarge("column version"));
        refused(frame.with("causal length", varint(0)), Invalid("causal length"));
        taken(frame.with("causal length", varint(MAX_COLUMN_VERSION)), "highest causal length");
        refused(frame.with("causal length", varint(MAX_COLUMN_VERSION + 1)), TooLarge("causal length"));
        taken(frame.with("sequence", zigzag(MAX_SEQUENCE as i64)), "highest sequence");
        refused(frame.with("sequence", zigzag(MAX_SEQUENCE as i64 + 1)), Invalid("sequence"));
        refused(frame.with("sequence", zigzag(-1)), Invalid("sequence"));
        refused(frame.with("sequence", zigzag(i64::MIN)), Invalid("sequence"));
        let key = |bytes_of_text: usize| {
            let length = u16::try_from(bytes_of_text).expect("keys are short").to_be_bytes();
            bytes(&[&[1, 0x13][..], &length, &vec![b'k'; bytes_of_text]].concat())
        };
        taken(frame.with("key", key(MAX_KEY_BYTES - 4)), "longest key");
        refused(frame.with("key", key(MAX_KEY_BYTES - 3)), TooLarge("key"));
        refused(frame.with("key", bytes(&[1, 0x11, 0, 9])), Invalid("key"));
    }
}

#[test]
fn values() {
    let value = |kind: u8, spelling: Vec<u8>| upload().with("flags", [kind << 4]).with("value", spelling);
    taken(value(0, vec![]), "NULL");
    taken(value(1, zigzag(i64::MIN)), "smallest integer");
    taken(value(1, zigzag(i64::MAX)), "largest integer");
    taken(value(2, f64::INFINITY.to_le_bytes().to_vec()), "infinity");
    refused(value(2, f64::NAN.to_le_bytes().to_vec()), Invalid("real"));
    refused(value(2, (-f64::NAN).to_le_bytes().to_vec()), Invalid("real"));
    taken(value(3, text_of(MAX_VALUE_BYTES)), "longest text");
    refused(value(3, text_of(MAX_VALUE_BYTES + 1)), TooLarge("text"));
    refused(value(3, bytes(&[0xed, 0xa0, 0x80])), Invalid("text"));
    taken(value(4, text_of(MAX_VALUE_BYTES)), "longest blob");
    refused(value(4, text_of(MAX_VALUE_BYTES + 1)), TooLarge("blob"));
}

#[test]
fn a_sentinel_has_no_value_and_two_equal_clocks() {
    let sentinel = upload().with("names", list([bytes(b"book"), bytes(b"-1")])).with("flags", [0]).with("value", []);
    taken(sentinel.clone(), "a sentinel");
    refused(sentinel.with("column version", varint(2)), Invalid("sentinel"));
    refused(sentinel.with("flags", [1 << 4]).with("value", zigzag(0)), Invalid("sentinel"));
}

#[test]
fn fields_of_verifying() {
    refused(verify().with("scope", [3]), Invalid("scope"));
    taken(verify().with("table", text_of(MAX_NAME_BYTES)), "longest name");
    refused(verify().with("table", text_of(MAX_NAME_BYTES + 1)), TooLarge("table"));
    refused(verify().with("table", bytes(&[0xff])), Invalid("table"));
    refused(digests().with("sums", [2]), Invalid("sums"));
    let sum = |name: &[u8]| [bytes(name), vec![0; 16]].concat();
    let sums = |names: &[&[u8]]| digests().with("list", list(names.iter().map(|name| sum(name))));
    taken(sums(&[]), "nothing to sum");
    taken(sums(&[b"", b"a"]), "an empty name");
    taken(sums(&[&[b'k'; MAX_KEY_BYTES]]), "longest key");
    refused(sums(&[&[b'k'; MAX_KEY_BYTES + 1]]), TooLarge("name"));
    refused(sums(&[b"b", b"a"]), Invalid("name"));
    refused(sums(&[b"a", b"a"]), Invalid("name"));
    let many: Vec<Vec<u8>> = (0..=MAX_DIGESTS as u32).map(|number| sum(&number.to_be_bytes())).collect();
    taken(digests().with("list", list(many[..MAX_DIGESTS].to_vec())), "most digests");
    refused(digests().with("list", list(many)), TooLarge("sums"));
}

#[test]
fn a_frame_has_a_largest_size_and_an_end() {
    let blank = refuse().with("sentence", vec![0; MAX_FRAME_BYTES]);
    assert!(blank.bytes().len() > MAX_FRAME_BYTES);
    refused(blank, TooLarge("frame"));
    let (client, server) = all();
    for frame in client.into_iter().chain(server) {
        refused(frame.raw("more", [0]), LeftOver);
    }
    assert_eq!(ClientMessage::decode(&[]).map(drop), Err(Truncated("message type")));
    assert_eq!(ServerMessage::decode(&[]).map(drop), Err(Truncated("message type")));
}

#[test]
fn a_type_belongs_to_one_direction_but_for_fragments() {
    let both = |frame: &Frame| [12, 13].contains(&frame.bytes()[0]);
    let (client, server) = all();
    for frame in client.into_iter().filter(|frame| !both(frame)) {
        let bytes = frame.bytes();
        assert_eq!(ServerMessage::decode(&bytes).map(drop), Err(UnknownType(bytes[0])));
    }
    for frame in server.into_iter().filter(|frame| !both(frame)) {
        let bytes = frame.bytes();
        assert_eq!(ClientMessage::decode(&bytes).map(drop), Err(UnknownType(bytes[0])));
    }
    for kind in [0, 14, 15, 127, 128, 255] {
        assert_eq!(ClientMessage::decode(&[kind]).map(drop), Err(UnknownType(kind)));
        assert_eq!(ServerMessage::decode(&[kind]).map(drop), Err(UnknownType(kind)));
    }
}

#[test]
fn a_number_has_one_spelling() {
    let (client, server) = all();
    let mut tried = 0;
    for (field, spelling) in client.iter().flat_map(Frame::with_longer_varints) {
        assert!(matches!(ClientMessage::decode(&spelling), Err(Invalid(_))), "{field}: {spelling:02x?}");
        tried += 1;
    }
    for (field, spelling) in server.iter().flat_map(Frame::with_longer_varints) {
        assert!(matches!(ServerMessage::decode(&spelling), Err(Invalid(_))), "{field}: {spelling:02x?}");
        tried += 1;
    }
    assert!(tried >= 40, "only {tried} varints were tried");
    let pong = |number: &[u8]| ServerMessage::decode(&frame::pong().with("number", number).bytes()).map(drop);
    let largest = [&[0xff; 9][..], &[1]].concat();
    assert_eq!(pong(&largest), Ok(()), "2^64 - 1");
    assert_eq!(pong(&[&[0xff; 9][..], &[2]].concat()), Err(Invalid("number")), "2^64");
    assert_eq!(pong(&[&[0xff; 9][..], &[0x81, 0]].concat()), Err(Invalid("number")), "eleven bytes");
    assert_eq!(pong(&[&[0x80; 9][..], &[0]].concat()), Err(Invalid("number")), "a zero of ten bytes");
}

#[test]
fn every_prefix_is_refused() {
    let (client, server) = all();
    for frame in client {
        let bytes = frame.bytes();
        for length in 0..bytes.len() {
            let answer = ClientMessage::decode(&bytes[..length]);
            assert!(matches!(answer, Err(Truncated(_))), "{length} of {bytes:02x?}: {answer:?}");
        }
    }
    for frame in server {
        let bytes = frame.bytes();
        for length in 0..bytes.len() {
            let answer = ServerMessage::decode(&bytes[..length]);
            assert!(matches!(answer, Err(Truncated(_))), "{length} of {bytes:02x?}: {answer:?}");
        }
    }
}

#[test]
fn fields_of_fragments() {
    refused(fragment().with("last", [2]), Invalid("last"));
    taken(fragment().with("fragment", text_of(FRAGMENT_BYTES)), "largest fragment");
    refused(fragment().with("fragment", text_of(FRAGMENT_BYTES + 1)), TooLarge("fragment"));
    refused(fragment().with("fragment", bytes(&[])), Invalid("fragment"));
}
