//! A database's reading connections: a few, lent for one request each, on threads that may block.
//!
//! Where in the flow: meta, handshakes, pages for sockets, snapshots. Never writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use greenlight_core::replica::{Fault, FaultKind};
use tokio::sync::Semaphore;

use super::damaged;
use super::engine::{EngineSource, Reader};
use crate::limits::{READER_WAIT, READERS};

#[derive(Debug)]
pub(super) struct Readers {
    source: EngineSource,
    idle: Arc<Mutex<Vec<Reader>>>,
    permits: Arc<Semaphore>,
    /// Set when the file is found to be damaged: its writer then ends, and all of it is looked at.
    suspect: Arc<AtomicBool>,
}

impl Readers {
    pub(super) fn new(source: EngineSource, suspect: Arc<AtomicBool>) -> Self {
        Self { source, idle: Arc::default(), permits: Arc::new(Semaphore::new(READERS)), suspect }
    }

    /// The database's file.
    pub(super) fn file(&self) -> &std::path::Path {
        &self.source.file
    }

    /// Lends a connection. One on which something failed is not used again.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Reader) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let permit = tokio::time::timeout(READER_WAIT, self.permits.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| fault(FaultKind::Busy, "all readers are at work"))?;
        let permit = permit.map_err(|_| fault(FaultKind::Io, "the database is closed"))?;
        let (source, idle, permits) = (self.source.clone(), self.idle.clone(), self.permits.clone());
        let lent = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            // A panic can't happen while the list is locked.
            let found = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut reader = match found {
                Some(reader) => reader,
                None => source.reader()?,
            };
            let answer = work(&mut reader)?;
            if permits.is_closed() {
                return Ok(answer);
            }
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            Ok(answer)
        });
        let answer = lent.await.unwrap_or_else(|_| Err(fault(FaultKind::Internal, "a reader failed")));
        if answer.as_ref().is_err_and(|fault| fault.kind == FaultKind::Corrupt) {
            self.suspect.store(true, Ordering::Release);
        }
        answer
    }

    /// Checks every page beside the work, until the database is closed. Counts as a reader meanwhile.
    pub(super) fn check(&self) -> impl Future<Output = ()> + Send + 'static {
        let (file, permits, suspect) = (self.source.file.clone(), self.permits.clone(), self.suspect.clone());
        async move {
            // A database that is closed already needs no check.
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            let checked = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                damaged::is_damaged(&file, move || !permits.is_closed())
            });
            if checked.await.unwrap_or(false) {
                suspect.store(true, Ordering::Release);
            }
        }
    }

    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits until those that are lent have come back and are closed too. Whether they have in time.
    pub(super) async fn are_gone(&self, within: Duration) -> bool {
        let begun = Instant::now();
        // A closed semaphore keeps its count; nobody can wait for it.
        while self.permits.available_permits() < READERS {
            if begun.elapsed() >= within {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    }
}

fn fault(kind: FaultKind, message: &str) -> Fault {
    Fault { kind, message: message.to_owned() }
}
