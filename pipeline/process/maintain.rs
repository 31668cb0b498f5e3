//! What keeps a lake small and forgets people: compaction, clean-up, retention, erasure. One process of a lake does it at
//! a time; another finds it busy and tries again later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use callweave_core::join::{Erasure, Join, name_of_nobody};
use callweave_core::time::{MICROS_PER_DAY, Time};
use tokio_util::sync::CancellationToken;

use crate::lake::{Lake, MaintainError, Person, Retention, Table};

/// From one compaction to the next.
const COMPACT_EVERY: Duration = Duration::from_secs(600);
/// Compactions from one clean-up (old commits, old files, retention) to the next.
const CLEAN_UP_EVERY: u32 = 6;
/// Times that an erasure waits for other maintenance to end.
const ERASE_ATTEMPTS: u32 = 60;
const ERASE_PAUSE: Duration = Duration::from_secs(1);

/// How many days each account's rows are kept, as the partitions know it.
#[derive(Clone, Default)]
pub struct Retentions(Arc<Mutex<BTreeMap<String, u32>>>);

impl Retentions {
    pub fn note(&self, join: &Join) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (account, days) in join.retention_days() {
            match days {
                Some(days) => known.insert(account.to_string(), days),
                None => known.remove(&*account),
            };
        }
    }

    fn at(&self, now: Time) -> Vec<Retention> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keep_from = |days: u32| now.minus(i64::from(days) * MICROS_PER_DAY).date();
        known
            .iter()
            .map(|(account, days)| Retention { account: account.clone(), keep_from: keep_from(*days) })
            .collect()
    }
}

/// Maintains the lake until `shutdown`. What fails is told, and tried again the next time.
pub async fn maintain(lake: Lake, retentions: Retentions, clock: fn() -> Time, shutdown: CancellationToken) {
    let mut round = 0;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(COMPACT_EVERY) => {}
        }
        // With the first round, too: a process that is started again every hour cleans up all the same.
        let cleans_up = round % CLEAN_UP_EVERY == 0;
        round += 1;
        for table in lake.tables() {
            told(table.compact().await.map(|_| ()));
            if cleans_up {
                told(table.retain(&retentions.at(clock())).await.map(|_| ()));
                clean_up(table).await;
            }
        }
        if cleans_up {
            told(lake.sweep().await.map(|_| ()));
        }
    }
}

/// What a bounded job does when its rows are there: puts small files together, and where it did, lets go of what was replaced long ago.
/// What fails is told; the rows are there all the same.
pub async fn compact(lake: &Lake) {
    for table in lake.tables() {
        match table.compact().await {
            Ok(done) if done.files_before > 0 => {
                clean_up(table).await;
            }
            done => told(done.map(|_| ())),
        }
    }
}

/// Lets go of old commits, and of files that no commit names any more.
async fn clean_up(table: &Table) {
    told(table.clean_log().await.map(|_| ()));
    told(table.vacuum().await.map(|_| ()));
}

fn told(done: Result<(), MaintainError>) {
    match done {
        Ok(()) => {}
        Err(error @ MaintainError::Busy { .. }) => tracing::debug!(%error, "left to another"),
        Err(error) => tracing::warn!(%error, "maintenance failed"),
    }
}

/// Forgets people in every table that is committed, in what was rejected until `now`. It may be done again.
pub async fn erase(lake: &Lake, erasures: &[Erasure], now: Time) -> Result<(), MaintainError> {
    if erasures.is_empty() {
        return Ok(());
    }
    let person = |it: &Erasure| Person {
        account: it.account.to_string(),
        visitor_id: it.visitor_id.as_deref().map(str::to_owned),
        phone: it.phone,
        name: name_of_nobody(it.name),
        calls: it.calls.iter().map(ToString::to_string).collect(),
        until: it.until,
        rejected_until: now,
    };
    let people: Vec<Person> = erasures.iter().map(person).collect();
    let mut attempt = 0;
    loop {
        attempt += 1;
        match lake.erase(&people).await {
            Err(MaintainError::Busy { .. }) if attempt < ERASE_ATTEMPTS => tokio::time::sleep(ERASE_PAUSE).await,
            Ok(files) => {
                tracing::info!(people = people.len(), files, "people were forgotten");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}
