//! The fit: rates that make the calls at hand likeliest, by expectation and maximisation over the latest calls (Dempster,
//! Laird and Rubin, 1977). Whose each call was is not known; each counts for all who could have made it, by how likely that is
//! at the rates so far, and the rates follow from that.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::bins::{self, FAR, NEAR, PAGES, STATES, TALK, seconds};
use super::rates::{Rates, Tally};
use super::{Chance, Seen};
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
    points: f32,
    /// Bin and pages.
    chances: SmallVec<[(u8, u8); 12]>,
    shows: f32,
    known: f32,
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
            points: seen.points as f32,
            chances: seen.near.iter().map(chance).collect(),
            shows: seen.shows as f32,
            known: seen.known as f32,
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
    let weight = 1.0 / POINTS_PER_CALL as f64;
    for lesson in lessons {
        tally.points += f64::from(lesson.points);
        for &(bin, pages) in &lesson.chances {
            // Of what is still open, bins and pages go together.
            match usize::from(bin) {
                bin if bin < NEAR => open[bin * PAGES + usize::from(pages)] += weight,
                bin => near[bin] += weight,
            }
        }
        let (shows, known) = (f64::from(lesson.shows), f64::from(lesson.known));
        far.iter_mut().enumerate().for_each(|(at, chances)| *chances += shows * bins::far_width(at, known));
    }
    tally.open = open.iter().map(|chances| *chances as f32).collect();
    let counts = tally.near.iter_mut().chain(&mut tally.far);
    counts.zip(near.iter().chain(&far)).for_each(|(count, chances)| count.chances = *chances as f32);
    tally
}

/// Calls by bin, as the rates have it: what [`Tally`] counts, but of these lessons alone.
fn expect<'a>(lessons: impl Iterator<Item = &'a Lesson>, rates: &Rates, tally: &mut Tally) {
    (tally.calls, tally.strays) = (0.0, 0.0);
    let lists = [&mut tally.near, &mut tally.far, &mut tally.pages];
    lists.into_iter().flatten().for_each(|count| count.calls = 0.0);
    let mut near = [0f64; STATES * NEAR];
    let mut pages = [0f64; PAGES];
    let mut far = [0f64; FAR];
    let mut talks = [[0f64; TALK]; 2];
    let mut weights: SmallVec<[f64; 8]> = SmallVec::new();
    for lesson in lessons {
        weights.clear();
        let of_near = |&(bin, pages, spent): &(u8, u8, u8)| {
            let spent = 1.0 - 0.98 * f64::from(spent) / 100.0;
            let pages = if usize::from(bin) < NEAR { f64::from(rates.pages[usize::from(pages)]) } else { 1.0 };
            f64::from(rates.near[usize::from(bin)]) * pages * spent
        };
        weights.extend(lesson.near.iter().map(of_near));
        let of_far = |&(bin, count): &(u8, u16)| f64::from(rates.far[usize::from(bin)]) * f64::from(count);
        let stray = rates.stray * rates.talk(lesson.talk());
        let all = stray + weights.iter().sum::<f64>() + lesson.far.iter().map(of_far).sum::<f64>();
        tally.calls += 1.0;
        tally.strays += stray / all;
        if let Some(talk) = lesson.talk() {
            talks[0][talk] += 1.0 - stray / all;
            talks[1][talk] += stray / all;
        }
        for (&(bin, of_pages, _), weight) in lesson.near.iter().zip(&weights) {
            near[usize::from(bin)] += weight / all;
            if usize::from(bin) < NEAR {
                pages[usize::from(of_pages)] += weight / all;
            }
        }
        for it in &lesson.far {
            far[usize::from(it.0)] += of_far(it) / all;
        }
    }
    let calls = near.iter().chain(&far).chain(&pages);
    let counts = tally.near.iter_mut().chain(&mut tally.far).chain(&mut tally.pages);
    counts.zip(calls).for_each(|(count, calls)| count.calls = *calls as f32);
    tally.talks = talks.map(|of| of.map(|calls| calls as f32));
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
    let mut rates = from.clone();
    let turns = (TURNS_OF_LESSONS / lessons.clone().count().max(1) as f64).clamp(TURNS.0, TURNS.1) as usize;
    for _ in 0..turns {
        expect(lessons.clone(), &rates, &mut tally);
        rates = Rates::learn(&tally, supposed, &rates.pages, of_account);
    }
    rates
}

/// Turns of the fit: it goes on from the last one's rates, and is near its end after few. At first, when they are cheap, more.
const TURNS: (f64, f64) = (10.0, 40.0);
const TURNS_OF_LESSONS: f64 = 12_000.0;
