//! Small files that are whole or not there: written beside, flushed, renamed, and the name flushed too.
//!
//! Where in the flow: below the configuration and what is remembered of remotes. Never leaves half a file under the
//! name of a whole one, and never writes through a link that somebody else put there.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces a file; its folder must be there. After an error the file is as it was.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = part_of(file);
    let written = write_new(&part, bytes).and_then(|()| std::fs::rename(&part, file));
    if let Err(error) = written {
        // A part that can't be removed takes space, and is removed by the next one.
        drop(std::fs::remove_file(&part));
        return Err(error);
    }
    sync_folder_of(file)
}

fn write_new(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part = create(file, Readers::Anybody)?;
    part.write_all(bytes)?;
    part.sync_all()
}

/// Who may read a file that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Whoever this person lets read new files.
    Anybody,
    /// This person alone.
    Owner,
}

/// Makes a file for the time being, in the place of one that was left. Others may write in its folder: a link that has
/// its name is removed, and one that comes in between is not followed.
pub(crate) fn create(file: &Path, readers: Readers) -> io::Result<File> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    if readers == Readers::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    // Elsewhere the folder says who may read.
    #[cfg(not(unix))]
    let _ = readers;
    options.open(file)
}

/// Opens a file to read it. What is none is refused: a pipe would be waited for, and a device has no end.
pub(crate) fn open(file: &Path) -> io::Result<File> {
    if !std::fs::metadata(file)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    File::open(file)
}

/// Lets the system forget what it has in memory of a file that is on disk, so that reading it asks the disk. It may do
/// otherwise, and nothing depends on that but how much a reading proves.
pub(crate) fn forget(file: &File) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    // Elsewhere nobody is asked.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = file;
}

/// Makes a folder, and those above it, for this person alone. One that is there stays as it is.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_link_that_was_put_in_its_place_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (file, precious) = (folder.path().join("sync-meta.json"), folder.path().join("precious"));
        std::fs::write(&precious, "mine").unwrap();
        symlink(&precious, part_of(&file)).unwrap();
        write(&file, b"new").unwrap();
        let is_link = |path: &Path| std::fs::symlink_metadata(path).unwrap().is_symlink();
        assert_eq!((std::fs::read(&precious).unwrap(), std::fs::read(&file).unwrap()), (b"mine".into(), b"new".into()));
        assert!(!is_link(&file) && !part_of(&file).exists());
        symlink(&precious, part_of(&file)).unwrap();
        let made = create(&part_of(&file), Readers::Owner).unwrap();
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!is_link(&part_of(&file)));
        assert_eq!(std::fs::read(&precious).unwrap(), b"mine");
    }
}
