//! Notices writes to the data folder by other processes.
//!
//! Where in the flow: tells the open database to look; the database itself knows what is new. An event that is
//! missed is made up for by the database's heartbeat. Never reads a database, never opens one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::name::DatabaseName;
use crate::registry::{Condition, Registry};

/// Names that may wait to be looked at; one that finds no room is seen with the heartbeat.
const EVENTS_KEPT: usize = 1_024;
/// How long events of one write are gathered before the database is told.
const GATHER: Duration = Duration::from_millis(10);

/// Watches until the handle is dropped.
pub(crate) struct Watching {
    _watcher: Option<notify::RecommendedWatcher>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to watch, by events, or by looking every so often.
///
/// # Errors
/// When the file system gives no events; then `--poll` does.
pub(crate) fn watch(folder: &Path, poll: Option<Duration>, registry: Arc<Registry>) -> Result<Watching, notify::Error> {
    if let Some(every) = poll {
        let task = tokio::spawn(look_every(every, folder.to_owned(), registry));
        return Ok(Watching { _watcher: None, task });
    }
    let (seen, names) = mpsc::channel(EVENTS_KEPT);
    let mut watcher = notify::recommended_watcher(move |event: Result<notify::Event, notify::Error>| match event {
        Ok(event) if event.kind.is_access() => {}
        Ok(event) => {
            for name in event.paths.iter().filter_map(|path| DatabaseName::of_file(path.file_name()?.to_str()?)) {
                if seen.try_send(name).is_err() {
                    tracing::debug!("more file events than are kept; the heartbeat sees the rest");
                }
            }
        }
        Err(error) => tracing::warn!("a file event was lost: {error}"),
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(Watching { _watcher: Some(watcher), task: tokio::spawn(tell(names, registry)) })
}

/// Gathers events, then tells each database once.
async fn tell(mut names: mpsc::Receiver<DatabaseName>, registry: Arc<Registry>) {
    while let Some(first) = names.recv().await {
        tokio::time::sleep(GATHER).await;
        let mut gathered = vec![first];
        while let Ok(name) = names.try_recv() {
            gathered.push(name);
        }
        gathered.sort_unstable();
        gathered.dedup();
        for name in gathered {
            if let Some(database) = registry.peek(&name).await {
                database.notice();
            }
        }
    }
}

/// What tells that a file was written.
type Stamp = Option<(SystemTime, u64)>;

async fn look_every(every: Duration, folder: std::path::PathBuf, registry: Arc<Registry>) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: HashMap<DatabaseName, [Stamp; 2]> = HashMap::new();
    loop {
        ticks.tick().await;
        for (name, condition) in registry.all().await {
            let Condition::Open(database) = condition else { continue };
            let log = format!("{name}-wal");
            let stamps = [stamp(&folder.join(name.as_str())), stamp(&folder.join(log))];
            if before.insert(name, stamps) != Some(stamps) {
                database.notice();
            }
        }
    }
}

fn stamp(file: &Path) -> Stamp {
    let facts = std::fs::metadata(file).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}
