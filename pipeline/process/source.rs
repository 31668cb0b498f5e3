//! Which logs a lake has taken events from. Sequences mean something only together with the log that they were given by: one that
//! was begun anew counts from 1 again, and a table that holds 60 entries of the log before holds none of this one.
//!
//! So the lake keeps, for each partition, the logs that it has met, in order (`_state/logs-P/NUMBER`). The first has the names
//! that stood in lakes before there were several: `log-P`; the others have `log-NUMBER-P`. That is both the application under which
//! the tables keep how far they hold it, and the name of its snapshots. A log that is met for the first time is read from
//! its beginning, on the state that the newest snapshot of the one before has: what came before is known to it.
//!
//! Beside each snapshot stands when the log took its last entry (`NAME-at`). A log that was put back to an older copy gives its
//! sequences to other entries, and is found out by that. A checksum stands behind it: a damaged byte is no older copy.

use bytes::Bytes;
use callweave_core::join::{Join, Mode};
use callweave_core::time::Time;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::behind::{self, Marks};
use super::live::{PROCESSING_PAUSE, ProcessError};
use crate::lake::{Lake, StateError, StateStore, TableName};
use crate::log::{Log, ReadError, SharedLog};
use crate::telemetry::troubles::Troubles;

/// What `/readyz` calls it.
const LOOKING: &str = "comparing the log with the lake";
/// Of a time that stands beside a snapshot, before its checksum, which has as many.
const TIME_BYTES: usize = size_of::<i64>();

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(
        "partition {partition}: this log ({identity}) was followed by another one, from which the lake was filled since (number \
         {newest}): going on with it would mix up what is known of calls. Put the newer log back, or give this one a lake of its own"
    )]
    Followed { partition: u16, identity: String, newest: u64 },
    #[error(
        "partition {partition}: this log was put back to an older copy: entry {at} is another one than the lake has taken, and what \
         the log takes from now on would be taken for known. Put the newest copy of the log back, or begin with a new lake (which takes \
         all that this log holds), or move this log away, too: a new one goes on where the lake is (docs/operations.md: a log is lost)"
    )]
    Copy { partition: u16, at: u64 },
    #[error(
        "partition {partition}: {snapshot} is of version {version}, which this program does not read, and what it knows cannot be had from \
         the log again, which begins with entry {first}. Go on with the program that wrote it, or begin with a new lake; or move this log \
         away: then the lake goes on with a new one, without knowing sessions, callers and duplicates of before (docs/operations.md: a log \
         is lost)"
    )]
    OtherVersion { partition: u16, snapshot: String, version: u8, first: u64 },
    #[error("partition {partition}: another process has begun to fill this lake from another log; stop one of the two")]
    TakenOver { partition: u16 },
    #[error(
        "{name}: what is known of the lake's log {number} cannot be read: {reason}; restore it from a copy of the lake"
    )]
    Unreadable { name: String, number: u64, reason: String },
}

/// A log that the lake has met.
#[derive(Debug, Serialize, Deserialize)]
struct Met {
    identity: String,
    partitions: u16,
}

/// A partition of the log that is there, as the lake knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    partition: u16,
    /// Its place among the logs that the lake has met.
    pub number: u64,
    pub identity: String,
    /// The log before had the same accounts in this partition.
    follows: bool,
}

fn name_of(number: u64, partition: u16) -> String {
    if number == 0 { format!("log-{partition}") } else { format!("log-{number}-{partition}") }
}

fn list_of(partition: u16) -> String {
    format!("logs-{partition}")
}

/// What stands beside the snapshot of entry `at`: its time in microseconds, and a checksum of both; little-endian.
fn timed(at: u64, appended: Time) -> Bytes {
    let time = appended.0.to_le_bytes();
    time.into_iter().chain(xxh3_64_with_seed(&time, at).to_le_bytes()).collect()
}

/// Nothing where it is damaged, or another entry's. What was kept before there were checksums is the time alone.
fn time_in(at: u64, bytes: &[u8]) -> Option<Time> {
    let (time, sum) = bytes.split_first_chunk::<TIME_BYTES>()?;
    let is_right = sum.is_empty() || sum == xxh3_64_with_seed(time, at).to_le_bytes();
    is_right.then(|| Time(i64::from_le_bytes(*time)))
}

async fn met(state: &StateStore, name: &str, number: u64) -> Result<Met, ProcessError> {
    let bytes = state.get(name, number).await?;
    let met = serde_json::from_slice(&bytes);
    Ok(met.map_err(|error| SourceError::Unreadable { name: name.to_owned(), number, reason: error.to_string() })?)
}

impl Source {
    /// Finds the log among those that the lake has met, or puts it at their end.
    ///
    /// # Errors
    /// The lake or the log cannot be asked now, or the lake has gone on with another log since.
    pub async fn find(lake: &Lake, log: &dyn Log, partition: u16) -> Result<Source, ProcessError> {
        let identity = log.identity(partition).await?;
        let (state, name) = (lake.state(), list_of(partition));
        loop {
            let numbers = state.sequences(&name).await?;
            let mut newest: Option<(u64, Met)> = None;
            for number in numbers {
                let met = met(state, &name, number).await?;
                if met.identity != identity {
                    newest.get_or_insert((number, met));
                } else if let Some((newest, _)) = newest {
                    return Err(SourceError::Followed { partition, identity, newest }.into());
                } else {
                    let before = if number == 0 { None } else { Some(self::met(state, &name, number - 1).await?) };
                    let follows = before.is_some_and(|before| before.partitions == met.partitions);
                    return Ok(Source { partition, number, identity, follows });
                }
            }
            let number = newest.as_ref().map_or(0, |(number, _)| number + 1);
            let met = Met { identity: identity.clone(), partitions: log.partitions() };
            let note = serde_json::to_vec(&met).unwrap_or_default();
            match state.note(&name, number, Bytes::from(note)).await {
                Ok(()) => {}
                // Somebody else was faster, with the same log most likely.
                Err(StateError::Taken { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            if let Some((_, before)) = newest {
                tell(partition, number, &before, &met);
            }
        }
    }

    /// The application of its marks in the tables, and the name of its snapshots.
    pub fn name(&self) -> String {
        name_of(self.number, self.partition)
    }

    fn times(&self) -> String {
        format!("{}-at", self.name())
    }

    /// The state to begin with, and the entry after which it is. `held`: how far each table holds this log, which begins with entry
    /// `first`.
    pub async fn restore(&self, state: &StateStore, held: &Marks, first: u64) -> Result<(u64, Join), ProcessError> {
        let name = self.name();
        let behind = behind::behind(state, &name, held).await?;
        let usable = |at: u64, bytes: Bytes| match behind.get(&at) {
            Some(why) => Err(why.clone()),
            None if !behind.is_empty() && at + 1 < first => Err(format!("the log begins with entry {first}")),
            None => Join::restore(&bytes).map_err(|error| error.to_string()),
        };
        if let Some(restored) = state.newest(&name, usable).await? {
            return Ok(restored);
        }
        if first > 1
            && let Some((at, why)) = behind.last_key_value()
        {
            tracing::error!(
                partition = self.partition,
                snapshot = at,
                why,
                first,
                "a table was put back to an older copy, and the log does not reach back to where it is: what it lacks stays away. \
                 Put a newer copy of the table back and start again"
            );
            if let Some(restored) = state.newest(&name, |_, bytes| Join::restore(&bytes)).await? {
                return Ok(restored);
            }
        }
        // One that was lost soon has left no snapshot: then the one before it says what is known.
        for number in (0..self.number).rev().take_while(|_| self.follows) {
            let before = state.newest(&name_of(number, self.partition), |_, bytes| Join::restore(&bytes)).await?;
            if let Some((_, join)) = before {
                return Ok((0, join));
            }
        }
        Ok((0, Join::new(Mode::Live)))
    }

    /// When the log took the entry of a snapshot; nothing where that was not kept, or is damaged.
    pub async fn appended(&self, state: &StateStore, at: u64) -> Result<Option<Time>, StateError> {
        let name = self.times();
        if !state.sequences(&name).await?.contains(&at) {
            return Ok(None);
        }
        let appended = time_in(at, &state.get(&name, at).await?);
        if appended.is_none() {
            let path = StateStore::path_of(&name, at);
            tracing::warn!(path, "when the log took this entry cannot be read: the log is not compared by it");
        }
        Ok(appended)
    }

    /// Keeps a snapshot, unless another log has followed meanwhile. `marks`: how far each table is.
    pub async fn keep(
        &self,
        state: &StateStore,
        (at, appended): (u64, Time),
        marks: &Marks,
        bytes: Vec<u8>,
    ) -> Result<(), ProcessError> {
        let partition = self.partition;
        if state.sequences(&list_of(partition)).await?.first().is_some_and(|newest| *newest != self.number) {
            return Err(SourceError::TakenOver { partition }.into());
        }
        // First: a snapshot without it would not be compared.
        state.put(&self.times(), at, timed(at, appended)).await?;
        behind::keep(state, &self.name(), at, marks).await?;
        state.put(&self.name(), at, bytes.into()).await?;
        Ok(())
    }

    /// Looks whether the log reaches back to what can be read of the snapshots, where newer ones are of another version.
    async fn check_versions(&self, state: &StateStore, log: &dyn Log) -> Result<(), ProcessError> {
        let (partition, name) = (self.partition, self.name());
        let (mut other, mut readable) = (None, 0);
        for sequence in state.sequences(&name).await? {
            let beginning = state.beginning(&name, sequence, Join::VERSION_BYTES as u64).await?;
            if Join::is_of_this_version(&beginning) {
                readable = sequence;
                break;
            }
            other = other.or_else(|| Join::version_of(&beginning).map(|version| (sequence, version)));
        }
        let Some((sequence, version)) = other else { return Ok(()) };
        let first = log.first_sequence(partition).await?;
        if first <= readable + 1 {
            return Ok(());
        }
        let snapshot = StateStore::path_of(&name, sequence);
        Err(SourceError::OtherVersion { partition, snapshot, version, first }.into())
    }

    /// Compares the log with what the lake has taken of it: the tables up to `held`, and the newest snapshot.
    ///
    /// # Errors
    /// It is an older copy: entries would be taken for known that are not. Or what is known is in snapshots of another version alone.
    pub async fn check(&self, lake: &Lake, log: &dyn Log, held: u64) -> Result<(), ProcessError> {
        let (partition, state) = (self.partition, lake.state());
        let at = state.sequences(&self.name()).await?.first().copied().unwrap_or(0);
        let last = log.last_sequence(partition).await?;
        let after = held.max(at);
        if after > last {
            return Err(ReadError::Rewound { partition, after, last }.into());
        }
        self.check_versions(state, log).await?;
        let is_there = at > 0 && log.first_sequence(partition).await? <= at;
        let Some(appended) = self.appended(state, at).await?.filter(|_| is_there) else { return Ok(()) };
        match log.read(partition, at - 1).next().await {
            Some(Ok(batch)) => match batch.first() {
                Some(entry) if entry.sequence == at && entry.appended != appended => {
                    Err(SourceError::Copy { partition, at }.into())
                }
                _ => Ok(()),
            },
            // It has gone since: there is nothing to compare.
            Some(Err(ReadError::Lost { .. })) | None => Ok(()),
            Some(Err(error)) => Err(error.into()),
        }
    }
}

fn tell(partition: u16, number: u64, before: &Met, met: &Met) {
    let Met { identity, partitions } = met;
    if before.partitions == *partitions {
        tracing::warn!(
            partition,
            number,
            log = identity,
            before = before.identity,
            "this is a new log: all that it holds is read, and the lake goes on. What the log before held and no table has is lost \
             with it; what the tables have of it behind its last snapshot stays, but its sessions and calls are not known any more"
        );
    } else {
        tracing::warn!(
            partition,
            number,
            log = identity,
            before = before.identity,
            "this is a new log, and of {partitions} partitions, not {}: all that it holds is read, but nothing is known any more of \
             sessions, leases, callers and duplicates of before",
            before.partitions
        );
    }
}

/// How far any table holds each source.
async fn held(lake: &Lake, sources: &[Source]) -> Result<Vec<u64>, ProcessError> {
    let names: Vec<String> = sources.iter().map(Source::name).collect();
    let mut held = vec![0; names.len()];
    for table in TableName::ALL {
        for (held, mark) in held.iter_mut().zip(lake.table(table).marks(&names).await?) {
            *held = mark.map_or(*held, |mark| (*held).max(mark.max(0) as u64));
        }
    }
    Ok(held)
}

/// Looks whether the lake can go on with this log, before anything is taken in: what is acknowledged must be read. A lake or log
/// that cannot be asked now is asked again until `shutdown`, which ends it without an answer.
///
/// # Errors
/// The lake cannot go on with it.
pub async fn look_over(
    lake: &Lake,
    log: &SharedLog,
    troubles: &Troubles,
    shutdown: &CancellationToken,
) -> Result<(), ProcessError> {
    loop {
        let looked = async {
            let mut sources = Vec::new();
            for partition in 0..log.partitions() {
                sources.push(Source::find(lake, &**log, partition).await?);
            }
            for (source, held) in sources.iter().zip(held(lake, &sources).await?) {
                source.check(lake, &**log, held).await?;
            }
            Ok::<_, ProcessError>(())
        };
        match looked.await {
            Ok(()) => {
                troubles.done(LOOKING);
                return Ok(());
            }
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "{LOOKING}: trying again");
                troubles.failed(LOOKING, &error);
                tokio::select! {
                    () = tokio::time::sleep(PROCESSING_PAUSE) => {}
                    () = shutdown.cancelled() => return Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
