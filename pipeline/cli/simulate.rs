//! `callweave simulate`.

use std::io::{self, Write};
use std::path::PathBuf;

use callweave_core::settings::OnExhausted;
use callweave_core::time::{MICROS_PER_SECOND, Time};
use clap::Args;

use crate::app::Failure;
use crate::files::outputs::{self, Late};
use crate::simulate::{PoolSize, Simulation, simulate};
use crate::telemetry::say;

#[derive(Debug, Args)]
pub struct Simulate {
    /// The same seed writes the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Events to write [default: 100000, unless --days or --visits says otherwise]
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Days to simulate
    #[arg(long, value_name = "N")]
    days: Option<f64>,
    /// Visits to simulate
    #[arg(long, value_name = "N")]
    visits: Option<u64>,
    /// Time of the first event (RFC 3339) [default: 2026-11-02T00:00:00Z]
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Accounts, with commas between
    #[arg(long, value_name = "NAMES", default_value = "acme", value_delimiter = ',')]
    account: Vec<String>,
    /// Visits a day of each account, on average; more by day, fewer at weekends [default: 20000]
    #[arg(long, value_name = "N")]
    visits_per_day: Option<f64>,
    /// Pages of a visit, on average [default: 6]
    #[arg(long, value_name = "N")]
    pages_per_visit: Option<f64>,
    /// Numbers of all pools together
    #[arg(long, value_name = "N", conflicts_with = "utilisation")]
    pool_numbers: Option<usize>,
    /// Pools as large as makes them this busy at the peak: 0.5 is half held
    #[arg(long, value_name = "SHARE")]
    utilisation: Option<f64>,
    /// Share of sessions that call
    #[arg(long, value_name = "SHARE")]
    calls: Option<f64>,
    /// Seconds that a page is looked at, on average
    #[arg(long, value_name = "N")]
    page_seconds: Option<f64>,
    /// Seconds between two signs that a page is still open
    #[arg(long, value_name = "N")]
    heartbeat_seconds: Option<f64>,
    /// Share of visits by people who have been there before
    #[arg(long, value_name = "SHARE")]
    returning: Option<f64>,
    /// `hold_minutes` of the pools [default: 10]
    #[arg(long, value_name = "N")]
    hold_minutes: Option<f64>,
    /// `cooldown_minutes` of the pools [default: 5]
    #[arg(long, value_name = "N")]
    cooldown_minutes: Option<f64>,
    /// Show a held number to others too when a pool has no free one, instead of the overflow number
    #[arg(long)]
    share: bool,
    /// Relative numbers of calls during the visit, minutes, hours and days later
    #[arg(long, value_name = "D,M,H,D", value_parser = numbers::<4>)]
    dial: Option<[f64; 4]>,
    /// Mean seconds of the last three of them
    #[arg(long, value_name = "M,H,D", value_parser = numbers::<3>)]
    dial_seconds: Option<[f64; 3]>,
    /// Share of calls during a visit that come from a tap on the number
    #[arg(long, value_name = "SHARE")]
    clicks: Option<f64>,
    /// Calls of people who dialled wrongly, in proportion to others
    #[arg(long, value_name = "SHARE")]
    wrong_numbers: Option<f64>,
    /// Share of callers who withhold their number
    #[arg(long, value_name = "SHARE")]
    withheld: Option<f64>,
    /// Share of callers who call again
    #[arg(long, value_name = "SHARE")]
    repeats: Option<f64>,
    /// How many telephones there are to call from
    #[arg(long, value_name = "N")]
    telephones: Option<usize>,
    /// Share of people who call from a telephone that many share
    #[arg(long, value_name = "SHARE")]
    shared_phones: Option<f64>,
    /// Share of visitors whose browser sends no session id
    #[arg(long, value_name = "SHARE")]
    without_session_id: Option<f64>,
    /// Share of events that come late
    #[arg(long, value_name = "SHARE")]
    late: Option<f64>,
    /// Share of events that come twice
    #[arg(long, value_name = "SHARE")]
    duplicates: Option<f64>,
    /// Share of lines that cannot be used
    #[arg(long, value_name = "SHARE")]
    unusable: Option<f64>,
    /// Events go here instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What is true of each call goes here
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
}

/// So many numbers with commas between.
fn numbers<const N: usize>(text: &str) -> Result<[f64; N], String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    let numbers = numbers.map_err(|error| format!("{error}: numbers with commas between, such as 0.5,2"))?;
    numbers.try_into().map_err(|numbers: Vec<f64>| format!("{} numbers, but {N} are needed", numbers.len()))
}

/// The year 2200.
const START_LATEST: Time = Time(7_258_118_400 * MICROS_PER_SECOND);
/// Events where nothing else bounds the simulation.
const EVENTS_DEFAULT: u64 = 100_000;

impl Simulate {
    fn simulation(&self) -> Result<Simulation, Failure> {
        let mut options = Simulation { seed: self.seed, accounts: self.account.clone(), ..Simulation::default() };
        if let Some(start) = &self.start {
            let wrong = |problem: &dyn std::fmt::Display| Failure::Usage(format!("--start {start}: {problem}"));
            options.start = Time::parse(start).map_err(|error| wrong(&error))?;
            if !(Time::EARLIEST..START_LATEST).contains(&options.start) {
                return Err(wrong(&"no event may be of before 2000 or after 2261: begin between 2000 and 2200"));
            }
        }
        options.days = self.days;
        options.visits = self.visits;
        let bounded = self.days.is_some() || self.visits.is_some();
        options.events = self.events.or(if bounded { None } else { Some(EVENTS_DEFAULT) });
        let set = |place: &mut f64, value: Option<f64>| *place = value.unwrap_or(*place);
        set(&mut options.visits_per_day, self.visits_per_day);
        set(&mut options.pages_per_visit, self.pages_per_visit);
        set(&mut options.call_share, self.calls);
        set(&mut options.page_seconds, self.page_seconds);
        set(&mut options.heartbeat_seconds, self.heartbeat_seconds);
        set(&mut options.returning_share, self.returning);
        set(&mut options.hold_minutes, self.hold_minutes);
        set(&mut options.cooldown_minutes, self.cooldown_minutes);
        set(&mut options.click_share, self.clicks);
        set(&mut options.wrong_number_share, self.wrong_numbers);
        set(&mut options.withheld_share, self.withheld);
        set(&mut options.repeat_share, self.repeats);
        set(&mut options.shared_phone_share, self.shared_phones);
        options.telephones = self.telephones;
        options.optimal = self.truth.is_some();
        if self.share {
            options.on_exhausted = OnExhausted::Share;
        }
        if let Some([during, later @ ..]) = self.dial {
            options.delays.during_visit = during;
            options.delays.later.iter_mut().zip(later).for_each(|(delay, weight)| delay.weight = weight);
        }
        for (delay, mean) in options.delays.later.iter_mut().zip(self.dial_seconds.into_iter().flatten()) {
            delay.mean_seconds = mean;
        }
        set(&mut options.implicit_session_share, self.without_session_id);
        set(&mut options.late_share, self.late);
        set(&mut options.duplicate_share, self.duplicates);
        set(&mut options.unusable_share, self.unusable);
        if let Some(numbers) = self.pool_numbers {
            options.pool = PoolSize::Numbers(numbers);
        }
        if let Some(share) = self.utilisation {
            options.pool = PoolSize::Utilisation(share);
        }
        Ok(options)
    }

    pub fn run(self) -> Result<(), Failure> {
        let options = self.simulation()?;
        let mut written = vec![("--output", self.output.as_deref())];
        written.extend(self.truth.as_deref().map(|path| ("--truth", Some(path))));
        outputs::apart([], &written).map_err(|clash| Failure::Usage(clash.to_string()))?;
        let mut out: Box<dyn Write> = match &self.output {
            Some(path) => Box::new(Late::new(path)),
            None => Box::new(io::stdout()),
        };
        let mut truth = self.truth.as_deref().map(Late::new);
        let truth = truth.as_mut().map(|it| it as &mut dyn Write);
        let written = match simulate(options, &mut out, truth) {
            // Whoever reads has had enough.
            Err(crate::simulate::SimulateError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(());
            }
            Err(error) if error.is_usage() => return Err(Failure::Usage(error.to_string())),
            done => done.map_err(Failure::failed)?,
        };
        say!("{} events ({} calls), {} bytes", written.events, written.calls, written.bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_with_commas_between() {
        assert_eq!(numbers("0.5,0.25, 0.15,0.1"), Ok([0.5, 0.25, 0.15, 0.1]));
        assert_eq!(numbers::<3>("1,2"), Err("2 numbers, but 3 are needed".to_owned()));
        assert!(numbers::<2>("1,x").is_err_and(|told| told.contains("commas")));
    }
}
