//! What sessions read of the server's database: pages of its history, and digests.
//!
//! Where in the flow: asked for by `drain_session`; answers go back into the session. Never writes.

use greenlight_core::replica::{Author, Chunk, DigestScope, Fault, FaultKind, ReadRequest};

use crate::breakage::{self, Breakage};
use crate::network::WireId;
use crate::oracle::Violation;
use crate::world::World;

use crate::event::Life;

impl World {
    pub(crate) fn read(&mut self, life: Life, wire: WireId, request: ReadRequest) -> Result<(), Violation> {
        if life != self.server.life {
            return Ok(());
        }
        let site = self.server.sessions.get(&wire).and_then(|seat| seat.site);
        let author = match site {
            Some(site) if self.breakage == Some(Breakage::TwinFilteredOut) => Author::Except(site),
            _ if self.shared_pages => Author::Any,
            _ => request.author,
        };
        let request = ReadRequest { author, ..request };
        let Some(database) = &mut self.server.database else { return Ok(()) };
        let mut chunk = database.read(&request);
        if is_busy(&chunk) {
            // Another process has written: that gets its place in the history first.
            self.notice(life)?;
            let Some(database) = &mut self.server.database else { return Ok(()) };
            chunk = database.read(&request);
        }
        if is_busy(&chunk) {
            let now = self.server.now(self.now);
            if let Some(seat) = self.server.sessions.get_mut(&wire) {
                seat.session.handle_chunk(now, chunk);
            }
            return self.drain_session(wire);
        }
        let mut chunk = chunk.map_err(|fault| self.fault("read a page", &fault))?;
        if self.breakage == Some(Breakage::SentinelDropped) {
            breakage::drop_sentinels(&mut chunk);
        }
        let now = self.server.now(self.now);
        if let Some(seat) = self.server.sessions.get_mut(&wire) {
            seat.session.handle_chunk(now, Ok(chunk));
        }
        self.drain_session(wire)
    }

    /// Answers a client that compares. On the spot: what is asked of a reader has its delays in the pages already.
    pub(super) fn digest(&mut self, wire: WireId, scope: &DigestScope) -> Result<(), Violation> {
        let Some(database) = &mut self.server.database else { return Ok(()) };
        let digests = database.digest(scope).map_err(|fault| self.fault("digest", &fault))?;
        let now = self.server.now(self.now);
        if let Some(seat) = self.server.sessions.get_mut(&wire) {
            seat.session.handle_digests(now, digests);
        }
        Ok(())
    }
}

fn is_busy(read: &Result<Chunk, Fault>) -> bool {
    read.as_ref().is_err_and(|fault| fault.kind == FaultKind::Busy)
}
