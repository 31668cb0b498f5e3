//! What a session did, by time, packed: each entry is the microseconds since the one before with its kind, and what a
//! page view says. Most sessions are short, and theirs fit in a few dozen bytes.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::intern::Sym;
use crate::time::Time;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Web,
    Heartbeat,
    Page {
        url: Sym,
        /// What this page view says of its session, if it is the first. Given sessions keep it where it was the first when it came, or tells an
        /// experiment; a page view of a made session may become the first when something late splits the run.
        touch: Option<Sym>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub at: Time,
    pub what: What,
}

impl Entry {
    pub fn is_page(&self) -> bool {
        matches!(self.what, What::Page { .. })
    }

    /// Page views and web events make sessions, heartbeats do not.
    pub fn is_own(&self) -> bool {
        self.what != What::Heartbeat
    }
}

/// By time, then arrival. Whoever holds it knows the time before which nothing is in it (`from`), and the last entry's.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Timeline(Box<[u8]>);

/// A time of 63 bits, and two numbers of 32.
const ENTRY_BYTES: usize = 20;
const KIND_BITS: u32 = 2;
const WEB: u64 = 0;
const HEARTBEAT: u64 = 1;
const PAGE: u64 = 2;
const FIRST_PAGE: u64 = 3;

/// Little end first, seven bits a byte (LEB128).
fn put(bytes: &mut impl Extend<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.extend([number as u8 | 0x80]);
        number >>= 7;
    }
    bytes.extend([number as u8]);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

fn put_entry(bytes: &mut impl Extend<u8>, last: Time, entry: &Entry) {
    let kind = match entry.what {
        What::Web => WEB,
        What::Heartbeat => HEARTBEAT,
        What::Page { touch: None, .. } => PAGE,
        What::Page { touch: Some(_), .. } => FIRST_PAGE,
    };
    put(bytes, (entry.at.since(last).max(0) as u64) << KIND_BITS | kind);
    if let What::Page { url, touch } = entry.what {
        put(bytes, u64::from(url.number()));
        if let Some(touch) = touch {
            put(bytes, u64::from(touch.number()));
        }
    }
}

pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    at: Time,
}

impl Entries<'_> {
    fn read(&mut self) -> Option<Entry> {
        let head = take(&mut self.bytes)?;
        self.at = self.at.plus((head >> KIND_BITS) as i64);
        let mut sym = || take(&mut self.bytes).and_then(|number| Sym::of(number as u32));
        let what = match head & ((1 << KIND_BITS) - 1) {
            WEB => What::Web,
            HEARTBEAT => What::Heartbeat,
            PAGE => What::Page { url: sym()?, touch: None },
            _ => What::Page { url: sym()?, touch: sym() },
        };
        Some(Entry { at: self.at, what })
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;
    fn next(&mut self) -> Option<Entry> {
        self.read()
    }
}

impl Timeline {
    pub fn entries(&self, from: Time) -> Entries<'_> {
        Entries { bytes: &self.0, at: from }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn fetch(&self) -> u8 {
        self.0.first().map_or(0, |byte| byte & 1)
    }

    /// Adds an entry behind the last, which is of `last` (`from`, if there is none).
    pub fn push(&mut self, last: Time, entry: &Entry) {
        let mut bytes = std::mem::take(&mut self.0).into_vec();
        let mut packed: SmallVec<[u8; ENTRY_BYTES]> = SmallVec::new();
        put_entry(&mut packed, last, entry);
        bytes.reserve_exact(packed.len());
        bytes.extend_from_slice(&packed);
        self.0 = bytes.into_boxed_slice();
    }

    pub fn set(&mut self, from: Time, entries: &[Entry]) {
        let mut bytes = Vec::with_capacity(entries.len() * 8 + 8);
        let mut last = from;
        for entry in entries {
            put_entry(&mut bytes, last, entry);
            last = entry.at;
        }
        self.0 = bytes.into_boxed_slice();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn what() -> impl Strategy<Value = What> {
        let sym = || (1u32..3_000_000).prop_filter_map("a number", Sym::of);
        prop_oneof![
            Just(What::Web),
            Just(What::Heartbeat),
            (sym(), prop::option::of(sym())).prop_map(|(url, touch)| What::Page { url, touch }),
        ]
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was(from in 0i64..1 << 57, steps in prop::collection::vec((0i64..1 << 40, what()), 0..50)) {
            let (from, mut at) = (Time(from), from);
            let entries: Vec<Entry> = steps
                .into_iter()
                .map(|(step, what)| {
                    at += step;
                    Entry { at: Time(at), what }
                })
                .collect();
            let mut whole = Timeline::default();
            whole.set(from, &entries);
            prop_assert!(whole.entries(from).eq(entries.iter().copied()));
            let (mut grown, mut last) = (Timeline::default(), from);
            for entry in &entries {
                grown.push(last, entry);
                last = entry.at;
            }
            prop_assert_eq!(&whole.0, &grown.0);
            prop_assert_eq!(whole.is_empty(), entries.is_empty());
        }
    }

    #[test]
    fn three_pages_take_few_bytes() {
        let page = |seconds: i64, touch| Entry {
            at: Time(seconds * 1_000_000),
            what: What::Page { url: Sym::of(100_000).unwrap(), touch },
        };
        let mut timeline = Timeline::default();
        timeline.set(Time(0), &[page(0, Sym::of(50_000)), page(40, None), page(80, None)]);
        assert_eq!(timeline.0.len(), 21);
    }
}
