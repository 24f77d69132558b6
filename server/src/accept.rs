//! Takes connections in, and keeps any of them from costing more than its share.
//!
//! Where in the flow: before the routes, around everything that is read from a socket or written to one. A connection
//! has a place from its first byte to its last, as a WebSocket too, and there are so many places and no more. Never
//! reads a request itself, and never decides who asks: that is for the routes.
//!
//! A place that somebody took and then said nothing in is given to the next who comes, so connections that only wait
//! keep nobody out. What a sender may take for a head, and a reader for taking what it asked for, is limited.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, Sleep, sleep};

use crate::access::Seat;
use crate::app::App;
use crate::limits::{ACCEPT_RETRY, CROWDED_PLACES, HEAD_BYTES, HEAD_LIMIT, MAX_HEADERS, STALL_LIMIT};

/// The places, and who waits in one without having said anything.
#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    silent: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
}

impl Places {
    fn silent(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        // A poisoned lock means that a thread has panicked between two changes; the map is whole.
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place; where none is free, that of the connection which has been silent for longest, else the next that
    /// becomes free.
    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            return Some(place);
        }
        let longest = self.silent().pop_first();
        if longest.is_some_and(|(_, leave)| leave.send(()).is_err()) {
            tracing::trace!("it has gone by itself meanwhile: its place is free");
        }
        self.free.clone().acquire_owned().await.ok()
    }

    /// Whether so few places are left that nobody may keep one between two requests.
    fn are_scarce(&self) -> bool {
        self.free.available_permits() < CROWDED_PLACES
    }
}

/// Serves `router` in at most `places` connections until `stop` becomes true; then takes in no more, and ends when
/// every request that was begun is answered. WebSockets end by themselves.
pub(crate) async fn serve(listener: TcpListener, router: Router, places: usize, app: App, stop: watch::Receiver<bool>) {
    let places = Arc::new(Places { free: Arc::new(Semaphore::new(places)), silent: Mutex::default() });
    // Each connection holds one; when the last is gone, all are answered.
    let (serving, served) = watch::channel(());
    let mut stopped = stop.clone();
    for number in 0.. {
        let taken = async {
            let (stream, peer, seat) = loop {
                let (stream, peer) = accept(&listener).await;
                match app.seat(peer) {
                    Ok(seat) => break (stream, peer, seat),
                    // Closed without a word: there is nobody to read it.
                    Err(()) => tracing::debug!(%peer, "this address has as many connections as it may"),
                }
            };
            Some((stream, peer, (places.take().await?, seat)))
        };
        let taken = tokio::select! {
            taken = taken => taken,
            // An error means that the server has ended already.
            _ = stopped.wait_for(|stop| *stop) => None,
        };
        let Some((stream, peer, place)) = taken else { break };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("a connection without TCP_NODELAY: {error}");
        }
        let (leave, left) = oneshot::channel();
        places.silent().insert(number, leave);
        let visit = Visit { number, peer, places: places.clone(), router: router.clone() };
        let stop = stop.clone();
        let serving = served.clone();
        tokio::spawn(async move {
            visit.serve(Line::new(stream, place), left, stop).await;
            drop(serving);
        });
    }
    drop((listener, served));
    serving.closed().await;
}

/// The next connection.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // Gone before it was taken in.
            Err(error) if is_its_own(&error) => {}
            Err(error) => {
                // As when no more files can be opened: others may close theirs.
                tracing::error!("a connection can't be taken in: {error}");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn is_its_own(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// One connection's stay.
struct Visit {
    number: u64,
    peer: SocketAddr,
    places: Arc<Places>,
    router: Router,
}

impl Visit {
    async fn serve(self, line: Line, left: oneshot::Receiver<()>, mut stop: watch::Receiver<bool>) {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(HEAD_BYTES)
            .max_headers(MAX_HEADERS);
        let service = service_fn(|request| self.answer(request));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(line), service).with_upgrades());
        let mut left = pin!(async {
            // Dropped, not sent, once it has said something.
            if left.await.is_err() {
                std::future::pending().await
            }
        });
        let mut stopping = false;
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::trace!("a connection broke: {error}");
                    }
                    break;
                }
                () = left.as_mut() => break,
                _ = stop.wait_for(|stop| *stop), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
        self.places.silent().remove(&self.number);
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Result<Response<Body>, std::convert::Infallible> {
        self.places.silent().remove(&self.number);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let mut response = TowerToHyperService::new(self.router.clone()).call(request.map(Body::new)).await?;
        if self.places.are_scarce() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// A connection's bytes. Breaks when its reader takes nothing for too long, and gives its place back when it is closed.
struct Line {
    stream: TcpStream,
    /// When the reader has to have taken something, while something waits for it.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: (OwnedSemaphorePermit, Option<Seat>),
}

impl Line {
    fn new(stream: TcpStream, place: (OwnedSemaphorePermit, Option<Seat>)) -> Self {
        Self { stream, stalled: None, _place: place }
    }

    fn progress<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let late = || Box::pin(tokio::time::sleep_until(Instant::now() + STALL_LIMIT));
        ready!(self.stalled.get_or_insert_with(late).as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "what was sent is not read")))
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let outcome = Pin::new(&mut line.stream).poll_write(context, bytes);
        line.progress(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let outcome = Pin::new(&mut line.stream).poll_write_vectored(context, pieces);
        line.progress(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
