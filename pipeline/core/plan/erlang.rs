//! The formulas of teletraffic theory for a group of lines without a queue.

use crate::limits::PLANNED_LINES_MAX;

/// Erlang's B formula: the chance that a visit finds every one of `lines` taken, where visits come at random (Poisson)
/// and `load` of them would have a line on average. It holds for any distribution of how long a line is taken.
///
/// By the recursion over the inverse, which neither overflows nor loses digits (ITU-D, Teletraffic Engineering Handbook,
/// section 7.3).
pub fn erlang_b(lines: usize, load: f64) -> f64 {
    if load <= 0.0 {
        return if lines == 0 { 1.0 } else { 0.0 };
    }
    let mut inverse = 1.0;
    for line in 1..=lines {
        inverse = 1.0 + inverse * line as f64 / load;
        if inverse.is_infinite() {
            return 0.0;
        }
    }
    1.0 / inverse
}

/// Engset's formula: the same where at most `visitors` can come at all, and one that has a line does not ask for another.
/// `load` is what each of them offers while without a line: asks a second times the seconds a line is taken. It is the
/// chance that an ask finds no line. Where few visitors come, Erlang's formula asks for more lines than are needed.
pub fn engset(lines: usize, visitors: usize, load: f64) -> f64 {
    if lines == 0 {
        return 1.0;
    }
    if lines >= visitors || load <= 0.0 {
        return 0.0;
    }
    // An ask is made by one of the others: what it meets is the state that a group of one fewer is in.
    let mut inverse = 1.0;
    for line in 1..=lines {
        inverse = 1.0 + inverse * line as f64 / ((visitors - line) as f64 * load);
    }
    1.0 / inverse
}

/// The fewest lines with which at most this share of visits finds none. Nothing where [`PLANNED_LINES_MAX`] are not enough.
pub fn lines_for(load: f64, target: f64) -> Option<usize> {
    if load <= 0.0 {
        return Some(1);
    }
    let mut inverse = 1.0;
    for lines in 1..=PLANNED_LINES_MAX {
        inverse = 1.0 + inverse * lines as f64 / load;
        if 1.0 / inverse <= target {
            return Some(lines);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// "Capacity of an Erlang B System", table 3.4 of T. Rappaport, Wireless Communications (2nd edition, 2002): the load
    /// that so many lines carry at a blocking of 1 %, 0.5 %, 0.2 % and 0.1 %, to three digits.
    const PUBLISHED: [(usize, [f64; 4]); 8] = [
        (2, [0.153, 0.105, 0.065, 0.046]),
        (4, [0.869, 0.701, 0.535, 0.439]),
        (5, [1.36, 1.13, 0.900, 0.762]),
        (10, [4.46, 3.96, 3.43, 3.09]),
        (20, [12.0, 11.1, 10.1, 9.41]),
        (40, [29.0, 27.3, 25.7, 24.5]),
        (70, [56.1, 53.7, 51.0, 49.2]),
        (100, [84.1, 80.9, 77.4, 75.2]),
    ];
    const BLOCKINGS: [f64; 4] = [0.01, 0.005, 0.002, 0.001];

    /// The load at which the formula gives `blocking`, by bisection.
    fn load_at(lines: usize, blocking: f64) -> f64 {
        let (mut low, mut high) = (0.0, 10.0 * lines as f64);
        for _ in 0..100 {
            let middle = (low + high) / 2.0;
            if erlang_b(lines, middle) < blocking { low = middle } else { high = middle }
        }
        low
    }

    #[test]
    fn the_published_table_comes_out() {
        for (lines, loads) in PUBLISHED {
            for (blocking, published) in BLOCKINGS.into_iter().zip(loads) {
                let found = load_at(lines, blocking);
                // Three digits, no more than three places after the point; the book's last digit is up to one off (40 lines
                // at 0.002 carry 25.60, not 25.7). `small_groups_are_exact` has the exact values.
                let unit = 10f64.powi(published.log10().floor() as i32 - 2).max(0.001);
                let off = (found - published) / unit;
                assert!(off.abs() < 1.05, "{lines} lines at {blocking}: {found}, {published}");
            }
        }
    }

    #[test]
    fn small_groups_are_exact() {
        for (lines, load, expected) in
            [(0, 1.0, 1.0), (1, 1.0, 0.5), (2, 1.0, 0.2), (3, 2.0, 4.0 / 19.0), (2, 0.0, 0.0)]
        {
            assert!((erlang_b(lines, load) - expected).abs() < 1e-12, "{lines} {load}");
        }
        assert_eq!((lines_for(1.0, 0.2), lines_for(1.0, 0.19), lines_for(0.0, 0.01)), (Some(2), Some(3), Some(1)));
        assert_eq!(lines_for(1e9, 0.01), None);
        assert_eq!(erlang_b(PLANNED_LINES_MAX, 1.0), 0.0, "no overflow");
    }

    /// States of a group with finite sources by their binomial weights, as an ask meets them.
    fn engset_by_states(lines: usize, visitors: usize, load: f64) -> f64 {
        let weight = |busy: usize| {
            (0..busy).fold(1.0, |weight, at| weight * (visitors - 1 - at) as f64 / (at + 1) as f64 * load)
        };
        weight(lines) / (0..=lines).map(weight).sum::<f64>()
    }

    proptest! {
        #[test]
        fn few_visitors_meet_engset(lines in 1usize..12, more in 1usize..30, load in 0.001f64..3.0) {
            let visitors = lines + more;
            let expected = engset_by_states(lines, visitors, load);
            prop_assert!((engset(lines, visitors, load) - expected).abs() < 1e-9);
        }

        #[test]
        fn more_lines_help_and_more_load_hurts(lines in 0usize..200, load in 0.01f64..300.0) {
            prop_assert!(erlang_b(lines + 1, load) <= erlang_b(lines, load));
            prop_assert!(erlang_b(lines, load * 1.1) >= erlang_b(lines, load));
            // So many visitors that they count as endless.
            let many = 10_000_000;
            prop_assert!((engset(lines, many, load / many as f64) - erlang_b(lines, load)).abs() < 1e-3);
        }

        #[test]
        fn the_fewest_are_the_fewest(load in 0.01f64..500.0, target in 0.0001f64..0.5) {
            let lines = lines_for(load, target).expect("a small load");
            prop_assert!(erlang_b(lines, load) <= target);
            prop_assert!(lines == 1 || erlang_b(lines - 1, load) > target);
        }
    }
}
