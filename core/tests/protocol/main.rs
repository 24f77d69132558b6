//! The wire format from outside: what is encoded comes back, what is not valid is refused, what is written stays.
//!
//! Where in the flow: against `greenlight_core::protocol` and `key`. Frames are put together byte by byte here, and
//! never by the encoder that is under test.

mod arbitrary;
mod frame;
mod golden;
mod hostile;
mod keys;
mod limits;
mod roundtrip;
mod specification;
