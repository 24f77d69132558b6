//! One WebSocket: dialled, read and written by a task of its own, over bounded channels.
//!
//! Where in the flow: between the network and the driver. Never looks into a frame.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use greenlight_core::limits::{CONNECT_LIMIT, MAX_FRAME_BYTES, WINDOW_PARTS};
use greenlight_core::protocol::SUBPROTOCOL;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::trust;

/// The close code of a connection that ended without one.
const ABNORMAL: u16 = 1006;
/// Frames on their way to the socket: a window of parts, a window of receipts, and room for heartbeats.
const OUTGOING: usize = 2 * WINDOW_PARTS as usize + 16;
/// A peer that takes nothing for so long is gone.
const WRITE_LIMIT: Duration = Duration::from_secs(15);

/// What happened to a socket.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// It is open.
    Opened,
    /// A binary message.
    Frame(Vec<u8>),
    /// Something else, named.
    Malformed(&'static str),
    /// It is closed, or could not be opened; nothing follows.
    Closed(u16, String),
}

/// A socket that is being dialled or is open. Dropping it ends its task.
#[derive(Debug)]
pub(crate) struct Socket {
    number: u64,
    outgoing: mpsc::Sender<Message>,
    task: JoinHandle<()>,
}

impl Socket {
    /// Dials `address`; everything that happens arrives in `events` with `number`.
    pub(crate) fn dial(number: u64, address: String, events: mpsc::Sender<(u64, SocketEvent)>) -> Self {
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let task = tokio::spawn(async move {
            let (code, reason) = match open(&address).await {
                Err(reason) => (ABNORMAL, reason),
                Ok(stream) => {
                    if events.send((number, SocketEvent::Opened)).await.is_err() {
                        return;
                    }
                    carry(stream, queue, number, &events).await
                }
            };
            // A closed channel means that the driver is gone, and nobody is left to be told.
            let _ = events.send((number, SocketEvent::Closed(code, reason))).await;
        });
        Self { number, outgoing, task }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Queues a frame; `false` when the peer is too slow or gone.
    pub(crate) fn send(&self, frame: Vec<u8>) -> bool {
        self.outgoing.try_send(Message::Binary(frame.into())).is_ok()
    }

    /// Sends what is queued and a close frame, then ends. What happens to it no longer matters.
    pub(crate) fn close(self, code: u16, reason: String) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        if self.outgoing.try_send(Message::Close(Some(frame))).is_err() {
            self.task.abort();
        }
    }
}

async fn open(address: &str) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, String> {
    let mut request = address.into_client_request().map_err(|error| error.to_string())?;
    let protocol = http::HeaderValue::from_static(SUBPROTOCOL);
    request.headers_mut().insert(http::header::SEC_WEBSOCKET_PROTOCOL, protocol);
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_FRAME_BYTES)).max_frame_size(Some(MAX_FRAME_BYTES));
    let is_secure = request.uri().scheme_str() == Some("wss");
    let connector = if is_secure { Some(Connector::Rustls(Arc::new(trust::config()?))) } else { None };
    // `true` turns Nagle's algorithm off: an unset TCP_NODELAY costs 40 ms a change.
    let dialling = connect_async_tls_with_config(request, Some(config), true, connector);
    let dialled = timeout(CONNECT_LIMIT, dialling).await;
    match dialled {
        Err(_) => Err("no connection within the limit".to_owned()),
        Ok(Err(error)) => Err(trust::distrust(&error).unwrap_or_else(|| error.to_string())),
        Ok(Ok((stream, _))) => Ok(stream),
    }
}

async fn carry(
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    mut queue: mpsc::Receiver<Message>,
    number: u64,
    events: &mpsc::Sender<(u64, SocketEvent)>,
) -> (u16, String) {
    let (mut sink, mut source) = stream.split();
    let write = async {
        while let Some(message) = queue.recv().await {
            let closing = message.is_close();
            match timeout(WRITE_LIMIT, sink.send(message)).await {
                Err(_) => return (ABNORMAL, "the server takes nothing".to_owned()),
                Ok(Err(error)) => return (ABNORMAL, error.to_string()),
                Ok(Ok(())) if closing => return (1000, "closed from here".to_owned()),
                Ok(Ok(())) => {}
            }
        }
        (1000, "closed from here".to_owned())
    };
    let read = async {
        loop {
            let event = match source.next().await {
                Some(Ok(Message::Binary(frame))) => SocketEvent::Frame(frame.into()),
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.as_str().to_owned()),
                Some(Ok(Message::Close(None))) | None => return (ABNORMAL, "the connection ended".to_owned()),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Text(_))) => SocketEvent::Malformed("a text message"),
                Some(Err(error)) => return (ABNORMAL, error.to_string()),
            };
            if events.send((number, event)).await.is_err() {
                return (1000, "closed from here".to_owned());
            }
        }
    };
    tokio::select! { end = write => end, end = read => end }
}
