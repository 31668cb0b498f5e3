//! Which events were taken before.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};

use crate::id::Key;
use crate::limits::{DUPLICATE_WINDOW, EVENTS_REMEMBERED};
use crate::time::Time;

/// Keys are hashes already.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    /// Keys write one `u64`, and nothing else; other bytes would do, too.
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type Keys = HashSet<Key, BuildHasherDefault<AsItIs>>;

/// Two generations of keys. They change when the watermark has moved on by [`DUPLICATE_WINDOW`] and
/// [`EVENTS_REMEMBERED`] events were taken since they did last: a key is recognised for at least that, and at most twice.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Seen {
    now: Keys,
    before: Keys,
    /// The watermark at which the generations change next.
    turn: Option<Time>,
    /// How many events had been taken when they changed last.
    turned: u64,
}

impl Seen {
    /// Whether the key is new; from now on it is not.
    pub fn is_new(&mut self, key: Key) -> bool {
        !self.before.contains(&key) && self.now.insert(key)
    }

    /// Whether the generations changed.
    pub fn advance(&mut self, watermark: Time, taken: u64) -> bool {
        if self.turn.is_some_and(|turn| watermark < turn || taken - self.turned < EVENTS_REMEMBERED) {
            return false;
        }
        if self.turn.is_some() {
            self.before = std::mem::take(&mut self.now);
        }
        (self.turn, self.turned) = (Some(watermark.plus(DUPLICATE_WINDOW)), taken);
        true
    }

    pub fn len(&self) -> usize {
        self.now.len() + self.before.len()
    }
}
