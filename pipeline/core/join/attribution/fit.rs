//! The fit: rates that make the calls at hand likeliest, by expectation and maximisation over the latest calls (Dempster,
//! Laird and Rubin, 1977). Whose each call was is not known; each counts for all who could have made it, by how likely that is
//! at the rates so far, and the rates follow from that. Those of closed pages and of strays, which are the hardest to tell apart, are
//! sought together at each turn ([`mixture`]).

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::bins::{self, CLOSED, FAR, NEAR, PAGES, STATES, TAILS, TALK, seconds};
use super::mixture::{self, PARTS, Row, STRAYS, Supposed};
use super::rates::{Rates, Tally};
use super::{Chance, SPENT, Seen};
use crate::limits::POINTS_PER_CALL;

/// What one call teaches, packed: most have a few near candidates and many that are far. And what could have been seen, had
/// somebody called at random times before.
#[derive(Clone, Serialize, Deserialize)]
pub struct Lesson {
    /// Among the pools that are learned; the last is any other.
    pub pool: u8,
    /// Its bin; [`NO_TALK`] of calls that nobody took.
    talk: u8,
    /// Bin, pages, and how likely the session had called before, in hundredths.
    near: SmallVec<[(u8, u8, u8); 4]>,
    /// Bin, and how many candidates were in it.
    far: SmallVec<[(u8, u16); 10]>,
    /// So many hours of one number do the points below stand for.
    hours: f32,
    points: f32,
    /// Bin and pages.
    chances: SmallVec<[(u8, u8); 12]>,
    /// Sessions in each far bin, on average; none beyond the last.
    far_chances: Box<[f32]>,
}

const NO_TALK: u8 = u8::MAX;

impl Lesson {
    pub fn new(pool: u8, talk: Option<usize>, seen: &Seen) -> Lesson {
        let chance = |it: &Chance| {
            let delay = seconds(it.delay);
            (bins::near(it.state, delay) as u8, bins::pages(it.pages, delay) as u8)
        };
        Lesson {
            pool,
            talk: talk.map_or(NO_TALK, |bin| bin as u8),
            near: SmallVec::new(),
            far: SmallVec::new(),
            hours: seen.hours as f32,
            points: seen.points as f32,
            chances: seen.near.iter().map(chance).collect(),
            far_chances: {
                let bins = seen.far.iter().rposition(|sessions| *sessions > 0.0).map_or(0, |last| last + 1);
                seen.far[..bins].iter().map(|sessions| *sessions as f32).collect()
            },
        }
    }

    fn talk(&self) -> Option<usize> {
        (self.talk != NO_TALK).then_some(usize::from(self.talk))
    }

    pub fn near(&mut self, bin: usize, pages: usize, spent: u8) {
        self.near.push((bin as u8, pages as u8, spent));
    }

    pub fn far(&mut self, bin: usize) {
        match self.far.iter_mut().find(|(held, _)| usize::from(*held) == bin) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.far.push((bin as u8, 1)),
        }
    }
}

/// What could have been seen, over these lessons; `counts` has the rest.
fn gather<'a>(lessons: impl Iterator<Item = &'a Lesson>, counts: &Tally) -> Tally {
    let mut tally = Tally { points: 0.0, ..counts.clone() };
    let mut near = [0f64; STATES * NEAR];
    let mut open = [0f64; NEAR * PAGES];
    let mut far = [0f64; FAR];
    for lesson in lessons {
        let hours = f64::from(lesson.hours);
        let weight = hours / POINTS_PER_CALL as f64;
        tally.points += hours * f64::from(lesson.points);
        for &(bin, pages) in &lesson.chances {
            // Of what is still open, bins and pages go together.
            match usize::from(bin) {
                bin if bin < NEAR => open[bin * PAGES + usize::from(pages)] += weight,
                bin => near[bin] += weight,
            }
        }
        far.iter_mut().zip(&lesson.far_chances).for_each(|(all, chances)| *all += hours * f64::from(*chances));
    }
    tally.open = open.iter().map(|chances| *chances as f32).collect();
    tally.near.iter_mut().zip(&near).for_each(|(count, chances)| count.chances = *chances as f32);
    tally.far = far.iter().map(|chances| *chances as f32).collect();
    tally
}

/// A lesson, and how much a call of each tail was to be expected of its far candidates.
struct Sample<'a> {
    lesson: &'a Lesson,
    far: [f64; TAILS],
}

impl<'a> Sample<'a> {
    fn new(lesson: &'a Lesson, densities: &[[f64; TAILS]; FAR]) -> Sample<'a> {
        let mut far = [0.0; TAILS];
        for &(bin, count) in &lesson.far {
            far.iter_mut()
                .zip(densities[usize::from(bin)])
                .for_each(|(sum, density)| *sum += f64::from(count) * density);
        }
        Sample { lesson, far }
    }

    /// Each near candidate's bin and pages, and how much its rate counts.
    fn near<'b>(&'b self, pages: &'b [f32]) -> impl Iterator<Item = (usize, usize, f64)> + 'b {
        self.lesson.near.iter().map(move |&(bin, of_pages, spent)| {
            let (bin, of_pages) = (usize::from(bin), usize::from(of_pages));
            let factor = if bin < NEAR { f64::from(pages[of_pages]) } else { 1.0 };
            (bin, of_pages, factor * (1.0 - SPENT * f64::from(spent) / 100.0))
        })
    }
}

/// Calls by near bin, pages and talk, as the rates have it: what [`Tally`] counts, but of these lessons alone.
fn expect(samples: &[Sample<'_>], rates: &Rates, tally: &mut Tally) {
    let mut near = [0f64; STATES * NEAR];
    let mut pages = [0f64; PAGES];
    let mut talks = [[0f64; TALK]; 2];
    let mut weights: SmallVec<[(usize, usize, f64); 8]> = SmallVec::new();
    for sample in samples {
        let weigh = |(bin, of_pages, counts)| (bin, of_pages, counts * f64::from(rates.near[bin]));
        weights.clear();
        weights.extend(sample.near(&rates.pages).map(weigh));
        let stray = rates.stray * rates.talk(sample.lesson.talk());
        let far: f64 = sample.far.iter().zip(&rates.tails).map(|(of, rate)| of * rate).sum();
        let all = stray + weights.iter().map(|(.., weight)| weight).sum::<f64>() + far;
        if let Some(talk) = sample.lesson.talk() {
            talks[0][talk] += 1.0 - stray / all;
            talks[1][talk] += stray / all;
        }
        for &(bin, of_pages, weight) in &weights {
            near[bin] += weight / all;
            if bin < NEAR {
                pages[of_pages] += weight / all;
            }
        }
    }
    tally.calls = samples.len() as f64;
    let counts = tally.near.iter_mut().chain(&mut tally.pages);
    counts.zip(near.iter().chain(&pages)).for_each(|(count, calls)| count.calls = *calls as f32);
    tally.talks = talks.map(|of| of.map(|calls| calls as f32));
}

/// The density of each tail in each bin: nothing where a page may be open.
struct Densities {
    near: [[f64; TAILS]; STATES * NEAR],
    far: [[f64; TAILS]; FAR],
}

impl Densities {
    fn new() -> Densities {
        let near = |at, tail| if at < CLOSED { 0.0 } else { bins::tail_near(tail, at) };
        let near = std::array::from_fn(|at| std::array::from_fn(|tail| near(at, tail)));
        Densities { near, far: mixture::far() }
    }
}

/// Rates of closed pages and strays, to which the others are given.
fn close(
    samples: &[Sample<'_>],
    densities: &Densities,
    tally: &Tally,
    supposed: &Rates,
    from: &Rates,
    rates: &mut Rates,
    of_account: bool,
) {
    let Densities { near: densities, far: far_of } = densities;
    let chances: [f64; STATES * NEAR] = std::array::from_fn(|at| f64::from(tally.near_chances(at, &rates.pages)));
    // To whom the number is shown no more, it is nearly all one whether the lease has ended: how far bins are off the curve that tails make.
    let off: [f64; STATES * NEAR] = std::array::from_fn(|at| {
        if at < CLOSED {
            return 1.0;
        }
        let expected = chances[at] * dot(&densities[at], &from.tails);
        (f64::from(tally.near[at].calls) + WORTH_OF_CURVE) / (expected + WORTH_OF_CURVE)
    });
    let row = |sample: &Sample<'_>| {
        let mut row = Row { of: [0.0; PARTS], others: 0.0 };
        row.of[..TAILS].copy_from_slice(&sample.far);
        row.of[STRAYS] = rates.talk(sample.lesson.talk());
        for (bin, _, counts) in sample.near(&rates.pages) {
            if bin < CLOSED {
                row.others += counts * f64::from(rates.near[bin]);
            }
            row.of.iter_mut().zip(densities[bin]).for_each(|(sum, density)| *sum += counts * off[bin] * density);
        }
        row
    };
    let rows: Vec<Row> = samples.iter().map(row).collect();
    let exposure: [f64; PARTS] = std::array::from_fn(|part| match part {
        STRAYS => tally.points,
        tail => {
            let far = tally.far.iter().zip(far_of).map(|(chances, of)| f64::from(*chances) * of[tail]);
            far.sum::<f64>()
                + (CLOSED..STATES * NEAR).map(|at| chances[at] * off[at] * densities[at][tail]).sum::<f64>()
        }
    });
    let open = tally.near[..CLOSED].iter().map(|count| f64::from(count.calls)).sum();
    let prior = match of_account {
        true => Supposed::of_account(tally.calls, open, &exposure),
        false => Supposed::of_pool(tally.calls, open, &exposure, &supposed.parts()),
    };
    let parts = mixture::step(&rows, &exposure, &prior, from.parts());
    rates.set_parts(&parts);
    for at in CLOSED..STATES * NEAR {
        rates.near[at] = (dot(&densities[at], &rates.tails) * off[at]) as f32;
    }
}

fn dot(densities: &[f64; TAILS], tails: &[f64]) -> f64 {
    densities.iter().zip(tails).map(|(density, rate)| density * rate).sum()
}

/// Rates fitted to lessons, beginning with those at hand. `counts` has what is counted without a fit.
pub fn fit<'a>(
    lessons: impl Iterator<Item = &'a Lesson> + Clone,
    counts: &Tally,
    supposed: &Rates,
    from: &Rates,
    of_account: bool,
) -> Rates {
    let mut tally = gather(lessons.clone(), counts);
    let densities = Densities::new();
    let samples: Vec<Sample<'_>> = lessons.map(|lesson| Sample::new(lesson, &densities.far)).collect();
    let mut rates = from.clone();
    let turns = (TURNS_OF_LESSONS / samples.len().max(1) as f64).clamp(TURNS.0, TURNS.1) as usize;
    for _ in 0..turns {
        expect(&samples, &rates, &mut tally);
        let mut next = Rates::learn(&tally, supposed, &rates.pages, of_account);
        close(&samples, &densities, &tally, supposed, &rates, &mut next, of_account);
        rates = next;
    }
    rates
}

/// Turns of the fit: it goes on from the last one's rates, and is near its end after few. At first, when they are cheap, more.
const TURNS: (f64, f64) = (3.0, 12.0);
const TURNS_OF_LESSONS: f64 = 12_000.0;
/// Calls that the smooth curve of delays is worth in a near bin of pages that were closed.
const WORTH_OF_CURVE: f64 = 50.0;
