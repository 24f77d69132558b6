//! cr-sqlite's packed primary keys, checked before they reach it.
//!
//! Where in the flow: on every incoming change, before apply. Never repairs: a key that is not in the one canonical
//! form is refused, since two spellings of one key would be two rows for ever.
//!
//! The format (cr-sqlite 0.16.3, `pack_columns`): a byte with the number of columns; then per column a byte whose low
//! three bits are the type (1 integer, 2 real, 3 text, 4 blob, 5 null) and whose high five bits are a number of
//! bytes, followed by an integer of that many big-endian bytes: the value of an integer, the length of a text or
//! blob. Integers are unsigned and minimal (0 has no bytes, 255 is `09 FF`); negatives take 8. A real takes 8 bytes.

use std::sync::Arc;

use thiserror::Error;

use crate::change::Value;
use crate::limits::{MAX_KEY_BYTES, MAX_KEY_COLUMNS};

const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;
const NULL: u8 = 5;

/// Why a packed key was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Longer than [`MAX_KEY_BYTES`] or with more columns than [`MAX_KEY_COLUMNS`].
    #[error("the primary key is larger than its limit")]
    TooLarge,
    /// Ends within a column, or has bytes left over.
    #[error("the primary key ends early or has bytes left over")]
    Length,
    /// An unknown type, a number of bytes that is not minimal, text that is not UTF-8, a NaN.
    #[error("the primary key is not in canonical form")]
    NotCanonical,
    /// A NULL, which no key of Greenlight's may hold.
    #[error("the primary key holds a NULL")]
    Null,
}

/// A packed primary key in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackedKey(Arc<[u8]>);

impl PackedKey {
    /// Checks `bytes` and takes them.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        unpack(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// Packs `values`, as cr-sqlite would.
    ///
    /// # Errors
    /// [`KeyError::Null`] or [`KeyError::TooLarge`].
    pub fn pack(values: &[Value]) -> Result<Self, KeyError> {
        let count = u8::try_from(values.len()).map_err(|_| KeyError::TooLarge)?;
        let mut bytes = vec![count];
        for value in values {
            pack_value(&mut bytes, value)?;
        }
        Self::new(&bytes)
    }

    /// The key's columns, in key order.
    pub fn values(&self) -> Vec<Value> {
        unpack(&self.0).expect("checked when it was made")
    }

    /// The packed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn pack_value(bytes: &mut Vec<u8>, value: &Value) -> Result<(), KeyError> {
    match value {
        Value::Null => return Err(KeyError::Null),
        Value::Integer(number) => pack_number(bytes, INTEGER, *number as u64),
        Value::Real(number) => {
            bytes.push(REAL);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        Value::Text(text) => {
            pack_number(bytes, TEXT, text.len() as u64);
            bytes.extend_from_slice(text.as_bytes());
        }
        Value::Blob(blob) => {
            pack_number(bytes, BLOB, blob.len() as u64);
            bytes.extend_from_slice(blob);
        }
    }
    Ok(())
}

fn pack_number(bytes: &mut Vec<u8>, kind: u8, number: u64) {
    let size = minimal_size(number);
    bytes.push((size << 3) | kind);
    bytes.extend_from_slice(&number.to_be_bytes()[8 - usize::from(size)..]);
}

fn minimal_size(number: u64) -> u8 {
    (64 - number.leading_zeros()).div_ceil(8) as u8
}

fn unpack(bytes: &[u8]) -> Result<Vec<Value>, KeyError> {
    if bytes.len() > MAX_KEY_BYTES {
        return Err(KeyError::TooLarge);
    }
    let (&count, mut rest) = bytes.split_first().ok_or(KeyError::Length)?;
    if usize::from(count) > MAX_KEY_COLUMNS {
        return Err(KeyError::TooLarge);
    }
    if count == 0 {
        return Err(KeyError::NotCanonical);
    }
    let mut values = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        values.push(unpack_value(&mut rest)?);
    }
    if rest.is_empty() { Ok(values) } else { Err(KeyError::Length) }
}

fn unpack_value(rest: &mut &[u8]) -> Result<Value, KeyError> {
    let head = take(rest, 1)?[0];
    let (kind, size) = (head & 7, usize::from(head >> 3));
    match kind {
        INTEGER => Ok(Value::Integer(unpack_number(rest, size)? as i64)),
        REAL if size == 0 => {
            let raw = take(rest, 8)?;
            let number = f64::from_be_bytes(raw.try_into().expect("eight bytes were taken"));
            if number.is_nan() { Err(KeyError::NotCanonical) } else { Ok(Value::Real(number)) }
        }
        TEXT => {
            let length = unpack_length(rest, size)?;
            let text = std::str::from_utf8(take(rest, length)?).map_err(|_| KeyError::NotCanonical)?;
            Ok(Value::Text(text.to_owned()))
        }
        BLOB => {
            let length = unpack_length(rest, size)?;
            Ok(Value::Blob(take(rest, length)?.to_vec()))
        }
        NULL => Err(KeyError::Null),
        _ => Err(KeyError::NotCanonical),
    }
}

fn unpack_length(rest: &mut &[u8], size: usize) -> Result<usize, KeyError> {
    // What doesn't fit a usize is longer than any rest: the same answer on 32 bits as on 64.
    usize::try_from(unpack_number(rest, size)?).map_err(|_| KeyError::Length)
}

fn unpack_number(rest: &mut &[u8], size: usize) -> Result<u64, KeyError> {
    if size > 8 {
        return Err(KeyError::NotCanonical);
    }
    let number = take(rest, size)?.iter().fold(0, |number, &byte| (number << 8) | u64::from(byte));
    if usize::from(minimal_size(number)) == size { Ok(number) } else { Err(KeyError::NotCanonical) }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], KeyError> {
    if rest.len() < length {
        return Err(KeyError::Length);
    }
    let (taken, left) = rest.split_at(length);
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn packs_as_cr_sqlite_does() {
        let pack = |values: &[Value]| PackedKey::pack(values).unwrap().as_bytes().to_vec();
        assert_eq!(pack(&[Value::Integer(0)]), [1, 0x01]);
        assert_eq!(pack(&[Value::Integer(255)]), [1, 0x09, 0xff]);
        assert_eq!(pack(&[Value::Integer(-1)]), [1, 0x41, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(pack(&[Value::Text(String::new())]), [1, 0x03]);
        assert_eq!(pack(&[Value::Text("a".into()), Value::Blob(vec![7])]), [2, 0x0b, 1, b'a', 0x0c, 1, 7]);
    }

    #[test]
    fn refuses_what_is_not_canonical() {
        for (bytes, error) in [
            (&[][..], KeyError::Length),
            (&[0], KeyError::NotCanonical),
            (&[1], KeyError::Length),
            (&[1, 0x09], KeyError::Length),
            (&[1, 0x11, 0, 255], KeyError::NotCanonical),
            (&[1, 0x0b, 2, 0xff, 0x41], KeyError::NotCanonical),
            (&[1, 0x05], KeyError::Null),
            (&[1, 0x49, 1, 2, 3, 4, 5, 6, 7, 8, 9], KeyError::NotCanonical),
            (&[1, 0x43, 255, 255, 255, 255, 255, 255, 255, 255], KeyError::Length),
            (&[1, 0x01, 0], KeyError::Length),
            (&[1, 0x07], KeyError::NotCanonical),
            (&[33], KeyError::TooLarge),
        ] {
            assert_eq!(PackedKey::new(bytes), Err(error), "{bytes:02x?}");
        }
    }
}
