//! One partition of a live job: entries of the log are applied in order, their rows handed to the tables, and the
//! state kept in snapshots. Whatever is lost with this process is made again, the same, from the newest snapshot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::error::ArrowError;
use callweave_core::join::{Effects, Erasure, Join};
use callweave_core::source::Surveyor;
use callweave_core::time::Time;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::behind::Marks;
use super::forward::{Forward, Forwarder, Snapshot};
use super::group::{Cut, Group, Home};
use super::hands::Hands;
use super::lag::{At, Reached};
use super::live::ProcessError;
use super::maintain::Retentions;
use super::moments::{Fresh, Teller};
use super::source::Source;
use super::step::{Batches, Counts, apply, rows};
use crate::lake::TableName;
use crate::log::batching::{Batcher, Submission};
use crate::log::{Entry, ReadError, SharedLog};
use crate::telemetry::metrics::{Entries, JOIN_ENTRIES, Metrics, Partition as Label, Reason};

/// How often it is looked whether time has to pass.
const TICK_EVERY: Duration = Duration::from_millis(250);
/// Bytes of entries that are applied in one go.
const STEP_BYTES: usize = 1 << 20;
/// Groups that are decoded and wait.
const GROUPS_WAITING: usize = 2;

pub struct Partition {
    pub log: SharedLog,
    pub surveyor: Surveyor,
    pub source: Arc<Source>,
    pub forwarder: Forwarder,
    pub work: Work,
}

/// What a partition's work is done with.
pub struct Work {
    pub number: u16,
    pub batcher: Batcher,
    pub retentions: Retentions,
    /// Whom moments are handed to.
    pub moments: Arc<Teller>,
    pub snapshot_every: Duration,
    pub reached: Reached,
    pub metrics: Metrics,
    pub clock: fn() -> Time,
}

/// What moves to the thread that joins, and back.
struct Heart {
    join: Join,
    /// People whose rows are still to be forgotten.
    erasures: Vec<Erasure>,
}

struct Stepped {
    upto: u64,
    moments: Vec<Fresh>,
    batches: Batches,
    counts: Counts,
    erasures: Vec<Erasure>,
    reasons: Vec<&'static str>,
    /// Rows of sessions, leases and calls.
    decided: u64,
}

/// Entries that are applied together: never some that a table holds (up to `held`) with some that it does not.
fn groups(entries: Vec<Entry>, held: u64) -> Vec<Vec<Entry>> {
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

/// Decodes what is read, while its receiver applies what was decoded before.
async fn decode(
    log: SharedLog,
    (source, number, after): (Arc<Source>, u16, u64),
    held: u64,
    mut surveyor: Surveyor,
    hands: Hands,
    to: mpsc::Sender<Result<Group, ReadError>>,
) {
    let home = Home { partition: number, partitions: log.partitions() };
    let mut entries = log.read(number, after);
    let mut is_first = true;
    while let Some(mut batch) = entries.next().await {
        // The log may have been begun anew since it was looked at, and before reading it began.
        if std::mem::take(&mut is_first) && batch.is_ok() {
            match log.identity(number).await {
                Ok(identity) if identity == source.identity => {}
                Ok(_) => batch = Err(ReadError::Replaced { partition: number }),
                Err(error) => batch = Err(error),
            }
        }
        let groups = match batch {
            Ok(batch) => groups(batch, held),
            Err(error) => return drop(to.send(Err(error)).await),
        };
        for group in groups {
            let decoded = hands.have(move || (Group::new(group, home, &mut surveyor), surveyor)).await;
            // A worker that broke down has said so; its receiver finds the channel closed.
            let Ok((group, same)) = decoded else { return };
            surveyor = same;
            if let Some(group) = group
                && to.send(Ok(group)).await.is_err()
            {
                return;
            }
        }
    }
}

impl Partition {
    /// Runs until `shutdown`; then everything that was read is committed, and a snapshot says so.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ProcessError> {
        let number = self.work.number;
        let state = self.forwarder.lake.state();
        let held: Marks = self.forwarder.marks.iter().map(|(table, mark)| (table.name().to_owned(), *mark)).collect();
        let first = self.log.first_sequence(number).await?;
        let (after, join) = self.source.restore(state, &held, first).await?;
        let appended = self.source.appended(state, after).await?.unwrap_or_else(self.work.clock);
        let at = At { sequence: after, appended };
        self.work.reached.note(number, at);
        tracing::info!(partition = number, log = self.source.number, sequence = after, "reading the log");
        let heart = Heart { join, erasures: Vec::new() };
        let held = self.forwarder.marks.values().copied().max().unwrap_or(0);
        let (to, mut decoded) = mpsc::channel(GROUPS_WAITING);
        let from = (self.source.clone(), number, after);
        let hands = |of: &str| Hands::new(format!("{of} {number}")).map_err(ProcessError::Thread);
        let (decoder, joiner) = (hands("decode")?, hands("join")?);
        let decoding = decode(self.log.clone(), from, held, self.surveyor.another(), decoder, to);
        let _decoding = AbortOnDropHandle::new(tokio::spawn(decoding));
        let forward = Forward::start(self.forwarder);
        match self.work.run(&forward, &joiner, heart, at, &mut decoded, &shutdown).await {
            Ok(()) => forward.ended().await,
            // Where the way to the lake has ended, it knows why.
            Err(ProcessError::Stopped) => forward.ended().await.and(Err(ProcessError::Stopped)),
            Err(error) => Err(error),
        }
    }
}

impl Work {
    async fn run(
        &self,
        forward: &Forward,
        hands: &Hands,
        mut heart: Heart,
        mut at: At,
        decoded: &mut mpsc::Receiver<Result<Group, ReadError>>,
        shutdown: &CancellationToken,
    ) -> Result<(), ProcessError> {
        let mut kept = at.sequence;
        let mut kept_at = Instant::now();
        let mut ticks = tokio::time::interval(TICK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => {
                    self.tick(&heart.join).await;
                }
                group = decoded.recv() => {
                    let Some(group) = group else { break };
                    let group = group?;
                    at = At { sequence: group.upto, appended: group.appended };
                    self.reached.note(self.number, at);
                    heart = self.step(forward, hands, heart, group).await?;
                }
            }
            // People are forgotten at once: a snapshot that knows of it comes only after their rows have changed.
            let due = kept_at.elapsed() >= self.snapshot_every || !heart.erasures.is_empty();
            if at.sequence > kept && due && !forward.is_keeping() {
                heart = self.keep(forward, hands, heart, &at).await?;
                (kept, kept_at) = (at.sequence, Instant::now());
            }
        }
        if at.sequence > kept || !heart.erasures.is_empty() {
            self.keep(forward, hands, heart, &at).await?;
        }
        Ok(())
    }

    async fn step(
        &self,
        forward: &Forward,
        hands: &Hands,
        mut heart: Heart,
        group: Group,
    ) -> Result<Heart, ProcessError> {
        let stepped = hands.have(move || {
            let stepped = step(&mut heart.join, group);
            (heart, stepped)
        });
        let (mut heart, stepped) = stepped.await?;
        let stepped = stepped?;
        self.count(&heart.join, &stepped);
        // Before any table is waited for: subscribers are told while it rings.
        self.moments.tell(stepped.upto, stepped.moments).await?;
        if !stepped.batches.is_empty() {
            forward.rows(stepped.upto, stepped.batches).await?;
        }
        heart.erasures.extend(stepped.erasures);
        Ok(heart)
    }

    /// Takes a snapshot of the state as it is `at` an entry; it counts once every table holds what came before it.
    async fn keep(&self, forward: &Forward, hands: &Hands, mut heart: Heart, at: &At) -> Result<Heart, ProcessError> {
        self.retentions.note(&heart.join);
        let erasures = std::mem::take(&mut heart.erasures);
        let erased = !erasures.is_empty();
        let taken = hands.have(move || {
            if erased {
                heart.join.sweep();
            }
            let bytes = heart.join.snapshot();
            (heart, bytes)
        });
        let (heart, bytes) = taken.await?;
        let (at, appended) = (at.sequence, at.appended);
        forward.keep(Snapshot { at, appended, bytes: bytes?, erasures }).await?;
        Ok(heart)
    }

    /// Lets time pass where something waits for it: a tick is an event of the log like any other.
    async fn tick(&self, join: &Join) {
        let now = (self.clock)();
        if join.is_due(now) {
            let submitted = self.batcher.submit(Submission::tick(self.number, now)).await;
            if let Err(error) = submitted {
                tracing::warn!(partition = self.number, %error, "no tick appended, trying again");
            }
        }
    }

    fn count(&self, join: &Join, stepped: &Stepped) {
        let label = Label { partition: self.number };
        self.metrics.log_read_sequence.get_or_create(&label).set(stepped.upto as f64);
        self.metrics.join_applied.inc_by(stepped.counts.events + stepped.counts.rejected);
        self.metrics.join_decided.inc_by(stepped.decided);
        self.metrics.join_duplicates.inc_by(stepped.counts.duplicates);
        for reason in &stepped.reasons {
            self.metrics.join_rejected.get_or_create(&Reason { reason }).inc();
        }
        let sizes = join.sizes();
        let counts = [sizes.sessions, sizes.leases, sizes.calls, sizes.callers];
        for (entry, count) in JOIN_ENTRIES.into_iter().zip(counts) {
            self.metrics.join_entries.get_or_create(&Entries { partition: self.number, entry }).set(count as f64);
        }
    }
}

/// Applies a group: of each entry the items, then the time that passes.
fn step(join: &mut Join, group: Group) -> Result<Stepped, ArrowError> {
    let (items, visits) = (group.items(), group.visits());
    let mut effects = Effects::default();
    let mut counts = Counts::default();
    let mut fates = Vec::with_capacity(items.len());
    let (mut from, mut moments) = (0, Vec::new());
    for &Cut { before, sequence, tick } in group.cuts() {
        fates.append(&mut apply(join, &items[from..before], &visits[from..before], &mut effects, &mut counts));
        if let Some(time) = tick {
            join.tick(time, &mut effects);
        }
        let fresh = effects.moments.iter().skip(moments.len());
        let fresh: Vec<_> = fresh.map(|moment| Fresh { sequence, moment: moment.clone() }).collect();
        moments.extend(fresh);
        from = before;
    }
    let reasons = items.iter().filter_map(|item| item.what.as_ref().err()).map(|wrong| class(&wrong.path)).collect();
    let batches = rows(items, visits, &fates, &mut effects)?;
    let is_decided = |table: &TableName| matches!(table, TableName::Calls | TableName::Sessions | TableName::Leases);
    let decided = batches.iter().filter(|(table, _)| is_decided(table)).map(|(_, batch)| batch.rows.num_rows() as u64);
    let decided = decided.sum();
    let erasures = std::mem::take(&mut effects.erasures);
    Ok(Stepped { upto: group.upto, moments, batches, counts, erasures, reasons, decided })
}

/// A few classes, so that no sender can make the memory behind the metric grow.
fn class(path: &str) -> &'static str {
    match path {
        "" => "syntax",
        path if path.starts_with("data") => "data",
        _ => "envelope",
    }
}
