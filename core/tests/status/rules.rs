//! What the light may and must show, for every combination of facts.

use std::collections::HashSet;
use std::time::Duration;

use greenlight_core::Now;
use greenlight_core::StatusState;
use greenlight_core::limits::{ACKNOWLEDGEMENT_LIMIT, FRESHNESS, WELCOME_LIMIT};
use greenlight_core::protocol::{RefuseCode, WriterState};
use greenlight_core::replica::FaultKind;
use greenlight_core::status::{Compared, Facts, Link, Reason, judge, next_change};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::combinations::{FINE, NOW, WRITERS, for_all, links, refusals};
use crate::documentation::state_of;
use StatusState::{Connecting, Disconnected, Incompatible, Stuck, Synced, Syncing};

fn younger(moment: Option<Now>, limit: Duration) -> bool {
    moment.is_some_and(|moment| NOW.monotonic_ms - moment.monotonic_ms < limit.as_millis() as u64)
}

/// The second invariant: on this very connection a handshake and an exchange, caught up within the deadline with a
/// head that was announced, an echo within it, and a writer that commits.
fn may_be_green(facts: &Facts) -> bool {
    facts.link == Link::Welcomed { exchanged: true }
        && younger(facts.caught_up, FRESHNESS)
        && younger(facts.echoed, FRESHNESS)
        && facts.writer == WriterState::Commits
        && facts.compared == Compared::Equal
}

fn cannot_be_reconciled(facts: &Facts) -> bool {
    use RefuseCode::{Lineage, Protocol, SchemaDiffers, SchemaNewer, SchemaOlder};
    matches!(facts.refused, Some(Protocol | SchemaOlder | SchemaNewer | SchemaDiffers | Lineage))
}

/// Something on this device that no connection can mend.
fn has_local_trouble(facts: &Facts) -> bool {
    use FaultKind::{Corrupt, Full, Internal, Io, ReadOnly};
    facts.quarantined > 0
        || facts.compared == Compared::Diverged
        || matches!(facts.fault, Some(Full | ReadOnly | Corrupt | Io | Internal))
}

/// Something on the way that does not mend by itself.
fn makes_no_progress(facts: &Facts) -> bool {
    use RefuseCode::{Forbidden, Unauthorized, Unavailable, UnknownDatabase};
    use WriterState::{Failing, Full, ReadOnly};
    let welcomed = matches!(facts.link, Link::Welcomed { .. });
    let silent = matches!(facts.link, Link::Greeting { opened } if !younger(Some(opened), WELCOME_LIMIT));
    let unheard = facts.pending > 0
        && facts.awaiting.is_some()
        && !younger(facts.awaiting, ACKNOWLEDGEMENT_LIMIT)
        // A server that answered pings and does not any more is away, and that is an outage.
        && (facts.echoed.is_none() || younger(facts.echoed, FRESHNESS));
    matches!(facts.refused, Some(Unauthorized | Forbidden | UnknownDatabase | Unavailable))
        || facts.early_closes >= 3
        || facts.welcome_missing
        || facts.acknowledgement_missing && facts.pending > 0
        || facts.server_failed
        || facts.held_back
        || silent
        || welcomed && (unheard || matches!(facts.writer, Full | ReadOnly | Failing))
}

/// The state by the design's table, in its order of precedence.
fn state_by_the_table(facts: &Facts) -> StatusState {
    let without_connection = matches!(facts.link, Link::Down | Link::Dialling { again: true });
    if cannot_be_reconciled(facts) {
        Incompatible
    } else if has_local_trouble(facts) || !facts.paused && makes_no_progress(facts) {
        Stuck
    } else if facts.paused || without_connection {
        Disconnected
    } else if !may_be_green(facts) {
        Connecting
    } else if facts.pending > 0 {
        Syncing
    } else {
        Synced
    }
}

#[test]
fn every_combination_shows_what_the_table_says() {
    let mut states = HashSet::new();
    let mut reasons = HashSet::new();
    for_all(|facts| {
        let (state, reason) = judge(facts, NOW);
        assert_eq!(state, state_by_the_table(facts), "{facts:?} gives {reason:?}");
        // The invariant once more, apart from the table.
        assert!(!state.is_green() || may_be_green(facts) && !facts.paused, "{facts:?}");
        assert!(state != Synced || facts.pending == 0, "{facts:?}");
        states.insert(state);
        reasons.insert((state, reason));
    });
    assert_eq!(states.len(), StatusState::ALL.len(), "every state is reachable: {states:?}");
    for reason in Reason::ALL {
        let under: Vec<_> = reasons.iter().filter(|(_, shown)| *shown == reason).map(|(state, _)| *state).collect();
        assert_eq!(under, [state_of(reason)], "{reason:?} is reachable, and under one state only");
    }
}

#[test]
fn an_outage_is_no_more_than_disconnected() {
    let mut tried = 0;
    for_all(|facts| {
        let outage = matches!(facts.link, Link::Down | Link::Dialling { again: true })
            && !facts.paused
            && facts.refused.is_none()
            && facts.early_closes < 3
            && !facts.welcome_missing
            && !facts.acknowledgement_missing
            && !facts.server_failed
            && !facts.held_back
            && !has_local_trouble(facts);
        if outage {
            assert_eq!(judge(facts, NOW), (Disconnected, Reason::Offline), "{facts:?}");
            tried += 1;
        }
    });
    assert!(tried > 1_000, "only {tried} outages");
    // Of any length: an hour changes nothing.
    let down = Facts { link: Link::Down, pending: 9, awaiting: Some(NOW), ..FINE };
    assert_eq!(judge(&down, NOW.plus(Duration::from_secs(3_600))), (Disconnected, Reason::Offline));
}

#[test]
fn a_pause_hides_the_network_and_nothing_else() {
    for_all(|facts| {
        if !facts.paused {
            return;
        }
        let (state, reason) = judge(facts, NOW);
        let running = judge(&Facts { paused: false, ..*facts }, NOW);
        if cannot_be_reconciled(facts) || has_local_trouble(facts) {
            assert_eq!((state, reason), running, "{facts:?}");
        } else {
            assert_eq!((state, reason), (Disconnected, Reason::Paused), "{facts:?}");
        }
    });
}

#[test]
fn each_refusal_has_its_reason() {
    let expected = [
        (RefuseCode::Protocol, Incompatible, Reason::Protocol),
        (RefuseCode::SchemaOlder, Incompatible, Reason::SchemaOlder),
        (RefuseCode::SchemaNewer, Incompatible, Reason::SchemaNewer),
        (RefuseCode::SchemaDiffers, Incompatible, Reason::SchemaDiffers),
        (RefuseCode::Lineage, Incompatible, Reason::Lineage),
        (RefuseCode::Unauthorized, Stuck, Reason::Unauthorized),
        (RefuseCode::Forbidden, Stuck, Reason::Forbidden),
        (RefuseCode::UnknownDatabase, Stuck, Reason::UnknownDatabase),
        (RefuseCode::Superseded, Disconnected, Reason::Offline),
        (RefuseCode::Unavailable, Stuck, Reason::ServerUnavailable),
    ];
    for (code, state, reason) in expected {
        assert_eq!(judge(&Facts { link: Link::Down, refused: Some(code), ..FINE }, NOW), (state, reason));
    }
    assert_eq!(refusals().len(), expected.len() + 1, "every code is tried");
}

#[test]
fn the_reasons_of_a_connection_in_the_making() {
    let shown = |link: Link| judge(&Facts { link, caught_up: None, echoed: None, ..FINE }, NOW);
    assert_eq!(shown(Link::Opening), (Connecting, Reason::Opening));
    assert_eq!(shown(Link::Dialling { again: false }), (Connecting, Reason::Dialling));
    assert_eq!(shown(Link::Greeting { opened: NOW }), (Connecting, Reason::Handshaking));
    assert_eq!(shown(Link::Welcomed { exchanged: false }), (Connecting, Reason::Exchanging));
    assert_eq!(shown(Link::Welcomed { exchanged: true }), (Connecting, Reason::CatchingUp));
    let old = NOW.plus(FRESHNESS);
    assert_eq!(judge(&FINE, old), (Connecting, Reason::NoEcho));
    assert_eq!(judge(&Facts { echoed: Some(old), ..FINE }, old), (Connecting, Reason::CatchingUp));
    // While parts come in, a late echo is no silence, and comparing is over.
    let coming = Facts { receiving: Some(old), ..FINE };
    assert_eq!(judge(&coming, old), (Connecting, Reason::CatchingUp));
    assert_eq!(
        judge(&Facts { link: Link::Welcomed { exchanged: false }, ..coming }, old),
        (Connecting, Reason::CatchingUp)
    );
    assert_eq!(judge(&coming, old.plus(FRESHNESS)), (Connecting, Reason::NoEcho));
    let busy = Facts { writer: WriterState::Busy, ..FINE };
    assert_eq!(judge(&busy, NOW), (Connecting, Reason::ServerBusy));
}

#[test]
fn each_fault_has_its_reason() {
    for writer in WRITERS {
        let (state, _) = judge(&Facts { writer, ..FINE }, NOW);
        assert_eq!(state.is_green(), writer == WriterState::Commits, "{writer:?}");
    }
    let fault = |fault| judge(&Facts { fault: Some(fault), ..FINE }, NOW).1;
    assert_eq!(fault(FaultKind::Full), Reason::StorageFull);
    assert_eq!(fault(FaultKind::Io), Reason::LocalStorage);
    assert_eq!(fault(FaultKind::Busy), Reason::Synced);
    let full_and_quarantined = Facts { fault: Some(FaultKind::Full), quarantined: 3, ..FINE };
    assert_eq!(judge(&full_and_quarantined, NOW).1, Reason::StorageFull, "free space first");
}

#[test]
fn nothing_changes_before_the_next_change() {
    let instant = Duration::from_millis(1);
    for link in links() {
        for_ages(link, |facts| {
            let mut now = NOW;
            for _ in 0..6 {
                let shown = judge(&facts, now);
                let Some(left) = next_change(&facts, now) else {
                    for later in [1, 5_000, 10_000, 3_600_000] {
                        let later = now.plus(Duration::from_millis(later));
                        assert_eq!(judge(&facts, later), shown, "{facts:?} changed and did not say when");
                    }
                    return;
                };
                assert!(!left.is_zero(), "{facts:?} would be woken for ever");
                for before in [left / 2, left - instant] {
                    assert_eq!(judge(&facts, now.plus(before)), shown, "{facts:?} changed after {before:?}");
                }
                now = now.plus(left);
            }
            panic!("{facts:?} has more deadlines than there are");
        });
    }
}

/// Facts on `link` with every order of the deadlines.
fn for_ages(link: Link, mut check: impl FnMut(Facts)) {
    let ages = [None, Some(0), Some(1_000), Some(4_999), Some(5_000), Some(9_000), Some(20_000)];
    let moment = |age: Option<u64>| age.map(|age| crate::combinations::ago(Duration::from_millis(age)));
    for caught_up in ages.map(moment) {
        for echoed in ages.map(moment) {
            for awaiting in ages.map(moment) {
                for (pending, paused) in [(0, false), (1, false), (1, true)] {
                    check(Facts { link, caught_up, echoed, awaiting, pending, paused, ..FINE });
                }
            }
        }
    }
}

#[test]
fn the_light_leaves_green_at_the_deadline_and_not_before() {
    let instant = Duration::from_millis(1);
    for facts in [FINE, Facts { pending: 1, awaiting: Some(NOW), ..FINE }] {
        assert!(judge(&facts, NOW.plus(FRESHNESS - instant)).0.is_green());
        assert_eq!(judge(&facts, NOW.plus(FRESHNESS)).0, Connecting);
        assert_eq!(next_change(&facts, NOW), Some(FRESHNESS));
    }
    let fresh = NOW.plus(ACKNOWLEDGEMENT_LIMIT);
    let waiting = Facts { pending: 1, awaiting: Some(NOW), caught_up: Some(fresh), echoed: Some(fresh), ..FINE };
    assert_eq!(judge(&waiting, fresh), (Stuck, Reason::NoAcknowledgement));
    let away = Facts { caught_up: Some(NOW), echoed: Some(NOW), ..waiting };
    assert_eq!(judge(&away, fresh), (Connecting, Reason::NoEcho), "a cable was pulled: soon this is an outage");
    let silent = Facts { link: Link::Greeting { opened: NOW }, ..FINE };
    assert_eq!(judge(&silent, NOW.plus(WELCOME_LIMIT)), (Stuck, Reason::NoWelcome));
}
