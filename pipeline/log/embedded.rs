//! The log of a single machine: one file, `log.redb`, in a data folder.
//!
//! One thread writes. It takes all appends that wait, puts them into one transaction and pays one fsync for all; so
//! the more wait, the cheaper each is. Readers read committed state beside it and are woken by each commit.

mod remembered;
mod store;
mod writer;

use std::fs::File;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::{
    Append, AppendError, Appended, DEFAULT_PARTITIONS, Entries, Entry, Log, MAX_PARTITIONS, MAX_SUBJECT_BYTES,
    ReadError, Retention, Subject, TrimError,
};
use store::{Backing, Bounds, Fault, Store};
use writer::{Job, Writer};

const FILE: &str = "log.redb";
/// Beside the file: who has it open. Only ever read to tell a person.
const PID_FILE: &str = "log.pid";
/// Payloads over this are refused; a frame is far smaller, a single large event may come near.
const MAX_PAYLOAD_BYTES: usize = 32 << 20;
/// Requests that wait for the writer; further ones wait for a place.
const QUEUE: usize = 1024;
/// How often it is looked for entries that are over their age: eight times within it, and between these.
const AGE_LOOK_LEAST: Duration = Duration::from_millis(50);
const AGE_LOOK_MOST: Duration = Duration::from_secs(60);
/// How long a reader waits for the writer to reopen a file after a failed write.
const REOPEN_PATIENCE: Duration = Duration::from_secs(30);

/// For how long message ids are remembered, per partition: until either bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub age: Duration,
    pub ids: usize,
}

impl Default for Window {
    /// JetStream's two minutes, and at most about 10 MB of memory a partition.
    fn default() -> Window {
        Window { age: Duration::from_secs(120), ids: 100_000 }
    }
}

#[derive(Debug, Clone, Default)]
pub struct EmbeddedOptions {
    /// Fixed when the log is made; `None`: as many as it has, [`DEFAULT_PARTITIONS`] for a new one.
    pub partitions: Option<u16>,
    pub retention: Retention,
    pub window: Window,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path} is in use{}: stop that one, or give this one another data folder", holder(.pid))]
    InUse { path: PathBuf, pid: Option<u32> },
    #[error(
        "{path} is damaged ({reason}): restore it from a copy, or move it away to begin a new log, which goes on from the lake's newest \
         snapshot (docs/operations.md: a log is lost)"
    )]
    Damaged { path: PathBuf, reason: String },
    #[error("{path} was made by a newer callweave (format {format}): use that one")]
    Format { path: PathBuf, format: u64 },
    #[error("{path} has {has} partitions, not {wanted}; their number is fixed when a log is made: ask for {has}")]
    Partitions { path: PathBuf, has: u16, wanted: u16 },
    #[error("a log has 1 to {MAX_PARTITIONS} partitions, not {0}")]
    PartitionCount(u16),
    #[error("{path}: no room: {reason}; free space on that disk")]
    Full { path: PathBuf, reason: String },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}

/// A handle of the open log. When it is dropped, what was handed over is written, readers end, and the file is closed.
#[derive(Debug)]
pub struct EmbeddedLog {
    store: Arc<Store>,
    identity: Uuid,
    bounds: Vec<watch::Receiver<Bounds>>,
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedLog {
    /// Opens the log in `folder`, or makes it. After a crash the file is checked page by page first, which takes
    /// about as long as reading it.
    pub async fn open(folder: impl Into<PathBuf>, options: EmbeddedOptions) -> Result<EmbeddedLog, OpenError> {
        let folder = folder.into();
        let path = folder.join(FILE);
        let max_age = options.retention.max_age;
        let opened = tokio::task::spawn_blocking(move || open_file(&folder, options)).await;
        let log =
            opened.map_err(|error| OpenError::Damaged { path, reason: format!("reading it failed: {error}") })??;
        if let (Some(most), Some(jobs)) = (max_age, &log.jobs) {
            tokio::spawn(forget_the_old(jobs.downgrade(), most));
        }
        Ok(log)
    }

    fn start(backing: Backing, options: EmbeddedOptions, path: &Path) -> Result<EmbeddedLog, OpenError> {
        if let Some(count) = options.partitions
            && !(1..=MAX_PARTITIONS).contains(&count)
        {
            return Err(OpenError::PartitionCount(count));
        }
        let opening = |fault: Fault| opening(path, fault);
        let store = Store::open(backing).map_err(opening)?;
        let has = store.prepare(options.partitions.unwrap_or(DEFAULT_PARTITIONS)).map_err(opening)?;
        if let Some(wanted) = options.partitions
            && wanted != has
        {
            return Err(OpenError::Partitions { path: path.to_owned(), has, wanted });
        }
        let identity = store.identity().map_err(opening)?;
        store.find_settings(has).map_err(opening)?;
        let store = Arc::new(store);
        let (writer, bounds) = Writer::new(store.clone(), has, options.retention, options.window).map_err(opening)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || writer.run(queue))
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(EmbeddedLog { store, identity, bounds, jobs: Some(jobs), thread: Some(thread) })
    }

    fn bounds(&self, partition: u16) -> Result<Bounds, ReadError> {
        match self.bounds.get(usize::from(partition)) {
            Some(bounds) => Ok(*bounds.borrow()),
            None => Err(ReadError::NoSuchPartition { partition, partitions: self.partitions() }),
        }
    }

    fn check(&self, append: &Append) -> Result<(), AppendError> {
        let (partition, partitions) = (append.subject.partition(), self.partitions());
        if partition >= partitions {
            return Err(AppendError::NoSuchPartition { partition, partitions });
        }
        check_size(append.payload.len(), MAX_PAYLOAD_BYTES)?;
        check_size(append.subject.as_str().len(), MAX_SUBJECT_BYTES)
    }

    async fn send(&self, job: Job) -> Result<(), &'static str> {
        match &self.jobs {
            Some(jobs) => jobs.send(job).await.map_err(|_| "its writer has stopped"),
            None => Err("it is being closed"),
        }
    }
}

/// Has entries that are older than they may be forgotten though nothing is appended, for as long as the log is open.
async fn forget_the_old(jobs: mpsc::WeakSender<Job>, most: Duration) {
    let mut ticks = tokio::time::interval((most / 8).clamp(AGE_LOOK_LEAST, AGE_LOOK_MOST));
    loop {
        ticks.tick().await;
        let Some(jobs) = jobs.upgrade() else { return };
        let (reply, forgotten) = oneshot::channel();
        if jobs.send(Job::Trim { partition: 0, before: 0, reply }).await.is_err() {
            return;
        }
        drop(jobs);
        // A log that cannot be written now is looked at again.
        let _ = forgotten.await;
    }
}

fn check_size(bytes: usize, limit: usize) -> Result<(), AppendError> {
    if bytes > limit { Err(AppendError::TooLarge { bytes, limit }) } else { Ok(()) }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
    }
}

fn open_file(folder: &Path, options: EmbeddedOptions) -> Result<EmbeddedLog, OpenError> {
    let path = folder.join(FILE);
    let io = |source| OpenError::Io { path: path.clone(), source };
    // It has accounts' settings, and with them what logins are proved by.
    crate::files::private_folder(folder).map_err(io)?;
    let is_new = !path.exists();
    // redb may panic on a file that something else wrote to; that is a damaged file, not a fault of ours.
    let started = std::panic::catch_unwind(AssertUnwindSafe(|| {
        EmbeddedLog::start(Backing::of_file(path.clone()), options, &path)
    }));
    let log = match started {
        Ok(log) => log?,
        Err(_) => return Err(OpenError::Damaged { path, reason: "its pages contradict each other".into() }),
    };
    if is_new {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    }
    if let Err(error) = std::fs::write(folder.join(PID_FILE), std::process::id().to_string()) {
        tracing::warn!(%error, "cannot write {PID_FILE}: a second process will not be told who has the log");
    }
    Ok(log)
}

fn opening(path: &Path, fault: Fault) -> OpenError {
    let path = path.to_owned();
    match fault {
        Fault::InUse => {
            let pid = std::fs::read_to_string(path.with_file_name(PID_FILE)).ok();
            OpenError::InUse { path, pid: pid.and_then(|pid| pid.trim().parse().ok()) }
        }
        Fault::Format(format) => OpenError::Format { path, format },
        Fault::Damaged(reason) => OpenError::Damaged { path, reason },
        Fault::Full(reason) => OpenError::Full { path, reason },
        Fault::Io(source) => OpenError::Io { path, source },
        Fault::Closed => OpenError::Io { path, source: io::Error::other("it was closed while it was opened") },
    }
}

#[async_trait::async_trait]
impl Log for EmbeddedLog {
    fn partitions(&self) -> u16 {
        // No more than MAX_PARTITIONS are ever made.
        self.bounds.len() as u16
    }

    fn max_payload(&self) -> usize {
        MAX_PAYLOAD_BYTES
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let mut results = self.append_all(vec![append]).await;
        results.pop().unwrap_or_else(|| Err(AppendError::Unavailable("its writer gave no answer".into())))
    }

    async fn append_all(&self, batch: Vec<Append>) -> Vec<Result<Appended, AppendError>> {
        let mut results: Vec<_> = batch.iter().map(|append| self.check(append).err().map(Err)).collect();
        let good = batch.into_iter().zip(&results).filter(|(_, failed)| failed.is_none()).map(|(append, _)| append);
        let good: Vec<_> = good.collect();
        let expected = good.len();
        let (reply, answer) = oneshot::channel();
        let answers = match self.send(Job::Append { batch: good, reply }).await {
            Ok(()) => answer.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let mut answers = answers.into_iter();
        debug_assert!(answers.len() == expected || answers.len() == 0);
        let stopped = || Err(AppendError::Unavailable("its writer has stopped; see the messages before".into()));
        results.drain(..).map(|failed| failed.unwrap_or_else(|| answers.next().unwrap_or_else(stopped))).collect()
    }

    fn read(&self, partition: u16, after: u64) -> Entries {
        let Some(bounds) = self.bounds.get(usize::from(partition)) else {
            let error = ReadError::NoSuchPartition { partition, partitions: self.partitions() };
            return stream::iter([Err(error)]).boxed();
        };
        let tail = Tail { store: self.store.clone(), bounds: bounds.clone(), partition, after };
        stream::unfold(Some(tail), |tail| async move {
            let mut tail = tail?;
            match tail.next().await? {
                Ok(entries) => Some((Ok(entries), Some(tail))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.bounds(partition).map(|bounds| bounds.last)
    }

    async fn identity(&self, partition: u16) -> Result<String, ReadError> {
        self.bounds(partition).map(|_| self.identity.to_string())
    }

    async fn first_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.bounds(partition).map(|bounds| bounds.first)
    }

    async fn last_of_subject(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        let partition = subject.partition();
        self.bounds(partition)?;
        let (store, subject) = (self.store.clone(), subject.clone());
        let found = tokio::task::spawn_blocking(move || store.last_of_subject(&subject)).await;
        found
            .unwrap_or_else(|error| Err(Fault::Damaged(error.to_string())))
            .map_err(|fault| reading(partition, 0, fault))
    }

    async fn next_settings(&self, subject: &Subject, after: u64) -> Result<Option<Entry>, ReadError> {
        let partition = subject.partition();
        self.bounds(partition)?;
        let (store, subject) = (self.store.clone(), subject.clone());
        let found = tokio::task::spawn_blocking(move || store.next_settings(&subject, after)).await;
        found
            .unwrap_or_else(|error| Err(Fault::Damaged(error.to_string())))
            .map_err(|fault| reading(partition, after.saturating_add(1), fault))
    }

    async fn trim(&self, partition: u16, before: u64) -> Result<(), TrimError> {
        if usize::from(partition) >= self.bounds.len() {
            return Err(TrimError::NoSuchPartition { partition, partitions: self.partitions() });
        }
        let (reply, answer) = oneshot::channel();
        self.send(Job::Trim { partition, before, reply })
            .await
            .map_err(|error| TrimError::Unavailable(error.into()))?;
        answer.await.unwrap_or_else(|_| Err(TrimError::Unavailable("its writer has stopped".into())))
    }
}

fn reading(partition: u16, sequence: u64, fault: Fault) -> ReadError {
    match fault {
        Fault::Damaged(reason) => ReadError::Damaged { partition, sequence, reason },
        other => ReadError::Unavailable(other.to_string()),
    }
}

/// A reader's place.
struct Tail {
    store: Arc<Store>,
    bounds: watch::Receiver<Bounds>,
    partition: u16,
    after: u64,
}

impl Tail {
    /// The next batch; `None` when the log has been closed.
    async fn next(&mut self) -> Option<Result<Vec<Entry>, ReadError>> {
        loop {
            let bounds = *self.bounds.borrow_and_update();
            if let Err(error) = bounds.check(self.partition, self.after) {
                return Some(Err(error));
            }
            if bounds.last > self.after {
                let (store, partition, after) = (self.store.clone(), self.partition, self.after);
                // What the writer has not told of yet may be there already: whoever read that would be ahead of the log.
                let read = tokio::task::spawn_blocking(move || store.read(partition, after, bounds.last)).await;
                match read.unwrap_or_else(|error| Err(Fault::Damaged(error.to_string()))) {
                    Ok(entries) => {
                        if let Some(last) = entries.last() {
                            self.after = last.sequence;
                            return Some(Ok(entries));
                        }
                        // Trimmed since: the writer is about to say so.
                    }
                    // A failed write has closed the file; the writer reopens it and says so.
                    Err(Fault::Closed) => match tokio::time::timeout(REOPEN_PATIENCE, self.bounds.changed()).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(_)) => return None,
                        Err(_) => return Some(Err(reading(self.partition, self.after + 1, Fault::Closed))),
                    },
                    Err(fault) => return Some(Err(reading(self.partition, self.after + 1, fault))),
                }
            }
            self.bounds.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests;
