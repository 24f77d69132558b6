//! How a server was over the last hour: a few numbers of each database and of the whole, every ten seconds.
//!
//! Where in the flow: sampled by one task for the life of the server, shown by the status page. Kept in memory alone and
//! bounded; what has to last is Prometheus's business. Never opens a database, and keeps none from being closed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use greenlight_core::{Cursor, Version};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::database::Database;
use crate::limits::{HISTORY_SAMPLES, MAX_DATABASES, TOMBSTONES_EVERY};
use crate::metrics::Metrics;
use crate::name::DatabaseName;
use crate::registry::{Condition, Registry};
use crate::schedule::Schedule;

/// One database at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Sockets on it.
    pub clients: u64,
    /// Clients that have not received its head.
    pub behind: u64,
    /// Versions that the one furthest behind lacks.
    pub lag: u64,
    /// Changes that clients say they have not had acknowledged.
    pub pending: u64,
    /// Length of its file and its log.
    pub bytes: u64,
    /// Seconds since its newest backup; 0 where it has none.
    pub backup_age_s: u64,
}

impl Sample {
    /// A database as it is now.
    pub fn of(database: &Database) -> Self {
        let head = database.published().borrow().head.version;
        let mut sample = Self::default();
        for member in database.roster().members() {
            sample.clients += 1;
            let Some(report) = &member.report else { continue };
            let lag = lag(head, report.cursor.version);
            sample.behind += u64::from(lag > 0);
            sample.lag = sample.lag.max(lag);
            sample.pending += report.pending;
        }
        let (file, log) = database.sizes();
        Self { bytes: file + log, ..sample }
    }
}

/// How many versions lie between a client's place and the head.
pub(crate) fn lag(head: Version, cursor: Version) -> u64 {
    head.get().saturating_sub(cursor.get())
}

/// The whole server between two samples.
#[derive(Clone, Copy, Debug, Default)]
struct Whole {
    clients: u64,
    refusals: u64,
    commits: u64,
}

/// Samples of one thing, the oldest first.
type Ring<T> = VecDeque<T>;

fn push<T>(ring: &mut Ring<T>, sample: T) {
    if ring.len() == HISTORY_SAMPLES {
        ring.pop_front();
    }
    ring.push_back(sample);
}

#[derive(Debug, Default)]
struct Kept {
    whole: Ring<Whole>,
    databases: BTreeMap<DatabaseName, Ring<Sample>>,
    tombstones: BTreeMap<DatabaseName, Tombstones>,
}

#[derive(Clone, Copy, Debug)]
struct Tombstones {
    count: u64,
    head: Cursor,
    counted: Instant,
}

/// The last hour of a server.
#[derive(Debug)]
pub struct History {
    every: Duration,
    kept: Mutex<Kept>,
}

impl History {
    /// With a sample every so often.
    pub fn new(every: Duration) -> Self {
        Self { every, kept: Mutex::default() }
    }

    /// How many deleted rows a database remembers, as last counted.
    pub fn tombstones(&self, name: &DatabaseName) -> Option<u64> {
        self.lock().tombstones.get(name).map(|tombstones| tombstones.count)
    }

    /// All of it, by name and number, the oldest first.
    pub fn to_json(&self) -> Value {
        let kept = self.lock();
        let whole = |part: fn(&Whole) -> u64| kept.whole.iter().map(part).collect::<Vec<_>>();
        let databases = kept.databases.iter().map(|(name, ring)| {
            let part = |part: fn(&Sample) -> u64| ring.iter().map(part).collect::<Vec<_>>();
            let shown = json!({
                "clients": part(|sample| sample.clients),
                "behind": part(|sample| sample.behind),
                "lag": part(|sample| sample.lag),
                "pending": part(|sample| sample.pending),
                "bytes": part(|sample| sample.bytes),
                "backup_age_s": part(|sample| sample.backup_age_s),
            });
            (name.to_string(), shown)
        });
        json!({
            "every_ms": u64::try_from(self.every.as_millis()).unwrap_or(u64::MAX),
            "clients": whole(|whole| whole.clients),
            "refusals": whole(|whole| whole.refusals),
            "commits": whole(|whole| whole.commits),
            "databases": databases.collect::<serde_json::Map<_, _>>(),
        })
    }

    /// Begins; it ends with the server.
    pub(crate) fn start(
        self: Arc<Self>,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        schedule: Arc<Schedule>,
        mut stopping: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(self.every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut before = (metrics.refusals(), metrics.commit_seconds.count());
            loop {
                let sample = async {
                    ticks.tick().await;
                    let now = (metrics.refusals(), metrics.commit_seconds.count());
                    let (refusals, commits) = (now.0 - before.0, now.1 - before.1);
                    before = now;
                    push(&mut self.lock().whole, Whole { clients: metrics.sockets(), refusals, commits });
                    self.sample(registry.all().await, &schedule).await;
                };
                tokio::select! {
                    () = sample => {}
                    // Also when nobody can say any more that it stops.
                    _ = stopping.wait_for(|stopping| *stopping) => return,
                }
            }
        })
    }

    /// Takes a sample of each database.
    async fn sample(&self, all: Vec<(DatabaseName, Condition)>, schedule: &Schedule) {
        self.forget(&all);
        let (backups, now_ms) = (schedule.records(), clock::wall_ms());
        let age = |last_ms: i64| u64::try_from(now_ms.saturating_sub(last_ms) / 1000).unwrap_or(0);
        for (name, condition) in all {
            let sample = match &condition {
                Condition::Open(database) => Sample::of(database),
                // Nobody is on it, and it is as long as it was.
                Condition::Idle => {
                    Sample { bytes: self.last(&name).map_or(0, |sample| sample.bytes), ..Sample::default() }
                }
                Condition::Opening | Condition::Failed(_) => Sample::default(),
            };
            let backup_age_s = backups.get(&name).and_then(|record| record.last_ms).map_or(0, age);
            self.add(&name, Sample { backup_age_s, ..sample });
            if let Condition::Open(database) = condition {
                self.count_tombstones(&name, &database).await;
            }
        }
    }

    fn add(&self, name: &DatabaseName, sample: Sample) {
        let mut kept = self.lock();
        if kept.databases.contains_key(name) || kept.databases.len() < MAX_DATABASES {
            push(kept.databases.entry(name.clone()).or_default(), sample);
        }
    }

    fn last(&self, name: &DatabaseName) -> Option<Sample> {
        self.lock().databases.get(name).and_then(|ring| ring.back().copied())
    }

    /// Makes room: what is gone, and what nobody has used for as long as is kept, has no history.
    fn forget(&self, all: &[(DatabaseName, Condition)]) {
        let is_there = |name: &DatabaseName| all.iter().any(|(other, _)| other == name);
        let mut kept = self.lock();
        kept.databases.retain(|name, ring| {
            is_there(name) && (ring.len() < HISTORY_SAMPLES || ring.iter().any(|sample| sample.clients > 0))
        });
        kept.tombstones.retain(|name, _| is_there(name));
    }

    /// Reads all clocks, so not often, and only where anything was written since.
    async fn count_tombstones(&self, name: &DatabaseName, database: &Database) {
        let head = database.published().borrow().head;
        let known = self.lock().tombstones.get(name).copied();
        if known.is_some_and(|known| known.head == head || known.counted.elapsed() < TOMBSTONES_EVERY) {
            return;
        }
        match database.tombstones().await {
            Ok(count) => {
                let tombstones = Tombstones { count, head, counted: Instant::now() };
                self.lock().tombstones.insert(name.clone(), tombstones);
            }
            Err(fault) => tracing::debug!(database = %name, "deleted rows could not be counted: {fault}"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        // Nothing in here can leave it half changed, so a panic elsewhere doesn't matter.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_in_time_and_in_number() {
        let history = History::new(Duration::from_secs(10));
        let name = |number: usize| DatabaseName::parse(&format!("db-{number}")).unwrap();
        for number in 0..MAX_DATABASES + 5 {
            history.add(&name(number), Sample { clients: 1, ..Sample::default() });
        }
        assert_eq!(history.lock().databases.len(), MAX_DATABASES);
        for bytes in 0..HISTORY_SAMPLES as u64 {
            history.add(&name(1), Sample { bytes, ..Sample::default() });
            history.add(&name(2), Sample { clients: 1, bytes, ..Sample::default() });
        }
        let shown = history.to_json();
        let bytes = shown["databases"]["db-1"]["bytes"].as_array().unwrap();
        assert_eq!((bytes.len(), &bytes[0]), (HISTORY_SAMPLES, &json!(0)), "the oldest is gone");
        // Of those that are there still, the one that nobody used for an hour makes room.
        history.forget(&[(name(1), Condition::Idle), (name(2), Condition::Idle)]);
        assert_eq!(history.lock().databases.keys().cloned().collect::<Vec<_>>(), [name(2)]);
    }
}
