//! Names of events, packed small. Names of things are the join's ([`crate::join`]).

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// 128 bits of a name: what duplicates are recognised by. Two of a billion names share one with a chance of 2⁻⁶⁹.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Key(pub u128);

/// Bytes of a name that are hashed at once.
const SHORT: usize = 128;

impl Key {
    /// The key of a name in several parts; `("ab", "c")` and `("a", "bc")` differ.
    pub fn of(parts: &[&str]) -> Key {
        // Most names are short: all in one go, they cost a fifth.
        let mut bytes = [0; SHORT];
        let mut length = 0;
        for part in parts {
            let Some(room) = bytes.get_mut(length..length + 8 + part.len()) else { return Key::of_long(parts) };
            room[..8].copy_from_slice(&(part.len() as u64).to_le_bytes());
            room[8..].copy_from_slice(part.as_bytes());
            length += 8 + part.len();
        }
        Key(xxh3_128(&bytes[..length]))
    }

    fn of_long(parts: &[&str]) -> Key {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_is_the_same_however_it_is_made(a in "\\PC{0,90}", b in "\\PC{0,90}") {
            prop_assert_eq!(Key::of(&[&a, &b]), Key::of_long(&[&a, &b]));
        }
    }
}
