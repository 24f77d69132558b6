//! Backups that a running server makes by itself: each database every so often, into `backups`.
//!
//! Where in the flow: beside it, one task for the life of the server; what became of the last one of each database is
//! read by `/status`, `/health` and `/metrics`. Never makes two at a time, and never opens a database for it: the file
//! is read as any other process would.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use greenlight_store::{BackupPlace, last_backup};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::backup::{BackupError, back_up_to, kept};
use crate::clock;
use crate::limits::{BACKUP_OVERDUE, BACKUP_RETRY, FIRST_BACKUP, SCHEDULE_LEAST, SCHEDULE_MOST};
use crate::name::DatabaseName;
use crate::registry::Registry;
use crate::settings::BackupPlan;

/// What became of the backups of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When the newest one was made, or found to hold everything still; milliseconds since 1970.
    pub last_ms: Option<i64>,
    /// Its length.
    pub bytes: u64,
    /// How often it failed since the start.
    pub failures: u64,
    /// Why it failed, if the last try did.
    pub error: Option<String>,
    /// Whether there should have been one long ago.
    pub is_overdue: bool,
}

impl Record {
    /// The word of a check.
    pub fn word(&self) -> &'static str {
        match self {
            Self { error: Some(_), .. } => "failed",
            Self { is_overdue: true, .. } => "overdue",
            _ => "ok",
        }
    }
}

/// Which files hold a database, and when they were written last.
type Stamps = [Option<(SystemTime, u64)>; 2];

#[derive(Clone, Debug)]
struct Entry {
    last_ms: Option<i64>,
    bytes: u64,
    failures: u64,
    error: Option<String>,
    /// Those of the newest backup, where this process made it.
    stamps: Option<Stamps>,
    /// Not before this.
    due: Instant,
    /// Since when there could have been one.
    known: Instant,
}

/// The backups of a server.
#[derive(Debug, Default)]
pub struct Schedule {
    plan: Option<BackupPlan>,
    entries: Mutex<BTreeMap<DatabaseName, Entry>>,
}

impl Schedule {
    /// By a plan, or none at all.
    pub fn new(plan: Option<BackupPlan>) -> Self {
        Self { plan, entries: Mutex::default() }
    }

    /// What became of each database's; nothing without a plan.
    pub fn records(&self) -> BTreeMap<DatabaseName, Record> {
        let Some(plan) = self.plan else { return BTreeMap::new() };
        let now_ms = clock::wall_ms();
        let overdue = plan.every * BACKUP_OVERDUE;
        let record = |entry: &Entry| {
            let age = match entry.last_ms {
                Some(last_ms) => Duration::from_millis(u64::try_from(now_ms - last_ms).unwrap_or(0)),
                None => entry.known.elapsed(),
            };
            let Entry { last_ms, bytes, failures, error, .. } = entry.clone();
            Record { last_ms, bytes, failures, error, is_overdue: age > overdue }
        };
        self.lock().iter().map(|(name, entry)| (name.clone(), record(entry))).collect()
    }

    /// Begins; it ends with the server, and cuts short what it is at.
    pub(crate) fn start(
        self: Arc<Self>,
        data: &Path,
        registry: Arc<Registry>,
        mut stopping: watch::Receiver<bool>,
    ) -> Option<JoinHandle<()>> {
        let plan = self.plan?;
        let data = data.to_owned();
        let every = (plan.every / 20).clamp(SCHEDULE_LEAST, SCHEDULE_MOST);
        Some(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    // Also when nobody can say any more that it stops.
                    _ = stopping.wait_for(|stopping| *stopping) => return,
                }
                let stop = Arc::new(AtomicBool::new(false));
                let (schedule, data, registry, told) = (self.clone(), data.clone(), registry.clone(), stop.clone());
                let mut round = tokio::task::spawn_blocking(move || schedule.round(plan, &data, &registry, &told));
                let ended = tokio::select! {
                    ended = &mut round => Some(ended),
                    _ = stopping.wait_for(|stopping| *stopping) => None,
                };
                let ended = match ended {
                    Some(ended) => ended,
                    None => {
                        stop.store(true, Ordering::Release);
                        round.await
                    }
                };
                if let Err(error) = ended {
                    tracing::error!("the scheduled backups failed: {error}");
                }
            }
        }))
    }

    /// Backs up what is due, one after the other.
    fn round(&self, plan: BackupPlan, data: &Path, registry: &Registry, stop: &Arc<AtomicBool>) {
        let names = match registry.existing() {
            Ok(names) => names,
            Err(error) => return tracing::warn!("the scheduled backups don't know what is there: {error}"),
        };
        self.lock().retain(|name, _| names.contains(name));
        for name in names {
            let entry = self.entry(&name, plan, data);
            if Instant::now() < entry.due || stop.load(Ordering::Acquire) {
                continue;
            }
            let entry = make(entry, &name, plan, data, stop);
            self.lock().insert(name, entry);
        }
    }

    /// What is known of a database; of one that is new here, by the backups that there are.
    fn entry(&self, name: &DatabaseName, plan: BackupPlan, data: &Path) -> Entry {
        if let Some(entry) = self.lock().get(name) {
            return entry.clone();
        }
        let now = Instant::now();
        let last = last_backup(&kept(data, name, plan.keep), &data.join(name.as_str()));
        let age = last.and_then(|(made, _)| made.elapsed().ok());
        let entry = Entry {
            last_ms: last.map(|(made, _)| milliseconds(made)),
            bytes: last.map_or(0, |(_, bytes)| bytes),
            failures: 0,
            error: None,
            stamps: None,
            due: now + age.map_or(plan.every.min(FIRST_BACKUP), |age| plan.every.saturating_sub(age)),
            known: now,
        };
        self.lock().insert(name.clone(), entry.clone());
        entry
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<DatabaseName, Entry>> {
        // Nothing in here can leave the map half changed, so a panic elsewhere doesn't matter.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a backup, unless the newest one holds everything still.
fn make(mut entry: Entry, name: &DatabaseName, plan: BackupPlan, data: &Path, stop: &Arc<AtomicBool>) -> Entry {
    // Before it is read: what is written meanwhile counts as not in it.
    let stamps = stamps(&data.join(name.as_str()));
    let again = Instant::now() + plan.every;
    if entry.error.is_none() && entry.stamps == Some(stamps) {
        return Entry { last_ms: Some(clock::wall_ms()), due: again, ..entry };
    }
    match back_up_to(data, name, &BackupPlace::Kept(kept(data, name, plan.keep)), stop) {
        Ok(made) => {
            tracing::info!(database = %name, bytes = made.bytes, head = made.head.version.get(), "backed up");
            let last_ms = Some(clock::wall_ms());
            Entry { last_ms, bytes: made.bytes, error: None, stamps: Some(stamps), due: again, ..entry }
        }
        // By an operator, or another server on the folder: looked at again soon.
        Err(BackupError::UnderWay(_)) => entry,
        // It was there a moment ago, or the server stops.
        Err(BackupError::NoDatabase(_) | BackupError::Store(greenlight_store::BackupError::Stopped)) => entry,
        Err(error) => {
            tracing::error!(database = %name, "the scheduled backup failed: {error}");
            entry.failures += 1;
            Entry { error: Some(error.to_string()), due: Instant::now() + plan.every.min(BACKUP_RETRY), ..entry }
        }
    }
}

fn stamps(file: &Path) -> Stamps {
    let stamp = |file: &Path| {
        let facts = std::fs::metadata(file).ok()?;
        // Whoever only reads leaves an empty log.
        (facts.len() > 0).then_some((facts.modified().ok()?, facts.len()))
    };
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    [stamp(file), stamp(Path::new(&log))]
}

fn milliseconds(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
