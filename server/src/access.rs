//! Who may do what: roles, tokens, the rules of `--dev`, and which pages may speak to this server.
//!
//! Where in the flow: asked by every route before it does anything, and by the socket when a hello came.
//! Never keeps a token, only its digest; never logs one; never compares in a time that depends on the content.

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use crate::name::DatabaseName;
use crate::settings::Pattern;

/// Headers by which a proxy says that it forwards someone else's request.
const FORWARDING: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

/// What a request may do; each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read: meta, file, and a socket that only receives.
    Read,
    /// Write: a socket that sends.
    Write,
    /// Everything: exec, reset, status.
    Admin,
}

impl Role {
    /// The role's word in configuration and messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The role of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin].into_iter().find(|role| role.word() == word)
    }
}

/// Why a request may not do what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    /// No token, or one that nobody knows.
    #[error("this needs a token that is known here")]
    Unauthorized,
    /// A known token whose role does not reach.
    #[error("this token's role is not enough: `{}` is needed", .0.word())]
    Forbidden(Role),
    /// `--dev`, and the request does not come from this machine itself.
    #[error("this server runs in development: it answers this machine itself and no proxy")]
    Development,
    /// A page of another origin.
    #[error("pages of this origin may not speak to this server; its operator can allow it")]
    Origin,
}

/// The SHA-256 of a token.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Digests a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut digest = [0; 32];
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(digest))
    }
}

/// One configured token.
#[derive(Clone)]
pub struct Grant {
    /// The databases that it opens.
    pub databases: Pattern,
    /// What it allows there.
    pub role: Role,
    /// The token's digest.
    pub digest: TokenDigest,
}

/// Who may come in.
#[derive(Clone, Default)]
pub struct Access {
    grants: Vec<Grant>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Access({} tokens)", self.grants.len())
    }
}

impl Access {
    /// With these tokens.
    pub fn new(grants: Vec<Grant>) -> Self {
        Self { grants }
    }

    /// Whether no token is configured.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// What a token allows on a database, or, without a database, on the server as a whole: there only a grant for
    /// every database counts. `Ok(None)` is a known token without any right here.
    ///
    /// # Errors
    /// [`Denied::Unauthorized`] for a token that no grant knows.
    pub fn role(&self, token: &str, database: Option<&DatabaseName>) -> Result<Option<Role>, Denied> {
        let digest = TokenDigest::of(token);
        let mut known = Choice::from(0);
        let mut best = None;
        for grant in &self.grants {
            let same = grant.digest.0.ct_eq(&digest.0);
            known |= same;
            let here = database.map_or(grant.databases.matches_all(), |name| grant.databases.matches(name.as_str()));
            if here && bool::from(same) {
                best = best.max(Some(grant.role));
            }
        }
        if bool::from(known) { Ok(best) } else { Err(Denied::Unauthorized) }
    }
}

/// What access decisions need to know of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whether the peer is this machine itself: by its address, without a forwarding header, under a local name.
    /// A page elsewhere whose name was pointed at this machine comes under another name.
    pub is_local: bool,
    /// Whether the request names an origin that isn't the server's own nor allowed.
    pub is_foreign_page: bool,
    /// The bearer token, if any.
    pub token: Option<String>,
}

impl Caller {
    /// Reads what matters of a request's head.
    pub fn of(peer: SocketAddr, headers: &HeaderMap, origins: &[String]) -> Self {
        let forwarded = FORWARDING.iter().any(|name| headers.contains_key(*name));
        let host = text(headers, header::HOST).unwrap_or_default();
        Self {
            is_local: peer.ip().to_canonical().is_loopback() && !forwarded && is_local_name(host),
            is_foreign_page: text(headers, header::ORIGIN).is_some_and(|origin| is_foreign(origin, host, origins)),
            token: text(headers, header::AUTHORIZATION).and_then(bearer).map(str::to_owned),
        }
    }

    /// Whether this caller may act in a role, on a database or on the server as a whole.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn check(
        &self,
        access: &Access,
        dev: bool,
        database: Option<&DatabaseName>,
        need: Role,
    ) -> Result<Role, Denied> {
        self.check_token(access, dev, database, need, self.token.as_deref().unwrap_or_default())
    }

    /// The same with a token that came another way: in a hello.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn check_token(
        &self,
        access: &Access,
        dev: bool,
        database: Option<&DatabaseName>,
        need: Role,
        token: &str,
    ) -> Result<Role, Denied> {
        if self.is_foreign_page {
            return Err(Denied::Origin);
        }
        if dev && self.is_local {
            return Ok(Role::Admin);
        }
        if access.is_empty() {
            return Err(if dev { Denied::Development } else { Denied::Unauthorized });
        }
        match access.role(token, database)? {
            Some(role) if role >= need => Ok(role),
            _ => Err(Denied::Forbidden(need)),
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether `host` (with or without a port) names this machine itself.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an origin is neither the server's own, by the host that the request was sent to, nor allowed.
/// The scheme of the own origin isn't compared: TLS may end before this server.
fn is_foreign(origin: &str, host: &str, origins: &[String]) -> bool {
    let origin = origin.to_ascii_lowercase();
    let own = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"))
        .is_some_and(|rest| !host.is_empty() && rest == host.to_ascii_lowercase());
    !own && !origins.contains(&origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(peer: &str, headers: &[(&'static str, &str)]) -> Caller {
        let map = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Caller::of(peer.parse().unwrap(), &map, &["https://shop.example".to_owned()])
    }

    fn grant(databases: &str, role: Role, token: &str) -> Grant {
        Grant { databases: Pattern::new(databases, "database").unwrap(), role, digest: TokenDigest::of(token) }
    }

    #[test]
    fn only_this_machine_itself_is_local() {
        let local = |peer, headers: &[(&'static str, &str)]| caller(peer, headers).is_local;
        assert!(local("127.0.0.1:9", &[("host", "localhost:8080")]));
        assert!(local("[::1]:9", &[("host", "[::1]:8080")]));
        assert!(local("[::ffff:127.0.0.1]:9", &[("host", "127.0.0.1")]));
        assert!(!local("10.0.0.1:9", &[("host", "localhost")]));
        assert!(!local("127.0.0.1:9", &[("host", "evil.example")]));
        assert!(!local("127.0.0.1:9", &[]));
        for header in FORWARDING {
            assert!(!local("127.0.0.1:9", &[("host", "localhost"), (header, "1.2.3.4")]), "{header}");
        }
    }

    #[test]
    fn only_own_and_allowed_pages_may_speak() {
        let foreign = |origin, host| caller("127.0.0.1:9", &[("host", host), ("origin", origin)]).is_foreign_page;
        assert!(!foreign("http://localhost:8080", "localhost:8080"));
        assert!(!foreign("https://sync.example", "sync.example"));
        assert!(!foreign("https://SHOP.example", "sync.example"));
        assert!(foreign("http://localhost:9090", "localhost:8080"));
        assert!(foreign("https://evil.example", "sync.example"));
        assert!(foreign("null", "sync.example"));
        assert!(!caller("127.0.0.1:9", &[("host", "x")]).is_foreign_page);
    }

    #[test]
    fn a_token_opens_what_it_was_given_for() {
        let access = Access::new(vec![grant("shop*", Role::Write, "aaa"), grant("*", Role::Admin, "root")]);
        let shop = DatabaseName::parse("shop-1").unwrap();
        let notes = DatabaseName::parse("notes").unwrap();
        let check = |token: &str, database, need| {
            let header = format!("Bearer {token}");
            caller("10.0.0.1:9", &[("host", "x"), ("authorization", &header)]).check(&access, false, database, need)
        };
        assert_eq!(check("aaa", Some(&shop), Role::Read), Ok(Role::Write));
        assert_eq!(check("aaa", Some(&shop), Role::Admin), Err(Denied::Forbidden(Role::Admin)));
        assert_eq!(check("aaa", Some(&notes), Role::Read), Err(Denied::Forbidden(Role::Read)));
        assert_eq!(check("aaa", None, Role::Admin), Err(Denied::Forbidden(Role::Admin)));
        assert_eq!(check("bbb", Some(&shop), Role::Read), Err(Denied::Unauthorized));
        assert_eq!(check("", Some(&shop), Role::Read), Err(Denied::Unauthorized));
        assert_eq!(check("root", None, Role::Admin), Ok(Role::Admin));
    }

    #[test]
    fn development_is_for_this_machine_and_never_through_a_proxy() {
        let none = Access::default();
        let here = caller("127.0.0.1:9", &[("host", "localhost")]);
        assert_eq!(here.check(&none, true, None, Role::Admin), Ok(Role::Admin));
        assert_eq!(here.check(&none, false, None, Role::Admin), Err(Denied::Unauthorized));
        let proxied = caller("127.0.0.1:9", &[("host", "localhost"), ("x-forwarded-for", "10.0.0.1")]);
        assert_eq!(proxied.check(&none, true, None, Role::Read), Err(Denied::Development));
        let page = caller("127.0.0.1:9", &[("host", "localhost"), ("origin", "https://evil.example")]);
        assert_eq!(page.check(&none, true, None, Role::Read), Err(Denied::Origin));
    }
}
