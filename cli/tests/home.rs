//! The home folder, its configuration and the remotes by name, as a person uses them: the real program, no home of the
//! machine's.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const SCHEMA: &str = "-- schema: shop 1\nCREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT);";

/// The program with nothing in its environment but what is given.
fn greenlight(words: &[&str], environment: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight"));
    command.args(words).env_clear();
    for (name, value) in environment {
        command.env(name, value);
    }
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Where `init` says that the database is.
fn db(words: &[&str], environment: &[(&str, &Path)]) -> Value {
    json(&greenlight(&[&["init", "--json"], words].concat(), environment))["db"].clone()
}

#[test]
fn a_flag_stands_above_the_environment_above_the_configuration_above_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let environment = [("GREENLIGHT_HOME", home.as_path())];
    assert_eq!(db(&[], &environment), json!(home.join("db.sqlite")));

    std::fs::write(home.join("config.toml"), "db = \"notes/mine.sqlite\"\nproject = \"notes\"").unwrap();
    assert_eq!(db(&[], &environment), json!(home.join("notes/mine.sqlite")), "relative to the configuration");

    let named = folder.path().join("named.sqlite");
    let more = [environment[0], ("GREENLIGHT_DB", named.as_path())];
    assert_eq!(db(&[], &more), json!(named));
    assert_eq!(db(&["--db", "/flag.sqlite"], &more), json!("/flag.sqlite"));

    let project = |words: &[&str], environment: &[(&str, &Path)]| {
        json(&greenlight(&[&["init", "--json"], words].concat(), environment))["project"].clone()
    };
    assert_eq!(project(&[], &environment), "notes");
    let more = [environment[0], ("GREENLIGHT_PROJECT", Path::new("work"))];
    assert_eq!(project(&[], &more), "work");
    assert_eq!(project(&["--project", "play"], &more), "play");
}

#[test]
fn home_itself_is_a_flag_or_a_variable_or_below_the_persons_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (person, variable, flag) = (at("person"), at("variable"), at("flag"));
    std::fs::create_dir(&person).unwrap();
    let environment = [("HOME", person.as_path())];
    assert_eq!(db(&[], &environment), json!(person.join(".greenlight/db.sqlite")));
    let more = [environment[0], ("GREENLIGHT_HOME", variable.as_path())];
    assert_eq!(db(&[], &more), json!(variable.join("db.sqlite")));
    assert_eq!(db(&["--home", flag.to_str().unwrap()], &more), json!(flag.join("db.sqlite")));
}

#[test]
fn init_makes_what_is_missing_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (home, schema) = (folder.path().join("home"), folder.path().join("shop.sql"));
    let environment = [("GREENLIGHT_HOME", home.as_path())];
    let words = ["init", "--json", "--schema", schema.to_str().unwrap()];

    std::fs::write(&schema, "CREATE TABLE").unwrap();
    assert_eq!(greenlight(&words, &environment).status.code(), Some(1));
    assert!(!home.exists(), "a schema that can't be used leaves nothing behind");

    std::fs::write(&schema, SCHEMA).unwrap();
    let made = json(&greenlight(&words, &environment));
    let paths = [&home, &home.join("logs"), &home.join("data"), &home.join("config.toml"), &home.join("db.sqlite")];
    assert_eq!(made["made"], json!(paths));
    for path in paths {
        assert!(path.exists(), "{}", path.display());
    }
    std::fs::write(home.join("config.toml"), "# mine\n").unwrap();
    assert_eq!(json(&greenlight(&words, &environment))["made"], json!([]));
    assert_eq!(std::fs::read_to_string(home.join("config.toml")).unwrap(), "# mine\n");
}

#[test]
fn remotes_have_names() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let run = |words: &[&str]| greenlight(words, &[("GREENLIGHT_HOME", home.as_path())]);
    assert_eq!(json(&run(&["remote", "list", "--json"])), json!([]));
    assert!(said(&run(&["remote", "list"])).contains("sync-remote"));
    let usb = folder.path().join("usb");
    assert!(run(&["remote", "add", "usb", usb.to_str().unwrap()]).status.success());
    assert!(run(&["remote", "add", "default", "wss://sync.example.com/shop"]).status.success());
    let listed = json!([
        { "name": "default", "kind": "server", "address": "wss://sync.example.com/shop", "default": true },
        { "name": "usb", "kind": "folder", "address": usb, "default": false },
    ]);
    assert_eq!(json(&run(&["remote", "list", "--json"])), listed);
    for (words, why) in [
        (["add", "usb", "/other"], "already"),
        (["add", "../x", "/other"], "can't be a remote's name"),
        (["add", "cloud", "s3://B/shop"], "no place in a bucket"),
        (["add", "far", "ssh://host/shop"], "not there yet"),
    ] {
        let refused = run(&[&["remote"], &words[..]].concat());
        assert_eq!(refused.status.code(), Some(1));
        assert!(said(&refused).contains(why), "{}", said(&refused));
    }
    assert_eq!(json(&run(&["remote", "list", "--json"])), listed);
    assert!(run(&["remote", "remove", "usb"]).status.success());
    let words = ["remote", "add", "safe", usb.to_str().unwrap(), "--compression", "zstd", "--encryption", "age"];
    let phrase = folder.path().join("phrase");
    assert!(run(&[&words[..], &["--passphrase-file", phrase.to_str().unwrap()]].concat()).status.success());
    let safe = json!({
        "name": "safe", "kind": "folder", "address": usb, "compression": "zstd", "encryption": "age", "default": false
    });
    assert_eq!(json(&run(&["remote", "list", "--json"]))[1], safe);
    let config = std::fs::read_to_string(home.join("config.toml")).unwrap();
    assert!(config.contains(&format!("passphrase_file = \"{}\"", phrase.display())), "{config}");
    let server = run(&["remote", "add", "far", "wss://sync.example.com/shop", "--compression", "zstd"]);
    assert!(said(&server).contains("which holds no snapshot"), "{}", said(&server));
    assert_eq!(run(&["remote", "add", "far", "/x", "--encryption", "rot13"]).status.code(), Some(2));
    assert!(said(&run(&["remote", "remove", "usb"])).contains("no remote named `usb`"));
}

#[test]
fn a_sync_with_a_server_takes_its_remote_from_the_home_and_refuses_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let run = |words: &[&str]| greenlight(words, &[("GREENLIGHT_HOME", home.as_path())]);
    let refused = run(&["sync", "now"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("greenlight remote add default wss://"), "{}", said(&refused));
    let refused = run(&["sync", "now", "--remote", "./usb"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("usb holds a snapshot"), "{}", said(&refused));
    assert!(said(&run(&["sync", "now", "--remote", "usb"])).contains("no remote named `usb`"));
    run(&["remote", "add", "default", "ws://127.0.0.1:1/shop"]);
    assert!(said(&run(&["sync", "now"])).contains("there is no database"));
    std::fs::write(folder.path().join("shop.sql"), SCHEMA).unwrap();
    run(&["init", "--schema", folder.path().join("shop.sql").to_str().unwrap()]);
    let unreachable = run(&["sync", "now", "--timeout", "0"]);
    assert_eq!(unreachable.status.code(), Some(4), "{}", said(&unreachable));
    for words in [&["sync", "now"][..], &["sync", "watch"], &["sync", "status"]] {
        let refused = run(&[words, &["--token-file", "/none/token"]].concat());
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("the token file /none/token can't be read"), "{}", said(&refused));
    }
}

#[test]
fn what_only_a_shell_understands_is_no_path() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight"));
        command.args(words).env_clear().current_dir(folder.path()).env("GREENLIGHT_HOME", folder.path().join("home"));
        command.output().unwrap()
    };
    for words in [
        &["remote", "add", "usb", "~/usb"][..],
        &["remote", "add", "usb", "folder:~/usb"],
        &["remote", "add", "far", "wss://sync.example.com/shop", "--token-file", "~/token"],
        &["init", "--db", "~/db.sqlite"],
        &["init", "--home", "~"],
        &["sync", "push", "--remote", "~/usb"],
    ] {
        let refused = run(words);
        assert_eq!(refused.status.code(), Some(1), "{words:?}: {}", said(&refused));
        assert!(said(&refused).contains("which only a shell understands"), "{}", said(&refused));
    }
    assert!(run(&["remote", "add", "odd", "./~"]).status.success());
    let config = folder.path().join("home/config.toml");
    for (text, words, why) in [
        ("db = \"~/notes.db\"", &["init"][..], "which only a shell understands"),
        ("logs = \"\"", &["init"], "`logs` is empty"),
        ("[remotes.usb]\naddress = \"~/usb\"", &["sync", "push", "--remote", "usb"], "which only a shell understands"),
        ("[remotes.usb]\naddress = \"\"", &["sync", "push", "--remote", "usb"], "an empty path is no remote"),
    ] {
        std::fs::write(&config, text).unwrap();
        let refused = run(words);
        assert_eq!(refused.status.code(), Some(1), "{text}: {}", said(&refused));
        assert!(said(&refused).contains(why), "{}", said(&refused));
    }
    assert!(!folder.path().join("~").exists() && !folder.path().join("home/~").exists(), "and none was made");
}

#[test]
fn a_configuration_that_can_not_be_understood_stops_every_command() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), "remote = 1").unwrap();
    for words in [&["init"][..], &["remote", "list"], &["sync", "now"]] {
        let output = greenlight(words, &[("GREENLIGHT_HOME", folder.path())]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("config.toml can't be used"), "{}", said(&output));
    }
}
