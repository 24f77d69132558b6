//! Who uses a data folder: servers together, or a restore alone.
//!
//! Where in the flow: taken at the start, let go by the system when the process ends, however it does. Never held by
//! anything but the process: the file itself says nothing and stays.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// The file that is locked; a leading dot is no database's name.
const FILE: &str = ".lock";

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
        Self::take(folder, File::try_lock_shared)
    }

    /// For a restore: alone.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn alone(folder: &Path) -> Result<Self, LockError> {
        Self::take(folder, File::try_lock)
    }

    fn take(folder: &Path, lock: impl FnOnce(&File) -> Result<(), TryLockError>) -> Result<Self, LockError> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(FILE));
        let file = file.map_err(LockError::File)?;
        match lock(&file) {
            Ok(()) => Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => Err(LockError::Held),
            Err(TryLockError::Error(error)) => {
                tracing::warn!("this file system has no locks, so a restore can't tell whether a server runs: {error}");
                Ok(Self(None))
            }
        }
    }
}
