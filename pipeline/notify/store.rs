//! What must outlive the process: how far each subscription was told, what failed and waits, what was given up, and a log of
//! attempts. One file, `notify.redb`, in the data folder.
//!
//! One thread writes. It takes all that waits, puts it into one transaction and pays one fsync for all. An attempt counts as made
//! once it is written: after a crash a receiver sees those again that were under way, and no others.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use callweave_core::time::{MICROS_PER_DAY, Time};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

/// Subscription -> up to where all is told, or stands in one of the tables below.
const PLACES: TableDefinition<&str, u64> = TableDefinition::new("places");
/// Subscription -> the log of moments that its place is in.
const LOGS: TableDefinition<&str, &str> = TableDefinition::new("logs");
/// Subscription and sequence: told, beyond the place.
const DONE: TableDefinition<(&str, u64), ()> = TableDefinition::new("done");
/// Subscription and sequence -> [`Kept`].
const KEPT: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("kept");
/// Subscription and sequence -> [`Dead`].
const DEAD: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("dead");
/// Subscription and number -> [`Attempt`].
const ATTEMPTS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("attempts");
/// Subscription and deal -> when it was counted, where its provider would count it again.
const COUNTED: TableDefinition<(&str, &str), i64> = TableDefinition::new("counted");
/// Subscription -> why it is switched off.
const STOPPED: TableDefinition<&str, &str> = TableDefinition::new("stopped");

const FILE: &str = "notify.redb";
const CACHE_BYTES: usize = 16 << 20;
/// Requests that wait for the writer; further ones wait for a place.
const QUEUE: usize = 1024;
/// Requests that share a commit.
const COMMIT_JOBS: usize = 1024;
/// Dead letters of a subscription; beyond it the oldest go.
const DEAD_MAX: u64 = 10_000;
/// How long it is remembered that a deal was counted.
const COUNTED_FOR: i64 = 400 * MICROS_PER_DAY;
/// Attempts of a subscription that are remembered.
const ATTEMPTS_MAX: u64 = 500;

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("{path} cannot be used: {reason}; free space, stop who else uses it, or move it away to begin anew")]
    File { path: PathBuf, reason: String },
    #[error("what was told cannot be written down: {0}")]
    Write(String),
    #[error("the writer of what was told has stopped")]
    Stopped,
}

/// A delivery that failed and waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub failed: u32,
    pub due: i64,
    pub call: Option<u64>,
    /// When the log of moments took it.
    pub appended: i64,
    /// The event, as it stands in the log.
    pub event: String,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dead {
    pub given_up: i64,
    pub reason: String,
    pub kept: Kept,
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub at: String,
    pub moment: String,
    pub moment_id: String,
    pub webhook_id: String,
    /// Counted from 1; 0 out of turn, or a test.
    pub attempt: u32,
    /// Of the answer, where there was one.
    pub status: Option<u16>,
    pub seconds: f64,
    pub outcome: String,
    /// The answer's first bytes.
    pub answer: String,
}

#[derive(Debug)]
pub enum Change {
    Place(u64),
    /// The log of moments that the place is in.
    Log(String),
    Done(u64),
    Keep(u64, Kept),
    /// With what it was; it waits no longer.
    Dead(u64, Dead),
    /// A dead letter is no longer one.
    Revive(u64, Kept),
    Attempt(Attempt),
    /// A deal, when it was counted.
    Counted(String, Time),
    /// What was counted too long before this time is forgotten.
    Now(Time),
    Stop(String),
    Go,
    /// All of the subscription goes.
    Forget,
}

struct Job {
    of: Arc<str>,
    changes: Vec<Change>,
    reply: oneshot::Sender<Result<(), StoreError>>,
}

/// A handle; clones share the file.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

struct Shared {
    path: PathBuf,
    /// `None` while a failed write is mended.
    database: RwLock<Option<Database>>,
}

/// What a subscription begins with.
#[derive(Debug, Default)]
pub struct Start {
    /// `None`: it was never told anything.
    pub place: Option<u64>,
    /// The log of moments that it is in; `None`: it was told before that was written down.
    pub log: Option<String>,
    /// Told, though behind the place, or dead.
    pub done: Vec<u64>,
    /// Sequence, call, failed attempts, due.
    pub kept: Vec<(u64, Option<u64>, u32, Time)>,
}

impl Shared {
    fn open(path: &Path) -> Result<Database, StoreError> {
        let failed = |reason: String| StoreError::File { path: path.to_owned(), reason };
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        let database = database.map_err(|error| failed(error.to_string()))?;
        let make = || -> Result<(), redb::Error> {
            let write = database.begin_write()?;
            {
                write.open_table(PLACES)?;
                write.open_table(LOGS)?;
                write.open_table(DONE)?;
                write.open_table(KEPT)?;
                write.open_table(DEAD)?;
                write.open_table(ATTEMPTS)?;
                write.open_table(COUNTED)?;
                write.open_table(STOPPED)?;
            }
            Ok(write.commit()?)
        };
        make().map_err(|error| failed(error.to_string()))?;
        Ok(database)
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = guard.as_ref().ok_or_else(|| StoreError::Write("its file is closed".to_owned()))?;
        act(database).map_err(|error| StoreError::Write(error.to_string()))
    }

    /// After a failed write redb refuses everything until the file is opened anew, from its last commit.
    fn reopen(&self) {
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *guard = None;
        match Shared::open(&self.path) {
            Ok(database) => *guard = Some(database),
            Err(error) => tracing::error!(%error, "what was told cannot be read again"),
        }
    }
}

impl Store {
    /// # Errors
    /// The file cannot be opened, or another process has it.
    pub fn open(folder: &Path) -> Result<Store, StoreError> {
        let path = folder.join(FILE);
        let failed = |error: std::io::Error| StoreError::File { path: path.clone(), reason: error.to_string() };
        crate::files::private_folder(folder).map_err(failed)?;
        let database = RwLock::new(Some(Shared::open(&path)?));
        let shared = Arc::new(Shared { path: path.clone(), database });
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = shared.clone();
        let thread = std::thread::Builder::new().name("notify-store".into()).spawn(move || write_all(&writer, queue));
        thread.map_err(failed)?;
        Ok(Store { shared, jobs })
    }

    /// Writes changes of one subscription down; returns when they are on disk.
    pub async fn commit(&self, of: &Arc<str>, changes: Vec<Change>) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { of: of.clone(), changes, reply };
        self.jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        answer.await.unwrap_or(Err(StoreError::Stopped))
    }

    async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = self.shared.clone();
        // What redb 4 hands out does not keep the transaction, and with it the pages that it lies on: so it is kept here.
        let read = move || shared.with(|database| act(&database.begin_read()?));
        tokio::task::spawn_blocking(read).await.unwrap_or(Err(StoreError::Stopped))
    }

    pub async fn start(&self, of: &Arc<str>) -> Result<Start, StoreError> {
        let of = of.clone();
        self.read(move |read| {
            let all = (&*of, 0)..=(&*of, u64::MAX);
            let place = read.open_table(PLACES)?.get(&*of)?.map(|it| it.value());
            let log = read.open_table(LOGS)?.get(&*of)?.map(|it| it.value().to_owned());
            let mut start = Start { place, log, ..Start::default() };
            for found in read.open_table(DONE)?.range(all.clone())? {
                start.done.push(found?.0.value().1);
            }
            for found in read.open_table(KEPT)?.range(all)? {
                let (key, value) = found?;
                if let Some(kept) = parsed::<Kept>(value.value()) {
                    start.kept.push((key.value().1, kept.call, kept.failed, Time(kept.due)));
                }
            }
            Ok(start)
        })
        .await
    }

    pub async fn kept(&self, of: &Arc<str>, sequence: u64) -> Result<Option<Kept>, StoreError> {
        let of = of.clone();
        self.read(move |read| {
            let found = read.open_table(KEPT)?.get((&*of, sequence))?;
            Ok(found.and_then(|value| parsed(value.value())))
        })
        .await
    }

    pub async fn is_counted(&self, of: &Arc<str>, deal: &str) -> Result<bool, StoreError> {
        let (of, deal) = (of.clone(), deal.to_owned());
        self.read(move |read| Ok(read.open_table(COUNTED)?.get((&*of, &*deal))?.is_some())).await
    }

    /// How many wait, how many are dead.
    pub async fn counts(&self, of: &Arc<str>) -> Result<(u64, u64), StoreError> {
        let of = of.clone();
        self.read(move |read| {
            let all = (&*of, 0)..=(&*of, u64::MAX);
            let kept = read.open_table(KEPT)?.range(all.clone())?.count();
            Ok((kept as u64, read.open_table(DEAD)?.range(all)?.count() as u64))
        })
        .await
    }

    /// Dead letters in the order of the log, from `after` on, `most` of them.
    pub async fn dead(&self, of: &Arc<str>, after: u64, most: usize) -> Result<Vec<(u64, Dead)>, StoreError> {
        let of = of.clone();
        self.read(move |read| {
            let table = read.open_table(DEAD)?;
            let mut dead = Vec::new();
            for found in table.range((&*of, after.saturating_add(1))..=(&*of, u64::MAX))?.take(most) {
                let (key, value) = found?;
                dead.extend(parsed(value.value()).map(|it| (key.value().1, it)));
            }
            Ok(dead)
        })
        .await
    }

    /// The latest first.
    pub async fn attempts(&self, of: &Arc<str>, most: usize) -> Result<Vec<Attempt>, StoreError> {
        let of = of.clone();
        self.read(move |read| {
            let table = read.open_table(ATTEMPTS)?;
            let mut attempts = Vec::new();
            for found in table.range((&*of, 0)..=(&*of, u64::MAX))?.rev().take(most) {
                attempts.extend(parsed::<Attempt>(found?.1.value()));
            }
            Ok(attempts)
        })
        .await
    }

    /// Why it was switched off, if it was.
    pub async fn stopped(&self, of: &Arc<str>) -> Result<Option<String>, StoreError> {
        let of = of.clone();
        self.read(move |read| {
            let found = read.open_table(STOPPED)?.get(&*of)?;
            Ok(found.map(|why| why.value().to_owned()))
        })
        .await
    }
}

fn parsed<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).inspect_err(|error| tracing::error!(%error, "a stored delivery cannot be read")).ok()
}

/// Works until the last handle is gone, and all that was handed over is done.
fn write_all(shared: &Shared, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let mut jobs = vec![first];
        while jobs.len() < COMMIT_JOBS
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        let written = shared.with(|database| {
            let write = database.begin_write()?;
            for job in &jobs {
                for change in &job.changes {
                    apply(&write, &job.of, change)?;
                }
            }
            Ok(write.commit()?)
        });
        if let Err(error) = &written {
            tracing::error!(%error, "what was told is not written down");
            shared.reopen();
        }
        for job in jobs {
            // Who asked may have gone: it is done all the same.
            let _ = job.reply.send(written.clone());
        }
    }
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    // Plain structs of text and numbers: nothing in them that JSON refuses.
    serde_json::to_vec(value).unwrap_or_default()
}

fn apply(write: &WriteTransaction, of: &str, change: &Change) -> Result<(), redb::Error> {
    match change {
        Change::Place(place) => {
            write.open_table(PLACES)?.insert(of, place)?;
            write.open_table(DONE)?.retain_in((of, 0)..=(of, *place), |_, ()| false)?;
        }
        Change::Log(log) => {
            write.open_table(LOGS)?.insert(of, log.as_str())?;
        }
        Change::Done(sequence) => {
            write.open_table(KEPT)?.remove((of, *sequence))?;
            write.open_table(DONE)?.insert((of, *sequence), ())?;
        }
        Change::Keep(sequence, kept) => {
            write.open_table(KEPT)?.insert((of, *sequence), &*bytes(kept))?;
        }
        Change::Dead(sequence, dead) => {
            write.open_table(KEPT)?.remove((of, *sequence))?;
            write.open_table(DONE)?.insert((of, *sequence), ())?;
            let mut table = write.open_table(DEAD)?;
            table.insert((of, *sequence), &*bytes(dead))?;
            let count = table.range((of, 0)..=(of, u64::MAX))?.count() as u64;
            let oldest = table.range((of, 0)..=(of, u64::MAX))?.next();
            let oldest = oldest.transpose()?.map(|(key, _)| key.value().1);
            if let Some(oldest) = oldest.filter(|_| count > DEAD_MAX) {
                tracing::warn!(webhook = of, "more dead letters than are kept: the oldest is gone");
                table.remove((of, oldest))?;
            }
        }
        Change::Revive(sequence, kept) => {
            write.open_table(DEAD)?.remove((of, *sequence))?;
            write.open_table(KEPT)?.insert((of, *sequence), &*bytes(kept))?;
        }
        Change::Attempt(attempt) => {
            let mut table = write.open_table(ATTEMPTS)?;
            let last = table.range((of, 0)..=(of, u64::MAX))?.next_back().transpose()?;
            let number = last.map_or(0, |(key, _)| key.value().1 + 1);
            table.insert((of, number), &*bytes(attempt))?;
            if let Some(old) = number.checked_sub(ATTEMPTS_MAX) {
                table.remove((of, old))?;
            }
        }
        Change::Counted(deal, at) => {
            write.open_table(COUNTED)?.insert((of, deal.as_str()), at.0)?;
        }
        Change::Now(now) => {
            let oldest = now.plus(-COUNTED_FOR).0;
            write.open_table(COUNTED)?.retain(|(by, _), at| by != of || at >= oldest)?;
        }
        Change::Stop(why) => {
            write.open_table(STOPPED)?.insert(of, why.as_str())?;
        }
        Change::Go => {
            write.open_table(STOPPED)?.remove(of)?;
        }
        Change::Forget => {
            let all = (of, 0)..=(of, u64::MAX);
            write.open_table(PLACES)?.remove(of)?;
            write.open_table(LOGS)?.remove(of)?;
            write.open_table(STOPPED)?.remove(of)?;
            write.open_table(DONE)?.retain_in(all.clone(), |_, ()| false)?;
            write.open_table(COUNTED)?.retain(|(by, _), _| by != of)?;
            for table in [KEPT, DEAD, ATTEMPTS] {
                write.open_table(table)?.retain_in(all.clone(), |_, _| false)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn deals_are_remembered_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        for of in [&one, &other] {
            let counted = |deal: &str, at| Change::Counted(deal.to_owned(), Time(at));
            store.commit(of, vec![counted("old", 0), counted("new", 5)]).await.unwrap();
        }
        store.commit(&one, vec![Change::Now(Time(COUNTED_FOR + 1))]).await.unwrap();
        assert!(!store.is_counted(&one, "old").await.unwrap());
        assert!(store.is_counted(&one, "new").await.unwrap() && store.is_counted(&other, "old").await.unwrap());
        store.commit(&one, vec![Change::Forget]).await.unwrap();
        assert!(!store.is_counted(&one, "new").await.unwrap() && store.is_counted(&other, "new").await.unwrap());
    }

    /// A page that is read is let go by nobody: redb asserts it where debug assertions are on.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_is_read_stays_while_others_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let of: Arc<str> = "hook".into();
        let kept = |due| Kept { failed: 1, due, call: None, appended: 0, event: "x".repeat(20_000) };
        store.commit(&of, vec![Change::Keep(1, kept(0))]).await.unwrap();
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (store, of) = (store.clone(), of.clone());
                tokio::spawn(async move { while store.kept(&of, 1).await.unwrap().is_some() {} })
            })
            .collect();
        for due in 0..300 {
            store.commit(&of, vec![Change::Keep(1, kept(due))]).await.unwrap();
        }
        store.commit(&of, vec![Change::Done(1)]).await.unwrap();
        for reader in readers {
            reader.await.unwrap();
        }
    }
}
