//! `greenlight adopt`, as a person runs it: the real program on plain databases of its own.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod fixture;
mod kills;
mod refusals;
mod stories;
