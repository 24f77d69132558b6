//! Named points at which a build for tests can be made to die, as by a kill at that very moment.
//!
//! Where in the flow: called at every step on the way to the disk and back to whoever asked. A build without debug
//! assertions, and one for browsers, has none of it: there `point` is empty. Never does anything unless the
//! environment arms it, and then nothing but end the process: no destructor runs, nothing is flushed.

/// Makes the points of a crate: an enum `Point`, and `point`, which is called where each of them is passed.
#[macro_export]
macro_rules! crash_points {
    ($(#[$about:meta])* $variable:literal $($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        $(#[$about])*
        pub const VARIABLE: &str = $variable;

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

        /// Dies here, where the environment says so.
        #[inline]
        pub fn point(here: Point) {
            #[cfg(all(debug_assertions, not(target_family = "wasm")))]
            {
                static ARMING: $crate::crash::Arming = $crate::crash::Arming::new(VARIABLE, &[$($name),*]);
                ARMING.pass(here.name());
            }
            #[cfg(not(all(debug_assertions, not(target_family = "wasm"))))]
            let _ = here;
        }
    };
}

crash_points! {
    /// Names the point to die at and at which of its occurrences, from 1: `upload-committed:3`.
    "GREENLIGHT_CRASH"
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

#[cfg(all(debug_assertions, not(target_family = "wasm")))]
pub use armed::Arming;

#[cfg(all(debug_assertions, not(target_family = "wasm")))]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// What the environment says of one list of points; read when the first of them is passed.
    #[derive(Debug)]
    pub struct Arming {
        variable: &'static str,
        names: &'static [&'static str],
        /// Where the process dies, and how often it passes there before.
        armed: OnceLock<Option<(&'static str, AtomicU64)>>,
    }

    impl Arming {
        /// Of a variable and the names that it may have.
        pub const fn new(variable: &'static str, names: &'static [&'static str]) -> Self {
            Self { variable, names, armed: OnceLock::new() }
        }

        /// Passes a point, or dies there.
        pub fn pass(&self, here: &'static str) {
            let Some((at, left)) = self.armed.get_or_init(|| self.read()) else { return };
            if *at == here && left.fetch_sub(1, Ordering::AcqRel) == 1 {
                die(here);
            }
        }

        fn read(&self) -> Option<(&'static str, AtomicU64)> {
            let text = std::env::var(self.variable).ok()?;
            let armed = text.split_once(':').and_then(|(name, occurrence)| {
                let at = self.names.iter().copied().find(|known| *known == name)?;
                let left = occurrence.parse().ok().filter(|count| *count > 0)?;
                Some((at, AtomicU64::new(left)))
            });
            if armed.is_none() {
                eprintln!("{} names no point, or no occurrence of it: {text}", self.variable);
                // A test that is armed wrongly must not go on as one that is not armed.
                std::process::abort();
            }
            armed
        }
    }

    fn die(here: &str) {
        eprintln!("dies at {here}");
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
