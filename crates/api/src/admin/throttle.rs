//! Logins with wrong credentials, and how they slow down their address.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

/// Failures that have no consequence: people mistype.
const FREE: u32 = 5;
/// The wait after one more; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// After so long without a failure, an address is as good as new.
const FORGOTTEN: Duration = Duration::from_secs(900);
/// Addresses that are remembered; the one that failed longest ago goes first.
const MOST_ADDRESSES: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Failures by address, in this process. While an address waits, its logins are refused unseen: so it cannot try many at once
/// either. Sessions, which nobody can guess, go on.
pub(super) struct Throttle(Mutex<LruCache<IpAddr, Failures>>);

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
    /// Until when the next one is refused.
    until: Instant,
}

/// What came of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Right,
    Wrong,
    /// It was not looked at; again after this.
    NotYet(Duration),
}

impl Default for Throttle {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST_ADDRESSES)))
    }
}

impl Throttle {
    /// Looks at credentials, unless their address has to wait.
    pub(super) fn attempt(&self, address: Option<IpAddr>, are_right: impl FnOnce() -> bool) -> Attempt {
        let (address, now) = (network_of(address), Instant::now());
        // Held while the credentials are compared: those that come at once are looked at one after another.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&address).copied().filter(|failures| now < failures.last + FORGOTTEN);
        if let Some(failures) = known
            && now < failures.until
        {
            return Attempt::NotYet(failures.until - now);
        }
        if are_right() {
            all.pop(&address);
            return Attempt::Right;
        }
        let count = known.map_or(0, |failures| failures.count).saturating_add(1);
        let wait = match count.checked_sub(FREE + 1) {
            Some(more) => FIRST_WAIT.saturating_mul(2_u32.saturating_pow(more)).min(LONGEST_WAIT),
            None => Duration::ZERO,
        };
        all.put(address, Failures { count, last: now, until: now + wait });
        Attempt::Wrong
    }
}

/// One client has a whole network of IPv6 addresses, 64 bits of it.
fn network_of(address: Option<IpAddr>) -> IpAddr {
    match address {
        Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => IpAddr::V4(address),
            None => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        },
        Some(address) => address,
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn failures_slow_an_address_down_more_and_more() {
        let throttle = Throttle::default();
        let wrong = |address| throttle.attempt(Some(address), || false);
        for _ in 0..=FREE {
            assert_eq!(wrong(at("10.0.0.1")), Attempt::Wrong);
        }
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let unseen = throttle.attempt(Some(at("10.0.0.1")), || unreachable!("it is not looked at"));
            assert_eq!(unseen, Attempt::NotYet(Duration::from_secs(seconds)));
            assert_eq!(
                throttle.attempt(Some(at("10.0.0.2")), || true),
                Attempt::Right,
                "others are not slowed"
            );
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(wrong(at("10.0.0.1")), Attempt::Wrong);
        }
        tokio::time::advance(LONGEST_WAIT).await;
        assert_eq!(throttle.attempt(Some(at("10.0.0.1")), || true), Attempt::Right);
        for _ in 0..=FREE {
            assert_eq!(wrong(at("10.0.0.1")), Attempt::Wrong, "a success begins anew");
        }
        tokio::time::advance(FORGOTTEN).await;
        for _ in 0..=FREE {
            assert_eq!(wrong(at("10.0.0.1")), Attempt::Wrong, "and so does time");
        }
    }

    #[test]
    fn a_network_is_one_client() {
        assert_eq!(network_of(Some(at("2001:db8::1"))), network_of(Some(at("2001:db8::ffff:1"))));
        assert_ne!(network_of(Some(at("2001:db8::1"))), network_of(Some(at("2001:db8:0:1::1"))));
        assert_eq!(network_of(Some(at("::ffff:10.0.0.1"))), network_of(Some(at("10.0.0.1"))));
        assert_ne!(network_of(Some(at("10.0.0.1"))), network_of(Some(at("10.0.0.2"))));
    }
}
