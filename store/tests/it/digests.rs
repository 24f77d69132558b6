//! Digests: equal where rows and clocks are, by the page, by the bucket, by the row; and writing a row again.

use std::collections::BTreeMap;

use greenlight_core::replica::{ClientStore, DigestScope, DigestSum, ServerStore};
use greenlight_core::{PackedKey, Value};
use greenlight_store::ClientDatabase;

use crate::peers::{client, exec, pull, push, server, sync};

type Sums = BTreeMap<Vec<u8>, DigestSum>;

fn sums(client: &mut ClientDatabase, scope: &DigestScope) -> (Sums, usize) {
    let (mut sums, mut after, mut pages) = (Sums::new(), None, 0);
    loop {
        let page = client.digest(scope, after.as_ref()).unwrap();
        for (name, sum) in page.sums {
            let entry = sums.entry(name).or_default();
            *entry = entry.wrapping_add(sum);
        }
        pages += 1;
        after = page.next;
        if after.is_none() {
            return (sums, pages);
        }
    }
}

fn key(number: i64) -> PackedKey {
    PackedKey::pack(&[Value::Integer(number)]).unwrap()
}

const MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                    INSERT INTO t SELECT i, 'a' || i, i FROM n; DELETE FROM t WHERE id % 7 = 0";

#[test]
fn two_sites_that_agree_have_equal_digests_at_every_level() {
    let (mut alice, mut bob, mut server) = (client(1), client(2), server(3));
    alice.exec(MANY, &[]).unwrap();
    exec(&mut server, "INSERT INTO pair (x, y, n) VALUES ('k', x'00', 1)");
    for _ in 0..2 {
        sync(&mut alice, &mut server);
        sync(&mut bob, &mut server);
    }
    let scopes = [DigestScope::Tables, DigestScope::Buckets("t".into()), DigestScope::Rows("t".into(), 9)];
    for scope in scopes {
        let (here, pages) = sums(&mut alice, &scope);
        assert!(pages > 1, "in pages, so that nobody waits long");
        assert_eq!(sums(&mut bob, &scope).0, here, "{scope:?}");
        let there = server.digest(&scope).unwrap();
        assert_eq!(there.at, server.facts().unwrap().head);
        assert_eq!(there.sums.unwrap(), here.into_iter().collect::<Vec<_>>(), "{scope:?}");
    }
    assert_eq!(sums(&mut alice, &DigestScope::Buckets("unknown".into())), (Sums::new(), 1));
}

#[test]
fn one_different_cell_shows_in_its_table_its_bucket_and_its_row_alone() {
    let (mut alice, mut server) = (client(1), server(3));
    alice.exec(MANY, &[]).unwrap();
    sync(&mut alice, &mut server);
    let damage = "SELECT crsql_internal_sync_bit(1); UPDATE t SET a = 'other' WHERE id = 1000;
                  SELECT crsql_internal_sync_bit(0)";
    alice.connection().execute_batch(damage).unwrap();
    let differing = |here: Sums, there: Vec<(Vec<u8>, DigestSum)>| -> Vec<Vec<u8>> {
        let there: Sums = there.into_iter().collect();
        let names = here.keys().chain(there.keys());
        let differing: std::collections::BTreeSet<_> =
            names.filter(|name| here.get(*name) != there.get(*name)).collect();
        differing.into_iter().cloned().collect()
    };
    let mut ask =
        |scope: DigestScope| differing(sums(&mut alice, &scope).0, server.digest(&scope).unwrap().sums.unwrap());
    assert_eq!(ask(DigestScope::Tables), [b"t".to_vec()]);
    let buckets = ask(DigestScope::Buckets("t".into()));
    assert_eq!(buckets.len(), 1);
    assert_eq!(ask(DigestScope::Rows("t".into(), buckets[0][0])), [key(1000).as_bytes().to_vec()]);
}

#[test]
fn a_row_that_is_written_again_wins_everywhere() {
    let (mut alice, mut bob, mut server) = (client(1), client(2), server(3));
    exec(&mut server, "INSERT INTO t VALUES (1, 5.0, 'x'), (2, 5.0, 'y')");
    pull(&mut alice, &mut server);
    pull(&mut bob, &mut server);
    let other = "SELECT crsql_internal_sync_bit(1); UPDATE t SET a = 5 WHERE id = 1; SELECT crsql_internal_sync_bit(0)";
    alice.connection().execute_batch(other).unwrap();
    let outbox = alice.rewrite(&[("t".into(), key(1)), ("t".into(), key(77)), ("gone".into(), key(1))]).unwrap();
    assert_eq!(outbox.changes, 2, "the cells of the one row that is here");
    push(&mut alice, &mut server);
    pull(&mut bob, &mut server);
    for database in [server.connection(), bob.connection()] {
        let types: Vec<String> = database
            .prepare("SELECT typeof(a) FROM t ORDER BY id")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(types, ["integer", "real"]);
    }
    assert_eq!(alice.digests().unwrap(), server.digests().unwrap());
}

#[test]
fn what_has_no_place_in_the_history_yet_is_not_digested() {
    let mut server = server(3);
    exec(&mut server, "INSERT INTO t VALUES (1, 'a', 'b')");
    assert!(server.digest(&DigestScope::Tables).unwrap().sums.is_some());
    server.connection().execute_batch("INSERT INTO t VALUES (2, 'a', 'b')").unwrap();
    assert_eq!(server.digest(&DigestScope::Tables).unwrap().sums, None);
}
