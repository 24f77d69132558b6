//! A file takes a database's place, and nothing that somebody writes meanwhile is left behind unsaid.

use std::path::{Path, PathBuf};

use greenlight_store::portable::{Event, Fit, PortableError, Step, Swap, Take, Watched, fit, swap, take};
use greenlight_store::{ClientDatabase, Location};
use rusqlite::Connection;

use crate::peers::{options, schema};

/// A replica with a table that is this machine's alone, and a snapshot of it that is ready to be fitted.
fn prepared(folder: &Path) -> (PathBuf, PathBuf) {
    let db = folder.join("db.sqlite");
    let mut client = ClientDatabase::open(options(1, Location::File(db.clone())), &schema()).unwrap();
    client.exec("INSERT INTO t VALUES (1, 'one', 1)", &[]).unwrap();
    drop(client);
    note(&db, "CREATE TABLE note (text); INSERT INTO note VALUES ('before')");
    let (backup, part) = (folder.join("bak"), folder.join("part"));
    let compacted = folder.join("compacted");
    take(&Take { source: &db, backup: &backup, part: &part, compacted: &compacted, mark: 1 }, &mut |_| {}).unwrap();
    (db, part)
}

fn note(db: &Path, sql: &str) {
    Connection::open(db).unwrap().execute_batch(sql).unwrap();
}

fn notes(db: &Path) -> Vec<String> {
    let conn = Connection::open(db).unwrap();
    let mut select = conn.prepare("SELECT text FROM note ORDER BY text").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn has_log(db: &Path) -> bool {
    let conn = Connection::open(db).unwrap();
    conn.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0)).unwrap() == "wal"
}

/// As a pull does it; at this step somebody does this.
fn replace(folder: &Path, db: &Path, part: &Path, step: Step, act: impl Fn()) -> Result<bool, PortableError> {
    let mut watch = |event| {
        if event == Event::Reached(step) {
            act();
        }
    };
    let watched = Watched::begin(db).unwrap();
    let mut random = || 7;
    fit(Fit { file: part, present: Some(db), mark: 2, continues: true, random: &mut random }, &mut watch).unwrap();
    swap(Swap { ready: part, target: db, watched, kept: &folder.join("kept"), expected: None }, &mut watch)
}

#[test]
fn what_is_written_between_the_copy_and_the_swap_stops_it() {
    for mode in ["WAL", "DELETE"] {
        let folder = tempfile::tempdir().unwrap();
        let (db, part) = prepared(folder.path());
        note(&db, &format!("PRAGMA journal_mode = {mode}"));
        let spare = folder.path().join("spare");
        std::fs::copy(&part, &spare).unwrap();
        let write = || note(&db, "INSERT INTO note VALUES ('meanwhile')");
        let swapped = replace(folder.path(), &db, &part, Step::Fitted, write);
        assert_eq!(swapped, Err(PortableError::Moved), "{mode}");
        assert_eq!((notes(&db), has_log(&db)), (vec!["before".into(), "meanwhile".into()], mode == "WAL"), "{mode}");
        assert!(!folder.path().join("kept").exists());
        // Again, and nobody writes: it is all there.
        assert_eq!(replace(folder.path(), &db, &spare, Step::Fitted, || {}), Ok(true), "{mode}");
        assert_eq!(notes(&db), ["before", "meanwhile"], "{mode}");
        assert_eq!(notes(&folder.path().join("kept")), ["before", "meanwhile"], "{mode}");
    }
}

#[test]
fn who_reads_meanwhile_stops_nothing_and_who_has_it_open_does() {
    let folder = tempfile::tempdir().unwrap();
    let (db, part) = prepared(folder.path());
    let spare = folder.path().join("spare");
    std::fs::copy(&part, &spare).unwrap();
    let holder = Connection::open(&db).unwrap();
    holder.query_row("SELECT count(*) FROM note", [], |_| Ok(())).unwrap();
    assert_eq!(replace(folder.path(), &db, &part, Step::Fitted, || {}), Err(PortableError::Busy));
    drop(holder);
    assert_eq!((notes(&db), has_log(&db)), (vec!["before".to_owned()], true));
    assert_eq!(replace(folder.path(), &db, &spare, Step::Fitted, || drop(notes(&db))), Ok(true));
    assert_eq!(notes(&db), ["before"]);
}

#[test]
fn while_the_new_one_gets_the_name_nobody_writes_into_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let (db, part) = prepared(folder.path());
    let refused = std::cell::Cell::new(false);
    let write = || {
        let conn = Connection::open(&db).unwrap();
        conn.busy_timeout(std::time::Duration::ZERO).unwrap();
        refused.set(conn.execute_batch("INSERT INTO note VALUES ('late')").is_err());
    };
    assert_eq!(replace(folder.path(), &db, &part, Step::Kept, write), Ok(true));
    assert!(refused.get());
    assert_eq!((notes(&db), has_log(&db)), (vec!["before".to_owned()], true));
}
