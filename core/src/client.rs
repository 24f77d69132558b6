//! The client's end of sync, without input or output: dialling, handshake, outbox, inbox, heartbeat.
//!
//! Where in the flow: steps 2 and 7 of a write, and the facts behind the light. The browser's worker, the native
//! client and the simulation drive the same code. Never reads a clock, never touches a socket or a database, never
//! holds more than a window of parts.

mod download;
mod fragments;
mod heartbeat;
mod held_back;
mod link;
mod progress;
mod report;
mod storage;
mod upload;
mod verify;

use std::collections::VecDeque;

use crate::change::Change;
use crate::fragments::{Fragmenter, Reassembly};
use crate::limits::{CONNECT_LIMIT, IDLE_LIMIT, MAX_TOKEN_BYTES, PROGRESS_GIVE_UP, WELCOME_GIVE_UP, WELCOME_LIMIT};
use crate::position::{Bound, Cursor, Lineage};
use crate::protocol::{
    ClientMessage, CloseCode, EncodedChanges, Hello, PROTOCOL, Refuse, RefuseCode, ServerMessage, Welcome,
};
use crate::replica::{ClientState, DivergedRows, Fault, FaultKind, Outbox, StoreReply, StoreRequest};
use crate::status::{self, Diverged, LastClose, Progress, Reason, StatusState};
use crate::time::Now;

use download::Inbox;
use heartbeat::Heartbeat;
use link::{Backoff, Phase};
use storage::Trial;
use upload::Outgoing;
use verify::Verifier;

/// What the driver is asked to do.
#[derive(Debug)]
pub enum Output {
    /// Get the token, then open a socket; answer with [`ClientSession::handle_connected`] or
    /// [`ClientSession::handle_closed`].
    Connect,
    /// Close the socket, or stop dialling; its later events must not be handed in.
    Close(CloseCode, String),
    /// Send a binary message.
    Send(Vec<u8>),
    /// Carry this out on the store; answer with [`ClientSession::handle_store`]. One at a time.
    Store(StoreRequest),
    /// Log that these tables, and of their rows these, differed from the server's; they are being mended.
    Diverged(Vec<Diverged>, DivergedRows),
}

/// What a session is made with.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The app's name and version, for the operator's eyes; at most [`crate::limits::MAX_AGENT_BYTES`] bytes.
    pub agent: String,
    /// Seeds the jitter of the backoff; any random number.
    pub seed: u64,
}

/// The client's end of sync.
#[derive(Debug)]
pub struct ClientSession {
    agent: String,
    phase: Phase,
    paused: bool,
    backoff: Backoff,
    token: String,
    outputs: VecDeque<Output>,
    /// Requests that wait for the one under way; what each is for is told by its kind and the phase.
    requests: VecDeque<StoreRequest>,
    /// Whether a request was handed out and not answered.
    asked: bool,
    /// Whether the answer under way belongs to a connection that is gone.
    stale: bool,
    state: Option<ClientState>,
    outbox: Outbox,
    welcome: Option<Welcome>,
    inbox: Inbox,
    upload: Option<Outgoing>,
    uploaded_once: bool,
    heartbeat: Heartbeat,
    verifier: Verifier,
    fragmenter: Fragmenter,
    reassembly: Reassembly,
    heard: Now,
    /// When waiting for an acknowledgement began.
    awaiting: Option<Now>,
    /// When a part or a receipt came last, or nothing was waited for.
    progressed: Now,
    refused: Option<Refuse>,
    /// The server's last word on whether changes may be sent.
    read_only: bool,
    /// When it is asked again whether changes that are held back may be sent.
    ask_again_at: Now,
    welcome_missing: bool,
    acknowledgement_missing: bool,
    server_failed: bool,
    last_close: Option<LastClose>,
    fault: Option<Fault>,
    trial: Trial,
    progress: Option<progress::Meter>,
    shown: (StatusState, Reason, Now),
    last_synced: Option<Now>,
}

impl ClientSession {
    /// A session that loads its database's state and then dials.
    pub fn new(now: Now, config: ClientConfig) -> Self {
        let mut session = Self {
            agent: config.agent,
            phase: Phase::Opening,
            paused: false,
            backoff: Backoff::new(config.seed),
            token: String::new(),
            outputs: VecDeque::new(),
            requests: VecDeque::new(),
            asked: false,
            stale: false,
            state: None,
            outbox: Outbox::default(),
            welcome: None,
            inbox: Inbox::default(),
            upload: None,
            uploaded_once: false,
            heartbeat: Heartbeat::new(config.seed),
            verifier: Verifier::new(config.seed),
            fragmenter: Fragmenter::default(),
            reassembly: Reassembly::default(),
            heard: now,
            awaiting: None,
            progressed: now,
            refused: None,
            read_only: false,
            ask_again_at: now,
            welcome_missing: false,
            acknowledgement_missing: false,
            server_failed: false,
            last_close: None,
            fault: None,
            trial: Trial::new(now),
            progress: None,
            shown: (StatusState::Connecting, Reason::Opening, now),
            last_synced: None,
        };
        session.request(StoreRequest::Load);
        session
    }

    /// The next thing to do; drain after every call that changes the session.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The socket is open. `token` is what the app's token function gave, empty without one.
    pub fn handle_connected(&mut self, now: Now, token: String) {
        if !matches!(self.phase, Phase::Dialling { .. }) {
            return;
        }
        self.phase = Phase::Greeting { opened: now };
        self.heard = now;
        if token.len() > MAX_TOKEN_BYTES {
            let sentence = format!("the token is longer than {MAX_TOKEN_BYTES} bytes");
            self.refuse(now, Refuse { code: RefuseCode::Unauthorized, sentence });
        } else {
            self.token = token;
            self.request(StoreRequest::Load);
        }
        self.observe(now);
    }

    /// A binary message came.
    pub fn handle_frame(&mut self, now: Now, frame: &[u8]) {
        if !self.phase.is_open() {
            return;
        }
        self.heard = now;
        self.read(now, frame);
        self.observe(now);
    }

    /// A message, as it came or out of its fragments.
    fn read(&mut self, now: Now, frame: &[u8]) {
        match ServerMessage::decode(frame) {
            Err(error) => self.give_up(now, CloseCode::Malformed, &error.to_string()),
            Ok(message) => self.take(now, message, frame.len() as u64),
        }
    }

    fn take(&mut self, now: Now, message: ServerMessage<Vec<Change>>, bytes: u64) {
        match message {
            ServerMessage::Welcome(welcome) => self.welcomed(now, welcome),
            ServerMessage::Refuse(refuse) => self.refuse(now, refuse),
            ServerMessage::Download(download) => {
                self.progressed = now;
                self.download(now, download, bytes);
            }
            ServerMessage::Uploaded(receipt) => {
                self.progressed = now;
                self.uploaded(now, receipt);
            }
            ServerMessage::Pong(pong) => self.pong(now, pong),
            ServerMessage::Digests(answer) => self.digests(now, answer),
            ServerMessage::Fragment(fragment) => self.fragment(now, fragment),
            ServerMessage::Received(number) => self.fragment_received(now, number),
        }
    }

    /// Something came that is no binary message.
    pub fn handle_malformed(&mut self, now: Now, what: &str) {
        if self.phase.is_open() {
            self.give_up(now, CloseCode::Malformed, what);
            self.observe(now);
        }
    }

    /// The socket closed, or could not be opened (code 1006), or the token could not be had.
    pub fn handle_closed(&mut self, now: Now, code: u16, reason: &str) {
        if matches!(self.phase, Phase::Dialling { .. } | Phase::Greeting { .. } | Phase::Welcomed { .. }) {
            self.last_close = Some(LastClose { code, reason: reason.to_owned() });
            // The other end may lose patience first, if what we say doesn't reach it.
            if matches!(self.phase, Phase::Greeting { opened } if now.monotonic_since(opened) >= WELCOME_LIMIT) {
                self.welcome_missing = true;
            }
            self.server_failed |= code == CloseCode::StoreFailed.number();
            self.disconnect(now, true);
            self.observe(now);
        }
    }

    /// The app wrote, and this is what waits now.
    pub fn handle_local_commit(&mut self, now: Now, outbox: Outbox) {
        if outbox != self.outbox {
            self.verifier.disturb(now);
        }
        self.set_outbox(now, outbox);
        self.clear_fault();
        self.begin_upload();
        self.observe(now);
    }

    /// The local database failed at something that the session did not ask for.
    pub fn handle_local_fault(&mut self, now: Now, fault: Fault) {
        self.set_fault(now, fault);
        self.observe(now);
    }

    /// A deadline passed, or may have: cheap to call at any time.
    pub fn handle_timeout(&mut self, now: Now) {
        match self.phase {
            Phase::Down { at: Some(at) } if now.monotonic_ms >= at.monotonic_ms => self.dial(now),
            Phase::Dialling { since, .. } if now.monotonic_since(since) >= CONNECT_LIMIT => {
                self.give_up(now, CloseCode::Idle, "no connection within the limit");
            }
            Phase::Greeting { opened } if now.monotonic_since(opened) >= WELCOME_GIVE_UP => {
                self.welcome_missing = true;
                self.give_up(now, CloseCode::Idle, "no welcome within the limit");
            }
            Phase::Welcomed { .. } if now.since(self.heard) >= IDLE_LIMIT => {
                self.give_up(now, CloseCode::Idle, "no word within the limit");
            }
            Phase::Welcomed { opened } => {
                self.outlast(now, opened);
                if self.is_stalled(now) {
                    self.acknowledgement_missing = self.outbox.changes > 0;
                    self.give_up(now, CloseCode::Idle, "no progress within the limit");
                } else {
                    self.beat(now);
                    self.verify(now);
                    self.ask_again(now);
                }
            }
            _ => {}
        }
        self.try_storage(now);
        self.observe(now);
    }

    /// The store's answer to [`Output::Store`].
    pub fn handle_store(&mut self, now: Now, reply: StoreReply) {
        self.asked = false;
        let stale = std::mem::take(&mut self.stale);
        let trying = self.trial.end();
        match reply {
            StoreReply::Failed(fault) if trying => self.set_fault(now, fault),
            StoreReply::Probed => self.clear_fault(),
            StoreReply::Failed(fault) => self.failed(now, fault),
            // What a gone connection asked for is done all the same, but nothing follows from it.
            StoreReply::Loaded(state) if !stale => self.loaded(now, *state),
            StoreReply::WasSent(sent) if !stale => self.was_sent(now, sent),
            StoreReply::Done if !stale => self.settled(now),
            StoreReply::Begun(plan) if !stale => self.begun(plan),
            StoreReply::Chunk(chunk) if !stale => self.chunk(now, chunk),
            StoreReply::Acknowledged(outbox) => self.acknowledged(now, outbox, stale),
            StoreReply::Applied(_, outbox) => self.applied(now, outbox, stale),
            StoreReply::Digest(page) if !stale => self.digested(now, page),
            StoreReply::Rewritten(outbox) => self.handle_local_commit(now, outbox),
            _ => {}
        }
        self.next_request();
        self.observe(now);
    }

    fn request(&mut self, request: StoreRequest) {
        self.requests.push_back(request);
        self.next_request();
    }

    fn next_request(&mut self) {
        if !self.asked
            && let Some(request) = self.requests.pop_front()
        {
            self.asked = true;
            self.outputs.push_back(Output::Store(request));
        }
    }

    fn send(&mut self, message: &ClientMessage<EncodedChanges>) {
        self.outputs.push_back(Output::Send(message.encode()));
    }

    fn loaded(&mut self, now: Now, state: ClientState) {
        if self.state.is_none() {
            // Whatever kept the database from being opened is over.
            self.clear_fault();
        }
        self.set_outbox(now, state.outbox);
        self.read_only = state.read_only;
        self.inbox.start(state.cursor);
        self.state = Some(state);
        match self.phase {
            Phase::Opening if self.paused => self.phase = Phase::Down { at: None },
            Phase::Opening => self.dial(now),
            Phase::Greeting { .. } => self.say_hello(),
            Phase::Welcomed { .. } => {
                self.heartbeat.reached(self.inbox.cursor());
                self.begin_upload();
            }
            _ => {}
        }
    }

    fn say_hello(&mut self) {
        let Some(state) = &self.state else { return };
        let hello = Hello {
            protocol: PROTOCOL,
            features: 0,
            site: state.site_id,
            schema: state.schema.clone(),
            shape: state.shape.clone(),
            lineage: state.lineage,
            cursor: state.cursor,
            acknowledged: state.acknowledged,
            token: std::mem::take(&mut self.token),
            agent: self.agent.clone(),
        };
        self.send(&ClientMessage::Hello(hello));
    }

    fn welcomed(&mut self, now: Now, welcome: Welcome) {
        let (&Phase::Greeting { opened }, Some(state)) = (&self.phase, &self.state) else {
            return self.give_up(now, CloseCode::OutOfOrder, "a welcome out of place");
        };
        if welcome.protocol != PROTOCOL {
            let sentence = format!("the server answered in version {} of the protocol", welcome.protocol);
            return self.refuse(now, Refuse { code: RefuseCode::Protocol, sentence });
        }
        let other = |lineage: Lineage| lineage.site_id != welcome.lineage.site_id;
        if state.lineage.is_some_and(other) {
            let sentence = Reason::Lineage.sentence().to_owned();
            return self.refuse(now, Refuse { code: RefuseCode::Lineage, sentence });
        }
        self.refused = None;
        self.welcome_missing = false;
        self.read_only = !welcome.may_write;
        self.asked_for_rights(now);
        self.phase = Phase::Welcomed { opened };
        self.progressed = now;
        self.heartbeat.start(welcome.head, welcome.writer);
        // What waited through an outage was not kept waiting by this connection.
        self.awaiting = self.awaiting.map(|_| now);
        self.request(StoreRequest::WasSent(welcome.held));
        if !welcome.cursor_known {
            self.inbox.start(Cursor::ZERO);
        }
        self.welcome = Some(welcome);
        self.beat(now);
    }

    /// Whether the bound that the server holds of this client was ever sent from here. If not, this database is a
    /// copy, or was restored: it becomes another site.
    fn was_sent(&mut self, now: Now, sent: bool) {
        let Some(welcome) = &self.welcome else { return };
        if !sent {
            self.requests.clear();
            self.request(StoreRequest::BecomeNewSite);
            return;
        }
        let (lineage, held, known) = (welcome.lineage, welcome.held, welcome.cursor_known);
        let may_write = welcome.may_write;
        // What the server sent meanwhile is queued behind; the identity comes first.
        let mut first = VecDeque::from([StoreRequest::Adopt(lineage, held, may_write)]);
        if !known {
            first.push_back(StoreRequest::ForgetCursor);
        }
        first.push_back(StoreRequest::Load);
        first.append(&mut self.requests);
        self.requests = first;
        self.inbox.settling = true;
        self.observe(now);
    }

    /// An identity request is done. After a new site id, or to repair, the connection starts over; else a load follows.
    fn settled(&mut self, now: Now) {
        if self.welcome.is_some() && !self.inbox.settling {
            self.outputs.push_back(Output::Close(CloseCode::Normal, "starting over".to_owned()));
            self.disconnect(now, false);
        }
    }

    fn refuse(&mut self, now: Now, refuse: Refuse) {
        self.last_close = Some(LastClose { code: CloseCode::Refused.number(), reason: refuse.sentence.clone() });
        self.outputs.push_back(Output::Close(CloseCode::Normal, "refused".to_owned()));
        self.refused = Some(refuse);
        self.disconnect(now, true);
    }

    fn failed(&mut self, now: Now, fault: Fault) {
        let reason = fault.message.clone();
        let moved = fault.kind == FaultKind::OutOfOrder;
        self.set_fault(now, fault);
        self.requests.clear();
        if self.phase.has_socket() {
            let code = if moved { CloseCode::OutOfOrder } else { CloseCode::StoreFailed };
            self.give_up(now, code, &reason);
        } else if matches!(self.phase, Phase::Opening) {
            // Nothing can be shown or sent before the state is known: ask again after a wait.
            self.phase = Phase::Down { at: Some(now.plus(self.backoff.next())) };
        }
    }

    fn give_up(&mut self, now: Now, code: CloseCode, reason: &str) {
        self.last_close = Some(LastClose { code: code.number(), reason: reason.to_owned() });
        self.outputs.push_back(Output::Close(code, reason.to_owned()));
        self.disconnect(now, true);
    }

    /// Whether the other end owes something and has not moved for too long. What the own database owes is no reason.
    fn is_stalled(&mut self, now: Now) -> bool {
        let behind = self.heartbeat.head.version > self.inbox.cursor().version;
        let sending = !self.is_held_back() && (self.outbox.changes > 0 || !self.is_exchanged());
        let waiting = behind || sending;
        if self.asked || !waiting {
            self.progressed = now;
        }
        now.monotonic_since(self.progressed) >= PROGRESS_GIVE_UP
    }

    fn set_outbox(&mut self, now: Now, outbox: Outbox) {
        if outbox.changes == 0 {
            self.awaiting = None;
        } else if self.awaiting.is_none() {
            self.awaiting = Some(now);
        }
        self.outbox = outbox;
    }

    fn acknowledged_bound(&self) -> Bound {
        self.state.as_ref().map_or(Bound::ZERO, |state| state.acknowledged)
    }
}
