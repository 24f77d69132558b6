//! A digest of each table, equal exactly where rows and their clocks are.
//!
//! Where in the flow: asked when idle, to verify that two sites agree. Leaves out what differs between sites that
//! agree: who wrote a cell, the version and sequence it has here, and markers of rows that never were deleted.

use greenlight_core::limits::MAX_VERSION;
use greenlight_core::replica::{Author, Fault};
use greenlight_core::{Change, Value, Version};
use sha2::{Digest, Sha256};

use crate::read::{Range, View, walk};

/// Name and digest of each table, in the order of names. Cells are hashed one by one and summed, so their order,
/// which differs from site to site, doesn't count.
pub(crate) fn tables(view: View<'_>) -> Result<Vec<(String, [u8; 16])>, Fault> {
    let mut sums: Vec<(String, u128)> = view.tables.iter().map(|table| (table.name.to_string(), 0)).collect();
    let until = Version::new(MAX_VERSION).unwrap_or_default();
    walk(view, Range { since: Version::ZERO, until, after: None, author: Author::Any }, &mut |change| {
        let place = sums.binary_search_by(|(name, _)| (**name).cmp(&*change.table));
        if let (Ok(place), false) = (place, change.is_sentinel() && change.causal_length == 1) {
            sums[place].1 = sums[place].1.wrapping_add(cell(change));
        }
        true
    })?;
    Ok(sums.into_iter().map(|(name, sum)| (name, sum.to_be_bytes())).collect())
}

fn cell(change: &Change) -> u128 {
    let mut hash = Sha256::new();
    for part in [change.table.as_bytes(), change.key.as_bytes(), change.column.as_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let number: [u8; 8];
    let (kind, bytes): (u8, &[u8]) = match &change.value {
        Value::Null => (0, &[]),
        Value::Integer(value) => {
            number = value.to_be_bytes();
            (1, &number)
        }
        Value::Real(value) => {
            number = value.to_bits().to_be_bytes();
            (2, &number)
        }
        Value::Text(text) => (3, text.as_bytes()),
        Value::Blob(blob) => (4, blob),
    };
    hash.update([kind]);
    hash.update(bytes);
    hash.update(change.column_version.to_be_bytes());
    hash.update(change.causal_length.to_be_bytes());
    let full: [u8; 32] = hash.finalize().into();
    u128::from_be_bytes(std::array::from_fn(|index| full[index]))
}
