//! The choice among candidates: which session's visitor is calling, and how sure that is (docs/attribution.md).
//!
//! Calls come to a number from several sources at once: each session that was shown it, each caller who calls again, and those
//! who never saw it there. Each source has a rate at the call's instant, given all that is seen of it; a call belongs to
//! each in proportion to its rate, and "none of them" is one of them (superposition of point processes; Bayes' rule). The rates
//! are learned per account and pool ([`learn`], [`fit`]), by when calls come and what else could have been the case then.
//!
//! Every rate and factor lies within bounds that stand beside it, so their products neither vanish nor overflow.

mod bins;
mod fit;
mod learn;
mod mixture;
mod rates;

pub(super) use bins::{FAR, NEAR_SECONDS, State, far_ends, seconds, talk as talk_bin};
use fit::Lesson;
pub(super) use learn::Learner;
pub(super) use rates::{Count, Rates, Tally};

use smallvec::SmallVec;

use crate::limits::CLICK_WINDOW;
use crate::time::{MICROS_PER_SECOND, Time};

/// What is known of one candidate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evidence {
    pub last_sign: Time,
    pub state: State,
    /// Microseconds since the last sign of life, or since the lease was given back.
    pub delay: i64,
    /// The last click on this number, if that was moments before.
    pub clicked: Option<Click>,
    /// Since the visitor asked to be called at this caller's number; less than nothing if that came later.
    pub asked: Option<i64>,
    /// How likely the caller's telephone is this visitor's, by other calls.
    pub link: f64,
    /// How likely a call before came from this session, if the telephone is its visitor's and calls again.
    pub again: f64,
    /// How likely the session has made its call already.
    pub spent: f64,
    /// The session was shown another number since.
    pub moved: bool,
    /// Whether the caller's country is the session's; nothing where one of them is not known.
    pub same_country: Option<bool>,
    /// Page views by the call's start.
    pub pages: u32,
    /// Microseconds from the grant to the last sign of life.
    pub shown: i64,
}

/// A click on the number that was called moments later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Click {
    /// Microseconds since then.
    pub since: i64,
    /// What would be known of the session had it not clicked: `state`, `delay` and `shown`.
    pub without: (State, i64, i64),
}

/// What is known of the call, and what its candidates are judged by.
pub(super) struct Judge<'a> {
    pub rates: &'a Rates,
    /// How likely somebody of whom nothing is known has this telephone; 1 for a withheld one, and where nobody had it yet.
    pub anybody: f64,
    /// Somebody was called who had asked for it.
    pub is_callback: bool,
    /// Microseconds since this caller's call before, if there was one.
    pub called_before: Option<i64>,
    /// How likely that was somebody who is none of the candidates; 0 where it was another number.
    pub absent: f64,
    /// How long it was talked, once that is known.
    pub talk: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    /// The likeliest; nothing where that is "none of them".
    pub chosen: Option<usize>,
    /// Of each candidate, in their order.
    pub probabilities: Vec<f64>,
    pub none: f64,
    /// How likely somebody called again.
    pub again: f64,
    /// What the choice rests on, if without it another would be likeliest.
    pub rests_on: Option<RestsOn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RestsOn {
    Click,
    Caller,
}

/// How much a session that was shown another number since is held back.
const MOVED: f64 = 0.02;
/// How much of a session's rate goes once it has called.
const SPENT: f64 = 0.98;
/// Callers whom no candidate explains call again less often: some had the wrong number.
const ABSENT_REPEAT: f64 = 0.7;
/// Calls a second to somebody who asked for it, within the hour and later.
const ASKED: (f64, f64) = (1e-3, 1e-6);
const HOUR: i64 = 3_600 * MICROS_PER_SECOND;
/// How much is left of other rates for a call to somebody who asked for it.
const NOT_ASKED: f64 = 0.01;
/// Lesser shares are taken for this one when it comes to how sure rates are.
const LEAST_SHARE: f64 = 1e-9;

/// For planning pools: shares and mean delays in seconds, during the visit, within hours, within days.
const DELAYS: [(f64, f64); 3] = [(0.5, 300.0), (0.3, 7_200.0), (0.2, 86_400.0)];

/// The share of a session's calls that come more than so many microseconds after its last sign of life.
pub(crate) fn share_of_calls_after(delay: i64) -> f64 {
    let delay = delay.max(0) as f64 / MICROS_PER_SECOND as f64;
    DELAYS.iter().map(|(share, mean)| share * (-delay / mean).exp()).sum()
}

/// Which evidence is looked at.
#[derive(Clone, Copy)]
struct With {
    click: bool,
    caller: bool,
    /// Earlier calls on the number.
    spent: bool,
}

const ALL: With = With { click: true, caller: true, spent: true };

/// The more pages a visit has had, the rarer it calls from the one it looks at.
fn by_pages(rates: &Rates, state: State, delay: f64, pages: u32) -> f64 {
    if state == State::Held { f64::from(rates.pages[bins::pages(pages, delay)]) } else { 1.0 }
}

/// The rate at which one of whom nothing else is known calls so long after the last sign of life.
fn base(rates: &Rates, state: State, delay: i64, pages: u32, shown: i64) -> f64 {
    let delay = seconds(delay);
    if delay < NEAR_SECONDS {
        f64::from(rates.near[bins::near(state, delay)]) * by_pages(rates, state, delay, pages)
    } else {
        f64::from(rates.far[bins::far(delay)]) * f64::from(rates.cells[bins::cell(pages, seconds(shown))])
    }
}

impl Judge<'_> {
    fn repeats(&self) -> f64 {
        let (share, mean) = self.rates.again;
        let since = self.called_before.map(seconds);
        self.rates.unit * since.map_or(0.0, |since| (share / mean * (-since / mean).exp()).max(1e-9))
    }

    /// The rate of the session's first call, and of another one by its visitor.
    fn weights(&self, it: &Evidence, with: With) -> (f64, f64) {
        let rates = self.rates;
        let mut first = match it.clicked {
            Some(click) if with.click => rates.unit * bins::CLICKS[bins::click(seconds(click.since))],
            Some(Click { without: (state, delay, shown), .. }) => base(rates, state, delay, it.pages, shown),
            None => base(rates, it.state, it.delay, it.pages, it.shown),
        };
        if it.moved {
            first *= MOVED;
        }
        if let Some(same) = it.same_country {
            first *= f64::from(rates.countries[usize::from(!same)]);
        }
        if with.spent {
            first *= 1.0 - SPENT * it.spent;
        }
        if self.is_callback {
            first *= NOT_ASKED;
        }
        if !with.caller {
            return (first, 0.0);
        }
        first *= it.link + (1.0 - it.link) * self.anybody;
        let asked = match it.asked {
            Some(since) if (0..HOUR).contains(&since) => rates.unit * ASKED.0,
            Some(_) => rates.unit * ASKED.1,
            None => 0.0,
        };
        (first + asked, it.again * self.repeats())
    }

    /// The rate of calls of none of the candidates: of people who never called before, and of those who did.
    fn none(&self, with: With) -> (f64, f64) {
        let mut none = self.rates.stray * self.rates.talk(self.talk);
        if self.is_callback {
            none *= NOT_ASKED;
        }
        if !with.caller {
            return (none, 0.0);
        }
        (none * self.anybody, self.absent * ABSENT_REPEAT * self.repeats())
    }

    fn posterior(&self, evidence: &[Evidence], with: With) -> Choice {
        let mut weights: Vec<(f64, f64)> = evidence.iter().map(|it| self.weights(it, with)).collect();
        let (mut strays, again) = self.none(with);
        let all = strays + weights.iter().map(|(first, _)| first).sum::<f64>();
        let flatten = self.rates.sureness() - 1.0;
        for rate in weights.iter_mut().map(|(first, _)| first).chain([&mut strays]) {
            *rate *= (*rate / all).max(LEAST_SHARE).powf(flatten);
        }
        let all = strays + again + weights.iter().map(|(first, again)| first + again).sum::<f64>();
        let probabilities: Vec<f64> = weights.iter().map(|(first, again)| rounded((first + again) / all)).collect();
        let none = rounded((strays + again) / all);
        let again = (again + weights.iter().map(|(_, again)| again).sum::<f64>()) / all;
        let chosen = likeliest(&probabilities, none);
        Choice { chosen, probabilities, none, again, rests_on: None }
    }

    /// Chooses among `evidence`, which is in the order in which equals are preferred. A single candidate is always named.
    pub fn choose(&self, evidence: &[Evidence]) -> Choice {
        let mut choice = self.posterior(evidence, ALL);
        if evidence.len() == 1 {
            choice.chosen = Some(0);
            return choice;
        }
        let without = |with| self.posterior(evidence, with).chosen != choice.chosen;
        choice.rests_on = match choice.chosen.map(|chosen| &evidence[chosen]) {
            Some(it) if it.clicked.is_some() && without(With { click: false, ..ALL }) => Some(RestsOn::Click),
            Some(it) if it.knows_caller() && without(With { caller: false, ..ALL }) => Some(RestsOn::Caller),
            _ => None,
        };
        choice
    }

    /// What could be said if nothing were known of other calls: those may rest on it.
    pub fn unacquainted(&self, evidence: &[Evidence]) -> Choice {
        self.posterior(evidence, With { caller: false, spent: false, ..ALL })
    }
}

impl Evidence {
    pub fn is_active(&self) -> bool {
        self.state == State::Held
    }

    pub fn knows_caller(&self) -> bool {
        self.link > 0.0 || self.asked.is_some()
    }
}

/// To twelve digits: a last bit that differs is no news.
pub(super) fn rounded(probability: f64) -> f64 {
    (probability * 1e12).round() / 1e12
}

/// The first of the likeliest, or nothing where none of them is likelier.
fn likeliest(of: &[f64], none: f64) -> Option<usize> {
    let mut best = None;
    let mut most = none;
    for (at, probability) in of.iter().enumerate() {
        if *probability > most {
            (best, most) = (Some(at), *probability);
        }
    }
    best
}

/// Whether a click at `at` is moments before a call that starts at `start`.
pub(super) fn is_moments_before(at: Time, start: Time) -> bool {
    (0..=CLICK_WINDOW).contains(&start.since(at))
}

/// Whether a call teaches about when calls come: those after a click are certain anyway, and those of callers who called before come
/// for another reason.
pub(super) fn teaches(evidence: &[Evidence], choice: &Choice) -> bool {
    let by_click = |(it, probability): (&Evidence, &f64)| it.clicked.is_some() && *probability >= 0.5;
    !evidence.iter().any(Evidence::knows_caller) && !evidence.iter().zip(&choice.probabilities).any(by_click)
}

/// What it teaches.
pub(super) fn lesson(pool: u8, evidence: &[Evidence], talk: Option<usize>, seen: &Seen) -> Lesson {
    let mut lesson = Lesson::new(pool, talk, seen);
    for it in evidence.iter().filter(|it| it.clicked.is_none() && !it.moved) {
        let delay = seconds(it.delay);
        if delay < NEAR_SECONDS {
            let spent = (it.spent * 100.0).round().clamp(0.0, 100.0) as u8;
            lesson.near(bins::near(it.state, delay), bins::pages(it.pages, delay), spent);
        } else {
            lesson.far(bins::far(delay));
        }
    }
    lesson
}

/// Counts a call for each of its candidates, by how likely it was theirs.
pub(super) fn count_call(tally: &mut Tally, evidence: &[Evidence], choice: &Choice) {
    let add = |count: &mut Count, calls: f64, chances: f64| {
        count.calls += calls as f32;
        count.chances += chances as f32;
    };
    let far = |it: &&Evidence| seconds(it.delay) >= NEAR_SECONDS;
    let fars = evidence.iter().filter(far).count() as f64;
    for (it, &share) in evidence.iter().zip(&choice.probabilities) {
        if let Some(same) = it.same_country {
            add(&mut tally.countries[usize::from(!same)], share, 1.0 / evidence.len() as f64);
        }
        if far(&it) {
            // Against all others that were far at that time.
            add(&mut tally.cells[bins::cell(it.pages, seconds(it.shown))], share, 1.0 / fars);
        }
    }
}

/// One candidate who could have called at a point in time.
pub(super) struct Chance {
    pub state: State,
    pub delay: i64,
    pub pages: u32,
}

/// What was looked at beside a call: a number at points in time at which somebody might have called.
#[derive(Default)]
pub(super) struct Seen {
    /// So many hours of one number do the points stand for.
    pub hours: f64,
    /// How many of the points that there should be, from 0 to 1.
    pub points: f64,
    /// At all points, those whose last sign of life was not long before.
    pub near: SmallVec<[Chance; 12]>,
    /// Sessions that were shown the number so long before, by far bin, on average over as many points.
    pub far: [f64; FAR],
}

#[cfg(test)]
mod tests;
