//! From one schema to the next, with what was held aside for it.

use greenlight_core::replica::{ClientStore, DownloadPart, ServerStore};
use greenlight_core::{Cursor, Tag, Value, Version};
use greenlight_store::{ClientDatabase, Location, OpenError, Options, Schema, SchemaError, ServerDatabase, Shelf};

use crate::peers::{all_rows, change, exec, options, rows, sync};

const ONE: &str = "-- schema: test 1
CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, a, b);
CREATE TABLE pair (x TEXT NOT NULL, y BLOB NOT NULL, PRIMARY KEY (x, y));
CREATE TABLE mark (id TEXT NOT NULL PRIMARY KEY);
CREATE INDEX t_by_a ON t (a);
CREATE VIEW v AS SELECT a FROM t;";

const TWO: &str = "-- schema: test 2
CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, a, b, c TEXT NOT NULL DEFAULT 'it''s' CHECK (c <> ''), d REAL);
CREATE TABLE pair (x TEXT NOT NULL, y BLOB NOT NULL, PRIMARY KEY (x, y));
CREATE TABLE mark (id TEXT NOT NULL PRIMARY KEY);
CREATE TABLE later (id INTEGER NOT NULL PRIMARY KEY, z);
CREATE VIEW v AS SELECT a, c FROM t;";

fn open_client(path: &std::path::Path, text: &str) -> Result<ClientDatabase, OpenError> {
    ClientDatabase::open(options(2, Location::File(path.to_owned())), &Schema::parse(text).unwrap())
}

fn open_server(path: &std::path::Path, text: &str) -> Result<ServerDatabase, OpenError> {
    ServerDatabase::open(options(1, Location::File(path.to_owned())), &Schema::parse(text).unwrap())
}

#[test]
fn additions_keep_rows_and_pending_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("client"), folder.path().join("server"));
    let mut alice = open_client(&ours, ONE).unwrap();
    alice.exec("INSERT INTO t VALUES (1, 'a', 'b')", &[]).unwrap();
    let before = alice.load().unwrap();
    drop(alice);

    let mut alice = open_client(&ours, TWO).unwrap();
    let after = alice.load().unwrap();
    assert_eq!(after.site_id, before.site_id);
    assert_eq!(after.outbox.changes, before.outbox.changes);
    assert_eq!(after.schema.number, 2);
    let row = alice.query("SELECT a, c, d FROM t", &[]).unwrap().rows.concat();
    assert_eq!(row, [Value::Text("a".into()), Value::Text("it's".into()), Value::Null]);
    alice.exec("UPDATE t SET c = 'new', d = 1.5; INSERT INTO later VALUES (1, 1)", &[]).unwrap();
    let index = alice.query("SELECT 1 FROM sqlite_schema WHERE name = 't_by_a'", &[]).unwrap();
    assert!(index.rows.is_empty(), "indices are what the file says");
    assert_eq!(alice.query("SELECT c FROM v", &[]).unwrap().rows.len(), 1);

    drop(open_server(&theirs, ONE).unwrap());
    let mut server = open_server(&theirs, TWO).unwrap();
    sync(&mut alice, &mut server);
    assert_eq!(all_rows(alice.connection()), all_rows(server.connection()));
    assert_eq!(rows(server.connection(), "later").len(), 1);
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
}

#[test]
fn what_a_schema_adds_is_told_before_it_does() {
    let read = |text: &str| Schema::parse(text).unwrap();
    let upgrade = read(TWO).upgrade(&read(ONE)).unwrap().unwrap();
    assert_eq!((upgrade.from.as_str(), upgrade.to.as_str()), ("test 1", "test 2"));
    assert_eq!((upgrade.tables, upgrade.columns), (vec!["later".to_owned()], vec!["t.c".to_owned(), "t.d".to_owned()]));
    assert_eq!(read(ONE).upgrade(&read(ONE)).unwrap(), None);
    let others = read(&ONE.replace("t_by_a", "t_by_a_and_b")).upgrade(&read(ONE)).unwrap().unwrap();
    assert_eq!((others.from, others.tables.len() + others.columns.len()), (others.to, 0), "an index is no structure");
    assert!(matches!(read(ONE).upgrade(&read(TWO)), Err(SchemaError::Older { .. })));
    let reused = read(&TWO.replace("test 2", "test 1")).upgrade(&read(ONE));
    assert!(matches!(reused, Err(SchemaError::NumberReused { .. })), "{reused:?}");
}

#[test]
fn what_was_held_aside_is_applied_when_its_column_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client");
    let mut alice = open_client(&path, ONE).unwrap();
    let until = Cursor { version: Version::new(5).unwrap(), tag: Tag(5) };
    let changes = vec![
        change("t", &[Value::Integer(1)], "a", Value::Integer(7)),
        change("t", &[Value::Integer(1)], "c", Value::Text("held".into())),
        change("t", &[Value::Integer(2)], "c", Value::Text(String::new())),
        change("later", &[Value::Integer(3)], "z", Value::Integer(9)),
        change("never", &[Value::Integer(3)], "z", Value::Integer(9)),
    ];
    let (applied, outbox) = alice.apply(&DownloadPart { since: Cursor::ZERO, until, last: true, changes }).unwrap();
    assert_eq!((applied.held_aside, outbox.held_aside), (4, 4));
    drop(alice);

    let mut alice = open_client(&path, TWO).unwrap();
    assert_eq!(
        alice.query("SELECT a, c FROM t WHERE id = 1", &[]).unwrap().rows.concat(),
        [Value::Integer(7), Value::Text("held".into())]
    );
    assert_eq!(rows(alice.connection(), "later").len(), 1);
    let outbox = alice.outbox().unwrap();
    assert_eq!((outbox.held_aside, outbox.quarantined, outbox.changes), (1, 1, 0));
    let quarantined = alice.shelved(Shelf::Quarantine, 5).unwrap().remove(0);
    assert!(quarantined.reason.contains("constraint"), "{}", quarantined.reason);
}

#[test]
fn a_server_tells_of_what_a_migration_applied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server");
    let mut server = open_server(&path, ONE).unwrap();
    let part = greenlight_core::replica::UploadPart {
        site: greenlight_core::SiteId([9; 16]),
        since: Version::ZERO,
        until: greenlight_core::Bound { version: Version::new(1).unwrap(), tag: Tag(1) },
        last: true,
        changes: vec![change("later", &[Value::Integer(3)], "z", Value::Integer(9))],
    };
    assert_eq!(server.apply(&[part]).unwrap().remove(0).unwrap().held_aside, 1);
    let before = server.facts().unwrap().head;
    drop(server);
    let mut server = open_server(&path, TWO).unwrap();
    let after = server.facts().unwrap().head;
    assert!(after.version > before.version, "so that clients read it");
    assert_eq!(rows(server.connection(), "later").len(), 1);
}

#[test]
fn what_is_no_addition_is_refused_and_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server");
    let mut server = open_server(&path, TWO).unwrap();
    exec(&mut server, "INSERT INTO t (id, a) VALUES (1, 1)");
    let digests = server.digests().unwrap();
    drop(server);
    let refused = |text: &str| match open_server(&path, text) {
        Err(OpenError::Schema(error)) => error,
        other => panic!("{:?}", other.map(|_| ())),
    };
    assert!(matches!(refused(ONE), SchemaError::Older { database: 2, file: 1, .. }));
    assert!(matches!(refused(&TWO.replace("test 2", "other 3")), SchemaError::OtherName { .. }));
    let reused = refused(&TWO.replace("d REAL", "d TEXT"));
    assert!(matches!(&reused, SchemaError::NumberReused { difference, .. } if difference.contains("`d`")), "{reused}");
    let reused = refused(&TWO.replace("id INTEGER NOT NULL PRIMARY KEY, z", "id INTEGER NOT NULL PRIMARY KEY, z, y"));
    assert!(matches!(&reused, SchemaError::NumberReused { difference, .. } if difference.contains("`y`")), "{reused}");
    let three = TWO.replace("test 2", "test 3");
    for (from, to, part) in [
        (", d REAL", "", "`d`"),
        ("d REAL", "d TEXT", "`d`"),
        ("'it''s'", "'its'", "`c`"),
        ("CHECK (c <> '')", "CHECK (c <> 'x')", "CHECK"),
        ("CREATE TABLE mark (id TEXT NOT NULL PRIMARY KEY);", "", "`mark`"),
        ("PRIMARY KEY (x, y)", "PRIMARY KEY (y, x)", "key"),
        ("d REAL", "d REAL, e NOT NULL DEFAULT CURRENT_TIMESTAMP", "`e`"),
    ] {
        let error = refused(&three.replace(from, to));
        assert!(matches!(&error, SchemaError::NotAdditive { difference, .. } if difference.contains(part)), "{error}");
    }
    let mut server = open_server(&path, TWO).unwrap();
    assert_eq!(server.digests().unwrap(), digests);
    exec(&mut server, "UPDATE t SET d = 2");
}

#[test]
fn views_may_change_with_the_same_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client");
    drop(open_client(&path, TWO).unwrap());
    let mut alice = open_client(&path, &TWO.replace("SELECT a, c FROM t", "SELECT 42 AS answer")).unwrap();
    assert_eq!(alice.query("SELECT answer FROM v", &[]).unwrap().rows.concat(), [Value::Integer(42)]);
}

#[test]
fn tables_that_are_there_already_are_taken_over_with_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain");
    let plain = rusqlite::Connection::open(&path).unwrap();
    plain
        .execute_batch("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 2, 3)")
        .unwrap();
    drop(plain);
    let mut server = open_server(&path, ONE).unwrap();
    let mut alice = open_client(&folder.path().join("client"), ONE).unwrap();
    sync(&mut alice, &mut server);
    assert_eq!(rows(alice.connection(), "t").len(), 1);

    let other = folder.path().join("other");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (id TEXT)").unwrap();
    assert!(matches!(open_server(&other, ONE), Err(OpenError::Schema(SchemaError::NotAdditive { .. }))));
}

#[test]
fn what_was_held_aside_and_rolls_everything_back_is_put_into_quarantine() {
    // Every kind, and more changes than are tried one by one.
    for (kind, count) in [("ABORT", 3), ("FAIL", 3), ("ROLLBACK", 1), ("ROLLBACK", 3), ("ROLLBACK", 40)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server");
        let mut server = open_server(&path, ONE).unwrap();
        let mut changes: Vec<_> =
            (0..count).map(|id| change("later", &[Value::Integer(id)], "z", Value::Text("bad".into()))).collect();
        changes.push(change("later", &[Value::Integer(1_000)], "z", Value::Integer(9)));
        changes.push(change("t", &[Value::Integer(1)], "d", Value::Real(0.5)));
        let part = greenlight_core::replica::UploadPart {
            site: greenlight_core::SiteId([9; 16]),
            since: Version::ZERO,
            until: greenlight_core::Bound { version: Version::new(1).unwrap(), tag: Tag(1) },
            last: true,
            changes,
        };
        server.apply(&[part]).unwrap().remove(0).unwrap();
        drop(server);
        let trigger = format!(
            "CREATE TRIGGER app BEFORE INSERT ON later WHEN new.z = 'bad' BEGIN SELECT RAISE({kind}, 'not this'); END;
             CREATE TRIGGER more BEFORE UPDATE ON later WHEN new.z = 'bad' BEGIN SELECT RAISE({kind}, 'not this'); END;"
        );
        let mut server = open_server(&path, &format!("{TWO}{trigger}")).expect(kind);
        let quarantined = server.shelved(Shelf::Quarantine, 100).unwrap();
        assert!(quarantined.len() as i64 >= count, "{kind} {count}: {}", quarantined.len());
        assert!(quarantined.iter().all(|one| one.sender == Some(greenlight_core::SiteId([9; 16]))));
        assert!(server.shelved(Shelf::Held, 100).unwrap().is_empty(), "{kind} {count}");
        assert_eq!(rows(server.connection(), "t").len(), 1, "{kind} {count}: the others are applied");
        if count < 8 {
            assert_eq!(rows(server.connection(), "later").len(), 1, "{kind} {count}");
        }
        let before = server.facts().unwrap().head;
        exec(&mut server, "INSERT INTO later VALUES (2000, 1)");
        assert!(server.facts().unwrap().head.version > before.version, "{kind}: local writes are still recorded");
        drop(server);
        open_server(&path, &format!("{TWO}{trigger}")).expect("and again");
    }
}

#[test]
fn what_belongs_to_tables_that_are_not_synchronised_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop");
    let local = "CREATE TABLE draft (at INTEGER, text TEXT); CREATE INDEX draft_at ON draft (at);
                 CREATE TRIGGER drafted AFTER INSERT ON draft BEGIN DELETE FROM draft WHERE text = ''; END;";
    rusqlite::Connection::open(&file).unwrap().execute_batch(local).unwrap();
    let open = |number: u32, columns: &str| {
        let text = format!(
            "-- schema: shop {number}\nCREATE TABLE t (id TEXT NOT NULL PRIMARY KEY{columns});
                            CREATE INDEX t_id ON t (id);"
        );
        let options = Options::system(Location::File(file.clone()), || 1).unwrap();
        ClientDatabase::open(options, &Schema::parse(&text).unwrap()).unwrap()
    };
    let extras = |client: &ClientDatabase| {
        let mut select = client
            .connection()
            .prepare("SELECT name FROM sqlite_schema WHERE name IN ('draft_at', 'drafted', 't_id') ORDER BY name")
            .unwrap();
        select.query_map([], |row| row.get::<_, String>(0)).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert_eq!(extras(&open(1, "")), ["draft_at", "drafted", "t_id"]);
    assert_eq!(extras(&open(2, ", a")), ["draft_at", "drafted", "t_id"]);
}
