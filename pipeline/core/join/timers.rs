//! When things are looked at next. Times in the far future lie in buckets of about a minute, four bytes a thing; the bucket
//! that the watermark is in is a queue in order of time. A thing keeps its time itself: an entry that does not agree
//! with it is passed over. What only waits until enough events were taken since it changed has no time, and lies in buckets by
//! their count.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use serde::{Deserialize, Serialize};

use crate::limits::EVENTS_REMEMBERED;
use crate::time::{MICROS_PER_SECOND, Time};

/// Events are counted in this unit where the count is kept with each thing.
const COUNT_UNIT: u64 = 1 << 16;
const COUNT_BITS: u32 = 19;
/// The change may be the last of its unit.
const UNITS_REMEMBERED: u64 = EVENTS_REMEMBERED.div_ceil(COUNT_UNIT) + 1;
/// Seconds since 1970 until the year 10,000 and beyond.
const SECONDS_BITS: u32 = 38;
const NEVER: u64 = (1 << SECONDS_BITS) - 1;
const BUCKET_SECONDS: u64 = 64;
/// A queue with more room than this gives it back once it is empty.
const QUEUE_KEPT: usize = 4_096;

/// When a thing is looked at next, and when it changed last, in 12 bytes. Times are rounded up to whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Due([u32; 3]);

impl Default for Due {
    fn default() -> Due {
        let mut due = Due([0; 3]);
        due.set_at(Time::MAX);
        due
    }
}

/// Seconds since 1970, rounded up; times before count as 1970.
fn seconds(at: Time) -> u64 {
    let whole = at.0.max(0) as u64;
    whole.div_ceil(MICROS_PER_SECOND as u64).min(NEVER)
}

fn time(seconds: u64) -> Time {
    if seconds == NEVER { Time::MAX } else { Time(seconds as i64 * MICROS_PER_SECOND) }
}

impl Due {
    fn bits(self) -> u128 {
        let [a, b, c] = self.0;
        u128::from(a) | u128::from(b) << 32 | u128::from(c) << 64
    }

    fn part(self, from: u32, bits: u32) -> u64 {
        (self.bits() >> from) as u64 & ((1 << bits) - 1)
    }

    fn set_part(&mut self, from: u32, bits: u32, value: u64) {
        let mask = ((1u128 << bits) - 1) << from;
        let all = self.bits() & !mask | (u128::from(value) << from & mask);
        self.0 = [all as u32, (all >> 32) as u32, (all >> 64) as u32];
    }

    pub fn at(self) -> Time {
        time(self.part(0, SECONDS_BITS))
    }

    pub fn set_at(&mut self, at: Time) {
        self.set_part(0, SECONDS_BITS, seconds(at));
    }

    /// The watermark when the thing changed last.
    pub fn changed(self) -> Time {
        time(self.part(SECONDS_BITS, SECONDS_BITS))
    }

    /// It is decided, and has no time: it waits until it is no longer remembered, or for what it cannot go before.
    pub fn is_waiting(self) -> bool {
        !self.is_open() && self.at() == Time::MAX
    }

    /// The thing changed, when so many events had been taken.
    pub fn change(&mut self, watermark: Time, taken: u64) {
        self.set_part(SECONDS_BITS, SECONDS_BITS, seconds(watermark).min(NEVER - 1));
        self.set_part(2 * SECONDS_BITS, COUNT_BITS, taken / COUNT_UNIT);
    }

    /// Whether fewer than [`EVENTS_REMEMBERED`] were taken since the last change.
    pub fn is_remembered(self, taken: u64) -> bool {
        self.units_since(taken) < UNITS_REMEMBERED
    }

    /// Whole units and the one begun, since the unit of the last change began.
    fn units_since(self, taken: u64) -> u64 {
        let then = self.part(2 * SECONDS_BITS, COUNT_BITS);
        (taken / COUNT_UNIT).wrapping_sub(then) & ((1 << COUNT_BITS) - 1)
    }

    /// Something changed since the thing was decided.
    pub fn is_open(self) -> bool {
        self.part(95, 1) == 1
    }

    pub fn set_open(&mut self, open: bool) {
        self.set_part(95, 1, u64::from(open));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thing {
    Session(u32),
    Lease(u32),
    Call(u32),
    Visitor(u32),
}

const NUMBER_BITS: u32 = 30;

impl Thing {
    /// Kind and number in 32 bits; nothing for a number that is too high for it.
    fn pack(self) -> Option<u32> {
        let (kind, number) = match self {
            Thing::Session(ix) => (0, ix),
            Thing::Lease(ix) => (1, ix),
            Thing::Call(ix) => (2, ix),
            Thing::Visitor(ix) => (3, ix),
        };
        (number >> NUMBER_BITS == 0).then_some(kind << NUMBER_BITS | number)
    }

    fn unpack(packed: u32) -> Thing {
        let number = packed & ((1 << NUMBER_BITS) - 1);
        match packed >> NUMBER_BITS {
            0 => Thing::Session(number),
            1 => Thing::Lease(number),
            2 => Thing::Call(number),
            _ => Thing::Visitor(number),
        }
    }
}

pub(super) struct Timers {
    /// Everything due in bucket `current` or before.
    near: BinaryHeap<Reverse<(Time, Thing)>>,
    far: BTreeMap<u64, Vec<u32>>,
    current: u64,
    /// When the first of the far buckets begins.
    horizon: Time,
    /// By the unit of events taken in which they are no longer remembered.
    counted: BTreeMap<u64, Vec<Thing>>,
}

impl Default for Timers {
    fn default() -> Self {
        Timers {
            near: BinaryHeap::new(),
            far: BTreeMap::new(),
            current: 0,
            horizon: Time::MAX,
            counted: BTreeMap::new(),
        }
    }
}

fn bucket(at: Time) -> u64 {
    seconds(at) / BUCKET_SECONDS
}

fn begin(bucket: u64) -> Time {
    time(bucket * BUCKET_SECONDS)
}

impl Timers {
    /// When something may be looked at next: at that time exactly, or in the bucket that begins then.
    pub fn next(&self) -> Option<Time> {
        let near = self.near.peek().map(|Reverse((at, _))| *at);
        near.or_else(|| self.far.keys().next().map(|bucket| begin(*bucket)))
    }

    pub fn set(&mut self, due: &mut Due, at: Time, thing: Thing) {
        let before = due.at();
        due.set_at(at);
        let at = due.at();
        if at != before {
            self.push(at, thing);
        }
    }

    /// Notes a thing's time, which it keeps itself.
    pub fn push(&mut self, at: Time, thing: Thing) {
        if at == Time::MAX {
            return;
        }
        let bucket = bucket(at);
        match thing.pack() {
            Some(packed) if bucket > self.current => {
                let things = self.far.entry(bucket).or_default();
                if things.len() == things.capacity() {
                    // By an eighth: a bucket may live for days.
                    things.reserve_exact(things.len() / 8 + 4);
                }
                things.push(packed);
                self.horizon = self.horizon.min(begin(bucket));
            }
            _ => self.near.push(Reverse((at, thing))),
        }
    }

    /// A thing without a time is looked at once it is no longer remembered.
    pub fn wait(&mut self, due: Due, taken: u64, thing: Thing) {
        let left = UNITS_REMEMBERED.saturating_sub(due.units_since(taken));
        self.counted.entry(taken / COUNT_UNIT + left).or_default().push(thing);
    }

    /// What waited until so many events were taken, in order; it may have changed since, or be another thing by now.
    pub fn waited(&mut self, taken: u64) -> Vec<Thing> {
        let unit = taken / COUNT_UNIT;
        let mut things = Vec::new();
        while let Some(first) = self.counted.first_entry().filter(|first| *first.key() <= unit) {
            things.append(&mut first.remove());
        }
        things.sort_unstable();
        things.dedup();
        things
    }

    /// The next thing whose time has come. `time_of` is what the things themselves say.
    pub fn pop(&mut self, watermark: Time, time_of: impl Fn(Thing) -> Option<Time>) -> Option<Thing> {
        if self.horizon <= watermark {
            self.open(bucket(watermark), &time_of);
        }
        while let Some(Reverse((at, thing))) = self.near.peek().copied() {
            if at > watermark {
                return None;
            }
            self.near.pop();
            if time_of(thing) == Some(at) {
                return Some(thing);
            }
        }
        if self.near.capacity() > QUEUE_KEPT {
            self.near = BinaryHeap::new();
        }
        None
    }

    /// Puts the things of the buckets up to `upto` in order.
    fn open(&mut self, upto: u64, time_of: &impl Fn(Thing) -> Option<Time>) {
        self.current = self.current.max(upto);
        while let Some(first) = self.far.first_entry().filter(|first| *first.key() <= upto) {
            let (key, things) = first.remove_entry();
            for thing in things.into_iter().map(Thing::unpack) {
                if let Some(at) = time_of(thing).filter(|at| bucket(*at) == key) {
                    self.near.push(Reverse((at, thing)));
                }
            }
        }
        self.horizon = self.far.keys().next().map_or(Time::MAX, |bucket| begin(*bucket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LATEST_TIME;
    use proptest::prelude::*;

    #[test]
    fn due_keeps_its_parts_apart() {
        let mut due = Due::default();
        assert_eq!((due.at(), due.is_open(), size_of::<Due>()), (Time::MAX, false, 12));
        due.set_open(true);
        due.change(Time::MIN, 0);
        assert_eq!((due.at(), due.changed(), due.is_open()), (Time::MAX, Time(0), true));
        due.set_at(Time(1_795_132_800_000_001));
        due.change(LATEST_TIME, 7 << 40);
        assert_eq!(due.at(), Time(1_795_132_801_000_000));
        assert_eq!(due.changed(), Time(LATEST_TIME.0 + 1));
        for (more, remembered) in
            [(0, true), (EVENTS_REMEMBERED - 1, true), (EVENTS_REMEMBERED + 2 * COUNT_UNIT, false)]
        {
            assert_eq!(due.is_remembered((7 << 40) + more), remembered, "{more}");
        }
    }

    proptest! {
        /// Things come in order of their times, each when its time has come, however often it was set.
        #[test]
        fn keeps_order(steps in prop::collection::vec((0u32..20, 0u64..2_000, 0u64..40), 1..80)) {
            let (mut timers, mut dues, mut watermark) = (Timers::default(), vec![Due::default(); 20], 1_000u64);
            for (ix, ahead, passes) in steps {
                timers.set(&mut dues[ix as usize], time(watermark + ahead), Thing::Lease(ix));
                watermark += passes;
                let mut expected: Vec<(Time, u32)> =
                    (0..20).map(|ix| (dues[ix as usize].at(), ix)).filter(|(at, _)| *at <= time(watermark)).collect();
                expected.sort_unstable();
                let mut popped = Vec::new();
                let time_of = |dues: &[Due], thing| match thing {
                    Thing::Lease(ix) => Some(dues[ix as usize].at()),
                    _ => None,
                };
                while let Some(Thing::Lease(ix)) = timers.pop(time(watermark), |thing| time_of(&dues, thing)) {
                    popped.push((dues[ix as usize].at(), ix));
                    dues[ix as usize].set_at(Time::MAX);
                }
                prop_assert_eq!(popped, expected);
                let next = dues.iter().map(|due| due.at()).min().filter(|at| *at < Time::MAX);
                prop_assert!(next.is_none_or(|next| timers.next().is_some_and(|told| told <= next)));
            }
        }
    }
}
