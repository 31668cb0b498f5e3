//! `ORDER BY started_at DESC LIMIT 100` behind the barrier.
//!
//! While the engine looks for the first rows of an order, it knows better and better what can no longer be among them, and tells the
//! readers of files, which pass over whole files and decode hardly a row of the others. A barrier is a leaf to it, and is not told.
//! So it is told here, of plain columns that are shown as they are stored: a comparison with a value that was shown can neither
//! fail nor tell anything of other accounts' rows.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::filter_pushdown::{ChildFilterDescription, FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};

use super::access::BarrierExec;

pub const RULE: &str = "order_behind_barrier";

/// Hands down behind barriers what sorts with a limit get to know.
#[derive(Debug)]
pub struct OrderBehindBarrier;

impl PhysicalOptimizerRule for OrderBehindBarrier {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !config.optimizer.enable_topk_dynamic_filter_pushdown {
            return Ok(plan);
        }
        let tell = |node: Arc<dyn ExecutionPlan>| {
            let Some(sort) = node.downcast_ref::<SortExec>().filter(|sort| sort.fetch().is_some()) else {
                return Ok(Transformed::no(node));
            };
            // What is reckoned might fail, on a row of somebody else.
            let is_plain = sort.expr().iter().all(|by| by.expr.downcast_ref::<Column>().is_some());
            let Some(known) = node.dynamic_expressions_produced().pop().filter(|_| is_plain) else {
                return Ok(Transformed::no(node));
            };
            let known = Known { filter: known, descending: sort.expr().first().options.descending };
            Ok(match told(sort.input(), known, config)? {
                Some(input) => Transformed::yes(with_child(node, input)?),
                None => Transformed::no(node),
            })
        };
        Ok(plan.transform_up(tell)?.data)
    }

    fn name(&self) -> &str {
        RULE
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_child(node: Arc<dyn ExecutionPlan>, child: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    node.replace_children(vec![child], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
}

/// What a sort gets to know.
struct Known {
    /// Of the rows that can still be among the first.
    filter: Arc<dyn PhysicalExpr>,
    descending: bool,
}

/// The same plan with a barrier that knows what can no longer be wanted. Nothing where there is none, or something stands
/// between that could have a say in which rows there are.
fn told(plan: &Arc<dyn ExecutionPlan>, known: Known, config: &ConfigOptions) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(barrier) = plan.downcast_ref::<BarrierExec>() {
        return Ok(match columns(&known.filter).into_iter().all(|column| barrier.shows_as_stored(column)) {
            true => Some(Arc::new(barrier.with_stored(behind(Arc::clone(barrier.stored()), known, config)?))),
            false => None,
        });
    }
    // A limit below counts rows: none of them may be taken out before it.
    if plan.fetch().is_some() {
        return Ok(None);
    }
    let Known { filter, descending } = known;
    let filter = if let Some(node) = plan.downcast_ref::<FilterExec>() {
        match node.projection() {
            Some(places) => renamed(filter, node.input(), |at| places.get(at).copied())?,
            None => Some(filter),
        }
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let of = |at: usize| projection.expr().get(at)?.expr.downcast_ref::<Column>().map(Column::index);
        renamed(filter, projection.input(), of)?
    } else if plan.downcast_ref::<RepartitionExec>().is_some() || plan.downcast_ref::<CooperativeExec>().is_some() {
        Some(filter)
    } else {
        None
    };
    let children = plan.children();
    let (Some(filter), [input]) = (filter, children.as_slice()) else { return Ok(None) };
    told(input, Known { filter, descending }, config)?.map(|input| with_child(Arc::clone(plan), input)).transpose()
}

fn columns(expr: &Arc<dyn PhysicalExpr>) -> Vec<usize> {
    let mut found = Vec::new();
    let _ = expr.apply(|expr| {
        found.extend(expr.downcast_ref::<Column>().map(Column::index));
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// The same of `input`, whose column a column is; nothing where one of them is none.
fn renamed(
    known: Arc<dyn PhysicalExpr>,
    input: &Arc<dyn ExecutionPlan>,
    of: impl Fn(usize) -> Option<usize>,
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    if columns(&known).into_iter().any(|column| of(column).is_none()) {
        return Ok(None);
    }
    let schema = input.schema();
    let renamed = known.transform_up(|expr| {
        let column = expr.downcast_ref::<Column>().and_then(|column| of(column.index()));
        Ok(match column {
            Some(at) => Transformed::yes(Arc::new(Column::new(schema.field(at).name(), at)) as _),
            None => Transformed::no(expr),
        })
    });
    Ok(Some(renamed?.data))
}

/// `stored`, told by the engine's own way of telling.
fn behind(
    stored: Arc<dyn ExecutionPlan>,
    Known { filter, descending }: Known,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let teller = Arc::new(Teller { input: Arc::clone(&stored), known: filter });
    let plan = FilterPushdown::new_post_optimization().optimize(teller, config)?;
    match plan.children().pop() {
        // What did not listen stays as it was.
        Some(told) if !Arc::ptr_eq(told, &stored) => by_days(Arc::clone(told), descending),
        _ => Ok(stored),
    }
}

/// Files in the order of their days, the next for each part in turn: what is sorted is mostly a time, so that all others can be passed over
/// once the first are read. It changes nothing of the answer.
fn by_days(stored: Arc<dyn ExecutionPlan>, descending: bool) -> Result<Arc<dyn ExecutionPlan>> {
    let sort = |node: Arc<dyn ExecutionPlan>| {
        let source = node.downcast_ref::<DataSourceExec>();
        let Some(files) = source.and_then(|source| source.data_source().downcast_ref::<FileScanConfig>()) else {
            return Ok(Transformed::no(node));
        };
        let mut sorted: Vec<PartitionedFile> = files.file_groups.iter().flat_map(FileGroup::iter).cloned().collect();
        sorted.sort_by(|a, b| a.object_meta.location.cmp(&b.object_meta.location));
        if descending {
            sorted.reverse();
        }
        let mut groups = vec![Vec::new(); files.file_groups.len().min(sorted.len())];
        if groups.len() != files.file_groups.len() {
            return Ok(Transformed::no(node));
        }
        let parts = groups.len();
        for (at, file) in sorted.into_iter().enumerate() {
            groups[at % parts].push(file);
        }
        let groups = groups.into_iter().map(FileGroup::new).collect();
        let files = FileScanConfigBuilder::from(files.clone()).with_file_groups(groups).build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(files) as _))
    };
    Ok(stored.transform_up(sort)?.data)
}

/// Stands in a plan only while it is told.
#[derive(Debug)]
struct Teller {
    input: Arc<dyn ExecutionPlan>,
    known: Arc<dyn PhysicalExpr>,
}

impl DisplayAs for Teller {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

impl ExecutionPlan for Teller {
    fn name(&self) -> &str {
        "Teller"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Teller { input, known: Arc::clone(&self.known) }))
    }

    fn apply_expressions(
        &self,
        each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        each(&self.known)
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parents: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let child = ChildFilterDescription::from_child(&parents, &self.input)?;
        Ok(FilterDescription::new().with_child(child.with_self_filter(Arc::clone(&self.known))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
