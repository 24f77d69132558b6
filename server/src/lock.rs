//! Who uses a data folder or a database: servers together, or a command alone.
//!
//! Where in the flow: taken at the start of what uses it, let go by the system when the process ends, however it does. Never held by
//! anything but the process: the file itself says nothing and stays.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::name::DatabaseName;

/// The file that is locked; a leading dot is no database's name.
const FILE: &str = ".lock";

/// The folder of the databases' own locks; likewise.
const FOLDER: &str = ".locks";

/// What a database is locked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A backup: one at a time.
    Backup,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
        }
    }
}

/// Held as long as a database is used for a purpose.
#[derive(Debug)]
pub struct DatabaseLock(#[expect(dead_code, reason = "it is the lock")] Option<File>);

impl DatabaseLock {
    /// Alone.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn alone(data: &Path, name: &DatabaseName, purpose: Purpose) -> Result<Self, LockError> {
        let folder = data.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(LockError::File)?;
        take(&folder.join(format!("{}.{name}", purpose.word())), File::try_lock).map(Self)
    }
}

/// Held as long as the folder is used.
#[derive(Debug)]
pub struct FolderLock(#[expect(dead_code, reason = "it is the lock")] Option<File>);

/// Why a folder can't be used.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else holds it in a way that excludes this.
    Held,
    /// The file can't be made.
    File(std::io::Error),
}

impl FolderLock {
    /// For a server: with other servers, but not during a restore.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn shared(folder: &Path) -> Result<Self, LockError> {
        take(&folder.join(FILE), File::try_lock_shared).map(Self)
    }

    /// For a restore: alone.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn alone(folder: &Path) -> Result<Self, LockError> {
        take(&folder.join(FILE), File::try_lock).map(Self)
    }
}

fn take(path: &Path, lock: impl FnOnce(&File) -> Result<(), TryLockError>) -> Result<Option<File>, LockError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(LockError::File)?;
    match lock(&file) {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(LockError::Held),
        Err(TryLockError::Error(error)) => {
            tracing::warn!("this file system has no locks, so a restore can't tell whether a server runs: {error}");
            Ok(None)
        }
    }
}
