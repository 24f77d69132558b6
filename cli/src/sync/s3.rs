//! A bucket of an object store as a remote: S3, and what speaks like it.
//!
//! Where in the flow: behind [`SnapshotRemote`]. No object is ever overwritten but `sync-meta.json`: each push stores its
//! snapshot under a name that no other has, and replaces the meta on condition that it is still the one that was seen.
//! That one write decides; what the old meta named goes after it. So there is no lock, and nothing that a machine which
//! died holds up. Never believes that a storage knows conditions: each push tries them first.
//!
//! Blocks, on a small runtime of its own: not to be called from within an asynchronous task.

mod failure;
mod place;
mod transfer;

use std::path::Path;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use tokio::runtime::Runtime;

pub use self::place::{S3Place, S3PlaceError};

use self::failure::failed;
use super::folder::otherwise_long;
use super::kept::{self, Found, Slot};
use super::meta::{self, MAX_BYTES, META, Meta, NAMES, PACKED_FORMAT, Payload};
use super::report::{Progress, Stage};
use super::{Replacement, SnapshotRemote, SyncError};
use crate::crash::{self, Point};

/// What begins the names of objects by which a push tries whether conditions are known.
const PROBE: &str = "sync-probe";
/// What no meta names and has not been written to for so long is of a push that died, and is removed by the next.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);
/// What is wrong with a meta that is not of a bucket.
const NO_OBJECT: &str = "its meta names no object";
/// What a storage copies in one step at most, in bytes: longer snapshots can't be kept by a push by force.
const COPY_MAX_BYTES: u64 = 5 * 1024 * 1024 * 1024;

/// A place in a bucket that holds a snapshot.
pub struct S3Remote {
    place: S3Place,
    store: AmazonS3,
    runtime: Runtime,
}

/// What is there, and by which version it is replaced.
struct Seen {
    meta: Meta,
    /// As it is written there.
    text: PutPayload,
    version: UpdateVersion,
}

impl S3Remote {
    /// Reads the credentials from the environment; connects to nothing yet.
    ///
    /// # Errors
    /// [`SyncError::S3`]: no credentials, or an endpoint that may not be used.
    pub fn new(place: &S3Place) -> Result<Self, SyncError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| SyncError::System(error.to_string()))?;
        let unusable = |why: String| SyncError::S3 { remote: place.to_string(), why };
        let builder = place.builder().map_err(unusable)?;
        if ![
            AmazonS3ConfigKey::AccessKeyId,
            AmazonS3ConfigKey::WebIdentityTokenFile,
            AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
            AmazonS3ConfigKey::ContainerCredentialsFullUri,
            AmazonS3ConfigKey::MetadataEndpoint,
        ]
        .iter()
        .any(|key| builder.get_config_value(key).is_some())
            && builder.get_config_value(&AmazonS3ConfigKey::SkipSignature).as_deref() != Some("true")
        {
            let why = "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            return Err(unusable(why.to_owned()));
        }
        // TLS asks for the process' provider; a second installation can only be this same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = builder.build().map_err(|error| unusable(failure::told(&error)))?;
        Ok(Self { place: place.clone(), store, runtime })
    }

    fn failed(&self, error: Error) -> SyncError {
        failed(&self.place, &error)
    }

    async fn seen(&self) -> Result<Option<Seen>, SyncError> {
        self.seen_at(&self.place).await
    }

    async fn seen_at(&self, place: &S3Place) -> Result<Option<Seen>, SyncError> {
        let got = match self.store.get(&place.key(META)).await {
            Err(error) if failure::is_no_object(&error) => return Ok(None),
            got => got.map_err(|error| self.failed(error))?,
        };
        if got.meta.size > MAX_BYTES {
            let why = format!("it is longer than {MAX_BYTES} bytes");
            return Err(SyncError::Meta { place: format!("{place}/{META}"), why });
        }
        let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: None };
        let bytes = got.bytes().await.map_err(|error| self.failed(error))?;
        let meta = Meta::parse(&bytes, &format!("{place}/{META}"))?;
        Ok(Some(Seen { meta, text: bytes.into(), version }))
    }

    /// Whether the storage refuses what does not meet its condition. One that does not know conditions would let two
    /// machines overwrite each other.
    async fn try_conditions(&self) -> Result<(), SyncError> {
        let key = self.place.key(&format!("{PROBE}.{:016x}", super::random()?));
        let put = |mode: PutMode| self.store.put_opts(&key, PutPayload::from_static(b"probe"), mode.into());
        put(PutMode::Create).await.map_err(|error| self.failed(error))?;
        let other = UpdateVersion { e_tag: Some("\"00000000000000000000000000000000\"".to_owned()), version: None };
        let knows = match put(PutMode::Create).await {
            Err(Error::AlreadyExists { .. }) => match put(PutMode::Update(other)).await {
                Err(Error::Precondition { .. }) => Ok(true),
                Ok(_) | Err(Error::NotImplemented { .. }) => Ok(false),
                Err(error) => Err(self.failed(error)),
            },
            Ok(_) | Err(Error::NotImplemented { .. }) => Ok(false),
            Err(error) => Err(self.failed(error)),
        };
        self.discard(&key).await;
        match knows? {
            true => Ok(()),
            false => {
                let why = "it does not know conditional writes (If-Match), so that two machines would overwrite each other \
                           unnoticed; use another storage, or a newer version of it";
                Err(SyncError::S3 { remote: self.shown(), why: why.to_owned() })
            }
        }
    }

    /// Removes what nobody needs. Should it stay, it takes space until a later push removes it.
    async fn discard(&self, key: &Key) {
        match self.store.delete(key).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!("{key} stays in the bucket for now: {}", failure::told(&error)),
        }
    }

    /// Replaces the meta, which makes it the remote's snapshot.
    async fn decide(&self, seen: Option<UpdateVersion>, meta: &Meta) -> Result<(), SyncError> {
        let mode = seen.map_or(PutMode::Create, PutMode::Update);
        let payload = PutPayload::from(meta::to_json(meta)?);
        let Err(error) = self.store.put_opts(&self.place.key(META), payload, mode.into()).await else {
            return Ok(());
        };
        let is_refused = matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. });
        // The answer may have been lost, or a second try refused since the first had arrived.
        match self.seen().await {
            Ok(Some(there)) if there.meta.payload == meta.payload => Ok(()),
            Ok(_) if is_refused => {
                if let Some(key) = self.object(meta) {
                    self.discard(&key).await;
                }
                Err(SyncError::Raced(self.shown()))
            }
            // It may still be on its way, so what it names has to stay.
            _ => Err(SyncError::Unknown { remote: self.shown(), why: failure::told(&error) }),
        }
    }

    /// The object that a meta names.
    fn object(&self, meta: &Meta) -> Option<Key> {
        object_at(&self.place, meta)
    }

    /// What is wrong with the object that a meta at a place names, as far as its length tells.
    async fn flaw_at(&self, place: &S3Place, meta: &Meta) -> Result<Option<String>, SyncError> {
        let Some(key) = object_at(place, meta) else { return Ok(Some(NO_OBJECT.to_owned())) };
        let expected = meta.stored().1;
        match self.store.head(&key).await {
            Ok(found) if found.size == expected => Ok(None),
            Ok(found) => Ok(Some(otherwise_long(found.size, expected))),
            Err(error) if failure::is_no_object(&error) => Ok(Some(format!("there is no object {key}"))),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Where what is there is kept, by what is kept there already.
    async fn slot(&self, there: &Meta) -> Result<Slot, SyncError> {
        if there.stored().1 > COPY_MAX_BYTES {
            let why = format!(
                "what is there is longer than the {COPY_MAX_BYTES} bytes that a storage copies in one step, so that a push \
                 by force could not keep it. Pull it into another home; without {META} there the next push begins anew"
            );
            return Err(SyncError::S3 { remote: self.shown(), why });
        }
        let mut found = Vec::new();
        for name in kept::names() {
            let place = self.place.below(&name);
            found.push(match self.seen_at(&place).await {
                Ok(None) => Found::Nothing,
                // That this one is kept already is believed where its object is there, whole.
                Ok(Some(seen)) if seen.meta.is_same(there) && self.flaw_at(&place, &seen.meta).await?.is_some() => {
                    Found::Unclear
                }
                Ok(Some(seen)) => Found::Snapshot(Box::new(seen.meta)),
                Err(SyncError::Meta { .. } | SyncError::NewerFormat { .. }) => Found::Unclear,
                Err(error) => return Err(error),
            });
        }
        kept::choose(there, &self.shown(), &found)
    }

    /// Keeps what is there, below a name of its own: its object first, and then its meta. Tells where; a meta without its
    /// object is nothing that could be kept.
    async fn keep(&self, there: &Seen) -> Result<Option<String>, SyncError> {
        let Some(object) = self.object(&there.meta) else { return Ok(None) };
        let slot = self.slot(&there.meta).await?;
        let place = self.place.below(&slot.name);
        if !slot.is_filled {
            let copy = place.key(object.filename().unwrap_or_default());
            match self.store.copy(&object, &copy).await {
                Err(error) if failure::is_no_object(&error) => return Ok(None),
                copied => copied.map_err(|error| self.failed(error))?,
            }
            let named = self.store.put_opts(&place.key(META), there.text.clone(), PutMode::Create.into()).await;
            match named {
                // Somebody took the name meanwhile, or this is a second try of what had arrived.
                Err(Error::AlreadyExists { .. }) => match self.seen_at(&place).await? {
                    Some(kept) if kept.meta.is_same(&there.meta) => {}
                    _ => return Err(SyncError::Raced(self.shown())),
                },
                named => drop(named.map_err(|error| self.failed(error))?),
            }
            self.sweep(&place, &copy).await;
        }
        crash::point(Point::RemoteKept);
        Ok(Some(place.to_string()))
    }

    /// Removes what pushes left that died: what has a name of theirs, is old, and is not what the meta names. What is
    /// kept below names of its own is not looked at. What can't be removed takes space, and is told in the log.
    async fn sweep(&self, place: &S3Place, named: &Key) {
        if let Err(error) = self.try_sweep(place, named).await {
            tracing::warn!("what other pushes may have left in the bucket stays: {}", failure::told(&error));
        }
    }

    async fn try_sweep(&self, place: &S3Place, named: &Key) -> Result<(), Error> {
        let listed = self.store.list_with_delimiter(place.folder().as_ref()).await?;
        let is_of_a_push = |object: &ObjectMeta| object.location.filename().is_some_and(is_rest);
        let found: Vec<_> = listed.objects.into_iter().filter(is_of_a_push).collect();
        let Some(now) = found.iter().find(|object| object.location == *named).map(|object| object.last_modified) else {
            // Without it nothing tells the storage's time.
            return Ok(());
        };
        for object in found {
            let age = (now - object.last_modified).to_std().unwrap_or_default();
            if object.location != *named && age > ABANDONED_AFTER {
                self.discard(&object.location).await;
            }
        }
        Ok(())
    }

    async fn put_in_place(&self, order: &Replacement<'_>, progress: Progress<'_>) -> Result<Option<String>, SyncError> {
        let Replacement { seen, keeps, file, meta } = *order;
        let there = self.seen().await?;
        let is_seen = match (&there, seen) {
            (None, None) => true,
            (Some(there), Some(seen)) => there.meta.is_same(seen),
            _ => false,
        };
        if !is_seen {
            return Err(SyncError::Raced(self.shown()));
        }
        self.try_conditions().await?;
        crash::point(Point::RemoteLocked);
        let (hash, bytes) = meta.stored();
        let name = format!("{}.{hash}.{:016x}", meta.name(), super::random()?);
        let (compression, encryption) = meta.packing();
        let check = meta.payload.as_ref().and_then(|payload| payload.check.clone());
        let (hash, object) = (hash.to_owned(), Some(name.clone()));
        let payload = Payload { compression, encryption, hash, bytes, check, object };
        let meta = Meta { format: PACKED_FORMAT, payload: Some(payload), ..meta.clone() };
        let key = self.place.key(&name);
        let mut told = |done| {
            progress(Stage::Sending, done, bytes);
            if done * 2 >= bytes {
                crash::point(Point::RemoteHalf);
            }
        };
        if let Err(error) = transfer::send(&self.store, file, &key, bytes, &mut told).await {
            self.discard(&key).await;
            return Err(error.of(&self.place, file));
        }
        crash::point(Point::RemoteCopied);
        let kept = match there.as_ref().filter(|_| keeps) {
            None => None,
            Some(there) => match self.keep(there).await {
                Ok(kept) => kept,
                Err(error) => {
                    self.discard(&key).await;
                    return Err(error);
                }
            },
        };
        self.decide(there.as_ref().map(|there| there.version.clone()), &meta).await?;
        crash::point(Point::RemoteMeta);
        // Done already: what fails from here on takes space.
        if let Some(old) = there.and_then(|there| self.object(&there.meta)) {
            self.discard(&old).await;
        }
        self.sweep(&self.place, &key).await;
        crash::point(Point::RemoteCleared);
        Ok(kept)
    }
}

impl SnapshotRemote for S3Remote {
    fn shown(&self) -> String {
        self.place.to_string()
    }

    fn meta(&self) -> Result<Option<Meta>, SyncError> {
        Ok(self.runtime.block_on(self.seen())?.map(|seen| seen.meta))
    }

    fn fetch(&self, meta: &Meta, target: &Path, progress: Progress<'_>) -> Result<(), SyncError> {
        let unfinished = |why: String| SyncError::Unfinished { remote: self.shown(), why };
        let key = self.object(meta).ok_or_else(|| unfinished(NO_OBJECT.to_owned()))?;
        let (hash, bytes) = meta.stored();
        let fetched = self.runtime.block_on(transfer::fetch(&self.store, &key, target, bytes, &mut |done| {
            progress(Stage::Fetching, done, bytes);
        }));
        match fetched {
            Err(transfer::Failed::Storage(error)) if failure::is_no_object(&error) => {
                Err(unfinished(format!("there is no object {key}")))
            }
            Err(transfer::Failed::Length(found)) => Err(unfinished(otherwise_long(found, bytes))),
            fetched => {
                let found = fetched.map_err(|error| error.of(&self.place, target))?;
                if found == hash { Ok(()) } else { Err(unfinished(format!("its hash is {found} instead of {hash}"))) }
            }
        }
    }

    fn flaw(&self, there: &Meta) -> Result<Option<String>, SyncError> {
        self.runtime.block_on(self.flaw_at(&self.place, there))
    }

    fn place_to_keep(&self, there: &Meta) -> Result<String, SyncError> {
        let slot = self.runtime.block_on(self.slot(there))?;
        Ok(self.place.below(&slot.name).to_string())
    }

    fn replace(&self, order: &Replacement<'_>, progress: Progress<'_>) -> Result<Option<String>, SyncError> {
        self.runtime.block_on(self.put_in_place(order, progress))
    }
}

/// The object that a meta at a place names.
fn object_at(place: &S3Place, meta: &Meta) -> Option<Key> {
    meta.payload.as_ref()?.object.as_deref().map(|name| place.key(name))
}

/// Whether it is a name that pushes give: a snapshot's with its hash and a random number, or a probe's.
fn is_rest(name: &str) -> bool {
    is_object(name) || name.strip_prefix(PROBE).is_some_and(|rest| rest.len() == 17 && rest.starts_with('.'))
}

/// Whether it is the name of a snapshot's object.
pub(super) fn is_object(name: &str) -> bool {
    let is_hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = name.rsplitn(3, '.');
    let (random, hash, name) = (parts.next(), parts.next(), parts.next());
    random.is_some_and(|random| is_hex(random, 16))
        && hash.is_some_and(|hash| is_hex(hash, 64))
        && name.is_some_and(|name| NAMES.contains(&name))
}
