//! A server at the limit of its file descriptors: who comes waits or is refused, who is there goes on, and nothing is lost.
//!
//! Where in the flow: the binary as a child that may open few files, and a crowd of connections that say nothing.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use greenlight_core::StatusState;
use serde_json::json;

use crate::fixture::{NOTES, eventually, folder};
use crate::kills::child::{Child, Remains, ask, number};
use crate::peer::{Address, Peer, open};

/// Enough to start, to open a database and to talk to a few.
const FILES: u32 = 48;
const CROWD: usize = 120;

/// Seconds of processor time that a process has used.
fn seconds_used(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // In hundredths, as everywhere on Linux: user's and system's.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_of_its_files_it_waits_and_goes_on_after() {
    let folder = folder();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh", &FILES.to_string()]);
    command.arg(env!("CARGO_BIN_EXE_greenlight-server")).args(["--dev", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(folder.path().join("data")).arg("--schemas").arg(folder.path().join("schemas"));
    command.env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(std::fs::File::create(folder.path().join("log")).unwrap());
    let mut child = Child::listening(command, folder.path());
    let address = Address::new(Mutex::new(child.at()));
    let alice = Peer::start_at(address, "notes", "", open(NOTES));
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'before')").await;
    alice.wait("in step", |status| status.state == StatusState::Synced && status.pending.changes == 0).await;

    // Whoever the system takes for the server waits with it.
    let crowd: Vec<TcpStream> = (0..CROWD).filter_map(|_| TcpStream::connect(child.at()).ok()).collect();
    assert!(crowd.len() > FILES as usize, "{}", crowd.len());
    let open = || std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap().count();
    eventually("no file is left", || async { (open() + 2 >= FILES as usize).then_some(()) }).await;
    let used = seconds_used(child.id());
    let watched = Duration::from_secs(3);
    for id in 2..=7 {
        alice.exec(&format!("INSERT INTO note (id, title) VALUES ({id}, 'meanwhile')")).await;
        tokio::time::sleep(watched / 6).await;
    }
    let used = seconds_used(child.id()) - used;
    assert!(used < watched.as_secs_f64() / 2.0, "it turns in circles: {used} s of {watched:?}");
    assert!(!child.has_ended(), "{}", child.words());
    let complaints = child.words().matches("a connection can't be taken in").count();
    assert!((1..100).contains(&complaints), "it ran out of files, and says so now and then: {complaints}");
    drop(crowd);

    let all = || async {
        let body = json!({ "sql": "SELECT count(*) FROM note WHERE title <> ''" });
        let answer = ask(child.at(), "POST", "/notes/exec", Some(&body)).await?;
        (answer.status == 200 && answer.json()["rows"] == json!([[7]])).then_some(())
    };
    eventually("all is there once there are files again", all).await;
    alice.wait("in step", |status| status.state == StatusState::Synced && status.pending.changes == 0).await;
    let remains = Remains::of(folder.path(), "notes");
    assert_eq!(number(&remains.open(), "SELECT count(*) FROM note WHERE title <> ''"), 7);
    child.kill();
}
