//! Files that an operator's command makes belong to whom the folder belongs to: the server's user.
//!
//! Where in the flow: beneath the file of tokens, the audit log and what else both the server and commands write.
//! Never takes a file away from its owner.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::Path;

/// Gives a file to the owner of `like`, where that is somebody else. Only the superuser can, and only for them it
/// matters.
///
/// # Errors
/// The system's.
pub(crate) fn give(file: &File, like: &Path) -> io::Result<()> {
    let (wanted, present) = (like.metadata()?, file.metadata()?);
    if (wanted.uid(), wanted.gid()) == (present.uid(), present.gid()) {
        return Ok(());
    }
    fchown(file, Some(wanted.uid()), Some(wanted.gid()))
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
