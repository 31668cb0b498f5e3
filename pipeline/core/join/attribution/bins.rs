//! How delays, and what else the model sees, are cut into bins, and what is supposed of each before anything was learned.

use crate::time::MICROS_PER_SECOND;

/// Seconds since the last sign of life, up to which the page may still be open, or was just closed.
const NEAR_EDGES: [f64; NEAR + 1] = [
    0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 18.0, 25.0, 35.0, 50.0, 70.0, 95.0, 120.0, 150.0, 200.0, 300.0, 450.0, 600.0,
    900.0, 1200.0, 1800.0,
];
/// Seconds beyond: half hours to the widest window that settings allow.
const FAR_EDGES: [f64; FAR + 1] = [
    1800.0,
    2700.0,
    3600.0,
    5400.0,
    7200.0,
    10_800.0,
    14_400.0,
    21_600.0,
    28_800.0,
    43_200.0,
    57_600.0,
    86_400.0,
    129_600.0,
    172_800.0,
    259_200.0,
    432_000.0,
    691_200.0,
    1_296_000.0,
    2_592_000.0,
    7_776_000.0,
];
/// Ages of the last sign of life, in seconds, at which pages count differently: a page that has told nothing for long may have been
/// closed, and then it hardly matters how many there were before.
const AGES: [f64; AGE_BINS + 1] = [0.0, 50.0, 150.0, NEAR_SECONDS];
/// Seconds since a click on the number.
const CLICK_EDGES: [f64; CLICK + 1] = [0.0, 2.0, 5.0, 10.0, 20.0, 60.0, 301.0];

/// Seconds of talk of an answered call that is over.
const TALK_EDGES: [f64; TALK + 1] = [0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 1e9];

pub const NEAR: usize = 21;
pub const FAR: usize = 19;
pub const CLICK: usize = 6;
pub const TALK: usize = 10;
/// From this near bin on a page was closed: those whose lease is active, too, five minutes after the last sign of life, as pages that
/// are open tell so more often than that (`heartbeat_seconds`, of which the default is 30).
pub const CLOSED: usize = 16;
/// Kinds of [`State`].
pub const STATES: usize = 3;
/// Pages seen so far, of candidates that are near: 1, 2, 3, 4 and 5, 6 to 8, 9 to 12, more.
const PAGE_BINS: usize = 7;
/// These, of each age of the last sign of life.
pub const PAGES: usize = PAGE_BINS * AGE_BINS;
const AGE_BINS: usize = 3;
/// Pages and how long the number was shown, together, of those that are far: 1, 2 and 3, 4 to 7, more; and 15 s, 1 min, 5 min, longer.
pub const CELLS: usize = 16;
/// The caller's country is the session's, or another one.
pub const COUNTRIES: usize = 2;

pub const NEAR_SECONDS: f64 = NEAR_EDGES[NEAR];

/// What has become of a candidate's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is active.
    Held,
    /// It ran out.
    Lapsed,
    /// It was given back: the page was closed then.
    Released,
}

fn bin(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|edge| *edge <= value).clamp(1, edges.len() - 1) - 1
}

pub fn seconds(micros: i64) -> f64 {
    micros.max(0) as f64 / MICROS_PER_SECOND as f64
}

/// The place of a near delay among `STATES * NEAR`.
pub fn near(state: State, delay: f64) -> usize {
    state as usize * NEAR + bin(&NEAR_EDGES, delay)
}

pub fn far(delay: f64) -> usize {
    bin(&FAR_EDGES, delay)
}

pub fn click(since: f64) -> usize {
    bin(&CLICK_EDGES, since)
}

pub fn talk(seconds: f64) -> usize {
    bin(&TALK_EDGES, seconds)
}

/// The place of the pages so far among `PAGES`, so long after the last sign of life.
pub fn pages(pages: u32, delay: f64) -> usize {
    let pages = match pages {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 | 5 => 3,
        6..=8 => 4,
        9..=12 => 5,
        _ => 6,
    };
    bin(&AGES, delay) * PAGE_BINS + pages
}

pub fn cell(pages: u32, shown: f64) -> usize {
    let pages = match pages {
        0 | 1 => 0,
        2 | 3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    pages * 4 + bin(&[0.0, 15.0, 60.0, 300.0, f64::INFINITY], shown)
}

/// Where a far bin begins and ends in seconds, as far as `until`; nothing where it begins later.
pub fn far_ends(at: usize, until: f64) -> Option<(f64, f64)> {
    let (from, to) = (FAR_EDGES[at], FAR_EDGES[at + 1].min(until));
    (from < to).then_some((from, to))
}

/// The chance that a session calls at all, before anything is known.
const CALLS_PER_SESSION: f64 = 0.05;
/// Shares and mean delays in seconds: while the page is open, minutes, hours, and days later.
const DELAYS: [(f64, f64); 4] = [(0.5, 90.0), (0.2, 600.0), (0.2, 10_800.0), (0.1, 129_600.0)];
/// How much of the first of them is left once the lease has ended in this way.
const OPEN: [f64; STATES] = [1.0, 0.3, 0.05];
/// Calls a second that come to a number from nobody who saw it there (old notes, misdials): one in two months.
pub const STRAY: f64 = 2e-7;
/// How long calls are talked, before anything is known: of people who saw the number, and of those who never did. A wrong number
/// is over within a minute, nearly always: that tells strays from those who call days later.
pub const TALKS: [[f64; TALK]; 2] = [
    [0.03, 0.04, 0.04, 0.04, 0.08, 0.09, 0.08, 0.22, 0.24, 0.14],
    [0.12, 0.22, 0.2, 0.18, 0.15, 0.06, 0.04, 0.02, 0.008, 0.002],
];
/// Of callers, how many call again, and after how many seconds on average.
pub const AGAIN: (f64, f64) = (0.15, 130_000.0);
/// Of clicks, how many a second lead to a call so long after them.
pub const CLICKS: [f64; CLICK] = [0.05, 0.1, 0.04, 0.01, 1e-3, 1e-4];
/// How much rarer a session with more pages calls from the page that it looks at.
const BY_PAGES: [f64; PAGE_BINS] = [1.6, 1.3, 1.1, 0.9, 0.7, 0.5, 0.4];
/// To which power, at each age.
const BY_AGE: [f64; AGE_BINS] = [1.0, 0.5, 0.0];

/// The factor of pages that is supposed.
pub fn prior_pages(at: usize) -> f64 {
    BY_PAGES[at % PAGE_BINS].powf(BY_AGE[at / PAGE_BINS])
}

/// Calls a second so long after a session's last sign of life, before anything is known.
fn prior(delay: f64, open: f64) -> f64 {
    let of = |(at, (share, mean)): (usize, &(f64, f64))| {
        let share = if at == 0 { share * open } else { *share };
        share / mean * (-delay / mean).exp()
    };
    CALLS_PER_SESSION * DELAYS.iter().enumerate().map(of).sum::<f64>()
}

/// Mean delays of tails, in seconds.
const TAIL_MEANS: [f64; TAILS] = [100.0, 300.0, 900.0, 2_700.0, 8_100.0, 24_300.0, 72_900.0, 218_700.0];
pub const TAILS: usize = 8;
/// Calls a session of each, before anything is known.
pub const TAILS_SUPPOSED: [f64; TAILS] = [2e-3, 4e-3, 4e-3, 4e-3, 5e-3, 5e-3, 6e-3, 5e-3];

/// The mean density of a tail between two delays.
fn density(tail: usize, from: f64, to: f64) -> f64 {
    let mean = TAIL_MEANS[tail];
    ((-from / mean).exp() - (-to / mean).exp()) / (to - from)
}

/// The mean density of a tail in a far bin.
pub fn tail(tail: usize, at: usize) -> f64 {
    density(tail, FAR_EDGES[at], FAR_EDGES[at + 1])
}

/// And in a near one, of whatever state.
pub fn tail_near(tail: usize, at: usize) -> f64 {
    density(tail, NEAR_EDGES[at % NEAR], NEAR_EDGES[at % NEAR + 1])
}

fn middle(edges: &[f64], at: usize) -> f64 {
    (edges[at] + edges[at + 1]) / 2.0
}

pub fn prior_near(at: usize) -> f64 {
    prior(middle(&NEAR_EDGES, at % NEAR), OPEN[at / NEAR])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_bin() {
        for (state, delay, expected) in [
            (State::Held, 0.0, 0),
            (State::Held, 0.99, 0),
            (State::Lapsed, 1.0, NEAR + 1),
            (State::Released, 1e9, 3 * NEAR - 1),
        ] {
            assert_eq!(near(state, delay), expected);
        }
        assert_eq!((far(0.0), far(1800.0), far(2700.0), far(f64::MAX)), (0, 0, 1, FAR - 1));
        assert_eq!((click(0.0), click(300.0)), (0, CLICK - 1));
        assert_eq!((pages(0, 0.0), pages(1, 49.9), pages(2, 50.0), pages(99, 1e9)), (0, 0, PAGE_BINS + 1, PAGES - 1));
        assert_eq!((cell(0, 0.0), cell(100, 1e12)), (0, CELLS - 1));
        assert_eq!(far_ends(1, 2000.0), None);
        assert_eq!((far_ends(0, 2000.0), far_ends(0, 1e9)), (Some((1800.0, 2000.0)), Some((1800.0, 2700.0))));
    }

    #[test]
    fn edges_rise() {
        for edges in [&NEAR_EDGES[..], &FAR_EDGES, &CLICK_EDGES, &AGES] {
            assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
        }
        assert_eq!(NEAR_EDGES[NEAR], FAR_EDGES[0]);
    }
}
