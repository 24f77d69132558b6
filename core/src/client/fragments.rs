//! Large messages of both directions, in fragments.
//!
//! Where in the flow: below outbox and inbox. A fragment moves no cursor and acknowledges nothing; it shows that the
//! line is alive, however slow it is.

use super::{ClientSession, Output, Phase};
use crate::protocol::{ClientMessage, CloseCode, EncodedChanges, Fragment, encode_received};
use crate::time::Now;

impl ClientSession {
    /// Sends a message that may be large.
    pub(super) fn send_in_fragments(&mut self, now: Now, message: &ClientMessage<EncodedChanges>) {
        self.fragmenter.push(message.encode());
        self.send_what_may_go(now);
    }

    fn send_what_may_go(&mut self, now: Now) {
        while let Some(frame) = self.fragmenter.poll(now) {
            self.outputs.push_back(Output::Send(frame));
        }
    }

    pub(super) fn fragment(&mut self, now: Now, fragment: Fragment) {
        if !matches!(self.phase, Phase::Welcomed { .. }) {
            return self.give_up(now, CloseCode::OutOfOrder, "a fragment before the welcome");
        }
        self.outputs.push_back(Output::Send(encode_received(fragment.number)));
        self.progressed = now;
        self.inbox.fragment_came(now, !fragment.last);
        match self.reassembly.take(fragment) {
            Ok(None) => {}
            Ok(Some(frame)) => self.read(now, &frame),
            Err((code, what)) => self.give_up(now, code, what),
        }
    }

    /// What is sent is arriving, so waiting for its acknowledgement begins anew.
    pub(super) fn fragment_received(&mut self, now: Now, number: u64) {
        if let Err(what) = self.fragmenter.received(now, number) {
            return self.give_up(now, CloseCode::OutOfOrder, what);
        }
        self.progressed = now;
        self.awaiting = self.awaiting.map(|_| now);
        self.send_what_may_go(now);
    }
}
