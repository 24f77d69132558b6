//! The store as this server uses it: the only file of the server that knows the store's own interface.
//!
//! Where in the flow: opened by a writer's thread or a reader's, never shared between threads. Never decides anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use greenlight_core::replica::{
    Applied, Chunk, Fault, FaultKind, PeerFacts, ReadRequest, ServerFacts, ServerStore, UploadPart,
};
use greenlight_core::{Cursor, SiteId, Value};
use greenlight_store::{
    Answer, Done, Location, OpenError, Options, ServerDatabase, ServerReader, StatementError, Work,
};
use thiserror::Error;

use crate::clock;
use crate::error::ApiError;

pub use greenlight_store::Schema;

/// Where a database is and of which schema; opens connections to it.
#[derive(Clone, Debug)]
pub struct EngineSource {
    /// The file.
    pub file: PathBuf,
    /// The schema.
    pub schema: Arc<Schema>,
    /// Another build of cr-sqlite.
    pub extension: Option<PathBuf>,
}

/// What exec runs.
#[derive(Clone, Debug)]
pub struct Statement {
    /// One statement, or several where there are no params.
    pub sql: String,
    /// Values for its `?`.
    pub params: Vec<Value>,
}

/// What exec answers.
#[derive(Clone, Debug)]
pub struct ExecAnswer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// How many rows were changed.
    pub changes: u64,
}

/// Why exec failed; nothing of it was done.
#[derive(Clone, Debug, Error)]
pub enum ExecError {
    /// SQLite's message, or the guard's sentence.
    #[error("{0}")]
    Sql(String),
    /// It ran or answered beyond a limit.
    #[error("{0}")]
    Limit(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] Fault),
}

impl From<ExecError> for ApiError {
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::Sql(message) => Self::Sql(message),
            ExecError::Limit(message) => Self::SqlLimit(message),
            ExecError::Store(fault) => Self::Store(fault),
        }
    }
}

impl From<StatementError> for ExecError {
    fn from(error: StatementError) -> Self {
        match error {
            StatementError::Fault(fault) => Self::Store(fault),
            StatementError::TooLarge(sentence) => Self::Limit(sentence),
            StatementError::Sql(sentence) | StatementError::Denied(sentence) | StatementError::Parameters(sentence) => {
                Self::Sql(sentence)
            }
        }
    }
}

/// A copy that was written.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What was copied; its head is the copy's.
    pub facts: ServerFacts,
}

/// A database's writing connection.
pub(super) struct Engine(ServerDatabase);

/// One of its reading connections.
pub(super) struct Reader(ServerReader);

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

impl EngineSource {
    /// Opens the database for writing, making it only with `create`.
    pub(super) fn writer(&self, create: bool) -> Result<Engine, Fault> {
        if !create && !self.file.exists() {
            return Err(Fault { kind: FaultKind::Io, message: "the database's file is gone".to_owned() });
        }
        let mut options = Options::system(Location::File(self.file.clone()), clock::wall_ms).map_err(|error| {
            Fault { kind: FaultKind::Io, message: format!("the system gives no random numbers: {error}") }
        })?;
        options.extension.clone_from(&self.extension);
        ServerDatabase::open(options, &self.schema).map(Engine).map_err(|error| match error {
            OpenError::Fault(fault) => fault,
            other => Fault { kind: FaultKind::Internal, message: other.to_string() },
        })
    }

    pub(super) fn reader(&self) -> Result<Reader, Fault> {
        ServerReader::open(&self.file).map(Reader)
    }
}

impl Engine {
    pub(super) fn head(&mut self) -> Result<Cursor, Fault> {
        self.0.head()
    }

    pub(super) fn apply(&mut self, parts: &[UploadPart]) -> Result<Vec<Result<Applied, Fault>>, Fault> {
        self.0.apply(parts)
    }

    pub(super) fn exec(&mut self, statement: &Statement) -> Result<ExecAnswer, ExecError> {
        let work = Work::Exec { sql: statement.sql.clone(), params: statement.params.clone() };
        match self.0.commit(&[work])?.done.pop() {
            Some(Done::Exec(answer)) => {
                let Answer { columns, rows, changes } = answer?;
                Ok(ExecAnswer { columns, rows, changes })
            }
            _ => Err(Fault { kind: FaultKind::Internal, message: "the statement got no answer".to_owned() }.into()),
        }
    }

    pub(super) fn reset(&mut self) -> Result<ServerFacts, Fault> {
        self.0.reset()?;
        self.0.facts()
    }

    pub(super) fn probe(&mut self) -> Result<(), Fault> {
        self.0.probe()
    }

    pub(super) fn notice_external(&mut self) -> Result<bool, Fault> {
        self.0.notice_external()
    }
}

impl Reader {
    pub(super) fn facts(&mut self) -> Result<ServerFacts, Fault> {
        self.0.facts()
    }

    pub(super) fn peer(&mut self, site: SiteId, cursor: Cursor) -> Result<PeerFacts, Fault> {
        self.0.peer(site, cursor)
    }

    pub(super) fn read(&mut self, request: &ReadRequest) -> Result<Chunk, Fault> {
        self.0.read(request)
    }

    pub(super) fn snapshot(&mut self, to: &Path) -> Result<Snapshot, Fault> {
        let facts = self.0.facts()?;
        let head = self.0.snapshot_to(to)?;
        Ok(Snapshot { facts: ServerFacts { head, ..facts } })
    }
}
