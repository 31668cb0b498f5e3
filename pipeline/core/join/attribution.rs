//! The choice among candidates: which session's visitor is calling, and how sure that is.
//!
//! Each candidate weighs as much as the density of a call so long after its session's last sign of life, times what
//! corroborates it; "none of them" has a weight of its own. The weights' shares are the probabilities. The delay is a
//! mixture of three exponentials (people call while they look at the page, later the same day, or days later); its
//! parameters are stated below and are the same for every account.

use crate::limits::CLICK_WINDOW;
use crate::time::{MICROS_PER_SECOND, Time};

/// What is known of one candidate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evidence {
    pub last_sign: Time,
    /// The lease is held at the call's start.
    pub active: bool,
    /// The visitor clicked on this number moments before.
    pub clicked: bool,
    /// An earlier call of this caller was joined to this visitor, or the visitor asked to be called at this number.
    pub known_caller: bool,
    /// Whether the caller's country is the session's; nothing where one of them is not known.
    pub same_country: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    /// The likeliest; nothing where that is "none of them".
    pub chosen: Option<usize>,
    /// Of each candidate, in their order.
    pub probabilities: Vec<f64>,
    pub none: f64,
    /// What the choice rests on, if without it another would be likeliest.
    pub rests_on: Option<RestsOn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RestsOn {
    Click,
    Caller,
}

/// Shares and mean delays in seconds: during the visit, within hours, within days.
const DELAYS: [(f64, f64); 3] = [(0.5, 300.0), (0.3, 7_200.0), (0.2, 86_400.0)];
/// The chance that a session calls at all.
const CALLS_PER_SESSION: f64 = 0.05;
/// Calls a second on a number that belong to none of its sessions: old notes, numbers published elsewhere.
const STRAY_CALLS: f64 = 3e-8;
/// The share of calls that belong to nobody however well a candidate fits: misdials.
const MISDIALS: f64 = 0.03;
/// A number that is no longer on the page is dialled less often.
const ENDED: f64 = 0.25;
const CLICKED: f64 = 200.0;
const KNOWN_CALLER: f64 = 50.0;
const SAME_COUNTRY: f64 = 1.2;
const OTHER_COUNTRY: f64 = 0.4;

/// The share of a session's calls that come more than so many microseconds after its last sign of life.
pub(crate) fn share_of_calls_after(delay: i64) -> f64 {
    let delay = delay.max(0) as f64 / MICROS_PER_SECOND as f64;
    DELAYS.iter().map(|(share, mean)| share * (-delay / mean).exp()).sum()
}

fn weight(evidence: &Evidence, start: Time, with_click: bool, with_caller: bool) -> f64 {
    let delay = start.since(evidence.last_sign).max(0) as f64 / MICROS_PER_SECOND as f64;
    let density: f64 = DELAYS.iter().map(|(share, mean)| share / mean * (-delay / mean).exp()).sum();
    let mut weight = density * CALLS_PER_SESSION;
    if !evidence.active {
        weight *= ENDED;
    }
    if evidence.clicked && with_click {
        weight *= CLICKED;
    }
    if evidence.known_caller && with_caller {
        weight *= KNOWN_CALLER;
    }
    match evidence.same_country {
        Some(true) => weight * SAME_COUNTRY,
        Some(false) => weight * OTHER_COUNTRY,
        None => weight,
    }
}

/// Probabilities of each and of none. Sums to 1.
fn probabilities(evidence: &[Evidence], start: Time, with_click: bool, with_caller: bool) -> (Vec<f64>, f64) {
    let weights: Vec<f64> = evidence.iter().map(|it| weight(it, start, with_click, with_caller)).collect();
    let all = weights.iter().sum::<f64>() + STRAY_CALLS;
    let of: Vec<f64> = weights.iter().map(|weight| (1.0 - MISDIALS) * weight / all).collect();
    (of, MISDIALS + (1.0 - MISDIALS) * STRAY_CALLS / all)
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

/// Chooses among `evidence`, which is in the order in which equals are preferred. A single candidate is always named.
pub(super) fn choose(evidence: &[Evidence], start: Time) -> Choice {
    let (of, none) = probabilities(evidence, start, true, true);
    if evidence.len() == 1 {
        return Choice { chosen: Some(0), probabilities: of, none, rests_on: None };
    }
    let chosen = likeliest(&of, none);
    let differs = |with_click, with_caller| {
        let (of, none) = probabilities(evidence, start, with_click, with_caller);
        likeliest(&of, none) != chosen
    };
    let rests_on = match chosen.map(|chosen| &evidence[chosen]) {
        Some(it) if it.clicked && differs(false, true) => Some(RestsOn::Click),
        Some(it) if it.known_caller && differs(true, false) => Some(RestsOn::Caller),
        _ => None,
    };
    Choice { chosen, probabilities: of, none, rests_on }
}

/// Whether a click at `at` is moments before a call that starts at `start`.
pub(super) fn is_moments_before(at: Time, start: Time) -> bool {
    (0..=CLICK_WINDOW).contains(&start.since(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_795_178_096_000_000);

    fn seen(seconds_before: i64) -> Evidence {
        let last_sign = START.minus(seconds_before * MICROS_PER_SECOND);
        Evidence { last_sign, active: false, clicked: false, known_caller: false, same_country: None }
    }

    fn check(
        evidence: &[Evidence],
        chosen: Option<usize>,
        rests_on: Option<RestsOn>,
        confidence: std::ops::Range<f64>,
    ) {
        let choice = choose(evidence, START);
        assert_eq!((choice.chosen, choice.rests_on), (chosen, rests_on), "{evidence:?} {choice:?}");
        let of_chosen = choice.chosen.map_or(choice.none, |at| choice.probabilities[at]);
        assert!(confidence.contains(&of_chosen), "{of_chosen} of {evidence:?}");
        let sum = choice.probabilities.iter().sum::<f64>() + choice.none;
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn chooses() {
        let active = |it: Evidence| Evidence { active: true, ..it };
        let clicked = |it: Evidence| Evidence { clicked: true, ..it };
        let known = |it: Evidence| Evidence { known_caller: true, ..it };
        check(&[active(seen(10))], Some(0), None, 0.9..1.0);
        check(&[seen(8 * 3600)], Some(0), None, 0.2..0.9);
        check(&[seen(71 * 3600)], Some(0), None, 0.0..0.3);
        check(&[active(seen(10)), active(seen(400))], Some(0), None, 0.6..0.95);
        check(&[seen(600), seen(7200)], Some(0), None, 0.8..1.0);
        check(&[active(seen(10)), active(clicked(seen(30)))], Some(1), Some(RestsOn::Click), 0.9..1.0);
        check(&[active(clicked(seen(10))), active(seen(30))], Some(0), None, 0.9..1.0);
        check(&[active(seen(60)), known(seen(3600))], Some(0), None, 0.5..1.0);
        check(&[seen(600), known(seen(900))], Some(1), Some(RestsOn::Caller), 0.9..1.0);
        check(&[seen(70 * 3600), seen(71 * 3600)], None, None, 0.5..1.0);
    }
}
