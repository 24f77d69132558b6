//! Who may come in at this moment: the settings' own tokens, those of the token file, and the keys of signed tokens,
//! read again whenever one of the files changes.
//!
//! Where in the flow: made at the start; every request asks it, and every socket is told when it changes. A file that
//! isn't right after a change leaves what was before, and says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Access, KeySet, TokenFile};
use crate::limits::ACCESS_POLL;
use crate::settings::{Settings, SettingsError};

/// Who may come in at this moment.
#[derive(Clone, Debug)]
pub struct Gate {
    access: watch::Receiver<Arc<Access>>,
    is_right: Arc<AtomicBool>,
}

/// The files that access is read from.
#[derive(Clone, Debug)]
struct Files {
    own: Access,
    tokens: PathBuf,
    keys: Option<PathBuf>,
    issuer: Option<String>,
    audience: Option<String>,
    /// Whether a file of tokens ends what development allows.
    ends_development: bool,
}

/// By what a change is seen: another file, or written again.
type Stamp = [Option<(u64, u64, Option<SystemTime>)>; 2];

impl Gate {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// A file that isn't right.
    pub fn open(settings: &Settings) -> Result<(Self, JoinHandle<()>), SettingsError> {
        let files = Files {
            own: settings.access.clone(),
            tokens: settings.token_file(),
            keys: settings.jwks.clone(),
            issuer: settings.jwt_issuer.clone(),
            audience: settings.jwt_audience.clone(),
            ends_development: settings.dev_until_named,
        };
        let stamp = files.stamp();
        let (sender, access) = watch::channel(Arc::new(files.read()?));
        let is_right = Arc::new(AtomicBool::new(true));
        let watching = tokio::spawn(watch_files(files, stamp, sender, is_right.clone()));
        Ok((Self { access, is_right }, watching))
    }

    /// As of now.
    pub fn now(&self) -> Arc<Access> {
        self.access.borrow().clone()
    }

    /// Tells of changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Access>> {
        self.access.clone()
    }

    /// Whether the files were right when they were last read.
    pub fn is_right(&self) -> bool {
        self.is_right.load(Ordering::Relaxed)
    }
}

impl Files {
    fn read(&self) -> Result<Access, SettingsError> {
        let tokens = TokenFile::read(&self.tokens).map_err(|error| SettingsError::bad("tokens", error.to_string()))?;
        let keys = match &self.keys {
            Some(file) => KeySet::read(file, self.issuer.clone(), self.audience.clone())
                .map_err(|error| SettingsError::bad("jwks", error.to_string()))?,
            None => KeySet::default(),
        };
        let access = self.own.with(&tokens, Arc::new(keys));
        // One without a token in it too: somebody was named, and was taken back.
        let is_named = self.ends_development && self.tokens.exists();
        Ok(if is_named { access.without_development() } else { access })
    }

    fn stamp(&self) -> Stamp {
        [stamp(Some(&self.tokens)), stamp(self.keys.as_deref())]
    }
}

fn stamp(file: Option<&Path>) -> Option<(u64, u64, Option<SystemTime>)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(file?).ok()?;
    Some((found.ino(), found.len(), found.modified().ok()))
}

/// Two files are looked at every so often: simpler than the file system's events, and right on every file system.
async fn watch_files(files: Files, mut seen: Stamp, sender: watch::Sender<Arc<Access>>, is_right: Arc<AtomicBool>) {
    let mut ticks = tokio::time::interval(ACCESS_POLL);
    loop {
        ticks.tick().await;
        let stamp = files.stamp();
        if stamp == seen {
            continue;
        }
        seen = stamp;
        match files.read() {
            Ok(access) => {
                tracing::info!("access was read again: {access:?}");
                is_right.store(true, Ordering::Relaxed);
                sender.send_replace(Arc::new(access));
            }
            Err(error) => {
                tracing::error!("access stays as it was: {error}");
                is_right.store(false, Ordering::Relaxed);
            }
        }
    }
}
