//! Databases in memory that repeat to the bit, and what must hold of each whatever was sent to it.
//!
//! Where in the flow: below every target that has a database. Looks with its own SQL, not with the store's.

use greenlight_core::limits::{MAX_COLUMN_VERSION, MAX_SEQUENCE, MAX_VERSION};
use greenlight_core::replica::{Author, ClientStore, DownloadPart, FaultKind, ReadRequest, ServerStore};
use greenlight_core::{Cursor, Version};
use greenlight_store::{ClientDatabase, Location, Options, Schema, ServerDatabase, StatementError};
use rusqlite::Connection;

use crate::content::{SCHEMA, TABLES};

/// Steps that a statement may take: enough for every honest one here, and soon over.
const STEPS: u64 = 1_000_000;

/// The schema, checked once.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA_READ: std::sync::OnceLock<Schema> = std::sync::OnceLock::new();
    SCHEMA_READ.get_or_init(|| Schema::parse(SCHEMA).expect("the schema is accepted"))
}

fn options(seed: u64) -> Options {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut now = 1_000;
    let clock = move || {
        now += 1;
        now
    };
    Options { statement_steps: STEPS, ..Options::new(Location::Memory, random, clock) }
}

/// A server's database, empty.
pub(crate) fn server() -> ServerDatabase {
    ServerDatabase::open(options(1), schema()).expect("a database in memory opens")
}

/// A client's database, empty.
pub(crate) fn client() -> ClientDatabase {
    ClientDatabase::open(options(2), schema()).expect("a database in memory opens")
}

fn one(conn: &Connection, sql: &str) -> i64 {
    let found = conn.prepare_cached(sql).and_then(|mut statement| statement.query_row([], |row| row.get(0)));
    found.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// What must hold after every step: nothing is left open, local writes are recorded, every clock is sane.
pub(crate) fn check(conn: &Connection) {
    assert!(conn.is_autocommit(), "a transaction was left open");
    assert_eq!(one(conn, "SELECT crsql_internal_sync_bit()"), 0, "local writes would go unrecorded");
    for table in TABLES {
        let insane = format!(
            "SELECT count(*) FROM {table}__crsql_clock WHERE typeof(col_version) <> 'integer'
               OR col_version NOT BETWEEN 0 AND {MAX_COLUMN_VERSION} OR db_version NOT BETWEEN 1 AND {MAX_VERSION}
               OR seq NOT BETWEEN 0 AND {MAX_SEQUENCE} OR col_name = '-1' AND col_version < 1"
        );
        assert_eq!(one(conn, &insane), 0, "a clock of {table} is out of range");
    }
}

/// What must hold at the end, and costs more to look at: the file is sound, and not a byte of a key is malformed.
pub(crate) fn check_file(conn: &Connection) {
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("the check can be made");
    assert_eq!(sound, "ok");
    let wrong_sites = one(conn, "SELECT count(*) FROM crsql_site_id WHERE length(site_id) <> 16");
    assert_eq!(wrong_sites, 0, "a site id of another length");
}

/// A client that never saw anything can read all of a server's history, and then holds the same.
pub(crate) fn check_history(server: &mut ServerDatabase) {
    let mut fresh = client();
    let since = Cursor::ZERO;
    let mut request = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
    loop {
        let chunk = server.read(&request).expect("the history can be read, whatever was sent");
        let changes = chunk.changes.decode().expect("what is served is within the limits");
        let last = chunk.next.is_none();
        fresh.apply(&DownloadPart { since, until: chunk.until, last, changes }).expect("and can be applied");
        if last {
            break;
        }
        request.until = Some(chunk.until);
        request.after = chunk.next;
    }
    check(fresh.connection());
    let set_aside = fresh.outbox().expect("the outbox can be counted").quarantined;
    if set_aside == 0 {
        assert_eq!(fresh.digests().expect("digests"), server.digests().expect("digests"), "both hold the same");
    }
}

/// Whatever came before, an honest write is still taken and recorded, unless the server said that none may be.
pub(crate) fn check_client_writes(client: &mut ClientDatabase) {
    let before = client.outbox().expect("the outbox can be counted");
    let sql = "INSERT INTO t (id, a) SELECT 1 + max(1000000, ifnull(max(id), 0)), 'honest' FROM t WHERE id < 1 << 40";
    let written = client.exec(sql, &[]);
    if let Err(StatementError::Fault(fault)) = &written
        && client.load().expect("the state can be read").read_only
    {
        return assert_eq!(fault.kind, FaultKind::Forbidden, "{fault}");
    }
    let (_, commit) = written.expect("an honest write is taken");
    assert!(commit.outbox.changes > before.changes, "and recorded");
    assert!(commit.outbox.head > before.head);
}
