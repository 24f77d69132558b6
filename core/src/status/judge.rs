//! From facts and the time to a state and its reason.
//!
//! Where in the flow: called by the client's session for every status. Pure: the same facts and time give the same
//! answer, which is why the light can be tested by enumerating facts.

use std::time::Duration;

use super::{Reason, StatusState};
use crate::limits::{ACKNOWLEDGEMENT_LIMIT, EARLY_CLOSE_COUNT, FRESHNESS, WELCOME_LIMIT};
use crate::protocol::{RefuseCode, WriterState};
use crate::replica::FaultKind;
use crate::time::Now;

/// What is known of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The local database is not loaded yet.
    Opening,
    /// No socket.
    Down,
    /// A socket was asked for; `again` when the attempt before failed without opening.
    Dialling {
        /// Whether this repeats a failed attempt.
        again: bool,
    },
    /// The socket is open, and no welcome came yet.
    Greeting {
        /// When it opened.
        opened: Now,
    },
    /// Welcomed.
    Welcomed {
        /// Whether data has been exchanged both ways on this connection.
        exchanged: bool,
    },
}

/// What comparing with the server has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Nothing is known to differ.
    Equal,
    /// Rows were found to differ; they are mended, and that is not confirmed yet.
    Mending,
    /// Rows differ, and repairs did not help.
    Diverged,
}

/// Everything that the light depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The socket.
    pub link: Link,
    /// Paused by hand.
    pub paused: bool,
    /// The last refusal since the last welcome.
    pub refused: Option<RefuseCode>,
    /// Closes soon after the opening, in a row, without a connection between that outlasted that time.
    pub early_closes: u32,
    /// The last socket ended for want of a welcome, whichever end lost patience.
    pub welcome_missing: bool,
    /// The last connection was given up for want of an acknowledgement, and none has come since.
    pub acknowledgement_missing: bool,
    /// The server ended a connection because its database failed, and data has not gone both ways since.
    pub server_failed: bool,
    /// The ping whose answer's head is reached: when it was sent.
    pub caught_up: Option<Now>,
    /// The newest answered ping: when it was sent.
    pub echoed: Option<Now>,
    /// While a large message, or a range in parts, comes in: when its newest piece came or was applied. Never makes the
    /// light green; it tells a server that is busy sending from one that has fallen silent.
    pub receiving: Option<Now>,
    /// The server's word on its writer, in the newest answer.
    pub writer: WriterState,
    /// Own changes above the acknowledgement.
    pub pending: u64,
    /// They wait on this connection for good: the server's word in the welcome was that this client may only read.
    pub held_back: bool,
    /// When waiting for an acknowledgement began: the later of the exchange, the first pending change and the last
    /// acknowledged part.
    pub awaiting: Option<Now>,
    /// The last fault of the local database, until a write succeeds.
    pub fault: Option<FaultKind>,
    /// Incoming changes that could not be applied.
    pub quarantined: u64,
    /// What comparing with the server has come to.
    pub compared: Compared,
}

/// The state and its reason. Precedence: incompatible, stuck, disconnected, connecting, syncing, synced.
pub fn judge(facts: &Facts, now: Now) -> (StatusState, Reason) {
    let found = facts
        .refused
        .and_then(Reason::incompatible)
        .map(|reason| (StatusState::Incompatible, reason))
        .or_else(|| stuck(facts, now).map(|reason| (StatusState::Stuck, reason)))
        .or_else(|| disconnected(facts).map(|reason| (StatusState::Disconnected, reason)))
        .or_else(|| connecting(facts, now).map(|reason| (StatusState::Connecting, reason)));
    match found {
        Some(answer) => answer,
        None if facts.pending > 0 => (StatusState::Syncing, Reason::Sending),
        None => (StatusState::Synced, Reason::Synced),
    }
}

fn stuck(facts: &Facts, now: Now) -> Option<Reason> {
    match facts.fault {
        Some(FaultKind::Full) => return Some(Reason::StorageFull),
        Some(FaultKind::Busy | FaultKind::OutOfOrder | FaultKind::Forbidden) | None => {}
        Some(_) => return Some(Reason::LocalStorage),
    }
    if facts.quarantined > 0 {
        return Some(Reason::Quarantined);
    }
    if facts.compared == Compared::Diverged {
        return Some(Reason::Diverged);
    }
    if facts.paused {
        return None;
    }
    match facts.refused {
        Some(RefuseCode::Unauthorized) => return Some(Reason::Unauthorized),
        Some(RefuseCode::Forbidden) => return Some(Reason::Forbidden),
        Some(RefuseCode::UnknownDatabase) => return Some(Reason::UnknownDatabase),
        Some(RefuseCode::Unavailable) => return Some(Reason::ServerUnavailable),
        _ if facts.held_back => return Some(Reason::Forbidden),
        _ => {}
    }
    if facts.server_failed {
        return Some(Reason::ServerStorage);
    }
    if facts.early_closes >= EARLY_CLOSE_COUNT {
        return Some(Reason::ClosesEarly);
    }
    let silent = |opened: Now| now.since(opened) >= WELCOME_LIMIT;
    if facts.welcome_missing || matches!(facts.link, Link::Greeting { opened } if silent(opened)) {
        return Some(Reason::NoWelcome);
    }
    if facts.pending > 0 && facts.acknowledgement_missing {
        return Some(Reason::NoAcknowledgement);
    }
    if let Link::Welcomed { .. } = facts.link {
        if matches!(facts.writer, WriterState::Full | WriterState::ReadOnly | WriterState::Failing) {
            return Some(Reason::ServerStorage);
        }
        let late = |awaiting: Now| now.since(awaiting) >= ACKNOWLEDGEMENT_LIMIT;
        // A server that has stopped answering pings too is away: an outage, which is never stuck.
        let away = facts.echoed.is_some_and(|echoed| now.since(echoed) >= FRESHNESS);
        if facts.pending > 0 && facts.awaiting.is_some_and(late) && !away {
            return Some(Reason::NoAcknowledgement);
        }
    }
    None
}

fn disconnected(facts: &Facts) -> Option<Reason> {
    match facts.link {
        _ if facts.paused => Some(Reason::Paused),
        Link::Down | Link::Dialling { again: true } => Some(Reason::Offline),
        _ => None,
    }
}

fn connecting(facts: &Facts, now: Now) -> Option<Reason> {
    let old = |moment: Option<Now>| moment.is_none_or(|moment| now.since(moment) >= FRESHNESS);
    let green = facts.link == Link::Welcomed { exchanged: true } && !old(facts.caught_up) && !old(facts.echoed);
    match facts.link {
        Link::Opening => Some(Reason::Opening),
        Link::Down | Link::Dialling { .. } => Some(Reason::Dialling),
        Link::Greeting { .. } => Some(Reason::Handshaking),
        Link::Welcomed { .. } if !green && !old(facts.receiving) => Some(Reason::CatchingUp),
        Link::Welcomed { .. } if facts.echoed.is_some() && old(facts.echoed) => Some(Reason::NoEcho),
        Link::Welcomed { exchanged: false } => Some(Reason::Exchanging),
        Link::Welcomed { .. } if facts.compared != Compared::Equal => Some(Reason::Exchanging),
        Link::Welcomed { .. } if facts.writer != WriterState::Commits => Some(Reason::ServerBusy),
        Link::Welcomed { exchanged: true } if old(facts.caught_up) || old(facts.echoed) => Some(Reason::CatchingUp),
        Link::Welcomed { .. } => None,
    }
}

/// How long these facts alone can keep their answer: until then the light changes only by an event.
/// `None` when no deadline lies ahead.
pub fn next_change(facts: &Facts, now: Now) -> Option<Duration> {
    let greeting = if let Link::Greeting { opened } = facts.link { Some((opened, WELCOME_LIMIT)) } else { None };
    [
        greeting,
        facts.caught_up.map(|moment| (moment, FRESHNESS)),
        facts.echoed.map(|moment| (moment, FRESHNESS)),
        facts.receiving.map(|moment| (moment, FRESHNESS)),
        facts.awaiting.map(|moment| (moment, ACKNOWLEDGEMENT_LIMIT)),
    ]
    .into_iter()
    .flatten()
    .filter_map(|(moment, limit)| limit.checked_sub(now.since(moment)).filter(|left| !left.is_zero()))
    .min()
}
