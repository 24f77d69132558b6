//! Seeded simulation of clients and a server over a faulty network.
//!
//! Where in the flow: above everything but the real drivers. Real sessions, real stores on real SQLite and cr-sqlite
//! in memory, or a model of them for ten times as many schedules; sockets, clocks, disks and randomness are played. One seed is one schedule, which repeats to the
//! bit. Never looks at the real time, never opens a file or a socket.
//!
//! Read in this order: `schedule` (what happens), `world` (the loop), `server` and `client` (the machines), `stores`
//! and `disk` (what they run on), `model`, `network`,
//! `oracle` (what must hold at every step), `run` (what must hold at the end), `breakage` (what is broken on purpose).

mod breakage;
mod client;
mod clock;
mod content;
mod disk;
mod event;
mod model;
mod network;
mod oracle;
mod real;
mod report;
mod run;
mod schedule;
mod server;
mod shrink;
mod steps;
mod stores;
mod suite;
mod workload;
mod world;

pub use breakage::Breakage;
pub use clock::Time;
pub use oracle::{Check, Violation};
pub use report::Counts;
pub use run::{Outcome, run};
pub use schedule::{Schedule, Step, Timed, generate};
pub use shrink::shrink;
pub use stores::Stores;
pub use suite::{Failure, run_many};
pub use workload::{Kind, SCHEMA, TABLES, Table, Write};
