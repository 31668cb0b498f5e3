//! One table of a live job: rows are collected, and committed by age and number together with how far each partition
//! has come.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::lake::{CommitError, Committed, DayBatch, Lake, Mark, Table, TableName, TableWriter, WriteError};
use crate::telemetry::metrics::{Metrics, Table as TableLabel};
use crate::telemetry::troubles::Troubles;

/// Messages that wait for a table; then partitions do.
const QUEUE: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum LandingError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("a table's writer has stopped")]
    Stopped,
}

pub enum ToTable {
    /// All rows of a partition behind its last rows, up to entry `upto`.
    Rows { partition: u16, upto: u64, batches: Vec<DayBatch> },
    /// Commit what there is, and answer.
    Flush(oneshot::Sender<()>),
}

/// What `/readyz` calls it where the whole had to begin again, for another reason than a commit.
pub const PROCESSING: &str = "processing";

/// When rows are committed: at the first of the two.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    pub age: Duration,
    pub rows: u64,
}

/// A table's landing, as the partitions hold it.
#[derive(Clone)]
pub struct Landing {
    to: mpsc::Sender<ToTable>,
}

impl Landing {
    pub fn new() -> (Landing, mpsc::Receiver<ToTable>) {
        let (to, from) = mpsc::channel(QUEUE);
        (Landing { to }, from)
    }

    pub async fn rows(&self, partition: u16, upto: u64, batches: Vec<DayBatch>) -> Result<(), LandingError> {
        let rows = ToTable::Rows { partition, upto, batches };
        self.to.send(rows).await.map_err(|_| LandingError::Stopped)
    }

    /// Returns when everything handed over before is committed.
    pub async fn flush(&self) -> Result<(), LandingError> {
        let (done, committed) = oneshot::channel();
        self.to.send(ToTable::Flush(done)).await.map_err(|_| LandingError::Stopped)?;
        committed.await.map_err(|_| LandingError::Stopped)
    }
}

/// Lands one table's rows until nobody holds its landing any more.
pub struct Lander {
    pub lake: Lake,
    pub name: TableName,
    pub policy: Policy,
    pub metrics: Metrics,
    pub troubles: Troubles,
    /// The application under which a partition's progress stands in the table, and how far the table holds it.
    pub marks: BTreeMap<u16, (String, Option<i64>)>,
}

/// Rows that wait for their commit.
struct Waiting {
    writer: TableWriter,
    since: Instant,
    rows: u64,
    upto: BTreeMap<u16, i64>,
}

impl Lander {
    pub async fn run(mut self, mut from: mpsc::Receiver<ToTable>) -> Result<(), LandingError> {
        let mut waiting: Option<Waiting> = None;
        loop {
            let due = waiting.as_ref().map(|it| tokio::time::Instant::from_std(it.since + self.policy.age));
            let message = tokio::select! {
                message = from.recv() => message,
                () = sleep_until(due), if due.is_some() => {
                    self.commit(waiting.take()).await?;
                    continue;
                }
            };
            match message {
                Some(ToTable::Rows { partition, upto, batches }) => {
                    self.collect(&mut waiting, partition, upto, batches).await?;
                    if waiting.as_ref().is_some_and(|it| it.rows >= self.policy.rows) {
                        self.commit(waiting.take()).await?;
                    }
                }
                Some(ToTable::Flush(done)) => {
                    self.commit(waiting.take()).await?;
                    // Who asked may be gone; what was asked for is done.
                    let _ = done.send(());
                }
                None => return self.commit(waiting.take()).await,
            }
        }
    }

    fn table(&self) -> &Table {
        self.lake.table(self.name)
    }

    async fn collect(
        &self,
        waiting: &mut Option<Waiting>,
        partition: u16,
        upto: u64,
        batches: Vec<DayBatch>,
    ) -> Result<(), LandingError> {
        let waiting = waiting.get_or_insert_with(|| Waiting {
            writer: self.table().writer(),
            since: Instant::now(),
            rows: 0,
            upto: BTreeMap::new(),
        });
        for batch in batches {
            waiting.rows += batch.rows.num_rows() as u64;
            if waiting.writer.push(batch).await.is_err() {
                break;
            }
        }
        waiting.upto.insert(partition, upto as i64);
        let label = TableLabel { table: self.name.name() };
        self.metrics.lake_waiting.get_or_create(&label).set(waiting.rows as f64);
        Ok(())
    }

    async fn commit(&mut self, waiting: Option<Waiting>) -> Result<(), LandingError> {
        let Some(waiting) = waiting else { return Ok(()) };
        let done = self.try_to_commit(waiting).await;
        match &done {
            Ok(()) => {
                self.troubles.done(self.name.name());
                self.troubles.done(PROCESSING);
            }
            Err(error) => self.troubles.failed(self.name.name(), format_args!("the latest commit failed: {error}")),
        }
        done
    }

    async fn try_to_commit(&mut self, waiting: Waiting) -> Result<(), LandingError> {
        let Waiting { writer, rows, upto, .. } = waiting;
        let label = TableLabel { table: self.name.name() };
        let began = Instant::now();
        let failures = self.metrics.lake_commit_failures.get_or_create(&label).clone();
        let failed = || {
            failures.inc();
        };
        let adds = writer.finish().await.inspect_err(|_| failed())?;
        let mark = |(partition, to): (&u16, &i64)| {
            let (app_id, from) = self.marks.get(partition)?.clone();
            Some(Mark { app_id, from, to: *to })
        };
        let marks: Vec<Mark> = upto.iter().filter_map(mark).collect();
        let committed = self.table().commit(&adds, &marks).await.inspect_err(|_| failed())?;
        for (partition, to) in upto {
            if let Some((_, held)) = self.marks.get_mut(&partition) {
                *held = Some(to);
            }
        }
        if matches!(committed, Committed::Now { .. }) {
            self.metrics.lake_rows.get_or_create(&label).inc_by(rows);
            let bytes = adds.iter().map(|add| add.size.max(0) as u64).sum();
            self.metrics.lake_written.get_or_create(&label).inc_by(bytes);
        }
        self.metrics.lake_commits.get_or_create(&label).inc();
        self.metrics.lake_commit_duration.get_or_create(&label).observe(began.elapsed().as_secs_f64());
        self.metrics.lake_waiting.get_or_create(&label).set(0.0);
        Ok(())
    }
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}
