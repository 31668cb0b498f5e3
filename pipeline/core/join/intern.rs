//! Values that much of the state shares are held once.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::row::{SourceRow, Str};
use crate::source::{Agent, Place};

/// At least so many entries before an unused one is looked for.
const SWEEP_FROM: usize = 4_096;

pub(super) struct Interner<T: ?Sized> {
    held: HashTable<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Interner { held: HashTable::new(), sweep_at: SWEEP_FROM }
    }
}

pub(super) fn hash_of<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

impl<T: Hash + Eq + ?Sized> Interner<T> {
    /// The held twin of `value`, or itself.
    pub fn share(&mut self, value: Arc<T>) -> Arc<T> {
        let hash = hash_of(&*value);
        if let Some(held) = self.held.find(hash, |held| **held == *value) {
            return held.clone();
        }
        self.insert(hash, value)
    }

    fn insert(&mut self, hash: u64, value: Arc<T>) -> Arc<T> {
        if self.held.len() >= self.sweep_at {
            self.held.retain(|held| Arc::strong_count(held) > 1);
            self.sweep_at = (self.held.len() * 2).max(SWEEP_FROM);
        }
        self.held.insert_unique(hash, value.clone(), |held| hash_of(&**held));
        value
    }
}

impl Interner<str> {
    pub fn intern(&mut self, text: &str) -> Str {
        let hash = hash_of(text);
        if let Some(held) = self.held.find(hash, |held| **held == *text) {
            return held.clone();
        }
        self.insert(hash, text.into())
    }
}

/// What sessions share. Nothing of it shows in an effect, so it is not part of a snapshot.
#[derive(Default)]
pub(super) struct Shared {
    pub texts: Interner<str>,
    pub sources: Interner<SourceRow>,
    pub agents: Interner<Agent>,
    pub places: Interner<Place>,
}

impl Shared {
    pub fn text(&mut self, text: &str) -> Str {
        self.texts.intern(text)
    }
}
