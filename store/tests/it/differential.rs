//! The fast ways held against cr-sqlite's own: pages against `crsql_changes`, on databases made at random.

use greenlight_core::replica::{Applied, Author, ClientStore, ReadRequest, ServerStore, UploadPart};
use greenlight_core::{Change, Cursor, PackedKey, SiteId, Tag, Version};
use greenlight_store::{ClientDatabase, Location, ServerDatabase};
use rusqlite::Connection;

use crate::peers::{client, exec, options, pull, push, random, schema};

/// Statements of every kind, with values of every type; some fail, as they do in life.
pub(crate) fn random_sql(draw: &mut impl FnMut() -> u64) -> String {
    let values = [
        "NULL",
        "5",
        "5.0",
        "-1",
        "''",
        "'ü'",
        "x''",
        "x'00ff80'",
        "9223372036854775807",
        "0.1",
        "32768",
        "-0.0",
        "9e999",
        "-9223372036854775808",
        "'a' || char(0) || 'b'",
        "printf('%300c', 'x')",
        "zeroblob(200)",
    ];
    let keys =
        ["0", "1", "-7", "127", "128", "255", "256", "32768", "65536", "9223372036854775807", "-9223372036854775808"];
    let texts = ["''", "'a'", "'aa'", "'Ä'", "'a' || char(0) || 'b'", "printf('%200c', 'k')"];
    let blobs = ["x''", "x'00'", "x'80ff'", "zeroblob(130)"];
    let mut pick = |list: &[&str]| list[(draw() % list.len() as u64) as usize].to_owned();
    let (k, l, a, b) = (pick(&keys), pick(&keys), pick(&values), pick(&values));
    let (x, y, n) = (pick(&texts), pick(&blobs), pick(&["0", "1", "50"]));
    match draw() % 16 {
        0..=2 => format!("INSERT OR IGNORE INTO t VALUES ({k}, {a}, {b})"),
        3 => format!("INSERT INTO t VALUES ({k}, {a}, {b}) ON CONFLICT DO UPDATE SET a = excluded.a"),
        4 => format!("INSERT OR REPLACE INTO t VALUES ({k}, {a}, {b})"),
        5 => format!("UPDATE t SET a = {a} WHERE id = {k}"),
        6 => format!("UPDATE t SET b = {b}"),
        7 => format!("DELETE FROM t WHERE id = {k}"),
        8 => format!("UPDATE OR IGNORE t SET id = {l} WHERE id = {k}"),
        9 => format!("UPDATE OR REPLACE t SET id = {l}, a = {a} WHERE id = {k}"),
        10..=11 => format!("INSERT OR IGNORE INTO pair (x, y, n) VALUES ({x}, {y}, {n})"),
        12 => format!("UPDATE OR IGNORE pair SET y = {y}, m = {n} WHERE x = {x}"),
        13 => format!("DELETE FROM pair WHERE x = {x}"),
        14 => format!("INSERT OR IGNORE INTO mark VALUES ({x})"),
        _ => format!("DELETE FROM t WHERE id = {k}; INSERT OR IGNORE INTO t VALUES ({k}, {a}, {b}); DELETE FROM mark"),
    }
}

fn random_server(seed: u64, part_bytes: usize) -> (ServerDatabase, Vec<ClientDatabase>) {
    let mut draw = random(seed);
    let mut with_parts = options(seed, Location::Memory);
    with_parts.part_bytes = part_bytes;
    let mut server = ServerDatabase::open(with_parts, &schema()).unwrap();
    let mut clients: Vec<_> = (0..2).map(|index| client(1_000_000 + seed * 100 + index)).collect();
    for _ in 0..40 {
        let sql = random_sql(&mut draw);
        match draw() % 5 {
            0 => drop(exec(&mut server, &sql)),
            1 | 2 => drop(clients[(draw() % 2) as usize].exec(&sql, &[]).unwrap()),
            3 => push(&mut clients[(draw() % 2) as usize], &mut server),
            _ => pull(&mut clients[(draw() % 2) as usize], &mut server),
        }
    }
    (server, clients)
}

/// What `crsql_changes` says of a range.
fn stock(conn: &Connection, since: Version, until: Version, filter: &str, site: &[u8]) -> Vec<Change> {
    let sql = format!(
        "SELECT \"table\", pk, cid, val, col_version, cl, seq, site_id FROM crsql_changes
         WHERE db_version > ?1 AND db_version <= ?2 AND ({filter} OR ?3 IS NULL)"
    );
    let mut statement = conn.prepare(&sql).unwrap();
    let rows = statement
        .query_map((since.to_sql(), until.to_sql(), site), |row| {
            Ok(Change {
                table: row.get::<_, String>(0)?.into(),
                key: PackedKey::new(row.get_ref(1)?.as_blob()?).unwrap(),
                column: row.get::<_, String>(2)?.into(),
                value: match row.get::<_, rusqlite::types::Value>(3)? {
                    rusqlite::types::Value::Null => greenlight_core::Value::Null,
                    rusqlite::types::Value::Integer(number) => greenlight_core::Value::Integer(number),
                    rusqlite::types::Value::Real(number) => greenlight_core::Value::Real(number),
                    rusqlite::types::Value::Text(text) => greenlight_core::Value::Text(text),
                    rusqlite::types::Value::Blob(blob) => greenlight_core::Value::Blob(blob),
                },
                column_version: row.get::<_, i64>(4)? as u64,
                causal_length: row.get::<_, i64>(5)? as u64,
                sequence: row.get::<_, i64>(6)? as u64,
                site: SiteId::from_slice(row.get_ref(7)?.as_blob()?).unwrap(),
            })
        })
        .unwrap();
    sorted(rows.collect::<Result<_, _>>().unwrap())
}

fn sorted(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by_cached_key(|change| format!("{change:?}"));
    changes
}

/// All changes of a range, and how many pages they took; with what each said is left.
fn paged(server: &mut ServerDatabase, since: Version, until: Option<Version>, author: Author) -> (Vec<Change>, usize) {
    let until = until.map(|version| Cursor { version, tag: Tag(1) });
    let mut request = ReadRequest { since, until, after: None, author };
    let (mut changes, mut left, mut pages) = (Vec::new(), None, 0);
    loop {
        let chunk = server.read(&request).unwrap();
        if let Some(left) = left {
            assert_eq!(chunk.changes.count + chunk.remaining, left, "what is left follows from page to page");
        }
        assert!(chunk.next.is_some() || chunk.remaining == 0);
        changes.extend(chunk.changes.decode().unwrap());
        pages += 1;
        left = Some(chunk.remaining);
        request.until = Some(chunk.until);
        match chunk.next {
            Some(next) => request.after = Some(next),
            None => return (changes, pages),
        }
    }
}

#[test]
fn pages_hold_what_crsql_changes_holds() {
    for seed in 0..30 {
        for part_bytes in [1, 60, 256 * 1024] {
            let (mut server, mut clients) = random_server(seed, part_bytes);
            let head = server.facts().unwrap().head.version;
            let sites = clients.iter_mut().map(|client| client.load().unwrap().site_id);
            let authors = sites.map(Author::Except).chain([Author::Any, Author::Own, Author::Except(SiteId([7; 16]))]);
            for author in authors.collect::<Vec<_>>() {
                let middle = Version::new(head.get() / 2).unwrap();
                for (since, until) in [(Version::ZERO, None), (middle, None), (Version::ZERO, Some(middle))] {
                    let (filter, site) = match author {
                        Author::Any => ("true", vec![]),
                        Author::Own => ("site_id = crsql_site_id()", vec![0]),
                        Author::Except(site) => ("site_id <> ?3", site.0.to_vec()),
                    };
                    let end = until.unwrap_or(head);
                    let expected = stock(server.connection(), since, end, filter, &site);
                    let (found, pages) = paged(&mut server, since, until, author);
                    assert!(part_bytes > 1 || pages >= found.len(), "a page each");
                    assert_eq!(
                        sorted(found),
                        expected,
                        "seed {seed}, {part_bytes} bytes, {author:?}, {since:?}..{until:?}"
                    );
                }
            }
        }
    }
}

/// As cr-sqlite applies them, in one transaction.
fn apply_by_stock(conn: &Connection, changes: &[Change]) {
    conn.execute_batch("BEGIN").unwrap();
    for change in changes {
        let sql = "INSERT INTO crsql_changes (\"table\", pk, cid, val, col_version, db_version, site_id, cl, seq)
                   VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8)";
        let value = match change.value.clone() {
            greenlight_core::Value::Null => rusqlite::types::Value::Null,
            greenlight_core::Value::Integer(number) => rusqlite::types::Value::Integer(number),
            greenlight_core::Value::Real(number) => rusqlite::types::Value::Real(number),
            greenlight_core::Value::Text(text) => rusqlite::types::Value::Text(text),
            greenlight_core::Value::Blob(blob) => rusqlite::types::Value::Blob(blob),
        };
        let numbers =
            [change.column_version, change.causal_length, change.sequence].map(|number| i64::try_from(number).unwrap());
        let (key, site) = (change.key.as_bytes(), &change.site.0[..]);
        let params = (&*change.table, key, &*change.column, value, numbers[0], site, numbers[1], numbers[2]);
        conn.execute(sql, params).unwrap();
    }
    conn.execute_batch("COMMIT").unwrap();
}

#[test]
fn parts_are_applied_as_cr_sqlite_applies_them() {
    let mut whole_rows = 0;
    for seed in 0..150 {
        let mut draw = random(seed + 7_000);
        let (mut source, _) = random_server(seed, 60);
        let (mut changes, _) = paged(&mut source, Version::ZERO, None, Author::Any);
        // Cut anywhere, in the order in which they were read or in any other, and some of them twice.
        if draw().is_multiple_of(2) {
            changes.sort_by_cached_key(|_| draw());
        }
        let mut parts: Vec<&[Change]> = Vec::new();
        let mut rest = &changes[..];
        while !rest.is_empty() {
            let (part, others) = rest.split_at(1 + (draw() % rest.len() as u64) as usize);
            parts.push(part);
            rest = others;
        }
        parts.extend(parts.first().copied());
        let [mut tested, oracle] =
            [0, 1].map(|_| ServerDatabase::open(options(seed, Location::Memory), &schema()).unwrap());
        for part in parts {
            let site = SiteId([9; 16]);
            let until = greenlight_core::Bound { version: Version::new(1).unwrap(), tag: Tag(1) };
            let upload = UploadPart { site, since: Version::ZERO, until, last: false, changes: part.to_vec() };
            let applied = tested.apply(&[upload]).unwrap().remove(0).unwrap();
            assert_eq!(applied, Applied::default(), "seed {seed}");
            apply_by_stock(oracle.connection(), part);
            whole_rows +=
                part.chunk_by(|a, b| a.table == b.table && a.key == b.key).filter(|row| row.len() > 1).count();
        }
        let highest = Version::new(greenlight_core::limits::MAX_VERSION).unwrap();
        let all = |server: &ServerDatabase| stock(server.connection(), Version::ZERO, highest, "true", &[]);
        assert_eq!(all(&tested), all(&oracle), "seed {seed}");
        let rows = |server: &ServerDatabase| crate::peers::all_rows(server.connection());
        assert_eq!(rows(&tested), rows(&oracle), "seed {seed}");
        // Nothing is left behind that would hide a later local write.
        let bit: i64 = tested.connection().query_row("SELECT crsql_internal_sync_bit()", [], |row| row.get(0)).unwrap();
        assert_eq!(bit, 0, "seed {seed}");
    }
    assert!(whole_rows > 500, "{whole_rows} rows came together");
}

#[test]
fn pending_is_what_sql_counts() {
    for seed in 0..20 {
        let (_, mut clients) = random_server(seed, 60);
        for client in &mut clients {
            let state = client.load().unwrap();
            let sql = "SELECT count(*) FROM crsql_changes WHERE site_id = crsql_site_id() AND db_version > ?1";
            let acknowledged = state.acknowledged.version.to_sql();
            let expected: i64 = client.connection().query_row(sql, [acknowledged], |row| row.get(0)).unwrap();
            assert_eq!(state.outbox.changes, expected as u64, "seed {seed}");
            let by_table: u64 = client.pending_by_table().unwrap().iter().map(|(_, count)| count).sum();
            assert_eq!(by_table, state.outbox.changes);
            assert_eq!(state.outbox.bytes > 0, expected > 0);
        }
    }
}

#[test]
fn everyone_converges_whatever_was_written() {
    for seed in 0..60 {
        let (mut server, mut clients) = random_server(seed, 40);
        for _ in 0..2 {
            for client in &mut clients {
                crate::peers::sync(client, &mut server);
            }
        }
        let digests = server.digests().unwrap();
        for client in &mut clients {
            let rows = crate::peers::all_rows(client.connection());
            assert_eq!(rows, crate::peers::all_rows(server.connection()), "seed {seed}");
            assert_eq!(client.digests().unwrap(), digests, "seed {seed}");
            assert_eq!(client.outbox().unwrap().changes, 0);
        }
    }
}

#[test]
fn a_seed_repeats_to_the_bit() {
    let bytes = |seed| {
        let (mut server, _) = random_server(seed, 60);
        let request = ReadRequest { since: Version::ZERO, until: None, after: None, author: Author::Any };
        (server.facts().unwrap(), server.read(&request).unwrap().changes.body.to_vec())
    };
    assert_eq!(bytes(5), bytes(5));
    assert_ne!(bytes(5).0.lineage, bytes(6).0.lineage);
}
