//! Text that people and programs hand in: schemas, configuration, bundles, names, JSON values, a request's headers.
//!
//! Where in the flow: each at the door of its own part. Some of it is an operator's; none of it may end the process.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use greenlight_core::SiteId;
use greenlight_server::access::{Caller, KeySet, TokenDigest, TokenFile};
use greenlight_server::json::{from_json, to_json};
use greenlight_server::limits::JWT_KEYS;
use greenlight_server::name::DatabaseName;
use greenlight_server::settings::{DatabaseRule, FileSettings, Pattern, SchemaChoice};
use greenlight_store::bundle::{Replay, Rows};
use greenlight_store::{Schema, ShelvedId};

/// Rows of a bundle that are shown.
const SHOWN: usize = 3;

/// Runs one input: its first byte says what it is.
pub(crate) fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match kind % 6 {
        0 => schema(&text),
        1 => configuration(&text),
        2 => bundle(rest),
        3 => names(&text),
        4 => json(rest),
        _ => headers(&text),
    }
}

/// A schema that is accepted is accepted again, as the same.
fn schema(text: &str) {
    let Ok(schema) = Schema::parse(text) else { return };
    let again = Schema::parse(schema.text()).expect("what was accepted is accepted again");
    assert_eq!((again.id(), again.shape()), (schema.id(), schema.shape()));
}

fn configuration(text: &str) {
    let Ok(file) = toml::from_str::<FileSettings>(text) else { return };
    let rules: Result<Vec<_>, _> = file.database.into_iter().map(DatabaseRule::try_from).collect();
    let (Ok(rules), Ok(name)) = (rules, DatabaseName::parse("shop-42")) else { return };
    drop(SchemaChoice::of(&name, &rules, true, &["shop"]));
}

fn bundle(bytes: &[u8]) {
    let mut replay = Replay::default();
    let mut taken = Ok(());
    // In two pieces, as files are read.
    for piece in bytes.splitn(2, |&byte| byte == 0) {
        taken = taken.and_then(|()| replay.take(piece));
    }
    drop(replay.held(SHOWN));
    drop(replay.choose(if taken.is_ok() { Rows::All } else { Rows::Unacknowledged }));
}

/// What a name lets through stays in the folder that it is put into.
fn names(text: &str) {
    if let Ok(name) = DatabaseName::parse(text) {
        let path = std::path::Path::new("folder").join(name.as_str());
        assert_eq!(path.components().count(), 2, "{name}");
        assert!(path.starts_with("folder") && !name.as_str().starts_with('.'), "{name}");
        assert_eq!(DatabaseName::of_file(name.as_str()), Some(name));
    }
    if let Some((pattern, name)) = text.split_once('\n')
        && let Ok(pattern) = Pattern::new(pattern, "key")
    {
        assert!(!pattern.matches_all() || pattern.matches(name));
    }
    if let Some(site) = SiteId::from_hex(text) {
        assert_eq!(site.to_hex(), text.to_ascii_lowercase());
    }
    if let Some(id) = ShelvedId::from_hex(text) {
        assert_eq!(id.to_hex(), text.to_ascii_lowercase());
    }
    assert!(TokenDigest::from_hex(text).is_none() || text.len() == 64);
    tokens(text);
}

/// Keys and signed tokens: nobody signs under a key that nobody has.
fn tokens(text: &str) {
    const KEYS: &str = r#"{"keys": [{"kty": "oct", "kid": "a", "alg": "HS256", "k": "bm9ib2R5IGtub3dzIHRoaXMgc2VjcmV0IG9mIDMyIGJ5dGVz"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "b", "alg": "EdDSA", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let keys = KeySet::parse(KEYS, None, None).expect("keys that can be used");
    assert!(!matches!(keys.verify(text), Some(Ok(_))), "{text}");
    if let Ok(keys) = KeySet::parse(text, None, None) {
        assert!(keys.len() <= JWT_KEYS);
    }
    let file: Result<TokenFile, _> = serde_json::from_str(text);
    if let Ok(file) = file {
        let again = serde_json::to_string(&file).expect("it can be written");
        assert!(serde_json::from_str::<TokenFile>(&again).is_ok());
    }
}

/// What JSON says as a value of SQLite, it says again.
fn json(bytes: &[u8]) {
    let Ok(json) = serde_json::from_slice(bytes) else { return };
    let Ok(value) = from_json(&json) else { return };
    let again = from_json(&to_json(&value)).expect("what was written can be read");
    assert_eq!(again, value);
}

/// One header a line. Nobody is let in as this machine itself who came through a proxy or under another name.
fn headers(text: &str) {
    let mut headers = HeaderMap::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    let origins = ["https://shop.example".to_owned()];
    let (here, elsewhere) = (SocketAddr::from(([127, 0, 0, 1], 9)), SocketAddr::from(([192, 0, 2, 1], 9)));
    let trusted = ["127.0.0.1/32".parse().expect("a network")];
    let near = Caller::of(here, &headers, &origins, &trusted);
    let far = Caller::of(elsewhere, &headers, &origins, &trusted);
    assert!(!far.is_local);
    assert_eq!(far.address, elsewhere.ip(), "a stranger's headers say nothing of where it is");
    if near.is_local {
        let forwarding = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];
        assert!(!forwarding.iter().any(|name| headers.contains_key(*name)), "{headers:?}");
    }
    assert_eq!((near.is_foreign_page, near.token.is_some()), (far.is_foreign_page, far.token.is_some()));
}
