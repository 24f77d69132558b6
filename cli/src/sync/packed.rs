//! A remote whose snapshots are packed: the one layer that every kind of remote stores through.
//!
//! Where in the flow: a push packs into a file beside the snapshot, whose hash and length the meta names, and stores
//! that; a pull checks what is stored, unpacks it, and checks the snapshot. How it is packed is the meta's word on a pull,
//! and the configuration's on a push. Never stores what is not encrypted where what is there is, unless told to.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;

use super::memory::Exchanged;
use super::meta::{FORMAT, Meta, PACKED_FORMAT, Payload};
use super::packing::{Compression, Encryption, Packing, Unpack, check_of, is_of, pack, unpack};
use super::report::{Progress, Stage};
use super::{Replacement, SnapshotRemote, SyncError};
use crate::crash::{self, Point};

/// Packs for the remote below it.
pub(super) struct PackedRemote {
    inner: Box<dyn SnapshotRemote>,
    packing: Packing,
}

impl PackedRemote {
    pub(super) fn new(inner: Box<dyn SnapshotRemote>, packing: Packing) -> Self {
        Self { inner, packing }
    }

    /// How a push packs over what is there.
    fn over(&self, there: Option<&Meta>) -> (Compression, Encryption) {
        let present = there.map(Meta::packing).unwrap_or_default();
        (self.packing.compression.unwrap_or(present.0), self.packing.encryption.unwrap_or(present.1))
    }

    /// Whether a push over what is there compresses, so that nobody knows before how long it becomes.
    pub(super) fn compresses(&self, there: Option<&Meta>) -> bool {
        self.over(there).0 != Compression::None
    }

    /// Whether a push over what is there encrypts.
    pub(super) fn encrypts(&self, there: Option<&Meta>) -> bool {
        self.over(there).1 != Encryption::None
    }

    /// Whether a push would open to everybody what was encrypted at the last exchange, though nobody has said so: what
    /// was there is gone, or its meta is another.
    pub(super) fn would_open_up(&self, last: Option<&Exchanged>, there: Option<&Meta>) -> bool {
        let is_said = self.packing.encryption.is_some();
        !is_said && !self.encrypts(there) && last.is_some_and(|last| last.encrypted)
    }

    /// Whether a push over what is there has the passphrase that it needs: that of what is there, where its meta can
    /// tell. With another one the push would lock everybody else out.
    pub(super) fn opens(&self, there: Option<&Meta>) -> Result<(), SyncError> {
        let (_, encryption) = self.over(there);
        let Some(passphrase) = self.passphrase(encryption)? else { return Ok(()) };
        let check = there.and_then(|there| there.payload.as_ref()?.check.as_deref());
        // What older programs stored has none.
        let Some(check) = check else { return Ok(()) };
        match is_of(check, passphrase) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let why = "the one that was given does not open what is there, and whoever has the right one could not \
                           open what is pushed; `greenlight sync push --force` changes it";
                Err(SyncError::Passphrase { remote: self.shown(), why: why.to_owned() })
            }
            Err(error) => {
                let why =
                    format!("the passphrase can't be checked: {error}; `greenlight sync push --force` replaces it");
                Err(SyncError::Meta { place: self.shown(), why })
            }
        }
    }

    /// The passphrase where it is needed.
    fn passphrase(&self, encryption: Encryption) -> Result<Option<SecretString>, SyncError> {
        match encryption {
            Encryption::None => Ok(None),
            Encryption::Age => self.packing.passphrase.read(&self.shown()).map(Some),
        }
    }

    fn unpacked(&self, meta: &Meta, from: &Path, target: &Path, progress: Progress<'_>) -> Result<(), SyncError> {
        let (compression, encryption) = meta.packing();
        // Before anything is fetched: what can't be opened need not travel.
        let passphrase = self.passphrase(encryption)?;
        remove(from)?;
        self.inner.fetch(meta, from, progress)?;
        crash::point(Point::PackedFetched);
        let unfinished = |why: String| SyncError::Unfinished { remote: self.shown(), why };
        let sum = unpack((from, target), compression, passphrase, meta.db_bytes, &mut |done, of| {
            progress(Stage::Unpacking, done, of);
        });
        let sum = sum.map_err(|why| match why {
            Unpack::Passphrase => SyncError::Passphrase {
                remote: self.shown(),
                why: "the one that was given does not open what is there".to_owned(),
            },
            Unpack::Read(error) => unfinished(format!("it can't be unpacked: {error}")),
            Unpack::TooLong => unfinished(format!("it unpacks to more than {} bytes", meta.db_bytes)),
            Unpack::Write(source) => SyncError::File { path: target.to_owned(), source },
        })?;
        if (&sum.hash, sum.bytes) != (&meta.db_hash, meta.db_bytes) {
            return Err(unfinished(format!("it unpacks to {} bytes with the hash {}", sum.bytes, sum.hash)));
        }
        Ok(())
    }
}

impl SnapshotRemote for PackedRemote {
    fn shown(&self) -> String {
        self.inner.shown()
    }

    fn meta(&self) -> Result<Option<Meta>, SyncError> {
        self.inner.meta()
    }

    fn flaw(&self, there: &Meta) -> Result<Option<String>, SyncError> {
        self.inner.flaw(there)
    }

    fn is_packed_as_wanted(&self, there: &Meta) -> bool {
        self.over(Some(there)) == there.packing()
    }

    fn fetch(&self, meta: &Meta, target: &Path, progress: Progress<'_>) -> Result<(), SyncError> {
        if meta.packing() == Default::default() {
            return self.inner.fetch(meta, target, progress);
        }
        let from = packed_beside(target);
        let unpacked = self.unpacked(meta, &from, target, progress);
        let removed = remove(&from);
        unpacked.and(removed).inspect_err(|_| {
            // What can't be removed is of no use to anybody, and is told by the first error.
            drop(std::fs::remove_file(target));
        })
    }

    fn has_room(&self, bytes: u64) -> Result<(), SyncError> {
        self.inner.has_room(bytes)
    }

    fn place_to_keep(&self, there: &Meta) -> Result<String, SyncError> {
        self.inner.place_to_keep(there)
    }

    fn replace(&self, order: &Replacement<'_>, progress: Progress<'_>) -> Result<Option<String>, SyncError> {
        let Replacement { seen, file, meta, .. } = *order;
        // What this program would refuse to read would lock everybody out.
        meta.validate().map_err(|why| SyncError::Meta { place: "what was to be pushed".to_owned(), why })?;
        let (compression, encryption) = self.over(seen);
        if (compression, encryption) == Default::default() {
            let meta = Meta { format: FORMAT, payload: None, ..meta.clone() };
            return self.inner.replace(&Replacement { meta: &meta, ..*order }, progress);
        }
        let passphrase = self.passphrase(encryption)?;
        let to = packed_beside(file);
        let check = passphrase.clone().map(check_of).transpose();
        let check = check.map_err(|error| SyncError::System(error.to_string()))?;
        let replaced = pack((file, &to), compression, passphrase, &mut |done, of| progress(Stage::Packing, done, of))
            .and_then(|sum| {
                crash::point(Point::Packed);
                let (hash, bytes) = (sum.hash, sum.bytes);
                let payload = Payload { compression, encryption, hash, bytes, check, object: None };
                let meta = Meta { format: PACKED_FORMAT, payload: Some(payload), ..meta.clone() };
                self.inner.replace(&Replacement { file: &to, meta: &meta, ..*order }, progress)
            });
        if let Err(error) = remove(&to) {
            tracing::warn!("what was packed for the remote stays here for now: {error}");
        }
        replaced
    }
}

/// The name of a snapshot's packed form while it is on its way.
pub(super) fn packed_beside(file: &Path) -> PathBuf {
    file.with_added_extension("packed")
}

fn remove(path: &Path) -> Result<(), SyncError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| SyncError::File { path: path.to_owned(), source }),
    }
}
