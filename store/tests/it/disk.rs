//! A disk that loses, tears and fails: what a folder would be after a power cut, and faults on demand.
//!
//! Where in the flow: below SQLite, as the file system of one folder (`vfs` puts it there). What SQLite has synced is
//! kept; of what it wrote later, any part may survive, sector by sector, in any file. It knows nothing of databases, and
//! never changes what SQLite reads while the power is on.
//!
//! What is assumed, as SQLite does: a sector is written whole or not; writing a part of one leaves its other bytes alone
//! (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`); a file that is synced has its name too; and the folder is synced with the first
//! sync of a new journal or log, as SQLite's own file system does it (`UNIXFILE_DIRSYNC`).

mod vfs;

use std::collections::BTreeMap;
use std::os::raw::c_int;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::peers::random;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What is asked of a disk and may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Open,
    Read,
    Write,
    Sync,
    Truncate,
    Delete,
}

/// What fails, from its `nth` occurrence on, or then alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) nth: u64,
    /// SQLite's code for it.
    pub(crate) code: c_int,
    /// Whether it goes on until it is mended.
    pub(crate) stays: bool,
}

/// Something done to a file that need not be on the disk yet.
#[derive(Clone, Debug)]
enum Later {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { length: usize },
}

/// One file's content, whatever its name.
#[derive(Clone, Debug, Default)]
struct Content {
    synced: Vec<u8>,
    later: Vec<Later>,
    /// Whether its first sync is the folder's too.
    syncs_folder: bool,
}

/// Which contents a name may stand for after a cut: the first is certain, the last is what the name means now.
type Meanings = Vec<Option<usize>>;

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    names: BTreeMap<PathBuf, Meanings>,
    /// What was done, by kind.
    done: BTreeMap<Kind, u64>,
    /// Everything that changes something, counted.
    changes: u64,
    cut_at: Option<u64>,
    is_cut: bool,
    failure: Option<Failure>,
    has_failed: bool,
}

/// The disk under a folder, as long as it lives.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Disk {
    /// Begins with an empty folder.
    pub(crate) fn under(folder: &Path) -> Self {
        let disk = Self { folder: folder.canonicalize().unwrap(), state: Arc::default() };
        vfs::put_under(&disk);
        disk
    }

    /// Cuts the power just before the `nth` change from now on.
    pub(crate) fn cut_at(&self, nth: u64) {
        self.with(|state| state.cut_at = Some(state.changes + nth));
    }

    /// Whether the power is off: nothing is done any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.with(|state| state.is_cut)
    }

    /// Has something fail; counted from now on.
    pub(crate) fn fail(&self, failure: Failure) {
        self.with(|state| {
            (state.failure, state.has_failed) = (Some(failure), false);
            state.done.clear();
        });
    }

    /// Mends it; whether anything has failed.
    pub(crate) fn mend(&self) -> bool {
        self.with(|state| {
            state.failure = None;
            state.has_failed
        })
    }

    /// Writes the folder as it might be found after a cut at this moment.
    pub(crate) fn after_cut(&self, seed: u64, into: &Path) {
        let mut random = random(seed);
        self.with(|state| {
            for (name, meanings) in &state.names {
                let meaning = meanings[random() as usize % meanings.len()];
                let Some(content) = meaning.map(|content| &state.contents[content]) else { continue };
                let name = name.strip_prefix(&self.folder).unwrap();
                std::fs::write(into.join(name), content.after_cut(&mut random)).unwrap();
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap())
    }

    /// What an operation is answered instead of being done.
    fn refusal(&self, kind: Kind) -> Option<c_int> {
        self.with(|state| {
            if state.cut_at.is_some_and(|at| state.changes >= at) && kind != Kind::Read {
                state.is_cut = true;
            }
            if state.is_cut {
                return Some(rusqlite::ffi::SQLITE_IOERR);
            }
            if !matches!(kind, Kind::Read | Kind::Open) {
                state.changes += 1;
            }
            let done = state.done.entry(kind).or_default();
            *done += 1;
            let failure = state.failure.filter(|failure| failure.kind == kind)?;
            let fails = *done == failure.nth || (failure.stays && *done > failure.nth);
            state.has_failed |= fails;
            fails.then_some(failure.code)
        })
    }

    /// The content that a name stands for; made where there is none, for a journal or log as one that `syncs_folder`.
    fn opened(&self, name: &Path, syncs_folder: bool) -> usize {
        self.with(|state| {
            let meanings = state.names.entry(name.to_owned()).or_insert_with(|| vec![None]);
            if let Some(Some(content)) = meanings.last() {
                return *content;
            }
            let content = state.contents.len();
            meanings.push(Some(content));
            state.contents.push(Content { syncs_folder, ..Content::default() });
            content
        })
    }

    fn wrote(&self, content: usize, at: usize, bytes: &[u8]) {
        self.with(|state| state.contents[content].later.push(Later::Write { at, bytes: bytes.to_owned() }));
    }

    fn truncated(&self, content: usize, length: usize) {
        self.with(|state| state.contents[content].later.push(Later::Truncate { length }));
    }

    fn synced(&self, content: usize) {
        self.with(|state| {
            let whole_folder = std::mem::take(&mut state.contents[content].syncs_folder);
            for meanings in state.names.values_mut() {
                if whole_folder || meanings.last() == Some(&Some(content)) {
                    meanings.drain(..meanings.len() - 1);
                }
            }
            let content = &mut state.contents[content];
            for later in std::mem::take(&mut content.later) {
                content.synced = later.applied(std::mem::take(&mut content.synced), |_| true);
            }
        });
    }

    /// A sync that failed: the system has given up on what was to be written, and will not try again.
    fn sync_failed(&self, content: usize) {
        self.with(|state| {
            let mut random = random(state.changes);
            let content = &mut state.contents[content];
            content.synced = content.after_cut(&mut random);
            content.later.clear();
        });
    }

    fn deleted(&self, name: &Path, is_synced: bool) {
        self.with(|state| {
            let Some(meanings) = state.names.get_mut(name) else { return };
            if is_synced {
                meanings.clear();
            }
            meanings.push(None);
        });
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The other one is the file system's.
        if Arc::strong_count(&self.state) <= 2 {
            vfs::take_away(&self.folder);
        }
    }
}

impl Content {
    fn after_cut(&self, random: &mut impl FnMut() -> u64) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        // Nothing of what is not synced, all of it, or any part.
        let likely = [0, 2, 5, 8, 10][random() as usize % 5];
        for later in &self.later {
            bytes = later.clone().applied(bytes, |_| random() % 10 < likely);
        }
        bytes
    }
}

impl Later {
    /// What becomes of a file's bytes where `survives` says so of each sector, or of the new length.
    fn applied(self, mut bytes: Vec<u8>, mut survives: impl FnMut(usize) -> bool) -> Vec<u8> {
        match self {
            Self::Truncate { length } => {
                if survives(length / SECTOR) {
                    bytes.resize(length, 0);
                }
            }
            Self::Write { at, bytes: written } => {
                let mut from = 0;
                while from < written.len() {
                    let to = written.len().min((at + from) / SECTOR * SECTOR + SECTOR - at);
                    let (start, end) = (at + from, at + to);
                    if survives(start / SECTOR) {
                        bytes.resize(bytes.len().max(end), 0);
                        bytes[start..end].copy_from_slice(&written[from..to]);
                    } else if end > bytes.len() && survives(start / SECTOR) {
                        // The length is on the disk, and what belongs there is not.
                        bytes.resize(end, 0);
                    }
                    from = to;
                }
            }
        }
        bytes
    }
}

#[test]
fn what_is_synced_stays_and_what_is_not_may_be_torn() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::under(folder.path());
    let name = disk.folder.join("file");
    let content = disk.opened(&name, false);
    disk.wrote(content, 0, &[1; 4 * SECTOR]);
    disk.synced(content);
    disk.wrote(content, 100, &[2; 4 * SECTOR]);
    disk.truncated(content, 3 * SECTOR);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let into = tempfile::tempdir().unwrap();
        disk.after_cut(seed, into.path());
        let bytes = std::fs::read(into.path().join("file")).unwrap();
        assert_eq!(bytes[..100], [1; 100]);
        for at in (100..bytes.len().min(4 * SECTOR)).filter(|at| at % SECTOR != 0 && *at != 100) {
            assert_eq!(bytes[at], bytes[at - 1], "a sector is written whole or not");
        }
        seen.insert((bytes.len(), bytes.iter().filter(|byte| **byte == 2).count()));
    }
    assert!(seen.len() > 5, "{seen:?}");
    disk.deleted(&name, false);
    let left = (0..20).filter(|seed| {
        let into = tempfile::tempdir().unwrap();
        disk.after_cut(*seed, into.path());
        into.path().join("file").exists()
    });
    assert!((1..20).contains(&left.count()), "a name that is not synced may be there or not");
}
