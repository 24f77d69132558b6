//! Any valid message, for property tests.
//!
//! Where in the flow: below the tests that encode and decode. Whole messages are boxed: unboxed, their strategies
//! fill the stack that wasm has. Leans towards the edges: empty, largest, sentinels,
//! rows and sites that repeat, since the encoding spells those otherwise.

use std::sync::Arc;

use greenlight_core::change::SENTINEL;
use greenlight_core::limits::{MAX_COLUMN_VERSION, MAX_RANGE_PARTS, MAX_SEQUENCE, MAX_VERSION};
use greenlight_core::protocol::{
    ClientMessage, DigestAnswer, Download, Fragment, Hello, Ping, Pong, Receipt, Refuse, RefuseCode, ServerMessage,
    Upload, Verify, Welcome, WriterState,
};
use greenlight_core::replica::{DigestScope, Digests};
use greenlight_core::{
    Bound, Change, Cursor, Epoch, Lineage, PackedKey, SchemaId, SchemaShape, SiteId, StatusState, TableShape, Tag,
    Value, Version,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// Text with every kind of character, at most `length` of them.
fn text(length: usize) -> impl Strategy<Value = String> {
    vec(prop_oneof![8 => proptest::char::range('a', 'z'), 1 => any::<char>()], 0..=length)
        .prop_map(|characters| characters.into_iter().collect())
}

/// A name of a table or a column: never empty, without NUL.
fn name() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![Just("book".to_owned()), Just("id".to_owned()), text(20)]
        .prop_filter("names are not empty and hold no NUL", |name| !name.is_empty() && !name.contains('\0'))
        .prop_map(Arc::from)
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![4 => 0..1_000u64, 1 => 0..=MAX_VERSION, 1 => Just(MAX_VERSION)]
        .prop_map(|number| Version::new(number).expect("within its limit"))
}

fn tag() -> impl Strategy<Value = Tag> {
    any::<u64>().prop_map(Tag)
}

fn site() -> impl Strategy<Value = SiteId> {
    prop_oneof![Just(SiteId([1; 16])), Just(SiteId([2; 16])), any::<[u8; 16]>().prop_map(SiteId)]
}

fn cursor() -> impl Strategy<Value = Cursor> {
    (version(), tag()).prop_map(|(version, tag)| Cursor { version, tag })
}

fn bound() -> impl Strategy<Value = Bound> {
    (version(), tag()).prop_map(|(version, tag)| Bound { version, tag })
}

/// Two versions, the first not above the second.
fn range() -> impl Strategy<Value = (Cursor, Cursor)> {
    (cursor(), cursor()).prop_map(|(one, other)| if one.version <= other.version { (one, other) } else { (other, one) })
}

fn lineage() -> impl Strategy<Value = Lineage> {
    (site(), any::<u64>()).prop_map(|(site_id, epoch)| Lineage { site_id, epoch: Epoch(epoch) })
}

fn schema() -> impl Strategy<Value = SchemaId> {
    (text(20), any::<u32>(), any::<[u8; 16]>()).prop_map(|(name, number, digest)| SchemaId { name, number, digest })
}

fn shape() -> impl Strategy<Value = SchemaShape> {
    btree_map(text(10), (vec(text(8), 0..3), vec(text(8), 0..6)), 0..5).prop_map(|tables| {
        let table = |(name, (key, columns))| TableShape { name, key, columns };
        SchemaShape { tables: tables.into_iter().map(table).collect() }
    })
}

/// Any value but NULL: what a key may hold.
fn key_value() -> impl Strategy<Value = Value> {
    const EDGES: [i64; 13] = [0, 1, -1, 127, 128, 255, 256, 32_767, 32_768, 65_535, 65_536, i64::MIN, i64::MAX];
    prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        proptest::sample::select(&EDGES[..]).prop_map(Value::Integer),
        any::<f64>().prop_filter("NaN never occurs", |real| !real.is_nan()).prop_map(Value::Real),
        text(12).prop_map(Value::Text),
        (126..260usize).prop_map(|length| Value::Text("x".repeat(length))),
        vec(any::<u8>(), 0..12).prop_map(Value::Blob),
    ]
}

/// Any value.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 6 => key_value()]
}

/// The columns of any primary key.
pub(crate) fn key_values() -> impl Strategy<Value = Vec<Value>> {
    prop_oneof![4 => vec(key_value(), 1..4), 1 => vec(key_value(), 32)]
}

fn key() -> impl Strategy<Value = PackedKey> {
    let pack = |values: Vec<Value>| PackedKey::pack(&values).expect("a key within its limits");
    prop_oneof![(0..3i64).prop_map(move |number| pack(vec![Value::Integer(number)])), key_values().prop_map(pack)]
}

fn clock() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(1), 2 => 2..10u64, 1 => 1..=MAX_COLUMN_VERSION]
}

/// Any change that the protocol carries.
fn change() -> BoxedStrategy<Change> {
    let place = (name(), key(), name(), site());
    let clocks = (prop_oneof![8 => clock(), 1 => Just(0)], clock(), 0..=MAX_SEQUENCE);
    let parts = (place, clocks, value(), prop::bool::weighted(0.2));
    let whole = parts.prop_map(|(place, clocks, value, sentinel)| {
        let (table, key, column, site) = place;
        let (column_version, causal_length, sequence) = clocks;
        let cell = Change { table, key, column, value, column_version, causal_length, sequence, site };
        if sentinel || cell.is_sentinel() {
            Change { column: SENTINEL.into(), value: Value::Null, column_version: causal_length, ..cell }
        } else {
            cell
        }
    });
    whole.boxed()
}

/// A part's changes.
pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    vec(change(), 0..30)
}

fn part() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..10u32, 1 => 0..=MAX_RANGE_PARTS]
}

/// Any message of a client's.
pub(crate) fn client_message() -> BoxedStrategy<ClientMessage<Vec<Change>>> {
    let hello =
        ((1..=u16::MAX, any::<u64>(), site(), schema(), shape()), prop::option::of(lineage()), cursor(), bound())
            .prop_flat_map(|(first, lineage, cursor, acknowledged)| {
                (Just((first, lineage, cursor, acknowledged)), text(60), text(20))
            })
            .prop_map(|((first, lineage, cursor, acknowledged), token, agent)| {
                let (protocol, features, site, schema, shape) = first;
                Hello { protocol, features, site, schema, shape, lineage, cursor, acknowledged, token, agent }
            });
    let upload = (range(), part(), any::<[bool; 2]>(), any::<u64>(), changes()).prop_map(
        |((since, until), part, [last, offer], remaining, changes)| {
            let bound = |Cursor { version, tag }| Bound { version, tag };
            Upload { since: bound(since), until: bound(until), part, last, offer, remaining, changes }
        },
    );
    let ping = (any::<u64>(), proptest::sample::select(&StatusState::ALL[..]), any::<u64>(), cursor())
        .prop_map(|(number, state, pending, cursor)| Ping { number, state, pending, cursor });
    prop_oneof![
        hello.prop_map(ClientMessage::Hello).boxed(),
        upload.prop_map(ClientMessage::Upload).boxed(),
        (cursor(), part(), any::<bool>()).prop_map(|(until, part, last)| ClientMessage::Downloaded(Receipt {
            until,
            part,
            last
        })),
        ping.prop_map(ClientMessage::Ping),
        (any::<u64>(), scope()).prop_map(|(number, scope)| ClientMessage::Verify(Verify { number, scope })),
        fragment().prop_map(ClientMessage::Fragment),
        any::<u64>().prop_map(ClientMessage::Received),
    ]
    .boxed()
}

fn scope() -> impl Strategy<Value = DigestScope> {
    prop_oneof![
        Just(DigestScope::Tables),
        text(20).prop_map(DigestScope::Buckets),
        (text(20), any::<u8>()).prop_map(|(table, bucket)| DigestScope::Rows(table, bucket)),
    ]
}

fn digests() -> impl Strategy<Value = DigestAnswer> {
    let sums = btree_map(vec(any::<u8>(), 0..12), any::<u128>(), 0..6);
    (any::<u64>(), cursor(), prop::option::of(sums)).prop_map(|(number, at, sums)| {
        let sums = sums.map(|sums| sums.into_iter().collect());
        DigestAnswer { number, digests: Digests { at, sums } }
    })
}

fn fragment() -> impl Strategy<Value = Fragment> {
    (any::<u64>(), any::<bool>(), vec(any::<u8>(), 1..200)).prop_map(|(number, last, bytes)| Fragment {
        number,
        last,
        bytes,
    })
}

fn writer() -> impl Strategy<Value = WriterState> {
    use WriterState::{Busy, Commits, Failing, Full, ReadOnly};
    proptest::sample::select(&[Commits, Full, ReadOnly, Busy, Failing][..])
}

/// Any message of a server's.
pub(crate) fn server_message() -> BoxedStrategy<ServerMessage<Vec<Change>>> {
    let first = (1..=u16::MAX, any::<u64>(), lineage(), schema(), shape());
    let welcome = (first, cursor(), bound(), any::<(bool, bool)>(), writer()).prop_map(
        |((protocol, features, lineage, schema, shape), head, held, (cursor_known, may_write), writer)| Welcome {
            protocol,
            features,
            lineage,
            schema,
            shape,
            head,
            held,
            cursor_known,
            may_write,
            writer,
        },
    );
    let code = (1..=10u64).prop_map(|number| RefuseCode::from_number(number).expect("codes are 1 to 10"));
    let refuse = (code, text(80)).prop_map(|(code, sentence)| Refuse { code, sentence });
    let download = (range(), part(), any::<bool>(), any::<u64>(), changes()).prop_map(
        |((since, until), part, last, remaining, changes)| Download { since, until, part, last, remaining, changes },
    );
    prop_oneof![
        welcome.prop_map(ServerMessage::Welcome).boxed(),
        refuse.prop_map(ServerMessage::Refuse),
        download.prop_map(ServerMessage::Download).boxed(),
        (bound(), part(), any::<bool>()).prop_map(|(until, part, last)| ServerMessage::Uploaded(Receipt {
            until,
            part,
            last
        })),
        (any::<u64>(), cursor(), writer()).prop_map(|(number, head, writer)| ServerMessage::Pong(Pong {
            number,
            head,
            writer
        })),
        digests().prop_map(ServerMessage::Digests),
        fragment().prop_map(ServerMessage::Fragment),
        any::<u64>().prop_map(ServerMessage::Received),
    ]
    .boxed()
}
