//! The model beside the real store: the same statements and the same exchanges leave the same rows, the same clocks and
//! versions in the same order.
//!
//! Where in the flow: a test of the model, without which its schedules would prove nothing of the product.

use std::collections::BTreeSet;
use std::sync::Arc;

use fastrand::Rng;
use greenlight_core::replica::{Author, Chunk, DownloadPart, ReadRequest, UploadPart};
use greenlight_core::{Bound, Cursor, SiteId};
use greenlight_store::Schema;

use crate::content::Cell;
use crate::disk::{Disk, Opening};
use crate::schedule::{Step, generate};
use crate::stores::{ClientMachine, ServerMachine, Stores, Task};
use crate::workload::{Operation, SCHEMA, Write};

/// Seeds that are compared, and the writes of each.
const SEEDS: u64 = 60;
const WRITES: usize = 120;
/// Enough that a range takes one part: where the two cut it need not be the same.
const PART_BYTES: usize = 200_000;

/// A server and two clients on one kind of store.
struct Trio {
    server: Box<dyn ServerMachine>,
    clients: [Box<dyn ClientMachine>; 2],
    /// The server's, then the clients'.
    disks: [Disk; 3],
    /// Who they are.
    sites: [SiteId; 3],
}

impl Trio {
    fn new(stores: Stores, seed: u64) -> Self {
        let schema = Schema::parse(SCHEMA).expect("the schema is right");
        let opening = |who: u64| {
            let random = Rng::with_seed(seed * 10 + who);
            Opening { schema: &schema, part_bytes: PART_BYTES, random, wall: Arc::default() }
        };
        let disks = [0, 1, 2].map(|_| Disk::new(stores).expect("a disk"));
        let mut server = disks[0].open_server(opening(0)).expect("a server");
        let mut clients = [1, 2].map(|who| disks[who].open_client(opening(who as u64)).expect("a client"));
        let lineage = server.facts().expect("facts").lineage;
        for client in &mut clients {
            client.adopt(lineage, Bound::ZERO, true).expect("adopted");
        }
        let [one, two] = &mut clients;
        let sites = [lineage.site_id, one.load().expect("loaded").site_id, two.load().expect("loaded").site_id];
        Self { server, clients, disks, sites }
    }

    fn commit(&mut self, tasks: &[Task]) -> Vec<bool> {
        let committed = self.server.commit(tasks).expect("committed");
        committed.done.into_iter().map(|done| done.is_none_or(|result| result.is_ok())).collect()
    }

    /// Sends what is pending, and fetches what is new.
    fn sync(&mut self, who: usize) {
        let site = self.sites[who + 1];
        let plan = self.clients[who].begin_upload().expect("a plan");
        let Chunk { changes, next, .. } = self.clients[who].read(&plan.read).expect("a page");
        assert!(next.is_none(), "the whole range fits one part");
        let changes = changes.decode().expect("own changes");
        let part = UploadPart { site, since: plan.since.version, until: plan.until, last: true, changes };
        assert_eq!(self.commit(&[Task::Upload(part)]), [true]);
        self.clients[who].acknowledge(plan.until).expect("acknowledged");
        let since = self.clients[who].load().expect("loaded").cursor;
        let request = ReadRequest { since: since.version, until: None, after: None, author: Author::Except(site) };
        let Chunk { until, changes, next, .. } = self.server.read(&request).expect("a page");
        assert!(next.is_none(), "the whole range fits one part");
        let changes = changes.decode().expect("the server's changes");
        self.clients[who].apply(&DownloadPart { since, until, last: true, changes }).expect("applied");
    }

    /// Everything that can be seen of the three, with sites by their number.
    fn look(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        let mut all_ranks = Vec::new();
        for disk in &self.disks {
            let cells = disk.cells_above(0, false).expect("cells");
            let ranks: BTreeSet<i64> = cells.iter().map(|cell| cell.version).collect();
            let ranked = |cell: Cell| Cell { version: rank(&ranks, cell.version), ..cell }.to_string();
            let mut cells: Vec<String> = cells.into_iter().map(ranked).collect();
            cells.sort_unstable();
            seen.extend(disk.rows().expect("rows"));
            seen.extend(cells);
            all_ranks.push(ranks);
        }
        let [ranks, of_clients @ ..] = &all_ranks[..] else { return seen };
        seen.push(format!("head {}", rank(ranks, self.server.head().expect("a head").version.to_sql())));
        for (client, own_ranks) in self.clients.iter_mut().zip(of_clients) {
            let state = client.load().expect("loaded");
            let own = [state.outbox.head, state.acknowledged.version].map(|own| rank(own_ranks, own.to_sql()));
            let cursor = rank(ranks, state.cursor.version.to_sql());
            seen.push(format!("{own:?} {} pending, cursor {cursor}", state.outbox.changes));
        }
        seen.extend(self.changes());
        seen
    }

    /// What each of the three would send, without what differs from store to store: order, sequence, identities.
    fn changes(&mut self) -> Vec<String> {
        let until = |version: i64| Some(Cursor { version: super::version(version.unsigned_abs()), ..Cursor::ZERO });
        let all = |until| ReadRequest { since: super::version(0), until, after: None, author: Author::Any };
        let [_, one, two] = [0, 1, 2].map(|disk| until(self.disks[disk].largest_version().expect("a version")));
        let chunks = [
            self.server.read(&all(None)).expect("a page"),
            self.clients[0].read(&all(one)).expect("a page"),
            self.clients[1].read(&all(two)).expect("a page"),
        ];
        let told = |chunk: Chunk| {
            let changes = chunk.changes.decode().expect("changes");
            let mut told: Vec<String> = changes
                .iter()
                .map(|change| {
                    let site = self.sites.iter().position(|site| *site == change.site);
                    let numbers = (change.column_version, change.causal_length);
                    format!(
                        "{} {:?} {} {:?} {numbers:?} by {site:?}",
                        change.table, change.key, change.column, change.value
                    )
                })
                .collect();
            told.sort_unstable();
            told
        };
        chunks.into_iter().flat_map(told).collect()
    }
}

/// How many versions there are up to this one: cr-sqlite's own numbers have gaps, since what changes nothing takes one.
fn rank(versions: &BTreeSet<i64>, version: i64) -> i64 {
    versions.range(..=version).count() as i64
}

/// Writes as the schedules have them.
fn writes(seed: u64) -> impl Iterator<Item = Vec<Write>> {
    let schedules = (0..).map(move |more| generate(seed + 1_000_000 * more));
    let steps = schedules.flat_map(|schedule| schedule.steps.into_iter().map(|timed| timed.step));
    steps.filter_map(|step| match step {
        Step::Write { writes, .. } | Step::Exec { writes } | Step::External { writes, .. } => Some(writes),
        _ => None,
    })
}

#[test]
fn the_model_does_what_the_store_does() {
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let (refused, parted) = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..threads).map(|first| scope.spawn(move || compare(first, threads))).collect();
        shares.into_iter().fold((0, 0), |sum, share| {
            let (refused, parted) = share.join().expect("all of a share is equal");
            (sum.0 + refused, sum.1 + parted)
        })
    });
    assert!(refused > 1_000 && parted > 1_000, "{refused} refused, {parted} times apart: too little was tried");
}

/// Every so-manieth seed. How often a write was refused, and how often the clients differed, so that there was something
/// to merge.
fn compare(first: u64, every: u64) -> (usize, usize) {
    let (mut refused, mut parted) = (0, 0);
    for seed in (first..SEEDS).step_by(every as usize) {
        let mut rng = Rng::with_seed(seed);
        let (mut real, mut model) = (Trio::new(Stores::Real, seed), Trio::new(Stores::Model, seed));
        for (number, writes) in writes(seed).take(WRITES).enumerate() {
            let operations: Vec<Operation> = writes.iter().flat_map(Write::operations).collect();
            let who = rng.usize(..4);
            let did = |trio: &mut Trio| match who {
                0 | 1 => vec![trio.clients[who].write(&operations).expect("written").is_some()],
                2 => trio.commit(&operations.iter().cloned().map(Task::Exec).collect::<Vec<_>>()),
                _ => {
                    trio.disks[0].write_as_other(&operations).expect("written");
                    vec![trio.server.notice_external().expect("noticed")]
                }
            };
            let (one, other) = (did(&mut real), did(&mut model));
            let what = || format!("seed {seed}, write {number} by {who}: {writes:?}");
            assert_eq!(one, other, "{}", what());
            refused += one.iter().filter(|done| !**done).count();
            if rng.u8(..3) == 0 {
                let who = rng.usize(..2);
                real.sync(who);
                model.sync(who);
            }
            let (one, other) = (real.look(), model.look());
            let differs: Vec<_> = one.iter().zip(&other).filter(|(one, other)| one != other).take(3).collect();
            assert!(one == other, "{}\n{differs:#?}", what());
            parted += usize::from(real.disks[1].rows().expect("rows") != real.disks[2].rows().expect("rows"));
        }
        for _ in 0..2 {
            for who in 0..2 {
                real.sync(who);
                model.sync(who);
            }
        }
        assert_eq!(real.look(), model.look(), "seed {seed}, in step");
        assert_eq!(model.clients[0].digests().expect("digests"), model.server.digests().expect("digests"));
        assert_eq!(model.clients[1].digests().expect("digests"), model.server.digests().expect("digests"));
    }
    (refused, parted)
}
