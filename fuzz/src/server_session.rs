//! The server's end against clients that send anything in any order, with the real store behind it.
//!
//! Where in the flow: as the server's socket drives a session, but with the input choosing what comes, and when what
//! was asked for is answered. Checks after each step that nothing was acknowledged that is not committed, and that
//! the database is what it has to be.

use std::collections::VecDeque;

use arbitrary::{Result, Unstructured};
use greenlight_core::protocol::{
    ClientMessage, Download, EncodedChanges, Fragment, Hello, Receipt, Refuse, RefuseCode, ServerMessage, Upload,
    WriterState,
};
use greenlight_core::replica::{Fault, FaultKind, ServerFacts, ServerStore, UploadPart};
use greenlight_core::server::{Greeting, Output, ServerSession};
use greenlight_core::{Bound, Cursor, Now, SiteId, Tag, Value, Version};
use greenlight_store::{Done, ServerDatabase, Work};

use crate::content::{SITES, changes};
use crate::databases::{self, check, check_file, check_history};
use crate::messages::{hello, of_client, spoil};

/// Steps of one input; what lies behind them is left out.
const MAX_STEPS: usize = 200;

/// What the server's own app may write meanwhile.
const STATEMENTS: [&str; 8] = [
    "INSERT INTO t (id, a) VALUES (?1 % 20, 'app')",
    "UPDATE t SET a = ?1, b = b || 'x' WHERE id < 10",
    "DELETE FROM t WHERE id % 3 = ?1 % 3",
    "INSERT OR REPLACE INTO t (id, b) VALUES (?1 % 20, 'again')",
    "UPDATE t SET id = id + 20 WHERE id = ?1 % 40",
    "INSERT OR IGNORE INTO mark VALUES (?1)",
    "UPDATE pair SET n = ?1 % 99",
    "DELETE FROM mark WHERE ?1 % 2",
];

/// A connection: its session, what it asked for and was not answered, and the range that its client sends.
struct Seat {
    session: ServerSession,
    site: SiteId,
    asked: VecDeque<Output>,
    /// Receipts of parts that are on disk, which may be sent.
    committed: VecDeque<Receipt<Bound>>,
    /// What the honest half of the client sends next.
    since: Bound,
    until: Bound,
    part: u32,
    offer: bool,
    /// The number of the part that is applied next: the session lets parts through in their order alone.
    applied: u32,
    fragments: u64,
    receipts: VecDeque<Receipt<Cursor>>,
}

struct Server {
    store: ServerDatabase,
    facts: ServerFacts,
    seats: Vec<Seat>,
    now: Now,
}

/// Runs one input.
pub(crate) fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut store = databases::server();
    let facts = store.facts().expect("a database has facts");
    let now = Now { monotonic_ms: 1_000_000, wall_ms: 1_700_000_000_000 };
    let mut server = Server { store, facts, seats: Vec::new(), now };
    for _ in 0..MAX_STEPS {
        // An input that ends within a step has said all that it has to say.
        if input.is_empty() || server.step(&mut input).is_err() {
            break;
        }
        check(server.store.connection());
    }
    for seat in 0..server.seats.len() {
        while server.answer(seat) {}
    }
    check(server.store.connection());
    check_file(server.store.connection());
    check_history(&mut server.store);
    server.check_writes();
}

impl Server {
    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        if self.seats.is_empty() || (self.seats.len() < 3 && input.ratio(1, 24u8)?) {
            return self.connect(input);
        }
        let seat = input.choose_index(self.seats.len())?;
        match input.int_in_range(0..=15u8)? {
            0 => self.pass_time(input, seat)?,
            1 => self.write(input)?,
            2 => self.interfere(input, seat)?,
            3 | 4 => {
                self.answer(seat);
            }
            5..=8 => {
                let message = self.next_part(input, seat)?;
                self.hear(input, seat, message.encode())?;
            }
            9 => {
                let message = of_client(input)?;
                self.hear_in_fragments(input, seat, message.encode())?;
            }
            10 => {
                if let Some(receipt) = self.seats[seat].receipts.pop_front() {
                    self.hear(input, seat, ClientMessage::Downloaded(receipt).encode())?;
                }
            }
            11 => self.connect(input)?,
            _ => {
                let message = of_client(input)?;
                self.hear(input, seat, message.encode())?;
            }
        }
        Ok(())
    }

    /// A new connection in place of an old one, mostly with a hello that is welcome.
    fn connect(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let site = *input.choose(&SITES)?;
        let hello: Hello = hello(input, &self.facts, site)?;
        let seat = Seat {
            session: ServerSession::new(self.now),
            site,
            asked: VecDeque::new(),
            committed: VecDeque::new(),
            since: Bound::ZERO,
            until: Bound::ZERO,
            part: 0,
            offer: false,
            applied: 0,
            fragments: 0,
            receipts: VecDeque::new(),
        };
        if self.seats.len() < 3 {
            self.seats.push(seat);
        } else {
            self.seats[0] = seat;
        }
        let seat = if self.seats.len() < 3 { self.seats.len() - 1 } else { 0 };
        self.hear(input, seat, ClientMessage::<EncodedChanges>::Hello(hello).encode())?;
        if input.ratio(7, 8u8)? {
            self.answer(seat);
        }
        Ok(())
    }

    fn hear(&mut self, input: &mut Unstructured<'_>, seat: usize, frame: Vec<u8>) -> Result<()> {
        let frame = spoil(input, frame)?;
        self.seats[seat].session.handle_frame(self.now, &frame);
        self.collect(seat);
        Ok(())
    }

    fn hear_in_fragments(&mut self, input: &mut Unstructured<'_>, seat: usize, frame: Vec<u8>) -> Result<()> {
        let length = usize::from(input.int_in_range(1..=64u8)?);
        let count = frame.chunks(length).count();
        for (at, piece) in frame.chunks(length).enumerate() {
            let number = self.seats[seat].fragments;
            self.seats[seat].fragments += 1;
            let fragment = Fragment { number, last: at + 1 == count, bytes: piece.to_vec() };
            self.hear(input, seat, ClientMessage::<EncodedChanges>::Fragment(fragment).encode())?;
        }
        Ok(())
    }

    /// The part that follows the one before, so that what lies behind the order of parts is reached.
    fn next_part(&mut self, input: &mut Unstructured<'_>, seat: usize) -> Result<ClientMessage<EncodedChanges>> {
        let last = input.ratio(2, 3u8)?;
        let changes = changes(input)?;
        let seat = &mut self.seats[seat];
        if seat.part == 0 {
            seat.offer = input.ratio(1, 2u8)?;
            let above = u64::from(input.int_in_range(1..=9u8)?);
            let version = Version::new(seat.since.version.get() + above).unwrap_or(seat.since.version);
            seat.until = Bound { version, tag: Tag(input.arbitrary()?) };
        }
        let mut changes = changes;
        if !seat.offer {
            changes.iter_mut().for_each(|change| change.site = seat.site);
        }
        let upload = Upload {
            since: seat.since,
            until: seat.until,
            part: seat.part,
            last,
            offer: seat.offer,
            remaining: 0,
            changes: EncodedChanges::from_changes(&changes),
        };
        (seat.part, seat.since) = if last { (0, seat.until) } else { (seat.part + 1, seat.since) };
        Ok(ClientMessage::Upload(upload))
    }

    /// Takes what the session hands out, and checks each acknowledgement.
    fn collect(&mut self, seat: usize) {
        let seat = &mut self.seats[seat];
        while let Some(output) = seat.session.poll_output() {
            let Output::Send(frame) = &output else {
                seat.asked.push_back(output);
                continue;
            };
            match ServerMessage::decode(frame).expect("a server sends what can be read") {
                ServerMessage::Uploaded(receipt) => {
                    assert_eq!(
                        seat.committed.pop_front(),
                        Some(receipt),
                        "an acknowledgement of what is not committed"
                    );
                }
                ServerMessage::Download(download) => {
                    let Download { until, part, last, .. } = download;
                    seat.receipts.push_back(Receipt { until, part, last });
                }
                ServerMessage::Fragment(_) | ServerMessage::Pong(_) | ServerMessage::Received(_) => {}
                ServerMessage::Welcome(welcome) => seat.since = welcome.held,
                ServerMessage::Refuse(_) | ServerMessage::Digests(_) => {}
            }
        }
    }

    /// Carries out the oldest thing that a session asked for; whether there was one.
    fn answer(&mut self, at: usize) -> bool {
        let now = self.now;
        let Some(asked) = self.seats[at].asked.pop_front() else { return false };
        let seat = &mut self.seats[at];
        match asked {
            Output::Greet(hello) => {
                let peer = self.store.peer(hello.site, hello.cursor).expect("peers can be looked up");
                let facts = self.store.facts().expect("facts can be read");
                let greeting = Greeting { facts, peer, writer: WriterState::Commits, may_write: true };
                seat.session.handle_greeting(now, Ok(greeting));
            }
            Output::Read(request) => {
                let chunk = self.store.read(&request);
                assert!(chunk.is_ok(), "the history can't be read: {chunk:?}");
                seat.session.handle_chunk(now, chunk);
            }
            Output::Apply(part) => self.apply(at, part),
            Output::Digest(scope) => {
                let digests = self.store.digest(&scope).expect("digests can be summed");
                seat.session.handle_digests(now, digests);
            }
            Output::Send(_) | Output::Close(..) => {}
        }
        self.collect(at);
        let head = self.store.head().expect("the head can be read");
        for other in 0..self.seats.len() {
            self.seats[other].session.handle_head(now, head);
            self.collect(other);
        }
        true
    }

    fn apply(&mut self, at: usize, part: UploadPart) {
        let result = self.store.apply(std::slice::from_ref(&part)).map(|mut results| results.remove(0));
        let result = result.unwrap_or_else(Err);
        if result.is_ok() && part.last {
            let held = self.store.peer(part.site, Cursor::ZERO).expect("peers can be looked up").held;
            assert_eq!(held, part.until, "the last part moves what is held");
        }
        let seat = &mut self.seats[at];
        if result.is_ok() {
            seat.committed.push_back(Receipt { until: part.until, part: seat.applied, last: part.last });
            seat.applied = if part.last { 0 } else { seat.applied + 1 };
        }
        seat.session.handle_applied(self.now, result);
    }

    fn write(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let sql = (*input.choose(&STATEMENTS)?).to_owned();
        let params = vec![Value::Integer(i64::from(input.arbitrary::<u8>()?))];
        let committed = self.store.commit(&[Work::Exec { sql, params }]).expect("a statement ends with an answer");
        assert!(matches!(committed.done[..], [Done::Exec(_)]));
        Ok(())
    }

    fn pass_time(&mut self, input: &mut Unstructured<'_>, seat: usize) -> Result<()> {
        let ms = u64::from(input.arbitrary::<u16>()?);
        self.now.monotonic_ms += ms;
        self.now.wall_ms += i64::from(input.arbitrary::<i16>()?);
        self.seats[seat].session.handle_timeout(self.now);
        self.collect(seat);
        Ok(())
    }

    /// What the driver may say at any time.
    fn interfere(&mut self, input: &mut Unstructured<'_>, at: usize) -> Result<()> {
        let fault = Fault { kind: *input.choose(&[FaultKind::Busy, FaultKind::Io])?, message: "made".to_owned() };
        let now = self.now;
        let session = &mut self.seats[at].session;
        match input.int_in_range(0..=5u8)? {
            0 => session.handle_writer(now, WriterState::Full),
            1 => session.handle_writer(now, WriterState::Commits),
            2 => session.handle_malformed(now, "a text message"),
            3 => session.handle_refuse(now, Refuse { code: RefuseCode::Superseded, sentence: "newer".to_owned() }),
            4 => session.handle_applied(now, Err(fault)),
            _ => session.handle_chunk(now, Err(fault)),
        }
        self.collect(at);
        Ok(())
    }

    /// Whatever came before, an honest statement is still done and becomes a version.
    fn check_writes(&mut self) {
        let sql =
            "INSERT INTO t (id, a) SELECT 1 + max(1000000, ifnull(max(id), 0)), 'honest' FROM t WHERE id < 1 << 40";
        let work = [Work::Exec { sql: sql.to_owned(), params: Vec::new() }];
        let committed = self.store.commit(&work).expect("an honest write is committed");
        assert!(matches!(committed.done[..], [Done::Exec(Ok(_))]), "{:?}", committed.done);
        assert!(committed.head.version > committed.before.version, "and becomes a version");
    }
}
