//! The live job: this process's share of the log's partitions into the lake, for good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use callweave_core::join::SnapshotError;
use callweave_core::phone::Phone;
use callweave_core::source::Surveyor;
use callweave_core::time::Time;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::forward::Forwarder;
use super::lag::{self, Reached};
use super::landing::{Lander, Landing, LandingError, PROCESSING, Policy};
use super::maintain::{Retentions, maintain};
use super::moments::{MomentsError, Pasts, Place, Teller};
use super::partition::{Partition, Work};
use super::source::{Source, SourceError};
use crate::config::{Commit, Snapshot};
use crate::lake::{CommitError, Lake, MaintainError, StateError, TableName};
use crate::log::batching::{BatchOptions, Batcher};
use crate::log::{ReadError, SharedLog};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::troubles::Troubles;

/// Pauses before the job begins again after a fault: doubled each time, up to the most.
const PAUSE_FIRST: Duration = PROCESSING_PAUSE;
/// Before what could not be asked is asked again.
pub(super) const PROCESSING_PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MOST: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Landing(#[from] LandingError),
    #[error(transparent)]
    Moments(#[from] MomentsError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Maintain(#[from] MaintainError),
    #[error("the state cannot be kept: {0}")]
    Snapshot(#[from] SnapshotError),
    #[error("rows cannot be made: {0}")]
    Rows(#[from] arrow::error::ArrowError),
    #[error("the system gives no thread: {0}")]
    Thread(std::io::Error),
    #[error("a worker stopped early; the reason stands above")]
    Stopped,
}

impl ProcessError {
    /// Whether it only tells that somebody else has stopped.
    fn follows_another(&self) -> bool {
        matches!(self, ProcessError::Landing(LandingError::Stopped) | ProcessError::Moments(MomentsError::Stopped))
    }

    /// Whether beginning again from the last snapshot cannot help.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            ProcessError::Read(ReadError::Lost { .. } | ReadError::Rewound { .. } | ReadError::Damaged { .. })
                | ProcessError::Source(_)
                | ProcessError::Snapshot(_)
                | ProcessError::Rows(_)
        )
    }
}

pub struct Process {
    pub log: SharedLog,
    /// Where moments are told.
    pub moments: SharedLog,
    pub lake: Lake,
    pub surveyor: Surveyor,
    pub commit: Commit,
    pub snapshot: Snapshot,
    pub metrics: Metrics,
    pub troubles: Troubles,
    pub clock: fn() -> Time,
}

impl Process {
    /// Runs until `shutdown`, on this process's share of the log. When the share changes, what is under way is ended as at a
    /// graceful stop, and the new share is begun.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ProcessError> {
        // Reading what is known of the world's numbers takes its time the first time: no call is to wait for it.
        drop(tokio::task::spawn_blocking(|| Phone::parse("+12025550143").map(Phone::country)));
        let mut share = self.log.share();
        let done = loop {
            let own = share.take();
            let stop = shutdown.child_token();
            let work = async {
                if own.is_empty() {
                    stop.cancelled().await;
                    return Ok(());
                }
                let reached = Reached::default();
                let done = tokio::select! {
                    done = self.keep_at(&own, &reached, &stop) => done,
                    never = lag::measure(&reached, &self.log, &self.metrics, self.clock) => match never {},
                };
                own.iter().for_each(|&partition| self.metrics.forget_partition(partition));
                done
            };
            tokio::pin!(work);
            let done = tokio::select! {
                done = &mut work => done,
                () = share.changed() => {
                    stop.cancel();
                    work.await
                }
            };
            let moved = stop.is_cancelled() && !shutdown.is_cancelled();
            if moved {
                self.troubles.forget();
            }
            match done {
                Ok(()) if moved => {}
                Err(error) if moved && !error.is_final() => {
                    tracing::warn!(%error, "what was under way is left to whoever has these partitions now");
                }
                done => break done,
            }
        };
        share.leave().await;
        done
    }

    /// Works on `own` until `shutdown`. A fault (an unwritable lake, a log that is away, another owner) ends what is under way
    /// and begins it again from the last snapshot: nothing that is not committed counts as done.
    async fn keep_at(
        &self,
        own: &BTreeSet<u16>,
        reached: &Reached,
        shutdown: &CancellationToken,
    ) -> Result<(), ProcessError> {
        let mut pause = PAUSE_FIRST;
        let mut failed: Option<ProcessError> = None;
        loop {
            let began = tokio::time::Instant::now();
            match self.once(own, reached, shutdown).await {
                // Stopped before anything was tried again: what has failed is still not in its table.
                Ok(()) => return failed.filter(|_| self.has_uncommitted()).map_or(Ok(()), Err),
                Err(error) if error.is_final() || shutdown.is_cancelled() => return Err(error),
                Err(error) => {
                    if began.elapsed() > PAUSE_MOST {
                        pause = PAUSE_FIRST;
                    }
                    // A table's own commits are told by it.
                    if !matches!(error, ProcessError::Landing(_)) {
                        self.troubles.passing(PROCESSING, &error);
                    }
                    tracing::error!(%error, pause_ms = pause.as_millis() as u64, "processing stopped, beginning again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = shutdown.cancelled() => return Err(error),
                    }
                    failed = Some(error);
                    pause = (pause * 2).min(PAUSE_MOST);
                }
            }
        }
    }

    /// Whether a table's latest commit has failed.
    fn has_uncommitted(&self) -> bool {
        TableName::ALL.iter().any(|table| self.troubles.has(table.name()))
    }

    async fn once(
        &self,
        own: &BTreeSet<u16>,
        reached: &Reached,
        shutdown: &CancellationToken,
    ) -> Result<(), ProcessError> {
        let stop = shutdown.child_token();
        let _stop_on_return = stop.clone().drop_guard();
        let mut sources = BTreeMap::new();
        for &partition in own {
            sources.insert(partition, Arc::new(Source::find(&self.lake, &*self.log, partition).await?));
        }
        let names: Vec<String> = sources.values().map(|source| source.name()).collect();
        let mut landers = JoinSet::new();
        let mut landings = BTreeMap::new();
        let mut marks: BTreeMap<u16, BTreeMap<TableName, u64>> = BTreeMap::new();
        for name in TableName::ALL {
            let table = self.lake.table(name);
            let mut held = BTreeMap::new();
            for ((&partition, name_of), mark) in own.iter().zip(&names).zip(table.marks(&names).await?) {
                held.insert(partition, (name_of.clone(), mark));
                if let Some(mark) = mark {
                    marks.entry(partition).or_default().insert(name, mark as u64);
                }
            }
            let (landing, from) = Landing::new();
            landings.insert(name, landing);
            let policy = Policy { age: self.age(name), rows: self.commit.rows };
            let (lake, metrics, troubles) = (self.lake.clone(), self.metrics.clone(), self.troubles.clone());
            let lander = Lander { lake, name, policy, metrics, troubles, marks: held };
            landers.spawn(lander.run(from));
        }
        // Entries that are no others than those of which the tables and the snapshots tell.
        for (&partition, source) in &sources {
            let held = marks.get(&partition).and_then(|of| of.values().copied().max()).unwrap_or(0);
            source.check(&self.lake, &*self.log, held).await?;
        }
        let retentions = Retentions::default();
        let maintenance = maintain(self.lake.clone(), retentions.clone(), self.clock, stop.clone());
        let maintenance = tokio::spawn(maintenance);
        let mut pasts = {
            let number = |partition: u16| sources.get(&partition).map(|source| source.number);
            Pasts::read(&self.moments, &self.log, &number).await?
        };
        let mut tellers = JoinSet::new();
        let mut partitions = JoinSet::new();
        for (number, source) in sources {
            let from = Place { partition: number, log: source.number };
            let (teller, telling) = Teller::new(from, self.moments.clone(), pasts.of(number), self.metrics.clone());
            tellers.spawn(telling);
            let teller = Arc::new(teller);
            let forwarder = Forwarder {
                number,
                source: source.clone(),
                lake: self.lake.clone(),
                landings: landings.clone(),
                marks: marks.remove(&number).unwrap_or_default(),
                moments: teller.clone(),
                metrics: self.metrics.clone(),
                clock: self.clock,
            };
            let work = Work {
                number,
                batcher: Batcher::new(self.log.clone(), BatchOptions::default()),
                retentions: retentions.clone(),
                moments: teller,
                snapshot_every: self.snapshot.every,
                reached: reached.clone(),
                metrics: self.metrics.clone(),
                clock: self.clock,
            };
            let partition =
                Partition { log: self.log.clone(), surveyor: self.surveyor.another(), source, forwarder, work };
            partitions.spawn(partition.run(stop.clone()));
        }
        drop(landings);
        // A table that fails takes its partitions with it: they find it gone, and its own error says why.
        let mut first: Option<ProcessError> = None;
        loop {
            let ended = tokio::select! {
                Some(ended) = partitions.join_next() => ended.map_err(|_| ProcessError::Stopped).flatten(),
                Some(ended) = landers.join_next() => {
                    ended.map_err(|_| ProcessError::Stopped).and_then(|ended| ended.map_err(ProcessError::from))
                }
                Some(ended) = tellers.join_next() => {
                    ended.map_err(|_| ProcessError::Stopped).and_then(|ended| ended.map_err(ProcessError::from))
                }
                else => break,
            };
            if let Err(error) = ended {
                stop.cancel();
                if first.as_ref().is_none_or(|first| first.follows_another() && !error.follows_another()) {
                    first = Some(error);
                }
            }
        }
        stop.cancel();
        // It ends between two tables.
        let _ = maintenance.await;
        first.map_or(Ok(()), Err)
    }

    /// What belongs to calls is committed sooner.
    fn age(&self, table: TableName) -> Duration {
        match table {
            TableName::Calls | TableName::CallMoments | TableName::Tags | TableName::Deals | TableName::Rejected => {
                self.commit.calls
            }
            _ => self.commit.bulk,
        }
    }
}
