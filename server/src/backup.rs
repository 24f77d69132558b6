//! `greenlight-server backup`: writes a backup of one database, whether or not a server has it open.
//!
//! Where in the flow: an operator's command, instead of serving; the running server's schedule makes its own the same
//! way. Never makes two of one database at a time, and never removes what it did not make.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use greenlight_store::{BackedUp, BackupPlace, Backups};
use thiserror::Error;

use crate::audit::{Audit, Entry, Event};
use crate::clock;
use crate::database::backups;
use crate::lock::{DatabaseLock, LockError, Purpose};
use crate::name::{DatabaseName, NameError};
use crate::settings::{FileSettings, SettingsError};

pub use greenlight_store::BackupError as StoreBackupError;

/// What a backup is told.
#[derive(Clone, Debug, Args)]
pub struct BackupFlags {
    /// Folder of databases.
    #[arg(long, env = "GREENLIGHT_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The database's name: its file's name in the folder.
    #[arg(long, value_name = "NAME")]
    pub database: String,
    /// The file that is written; there must be none.
    #[arg(long, value_name = "FILE", required_unless_present = "keep", conflicts_with = "keep")]
    pub to: Option<PathBuf>,
    /// Writes into the folder `backups` instead, and keeps so many of this database there.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Configuration file (TOML) that names the folder of databases.
    #[arg(long, env = "GREENLIGHT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Why there is no backup; each is a sentence for the person who asked for it.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The configuration.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The name can't be a database's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no such database.
    #[error("there is no database `{0}` in this folder")]
    NoDatabase(DatabaseName),
    /// Another one is at it.
    #[error("another backup of `{0}` is being made: try again when that is done")]
    UnderWay(DatabaseName),
    /// The folder can't be written.
    #[error("the folder of databases can't be used: {0}")]
    Folder(std::io::Error),
    /// The database or the disk.
    #[error(transparent)]
    Store(#[from] StoreBackupError),
}

/// Backs a database up.
///
/// # Errors
/// [`BackupError`]; then there is no new file.
pub fn back_up(flags: &BackupFlags) -> Result<BackedUp, BackupError> {
    let data = FileSettings::data_folder(flags.data.as_deref(), flags.config.as_deref())?;
    let name = DatabaseName::parse(&flags.database)?;
    let place = match (&flags.to, flags.keep) {
        (Some(file), _) => BackupPlace::File(file.clone()),
        (None, keep) => BackupPlace::Kept(kept(&data, &name, keep.unwrap_or(1) as usize)),
    };
    back_up_to(&data, &name, &place, &Arc::default())
}

/// Backs a database of a folder up, unless that is being done already. Ends soon after `stop` is set.
///
/// # Errors
/// [`BackupError`]; then there is no new file.
pub fn back_up_to(
    data: &Path,
    name: &DatabaseName,
    place: &BackupPlace,
    stop: &Arc<AtomicBool>,
) -> Result<BackedUp, BackupError> {
    let source = data.join(name.as_str());
    // A link could lead out of the data folder.
    if !std::fs::symlink_metadata(&source).is_ok_and(|entry| entry.is_file()) {
        return Err(BackupError::NoDatabase(name.clone()));
    }
    let _lock = DatabaseLock::alone(data, name, Purpose::Backup).map_err(|error| match error {
        LockError::Held => BackupError::UnderWay(name.clone()),
        LockError::File(error) => BackupError::Folder(error),
    })?;
    Ok(greenlight_store::back_up(&source, place, clock::wall_ms(), stop)?)
}

/// Where backups of a database are kept, and how many.
pub fn kept(data: &Path, name: &DatabaseName, keep: usize) -> Backups {
    Backups { keep, ..backups(&data.join(name.as_str())) }
}

/// Notes a backup that was made in the audit log.
pub fn audit(flags: &BackupFlags, made: &BackedUp) {
    let entry = Entry::new(Event::Backup).by_operator().database(&flags.database);
    let entry = entry.with("to", made.file.display().to_string());
    Audit::note(flags.data.as_deref(), flags.config.as_deref(), entry);
}

/// What is told of a backup that was made.
pub fn describe(made: &BackedUp, database: &str) -> String {
    format!(
        "backed up `{database}` to {}: schema {} {}, head {}, {} bytes, whole\n",
        made.file.display(),
        made.schema.name,
        made.schema.number,
        made.head.version.get(),
        made.bytes
    )
}
