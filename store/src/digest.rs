//! Digests of tables, buckets and rows, equal exactly where rows and their clocks are.
//!
//! Where in the flow: asked when idle, to verify that two sites agree. Leaves out what differs between sites that
//! agree: who wrote a cell, the version and sequence it has here, and markers of rows that never were deleted.

use std::collections::BTreeMap;

use greenlight_core::limits::{MAX_DIGESTS, MAX_VERSION};
use greenlight_core::replica::{Author, DigestScope, DigestSum, Digests, Fault, ReadPosition};
use greenlight_core::{Change, Cursor, Value, Version};
use sha2::{Digest, Sha256};

use crate::aside::{self, Shelf};
use crate::read::{Range, View, is_noticed, walk};

/// Name and digest of each table, in the order of names.
pub(crate) fn tables(view: View<'_>) -> Result<Vec<(String, [u8; 16])>, Fault> {
    let (page, _) = page(view, &DigestScope::Tables, None, usize::MAX)?;
    let sum = |name: &str| page.get(name.as_bytes()).copied().unwrap_or_default();
    Ok(view.tables.iter().map(|table| (table.name.to_string(), sum(&table.name).to_be_bytes())).collect())
}

/// Sums by name, sorted, as [`DigestScope`] says.
pub(crate) type Sums = BTreeMap<Vec<u8>, DigestSum>;

/// Digests at most `limit` clock entries behind `after`, and tells where to go on. Cells are hashed one by one and
/// summed, so their order, which differs from site to site, doesn't count.
pub(crate) fn page(
    view: View<'_>,
    scope: &DigestScope,
    after: Option<&ReadPosition>,
    limit: usize,
) -> Result<(Sums, Option<ReadPosition>), Fault> {
    let tables = match scope {
        DigestScope::Tables => view.tables,
        DigestScope::Buckets(name) | DigestScope::Rows(name, _) => {
            let place = view.tables.iter().position(|table| *table.name == **name);
            place.map_or(&view.tables[..0], |place| &view.tables[place..=place])
        }
    };
    let until = Version::new(MAX_VERSION).unwrap_or_default();
    let range = Range { since: Version::ZERO, until, after, author: Author::Any };
    let (mut sums, mut left) = (Sums::new(), limit);
    let next = walk(View { tables, ..view }, range, &mut |change| {
        if left == 0 {
            return false;
        }
        left -= 1;
        if let Some(name) = name(scope, change) {
            let sum = sums.entry(name).or_default();
            *sum = sum.wrapping_add(cell(change));
        }
        true
    })?;
    Ok((sums, next))
}

/// All of a scope, for a server's answer; without sums while something is in quarantine: whoever wrote that has it in
/// its tables, and differs for a reason that is known.
pub(crate) fn whole(view: View<'_>, scope: &DigestScope, at: Cursor) -> Result<Digests, Fault> {
    if aside::count(view.conn, Shelf::Quarantine)? > 0 {
        return Ok(Digests { at, sums: None });
    }
    if !is_noticed(view, at)? {
        return Ok(Digests { at, sums: None });
    }
    let (sums, _) = page(view, scope, None, usize::MAX)?;
    Ok(Digests { at, sums: (sums.len() <= MAX_DIGESTS).then(|| sums.into_iter().collect()) })
}

/// Under which name a change counts; `None` where it doesn't.
fn name(scope: &DigestScope, change: &Change) -> Option<Vec<u8>> {
    if change.is_sentinel() && change.causal_length == 1 {
        return None;
    }
    match scope {
        DigestScope::Tables => Some(change.table.as_bytes().to_vec()),
        DigestScope::Buckets(_) => Some(vec![bucket(change)]),
        DigestScope::Rows(_, wanted) => (bucket(change) == *wanted).then(|| change.key.as_bytes().to_vec()),
    }
}

fn bucket(change: &Change) -> u8 {
    Sha256::digest(change.key.as_bytes())[0]
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
