//! What can go wrong, and how a command ends.
//!
//! Where in the flow: at the outer edge; printed once. Every sentence says what happened and what to do.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use greenlight_core::status::Reason;
use thiserror::Error;

use crate::address::AddressError;
use crate::home::HomeError;
use crate::output;

/// Why a client could not start or go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The remote's address can't be used.
    #[error("the remote `{url}` can't be used: {why}")]
    Remote {
        /// As it was given.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The token's file can't be read.
    #[error("the token file {} can't be read: {source}", file.display())]
    Token {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The schema's file can't be read.
    #[error("the schema file {} can't be read: {source}", file.display())]
    SchemaFile {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The schema's file can't be used.
    #[error("the schema file {} can't be used: {why}", file.display())]
    Schema {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The database does not exist, and no schema says what it is to be.
    #[error("there is no database {}; name its schema with --schema to create it", .0.display())]
    NoDatabase(PathBuf),
    /// The database is not one that can be in step with a server.
    #[error("{} is no database that a server's can be compared with: {why}", file.display())]
    NotAClient {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The database is not taken over yet.
    #[error(
        "{} is a plain SQLite database: `greenlight adopt {}` makes it one that can be synced with a server", .0.display(),
        output::quoted(&.0.display().to_string())
    )]
    Plain(PathBuf),
    /// The database's folder can't be made.
    #[error("the folder {} can't be made for the database: {source}", folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database can't be opened.
    #[error("the database {} can't be opened: {source}", file.display())]
    Database {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: greenlight_store::OpenError,
    },
    /// The server would not take the schema that the database is to be made of or brought to.
    #[error("{remote} refuses schema `{ours}`. {why} Nothing was made or migrated here; {remedy}")]
    SchemaRefused {
        /// The remote.
        remote: String,
        /// The schema that is named.
        ours: String,
        /// What the handshake would say, a sentence.
        why: String,
        /// What helps.
        remedy: &'static str,
    },
    /// The server can't be asked for its schema.
    #[error(
        "{remote} can't be asked whether it takes schema `{ours}`: {why}. Nothing was made or migrated here; \
         `greenlight init --schema FILE` does that without asking"
    )]
    SchemaUnasked {
        /// The remote.
        remote: String,
        /// The schema that is named.
        ours: String,
        /// Why.
        why: String,
        /// Whether it refuses to say; else it can't be reached.
        refused: bool,
    },
    /// The paths or the configuration.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// What was named as the remote.
    #[error("{0}")]
    Address(String),
    /// The remote is a server.
    #[error("{0}")]
    Live(String),
    /// The remote holds snapshots.
    #[error(
        "the remote {0} holds a snapshot, which `now` and `watch` can't speak with; use `greenlight sync push` and `pull`, \
         or name a server with --remote, as in wss://sync.example.com/shop"
    )]
    NotLive(String),
    /// No remote is named or configured.
    #[error(
        "there is no server to sync with: `greenlight remote add default wss://HOST/DATABASE` names one for good, --remote \
         for once. With a folder use `greenlight sync push` and `pull`"
    )]
    NoServer,
    /// What is printed can't be printed.
    #[error("the answer can't be printed: {0}")]
    Print(String),
    /// The runtime, its thread or the random source can't be had.
    #[error("the system refused what the client needs: {0}")]
    System(String),
    /// The client has stopped.
    #[error("the client has stopped")]
    Stopped,
}

impl ClientError {
    /// 2 where the arguments ask for what can't be, 3 refused, 4 no connection, 1 else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::SchemaRefused { .. } | Self::SchemaUnasked { refused: true, .. } => 3,
            Self::SchemaUnasked { .. } => 4,
            Self::NoServer | Self::NotLive(_) | Self::Live(_) => 2,
            _ => 1,
        }
    }
}

impl From<AddressError> for ClientError {
    fn from(error: AddressError) -> Self {
        match error {
            AddressError::Live(error) => error,
            AddressError::Path(error) => Self::Home(error),
            other => Self::Address(other.to_string()),
        }
    }
}

/// How a sync ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is on both sides.
    InStep,
    /// Interrupted by the person who watched.
    Interrupted,
    /// It can't go on without somebody; the sentence says why.
    Halted(Reason, String),
    /// There was no connection within the limit.
    Unreachable(String),
}

impl Outcome {
    /// 0 in step, 3 refused or incompatible, 4 no connection, 5 stuck.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::InStep | Self::Interrupted => 0,
            Self::Halted(reason, _) => match reason {
                Reason::SchemaOlder
                | Reason::SchemaNewer
                | Reason::SchemaDiffers
                | Reason::Lineage
                | Reason::Protocol
                | Reason::Unauthorized
                | Reason::Forbidden
                | Reason::UnknownDatabase => 3,
                _ => 5,
            },
            Self::Unreachable(_) => 4,
        })
    }
}
