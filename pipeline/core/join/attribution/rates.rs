//! What was learned: counts of calls and of chances to call, and the rates that they come to.

use serde::{Deserialize, Serialize};

use super::bins::{self, CELLS, CLOSED, COUNTRIES, FAR, NEAR, PAGES, STATES, TALK};

/// Calls, and chances for one, in each bin. Fractions count, since a call counts for each candidate by its probability.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tally {
    pub calls: f64,
    /// Points in time on a number at which was looked who could have called.
    pub points: f64,
    pub strays: f64,
    pub near: Vec<Count>,
    pub far: Vec<Count>,
    pub pages: Vec<Count>,
    /// Chances of candidates whose lease is active, by bin and pages: the two go together.
    pub open: Vec<f32>,
    pub cells: Vec<Count>,
    pub countries: Vec<Count>,
    /// How long calls of sessions were talked, and strays.
    pub talks: [[f32; TALK]; 2],
    pub again: Again,
}

/// Calls of telephones that are known, how many of them came again, and after how many seconds in all.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Again {
    pub callers: f64,
    pub calls: f64,
    pub seconds: f64,
}

/// `chances` are in points, but for factors: there it is the calls that one would expect without the factor.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Count {
    pub calls: f32,
    pub chances: f32,
}

/// Calls that each supposed rate is worth, of an account, and of a pool whose account's rates are known.
const WORTH: f64 = 1.0;
const WORTH_OF_ACCOUNT: f64 = 100.0;
/// Calls that the smooth curve of delays is worth in a near bin of pages that were closed.
const WORTH_OF_CURVE: f64 = 50.0;
/// Calls that its neighbours' rates are worth in a near bin whose page may be open.
const WORTH_OF_NEIGHBOURS: f64 = 20.0;
/// Calls that a factor of 1 is worth.
const WORTH_OF_FACTOR: f64 = 50.0;
/// Rates stay within this factor of what was supposed, so that nothing that is learned can run away.
const FARTHEST: f64 = 1e3;

impl Default for Tally {
    fn default() -> Tally {
        let counts = |bins: usize| vec![Count::default(); bins];
        Tally {
            calls: 0.0,
            points: 0.0,
            strays: 0.0,
            near: counts(STATES * NEAR),
            far: counts(FAR),
            pages: counts(PAGES),
            open: vec![0.0; NEAR * PAGES],
            cells: counts(CELLS),
            countries: counts(COUNTRIES),
            talks: Default::default(),
            again: Again::default(),
        }
    }
}

impl Tally {
    /// What is old counts less. The rest is counted anew for each fit.
    pub fn fade(&mut self, by: f64) {
        let Again { callers, calls, seconds } = &mut self.again;
        for number in [callers, calls, seconds] {
            *number *= by;
        }
        for count in self.cells.iter_mut().chain(&mut self.countries) {
            count.calls *= by as f32;
            count.chances *= by as f32;
        }
    }
}

/// Calls per point, of each bin, and factors: what the choice goes by. All of one scale, which does not matter.
#[derive(Clone, Serialize, Deserialize)]
pub struct Rates {
    /// What one call a second comes to in this scale.
    pub unit: f64,
    pub stray: f64,
    pub near: Vec<f32>,
    pub far: Vec<f32>,
    /// Calls per point of sessions whose delays are exponential, of each mean: `far` comes of them.
    pub tails: Vec<f64>,
    pub pages: Vec<f32>,
    pub cells: Vec<f32>,
    pub countries: Vec<f32>,
    /// How much likelier strays are talked so long than calls of sessions.
    pub talks: [f32; TALK],
    /// Of callers, how many call again, and after how many seconds on average.
    pub again: (f64, f64),
    /// Of so many calls of the account were they learned.
    pub calls: f64,
}

impl Default for Rates {
    /// What is supposed before anything is known.
    fn default() -> Rates {
        Rates {
            unit: 1.0,
            stray: bins::STRAY,
            near: (0..STATES * NEAR).map(|at| bins::prior_near(at) as f32).collect(),
            far: far(&bins::TAILS_SUPPOSED),
            tails: bins::TAILS_SUPPOSED.to_vec(),
            pages: (0..PAGES).map(|at| bins::prior_pages(at) as f32).collect(),
            cells: vec![1.0; CELLS],
            countries: vec![1.2, 0.4],
            talks: talks(&Default::default()),
            again: bins::AGAIN,
            calls: 0.0,
        }
    }
}

/// Calls per chance: the mean of a gamma distribution whose prior is worth so many calls.
fn rate(calls: f64, chances: f64, supposed: f64, worth: f64) -> f64 {
    let rate = (calls + worth) / (chances + worth / supposed);
    rate.clamp(supposed / FARTHEST, supposed * FARTHEST)
}

fn factors(counts: &[Count], supposed: &[f32]) -> Vec<f32> {
    let all = counts.iter().fold((0.0, 0.0), |sum, it| (sum.0 + f64::from(it.calls), sum.1 + f64::from(it.chances)));
    // Expected calls are of another scale than calls: only their shares are compared.
    let scale = if all.1 > 0.0 { all.0 / all.1 } else { 0.0 };
    let of = |(it, supposed): (&Count, &f32)| {
        let supposed = f64::from(*supposed);
        let factor =
            (f64::from(it.calls) + WORTH_OF_FACTOR * supposed) / (f64::from(it.chances) * scale + WORTH_OF_FACTOR);
        factor.clamp(0.02, 50.0) as f32
    };
    counts.iter().zip(supposed).map(of).collect()
}

/// The rates of far bins that come of these tails.
fn far(tails: &[f64]) -> Vec<f32> {
    let of = |at| tails.iter().enumerate().map(|(tail, calls)| calls * bins::tail(tail, at)).sum::<f64>() as f32;
    (0..FAR).map(of).collect()
}

/// Calls that each supposed distribution of talk is worth.
const WORTH_OF_TALKS: f64 = 50.0;

fn talks(counts: &[[f32; TALK]; 2]) -> [f32; TALK] {
    let share = |of: usize, at: usize| {
        let all: f64 = counts[of].iter().map(|calls| f64::from(*calls)).sum();
        (f64::from(counts[of][at]) + WORTH_OF_TALKS * bins::TALKS[of][at]) / (all + WORTH_OF_TALKS)
    };
    std::array::from_fn(|at| (share(1, at) / share(0, at)).clamp(0.02, 50.0) as f32)
}

/// Calls that what is supposed of callers who call again is worth.
const WORTH_OF_AGAIN: f64 = 50.0;
/// Seconds on average until somebody calls again, at least and at most.
const AGAIN_SECONDS: (f64, f64) = (3_600.0, 30.0 * 86_400.0);

fn again(counts: Again) -> (f64, f64) {
    let share = (counts.calls + WORTH_OF_AGAIN * bins::AGAIN.0) / (counts.callers + WORTH_OF_AGAIN);
    let mean = (counts.seconds + WORTH_OF_AGAIN * bins::AGAIN.1) / (counts.calls + WORTH_OF_AGAIN);
    (share.clamp(1e-3, 0.9), mean.clamp(AGAIN_SECONDS.0, AGAIN_SECONDS.1))
}

/// Turns of the fit below, one for so many calls. It begins at what is supposed each time, and comes to what calls tell the nearer the more
/// turns it takes: tails are alike, and what few calls hardly tell is not to be read out of them.
const CALLS_PER_TURN: f64 = 100.0;
const TURNS: (f64, f64) = (3.0, 60.0);
/// Which of the longer tails a call is of can hardly be told by when it comes: what is supposed of them is worth this share of
/// all calls, but for how many they are together.
const WORTH_OF_SHAPE: f64 = 0.01;
/// Strays too are hard to tell from long tails: so many of all calls are supposed of an account, which is worth so many.
const STRAYS: f64 = 0.1;
const WORTH_OF_STRAYS: f64 = 0.01;

/// A bin that tails are fitted to: calls, chances, and the density of each tail in it.
struct Bin {
    calls: f64,
    chances: f64,
    of: [f64; bins::TAILS],
}

/// Fits tails to the calls of sessions whose page was closed, near and far (a mixture with gamma priors, by expectation and
/// maximisation).
fn tails(tally: &Tally, near: &[Count], supposed: &[f64], scale: f64, of_account: bool) -> Vec<f64> {
    let supposed: Vec<f64> = supposed.iter().map(|calls| calls * scale).collect();
    let worth = if of_account { WORTH } else { WORTH_OF_ACCOUNT };
    let bin = |count: &Count, density: &dyn Fn(usize) -> f64| Bin {
        calls: f64::from(count.calls),
        chances: f64::from(count.chances),
        of: std::array::from_fn(density),
    };
    let far = tally.far.iter().enumerate().map(|(at, count)| bin(count, &|tail| bins::tail(tail, at)));
    let near = near.iter().enumerate().skip(CLOSED).map(|(at, count)| bin(count, &|tail| bins::tail_near(tail, at)));
    let bins: Vec<Bin> = far.chain(near).filter(|bin| bin.calls > 0.0 || bin.chances > 0.0).collect();
    let chances: Vec<f64> =
        (0..bins::TAILS).map(|tail| bins.iter().map(|bin| bin.chances * bin.of[tail]).sum()).collect();
    let mut tails = supposed.clone();
    for _ in 0..(tally.calls / CALLS_PER_TURN).clamp(TURNS.0, TURNS.1) as usize {
        let mut calls = [0.0; bins::TAILS];
        for bin in bins.iter().filter(|bin| bin.calls > 0.0) {
            let all: f64 = tails.iter().zip(&bin.of).map(|(tail, density)| tail * density).sum();
            if all > 0.0 {
                let parts = tails.iter().zip(&bin.of).map(|(tail, density)| bin.calls * tail * density / all);
                calls.iter_mut().zip(parts).for_each(|(calls, part)| *calls += part);
            }
        }
        let long = |of: &[f64]| of[bins::LONG..].iter().sum::<f64>();
        let grown = long(&tails) / long(&supposed);
        for tail in 0..bins::TAILS {
            let (supposed, worth) = if tail < bins::LONG {
                (supposed[tail], worth)
            } else {
                (supposed[tail] * grown, worth + WORTH_OF_SHAPE * tally.calls)
            };
            tails[tail] = rate(calls[tail], chances[tail], supposed, worth);
        }
    }
    tails
}

/// The rates of near bins whose page may be open, each drawn towards the mean of its neighbours': what falls out of line is mostly
/// chance.
fn align(near: &mut [f32], counts: &[Count]) {
    let raw: [f32; NEAR] = std::array::from_fn(|at| near[at]);
    for at in 0..CLOSED {
        let after = at + 1;
        let before = at.checked_sub(1).unwrap_or(after);
        let around = (f64::from(raw[before]) * f64::from(raw[after])).sqrt();
        let Count { calls, chances } = counts[at];
        near[at] = rate(f64::from(calls), f64::from(chances), around, WORTH_OF_NEIGHBOURS) as f32;
    }
}

/// The rates of near bins of pages that were closed, drawn towards the curve that the tails make: to whom the number is shown no
/// more, it is all one whether the lease has ended.
fn smooth(near: &mut [f32], counts: &[Count], tails: &[f64]) {
    for (at, (near, count)) in near.iter_mut().zip(counts).enumerate().skip(CLOSED) {
        let curve: f64 = tails.iter().enumerate().map(|(tail, calls)| calls * bins::tail_near(tail, at)).sum();
        *near = rate(f64::from(count.calls), f64::from(count.chances), curve, WORTH_OF_CURVE) as f32;
    }
}

/// Calls that what is supposed is worth, as a ground for being sure.
const WORTH_OF_SUPPOSED: f64 = 50.0;

impl Rates {
    /// To which power a rate's share of all rates is taken. Rates are estimates, and may be off by more the fewer calls they come of:
    /// over all that they may be, shares are more alike on average than at the estimate, by an error that falls with the square root.
    pub fn sureness(&self) -> f64 {
        1.0 - 0.5 / (self.calls + WORTH_OF_SUPPOSED).sqrt()
    }

    pub fn talk(&self, bin: Option<usize>) -> f64 {
        bin.map_or(1.0, |bin| f64::from(self.talks[bin]))
    }

    /// The rates that a tally comes to, where others were supposed; `pages` are the factors so far.
    pub fn learn(tally: &Tally, supposed: &Rates, pages: &[f32], of_account: bool) -> Rates {
        let mut near_counts = tally.near.clone();
        for (count, open) in near_counts.iter_mut().zip(tally.open.chunks(PAGES)) {
            count.chances = open.iter().zip(pages).map(|(chances, factor)| chances * factor).sum();
        }
        let chances = |counts: &[Count], rates: &[f32]| -> f64 {
            counts.iter().zip(rates).map(|(count, rate)| f64::from(count.chances) * f64::from(*rate)).sum()
        };
        let expected = chances(&near_counts, &supposed.near) + chances(&tally.far, &supposed.far);
        // How many more calls there are than was supposed: that is the scale, and nothing else. Strays are supposed to be a share of
        // an account's calls, and of a pool's as many as the account has.
        let (found, expected) = if of_account {
            ((1.0 - STRAYS) * tally.calls, expected)
        } else {
            (tally.calls, expected + supposed.stray * tally.points)
        };
        let scale = if expected > 0.0 && tally.calls > 0.0 { found / expected } else { 1.0 };
        let strays = if !of_account {
            supposed.stray * scale
        } else if tally.points > 0.0 && tally.calls > 0.0 {
            STRAYS * tally.calls / tally.points
        } else {
            bins::STRAY
        };
        let worth = if of_account { WORTH } else { WORTH_OF_ACCOUNT };
        let rates = |counts: &[Count], supposed: &[f32]| -> Vec<f32> {
            let of = |(count, supposed): (&Count, &f32)| {
                rate(f64::from(count.calls), f64::from(count.chances), f64::from(*supposed) * scale, worth) as f32
            };
            counts.iter().zip(supposed).map(of).collect()
        };
        let tails = tails(tally, &near_counts, &supposed.tails, scale, of_account);
        let far = far(&tails);
        let mut near = rates(&near_counts, &supposed.near);
        if of_account {
            align(&mut near, &near_counts);
            smooth(&mut near, &near_counts, &tails);
        }
        let mut page_counts = tally.pages.clone();
        for (at, count) in page_counts.iter_mut().enumerate() {
            count.chances = tally.open.chunks(PAGES).zip(&near).map(|(open, rate)| open[at] * rate).sum();
        }
        Rates {
            unit: supposed.unit * scale,
            stray: rate(tally.strays, tally.points, strays, worth + WORTH_OF_STRAYS * tally.calls),
            near,
            far,
            tails,
            pages: factors(&page_counts, &supposed.pages),
            cells: factors(&tally.cells, &supposed.cells),
            countries: factors(&tally.countries, &supposed.countries),
            // Of few calls of a pool, these would be too little to learn from.
            talks: if of_account { talks(&tally.talks) } else { supposed.talks },
            again: if of_account { again(tally.again) } else { supposed.again },
            calls: if of_account { tally.calls } else { supposed.calls },
        }
    }
}
