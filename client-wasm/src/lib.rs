//! The browser client's module: core's session, the store, SQLite and cr-sqlite in one, run by a dedicated worker.
//!
//! Where in the flow: steps 1 to 3 and 7 to 8 of a write, in a browser. The worker's TypeScript (`js/src/worker`)
//! holds the socket, the timer and the tabs; it calls [`Engine`](engine::Engine) and carries out the effects that each
//! call leaves. Nothing here knows a socket, a tab or a page, and nothing there knows SQL or the protocol.

#[cfg(target_family = "wasm")]
mod boundary;
#[cfg(target_family = "wasm")]
mod bundles;
#[cfg(target_family = "wasm")]
mod driver;
#[cfg(target_family = "wasm")]
pub mod engine;
#[cfg(target_family = "wasm")]
mod pool;
#[cfg(target_family = "wasm")]
mod requests;
