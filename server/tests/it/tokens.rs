//! Tokens that come and go while the server runs: the file that `greenlight-server token` keeps, and signed ones.
//!
//! Where in the flow: the operator's command beside a running server, and sockets that are open meanwhile.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use greenlight_core::StatusState;
use greenlight_core::status::Reason;
use greenlight_server::Settings;
use greenlight_server::access::Access;
use greenlight_server::settings::{DatabaseRule, Pattern};
use ring::signature::KeyPair as _;
use serde_json::{Value, json};

use crate::fixture::{NOTES, Server, eventually};
use crate::peer::{Peer, open};

/// A server that lets nobody in but by its files.
pub(crate) fn guard(settings: &mut Settings) {
    settings.dev = false;
    settings.databases = vec![DatabaseRule {
        pattern: Pattern::new("notes*", "pattern").unwrap(),
        schema: "notes".to_owned(),
        create: true,
        max_bytes: None,
    }];
    settings.access = Access::default();
}

/// Runs `greenlight-server token` on a folder.
pub(crate) fn token(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenlight-server"));
    command.arg("token").args(arguments).arg("--data").arg(folder.join("data")).stdin(Stdio::null());
    command.output().unwrap()
}

/// Adds a token and returns its text.
pub(crate) fn add(folder: &Path, name: &str, role: &str, more: &[&str]) -> String {
    let arguments = [&["add", "--name", name, "--role", role, "--database", "notes*"], more].concat();
    let output = token(folder, &arguments);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(text.starts_with("glt_"), "{text}");
    text
}

async fn meta(server: &Server, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    server.request("GET", "/notes/meta", &[("authorization", &bearer)], b"").await.status
}

async fn becomes(server: &Server, token: &str, status: u16) {
    let what = format!("an answer of {status}");
    eventually(&what, || async { (meta(server, token).await == status).then_some(()) }).await;
}

fn now() -> i64 {
    greenlight_server::clock::wall_ms() / 1000
}

// --- keys and signed tokens --------------------------------------------------------------------------------------------

const SECRET: &[u8] = b"a secret of the app's own server, long enough";

/// A key that tokens are signed with.
pub(crate) struct Signer {
    kid: &'static str,
    key: Option<ring::signature::Ed25519KeyPair>,
}

impl Signer {
    /// HS256.
    pub(crate) fn secret(kid: &'static str) -> Self {
        Self { kid, key: None }
    }

    /// Ed25519.
    pub(crate) fn pair(kid: &'static str, seed: u8) -> Self {
        Self { kid, key: Some(ring::signature::Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()) }
    }

    /// As an item of a JWK Set.
    pub(crate) fn jwk(&self) -> Value {
        match &self.key {
            None => json!({ "kty": "oct", "kid": self.kid, "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET) }),
            Some(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "alg": "EdDSA", "x": x })
            }
        }
    }

    /// A token.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let algorithm = if self.key.is_some() { "EdDSA" } else { "HS256" };
        self.sign_as(&json!({ "alg": algorithm, "typ": "JWT", "kid": self.kid }), claims)
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = match &self.key {
            Some(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            None => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET);
                ring::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What a good token says.
pub(crate) fn claims(role: &str) -> Value {
    let rights = json!([{ "database": "notes*", "role": role }]);
    json!({ "sub": "alice", "iat": now() - 5, "exp": now() + 600, "greenlight": rights })
}

async fn signed(keys: &[&Signer]) -> Server {
    let folder = crate::fixture::folder();
    let file = folder.path().join("keys.json");
    write_keys(&file, keys);
    Server::start_in(folder, |settings| {
        guard(settings);
        settings.jwks = Some(file);
    })
    .await
}

fn write_keys(file: &Path, keys: &[&Signer]) {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    std::fs::write(file, json!({ "keys": keys }).to_string()).unwrap();
}

// --- tests -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_token_is_taken_over_and_taken_back_while_the_server_runs() {
    let server = Server::start_with(guard).await;
    let folder = server.folder.path();
    let (alice, bob) = (add(folder, "alice", "write", &[]), add(folder, "bob", "write", &[]));
    becomes(&server, &alice, 200).await;
    let peer = Peer::start_with(server.address, "notes", &alice, open(NOTES));
    let other = Peer::start_with(server.address, "notes", &bob, open(NOTES));
    peer.exec("INSERT INTO note (id, title) VALUES (1, 'before')").await;
    other.wait_value("SELECT count(*) FROM note", 1).await;
    other.wait_synced().await;

    let revoked = token(folder, &["revoke", "alice"]);
    assert!(revoked.status.success(), "{revoked:?}");
    let status = peer.wait("let go", |status| status.state == StatusState::Stuck).await;
    assert_eq!(status.reason, Reason::Unauthorized);
    assert_eq!(meta(&server, &alice).await, 401);
    // What is written meanwhile is kept, and nobody else notices anything.
    peer.exec("INSERT INTO note (id, title) VALUES (2, 'kept')").await;
    other.exec("INSERT INTO note (id, title) VALUES (3, 'goes on')").await;
    other.wait_synced().await;
    assert_eq!(peer.status().pending.changes, 3, "the row's marker and two columns");
    let list = String::from_utf8(token(folder, &["list"]).stdout).unwrap();
    assert!(list.contains("bob") && !list.contains("alice") && !list.contains(&bob[4..]), "{list}");
}

#[tokio::test]
async fn what_a_live_token_allows_may_change() {
    let signer = Signer::pair("a", 1);
    let server = signed(&[&signer]).await;
    let file = server.data().join(".tokens.json");
    let text = add(server.folder.path(), "till", "write", &[]);
    becomes(&server, &text, 200).await;
    let peer = Peer::start_with(server.address, "notes", &text, open(NOTES));
    peer.wait_synced().await;
    let kept = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, kept.replace("\"write\"", "\"read\"")).unwrap();
    // It is closed, dials again, and finds out what it may do now.
    let told = || async { peer.status().read_only.then_some(()) };
    eventually("read only", told).await;
    std::fs::write(&file, "{ not json").unwrap();
    let failing = || async { (server.get("/health").await.json()["checks"]["access"] == "unreadable").then_some(()) };
    eventually("the file's fault is told", failing).await;
    assert_eq!(meta(&server, &text).await, 200, "a file that isn't right leaves what was");
    std::fs::write(&file, kept).unwrap();
    eventually("may write again", || async { (!peer.status().read_only).then_some(()) }).await;
    peer.exec("INSERT INTO note (id, title) VALUES (1, 'may write again')").await;
    peer.wait_synced().await;
}

#[tokio::test]
async fn a_token_expires_on_an_open_socket() {
    let server = Server::start_with(guard).await;
    let text = add(server.folder.path(), "for a moment", "write", &["--expires", "4s"]);
    becomes(&server, &text, 200).await;
    let peer = Peer::start_with(server.address, "notes", &text, open(NOTES));
    peer.wait_synced().await;
    let status = peer.wait("expired", |status| status.state == StatusState::Stuck).await;
    assert_eq!(status.reason, Reason::Unauthorized);
    let bearer = format!("Bearer {text}");
    let answer = server.request("GET", "/notes/meta", &[("authorization", &bearer)], b"").await;
    answer.expect_error(401, "unauthorized");
    assert!(answer.text().contains("expired"), "{}", answer.text());
}

#[tokio::test]
async fn signed_tokens_open_what_they_say() {
    let (ed, hs) = (Signer::pair("ed", 1), Signer::secret("hs"));
    let server = signed(&[&ed, &hs]).await;
    for signer in [&ed, &hs] {
        assert_eq!(meta(&server, &signer.sign(&claims("read"))).await, 200);
        let peer = Peer::start_with(server.address, "notes", &signer.sign(&claims("write")), open(NOTES));
        peer.exec("INSERT INTO note (id, title) VALUES (1, 'x')").await;
        peer.wait_synced().await;
    }
    let with = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims("read");
        change(&mut claims);
        claims
    };
    let stranger = Signer::pair("ed", 2);
    let forged = ed.sign(&claims("read")).replacen('.', ".e30", 1);
    for (what, text, status) in [
        ("another key of the same name", stranger.sign(&claims("read")), 401),
        ("an unknown key", Signer::pair("other", 1).sign(&claims("read")), 401),
        ("a changed text", forged, 401),
        ("no algorithm", ed.sign_as(&json!({ "alg": "none", "kid": "ed" }), &claims("read")), 401),
        ("the public key as a secret", hs.sign_as(&json!({ "alg": "HS256", "kid": "ed" }), &claims("read")), 401),
        (
            "a secret's token under another name",
            hs.sign_as(&json!({ "alg": "EdDSA", "kid": "hs" }), &claims("read")),
            401,
        ),
        ("no name of a key among two", ed.sign_as(&json!({ "alg": "EdDSA" }), &claims("read")), 401),
        ("over", ed.sign(&with(&|claims| claims["exp"] = json!(now() - 61))), 401),
        ("over, within the clocks' difference", ed.sign(&with(&|claims| claims["exp"] = json!(now() - 5))), 200),
        ("over at a fraction of a second", ed.sign(&with(&|claims| claims["exp"] = json!(now() as f64 + 9.5))), 200),
        ("not yet", ed.sign(&with(&|claims| claims["nbf"] = json!(now() + 600))), 401),
        ("a moment that is no number", ed.sign(&with(&|claims| claims["nbf"] = json!("tomorrow"))), 401),
        ("without an end", ed.sign(&with(&|claims| drop(claims.as_object_mut().unwrap().remove("exp")))), 401),
        ("without a subject", ed.sign(&with(&|claims| drop(claims.as_object_mut().unwrap().remove("sub")))), 401),
        ("without rights", ed.sign(&with(&|claims| drop(claims.as_object_mut().unwrap().remove("greenlight")))), 401),
        ("an unknown role", ed.sign(&with(&|claims| claims["greenlight"][0]["role"] = json!("owner"))), 401),
        ("another database", ed.sign(&with(&|claims| claims["greenlight"][0]["database"] = json!("shop"))), 403),
    ] {
        assert_eq!(meta(&server, &text).await, status, "{what}");
    }
}

#[tokio::test]
async fn keys_are_changed_while_the_server_runs() {
    let (old, new) = (Signer::pair("2026-10", 1), Signer::pair("2026-11", 2));
    let server = signed(&[&old]).await;
    let file = server.folder.path().join("keys.json");
    let peer = Peer::start_with(server.address, "notes", &old.sign(&claims("write")), open(NOTES));
    peer.wait_synced().await;
    write_keys(&file, &[&old, &new]);
    becomes(&server, &new.sign(&claims("read")), 200).await;
    assert_eq!(peer.status().state, StatusState::Synced, "the old key is good beside the new one");
    write_keys(&file, &[&new]);
    let status = peer.wait("let go", |status| status.state == StatusState::Stuck).await;
    assert_eq!(status.reason, Reason::Unauthorized);
    assert_eq!(meta(&server, &old.sign(&claims("read"))).await, 401);
}

#[tokio::test]
async fn a_subject_is_revoked() {
    let signer = Signer::pair("a", 1);
    let server = signed(&[&signer]).await;
    let before = signer.sign(&claims("write"));
    let peer = Peer::start_with(server.address, "notes", &before, open(NOTES));
    peer.wait_synced().await;
    let output = token(server.folder.path(), &["revoke", "--subject", "alice"]);
    assert!(output.status.success(), "{output:?}");
    peer.wait("let go", |status| status.reason == Reason::Unauthorized).await;
    assert_eq!(meta(&server, &before).await, 401);
    let mut later = claims("write");
    later["iat"] = json!(now() + 1);
    assert_eq!(meta(&server, &signer.sign(&later)).await, 200, "who signs in again gets in again");
    let mut other = claims("write");
    other["sub"] = json!("bob");
    assert_eq!(meta(&server, &signer.sign(&other)).await, 200);
}

#[tokio::test]
async fn for_whom_and_by_whom_a_token_is_may_be_asked() {
    let signer = Signer::pair("a", 1);
    let folder = crate::fixture::folder();
    let file = folder.path().join("keys.json");
    write_keys(&file, &[&signer]);
    let server = Server::start_in(folder, |settings| {
        guard(settings);
        settings.jwks = Some(file);
        settings.jwt_issuer = Some("https://id.example".to_owned());
        settings.jwt_audience = Some("greenlight".to_owned());
    })
    .await;
    let with = |issuer: &str, audience: Value| {
        let mut claims = claims("read");
        claims["iss"] = json!(issuer);
        claims["aud"] = audience;
        signer.sign(&claims)
    };
    assert_eq!(meta(&server, &with("https://id.example", json!("greenlight"))).await, 200);
    assert_eq!(meta(&server, &with("https://id.example", json!(["other", "greenlight"]))).await, 200);
    assert_eq!(meta(&server, &with("https://evil.example", json!("greenlight"))).await, 401);
    assert_eq!(meta(&server, &with("https://id.example", json!("other"))).await, 401);
    assert_eq!(meta(&server, &signer.sign(&claims("read"))).await, 401, "neither is said");
}

#[test]
fn keys_that_can_not_be_used_are_named() {
    use greenlight_server::access::KeySet;
    let short = json!({ "keys": [{ "kty": "oct", "kid": "short-one", "alg": "HS256", "k": "c2hvcnQ" }] });
    let rsa = json!({ "keys": [{ "kty": "RSA", "kid": "rsa-one", "alg": "RS256", "n": "AQAB", "e": "AQAB" }] });
    let unlike = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "unlike", "alg": "HS256", "x": "AQAB" }] });
    let twice = json!({ "keys": [Signer::secret("a").jwk(), Signer::pair("a", 1).jwk()] });
    let mut nameless = Signer::secret("a").jwk();
    nameless.as_object_mut().unwrap().remove("kid");
    for (set, word) in [
        (short, "short-one"),
        (rsa, "rsa-one"),
        (unlike, "unlike"),
        (twice, "kid"),
        (json!({ "keys": [nameless] }), "kid"),
        (json!({ "keyz": 1 }), "JWK Set"),
    ] {
        let error = KeySet::parse(&set.to_string(), None, None).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        assert!(!error.contains("c2hvcnQ"), "{error}");
    }
}
