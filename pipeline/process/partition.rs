//! One partition of a live job: entries of the log are applied in order, their rows handed to the tables, and the
//! state kept in snapshots. Whatever is lost with this process is made again, the same, from the newest snapshot.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use callweave_core::event::Rejected;
use callweave_core::join::{Effects, Erasure, Join, Mode};
use callweave_core::source::Surveyor;
use callweave_core::time::Time;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::landing::Landing;
use super::live::ProcessError;
use super::maintain::{Retentions, erase};
use super::step::{Batches, Counts, Item, apply, rows, survey};
use crate::lake::{DayBatch, Lake, TableName};
use crate::log::batching::{Batcher, Submission};
use crate::log::frame::Record;
use crate::log::{Entry, SharedLog};
use crate::telemetry::metrics::{Entries, Metrics, Partition as Label, Reason};

/// How often it is looked whether time has to pass.
const TICK_EVERY: Duration = Duration::from_millis(250);
/// Bytes of entries that are applied in one go.
const STEP_BYTES: usize = 4 << 20;

pub struct Partition {
    pub number: u16,
    pub log: SharedLog,
    pub batcher: Batcher,
    pub lake: Lake,
    pub retentions: Retentions,
    pub landings: BTreeMap<TableName, Landing>,
    /// How far each table holds this partition.
    pub marks: BTreeMap<TableName, u64>,
    pub surveyor: Surveyor,
    pub snapshot_every: Duration,
    pub metrics: Metrics,
    pub clock: fn() -> Time,
}

/// What moves to a blocking thread and back.
struct Heart {
    join: Join,
    surveyor: Surveyor,
    /// People whose rows are still to be forgotten.
    erasures: Vec<Erasure>,
}

struct Stepped {
    batches: Batches,
    counts: Counts,
    erasures: Vec<Erasure>,
    reasons: Vec<&'static str>,
    /// Rows of sessions, leases and calls.
    decided: u64,
}

/// The name under which a partition's snapshots stand.
pub fn state_name(partition: u16) -> String {
    format!("log-{partition}")
}

impl Partition {
    /// Runs until `shutdown`; then everything that was read is committed, and a snapshot says so.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ProcessError> {
        let name = state_name(self.number);
        let restored = self.lake.state().newest(&name, |bytes| Join::restore(&bytes)).await?;
        let (mut at, join) = restored.unwrap_or_else(|| (0, Join::new(Mode::Live)));
        tracing::info!(partition = self.number, sequence = at, "reading the log");
        let mut heart = Heart { join, surveyor: self.surveyor.another(), erasures: Vec::new() };
        let mut entries = self.log.read(self.number, at);
        let mut kept = at;
        let mut kept_at = Instant::now();
        let mut ticks = tokio::time::interval(TICK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => self.tick(&heart.join).await,
                batch = entries.next() => {
                    let Some(batch) = batch else { break };
                    for group in self.groups(batch?) {
                        at = group.last().map_or(at, |entry| entry.sequence);
                        heart = self.step(heart, group).await?;
                    }
                }
            }
            // People are forgotten at once: a snapshot that knows of it comes only after their rows have changed.
            let due = kept_at.elapsed() >= self.snapshot_every || !heart.erasures.is_empty();
            if at > kept && due {
                heart = self.keep(heart, at).await?;
                (kept, kept_at) = (at, Instant::now());
            }
        }
        if at > kept {
            self.keep(heart, at).await?;
        }
        Ok(())
    }

    /// Entries that are applied together: never some that a table holds with some that it does not.
    fn groups(&self, entries: Vec<Entry>) -> Vec<Vec<Entry>> {
        let held = self.marks.values().copied().max().unwrap_or(0);
        let mut groups: Vec<Vec<Entry>> = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            bytes += entry.payload.len();
            let alone = entry.sequence <= held + 1;
            match groups.last_mut() {
                Some(group) if !alone && bytes <= STEP_BYTES => group.push(entry),
                _ => {
                    bytes = entry.payload.len();
                    groups.push(vec![entry]);
                }
            }
        }
        groups
    }

    async fn step(&self, mut heart: Heart, group: Vec<Entry>) -> Result<Heart, ProcessError> {
        let Some(upto) = group.last().map(|entry| entry.sequence) else { return Ok(heart) };
        let stepped = tokio::task::spawn_blocking(move || {
            let stepped = step(&mut heart, &group);
            (heart, stepped)
        });
        let (mut heart, stepped) = stepped.await.map_err(|_| ProcessError::Stopped)?;
        let stepped = stepped?;
        self.count(&heart.join, &stepped, upto);
        let mut by_table: BTreeMap<TableName, Vec<DayBatch>> = BTreeMap::new();
        for (table, batch) in stepped.batches {
            by_table.entry(table).or_default().push(batch);
        }
        for (table, batches) in by_table {
            if self.marks.get(&table).is_none_or(|held| upto > *held) {
                self.landings[&table].rows(self.number, upto, batches).await?;
            }
        }
        heart.erasures.extend(stepped.erasures);
        Ok(heart)
    }

    /// Keeps a snapshot of the state after entry `at`, once every table holds what came before it.
    async fn keep(&self, mut heart: Heart, at: u64) -> Result<Heart, ProcessError> {
        for landing in self.landings.values() {
            landing.flush().await?;
        }
        erase(&self.lake, &std::mem::take(&mut heart.erasures)).await?;
        self.retentions.note(&heart.join);
        let taken = tokio::task::spawn_blocking(move || {
            let bytes = heart.join.snapshot();
            (heart, bytes)
        });
        let (heart, bytes) = taken.await.map_err(|_| ProcessError::Stopped)?;
        let bytes = bytes?;
        let label = Label { partition: self.number };
        self.metrics.snapshot_size.get_or_create(&label).set(bytes.len() as f64);
        self.lake.state().put(&state_name(self.number), at, bytes.into()).await?;
        self.metrics.snapshot_time.get_or_create(&label).set((self.clock)().0 as f64 / 1e6);
        tracing::debug!(partition = self.number, sequence = at, "snapshot kept");
        Ok(heart)
    }

    /// Lets time pass where something waits for it: a tick is an event of the log like any other.
    async fn tick(&self, join: &Join) {
        let now = (self.clock)();
        let watermark = join.watermark().unwrap_or(now);
        self.metrics
            .join_watermark_lag
            .get_or_create(&Label { partition: self.number })
            .set(now.since(watermark) as f64 / 1e6);
        if join.next_due().is_some_and(|due| due <= now) && watermark < now {
            let submitted = self.batcher.submit(Submission::tick(self.number, now)).await;
            if let Err(error) = submitted {
                tracing::warn!(partition = self.number, %error, "no tick appended, trying again");
            }
        }
    }

    fn count(&self, join: &Join, stepped: &Stepped, upto: u64) {
        let label = Label { partition: self.number };
        self.metrics.log_read_sequence.get_or_create(&label).set(upto as f64);
        self.metrics.join_applied.inc_by(stepped.counts.events + stepped.counts.rejected);
        self.metrics.join_decided.inc_by(stepped.decided);
        self.metrics.join_duplicates.inc_by(stepped.counts.duplicates);
        for reason in &stepped.reasons {
            self.metrics.join_rejected.get_or_create(&Reason { reason }).inc();
        }
        let sizes = join.sizes();
        for (entry, count) in
            [("sessions", sizes.sessions), ("leases", sizes.leases), ("calls", sizes.calls), ("callers", sizes.callers)]
        {
            self.metrics.join_entries.get_or_create(&Entries { partition: self.number, entry }).set(count as f64);
        }
    }
}

fn step(heart: &mut Heart, entries: &[Entry]) -> Result<Stepped, arrow::error::ArrowError> {
    let mut effects = Effects::default();
    let mut counts = Counts::default();
    let mut batches = Batches::new();
    let mut reasons = Vec::new();
    for entry in entries {
        let mut items = Vec::new();
        let mut tick = None;
        for record in entry.records() {
            match record {
                Ok(Record::Tick { time }) => tick = Some(time),
                Ok(record) => items.push(item(record)),
                Err(error) => items.push(unreadable(entry, &error.to_string())),
            }
        }
        reasons.extend(items.iter().filter_map(|item| item.what.as_ref().err()).map(|wrong| class(&wrong.path)));
        let visits = survey(&mut heart.surveyor, &items);
        let taken = apply(&mut heart.join, &items, &visits, &mut effects, &mut counts);
        if let Some(time) = tick {
            heart.join.tick(time, &mut effects);
        }
        batches.extend(rows(&items, &visits, &taken, &mut effects)?);
    }
    let is_decided = |table: &TableName| matches!(table, TableName::Calls | TableName::Sessions | TableName::Leases);
    let decided = batches.iter().filter(|(table, _)| is_decided(table)).map(|(_, batch)| batch.rows.num_rows() as u64);
    let decided = decided.sum();
    Ok(Stepped { batches, counts, erasures: std::mem::take(&mut effects.erasures), reasons, decided })
}

fn item(record: Record<'_>) -> Item<'_> {
    match record {
        Record::Event { received, origin, bytes } => Item::decode(bytes, Some(received), received, || origin.into()),
        Record::Rejected { received, origin, account, reason, path, bytes } => Item {
            what: Err(Box::new(Rejected {
                account: account.map(str::to_owned),
                reason: reason.to_owned(),
                path: path.to_owned(),
                raw: bytes.to_vec(),
            })),
            received,
            origin: origin.into(),
        },
        Record::Tick { .. } => unreachable!("ticks are no items"),
    }
}

/// An entry that somebody else wrote, and that is no frame.
fn unreadable<'a>(entry: &'a Entry, error: &str) -> Item<'a> {
    Item {
        what: Err(Box::new(Rejected {
            account: None,
            reason: error.to_owned(),
            path: String::new(),
            raw: entry.payload.to_vec(),
        })),
        received: entry.appended,
        origin: entry.subject.as_str().into(),
    }
}

/// A few classes, so that no sender can make the memory behind the metric grow.
fn class(path: &str) -> &'static str {
    match path {
        "" => "syntax",
        path if path.starts_with("data") => "data",
        _ => "envelope",
    }
}
