//! The command `greenlight-server`.
fn main() {}
