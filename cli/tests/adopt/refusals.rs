//! What can't be taken over stays as it is, to the byte, and nothing is left beside it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use greenlight_cli::adopt::crash::VARIABLE;
use rusqlite::Connection;

use crate::fixture::{SHOP, World, rows, said};

const ADOPT: [&str; 2] = ["adopt", "shop.db"];

#[test]
fn every_finding_is_told_at_once_and_the_file_is_as_it_was() {
    let sql = "CREATE TABLE author (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, \"born in\" INTEGER);
         CREATE TABLE book (isbn TEXT, author INTEGER NOT NULL REFERENCES author (id), CHECK (isbn <> author));
         CREATE UNIQUE INDEX one ON book (isbn);
         CREATE VIRTUAL TABLE found USING fts5 (text);
         CREATE VIEW seen AS SELECT * FROM found;
         INSERT INTO author VALUES (1, 'Jane', 1775);
         INSERT INTO book VALUES (CAST(x'ff' AS TEXT), 1);
         CREATE TRIGGER wrote AFTER INSERT ON book BEGIN INSERT INTO author (name) VALUES (new.isbn); END;";
    for log in ["PRAGMA journal_mode = WAL;", ""] {
        let world = World::new(&format!("{log}{sql}"));
        let text = world.refuses(&ADOPT, 3, "13 things are in the way");
        for part in [
            "table `found` is virtual",
            "view `seen` can't be made on another machine: no such table: main.found",
            "name `born in`",
            "key column `id` of table `author` must be NOT NULL",
            "AUTOINCREMENT",
            "`sqlite_autoindex_author_1`",
            "Remedy: leave the constraint out, and look for doubles in the app. [--mend does that]",
            "table `book` has no primary key",
            "checked foreign keys",
            "unique index `one`",
            "column `author` of table `book` is NOT NULL without a default",
            "spans the columns author, isbn",
            "trigger of table `book` writes",
            "1 row with text in column `isbn` that is not UTF-8",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        world.refuses(&["adopt", "shop.db", "--dry-run"], 3, "in the way");
        world.refuses(&["adopt", "shop.db", "--mend"], 3, "in the way");
    }
}

#[test]
fn rows_that_can_not_travel_are_told() {
    let create = "CREATE TABLE t (k BLOB NOT NULL PRIMARY KEY, v);";
    let number = "CREATE TABLE t (k BIGINT NOT NULL PRIMARY KEY, v); INSERT INTO t VALUES (1e300, 1)";
    let broken = "CREATE TABLE t (k TEXT NOT NULL PRIMARY KEY, v INTEGER DEFAULT 1 CHECK (v > 0));
                  PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES ('a', 0)";
    for (sql, why) in [
        (format!("{create} INSERT INTO t VALUES (zeroblob(9000), 1)"), "a key of more than 8192 bytes"),
        (format!("{create} INSERT INTO t VALUES (1, zeroblob(9000000))"), "1 row of more than 8388608 bytes"),
        (format!("{create} INSERT INTO t VALUES (2, zeroblob(8388608))"), "the first with the key 2"),
        (
            format!("{create} INSERT INTO t VALUES ('x', CAST(x'c328' AS TEXT))"),
            "not UTF-8, the first with the key 'x'",
        ),
        (number.to_owned(), "type would convert"),
        (broken.to_owned(), "1 row that its CHECK does not let in (v > 0)"),
        ("CREATE TABLE t (k TEXT PRIMARY KEY, v); INSERT INTO t VALUES (NULL, 1)".to_owned(), "1 row without a value"),
    ] {
        let world = World::new(&sql);
        world.refuses(&ADOPT, 3, why);
        world.refuses(&["adopt", "shop.db", "--mend"], 3, why);
    }
    let torn = "CREATE TABLE t (k TEXT NOT NULL PRIMARY KEY, v); INSERT INTO t VALUES ('a', NULL); PRAGMA writable_schema = ON;
                UPDATE sqlite_schema SET sql = replace(sql, ', v', ', v NOT NULL DEFAULT 1') WHERE name = 't'";
    let world = World::new(torn);
    world.refuses(&ADOPT, 3, "a row that it would not take today, nor will another machine: NULL value in t.v");
    let world = World::new(&format!("{create} INSERT INTO t VALUES (zeroblob(8000), zeroblob(8300000))"));
    world.ok(&ADOPT);
}

#[test]
fn a_database_can_not_write_on_the_terminal() {
    let bell = "\u{1b}]0;x\u{7}";
    let world = World::new(&format!(
        "CREATE TABLE \"{bell}\" (\"{bell}\" TEXT PRIMARY KEY, v NOT NULL DEFAULT '{bell}'); CREATE TABLE t (a);
         INSERT INTO \"{bell}\" VALUES (CAST(x'1bff' AS TEXT), 1)"
    ));
    for more in [&[][..], &["--mend"], &["--dry-run"], &["--json"], &["--skip", bell, "--mend", "--dry-run"]] {
        let output = world.run(&[&ADOPT, more].concat());
        assert!(!said(&output).contains('\u{1b}'), "{more:?}: {:?}", said(&output));
    }
    assert!(said(&world.run(&ADOPT)).contains("not UTF-8"));
}

#[test]
fn what_is_no_plain_database_is_told_from_one() {
    let world = World::new(SHOP);
    let write = |name: &str, bytes: &[u8]| std::fs::write(world.path(name), bytes).unwrap();
    world.refuses(&["adopt", "missing.db"], 1, "no file of this name");
    world.refuses(&["adopt", "."], 3, "a folder");
    write("empty.db", b"");
    world.refuses(&["adopt", "empty.db"], 3, "it is empty");
    write("sealed.db", &[0x5a; 8_192]);
    world.refuses(&["adopt", "sealed.db"], 3, "encrypted");
    let mut bytes = std::fs::read(world.db()).unwrap();
    let (page, end) = (4_096, bytes.len());
    bytes[page..end].fill(0x5a);
    write("torn.db", &bytes);
    world.refuses(&["adopt", "torn.db"], 3, "it is damaged");
    Connection::open(world.path("wide.db"))
        .unwrap()
        .execute_batch(&format!("PRAGMA encoding = 'UTF-16';{SHOP}"))
        .unwrap();
    world.refuses(&["adopt", "wide.db"], 3, "UTF-16");
    Connection::open(world.path("void.db")).unwrap().execute_batch("CREATE TABLE t (a); DROP TABLE t").unwrap();
    world.refuses(&["adopt", "void.db"], 3, "it defines no table");
    Connection::open(world.path("theirs.db"))
        .unwrap()
        .execute_batch("CREATE TABLE crsql_site_id (site_id BLOB NOT NULL, ordinal INTEGER PRIMARY KEY)")
        .unwrap();
    world.refuses(&["adopt", "theirs.db"], 3, "cr-sqlite that Greenlight does not look after");
    world.ok(&ADOPT);
    world.refuses(&ADOPT, 3, "Greenlight's already");
    world.ok(&["sync", "push", "--db", "shop.db", "--remote", "./remote"]);
    std::fs::copy(world.path("remote/db.sqlite"), world.path("snapshot.db")).unwrap();
    world.refuses(&["adopt", "snapshot.db"], 3, "it is a snapshot");
    std::fs::copy(world.db(), world.path("server.db")).unwrap();
    let server = Connection::open(world.path("server.db")).unwrap();
    server.execute_batch("UPDATE greenlight_state SET value = 'server' WHERE key = 'role'").unwrap();
    drop(server);
    world.refuses(&["adopt", "server.db"], 3, "database of a Greenlight server");
}

#[test]
fn what_is_in_use_is_busy_and_goes_on() {
    // A transaction that holds everything.
    let world = World::new(SHOP);
    let other = Connection::open(world.db()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let output = world.run(&ADOPT);
    assert_eq!(output.status.code(), Some(9), "{}", said(&output));
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);

    // A program that has a database with a log open.
    let world = World::new(&format!("PRAGMA journal_mode = WAL;{SHOP}"));
    let other = Connection::open(world.db()).unwrap();
    other.execute_batch("INSERT INTO author VALUES ('b', 'Mary', 1797)").unwrap();
    // It is found before anything is copied.
    let output = world.command(&ADOPT).env(VARIABLE, "copied:1").output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(9), "{text}");
    assert!(text.contains("database busy; close what else has it open"), "{text}");
    world.ok(&["adopt", "shop.db", "--dry-run"]);
    other.execute_batch("INSERT INTO author VALUES ('c', 'Ann', 1820)").unwrap();
    drop(other);
    assert_eq!(world.names(), ["shop.db"]);
    assert_eq!(rows(&world.db(), "SELECT count(*) FROM author"), ["Integer(3)"]);
    world.ok(&ADOPT);
}

#[test]
fn what_is_written_while_it_is_at_work_is_not_lost() {
    for rows_there in [20_000, 200_000, 2_000_000] {
        let world = World::new(&format!(
            "{SHOP} WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n LIMIT {rows_there})
             INSERT INTO author SELECT i, 'name', i FROM n"
        ));
        let other = Connection::open(world.db()).unwrap();
        let length = std::fs::metadata(world.db()).unwrap().len();
        let child = world.command(&ADOPT).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut child = Child(child);
        // Once the copy grows it is complete.
        let grows = || {
            let names = std::fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().path());
            let part = names.filter(|path| path.to_string_lossy().contains("adopt-part"));
            part.filter_map(|path| std::fs::metadata(path).ok()).any(|facts| facts.len() > length)
        };
        while !grows() && child.0.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let written = other.execute("INSERT INTO author VALUES ('late', 'Ann', 1820)", []);
        let code = child.0.wait().unwrap().code();
        if written.is_err() {
            // It was faster than this, and the write came to a database that takes no more of them.
            continue;
        }
        assert_eq!(code, Some(9));
        assert_eq!(rows(&world.db(), "SELECT count(*) FROM author WHERE id = 'late'"), ["Integer(1)"]);
        assert_eq!(world.names(), ["shop.db"]);
        return;
    }
    panic!("it was never slow enough");
}

/// A process that ends with the test, however that does.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended can't be killed, which is what is wanted.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_log_that_somebody_left_is_taken_over_with_its_rows() {
    let world = World::new(&format!("PRAGMA journal_mode = WAL;{SHOP}"));
    let other = Connection::open(world.db()).unwrap();
    other.execute_batch("INSERT INTO author VALUES ('b', 'Mary', 1797)").unwrap();
    // As a program that died would leave them.
    for name in ["shop.db", "shop.db-wal"] {
        std::fs::copy(world.path(name), world.path(&name.replace("shop", "left"))).unwrap();
    }
    drop(other);
    let before = world.files();
    assert!(world.ok(&["adopt", "left.db", "--dry-run"]).contains("4 rows in 2 tables"));
    let after: Vec<_> = world.files().into_iter().filter(|(name, _)| !name.ends_with("-shm")).collect();
    assert_eq!(after, before);
    world.ok(&["adopt", "left.db"]);
    assert_eq!(rows(&world.path("left.db"), "SELECT count(*) FROM author"), ["Integer(2)"]);
}

#[test]
fn a_transaction_that_was_cut_off_is_not_guessed_at() {
    let world = World::new(SHOP);
    let other = Connection::open(world.db()).unwrap();
    other.execute_batch("PRAGMA cache_size = 1; BEGIN").unwrap();
    other.execute_batch("UPDATE book SET title = hex(zeroblob(20000))").unwrap();
    // As a program that died would leave them: half of it is in the file.
    for name in ["shop.db", "shop.db-journal"] {
        std::fs::copy(world.path(name), world.path(&name.replace("shop", "left"))).unwrap();
    }
    drop(other);
    world.refuses(&["adopt", "left.db"], 9, "its last transaction was cut off");
}

#[test]
fn nothing_is_overwritten() {
    let world = World::new(SHOP);
    std::fs::write(world.path("shop.db.schema.sql"), "mine").unwrap();
    world.refuses(&ADOPT, 3, "shop.db.schema.sql is there already");
    world.refuses(&["adopt", "shop.db", "--dry-run"], 3, "--schema-out");
    std::fs::write(world.path("shop.db.before-adopt"), "mine").unwrap();
    world.refuses(&["adopt", "shop.db", "--schema-out", "other.sql"], 3, "shop.db.before-adopt is there already");
    world.refuses(&["adopt", "shop.db", "--name", "a b"], 3, "can't be a schema's name");
    world.refuses(&["adopt", "shop.db", "--skip", "nothing"], 3, "no table `nothing`");
}

#[test]
fn a_folder_that_can_not_be_written_keeps_the_file_as_it_was() {
    let world = World::new(SHOP);
    let allow = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let (bin, program) = (world.path("bin"), world.path("bin/greenlight"));
    std::fs::create_dir(&bin).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_greenlight"), &program).unwrap();
    allow(&world.db(), 0o666);
    allow(&bin, 0o755);
    allow(world.folder.path(), 0o555);
    // Root writes anywhere.
    let is_root = rustix::process::geteuid().is_root();
    let mut command = if is_root { Command::new("setpriv") } else { Command::new(&program) };
    if is_root {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    }
    command.args(ADOPT).env_clear().current_dir(world.folder.path());
    let before = world.files();
    let output = command.output().expect("setpriv is needed where this runs as root");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("It was not changed"), "{}", said(&output));
    assert_eq!(world.files(), before);
    allow(world.folder.path(), 0o755);
}

#[test]
fn a_full_disk_keeps_the_file_as_it_was() {
    let world = World::new(SHOP);
    let conn = Connection::open(world.db()).unwrap();
    let many = "WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n LIMIT 20000)
                INSERT INTO book SELECT i, 'a', 'title ' || i, i FROM n";
    conn.execute_batch(many).unwrap();
    drop(conn);
    let kibibytes = std::fs::metadata(world.db()).unwrap().len() / 1024;
    let before = world.files();
    // Too little for the copy, and too little for what it becomes.
    for limit in [kibibytes / 2, kibibytes * 3 / 2] {
        let mut shell = Command::new("bash");
        // Ignored, the signal becomes an error.
        shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"")]);
        shell.arg(env!("CARGO_BIN_EXE_greenlight")).args(ADOPT).current_dir(world.folder.path());
        let output = shell.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("It was not changed"), "{}", said(&output));
        assert_eq!(world.files(), before);
    }
    world.ok(&ADOPT);
}
