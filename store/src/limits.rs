//! The store's own limits, by name.
//!
//! Where in the flow: read by the modules beside it. Never holds logic.

use std::time::Duration;

/// How long a statement waits for another process's lock before it fails with
/// [`FaultKind::Busy`](greenlight_core::replica::FaultKind::Busy).
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection: a handful for each of the tables of a large schema.
pub const STATEMENT_CACHE: usize = 1_024;
/// Kinds of new rows, by the columns that they bring, whose statements are kept while a part is applied. A part may hold
/// thousands of kinds, and a prepared statement takes some kilobytes.
pub const ROW_KINDS: usize = 64;
/// SQLite's page cache of a writing connection, in KiB.
pub const CACHE_KIB: u32 = 16 * 1_024;
/// The same while a plain database is taken over: each of its keys is looked up.
pub const TAKEOVER_CACHE_KIB: u32 = 64 * 1_024;
/// A write-ahead log larger than this is cut after a checkpoint, in bytes.
pub const LOG_BYTES: u64 = 64 * 1024 * 1024;
/// Tags of its own history that a server keeps. A client whose cursor is older is told that its cursor is unknown,
/// and heals as after a fork.
pub const TAG_LIMIT: u64 = 200_000;
/// Old tags are removed once in so many commits.
pub const TAG_PRUNE_EVERY: u64 = 1_024;
/// Clients that a server remembers. The one seen longest ago is forgotten first, and then offers all it has again.
pub const PEER_LIMIT: u64 = 100_000;
/// Bounds that a client remembers to have sent.
pub const SENT_LIMIT: u64 = 10_000;
/// Local commits whose time is remembered while they are pending.
pub const WRITTEN_LIMIT: u64 = 10_000;
/// Changes in quarantine, and as many held aside, before the store counts as full.
pub const ASIDE_LIMIT: u64 = 1_000_000;
/// Changes in quarantine that are tried again at a time.
pub const RETRY_LIMIT: usize = 10_000;
/// Cells whose size is looked at to estimate the bytes that are pending.
pub const SIZE_SAMPLE: u64 = 64;
/// Ranges whose count of changes is remembered from page to page.
pub const COUNTED_RANGES: usize = 64;
/// A part whose changes roll the transaction back (an app's trigger) is tried so many times with the culprit left
/// out; after that every change of the culprits' tables is put aside.
pub const ROLLBACK_RETRIES: usize = 8;
/// Rows that one statement may return.
pub const RESULT_ROWS: usize = 1_000_000;
/// Bytes of values that one statement may return.
pub const RESULT_BYTES: usize = 256 * 1024 * 1024;
/// Steps of SQLite's machine that one statement of an app or an operator may take: some ten seconds. Without it
/// one endless query would hold the writer for ever.
pub const STATEMENT_STEPS: u64 = 1_000_000_000;
/// Longest SQL text of one request, in bytes.
pub const SQL_BYTES: usize = 4 * 1024 * 1024;
/// Parameters of one statement.
pub const SQL_PARAMETERS: usize = 32_000;
/// Longest schema file, in bytes.
pub const SCHEMA_BYTES: usize = 4 * 1024 * 1024;
/// Added to the column version of cells that a build of cr-sqlite without our patches moved to another key: what
/// the key held before can't be known any more, so it is surely exceeded.
pub const FOREIGN_MOVE_STEP: u64 = 1 << 16;
/// Changes that share a savepoint while they are applied the careful way. SQLite walks a savepoint's whole journal at
/// the end of each statement within it, so that one savepoint around a large part would cost the square of its size.
pub const SAVEPOINT_CHANGES: usize = 64;
/// Changes of a snapshot that are merged in one transaction, at most.
pub const MERGE_CHANGES: usize = 16_384;
/// Bytes of values and keys of such a transaction, at most but for its last change.
pub const MERGE_BYTES: usize = 8 * 1024 * 1024;
/// Pages that a backup copies at a time, between which it can be stopped.
pub const BACKUP_STEP_PAGES: std::ffi::c_int = 1_024;
/// Steps of SQLite's machine between which the check of a backup can be stopped.
pub const CHECK_STEPS: std::ffi::c_int = 10_000;
