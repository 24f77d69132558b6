//! What a server does about a damaged file: checks it before it is opened, or beside the work, and sets it aside.
//!
//! Where in the flow: on the writer's thread before it opens a file, and on a reader's for a long one. Never makes a file
//! in the place of one that is set aside, and never judges one that came into an open database's place: whoever put it
//! there may not be done.

use std::path::{Path, PathBuf};
use std::time::Instant;

use greenlight_store::{Examined, examine, set_aside, set_aside_as};

use super::engine::{Opening, backups};
use crate::clock;
use crate::limits::{CHECK_BEFORE_BYTES, CHECK_LIMIT};
use crate::name::BACKUP_FOLDER;

/// Where a file that isn't there is set aside, if it is.
pub(super) fn place(file: &Path) -> Result<Option<PathBuf>, String> {
    set_aside_as(file, &backups(file)).map_err(|fault| fault.message)
}

/// What is told of it, without a path of this machine.
pub(super) fn sentence(place: &Path) -> String {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "its file was damaged and is set aside as {BACKUP_FOLDER}/{name}: put a copy back with `greenlight-server \
         restore`; clients bring what they have"
    )
}

/// Checks a file that is about to be opened, and sets it aside where it is damaged. A long one is checked later, unless
/// its writer has ended: then there is a reason to look at all of it now.
pub(super) fn check(file: &Path, opening: Opening) -> Result<(), String> {
    let is_first = matches!(opening, Opening::First { .. });
    if is_first && is_long(file) {
        return Ok(());
    }
    match examine(file, || true).map_err(|fault| fault.message)? {
        Examined::Whole | Examined::Unfinished => Ok(()),
        Examined::Damaged(findings) => {
            let place = set_aside(file, &backups(file), clock::wall_ms()).map_err(|fault| fault.message)?;
            let sentence = sentence(&place);
            tracing::error!(file = %file.display(), "{sentence} ({findings})");
            Err(sentence)
        }
    }
}

/// Whether a file is checked beside the work.
pub(super) fn is_long(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|facts| facts.len() > CHECK_BEFORE_BYTES)
}

/// Checks a file beside the work, as long as `is_wanted`; whether it is damaged.
pub(super) fn is_damaged(file: &Path, is_wanted: impl Fn() -> bool + Send + 'static) -> bool {
    let begun = Instant::now();
    match examine(file, move || is_wanted() && begun.elapsed() < CHECK_LIMIT) {
        Ok(Examined::Damaged(findings)) => {
            tracing::error!(file = %file.display(), "the file is damaged: {findings}");
            true
        }
        Ok(Examined::Whole) => {
            tracing::info!(file = %file.display(), seconds = begun.elapsed().as_secs(), "every page is whole");
            false
        }
        Ok(Examined::Unfinished) => {
            tracing::warn!(file = %file.display(), "the check of every page was not finished");
            false
        }
        Err(fault) => {
            tracing::warn!(file = %file.display(), "every page could not be checked: {fault}");
            false
        }
    }
}
