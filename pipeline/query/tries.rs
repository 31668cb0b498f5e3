//! How often a password may be wrong.
//!
//! Counted by name, in a fixed number of places that names share by chance: whoever guesses at a million names takes no memory.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::logins::lock;

/// Wrong passwords of one name within [`WITHIN`]; after them none is looked at for the rest of that time.
pub(super) const WRONG_MAX: u32 = 10;
/// From the first of them on.
pub(super) const WITHIN: Duration = Duration::from_secs(60);
const PLACES: usize = 4096;

pub(super) struct Tries {
    /// Keyed by chance, so that nobody can choose names that share a place with another.
    hash: RandomState,
    places: Mutex<Vec<Place>>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    wrong: u32,
    since: Option<Instant>,
}

impl Place {
    fn left(&self, now: Instant) -> Option<Duration> {
        WITHIN.checked_sub(now.duration_since(self.since?)).filter(|left| !left.is_zero())
    }
}

impl Default for Tries {
    fn default() -> Tries {
        Tries { hash: RandomState::new(), places: Mutex::new(vec![Place::default(); PLACES]) }
    }
}

impl Tries {
    fn place(&self, name: &str) -> usize {
        (self.hash.hash_one(name) % PLACES as u64) as usize
    }

    /// How long this name has to wait, because too many passwords were wrong.
    pub fn wait(&self, name: &str, now: Instant) -> Option<Duration> {
        let place = lock(&self.places)[self.place(name)];
        place.left(now).filter(|_| place.wrong >= WRONG_MAX)
    }

    pub fn wrong(&self, name: &str, now: Instant) {
        let at = self.place(name);
        let place = &mut lock(&self.places)[at];
        if place.left(now).is_none() {
            *place = Place { wrong: 0, since: Some(now) };
        }
        place.wrong = place.wrong.saturating_add(1);
        if place.wrong == WRONG_MAX {
            tracing::warn!(wrong = WRONG_MAX, "too many wrong passwords of one login: none is looked at for a while");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_waits_after_ten_wrong_passwords() {
        let (tries, start) = (Tries::default(), Instant::now());
        for _ in 0..WRONG_MAX {
            assert_eq!(tries.wait("anna@acme", start), None);
            tries.wrong("anna@acme", start);
        }
        assert_eq!(tries.wait("anna@acme", start), Some(WITHIN));
        assert_eq!(tries.wait("anna@acme", start + WITHIN / 2), Some(WITHIN / 2));
        assert_eq!(tries.wait("anna@acme", start + WITHIN), None);
        tries.wrong("anna@acme", start + WITHIN);
        assert_eq!(tries.wait("anna@acme", start + WITHIN), None, "a new minute begins");
    }

    #[test]
    fn others_do_not_wait_for_it() {
        let (tries, start) = (Tries::default(), Instant::now());
        (0..=WRONG_MAX).for_each(|_| tries.wrong("anna@acme", start));
        let waiting = (0..100).filter(|n| tries.wait(&format!("ben{n}@acme"), start).is_some()).count();
        assert!(waiting < 5, "{waiting} of 100 names share its place");
    }
}
