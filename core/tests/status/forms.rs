//! The forms in which states, reasons and remedies leave the core: names, numbers, sentences.

use std::collections::HashSet;

use greenlight_core::client::{ClientConfig, ClientSession};
use greenlight_core::protocol::{CloseCode, RefuseCode};
use greenlight_core::status::{Direction, LastClose, Progress, Reason, Remedy, Share};
use greenlight_core::{Now, StatusState};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn states_have_names_and_numbers() {
    let names = StatusState::ALL.map(StatusState::name);
    assert_eq!(names, ["disconnected", "connecting", "synced", "syncing", "stuck", "incompatible"]);
    for (number, state) in StatusState::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(state.number()), number);
        assert_eq!(StatusState::from_number(state.number()), Some(state));
    }
    assert_eq!(StatusState::from_number(6), None);
}

#[test]
fn refusals_keep_their_numbers() {
    let codes: Vec<RefuseCode> = (0..100).filter_map(RefuseCode::from_number).collect();
    assert_eq!(codes.len(), 10);
    for (index, code) in codes.into_iter().enumerate() {
        assert_eq!(code.number(), index as u64 + 1);
    }
    assert_eq!(RefuseCode::from_number(u64::MAX), None);
}

#[test]
fn every_reason_has_a_sentence_of_its_own() {
    let sentences: HashSet<&str> = Reason::ALL.iter().map(|reason| reason.sentence()).collect();
    assert_eq!(sentences.len(), Reason::ALL.len());
    for sentence in sentences {
        assert!(sentence.ends_with('.') && sentence.starts_with(char::is_uppercase), "{sentence}");
    }
}

#[test]
fn a_remedy_fits_its_reason() {
    // Nuking a database is never offered where signing in, waiting or an update would do.
    for reason in Reason::ALL {
        let nukes = matches!(reason, Reason::Lineage | Reason::SchemaDiffers | Reason::Diverged);
        assert_eq!(reason.remedy() == Remedy::NukeAndResync, nukes, "{reason:?}");
    }
    assert_eq!(Reason::Unauthorized.remedy(), Remedy::SignIn);
    assert_eq!(Reason::Synced.remedy(), Remedy::None);
}

#[test]
fn a_page_gets_the_status_in_its_own_spelling() {
    let now = Now { monotonic_ms: 7, wall_ms: 1_700_000_000_000 };
    let session = ClientSession::new(now, ClientConfig { agent: "shop".into(), seed: 1 });
    let status = serde_json::to_value(session.status(now)).expect("a status is plain data");
    let expected = serde_json::json!({
        "state": "connecting",
        "reason": "opening",
        "sentence": "The local database is being opened.",
        "remedy": "wait",
        "since": 1_700_000_000_000_u64,
        "pending": { "changes": 0, "bytes": 0, "oldestAgeMs": null },
        "lastSyncedAt": null,
        "verifiedAt": null,
        "diverged": [],
        "freshnessMs": null,
        "progress": null,
        "quarantined": 0,
        "heldAside": 0,
        "leftOut": 0,
            "readOnly": false,
        "diagnostics": {
            "attempt": 0,
            "earlyCloses": 0,
            "lastClose": null,
            "lastError": null,
            "nextAttemptAt": null,
            "server": null,
            "siteId": null,
            "cursor": 0,
            "acknowledged": 0,
        },
    });
    assert_eq!(status, expected);
    let share = Share { done: 1, total: 2 };
    let progress = Progress { direction: Direction::Down, changes: share, bytes: share, per_second: 0.5, eta_ms: None };
    let share = serde_json::json!({ "done": 1, "total": 2 });
    let expected = serde_json::json!({
        "direction": "down", "changes": share, "bytes": share, "perSecond": 0.5, "etaMs": null,
    });
    assert_eq!(serde_json::to_value(progress).expect("progress is plain data"), expected);
}

#[test]
fn an_overloaded_server_is_recognised() {
    let close = |code: u16| LastClose { code, reason: String::new() };
    assert!(close(CloseCode::Overloaded.number()).is_overload());
    assert!(!close(1006).is_overload());
}
