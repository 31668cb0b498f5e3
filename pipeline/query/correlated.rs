//! Subqueries that look two tables up by columns of one name: `EXISTS (SELECT 1 FROM deals d, tags t WHERE d.call_id = c.call_id AND t.call_id =
//! c.call_id)`. The engine makes one column of both when it turns such a subquery into a join (DataFusion 55.2), and answers wrongly; so they are
//! refused.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

/// # Errors
/// There is such a subquery.
pub(super) fn admit(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Subquery(lateral) = node {
            looked_over(&lateral.subquery)?;
        }
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                match part {
                    Expr::Exists(it) => looked_over(&it.subquery.subquery)?,
                    Expr::InSubquery(it) => looked_over(&it.subquery.subquery)?,
                    Expr::ScalarSubquery(it) => looked_over(&it.subquery)?,
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

fn looked_over(subquery: &LogicalPlan) -> Result<()> {
    let mut keys: Vec<Column> = Vec::new();
    subquery.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                keys.extend(looked_up(part).cloned());
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    for (at, key) in keys.iter().enumerate() {
        if let Some(other) = keys[..at].iter().find(|other| other.name == key.name && other.relation != key.relation) {
            return Err(DataFusionError::NotImplemented(format!(
                "a subquery cannot look up two tables by columns of one name ({} and {}): compare one of them with the query around it, and \
                 both with each other, as in WHERE {} = c.{} AND {} = {}",
                other.quoted_flat_name(),
                key.quoted_flat_name(),
                other.quoted_flat_name(),
                key.name,
                key.quoted_flat_name(),
                other.quoted_flat_name()
            )));
        }
    }
    Ok(())
}

/// The column that is compared with one of the query around it.
fn looked_up(expr: &Expr) -> Option<&Column> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return None };
    match (&**left, &**right) {
        (Expr::OuterReferenceColumn(..), Expr::Column(own)) | (Expr::Column(own), Expr::OuterReferenceColumn(..)) => {
            Some(own)
        }
        _ => None,
    }
}
