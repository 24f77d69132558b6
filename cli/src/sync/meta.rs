//! `sync-meta.json` of a remote: what it says of its snapshot.
//!
//! Where in the flow: read before anything is compared, written last. Never holds what only one machine may know.

use std::io::{ErrorKind, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SyncError;
use super::packing::{Compression, Encryption};
use super::s3::is_object;
use crate::durable;

/// The version of the format, in both files.
pub const FORMAT: u32 = 1;
/// The version that a remote's meta has where its snapshot is packed: a program that can't unpack leaves it alone.
pub const PACKED_FORMAT: u32 = 2;
/// The name of a snapshot that is stored as it is.
pub(super) const DB: &str = "db.sqlite";
/// The name of a remote's meta.
pub(super) const META: &str = "sync-meta.json";
/// The longest meta that is read, in bytes.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;
/// The highest generation: beyond, readers of JSON lose digits.
const MAX_GENERATION: u64 = 1 << 53;
/// The longest text in a remote's meta, in bytes.
const MAX_TEXT_BYTES: usize = 1024;
/// How many snapshots before it a meta names.
const MAX_ANCESTORS: usize = 256;
/// Digits of a hash by which an ancestor is named.
const ANCESTOR_DIGITS: usize = 16;

/// What a remote says of its snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// [`FORMAT`], or [`PACKED_FORMAT`].
    pub format: u32,
    /// Random, the same from the first push on: two remotes with the same one are copies of each other. 32 hexadecimal
    /// digits.
    pub history: String,
    /// One more with each push.
    pub generation: u64,
    /// SHA-256 of the snapshot, 64 hexadecimal digits.
    pub db_hash: String,
    /// Its length.
    pub db_bytes: u64,
    /// When it was pushed, RFC 3339, UTC.
    pub last_synced_at: String,
    /// The host name of the machine that pushed it.
    pub machine: String,
    /// The schema's number, or a plain database's `user_version`.
    pub schema_version: u64,
    /// The name of a replica's schema; not there for a plain database, nor in what older programs have written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_name: Option<String>,
    /// What it is a copy of.
    pub project: String,
    /// Which snapshots it comes from: the beginnings of their hashes, the last one first, with spaces between. One that
    /// is not among them was overwritten by force, or by another way.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ancestors: String,
    /// What is stored, where that is not the snapshot itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
}

/// What is stored of a packed snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// How it is compressed.
    pub compression: Compression,
    /// How that is encrypted.
    pub encryption: Encryption,
    /// SHA-256 of what is stored, 64 hexadecimal digits.
    pub hash: String,
    /// Its length.
    pub bytes: u64,
    /// Nothing, encrypted as it is, hexadecimal: whoever pushes next finds out whether the passphrase is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// The object that it is, where that does not follow from the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
}

impl Meta {
    /// Whether it is the same snapshot of the same history.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.history, self.generation, &self.db_hash) == (&other.history, other.generation, &other.db_hash)
    }

    /// Whether it comes from that snapshot.
    pub fn comes_from(&self, other: &Self) -> bool {
        self.history == other.history && self.ancestors.split(' ').any(|ancestor| ancestor == other.short_hash())
    }

    /// The ancestors of what is made of this snapshot.
    pub(super) fn as_ancestor(&self) -> String {
        let all = std::iter::once(self.short_hash()).chain(self.ancestors.split_whitespace());
        all.take(MAX_ANCESTORS).collect::<Vec<_>>().join(" ")
    }

    fn short_hash(&self) -> &str {
        self.db_hash.get(..ANCESTOR_DIGITS).unwrap_or(&self.db_hash)
    }

    /// How it is packed.
    pub fn packing(&self) -> (Compression, Encryption) {
        self.payload.as_ref().map(|payload| (payload.compression, payload.encryption)).unwrap_or_default()
    }

    /// SHA-256 and length of what is stored.
    pub(super) fn stored(&self) -> (&str, u64) {
        match &self.payload {
            None => (&self.db_hash, self.db_bytes),
            Some(payload) => (&payload.hash, payload.bytes),
        }
    }

    /// The name of what is stored, which tells what is in it.
    pub(super) fn name(&self) -> &'static str {
        name_of_packed(self.packing())
    }

    /// Reads what a remote says. `shown` names it in errors.
    pub(super) fn parse(bytes: &[u8], shown: &str) -> Result<Self, SyncError> {
        let unclear = |why: String| SyncError::Meta { place: shown.to_owned(), why };
        let format = Format::read(bytes).map_err(unclear)?;
        if format > PACKED_FORMAT {
            return Err(SyncError::NewerFormat { place: shown.to_owned(), format });
        }
        let meta: Self = serde_json::from_slice(bytes).map_err(|error| unclear(error.to_string()))?;
        meta.validate().map_err(unclear)?;
        Ok(meta)
    }

    /// Whether others can read it, and use it: nothing in it may lead elsewhere, or write on a terminal.
    pub(super) fn validate(&self) -> Result<(), String> {
        let is_hash = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        // The hash becomes part of a file's name.
        if !is_hash(&self.db_hash, 64) || !is_hash(self.stored().0, 64) || !is_hash(&self.history, 32) {
            return Err("a hash in it is none".to_owned());
        }
        let object = self.payload.as_ref().and_then(|payload| payload.object.as_deref());
        if object.is_some_and(|name| !is_object(name)) {
            return Err("the object that it names can't be a snapshot's".to_owned());
        }
        if self.generation > MAX_GENERATION {
            return Err(format!("its generation is above {MAX_GENERATION}"));
        }
        let texts = [("project", &self.project), ("machine", &self.machine), ("last_synced_at", &self.last_synced_at)];
        let schema = self.schema_name.iter().map(|name| ("schema_name", name));
        match texts.into_iter().chain(schema).find(|(_, text)| text.len() > MAX_TEXT_BYTES || text.contains(is_unseen))
        {
            Some((key, _)) => {
                Err(format!("its `{key}` is longer than {MAX_TEXT_BYTES} bytes, or has control characters in it"))
            }
            None => Ok(()),
        }
    }
}

/// Whether a character changes how a terminal shows others: a control, or one that turns the direction.
fn is_unseen(text: char) -> bool {
    text.is_control() || matches!(text, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The names that what is stored can have, each beginning with the snapshot's.
pub(super) const NAMES: [&str; 4] = [DB, "db.sqlite.zst", "db.sqlite.age", "db.sqlite.zst.age"];

fn name_of_packed(packing: (Compression, Encryption)) -> &'static str {
    match packing {
        (Compression::None, Encryption::None) => NAMES[0],
        (Compression::Zstd, Encryption::None) => NAMES[1],
        (Compression::None, Encryption::Age) => NAMES[2],
        (Compression::Zstd, Encryption::Age) => NAMES[3],
    }
}

/// The part of both files that is read first.
#[derive(Deserialize)]
pub(super) struct Format {
    format: u32,
}

impl Format {
    pub(super) fn read(bytes: &[u8]) -> Result<u32, String> {
        serde_json::from_slice::<Self>(bytes).map(|read| read.format).map_err(|error| error.to_string())
    }
}

/// With a newline at the end, as people like their files.
pub(super) fn to_json(what: &impl Serialize) -> Result<Vec<u8>, SyncError> {
    let mut bytes = serde_json::to_vec_pretty(what).map_err(|error| SyncError::System(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a file that is short, or no meta.
pub(super) fn read_limited(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    durable::open(file)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let why = format!("it is longer than {MAX_BYTES} bytes");
        return Err(std::io::Error::new(ErrorKind::InvalidData, why));
    }
    Ok(bytes)
}

/// A meta for tests that care for some of it.
#[cfg(test)]
pub(super) fn sample() -> Meta {
    Meta {
        format: FORMAT,
        history: "0".repeat(32),
        generation: 1,
        db_hash: "0".repeat(64),
        db_bytes: 1,
        last_synced_at: "2026-01-01T00:00:00Z".to_owned(),
        machine: "m".to_owned(),
        schema_version: 1,
        schema_name: None,
        project: "p".to_owned(),
        ancestors: String::new(),
        payload: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(history: char, hash: char, ancestors: String) -> Meta {
        let (history, db_hash) = (String::from(history).repeat(32), String::from(hash).repeat(64));
        Meta { history, db_hash, ancestors, ..sample() }
    }

    #[test]
    fn a_snapshot_comes_from_its_ancestors_of_the_same_history() {
        let first = meta('a', '1', String::new());
        let second = meta('a', '2', first.as_ancestor());
        let third = meta('a', '3', second.as_ancestor());
        assert!(third.comes_from(&second) && third.comes_from(&first) && second.comes_from(&first));
        assert!(!second.comes_from(&third) && !first.comes_from(&first));
        assert!(!third.comes_from(&meta('b', '1', String::new())), "a hash of another history says nothing");
    }

    #[test]
    fn as_many_ancestors_are_named_as_fit_and_the_last_ones_stay() {
        let mut last = meta('a', '0', String::new());
        for number in 0..MAX_ANCESTORS + 2 {
            let db_hash = format!("{number:016x}{}", "0".repeat(48));
            last = Meta { db_hash, ancestors: last.as_ancestor(), ..last };
        }
        let of = |number: usize| Meta { db_hash: format!("{number:016x}{}", "0".repeat(48)), ..last.clone() };
        assert_eq!(last.ancestors.split(' ').count(), MAX_ANCESTORS);
        assert!(last.comes_from(&of(MAX_ANCESTORS)) && last.comes_from(&of(1)) && !last.comes_from(&of(0)));
    }
}
