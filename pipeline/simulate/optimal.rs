//! The Bayes-optimal answer to "which visit does this call belong to", by someone who knows the simulation's own parameters
//! and sees what the log tells up to the call's start.
//!
//! Every visit to which the number was shown, every earlier call of the same telephone, and strangers who dial wrongly are
//! sources of calls; a call belongs to each in proportion to its rate at that instant (superposition of independent
//! point processes). Whether a page is still open, and when a visit ended that did not tell so, is integrated over. Earlier
//! calls count by their own posteriors (assumed-density filtering), since all of them together cannot be reckoned.

use std::collections::BTreeMap;

use callweave_core::event::Direction;
use callweave_core::time::{MICROS_PER_HOUR, MICROS_PER_MINUTE, Time};

use super::Simulation;
use super::calls::{AGAIN_MEAN_SECONDS, AGAIN_MOST};
use super::rates::{Rates, seconds};

/// The answer, and what it gave the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Optimum {
    /// Visits that the contract counts as candidates.
    pub candidates: u32,
    /// Session, visitor and start of the answer; nothing: none of them.
    pub answer: Option<Seen>,
    /// Of the answer.
    pub probability: f64,
    /// Of the truth: the true visit, or none of them where that is no candidate.
    pub of_truth: f64,
    pub truth_is_candidate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// A number of its own, counted from 1.
    pub visit: u64,
    pub session: u64,
    pub visitor: u64,
    pub started: Time,
}

/// A number on the pages of one visit.
struct Shown {
    seen: Seen,
    extension: u16,
    mobile: bool,
    last_sign: Time,
    /// The last page view, its place among the visit's, and the last heartbeat on it.
    page: Time,
    pages: u16,
    beat: Time,
    /// Told by the lease's release.
    left: Option<Time>,
    clicked: Option<Time>,
    asked: Option<(Time, u64)>,
    /// The visit was shown another number since.
    moved: bool,
    /// How likely it has made its call.
    spent: f64,
}

/// An earlier call of a telephone.
struct Past {
    number: u64,
    extension: u16,
    at: Time,
    /// Visit, visitor, and how likely it was theirs.
    of: Vec<(u64, u64, f64)>,
    /// How likely it has been repeated.
    repeated: f64,
}

/// What an account's log tells.
#[derive(Default)]
pub(super) struct Book {
    lines: BTreeMap<u64, Vec<Shown>>,
    phones: BTreeMap<u64, Vec<Past>>,
    visitors: BTreeMap<u64, Vec<(u64, f64)>>,
}

pub(super) struct Dialled {
    pub now: Time,
    pub number: u64,
    pub extension: u16,
    /// 0: withheld.
    pub from: u64,
    pub direction: Direction,
    /// 0: nobody's.
    pub visit: u64,
}

/// `attribution_window_hours`, which made-up accounts leave at its default.
const WINDOW: i64 = 72 * MICROS_PER_HOUR;
/// Nobody calls later after a visit, or after the call before.
const REMEMBERED: i64 = 17 * 24 * MICROS_PER_HOUR;
/// Earlier calls of one telephone that are looked at, and telephones of one visitor: the latest.
const PAST_MOST: usize = 16;
/// Probabilities below are not worth keeping.
const LEAST: f64 = 1e-4;

impl Book {
    fn shown(&mut self, number: u64, visit: u64) -> Option<&mut Shown> {
        self.lines.get_mut(&number)?.iter_mut().rev().find(|shown| shown.seen.visit == visit)
    }

    /// A page with the number on it is looked at.
    pub fn page(&mut self, number: u64, extension: u16, seen: Seen, mobile: bool, pages: u16, now: Time) {
        if let Some(shown) = self.shown(number, seen.visit).filter(|shown| shown.extension == extension) {
            (shown.page, shown.beat, shown.last_sign, shown.pages) = (now, now, now, pages);
            return;
        }
        let line = self.lines.entry(number).or_default();
        if line.first().is_some_and(|first| now.since(first.last_sign) > REMEMBERED) {
            line.retain(|shown| now.since(shown.last_sign) <= REMEMBERED);
        }
        line.push(Shown {
            seen,
            extension,
            mobile,
            last_sign: now,
            page: now,
            pages,
            beat: now,
            left: None,
            clicked: None,
            asked: None,
            moved: false,
            spent: 0.0,
        });
    }

    /// The visit is shown another number than this one.
    pub fn moved(&mut self, number: u64, visit: u64) {
        if let Some(shown) = self.shown(number, visit) {
            shown.moved = true;
        }
    }

    pub fn beat(&mut self, number: u64, visit: u64, now: Time) {
        if let Some(shown) = self.shown(number, visit) {
            (shown.beat, shown.last_sign) = (now, now);
        }
    }

    pub fn clicked(&mut self, number: u64, visit: u64, now: Time) {
        if let Some(shown) = self.shown(number, visit) {
            (shown.clicked, shown.last_sign) = (Some(now), now);
        }
    }

    /// A form was sent; with a telephone if it asks to be called there.
    pub fn form(&mut self, number: u64, visit: u64, phone: Option<u64>, now: Time) {
        if let Some(shown) = self.shown(number, visit) {
            shown.last_sign = now;
            shown.asked = phone.map(|phone| (now, phone)).or(shown.asked);
        }
    }

    pub fn left(&mut self, number: u64, visit: u64, now: Time) {
        if let Some(shown) = self.shown(number, visit) {
            shown.left = Some(now);
        }
    }

    /// How likely this visitor's telephone is that one, and another one.
    fn telephone(&self, visitor: u64, phone: u64) -> (f64, f64) {
        let known = self.visitors.get(&visitor).map_or(&[][..], |known| known);
        let (mut this, mut other) = (1.0, 1.0);
        for &(held, probability) in known {
            *(if held == phone { &mut this } else { &mut other }) *= 1.0 - probability;
        }
        (1.0 - this, 1.0 - other)
    }

    fn first_call(&self, shown: &Shown, call: &Dialled, rates: &Rates, anybody: f64) -> f64 {
        if call.extension != 0 && shown.extension != call.extension {
            return 0.0;
        }
        if call.direction == Direction::Callback {
            return match shown.asked {
                Some((at, phone)) if phone == call.from => rates.called_back(seconds(call.now.since(at))),
                _ => 0.0,
            };
        }
        if shown.moved {
            return 0.0;
        }
        let own = match shown.clicked {
            Some(at) => rates.after_click(seconds(call.now.since(at))),
            None => match shown.left {
                Some(left) => rates.left(seconds(call.now.since(left))),
                None => {
                    let beat = seconds(shown.beat.since(shown.page));
                    rates.unknown(seconds(call.now.since(shown.page)), beat, shown.pages, shown.mobile)
                }
            },
        };
        let phone = if call.from == 0 {
            1.0
        } else {
            let (this, other) = self.telephone(shown.seen.visitor, call.from);
            this + (1.0 - this) * (1.0 - other) * anybody
        };
        own * phone * (1.0 - shown.spent)
    }

    /// Calls of the same telephone to the same number before, each with the rate at which it is repeated now.
    fn repeats(&self, call: &Dialled, options: &Simulation) -> Vec<(usize, f64)> {
        let past = self.phones.get(&call.from).filter(|_| call.from != 0 && call.direction != Direction::Callback);
        let rate = |past: &Past| {
            let after = seconds(call.now.since(past.at)) - 600.0;
            let within = after > 0.0 && call.now.since(past.at) < AGAIN_MOST + 2 * MICROS_PER_HOUR;
            let same = past.number == call.number && past.extension == call.extension;
            let density = (-after / AGAIN_MEAN_SECONDS).exp() / AGAIN_MEAN_SECONDS;
            if same && within { options.repeat_share * density * (1.0 - past.repeated) } else { 0.0 }
        };
        past.into_iter().flatten().map(rate).enumerate().filter(|(_, rate)| *rate > 0.0).collect()
    }

    /// The answer to this call, which then counts as evidence for later ones.
    pub fn answer(&mut self, call: &Dialled, options: &Simulation, rates: &Rates) -> Optimum {
        let anybody = rates.anybody(call.from);
        let line = self.lines.get(&call.number).map_or(&[][..], |line| line);
        let mut weights: Vec<f64> = line.iter().map(|shown| self.first_call(shown, call, rates, anybody)).collect();
        let mut none =
            if call.extension == 0 && call.direction != Direction::Callback { rates.stray * anybody } else { 0.0 };
        let repeats = self.repeats(call, options);
        for &(at, rate) in &repeats {
            for &(visit, _, probability) in &self.phones[&call.from][at].of {
                match line.iter().position(|shown| shown.seen.visit == visit) {
                    Some(place) => weights[place] += rate * probability,
                    None => none += rate * probability,
                }
            }
        }
        let dialled = |shown: &Shown| call.extension == 0 || shown.extension == call.extension;
        let is_candidate = |shown: &Shown| dialled(shown) && call.now.since(shown.last_sign) <= WINDOW;
        none +=
            line.iter().zip(&weights).filter(|(shown, _)| !is_candidate(shown)).map(|(_, weight)| weight).sum::<f64>();
        let candidates: Vec<(&Shown, f64)> =
            line.iter().zip(weights.iter().copied()).filter(|(shown, _)| is_candidate(shown)).collect();
        let all = none + candidates.iter().map(|(_, weight)| weight).sum::<f64>();
        let share = |weight: f64| if all > 0.0 { weight / all } else { 0.0 };
        let none = if all > 0.0 { none / all } else { 1.0 };
        let best = candidates.iter().rev().max_by(|a, b| a.1.total_cmp(&b.1));
        let answer = best.filter(|best| candidates.len() == 1 || share(best.1) > none);
        let truth = candidates.iter().find(|(shown, _)| shown.seen.visit == call.visit);
        let optimum = Optimum {
            candidates: candidates.len() as u32,
            answer: answer.map(|(shown, _)| shown.seen),
            probability: answer.map_or(none, |(_, weight)| share(*weight)),
            of_truth: truth.map_or(none, |(_, weight)| share(*weight)),
            truth_is_candidate: truth.is_some(),
        };
        let of =
            line.iter().zip(&weights).map(|(shown, weight)| (shown.seen.visit, shown.seen.visitor, share(*weight)));
        let of: Vec<(u64, u64, f64)> = of.filter(|(_, _, probability)| *probability > LEAST).collect();
        self.learn(call, of, &repeats, share);
        optimum
    }

    fn learn(
        &mut self,
        call: &Dialled,
        of: Vec<(u64, u64, f64)>,
        repeats: &[(usize, f64)],
        share: impl Fn(f64) -> f64,
    ) {
        if call.direction != Direction::Callback
            && let Some(line) = self.lines.get_mut(&call.number)
        {
            for &(visit, _, probability) in &of {
                for shown in line.iter_mut().filter(|shown| shown.seen.visit == visit) {
                    shown.spent = (shown.spent + probability).min(0.999);
                }
            }
        }
        if call.from == 0 {
            return;
        }
        for &(_, visitor, probability) in &of {
            let known = self.visitors.entry(visitor).or_default();
            match known.iter_mut().find(|(held, _)| *held == call.from) {
                Some(held) => held.1 = 1.0 - (1.0 - held.1) * (1.0 - probability),
                None => known.push((call.from, probability)),
            }
            if known.len() > PAST_MOST {
                known.remove(0);
            }
        }
        let past = self.phones.entry(call.from).or_default();
        for &(at, rate) in repeats {
            past[at].repeated = (past[at].repeated + share(rate)).min(1.0);
        }
        let Dialled { now, number, extension, .. } = *call;
        past.push(Past { number, extension, at: now.plus(MICROS_PER_MINUTE), of, repeated: 0.0 });
        if past.len() > PAST_MOST {
            past.remove(0);
        }
    }
}
