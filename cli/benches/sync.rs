//! How fast a write travels from one client's commit to another's, beside the floor that nothing can pass.
//!
//! Where in the flow: the whole of it, over a real socket on loopback: client, server, client, each with files of its
//! own. Figures are medians of one run and their ratios; absolute times depend on the disk.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use greenlight_cli::{Client, ClientSettings, Remote, Token};
use greenlight_core::Value;
use greenlight_server::Settings;
use greenlight_store::{ClientDatabase, Location, Options, Schema};
use rusqlite::{Connection, params_from_iter};

const SCHEMA: &str =
    "-- schema: bench 1\nCREATE TABLE item (id TEXT NOT NULL PRIMARY KEY, a TEXT, b TEXT, c INTEGER, d REAL);";
const ROWS: usize = 10_000;
const BULK_RUNS: usize = 5;
const SINGLE_RUNS: usize = 200;
/// A change that has not arrived by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let sync = median((0..SINGLE_RUNS).map(|_| fdatasync(folder.path())).collect());
    let (write, apply): (Vec<_>, Vec<_>) = (0..BULK_RUNS).map(|run| own_apply(folder.path(), run)).unzip();
    let (write, apply) = (median(write), median(apply));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (bulk, single) = runtime.block_on(sync_two(folder.path()));
    let ms = |time: Duration| format!("{:8.2} ms", time.as_secs_f64() * 1e3);
    println!("floor    fdatasync of a page, median of {SINGLE_RUNS}              {}", ms(sync));
    println!("floor    {ROWS} rows written to a CRR table                {}", ms(write));
    println!("floor    cr-sqlite's own apply of {ROWS} x 4 changes       {}", ms(apply));
    println!("bulk     commit to commit, {ROWS} rows, median of {BULK_RUNS}        {}", ms(bulk));
    println!("single   commit to commit, one cell, median of {SINGLE_RUNS}       {}", ms(single));
    println!("ratio    bulk / cr-sqlite's own apply                  {:8.2}", bulk.as_secs_f64() / apply.as_secs_f64());
    println!("distance single - fdatasync                            {}", ms(single.saturating_sub(sync)));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn fdatasync(folder: &Path) -> Duration {
    let path = folder.join("page");
    let mut file = File::options().create(true).append(true).open(path).expect("a file");
    file.write_all(&[7; 4_096]).expect("a page");
    let begun = Instant::now();
    file.sync_data().expect("a disk");
    begun.elapsed()
}

/// Writes the rows to one database, and applies its changes to another through cr-sqlite, in one durable commit.
fn own_apply(folder: &Path, run: usize) -> (Duration, Duration) {
    let open = |name: String| {
        let conn = Connection::open(folder.join(name)).expect("a database");
        crsqlite::init(&conn).expect("cr-sqlite");
        conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").expect("pragmas");
        conn.execute_batch(SCHEMA).expect("a schema");
        conn.execute_batch("SELECT crsql_as_crr('item')").expect("a CRR");
        conn
    };
    let (mut from, mut to) = (open(format!("from{run}")), open(format!("to{run}")));
    let begun = Instant::now();
    let transaction = from.transaction().expect("a transaction");
    insert_rows(&transaction, run).expect("rows");
    transaction.commit().expect("a commit");
    let written = begun.elapsed();
    let columns = "\"table\", pk, cid, val, col_version, 0, site_id, cl, seq";
    let mut read = from.prepare(&format!("SELECT {columns} FROM crsql_changes")).expect("changes");
    let changes: Vec<Vec<rusqlite::types::Value>> = read
        .query_map([], |row| (0..9).map(|index| row.get(index)).collect())
        .and_then(Iterator::collect)
        .expect("changes");
    drop(read);
    let begun = Instant::now();
    let transaction = to.transaction().expect("a transaction");
    let mut insert = transaction.prepare("INSERT INTO crsql_changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)").expect("SQL");
    for change in &changes {
        insert.execute(params_from_iter(change)).expect("a change");
    }
    drop(insert);
    transaction.commit().expect("a commit");
    let applied = begun.elapsed();
    for conn in [from, to] {
        crsqlite::finalize(&conn).expect("an end");
    }
    (written, applied)
}

fn insert_rows(conn: &Connection, run: usize) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached("INSERT INTO item VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for row in 0..ROWS {
        let id = format!("{run}-{row}");
        insert.execute((&id, format!("title {row}"), "the same text", row as i64, row as f64 / 2.0))?;
    }
    Ok(())
}

/// Two clients over a server; the medians of a bulk commit's and a single change's way.
async fn sync_two(folder: &Path) -> (Duration, Duration) {
    let schemas = folder.join("schemas");
    std::fs::create_dir(&schemas).expect("a folder");
    std::fs::write(schemas.join("bench.sql"), SCHEMA).expect("a schema");
    let settings = Settings::dev(folder.join("data"), schemas);
    let listener = greenlight_server::bind(&settings).await.expect("a port");
    let remote = format!("ws://{}/bench", listener.local_addr().expect("an address"));
    let server = tokio::spawn(greenlight_server::run(listener, settings, std::future::pending()));
    let (alice, bob) = (client(folder, "alice", &remote), client(folder, "bob", &remote));
    for client in [&alice, &bob] {
        let mut status = client.status();
        status.wait_for(|status| status.state.is_green()).await.expect("a green light");
    }
    let mut bulk = Vec::new();
    for run in 0..BULK_RUNS {
        let write = alice.with_database(move |database| {
            database.local_write(|conn| insert_rows(conn, run).map_err(|error| fault(&error))).map(|_| Instant::now())
        });
        let committed = write.await.expect("a client").expect("rows");
        let expected = ((run + 1) * ROWS) as i64;
        bulk.push(until(&bob, "SELECT count(*) FROM item", Value::Integer(expected)).await - committed);
    }
    let mut single = Vec::new();
    for run in 0..SINGLE_RUNS {
        let text = format!("run {run}");
        let params = [Value::Text(text.clone())];
        let write = alice.with_database(move |database| {
            database.exec("UPDATE item SET a = ?1 WHERE id = '0-0'", &params).map(|_| Instant::now())
        });
        let committed = write.await.expect("a client").expect("a change");
        single.push(until(&bob, "SELECT a FROM item WHERE id = '0-0'", Value::Text(text)).await - committed);
    }
    alice.stop().await.expect("an end");
    bob.stop().await.expect("an end");
    server.abort();
    (median(bulk), median(single))
}

fn fault(error: &rusqlite::Error) -> greenlight_core::replica::Fault {
    greenlight_core::replica::Fault { kind: greenlight_core::replica::FaultKind::Internal, message: error.to_string() }
}

fn client(folder: &Path, name: &str, remote: &str) -> Client {
    let wall = || 0;
    let options = Options::system(Location::File(folder.join(name)), wall).expect("randomness");
    let schema = Schema::parse(SCHEMA).expect("a schema");
    let database = ClientDatabase::open(options, &schema).expect("a database");
    let remote = Remote::parse(remote).expect("an address");
    let settings = ClientSettings { remote, token: Token::None, agent: "bench".to_owned() };
    Client::start(database, settings).expect("a client")
}

/// The moment at which a client's database first gives the expected value.
async fn until(client: &Client, sql: &'static str, expected: Value) -> Instant {
    let begun = Instant::now();
    loop {
        let found = client.with_database(move |database| database.query(sql, &[])).await.expect("a client");
        if found.expect("a row").rows.first().and_then(|row| row.first()) == Some(&expected) {
            return Instant::now();
        }
        assert!(begun.elapsed() < PATIENCE, "the change did not arrive");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}
