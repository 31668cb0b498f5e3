//! What one query may take: time, rows, and one of its login's places. It holds whichever way the query came.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::AbortOnDropHandle;

use super::desk::{self, Place, Rows};
use super::error::QueryError;
use super::logins::lock;
use super::operator::{Operation, over};
use super::spill::spilling;
use super::workers::{self, Crew};
use super::yields::yielding;

const UNASKED: Duration = Duration::from_secs(3600);

/// What one query may take.
#[derive(Debug)]
pub struct Bounds {
    pub until: Instant,
    /// For messages.
    pub time: Duration,
    pub rows: u64,
    /// Whoever asked no longer wants to know.
    cancel: CancellationToken,
    /// Goes along with the work that gives the rows. What is only planned takes none.
    place: Mutex<Option<Place>>,
}

/// Of what nobody asked: no bound but the hour.
impl Default for Bounds {
    fn default() -> Bounds {
        Bounds::new(UNASKED, u64::MAX, CancellationToken::new(), None)
    }
}

impl Bounds {
    pub fn new(time: Duration, rows: u64, cancel: CancellationToken, place: Option<OwnedSemaphorePermit>) -> Bounds {
        Bounds { until: Instant::now() + time, time, rows, cancel, place: Mutex::new(place.map(Arc::new)) }
    }

    pub(super) fn take_place(&self) -> Option<Place> {
        lock(&self.place).take()
    }

    /// Begins something of this query where queries are worked on.
    pub fn begin<F>(&self, future: F) -> AbortOnDropHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let place = lock(&self.place).clone();
        desk::spawn(place, future)
    }

    /// Does something of this query where queries are worked on, within its time.
    ///
    /// # Errors
    /// Its own, or that a bound was met.
    pub async fn work<T, E, F>(&self, future: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<QueryError> + Send + 'static,
    {
        let done = self.wait(self.begin(future)).await?;
        done.unwrap_or_else(|_| Err(QueryError::Panicked.into()))
    }

    /// Waits for something of this query, and no longer than it may take.
    ///
    /// # Errors
    /// Its time is over, or it was cancelled.
    pub async fn wait<F: Future>(&self, future: F) -> Result<F::Output, QueryError> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = sleep_until(self.until) => Err(self.time_up()),
            () = self.cancel.cancelled() => Err(QueryError::Cancelled),
        }
    }

    fn time_up(&self) -> QueryError {
        QueryError::TimeUp { seconds: self.time.as_secs_f64() }
    }
}

/// Plans as always, with workers where there are any and joins that go to disk where there is no room, and puts the bounds on top if there are some.
pub(super) struct BoundsPlanner {
    pub bounds: Option<Arc<Bounds>>,
    pub crew: Option<Arc<Crew>>,
}

impl fmt::Debug for BoundsPlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundsPlanner").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl QueryPlanner for BoundsPlanner {
    // As `async_trait` has it: see `query`.
    fn create_physical_plan<'a, 'b, 'c, 'f>(
        &'a self,
        plan: &'b LogicalPlan,
        session: &'c dyn Session,
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
    {
        self.plan(plan, session)
    }
}

impl BoundsPlanner {
    fn plan<'f>(
        &'f self,
        plan: &'f LogicalPlan,
        session: &'f dyn Session,
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>> {
        async move {
            let Some(state) = session.as_any().downcast_ref::<SessionState>() else {
                return internal_err!("a session of another kind");
            };
            let first = match &self.crew {
                Some(crew) => yielding(workers::plan(crew, plan, state).await?)?,
                None => DefaultPhysicalPlanner::default().create_physical_plan(plan, state).await?,
            };
            let mut plan = spilling(first, plan, state)?;
            let Some(bounds) = &self.bounds else { return Ok(plan) };
            if plan.output_partitioning().partition_count() != 1 {
                plan = Arc::new(CoalescePartitionsExec::new(plan));
            }
            Ok(over(plan, Within { bounds: Arc::clone(bounds) }))
        }
        .boxed()
    }
}

/// Within its bounds, what is asked gives one part.
#[derive(Debug, Clone)]
struct Within {
    bounds: Arc<Bounds>,
}

impl Operation for Within {
    const IN_ONE_PART: bool = true;

    fn name(&self) -> &'static str {
        "Bounds"
    }

    fn detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ": seconds={}, rows={}", self.bounds.time.as_secs(), self.bounds.rows)
    }

    fn rows(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        part: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let memory = match context.memory_pool().memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            _ => usize::MAX,
        };
        Ok(Box::pin(Bounded {
            schema: input.schema(),
            memory,
            rows: Rows::of(input, part, context, Some(Arc::clone(&self.bounds))),
            alarm: None,
            cancelled: Box::pin(self.bounds.cancel.clone().cancelled_owned()),
            left: self.bounds.rows,
            bounds: Arc::clone(&self.bounds),
            is_beyond: false,
            is_over: false,
        }))
    }
}

/// The rows, until a bound is met. Whoever takes them is told so in time, whatever the engine does meanwhile.
struct Bounded {
    schema: SchemaRef,
    rows: Rows,
    /// Set by whoever takes the rows first: a clock of the threads that make them would stand still while they are busy.
    alarm: Option<Pin<Box<Sleep>>>,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    left: u64,
    /// For messages.
    memory: usize,
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
        self.rows.give_up();
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
        let until = self.bounds.until;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if alarm.as_mut().poll(context).is_ready() {
            let error = self.bounds.time_up();
            return self.end(error);
        }
        if self.cancelled.as_mut().poll(context).is_ready() {
            return self.end(QueryError::Cancelled);
        }
        match ready!(self.rows.poll_next_unpin(context)) {
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
            Some(Err(error)) => match QueryError::of_memory(&error, self.memory) {
                Some(memory) => self.end(memory),
                None => {
                    self.is_over = true;
                    Poll::Ready(Some(Err(error)))
                }
            },
            None => {
                self.is_over = true;
                Poll::Ready(None)
            }
        }
    }
}

impl RecordBatchStream for Bounded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
