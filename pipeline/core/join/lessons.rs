//! What a call teaches, once it is decided: when calls come, against when they could have come.

use smallvec::SmallVec;

use super::account::Account;
use super::attribution::{Chance, Evidence, NEAR_SECONDS, Seen, count_call, lesson, seconds};
use super::choice::Decision;
use crate::event::Direction;
use crate::limits::{LEASES_PER_POINT, POINTS_PER_CALL};
use crate::row::Str;
use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_SECOND, Time};

/// Numbers that are tried, until one is of the call's pool.
const TRIES: u64 = 8;
/// How often a number is shown is told by the leases of so long before.
const SHOWN_WITHIN: i64 = 2 * MICROS_PER_HOUR;

/// A one-to-one scrambling of 64 bits (SplitMix64's last step): chance that is the same in every replay.
fn scramble(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// From 0 to `n - 1`.
fn below(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}

impl Account {
    /// Counts a call that was decided for the first time. What is told of it later changes its row, not what it taught.
    pub fn learn(&mut self, ix: u32, decision: &Decision, due: Time) {
        let call = &self.calls[ix];
        let Some(choice) = &decision.choice else { return };
        if call.direction() != Direction::Inbound || call.extension.get().is_some() {
            return;
        }
        let start = call.start();
        let pool = self.pool_of(&decision.candidates);
        let evidence: Vec<Evidence> = decision.candidates.iter().map(|it| it.evidence.clone()).collect();
        let before = self.called_before(ix, &[], 0.0);
        if call.filed_caller.is_some() {
            self.learner.hear_again(choice.again, seconds(before.since.unwrap_or(0)));
        }
        if before.since.is_some() {
            return;
        }
        let seen = self.points(ix, start, pool.as_ref());
        let Some(lesson) = lesson(&evidence, choice, self.talk(ix), seen) else { return };
        for tally in self.learner.hear(start, pool.as_ref(), due, lesson) {
            count_call(tally, &evidence, choice);
        }
    }

    /// Numbers of the pool at random times of the day before: what could have been seen there, had somebody called.
    fn points(&self, ix: u32, start: Time, pool: Option<&Str>) -> Seen {
        let window = start.since(self.window_from(start));
        let known = self.learner.since().map_or(0, |since| start.since(since)).clamp(0, window);
        let mut seen = Seen { known: seconds(known), ..Seen::default() };
        let seed = xxhash_rust::xxh3::xxh3_64(self.text_of(&self.calls[ix].id).as_bytes());
        let point = |n| {
            let bits = scramble(seed.wrapping_add(n));
            let at = start.minus(below(bits, MICROS_PER_DAY as u64) as i64);
            let lines =
                (1..=TRIES).map(|again| below(scramble(bits.wrapping_add(again)), u64::from(self.lines.slots())));
            let line = lines.map(|line| line as u32).find(|&line| self.is_of_pool(line, pool))?;
            Some((line, at))
        };
        for (line, at) in (0..POINTS_PER_CALL).filter_map(point) {
            self.see(line, at, &mut seen);
        }
        seen
    }

    fn is_of_pool(&self, line: u32, pool: Option<&Str>) -> bool {
        let last = self.lines.get(line).and_then(|line| line.leases.last());
        let terms = last.and_then(|&lease| self.terms(lease));
        terms.is_some_and(|terms| Some(self.shared.texts.get(terms.pool)) == pool)
    }

    /// A number as it was at a time; nothing if a call would have had no candidate.
    fn see(&self, line: u32, at: Time, seen: &mut Seen) {
        let leases = &self.lines[line].leases;
        let granted = leases.partition_point(|lease| self.leases[*lease].granted_at <= at);
        let recent = &leases[granted.saturating_sub(LEASES_PER_POINT)..granted];
        if recent.last().is_none_or(|lease| self.leases[*lease].granted_at < self.window_from(at)) {
            return;
        }
        let since = at.minus(SHOWN_WITHIN);
        let within = granted - leases.partition_point(|lease| self.leases[*lease].granted_at <= since);
        seen.points += 1.0 / POINTS_PER_CALL as f64;
        seen.shows += within as f64 / seconds(SHOWN_WITHIN) / POINTS_PER_CALL as f64;
        self.see_near(recent, at, &mut seen.near);
    }

    /// Sessions whose last sign of life was not long before.
    fn see_near(&self, leases: &[u32], at: Time, near: &mut SmallVec<[Chance; 12]>) {
        let mut seen: SmallVec<[(Option<u32>, u32); LEASES_PER_POINT]> = SmallVec::new();
        for &lease in leases.iter().rev() {
            let (session, visitor) = (self.leases[lease].session(), self.lease_visitor(lease));
            if seen.contains(&(session, visitor)) {
                continue;
            }
            seen.push((session, visitor));
            let last_sign = match session {
                Some(session) => self.last_sign(session, at),
                None => self.leases[lease].last_told(at),
            };
            let last_sign = last_sign.unwrap_or(self.leases[lease].granted_at);
            let (state, since) = self.state_of(lease, last_sign, at);
            let delay = at.since(since);
            if delay < (NEAR_SECONDS * MICROS_PER_SECOND as f64) as i64 {
                let pages = session.map_or(0, |session| self.sessions[session].pages_by(at));
                near.push(Chance { state, delay, pages });
            }
        }
    }
}
