//! Giving a new database its name in one step, once it is complete.
//!
//! Where in the flow: where a server makes one: under a name for the time being, opened and closed as any. Never takes the
//! place of a file that is there.

use std::path::Path;

use greenlight_core::replica::Fault;

use crate::backup;
use crate::fault::internal;
use crate::restore::{beside, remove};

/// Removes what something that was cut off has left under a name for the time being: the file, and all that SQLite keeps
/// beside one, which would be read into the next of that name.
///
/// # Errors
/// Any [`Fault`].
pub fn clear_place(ready: &Path) -> Result<(), Fault> {
    for ending in ["", "-wal", "-shm", "-journal"] {
        remove(&beside(ready, ending))?;
    }
    Ok(())
}

/// Gives a database that was closed its name, on disk before it returns.
///
/// # Errors
/// Any [`Fault`], also where something has the name already.
pub fn put_in_place(ready: &Path, file: &Path) -> Result<(), Fault> {
    // Where closing could not fold the log in, the file alone is not all of it.
    if std::fs::metadata(beside(ready, "-wal")).is_ok_and(|facts| facts.len() > 0) {
        return Err(internal("the new database could not be written into one file"));
    }
    if std::fs::symlink_metadata(file).is_ok() {
        return Err(internal("a file of this name has appeared"));
    }
    backup::sync_file(ready)?;
    std::fs::rename(ready, file).map_err(backup::fault_of)?;
    file.parent().map_or(Ok(()), backup::sync_folder)
}
