//! `greenlight sync status|push|pull` with folders, as people use it: the real program, machines with homes of their
//! own, and a folder between them.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "../tools/background.rs"]
mod background;
mod buckets;
mod disks;
mod fixture;
mod identity;
mod judgement;
mod kept;
mod kills;
mod merges;
mod packing;
mod refusals;
#[path = "../tools/relay.rs"]
mod relay;
mod shared;
mod storage;
mod stories;
