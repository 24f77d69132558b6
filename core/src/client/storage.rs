//! The fault of the own database that is shown, and trying whether a full disk has room again.
//!
//! Where in the flow: beside the data. Any write that succeeds ends a fault; where nobody writes, an own one does.

use super::ClientSession;
use crate::limits::STORAGE_RETRY;
use crate::replica::{Fault, FaultKind, StoreRequest};
use crate::time::Now;

/// Trying whether a full disk has room again.
#[derive(Debug)]
pub(super) struct Trial {
    /// When it was tried last, or was found full.
    last: Now,
    /// The store is at it.
    running: bool,
}

impl Trial {
    pub(super) fn new(now: Now) -> Self {
        Self { last: now, running: false }
    }

    /// Whether the store's answer, which came just now, is the trial's.
    pub(super) fn end(&mut self) -> bool {
        std::mem::take(&mut self.running)
    }
}

impl ClientSession {
    pub(super) fn set_fault(&mut self, now: Now, fault: Fault) {
        self.fault = Some(fault);
        self.trial.last = now;
    }

    pub(super) fn clear_fault(&mut self) {
        self.fault = None;
    }

    /// When a full disk is to be tried; `None` while there is none, or the store has something else to do first.
    pub(super) fn storage_due(&self) -> Option<Now> {
        let is_full = self.fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::Full);
        (is_full && !self.asked && self.state.is_some()).then(|| self.trial.last.plus(STORAGE_RETRY))
    }

    pub(super) fn try_storage(&mut self, now: Now) {
        if self.storage_due().is_some_and(|due| due.monotonic_ms <= now.monotonic_ms) {
            self.trial = Trial { last: now, running: true };
            self.request(StoreRequest::Probe);
        }
    }
}
