//! Named steps of a push and a pull at which a build for tests can be made to die, as by a kill at that very moment.
//!
//! Where in the flow: called at every step on the way to a disk, here and in a remote's folder. The same means as the
//! store's `crash`, with a variable of its own. A build without debug assertions has none of it: there `point` is empty.

use greenlight_store::portable::Step;

/// Names the step to die at.
#[cfg(debug_assertions)]
const VARIABLE: &str = "GREENLIGHT_SYNC_CRASH";

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A moment between two steps of something durable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// Every point there is.
            pub const ALL: &[Point] = &[$(Point::$point),*];

            /// Its name in the environment.
            pub fn name(self) -> &'static str {
                match self {
                    $(Point::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// The database carries the mark of the snapshot that is about to be taken.
    Marked = "marked",
    /// Its log is folded into the file.
    Folded = "folded",
    /// The local backup is copied, under a name for the time being.
    Copied = "copied",
    /// The local backup has its name.
    BackedUp = "backed-up",
    /// The snapshot is made.
    Stripped = "stripped",
    /// What is about to be exchanged is remembered.
    Attempted = "attempted",
    /// The remote's lock is taken.
    RemoteLocked = "remote-locked",
    /// Half of the snapshot is in the remote's folder.
    RemoteHalf = "remote-half",
    /// All of it is, under a name for the time being.
    RemoteCopied = "remote-copied",
    /// It has the name of its hash.
    RemoteNamed = "remote-named",
    /// The remote's meta names it: from now on it is the remote's snapshot.
    RemoteMeta = "remote-meta",
    /// It has the name that it keeps.
    RemotePlaced = "remote-placed",
    /// A snapshot is fetched, under a name for the time being.
    Fetched = "fetched",
    /// It is this machine's own.
    Fitted = "fitted",
    /// The present database is kept under another name.
    Kept = "kept",
    /// What came has the database's name.
    Placed = "placed",
    /// What was exchanged is remembered.
    Remembered = "remembered",
}

impl From<Step> for Point {
    fn from(step: Step) -> Self {
        match step {
            Step::Marked => Self::Marked,
            Step::Folded => Self::Folded,
            Step::Copied => Self::Copied,
            Step::BackedUp => Self::BackedUp,
            Step::Stripped => Self::Stripped,
            Step::Fitted => Self::Fitted,
            Step::Kept => Self::Kept,
            Step::Placed => Self::Placed,
        }
    }
}

/// Dies here, where the environment says so.
#[cfg(debug_assertions)]
pub(crate) fn point(here: Point) {
    let Ok(name) = std::env::var(VARIABLE) else { return };
    if !Point::ALL.iter().any(|point| point.name() == name) {
        eprintln!("{VARIABLE} names no step: {name}");
        // A test that is armed wrongly must not go on as one that is not armed.
        std::process::abort();
    }
    if name != here.name() {
        return;
    }
    eprintln!("dies at {name}");
    #[cfg(unix)]
    if rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).is_ok() {
        // The signal may take a moment; nothing may happen after this point in the meantime.
        loop {
            std::thread::park();
        }
    }
    std::process::abort();
}

/// Nothing, in a build that ships.
#[cfg(not(debug_assertions))]
pub(crate) fn point(_: Point) {}
