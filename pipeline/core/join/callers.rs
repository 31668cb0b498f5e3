//! A caller's calls, counted in order of their start: the kinds of call.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::account::Account;
use super::intern::hash_of;
use super::links::{Joined, Link, Person};
use super::spam::SPREAD_WITHIN;
use crate::event::{Direction, Outcome};
use crate::limits::{CALLER_MEMORY, CALLS_PER_SPREAD, LATER_CALLS_HEARD, VISITORS_PER_CALLER};
use crate::phone::Phone;
use crate::row::Kinds;
use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Time, micros};

/// A caller is remembered for a year: what is kept of calls that are no longer held is flat, so that it is small.
#[derive(Serialize, Deserialize)]
pub(super) struct Caller {
    /// The number's complement, which is never nothing: so that no caller takes no more room.
    phone: NonZeroU64,
    /// [`Count`] as of those calls.
    cycle_ends: Time,
    calls: u32,
    last_hour: u32,
    last_line: u32,
    /// [`Link`] of them as of `last_hour`; further ones are in `rest`.
    weight: f32,
    person: Option<Person>,
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
    /// The number that it came to, by hash.
    last_line: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct Rest {
    /// By start, then call id.
    recent: Vec<Entry>,
    /// After the first; the latest last.
    joined_before: Vec<Link>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    pub start: Time,
    /// Nothing once the call is no longer held.
    pub call: Option<u32>,
    qualified: bool,
    cycle: i64,
    line: u32,
    /// How many numbers were called until now, of late.
    spread: u8,
    /// To whom it was joined.
    pub joined: Joined,
    kinds: Kinds,
    after: Count,
}

impl Count {
    const NOTHING: Count = Count { cycle_ends: Time::MIN, calls: 0, last_hour: 0, last_line: 0 };

    /// The kinds of the next call, and the count after it.
    fn next(self, start: Time, line: u32, qualified: bool, cycle: i64) -> (Kinds, Count) {
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
            last_line: line,
        };
        (kinds, after)
    }
}

impl Caller {
    fn new(phone: Phone) -> Caller {
        let Count { cycle_ends, calls, last_hour, last_line } = Count::NOTHING;
        let phone = NonZeroU64::new(!phone.0).unwrap_or(NonZeroU64::MIN);
        Caller { phone, cycle_ends, calls, last_hour, last_line, weight: 0.0, person: None, rest: None }
    }

    pub fn phone(&self) -> Phone {
        Phone(!self.phone.get())
    }

    /// As of the calls that are no longer held.
    fn base(&self) -> Count {
        let Caller { cycle_ends, calls, last_hour, last_line, .. } = *self;
        Count { cycle_ends, calls, last_hour, last_line }
    }

    fn set_base(&mut self, base: Count) {
        let first = self.first_link();
        (self.cycle_ends, self.calls) = (base.cycle_ends, base.calls);
        (self.last_hour, self.last_line) = (base.last_hour, base.last_line);
        self.set_first_link(first);
    }

    fn first_link(&self) -> Option<Link> {
        self.person.map(|person| Link { person, weight: self.weight, hour: self.last_hour })
    }

    fn set_first_link(&mut self, link: Option<Link>) {
        self.person = link.map(|link| link.person);
        self.weight = link.map_or(0.0, |link| link.weight_at(self.last_hour));
    }

    pub fn recent(&self) -> &[Entry] {
        self.rest.as_ref().map_or(&[], |rest| &rest.recent)
    }

    pub fn joined_before(&self) -> impl Iterator<Item = Link> {
        let further = self.rest.as_ref().map_or(&[][..], |rest| &rest.joined_before);
        self.first_link().into_iter().chain(further.iter().copied())
    }

    /// Calls before the one at this place among the recent ones.
    pub fn calls_before(&self, place: usize) -> u32 {
        place.checked_sub(1).map_or(self.calls, |before| self.recent()[before].after.calls)
    }

    /// When the call before the one at this place started, and the hash of the number that it came to. Of those that are no
    /// longer held, only the hour is known.
    pub fn call_before(&self, place: usize) -> Option<(Time, u32)> {
        match place.checked_sub(1) {
            Some(before) => Some((self.recent()[before].start, self.recent()[before].line)),
            None if self.calls > 0 => Some((Time(i64::from(self.last_hour) * MICROS_PER_HOUR), self.last_line)),
            None => None,
        }
    }

    /// A call that was joined to somebody is no longer held.
    fn was_joined(&mut self, link: Link) {
        let (same, mut all): (Vec<Link>, SmallVec<[Link; VISITORS_PER_CALLER + 1]>) =
            self.joined_before().fold(Default::default(), |(mut same, mut others), held| {
                if held.person == link.person {
                    same.push(held)
                } else {
                    others.push(held)
                }
                (same, others)
            });
        all.push(same.into_iter().fold(link, Link::and));
        if all.len() > VISITORS_PER_CALLER {
            all.remove(0);
        }
        self.set_first_link(all.first().copied());
        if all.len() > 1 || self.rest.is_some() {
            self.rest.get_or_insert_default().joined_before = all.into_iter().skip(1).collect();
        }
    }
}

/// How many different numbers the calls went to that came not long before the last of them, that one included.
fn spread(calls: &[Entry]) -> u8 {
    let Some(last) = calls.last() else { return 0 };
    let of_late = calls.iter().rev().take_while(|it| last.start.since(it.start) <= SPREAD_WITHIN);
    let mut lines: SmallVec<[u32; 8]> = of_late.take(CALLS_PER_SPREAD).map(|it| it.line).collect();
    lines.sort_unstable();
    lines.dedup();
    lines.len() as u8
}

/// What a number is remembered by.
pub(super) fn line_hash(number: Phone) -> u32 {
    hash_of(&number) as u32
}

impl Account {
    fn find_caller(&self, phone: Phone) -> Option<u32> {
        self.caller_numbers.find(hash_of(&phone), |ix| self.callers[ix].phone() == phone)
    }

    fn caller(&self, phone: Phone) -> Option<&Caller> {
        self.find_caller(phone).map(|ix| &self.callers[ix])
    }

    fn caller_mut(&mut self, phone: Phone) -> Option<&mut Caller> {
        self.find_caller(phone).map(|ix| &mut self.callers[ix])
    }

    fn caller_or_new(&mut self, phone: Phone) -> &mut Caller {
        let ix = self.find_caller(phone).unwrap_or_else(|| {
            let ix = self.callers.insert(Caller::new(phone));
            let callers = &self.callers;
            self.caller_numbers.list(hash_of(&phone), ix, |ix| hash_of(&callers[ix].phone()));
            ix
        });
        &mut self.callers[ix]
    }

    fn remove_caller(&mut self, phone: Phone) -> Option<Caller> {
        let ix = self.find_caller(phone)?;
        self.caller_numbers.unlist(hash_of(&phone), ix);
        self.callers.remove(ix)
    }

    /// A call's caller, and its place among those of the caller's calls that are held.
    pub fn place_of_call(&self, ix: u32) -> Option<(&Caller, usize)> {
        let (phone, _) = self.calls[ix].filed_caller?;
        let caller = self.caller(phone)?;
        let place = caller.recent().iter().rposition(|entry| entry.call == Some(ix))?;
        Some((caller, place))
    }

    /// Calls of this telephone that are held.
    pub fn calls_of_phone(&self, phone: Phone) -> SmallVec<[u32; 4]> {
        let recent = self.caller(phone).map_or(&[][..], Caller::recent);
        recent.iter().filter_map(|entry| entry.call).collect()
    }

    /// Whether a call is qualified by the settings in force at its start, and the cycle that it would open.
    fn qualified(&self, ix: u32) -> (bool, i64) {
        let call = &self.calls[ix];
        let settings = self.rules(call.start()).settings();
        let answered = call.outcome(settings.greeting_seconds) == Some(Outcome::Answered);
        let cycle = micros(settings.sales_cycle_days, MICROS_PER_DAY);
        (answered && call.talk_seconds() >= settings.target_seconds, cycle)
    }

    /// Puts a call in its place among its caller's, and counts anew from there.
    pub fn refile_caller(&mut self, ix: u32) {
        let call = &self.calls[ix];
        let counted = call.direction() != Direction::Outbound;
        let filed = call.caller().number().filter(|_| counted).map(|phone| (phone, call.start()));
        let line = call.tracking_number().number().map_or(0, line_hash);
        let (qualified, cycle) = self.qualified(ix);
        if filed != self.calls[ix].filed_caller {
            self.unfile_caller(ix);
            self.calls[ix].filed_caller = filed;
            let Some((phone, start)) = filed else { return };
            let place = self.place_among(phone, start, ix);
            let kinds = Kinds::default();
            let entry = Entry {
                start,
                call: Some(ix),
                qualified,
                cycle,
                line,
                spread: 1,
                joined: Joined::new(),
                kinds,
                after: Count::NOTHING,
            };
            self.caller_or_new(phone).rest.get_or_insert_default().recent.insert(place, entry);
            self.recount(phone, place);
            self.touch_those_that_hear(phone, place, place + 1, ix);
        } else if let Some((phone, _)) = filed
            && let Some((place, entry)) = self.entry(phone, ix)
            && (entry.qualified, entry.cycle, entry.line) != (qualified, cycle, line)
        {
            let moved = entry.line != line;
            (entry.qualified, entry.cycle, entry.line) = (qualified, cycle, line);
            self.recount(phone, place);
            if moved {
                self.touch_next(phone, place);
            }
        }
    }

    fn entry(&mut self, phone: Phone, call: u32) -> Option<(usize, &mut Entry)> {
        let recent = &mut self.caller_mut(phone)?.rest.as_mut()?.recent;
        recent.iter_mut().enumerate().rev().find(|(_, entry)| entry.call == Some(call))
    }

    fn place_among(&self, phone: Phone, start: Time, ix: u32) -> usize {
        let recent = self.caller(phone).map_or(&[][..], Caller::recent);
        if recent.last().is_none_or(|last| last.start < start) {
            return recent.len();
        }
        let name = |call: u32| self.text_of(&self.calls[call].id);
        let id = name(ix);
        recent.partition_point(|entry| {
            entry.start < start || (entry.start == start && entry.call.is_none_or(|call| name(call) < id))
        })
    }

    /// Counts from `from` on, and decides the calls anew whose kinds changed.
    fn recount(&mut self, phone: Phone, from: usize) {
        let Some(caller) = self.caller_mut(phone) else { return };
        let base = caller.base();
        let Some(rest) = caller.rest.as_mut() else { return };
        let mut count = match from.checked_sub(1) {
            Some(before) => rest.recent[before].after,
            None => base,
        };
        let mut changed: SmallVec<[u32; 4]> = SmallVec::new();
        for at in from..rest.recent.len() {
            let spread = spread(&rest.recent[..=at]);
            let entry = &mut rest.recent[at];
            let (kinds, after) = count.next(entry.start, entry.line, entry.qualified, entry.cycle);
            if (kinds, spread) != (entry.kinds, entry.spread) {
                (entry.kinds, entry.spread) = (kinds, spread);
                changed.extend(entry.call);
            }
            entry.after = after;
            count = after;
        }
        for call in changed {
            self.touch_call(call);
        }
    }

    /// How many different numbers the caller has called until this call, of late.
    pub fn spread_of(&self, ix: u32) -> usize {
        self.place_of_call(ix).map_or(1, |(caller, place)| usize::from(caller.recent()[place].spread))
    }

    pub fn kinds(&self, ix: u32) -> Kinds {
        let call = &self.calls[ix];
        let filed = call.filed_caller.and_then(|(phone, _)| self.caller(phone));
        if let Some(entry) = filed.and_then(|caller| caller.recent().iter().rev().find(|entry| entry.call == Some(ix)))
        {
            return entry.kinds;
        }
        // Anonymous: a target if qualified, nothing else. Outbound: no kinds.
        let is_target = call.direction() != Direction::Outbound && self.qualified(ix).0;
        Kinds { is_target, ..Kinds::default() }
    }

    fn unfile_caller(&mut self, ix: u32) {
        let Some((phone, _)) = self.calls[ix].filed_caller.take() else { return };
        let Some((place, _)) = self.entry(phone, ix) else { return };
        let Some(caller) = self.caller_mut(phone) else { return };
        if let Some(rest) = caller.rest.as_mut() {
            rest.recent.remove(place);
        }
        if caller.base() == Count::NOTHING && caller.recent().is_empty() {
            self.remove_caller(phone);
        } else {
            self.recount(phone, place);
            self.touch_those_that_hear(phone, place, place, ix);
        }
    }

    /// Decides the next call of a caller anew: it knows the number that was called before it.
    fn touch_next(&mut self, phone: Phone, place: usize) {
        let next = self.caller(phone).and_then(|caller| caller.recent().get(place + 1)?.call);
        next.into_iter().for_each(|call| self.touch_call(call));
    }

    /// Calls hear of the next few of their caller. One that comes at `place`, or goes from there, changes of which the calls before it
    /// hear if there is one `behind`, or if it tells something itself.
    fn touch_those_that_hear(&mut self, phone: Phone, place: usize, behind: usize, ix: u32) {
        let recent = self.caller(phone).map_or(&[][..], Caller::recent);
        if behind >= recent.len() && self.calls[ix].tells.is_none() {
            return;
        }
        let before = recent[..place].iter().rev().filter_map(|entry| entry.call);
        let before: SmallVec<[u32; LATER_CALLS_HEARD]> = before.take(LATER_CALLS_HEARD).collect();
        for call in before {
            if self.calls[call].line.is_some() {
                self.touch_call(call);
            }
        }
    }

    /// The call is no longer held: once no earlier one is, it is part of the caller's base.
    pub fn leave_caller(&mut self, ix: u32) {
        let Some((phone, _)) = self.calls[ix].filed_caller.take() else { return };
        if let Some((_, entry)) = self.entry(phone, ix) {
            entry.call = None;
        }
        let Some(caller) = self.caller_mut(phone) else { return };
        let Some(rest) = caller.rest.as_mut() else { return };
        let gone = rest.recent.iter().take_while(|entry| entry.call.is_none()).count();
        let gone: Vec<Entry> = rest.recent.drain(..gone).collect();
        for entry in gone {
            caller.set_base(entry.after);
            for (person, likely) in entry.joined.into_iter().take(VISITORS_PER_CALLER) {
                caller.was_joined(Link::of(person, likely, entry.start));
            }
        }
        if caller.rest.as_ref().is_some_and(|rest| rest.recent.is_empty() && rest.joined_before.is_empty()) {
            caller.rest = None;
        }
    }

    /// Notes to whom a call is joined; the caller's later calls may follow from it. Earlier ones hear what it tells by itself
    /// ([`Account::note_tells`]), so that nothing goes round in circles.
    pub fn note_joined(&mut self, ix: u32, joined: Joined) {
        let Some((phone, _)) = self.calls[ix].filed_caller else { return };
        let Some((place, entry)) = self.entry(phone, ix) else { return };
        if entry.joined == joined {
            return;
        }
        entry.joined = joined;
        let recent = self.caller(phone).map_or(&[][..], Caller::recent);
        let later: SmallVec<[u32; 4]> = recent[place + 1..].iter().filter_map(|entry| entry.call).collect();
        for call in later {
            if self.calls[call].line.is_some() {
                self.touch_call(call);
            }
        }
    }

    pub fn forget_caller(&mut self, phone: Phone) {
        let Some(caller) = self.remove_caller(phone) else { return };
        for entry in caller.rest.map(|rest| rest.recent).unwrap_or_default() {
            if let Some(call) = entry.call {
                self.forget_call(call);
            }
        }
    }

    pub fn forget_silent_callers(&mut self) {
        let oldest = self.watermark.minus(CALLER_MEMORY).0 / MICROS_PER_HOUR;
        let numbers = &mut self.caller_numbers;
        self.callers.retain(
            |_, caller| !caller.recent().is_empty() || i64::from(caller.last_hour) >= oldest,
            |ix, caller| numbers.unlist(hash_of(&caller.phone()), ix),
        );
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
            let (kinds, after) = count.next(start, 0, *qualified, 7 * MICROS_PER_DAY);
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
    fn is_small() {
        assert_eq!(size_of::<Option<Caller>>(), 48);
    }

    /// As of the hour of the last call, whether that was theirs or not.
    #[test]
    fn links_of_calls_no_longer_held_fade() {
        let mut caller = Caller::new(Phone(14155550123));
        let person = Person::MIN;
        let at = |days: i64| Time(days * MICROS_PER_DAY);
        let count = |days: i64| Count::NOTHING.next(at(days), 7, false, 0).1;
        caller.set_base(count(180));
        caller.was_joined(Link::of(person, 800, at(180)));
        let sure = |caller: &Caller, days: i64| caller.joined_before().next().map(|link| link.sure(at(days)));
        assert!(sure(&caller, 360).is_some_and(|sure| (sure - 0.4).abs() < 1e-6));
        caller.set_base(count(360));
        assert!(sure(&caller, 540).is_some_and(|sure| (sure - 0.2).abs() < 1e-6));
        assert_eq!(caller.call_before(0), Some((at(360), 7)));
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
