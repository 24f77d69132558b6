//! A server under load that is killed again and again, and what must hold after each kill.
//!
//! Where in the flow: clients upload over real sockets, others post statements, a third kind fetches copies; then the
//! server dies, and the folder that it leaves is judged before anybody can bring back what it lost. The judge knows
//! what was written from the clients' own databases and what was acknowledged from their bounds, never from the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use greenlight_core::StatusState;
use greenlight_core::replica::ClientStore;
use greenlight_store::ServerReader;
use greenlight_store::crash::Point;
use serde_json::json;
use tempfile::TempDir;

use super::child::{Child, Remains, ask};
use crate::fixture::{NOTES, eventually, folder};
use crate::peer::{Address, Peer, now, open};

/// Rows that are written together and must be there together.
const GROUP: i64 = 3;
const CLIENTS: usize = 3;
const POSTERS: usize = 2;
/// Ids of one writer's rows.
const RANGE: i64 = 10_000_000;

/// Seeded numbers (SplitMix64; Steele, Lea, Flood, 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// The statements of one group: its rows, and its number in the writer's counter.
fn statements(writer: usize, number: i64) -> String {
    let first = i64::try_from(writer).unwrap() * RANGE + number * GROUP;
    let rows: Vec<_> = (first..first + GROUP).map(|id| format!("({id}, 'g{writer}-{number}')")).collect();
    format!(
        "INSERT INTO note (id, title) VALUES {};
         INSERT INTO tag (note_id, name, weight) VALUES ({writer}, 'written', {number})
         ON CONFLICT DO UPDATE SET weight = excluded.weight",
        rows.join(", ")
    )
}

/// A client that writes group after group.
struct Writer {
    peer: Peer,
    number: usize,
    written: AtomicI64,
}

/// A caller of `exec`, whose groups may or may not have been done where no answer came.
struct Poster {
    number: usize,
    tried: AtomicI64,
    /// Those that were answered with 200.
    answered: std::sync::Mutex<Vec<i64>>,
}

/// One server's folder, and everybody who writes to it.
pub(crate) struct World {
    folder: TempDir,
    address: Address,
    writers: Vec<Arc<Writer>>,
    posters: Vec<Arc<Poster>>,
    random: Random,
    /// Writes that were acknowledged or answered, at the last look.
    pub(crate) acknowledged: i64,
}

/// The groups that are in a database, by writer: how many rows each has.
type Groups = BTreeMap<(usize, i64), i64>;

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let address = Address::new(std::sync::Mutex::new(([127, 0, 0, 1], 1).into()));
        let writer = |number| {
            let peer = Peer::start_at(address.clone(), "notes", "", open(NOTES));
            Arc::new(Writer { peer, number, written: AtomicI64::new(0) })
        };
        let poster =
            |number| Arc::new(Poster { number, tried: AtomicI64::new(0), answered: std::sync::Mutex::default() });
        let writers = (0..CLIENTS).map(writer).collect();
        let posters = (CLIENTS..CLIENTS + POSTERS).map(poster).collect();
        Self { folder: folder(), address, writers, posters, random: Random(seed), acknowledged: 0 }
    }

    /// Dies under load at a point, at one of its first occurrences.
    pub(crate) async fn die_at(&mut self, point: Point) {
        let occurrence = 1 + self.random.below(4);
        let child = Child::start(self.folder.path(), Some((point, occurrence)));
        // It may have died while it opened the database.
        let load = match child.address {
            Some(address) => Some(self.load(address).await),
            None => None,
        };
        child.dies_at(point).await;
        if let Some(load) = load {
            load.end().await;
        }
        self.judge().await;
    }

    /// Comes up again, has everybody in step, and is killed from outside at a random moment.
    pub(crate) async fn come_up_and_be_killed(&mut self) {
        let child = Child::start(self.folder.path(), None);
        self.converge(&child).await;
        let load = self.load(child.at()).await;
        tokio::time::sleep(Duration::from_millis(self.random.below(250))).await;
        child.kill();
        load.end().await;
        self.judge().await;
    }

    /// Comes up and has everybody in step.
    pub(crate) async fn come_up(&mut self) {
        let child = Child::start(self.folder.path(), None);
        self.converge(&child).await;
    }

    async fn connect(&self, address: std::net::SocketAddr) {
        *self.address.lock().unwrap() = address;
        for writer in &self.writers {
            writer.peer.with(|_, session| session.resume(now())).await;
        }
    }

    /// Everybody reads and writes until the load is ended.
    async fn load(&mut self, address: std::net::SocketAddr) -> Load {
        self.connect(address).await;
        let ended = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for writer in &self.writers {
            tasks.push(tokio::spawn(write(writer.clone(), ended.clone(), Random(self.random.below(u64::MAX)))));
        }
        for poster in &self.posters {
            tasks.push(tokio::spawn(post(poster.clone(), address, ended.clone())));
        }
        tasks.push(tokio::spawn(copy(address, ended.clone())));
        Load { ended, tasks }
    }

    /// Whether everything that was acknowledged is in the folder, and nothing is half there.
    async fn judge(&mut self) {
        for writer in &self.writers {
            writer.peer.with(|_, session| session.pause(now())).await;
        }
        let remains = Remains::of(self.folder.path(), "notes");
        let reader = remains.open();
        let groups = groups(&reader);
        let mut acknowledged = 0;
        for ((writer, number), rows) in &groups {
            assert_eq!(*rows, GROUP, "group {number} of writer {writer} is half there");
        }
        for writer in &self.writers {
            let (written, bound) = (writer.written.load(Ordering::Acquire), acknowledged_groups(&writer.peer).await);
            let there = of(&groups, writer.number);
            assert_eq!(there, (1..=i64::try_from(there.len()).unwrap()).collect::<Vec<_>>(), "in order, without gaps");
            let count = i64::try_from(there.len()).unwrap();
            assert!(bound <= count, "writer {}: {bound} acknowledged, {count} there", writer.number);
            assert!(count <= written, "more than was written");
            assert_eq!(counter(&reader, writer.number), count, "the counter is of the same transaction");
            acknowledged += bound;
        }
        for poster in &self.posters {
            let there = of(&groups, poster.number);
            let answered = poster.answered.lock().unwrap().clone();
            let lost: Vec<_> = answered.iter().filter(|number| !there.contains(number)).collect();
            assert!(lost.is_empty(), "answered and not there: {lost:?}");
            assert_eq!(counter(&reader, poster.number), there.last().copied().unwrap_or(0));
            acknowledged += i64::try_from(answered.len()).unwrap();
        }
        assert!(acknowledged >= self.acknowledged);
        self.acknowledged = acknowledged;
    }

    /// All clients have what the server has, nothing is pending, and nobody is missing anything.
    async fn converge(&self, child: &Child) {
        self.connect(child.at()).await;
        for writer in &self.writers {
            let fits = |status: &greenlight_core::Status| {
                assert!(status.state != StatusState::Incompatible, "{status:?}");
                status.state == StatusState::Synced && status.pending.changes == 0
            };
            writer.peer.wait("in step", fits).await;
        }
        let digest = async |writer: &Writer| writer.peer.with(|store, _| store.digests().unwrap()).await;
        let same = async || {
            let remains = Remains::of(self.folder.path(), "notes");
            let here = remains.open().digests().unwrap();
            for writer in &self.writers {
                if digest(writer).await != here {
                    return None;
                }
            }
            Some(())
        };
        eventually("all hold the same", same).await;
    }
}

/// Tasks that go on until the server is dead.
struct Load {
    ended: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn end(self) {
        self.ended.store(true, Ordering::Release);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn write(writer: Arc<Writer>, ended: Arc<AtomicBool>, mut random: Random) {
    while !ended.load(Ordering::Acquire) {
        let next = writer.written.load(Ordering::Acquire) + 1;
        writer.peer.exec(&statements(writer.number, next)).await;
        writer.written.store(next, Ordering::Release);
        tokio::time::sleep(Duration::from_millis(random.below(12))).await;
    }
}

async fn post(poster: Arc<Poster>, address: std::net::SocketAddr, ended: Arc<AtomicBool>) {
    while !ended.load(Ordering::Acquire) {
        let number = poster.tried.fetch_add(1, Ordering::AcqRel) + 1;
        let body = json!({ "sql": statements(poster.number, number) });
        match ask(address, "POST", "/notes/exec", Some(&body)).await {
            Some(answer) => {
                assert_eq!(answer.status, 200, "{}", answer.text());
                poster.answered.lock().unwrap().push(number);
            }
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Fetches copies; each that arrives whole is a whole database.
async fn copy(address: std::net::SocketAddr, ended: Arc<AtomicBool>) {
    while !ended.load(Ordering::Acquire) {
        if let Some(answer) = ask(address, "GET", "/notes/file", None).await {
            let place = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(place.path(), &answer.body).unwrap();
            let reader = ServerReader::open(place.path()).unwrap();
            assert!(groups(&reader).values().all(|rows| *rows == GROUP), "a copy of half a group");
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// How many of a client's groups lie at or below its acknowledgement: what it would never send again.
async fn acknowledged_groups(peer: &Peer) -> i64 {
    peer.with(|store, _| {
        let bound = store.load().unwrap().acknowledged.version.get();
        let sql = "SELECT count(DISTINCT title) FROM note JOIN note__crsql_pks AS keys ON keys.id = note.id
                   JOIN note__crsql_clock AS clock ON clock.key = keys.__crsql_key
                   WHERE clock.site_id = 0 AND col_name = 'title' AND db_version <= ?";
        store.connection().query_row(sql, [i64::try_from(bound).unwrap()], |row| row.get(0)).unwrap()
    })
    .await
}

fn groups(reader: &ServerReader) -> Groups {
    let sql = "SELECT title, count(*) FROM note GROUP BY title";
    let mut statement = reader.connection().prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))).unwrap();
    rows.map(|row| {
        let (title, count) = row.unwrap();
        let (writer, number) = title.strip_prefix('g').unwrap().split_once('-').unwrap();
        ((writer.parse().unwrap(), number.parse().unwrap()), count)
    })
    .collect()
}

fn of(groups: &Groups, writer: usize) -> Vec<i64> {
    groups.range((writer, 0)..(writer + 1, 0)).map(|((_, number), _)| *number).collect()
}

fn counter(reader: &ServerReader, writer: usize) -> i64 {
    let sql = "SELECT coalesce(max(weight), 0) FROM tag WHERE note_id = ? AND name = 'written'";
    reader.connection().query_row(sql, [i64::try_from(writer).unwrap()], |row| row.get(0)).unwrap()
}
