//! What a pool tells of itself: metrics, warnings, and the event of its exhaustion.

use callweave_core::event::{Body, Event, PoolExhausted};
use callweave_core::settings::OnExhausted;
use callweave_core::time::{MICROS_PER_MINUTE, Time};

use super::{Pool, is_due, new_id};
use crate::lease::book::Counts;
use crate::lease::line::{ORIGIN, frame};
use crate::log::{Append, Kind, MessageId, Subject};

/// The log and people are told at most so often.
const TELL_EVERY: i64 = MICROS_PER_MINUTE;

impl Pool {
    /// Writes the pool's metrics, and warns where most of its lines are in use.
    pub fn measure(&self, now: Time) -> Counts {
        let (counts, most, lines, warns) = {
            let mut known = self.known();
            let counts = known.book.counts(now);
            let in_use = counts.held + counts.resting;
            known.most = known.most.max(in_use);
            let lines = known.plan.len();
            let warns = in_use * 4 > lines * 3 && is_due(known.warned, TELL_EVERY, now);
            if warns {
                known.warned = now;
            }
            (counts, known.most, lines, warns)
        };
        self.meters.measured(counts, most, lines);
        if warns {
            tracing::warn!(
                account = &*self.account,
                pool = &*self.name,
                held = counts.held,
                resting = counts.resting,
                lines,
                "more than three quarters of the pool are in use; add numbers, or shorten hold and cooldown"
            );
        }
        counts
    }

    /// The event that the moment `pool.exhausted` is made of. The visitor's answer does not depend on it.
    pub(super) async fn tell_exhausted(&self, on_exhausted: OnExhausted, now: Time) {
        self.meters.exhausted.inc();
        let counts = self.measure(now);
        let size = {
            let mut known = self.known();
            if !is_due(known.told, TELL_EVERY, now) {
                return;
            }
            known.told = now;
            known.plan.len()
        };
        let pool = &*self.name;
        tracing::warn!(account = &*self.account, pool, size, held = counts.held, "pool exhausted");
        let (size, held) = (size as u64, counts.held as u64);
        let event = Event {
            account: (&*self.account).into(),
            source: ORIGIN.into(),
            id: new_id().into(),
            time: now,
            recorded: now,
            body: Body::PoolExhausted(PoolExhausted { pool: pool.into(), size, held, on_exhausted }),
        };
        let Ok(payload) = frame(event.to_json().as_bytes(), now) else { return };
        let subject = Subject::events(self.partition, Kind::Other, Some(&self.account));
        let append = Append { subject, message_id: MessageId::of(&payload), expect: None, payload };
        if let Err(error) = self.log.append(append).await {
            tracing::warn!(account = &*self.account, pool, %error, "cannot tell that the pool is exhausted");
        }
    }
}
