//! A machine's turn to write into a remote's folder: a lock file with a lifetime, since network folders have no locks.
//!
//! Where in the flow: taken by a push, before the remote is looked at for the last time. What it promises: two machines
//! that see the same folder don't push at once, and one that died is not waited for longer than its lock's lifetime.
//! What it can't: a folder that something else copies from machine to machine later. There each push is compared with
//! what was seen, and readers find by the hash what does not fit together.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::SyncError;
use super::lock::{Holder, MAX_BYTES};
use crate::durable;

/// A lock that was not renewed for so long is of a machine that is gone.
pub(super) const LIFETIME: Duration = Duration::from_secs(120);
/// How often its holder renews it.
const RENEW: Duration = Duration::from_secs(20);
/// The lock's name in the folder.
const NAME: &str = "sync.lock";
/// How many letters and digits follow it in the names of files for a moment.
const REST_LETTERS: usize = 16;

/// What is in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Text {
    #[serde(flatten)]
    holder: Holder,
    /// Random: whose it is.
    token: String,
    /// Where process numbers mean the same: this start of this system, and its view of processes.
    here: Option<String>,
    /// In seconds, so that whoever reads it knows when it ends.
    lifetime: u64,
}

/// Held while a remote's folder is written.
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    token: String,
    stop: Option<Sender<()>>,
    renewing: Option<JoinHandle<()>>,
}

impl Turn {
    /// Takes the lock, or says who has it. One that is stale is taken over.
    pub(super) fn take(folder: &Path, shown: &str) -> Result<Self, SyncError> {
        let path = folder.join(NAME);
        let failed = |source| SyncError::Remote { path: path.clone(), source };
        let token = format!("{:016x}", super::random()?);
        let text = Text { holder: Holder::this(), token: token.clone(), here: here(), lifetime: LIFETIME.as_secs() };
        let bytes = super::meta::to_json(&text)?;
        for _ in 0..2 {
            match OpenOptions::new().create_new(true).write(true).open(&path) {
                Ok(mut file) => {
                    if let Err(source) = file.write_all(&bytes).and_then(|()| file.sync_all()) {
                        // One without its text is nobody's, and goes with its lifetime at the latest.
                        drop(std::fs::remove_file(&path));
                        return Err(failed(source));
                    }
                    clear_rests(folder, &path);
                    return Ok(Self::renewed(path, token, file, bytes));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => take_away_stale(folder, &path, shown)?,
                Err(source) => return Err(failed(source)),
            }
        }
        Err(SyncError::Raced(shown.to_owned()))
    }

    fn renewed(path: PathBuf, token: String, mut file: File, bytes: Vec<u8>) -> Self {
        let (stop, stopped) = channel();
        // Written again as it is: the time that the file gets is the file system's own, whose clock all share.
        let renew = move || {
            while stopped.recv_timeout(RENEW) == Err(RecvTimeoutError::Timeout) {
                let renewed = file.rewind().and_then(|()| file.write_all(&bytes)).and_then(|()| file.sync_all());
                if let Err(error) = renewed {
                    tracing::warn!("the lock of the remote can't be renewed: {error}");
                }
            }
        };
        // Without the thread the lock lasts for its lifetime, and is looked at before the decisive step.
        let renewing = std::thread::Builder::new().name("greenlight-turn".to_owned()).spawn(renew).ok();
        Self { path, token, stop: Some(stop), renewing }
    }

    /// Whether it is still this process's turn: a machine that slept may have been given up.
    pub(super) fn is_held(&self) -> bool {
        read(&self.path).is_ok_and(|text| text.is_some_and(|text| text.token == self.token))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(renewing) = self.renewing.take() {
            // It can't panic, and what it held is let go of either way.
            drop(renewing.join());
        }
        if self.is_held() {
            // One that can't be removed is stale once its lifetime is over.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Removes a lock whose holder is gone; else says who that is.
fn take_away_stale(folder: &Path, path: &Path, shown: &str) -> Result<(), SyncError> {
    let failed = |source| SyncError::Remote { path: path.to_owned(), source };
    let text = match read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        text => text.map_err(failed)?,
    };
    let is_gone =
        text.as_ref().is_some_and(|text| text.here.is_some() && text.here == here() && !lives(text.holder.pid));
    let age = match age(folder, path) {
        // Given back at this very moment.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        age => age.map_err(failed)?,
    };
    if !is_gone && age < LIFETIME {
        let unknown = || "unknown".to_owned();
        let nobody = Holder { pid: 0, machine: unknown(), since: unknown(), command: unknown() };
        let holder = text.map_or(nobody, |text| text.holder);
        return Err(SyncError::RemoteLocked { remote: shown.to_owned(), holder });
    }
    // By a name of one's own: of two who find it stale one gets it, and the other begins again.
    let aside = folder.join(format!("{NAME}.{:016x}", super::random()?));
    match std::fs::rename(path, &aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        renamed => renamed.map_err(failed)?,
    }
    let found = match read(&aside) {
        // As old as it is, who has the turn meanwhile has removed it.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed)?,
    };
    if found != text {
        // Somebody else was faster, and this is the new one's. Its holder looks before the step that decides.
        std::fs::rename(&aside, path).map_err(failed)?;
        return Err(SyncError::Raced(shown.to_owned()));
    }
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed),
    }
}

/// How long ago it was written, by the clock of the file system: a file is made to ask it.
fn age(folder: &Path, path: &Path) -> io::Result<Duration> {
    let probe = tempfile::Builder::new().prefix(&format!("{NAME}.")).rand_bytes(REST_LETTERS).tempfile_in(folder)?;
    age_at(probe.as_file().metadata()?.modified()?, path)
}

/// A time that lies ahead counts by how far it does, since nobody who renews a lock writes such a one.
fn age_at(now: SystemTime, path: &Path) -> io::Result<Duration> {
    let written = std::fs::symlink_metadata(path)?.modified()?;
    Ok(now.duration_since(written).unwrap_or_else(|ahead| ahead.duration()))
}

/// Removes what others left who died while they looked at a lock or took it away. The caller has just made its own, which
/// tells the time. What can't be removed is so by the next push.
fn clear_rests(folder: &Path, lock: &Path) {
    let is_rest = |name: &str| {
        let letters = name.strip_prefix(NAME).and_then(|rest| rest.strip_prefix('.'));
        letters.is_some_and(|it| it.len() == REST_LETTERS && it.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    let Ok(now) = std::fs::metadata(lock).and_then(|facts| facts.modified()) else { return };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_old = || age_at(now, &entry.path()).is_ok_and(|age| age >= LIFETIME);
        if entry.file_name().to_str().is_some_and(is_rest) && is_old() {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Text>> {
    let mut text = Vec::new();
    durable::open(path)?.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

/// This start of this system and its view of processes; nothing where the system doesn't tell.
fn here() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let view = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), view.display()))
}

#[cfg(unix)]
fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // Whoever may not be signalled lives.
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn lives(_: u32) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(folder: &Path) -> bool {
        matches!(Turn::take(folder, "it"), Err(SyncError::RemoteLocked { .. }))
    }

    fn write(folder: &Path, text: &Text) {
        std::fs::write(folder.join(NAME), serde_json::to_vec(text).unwrap()).unwrap();
    }

    #[test]
    fn one_at_a_time_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let turn = Turn::take(folder.path(), "it").unwrap();
        assert!(turn.is_held());
        assert!(locked(folder.path()));
        drop(turn);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        drop(Turn::take(folder.path(), "it").unwrap());
    }

    #[test]
    fn who_takes_it_while_others_give_it_back_gets_it_or_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        match Turn::take(folder.path(), "it") {
                            Ok(turn) => assert!(turn.is_held()),
                            Err(SyncError::RemoteLocked { .. } | SyncError::Raced(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn of_another_machine_it_lasts_for_its_lifetime() {
        let folder = tempfile::tempdir().unwrap();
        let mut text =
            Text { holder: Holder::this(), token: "1".into(), here: Some("elsewhere".into()), lifetime: 120 };
        text.holder.pid = i32::MAX as u32;
        write(folder.path(), &text);
        assert!(locked(folder.path()), "no process of this machine says anything of another's");
        let file = File::options().write(true).open(folder.path().join(NAME)).unwrap();
        file.set_modified(SystemTime::now() - LIFETIME + Duration::from_secs(30)).unwrap();
        assert!(locked(folder.path()));
        file.set_modified(SystemTime::now() - LIFETIME - Duration::from_secs(1)).unwrap();
        let turn = Turn::take(folder.path(), "it").unwrap();
        assert!(turn.is_held());
    }

    #[test]
    fn one_of_a_time_far_ahead_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let text = Text { holder: Holder::this(), token: "1".into(), here: None, lifetime: 120 };
        write(folder.path(), &text);
        let file = File::options().write(true).open(folder.path().join(NAME)).unwrap();
        file.set_modified(SystemTime::now() + LIFETIME - Duration::from_secs(30)).unwrap();
        assert!(locked(folder.path()), "clocks are not that exact");
        file.set_modified(SystemTime::now() + Duration::from_secs(1_000_000)).unwrap();
        assert!(Turn::take(folder.path(), "it").unwrap().is_held());
    }

    #[test]
    fn of_a_process_that_is_gone_here_it_is_stale_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = Text { holder: Holder::this(), token: "1".into(), here: here(), lifetime: 120 };
        write(folder.path(), &text);
        assert!(locked(folder.path()), "this process lives");
        text.holder.pid = i32::MAX as u32;
        write(folder.path(), &text);
        assert!(Turn::take(folder.path(), "it").unwrap().is_held());
    }

    #[test]
    fn what_others_left_who_died_goes_once_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, age: Duration| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        };
        let old = LIFETIME + Duration::from_secs(30);
        put("sync.lock.0123456789abcdef", old);
        put("sync.lock.fedcba9876543210", LIFETIME - Duration::from_secs(30));
        put("sync.lock.mine", old);
        put("0123456789abcdef", old);
        drop(Turn::take(folder.path(), "it").unwrap());
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        assert_eq!(names, ["0123456789abcdef", "sync.lock.fedcba9876543210", "sync.lock.mine"]);
    }

    #[test]
    fn who_lost_it_knows_and_leaves_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let turn = Turn::take(folder.path(), "it").unwrap();
        std::fs::remove_file(folder.path().join(NAME)).unwrap();
        let other = Turn::take(folder.path(), "it").unwrap();
        assert!(!turn.is_held());
        drop(turn);
        assert!(other.is_held());
    }
}
