//! The pictures of a terminal in the README, and that the program still says what they show.
//!
//! Each session is run with the real program, in homes and folders of its own. What differs from run to run (hashes,
//! times, sizes) is left out of the comparison. After a change that is meant, `GREENLIGHT_RECORD=1` writes the pictures
//! anew: `GREENLIGHT_RECORD=1 cargo test -p greenlight-cli --test pictures`.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use greenlight_store::{ClientDatabase, Location, Options, Schema};

const SCHEMA: &str = "-- schema: notes 1\nCREATE TABLE note (id TEXT NOT NULL PRIMARY KEY, text TEXT);\n";
/// Columns of the terminal.
const COLUMNS: usize = 100;

/// A terminal in which somebody types.
struct Session {
    folder: tempfile::TempDir,
    lines: Vec<Line>,
    /// The real address of the server, where there is one.
    server: Option<String>,
}

/// The server's address in a picture: the one that it has where none is named.
const SERVER: &str = "127.0.0.1:8080";

/// A server that ends with this.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// What is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Comment(String),
    /// Who types what.
    Typed(&'static str, String),
    Said(String),
}

impl Session {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["ada", "ben", "stick"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for place in ["ada/notes.sql", "ben/notes.sql"] {
            std::fs::write(folder.path().join(place), SCHEMA).unwrap();
        }
        Self { folder, lines: Vec::new(), server: None }
    }

    fn home(&self, who: &str) -> PathBuf {
        self.folder.path().join(who)
    }

    fn comment(&mut self, text: &str) {
        self.lines.push(Line::Comment(text.to_owned()));
    }

    /// Types a command, and takes down what it says.
    fn types(&mut self, who: &'static str, typed: &str) {
        let output = self.command(who, typed).output().unwrap();
        self.lines.push(Line::Typed(who, typed.to_owned()));
        // What is said on the way comes before the answer.
        let text = [output.stderr, output.stdout].concat();
        // On a terminal the states of a sync are drawn over each other and are gone at its end.
        for line in String::from_utf8(text).unwrap().lines().filter(|line| !line.contains("Remote DB")) {
            self.says(line);
        }
    }

    fn command(&self, who: &str, typed: &str) -> Command {
        let mut words = typed.split(' ');
        assert_eq!(words.next(), Some("greenlight"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight"));
        command.args(words.map(|word| self.real(word)));
        command.current_dir(self.home(who)).env_clear().env("HOME", self.home(who)).env("CLICOLOR_FORCE", "1");
        command
    }

    fn says(&mut self, line: &str) {
        let shown = self.shown(line);
        self.lines.push(Line::Said(shown));
    }

    /// Starts a server, on a free port, and takes down what it says until it waits.
    fn serves(&mut self, who: &'static str) -> Serving {
        let schemas = self.home(who).join(".greenlight/schemas");
        std::fs::create_dir_all(&schemas).unwrap();
        std::fs::write(schemas.join("notes.sql"), SCHEMA).unwrap();
        let mut command = self.command(who, "greenlight serve --listen 127.0.0.1:0");
        let mut serving = Serving(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        self.lines.push(Line::Typed(who, "greenlight serve".to_owned()));
        for line in BufReader::new(serving.0.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some((_, address)) = line.split_once("listening on http://") {
                self.server = Some(address.to_owned());
            }
            self.says(&line);
            // The last of its lines.
            if line.contains("To let other machines in") {
                break;
            }
        }
        serving
    }

    /// What an app of theirs does.
    fn writes(&self, who: &str, note: &str) {
        let file = self.home(who).join(".greenlight/db.sqlite");
        let options = Options::system(Location::File(file), || 1).unwrap();
        let mut client = ClientDatabase::open(options, &Schema::parse(SCHEMA).unwrap()).unwrap();
        client.exec(&format!("INSERT INTO note VALUES (hex(randomblob(8)), '{note}')"), &[]).unwrap();
    }

    fn notes(&self, who: &str) -> i64 {
        let conn = rusqlite::Connection::open(self.home(who).join(".greenlight/db.sqlite")).unwrap();
        conn.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap()
    }

    /// The folders of the picture are others than those of the test, and so is the machine.
    fn shown(&self, text: &str) -> String {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let root = self.folder.path().display().to_string();
        let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
        let text = match &self.server {
            Some(server) => text.replace(&format!(":{}", port(server)), &format!(":{}", port(SERVER))),
            None => text.to_owned(),
        };
        text.replace(&format!("{root}/stick"), "/media/stick")
            .replace(&format!("{root}/ada"), "~")
            .replace(&format!("{root}/ben"), "~")
            .replace(&format!("by {machine}"), "by laptop")
    }

    fn real(&self, word: &str) -> String {
        let word = self.server.as_ref().map_or_else(|| word.to_owned(), |server| word.replace(SERVER, server));
        word.replace("/media/stick", &self.home("stick").display().to_string())
    }
}

/// A line's first word and its class, if it is coloured, and the rest.
fn coloured(line: &str) -> Option<(&'static str, &str, &str)> {
    let (colour, rest) = line.strip_prefix("\u{1b}[3")?.split_once("m\u{1b}[1m")?;
    let (word, rest) = rest.split_once("\u{1b}[0m")?;
    let class = match colour {
        "1" => "r",
        "2" => "g",
        "3" => "y",
        other => panic!("colour {other} is none of a light"),
    };
    Some((class, word, rest))
}

/// As a terminal breaks it.
fn broken(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    if letters.is_empty() {
        vec![String::new()]
    } else {
        letters.chunks(COLUMNS).map(|row| row.iter().collect()).collect()
    }
}

/// The picture: light or dark as the page is that it stands on.
fn picture(lines: &[Line], title: &str) -> String {
    const ROW: usize = 20;
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut rows = String::new();
    let mut count = 0;
    let mut put = |class: &str, first: Option<(&str, &str)>, text: &str| {
        let first = first.map_or(String::new(), |(class, text)| format!("<tspan class=\"{class}\">{text}</tspan>"));
        let y = 52 + count * ROW;
        writeln!(rows, "<text class=\"{class}\" x=\"20\" y=\"{y}\">{first}{}</text>", escape(text)).unwrap();
        count += 1;
    };
    for (number, line) in lines.iter().enumerate() {
        let is_new = number > 0 && !matches!(line, Line::Said(_)) && !matches!(lines[number - 1], Line::Comment(_));
        if is_new {
            put("s", None, "");
        }
        match line {
            Line::Comment(text) => put("c", None, &format!("# {text}")),
            Line::Typed(who, text) => put("t", Some(("p", &format!("{who}$ "))), text),
            Line::Said(text) => {
                let (class, word, rest) = coloured(text).unwrap_or(("s", "", text));
                let mut first = Some((class, word)).filter(|(_, word)| !word.is_empty());
                for row in broken(&format!("{word}{rest}")) {
                    let rest = row.strip_prefix(first.map_or("", |(_, word)| word));
                    put("s", first.take(), rest.expect("a word is shorter than a row"));
                }
            }
        }
    }
    let (width, height) = (40 + COLUMNS * 84 / 10, 60 + count * ROW);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{title}\">\n\
         <style>\n\
         rect {{ fill: #fbfbf9; stroke: #d4d4cc }} circle {{ fill: #d4d4cc }}\n\
         text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, \"DejaVu Sans Mono\", monospace; fill: #24292f; \
         white-space: pre }}\n\
         .c {{ fill: #6b6f76 }} .p {{ fill: #1a7f37 }} .t, .r, .g, .y {{ font-weight: 600 }}\n\
         .r {{ fill: #c02626 }} .g {{ fill: #14803c }} .y {{ fill: #9a6700 }}\n\
         @media (prefers-color-scheme: dark) {{ rect {{ fill: #16191d; stroke: #3a4048 }} circle {{ fill: #3a4048 }} \
         text {{ fill: #d7dbe0 }} .c {{ fill: #8d949e }} .p {{ fill: #5fd07a }} \
         .r {{ fill: #ff7b72 }} .g {{ fill: #4ac26b }} .y {{ fill: #e3b341 }} }}\n\
         </style>\n\
         <rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n\
         <circle cx=\"20\" cy=\"18\" r=\"5\"/><circle cx=\"38\" cy=\"18\" r=\"5\"/><circle cx=\"56\" cy=\"18\" r=\"5\"/>\n\
         {rows}</svg>\n",
        width - 1,
        height - 1,
    )
}

/// Without what differs from run to run: hashes, times, sizes, ports.
fn steady(picture: &str) -> String {
    let mut out = String::new();
    for word in picture.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric() && !":.-".contains(letter)) {
        let bare = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let is_hash = bare.len() == 12 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_time = bare.len() == 20 && bare.ends_with('Z') && bare.as_bytes()[10] == b'T';
        let is_size = bare.contains('.') && bare.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        match (is_hash, is_time, is_size) {
            (true, _, _) => out.push_str(&word.replace(bare, "HASH")),
            (_, true, _) => out.push_str(&word.replace(bare, "TIME")),
            (_, _, true) => out.push_str(&word.replace(bare, "SIZE")),
            _ => out.push_str(word),
        }
    }
    out
}

fn hold(session: &Session, name: &str, title: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images").join(name);
    let drawn = picture(&session.lines, title);
    if std::env::var_os("GREENLIGHT_RECORD").is_some() {
        std::fs::write(&file, &drawn).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap();
    for (says, shows) in steady(&drawn).lines().zip(steady(&there).lines()) {
        assert_eq!(says, shows, "{name} shows something else than the program says");
    }
    assert_eq!(drawn.lines().count(), there.lines().count(), "{name}");
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    assert!(std::fs::read_to_string(readme).unwrap().contains(name), "the README shows {name}");
}

#[test]
fn two_laptops_over_a_folder() {
    let mut session = Session::new();
    session.comment("Ada's laptop, with a stick");
    session.types("ada", "greenlight init --schema notes.sql");
    session.types("ada", "greenlight remote add default /media/stick/notes");
    session.writes("ada", "Buy milk");
    session.types("ada", "greenlight sync push");
    session.comment("Ben's, with the same stick");
    session.types("ben", "greenlight remote add default /media/stick/notes");
    session.types("ben", "greenlight sync pull");
    session.comment("Both write, and Ada pushes first");
    session.writes("ada", "Buy bread");
    session.writes("ben", "Call Carol");
    session.types("ada", "greenlight sync push");
    session.types("ben", "greenlight sync status");
    session.types("ben", "greenlight sync pull --merge");
    session.types("ben", "greenlight sync push");
    session.comment("Nothing is lost on either side");
    session.types("ada", "greenlight sync pull");
    assert_eq!((session.notes("ada"), session.notes("ben")), (3, 3));
    hold(&session, "folder.svg", "Two laptops keep a database in step over a stick");
}

#[test]
fn two_homes_over_a_server() {
    let mut session = Session::new();
    session.comment("A server for a try, on this machine; docs/server.md puts one on the internet");
    let _server = session.serves("ada");
    session.comment("Ada's home, in another terminal");
    session.types("ada", "greenlight init --schema notes.sql");
    session.types("ada", "greenlight remote add default ws://127.0.0.1:8080/notes");
    session.writes("ada", "Buy milk");
    session.types("ada", "greenlight sync now");
    session.comment("Ben's");
    session.types("ben", "greenlight remote add default ws://127.0.0.1:8080/notes");
    session.types("ben", "greenlight sync now --schema notes.sql");
    session.comment("Both write: the server merges");
    session.writes("ada", "Buy bread");
    session.writes("ben", "Call Carol");
    session.types("ada", "greenlight sync now");
    session.types("ben", "greenlight sync status");
    session.types("ben", "greenlight sync now");
    session.types("ada", "greenlight sync now");
    assert_eq!((session.notes("ada"), session.notes("ben")), (3, 3));
    hold(&session, "server.svg", "Two homes keep a database in step over a server");
}
