//! What is printed for programs: every command can, and every shape is documented.
//!
//! Where in the flow: the commands around `sync push` and `pull`, whose own tests see theirs.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use clap::CommandFactory as _;
use greenlight_cli::args::Arguments;
use greenlight_cli::manual::commands;
use serde_json::{Value, json};

use crate::fixture::{end, home, terminate};

/// The commands of the table in docs/cli.md, as `sync push`.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../../../docs/cli.md");
    let (_, section) = text.split_once("\n## JSON\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let commands = cells.flat_map(|cell| cell.split('`')).filter(|text| text.ends_with("--json"));
    let words = |text: &str| {
        let words = text.split(' ').filter(|word| !word.starts_with("--") && word.to_lowercase() == *word);
        words.collect::<Vec<_>>().join(" ")
    };
    commands.map(words).collect()
}

#[test]
fn every_command_prints_json_and_its_shape_is_documented() {
    let mut root = Arguments::command();
    root.build();
    let mut found = BTreeSet::new();
    for (name, command) in commands(&root) {
        // A group of commands does nothing itself; `serve` does both.
        if command.is_subcommand_required_set() {
            continue;
        }
        let has_json = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
        assert!(has_json, "{name} has no --json");
        let (_, words) = name.split_once('-').unwrap();
        found.insert(words.replace('-', " "));
    }
    assert!(found.len() > 12, "{found:?}");
    assert_eq!(found, documented(), "commands, and the rows of docs/cli.md");
}

#[test]
fn remotes_are_added_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path(), "home");
    let usb = json!({ "name": "usb", "kind": "folder", "address": folder.path().join("usb") });
    assert_eq!(home.json(&["remote", "add", "usb", "./usb", "--json"], 0), json!({ "added": usb }));
    assert_eq!(home.json(&["remote", "remove", "usb", "--json"], 0), json!({ "removed": usb }));
    let output = home.run(&["remote", "remove", "usb", "--json"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

/// The same thing has the same name, in the same spelling, whoever tells it.
fn is_snake_case(told: &Value) {
    match told {
        Value::Object(fields) => {
            for (key, value) in fields {
                assert!(key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{key}");
                is_snake_case(value);
            }
        }
        Value::Array(items) => items.iter().for_each(is_snake_case),
        _ => {}
    }
}

#[test]
fn both_kinds_of_remote_are_told_of_by_the_same_names() {
    let folder = tempfile::tempdir().unwrap();
    let server = home(folder.path(), "server").serve(&["--listen", "127.0.0.1:0"]);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    alice.write("Emma");
    let usb = folder.path().join("usb");
    let usb = usb.to_str().unwrap();
    for (words, code) in [
        (&["sync", "push", "--remote", usb, "--json"][..], 0),
        (&["sync", "pull", "--remote", usb, "--json"], 0),
        (&["sync", "status", "--remote", usb, "--json"], 0),
        (&["sync", "now", "--json"], 0),
        (&["sync", "status", "--json"], 0),
    ] {
        let told = alice.json(words, code);
        is_snake_case(&told);
        assert_eq!(told["local_path"], alice.at("db.sqlite").to_str().unwrap(), "{words:?}");
        let remote = if words.contains(&usb) { usb.to_owned() } else { server.url("shop") };
        assert_eq!(told["remote_path"], remote, "{words:?}");
        if words[1] == "status" {
            for side in ["local", "remote"] {
                assert_eq!(told[side]["schema_version"], 1, "{side}: {told}");
            }
            assert!(told["local"]["db_bytes"].is_u64());
        }
    }
    is_snake_case(&alice.json(&["doctor", "--json"], 0));
}

#[test]
fn a_sync_with_a_server_tells_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let server = home(folder.path(), "server").serve(&["--listen", "127.0.0.1:0"]);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    alice.write("Emma");
    for words in [&["sync", "now", "--json"][..], &["sync", "push", "--json"], &["sync", "pull", "--json"]] {
        let told = alice.json(words, 0);
        assert_eq!(told["ended"], "in_step");
        assert_eq!(told["remote_path"], server.url("shop"));
        assert_eq!(told["local_path"], alice.at("db.sqlite").to_str().unwrap());
        assert_eq!(told["status"]["state"], "synced");
        assert_eq!(told["status"]["pending"]["changes"], 0);
        is_snake_case(&told);
    }
    alice.ends(&["sync", "push", "--json", "--force"], 2);
    drop(server);
    alice.write("Persuasion");
    let told = alice.json(&["sync", "now", "--timeout", "1", "--json"], 4);
    assert_eq!(told["ended"], "unreachable");
    assert_eq!(told["status"]["pending"]["changes"], 1);
}

#[test]
fn watching_prints_each_status_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = home(folder.path(), "server").serve(&["--listen", "127.0.0.1:0"]);
    let alice = home(folder.path(), "alice").with_remote(&server.url("shop"));
    let mut command = alice.command(&["sync", "watch", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let until = |state: &str, next: &mut dyn FnMut() -> Value| {
        let mut seen = vec![next()];
        while seen.last().unwrap()["state"] != state {
            seen.push(next());
        }
        seen
    };
    let seen = until("synced", &mut next);
    assert!(seen.len() < 20, "{}", seen.len());
    seen.iter().for_each(is_snake_case);
    // The server's end is the next news: while nothing happens nothing is printed, though pings are answered.
    std::thread::sleep(Duration::from_secs(3));
    drop(server);
    assert_ne!(next()["state"], "synced");
    terminate(&child);
    assert_eq!(end(&mut child), Some(0));
}
