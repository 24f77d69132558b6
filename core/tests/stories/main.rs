//! Stories of people who sync: real sessions on both ends, a virtual clock, a network that can fail in every way, and
//! databases small enough to be seen through.
//!
//! Where in the flow: above both sessions, in the place of the drivers. Each story asserts what both databases hold
//! and what the light shows, at every step.

#[path = "../model/mod.rs"]
mod model;

mod clocks;
mod connection;
mod device;
mod identity;
mod impostors;
mod interruptions;
mod network;
mod refusals;
mod storage;
mod traffic;
mod verifying;
mod world;
mod writing;
