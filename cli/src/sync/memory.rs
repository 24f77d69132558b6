//! `sync-meta.json` at home: what this machine remembers of its exchanges.
//!
//! Where in the flow: read before anything is compared; an exchange is written down before the step that decides, and
//! confirmed after it. Never tells anybody else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use greenlight_store::portable::Head;
use serde::{Deserialize, Serialize};

use super::SyncError;
use super::meta::{FORMAT, Format, Meta, to_json};
use crate::durable;

/// The longest memory that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Histories that are remembered of a database; the one exchanged longest ago is forgotten first.
const MAX_HISTORIES: usize = 1_000;

/// A snapshot that was exchanged, and what the local database was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exchanged {
    #[serde(flatten)]
    pub(super) meta: Meta,
    /// Where it was, for a person.
    pub(super) remote: String,
    pub(super) head: Head,
    /// Whether it was encrypted there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) encrypted: bool,
}

/// Which way an exchange goes that is not known to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Push,
    Pull,
    Complete,
}

/// What is remembered of one history. An attempt is written down before its decisive step and becomes `last` after it:
/// whoever is killed in between finds out by what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Exchanged>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pushing: Option<Exchanged>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pulling: Option<Exchanged>,
}

/// What this machine remembers of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OfDatabase {
    /// By history.
    histories: BTreeMap<String, Memory>,
    /// Endings of the files beside the database that are a push's or a pull's own: what others made is not replaced.
    #[serde(default)]
    pub(super) made: BTreeSet<String>,
    /// Whether what the last pull kept was never pushed, so that no other pull may replace it.
    #[serde(default)]
    pub(super) kept_work: bool,
}

impl OfDatabase {
    /// How many histories are remembered.
    pub(super) fn len(&self) -> usize {
        self.histories.len()
    }

    /// What is remembered of a history.
    pub(super) fn of(&self, history: &str) -> Memory {
        self.histories.get(history).cloned().unwrap_or_default()
    }

    /// What was exchanged last with the place that is shown so.
    pub(super) fn with_place(&self, shown: &str) -> Option<&Exchanged> {
        let last = self.histories.values().filter_map(|memory| memory.last.as_ref());
        last.filter(|last| last.remote == shown).max_by_key(|last| &last.meta.last_synced_at)
    }

    /// Takes an exchange down.
    pub(super) fn remember(&mut self, exchanged: Exchanged, way: Way) {
        let memory = self.histories.entry(exchanged.meta.history.clone()).or_default();
        match way {
            Way::Push => memory.pushing = Some(exchanged),
            Way::Pull => memory.pulling = Some(exchanged),
            Way::Complete => *memory = Memory { last: Some(exchanged), ..Memory::default() },
        }
        while self.histories.len() > MAX_HISTORIES {
            let time = |memory: &Memory| memory.last.as_ref().map(|last| last.meta.last_synced_at.clone());
            let oldest = self.histories.iter().min_by_key(|(_, memory)| time(memory)).map(|(name, _)| name.clone());
            oldest.map(|name| self.histories.remove(&name));
        }
    }
}

/// What this machine remembers: of each database for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LocalMeta {
    format: u32,
    /// By the database's path, relative to the folder of this file where it lies below.
    databases: BTreeMap<PathBuf, OfDatabase>,
}

fn read_local(file: &Path) -> Result<LocalMeta, SyncError> {
    let mut bytes = Vec::new();
    match std::fs::File::open(file).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(LocalMeta { format: FORMAT, databases: BTreeMap::new() });
        }
        read => read.map_err(|source| SyncError::File { path: file.to_owned(), source })?,
    };
    let shown = || file.display().to_string();
    let unclear = |why: String| SyncError::Meta { place: shown(), why };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unclear(format!("it is longer than {MAX_BYTES} bytes")));
    }
    let format = Format::read(&bytes).map_err(unclear)?;
    if format > FORMAT {
        return Err(SyncError::NewerFormat { place: shown(), format });
    }
    serde_json::from_slice(&bytes).map_err(|error| unclear(error.to_string()))
}

/// What is remembered of a database; of one that is not known, nothing.
pub(super) fn remembered(file: &Path, db: &Path) -> Result<OfDatabase, SyncError> {
    Ok(read_local(file)?.databases.remove(&name_of(db, file)).unwrap_or_default())
}

/// Another database of this home that was exchanged with a history; of several the first by name.
pub(super) fn other_of(file: &Path, db: &Path, history: &str) -> Result<Option<PathBuf>, SyncError> {
    let own = name_of(db, file);
    let databases = read_local(file)?.databases.into_iter();
    let mut others = databases.filter(|(name, of)| *name != own && of.histories.contains_key(history));
    let beside = file.parent().unwrap_or(Path::new(""));
    Ok(others.next().map(|(name, _)| beside.join(name)))
}

/// Changes what is remembered of a database.
pub(super) fn change(file: &Path, db: &Path, change: impl FnOnce(&mut OfDatabase)) -> Result<(), SyncError> {
    let mut meta = read_local(file)?;
    change(meta.databases.entry(name_of(db, file)).or_default());
    let bytes = to_json(&meta)?;
    if let Some(folder) = file.parent() {
        durable::create_folder(folder).map_err(|source| SyncError::File { path: folder.to_owned(), source })?;
    }
    durable::write(file, &bytes).map_err(|source| SyncError::File { path: file.to_owned(), source })
}

fn name_of(db: &Path, file: &Path) -> PathBuf {
    file.parent().and_then(|folder| db.strip_prefix(folder).ok()).unwrap_or(db).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::meta::sample;

    fn exchanged(history: usize, second: usize, remote: &str) -> Exchanged {
        let last_synced_at = format!("2026-01-01T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
        let meta = Meta { history: format!("{history:032x}"), generation: second as u64, last_synced_at, ..sample() };
        Exchanged { meta, remote: remote.to_owned(), head: Head::Plain { content: String::new() }, encrypted: false }
    }

    #[test]
    fn the_history_that_was_exchanged_longest_ago_is_forgotten_first() {
        let mut memory = OfDatabase::default();
        // The first one is exchanged again at the end, so that the second is the oldest.
        for second in 0..MAX_HISTORIES {
            memory.remember(exchanged(second, second, "it"), Way::Complete);
        }
        memory.remember(exchanged(0, MAX_HISTORIES, "it"), Way::Complete);
        assert_eq!(memory.len(), MAX_HISTORIES);
        memory.remember(exchanged(MAX_HISTORIES, MAX_HISTORIES + 1, "it"), Way::Complete);
        let is_known = |history: usize| memory.of(&format!("{history:032x}")).last.is_some();
        assert_eq!(memory.len(), MAX_HISTORIES);
        assert!(is_known(0) && !is_known(1) && is_known(2) && is_known(MAX_HISTORIES));
    }

    #[test]
    fn of_a_place_the_last_exchange_counts_and_an_attempt_does_not() {
        let mut memory = OfDatabase::default();
        memory.remember(exchanged(1, 2, "there"), Way::Complete);
        memory.remember(exchanged(2, 1, "there"), Way::Complete);
        memory.remember(exchanged(3, 3, "there"), Way::Push);
        memory.remember(exchanged(4, 4, "elsewhere"), Way::Complete);
        let generation = |memory: &OfDatabase, place| memory.with_place(place).map(|last| last.meta.generation);
        assert_eq!(generation(&memory, "there"), Some(2));
        assert_eq!(generation(&memory, "nowhere"), None);
        // What is complete is no attempt any more.
        memory.remember(exchanged(3, 3, "there"), Way::Complete);
        let known = memory.of(&format!("{:032x}", 3));
        assert_eq!((generation(&memory, "there"), known.pushing, known.pulling), (Some(3), None, None));
    }
}
