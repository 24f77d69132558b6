//! The server's tests: a real port, real sockets, real files.
//!
//! Where in the flow: outside, as a client is. `GREENLIGHT_TEST_EXTENSION` names another build of cr-sqlite that every
//! server here is started with; the whole suite runs once with and once without it.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected ends")]

mod access;
mod audit;
mod backup;
mod damage;
mod deploy;
mod descriptors;
mod endpoints;
mod exec;
mod external;
mod fence;
mod fixture;
mod hostile_http;
mod hostile_socket;
mod idle;
mod kills;
mod logs;
mod migration;
mod peer;
mod protocol;
mod quarantine;
mod rates;
mod replaced;
mod restore;
mod siege;
mod stop;
mod sync;
mod tokens;
mod verify;
mod web;
