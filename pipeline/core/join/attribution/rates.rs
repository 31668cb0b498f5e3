//! What was learned: counts of calls and of chances to call, and the rates that they come to.

use serde::{Deserialize, Serialize};

use super::bins::{self, CELLS, COUNTRIES, FAR, NEAR, PAGES, STATES};

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
    pub cells: Vec<Count>,
    pub countries: Vec<Count>,
}

/// `chances` are in points, but for factors: there it is the calls that one would expect without the factor.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Count {
    pub calls: f32,
    pub chances: f32,
}

/// Calls that each supposed rate is worth, of an account, and of a pool whose account's rates are known.
const WORTH: f64 = 0.5;
const WORTH_OF_ACCOUNT: f64 = 4.0;
/// Calls that a factor of 1 is worth.
const WORTH_OF_FACTOR: f64 = 30.0;
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
            cells: counts(CELLS),
            countries: counts(COUNTRIES),
        }
    }
}

impl Tally {
    fn lists(&mut self) -> [&mut Vec<Count>; 5] {
        [&mut self.near, &mut self.far, &mut self.pages, &mut self.cells, &mut self.countries]
    }

    /// What is old counts less.
    pub fn fade(&mut self, by: f64) {
        for number in [&mut self.calls, &mut self.points, &mut self.strays] {
            *number *= by;
        }
        for count in self.lists().into_iter().flatten() {
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
    pub pages: Vec<f32>,
    pub cells: Vec<f32>,
    pub countries: Vec<f32>,
}

impl Default for Rates {
    /// What is supposed before anything is known.
    fn default() -> Rates {
        Rates {
            unit: 1.0,
            stray: bins::STRAY,
            near: (0..STATES * NEAR).map(|at| bins::prior_near(at) as f32).collect(),
            far: (0..FAR).map(|at| bins::prior_far(at) as f32).collect(),
            pages: bins::BY_PAGES.map(|factor| factor as f32).to_vec(),
            cells: vec![1.0; CELLS],
            countries: vec![1.2, 0.4],
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
        let factor = (f64::from(it.calls) + WORTH_OF_FACTOR * supposed)
            / (f64::from(it.chances) * scale + WORTH_OF_FACTOR);
        factor.clamp(0.02, 50.0) as f32
    };
    counts.iter().zip(supposed).map(of).collect()
}

impl Rates {
    /// The rates that a tally comes to, where others were supposed.
    pub fn learn(tally: &Tally, supposed: &Rates, of_account: bool) -> Rates {
        let chances = |counts: &[Count], rates: &[f32]| -> f64 {
            counts.iter().zip(rates).map(|(count, rate)| f64::from(count.chances) * f64::from(*rate)).sum()
        };
        let expected = chances(&tally.near, &supposed.near)
            + chances(&tally.far, &supposed.far)
            + tally.points * supposed.stray;
        // How many more calls there are than was supposed: that is the scale, and nothing else.
        let scale = if expected > 0.0 && tally.calls > 0.0 { tally.calls / expected } else { 1.0 };
        let worth = if of_account { WORTH } else { WORTH_OF_ACCOUNT };
        let rates = |counts: &[Count], supposed: &[f32]| -> Vec<f32> {
            let of = |(count, supposed): (&Count, &f32)| {
                rate(f64::from(count.calls), f64::from(count.chances), f64::from(*supposed) * scale, worth) as f32
            };
            counts.iter().zip(supposed).map(of).collect()
        };
        Rates {
            unit: supposed.unit * scale,
            stray: rate(tally.strays, tally.points, supposed.stray * scale, worth),
            near: rates(&tally.near, &supposed.near),
            far: rates(&tally.far, &supposed.far),
            pages: factors(&tally.pages, &supposed.pages),
            cells: factors(&tally.cells, &supposed.cells),
            countries: factors(&tally.countries, &supposed.countries),
        }
    }
}
