//! How much one caller may ask for: requests a second, bytes a second, sockets at once.
//!
//! Where in the flow: asked before anything is done for a request, and for each message of a socket. Counts by the
//! client's address, and by the token where one was shown; one caller's excess never touches another's share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{NotUntil, Quota, RateLimiter};

use super::{Caller, Who};
use crate::limits::{PLAIN_PER_ADDRESS, RATE_KEYS};
use crate::settings::RateSettings;

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// Too much for now; how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled(pub Duration);

/// How much one caller may ask for.
pub struct Rates {
    clock: DefaultClock,
    by_address: Limiter<IpAddr>,
    by_who: Limiter<Who>,
    bytes: Limiter<Who>,
    burst_bytes: NonZeroU32,
    sockets: Seats,
    connections: Seats,
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").finish_non_exhaustive()
    }
}

impl Rates {
    /// With these limits.
    pub fn new(settings: &RateSettings) -> Self {
        let requests = Quota::per_second(settings.requests_per_second).allow_burst(settings.request_burst);
        let bytes = Quota::per_second(settings.upload_bytes_per_second).allow_burst(settings.upload_burst_bytes);
        Self {
            clock: DefaultClock::default(),
            by_address: RateLimiter::hashmap(requests),
            by_who: RateLimiter::hashmap(requests),
            bytes: RateLimiter::hashmap(bytes),
            burst_bytes: settings.upload_burst_bytes,
            sockets: Seats::new(settings.sockets_per_address),
            connections: Seats::new(settings.sockets_per_address + PLAIN_PER_ADDRESS),
        }
    }

    /// One request from an address.
    ///
    /// # Errors
    /// [`Throttled`].
    pub fn request(&self, caller: &Caller) -> Result<(), Throttled> {
        if self.by_address.len() > RATE_KEYS {
            self.by_address.retain_recent();
        }
        self.by_address.check_key(&network(caller.address)).map_err(|until| self.wait(&until))
    }

    /// One request by somebody known. Whoever sits at this machine, with `--dev`, isn't counted.
    ///
    /// # Errors
    /// [`Throttled`].
    pub fn admitted(&self, who: &Who) -> Result<(), Throttled> {
        if *who == Who::Development {
            return Ok(());
        }
        if self.by_who.len() > RATE_KEYS {
            self.by_who.retain_recent();
            self.bytes.retain_recent();
        }
        self.by_who.check_key(who).map_err(|until| self.wait(&until))
    }

    /// Bytes of a message by somebody known: how long to wait before the next one is read.
    pub fn bytes(&self, who: &Who, bytes: usize) -> Duration {
        let bytes = u32::try_from(bytes).ok().and_then(NonZeroU32::new);
        let Some(bytes) = bytes.map(|bytes| bytes.min(self.burst_bytes)).filter(|_| *who != Who::Development) else {
            return Duration::ZERO;
        };
        match self.bytes.check_key_n(who, bytes) {
            Ok(Err(until)) => self.wait(&until).0,
            // More than a burst at once can't come: see above.
            Ok(Ok(())) | Err(_) => Duration::ZERO,
        }
    }

    /// A seat for one more socket of an address, until it is dropped; `None` where it has as many as it may.
    pub fn socket(&self, address: IpAddr) -> Option<Seat> {
        self.sockets.take(address)
    }

    /// The same for one more connection, whatever it is for. Not to be asked about a proxy, through which many come.
    pub fn connection(&self, address: IpAddr) -> Option<Seat> {
        self.connections.take(address)
    }

    fn wait(&self, until: &NotUntil<<DefaultClock as governor::clock::Clock>::Instant>) -> Throttled {
        Throttled(until.wait_time_from(self.clock.now()))
    }
}

/// So many seats for each address.
#[derive(Debug)]
struct Seats {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
}

impl Seats {
    fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    fn take(&self, address: IpAddr) -> Option<Seat> {
        let address = network(address.to_canonical());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { address, taken: self.taken.clone() })
    }
}

/// One of an address's seats; dropping it gives it back.
#[derive(Debug)]
pub struct Seat {
    address: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// Whom an address counts for: of IPv6 the /64 network, which is what one household or host is given.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn few() -> Rates {
        let number = |number| NonZeroU32::new(number).unwrap();
        Rates::new(&RateSettings {
            requests_per_second: number(1),
            request_burst: number(3),
            upload_bytes_per_second: number(1_000),
            upload_burst_bytes: number(10_000),
            sockets_per_address: 2,
        })
    }

    fn caller(address: &str) -> Caller {
        Caller { address: address.parse().unwrap(), is_local: false, is_foreign_page: false, token: None }
    }

    #[test]
    fn an_address_has_its_own_share() {
        let rates = few();
        for _ in 0..3 {
            rates.request(&caller("203.0.113.1")).unwrap();
        }
        let Throttled(wait) = rates.request(&caller("203.0.113.1")).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1));
        rates.request(&caller("203.0.113.2")).unwrap();
    }

    #[test]
    fn a_household_is_one_address() {
        let rates = few();
        for host in 1..=3 {
            rates.request(&caller(&format!("2001:db8:0:1::{host}"))).unwrap();
        }
        rates.request(&caller("2001:db8:0:1::4")).unwrap_err();
        rates.request(&caller("2001:db8:0:2::1")).unwrap();
    }

    #[test]
    fn whoever_sends_more_waits_and_others_do_not() {
        let rates = few();
        let (a, b) = (Who::Token("a".to_owned()), Who::Token("b".to_owned()));
        assert_eq!(rates.bytes(&a, 9_000), Duration::ZERO);
        assert!(rates.bytes(&a, 9_000) > Duration::from_secs(1));
        assert!(rates.bytes(&a, 90_000_000) > Duration::from_secs(1), "more than can ever be is as much as can be");
        assert_eq!(rates.bytes(&b, 9_000), Duration::ZERO);
        assert_eq!(rates.bytes(&Who::Development, 9_000_000), Duration::ZERO);
    }

    #[test]
    fn a_socket_gives_its_place_back() {
        let rates = few();
        let address = "203.0.113.1".parse().unwrap();
        let (first, _second) = (rates.socket(address).unwrap(), rates.socket(address).unwrap());
        assert!(rates.socket(address).is_none());
        assert!(rates.socket("203.0.113.2".parse().unwrap()).is_some());
        drop(first);
        assert!(rates.socket(address).is_some());
        // Connections are counted apart: each socket is one, and some more are for everything else.
        let seats: Vec<_> = std::iter::from_fn(|| rates.connection(address)).collect();
        assert_eq!(seats.len(), 2 + PLAIN_PER_ADDRESS);
    }
}
