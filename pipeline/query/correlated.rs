//! Subqueries that look at the query around them, and that the engine answers wrongly when it turns them into joins (DataFusion 55.2).
//!
//! Of one whose rows are made one (`EXISTS (SELECT count(*) …)`, `0 IN (SELECT count(*) …)`) it loses that one where there are no rows; as a value,
//! `(SELECT count(*) …)`, it keeps it. So it is written as a value.
//!
//! Refused are, with how else to write them:
//! - those that look two tables up by columns of one name (`EXISTS (SELECT 1 FROM deals d, tags t WHERE d.call_id = c.call_id AND t.call_id =
//!   c.call_id)`), of which it makes one;
//! - `NOT IN` where something may be NULL: it takes a NULL of any row's set for one of this row's;
//! - `OFFSET`, which it leaves out.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit,
};

use super::guard::is_catalog;
use super::renamed::with_names;

/// The plan with those in it written otherwise that can be.
///
/// # Errors
/// There is one that would be answered wrongly.
pub(super) fn set_right(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = written_out(plan)?;
    admit(&plan)?;
    Ok(plan)
}

/// Those whose rows are made one, as values.
fn written_out(plan: LogicalPlan) -> Result<LogicalPlan> {
    let as_value = |part: Expr| {
        let value = match &part {
            Expr::Exists(it) => exists_of_one(it)?,
            Expr::InSubquery(it) => in_one(it),
            _ => None,
        };
        Ok(value.map_or(Transformed::no(part), Transformed::yes))
    };
    let changed = plan.transform_up_with_subqueries(|node| with_names(node, |expr| expr.transform_up(as_value)));
    Ok(changed?.data)
}

/// What a subquery makes of all its rows, and the condition on that.
fn one(subquery: &Subquery) -> Option<(&Arc<LogicalPlan>, Option<&Expr>)> {
    let LogicalPlan::Projection(shown) = &*subquery.subquery else { return None };
    let (having, input) = match &*shown.input {
        LogicalPlan::Filter(having) => (Some(&having.predicate), &having.input),
        _ => (None, &shown.input),
    };
    let is_one = matches!(&**input, LogicalPlan::Aggregate(of) if of.group_expr.is_empty());
    (is_one && !subquery.outer_ref_columns.is_empty()).then_some((input, having))
}

fn exists_of_one(it: &Exists) -> Result<Option<Expr>> {
    let Some((input, having)) = one(&it.subquery) else { return Ok(None) };
    let Some(having) = having else { return Ok(Some(lit(!it.negated))) };
    let held = LogicalPlanBuilder::from(Arc::clone(input)).project([having.clone()])?.build()?;
    let held = Box::new(Expr::ScalarSubquery(it.subquery.with_plan(Arc::new(held))));
    Ok(Some(if it.negated { Expr::IsNotTrue(held) } else { Expr::IsTrue(held) }))
}

fn in_one(it: &InSubquery) -> Option<Expr> {
    let (_, None) = one(&it.subquery)? else { return None };
    let op = if it.negated { Operator::NotEq } else { Operator::Eq };
    let value = Box::new(Expr::ScalarSubquery(it.subquery.clone()));
    Some(Expr::BinaryExpr(BinaryExpr::new(it.expr.clone(), op, value)))
}

fn admit(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Subquery(lateral) = node {
            looked_over(&lateral.subquery)?;
        }
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                match part {
                    Expr::Exists(it) => {
                        looked_over(&it.subquery.subquery)?;
                        semi_joined(&it.subquery)?;
                    }
                    Expr::InSubquery(it) => {
                        looked_over(&it.subquery.subquery)?;
                        semi_joined(&it.subquery)?;
                        if it.negated {
                            not_in(node, it)?;
                        }
                    }
                    Expr::Not(of) => {
                        of.apply(|part| {
                            if let Expr::InSubquery(it) = part {
                                not_in(node, it)?;
                            }
                            Ok(TreeNodeRecursion::Continue)
                        })?;
                    }
                    Expr::ScalarSubquery(it) => looked_over(&it.subquery)?,
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

/// `EXISTS` and `IN`.
fn semi_joined(subquery: &Subquery) -> Result<()> {
    if subquery.outer_ref_columns.is_empty() {
        return Ok(());
    }
    subquery.subquery.apply(|node| {
        let what = match node {
            LogicalPlan::Aggregate(of) if of.group_expr.is_empty() && looks_around(&of.input)? => {
                "makes one of all its rows (write (SELECT count(*) FROM … WHERE …) = 0, or the like, instead of EXISTS or IN)"
            }
            LogicalPlan::Limit(of) if !matches!(of.skip.as_deref(), None | Some(Expr::Literal(ScalarValue::Int64(Some(0)), _))) => {
                "has an OFFSET (write (SELECT count(*) FROM … WHERE …) > 1, or the like)"
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Err(DataFusionError::NotImplemented(format!("a subquery that looks at the query around it and {what}")))
    })?;
    Ok(())
}

fn looks_around(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| Ok(node.contains_outer_reference()))
}

/// `around` has the condition.
fn not_in(around: &LogicalPlan, it: &InSubquery) -> Result<()> {
    if it.subquery.outer_ref_columns.is_empty() || is_of_catalogs(&it.subquery.subquery)? {
        return Ok(());
    }
    let shown = it.subquery.subquery.schema().fields();
    let is_known = |schema: &DFSchema| it.expr.nullable(schema).is_ok_and(|may_be_null| !may_be_null);
    if shown.iter().all(|field| !field.is_nullable()) && around.inputs().iter().any(|input| is_known(input.schema())) {
        return Ok(());
    }
    Err(DataFusionError::NotImplemented(
        "NOT IN of a subquery that looks at the query around it (write NOT EXISTS (SELECT … WHERE …), with the comparison among its conditions)"
            .to_owned(),
    ))
}

/// They have no NULL where clients look.
fn is_of_catalogs(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(false) };
        Ok(scan.table_name.schema().is_some_and(is_catalog))
    })
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
