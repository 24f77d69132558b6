//! The client's end against a server that sends anything, with the real store behind it.
//!
//! Where in the flow: as a client's driver drives a session, but with the input choosing what comes. Checks after each
//! step that the database is what it has to be, and at the end that the person at the device can still work.

use arbitrary::{Result, Unstructured};
use greenlight_core::client::{ClientConfig, ClientSession, Output};
use greenlight_core::protocol::{ClientMessage, EncodedChanges, Fragment, ServerMessage};
use greenlight_core::replica::{Author, ClientStore, ReadRequest, ServerFacts, ServerStore, perform};
use greenlight_core::{Bound, Now, Value, Version};
use greenlight_store::ClientDatabase;

use crate::databases::{self, check, check_client_writes, check_file};
use crate::messages::{of_server, spoil, welcome};

/// Steps of one input; what lies behind them is left out.
const MAX_STEPS: usize = 200;

/// What the app may write meanwhile. A statement may fail, at an edge that the server pushed a cell to.
const STATEMENTS: [&str; 7] = [
    "INSERT INTO t (id, a) VALUES (?1 % 20, 'app')",
    "UPDATE t SET a = ?1, b = b || 'x' WHERE id < 10",
    "DELETE FROM t WHERE id % 3 = ?1 % 3",
    "INSERT OR REPLACE INTO t (id, b) VALUES (?1 % 20, 'again')",
    "UPDATE t SET id = id + 20 WHERE id = ?1 % 40",
    "INSERT OR IGNORE INTO mark VALUES (?1)",
    "UPDATE pair SET n = ?1 % 99",
];

struct Client {
    store: ClientDatabase,
    session: ClientSession,
    /// What the server that is told of is.
    server: ServerFacts,
    now: Now,
    dialling: bool,
    open: bool,
    /// The bound of the upload that was sent last.
    sent: Option<Bound>,
    fragments: u64,
}

/// Runs one input.
pub(crate) fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    static FACTS: std::sync::OnceLock<ServerFacts> = std::sync::OnceLock::new();
    let server = FACTS.get_or_init(|| databases::server().facts().expect("a database has facts")).clone();
    let now = Now { monotonic_ms: 1_000_000, wall_ms: 1_700_000_000_000 };
    let session = ClientSession::new(now, ClientConfig { agent: "fuzz".to_owned(), seed: 7 });
    let store = databases::client();
    let mut client = Client { store, session, server, now, dialling: false, open: false, sent: None, fragments: 0 };
    client.collect();
    for _ in 0..MAX_STEPS {
        if input.is_empty() || client.step(&mut input).is_err() {
            break;
        }
        check(client.store.connection());
        drop(client.session.status(client.now));
    }
    check(client.store.connection());
    check_file(client.store.connection());
    client.check_reading();
    check_client_writes(&mut client.store);
}

impl Client {
    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        if self.dialling && input.ratio(7, 8u8)? {
            return self.connect(input);
        }
        match input.int_in_range(0..=15u8)? {
            0 => self.pass_time(input)?,
            1 | 2 => self.write(input)?,
            3 => {
                self.session.handle_closed(self.now, input.arbitrary()?, "gone");
                (self.open, self.dialling) = (false, false);
                self.collect();
            }
            4 => {
                self.session.handle_malformed(self.now, "a text message");
                self.collect();
            }
            5 => {
                let message = self.message(input)?;
                self.hear_in_fragments(input, &message.encode())?;
            }
            6 => {
                let held = self.store.load().expect("a state can be loaded").acknowledged;
                let welcome = welcome(input, &self.server, held)?;
                self.hear(input, ServerMessage::<EncodedChanges>::Welcome(welcome).encode())?;
            }
            _ => {
                let message = self.message(input)?;
                self.hear(input, message.encode())?;
            }
        }
        Ok(())
    }

    fn message(&mut self, input: &mut Unstructured<'_>) -> Result<ServerMessage<EncodedChanges>> {
        let at = self.store.load().expect("a state can be loaded").cursor;
        of_server(input, at, self.sent)
    }

    /// A socket that opens, mostly with a welcome at once.
    fn connect(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        (self.dialling, self.open, self.fragments) = (false, true, 0);
        self.session.handle_connected(self.now, "token".to_owned());
        self.collect();
        if input.ratio(7, 8u8)? {
            let held = self.store.load().expect("a state can be loaded").acknowledged;
            let welcome = welcome(input, &self.server, held)?;
            self.hear(input, ServerMessage::<EncodedChanges>::Welcome(welcome).encode())?;
        }
        Ok(())
    }

    fn hear(&mut self, input: &mut Unstructured<'_>, frame: Vec<u8>) -> Result<()> {
        if self.open {
            let frame = spoil(input, frame)?;
            self.session.handle_frame(self.now, &frame);
            self.collect();
        }
        Ok(())
    }

    fn hear_in_fragments(&mut self, input: &mut Unstructured<'_>, frame: &[u8]) -> Result<()> {
        let length = usize::from(input.int_in_range(1..=64u8)?);
        let count = frame.chunks(length).count();
        for (at, piece) in frame.chunks(length).enumerate() {
            let fragment = Fragment { number: self.fragments, last: at + 1 == count, bytes: piece.to_vec() };
            self.fragments += 1;
            self.hear(input, ServerMessage::<EncodedChanges>::Fragment(fragment).encode())?;
        }
        Ok(())
    }

    /// Carries out what the session asks for, until it asks for nothing.
    fn collect(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Connect => self.dialling = true,
                Output::Close(..) => (self.open, self.dialling) = (false, false),
                Output::Send(frame) => match ClientMessage::decode(&frame).expect("a client sends what can be read") {
                    ClientMessage::Upload(upload) => self.sent = Some(upload.until),
                    ClientMessage::Hello(_) => self.fragments = 0,
                    _ => {}
                },
                Output::Store(request) => {
                    let reply = perform(&mut self.store, request);
                    self.session.handle_store(self.now, reply);
                }
                Output::Diverged(..) => {}
            }
        }
    }

    fn write(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let sql = *input.choose(&STATEMENTS)?;
        let params = [Value::Integer(i64::from(input.arbitrary::<u8>()?))];
        // A key that is there already, or a cell at its edge: then nothing of it stays, which is looked at below.
        if let Ok((_, commit)) = self.store.exec(sql, &params) {
            self.session.handle_local_commit(self.now, commit.outbox);
            self.collect();
        }
        Ok(())
    }

    fn pass_time(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        self.now.monotonic_ms += u64::from(input.arbitrary::<u16>()?);
        self.now.wall_ms += i64::from(input.arbitrary::<i16>()?);
        self.session.handle_timeout(self.now);
        self.collect();
        Ok(())
    }

    /// All that would be uploaded can be read, and fits the protocol.
    fn check_reading(&mut self) {
        for author in [Author::Own, Author::Any] {
            let mut request = ReadRequest { since: Version::ZERO, until: None, after: None, author };
            loop {
                let chunk = self.store.read(&request).expect("what is here can be read");
                chunk.changes.decode().expect("and is within the limits");
                if chunk.next.is_none() {
                    break;
                }
                request.until = Some(chunk.until);
                request.after = chunk.next;
            }
        }
    }
}
