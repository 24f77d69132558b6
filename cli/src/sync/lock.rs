//! One sync of a home at a time, and who it is.
//!
//! Where in the flow: taken before anything is looked at, let go by the system when the process ends, however it does.
//! The lock is the system's; what is written in the file is for people, and is never believed.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SyncError;
use crate::durable;

/// The longest text of a lock that is read, in bytes.
pub(super) const MAX_BYTES: u64 = 64 * 1024;
/// How much of a command line is written into a lock, in bytes.
const MAX_COMMAND_BYTES: usize = 200;

/// Who holds a lock, by what it wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// The host name.
    pub machine: String,
    /// RFC 3339, UTC.
    pub since: String,
    /// The command line.
    pub command: String,
}

impl Holder {
    /// This process.
    pub(super) fn this() -> Self {
        let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let mut command = words.collect::<Vec<_>>().join(" ");
        command.truncate(command.floor_char_boundary(MAX_COMMAND_BYTES));
        Self { pid: std::process::id(), machine: machine(), since: now(), command }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a file says must not write on the terminal.
        let clean = |text: &str| text.replace(char::is_control, " ");
        let (machine, since, command) = (clean(&self.machine), clean(&self.since), clean(&self.command));
        write!(f, "process {} on {machine} since {since} (`{command}`)", self.pid)
    }
}

/// Held as long as a sync is at work.
#[derive(Debug)]
pub(super) struct HomeLock(File);

impl HomeLock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(path: &Path) -> Result<Self, SyncError> {
        let failed = |source| SyncError::File { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            durable::create_folder(folder).map_err(failed)?;
        }
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let mut file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SyncError::Locked { holder: read(&mut file), lock: path.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // What is found here is of a process that is gone: otherwise the lock were taken.
        let text = serde_json::to_vec(&Holder::this()).map_err(|error| SyncError::System(error.to_string()))?;
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text));
        written.map_err(failed)?;
        Ok(Self(file))
    }
}

/// How a lock's file is found, without taking the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nobody's.
    Free,
    /// A process that is gone left its name; the next sync takes the lock all the same.
    Left(Holder),
    /// Somebody's.
    Held(Holder),
}

/// Looks who has the lock of a home.
pub(crate) fn look(path: &Path) -> std::io::Result<Found> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Free),
        file => file?,
    };
    // Whoever lets go takes the text away: only where there is some the lock itself has to be asked.
    if file.metadata()?.len() == 0 {
        return Ok(Found::Free);
    }
    match file.try_lock_shared() {
        Ok(()) => Ok(Found::Left(read(&mut file))),
        Err(TryLockError::WouldBlock) => Ok(Found::Held(read(&mut file))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Drop for HomeLock {
    fn drop(&mut self) {
        // The text is for people; one that stays is written over.
        drop(self.0.set_len(0));
    }
}

/// What the holder wrote; it may not have come to it yet.
fn read(file: &mut File) -> Holder {
    let mut text = Vec::new();
    let read = file.take(MAX_BYTES).read_to_end(&mut text);
    let told = read.ok().and_then(|_| serde_json::from_slice(&text).ok());
    let unknown = || "unknown".to_owned();
    told.unwrap_or_else(|| Holder { pid: 0, machine: unknown(), since: unknown(), command: unknown() })
}

/// The host name.
pub(crate) fn machine() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// The time as RFC 3339, UTC, to the second.
pub(super) fn now() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()
}
