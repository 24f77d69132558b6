//! Every limit of the protocol and of the sessions, by name.
//!
//! Where in the flow: read by codec, sessions, stores and drivers. Never holds logic.

use std::time::Duration;

/// Largest frame either end accepts, in bytes. Fits one value of [`MAX_VALUE_BYTES`] with its key and names.
pub const MAX_FRAME_BYTES: usize = 9 * 1024 * 1024;
/// A part is closed once its encoded changes reach this many bytes, so that progress is smooth and memory flat.
pub const PART_TARGET_BYTES: usize = 256 * 1024;
/// Largest number of changes in one part.
pub const MAX_PART_CHANGES: usize = 16_384;
/// Largest number of parts in one range; with [`PART_TARGET_BYTES`] this is beyond any database a browser holds.
pub const MAX_RANGE_PARTS: u32 = 1_000_000;
/// Parts sent ahead of the peer's acknowledgement. Bounds what a slow reader can cost: window x part size.
pub const WINDOW_PARTS: u32 = 8;
/// A data message up to this size is sent as it is; a larger one in fragments.
pub const PLAIN_FRAME_BYTES: usize = 512;
/// Largest piece of a message in one fragment.
pub const FRAGMENT_BYTES: usize = 64 * 1024;
/// Fragments on their way without a receipt.
pub const MAX_FRAGMENTS: usize = 64;
/// Bytes of fragments on their way without a receipt: on a new connection, at least, and at most.
pub const FIRST_FLIGHT_BYTES: usize = 4 * 1024;
/// See [`FIRST_FLIGHT_BYTES`]; at a kilobyte a second it takes two.
pub const LEAST_FLIGHT_BYTES: usize = 2 * 1024;
/// See [`FIRST_FLIGHT_BYTES`]; a window of parts.
pub const MOST_FLIGHT_BYTES: usize = 2 * 1024 * 1024;
/// Largest text or blob of one cell, in bytes. Stores set it as SQLite's own length limit, so that a larger value
/// fails where it is written and not where it is synced.
pub const MAX_VALUE_BYTES: usize = 8 * 1024 * 1024;
/// Largest packed primary key, in bytes.
pub const MAX_KEY_BYTES: usize = 8 * 1024;
/// Largest number of primary key columns.
pub const MAX_KEY_COLUMNS: usize = 32;
/// Longest name of a table, a column, a schema or a database, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// Largest number of tables in a schema.
pub const MAX_TABLES: usize = 512;
/// Largest number of columns in a table.
pub const MAX_COLUMNS: usize = 512;
/// Largest number of different names in one part's string table.
pub const MAX_PART_NAMES: usize = 4_096;
/// Largest number of different sites in one part's site table.
pub const MAX_PART_SITES: usize = 16_384;
/// Longest token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Longest sentence for a person in a refusal or a report, in bytes.
pub const MAX_SENTENCE_BYTES: usize = 1_024;
/// Longest name and version of the app that a client reports, in bytes.
pub const MAX_AGENT_BYTES: usize = 128;
/// Highest column version and causal length that are accepted. A cell at `i64::MAX` could never be written again;
/// one write a microsecond for a year stays below this.
pub const MAX_COLUMN_VERSION: u64 = 1 << 45;
/// Highest sequence number within a version that is accepted.
pub const MAX_SEQUENCE: u64 = 1 << 40;
/// Highest database version that is accepted.
pub const MAX_VERSION: u64 = 1 << 53;

/// A ping is sent and a server's head is heard at least this often.
pub const HEARTBEAT: Duration = Duration::from_secs(2);
/// Green needs an echo, and being caught up, within this time.
pub const FRESHNESS: Duration = Duration::from_secs(5);
/// A fragment's receipt that comes at most this much later than the fastest one is early: more may be on its way.
pub const EARLY_RECEIPT: Duration = Duration::from_millis(500);
/// One that comes this much later is late: a heartbeat behind the fragment would be, too, so less may be on its way.
pub const LATE_RECEIPT: Duration = Duration::from_millis(1_500);
/// A connection without any word from the peer for this long is closed.
pub const IDLE_LIMIT: Duration = Duration::from_secs(15);
/// A socket that was asked for and neither opened nor failed within this time is given up.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// An open socket without a welcome for this long is reported as stuck.
pub const WELCOME_LIMIT: Duration = Duration::from_secs(10);
/// An open socket without a welcome for this long is closed and dialled again.
pub const WELCOME_GIVE_UP: Duration = Duration::from_secs(30);
/// Pending changes without any acknowledgement for this long, while connected, are reported as stuck.
pub const ACKNOWLEDGEMENT_LIMIT: Duration = Duration::from_secs(10);
/// Waiting for an acknowledgement or a part for this long, on a connection that answers, ends in another connection:
/// whatever was lost on its way is then sent anew.
pub const PROGRESS_GIVE_UP: Duration = Duration::from_secs(30);
/// A client compares its database with the server's once nothing has happened for this long.
pub const VERIFY_IDLE: Duration = Duration::from_secs(3);
/// The least time between two comparisons where something changed in between.
pub const VERIFY_EVERY: Duration = Duration::from_secs(60);
/// Comparing may take one part in so many of the time, on a large database.
pub const VERIFY_SHARE: u32 = 100;
/// The time between two comparisons where nothing changed: against damage from outside.
pub const VERIFY_AGAIN: Duration = Duration::from_secs(60 * 60);
/// A comparison without an answer for this long is given up.
pub const VERIFY_LIMIT: Duration = Duration::from_secs(60);
/// Largest number of digests in one answer.
pub const MAX_DIGESTS: usize = 65_536;
/// Tables, and in each of them buckets of rows, that are looked into when they differ.
pub const MAX_SUSPECTS: usize = 8;
/// Rows that are named when they differ.
pub const MAX_DIVERGED_ROWS: usize = 256;
/// Rows of each table that a log names when they differ.
pub const MAX_DESCRIBED_ROWS: usize = 16;
/// Clock entries that are digested at a time, so that a page's queries don't wait long.
pub const DIGEST_PAGE_CHANGES: usize = 4_096;
/// Repairs in a row before a divergence is shown as stuck.
pub const MAX_REPAIRS: u32 = 2;
/// While this device's storage is full it is tried this often whether there is room again.
pub const STORAGE_RETRY: Duration = Duration::from_secs(5);
/// A server closes a socket that has not said hello within this time.
pub const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// A close this soon after the opening counts as early.
pub const EARLY_CLOSE: Duration = Duration::from_secs(2);
/// So many early closes one after another are reported as stuck.
pub const EARLY_CLOSE_COUNT: u32 = 3;
/// While own changes are held back from a server that lets this client only read: between two dials that ask again, with
/// the token of then.
pub const HELD_BACK_RETRY: Duration = Duration::from_secs(60);
/// First delay before dialling again; doubled with each failure, with jitter.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(300);
/// Longest delay before dialling again.
pub const BACKOFF_MAX: Duration = Duration::from_secs(15);
