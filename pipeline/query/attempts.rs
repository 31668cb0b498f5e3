//! A statement's rows from one of several attempts, as a plan: which of them is known only once it runs. Nobody has seen a row of an
//! attempt that failed before its first, so there can be another one.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

pub(super) trait Attempts: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    /// What `EXPLAIN` shows behind the name.
    fn detail(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    /// The rows of the attempt that answers.
    fn answer(self: Arc<Self>, context: Arc<TaskContext>) -> BoxFuture<'static, Result<SendableRecordBatchStream>>;
}

struct Attempted<A> {
    attempts: Arc<A>,
    properties: Arc<PlanProperties>,
}

/// A plan that has the rows in one part.
pub(super) fn attempted<A: Attempts>(attempts: A, schema: SchemaRef) -> Arc<dyn ExecutionPlan> {
    let properties = Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ));
    Arc::new(Attempted { attempts: Arc::new(attempts), properties })
}

/// Runs until there is a row, or there is none. What fails before is dropped with its plan.
pub(super) async fn begin(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let mut rows = plan.execute(0, context)?;
    let first: Option<RecordBatch> = loop {
        match rows.next().await.transpose()? {
            Some(batch) if batch.num_rows() == 0 => {}
            other => break other,
        }
    };
    let schema = rows.schema();
    Ok(match first {
        Some(first) => with_schema(schema, stream::iter([Ok(first)]).chain(rows)),
        None => with_schema(schema, stream::empty()),
    })
}

pub(super) fn with_schema(
    schema: SchemaRef,
    rows: impl futures::Stream<Item = Result<RecordBatch>> + Send + 'static,
) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

impl<A: Attempts> fmt::Debug for Attempted<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.attempts.name()).finish_non_exhaustive()
    }
}

impl<A: Attempts> DisplayAs for Attempted<A> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.attempts.name())?;
        self.attempts.detail(f)
    }
}

impl<A: Attempts> ExecutionPlan for Attempted<A> {
    fn name(&self) -> &str {
        self.attempts.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    /// None: which attempt runs is not known yet.
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = stream::once(Arc::clone(&self.attempts).answer(context)).try_flatten();
        Ok(with_schema(self.schema(), rows))
    }
}
