//! Fragments and their receipts on the wire, the same in both directions.
//!
//! Where in the flow: as the parent module.

use super::{FRAGMENT, RECEIVED, put_flag, start, take_flag};
use crate::limits::FRAGMENT_BYTES;
use crate::protocol::messages::Fragment;
use crate::protocol::wire::{Reader, WireError};

pub(crate) fn encode_fragment(number: u64, last: bool, bytes: &[u8]) -> Vec<u8> {
    let mut out = start(FRAGMENT, bytes.len() + 16);
    out.varint(number);
    put_flag(&mut out, last);
    out.bytes(bytes);
    out.into_vec()
}

pub(super) fn decode_fragment(input: &mut Reader<'_>) -> Result<Fragment, WireError> {
    let number = input.varint("number")?;
    let last = take_flag(input, "last")?;
    let bytes = input.bytes(FRAGMENT_BYTES, "fragment")?;
    if bytes.is_empty() {
        return Err(WireError::Invalid("fragment"));
    }
    Ok(Fragment { number, last, bytes: bytes.to_vec() })
}

/// Whether a frame is a fragment or a receipt for one, which are never sent in fragments themselves.
pub(crate) fn is_about_fragments(frame: &[u8]) -> bool {
    matches!(frame.first(), Some(&(FRAGMENT | RECEIVED)))
}

pub(crate) fn encode_received(number: u64) -> Vec<u8> {
    let mut out = start(RECEIVED, 16);
    out.varint(number);
    out.into_vec()
}
