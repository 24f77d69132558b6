//! Power cuts: what a server's database has reported as committed is there afterwards, and nothing is half there.
//!
//! Where in the flow: the real database on a disk that keeps what was synced and any part of what was not. Each seed is
//! a run of uploads and statements that is cut at a random change of the disk; then the folder is opened as it may be
//! found. The same run with `synchronous=NORMAL` loses commits, which shows that the disk can.

use std::path::Path;

use greenlight_core::Cursor;
use greenlight_core::replica::{ClientStore, Fault, ServerStore, UploadPart};
use greenlight_store::{ClientDatabase, Done, Location, ServerDatabase, Work};
use tempfile::TempDir;

use crate::disk::Disk;
use crate::peers::{client, options, push, random, rows, schema};

/// Runs in an ordinary test run; `GREENLIGHT_CUTS` sets another number.
const SEEDS: u64 = 100;
/// Among so many runs with `synchronous=NORMAL` there is one that loses a commit.
const SEEDS_TO_LOSE: u64 = 100;
/// Changes of the disk in a whole run, about.
const CHANGES: u64 = 1_500;
/// Commits of one run.
const COMMITS: i64 = 25;
/// Rows of one commit.
pub(crate) const ROWS: i64 = 4;
/// Pages in the log before SQLite writes it back: few, so that it does so within a run.
const CHECKPOINT_PAGES: u32 = 30;

/// What was reported before the cut.
#[derive(Debug, Default)]
struct Reported {
    /// The last commit that was reported, and the head that it left.
    commits: i64,
    head: Option<Cursor>,
    /// Whether the database was open.
    opened: bool,
}

pub(crate) fn open(path: &Path, seed: u64) -> Result<ServerDatabase, greenlight_store::OpenError> {
    ServerDatabase::open(options(seed, Location::File(path.to_owned())), &schema())
}

/// A commit's rows, and its mark in another table.
pub(crate) fn statements(commit: i64) -> String {
    let rows: Vec<_> = (0..ROWS).map(|row| format!("({}, {commit}, zeroblob(700))", commit * ROWS + row)).collect();
    format!("INSERT INTO t VALUES {}; INSERT INTO mark VALUES ('{commit}')", rows.join(", "))
}

/// Uploads and statements in turn, until the power is cut or all is done.
fn run(disk: &Disk, path: &Path, seed: u64, pragma: &str) -> Reported {
    let mut reported = Reported::default();
    let mut random = random(seed);
    let Ok(mut server) = open(path, seed) else {
        assert!(disk.is_cut());
        return reported;
    };
    reported.opened = true;
    let tuned = format!("{pragma}; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}");
    if server.connection().execute_batch(&tuned).is_err() {
        assert!(disk.is_cut());
        return reported;
    }
    let mut alice = client(seed + 1);
    for commit in 1..=COMMITS {
        let done = if random().is_multiple_of(2) {
            alice.exec(&statements(commit), &[]).unwrap();
            upload(&mut alice, &mut server)
        } else {
            let work = Work::Exec { sql: statements(commit), params: Vec::new() };
            server.commit(&[work]).map(|committed| {
                assert!(committed.done.iter().all(|done| matches!(done, Done::Exec(Ok(_)))), "{committed:?}");
            })
        };
        if done.is_err() {
            assert!(disk.is_cut(), "{done:?}");
            return reported;
        }
        reported.commits = commit;
        match server.head() {
            Ok(head) => reported.head = Some(head),
            Err(_) => return reported,
        }
    }
    reported
}

/// What `push` does, but for faults.
pub(crate) fn upload(alice: &mut ClientDatabase, server: &mut ServerDatabase) -> Result<(), Fault> {
    let site = alice.load().unwrap().site_id;
    let plan = alice.begin_upload().unwrap();
    let changes = alice.read(&plan.read).unwrap().changes.decode().unwrap();
    let part = UploadPart { site, since: plan.since.version, until: plan.until, last: true, changes };
    for result in server.apply(&[part])? {
        result?;
    }
    alice.acknowledge(plan.until).unwrap();
    Ok(())
}

/// What is wrong with the folder that is found.
fn judge(path: &Path, reported: &Reported) -> Result<(), String> {
    let mut server = open(path, 999).map_err(|error| format!("it can't be opened: {error}"))?;
    let conn = server.connection();
    let ask = |sql: &str| -> String { conn.query_row(sql, [], |row| row.get(0)).unwrap() };
    let check = ask("PRAGMA integrity_check");
    if check != "ok" {
        return Err(format!("it is damaged: {check}"));
    }
    let number = |sql: &str| -> i64 { conn.query_row(sql, [], |row| row.get(0)).unwrap() };
    let commits = number("SELECT count(*) FROM mark");
    let (whole, all) = (number("SELECT count(DISTINCT a) FROM t"), number("SELECT count(*) FROM t"));
    if (whole, all) != (commits, commits * ROWS) {
        return Err(format!("a commit is half there: {commits} commits, {whole} seen, {all} rows"));
    }
    if commits < reported.commits || commits > reported.commits + 1 {
        return Err(format!("{} commits were reported, {commits} are there", reported.commits));
    }
    let head = server.head().unwrap();
    if commits == reported.commits && reported.head.is_some_and(|reported| reported != head) {
        return Err(format!("the head was {:?} and is {head:?}", reported.head));
    }
    // It goes on as if nothing had happened.
    let mut bob = client(77);
    bob.exec("INSERT INTO t VALUES (-1, 'later', 1)", &[]).unwrap();
    push(&mut bob, &mut server);
    assert_eq!(rows(server.connection(), "t").len() as i64, all + 1);
    assert!(server.facts().unwrap().head.version > head.version);
    Ok(())
}

/// Runs once, cut at a change that the seed chooses, and judges what is found.
fn cut(seed: u64, pragma: &str) -> Result<Reported, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = |folder: &TempDir| folder.path().join("shop");
    let disk = Disk::under(folder.path());
    let mut random = random(seed ^ 0xc0ffee);
    // Most cuts come while it is in use, some while it is made.
    disk.cut_at(random() % CHANGES);
    let reported = run(&disk, &path(&folder), seed, pragma);
    // Whatever SQLite left undone at the end is cut off too.
    for _ in 0..3 {
        let found = tempfile::tempdir().unwrap();
        disk.after_cut(random(), found.path());
        judge(&path(&found), &reported).map_err(|what| format!("seed {seed}: {what}"))?;
    }
    Ok(reported)
}

#[test]
fn what_was_reported_as_committed_survives_a_power_cut() {
    let (mut commits, mut unopened, mut whole) = (0, 0, 0);
    let seeds = std::env::var("GREENLIGHT_CUTS").map_or(SEEDS, |text| text.parse().unwrap());
    for seed in 0..seeds {
        let reported = cut(seed, "").unwrap();
        commits += reported.commits;
        unopened += u64::from(!reported.opened);
        whole += u64::from(reported.commits == COMMITS);
    }
    println!("power cuts: {seeds}, {unopened} before it was open, {whole} after the last commit");
    println!("reported commits checked: {}", 3 * commits);
    assert!(unopened > 0 && whole < seeds / 2 && commits > 5 * seeds as i64);
}

#[test]
fn without_the_sync_at_each_commit_this_harness_sees_commits_lost() {
    let mut lost = (0..SEEDS_TO_LOSE).filter_map(|seed| cut(seed, "PRAGMA synchronous = NORMAL").err());
    let found = lost.next().expect("a commit that was reported and is gone");
    assert!(found.contains("commits were reported"), "{found}");
}
