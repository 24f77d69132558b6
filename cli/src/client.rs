//! A running client: a thread that owns the database and drives core's session.
//!
//! Where in the flow: steps 1 to 3 and 7 to 8 of a write, on a laptop. Never decides what to send: the session does.

use std::thread::JoinHandle;
use std::time::Duration;

use greenlight_core::Status;
use greenlight_core::client::{ClientConfig, ClientSession, Output};
use greenlight_core::replica::{ClientStore, perform};
use greenlight_core::status::describe;
use greenlight_core::time::Now;
use greenlight_store::ClientDatabase;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::socket::{Socket, SocketEvent};
use crate::{ClientError, Remote, Token};

/// Socket events on their way to the driver; a full channel makes the socket's task wait, and with it the server.
const EVENTS: usize = 32;
/// Commands on their way to the driver.
const COMMANDS: usize = 32;
/// How often writes by other processes to the database file are looked for.
const EXTERNAL_POLL: Duration = Duration::from_millis(500);
/// The close code that stands for "could not be opened".
const ABNORMAL: u16 = 1006;

/// What a client syncs with, and as whom.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The server's database.
    pub remote: Remote,
    /// Where its token comes from.
    pub token: Token,
    /// The app's name and version, for the operator's eyes.
    pub agent: String,
}

type Job = Box<dyn FnOnce(&mut ClientDatabase) + Send>;

enum Command {
    Use(Job),
    Pause,
    Resume,
    Retry,
    CatchUp(oneshot::Sender<()>),
    Stop(oneshot::Sender<ClientDatabase>),
}

/// A client that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    thread: JoinHandle<()>,
}

impl Client {
    /// Starts to sync `database`, on a thread of its own.
    ///
    /// # Errors
    /// [`ClientError::System`] when there is no thread, runtime or randomness to be had.
    pub fn start(database: ClientDatabase, settings: ClientSettings) -> Result<Self, ClientError> {
        let system = |error: &dyn std::fmt::Display| ClientError::System(error.to_string());
        // The socket's task has a thread of its own: a long apply must not keep receipts and pings from going out.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| system(&error))?;
        let seed = getrandom::u64().map_err(|error| system(&error))?;
        let clock = Clock::new();
        let session = ClientSession::new(clock.now(), ClientConfig { agent: settings.agent.clone(), seed });
        let (publish, status) = watch::channel(session.status(clock.now()));
        let (commands, queue) = mpsc::channel(COMMANDS);
        let (events, happened) = mpsc::channel(EVENTS);
        let driver = Driver {
            clock,
            session,
            database,
            settings,
            publish,
            socket: None,
            dialled: 0,
            events,
            waiting: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("greenlight-client".to_owned())
            .spawn(move || {
                runtime.block_on(driver.run(queue, happened));
                // A name that is still being looked up is not waited for.
                runtime.shutdown_background();
            })
            .map_err(|error| system(&error))?;
        Ok(Self { commands, status, thread })
    }

    /// The status, as it changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Runs `job` on the database, between two steps of the sync; what it wrote is sent at once.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn with_database<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut ClientDatabase) -> R + Send + 'static,
    ) -> Result<R, ClientError> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |database| {
            // Whoever asked may have gone; the job is done all the same.
            let _ = answer.send(job(database));
        });
        self.order(Command::Use(job)).await?;
        result.await.map_err(|_| ClientError::Stopped)
    }

    /// Closes the connection and stays away until [`Client::resume`].
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn pause(&self) -> Result<(), ClientError> {
        self.order(Command::Pause).await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn resume(&self) -> Result<(), ClientError> {
        self.order(Command::Resume).await
    }

    /// Dials now instead of waiting.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn retry(&self) -> Result<(), ClientError> {
        self.order(Command::Retry).await
    }

    /// Asks the server how far it is, and waits until all of that is here: everything that it had committed before, own
    /// changes among it. Without a connection that takes until there is one.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn catch_up(&self) -> Result<(), ClientError> {
        let (answer, done) = oneshot::channel();
        self.order(Command::CatchUp(answer)).await?;
        done.await.map_err(|_| ClientError::Stopped)
    }

    /// Closes the connection and gives the database back.
    ///
    /// # Errors
    /// [`ClientError::Stopped`] when it has stopped before.
    pub async fn stop(self) -> Result<ClientDatabase, ClientError> {
        let (answer, database) = oneshot::channel();
        self.order(Command::Stop(answer)).await?;
        let database = database.await.map_err(|_| ClientError::Stopped)?;
        self.thread.join().map_err(|_| ClientError::Stopped)?;
        Ok(database)
    }

    async fn order(&self, command: Command) -> Result<(), ClientError> {
        self.commands.send(command).await.map_err(|_| ClientError::Stopped)
    }
}

struct Driver {
    clock: Clock,
    session: ClientSession,
    database: ClientDatabase,
    settings: ClientSettings,
    publish: watch::Sender<Status>,
    socket: Option<Socket>,
    /// How many sockets were dialled: events of an older one are dropped.
    dialled: u64,
    events: mpsc::Sender<(u64, SocketEvent)>,
    /// Who waits for what the server had at that moment.
    waiting: Vec<(Now, oneshot::Sender<()>)>,
}

impl Driver {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut events: mpsc::Receiver<(u64, SocketEvent)>) {
        let mut look = tokio::time::interval(EXTERNAL_POLL);
        loop {
            self.carry_out();
            let far = Instant::now() + EXTERNAL_POLL;
            let wake = self.session.wake_at(self.clock.now()).map_or(far, |at| self.clock.instant(at).into());
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Stop(answer)) => return self.stop(Some(answer)),
                    Some(command) => self.command(command),
                    None => return self.stop(None),
                },
                Some((number, event)) = events.recv() => self.socket_event(number, event),
                () = sleep_until(wake) => self.session.handle_timeout(self.clock.now()),
                _ = look.tick() => self.look_for_writes(),
            }
        }
    }

    /// Does what the session asks until it asks for nothing, then shows the status.
    fn carry_out(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Store(request) => {
                    let reply = perform(&mut self.database, request);
                    self.session.handle_store(self.clock.now(), reply);
                }
                Output::Diverged(tables, rows) => tracing::warn!("{}", describe(&tables, &rows)),
                Output::Connect => self.dial(),
                Output::Send(frame) => self.send(frame),
                Output::Close(code, reason) => {
                    if let Some(socket) = self.socket.take() {
                        socket.close(code.number(), reason);
                    }
                }
            }
        }
        if let Some(caught_up) = self.session.facts().caught_up {
            for (_, answer) in self.waiting.extract_if(.., |(asked, _)| asked.monotonic_ms <= caught_up.monotonic_ms) {
                // Whoever asked may have gone.
                let _ = answer.send(());
            }
        }
        let status = self.session.status(self.clock.now());
        self.publish.send_if_modified(|shown| {
            let differs = *shown != status;
            *shown = status;
            differs
        });
    }

    fn dial(&mut self) {
        self.dialled += 1;
        self.socket = Some(Socket::dial(self.dialled, self.settings.remote.address().to_owned(), self.events.clone()));
    }

    fn send(&mut self, frame: Vec<u8>) {
        let sent = self.socket.as_ref().is_some_and(|socket| socket.send(frame));
        if !sent && self.socket.take().is_some() {
            self.session.handle_closed(self.clock.now(), ABNORMAL, "the server takes nothing");
        }
    }

    fn socket_event(&mut self, number: u64, event: SocketEvent) {
        if self.socket.as_ref().map(Socket::number) != Some(number) {
            return;
        }
        let now = self.clock.now();
        match event {
            SocketEvent::Opened => match self.settings.token.read() {
                Ok(token) => self.session.handle_connected(now, token),
                Err(error) => {
                    self.socket = None;
                    self.session.handle_closed(now, ABNORMAL, &error.to_string());
                }
            },
            SocketEvent::Frame(frame) => self.session.handle_frame(now, &frame),
            SocketEvent::Malformed(what) => self.session.handle_malformed(now, what),
            SocketEvent::Closed(code, reason) => {
                self.socket = None;
                self.session.handle_closed(now, code, &reason);
            }
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Use(job) => {
                job(&mut self.database);
                self.local_commit();
            }
            Command::Pause => self.session.pause(now),
            Command::Resume => self.session.resume(now),
            Command::Retry => self.session.retry(now),
            Command::CatchUp(answer) => {
                self.waiting.push((now, answer));
                self.session.ask_head(now);
            }
            // Handled by the loop, which it ends.
            Command::Stop(_) => {}
        }
    }

    fn look_for_writes(&mut self) {
        match self.database.notice_external() {
            Ok(true) => self.local_commit(),
            Ok(false) => {}
            Err(fault) => self.session.handle_local_fault(self.clock.now(), fault),
        }
    }

    fn local_commit(&mut self) {
        let now = self.clock.now();
        match self.database.outbox() {
            Ok(outbox) => self.session.handle_local_commit(now, outbox),
            Err(fault) => self.session.handle_local_fault(now, fault),
        }
    }

    fn stop(mut self, answer: Option<oneshot::Sender<ClientDatabase>>) {
        self.session.pause(self.clock.now());
        self.carry_out();
        if let Some(answer) = answer {
            // Nobody may wait any more; dropping the database closes it.
            let _ = answer.send(self.database);
        }
    }
}

#[cfg(test)]
mod tests {
    use greenlight_store::{Location, Schema};

    use super::*;

    #[test]
    fn a_client_that_is_stopped_does_not_wait_for_what_it_has_given_up() {
        let schema = Schema::parse("-- schema: shop 1\nCREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY);").unwrap();
        let database = ClientDatabase::open(crate::command::options(Location::Memory).unwrap(), &schema).unwrap();
        let remote = Remote::parse("ws://127.0.0.1:9/shop").unwrap();
        let (over, wait) = std::sync::mpsc::channel::<()>();
        let ended = crate::command::ask(async {
            let settings = ClientSettings { remote, token: Token::None, agent: String::new() };
            let client = Client::start(database, settings)?;
            // As a name that is being looked up.
            let look_up = move |_: &mut ClientDatabase| {
                tokio::task::spawn_blocking(move || wait.recv_timeout(Duration::from_secs(10)));
            };
            client.with_database(look_up).await?;
            client.stop().await.map(drop)
        });
        ended.flatten().unwrap();
        over.send(()).expect("it is still being looked up");
    }
}
