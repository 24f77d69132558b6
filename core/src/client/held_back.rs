//! Own changes that the server does not take from who may only read: they wait, and another token is asked for.
//!
//! Where in the flow: between the outbox and the dialling. The client stays connected and goes on reading; since the
//! token is only said in a hello, it dials anew now and then, and when somebody asks for it. Never cuts off what comes
//! in, and never lets the light leave `forbidden` by that.

use super::{ClientSession, Output, Phase};
use crate::limits::HELD_BACK_RETRY;
use crate::protocol::{CloseCode, Refuse, RefuseCode};
use crate::status::Reason;
use crate::time::Now;

impl ClientSession {
    /// Whether own changes wait that the server does not take from who may only read.
    pub(super) fn is_held_back(&self) -> bool {
        matches!(self.phase, Phase::Welcomed { .. }) && self.read_only && self.outbox.changes > 0
    }

    /// Whether this connection has done all that it will: data went both ways, or only this way for good.
    pub(super) fn is_proven(&self) -> bool {
        self.is_exchanged() || self.is_held_back() && self.inbox.applied_once
    }

    /// The server was asked just now.
    pub(super) fn asked_for_rights(&mut self, now: Now) {
        self.ask_again_at = now.plus(HELD_BACK_RETRY);
    }

    /// When to dial anew; `None` while something comes in, which is not cut off.
    pub(super) fn ask_again_due(&self) -> Option<Now> {
        let is_first = !self.inbox.applied_once && self.heartbeat.head.version > self.inbox.cursor().version;
        let is_coming_in = is_first || self.inbox.receiving().is_some();
        (self.is_held_back() && !is_coming_in).then_some(self.ask_again_at)
    }

    /// Somebody asks for it: at once, or once everything has come in.
    pub(super) fn ask_again_soon(&mut self, now: Now) {
        if self.is_held_back() {
            self.ask_again_at = now;
            self.ask_again(now);
        }
    }

    /// Dials anew where that is due. Until the next welcome it is as if the server had refused: it would again.
    pub(super) fn ask_again(&mut self, now: Now) {
        if self.ask_again_due().is_none_or(|at| now.monotonic_ms < at.monotonic_ms) {
            return;
        }
        self.outputs.push_back(Output::Close(CloseCode::Normal, "asking again".to_owned()));
        self.refused = Some(Refuse { code: RefuseCode::Forbidden, sentence: Reason::Forbidden.sentence().to_owned() });
        self.disconnect(now, false);
        self.backoff.reset();
        self.dial(now);
    }
}
