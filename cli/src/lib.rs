//! The native client: the driver that runs core's session over a WebSocket and a database file, and the commands.
//!
//! Where in the flow: step 3 of a write, for laptops and servers; the browser's worker is its sibling.
//! Never holds sync logic of its own: what to do is the session's to say, how it is stored the store's.

pub mod address;
pub mod adopt;
pub mod args;
mod ask;
mod bar;
mod bundle;
mod client;
mod clock;
mod command;
mod completing;
pub mod config;
pub mod crash;
pub mod doctor;
mod durable;
mod error;
pub mod exits;
pub mod home;
mod live;
mod logs;
pub mod manual;
mod misfit;
mod output;
mod remote;
mod room;
mod schema;
pub mod serve;
mod setup;
mod show;
mod snapshots;
mod socket;
pub mod sync;
mod trust;

pub use client::{Client, ClientSettings};
pub use command::run;
pub use error::{ClientError, Outcome};
pub use remote::{Remote, Token};
