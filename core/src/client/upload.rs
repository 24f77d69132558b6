//! The outbox: own changes above the acknowledgement, sent as one range at a time.
//!
//! Where in the flow: step 2 of a write. Never counts a change as saved before the server's receipt of a range's last
//! part is recorded.

use std::collections::VecDeque;

use super::progress::Meter;
use super::{ClientSession, Phase};
use crate::limits::WINDOW_PARTS;
use crate::position::Bound;
use crate::protocol::{ClientMessage, CloseCode, Receipt, Upload};
use crate::replica::{Chunk, Outbox, ReadPosition, ReadRequest, StoreRequest, UploadPlan};
use crate::status::Direction;
use crate::time::Now;

/// The range that is being sent; without a plan while its bound is being stored.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    plan: Option<UploadPlan>,
    after: Option<ReadPosition>,
    part: u32,
    reading: bool,
    all_read: bool,
    unconfirmed: VecDeque<(Receipt<Bound>, Part)>,
}

/// What a sent part held, for the progress when its receipt comes.
#[derive(Clone, Copy, Debug)]
struct Part {
    changes: u64,
    bytes: u64,
    remaining: u64,
}

impl ClientSession {
    /// Begins an upload where one is due: the first on a connection, even an empty one, and later whenever own
    /// changes wait. Not where the server would refuse what waits: it would end the connection, which brings its own.
    pub(super) fn begin_upload(&mut self) {
        let due = (!self.uploaded_once || self.outbox.changes > 0) && !self.is_held_back();
        let ready = matches!(self.phase, Phase::Welcomed { .. }) && self.inbox.is_settled();
        if due && ready && self.upload.is_none() {
            self.upload = Some(Outgoing::default());
            self.request(StoreRequest::BeginUpload);
        }
    }

    pub(super) fn begun(&mut self, plan: UploadPlan) {
        self.clear_fault();
        if let Some(outgoing) = &mut self.upload {
            outgoing.plan = Some(plan);
            self.read_upload();
        }
    }

    fn read_upload(&mut self) {
        let Some(outgoing) = &mut self.upload else { return };
        let Some(plan) = &outgoing.plan else { return };
        if outgoing.reading || outgoing.all_read || outgoing.unconfirmed.len() >= WINDOW_PARTS as usize {
            return;
        }
        outgoing.reading = true;
        let request = ReadRequest { after: outgoing.after.clone(), ..plan.read.clone() };
        self.request(StoreRequest::Read(request));
    }

    pub(super) fn chunk(&mut self, now: Now, chunk: Chunk) {
        let Some(outgoing) = &mut self.upload else { return };
        let Some(plan) = &outgoing.plan else { return };
        let last = chunk.next.is_none();
        let receipt = Receipt { until: plan.until, part: outgoing.part, last };
        let part =
            Part { changes: chunk.changes.count, bytes: chunk.changes.body.len() as u64, remaining: chunk.remaining };
        let message = ClientMessage::Upload(Upload {
            since: plan.since,
            until: plan.until,
            part: outgoing.part,
            last,
            offer: plan.offer,
            remaining: chunk.remaining,
            changes: chunk.changes,
        });
        outgoing.reading = false;
        outgoing.all_read = last;
        outgoing.after = chunk.next;
        outgoing.part += 1;
        outgoing.unconfirmed.push_back((receipt, part));
        if receipt.part == 0 && !last {
            self.progress = Some(Meter::start(now, Direction::Up, part.changes + part.remaining));
        }
        self.send_in_fragments(now, &message);
        self.read_upload();
    }

    pub(super) fn uploaded(&mut self, now: Now, receipt: Receipt<Bound>) {
        let front = self.upload.as_mut().and_then(|outgoing| outgoing.unconfirmed.pop_front());
        let Some((expected, part)) = front else {
            return self.give_up(now, CloseCode::OutOfOrder, "a receipt for nothing");
        };
        if expected != receipt {
            return self.give_up(now, CloseCode::OutOfOrder, "a receipt for another part");
        }
        if self.awaiting.is_some() {
            self.awaiting = Some(now);
        }
        self.measure(now, Direction::Up, part.changes, part.bytes, part.remaining);
        if receipt.last {
            self.request(StoreRequest::Acknowledge(receipt.until));
        } else {
            self.read_upload();
        }
    }

    /// The acknowledgement is recorded.
    pub(super) fn acknowledged(&mut self, now: Now, outbox: Outbox, stale: bool) {
        self.awaiting = None;
        self.acknowledgement_missing = false;
        self.set_outbox(now, outbox);
        self.clear_fault();
        if stale {
            return;
        }
        if let (Some(state), Some(plan)) = (&mut self.state, self.upload.take().and_then(|outgoing| outgoing.plan)) {
            state.acknowledged = plan.until;
        }
        self.uploaded_once = true;
        self.prove(now);
        self.begin_upload();
    }
}
