//! `greenlight serve`: one program is enough for one person, and nobody comes in whom that person did not name.
//!
//! Where in the flow: a server of a home, and the homes that sync with it.

use std::time::Instant;

use crate::fixture::{DEADLINE, SCHEMA, home};

const FREE: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[test]
fn two_homes_sync_by_the_server_of_a_third() {
    let folder = tempfile::tempdir().unwrap();
    let server = home(folder.path(), "server").serve(&FREE);
    assert_eq!(server.told["token_needed"], false);
    let (alice, bob) = (home(folder.path(), "alice"), home(folder.path(), "bob"));
    let (alice, bob) = (alice.with_remote(&server.url("shop")), bob.with_remote(&server.url("shop")));
    alice.write("Emma");
    bob.write("Persuasion");
    for home in [&alice, &bob, &alice] {
        home.ok(&["sync", "now"]);
    }
    assert_eq!(alice.books(), ["Emma", "Persuasion"]);
    assert_eq!(bob.books(), ["Emma", "Persuasion"]);
    assert!(folder.path().join("server/data/shop").is_file(), "its databases are at home");
    assert_eq!(server.stop(), Some(0), "a stop in order is no error");
}

#[test]
fn who_was_given_a_token_comes_in_and_nobody_else_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let owner = home(folder.path(), "server");
    let words = ["serve", "token", "add", "--name", "alice", "--database", "shop", "--role", "write", "--json"];
    let token = owner.json(&words, 0);
    let server = owner.serve(&FREE);
    assert_eq!(server.told["token_needed"], true);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    alice.write("Emma");
    assert!(alice.ends(&["sync", "now"], 3).contains("with --token-file, with `token_file`"));
    let file = alice.file("token", token["token"].as_str().unwrap());
    alice.ok(&["sync", "now", "--token-file", &file]);
    assert_eq!(owner.json(&["serve", "token", "revoke", "alice", "--json"], 0)["revoked"]["id"], token["id"]);
}

#[test]
fn a_running_server_asks_for_a_token_as_soon_as_there_is_one_and_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let owner = home(folder.path(), "server");
    let server = owner.serve(&FREE);
    assert_eq!(server.told["token_needed"], false);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    alice.write("Emma");
    alice.ok(&["sync", "now"]);
    let words = ["serve", "token", "add", "--name", "alice", "--database", "shop", "--role", "write", "--json"];
    let token = owner.json(&words, 0);
    let until = Instant::now() + DEADLINE;
    while alice.run(&["sync", "status"]).status.code() != Some(3) {
        assert!(Instant::now() < until, "everyone comes in still");
    }
    let file = alice.file("token", token["token"].as_str().unwrap());
    alice.ok(&["sync", "now", "--token-file", &file]);
    owner.ok(&["serve", "token", "revoke", "alice"]);
    while alice.run(&["sync", "status", "--token-file", &file]).status.code() != Some(3) {
        assert!(Instant::now() < until, "who was revoked comes in still");
    }
    assert!(alice.ends(&["sync", "status"], 3).contains("Refused"));
    drop(server);
    let server = owner.serve(&FREE);
    assert_eq!(server.told["token_needed"], true, "somebody was named once");
}

#[test]
fn it_is_the_servers_configuration_and_the_servers_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let owner = home(folder.path(), "server");
    assert!(owner.ends(&["serve"], 1).contains("there is no schema in"));
    std::fs::write(owner.at("schemas/shop.sql"), SCHEMA).unwrap();
    assert!(owner.ends(&["serve", "--listen", "0.0.0.0:0"], 1).contains("nothing says who may come in"));
    assert!(owner.ends(&["serve", "--listen", "0.0.0.0:0", "--dev"], 1).contains("--dev"));
    assert!(owner.ends(&["serve", "--listen", "nowhere"], 1).contains("not an address with a port"));
    owner.ends(&["serve", "--nonsense"], 2);
    let elsewhere = folder.path().join("elsewhere");
    let text = format!("data = {elsewhere:?}\ndev = false\n[[database]]\npattern = \"notes\"\nschema = \"shop\"\n");
    std::fs::write(owner.at("server.toml"), text).unwrap();
    let server = owner.serve(&FREE);
    assert_eq!(server.told["data"], elsewhere.to_str().unwrap());
    assert_eq!(server.told["token_needed"], true, "what the file says counts");
    drop(server);
    std::fs::write(owner.at("server.toml"), "nonsense = 1").unwrap();
    assert!(owner.ends(&["serve"], 1).contains("nonsense"));
}
