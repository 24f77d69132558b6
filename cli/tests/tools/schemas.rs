//! What `sync status` and the doctor say of a client's schema is what a sync finds, whatever the two schemas are.
//!
//! Where in the flow: the real program against a real server, one home for each schema. Never asks one without the other.

use std::path::Path;

use serde_json::Value;

use crate::fixture::{Home, home};

const BOOK: &str = "CREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT, price INTEGER DEFAULT 0);";
const SHELF: &str = "CREATE TABLE shelf (id TEXT NOT NULL, room TEXT NOT NULL, size REAL, PRIMARY KEY (id, room));";
const LAMP: &str = "CREATE TABLE lamp (id TEXT NOT NULL PRIMARY KEY);";
/// Lacks a column.
const THIN_BOOK: &str = "CREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT);";
/// Has one more.
const THICK_BOOK: &str =
    "CREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT, price INTEGER DEFAULT 0, pages INTEGER);";
const DEAR_BOOK: &str = "CREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT, price INTEGER DEFAULT 9);";
const OTHER_KEY: &str = "CREATE TABLE shelf (id TEXT NOT NULL PRIMARY KEY, room TEXT, size REAL);";
const TURNED_KEY: &str =
    "CREATE TABLE shelf (id TEXT NOT NULL, room TEXT NOT NULL, size REAL, PRIMARY KEY (room, id));";

/// A client's schema beside `shop 5` with [`BOOK`] and [`SHELF`].
struct Case {
    /// Name and number.
    schema: &'static str,
    tables: &'static [&'static str],
    /// The reason for which a sync is refused, and what it says of the difference; empty where it is not.
    refused: &'static [&'static str],
}

const fn case(schema: &'static str, tables: &'static [&'static str], refused: &'static [&'static str]) -> Case {
    Case { schema, tables, refused }
}

const CASES: &[Case] = &[
    // The same; other numbers; types and defaults that differ beside another number.
    case("shop 5", &[BOOK, SHELF], &[]),
    case("shop 4", &[BOOK, SHELF], &[]),
    case("shop 6", &[BOOK, SHELF], &[]),
    case("shop 4", &[DEAR_BOOK, SHELF], &[]),
    // Less than the server has, with a lower and with a higher number.
    case("shop 4", &[THIN_BOOK], &[]),
    case("shop 6", &[THIN_BOOK], &[]),
    // More than the server has.
    case("shop 6", &[THICK_BOOK, SHELF], &["schema_newer", "table `book` lacks column `pages`"]),
    case("shop 6", &[BOOK, SHELF, LAMP], &["schema_newer", "table `lamp` is missing"]),
    case("shop 4", &[THICK_BOOK], &["schema_older", "table `book` lacks column `pages`"]),
    case("shop 4", &[BOOK, LAMP], &["schema_older", "table `lamp` is missing"]),
    // Another key.
    case("shop 6", &[BOOK, OTHER_KEY], &["schema_newer", "table `shelf`", "(id, room) and not (id)"]),
    case("shop 4", &[TURNED_KEY], &["schema_older", "table `shelf`", "(id, room) and not (room, id)"]),
    // One number for two structures.
    case("shop 5", &[THIN_BOOK, SHELF], &["schema_differs", "in the app table `book` lacks column `price`"]),
    case("shop 5", &[DEAR_BOOK, SHELF], &["schema_differs", "types, defaults or checks differ"]),
    case("library 5", &[BOOK, SHELF], &["schema_differs", "`shop` 5 on the server, `library` 5 in the app"]),
];

#[test]
fn they_agree_with_a_sync_on_every_schema() {
    let folder = tempfile::tempdir().unwrap();
    let owner = home(folder.path(), "server");
    std::fs::create_dir_all(owner.at("own")).unwrap();
    std::fs::write(owner.at("own/shop.sql"), format!("-- schema: shop 5\n{BOOK}\n{SHELF}\n")).unwrap();
    let schemas = owner.at("own");
    let server = owner.serve(&["--listen", "127.0.0.1:0", "--schemas", schemas.to_str().unwrap()]);
    let remote = server.url("shop");
    // Before a database is there, nothing is known of it.
    client(folder.path(), "first", &CASES[0], &remote).ok(&["sync", "now"]);
    std::thread::scope(|threads| {
        for (number, case) in CASES.iter().enumerate() {
            let (around, remote) = (folder.path(), &remote);
            threads.spawn(move || agree(&client(around, &format!("client-{number}"), case, remote), case.refused));
        }
    });
}

#[test]
fn they_agree_with_a_sync_on_a_database_that_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = home(folder.path(), "server").serve(&["--listen", "127.0.0.1:0"]);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    let bob = home(folder.path(), "bob").with_remote(&server.url("shop-2"));
    bob.ok(&["sync", "now"]);
    alice.ok(&["sync", "now"]);
    alice.ok(&["remote", "remove", "default"]);
    alice.ok(&["remote", "add", "default", &server.url("shop-2")]);
    agree(&alice, &["lineage", "was rebuilt"]);
}

/// A home with a database of a case's schema.
fn client(around: &Path, name: &str, case: &Case, remote: &str) -> Home {
    let home = home(around, name);
    let text = format!("-- schema: {}\n{}\n", case.schema, case.tables.join("\n"));
    let schema = home.file(&format!("{name}.sql"), &text);
    home.ok(&["init", "--schema", &schema]);
    home.ok(&["remote", "add", "default", remote]);
    home
}

#[track_caller]
fn agree(client: &Home, refused: &[&str]) {
    let is_refused = !refused.is_empty();
    let parse = |words: &[&str]| {
        let output = client.run(words);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), told)
    };
    // Both before the sync, which may change what the client follows.
    let (status_code, status) = parse(&["sync", "status", "--json"]);
    let (doctor_code, doctor) = parse(&["doctor", "--json"]);
    let (sync_code, sync) = parse(&["sync", "now", "--json"]);
    let all = format!("{status:#} {sync:#}");
    assert_eq!((status_code == 3, status["status"] == "incompatible"), (is_refused, is_refused), "{all}");
    assert_eq!((sync_code == 3, sync["ended"] == "halted"), (is_refused, is_refused), "{all}");
    assert_eq!(doctor_code == 1, is_refused, "{doctor:#}");
    let checks = doctor["checks"].as_array().unwrap();
    let remote = checks.iter().find(|found| found["check"] == "remote default").unwrap();
    assert_eq!(remote["level"] == "problem", is_refused, "{remote:#}");
    let [reason, words @ ..] = refused else {
        assert_eq!(sync["ended"], "in_step", "{all}");
        return;
    };
    assert_eq!(sync["status"]["reason"], *reason, "{all}");
    assert_eq!(status["why"], sync["status"]["sentence"], "one sentence for both");
    let why = status["why"].as_str().unwrap();
    assert!(remote["says"].as_str().unwrap().contains(why), "{remote:#}");
    for word in words {
        assert!(why.contains(word), "{word} in: {why}");
    }
}
