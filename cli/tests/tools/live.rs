//! `sync status` with a server: it tells what a sync would do, and does nothing of it.
//!
//! Where in the flow: the real program against a real server, and against none.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Instant;

use crate::fixture::{DEADLINE, Home, end, home, said, terminate, tree};
use crate::slow;

fn status(home: &Home, code: i32) -> (String, u64) {
    let told = home.json(&["sync", "status", "--json"], code);
    (told["status"].as_str().unwrap().to_owned(), told["local"]["pending"].as_u64().unwrap())
}

/// A sync ends once it has heard where its own changes stand.
fn in_step(home: &Home) {
    home.ok(&["sync", "now"]);
    home.ok(&["sync", "status"]);
}

#[test]
fn it_tells_what_a_sync_would_do_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = home(folder.path(), "server").serve(&["--listen", "127.0.0.1:0"]);
    let (alice, bob) = (home(folder.path(), "alice"), home(folder.path(), "bob"));
    let (alice, bob) = (alice.with_remote(&server.url("shop")), bob.with_remote(&server.url("shop")));
    alice.write("Emma");
    let before = tree(folder.path());
    assert_eq!(status(&alice, 7), ("ahead".to_owned(), 1));
    assert!(alice.ends(&["sync", "status"], 7).contains("no database of this name yet"));
    assert!(tree(folder.path()) == before, "nothing was written, and the server made no database");

    in_step(&alice);
    assert_eq!(status(&bob, 6), ("behind".to_owned(), 0));
    bob.write("Persuasion");
    assert_eq!(status(&bob, 8), ("diverged".to_owned(), 1));
    assert!(bob.ends(&["sync", "status"], 8).contains("merges them"));
    in_step(&bob);
    assert_eq!(status(&alice, 6), ("behind".to_owned(), 0));

    let told = alice.json(&["sync", "status", "--json"], 6);
    assert_eq!(told["remote"]["site_id"], told["local"]["server_site_id"]);
    drop(server);
    bob.write("Sanditon");
    assert_eq!(status(&bob, 4), ("unreachable".to_owned(), 1));
    assert!(bob.ends(&["sync", "status"], 4).contains("1 change pending"));
}

#[test]
fn a_first_sync_makes_the_home_where_it_knows_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let server = home(folder.path(), "server").serve(&["--listen", "127.0.0.1:0"]);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    alice.write("Emma");
    in_step(&alice);
    let bob = home(folder.path(), "bob");
    let schema = bob.file("shop.sql", crate::fixture::SCHEMA);
    assert!(bob.ends(&["sync", "now", "--remote", &server.url("shop")], 1).contains("--schema"));
    assert!(!bob.folder.exists());
    bob.ok(&["sync", "now", "--remote", &server.url("shop"), "--schema", &schema]);
    assert_eq!(bob.books(), ["Emma"]);
}

#[test]
fn a_server_that_does_not_let_one_in_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let owner = home(folder.path(), "server");
    let words = ["serve", "token", "add", "--name", "alice", "--database", "shop", "--role", "write", "--json"];
    let token = owner.json(&words, 0);
    let server = owner.serve(&["--listen", "127.0.0.1:0"]);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    let file = alice.file("token", token["token"].as_str().unwrap());
    alice.ok(&["sync", "now", "--token-file", &file]);
    assert!(alice.ends(&["sync", "status"], 3).contains("needs a token"));
    let told = alice.json(&["sync", "status", "--token-file", &file, "--json"], 0);
    assert_eq!(told["local"]["pending"], 0);
    // Named once, for good.
    alice.ok(&["remote", "add", "office", &server.url("shop"), "--token-file", "token"]);
    alice.ok(&["sync", "now", "--remote", "office"]);
    alice.ok(&["sync", "status", "--remote", "office"]);
    assert!(alice.ends(&["doctor"], 1).contains("remote office"));
    assert!(alice.ends(&["remote", "add", "usb", "./usb", "--token-file", "token"], 1).contains("is no server"));
}

#[test]
fn what_one_has_sent_oneself_is_nothing_that_one_is_behind() {
    let folder = tempfile::tempdir().unwrap();
    let server = home(folder.path(), "server").serve(&["--listen", "127.0.0.1:0"]);
    // It says at once that all is saved, and much later where that stands.
    let address = slow::behind(server.told["listening"].as_str().unwrap().strip_prefix("http://").unwrap());
    let alice = home(folder.path(), "alice").with_remote(&format!("ws://{address}/shop"));
    for title in ["Emma", "Persuasion"] {
        alice.write(title);
        alice.ok(&["sync", "now"]);
        assert_eq!(status(&alice, 0), ("equal".to_owned(), 0));
    }
}

#[test]
fn what_a_pull_brought_is_not_on_the_server_yet() {
    let folder = tempfile::tempdir().unwrap();
    let server = home(folder.path(), "server").serve(&["--listen", "127.0.0.1:0"]);
    let usb = folder.path().join("usb");
    let usb = usb.to_str().unwrap();
    let bob = home(folder.path(), "bob").with_remote(usb);
    bob.write("Emma");
    bob.ok(&["sync", "push"]);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    in_step(&alice);
    alice.ok(&["sync", "pull", "--force", "--remote", usb]);
    assert_eq!(status(&alice, 7), ("ahead".to_owned(), 0));
    assert!(alice.ends(&["sync", "status"], 7).contains("the next sync offers it once"));
    assert!(alice.ends(&["doctor"], 0).contains("all that is here is offered to the server once"));
    in_step(&alice);
    assert_eq!(alice.json(&["sync", "status", "--json"], 0)["local"]["must_offer"], false);
}

/// As if the server had sent one change that is kept on this shelf, and no other.
fn shelve(home: &Home, shelf: &str) {
    let conn = rusqlite::Connection::open(home.at("db.sqlite")).unwrap();
    let insert = format!(
        "DELETE FROM greenlight_quarantine; DELETE FROM greenlight_held;
         INSERT INTO greenlight_{shelf} (table_name, key, column_name, value, column_version, causal_length, sequence,
           site, reason, since_ms, sender)
         VALUES ('book', x'010b0145', 'price', 'x', 9, 1, 0, zeroblob(16), 'why', 1, NULL)"
    );
    conn.execute_batch(&insert).unwrap();
}

#[test]
fn what_could_not_be_applied_is_stuck_as_a_sync_is() {
    let folder = tempfile::tempdir().unwrap();
    let server = home(folder.path(), "server").serve(&["--listen", "127.0.0.1:0"]);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    in_step(&alice);
    shelve(&alice, "quarantine");
    alice.ends(&["sync", "now"], 5);
    assert_eq!(status(&alice, 5), ("stuck".to_owned(), 0));
    assert!(alice.ends(&["sync", "status"], 5).contains("1 change could not be applied"));
    shelve(&alice, "held");
    alice.ok(&["sync", "now"]);
    assert!(alice.ok(&["sync", "status"]).contains("Equal, but for what came from the server and waits for a newer"));
}

#[test]
fn a_token_that_may_only_read_reads_and_keeps_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let owner = home(folder.path(), "server");
    let token = |name: &str, role: &str| {
        let words = ["serve", "token", "add", "--name", name, "--database", "shop", "--role", role, "--json"];
        owner.file(name, owner.json(&words, 0)["token"].as_str().unwrap())
    };
    let (reads, writes) = (token("reads", "read"), token("writes", "write"));
    let server = owner.serve(&["--listen", "127.0.0.1:0"]);
    let bob = home(folder.path(), "bob").with_remote(&server.url("shop"));
    bob.write("Emma");
    bob.ok(&["sync", "now", "--token-file", &writes]);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    alice.write("Persuasion");
    let told = alice.ends(&["sync", "now", "--token-file", &reads], 3);
    assert!(told.contains("This token may only read: 1 change waits here"), "{told}");
    assert_eq!(alice.books(), ["Emma", "Persuasion"]);
    let told = alice.json(&["sync", "now", "--token-file", &reads, "--json"], 3);
    assert_eq!((&told["ended"], &told["status"]["reason"]), (&"halted".into(), &"forbidden".into()));
    assert!(alice.ends(&["sync", "status", "--token-file", &reads], 7).contains("may only read"));

    // Who watches goes on reading, and hears of it once.
    let mut command = alice.command(&["sync", "watch", "--token-file", &reads]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + DEADLINE;
    bob.write("Sanditon");
    bob.ok(&["sync", "now", "--token-file", &writes]);
    while alice.books().len() < 3 {
        assert!(Instant::now() < until, "{:?}", alice.books());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // As long as a client that is refused would take to dial again, more than once.
    std::thread::sleep(std::time::Duration::from_secs(3));
    terminate(&child);
    assert_eq!(end(&mut child), Some(0));
    let lines: Vec<String> = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
    assert_eq!(lines.iter().filter(|line| line.contains("may only read")).count(), 1, "{lines:?}");

    alice.ok(&["sync", "now", "--token-file", &writes]);
    bob.ok(&["sync", "now", "--token-file", &writes]);
    assert_eq!(bob.books(), ["Emma", "Persuasion", "Sanditon"]);
}

#[test]
fn a_server_with_a_newer_schema_is_not_incompatible() {
    let folder = tempfile::tempdir().unwrap();
    let owner = home(folder.path(), "server");
    let server = owner.serve(&["--listen", "127.0.0.1:0"]);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    alice.write("Emma");
    in_step(&alice);
    drop(server);
    let newer = "-- schema: shop 2\nCREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT, price INTEGER);\n";
    std::fs::create_dir(owner.at("newer")).unwrap();
    std::fs::write(owner.at("newer/shop.sql"), newer).unwrap();
    let schemas = owner.at("newer");
    let server = owner.serve(&["--listen", "127.0.0.1:0", "--schemas", schemas.to_str().unwrap()]);
    alice.ok(&["remote", "remove", "default"]);
    alice.ok(&["remote", "add", "default", &server.url("shop")]);
    alice.write("Persuasion");
    let told = alice.run(&["sync", "status"]);
    assert_ne!(told.status.code(), Some(3), "{}", said(&told));
    assert!(said(&told).contains("and the server's `shop 2`"), "{}", said(&told));
    alice.ok(&["sync", "now"]);
}

/// A server that answers `/health` well and everything else with this body, which may have no end; its address, for as
/// long as the test runs.
fn impostor(body: impl Iterator<Item = Vec<u8>> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("ws://{}/shop", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap()).lines();
            let is_health = request.next().unwrap().unwrap().contains("/health");
            request.find(|line| line.as_ref().unwrap().is_empty());
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
            // Whoever has read enough goes away.
            let _ = body.clone().take_while(|_| !is_health).try_for_each(|piece| stream.write_all(&piece));
        }
    });
    address
}

#[test]
fn an_answer_that_no_server_of_ours_gives_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let alice = home(folder.path(), "alice").with_remote("ws://127.0.0.1:9/shop");
    let meta = |name: &str, tables: &str| {
        let id = "0".repeat(32);
        let names = format!(r#""schema_name": "{name}", "schema_version": 2, "schema_digest": "{id}""#);
        format!(r#"{{"site_id": "{id}", "epoch": "0", {names}, "tables": {tables}, "head": 1}}"#)
    };
    let table = |name: &str| format!(r#"{{"name": "{name}", "key": ["id"], "columns": []}}"#);
    let many: Vec<_> = (0..513).map(|number| table(&format!("t{number:03}"))).collect();
    let cases = [
        (meta("shop", &format!("[{}]", many.join(","))), "its `tables` can't be"),
        (meta("shop", &format!("[{}, {}]", table("b"), table("a"))), "its `tables` can't be"),
        (meta("shop", &format!("[{}]", table(&"b".repeat(129)))), "its `tables` can't be"),
        (meta(&"b".repeat(129), "[]"), "its `schema_name` can't be"),
        (meta("shop", "[]").replace("00000000", "x"), "its `site_id` can't be"),
        (meta("shop", "5"), "something else than a Greenlight server"),
        (meta("shop", "[]").replace("head", "foot"), "something else than a Greenlight server"),
    ];
    let status = |body: &str, code| {
        let address = impostor(std::iter::once(body.as_bytes().to_vec()));
        alice.ends(&["sync", "status", "--remote", &address], code)
    };
    for (body, says) in cases {
        let said = status(&body, 4);
        assert!(said.contains(says), "{said}");
    }
    // What it names is told, and nothing that writes on the terminal.
    let said = status(&meta(r"sh\u001b[2Jop", "[]"), 3);
    assert!(said.contains("`sh [2Jop`"), "{said}");
    // An answer without an end is not read to it.
    let endless = impostor(std::iter::once(b"{\"site_id\": \"".to_vec()).chain(std::iter::repeat(vec![b'0'; 65_536])));
    let said = alice.ends(&["sync", "status", "--remote", &endless], 4);
    assert!(said.contains("length limit"), "{said}");
}
