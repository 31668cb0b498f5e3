//! A part of a statement gives all of its rows, or an error; it is worked on where queries are ([`crate::query::desk`]).
//!
//! Where the engine panics (a nested loop that runs out of memory does in DataFusion 55.2), datafusion-distributed 4.0 takes the
//! end of the task for the end of its rows, and the answer would be short of some without a word.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};
use futures::StreamExt;

use crate::query::QueryError;
use crate::query::desk::Rows;
use crate::query::operator::{Operation, over};

#[derive(Debug, Clone)]
struct Whole;

/// Has a plan worked on where queries are, and turns panics of it into errors. A repartition stays on top, where whoever sent the
/// plan looks for it; it tells of panics itself.
pub(super) fn whole(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    match plan.downcast_ref::<RepartitionExec>() {
        Some(repartition) => {
            let input = over(Arc::clone(repartition.input()), Whole);
            Arc::clone(&plan)
                .replace_children(vec![input], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
        }
        None => Ok(over(plan, Whole)),
    }
}

impl Operation for Whole {
    fn name(&self) -> &'static str {
        "Whole"
    }

    fn rows(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        part: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = Rows::of(input, part, context, None).map(|rows| match rows {
            Err(DataFusionError::External(inner)) if inner.is::<QueryError>() => {
                exec_err!("the engine failed on a worker")
            }
            rows => rows,
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(input.schema(), rows)))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::RecordBatch;
    use datafusion::arrow::datatypes::{Schema, SchemaRef};
    use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
    use futures::TryStreamExt;

    use super::*;

    #[derive(Debug)]
    struct Panicking(SchemaRef);

    impl PartitionStream for Panicking {
        fn schema(&self) -> &SchemaRef {
            &self.0
        }

        fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
            let first = RecordBatch::new_empty(Arc::clone(&self.0));
            let rows = futures::stream::iter([0, 1]).map(move |at| match at {
                0 => Ok(first.clone()),
                _ => panic!("as the engine does"),
            });
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.0), rows))
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_the_end() {
        let schema = Arc::new(Schema::empty());
        let panicking = Arc::new(Panicking(Arc::clone(&schema)));
        let plan = StreamingTableExec::try_new(schema, vec![panicking], None, [], false, None).expect("a plan");
        let plan = whole(Arc::new(plan)).expect("a plan");
        let rows = plan.execute(0, Arc::default()).expect("it runs");
        let error = rows.try_collect::<Vec<_>>().await.expect_err("it panics");
        assert!(error.to_string().contains("failed on a worker"), "{error}");
    }
}
