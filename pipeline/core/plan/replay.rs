//! Real visits led through a pool of a given size, by the rules of leasing: a line is held while the visit lasts and for
//! `hold` after its last sign of life, then rests for `cooldown`; a visitor who comes back by then keeps it; else the
//! line that was never used, or that was held longest ago, goes next.
//!
//! Two things are simpler than in the lease desk: a visit is known to its end when it begins, so renewals cost nothing
//! and are never late; and a visit that finds no line does not ask again.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use crate::join::share_of_calls_after;
use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_SECOND, Time};

/// How long a line stays with a visit that gives no sign of life, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub hold: i64,
    pub cooldown: i64,
}

/// One visit from its first sign of life to its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Visit {
    pub from: Time,
    pub to: Time,
    /// Who; the same visitor has the same number.
    pub visitor: u64,
}

/// What became of the visits in a pool of one size.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Replayed {
    /// Visits that needed a line: all but those whose visitor still had one.
    pub asks: u64,
    /// Those of them that found none.
    pub exhausted: u64,
    /// Lines that were given.
    pub leases: u64,
    /// Calls to expect from those leases that come after the line has got another visitor, in calls of one a lease.
    pub ambiguous: f64,
}

/// What the visits ask of a pool that is large enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// Visits that need a line.
    pub asks: u64,
    /// Seconds that a line is taken on average, hold and cooldown included.
    pub taken_seconds: f64,
    /// Most visits that need a line, an hour, over spans as long as a line is taken (in whole hours).
    pub busiest_per_hour: f64,
    /// When that span begins.
    pub busiest_from: Time,
    /// Most lines that are taken at one time: with so many no visit finds none.
    pub most: usize,
}

impl Replayed {
    /// The share of visits that find no line.
    pub fn exhaustion(&self) -> f64 {
        if self.asks == 0 { 0.0 } else { self.exhausted as f64 / self.asks as f64 }
    }

    /// The share of calls that come after their line has got another visitor.
    pub fn ambiguity(&self) -> f64 {
        if self.leases == 0 { 0.0 } else { self.ambiguous / self.leases as f64 }
    }
}

/// Visits of signs of life (visitor and time, in any order): signs of one visitor that are no further than `hold` apart
/// are one visit, for so long the line stays theirs. The visits are in the order of their beginnings.
pub fn visits_of(mut signs: Vec<(u64, Time)>, hold: i64) -> Vec<Visit> {
    signs.sort_unstable();
    let mut visits: Vec<Visit> = Vec::new();
    for (visitor, time) in signs {
        match visits.last_mut().filter(|last| last.visitor == visitor && time.since(last.to) <= hold) {
            Some(last) => last.to = time,
            None => visits.push(Visit { from: time, to: time, visitor }),
        }
    }
    visits.sort_unstable();
    visits
}

/// One line of the pool.
#[derive(Debug, Clone, Copy)]
struct Line {
    visitor: u64,
    last_sign: Time,
    /// Of the traffic's first time round.
    counts: bool,
}

struct Pool {
    terms: Terms,
    lines: Vec<Line>,
    size: usize,
    of_visitor: FxHashMap<u64, usize>,
    /// By the last sign of life: the first was held longest ago.
    by_last_sign: BTreeSet<(Time, usize)>,
    told: Replayed,
}

impl Pool {
    /// A line is somebody's until hold and cooldown are over.
    fn is_taken(&self, line: &Line, now: Time) -> bool {
        line.last_sign.plus(self.terms.hold).plus(self.terms.cooldown) > now
    }

    fn keep(&mut self, at: usize, until: Time) {
        let line = &mut self.lines[at];
        if line.last_sign < until {
            self.by_last_sign.remove(&(line.last_sign, at));
            line.last_sign = until;
            self.by_last_sign.insert((until, at));
        }
    }

    fn visit(&mut self, visit: Visit, counts: bool) {
        let kept = self.of_visitor.get(&visit.visitor).copied();
        if let Some(at) = kept.filter(|at| self.is_taken(&self.lines[*at], visit.from)) {
            return self.keep(at, visit.to);
        }
        self.told.asks += u64::from(counts);
        let line = Line { visitor: visit.visitor, last_sign: visit.to, counts };
        let at = if self.lines.len() < self.size {
            self.lines.push(line);
            self.lines.len() - 1
        } else {
            let oldest = self.by_last_sign.first().copied();
            let Some((_, at)) = oldest.filter(|(_, at)| !self.is_taken(&self.lines[*at], visit.from)) else {
                self.told.exhausted += u64::from(counts);
                return;
            };
            let before = std::mem::replace(&mut self.lines[at], line);
            self.by_last_sign.remove(&(before.last_sign, at));
            if self.of_visitor.get(&before.visitor) == Some(&at) {
                self.of_visitor.remove(&before.visitor);
            }
            if before.counts && before.visitor != visit.visitor {
                self.told.ambiguous += share_of_calls_after(visit.from.since(before.last_sign));
            }
            at
        };
        self.told.leases += u64::from(counts);
        self.by_last_sign.insert((visit.to, at));
        self.of_visitor.insert(visit.visitor, at);
    }
}

/// Leads `visits` (in the order of their beginnings) through a pool of `size` lines that are all free at first. So that
/// the last leases get their successors, too, the traffic comes a second time, whole days later and from other visitors;
/// only its first time counts.
pub fn replay(visits: &[Visit], size: usize, terms: Terms) -> Replayed {
    let (Some(first), Some(last)) = (visits.first(), visits.last()) else { return Replayed::default() };
    let mut pool = Pool {
        terms,
        lines: Vec::new(),
        size,
        of_visitor: FxHashMap::default(),
        by_last_sign: BTreeSet::new(),
        told: Replayed::default(),
    };
    visits.iter().for_each(|visit| pool.visit(*visit, true));
    let period = period_of(first.from, last.from);
    for visit in visits {
        let again = Visit { from: visit.from.plus(period), to: visit.to.plus(period), visitor: !visit.visitor };
        pool.visit(again, false);
    }
    // Whoever has no successor by now may have one at the very next moment.
    let end = last.from.plus(period);
    for line in pool.lines.iter().filter(|line| line.counts) {
        pool.told.ambiguous += share_of_calls_after(end.since(line.last_sign));
    }
    pool.told
}

/// Whole days, and at least one: the second time has the first one's times of day.
fn period_of(first: Time, last: Time) -> i64 {
    (last.since(first) / MICROS_PER_DAY + 1) * MICROS_PER_DAY
}

/// What `visits` (in the order of their beginnings) ask for. Nothing where there are none.
pub fn demand(visits: &[Visit], terms: Terms) -> Option<Demand> {
    let first = visits.first()?.from;
    let taken = taken(visits, terms);
    let total: i64 = taken.iter().map(|(from, until)| until.since(*from)).sum();
    let mean = total as f64 / taken.len() as f64;
    let (busiest_per_hour, busiest_from) = busiest(&taken, first, mean);
    let taken_seconds = mean / MICROS_PER_SECOND as f64;
    Some(Demand { asks: taken.len() as u64, taken_seconds, busiest_per_hour, busiest_from, most: most(&taken) })
}

/// Spans for which a line of its own is needed, by their beginnings: a visitor who comes back in time has it still.
fn taken(visits: &[Visit], terms: Terms) -> Vec<(Time, Time)> {
    let mut taken: Vec<(Time, Time)> = Vec::new();
    let mut of_visitor: FxHashMap<u64, usize> = FxHashMap::default();
    for visit in visits {
        let until = visit.to.plus(terms.hold).plus(terms.cooldown);
        let held = of_visitor.get(&visit.visitor).copied().filter(|at| taken[*at].1 > visit.from);
        match held {
            Some(at) => taken[at].1 = taken[at].1.max(until),
            None => {
                of_visitor.insert(visit.visitor, taken.len());
                taken.push((visit.from, until));
            }
        }
    }
    taken
}

/// Visits an hour in the busiest span, and its beginning. The span is as long as a line is taken, since a shorter rush
/// does not fill a pool that its own visits are only beginning to use.
fn busiest(taken: &[(Time, Time)], first: Time, mean: f64) -> (f64, Time) {
    let hours = (mean / MICROS_PER_HOUR as f64).ceil().max(1.0);
    let span = (hours * MICROS_PER_HOUR as f64) as i64;
    let (mut most, mut from, mut begin) = (0, first, 0);
    for (at, (now, _)) in taken.iter().enumerate() {
        while now.since(taken[begin].0) >= span {
            begin += 1;
        }
        if at + 1 - begin > most {
            (most, from) = (at + 1 - begin, taken[begin].0);
        }
    }
    (most as f64 / hours, from)
}

fn most(taken: &[(Time, Time)]) -> usize {
    let mut ends: Vec<Time> = taken.iter().map(|(_, until)| *until).collect();
    ends.sort_unstable();
    let (mut ended, mut most) = (0, 0);
    for (at, (from, _)) in taken.iter().enumerate() {
        while ends[ended] <= *from {
            ended += 1;
        }
        most = most.max(at + 1 - ended);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MICROS_PER_MINUTE;
    use proptest::prelude::*;

    const TERMS: Terms = Terms { hold: 3 * MICROS_PER_MINUTE, cooldown: 2 * MICROS_PER_MINUTE };

    fn at(minutes: i64) -> Time {
        Time(1_795_176_000_000_000).plus(minutes * MICROS_PER_MINUTE)
    }

    fn visit(visitor: u64, from: i64, to: i64) -> Visit {
        Visit { from: at(from), to: at(to), visitor }
    }

    /// One lease of a line.
    struct Lease {
        visitor: u64,
        granted: Time,
        last_sign: Time,
        counts: bool,
    }

    /// The same by the letter of the rules, slowly: every line is asked each time, and all that ever held it is kept.
    fn by_hand(visits: &[Visit], size: usize, terms: Terms) -> Replayed {
        let mut told = Replayed::default();
        let mut lines: Vec<Vec<Lease>> = (0..size).map(|_| Vec::new()).collect();
        let (Some(first), Some(last)) = (visits.first(), visits.last()) else { return told };
        let period = period_of(first.from, last.from);
        let again = |it: &Visit| Visit { from: it.from.plus(period), to: it.to.plus(period), visitor: !it.visitor };
        let over = |lease: &Lease| lease.last_sign.plus(terms.hold).plus(terms.cooldown);
        for (visit, counts) in visits.iter().map(|it| (*it, true)).chain(visits.iter().map(|it| (again(it), false))) {
            let mut newest = lines.iter_mut().filter_map(|line| line.last_mut());
            if let Some(own) = newest.find(|lease| lease.visitor == visit.visitor && visit.from < over(lease)) {
                own.last_sign = own.last_sign.max(visit.to);
                continue;
            }
            told.asks += u64::from(counts);
            let free = lines.iter_mut().filter(|line| line.last().is_none_or(|lease| over(lease) <= visit.from));
            match free.min_by_key(|line| line.last().map(|lease| lease.last_sign)) {
                Some(line) => {
                    told.leases += u64::from(counts);
                    line.push(Lease { visitor: visit.visitor, granted: visit.from, last_sign: visit.to, counts });
                }
                None => told.exhausted += u64::from(counts),
            }
        }
        let end = last.from.plus(period);
        for line in &lines {
            for (at, lease) in line.iter().enumerate().filter(|(_, lease)| lease.counts) {
                told.ambiguous += match line.get(at + 1) {
                    Some(next) if next.visitor == lease.visitor => 0.0,
                    Some(next) => share_of_calls_after(next.granted.since(lease.last_sign)),
                    None => share_of_calls_after(end.since(lease.last_sign)),
                };
            }
        }
        told
    }

    #[test]
    fn a_small_pool_runs_out() {
        let visits = [visit(1, 0, 1), visit(2, 2, 2), visit(1, 5, 9), visit(3, 6, 6), visit(4, 7, 8)];
        // Visitor 1 comes back within hold and cooldown; 2's line is free again at 7.
        let told = replay(&visits, 2, TERMS);
        assert_eq!((told.asks, told.exhausted, told.leases), (4, 1, 3));
        let demand = demand(&visits, TERMS).expect("visits");
        assert_eq!((demand.asks, demand.most, demand.busiest_per_hour), (4, 3, 4.0));
        assert!((demand.taken_seconds - 60.0 * (14.0 + 5.0 + 5.0 + 6.0) / 4.0).abs() < 1e-9);
        assert_eq!(replay(&visits, 3, TERMS).exhausted, 0);
        assert_eq!((replay(&[], 3, TERMS), super::demand(&[], TERMS)), (Replayed::default(), None));
    }

    #[test]
    fn signs_become_visits() {
        let signs = vec![(1, at(4)), (2, at(1)), (1, at(1)), (1, at(8)), (1, at(0))];
        assert_eq!(visits_of(signs, TERMS.hold), [visit(1, 0, 4), visit(2, 1, 1), visit(1, 8, 8)]);
    }

    #[test]
    fn a_longer_rest_makes_fewer_calls_ambiguous() {
        let visits: Vec<Visit> = (0..500).map(|at| visit(at, 2 * at as i64, 2 * at as i64)).collect();
        let told: Vec<f64> = [3, 30, 100].map(|size| replay(&visits, size, TERMS).ambiguity()).into();
        assert!(told[0] > 0.6 && told[0] > told[1] && told[1] > told[2] && told[2] > 0.2, "{told:?}");
    }

    fn visits() -> impl Strategy<Value = Vec<Visit>> {
        prop::collection::vec((0u64..6, 0i64..90, 0i64..6), 1..40).prop_map(|all| {
            // One visitor's visits that run into each other are one.
            let signs =
                all.iter().flat_map(|(who, from, long)| (0..=*long).map(move |step| (*who, at(from + step)))).collect();
            visits_of(signs, TERMS.hold)
        })
    }

    proptest! {
        #[test]
        fn replays_as_by_hand(visits in visits(), size in 1usize..6, hold in 0i64..4, cooldown in 0i64..6) {
            let terms = Terms { hold: hold * MICROS_PER_MINUTE, cooldown: cooldown * MICROS_PER_MINUTE };
            let (found, expected) = (replay(&visits, size, terms), by_hand(&visits, size, terms));
            prop_assert_eq!((found.asks, found.exhausted, found.leases), (expected.asks, expected.exhausted, expected.leases));
            prop_assert!((found.ambiguous - expected.ambiguous).abs() < 1e-9, "{} {}", found.ambiguous, expected.ambiguous);
        }

        #[test]
        fn as_many_as_are_asked_for_suffice(visits in visits()) {
            let demand = demand(&visits, TERMS).expect("visits");
            let enough = replay(&visits, demand.most, TERMS);
            prop_assert_eq!((enough.exhausted, enough.asks), (0, demand.asks));
            prop_assert!(demand.most == 1 || replay(&visits, demand.most - 1, TERMS).exhausted > 0);
        }
    }
}
