//! What a file of the spool holds: `CWS`, a version byte, and records one behind the other. In version 1 a record is
//!
//! | bytes | holds |
//! | --- | --- |
//! | 4 | length of the rest, little-endian |
//! | 8 | xxh3-64 of the rest, little-endian |
//! | 1 | kind of the events: 0 other, 1 call, 2 page |
//! | 1, and as many | length of the account's name, and the name |
//! | to the end | a frame of the log (`crate::log::frame`) |

use xxhash_rust::xxh3::xxh3_64;

use crate::log::Kind;

/// What a file begins with.
pub const HEADER: [u8; 4] = *b"CWS\x01";
/// Longer records are damage: a hook's body is far shorter.
pub const RECORD_BYTES_MAX: usize = 32 << 20;
const HEAD_BYTES: usize = 12;

/// Events of one account that wait for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept<'a> {
    pub kind: Kind,
    pub account: &'a str,
    pub frame: &'a [u8],
}

/// What stands at a place of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Record {
        kept: Kept<'a>,
        next: usize,
    },
    End,
    /// The file ends inside a record: it was being written when the program ended, and nobody was told that it is kept.
    Torn,
    Damaged,
}

pub fn write(kept: &Kept<'_>) -> Vec<u8> {
    // Accounts have at most 64 bytes (callweave_core::limits::ACCOUNT_BYTES_MAX).
    let account = &kept.account.as_bytes()[..kept.account.len().min(usize::from(u8::MAX))];
    let length = 2 + account.len() + kept.frame.len();
    let mut bytes = Vec::with_capacity(HEAD_BYTES + length);
    bytes.extend((length as u32).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.push(match kept.kind {
        Kind::Call => 1,
        Kind::Page => 2,
        _ => 0,
    });
    bytes.push(account.len() as u8);
    bytes.extend(account);
    bytes.extend(kept.frame);
    let sum = xxh3_64(&bytes[HEAD_BYTES..]).to_le_bytes();
    bytes[4..HEAD_BYTES].copy_from_slice(&sum);
    bytes
}

/// What stands `at` bytes into a file, of which the first record is at `HEADER.len()`.
pub fn read(file: &[u8], at: usize) -> Found<'_> {
    let rest = file.get(at..).unwrap_or_default();
    let Some((head, rest)) = rest.split_at_checked(HEAD_BYTES) else {
        return if rest.is_empty() { Found::End } else { Found::Torn };
    };
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length > RECORD_BYTES_MAX {
        return Found::Damaged;
    }
    let Some(body) = rest.get(..length) else { return Found::Torn };
    if xxh3_64(body).to_le_bytes() != head[4..] {
        return Found::Damaged;
    }
    match kept(body) {
        Some(kept) => Found::Record { kept, next: at + HEAD_BYTES + length },
        None => Found::Damaged,
    }
}

fn kept(body: &[u8]) -> Option<Kept<'_>> {
    let (kind, rest) = body.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (account, frame) = rest.split_at_checked(usize::from(*length))?;
    let kind = match kind {
        0 => Kind::Other,
        1 => Kind::Call,
        2 => Kind::Page,
        _ => return None,
    };
    Some(Kept { kind, account: std::str::from_utf8(account).ok()?, frame })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept_of() -> impl Strategy<Value = (Kind, String, Vec<u8>)> {
        let kind = prop::sample::select(vec![Kind::Other, Kind::Call, Kind::Page]);
        (kind, "[a-z]{0,64}", prop::collection::vec(any::<u8>(), 0..50))
    }

    fn file_of(all: &[(Kind, String, Vec<u8>)]) -> Vec<u8> {
        let mut file = HEADER.to_vec();
        all.iter().for_each(|(kind, account, frame)| file.extend(write(&Kept { kind: *kind, account, frame })));
        file
    }

    /// The records up to what ends them.
    fn all_of(file: &[u8]) -> (Vec<(Kind, String, Vec<u8>)>, bool) {
        let (mut at, mut all) = (HEADER.len(), Vec::new());
        loop {
            match read(file, at) {
                Found::Record { kept, next } => {
                    all.push((kept.kind, kept.account.to_owned(), kept.frame.to_vec()));
                    at = next;
                }
                end => return (all, end == Found::Damaged),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(all in prop::collection::vec(kept_of(), 0..5), cut in 0usize..200) {
            let file = file_of(&all);
            prop_assert_eq!(all_of(&file), (all.clone(), false));
            // A torn end costs what was being written, and no more.
            let torn = &file[..file.len().saturating_sub(cut).max(HEADER.len())];
            let (found, damaged) = all_of(torn);
            prop_assert!(!damaged && all.starts_with(&found));
        }

        #[test]
        fn damage_is_seen(all in prop::collection::vec(kept_of(), 1..4), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut file = file_of(&all);
            let at = HEADER.len() + at.index(file.len() - HEADER.len());
            file[at] ^= 1 << bit;
            let (found, _) = all_of(&file);
            prop_assert!(found.len() < all.len() && all.starts_with(&found));
        }
    }
}
