//! Pools of several sizes side by side, and the size to take.

use super::erlang::{erlang_b, lines_for};
use super::replay::{Demand, Replayed, Terms, Visit, demand, replay};
use crate::join::share_of_calls_after;
use crate::limits::PLANNED_LINES_MAX;
use crate::time::MICROS_PER_SECOND;

/// Rows of a plan, about: more do not help to choose.
const ROWS: usize = 16;

/// What comes to a pool in its busiest time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Visits an hour that need a number.
    pub visits_per_hour: f64,
    /// Seconds a number is taken by each: the visit, hold and cooldown.
    pub taken_seconds: f64,
}

impl Load {
    /// Visits that last `session_seconds` each.
    pub fn of(visits_per_hour: f64, session_seconds: f64, terms: Terms) -> Load {
        let rest = (terms.hold + terms.cooldown) as f64 / MICROS_PER_SECOND as f64;
        Load { visits_per_hour, taken_seconds: session_seconds + rest }
    }

    /// Numbers taken on average, if there were enough (in erlang).
    pub fn erlangs(&self) -> f64 {
        self.visits_per_hour / 3600.0 * self.taken_seconds
    }
}

/// A pool of one size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub numbers: usize,
    /// The share of visits that find no number in the busiest time, by Erlang's B formula.
    pub exhausted_erlang: f64,
    /// The share of all visits that found none when the real ones were led through; nothing without real visits.
    pub exhausted_replay: Option<f64>,
    /// The share of calls that come after their number has got another visitor: of the real visits, else on average.
    pub ambiguous: f64,
}

/// What to choose from.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub load: Load,
    /// Of the real visits; nothing without them.
    pub demand: Option<Demand>,
    pub rows: Vec<Row>,
    /// The fewest numbers with which both shares of exhausted visits keep to the target; nothing where
    /// [`PLANNED_LINES_MAX`] are not enough.
    pub recommended: Option<usize>,
}

/// The share of ambiguous calls on average: a number that is free waits for its turn behind all that are free already,
/// and by Little's law that takes as long as the visits take to use those up.
fn ambiguous_on_average(numbers: usize, load: Load, terms: Terms) -> f64 {
    let served = 1.0 - erlang_b(numbers, load.erlangs());
    let per_second = load.visits_per_hour / 3600.0 * served;
    if per_second <= 0.0 {
        return 0.0;
    }
    let waits = (numbers as f64 - load.erlangs() * served).max(0.0) / per_second;
    let micros = waits * MICROS_PER_SECOND as f64;
    // A float that is too large becomes the largest integer, and then no call comes so late.
    share_of_calls_after((micros as i64).saturating_add(terms.hold).saturating_add(terms.cooldown))
}

/// Pools for `load`, or for real `visits` (in the order of their beginnings), whose busiest time is the load then.
/// `target` is the share of visits that may find no number.
pub fn plan(load: Load, visits: &[Visit], terms: Terms, target: f64) -> Plan {
    let demand = demand(visits, terms);
    let load = demand
        .map_or(load, |demand| Load { visits_per_hour: demand.busiest_per_hour, taken_seconds: demand.taken_seconds });
    let replayed = |numbers| demand.map(|_| replay(visits, numbers, terms));
    let by_formula = lines_for(load.erlangs(), target);
    let recommended = by_formula.and_then(|least| match demand {
        Some(demand) => fewest(least, demand.most, |numbers| replay(visits, numbers, terms).exhaustion() <= target),
        None => Some(least),
    });
    let most = demand.map_or(1, |demand| demand.most);
    let top = recommended.unwrap_or(1).max(most).min(PLANNED_LINES_MAX);
    let also = [recommended, demand.map(|demand| demand.most.min(PLANNED_LINES_MAX))];
    let rows = sizes(top, &also.into_iter().flatten().collect::<Vec<_>>())
        .into_iter()
        .map(|numbers| {
            let replayed: Option<Replayed> = replayed(numbers);
            Row {
                numbers,
                exhausted_erlang: erlang_b(numbers, load.erlangs()),
                exhausted_replay: replayed.map(|it| it.exhaustion()),
                ambiguous: replayed.map_or_else(|| ambiguous_on_average(numbers, load, terms), |it| it.ambiguity()),
            }
        })
        .collect();
    Plan { load, demand, rows, recommended }
}

/// The fewest from `least` on that are `enough`; so many as `most` always are.
fn fewest(least: usize, most: usize, enough: impl Fn(usize) -> bool) -> Option<usize> {
    if enough(least) {
        return Some(least);
    }
    let (mut low, mut high) = (least, most.max(least + 1));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    (high <= PLANNED_LINES_MAX).then_some(high)
}

/// Sizes in even steps up to a quarter over `top`, and those that are asked for.
fn sizes(top: usize, also: &[usize]) -> Vec<usize> {
    let end = (top + top.div_ceil(4)).min(PLANNED_LINES_MAX);
    let step = end.div_ceil(ROWS).max(1);
    let mut sizes: Vec<usize> = (1..).map(|at| at * step).take_while(|size| *size <= end).collect();
    sizes.extend(also);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{MICROS_PER_MINUTE, Time};

    const TERMS: Terms = Terms { hold: 30 * MICROS_PER_MINUTE, cooldown: 30 * MICROS_PER_MINUTE };

    #[test]
    fn a_rate_is_planned_for() {
        // 20 visits an hour of 3 minutes each: 63 minutes a number, 21 erlang. 30 numbers carry 20.3 at 1 %, 31 carry 21.2.
        let load = Load::of(20.0, 180.0, TERMS);
        assert!((load.erlangs() - 21.0).abs() < 1e-9);
        let plan = plan(load, &[], TERMS, 0.01);
        assert_eq!((plan.recommended, plan.demand), (Some(31), None));
        assert!(plan.rows.len() <= ROWS + 2 && plan.rows.iter().any(|row| row.numbers == 31));
        assert!(plan.rows.is_sorted_by(|a, b| a.ambiguous > b.ambiguous && a.exhausted_erlang > b.exhausted_erlang));
        assert!(plan.rows.iter().all(|row| row.exhausted_replay.is_none()));
        let idle = super::plan(Load::of(0.0, 180.0, TERMS), &[], TERMS, 0.01);
        assert_eq!((idle.recommended, idle.rows[0].ambiguous), (Some(1), 0.0));
        assert_eq!(super::plan(Load::of(1e12, 180.0, TERMS), &[], TERMS, 0.01).recommended, None);
    }

    /// Visits at random, by a generator of its own (Knuth's MMIX): 20 an hour for 90 days.
    fn random() -> Vec<Visit> {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        let mut at = 1_795_176_000e6;
        (0..20 * 24 * 90)
            .map(|visitor| {
                at -= next().ln() * 180e6;
                Visit { from: Time(at as i64), to: Time(at as i64 + 180_000_000), visitor }
            })
            .collect()
    }

    #[test]
    fn random_visits_agree_with_the_formulas() {
        let (visits, load) = (random(), Load::of(20.0, 180.0, TERMS));
        for numbers in [15, 21, 26, 31, 60] {
            let (told, expected) = (replay(&visits, numbers, TERMS), erlang_b(numbers, load.erlangs()));
            assert!((told.exhaustion() - expected).abs() < 0.01, "{numbers}: {} {expected}", told.exhaustion());
            let expected = ambiguous_on_average(numbers, load, TERMS);
            assert!((told.ambiguity() - expected).abs() < 0.02, "{numbers}: {} {expected}", told.ambiguity());
        }
        let plan = plan(load, &visits, TERMS, 0.01);
        // Its busiest hour is busier than the average, and that is what is planned for.
        assert!((31..=50).contains(&plan.recommended.expect("enough numbers")), "{plan:?}");
        assert!(plan.demand.is_some_and(|it| (0.0..0.02).contains(&(it.taken_seconds / 3780.0 - 1.0).abs())));
    }

    #[test]
    fn the_fewest_are_found() {
        for (least, most, enough, expected) in [(3, 9, 2, 3), (3, 9, 7, 7), (3, 9, 9, 9), (5, 5, 6, 6)] {
            assert_eq!(fewest(least, most, |size| size >= enough), Some(expected), "{least} {most} {enough}");
        }
        assert_eq!(sizes(4, &[2, 5]), [1, 2, 3, 4, 5]);
        assert_eq!(sizes(100, &[97]).len(), 16);
    }
}
