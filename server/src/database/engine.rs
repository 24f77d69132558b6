//! The store as this server uses it: the only file of the server that knows the store's own interface.
//!
//! Where in the flow: opened by a writer's thread or a reader's, never shared between threads. Never decides what is
//! done, only how the store is asked for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};

use greenlight_core::replica::{
    Applied, Chunk, DigestScope, Digests, Fault, FaultKind, PeerFacts, ReadRequest, ServerFacts, ServerStore,
    UploadPart,
};
use greenlight_core::{Cursor, Lineage, SiteId, Value};
use greenlight_store::crash::{self, Point};
use greenlight_store::{
    Backups, Done, FileWatch, Location, Options, Replacement, ServerDatabase, ServerReader, Shelf, StatementError,
    Work, clear_place, put_in_place, take_up,
};
use thiserror::Error;

use super::damaged;
use crate::clock;
use crate::error::ApiError;
use crate::limits::{BACKUPS_KEPT, EXEC_LIMIT};
use crate::lock::{DatabaseLock, LockError, Purpose};
use crate::name::{BACKUP_FOLDER, DatabaseName};

pub use greenlight_store::{Answer as ExecAnswer, Retried, Schema, Shelved, ShelvedId};

/// Where a database is and of which schema; opens connections to it.
#[derive(Clone, Debug)]
pub struct EngineSource {
    /// The file.
    pub file: PathBuf,
    /// The schema.
    pub schema: Arc<Schema>,
    /// Another build of cr-sqlite.
    pub extension: Option<PathBuf>,
    /// How large it may get, in bytes.
    pub max_bytes: Option<u64>,
}

/// What exec runs.
#[derive(Clone, Debug)]
pub struct Statement {
    /// One statement, or several where there are no params.
    pub sql: String,
    /// Values for its `?`.
    pub params: Vec<Value>,
}

/// Why exec failed; nothing of it was done.
#[derive(Clone, Debug, Error)]
pub enum ExecError {
    /// SQLite's or the store's own words.
    #[error(transparent)]
    Statement(StatementError),
    /// It ran for too long.
    #[error("the SQL ran for longer than {} seconds", EXEC_LIMIT.as_secs())]
    TooLong,
    /// The database.
    #[error(transparent)]
    Store(#[from] Fault),
}

impl ExecError {
    /// Whether SQLite says that the file is damaged.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Statement(StatementError::Fault(fault)) | Self::Store(fault) => fault.kind == FaultKind::Corrupt,
            Self::Statement(_) | Self::TooLong => false,
        }
    }
}

impl From<ExecError> for ApiError {
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::Statement(StatementError::Fault(fault)) | ExecError::Store(fault) => Self::Store(fault),
            ExecError::Statement(StatementError::Sql(message)) => Self::Sql(message),
            ExecError::Statement(StatementError::Denied(message)) => Self::SqlDenied(message),
            ExecError::Statement(StatementError::Parameters(message)) => Self::SqlParams(message),
            ExecError::Statement(StatementError::TooLarge(message)) => Self::SqlLimit(message),
            ExecError::TooLong => Self::SqlLimit(error.to_string()),
        }
    }
}

impl EngineSource {
    /// Opens the database for writing, making it only with `create`.
    pub(super) fn writer(&self, opening: Opening) -> Result<Engine, String> {
        let (create, replaced) = match opening {
            Opening::First { create } => (create, None),
            Opening::Again(replaced) => (false, replaced),
        };
        if let Some(Replaced { replacement, .. }) = replaced {
            let ready = take_up(&self.file, replacement, &backups(&self.file), clock::wall_ms());
            ready.map_err(|fault| fault.message)?;
        }
        if !self.file.exists() {
            if let Some(place) = damaged::place(&self.file)? {
                return Err(damaged::sentence(&place));
            }
            if !create {
                return Err("its file is gone".to_owned());
            }
            self.make()?;
        } else if replaced.is_none() {
            damaged::check(&self.file, opening)?;
        }
        let mut database =
            ServerDatabase::open(self.options(&self.file)?, &self.schema).map_err(|error| error.to_string())?;
        if let Some(replaced) = replaced {
            fork(&mut database, &replaced).map_err(|fault| fault.message)?;
        }
        Engine::new(database, &self.file).map_err(|fault| fault.message)
    }

    /// Makes a database under a name for the time being, so that one that has its name was complete once: an empty file
    /// is then a damaged one, and never one that is being made.
    fn make(&self) -> Result<(), String> {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let ready = self.file.with_file_name(format!(".{name}.making"));
        let (data, name) = (self.file.parent().unwrap_or(Path::new("")), DatabaseName::parse(&name));
        let name = name.map_err(|error| error.to_string())?;
        let _lock = DatabaseLock::alone(data, &name, Purpose::Making).map_err(|error| match error {
            LockError::Held => "another server is making it".to_owned(),
            LockError::File(error) => format!("it can't be locked: {}", error.kind()),
        })?;
        let opened = clear_place(&ready).map_err(|fault| fault.message).and_then(|()| {
            ServerDatabase::open(self.options(&ready)?, &self.schema).map_err(|error| error.to_string())
        });
        drop(opened?);
        crash::point(Point::MakingReady);
        put_in_place(&ready, &self.file).map_err(|fault| fault.message)?;
        crash::point(Point::MakingPlaced);
        Ok(())
    }

    fn options(&self, file: &Path) -> Result<Options, String> {
        let options = Options::system(Location::File(file.to_owned()), clock::wall_ms);
        let mut options = options.map_err(|error| format!("the system gives no random numbers: {error}"))?;
        options.extension.clone_from(&self.extension);
        options.backups = Some(backups(&self.file));
        options.max_bytes = self.max_bytes;
        Ok(options)
    }

    /// A reading connection.
    pub(super) fn reader(&self) -> Result<Reader, Fault> {
        ServerReader::open(&self.file).map(Reader)
    }
}

/// What was dropped, and what was named and isn't there.
pub(super) type Dropped = (Vec<Shelved>, Vec<ShelvedId>);

/// Where a file came into the place of an open one, and that is another point of its history, clients have to notice.
fn fork(database: &mut ServerDatabase, replaced: &Replaced) -> Result<(), Fault> {
    let facts = database.facts()?;
    if facts.lineage.site_id == replaced.lineage.site_id && facts.head != replaced.head {
        database.renew_epoch()?;
    }
    Ok(())
}

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opening {
    /// For the first time since the start.
    First {
        /// Whether it may be made.
        create: bool,
    },
    /// Once more, after its writer ended; because of another file in its place, if that is known.
    Again(Option<Replaced>),
}

/// What an open database was when another file came into its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replaced {
    pub(super) replacement: Replacement,
    lineage: Lineage,
    head: Cursor,
}

/// The writing connection.
pub(super) struct Engine {
    database: ServerDatabase,
    // After the database: see there.
    watch: FileWatch,
    /// As of the last look.
    lineage: Lineage,
    head: Cursor,
}

impl Engine {
    fn new(mut database: ServerDatabase, file: &Path) -> Result<Self, Fault> {
        let watch = FileWatch::new(file)?;
        let facts = database.facts()?;
        Ok(Self { database, watch, lineage: facts.lineage, head: facts.head })
    }

    pub(super) fn head(&mut self) -> Result<Cursor, Fault> {
        self.database.head()
    }

    /// Looks whether the file is still the one that was opened. Where it isn't, nothing that was committed since the
    /// last look may count.
    pub(super) fn look(&mut self) -> Option<Replaced> {
        let replacement = self.watch.look().or_else(|| self.fell_back())?;
        if replacement == Replacement::Overwritten
            && let Err(fault) = self.database.abandon_log()
        {
            tracing::error!("the log of a file that was overwritten may be written into it: {fault}");
        }
        if replacement == Replacement::LogGone
            && let Err(fault) = self.database.rescue_log()
        {
            tracing::error!("what was in the log that lost its name may be lost: {fault}");
        }
        Some(Replaced { replacement, lineage: self.lineage, head: self.head })
    }

    fn fell_back(&mut self) -> Option<Replacement> {
        // A fault shows with the next commit.
        let head = self.database.head().ok()?;
        let fell = head.version < self.head.version || (head.version == self.head.version && head.tag != self.head.tag);
        if fell {
            return Some(Replacement::PutBack);
        }
        self.head = head;
        None
    }

    /// Commits all parts as one transaction, each in a savepoint. The outer error: nothing was committed.
    pub(super) fn apply(&mut self, parts: Vec<UploadPart>) -> Result<Vec<Result<Applied, Fault>>, Fault> {
        let work: Vec<Work> = parts.into_iter().map(Work::Upload).collect();
        let done = self.database.commit(&work)?.done;
        Ok(done.into_iter().map(|done| if let Done::Upload(result) = done { result } else { Err(mixed()) }).collect())
    }

    /// Commits all statements as one transaction, each in a savepoint. They are not mixed with parts, since one that
    /// runs for too long is interrupted, and an interrupted part would look like one that can't be applied.
    pub(super) fn exec(&mut self, statements: Vec<Statement>) -> Result<Vec<Result<ExecAnswer, ExecError>>, Fault> {
        let work: Vec<Work> =
            statements.into_iter().map(|Statement { sql, params }| Work::Exec { sql, params }).collect();
        let interrupt = self.database.connection().get_interrupt_handle();
        let interrupted = AtomicBool::new(false);
        let (finished, waiting) = channel::<()>();
        let committed = std::thread::scope(|scope| {
            let interrupted = &interrupted;
            scope.spawn(move || {
                // Again and again: what was interrupted may be tried once more on its own by the store.
                while waiting.recv_timeout(EXEC_LIMIT) == Err(RecvTimeoutError::Timeout) {
                    interrupted.store(true, Ordering::Release);
                    interrupt.interrupt();
                }
            });
            let committed = self.database.commit(&work);
            drop(finished);
            committed
        });
        let done = committed?.done.into_iter().map(|done| match done {
            Done::Exec(Ok(answer)) => Ok(answer),
            Done::Exec(Err(StatementError::Sql(_))) if interrupted.load(Ordering::Acquire) => Err(ExecError::TooLong),
            Done::Exec(Err(error)) => Err(ExecError::Statement(error)),
            Done::Upload(_) => Err(mixed().into()),
        });
        Ok(done.collect())
    }

    pub(super) fn reset(&mut self) -> Result<ServerFacts, Fault> {
        self.lineage = self.database.reset()?;
        let facts = self.database.facts()?;
        self.head = facts.head;
        Ok(facts)
    }

    /// Tries changes in quarantine again.
    pub(super) fn retry(&mut self, ids: &[ShelvedId]) -> Result<Retried, Fault> {
        self.database.retry(ids)
    }

    /// Drops changes in quarantine.
    pub(super) fn drop_quarantined(&mut self, ids: &[ShelvedId]) -> Result<Dropped, Fault> {
        self.database.drop_quarantined(ids)
    }

    pub(super) fn probe(&mut self) -> Result<(), Fault> {
        self.database.probe()
    }

    pub(super) fn notice_external(&mut self) -> Result<bool, Fault> {
        self.database.notice_external()
    }
}

/// Where the copies of a database are kept: beside it, in a folder that no database can be named as.
pub(crate) fn backups(file: &Path) -> Backups {
    Backups { folder: file.with_file_name(BACKUP_FOLDER), keep: BACKUPS_KEPT }
}

fn mixed() -> Fault {
    Fault { kind: FaultKind::Internal, message: "an answer of another kind than the question".to_owned() }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// A reading connection.
pub(super) struct Reader(ServerReader);

impl Reader {
    pub(super) fn facts(&mut self) -> Result<ServerFacts, Fault> {
        self.0.facts()
    }

    pub(super) fn peer(&mut self, site: SiteId, cursor: Cursor) -> Result<PeerFacts, Fault> {
        self.0.peer(site, cursor)
    }

    pub(super) fn digest(&mut self, scope: &DigestScope) -> Result<Digests, Fault> {
        self.0.digest(scope)
    }

    /// A page of the quarantine, and how many changes are in it.
    pub(super) fn quarantine(&mut self, offset: usize, limit: usize) -> Result<(Vec<Shelved>, u64), Fault> {
        Ok((self.0.shelved(Shelf::Quarantine, offset, limit)?, self.0.shelf_count(Shelf::Quarantine)?))
    }

    /// How many changes are in quarantine, and how many held aside.
    pub(super) fn aside_counts(&mut self) -> Result<(u64, u64), Fault> {
        Ok((self.0.shelf_count(Shelf::Quarantine)?, self.0.shelf_count(Shelf::Held)?))
    }

    /// How many deleted rows the clocks remember.
    pub(super) fn tombstones(&mut self) -> Result<u64, Fault> {
        self.0.tombstones()
    }

    pub(super) fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault> {
        self.0.read(request)
    }

    /// Writes a consistent copy and tells what it holds, by its own word.
    pub(super) fn snapshot(&mut self, to: &Path) -> Result<ServerFacts, Fault> {
        crash::point(Point::SnapshotBegun);
        self.0.snapshot_to(to)?;
        let facts = ServerReader::open(to)?.facts();
        crash::point(Point::SnapshotCopied);
        facts
    }
}
