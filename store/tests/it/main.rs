//! The store's tests, as one program: both ends on real databases, in memory and in fresh folders.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod backups;
mod bundles;
mod denials;
mod differential;
mod digests;
mod disk;
mod edges;
mod faults;
mod files;
mod identity;
mod marks;
mod migrations;
mod numbering;
mod online;
mod parts;
mod peers;
mod poison;
mod power;
mod power_client;
mod restores;
mod round_trip;
mod schemas;
mod statements;
mod swaps;
mod takeovers;
