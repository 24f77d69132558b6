//! Plain databases, and what the program says of them.
//!
//! Where in the flow: below every test here. Never touches a home of the machine that runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rusqlite::Connection;

/// What can be taken over as it is.
pub(crate) const SHOP: &str = "
    CREATE TABLE author (id TEXT NOT NULL PRIMARY KEY, name TEXT, born INTEGER);
    CREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, author TEXT, title TEXT NOT NULL DEFAULT '', price REAL);
    CREATE INDEX book_by_author ON book (author);
    CREATE VIEW cheap AS SELECT * FROM book WHERE price < 5;
    CREATE TRIGGER no_gifts BEFORE INSERT ON book WHEN new.price < 0 BEGIN SELECT raise(ABORT, 'no gifts'); END;
    INSERT INTO author VALUES ('a', 'Jane', 1775);
    INSERT INTO book VALUES ('1', 'a', 'Emma', 4.5), ('2', 'a', 'Persuasion', 5.5);";

/// A folder, with a database in it.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(sql: &str) -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        Connection::open(world.db()).unwrap().execute_batch(sql).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.path("shop.db")
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight"));
        command.args(words).env_clear().env("GREENLIGHT_HOME", self.path("home")).current_dir(self.folder.path());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    }

    /// Is refused with this code and says this, and leaves every file as it was.
    pub(crate) fn refuses(&self, words: &[&str], code: i32, why: &str) -> String {
        let before = self.files();
        let output = self.run(words);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        assert!(text.contains(why), "{words:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
        assert_eq!(self.files(), before, "{words:?}");
        text
    }

    pub(crate) fn json(&self, words: &[&str]) -> serde_json::Value {
        let output = self.run(words);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
    }

    /// All files with their content, sorted.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().map(Result::unwrap);
        let files = entries.filter(|entry| entry.path().is_file());
        let mut files: Vec<_> = files
            .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
            .collect();
        files.sort_unstable();
        files
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.files().into_iter().map(|(name, _)| name).collect()
    }
}

/// Everything that a query returns, as text.
pub(crate) fn rows(db: &Path, sql: &str) -> Vec<String> {
    let conn = Connection::open(db).unwrap();
    let mut select = conn.prepare(sql).unwrap();
    let count = select.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let cells = (0..count).map(|index| row.get_ref(index).map(|value| format!("{value:?}")));
        cells.collect::<Result<Vec<_>, _>>().map(|cells| cells.join(" "))
    };
    select.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
