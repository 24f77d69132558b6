//! Schema files as their authors meet them: what is refused and in which words, and what a digest depends on.

use greenlight_core::limits::{MAX_COLUMNS, MAX_KEY_COLUMNS, MAX_NAME_BYTES, MAX_TABLES};
use greenlight_store::limits::SCHEMA_BYTES;
use greenlight_store::{ClientDatabase, Location, Schema, SchemaError, ServerDatabase};

use crate::peers::{exec, options, rows, sync};

const TABLE: &str = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a);";

#[test]
fn a_wrong_header_is_told_as_such() {
    let long = format!("-- schema: {} 1", "x".repeat(MAX_NAME_BYTES + 1));
    for header in [
        "",
        "--",
        "-- schema:",
        "-- schema: shop",
        "-- schema: shop 0",
        "-- schema: shop -1",
        "-- schema: shop 1.5",
        "-- schema: shop 4294967296",
        "-- schema: shop 1 2",
        "-- schema: sh/op 1",
        "-- Schema: shop 1",
        "/* schema: shop 1 */",
        "\n-- schema: shop 1",
        &long,
    ] {
        assert_eq!(Schema::parse(&format!("{header}\n{TABLE}")).unwrap_err(), SchemaError::Header, "{header}");
    }
    for header in ["-- schema: shop 1", "--schema: a-b_C9 4294967295", "\u{feff}-- schema:  shop\t1  "] {
        assert!(Schema::parse(&format!("{header}\n{TABLE}")).is_ok(), "{header}");
        assert!(Schema::parse(&format!("{header}\r\n{TABLE}")).is_ok(), "{header}, with a carriage return");
    }
    let long = format!("-- schema: shop 1\n{TABLE}-- {}", "x".repeat(SCHEMA_BYTES));
    assert_eq!(Schema::parse(&long).unwrap_err(), SchemaError::TooLong);
    assert!(matches!(Schema::parse("-- schema: shop 1\nCREATE TABEL"), Err(SchemaError::Sql(_))));
}

fn list(count: usize, item: impl Fn(usize) -> String, between: &str) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(between)
}

/// What the lint's own tests do not reach: sizes, kinds of tables, names.
#[test]
fn what_is_too_large_or_of_another_kind_is_refused_in_words() {
    let columns = list(MAX_COLUMNS, |index| format!("c{index}"), ", ");
    let key = list(MAX_KEY_COLUMNS + 1, |index| format!("k{index} TEXT NOT NULL"), ", ");
    let names = list(MAX_KEY_COLUMNS + 1, |index| format!("k{index}"), ", ");
    let many = list(MAX_TABLES + 1, |index| format!("CREATE TABLE t{index} (id TEXT NOT NULL PRIMARY KEY);"), "");
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for (ddl, part) in [
        (format!("CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, {columns})"), "columns"),
        (format!("CREATE TABLE t ({key}, PRIMARY KEY ({names}))"), "key columns"),
        (many, "tables"),
        (format!("CREATE TABLE {long} (id TEXT NOT NULL PRIMARY KEY)"), "letters, digits"),
        (format!("CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, {long})"), "letters, digits"),
        ("CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, __crsql_del)".to_owned(), "letters, digits"),
        ("CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, ü)".to_owned(), "letters, digits"),
        (format!("{TABLE} CREATE INDEX greenlight_i ON t (a)"), "internal use"),
        (format!("{TABLE} CREATE VIEW crsql_v AS SELECT 1"), "internal use"),
        ("CREATE TABLE t (id NUMERIC NOT NULL PRIMARY KEY)".to_owned(), "INTEGER, TEXT or BLOB"),
        ("CREATE TABLE t (id TEXT NOT NULL, b TEXT COLLATE RTRIM NOT NULL, PRIMARY KEY (id, b))".to_owned(), "RTRIM"),
        (
            "CREATE TABLE t (id TEXT NOT NULL, a, FOREIGN KEY (a) REFERENCES t (id), PRIMARY KEY (id))".to_owned(),
            "foreign keys",
        ),
        ("CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a CHECK (length(a) < id))".to_owned(), "spans"),
        (
            format!("{TABLE} CREATE TRIGGER w AFTER INSERT ON t BEGIN UPDATE t SET a = 1 WHERE id = new.id; END"),
            "trigger of table `t`",
        ),
    ] {
        match Schema::parse(&format!("-- schema: shop 1\n{ddl}")) {
            Err(SchemaError::Unmergeable(findings)) => {
                assert!(findings.iter().any(|finding| finding.contains(part)), "{part}: {findings:?}");
            }
            other => panic!("{part}: {:?}", other.map(|_| ())),
        }
    }
    // All that is wrong is told at once.
    let two = "-- schema: shop 1\nCREATE TABLE t (id TEXT PRIMARY KEY, a UNIQUE)";
    assert!(matches!(Schema::parse(two), Err(SchemaError::Unmergeable(findings)) if findings.len() == 2));
}

#[test]
fn a_digest_is_equal_for_tables_that_sync_alike() {
    let digest = |ddl: &str| Schema::parse(&format!("-- schema: shop 1\n{ddl}")).unwrap().id().digest;
    let base = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a INTEGER NOT NULL DEFAULT 5 CHECK (a < 9), b);
                CREATE TABLE u (id TEXT NOT NULL PRIMARY KEY);";
    for same in [
        "CREATE TABLE u (id TEXT NOT NULL PRIMARY KEY);
         CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a INTEGER NOT NULL DEFAULT 5 CHECK (a < 9), b);",
        "CREATE TABLE \"t\" (b, [a] integer DEFAULT 5 not null, `id` text NOT NULL, PRIMARY KEY (id), CHECK(a<9));
         create table u (id TEXT NOT NULL PRIMARY KEY); CREATE VIEW v AS SELECT 1; CREATE INDEX i ON t (b);",
    ] {
        assert_eq!(digest(base), digest(same), "{same}");
    }
    let changes = [
        ("DEFAULT 5", "DEFAULT 6"),
        ("a < 9", "a < 8"),
        ("NOT NULL DEFAULT", "DEFAULT"),
        ("a INTEGER", "a INT"),
        (", b)", ", b TEXT)"),
        (", b)", ", b, c)"),
        (", b)", ")"),
        ("CREATE TABLE u (id TEXT NOT NULL PRIMARY KEY);", ""),
        ("TABLE u (id", "TABLE w (id"),
        ("TABLE u (id TEXT", "TABLE u (id BLOB"),
    ];
    let mut seen = vec![digest(base)];
    for (from, to) in changes {
        let other = digest(&base.replace(from, to));
        assert!(!seen.contains(&other), "{from} -> {to}");
        seen.push(other);
    }
}

#[test]
fn words_of_sql_may_be_names() {
    let one = "-- schema: words 1
CREATE TABLE \"order\" (\"group\" TEXT NOT NULL, \"index\" INTEGER NOT NULL, \"select\", PRIMARY KEY (\"group\", \"index\"));
CREATE TABLE \"table\" (\"primary\" INTEGER NOT NULL PRIMARY KEY, \"values\" TEXT DEFAULT 'a,b)');";
    let two = one.replace("words 1", "words 2").replace("\"select\",", "\"select\", \"where\" DEFAULT 'x',");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| Location::File(folder.path().join(name));
    let client = |text: &str| ClientDatabase::open(options(2, path("client")), &Schema::parse(text).unwrap()).unwrap();
    let server = |text: &str| ServerDatabase::open(options(1, path("server")), &Schema::parse(text).unwrap()).unwrap();
    let (mut alice, mut origin) = (client(one), server(one));
    alice
        .exec("INSERT INTO \"order\" VALUES ('a', 1, 'x'); INSERT INTO \"table\" (\"primary\") VALUES (1)", &[])
        .unwrap();
    exec(&mut origin, "INSERT INTO \"table\" VALUES (2, 'b')");
    sync(&mut alice, &mut origin);
    drop((alice, origin));
    let (mut alice, mut origin) = (client(&two), server(&two));
    alice.exec("UPDATE \"order\" SET \"where\" = 'y', \"index\" = 2", &[]).unwrap();
    sync(&mut alice, &mut origin);
    assert_eq!(alice.digests().unwrap(), origin.digests().unwrap());
    for table in ["\"order\"", "\"table\""] {
        assert_eq!(rows(alice.connection(), table), rows(origin.connection(), table));
    }
}
