//! Who asks: what access decisions need to know of a request's head.
//!
//! Where in the flow: read off every request before its route runs. Decides nothing of tokens; never believes a
//! forwarding header of anyone but a trusted proxy.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};
use ipnet::IpNet;

use super::{Access, Denied, Pass, Role};
use crate::name::DatabaseName;

/// Headers by which a proxy says that it forwards someone else's request, beside all that begin with [`FORWARDED`].
const FORWARDING: [&str; 3] = ["forwarded", "x-real-ip", "via"];
const FORWARDED: &str = "x-forwarded-";

/// What access decisions need to know of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Where it comes from: the peer, or, behind a trusted proxy, whom that one names.
    pub address: IpAddr,
    /// Whether the peer is this machine itself: by its address, without a forwarding header, under a local name.
    /// A page elsewhere whose name was pointed at this machine comes under another name.
    pub is_local: bool,
    /// Whether the request names an origin that isn't the server's own nor allowed.
    pub is_foreign_page: bool,
    /// The bearer token, if any.
    pub token: Option<Bearer>,
}

/// A token as it came; never printed.
#[derive(Clone)]
pub struct Bearer(String);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer")
    }
}

impl Caller {
    /// Reads what matters of a request's head. Only proxies in `trusted` are believed in whom they forward.
    pub fn of(peer: SocketAddr, headers: &HeaderMap, origins: &[String], trusted: &[IpNet]) -> Self {
        let tells = |name: &str| FORWARDING.contains(&name) || name.starts_with(FORWARDED);
        let forwarded = headers.keys().any(|name| tells(name.as_str()));
        let host = text(headers, header::HOST).unwrap_or_default();
        let peer = peer.ip().to_canonical();
        Self {
            address: client_address(peer, headers, trusted),
            is_local: peer.is_loopback() && !forwarded && is_local_name(host),
            is_foreign_page: text(headers, header::ORIGIN).is_some_and(|origin| is_foreign(origin, host, origins)),
            token: text(headers, header::AUTHORIZATION).and_then(bearer).map(|token| Bearer(token.to_owned())),
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
    ) -> Result<Pass, Denied> {
        let token = self.token.as_ref().map_or("", |token| token.0.as_str());
        self.check_token(access, dev, database, need, token)
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
    ) -> Result<Pass, Denied> {
        if self.is_foreign_page {
            return Err(Denied::Origin);
        }
        let dev = dev && !access.ends_development();
        if dev && self.is_local {
            return Ok(Pass::development());
        }
        if dev && access.is_empty() {
            return Err(Denied::Development);
        }
        access.admit(token, database, need)
    }
}

/// The last address before the trusted proxies: `X-Forwarded-For` is read from its end, where each proxy adds the
/// peer that it saw, so that what a client writes there itself is never reached.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut address = peer;
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(address) {
            break;
        }
        let Ok(named) = hop.trim().parse::<IpAddr>() else { break };
        address = named.to_canonical();
    }
    address
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
    use super::super::{Grant, Who};
    use super::*;

    fn caller(peer: &str, headers: &[(&'static str, &str)]) -> Caller {
        let map = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let trusted = ["127.0.0.1/32".parse().unwrap(), "10.1.0.0/16".parse().unwrap()];
        Caller::of(peer.parse().unwrap(), &map, &["https://shop.example".to_owned()], &trusted)
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
        let forwarded =
            ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-server", "x-forwarded-x"];
        for header in FORWARDING.into_iter().chain(forwarded) {
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
    fn only_trusted_proxies_are_believed() {
        let address = |peer, forwarded: &[&str]| {
            let headers: Vec<_> = forwarded.iter().map(|line| ("x-forwarded-for", *line)).collect();
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, value.parse().unwrap());
            }
            let trusted = ["127.0.0.1/32".parse().unwrap(), "10.1.0.0/16".parse().unwrap()];
            Caller::of(format!("{peer}:9").parse().unwrap(), &map, &[], &trusted).address.to_string()
        };
        assert_eq!(address("203.0.113.7", &[]), "203.0.113.7");
        assert_eq!(address("203.0.113.7", &["198.51.100.1"]), "203.0.113.7", "a stranger's header says nothing");
        assert_eq!(address("127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(address("127.0.0.1", &["1.1.1.1, 198.51.100.1"]), "198.51.100.1", "what the client wrote itself");
        assert_eq!(address("127.0.0.1", &["1.1.1.1", "198.51.100.1"]), "198.51.100.1", "in a line of its own");
        assert_eq!(address("127.0.0.1", &["1.1.1.1, 198.51.100.1, 10.1.2.3"]), "198.51.100.1", "two proxies");
        assert_eq!(address("127.0.0.1", &["::ffff:198.51.100.1"]), "198.51.100.1");
        assert_eq!(address("127.0.0.1", &["unknown"]), "127.0.0.1");
    }

    #[test]
    fn development_is_for_this_machine_and_never_through_a_proxy() {
        let none = Access::default();
        let here = caller("127.0.0.1:9", &[("host", "localhost")]);
        assert_eq!(here.check(&none, true, None, Role::Admin).unwrap().who, Who::Development);
        assert_eq!(here.check(&none, false, None, Role::Admin), Err(Denied::Unauthorized));
        let proxied = caller("127.0.0.1:9", &[("host", "localhost"), ("x-forwarded-for", "10.0.0.1")]);
        assert_eq!(proxied.check(&none, true, None, Role::Read), Err(Denied::Development));
        let page = caller("127.0.0.1:9", &[("host", "localhost"), ("origin", "https://evil.example")]);
        assert_eq!(page.check(&none, true, None, Role::Read), Err(Denied::Origin));
    }

    #[test]
    fn a_bearer_token_is_read_and_never_shown() {
        let access = Access::new(vec![Grant::new("*", Role::Admin, "root").unwrap()]);
        for header in ["Bearer root", "bearer root", "BEARER  root "] {
            let caller = caller("10.0.0.1:9", &[("host", "x"), ("authorization", header)]);
            assert_eq!(caller.check(&access, false, None, Role::Admin).unwrap().role, Role::Admin, "{header}");
            assert!(!format!("{caller:?}").contains("root"));
        }
        for header in ["root", "Basic root", "Bearer"] {
            let caller = caller("10.0.0.1:9", &[("host", "x"), ("authorization", header)]);
            assert_eq!(caller.check(&access, false, None, Role::Read), Err(Denied::Unauthorized), "{header}");
        }
    }
}
