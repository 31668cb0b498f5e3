//! The only file that knows every role: builds them, runs them, and drains them.

mod answer;
pub mod demo;
mod export;
mod log;
pub mod pool;
mod signals;
mod webhook;
pub mod worker;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use callweave_core::event::TYPES;
use callweave_core::settings::{Login, Role, Settings};
use callweave_core::source::Surveyor;
use callweave_core::time::Time;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::collect::{Admin, Collect, log_takes, starting, untroubled};
use crate::config::{self, Config, FirstRun, Flags};
use crate::lake::{self, Lake};
use crate::log::batching::{BatchOptions, Batcher, Submission};
use crate::log::frame::Record;
use crate::log::settings::{Told, renewal, subject_of};
use crate::log::{Kind, SharedLog, Watched, nats};
use crate::notify::{self, Notifier, Notify};
use crate::process::{self, Process, Summary};
use crate::query::{self, QueryError};
use crate::telemetry::logs;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;
use crate::telemetry::say;
use crate::telemetry::troubles::Troubles;

pub use export::csv;
pub use query::STACK_BYTES;
pub use webhook::{Asker, Question, webhook};

use answer::Answers;
use signals::stop_on_signal;

/// Why a command did not do what it was to do.
#[derive(Debug)]
pub enum Failure {
    /// The command line or the configuration is wrong: exit status 2.
    Usage(String),
    /// Something broke: exit status 1.
    Failed(anyhow::Error),
}

impl Failure {
    pub fn failed<E: std::error::Error + Send + Sync + 'static>(error: E) -> Failure {
        Failure::Failed(error.into())
    }

    /// With a sentence of its own.
    pub fn said(text: impl Into<String>) -> Failure {
        Failure::Failed(anyhow::Error::msg(text.into()))
    }

    pub fn status(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Failed(_) => 1,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Usage(text) => f.write_str(text),
            Failure::Failed(error) => f.write_str(&with_causes(error)),
        }
    }
}

/// Most of our errors tell their cause themselves: it is not told twice.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Failed(error)
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Failure {
        if error.is_usage() { Failure::Usage(error.to_string()) } else { Failure::Failed(error.into()) }
    }
}

impl From<lake::OpenError> for Failure {
    fn from(error: lake::OpenError) -> Failure {
        match error {
            lake::OpenError::Url(error) => query::ServeError::Query(error.into()).into(),
            error => Failure::failed(error),
        }
    }
}

/// What one process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    pub collect: bool,
    pub process: bool,
    pub query: bool,
    pub notify: bool,
}

impl Roles {
    const NONE: Roles = Roles { collect: false, process: false, query: false, notify: false };
    pub const ALL: Roles = Roles { collect: true, process: true, query: true, notify: true };
    pub const COLLECT: Roles = Roles { collect: true, ..Roles::NONE };
    pub const PROCESS: Roles = Roles { process: true, ..Roles::NONE };
    pub const QUERY: Roles = Roles { query: true, ..Roles::NONE };
    pub const NOTIFY: Roles = Roles { notify: true, ..Roles::NONE };
}

fn runtime() -> Result<Runtime, Failure> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    Ok(threads.thread_stack_size(STACK_BYTES).enable_all().build().context("no worker threads can be started")?)
}

/// Works on threads of its own. Where that fails, whatever they are at is left to the end of the process: what finds its runtime gone panics.
fn block_on<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    let runtime = runtime()?;
    let result = runtime.block_on(work);
    if result.is_err() {
        std::mem::forget(runtime);
    }
    Ok(result?)
}

fn start_logs(config: &Config) -> Result<(), Failure> {
    logs::start(&config.log.level, config.log.format).map_err(|error| Failure::Usage(error.to_string()))?;
    config.doubtful.iter().for_each(|doubt| tracing::warn!("{doubt}"));
    Ok(())
}

/// The machine's clock. The only place outside of the log that looks at it.
fn clock() -> Time {
    Time(chrono::Utc::now().timestamp_micros())
}

/// Prints a result. A reader that goes away has had enough; anything else that goes wrong is told.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::said(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// What roles would not start or work with, in their words.
fn look_over(config: &Config) -> Vec<String> {
    let nats = config.nats.as_ref();
    let files = |nats: &config::Nats| nats::look_over(nats.credentials_file.as_deref(), nats.ca.as_deref());
    [notify::look_over(config), query::look_over(config), nats.map(files).unwrap_or_default()].concat()
}

pub fn check(flags: &Flags) -> Result<(), Failure> {
    let report = config::check(flags, &config::environment(), look_over);
    print(&report.to_string())?;
    if report.is_right() { Ok(()) } else { Err(Failure::said("the configuration is wrong")) }
}

pub fn schema(name: Option<&str>) -> Result<(), Failure> {
    let text = match name {
        None => TYPES.join("\n"),
        Some(name) => {
            let schema = callweave_core::event::schema(name);
            let schema = schema.ok_or_else(|| {
                Failure::Usage(format!("there is no event type {name:?}; the types are {}", TYPES.join(", ")))
            })?;
            serde_json::to_string_pretty(&schema).context("the schema cannot be written")?
        }
    };
    print(&format!("{text}\n"))
}

pub fn sql(options: query::SqlOptions) -> Result<(), Failure> {
    block_on(query::sql(options))
}

pub fn report(options: query::ReportOptions) -> Result<(), Failure> {
    block_on(query::report(options))
}

/// Prints a login, for the settings, to standard output.
pub fn login(name: &str, role: &str, is_new: bool) -> Result<(), Failure> {
    let role: Role = serde_json::from_value(role.into())
        .map_err(|_| Failure::Usage(format!("there is no role {role:?}; the roles are analyst and manager")))?;
    let password = if is_new {
        let password = uuid::Uuid::new_v4().simple().to_string();
        say!("{password}");
        password
    } else {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).context("the password cannot be read from standard input")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    let verifier = config::Verifier::of(&password).map_err(|error| Failure::Usage(error.to_string()))?;
    let login = Login::new(name, role, verifier.to_string());
    let settings = Settings { logins: vec![login.clone()], ..Settings::default() };
    settings
        .check()
        .map_err(|mistakes| Failure::Usage(mistakes.first().map(ToString::to_string).unwrap_or_default()))?;
    let text = serde_json::json!({ "name": login.name, "role": login.role, "verifier": login.verifier });
    print(&format!("{text:#}\n"))
}

fn surveyor(config: &Config) -> Result<Surveyor, Failure> {
    let Some(path) = &config.places else { return Ok(Surveyor::default()) };
    let wrong = |what: String| Failure::Usage(format!("places: {}: {what}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    Surveyor::with_places(bytes.into()).map_err(|error| wrong(error.to_string()))
}

pub fn run(config: &Config, inputs: &[PathBuf]) -> Result<(), Failure> {
    if inputs.is_empty() {
        return Err(Failure::Usage("name the files to run: callweave run --input FILE… --lake URL".to_owned()));
    }
    start_logs(config)?;
    let surveyor = surveyor(config)?;
    let began = Instant::now();
    let work = async {
        let lake = Lake::open(&config.lake()).await?;
        process::run(inputs, &lake, &surveyor, &config.accounts, clock(), Progress::on_stderr())
            .await
            .map_err(Failure::failed)
    };
    let summary = block_on(work)?;
    tell(&summary, began.elapsed(), &config.lake());
    Ok(())
}

fn tell(summary: &Summary, took: Duration, lake: &str) {
    if summary.known {
        say!("This input is in {lake} already; nothing changed.");
        return;
    }
    let counts = summary.counts;
    let rate = (counts.events + counts.rejected) as f64 / took.as_secs_f64().max(1e-6);
    say!(
        "{} events in {:.2} s ({rate:.0}/s): {} duplicates, {} rejected; {} rows of calls, {} of sessions; lake {lake}",
        counts.events,
        took.as_secs_f64(),
        counts.duplicates,
        counts.rejected,
        summary.calls,
        summary.sessions,
    );
}

/// Runs roles until they are told to stop (SIGINT, SIGTERM, SIGHUP); a second signal ends the process at once.
pub fn up(mut config: Config, roles: Roles) -> Result<(), Failure> {
    start_logs(&config)?;
    let first = match roles.collect || roles.query || roles.notify {
        true => FirstRun::prepare(&mut config)?,
        false => None,
    };
    if config.nats.is_none() && roles != Roles::QUERY && roles != Roles::ALL {
        tracing::warn!(
            data = %config.data.display(),
            "this role runs apart on an embedded log of its own, which no other role can read: name the log that they share (nats.url, \
             --nats)"
        );
    }
    block_on(async {
        let shutdown = CancellationToken::new();
        tokio::spawn(stop_on_signal(shutdown.clone()));
        let up = Up::start(&config, roles, shutdown).await?;
        if let (Some(first), Some(address), true) = (&first, up.collect, roles.collect) {
            match config.log.format {
                logs::Format::Text => say!("{}", first.welcome(address, up.postgres)),
                logs::Format::Json => tracing::info!(welcome = first.welcome(address, up.postgres), "a first run"),
            }
        }
        up.ended().await
    })
}

/// Roles that run.
pub struct Up {
    /// Where events are taken in, if they are.
    pub collect: Option<std::net::SocketAddr>,
    /// Where SQL is served by PostgreSQL's protocol, if it is.
    pub postgres: Option<std::net::SocketAddr>,
    pub metrics: Metrics,
    shutdown: CancellationToken,
    roles: tokio::task::JoinSet<Result<(), Failure>>,
}

impl Up {
    pub async fn start(config: &Config, roles: Roles, shutdown: CancellationToken) -> Result<Up, Failure> {
        let metrics = Metrics::new();
        let surveyor = surveyor(config)?;
        if roles == Roles::QUERY && config.nats.is_none() {
            return Up::answer_alone(config, metrics, shutdown).await;
        }
        let troubles = Troubles::default();
        // One address for both is served with what else is answered there.
        let admin = match (roles.collect || roles.notify || roles.query) && answer::is_one_address(config) {
            true => None,
            false => {
                let (limits, ready) = (config.limits.clone(), starting(troubles.clone()));
                let admin = Admin::open(config.listen.admin, limits, metrics.clone(), ready, shutdown.clone()).await;
                Some(admin.map_err(Failure::failed)?)
            }
        };
        if let Some(admin) = &admin {
            tracing::info!(address = %admin.address(), "telling of health, and starting");
        }
        let logs = tokio::select! {
            logs = log::open_all(config, roles, &troubles) => logs?,
            () = shutdown.cancelled() => return Ok(Up::stopped(admin, metrics, shutdown).await),
        };
        let (log, moments) = logs;
        let watched = Arc::new(Watched::new(log, troubles.clone()));
        let ready = untroubled(log_takes(watched.clone()), troubles.clone());
        let log: SharedLog = watched;
        // Where rows are written the lake is there before it is asked, and before anything is acknowledged: what a log takes that the
        // lake cannot go on with would never be read.
        let lake = match roles.process {
            true => Some(Lake::open(&config.lake()).await?),
            false => None,
        };
        if let Some(lake) = &lake {
            process::look_over(lake, &log, &troubles, &shutdown).await.map_err(Failure::failed)?;
            if shutdown.is_cancelled() {
                return Ok(Up::stopped(admin, metrics, shutdown).await);
            }
        }
        append_settings(config, &log).await?;
        let mut tasks = tokio::task::JoinSet::new();
        if let Some(kept) = config.retention.log_age.filter(|_| roles.collect || roles.process) {
            let (accounts, log, stop) = (config.accounts.keys().cloned().collect(), log.clone(), shutdown.clone());
            tasks.spawn(async move {
                renewal::keep(log, accounts, kept, clock, stop).await;
                Ok(())
            });
        }
        let mut beside = Router::new();
        let mut postgres = None;
        if roles.query {
            let server = query::Server::open(config, Some(log.clone()), clock, &metrics).await?;
            postgres = server.postgres_address();
            beside = beside.merge(server.routes());
            server.tell();
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                server.run(shutdown).await;
                Ok(())
            });
        }
        // Before anything is taken in: whoever subscribed is told of it.
        if let Some(moments) = moments.as_ref().filter(|_| roles.notify) {
            let notifier = notifier(config, &log, moments, &metrics).await?;
            beside = beside.merge(notifier.routes());
            let stop = shutdown.clone();
            tasks.spawn(async move {
                notifier.run(stop).await;
                Ok(())
            });
        }
        // Collectors stop first: what they have acknowledged is in the log by then, and is processed to its end or
        // by whoever starts next.
        let collecting = CancellationToken::new();
        let mut address = None;
        if roles.collect {
            let collect = Collect::of(config).with_places(surveyor.another()).with_routes(beside);
            let collect = collect.with_look_over(notify::mistakes).with_admin(admin);
            let bound = collect.bind(log.clone(), metrics.clone(), ready).await;
            let bound = bound.map_err(Failure::failed)?;
            address = Some(bound.collect_address());
            tracing::info!(collect = %bound.collect_address(), admin = %bound.admin_address(), "taking events in");
            let (shutdown, collecting) = (shutdown.clone(), collecting.clone());
            tasks.spawn(async move {
                let drained = bound.run(shutdown).await;
                collecting.cancel();
                if drained.cut > 0 {
                    tracing::warn!(requests = drained.cut, "stopped before all requests were answered");
                }
                Ok(())
            });
        } else {
            if roles.notify || roles.query {
                let answers = Answers { routes: beside, ready: ready.clone() };
                address = Some(answers.serve(config, &metrics, &shutdown, &mut tasks).await?);
            }
            if let Some(admin) = &admin {
                admin.health().ready_when(ready).await;
                tracing::info!(admin = %admin.address(), "serving health and metrics");
            }
            let (shutdown, collecting) = (shutdown.clone(), collecting.clone());
            tasks.spawn(async move {
                shutdown.cancelled().await;
                collecting.cancel();
                if let Some(admin) = admin {
                    admin.close().await;
                }
                Ok(())
            });
        }
        if let Some(lake) = lake
            && let Some(moments) = &moments
        {
            let process = Process {
                log: log.clone(),
                moments: moments.clone(),
                lake,
                surveyor,
                commit: config.commit.clone(),
                snapshot: config.snapshot.clone(),
                metrics: metrics.clone(),
                troubles,
                clock,
            };
            tasks.spawn(async move { process.run(collecting).await.map_err(Failure::failed) });
        }
        Ok(Up { collect: address, postgres, metrics, shutdown, roles: tasks })
    }

    /// No roles: it was told to stop before they had begun, and there is nothing to be ended.
    async fn stopped(admin: Option<Admin>, metrics: Metrics, shutdown: CancellationToken) -> Up {
        tracing::info!("stopped before the start was over");
        if let Some(admin) = admin {
            admin.close().await;
        }
        Up { collect: None, postgres: None, metrics, shutdown, roles: tokio::task::JoinSet::new() }
    }

    /// Waits until every role has ended. Where one fails, the others are stopped, too.
    pub async fn ended(mut self) -> Result<(), Failure> {
        let mut result = Ok(());
        while let Some(ended) = self.roles.join_next().await {
            let ended = ended.unwrap_or_else(|error| Err(Failure::failed(error)));
            if ended.is_err() {
                self.shutdown.cancel();
                if result.is_ok() {
                    result = ended;
                }
            }
        }
        result
    }
}

async fn notifier(
    config: &Config,
    log: &SharedLog,
    moments: &SharedLog,
    metrics: &Metrics,
) -> Result<Notifier, Failure> {
    let notify = Notify {
        log: log.clone(),
        moments: moments.clone(),
        accounts: config.accounts.values().cloned().collect(),
        data: config.data.clone(),
        terms: config.notify.clone(),
        metrics: metrics.clone(),
        clock,
        chance: rand::random::<f64>,
    };
    notify.prepare().await.map_err(Failure::failed)
}

/// The settings that the configuration gives accounts are facts in the log, like those that arrive as events: they are in
/// force from this start on, unless those that are in force by the log are the same.
async fn append_settings(config: &Config, log: &SharedLog) -> Result<(), Failure> {
    let batcher = Batcher::new(log.clone(), BatchOptions::default());
    for account in config.accounts.values() {
        let Some(settings) = &account.settings else { continue };
        let (now, mut told) = (clock(), Told::default());
        told.look(log, &account.name, now).await.map_err(Failure::failed)?;
        if told.in_force().is_some_and(|told| *told.settings == *settings) {
            continue;
        }
        let subject = subject_of(&account.name, log);
        let last = log.last_of_subject(&subject).await.map_err(Failure::failed)?;
        let which = match &last {
            Some(entry) => entry.sequence.to_string(),
            // A log that was begun anew, or has forgotten them: the join has not forgotten the event of before.
            None => {
                let first = log.first_sequence(subject.partition()).await.map_err(Failure::failed)?;
                let identity = log.identity(subject.partition()).await.map_err(Failure::failed)?;
                format!("{identity}-{first}")
            }
        };
        let Some(event) = account.settings_event(&which, now) else { continue };
        let bytes = event.to_json().into_bytes();
        let mut submission = Submission::new(account.name.as_str());
        let record = Record::Event { received: now, origin: "configuration", bytes: &bytes };
        submission.push(Kind::Settings, &record).map_err(Failure::failed)?;
        batcher.submit(submission).await.map_err(Failure::failed)?;
    }
    batcher.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write x: {source}; free space")]
        struct Telling {
            source: std::io::Error,
        }
        let full = || std::io::Error::other("the disk is full");
        let table = [
            (anyhow::Error::from(Telling { source: full() }), "cannot write x: the disk is full; free space"),
            (anyhow::Error::from(full()).context("x"), "x: the disk is full"),
        ];
        for (error, expected) in table {
            assert_eq!(Failure::Failed(error).to_string(), expected);
        }
    }
}
