//! Named steps of a push and a pull at which a build for tests can be made to die, as by a kill at that very moment.
//!
//! Where in the flow: called at every step on the way to a disk, here and in a remote's folder. By the store's means,
//! with a variable of its own.

use greenlight_store::crash_points;
use greenlight_store::portable::Step;

crash_points! {
    /// Names the step to die at and at which of its occurrences, from 1: `marked:1`.
    "GREENLIGHT_SYNC_CRASH"
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
    /// What goes to the remote is compressed or encrypted.
    Packed = "packed",
    /// The remote's lock is taken.
    RemoteLocked = "remote-locked",
    /// Half of the snapshot is in the remote's folder.
    RemoteHalf = "remote-half",
    /// All of it is, under a name for the time being.
    RemoteCopied = "remote-copied",
    /// It has the name of its hash.
    RemoteNamed = "remote-named",
    /// What it replaces by force is kept.
    RemoteKept = "remote-kept",
    /// The remote's meta names it: from now on it is the remote's snapshot.
    RemoteMeta = "remote-meta",
    /// It has the name that it keeps.
    RemotePlaced = "remote-placed",
    /// What was there under another name, since it was packed otherwise, is gone.
    RemoteCleared = "remote-cleared",
    /// What is stored is fetched, and not yet unpacked.
    PackedFetched = "packed-fetched",
    /// A snapshot is fetched, under a name for the time being.
    Fetched = "fetched",
    /// It is this machine's own.
    Fitted = "fitted",
    /// It is merged with what is here.
    Merged = "merged",
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
            Step::Merged => Self::Merged,
            Step::Kept => Self::Kept,
            Step::Placed => Self::Placed,
        }
    }
}
