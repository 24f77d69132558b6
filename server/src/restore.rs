//! `greenlight-server restore`: puts a database back from a copy. Servers that have it open give it up first, and open
//! what is there when it is done; their other databases go on.
//!
//! Where in the flow: an operator's command, instead of serving. Never touches a database that a server has open.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use greenlight_core::replica::Fault;
use greenlight_store::crash::{self, Point};
use greenlight_store::{RestorePlan, RestoreStep, Restored};
use thiserror::Error;

use crate::audit::{Audit, Entry, Event};
use crate::clock;
use crate::database::backups;
use crate::limits::{GIVE_UP_WAIT, LOCK_TRY_EVERY, RESTORE_WAIT};
use crate::lock::{DatabaseLock, LockError, Purpose};
use crate::name::{DatabaseName, NameError};
use crate::settings::{FileSettings, SettingsError};

pub use greenlight_store::RestoreError as StoreRestoreError;

/// What a restore is told.
#[derive(Clone, Debug, Args)]
pub struct RestoreFlags {
    /// Folder of databases.
    #[arg(long, env = "GREENLIGHT_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The database's name: its file's name in the folder.
    #[arg(long, value_name = "NAME")]
    pub database: String,
    /// The copy: from `backups`, from `GET /NAME/file`, or the file of a server that was stopped.
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// An undo: clients must not bring back what came after the copy. Each has to Nuke and Resync.
    #[arg(long)]
    pub new_lineage: bool,
    /// Seconds that servers which have the database open are given to give it up.
    #[arg(long, value_name = "SECONDS", default_value_t = GIVE_UP_WAIT.as_secs())]
    pub wait: u64,
    /// Configuration file (TOML) that names the folder of databases.
    #[arg(long, env = "GREENLIGHT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Why nothing was put back; each is a sentence for the person who asked for it.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The configuration.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The name can't be a database's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no such folder.
    #[error("there is no folder of databases at {}", .0.display())]
    NoFolder(PathBuf),
    /// Another restore of it is at work.
    #[error("another restore of `{0}` is at work")]
    UnderWay(DatabaseName),
    /// A server has it open and doesn't give it up.
    #[error("a server has `{0}` open and does not give it up: stop it first")]
    InUse(DatabaseName),
    /// The folder can't be written.
    #[error("the folder of databases can't be used: {0}")]
    Folder(std::io::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The copy or the database.
    #[error(transparent)]
    Store(#[from] StoreRestoreError),
}

/// Puts a database back.
///
/// # Errors
/// [`RestoreError`]; the database is as it was.
pub fn restore(flags: RestoreFlags) -> Result<Restored, RestoreError> {
    restore_until(flags, &mut |step| {
        crash::point(match step {
            RestoreStep::Copied => Point::RestoreCopied,
            RestoreStep::Ready => Point::RestoreReady,
            RestoreStep::Folded => Point::RestoreFolded,
            RestoreStep::Kept => Point::RestoreKept,
            RestoreStep::Cleared => Point::RestoreCleared,
            RestoreStep::Placed => Point::RestorePlaced,
        });
        Ok(())
    })
}

/// The same; `reached` is told of each step, and ends it there by failing.
///
/// # Errors
/// [`RestoreError`].
pub fn restore_until(
    flags: RestoreFlags,
    reached: &mut dyn FnMut(RestoreStep) -> Result<(), Fault>,
) -> Result<Restored, RestoreError> {
    let data = FileSettings::data_folder(flags.data.as_deref(), flags.config.as_deref())?;
    let name = DatabaseName::parse(&flags.database)?;
    if !data.is_dir() {
        return Err(RestoreError::NoFolder(data));
    }
    // Kept until the end: with the first alone a server could open the database again in between.
    let _wanted = lock(&data, &name, Purpose::Wanted, RESTORE_WAIT, RestoreError::UnderWay)?;
    let _open = lock(&data, &name, Purpose::Open, Duration::from_secs(flags.wait), RestoreError::InUse)?;
    let target = data.join(name.as_str());
    let mut options = greenlight_store::Options::system(greenlight_store::Location::Memory, clock::wall_ms)
        .map_err(|_| RestoreError::Random)?;
    let backups = backups(&target);
    let plan = RestorePlan { source: flags.from, target, backups, new_lineage: flags.new_lineage };
    Ok(greenlight_store::restore(&plan, &mut options.random, clock::wall_ms(), reached)?)
}

/// Tries for a while: servers look every so often whether a database is wanted, and finish what waits.
fn lock(
    data: &Path,
    name: &DatabaseName,
    purpose: Purpose,
    within: Duration,
    otherwise: impl FnOnce(DatabaseName) -> RestoreError,
) -> Result<DatabaseLock, RestoreError> {
    let begun = Instant::now();
    loop {
        match DatabaseLock::alone(data, name, purpose) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held) if begun.elapsed() < within => std::thread::sleep(LOCK_TRY_EVERY),
            Err(LockError::Held) => return Err(otherwise(name.clone())),
            Err(LockError::File(error)) => return Err(RestoreError::Folder(error)),
        }
    }
}

/// Notes a restore that was done in the audit log. Where that fails it is said, since the restore stands.
pub fn audit(flags: &RestoreFlags, restored: &Restored) {
    let entry = Entry::new(Event::Restore).by_operator().database(&flags.database);
    let entry = entry.with("from", flags.from.display().to_string()).with("new_lineage", flags.new_lineage);
    let entry = entry.with("head", restored.head.version.get());
    Audit::note(flags.data.as_deref(), flags.config.as_deref(), entry);
}

/// What is told of a restore that was done.
pub fn describe(restored: &Restored, flags: &RestoreFlags) -> String {
    let schema = &restored.schema;
    let mut text = format!(
        "restored `{}` from {}: schema {} {}, head {}\n",
        flags.database,
        flags.from.display(),
        schema.name,
        schema.number,
        restored.head.version.get()
    );
    text += if flags.new_lineage {
        "it is another database now: clients are refused until they Nuke and Resync\n"
    } else {
        "clients that know more than the copy offer it again when they connect\n"
    };
    if let Some(kept) = &restored.kept {
        text += &format!("what was there before is kept as {}\n", kept.display());
    }
    text
}
