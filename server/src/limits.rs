//! Every limit of the server, by name.
//!
//! Where in the flow: read by all of the server. Never holds logic; the protocol's limits are in `greenlight_core`.

use std::time::Duration;

/// Connections at once beside the WebSockets that are allowed. One more takes the place of the one that has been silent
/// for longest since it came, or waits.
pub const PLAIN_CONNECTIONS: usize = 512;
/// While fewer places than this are free, a connection ends with its answer: nobody keeps one for a next request.
pub const CROWDED_PLACES: usize = 128;
/// How long the head of a request may take, counted from the connection's begin or the answer before: so it also ends a
/// connection that is kept open and not used.
pub const HEAD_LIMIT: Duration = Duration::from_secs(15);
/// Largest head of a request, in bytes; as much is read ahead of a body.
pub const HEAD_BYTES: usize = 64 * 1024;
/// Headers of one request.
pub const MAX_HEADERS: usize = 100;
/// How long the reader of an answer may take nothing of it.
pub const STALL_LIMIT: Duration = Duration::from_secs(20);
/// The pause after a connection could not be taken in, as when no more files can be opened.
pub const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// Databases open at once. Each has a thread and a few connections. For one more, the one that was used longest ago
/// and isn't in use is closed.
pub const MAX_DATABASES: usize = 256;
/// Databases of which the server remembers how they are, open or not.
pub const MAX_KNOWN_DATABASES: usize = 4_096;
/// Files that one open database takes at most: itself, its log and its index for each of its connections.
pub const DATABASE_FILES: usize = 16;
/// The longest time between two looks at which databases are idle, or wanted by a restore.
pub const HOUSEKEEPING_MOST: Duration = Duration::from_millis(500);
/// The shortest.
pub const HOUSEKEEPING_LEAST: Duration = Duration::from_millis(20);
/// How long what is under way on a database that is wanted by a restore may take until it is cut off.
pub const GIVE_UP_GRACE: Duration = Duration::from_secs(2);
/// How long a database that nobody uses may take to close.
pub const CLOSE_WAIT: Duration = Duration::from_secs(10);
/// Copies of each database that are kept of before its migrations, and as many of before its restores.
pub const BACKUPS_KEPT: usize = 5;
/// How long `greenlight-server health` waits for each step of an answer.
pub const PROBE_WAIT: Duration = Duration::from_secs(5);
/// The most that it reads of one, in bytes.
pub const PROBE_BYTES: u64 = 1024 * 1024;
/// How often the history that the status page shows has a sample.
pub const HISTORY_EVERY: Duration = Duration::from_secs(10);
/// Samples that are kept of each database, and of the whole: an hour's.
pub const HISTORY_SAMPLES: usize = 360;
/// The least time between two counts of a database's deleted rows: each reads all of its clocks.
pub const TOMBSTONES_EVERY: Duration = Duration::from_secs(10 * 60);
/// The longest time between two looks at which backups are due.
pub const SCHEDULE_MOST: Duration = Duration::from_secs(15);
/// The shortest.
pub const SCHEDULE_LEAST: Duration = Duration::from_millis(20);
/// The first scheduled backup of a database that has none is made after so long, or sooner where they are made more
/// often: one that is being made at this moment is no database yet.
pub const FIRST_BACKUP: Duration = Duration::from_secs(60);
/// A scheduled backup that failed is tried again after so long, or sooner where they are made more often.
pub const BACKUP_RETRY: Duration = Duration::from_secs(5 * 60);
/// A backup is overdue when the newest one is older than so many times what was asked for.
pub const BACKUP_OVERDUE: u32 = 2;
/// How long a restore waits for another one, which may be ending.
pub const RESTORE_WAIT: Duration = Duration::from_secs(1);
/// How long a restore waits for servers to give the database up: a look, what is under way, and the closing.
pub const GIVE_UP_WAIT: Duration = Duration::from_secs(30);
/// How often it tries.
pub const LOCK_TRY_EVERY: Duration = Duration::from_millis(20);
/// Jobs that may wait for one database's writer. More wait at their sockets, which is what slows a flood down.
pub const WRITER_QUEUE: usize = 64;
/// Jobs that one turn of the writer takes together; what can share a commit, does.
pub const BATCH_JOBS: usize = 32;
/// How long a request waits for the writer's answer before it is told that the database is busy.
pub const WRITER_WAIT: Duration = Duration::from_secs(60);
/// A file up to this length is checked page by page before it is opened, in bytes; a longer one while it is in use.
pub const CHECK_BEFORE_BYTES: u64 = 256 * 1024 * 1024;
/// How long such a check may take beside the work; what it has not seen by then stays unseen.
pub const CHECK_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Reading connections of one database.
pub const READERS: usize = 4;
/// Times that a page is read anew because another process keeps writing into the file meanwhile.
pub const READ_TRIES: usize = 10;
/// How long a reader is waited for.
pub const READER_WAIT: Duration = Duration::from_secs(30);
/// Encoded pages that are kept for the sockets that want the same.
pub const PAGES_KEPT: usize = 16;
/// The least time between two digests of one database, for clients that compare: each reads all of it.
pub const DIGEST_EVERY: Duration = Duration::from_secs(5);
/// Words to one socket from outside its own connection (superseded, reset) that may wait.
pub const CONTROL_QUEUE: usize = 4;

/// Largest message on a WebSocket. What is larger comes in fragments; a hello, which doesn't, is far below. So little is
/// what somebody without a token can make the server hold.
pub const MESSAGE_BYTES: usize = 1024 * 1024;
/// Messages that may wait for one socket: a window of parts, their receipts, and heartbeats.
pub const OUTGOING_FRAMES: usize = 32;
/// How long one message may take to be written before its reader counts as too slow.
pub const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// How long a closing handshake is waited for.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Longest reason in a closing frame, in bytes; the WebSocket's own limit.
pub const CLOSE_REASON_BYTES: usize = 123;

/// Largest body of exec, in bytes: a value of 8 MiB as base64, and something around it.
pub const EXEC_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Changes in quarantine that are shown or named at once.
pub const QUARANTINE_ROWS: usize = 500;
/// Longest value of one of them that is shown, in bytes.
pub const QUARANTINE_VALUE_BYTES: usize = 4 * 1024;
/// How long the database is asked for what only a number is made of.
pub const COUNT_WAIT: Duration = Duration::from_secs(2);
/// How long a body may take to arrive.
pub const BODY_LIMIT: Duration = Duration::from_secs(30);
/// How long one exec may run.
pub const EXEC_LIMIT: Duration = Duration::from_secs(30);

/// How long a stopping server waits for its sockets and writers.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a file that are read at once when it is sent.
pub const FILE_BLOCK_BYTES: usize = 64 * 1024;
/// Largest schema file, in bytes.
pub const SCHEMA_FILE_BYTES: u64 = 1024 * 1024;

/// How often the files of tokens and keys are looked at: a revoked token is out within two of these.
pub const ACCESS_POLL: Duration = Duration::from_secs(1);
/// By how much the clocks of those who sign tokens may differ from ours.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// Longest signed token that is looked at, in bytes.
pub const JWT_BYTES: usize = 8 * 1024;
/// Most rights that one signed token may name.
pub const JWT_RIGHTS: usize = 64;
/// Most keys that tokens may be signed with.
pub const JWT_KEYS: usize = 32;
/// Shortest secret of HS256, in bytes: as long as its digest (RFC 7518, section 3.2).
pub const JWT_SECRET_BYTES: usize = 32;
/// Largest file of keys, in bytes.
pub const JWK_FILE_BYTES: u64 = 256 * 1024;
/// Most tokens in the file of tokens.
pub const TOKENS: usize = 10_000;
/// Longest name of a token, in bytes.
pub const TOKEN_NAME_BYTES: usize = 100;
/// Most subjects whose signed tokens are revoked.
pub const REVOKED_SUBJECTS: usize = 10_000;
/// Largest file of tokens, in bytes: as many as are taken.
pub const TOKEN_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Connections of one address beside its WebSockets.
pub const PLAIN_PER_ADDRESS: usize = 64;
/// Callers whose rates are remembered before those who have been quiet are forgotten.
pub const RATE_KEYS: usize = 100_000;
/// Largest file of the audit log, in bytes; it is then set aside.
pub const AUDIT_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Files of the audit log that were set aside and are kept.
pub const AUDIT_FILES: usize = 8;
/// Refusals of one code that the audit log takes in one minute; the rest are counted, so that strangers can't wash it out.
pub const AUDIT_REFUSALS: u32 = 60;
