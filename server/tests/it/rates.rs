//! One caller's excess is that caller's own: requests, sockets and bytes.
//!
//! Where in the flow: behind a proxy on this machine, which the server believes in whom it forwards.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use greenlight_core::status::Reason;
use greenlight_server::Settings;
use greenlight_server::access::{Access, Grant, Role};
use greenlight_server::limits::PLAIN_PER_ADDRESS;
use greenlight_server::settings::DatabaseRule;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::{NOTES, Server};
use crate::peer::{Peer, dial, open};
use crate::tokens::guard;

fn tight(settings: &mut Settings) {
    guard(settings);
    settings.access =
        Access::new(vec![Grant::new("*", Role::Admin, "one").unwrap(), Grant::new("*", Role::Admin, "two").unwrap()]);
    settings.rates.requests_per_second = NonZeroU32::MIN;
    settings.rates.request_burst = NonZeroU32::new(10).unwrap();
    settings.rates.sockets_per_address = 2;
}

#[tokio::test]
async fn whoever_asks_too_often_waits_and_nobody_else() {
    let server = Server::start_with(tight).await;
    let ask = async |address: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", address)];
        server.request("GET", "/notes/meta", &headers, b"").await
    };
    for _ in 0..10 {
        ask("203.0.113.1", "unknown").await.expect_error(401, "unauthorized");
    }
    let answer = ask("203.0.113.1", "one").await;
    answer.expect_error(429, "too_many_requests");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    // The same by its token, from wherever it comes.
    let mut last = 0;
    for host in 0..11 {
        last = ask(&format!("198.51.100.{host}"), "one").await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(ask("203.0.113.2", "two").await.status, 200, "another caller");
}

#[tokio::test]
async fn an_address_has_so_many_sockets_and_no_more() {
    let server = Server::start_with(tight).await;
    let first = dial(server.address, "notes", None).await.unwrap();
    let _second = dial(server.address, "notes", None).await.unwrap();
    let mut third = dial(server.address, "notes", None).await.unwrap();
    let close = futures_util::StreamExt::next(&mut third).await.unwrap().unwrap();
    let tokio_tungstenite::tungstenite::Message::Close(Some(frame)) = close else { panic!("{close:?}") };
    assert_eq!(u16::from(frame.code), 4006);
    drop(first);
    let peer = Peer::start_with(server.address, "notes", "one", open(NOTES));
    peer.wait_synced().await;
}

#[tokio::test]
async fn whoever_sends_too_much_is_read_more_slowly_and_loses_nothing() {
    let server = Server::start_with(|settings| {
        tight(settings);
        settings.rates.upload_bytes_per_second = NonZeroU32::new(1024 * 1024).unwrap();
        settings.rates.upload_burst_bytes = NonZeroU32::new(1024 * 1024).unwrap();
    })
    .await;
    let sender = Peer::start_with(server.address, "notes", "one", open(NOTES));
    sender.wait_synced().await;
    let begun = Instant::now();
    for id in 0..4 {
        sender.exec(&format!("INSERT INTO note (id, body) VALUES ({id}, randomblob(1048576))")).await;
    }
    let other = Peer::start_with(server.address, "notes", "two", open(NOTES));
    other.wait_synced().await;
    other.wait_value("SELECT sum(length(body)) FROM note", 4 * 1_048_576).await;
    // The first of the four comes at once.
    assert!(begun.elapsed().as_secs_f64() > 2.0, "{:?}", begun.elapsed());
    sender.wait_synced().await;
}

#[tokio::test]
async fn a_database_that_is_full_takes_no_more_and_the_others_do() {
    let most = |bytes: u64| {
        move |settings: &mut Settings| {
            tight(settings);
            settings.rates = greenlight_server::settings::RateSettings::default();
            let all = settings.databases[0].clone();
            let pattern = greenlight_server::settings::Pattern::new("notes", "pattern").unwrap();
            settings.databases.insert(0, DatabaseRule { pattern, max_bytes: Some(bytes), ..all });
        }
    };
    let server = Server::start_with(most(1024 * 1024)).await;
    let alice = Peer::start_with(server.address, "notes", "one", open(NOTES));
    alice.exec("INSERT INTO note (id, title) VALUES (1, 'small')").await;
    alice.wait_synced().await;
    alice.exec("INSERT INTO note (id, body) VALUES (2, randomblob(2000000))").await;
    alice.wait("told", |status| status.reason == Reason::ServerStorage).await;
    let bob = Peer::start_with(server.address, "notes-2", "one", open(NOTES));
    bob.exec("INSERT INTO note (id, body) VALUES (1, randomblob(2000000))").await;
    bob.wait_synced().await;
    let address = server.address;
    let folder = server.stop().await;
    let server = Server::start_in(folder, |settings| {
        most(8 * 1024 * 1024)(settings);
        settings.listen = address;
    })
    .await;
    alice.wait_synced().await;
    let carol = Peer::start_with(server.address, "notes", "one", open(NOTES));
    carol.wait_value("SELECT sum(length(body)) FROM note", 2_000_000).await;
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_a_proxy_as_many_as_there_are() {
    let hold = async |server: &Server| {
        let mut held = Vec::new();
        for _ in 0..PLAIN_PER_ADDRESS + 2 + 10 {
            held.push(TcpStream::connect(server.address).await.unwrap());
        }
        // One that was turned away is closed at once; the others are waited for, in vain.
        let waiting = held.iter_mut().map(|stream| async {
            let mut byte = [0; 1];
            timeout(Duration::from_secs(1), stream.read(&mut byte)).await.is_err()
        });
        join_all(waiting).await.into_iter().filter(|is_open| *is_open).count()
    };
    let direct = Server::start_with(|settings| {
        tight(settings);
        settings.trusted_proxies.clear();
    })
    .await;
    assert_eq!(hold(&direct).await, PLAIN_PER_ADDRESS + 2);
    let behind = Server::start_with(tight).await;
    assert_eq!(hold(&behind).await, PLAIN_PER_ADDRESS + 2 + 10);
}
