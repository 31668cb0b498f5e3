//! `callweave demo`: everything in one process on a scratch folder, with made-up visitors and callers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use callweave_core::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Time};
use tokio_util::sync::CancellationToken;

use super::{Failure, Roles, Up, clock, runtime, start_logs};
use crate::config::{Account, Config, Secret};
use crate::query::{self, Format, ReportOptions};
use crate::simulate::{Simulation, World};
use crate::telemetry::say;

pub struct Demo {
    pub seconds: u64,
    pub rate: u64,
    pub keep: Option<PathBuf>,
    pub seed: u64,
}

const ACCOUNT: &str = "acme";
/// Events of a visit, about: pages, heartbeats, a lease.
const EVENTS_PER_VISIT: f64 = 9.0;
/// Requests a second at most: more events a request instead.
const REQUESTS_PER_SECOND: u64 = 50;
/// So that a demonstration need not wait for a minute of silence.
const LATENESS_SECONDS: u64 = 2;
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// How long the demonstration waits for the join to take in what was sent.
const DRAIN_TIME: Duration = Duration::from_secs(120);

pub fn demo(mut config: Config, demo: Demo) -> Result<(), Failure> {
    config.log.level = if config.log.level == "info" { "warn".to_owned() } else { config.log.level };
    start_logs(&config)?;
    let folder = match &demo.keep {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("callweave-demo-{}", uuid::Uuid::now_v7())),
    };
    let key = uuid::Uuid::new_v4().to_string();
    config.data = folder.clone();
    config.lake = None;
    config.nats = None;
    config.listen.collect = SocketAddr::from(([127, 0, 0, 1], 0));
    config.listen.admin = SocketAddr::from(([127, 0, 0, 1], 0));
    let account =
        Account { name: ACCOUNT.to_owned(), keys: vec![Secret::new(key.as_str())], settings: None, logins: Vec::new() };
    config.accounts = [(ACCOUNT.to_owned(), account)].into();
    let lake = config.lake();
    let runtime = runtime()?;
    let shutdown = CancellationToken::new();
    runtime.block_on(async {
        tokio::spawn(super::stop_on_signal(shutdown.clone()));
        let up = Up::start(&config, Roles { query: false, ..Roles::ALL }, shutdown.clone()).await?;
        let Some(address) = up.collect else {
            return Err(Failure::said("the collector does not listen"));
        };
        let shown = Shown::new(up.metrics.clone());
        let (stop, watched) = (shutdown.clone(), shown.clone());
        let sent = tokio::task::spawn_blocking(move || send(&demo, address, &key, &watched, &stop)).await;
        let sent = sent.context("the visitors stopped")??;
        shown.drained(sent, &shutdown).await;
        shutdown.cancel();
        up.ended().await
    })?;
    let report = |name: &str, by: Option<&str>| ReportOptions {
        lake: lake.clone(),
        name: Some(name.to_owned()),
        from: None,
        to: None,
        timezone: None,
        account: None,
        by: by.map(str::to_owned),
        where_: None,
        format: Format::Table,
        output: None,
        max_rows: Some(20),
        plot: false,
        sql: false,
    };
    println!("\nBy source and campaign:");
    runtime.block_on(query::report(report("sources", None)))?;
    println!("\nCalls, by how they were joined:");
    runtime.block_on(query::report(report("methods", None)))?;
    println!(
        "\nThe lake lies in {lake}. Ask it:\n\n  callweave sql --lake {lake} \"select started_at, source, campaign, landing_page, attribution_method, attribution_confidence from calls order by started_at desc limit 10\"\n"
    );
    Ok(())
}

/// Sends the simulated day through the HTTP endpoint at the rate asked for; how many events that were.
fn send(demo: &Demo, address: SocketAddr, key: &str, shown: &Shown, stop: &CancellationToken) -> Result<u64, Failure> {
    let events = demo.seconds * demo.rate;
    let world = World::new(Simulation {
        seed: demo.seed,
        // A day that ended an hour ago, so that its last visits are over, too.
        start: Time(clock().0 - MICROS_PER_DAY - MICROS_PER_HOUR),
        events: Some(events),
        accounts: vec![ACCOUNT.to_owned()],
        visits_per_day: (events as f64 / EVENTS_PER_VISIT).max(50.0),
        ..Simulation::default()
    })
    .map_err(Failure::failed)?;
    let batch = (demo.rate / REQUESTS_PER_SECOND).max(1);
    let began = Instant::now();
    let (mut sent, mut body) = (0, Vec::new());
    let mut told = Instant::now();
    for event in world {
        if stop.is_cancelled() {
            break;
        }
        body.extend(if event.kind == "account_settings" { hurried(&event.json) } else { event.json });
        body.push(b'\n');
        sent += 1;
        if sent % batch == 0 {
            post(address, key, &std::mem::take(&mut body))?;
            let due = began + Duration::from_secs_f64(sent as f64 / demo.rate as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            shown.tell(sent, events, began.elapsed());
        }
    }
    if !body.is_empty() {
        post(address, key, &body)?;
    }
    shown.tell(sent, events, began.elapsed());
    Ok(sent)
}

/// The settings with a shorter lateness.
fn hurried(json: &[u8]) -> Vec<u8> {
    let Ok(mut event) = serde_json::from_slice::<serde_json::Value>(json) else { return json.to_vec() };
    event["data"]["lateness_seconds"] = LATENESS_SECONDS.into();
    event.to_string().into_bytes()
}

/// One request of HTTP/1.1 on a connection of its own: a demonstration needs no client library.
fn post(address: SocketAddr, key: &str, body: &[u8]) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(address).context("the collector does not answer")?;
    stream.set_read_timeout(Some(REQUEST_TIME)).context("the collector does not answer")?;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: \
         application/x-ndjson\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).context("the collector hung up")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("the collector did not answer")?;
    if !answer.starts_with("HTTP/1.1 200") {
        let line = answer.lines().next().unwrap_or_default();
        return Err(Failure::said(format!("the collector answered {line:?}")));
    }
    Ok(())
}

/// What is told while it runs.
#[derive(Clone)]
struct Shown {
    metrics: crate::telemetry::metrics::Metrics,
}

impl Shown {
    fn new(metrics: crate::telemetry::metrics::Metrics) -> Shown {
        Shown { metrics }
    }

    /// Rows of calls that are in the lake.
    fn calls(&self) -> u64 {
        let label = crate::telemetry::metrics::Table { table: "calls" };
        self.metrics.lake_rows.get_or_create(&label).get()
    }

    fn joined(&self) -> u64 {
        self.metrics.join_applied.get()
    }

    fn tell(&self, sent: u64, of: u64, took: Duration) {
        let joined = self.joined();
        say!(
            "{sent} of {of} events sent ({:.0}/s), {joined} joined (lag {}), {} rows of calls in the lake",
            sent as f64 / took.as_secs_f64().max(1e-3),
            sent.saturating_sub(joined),
            self.calls(),
        );
    }

    /// Waits until everything sent is joined and what waited for lateness is decided.
    async fn drained(&self, sent: u64, stop: &CancellationToken) {
        let began = Instant::now();
        let mut quiet = Instant::now();
        let mut before = (0, 0);
        while began.elapsed() < DRAIN_TIME && !stop.is_cancelled() {
            let now = (self.joined(), self.metrics.join_decided.get());
            if now != before {
                (before, quiet) = (now, Instant::now());
            }
            if now.0 >= sent && quiet.elapsed() >= Duration::from_secs(LATENESS_SECONDS + 2) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
