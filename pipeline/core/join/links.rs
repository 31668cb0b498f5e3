//! Who a caller is: visitors to whom this telephone's calls were joined, each with how often and how surely, and less so
//! with time. Many telephones may be one visitor's, and many visitors may share one telephone.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::account::Account;
use super::callers::line_hash;
use super::choice::{Candidate, Decision};
use super::intern::hash_of;
use crate::limits::{LATER_CALLS_HEARD, VISITORS_PER_CALLER};
use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Time};

/// A person, as a caller remembers them: a user whom the site knows, else a browser. By hash, since callers are remembered for
/// longer than visitors.
pub(super) type Person = NonZeroU64;

/// That a telephone is a person's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Link {
    pub person: Person,
    /// Calls, each by how likely it was theirs, as of `hour`.
    pub weight: f32,
    /// Since 1970.
    pub hour: u32,
}

/// A call's part in a link: whose it was, and how likely in thousandths.
pub(super) type Joined = SmallVec<[(Person, u16); 2]>;

/// After so long a link counts half.
const HALF_LIFE: f64 = (180 * MICROS_PER_DAY) as f64;
/// Links are never surer than this: telephones are lent, and numbers given to others.
const SUREST: f64 = 0.98;
/// Less likely ones are not kept, in thousandths.
const LEAST: u16 = 10;
/// Nor are more of a call that is held. Once it is not, the likeliest are: see [`VISITORS_PER_CALLER`].
const JOINED_MOST: usize = 16;
/// What a call after must tell of itself, in thousandths.
const TELLS: u16 = 500;
/// People who may call at all, as far as a telephone of which little is known goes. Not counted: how many are known when a call
/// is decided depends on when that is, and the same call must have the same answer live and in a bounded job.
pub(super) const CALLERS_SUPPOSED: f64 = 10_000.0;
/// The share of calls of a telephone with many owners that are new ones'.
const NEW_OWNERS: f64 = 0.7;

/// What a caller's calls before tell.
pub(super) struct Before {
    pub anybody: f64,
    pub since: Option<i64>,
    /// How likely whoever called this number before is none of the candidates.
    pub absent: f64,
}

impl Link {
    pub fn of(person: Person, thousandths: u16, at: Time) -> Link {
        Link { person, weight: f32::from(thousandths) / 1_000.0, hour: (at.0.max(0) / MICROS_PER_HOUR) as u32 }
    }

    /// The two together, as of the later.
    pub fn and(self, other: Link) -> Link {
        let hour = self.hour.max(other.hour);
        Link { weight: self.weight_at(hour) + other.weight_at(hour), hour, ..self }
    }

    pub fn weight_at(self, hour: u32) -> f32 {
        let hours = f64::from(hour) - f64::from(self.hour);
        (f64::from(self.weight) * (-hours.max(0.0) * MICROS_PER_HOUR as f64 / HALF_LIFE).exp2()) as f32
    }

    /// How likely the telephone is still theirs.
    pub fn sure(self, at: Time) -> f64 {
        f64::from(self.weight_at((at.0.max(0) / MICROS_PER_HOUR) as u32)).min(SUREST)
    }
}

fn add(links: &mut Vec<Link>, link: Link) {
    match links.iter_mut().find(|held| held.person == link.person) {
        Some(held) => *held = held.and(link),
        None => links.push(link),
    }
}

impl Account {
    /// A visitor as callers know them.
    pub fn person(&self, visitor: u32) -> Person {
        let user = self.visitors[visitor].rest.as_ref().and_then(|rest| rest.user);
        user.unwrap_or_else(|| self.browser(visitor))
    }

    /// The same, as long as nobody says who it is.
    pub fn browser(&self, visitor: u32) -> Person {
        self.visitors[visitor].id.with(&self.shared.texts, person_named)
    }

    /// Everybody whose telephone the caller's may be, by all their other calls: earlier ones by what was decided, later ones by
    /// what they tell by themselves, so that no two calls rest on each other.
    pub fn links_of(&self, ix: u32) -> Vec<Link> {
        let mut links = Vec::new();
        let Some((caller, place)) = self.place_of_call(ix) else { return links };
        caller.joined_before().for_each(|link| add(&mut links, link));
        for entry in &caller.recent()[..place] {
            for &(person, thousandths) in &entry.joined {
                add(&mut links, Link::of(person, thousandths, entry.start));
            }
        }
        let later = caller.recent()[place + 1..].iter().filter_map(|entry| Some((entry.start, entry.call?)));
        for (start, call) in later.take(LATER_CALLS_HEARD) {
            // As of when it was decided last: it is told here when that changes.
            if let Some((person, likely)) = self.calls[call].tells {
                add(&mut links, Link::of(person, likely, start));
            }
        }
        links
    }

    /// Whose a call is by itself, in thousandths, if that is likely enough for calls before it to hear of.
    fn tells(&self, ix: u32, candidates: &[Candidate]) -> Option<(Person, u16)> {
        let (visitor, probability) = self.decide_alone(ix, candidates)?;
        let likely = thousandths(probability);
        (likely >= TELLS).then(|| (self.person(visitor), likely))
    }

    /// Notes whose a call is by itself: if that is news, its caller's calls before it are decided anew.
    pub fn note_tells(&mut self, ix: u32, candidates: &[Candidate]) {
        let Some((phone, start)) = self.calls[ix].filed_caller else { return };
        let calls = self.calls_of_phone(phone);
        if calls.len() < 2 {
            return;
        }
        let tells = self.tells(ix, candidates);
        if self.calls[ix].tells == tells {
            return;
        }
        self.calls[ix].tells = tells;
        for call in calls {
            if call != ix && self.calls[call].start() <= start && self.calls[call].line.is_some() {
                self.touch_call(call);
            }
        }
    }

    /// How likely the caller's telephone is this visitor's.
    pub fn link(&self, links: &[Link], visitor: u32, at: Time) -> f64 {
        if links.is_empty() {
            return 0.0;
        }
        let user = self.visitors[visitor].rest.as_ref().and_then(|rest| rest.user);
        let browser = self.browser(visitor);
        let of = links.iter().filter(|link| Some(link.person) == user || link.person == browser);
        of.map(|link| link.sure(at)).fold(0.0, f64::max)
    }

    /// `present`: how likely the telephone is a candidate's.
    pub fn called_before(&self, ix: u32, links: &[Link], present: f64) -> Before {
        let nobody = Before { anybody: 1.0, since: None, absent: 0.0 };
        let Some((caller, place)) = self.place_of_call(ix) else { return nobody };
        let start = self.calls[ix].start();
        let calls = caller.calls_before(place);
        if calls == 0 && links.is_empty() {
            return nobody;
        }
        let owners = links.iter().filter(|link| link.weight >= 0.3).count();
        let owners =
            if owners >= VISITORS_PER_CALLER { f64::from(calls.max(1)) * NEW_OWNERS } else { owners.max(1) as f64 };
        let anybody = (owners / CALLERS_SUPPOSED).min(1.0);
        let last = caller.call_before(place);
        let here = self.calls[ix].line.map(|(number, _)| line_hash(number));
        // An extension is one visit's: who dials another one now read it from another page.
        let dialled = self.calls[ix].extension.get();
        let before = caller.recent()[..place].last().and_then(|entry| entry.call);
        let is_other = before.is_some_and(|before| self.calls[before].extension.get() != dialled);
        let is_here = last.is_some_and(|(_, line)| Some(line) == here) && !is_other;
        let absent = if is_here { 1.0 - present.min(1.0) } else { 0.0 };
        Before { anybody, since: last.map(|(at, _)| start.since(at)), absent }
    }

    /// Whose a call is, as far as that is worth remembering.
    pub fn joined(&self, decision: &Decision) -> Joined {
        let mut joined = Joined::new();
        let Some(choice) = &decision.choice else { return joined };
        for (candidate, probability) in decision.candidates.iter().zip(&choice.probabilities) {
            let likely = thousandths(*probability);
            if likely >= LEAST {
                let person = self.person(candidate.visitor);
                match joined.iter_mut().find(|(held, _)| *held == person) {
                    Some(held) => held.1 = held.1.saturating_add(likely).min(1_000),
                    None => joined.push((person, likely)),
                }
            }
        }
        joined.sort_by_key(|(person, likely)| (std::cmp::Reverse(*likely), *person));
        joined.truncate(JOINED_MOST);
        joined
    }
}

/// To five thousandths: finer differences are not worth deciding other calls anew.
pub(super) fn thousandths(probability: f64) -> u16 {
    5 * (probability * 200.0).round().clamp(0.0, 200.0) as u16
}

pub(super) fn person_named(name: &str) -> Person {
    Person::new(hash_of(name)).unwrap_or(Person::MIN)
}
