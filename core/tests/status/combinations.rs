//! Every combination of facts that could make a difference.
//!
//! Where in the flow: below the rules. Ages lie just before, at and after each deadline.

use std::time::Duration;

use greenlight_core::Now;
use greenlight_core::limits::{ACKNOWLEDGEMENT_LIMIT, EARLY_CLOSE_COUNT, FRESHNESS, WELCOME_LIMIT};
use greenlight_core::protocol::{RefuseCode, WriterState};
use greenlight_core::replica::FaultKind;
use greenlight_core::status::{Compared, Facts, Link};

/// When every combination is judged; long after both clocks began.
pub(crate) const NOW: Now = Now { monotonic_ms: 100_000_000, wall_ms: 1_700_000_000_000 };

/// A moment of that age.
pub(crate) fn ago(age: Duration) -> Now {
    let ms = age.as_millis() as u64;
    Now { monotonic_ms: NOW.monotonic_ms - ms, wall_ms: NOW.wall_ms - ms as i64 }
}

const INSTANT: Duration = Duration::from_millis(1);

/// Never, just now, an instant before the deadline, at the deadline.
fn moments(deadline: Duration) -> [Option<Now>; 4] {
    [None, Some(NOW), Some(ago(deadline - INSTANT)), Some(ago(deadline))]
}

pub(crate) fn links() -> Vec<Link> {
    let mut links = vec![Link::Opening, Link::Down];
    links.extend([false, true].map(|again| Link::Dialling { again }));
    links.extend(moments(WELCOME_LIMIT).into_iter().flatten().map(|opened| Link::Greeting { opened }));
    links.extend([false, true].map(|exchanged| Link::Welcomed { exchanged }));
    links
}

pub(crate) fn refusals() -> Vec<Option<RefuseCode>> {
    let codes = (1..).map_while(RefuseCode::from_number).map(Some);
    [None].into_iter().chain(codes).collect()
}

pub(crate) const WRITERS: [WriterState; 5] =
    [WriterState::Commits, WriterState::Full, WriterState::ReadOnly, WriterState::Busy, WriterState::Failing];

const FAULTS: [Option<FaultKind>; 8] = [
    None,
    Some(FaultKind::Full),
    Some(FaultKind::ReadOnly),
    Some(FaultKind::Busy),
    Some(FaultKind::Corrupt),
    Some(FaultKind::Io),
    Some(FaultKind::OutOfOrder),
    Some(FaultKind::Internal),
];

/// Facts of a client that is fine: welcomed, exchanged, fresh, nothing pending.
pub(crate) const FINE: Facts = Facts {
    link: Link::Welcomed { exchanged: true },
    paused: false,
    refused: None,
    early_closes: 0,
    welcome_missing: false,
    acknowledgement_missing: false,
    server_failed: false,
    caught_up: Some(NOW),
    echoed: Some(NOW),
    receiving: None,
    writer: WriterState::Commits,
    pending: 0,
    held_back: false,
    awaiting: None,
    fault: None,
    quarantined: 0,
    compared: Compared::Equal,
};

/// The facts about the connection: what the socket, the server and the person did.
fn connections() -> Vec<Facts> {
    let mut all = Vec::new();
    for link in links() {
        for refused in refusals() {
            for early_closes in [EARLY_CLOSE_COUNT - 1, EARLY_CLOSE_COUNT] {
                for paused in [false, true] {
                    use Compared::{Diverged, Mending};
                    let rest = [
                        FINE,
                        Facts { welcome_missing: true, ..FINE },
                        Facts { acknowledgement_missing: true, ..FINE },
                        Facts { server_failed: true, ..FINE },
                        Facts { held_back: true, ..FINE },
                        Facts { compared: Mending, ..FINE },
                        Facts { compared: Diverged, ..FINE },
                    ];
                    for missing in rest {
                        all.push(Facts { link, refused, early_closes, paused, ..missing });
                    }
                }
            }
        }
    }
    all
}

/// The facts about the data: how fresh, how much waits, what failed.
fn contents() -> Vec<Facts> {
    let mut all = Vec::new();
    for caught_up in moments(FRESHNESS) {
        for echoed in moments(FRESHNESS) {
            for awaiting in moments(ACKNOWLEDGEMENT_LIMIT) {
                for writer in WRITERS {
                    for fault in FAULTS {
                        for (pending, quarantined) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                            // What comes in is never a reason to be green, so it need not meet everything.
                            let receiving = if pending + quarantined == 1 { Some(NOW) } else { None };
                            all.push(Facts {
                                caught_up,
                                echoed,
                                receiving,
                                awaiting,
                                writer,
                                fault,
                                pending,
                                quarantined,
                                ..FINE
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

/// Hands every combination to `check`: some ten million.
pub(crate) fn for_all(mut check: impl FnMut(&Facts)) {
    let contents = contents();
    for connection in connections() {
        for content in &contents {
            let Facts { caught_up, echoed, receiving, awaiting, writer, fault, pending, quarantined, .. } = *content;
            check(&Facts { caught_up, echoed, receiving, awaiting, writer, fault, pending, quarantined, ..connection });
        }
    }
}
