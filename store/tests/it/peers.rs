//! What the tests share: seeded databases and an exchange without any network.

use greenlight_core::replica::{ClientStore, DownloadPart, ReadRequest, ServerStore, UploadPart};
use greenlight_core::{Change, Value};
use greenlight_store::{ClientDatabase, Location, Options, Schema, ServerDatabase, Work};

pub(crate) const DDL: &str = "-- schema: test 1
CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, a, b);
CREATE TABLE pair (x TEXT NOT NULL, y BLOB NOT NULL, n INTEGER NOT NULL DEFAULT 0 CHECK (n < 100), m REAL, PRIMARY KEY (x, y));
CREATE TABLE mark (id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
CREATE VIEW sums AS SELECT count(*) AS c, sum(n) AS n FROM pair;
";

pub(crate) fn schema() -> Schema {
    Schema::parse(DDL).unwrap()
}

/// A generator that is good enough for tests (xorshift with a scrambled seed).
pub(crate) fn random(seed: u64) -> impl FnMut() -> u64 + Send + 'static {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

pub(crate) fn options(seed: u64, location: Location) -> Options {
    let mut now = 1_000;
    Options::new(location, random(seed), move || {
        now += 1;
        now
    })
}

pub(crate) fn client(seed: u64) -> ClientDatabase {
    ClientDatabase::open(options(seed, Location::Memory), &schema()).unwrap()
}

pub(crate) fn server(seed: u64) -> ServerDatabase {
    ServerDatabase::open(options(seed, Location::Memory), &schema()).unwrap()
}

/// Sends all that is pending, and takes the acknowledgement.
pub(crate) fn push(client: &mut ClientDatabase, server: &mut ServerDatabase) {
    let site = client.load().unwrap().site_id;
    let plan = client.begin_upload().unwrap();
    let mut request = plan.read.clone();
    loop {
        let chunk = client.read(&request).unwrap();
        let part = UploadPart {
            site,
            since: plan.since.version,
            until: plan.until,
            last: chunk.next.is_none(),
            changes: chunk.changes.decode().unwrap(),
        };
        for result in server.apply(std::slice::from_ref(&part)).unwrap() {
            result.unwrap();
        }
        if part.last {
            break;
        }
        request.after = chunk.next;
    }
    client.acknowledge(plan.until).unwrap();
}

/// Fetches all that the server has above the client's cursor.
pub(crate) fn pull(client: &mut ClientDatabase, server: &mut ServerDatabase) {
    let state = client.load().unwrap();
    let author = greenlight_core::replica::Author::Except(state.site_id);
    let mut request = ReadRequest { since: state.cursor.version, until: None, after: None, author };
    loop {
        let chunk = server.read(&request).unwrap();
        let last = chunk.next.is_none();
        let changes = chunk.changes.decode().unwrap();
        client.apply(&DownloadPart { since: state.cursor, until: chunk.until, last, changes }).unwrap();
        if last {
            break;
        }
        request.until = Some(chunk.until);
        request.after = chunk.next;
    }
}

pub(crate) fn sync(client: &mut ClientDatabase, server: &mut ServerDatabase) {
    push(client, server);
    pull(client, server);
}

/// Runs SQL on the server, as `/exec` does.
pub(crate) fn exec(server: &mut ServerDatabase, sql: &str) -> greenlight_store::Committed {
    let committed = server.commit(&[Work::Exec { sql: sql.to_owned(), params: Vec::new() }]).unwrap();
    for done in &committed.done {
        if let greenlight_store::Done::Exec(result) = done {
            result.as_ref().unwrap();
        }
    }
    committed
}

/// All rows of a table, with their types.
pub(crate) fn rows(conn: &rusqlite::Connection, table: &str) -> Vec<Vec<rusqlite::types::Value>> {
    let mut statement = conn
        .prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2"))
        .or_else(|_| conn.prepare(&format!("SELECT * FROM {table} ORDER BY 1")))
        .unwrap();
    let count = statement.column_count();
    let rows = statement.query_map([], |row| (0..count).map(|index| row.get(index)).collect()).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

pub(crate) fn all_rows(conn: &rusqlite::Connection) -> Vec<Vec<Vec<rusqlite::types::Value>>> {
    ["t", "pair", "mark"].map(|table| rows(conn, table)).to_vec()
}

pub(crate) fn change(table: &str, key: &[Value], column: &str, value: Value) -> Change {
    Change {
        table: table.into(),
        key: greenlight_core::PackedKey::pack(key).unwrap(),
        column: column.into(),
        value,
        column_version: 1,
        causal_length: 1,
        sequence: 0,
        site: greenlight_core::SiteId([9; 16]),
    }
}
