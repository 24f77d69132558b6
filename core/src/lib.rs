//! Protocol, both ends' session logic and the status, without any input or output.
