//! What was learned: counts of calls and of chances to call, and the rates that they come to.

use serde::{Deserialize, Serialize};

use super::bins::{self, CELLS, CLOSED, COUNTRIES, FAR, NEAR, PAGES, STATES, TALK};
use super::mixture::{PARTS, STRAYS, STRAYS_SUPPOSED};

/// Calls, and chances for one, in each bin. Fractions count, since a call counts for each candidate by its probability.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tally {
    pub calls: f64,
    /// Points in time on a number at which was looked who could have called.
    pub points: f64,
    pub near: Vec<Count>,
    /// Chances alone.
    pub far: Vec<f32>,
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
            near: counts(STATES * NEAR),
            far: vec![0.0; FAR],
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
    /// Chances in a near bin, of which those that are open count by their pages.
    pub fn near_chances(&self, at: usize, pages: &[f32]) -> f32 {
        match self.open.chunks(PAGES).nth(at) {
            Some(open) => open.iter().zip(pages).map(|(chances, factor)| chances * factor).sum(),
            None => self.near[at].chances,
        }
    }

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

/// Calls that each supposed distribution of talk is worth: of people who saw the number, and of strays, who could be taken for anybody
/// if what is learned of their talk went far from what is supposed.
const WORTH_OF_TALKS: [f64; 2] = [50.0, 500.0];

fn talks(counts: &[[f32; TALK]; 2]) -> [f32; TALK] {
    let share = |of: usize, at: usize| {
        let all: f64 = counts[of].iter().map(|calls| f64::from(*calls)).sum();
        (f64::from(counts[of][at]) + WORTH_OF_TALKS[of] * bins::TALKS[of][at]) / (all + WORTH_OF_TALKS[of])
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

    /// The rates of tails, then that of strays.
    pub fn parts(&self) -> [f64; PARTS] {
        std::array::from_fn(|part| if part == STRAYS { self.stray } else { self.tails[part] })
    }

    pub fn set_parts(&mut self, parts: &[f64; PARTS]) {
        self.tails = parts[..STRAYS].to_vec();
        self.far = far(&self.tails);
        self.stray = parts[STRAYS];
    }

    /// The rates that a tally comes to, where others were supposed, but for those of closed pages and strays; `pages` are the factors so far.
    pub fn learn(tally: &Tally, supposed: &Rates, pages: &[f32], of_account: bool) -> Rates {
        let mut near_counts = tally.near.clone();
        for (at, count) in near_counts.iter_mut().enumerate() {
            count.chances = tally.near_chances(at, pages);
        }
        let near =
            near_counts.iter().zip(&supposed.near).map(|(count, rate)| f64::from(count.chances) * f64::from(*rate));
        let far = tally.far.iter().zip(&supposed.far).map(|(chances, rate)| f64::from(*chances) * f64::from(*rate));
        let expected = near.sum::<f64>() + far.sum::<f64>();
        // How many more calls there are than was supposed: that is the scale, and nothing else. Of a pool, strays are known.
        let (found, expected) = if of_account {
            ((1.0 - STRAYS_SUPPOSED) * tally.calls, expected)
        } else {
            (tally.calls, expected + supposed.stray * tally.points)
        };
        let scale = if expected > 0.0 && tally.calls > 0.0 { found / expected } else { 1.0 };
        let worth = if of_account { WORTH } else { WORTH_OF_ACCOUNT };
        let of = |(count, supposed): (&Count, &f32)| {
            rate(f64::from(count.calls), f64::from(count.chances), f64::from(*supposed) * scale, worth) as f32
        };
        let mut near: Vec<f32> = near_counts.iter().zip(&supposed.near).map(of).collect();
        if of_account {
            align(&mut near, &near_counts);
        }
        let mut page_counts = tally.pages.clone();
        for (at, count) in page_counts.iter_mut().enumerate() {
            count.chances = tally.open.chunks(PAGES).zip(&near).map(|(open, rate)| open[at] * rate).sum();
        }
        Rates {
            unit: supposed.unit * scale,
            near,
            pages: factors(&page_counts, &supposed.pages),
            cells: factors(&tally.cells, &supposed.cells),
            countries: factors(&tally.countries, &supposed.countries),
            // Of few calls of a pool, these would be too little to learn from.
            talks: if of_account { talks(&tally.talks) } else { supposed.talks },
            again: if of_account { again(tally.again) } else { supposed.again },
            calls: if of_account { tally.calls } else { supposed.calls },
            ..supposed.clone()
        }
    }
}
