//! Comparing with the server while nothing else happens, and mending what differs.
//!
//! Where in the flow: beside it, when both are in step. Never trusted for green: that is invariant 2's. What it
//! finds is damage that no message caused: a file that was changed behind our back, a defect of a merge.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{ClientSession, Output};
use crate::key::PackedKey;
use crate::limits::{
    MAX_DIVERGED_ROWS, MAX_REPAIRS, MAX_SUSPECTS, VERIFY_AGAIN, VERIFY_EVERY, VERIFY_IDLE, VERIFY_LIMIT, VERIFY_SHARE,
};
use crate::position::Cursor;
use crate::protocol::{ClientMessage, DigestAnswer, Verify};
use crate::replica::{DigestPage, DigestScope, DigestSum, DivergedRows, ReadPosition, StoreRequest};
use crate::status::{Compared, Diverged};
use crate::time::Now;

/// Sums by name.
type Sums = BTreeMap<Vec<u8>, DigestSum>;

/// What is being compared, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Verifier {
    question: Option<Question>,
    /// Whether the server owes an answer, wanted or not any more: until it comes nothing else may be asked.
    is_owed: bool,
    /// Numbers the questions; an answer of another connection has another number.
    number: u64,
    /// What to look into next: tables, then buckets of their rows.
    suspects: VecDeque<DigestScope>,
    /// What was found so far in this comparison.
    found: DivergedRows,
    /// Tables that differ, with the rows that were found in them.
    tables: BTreeMap<String, u64>,
    /// When anything last changed: here, or in what is known of the server.
    moved: Now,
    /// The last comparison that came to its end: where the cursor stood, when, and how long it took.
    last: Option<(Cursor, Now, Duration)>,
    /// Whether anything changed here since.
    is_changed: bool,
    /// When the server was asked whose digests were found equal.
    pub(super) verified: Option<Now>,
    /// Repairs since the last comparison that found no difference.
    repairs: u32,
    /// What the last comparison found; empty once one finds nothing.
    pub(super) diverged: Vec<Diverged>,
}

#[derive(Debug)]
struct Question {
    number: u64,
    scope: DigestScope,
    asked: Now,
    at: Cursor,
    answer: Option<Sums>,
    own: Sums,
    /// Where the next page of the own digests begins, while it is not asked for. One page at a time, and between them
    /// the driver does what else there is to do.
    page: Option<Option<ReadPosition>>,
}

impl Verifier {
    pub(super) fn new(seed: u64) -> Self {
        Self { number: seed >> 32, ..Self::default() }
    }

    /// Something changed: what is under way no longer counts.
    pub(super) fn disturb(&mut self, now: Now) {
        self.moved = now;
        self.is_changed = true;
        self.stop();
    }

    /// The connection ended.
    pub(super) fn disconnected(&mut self) {
        self.is_owed = false;
        self.stop();
    }

    /// What is under way is given up.
    fn stop(&mut self) {
        self.question = None;
        self.suspects.clear();
        self.found.clear();
        self.tables.clear();
    }

    /// The database is another one.
    pub(super) fn forget(&mut self) {
        *self = Self { number: self.number, ..Self::default() };
    }

    /// For the light.
    pub(super) fn compared(&self) -> Compared {
        match self.repairs {
            _ if self.diverged.is_empty() => Compared::Equal,
            0..=MAX_REPAIRS => Compared::Mending,
            _ => Compared::Diverged,
        }
    }

    /// A person asked: repairs that did not help are tried again.
    pub(super) fn try_again(&mut self) {
        if self.repairs > MAX_REPAIRS {
            self.repairs = 0;
        }
    }

    /// When the next comparison is due, or the answer to the last question.
    fn due(&self, cursor: Cursor) -> Now {
        if let Some(question) = &self.question {
            if question.page.is_some() {
                return question.asked;
            }
            return question.asked.plus(VERIFY_LIMIT);
        }
        let idle = self.moved.plus(VERIFY_IDLE);
        let Some((at, ended, took)) = self.last else { return idle };
        let same = at == cursor && !self.is_changed;
        let wait = match self.compared() {
            Compared::Mending => Duration::ZERO,
            _ if same => VERIFY_AGAIN,
            _ => VERIFY_EVERY.max(took * VERIFY_SHARE),
        };
        let next = ended.plus(wait);
        if next.monotonic_ms > idle.monotonic_ms { next } else { idle }
    }
}

impl ClientSession {
    /// When [`ClientSession::verify`] may have something to do; `None` while it can't, or while the store or the
    /// server has to answer first.
    pub(super) fn verify_at(&self) -> Option<Now> {
        let waits = self.asked || self.verifier.is_owed && self.verifier.question.is_none();
        (self.may_verify() && !waits).then(|| self.verifier.due(self.inbox.cursor()))
    }

    /// Only two databases of one structure, in step, with nothing set aside, have equal digests.
    fn may_verify(&self) -> bool {
        let (Some(state), Some(welcome)) = (&self.state, &self.welcome) else { return false };
        self.is_exchanged()
            && state.schema == welcome.schema
            && self.outbox.changes == 0
            && self.outbox.quarantined + self.outbox.held_aside + self.outbox.left_out == 0
            && self.inbox.cursor() == self.heartbeat.head
    }

    /// Asks when it is time.
    pub(super) fn verify(&mut self, now: Now) {
        if !self.may_verify() {
            return self.verifier.stop();
        }
        if now.monotonic_ms < self.verifier.due(self.inbox.cursor()).monotonic_ms {
            return;
        }
        if self.asked {
            // The next page to come has to be one of this question.
            return;
        }
        match &mut self.verifier.question {
            None if self.verifier.is_owed => {}
            None => self.ask(now, DigestScope::Tables),
            Some(question) => match question.page.take() {
                Some(after) => {
                    let scope = question.scope.clone();
                    self.request(StoreRequest::Digest(scope, after));
                }
                // No answer, or no page: another time.
                None => self.verifier.disturb(now),
            },
        }
    }

    fn ask(&mut self, now: Now, scope: DigestScope) {
        self.verifier.number += 1;
        let number = self.verifier.number;
        let at = self.inbox.cursor();
        self.verifier.question =
            Some(Question { number, scope: scope.clone(), asked: now, at, answer: None, own: Sums::new(), page: None });
        self.verifier.is_owed = true;
        self.send(&ClientMessage::Verify(Verify { number, scope }));
    }

    /// The server's digests came.
    pub(super) fn digests(&mut self, now: Now, answer: DigestAnswer) {
        let cursor = self.inbox.cursor();
        self.verifier.is_owed = false;
        let Some(question) = &mut self.verifier.question else { return };
        if question.number != answer.number || question.answer.is_some() {
            return;
        }
        match answer.digests.sums {
            Some(sums) if answer.digests.at == cursor && question.at == cursor => {
                question.answer = Some(sums.into_iter().collect());
                question.page = Some(None);
            }
            _ => self.verifier.disturb(now),
        }
    }

    /// A page of the own digests.
    pub(super) fn digested(&mut self, now: Now, page: DigestPage) {
        let Some(question) = &mut self.verifier.question else { return };
        for (name, sum) in page.sums {
            let own = question.own.entry(name).or_default();
            *own = own.wrapping_add(sum);
        }
        if page.next.is_some() {
            question.page = Some(page.next);
            return;
        }
        let Some(question) = self.verifier.question.take() else { return };
        self.compare(&question);
        match self.verifier.suspects.pop_front() {
            Some(scope) => self.ask(now, scope),
            None => self.conclude(now, question.asked),
        }
    }

    /// Notes what differs, and where to look next.
    fn compare(&mut self, question: &Question) {
        let none = Sums::new();
        let theirs = question.answer.as_ref().unwrap_or(&none);
        let differs = |name: &&Vec<u8>| {
            // Nothing to sum up is a sum of zero.
            theirs.get(*name).copied().unwrap_or_default() != question.own.get(*name).copied().unwrap_or_default()
        };
        let only_theirs = theirs.keys().filter(|name| !question.own.contains_key(*name));
        let names = question.own.keys().chain(only_theirs).filter(differs);
        let verifier = &mut self.verifier;
        match &question.scope {
            DigestScope::Tables => {
                for name in names.take(MAX_SUSPECTS) {
                    let table = String::from_utf8_lossy(name).into_owned();
                    verifier.tables.insert(table.clone(), 0);
                    verifier.suspects.push_back(DigestScope::Buckets(table));
                }
            }
            DigestScope::Buckets(table) => {
                for bucket in names.filter_map(|name| name.first()).take(MAX_SUSPECTS) {
                    verifier.suspects.push_back(DigestScope::Rows(table.clone(), *bucket));
                }
            }
            DigestScope::Rows(table, _) => {
                let rows = verifier.tables.entry(table.clone()).or_default();
                for name in names {
                    *rows += 1;
                    if let (Ok(key), true) = (PackedKey::new(name), verifier.found.len() < MAX_DIVERGED_ROWS) {
                        verifier.found.push((table.clone(), key));
                    }
                }
            }
        }
    }

    /// Everything was asked.
    fn conclude(&mut self, now: Now, asked: Now) {
        let tables = std::mem::take(&mut self.verifier.tables);
        let rows = std::mem::take(&mut self.verifier.found);
        self.verifier.last = Some((self.inbox.cursor(), now, now.monotonic_since(asked)));
        self.verifier.is_changed = false;
        self.verifier.diverged = tables.into_iter().map(|(table, rows)| Diverged { table, rows }).collect();
        if self.verifier.diverged.is_empty() {
            self.verifier.repairs = 0;
            self.verifier.verified = Some(asked);
            return;
        }
        self.verifier.repairs += 1;
        self.outputs.push_back(Output::Diverged(self.verifier.diverged.clone(), rows.clone()));
        match self.verifier.repairs {
            // Both have everything from the other once more: merging decides.
            1 => self.request(StoreRequest::ForgetCursor),
            // Values that the merge takes for equal. It is a write, which somebody else has to make.
            2 if !self.read_only => self.request(StoreRequest::Rewrite(rows)),
            _ => {}
        }
    }
}
