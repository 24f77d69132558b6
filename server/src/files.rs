//! How many files and sockets this process may have open.
//!
//! Where in the flow: once, before the server listens. Systems allow few unless asked for more, and each connection and
//! each database takes some: without room for both, strangers' connections would keep databases from being opened.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::{DATABASE_FILES, MAX_DATABASES, PLAIN_CONNECTIONS};

/// Takes as many as this process may ask for, and says in the log where that is less than it may come to need.
pub fn take_all(max_sockets: usize) {
    let allowed = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: allowed.maximum, maximum: allowed.maximum };
    if allowed.current != allowed.maximum
        && let Err(error) = setrlimit(Resource::Nofile, wanted)
    {
        tracing::warn!("no more files can be opened than were allowed at first: {error}");
    }
    let needed = (max_sockets + PLAIN_CONNECTIONS + MAX_DATABASES * DATABASE_FILES) as u64;
    // `None` is without a limit.
    if let Some(most) = getrlimit(Resource::Nofile).current.filter(|most| *most < needed) {
        tracing::warn!(
            "this process may open {most} files and sockets, and may come to need {needed}: raise the limit (ulimit -n), \
             or lower max_sockets"
        );
    }
}
