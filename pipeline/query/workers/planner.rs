//! What is worth sending to workers, and how it is divided.

use std::any::Any;
use std::sync::Arc;

use datafusion::catalog::{Session, TableProvider};
use datafusion::common::display::{PlanType, StringifiedPlan};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err, not_impl_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileGroupPartitioner, FileScanConfig};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::source_as_provider;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{ExplainFormat, LogicalPlan};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::explain::ExplainExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedCodec, DistributedExec, DistributedExt,
    DistributedLeafExec, NetworkBroadcastExec, NetworkCoalesceExec, NetworkShuffleExec, ScaleUpLeafNodeEvent,
    ScaleUpLeafNodeEventResponse, SessionStateBuilderExt,
};
use datafusion_proto::bytes::physical_plan_to_bytes_with_extension_codec;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::LAKE;
use super::again::again;
use super::crew::{Crew, These};
use super::pinned::{Pinned, Plainly};
use crate::query::access::{Barrier, BarrierExec};

/// So many connections to each worker a statement has about, one for each edge between its stages.
const CONNECTIONS: usize = 8;
/// One machine does not divide anything: it would do what the coordinator, which waits for it, can do as well.
pub(super) const MACHINES_MIN: usize = 2;
const AHEAD_BYTES_MIN: usize = 256 << 10;
const AHEAD_BYTES_MAX: usize = 16 << 20;

/// A plan of which workers do a part, and what it runs with.
pub(super) struct Shared {
    pub plan: Arc<dyn ExecutionPlan>,
    pub context: Arc<TaskContext>,
    /// Workers that it may use.
    pub machines: usize,
}

/// Plans a statement: shared with workers where enough is read, and otherwise as without them.
pub(in crate::query) async fn plan(
    crew: &Arc<Crew>,
    plan: &LogicalPlan,
    state: &SessionState,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let LogicalPlan::Explain(explain) = plan {
        let told = alone(plan, state).await?;
        let shared = match explain.explain_format {
            ExplainFormat::Indent | ExplainFormat::Tree => shared(crew, &explain.plan, state).await,
            _ => None,
        };
        return Ok(match shared {
            Some(shared) => with_machines(told, shared.machines),
            None => told,
        });
    }
    match shared(crew, plan, state).await {
        Some(first) => Ok(again(Arc::clone(crew), plan.clone(), state.clone(), first)),
        None => alone(plan, state).await,
    }
}

/// As on one machine.
pub(super) async fn alone(plan: &LogicalPlan, state: &SessionState) -> Result<Arc<dyn ExecutionPlan>> {
    DefaultPhysicalPlanner::default().create_physical_plan(plan, state).await
}

/// Nothing where it is not worth it, cannot be done, or too few workers answer.
pub(super) async fn shared(crew: &Arc<Crew>, plan: &LogicalPlan, state: &SessionState) -> Option<Shared> {
    // What EXPLAIN ANALYZE measures is this machine.
    if matches!(plan, LogicalPlan::Analyze(_)) || bytes_read(plan) <= crew.share {
        return None;
    }
    let up = crew.up();
    let machines = up.len();
    if machines < MACHINES_MIN {
        return None;
    }
    match divide(crew, up, plan, state).await {
        Ok(Some((plan, context))) => Some(Shared { plan, context, machines }),
        Ok(None) => None,
        Err(error) => {
            tracing::debug!(%error, "statement cannot be shared with workers");
            None
        }
    }
}

/// Bytes of the largest table that is read, before any of its files are passed over.
fn bytes_read(plan: &LogicalPlan) -> u64 {
    let mut most = 0;
    let look = |node: &LogicalPlan| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
        {
            most = most.max(bytes_of(provider.as_ref()));
        }
        Ok(TreeNodeRecursion::Continue)
    };
    // The closure cannot fail.
    let _ = plan.apply_with_subqueries(look);
    most
}

fn bytes_of(provider: &dyn TableProvider) -> u64 {
    let provider: &dyn Any = provider;
    if let Some(barrier) = provider.downcast_ref::<Barrier>() {
        return bytes_of(barrier.stored());
    }
    provider.downcast_ref::<Pinned>().map_or(0, Pinned::bytes)
}

type Divided = Option<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)>;

async fn divide(
    crew: &Arc<Crew>,
    up: Vec<url::Url>,
    plan: &LogicalPlan,
    state: &SessionState,
) -> Result<Divided, DataFusionError> {
    let (share, machines) = (crew.share, up.len());
    let mut config = state.config().clone();
    // A side of a join that is collected whole is one machine's work: every join is divided by its keys.
    config.options_mut().optimizer.hash_join_single_partition_threshold = 0;
    config.options_mut().optimizer.hash_join_single_partition_threshold_rows = 0;
    let config = config
        .with_extension(Arc::new(Plainly))
        .with_distributed_worker_resolver(These(up))
        .with_distributed_max_tasks_per_stage(machines)?
        .with_distributed_worker_connection_buffer_budget_bytes(ahead(state, machines))?
        .with_distributed_channel_resolver(crew.peers.clone())
        .with_distributed_user_codec(crew.codec.clone())
        .with_distributed_desired_task_count_handler(move |event: DesiredTaskCountEvent<'_>| tasks(&event, share))
        .with_distributed_scale_up_leaf_node_handler(|event: ScaleUpLeafNodeEvent<'_>| spread(&event))
        .with_distributed_metrics_collection(false)?
        // A broadcast holds all of one side of a join in memory, whatever the bounds are.
        .with_distributed_broadcast_joins(false)?;
    let state = SessionStateBuilder::new_from_existing(state.clone())
        .with_config(config)
        .with_query_planner(Arc::new(Alone))
        .with_distributed_planner()
        .build();
    let divided = state.query_planner().create_physical_plan(plan, &state).await?;
    Ok(divided.is::<DistributedExec>().then(|| (divided, state.task_ctx())))
}

/// Bytes of one connection that are fetched before they are wanted: the engine counts them to the login's memory, and is not
/// stopped by it.
fn ahead(state: &SessionState, machines: usize) -> usize {
    match state.runtime_env().memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) => (bytes / (CONNECTIONS * machines)).clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX),
        _ => AHEAD_BYTES_MAX,
    }
}

/// Plans for one machine, and looks whether others could do it.
#[derive(Debug)]
struct Alone;

impl QueryPlanner for Alone {
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
        divisible(plan, session)
    }
}

fn divisible<'f>(plan: &'f LogicalPlan, session: &'f dyn Session) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>> {
    async move {
        let Some(state) = session.as_any().downcast_ref::<SessionState>() else {
            return internal_err!("a session of another kind");
        };
        let plan = alone(plan, state).await?;
        look_over(&plan)?;
        // A part that cannot be written would be waited for in vain.
        let codec = DistributedCodec::new_combined_with_user(state.config());
        physical_plan_to_bytes_with_extension_codec(Arc::clone(&plan), &codec)?;
        Ok(plan)
    }
    .boxed()
}

/// Whether a plan does nothing but read the lake: both sides look, for a worker trusts nobody.
pub(super) fn look_over(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    plan.apply(|node| match node.children().is_empty() && !may_read(node) || node.is::<DataSinkExec>() {
        true => not_impl_err!("{} is no part of a plan that a worker takes", node.name()),
        false => Ok(TreeNodeRecursion::Continue),
    })?;
    Ok(())
}

fn may_read(leaf: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(barrier) = leaf.downcast_ref::<BarrierExec>() {
        return barrier.stored().children().is_empty() && may_read(barrier.stored());
    }
    if let Some(source) = leaf.downcast_ref::<DataSourceExec>() {
        return source.data_source().downcast_ref::<MemorySourceConfig>().is_some() || files(leaf).is_some();
    }
    leaf.is::<EmptyExec>()
        || leaf.is::<PlaceholderRowExec>()
        || leaf.is::<NetworkShuffleExec>()
        || leaf.is::<NetworkCoalesceExec>()
        || leaf.is::<NetworkBroadcastExec>()
}

/// A scan of Parquet files of the lake.
fn files(scan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    let config = scan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()?;
    let is_lake = config.object_store_url.as_str().trim_end_matches('/') == LAKE;
    (is_lake && config.file_source().file_type() == "parquet").then_some(config)
}

/// How many machines a barrier's scan deserves.
fn tasks(event: &DesiredTaskCountEvent<'_>, share: u64) -> Option<Result<DesiredTaskCountEventResponse>> {
    let files = files(event.plan.downcast_ref::<BarrierExec>()?.stored())?;
    let bytes: u64 = files.file_groups.iter().flat_map(|group| group.iter()).map(|file| file.effective_size()).sum();
    let tasks = usize::try_from(bytes.div_ceil(share)).unwrap_or(usize::MAX);
    Some(Ok(DesiredTaskCountEventResponse::desired(tasks.max(1))))
}

/// Each machine gets files of its own behind the same barrier.
fn spread(event: &ScaleUpLeafNodeEvent<'_>) -> Option<Result<ScaleUpLeafNodeEventResponse>> {
    let barrier = event.plan.downcast_ref::<BarrierExec>()?;
    let config = files(barrier.stored())?;
    let each = event.plan.output_partitioning().partition_count().max(1);
    let mut groups = split(&config.file_groups, each * event.task_count).into_iter();
    let mut variants: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
    for _ in 0..event.task_count {
        let mut part = config.clone();
        part.file_groups = (0..each).map(|_| groups.next().unwrap_or_else(|| FileGroup::new(Vec::new()))).collect();
        variants.push(Arc::new(barrier.with_stored(DataSourceExec::from_data_source(part))));
    }
    let leaf = DistributedLeafExec::try_new(Arc::clone(event.plan), variants);
    Some(leaf.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
}

/// The same files in no more than `count` groups of about the same size; a file may be read in parts.
pub(super) fn split(groups: &[FileGroup], count: usize) -> Vec<FileGroup> {
    let even = FileGroupPartitioner::new().with_target_partitions(count).with_repartition_file_min_size(0);
    even.repartition_file_groups(groups).unwrap_or_else(|| groups.to_vec())
}

/// What EXPLAIN says besides the plan: nothing of how much is read, which is not the asker's to know.
fn with_machines(told: Arc<dyn ExecutionPlan>, machines: usize) -> Arc<dyn ExecutionPlan> {
    let Some(explain) = told.downcast_ref::<ExplainExec>() else { return told };
    let mut plans = explain.stringified_plans().to_vec();
    plans.push(StringifiedPlan::new(PlanType::FinalPhysicalPlan, format!("Workers: machines={machines}\n")));
    Arc::new(ExplainExec::new(explain.schema(), plans, explain.verbose()))
}
