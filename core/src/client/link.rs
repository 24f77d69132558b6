//! The connection's phases, dialling and backoff.
//!
//! Where in the flow: decides when a socket is asked for. Never opens one.

use std::time::Duration;

use super::{ClientSession, Output};
use crate::fragments::{Fragmenter, Reassembly};
use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX, EARLY_CLOSE};
use crate::protocol::CloseCode;
use crate::replica::StoreRequest;
use crate::time::Now;

/// Where the connection stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// The database's state is being loaded for the first time.
    Opening,
    /// No socket; the next attempt is due at `at`, or waits for a resume.
    Down { at: Option<Now> },
    /// A socket was asked for; `again` after an attempt that failed without opening.
    Dialling { since: Now, again: bool },
    /// Open, no welcome yet.
    Greeting { opened: Now },
    /// Welcomed; `opened` is when the socket did.
    Welcomed { opened: Now },
}

impl Phase {
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Greeting { .. } | Self::Welcomed { .. })
    }

    pub(super) fn has_socket(self) -> bool {
        self.is_open() || matches!(self, Self::Dialling { .. })
    }
}

/// Counts failures and says how long to wait: doubled each time, with jitter, within limits.
#[derive(Debug)]
pub(super) struct Backoff {
    pub(super) failures: u32,
    pub(super) early_closes: u32,
    random: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { failures: 0, early_closes: 0, random: seed }
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Between half and the whole of the doubled delay, so that clients of a restarted server spread out.
    pub(super) fn next(&mut self) -> Duration {
        let doubled = BACKOFF_FIRST.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        // SplitMix64 (Steele, Lea, Flood, 2014): plenty for jitter.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let half = doubled / 2;
        half + half.mul_f64((mixed >> 11) as f64 / (1u64 << 53) as f64)
    }
}

impl ClientSession {
    /// Stops syncing until [`ClientSession::resume`]; local writes go on.
    pub fn pause(&mut self, now: Now) {
        self.paused = true;
        if self.phase.has_socket() {
            self.outputs.push_back(Output::Close(CloseCode::Normal, "paused".to_owned()));
            self.disconnect(now, false);
        }
        if matches!(self.phase, Phase::Down { .. }) {
            self.phase = Phase::Down { at: None };
        }
        self.observe(now);
    }

    /// Goes on after a pause.
    pub fn resume(&mut self, now: Now) {
        self.paused = false;
        self.retry(now);
    }

    /// Dials at once: a click, the browser's `online` event, a page that became visible. Where changes are held back, also
    /// from a connection, since the token may be another by now.
    pub fn retry(&mut self, now: Now) {
        self.verifier.try_again();
        if !self.paused && matches!(self.phase, Phase::Down { .. }) {
            self.backoff.reset();
            self.dial(now);
        }
        self.ask_again_soon(now);
        self.observe(now);
    }

    /// Starts over: after the database was replaced, or its identity changed.
    pub fn reload(&mut self, now: Now) {
        if self.phase.has_socket() {
            self.outputs.push_back(Output::Close(CloseCode::Normal, "starting over".to_owned()));
            self.disconnect(now, false);
        }
        self.phase = Phase::Opening;
        self.backoff.reset();
        self.refused = None;
        self.welcome_missing = false;
        self.acknowledgement_missing = false;
        self.server_failed = false;
        self.fault = None;
        self.last_synced = None;
        self.progress = None;
        self.verifier.forget();
        self.request(StoreRequest::Load);
        self.observe(now);
    }

    pub(super) fn dial(&mut self, now: Now) {
        if self.paused {
            self.phase = Phase::Down { at: None };
            return;
        }
        if self.state.is_none() {
            self.phase = Phase::Opening;
            return self.request(StoreRequest::Load);
        }
        self.phase = Phase::Dialling { since: now, again: self.backoff.failures > 0 };
        self.outputs.push_back(Output::Connect);
    }

    /// Forgets everything about the connection and plans the next; `failed` where it did not end by our own will.
    pub(super) fn disconnect(&mut self, now: Now, failed: bool) {
        let opened = match self.phase {
            Phase::Greeting { opened } | Phase::Welcomed { opened } => Some(opened),
            _ => None,
        };
        self.count_close(now, opened, failed);
        self.requests.clear();
        self.stale = self.asked;
        self.welcome = None;
        self.upload = None;
        self.uploaded_once = false;
        self.inbox.stop();
        self.fragmenter = Fragmenter::default();
        self.reassembly = Reassembly::default();
        self.verifier.disconnected();
        self.heartbeat.stop();
        if let Some(meter) = &self.progress
            && !meter.is_complete()
        {
            self.progress = None;
        }
        let wait = if self.paused { None } else { Some(now.plus(self.backoff.next())) };
        self.phase = Phase::Down { at: wait };
    }

    fn count_close(&mut self, now: Now, opened: Option<Now>, failed: bool) {
        let Some(opened) = opened else {
            if failed {
                // Could not even open: a plain outage, whatever went before.
                self.backoff.early_closes = 0;
                self.welcome_missing = false;
                self.acknowledgement_missing = false;
                self.server_failed = false;
                if self.refused.as_ref().is_some_and(|refuse| !refuse.code.is_incompatible()) {
                    self.refused = None;
                }
            }
            return;
        };
        if now.monotonic_since(opened) >= EARLY_CLOSE {
            self.outlast(now, opened);
        } else if failed && self.refused.is_none() && !self.server_failed {
            self.backoff.early_closes = self.backoff.early_closes.saturating_add(1);
        }
    }

    /// A connection that outlasts [`EARLY_CLOSE`] ends a row of early closes; once it is proven, also one
    /// of failures. An exchange alone does not: a server that falls over each time would be dialled without a pause.
    pub(super) fn outlast(&mut self, now: Now, opened: Now) {
        if now.monotonic_since(opened) >= EARLY_CLOSE {
            self.backoff.early_closes = 0;
            if self.is_proven() {
                self.backoff.reset();
            }
        }
    }
}
