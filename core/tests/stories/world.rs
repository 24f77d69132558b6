//! The stage: one server, some clients, and the time.
//!
//! Where in the flow: does what drivers do, one thing after another in one thread. After every step it checks what
//! must hold at all times: no false green, a pending count that is true, a window that is kept.

use std::time::Duration;

use greenlight_core::client::ClientSession;
use greenlight_core::limits::FRESHNESS;
use greenlight_core::protocol::{Hello, Refuse, RefuseCode, WriterState};
use greenlight_core::replica::{ClientStore, DigestScope, FaultKind, ServerStore, UploadPart};
use greenlight_core::server::{self, Greeting, ServerSession};
use greenlight_core::status::{Reason, Status};
use greenlight_core::{Now, StatusState};

use crate::device::Client;
use crate::model::{ClientModel, POISON, ServerModel};
use crate::network::{Down, Line};

/// More rounds than any story needs: two ends that answer each other for ever are a defect.
const MOST_ROUNDS: usize = 10_000;

/// The server's machine.
pub(crate) struct Server {
    pub(crate) model: ServerModel,
    pub(crate) writer: WriterState,
    /// The token that is good; any when there is none.
    pub(crate) token: Option<&'static str>,
    pub(crate) may_write: bool,
    /// Why everybody is refused.
    pub(crate) refuses: Option<RefuseCode>,
    /// It dies after its next commit, before a word of it is sent.
    pub(crate) dies_after_commit: bool,
    /// Parts are taken and not committed yet.
    pub(crate) drowsy: bool,
    waiting: Vec<(usize, UploadPart)>,
    /// Questions for digests are put off.
    pub(crate) digests_late: bool,
    pub(crate) owed: Vec<usize>,
    last_write: Now,
}

/// Everything.
pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) server: Server,
    pub(crate) clients: Vec<Client>,
    /// Rows are damaged behind everyone's back, so that a green light may be wrong until they are compared.
    pub(crate) is_damaged: bool,
}

impl World {
    /// A server with an empty database.
    pub(crate) fn new() -> Self {
        let now = Now { monotonic_ms: 5_000_000, wall_ms: 1_700_000_000_000 };
        let server = Server {
            model: ServerModel::new(),
            writer: WriterState::Commits,
            token: None,
            may_write: true,
            refuses: None,
            dies_after_commit: false,
            drowsy: false,
            waiting: Vec::new(),
            digests_late: false,
            owed: Vec::new(),
            last_write: now,
        };
        Self { now, server, clients: Vec::new(), is_damaged: false }
    }

    /// The same with these people connected and in step.
    pub(crate) fn with(names: &[&'static str]) -> Self {
        let mut world = Self::new();
        for name in names {
            world.joins(name);
        }
        world.settle();
        for name in names {
            world.shows(name, StatusState::Synced, Reason::Synced);
        }
        world
    }

    /// Somebody opens the app for the first time.
    pub(crate) fn joins(&mut self, name: &'static str) {
        self.joins_with(name, ClientModel::new(self.clients.len() as u8 + 1));
    }

    /// Somebody opens the app with that database.
    pub(crate) fn joins_with(&mut self, name: &'static str, model: ClientModel) {
        let seed = self.clients.len() as u64;
        self.clients.push(Client::new(name, model, seed, self.now));
    }

    fn index(&self, name: &str) -> usize {
        self.clients.iter().position(|client| client.name == name).expect("somebody of that name")
    }

    /// Somebody, to be looked at.
    pub(crate) fn look_at(&self, name: &str) -> &Client {
        &self.clients[self.index(name)]
    }

    /// Somebody, to be meddled with.
    pub(crate) fn client(&mut self, name: &str) -> &mut Client {
        let index = self.index(name);
        &mut self.clients[index]
    }

    pub(crate) fn status(&self, name: &str) -> Status {
        let client = self.look_at(name);
        client.session.status(client.clock(self.now))
    }

    /// What somebody's light shows.
    #[track_caller]
    pub(crate) fn shows(&self, name: &str, state: StatusState, reason: Reason) {
        let status = self.status(name);
        assert_eq!((status.state, status.reason), (state, reason), "{name}: {status:?}");
    }

    /// What the server's database and everybody's hold.
    #[track_caller]
    pub(crate) fn all_hold(&self, text: &str) {
        assert_eq!(self.server.model.rows.text(), text, "the server");
        for client in &self.clients {
            assert_eq!(client.model.rows.text(), text, "{}", client.name);
        }
    }

    /// What somebody's database holds.
    #[track_caller]
    pub(crate) fn holds(&self, name: &str, text: &str) {
        assert_eq!(self.look_at(name).model.rows.text(), text, "{name}");
    }

    /// What the server's database holds.
    #[track_caller]
    pub(crate) fn server_holds(&self, text: &str) {
        assert_eq!(self.server.model.rows.text(), text, "the server");
    }

    // What people do.

    pub(crate) fn writes(&mut self, name: &str, key: i64, column: &str, value: &str) {
        self.client(name).model.write(key, column, value);
        self.committed(name);
    }

    pub(crate) fn deletes(&mut self, name: &str, key: i64) {
        self.client(name).model.delete(key);
        self.committed(name);
    }

    fn committed(&mut self, name: &str) {
        let now = self.now;
        let client = self.client(name);
        let kind = client.model.broken.take();
        let outbox = client.model.outbox().expect("the model is whole");
        client.model.broken = kind;
        client.session.handle_local_commit(client.clock(now), outbox);
        self.settle();
    }

    /// The server's own app writes.
    pub(crate) fn server_writes(&mut self, key: i64, column: &str, value: &str) {
        self.server.model.write(key, column, value);
        self.publish();
        self.settle();
    }

    /// Somebody's connection breaks: what is on its way is lost, and the client learns of it at once.
    pub(crate) fn cut(&mut self, name: &str) {
        let now = self.now;
        let client = self.client(name);
        if client.wire.take().is_some() {
            client.session.handle_closed(client.clock(now), 1006, "");
        }
        self.settle();
    }

    /// From now on nothing passes, either way, and nobody is told.
    pub(crate) fn half_opens(&mut self, name: &str) {
        let wire = self.client(name).wire.as_mut().expect("a connection");
        (wire.holds_up, wire.holds_down) = (true, true);
    }

    /// Everything passes again, what has waited first.
    pub(crate) fn lets_pass(&mut self, name: &str) {
        let wire = self.client(name).wire.as_mut().expect("a connection");
        (wire.holds_up, wire.holds_down) = (false, false);
        self.settle();
    }

    /// What somebody finds when dialling.
    pub(crate) fn dials_into(&mut self, name: &str, line: Line) {
        self.client(name).line = line;
    }

    /// The network is gone for everybody.
    pub(crate) fn outage(&mut self) {
        let names: Vec<_> = self.clients.iter().map(|client| client.name).collect();
        for name in names {
            self.dials_into(name, Line::Refuses);
            self.cut(name);
        }
    }

    /// And back. Everybody dials in their own time.
    pub(crate) fn outage_ends(&mut self) {
        for client in &mut self.clients {
            client.line = Line::Works;
        }
    }

    /// The server's disk breaks, or is mended.
    pub(crate) fn server_disk(&mut self, broken: Option<FaultKind>) {
        self.server.model.broken = broken;
        self.server.writer = match broken {
            None => WriterState::Commits,
            Some(FaultKind::Full) => WriterState::Full,
            Some(FaultKind::ReadOnly) => WriterState::ReadOnly,
            Some(FaultKind::Busy) => WriterState::Busy,
            Some(_) => WriterState::Failing,
        };
        let (now, writer) = (self.now, self.server.writer);
        for session in self.clients.iter_mut().filter_map(Client::server_end) {
            session.handle_writer(now, writer);
        }
        self.settle();
    }

    /// Everybody who is connected is refused.
    pub(crate) fn server_refuses_all(&mut self, code: RefuseCode) {
        let (now, sentence) = (self.now, format!("{code:?}"));
        for session in self.clients.iter_mut().filter_map(Client::server_end) {
            session.handle_refuse(now, Refuse { code, sentence: sentence.clone() });
        }
        self.settle();
    }

    /// The server answers the questions for digests that it has put off.
    pub(crate) fn server_gives_digests(&mut self) {
        self.server.digests_late = false;
        for index in std::mem::take(&mut self.server.owed) {
            let digests = self.server.model.digest(&DigestScope::Tables).expect("digests");
            self.answer(index, |session, now| session.handle_digests(now, digests));
        }
        self.settle();
    }

    /// The server commits what it has taken.
    pub(crate) fn server_wakes(&mut self) {
        self.server.drowsy = false;
        for (index, part) in std::mem::take(&mut self.server.waiting) {
            self.commit(index, part);
        }
        self.settle();
    }

    /// The slow server commits one part.
    pub(crate) fn server_commits_one(&mut self) {
        if !self.server.waiting.is_empty() {
            let (index, part) = self.server.waiting.remove(0);
            self.commit(index, part);
            self.settle();
        }
    }

    /// The client's database answers what it was asked.
    pub(crate) fn wakes(&mut self, name: &str) {
        let now = self.now;
        self.client(name).drowsy = false;
        self.client(name).answers(now);
        self.settle();
    }

    /// The client's slow database answers one request.
    pub(crate) fn answers_one(&mut self, name: &str) {
        let now = self.now;
        self.client(name).answers(now);
        self.settle();
    }

    /// The app is killed and opened again.
    pub(crate) fn restarts(&mut self, name: &str) {
        let now = self.now;
        self.client(name).restarts(now);
        self.settle();
    }

    /// Somebody's app has something else to say to its session.
    pub(crate) fn tells(&mut self, name: &str, what: impl FnOnce(&mut ClientSession, Now)) {
        let now = self.now;
        let client = self.client(name);
        let own = client.clock(now);
        what(&mut client.session, own);
        self.settle();
    }

    // The time.

    /// Time passes, and everybody does what is due.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.plus(time);
        self.settle();
        for _ in 0..MOST_ROUNDS {
            let due = self.clients.iter().filter_map(|client| client.wake_at(self.now)).min();
            match due {
                Some(due) if due <= end.monotonic_ms => self.advance(due.saturating_sub(self.now.monotonic_ms)),
                _ => return self.advance(end.monotonic_ms - self.now.monotonic_ms),
            }
        }
        panic!("somebody is woken for ever");
    }

    pub(crate) fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// A laptop's lid is closed for that long: its monotonic clock stands still, the others' do not.
    pub(crate) fn sleeps(&mut self, name: &str, time: Duration) {
        self.half_opens(name);
        self.now = self.now.plus(time);
        self.client(name).stood_still(time);
    }

    fn advance(&mut self, ms: u64) {
        self.now = self.now.plus(Duration::from_millis(ms));
        let now = self.now;
        for client in &mut self.clients {
            if let Some(wire) = &mut client.wire {
                wire.tick(ms);
            }
            client.session.handle_timeout(client.clock(now));
            if let Some(session) = client.server_end() {
                session.handle_timeout(now);
            }
        }
        self.settle();
    }

    /// Everything that can happen without time passing happens.
    pub(crate) fn settle(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let mut moved = false;
            for index in 0..self.clients.len() {
                moved |= self.clients[index].drive(self.now);
                moved |= self.serve(index);
                moved |= self.clients[index].carry(self.now);
                self.clients[index].note_light(self.now);
            }
            if !moved {
                return self.check();
            }
        }
        panic!("two ends answer each other for ever");
    }

    fn serve(&mut self, index: usize) -> bool {
        let mut moved = false;
        while let Some(output) = self.clients[index].server_end().and_then(ServerSession::poll_output) {
            moved = true;
            match output {
                server::Output::Greet(hello) => self.greet(index, &hello),
                server::Output::Read(request) => {
                    let chunk = self.server.model.read(&request);
                    self.answer(index, |session, now| session.handle_chunk(now, chunk));
                }
                server::Output::Digest(_) if self.server.digests_late => self.server.owed.push(index),
                server::Output::Digest(scope) => {
                    let digests = self.server.model.digest(&scope).expect("digests");
                    self.answer(index, |session, now| session.handle_digests(now, digests));
                }
                server::Output::Apply(part) if self.server.drowsy => self.server.waiting.push((index, part)),
                server::Output::Apply(part) => self.commit(index, part),
                server::Output::Send(frame) => {
                    if let Some(wire) = &mut self.clients[index].wire {
                        wire.send_down(frame);
                    }
                }
                server::Output::Close(code, reason) => {
                    if let Some(wire) = &mut self.clients[index].wire {
                        wire.down.push_back(Down::Close(code.number(), reason));
                        wire.server = None;
                    }
                }
            }
        }
        moved
    }

    fn answer(&mut self, index: usize, answer: impl FnOnce(&mut ServerSession, Now)) {
        let now = self.now;
        if let Some(session) = self.clients[index].server_end() {
            answer(session, now);
        }
    }

    fn greet(&mut self, index: usize, hello: &Hello) {
        let refuse = |code, sentence: &str| Err(Refuse { code, sentence: sentence.to_owned() });
        let greeting = if let Some(code) = self.server.refuses {
            refuse(code, "not here")
        } else if self.server.token.is_some_and(|token| token != hello.token) {
            refuse(RefuseCode::Unauthorized, "sign in again")
        } else {
            let facts = self.server.model.facts();
            let peer = self.server.model.peer(hello.site, hello.cursor);
            let (facts, peer) = (facts.expect("the model answers"), peer.expect("the model answers"));
            Ok(Greeting { facts, peer, writer: self.server.writer, may_write: self.server.may_write })
        };
        let now = self.now;
        for (other, client) in self.clients.iter_mut().enumerate() {
            let same = |session: &ServerSession| session.report().is_some_and(|report| report.site == hello.site);
            if let Some(session) = client.server_end().filter(|session| other != index && same(session)) {
                let sentence = "another connection of this client took over".to_owned();
                session.handle_refuse(now, Refuse { code: RefuseCode::Superseded, sentence });
            }
        }
        self.answer(index, |session, now| session.handle_greeting(now, greeting));
    }

    fn commit(&mut self, index: usize, part: UploadPart) {
        let result = self.server.model.apply(&[part]).and_then(|mut done| done.remove(0));
        if result.is_ok() && std::mem::take(&mut self.server.dies_after_commit) {
            return self.outage();
        }
        self.answer(index, |session, now| session.handle_applied(now, result));
        self.publish();
    }

    /// Tells every session of the head.
    fn publish(&mut self) {
        let (now, head) = (self.now, self.server.model.head());
        self.server.last_write = now;
        for session in self.clients.iter_mut().filter_map(Client::server_end) {
            session.handle_head(now, head);
        }
    }

    /// What must hold at all times.
    fn check(&self) {
        for client in &self.clients {
            let status = client.session.status(client.clock(self.now));
            let mut model = client.model.clone();
            model.broken = None;
            let outbox = model.outbox().expect("the model is whole");
            if client.is_awake() {
                assert_eq!(status.pending.changes, outbox.changes, "{}'s pending", client.name);
            }
            // Nobody looks before the session asks for it: until then the light must not change by time alone.
            let own = client.clock(self.now);
            let quiet = match client.session.wake_at(own) {
                Some(due) => due.monotonic_ms.saturating_sub(own.monotonic_ms).saturating_sub(1),
                None => 3_600_000,
            };
            let later = client.session.status(own.plus(Duration::from_millis(quiet)));
            let (shown, later) = ((status.state, status.reason), (later.state, later.reason));
            assert_eq!(shown, later, "{}'s light changes within {quiet} ms, unseen", client.name);
            // A green light says that what the server had some seconds ago is here, and that what was typed is there.
            if status.state == StatusState::Synced
                && !self.is_damaged
                && self.now.since(self.server.last_write) > FRESHNESS
            {
                let (here, there) = (client.model.rows.text(), self.server.model.rows.text());
                // What the server set aside is on its disk, though not in its rows.
                assert!(
                    here == there || here.contains(POISON),
                    "{here} and {there}: {} is shown a false green",
                    client.name
                );
            }
        }
    }
}
