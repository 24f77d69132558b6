//! What sessions ask of a database: requests, answers, faults, and the two traits that stores implement.
//!
//! Where in the flow: a session hands out a request as an output, its driver carries it out on a store (on the
//! writer's thread, on a reader's, or on the spot) and hands the answer back. Never holds SQL.
//!
//! The traits are synchronous, since SQLite is; drivers choose the thread.

use std::sync::Arc;

use thiserror::Error;

use crate::change::Change;
use crate::key::PackedKey;
use crate::position::{Bound, Cursor, Lineage, SiteId, Version};
use crate::protocol::EncodedChanges;
use crate::schema::{SchemaId, SchemaShape};

/// What kind of fault a store met; decides what the light shows and whether a retry helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The disk or the browser's quota is full.
    Full,
    /// The file or its file system refuses writes.
    ReadOnly,
    /// Another process holds the lock for longer than the busy timeout.
    Busy,
    /// The file is not a sound database.
    Corrupt,
    /// Any other input or output error.
    Io,
    /// The server said that this database may only be read.
    Forbidden,
    /// The request does not follow what the store holds (a cursor moved meanwhile, a range leaves a gap).
    OutOfOrder,
    /// Anything else: a defect.
    Internal,
}

/// A store could not do what it was asked; nothing of the request was done.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Fault {
    /// What kind of fault.
    pub kind: FaultKind,
    /// SQLite's or the store's own sentence; never a path of the machine.
    pub message: String,
}

/// Whose changes a read returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Author {
    /// Everyone's: a fan-out frame, or an offer after a fork.
    Any,
    /// The database's own: an upload.
    Own,
    /// Everyone's but this site's: what a client gets that wrote a part itself.
    Except(SiteId),
}

/// Where a paged read goes on, within the version that the last page ended in. Only the store looks inside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadPosition {
    /// Every version below is done; within this one, everything up to the place below.
    pub version: Version,
    /// The table within the version, in the store's order.
    pub table: Arc<str>,
    /// cr-sqlite's internal number of the row's key.
    pub key: i64,
    /// The column within the row.
    pub column: Arc<str>,
}

/// One page of a range of versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadRequest {
    /// Exclusive lower end of the range.
    pub since: Version,
    /// Inclusive upper end; `None` on a download's first page: the head in the snapshot that is read.
    pub until: Option<Cursor>,
    /// Where to go on; `None` on the first page.
    pub after: Option<ReadPosition>,
    /// Whose changes.
    pub author: Author,
}

/// One page of a range, encoded. Pages of one range may be read in different snapshots: a cell that is written
/// again meanwhile moves above `until` and travels with a later range.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The range's upper end; the head with its tag where the request left it open.
    pub until: Cursor,
    /// The changes, at most [`crate::limits::MAX_PART_CHANGES`]; closed once at
    /// [`crate::limits::PART_TARGET_BYTES`].
    pub changes: EncodedChanges,
    /// Where the next page goes on; `None` when this one ends the range.
    pub next: Option<ReadPosition>,
    /// How many changes of the range are left after this page.
    pub remaining: u64,
}

/// What digests are asked of. Each level tells where to look on the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DigestScope {
    /// Each table; named by its name.
    Tables,
    /// The 256 buckets of a table's rows; named by their byte. A row's bucket is the first byte of SHA-256 of its key.
    Buckets(String),
    /// The rows of one bucket; named by their packed key.
    Rows(String, u8),
}

/// The sum of the digests of cells, each the first 16 bytes of a SHA-256, as a number. Sums of parts add up, in any
/// order: the wrapping addition of numbers of 128 bits.
pub type DigestSum = u128;

/// A piece of the work of digesting.
#[derive(Clone, Debug)]
pub struct DigestPage {
    /// Sums by name, as [`DigestScope`] says, to be added to those of the pages before.
    pub sums: Vec<(Vec<u8>, DigestSum)>,
    /// Where the next page goes on; `None` when this is the last.
    pub next: Option<ReadPosition>,
}

/// What a server database's digests are, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// The head at that moment.
    pub at: Cursor,
    /// Sums by name, sorted; `None` where there are more than [`crate::limits::MAX_DIGESTS`], or no time for them.
    pub sums: Option<Vec<(Vec<u8>, DigestSum)>>,
}

/// Rows that differ from the server's, by table and packed key; at most [`crate::limits::MAX_DIVERGED_ROWS`].
pub type DivergedRows = Vec<(String, PackedKey)>;

/// What is waiting to be acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// The largest version of an own change, or zero.
    pub head: Version,
    /// Own changes (`crsql_changes` rows) above the acknowledgement.
    pub changes: u64,
    /// About how many bytes they are: keys and values.
    pub bytes: u64,
    /// When the oldest of them was written, milliseconds since 1970.
    pub oldest_ms: Option<i64>,
    /// Incoming changes that could not be applied and wait for a person.
    pub quarantined: u64,
    /// Incoming changes to tables and columns that this schema does not have yet.
    pub held_aside: u64,
    /// Incoming changes that could not be applied and that a person has left out.
    pub left_out: u64,
}

/// What a client's session starts from: read at its start, and again after anything that changes the identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientState {
    /// This database's site id.
    pub site_id: SiteId,
    /// Its schema.
    pub schema: SchemaId,
    /// Its schema's shape.
    pub shape: SchemaShape,
    /// The server lineage that cursor and acknowledgement belong to; `None` before the first welcome.
    pub lineage: Option<Lineage>,
    /// What of the server's history is here.
    pub cursor: Cursor,
    /// Which own changes are on the server's disk.
    pub acknowledged: Bound,
    /// Whether the server last said that this client may only read.
    pub read_only: bool,
    /// What is waiting.
    pub outbox: Outbox,
}

/// What a client's session asks of its store, one request at a time.
#[derive(Clone, Debug)]
pub enum StoreRequest {
    /// [`ClientStore::load`].
    Load,
    /// [`ClientStore::was_sent`].
    WasSent(Bound),
    /// [`ClientStore::adopt`].
    Adopt(Lineage, Bound, bool),
    /// [`ClientStore::forget_cursor`].
    ForgetCursor,
    /// [`ClientStore::become_new_site`].
    BecomeNewSite,
    /// [`ClientStore::begin_upload`].
    BeginUpload,
    /// [`ClientStore::read`].
    Read(ReadRequest),
    /// [`ClientStore::acknowledge`].
    Acknowledge(Bound),
    /// [`ClientStore::apply`].
    Apply(DownloadPart),
    /// [`ClientStore::digest`].
    Digest(DigestScope, Option<ReadPosition>),
    /// [`ClientStore::rewrite`].
    Rewrite(DivergedRows),
    /// [`ClientStore::probe`].
    Probe,
}

/// A store's answer to a [`StoreRequest`].
#[derive(Clone, Debug)]
pub enum StoreReply {
    /// To load.
    Loaded(Box<ClientState>),
    /// To was-sent.
    WasSent(bool),
    /// To adopt, forget-cursor and become-new-site.
    Done,
    /// To begin-upload.
    Begun(UploadPlan),
    /// To read.
    Chunk(Chunk),
    /// To acknowledge.
    Acknowledged(Outbox),
    /// To apply.
    Applied(Applied, Outbox),
    /// To digest.
    Digest(DigestPage),
    /// To rewrite.
    Rewritten(Outbox),
    /// To probe.
    Probed,
    /// To any: nothing was done.
    Failed(Fault),
}

/// Carries out a request on a store.
pub fn perform(store: &mut impl ClientStore, request: StoreRequest) -> StoreReply {
    let done = |()| StoreReply::Done;
    match request {
        StoreRequest::Load => store.load().map(|state| StoreReply::Loaded(Box::new(state))),
        StoreRequest::WasSent(bound) => store.was_sent(bound).map(StoreReply::WasSent),
        StoreRequest::Adopt(lineage, held, may_write) => store.adopt(lineage, held, may_write).map(done),
        StoreRequest::ForgetCursor => store.forget_cursor().map(done),
        StoreRequest::BecomeNewSite => store.become_new_site().map(done),
        StoreRequest::BeginUpload => store.begin_upload().map(StoreReply::Begun),
        StoreRequest::Read(request) => store.read(&request).map(StoreReply::Chunk),
        StoreRequest::Acknowledge(bound) => store.acknowledge(bound).map(StoreReply::Acknowledged),
        StoreRequest::Digest(scope, after) => store.digest(&scope, after.as_ref()).map(StoreReply::Digest),
        StoreRequest::Probe => store.probe().map(|()| StoreReply::Probed),
        StoreRequest::Rewrite(rows) => store.rewrite(&rows).map(StoreReply::Rewritten),
        StoreRequest::Apply(part) => store.apply(&part).map(|(applied, outbox)| StoreReply::Applied(applied, outbox)),
    }
    .unwrap_or_else(StoreReply::Failed)
}

/// An upload that was begun: its bound's tag is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadPlan {
    /// The acknowledged bound that it follows.
    pub since: Bound,
    /// The bound that it reaches.
    pub until: Bound,
    /// Whether it offers every change of every site (after a fork) and not only own ones above `since`.
    pub offer: bool,
    /// The request of its first page.
    pub read: ReadRequest,
}

/// A part of the server's range, to be applied on a client.
#[derive(Clone, Debug)]
pub struct DownloadPart {
    /// The cursor that the range follows; the store's cursor must equal it, else [`FaultKind::OutOfOrder`].
    pub since: Cursor,
    /// Where the range ends.
    pub until: Cursor,
    /// Whether this is its last part: then the cursor moves to `until` in the same transaction.
    pub last: bool,
    /// The changes.
    pub changes: Vec<Change>,
}

/// A part of a client's range, to be applied on a server.
#[derive(Clone, Debug)]
pub struct UploadPart {
    /// The client.
    pub site: SiteId,
    /// The bound that the range follows: at most what the server holds of this client, else
    /// [`FaultKind::OutOfOrder`].
    pub since: Version,
    /// Where the range ends.
    pub until: Bound,
    /// Whether this is its last part: then the server holds `until`, from the same transaction on.
    pub last: bool,
    /// The changes.
    pub changes: Vec<Change>,
}

/// What became of an applied part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Changes that could not be applied and were quarantined, in the same transaction.
    pub quarantined: u64,
    /// Changes to unknown tables or columns that were held aside, in the same transaction.
    pub held_aside: u64,
}

/// What a server database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// Its lineage.
    pub lineage: Lineage,
    /// Its schema.
    pub schema: SchemaId,
    /// Its schema's shape.
    pub shape: SchemaShape,
    /// Its head: the largest version over all sites, with its tag; never falls.
    pub head: Cursor,
}

/// What a server database knows of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerFacts {
    /// Up to where it holds the client's own changes, with the tag that the client sent; zero if never seen.
    pub held: Bound,
    /// Whether the client's cursor is a place in this database's history.
    pub cursor_known: bool,
}

/// What a client's session asks of its database.
pub trait ClientStore {
    /// Everything a session starts from.
    ///
    /// # Errors
    /// Any [`Fault`]; nothing was changed. The same holds for every method here.
    fn load(&mut self) -> Result<ClientState, Fault>;

    /// What is waiting, after a local commit.
    fn outbox(&mut self) -> Result<Outbox, Fault>;

    /// Remembers the server's lineage, and takes `held`, a bound this client sent, as the acknowledgement: lower
    /// than before after a restore of the server, higher when an acknowledgement was lost on its way. Unless it
    /// `may_write`, the app's writes are refused from now on, until another adoption, and nothing is offered.
    fn adopt(&mut self, lineage: Lineage, held: Bound, may_write: bool) -> Result<(), Fault>;

    /// Whether this client ever sent `bound`. [`Bound::ZERO`] always counts as sent.
    fn was_sent(&mut self, bound: Bound) -> Result<bool, Fault>;

    /// Sets the cursor to zero, since the server's history is not the one that was followed, and notes durably that
    /// the next upload must offer every change of every site, until such an offer is acknowledged.
    fn forget_cursor(&mut self) -> Result<(), Fault>;

    /// Becomes another site: the old id moves to a new ordinal with its clocks up to the acknowledged bound, later
    /// own changes stay own and pending; cursor and acknowledgement go to zero.
    fn become_new_site(&mut self) -> Result<(), Fault>;

    /// Chooses the bound of the next upload, the own head, and stores a fresh random tag for it durably. It is an
    /// offer of everything while [`ClientStore::forget_cursor`]'s note stands.
    fn begin_upload(&mut self) -> Result<UploadPlan, Fault>;

    /// Reads a page.
    fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault>;

    /// Records the acknowledgement of the upload begun last; of an offer, its note is cleared in the same transaction.
    fn acknowledge(&mut self, bound: Bound) -> Result<Outbox, Fault>;

    /// Applies a part, and with the last one moves the cursor, in one transaction.
    fn apply(&mut self, part: &DownloadPart) -> Result<(Applied, Outbox), Fault>;

    /// Digests the entries behind `after`, at most [`crate::limits::DIGEST_PAGE_CHANGES`] of them.
    fn digest(&mut self, scope: &DigestScope, after: Option<&ReadPosition>) -> Result<DigestPage, Fault>;

    /// Writes the cells of these rows again as they are, as a local write with higher column versions: the last
    /// remedy for values that cr-sqlite takes for equal and that are not (5 and 5.0).
    fn rewrite(&mut self, rows: &[(String, PackedKey)]) -> Result<Outbox, Fault>;

    /// A real, durable commit, to prove that it can.
    fn probe(&mut self) -> Result<(), Fault>;
}

/// What a server's sessions ask of their database.
pub trait ServerStore {
    /// What this database is.
    ///
    /// # Errors
    /// Any [`Fault`]; nothing was changed. The same holds for every method here.
    fn facts(&mut self) -> Result<ServerFacts, Fault>;

    /// What it knows of a client.
    fn peer(&mut self, site: SiteId, cursor: Cursor) -> Result<PeerFacts, Fault>;

    /// Reads a page.
    fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault>;

    /// Applies parts as one transaction, each in a savepoint of its own, and commits durably. The outer error
    /// means that nothing was committed; an inner one that this part was not.
    fn apply(&mut self, parts: &[UploadPart]) -> Result<Vec<Result<Applied, Fault>>, Fault>;

    /// Digests everything of a scope, in one snapshot.
    fn digest(&mut self, scope: &DigestScope) -> Result<Digests, Fault>;
}
