//! Ids from content: a line's hash, and how often the same line stood there before.

use std::collections::{HashMap, VecDeque};

use callweave_core::id::Key;
use xxhash_rust::xxh3::xxh3_128;

/// Remembers the lines of late. Two identical lines of a file are two events, and get the same two ids whenever the
/// file is imported.
#[derive(Default)]
pub(super) struct Repeats {
    times: HashMap<u128, u32>,
    order: VecDeque<u128>,
}

/// Different lines that are remembered. Identical lines of a log stand close to each other, since they bear a time;
/// those further apart than this come from a file that holds itself twice, and count once.
const LINES_MOST: usize = 200_000;

impl Repeats {
    /// The id of the next event made from these bytes.
    pub(super) fn id(&mut self, raw: &[u8]) -> String {
        let key = xxh3_128(raw);
        let times = self.times.entry(key).or_insert(0);
        *times += 1;
        if *times > 1 {
            return format!("{key:032x}-{times}");
        }
        self.order.push_back(key);
        if self.order.len() > LINES_MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.times.remove(&oldest);
        }
        format!("{key:032x}")
    }
}

/// A name for something that is known by several things together.
pub(super) fn name(parts: &[&str]) -> String {
    format!("{:032x}", Key::of(parts).0)
}
