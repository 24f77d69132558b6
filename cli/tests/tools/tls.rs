//! A server behind TLS: whoever trusts its authority comes through, and nobody else does.
//!
//! Where in the flow: the real program against a real server, with TLS in front of it.

use std::path::{Path, PathBuf};

use crate::fixture::{Home, Serving, home, said};
use crate::relay::Relay;

/// A server, TLS with a certificate for `name` in front of it, and the file with its authority's certificate.
fn behind_tls(folder: &Path, name: &str) -> (Serving, Relay, PathBuf) {
    let server = home(folder, "server").serve(&["--listen", "127.0.0.1:0"]);
    let authority = folder.join("authority.pem");
    let upstream = server.told["listening"].as_str().unwrap().replace("http://", "");
    let relay = Relay::start(&upstream, name, &authority);
    (server, relay, authority)
}

/// Ends with this code where the authorities in a file are trusted; what it said.
#[track_caller]
fn trusting(home: &Home, authority: &Path, words: &[&str], code: i32) -> String {
    let output = home.command(words).env("SSL_CERT_FILE", authority).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
    said(&output)
}

const SYNC: &[&str] = &["sync", "now", "--timeout", "1"];
const STATUS: &[&str] = &["sync", "status"];

#[test]
fn a_server_of_a_trusted_authority_is_synced_with() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, relay, authority) = behind_tls(folder.path(), "127.0.0.1");
    let remote = format!("wss://{}/shop", relay.address);
    let (alice, bob) =
        (home(folder.path(), "alice").with_remote(&remote), home(folder.path(), "bob").with_remote(&remote));
    alice.write("Emma");
    trusting(&alice, &authority, &["sync", "now"], 0);
    trusting(&bob, &authority, &["sync", "now"], 0);
    assert_eq!(bob.books(), ["Emma"]);
    trusting(&bob, &authority, STATUS, 0);
    assert!(trusting(&bob, &authority, &["doctor"], 0).contains("is well"));
}

#[test]
fn a_server_of_another_authority_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, relay, authority) = behind_tls(folder.path(), "127.0.0.1");
    let alice = home(folder.path(), "alice").with_remote(&format!("wss://{}/shop", relay.address));
    alice.write("Emma");
    let other = folder.path().join("other.pem");
    let _another = Relay::start("127.0.0.1:9", "other.example.com", &other);
    for words in [SYNC, STATUS] {
        let told = trusting(&alice, &other, words, 4);
        assert!(told.contains("an authority that this machine does not trust"), "{told}");
        assert!(told.contains("SSL_CERT_FILE"), "{told}");
        let told = trusting(&alice, &folder.path().join("nothing.pem"), words, 4);
        assert!(told.contains("no certificates of authorities to trust") && told.contains("nothing.pem"), "{told}");
    }
    assert!(trusting(&alice, &other, &["doctor"], 0).contains("an authority that this machine does not trust"));
    trusting(&alice, &authority, STATUS, 7);
}

#[test]
fn a_certificate_for_another_name_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, relay, authority) = behind_tls(folder.path(), "sync.example.com");
    let alice = home(folder.path(), "alice").with_remote(&format!("wss://{}/shop", relay.address));
    for words in [SYNC, STATUS] {
        let told = trusting(&alice, &authority, words, 4);
        assert!(told.contains("its certificate is refused") && told.contains("sync.example.com"), "{told}");
    }
}
