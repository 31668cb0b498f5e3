//! What a client is given a name for: tokens, prepared statements, running queries.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::query::logins::lock;

/// How long a token holds after it was last used.
const TOKEN_TIME: Duration = Duration::from_secs(24 * 3600);
/// Tokens, and prepared statements; the one that was used longest ago goes first.
const KEPT_MAX: usize = 10_000;
/// Things by name, of which those that were used longest ago go first.
pub struct Kept<T>(Mutex<HashMap<String, (Instant, T)>>);

impl<T: Clone> Kept<T> {
    pub fn new() -> Kept<T> {
        Kept(Mutex::new(HashMap::new()))
    }

    pub fn put(&self, name: String, thing: T) {
        let mut all = lock(&self.0);
        if all.len() >= KEPT_MAX
            && let Some(oldest) = all.iter().min_by_key(|(_, (at, _))| *at).map(|(name, _)| name.clone())
        {
            all.remove(&oldest);
        }
        all.insert(name, (Instant::now(), thing));
    }

    pub fn get(&self, name: &str) -> Option<T> {
        let mut all = lock(&self.0);
        let (at, thing) = all.get_mut(name).filter(|(at, _)| at.elapsed() < TOKEN_TIME)?;
        *at = Instant::now();
        Some(thing.clone())
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    pub fn take(&self, name: &str) -> Option<T> {
        lock(&self.0).remove(name).map(|(_, thing)| thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_used_longest_ago_goes_first() {
        let kept = Kept::new();
        (0..KEPT_MAX).for_each(|at| kept.put(at.to_string(), at));
        assert_eq!(kept.get("0"), Some(0));
        kept.put("more".to_owned(), 7);
        assert_eq!((kept.get("0"), kept.get("1"), kept.get("more")), (Some(0), None, Some(7)));
        assert_eq!((kept.take("more"), kept.get("more")), (Some(7), None));
    }
}
