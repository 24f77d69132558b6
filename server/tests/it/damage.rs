//! Damaged files: found before anybody is served from them, set aside, told, and put back from a copy; the clients
//! bring what it lacks. Nothing is ever made in the place of a database that was there.
//!
//! Where in the flow: the binary as a child, damaged while it is down; and a server in this process, damaged under it.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use greenlight_core::StatusState;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{DEADLINE, NOTES, Server, eventually, folder};
use crate::kills::child::{Child, ask, command};
use crate::peer::{Address, Peer, now, open};

const COUNT: &str = "SELECT count(*) FROM note WHERE title <> ''";

/// What is set aside of `notes`.
pub(crate) fn kept(data: &Path) -> PathBuf {
    let entries = std::fs::read_dir(data.join("backups")).unwrap().map(|entry| entry.unwrap().path());
    let is_kept = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("notes.damaged.") && name.ends_with(".sqlite3")
    };
    let kept: Vec<_> = entries.filter(is_kept).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    kept[0].clone()
}

async fn exec(child: &Child, database: &str, sql: &str) -> Value {
    let body = json!({ "sql": sql });
    let answer = ask(child.at(), "POST", &format!("/{database}/exec"), Some(&body)).await.expect("an answer");
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.json()["rows"].clone()
}

async fn dial(peer: &Peer, address: &Address, child: &Child) {
    *address.lock().unwrap() = child.at();
    peer.with(|_, session| session.retry(now())).await;
}

/// A folder without a server, where a client has ten notes and a copy has five of them. The file has them all, or, if
/// it is not `folded`, its log.
async fn notes(is_folded: bool) -> (TempDir, Peer, Address, PathBuf) {
    let folder = folder();
    let child = Child::start(folder.path(), None);
    let address = Address::new(Mutex::new(child.at()));
    let alice = Peer::start_at(address.clone(), "notes", "", open(NOTES));
    let write = |from: i64| {
        let rows: Vec<_> = (from..from + 5).map(|id| format!("({id}, 'note', randomblob(3000))")).collect();
        format!("INSERT INTO note (id, title, body) VALUES {}", rows.join(", "))
    };
    alice.exec(&write(1)).await;
    let arrived = async |count: i64| {
        let fits = || async { (exec(&child, "notes", COUNT).await == json!([[count]])).then_some(()) };
        eventually("it arrives", fits).await;
    };
    arrived(5).await;
    let copy = folder.path().join("copy");
    std::fs::write(&copy, ask(child.at(), "GET", "/notes/file", None).await.expect("a copy").body).unwrap();
    alice.exec(&write(6)).await;
    arrived(10).await;
    alice.wait_synced().await;
    exec(&child, "notes-2", "INSERT INTO note (id, title) VALUES (1, 'of another')").await;
    child.kill();
    if is_folded {
        fold(&folder.path().join("data/notes"));
    }
    (folder, alice, address, copy)
}

/// So many bytes of whole pages are damaged on an open disk.
const DAMAGE_BYTES: usize = 16 * 4_096;

/// Writes all that is in a file's log into the file, and empties the log: what was left there would be written over the
/// damage later, and mend it. While somebody reads, SQLite says so and leaves it.
fn fold(file: &Path) {
    let begun = Instant::now();
    loop {
        let mut shell = Command::new("sqlite3");
        let done =
            shell.arg(file).arg("PRAGMA wal_checkpoint(TRUNCATE)").output().expect("the sqlite3 shell is installed");
        if done.status.success() && done.stdout.starts_with(b"0|0|0") {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "{done:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

async fn heals(child: &Child, alice: &Peer) {
    let has_all = || async { (exec(child, "notes", COUNT).await == json!([[10]])).then_some(()) };
    eventually("the server has all of it", has_all).await;
    alice.wait_value(COUNT, 10).await;
    alice.wait("in step", |status| status.state == StatusState::Synced && status.pending.changes == 0).await;
}

fn garbled(mut bytes: Vec<u8>, from: usize) -> Vec<u8> {
    bytes[from..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_set_aside_and_the_others_go_on() {
    type Damage = fn(Vec<u8>) -> Vec<u8>;
    let damages: [(&str, Damage); 6] = [
        ("its last pages", |bytes| {
            let from = bytes.len() / 4096 * 3072;
            garbled(bytes, from)
        }),
        ("its header", |bytes| [vec![0; 100], bytes[100..].to_vec()].concat()),
        ("half of it", |bytes| bytes[..bytes.len() / 8192 * 4096].to_vec()),
        ("a part of a page", |bytes| bytes[..bytes.len() - 4096 - 100].to_vec()),
        ("all of it", |_| Vec::new()),
        ("another thing", |_| b"not a database at all\n".repeat(300)),
    ];
    for (what, damage) in damages {
        let (folder, alice, address, copy) = notes(true).await;
        let file = folder.path().join("data/notes");
        let bytes = damage(std::fs::read(&file).unwrap());
        std::fs::write(&file, &bytes).unwrap();
        for _ in 0..2 {
            let child = Child::start(folder.path(), None);
            dial(&alice, &address, &child).await;
            let answer = ask(child.at(), "GET", "/notes/meta", None).await.expect("an answer");
            answer.expect_error(503, "unavailable");
            assert!(answer.text().contains("set aside as backups/notes.damaged."), "{what}: {}", answer.text());
            let health = ask(child.at(), "GET", "/health", None).await.expect("an answer");
            assert_eq!((health.status, &health.json()["checks"]["database:notes"]), (503, &json!("damaged")), "{what}");
            assert_eq!(exec(&child, "notes-2", COUNT).await, json!([[1]]), "{what}");
            alice.wait("refused", |status| !matches!(status.state, StatusState::Synced | StatusState::Syncing)).await;
            assert_ne!(alice.status().state, StatusState::Incompatible, "{what}");
            assert!(!file.exists(), "nothing is made in its place");
            assert_eq!(std::fs::read(kept(file.parent().unwrap())).unwrap(), bytes, "{what}: not a byte is another");
            child.kill();
        }
        let mut restore = command(folder.path(), None);
        restore.arg("restore").arg("--data").arg(folder.path().join("data")).args(["--database", "notes", "--from"]);
        assert!(restore.arg(&copy).stdout(Stdio::null()).status().unwrap().success(), "{what}");
        let child = Child::start(folder.path(), None);
        dial(&alice, &address, &child).await;
        heals(&child, &alice).await;
        assert_eq!(ask(child.at(), "GET", "/health", None).await.expect("an answer").status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_damaged_or_gone_is_a_loss_that_clients_mend() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("gone", |log| std::fs::remove_file(log).unwrap()),
        ("empty", |log| std::fs::write(log, "").unwrap()),
        ("cut", |log| {
            let bytes = std::fs::read(log).unwrap();
            std::fs::write(log, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("garbled", |log| {
            let bytes = std::fs::read(log).unwrap();
            let from = bytes.len() / 2;
            std::fs::write(log, garbled(bytes, from)).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let (folder, alice, address, _copy) = notes(false).await;
        // The schema is in the file, and what came later in the log.
        let log = folder.path().join("data/notes-wal");
        assert!(std::fs::metadata(&log).unwrap().len() > 20_000, "{what}");
        damage(&log);
        let child = Child::start(folder.path(), None);
        assert_ne!(exec(&child, "notes", COUNT).await, json!([[10]]), "{what}: something is lost");
        dial(&alice, &address, &child).await;
        heals(&child, &alice).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_is_met_while_it_is_open_ends_in_the_same() {
    // Without the file system's events, which would tell of the damage being done.
    let server = Server::start_with(|settings| settings.poll = Some(Duration::from_secs(60))).await;
    let (alice, file) = (Peer::start(server.address, "notes"), server.data().join("notes"));
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
                INSERT INTO note (id, title, body) SELECT i, 'note', randomblob(3000) FROM n";
    alice.exec(fill).await;
    let arrived = || async { (server.exec("notes", COUNT, json!([])).await["rows"] == json!([[400]])).then_some(()) };
    eventually("it arrives", arrived).await;
    alice.wait_synced().await;
    let copy = server.folder.path().join("copy");
    std::fs::write(&copy, server.get("/notes/file").await.body).unwrap();
    alice.exec("INSERT INTO note (id, title) VALUES (1000, 'since')").await;
    alice.wait("in step", |status| status.state == StatusState::Synced && status.pending.changes == 0).await;
    fold(&file);
    // A disk that rots doesn't tell when: to everybody who looks at dates nothing has happened.
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let from = bytes.len() / 2 / DAMAGE_BYTES * DAMAGE_BYTES;
    let disk = std::fs::File::options().write(true).open(&file).unwrap();
    // Little, at once: whoever looks between these two lines sees that somebody wrote.
    disk.write_all_at(&garbled(bytes, from)[from..from + DAMAGE_BYTES], from as u64).unwrap();
    disk.set_modified(modified).unwrap();

    // Somebody who has nothing yet has all of it read.
    let bob = Peer::start(server.address, "notes");
    let told = || async {
        let answer = server.get("/notes/meta").await;
        (answer.status == 503 && answer.text().contains("set aside as backups/notes.damaged.")).then_some(())
    };
    eventually("it is told", told).await;
    assert_eq!(server.get("/health").await.json()["checks"]["database:notes"], json!("damaged"));
    assert!(!file.exists());
    for peer in [&alice, &bob] {
        peer.wait("refused", |status| !matches!(status.state, StatusState::Synced | StatusState::Syncing)).await;
        assert_ne!(peer.status().state, StatusState::Incompatible);
    }
    kept(&server.data());
    let mut restore = command(server.folder.path(), None);
    restore.arg("restore").arg("--data").arg(server.data()).args(["--database", "notes", "--from"]);
    let restored = tokio::task::spawn_blocking(move || restore.arg(&copy).stdout(Stdio::null()).status().unwrap());
    assert!(restored.await.unwrap().success());
    for peer in [&alice, &bob] {
        peer.wait_value(COUNT, 401).await;
        peer.wait_synced().await;
    }
    let all = || async { (server.exec("notes", COUNT, json!([])).await["rows"] == json!([[401]])).then_some(()) };
    eventually("the server has all of it", all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_removed_under_a_server_takes_nothing_with_it() {
    let (folder, alice, address, _copy) = notes(false).await;
    let log = folder.path().join("data/notes-wal");
    let child = Child::start(folder.path(), None);
    dial(&alice, &address, &child).await;
    heals(&child, &alice).await;
    std::fs::remove_file(&log).unwrap();
    // Each of these is answered, or it may be missing.
    let mut answered = Vec::new();
    for id in 100..130 {
        let sql = format!("INSERT INTO note (id, title) VALUES ({id}, 'since')");
        let answer = ask(child.at(), "POST", "/notes/exec", Some(&json!({ "sql": sql }))).await.expect("an answer");
        if answer.status == 200 {
            answered.push(id);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(answered.len() > 10, "it goes on: {answered:?}");
    child.kill();
    let child = Child::start(folder.path(), None);
    let there = exec(&child, "notes", "SELECT id FROM note WHERE title <> '' ORDER BY id").await;
    let there: Vec<i64> = there.as_array().unwrap().iter().map(|row| row[0].as_i64().unwrap()).collect();
    let lost: Vec<_> = (1..=10).chain(answered).filter(|id| !there.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// A little longer than what is checked before it is opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_file_is_served_at_once_and_checked_meanwhile() {
    let (folder, alice, address, _copy) = notes(true).await;
    let file = folder.path().join("data/notes");
    let mut shell = Command::new("sqlite3");
    let blob = 7_000_000;
    let rows = greenlight_server::limits::CHECK_BEFORE_BYTES / blob + 1;
    let fill = format!(
        "PRAGMA synchronous = OFF; CREATE TABLE long (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
         WHERE i < {rows}) INSERT INTO long SELECT zeroblob({blob}) FROM n"
    );
    assert!(shell.arg(&file).arg(fill).stdout(Stdio::null()).status().unwrap().success());
    let begins = |folder: &Path| Child::start(folder, None);
    let child = begins(folder.path());
    dial(&alice, &address, &child).await;
    heals(&child, &alice).await;
    child.kill();
    fold(&file);

    // In the middle, where none of the notes is.
    let broken = std::fs::File::options().write(true).open(&file).unwrap();
    let middle = std::fs::metadata(&file).unwrap().len() / 2;
    std::os::unix::fs::FileExt::write_all_at(&broken, &[0x5a; 100_000], middle).unwrap();
    drop(broken);
    let child = begins(folder.path());
    assert_eq!(exec(&child, "notes", COUNT).await, json!([[10]]), "served at once");
    let told = || async {
        let answer = ask(child.at(), "GET", "/notes/meta", None).await.expect("an answer");
        (answer.status == 503 && answer.text().contains("set aside as backups/notes.damaged.")).then_some(())
    };
    eventually("it is found", told).await;
    assert!(child.words().contains("the file is damaged"), "{}", child.words());
    kept(&folder.path().join("data"));
}
