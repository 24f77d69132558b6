//! The documentation keeps in step with the code: every message, code and limit stands in it as it is here.

use std::time::Duration;

use greenlight_core::limits;
use greenlight_core::protocol::{CloseCode, PROTOCOL, RefuseCode, SUBPROTOCOL};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const PAGE: &str = include_str!("../../../docs/protocol.md");
const HEADER: &str = include_str!("../../src/protocol.rs");
const BODY: &str = include_str!("../../src/protocol/changes.rs");

#[track_caller]
fn has_line(line: &str) {
    assert!(PAGE.lines().any(|found| found.starts_with(line)), "docs/protocol.md has no line: {line}");
}

#[test]
fn every_message_stands_in_the_page_as_in_the_header() {
    let rows: Vec<&str> = HEADER.lines().filter_map(|line| line.strip_prefix("//! ")).collect();
    let rows: Vec<&str> = rows.into_iter().filter(|row| row.starts_with('|')).collect();
    assert_eq!(rows.len(), 2 + 13, "a title, a rule and thirteen messages");
    rows.into_iter().for_each(has_line);
    let names = ["hello", "welcome", "refuse", "upload", "download", "uploaded", "downloaded", "ping", "pong"];
    for (number, name) in names.into_iter().chain(["verify", "digests", "fragment", "received"]).enumerate() {
        has_line(&format!("| {} | {name} |", number + 1));
    }
}

#[test]
fn the_body_stands_in_the_page_as_in_the_code() {
    let from = BODY.lines().skip_while(|line| *line != "//! ```text").skip(1);
    let rows: Vec<&str> = from.take_while(|line| *line != "//! ```").map(|line| &line[4..]).collect();
    assert!(rows.len() >= 8, "{rows:?}");
    rows.into_iter().for_each(has_line);
}

#[test]
fn the_names_of_the_protocol_stand_in_the_page() {
    has_line(&format!("# The sync protocol, version {PROTOCOL}"));
    assert!(PAGE.contains(&format!("`{SUBPROTOCOL}`")));
}

#[test]
fn every_refusal_stands_in_the_page() {
    for code in (1..).map_while(RefuseCode::from_number) {
        has_line(&format!("| {} | `{code:?}` |", code.number()));
    }
}

#[test]
fn every_close_code_stands_in_the_page() {
    use CloseCode::{GoingAway, Idle, Malformed, Normal, OutOfOrder, Overloaded, Refused, StoreFailed, TooBig};
    let all = [Normal, GoingAway, TooBig, Malformed, OutOfOrder, Refused, Idle, StoreFailed, Overloaded];
    for code in all {
        // A code that is added here must be added above.
        match code {
            Normal | GoingAway | TooBig | Malformed | OutOfOrder | Refused | Idle | StoreFailed | Overloaded => {}
        }
        has_line(&format!("| {} | `{code:?}` |", code.number()));
    }
    let section = PAGE.split("### Close codes").nth(1).expect("a section of close codes");
    let section = section.split("\n## ").next().expect("its text");
    let rows = section.lines().filter(|line| line.starts_with("| ") && line.contains('`')).count();
    assert_eq!(rows, all.len(), "the page has no others");
}

macro_rules! numbers {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), limits::$name as u64)),*] };
}

macro_rules! deadlines {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), limits::$name)),*] };
}

#[test]
fn every_limit_stands_in_the_page() {
    let numbers = numbers![
        MAX_FRAME_BYTES,
        MAX_VALUE_BYTES,
        MAX_KEY_BYTES,
        MAX_KEY_COLUMNS,
        MAX_NAME_BYTES,
        MAX_TABLES,
        MAX_COLUMNS,
        MAX_PART_CHANGES,
        PART_TARGET_BYTES,
        MAX_PART_NAMES,
        MAX_PART_SITES,
        MAX_RANGE_PARTS,
        WINDOW_PARTS,
        PLAIN_FRAME_BYTES,
        FRAGMENT_BYTES,
        MAX_FRAGMENTS,
        FIRST_FLIGHT_BYTES,
        LEAST_FLIGHT_BYTES,
        MOST_FLIGHT_BYTES,
        MAX_TOKEN_BYTES,
        MAX_SENTENCE_BYTES,
        MAX_AGENT_BYTES,
        MAX_DIGESTS,
        MAX_SUSPECTS,
        MAX_DIVERGED_ROWS,
        MAX_DESCRIBED_ROWS,
        MAX_REPAIRS,
        DIGEST_PAGE_CHANGES,
        VERIFY_SHARE,
        MAX_VERSION,
        MAX_COLUMN_VERSION,
        MAX_SEQUENCE,
    ];
    let deadlines: [(&str, Duration); 20] = deadlines![
        HEARTBEAT,
        FRESHNESS,
        EARLY_RECEIPT,
        LATE_RECEIPT,
        IDLE_LIMIT,
        HELLO_LIMIT,
        WELCOME_LIMIT,
        WELCOME_GIVE_UP,
        CONNECT_LIMIT,
        ACKNOWLEDGEMENT_LIMIT,
        PROGRESS_GIVE_UP,
        VERIFY_IDLE,
        VERIFY_EVERY,
        VERIFY_AGAIN,
        VERIFY_LIMIT,
        STORAGE_RETRY,
        HELD_BACK_RETRY,
        EARLY_CLOSE,
        BACKOFF_FIRST,
        BACKOFF_MAX,
    ];
    for (name, number) in numbers {
        has_line(&format!("| `{name}` | {number} |"));
    }
    for (name, deadline) in deadlines {
        has_line(&format!("| `{name}` | {} |", deadline.as_millis()));
    }
    // A limit that is added to the code is added here and to the page. EARLY_CLOSE_COUNT is said in words.
    let declared = include_str!("../../src/limits.rs").lines().filter(|line| line.starts_with("pub const ")).count();
    assert_eq!(declared, numbers.len() + deadlines.len() + 1);
}
