//! Stories of ends that do not keep to the protocol, one session at a time and frame by frame: each is closed with its
//! code, and nothing that it said is believed.

mod fragments;

use greenlight_core::client::{self, ClientConfig, ClientSession};
use greenlight_core::limits::{HEARTBEAT, PROGRESS_GIVE_UP, WINDOW_PARTS};
use greenlight_core::protocol::{
    ClientMessage, CloseCode, Download, EncodedChanges, Hello, PROTOCOL, Ping, Pong, Receipt, ServerMessage, Upload,
    Welcome, WriterState,
};
use greenlight_core::replica::{
    Applied, Chunk, FaultKind, PeerFacts, ReadPosition, ServerFacts, ServerStore, StoreReply, StoreRequest, perform,
};
use greenlight_core::server::{Greeting, Output, ServerSession};
use greenlight_core::{Bound, Change, Cursor, Now, PackedKey, SiteId, StatusState, Tag, Value, Version};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::model::{BOOK, ClientModel, ServerModel, fault, schema};

const NOW: Now = Now { monotonic_ms: 1, wall_ms: 1 };
const ALICE: SiteId = SiteId([1; 16]);
const BOB: SiteId = SiteId([2; 16]);

fn bound(version: u64) -> Bound {
    Bound { version: Version::new(version).expect("small"), tag: Tag(version) }
}

fn cursor(version: u64) -> Cursor {
    Cursor { version: Version::new(version).expect("small"), tag: Tag(version) }
}

fn by(site: SiteId) -> Change {
    Change {
        table: BOOK.into(),
        key: PackedKey::pack(&[Value::Integer(1)]).expect("a small key"),
        column: "title".into(),
        value: Value::Null,
        column_version: 1,
        causal_length: 1,
        sequence: 0,
        site,
    }
}

fn upload(since: u64, until: u64, part: u32, last: bool) -> Upload<EncodedChanges> {
    let changes = EncodedChanges::empty();
    Upload { since: bound(since), until: bound(until), part, last, offer: false, remaining: 0, changes }
}

fn download(since: u64, until: u64, part: u32, last: bool) -> Download<EncodedChanges> {
    let changes = EncodedChanges::empty();
    Download { since: cursor(since), until: cursor(until), part, last, remaining: 0, changes }
}

fn hello() -> Hello {
    let (schema, shape) = schema();
    Hello {
        protocol: PROTOCOL,
        features: 0,
        site: ALICE,
        schema,
        shape,
        lineage: None,
        cursor: cursor(3),
        acknowledged: Bound::ZERO,
        token: String::new(),
        agent: String::new(),
    }
}

/// A server's session with Alice, who is at version 3 as the server is.
struct Server(ServerSession);

impl Server {
    fn new() -> Self {
        let mut server = Self(ServerSession::new(NOW));
        server.hears(&ClientMessage::Hello(hello()));
        assert!(matches!(server.0.poll_output(), Some(Output::Greet(_))));
        server
    }

    fn live() -> Self {
        let mut server = Self::new();
        let facts = ServerModel::new().facts().expect("the model answers");
        let facts = ServerFacts { head: cursor(3), ..facts };
        let peer = PeerFacts { held: Bound::ZERO, cursor_known: true };
        let greeting = Greeting { facts, peer, writer: WriterState::Commits, may_write: true };
        server.0.handle_greeting(NOW, Ok(greeting));
        assert!(matches!(server.said(), ServerMessage::Welcome(_)));
        assert!(matches!(server.0.poll_output(), Some(Output::Read(_))));
        server
    }

    fn hears(&mut self, message: &ClientMessage<EncodedChanges>) {
        self.0.handle_frame(NOW, &message.encode());
    }

    fn uploads(&mut self, upload: Upload<EncodedChanges>) {
        self.hears(&ClientMessage::Upload(upload));
    }

    #[track_caller]
    fn said(&mut self) -> ServerMessage<Vec<Change>> {
        match self.0.poll_output() {
            Some(Output::Send(frame)) => ServerMessage::decode(&frame).expect("a server's frame is right"),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn applies(&mut self) {
        let output = self.0.poll_output();
        assert!(matches!(output, Some(Output::Apply(_))), "{output:?}");
    }

    fn reads(&mut self, until: u64, changes: &[Change], more: bool) {
        let next = ReadPosition { version: Version::ZERO, table: BOOK.into(), key: 0, column: "title".into() };
        let changes = EncodedChanges::from_changes(changes);
        let chunk = Chunk { until: cursor(until), changes, next: more.then_some(next), remaining: u64::from(more) };
        self.0.handle_chunk(NOW, Ok(chunk));
    }

    #[track_caller]
    fn is_silent(&mut self) {
        let output = self.0.poll_output();
        assert!(output.is_none(), "{output:?}");
    }

    /// It closed with this code, and says nothing more whatever comes.
    #[track_caller]
    fn closed(&mut self, code: CloseCode) {
        let output = self.0.poll_output();
        assert!(matches!(&output, Some(Output::Close(closed, _)) if *closed == code), "{output:?}");
        self.hears(&ClientMessage::Hello(hello()));
        self.0.handle_malformed(NOW, "text");
        self.0.handle_applied(NOW, Ok(Applied::default()));
        self.0.handle_head(NOW, cursor(99));
        self.0.handle_timeout(NOW);
        self.reads(99, &[], false);
        self.is_silent();
        assert_eq!(self.0.wake_at(), None);
    }
}

#[test]
fn a_client_that_speaks_before_it_is_welcome() {
    let ping = Ping { number: 1, state: StatusState::Connecting, pending: 0, cursor: cursor(3) };
    let early = [
        ClientMessage::Upload(upload(0, 1, 0, true)),
        ClientMessage::Downloaded(Receipt { until: cursor(3), part: 0, last: true }),
        ClientMessage::Ping(ping),
    ];
    for message in early {
        let mut server = Server(ServerSession::new(NOW));
        server.hears(&message);
        server.closed(CloseCode::OutOfOrder);
        let mut server = Server::new();
        server.hears(&message);
        server.closed(CloseCode::OutOfOrder);
    }
    for mut server in [Server::new(), Server::live()] {
        server.hears(&ClientMessage::Hello(hello()));
        server.closed(CloseCode::OutOfOrder);
    }
    let mut server = Server::live();
    server.0.handle_malformed(NOW, "a text message");
    server.closed(CloseCode::Malformed);
}

#[test]
fn an_upload_that_does_not_follow() {
    let mut server = Server::live();
    server.uploads(upload(5, 6, 0, true));
    server.closed(CloseCode::OutOfOrder);
    let wrong = [
        upload(0, 4, 0, true),
        upload(0, 4, 2, true),
        upload(0, 5, 1, true),
        upload(1, 4, 1, true),
        Upload { offer: true, ..upload(0, 4, 1, true) },
    ];
    for second in wrong {
        let mut server = Server::live();
        server.uploads(upload(0, 4, 0, false));
        server.applies();
        server.uploads(second);
        server.closed(CloseCode::OutOfOrder);
    }
    // A range is held only with its last part: nothing may follow one that has not ended.
    let mut server = Server::live();
    server.uploads(upload(0, 4, 0, true));
    server.applies();
    server.uploads(upload(4, 5, 0, true));
    server.0.handle_applied(NOW, Ok(Applied::default()));
    let receipt = Receipt { until: bound(4), part: 0, last: true };
    assert_eq!(server.said(), ServerMessage::Uploaded(receipt));
    server.applies();
}

#[test]
fn an_upload_of_what_others_wrote() {
    let theirs = EncodedChanges::from_changes(&[by(ALICE), by(BOB)]);
    let mut server = Server::live();
    server.uploads(Upload { changes: theirs.clone(), ..upload(0, 4, 0, true) });
    server.closed(CloseCode::OutOfOrder);
    let mut server = Server::live();
    server.uploads(Upload { changes: theirs, offer: true, ..upload(0, 4, 0, true) });
    server.applies();
}

#[test]
fn a_client_that_does_not_wait_for_receipts() {
    let mut server = Server::live();
    let mut part = 0;
    // One is being applied, and a window waits.
    while part <= WINDOW_PARTS {
        server.uploads(upload(0, 4, part, false));
        part += 1;
    }
    server.applies();
    server.is_silent();
    server.uploads(upload(0, 4, part, false));
    server.closed(CloseCode::OutOfOrder);
}

#[test]
fn a_part_that_fails_takes_those_behind_it_along() {
    for (kind, code) in [(FaultKind::Full, CloseCode::StoreFailed), (FaultKind::OutOfOrder, CloseCode::OutOfOrder)] {
        let mut server = Server::live();
        server.uploads(upload(0, 4, 0, false));
        server.uploads(upload(0, 4, 1, true));
        server.applies();
        server.0.handle_applied(NOW, Err(fault(kind)));
        server.closed(code);
    }
    let mut server = Server::live();
    server.0.handle_chunk(NOW, Err(fault(FaultKind::Io)));
    server.closed(CloseCode::StoreFailed);
}

#[test]
fn receipts_that_are_right_and_wrong() {
    let receipt =
        |until: u64, part: u32, last: bool| ClientMessage::Downloaded(Receipt { until: cursor(until), part, last });
    let sent = || {
        let mut server = Server::live();
        server.reads(5, &[by(BOB)], true);
        server.said();
        server.0.poll_output();
        server
    };
    for wrong in [receipt(5, 1, false), receipt(4, 0, false), receipt(5, 0, true)] {
        let mut server = sent();
        server.hears(&wrong);
        server.closed(CloseCode::OutOfOrder);
    }
    let at = |server: &Server| server.0.report().expect("it is live").cursor;
    let mut server = sent();
    server.hears(&receipt(5, 0, false));
    assert_eq!(at(&server), cursor(3), "a range counts with its last part");
    server.reads(5, &[by(BOB)], false);
    server.said();
    server.hears(&receipt(5, 1, true));
    assert_eq!(at(&server), cursor(5));
    server.is_silent();
    server.hears(&receipt(5, 1, true));
    server.closed(CloseCode::OutOfOrder);
}

#[test]
fn an_author_is_not_sent_what_only_it_wrote() {
    // As a page that was read once for everybody brings it.
    for (changes, sent) in [(vec![by(ALICE)], 0), (vec![by(ALICE), by(BOB)], 2), (vec![by(BOB)], 1)] {
        let mut server = Server::live();
        server.reads(3, &[], false);
        server.said();
        server.hears(&ClientMessage::Downloaded(Receipt { until: cursor(3), part: 0, last: true }));
        server.0.handle_head(NOW, cursor(4));
        assert!(matches!(server.0.poll_output(), Some(Output::Read(_))));
        server.reads(4, &changes, false);
        let ServerMessage::Download(download) = server.said() else { panic!("a download is due") };
        assert_eq!(download.changes.len(), sent);
        assert_eq!((download.since, download.until, download.last), (cursor(3), cursor(4), true));
    }
}

#[test]
fn a_head_never_falls() {
    let mut server = Server::live();
    server.0.handle_head(NOW, cursor(2));
    let ping = Ping { number: 1, state: StatusState::Synced, pending: 0, cursor: cursor(3) };
    server.hears(&ClientMessage::Ping(ping));
    let pong = Pong { number: 1, head: cursor(3), writer: WriterState::Commits };
    assert_eq!(server.said(), ServerMessage::Pong(pong));
}

/// A client's session with an empty database, which asks for everything at once.
struct Client {
    session: ClientSession,
    model: ClientModel,
    closed: Option<CloseCode>,
    sent: Vec<ClientMessage<Vec<Change>>>,
    /// Parts to apply are left unanswered.
    slow: bool,
}

impl Client {
    fn greeting() -> Self {
        Self::greeting_at(NOW)
    }

    /// Opened now, and connected some time later.
    fn greeting_at(connected: Now) -> Self {
        let session = ClientSession::new(NOW, ClientConfig { agent: "alice".into(), seed: 1 });
        let model = ClientModel::new(1);
        let mut client = Self { session, model, closed: None, sent: Vec::new(), slow: false };
        client.drive();
        client.session.handle_connected(connected, String::new());
        client.drive();
        assert!(matches!(client.sent[..], [ClientMessage::Hello(_)]), "hello and nothing else");
        client
    }

    fn live() -> Self {
        let mut client = Self::greeting();
        client.hears(&ServerMessage::Welcome(welcome()));
        assert_eq!(client.closed, None);
        client
    }

    fn hears(&mut self, message: &ServerMessage<EncodedChanges>) {
        self.session.handle_frame(NOW, &message.encode());
        self.drive();
    }

    fn drive(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                client::Output::Connect => {}
                client::Output::Close(code, _) => self.closed = Some(code),
                client::Output::Send(frame) => {
                    self.sent.push(ClientMessage::decode(&frame).expect("a client's frame is right"));
                }
                client::Output::Diverged(..) => {}
                client::Output::Store(StoreRequest::Apply(_)) if self.slow => {}
                client::Output::Store(request) => {
                    let reply: StoreReply = perform(&mut self.model, request);
                    self.session.handle_store(NOW, reply);
                }
            }
        }
    }

    #[track_caller]
    fn refuses(mut self, message: &ServerMessage<EncodedChanges>, code: CloseCode) {
        let cursor = self.model.cursor;
        self.hears(message);
        assert_eq!(self.closed, Some(code));
        let status = self.session.status(NOW);
        assert!(!status.state.is_green());
        assert_eq!(status.diagnostics.last_error, None, "the database was not even asked");
        assert_eq!(self.model.cursor, cursor);
        assert_eq!(self.model.rows.text(), "");
    }
}

fn welcome() -> Welcome {
    let facts = ServerModel::new().facts().expect("the model answers");
    Welcome {
        protocol: PROTOCOL,
        features: 0,
        lineage: facts.lineage,
        schema: facts.schema,
        shape: facts.shape,
        head: cursor(3),
        held: Bound::ZERO,
        cursor_known: true,
        may_write: true,
        writer: WriterState::Commits,
    }
}

#[test]
fn a_server_that_speaks_out_of_place() {
    let pong = ServerMessage::Pong(Pong { number: 1, head: cursor(3), writer: WriterState::Commits });
    let part =
        |since: u64, until: u64, part: u32, last: bool| ServerMessage::Download(download(since, until, part, last));
    let receipt = ServerMessage::Uploaded(Receipt { until: bound(7), part: 0, last: true });
    Client::greeting().refuses(&pong, CloseCode::OutOfOrder);
    Client::greeting().refuses(&receipt, CloseCode::OutOfOrder);
    Client::greeting().refuses(
        &ServerMessage::Download(Download { since: Cursor::ZERO, ..download(0, 3, 0, true) }),
        CloseCode::OutOfOrder,
    );
    Client::live().refuses(&ServerMessage::Welcome(welcome()), CloseCode::OutOfOrder);
    Client::live().refuses(&receipt, CloseCode::OutOfOrder);
    Client::live().refuses(&part(2, 3, 0, true), CloseCode::OutOfOrder);
    let unasked = ServerMessage::Pong(Pong { number: 9, head: cursor(3), writer: WriterState::Commits });
    Client::live().refuses(&unasked, CloseCode::OutOfOrder);
    let mut client = Client::live();
    client.session.handle_malformed(NOW, "a text message");
    client.drive();
    assert_eq!(client.closed, Some(CloseCode::Malformed));
}

#[test]
fn a_receipt_that_is_not_the_one_awaited() {
    let client = Client::live();
    let Some(ClientMessage::Upload(sent)) = client.sent.last().cloned() else { panic!("an upload went first") };
    assert!(sent.last && sent.changes.is_empty());
    let right = Receipt { until: sent.until, part: 0, last: true };
    let other = Bound { tag: Tag(99), ..sent.until };
    for wrong in [Receipt { until: other, ..right }, Receipt { part: 1, ..right }, Receipt { last: false, ..right }] {
        Client::live().refuses(&ServerMessage::Uploaded(wrong), CloseCode::OutOfOrder);
    }
    let mut client = client;
    client.hears(&ServerMessage::Uploaded(right));
    assert_eq!(client.closed, None);
    assert_eq!(client.model.acknowledged, sent.until);
}

#[test]
fn a_range_whose_parts_do_not_fit() {
    let first = |last| ServerMessage::Download(Download { since: Cursor::ZERO, ..download(0, 3, 0, last) });
    let second = |until: u64, part: u32| {
        ServerMessage::Download(Download { since: Cursor::ZERO, ..download(0, until, part, true) })
    };
    for wrong in [second(3, 0), second(3, 2), second(4, 1)] {
        let mut client = Client::live();
        client.hears(&first(false));
        assert_eq!(client.closed, None);
        client.refuses(&wrong, CloseCode::OutOfOrder);
    }
    let mut client = Client::live();
    client.hears(&first(false));
    client.hears(&second(3, 1));
    assert_eq!((client.closed, client.model.cursor), (None, cursor(3)));
}

#[test]
fn a_server_that_does_not_wait_for_receipts() {
    let mut client = Client::live();
    client.slow = true;
    for part in 0..WINDOW_PARTS {
        client.hears(&ServerMessage::Download(Download { since: Cursor::ZERO, ..download(0, 3, part, false) }));
    }
    assert_eq!(client.closed, None);
    let more = ServerMessage::Download(Download { since: Cursor::ZERO, ..download(0, 3, WINDOW_PARTS, false) });
    client.refuses(&more, CloseCode::OutOfOrder);
}

#[test]
fn a_head_is_known_as_soon_as_a_part_names_it() {
    let mut client = Client::live();
    client.slow = true;
    client.hears(&ServerMessage::Download(Download { since: Cursor::ZERO, ..download(0, 9, 0, false) }));
    let diagnostics = client.session.status(NOW).diagnostics;
    assert_eq!((diagnostics.server.expect("a server").head, diagnostics.cursor), (9, 0));
}

#[test]
fn a_server_is_given_its_time_from_the_welcome_on() {
    let connected = NOW.plus(3 * PROGRESS_GIVE_UP);
    let mut client = Client::greeting_at(connected);
    client.session.handle_frame(connected, &ServerMessage::<EncodedChanges>::Welcome(welcome()).encode());
    client.drive();
    client.session.handle_timeout(connected.plus(HEARTBEAT));
    client.drive();
    assert_eq!(client.closed, None);
}

#[test]
fn a_head_that_is_claimed_and_not_delivered() {
    let mut client = Client::live();
    let Some(ClientMessage::Upload(sent)) = client.sent.last().cloned() else { panic!("an upload went first") };
    client.hears(&ServerMessage::Uploaded(Receipt { until: sent.until, part: 0, last: true }));
    client.hears(&ServerMessage::Download(Download { since: Cursor::ZERO, ..download(0, 3, 0, true) }));
    let pong = |head| ServerMessage::Pong(Pong { number: 1, head, writer: WriterState::Commits });
    client.hears(&pong(cursor(4)));
    assert_eq!(client.session.status(NOW).state, StatusState::Connecting, "an echo alone is not green");
    client.hears(&ServerMessage::Download(download(3, 4, 0, true)));
    assert_eq!(client.session.status(NOW).state, StatusState::Synced);
    assert_eq!(client.closed, None);
}
