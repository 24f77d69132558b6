//! Homes in a folder, and servers that end with their handle.
//!
//! Where in the flow: below every test here. Never touches a home of the machine that runs it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use greenlight_store::{ClientDatabase, Location, Options, Schema};
use serde_json::Value;

/// How long a process may take to end by itself.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// What is synchronised.
pub(crate) const SCHEMA: &str = "-- schema: shop 1\nCREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT);\n";

/// A person's home, and the folder around it.
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
    pub(crate) around: PathBuf,
}

/// A home of this name in a folder, which need not be there.
pub(crate) fn home(around: &Path, name: &str) -> Home {
    Home { folder: around.join(name), around: around.to_owned() }
}

impl Home {
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight"));
        command.args(words).env_clear().current_dir(&self.around).env("GREENLIGHT_HOME", &self.folder);
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        ends_as_documented(words, &output);
        output
    }

    /// Ends well; what it said.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        self.ends(words, 0)
    }

    /// Ends with this code; what it said.
    pub(crate) fn ends(&self, words: &[&str], code: i32) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
        said(&output)
    }

    /// Ends with this code, and has printed JSON.
    pub(crate) fn json(&self, words: &[&str], code: i32) -> Value {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {}", said(&output)))
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file beside the home, with this text; its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let file = self.around.join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// With a database, and a remote named `default`.
    pub(crate) fn with_remote(self, address: &str) -> Self {
        let schema = self.file("shop.sql", SCHEMA);
        self.ok(&["init", "--schema", &schema]);
        self.ok(&["remote", "add", "default", address]);
        self
    }

    pub(crate) fn replica(&self) -> ClientDatabase {
        let options = Options::system(Location::File(self.at("db.sqlite")), || 1).unwrap();
        ClientDatabase::open(options, &Schema::parse(SCHEMA).unwrap()).unwrap()
    }

    pub(crate) fn write(&self, title: &str) {
        let sql = format!("INSERT INTO book (isbn, title) VALUES ('{title}', '{title}')");
        self.replica().exec(&sql, &[]).unwrap();
    }

    pub(crate) fn books(&self) -> Vec<String> {
        let conn = rusqlite::Connection::open(self.at("db.sqlite")).unwrap();
        let mut select = conn.prepare("SELECT title FROM book ORDER BY title").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// `greenlight serve` with this home, its schema in place, on a free port.
    pub(crate) fn serve(&self, words: &[&str]) -> Serving {
        std::fs::create_dir_all(self.at("schemas")).unwrap();
        std::fs::write(self.at("schemas/shop.sql"), SCHEMA).unwrap();
        let mut command = self.command(&[&["serve", "--json"], words].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut serving = Serving { child, told: Value::Null };
        serving.told = serde_json::from_str(&line).unwrap_or_else(|error| {
            let rest = serving.end();
            panic!("{error}: {line:?}: {rest:?}")
        });
        serving
    }
}

/// A server that ends with this.
pub(crate) struct Serving {
    child: Child,
    pub(crate) told: Value,
}

impl Serving {
    /// The address of a database of its.
    pub(crate) fn url(&self, database: &str) -> String {
        let http = self.told["listening"].as_str().unwrap();
        format!("{}/{database}", http.replace("http://", "ws://"))
    }

    /// Asks it to stop, as a service manager does; its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        terminate(&self.child);
        self.end()
    }

    fn end(&mut self) -> Option<i32> {
        end(&mut self.child)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A command ends with no code but those that its help names.
fn ends_as_documented(words: &[&str], output: &Output) {
    let command: Vec<&str> = words.iter().take(2).take_while(|word| !word.starts_with('-')).copied().collect();
    let command = if words[0] == "sync" { command.join(" ") } else { words[0].to_owned() };
    let code = output.status.code().unwrap_or_else(|| panic!("{words:?} was killed"));
    let codes = greenlight_cli::exits::of(&command);
    assert!(codes.iter().any(|exit| i32::from(exit.code) == code), "{command} ends with {code}: {}", said(output));
}

pub(crate) fn terminate(child: &Child) {
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits until it ends by itself; its exit code.
pub(crate) fn end(child: &mut Child) -> Option<i32> {
    let until = Instant::now() + DEADLINE;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not end");
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every file below a folder with its content, but for the shared memory that SQLite keeps of a log. Of the home named
/// `server`, whose server writes when it likes, only which files there are, without their logs.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(tree(&path));
            all.insert(path, None);
            continue;
        }
        let name = path.to_string_lossy();
        let is_servers = path.components().any(|part| part.as_os_str() == "server");
        if name.ends_with("-shm") || is_servers && name.ends_with("-wal") {
            continue;
        }
        let content = (!is_servers).then(|| std::fs::read(&path).unwrap());
        all.insert(path, content);
    }
    all
}
