//! Settings made ready for use: looked up by number and pool, with the time zone found.

use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use chrono_tz::Tz;
use phonenumber::country;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{LocalTime, Number, Pool, Settings, Site, Weekday};
use crate::phone::Phone;
use crate::time::{Date, Time};

/// An account's settings with what the join asks of them at every call.
#[derive(Debug, Clone)]
pub struct Rules {
    settings: Settings,
    /// Where numbers without a country's code are, if that was said.
    home: Option<country::Id>,
    zone: Tz,
    numbers: FxHashMap<Phone, usize>,
    pools: FxHashMap<String, usize>,
    holidays: FxHashSet<Date>,
    spam: FxHashSet<Box<str>>,
    /// Opening hours from Monday on; nothing where the business is always open.
    week: Option<[Vec<(LocalTime, LocalTime)>; 7]>,
}

impl Rules {
    /// Meant for settings that were checked ([`Settings::check`]). In others the first of two numbers or pools of one
    /// name counts, and an unknown time zone is UTC.
    pub fn new(settings: Settings) -> Rules {
        let mut numbers = FxHashMap::default();
        for (at, number) in settings.numbers.iter().enumerate() {
            numbers.entry(number.number).or_insert(at);
        }
        let mut pools = FxHashMap::default();
        for (at, pool) in settings.pools.iter().enumerate() {
            pools.entry(pool.name.clone()).or_insert(at);
        }
        let week = settings
            .business_hours
            .as_ref()
            .map(|hours| Weekday::ALL.map(|day| hours.get(&day).cloned().unwrap_or_default()));
        Rules {
            zone: Tz::from_str(&settings.timezone).unwrap_or(Tz::UTC),
            holidays: settings.holidays.iter().copied().collect(),
            spam: settings.spam_numbers.iter().map(|it| it.as_str().into()).collect(),
            numbers,
            pools,
            week,
            settings,
            home: None,
        }
    }

    /// The same where numbers without a country's code are in this country, whatever the account's own are.
    pub fn at_home(self, home: Option<country::Id>) -> Rules {
        Rules { home, ..self }
    }

    pub fn home(&self) -> Option<country::Id> {
        self.home
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The account's number, if it is one of its own.
    pub fn number(&self, number: Phone) -> Option<&Number> {
        self.settings.numbers.get(*self.numbers.get(&number)?)
    }

    /// Whether the telephone, or how its number begins, is listed as a robot's.
    pub fn is_spam_number(&self, phone: Phone) -> bool {
        if self.spam.is_empty() {
            return false;
        }
        let number = phone.to_string();
        let begins = |at: usize| self.spam.contains(format!("{}*", &number[..at]).as_str());
        self.spam.contains(number.as_str()) || (2..=number.len()).any(begins)
    }

    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.settings.pools.get(*self.pools.get(name)?)
    }

    pub fn site(&self, name: &str) -> Option<&Site> {
        self.settings.sites.iter().find(|site| site.name == name)
    }

    /// The first site with pages of this origin (a request's `Origin` header).
    pub fn site_of_origin(&self, origin: &str) -> Option<&Site> {
        self.settings.sites.iter().find(|site| site.allows(origin))
    }

    /// The local date and the minutes since local midnight by the clock on the wall; nothing for times beyond what
    /// calendars hold.
    pub fn local(&self, at: Time) -> Option<(Date, LocalTime)> {
        let local = self.wall(at)?;
        let days = local.date_naive().signed_duration_since(NaiveDate::default()).num_days();
        Some((Date(i32::try_from(days).ok()?), minutes(&local)))
    }

    /// Whether the business is open: within an interval of the local weekday (its end is outside), and not on a
    /// holiday. Without `business_hours` it is always open except on holidays; a weekday without hours is closed.
    pub fn in_business_hours(&self, at: Time) -> bool {
        if self.week.is_none() && self.holidays.is_empty() {
            return true;
        }
        let Some((local, (date, now))) = self.wall(at).zip(self.local(at)) else { return false };
        if self.holidays.contains(&date) {
            return false;
        }
        let Some(week) = &self.week else { return true };
        week[local.weekday().num_days_from_monday() as usize].iter().any(|&(from, to)| from <= now && now < to)
    }

    fn wall(&self, at: Time) -> Option<DateTime<Tz>> {
        Some(DateTime::from_timestamp_micros(at.0)?.with_timezone(&self.zone))
    }
}

fn minutes(local: &DateTime<Tz>) -> LocalTime {
    // Hours are under 24 and minutes under 60.
    LocalTime((local.hour() * 60 + local.minute()) as u16)
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::new(Settings::default())
    }
}
