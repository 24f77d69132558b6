//! Positions and identities: the newtypes that keep versions, tags and sites apart.
//!
//! Where in the flow: everywhere. Never converts silently: each conversion checks its limit.

use std::fmt;

use serde::Serialize;

use crate::limits::MAX_VERSION;

/// A database's identity among its peers, as cr-sqlite's `crsql_site_id()` gives it: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub [u8; 16]);

impl SiteId {
    /// Reads 16 bytes; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// 32 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads 32 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", &self.to_hex()[..8])
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl Serialize for SiteId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

/// A cr-sqlite `db_version` of one database: 0 is "before anything", at most [`MAX_VERSION`].
/// Versions of different databases are not comparable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Version(u64);

impl Version {
    /// Before any change.
    pub const ZERO: Self = Self(0);

    /// `None` above [`MAX_VERSION`].
    pub fn new(number: u64) -> Option<Self> {
        (number <= MAX_VERSION).then_some(Self(number))
    }

    /// From a column of SQLite; `None` when negative or above [`MAX_VERSION`].
    pub fn from_sql(number: i64) -> Option<Self> {
        Self::new(u64::try_from(number).ok()?)
    }

    /// The bare number, at most [`MAX_VERSION`].
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number as SQLite stores it; [`MAX_VERSION`] is far below `i64::MAX`.
    pub fn to_sql(self) -> i64 {
        self.0 as i64
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// A random number stored with a version in the same transaction. Two histories that share a version's number
/// but not its past differ in its tag. Zero belongs to [`Version::ZERO`] alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tag(pub u64);

impl Tag {
    /// The tag of version zero, which every history shares.
    pub const ZERO: Self = Self(0);

    /// The number as SQLite stores it: the same 64 bits, signed.
    pub fn to_sql(self) -> i64 {
        self.0 as i64
    }

    /// The inverse of [`Tag::to_sql`].
    pub fn from_sql(number: i64) -> Self {
        Self(number as u64)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:04x}", self.0 & 0xffff)
    }
}

/// A place in a **server's** history: everything up to and including `version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Cursor {
    /// The server's version.
    pub version: Version,
    /// The tag that the server stored with it.
    pub tag: Tag,
}

impl Cursor {
    /// Before anything.
    pub const ZERO: Self = Self { version: Version::ZERO, tag: Tag::ZERO };
}

/// A place in a **client's** own history: every change of its own up to and including `version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Bound {
    /// The client's version.
    pub version: Version,
    /// The tag that the client stored before it sent this bound.
    pub tag: Tag,
}

impl Bound {
    /// Before anything.
    pub const ZERO: Self = Self { version: Version::ZERO, tag: Tag::ZERO };
}

/// A random number of a database's present incarnation. A restore from a backup draws a new one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// 16 hexadecimal digits: JavaScript's numbers do not hold 64 bits.
    pub fn to_hex(self) -> String {
        format!("{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{:04x}", self.0 & 0xffff)
    }
}

/// Which server database this is: its site id (new after a reset or a rebuild) and its epoch (new after a restore).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lineage {
    /// The server database's own site id.
    pub site_id: SiteId,
    /// Its incarnation.
    pub epoch: Epoch,
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_site_is_read_from_hexadecimal_digits_alone() {
        let site = SiteId(std::array::from_fn(|at| at as u8 * 17));
        assert_eq!(SiteId::from_hex(&site.to_hex()), Some(site));
        // Rust's own reader takes a sign.
        for text in ["", "00", &"+f".repeat(16), &"-0".repeat(16), &"0g".repeat(16), &"é".repeat(16)] {
            assert_eq!(SiteId::from_hex(text), None, "{text}");
        }
    }
}
