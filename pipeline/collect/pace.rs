//! How often browsers may come: a bounded table of buckets by address.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::admission::Bucket;

/// Tables side by side, so that one address does not wait for another's.
const TABLES: usize = 16;
/// Addresses of one table. A bucket that nobody came to for as long as it takes to fill says nothing, and makes room.
const ADDRESSES_MAX: usize = 8192;
/// How long a bucket takes to fill: it holds two seconds' worth.
const FULL_AFTER: Duration = Duration::from_secs(2);

/// Buckets by address.
pub struct Paces {
    per_second: u32,
    /// Keyed at random, so that nobody can choose addresses that all fall into one table.
    hasher: RandomState,
    tables: Vec<Mutex<Table>>,
}

struct Table {
    buckets: HashMap<u64, Bucket>,
    /// Of all who find no place: more addresses than there is room for come at once only in an attack.
    rest: Bucket,
    swept: Instant,
}

impl Paces {
    pub fn new(per_second: u32) -> Paces {
        let table = || Table { buckets: HashMap::new(), rest: Bucket::full(per_second), swept: Instant::now() };
        Paces { per_second, hasher: RandomState::new(), tables: (0..TABLES).map(|_| Mutex::new(table())).collect() }
    }

    /// Lets one request of an address in.
    ///
    /// # Errors
    /// It comes too often; with the time after which it may come again.
    pub fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let key = self.hasher.hash_one(network(address));
        let table = &self.tables[key as usize % TABLES];
        table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .bucket(key, self.per_second, now)
            .take(self.per_second, now)
    }
}

impl Table {
    fn bucket(&mut self, key: u64, per_second: u32, now: Instant) -> &mut Bucket {
        if self.buckets.len() >= ADDRESSES_MAX && !self.buckets.contains_key(&key) {
            // Not with every stranger: a sweep looks at all of them.
            if now.saturating_duration_since(self.swept) >= FULL_AFTER {
                self.swept = now;
                self.buckets.retain(|_, bucket| !bucket.is_full_by(now, FULL_AFTER));
            }
            if self.buckets.len() >= ADDRESSES_MAX {
                return &mut self.rest;
            }
        }
        self.buckets.entry(key).or_insert_with(|| Bucket::full(per_second))
    }
}

/// What is counted as one: whoever has an IPv6 network of 64 bits has all its addresses (RFC 6177).
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() & (u128::MAX << 64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn each_address_has_its_own_bucket() {
        let (paces, now) = (Paces::new(5), Instant::now());
        let times = |address: &str| {
            let address: IpAddr = address.parse().expect("an address");
            (0..100).filter(|_| paces.take(address, now).is_ok()).count()
        };
        assert_eq!(times("203.0.113.7"), 10, "a burst");
        assert_eq!(times("::ffff:203.0.113.7"), 0, "the same");
        assert_eq!(times("203.0.113.8"), 10);
        assert_eq!(times("2001:db8::1"), 10);
        assert_eq!(times("2001:db8::2"), 0, "the same network");
        assert_eq!(times("2001:db8:0:1::2"), 10);
    }

    fn kept(paces: &Paces) -> usize {
        paces.tables.iter().map(|table| table.lock().expect("a table").buckets.len()).sum()
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_is_gone() {
        let (paces, start) = (Paces::new(1), Instant::now());
        let all = (TABLES * ADDRESSES_MAX) as u32;
        let come = |from: u32, count: u32, now| {
            (from..from + count).filter(|at| paces.take(Ipv4Addr::from_bits(*at).into(), now).is_ok()).count()
        };
        let let_in = come(0, 2 * all, start);
        assert!(kept(&paces) <= TABLES * ADDRESSES_MAX, "{} are kept", kept(&paces));
        assert!(let_in < (all + all / 8) as usize, "{let_in} of {} strangers", 2 * all);
        let later = start + Duration::from_secs(3);
        assert_eq!(come(3 * all, 1000, later), 1000, "there is room again");
        assert!(kept(&paces) <= 1000 + TABLES * ADDRESSES_MAX / 2, "{} are kept", kept(&paces));
        assert!(paces.take(Ipv6Addr::LOCALHOST.into(), later).is_ok());
    }
}
