//! `greenlight doctor`: it sees what is wrong, changes nothing, and packs no secret and no row.
//!
//! Where in the flow: homes with everything in them, whole and broken.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::fixture::{Home, home, said, tree};

/// The level of a check, and what it says.
fn found(report: &Value, check: &str) -> (String, String) {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["check"] == check).unwrap_or_else(|| panic!("{check}: {report:#}"));
    (found["level"].as_str().unwrap().to_owned(), found["says"].as_str().unwrap().to_owned())
}

fn level(report: &Value, check: &str) -> String {
    found(report, check).0
}

/// A home that has pushed into a folder.
fn pushed(around: &Path) -> Home {
    let home = home(around, "home").with_remote(around.join("usb").to_str().unwrap());
    home.write("Emma");
    home.ok(&["sync", "push"]);
    home
}

#[test]
fn it_looks_at_everything_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = home(folder.path(), "server").serve(&["--listen", "127.0.0.1:0"]);
    let home = pushed(folder.path());
    home.ok(&["remote", "add", "office", &server.url("shop")]);
    home.ok(&["sync", "now", "--remote", "office"]);
    home.ok(&["remote", "add", "other", &server.url("shop-2")]);
    let before = tree(folder.path());
    let report = home.json(&["doctor", "--json"], 0);
    let shown = home.ok(&["doctor"]);
    assert!(tree(folder.path()) == before, "nothing was written, and the server made no database");
    for check in
        ["home", "db", "sync_meta", "logs", "room", "database", "lock", "remote default", "remote office", "clock"]
    {
        assert_eq!(level(&report, check), "ok", "{check}: {report:#}");
        assert!(shown.contains(check), "{shown}");
    }
    assert!(found(&report, "db").1.ends_with("db.sqlite (default)"));
    assert!(found(&report, "home").1.ends_with("(environment)"));
    assert!(found(&report, "remote default").1.contains("generation 1"));
    assert_eq!(level(&report, "remote other"), "warning", "the server has none of that name");
    assert_eq!((&report["problems"], &report["warnings"]), (&Value::from(0), &Value::from(1)));
    assert_eq!(report["database"]["client"]["pending"], 0);
    assert_eq!(report["environment"], serde_json::json!(["GREENLIGHT_HOME"]));
    home.write("Sanditon");
    assert!(home.ok(&["doctor"]).contains("1 change waits for the server"));
    // Once it is gone that is no problem of this home's.
    drop(server);
    assert_eq!(level(&home.json(&["doctor", "--json"], 0), "remote office"), "warning");
}

#[test]
fn a_home_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let report = home(folder.path(), "home").json(&["doctor", "--json"], 0);
    assert_eq!(level(&report, "home"), "warning");
    assert!(tree(folder.path()).is_empty());
}

#[test]
fn the_remote_that_the_environment_names_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let home = pushed(folder.path());
    let says = |remote: &str| {
        let output = home.command(&["doctor", "--json"]).env("GREENLIGHT_SYNC_REMOTE", remote).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["checks"].as_array().unwrap().iter().find(|found| found["check"] == "remote").cloned()
    };
    std::fs::create_dir(folder.path().join("stick")).unwrap();
    assert!(says("./stick").unwrap()["says"].as_str().unwrap().contains("stick holds nothing yet"));
    assert_eq!(says("nobody").unwrap()["level"], "problem");
    assert_eq!(says("default"), None, "it is looked at under its name already");
}

#[test]
fn what_is_broken_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let home = pushed(folder.path());
    let problem = |check: &str, why: &str| {
        let report = home.json(&["doctor", "--json"], 1);
        let (level, says) = found(&report, check);
        assert_eq!((level.as_str(), says.contains(why)), ("problem", true), "{check}: {says}");
        assert_eq!(report["ok"], false);
    };
    let broken = |file: &Path, change: &dyn Fn(&mut Vec<u8>), check: &str, why: &str| {
        let whole = std::fs::read(file).unwrap();
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(file, bytes).unwrap();
        problem(check, why);
        std::fs::write(file, whole).unwrap();
    };
    let usb = folder.path().join("usb");
    broken(&home.at("config.toml"), &|bytes| bytes.extend(b"\nnonsense = 1\n"), "configuration", "nonsense");
    broken(&home.at("db.sqlite"), &|bytes| bytes[4096..].fill(0xa5), "database", "");
    broken(&home.at("sync-meta.json"), &|bytes| bytes.truncate(20), "exchanges", "can't be understood");
    broken(&usb.join("db.sqlite"), &|bytes| bytes.truncate(4096), "remote default", "has 4096 bytes");
    broken(&usb.join("sync-meta.json"), &|bytes| bytes.truncate(20), "remote default", "can't be understood");
    std::fs::remove_dir_all(home.at("logs")).unwrap();
    std::fs::write(home.at("logs"), "").unwrap();
    problem("logs", "should be a folder");
    std::fs::remove_file(home.at("logs")).unwrap();
    std::fs::write(home.at("server.toml"), "nonsense = 1").unwrap();
    problem("server", "nonsense");
    std::fs::remove_file(home.at("server.toml")).unwrap();
    assert_eq!(home.json(&["doctor", "--json"], 0)["ok"], true);
}

#[test]
fn a_token_that_others_can_read_and_a_lock_that_is_held_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let home = pushed(folder.path());
    let token = home.file("token", "a secret of mine");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let lock = File::options().write(true).open(home.at("sync.lock")).unwrap();
    lock.try_lock().unwrap();
    let holder =
        serde_json::json!({ "pid": 7, "machine": "attic", "since": "then", "command": "greenlight sync push" });
    std::fs::write(home.at("sync.lock"), holder.to_string()).unwrap();
    let report = home.json(&["doctor", "--json", "--token-file", &token], 0);
    assert_eq!(level(&report, "secret"), "warning");
    assert!(found(&report, "lock").1.contains("a sync is at work: process 7 on attic"), "{report:#}");
    drop(lock);
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let report = home.json(&["doctor", "--json", "--token-file", &token], 0);
    assert_eq!(level(&report, "secret"), "ok");
    assert!(found(&report, "lock").1.contains("free"), "{report:#}");
}

/// Everything in the archive, names too.
fn unpacked(file: &Path) -> String {
    let mut all = String::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(file).unwrap()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        all += &format!("\n== {}\n", entry.path().unwrap().display());
        entry.read_to_string(&mut all).unwrap();
    }
    all
}

#[test]
fn the_archive_holds_what_helps_and_no_secret_and_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path(), "home").with_remote("wss://127.0.0.1:1/shop?token=PLANTED");
    home.replica().exec("INSERT INTO book (isbn, title) VALUES ('PLANTED', 'PLANTED')", &[]).unwrap();
    let token = home.file("token", "  PLANTED-in-a-file  \n");
    let mut config = std::fs::read_to_string(home.at("config.toml")).unwrap();
    config += "\n# password = \"PLANTED\"\n# see https://me:PLANTED@example.com/x#PLANTED\n";
    std::fs::write(home.at("config.toml"), config).unwrap();
    let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJQTEFOVEVEIn0.PLANTED";
    std::fs::write(home.at("server.toml"), format!("# {jwt}\n[[token]]\nsha256 = \"PLANTED\"\n")).unwrap();
    let meta =
        r#"{"format": 1, "database": "db.sqlite", "histories": {}, "remote": "s3://PLANTED:PLANTED@b/c?PLANTED"}"#;
    std::fs::write(home.at("sync-meta.json"), meta).unwrap();
    std::fs::create_dir_all(home.at("logs")).unwrap();
    let lines = [
        format!(r#"{{"fields":{{"message":"sent Authorization: Bearer {jwt}","secret":"PLANTED"}}}}"#),
        r#"{"fields":{"message":"rows differed from the server's and are being mended: book: 1 ([Text(\"PLANTED\")])"}}"#.into(),
        r#"{"fields":{"message":"PLANTED-in-a-file, and PLANTED-variable"},"kept":"this line helps"}"#.to_owned(),
        "greenlight sync now --token PLANTED".to_owned(),
    ];
    std::fs::write(home.at("logs/greenlight.log"), lines.join("\n") + "\n").unwrap();
    std::fs::write(home.at("logs/greenlight.log.1"), "x".repeat(3 * 1024 * 1024) + "PLANTED\nlast line\n").unwrap();
    std::fs::write(home.at("logs/notes.txt"), "PLANTED").unwrap();

    let file = folder.path().join("doctor.tar.gz");
    let pack = |home: &Home| {
        let mut command = home.command(&["doctor", "--token-file", &token, "--bundle", file.to_str().unwrap()]);
        command.env("GREENLIGHT_TOKEN", "PLANTED-variable").env("AWS_SECRET_ACCESS_KEY", "PLANTED").output().unwrap()
    };
    let output = pack(&home);
    let all = unpacked(&file);
    for name in
        ["doctor.json", "config.toml", "server.toml", "sync-meta.json", "greenlight.log", "schema.sql", "tables.json"]
    {
        assert!(all.contains(name), "{name} is not in {all}");
    }
    for text in ["this line helps", "last line", "CREATE TABLE", "\"rows\": 1", "[remotes.default]", "GREENLIGHT_TOKEN"]
    {
        assert!(all.contains(text), "{text} is not in the archive");
    }
    let leaks =
        |text: &str| text.lines().filter(|line| line.contains("PLANTED")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(leaks(&all), Vec::<String>::new());
    assert_eq!(leaks(&said(&output)), Vec::<String>::new());
    assert!(!all.contains("UExBTlRFRCI"), "nor what is in a signed token");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let packed = std::fs::read(&file).unwrap();
    let again = pack(&home);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("nothing is overwritten"), "{}", said(&again));
    assert_eq!(std::fs::read(&file).unwrap(), packed);
}
