//! What stands around syncing: a server of one's own, what is printed for programs, the doctor, completions and manual
//! pages; as a person uses them: the real program, in homes of its own.
//!
//! Where in the flow: the outermost. Each test has its own folder, and its own server on a free port.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod background;
mod doctor;
mod fixture;
mod json;
mod live;
mod manual;
mod migrations;
mod output;
mod relay;
mod schemas;
mod serve;
mod slow;
mod tls;
