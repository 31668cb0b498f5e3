//! Made-up traffic with known truth: settings, visits, leases, calls and what follows them, by seed.
//!
//! [`World`] is an endless (or bounded) sequence of events in the order of their time; [`simulate`] writes it as
//! NDJSON. The same [`Simulation`] gives the same bytes on any machine. Memory follows what is alive at one time
//! (visits, leases, calls to come), not how much was made.

mod account;
mod calls;
mod draw;
mod faults;
mod follow_up;
mod leases;
mod numbers;
mod optimal;
mod pool;
mod rates;
mod slab;
mod tables;
#[cfg(test)]
mod tests;
mod truth;
mod visits;
mod world;

use std::io::{self, Write};

use callweave_core::event::is_account;
use callweave_core::limits::{ACCOUNT_BYTES_MAX, EXTENSION_DIGITS_MIN};
use callweave_core::settings::OnExhausted;
use callweave_core::time::Time;

pub use truth::{TrueSource, Truth, Why};
pub use world::{SimulatedEvent, World};

/// What is made up. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    pub seed: u64,
    /// The time of the first event.
    pub start: Time,
    /// Stops after this many lines, in the midst of things.
    pub events: Option<u64>,
    /// Nobody new comes after this many days; what has begun is brought to its end.
    pub days: Option<f64>,
    /// Nobody new comes after this many visits; what has begun is brought to its end.
    pub visits: Option<u64>,
    /// Names of accounts; they are in the United States and in the United Kingdom by turns.
    pub accounts: Vec<String>,
    /// Visits of each account, on average; more by day, fewer at weekends.
    pub visits_per_day: f64,
    pub pages_per_visit: f64,
    /// How long a page is looked at, on average.
    pub page_seconds: f64,
    /// A page that stays open tells so this often.
    pub heartbeat_seconds: f64,
    /// Visits of people who have been there before.
    pub returning_share: f64,
    pub pool: PoolSize,
    pub hold_minutes: f64,
    pub cooldown_minutes: f64,
    /// How many digits the extensions of the pools' numbers have (3 or 4); nothing: no extensions.
    pub extension_digits: Option<u8>,
    pub on_exhausted: OnExhausted,
    /// Visits that lead to a call.
    pub call_share: f64,
    pub delays: DialDelays,
    /// Calls during a visit that come from a tap on the number.
    pub click_share: f64,
    /// Callers who dial the extension where there is one.
    pub extension_share: f64,
    /// Calls to leased numbers by people who never saw the page, in proportion to those by people who did.
    pub wrong_number_share: f64,
    /// Calls to the number in print, in the same proportion.
    pub static_share: f64,
    pub withheld_share: f64,
    /// How many telephones there are to call from; nothing: some ten thousand that are set aside for fiction.
    pub telephones: Option<usize>,
    /// People who call from one of a few telephones that many share.
    pub shared_phone_share: f64,
    /// Callers who call the same number again within days.
    pub repeat_share: f64,
    /// Calls told in one `call_record` instead of step by step.
    pub record_share: f64,
    /// Of answered calls.
    pub tag_share: f64,
    pub note_share: f64,
    pub transcript_share: f64,
    pub deal_share: f64,
    /// Pages on which a form is sent, or a callback asked for.
    pub form_share: f64,
    /// Visitors whose browser names no session.
    pub implicit_session_share: f64,
    /// Events that arrive up to `late_seconds` after they happened.
    pub late_share: f64,
    pub late_seconds: f64,
    /// Events that arrive twice.
    pub duplicate_share: f64,
    /// Lines that nobody can use, in proportion to those that can be used.
    pub unusable_share: f64,
    /// Reckons the best possible answer to each call, for the truth.
    pub optimal: bool,
}

/// How many numbers the pools have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PoolSize {
    /// In all pools of an account together.
    Numbers(usize),
    /// So many that on average over a week this share of them is held or cools down; above 1: too few.
    Utilisation(f64),
}

/// When a visitor who calls dials. The weights are relative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DialDelays {
    /// While a page is open.
    pub during_visit: f64,
    /// After the visit, exponentially distributed delays.
    pub later: [Delay; 3],
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delay {
    pub weight: f64,
    pub mean_seconds: f64,
}

impl Default for Simulation {
    fn default() -> Simulation {
        Simulation {
            seed: 1,
            // Monday, 2026-11-02T00:00:00Z.
            start: Time(1_793_577_600_000_000),
            events: None,
            days: None,
            visits: None,
            accounts: vec!["acme".to_owned()],
            visits_per_day: 20_000.0,
            pages_per_visit: 6.0,
            page_seconds: 60.0,
            heartbeat_seconds: 120.0,
            returning_share: 0.25,
            pool: PoolSize::Utilisation(0.5),
            hold_minutes: 10.0,
            cooldown_minutes: 5.0,
            extension_digits: None,
            on_exhausted: OnExhausted::Overflow,
            call_share: 0.05,
            delays: DialDelays::default(),
            click_share: 0.4,
            extension_share: 0.8,
            wrong_number_share: 0.03,
            static_share: 0.06,
            withheld_share: 0.06,
            telephones: None,
            shared_phone_share: 0.0,
            repeat_share: 0.12,
            record_share: 0.2,
            tag_share: 0.3,
            note_share: 0.15,
            transcript_share: 0.2,
            deal_share: 0.12,
            form_share: 0.01,
            implicit_session_share: 0.0,
            late_share: 0.0,
            late_seconds: 45.0,
            duplicate_share: 0.0,
            unusable_share: 0.0,
            optimal: false,
        }
    }
}

impl Default for DialDelays {
    fn default() -> DialDelays {
        let minutes = Delay { weight: 0.25, mean_seconds: 300.0 };
        let hours = Delay { weight: 0.13, mean_seconds: 3.0 * 3600.0 };
        let days = Delay { weight: 0.07, mean_seconds: 1.5 * 86_400.0 };
        DialDelays { during_visit: 0.55, later: [minutes, hours, days] }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// `name` is the flag of `callweave simulate`, where there is one.
    #[error("{name} is {value}, but a share must be from 0 to 1")]
    Share { name: &'static str, value: f64 },
    #[error("{name} is {value}, but must be from {least} to {most}")]
    Range { name: &'static str, value: f64, least: f64, most: f64 },
    #[error("{0:?} is not an account's name: 1 to {max} letters, digits, dots, dashes and underscores", max = ACCOUNT_BYTES_MAX)]
    Account(String),
    #[error("{count} accounts, but there must be from 1 to {most}, each with a name of its own")]
    Accounts { count: usize, most: usize },
    #[error(
        "the pools and accounts need more than {available} tracking numbers, which is all that are set aside for \
         fiction in one country: ask for smaller pools, a higher utilisation, or fewer visits per day"
    )]
    Numbers { available: usize },
    #[error("cannot write the events")]
    Write(#[source] io::Error),
    #[error("cannot write the truth")]
    WriteTruth(#[source] io::Error),
}

impl SimulateError {
    /// What was asked for is wrong, and nothing was written.
    pub fn is_usage(&self) -> bool {
        !matches!(self, SimulateError::Write(_) | SimulateError::WriteTruth(_))
    }
}

/// How much was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    pub events: u64,
    pub bytes: u64,
    pub calls: u64,
}

/// Bytes of events that are gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Writes events, one a line, in the order in which they would arrive, and the truth about each call, one a line.
/// Without a bound on events, days or visits it goes on until writing fails.
pub fn simulate(
    options: Simulation,
    out: &mut dyn Write,
    mut truth: Option<&mut dyn Write>,
) -> Result<Written, SimulateError> {
    let mut world = World::new(options)?;
    let mut written = Written::default();
    loop {
        let more = world.run_until(WRITE_BYTES);
        let (events, bytes) = world.made();
        out.write_all(bytes).map_err(SimulateError::Write)?;
        written.events += events as u64;
        written.bytes += bytes.len() as u64;
        for fact in world.truths() {
            written.calls += 1;
            if let Some(out) = truth.as_deref_mut() {
                fact.write(out).map_err(SimulateError::WriteTruth)?;
            }
        }
        if !more {
            break;
        }
    }
    out.flush().map_err(SimulateError::Write)?;
    if let Some(out) = truth {
        out.flush().map_err(SimulateError::WriteTruth)?;
    }
    Ok(written)
}

/// Accounts at most: each has numbers of its own.
const ACCOUNTS_MOST: usize = 1000;

impl Simulation {
    fn check(&self) -> Result<(), SimulateError> {
        for (name, value) in [
            ("--returning", self.returning_share),
            ("--calls", self.call_share),
            ("--clicks", self.click_share),
            ("extension_share", self.extension_share),
            ("--wrong-numbers", self.wrong_number_share),
            ("static_share", self.static_share),
            ("--withheld", self.withheld_share),
            ("--shared-phones", self.shared_phone_share),
            ("record_share", self.record_share),
            ("tag_share", self.tag_share),
            ("note_share", self.note_share),
            ("transcript_share", self.transcript_share),
            ("deal_share", self.deal_share),
            ("form_share", self.form_share),
            ("--without-session-id", self.implicit_session_share),
            ("--late", self.late_share),
            ("--duplicates", self.duplicate_share),
            ("--unusable", self.unusable_share),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(SimulateError::Share { name, value });
            }
        }
        self.check_ranges()?;
        if let Some(name) = self.accounts.iter().find(|name| !is_account(name)) {
            return Err(SimulateError::Account(name.clone()));
        }
        let mut names: Vec<&String> = self.accounts.iter().collect();
        names.sort();
        names.dedup();
        if names.is_empty() || names.len() != self.accounts.len() || names.len() > ACCOUNTS_MOST {
            return Err(SimulateError::Accounts { count: self.accounts.len(), most: ACCOUNTS_MOST });
        }
        Ok(())
    }

    fn check_ranges(&self) -> Result<(), SimulateError> {
        let pool = match self.pool {
            PoolSize::Numbers(numbers) => ("--pool-numbers", numbers as f64, 2.0, 10_000.0),
            PoolSize::Utilisation(share) => ("--utilisation", share, 0.01, 100.0),
        };
        let least = EXTENSION_DIGITS_MIN;
        let [minutes, hours, days] = self.delays.later;
        let weights = self.delays.during_visit + minutes.weight + hours.weight + days.weight;
        for (name, value, least, most) in [
            ("--visits-per-day", self.visits_per_day, 1.0, 1e9),
            ("--days", self.days.unwrap_or(1.0), 0.0, 36_500.0),
            ("--pages-per-visit", self.pages_per_visit, 1.0, 100.0),
            // Of each call a share calls again: at 1 that would never end.
            ("--repeats", self.repeat_share, 0.0, 0.9),
            ("--page-seconds", self.page_seconds, 5.0, 600.0),
            ("--heartbeat-seconds", self.heartbeat_seconds, 1.0, 600.0),
            ("--hold-minutes", self.hold_minutes, 1.0, 1440.0),
            ("--cooldown-minutes", self.cooldown_minutes, 0.0, 1440.0),
            ("extension_digits", f64::from(self.extension_digits.unwrap_or(least)), least.into(), 4.0),
            ("--telephones", self.telephones.unwrap_or(1) as f64, 1.0, numbers::TELEPHONES_MOST as f64),
            ("late_seconds", self.late_seconds, 1.0, 86_400.0),
            ("the sum of --dial", weights, 1e-9, 1e9),
            ("the minutes of --dial-seconds", minutes.mean_seconds, 1.0, 1e6),
            ("the hours of --dial-seconds", hours.mean_seconds, 1.0, 1e6),
            ("the days of --dial-seconds", days.mean_seconds, 1.0, 1e6),
            pool,
        ] {
            // A NaN is in no range.
            if !(least..=most).contains(&value) {
                return Err(SimulateError::Range { name, value, least, most });
            }
        }
        Ok(())
    }
}
