//! A made-up account: a plumber's shop with a site, two pools, and the settings that say so.

use std::collections::VecDeque;
use std::sync::Arc;

use callweave_core::settings::OnExhausted;
use callweave_core::time::{MICROS_PER_HOUR, MICROS_PER_SECOND, Time};
use chrono::{DateTime, Datelike, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

use super::numbers::{self, Country};
use super::optimal::Book;
use super::pool::Pool;
use super::rates::Rates;
use super::tables::{self, AGENT_NAMES, CAMPAIGNS, Campaign, Route};
use super::visits::Visitor;
use super::{PoolSize, SimulateError, Simulation};
use crate::line::Lines;

pub(super) struct Account {
    pub(super) name: Arc<str>,
    pub(super) country: Country,
    zone: Tz,
    pub(super) currency: &'static str,
    /// Scheme and host, such as `https://www.acme.example`.
    pub(super) site: String,
    /// The pools `ads` and `site`, in this order.
    pub(super) pools: [Pool; 2],
    pub(super) overflow: u64,
    pub(super) newsletter: u64,
    pub(super) print: u64,
    pub(super) desk: u64,
    /// Those who may come back, the latest seen last.
    pub(super) gone: VecDeque<Visitor>,
    /// Clicks of this day on each of [`CAMPAIGNS`].
    pub(super) clicks: [u64; CAMPAIGNS.len()],
    /// What the optimal answer goes by.
    pub(super) book: Book,
    pub(super) rates: Rates,
    /// The next arrival, exactly.
    pub(super) arrival: Time,
    by_day: Vec<f64>,
    by_night: Vec<f64>,
    /// The hour (since 1970) that was last asked for, and what it is locally.
    hour: (i64, LocalHour),
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LocalHour {
    pub(super) hour: usize,
    pub(super) weekday: usize,
}

/// Numbers given out so far, by country.
#[derive(Default)]
pub(super) struct Numbers {
    united_states: usize,
    united_kingdom: usize,
}

impl Numbers {
    fn next(&mut self, country: Country) -> Result<u64, SimulateError> {
        let cursor = match country {
            Country::UnitedStates => &mut self.united_states,
            Country::UnitedKingdom => &mut self.united_kingdom,
        };
        *cursor += 1;
        numbers::tracking(country, *cursor - 1).ok_or(SimulateError::Numbers { available: numbers::TRACKING_NUMBERS })
    }
}

impl Account {
    pub(super) fn new(at: usize, options: &Simulation, numbers: &mut Numbers) -> Result<Account, SimulateError> {
        let name = &options.accounts[at];
        let (country, zone, currency) = match at % 2 {
            0 => (Country::UnitedStates, chrono_tz::America::New_York, "USD"),
            _ => (Country::UnitedKingdom, chrono_tz::Europe::London, "GBP"),
        };
        let [ads, site] = pool_sizes(options);
        let mut take = |count: usize| (0..count).map(|_| numbers.next(country)).collect::<Result<Vec<u64>, _>>();
        let rates = Rates::new(options, ads + site);
        let (ads, site, own) = (take(ads)?, take(site)?, take(4)?);
        Ok(Account {
            name: name.as_str().into(),
            country,
            zone,
            currency,
            site: format!("https://www.{}.example", host_label(name)),
            pools: [Pool::new("ads", ads, options.extension_digits), Pool::new("site", site, options.extension_digits)],
            overflow: own[0],
            newsletter: own[1],
            print: own[2],
            desk: own[3],
            gone: VecDeque::new(),
            clicks: [0; CAMPAIGNS.len()],
            book: Book::default(),
            rates,
            arrival: options.start,
            by_day: sums(|campaign| campaign.by_day),
            by_night: sums(|campaign| campaign.by_night),
            hour: (i64::MIN, LocalHour::default()),
        })
    }

    /// Whether it is a number of a pool.
    pub(super) fn is_leased(&self, number: u64) -> bool {
        ![self.overflow, self.newsletter, self.print, self.desk].contains(&number)
    }

    pub(super) fn local(&mut self, now: Time) -> LocalHour {
        let hour = now.0.div_euclid(MICROS_PER_HOUR);
        if self.hour.0 != hour {
            self.hour = (hour, local_hour(self.zone, now));
        }
        self.hour.1
    }

    /// How busy it is now, against the mean of 1.
    pub(super) fn busy(&mut self, now: Time) -> f64 {
        let local = self.local(now);
        tables::HOURS[local.hour] * tables::WEEKDAYS[local.weekday]
    }

    /// Running totals of the weights of [`CAMPAIGNS`] at this time of day.
    pub(super) fn weights(&mut self, now: Time) -> &[f64] {
        if (6..18).contains(&self.local(now).hour) { &self.by_day } else { &self.by_night }
    }

    pub(super) fn open(&mut self, now: Time) -> bool {
        let local = self.local(now);
        local.weekday < 5 && (8..18).contains(&local.hour)
    }

    /// Writes the members of `account_settings`.
    pub(super) fn settings(&self, options: &Simulation, lines: &mut Lines) {
        lines.text("timezone", self.zone.name());
        lines.text("currency", self.currency);
        let day = r#"[["08:00","18:00"]]"#;
        lines.object("business_hours");
        for weekday in ["mon", "tue", "wed", "thu", "fri"] {
            lines.json(weekday, day);
        }
        lines.close_object();
        lines.json("holidays", r#"["2026-12-25"]"#);
        self.numbers(lines);
        self.pools(options, lines);
        self.routes(lines);
        lines.object("agents");
        for (name, extension) in AGENT_NAMES.iter().zip(AGENT_EXTENSIONS) {
            lines.text(extension, name);
        }
        lines.close_object();
    }

    fn numbers(&self, lines: &mut Lines) {
        lines.array("numbers");
        for (number, truth, label) in
            [(self.newsletter, &tables::NEWSLETTER, "Newsletter"), (self.print, &tables::PRINT, "Yellow pages")]
        {
            lines.item();
            lines.phone("number", number);
            lines.text("kind", "static");
            lines.phone("forward_to", self.desk);
            lines.text("label", label);
            lines.text("source", truth.source);
            lines.text("medium", truth.medium);
            lines.text_if("campaign", truth.campaign);
            lines.close_object();
        }
        lines.item();
        lines.phone("number", self.overflow);
        lines.text("kind", "overflow");
        lines.phone("forward_to", self.desk);
        lines.close_object();
        for pool in &self.pools {
            for &number in &pool.numbers {
                lines.item();
                lines.phone("number", number);
                lines.text("kind", "pool");
                lines.text("pool", pool.name);
                lines.phone("forward_to", self.desk);
                lines.close_object();
            }
        }
        lines.close_array();
    }

    fn pools(&self, options: &Simulation, lines: &mut Lines) {
        lines.array("pools");
        for pool in &self.pools {
            lines.item();
            lines.text("name", pool.name);
            lines.text("site", self.site.trim_start_matches("https://"));
            lines.thousandths("hold_minutes", (options.hold_minutes * 1000.0) as u64);
            lines.thousandths("cooldown_minutes", (options.cooldown_minutes * 1000.0) as u64);
            if let Some(digits) = options.extension_digits {
                lines.integer("extensions", u64::from(digits));
            }
            match options.on_exhausted {
                OnExhausted::Overflow => lines.text("on_exhausted", "overflow"),
                OnExhausted::Share => lines.text("on_exhausted", "share"),
            }
            lines.phone("overflow_number", self.overflow);
            lines.close_object();
        }
        lines.close_array();
    }

    fn routes(&self, lines: &mut Lines) {
        lines.array("routes");
        lines.item();
        lines.text("source", tables::NEWSLETTER.source);
        lines.text("medium", tables::NEWSLETTER.medium);
        lines.phone("number", self.newsletter);
        lines.close_object();
        lines.item();
        lines.text("medium", "cpc");
        lines.text("pool", "ads");
        lines.close_object();
        lines.item();
        lines.text("pool", "site");
        lines.close_object();
        lines.close_array();
    }
}

/// The extensions of [`AGENT_NAMES`].
pub(super) const AGENT_EXTENSIONS: [&str; 8] = ["201", "202", "203", "204", "205", "206", "207", "208"];

fn local_hour(zone: Tz, now: Time) -> LocalHour {
    let utc = DateTime::from_timestamp(now.0.div_euclid(MICROS_PER_SECOND), 0).unwrap_or_default().naive_utc();
    let local = utc + chrono::Duration::seconds(i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()));
    LocalHour { hour: local.hour() as usize, weekday: local.weekday().num_days_from_monday() as usize }
}

fn sums(weight: impl Fn(&Campaign) -> f64) -> Vec<f64> {
    let mut sum = 0.0;
    CAMPAIGNS
        .iter()
        .map(|campaign| {
            sum += weight(campaign);
            sum
        })
        .collect()
}

/// Numbers of the pools `ads` and `site`, in proportion to the visits that are shown one.
fn pool_sizes(options: &Simulation) -> [usize; 2] {
    let weight = |route: Route| -> f64 {
        CAMPAIGNS.iter().filter(|c| c.route == route).map(|c| (c.by_day * 3.0 + c.by_night) / 4.0).sum()
    };
    let (ads, site, newsletter) = (weight(Route::Ads), weight(Route::Site), weight(Route::Newsletter));
    let held_seconds = options.pages_per_visit * options.page_seconds
        + (options.hold_minutes * 0.75 + options.cooldown_minutes) * 60.0;
    let per_number = Pool::per_number(options.extension_digits) as f64;
    [ads, site].map(|weight| match options.pool {
        PoolSize::Numbers(numbers) => ((numbers as f64 * weight / (ads + site)) as usize).max(1),
        PoolSize::Utilisation(share) => {
            let visits = options.visits_per_day * weight / (ads + site + newsletter);
            let held = visits / 86_400.0 * held_seconds;
            ((held / share / per_number) as usize + 1).min(numbers::TRACKING_NUMBERS + 1)
        }
    })
}

/// A label of a host name that is like the account's name.
fn host_label(name: &str) -> String {
    let label: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric()).take(40).collect::<String>().to_ascii_lowercase();
    if label.is_empty() { "site".to_owned() } else { label }
}
