//! What becomes of an answer that nobody reads, or that does not fit: it is no reason to fail, nor to hide it.
//!
//! Where in the flow: the real program, with a pipe that is closed and a device that is full.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::fixture::{Home, home, said};

/// Always full, where the system has it.
const FULL: &str = "/dev/full";

/// Runs it with a standard output that nobody reads any more.
fn unread(mut command: Command) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn a_command_that_nobody_reads_ends_as_it_would() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path(), "home").with_remote("./usb");
    home.write("Emma");
    for (words, code) in [
        (&["sync", "status"][..], 7),
        (&["sync", "status", "--json"], 7),
        (&["sync", "push"], 0),
        (&["sync", "status"], 0),
        (&["remote", "list"], 0),
        (&["init"], 0),
        (&["doctor"], 0),
        (&["completions", "bash"], 0),
        (&["man", "pages"], 0),
    ] {
        let output = unread(home.command(words));
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
        assert!(!said(&output).contains("panicked") && !said(&output).contains("printed"), "{}", said(&output));
    }
    assert_eq!(home.json(&["sync", "status", "--json"], 0)["status"], "equal", "it was pushed");
}

#[test]
fn an_answer_that_does_not_fit_is_an_error() {
    if !Path::new(FULL).exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path(), "home").with_remote("./usb");
    for words in [&["sync", "status"][..], &["remote", "list"], &["completions", "bash"]] {
        let full = OpenOptions::new().write(true).open(FULL).unwrap();
        let output = home.command(words).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", said(&output));
        assert_eq!(said(&output).matches("the answer can't be printed").count(), 1, "{}", said(&output));
    }
}

#[test]
fn a_watch_that_nobody_reads_ends() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path(), "home").with_remote("ws://127.0.0.1:1/shop");
    let output = unread(home.command(&["sync", "watch", "--json"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

/// Runs it on a terminal, which the system's `script` provides; all that the terminal was sent.
fn on_terminal(home: &Home, words: &str, no_color: Option<&str>) -> String {
    let mut script = Command::new("script");
    script.args(["-q", "-c", &format!("'{}' {words}", env!("CARGO_BIN_EXE_greenlight")), "/dev/null"]);
    script.env_clear().env("TERM", "xterm").env("GREENLIGHT_HOME", &home.folder).current_dir(&home.around);
    script.envs(no_color.map(|value| ("NO_COLOR", value))).stdin(Stdio::null());
    said(&script.output().unwrap())
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path(), "home").with_remote("./usb");
    home.write("Emma");
    let yellow = "\u{1b}[33m\u{1b}[1mEmpty\u{1b}[0m:";
    assert!(on_terminal(&home, "sync status", None).contains(yellow), "{:?}", on_terminal(&home, "sync status", None));
    home.ok(&["sync", "push"]);
    assert!(on_terminal(&home, "sync status", None).contains("\u{1b}[32m\u{1b}[1mEqual\u{1b}[0m:"));
    assert!(on_terminal(&home, "doctor", None).contains("\u{1b}[32m\u{1b}[1mok      \u{1b}[0m "));
    for plain in [
        on_terminal(&home, "sync status", Some("1")),
        on_terminal(&home, "doctor", Some("1")),
        on_terminal(&home, "sync status --json", None),
        home.ok(&["sync", "status"]),
    ] {
        assert!(plain.contains("qual") || plain.contains("ok "), "{plain:?}");
        assert!(!plain.contains('\u{1b}'), "{plain:?}");
    }
}

/// Pushes while the database is busy for longer than a bar is waited for, and less long than a push waits.
fn slowly<T>(home: &Home, book: &str, push: impl FnOnce() -> T) -> T {
    home.write(book);
    let conn = rusqlite::Connection::open(home.at("db.sqlite")).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_secs(2));
            conn.execute_batch("ROLLBACK").unwrap();
        });
        push()
    })
}

#[test]
fn a_bar_is_for_terminals_and_for_what_takes_long() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path(), "home").with_remote("./usb");
    let bar = |shown: &str| shown.contains(" left") && shown.contains(" KiB of ");
    // On a machine that takes long to start a program the wait may be over before.
    let mut shown =
        ["1", "2", "3", "4", "5"].iter().map(|book| slowly(&home, book, || on_terminal(&home, "sync push", None)));
    let shown = shown.find(|shown| bar(shown));
    let shown = shown.expect("a bar in one of five pushes");
    let (cleared, answer) = (shown.rfind("\u{1b}[2K").unwrap(), shown.find("Pushed generation").unwrap());
    assert!(cleared < answer, "the bar is gone when the answer comes: {shown:?}");
    assert!(!bar(&slowly(&home, "6", || on_terminal(&home, "sync push --quiet", None))));
    assert!(!bar(&slowly(&home, "7", || home.ok(&["sync", "push"]))), "a pipe is no terminal");
}
