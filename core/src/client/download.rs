//! The inbox: the server's ranges, part by part, in order.
//!
//! Where in the flow: step 7 of a write. Never moves the cursor itself: the store does, in the transaction of a
//! range's last part.

use std::collections::VecDeque;

use super::{ClientSession, Phase};
use crate::change::Change;
use crate::limits::WINDOW_PARTS;
use crate::position::Cursor;
use crate::protocol::{ClientMessage, CloseCode, Download, Receipt};
use crate::replica::{DownloadPart, Outbox, StoreRequest};
use crate::status::Direction;
use crate::time::Now;

/// Received parts that are being applied.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Whether the identity requests of this connection are under way: they end with a load.
    pub(super) settling: bool,
    settled: bool,
    /// Where the database stands.
    cursor: Cursor,
    /// Where it will stand once every received range is applied.
    received: Cursor,
    range: Option<Incoming>,
    /// Whether a message is coming in of which fragments are missing.
    in_fragments: bool,
    applying: VecDeque<Part>,
    /// When a fragment or a part came, or a part was applied.
    moved: Now,
    /// Whether a range was applied on this connection.
    pub(super) applied_once: bool,
}

#[derive(Debug)]
struct Incoming {
    since: Cursor,
    until: Cursor,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    receipt: Receipt<Cursor>,
    changes: u64,
    bytes: u64,
    remaining: u64,
}

impl Inbox {
    /// The database's state was loaded, or the server starts over from `cursor`.
    pub(super) fn start(&mut self, cursor: Cursor) {
        self.cursor = cursor;
        if self.settling {
            self.settling = false;
            self.settled = true;
        } else {
            self.received = cursor;
        }
    }

    pub(super) fn stop(&mut self) {
        *self = Self { cursor: self.cursor, ..Self::default() };
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// While something large comes in: when it moved last.
    pub(super) fn receiving(&self) -> Option<Now> {
        let in_parts =
            self.in_fragments || self.range.is_some() || self.applying.iter().any(|part| part.receipt.part > 0);
        in_parts.then_some(self.moved)
    }

    pub(super) fn fragment_came(&mut self, now: Now, more: bool) {
        self.in_fragments = more;
        self.moved = now;
    }

    fn check(&mut self, now: Now, download: &Download<Vec<Change>>) -> Result<(), &'static str> {
        let range = match &mut self.range {
            Some(range) => range,
            None if download.since != self.received => return Err("a download that does not follow the cursor"),
            None => self.range.insert(Incoming { since: download.since, until: download.until, next: 0 }),
        };
        if (download.since, download.until, download.part) != (range.since, range.until, range.next) {
            return Err("a part that does not follow the one before");
        }
        if self.applying.len() >= WINDOW_PARTS as usize {
            return Err("more parts than the window allows");
        }
        range.next += 1;
        self.moved = now;
        if download.last {
            self.received = download.until;
            self.range = None;
        }
        Ok(())
    }
}

impl ClientSession {
    pub(super) fn download(&mut self, now: Now, download: Download<Vec<Change>>, bytes: u64) {
        if !matches!(self.phase, Phase::Welcomed { .. }) {
            return self.give_up(now, CloseCode::OutOfOrder, "a download before the welcome");
        }
        if let Err(what) = self.inbox.check(now, &download) {
            return self.give_up(now, CloseCode::OutOfOrder, what);
        }
        let receipt = Receipt { until: download.until, part: download.part, last: download.last };
        let changes = download.changes.len() as u64;
        self.inbox.applying.push_back(Part { receipt, changes, bytes, remaining: download.remaining });
        if download.part == 0 && !download.last {
            self.start_meter(now, Direction::Down, changes + download.remaining);
        }
        self.heartbeat.announced(download.until);
        self.request(StoreRequest::Apply(DownloadPart {
            since: download.since,
            until: download.until,
            last: download.last,
            changes: download.changes,
        }));
    }

    /// A part is committed.
    pub(super) fn applied(&mut self, now: Now, outbox: Outbox, stale: bool) {
        self.set_outbox(now, outbox);
        self.clear_fault();
        self.verifier.disturb(now);
        if stale {
            return;
        }
        let Some(part) = self.inbox.applying.pop_front() else { return };
        self.inbox.moved = now;
        self.measure(now, Direction::Down, part.changes, part.bytes, part.remaining);
        self.send(&ClientMessage::Downloaded(part.receipt));
        if part.receipt.last {
            self.inbox.cursor = part.receipt.until;
            if let Some(state) = &mut self.state {
                state.cursor = part.receipt.until;
            }
            self.inbox.applied_once = true;
            if part.receipt.part == 0 {
                self.heartbeat.reached(part.receipt.until);
            } else {
                self.heartbeat.reached_in_parts(part.receipt.until);
                self.beat(now);
            }
            self.prove(now);
        }
        self.begin_upload();
    }
}
