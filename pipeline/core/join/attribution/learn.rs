//! When what was learned comes into force. Each account has generations of rates: a call goes by the latest that was made
//! before it started, however late and however often it is decided.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::fit::{Lesson, fit};
use super::rates::{Rates, Tally};
use crate::limits::{GENERATIONS_KEPT, LEARNED_POOLS, LESSONS_KEPT};
use crate::row::Str;
use crate::time::{MICROS_PER_HOUR, Time};

#[derive(Default, Serialize, Deserialize)]
pub struct Learner {
    tally: Tally,
    /// In order of their first call; further ones go by the account's rates.
    pools: Vec<(Str, Tally)>,
    /// Of these pools in their order, then of all others together.
    looked: Vec<Looked>,
    /// The latest calls.
    lessons: VecDeque<Lesson>,
    /// Calls that were learned from since the last generation, and the hour (since 1970) in which the last of them was decided.
    fresh: f64,
    hour: i64,
    generations: VecDeque<Generation>,
}

/// What was looked at beside a pool's calls.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Looked {
    /// Up to the latest call that was learned from.
    until: Option<Time>,
    /// Numbers of the account that were drawn, and those of them that were the pool's: how many it has.
    drawn: f64,
    own: f64,
}

#[derive(Serialize, Deserialize)]
struct Generation {
    from: Time,
    account: Rates,
    /// In the order of the learner's pools, which only grows.
    pools: Vec<Rates>,
}

/// The share of calls that must be new before there is another generation.
const NEWS: f64 = 0.1;
/// Beyond so many, numbers that were drawn long ago count half.
const DRAWN: f64 = 10_000.0;
/// Of fewer calls than these nothing is learned, be it of an account or of a pool.
const FEWEST: usize = 25;

impl Learner {
    fn pool(&self, name: Option<&str>) -> Option<usize> {
        self.pools.iter().position(|(held, _)| Some(&**held) == name)
    }

    /// The rates in force for a call to that pool that starts then; nothing before the first generation.
    pub fn rates(&self, start: Time, pool: Option<&str>) -> Option<&Rates> {
        let after = self.generations.partition_point(|generation| generation.from <= start);
        let generation = self.generations.get(after.checked_sub(1)?)?;
        let own = self.pool(pool).and_then(|pool| generation.pools.get(pool));
        Some(own.unwrap_or(&generation.account))
    }

    fn looked(&mut self, pool: Option<&str>) -> &mut Looked {
        let at = self.pool(pool).unwrap_or(LEARNED_POOLS);
        if self.looked.is_empty() {
            self.looked = vec![Looked::default(); LEARNED_POOLS + 1];
        }
        &mut self.looked[at]
    }

    /// Since when nothing was looked at beside a pool's calls, by the one that starts now: its first call tells of no time.
    pub fn look(&mut self, start: Time, pool: Option<&str>) -> Time {
        let until = &mut self.looked(pool).until;
        let before = until.unwrap_or(start).min(start);
        *until = (*until).max(Some(start));
        before
    }

    /// Of so many numbers that were drawn from all, so many were the pool's: the share that it has, as far as it was seen.
    pub fn share(&mut self, pool: Option<&str>, drawn: u64, own: u64) -> f64 {
        let looked = self.looked(pool);
        if looked.drawn > DRAWN {
            (looked.drawn, looked.own) = (looked.drawn / 2.0, looked.own / 2.0);
        }
        looked.drawn += drawn as f64;
        looked.own += own as f64;
        if looked.drawn > 0.0 { looked.own / looked.drawn } else { 0.0 }
    }

    /// A call of a telephone that is known: how likely it came again, and how many seconds after the one before.
    pub fn hear_again(&mut self, likely: f64, seconds: f64) {
        let again = &mut self.tally.again;
        again.callers += 1.0;
        again.calls += likely;
        again.seconds += likely * seconds;
    }

    /// Takes a call's lesson, decided at `due`; what else it counts for goes into the tallies that are handed back.
    pub fn hear(
        &mut self,
        pool: Option<&Str>,
        due: Time,
        lesson: impl FnOnce(u8) -> Lesson,
    ) -> impl Iterator<Item = &mut Tally> {
        self.fresh += 1.0;
        // A call that was told late is due before others that were decided already.
        self.hour = self.hour.max(due.0.div_euclid(MICROS_PER_HOUR));
        let own = self.pool(pool.map(|pool| &**pool)).or_else(|| {
            let name = pool.filter(|_| self.pools.len() < LEARNED_POOLS)?;
            self.pools.push((name.clone(), Tally::default()));
            Some(self.pools.len() - 1)
        });
        if self.lessons.len() >= LESSONS_KEPT {
            self.lessons.pop_front();
        }
        self.lessons.push_back(lesson(own.map_or(u8::MAX, |own| own as u8)));
        let own = own.and_then(|own| self.pools.get_mut(own)).map(|(_, tally)| tally);
        std::iter::once(&mut self.tally).chain(own)
    }

    /// All that was decided up to `now` is counted: if that makes a difference, a generation begins with the hour.
    pub fn pass(&mut self, now: Time) {
        if self.fresh == 0.0 || now.0 < (self.hour + 1) * MICROS_PER_HOUR {
            return;
        }
        if self.lessons.len() < FEWEST || self.fresh < NEWS * self.lessons.len() as f64 {
            return;
        }
        let (supposed, last) = (Rates::default(), self.generations.back());
        let account = fit(self.lessons.iter(), &self.tally, &supposed, last.map_or(&supposed, |it| &it.account), true);
        let pools = self.pools.iter().enumerate().map(|(at, (_, tally))| {
            let own = self.lessons.iter().filter(move |lesson| usize::from(lesson.pool) == at);
            if own.clone().count() < FEWEST {
                return account.clone();
            }
            let from = last.and_then(|it| it.pools.get(at)).unwrap_or(&account);
            fit(own, tally, &account, from, false)
        });
        let pools = pools.collect();
        let from = Time((self.hour + 1) * MICROS_PER_HOUR);
        self.generations.push_back(Generation { from, account, pools });
        if self.generations.len() > GENERATIONS_KEPT {
            self.generations.pop_front();
            // Calls before it go by it too: it is the nearest that is left.
            if let Some(first) = self.generations.front_mut() {
                first.from = Time::MIN;
            }
        }
        let by = (-self.fresh / LESSONS_KEPT as f64).exp();
        self.tally.fade(by);
        self.pools.iter_mut().for_each(|(_, tally)| tally.fade(by));
        self.fresh = 0.0;
    }
}
