//! The wires between the stories' clients and their server.
//!
//! Where in the flow: between the sessions' outputs and inputs. Keeps the order of frames, as a socket does, and
//! watches that neither end ever has more than a window of parts on its way.

use std::collections::VecDeque;

use greenlight_core::limits::WINDOW_PARTS;
use greenlight_core::server::ServerSession;

/// What a client finds when it dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The server.
    Works,
    /// Nobody listens.
    Refuses,
    /// Packets vanish: the attempt neither opens nor fails.
    Hangs,
    /// Somebody listens and says nothing, ever.
    Swallows,
    /// Somebody listens and closes with this code.
    Closes(u16),
}

/// What travels to a client.
#[derive(Debug)]
pub(crate) enum Down {
    Frame(Vec<u8>),
    Close(u16, String),
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Wire {
    /// The server's end; gone once it has closed or crashed.
    pub(crate) server: Option<ServerSession>,
    pub(crate) up: VecDeque<Vec<u8>>,
    pub(crate) down: VecDeque<Down>,
    /// Frames wait on their way to the server.
    pub(crate) holds_up: bool,
    /// Frames wait on their way to the client.
    pub(crate) holds_down: bool,
    /// So many bytes a second pass in each direction, where it is slow.
    pub(crate) bytes_per_second: Option<u64>,
    /// What may pass now: up, down.
    credit: [u64; 2],
    uploads: Flight,
    downloads: Flight,
}

/// Parts without a receipt.
#[derive(Debug, Default)]
struct Flight {
    parts: u32,
    most: u32,
}

impl Flight {
    fn sent(&mut self) {
        self.parts += 1;
        self.most = self.most.max(self.parts);
        assert!(self.parts <= WINDOW_PARTS, "{} parts are on their way", self.parts);
    }

    fn confirmed(&mut self) {
        // A story may repeat a frame, and then there are two receipts.
        self.parts = self.parts.saturating_sub(1);
    }
}

const UPLOAD: u8 = 4;
const DOWNLOAD: u8 = 5;
const UPLOADED: u8 = 6;
const DOWNLOADED: u8 = 7;

impl Wire {
    pub(crate) fn new(server: Option<ServerSession>) -> Self {
        Self {
            server,
            up: VecDeque::new(),
            down: VecDeque::new(),
            holds_up: false,
            holds_down: false,
            bytes_per_second: None,
            credit: [0; 2],
            uploads: Flight::default(),
            downloads: Flight::default(),
        }
    }

    /// Time passes: a slow line takes on that much more. Nothing is saved up while it has nothing to carry.
    pub(crate) fn tick(&mut self, ms: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        for (credit, idle) in self.credit.iter_mut().zip([self.up.is_empty(), self.down.is_empty()]) {
            *credit = if idle { 0 } else { *credit + rate * ms / 1_000 };
        }
    }

    /// Whether a slow line has something to carry.
    pub(crate) fn is_at_work(&self) -> bool {
        let waits = !self.up.is_empty() && !self.holds_up || !self.down.is_empty() && !self.holds_down;
        self.bytes_per_second.is_some() && waits
    }

    pub(crate) fn next_up(&mut self) -> Option<Vec<u8>> {
        let length = self.up.front()?.len();
        self.spend(0, length).then(|| self.up.pop_front())?
    }

    pub(crate) fn next_down(&mut self) -> Option<Down> {
        let length = if let Down::Frame(frame) = self.down.front()? { frame.len() } else { 0 };
        self.spend(1, length).then(|| self.down.pop_front())?
    }

    fn spend(&mut self, way: usize, length: usize) -> bool {
        if self.bytes_per_second.is_none() {
            return true;
        }
        let Some(left) = self.credit[way].checked_sub(length as u64) else { return false };
        self.credit[way] = left;
        true
    }

    pub(crate) fn send_up(&mut self, frame: Vec<u8>) {
        match frame[0] {
            UPLOAD => self.uploads.sent(),
            DOWNLOADED => self.downloads.confirmed(),
            _ => {}
        }
        self.up.push_back(frame);
    }

    pub(crate) fn send_down(&mut self, frame: Vec<u8>) {
        match frame[0] {
            DOWNLOAD => self.downloads.sent(),
            UPLOADED => self.uploads.confirmed(),
            _ => {}
        }
        self.down.push_back(Down::Frame(frame));
    }

    /// How many parts were on their way at most: up, down.
    pub(crate) fn most_parts(&self) -> (u32, u32) {
        (self.uploads.most, self.downloads.most)
    }

    /// How many frames of a kind wait on their way to the client.
    pub(crate) fn waiting_down(&self, kind: u8) -> usize {
        self.down.iter().filter(|down| matches!(down, Down::Frame(frame) if frame[0] == kind)).count()
    }
}
