//! Windows that are reckoned for all rows of a batch at once. The engine's own operators go through them one by one.
//!
//! Aggregates over whole partitions, such as `count(*) OVER (PARTITION BY call_id)`: with a few rows each they took half the time of
//! the reports on touchpoints, and the engine gathers all of its input first. Here a partition's rows go on as soon as it is over.
//! Sums so far are in [`running`](super::running).

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use datafusion::arrow::compute::{partition, take};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator, WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::window::{PlainAggregateWindowExpr, WindowExpr};
use datafusion::physical_expr::{Distribution, OrderingRequirements, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, stream};

use super::running;

/// Whose value does not depend on the order of rows.
const AGGREGATES: [&str; 5] = ["avg", "count", "max", "min", "sum"];

pub const RULE: &str = "whole_partitions";

/// Puts [`Reckoned`] in the place of the engine's operators wherever it can do the same.
#[derive(Debug)]
pub struct WholePartitions;

impl PhysicalOptimizerRule for WholePartitions {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let replace = |node: Arc<dyn ExecutionPlan>| {
            Ok(match Way::of(node.as_ref()) {
                Some(_) => Transformed::yes(Reckoned::of(node)),
                None => Transformed::no(node),
            })
        };
        Ok(plan.transform_up(replace)?.data)
    }

    fn name(&self) -> &str {
        RULE
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What is reckoned.
enum Way<'a> {
    Whole(&'a WindowAggExec),
    SoFar(&'a BoundedWindowAggExec),
}

impl Way<'_> {
    fn of(node: &dyn ExecutionPlan) -> Option<Way<'_>> {
        let whole = node.downcast_ref::<WindowAggExec>().filter(|window| is_whole(window)).map(Way::Whole);
        whole.or_else(|| node.downcast_ref::<BoundedWindowAggExec>().filter(|it| running::is_sums(it)).map(Way::SoFar))
    }
}

fn is_whole(window: &WindowAggExec) -> bool {
    window.window_expr().iter().all(|expr| {
        let is_divided = !expr.partition_by().is_empty();
        is_divided && has_whole_frame(expr.get_window_frame(), expr.order_by().is_empty()) && is_plain(expr.as_ref())
    })
}

fn has_whole_frame(frame: &WindowFrame, is_unordered: bool) -> bool {
    let is_edge = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::CurrentRow => frame.units == WindowFrameUnits::Range && is_unordered,
        bound => bound.is_unbounded(),
    };
    is_edge(&frame.start_bound) && is_edge(&frame.end_bound)
}

/// An aggregate over all rows of its partition, whose state can be kept for many partitions.
fn is_plain(expr: &dyn WindowExpr) -> bool {
    is_one_of(&AGGREGATES, expr)
}

/// A plain aggregate of such a name.
pub(super) fn is_one_of(names: &[&str], expr: &dyn WindowExpr) -> bool {
    let Some(plain) = expr.as_any().downcast_ref::<PlainAggregateWindowExpr>() else { return false };
    let aggregate = plain.get_aggregate_expr();
    names.contains(&aggregate.fun().name())
        && !aggregate.is_distinct()
        && aggregate.order_bys().is_empty()
        && aggregate.groups_accumulator_supported()
        // The engine tells of a FILTER in no other way. Where it says so in other words one day, its own operator does the work.
        && format!("{plain:?}").ends_with("filter: None }")
}

#[derive(Debug)]
struct Reckoned {
    /// What is done, by what is asked of it: its input, order and division are wanted here, too.
    window: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl Reckoned {
    fn of(window: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Reckoned { window, metrics: ExecutionPlanMetricsSet::new() })
    }
}

impl DisplayAs for Reckoned {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exprs = match Way::of(self.window.as_ref()) {
            Some(Way::Whole(window)) => window.window_expr(),
            Some(Way::SoFar(window)) => window.window_expr(),
            None => &[],
        };
        let names: Vec<_> = exprs.iter().map(|expr| expr.name()).collect();
        write!(f, "{}: [{}]", self.name(), names.join(", "))
    }
}

impl ExecutionPlan for Reckoned {
    fn name(&self) -> &str {
        match Way::of(self.window.as_ref()) {
            Some(Way::SoFar(_)) => "SumsSoFar",
            _ => "WholePartitions",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.window.input_distribution_requirements().into_per_child()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.window.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.window.maintains_input_order()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let window = Arc::clone(&self.window).replace_children(children, anew)?;
        // Over an input in another order it may be something that only the engine can do.
        Ok(if Way::of(window.as_ref()).is_some() { Reckoned::of(window) } else { window })
    }

    fn apply_expressions(
        &self,
        each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(each)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.window.statistics_from_inputs(inputs, args)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        match Way::of(self.window.as_ref()) {
            Some(Way::Whole(window)) => whole(window, partition, context, metrics),
            Some(Way::SoFar(window)) => running::rows(window, partition, context, metrics),
            None => self.window.execute(partition, context),
        }
    }
}

fn whole(
    window: &WindowAggExec,
    partition: usize,
    context: Arc<TaskContext>,
    metrics: BaselineMetrics,
) -> Result<SendableRecordBatchStream> {
    let input = window.input().execute(partition, context)?;
    let partitions = Partitions::new(window, metrics)?;
    let rows = stream::try_unfold((input, partitions, false), |(mut input, mut partitions, mut is_over)| async move {
        loop {
            if let Some(batch) = partitions.ready.pop_front() {
                return Ok(Some((batch, (input, partitions, is_over))));
            }
            if is_over {
                return Ok(None);
            }
            match input.next().await {
                Some(batch) => partitions.add(batch?)?,
                None => {
                    is_over = true;
                    partitions.close(partitions.open_partitions)?;
                }
            }
        }
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(window.schema(), rows)))
}

struct Aggregate {
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    /// One state for each open partition.
    states: Box<dyn GroupsAccumulator>,
}

/// Partitions that have begun and have not gone on.
struct Partitions {
    schema: SchemaRef,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    aggregates: Vec<Aggregate>,
    open_partitions: usize,
    /// Rows of open partitions, each with the partition it belongs to.
    open: VecDeque<(RecordBatch, Vec<usize>)>,
    /// The keys of the last row.
    last: Vec<ScalarValue>,
    ready: VecDeque<RecordBatch>,
    metrics: BaselineMetrics,
}

impl Partitions {
    fn new(window: &WindowAggExec, metrics: BaselineMetrics) -> Result<Partitions> {
        let plain =
            window.window_expr().iter().filter_map(|expr| expr.as_any().downcast_ref::<PlainAggregateWindowExpr>());
        let aggregates = plain.map(|expr| {
            let states = expr.get_aggregate_expr().create_groups_accumulator()?;
            Ok(Aggregate { arguments: expr.expressions(), states })
        });
        Ok(Partitions {
            schema: window.schema(),
            keys: window.window_expr()[0].partition_by().to_vec(),
            aggregates: aggregates.collect::<Result<_>>()?,
            open_partitions: 0,
            open: VecDeque::new(),
            last: Vec::new(),
            ready: VecDeque::new(),
            metrics,
        })
    }

    /// Takes rows in, in the order of the keys, and closes what is over.
    fn add(&mut self, batch: RecordBatch) -> Result<()> {
        let Some(last_row) = batch.num_rows().checked_sub(1) else { return Ok(()) };
        let time = self.metrics.elapsed_compute().clone();
        let _timer = time.timer();
        let keys = evaluate(&self.keys, &batch)?;
        let goes_on = self.open_partitions > 0 && values(&keys, 0)? == self.last;
        let first = self.open_partitions - usize::from(goes_on);
        let mut places = Vec::with_capacity(batch.num_rows());
        for (place, range) in partition(&keys)?.ranges().into_iter().enumerate() {
            places.resize(range.end, first + place);
            self.open_partitions = first + place + 1;
        }
        for Aggregate { arguments, states } in &mut self.aggregates {
            states.update_batch(&evaluate(arguments, &batch)?, &places, None, self.open_partitions)?;
        }
        self.last = values(&keys, last_row)?;
        self.open.push_back((batch, places));
        self.close(self.open_partitions - 1)
    }

    /// Sends the rows of the first `count` open partitions on.
    fn close(&mut self, count: usize) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let emit = if count == self.open_partitions { EmitTo::All } else { EmitTo::First(count) };
        let aggregated =
            self.aggregates.iter_mut().map(|aggregate| aggregate.states.evaluate(emit)).collect::<Result<Vec<_>>>()?;
        self.open_partitions -= count;
        while let Some((batch, mut places)) = self.open.pop_front() {
            let rows = places.partition_point(|place| *place < count);
            let of_rows = UInt64Array::from_iter_values(places[..rows].iter().map(|place| *place as u64));
            let mut columns = batch.slice(0, rows).columns().to_vec();
            for value in &aggregated {
                columns.push(take(value, &of_rows, None)?);
            }
            if rows > 0 {
                let ready = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
                self.metrics.record_output(ready.num_rows());
                self.ready.push_back(ready);
            }
            if rows < batch.num_rows() {
                // What goes on is the last partition, and it begins in the last batch: else nothing would be over.
                places.drain(..rows);
                places.iter_mut().for_each(|place| *place -= count);
                self.open.push_front((batch.slice(rows, batch.num_rows() - rows), places));
                break;
            }
        }
        Ok(())
    }
}

/// Of one row.
pub(super) fn values(columns: &[ArrayRef], row: usize) -> Result<Vec<ScalarValue>> {
    columns.iter().map(|column| ScalarValue::try_from_array(column, row)).collect()
}

pub(super) fn evaluate(exprs: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    exprs.iter().map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use datafusion::arrow::array::{Float64Array, Int64Array, StringArray};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::datasource::MemTable;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// Rows of partitions of many lengths, one of them longer than several batches, and one without a key.
    fn rows() -> Result<MemTable> {
        let mut batches = Vec::new();
        for batch in 0..40_i64 {
            let of = |row: i64| (batch * 7 + row) % 60;
            let keys =
                (0..25).map(|row| (of(row) != 3).then(|| format!("k{}", if of(row) < 20 { 0 } else { of(row) })));
            let keys: ArrayRef = Arc::new(keys.collect::<StringArray>());
            let days: ArrayRef = Arc::new((0..25).map(|row| (row % 3 > 0).then_some(row % 2)).collect::<Int64Array>());
            let values: ArrayRef =
                Arc::new((0..25).map(|row| (row % 5 > 0).then_some((batch * row) as f64)).collect::<Float64Array>());
            batches.push(RecordBatch::try_from_iter_with_nullable([
                ("key", keys, true),
                ("day", days, true),
                ("value", values, true),
            ])?);
        }
        MemTable::try_new(batches[0].schema(), vec![batches])
    }

    /// Small batches in two parts, with the rule or as the engine is without it.
    pub(in crate::query) fn engine(is_ours: bool) -> SessionContext {
        let config = SessionConfig::new().with_target_partitions(2).with_batch_size(8);
        let mut builder = SessionStateBuilder::new().with_default_features().with_config(config);
        if is_ours {
            builder = builder.with_physical_optimizer_rule(Arc::new(WholePartitions));
        }
        SessionContext::new_with_state(builder.build())
    }

    fn context(is_ours: bool) -> Result<SessionContext> {
        let context = engine(is_ours);
        context.register_table("t", Arc::new(rows()?))?;
        Ok(context)
    }

    async fn told(is_ours: bool, sql: &str) -> Result<(Vec<String>, bool)> {
        let frame = context(is_ours)?.sql(sql).await?;
        let plan = frame.clone().create_physical_plan().await?;
        let plan = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
        let table = pretty_format_batches(&frame.collect().await?)?.to_string();
        let mut rows: Vec<_> = table.lines().map(str::to_owned).collect();
        rows.sort();
        Ok((rows, plan.contains("WholePartitions")))
    }

    #[tokio::test]
    async fn whole_partitions_are_reckoned_as_the_engine_does_it() -> Result<()> {
        let values = "key, day, value, count(*) OVER w, sum(value) OVER w, min(value) OVER w, max(key) OVER w, avg(value) OVER w";
        for (sql, is_ours) in [
            (format!("SELECT {values} FROM t WINDOW w AS (PARTITION BY key)"), true),
            (format!("SELECT {values} FROM t WINDOW w AS (PARTITION BY day, key)"), true),
            (format!("SELECT {values} FROM t WHERE value < 0 WINDOW w AS (PARTITION BY key)"), true),
            ("SELECT key, count(*) FILTER (WHERE value > 9) OVER (PARTITION BY key) FROM t".to_owned(), false),
            ("SELECT key, count(DISTINCT day) OVER (PARTITION BY key) FROM t".to_owned(), false),
            ("SELECT key, sum(value) OVER (PARTITION BY key ORDER BY day, value) FROM t".to_owned(), false),
            ("SELECT key, sum(value) OVER () FROM t".to_owned(), false),
        ] {
            let (engine, _) = told(false, &sql).await?;
            assert_eq!(told(true, &sql).await?, (engine, is_ours), "{sql}");
        }
        Ok(())
    }
}
