//! What a worker remembers so that it need not look the same thing up again. It never changes an answer.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

/// The answers to the latest keys. Two generations: when the young one is full it becomes the old one, and what is
/// asked for again comes back to the young. So what is in use stays, at most twice `capacity` is held, and no key is
/// ever looked for in order.
pub(super) struct Cache<V> {
    young: FxHashMap<u128, V>,
    old: FxHashMap<u128, V>,
    capacity: usize,
}

impl<V: Clone> Cache<V> {
    pub(super) fn new(capacity: usize) -> Cache<V> {
        Cache { young: FxHashMap::default(), old: FxHashMap::default(), capacity }
    }

    pub(super) fn get_or_make(&mut self, key: u128, make: impl FnOnce() -> V) -> V {
        if let Some(value) = self.young.get(&key) {
            return value.clone();
        }
        let value = self.old.get(&key).cloned().unwrap_or_else(make);
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value.clone());
        value
    }
}

/// One shared copy of each value, so that a session costs a pointer. Bounded: when full it starts anew, and those who
/// hold a value keep it.
pub(super) struct Shared<T> {
    values: FxHashSet<Arc<T>>,
    capacity: usize,
}

impl<T: Eq + Hash> Shared<T>
where
    Arc<T>: Borrow<T>,
{
    pub(super) fn new(capacity: usize) -> Shared<T> {
        Shared { values: FxHashSet::default(), capacity }
    }

    pub(super) fn share(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.values.get(&value) {
            return Arc::clone(known);
        }
        if self.values.len() >= self.capacity {
            self.values.clear();
        }
        let value = Arc::new(value);
        self.values.insert(Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_bounded_and_keeps_what_is_in_use() {
        let mut cache = Cache::new(4);
        let mut made = Vec::new();
        for key in 0..1_000 {
            for key in [0, key] {
                assert_eq!(
                    cache.get_or_make(key, || {
                        made.push(key);
                        key
                    }),
                    key
                );
            }
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert_eq!(made, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn equal_values_are_shared_within_the_bound() {
        let mut shared = Shared::new(2);
        let one = shared.share("one".to_owned());
        assert!(Arc::ptr_eq(&one, &shared.share("one".to_owned())));
        for n in 0..10 {
            shared.share(n.to_string());
            assert!(shared.values.len() <= 2);
        }
        assert_eq!(*one, "one");
    }
}
