//! Subqueries that give one row for each row outside.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor, Visit, Visitor,
};

use super::empty::{catalog_table, is_aggregate, is_ungrouped};
use super::{expression, first_mut};

/// A subquery for each row outside, whose one row DataFusion believes only of an aggregate: `(SELECT x FROM …)` as `((SELECT
/// min(x) FROM …))`. The parentheses keep upstream from making NULL of it. PostgreSQL has an error for a second row, so
/// this is said of catalogs alone, where there is none; and only of what DataFusion can join, which is by equality.
pub(super) fn one_row(query: &Query) -> Option<Expr> {
    let SetExpr::Select(select) = &*query.body else { return None };
    let plain = query.with.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    if !plain || select.distinct.is_some() || !is_ungrouped(select) || is_aggregate(select) {
        return None;
    }
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] = select.projection.as_slice()
    else {
        return None;
    };
    let inside = local_names(select)?;
    let mut conditions = Vec::new();
    conjuncts(select.selection.as_ref()?, &mut conditions);
    let joined = |condition: &&Expr| match condition {
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            let outside = |side: &Expr| matches!(side, Expr::CompoundIdentifier(_)) && reaches_out(side, &inside);
            (outside(left) && !reaches_out(right, &inside)) || (outside(right) && !reaches_out(left, &inside))
        }
        _ => false,
    };
    let (out, within): (Vec<&Expr>, Vec<&Expr>) = conditions.into_iter().partition(joined);
    if out.is_empty() || reaches_out(value, &inside) || within.iter().any(|condition| reaches_out(condition, &inside)) {
        return None;
    }
    let mut query = query.clone();
    query.order_by = None;
    let select = first_mut(&mut query.body)?;
    select.projection = vec![SelectItem::UnnamedExpr(expression(&format!("min({value})"))?)];
    Some(Expr::Nested(Box::new(Expr::Subquery(Box::new(query)))))
}

fn conjuncts<'a>(condition: &'a Expr, all: &mut Vec<&'a Expr>) {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, all);
            conjuncts(right, all);
        }
        Expr::Nested(inner) => conjuncts(inner, all),
        other => all.push(other),
    }
}

/// What the tables of a query are called in it, if all of them are catalogs that are joined among themselves.
fn local_names(select: &Select) -> Option<HashSet<String>> {
    let mut names = HashSet::new();
    let mut on = Vec::new();
    for table in &select.from {
        for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
            let TableFactor::Table { alias, .. } = factor else { return None };
            let name = catalog_table(factor)?;
            names.insert(alias.as_ref().map_or(name, |alias| alias.name.value.to_ascii_lowercase()));
        }
        for join in &table.joins {
            match &join.join_operator {
                JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => on.push(constraint),
                _ => return None,
            }
        }
    }
    let is_local = |constraint: &&JoinConstraint| match constraint {
        JoinConstraint::On(condition) => !reaches_out(condition, &names),
        JoinConstraint::Using(_) => true,
        _ => false,
    };
    on.iter().all(is_local).then_some(names)
}

/// Whether it names a column of a table that is not among `inside`, or asks anything further.
fn reaches_out(expr: &Expr, inside: &HashSet<String>) -> bool {
    struct Out<'a>(&'a HashSet<String>);
    impl Visitor for Out<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::CompoundIdentifier(names) = expr
                && let [.., table, _] = names.as_slice()
                && !self.0.contains(&table.value.to_ascii_lowercase())
            {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    expr.visit(&mut Out(inside)).is_break()
}
