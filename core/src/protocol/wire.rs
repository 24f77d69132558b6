//! Reading and writing the protocol's primitives.
//!
//! Where in the flow: below the messages. Never panics on any input, never allocates by an unchecked count.

use thiserror::Error;

/// Why a frame was refused; the static text names the field.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum WireError {
    /// The frame ends within this field.
    #[error("the frame ends within {0}")]
    Truncated(&'static str),
    /// The field holds what it may not hold.
    #[error("{0} is not valid")]
    Invalid(&'static str),
    /// The field is larger than its limit.
    #[error("{0} is larger than its limit")]
    TooLarge(&'static str),
    /// Bytes are left over behind the message.
    #[error("bytes are left over behind the message")]
    LeftOver,
    /// The first byte names no message of this protocol version in this direction.
    #[error("message type {0:#04x} is not known")]
    UnknownType(u8),
}

/// Appends primitives to a buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn fixed(&mut self, number: u64) {
        self.raw(&number.to_le_bytes());
    }

    pub(super) fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(super) fn zigzag(&mut self, number: i64) {
        self.varint(((number << 1) ^ (number >> 63)) as u64);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }
}

/// Takes primitives from a frame.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self(frame)
    }

    pub(super) fn finish(self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::LeftOver) }
    }

    pub(super) fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], WireError> {
        if self.0.len() < length {
            return Err(WireError::Truncated(field));
        }
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self, field: &'static str) -> Result<u8, WireError> {
        Ok(self.take(1, field)?[0])
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        self.take(N, field)?.try_into().map_err(|_| WireError::Truncated(field))
    }

    pub(super) fn fixed(&mut self, field: &'static str) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// An LEB128 number; only its shortest spelling is accepted.
    pub(super) fn varint(&mut self, field: &'static str) -> Result<u64, WireError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(field)?;
            if shift == 63 && byte > 1 || shift > 0 && byte == 0 {
                return Err(WireError::Invalid(field));
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(WireError::Invalid(field))
    }

    pub(super) fn zigzag(&mut self, field: &'static str) -> Result<i64, WireError> {
        let number = self.varint(field)?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn limited(&mut self, limit: u64, field: &'static str) -> Result<u64, WireError> {
        let number = self.varint(field)?;
        if number > limit { Err(WireError::TooLarge(field)) } else { Ok(number) }
    }

    /// A number of things that follow, each at least one byte long.
    pub(super) fn count(&mut self, limit: usize, field: &'static str) -> Result<usize, WireError> {
        let count = self.limited(limit as u64, field)? as usize;
        if count > self.0.len() { Err(WireError::Truncated(field)) } else { Ok(count) }
    }

    /// An index into a table of `length` entries.
    pub(super) fn index(&mut self, length: usize, field: &'static str) -> Result<usize, WireError> {
        let index = self.varint(field)?;
        if index < length as u64 { Ok(index as usize) } else { Err(WireError::Invalid(field)) }
    }

    pub(super) fn bytes(&mut self, limit: usize, field: &'static str) -> Result<&'a [u8], WireError> {
        let length = self.limited(limit as u64, field)? as usize;
        self.take(length, field)
    }

    pub(super) fn text(&mut self, limit: usize, field: &'static str) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes(limit, field)?).map_err(|_| WireError::Invalid(field))
    }
}
