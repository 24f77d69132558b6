//! The frames of version 1, byte for byte, as they were when it was fixed: each says what its message says, and its
//! message is spelt as it is. A frame here may be added but never changed: both are out there.

use greenlight_core::change::SENTINEL;
use greenlight_core::protocol::{
    ClientMessage, DigestAnswer, Download, Fragment, Hello, Ping, Pong, Receipt, Refuse, RefuseCode, ServerMessage,
    Upload, Verify, Welcome, WriterState,
};
use greenlight_core::replica::{DigestScope, Digests};
use greenlight_core::{
    Bound, Change, Cursor, Epoch, Lineage, PackedKey, SchemaId, SchemaShape, SiteId, StatusState, TableShape, Tag,
    Value, Version,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::roundtrip::{to_send, to_serve};

type Client = ClientMessage<Vec<Change>>;
type Server = ServerMessage<Vec<Change>>;

/// The bytes of a golden file: hexadecimal digits, spaces, and comments from `#` to the line's end.
macro_rules! golden {
    ($name:literal) => {
        read(include_str!(concat!("../golden/", $name, ".hex")))
    };
}

fn read(text: &str) -> Vec<u8> {
    let code = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let digits: String = code.flat_map(str::chars).filter(|digit| !digit.is_whitespace()).collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("a golden file holds hexadecimal pairs");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn check_client(golden: &[u8], message: &Client) {
    assert_eq!(ClientMessage::decode(golden).as_ref(), Ok(message));
    assert_eq!(to_send(message).encode(), golden);
}

fn check_server(golden: &[u8], message: &Server) {
    assert_eq!(ServerMessage::decode(golden).as_ref(), Ok(message));
    assert_eq!(to_serve(message).encode(), golden);
}

const CLIENT: SiteId = SiteId([0xa1; 16]);
const OTHER: SiteId = SiteId([0xc2; 16]);
const SERVER: SiteId = SiteId([0xb0; 16]);

fn cursor(version: u64, tag: u64) -> Cursor {
    Cursor { version: Version::new(version).expect("within its limit"), tag: Tag(tag) }
}

fn bound(version: u64, tag: u64) -> Bound {
    let Cursor { version, tag } = cursor(version, tag);
    Bound { version, tag }
}

fn shop() -> (SchemaId, SchemaShape) {
    let columns = vec!["price".into(), "title".into()];
    let book = TableShape { name: "book".into(), key: vec!["isbn".into()], columns };
    (SchemaId { name: "shop".into(), number: 4, digest: [0xd1; 16] }, SchemaShape { tables: vec![book] })
}

fn nameless(number: u32) -> SchemaId {
    SchemaId { name: String::new(), number, digest: [0; 16] }
}

/// A cell of `table`, written once, by the client.
fn cell(table: &str, key: &[Value], column: &str, value: Value, sequence: u64) -> Change {
    Change {
        table: table.into(),
        key: PackedKey::pack(key).expect("a small key"),
        column: column.into(),
        value,
        column_version: 1,
        causal_length: 1,
        sequence,
        site: CLIENT,
    }
}

#[test]
fn hello() {
    let (schema, shape) = shop();
    let first = Hello {
        protocol: 1,
        features: 0,
        site: CLIENT,
        schema,
        shape,
        lineage: None,
        cursor: Cursor::ZERO,
        acknowledged: Bound::ZERO,
        token: String::new(),
        agent: "shop 1.0".into(),
    };
    check_client(&golden!("hello_first"), &ClientMessage::Hello(first));
    let again = Hello {
        protocol: 1,
        features: 0,
        site: SiteId(std::array::from_fn(|at| at as u8)),
        schema: nameless(u32::MAX),
        shape: SchemaShape::default(),
        lineage: Some(Lineage { site_id: SERVER, epoch: Epoch(0x0123_4567_89ab_cdef) }),
        cursor: cursor(300, 1),
        acknowledged: bound(1 << 53, u64::MAX),
        token: "secret".into(),
        agent: "€".into(),
    };
    check_client(&golden!("hello_again"), &ClientMessage::Hello(again));
}

#[test]
fn welcome() {
    let (schema, shape) = shop();
    let welcome = Welcome {
        protocol: 1,
        features: 0,
        lineage: Lineage { site_id: SERVER, epoch: Epoch(7) },
        schema,
        shape,
        head: cursor(300, 9),
        held: bound(2, 5),
        cursor_known: true,
        may_write: true,
        writer: WriterState::Commits,
    };
    check_server(&golden!("welcome"), &ServerMessage::Welcome(welcome));
    let fork = Welcome {
        protocol: 1,
        features: 0,
        lineage: Lineage { site_id: SERVER, epoch: Epoch(8) },
        schema: nameless(0),
        shape: SchemaShape::default(),
        head: Cursor::ZERO,
        held: Bound::ZERO,
        cursor_known: false,
        may_write: false,
        writer: WriterState::ReadOnly,
    };
    check_server(&golden!("welcome_fork"), &ServerMessage::Welcome(fork));
}

#[test]
fn refuse() {
    let refuse = Refuse { code: RefuseCode::Unauthorized, sentence: "sign in again".into() };
    check_server(&golden!("refuse"), &ServerMessage::Refuse(refuse));
}

#[test]
fn upload() {
    let (since, until) = (bound(2, 5), bound(2, 6));
    let empty = Upload { since, until, part: 0, last: true, offer: false, remaining: 0, changes: vec![] };
    check_client(&golden!("upload_empty"), &ClientMessage::Upload(empty));

    let key = [Value::Integer(255), Value::Text("key".into())];
    let changes = vec![
        cell("t", &key, "a", Value::Null, 0),
        cell("t", &key, "b", Value::Integer(-1), 1),
        Change { column_version: 5, ..cell("t", &key, "c", Value::Real(1.5), 2) },
        Change { causal_length: 3, ..cell("t", &key, "d", Value::Text("é".into()), 3) },
        cell("t", &key, "e", Value::Blob(vec![0, 255]), 4),
        cell("t", &key, "f", Value::Blob(vec![]), 3),
    ];
    let values = Upload { since, until: bound(4, 6), part: 3, last: false, offer: false, remaining: 7, changes };
    check_client(&golden!("upload_values"), &ClientMessage::Upload(values));

    let deleted = cell("book", &[Value::Integer(-1)], SENTINEL, Value::Null, 6);
    let changes = vec![
        cell("book", &[Value::Integer(0)], "title", Value::Text("hi".into()), 0),
        Change { column_version: 2, causal_length: 2, site: OTHER, ..deleted },
    ];
    let until = bound(9, 0x0807_0605_0403_0201);
    let offer = Upload { since: Bound::ZERO, until, part: 0, last: true, offer: true, remaining: 0, changes };
    check_client(&golden!("upload_offer"), &ClientMessage::Upload(offer));
}

#[test]
fn download() {
    let price = cell("book", &[Value::Text("x".into())], "price", Value::Integer(1 << 62), 0);
    let changes = vec![Change { column_version: 0, site: SERVER, ..price }];
    let (since, until) = (cursor(300, 8), cursor(301, 9));
    let part = Download { since, until, part: 1, last: false, remaining: 2_000_000, changes };
    check_server(&golden!("download_part"), &ServerMessage::Download(part));
    let (since, until) = (cursor(301, 9), cursor(302, 10));
    let empty = Download { since, until, part: 0, last: true, remaining: 0, changes: vec![] };
    check_server(&golden!("download_empty"), &ServerMessage::Download(empty));
}

#[test]
fn receipts() {
    let uploaded = Receipt { until: bound(4, 6), part: 0, last: true };
    check_server(&golden!("uploaded"), &ServerMessage::Uploaded(uploaded));
    let downloaded = Receipt { until: cursor(301, 9), part: 200, last: false };
    check_client(&golden!("downloaded"), &ClientMessage::Downloaded(downloaded));
}

#[test]
fn heartbeat() {
    let ping = Ping { number: 3, state: StatusState::Syncing, pending: 5, cursor: cursor(301, 9) };
    check_client(&golden!("ping"), &ClientMessage::Ping(ping));
    let pong = Pong { number: 3, head: cursor(302, 10), writer: WriterState::Full };
    check_server(&golden!("pong"), &ServerMessage::Pong(pong));
}

#[test]
fn verifying() {
    let tables = Verify { number: 1, scope: DigestScope::Tables };
    check_client(&golden!("verify_tables"), &ClientMessage::Verify(tables));
    let rows = Verify { number: 300, scope: DigestScope::Rows("book".into(), 255) };
    check_client(&golden!("verify_rows"), &ClientMessage::Verify(rows));
    let at = cursor(302, 10);
    let sums = vec![(b"book".to_vec(), 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10), (b"stock".to_vec(), 0)];
    let answer = DigestAnswer { number: 1, digests: Digests { at, sums: Some(sums) } };
    check_server(&golden!("digests"), &ServerMessage::Digests(answer));
    let none = DigestAnswer { number: 1, digests: Digests { at, sums: None } };
    check_server(&golden!("digests_none"), &ServerMessage::Digests(none));
}

#[test]
fn fragments() {
    let middle = Fragment { number: 300, last: false, bytes: vec![4, 12, 13] };
    check_client(&golden!("fragment"), &ClientMessage::Fragment(middle.clone()));
    check_server(&golden!("fragment"), &ServerMessage::Fragment(middle));
    let last = Fragment { number: 0, last: true, bytes: vec![255] };
    check_client(&golden!("fragment_last"), &ClientMessage::Fragment(last.clone()));
    check_server(&golden!("fragment_last"), &ServerMessage::Fragment(last));
    check_client(&golden!("received"), &ClientMessage::Received(300));
    check_server(&golden!("received"), &ServerMessage::Received(300));
}
