//! `GET /{db}/file`: a consistent copy of a database, in one piece or in ranges.
//!
//! Where in the flow: for backups and first copies. Never hands out the live file, and never two copies of one head:
//! ranges that are fetched one after another are of the same copy as long as the head stands.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greenlight_core::replica::{Fault, FaultKind, ServerFacts};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio::sync::Mutex;

use super::meta::hex;
use crate::access::Role;
use crate::app::{App, Target};
use crate::audit::Event;
use crate::database::{Database, Published};
use crate::error::ApiError;
use crate::limits::FILE_BLOCK_BYTES;
use crate::name::DatabaseName;

/// Where copies are kept, within the data folder; a leading dot is no database's name.
const FOLDER: &str = ".snapshots";

/// A copy that was made.
#[derive(Clone, Debug)]
struct Copy {
    file: PathBuf,
    length: u64,
    digest: [u8; 32],
    facts: ServerFacts,
    /// The position that was published when it was asked for.
    of: Published,
}

/// The last copy of each database.
#[derive(Debug)]
pub struct Snapshots {
    folder: PathBuf,
    copies: Mutex<HashMap<DatabaseName, Arc<Mutex<Option<Copy>>>>>,
}

impl Snapshots {
    /// Makes the folder, empty.
    ///
    /// # Errors
    /// When that can't be done.
    pub fn new(data: &Path) -> std::io::Result<Self> {
        let folder = data.join(FOLDER);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { folder, copies: Mutex::default() })
    }

    /// The copy of the present head; made if the last one is of another.
    async fn of(&self, database: &Database) -> Result<Copy, ApiError> {
        let slot = self.copies.lock().await.entry(database.name().clone()).or_default().clone();
        let mut kept = slot.lock().await;
        let of = *database.published().borrow();
        if let Some(copy) = &*kept
            && copy.of == of
        {
            return Ok(copy.clone());
        }
        tokio::fs::create_dir_all(&self.folder).await.map_err(io_fault)?;
        let file = self.folder.join(database.name().as_str());
        // Whoever still reads the last copy has it open; its space is freed when they are done.
        match tokio::fs::remove_file(&file).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io_fault(error)),
            _ => *kept = None,
        }
        let facts = database.snapshot(file.clone()).await?;
        let path = file.clone();
        let digested = tokio::task::spawn_blocking(move || digest(&path)).await;
        let (length, digest) = digested.map_err(|error| io_fault(error.into()))?.map_err(io_fault)?;
        let copy = Copy { file, length, digest, facts, of };
        *kept = Some(copy.clone());
        Ok(copy)
    }
}

/// Answers the copy, or the range of it that was asked for.
pub(super) async fn file(State(app): State<App>, target: Target, headers: HeaderMap) -> Result<Response, ApiError> {
    let pass = app.check(&target.caller, Some(&target.name), Role::Read)?;
    let database = app.registry.get(&target.name).await?;
    let copy = app.snapshots.of(&database).await?;
    let tag = format!("\"{}\"", hex(&copy.digest));
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|known| known == tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, value(&tag))]).into_response());
    }
    let same = text(header::IF_RANGE).is_none_or(|known| known == tag);
    let range = match text(header::RANGE).filter(|_| same).and_then(|text| parse_range(text, copy.length)) {
        Some(Ok(range)) => Some(range),
        Some(Err(())) => return Err(ApiError::Range(copy.length)),
        None => None,
    };
    let (start, end) = range.unwrap_or((0, copy.length));
    let entry = app.entry(Event::File, &target.caller, Some(&target.name)).by(&pass);
    app.audit.write(entry.with("from", start).with("to", end).with("of", copy.length));
    let mut file = tokio::fs::File::open(&copy.file).await.map_err(io_fault)?;
    file.seek(SeekFrom::Start(start)).await.map_err(io_fault)?;
    let mut response = Body::from_stream(blocks(file, end - start)).into_response();
    describe(response.headers_mut(), &copy, &tag, end - start);
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let shown = format!("bytes {start}-{}/{}", end - 1, copy.length);
        response.headers_mut().insert(header::CONTENT_RANGE, value(&shown));
    }
    Ok(response)
}

fn describe(headers: &mut HeaderMap, copy: &Copy, tag: &str, length: u64) {
    let head = copy.facts.head;
    let lineage = copy.facts.lineage;
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.sqlite3"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::ETAG, value(tag));
    let digest = format!("sha-256=:{}:", STANDARD.encode(copy.digest));
    headers.insert(HeaderName::from_static("repr-digest"), value(&digest));
    headers.insert(HeaderName::from_static("greenlight-version"), HeaderValue::from(head.version.get()));
    headers.insert(HeaderName::from_static("greenlight-tag"), value(&format!("{:016x}", head.tag.0)));
    headers.insert(HeaderName::from_static("greenlight-site-id"), value(&lineage.site_id.to_hex()));
    headers.insert(HeaderName::from_static("greenlight-epoch"), value(&lineage.epoch.to_hex()));
}

/// Digits, letters and the like always fit into a header.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// One range, as start and exclusive end. `None` for what isn't one range of bytes: then the whole is sent.
/// `Some(Err)` for a range that lies outside.
fn parse_range(text: &str, length: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let (start, end) = match (first.is_empty(), last.is_empty()) {
        (true, true) => return None,
        (true, false) => (length.saturating_sub(last.parse().ok()?), length),
        (false, true) => (first.parse().ok()?, length),
        (false, false) => (first.parse().ok()?, last.parse::<u64>().ok()?.saturating_add(1).min(length)),
    };
    Some(if start < end { Ok((start, end)) } else { Err(()) })
}

fn blocks(
    file: tokio::fs::File,
    length: u64,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send {
    futures_util::stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut block = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(FILE_BLOCK_BYTES)];
        let read = file.read(&mut block).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        block.truncate(read);
        Ok(Some((Bytes::from(block), (file, left - read as u64))))
    })
}

fn digest(file: &Path) -> std::io::Result<(u64, [u8; 32])> {
    let mut hasher = Sha256::new();
    let mut file = std::fs::File::open(file)?;
    let mut block = vec![0; FILE_BLOCK_BYTES];
    let mut length = 0;
    loop {
        let read = std::io::Read::read(&mut file, &mut block)?;
        if read == 0 {
            return Ok((length, hasher.finalize().into()));
        }
        hasher.update(&block[..read]);
        length += read as u64;
    }
}

/// An error of the file system as a fault; its text may name a path, its kind doesn't.
fn io_fault(error: std::io::Error) -> ApiError {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => FaultKind::Full,
        std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => FaultKind::ReadOnly,
        _ => FaultKind::Io,
    };
    ApiError::Store(Fault { kind, message: format!("a copy could not be made: {}", error.kind()) })
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges_are_read_as_the_web_writes_them() {
        for (text, range) in [
            ("bytes=0-0", Some(Ok((0, 1)))),
            ("bytes=2-", Some(Ok((2, 10)))),
            ("bytes=-3", Some(Ok((7, 10)))),
            ("bytes=-99", Some(Ok((0, 10)))),
            ("bytes=5-99", Some(Ok((5, 10)))),
            ("bytes=10-", Some(Err(()))),
            ("bytes=5-2", Some(Err(()))),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("lines=1-2", None),
        ] {
            assert_eq!(parse_range(text, 10), range, "{text}");
        }
    }
}
