//! Which signs of life stay where there are more than are kept: one of each of equal spans of time, so that none that is asked for is
//! far from one that is held, and those that calls rest on, so that their answers stay as they are.

use smallvec::SmallVec;

use super::account::Account;
use crate::limits::{CALLS_PER_THINNING, SIGN_SPANS};
use crate::time::Time;

/// Equal spans of time.
pub(super) struct Spans {
    from: Time,
    width: i64,
}

impl Spans {
    pub fn of(from: Time, to: Time) -> Spans {
        Spans { from, width: to.since(from).max(0) / SIGN_SPANS as i64 + 1 }
    }

    pub fn are_apart(&self, one: Time, other: Time) -> bool {
        let span = |at: Time| at.since(self.from) / self.width;
        span(one) != span(other)
    }
}

/// Whether one of `times` (in order) is at `from` or later, and before `to`.
pub(super) fn is_between(times: &[Time], from: Time, to: Time) -> bool {
    times.get(times.partition_point(|at| *at < from)).is_some_and(|at| *at < to)
}

pub(super) type Starts = SmallVec<[Time; 8]>;

impl Account {
    /// When calls started that rest on signs of life of leases on these numbers, by time: the latest.
    pub fn starts_on(&self, lines: impl Iterator<Item = u32>, from: Time, to: Time) -> Starts {
        let calls = lines.flat_map(|line| self.lines[line].calls()).map(|(start, _)| *start);
        let mut starts: Starts = calls.filter(|start| (from..=to).contains(start)).collect();
        starts.sort_unstable();
        starts.dedup();
        starts.drain(..starts.len().saturating_sub(CALLS_PER_THINNING));
        starts
    }
}
