//! Named points at which a build for tests can be made to die, as by a kill at that very moment.
//!
//! Where in the flow: called at every step on the way to the disk and back to whoever asked. A build without debug
//! assertions, and one for browsers, has none of it: there `point` is empty. Never does anything unless the
//! environment arms it, and then nothing but end the process: no destructor runs, nothing is flushed.

/// Names the point to die at and at which of its occurrences, from 1: `upload-committed:3`.
pub const VARIABLE: &str = "GREENLIGHT_CRASH";

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A moment between two steps of something durable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// Every point there is.
            pub const ALL: &[Point] = &[$(Point::$point),*];

            /// Its name in [`VARIABLE`].
            pub fn name(self) -> &'static str {
                match self {
                    $(Point::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// A batch of uploads is applied, head and tag are stored; not committed.
    UploadBeforeCommit = "upload-before-commit",
    /// It is committed; the writer doesn't know yet.
    UploadCommitted = "upload-committed",
    /// Its head is published; no receipt is on its way.
    UploadPublished = "upload-published",
    /// Its receipts are handed to the sessions.
    UploadAnswered = "upload-answered",
    /// A batch of statements is done; not committed.
    ExecBeforeCommit = "exec-before-commit",
    /// It is committed; the writer doesn't know yet.
    ExecCommitted = "exec-committed",
    /// Its head is published; nobody is answered.
    ExecPublished = "exec-published",
    /// The answers are handed to the requests.
    ExecAnswered = "exec-answered",
    /// Writes by others have their place in the history; not committed.
    NoteBeforeCommit = "note-before-commit",
    /// That is committed.
    NoteCommitted = "note-committed",
    /// A snapshot is about to be copied.
    SnapshotBegun = "snapshot-begun",
    /// It is copied; nobody has it yet.
    SnapshotCopied = "snapshot-copied",
    /// Everything is dropped and the identity is another; not committed.
    ResetBeforeCommit = "reset-before-commit",
    /// That is committed.
    ResetCommitted = "reset-committed",
    /// It is published; nobody is told.
    ResetPublished = "reset-published",
    /// Changes of the quarantine are applied; not committed.
    RetryBeforeCommit = "retry-before-commit",
    /// That is committed.
    RetryCommitted = "retry-committed",
    /// Changes of the quarantine are dropped; not committed.
    DropBeforeCommit = "drop-before-commit",
    /// That is committed.
    DropCommitted = "drop-committed",
    /// A file is there, and has nothing of ours.
    FoundBegun = "found-begun",
    /// cr-sqlite's tables are made; not committed.
    FoundBeforeCommit = "found-before-commit",
    /// They are committed.
    FoundCommitted = "found-committed",
    /// A copy from before a migration is written, under a name for the time being.
    BackupWritten = "backup-written",
    /// It has its name.
    BackupNamed = "backup-named",
    /// The schema's tables are made or migrated, what was held aside is applied; not committed.
    SchemaBeforeCommit = "schema-before-commit",
    /// That is committed.
    SchemaCommitted = "schema-committed",
    /// A server's database has its epoch, and is complete.
    EpochCommitted = "epoch-committed",
    /// A damaged file is moved away; what lies beside it isn't yet.
    DamageMoved = "damage-moved",
    /// A new database is complete, under a name for the time being.
    MakingReady = "making-ready",
    /// It has its name.
    MakingPlaced = "making-placed",
    /// A restore has copied the copy.
    RestoreCopied = "restore-copied",
    /// The copy is checked and has its new identity.
    RestoreReady = "restore-ready",
    /// The present database is one file.
    RestoreFolded = "restore-folded",
    /// The present file is kept.
    RestoreKept = "restore-kept",
    /// Nothing is left beside the present file.
    RestoreCleared = "restore-cleared",
    /// The new file has its place.
    RestorePlaced = "restore-placed",
}

/// Dies here, where the environment says so.
#[inline]
pub fn point(here: Point) {
    #[cfg(all(debug_assertions, not(target_family = "wasm")))]
    armed::pass(here);
    #[cfg(not(all(debug_assertions, not(target_family = "wasm"))))]
    let _ = here;
}

#[cfg(all(debug_assertions, not(target_family = "wasm")))]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Point, VARIABLE};

    /// Where the process dies, and how often it passes there before.
    struct Arming {
        at: Point,
        left: AtomicU64,
    }

    pub(super) fn pass(here: Point) {
        static ARMING: OnceLock<Option<Arming>> = OnceLock::new();
        let Some(arming) = ARMING.get_or_init(read) else { return };
        if arming.at == here && arming.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            die(here);
        }
    }

    fn read() -> Option<Arming> {
        let text = std::env::var(VARIABLE).ok()?;
        let arming = text.split_once(':').and_then(|(name, occurrence)| {
            let at = Point::ALL.iter().copied().find(|point| point.name() == name)?;
            let left = occurrence.parse().ok().filter(|count| *count > 0)?;
            Some(Arming { at, left: AtomicU64::new(left) })
        });
        if arming.is_none() {
            eprintln!("{VARIABLE} names no point, or no occurrence of it: {text}");
            // A test that is armed wrongly must not go on as one that is not armed.
            std::process::abort();
        }
        arming
    }

    fn die(here: Point) {
        eprintln!("dies at {}", here.name());
        // The signal may take a moment; nothing may happen after this point in the meantime.
        if rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).is_ok() {
            loop {
                std::thread::park();
            }
        }
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::Point;

    #[test]
    fn every_point_has_a_name_of_its_own() {
        let mut names: Vec<_> = Point::ALL.iter().map(|point| point.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
