//! Columns of an answer as PostgreSQL calls them: `count` and not `count(*)`, and two of one name if so asked. DataFusion wants names
//! that differ, so those that would be told twice get a mark behind them, which is taken off before anything is sent.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, TrimWhereField, Value,
    VisitMut, VisitorMut,
};
use datafusion_postgres::pgwire::api::results::{FieldInfo, QueryResponse, Response};

use crate::query::twins::{self, MARK};
use crate::query::words::{Names, folded};

/// How datafusion-postgres calls a column that stands beside `*`, too.
const BESIDE_STAR: &str = "__alias_";
/// Of what has none (PostgreSQL's manual, 7.3.2).
const NONE: &str = "?column?";

/// Names the columns of the outermost `SELECT`, and of those that others select from: `SELECT max(count) FROM (SELECT count(*) …)`.
pub(super) fn name_columns(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Within);
    name(query, true);
}

struct Within;

impl VisitorMut for Within {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // Both parts of a recursive one have to agree.
        if let Some(with) = query.with.as_mut().filter(|with| !with.recursive) {
            with.cte_tables.iter_mut().for_each(|cte| name(&mut cte.query, false));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { subquery, .. } = table {
            name(subquery, false);
        }
        ControlFlow::Continue(())
    }
}

/// `marks`: those that have to differ get a mark. Whoever selects from them would not find them by it.
fn name(query: &mut Query, marks: bool) {
    // Inside expressions of ORDER BY they mean columns of the tables, not those of the answer.
    let mut inner = Names::default();
    if let Some(order) = &query.order_by
        && let OrderByKind::Expressions(by) = &order.kind
    {
        let bare = |expr: &Expr| matches!(expr, Expr::Identifier(_));
        for by in by.iter().filter(|by| !bare(&by.expr)) {
            inner.add(&by.expr);
        }
    }
    name_body(&mut query.body, &inner.found, marks);
    // What is selected and ordered by is one column: with `DISTINCT`, nothing else may stand there.
    if let (SetExpr::Select(select), Some(order)) = (&*query.body, &mut query.order_by)
        && let OrderByKind::Expressions(by) = &mut order.kind
    {
        for by in by.iter_mut().filter(|by| !matches!(by.expr, Expr::Identifier(_))) {
            let alias = select.projection.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if *expr == by.expr => Some(alias),
                _ => None,
            });
            if let Some(alias) = alias {
                by.expr = Expr::Identifier(alias.clone());
            }
        }
    }
}

fn name_body(body: &mut SetExpr, inner: &HashSet<String>, marks: bool) {
    match body {
        SetExpr::Select(select) => name_select(select, inner, marks),
        SetExpr::Query(query) => name(query, marks),
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left, inner, marks);
            name_body(right, inner, marks);
        }
        _ => {}
    }
}

fn name_select(select: &mut Select, inner: &HashSet<String>, marks: bool) {
    let is_star = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let beside_star = select.projection.iter().any(is_star);
    let mut before: Vec<(String, Option<String>)> = Vec::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        let (name, is_column) = match &*item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => (folded(name), Some(String::new())),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => {
                let of = names.iter().rev().skip(1).map(folded).collect::<Vec<_>>().join(".");
                (names.last().map(folded).unwrap_or_default(), Some(of))
            }
            SelectItem::UnnamedExpr(expr) => (name_of(expr).0, None),
            SelectItem::ExprWithAlias { alias, .. } => (folded(alias), None),
            _ => continue,
        };
        // Two tables may each have a column of this name: these differ by their tables.
        let differs = |(of, table): &(String, Option<String>)| match (table, &is_column) {
            (Some(a), Some(b)) => of != &name || (a != b && !a.is_empty() && !b.is_empty()),
            _ => of != &name,
        };
        let is_told = !before.iter().all(differs);
        let is_expression = matches!(item, SelectItem::UnnamedExpr(_)) && is_column.is_none();
        let hides = is_expression && (beside_star || inner.contains(&name) || name == NONE);
        before.push((name.clone(), is_column));
        let alias = match is_told || hides {
            true if !marks => continue,
            true => format!("{name}{MARK}{at}"),
            false if is_expression => name,
            false => continue,
        };
        let alias = Ident::with_quote('"', alias);
        let expr = match &*item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr.clone(),
            _ => continue,
        };
        *item = SelectItem::ExprWithAlias { expr, alias };
    }
}

/// What PostgreSQL calls an expression, and whether that is its own name and not one for want of a better (`FigureColname` of its
/// parser).
fn name_of(expr: &Expr) -> (String, bool) {
    let named = |name: &str| (name.to_owned(), true);
    let or = |inner: (String, bool), name: String| if inner.1 { inner } else { (name, false) };
    match expr {
        Expr::Identifier(name) => (folded(name), true),
        Expr::CompoundIdentifier(names) => (names.last().map(folded).unwrap_or_default(), true),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::CompoundFieldAccess { root, .. } => name_of(root),
        Expr::Function(function) => {
            match function.name.0.last().and_then(|part| part.as_ident()).map(folded).as_deref() {
                // So datafusion-postgres has it.
                Some("session_user") => named("current_user"),
                Some(name) => named(name),
                None => (NONE.to_owned(), false),
            }
        }
        Expr::Cast { expr, data_type, .. } => or(name_of(expr), type_name(data_type)),
        Expr::TypedString(typed) => (type_name(&typed.data_type), false),
        Expr::Interval(_) => ("interval".to_owned(), false),
        Expr::Case { else_result, .. } => {
            or(else_result.as_ref().map_or((NONE.to_owned(), false), |it| name_of(it)), "case".to_owned())
        }
        Expr::Exists { negated: false, .. } => named("exists"),
        Expr::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.first() {
                Some(SelectItem::ExprWithAlias { alias, .. }) => (folded(alias), true),
                Some(SelectItem::UnnamedExpr(expr)) => (name_of(expr).0, true),
                _ => (NONE.to_owned(), false),
            },
            _ => (NONE.to_owned(), false),
        },
        Expr::Array(_) => named("array"),
        Expr::Tuple(_) => named("row"),
        Expr::Extract { .. } => named("extract"),
        Expr::AtTimeZone { .. } => named("timezone"),
        Expr::Ceil { .. } => named("ceil"),
        Expr::Floor { .. } => named("floor"),
        Expr::Position { .. } => named("position"),
        Expr::Substring { .. } => named("substring"),
        Expr::Overlay { .. } => named("overlay"),
        Expr::Trim { trim_where, .. } => named(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => ("bool".to_owned(), false),
        _ => (NONE.to_owned(), false),
    }
}

/// PostgreSQL's own name of a type.
fn type_name(kind: &DataType) -> String {
    let written = kind.to_string().to_lowercase();
    let word = written.split(['(', '[']).next().unwrap_or_default().trim();
    match word {
        "int" | "integer" => "int4",
        "bigint" => "int8",
        "smallint" => "int2",
        "double precision" | "double" | "float" => "float8",
        "real" => "float4",
        "boolean" => "bool",
        "decimal" | "dec" => "numeric",
        "character varying" => "varchar",
        "char" | "character" => "bpchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        other => other.rsplit('.').next().unwrap_or(other),
    }
    .to_owned()
}

/// The name as it was before the mark.
fn told(name: &str) -> &str {
    let name = twins::told(name);
    name.strip_prefix(BESIDE_STAR).unwrap_or(name)
}

/// The columns under the names that the client is told.
pub(super) fn told_fields(fields: &[FieldInfo]) -> Vec<FieldInfo> {
    let again = |field: &FieldInfo| {
        let again = FieldInfo::new(
            told(field.name()).to_owned(),
            field.table_id(),
            field.column_id(),
            field.datatype().clone(),
            field.format(),
        );
        again
            .with_format_options(Arc::clone(field.format_options()))
            .with_type_size(field.type_size())
            .with_type_modifier(field.type_modifier())
    };
    fields.iter().map(again).collect()
}

/// The same of an answer.
pub(super) fn told_answer(answer: Response) -> Response {
    match answer {
        Response::Query(mut rows) => {
            rows.row_schema = told_schema(&rows);
            Response::Query(rows)
        }
        other => other,
    }
}

fn told_schema(rows: &QueryResponse) -> Arc<Vec<FieldInfo>> {
    let differs = |field: &FieldInfo| told(field.name()) != field.name();
    match rows.row_schema.iter().any(differs) {
        true => Arc::new(told_fields(&rows.row_schema)),
        false => Arc::clone(&rows.row_schema),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn named(sql: &str) -> Query {
        match Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().pop() {
            Some(Statement::Query(mut query)) => {
                name_columns(&mut query);
                *query
            }
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn columns_that_are_selected_from_are_called_so_too() {
        for (sql, expected) in [
            (
                "SELECT max(count) FROM (SELECT source, count(*) FROM calls GROUP BY 1) x",
                "SELECT max(count) AS \"max\" FROM (SELECT source, count(*) AS \"count\" FROM calls GROUP BY 1) x",
            ),
            (
                "WITH x AS (SELECT sum(pages) FROM sessions) SELECT sum FROM x",
                "WITH x AS (SELECT sum(pages) AS \"sum\" FROM sessions) SELECT sum FROM x",
            ),
            (
                "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
                "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
            ),
            ("SELECT a FROM t WHERE a IN (SELECT max(b) FROM u)", "SELECT a FROM t WHERE a IN (SELECT max(b) FROM u)"),
        ] {
            assert_eq!(named(sql).to_string(), expected);
        }
    }

    #[test]
    fn expressions_are_called_as_postgresql_calls_them() {
        for (expr, expected) in [
            ("count(*)", "count"),
            ("pg_catalog.Upper(x)", "upper"),
            ("1", "?column?"),
            ("NULL", "?column?"),
            ("a + 1", "?column?"),
            ("true", "bool"),
            ("1::int", "int4"),
            ("'x'::character varying(3)", "varchar"),
            ("now()::date", "now"),
            ("a::date", "a"),
            ("t.\"A\"::text", "A"),
            ("date '2026-01-01'", "date"),
            ("interval '1 day'", "interval"),
            ("CASE WHEN a THEN 1 ELSE 2 END", "case"),
            ("CASE WHEN a THEN 1 ELSE b END", "b"),
            ("coalesce(a, 1)", "coalesce"),
            ("extract(epoch FROM a)", "extract"),
            ("trim(a)", "btrim"),
            ("a AT TIME ZONE 'UTC'", "timezone"),
            ("(SELECT max(x) FROM t)", "max"),
            ("exists(SELECT 1)", "exists"),
            ("sum(x) OVER (ORDER BY y)", "sum"),
        ] {
            let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(expr).unwrap().parse_expr().unwrap();
            assert_eq!(name_of(&parsed).0, expected, "{expr}");
        }
    }

    #[test]
    fn columns_are_named_where_they_have_to_be() {
        for (sql, expected) in [
            ("SELECT a, b AS x FROM t", "SELECT a, b AS x FROM t"),
            ("SELECT a.x, b.x FROM a, b", "SELECT a.x, b.x FROM a, b"),
            ("SELECT x, x FROM a", "SELECT x, x AS \"x!1\" FROM a"),
            ("SELECT a.x, a.x FROM a", "SELECT a.x, a.x AS \"x!1\" FROM a"),
            ("SELECT a.x, f(x) AS x FROM a", "SELECT a.x, f(x) AS \"x!1\" FROM a"),
            ("SELECT 1 AS a, 2 AS a", "SELECT 1 AS a, 2 AS \"a!1\""),
            ("SELECT count(*), count(*)", "SELECT count(*) AS \"count\", count(*) AS \"count!1\""),
            ("SELECT *, max(x) FROM t", "SELECT *, max(x) AS \"max!1\" FROM t"),
            ("SELECT x::date FROM t ORDER BY x", "SELECT x::DATE AS \"x\" FROM t ORDER BY x"),
            (
                "SELECT DISTINCT f(x) FROM t ORDER BY f(x) DESC",
                "SELECT DISTINCT f(x) AS \"f\" FROM t ORDER BY \"f\" DESC",
            ),
            ("SELECT x::date FROM t ORDER BY f(x)", "SELECT x::DATE AS \"x!0\" FROM t ORDER BY f(x)"),
            ("SELECT 1 UNION SELECT 2", "SELECT 1 AS \"?column?!0\" UNION SELECT 2 AS \"?column?!0\""),
            ("SELECT * FROM (SELECT count(*) FROM t)", "SELECT * FROM (SELECT count(*) AS \"count\" FROM t)"),
            ("SELECT * FROM (SELECT *, max(x) FROM t)", "SELECT * FROM (SELECT *, max(x) FROM t)"),
        ] {
            assert_eq!(named(sql).to_string().replace(MARK, "!"), expected, "{sql}");
        }
        assert_eq!((told("x\u{1f}1"), told("__alias_x"), told("count")), ("x", "x", "count"));
    }
}
