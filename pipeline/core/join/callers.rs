//! A caller's calls, counted in order of their start: the kinds of call.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::account::Account;
use super::intern::hash_of;
use crate::event::{Direction, Outcome};
use crate::limits::{CALLER_MEMORY, VISITORS_PER_CALLER};
use crate::phone::Phone;
use crate::row::Kinds;
use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Time};

#[derive(Serialize, Deserialize)]
pub(super) struct Caller {
    /// As of the calls that are no longer held.
    base: Count,
    rest: Option<Box<Rest>>,
}

/// What counting a caller's calls has come to.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    /// When the sales cycle of the latest target call ends; `Time::MIN` if none of the calls was qualified.
    cycle_ends: Time,
    calls: u32,
    /// When the last of them started, in hours since 1970.
    last_hour: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct Rest {
    /// By start, then call id.
    recent: Vec<Entry>,
    /// Visitors (by hash) to whom calls were joined that are no longer held; the latest last.
    joined_before: SmallVec<[u64; 2]>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    start: Time,
    /// Nothing once the call is no longer held.
    call: Option<u32>,
    qualified: bool,
    cycle: i64,
    /// The visitor (by hash) to whom it was joined.
    joined: Option<u64>,
    kinds: Kinds,
    after: Count,
}

impl Count {
    const NOTHING: Count = Count { cycle_ends: Time::MIN, calls: 0, last_hour: 0 };

    /// The kinds of the next call, and the count after it.
    fn next(self, start: Time, qualified: bool, cycle: i64) -> (Kinds, Count) {
        let first_target = qualified && self.cycle_ends == Time::MIN;
        let in_cycle = self.cycle_ends != Time::MIN && start < self.cycle_ends;
        let is_target = qualified && !in_cycle;
        let is_unique = self.calls == 0;
        let kinds = Kinds {
            caller_calls: Some(self.calls + 1),
            is_unique,
            is_target,
            is_repeated: qualified && in_cycle,
            is_first_target: first_target,
            is_unique_target: is_unique && is_target,
        };
        let after = Count {
            cycle_ends: if is_target { start.plus(cycle) } else { self.cycle_ends },
            calls: self.calls + 1,
            last_hour: self.last_hour.max((start.0 / MICROS_PER_HOUR) as u32),
        };
        (kinds, after)
    }
}

impl Account {
    /// Whether a call is qualified by the settings in force at its start, and the cycle that it would open.
    fn qualified(&self, ix: u32) -> (bool, i64) {
        let call = &self.calls[ix];
        let settings = self.rules(call.start()).settings();
        let answered = call.outcome(settings.greeting_seconds) == Some(Outcome::Answered);
        let cycle = (settings.sales_cycle_days * MICROS_PER_DAY as f64) as i64;
        (answered && call.talk_seconds() >= settings.target_seconds, cycle)
    }

    /// Puts a call in its place among its caller's, and counts anew from there.
    pub fn refile_caller(&mut self, ix: u32) {
        let call = &self.calls[ix];
        let counted = call.direction() != Direction::Outbound;
        let filed = call.caller().number().filter(|_| counted).map(|phone| (phone, call.start()));
        let (qualified, cycle) = self.qualified(ix);
        if filed != self.calls[ix].filed_caller {
            self.unfile_caller(ix);
            self.calls[ix].filed_caller = filed;
            let Some((phone, start)) = filed else { return };
            let place = self.place_among(phone, start, ix);
            let caller = self.callers.entry(phone).or_insert(Caller { base: Count::NOTHING, rest: None });
            let kinds = Kinds::default();
            let entry = Entry { start, call: Some(ix), qualified, cycle, joined: None, kinds, after: Count::NOTHING };
            caller.rest.get_or_insert_default().recent.insert(place, entry);
            self.recount(phone, place);
        } else if let Some((phone, _)) = filed
            && let Some((place, entry)) = self.entry(phone, ix)
            && (entry.qualified, entry.cycle) != (qualified, cycle)
        {
            (entry.qualified, entry.cycle) = (qualified, cycle);
            self.recount(phone, place);
        }
    }

    fn entry(&mut self, phone: Phone, call: u32) -> Option<(usize, &mut Entry)> {
        let recent = &mut self.callers.get_mut(&phone)?.rest.as_mut()?.recent;
        recent.iter_mut().enumerate().rev().find(|(_, entry)| entry.call == Some(call))
    }

    fn place_among(&self, phone: Phone, start: Time, ix: u32) -> usize {
        let Some(rest) = self.callers.get(&phone).and_then(|caller| caller.rest.as_ref()) else { return 0 };
        if rest.recent.last().is_none_or(|last| last.start < start) {
            return rest.recent.len();
        }
        let id = self.calls[ix].id.to_string();
        rest.recent.partition_point(|entry| {
            entry.start < start
                || (entry.start == start && entry.call.is_none_or(|call| self.calls[call].id.to_string() < id))
        })
    }

    /// Counts from `from` on, and decides the calls anew whose kinds changed.
    fn recount(&mut self, phone: Phone, from: usize) {
        let Some(caller) = self.callers.get_mut(&phone) else { return };
        let Some(rest) = caller.rest.as_mut() else { return };
        let mut count = match from.checked_sub(1) {
            Some(before) => rest.recent[before].after,
            None => caller.base,
        };
        let mut changed: SmallVec<[u32; 4]> = SmallVec::new();
        for entry in &mut rest.recent[from..] {
            let (kinds, after) = count.next(entry.start, entry.qualified, entry.cycle);
            if kinds != entry.kinds {
                entry.kinds = kinds;
                changed.extend(entry.call);
            }
            entry.after = after;
            count = after;
        }
        for call in changed {
            self.touch_call(call);
        }
    }

    pub fn kinds(&self, ix: u32) -> Kinds {
        let call = &self.calls[ix];
        let filed = call.filed_caller.and_then(|(phone, _)| self.callers.get(&phone)?.rest.as_ref());
        if let Some(entry) = filed.and_then(|rest| rest.recent.iter().rev().find(|entry| entry.call == Some(ix))) {
            return entry.kinds;
        }
        // Anonymous: a target if qualified, nothing else. Outbound: no kinds.
        let is_target = call.direction() != Direction::Outbound && self.qualified(ix).0;
        Kinds { is_target, ..Kinds::default() }
    }

    fn unfile_caller(&mut self, ix: u32) {
        let Some((phone, _)) = self.calls[ix].filed_caller.take() else { return };
        let Some((place, _)) = self.entry(phone, ix) else { return };
        let Some(caller) = self.callers.get_mut(&phone) else { return };
        if let Some(rest) = caller.rest.as_mut() {
            rest.recent.remove(place);
        }
        if caller.base == Count::NOTHING && caller.rest.as_ref().is_none_or(|rest| rest.recent.is_empty()) {
            self.callers.remove(&phone);
        } else {
            self.recount(phone, place);
        }
    }

    /// The call is no longer held: once no earlier one is, it is part of the caller's base.
    pub fn leave_caller(&mut self, ix: u32) {
        let Some((phone, _)) = self.calls[ix].filed_caller.take() else { return };
        if let Some((_, entry)) = self.entry(phone, ix) {
            entry.call = None;
        }
        let Some(caller) = self.callers.get_mut(&phone) else { return };
        let Some(rest) = caller.rest.as_mut() else { return };
        let gone = rest.recent.iter().take_while(|entry| entry.call.is_none()).count();
        for entry in rest.recent.drain(..gone) {
            caller.base = entry.after;
            if let Some(visitor) = entry.joined {
                rest.joined_before.retain(|held| *held != visitor);
                rest.joined_before.push(visitor);
                if rest.joined_before.len() > VISITORS_PER_CALLER {
                    rest.joined_before.remove(0);
                }
            }
        }
        if rest.recent.is_empty() && rest.joined_before.is_empty() {
            caller.rest = None;
        }
    }

    /// Whether an earlier call of this caller was joined to that visitor.
    pub fn was_joined_before(&self, ix: u32, visitor: u32) -> bool {
        let call = &self.calls[ix];
        let Some((phone, start)) = call.filed_caller else { return false };
        let Some(rest) = self.callers.get(&phone).and_then(|caller| caller.rest.as_ref()) else { return false };
        let visitor = hash_of(&self.visitors[visitor].id);
        let earlier = rest.recent.iter().take_while(|entry| entry.start <= start && entry.call != Some(ix));
        rest.joined_before.contains(&visitor) || earlier.into_iter().any(|entry| entry.joined == Some(visitor))
    }

    /// Notes to whom a call is joined; the caller's later calls follow from it.
    pub fn note_joined(&mut self, ix: u32, visitor: Option<u32>) {
        let Some((phone, _)) = self.calls[ix].filed_caller else { return };
        let joined = visitor.map(|visitor| hash_of(&self.visitors[visitor].id));
        let Some((place, entry)) = self.entry(phone, ix) else { return };
        if entry.joined == joined {
            return;
        }
        entry.joined = joined;
        let Some(rest) = self.callers.get(&phone).and_then(|caller| caller.rest.as_ref()) else { return };
        let later: SmallVec<[u32; 4]> = rest.recent[place + 1..].iter().filter_map(|entry| entry.call).collect();
        for call in later {
            if self.calls[call].candidates.len() > 1 {
                self.touch_call(call);
            }
        }
    }

    pub fn forget_caller(&mut self, phone: Phone) {
        let Some(caller) = self.callers.remove(&phone) else { return };
        for entry in caller.rest.map(|rest| rest.recent).unwrap_or_default() {
            if let Some(call) = entry.call {
                self.forget_call(call);
            }
        }
    }

    pub fn forget_silent_callers(&mut self) {
        let oldest = self.watermark.minus(CALLER_MEMORY).0 / MICROS_PER_HOUR;
        self.callers.retain(|_, caller| {
            let recent = caller.rest.as_ref().is_some_and(|rest| !rest.recent.is_empty());
            recent || i64::from(caller.base.last_hour) >= oldest
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls as (start in days, qualified); kinds as letters: u(nique) t(arget) r(epeated) f(irst target) b(oth).
    fn check(calls: &[(f64, bool)], expected: &[&str]) {
        let mut count = Count::NOTHING;
        for (at, ((days, qualified), expected)) in calls.iter().zip(expected).enumerate() {
            let start = Time((days * MICROS_PER_DAY as f64) as i64);
            let (kinds, after) = count.next(start, *qualified, 7 * MICROS_PER_DAY);
            count = after;
            let letters = [
                (kinds.is_unique, 'u'),
                (kinds.is_target, 't'),
                (kinds.is_repeated, 'r'),
                (kinds.is_first_target, 'f'),
                (kinds.is_unique_target, 'b'),
            ];
            let letters: String = letters.iter().filter(|(is, _)| *is).map(|(_, letter)| *letter).collect();
            assert_eq!(letters, *expected, "call {at}");
            assert_eq!(kinds.caller_calls, Some(at as u32 + 1));
        }
    }

    #[test]
    fn counts_kinds() {
        check(&[(100.0, true)], &["utfb"]);
        check(&[(100.0, false), (101.0, true), (102.0, true)], &["u", "tf", "r"]);
        check(&[(100.0, true), (106.99, true), (107.0, true)], &["utfb", "r", "t"]);
        check(&[(100.0, true), (103.0, true), (108.0, true)], &["utfb", "r", "t"]);
        check(&[(100.0, true), (103.0, false), (120.0, false)], &["utfb", "", ""]);
    }
}
