//! HTTP that does harm: heads and bodies without end, too slow, too large, contradicting; readers that never read;
//! connections that say nothing, and more of them than there are places.
//!
//! Where in the flow: over plain TCP. Each ends by a named limit, while an honest client goes on.

use std::time::Duration;

use futures_util::FutureExt;
use greenlight_server::limits::{BODY_LIMIT, HEAD_BYTES, HEAD_LIMIT, MAX_HEADERS, PLAIN_CONNECTIONS, STALL_LIMIT};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::fixture::{DEADLINE, Server};
use crate::hostile_socket;
use crate::siege::{Siege, read_to_end, send_until_closed};

const EXEC: &str = "POST /notes/exec HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

/// All at once, each with a server of its own: they mostly wait.
#[tokio::test]
async fn what_takes_long_ends_by_its_limit() {
    let attacks = [
        what_takes_too_long_is_not_waited_for().boxed_local(),
        connections_that_say_nothing_keep_nobody_out().boxed_local(),
        a_reader_that_never_reads_is_let_go().boxed_local(),
        hostile_socket::what_takes_too_long_is_not_waited_for().boxed_local(),
        hostile_socket::many_sockets_that_say_nothing_keep_nobody_out_for_long().boxed_local(),
    ];
    futures_util::future::join_all(attacks).await;
}

async fn what_takes_too_long_is_not_waited_for() {
    let siege = Siege::begin().await;
    tokio::join!(
        a_head_that_comes_too_slowly_is_not_waited_for(&siege),
        a_connection_that_is_kept_open_ends_when_it_is_not_used(&siege),
        a_body_that_comes_too_slowly_is_not_waited_for(&siege),
    );
    siege.stands().await;
}

async fn connections_that_say_nothing_keep_nobody_out() {
    let siege = Siege::begin_with(&["--max-sockets", "16"]).await;
    let places = 16 + PLAIN_CONNECTIONS;
    let mut silent = Vec::new();
    let begun = std::time::Instant::now();
    for _ in 0..places + 100 {
        silent.push(siege.connect().await);
    }
    siege.stands().await;
    assert!(begun.elapsed() < HEAD_LIMIT, "whoever came later had to wait for the silent ones' time to pass");
    let open = siege.open_sockets();
    assert!(open <= places + 10, "{open} sockets are open");
    // The first gave their places away, the last lose them to time.
    for stream in [0, 50, places, places + 99] {
        read_to_end(&mut silent[stream], HEAD_LIMIT).await;
    }
    siege.stands().await;
}

async fn a_head_that_comes_too_slowly_is_not_waited_for(siege: &Siege) {
    let mut slow = JoinSet::new();
    for _ in 0..50 {
        let mut stream = siege.connect().await;
        slow.spawn(async move {
            stream.write_all(b"GET /notes/meta HTTP/1.1\r\nhost: localhost\r\nx: ").await.unwrap();
            send_until_closed(&mut stream, b"y", Duration::from_millis(300), HEAD_LIMIT).await;
        });
    }
    siege.stands().await;
    while let Some(ended) = slow.join_next().await {
        ended.unwrap();
    }
    siege.stands().await;
}

async fn a_connection_that_is_kept_open_ends_when_it_is_not_used(siege: &Siege) {
    let mut stream = siege.connect().await;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut stream, HEAD_LIMIT).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn connections_do_not_take_the_files_that_databases_need() {
    // Fewer than there are connections: what a system gives who doesn't ask for more.
    let siege = Siege::begin_with_files(200).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(siege.connect().await);
    }
    siege.stands().await;
    let mut stream = siege.connect().await;
    let request = "GET /notes-another/meta HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_to_end(&mut stream, HEAD_LIMIT).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let siege = Siege::begin().await;
    let long = "y".repeat(2 * HEAD_BYTES);
    let many: String = (0..2 * MAX_HEADERS).map(|at| format!("h{at}: x\r\n")).collect();
    for (head, status) in [
        (format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), "431"),
        (format!("GET /notes/meta?{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), "431"),
        (format!("GET /notes/meta HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {long}\r\n\r\n"), "431"),
        (format!("GET /notes/meta HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), "431"),
        ("\0\x01\x02\x03 nonsense\r\n\r\n".to_owned(), "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "400"),
    ] {
        let mut stream = siege.connect().await;
        // Refused before all of it is read.
        drop(stream.write_all(head.as_bytes()).await);
        let answer = read_to_end(&mut stream, HEAD_LIMIT).await;
        let shown = &head[..40.min(head.len())];
        assert!(answer.is_empty() || answer.contains(status), "{shown:?}: {answer}");
    }
    siege.stands().await;
}

#[tokio::test]
async fn a_body_that_contradicts_its_head_is_refused() {
    let siege = Siege::begin().await;
    let body = r#"{"sql":"SELECT 1"}"#;
    for (length, status) in [
        ("content-length: -1\r\n".to_owned(), "400"),
        ("content-length: 18446744073709551616\r\n".to_owned(), "400"),
        ("content-length: 18\r\ncontent-length: 19\r\n".to_owned(), "400"),
        ("content-length: 18\r\ntransfer-encoding: chunked\r\n".to_owned(), "400"),
        ("transfer-encoding: gzip\r\n".to_owned(), "400"),
        // Shorter than what comes: the rest is no request.
        ("content-length: 5\r\n".to_owned(), "400"),
        // Not unpacked: there is nothing here that a few bytes could become many by.
        (format!("content-encoding: gzip\r\nconnection: close\r\ncontent-length: {}\r\n", body.len()), "200"),
    ] {
        let mut stream = siege.connect().await;
        stream.write_all(format!("{EXEC}{length}\r\n{body}").as_bytes()).await.unwrap();
        let answer = read_to_end(&mut stream, HEAD_LIMIT).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{length}: {answer}");
    }
    siege.stands().await;
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let siege = Siege::begin().await;
    let piece = format!("{:x}\r\n{}\r\n", 65_536, "y".repeat(65_536));
    // One that reads its body, and two that don't.
    for head in [EXEC, "GET /notes/meta HTTP/1.1\r\nhost: localhost\r\n", "POST /notes/reset HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = siege.connect().await;
        stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
        send_until_closed(&mut stream, piece.as_bytes(), Duration::ZERO, BODY_LIMIT).await;
    }
    // Promised to those that don't read it, and never sent.
    for head in ["GET /notes/meta HTTP/1.1\r\n", "POST /notes-emptied/reset HTTP/1.1\r\n"] {
        let mut stream = siege.connect().await;
        let promise = format!("{head}host: localhost\r\ncontent-length: 1000000000\r\n\r\n");
        stream.write_all(promise.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut stream, HEAD_LIMIT).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    siege.stands().await;
}

async fn a_body_that_comes_too_slowly_is_not_waited_for(siege: &Siege) {
    let mut stream = siege.connect().await;
    stream.write_all(format!("{EXEC}content-length: 1000\r\n\r\n").as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let sending = tokio::spawn(async move {
        while writing.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    siege.stands().await;
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut answer);
    drop(tokio::time::timeout(2 * BODY_LIMIT, read).await.expect("the server ends it"));
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("\"invalid_body\"") && answer.contains("longer than"), "{answer}");
    sending.await.unwrap();
}

#[tokio::test]
async fn requests_one_behind_the_other_are_answered_in_turn() {
    let siege = Siege::begin().await;
    let mut stream = siege.connect().await;
    let one = "GET /notes/meta HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let last = "GET /nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{}{last}", one.repeat(500)).as_bytes()).await.unwrap();
    let answer = read_to_end(&mut stream, HEAD_LIMIT).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 500);
    assert_eq!(answer.matches("HTTP/1.1 404 ").count(), 1);
}

async fn a_reader_that_never_reads_is_let_go() {
    let siege = Siege::begin().await;
    let fill = "WITH RECURSIVE n (i) AS (SELECT -1 UNION ALL SELECT i - 1 FROM n LIMIT 16)
                INSERT INTO note (id, body) SELECT i, randomblob(1000000) FROM n; DELETE FROM note WHERE id < 0";
    let body = json!({ "sql": fill }).to_string();
    let mut stream = siege.connect().await;
    let head = format!("{EXEC}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_to_end(&mut stream, HEAD_LIMIT).await.starts_with("HTTP/1.1 200 "));
    // A file that fits no buffer, and answers to more questions than anybody reads.
    let questions = "GET /notes/meta HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(50_000);
    let before = siege.open_sockets();
    let mut deaf = Vec::new();
    for request in ["GET /notes/file HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), questions] {
        for _ in 0..5 {
            let mut stream = siege.connect().await;
            let request = request.clone();
            deaf.push(tokio::spawn(async move {
                // The second fails when the server has let go of it.
                drop(stream.write_all(request.as_bytes()).await);
                tokio::time::sleep(STALL_LIMIT + 2 * DEADLINE).await;
                drop(stream);
            }));
        }
    }
    let begun = std::time::Instant::now();
    siege.stands().await;
    while siege.open_sockets() > before {
        assert!(begun.elapsed() < STALL_LIMIT + DEADLINE, "{} sockets are open", siege.open_sockets());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    deaf.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn connects_and_resets_without_end_harm_nobody() {
    let siege = Siege::begin().await;
    for round in 0..600 {
        let mut stream = siege.connect().await;
        if round % 3 == 1 {
            stream.write_all(b"GET /notes/meta HTTP/1.1\r\n").await.unwrap();
        }
        if round % 3 == 2 {
            stream.write_all(b"GET /notes/meta HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        }
        stream.set_zero_linger().unwrap();
    }
    siege.stands().await;
}

#[tokio::test]
async fn databases_are_not_made_without_end() {
    const MOST: usize = 60;
    let server = Server::start_with(|settings| settings.max_databases = MOST).await;
    let mut asking = JoinSet::new();
    let address = server.address;
    for at in 0..MOST + 30 {
        asking.spawn(async move {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let request = format!("GET /notes-{at}/meta HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = read_to_end(&mut stream, HEAD_LIMIT).await;
            answer.get(9..12).unwrap_or_default().to_owned()
        });
    }
    let answers: Vec<String> = asking.join_all().await;
    let count = |status: &str| answers.iter().filter(|answer| *answer == status).count();
    assert_eq!((count("200"), count("503")), (MOST, 30), "{answers:?}");
    let files = std::fs::read_dir(server.data()).unwrap().filter_map(Result::ok);
    let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let made = names.filter(|name| name.starts_with("notes") && !name.ends_with(['l', 'm'])).count();
    assert_eq!(made, MOST);
    // What is there already still has a place.
    std::fs::copy(server.data().join("notes-0"), server.data().join("notes-kept")).unwrap();
    assert_eq!(server.get("/notes-kept/meta").await.status, 200);
    assert_eq!(server.get("/notes-new/meta").await.status, 503);
}
