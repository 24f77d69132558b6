//! Seeded runs of three clients and a server that exchange windows of changes: every kind of write, key updates
//! included, cut at random versions, with and without the author's own changes sent back. Patch 7 makes the runs with
//! key updates converge; without it about every second diverges.
//!
//! These are cr-sqlite's own rules, without the protocol: a client sends its own changes above its acknowledgement,
//! and takes the server's above its cursor.

use rusqlite::types::Value;

use crate::peer::{Change, Peer};

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b); SELECT crsql_as_crr('t');";
const CLIENTS: usize = 3;
const STEPS: usize = 40;
/// Seeds for each of the four ways to exchange.
const SEEDS: u64 = 60;
/// Few keys and values, so that writes meet.
const KEYS: u64 = 4;
const VALUES: u64 = 9;

/// A small generator of repeatable numbers (splitmix64), so that a seed names a run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// The kinds of local write.
#[derive(Clone, Copy)]
enum Write {
    Insert,
    UpdateA,
    UpdateB,
    Delete,
    Upsert,
    Replace,
    DeleteInsert,
    Key,
    KeyReplace,
}

const PLAIN: &[Write] = &[Write::Insert, Write::UpdateA, Write::UpdateB, Write::Delete, Write::Upsert];
const REPLACING: &[Write] =
    &[Write::Insert, Write::UpdateA, Write::UpdateB, Write::Delete, Write::Upsert, Write::Replace, Write::DeleteInsert];
const KEYED: &[Write] = &[
    Write::Insert,
    Write::UpdateA,
    Write::UpdateB,
    Write::Delete,
    Write::Upsert,
    Write::Replace,
    Write::DeleteInsert,
    Write::Key,
    Write::KeyReplace,
];

/// How windows are made.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    /// Whether a client is spared its own changes.
    filter_own: bool,
    /// Whether a window may end anywhere below the head.
    cut: bool,
}

struct Client {
    peer: Peer,
    site: Value,
    acknowledged: i64,
    cursor: i64,
}

struct Run {
    random: Random,
    exchange: Exchange,
    server: Peer,
    clients: Vec<Client>,
}

impl Run {
    fn new(seed: u64, exchange: Exchange) -> Self {
        let client = || {
            let peer = Peer::new(SCHEMA);
            let site = peer.one("SELECT crsql_site_id()");
            Client { peer, site, acknowledged: 0, cursor: 0 }
        };
        let clients = (0..CLIENTS).map(|_| client()).collect();
        Self { random: Random(seed), exchange, server: Peer::new(SCHEMA), clients }
    }

    fn write(&mut self, who: usize, kinds: &[Write]) {
        let kind = kinds[self.random.below(kinds.len() as u64) as usize];
        let (key, other) = (self.random.below(KEYS), self.random.below(KEYS));
        let (a, b) = (self.random.below(VALUES), self.random.below(VALUES));
        let sql = match kind {
            Write::Insert => format!("INSERT OR IGNORE INTO t VALUES ({key}, {a}, {b})"),
            Write::UpdateA => format!("UPDATE t SET a = {a} WHERE id = {key}"),
            Write::UpdateB => format!("UPDATE t SET b = {b} WHERE id = {key}"),
            Write::Delete => format!("DELETE FROM t WHERE id = {key}"),
            Write::Upsert => format!("INSERT INTO t VALUES ({key}, {a}, {b}) ON CONFLICT DO UPDATE SET a = excluded.a"),
            Write::Replace => format!("INSERT OR REPLACE INTO t VALUES ({key}, {a}, {b})"),
            Write::DeleteInsert => {
                format!("BEGIN; DELETE FROM t WHERE id = {key}; INSERT INTO t VALUES ({key}, {a}, {b}); COMMIT")
            }
            Write::Key => format!("UPDATE OR IGNORE t SET id = {other} WHERE id = {key}"),
            Write::KeyReplace => format!("UPDATE OR REPLACE t SET id = {other} WHERE id = {key}"),
        };
        self.clients[who].peer.run(&sql);
    }

    /// The end of a window that starts above `from`.
    fn end(&mut self, from: i64, head: i64, whole: bool) -> i64 {
        if whole || !self.exchange.cut || head - from < 2 {
            return head;
        }
        from + 1 + self.random.below((head - from) as u64) as i64
    }

    fn push(&mut self, who: usize, whole: bool) {
        let client = &self.clients[who];
        let own =
            client.peer.int("SELECT coalesce(max(db_version), 0) FROM crsql_changes WHERE site_id = crsql_site_id()");
        let from = client.acknowledged;
        if own <= from {
            return;
        }
        let to = self.end(from, own, whole);
        let client = &mut self.clients[who];
        let mut window = client.peer.changes_since(from);
        window.retain(|change| at_most(change, to) && change[crate::peer::SITE_ID] == client.site);
        self.server.apply_all(&window);
        client.acknowledged = to;
    }

    fn pull(&mut self, who: usize, whole: bool) {
        let (head, from) = (self.server.head(), self.clients[who].cursor);
        if head <= from {
            return;
        }
        let to = self.end(from, head, whole);
        let client = &mut self.clients[who];
        let mut window = self.server.changes_since(from);
        let spared = self.exchange.filter_own;
        window.retain(|change| at_most(change, to) && !(spared && change[crate::peer::SITE_ID] == client.site));
        client.peer.apply_all(&window);
        client.cursor = to;
    }

    /// Runs it to the end, and says what every database holds.
    fn outcome(mut self, kinds: &[Write]) -> Vec<Vec<Vec<Value>>> {
        for _ in 0..STEPS {
            let (dice, who) = (self.random.below(100), self.random.below(CLIENTS as u64) as usize);
            match dice {
                0..55 => self.write(who, kinds),
                55..77 => self.push(who, false),
                _ => self.pull(who, false),
            }
        }
        // Quiet: everyone sends and takes what is left; twice, since taking may leave something to send.
        for _ in 0..3 {
            (0..CLIENTS).for_each(|who| self.push(who, true));
            (0..CLIENTS).for_each(|who| self.pull(who, true));
        }
        let all = |peer: &Peer| peer.rows("SELECT * FROM t ORDER BY id");
        std::iter::once(all(&self.server)).chain(self.clients.iter().map(|client| all(&client.peer))).collect()
    }
}

fn at_most(change: &Change, version: i64) -> bool {
    matches!(change[crate::peer::DB_VERSION], Value::Integer(number) if number <= version)
}

fn converges(kinds: &[Write]) {
    let ways = [(true, false), (true, true), (false, false), (false, true)];
    let mut diverged = Vec::new();
    for (filter_own, cut) in ways {
        let exchange = Exchange { filter_own, cut };
        for seed in 0..SEEDS {
            let outcome = Run::new(seed, exchange).outcome(kinds);
            if outcome.iter().any(|rows| rows != &outcome[0]) {
                diverged.push((exchange, seed));
            }
        }
    }
    assert!(diverged.is_empty(), "{} runs diverged, the first is {:?}", diverged.len(), diverged[0]);
}

#[test]
fn inserts_updates_upserts_and_deletes_converge() {
    converges(PLAIN);
}

#[test]
fn replacements_converge() {
    converges(REPLACING);
}

#[test]
fn key_updates_converge() {
    converges(KEYED);
}
