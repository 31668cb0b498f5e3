//! Columns of an answer keep the names that they have with PostgreSQL, where what stands for them is reworded: `date(at)` is called `date`, and
//! `caller::varchar(3)` is called `caller`.

use datafusion::sql::sqlparser::ast::{Expr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr};

use super::{lacking, length};
use crate::query::words::{Names, folded};

/// Names what is going to be reworded.
pub(super) fn keep(query: &mut Query) {
    let mut order = Order::default();
    if let Some(by) = &query.order_by
        && let OrderByKind::Expressions(by) = &by.kind
    {
        for by in by.iter().filter(|by| !matches!(by.expr, Expr::Identifier(_) | Expr::Value(_))) {
            order.is_computed = true;
            order.names.add(&by.expr);
        }
    }
    name_body(&mut query.body, &order);
}

/// What is ordered by, where it is more than names and places of columns.
#[derive(Default)]
struct Order {
    is_computed: bool,
    /// With PostgreSQL these mean columns of the tables, and here those of the answer.
    names: Names,
}

fn name_body(body: &mut SetExpr, order: &Order) {
    match body {
        SetExpr::Select(select) => name_select(select, order),
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left, order);
            name_body(right, order);
        }
        _ => {}
    }
}

fn name_select(select: &mut Select, order: &Order) {
    let is_star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let is_wanted = |item: &SelectItem| wanted(item).is_some();
    if !select.projection.iter().any(is_wanted) || select.projection.iter().any(is_star) {
        return;
    }
    // With `DISTINCT`, what is ordered by has to be what is selected, word for word.
    if select.distinct.is_some() && order.is_computed {
        return;
    }
    let mut taken = order.names.clone();
    for expr in select.having.iter().chain(&select.qualify) {
        taken.add(expr);
    }
    let mut taken = taken.found;
    taken.extend(select.projection.iter().filter_map(told));
    for item in &mut select.projection {
        if let Some(name) = wanted(item).filter(|name| !taken.contains(name))
            && let SelectItem::UnnamedExpr(expr) = &*item
        {
            taken.insert(name.clone());
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
        }
    }
}

/// The name that would be lost.
fn wanted(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::Function(function)) => lacking(function).map(str::to_owned),
        SelectItem::UnnamedExpr(Expr::Cast { expr, data_type, array: false, format: None, .. }) => {
            length(data_type).and_then(|_| column(expr))
        }
        _ => None,
    }
}

/// The name that stays.
fn told(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(expr) => column(expr),
        _ => None,
    }
}

fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(folded(name)),
        Expr::CompoundIdentifier(names) => names.last().map(folded),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::reworded;

    #[test]
    fn names_are_kept_where_nothing_else_is_called_so() {
        for (sql, expected) in [
            ("SELECT date(a), mod(b, 2)", "SELECT CAST(a AS DATE) AS \"date\", (b % 2) AS \"mod\""),
            ("SELECT t.A::varchar(3) FROM t", "SELECT left(t.A::VARCHAR, 3) AS \"a\" FROM t"),
            (
                "SELECT localtimestamp UNION SELECT a",
                "SELECT CAST(now() AS TIMESTAMP) AS \"localtimestamp\" UNION SELECT a",
            ),
            ("SELECT sign(a), sign(b)", "SELECT signum(a) AS \"sign\", signum(b)"),
            ("SELECT sign(a) AS x", "SELECT signum(a) AS x"),
            ("SELECT date(a), t.date FROM t", "SELECT CAST(a AS DATE), t.date FROM t"),
            ("SELECT *, date(a) FROM t", "SELECT *, CAST(a AS DATE) FROM t"),
            ("SELECT a::varchar(3) FROM t HAVING a > 1", "SELECT left(a::VARCHAR, 3) FROM t HAVING a > 1"),
            ("SELECT date(a) FROM t ORDER BY lower(date)", "SELECT CAST(a AS DATE) FROM t ORDER BY lower(date)"),
            (
                "SELECT date(a) FROM t GROUP BY date(a) ORDER BY date(a)",
                "SELECT CAST(a AS DATE) AS \"date\" FROM t GROUP BY CAST(a AS DATE) ORDER BY CAST(a AS DATE)",
            ),
            (
                "SELECT DISTINCT date(a) FROM t ORDER BY date(a)",
                "SELECT DISTINCT CAST(a AS DATE) FROM t ORDER BY CAST(a AS DATE)",
            ),
        ] {
            assert_eq!(reworded(sql), expected);
        }
    }
}
