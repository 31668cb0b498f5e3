//! Joins that stop in between. The engine of DataFusion 55.2 gives way where a leaf of the plan is asked for rows, and a join asks for
//! none while it holds a batch against everything on its other side: a query that was given up would go on for minutes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinSide, Result};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};

use super::operator::{Operation, over};

pub const RULE: &str = "yield_in_joins";
/// Pairs of rows that are looked at between two stops: some milliseconds.
const PAIRS: usize = 64 << 10;
/// Rows of a slice at least. A hash join seldom looks at all pairs, and small batches cost it time.
const ROWS_OF_LOOPS: usize = 1;
const ROWS_OF_HASHES: usize = 1024;
/// Rows of a slice of a join of sorted sides. Each meets all rows of its key, and how many those are is not known.
const ROWS_OF_MERGES: usize = 64;

/// The rule that puts [`yielding`] last.
#[derive(Debug)]
pub struct YieldInJoins;

impl PhysicalOptimizerRule for YieldInJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        yielding(plan)
    }

    fn name(&self) -> &str {
        RULE
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan with joins that give way after each batch of their answer; those that look at pairs of rows take their second side in
/// slices by how many rows the first one has, and give way after each.
pub(super) fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let put = |node: Arc<dyn ExecutionPlan>| {
        if let Some(join) = node.downcast_ref::<SortMergeJoinExec>() {
            let join = if join.filter().is_some() { with_slices(join, &node)? } else { node };
            return Ok(Transformed::yes(Arc::new(CooperativeExec::new(join)) as Arc<dyn ExecutionPlan>));
        }
        let least = match (node.downcast_ref::<HashJoinExec>(), node.is::<NestedLoopJoinExec>()) {
            (_, true) => Some(ROWS_OF_LOOPS),
            (Some(join), _) if join.filter().is_some() => Some(ROWS_OF_HASHES),
            (None, _) if !node.is::<CrossJoinExec>() => return Ok(Transformed::no(node)),
            _ => None,
        };
        let sides: Vec<_> = node.children().into_iter().map(Arc::clone).collect();
        let join = match (least, sides.as_slice()) {
            (Some(least), [first, second]) => {
                let parts = first.output_partitioning().partition_count();
                let counts: Counts = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                let counted = over(Arc::clone(first), Side { counts: Arc::clone(&counts), least: None });
                let sliced = over(Arc::clone(second), Side { counts, least: Some(least) });
                let same = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
                node.replace_children(vec![counted, sliced], same)?
            }
            _ => node,
        };
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(join)) as Arc<dyn ExecutionPlan>))
    };
    Ok(plan.transform_up(put)?.data)
}

/// A join of sorted sides that takes that side in slices that it holds against all rows of a key.
fn with_slices(join: &SortMergeJoinExec, node: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let slices = |side: &Arc<dyn ExecutionPlan>| in_slices(Arc::clone(side), ROWS_OF_MERGES);
    let (left, right) = match SortMergeJoinExec::probe_side(&join.join_type()) {
        JoinSide::Right => (Arc::clone(join.left()), slices(join.right())),
        _ => (slices(join.left()), Arc::clone(join.right())),
    };
    let same = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
    Arc::clone(node).replace_children(vec![left, right], same)
}

/// The plan's rows in batches of `rows` at most, between which it gives way.
pub(super) fn in_slices(input: Arc<dyn ExecutionPlan>, rows: usize) -> Arc<dyn ExecutionPlan> {
    over(input, Side { counts: Arc::new([AtomicUsize::new(usize::MAX)]), least: Some(rows) })
}

/// Rows of a join's first side, by its parts. It is read to its end before the second is asked for any.
type Counts = Arc<[AtomicUsize]>;

/// One side of a join.
#[derive(Debug, Clone)]
struct Side {
    counts: Counts,
    /// Rows of a slice at least; nothing: this is the side that is counted.
    least: Option<usize>,
}

impl Operation for Side {
    fn name(&self) -> &'static str {
        if self.least.is_some() { "Slices" } else { "Counted" }
    }

    fn detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.least.map_or(Ok(()), |rows| write!(f, ": rows={rows}"))
    }

    fn rows(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        part: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = input.execute(part, context)?;
        let counts = Arc::clone(&self.counts);
        // A first side that is collected whole has one part, whatever the second has.
        let at = part.min(counts.len().saturating_sub(1));
        match self.least {
            None => {
                if let Some(count) = counts.get(at) {
                    count.store(0, Ordering::Relaxed);
                }
                Ok(Box::pin(Counted { rows, counts, at }))
            }
            Some(least) => Ok(Box::pin(Slices { rows, counts, at, least, rest: None, has_given: false })),
        }
    }
}

struct Counted {
    rows: SendableRecordBatchStream,
    counts: Counts,
    at: usize,
}

impl Stream for Counted {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.rows.poll_next_unpin(context));
        if let (Some(Ok(batch)), Some(count)) = (&next, self.counts.get(self.at)) {
            count.fetch_add(batch.num_rows(), Ordering::Relaxed);
        }
        Poll::Ready(next)
    }
}

impl RecordBatchStream for Counted {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

struct Slices {
    rows: SendableRecordBatchStream,
    counts: Counts,
    at: usize,
    least: usize,
    rest: Option<RecordBatch>,
    /// The join has worked since it was given something.
    has_given: bool,
}

impl Stream for Slices {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.has_given) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match ready!(self.rows.poll_next_unpin(context)) {
                Some(Ok(batch)) => batch,
                other => return Poll::Ready(other),
            },
        };
        let others = self.counts.get(self.at).map_or(1, |count| count.load(Ordering::Relaxed)).max(1);
        let rows = (PAIRS / others).max(self.least).min(batch.num_rows());
        if rows < batch.num_rows() {
            self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        self.has_given = true;
        Poll::Ready(Some(Ok(batch.slice(0, rows))))
    }
}

impl RecordBatchStream for Slices {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{SessionConfig, SessionContext};
    use futures::poll;

    use super::*;

    /// How often a statement gave way, and its rows.
    async fn stops(sql: &str) -> Result<(usize, usize)> {
        stops_of(sql, SessionConfig::new().with_target_partitions(1)).await
    }

    async fn stops_of(sql: &str, config: SessionConfig) -> Result<(usize, usize)> {
        let context = SessionContext::new_with_config(config);
        let plan = yielding(context.sql(sql).await?.create_physical_plan().await?)?;
        let (mut stops, mut count) = (0, 0);
        for part in 0..plan.output_partitioning().partition_count() {
            let mut rows = plan.execute(part, context.task_ctx())?;
            loop {
                match poll!(rows.next()) {
                    Poll::Pending => stops += 1,
                    Poll::Ready(Some(batch)) => count += batch?.num_rows(),
                    Poll::Ready(None) => break,
                }
                tokio::task::yield_now().await;
            }
        }
        Ok((stops, count))
    }

    #[tokio::test]
    async fn joins_of_many_pairs_stop_in_between() -> Result<()> {
        let series = |name: &str, rows: usize| format!("(SELECT value AS {name} FROM generate_series(1, {rows}))");
        let (a, b, few) = (series("a", 3_000), series("b", 3_000), series("b", 10));
        for (what, sql, at_least) in [
            ("loops without an answer", format!("SELECT a FROM {a} JOIN {b} ON a + b < 0"), 30),
            ("loops with one", format!("SELECT a FROM {a} JOIN {b} ON a + b < 100"), 30),
            ("hashes", format!("SELECT a FROM {a} JOIN {b} ON a % 1 = b % 1 AND a + b < 0"), 3),
        ] {
            let (stops, rows) = stops(&sql).await?;
            assert!(stops >= at_least, "{what}: {stops} stops");
            assert_eq!(rows, if what == "loops with one" { 98 * 99 / 2 } else { 0 }, "{what}");
        }
        // So do those of sorted sides, whose rows of one key are many.
        let mut config = SessionConfig::new().with_target_partitions(2);
        config.options_mut().optimizer.prefer_hash_join = false;
        for kind in ["JOIN", "LEFT SEMI JOIN", "RIGHT JOIN"] {
            let side = if kind == "RIGHT JOIN" { "b" } else { "a" };
            let sql = format!("SELECT {side} FROM {a} {kind} {b} ON a / 5000 = b / 5000 AND a + b < 0");
            let (stops, rows) = stops_of(&sql, config.clone()).await?;
            assert!(stops >= 3_000 / ROWS_OF_MERGES, "{kind}: {stops} stops");
            assert_eq!(rows, if kind == "RIGHT JOIN" { 3_000 } else { 0 }, "{kind}");
        }
        // What is small is not cut.
        let (few, rows) = stops(&format!("SELECT a FROM {a} JOIN {few} ON a + b < 3")).await?;
        assert!(few < 10, "{few} stops");
        assert_eq!(rows, 1);
        Ok(())
    }
}
