//! The network: connections of two directions, each in order, each of which can be slow, silent or cut.
//!
//! Where in the flow: between the sessions' messages and their arrival. Within a direction messages keep their order,
//! as a WebSocket does; between connections and directions there is no order. Never looks into a message, but at its
//! first byte to count fragments.

use std::collections::VecDeque;

use greenlight_core::limits::{MAX_FRAGMENTS, MAX_FRAME_BYTES};

use crate::clock::Time;
use crate::event::Event;
use crate::oracle::{Check, Violation};
use crate::world::World;

/// Messages of a connection that are remembered, to come again on a later one.
const REMEMBERED: usize = 24;
/// Message types, as the protocol numbers them.
const FRAGMENT: u8 = 12;
const RECEIVED: u8 = 13;

/// A connection's number, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WireId(pub(crate) usize);

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) client: usize,
    up: Pipe,
    down: Pipe,
    /// The last messages, to come again later.
    sent: VecDeque<(Way, Vec<u8>)>,
    /// Fragments without a receipt, up and down.
    open_fragments: [usize; 2],
    /// Messages of other connections were put into it: its fragments can't be counted any more.
    tainted: bool,
}

#[derive(Debug, Default)]
struct Pipe {
    /// When the last message arrives: later ones come after it.
    arrives: Time,
    /// Nothing comes through any more.
    cut: bool,
    /// So many messages pass, then it is cut.
    cut_after: Option<u32>,
}

/// A client's way to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) latency_ms: u64,
    pub(crate) offline_until: Time,
    pub(crate) black_hole: bool,
    /// What passes in a second, in each direction, where that is little.
    pub(crate) bytes_per_second: Option<u64>,
}

impl Default for Link {
    fn default() -> Self {
        Self { latency_ms: 20, offline_until: Time::default(), black_hole: false, bytes_per_second: None }
    }
}

impl Wire {
    fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Counts fragments that are on their way; their sender bounds them.
    fn count(&mut self, way: Way, kind: u8) -> usize {
        let place = match (way, kind) {
            (Way::Up, FRAGMENT) | (Way::Down, RECEIVED) => 0,
            (Way::Down, FRAGMENT) | (Way::Up, RECEIVED) => 1,
            _ => return 0,
        };
        let open = &mut self.open_fragments[place];
        *open = if kind == FRAGMENT { *open + 1 } else { open.saturating_sub(1) };
        *open
    }
}

impl World {
    /// A client dials.
    pub(crate) fn dial(&mut self, client: usize) -> WireId {
        let id = WireId(self.wires.len());
        self.wires.push(Wire {
            client,
            up: Pipe::default(),
            down: Pipe::default(),
            sent: VecDeque::new(),
            open_fragments: [0; 2],
            tainted: false,
        });
        let link = self.clients[client].link;
        let travel = self.travel(link.latency_ms);
        if link.offline_until > self.now {
            if !link.black_hole {
                self.after(travel, Event::DialFailed(id));
            }
        } else {
            self.after(travel, Event::Dialled(id));
        }
        id
    }

    /// Puts a message of one end into the connection.
    pub(crate) fn send(&mut self, id: WireId, way: Way, frame: Vec<u8>) -> Result<(), Violation> {
        let wire = &mut self.wires[id.0];
        let open = frame.first().map_or(0, |&kind| wire.count(way, kind));
        if !wire.tainted && open > MAX_FRAGMENTS {
            return Err(self.violation(Check::Limits, format!("{open} fragments are on their way {way:?} on {id:?}")));
        }
        if frame.len() > MAX_FRAME_BYTES {
            return Err(self.violation(Check::Limits, format!("a message of {} bytes", frame.len())));
        }
        if wire.sent.len() >= REMEMBERED {
            wire.sent.pop_front();
        }
        wire.sent.push_back((way, frame.clone()));
        self.carry(id, way, frame);
        Ok(())
    }

    /// Has messages of earlier connections come again on this one.
    pub(crate) fn send_stale(&mut self, id: WireId, way: Way, count: usize) -> usize {
        let client = self.wires[id.0].client;
        let frames: Vec<Vec<u8>> =
            self.clients[client].past.iter().filter(|(past, _)| *past == way).map(|(_, frame)| frame.clone()).collect();
        let frames: Vec<Vec<u8>> = frames.into_iter().rev().take(count).rev().collect();
        let sent = frames.len();
        self.wires[id.0].tainted |= sent > 0;
        for frame in frames {
            self.carry(id, way, frame);
        }
        sent
    }

    fn carry(&mut self, id: WireId, way: Way, frame: Vec<u8>) {
        let bytes = frame.len() as u64;
        let event = match way {
            Way::Up => Event::Up(id, frame),
            Way::Down => Event::Down(id, frame),
        };
        let pipe = self.wires[id.0].pipe(way);
        if pipe.cut_after == Some(0) {
            self.cut(id, Some(500), Some(500));
        } else {
            pipe.cut_after = pipe.cut_after.map(|left| left - 1);
            self.push(id, way, bytes, event);
        }
    }

    /// One end closes; the other learns of it behind all messages, unless the way is cut.
    pub(crate) fn close_wire(&mut self, id: WireId, way: Way, code: u16, reason: String) {
        let event = match way {
            Way::Up => Event::UpClosed(id),
            Way::Down => Event::DownClosed(id, code, reason),
        };
        self.push(id, way, 0, event);
    }

    fn push(&mut self, id: WireId, way: Way, bytes: u64, event: Event) {
        let Link { latency_ms, bytes_per_second, .. } = self.clients[self.wires[id.0].client].link;
        let arrives = self.now.after_ms(self.travel(latency_ms));
        let takes_ms = bytes_per_second.map_or(0, |rate| bytes * 1_000 / rate);
        let pipe = self.wires[id.0].pipe(way);
        if pipe.cut {
            return;
        }
        pipe.arrives = pipe.arrives.max(arrives).after_ms(takes_ms);
        let at = pipe.arrives;
        self.at(at, event);
    }

    /// Everything under way and everything later is lost; each end learns of it after so long, or never.
    pub(crate) fn cut(&mut self, id: WireId, client_learns_ms: Option<u64>, server_learns_ms: Option<u64>) {
        let wire = &mut self.wires[id.0];
        if wire.up.cut && wire.down.cut {
            return;
        }
        wire.up.cut = true;
        wire.down.cut = true;
        self.events.retain(|_, event| !event.travels_on(id));
        if let Some(ms) = client_learns_ms {
            self.after(ms, Event::DownClosed(id, 1006, "the connection was cut".to_owned()));
        }
        if let Some(ms) = server_learns_ms {
            self.after(ms, Event::UpClosed(id));
        }
    }

    /// One direction falls silent, without a word to anyone.
    pub(crate) fn silence(&mut self, id: WireId, way: Way) {
        self.wires[id.0].pipe(way).cut = true;
    }

    /// After so many more messages in one direction everything is lost.
    pub(crate) fn cut_after(&mut self, id: WireId, way: Way, messages: u32) {
        self.wires[id.0].pipe(way).cut_after = Some(messages);
    }

    /// Whether something of the connection is lost.
    pub(crate) fn is_damaged(&self, id: WireId) -> bool {
        let wire = &self.wires[id.0];
        wire.up.cut || wire.down.cut
    }

    /// The network is sound again: planned cuts are off.
    pub(crate) fn spare(&mut self, id: WireId) {
        for way in [Way::Up, Way::Down] {
            self.wires[id.0].pipe(way).cut_after = None;
        }
    }

    /// A client's connection is over for it: its messages become stale.
    pub(crate) fn leave_wire(&mut self, client: usize) -> Option<WireId> {
        let id = self.clients[client].wire.take()?;
        let sent = std::mem::take(&mut self.wires[id.0].sent);
        let past = &mut self.clients[client].past;
        past.extend(sent);
        while past.len() > 2 * REMEMBERED {
            past.pop_front();
        }
        Some(id)
    }

    /// How long a message travels this time.
    fn travel(&mut self, latency_ms: u64) -> u64 {
        latency_ms + self.rng.u64(..=latency_ms / 2 + 5)
    }
}
