//! Greenlight's sync protocol, version 1. This comment is its specification.
//!
//! Where in the flow: between a session and its socket. Encodes and checks frames; never acts on them.
//!
//! # Transport
//!
//! One WebSocket per client and database: `GET /{db}/sync`, subprotocol `greenlight.v1`. Every message is one binary
//! WebSocket message of at most [`MAX_FRAME_BYTES`]; its first byte is the type, the fields follow without padding.
//! Integers are `varint` (unsigned LEB128, shortest form) unless noted; `text` and `bytes` are a varint length and
//! the bytes; `tag`, `epoch` are 8 bytes little-endian; `site` is 16 bytes; `flag` is a byte, 0 or 1;
//! `mark` is `version:varint tag`; an optional is a flag and, after 1, the field; a list is a varint count and items.
//!
//! # Messages
//!
//! | type | name | from | fields | meaning |
//! |---|---|---|---|---|
//! | 1 | hello | client | `protocol features site schema shape lineage? cursor:mark acknowledged:mark token:text agent:text` | first message; who I am and where I stand |
//! | 2 | welcome | server | `protocol features lineage schema shape head:mark held:mark cursor_known:flag may_write:flag writer` | compatible; what I hold of you, and whether you may send |
//! | 3 | refuse | server | `code sentence:text` | not compatible, at any time; the server closes with 4003 |
//! | 4 | upload | client | `since:mark until:mark part last:flag offer:flag remaining body` | a part of a range of the client's own changes, or with `offer` of all it has |
//! | 5 | download | server | `since:mark until:mark part last:flag remaining body` | a part of a range of the server's history |
//! | 6 | uploaded | server | `until:mark part last:flag` | that part is committed on disk; with `last` the whole range is held |
//! | 7 | downloaded | client | `until:mark part last:flag` | that part is applied; with `last` the cursor stands at `until` |
//! | 8 | ping | client | `number:varint state pending cursor:mark` | heartbeat, with what the light shows |
//! | 9 | pong | server | `number:varint head:mark writer` | echo; my head; whether my writer can commit |
//! | 10 | verify | client | `number:varint scope` | idle and in step: what are your digests? |
//! | 11 | digests | server | `number:varint at:mark sums?` | mine at this head; without sums: not now |
//! | 12 | fragment | both | `number:varint last:flag bytes` | a piece of a message, which is complete with `last` |
//! | 13 | received | both | `number:varint` | the peer's fragment of this number was read |
//!
//! `schema := name:text number digest:16 bytes`; `shape := list of (name:text key:list of text columns:list of text)`;
//! `lineage := site epoch`; `writer` is a byte: 0 commits, 1 storage full, 2 read-only, 3 busy, 4 failing; `state` is
//! a byte: 0 disconnected, 1 connecting, 2 synced, 3 syncing, 4 stuck, 5 incompatible.
//! `scope` is a byte and more: 0 tables, 1 the buckets of `table:text`, 2 the rows of `table:text bucket:byte`;
//! `sums := list of (name:bytes sum:16 bytes big-endian)`, sorted by name; [`DigestScope`](crate::replica::DigestScope)
//! says what is named and summed.
//! `body` is described in [`EncodedChanges`]'s module. `protocol` and `features` are varints; features is a bit set
//! of which version 1 defines none: both ends use what both name.
//!
//! # Order
//!
//! The client sends hello and nothing else; the server answers with welcome or refuse. Then both directions are
//! independent. In each direction ranges follow one another and never mix; a range's parts are numbered from 0 without
//! a gap and carry the same `since` and `until`; at most [`WINDOW_PARTS`] parts are sent ahead of their receipts
//! (`uploaded`, `downloaded`), which come in the order of the parts. An upload begins only after the one before is
//! held; a download may follow at once. After the welcome the client sends one upload, even an empty one, with a fresh
//! tag; the server sends one download, even an empty one. Only then has data been exchanged both ways.
//!
//! An upload's `since` is at most what the server holds; a download's `since` is the client's cursor. A receiver
//! that sees a gap, a wrong part or a range that does not follow closes with 4002. Nothing is lost by it: cursor and
//! acknowledgement move only with a committed last part, and a part applied twice changes nothing.
//!
//! # Fragments
//!
//! On a slow line a heartbeat must not wait behind a large message. So an upload, a download or digests of more than
//! [`PLAIN_FRAME_BYTES`] are sent in fragments, with other messages in between; those three keep their order among
//! each other. Either end numbers its fragments from 0 on each connection. A fragment is answered with its receipt as
//! soon as it is read, and of a sender's no more than it chooses are without one: it sends more while receipts come
//! early ([`EARLY_RECEIPT`]), less when they come late ([`LATE_RECEIPT`]). A receiver that sees a gap, or fragments
//! before the welcome, closes with 4002; with 4001, where the message that they make up is larger than
//! [`MAX_FRAME_BYTES`], or itself a fragment or a receipt of one.
//!
//! # Verifying
//!
//! A client that is in step may ask for digests, one question at a time, and asks again, deeper, where they differ
//! from its own. An answer counts where `at` is the client's cursor and the client has nothing pending. Digests leave
//! out who wrote a cell, its version and sequence here, and markers of rows that were never deleted: sites that agree
//! may differ in those.
//!
//! # Versions
//!
//! `protocol` in hello is the highest the client speaks. The server answers in the highest both speak, or refuses
//! with code 1. A message type or a field that a version does not define is a malformed frame.
//!
//! # Close codes
//!
//! See [`CloseCode`].

mod changes;
mod frames;
mod messages;
mod wire;

pub use changes::{ChangesEncoder, EncodedChanges};
pub(crate) use frames::{encode_fragment, encode_received, is_about_fragments};
pub use messages::{
    ClientMessage, DigestAnswer, Download, Fragment, Hello, Ping, Pong, Receipt, Refuse, ServerMessage, Upload, Verify,
    Welcome,
};
pub use wire::WireError;

#[cfg(doc)]
use crate::limits::{EARLY_RECEIPT, LATE_RECEIPT, MAX_FRAME_BYTES, PLAIN_FRAME_BYTES, WINDOW_PARTS};

/// The version of this protocol.
pub const PROTOCOL: u16 = 1;

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "greenlight.v1";

/// Why a server refuses; sent in `refuse`, kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefuseCode {
    /// 1: no common protocol version.
    Protocol,
    /// 2: the client's schema is older and not additive to the server's: update the app.
    SchemaOlder,
    /// 3: the client's schema is newer: the server is older.
    SchemaNewer,
    /// 4: another schema, or the same number with another structure.
    SchemaDiffers,
    /// 5: the database is not the one that the client followed (reset or rebuilt).
    Lineage,
    /// 6: the token is missing, unknown, expired or revoked.
    Unauthorized,
    /// 7: the token is good but its role does not allow this.
    Forbidden,
    /// 8: there is no database of that name, and none may be created.
    UnknownDatabase,
    /// 9: another connection with the same site id took over.
    Superseded,
    /// 10: the database can't be opened.
    Unavailable,
}

impl RefuseCode {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::Protocol,
        Self::SchemaOlder,
        Self::SchemaNewer,
        Self::SchemaDiffers,
        Self::Lineage,
        Self::Unauthorized,
        Self::Forbidden,
        Self::UnknownDatabase,
        Self::Superseded,
        Self::Unavailable,
    ];

    /// Whether it says that the two databases can't be reconciled, rather than that something has to be put right.
    pub fn is_incompatible(self) -> bool {
        use RefuseCode::{Lineage, Protocol, SchemaDiffers, SchemaNewer, SchemaOlder};
        matches!(self, Protocol | SchemaOlder | SchemaNewer | SchemaDiffers | Lineage)
    }

    /// Its word in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::SchemaOlder => "schema_older",
            Self::SchemaNewer => "schema_newer",
            Self::SchemaDiffers => "schema_differs",
            Self::Lineage => "lineage",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::UnknownDatabase => "unknown_database",
            Self::Superseded => "superseded",
            Self::Unavailable => "unavailable",
        }
    }

    /// The number on the wire.
    pub fn number(self) -> u64 {
        Self::ALL.iter().position(|&code| code == self).map_or(0, |index| index as u64 + 1)
    }

    /// The code of a number on the wire.
    pub fn from_number(number: u64) -> Option<Self> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        Self::ALL.get(index).copied()
    }
}

/// Whether the server's writer can commit, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum WriterState {
    /// It committed within the last heartbeat.
    #[default]
    Commits,
    /// The disk is full.
    Full,
    /// The file or its file system is read-only.
    ReadOnly,
    /// Another process holds the lock.
    Busy,
    /// Any other failure.
    Failing,
}

impl WriterState {
    const ALL: [Self; 5] = [Self::Commits, Self::Full, Self::ReadOnly, Self::Busy, Self::Failing];

    fn number(self) -> u8 {
        Self::ALL.iter().position(|&state| state == self).map_or(4, |index| index as u8)
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// The WebSocket close codes in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: done, by the will of the side that closes.
    Normal,
    /// 1001: the server stops, or the page goes.
    GoingAway,
    /// 1009: a frame above the limit.
    TooBig,
    /// 4001: a frame that cannot be decoded.
    Malformed,
    /// 4002: a message that is not allowed now: a gap, a wrong part, a second hello.
    OutOfOrder,
    /// 4003: refused; the refusal went before.
    Refused,
    /// 4004: no word from the peer for too long.
    Idle,
    /// 4005: this end's database failed; try again.
    StoreFailed,
    /// 4006: too many connections, too slow a reader, or another process holds the database; try again later.
    Overloaded,
}

impl CloseCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::TooBig => 1009,
            Self::Malformed => 4001,
            Self::OutOfOrder => 4002,
            Self::Refused => 4003,
            Self::Idle => 4004,
            Self::StoreFailed => 4005,
            Self::Overloaded => 4006,
        }
    }
}
