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
    let row = |isbn: &str, title: &str, pages: &str| {
        let cells = serde_json::json!({ "title": { "text": title }, "pages": { "integer": pages } });
        serde_json::json!({ "key": [{ "text": isbn }], "pending": true, "deleted": false, "cells": cells })
    };
    let rows = [row("1", "Emma", "474"), row("2", "Persuasion", "249")];
    let book = serde_json::json!([{ "table": "book", "pending": 2, "all": 0, "rows": rows }]);
    assert_eq!((&json["tables"], &json["whole"]), (&book, &false.into()));
}

#[test]
fn its_rows_are_shown_as_a_table_of_bounded_size() {
    let (_folder, bundle, _) = folder();
    let rows = |words: &[&str]| {
        let text = said(&greenlight(&[&["bundle", "show"], words].concat(), &[&bundle]));
        let at = text.find("book, the first").unwrap_or(text.len());
        text[at..].to_owned()
    };
    let expected = "book, the first 2 of 2 rows:
  key  state    pages  title
  \"1\"  pending  474    \"Emma\"
  \"2\"  pending  249    \"Persuasion\"
";
    assert_eq!(rows(&[]), expected);
    assert_eq!(rows(&["--limit", "1"]).lines().count(), 3);
    assert_eq!(rows(&["--limit", "0"]), "");
}

#[test]
fn a_file_can_not_write_on_the_terminal() {
    let (folder, bundle, db) = folder();
    let text = std::fs::read_to_string(&bundle).unwrap();
    let hostile = text.replace("\"name\":\"shop\"", "\"name\":\"\\u001b[2J\"").replace("Emma", "\\u001b]0;x\\u0007");
    assert_ne!(hostile, text);
    let file = folder.path().join("hostile");
    std::fs::write(&file, hostile.replace("\"table\":\"book\"", "\"table\":\"\\u001b[1m\"")).unwrap();
    let db = db.to_str().unwrap();
    for words in [&["bundle", "show"][..], &["bundle", "apply", "--db", db]] {
        let output = greenlight(words, &[&file]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(!said(&output).contains('\u{1b}'), "{:?}", said(&output));
    }
}

#[test]
fn a_database_is_made_for_it_where_the_schema_is_named() {
    let (folder, bundle, _) = folder();
    let at = |name: &str| folder.path().join(name);
    let (db, schema) = (at("made.db"), at("shop.sql"));
    std::fs::write(&schema, SCHEMA).unwrap();
    let apply = |schema: &Path, more: &[&str]| {
        let files = ["--db", db.to_str().unwrap(), "--schema", schema.to_str().unwrap()];
        greenlight(&[&["bundle", "apply"], &files[..], more].concat(), &[&bundle])
    };
    let tried = apply(&schema, &["--dry-run"]);
    assert!(said(&tried).contains("2 rows would be written"), "{}", said(&tried));
    assert!(!db.exists(), "a dry run makes nothing");

    std::fs::write(at("notes.sql"), SCHEMA.replace("shop", "notes")).unwrap();
    std::fs::write(at("broken.sql"), "CREATE TABLE").unwrap();
    for (name, why) in
        [("notes.sql", "the bundle is of schema"), ("broken.sql", "can't be used"), ("none.sql", "can't be read")]
    {
        let refused = apply(&at(name), &[]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(said(&refused).contains(why), "{}", said(&refused));
        assert!(!db.exists(), "{name}");
    }

    assert!(apply(&schema, &[]).status.success());
    assert_eq!(books(&db), [("1".into(), "Emma".into(), 474), ("2".into(), "Persuasion".into(), 249)]);

    // Another form of the schema: a dry run says so and leaves the file alone, else it is brought to it.
    let newer = at("newer.sql");
    std::fs::write(&newer, SCHEMA.replace("shop 1", "shop 2").replace("pages INTEGER", "pages INTEGER, price REAL"))
        .unwrap();
    let refused = apply(&newer, &["--dry-run"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("a dry run does not change that"), "{}", said(&refused));
    let columns = || -> i64 {
        let conn = rusqlite::Connection::open(&db).unwrap();
        conn.query_row("SELECT count(*) FROM pragma_table_info('book')", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(columns(), 3);
    let applied = apply(&newer, &[]);
    assert!(applied.status.success());
    assert!(said(&applied).contains("schema: shop 1 -> shop 2, adds column book.price"), "{}", said(&applied));
    assert_eq!(columns(), 4);
}

#[test]
fn rows_that_the_schema_refuses_are_told_and_the_others_written() {
    let (folder, bundle, _) = folder();
    let (db, schema) = (folder.path().join("strict.db"), folder.path().join("strict.sql"));
    std::fs::write(&schema, SCHEMA.replace("pages INTEGER", "pages INTEGER CHECK (pages < 400)")).unwrap();
    let words = ["bundle", "apply", "--json", "--db", db.to_str().unwrap(), "--schema", schema.to_str().unwrap()];
    let output = greenlight(&words, &[&bundle]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("still in the bundle: 1 row\n"), "{}", said(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["rows"], &json["refused"]), (&1.into(), &1.into()));
    assert_eq!(json["refusals"][0]["key"], serde_json::json!([{ "text": "1" }]));
    assert_eq!(books(&db), [("2".into(), "Persuasion".into(), 249)]);
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
    let all = apply(&["--dry-run", "--rows", "all"]);
    assert!(all.contains("holds only what was not acknowledged"), "{all}");

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
    assert!(said(&output).contains("name its schema with --schema"), "{}", said(&output));
    assert!(!nowhere.exists());
    assert_eq!(books(&db), before);
}
