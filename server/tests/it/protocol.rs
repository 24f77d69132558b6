//! The socket's edges: frames that are not right, too large, too early, too many; silence; takeover.
//!
//! Where in the flow: a peer that is broken, or no friend.

use futures_util::{SinkExt, StreamExt};
use greenlight_core::client::{ClientConfig, ClientSession, Output};
use greenlight_core::protocol::ServerMessage;
use greenlight_core::replica::perform;
use greenlight_server::limits::MESSAGE_BYTES;
use greenlight_store::ClientDatabase;
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{DEADLINE, NOTES, Server, eventually};
use crate::peer::{Peer, Socket, dial, now, open};

/// The hello that a client with this database would say.
pub(crate) fn hello(store: &mut ClientDatabase) -> Vec<u8> {
    let mut session = ClientSession::new(now(), ClientConfig { agent: "by hand".to_owned(), seed: 1 });
    loop {
        match session.poll_output().expect("a hello before it waits") {
            Output::Store(request) => session.handle_store(now(), perform(store, request)),
            Output::Connect => session.handle_connected(now(), String::new()),
            Output::Send(frame) => return frame,
            Output::Close(..) | Output::Diverged(..) => panic!("nothing to close or to report"),
        }
    }
}

/// Waits for the closing frame.
pub(crate) async fn closed(socket: &mut Socket) -> (u16, String) {
    let end = timeout(DEADLINE, async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.as_str().to_owned()),
                Some(Ok(_)) => {}
                other => panic!("ended without a closing frame: {other:?}"),
            }
        }
    });
    end.await.expect("closed in time")
}

pub(crate) async fn message(socket: &mut Socket) -> ServerMessage<Vec<greenlight_core::Change>> {
    match timeout(DEADLINE, socket.next()).await.expect("a message in time") {
        Some(Ok(Message::Binary(frame))) => ServerMessage::decode(&frame).unwrap(),
        other => panic!("not a message: {other:?}"),
    }
}

#[tokio::test]
async fn what_can_not_be_read_closes_with_a_code() {
    let server = Server::start().await;
    for (what, code) in [
        (Message::Binary(vec![].into()), 4001),
        (Message::Binary(vec![0xff; 100].into()), 4001),
        (Message::Binary(vec![1].into()), 4001),
        (Message::text("hello"), 4001),
        // A ping, before any hello.
        (Message::Binary([[8, 1, 0, 0].as_slice(), &[0; 9]].concat().into()), 4002),
        (Message::Binary(vec![0; MESSAGE_BYTES + 1].into()), 1009),
    ] {
        let shown = format!("{what:.40?}");
        let mut socket = dial(server.address, "notes", None).await.unwrap();
        // What is too large is refused before it is all read.
        drop(socket.send(what).await);
        assert_eq!(closed(&mut socket).await.0, code, "{shown}");
    }
    let metrics = eventually("all are gone", || async {
        let text = server.get("/metrics").await.text();
        text.contains("\ngreenlight_sockets 0\n").then_some(text)
    });
    metrics.await;
}

#[tokio::test]
async fn a_name_that_is_no_database_is_refused_in_the_protocol() {
    let server = Server::start().await;
    let mut socket = dial(server.address, "nowhere", None).await.unwrap();
    socket.send(Message::Binary(hello(&mut open(NOTES)).into())).await.unwrap();
    let ServerMessage::Refuse(refuse) = message(&mut socket).await else { panic!("not a refusal") };
    assert_eq!(refuse.code, greenlight_core::protocol::RefuseCode::UnknownDatabase);
    assert_eq!(closed(&mut socket).await.0, 4003);
}

#[tokio::test]
async fn the_last_socket_of_a_client_takes_over() {
    let server = Server::start().await;
    let mut store = open(NOTES);
    let frame = hello(&mut store);
    let mut first = dial(server.address, "notes", None).await.unwrap();
    first.send(Message::Binary(frame.clone().into())).await.unwrap();
    assert!(matches!(message(&mut first).await, ServerMessage::Welcome(_)));
    let mut second = dial(server.address, "notes", None).await.unwrap();
    second.send(Message::Binary(frame.into())).await.unwrap();
    assert!(matches!(message(&mut second).await, ServerMessage::Welcome(_)));
    assert_eq!(closed(&mut first).await.0, 4003);
    let status = server.get("/notes/status").await.json();
    assert_eq!(status["clients"].as_array().unwrap().len(), 1, "{status}");
}

#[tokio::test]
async fn a_socket_that_says_nothing_is_closed() {
    let server = Server::start().await;
    let mut socket = dial(server.address, "notes", None).await.unwrap();
    assert_eq!(closed(&mut socket).await.0, 4004);
}

#[tokio::test]
async fn no_more_sockets_than_allowed() {
    let server = Server::start_with(|settings| settings.max_sockets = 1).await;
    let alice = Peer::start(server.address, "notes");
    alice.wait_synced().await;
    let mut socket = dial(server.address, "notes", None).await.unwrap();
    assert_eq!(closed(&mut socket).await.0, 4006);
    alice.exec("INSERT INTO note (id) VALUES (1)").await;
    alice.wait_synced().await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_costs_nobody_anything() {
    let server = Server::start().await;
    let alice = Peer::start(server.address, "notes");
    alice.wait_synced().await;
    let mut deaf = dial(server.address, "notes", None).await.unwrap();
    deaf.send(Message::Binary(hello(&mut open(NOTES)).into())).await.unwrap();
    // Much more than the sockets' own buffers hold.
    for id in 0..40 {
        let sql = "INSERT INTO note (id, body) VALUES (?, randomblob(1000000))";
        server.exec("notes", sql, json!([id])).await;
    }
    alice.wait_value("SELECT count(*) FROM note", 40).await;
    let status = server.get("/notes/status").await.json();
    assert!(status["clients"].as_array().unwrap().len() <= 2, "{status}");
}
