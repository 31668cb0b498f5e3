//! The one thread that changes the file.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callweave_core::time::Time;
use redb::{ReadableDatabase, ReadableTable, Table, WriteTransaction};
use tokio::sync::{mpsc, oneshot, watch};

use super::Window;
use super::remembered::Remembered;
use super::store::{self, Bounds, ENTRIES, Fault, IDS, PARTITIONS, SETTINGS, SUBJECTS, Store};
use crate::log::{Append, AppendError, Appended, MessageId, Retention, Subject, TrimError, WhenFull, now};

/// One commit takes at most so many bytes and so many requests of those that wait.
const COMMIT_BYTES: usize = 8 << 20;
const COMMIT_JOBS: usize = 4096;
/// One commit forgets at most so many entries, so that appends never wait long for a large trim.
const COMMIT_REMOVALS: u64 = 4096;
/// With a full disk the file is tried again when this much more than the waiting appends can be written, …
const PROBE_BYTES: u64 = 4 << 20;
/// … and no more often than this.
const PROBE_EVERY: Duration = Duration::from_millis(250);

type AppendResult = Result<Appended, AppendError>;

#[derive(Debug)]
pub(super) enum Job {
    Append { batch: Vec<Append>, reply: oneshot::Sender<Vec<AppendResult>> },
    Trim { partition: u16, before: u64, reply: oneshot::Sender<Result<(), TrimError>> },
}

/// The memory of a partition. Ahead of the file only while a transaction is open.
struct Partition {
    bounds: Bounds,
    bytes: u64,
    appended: Time,
    remembered: Remembered,
    told: watch::Sender<Bounds>,
}

/// A request on its way: as many results as appends, once its transaction is whole.
struct Placed {
    appends: usize,
    results: Vec<AppendResult>,
    reply: oneshot::Sender<Vec<AppendResult>>,
}

struct Trim {
    partition: u16,
    before: u64,
    reply: oneshot::Sender<Result<(), TrimError>>,
}

pub(super) struct Writer {
    store: Arc<Store>,
    partitions: Vec<Partition>,
    retention: Retention,
    window: Window,
    trims: Vec<Trim>,
    /// Why nothing can be appended now, and when that was last looked into.
    halted: Option<(AppendError, Instant)>,
}

struct Tables<'txn> {
    entries: Table<'txn, (u16, u64), &'static [u8]>,
    subjects: Table<'txn, (u16, &'static str), u64>,
    settings: Table<'txn, (u16, &'static str, u64), ()>,
    ids: Table<'txn, (u16, u64), (u128, i64)>,
}

impl Writer {
    pub(super) fn new(
        store: Arc<Store>,
        partitions: u16,
        retention: Retention,
        window: Window,
    ) -> Result<(Writer, Vec<watch::Receiver<Bounds>>), Fault> {
        let empty = Bounds { first: 1, last: 0 };
        let partitions = (0..partitions).map(|_| Partition {
            bounds: empty,
            bytes: 0,
            appended: Time::MIN,
            remembered: Remembered::new(window),
            told: watch::Sender::new(empty),
        });
        let partitions = partitions.collect();
        let mut writer = Writer { store, partitions, retention, window, trims: Vec::new(), halted: None };
        writer.load()?;
        let bounds = writer.partitions.iter().map(|partition| partition.told.subscribe()).collect();
        Ok((writer, bounds))
    }

    /// Takes the memory from the file, and tells the readers.
    fn load(&mut self) -> Result<(), Fault> {
        let store = self.store.clone();
        store.with(|database| {
            let read = database.begin_read()?;
            let (rows, ids) = (read.open_table(PARTITIONS)?, read.open_table(IDS)?);
            for (number, partition) in (0u16..).zip(&mut self.partitions) {
                let (first, last, bytes, appended) = rows.get(number)?.map_or((1, 0, 0, i64::MIN), |row| row.value());
                partition.bounds = Bounds { first, last };
                partition.bytes = bytes;
                partition.appended = Time(appended);
                partition.remembered = Remembered::new(self.window);
                for id in ids.range((number, 0)..=(number, u64::MAX))? {
                    let (key, value) = id?;
                    let (id, appended) = value.value();
                    partition.remembered.insert(MessageId(id), key.value().1, Time(appended));
                }
                partition.told.send_replace(partition.bounds);
            }
            Ok(())
        })
    }

    /// Works until the last handle is gone, and all that was handed over is done.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        loop {
            let first = if self.trims.is_empty() { queue.blocking_recv() } else { queue.try_recv().ok() };
            if first.is_none() && self.trims.is_empty() {
                break;
            }
            let appends = self.gather(first, &mut queue);
            // redb may panic on a file that something else wrote to. The answers are dropped with the panic.
            if std::panic::catch_unwind(AssertUnwindSafe(|| self.round(appends))).is_err() {
                tracing::error!("the log's file is damaged: writing to it failed; nothing more is taken");
                break;
            }
        }
        self.store.close();
    }

    /// All appends that wait, up to what one commit takes; trims are set aside.
    fn gather(&mut self, first: Option<Job>, queue: &mut mpsc::Receiver<Job>) -> Vec<Job> {
        let (mut appends, mut bytes, mut next) = (Vec::new(), 0, first);
        while let Some(job) = next {
            match job {
                Job::Trim { partition, before, reply } => self.trims.push(Trim { partition, before, reply }),
                Job::Append { ref batch, .. } => {
                    bytes += batch.iter().map(|append| append.payload.len()).sum::<usize>();
                    appends.push(job);
                }
            }
            if bytes >= COMMIT_BYTES || appends.len() + self.trims.len() >= COMMIT_JOBS {
                break;
            }
            next = queue.try_recv().ok();
        }
        appends
    }

    fn round(&mut self, appends: Vec<Job>) {
        if let Some(error) = self.still_halted(&appends) {
            for job in appends {
                if let Job::Append { batch, reply } = job {
                    answer(reply, batch.iter().map(|_| Err(error.clone())).collect());
                }
            }
            self.fail_trims(&error);
            return;
        }
        let mut placed = Vec::with_capacity(appends.len());
        let written = self.write(appends, &mut placed);
        let ends: Vec<_> = self.partitions.iter().map(|partition| partition.bounds.last).collect();
        match written {
            Ok(()) => {
                self.tell();
                placed.into_iter().for_each(|request| answer(request.reply, request.results));
                self.end_trims();
            }
            Err(fault) => self.recover(fault, &ends, placed),
        }
    }

    /// One transaction with all of `appends` and a share of what is to be forgotten.
    fn write(&mut self, appends: Vec<Job>, placed: &mut Vec<Placed>) -> Result<(), Fault> {
        // Whatever fails, everybody is answered: first all are taken in, …
        let mut batches = Vec::with_capacity(appends.len());
        for job in appends {
            if let Job::Append { batch, reply } = job {
                placed.push(Placed { appends: batch.len(), results: Vec::with_capacity(batch.len()), reply });
                batches.push(batch);
            }
        }
        let store = self.store.clone();
        store.with(|database| {
            let write = database.begin_write()?;
            let mut changed = false;
            {
                let mut tables = Tables {
                    entries: write.open_table(ENTRIES)?,
                    subjects: write.open_table(SUBJECTS)?,
                    settings: write.open_table(SETTINGS)?,
                    ids: write.open_table(IDS)?,
                };
                let now = now();
                // … then each is placed in turn.
                for (batch, request) in batches.iter().zip(placed.iter_mut()) {
                    for append in batch {
                        let result = self.place(&mut tables, append, now)?;
                        changed |= matches!(result, Ok(Appended { duplicate: false, .. }));
                        request.results.push(result);
                    }
                }
                changed |= self.forget_entries(&mut tables, now)?;
                // Not worth a commit of their own.
                if changed {
                    self.forget_ids(&mut tables, now)?;
                }
            }
            if !changed {
                return Ok(write.abort()?);
            }
            self.write_partitions(&write)?;
            Ok(write.commit()?)
        })
    }

    fn write_partitions(&self, write: &WriteTransaction) -> Result<(), Fault> {
        let mut rows = write.open_table(PARTITIONS)?;
        for (number, partition) in (0u16..).zip(&self.partitions) {
            let Bounds { first, last } = partition.bounds;
            if *partition.told.borrow() != partition.bounds {
                rows.insert(number, (first, last, partition.bytes, partition.appended.0))?;
            }
        }
        Ok(())
    }

    fn place(&mut self, tables: &mut Tables<'_>, append: &Append, now: Time) -> Result<AppendResult, Fault> {
        let number = append.subject.partition();
        let subject = append.subject.as_str();
        let partition = &mut self.partitions[usize::from(number)];
        if let Some(sequence) = partition.remembered.sequence_of(append.message_id) {
            return Ok(Ok(Appended { sequence, duplicate: true }));
        }
        if let Some(expected) = append.expect {
            let actual = tables.subjects.get((number, subject))?.map_or(0, |last| last.value());
            if actual != expected {
                return Ok(Err(AppendError::Conflict { subject: append.subject.clone(), expected, actual }));
            }
        }
        let size = store::value_size(subject, &append.payload);
        if let (Some(limit), WhenFull::Refuse) = (self.retention.max_bytes, self.retention.when_full)
            && partition.bytes + size as u64 > limit
        {
            let has = partition.bytes;
            return Ok(Err(AppendError::Full(format!("partition {number} holds {has} of at most {limit} bytes"))));
        }
        let sequence = partition.bounds.last + 1;
        // A clock that was set back must not make the log's own time go back.
        let appended = now.max(partition.appended);
        {
            let mut value = tables.entries.insert_reserve((number, sequence), size)?;
            store::write_value(value.as_mut(), (number, sequence), appended, subject, &append.payload);
        }
        tables.subjects.insert((number, subject), sequence)?;
        if Subject::is_of_settings(subject) {
            tables.settings.insert((number, subject, sequence), ())?;
        }
        tables.ids.insert((number, sequence), (append.message_id.0, appended.0))?;
        partition.remembered.insert(append.message_id, sequence, appended);
        partition.bounds.last = sequence;
        partition.bytes += size as u64;
        partition.appended = appended;
        Ok(Ok(Appended { sequence, duplicate: false }))
    }

    /// Forgets entries that were trimmed or are over the retention; says whether there were any.
    fn forget_entries(&mut self, tables: &mut Tables<'_>, now: Time) -> Result<bool, Fault> {
        let mut changed = false;
        for (number, partition) in (0u16..).zip(&mut self.partitions) {
            let trims = self.trims.iter().filter(|trim| trim.partition == number);
            let before = trims.map(|trim| trim.before).max().unwrap_or(0);
            for _ in 0..COMMIT_REMOVALS {
                if !forget_oldest(tables, number, partition, before, &self.retention, now)? {
                    break;
                }
                changed = true;
            }
        }
        Ok(changed)
    }

    fn forget_ids(&mut self, tables: &mut Tables<'_>, now: Time) -> Result<(), Fault> {
        for (number, partition) in (0u16..).zip(&mut self.partitions) {
            while let Some(sequence) = partition.remembered.forget_one(now) {
                tables.ids.remove((number, sequence))?;
            }
        }
        Ok(())
    }

    /// A failed transaction: the file is opened anew, and says whether it took.
    fn recover(&mut self, fault: Fault, ends: &[u64], placed: Vec<Placed>) {
        tracing::error!(%fault, "cannot write the log");
        let error = match fault {
            Fault::Full(reason) => AppendError::Full(reason),
            Fault::Damaged(reason) => AppendError::Damaged(reason),
            other => AppendError::Unavailable(other.to_string()),
        };
        let reopened = self.store.reopen().and_then(|()| self.load());
        let took =
            reopened.is_ok() && self.partitions.iter().map(|partition| partition.bounds.last).eq(ends.iter().copied());
        if let Err(fault) = reopened {
            tracing::error!(%fault, "cannot open the log again after a failed write");
        }
        self.halted = Some((error.clone(), Instant::now()));
        for Placed { appends, mut results, reply } in placed {
            let whole = took && results.len() == appends;
            results.resize_with(appends, || Err(error.clone()));
            for result in results.iter_mut().filter(|result| result.is_ok() && !whole) {
                *result = Err(error.clone());
            }
            answer(reply, results);
        }
        self.fail_trims(&error);
    }

    /// Tries again what had failed, but not at every append: opening the file anew reads it all.
    fn still_halted(&mut self, appends: &[Job]) -> Option<AppendError> {
        let (error, looked) = self.halted.as_mut()?;
        if looked.elapsed() < PROBE_EVERY {
            return Some(error.clone());
        }
        *looked = Instant::now();
        let error = error.clone();
        let bytes: usize = appends.iter().map(job_bytes).sum();
        if matches!(error, AppendError::Full(_)) && !self.store.has_room(PROBE_BYTES + 2 * bytes as u64) {
            return Some(error);
        }
        // The file may be closed still, where opening it anew had failed.
        if self.store.with(|_| Ok(())).is_err()
            && let Err(fault) = self.store.reopen().and_then(|()| self.load())
        {
            tracing::error!(%fault, "cannot open the log again");
            return Some(error);
        }
        tracing::info!("the log takes appends again");
        self.halted = None;
        None
    }

    fn tell(&self) {
        for partition in &self.partitions {
            partition.told.send_if_modified(|told| std::mem::replace(told, partition.bounds) != partition.bounds);
        }
    }

    fn end_trims(&mut self) {
        let partitions = &self.partitions;
        let done = |trim: &mut Trim| {
            let Bounds { first, last } = partitions[usize::from(trim.partition)].bounds;
            first >= trim.before || first > last
        };
        for trim in self.trims.extract_if(.., done) {
            // Who asked may have gone: it is done all the same.
            let _ = trim.reply.send(Ok(()));
        }
    }

    fn fail_trims(&mut self, error: &AppendError) {
        for trim in self.trims.drain(..) {
            let _ = trim.reply.send(Err(TrimError::Unavailable(error.to_string())));
        }
    }
}

fn job_bytes(job: &Job) -> usize {
    match job {
        Job::Append { batch, .. } => batch.iter().map(|append| append.payload.len()).sum(),
        Job::Trim { .. } => 0,
    }
}

fn answer(reply: oneshot::Sender<Vec<AppendResult>>, results: Vec<AppendResult>) {
    // Who asked may have gone: what was appended stays.
    let _ = reply.send(results);
}

/// Removes the oldest entry if it is before `before` or over the retention; says whether it was.
fn forget_oldest(
    tables: &mut Tables<'_>,
    number: u16,
    partition: &mut Partition,
    before: u64,
    retention: &Retention,
    now: Time,
) -> Result<bool, Fault> {
    let Bounds { first, last } = partition.bounds;
    if first > last {
        return Ok(false);
    }
    let trimmed = first < before;
    let over_size =
        retention.when_full == WhenFull::DropOldest && retention.max_bytes.is_some_and(|limit| partition.bytes > limit);
    if !trimmed && !over_size && retention.max_age.is_none() {
        return Ok(false);
    }
    let place = (number, first);
    let missing = || Fault::Damaged(format!("entry {first} of partition {number} is missing or has a wrong checksum"));
    let (size, subject) = {
        let value = tables.entries.get(place)?.ok_or_else(missing)?;
        let parts = store::parse_value(place, value.value()).ok_or_else(missing)?;
        let age = u128::try_from(now.since(parts.appended)).unwrap_or(0);
        let over_age = retention.max_age.is_some_and(|limit| age > limit.as_micros());
        if !trimmed && !over_size && !over_age {
            return Ok(false);
        }
        (store::value_size(parts.subject, parts.payload), parts.subject.to_owned())
    };
    tables.entries.remove(place)?;
    let newest = tables.subjects.get((number, subject.as_str()))?.map(|newest| newest.value());
    if newest == Some(first) {
        tables.subjects.remove((number, subject.as_str()))?;
    }
    if Subject::is_of_settings(&subject) {
        tables.settings.remove((number, subject.as_str(), first))?;
    }
    partition.bounds.first = first + 1;
    partition.bytes = partition.bytes.saturating_sub(size as u64);
    Ok(true)
}
