//! What can go wrong between a database and a remote that holds snapshots.
//!
//! Where in the flow: at the outer edge; printed once. Every sentence says what happened, what it means and what to do.

use std::io;
use std::path::{Path, PathBuf};

use greenlight_store::portable::PortableError;
use indicatif::HumanBytes;
use thiserror::Error;

use super::kept::KEPT;
use super::lock::Holder;

/// Why a status, a push or a pull did not happen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SyncError {
    /// Both sides have moved.
    #[error(
        "{remote} and {local} have diverged: {why}. Nothing was changed. {}`{action} --force` overwrites {loses}; the \
         other way round keeps it",
        if *.mergeable { "`greenlight sync pull --merge` keeps what both have. " } else { "" }
    )]
    Diverged {
        /// The local database.
        local: String,
        /// The remote.
        remote: String,
        /// How it is known.
        why: String,
        /// Whether both sides' changes can be kept.
        mergeable: bool,
        /// `push` or `pull`.
        action: &'static str,
        /// What would be lost.
        loses: &'static str,
    },
    /// Nothing is there where something was.
    #[error(
        "generation {generation} was exchanged with {remote}, and nothing is there now: is it mounted? Nothing was \
         changed; --force begins anew there"
    )]
    Gone {
        /// The remote.
        remote: String,
        /// What was exchanged last.
        generation: u64,
    },
    /// A push by force would have to keep more of what it replaces than a remote does.
    #[error(
        "{remote} keeps {KEPT} snapshots that pushes by force have replaced, and no more. Nothing was changed: only you \
         know which of them is needed no longer{}. Remove that, and try again",
        oldest.as_ref().map(|name| format!("; `{name}` is the oldest")).unwrap_or_default()
    )]
    KeptFull {
        /// The remote.
        remote: String,
        /// The one that was pushed first, where that can be told.
        oldest: Option<String>,
    },
    /// What is to be written would not fit.
    #[error(
        "{} has {} free, and this needs {} there. Nothing was changed: make room, and try again",
        folder.display(),
        HumanBytes(*free),
        HumanBytes(*needed)
    )]
    NoRoom {
        /// Where.
        folder: PathBuf,
        /// How many bytes, at least.
        needed: u64,
        /// How many there are.
        free: u64,
    },
    /// A file that is not a push's or a pull's has the name of one.
    #[error("{} is there already, and no push or pull made it: move it away. Nothing was changed", .0.display())]
    Taken(PathBuf),
    /// Only replicas can be merged.
    #[error(
        "{} is a plain SQLite database, of which nobody can tell which rows are newer: nothing was merged or changed. One \
         side has to win: `--force` on a push or on a pull",
        .0.display()
    )]
    Unmergeable(PathBuf),
    /// The remote has moved, and a push would overwrite that.
    #[error("{remote} has newer changes (generation {generation}, by {machine}). Nothing was changed: pull first")]
    Behind {
        /// The remote.
        remote: String,
        /// Its generation.
        generation: u64,
        /// Who pushed it.
        machine: String,
    },
    /// The remote holds another project, or a snapshot that can't be a later state of what is here.
    #[error("{remote} holds something else: {why}. Nothing was changed. Name another remote, or --force to replace it")]
    Foreign {
        /// The remote.
        remote: String,
        /// What it holds.
        why: String,
    },
    /// There is nothing to pull.
    #[error("there is no snapshot at {0}: `greenlight sync push` makes one; or its folder is not mounted")]
    NothingThere(String),
    /// There is nothing to push.
    #[error("there is no database {}: `greenlight init --schema FILE` makes one, or pull first", .0.display())]
    NoDatabase(PathBuf),
    /// Another sync of this home is at work.
    #[error("another sync is at work: {holder}. Wait until it is done and try again ({} is its lock)", lock.display())]
    Locked {
        /// Who.
        holder: Holder,
        /// The lock's file.
        lock: PathBuf,
    },
    /// Another machine pushes to the same remote.
    #[error("{remote} is being written: {holder}. Wait until it is done and try again")]
    RemoteLocked {
        /// The remote.
        remote: String,
        /// Who.
        holder: Holder,
    },
    /// Another machine has pushed meanwhile.
    #[error("{0} was pushed to by another machine meanwhile. Nothing was changed: look at the status again")]
    Raced(String),
    /// The local database can't be used.
    #[error("{}: {source}", path.display())]
    Local {
        /// The database.
        path: PathBuf,
        /// Why.
        source: PortableError,
    },
    /// The remote's snapshot can't be used.
    #[error("the snapshot at {remote} can't be used: {source}. Nothing was changed here")]
    Snapshot {
        /// The remote.
        remote: String,
        /// Why.
        source: PortableError,
    },
    /// The snapshot is not what the meta says.
    #[error(
        "the snapshot at {remote} is not the one that its meta names ({why}). It is being written, or was not copied \
         there completely; try again. If that stays so, push again from a machine that has the data. Nothing was changed \
         here"
    )]
    Unfinished {
        /// The remote.
        remote: String,
        /// In which way it differs.
        why: String,
    },
    /// The remote is encrypted, and can't be opened or written.
    #[error(
        "{remote} is encrypted, and its passphrase can't be used: {why}. Nothing was changed. Name a file that holds it \
         with `passphrase_file` in the remote's configuration, or set GREENLIGHT_PASSPHRASE"
    )]
    Passphrase {
        /// The remote.
        remote: String,
        /// What is missing, or wrong.
        why: String,
    },
    /// What was encrypted would be stored for everybody to read.
    #[error(
        "what was exchanged with {0} last was encrypted, and what is there now is not, or is gone. Nothing was changed: \
         a push would store it for everybody to read. Say `encryption = \"age\"` in the remote's configuration, or \
         `\"none\"` if that is meant"
    )]
    OpensUp(String),
    /// The snapshot follows a newer schema than may be taken.
    #[error(
        "the snapshot at {remote} follows schema {found}, and what uses the database here knows {known} at most. Nothing \
         was changed: update that first"
    )]
    NewerSchema {
        /// The remote.
        remote: String,
        /// Its number.
        found: u64,
        /// The newest that is known.
        known: u64,
    },
    /// The meta is of a later program.
    #[error("{place} is of format {format}, which this program does not know: update greenlight. Nothing was changed")]
    NewerFormat {
        /// Where.
        place: String,
        /// Its format.
        format: u32,
    },
    /// The meta is not understood.
    #[error("{place} can't be understood: {why}. Nothing was changed")]
    Meta {
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
    /// A file here.
    #[error("{}: {source}. Nothing was replaced", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the remote's.
    #[error("the remote can't be used: {}: {source}. What was there is there", path.display())]
    Remote {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A storage that can't be used.
    #[error("{remote} can't be used: {why}. What was there is there")]
    S3 {
        /// The remote.
        remote: String,
        /// Why.
        why: String,
    },
    /// A storage that refuses who asks.
    #[error(
        "{remote} refuses what these credentials ask for ({why}). What was there is there. Look at AWS_ACCESS_KEY_ID, \
         AWS_SECRET_ACCESS_KEY and what they may do in this bucket"
    )]
    Denied {
        /// The remote.
        remote: String,
        /// Its words.
        why: String,
    },
    /// A storage that does not answer.
    #[error("{remote} can't be reached ({why}). What was there is there: look at the network and at its endpoint")]
    Unreachable {
        /// The remote.
        remote: String,
        /// What the network said.
        why: String,
    },
    /// A storage that did not say whether the decisive step was done.
    #[error(
        "{remote} did not answer when the new snapshot was to take its place ({why}). It holds the old one or the new one, \
         whole: `greenlight sync status` tells which"
    )]
    Unknown {
        /// The remote.
        remote: String,
        /// What the network said.
        why: String,
    },
    /// The system.
    #[error("the system refused what this needs: {0}")]
    System(String),
}

impl SyncError {
    pub(super) fn local(db: &Path, source: PortableError) -> Self {
        Self::Local { path: db.to_owned(), source }
    }

    /// 3 refused, 4 no connection, 6 behind, 8 diverged, 9 busy, 1 else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::Unknown { .. } => 4,
            Self::Behind { .. } => 6,
            Self::Diverged { .. } => 8,
            Self::Locked { .. } | Self::RemoteLocked { .. } | Self::Raced(_) => 9,
            Self::Local { source: PortableError::Busy | PortableError::Moved, .. } => 9,
            Self::Local {
                source:
                    PortableError::Servers
                    | PortableError::Snapshot
                    | PortableError::Unmanaged
                    | PortableError::SchemasDiffer { .. },
                ..
            }
            | Self::Foreign { .. }
            | Self::Unmergeable(_)
            | Self::Gone { .. }
            | Self::Taken(_)
            | Self::KeptFull { .. }
            | Self::Snapshot { .. }
            | Self::Passphrase { .. }
            | Self::OpensUp(_)
            | Self::Denied { .. }
            | Self::NewerSchema { .. }
            | Self::NewerFormat { .. } => 3,
            _ => 1,
        }
    }
}
