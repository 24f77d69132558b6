//! `greenlight bundle`, as a person runs it: the real program on files of its own.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use greenlight_core::replica::{Author, ClientStore, ReadRequest};
use greenlight_core::{Cursor, Version};
use greenlight_store::bundle::{self, Header, Line};
use greenlight_store::{ClientDatabase, Location, Options, Schema};

const SCHEMA: &str =
    "-- schema: shop 1\nCREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT, pages INTEGER);";

fn open(file: &Path) -> ClientDatabase {
    let options = Options::system(Location::File(file.to_owned()), || 1).unwrap();
    ClientDatabase::open(options, &Schema::parse(SCHEMA).unwrap()).unwrap()
}

/// A folder with a bundle of two books, and a database that has one of them otherwise.
fn folder() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut old = open(&folder.path().join("old.db"));
    old.exec("INSERT INTO book VALUES ('1', 'Emma', 474), ('2', 'Persuasion', 249)", &[]).unwrap();
    let state = old.load().unwrap();
    let header = Header::new("0".repeat(32), "shop".into(), 1_700_000_000_000, "lineage".into(), &state);
    let mut lines = bundle::line(&header).unwrap();
    let until = Cursor { version: state.outbox.head, ..Cursor::ZERO };
    let request = ReadRequest { since: Version::ZERO, until: Some(until), after: None, author: Author::Own };
    let changes = old.read(&request).unwrap().changes.decode().unwrap();
    for change in &changes {
        lines.extend(bundle::line(&bundle::save(change, false)).unwrap());
    }
    lines.extend(bundle::line(&Line::End { end: changes.len() as u64 + 1 }).unwrap());
    let (bundle, db) = (folder.path().join("shop.jsonl"), folder.path().join("new.db"));
    std::fs::write(&bundle, lines).unwrap();
    drop(old);
    open(&db).exec("INSERT INTO book VALUES ('1', 'Emma', 500)", &[]).unwrap();
    (folder, bundle, db)
}

fn greenlight(words: &[&str], files: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_greenlight")).args(words).args(files).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn books(db: &Path) -> Vec<(String, String, i64)> {
    let conn = rusqlite::Connection::open(db).unwrap();
    let mut select = conn.prepare("SELECT isbn, title, pages FROM book ORDER BY isbn").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_bundle_is_shown() {
    let (_folder, bundle, _) = folder();
    let output = greenlight(&["bundle", "show"], &[&bundle]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for part in ["database `shop`", "Tue, 14 Nov 2023 22:13:20 GMT", "lineage", "shop 1", "4 changes", "book"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    let output = greenlight(&["bundle", "show", "--json"], &[&bundle]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["schemaName"], "shop");
    assert_eq!(json["tables"], serde_json::json!([{ "table": "book", "pending": 2, "all": 0 }]));
}

#[test]
fn a_bundle_is_applied_after_it_was_tried() {
    let (_folder, bundle, db) = folder();
    let before = books(&db);
    let apply = |more: &[&str]| {
        let words = [&["bundle", "apply", "--db", db.to_str().unwrap()], more].concat();
        let output = greenlight(&words, &[&bundle]);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    let tried = apply(&["--dry-run"]);
    assert!(tried.contains("2 rows would be written"), "{tried}");
    assert!(tried.contains("(\"1\") pages: 500 becomes 474"), "{tried}");
    assert_eq!(books(&db), before);

    let json: serde_json::Value = serde_json::from_str(&apply(&["--json"])).unwrap();
    assert_eq!((&json["rows"], &json["written"]), (&2.into(), &true.into()));
    assert_eq!((&json["tables"][0]["added"], &json["tables"][0]["overwritten"]), (&1.into(), &1.into()));
    assert_eq!(books(&db), [("1".into(), "Emma".into(), 474), ("2".into(), "Persuasion".into(), 249)]);
    assert_eq!(open(&db).outbox().unwrap().changes, 4, "the own row's two cells, of which one anew, and two more");

    let again = apply(&[]);
    assert!(again.contains("Nothing differs"), "{again}");
    assert_eq!(open(&db).outbox().unwrap().changes, 4);
}

#[test]
fn what_can_not_be_used_is_told_and_leaves_the_database_as_it_was() {
    let (folder, bundle, db) = folder();
    let before = books(&db);
    let at = |name: &str| folder.path().join(name);
    let whole = std::fs::read(&bundle).unwrap();
    std::fs::write(at("cut"), &whole[..whole.len() - 12]).unwrap();
    std::fs::write(at("foreign"), "SQLite format 3\0").unwrap();
    let text = String::from_utf8(whole).unwrap();
    std::fs::write(at("newer"), text.replace("\"greenlightBundle\":1", "\"greenlightBundle\":9")).unwrap();
    std::fs::write(at("other"), text.replace("\"schemaName\":\"shop\"", "\"schemaName\":\"notes\"")).unwrap();
    let refused = [
        ("cut", "not complete"),
        ("foreign", "line 1 is not a bundle's"),
        ("newer", "format 9 is not known"),
        ("other", "the bundle is of schema `notes`"),
        ("missing", "can't be read"),
    ];
    for (name, why) in refused {
        let output = greenlight(&["bundle", "apply", "--db", db.to_str().unwrap()], &[&at(name)]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(said(&output).contains(why), "{name}: {}", said(&output));
        assert!(!said(&output).contains("panicked"), "{}", said(&output));
    }
    let nowhere = at("nowhere.db");
    let output = greenlight(&["bundle", "apply", "--db", nowhere.to_str().unwrap()], &[&bundle]);
    assert!(said(&output).contains("is not there"), "{}", said(&output));
    assert!(!nowhere.exists());
    assert_eq!(books(&db), before);
}
