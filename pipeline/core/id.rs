//! Names of events, packed small. Names of things are the join's ([`crate::join`]).

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// 128 bits of a name: what duplicates are recognised by. Two of a billion names share one with a chance of 2⁻⁶⁹.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Key(pub u128);

impl Key {
    /// The key of a name in several parts; `("ab", "c")` and `("a", "bc")` differ.
    pub fn of(parts: &[&str]) -> Key {
        let mut hash = Xxh3::new();
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Key(hash.digest128())
    }
}

/// A key is a hash already, so that half of it does.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0 as u64);
    }
}
