//! The real binary: its first line, its bad starts, and SIGTERM in the middle of writing.
//!
//! Where in the flow: as an operator runs it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use greenlight_core::{StatusState, Value};
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{DEADLINE, Server, extension, folder};
use crate::peer::Peer;

/// A process that ends with its handle.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) fn command(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
    command.arg("--data").arg(folder.path().join("data")).arg("--schemas").arg(folder.path().join("schemas"));
    command.args(["--listen", "127.0.0.1:0"]);
    if let Some(extension) = extension() {
        command.arg("--extension").arg(extension);
    }
    command.env_remove("GREENLIGHT_ADMIN_TOKEN").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(folder: &TempDir) -> (Process, SocketAddr) {
    start_with(folder, &[])
}

pub(crate) fn start_with(folder: &TempDir, arguments: &[&str]) -> (Process, SocketAddr) {
    let mut command = command(folder);
    command.arg("--dev").args(arguments);
    listening(command)
}

/// With so many files to open at first, as a shell's `ulimit` gives them.
pub(crate) fn start_with_files(folder: &TempDir, files: u32) -> (Process, SocketAddr) {
    let plain = command(folder);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -S -n {files}; exec \"$0\" \"$@\"")]).arg(plain.get_program());
    shell.args(plain.get_args()).arg("--dev").env_remove("GREENLIGHT_ADMIN_TOKEN");
    shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    listening(shell)
}

fn listening(mut command: Command) -> (Process, SocketAddr) {
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect(&line).parse().unwrap();
    (Process(child), address)
}

pub(crate) fn terminate(process: &mut Process) -> std::process::ExitStatus {
    let id = process.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let begun = Instant::now();
    loop {
        if let Some(status) = process.0.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < DEADLINE, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_when_it_is_told_to_stop() {
    let folder = folder();
    let (mut process, address) = start(&folder);
    let alice = Peer::start(address, "notes");
    alice.wait_synced().await;
    // Written as fast as it goes while the server is told to stop: two rows each, in one transaction.
    let mut id = 0;
    let stopping = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(400));
        terminate(&mut process)
    });
    while alice.status().state != StatusState::Disconnected {
        id += 2;
        let pair = format!("INSERT INTO note (id, title) VALUES ({}, 'a'), ({id}, 'b')", id - 1);
        alice.exec(&pair).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Before the client dials again, which nobody answers.
    let status = alice.status();
    let ended = stopping.await.unwrap();
    assert!(ended.success(), "{ended}");
    assert_eq!(status.diagnostics.last_close.as_ref().map(|close| close.code), Some(1001), "{status:?}");
    // Each row is one change of the row and one of its title, so what isn't pending is acknowledged.
    let pending = alice.with(|store, _| crate::peer::pending(store)).await;
    let Value::Integer(changes) = alice.value("SELECT count(*) FROM crsql_changes").await else { panic!() };
    let acknowledged = u64::try_from(changes).unwrap() - pending;

    let server = Server::start_in(folder, |_| {}).await;
    let answer = server
        .exec("notes", "SELECT (SELECT count(*) FROM crsql_changes), (SELECT count(*) FROM note)", json!([]))
        .await;
    let held = answer["rows"][0][0].as_u64().unwrap();
    assert!(held >= acknowledged, "{held} of {acknowledged} acknowledged changes are there");
    assert_eq!(answer["rows"][0][1].as_u64().unwrap() % 2, 0, "no transaction is half there");
    assert!(id > 4, "something was written");
}

#[test]
fn its_health_is_asked_for_by_the_command_too() {
    let folder = folder();
    let (mut process, address) = start(&folder);
    let ask = |listen: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
        command.args(["health", "--listen", listen]).env_remove("GREENLIGHT_LISTEN");
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (well, said) = ask(&address.to_string());
    assert!(well && said.contains("\"status\":\"ok\""), "{said}");
    let (well, said) = ask(&format!("0.0.0.0:{}", address.port()));
    assert!(well, "of all addresses this machine's own is asked: {said}");
    // A database that can't be opened, which is found once somebody asks for it.
    std::fs::write(folder.path().join("data/notes-bad"), "this is no database".repeat(100)).unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /notes-bad/meta HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    let (well, said) = ask(&address.to_string());
    assert!(!well && said.contains("not well: ") && said.contains("failing"), "{said}");
    assert!(terminate(&mut process).success());
    let (well, said) = ask(&address.to_string());
    assert!(!well && said.contains("does not answer"), "{said}");
}

#[tokio::test]
async fn a_bad_start_ends_with_a_sentence() {
    let folder = folder();
    for (arguments, sentence) in [
        (vec!["--listen", "nonsense"], "listen is not usable"),
        (vec!["--listen", "0.0.0.0:0"], "can be reached by others"),
        (vec!["--listen", "0.0.0.0:0", "--dev"], "--dev gives everyone every role"),
        (vec!["--web", "/nowhere"], "web is not usable"),
        (vec!["--config", "/nowhere"], "the configuration file can't be read"),
        (vec!["--poll-ms", "1"], "poll_ms is not usable"),
        (vec!["--origin", "https://*.example"], "origins is not usable"),
        (vec!["--max-sockets", "0"], "max_sockets is not usable"),
    ] {
        let mut command = command(&folder);
        // The last of a flag given twice counts.
        let arguments: Vec<_> = arguments.into_iter().collect();
        if arguments[0] == "--listen" {
            let mut plain = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
            plain.arg("--data").arg(folder.path().join("data")).arg("--schemas").arg(folder.path().join("schemas"));
            plain.env_remove("GREENLIGHT_ADMIN_TOKEN").stdout(Stdio::piped()).stderr(Stdio::piped());
            command = plain;
        }
        let mut child = Process(command.args(&arguments).spawn().unwrap());
        let mut text = String::new();
        child.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(!child.0.wait().unwrap().success(), "{arguments:?}");
        assert!(text.contains(sentence), "{arguments:?}: {text}");
    }
}

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    let folder = folder();
    let config = folder.path().join("server.toml");
    std::fs::write(&config, "data = \"data\"\nschemas = \"schemas\"\nlisten = \"file\"\n").unwrap();
    let run = |environment: Option<&str>, flag: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
        command.arg("--config").arg(&config).env_remove("GREENLIGHT_ADMIN_TOKEN");
        command.envs(environment.map(|value| ("GREENLIGHT_LISTEN", value)));
        command.args(flag.iter().flat_map(|value| ["--listen", value]));
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run(None, None).contains("`file` is not an address"));
    assert!(run(Some("environment"), None).contains("`environment` is not an address"));
    assert!(run(Some("environment"), Some("flag")).contains("`flag` is not an address"));
    std::fs::write(&config, "lissen = \"x\"\n").unwrap();
    assert!(run(None, None).contains("unknown field `lissen`"));
    std::fs::write(
        &config,
        "data = \"d\"\nschemas = \"schemas\"\n[[token]]\ndatabase = \"*\"\nrole = \"boss\"\nsha256 = \"\"\n",
    )
    .unwrap();
    assert!(run(None, None).contains("`boss` is none of read, write, admin"));
}
