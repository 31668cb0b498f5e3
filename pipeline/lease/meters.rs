//! A pool's metrics, looked up once.

use std::sync::Arc;

use super::How;
use super::book::Counts;
use crate::telemetry::metrics::{Answer, Level, Metrics, OfPool, Total};

pub struct Meters {
    metrics: Metrics,
    of: OfPool,
    lines: Level,
    held: Level,
    resting: Level,
    most: Level,
    kept: Total,
    pub conflicts: Total,
    pub exhausted: Total,
    pub failures: Total,
}

impl Meters {
    pub fn new(metrics: &Metrics, account: &Arc<str>, pool: &Arc<str>) -> Meters {
        let of = OfPool { account: account.clone(), pool: pool.clone() };
        let kept = Answer { of: of.clone(), how: How::Kept.name() };
        Meters {
            lines: metrics.lease_lines.get_or_create(&of).clone(),
            held: metrics.lease_held.get_or_create(&of).clone(),
            resting: metrics.lease_resting.get_or_create(&of).clone(),
            most: metrics.lease_most.get_or_create(&of).clone(),
            kept: metrics.lease_answers.get_or_create(&kept).clone(),
            conflicts: metrics.lease_conflicts.get_or_create(&of).clone(),
            exhausted: metrics.lease_exhausted.get_or_create(&of).clone(),
            failures: metrics.lease_failures.get_or_create(&of).clone(),
            metrics: metrics.clone(),
            of,
        }
    }

    pub fn answered(&self, how: How) {
        if how == How::Kept {
            self.kept.inc();
        } else {
            self.metrics.lease_answers.get_or_create(&Answer { of: self.of.clone(), how: how.name() }).inc();
        }
    }

    pub fn measured(&self, counts: Counts, most: usize, lines: usize) {
        self.lines.set(lines as f64);
        self.held.set(counts.held as f64);
        self.resting.set(counts.resting as f64);
        self.most.set(most as f64);
    }
}
