//! Joins that go to disk.
//!
//! The engine's joins by hash hold one side in memory and fail where there is no room for it (DataFusion 55.2); joins of sorted sides
//! leave on disk what has none, and take longer where there is some. How much a side takes is not known before it is read, least of all behind a
//! barrier. So a statement is tried as it is planned, and where its memory runs out before the first row, it is planned again with joins of
//! sorted sides. Nobody has seen a row of the first try, and its memory is given back before the second begins.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err, resources_datafusion_err, resources_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions, execute_stream,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::attempts::{Attempts, attempted, begin, with_schema};
use super::logins::lock;
use super::yields::{self, yielding};

/// Parts in which sides are sorted: each part of each side keeps some memory while it merges what it has sent to disk. With one part the engine joins
/// by hash whatever it is told.
const PARTS: usize = 2;
/// Of the memory that all sorts have together, what each sets aside for merging what it has sent to disk.
const PART_SET_ASIDE: usize = 64;
/// Up to one part in so many of the memory all that can go to disk take what they want. Each has an even share of as much for sure, so that what begins
/// late, as the second side of a join does, is not left without.
const PART_AT_WILL: usize = 2;
/// What sends all that it holds to disk wherever it gets no more: sorts, rows that are divided, and joins of sorted sides.
const CAN_WAIT: [&str; 3] = ["ExternalSorter[", "RepartitionExec[", "SMJStream["];
/// Rows of a batch then, one for so many bytes of the memory: of each run of sorted rows on disk that is merged, one batch or two are in memory.
const BYTES_A_ROW: usize = 64 << 10;
const BATCH_ROWS: std::ops::RangeInclusive<usize> = 128..=1024;
/// How long the first try may take to give its memory back. What works on a batch goes on to its end.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(30);
/// A join of sorted sides takes the rows of one key back from disk, whether there is room for them or not. Up to one part in so many of the limit
/// it may have beyond it.
const PART_BEYOND: usize = 4;

/// The same plan in one part; where it joins by hash, with another way for when it runs out of memory.
pub(super) fn spilling(
    mut first: Arc<dyn ExecutionPlan>,
    plan: &LogicalPlan,
    state: &SessionState,
) -> Result<Arc<dyn ExecutionPlan>> {
    if !first.exists(|node| Ok(node.is::<HashJoinExec>()))? {
        return Ok(first);
    }
    if first.output_partitioning().partition_count() != 1 {
        first = Arc::new(CoalescePartitionsExec::new(first));
    }
    let schema = first.schema();
    let spilling = Spilling { first: Mutex::new(Some(first)), plan: plan.clone(), state: state.clone() };
    Ok(attempted(spilling, schema))
}

struct Spilling {
    /// Whoever runs it drops it: a join's side is held by its plan.
    first: Mutex<Option<Arc<dyn ExecutionPlan>>>,
    /// What is planned again. The snapshots of its tables are the same.
    plan: LogicalPlan,
    state: SessionState,
}

impl Attempts for Spilling {
    fn name(&self) -> &'static str {
        "Spilling"
    }

    fn answer(self: Arc<Self>, context: Arc<TaskContext>) -> BoxFuture<'static, Result<SendableRecordBatchStream>> {
        async move {
            let Some(first) = lock(&self.first).take() else {
                return internal_err!("Spilling was run before");
            };
            let lent = Arc::new(Lent::of(context.memory_pool(), usize::MAX, usize::MAX));
            let error = match begin(first, of_try(&self.state, &lent, &context)).await {
                Err(error) if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) => error,
                other => return other,
            };
            tracing::debug!(%error, "a statement ran out of memory; it is planned again with joins that go to disk");
            if timeout(GIVEN_BACK_WITHIN, lent.given_back()).await.is_err() {
                tracing::debug!(bytes = lent.held(), "the first try holds memory still");
            }
            let (second, state) = self.sorted().await?;
            let at_will = limit(context.memory_pool()) / PART_AT_WILL;
            let lent = Arc::new(Lent::of(context.memory_pool(), at_will, at_will / sharing(&second)));
            let rows = execute_stream(second, of_try(&state, &lent, &context))?;
            Ok(within(rows, lent))
        }
        .boxed()
    }
}

impl Spilling {
    /// The statement with joins of sorted sides, and what it runs with.
    async fn sorted(&self) -> Result<(Arc<dyn ExecutionPlan>, SessionState)> {
        let state = of_sorted_sides(&self.state);
        let plan = DefaultPhysicalPlanner::default().create_physical_plan(&self.plan, &state).await?;
        let plan = plan.transform_up(mended)?.data;
        let is_yielding = state.physical_optimizers().iter().any(|rule| rule.name() == yields::RULE);
        Ok((if is_yielding { plan } else { yielding(plan)? }, state))
    }
}

/// What a try runs with: its memory is counted apart.
fn of_try(state: &SessionState, lent: &Arc<Lent>, given: &TaskContext) -> Arc<TaskContext> {
    let runtime = RuntimeEnv { memory_pool: Arc::clone(lent) as _, ..given.runtime_env().as_ref().clone() };
    Arc::new(TaskContext::from(state).with_runtime(Arc::new(runtime)))
}

/// The same, with joins of sorted sides. Those of `NOT IN`, where NULL counts, stay joins by hash.
pub(super) fn of_sorted_sides(state: &SessionState) -> SessionState {
    let memory = limit(&state.runtime_env().memory_pool);
    let rows = (memory / BYTES_A_ROW).clamp(*BATCH_ROWS.start(), *BATCH_ROWS.end());
    let mut config = state.config().clone().with_target_partitions(PARTS).with_batch_size(rows);
    let options = config.options_mut();
    options.optimizer.prefer_hash_join = false;
    // Put together and cut again, texts are counted once for each piece.
    options.execution.sort_in_place_threshold_bytes = 0;
    let set_aside = &mut options.execution.sort_spill_reservation_bytes;
    *set_aside = (memory / PART_SET_ASIDE).min(*set_aside);
    SessionStateBuilder::new_from_existing(state.clone()).with_config(config).build()
}

/// A node with what the engine of DataFusion 55.2 lacks where joins go to disk.
fn mended(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if let Some(join) = node.downcast_ref::<SortMergeJoinExec>()
        && let Some(filter) = join.filter()
    {
        return Ok(Transformed::yes(with_nulls(join, filter)?));
    }
    divided_from_one(node)
}

/// Rows are divided by whoever has all of them. Where several parts are divided at once and go to disk, each waits for the other's file to end
/// (a reader of its pool of files reads one to its end, while writers take turns).
fn divided_from_one(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(dividing) = node.downcast_ref::<RepartitionExec>().filter(|node| !node.preserve_order()) else {
        return Ok(Transformed::no(node));
    };
    if dividing.input().output_partitioning().partition_count() == 1 {
        return Ok(Transformed::no(node));
    }
    let one = Arc::new(CoalescePartitionsExec::new(Arc::clone(dividing.input())));
    let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(Transformed::yes(node.replace_children(vec![one], anew)?))
}

/// The rows of outer joins that meet none are looked at by the join's condition, too, which would not have NULL where a column has none.
fn with_nulls(join: &SortMergeJoinExec, filter: &JoinFilter) -> Result<Arc<dyn ExecutionPlan>> {
    let fields = filter.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let filter = JoinFilter::new(Arc::clone(filter.expression()), filter.column_indices().to_vec(), schema);
    let (left, right, on) = (Arc::clone(join.left()), Arc::clone(join.right()), join.on().to_vec());
    let options = join.sort_options().to_vec();
    let join =
        SortMergeJoinExec::try_new(left, right, on, Some(filter), join.join_type(), options, join.null_equality())?;
    Ok(Arc::new(join))
}

/// How many hold rows, of what can send them to disk.
fn sharing(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let mut count = 1;
    let look = |node: &Arc<dyn ExecutionPlan>| {
        if node.is::<SortExec>() || node.is::<AggregateExec>() || node.is::<SortMergeJoinExec>() {
            count += node.output_partitioning().partition_count();
        }
        Ok(TreeNodeRecursion::Continue)
    };
    // The closure cannot fail.
    let _ = plan.apply(look);
    count
}

fn limit(pool: &Arc<dyn MemoryPool>) -> usize {
    match pool.memory_limit() {
        MemoryLimit::Finite(bytes) => bytes,
        _ => usize::MAX,
    }
}

/// The rows, until what was lent is passed.
fn within(rows: SendableRecordBatchStream, lent: Arc<Lent>) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let rows = stream::try_unfold((rows, lent), |(mut rows, lent)| async move {
        tokio::select! {
            biased;
            () = lent.passed.cancelled() => Err(lent.exhausted()),
            batch = rows.next() => Ok(batch.transpose()?.map(|batch| (batch, (rows, lent)))),
        }
    });
    with_schema(schema, rows)
}

/// The memory of one try out of that of its login.
#[derive(Debug)]
struct Lent {
    pool: Arc<dyn MemoryPool>,
    /// Beyond it, what can go to disk gets no more than an even share.
    at_will: usize,
    share: usize,
    held: AtomicUsize,
    /// Nothing is lent any more, and what is held is awaited.
    is_over: AtomicBool,
    is_free: Notify,
    /// More is held than there is by far.
    passed: CancellationToken,
}

impl Lent {
    fn of(pool: &Arc<dyn MemoryPool>, at_will: usize, share: usize) -> Lent {
        Lent {
            pool: Arc::clone(pool),
            at_will,
            share,
            held: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            is_free: Notify::new(),
            passed: CancellationToken::new(),
        }
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Lends nothing from now on, and waits for what was lent.
    async fn given_back(&self) {
        self.is_over.store(true, Ordering::Release);
        loop {
            let is_free = self.is_free.notified();
            if self.held() == 0 {
                return;
            }
            is_free.await;
        }
    }

    fn exhausted(&self) -> DataFusionError {
        let limit = human_readable_size(limit(&self.pool));
        resources_datafusion_err!("the rows of one key of a join take more than there is room for: {limit}")
    }
}

impl fmt::Display for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

impl MemoryPool for Lent {
    fn name(&self) -> &str {
        self.pool.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.pool.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.pool.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.held.fetch_add(additional, Ordering::AcqRel);
        self.pool.grow(reservation, additional);
        let limit = limit(&self.pool);
        if self.pool.reserved() > limit.saturating_add(limit / PART_BEYOND) {
            self.passed.cancel();
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.pool.shrink(reservation, shrink);
        if self.held.fetch_sub(shrink, Ordering::AcqRel) == shrink {
            self.is_free.notify_waiters();
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if self.is_over.load(Ordering::Acquire) {
            return resources_err!("the try is over");
        }
        let (consumer, held) = (reservation.consumer(), reservation.size());
        let can_wait = held > 0 && CAN_WAIT.iter().any(|name| consumer.name().starts_with(name));
        let is_much = held.saturating_add(additional) > self.share;
        if can_wait && is_much && self.pool.reserved().saturating_add(additional) > self.at_will {
            return resources_err!("{} has something to send to disk", consumer.name());
        }
        self.pool.try_grow(reservation, additional)?;
        self.held.fetch_add(additional, Ordering::AcqRel);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.pool.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.pool.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
    use datafusion::arrow::datatypes::{Int64Type, SchemaRef};
    use datafusion::catalog::TableProvider;
    use datafusion::catalog::streaming::StreamingTable;
    use datafusion::physical_plan::streaming::PartitionStream;
    use datafusion::prelude::SessionContext;
    use futures::poll;

    use super::*;
    use crate::query::memory::SharedPool;

    /// Batches of the numbers, and then an error.
    #[derive(Debug)]
    struct Fails(Vec<Vec<i64>>, fn() -> DataFusionError, SchemaRef);

    impl PartitionStream for Fails {
        fn schema(&self) -> &SchemaRef {
            &self.2
        }

        fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
            let schema = Arc::clone(&self.2);
            let batches = self.0.clone().into_iter().map(move |numbers| {
                let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
                Ok(RecordBatch::try_new(Arc::clone(&schema), vec![numbers])?)
            });
            with_schema(Arc::clone(&self.2), stream::iter(batches.chain([Err((self.1)())]).collect::<Vec<_>>()))
        }
    }

    fn exhausted() -> DataFusionError {
        resources_datafusion_err!("no room")
    }

    /// The numbers that come of a first try that fails after `batches`, and the error behind them. A second one would give 7.
    async fn told(batches: Vec<Vec<i64>>, error: fn() -> DataFusionError) -> Result<(Vec<i64>, Option<String>)> {
        let context = SessionContext::new();
        let frame = context.sql("SELECT CAST(7 AS BIGINT) AS x").await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let fails: Arc<dyn PartitionStream> = Arc::new(Fails(batches, error, Arc::clone(&schema)));
        let first = StreamingTable::try_new(schema, vec![fails])?.scan(&context.state(), None, &[], None).await?;
        let schema = first.schema();
        let plan = frame.logical_plan().clone();
        let spilling = Spilling { first: Mutex::new(Some(first)), plan, state: context.state() };
        let mut rows = attempted(spilling, schema).execute(0, context.task_ctx())?;
        let mut numbers = Vec::new();
        while let Some(batch) = rows.next().await {
            match batch {
                Ok(batch) => numbers.extend(batch.column(0).as_primitive::<Int64Type>().values()),
                Err(error) => return Ok((numbers, Some(error.to_string()))),
            }
        }
        Ok((numbers, None))
    }

    #[tokio::test]
    async fn there_is_a_second_try_only_before_the_first_row() -> Result<()> {
        assert_eq!(told(vec![], exhausted).await?, (vec![7], None));
        assert_eq!(told(vec![vec![], vec![]], exhausted).await?, (vec![7], None), "no row is none");
        let (numbers, error) = told(vec![vec![], vec![1, 2], vec![3]], exhausted).await?;
        assert_eq!(numbers, [1, 2, 3], "no row comes twice, and none of another try");
        assert!(error.is_some_and(|error| error.contains("no room")));
        let (numbers, error) = told(vec![], || DataFusionError::Execution("wrong".to_owned())).await?;
        assert!(numbers.is_empty() && error.is_some_and(|error| error.contains("wrong")), "it was not for memory");
        Ok(())
    }

    #[tokio::test]
    async fn what_was_lent_is_awaited() -> Result<()> {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(1000));
        let lent = Arc::new(Lent::of(&pool, 500, 50));
        let of_try: Arc<dyn MemoryPool> = Arc::clone(&lent) as _;
        let side = MemoryConsumer::new("side").register(&of_try);
        let task = MemoryConsumer::new("task").register(&of_try);
        side.try_grow(600)?;
        let sort = MemoryConsumer::new("ExternalSorter[0]").with_can_spill(true).register(&of_try);
        sort.try_grow(60)?;
        assert!(sort.try_grow(1).is_err(), "it has something to send to disk");
        let other = MemoryConsumer::new("ExternalSorter[1]").with_can_spill(true).register(&of_try);
        (0..5).try_for_each(|_| other.try_grow(10))?;
        assert!(other.try_grow(1).is_err(), "it has its share");
        drop(other);
        drop(sort);
        task.try_grow(100)?;
        let mut given_back = Box::pin(lent.given_back());
        assert!(poll!(&mut given_back).is_pending());
        assert!(task.try_grow(1).is_err(), "a try that is over gets no more");
        drop(side);
        assert!(poll!(&mut given_back).is_pending());
        drop(task);
        given_back.await;
        assert_eq!(pool.reserved(), 0);
        Ok(())
    }

    #[tokio::test]
    async fn what_asks_nobody_is_bounded_too() -> Result<()> {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(1000));
        let lent = Arc::new(Lent::of(&pool, 500, 50));
        let of_try: Arc<dyn MemoryPool> = Arc::clone(&lent) as _;
        let schema = Arc::new(datafusion::arrow::datatypes::Schema::empty());
        let mut rows = within(with_schema(schema, stream::pending()), lent);
        let group = MemoryConsumer::new("rows of one key").register(&of_try);
        group.grow(1250);
        assert!(poll!(rows.next()).is_pending());
        group.grow(1);
        let error = rows.next().await.transpose();
        assert!(matches!(error, Err(DataFusionError::ResourcesExhausted(_))), "{error:?}");
        Ok(())
    }
}
