//! Names of things, packed: visitors, sessions, leases and calls have names of somebody else's making, and the state
//! holds millions of them.

use serde::{Deserialize, Serialize};

use super::intern::{Sym, Texts};

/// How the 16 bytes of a [`Name`] are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u8)]
enum Kind {
    /// Lower case with hyphens (RFC 9562, section 4).
    Uuid,
    /// The canonical upper-case form of the ULID specification.
    Ulid,
    /// 32 hexadecimal digits in lower case.
    Hex,
    /// Text of so many bytes.
    Text(u8),
    /// So many letters of six bits each.
    Letters(u8),
    /// The number of a text that is held elsewhere.
    Long,
}

/// Somebody's identifier in 18 bytes. What does not fit is held once among the account's texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Name {
    kind: Kind,
    bits: [u8; 16],
}

const TEXT_MAX: usize = 16;
const LETTERS_MAX: usize = 21;
const LETTERS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const HEX: &[u8; 16] = b"0123456789abcdef";
const NO_VALUE: u8 = 255;

const fn values(of: &[u8]) -> [u8; 256] {
    let mut values = [NO_VALUE; 256];
    let mut at = 0;
    while at < of.len() {
        values[of[at] as usize] = at as u8;
        at += 1;
    }
    values
}

static LETTER_VALUES: [u8; 256] = values(LETTERS);
static CROCKFORD_VALUES: [u8; 256] = values(CROCKFORD);
static HEX_VALUES: [u8; 256] = values(HEX);

/// The digits as one number of so many bits each; nothing if one of them is none.
fn digits(text: impl Iterator<Item = u8>, values: &[u8; 256], bits: u32) -> Option<u128> {
    let mut number = 0u128;
    for letter in text {
        let value = values[usize::from(letter)];
        if value == NO_VALUE {
            return None;
        }
        number = number << bits | u128::from(value);
    }
    Some(number)
}

fn is_hyphen(at: usize) -> bool {
    matches!(at, 8 | 13 | 18 | 23)
}

fn packed(text: &str) -> Option<Name> {
    let bytes = text.as_bytes();
    let (kind, number) = match bytes.len() {
        36 => {
            if !(0..36).filter(|at| is_hyphen(*at)).all(|at| bytes[at] == b'-') {
                return None;
            }
            let letters = (0..36).filter(|at| !is_hyphen(*at)).map(|at| bytes[at]);
            (Kind::Uuid, digits(letters, &HEX_VALUES, 4)?)
        }
        32 => (Kind::Hex, digits(bytes.iter().copied(), &HEX_VALUES, 4)?),
        26 if bytes[0] <= b'7' => (Kind::Ulid, digits(bytes.iter().copied(), &CROCKFORD_VALUES, 5)?),
        len if len <= TEXT_MAX => {
            let mut bits = [0; 16];
            bits[..len].copy_from_slice(bytes);
            return Some(Name { kind: Kind::Text(len as u8), bits });
        }
        len if len <= LETTERS_MAX => (Kind::Letters(len as u8), digits(bytes.iter().copied(), &LETTER_VALUES, 6)?),
        _ => return None,
    };
    Some(Name { kind, bits: number.to_be_bytes() })
}

impl Name {
    pub fn new(text: &str, texts: &mut Texts) -> Name {
        packed(text).unwrap_or_else(|| Name::long(texts.intern(text)))
    }

    /// The name of something held; nothing if no such thing can be.
    pub fn find(text: &str, texts: &Texts) -> Option<Name> {
        packed(text).or_else(|| texts.find(text).map(Name::long))
    }

    fn long(sym: Sym) -> Name {
        let mut bits = [0; 16];
        bits[..4].copy_from_slice(&sym.number().to_le_bytes());
        Name { kind: Kind::Long, bits }
    }

    /// The text that is held elsewhere, if it is.
    pub fn sym(&self) -> Option<Sym> {
        let [a, b, c, d, ..] = self.bits;
        if self.kind == Kind::Long { Sym::of(u32::from_le_bytes([a, b, c, d])) } else { None }
    }

    /// The bits are spread already, or few: half of them, folded.
    pub fn hash(&self) -> u64 {
        let number = u128::from_le_bytes(self.bits);
        super::intern::hash_of(&(number as u64, (number >> 64) as u64))
    }

    /// Hands its text to `say`.
    pub fn with<T>(&self, texts: &Texts, say: impl FnOnce(&str) -> T) -> T {
        let mut number = u128::from_be_bytes(self.bits);
        let mut spelled = [b'-'; 36];
        // From the last to the first.
        let mut spell = |places: &mut dyn Iterator<Item = usize>, letters: &[u8], bits: u32| {
            for at in places {
                spelled[at] = letters[number as usize & ((1 << bits) - 1)];
                number >>= bits;
            }
        };
        let len = match self.kind {
            Kind::Uuid => {
                spell(&mut (0..36).rev().filter(|at| !is_hyphen(*at)), HEX, 4);
                36
            }
            Kind::Ulid => {
                spell(&mut (0..26).rev(), CROCKFORD, 5);
                26
            }
            Kind::Hex => {
                spell(&mut (0..32).rev(), HEX, 4);
                32
            }
            Kind::Letters(len) => {
                spell(&mut (0..usize::from(len)).rev(), LETTERS, 6);
                len
            }
            Kind::Text(len) => {
                spelled[..TEXT_MAX].copy_from_slice(&self.bits);
                len
            }
            Kind::Long => return say(self.sym().map_or("", |sym| texts.get(sym))),
        };
        say(str::from_utf8(&spelled[..usize::from(len)]).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packs_what_it_can() {
        for (text, is_packed) in [
            ("0190163d-8694-739b-aea5-966c26f8ad91", true),
            ("0190163D-8694-739B-AEA5-966C26F8AD91", false),
            ("0190163d8694739baea5966c26f8ad91", true),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", true),
            ("81ARZ3NDEKTSV4RRFFQ69G5FAV", false),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAI", false),
            ("V1StGXR8_Z5jdHi6B-myT", true),
            ("1234567890.1234567890", false),
            ("v-17", true),
            ("", true),
        ] {
            let mut texts = Texts::default();
            let name = Name::new(text, &mut texts);
            assert_eq!(name.with(&texts, str::to_owned), text);
            assert_eq!(name.sym().is_none(), is_packed, "{text}");
        }
        assert_eq!(size_of::<Option<Name>>(), 18);
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was(text in "\\PC{0,40}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-7][0-9A-Z]{25}|[0-9a-zA-Z_-]{15,23}|[0-9a-f]{31,33}", other in "[0-9a]{0,3}") {
            let mut texts = Texts::default();
            let name = Name::new(&text, &mut texts);
            prop_assert_eq!(name.with(&texts, str::to_owned), &text[..]);
            prop_assert_eq!(Name::find(&text, &texts), Some(name));
            prop_assert_eq!(Name::new(&other, &mut texts) == name, other == text);
        }
    }
}
