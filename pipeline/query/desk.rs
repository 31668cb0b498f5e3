//! Where queries are worked on: threads of their own. Whoever takes events in, answers probes and looks at the clock does not stand
//! in one line with joins that take a core for minutes.
//!
//! A query's place ([`Place`]) goes along with each task that the engine spawns for it, and is free once the last of them has
//! ended: a task that was given up goes on to its next yield, and takes a core and memory until then.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use datafusion::arrow::array::RecordBatch;
use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::STACK_BYTES;
use super::bounds::Bounds;
use super::error::QueryError;

/// Batches that are made before they are wanted.
const BATCHES_AHEAD: usize = 2;
/// How far these threads stand back (`nice`) behind those that serve.
const STEPS_BACK: i32 = 5;

/// One of the queries that a login may run at once.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

/// For as long as the process runs: it is never waited for.
static THREADS: OnceLock<Runtime> = OnceLock::new();

tokio::task_local! {
    static PLACE: Place;
}

/// Starts the threads, if they are not there yet.
///
/// # Errors
/// The system gives none.
pub(super) fn open() -> std::io::Result<Handle> {
    if let Some(threads) = THREADS.get() {
        return Ok(threads.handle().clone());
    }
    let mut threads = Builder::new_multi_thread();
    threads.thread_name("query").thread_stack_size(STACK_BYTES).on_thread_start(step_back).enable_all();
    let threads = threads.build()?;
    // Whoever else set one keeps it: places are free a little early then.
    let _ = set_join_set_tracer(&Along);
    if let Err(second) = THREADS.set(threads) {
        second.shutdown_background();
    }
    Ok(THREADS.get().map_or_else(Handle::current, |threads| threads.handle().clone()))
}

/// On Linux priority is a thread's own. Where it cannot be changed, it stays.
fn step_back() {
    #[cfg(target_os = "linux")]
    // SAFETY: it takes three numbers. The process 0 is the thread that calls.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, STEPS_BACK);
    }
}

/// Works on `future` over there; given up when what is returned is dropped.
pub(super) fn spawn<F>(place: Option<Place>, future: F) -> AbortOnDropHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let threads = open().unwrap_or_else(|_| Handle::current());
    AbortOnDropHandle::new(match place {
        Some(place) => threads.spawn(PLACE.scope(place, future)),
        None => threads.spawn(future),
    })
}

/// What the engine spawns belongs to the query of the task that spawns it.
struct Along;

impl JoinSetTracer for Along {
    fn trace_future(&self, future: BoxFuture<'static, Box<dyn Any + Send>>) -> BoxFuture<'static, Box<dyn Any + Send>> {
        match PLACE.try_with(Arc::clone) {
            Ok(place) => Box::pin(PLACE.scope(place, future)),
            Err(_) => future,
        }
    }

    fn trace_block(
        &self,
        block: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    ) -> Box<dyn FnOnce() -> Box<dyn Any + Send> + Send> {
        match PLACE.try_with(Arc::clone) {
            Ok(place) => Box::new(move || PLACE.sync_scope(place, block)),
            Err(_) => block,
        }
    }
}

/// The rows of a plan, made over there.
pub(super) struct Rows {
    rows: mpsc::Receiver<Result<RecordBatch>>,
    work: AbortOnDropHandle<Result<(), QueryError>>,
    is_over: bool,
}

impl Rows {
    /// `bounds` hold there, too: also where nobody takes the rows (a cursor that stands open).
    pub fn of(
        plan: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
        bounds: Option<Arc<Bounds>>,
    ) -> Rows {
        let (to, rows) = mpsc::channel(BATCHES_AHEAD);
        let place = bounds.as_ref().and_then(|bounds| bounds.take_place());
        let made = make(Arc::clone(plan), partition, context, to);
        let work = spawn(place, async move {
            match bounds {
                Some(bounds) => bounds.wait(made).await,
                None => {
                    made.await;
                    Ok(())
                }
            }
        });
        Rows { rows, work, is_over: false }
    }

    /// Nothing more is wanted.
    pub fn give_up(&mut self) {
        self.work.abort();
        self.rows.close();
        self.is_over = true;
    }
}

async fn make(
    plan: Arc<dyn ExecutionPlan>,
    partition: usize,
    context: Arc<TaskContext>,
    to: mpsc::Sender<Result<RecordBatch>>,
) {
    let mut rows = match plan.execute(partition, context) {
        Ok(rows) => rows,
        Err(error) => return drop(to.send(Err(error)).await),
    };
    while let Some(batch) = rows.next().await {
        if to.send(batch).await.is_err() {
            return;
        }
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(batch) = ready!(self.rows.poll_recv(context)) {
            return Poll::Ready(Some(batch));
        }
        // The end of the rows, unless the work ended before them: where the engine panics (a nested loop that runs out of memory
        // does in DataFusion 55.2), the query has failed, and not the connection and whatever else it does.
        let ended = ready!(Pin::new(&mut self.work).poll(context));
        self.is_over = true;
        Poll::Ready(match ended.unwrap_or(Err(QueryError::Panicked)) {
            Ok(()) => None,
            Err(error) => Some(Err(DataFusionError::External(Box::new(error)))),
        })
    }
}
