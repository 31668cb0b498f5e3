//! Sums so far: `sum(x) OVER (PARTITION BY … ORDER BY … ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)` of whole numbers, a batch at
//! a time. The engine's own operator makes a value of each row, which took most of the time of the report on the use of pools.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::compute::partition;
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::BoundedWindowAggExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};
use futures::StreamExt;

use super::partitions::{evaluate, is_one_of, values};
use super::sums;

/// Whether it is nothing else, over rows of which each partition's stand together.
pub(super) fn is_sums(window: &BoundedWindowAggExec) -> bool {
    let schema = window.input().schema();
    let is_sum = |expr: &dyn WindowExpr| {
        let frame = expr.get_window_frame();
        let arguments = expr.expressions();
        frame.units == WindowFrameUnits::Rows
            && frame.start_bound.is_unbounded()
            && matches!(frame.end_bound, WindowFrameBound::CurrentRow)
            && is_one_of(&["sum"], expr)
            && arguments.len() == 1
            && arguments[0].data_type(&schema).is_ok_and(|kind| kind == DataType::Int64)
    };
    window.input_order_mode == InputOrderMode::Sorted && window.window_expr().iter().all(|expr| is_sum(expr.as_ref()))
}

pub(super) fn rows(
    window: &BoundedWindowAggExec,
    part: usize,
    context: Arc<TaskContext>,
    metrics: BaselineMetrics,
) -> Result<SendableRecordBatchStream> {
    let exprs = window.window_expr();
    let mut sums = Sums {
        schema: window.schema(),
        keys: exprs[0].partition_by().to_vec(),
        arguments: exprs.iter().flat_map(|expr| expr.expressions()).collect(),
        last: None,
        so_far: vec![None; exprs.len()],
    };
    let rows = window.input().execute(part, context)?.map(move |batch| {
        let time = metrics.elapsed_compute().clone();
        let _timer = time.timer();
        let batch = sums.add(&batch?)?;
        metrics.record_output(batch.num_rows());
        Ok(batch)
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(window.schema(), rows)))
}

struct Sums {
    schema: SchemaRef,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    /// The keys of the last row.
    last: Option<Vec<ScalarValue>>,
    /// Of its partition. As long as there was nothing to add, a sum is NULL.
    so_far: Vec<Option<i64>>,
}

impl Sums {
    /// The rows with their sums, in the order of the partitions.
    fn add(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut columns = batch.columns().to_vec();
        let keys = evaluate(&self.keys, batch)?;
        // Where each partition ends.
        let ends: Vec<usize> = match (rows, keys.is_empty()) {
            (0, _) => Vec::new(),
            (_, true) => vec![rows],
            _ => partition(&keys)?.ranges().into_iter().map(|range| range.end).collect(),
        };
        let goes_on = rows > 0 && self.last.as_deref() == Some(&values(&keys, 0)?);
        for (so_far, argument) in self.so_far.iter_mut().zip(evaluate(&self.arguments, batch)?) {
            if !goes_on {
                *so_far = None;
            }
            columns.push(sums_so_far(so_far, argument.as_primitive::<Int64Type>(), &ends)?);
        }
        if let Some(last) = rows.checked_sub(1) {
            self.last = Some(values(&keys, last)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

fn sums_so_far(so_far: &mut Option<i64>, of: &Int64Array, ends: &[usize]) -> Result<ArrayRef> {
    let mut sums = Vec::with_capacity(of.len());
    for &end in ends {
        if !sums.is_empty() {
            *so_far = None;
        }
        for row in sums.len()..end {
            if of.is_valid(row) {
                *so_far = Some(so_far.unwrap_or(0).checked_add(of.value(row)).ok_or_else(sums::beyond)?);
            }
            sums.push(*so_far);
        }
    }
    Ok(Arc::new(Int64Array::from(sums)))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::physical_plan::displayable;

    use super::*;
    use crate::query::partitions::tests::engine;

    /// Its rows in their order, and whether it was done here.
    async fn told(is_ours: bool, sql: &str) -> Result<(String, bool)> {
        let context = engine(is_ours);
        sums::register(&context);
        let frame = context.sql(sql).await?;
        let plan = displayable(frame.clone().create_physical_plan().await?.as_ref()).indent(false).to_string();
        Ok((pretty_format_batches(&frame.collect().await?)?.to_string(), plan.contains("SumsSoFar")))
    }

    #[tokio::test]
    async fn sums_so_far_are_those_of_the_engine() -> Result<()> {
        let t = "(SELECT value % 7 AS k, value AS at, nullif(value % 5, 0) * 3 - 4 AS x, nullif(value % 7, 3) AS n \
                 FROM generate_series(1, 300)) t";
        let frame = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW";
        for (columns, is_ours) in [
            (format!("sum(x) OVER (PARTITION BY k ORDER BY at {frame})"), true),
            (
                format!(
                    "sum(x) OVER (PARTITION BY n ORDER BY at DESC {frame}), sum(x + 1) OVER (PARTITION BY n ORDER BY at DESC {frame})"
                ),
                true,
            ),
            (format!("sum(x) OVER (PARTITION BY k, n ORDER BY at {frame})"), true),
            (format!("sum(x) OVER (ORDER BY at {frame})"), true),
            (format!("sum(nullif(x, x)) OVER (PARTITION BY k ORDER BY at {frame})"), true),
            (format!("sum(x * 1.0) OVER (PARTITION BY k ORDER BY at {frame})"), false),
            (format!("sum(x) FILTER (WHERE x > 0) OVER (PARTITION BY k ORDER BY at {frame})"), false),
            (
                format!(
                    "sum(x) OVER (PARTITION BY k ORDER BY at {frame}), row_number() OVER (PARTITION BY k ORDER BY at)"
                ),
                false,
            ),
            ("sum(x) OVER (PARTITION BY k ORDER BY at ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)".to_owned(), false),
            ("sum(x) OVER (PARTITION BY k ORDER BY at)".to_owned(), false),
        ] {
            let sql = format!("SELECT at, {columns} FROM {t} ORDER BY at");
            let (ours, done) = told(true, &sql).await?;
            assert_eq!(ours, told(false, &sql).await?.0, "{sql}");
            assert_eq!(done, is_ours, "{sql}");
        }
        let beyond =
            format!("SELECT sum(9223372036854775807) OVER (ORDER BY value {frame}) FROM generate_series(1, 2)");
        assert!(told(true, &beyond).await.is_err_and(|error| error.to_string().contains("64 bits")));
        Ok(())
    }
}
