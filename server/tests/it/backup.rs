//! Backups of databases that a server has open: by the command, as an operator runs it.
//!
//! Where in the flow: beside a running server with clients.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use greenlight_server::lock::{DatabaseLock, Purpose};
use greenlight_server::name::DatabaseName;
use serde_json::json;

use crate::fixture::{Server, folder};
use crate::peer::Peer;

pub(crate) fn command(folder: &Path, database: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
    command.arg("backup").arg("--data").arg(folder.join("data")).args(["--database", database]).args(more);
    command.env_remove("GREENLIGHT_DATA").env_remove("GREENLIGHT_CONFIG").stdin(Stdio::null());
    command
}

fn run(folder: &Path, more: &[&str]) -> Output {
    command(folder, "notes", more).output().unwrap()
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_use_is_backed_up_and_its_clients_notice_nothing() {
    let server = Server::start().await;
    let alice = Peer::start(server.address, "notes");
    for id in 1..=20 {
        alice.exec(&format!("INSERT INTO note (id, title) VALUES ({id}, 'x')")).await;
    }
    alice.wait_synced().await;
    let to = server.folder.path().join("elsewhere.sqlite3");
    let done = run(server.folder.path(), &["--to", to.to_str().unwrap()]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let said = text(&done.stdout);
    assert!(said.contains("schema notes 1, head ") && said.contains(" bytes, whole"), "{said}");
    alice.exec("INSERT INTO note (id, title) VALUES (21, 'x')").await;
    alice.wait_synced().await;
    assert_eq!(alice.status().diagnostics.last_close.as_ref().map(|close| close.code), None, "it stayed connected");

    // It is a database that a server takes up, with what was there by then.
    let folder = folder();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::copy(&to, folder.path().join("data/notes")).unwrap();
    let second = Server::start_in(folder, |_| {}).await;
    assert_eq!(second.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[20]]));

    for _ in 0..3 {
        assert!(run(server.folder.path(), &["--keep", "2"]).status.success());
    }
    let kept = std::fs::read_dir(server.data().join("backups")).unwrap().count();
    assert_eq!(kept, 2);
}

#[tokio::test]
async fn what_can_not_be_backed_up_ends_with_a_sentence_and_no_file() {
    let server = Server::start().await;
    server.get("/notes/meta").await;
    let taken = server.folder.path().join("taken");
    std::fs::write(&taken, "mine").unwrap();
    let taken = taken.to_str().unwrap();
    for (database, more, part) in [
        ("notes", &["--to", taken][..], "there is a file of that name already"),
        ("notes-2", &["--keep", "1"], "there is no database `notes-2`"),
        ("no/name", &["--keep", "1"], "a database's name is"),
        ("notes", &[], "--to"),
        ("notes", &["--keep", "0"], "--keep"),
        ("notes", &["--keep", "1", "--to", taken], "--keep"),
    ] {
        let refused = command(server.folder.path(), database, more).output().unwrap();
        let sentence = text(&refused.stderr);
        assert!(!refused.status.success() && sentence.contains(part), "{database} {more:?}: {sentence}");
    }
    let name = DatabaseName::parse("notes").unwrap();
    let lock = DatabaseLock::alone(&server.data(), &name, Purpose::Backup).unwrap();
    let refused = run(server.folder.path(), &["--keep", "1"]);
    assert!(text(&refused.stderr).contains("another backup of `notes` is being made"), "{}", text(&refused.stderr));
    drop(lock);
    assert!(!server.data().join("backups").exists());
    assert_eq!(std::fs::read_to_string(taken).unwrap(), "mine");
}
