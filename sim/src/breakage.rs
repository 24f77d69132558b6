//! Builds broken on purpose: each defect that the checks are there for, put in front of the real thing.
//!
//! Where in the flow: between drivers and stores or sessions, only when a run asks for it. Production code has none
//! of this: nothing there can be switched to be wrong.

use greenlight_core::change::Change;
use greenlight_core::protocol::{ClientMessage, EncodedChanges, Pong, ServerMessage, WriterState};
use greenlight_core::replica::{
    Applied, Chunk, ClientState, ClientStore, DigestPage, DigestScope, DownloadPart, Fault, FaultKind, Outbox,
    ReadPosition, ReadRequest, UploadPlan,
};
use greenlight_core::{Bound, Cursor, Lineage, PackedKey};
use rusqlite::Connection;

use crate::content;
use crate::stores::{ClientMachine, Committed, ServerMachine};
use crate::workload::TABLES;

/// What is wrong with a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// The server acknowledges a part when it is queued, not when it is on disk.
    AcknowledgedBeforeCommit,
    /// A client's cursor moves in a transaction before the one that holds what it covers.
    CursorBeforeApply,
    /// A client counts a part as applied without applying it.
    PartLost,
    /// A commit of the server takes the version of the one before.
    VersionReusedByServer,
    /// A local write takes a version that is acknowledged already.
    VersionReusedByClient,
    /// The heartbeat does not say what the server has.
    HeartbeatWithoutHead,
    /// The heartbeat says that the writer can commit, whatever it did.
    HeartbeatWithoutWriter,
    /// The pending count is what was not sent, rather than what was not acknowledged.
    PendingFromSent,
    /// The light does not need an echo.
    EchoIgnored,
    /// A cursor is known by its number, whatever its tag.
    TagIgnored,
    /// Rows' markers do not travel, so deletions don't either.
    SentinelDropped,
    /// A client takes any bound for one that it sent, so a copy never notices that it is one.
    TwinUnnoticed,
    /// The first range of a connection leaves out what the same site brought on another.
    TwinFilteredOut,
    /// A client forgets that it has more than its cursor says, when the server comes back from a backup.
    TornRangeForgotten,
}

impl Breakage {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::AcknowledgedBeforeCommit,
        Self::CursorBeforeApply,
        Self::PartLost,
        Self::VersionReusedByServer,
        Self::VersionReusedByClient,
        Self::HeartbeatWithoutHead,
        Self::HeartbeatWithoutWriter,
        Self::PendingFromSent,
        Self::EchoIgnored,
        Self::TagIgnored,
        Self::SentinelDropped,
        Self::TwinUnnoticed,
        Self::TwinFilteredOut,
        Self::TornRangeForgotten,
    ];
}

/// What a broken client remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// The bound that was sent last.
    sent: i64,
    /// The head that the server announced last.
    head: Cursor,
}

/// A client's database, with the defect in front where there is one.
pub(crate) struct BrokenClient<'a> {
    pub(crate) database: &'a mut dyn ClientMachine,
    pub(crate) breakage: Option<Breakage>,
    pub(crate) memory: &'a mut Memory,
    /// The process ends within this request.
    pub(crate) crashes: bool,
}

impl BrokenClient<'_> {
    fn is(&self, breakage: Breakage) -> bool {
        self.breakage == Some(breakage)
    }

    fn counted(&mut self, mut outbox: Outbox) -> Result<Outbox, Fault> {
        count_unsent(self.breakage, self.database, self.memory, &mut outbox).map_err(|error| internal(&error))?;
        Ok(outbox)
    }
}

impl ClientStore for BrokenClient<'_> {
    fn load(&mut self) -> Result<ClientState, Fault> {
        let state = self.database.load()?;
        Ok(ClientState { outbox: self.counted(state.outbox)?, ..state })
    }

    fn outbox(&mut self) -> Result<Outbox, Fault> {
        let outbox = self.database.outbox()?;
        self.counted(outbox)
    }

    fn adopt(&mut self, lineage: Lineage, held: Bound, may_write: bool) -> Result<(), Fault> {
        if self.is(Breakage::TornRangeForgotten)
            && let Some(database) = self.database.real()
        {
            let forget = "UPDATE greenlight_state SET value = 0 WHERE key = 'torn'";
            database.connection().execute(forget, []).map_err(|error| internal(&error))?;
        }
        self.database.adopt(lineage, held, may_write)
    }

    fn was_sent(&mut self, bound: Bound) -> Result<bool, Fault> {
        let sent = self.database.was_sent(bound)?;
        Ok(sent || self.is(Breakage::TwinUnnoticed))
    }

    fn forget_cursor(&mut self) -> Result<(), Fault> {
        self.database.forget_cursor()
    }

    fn become_new_site(&mut self) -> Result<(), Fault> {
        self.database.become_new_site()
    }

    fn begin_upload(&mut self) -> Result<UploadPlan, Fault> {
        let plan = self.database.begin_upload()?;
        self.memory.sent = plan.until.version.to_sql();
        Ok(plan)
    }

    fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault> {
        self.database.read(request)
    }

    fn acknowledge(&mut self, bound: Bound) -> Result<Outbox, Fault> {
        let outbox = self.database.acknowledge(bound)?;
        self.counted(outbox)
    }

    fn apply(&mut self, part: &DownloadPart) -> Result<(Applied, Outbox), Fault> {
        let (applied, outbox) = if self.is(Breakage::PartLost) && !part.last {
            (Applied::default(), self.database.outbox()?)
        } else if self.is(Breakage::CursorBeforeApply) && part.last && !part.changes.is_empty() {
            let moved = self.database.apply(&DownloadPart { changes: Vec::new(), ..part.clone() })?;
            if self.crashes {
                moved
            } else {
                self.database.apply(&DownloadPart { since: part.until, last: false, ..part.clone() })?
            }
        } else {
            self.database.apply(part)?
        };
        Ok((applied, self.counted(outbox)?))
    }

    fn digest(&mut self, scope: &DigestScope, after: Option<&ReadPosition>) -> Result<DigestPage, Fault> {
        self.database.digest(scope, after)
    }

    fn probe(&mut self) -> Result<(), Fault> {
        self.database.probe()
    }

    fn rewrite(&mut self, rows: &[(String, PackedKey)]) -> Result<Outbox, Fault> {
        let outbox = self.database.rewrite(rows)?;
        self.counted(outbox)
    }
}

fn internal(error: &rusqlite::Error) -> Fault {
    Fault { kind: FaultKind::Internal, message: error.to_string() }
}

fn count_unsent(
    breakage: Option<Breakage>,
    database: &mut dyn ClientMachine,
    memory: &Memory,
    outbox: &mut Outbox,
) -> rusqlite::Result<()> {
    if breakage == Some(Breakage::PendingFromSent)
        && let Some(database) = database.real()
    {
        outbox.changes = outbox.changes.min(content::own_above(database.connection(), memory.sent)?);
    }
    Ok(())
}

/// What a broken client does to its own write, after the oracle has seen it.
pub(crate) fn after_local_commit(
    breakage: Option<Breakage>,
    database: &mut dyn ClientMachine,
    before: i64,
    memory: &Memory,
    outbox: &mut Outbox,
) -> rusqlite::Result<()> {
    count_unsent(breakage, database, memory, outbox)?;
    if breakage == Some(Breakage::VersionReusedByClient)
        && let Some(database) = database.real()
    {
        let conn = database.connection();
        let acknowledged = content::state_number(conn, "acknowledged_version")?;
        if acknowledged > 0 {
            renumber(conn, before, acknowledged)?;
            outbox.changes = content::own_above(conn, acknowledged)?;
        }
    }
    Ok(())
}

/// What a broken server does to its own commit.
pub(crate) fn reuse_server_version(database: &mut dyn ServerMachine, committed: &Committed) -> rusqlite::Result<()> {
    let Some(database) = database.real() else { return Ok(()) };
    let before = committed.before;
    if before == committed.head || before == Cursor::ZERO {
        return Ok(());
    }
    let conn = database.connection();
    renumber(conn, before.version.to_sql(), before.version.to_sql())?;
    conn.execute("DELETE FROM greenlight_tag WHERE version = ?1", [committed.head.version.to_sql()])?;
    let set = "UPDATE greenlight_state SET value = ?2 WHERE key = ?1";
    conn.execute(set, ("head_version", before.version.to_sql()))?;
    conn.execute(set, ("head_tag", before.tag.to_sql())).map(drop)
}

fn renumber(conn: &Connection, above: i64, version: i64) -> rusqlite::Result<()> {
    for table in &TABLES {
        let sql = format!("UPDATE {}__crsql_clock SET db_version = ?2 WHERE db_version > ?1", table.name);
        conn.execute(&sql, [above, version])?;
    }
    Ok(())
}

/// Leaves rows' markers out of a page.
pub(crate) fn drop_sentinels(chunk: &mut Chunk) {
    if let Ok(changes) = chunk.changes.decode() {
        let kept: Vec<Change> = changes.into_iter().filter(|change| !change.is_sentinel()).collect();
        chunk.changes = EncodedChanges::from_changes(&kept);
    }
}

/// A message of the server, as a broken one says it.
pub(crate) fn of_server(breakage: Option<Breakage>, frame: Vec<u8>) -> Vec<u8> {
    let says: fn(Pong) -> Pong = match breakage {
        Some(Breakage::HeartbeatWithoutHead) => |pong| Pong { head: Cursor::ZERO, ..pong },
        Some(Breakage::HeartbeatWithoutWriter) => |pong| Pong { writer: WriterState::Commits, ..pong },
        _ => return frame,
    };
    match ServerMessage::decode(&frame) {
        Ok(ServerMessage::Pong(pong)) => pong_frame(says(pong)),
        _ => frame,
    }
}

/// A message to a client, as a broken one hears it.
pub(crate) fn to_client(breakage: Option<Breakage>, memory: &mut Memory, frame: Vec<u8>) -> Option<Vec<u8>> {
    if breakage == Some(Breakage::EchoIgnored)
        && let Ok(ServerMessage::Pong(pong)) = ServerMessage::decode(&frame)
    {
        memory.head = pong.head;
        return None;
    }
    Some(frame)
}

/// The echo that a broken client takes for granted.
pub(crate) fn own_echo(breakage: Option<Breakage>, memory: &Memory, frame: &[u8]) -> Option<Vec<u8>> {
    if breakage == Some(Breakage::EchoIgnored)
        && let Ok(ClientMessage::Ping(ping)) = ClientMessage::decode(frame)
    {
        let writer = WriterState::Commits;
        return Some(pong_frame(Pong { number: ping.number, head: memory.head, writer }));
    }
    None
}

fn pong_frame(pong: Pong) -> Vec<u8> {
    ServerMessage::<EncodedChanges>::Pong(pong).encode()
}
