//! When what was learned comes into force. Each account has generations of rates: a call goes by the latest that was made
//! before it started, however late and however often it is decided.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::rates::{Rates, Tally};
use crate::limits::{GENERATIONS_KEPT, LEARNED_POOLS};
use crate::row::Str;
use crate::time::{MICROS_PER_HOUR, Time};

#[derive(Default, Serialize, Deserialize)]
pub struct Learner {
    tally: Tally,
    /// By name; further ones go by the account's rates.
    pools: BTreeMap<Str, Tally>,
    /// The earliest start of a call that was learned from: what lies before cannot be known.
    since: Option<Time>,
    /// Calls that were ever learned from, those since the last generation, and the hour (since 1970) in which the last of them was
    /// decided.
    seen: f64,
    fresh: f64,
    hour: i64,
    generations: VecDeque<Generation>,
}

#[derive(Serialize, Deserialize)]
struct Generation {
    from: Time,
    account: Rates,
    pools: BTreeMap<Str, Rates>,
}

/// Calls that count at most: what is older fades.
const MEMORY: f64 = 6_000.0;
/// The share of calls that must be new before there is another generation.
const NEWS: f64 = 0.02;
/// Early calls were judged by poor rates, and fade too: before [`MEMORY`] is reached, about half of all calls counts.
const EARLY: f64 = 50.0;

impl Learner {
    /// The rates in force for a call to that pool that starts then; nothing before the first generation.
    pub fn rates(&self, start: Time, pool: Option<&str>) -> Option<&Rates> {
        let after = self.generations.partition_point(|generation| generation.from <= start);
        let generation = self.generations.get(after.checked_sub(1)?)?;
        Some(pool.and_then(|pool| generation.pools.get(pool)).unwrap_or(&generation.account))
    }

    pub fn since(&self) -> Option<Time> {
        self.since
    }

    /// Where calls of a pool count, decided at `due`.
    pub fn tallies(&mut self, start: Time, pool: Option<&Str>, due: Time) -> impl Iterator<Item = &mut Tally> {
        self.since = Some(self.since.map_or(start, |since| since.min(start)));
        self.fresh += 1.0;
        self.seen += 1.0;
        // A call that was told late is due before others that were decided already.
        self.hour = self.hour.max(due.0.div_euclid(MICROS_PER_HOUR));
        let mut own = None;
        if let Some(pool) = pool {
            if self.pools.contains_key(pool) || self.pools.len() < LEARNED_POOLS {
                own = Some(self.pools.entry(pool.clone()).or_default());
            }
        }
        std::iter::once(&mut self.tally).chain(own)
    }

    /// All that was decided up to `now` is counted: if that makes a difference, a generation begins with the hour.
    pub fn pass(&mut self, now: Time) {
        if self.fresh == 0.0 || now.0 < (self.hour + 1) * MICROS_PER_HOUR {
            return;
        }
        if self.fresh < NEWS * self.tally.calls {
            return;
        }
        let account = Rates::learn(&self.tally, &Rates::default(), true);
        let of = |tally: &Tally| Rates::learn(tally, &account, false);
        let pools = self.pools.iter().map(|(name, tally)| (name.clone(), of(tally))).collect();
        let from = Time((self.hour + 1) * MICROS_PER_HOUR);
        self.generations.push_back(Generation { from, account, pools });
        if self.generations.len() > GENERATIONS_KEPT {
            self.generations.pop_front();
        }
        let memory = self.seen.clamp(EARLY, MEMORY);
        let by = (-self.fresh / memory).exp();
        self.tally.fade(by);
        self.pools.values_mut().for_each(|tally| tally.fade(by));
        self.fresh = 0.0;
    }
}
