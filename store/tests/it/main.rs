//! The store's tests, as one program: both ends on real databases, in memory and in fresh folders.

mod peers;
mod round_trip;
