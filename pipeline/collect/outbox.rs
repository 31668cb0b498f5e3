//! The way of events that must not wait for the log: to the log if it takes them at once, else to the spool on disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use callweave_core::event::{Event, Rejected};
use callweave_core::telephony::Pass;
use callweave_core::time::Time;
use tokio::time::timeout;

use super::spool::{Kept, Spool, SpoolError};
use crate::log::batching::{Batcher, Submission};
use crate::log::frame::{FrameBuilder, FrameError, MAX_EVENT_BYTES, Record, Records, size_of, unpack};
use crate::log::{Kind, MessageId};
use crate::telemetry::metrics::{Metrics, Reason, Type};

/// Time the log has before events are kept on disk instead: a caller hears nothing while it passes.
const LOG_TIME: Duration = Duration::from_secs(2);
/// Bytes of a frame beside its records.
const FRAME_HEAD: usize = 16;

/// Where events of telephone systems go. Clones share it.
#[derive(Clone)]
pub struct Outbox {
    batcher: Batcher,
    spool: Arc<Spool>,
    payload_max: usize,
    metrics: Metrics,
}

/// Where events went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// There were none.
    Nowhere,
    ToLog,
    ToSpool,
}

/// Why nobody has the events.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("the events fit no frame of the log: {0}")]
    Frame(#[from] FrameError),
    #[error("the log does not take them, and neither does the disk: {0}")]
    Spool(#[from] SpoolError),
    #[error("the collector failed while it kept them, which is a fault of ours")]
    Fault,
}

/// What a telephone system told of one account at one time.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    pub account: &'a str,
    /// The endpoint or file that it came by.
    pub origin: &'a str,
    pub received: Time,
    pub events: &'a [Event<'static>],
    pub rejected: &'a [Rejected],
    /// What makes no event is counted.
    pub passed: &'a [Pass],
}

impl Outbox {
    pub fn new(batcher: Batcher, spool: Arc<Spool>, payload_max: usize, metrics: Metrics) -> Outbox {
        Outbox { batcher, spool, payload_max, metrics }
    }

    /// Takes what was told; when it returns, the log or the disk has it.
    ///
    /// # Errors
    /// Neither has.
    pub async fn take(&self, told: &Told<'_>) -> Result<Went, OutboxError> {
        let went = self.keep(told).await?;
        for pass in told.passed {
            let reason = pass.name();
            self.metrics.telephony_passed.get_or_create(&Reason { reason }).inc();
        }
        Ok(went)
    }

    async fn keep(&self, told: &Told<'_>) -> Result<Went, OutboxError> {
        if told.events.is_empty() && told.rejected.is_empty() {
            return Ok(Went::Nowhere);
        }
        let frame = self.frame(told)?.finish();
        let kept = Kept { kind: Kind::Call, account: told.account, frame: &frame };
        let went = if self.to_log(&kept).await? { Went::ToLog } else { self.to_spool(&kept).await? };
        for event in told.events {
            self.metrics.collect_taken.get_or_create(&Type { event: event.body.type_name() }).inc();
        }
        if !told.rejected.is_empty() {
            let refused = self.metrics.collect_refused.get_or_create(&Reason { reason: "telephony" });
            refused.inc_by(told.rejected.len() as u64);
        }
        Ok(went)
    }

    fn frame(&self, told: &Told<'_>) -> Result<FrameBuilder, FrameError> {
        let Told { account, origin, received, .. } = *told;
        let mut frame = FrameBuilder::new();
        for event in told.events {
            frame.push(&Record::Event { received, origin, bytes: event.to_json().as_bytes() })?;
        }
        for rejected in told.rejected {
            let record = |bytes| Record::Rejected {
                received,
                origin,
                account: Some(account),
                reason: &rejected.reason,
                path: &rejected.path,
                bytes,
            };
            // As far as one frame of the log can hold it.
            let room = self.payload_max.saturating_sub(FRAME_HEAD + frame.len() + size_of(&record(&[])));
            frame.push(&record(&rejected.raw[..rejected.raw.len().min(room).min(MAX_EVENT_BYTES)]))?;
        }
        Ok(frame)
    }

    /// Whether the log has it. What waits on disk goes first.
    async fn to_log(&self, kept: &Kept<'_>) -> Result<bool, OutboxError> {
        if !self.spool.is_empty() {
            return Ok(false);
        }
        let (submission, began) = (submission_of(kept)?, Instant::now());
        let events = submission.records() as u64;
        match timeout(LOG_TIME, self.batcher.submit(submission)).await {
            Ok(Ok(())) => {
                self.metrics.log_append_duration.observe(began.elapsed().as_secs_f64());
                self.metrics.log_appended.inc_by(events);
                self.metrics.log_appended_bytes.inc_by(kept.frame.len() as u64);
                return Ok(true);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the log does not take events of a telephone system; they are kept on disk")
            }
            Err(_) => tracing::warn!("the log does not confirm events of a telephone system; they are kept on disk"),
        }
        self.metrics.log_append_failures.inc();
        Ok(false)
    }

    async fn to_spool(&self, kept: &Kept<'_>) -> Result<Went, OutboxError> {
        let (spool, kind, account, frame) =
            (self.spool.clone(), kept.kind, kept.account.to_owned(), kept.frame.to_vec());
        let keeping = move || spool.keep(&Kept { kind, account: &account, frame: &frame });
        match tokio::task::spawn_blocking(keeping).await {
            Ok(result) => result.map(|()| Went::ToSpool).map_err(OutboxError::Spool),
            Err(error) => {
                tracing::error!(%error, "keeping events failed");
                Err(OutboxError::Fault)
            }
        }
    }
}

/// What the log is given; the same record has the same id, so that one that was confirmed too late is not appended twice.
pub fn submission_of(kept: &Kept<'_>) -> Result<Submission, FrameError> {
    let mut submission = Submission::new(kept.account).with_id(MessageId::of(kept.frame));
    let frame = unpack(Bytes::copy_from_slice(kept.frame));
    // The records say themselves when and where they came from.
    for record in Records::new(&frame, Time::MIN, "") {
        submission.push(kept.kind, &record?)?;
    }
    Ok(submission)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Large frames are packed, in the spool too.
    #[test]
    fn frames_of_any_size_are_read() -> Result<(), FrameError> {
        for records in [1, 9, 100] {
            let bytes = "x".repeat(400);
            let mut frame = FrameBuilder::new();
            for _ in 0..records {
                frame.push(&Record::Event { received: Time(7), origin: "generic", bytes: bytes.as_bytes() })?;
            }
            let plain = frame.len();
            let frame = frame.finish();
            assert_eq!(frame.len() < plain, records > 9, "{} of {plain}", frame.len());
            let kept = Kept { kind: Kind::Call, account: "acme", frame: &frame };
            assert_eq!(submission_of(&kept)?.records(), records);
        }
        Ok(())
    }
}
