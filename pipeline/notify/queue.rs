//! What one subscription has to be told, and when: the deliveries that are open, in the order of the log. Pure: time is an input.
//!
//! A delivery is fresh until its first attempt has ended; one that failed is kept on disk and waits for its time. Few are fresh at a
//! time, and of those that wait there is a bound, too: beyond it nothing more is read, and the log of moments is the queue.
//!
//! A receiver that has failed several times in a row, with no success between, is down. Then nothing more is read, and one delivery is
//! tried out of turn every now and then; that does not count as one of its attempts. With the first success all that wait are due.
//! After a restart nobody knows who was down: one delivery of those that wait is tried out of turn, and the first success makes all due, too.

use std::collections::{BTreeMap, BTreeSet};

use callweave_core::time::{MICROS_PER_SECOND, Time};

/// Deliveries that have been read and not been tried.
const FRESH_MAX: usize = 64;
/// Deliveries that failed and wait.
const KEPT_MAX: usize = 1_000;
/// Attempts under way at once.
const FLYING_MAX: usize = 16;
/// Failures in a row after which a receiver is down.
const DOWN_AFTER: u32 = 5;
/// The longest pause between two tries out of turn, in seconds; the first is one second, each next twice as long.
const PROBE_PAUSE_MAX: i64 = 60;

#[derive(Debug)]
struct Item {
    /// What must come in order.
    call: Option<u64>,
    due: Time,
    /// Attempts that failed.
    failed: u32,
    flying: bool,
    /// Whether it lies on disk.
    kept: bool,
}

/// A delivery that is to be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub sequence: u64,
    /// Attempts that failed before.
    pub failed: u32,
    pub kept: bool,
    /// Whether this one is out of turn.
    pub probe: bool,
    pub due: Time,
}

#[derive(Debug)]
pub struct Queue {
    ordered: bool,
    open: BTreeMap<u64, Item>,
    /// Open ones of each call, where they are ordered.
    calls: BTreeMap<u64, BTreeSet<u64>>,
    /// The last sequence that was read.
    read: u64,
    fresh: usize,
    flying: usize,
    failures: u32,
    probe_at: Time,
    /// Whether some failed before this process, and nothing was taken since.
    resumed: bool,
    /// Whether one of those is still to be tried out of turn.
    asks: bool,
}

impl Queue {
    /// Nothing after `read` was read.
    pub fn new(ordered: bool, read: u64) -> Queue {
        Queue {
            ordered,
            open: BTreeMap::new(),
            calls: BTreeMap::new(),
            read,
            fresh: 0,
            flying: 0,
            failures: 0,
            probe_at: Time::MIN,
            resumed: false,
            asks: false,
        }
    }

    pub fn is_down(&self) -> bool {
        self.failures >= DOWN_AFTER
    }

    /// Deliveries that failed and wait.
    pub fn kept(&self) -> usize {
        self.open.len() - self.fresh
    }

    /// Whether more may be read.
    pub fn wants_more(&self) -> bool {
        let room = self.fresh < FRESH_MAX && self.kept() < KEPT_MAX;
        room && (!self.is_down() || self.open.is_empty())
    }

    /// An entry that is none of the subscription's, or was told before.
    pub fn pass(&mut self, sequence: u64) {
        self.read = self.read.max(sequence);
    }

    pub fn add(&mut self, sequence: u64, call: Option<u64>, now: Time) {
        self.pass(sequence);
        self.fresh += 1;
        self.insert(sequence, Item { call, due: now, failed: 0, flying: false, kept: false });
    }

    /// One that lies on disk: from before this process, or a dead letter that is sent again.
    pub fn restore(&mut self, sequence: u64, call: Option<u64>, failed: u32, due: Time) {
        if !self.open.contains_key(&sequence) {
            (self.resumed, self.asks) = (self.resumed || failed > 0, self.asks || failed > 0);
            self.insert(sequence, Item { call, due, failed, flying: false, kept: true });
        }
    }

    fn insert(&mut self, sequence: u64, item: Item) {
        if let Some(call) = item.call.filter(|_| self.ordered) {
            self.calls.entry(call).or_default().insert(sequence);
        }
        self.open.insert(sequence, item);
    }

    pub fn has(&self, sequence: u64) -> bool {
        self.open.contains_key(&sequence)
    }

    /// The next that is to be tried at `now`; it is under way from then on.
    pub fn next(&mut self, now: Time) -> Option<Start> {
        let down = self.is_down();
        if self.flying >= if down { 1 } else { FLYING_MAX } {
            return None;
        }
        let mut free = self.open.iter().filter(|(sequence, item)| self.is_free(**sequence, item));
        let found = match free.clone().find(|(_, item)| item.due <= now) {
            Some(found) => Some(found),
            None if self.asks || down && self.probe_at <= now => free.next(),
            None => None,
        };
        let (&sequence, item) = found?;
        let probe = item.due > now;
        self.asks &= !(probe || item.failed > 0);
        let start = Start { sequence, failed: item.failed, kept: item.kept, probe, due: item.due };
        self.flying += 1;
        if let Some(item) = self.open.get_mut(&sequence) {
            item.flying = true;
        }
        Some(start)
    }

    /// Whether nothing keeps it from being tried but time.
    fn is_free(&self, sequence: u64, item: &Item) -> bool {
        let before = |call| self.calls.get(&call).and_then(|all| all.first()).is_some_and(|first| *first < sequence);
        !item.flying && !item.call.is_some_and(before)
    }

    /// When [`Queue::next`] is to be asked again, if nothing else happens.
    pub fn wakes_at(&self) -> Option<Time> {
        if self.flying >= if self.is_down() { 1 } else { FLYING_MAX } {
            return None;
        }
        let free = self.open.iter().filter(|(sequence, item)| self.is_free(**sequence, item));
        let due = free.map(|(_, item)| item.due).min()?;
        Some(match self.asks {
            true => Time::MIN,
            false if self.is_down() => due.min(self.probe_at),
            false => due,
        })
    }

    /// It was taken: its receiver is up.
    pub fn delivered(&mut self, sequence: u64, now: Time) {
        self.remove(sequence);
        if self.is_down() || self.resumed {
            for item in self.open.values_mut() {
                item.due = item.due.min(now);
            }
        }
        (self.failures, self.resumed, self.asks) = (0, false, false);
    }

    /// It was not, `failed` times by now, and lies on disk until it is due.
    pub fn failed(&mut self, sequence: u64, failed: u32, due: Time, now: Time) {
        self.note_failure(now);
        self.wait(sequence, failed, due);
    }

    /// The same, though its receiver is up.
    pub fn wait(&mut self, sequence: u64, failed: u32, due: Time) {
        let Some(item) = self.open.get_mut(&sequence) else { return };
        self.fresh -= usize::from(!item.kept);
        self.flying -= usize::from(item.flying);
        (item.flying, item.kept, item.failed, item.due) = (false, true, failed, due);
    }

    /// It was given up.
    pub fn dead(&mut self, sequence: u64, now: Time) {
        self.note_failure(now);
        self.remove(sequence);
    }

    fn note_failure(&mut self, now: Time) {
        self.failures = self.failures.saturating_add(1);
        if let Some(more) = self.failures.checked_sub(DOWN_AFTER) {
            let pause = 1i64.checked_shl(more).filter(|_| more < 8).unwrap_or(PROBE_PAUSE_MAX).min(PROBE_PAUSE_MAX);
            self.probe_at = now.plus(pause * MICROS_PER_SECOND);
        }
    }

    fn remove(&mut self, sequence: u64) {
        let Some(item) = self.open.remove(&sequence) else { return };
        self.fresh -= usize::from(!item.kept);
        self.flying -= usize::from(item.flying);
        if let Some(call) = item.call
            && let Some(all) = self.calls.get_mut(&call)
        {
            all.remove(&sequence);
            if all.is_empty() {
                self.calls.remove(&call);
            }
        }
    }

    /// Up to here everything is told, or lies on disk.
    pub fn place(&self) -> u64 {
        let fresh = self.open.iter().find(|(_, item)| !item.kept);
        fresh.map_or(self.read, |(sequence, _)| sequence - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Time {
        Time(seconds * MICROS_PER_SECOND)
    }

    fn started(queue: &mut Queue, now: i64) -> Vec<u64> {
        std::iter::from_fn(|| queue.next(at(now))).map(|start| start.sequence).collect()
    }

    #[test]
    fn calls_stay_in_order_where_that_is_asked_for() {
        for (ordered, first) in [(false, vec![1, 2, 3, 4]), (true, vec![1, 3, 4])] {
            let mut queue = Queue::new(ordered, 0);
            for (sequence, call) in [(1, Some(7)), (2, Some(7)), (3, Some(8)), (4, None)] {
                queue.add(sequence, call, at(0));
            }
            assert_eq!(started(&mut queue, 0), first);
            queue.failed(1, 1, at(5), at(0));
            assert_eq!(started(&mut queue, 4), Vec::<u64>::new());
            assert_eq!(started(&mut queue, 5), vec![1]);
            queue.delivered(1, at(5));
            assert_eq!(started(&mut queue, 5), if ordered { vec![2] } else { vec![] });
        }
    }

    #[test]
    fn the_place_is_behind_what_is_only_in_memory() {
        let mut queue = Queue::new(false, 10);
        (11..=14).for_each(|sequence| queue.add(sequence, None, at(0)));
        assert_eq!((started(&mut queue, 0).len(), queue.place()), (4, 10));
        queue.delivered(12, at(1));
        queue.failed(11, 1, at(9), at(1));
        assert_eq!(queue.place(), 12, "11 is on disk, 12 is done");
        queue.dead(13, at(1));
        queue.delivered(14, at(1));
        queue.pass(20);
        assert_eq!((queue.place(), queue.kept()), (20, 1));
    }

    #[test]
    fn who_is_down_is_tried_out_of_turn_and_gets_everything_when_back() {
        let mut queue = Queue::new(false, 0);
        (1..=5).for_each(|sequence| queue.add(sequence, None, at(0)));
        assert_eq!(started(&mut queue, 0).len(), 5);
        (1..=5).for_each(|sequence| queue.failed(sequence, 1, at(3600), at(0)));
        assert!(queue.is_down() && !queue.wants_more());
        assert_eq!((queue.wakes_at(), queue.next(at(0))), (Some(at(1)), None));
        let probe = queue.next(at(1)).expect("a probe");
        assert!(probe.probe && probe.sequence == 1 && probe.failed == 1);
        assert_eq!(queue.next(at(1)), None, "one at a time");
        queue.failed(1, 1, probe.due, at(1));
        assert_eq!(queue.wakes_at(), Some(at(3)));
        let again = queue.next(at(3)).expect("a probe");
        queue.delivered(again.sequence, at(3));
        assert!(!queue.is_down() && queue.wants_more());
        assert_eq!(started(&mut queue, 3), vec![2, 3, 4, 5]);
    }

    #[test]
    fn what_waited_before_a_restart_is_due_when_one_is_taken() {
        let restored = || {
            let mut queue = Queue::new(false, 9);
            (1..=3).for_each(|sequence| queue.restore(sequence, None, 2, at(3600)));
            queue
        };
        let mut queue = restored();
        assert_eq!(queue.wakes_at(), Some(Time::MIN));
        let probe = queue.next(at(0)).expect("one out of turn");
        assert!(probe.probe && probe.sequence == 1 && probe.failed == 2);
        assert_eq!((queue.next(at(0)), queue.wakes_at()), (None, Some(at(3600))), "one alone");
        queue.delivered(1, at(1));
        assert_eq!(started(&mut queue, 1), vec![2, 3]);

        let mut queue = restored();
        let probe = queue.next(at(0)).expect("one out of turn");
        queue.failed(1, 2, probe.due, at(1));
        assert_eq!(
            (queue.next(at(1)), queue.wakes_at()),
            (None, Some(at(3600))),
            "it may be this one that is not wanted"
        );
        queue.add(10, None, at(2));
        assert_eq!(started(&mut queue, 2), vec![10]);
        queue.delivered(10, at(3));
        assert_eq!(started(&mut queue, 3), vec![1, 2, 3]);
    }

    #[test]
    fn pauses_between_probes_grow_to_a_minute() {
        let mut queue = Queue::new(false, 0);
        queue.restore(1, None, 1, Time::MAX);
        assert!(queue.next(at(0)).is_some());
        let mut pauses = Vec::new();
        for _ in 0..300 {
            queue.failed(1, 1, Time::MAX, at(0));
            pauses.extend(queue.is_down().then(|| queue.wakes_at().expect("a probe").0 / MICROS_PER_SECOND));
        }
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(pauses[8..].iter().all(|pause| *pause == 60));
    }

    proptest! {
        /// Whatever happens: nothing is told twice at once, memory is bounded, and the place never goes back.
        #[test]
        fn nothing_is_lost(steps in prop::collection::vec((0u8..5, 0u64..6), 1..400), ordered: bool) {
            let mut queue = Queue::new(ordered, 0);
            let (mut flying, mut told, mut read, mut place) = (BTreeSet::new(), BTreeSet::new(), 0, 0);
            for (now, (step, pick)) in steps.into_iter().enumerate() {
                let now = at(now as i64);
                let one = flying.iter().nth(pick as usize).copied();
                match step {
                    0 | 1 if queue.wants_more() => {
                        read += 1;
                        queue.add(read, Some(pick % 3), now);
                    }
                    2 => while let Some(start) = queue.next(now) {
                        prop_assert!(flying.insert(start.sequence));
                    },
                    3 => if let Some(one) = one {
                        flying.remove(&one);
                        told.insert(one);
                        queue.delivered(one, now);
                    },
                    _ => if let Some(one) = one {
                        flying.remove(&one);
                        queue.failed(one, 1, now.plus(1), now);
                    },
                }
                prop_assert!(flying.len() <= FLYING_MAX && queue.open.len() <= FRESH_MAX + KEPT_MAX);
                prop_assert!(queue.place() >= place);
                place = queue.place();
                prop_assert!((1..=place).all(|it| told.contains(&it) || queue.open[&it].kept));
            }
        }
    }
}
