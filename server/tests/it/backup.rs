//! Backups of databases that a server has open: by the command, as an operator runs it, and by the server itself.
//!
//! Where in the flow: beside a running server with clients.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use greenlight_server::lock::{DatabaseLock, Purpose};
use greenlight_server::name::DatabaseName;
use greenlight_server::settings::BackupPlan;
use serde_json::json;

use crate::fixture::{Server, eventually, folder, open_files};
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
async fn what_a_superusers_command_makes_belongs_to_whoever_has_the_data() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let server = Server::start().await;
    server.get("/notes/meta").await;
    let folder = server.stop().await;
    let data = folder.path().join("data");
    std::fs::remove_dir_all(data.join(".locks")).unwrap();
    // The superuser can give it away; for anybody else it is their own, which is what is expected then.
    for path in [data.clone(), data.join("notes")] {
        drop(chown(path, Some(65_534), Some(65_534)));
    }
    let owner = |path: &Path| std::fs::metadata(path).map(|facts| (facts.uid(), facts.gid())).unwrap();
    let done = run(folder.path(), &["--keep", "1"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let copy = std::fs::read_dir(data.join("backups")).unwrap().next().unwrap().unwrap().path();
    for made in [data.join("backups"), copy, data.join(".locks"), data.join(".locks/backup.notes")] {
        assert_eq!(owner(&made), owner(&data), "{}", made.display());
    }
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

async fn scheduled(every: Duration, folder: tempfile::TempDir) -> Server {
    let plan = BackupPlan { every, keep: 3 };
    Server::start_in(folder, |settings| {
        settings.operations.backups = Some(plan);
        settings.operations.idle = Some(Duration::from_millis(100));
        settings.operations.sample = Duration::from_millis(50);
    })
    .await
}

fn copies(server: &Server) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(server.data().join("backups")) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // One that is being made at this moment has a leading dot.
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_makes_backups_of_each_database_by_itself_open_or_not() {
    let server = scheduled(Duration::from_millis(400), folder()).await;
    for name in ["notes", "notes-2"] {
        server.exec(name, "INSERT INTO note (id) VALUES (1)", json!([])).await;
    }
    for round in 2..7 {
        let newest = || copies(&server).into_iter().rfind(|name| name.starts_with("notes."));
        let before = newest();
        server.exec("notes", "INSERT INTO note (id) VALUES (?)", json!([round])).await;
        eventually("another backup", || async { (newest() != before).then_some(()) }).await;
    }
    eventually("the oldest are gone", || async {
        (copies(&server).iter().filter(|name| name.starts_with("notes.backup.")).count() == 3).then_some(())
    })
    .await;
    // The other was written to once, and is closed: its backups hold everything still.
    eventually("closed", || async { open_files(&server.data().join("notes-2")).is_empty().then_some(()) }).await;
    let of_other =
        || copies(&server).into_iter().filter(|name| name.starts_with("notes-2.backup.")).collect::<Vec<_>>();
    let (count, last) = (of_other().len(), backup_of(&server, "notes-2").await["last_ms"].as_i64().unwrap());
    eventually("found to be whole still", || async {
        (backup_of(&server, "notes-2").await["last_ms"].as_i64().unwrap() > last).then_some(())
    })
    .await;
    // Closing it folded its log in, which counts as a write.
    assert!((1..=2).contains(&count) && of_other().len() <= 2, "{:?}", of_other());

    let health = server.get("/health").await;
    let checks = &health.json()["checks"];
    assert_eq!((health.status, &checks["backups"], &checks["backup:notes"]), (200, &json!("ok"), &json!("ok")));
    let stranger = server.request("GET", "/health", &[("x-forwarded-for", "10.0.0.1")], b"").await;
    assert!(stranger.json()["checks"]["backups"] == json!("ok") && !stranger.text().contains("notes"));
    let shown = backup_of(&server, "notes").await;
    let bytes = std::fs::metadata(server.data().join("backups").join(copies(&server).last().unwrap())).unwrap().len();
    assert_eq!((&shown["bytes"], &shown["error"], &shown["overdue"]), (&json!(bytes), &json!(null), &json!(false)));

    // The newest one is put back while all goes on.
    let newest = copies(&server).into_iter().rfind(|name| name.starts_with("notes.")).unwrap();
    let newest = server.data().join("backups").join(newest);
    let path = server.folder.path().to_owned();
    let restored = tokio::task::spawn_blocking(move || crate::restore::restore(&path, &newest, &[])).await.unwrap();
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    assert_eq!(server.exec("notes", "SELECT count(*) FROM note", json!([])).await["rows"], json!([[6]]));
}

async fn backup_of(server: &Server, name: &str) -> serde_json::Value {
    let status = server.get("/status").await.json();
    let found = status["databases"].as_array().unwrap().iter().find(|entry| entry["name"] == json!(name));
    found.map_or_else(|| panic!("{status}"), |entry| entry["backup"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_failed_or_is_overdue_is_a_check_by_name() {
    let server = scheduled(Duration::from_millis(200), folder()).await;
    let wait_for = async |word: &'static str| {
        eventually(word, || async {
            let health = server.get("/health").await;
            let found = health.json()["checks"]["backup:notes"] == json!(word);
            found.then(|| assert_eq!(health.status, if word == "ok" { 200 } else { 503 }))
        })
        .await;
    };
    // A file is where the folder should be.
    assert_eq!(server.get("/health").await.status, 200);
    std::fs::write(server.data().join("backups"), "").unwrap();
    server.exec("notes", "INSERT INTO note (id) VALUES (1)", json!([])).await;
    wait_for("failed").await;
    let shown = backup_of(&server, "notes").await;
    assert!(shown["error"].as_str().unwrap().contains("could not be written") && shown["last_ms"].is_null(), "{shown}");
    assert!(!shown.to_string().contains(server.folder.path().to_str().unwrap()), "{shown}");
    std::fs::remove_file(server.data().join("backups")).unwrap();
    wait_for("ok").await;
    // Another process is at one for ever.
    let name = DatabaseName::parse("notes").unwrap();
    let lock =
        eventually("between two", || async { DatabaseLock::alone(&server.data(), &name, Purpose::Backup).ok() }).await;
    server.exec("notes", "INSERT INTO note (id) VALUES (2)", json!([])).await;
    wait_for("overdue").await;
    drop(lock);
    wait_for("ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_start_the_next_is_due_when_it_would_have_been() {
    let server = scheduled(Duration::from_millis(100), folder()).await;
    server.exec("notes", "INSERT INTO note (id) VALUES (1)", json!([])).await;
    eventually("one", || async { (!copies(&server).is_empty()).then_some(()) }).await;
    let folder = server.stop().await;
    let before = std::fs::read_dir(folder.path().join("data/backups")).unwrap().count();
    let server = scheduled(Duration::from_secs(3_600), folder).await;
    let shown = eventually("it is known", || async {
        let shown = backup_of(&server, "notes").await;
        (!shown["last_ms"].is_null()).then_some(shown)
    })
    .await;
    assert!(shown["bytes"].as_u64().unwrap() > 0 && shown["overdue"] == json!(false), "{shown}");
    assert_eq!(copies(&server).len(), before, "none is due");
    // The page draws how old it was.
    let grows = || async {
        let history = server.get("/status?history").await.json()["history"].clone();
        let age = history["databases"]["notes"]["backup_age_s"].as_array()?.last()?.as_u64()?;
        (age > 0).then_some(())
    };
    eventually("its age is kept", grows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_cuts_its_own_backup_short_and_leaves_nothing_of_it() {
    let server = Server::start().await;
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
                INSERT INTO note (id, body) SELECT i, zeroblob(5000000) FROM n";
    server.exec("notes", fill, json!([])).await;
    let server = scheduled(Duration::from_millis(100), server.stop().await).await;
    let part = server.data().join("backups/.notes.backup.part");
    eventually("it has begun", || async { part.exists().then_some(()) }).await;
    let folder = server.stop().await;
    let left: Vec<_> = std::fs::read_dir(folder.path().join("data/backups")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let name = DatabaseName::parse("notes").unwrap();
    assert!(DatabaseLock::alone(&folder.path().join("data"), &name, Purpose::Backup).is_ok(), "nobody is at it");
}
