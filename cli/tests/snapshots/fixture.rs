//! Machines, the folder between them, and what they say.
//!
//! Where in the flow: below every test here. Never touches a home of the machine that runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use greenlight_store::{ClientDatabase, Location, Options, Schema};
use serde_json::Value;

use crate::storage::{ACCESS_KEY, ADDRESS, PLACE, SECRET_KEY, Storage};

/// A replica's schema.
pub(crate) const SCHEMA: &str = "-- schema: shop 1\nCREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT);";

/// What opens the encrypted remotes.
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";

/// What kind of remote stands between the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A folder, named by its path alone.
    Folder,
    /// A folder, compressed.
    Compressed,
    /// A folder, compressed and encrypted.
    Encrypted,
    /// A bucket.
    Bucket,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Folder, Self::Compressed, Self::Encrypted, Self::Bucket];

    /// The keys of the configuration.
    fn keys(self) -> &'static str {
        match self {
            Self::Folder | Self::Bucket => "",
            Self::Compressed => "compression = \"zstd\"",
            Self::Encrypted => "compression = \"zstd\"\nencryption = \"age\"",
        }
    }

    /// What is there after a push; in a bucket each name has the hash and a random number behind it.
    pub(crate) fn names(self) -> [&'static str; 2] {
        match self {
            Self::Bucket => ["db.sqlite.HASH", "sync-meta.json"],
            Self::Folder => ["db.sqlite", "sync-meta.json"],
            Self::Compressed => ["db.sqlite.zst", "sync-meta.json"],
            Self::Encrypted => ["db.sqlite.zst.age", "sync-meta.json"],
        }
    }
}

/// Two machines and a remote.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    /// Whether the databases are replicas, or plain.
    pub(crate) replicas: bool,
    pub(crate) kind: Kind,
    /// The storage of the bucket.
    pub(crate) storage: Option<Storage>,
}

/// One machine: a home.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) home: PathBuf,
    pub(crate) remote: PathBuf,
    pub(crate) replicas: bool,
    /// The configuration that names the remote `shared`; without one the remote is named by its path.
    pub(crate) config: Option<PathBuf>,
}

impl World {
    pub(crate) fn new(replicas: bool) -> Self {
        Self::with(replicas, Kind::Folder)
    }

    pub(crate) fn with(replicas: bool, kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = (kind == Kind::Bucket).then(|| Storage::start(folder.path()));
        Self { folder, replicas, kind, storage }
    }

    /// The folder of the remote; of a bucket's, that in which the storage keeps it.
    pub(crate) fn remote(&self) -> PathBuf {
        self.folder.path().join(if self.storage.is_some() { PLACE } else { "remote" })
    }

    /// The remote as it is told.
    pub(crate) fn shown(&self) -> String {
        if self.storage.is_some() { ADDRESS.to_owned() } else { self.remote().display().to_string() }
    }

    /// What is in the remote, as [`Kind::names`] has it. What a push that died left in a bucket stays there for a day.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut found = names(&self.remote());
        if self.kind == Kind::Bucket {
            found.retain(|name| !name.starts_with("sync-probe."));
            for name in found.iter_mut().filter(|name| name.len() == "db.sqlite.".len() + 64 + 1 + 16) {
                *name = "db.sqlite.HASH".to_owned();
            }
            found.dedup();
        }
        found
    }

    pub(crate) fn machine(&self, name: &str) -> Machine {
        let home = self.folder.path().join(name);
        let machine = Machine { home, remote: self.remote(), replicas: self.replicas, config: None };
        match &self.storage {
            Some(storage) => machine.at_storage(storage, ""),
            None if self.kind == Kind::Folder => machine,
            None => machine.configured(self.kind.keys()),
        }
    }

    /// Alice with one book, which Bob has pulled.
    pub(crate) fn in_step(&self) -> (Machine, Machine) {
        let (alice, bob) = (self.machine("alice"), self.machine("bob"));
        alice.write("Emma");
        alice.ok(&["sync", "push"]);
        bob.ok(&["sync", "pull"]);
        (alice, bob)
    }
}

/// Both kinds of databases.
pub(crate) fn each(test: impl Fn(World)) {
    for replicas in [false, true] {
        test(World::new(replicas));
    }
}

/// The same over every kind of remote; where passphrases or a server make it slow, with replicas alone.
pub(crate) fn everywhere(test: impl Fn(World)) {
    for kind in Kind::ALL {
        for replicas in [false, true] {
            if replicas || !matches!(kind, Kind::Encrypted | Kind::Bucket) {
                test(World::with(replicas, kind));
            }
        }
    }
}

impl Machine {
    /// With a configuration that names the remote, and says this of it.
    pub(crate) fn configured(self, keys: &str) -> Self {
        let address = self.remote.display().to_string();
        self.named(&address, keys)
    }

    /// The same for a bucket.
    pub(crate) fn at_storage(self, storage: &Storage, keys: &str) -> Self {
        let keys = format!("endpoint = '{}'\nallow_http = true\n{keys}", storage.endpoint);
        self.named(ADDRESS, &keys)
    }

    pub(crate) fn named(self, address: &str, keys: &str) -> Self {
        let file = self.home.with_added_extension("toml");
        std::fs::write(&file, format!("[remotes.shared]\naddress = '{address}'\n{keys}\n")).unwrap();
        Self { config: Some(file), ..self }
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.home.join("db.sqlite")
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight"));
        command.args(words).env_clear();
        command.env("GREENLIGHT_HOME", &self.home);
        match &self.config {
            None => command.env("GREENLIGHT_SYNC_REMOTE", &self.remote),
            Some(config) => command
                .env("GREENLIGHT_CLIENT_CONFIG", config)
                .env("GREENLIGHT_SYNC_REMOTE", "shared")
                .env(greenlight_cli::sync::PASSPHRASE_VARIABLE, PASSPHRASE)
                .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
                .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        };
        command
    }

    /// A command ends with no code but those that its help names; one that is killed with none.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        let codes = greenlight_cli::exits::of(&words.iter().take(2).copied().collect::<Vec<_>>().join(" "));
        let is_named = |code| codes.iter().any(|exit| i32::from(exit.code) == code);
        assert!(output.status.code().is_none_or(is_named), "{words:?}: {}", said(&output));
        output
    }

    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    }

    /// Ends with this code, and says this.
    pub(crate) fn fails(&self, words: &[&str], code: i32, why: &str) {
        let output = self.run(words);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        assert!(text.contains(why), "{words:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }

    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let output = self.run(words);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
    }

    /// The status' one word.
    pub(crate) fn status(&self) -> String {
        self.json(&["sync", "status", "--json"])["status"].as_str().unwrap().to_owned()
    }

    pub(crate) fn replica(&self) -> ClientDatabase {
        let options = Options::system(Location::File(self.db()), || 1).unwrap();
        ClientDatabase::open(options, &Schema::parse(SCHEMA).unwrap()).unwrap()
    }

    pub(crate) fn plain(&self) -> rusqlite::Connection {
        let conn = rusqlite::Connection::open(self.db()).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE IF NOT EXISTS book (isbn TEXT PRIMARY KEY, title TEXT, expires_at TEXT, deleted_at TEXT)",
        )
        .unwrap();
        conn
    }

    /// Writes a book, in a database that is made where it is not there.
    pub(crate) fn write(&self, title: &str) {
        std::fs::create_dir_all(&self.home).unwrap();
        if self.replicas {
            let sql = format!("INSERT INTO book (isbn, title) VALUES (substr('{title}', 1, 40), '{title}')");
            self.replica().exec(&sql, &[]).unwrap();
        } else {
            self.plain().execute("INSERT INTO book (isbn, title) VALUES (substr(?1, 1, 40), ?1)", [title]).unwrap();
        }
    }

    pub(crate) fn books(&self) -> Vec<String> {
        books(&self.db())
    }

    pub(crate) fn remote_meta(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.remote.join("sync-meta.json")).unwrap()).unwrap()
    }

    pub(crate) fn change_remote_meta(&self, change: impl FnOnce(&mut Value)) {
        let mut meta = self.remote_meta();
        change(&mut meta);
        std::fs::write(self.remote.join("sync-meta.json"), serde_json::to_vec(&meta).unwrap()).unwrap();
    }
}

/// The titles in a database, without cr-sqlite.
pub(crate) fn books(db: &Path) -> Vec<String> {
    let conn = rusqlite::Connection::open_with_flags(db, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut select = conn.prepare("SELECT title FROM book ORDER BY isbn").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}
