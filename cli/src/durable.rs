//! Small files that are whole or not there: written beside, flushed, renamed, and the name flushed too.
//!
//! Where in the flow: below the configuration and what is remembered of remotes. Never leaves half a file under the
//! name of a whole one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces a file; its folder must be there. After an error the file is as it was.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = part_of(file);
    let written = write_new(&part, bytes).and_then(|()| std::fs::rename(&part, file));
    if let Err(error) = written {
        // A part that can't be removed takes space, and is written over by the next one.
        drop(std::fs::remove_file(&part));
        return Err(error);
    }
    sync_folder_of(file)
}

fn write_new(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part = OpenOptions::new().create(true).truncate(true).write(true).open(file)?;
    part.write_all(bytes)?;
    part.sync_all()
}

/// The name that a file has while it is written: hidden, beside it.
pub(crate) fn part_of(file: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".part");
    file.with_file_name(name)
}

/// Has the name of a file on disk.
pub(crate) fn sync_folder_of(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync_folder(folder),
        _ => sync_folder(Path::new(".")),
    }
}

/// Has the names in a folder on disk. Network file systems that know no such thing say so; there a rename is as durable
/// as they make it.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) {
        // There a folder can't be opened as a file.
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}
