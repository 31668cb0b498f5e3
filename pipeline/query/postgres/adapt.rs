//! What PostgreSQL writes and DataFusion does not plan, in words that it does: `FETCH FIRST n ROWS ONLY`, `LIKE … ESCAPE`, `EXISTS` as a
//! value, `interval * n`, `'\x…'::bytea`, a function in FROM whose column goes by its alias, `AT TIME ZONE`, `date_trunc` in a zone.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    LimitClause, Query, Select, SelectItem, SetExpr, TableAliasColumnDef, TableFactor, UnaryOperator, Value, VisitMut,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::casts::tell_apart;
use crate::query::guard::is_of_catalogs;
use crate::query::words::{call, change_here};

/// The function that an interval is taken several times with.
pub(super) const TIMES: &str = "interval_times";
/// In FROM, these have a column of their own.
const SERIES: [&str; 2] = ["generate_series", "range"];

pub(super) fn adapt(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Adapt);
}

struct Adapt;

impl VisitorMut for Adapt {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        fetch_first(query);
        number_limits(query);
        tell_apart(query);
        if let SetExpr::Select(select) = &mut *query.body {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                    change_here(expr, exists_as_value);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                let escape = escape_char.as_ref().and_then(|escape| text(&escape.value));
                if let (Some(escape), Expr::Value(written)) = (escape, &mut **pattern)
                    && let Value::SingleQuotedString(pattern) = &mut written.value
                    && escape != "\\"
                {
                    *pattern = escaped(pattern, escape.chars().next());
                    *escape_char = None;
                }
            }
            Expr::BinaryOp { left, op, right } => {
                if let Some(times) = interval_times(left, op, right) {
                    *expr = times;
                }
            }
            Expr::Cast { expr: inner, data_type: DataType::Bytea, .. } => {
                if let Expr::Value(value) = &**inner
                    && let Some(hex) = text(&value.value).and_then(|text| text.strip_prefix("\\x"))
                {
                    *expr = call("decode", [string(hex), string("hex")]);
                }
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                *expr = call("timezone", [(**time_zone).clone(), (**timestamp).clone()]);
            }
            Expr::Function(function) => {
                if let Some(trunc) = trunc_in_zone(function) {
                    *expr = trunc;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let alias = match factor {
            TableFactor::Table { name, alias: Some(alias), args: Some(_), .. }
                if SERIES.iter().any(|series| name.to_string().eq_ignore_ascii_case(series)) =>
            {
                alias
            }
            TableFactor::UNNEST { alias: Some(alias), array_exprs, .. } if array_exprs.len() == 1 => alias,
            _ => return ControlFlow::Continue(()),
        };
        if alias.columns.is_empty() {
            let column = TableAliasColumnDef { name: alias.name.clone(), data_type: None };
            alias.columns = vec![column];
        }
        ControlFlow::Continue(())
    }
}

/// A text whose selected subqueries stand in parentheses of their own, and that has `IN` for `= ANY` of one; nothing if it has none of either.
/// datafusion-postgres puts NULL in the place of those that name tables around them, so that what tools ask of catalogs can be planned, and a
/// row's limit behind the others: here a question is answered, or refused with the reason. What is asked of catalogs is left as it is.
pub(super) fn keep_subqueries(sql: &str) -> Option<String> {
    sql.to_ascii_lowercase().matches("select").nth(1)?;
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    if is_of_catalogs(&statements) {
        return None;
    }
    let mut keep = Keep { found: false };
    let _ = VisitMut::visit(&mut statements, &mut keep);
    let texts = statements.iter().map(ToString::to_string);
    keep.found.then(|| texts.collect::<Vec<_>>().join("; "))
}

struct Keep {
    found: bool,
}

impl VisitorMut for Keep {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = &mut *query.body else { return ControlFlow::Continue(()) };
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                && matches!(expr, Expr::Subquery(_))
            {
                *expr = Expr::Nested(Box::new(expr.clone()));
                self.found = true;
            }
        }
        ControlFlow::Continue(())
    }

    /// datafusion-postgres takes what `ANY` and `ALL` look in for an array.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let (left, right, negated) = match &*expr {
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => (left, right, false),
            Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => (left, right, true),
            _ => return ControlFlow::Continue(()),
        };
        if let Expr::Subquery(subquery) = &**right {
            *expr = Expr::InSubquery { expr: left.clone(), subquery: subquery.clone(), negated };
            self.found = true;
        }
        ControlFlow::Continue(())
    }
}

/// `FETCH FIRST 5 ROWS ONLY` is `LIMIT 5` (Tableau, SAP, Oracle's people).
fn fetch_first(query: &mut Query) {
    let Some(fetch) = query.fetch.take_if(|fetch| !fetch.with_ties && !fetch.percent) else { return };
    let rows = fetch.quantity.or_else(|| expression("1"));
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, .. }) => *limit = rows,
        clause => *clause = Some(LimitClause::LimitOffset { limit: rows, offset: None, limit_by: Vec::new() }),
    }
}

/// `LIMIT $1` is given a whole number, or nothing, of whatever type its client takes that for.
fn number_limits(query: &mut Query) {
    let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause else { return };
    for rows in limit.iter_mut().chain(offset.iter_mut().map(|offset| &mut offset.value)) {
        if let Expr::Value(value) = &*rows
            && let Value::Placeholder(name) = &value.value
            && let Some(number) = expression(&format!("CAST({name} AS BIGINT)"))
        {
            *rows = number;
        }
    }
}

/// A pattern that escapes by `escape`, or by nothing, as one that escapes by `\`.
fn escaped(pattern: &str, escape: Option<char>) -> String {
    let (mut told, mut chars) = (String::new(), pattern.chars());
    while let Some(next) = chars.next() {
        match next {
            _ if Some(next) == escape => match chars.next() {
                Some(meant @ ('%' | '_' | '\\')) => told.extend(['\\', meant]),
                Some(meant) => told.push(meant),
                None => told.push(next),
            },
            '\\' => told.push_str("\\\\"),
            _ => told.push(next),
        }
    }
    told
}

/// `interval '1 day' * n`, either way round, and divided.
fn interval_times(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    match op {
        BinaryOperator::Multiply if is_interval(left) => Some(call(TIMES, [left.clone(), right.clone()])),
        BinaryOperator::Multiply if is_interval(right) => Some(call(TIMES, [right.clone(), left.clone()])),
        BinaryOperator::Divide if is_interval(left) => {
            let one = expression("1.0")?;
            let part = Expr::BinaryOp {
                left: Box::new(one),
                op: BinaryOperator::Divide,
                right: Box::new(Expr::Nested(Box::new(right.clone()))),
            };
            Some(call(TIMES, [left.clone(), part]))
        }
        _ => None,
    }
}

fn is_interval(expr: &Expr) -> bool {
    match expr {
        Expr::Interval(_) => true,
        Expr::Nested(inner) | Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => is_interval(inner),
        Expr::Cast { data_type, .. } => matches!(data_type, DataType::Interval { .. }),
        Expr::TypedString(typed) => matches!(typed.data_type, DataType::Interval { .. }),
        Expr::Function(function) => function.name.to_string() == TIMES,
        _ => false,
    }
}

/// `date_trunc('day', at, 'Europe/Berlin')`.
fn trunc_in_zone(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let of = |at: usize| match list.args.get(at) {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))) => Some(expr.clone()),
        _ => None,
    };
    let is_trunc = function.name.0.last().and_then(|part| part.as_ident());
    let is_trunc = is_trunc.is_some_and(|name| name.value.eq_ignore_ascii_case("date_trunc"));
    let (part, at, zone) = (of(0)?, of(1)?, of(2)?);
    let in_zone = |at: Expr, zone: Expr| Expr::AtTimeZone { timestamp: Box::new(at), time_zone: Box::new(zone) };
    let there = in_zone(Expr::Nested(Box::new(at)), zone);
    // Back again: pgwire writes offsets of zones in whole hours.
    let utc = Expr::Value(Value::SingleQuotedString("UTC".to_owned()).into());
    (is_trunc && list.args.len() == 3).then(|| in_zone(call("date_trunc", [part, there]), utc))
}

/// `EXISTS` where a value is wanted: what is there, counted. The planner knows it as a condition alone.
fn exists_as_value(expr: &mut Expr) {
    let Expr::Exists { subquery, negated } = expr else { return };
    let Some(counted) = expression(if *negated { "count(*) = 0" } else { "count(*) > 0" }) else { return };
    let mut query = subquery.clone();
    query.order_by = None;
    let name = Ident::new("exists");
    match &mut *query.body {
        SetExpr::Select(select) if is_plain(select) && query.limit_clause.is_none() => {
            select.projection = vec![SelectItem::ExprWithAlias { expr: counted, alias: name }];
        }
        _ => {
            let written = format!("SELECT {counted} AS exists FROM ({query}) AS found");
            let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(&written);
            let Ok(counting) = parsed.and_then(|mut parser| parser.parse_query()) else { return };
            query = counting;
        }
    }
    *expr = Expr::Subquery(query);
}

/// Without anything that makes other rows of those that it finds.
fn is_plain(select: &Select) -> bool {
    let is_grouped = match &select.group_by {
        GroupByExpr::Expressions(by, _) => !by.is_empty(),
        GroupByExpr::All(_) => true,
    };
    !is_grouped
        && select.distinct.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.projection.iter().all(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                matches!(expr, Expr::Value(_) | Expr::Identifier(_) | Expr::CompoundIdentifier(_))
            }
            _ => true,
        })
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text) => Some(text),
        _ => None,
    }
}

fn string(text: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.to_owned()).with_empty_span())
}

fn expression(text: &str) -> Option<Expr> {
    Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?.parse_expr().ok()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;

    use super::*;

    #[test]
    fn subqueries_are_kept_from_the_rule_that_takes_them_for_nothing() {
        let kept = keep_subqueries("select a, (select max(b) from u where u.c = t.c) as m, 'it''s' from t").unwrap();
        assert_eq!(kept, "SELECT a, ((SELECT max(b) FROM u WHERE u.c = t.c)) AS m, 'it''s' FROM t");
        let parsed = Parser::parse_sql(&PostgreSqlDialect {}, &kept).unwrap();
        assert_eq!(parsed[0].to_string(), kept);
        let Statement::Query(query) = &parsed[0] else { panic!("{parsed:?}") };
        let SetExpr::Select(select) = &*query.body else { panic!("{query:?}") };
        assert!(matches!(&select.projection[1], SelectItem::ExprWithAlias { expr: Expr::Nested(_), .. }));
        assert!(
            keep_subqueries("select 'pg_x', /* information_schema */ (select max(b) from u where u.c = t.c) from t")
                .is_some()
        );
        let any = "select a from t where a = any (select b from u) or not a <> all (select b from u) or a > some (select b from u)";
        assert_eq!(
            keep_subqueries(any).unwrap(),
            "SELECT a FROM t WHERE a IN (SELECT b FROM u) OR NOT a NOT IN (SELECT b FROM u) OR a > SOME(SELECT b FROM u)"
        );
        for same in
            ["select a from t where a in (select b from u)", "select (select 1 from pg_class)", "select (select"]
        {
            assert_eq!(keep_subqueries(same), None, "{same}");
        }
    }

    #[test]
    fn what_datafusion_does_not_plan_is_told_otherwise() {
        for (sql, expected) in [
            ("SELECT a FROM t FETCH FIRST 5 ROWS ONLY", "SELECT a FROM t LIMIT 5"),
            ("SELECT a FROM t OFFSET 2 FETCH NEXT ROW ONLY", "SELECT a FROM t LIMIT 1 OFFSET 2"),
            (
                "SELECT a FROM t LIMIT $1 OFFSET $2",
                "SELECT a FROM t LIMIT CAST($1 AS BIGINT) OFFSET CAST($2 AS BIGINT)",
            ),
            ("SELECT a LIKE 'x/%y\\%%' ESCAPE '/'", "SELECT a LIKE 'x\\%y\\\\%%'"),
            ("SELECT a LIKE 'x\\%' ESCAPE ''", "SELECT a LIKE 'x\\\\%'"),
            ("SELECT a LIKE 'x//%' ESCAPE '/'", "SELECT a LIKE 'x/%'"),
            ("SELECT a LIKE 'x\\%' ESCAPE '\\'", "SELECT a LIKE 'x\\%' ESCAPE '\\'"),
            ("SELECT 3 * INTERVAL '1 day'", "SELECT interval_times(INTERVAL '1 day', 3)"),
            ("SELECT INTERVAL '1 day' / n", "SELECT interval_times(INTERVAL '1 day', 1.0 / (n))"),
            ("SELECT '\\x6162'::bytea", "SELECT decode('6162', 'hex')"),
            ("SELECT n FROM generate_series(1, 2) n", "SELECT n FROM generate_series(1, 2) n (n)"),
            ("SELECT n FROM UNNEST(ARRAY[1]) AS n", "SELECT n FROM UNNEST(ARRAY[1]) AS n (n)"),
            ("SELECT value FROM generate_series(1, 2)", "SELECT value FROM generate_series(1, 2)"),
            (
                "SELECT date_trunc('day', a, 'UTC')",
                "SELECT date_trunc('day', (a) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'",
            ),
            ("SELECT a AT TIME ZONE 'UTC'", "SELECT timezone('UTC', a)"),
            ("SELECT EXISTS(SELECT 1 FROM t)", "SELECT (SELECT count(*) > 0 AS exists FROM t)"),
            ("SELECT NOT EXISTS(SELECT 1 FROM t)", "SELECT (SELECT count(*) = 0 AS exists FROM t)"),
            (
                "SELECT EXISTS(SELECT a FROM t GROUP BY a)",
                "SELECT (SELECT count(*) > 0 AS exists FROM (SELECT a FROM t GROUP BY a) AS found)",
            ),
            ("SELECT 1 WHERE EXISTS(SELECT 1 FROM t)", "SELECT 1 WHERE EXISTS (SELECT 1 FROM t)"),
            (
                "SELECT (SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM u))",
                "SELECT (SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM u))",
            ),
        ] {
            match Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().pop() {
                Some(Statement::Query(mut query)) => {
                    adapt(&mut query);
                    assert_eq!(query.to_string(), expected, "{sql}");
                }
                other => panic!("{sql}: {other:?}"),
            }
        }
    }
}
