//! What strangers may send, as plain functions of bytes that panic where something is wrong.
//!
//! Where in the flow: outside of everything. `make fuzz` lets a fuzzer look for inputs that fail; `tests/replay.rs`
//! runs those that were found and kept in `corpus/`, with every other test. Never says what is written twice.

pub mod codec;

mod client_session;
mod content;
mod databases;
mod http;
mod messages;
mod server_session;
mod statement;
mod text;

/// One way in.
pub struct Target {
    /// Its name, which is its folder's in `corpus/` too.
    pub name: &'static str,
    /// Runs one input.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target { name: "codec", run: codec::run },
    Target { name: "server", run: server_session::run },
    Target { name: "client", run: client_session::run },
    Target { name: "statement", run: statement::run },
    Target { name: "text", run: text::run },
    Target { name: "http", run: http::run },
];

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
