//! The log in the home's `logs` folder: what was synced with what, and how that ended.
//!
//! Where in the flow: set up once, before a sync. Never prints, and never keeps a sync from happening.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::fmt::format::FmtSpan;

/// The log's name.
const NAME: &str = "greenlight.log";
/// A log that has grown to so many bytes is put aside at the next start.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Logs that were put aside and are kept.
const KEPT: u32 = 3;

/// Writes the log into the folder, which is made where the home is there; without a home there is no log.
pub(crate) fn begin(folder: &Path) {
    if !folder.parent().is_some_and(Path::is_dir) {
        return;
    }
    match open(folder) {
        Ok(file) => {
            let subscriber = tracing_subscriber::fmt()
                .json()
                .with_span_events(FmtSpan::CLOSE)
                .with_max_level(tracing::Level::INFO)
                .with_writer(Mutex::new(file))
                .finish();
            // A second one in one process can only be this same one.
            let _ = tracing::subscriber::set_global_default(subscriber);
        }
        Err(error) => {
            eprintln!("greenlight: there is no log of this, since {} can't be written: {error}", folder.display())
        }
    }
}

fn open(folder: &Path) -> io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join(NAME);
    if std::fs::metadata(&file).is_ok_and(|facts| facts.len() >= MAX_BYTES) {
        for number in (1..KEPT).rev() {
            let (from, to) = (folder.join(format!("{NAME}.{number}")), folder.join(format!("{NAME}.{}", number + 1)));
            if from.exists() {
                std::fs::rename(from, to)?;
            }
        }
        std::fs::rename(&file, folder.join(format!("{NAME}.1")))?;
    }
    OpenOptions::new().create(true).append(true).open(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_grown_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..u64::from(KEPT) + 2 {
            let file = open(folder.path()).unwrap();
            file.set_len(MAX_BYTES + number).unwrap();
        }
        let length = |name: &str| std::fs::metadata(folder.path().join(name)).map(|facts| facts.len()).ok();
        assert_eq!(length("greenlight.log.1"), Some(MAX_BYTES + u64::from(KEPT)));
        assert_eq!(length("greenlight.log.3"), Some(MAX_BYTES + 1));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), KEPT as usize + 1);
    }
}
