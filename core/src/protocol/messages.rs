//! The messages and their fields.
//!
//! Where in the flow: made and taken by the sessions. How they are spelt on the wire is in `frames`.

use super::{RefuseCode, WriterState};
use crate::position::{Bound, Cursor, Lineage, SiteId};
use crate::replica::{DigestScope, Digests};
use crate::schema::{SchemaId, SchemaShape};
use crate::status::StatusState;

#[cfg(doc)]
use super::EncodedChanges;

/// The client's first message.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// The highest protocol version that the client speaks.
    pub protocol: u16,
    /// Optional features, a bit set; version 1 defines none.
    pub features: u64,
    /// The client's site id.
    pub site: SiteId,
    /// The client's schema.
    pub schema: SchemaId,
    /// Its shape.
    pub shape: SchemaShape,
    /// The server lineage that the client remembers, if any.
    pub lineage: Option<Lineage>,
    /// Where the client stands in that lineage.
    pub cursor: Cursor,
    /// What that lineage acknowledged.
    pub acknowledged: Bound,
    /// The token, empty where none is needed. Never printed.
    pub token: String,
    /// The app's name and version, for the operator's eyes.
    pub agent: String,
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello")
            .field("protocol", &self.protocol)
            .field("site", &self.site)
            .field("schema", &(&self.schema.name, self.schema.number))
            .field("lineage", &self.lineage)
            .field("cursor", &self.cursor)
            .field("acknowledged", &self.acknowledged)
            .finish_non_exhaustive()
    }
}

/// The server's answer to a hello that it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both will speak.
    pub protocol: u16,
    /// The features that both have.
    pub features: u64,
    /// The server database's lineage.
    pub lineage: Lineage,
    /// Its schema.
    pub schema: SchemaId,
    /// Its shape.
    pub shape: SchemaShape,
    /// Its head.
    pub head: Cursor,
    /// What it holds of this client.
    pub held: Bound,
    /// Whether the client's cursor is a place in its history.
    pub cursor_known: bool,
    /// Whether the token allows the client to send changes.
    pub may_write: bool,
    /// Whether its writer can commit.
    pub writer: WriterState,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// Why.
    pub code: RefuseCode,
    /// The same for a person; names the table and column that differ.
    pub sentence: String,
}

/// A part of a client's range; `C` is [`EncodedChanges`] when sent and `Vec<Change>` when received.
#[derive(Clone, Debug, PartialEq)]
pub struct Upload<C> {
    /// The bound that the range follows.
    pub since: Bound,
    /// The bound that it reaches.
    pub until: Bound,
    /// The part's number, from 0.
    pub part: u32,
    /// Whether it is the range's last.
    pub last: bool,
    /// Whether it offers changes of every site.
    pub offer: bool,
    /// Changes of the range that are left after this part.
    pub remaining: u64,
    /// The changes.
    pub changes: C,
}

/// A part of a server's range; `C` as in [`Upload`].
#[derive(Clone, Debug, PartialEq)]
pub struct Download<C> {
    /// The cursor that the range follows.
    pub since: Cursor,
    /// The cursor that it reaches.
    pub until: Cursor,
    /// The part's number, from 0.
    pub part: u32,
    /// Whether it is the range's last.
    pub last: bool,
    /// Changes of the range that are left after this part.
    pub remaining: u64,
    /// The changes.
    pub changes: C,
}

/// The receipt of a part; `P` is [`Bound`] for uploads and [`Cursor`] for downloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt<P> {
    /// Where the part's range ends.
    pub until: P,
    /// The part's number.
    pub part: u32,
    /// Whether it was the range's last.
    pub last: bool,
}

/// The client's heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Counts up from a random start, over all connections of a process: no two pings have the same.
    pub number: u64,
    /// What the light shows.
    pub state: StatusState,
    /// How many own changes are not acknowledged.
    pub pending: u64,
    /// Where the client stands.
    pub cursor: Cursor,
}

/// The server's heartbeat: at once after each ping, and once more whenever its word on the writer changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The number of the ping that it answers, the last one.
    pub number: u64,
    /// The server's head when it was sent.
    pub head: Cursor,
    /// Whether its writer can commit.
    pub writer: WriterState,
}

/// A client's question for digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// Comes back with the answer.
    pub number: u64,
    /// Of what.
    pub scope: DigestScope,
}

/// A server's answer to [`Verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestAnswer {
    /// The question's number.
    pub number: u64,
    /// The digests.
    pub digests: Digests,
}

/// A piece of a message that is too large to be sent at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Counts fragments of its sender on a connection, from 0.
    pub number: u64,
    /// Whether the message is complete with it.
    pub last: bool,
    /// Its bytes: at least one, at most [`FRAGMENT_BYTES`](crate::limits::FRAGMENT_BYTES).
    pub bytes: Vec<u8>,
}

/// What a client sends; `C` as in [`Upload`].
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage<C> {
    /// See [`Hello`].
    Hello(Hello),
    /// See [`Upload`].
    Upload(Upload<C>),
    /// A receipt of a download's part.
    Downloaded(Receipt<Cursor>),
    /// See [`Ping`].
    Ping(Ping),
    /// See [`Verify`].
    Verify(Verify),
    /// See [`Fragment`].
    Fragment(Fragment),
    /// The server's fragment of this number was received.
    Received(u64),
}

/// What a server sends; `C` as in [`Upload`].
#[derive(Clone, Debug, PartialEq)]
pub enum ServerMessage<C> {
    /// See [`Welcome`].
    Welcome(Welcome),
    /// See [`Refuse`].
    Refuse(Refuse),
    /// See [`Download`].
    Download(Download<C>),
    /// A receipt of an upload's part: it is on disk.
    Uploaded(Receipt<Bound>),
    /// See [`Pong`].
    Pong(Pong),
    /// See [`DigestAnswer`].
    Digests(DigestAnswer),
    /// See [`Fragment`].
    Fragment(Fragment),
    /// The client's fragment of this number was received.
    Received(u64),
}
