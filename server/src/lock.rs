//! Who uses a database: servers together, or a command alone.
//!
//! Where in the flow: taken before a database's file is touched, let go by the system when the process ends, however it
//! does. Never held by anything but the process: the files themselves say nothing and stay.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::name::DatabaseName;
use crate::owner;

/// The folder of the files that are locked; a leading dot is no database's name.
const FOLDER: &str = ".locks";

/// What a database is locked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is open: servers share this, a restore has it alone.
    Open,
    /// A restore wants it: servers give it up, and don't open it until that is done.
    Wanted,
    /// A backup: one at a time.
    Backup,
    /// It is being made.
    Making,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Wanted => "wanted",
            Self::Backup => "backup",
            Self::Making => "making",
        }
    }
}

/// Held as long as a database is used for a purpose.
#[derive(Debug)]
pub struct DatabaseLock(#[expect(dead_code, reason = "it is the lock")] Option<File>);

/// Why a database can't be used.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else holds it in a way that excludes this.
    Held,
    /// The file can't be made.
    File(std::io::Error),
}

impl DatabaseLock {
    /// Together with others who share it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn shared(data: &Path, name: &DatabaseName, purpose: Purpose) -> Result<Self, LockError> {
        take(data, name, purpose, File::try_lock_shared)
    }

    /// Alone.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn alone(data: &Path, name: &DatabaseName, purpose: Purpose) -> Result<Self, LockError> {
        take(data, name, purpose, File::try_lock)
    }

    /// Whether somebody has it alone. Makes no file, and costs one look at the folder where there is none.
    pub fn is_taken(data: &Path, name: &DatabaseName, purpose: Purpose) -> bool {
        let file = File::open(path(data, name, purpose));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

fn path(data: &Path, name: &DatabaseName, purpose: Purpose) -> PathBuf {
    data.join(FOLDER).join(format!("{}.{name}", purpose.word()))
}

/// Opens a file for its lock alone, and makes it where it is missing: for whoever the data folder belongs to, so that
/// what a superuser's command has made doesn't keep the server out.
fn open(data: &Path, path: &Path) -> std::io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    let folder = data.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    owner::give(&File::open(&folder)?, data)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    owner::give(&file, data)?;
    Ok(file)
}

fn take(
    data: &Path,
    name: &DatabaseName,
    purpose: Purpose,
    lock: impl FnOnce(&File) -> Result<(), TryLockError>,
) -> Result<DatabaseLock, LockError> {
    let file = open(data, &path(data, name, purpose)).map_err(LockError::File)?;
    match lock(&file) {
        Ok(()) => Ok(DatabaseLock(Some(file))),
        Err(TryLockError::WouldBlock) => Err(LockError::Held),
        Err(TryLockError::Error(error)) => {
            tracing::warn!("this file system has no locks, so a restore can't tell whether a server runs: {error}");
            Ok(DatabaseLock(None))
        }
    }
}
