//! Syncing with a remote, as a library: `status`, `push`, `pull`, of which the commands only print what they return.
//!
//! Where in the flow: above the remotes. Two families of remotes exist and share nothing but their address:
//!
//! * A [`SnapshotRemote`] holds one whole database and what is to be known of it, and answers three things: what is
//!   there, give it to me, put this in its place if what is there is still what I saw. A folder is one, a bucket of an
//!   object store another; how a snapshot is packed there is one layer above both.
//! * A live remote speaks the protocol and always merges, so that there is nothing to compare and nothing to force:
//!   [`Client`](crate::Client) brings both in step.
//!
//! Of two snapshots one wins, and only where that loses nothing or somebody says so; or, where both are replicas, a pull
//! merges them. Never merges unasked.

mod error;
mod folder;
mod judge;
mod kept;
mod lock;
mod memory;
mod meta;
mod packed;
mod packing;
mod pull;
mod push;
mod report;
mod s3;
mod turn;

use std::fmt;
use std::path::{Path, PathBuf};

use greenlight_store::portable;

use crate::room;

pub use self::error::SyncError;
pub use self::folder::FolderRemote;
pub use self::judge::Relation;
pub use self::lock::Holder;
pub(crate) use self::lock::{Found as FoundLock, look as look_at_lock, machine};
pub use self::meta::{FORMAT, Meta, PACKED_FORMAT, Payload};
pub use self::packing::{Compression, Encryption, PASSPHRASE_VARIABLE, Packing, Passphrase};
pub use self::report::{LocalSide, Progress, Stage, SyncResult, SyncStatus};
pub use self::s3::{S3Place, S3PlaceError, S3Remote};

use self::judge::Known;
use self::memory::{Exchanged, Way};
use self::packed::{PackedRemote, packed_beside};

/// The span of a command: what with what, and once it is known, how both stood.
macro_rules! span {
    ($name:literal, $config:expr) => {
        tracing::info_span!(
            $name,
            remote = %$config.remote,
            project = $config.project,
            scenario = tracing::field::Empty,
        )
    };
}

/// What is synced with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncConfig {
    /// The local database.
    pub local_db: PathBuf,
    /// Where it is remembered what was exchanged last.
    pub local_meta: PathBuf,
    /// The lock against two syncs at once.
    pub lock: PathBuf,
    /// The remote.
    pub remote: Place,
    /// How a push packs what it stores there.
    pub packing: Packing,
    /// What the database is a copy of; a remote of another project is foreign.
    pub project: String,
    /// The newest schema that whoever uses the database here can handle (a replica's schema number, a plain database's
    /// `user_version`); `None` takes any.
    pub max_schema: Option<u64>,
}

/// Where a remote is that holds snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A bucket of an object store.
    S3(S3Place),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::S3(place) => place.fmt(f),
        }
    }
}

impl SyncConfig {
    /// The remote, through the layer that packs.
    fn open(&self) -> Result<PackedRemote, SyncError> {
        let inner: Box<dyn SnapshotRemote> = match &self.remote {
            Place::Folder(folder) => Box::new(FolderRemote::new(folder)),
            Place::S3(place) => Box::new(S3Remote::new(place)?),
        };
        Ok(PackedRemote::new(inner, self.packing.clone()))
    }
}

/// A place that stores one snapshot, packed or as it is. Whoever implements it promises that, wherever a `replace` is cut
/// off, `fetch` still gives what `meta` tells.
pub trait SnapshotRemote {
    /// Where it is, for a person.
    fn shown(&self) -> String;

    /// What is there; `None` where nothing is yet.
    ///
    /// # Errors
    /// [`SyncError`]: out of reach, or not understood.
    fn meta(&self) -> Result<Option<Meta>, SyncError>;

    /// Writes what is stored there of the snapshot that `meta` tells of to `target`, in a new file that only this person
    /// may read, checks it by its hash, and has it on disk.
    ///
    /// # Errors
    /// [`SyncError`]; then nothing of use is at `target`.
    fn fetch(&self, meta: &Meta, target: &Path, progress: Progress<'_>) -> Result<(), SyncError>;

    /// What is wrong with what is stored there, as far as its length tells; `None` where nothing is.
    ///
    /// # Errors
    /// [`SyncError`]: out of reach.
    fn flaw(&self, there: &Meta) -> Result<Option<String>, SyncError>;

    /// Whether a push would pack as what is there is packed; a place that packs nothing has no wish.
    fn is_packed_as_wanted(&self, _there: &Meta) -> bool {
        true
    }

    /// Whether there is room for so many bytes, as far as the place tells; one that can't tell refuses nothing.
    ///
    /// # Errors
    /// [`SyncError::NoRoom`].
    fn has_room(&self, _bytes: u64) -> Result<(), SyncError> {
        Ok(())
    }

    /// Where a replacement that keeps what is there would have it, for a person: the address of a remote.
    ///
    /// # Errors
    /// [`SyncError::KeptFull`] where there is no room for another one.
    fn place_to_keep(&self, there: &Meta) -> Result<String, SyncError>;

    /// Replaces what is there, if that is still what was seen. Tells where that is kept, if it is.
    ///
    /// # Errors
    /// [`SyncError::Raced`] if it is not; then, and after any other error, what was there is there.
    fn replace(&self, order: &Replacement<'_>, progress: Progress<'_>) -> Result<Option<String>, SyncError>;
}

/// What takes the place of what is there.
#[derive(Clone, Copy, Debug)]
pub struct Replacement<'a> {
    /// What was there when it was looked at.
    pub seen: Option<&'a Meta>,
    /// Whether that is kept, since this does not come from it.
    pub keeps: bool,
    /// The file that is stored.
    pub file: &'a Path,
    /// What is to be known of it.
    pub meta: &'a Meta,
}

/// How the local database and the remote stand to each other. Changes nothing.
///
/// # Errors
/// [`SyncError`].
pub fn status(config: &SyncConfig) -> Result<SyncStatus, SyncError> {
    let span = span!("cli.sync.status", config);
    let _entered = span.enter();
    let remote = config.open()?;
    let known = know(config, &remote)?;
    span.record("scenario", known.relation.word());
    let flaw = known.there.as_ref().map_or(Ok(None), |there| remote.flaw(there))?;
    tracing::info!("looked");
    Ok(report::status(config, &remote, &known, flaw))
}

/// Makes the remote hold what is here. Without `force` only where that loses nothing; with `dry_run` it only says what
/// it would do.
///
/// # Errors
/// [`SyncError`]; the remote is as it was, or holds what is here.
pub fn push(config: &SyncConfig, how: How, progress: Progress<'_>) -> Result<SyncResult, SyncError> {
    let span = span!("cli.sync.push", config);
    let _entered = span.enter();
    let result = push::run(config, how, &span, progress);
    log(&result);
    result
}

/// Makes the local database hold what the remote holds. Without `force` only where that loses nothing.
///
/// # Errors
/// [`SyncError`]; the local database is as it was, or holds what the remote does.
pub fn pull(config: &SyncConfig, how: How, progress: Progress<'_>) -> Result<SyncResult, SyncError> {
    let span = span!("cli.sync.pull", config);
    let _entered = span.enter();
    let result = pull::run(config, how, &span, progress);
    log(&result);
    result
}

/// How a push or a pull is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// The other side loses where both have moved.
    pub force: bool,
    /// A pull keeps both sides' changes where both have moved; for replicas alone. A push has no use for it.
    pub merge: bool,
    /// Only say what it would do.
    pub dry_run: bool,
}

fn log(result: &Result<SyncResult, SyncError>) {
    match result {
        Ok(result) => tracing::info!(changed = result.changed, generation = result.generation, "done"),
        Err(error) => tracing::warn!("{error}"),
    }
}

/// How many remotes' histories are remembered in a home. Changes nothing.
pub(crate) fn remembered(local_meta: &Path, local_db: &Path) -> Result<usize, SyncError> {
    memory::remembered(local_meta, local_db).map(|memory| memory.len())
}

/// Both sides as they are now.
fn know(config: &SyncConfig, remote: &dyn SnapshotRemote) -> Result<Known, SyncError> {
    let there = remote.meta()?;
    let present = match std::fs::metadata(&config.local_db) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        _ => Some(look(&config.local_db)?),
    };
    let memory = memory::remembered(&config.local_meta, &config.local_db)?;
    let mut known = judge::judge(present, there, memory, &config.project, &remote.shown());
    if let (None, Some(there)) = (&known.base, &known.there)
        && let Some(other) = memory::other_of(&config.local_meta, &config.local_db, &there.history)?
    {
        // Whoever leaves out --db this time means that one, or means to have a second.
        let why = known.why.as_deref().unwrap_or("there is no database here");
        let other = crate::output::quoted(&other.display().to_string());
        known.why = Some(format!("{why}; what was exchanged with the remote is --db {other}"));
    }
    Ok(known)
}

/// The same under the lock: an attempt that arrived before its program died is confirmed first, since what shows it may
/// change with the next write.
fn know_and_confirm(config: &SyncConfig, remote: &dyn SnapshotRemote) -> Result<Known, SyncError> {
    let known = know(config, remote)?;
    if let Some(base) = known.base.clone().filter(|_| known.unconfirmed) {
        remember(config, base, Way::Complete)?;
    }
    Ok(known)
}

fn look(db: &Path) -> Result<portable::Present, SyncError> {
    portable::look(db).map_err(|source| SyncError::local(db, source))
}

/// A random number for marks and histories.
fn random() -> Result<u64, SyncError> {
    getrandom::u64().map_err(|error| SyncError::System(error.to_string()))
}

/// The folder of a file.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file's length in bytes; 0 where none is told.
fn length(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |facts| facts.len())
}

/// Whether a folder that is there has room for so many bytes, as far as the system tells.
fn has_room(folder: &Path, needed: u64) -> Result<(), SyncError> {
    match room::free(folder) {
        Some(free) if free < needed => Err(SyncError::NoRoom { folder: folder.to_owned(), needed, free }),
        _ => Ok(()),
    }
}

/// Files beside the database.
struct Parts {
    /// What was pushed last, which stays.
    backup: PathBuf,
    /// A snapshot as it came.
    fetched: PathBuf,
    /// That merged with what is here.
    merged: PathBuf,
    /// A snapshot on its way out.
    taken: PathBuf,
    /// That while it is compacted.
    compacted: PathBuf,
}

impl Parts {
    fn of(config: &SyncConfig) -> Self {
        let part = |ending| config.local_db.with_added_extension(ending);
        Self {
            backup: part(BACKUP),
            fetched: part("pull-part"),
            merged: part("merge-part"),
            taken: part("push-part"),
            compacted: part("compact-part"),
        }
    }

    /// Removes those for the time being, also those that a killed sync has left. The caller holds the home's lock.
    fn clear(&self) {
        let packed = [&self.fetched, &self.taken, &self.backup].map(|part| packed_beside(part));
        for part in [&self.fetched, &self.merged, &self.taken, &self.compacted].into_iter().chain(&packed) {
            // What can't be removed takes space, and stops the step that needs its place.
            drop(greenlight_store::clear_place(part));
        }
    }
}

fn remember(config: &SyncConfig, exchanged: Exchanged, way: Way) -> Result<(), SyncError> {
    memory::change(&config.local_meta, &config.local_db, |memory| memory.remember(exchanged, way))
}

/// The ending of the copy of what was pushed last.
const BACKUP: &str = "bak";
/// The ending of what a pull replaced.
const KEPT: &str = "before-pull";

/// Before a file of this ending is made beside the database: one that is there already must be a push's or a pull's own.
fn claim(config: &SyncConfig, ending: &str) -> Result<(), SyncError> {
    let file = config.local_db.with_added_extension(ending);
    if memory::remembered(&config.local_meta, &config.local_db)?.made.contains(ending) {
        return Ok(());
    }
    if file.symlink_metadata().is_ok() {
        return Err(SyncError::Taken(file));
    }
    memory::change(&config.local_meta, &config.local_db, |memory| {
        memory.made.insert(ending.to_owned());
    })
}

/// Before a pull keeps what it replaces: what an earlier one kept and nobody ever pushed gets a name that stays.
fn spare_kept_work(config: &SyncConfig, loses_work: bool) -> Result<(), SyncError> {
    let kept = config.local_db.with_added_extension(KEPT);
    if memory::remembered(&config.local_meta, &config.local_db)?.kept_work {
        let free = (1u64..).map(|number| kept.with_added_extension(number.to_string()));
        let free = free.into_iter().find(|file| file.symlink_metadata().is_err());
        if let Some(free) = free.filter(|_| kept.exists()) {
            std::fs::rename(&kept, &free).map_err(|source| SyncError::File { path: kept, source })?;
        }
    }
    memory::change(&config.local_meta, &config.local_db, |memory| memory.kept_work = loses_work)
}
