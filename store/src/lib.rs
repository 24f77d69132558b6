//! The only SQL for sync: open, read and apply changes, cursors, schema, snapshot. Native and in browsers.
//!
//! Where in the flow: below the sessions of `greenlight-core`, whose two traits it implements, above cr-sqlite.
//! [`ClientDatabase`] is one end, [`ServerDatabase`] with its [`ServerReader`]s the other. Never knows sockets, never
//! reads a clock, never draws a random number of its own.

mod apply;
mod aside;
mod backup;
pub mod bundle;
mod client;
mod connection;
pub mod crash;
#[cfg(not(target_family = "wasm"))]
mod damage;
mod database;
mod digest;
mod facts;
mod fault;
mod foreign;
mod guard;
mod identity;
pub mod limits;
mod local;
#[cfg(not(target_family = "wasm"))]
mod making;
#[cfg(not(target_family = "wasm"))]
mod online;
mod options;
mod outbox;
#[cfg(not(target_family = "wasm"))]
pub mod portable;
mod quarantine;
mod read;
#[cfg(not(target_family = "wasm"))]
mod reader;
#[cfg(not(target_family = "wasm"))]
mod replaced;
#[cfg(not(target_family = "wasm"))]
mod restore;
mod rewrite;
mod schema;
mod server;
#[cfg(not(target_family = "wasm"))]
mod snapshot;
mod state;
mod statement;
mod tables;
#[cfg(not(target_family = "wasm"))]
pub mod takeover;
mod upload;
mod value;

pub use aside::{Shelf, Shelved, ShelvedId};
pub use backup::Backups;
pub use client::ClientDatabase;
#[cfg(not(target_family = "wasm"))]
pub use damage::{Examined, examine, names_set_aside, set_aside, set_aside_as};
pub use database::OpenError;
pub use local::LocalCommit;
#[cfg(not(target_family = "wasm"))]
pub use making::{clear_place, put_in_place};
#[cfg(not(target_family = "wasm"))]
pub use online::{BackedUp, BackupError, BackupPlace, back_up, last_backup};
pub use options::{Location, Options};
pub use quarantine::Retried;
#[cfg(not(target_family = "wasm"))]
pub use reader::ServerReader;
#[cfg(not(target_family = "wasm"))]
pub use replaced::{FileWatch, Replacement, take_up};
#[cfg(not(target_family = "wasm"))]
pub use restore::{RestoreError, RestorePlan, RestoreStep, Restored, restore};
pub use schema::{Finding, Problem, Schema, SchemaError, Upgrade};
pub use server::{Committed, Done, ServerDatabase, Work};
#[cfg(not(target_family = "wasm"))]
pub use snapshot::adopt;
pub use statement::{Answer, StatementError};
