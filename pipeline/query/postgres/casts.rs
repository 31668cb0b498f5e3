//! `sum(a), sum(a::float)`: PostgreSQL has two sums there, and DataFusion, which leaves casts out of names, two columns of one name. So
//! what differs by its casts alone is told apart by a `coalesce` of one value, which is that value.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Select, SelectItem, SetExpr, Visit,
    VisitMut, Visitor, VisitorMut,
};

use crate::query::words::call;

/// Functions as they are written, by how they are written without their casts.
type Written = BTreeMap<String, BTreeSet<String>>;

/// Tells apart what a question selects.
pub(super) fn tell_apart(query: &mut Query) {
    let SetExpr::Select(select) = &*query.body else { return };
    let mut written = written(select);
    written.retain(|_, ways| ways.len() > 1);
    if !written.is_empty() {
        let _ = VisitMut::visit(query, &mut Apart { written });
    }
}

fn written(select: &Select) -> Written {
    let mut found = Found::default();
    for item in &select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let _ = expr.visit(&mut found);
        }
    }
    found.written
}

#[derive(Default)]
struct Found {
    written: Written,
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.written.entry(bare(function)).or_default().insert(function.to_string());
        }
        ControlFlow::Continue(())
    }
}

/// Without its casts.
fn bare(function: &Function) -> String {
    struct Bare;
    impl VisitorMut for Bare {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Cast { expr: inner, .. } = expr {
                *expr = (**inner).clone();
            }
            ControlFlow::Continue(())
        }
    }
    let mut bare = function.clone();
    let _ = VisitMut::visit(&mut bare, &mut Bare);
    bare.to_string()
}

struct Apart {
    written: Written,
}

impl VisitorMut for Apart {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && let Some(ways) = self.written.get(&bare(function))
            && let Some(times) = ways.iter().position(|way| *way == function.to_string())
            && let FunctionArguments::List(list) = &mut function.args
            && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = list.args.first_mut()
        {
            for _ in 0..times {
                *first = call("coalesce", [first.clone()]);
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn what_differs_by_its_casts_is_told_apart() {
        for (sql, expected) in [
            ("SELECT sum(a::INT), sum(b)", "SELECT sum(a::INT), sum(b)"),
            ("SELECT sum(a::INT), sum(a)", "SELECT sum(coalesce(a::INT)), sum(a)"),
            (
                "SELECT sum(a::REAL) AS x, sum(a::INT), sum(a) FROM t HAVING sum(a::REAL) > 1",
                "SELECT sum(coalesce(coalesce(a::REAL))) AS x, sum(coalesce(a::INT)), sum(a) FROM t HAVING sum(coalesce(coalesce(a::REAL))) > 1",
            ),
            (
                "SELECT count(DISTINCT a::DATE), count(DISTINCT a)",
                "SELECT count(DISTINCT coalesce(a::DATE)), count(DISTINCT a)",
            ),
            ("SELECT count(*), count(*)", "SELECT count(*), count(*)"),
        ] {
            let Some(Statement::Query(mut query)) = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().pop() else {
                panic!("{sql}");
            };
            tell_apart(&mut query);
            assert_eq!(query.to_string(), expected, "{sql}");
        }
    }
}
