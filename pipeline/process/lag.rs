//! How far the join is behind the log. It is measured beside the work, which may stand still and begin again: that is when somebody wants to
//! know.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use callweave_core::time::Time;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::log::SharedLog;
use crate::telemetry::metrics::{Metrics, Partition as Label};

const LAG_EVERY: Duration = Duration::from_secs(1);
/// How long the log's answer may take.
const LAG_TIME: Duration = Duration::from_millis(500);

/// The last entry that is applied.
#[derive(Debug, Clone, Copy)]
pub struct At {
    pub sequence: u64,
    /// When the log took it.
    pub appended: Time,
}

/// How far each partition has come; those that were not begun are missing.
#[derive(Debug, Clone, Default)]
pub struct Reached(Arc<watch::Sender<BTreeMap<u16, At>>>);

impl Reached {
    pub fn note(&self, partition: u16, at: At) {
        self.0.send_modify(|all| {
            all.insert(partition, at);
        });
    }

    fn all(&self) -> BTreeMap<u16, At> {
        self.0.borrow().clone()
    }
}

/// How long the oldest entry that is not applied has waited, as far as can be told: at most since the last applied one, and since the log was
/// seen to hold nothing more. A log that is away tells nothing new.
pub async fn measure(reached: &Reached, log: &SharedLog, metrics: &Metrics, clock: fn() -> Time) -> Infallible {
    let mut caught_up: BTreeMap<u16, Time> = BTreeMap::new();
    let mut ticks = interval(LAG_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for (partition, at) in reached.all() {
            let Ok(Ok(last)) = timeout(LAG_TIME, log.last_sequence(partition)).await else { continue };
            let now = clock();
            let since = caught_up.entry(partition).or_insert(Time::MIN);
            let waits = if last > at.sequence {
                now.since(at.appended.max(*since)).max(0)
            } else {
                *since = now;
                0
            };
            metrics.join_watermark_lag.get_or_create(&Label { partition }).set(waits as f64 / 1e6);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
    use crate::log::{Append, MessageId, Subject, now};

    #[tokio::test]
    async fn what_waits_is_told_though_nothing_works() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let options = EmbeddedOptions { partitions: Some(1), ..EmbeddedOptions::default() };
        let log: SharedLog = Arc::new(EmbeddedLog::open(folder.path(), options).await?);
        for id in 1..=2 {
            let payload = Bytes::from_static(b"{}");
            log.append(Append { subject: Subject::tick(0), message_id: MessageId(id), expect: None, payload }).await?;
        }
        let (metrics, reached) = (Metrics::default(), Reached::default());
        let told = || metrics.join_watermark_lag.get(&Label { partition: 0 }).map(|level| level.get());
        let until = async |is_so: &dyn Fn(Option<f64>) -> bool| {
            let look = async {
                while !is_so(told()) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = look => {}
                never = measure(&reached, &log, &metrics, now) => match never {},
            }
        };
        reached.note(0, At { sequence: 1, appended: now().plus(-60_000_000) });
        until(&|lag| lag.is_some_and(|lag| lag >= 60.0)).await;
        reached.note(0, At { sequence: 2, appended: now() });
        until(&|lag| lag == Some(0.0)).await;
        Ok(())
    }
}
