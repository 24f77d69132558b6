//! Greenlight's heart: the protocol, both ends' session logic and the status of the light.
//!
//! Where in the flow: between the databases (crate `greenlight-store`) and the drivers (server, browser client,
//! native client, simulation). A driver feeds events in with `handle_*` and carries out what `poll_output` hands out.
//!
//! What it never does: input or output of any kind, SQL, reading a clock, drawing random numbers, JavaScript.
//! That is why one process can run a server and many clients over a faulty network under a virtual clock.

pub mod change;
pub mod client;
pub mod compatibility;
mod fragments;
pub mod key;
pub mod limits;
pub mod position;
pub mod protocol;
pub mod replica;
pub mod schema;
pub mod server;
pub mod status;
pub mod time;

pub use change::{Change, Value};
pub use key::PackedKey;
pub use position::{Bound, Cursor, Epoch, Lineage, SiteId, Tag, Version};
pub use schema::{SchemaId, SchemaShape, TableShape};
pub use status::{Status, StatusState};
pub use time::Now;
