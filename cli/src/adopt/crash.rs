//! Named steps of taking over a database at which a build for tests can be made to die.
//!
//! Where in the flow: called at every step on the way to the disk. By the store's means, with a variable of its own.

use greenlight_store::crash_points;

crash_points! {
    /// Names the step to die at and at which of its occurrences, from 1: `copied:1`.
    "GREENLIGHT_ADOPT_CRASH"
    /// The database is copied, under a name for the time being.
    Copied = "copied",
    /// The copy is mended.
    Mended = "mended",
    /// The copy is a client's database, and on disk.
    Converted = "converted",
    /// The schema's file is written.
    Described = "described",
    /// The database has the name that it keeps, too.
    Kept = "kept",
    /// The copy has the database's name.
    Placed = "placed",
}
