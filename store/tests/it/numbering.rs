//! A server's head: it never falls, and no version stands for two moments, whoever writes and however often the file
//! is opened again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use greenlight_core::replica::{ServerStore, UploadPart};
use greenlight_core::{Bound, Cursor, SiteId, Tag, Value, Version};
use greenlight_store::limits::{TAG_LIMIT, TAG_PRUNE_EVERY};
use greenlight_store::{Done, Location, ServerDatabase, Work};
use rusqlite::Connection;

use crate::differential::random_sql;
use crate::peers::{all_rows, change, client, exec, options, pull, random, rows, schema, server, sync};

fn open(path: &Path, seed: u64) -> ServerDatabase {
    ServerDatabase::open(options(seed, Location::File(path.to_owned())), &schema()).unwrap()
}

fn other_process(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    crsqlite::init(&conn).unwrap();
    conn
}

/// A file, its server, another process that writes too, and every head there was.
struct Shared {
    path: PathBuf,
    server: Option<ServerDatabase>,
    other: Option<Connection>,
    heads: Vec<Cursor>,
}

impl Shared {
    fn server(&mut self) -> &mut ServerDatabase {
        self.server.as_mut().unwrap()
    }

    /// The versions that entries above the last head have.
    fn versions_above(&self, head: Version) -> Vec<i64> {
        let conn = Connection::open(&self.path).unwrap();
        let sql = "SELECT db_version FROM t__crsql_clock WHERE db_version > ?1
                   UNION SELECT db_version FROM pair__crsql_clock WHERE db_version > ?1
                   UNION SELECT db_version FROM mark__crsql_clock WHERE db_version > ?1";
        let mut statement = conn.prepare(sql).unwrap();
        statement.query_map([head.to_sql()], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn leave_other(&mut self) {
        if let Some(other) = self.other.take() {
            crsqlite::finalize(&other).unwrap();
        }
    }

    fn step(&mut self, draw: &mut (impl FnMut() -> u64 + Send)) {
        let sql = random_sql(draw);
        match draw() % 6 {
            0 | 1 => drop(exec(self.server(), &sql)),
            2 | 3 => {
                let path = self.path.clone();
                self.other.get_or_insert_with(|| other_process(&path)).execute_batch(&sql).unwrap();
                self.server().notice_external().unwrap();
            }
            4 => self.leave_other(),
            _ => {
                // Closed by the last connection, the file forgets what cr-sqlite has counted in memory.
                self.leave_other();
                self.server = None;
                if draw().is_multiple_of(2) {
                    let conn = other_process(&self.path);
                    conn.execute_batch(&sql).unwrap();
                    crsqlite::finalize(&conn).unwrap();
                }
                self.server = Some(open(&self.path, draw()));
            }
        }
    }
}

#[test]
fn heads_never_fall_and_no_version_is_used_twice() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..6 {
        let path = folder.path().join(seed.to_string());
        let mut draw = random(seed + 500);
        let mut shared = Shared { server: Some(open(&path, seed)), path, other: None, heads: vec![Cursor::ZERO] };
        let mut tags = HashMap::new();
        for step in 0..60 {
            shared.step(&mut draw);
            let (before, head) = (shared.heads[shared.heads.len() - 1], shared.server().facts().unwrap().head);
            assert!(head.version >= before.version, "seed {seed}, step {step}: {before:?} fell to {head:?}");
            assert!(shared.versions_above(head.version).is_empty(), "seed {seed}, step {step}: written above the head");
            if head != before {
                // Whatever is new lies above all that was served before: at or below it, nobody would fetch it.
                assert!(head.version > before.version, "seed {seed}, step {step}: {before:?} became {head:?}");
                assert!(
                    !shared.versions_above(before.version).is_empty(),
                    "seed {seed}, step {step}: a head of nothing"
                );
                assert_eq!(tags.insert(head.version, head.tag), None, "seed {seed}, step {step}: used twice");
            }
            shared.heads.push(head);
        }
        assert!(tags.len() > 15, "the seed {seed} has moved the head");
        let heads = std::mem::take(&mut shared.heads);
        for head in heads {
            assert!(shared.server().peer(SiteId([1; 16]), head).unwrap().cursor_known, "{head:?}");
        }
        shared.leave_other();
    }
}

#[test]
fn a_follower_sees_all_that_others_write() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..4 {
        let path = folder.path().join(seed.to_string());
        let mut draw = random(seed + 900);
        let mut shared = Shared { server: Some(open(&path, seed)), path, other: None, heads: Vec::new() };
        let mut alice = client(seed + 77);
        for step in 0..40 {
            shared.step(&mut draw);
            pull(&mut alice, shared.server());
            let server = shared.server();
            assert_eq!(all_rows(alice.connection()), all_rows(server.connection()), "seed {seed}, step {step}");
        }
        assert_eq!(alice.digests().unwrap(), shared.server().digests().unwrap(), "seed {seed}");
        shared.leave_other();
    }
}

/// cr-sqlite forgets entries when it compacts a table's clocks; the numbers that they had stay used.
#[test]
fn another_process_begins_above_the_head_even_where_the_clocks_are_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut server = open(&path, 1);
    for id in 0..5 {
        exec(&mut server, &format!("INSERT INTO t VALUES ({id}, 1, 1)"));
    }
    let head = server.facts().unwrap().head;
    drop(server);
    Connection::open(&path).unwrap().execute_batch("DELETE FROM t__crsql_clock WHERE db_version > 2").unwrap();
    let other = other_process(&path);
    other.execute_batch("INSERT INTO mark VALUES ('a')").unwrap();
    crsqlite::finalize(&other).unwrap();
    let mut server = open(&path, 1);
    let after = server.facts().unwrap().head;
    assert!(after.version > head.version, "{after:?} is not above {head:?}");
    assert!(exec(&mut server, "INSERT INTO mark VALUES ('b')").head.version > after.version);
}

fn upload(changes: Vec<greenlight_core::Change>) -> UploadPart {
    let until = Bound { version: Version::new(1).unwrap(), tag: Tag(1) };
    UploadPart { site: SiteId([9; 16]), since: Version::ZERO, until, last: true, changes }
}

/// Leaves a row moved as builds of cr-sqlite without our patches do: its cells keep their old versions.
fn move_row_as_a_foreign_build(path: &Path, served: Version) {
    let conn = other_process(path);
    conn.execute_batch(&format!(
        "UPDATE t SET id = 2 WHERE id = 1;
         UPDATE t__crsql_clock SET db_version = {}, site_id = 1, col_version = 1
         WHERE col_name <> '-1' AND key = (SELECT __crsql_key FROM t__crsql_pks WHERE id = 2)",
        served.get()
    ))
    .unwrap();
    crsqlite::finalize(&conn).unwrap();
}

#[test]
fn a_write_by_others_is_mended_even_where_our_own_commit_takes_two_attempts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let (mut server, mut alice) = (open(&path, 1), client(2));
    alice.exec("INSERT INTO t VALUES (1, 'one', 'two')", &[]).unwrap();
    sync(&mut alice, &mut server);
    move_row_as_a_foreign_build(&path, server.facts().unwrap().head.version);
    // The check fails, so the first attempt is rolled back; the second must see the other process's write as well.
    let key = [Value::Text("a".into()), Value::Blob(vec![1])];
    let applied = server.apply(&[upload(vec![change("pair", &key, "n", Value::Integer(500))])]).unwrap().remove(0);
    assert_eq!(applied.unwrap().quarantined, 1);
    pull(&mut alice, &mut server);
    assert_eq!(rows(alice.connection(), "t"), rows(server.connection(), "t"));
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
}

#[test]
fn a_write_by_others_is_noticed_even_after_an_attempt_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut server = open(&path, 1);
    exec(&mut server, "INSERT INTO t VALUES (1, 1, 1)");
    let other = other_process(&path);
    let attempts: [fn(&mut ServerDatabase) -> bool; 2] = [
        |server| server.commit(&[Work::Exec { sql: "UPDATE t SET b = 2".to_owned(), params: vec![] }]).is_ok(),
        |server| server.notice_external().is_ok(),
    ];
    for attempt in attempts {
        other.execute_batch("UPDATE t SET a = a || ' by another'").unwrap();
        // Goes with the connection, which nobody trusts after a failure.
        let guard = "CREATE TEMP TRIGGER full BEFORE INSERT ON greenlight_state BEGIN SELECT RAISE(ABORT, 'no'); END";
        server.connection().execute_batch(guard).unwrap();
        assert!(!attempt(&mut server));
        assert!(server.notice_external().unwrap(), "it is still news");
        assert!(!server.notice_external().unwrap());
    }
    crsqlite::finalize(&other).unwrap();
}

fn commit_until_tags_are_pruned(server: &mut ServerDatabase) -> Vec<Work> {
    let sql = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
         INSERT INTO greenlight_tag SELECT -i, i FROM n",
        TAG_LIMIT + 10
    );
    server.connection().execute_batch(&sql).unwrap();
    let work = vec![Work::Exec { sql: "INSERT INTO t VALUES (1, 1, 1)".to_owned(), params: vec![] }];
    for _ in 0..TAG_PRUNE_EVERY - 1 {
        server.commit(&[]).unwrap();
    }
    work
}

#[test]
fn tags_are_kept_within_their_limit() {
    let mut server = server(1);
    let work = commit_until_tags_are_pruned(&mut server);
    let head = server.commit(&work).unwrap().head;
    let count = |server: &ServerDatabase| -> i64 {
        server.connection().query_row("SELECT count(*) FROM greenlight_tag", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&server), TAG_LIMIT as i64);
    assert!(server.peer(SiteId([1; 16]), head).unwrap().cursor_known, "the oldest went");
}

#[test]
fn a_commit_that_cannot_prune_is_not_reported_lost_while_it_stands() {
    let mut server = server(1);
    let work = commit_until_tags_are_pruned(&mut server);
    let guard = "CREATE TEMP TRIGGER kept BEFORE DELETE ON greenlight_tag BEGIN SELECT RAISE(ABORT, 'no'); END";
    server.connection().execute_batch(guard).unwrap();
    let committed = server.commit(&work);
    let stands = !rows(server.connection(), "t").is_empty();
    let told = committed.is_ok_and(|committed| matches!(committed.done[..], [Done::Exec(Ok(_))]));
    assert_eq!(told, stands);
}
