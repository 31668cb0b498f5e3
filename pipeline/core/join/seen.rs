//! Which events were taken before.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};

use crate::id::Key;
use crate::limits::DUPLICATE_WINDOW;
use crate::time::Time;

/// Keys are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys write one u64")
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type Keys = HashSet<Key, BuildHasherDefault<AsItIs>>;

/// Two generations of keys: one is recognised from when it came until the watermark has moved on by at least
/// [`DUPLICATE_WINDOW`], and forgotten before it has moved on by twice that.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Seen {
    now: Keys,
    before: Keys,
    /// The watermark at which the generations change next.
    turn: Option<Time>,
}

impl Seen {
    /// Whether the key is new; from now on it is not.
    pub fn is_new(&mut self, key: Key) -> bool {
        !self.before.contains(&key) && self.now.insert(key)
    }

    /// Whether the generations changed.
    pub fn advance(&mut self, watermark: Time) -> bool {
        if self.turn.is_some_and(|turn| watermark < turn) {
            return false;
        }
        if self.turn.is_some() {
            self.before = std::mem::take(&mut self.now);
        }
        self.turn = Some(watermark.plus(DUPLICATE_WINDOW));
        true
    }

    pub fn len(&self) -> usize {
        self.now.len() + self.before.len()
    }
}
