//! Takes the columns that were not asked for out of a report's statement.
//!
//! A report is written with every column that it may be broken down by: each stands under its own name in the lists of
//! SELECT, GROUP BY, ORDER BY and PARTITION BY, in every subquery that has it, and nowhere in an expression that stays.
//! Without such a column the same text groups by what is left, and the engine neither reads nor hashes the column.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, Function, GroupByExpr, OrderByExpr, OrderByKind, Query, Select, SelectItem, VisitMut,
    VisitorMut, WindowType,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

/// The statement without `columns`. A grouping that loses all its columns still has no row where there is nothing to
/// group.
pub fn fold(mut statement: Statement, columns: &[&str]) -> Result<Statement, ParserError> {
    if columns.is_empty() {
        return Ok(statement);
    }
    let any_row = Parser::new(&GenericDialect {}).try_with_sql("count(*) > 0")?.parse_expr()?;
    if let Statement::Statement(inner) = &mut statement {
        // The folder never breaks off.
        let _ = VisitMut::visit(inner.as_mut(), &mut Folder { columns, any_row });
    }
    Ok(statement)
}

struct Folder<'a> {
    columns: &'a [&'a str],
    /// `count(*) > 0`
    any_row: Expr,
}

impl Folder<'_> {
    fn is_folded(&self, expr: &Expr) -> bool {
        let name = match expr {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(names) => names.last(),
            _ => None,
        };
        name.is_some_and(|name| self.columns.contains(&name.value.as_str()))
    }

    fn is_folded_item(&self, item: &SelectItem) -> bool {
        match item {
            SelectItem::UnnamedExpr(expr) => self.is_folded(expr),
            SelectItem::ExprWithAlias { alias, .. } => self.columns.contains(&alias.value.as_str()),
            _ => false,
        }
    }

    fn keep(&self, order: &mut Vec<OrderByExpr>) {
        order.retain(|key| !self.is_folded(&key.expr));
    }
}

impl VisitorMut for Folder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(order) = &mut query.order_by
            && let OrderByKind::Expressions(keys) = &mut order.kind
        {
            self.keep(keys);
            if keys.is_empty() {
                query.order_by = None;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        select.projection.retain(|item| !self.is_folded_item(item));
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by
            && !keys.is_empty()
        {
            keys.retain(|key| !self.is_folded(key));
            if keys.is_empty() {
                let any_row = self.any_row.clone();
                select.having = Some(match select.having.take() {
                    Some(having) => both(Expr::Nested(Box::new(having)), any_row),
                    None => any_row,
                });
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(Function { over: Some(WindowType::WindowSpec(window)), .. }) = expr {
            window.partition_by.retain(|key| !self.is_folded(key));
            self.keep(&mut window.order_by);
        }
        ControlFlow::Continue(())
    }
}

fn both(left: Expr, right: Expr) -> Expr {
    ast::Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::guard::admit;

    #[test]
    fn columns_leave_every_list() {
        for (sql, columns, expected) in [
            (
                "SELECT a, b, count(*) AS n FROM t GROUP BY a, b ORDER BY n DESC, a",
                &["a"][..],
                "SELECT b, count(*) AS n FROM t GROUP BY b ORDER BY n DESC",
            ),
            ("SELECT a, count(*) FROM t GROUP BY a ORDER BY a", &["a"], "SELECT count(*) FROM t HAVING count(*) > 0"),
            (
                "SELECT a, sum(x) FROM t GROUP BY a HAVING sum(x) > 1 OR max(x) = 2",
                &["a"],
                "SELECT sum(x) FROM t HAVING (sum(x) > 1 OR max(x) = 2) AND count(*) > 0",
            ),
            (
                "SELECT s.a, s.b FROM (SELECT f(a) AS a, t.b FROM t UNION ALL SELECT a, b FROM u) AS s",
                &["a"],
                "SELECT s.b FROM (SELECT t.b FROM t UNION ALL SELECT b FROM u) AS s",
            ),
            (
                "WITH w AS (SELECT a, b, x FROM t) SELECT b, sum(x) OVER (PARTITION BY w.a, b ORDER BY x, a) FROM w",
                &["a"],
                "WITH w AS (SELECT b, x FROM t) SELECT b, sum(x) OVER (PARTITION BY b ORDER BY x) FROM w",
            ),
            ("SELECT a, max(a) AS m FROM t GROUP BY a", &[], "SELECT a, max(a) AS m FROM t GROUP BY a"),
        ] {
            let statement = admit(sql).unwrap().remove(0);
            assert_eq!(fold(statement, columns).unwrap().to_string(), expected, "{sql}");
        }
    }
}
