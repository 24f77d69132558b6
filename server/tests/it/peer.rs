//! A client for tests: core's session over a real socket, with a database in memory.
//!
//! Where in the flow: at the other end of the wire. It decides nothing that a real client wouldn't.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use greenlight_core::client::{ClientConfig, ClientSession, Output};
use greenlight_core::replica::{ClientStore, perform};
use greenlight_core::{Now, Status, StatusState, Value};
use greenlight_server::clock;
use greenlight_store::{ClientDatabase, Location, Options, Schema};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::fixture::{DEADLINE, NOTES};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
/// Where a peer dials: a server that was killed comes back at another port.
pub(crate) type Address = Arc<Mutex<SocketAddr>>;
type Job = Box<dyn FnOnce(&mut ClientDatabase, &mut ClientSession) + Send>;

/// Opens a socket; `origin` is a page's.
pub(crate) async fn dial(address: SocketAddr, database: &str, origin: Option<&str>) -> Result<Socket, Error> {
    let mut request = format!("ws://{address}/{database}/sync").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", HeaderValue::from_static("greenlight.v1"));
    if let Some(origin) = origin {
        headers.insert("origin", HeaderValue::from_str(origin).unwrap());
    }
    Ok(connect_async(request).await?.0)
}

/// A client that runs until it is dropped.
pub(crate) struct Peer {
    jobs: mpsc::Sender<Job>,
    status: watch::Receiver<Status>,
}

impl Peer {
    pub(crate) fn start(address: SocketAddr, database: &str) -> Self {
        Self::start_with(address, database, "", open(NOTES))
    }

    pub(crate) fn start_with(address: SocketAddr, database: &str, token: &str, store: ClientDatabase) -> Self {
        Self::start_at(Arc::new(Mutex::new(address)), database, token, store)
    }

    pub(crate) fn start_at(address: Address, database: &str, token: &str, store: ClientDatabase) -> Self {
        let config = ClientConfig { agent: "test".to_owned(), seed: 7 };
        let session = ClientSession::new(clock::now(), config);
        let (publish, status) = watch::channel(session.status(clock::now()));
        let (jobs, queue) = mpsc::channel(16);
        let driver = Driver {
            address,
            database: database.to_owned(),
            token: token.to_owned(),
            session,
            store,
            publish,
            sink: None,
            stream: None,
        };
        tokio::spawn(driver.run(queue));
        Self { jobs, status }
    }

    /// Runs SQL as the app would, and returns its rows.
    pub(crate) async fn exec(&self, sql: &str) -> Vec<Vec<Value>> {
        let sql = sql.to_owned();
        self.with(move |store, session| {
            let (answer, commit) = store.exec(&sql, &[]).unwrap();
            session.handle_local_commit(clock::now(), commit.outbox);
            answer.rows
        })
        .await
    }

    /// The first column of the first row.
    pub(crate) async fn value(&self, sql: &str) -> Value {
        self.exec(sql).await.remove(0).remove(0)
    }

    /// Waits until a query gives a value.
    pub(crate) async fn wait_value(&self, sql: &str, value: impl Into<Number>) {
        let Number(wanted) = value.into();
        let found = crate::fixture::eventually(sql, || async {
            let found = self.value(sql).await;
            (found == wanted).then_some(found)
        });
        found.await;
    }

    /// Waits until the status fits.
    pub(crate) async fn wait(&self, what: &str, fits: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.status.clone();
        let found = tokio::time::timeout(DEADLINE, status.wait_for(|status| fits(status))).await;
        match found {
            Ok(status) => status.expect("the client runs").clone(),
            Err(_) => panic!("waited in vain for {what}: {:?}", *self.status.borrow()),
        }
    }

    pub(crate) async fn wait_synced(&self) -> Status {
        self.wait("synced", |status| status.state == StatusState::Synced).await
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub(crate) async fn with<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut ClientDatabase, &mut ClientSession) -> T + Send + 'static,
    ) -> T {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |store, session| drop(answer.send(job(store, session))));
        assert!(self.jobs.send(job).await.is_ok(), "the client runs");
        result.await.unwrap()
    }
}

/// A number or a text, as a value.
pub(crate) struct Number(Value);

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self(Value::Integer(number))
    }
}

impl From<&str> for Number {
    fn from(text: &str) -> Self {
        Self(Value::Text(text.to_owned()))
    }
}

/// A client's database in memory.
pub(crate) fn open(schema: &str) -> ClientDatabase {
    let options = Options::system(Location::Memory, clock::wall_ms).unwrap();
    ClientDatabase::open(options, &Schema::parse(schema).unwrap()).unwrap()
}

struct Driver {
    address: Address,
    database: String,
    token: String,
    session: ClientSession,
    store: ClientDatabase,
    publish: watch::Sender<Status>,
    sink: Option<SplitSink<Socket, Message>>,
    stream: Option<SplitStream<Socket>>,
}

impl Driver {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            self.carry_out().await;
            let wake = self.session.wake_at(clock::now()).map(|then| clock::until(clock::now(), then));
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => job(&mut self.store, &mut self.session),
                    None => return,
                },
                message = next(&mut self.stream) => self.message(message),
                () = tokio::time::sleep(wake.unwrap_or(Duration::from_secs(1))) => {
                    self.session.handle_timeout(clock::now());
                }
            }
        }
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Diverged(..) => {}
                Output::Store(request) => {
                    let reply = perform(&mut self.store, request);
                    self.session.handle_store(clock::now(), reply);
                }
                Output::Connect => match dial(self.dialled(), &self.database, None).await {
                    Ok(socket) => {
                        let (sink, stream) = socket.split();
                        (self.sink, self.stream) = (Some(sink), Some(stream));
                        self.session.handle_connected(clock::now(), self.token.clone());
                    }
                    Err(error) => self.session.handle_closed(clock::now(), 1006, &error.to_string()),
                },
                Output::Send(frame) => {
                    if let Some(sink) = &mut self.sink
                        && sink.send(Message::Binary(frame.into())).await.is_err()
                    {
                        self.closed(1006, "broken");
                    }
                }
                Output::Close(..) => {
                    self.stream = None;
                    if let Some(mut sink) = self.sink.take() {
                        // The server may have gone before.
                        drop(sink.close().await);
                    }
                }
            }
        }
        let status = self.session.status(clock::now());
        self.publish.send_if_modified(|shown| std::mem::replace(shown, status.clone()) != status);
    }

    fn dialled(&self) -> SocketAddr {
        *self.address.lock().unwrap()
    }

    fn message(&mut self, message: Option<Result<Message, Error>>) {
        match message {
            Some(Ok(Message::Binary(frame))) => self.session.handle_frame(clock::now(), &frame),
            Some(Ok(Message::Close(Some(frame)))) => self.closed(frame.code.into(), frame.reason.as_str()),
            Some(Ok(Message::Close(None)) | Err(_)) | None => self.closed(1006, "broken"),
            Some(Ok(_)) => {}
        }
    }

    fn closed(&mut self, code: u16, reason: &str) {
        (self.sink, self.stream) = (None, None);
        self.session.handle_closed(clock::now(), code, reason);
    }
}

async fn next(stream: &mut Option<SplitStream<Socket>>) -> Option<Result<Message, Error>> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

/// The outbox, as SQL counts it, for comparing with what the status says.
pub(crate) fn pending(store: &mut ClientDatabase) -> u64 {
    store.outbox().unwrap().changes
}

/// One reading of the clocks, for tests that drive a session by hand.
pub(crate) fn now() -> Now {
    clock::now()
}
