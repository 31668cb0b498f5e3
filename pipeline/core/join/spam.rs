//! Calls that look like a robot's: a score from 0 to 1 by rules that are stated (docs/attribution.md). Nothing is left out here;
//! reports leave out what scores [`SPAM_FROM`] or more.

use super::account::Account;
use super::attribution::rounded;
use crate::event::{Direction, Outcome};
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
        let is_taken = call.outcome(rules.settings().greeting_seconds) == Some(Outcome::Answered);
        let short = !is_taken && call.total_seconds().is_some_and(|seconds| seconds <= SHORT_SECONDS);
        let found = [listed.then_some(LISTED), spread, short.then_some(SHORT)];
        found.into_iter().flatten().fold(told, |score, found| {
            let score = score.unwrap_or(0.0);
            Some(rounded(score + found * (1.0 - score)))
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::join::Mode;
    use crate::join::tests::Story;

    /// Who took it is told in several ways, and the outcome is what counts.
    #[test]
    fn a_short_call_that_was_taken_is_no_robots() {
        let mut story = Story::new(Mode::Bounded);
        let parties = r#""direction":"inbound","to":"+14155550100""#;
        for (call, from, ended) in [
            ("talked", "+14155550191", r#""talk_seconds":2"#),
            ("told", "+14155550192", r#""outcome":"answered""#),
            ("busy", "+14155550193", r#""outcome":"busy""#),
        ] {
            let of = format!(r#""call_id":"{call}",{parties},"from":"{from}""#);
            story.apply(1, "call", &format!(r#"{{{of},"status":"started"}}"#));
            if call == "busy" {
                story.apply(1, "call", &format!(r#"{{{of},"status":"answered"}}"#));
            }
            story.apply(1, "call", &format!(r#"{{{of},"status":"ended",{ended}}}"#));
        }
        story.settle();
        for (call, expected) in [("talked", None), ("told", None), ("busy", Some(0.4))] {
            let row = story.calls.iter().rfind(|row| &*row.call_id == call).unwrap();
            assert_eq!(row.spam_score, expected, "{call}");
        }
    }

    #[test]
    fn what_rules_add_is_told_without_the_last_bits_of_its_reckoning() {
        let mut story = Story::new(Mode::Bounded);
        // Nobody takes any of these calls, and each is to another number: 0.4, then 0.3 and 0.4 of the rest, then 0.9 and 0.4.
        for n in 0..3 {
            for status in ["started", "ended"] {
                let call = format!(
                    r#"{{"call_id":"c-{n}","status":"{status}","direction":"inbound","from":"+14155550199","to":"+1415555010{n}"}}"#
                );
                story.apply(n, "call", &call);
            }
        }
        story.settle();
        for (call, expected) in [("c-0", 0.4), ("c-1", 0.58), ("c-2", 0.94)] {
            let row = story.calls.iter().rfind(|row| &*row.call_id == call).unwrap();
            assert_eq!(row.spam_score, Some(expected), "{call}");
        }
    }
}
