//! The way of one partition's rows and snapshots to the lake, beside the partition: a commit that takes its time holds no moment
//! up. What waits is bounded in bytes; beyond that the partition waits, too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use callweave_core::join::Erasure;
use callweave_core::time::Time;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::behind;
use super::landing::Landing;
use super::live::ProcessError;
use super::maintain::erase;
use super::moments::Teller;
use super::source::Source;
use super::step::Batches;
use crate::lake::{DayBatch, Lake, TableName};
use crate::telemetry::metrics::{Metrics, Partition as Label};

/// KiB of rows that wait for the tables of one partition.
const ROOM_KIB: u32 = 32 << 10;
/// Groups that wait, however small.
const QUEUE: usize = 4_096;

/// What is forwarded with.
pub struct Forwarder {
    pub number: u16,
    pub source: Arc<Source>,
    pub lake: Lake,
    pub landings: BTreeMap<TableName, Landing>,
    /// How far each table holds this partition.
    pub marks: BTreeMap<TableName, u64>,
    pub moments: Arc<Teller>,
    pub metrics: Metrics,
    pub clock: fn() -> Time,
}

/// The state after entry `at`, and people whose rows are to be forgotten before it counts.
pub struct Snapshot {
    pub at: u64,
    /// When the log took that entry.
    pub appended: Time,
    pub bytes: Vec<u8>,
    pub erasures: Vec<Erasure>,
}

enum Message {
    Rows { upto: u64, batches: Batches, _room: OwnedSemaphorePermit },
    Keep(Snapshot),
}

/// The partition's end.
pub struct Forward {
    to: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
    keeping: Arc<AtomicBool>,
    task: AbortOnDropHandle<Result<(), ProcessError>>,
}

impl Forward {
    pub fn start(forwarder: Forwarder) -> Forward {
        let (to, from) = mpsc::channel(QUEUE);
        let keeping = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(forwarder.run(from, keeping.clone()));
        let room = Arc::new(Semaphore::new(ROOM_KIB as usize));
        Forward { to, room, keeping, task: AbortOnDropHandle::new(task) }
    }

    /// The rows of a group that ends with entry `upto`.
    ///
    /// # Errors
    /// Forwarding has stopped; [`Forward::ended`] tells why.
    pub async fn rows(&self, upto: u64, batches: Batches) -> Result<(), ProcessError> {
        let bytes: usize = batches.iter().map(|(_, batch)| batch.rows.get_array_memory_size()).sum();
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, ROOM_KIB);
        let room = self.room.clone().acquire_many_owned(kib).await.map_err(|_| ProcessError::Stopped)?;
        self.to.send(Message::Rows { upto, batches, _room: room }).await.map_err(|_| ProcessError::Stopped)
    }

    /// Whether a snapshot is still on its way.
    pub fn is_keeping(&self) -> bool {
        self.keeping.load(Ordering::Acquire)
    }

    /// # Errors
    /// As [`Forward::rows`].
    pub async fn keep(&self, snapshot: Snapshot) -> Result<(), ProcessError> {
        self.keeping.store(true, Ordering::Release);
        self.to.send(Message::Keep(snapshot)).await.map_err(|_| ProcessError::Stopped)
    }

    /// Waits until all is done, or tells what went wrong.
    pub async fn ended(self) -> Result<(), ProcessError> {
        drop(self.to);
        self.task.await.unwrap_or(Err(ProcessError::Stopped))
    }
}

impl Forwarder {
    async fn run(self, mut from: mpsc::Receiver<Message>, keeping: Arc<AtomicBool>) -> Result<(), ProcessError> {
        while let Some(message) = from.recv().await {
            match message {
                Message::Rows { upto, batches, _room } => self.land(upto, batches).await?,
                Message::Keep(snapshot) => {
                    self.keep(snapshot).await?;
                    keeping.store(false, Ordering::Release);
                }
            }
        }
        Ok(())
    }

    async fn land(&self, upto: u64, batches: Batches) -> Result<(), ProcessError> {
        let mut by_table: BTreeMap<TableName, Vec<DayBatch>> = BTreeMap::new();
        for (table, batch) in batches {
            by_table.entry(table).or_default().push(batch);
        }
        for (table, batches) in by_table {
            if self.marks.get(&table).is_none_or(|held| upto > *held) {
                self.landings[&table].rows(self.number, upto, batches).await?;
            }
        }
        Ok(())
    }

    /// Keeps a snapshot once every table holds what came before it, and every moment is told.
    async fn keep(&self, snapshot: Snapshot) -> Result<(), ProcessError> {
        let Snapshot { at, appended, bytes, erasures } = snapshot;
        self.moments.flush().await?;
        for landing in self.landings.values() {
            landing.flush().await?;
        }
        erase(&self.lake, &erasures, (self.clock)()).await?;
        let label = Label { partition: self.number };
        self.metrics.snapshot_size.get_or_create(&label).set(bytes.len() as f64);
        let marks = behind::marks(&self.lake, &self.source.name()).await?;
        self.source.keep(self.lake.state(), (at, appended), &marks, bytes).await?;
        self.metrics.snapshot_time.get_or_create(&label).set((self.clock)().0 as f64 / 1e6);
        tracing::debug!(partition = self.number, sequence = at, "snapshot kept");
        Ok(())
    }
}
