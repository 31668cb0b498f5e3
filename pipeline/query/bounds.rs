//! What one query may take: time, rows, and one of its login's places. It holds whichever way the query came.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use futures::{Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::error::QueryError;
use super::logins::lock;
use super::workers::{self, Crew};

/// What one query may take.
#[derive(Debug)]
pub struct Bounds {
    pub until: Instant,
    /// For messages.
    pub time: Duration,
    pub rows: u64,
    /// Whoever asked no longer wants to know.
    cancel: CancellationToken,
    /// Given up when the last row was read, or the query is dropped.
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Bounds {
    pub fn new(time: Duration, rows: u64, cancel: CancellationToken, place: OwnedSemaphorePermit) -> Bounds {
        Bounds { until: Instant::now() + time, time, rows, cancel, place: Mutex::new(Some(place)) }
    }

    fn take_place(&self) -> Option<OwnedSemaphorePermit> {
        lock(&self.place).take()
    }
}

/// Plans as always, with workers where there are any, and puts the bounds on top.
pub(super) struct BoundsPlanner {
    pub bounds: Arc<Bounds>,
    pub crew: Option<Arc<Crew>>,
}

impl fmt::Debug for BoundsPlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundsPlanner").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

#[async_trait]
impl QueryPlanner for BoundsPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let state = session.as_any().downcast_ref::<SessionState>();
        let state = state.ok_or_else(|| DataFusionError::Internal("a session of another kind".to_owned()))?;
        let mut plan = match &self.crew {
            Some(crew) => workers::plan(crew, plan, state).await?,
            None => DefaultPhysicalPlanner::default().create_physical_plan(plan, state).await?,
        };
        if plan.output_partitioning().partition_count() != 1 {
            plan = Arc::new(CoalescePartitionsExec::new(plan));
        }
        Ok(Arc::new(BoundsExec::new(plan, Arc::clone(&self.bounds))))
    }
}

#[derive(Debug)]
struct BoundsExec {
    input: Arc<dyn ExecutionPlan>,
    bounds: Arc<Bounds>,
    properties: Arc<PlanProperties>,
}

impl BoundsExec {
    fn new(input: Arc<dyn ExecutionPlan>, bounds: Arc<Bounds>) -> BoundsExec {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        BoundsExec { input, bounds, properties }
    }
}

impl DisplayAs for BoundsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bounds: seconds={}, rows={}", self.bounds.time.as_secs(), self.bounds.rows)
    }
}

impl ExecutionPlan for BoundsExec {
    fn name(&self) -> &str {
        "Bounds"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(BoundsExec::new(input, Arc::clone(&self.bounds))))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(Box::pin(Bounded {
            rows: self.input.execute(partition, context)?,
            place: self.bounds.take_place(),
            alarm: Box::pin(sleep_until(self.bounds.until)),
            cancelled: Box::pin(self.bounds.cancel.clone().cancelled_owned()),
            left: self.bounds.rows,
            bounds: Arc::clone(&self.bounds),
            is_beyond: false,
            is_over: false,
        }))
    }
}

/// The rows, until a bound is met.
struct Bounded {
    rows: SendableRecordBatchStream,
    place: Option<OwnedSemaphorePermit>,
    alarm: Pin<Box<Sleep>>,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    left: u64,
    bounds: Arc<Bounds>,
    /// There are more rows than may be, and those that may be were given.
    is_beyond: bool,
    is_over: bool,
}

impl Bounded {
    fn too_many(&mut self) -> Poll<Option<Result<RecordBatch>>> {
        self.end(QueryError::TooManyRows { max: self.bounds.rows })
    }

    fn end(&mut self, error: QueryError) -> Poll<Option<Result<RecordBatch>>> {
        self.is_over = true;
        self.place = None;
        Poll::Ready(Some(Err(DataFusionError::External(Box::new(error)))))
    }
}

impl Stream for Bounded {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.is_beyond {
            return self.too_many();
        }
        if self.alarm.as_mut().poll(context).is_ready() {
            let seconds = self.bounds.time.as_secs_f64();
            return self.end(QueryError::TimeUp { seconds });
        }
        if self.cancelled.as_mut().poll(context).is_ready() {
            return self.end(QueryError::Cancelled);
        }
        // Where the engine panics (a nested loop that runs out of memory does in DataFusion 55.2), the query has failed, and
        // not the connection and whatever else it does.
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| self.rows.poll_next_unpin(context)));
        let Ok(polled) = polled else { return self.end(QueryError::Panicked) };
        match ready!(polled) {
            Some(Ok(batch)) => {
                let rows = batch.num_rows() as u64;
                if let Some(left) = self.left.checked_sub(rows) {
                    self.left = left;
                    return Poll::Ready(Some(Ok(batch)));
                }
                if self.left > 0 {
                    // Whoever wanted no more than these never meets the bound, however large the engine's batches are.
                    let first = batch.slice(0, self.left as usize);
                    self.left = 0;
                    self.is_beyond = true;
                    return Poll::Ready(Some(Ok(first)));
                }
                self.too_many()
            }
            other => {
                self.is_over = true;
                self.place = None;
                Poll::Ready(other)
            }
        }
    }
}

impl RecordBatchStream for Bounded {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
