//! The copy that is made before a migration: when, of what, how many, and that nothing is migrated without it.

use std::path::{Path, PathBuf};

use greenlight_core::replica::ServerStore;
use greenlight_store::{Backups, Location, OpenError, Schema, ServerDatabase};
use tempfile::TempDir;

use crate::peers::{exec, options, rows};

struct Place {
    folder: TempDir,
    keep: usize,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), keep: 2 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    fn backups(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    fn open(&self, text: &str) -> Result<ServerDatabase, OpenError> {
        let mut options = options(1, Location::File(self.path()));
        options.backups = Some(Backups { folder: self.backups(), keep: self.keep });
        ServerDatabase::open(options, &Schema::parse(text).unwrap())
    }

    /// The names of the copies, the oldest first; whatever else lies there is among them.
    fn copies(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.backups()) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Column `c0` alone at number 1, one more with each number.
fn schema(number: u32) -> String {
    let columns: String = (0..number).map(|index| format!(", c{index}")).collect();
    format!("-- schema: test {number}\nCREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY{columns});")
}

fn value(path: &Path, sql: &str) -> String {
    rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_copy_of_what_was_committed_last_is_made_before_the_schema_goes_up() {
    let place = Place::new();
    let mut server = place.open(&schema(1)).unwrap();
    exec(&mut server, "INSERT INTO t VALUES (1, 'in the log still')");
    let before = server.facts().unwrap();
    assert!(place.copies().is_empty(), "making a database is no migration");
    // Another process has the file open, so that its log stays where it is.
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
    drop(server);

    let mut server = place.open(&schema(2)).unwrap();
    exec(&mut server, "UPDATE t SET c1 = 'later'");
    let copies = place.copies();
    assert!(copies.len() == 1 && copies[0].starts_with("shop.db.schema-1.1970"), "{copies:?}");
    let copy = place.backups().join(&copies[0]);
    assert_eq!(value(&copy, "PRAGMA integrity_check"), "ok");
    assert_eq!(value(&copy, "PRAGMA journal_mode"), "delete", "one file, whole without another");
    let conn = rusqlite::Connection::open(&copy).unwrap();
    assert_eq!(rows(&conn, "t").concat().len(), 2, "as it was, without the new column");
    drop((conn, server));
    drop(place.open(&schema(2)).unwrap());
    assert_eq!(place.copies(), copies, "nothing to migrate, nothing to copy");

    std::fs::copy(&copy, place.folder.path().join("again")).unwrap();
    let options = options(1, Location::File(place.folder.path().join("again")));
    let mut again = ServerDatabase::open(options, &Schema::parse(&schema(1)).unwrap()).unwrap();
    assert_eq!(again.facts().unwrap(), before);
}

#[test]
fn without_a_copy_nothing_is_migrated() {
    let place = Place::new();
    let mut server = place.open(&schema(1)).unwrap();
    exec(&mut server, "INSERT INTO t VALUES (1, 'kept')");
    drop(server);
    // Also the superuser can't make a folder where a file is.
    std::fs::write(place.backups(), "in the way").unwrap();
    let Err(error) = place.open(&schema(2)) else { panic!("it must not open") };
    assert!(matches!(error, OpenError::Backup { from: 1, to: 2, .. }), "{error}");
    let sentence = error.to_string();
    assert!(sentence.contains("stays at schema 1") && !sentence.contains("shop.db"), "{sentence}");
    let mut server = place.open(&schema(1)).unwrap();
    assert_eq!(server.facts().unwrap().schema.number, 1);
    assert_eq!(rows(server.connection(), "t").concat().len(), 2);
}

#[test]
fn a_migration_that_fails_leaves_no_copy_and_pushes_none_out() {
    let place = Place::new();
    drop(place.open(&schema(1)).unwrap());
    drop(place.open(&schema(2)).unwrap());
    let mut server = place.open(&schema(3)).unwrap();
    exec(&mut server, "INSERT INTO t (id) VALUES (1)");
    drop(server);
    let copies = place.copies();
    assert_eq!(copies.len(), 2);
    // SQLite itself refuses such a column where there are rows; that shows only when it is added.
    let bad = schema(3).replace("test 3", "test 4").replace(", c2", ", c2, d NOT NULL DEFAULT CURRENT_TIMESTAMP");
    for _ in 0..4 {
        let Err(OpenError::Schema(error)) = place.open(&bad) else { panic!("it must not open") };
        assert!(error.to_string().contains("column `d` of table `t`"), "{error}");
        assert_eq!(place.copies(), copies);
    }
    for bad in [schema(2).replace("test 2", "test 4"), schema(1)] {
        assert!(matches!(place.open(&bad), Err(OpenError::Schema(_))));
        assert_eq!(place.copies(), copies, "what is refused at once is not copied");
    }
}

#[test]
fn the_oldest_copies_go_and_what_else_lies_there_stays() {
    let place = Place::new();
    drop(place.open(&schema(1)).unwrap());
    drop(place.open(&schema(2)).unwrap());
    for other in ["shop.db.schema-1.by-hand.sqlite3", "shop.schema-1.20200101T000000000Z.sqlite3"] {
        std::fs::write(place.backups().join(other), "").unwrap();
    }
    // As a process leaves it that was killed while it wrote.
    std::fs::write(place.backups().join(".shop.db.part"), "half").unwrap();
    for number in 3..6 {
        drop(place.open(&schema(number)).unwrap());
    }
    let mut kinds: Vec<String> = place.copies();
    kinds.retain(|name| !name.contains("by-hand") && !name.starts_with("shop.schema"));
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(kinds[0].starts_with("shop.db.schema-3.") && kinds[1].starts_with("shop.db.schema-4."), "{kinds:?}");
    assert_eq!(place.copies().len(), 4);
}
