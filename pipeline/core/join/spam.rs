//! Calls that look like a robot's: a score from 0 to 1 by rules that are stated (docs/attribution.md). Nothing is left out here;
//! reports leave out what scores [`SPAM_FROM`] or more.

use super::account::Account;
use crate::event::Direction;
use crate::time::MICROS_PER_HOUR;

/// The caller is on the account's list.
const LISTED: f64 = 1.0;
/// So many different numbers were called by one telephone within [`SPREAD_WITHIN`], this one included; the score of each.
const SPREAD: [(usize, f64); 2] = [(3, 0.9), (2, 0.3)];
pub(super) const SPREAD_WITHIN: i64 = MICROS_PER_HOUR;
/// Nobody took the call, and it was over within so many seconds.
const SHORT_SECONDS: f64 = 3.0;
const SHORT: f64 = 0.4;

impl Account {
    /// The provider's verdict, and on top of it what each rule that applies takes of the doubt that is left.
    pub fn spam_score(&self, ix: u32) -> Option<f64> {
        let call = &self.calls[ix];
        let told = call.spam_score.get().copied();
        if call.direction() != Direction::Inbound {
            return told;
        }
        let rules = self.rules(call.start());
        let listed = call.caller().number().is_some_and(|phone| rules.is_spam_number(phone));
        let spread = self.spread_of(ix);
        let spread = SPREAD.into_iter().find(|(numbers, _)| spread >= *numbers).map(|(_, score)| score);
        let short =
            call.answered_at().is_none() && call.total_seconds().is_some_and(|seconds| seconds <= SHORT_SECONDS);
        let found = [listed.then_some(LISTED), spread, short.then_some(SHORT)];
        found.into_iter().flatten().fold(told, |score, found| {
            let score = score.unwrap_or(0.0);
            Some(score + found * (1.0 - score))
        })
    }
}
