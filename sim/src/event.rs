//! What can happen by itself at a time: arrivals, answers of the server's parts, the ends of faults.
//!
//! Where in the flow: queued by everything, taken out by the world in the order of their times. Never decides.

use greenlight_core::protocol::Hello;
use greenlight_core::replica::ReadRequest;

use crate::network::WireId;

/// A life of the server's process: what was begun in one comes to nothing in the next.
pub(crate) type Life = u32;

/// An event.
#[derive(Debug)]
pub(crate) enum Event {
    /// A dialling client reaches the server's machine.
    Dialled(WireId),
    /// The socket is open, for the client.
    Opened(WireId),
    /// The socket could not be opened.
    DialFailed(WireId),
    /// A message reaches the server.
    Up(WireId, Vec<u8>),
    /// A message reaches the client.
    Down(WireId, Vec<u8>),
    /// The server learns that the socket is gone.
    UpClosed(WireId),
    /// The client learns that the socket is gone.
    DownClosed(WireId, u16, String),
    /// The server has looked up who says hello.
    Greet(Life, WireId, Box<Hello>),
    /// A read is done.
    Read(Life, WireId, ReadRequest),
    /// The writer takes what is queued.
    Commit(Life),
    /// The server's heartbeat.
    Beat(Life),
    /// The file's watcher has seen a foreign write.
    Notice(Life),
    /// The server's process starts.
    ServerStarts,
    /// The server goes on.
    ServerThaws,
    /// The server's disk has room again.
    ServerDiskFree,
    /// A client's process starts.
    ClientStarts(usize),
    /// A client wakes up.
    ClientWakes(usize),
    /// A client's disk has room again.
    ClientDiskFree(usize),
    /// The operating system says that there is a network again.
    Online(usize),
}

/// On which machine an event happens: it waits while that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Server,
    ClientOf(WireId),
    Client(usize),
    Nowhere,
}

impl Event {
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Dialled(_)
            | Self::Up(..)
            | Self::UpClosed(_)
            | Self::Greet(..)
            | Self::Read(..)
            | Self::Commit(_)
            | Self::Beat(_)
            | Self::Notice(_) => Place::Server,
            Self::Opened(id) | Self::DialFailed(id) | Self::Down(id, _) | Self::DownClosed(id, ..) => {
                Place::ClientOf(*id)
            }
            Self::Online(client) => Place::Client(*client),
            Self::ServerStarts
            | Self::ServerThaws
            | Self::ServerDiskFree
            | Self::ClientStarts(_)
            | Self::ClientWakes(_)
            | Self::ClientDiskFree(_) => Place::Nowhere,
        }
    }

    /// Whether it is a message, or a word of one end to the other, on this connection.
    pub(crate) fn travels_on(&self, wire: WireId) -> bool {
        match self {
            Self::Dialled(id)
            | Self::Opened(id)
            | Self::Up(id, _)
            | Self::Down(id, _)
            | Self::UpClosed(id)
            | Self::DownClosed(id, ..) => *id == wire,
            _ => false,
        }
    }
}
