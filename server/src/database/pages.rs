//! Pages of changes that several sockets want: read and encoded once.
//!
//! Where in the flow: after a commit every socket that stands at the same place asks for the same range; the first
//! reads it, the others wait for it. Never serves a page of an older head to a request that is open upward, which
//! would have its socket ask again for ever.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use greenlight_core::replica::{Author, Chunk, Fault, ReadRequest};
use tokio::sync::OnceCell;

use super::Published;
use super::readers::Readers;
use crate::limits::PAGES_KEPT;
use crate::metrics::Metrics;

/// What a kept page answers: a request for everyone's changes, at one published position.
type Key = (Published, ReadRequest);

#[derive(Debug)]
pub(super) struct Pages {
    kept: Mutex<VecDeque<(Key, Arc<OnceCell<Chunk>>)>>,
    metrics: Arc<Metrics>,
}

impl Pages {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { kept: Mutex::default(), metrics }
    }

    /// Reads a page for everyone, whoever asks: a part that is all the asker's own is dropped by its session, and an
    /// echo of some own changes among others' is harmless.
    pub(super) async fn read(
        &self,
        published: Published,
        request: ReadRequest,
        readers: &Readers,
    ) -> Result<Chunk, Fault> {
        let shared = ReadRequest { author: Author::Any, ..request };
        let cell = self.cell((published, shared.clone()));
        let chunk = cell
            .get_or_try_init(|| {
                self.metrics.pages_read.add(1);
                readers.with(move |reader| reader.read(&shared))
            })
            .await?;
        self.metrics.pages_served.add(1);
        Ok(chunk.clone())
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn cell(&self, key: Key) -> Arc<OnceCell<Chunk>> {
        // Nothing in here can leave the list half changed, so a panic elsewhere doesn't matter.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = kept.iter().find(|(other, _)| *other == key) {
            return cell.clone();
        }
        if kept.len() == PAGES_KEPT {
            kept.pop_front();
        }
        let cell = Arc::new(OnceCell::new());
        kept.push_back((key, cell.clone()));
        cell
    }
}
