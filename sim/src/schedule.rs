//! A schedule: everything that will happen, with its numbers, drawn from a seed before anything runs.
//!
//! Where in the flow: generated first, run by the world, thinned out by the shrinker. Each step carries all that it
//! needs, so that a schedule stays meaningful when others are left out.

mod generate;

pub use generate::generate;

use crate::workload::Write;

/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// What it was drawn from; also seeds delays, site ids and tags.
    pub seed: u64,
    /// How many clients there are at the start.
    pub clients: usize,
    /// A part is full at this many bytes.
    pub part_bytes: usize,
    /// Whether pages are read for everyone and served to all, as a fan-out does.
    pub shared_pages: bool,
    /// Whether the network's end is told to everyone when it heals; else half-open sockets have to be noticed.
    pub heals_loudly: bool,
    /// What happens.
    pub steps: Vec<Timed>,
}

/// A step and when it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Milliseconds after the step before.
    pub after_ms: u64,
    /// What happens.
    pub step: Step,
}

/// One step. `client` is taken modulo the number of clients, which twins raise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are described with each step")]
pub enum Step {
    /// Nothing but time passing.
    Wait,
    /// A client writes, all in one transaction.
    Write { client: usize, writes: Vec<Write> },
    /// The server's own app writes.
    Exec { writes: Vec<Write> },
    /// Another process writes into the server's file; noticed after so long, or at the next heartbeat.
    External { writes: Vec<Write>, noticed_ms: Option<u64> },
    /// A client is paused by hand.
    Pause { client: usize },
    /// It is resumed.
    Resume { client: usize },
    /// A person clicks on retry.
    Retry { client: usize },
    /// The way to a client takes this long from now on.
    Latency { client: usize, ms: u64 },
    /// So many bytes a second pass on the way to a client and back, from now on.
    SlowLine { client: usize, bytes_per_second: u64 },
    /// Everything under way and everything later on this connection is lost; each end learns of it after so long,
    /// or never.
    Cut { client: usize, client_learns_ms: Option<u64>, server_learns_ms: Option<u64> },
    /// The same once so many more messages have passed in one direction.
    CutAfter { client: usize, down: bool, messages: u32 },
    /// One direction falls silent, the other goes on.
    HalfOpen { client: usize, down: bool },
    /// A client is without network for so long; what it dials fails, or goes into a black hole.
    Offline { client: usize, ms: u64, black_hole: bool },
    /// Messages of earlier connections come again on the present one.
    Stale { client: usize, down: bool, count: usize },
    /// A client's process ends and is started again after so long.
    CrashClient { client: usize, off_ms: u64 },
    /// The same right at the commit of the next part that it applies.
    CrashClientAtApply { client: usize, off_ms: u64 },
    /// The server's process ends, and is started again; silently: no one is told that the sockets are gone.
    CrashServer { off_ms: u64, silent: bool },
    /// The same after its next commit, before anyone is told.
    CrashServerAtCommit { off_ms: u64 },
    /// The server stands still with its sockets open.
    FreezeServer { ms: u64 },
    /// The server's reads take this long, its writer and heartbeat go on.
    SlowReads { ms: u64 },
    /// The server's writer takes this long for each commit.
    SlowWriter { ms: u64 },
    /// The server's disk is full.
    FullServer { ms: u64 },
    /// A client's disk is full.
    FullClient { client: usize, ms: u64 },
    /// A backup of the server's file is made.
    Backup,
    /// The server stops and comes back with its last backup, as another epoch.
    Restore { off_ms: u64 },
    /// The server's database is reset: another lineage.
    Reset,
    /// A client's database is copied to another machine, and both go on.
    Twin { client: usize },
    /// A client drops its database and begins with an empty one.
    Nuke { client: usize },
    /// A client's wall clock is set.
    Jump { client: usize, ms: i64 },
    /// The server's wall clock is set.
    JumpServer { ms: i64 },
    /// A client sleeps: nothing runs, its monotonic clock stands still.
    Sleep { client: usize, ms: u64 },
}

impl Step {
    /// Its name for the counts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Write { .. } => "write",
            Self::Exec { .. } => "exec",
            Self::External { .. } => "external write",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Retry { .. } => "retry",
            Self::Latency { .. } => "latency",
            Self::SlowLine { .. } => "slow line",
            Self::Cut { .. } => "cut",
            Self::CutAfter { .. } => "cut after messages",
            Self::HalfOpen { .. } => "half-open",
            Self::Offline { .. } => "offline",
            Self::Stale { .. } => "stale messages",
            Self::CrashClient { .. } => "client crash",
            Self::CrashClientAtApply { .. } => "client crash at apply",
            Self::CrashServer { .. } => "server crash",
            Self::CrashServerAtCommit { .. } => "server crash at commit",
            Self::FreezeServer { .. } => "server frozen",
            Self::SlowReads { .. } => "slow reads",
            Self::SlowWriter { .. } => "slow writer",
            Self::FullServer { .. } => "server disk full",
            Self::FullClient { .. } => "client disk full",
            Self::Backup => "backup",
            Self::Restore { .. } => "restore",
            Self::Reset => "reset",
            Self::Twin { .. } => "twin",
            Self::Nuke { .. } => "nuke",
            Self::Jump { .. } => "clock jump",
            Self::JumpServer { .. } => "server clock jump",
            Self::Sleep { .. } => "sleep",
        }
    }

    /// Whether it concerns a client's way to the server.
    pub(crate) fn is_of_network(&self) -> bool {
        matches!(
            self,
            Self::Latency { .. }
                | Self::SlowLine { .. }
                | Self::Cut { .. }
                | Self::CutAfter { .. }
                | Self::HalfOpen { .. }
                | Self::Offline { .. }
                | Self::Stale { .. }
        )
    }
}
