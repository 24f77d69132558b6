//! The page about the light keeps in step with the code: every reason with its state, remedy and sentence.

use greenlight_core::StatusState;
use greenlight_core::status::{Reason, Remedy};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const PAGE: &str = include_str!("../../../docs/status.md");

/// The one state under which a reason is shown; that it is the only one is checked over every combination of facts.
pub(crate) fn state_of(reason: Reason) -> StatusState {
    match reason {
        Reason::Synced => StatusState::Synced,
        Reason::Sending => StatusState::Syncing,
        Reason::Offline | Reason::Paused => StatusState::Disconnected,
        Reason::Opening
        | Reason::Dialling
        | Reason::Handshaking
        | Reason::Exchanging
        | Reason::CatchingUp
        | Reason::NoEcho
        | Reason::ServerBusy => StatusState::Connecting,
        Reason::ClosesEarly
        | Reason::NoWelcome
        | Reason::NoAcknowledgement
        | Reason::Unauthorized
        | Reason::Forbidden
        | Reason::UnknownDatabase
        | Reason::ServerUnavailable
        | Reason::ServerStorage
        | Reason::StorageFull
        | Reason::LocalStorage
        | Reason::Quarantined
        | Reason::Diverged => StatusState::Stuck,
        Reason::SchemaOlder | Reason::SchemaNewer | Reason::SchemaDiffers | Reason::Lineage | Reason::Protocol => {
            StatusState::Incompatible
        }
    }
}

/// The name by which JavaScript knows it.
fn name(value: impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).expect("plain enums are strings");
    json.as_str().expect("plain enums are strings").to_owned()
}

#[test]
fn every_reason_stands_in_the_page() {
    for reason in Reason::ALL {
        let (code, state, remedy) = (name(reason), name(state_of(reason)), name(reason.remedy()));
        let line = format!("| `{code}` | {state} | {remedy} | {} |", reason.sentence());
        assert!(PAGE.lines().any(|found| found.starts_with(&line)), "docs/status.md has no line: {line}");
    }
    let section = PAGE.split("## Reasons").nth(1).expect("a section of reasons");
    let section = section.split("\n## ").next().expect("its text");
    let rows = section.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, Reason::ALL.len(), "the page has no others");
}

#[test]
fn every_state_and_remedy_stands_in_the_page() {
    for state in StatusState::ALL {
        assert_eq!(name(state), state.name());
        assert!(PAGE.contains(&format!("| `{}` | ", state.name())), "{state:?}");
    }
    let remedies: Vec<Remedy> = Reason::ALL.into_iter().map(Reason::remedy).collect();
    for remedy in remedies {
        assert!(PAGE.contains(&format!("| `{}` | ", name(remedy))), "{remedy:?}");
    }
}
