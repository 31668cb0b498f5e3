//! At what rate a visit calls, by the simulation's own parameters, given what is seen of it.

use callweave_core::time::MICROS_PER_SECOND;

use super::numbers;
use super::visits::{CALLBACK_AFTER, PAGE_SECONDS_MOST, RELEASED_SHARE};
use super::{Delay, Simulation};

/// Rates are in calls a second.
pub(super) struct Rates {
    /// Calls of strangers to one number.
    pub stray: f64,
    calls: f64,
    during: f64,
    later: [Delay; 3],
    /// The chance that a page is the last.
    last: f64,
    /// The mean of a stay beyond its least.
    stay: f64,
    beat: f64,
    clicks: f64,
    telephones: f64,
    shared_share: f64,
}

/// The least time that a page is looked at.
const STAY_LEAST: f64 = 3.0;
/// Steps of a numerical integral.
const STEPS: usize = 64;

pub(super) fn seconds(micros: i64) -> f64 {
    micros as f64 / MICROS_PER_SECOND as f64
}

impl Rates {
    pub fn new(options: &Simulation, numbers: usize) -> Rates {
        let delays = &options.delays;
        let all = delays.during_visit + delays.later.iter().map(|delay| delay.weight).sum::<f64>();
        let calls_per_day = options.visits_per_day * options.call_share;
        Rates {
            stray: calls_per_day * options.wrong_number_share / 86_400.0 / numbers as f64,
            calls: options.call_share,
            during: delays.during_visit / all,
            later: delays.later.map(|delay| Delay { weight: delay.weight / all, ..delay }),
            last: 1.0 / options.pages_per_visit,
            stay: options.page_seconds - STAY_LEAST,
            beat: options.heartbeat_seconds,
            clicks: options.click_share,
            telephones: options.telephones.unwrap_or(numbers::TELEPHONES) as f64,
            shared_share: options.shared_phone_share,
        }
    }

    /// How likely somebody of whom nothing is known has this telephone.
    pub fn anybody(&self, phone: u64) -> f64 {
        if phone == 0 {
            return 1.0;
        }
        let own = (1.0 - self.shared_share) / self.telephones;
        if self.shared_share > 0.0 && numbers::is_shared(phone) {
            own + self.shared_share / numbers::SHARED_TELEPHONES as f64
        } else {
            own
        }
    }

    pub fn after_click(&self, since: f64) -> f64 {
        if (1.0..=6.0).contains(&since) { 1.0 / 5.0 } else { 1e-9 }
    }

    pub fn called_back(&self, since: f64) -> f64 {
        let (least, most) = CALLBACK_AFTER;
        if (least..=most).contains(&since) { 1.0 / (most - least) } else { 1e-9 }
    }

    /// The density of calls so long after a visit's end, and the share of calls that came before.
    fn later(&self, since: f64) -> (f64, f64) {
        let each = self.later.iter().map(|it| {
            let left = it.weight * (-since / it.mean_seconds).exp();
            (left / it.mean_seconds, it.weight - left)
        });
        each.fold((0.0, self.during), |sum, it| (sum.0 + it.0, sum.1 + it.1))
    }

    /// A visit whose end is known.
    pub fn left(&self, since: f64) -> f64 {
        let (density, before) = self.later(since);
        self.calls * density / (1.0 - self.calls * before)
    }

    /// How likely a page is looked at for longer.
    fn stays(&self, longer: f64) -> f64 {
        if longer <= STAY_LEAST {
            1.0
        } else if longer < STAY_LEAST + PAGE_SECONDS_MOST as f64 {
            (-(longer - STAY_LEAST) / self.stay).exp()
        } else {
            0.0
        }
    }

    /// A visit whose last page view is `since` ago, the number of `pages` counting that one, and the last heartbeat on it `beat`
    /// seconds after it (0: none): whether it goes on is not known.
    pub fn unknown(&self, since: f64, beat: f64, pages: u16, mobile: bool) -> f64 {
        let next_beat = beat + self.beat;
        let open = if since <= next_beat { self.stays(since) } else { 0.0 };
        let closed = self.last * (1.0 - RELEASED_SHARE) * (self.stays(beat) - self.stays(since.min(next_beat)));
        let all = open + closed;
        if all <= 0.0 {
            return self.left(since);
        }
        let taps = self.clicks * if mobile { 1.5 } else { 0.5 };
        // A page that had gone on would have told so by now.
        let dials = if since <= next_beat { self.dials_at(since) } else { 0.0 };
        let during = self.during * (1.0 - taps) * self.share_of_page(pages) * dials;
        let later = self.last * (1.0 - RELEASED_SHARE) * self.dials_later(since, beat, since.min(next_beat));
        let (_, before) = self.later(since);
        let called = self.calls * before * closed / all;
        self.calls * (during + later) / all / (1.0 - called)
    }

    /// The chance that a visit that calls from one of its pages does so from its `pages`th, which is reached.
    fn share_of_page(&self, pages: u16) -> f64 {
        let mut goes_on = 1.0;
        let mut sum = 0.0;
        for total in pages..pages + 200 {
            sum += goes_on * self.last / f64::from(total);
            goes_on *= 1.0 - self.last;
        }
        sum + goes_on / f64::from(pages + 200)
    }

    /// The density of dialling so long after a page view, which is somewhere between a fifth and four fifths of the stay.
    fn dials_at(&self, since: f64) -> f64 {
        let most = STAY_LEAST + PAGE_SECONDS_MOST as f64;
        let (from, to) = ((since / 0.8).max(STAY_LEAST), (since / 0.2).min(most));
        if from >= to {
            return 0.0;
        }
        let to = to.min(from + 20.0 * self.stay);
        let density = |stay: f64| (-(stay - STAY_LEAST) / self.stay).exp() / self.stay / (0.6 * stay);
        simpson(density, from, to)
    }

    /// The density of a call now by a visit that ended at some time between two after its last page view.
    fn dials_later(&self, since: f64, from: f64, to: f64) -> f64 {
        let from = from.max(STAY_LEAST);
        if from >= to {
            return 0.0;
        }
        let to = to.min(from + 20.0 * self.stay);
        simpson(|stay| (-(stay - STAY_LEAST) / self.stay).exp() / self.stay * self.later(since - stay).0, from, to)
    }
}

fn simpson(of: impl Fn(f64) -> f64, from: f64, to: f64) -> f64 {
    let step = (to - from) / STEPS as f64;
    let weight = |at: usize| match at {
        0 | STEPS => 1.0,
        at if at % 2 == 1 => 4.0,
        _ => 2.0,
    };
    (0..=STEPS).map(|at| weight(at) * of(from + at as f64 * step)).sum::<f64>() * step / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over all time after a page view of one visit, the rates come to the calls that there are.
    #[test]
    fn the_densities_sum_to_the_shares() {
        let options = Simulation { click_share: 0.0, heartbeat_seconds: 600.0, ..Simulation::default() };
        let rates = Rates::new(&options, 100);
        let during: f64 = (0..12_000).map(|at| rates.dials_at(0.05 + f64::from(at) * 0.1) * 0.1).sum();
        assert!((during - 1.0).abs() < 0.01, "{during}");
        let later: f64 = (0..2_000_000).map(|at| rates.later(f64::from(at)).0).sum();
        assert!((later - (1.0 - rates.during)).abs() < 0.01, "{later}");
        assert!((rates.share_of_page(1) - 0.358).abs() < 0.001, "{}", rates.share_of_page(1));
    }
}
