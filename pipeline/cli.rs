//! Commands and flags. Exit status: 0 done, 1 failed, 2 used wrongly. Messages go to stderr, results to stdout.

mod evaluate;
mod import;
mod pool;
mod simulate;
mod unused;
mod webhook;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::app::{self, Failure};
use crate::config::{self, Flags};
use crate::query;
use crate::telemetry::logs;

/// callweave: open, self-hosted call tracking. Leases phone numbers to web sessions and joins calls back to them.
#[derive(Debug, Parser)]
#[command(name = "callweave", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Each of these may also stand in the configuration file or in a `CALLWEAVE_…` variable.
#[derive(Debug, Args)]
struct Global {
    /// Configuration file [default: callweave.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for the embedded log, the local lake and keys [default: callweave-data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// The lake: a folder or a URL [default: DATA/lake]
    #[arg(long, global = true, value_name = "URL")]
    lake: Option<String>,
    /// Messages from this level on: error, warn, info, debug, trace
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
    /// Messages as text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// A MaxMind database (.mmdb) that tells places of addresses
    #[arg(long, global = true, value_name = "FILE")]
    places: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All roles in one process: takes events in and joins them into the lake
    Up(Serve),
    /// Takes events in over HTTP and appends them to the log
    #[command(mut_args(|it| hide(it, &["postgres", "flight", "workers"])))]
    Collect(Serve),
    /// Joins the log into the lake
    #[command(mut_args(|it| hide(it, &["listen", "postgres", "flight", "workers"])))]
    Process(Serve),
    /// Serves SQL over the lake: PostgreSQL's protocol, Arrow Flight SQL, HTTP
    Query(Serve),
    /// Does parts of statements for `query --workers` on another machine
    Worker(Worker),
    /// Tells subscribers of moments, by webhook and as server-sent events
    #[command(mut_args(|it| hide(it, &["postgres", "flight", "workers"])))]
    Notify(Serve),
    /// `up` on a scratch folder with made-up visitors and callers, and a report at the end
    Demo(Demo),
    /// A bounded job: joins files of events into the lake at full speed, and stops
    Run(Run),
    /// Turns files that others wrote into events
    Import(import::Import),
    /// Writes made-up events, by seed, with known truth
    Simulate(Box<simulate::Simulate>),
    /// How good the join's answers are, against the truth of a simulation
    Evaluate(evaluate::Evaluate),
    /// SQL over the lake, at a prompt or in one go
    Sql(Sql),
    /// A report over the lake; without a name, lists them
    Report(Report),
    /// Looks at pools of numbers
    Pool(pool::Pool),
    /// Makes a login for SQL, for the `logins` of an account's settings, of a password on standard input or of a new one
    Login(Login),
    /// Who is told of moments: lists, tests, sends again
    Webhook(webhook::Webhook),
    /// Where conversions, deals and tasks are sent: lists, tests, sends again, writes a CSV file
    Export(webhook::Export),
    /// Prints the JSON Schema of an event type; without a type, lists them
    Schema { r#type: Option<String> },
    /// Looks the configuration over, and says what is wrong and how to mend it
    Check,
}

/// What a role has no use for is taken, so that one set of flags serves all roles, and not shown in its help.
fn hide(arg: clap::Arg, unused: &[&str]) -> clap::Arg {
    let is_unused = unused.contains(&arg.get_id().as_str());
    arg.hide(is_unused)
}

#[derive(Debug, Args)]
struct Serve {
    /// NATS server (nats://host:4222); without one the log is embedded in the data folder
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// Partitions of a new log
    #[arg(long, value_name = "N")]
    partitions: Option<String>,
    /// Where HTTP is served: events (`up`, `collect`), SQL (`up`, `query`), webhooks and streams (`up`, `notify`)
    /// [default: 127.0.0.1:8090]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where metrics and health are served [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Where SQL is served by PostgreSQL's protocol, or `off` [default: 127.0.0.1:5433]
    #[arg(long, value_name = "ADDRESS")]
    postgres: Option<String>,
    /// Where SQL is served by Arrow Flight SQL, or `off` [default: 127.0.0.1:8815]
    #[arg(long, value_name = "ADDRESS")]
    flight: Option<String>,
    /// Workers that large statements are shared with, commas between (http://host:8816)
    #[arg(long, value_name = "URLS")]
    workers: Option<String>,
}

#[derive(Debug, Args)]
struct Worker {
    /// Where coordinators reach it [default: 127.0.0.1:8816]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where metrics and health are served [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
}

#[derive(Debug, Args)]
struct Demo {
    /// How long events are sent for
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Events a second
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// Keep everything in this folder [default: a scratch folder that is kept, too, and named at the end]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The same seed makes the same visitors and callers
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct Run {
    /// Files of events, one JSON object a line, plain, gzip or zstd; `-` is standard input
    #[arg(long, value_name = "FILE", num_args = 1..)]
    input: Vec<PathBuf>,
    /// As --input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Login {
    /// The user's name
    name: String,
    /// analyst (people are hidden) or manager (everything is seen)
    #[arg(long, value_name = "ROLE", default_value = "analyst")]
    role: String,
    /// Makes a password, and prints it to standard error, in place of reading one
    #[arg(long)]
    new: bool,
}

#[derive(Debug, Args)]
struct Sql {
    query: Option<String>,
    /// Reads the query from a file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Report {
    name: Option<String>,
    /// First local date
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Last local date
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Dimensions, with commas between
    #[arg(long, value_name = "COLUMNS")]
    by: Option<String>,
    /// A condition in SQL over the report's marts
    #[arg(long = "where", value_name = "CONDITION")]
    where_: Option<String>,
    /// IANA time zone in which days are cut [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Rows of this account alone [default: of all]
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Bars of the first measure in place of a table
    #[arg(long)]
    plot: bool,
    /// The report's SQL in place of its answer: other engines that see the marts answer it alike, but for `data_driven`,
    /// which calls a function of callweave's own
    #[arg(long)]
    sql: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Output {
    /// table, csv, json, ndjson, arrow or parquet
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: query::Format,
    /// To a file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Rows at most
    #[arg(long, value_name = "N")]
    max_rows: Option<usize>,
}

/// Parses the command line, does what it says, and tells how it went.
pub fn main() -> ExitCode {
    let mut given = unused::hide(Cli::command()).get_matches();
    let done = match unused::refusal(&given) {
        Some(why) => Err(Failure::Usage(why)),
        None => match Cli::from_arg_matches_mut(&mut given) {
            Ok(cli) => work(cli),
            Err(error) => error.exit(),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logs::last_words(&failure);
            ExitCode::from(failure.status())
        }
    }
}

fn work(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    let flags = global.flags(command.serve(), command.worker());
    match command {
        Command::Schema { r#type } => return app::schema(r#type.as_deref()),
        Command::Check => return app::check(&flags),
        Command::Login(Login { name, role, new }) => return app::login(&name, &role, new),
        Command::Import(options) => return options.run(&flags),
        Command::Simulate(options) => return options.run(),
        Command::Evaluate(options) => return options.run(),
        _ => {}
    }
    let config = config::load(&flags, &config::environment()).map_err(|it| Failure::Usage(it.to_string()))?;
    match command {
        Command::Up(_) => app::up(config, app::Roles::ALL),
        Command::Collect(_) => app::up(config, app::Roles::COLLECT),
        Command::Process(_) => app::up(config, app::Roles::PROCESS),
        Command::Query(_) => app::up(config, app::Roles::QUERY),
        Command::Worker(_) => app::worker::worker(&config),
        Command::Notify(_) => app::up(config, app::Roles::NOTIFY),
        Command::Demo(demo) => app::demo::demo(
            config,
            app::demo::Demo { seconds: demo.seconds, rate: demo.rate, keep: demo.keep, seed: demo.seed },
        ),
        Command::Run(Run { mut input, files }) => {
            input.extend(files);
            app::run(&config, &input)
        }
        Command::Pool(pool) => pool.run(config.lake()),
        Command::Webhook(webhook) => webhook.run(&config),
        Command::Export(export) => export.run(&config),
        Command::Sql(Sql { query, file, output }) => app::sql(query::SqlOptions {
            lake: config.lake(),
            query,
            file,
            format: output.format,
            output: output.output,
            max_rows: output.max_rows,
        }),
        Command::Report(it) => app::report(query::ReportOptions {
            lake: config.lake(),
            name: it.name,
            from: it.from,
            to: it.to,
            timezone: it.timezone,
            account: it.account,
            by: it.by,
            where_: it.where_,
            format: it.output.format,
            output: it.output.output,
            max_rows: it.output.max_rows,
            plot: it.plot,
            sql: it.sql,
        }),
        Command::Schema { .. }
        | Command::Check
        | Command::Login(_)
        | Command::Import(_)
        | Command::Simulate(_)
        | Command::Evaluate(_) => Ok(()),
    }
}

impl Command {
    fn serve(&self) -> Option<&Serve> {
        match self {
            Command::Up(serve)
            | Command::Collect(serve)
            | Command::Process(serve)
            | Command::Query(serve)
            | Command::Notify(serve) => Some(serve),
            _ => None,
        }
    }

    fn worker(&self) -> Option<&Worker> {
        match self {
            Command::Worker(worker) => Some(worker),
            _ => None,
        }
    }
}

impl Global {
    fn flags(self, serve: Option<&Serve>, worker: Option<&Worker>) -> Flags {
        let of = |pick: fn(&Serve) -> &Option<String>| serve.and_then(|serve| pick(serve).clone());
        Flags {
            config: self.config,
            data: self.data,
            lake: self.lake,
            nats: of(|it| &it.nats),
            partitions: of(|it| &it.partitions),
            listen: of(|it| &it.listen),
            admin: of(|it| &it.admin).or_else(|| worker.and_then(|it| it.admin.clone())),
            postgres: of(|it| &it.postgres),
            flight: of(|it| &it.flight),
            worker: worker.and_then(|it| it.listen.clone()),
            workers: of(|it| &it.workers),
            log: self.log,
            log_format: self.log_format,
            places: self.places,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_flags_fit_together() {
        super::unused::hide(super::Cli::command()).debug_assert();
    }
}
