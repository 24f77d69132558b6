//! How much room a file system has.
//!
//! Where in the flow: asked before something large is written, and by the doctor. Never writes anything: another program
//! may take the room meanwhile, so whoever writes expects errors all the same.

use std::path::Path;

/// Bytes that may still be written below a folder that is there; `None` where the system does not tell.
#[cfg(unix)]
pub(crate) fn free(folder: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(folder).ok()?;
    // Some file systems that are elsewhere know no sizes, and say 0 of everything.
    (facts.f_blocks > 0).then(|| facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// Nobody is asked.
#[cfg(not(unix))]
pub(crate) fn free(_: &Path) -> Option<u64> {
    None
}
