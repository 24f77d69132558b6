//! One client's WebSocket: the driver of a [`ServerSession`].
//!
//! Where in the flow: steps 4 and 6 of a write. It carries frames in, carries out what the session asks for, and
//! tells it the time, the database's head and the writer's word. It decides nothing of the protocol itself.
//! Never reads the database faster than its reader takes the frames: the queue to the socket is short.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use greenlight_core::Now;
use greenlight_core::protocol::{CloseCode, Hello, Refuse, RefuseCode, SUBPROTOCOL};
use greenlight_core::replica::{Applied, Chunk, DigestScope, Digests, Fault};
use greenlight_core::server::{Greeting, Output, ServerSession};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::Instrument as _;

use crate::access::{Access, Denied, Pass, Role, Seat};
use crate::app::{App, Target};
use crate::audit::Event as Audited;
use crate::clock;
use crate::database::{Control, Database, Published, Registration};
use crate::error::ApiError;
use crate::limits::{ACCESS_POLL, CLOSE_LIMIT, CLOSE_REASON_BYTES, MESSAGE_BYTES, OUTGOING_FRAMES, WRITE_LIMIT};
use crate::metrics::Metrics;
use greenlight_core::protocol::WriterState;

/// `GET /{db}/sync`. Who may do what is decided when the hello comes, since it carries the token; pages of other
/// origins are turned away here.
pub(crate) async fn upgrade(
    State(app): State<App>,
    target: Target,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    if target.caller.is_foreign_page {
        return Err(Denied::Origin.into());
    }
    if *app.stopping.borrow() {
        return Err(ApiError::Stopping);
    }
    let upgrade = upgrade.map_err(|_| ApiError::NotASocket)?.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return Err(ApiError::NotASocket);
    }
    let seat = app.socket_seat(&target.caller).ok();
    let permit = app.sockets.clone().try_acquire_owned().ok().zip(seat);
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES).max_frame_size(MESSAGE_BYTES);
    let span = tracing::Span::current();
    Ok(upgrade.on_upgrade(move |socket| {
        let living = async move {
            let begun = Instant::now();
            app.metrics.sockets_opened.add(1);
            let metrics = app.metrics.clone();
            match permit {
                Some(permit) => Driver::new(app, target, socket, permit).run().await,
                None => turn_away(socket).await,
            }
            metrics.sockets_closed.add(1);
            tracing::info!(seconds = begun.elapsed().as_secs(), "the socket has ended");
        };
        living.instrument(span)
    }))
}

async fn turn_away(mut socket: WebSocket) {
    let close = close_message(CloseCode::Overloaded, "this server has as many connections as it takes, or of you");
    if matches!(timeout(WRITE_LIMIT, socket.send(close)).await, Ok(Ok(()))) {
        // The answer to the closing frame; whatever comes, or nothing, ends it.
        drop(timeout(CLOSE_LIMIT, socket.recv()).await);
    }
}

/// What comes back of work that the session asked for.
enum Done {
    Greeted(Box<Result<(Greeting, Welcomed), ApiError>>),
    Read(Result<Chunk, Fault>),
    Applied(Result<Applied, Fault>),
    Digested(Digests),
}

/// What a socket has once its hello was accepted.
struct Welcomed {
    database: Arc<Database>,
    registration: Registration,
    published: watch::Receiver<Published>,
    writer: watch::Receiver<WriterState>,
    /// That of the handshake.
    generation: u64,
    pass: Pass,
    access: watch::Receiver<Arc<Access>>,
}

/// What happens next.
enum Event {
    Frame(Option<Result<Message, axum::Error>>),
    Done(Done),
    Head,
    Writer,
    Control(Control),
    /// Tokens changed, or this one's time is over.
    Access,
    /// What was too much has been waited for.
    Rested,
    Timeout,
    Stop,
    /// The writing half has ended.
    Broken,
}

struct Driver {
    app: App,
    target: Target,
    session: ServerSession,
    incoming: SplitStream<WebSocket>,
    outgoing: mpsc::Sender<Message>,
    writing: tokio::task::JoinHandle<()>,
    /// At most one each of greeting, reading and applying: the session sees to that.
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    welcomed: Option<Welcomed>,
    /// Until when nothing is read, because more came than one caller may send; and how many bytes that were.
    resting: Option<(Instant, usize)>,
    stopping: bool,
    _alive: mpsc::Sender<()>,
    _permit: (OwnedSemaphorePermit, Option<Seat>),
}

impl Driver {
    fn new(app: App, target: Target, socket: WebSocket, permit: (OwnedSemaphorePermit, Option<Seat>)) -> Self {
        let (sink, incoming) = socket.split();
        let (outgoing, frames) = mpsc::channel(OUTGOING_FRAMES);
        let writing = tokio::spawn(write(sink, frames, app.metrics.clone()));
        Self {
            target,
            session: ServerSession::new(clock::now()),
            incoming,
            outgoing,
            writing,
            work: FuturesUnordered::new(),
            welcomed: None,
            resting: None,
            stopping: false,
            _alive: app.alive.clone(),
            _permit: permit,
            app,
        }
    }

    async fn run(mut self) {
        loop {
            let event = self.next().await;
            match event {
                Event::Frame(None | Some(Ok(Message::Close(_)))) | Event::Broken => return,
                Event::Frame(Some(Err(error))) => return self.broken(&error).await,
                Event::Stop => self.stopping = true,
                Event::Control(Control::Lost) => {
                    return self.close(CloseCode::StoreFailed, "the database's writer has ended").await;
                }
                Event::Control(Control::GivenUp) => {
                    return self.close(CloseCode::Overloaded, "the database is being put back from a copy").await;
                }
                Event::Control(Control::Replaced) => {
                    return self.close(CloseCode::StoreFailed, "another file came into the database's place").await;
                }
                Event::Access => {
                    if let Some(word) = self.access_changed() {
                        return self.close(CloseCode::GoingAway, word).await;
                    }
                }
                event => self.handle(event),
            }
            if let Some((code, reason)) = self.drain().await {
                if let Some(refused) = self.session.refused() {
                    self.app.metrics.refused(refused);
                    let entry = self.app.entry(Audited::Refuse, &self.target.caller, Some(&self.target.name));
                    self.app.audit.write(entry.with("code", refused.word()).with("why", &*reason));
                }
                return self.close(code, &reason).await;
            }
            if self.stopping && self.work.is_empty() {
                return self.close(CloseCode::GoingAway, "this server is stopping").await;
            }
            if let Some(welcomed) = &self.welcomed {
                welcomed.registration.report(self.session.report());
            }
        }
    }

    async fn next(&mut self) -> Event {
        let wait = self.session.wake_at().map(|then| clock::until(clock::now(), then));
        let mut stop = self.app.stopping.clone();
        let listening = !self.stopping;
        let rest = self.resting.map(|(until, _)| until);
        tokio::select! {
            frame = self.incoming.next(), if listening && rest.is_none() => Event::Frame(frame),
            () = sleep_until(rest.unwrap_or_else(Instant::now)), if rest.is_some() => Event::Rested,
            Some(done) = self.work.next(), if !self.work.is_empty() => Event::Done(done),
            event = word(&mut self.welcomed) => event,
            () = sleep(wait.unwrap_or_default()), if wait.is_some() => Event::Timeout,
            _ = stop.wait_for(|stopping| *stopping), if listening => Event::Stop,
            _ = &mut self.writing => Event::Broken,
        }
    }

    fn handle(&mut self, event: Event) {
        let now = clock::now();
        match event {
            Event::Frame(Some(Ok(Message::Binary(frame)))) => {
                // An answer must not tell of an older head than what this client was told to be saved.
                if self.welcomed.as_ref().is_some_and(|welcomed| welcomed.published.has_changed().unwrap_or(false)) {
                    self.take_head(now);
                }
                self.app.metrics.frames_in.add(1);
                self.app.metrics.bytes_in.add(frame.len() as u64);
                self.session.handle_frame(now, &frame);
                self.rest(frame.len());
            }
            Event::Frame(Some(Ok(Message::Text(_)))) => self.session.handle_malformed(now, "a text message"),
            // The WebSocket's own pings are answered below this.
            Event::Frame(_)
            | Event::Stop
            | Event::Broken
            | Event::Access
            | Event::Control(Control::Lost | Control::Replaced | Control::GivenUp) => {}
            Event::Rested => {
                if let Some((_, owed)) = self.resting.take() {
                    self.rest(owed);
                }
            }
            Event::Done(Done::Greeted(greeted)) => self.greeted(now, *greeted),
            Event::Done(Done::Read(chunk)) => self.session.handle_chunk(now, chunk),
            Event::Done(Done::Applied(result)) => self.session.handle_applied(now, result),
            Event::Done(Done::Digested(digests)) => self.session.handle_digests(now, digests),
            Event::Head => self.take_head(now),
            Event::Writer => {
                if let Some(welcomed) = &mut self.welcomed {
                    let state = *welcomed.writer.borrow_and_update();
                    self.session.handle_writer(now, state);
                }
            }
            Event::Control(Control::Refuse(refuse)) => self.session.handle_refuse(now, refuse),
            Event::Control(Control::Reset) => {
                let sentence = "the database was emptied on the server and is another one now".to_owned();
                self.session.handle_refuse(now, Refuse { code: RefuseCode::Lineage, sentence });
            }
            Event::Timeout => self.session.handle_timeout(now),
        }
    }

    fn take_head(&mut self, now: Now) {
        let Some(welcomed) = &mut self.welcomed else { return };
        let published = *welcomed.published.borrow_and_update();
        // After a reset the word of it is under way, and its head means nothing here.
        if published.generation == welcomed.generation {
            self.session.handle_head(now, published.head);
        }
    }

    /// Carries out what the session asks for, until it asks for nothing or to close.
    async fn drain(&mut self) -> Option<(CloseCode, String)> {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Greet(hello) => {
                    let greet = greet(self.app.clone(), self.target.clone(), hello);
                    self.work.push(greet.boxed());
                }
                Output::Read(request) => {
                    let database = self.welcomed.as_ref()?.database.clone();
                    self.work.push(async move { Done::Read(database.read(request).await) }.boxed());
                }
                Output::Apply(part) => {
                    let welcomed = self.welcomed.as_ref()?;
                    let (database, generation) = (welcomed.database.clone(), welcomed.generation);
                    self.work.push(async move { Done::Applied(database.apply(part, generation).await) }.boxed());
                }
                Output::Digest(scope) => {
                    let welcomed = self.welcomed.as_ref()?;
                    if let DigestScope::Rows(table, _) = &scope {
                        let site = self.session.report().map(|report| report.site);
                        tracing::warn!(database = %self.target.name, ?site, %table, "a client's rows differ");
                    }
                    let database = welcomed.database.clone();
                    self.work.push(async move { Done::Digested(database.digest(scope).await) }.boxed());
                }
                Output::Send(frame) => {
                    // A queue that stays full for so long has a reader that is too slow; one that is closed has none.
                    match timeout(WRITE_LIMIT, self.outgoing.send(Message::Binary(frame.into()))).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) | Err(_) => return Some((CloseCode::Overloaded, "reading too slowly".to_owned())),
                    }
                }
                Output::Close(code, reason) => return Some((code, reason)),
            }
        }
        None
    }

    fn greeted(&mut self, now: Now, greeted: Result<(Greeting, Welcomed), ApiError>) {
        let greeting = greeted.map(|(greeting, welcomed)| {
            self.welcomed = Some(welcomed);
            greeting
        });
        self.session.handle_greeting(now, greeting.map_err(|error| error.to_refuse()));
    }

    /// Reads on only when the sender's share allows for what just came.
    fn rest(&mut self, bytes: usize) {
        let Some(welcomed) = &self.welcomed else { return };
        let wait = self.app.rates.bytes(&welcomed.pass.who, bytes);
        self.resting = (!wait.is_zero()).then(|| (Instant::now() + wait, bytes));
    }

    /// Asks again what this socket's token allows: goes on, refuses, or, where it allows something else now, says why
    /// to dial again.
    fn access_changed(&mut self) -> Option<&'static str> {
        let welcomed = self.welcomed.as_mut()?;
        let renewed = welcomed.access.borrow_and_update().renew(&welcomed.pass, &self.target.name);
        let entry = self.app.entry(Audited::CloseAccess, &self.target.caller, Some(&self.target.name));
        let entry = entry.by(&welcomed.pass);
        match renewed {
            Ok(pass) if pass.role == welcomed.pass.role => {
                welcomed.pass = pass;
                None
            }
            Ok(pass) => {
                self.app.audit.write(entry.with("now", pass.role.word()));
                Some("what this token allows has changed")
            }
            Err(denied) => {
                let error = ApiError::from(denied);
                self.app.audit.write(entry.with("code", error.code()).with("why", denied.to_string()));
                self.session.handle_refuse(clock::now(), error.to_refuse());
                None
            }
        }
    }

    /// A frame that can't be taken: too large, or not a WebSocket's.
    async fn broken(self, error: &axum::Error) {
        tracing::debug!(database = %self.target.name, "a socket broke: {error}");
        if error.to_string().contains("too long") {
            let reason = format!("a message is larger than {MESSAGE_BYTES} bytes: send it in fragments");
            self.close(CloseCode::TooBig, &reason).await;
        }
    }

    /// Sends what waits and the closing frame, then reads on for a while: a socket that is closed with unread bytes
    /// is reset, and the peer may lose the refusal that was sent before.
    async fn close(self, code: CloseCode, reason: &str) {
        let Self { mut incoming, outgoing, mut writing, .. } = self;
        let closing = async {
            if outgoing.send(close_message(code, reason)).await.is_err() {
                return;
            }
            drop(outgoing);
            // Ends when the peer has answered, or is gone.
            while let Some(Ok(_)) = incoming.next().await {}
        };
        if timeout(CLOSE_LIMIT, closing).await.is_err() {
            writing.abort();
        }
        // Only waited for, so that no task outlives its socket.
        drop((&mut writing).await);
    }
}

/// The next word from the database, for a socket that was welcomed.
async fn word(welcomed: &mut Option<Welcomed>) -> Event {
    let Some(welcomed) = welcomed else { return std::future::pending().await };
    tokio::select! {
        Ok(()) = welcomed.published.changed() => Event::Head,
        Ok(()) = welcomed.writer.changed() => Event::Writer,
        control = welcomed.registration.word() => Event::Control(control),
        Ok(()) = welcomed.access.changed() => Event::Access,
        () = over(welcomed.pass.expires) => Event::Access,
        else => std::future::pending().await,
    }
}

/// Ends when a moment has come, seconds since 1970; never without one. The wall clock is looked at again and again,
/// since it may be set and the machine may sleep.
async fn over(expires: Option<i64>) {
    let Some(expires) = expires else { return std::future::pending().await };
    while clock::wall_ms() / 1000 < expires {
        sleep(ACCESS_POLL).await;
    }
}

/// Answers a hello: who is it, may they, which database, and what does it know of them.
async fn greet(app: App, target: Target, hello: Box<Hello>) -> Done {
    let welcomed = welcome(&app, &target, &hello).await;
    if let Err(error) = &welcomed {
        tracing::info!(database = %target.name, site = %hello.site, "refused: {error}");
    }
    Done::Greeted(Box::new(welcomed))
}

async fn welcome(app: &App, target: &Target, hello: &Hello) -> Result<(Greeting, Welcomed), ApiError> {
    let name = &target.name;
    // What changes from here on is told.
    let mut access = app.gate.subscribe();
    access.mark_unchanged();
    let pass = app.check_hello(target, &hello.token)?;
    let mut database = app.registry.get(name).await?;
    if !database.is_alive_now().await {
        // Another file came into its place, which nobody has noticed before.
        database = app.registry.get(name).await?;
    }
    // Everything that changes is subscribed to before it is read, so that nothing falls between.
    let published = database.published();
    let generation = published.borrow().generation;
    let writer_word = database.writer_state();
    let registration = database.roster().register(hello.site);
    let writer = database.pulse().await;
    let (facts, peer) = database.greet(hello.site, hello.cursor).await?;
    let greeting = Greeting { facts, peer, writer, may_write: pass.role >= Role::Write };
    let entry = app.entry(Audited::Connect, &target.caller, Some(name)).by(&pass);
    app.audit.write(entry.with("site", hello.site.to_hex()).with("agent", &*hello.agent));
    Ok((greeting, Welcomed { database, registration, published, writer: writer_word, generation, pass, access }))
}

/// The writing half: one message at a time, each within its limit. Ends with the queue or with the socket.
async fn write(mut sink: SplitSink<WebSocket, Message>, mut frames: mpsc::Receiver<Message>, metrics: Arc<Metrics>) {
    while let Some(message) = frames.recv().await {
        let bytes = if let Message::Binary(frame) = &message { frame.len() as u64 } else { 0 };
        match timeout(WRITE_LIMIT, sink.send(message)).await {
            Ok(Ok(())) => {
                metrics.frames_out.add(1);
                metrics.bytes_out.add(bytes);
            }
            // Gone, or too slow; the reading half ends with it.
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

fn close_message(code: CloseCode, reason: &str) -> Message {
    let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES)];
    Message::Close(Some(CloseFrame { code: code.number(), reason: reason.into() }))
}
