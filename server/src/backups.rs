//! Copies of databases that are kept before something is done to them, and putting one back.
//!
//! Where in the flow: before a migration, and on an operator's command while no server runs. Copies lie in the folder
//! `.backups` of the data folder: no database can have such a name, so none is ever served.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use greenlight_core::Lineage;
use greenlight_store::{RestoreError, Restored, ServerReader};
use thiserror::Error;

use crate::limits::MIGRATION_BACKUPS;
use crate::name::{DatabaseName, NameError};

/// The folder within the data folder.
const FOLDER: &str = ".backups";

/// Why a copy could not be made or put back.
#[derive(Debug, Error)]
pub enum BackupError {
    /// Not a database's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The folder can't be made, read or pruned.
    #[error("the folder {FOLDER} of the data folder can't be used: {0}")]
    Folder(std::io::Error),
    /// The store's own.
    #[error(transparent)]
    Store(#[from] RestoreError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// Keeps a copy of a database that is about to be brought from one schema number to another, and the newest
/// [`MIGRATION_BACKUPS`] of such copies. Nothing is done where the file is not a database of ours yet, or no older.
///
/// # Errors
/// [`BackupError`]; the database must not be migrated then.
pub fn before_migration(file: &Path, number: u32) -> Result<(), BackupError> {
    let Ok(facts) = ServerReader::open(file).and_then(|mut reader| reader.facts()) else { return Ok(()) };
    if facts.schema.number >= number {
        return Ok(());
    }
    let reason = format!("schema-{}", facts.schema.number);
    let copy = place(file, &reason)?;
    greenlight_store::back_up(file, &copy)?;
    tracing::info!(copy = %shown(&copy), "kept a copy before the migration");
    prune(file)
}

/// Puts a backup in a database's place, and returns the lineage that it has now and where the file before is kept.
///
/// # Errors
/// [`BackupError`]; the database is what it was.
pub fn restore(
    data: &Path,
    name: &str,
    backup: &Path,
    how: Restored,
) -> Result<(Lineage, Option<PathBuf>), BackupError> {
    let name = DatabaseName::parse(name)?;
    let file = data.join(name.as_str());
    let kept = place(&file, "before-restore")?;
    // Drawn first, in place of in the middle: without them nothing is begun.
    let random = || getrandom::u64().map_err(|_| BackupError::Random);
    let drawn = [random()?, random()?, random()?];
    let lineage = greenlight_store::restore(&file, backup, &kept, how, drawn)?;
    Ok((lineage, kept.exists().then_some(kept)))
}

/// A new file's name: the database, why, and when in seconds since 1970.
fn place(file: &Path, reason: &str) -> Result<PathBuf, BackupError> {
    let folder = folder(file);
    std::fs::create_dir_all(&folder).map_err(BackupError::Folder)?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let free = (0..).map(|more| folder.join(format!("{}.{reason}.{}.sqlite3", stem(file), seconds + more)));
    Ok(free.into_iter().find(|path| !path.exists()).unwrap_or(folder))
}

fn prune(file: &Path) -> Result<(), BackupError> {
    let start = format!("{}.schema-", stem(file));
    let mut copies = Vec::new();
    for entry in std::fs::read_dir(folder(file)).map_err(BackupError::Folder)? {
        let entry = entry.map_err(BackupError::Folder)?;
        if entry.file_name().to_string_lossy().starts_with(&start) {
            copies.push((
                entry.metadata().and_then(|found| found.modified()).map_err(BackupError::Folder)?,
                entry.path(),
            ));
        }
    }
    copies.sort();
    let many = copies.len().saturating_sub(MIGRATION_BACKUPS);
    copies.into_iter().take(many).try_for_each(|(_, copy)| std::fs::remove_file(copy).map_err(BackupError::Folder))
}

fn folder(file: &Path) -> PathBuf {
    file.with_file_name(FOLDER)
}

fn stem(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A path within the data folder, without the machine's own.
fn shown(copy: &Path) -> String {
    format!("{FOLDER}/{}", stem(copy))
}
