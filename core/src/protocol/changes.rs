//! The body of a changes frame: a string table, a site table, and the changes, compactly.
//!
//! Where in the flow: encoded once by the store that reads, decoded and checked once by the session that receives.
//! Never decodes more than the frame's limits allow, and never trusts a count for an allocation.
//!
//! Layout, all integers as unsigned LEB128 (`varint`), signed ones zigzagged first:
//!
//! ```text
//! body    := names sites count change*
//! names   := varint(n) (varint(len) utf8)*          table and column names
//! sites   := varint(n) (16 bytes)*
//! count   := varint
//! change  := flags:u8 [table:varint key:bytes] column:varint [site:varint]
//!            [column_version:varint] [causal_length:varint] sequence:zigzag-delta value
//! flags   := bit 0 same table and key as before; bit 1 same site as before;
//!            bit 2 column version is 1; bit 3 causal length is 1; bits 4-6 value type; bit 7 zero
//! value   := type 0 null; 1 zigzag varint; 2 eight bytes little-endian; 3 bytes (utf8); 4 bytes
//! bytes   := varint(len) byte*
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use super::wire::{Reader, WireError, Writer};
use crate::change::{Change, SENTINEL, Value};
use crate::key::PackedKey;
use crate::limits::{
    MAX_COLUMN_VERSION, MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_PART_CHANGES, MAX_PART_NAMES, MAX_PART_SITES, MAX_SEQUENCE,
    MAX_VALUE_BYTES, PART_TARGET_BYTES,
};
use crate::position::SiteId;

const SAME_ROW: u8 = 1;
const SAME_SITE: u8 = 2;
const VERSION_ONE: u8 = 4;
const CAUSAL_ONE: u8 = 8;
const TYPE_SHIFT: u8 = 4;
/// What a name's length takes in the string table, at most: [`MAX_NAME_BYTES`] is a varint of two bytes.
const NAME_OVERHEAD_BYTES: usize = 2;

/// Encoded changes, shared by all who get the same range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChanges {
    /// The body as it stands in a frame.
    pub body: Arc<[u8]>,
    /// How many changes it holds.
    pub count: u64,
    /// The one site that wrote them all, where it is one.
    pub only_site: Option<SiteId>,
}

impl EncodedChanges {
    /// A body without changes.
    pub fn empty() -> Self {
        ChangesEncoder::new().finish()
    }

    /// Encodes a slice whole, whatever its size.
    pub fn from_changes(changes: &[Change]) -> Self {
        let mut encoder = ChangesEncoder::new();
        for change in changes {
            encoder.push(change);
        }
        encoder.finish()
    }

    /// The changes themselves: for whoever writes them to a file instead of a socket.
    ///
    /// # Errors
    /// [`WireError`] when the body was not made by [`ChangesEncoder`].
    pub fn decode(&self) -> Result<Vec<Change>, WireError> {
        decode_changes(&mut Reader::new(&self.body))
    }
}

/// Encodes changes one by one until the part is full.
#[derive(Debug)]
pub struct ChangesEncoder {
    target: usize,
    names: Vec<Arc<str>>,
    name_index: HashMap<Arc<str>, u64>,
    sites: Vec<SiteId>,
    site_index: HashMap<SiteId, u64>,
    /// How many bytes both tables take.
    table_bytes: usize,
    count: u64,
    changes: Writer,
    last: Option<(u64, PackedKey)>,
    last_site: Option<u64>,
    last_sequence: u64,
}

impl ChangesEncoder {
    /// An empty part that is full at [`PART_TARGET_BYTES`].
    pub fn new() -> Self {
        Self::with_target(PART_TARGET_BYTES)
    }

    /// An empty part that is full at `target` bytes: smaller parts let a test cut a range at every place.
    pub fn with_target(target: usize) -> Self {
        Self {
            target,
            names: Vec::new(),
            name_index: HashMap::new(),
            sites: Vec::new(),
            site_index: HashMap::new(),
            table_bytes: 0,
            count: 0,
            changes: Writer::default(),
            last: None,
            last_site: None,
            last_sequence: 0,
        }
    }

    /// Whether the part has reached its size and should be finished.
    pub fn is_full(&self) -> bool {
        self.changes.len() + self.table_bytes >= self.target
            || self.count >= MAX_PART_CHANGES as u64
            || self.names.len() + 2 > MAX_PART_NAMES
            || self.sites.len() + 1 > MAX_PART_SITES
    }

    /// How many changes were pushed.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds a change. The store has checked names, key and value against the limits when it read them.
    pub fn push(&mut self, change: &Change) {
        let table = self.name(&change.table);
        let column = self.name(&change.column);
        let site = self.site(change.site);
        let same_row = self.last.as_ref().is_some_and(|(t, key)| *t == table && *key == change.key);
        let same_site = self.last_site == Some(site);
        let mut flags = value_type(&change.value) << TYPE_SHIFT;
        for (bit, holds) in [
            (SAME_ROW, same_row),
            (SAME_SITE, same_site),
            (VERSION_ONE, change.column_version == 1),
            (CAUSAL_ONE, change.causal_length == 1),
        ] {
            flags |= if holds { bit } else { 0 };
        }
        let out = &mut self.changes;
        out.byte(flags);
        if !same_row {
            out.varint(table);
            out.bytes(change.key.as_bytes());
            self.last = Some((table, change.key.clone()));
        }
        out.varint(column);
        if !same_site {
            out.varint(site);
            self.last_site = Some(site);
        }
        if change.column_version != 1 {
            out.varint(change.column_version);
        }
        if change.causal_length != 1 {
            out.varint(change.causal_length);
        }
        out.zigzag(change.sequence.wrapping_sub(self.last_sequence) as i64);
        self.last_sequence = change.sequence;
        put_value(out, &change.value);
        self.count += 1;
    }

    /// Closes the part.
    pub fn finish(self) -> EncodedChanges {
        let mut out = Writer::with_capacity(self.changes.len() + 32 * self.names.len() + 16 * self.sites.len() + 16);
        out.varint(self.names.len() as u64);
        for name in &self.names {
            out.bytes(name.as_bytes());
        }
        out.varint(self.sites.len() as u64);
        for site in &self.sites {
            out.raw(&site.0);
        }
        out.varint(self.count);
        out.raw(self.changes.as_slice());
        let only_site = if let [site] = self.sites[..] { Some(site) } else { None };
        EncodedChanges { body: out.into_vec().into(), count: self.count, only_site }
    }

    fn name(&mut self, name: &Arc<str>) -> u64 {
        if let Some(&index) = self.name_index.get(name) {
            return index;
        }
        let index = self.names.len() as u64;
        self.table_bytes += name.len() + NAME_OVERHEAD_BYTES;
        self.names.push(name.clone());
        self.name_index.insert(name.clone(), index);
        index
    }

    fn site(&mut self, site: SiteId) -> u64 {
        *self.site_index.entry(site).or_insert_with(|| {
            self.sites.push(site);
            self.table_bytes += site.0.len();
            self.sites.len() as u64 - 1
        })
    }
}

impl Default for ChangesEncoder {
    fn default() -> Self {
        Self::new()
    }
}

fn value_type(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Integer(_) => 1,
        Value::Real(_) => 2,
        Value::Text(_) => 3,
        Value::Blob(_) => 4,
    }
}

fn put_value(out: &mut Writer, value: &Value) {
    match value {
        Value::Null => {}
        Value::Integer(number) => out.zigzag(*number),
        Value::Real(number) => out.raw(&number.to_le_bytes()),
        Value::Text(text) => out.bytes(text.as_bytes()),
        Value::Blob(blob) => out.bytes(blob),
    }
}

/// Decodes and checks a body: the rest of `input`.
pub(super) fn decode_changes(input: &mut Reader<'_>) -> Result<Vec<Change>, WireError> {
    let names = decode_names(input)?;
    let site_count = input.count(MAX_PART_SITES, "sites")?;
    let mut sites = Vec::with_capacity(site_count.min(1_024));
    for _ in 0..site_count {
        sites.push(SiteId(input.array("site")?));
    }
    let count = input.count(MAX_PART_CHANGES, "changes")?;
    let mut changes = Vec::with_capacity(count.min(1_024));
    let mut decoder = Decoder { names, sites, row: None, site: None, sequence: 0 };
    for _ in 0..count {
        changes.push(decoder.change(input)?);
    }
    Ok(changes)
}

fn decode_names(input: &mut Reader<'_>) -> Result<Vec<Arc<str>>, WireError> {
    let count = input.count(MAX_PART_NAMES, "names")?;
    let mut names: Vec<Arc<str>> = Vec::with_capacity(count.min(1_024));
    for _ in 0..count {
        let name = input.text(MAX_NAME_BYTES, "name")?;
        if name.is_empty() || name.contains('\0') {
            return Err(WireError::Invalid("name"));
        }
        names.push(name.into());
    }
    Ok(names)
}

struct Decoder {
    names: Vec<Arc<str>>,
    sites: Vec<SiteId>,
    row: Option<(Arc<str>, PackedKey)>,
    site: Option<SiteId>,
    sequence: u64,
}

impl Decoder {
    fn change(&mut self, input: &mut Reader<'_>) -> Result<Change, WireError> {
        let flags = input.byte("flags")?;
        if flags & 0x80 != 0 {
            return Err(WireError::Invalid("flags"));
        }
        if flags & SAME_ROW == 0 {
            let table = self.name(input)?;
            let key = PackedKey::new(input.bytes(MAX_KEY_BYTES, "key")?).map_err(|_| WireError::Invalid("key"))?;
            self.row = Some((table, key));
        }
        let (table, key) = self.row.clone().ok_or(WireError::Invalid("flags"))?;
        let column = self.name(input)?;
        if flags & SAME_SITE == 0 {
            let index = input.index(self.sites.len(), "site")?;
            self.site = Some(self.sites[index]);
        }
        let site = self.site.ok_or(WireError::Invalid("flags"))?;
        let column_version =
            if flags & VERSION_ONE != 0 { 1 } else { input.limited(MAX_COLUMN_VERSION, "column version")? };
        let causal_length =
            if flags & CAUSAL_ONE != 0 { 1 } else { input.limited(MAX_COLUMN_VERSION, "causal length")? };
        if causal_length == 0 {
            return Err(WireError::Invalid("causal length"));
        }
        self.sequence = self.sequence.wrapping_add(input.zigzag("sequence")? as u64);
        if self.sequence > MAX_SEQUENCE {
            return Err(WireError::Invalid("sequence"));
        }
        let value = decode_value(input, flags >> TYPE_SHIFT)?;
        if &*column == SENTINEL && (value != Value::Null || column_version != causal_length) {
            return Err(WireError::Invalid("sentinel"));
        }
        Ok(Change { table, key, column, value, column_version, causal_length, sequence: self.sequence, site })
    }

    fn name(&self, input: &mut Reader<'_>) -> Result<Arc<str>, WireError> {
        Ok(self.names[input.index(self.names.len(), "name")?].clone())
    }
}

fn decode_value(input: &mut Reader<'_>, kind: u8) -> Result<Value, WireError> {
    Ok(match kind {
        0 => Value::Null,
        1 => Value::Integer(input.zigzag("integer")?),
        2 => {
            let number = f64::from_le_bytes(input.array("real")?);
            if number.is_nan() {
                return Err(WireError::Invalid("real"));
            }
            Value::Real(number)
        }
        3 => Value::Text(input.text(MAX_VALUE_BYTES, "text")?.to_owned()),
        4 => Value::Blob(input.bytes(MAX_VALUE_BYTES, "blob")?.to_vec()),
        _ => return Err(WireError::Invalid("value type")),
    })
}
