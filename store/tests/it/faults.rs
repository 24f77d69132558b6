//! Disks that are full, read-only or broken, at every single step: nothing is reported that isn't there, nothing is half
//! there, nothing panics, and once the disk is mended it goes on.
//!
//! Where in the flow: the real database on a disk of which the n-th operation of a kind fails, once or from then on, for
//! each n until a whole run has none left to fail; an ordinary run takes every third, `GREENLIGHT_FAULT_STEP=1` all of
//! them. A failed sync also loses what it was to write, as systems do.

use std::collections::BTreeSet;
use std::os::raw::c_int;

use greenlight_core::replica::ServerStore;
use greenlight_store::{ServerDatabase, Work};
use rusqlite::ffi;

use crate::disk::{Disk, Failure, Kind};
use crate::peers::client;
use crate::power::{ROWS, open, statements, upload};

/// How far apart those are that fail in an ordinary run.
const STEP: usize = 3;
/// More operations of a kind than a run has.
const ENDLESS: u64 = 5_000;
/// Commits while the disk fails.
const COMMITS: i64 = 5;

/// The commits that are in a database, each of them whole.
fn commits(server: &ServerDatabase) -> BTreeSet<i64> {
    let conn = server.connection();
    let ask = |sql: &str| -> Vec<(i64, i64)> {
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(conn.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    let found = ask("SELECT a, count(*) FROM t GROUP BY a");
    assert!(found.iter().all(|(_, rows)| *rows == ROWS), "half of a commit: {found:?}");
    let found: BTreeSet<i64> = found.into_iter().map(|(commit, _)| commit).collect();
    let marks: BTreeSet<i64> =
        ask("SELECT CAST(id AS INTEGER), 1 FROM mark").into_iter().map(|(commit, _)| commit).collect();
    assert_eq!(found, marks, "half of a commit");
    found
}

fn exec(server: &mut ServerDatabase, commit: i64) -> bool {
    let work = Work::Exec { sql: statements(commit), params: Vec::new() };
    match server.commit(&[work]) {
        Ok(committed) => matches!(&committed.done[..], [greenlight_store::Done::Exec(Ok(_))]),
        Err(_) => false,
    }
}

/// Whether the disk failed within the run.
fn works_through(failure: Failure) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop");
    let disk = Disk::under(folder.path());
    let mut server = open(&path, 1).unwrap();
    // Little memory and a short log, so that it reads, and writes back, within the run.
    server.connection().execute_batch("PRAGMA wal_autocheckpoint = 20; PRAGMA cache_size = 10").unwrap();
    let mut alice = client(2);
    let mut reported = BTreeSet::new();
    assert!(exec(&mut server, 1));
    reported.insert(1);

    disk.fail(failure);
    for commit in 2..2 + COMMITS {
        if commit % 3 > 0 {
            if exec(&mut server, commit) {
                reported.insert(commit);
            }
        } else {
            // What is not acknowledged stays pending, and goes up with what comes next.
            alice.exec(&statements(commit), &[]).unwrap();
            if upload(&mut alice, &mut server).is_ok() {
                reported.extend((2..=commit).filter(|commit| commit % 3 == 0));
            }
        }
        drop((server.facts(), server.notice_external(), server.probe()));
    }
    let has_failed = disk.mend();

    // The same connection goes on, and has what was reported and nothing else.
    assert_eq!(commits(&server), reported, "{failure:?}");
    assert!(exec(&mut server, 100), "it works again");
    upload(&mut alice, &mut server).unwrap();
    reported.extend((2..2 + COMMITS).filter(|commit| commit % 3 == 0).chain([100]));
    assert_eq!(commits(&server), reported, "{failure:?}");
    let found = tempfile::tempdir().unwrap();
    disk.after_cut(failure.nth, found.path());
    assert_eq!(commits(&open(&found.path().join("shop"), 3).unwrap()), reported, "after a cut: {failure:?}");
    drop(server);
    assert_eq!(commits(&open(&path, 3).unwrap()), reported, "opened again: {failure:?}");
    has_failed
}

/// Whether the disk failed while the database was made.
fn is_made(failure: Failure) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop");
    let disk = Disk::under(folder.path());
    disk.fail(failure);
    let opened = open(&path, 1);
    let worked = opened.is_ok();
    drop(opened);
    let has_failed = disk.mend();
    assert!(worked || has_failed);
    let mut server = open(&path, 2).unwrap();
    assert!(exec(&mut server, 1), "{failure:?}");
    assert_eq!(commits(&server), BTreeSet::from([1]));
    has_failed
}

/// Tries every n, or as many as the step lets, until there is none, and tells how many there were.
fn at_every_step(kind: Kind, code: c_int, stays: bool, run: impl Fn(Failure) -> bool) -> u64 {
    let step = std::env::var("GREENLIGHT_FAULT_STEP").map_or(STEP, |text| text.parse().unwrap());
    let steps = (1 + u64::from(stays)..ENDLESS)
        .step_by(step)
        .take_while(|nth| run(Failure { kind, nth: *nth, code, stays }))
        .count() as u64;
    println!("  {kind:?} with code {code}, {}: {steps} steps", if stays { "from then on" } else { "once" });
    assert!(steps < ENDLESS / step as u64);
    steps
}

/// Fails each of these at every step, once and from then on.
fn at_work(failures: &[(Kind, c_int)], least: u64) {
    let mut steps = 0;
    for (kind, code) in failures {
        for stays in [false, true] {
            steps += at_every_step(*kind, *code, stays, works_through);
        }
    }
    println!("faults at work: {steps}");
    assert!(steps > least, "{steps} steps");
}

#[test]
fn on_a_full_disk_nothing_is_reported_that_is_not_there() {
    at_work(&[(Kind::Write, ffi::SQLITE_FULL), (Kind::Sync, ffi::SQLITE_FULL)], 60);
}

#[test]
fn where_nothing_can_be_written_nothing_is_reported_that_is_not_there() {
    at_work(&[(Kind::Write, ffi::SQLITE_READONLY)], 60);
}

#[test]
fn on_a_disk_that_fails_to_write_nothing_is_reported_that_is_not_there() {
    at_work(&[(Kind::Write, ffi::SQLITE_IOERR_WRITE), (Kind::Sync, ffi::SQLITE_IOERR_FSYNC)], 60);
}

/// A read that fails within a merge left cr-sqlite's statements half-way: everything that was uploaded later was
/// acknowledged and put into quarantine.
#[test]
fn on_a_disk_that_fails_otherwise_nothing_is_reported_that_is_not_there() {
    let (read, truncate) = (ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_TRUNCATE);
    let (open, delete) = (ffi::SQLITE_CANTOPEN, ffi::SQLITE_IOERR_DELETE);
    at_work(&[(Kind::Read, read), (Kind::Truncate, truncate), (Kind::Open, open), (Kind::Delete, delete)], 20);
}

#[test]
fn while_it_is_made_it_is_made_or_made_later() {
    let mut steps = 0;
    for (kind, code) in [
        (Kind::Write, ffi::SQLITE_FULL),
        (Kind::Sync, ffi::SQLITE_IOERR_FSYNC),
        (Kind::Read, ffi::SQLITE_IOERR_READ),
        (Kind::Truncate, ffi::SQLITE_IOERR_TRUNCATE),
        (Kind::Open, ffi::SQLITE_CANTOPEN),
        (Kind::Delete, ffi::SQLITE_IOERR_DELETE),
    ] {
        steps += at_every_step(kind, code, true, is_made);
    }
    println!("faults while it is made: {steps}");
    assert!(steps > 40);
}
