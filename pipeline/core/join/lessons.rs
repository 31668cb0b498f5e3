//! What a call teaches, once it is decided: when calls come, against when they could have come.

use smallvec::SmallVec;

use super::account::Account;
use super::attribution::{Chance, Evidence, FAR, NEAR_SECONDS, Seen, count_call, far_ends, lesson, seconds, teaches};
use super::choice::{Decision, Spent, spent_by};
use crate::event::Direction;
use crate::limits::{LEASES_PER_POINT, POINTS_PER_CALL};
use crate::row::Str;
use crate::time::{MICROS_PER_DAY, MICROS_PER_SECOND, Time};

/// Numbers that are tried, until one is of the call's pool.
const TRIES: u64 = 8;
/// So far back is looked at most.
const LOOKED_BACK: i64 = MICROS_PER_DAY;
/// Of so many of a call's points, sessions that were shown the number long before are counted: there are many of them.
const FAR_POINTS: usize = 2;
/// Sessions that have called before by this probability are no chance for another call. Less likely ones count as if they had not: that
/// they are so likely may come of what is learned here.
const CALLED: f64 = 0.7;

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
        if before.since.is_some() || !teaches(&evidence, choice) {
            return;
        }
        let (seen, talk) = (self.points(ix, start, pool.as_ref()), self.talk(ix));
        for tally in self.learner.hear(pool.as_ref(), due, |pool| lesson(pool, &evidence, talk, &seen)) {
            count_call(tally, &evidence, choice);
        }
    }

    /// Numbers of the pool at random times since its call before: what could have been seen there, had somebody called. All times count
    /// alike then, busy or not, and a rate that is fitted to both is one of calls by time: the integral of a point process' intensity,
    /// by stratified sampling.
    fn points(&mut self, ix: u32, start: Time, pool: Option<&Str>) -> Seen {
        let name = pool.map(|pool| &**pool);
        let gap = start.since(self.learner.look(start, name)).min(LOOKED_BACK);
        let mut seen = Seen::default();
        if gap == 0 {
            return seen;
        }
        let seed = xxhash_rust::xxh3::xxh3_64(self.text_of(&self.calls[ix].id).as_bytes());
        let slots = u64::from(self.lines.slots());
        let mut points: SmallVec<[(u32, Time); POINTS_PER_CALL as usize]> = SmallVec::new();
        let mut drawn = 0;
        for n in 0..POINTS_PER_CALL {
            let bits = scramble(seed.wrapping_add(n));
            let mut lines = (1..=TRIES).map(|again| below(scramble(bits.wrapping_add(again)), slots) as u32);
            let line = lines.find(|&line| {
                drawn += 1;
                self.is_of_pool(line, pool)
            });
            points.extend(line.map(|line| (line, start.minus(below(bits, gap as u64) as i64))));
        }
        let share = self.learner.share(name, drawn, points.len() as u64);
        let found = points.len() as f64 / POINTS_PER_CALL as f64;
        seen.hours = seconds(gap) / 3_600.0 * share * slots as f64 / found.max(f64::EPSILON);
        let mut far_points = 0;
        for (line, at) in points {
            let line = &self.lines[line];
            let leases = &line.leases;
            let granted = &leases[..leases.partition_point(|lease| self.leases[*lease].granted_at <= at)];
            if granted.last().is_none_or(|lease| self.leases[*lease].granted_at < self.window_from(at)) {
                // A call would have had no candidate.
                continue;
            }
            seen.points += 1.0 / POINTS_PER_CALL as f64;
            let recent = &granted[granted.len().saturating_sub(LEASES_PER_POINT)..];
            // Nobody calls a number before it is shown to them.
            let since = recent.first().map_or(at, |lease| self.leases[*lease].granted_at);
            self.see_near(recent, at, &self.spent_on(line, since..=at, |_, _| true), &mut seen.near);
            if far_points < FAR_POINTS {
                far_points += 1;
                self.see_far(granted, at, &mut seen.far);
            }
        }
        seen.far.iter_mut().for_each(|sessions| *sessions *= seen.points / far_points.max(1) as f64);
        seen
    }

    /// Sessions that were shown a number long before `at`, within the window, by bin.
    fn see_far(&self, granted: &[u32], at: Time, far: &mut [f64; FAR]) {
        let window = seconds(at.since(self.window_from(at)));
        let before = |granted: &[u32], seconds: f64| {
            let from = at.minus((seconds * MICROS_PER_SECOND as f64) as i64);
            granted.partition_point(|lease| self.leases[*lease].granted_at <= from)
        };
        let Some((nearest, _)) = far_ends(0, window) else { return };
        let mut rest = before(granted, nearest);
        for (bin, sessions) in far.iter_mut().enumerate() {
            let Some((_, to)) = far_ends(bin, window) else { break };
            let older = before(&granted[..rest], to);
            *sessions += (std::mem::replace(&mut rest, older) - older) as f64;
        }
    }

    fn is_of_pool(&self, line: u32, pool: Option<&Str>) -> bool {
        let last = self.lines.get(line).and_then(|line| line.leases.last());
        let terms = last.and_then(|&lease| self.terms(lease));
        terms.is_some_and(|terms| Some(self.shared.texts.get(terms.pool)) == pool)
    }

    /// Sessions whose last sign of life was not long before, but for those that have called.
    fn see_near(&self, leases: &[u32], at: Time, spent: &Spent, near: &mut SmallVec<[Chance; 12]>) {
        let mut seen: SmallVec<[(Option<u32>, u32); LEASES_PER_POINT]> = SmallVec::new();
        for &lease in leases.iter().rev() {
            let (session, visitor) = (self.leases[lease].session(), self.lease_visitor(lease));
            if seen.contains(&(session, visitor)) {
                continue;
            }
            seen.push((session, visitor));
            if session.is_some_and(|it| spent_by(spent, it, self.sessions[it].called()) >= CALLED) {
                continue;
            }
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

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::Story;
    use super::*;

    const EVERY_MINUTES: i64 = 10;
    const HOURS: i64 = 5 * 24;

    /// A number that is shown to somebody each ten minutes for five days, and called at the beginning.
    fn shown() -> Story {
        let mut story = Story::new(Mode::Bounded);
        for at in (0..HOURS * 60).step_by(EVERY_MINUTES as usize) {
            let ids = format!(r#""visitor_id":"v{at}","session_id":"s{at}""#);
            story.apply(at, "page_view", &format!(r#"{{{ids},"url":"https://example.com/"}}"#));
            let until = story.time(at + EVERY_MINUTES);
            let lease = format!(r#""lease_id":"l{at}","pool":"p","number":"+14155550100","expires_at":"{until}""#);
            story.apply(at, "lease_granted", &format!("{{{lease},{ids}}}"));
            for status in ["started", "ended"].into_iter().filter(|_| at == 0) {
                let call = format!(r#""call_id":"c","status":"{status}","from":"+14155550199","to":"+14155550100""#);
                story.apply(0, "call", &format!(r#"{{"direction":"inbound",{call}}}"#));
            }
        }
        story
    }

    /// How often sessions are to be expected so long before a call is told by who was shown the number so long before, and within the window.
    #[test]
    fn what_was_shown_long_before_is_counted_by_when() {
        let story = shown();
        let account = &story.join.accounts[0];
        let (_, line) = account.lines.iter().next().unwrap();
        let window: f64 = 72.0 * 3_600.0;
        for at in [99, 30, 20, 7, HOURS + 11, HOURS + 39] {
            let time = |hours: i64| story.time(hours * 60);
            let granted = &line.leases[..line.leases.partition_point(|&it| account.leases[it].granted_at <= time(at))];
            let mut far = [0.0; FAR];
            account.see_far(granted, time(at), &mut far);
            let (first, quiet) = (at as f64 * 3_600.0, (at - HOURS).max(0) as f64 * 3_600.0);
            for (bin, sessions) in far.iter().enumerate() {
                let shown = far_ends(bin, window).map_or(0.0, |(from, to)| (to.min(first) - from.max(quiet)).max(0.0));
                let expected = shown / (EVERY_MINUTES as f64 * 60.0);
                assert!((sessions - expected).abs() <= 1.5, "{at} {bin}: {sessions} {expected}");
            }
        }
    }
}
