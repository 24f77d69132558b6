//! A folder as a remote: a snapshot and `sync-meta.json`, on a stick, a mount, or a drive that something keeps in step.
//!
//! Where in the flow: behind [`SnapshotRemote`]. The meta is the remote's word, and replacing it is the one step that
//! counts: before it the new snapshot lies beside the old one under the name of its hash, after it that one gets the
//! name that it keeps: `db.sqlite`, or that and how it is packed. A reader looks for the hash's name first, so at
//! every moment there is the snapshot that the meta names. Never writes into a file that a reader may have open.

mod making;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use greenlight_store::portable;
use sha2::{Digest, Sha256};

use self::making::Making;
use super::kept::{self, Found, KEPT_PART, Slot};
use super::meta::{self, META, Meta, NAMES};
use super::report::{Progress, Stage};
use super::turn::Turn;
use super::{Replacement, SnapshotRemote, SyncError, has_room};
use crate::crash::{self, Point};
use crate::durable::{self, Readers};

/// How much is copied at a time, in bytes.
pub(super) const PIECE_BYTES: usize = 1024 * 1024;

/// A folder that holds a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderRemote {
    folder: PathBuf,
}

impl FolderRemote {
    /// The folder need not be there: a push makes it.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The names under which pushes by force have kept what they replaced.
    pub(crate) fn kept(&self) -> Vec<String> {
        kept::names().filter(|name| self.at(name).symlink_metadata().is_ok()).collect()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where a snapshot is from when it is complete until it has the name that it keeps.
    fn by_hash(&self, meta: &Meta) -> PathBuf {
        self.at(&format!("{}.{}", meta.name(), meta.stored().0))
    }

    /// Removes what had another name, since it was packed otherwise.
    fn clear(&self, meta: &Meta) -> Result<(), SyncError> {
        for name in NAMES.into_iter().filter(|name| *name != meta.name()) {
            let path = self.at(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.map_err(|source| failed(&path, source))?,
            }
        }
        Ok(())
    }

    /// Where what is there is kept, by what is kept there already.
    fn slot(&self, there: &Meta) -> Result<Slot, SyncError> {
        let found: Vec<_> = kept::names().map(|name| found_at(&self.at(&name), there)).collect();
        kept::choose(there, &self.shown(), &found)
    }

    /// Keeps what is there, in a folder that gets its name when it is complete. Tells where; a meta without its snapshot
    /// is nothing that could be kept.
    fn keep(&self, there: &Meta) -> Result<Option<String>, SyncError> {
        if !is_file(&self.at(there.name()))? {
            return Ok(None);
        }
        let slot = self.slot(there)?;
        let place = self.at(&slot.name);
        if !slot.is_filled {
            let not_kept = |source| failed(&place, source);
            let making = Making::begin(&self.folder, KEPT_PART).map_err(not_kept)?;
            making.take(there.name()).map_err(|source| failed(&self.at(there.name()), source))?;
            let bytes = meta::read_limited(&self.at(META)).map_err(|source| failed(&self.at(META), source))?;
            if !Meta::parse(&bytes, &self.shown())?.is_same(there) {
                return Err(SyncError::Raced(self.shown()));
            }
            making.write(META, &bytes).and_then(|()| making.finish(&slot.name)).map_err(not_kept)?;
            sync(&self.folder)?;
        }
        crash::point(Point::RemoteKept);
        Ok(Some(place.display().to_string()))
    }

    /// Finishes what a push was cut off in, and removes what another one left half-way.
    fn settle(&self, there: Option<&Meta>) -> Result<(), SyncError> {
        self.clear_kept_part()?;
        if let Some(meta) = there {
            let named = self.by_hash(meta);
            if is_file(&named)? {
                rename(&named, &self.at(meta.name()))?;
                sync(&self.folder)?;
            }
            self.clear(meta)?;
        }
        let entries = std::fs::read_dir(&self.folder).map_err(|source| failed(&self.folder, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| failed(&self.folder, source))?;
            let name = entry.file_name();
            if name.to_str().is_some_and(is_rest) {
                std::fs::remove_file(entry.path()).map_err(|source| failed(&entry.path(), source))?;
            }
        }
        Ok(())
    }

    /// Removes what has the name of a folder that is being made, whatever it is; of a link itself, and not what it leads
    /// to.
    fn clear_kept_part(&self) -> Result<(), SyncError> {
        let part = self.at(KEPT_PART);
        let removed = match part.symlink_metadata() {
            Ok(facts) if facts.is_dir() => std::fs::remove_dir_all(&part),
            Ok(_) => std::fs::remove_file(&part),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(|source| failed(&part, source))
    }

    /// Everything up to the decisive step: the snapshot lies there under its hash, checked and on disk.
    fn lay_down(&self, file: &Path, meta: &Meta, progress: Progress<'_>) -> Result<(), SyncError> {
        let named = self.by_hash(meta);
        let part = named.with_added_extension("part");
        let laid = copy(file, &part, meta.stored().1, &mut |done, of| {
            progress(Stage::Sending, done, of);
            if done * 2 >= of {
                crash::point(Point::RemoteHalf);
            }
        })
        .and_then(|()| {
            crash::point(Point::RemoteCopied);
            // Read again from where it is now: what a bad stick made of it is found here and not at the pull. What was
            // hashed is compared byte by byte, which proves the same as a second hash and costs a fraction of it.
            if !reads_the_same(file, &part)? {
                let why = "what was written there reads otherwise".to_owned();
                return Err(SyncError::Unfinished { remote: self.shown(), why });
            }
            rename(&part, &named)?;
            sync(&self.folder)
        });
        laid.inspect_err(|_| {
            // Of a remote that is gone nothing can be removed; the next push does.
            drop(std::fs::remove_file(&part));
        })
    }
}

impl SnapshotRemote for FolderRemote {
    fn shown(&self) -> String {
        self.folder.display().to_string()
    }

    fn meta(&self) -> Result<Option<Meta>, SyncError> {
        let path = self.at(META);
        match meta::read_limited(&path) {
            Ok(bytes) => Meta::parse(&bytes, &path.display().to_string()).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if let Some(name) = NAMES.into_iter().find(|name| self.at(name).exists()) {
                    let why = format!("there is a {name}, and no {META} beside it that says what it is; move it away");
                    return Err(SyncError::Meta { place: self.shown(), why });
                }
                Ok(None)
            }
            Err(source) => Err(failed(&path, source)),
        }
    }

    fn fetch(&self, meta: &Meta, target: &Path, progress: Progress<'_>) -> Result<(), SyncError> {
        let path = self.at(meta.name());
        let source = match durable::open(&self.by_hash(meta)) {
            Err(error) if error.kind() == ErrorKind::NotFound => durable::open(&path),
            opened => opened,
        };
        let unfinished = |why: String| SyncError::Unfinished { remote: self.shown(), why };
        let mut source = match source {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(unfinished(format!("there is no {}", meta.name())));
            }
            source => source.map_err(|source| failed(&path, source))?,
        };
        let bytes = source.metadata().map_err(|source| failed(&path, source))?.len();
        let (stored_hash, stored_bytes) = meta.stored();
        if bytes != stored_bytes {
            return Err(unfinished(otherwise_long(bytes, stored_bytes)));
        }
        let here = |source| SyncError::File { path: target.to_owned(), source };
        let mut file = durable::create(target, Readers::Owner).map_err(here)?;
        let mut hash = Sha256::new();
        let mut done = 0;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = source.read(&mut piece).map_err(|source| failed(&path, source))?;
            if read == 0 {
                break;
            }
            hash.update(&piece[..read]);
            file.write_all(&piece[..read]).map_err(here)?;
            done += read as u64;
            progress(Stage::Fetching, done, bytes);
        }
        file.sync_all().map_err(here)?;
        let hash = hex(&hash.finalize());
        if hash != stored_hash {
            return Err(unfinished(format!("its hash is {hash} instead of {stored_hash}")));
        }
        Ok(())
    }

    fn flaw(&self, there: &Meta) -> Result<Option<String>, SyncError> {
        let (path, expected) = (self.at(there.name()), there.stored().1);
        match std::fs::metadata(self.by_hash(there)).or_else(|_| std::fs::metadata(&path)) {
            Ok(facts) if !facts.is_file() => Ok(Some(format!("{} is no file", there.name()))),
            Ok(facts) if facts.len() == expected => Ok(None),
            Ok(facts) => Ok(Some(otherwise_long(facts.len(), expected))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(format!("there is no {}", there.name()))),
            Err(source) => Err(failed(&path, source)),
        }
    }

    fn has_room(&self, bytes: u64) -> Result<(), SyncError> {
        // A push makes the folder, in one that is there.
        let there = self.folder.ancestors().find(|above| above.is_dir());
        there.map_or(Ok(()), |there| has_room(there, bytes))
    }

    fn place_to_keep(&self, there: &Meta) -> Result<String, SyncError> {
        Ok(self.at(&self.slot(there)?.name).display().to_string())
    }

    fn replace(&self, order: &Replacement<'_>, progress: Progress<'_>) -> Result<Option<String>, SyncError> {
        let Replacement { seen, keeps, file, meta } = *order;
        std::fs::create_dir_all(&self.folder).map_err(|source| failed(&self.folder, source))?;
        let turn = Turn::take(&self.folder, &self.shown())?;
        crash::point(Point::RemoteLocked);
        let is_seen = |there: &Option<Meta>| match (there, seen) {
            (None, None) => true,
            (Some(there), Some(seen)) => there.is_same(seen),
            _ => false,
        };
        let there = self.meta()?;
        if !is_seen(&there) {
            return Err(SyncError::Raced(self.shown()));
        }
        self.settle(there.as_ref())?;
        has_room(&self.folder, meta.stored().1)?;
        self.lay_down(file, meta, progress)?;
        crash::point(Point::RemoteNamed);
        // What was kept stays, whatever comes of this: the next one finds it.
        let named = self.by_hash(meta);
        let kept = there.as_ref().filter(|_| keeps).map(|there| self.keep(there)).transpose().inspect_err(|_| {
            // What can't be removed now is by the next push.
            drop(std::fs::remove_file(&named));
            drop(self.clear_kept_part());
        })?;
        if !turn.is_held() || !is_seen(&self.meta()?) {
            drop(std::fs::remove_file(&named));
            return Err(SyncError::Raced(self.shown()));
        }
        let path = self.at(META);
        if let Err(source) = durable::write(&path, &meta::to_json(meta)?) {
            // Only where the meta certainly does not name it: what can't be read may be the new one.
            if self.meta().is_ok_and(|there| is_seen(&there)) {
                drop(std::fs::remove_file(&named));
            }
            return Err(failed(&path, source));
        }
        crash::point(Point::RemoteMeta);
        // Done already. Should this fail, readers find it by its hash, and the next push finishes it.
        if let Err(error) = rename(&named, &self.at(meta.name())).and_then(|()| sync(&self.folder)) {
            tracing::warn!("the snapshot keeps the name of its hash for now: {error}");
        }
        crash::point(Point::RemotePlaced);
        if let Err(error) = self.clear(meta) {
            tracing::warn!("what was packed otherwise stays for now: {error}");
        }
        crash::point(Point::RemoteCleared);
        Ok(kept.flatten())
    }
}

/// Whether there is a file of this name. What is none stays, and is told.
fn is_file(path: &Path) -> Result<bool, SyncError> {
    match path.symlink_metadata() {
        Ok(facts) if facts.is_file() => Ok(true),
        Ok(facts) => Err(failed(path, making::refused(facts.is_symlink()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(failed(path, source)),
    }
}

/// That what is stored has another length than its meta says.
pub(super) fn otherwise_long(found: u64, expected: u64) -> String {
    format!("it has {found} bytes instead of {expected}")
}

/// What is in a folder that may keep a snapshot. That it is just the one that is there is believed where its hash says
/// so: something else may have written into it, and what is there may be the last that is whole.
fn found_at(folder: &Path, there: &Meta) -> Found {
    match folder.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Found::Nothing,
        Ok(facts) if facts.is_dir() => {}
        _ => return Found::Unclear,
    }
    let remote = FolderRemote::new(folder);
    let Ok(Some(meta)) = remote.meta() else { return Found::Unclear };
    let stored = remote.at(meta.name());
    let (hash, bytes) = meta.stored();
    // What can't be read is kept once more.
    let is_it =
        || is_file(&stored).unwrap_or(false) && hash_of(&stored).is_ok_and(|found| found == (hash.into(), bytes));
    let is_whole = if meta.is_same(there) { is_it() } else { remote.flaw(&meta).is_ok_and(|flaw| flaw.is_none()) };
    if is_whole { Found::Snapshot(Box::new(meta)) } else { Found::Unclear }
}

/// Whether it is the name of what a push was cut off in: that of a snapshot, its hash, and maybe `.part`.
fn is_rest(name: &str) -> bool {
    let whole = name.strip_suffix(".part").unwrap_or(name);
    whole.rsplit_once('.').is_some_and(|(name, hash)| {
        NAMES.contains(&name) && hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Copies to a new file and has it on disk.
fn copy(from: &Path, to: &Path, of: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<(), SyncError> {
    let here = |source| SyncError::File { path: from.to_owned(), source };
    let mut source = File::open(from).map_err(here)?;
    let mut file = durable::create(to, Readers::Anybody).map_err(|source| failed(to, source))?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut done = 0;
    loop {
        let read = source.read(&mut piece).map_err(here)?;
        if read == 0 {
            break;
        }
        file.write_all(&piece[..read]).map_err(|source| failed(to, source))?;
        done += read as u64;
        progress(done, of);
    }
    file.sync_all().map_err(|source| failed(to, source))
}

/// Whether what was written is what it was copied from, by the medium's word and not by what memory still has of it.
fn reads_the_same(from: &Path, written: &Path) -> Result<bool, SyncError> {
    let here = |source| SyncError::File { path: from.to_owned(), source };
    let there = |source| failed(written, source);
    let (mut source, mut copy) = (File::open(from).map_err(here)?, durable::open(written).map_err(there)?);
    durable::forget(&copy);
    let (mut expected, mut found) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    loop {
        let read = source.read(&mut expected).map_err(here)?;
        match copy.read_exact(&mut found[..read]) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            read => read.map_err(there)?,
        }
        if expected[..read] != found[..read] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(copy.read(&mut found).map_err(there)? == 0);
        }
    }
}

/// A file's SHA-256 and length.
fn hash_of(path: &Path) -> io::Result<(String, u64)> {
    durable::open(path).and_then(portable::hash_of)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rename(from: &Path, to: &Path) -> Result<(), SyncError> {
    std::fs::rename(from, to).map_err(|source| failed(to, source))
}

fn sync(folder: &Path) -> Result<(), SyncError> {
    durable::sync_folder(folder).map_err(|source| failed(folder, source))
}

fn failed(path: &Path, source: io::Error) -> SyncError {
    SyncError::Remote { path: path.to_owned(), source }
}
