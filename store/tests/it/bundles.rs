//! Bundles: what they hold, what replaying them would do, and that it does just that.

use greenlight_core::change::SENTINEL;
use greenlight_core::replica::{Author, ClientStore, ReadRequest};
use greenlight_core::{Cursor, Value, Version};
use greenlight_store::ClientDatabase;
use greenlight_store::bundle::{
    self, BATCH_ROWS, Chosen, EXCERPT_BYTES, Header, Line, MAX_SAMPLES, Plan, Replay, ReplayError, Rows, TablePlan,
    Written,
};

use crate::peers::{all_rows, client, exec, rows, server, sync};

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

fn choose(bundle: &[u8], rows: Rows) -> Chosen {
    let mut replay = Replay::default();
    replay.take(bundle).unwrap();
    assert!(replay.is_complete());
    replay.choose(rows).unwrap()
}

fn plan(database: &mut ClientDatabase, bundle: &[u8], rows: Rows) -> Plan {
    choose(bundle, rows).plan(database).unwrap()
}

fn write(database: &mut ClientDatabase, bundle: &[u8], rows: Rows) -> Written {
    choose(bundle, rows).write(database).unwrap()
}

fn told(table: &str, numbers: [u64; 5]) -> TablePlan {
    let [added, overwritten, deleted, equal, unknown] = numbers;
    let table = table.to_owned();
    TablePlan { table, added, overwritten, deleted, equal, unknown, ..TablePlan::default() }
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
    assert_eq!((all.tables, all.rows, all.whole), (expected.to_vec(), 4, true));
    assert_eq!(write(&mut anew, &bundle, Rows::All), Written { rows: 4, ..Written::default() });
    assert_eq!(all_rows(anew.connection()), before, "type for type");
    assert!(anew.outbox().unwrap().changes > 0, "as new local writes");

    // Once more: nothing is left to do, and nothing is written.
    let pending = anew.outbox().unwrap();
    assert_eq!(plan(&mut anew, &bundle, Rows::All).rows, 0);
    assert_eq!(write(&mut anew, &bundle, Rows::All).rows, 0);
    assert_eq!(anew.outbox().unwrap(), pending);
}

#[test]
fn a_row_of_which_one_cell_was_pending_comes_back_whole() {
    let (mut alice, mut server) = (client(1), server(3));
    exec(&mut server, ROWS);
    sync(&mut alice, &mut server);
    alice.exec("UPDATE t SET a = 'pending' WHERE id = 3", &[]).unwrap();
    let bundle = bundle_of(&mut alice, true);
    let mut anew = client(4);
    write(&mut anew, &bundle, Rows::Unacknowledged);
    let row = |database: &ClientDatabase| -> (String, String) {
        let select = "SELECT a, b FROM t WHERE id = 3";
        database.connection().query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    assert_eq!(row(&anew), ("pending".into(), "x".into()));
    // Where the row is here, what was acknowledged of it is not meant.
    let mut other = client(5);
    other.exec("INSERT INTO t VALUES (3, 'here', 'here')", &[]).unwrap();
    write(&mut other, &bundle, Rows::Unacknowledged);
    assert_eq!(row(&other), ("pending".into(), "here".into()));
}

#[test]
fn an_acknowledged_deletion_deletes_nothing_here() {
    let (mut alice, mut server) = (client(1), server(3));
    exec(&mut server, ROWS);
    sync(&mut alice, &mut server);
    exec(&mut server, "DELETE FROM t WHERE id = 1");
    sync(&mut alice, &mut server);
    alice.exec("DELETE FROM t WHERE id = 2", &[]).unwrap();
    let bundle = bundle_of(&mut alice, true);
    let mut here = client(4);
    here.exec("INSERT INTO t VALUES (1, 'new here', NULL), (2, 'new here', NULL)", &[]).unwrap();
    let all = plan(&mut here, &bundle, Rows::All);
    assert_eq!(all.tables[2], told("t", [1, 0, 1, 0, 0]), "the pending deletion alone");
    write(&mut here, &bundle, Rows::All);
    let left: Vec<i64> = {
        let mut select = here.connection().prepare("SELECT id FROM t ORDER BY id").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(left, [1, 3]);
}

#[test]
fn a_replay_is_written_in_bounded_transactions_and_goes_on_where_it_was_cut_off() {
    let many = 2 * BATCH_ROWS + 10;
    let mut alice = client(1);
    let insert = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})
         INSERT INTO t SELECT i, 'row ' || i, NULL FROM n"
    );
    alice.exec(&insert, &[]).unwrap();
    let bundle = bundle_of(&mut alice, false);

    // Cut off within its second transaction.
    let mut here = client(2);
    let mut cut = choose(&bundle, Rows::All);
    here.begin_transaction().unwrap();
    let (first, more) = cut.write_some(&mut here).unwrap();
    here.commit_transaction().unwrap();
    assert_eq!((first.rows, more), (BATCH_ROWS, true));
    here.begin_transaction().unwrap();
    cut.write_some(&mut here).unwrap();
    here.rollback_transaction();
    let pending = here.outbox().unwrap().changes;

    let left = many - BATCH_ROWS;
    let again = plan(&mut here, &bundle, Rows::All);
    assert_eq!(again.tables, [told("t", [left, 0, 0, BATCH_ROWS, 0])]);
    assert_eq!(write(&mut here, &bundle, Rows::All).rows, left);
    assert_eq!(here.outbox().unwrap().changes, pending / BATCH_ROWS * many, "no cell was written twice");
    let versions: i64 = here
        .connection()
        .query_row("SELECT count(DISTINCT db_version) FROM crsql_changes", [], |row| row.get(0))
        .unwrap();
    assert_eq!(versions, 3, "one version for each transaction");
    assert_eq!(all_rows(here.connection()), all_rows(alice.connection()));
}

#[test]
fn a_row_that_a_constraint_refuses_is_told_and_the_others_are_written() {
    let mut alice = client(1);
    alice.exec("INSERT INTO pair (x, y, n) VALUES ('a', x'01', 1), ('b', x'01', 77), ('c', x'01', 3)", &[]).unwrap();
    let text = String::from_utf8(bundle_of(&mut alice, false)).unwrap().replace("\"77\"", "\"777\"");
    let mut here = client(2);
    let written = write(&mut here, text.as_bytes(), Rows::All);
    assert_eq!((written.rows, written.refused), (2, 1));
    let told = serde_json::to_value(&written.refusals).unwrap();
    assert_eq!(told[0]["table"], "pair");
    assert_eq!(told[0]["key"], serde_json::json!([{ "text": "b" }, { "blob": "AQ==" }]));
    assert!(told[0]["why"].as_str().unwrap().contains("CHECK"), "{told}");
    let rows = rows(here.connection(), "pair").len();
    assert_eq!((rows, here.outbox().unwrap().changes > 0), (2, true), "and they are pending");
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
    write(&mut other, &bundle, Rows::All);
    let pending = other.outbox().unwrap().changes;
    assert_eq!(pending, 2, "one cell and one deletion");
    let found: (String, Vec<u8>) = other
        .connection()
        .query_row("SELECT a, b FROM t WHERE id = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(found, ("mine".to_owned(), vec![0, 255]), "the other cell is left as it is");
}

#[test]
fn what_a_plan_shows_is_bounded() {
    let mut alice = client(1);
    let long = "x".repeat(5_000);
    for id in 0..MAX_SAMPLES as i64 + 5 {
        alice
            .exec("INSERT INTO t VALUES (?, ?, ?)", &[Value::Integer(id), Value::Text(long.clone()), Value::Null])
            .unwrap();
    }
    let bundle = bundle_of(&mut alice, false);
    let mut here = client(2);
    here.exec("INSERT INTO t SELECT value, 'short', 'b' FROM json_each('[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14]')", &[])
        .unwrap();
    let plan = plan(&mut here, &bundle, Rows::All);
    assert_eq!(plan.tables, [TablePlan { samples: plan.tables[0].samples.clone(), ..told("t", [10, 15, 0, 0, 0]) }]);
    assert_eq!(plan.tables[0].samples.len(), MAX_SAMPLES);
    assert_eq!(plan.tables[0].samples[0].bundle.as_ref().unwrap().of_bytes, Some(5_000));
    assert!(serde_json::to_string(&plan).unwrap().len() < MAX_SAMPLES * (EXCERPT_BYTES + 200));
    let mut replay = Replay::default();
    replay.take(&bundle).unwrap();
    let held = replay.held(3);
    assert_eq!((held[0].pending, held[0].all, held[0].rows.len()), (25, 0, 3));
    assert!(serde_json::to_string(&held).unwrap().len() < 3 * (EXCERPT_BYTES + 200));
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
        assert_eq!((plan.tables[0].unknown, plan.rows), (1, 0));
        assert_eq!(write(&mut here, changed.as_bytes(), Rows::All), Written::default());
    }
    assert!(text.contains("\"column\":\"a\""));
    let one_known = text.replace("\"column\":\"a\"", "\"column\":\"c\"");
    let none_known = one_known.replace("\"column\":\"b\"", "\"column\":\"d\"");
    assert_eq!(plan(&mut here, none_known.as_bytes(), Rows::All).tables[0].unknown, 1);
    let told = &plan(&mut here, one_known.as_bytes(), Rows::All).tables[0];
    assert_eq!((told.added, told.unknown, &told.unknown_columns[..]), (1, 0, &["c".to_owned()][..]));
    write(&mut here, one_known.as_bytes(), Rows::All);
    let cells: (Option<String>, String) =
        here.connection().query_row("SELECT a, b FROM t", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(cells, (None, "b".into()), "what is known of the row is written");
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
        assert!(matches!(replay.choose(Rows::All), Err(ReplayError::Incomplete)), "{end}");
    }
    let refused = |lines: &[u8]| Replay::default().take(lines).unwrap_err();
    assert!(matches!(refused(b"{}\n"), ReplayError::NotABundle(1)));
    assert!(matches!(refused(b"SQLite format 3\0"), ReplayError::NotABundle(1)));
    let newer = String::from_utf8(whole.clone()).unwrap().replace("\"greenlightBundle\":1", "\"greenlightBundle\":2");
    assert!(matches!(refused(newer.as_bytes()), ReplayError::Format(2)));
    assert!(matches!(refused(b"{\"greenlightBundle\":2,\"else\":[]}\n"), ReplayError::Format(2)), "of another shape");
    let missing = [&whole[..cut[1]], &whole[cut[2]..]].concat();
    assert!(matches!(refused(&missing), ReplayError::Incomplete), "a line is missing");
    assert_eq!(here.outbox().unwrap().changes, 0);
    assert_eq!(SENTINEL, "-1", "as the format says");
    assert_eq!(bundle::read_value(None), Some(Value::Null));
}
