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
            uploads: Flight::default(),
            downloads: Flight::default(),
        }
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
