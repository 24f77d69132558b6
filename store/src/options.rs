//! What a database is opened with: where it is, and the randomness and wall time that are injected.
//!
//! Where in the flow: made by a driver (server, browser client, native client, simulation). Clock and random source are
//! the driver's to give, so that a simulation repeats to the bit.

use std::path::PathBuf;

use greenlight_core::limits::PART_TARGET_BYTES;

use crate::backup::Backups;
use crate::limits::STATEMENT_STEPS;

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In memory, gone when it is closed.
    Memory,
    /// A file; in a browser a name within the file system that the driver made SQLite's default.
    File(PathBuf),
}

/// What a database is opened with.
pub struct Options {
    /// Where it is.
    pub location: Location,
    /// Uniform random numbers: identities and tags come from here.
    pub random: Box<dyn FnMut() -> u64 + Send>,
    /// Milliseconds since 1970-01-01 UTC.
    pub wall_ms: Box<dyn FnMut() -> i64 + Send>,
    /// Another build of cr-sqlite to load instead of the one that is linked in; not in browsers.
    pub extension: Option<PathBuf>,
    /// Where a copy is put before a file's database is migrated; without it none is made. Not in browsers.
    pub backups: Option<Backups>,
    /// How large the database may get, in bytes; beyond it writes fail as on a full disk. None has no limit.
    pub max_bytes: Option<u64>,
    /// A part is full at this many bytes; [`PART_TARGET_BYTES`] but in tests that cut ranges into many parts.
    pub part_bytes: usize,
    /// Steps of SQLite's machine that one statement of an app or an operator may take; [`STATEMENT_STEPS`] but in tests
    /// that can't wait for so long.
    pub statement_steps: u64,
}

impl Options {
    /// With the cr-sqlite that is linked in.
    pub fn new(
        location: Location,
        random: impl FnMut() -> u64 + Send + 'static,
        wall_ms: impl FnMut() -> i64 + Send + 'static,
    ) -> Self {
        Self {
            location,
            random: Box::new(random),
            wall_ms: Box::new(wall_ms),
            extension: None,
            backups: None,
            max_bytes: None,
            part_bytes: PART_TARGET_BYTES,
            statement_steps: STATEMENT_STEPS,
        }
    }

    /// As [`Options::new`], with the system's random source. Should that fail for once, a generator goes on that it
    /// has seeded.
    ///
    /// # Errors
    /// The system's, when it gives no random numbers at all.
    #[cfg(not(target_family = "wasm"))]
    pub fn system(location: Location, wall_ms: impl FnMut() -> i64 + Send + 'static) -> Result<Self, getrandom::Error> {
        let mut state = getrandom::u64()?;
        let random = move || {
            getrandom::u64().unwrap_or_else(|_| {
                // SplitMix64 (Steele, Lea, Flood, 2014).
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^ (mixed >> 31)
            })
        };
        Ok(Self::new(location, random, wall_ms))
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("location", &self.location)
            .field("extension", &self.extension)
            .finish_non_exhaustive()
    }
}
