//! The server's end of one connection, without input or output.
//!
//! Where in the flow: steps 4 and 6 of a write: it takes a client's parts, has them committed, acknowledges what is
//! on disk, and sends what others wrote. Never reads a clock, never touches a socket or a database, never holds more
//! than a window of parts.

use std::collections::VecDeque;

use crate::change::Change;
use crate::compatibility;
use crate::limits::{HELLO_LIMIT, IDLE_LIMIT, MAX_FRAME_BYTES, PROGRESS_GIVE_UP};
use crate::position::{Cursor, SiteId};
use crate::protocol::{
    ClientMessage, CloseCode, DigestAnswer, EncodedChanges, Fragment, Hello, PROTOCOL, Ping, Pong, Receipt, Refuse,
    RefuseCode, ServerMessage, Upload, Verify, Welcome, WriterState, encode_received,
};
use crate::replica::{
    Applied, Chunk, DigestScope, Digests, Fault, FaultKind, PeerFacts, ReadRequest, ServerFacts, UploadPart,
};
use crate::status::StatusState;
use crate::time::Now;

mod live;

use live::Live;

/// What the driver is asked to do. After [`Output::Close`] nothing follows.
#[derive(Debug)]
pub enum Output {
    /// Check the token, open the database, look the client up; answer with [`ServerSession::handle_greeting`].
    Greet(Box<Hello>),
    /// Read a page; answer with [`ServerSession::handle_chunk`]. One at a time.
    Read(ReadRequest),
    /// Have a part committed; answer with [`ServerSession::handle_applied`]. One at a time.
    Apply(UploadPart),
    /// Digest a scope; answer with [`ServerSession::handle_digests`]. One at a time.
    Digest(DigestScope),
    /// Send a binary message.
    Send(Vec<u8>),
    /// Send what was handed out before, then close.
    Close(CloseCode, String),
}

/// What the driver found out about a client's hello.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// The database.
    pub facts: ServerFacts,
    /// What it knows of the client.
    pub peer: PeerFacts,
    /// Whether its writer can commit.
    pub writer: WriterState,
    /// Whether the token allows writing.
    pub may_write: bool,
}

/// What the status page shows of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerReport {
    /// Who.
    pub site: SiteId,
    /// The app's name and version, as it says.
    pub agent: String,
    /// Where it stands in this database's history, by its receipts.
    pub cursor: Cursor,
    /// What its light shows, by its last ping.
    pub state: Option<StatusState>,
    /// How many changes it has not had acknowledged, by its last ping.
    pub pending: u64,
}

#[derive(Debug)]
enum Phase {
    AwaitHello,
    Greeting(Box<Hello>),
    Live(Box<Live>),
    Closed,
}

/// The server's end of one connection.
#[derive(Debug)]
pub struct ServerSession {
    phase: Phase,
    opened: Now,
    heard: Now,
    refused: Option<RefuseCode>,
    outputs: VecDeque<Output>,
}

impl ServerSession {
    /// A connection that has just opened.
    pub fn new(now: Now) -> Self {
        Self { phase: Phase::AwaitHello, opened: now, heard: now, refused: None, outputs: VecDeque::new() }
    }

    /// Why it was refused, if it was.
    pub fn refused(&self) -> Option<RefuseCode> {
        self.refused
    }

    /// The next thing to do; drain after every `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`ServerSession::handle_timeout`] is due, unless something is heard before.
    pub fn wake_at(&self) -> Option<Now> {
        match self.phase {
            Phase::AwaitHello => Some(self.opened.plus(HELLO_LIMIT)),
            Phase::Greeting(_) => Some(self.heard.plus(IDLE_LIMIT)),
            Phase::Live(_) => {
                let idle = self.heard.plus(IDLE_LIMIT);
                let slow = self.unread_since().map(|since| since.plus(PROGRESS_GIVE_UP));
                Some(slow.filter(|slow| slow.monotonic_ms < idle.monotonic_ms).unwrap_or(idle))
            }
            Phase::Closed => None,
        }
    }

    fn unread_since(&self) -> Option<Now> {
        if let Phase::Live(live) = &self.phase { live.fragmenter.waiting_since() } else { None }
    }

    /// Closes what has been silent for too long.
    pub fn handle_timeout(&mut self, now: Now) {
        let late = match self.phase {
            Phase::AwaitHello => now.monotonic_since(self.opened) >= HELLO_LIMIT,
            Phase::Greeting(_) | Phase::Live(_) => now.monotonic_since(self.heard) >= IDLE_LIMIT,
            Phase::Closed => false,
        };
        if late {
            self.close(CloseCode::Idle, "no word for too long");
        } else if self.unread_since().is_some_and(|since| now.monotonic_since(since) >= PROGRESS_GIVE_UP) {
            // It may ping for ever: what is kept for it is let go.
            self.close(CloseCode::Overloaded, "what was sent is not read");
        }
    }

    /// What the status page shows; `None` before the welcome.
    pub fn report(&self) -> Option<PeerReport> {
        let Phase::Live(live) = &self.phase else { return None };
        Some(PeerReport {
            site: live.site,
            agent: live.agent.clone(),
            cursor: live.confirmed,
            state: live.ping.map(|ping| ping.state),
            pending: live.ping.map_or(0, |ping| ping.pending),
        })
    }

    /// A binary message came.
    pub fn handle_frame(&mut self, now: Now, frame: &[u8]) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.heard = now;
        self.read(now, frame);
    }

    /// A message, as it came or out of its fragments.
    fn read(&mut self, now: Now, frame: &[u8]) {
        match ClientMessage::decode(frame) {
            Err(error) => self.close(CloseCode::Malformed, &error.to_string()),
            Ok(message) => self.take(now, message),
        }
    }

    fn take(&mut self, now: Now, message: ClientMessage<Vec<Change>>) {
        match message {
            ClientMessage::Hello(hello) => self.hello(hello),
            ClientMessage::Upload(upload) => self.upload(upload),
            ClientMessage::Downloaded(receipt) => self.downloaded(receipt),
            ClientMessage::Ping(ping) => self.ping(ping),
            ClientMessage::Verify(verify) => self.verify(verify),
            ClientMessage::Fragment(fragment) => self.fragment(now, fragment),
            ClientMessage::Received(number) => self.fragment_received(now, number),
        }
    }

    /// Something came that is no binary message.
    pub fn handle_malformed(&mut self, _now: Now, what: &str) {
        self.close(CloseCode::Malformed, what);
    }

    /// The driver's answer to [`Output::Greet`].
    pub fn handle_greeting(&mut self, now: Now, greeting: Result<Greeting, Refuse>) {
        let Phase::Greeting(hello) = std::mem::replace(&mut self.phase, Phase::Closed) else {
            return;
        };
        let fits = |greeting: &Greeting| compatibility::check(&hello.as_ref().into(), &(&greeting.facts).into());
        match greeting.and_then(|greeting| fits(&greeting).map(|()| greeting)) {
            Ok(greeting) => self.welcome(*hello, greeting),
            Err(refuse) => {
                self.phase = Phase::AwaitHello;
                self.handle_refuse(now, refuse);
            }
        }
    }

    /// Refuses from now on: superseded, reset, revoked, stopping.
    pub fn handle_refuse(&mut self, _now: Now, refuse: Refuse) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let sentence = refuse.sentence.clone();
        self.refused = Some(refuse.code);
        self.send(&ServerMessage::Refuse(refuse));
        self.close(CloseCode::Refused, &sentence);
    }

    /// The driver's answer to [`Output::Read`].
    pub fn handle_chunk(&mut self, now: Now, chunk: Result<Chunk, Fault>) {
        let Phase::Live(live) = &mut self.phase else { return };
        match chunk {
            Ok(chunk) => {
                if let Some(message) = live.chunk(chunk) {
                    live.fragmenter.push(message.encode());
                }
                self.send_what_may_go(now);
                self.pump();
            }
            Err(fault) if fault.kind == FaultKind::Busy => self.close(CloseCode::Overloaded, &fault.message),
            Err(fault) => self.close(CloseCode::StoreFailed, &fault.message),
        }
    }

    /// The driver's answer to [`Output::Apply`]: the part is on disk, or nothing of it is.
    pub fn handle_applied(&mut self, _now: Now, result: Result<Applied, Fault>) {
        let Phase::Live(live) = &mut self.phase else { return };
        let Some(receipt) = live.applying.take() else { return };
        match result {
            Ok(_) => {
                self.send(&ServerMessage::Uploaded(receipt));
                self.apply_next();
            }
            Err(fault) if fault.kind == FaultKind::OutOfOrder => self.close(CloseCode::OutOfOrder, &fault.message),
            Err(fault) if fault.kind == FaultKind::Busy => self.close(CloseCode::Overloaded, &fault.message),
            Err(fault) => self.close(CloseCode::StoreFailed, &fault.message),
        }
    }

    /// The driver's answer to [`Output::Digest`]; without sums where there is no time for it, or it failed.
    pub fn handle_digests(&mut self, now: Now, digests: Digests) {
        let Phase::Live(live) = &mut self.phase else { return };
        let Some(number) = live.verifying.take() else { return };
        let at = digests.at;
        let mut frame = ServerMessage::Digests(DigestAnswer { number, digests }).encode();
        if frame.len() > MAX_FRAME_BYTES {
            let none = Digests { at, sums: None };
            frame = ServerMessage::Digests(DigestAnswer { number, digests: none }).encode();
        }
        live.fragmenter.push(frame);
        self.send_what_may_go(now);
    }

    /// The database has a new head.
    pub fn handle_head(&mut self, _now: Now, head: Cursor) {
        let Phase::Live(live) = &mut self.phase else { return };
        if head.version >= live.head.version {
            live.head = head;
            self.pump();
        }
    }

    /// The writer can commit, or can't. A change of that is told at once, by another pong to the last ping: with the
    /// next one only, a light would be green for a heartbeat longer than is true.
    pub fn handle_writer(&mut self, _now: Now, state: WriterState) {
        let Phase::Live(live) = &mut self.phase else { return };
        if std::mem::replace(&mut live.writer, state) != state {
            self.pong();
        }
    }

    fn hello(&mut self, hello: Hello) {
        if !matches!(self.phase, Phase::AwaitHello) {
            return self.close(CloseCode::OutOfOrder, "a second hello");
        }
        if hello.protocol < PROTOCOL {
            let sentence = format!("this server speaks version {PROTOCOL} of the protocol");
            return self.handle_refuse(self.heard, Refuse { code: RefuseCode::Protocol, sentence });
        }
        self.phase = Phase::Greeting(Box::new(hello.clone()));
        self.outputs.push_back(Output::Greet(Box::new(hello)));
    }

    fn welcome(&mut self, hello: Hello, greeting: Greeting) {
        let Greeting { facts, peer, writer, may_write } = greeting;
        let cursor = if peer.cursor_known { hello.cursor } else { Cursor::ZERO };
        self.send(&ServerMessage::Welcome(Welcome {
            protocol: PROTOCOL,
            features: 0,
            lineage: facts.lineage,
            schema: facts.schema,
            shape: facts.shape,
            head: facts.head,
            held: peer.held,
            cursor_known: peer.cursor_known,
            may_write,
            writer,
        }));
        let live = Live::new(&hello, facts.head, peer.held.version, cursor, writer, may_write);
        self.phase = Phase::Live(Box::new(live));
        self.pump();
    }

    fn upload(&mut self, upload: Upload<Vec<Change>>) {
        let Phase::Live(live) = &mut self.phase else {
            return self.close(CloseCode::OutOfOrder, "an upload before the welcome");
        };
        if !live.may_write && !upload.changes.is_empty() {
            let sentence = "this token may read but not write".to_owned();
            return self.handle_refuse(self.heard, Refuse { code: RefuseCode::Forbidden, sentence });
        }
        match live.take_part(upload) {
            Ok(()) => self.apply_next(),
            Err(what) => self.close(CloseCode::OutOfOrder, what),
        }
    }

    fn downloaded(&mut self, receipt: Receipt<Cursor>) {
        let Phase::Live(live) = &mut self.phase else {
            return self.close(CloseCode::OutOfOrder, "a receipt before the welcome");
        };
        if live.unconfirmed.pop_front() != Some(receipt) {
            return self.close(CloseCode::OutOfOrder, "a receipt for a part that was not sent");
        }
        if receipt.last {
            live.confirmed = receipt.until;
        }
        self.pump();
    }

    fn ping(&mut self, ping: Ping) {
        let Phase::Live(live) = &mut self.phase else {
            return self.close(CloseCode::OutOfOrder, "a ping before the welcome");
        };
        live.ping = Some(ping);
        self.pong();
    }

    /// Answers the last ping, as things stand now. Before the first one the welcome has said it all.
    fn pong(&mut self) {
        let Phase::Live(live) = &self.phase else { return };
        if let Some(Ping { number, .. }) = live.ping {
            let pong = Pong { number, head: live.head, writer: live.writer };
            self.send(&ServerMessage::Pong(pong));
        }
    }

    fn verify(&mut self, verify: Verify) {
        let Phase::Live(live) = &mut self.phase else {
            return self.close(CloseCode::OutOfOrder, "a question before the welcome");
        };
        if live.verifying.replace(verify.number).is_some() {
            return self.close(CloseCode::OutOfOrder, "a question before the answer to the last");
        }
        self.outputs.push_back(Output::Digest(verify.scope));
    }

    fn fragment(&mut self, now: Now, fragment: Fragment) {
        let Phase::Live(live) = &mut self.phase else {
            return self.close(CloseCode::OutOfOrder, "a fragment before the welcome");
        };
        self.outputs.push_back(Output::Send(encode_received(fragment.number)));
        match live.reassembly.take(fragment) {
            Ok(None) => {}
            Ok(Some(frame)) => self.read(now, &frame),
            Err((code, what)) => self.close(code, what),
        }
    }

    fn fragment_received(&mut self, now: Now, number: u64) {
        let Phase::Live(live) = &mut self.phase else {
            return self.close(CloseCode::OutOfOrder, "a receipt before the welcome");
        };
        match live.fragmenter.received(now, number) {
            Ok(()) => self.send_what_may_go(now),
            Err(what) => self.close(CloseCode::OutOfOrder, what),
        }
    }

    fn send_what_may_go(&mut self, now: Now) {
        let Phase::Live(live) = &mut self.phase else { return };
        while let Some(frame) = live.fragmenter.poll(now) {
            self.outputs.push_back(Output::Send(frame));
        }
    }

    fn apply_next(&mut self) {
        if let Phase::Live(live) = &mut self.phase
            && let Some(part) = live.next_to_apply()
        {
            self.outputs.push_back(Output::Apply(part));
        }
    }

    fn pump(&mut self) {
        if let Phase::Live(live) = &mut self.phase
            && let Some(request) = live.next_read()
        {
            self.outputs.push_back(Output::Read(request));
        }
    }

    fn send(&mut self, message: &ServerMessage<EncodedChanges>) {
        self.outputs.push_back(Output::Send(message.encode()));
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        if !matches!(self.phase, Phase::Closed) {
            self.phase = Phase::Closed;
            self.outputs.push_back(Output::Close(code, reason.to_owned()));
        }
    }
}
