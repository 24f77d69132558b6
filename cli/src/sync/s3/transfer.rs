//! A snapshot on its way to a bucket and back, in pieces: memory is a few of them, however long the snapshot is.
//!
//! Where in the flow: below the remote, above the storage's client, which tries each piece again. Never decides which
//! snapshot is the remote's.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::AmazonS3;
use object_store::path::Path as Key;
use object_store::{Error, ObjectStoreExt, PutPayload, WriteMultipart};
use sha2::{Digest, Sha256};

use super::failure::failed;
use super::place::S3Place;
use crate::durable::{self, Readers};
use crate::sync::SyncError;
use crate::sync::folder::hex;

/// How much travels as one request, in bytes, and is in memory for it.
const PART_BYTES: u64 = 8 * 1024 * 1024;
/// The storage's limit of parts: what is longer has longer parts.
const MAX_PARTS: u64 = 10_000;
/// How many parts travel at a time.
const AT_A_TIME: usize = 4;

/// What went wrong.
pub(super) enum Failed {
    Storage(Error),
    /// It has so many bytes, and should have another number.
    Length(u64),
    Here(io::Error),
}

impl Failed {
    pub(super) fn of(self, place: &S3Place, file: &Path) -> SyncError {
        match self {
            Self::Storage(error) => failed(place, &error),
            Self::Length(found) => {
                SyncError::S3 { remote: place.to_string(), why: format!("what was stored there has {found} bytes") }
            }
            Self::Here(source) => SyncError::File { path: file.to_owned(), source },
        }
    }
}

/// Stores a file. What it left after an error is removed by whoever called, and by the storage.
pub(super) async fn send(
    store: &AmazonS3,
    file: &Path,
    key: &Key,
    bytes: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Failed> {
    let mut source = File::open(file).map_err(Failed::Here)?;
    if bytes <= PART_BYTES {
        let mut whole = Vec::new();
        source.read_to_end(&mut whole).map_err(Failed::Here)?;
        store.put(key, PutPayload::from(whole)).await.map_err(Failed::Storage)?;
        progress(bytes);
    } else {
        send_in_parts(store, &mut source, key, bytes, progress).await?;
    }
    // Each part was checked by its signature; this shows that all are there.
    let found = store.head(key).await.map_err(Failed::Storage)?.size;
    if found == bytes { Ok(()) } else { Err(Failed::Length(found)) }
}

async fn send_in_parts(
    store: &AmazonS3,
    source: &mut File,
    key: &Key,
    bytes: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Failed> {
    let part = PART_BYTES.max(bytes.div_ceil(MAX_PARTS));
    let upload = store.put_multipart(key).await.map_err(Failed::Storage)?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, usize::try_from(part).unwrap_or(usize::MAX));
    let mut done = 0;
    let sent = loop {
        let mut piece = Vec::new();
        if let Err(error) = source.take(part).read_to_end(&mut piece) {
            break Err(Failed::Here(error));
        }
        if piece.is_empty() {
            break Ok(());
        }
        if let Err(error) = upload.wait_for_capacity(AT_A_TIME).await {
            break Err(Failed::Storage(error));
        }
        done += piece.len() as u64;
        upload.put(piece.into());
        progress(done.saturating_sub(part * AT_A_TIME as u64));
    };
    match sent {
        Ok(()) => upload.finish().await.map(drop).map_err(Failed::Storage)?,
        Err(error) => {
            if let Err(error) = upload.abort().await {
                tracing::warn!("parts of a snapshot stay in the bucket: {}", super::failure::told(&error));
            }
            return Err(error);
        }
    }
    progress(done);
    Ok(())
}

/// Writes an object of so many bytes into a new file, has it on disk, and gives its hash.
pub(super) async fn fetch(
    store: &AmazonS3,
    key: &Key,
    target: &Path,
    bytes: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<String, Failed> {
    let found = store.head(key).await.map_err(Failed::Storage)?.size;
    if found != bytes {
        return Err(Failed::Length(found));
    }
    let mut file = durable::create(target, Readers::Owner).map_err(Failed::Here)?;
    let mut hash = Sha256::new();
    let mut done = 0;
    let ranges = (0..bytes.div_ceil(PART_BYTES)).map(|part| part * PART_BYTES..bytes.min((part + 1) * PART_BYTES));
    let mut pieces = stream::iter(ranges).map(|range| store.get_range(key, range)).buffered(AT_A_TIME);
    while let Some(piece) = pieces.try_next().await.map_err(Failed::Storage)? {
        hash.update(&piece);
        file.write_all(&piece).map_err(Failed::Here)?;
        done += piece.len() as u64;
        progress(done);
    }
    file.sync_all().map_err(Failed::Here)?;
    Ok(hex(&hash.finalize()))
}
