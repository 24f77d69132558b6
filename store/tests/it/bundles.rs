//! Bundles: what they hold, what replaying them would do, and that it does just that.

use greenlight_core::change::SENTINEL;
use greenlight_core::replica::{Author, ClientStore, ReadRequest};
use greenlight_core::{Cursor, Value, Version};
use greenlight_store::ClientDatabase;
use greenlight_store::bundle::{self, Header, Line, Plan, Replay, ReplayError, Rows, TablePlan};

use crate::peers::{all_rows, client, exec, server, sync};

/// The bundle of a database: what is pending, and all of it where `whole`.
fn bundle_of(database: &mut ClientDatabase, whole: bool) -> Vec<u8> {
    let state = database.load().unwrap();
    let mut lines = bundle::line(&Header::new("0".repeat(32), "test".into(), 1, "lineage".into(), &state)).unwrap();
    let own = Cursor { version: state.outbox.head, ..Cursor::ZERO };
    let pending = ReadRequest { since: state.acknowledged.version, until: Some(own), after: None, author: Author::Own };
    let all = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
    let mut count = 1;
    for (request, acknowledged) in [(pending, false), (all, true)] {
        if acknowledged && !whole {
            continue;
        }
        let chunk = database.read(&request).unwrap();
        assert!(chunk.next.is_none(), "small enough for a page");
        for change in chunk.changes.decode().unwrap() {
            lines.extend(bundle::line(&bundle::save(&change, acknowledged)).unwrap());
            count += 1;
        }
    }
    lines.extend(bundle::line(&bundle::piece(b"a piece of a file")).unwrap());
    lines.extend(bundle::line(&Line::End { end: count + 1 }).unwrap());
    lines
}

fn plan(database: &mut ClientDatabase, bundle: &[u8], rows: Rows) -> Plan {
    let mut replay = Replay::default();
    replay.take(bundle).unwrap();
    assert!(replay.is_complete());
    replay.plan(database, rows).unwrap()
}

fn write(database: &mut ClientDatabase, plan: Plan) -> u64 {
    database.begin_transaction().unwrap();
    let written = plan.write(database).unwrap();
    database.commit_transaction().unwrap();
    written
}

fn told(table: &str, numbers: [u64; 5]) -> TablePlan {
    let [added, overwritten, deleted, equal, unknown] = numbers;
    TablePlan { table: table.into(), added, overwritten, deleted, equal, unknown, samples: Vec::new() }
}

const ROWS: &str = "INSERT INTO t VALUES (1, 'a', x'00ff'), (2, 5.0, NULL), (3, 9223372036854775807, 'x');
                    INSERT INTO pair (x, y, n) VALUES ('k', x'01', 7); INSERT INTO mark VALUES ('m')";

#[test]
fn everything_comes_back_after_the_server_was_emptied() {
    let (mut alice, mut server) = (client(1), server(3));
    exec(&mut server, ROWS);
    sync(&mut alice, &mut server);
    alice.exec("UPDATE t SET a = 'pending' WHERE id = 3; DELETE FROM t WHERE id = 2", &[]).unwrap();
    let before = all_rows(alice.connection());
    let bundle = bundle_of(&mut alice, true);

    let mut anew = client(4);
    let pending = plan(&mut anew, &bundle, Rows::Unacknowledged);
    assert_eq!(pending.tables, [told("t", [1, 0, 0, 1, 0])], "the row that is deleted needs nothing here");
    let all = plan(&mut anew, &bundle, Rows::All);
    let expected = [told("mark", [1, 0, 0, 0, 0]), told("pair", [1, 0, 0, 0, 0]), told("t", [2, 0, 0, 1, 0])];
    assert_eq!((all.tables.clone(), all.rows()), (expected.to_vec(), 4));
    assert_eq!(write(&mut anew, all), 4);
    assert_eq!(all_rows(anew.connection()), before, "type for type");
    assert!(anew.outbox().unwrap().changes > 0, "as new local writes");

    // Once more: nothing is left to do, and nothing is written.
    let pending = anew.outbox().unwrap();
    let again = plan(&mut anew, &bundle, Rows::All);
    assert_eq!(again.rows(), 0);
    assert_eq!(write(&mut anew, again), 0);
    assert_eq!(anew.outbox().unwrap(), pending);
}

#[test]
fn a_plan_shows_what_would_be_overwritten_and_writes_only_that() {
    let (mut alice, mut server) = (client(1), server(3));
    exec(&mut server, ROWS);
    sync(&mut alice, &mut server);
    alice.exec("UPDATE t SET a = 'mine' WHERE id = 1; DELETE FROM pair", &[]).unwrap();
    let bundle = bundle_of(&mut alice, false);

    let mut other = client(4);
    sync(&mut other, &mut server);
    let told_of = plan(&mut other, &bundle, Rows::All);
    assert_eq!(told_of.tables[0], told("pair", [0, 0, 1, 0, 0]));
    let t = &told_of.tables[1];
    assert_eq!((t.overwritten, t.added, t.equal), (1, 0, 0));
    let sample = serde_json::to_value(&t.samples).unwrap();
    let expected = serde_json::json!([
        { "key": [{ "integer": "1" }], "column": "a", "here": { "text": "a" }, "bundle": { "text": "mine" } },
    ]);
    assert_eq!(sample, expected);
    write(&mut other, told_of);
    let pending = other.outbox().unwrap().changes;
    assert_eq!(pending, 2, "one cell and one deletion");
    let found: (String, Vec<u8>) = other
        .connection()
        .query_row("SELECT a, b FROM t WHERE id = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(found, ("mine".to_owned(), vec![0, 255]), "the other cell is left as it is");
}

#[test]
fn what_is_unknown_here_is_told_and_left_in_the_bundle() {
    let (mut alice, mut here) = (client(1), client(2));
    alice.exec("INSERT INTO t VALUES (1, 'a', 'b')", &[]).unwrap();
    let text = String::from_utf8(bundle_of(&mut alice, false)).unwrap();
    for (from, to) in [("\"table\":\"t\"", "\"table\":\"gone\""), ("[{\"integer\":\"1\"}]", "[null,null]")] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        let plan = plan(&mut here, changed.as_bytes(), Rows::All);
        assert_eq!((plan.tables[0].unknown, plan.rows()), (1, 0));
    }
    assert!(text.contains("\"column\":\"a\""));
    let none_known =
        text.replace("\"column\":\"a\"", "\"column\":\"c\"").replace("\"column\":\"b\"", "\"column\":\"d\"");
    assert_eq!(plan(&mut here, none_known.as_bytes(), Rows::All).tables[0].unknown, 1);
}

#[test]
fn what_is_no_whole_bundle_is_refused() {
    let (mut alice, mut here) = (client(1), client(2));
    alice.exec("INSERT INTO t VALUES (1, 'a', 'b')", &[]).unwrap();
    let whole = bundle_of(&mut alice, true);
    let cut: Vec<usize> = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    for end in &cut[..cut.len() - 1] {
        let mut replay = Replay::default();
        replay.take(&whole[..*end]).unwrap();
        assert!(matches!(replay.plan(&mut here, Rows::All), Err(ReplayError::Incomplete)), "{end}");
    }
    let refused = |lines: &[u8]| Replay::default().take(lines).unwrap_err();
    assert!(matches!(refused(b"{}\n"), ReplayError::NotABundle(1)));
    assert!(matches!(refused(b"SQLite format 3\0"), ReplayError::NotABundle(1)));
    let newer = String::from_utf8(whole.clone()).unwrap().replace("\"greenlightBundle\":1", "\"greenlightBundle\":2");
    assert!(matches!(refused(newer.as_bytes()), ReplayError::Format(2)));
    let missing = [&whole[..cut[1]], &whole[cut[2]..]].concat();
    assert!(matches!(refused(&missing), ReplayError::Incomplete), "a line is missing");
    assert_eq!(here.outbox().unwrap().changes, 0);
    assert_eq!(SENTINEL, "-1", "as the format says");
    assert_eq!(bundle::read_value(None), Some(Value::Null));
}
