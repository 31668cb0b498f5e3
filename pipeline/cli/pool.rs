//! `callweave pool`.

use std::path::PathBuf;

use callweave_core::limits::{COOLDOWN_MINUTES_MAX, HOLD_MINUTES_MAX};
use callweave_core::plan::{Load, Terms};
use callweave_core::time::MICROS_PER_MINUTE;
use clap::{Args, Subcommand};

use crate::app::{self, Failure};
use crate::plan::{Asked, Format, Source};
use crate::query::TrafficOptions;

#[derive(Debug, Args)]
pub struct Pool {
    #[command(subcommand)]
    command: PoolCommand,
}

#[derive(Debug, Subcommand)]
enum PoolCommand {
    /// How many numbers a pool needs, from the visits in the lake, in files of events, or from a rate
    Plan(Plan),
}

#[derive(Debug, Args)]
struct Plan {
    /// Files of events instead of the lake, one JSON object a line, plain, gzip or zstd; `-` is standard input
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "visits_per_hour")]
    input: Vec<PathBuf>,
    /// No real visits: so many an hour, in the busiest time
    #[arg(long, value_name = "N")]
    visits_per_hour: Option<f64>,
    /// How long such a visit lasts
    #[arg(long, value_name = "M", default_value_t = 3.0, requires = "visits_per_hour")]
    session_minutes: f64,
    /// A site's name, or its host
    #[arg(long, value_name = "SITE", conflicts_with = "visits_per_hour")]
    site: Option<String>,
    /// Whose visits count [default: the only account there is]
    #[arg(long, value_name = "NAME", conflicts_with = "visits_per_hour")]
    account: Option<String>,
    /// `hold_minutes` of the pool
    #[arg(long, value_name = "MINUTES", default_value_t = 30.0)]
    hold: f64,
    /// `cooldown_minutes` of the pool
    #[arg(long, value_name = "MINUTES", default_value_t = 30.0)]
    cooldown: f64,
    /// The share of visits that may find no number, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    target: f64,
    /// table, csv or json
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

fn within(flag: &str, value: f64, max: f64) -> Result<f64, Failure> {
    if (0.0..=max).contains(&value) {
        return Ok(value);
    }
    Err(Failure::Usage(format!("{flag} {value} is out of range; give 0 to {max}")))
}

impl Pool {
    /// `lake` is where the configuration has it.
    pub fn run(self, lake: String) -> Result<(), Failure> {
        let PoolCommand::Plan(plan) = self.command;
        let micros = |minutes: f64| (minutes * MICROS_PER_MINUTE as f64) as i64;
        let terms = Terms {
            hold: micros(within("--hold", plan.hold, HOLD_MINUTES_MAX)?),
            cooldown: micros(within("--cooldown", plan.cooldown, COOLDOWN_MINUTES_MAX)?),
        };
        if !(plan.target > 0.0 && plan.target < 100.0) {
            return Err(Failure::Usage(format!(
                "--target {} is no share; give more than 0, less than 100",
                plan.target
            )));
        }
        let traffic = match plan.visits_per_hour {
            Some(visits) => {
                let visits = within("--visits-per-hour", visits, 1e9)?;
                let minutes = within("--session-minutes", plan.session_minutes, 1440.0)?;
                app::pool::Traffic::Rate(Load::of(visits, minutes * 60.0, terms))
            }
            None if plan.input.is_empty() => {
                app::pool::Traffic::Lake(TrafficOptions { lake, account: plan.account, site: plan.site })
            }
            None => app::pool::Traffic::Files(Source { files: plan.input, account: plan.account, site: plan.site }),
        };
        app::pool::plan(traffic, Asked { terms, target: plan.target / 100.0 }, plan.format)
    }
}
