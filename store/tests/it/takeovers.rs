//! Any plain database that can be taken over: every row reads as before, and the other end gets them all.

use std::fmt::Write as _;
use std::path::Path;

use fastrand::Rng;
use greenlight_core::replica::ClientStore;
use greenlight_store::takeover::{Choice, Plain, convert};
use greenlight_store::{ClientDatabase, Location, Options, Schema, ServerDatabase};
use rusqlite::Connection;

use crate::peers::{options, sync};

/// Random databases, each with a seed of its own.
const CASES: u64 = 60;

/// Types of a key that keep what is stored in them, with what makes a value of a number.
const KEYS: [(&str, &str); 5] = [
    ("INTEGER", "{n}"),
    ("TEXT", "'k{n}'"),
    ("VARCHAR(20)", "'{n}'"),
    ("BLOB", "CAST('{n}' AS BLOB)"),
    ("BIGINT", "-{n}"),
];
const COLUMNS: [&str; 7] = [
    "",
    "INTEGER DEFAULT 7",
    "TEXT NOT NULL DEFAULT 'it''s'",
    "REAL",
    "BLOB",
    "NUMERIC CHECK ({c} IS NOT 'no')",
    "AS (1 + 1)",
];
const VALUES: [&str; 9] =
    ["NULL", "0", "-1.5", "'text'", "x'00ff'", "9223372036854775807", "''", "'ünï' || char(0) || 'code'", "1e300"];

/// A random database's SQL.
fn database(rng: &mut Rng) -> String {
    let mut sql = String::new();
    for table in 0..rng.usize(1..4) {
        let (key_count, column_count) = (rng.usize(1..4), rng.usize(0..5));
        let keys: Vec<_> = (0..key_count).map(|_| *rng.choice(&KEYS).unwrap()).collect();
        let columns: Vec<&str> = (0..column_count).map(|_| rng.choice(COLUMNS).unwrap()).collect();
        let mut definitions: Vec<String> =
            keys.iter().enumerate().map(|(at, (kind, _))| format!("k{at} {kind} NOT NULL")).collect();
        definitions.extend(
            columns.iter().enumerate().map(|(at, kind)| format!("c{at} {}", kind.replace("{c}", &format!("c{at}")))),
        );
        let list: Vec<String> = (0..key_count).map(|at| format!("k{at}")).collect();
        definitions.push(format!("PRIMARY KEY ({})", list.join(", ")));
        rng.shuffle(&mut definitions[..key_count + column_count]);
        let tail = if rng.bool() { " WITHOUT ROWID" } else { "" };
        writeln!(sql, "CREATE TABLE t{table} ({}){tail};", definitions.join(", ")).unwrap();
        if column_count > 0 && rng.bool() {
            writeln!(sql, "CREATE INDEX i{table} ON t{table} (c0, k0);").unwrap();
        }
        if rng.bool() {
            writeln!(sql, "CREATE VIEW v{table} AS SELECT * FROM t{table};").unwrap();
        }
        let stored: Vec<usize> = (0..column_count).filter(|at| !columns[*at].starts_with("AS")).collect();
        for row in 0..rng.usize(0..40) {
            let mut names: Vec<String> = (0..key_count).map(|at| format!("k{at}")).collect();
            let mut values: Vec<String> =
                keys.iter().map(|(_, value)| value.replace("{n}", &(row * 37 % 300).to_string())).collect();
            for at in &stored {
                names.push(format!("c{at}"));
                values.push((*rng.choice(VALUES).unwrap()).to_owned());
            }
            writeln!(sql, "INSERT OR IGNORE INTO t{table} ({}) VALUES ({});", names.join(", "), values.join(", "))
                .unwrap();
        }
    }
    sql
}

/// Every row of every table and view, and what defines them.
fn content(conn: &Connection) -> Vec<String> {
    let mut names =
        conn.prepare("SELECT name, sql FROM sqlite_schema WHERE name GLOB '[tvi][0-9]' ORDER BY name").unwrap();
    let names: Vec<(String, String)> =
        names.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap();
    let mut all = Vec::new();
    for (name, sql) in names {
        all.push(sql);
        if name.starts_with('i') {
            continue;
        }
        let mut select = conn.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let count = select.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            Ok((0..count).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect::<Vec<_>>().join(" "))
        };
        let mut rows: Vec<String> = select.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap();
        rows.sort_unstable();
        all.append(&mut rows);
    }
    all
}

/// Takes the file over into another.
fn take_over(file: &Path, part: &Path) -> Schema {
    let choice = Choice { name: "shop".to_owned(), skip: Vec::new() };
    let plain = Plain::open(file, true).unwrap();
    let looked = plain.inspect(&choice, &mut |_, _| {}).unwrap();
    assert_eq!(looked.obstacles, []);
    plain.copy_to(part, &mut |_| {}).unwrap();
    let schema = looked.schema.unwrap();
    let converted = convert(part, &schema, Options::system(Location::Memory, || 1).unwrap(), |_| {}).unwrap();
    assert_eq!(converted.bytes, std::fs::metadata(part).unwrap().len());
    schema
}

#[test]
fn every_row_reads_as_before_and_reaches_the_server() {
    for seed in 0..CASES {
        let sql = database(&mut Rng::with_seed(seed));
        let folder = tempfile::tempdir().unwrap();
        let (file, part) = (folder.path().join("shop"), folder.path().join("part"));
        let conn = Connection::open(&file).unwrap();
        conn.execute_batch(&sql).unwrap();
        let before = content(&conn);
        drop(conn);
        let schema = take_over(&file, &part);
        let mut client = ClientDatabase::reopen(Options::system(Location::File(part), || 1).unwrap()).unwrap();
        assert_eq!(content(client.connection()), before, "seed {seed}: {sql}");
        // The schema that was found makes the same tables elsewhere.
        let mut server = ServerDatabase::open(options(1, Location::Memory), &schema).unwrap();
        sync(&mut client, &mut server);
        assert_eq!(content(server.connection()), before, "seed {seed}: {sql}");
        assert_eq!(client.load().unwrap().outbox.changes, 0, "seed {seed}");
    }
}

#[test]
fn the_same_as_rows_that_were_written_here() {
    for seed in 0..CASES {
        let sql = database(&mut Rng::with_seed(seed));
        let folder = tempfile::tempdir().unwrap();
        let (file, part) = (folder.path().join("shop"), folder.path().join("part"));
        Connection::open(&file).unwrap().execute_batch(&sql).unwrap();
        let schema = take_over(&file, &part);
        let mut taken = ClientDatabase::reopen(Options::system(Location::File(part), || 1).unwrap()).unwrap();
        let mut written = ClientDatabase::open(options(2, Location::Memory), &schema).unwrap();
        for insert in sql.lines().filter(|line| line.starts_with("INSERT")) {
            written.exec(insert, &[]).unwrap();
        }
        assert_eq!(taken.digests().unwrap(), written.digests().unwrap(), "seed {seed}: {sql}");
    }
}
