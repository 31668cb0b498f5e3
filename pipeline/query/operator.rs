//! Operators with one input: what they do with its rows. What an [`ExecutionPlan`] tells besides is the same for all of them.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};

/// What an operator does.
pub(super) trait Operation: fmt::Debug + Clone + Send + Sync + 'static {
    /// All rows come in one part and in no order; otherwise parts and order are the input's.
    const IN_ONE_PART: bool = false;

    fn name(&self) -> &'static str;

    /// What `EXPLAIN` shows behind the name.
    fn detail(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    /// The rows of one part.
    fn rows(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        part: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream>;
}

#[derive(Debug)]
struct Operator<O> {
    input: Arc<dyn ExecutionPlan>,
    operation: O,
    properties: Arc<PlanProperties>,
}

/// The operation on a plan's rows, as a plan.
pub(super) fn over<O: Operation>(input: Arc<dyn ExecutionPlan>, operation: O) -> Arc<dyn ExecutionPlan> {
    let properties = match O::IN_ONE_PART {
        true => Arc::new(PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        )),
        false => Arc::clone(input.properties()),
    };
    Arc::new(Operator { input, operation, properties })
}

impl<O: Operation> DisplayAs for Operator<O> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation.name())?;
        self.operation.detail(f)
    }
}

impl<O: Operation> ExecutionPlan for Operator<O> {
    fn name(&self) -> &str {
        self.operation.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![!O::IN_ONE_PART]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(over(input, self.operation.clone()))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, part: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.operation.rows(&self.input, part, context)
    }
}
