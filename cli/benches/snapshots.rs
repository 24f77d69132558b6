//! How long a push and a pull of a large database take, beside what the system's own tools need for the same bytes: one
//! `cp` for the backup, one for the copy, `sha256sum` and `sync`.
//!
//! Where in the flow: the real program, two homes and a folder on one disk. Each round runs all of it in turn, so that a
//! busy machine slows all alike; figures are medians. Never asserts anything.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use greenlight_store::{ClientDatabase, Location, Options, Schema};
use rusqlite::Connection;

const SCHEMA: &str = "-- schema: bench 1\nCREATE TABLE item (id INTEGER NOT NULL PRIMARY KEY, body BLOB);";
const ROUNDS: usize = 3;
/// The database's size, unless `GREENLIGHT_BENCH_MIB` says another.
const MIB: usize = 1024;
/// The size of a row's body: that of a page of text with a small picture.
const ROW_KIB: usize = 8;
/// Rows in a transaction, so that a log stays small.
const BATCH: usize = 4_096;
/// How often the program's memory is looked at.
const LOOK: Duration = Duration::from_millis(10);

fn main() {
    let mib = std::env::var("GREENLIGHT_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(MIB);
    for (kind, make) in [("plain", plain as fn(&Path, usize)), ("replica", replica)] {
        let folder = tempfile::tempdir().expect("a folder");
        measure(kind, folder.path(), mib, make);
    }
}

fn measure(kind: &str, folder: &Path, mib: usize, make: fn(&Path, usize)) {
    let (alice, bob) = (folder.join("alice"), folder.join("bob"));
    std::fs::create_dir(&alice).expect("a home");
    let db = alice.join("db.sqlite");
    make(&db, mib * 1024 / ROW_KIB);
    let (mut tools, mut push, mut pull) = (Vec::new(), Vec::new(), Vec::new());
    let mut memory = 0;
    for round in 0..ROUNDS {
        change(&db, round);
        settle();
        tools.push(with_tools(&db, folder));
        settle();
        push.push(greenlight(&alice, folder, "push", &mut memory));
        settle();
        pull.push(greenlight(&bob, folder, "pull", &mut memory));
    }
    let (tools, push, pull) = (median(tools), median(push), median(pull));
    let ratio = |time: Duration| time.as_secs_f64() / tools.as_secs_f64();
    println!("floor    {kind:7} {mib} MiB: cp, cp, sha256sum, sync    {:6.2} s", tools.as_secs_f64());
    println!(
        "push     {kind:7} median of {ROUNDS}                     {:6.2} s = {:.2}x",
        push.as_secs_f64(),
        ratio(push)
    );
    println!(
        "pull     {kind:7} median of {ROUNDS}                     {:6.2} s = {:.2}x",
        pull.as_secs_f64(),
        ratio(pull)
    );
    println!("memory   {kind:7} peak of both                    {:6.1} MiB", memory as f64 / 1024.0);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// What the rounds before have left to write is not the next one's.
fn settle() {
    run(&mut Command::new("sync"));
}

fn with_tools(db: &Path, folder: &Path) -> Duration {
    let (backup, copy) = (folder.join("tools-backup"), folder.join("tools-copy"));
    for file in [&backup, &copy] {
        // As a push finds its places: there is nothing yet, or what another has left.
        drop(std::fs::remove_file(file));
    }
    let begun = Instant::now();
    run(Command::new("cp").args([db, &backup]));
    run(Command::new("cp").args([&backup, &copy]));
    run(Command::new("sha256sum").arg(&copy));
    run(Command::new("sync").args([&backup, &copy]));
    begun.elapsed()
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("the tool is there");
    assert!(status.success(), "{command:?}");
}

/// The program's time; `peak` becomes its largest memory (KiB) where that was larger.
fn greenlight(home: &Path, folder: &Path, verb: &str, peak: &mut u64) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight"));
    command.args(["sync", verb]).env_clear().stdout(Stdio::null());
    command.env("GREENLIGHT_HOME", home).env("GREENLIGHT_SYNC_REMOTE", folder.join("remote"));
    let begun = Instant::now();
    let mut child = command.spawn().expect("the program");
    let status = format!("/proc/{}/status", child.id());
    loop {
        // Only Linux tells; elsewhere the figure is 0.
        let told = std::fs::read_to_string(&status).unwrap_or_default();
        let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        *peak = (*peak).max(line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0));
        if let Some(ended) = child.try_wait().expect("the program's end") {
            assert!(ended.success(), "{verb}");
            return begun.elapsed();
        }
        std::thread::sleep(LOOK);
    }
}

fn plain(db: &Path, rows: usize) {
    let conn = Connection::open(db).expect("a database");
    conn.execute_batch(&format!("PRAGMA journal_mode = WAL; {SCHEMA}")).expect("a schema");
    for from in (0..rows).step_by(BATCH) {
        conn.execute_batch(&insert(from, rows.min(from + BATCH))).expect("rows");
    }
}

fn replica(db: &Path, rows: usize) {
    let mut client = open(db);
    for from in (0..rows).step_by(BATCH) {
        client.exec(&insert(from, rows.min(from + BATCH)), &[]).expect("rows");
    }
}

fn open(db: &Path) -> ClientDatabase {
    let options = Options::system(Location::File(db.to_owned()), || 1).expect("random numbers");
    ClientDatabase::open(options, &Schema::parse(SCHEMA).expect("a schema")).expect("a database")
}

fn insert(from: usize, to: usize) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to} - 1)
         INSERT INTO item SELECT i, randomblob({}) FROM n",
        ROW_KIB * 1024
    )
}

fn change(db: &Path, round: usize) {
    let sql = format!("UPDATE item SET body = 'round {round}' WHERE id = {round}");
    let is_replica = Connection::open(db)
        .and_then(|conn| {
            let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'greenlight_state')";
            conn.query_row(sql, [], |row| row.get(0))
        })
        .expect("a database");
    if is_replica {
        open(db).exec(&sql, &[]).expect("a change");
    } else {
        Connection::open(db).and_then(|conn| conn.execute_batch(&sql)).expect("a change");
    }
}
