//! Constants beside rows. An operator writes a constant out for each row of a batch, so that a text of 64 KiB becomes half a gigabyte: where
//! there is much of them, it is given fewer rows at once. And the calls of bounded functions are counted, which share what a statement may make.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::expressions::{InListExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

use super::allowance::Allowance;
use super::{Bounded, bytes_of};
use crate::query::yields::in_slices;

pub const RULE: &str = "constants_beside_rows";
/// What the constants of an operator may become in one batch.
const BATCH_BYTES_MAX: usize = 32 << 20;
/// About what an expression makes of a row besides.
const COLUMN_BYTES: usize = 16;

#[derive(Debug)]
pub struct ConstantsBesideRows;

impl PhysicalOptimizerRule for ConstantsBesideRows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(allowance) = config.extensions.get::<Allowance>() {
            allowance.end_planning(calls(&plan)?);
        }
        let usual = config.execution.batch_size;
        Ok(plan.transform_up(|node| sliced(node, usual.into()))?.data)
    }

    fn name(&self) -> &str {
        RULE
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Calls of bounded functions in a plan whose results are there at the same time.
fn calls(plan: &Arc<dyn ExecutionPlan>) -> Result<usize> {
    let mut calls = 0;
    plan.apply(|node| {
        node.apply_expressions(&mut |expr: &Arc<dyn PhysicalExpr>| {
            calls += calls_of(expr, false);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(calls)
}

/// What only puts its arguments together is as long as they are: a chain of `||` counts once. `within`: such a call is around it.
fn calls_of(expr: &Arc<dyn PhysicalExpr>, within: bool) -> usize {
    let call = expr.downcast_ref::<ScalarFunctionExpr>().and_then(|call| call.fun().inner().downcast_ref::<Bounded>());
    let joins = call.is_some_and(Bounded::joins);
    let own = usize::from(call.is_some() && !(joins && within));
    own + expr.children().into_iter().map(|part| calls_of(part, joins || within)).sum::<usize>()
}

/// The operator before slices of its input, if it would make too much of batches of the `usual` size.
fn sliced(node: Arc<dyn ExecutionPlan>, usual: usize) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let writes_out = node.is::<ProjectionExec>() || node.is::<FilterExec>() || node.is::<AggregateExec>();
    let input = node.children().into_iter().next().map(Arc::clone);
    let Some(input) = input.filter(|_| writes_out) else { return Ok(Transformed::no(node)) };
    let mut bytes = 0;
    node.apply_expressions(&mut |expr: &Arc<dyn PhysicalExpr>| {
        bytes += COLUMN_BYTES + constants(expr);
        Ok(TreeNodeRecursion::Continue)
    })?;
    let rows = (BATCH_BYTES_MAX / bytes.max(1)).max(1);
    if rows >= usual {
        return Ok(Transformed::no(node));
    }
    let same = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
    Ok(Transformed::yes(node.replace_children(vec![in_slices(input, rows)], same)?))
}

/// Bytes of the constants of an expression that may be written out for each row. The values of `IN (…)` are looked up.
fn constants(expr: &Arc<dyn PhysicalExpr>) -> usize {
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return bytes_of(literal.value());
    }
    match expr.downcast_ref::<InListExpr>() {
        Some(list) => constants(list.expr()),
        None => expr.children().into_iter().map(constants).sum(),
    }
}
