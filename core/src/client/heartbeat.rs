//! Pings, echoes and announced heads: the facts behind freshness.
//!
//! Where in the flow: beside the data. An answer proves how things stood when its ping was **sent**, never later.

use std::collections::VecDeque;

use super::{ClientSession, Phase};
use crate::limits::{FRESHNESS, HEARTBEAT};
use crate::position::Cursor;
use crate::protocol::{ClientMessage, CloseCode, Ping, Pong, WriterState};
use crate::time::Now;

/// Unanswered pings that are remembered: more than fit into the time after which a silent connection is closed.
const MAX_PINGS: usize = 16;
/// Announced heads that are remembered until they are reached.
const MAX_HEADS: usize = 16;

/// What is known of the server's answers on this connection.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    /// That of the last ping. Never used twice, not even on another connection: an answer that got lost there and
    /// comes late must not pass for one to a ping of this one.
    number: u64,
    /// That of the last ping of the connection before.
    before: u64,
    sent: VecDeque<(u64, Now)>,
    last_ping: Option<Now>,
    /// Answered heads above the cursor, with the time their ping was sent.
    heads: VecDeque<(Cursor, Now)>,
    reached: Cursor,
    pub(super) head: Cursor,
    pub(super) writer: WriterState,
    pub(super) echoed: Option<Now>,
    pub(super) caught_up: Option<Now>,
}

impl Heartbeat {
    /// `seed` is any random number: this process's pings are numbered differently from those of the one before.
    pub(super) fn new(seed: u64) -> Self {
        Self { number: seed >> 32, ..Self::default() }
    }

    pub(super) fn start(&mut self, head: Cursor, writer: WriterState) {
        *self = Self { number: self.number, before: self.number, head, writer, ..Self::default() };
    }

    pub(super) fn stop(&mut self) {
        *self = Self { number: self.number, head: self.head, ..Self::default() };
    }

    /// A head was seen that no ping asked for.
    pub(super) fn announced(&mut self, head: Cursor) {
        if head.version > self.head.version {
            self.head = head;
        }
    }

    /// The cursor moved by a range whose parts were read one after another. A cell that was written again meanwhile
    /// lies above the range and came with no part, so no head that was answered before proves anything now: the next
    /// answer does, or the next range that comes whole.
    pub(super) fn reached_in_parts(&mut self, cursor: Cursor) {
        self.reached = cursor;
        self.heads.retain(|(head, _)| head.version > cursor.version);
        // Ask at once instead of with the next heartbeat: once per range, so never often.
        self.last_ping = None;
    }

    /// The cursor moved.
    pub(super) fn reached(&mut self, cursor: Cursor) {
        self.reached = cursor;
        while let Some((head, asked)) = self.heads.front().copied() {
            if head.version > cursor.version {
                break;
            }
            self.caught_up = Some(asked);
            self.heads.pop_front();
        }
    }

    fn answered(&mut self, pong: Pong) -> bool {
        if pong.number <= self.before || self.number < pong.number {
            return false;
        }
        self.writer = pong.writer;
        let Some(index) = self.sent.iter().position(|(number, _)| *number == pong.number) else {
            // Either the ping was answered before, and this is another word on the writer; or, on a slow line, it was
            // forgotten before this came. Neither proves anything, or does any harm.
            return true;
        };
        let asked = self.sent[index].1;
        self.sent.drain(..=index);
        self.echoed = Some(asked);
        self.head = pong.head;
        if pong.writer != WriterState::Commits {
            // What others wrote into its file may have no place in its history yet: this head proves nothing.
            return true;
        }
        if pong.head.version <= self.reached.version {
            self.caught_up = Some(asked);
        } else if self.heads.len() < MAX_HEADS {
            self.heads.push_back((pong.head, asked));
        }
        true
    }

    /// When the next ping is due.
    pub(super) fn due(&self) -> Option<Now> {
        self.last_ping.map(|sent| sent.plus(HEARTBEAT))
    }
}

impl ClientSession {
    /// Sends a ping when one is due.
    pub(super) fn beat(&mut self, now: Now) {
        if self.heartbeat.last_ping.is_some_and(|sent| now.since(sent) < HEARTBEAT) {
            return;
        }
        self.heartbeat.number += 1;
        self.heartbeat.last_ping = Some(now);
        if self.heartbeat.sent.len() >= MAX_PINGS {
            self.heartbeat.sent.pop_front();
        }
        self.heartbeat.sent.push_back((self.heartbeat.number, now));
        let ping = Ping {
            number: self.heartbeat.number,
            state: self.shown.0,
            pending: self.outbox.changes,
            cursor: self.inbox.cursor(),
        };
        self.send(&ClientMessage::Ping(ping));
    }

    /// Sends a ping now instead of with the next heartbeat: what was committed on the server before it is here once
    /// [`Facts::caught_up`](crate::status::Facts::caught_up) is not before `now`.
    pub fn ask_head(&mut self, now: Now) {
        if matches!(self.phase, Phase::Welcomed { .. }) {
            self.heartbeat.last_ping = None;
            self.beat(now);
        }
    }

    pub(super) fn pong(&mut self, now: Now, pong: Pong) {
        if !self.heartbeat.answered(pong) {
            self.give_up(now, CloseCode::OutOfOrder, "an echo of no ping");
        }
    }

    /// Whether data went both ways on this connection.
    pub(super) fn is_exchanged(&self) -> bool {
        self.uploaded_once && self.inbox.applied_once
    }

    /// Data went one way; once it went both, the connection is proven, if a ping's answer says so too.
    pub(super) fn prove(&mut self, now: Now) {
        if self.is_exchanged() {
            self.server_failed = false;
            let fresh = self.heartbeat.caught_up.is_some_and(|moment| now.since(moment) < FRESHNESS);
            if !fresh {
                self.beat(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::position::{Tag, Version};

    fn cursor(version: u64) -> Cursor {
        Cursor { version: Version::new(version).unwrap(), tag: Tag(7) }
    }

    fn pinged(number: u64) -> Heartbeat {
        let mut heartbeat = Heartbeat::new(0);
        heartbeat.start(cursor(5), WriterState::Commits);
        heartbeat.ping(number);
        heartbeat
    }

    impl Heartbeat {
        fn ping(&mut self, number: u64) {
            self.number = number;
            self.sent.push_back((number, Now::default()));
        }
    }

    fn pong(number: u64) -> Pong {
        Pong { number, head: cursor(5), writer: WriterState::Commits }
    }

    #[test]
    fn a_range_in_parts_proves_nothing_that_was_answered_before_its_end() {
        let mut whole = pinged(1);
        assert!(whole.answered(pong(1)));
        whole.reached(cursor(5));
        assert!(whole.caught_up.is_some());

        let mut parts = pinged(1);
        assert!(parts.answered(pong(1)));
        parts.reached_in_parts(cursor(5));
        assert_eq!(parts.caught_up, None);
        parts.ping(2);
        assert!(parts.answered(pong(2)));
        assert!(parts.caught_up.is_some());
    }

    #[test]
    fn a_head_of_a_server_that_cannot_commit_proves_nothing() {
        let mut heartbeat = pinged(1);
        heartbeat.reached(cursor(5));
        assert!(heartbeat.answered(Pong { writer: WriterState::Full, ..pong(1) }));
        assert!(heartbeat.echoed.is_some());
        assert_eq!(heartbeat.caught_up, None);
        heartbeat.ping(2);
        assert!(heartbeat.answered(pong(2)));
        assert!(heartbeat.caught_up.is_some());
    }

    #[test]
    fn a_second_answer_is_a_word_on_the_writer_and_proves_nothing_else() {
        let mut heartbeat = pinged(1);
        heartbeat.reached(cursor(5));
        assert!(heartbeat.answered(pong(1)));
        let (echoed, caught_up) = (heartbeat.echoed, heartbeat.caught_up);
        assert!(heartbeat.answered(Pong { writer: WriterState::Busy, ..pong(1) }));
        assert_eq!(heartbeat.writer, WriterState::Busy);
        assert!(heartbeat.answered(Pong { head: cursor(6), ..pong(1) }));
        assert_eq!(heartbeat.writer, WriterState::Commits);
        assert_eq!((heartbeat.echoed, heartbeat.caught_up), (echoed, caught_up));
        assert!(heartbeat.heads.is_empty());
    }

    #[test]
    fn an_answer_that_comes_after_its_ping_was_forgotten_is_late_and_no_offence() {
        let mut heartbeat = Heartbeat::new(0);
        heartbeat.start(cursor(5), WriterState::Commits);
        heartbeat.ping(40);
        assert!(heartbeat.answered(pong(3)));
        assert_eq!(heartbeat.echoed, None);
        assert!(!heartbeat.answered(pong(41)));
        assert!(heartbeat.answered(pong(40)));
        assert!(heartbeat.echoed.is_some());
    }

    #[test]
    fn an_answer_of_another_connection_is_none_of_this() {
        let mut heartbeat = pinged(1);
        heartbeat.stop();
        heartbeat.start(cursor(5), WriterState::Commits);
        heartbeat.ping(heartbeat.number + 1);
        assert!(!heartbeat.answered(pong(1)));
        assert!(heartbeat.answered(pong(2)));
    }
}
