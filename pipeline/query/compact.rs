//! Texts put together before they are sorted.
//!
//! What comes out of a join names the texts of all rows that were gathered for it, and a sort counts those once for each batch
//! that it keeps: a few thousand rows are taken for gigabytes then, and the sort runs out of its memory, or goes to disk for nothing. So are slices of
//! the long columns that aggregates give.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};
use futures::StreamExt;

use super::operator::{Operation, over};

pub const RULE: &str = "compact_before_sorts";
/// Of bytes that are kept for one that is used, and how many are never worth a copy.
const BYTES_KEPT_MAX: usize = 2;
const BYTES_SPARED: usize = 64 << 10;

/// Puts [`Compact`] below each sort of whole tables that has texts.
#[derive(Debug)]
pub struct CompactBeforeSorts;

impl PhysicalOptimizerRule for CompactBeforeSorts {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let put = |node: Arc<dyn ExecutionPlan>| match node.downcast_ref::<SortExec>() {
            Some(sort) if sort.fetch().is_none() && has_views(sort.input().as_ref()) => {
                let input = over(Arc::clone(sort.input()), Compact);
                let same = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
                Ok(Transformed::yes(Arc::clone(&node).replace_children(vec![input], same)?))
            }
            _ => Ok(Transformed::no(node)),
        };
        Ok(plan.transform_up(put)?.data)
    }

    fn name(&self) -> &str {
        RULE
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn has_views(plan: &dyn ExecutionPlan) -> bool {
    plan.schema().fields().iter().any(|field| *field.data_type() == DataType::Utf8View)
}

#[derive(Debug, Clone)]
struct Compact;

impl Operation for Compact {
    fn name(&self) -> &'static str {
        "Compact"
    }

    fn rows(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        part: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = input.execute(part, context)?.map(|batch| compacted(&batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(input.schema(), rows)))
    }
}

fn compacted(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(compact).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

fn compact(column: &ArrayRef) -> ArrayRef {
    let texts = column.as_string_view_opt();
    let used = match (texts, column.data_type().primitive_width()) {
        (Some(texts), _) => texts.total_buffer_bytes_used() + size_of::<u128>() * texts.len(),
        (None, Some(width)) => width * column.len(),
        (None, None) => return Arc::clone(column),
    };
    // What was set aside for more of them is counted as well.
    let kept = column.get_buffer_memory_size();
    if kept <= BYTES_SPARED || kept <= BYTES_KEPT_MAX * used {
        return Arc::clone(column);
    }
    if let Some(texts) = texts {
        return Arc::new(texts.gc());
    }
    let all = UInt64Array::from_iter_values(0..column.len() as u64);
    take(column, &all, None).unwrap_or_else(|_| Arc::clone(column))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringViewArray;

    use super::*;

    #[test]
    fn a_few_of_many_texts_are_kept_alone() -> Result<()> {
        let all: ArrayRef =
            Arc::new((0..20_000).map(|n| Some(format!("a text of some length {n}"))).collect::<StringViewArray>());
        let few = take(&all, &UInt64Array::from_iter_values((0..100).map(|n| n * 150)), None)?;
        let batch = RecordBatch::try_from_iter([
            ("few", few),
            ("number", Arc::new(UInt64Array::from_iter_values(0..100)) as ArrayRef),
        ])?;
        let small = compacted(&batch)?;
        assert_eq!(small, batch);
        assert!(small.get_array_memory_size() < 20_000 && batch.get_array_memory_size() > 400_000);
        let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(0..100_000));
        let slice = RecordBatch::try_from_iter([("number", numbers.slice(50_000, 100))])?;
        let small = compacted(&slice)?;
        assert_eq!(small, slice);
        assert!(small.get_array_memory_size() < 2_000 && slice.get_array_memory_size() > 400_000);
        Ok(())
    }
}
