//! `--schema` on a database that is there: what it changes is said, and a server that is synced with is asked first.
//!
//! Where in the flow: the real program on files of its own, against a real server, and against none.

use std::collections::BTreeMap;

use crate::fixture::{Home, SCHEMA, Serving, home, said, tree};

/// A column and a table more.
const NEWER: &str = "-- schema: shop 2\nCREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT, price INTEGER);\n\
                     CREATE TABLE author (name TEXT NOT NULL PRIMARY KEY);\n";
/// What is said of that.
const SAID: &str = "schema: shop 1 -> shop 2, adds table author, column book.price";

/// A server of this schema.
fn serve(owner: &Home, folder: &str, schema: &str) -> Serving {
    let schemas = owner.at(folder);
    std::fs::create_dir_all(&schemas).unwrap();
    std::fs::write(schemas.join("shop.sql"), schema).unwrap();
    owner.serve(&["--listen", "127.0.0.1:0", "--schemas", schemas.to_str().unwrap()])
}

/// Ends with this code and sentence, and leaves everything of this home as it was.
fn leaves_alone(home: &Home, words: &[&str], code: i32, why: &str) {
    // The log of what was tried is no part of what is kept.
    let kept = || {
        let mut files = if home.folder.exists() { tree(&home.folder) } else { BTreeMap::new() };
        files.retain(|path, _| !path.starts_with(home.at("logs")));
        files
    };
    let before = kept();
    let told = home.ends(words, code);
    assert!(told.contains(why), "{told}");
    assert!(before == kept(), "{words:?} changed something");
}

#[test]
fn a_server_is_asked_before_anything_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let owner = home(folder.path(), "server");
    let server = serve(&owner, "old", SCHEMA);
    let url = server.url("shop");
    let alice = home(folder.path(), "alice").with_remote(&url);
    alice.write("Emma");
    alice.ok(&["sync", "now"]);
    let newer = alice.file("newer.sql", NEWER);
    let other = alice.file("other.sql", &NEWER.replace("shop 2", "notes 1"));
    let reused = alice.file("reused.sql", &NEWER.replace("shop 2", "shop 1"));
    for words in [&["sync", "now", "--schema"][..], &["sync", "watch", "--schema"], &["sync", "push", "--schema"]] {
        leaves_alone(&alice, &[words, &[&newer]].concat(), 3, "give it the newer schema");
    }
    alice.ok(&["sync", "now"]);
    // One that has nothing yet is not made of what its server would refuse.
    let bob = home(folder.path(), "bob");
    for (schema, why) in [
        (&newer, "on the server table `author` is missing"),
        (&other, "see that the address names the right database"),
        (&reused, "needs a higher number"),
    ] {
        leaves_alone(&bob, &["sync", "now", "--remote", &url, "--schema", schema], 3, why);
    }
    drop(server);
    leaves_alone(&alice, &["sync", "now", "--schema", &newer], 4, "`greenlight init --schema FILE`");
    leaves_alone(&bob, &["sync", "now", "--remote", &url, "--schema", &newer], 4, "can't be asked");

    let server = serve(&owner, "new", NEWER);
    let now = ["sync", "now", "--remote", &server.url("shop"), "--schema", &newer];
    assert!(alice.ok(&now).contains(SAID));
    assert!(!alice.ok(&now).contains("schema:"), "once");
    assert!(bob.ok(&now).contains("schema: the database is made of shop 2"));
    assert_eq!(bob.books(), ["Emma"]);
}

#[test]
fn a_server_that_does_not_have_the_database_yet_can_not_say() {
    let folder = tempfile::tempdir().unwrap();
    let owner = home(folder.path(), "server");
    let server = serve(&owner, "new", NEWER);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    alice.write("Emma");
    let newer = alice.file("newer.sql", NEWER);
    leaves_alone(&alice, &["sync", "now", "--schema", &newer], 3, "it has no database of this name");
    assert!(alice.ok(&["init", "--schema", &newer]).contains(SAID));
    alice.ok(&["sync", "now", "--schema", &newer]);
    alice.ok(&["sync", "status"]);
}

#[test]
fn another_server_has_no_say_in_a_database_that_follows_one() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (home(folder.path(), "server"), home(folder.path(), "server-2"));
    let (server, another) = (serve(&own, "old", SCHEMA), serve(&other, "new", NEWER));
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    alice.write("Emma");
    alice.ok(&["sync", "now"]);
    let newer = alice.file("newer.sql", NEWER);
    let url = another.url("shop");
    home(folder.path(), "bob").ok(&["sync", "now", "--remote", &url, "--schema", &newer]);
    leaves_alone(&alice, &["sync", "now", "--remote", &url, "--schema", &newer], 3, "the right database");
    alice.write("Persuasion");
    alice.ok(&["sync", "now"]);
}

#[test]
fn a_server_that_asks_for_a_token_is_asked_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let owner = home(folder.path(), "server");
    let words = ["serve", "token", "add", "--name", "alice", "--database", "shop", "--role", "write", "--json"];
    let token = owner.json(&words, 0);
    let server = serve(&owner, "old", SCHEMA);
    let alice = home(folder.path(), "alice");
    let (schema, file) = (alice.file("shop.sql", SCHEMA), alice.file("token", token["token"].as_str().unwrap()));
    let url = server.url("shop");
    let now = ["sync", "now", "--remote", &url, "--schema", &schema];
    alice.ok(&[&now[..], &["--token-file", &file]].concat());
    let bob = home(folder.path(), "bob");
    leaves_alone(&bob, &now, 3, "--token-file");
}

#[test]
fn init_says_what_it_migrates() {
    let folder = tempfile::tempdir().unwrap();
    let usb = folder.path().join("usb");
    let alice = home(folder.path(), "alice").with_remote(usb.to_str().unwrap());
    alice.write("Emma");
    let newer = alice.file("newer.sql", NEWER);
    let again = alice.ok(&["init", "--schema", &alice.file("shop.sql", SCHEMA)]);
    assert!(!again.contains("schema:"), "{again}");
    let told = alice.run(&["init", "--schema", &newer, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap_or_else(|_| panic!("{}", said(&told)));
    let migrated = serde_json::json!({
        "from": "shop 1", "to": "shop 2", "tables": ["author"], "columns": ["book.price"]
    });
    assert_eq!(json["migrated"], migrated);
    assert_eq!(alice.books(), ["Emma"]);
    let bob = home(folder.path(), "bob").with_remote(usb.to_str().unwrap());
    assert!(bob.ok(&["init", "--schema", &newer]).contains(SAID));
    // What can't be reached from here changes nothing.
    let lacking = bob.file("lacking.sql", "-- schema: shop 3\nCREATE TABLE author (name TEXT NOT NULL PRIMARY KEY);\n");
    leaves_alone(&bob, &["init", "--schema", &lacking], 1, "table `book` is gone");
}
