//! Names of events and things, packed small.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
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

const INLINE: usize = 22;

/// Somebody's identifier in 24 bytes: UUIDs and ULIDs by their bits, other short ones in place, only long ones on the
/// heap. State holds millions of them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Id {
    Uuid([u8; 16]),
    Ulid([u8; 16]),
    Inline(u8, [u8; INLINE]),
    Heap(Box<str>),
}

impl Id {
    pub fn new(text: &str) -> Id {
        let bytes = text.as_bytes();
        if let Some(bits) = uuid_bits(bytes) {
            return Id::Uuid(bits);
        }
        if let Some(bits) = ulid_bits(bytes) {
            return Id::Ulid(bits);
        }
        if bytes.len() <= INLINE {
            let mut place = [0; INLINE];
            place[..bytes.len()].copy_from_slice(bytes);
            return Id::Inline(bytes.len() as u8, place);
        }
        Id::Heap(text.into())
    }

    /// Bytes on the heap beside the 24 of the value itself.
    pub fn heap_bytes(&self) -> usize {
        if let Id::Heap(text) = self { text.len() } else { 0 }
    }
}

/// The lower-case form with hyphens (RFC 9562, section 4), so that the text comes back as it was.
fn uuid_bits(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 || text[8] != b'-' || text[13] != b'-' || text[18] != b'-' || text[23] != b'-' {
        return None;
    }
    let mut bits = [0u8; 16];
    let mut nibbles = 0;
    for (at, &c) in text.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            continue;
        }
        let value = match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => return None,
        };
        bits[nibbles / 2] = bits[nibbles / 2] << 4 | value;
        nibbles += 1;
    }
    Some(bits)
}

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const fn crockford_values() -> [u8; 256] {
    let mut values = [255; 256];
    let mut at = 0;
    while at < 32 {
        values[CROCKFORD[at] as usize] = at as u8;
        at += 1;
    }
    values
}

static CROCKFORD_VALUES: [u8; 256] = crockford_values();

/// The canonical upper-case form of the ULID specification: 26 letters, the first at most 7.
fn ulid_bits(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 26 || text[0] > b'7' {
        return None;
    }
    let mut bits = 0u128;
    for &c in text {
        let value = CROCKFORD_VALUES[usize::from(c)];
        if value == 255 {
            return None;
        }
        bits = bits << 5 | u128::from(value);
    }
    Some(bits.to_be_bytes())
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Uuid(bits) => {
                for (at, byte) in bits.iter().enumerate() {
                    if matches!(at, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
            Id::Ulid(bits) => {
                let bits = u128::from_be_bytes(*bits);
                let mut text = [0u8; 26];
                for (at, place) in text.iter_mut().enumerate() {
                    *place = CROCKFORD[(bits >> (5 * (25 - at)) & 31) as usize];
                }
                f.write_str(str::from_utf8(&text).unwrap_or_default())
            }
            Id::Inline(len, place) => f.write_str(str::from_utf8(&place[..usize::from(*len)]).unwrap_or_default()),
            Id::Heap(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Id::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packs_what_it_can() {
        for (text, packed) in [
            ("0190163d-8694-739b-aea5-966c26f8ad91", true),
            ("0190163D-8694-739B-AEA5-966C26F8AD91", false),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", true),
            ("81ARZ3NDEKTSV4RRFFQ69G5FAV", false),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAI", false),
            ("v-17", true),
            ("", true),
        ] {
            let id = Id::new(text);
            assert_eq!(id.to_string(), text);
            assert_eq!(id.heap_bytes() == 0, packed, "{text}");
        }
        assert_eq!(size_of::<Id>(), 24);
    }

    proptest! {
        #[test]
        fn a_key_is_the_same_however_it_is_made(a in "\\PC{0,90}", b in "\\PC{0,90}") {
            prop_assert_eq!(Key::of(&[&a, &b]), Key::of_long(&[&a, &b]));
        }

        #[test]
        fn comes_back_as_it_was(text in "\\PC{0,40}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-7][0-9A-Z]{25}") {
            prop_assert_eq!(Id::new(&text).to_string(), text);
        }
    }
}
