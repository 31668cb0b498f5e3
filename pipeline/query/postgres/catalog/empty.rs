//! What certainly has no rows.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, JoinOperator, Query, Select, SelectItem, SetExpr, SetOperator, Statement, TableFactor,
    TableWithJoins, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::{INFORMATION, PG_CATALOG, first, last, words};

/// Catalogs and system views that have no rows here: there are no indexes, constraints, defaults, triggers and so on, and
/// what upstream copied from a real server about its own ones is taken out ([`super::super::overlay`]).
pub(in crate::query::postgres) const EMPTY: [&str; 42] = [
    "pg_attrdef",
    "pg_constraint",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_enum",
    "pg_event_trigger",
    "pg_file_settings",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_largeobject",
    "pg_largeobject_metadata",
    "pg_locks",
    "pg_matviews",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_prepared_xacts",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_publication_tables",
    "pg_replication_origin",
    "pg_rewrite",
    "pg_rules",
    "pg_seclabel",
    "pg_sequence",
    "pg_sequences",
    "pg_shdepend",
    "pg_shseclabel",
    "pg_stat_activity",
    "pg_statistic",
    "pg_statistic_ext",
    "pg_statistic_ext_data",
    "pg_subscription",
    "pg_subscription_rel",
    "pg_trigger",
    "pg_user_mapping",
    "pg_user_mappings",
];

/// Views of `information_schema` that DataFusion has not, and that would have no rows.
const EMPTY_INFORMATION: [&str; 8] = [
    "check_constraints",
    "constraint_column_usage",
    "constraint_table_usage",
    "key_column_usage",
    "referential_constraints",
    "sequences",
    "table_constraints",
    "triggers",
];

/// Functions that make a row of no rows (PostgreSQL's manual, 9.21), as far as clients call them on catalogs.
const AGGREGATES: [&str; 15] = [
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "string_agg",
    "sum",
    "xmlagg",
];

/// Whether it certainly has no rows.
pub(super) fn is_empty(query: &Query) -> bool {
    query.with.is_none() && is_empty_body(&query.body)
}

fn is_empty_body(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => {
            let makes_rows = if is_ungrouped(select) { is_aggregate(select) } else { !is_grouped_plainly(select) };
            select.from.iter().any(is_empty_join) && !makes_rows
        }
        SetExpr::Query(query) => is_empty(query),
        SetExpr::SetOperation { op: SetOperator::Union, left, right, .. } => {
            is_empty_body(left) && is_empty_body(right)
        }
        SetExpr::SetOperation { left, .. } => is_empty_body(left),
        _ => false,
    }
}

pub(super) fn is_ungrouped(select: &Select) -> bool {
    matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty())
}

/// By expressions alone: ROLLUP and its like have a row of all, of no rows too.
fn is_grouped_plainly(select: &Select) -> bool {
    let GroupByExpr::Expressions(by, modifiers) = &select.group_by else { return false };
    modifiers.is_empty() && !by.iter().any(|by| matches!(by, Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_)))
}

pub(super) fn is_aggregate(select: &Select) -> bool {
    struct Calls;
    impl Visitor for Calls {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(call) if AGGREGATES.contains(&last(&call.name).as_str()) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    select.having.is_some() || select.projection.iter().any(|item| item.visit(&mut Calls).is_break())
}

fn is_empty_join(table: &TableWithJoins) -> bool {
    use JoinOperator::*;
    let mut is_empty = is_empty_factor(&table.relation);
    for join in &table.joins {
        let right = || is_empty_factor(&join.relation);
        is_empty = match &join.join_operator {
            Join(_) | Inner(_) | CrossJoin(_) => is_empty || right(),
            Left(_) | LeftOuter(_) => is_empty,
            Right(_) | RightOuter(_) => right(),
            FullOuter(_) => is_empty && right(),
            _ => false,
        };
    }
    is_empty
}

fn is_empty_factor(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Derived { subquery, .. } => is_empty(subquery),
        TableFactor::NestedJoin { table_with_joins, .. } => is_empty_join(table_with_joins),
        TableFactor::Table { name, args: None, .. } => match words(name).as_slice() {
            [schema, table] if schema == INFORMATION => EMPTY_INFORMATION.contains(&table.as_str()),
            _ => catalog_table(factor).is_some_and(|name| EMPTY.contains(&name.as_str())),
        },
        _ => false,
    }
}

/// The catalog that a table is, which needs no schema before its name.
pub(super) fn catalog_table(factor: &TableFactor) -> Option<String> {
    let TableFactor::Table { name, args: None, .. } = factor else { return None };
    let words: Vec<String> = words(name);
    match words.as_slice() {
        [schema, table] if schema == PG_CATALOG => Some(table.clone()),
        [table] if table.starts_with("pg_") => Some(table.clone()),
        _ => None,
    }
}

/// No rows, with columns of the same names; none where they are not said.
pub(super) fn nothing_like(query: &Query, value: &str) -> Option<Query> {
    let select = first(&query.body)?;
    let mut names: Vec<String> = Vec::new();
    for item in &select.projection {
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            SelectItem::UnnamedExpr(expr) => name_of(expr),
            _ => return None,
        };
        // DataFusion wants each name once.
        let taken = names.iter().filter(|known| known.eq_ignore_ascii_case(&name)).count();
        names.push(if taken == 0 { name } else { format!("{name}_{}", names.len()) });
    }
    let columns: Vec<String> =
        names.iter().map(|name| format!("{value} AS \"{}\"", name.replace('"', "\"\""))).collect();
    let text = format!("SELECT {} WHERE false", columns.join(", "));
    match Parser::parse_sql(&PostgreSqlDialect {}, &text).ok()?.pop()? {
        Statement::Query(nothing) => Some(*nothing),
        _ => None,
    }
}

/// What PostgreSQL calls a column without a name.
fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => name.value.clone(),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.clone()).unwrap_or_default(),
        Expr::Function(call) => last(&call.name),
        Expr::Cast { expr, .. } | Expr::Nested(expr) | Expr::Collate { expr, .. } => name_of(expr),
        Expr::Case { .. } => "case".to_owned(),
        _ => "?column?".to_owned(),
    }
}
