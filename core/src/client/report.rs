//! From the session's fields to facts, and from facts to the status that is shown.
//!
//! Where in the flow: after every event. Never changes what the session does.

use super::{ClientSession, Phase, Progress, status};
use crate::limits::{CONNECT_LIMIT, IDLE_LIMIT, WELCOME_GIVE_UP};
use crate::status::{Diagnostics, Facts, Link, Pending, Reason, ServerSeen, Status, StatusState};
use crate::time::Now;

/// The sentence of a solid green light where nothing may be written.
const READ_ONLY: &str = "Everything on the server is here. You may read it, but not change it.";

impl ClientSession {
    /// The facts behind the light.
    pub fn facts(&self) -> Facts {
        Facts {
            link: match self.phase {
                Phase::Opening => Link::Opening,
                Phase::Down { .. } => Link::Down,
                Phase::Dialling { again, .. } => Link::Dialling { again },
                Phase::Greeting { opened } => Link::Greeting { opened },
                Phase::Welcomed { .. } => Link::Welcomed { exchanged: self.is_exchanged() },
            },
            paused: self.paused,
            refused: self.refused.as_ref().map(|refuse| refuse.code),
            early_closes: self.backoff.early_closes,
            welcome_missing: self.welcome_missing,
            acknowledgement_missing: self.acknowledgement_missing,
            server_failed: self.server_failed,
            caught_up: self.heartbeat.caught_up,
            echoed: self.heartbeat.echoed,
            receiving: self.inbox.receiving(),
            writer: self.heartbeat.writer,
            pending: self.outbox.changes,
            held_back: self.is_held_back(),
            awaiting: self.awaiting,
            fault: self.fault.as_ref().map(|fault| fault.kind),
            quarantined: self.outbox.quarantined,
            compared: self.verifier.compared(),
        }
    }

    /// The whole status; cheap, and the same until an event or [`ClientSession::wake_at`].
    pub fn status(&self, now: Now) -> Status {
        let (state, reason) = status::judge(&self.facts(), now);
        let since = if (state, reason) == (self.shown.0, self.shown.1) { self.shown.2 } else { now };
        let detail = self.refused.as_ref().filter(|_| state == StatusState::Incompatible);
        let sentence = match detail {
            Some(refuse) => reason.explained(refuse),
            None if reason == Reason::Synced && self.outbox.left_out > 0 => {
                format!("{}, but for what was left out by hand.", reason.sentence().trim_end_matches('.'))
            }
            None if reason == Reason::Synced && self.read_only => READ_ONLY.to_owned(),
            None => reason.sentence().to_owned(),
        };
        Status {
            state,
            reason,
            sentence,
            remedy: reason.remedy(),
            since: since.wall_ms,
            pending: Pending {
                changes: self.outbox.changes,
                bytes: self.outbox.bytes,
                oldest_age_ms: self.outbox.oldest_ms.map(|at| u64::try_from(now.wall_ms - at).unwrap_or(0)),
            },
            last_synced_at: self.last_synced.map(|moment| moment.wall_ms),
            freshness_ms: self.heartbeat.caught_up.map(|moment| now.since(moment).as_millis() as u64),
            verified_at: self.verifier.verified.map(|moment| moment.wall_ms),
            diverged: self.verifier.diverged.clone(),
            progress: self.progress(),
            quarantined: self.outbox.quarantined,
            held_aside: self.outbox.held_aside,
            left_out: self.outbox.left_out,
            read_only: self.read_only,
            diagnostics: self.diagnostics(),
        }
    }

    /// When [`ClientSession::handle_timeout`] is due: for the next ping or attempt, a deadline, or a change of the
    /// light by time alone. `None` while nothing is due.
    pub fn wake_at(&self, now: Now) -> Option<Now> {
        let phase = match self.phase {
            Phase::Down { at } => at,
            Phase::Dialling { since, .. } => Some(since.plus(CONNECT_LIMIT)),
            Phase::Greeting { opened } => Some(opened.plus(WELCOME_GIVE_UP)),
            Phase::Welcomed { .. } => Some(self.heard.plus(IDLE_LIMIT)),
            Phase::Opening => None,
        };
        let ping = if matches!(self.phase, Phase::Welcomed { .. }) { self.heartbeat.due() } else { None };
        let light = status::next_change(&self.facts(), now).map(|left| now.plus(left));
        [phase, ping, light, self.verify_at(), self.storage_due(), self.ask_again_due()]
            .into_iter()
            .flatten()
            .min_by_key(|moment| moment.monotonic_ms)
    }

    /// Notes what the light shows now, and when it was last solid green.
    pub(super) fn observe(&mut self, now: Now) {
        let (state, reason) = status::judge(&self.facts(), now);
        if (state, reason) != (self.shown.0, self.shown.1) {
            self.shown = (state, reason, now);
        }
        if state == StatusState::Synced {
            self.last_synced = Some(now);
        }
    }

    fn progress(&self) -> Option<Progress> {
        self.progress.as_ref().map(super::progress::Meter::progress)
    }

    fn diagnostics(&self) -> Diagnostics {
        let lineage = match (&self.welcome, &self.state) {
            (Some(welcome), _) => Some(welcome.lineage),
            (None, Some(state)) => state.lineage,
            (None, None) => None,
        };
        let error = self.fault.as_ref().map(|fault| fault.message.clone());
        Diagnostics {
            attempt: self.backoff.failures,
            early_closes: self.backoff.early_closes,
            last_close: self.last_close.clone(),
            last_error: error.or_else(|| self.refused.as_ref().map(|refuse| refuse.sentence.clone())),
            next_attempt_at: if let Phase::Down { at: Some(at) } = self.phase { Some(at.wall_ms) } else { None },
            server: lineage.map(|lineage| ServerSeen {
                site_id: lineage.site_id,
                epoch: lineage.epoch.to_hex(),
                head: self.heartbeat.head.version.get(),
            }),
            site_id: self.state.as_ref().map(|state| state.site_id),
            cursor: self.inbox.cursor().version.get(),
            acknowledged: self.acknowledged_bound().version.get(),
        }
    }
}
