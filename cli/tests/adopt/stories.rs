//! A database that somebody has had for years, and what comes after it was taken over.

use std::path::Path;

use greenlight_store::{ClientDatabase, Location, Options, Schema};
use rusqlite::Connection;
use serde_json::json;

use crate::fixture::{SHOP, World, rows, said};

/// Rows of the largest table.
const ROWS: u32 = 20_000;

/// An app's database after some years: values of every type, keys of several columns, tables without rowids.
fn library() -> String {
    format!(
        "PRAGMA journal_mode = WAL; PRAGMA user_version = 7; PRAGMA application_id = 99;
         CREATE TABLE member (id BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL DEFAULT '', score REAL, photo BLOB);
         CREATE TABLE loan (
           member BLOB NOT NULL, number INTEGER NOT NULL, due TEXT DEFAULT CURRENT_TIMESTAMP, late AS (due < '2020'),
           PRIMARY KEY (member, number)
         ) WITHOUT ROWID;
         CREATE TABLE tag (word TEXT NOT NULL PRIMARY KEY, note ANY) STRICT;
         CREATE TABLE \"order\" (id INTEGER PRIMARY KEY NOT NULL, \"group\" TEXT, 'select');
         CREATE TABLE only_keys (a TEXT NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b));
         CREATE INDEX loan_due ON loan (due) WHERE due IS NOT NULL;
         CREATE INDEX member_name ON member (lower(name) COLLATE NOCASE DESC);
         CREATE VIEW late_members AS SELECT m.name FROM member m JOIN loan l ON l.member = m.id WHERE l.late; -- so far
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS})
           INSERT INTO member SELECT CAST('m' || i AS BLOB), 'Zoë ' || i, i / 3.0, zeroblob(i % 7) FROM n;
         INSERT INTO loan (member, number, due) SELECT id, length(photo), '20' || (10 + score % 30) FROM member;
         INSERT INTO tag VALUES ('', NULL), ('ünïcode', 1), ('quo''te', x'00ff'), ('zero' || char(0) || 'byte', 2.5);
         INSERT INTO \"order\" VALUES (-5, 'a', NULL), (9007199254740993, 'b', 9223372036854775807), (3, NULL, -0.5);
         INSERT INTO only_keys VALUES ('x', 'y'), ('x', 'z');"
    )
}

const TABLES: [&str; 5] = ["member", "loan", "tag", "\"order\"", "only_keys"];

/// All rows of all tables.
fn content(db: &Path) -> Vec<Vec<String>> {
    TABLES.iter().map(|table| rows(db, &format!("SELECT * FROM {table} ORDER BY 1, 2"))).collect()
}

fn digests(db: &Path, schema: &Path) -> Vec<(String, [u8; 16])> {
    let schema = Schema::parse(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let options = Options::system(Location::File(db.to_owned()), || 1).unwrap();
    ClientDatabase::open(options, &schema).unwrap().digests().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_reaches_a_server_and_another_client() {
    let world = World::new(&library());
    let before = content(&world.db());
    let text = world.ok(&["adopt", "shop.db", "--name", "library"]);
    assert!(text.contains("40,009 rows in 5 tables"), "{text}");
    assert_eq!(content(&world.db()), before);

    let (schemas, data) = (world.path("schemas"), world.path("data"));
    std::fs::create_dir(&schemas).unwrap();
    std::fs::copy(world.path("shop.db.schema.sql"), schemas.join("library.sql")).unwrap();
    let settings = greenlight_server::Settings::dev(data.clone(), schemas.clone());
    let listener = greenlight_server::bind(&settings).await.unwrap();
    let url = format!("ws://{}/library", listener.local_addr().unwrap());
    let server = tokio::spawn(greenlight_server::run(listener, settings, std::future::pending()));

    world.ok(&["sync", "now", "--db", "shop.db", "--remote", &url]);
    let schema = world.path("shop.db.schema.sql");
    world.ok(&["sync", "now", "--db", "other.db", "--remote", &url, "--schema", schema.to_str().unwrap()]);
    assert_eq!(content(&world.path("other.db")), before);
    assert_eq!(digests(&world.path("other.db"), &schema), digests(&world.db(), &schema));

    // Both write, and each gets what the other wrote.
    let write = |name: &str, sql: &str| {
        let options = Options::system(Location::File(world.path(name)), || 1).unwrap();
        ClientDatabase::reopen(options).unwrap().exec(sql, &[]).unwrap();
    };
    write("other.db", "UPDATE member SET name = 'Other' WHERE id = CAST('m1' AS BLOB)");
    write("shop.db", "DELETE FROM only_keys WHERE b = 'z'; INSERT INTO tag VALUES ('new', 1)");
    for db in ["other.db", "shop.db", "other.db"] {
        world.ok(&["sync", "now", "--db", db, "--remote", &url]);
    }
    assert_eq!(content(&world.path("other.db")), content(&world.db()));
    assert_eq!(rows(&world.db(), "SELECT count(*) FROM member WHERE name = 'Other'"), ["Integer(1)"]);
    assert_eq!(rows(&world.path("other.db"), "SELECT count(*) FROM only_keys"), ["Integer(1)"]);
    server.abort();
}

#[test]
fn a_folder_carries_it_to_another_machine() {
    let world = World::new(&library());
    let before = content(&world.db());
    world.ok(&["adopt", "shop.db"]);
    world.ok(&["sync", "push", "--db", "shop.db", "--remote", "./remote"]);
    let home = world.path("other");
    world.ok(&["sync", "pull", "--home", home.to_str().unwrap(), "--remote", "./remote"]);
    assert_eq!(content(&home.join("db.sqlite")), before);
}

#[test]
fn indices_views_triggers_and_numbers_stay() {
    let defined = "SELECT type, name, tbl_name, sql FROM sqlite_schema
                   WHERE name NOT LIKE '%crsql%' AND name NOT LIKE 'greenlight%' AND name NOT LIKE 'sqlite%'
                     AND tbl_name NOT LIKE '%crsql%' AND tbl_name NOT LIKE 'greenlight%' ORDER BY 1, 2";
    let numbers = "SELECT * FROM pragma_user_version, pragma_application_id, pragma_page_size, pragma_encoding";
    for sql in [library().as_str(), SHOP] {
        let world = World::new(&format!("PRAGMA page_size = 1024;{sql}"));
        let before = (rows(&world.db(), defined), rows(&world.db(), numbers));
        assert!(before.0.len() > 4);
        world.ok(&["adopt", "shop.db"]);
        assert_eq!((rows(&world.db(), defined), rows(&world.db(), numbers)), before);
        assert_eq!(rows(&world.db(), "PRAGMA integrity_check"), [rows(&world.db(), "SELECT 'ok'")[0].clone()]);
        // Opening it again, with its file or without, changes nothing.
        world.ok(&["sync", "push", "--db", "shop.db", "--remote", "./remote"]);
        assert_eq!(rows(&world.db(), defined), before.0);
    }
}

#[test]
fn the_file_as_it_was_is_kept_with_who_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new(SHOP);
    std::fs::set_permissions(world.db(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let before = std::fs::read(world.db()).unwrap();
    world.ok(&["adopt", "shop.db"]);
    assert_eq!(std::fs::read(world.path("shop.db.before-adopt")).unwrap(), before);
    let mode = std::fs::metadata(world.db()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn tables_that_are_left_out_stay_with_what_belongs_to_them() {
    let world = World::new(&format!(
        "{SHOP}
         CREATE TABLE draft (text TEXT UNIQUE, at INTEGER PRIMARY KEY AUTOINCREMENT);
         CREATE INDEX draft_at ON draft (at);
         CREATE TRIGGER drafted AFTER INSERT ON draft BEGIN DELETE FROM draft WHERE text = ''; END;
         CREATE VIRTUAL TABLE found USING fts5 (text);
         INSERT INTO draft VALUES ('a', 1); INSERT INTO found VALUES ('some words');"
    ));
    world.ok(&["adopt", "shop.db", "--skip", "Draft", "--skip", "found"]);
    assert!(!std::fs::read_to_string(world.path("shop.db.schema.sql")).unwrap().contains("draft"));
    let kept = "SELECT name FROM sqlite_schema WHERE tbl_name = 'draft' ORDER BY 1";
    let here = rows(&world.db(), kept);
    assert_eq!(here.len(), 4, "{here:?}");
    // The schema goes up: what is not the schema's is not touched.
    let schema = std::fs::read_to_string(world.path("shop.db.schema.sql")).unwrap();
    let next = schema.replace("shop 1", "shop 2").replace("born INTEGER", "born INTEGER, died INTEGER");
    let options = Options::system(Location::File(world.db()), || 1).unwrap();
    let mut client = ClientDatabase::open(options, &Schema::parse(&next).unwrap()).unwrap();
    client.exec("INSERT INTO draft VALUES ('b', 2), ('', 3)", &[]).unwrap();
    drop(client);
    assert_eq!(rows(&world.db(), kept), here);
    assert_eq!(rows(&world.db(), "SELECT count(*) FROM draft"), ["Integer(2)"]);
    assert_eq!(rows(&world.db(), "SELECT count(*) FROM found WHERE found MATCH 'words'"), ["Integer(1)"]);
    assert_eq!(rows(&world.db(), "SELECT count(died) FROM author"), ["Integer(0)"]);
}

/// What nobody wrote with sync in mind.
const GROWN: &str = "
    CREATE TABLE author (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE NOCASE UNIQUE NOT NULL, \"ab\" INT DEFAULT (1));
    CREATE TABLE book (
      isbn VARCHAR(13) PRIMARY KEY, -- REFERENCES nothing
      author INTEGER NOT NULL CONSTRAINT is_known REFERENCES author (id) ON DELETE SET NULL ON UPDATE NO ACTION DEFERRABLE
        INITIALLY DEFERRED,
      title TEXT NOT NULL DEFAULT 'UNIQUE', price REAL CHECK (price > 0), stock INT,
      CONSTRAINT few CHECK (stock <= 100 OR price < 5), CONSTRAINT one UNIQUE (title, price) ON CONFLICT REPLACE,
      FOREIGN KEY (author) REFERENCES author (id)
    );
    CREATE TABLE log (at TEXT, what BLOB NOT NULL);
    CREATE TABLE pair (a TEXT COLLATE NOCASE NOT NULL, b TEXT, PRIMARY KEY (a, b COLLATE RTRIM)) WITHOUT ROWID;
    CREATE UNIQUE INDEX book_title ON book (title, isbn);
    CREATE INDEX log_at ON log (at);
    CREATE VIEW cheap AS SELECT b.title, a.name FROM book b JOIN author a ON a.id = b.author WHERE price < 5;
    CREATE TRIGGER no_gifts BEFORE INSERT ON book WHEN new.price < 1 BEGIN SELECT raise(ABORT, 'no gifts'); END;
    INSERT INTO author (name) VALUES ('Jane'), ('Mary');
    INSERT INTO book VALUES ('1', 1, 'Emma', 4.5, 3), ('2', 2, 'Frankenstein', 9.5, 3);
    INSERT INTO log VALUES ('now', x'00'), ('now', x'00');
    INSERT INTO pair VALUES ('a', 'b'), ('A ', 'c');";

#[test]
fn what_is_in_the_way_is_mended_where_that_is_wanted() {
    let world = World::new(GROWN);
    let all = "SELECT * FROM author; SELECT * FROM book; SELECT at, what FROM log; SELECT * FROM pair ORDER BY b; SELECT * FROM cheap";
    let content = |db: &Path| all.split(';').map(|sql| rows(db, sql)).collect::<Vec<_>>();
    let before = content(&world.db());
    let text = world.refuses(&["adopt", "shop.db"], 3, "`greenlight adopt --mend` takes it over");
    assert!(!text.contains("the rest is yours"), "{text}");
    let dry = world.json(&["adopt", "shop.db", "--mend", "--dry-run", "--json"]);
    assert_eq!((&dry["adopted"], &dry["dry_run"]), (&false.into(), &true.into()));
    // The SQL that is shown does the same to a copy, in another program's hands.
    let sql = dry["mend"].as_str().unwrap();
    std::fs::copy(world.db(), world.path("by_hand.db")).unwrap();
    Connection::open(world.path("by_hand.db")).unwrap().execute_batch(sql).unwrap();
    world.ok(&["adopt", "by_hand.db", "--name", "shop"]);
    assert!(world.ok(&["adopt", "shop.db", "--mend"]).contains("mended"));
    for db in ["shop.db", "by_hand.db"] {
        assert_eq!(content(&world.path(db)), before, "{db}");
        assert_eq!(rows(&world.path(db), "SELECT count(DISTINCT id) FROM log"), ["Integer(2)"]);
        assert_eq!(rows(&world.path(db), "SELECT 1 FROM sqlite_schema WHERE name IN ('log_at', 'no_gifts')").len(), 2);
    }
    let schema = |db: &str| std::fs::read_to_string(world.path(&format!("{db}.schema.sql"))).unwrap();
    assert_eq!(schema("shop.db"), schema("by_hand.db"));
    assert_eq!(rows(&world.path("shop.db.before-adopt"), "PRAGMA foreign_key_list(book)").len(), 2);
}

#[test]
fn programs_are_told_the_same() {
    let world = World::new(SHOP);
    let at = |name: &str| world.path(name).display().to_string();
    let tables = json!([{ "table": "author", "rows": 1 }, { "table": "book", "rows": 2 }]);
    let mut told = json!({
        "file": at("shop.db"), "adopted": false, "dry_run": true, "mended": false, "schema_name": "shop", "schema_version": 1,
        "schema_file": at("shop.db.schema.sql"), "extension": null, "backup": null, "tables": tables, "skipped": [],
        "changes": null, "db_bytes": null, "obstacles": [], "mend": null, "notes": [],
    });
    let before = world.files();
    assert_eq!(world.json(&["adopt", "shop.db", "--dry-run", "--json"]), told);
    assert_eq!(world.files(), before);
    let done = world.json(&["adopt", "shop.db", "--json"]);
    told["adopted"] = true.into();
    told["dry_run"] = false.into();
    told["backup"] = at("shop.db.before-adopt").into();
    told["changes"] = 8.into();
    told["db_bytes"] = std::fs::metadata(world.db()).unwrap().len().into();
    assert_eq!(done, told);

    let world = World::new("CREATE TABLE t (a TEXT PRIMARY KEY, b); CREATE TABLE n (id INTEGER PRIMARY KEY NOT NULL)");
    let output = world.run(&["adopt", "shop.db", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let refused: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let obstacle = json!({
        "table": "t", "column": "a", "problem": "key column `a` of table `t` must be NOT NULL",
        "remedy": "declare \"a\" NOT NULL", "mended": true,
    });
    assert_eq!((&refused["adopted"], &refused["obstacles"]), (&false.into(), &json!([obstacle])));
    assert!(refused["mend"].as_str().unwrap().contains("ALTER TABLE"));
    assert!(refused["notes"][0].as_str().unwrap().contains("two machines would give one number"));
}

#[test]
fn what_comes_next_can_be_pasted() {
    let world = World::new(SHOP);
    std::fs::rename(world.db(), world.path("my shop.db")).unwrap();
    for command in ["now", "status"] {
        let words = ["sync", command, "--db", "my shop.db", "--remote", "ws://127.0.0.1:1/shop"];
        let text = world.refuses(&words, 1, "is a plain SQLite database: `greenlight adopt '");
        assert!(text.contains("my shop.db'`"), "{text}");
    }
    let writers = "must load cr-sqlite's extension";
    assert!(world.ok(&["adopt", "my shop.db", "--dry-run"]).contains(writers));
    let text = world.ok(&["adopt", "my shop.db"]);
    assert!(text.contains(writers) && text.contains("schemas/my_shop.sql at home"), "{text}");
    let (_, next) = text.split_once("or with a folder:").unwrap();
    assert!(next.contains("--remote ./FOLDER"), "{text}");
    let mut shell = std::process::Command::new("sh");
    let command = next.trim().replacen("greenlight", env!("CARGO_BIN_EXE_greenlight"), 1);
    shell.args(["-c", &command]).env("GREENLIGHT_HOME", world.path("home")).current_dir(world.folder.path());
    let pushed = shell.output().unwrap();
    assert!(pushed.status.success(), "{}", said(&pushed));
    assert!(world.path("FOLDER/sync-meta.json").is_file());
}
