//! Digests for clients that compare: computed once for all that stand at the same head.
//!
//! Where in the flow: beside it. Digesting reads everything, so it has a share of the readers' time and no more: who
//! comes when there is none is told "not now", and asks again later.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use greenlight_core::replica::{DigestScope, Digests};
use tokio::sync::{OnceCell, Semaphore};

use super::Published;
use super::readers::Readers;
use crate::limits::DIGEST_EVERY;

#[derive(Debug)]
pub(super) struct SharedDigests {
    kept: Mutex<Option<Kept>>,
    /// One at a time looks into what differs.
    looking: Semaphore,
}

#[derive(Debug)]
struct Kept {
    published: Published,
    begun: Instant,
    digests: Arc<OnceCell<Digests>>,
}

impl SharedDigests {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::default(), looking: Semaphore::new(1) }
    }

    /// The digests of a scope; without sums where there is no time for them, or the store failed.
    pub(super) async fn of(&self, scope: DigestScope, published: Published, readers: &Readers) -> Digests {
        let none = Digests { at: published.head, sums: None };
        if scope != DigestScope::Tables {
            let Ok(_permit) = self.looking.try_acquire() else { return none };
            return readers.with(move |reader| reader.digest(&scope)).await.unwrap_or(none);
        }
        let Some(cell) = self.cell(published) else { return none };
        let read = || readers.with(|reader| reader.digest(&DigestScope::Tables));
        cell.get_or_try_init(read).await.cloned().unwrap_or(none)
    }

    /// That of this head; `None` while another was begun too short a time ago.
    fn cell(&self, published: Published) -> Option<Arc<OnceCell<Digests>>> {
        // Nothing in here can leave it half changed, so a panic elsewhere doesn't matter.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(there) if there.published == published => return Some(there.digests.clone()),
            Some(there) if there.begun.elapsed() < DIGEST_EVERY => return None,
            _ => {}
        }
        let digests = Arc::new(OnceCell::new());
        *kept = Some(Kept { published, begun: Instant::now(), digests: digests.clone() });
        Some(digests)
    }
}
