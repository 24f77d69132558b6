//! Large messages in fragments, so that a heartbeat never waits behind more than about a second's worth of data.
//!
//! Where in the flow: between a session and its socket, at both ends alike. Below it socket, system and network keep
//! queues that nobody can look into, so only what the peer has not confirmed is on its way for certain: that is kept
//! small enough, by how long receipts take. Never looks into a message, never reorders, never drops.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{
    EARLY_RECEIPT, FIRST_FLIGHT_BYTES, FRAGMENT_BYTES, LATE_RECEIPT, LEAST_FLIGHT_BYTES, MAX_FRAGMENTS,
    MAX_FRAME_BYTES, MOST_FLIGHT_BYTES, PLAIN_FRAME_BYTES,
};
use crate::protocol::{CloseCode, Fragment, encode_fragment, is_about_fragments};
use crate::time::Now;

/// How many fragments make up what may be on its way.
const FRAGMENTS_PER_WINDOW: usize = 4;

// With the smallest window there is always room for a fragment that is worth sending: else nothing would ever be sent.
const _: () = assert!(LEAST_FLIGHT_BYTES / FRAGMENTS_PER_WINDOW >= PLAIN_FRAME_BYTES);

/// No way takes longer by itself, as far as is known: a second.
const SLOWEST_WAY: Duration = Duration::from_secs(1);

/// The sender's half.
#[derive(Debug)]
pub(crate) struct Fragmenter {
    /// Messages that are not sent, or not wholly; what bounds them bounds the parts of a range.
    queue: VecDeque<Vec<u8>>,
    /// How much of the first one is sent.
    sent: usize,
    /// The next fragment's number.
    next: u64,
    /// Fragments without a receipt: how large, and when they were sent.
    flight: VecDeque<(usize, Now)>,
    flying: usize,
    /// How many bytes may be without a receipt.
    window: usize,
    /// The time of the fastest receipt: what the way takes by itself. Where even the first one waits long, that is for
    /// its size, so this is at most [`SLOWEST_WAY`].
    fastest: Duration,
    /// Fragments before this one were sent before the window shrank last; their receipts may be late for that.
    shrunk_at: u64,
}

impl Default for Fragmenter {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            sent: 0,
            next: 0,
            flight: VecDeque::new(),
            flying: 0,
            window: FIRST_FLIGHT_BYTES,
            fastest: SLOWEST_WAY,
            shrunk_at: 0,
        }
    }
}

impl Fragmenter {
    /// Takes a message that is to be sent.
    pub(crate) fn push(&mut self, message: Vec<u8>) {
        self.queue.push_back(message);
    }

    /// The next frame that may be sent now.
    pub(crate) fn poll(&mut self, now: Now) -> Option<Vec<u8>> {
        let message = self.queue.front()?;
        if self.sent == 0 && message.len() <= PLAIN_FRAME_BYTES {
            return self.queue.pop_front();
        }
        let left = message.len() - self.sent;
        // Several at a time, so that the line is at work while the first receipt is on its way.
        let largest = (self.window / FRAGMENTS_PER_WINDOW).min(FRAGMENT_BYTES);
        let size = left.min(largest).min(self.window.saturating_sub(self.flying));
        // Better a receipt later than crumbs.
        if self.flight.len() >= MAX_FRAGMENTS || size < left.min(PLAIN_FRAME_BYTES) {
            return None;
        }
        let last = size == left;
        let frame = encode_fragment(self.next, last, &message[self.sent..self.sent + size]);
        self.next += 1;
        self.flight.push_back((size, now));
        self.flying += size;
        self.sent += size;
        if last {
            self.queue.pop_front();
            self.sent = 0;
        }
        Some(frame)
    }

    /// When the oldest fragment was sent that has no receipt yet.
    pub(crate) fn waiting_since(&self) -> Option<Now> {
        self.flight.front().map(|(_, sent)| *sent)
    }

    /// The peer has read a fragment.
    ///
    /// # Errors
    /// A sentence, where that is not the first one without a receipt.
    pub(crate) fn received(&mut self, now: Now, number: u64) -> Result<(), &'static str> {
        let expected = self.next - self.flight.len() as u64;
        let Some((size, sent)) = self.flight.pop_front().filter(|_| number == expected) else {
            return Err("a receipt for another fragment");
        };
        let took = now.monotonic_since(sent);
        let was_full = 2 * self.flying >= self.window;
        self.fastest = self.fastest.min(took);
        self.flying -= size;
        let waited = took.saturating_sub(self.fastest);
        if waited > LATE_RECEIPT && number >= self.shrunk_at {
            self.window = (self.window / 2).max(LEAST_FLIGHT_BYTES);
            self.shrunk_at = self.next;
        } else if waited <= EARLY_RECEIPT && was_full {
            self.window = (self.window + size).min(MOST_FLIGHT_BYTES);
        }
        Ok(())
    }
}

/// The receiver's half.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    message: Vec<u8>,
    next: u64,
}

impl Reassembly {
    /// Takes in a fragment; returns the message once it is complete.
    ///
    /// # Errors
    /// The code and the reason to close with.
    pub(crate) fn take(&mut self, fragment: Fragment) -> Result<Option<Vec<u8>>, (CloseCode, &'static str)> {
        if fragment.number != self.next {
            return Err((CloseCode::OutOfOrder, "a fragment that does not follow the one before"));
        }
        if self.message.len() + fragment.bytes.len() > MAX_FRAME_BYTES {
            return Err((CloseCode::Malformed, "the fragments of a message are larger than its limit"));
        }
        self.next += 1;
        if self.message.is_empty() {
            self.message = fragment.bytes;
        } else {
            self.message.extend_from_slice(&fragment.bytes);
        }
        if is_about_fragments(&self.message) {
            return Err((CloseCode::Malformed, "fragments within fragments"));
        }
        Ok(fragment.last.then(|| std::mem::take(&mut self.message)))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::protocol::ClientMessage;

    /// A line of so many bytes a second, with a latency each way; what is under way is in order.
    struct Line {
        bytes_per_second: u64,
        latency: Duration,
        free_at: Now,
        under_way: VecDeque<(Now, Fragment)>,
    }

    fn at(ms: u64) -> Now {
        Now { monotonic_ms: ms, wall_ms: 0 }
    }

    fn fragment(frame: &[u8]) -> Fragment {
        match ClientMessage::decode(frame) {
            Ok(ClientMessage::Fragment(fragment)) => fragment,
            other => panic!("{other:?} is no fragment"),
        }
    }

    /// Sends a message; returns how long it took, and how long a heartbeat would have waited at most, after `skip`.
    fn send_over(line: &mut Line, message: &[u8], skip: Duration) -> (Duration, Duration) {
        let (mut sender, mut receiver) = (Fragmenter::default(), Reassembly::default());
        sender.push(message.to_vec());
        let mut now = at(0);
        let mut longest = Duration::ZERO;
        loop {
            while let Some(frame) = sender.poll(now) {
                let start = if line.free_at.monotonic_ms > now.monotonic_ms { line.free_at } else { now };
                let takes = frame.len() as u64 * 1_000 / line.bytes_per_second;
                line.free_at = start.plus(Duration::from_millis(takes));
                line.under_way.push_back((line.free_at.plus(line.latency), fragment(&frame)));
            }
            if now.monotonic_since(at(0)) >= skip {
                longest = longest.max(line.free_at.monotonic_since(now));
            }
            let (arrives, fragment) = line.under_way.pop_front().expect("something is under way");
            now = arrives.plus(line.latency);
            let number = fragment.number;
            let done = receiver.take(fragment).expect("they are in order");
            sender.received(now, number).expect("so are the receipts");
            if let Some(done) = done {
                assert_eq!(done, message);
                return (now.monotonic_since(at(0)), longest);
            }
        }
    }

    fn line(bytes_per_second: u64, latency_ms: u64) -> Line {
        let latency = Duration::from_millis(latency_ms);
        Line { bytes_per_second, latency, free_at: at(0), under_way: VecDeque::new() }
    }

    #[test]
    fn a_heartbeat_waits_little_on_a_slow_line_and_a_fast_one_is_used() {
        let message: Vec<u8> = (0..4_000_000u32).map(|at| (at % 251) as u8).collect();
        for (rate, latency, length) in
            [(1_000, 20, 60_000), (10_000, 20, 300_000), (10_000, 400, 300_000), (1_000_000, 150, 4_000_000)]
        {
            let (took, waited) = send_over(&mut line(rate, latency), &message[..length], Duration::from_secs(10));
            assert!(waited < Duration::from_secs(4), "{rate} bytes/s: a heartbeat waits {waited:?}");
            let ideal = Duration::from_secs_f64(length as f64 / rate as f64);
            assert!(took < ideal * 3 / 2 + Duration::from_secs(2), "{rate} bytes/s: {took:?} for {ideal:?}");
        }
    }

    #[test]
    fn a_small_message_goes_as_it_is_but_never_past_a_larger_one() {
        let mut sender = Fragmenter::default();
        sender.push(vec![1; 10]);
        assert_eq!(sender.poll(at(0)), Some(vec![1; 10]));
        sender.push(vec![2; FIRST_FLIGHT_BYTES + 1]);
        sender.push(vec![3; 10]);
        for number in 0..FRAGMENTS_PER_WINDOW {
            let piece = fragment(&sender.poll(at(0)).expect("there is room"));
            assert_eq!((piece.number, piece.bytes.len()), (number as u64, FIRST_FLIGHT_BYTES / FRAGMENTS_PER_WINDOW));
        }
        assert_eq!(sender.poll(at(0)), None);
        sender.received(at(1), 0).expect("the first");
        let last = fragment(&sender.poll(at(1)).expect("there is room again"));
        assert_eq!((last.bytes, last.last), (vec![2], true));
        assert_eq!(sender.poll(at(1)), Some(vec![3; 10]));
    }

    #[test]
    fn what_does_not_follow_is_refused() {
        let mut sender = Fragmenter::default();
        sender.push(vec![2; 1_000]);
        let first = fragment(&sender.poll(at(0)).expect("there is room"));
        assert!(sender.received(at(0), 1).is_err());
        let mut receiver = Reassembly::default();
        assert!(receiver.take(Fragment { number: 1, ..first.clone() }).is_err());
        assert_eq!(receiver.take(first.clone()), Ok(Some(vec![2; 1_000])));
        assert!(receiver.take(first).is_err());
        let piece = |number| Fragment { number, last: false, bytes: vec![0; FRAGMENT_BYTES] };
        let filled = (1..).find_map(|number| receiver.take(piece(number)).err());
        assert_eq!(filled.map(|(code, _)| code), Some(CloseCode::Malformed));
    }
}
