//! A pool's lines as the log has them.

use std::sync::Arc;

use callweave_core::time::Time;
use futures::{StreamExt, TryStreamExt, stream};

use super::{Known, Pool, is_due};
use crate::lease::LeaseError;
use crate::lease::line::{Line, Told};
use crate::log::ReadError;

/// Lines that are read from the log at one time.
const READS_AT_ONCE: usize = 64;
/// Lines with extensions are read so many at a time, once those before are in use.
const LINES_A_READ: usize = 512;
/// A line that changes under the desk's hands is read so often.
const READS_OF_A_LINE: usize = 3;
/// A refresh reads at most so many, those first that were held least recently.
const REFRESH_LINES_MAX: usize = 16_384;

impl Pool {
    pub(super) async fn read(&self, line: &Line) -> Result<Told, ReadError> {
        let entry = self.log.last_of_subject(&line.subject(self.partition, &self.account)).await?;
        let hold = self.known().book.terms().hold;
        Ok(entry.map_or_else(Told::default, |entry| Told::of(&entry, hold)))
    }

    /// A log of several servers may answer from one that lags.
    pub(super) async fn read_at_least(&self, line: &Line, seen: u64, actual: u64) -> Result<(), LeaseError> {
        for _ in 0..READS_OF_A_LINE {
            let told = if actual == 0 { Told::default() } else { self.read(line).await? };
            if told.sequence >= actual {
                let mut known = self.known();
                if told.sequence != 0 && told.sequence < seen {
                    known.book.learn_anew(line, told);
                } else {
                    known.book.learn(line, seen, told);
                }
                return Ok(());
            }
        }
        let reason = format!("the last entry of a line is {actual}, and cannot be read yet");
        Err(ReadError::Unavailable(reason).into())
    }

    pub(super) async fn read_again(&self, lines: Vec<(Line, u64)>) -> Result<(), ReadError> {
        let told: Vec<_> = stream::iter(lines)
            .map(|(line, seen)| async move { self.read(&line).await.map(|told| (line, seen, told)) })
            .buffer_unordered(READS_AT_ONCE)
            .try_collect()
            .await?;
        let mut known = self.known();
        for (line, seen, told) in told {
            if known.plan.may_hold(&line) {
                known.book.learn(&line, seen, told);
            }
        }
        Ok(())
    }

    /// The pool's lines are read at its first use, and where the settings gave it others.
    pub(super) async fn read_first(self: &Arc<Pool>) -> Result<(), LeaseError> {
        let is_read = |known: &Known| known.read > 0 || known.plan.len() == 0;
        if is_read(&self.known()) {
            return Ok(());
        }
        let pool = self.clone();
        self.detached(async move {
            let _one = pool.reading.lock().await;
            if is_read(&pool.known()) { Ok(()) } else { pool.read_next().await }
        })
        .await
    }

    /// Reads lines that nobody needed so far; false where there are none.
    pub(super) async fn read_more(self: &Arc<Pool>) -> Result<bool, LeaseError> {
        let seen = {
            let known = self.known();
            if known.read >= known.plan.len() {
                return Ok(false);
            }
            known.read
        };
        let pool = self.clone();
        self.detached(async move {
            let _one = pool.reading.lock().await;
            if pool.known().read != seen { Ok(()) } else { pool.read_next().await }
        })
        .await?;
        Ok(true)
    }

    async fn read_next(&self) -> Result<(), ReadError> {
        let (plan, from, to, lines) = {
            let known = self.known();
            let more = if known.plan.has_extensions() { LINES_A_READ } else { known.plan.len() };
            let (from, to) = (known.read, (known.read + more).min(known.plan.len()));
            let lines = (from..to).filter_map(|place| known.plan.line(place));
            let new = lines.filter(|line| known.book.find(line).is_none()).map(|line| (line, 0)).collect();
            (known.plan.clone(), from, to, new)
        };
        self.read_again(lines).await?;
        let mut known = self.known();
        if Arc::ptr_eq(&known.plan, &plan) && known.read == from {
            known.read = to;
        }
        Ok(())
    }

    /// Reads what is not free once more: others may have released it, or lost it.
    pub async fn refresh(self: &Arc<Pool>, now: Time, every: i64) -> Result<(), LeaseError> {
        let pool = self.clone();
        self.detached(async move {
            let _one = pool.reading.lock().await;
            let lines = {
                let known = pool.known();
                if !is_due(known.refreshed, every, now) {
                    return Ok(());
                }
                known.book.in_use(REFRESH_LINES_MAX)
            };
            pool.read_again(lines).await?;
            pool.known().refreshed = now;
            Ok(())
        })
        .await
    }

    /// Work that many wait for goes on when one of them does not wait any longer.
    async fn detached(
        &self,
        work: impl Future<Output = Result<(), ReadError>> + Send + 'static,
    ) -> Result<(), LeaseError> {
        let done = tokio::spawn(work).await.map_err(|error| LeaseError::Fault(error.to_string()))?;
        Ok(done?)
    }
}
