//! Who may come in, how many at once, and how often.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::replies::Refusal;
use crate::config::{Caller, Keys, Limits};
use crate::telemetry::metrics::{Limit, Metrics};

/// The doors of a collector.
pub struct Admission {
    keys: Keys,
    /// One for each key, so that there are never more than keys.
    buckets: Vec<Mutex<Bucket>>,
    per_second: u32,
    room: Arc<Semaphore>,
    memory: Arc<Memory>,
    metrics: Metrics,
}

/// A place among the requests being worked on, given back when dropped.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    metrics: Metrics,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.collect_requests_in_flight.dec();
    }
}

impl Admission {
    pub fn new(keys: Keys, limits: &Limits, metrics: Metrics) -> Admission {
        let full = Bucket::full(limits.requests_per_second);
        Admission {
            buckets: (0..keys.count()).map(|_| Mutex::new(full.clone())).collect(),
            keys,
            per_second: limits.requests_per_second,
            room: Arc::new(Semaphore::new(limits.concurrent as usize)),
            memory: Arc::new(Memory { limit: limits.memory_bytes, used: AtomicU64::new(0), metrics: metrics.clone() }),
            metrics,
        }
    }

    /// A place to work in.
    ///
    /// # Errors
    /// All are taken.
    pub fn enter(&self) -> Result<Place, Refusal> {
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            self.turn_away("concurrent");
            return Err(Refusal::Busy);
        };
        self.metrics.collect_requests_in_flight.inc();
        Ok(Place { _permit: permit, metrics: self.metrics.clone() })
    }

    /// The account that the request's key belongs to, if it does not come too often.
    ///
    /// # Errors
    /// No key, a wrong one, or one too many requests.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let caller = self.keys.find(presented(headers)?).ok_or(Refusal::WrongKey)?;
        if let Some(bucket) = self.buckets.get(caller.key) {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(wait) = bucket.take(self.per_second, Instant::now()) {
                self.turn_away("rate");
                return Err(Refusal::TooFast { per_second: self.per_second, wait });
            }
        }
        Ok(caller.clone())
    }

    /// Memory for one request's bodies; it holds nothing yet.
    pub fn memory(&self) -> Hold {
        Hold { memory: self.memory.clone(), bytes: 0 }
    }

    /// Counts a request that a limit turned away.
    pub fn turn_away(&self, limit: &'static str) {
        self.metrics.collect_turned_away.get_or_create(&Limit { limit }).inc();
    }
}

/// Whether a request presents a key, right or wrong.
pub fn has_key(headers: &HeaderMap) -> bool {
    presented(headers).is_ok()
}

/// The key of a request: `Authorization: Bearer KEY`, else `X-Callweave-Key`.
fn presented(headers: &HeaderMap) -> Result<&str, Refusal> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let own = || headers.get("x-callweave-key").and_then(|value| value.to_str().ok()).map(str::trim);
    bearer.or_else(own).filter(|key| !key.is_empty()).ok_or(Refusal::NoKey)
}

/// A token bucket: so many a second, and twice as many at once.
#[derive(Debug, Clone)]
pub struct Bucket {
    tokens: f64,
    at: Option<Instant>,
}

impl Bucket {
    pub fn full(per_second: u32) -> Bucket {
        Bucket { tokens: 2.0 * f64::from(per_second), at: None }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// There is none; with the time until there is one.
    pub fn take(&mut self, per_second: u32, now: Instant) -> Result<(), Duration> {
        let per_second = f64::from(per_second);
        let passed = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.at = Some(now);
        self.tokens = (self.tokens + passed * per_second).min(2.0 * per_second);
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.tokens) / per_second));
        }
        self.tokens -= 1.0;
        Ok(())
    }

    /// Whether nobody came for so long.
    pub fn is_full_by(&self, now: Instant, after: Duration) -> bool {
        self.at.is_none_or(|at| now.saturating_duration_since(at) >= after)
    }
}

/// Bytes of all bodies in memory.
struct Memory {
    limit: u64,
    used: AtomicU64,
    metrics: Metrics,
}

/// What one request holds of it, given back when dropped.
pub struct Hold {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Hold {
    /// Takes more.
    ///
    /// # Errors
    /// There is not so much left.
    pub fn grow(&mut self, more: usize) -> Result<(), Refusal> {
        let (more, memory) = (more as u64, &self.memory);
        let fits = |used: u64| used.checked_add(more).filter(|total| *total <= memory.limit);
        if memory.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            memory.metrics.collect_turned_away.get_or_create(&Limit { limit: "memory" }).inc();
            return Err(Refusal::Memory);
        }
        self.bytes += more;
        memory.metrics.collect_body_memory.inc_by(more as f64);
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.memory.metrics.collect_body_memory.dec_by(self.bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Account, Secret};
    use axum::http::HeaderValue;

    fn admission(limits: Limits) -> Admission {
        let account = Account {
            name: "acme".into(),
            keys: vec![Secret::new("the-key-of-acme")],
            settings: None,
            logins: Vec::new(),
        };
        Admission::new(Keys::of(&[account]), &limits, Metrics::new())
    }

    #[test]
    fn keys_are_found_in_either_header() {
        let admission = admission(Limits::default());
        type Headers = &'static [(&'static str, &'static str)];
        let table: &[(Headers, Result<&str, u16>)] = &[
            (&[("authorization", "Bearer the-key-of-acme")], Ok("acme")),
            (&[("authorization", "bearer  the-key-of-acme ")], Ok("acme")),
            (&[("x-callweave-key", "the-key-of-acme")], Ok("acme")),
            (&[("authorization", "Basic abc"), ("x-callweave-key", "the-key-of-acme")], Ok("acme")),
            (&[("authorization", "Bearer other")], Err(401)),
            (&[("authorization", "Bearer ")], Err(401)),
            (&[], Err(401)),
        ];
        for (headers, expected) in table {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
                .collect();
            let found = admission.caller(&headers).map(|caller| caller.account.to_string());
            let found = found.map_err(|refusal| axum::response::IntoResponse::into_response(refusal).status().as_u16());
            assert_eq!(found, expected.map(str::to_owned), "{headers:?}");
        }
    }

    #[test]
    fn room_and_memory_are_bounded_and_given_back() {
        let admission = admission(Limits { concurrent: 2, memory_bytes: 100, ..Limits::default() });
        let (first, second) = (admission.enter(), admission.enter());
        assert!(first.is_ok() && second.is_ok() && admission.enter().is_err());
        drop(first);
        assert!(admission.enter().is_ok());

        let (mut one, mut two) = (admission.memory(), admission.memory());
        assert!(one.grow(60).is_ok() && two.grow(40).is_ok() && two.grow(1).is_err());
        drop(one);
        assert!(two.grow(60).is_ok());
    }

    #[test]
    fn a_bucket_refills_by_time() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut bucket = Bucket::full(10);
        assert_eq!((0..100).filter(|_| bucket.take(10, start).is_ok()).count(), 20, "a burst");
        assert_eq!(bucket.take(10, start), Err(Duration::from_millis(100)));
        assert_eq!((0..100).filter(|_| bucket.take(10, after(500)).is_ok()).count(), 5);
        assert_eq!((0..100).filter(|_| bucket.take(10, after(60_000)).is_ok()).count(), 20, "no more than a burst");
    }
}
