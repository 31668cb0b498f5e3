//! Questions to PostgreSQL's catalogs in shapes that DataFusion does not plan, in shapes that it does. psql, SQLAlchemy, JDBC and
//! their like look into many catalogs that have no rows here, with subqueries and arrays of PostgreSQL's own: what cannot have a
//! row need not be planned. Of statements that name no catalog, formats of times alone are changed (Superset's filters).

mod empty;
mod one_row;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Ident, ObjectName, Query, Select, SetExpr, Statement, TableAlias, TableFactor,
    Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_postgres::pgwire::api::Type;

use crate::query::guard::QUERY_BYTES_MAX;
pub(super) use empty::EMPTY;
use empty::{is_empty, nothing_like};
use one_row::one_row;

const PG_CATALOG: &str = "pg_catalog";
const INFORMATION: &str = "information_schema";
const COLUMNS: &str = "columns";
/// Stands in for `information_schema.columns`, which in DataFusion has its own names of types and lacks columns.
pub(in crate::query) const INFORMATION_COLUMNS: &str = "pg_information_columns";

const SEARCH_PATH: &str = "current_setting('search_path')";

/// Only where one of these words stands is there anything to change.
const MARKS: [&str; 3] = ["pg_", INFORMATION, "regclass"];

/// The statements of `sql`, if any of them had to be changed. `types`: what the client says its parameters are.
pub(super) fn simplified(sql: &str, types: &[Option<Type>]) -> Option<String> {
    let lower = sql.to_ascii_lowercase();
    if sql.len() > QUERY_BYTES_MAX || !MARKS.iter().any(|word| lower.contains(word)) {
        return None;
    }
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    let mut changed = false;
    for statement in &mut statements {
        if let Statement::Query(query) = statement {
            changed |= simplify(query, types);
        }
    }
    let texts: Vec<String> = statements.iter().map(ToString::to_string).collect();
    changed.then(|| texts.join("; "))
}

fn simplify(query: &mut Query, types: &[Option<Type>]) -> bool {
    let mut names = Names { types, parameters: Vec::new(), shadows: false };
    let _ = Visit::visit(query, &mut names);
    if names.shadows {
        return false;
    }
    let before = names.parameters;
    let mut simplify = Simplify { changed: false };
    match is_empty(query).then(|| nothing_like(query, "CAST(NULL AS TEXT)")).flatten() {
        Some(nothing) => (*query, simplify.changed) = (nothing, true),
        None => {
            let _ = VisitMut::visit(query, &mut simplify);
        }
    }
    if simplify.changed {
        keep(query, before);
    }
    simplify.changed
}

/// What a statement calls things.
struct Names<'a> {
    types: &'a [Option<Type>],
    /// Each `$n` with the type that it is cast to.
    parameters: Vec<(String, String)>,
    /// A common table expression has the name of a catalog.
    shadows: bool,
}

impl Visitor for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let named = query.with.iter().flat_map(|with| &with.cte_tables);
        self.shadows |= named.into_iter().any(|cte| cte.alias.name.value.starts_with("pg_"));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let (inner, as_type) = match expr {
            Expr::Cast { expr, data_type, .. } => (&**expr, Some(data_type.to_string())),
            other => (other, None),
        };
        if let Expr::Value(value) = inner
            && let Value::Placeholder(name) = &value.value
            && self.parameters.iter().all(|(known, _)| known != name)
        {
            let kind = match as_type {
                Some(kind) if !is_alias_of_oids(&kind) => kind,
                _ => self.said(name).to_owned(),
            };
            self.parameters.push((name.clone(), kind));
        }
        ControlFlow::Continue(())
    }
}

impl Names<'_> {
    /// The type that the client gives to `$n`.
    fn said(&self, name: &str) -> &'static str {
        let at = name.trim_start_matches('$').parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match at.and_then(|at| self.types.get(at)).and_then(Option::as_ref) {
            Some(&Type::INT2) => "SMALLINT",
            Some(&Type::INT4) => "INT",
            Some(&(Type::INT8 | Type::OID)) => "BIGINT",
            Some(&Type::BOOL) => "BOOLEAN",
            Some(&(Type::FLOAT4 | Type::FLOAT8)) => "DOUBLE PRECISION",
            _ => "TEXT",
        }
    }
}

fn is_regclass(kind: &DataType) -> bool {
    matches!(kind, DataType::Regclass) || matches!(kind, DataType::Custom(name, _) if last(name) == "regclass")
}

/// `'pg_class'::regclass`, which upstream looks for in `public`, and `format(…)::regclass`, which it takes for a number.
fn regclass(name: &Expr) -> Option<Expr> {
    match name {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(table) if table.starts_with("pg_") && !table.contains('.') => {
                expression(&format!("'{PG_CATALOG}.{table}'::regclass"))
            }
            _ => None,
        },
        Expr::Function(_) => expression(&format!("to_regclass({name})")),
        _ => None,
    }
}

/// `regclass` and its like, which would be looked up by what they name.
fn is_alias_of_oids(kind: &str) -> bool {
    kind.to_ascii_lowercase().rsplit('.').next().is_some_and(|word| word.starts_with("reg"))
}

/// A statement goes on having the parameters that its client is going to send, whatever of it was left out.
fn keep(query: &mut Query, before: Vec<(String, String)>) {
    let mut after = Names { types: &[], parameters: Vec::new(), shadows: false };
    let _ = Visit::visit(query, &mut after);
    let lost = before.into_iter().filter(|(name, _)| after.parameters.iter().all(|(kept, _)| kept != name));
    let named: Vec<String> = lost.map(|(name, kind)| format!("CAST({name} AS {kind}) IS NULL")).collect();
    if named.is_empty() {
        return;
    }
    let always = expression(&format!("(true OR {})", named.join(" OR ")));
    if let (Some(select), Some(always)) = (first_mut(&mut query.body), always) {
        let condition = select.selection.take();
        select.selection = Some(match condition {
            Some(condition) => Expr::BinaryOp {
                left: Box::new(Expr::Nested(Box::new(condition))),
                op: BinaryOperator::And,
                right: Box::new(always),
            },
            None => always,
        });
    }
}

struct Simplify {
    changed: bool,
}

impl VisitorMut for Simplify {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let boolean = |is: bool| Expr::Value(Value::Boolean(is).with_empty_span());
        let simple = match expr {
            Expr::Subquery(query) if is_empty(query) => Some(Expr::Value(Value::Null.with_empty_span())),
            Expr::Subquery(query) => one_row(query),
            Expr::Exists { subquery, negated } if is_empty(subquery) => Some(boolean(*negated)),
            Expr::InSubquery { subquery, negated, .. } if is_empty(subquery) => Some(boolean(*negated)),
            // Grafana takes the path apart with an array in the place of a table.
            Expr::InSubquery { expr, subquery, negated } if subquery.to_string().contains(SEARCH_PATH) => {
                let public = Expr::Value(Value::SingleQuotedString("public".to_owned()).with_empty_span());
                Some(Expr::InList { expr: expr.clone(), list: vec![public], negated: *negated })
            }
            Expr::CompoundIdentifier(names) if is_column_of_columns(names) => {
                Some(Expr::CompoundIdentifier(names.split_off(1)))
            }
            Expr::Cast { expr, data_type, .. } if is_regclass(data_type) => regclass(expr),
            _ => None,
        };
        if let Some(simple) = simple {
            (*expr, self.changed) = (simple, true);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, args: None, .. } = factor
            && words(name) == [INFORMATION, COLUMNS]
        {
            *name = ObjectName::from(vec![Ident::new(PG_CATALOG), Ident::new(INFORMATION_COLUMNS)]);
            let own_name = || TableAlias { explicit: true, name: Ident::new(COLUMNS), columns: Vec::new(), at: None };
            alias.get_or_insert_with(own_name);
            self.changed = true;
        }
        if let TableFactor::Derived { subquery, .. } = factor
            && is_empty(subquery)
            && let Some(nothing) = nothing_like(subquery, "NULL")
        {
            (**subquery, self.changed) = (nothing, true);
        }
        ControlFlow::Continue(())
    }
}

/// `information_schema.columns.…`, whose table is called `columns` from now on.
fn is_column_of_columns(names: &[Ident]) -> bool {
    let [schema, table, _] = names else { return false };
    schema.value.eq_ignore_ascii_case(INFORMATION) && table.value.eq_ignore_ascii_case(COLUMNS)
}

fn words(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.to_ascii_lowercase()).collect()
}

fn last(name: &ObjectName) -> String {
    words(name).pop().unwrap_or_default()
}

fn first(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first(&query.body),
        SetExpr::SetOperation { left, .. } => first(left),
        _ => None,
    }
}

fn first_mut(body: &mut SetExpr) -> Option<&mut Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_mut(&mut query.body),
        SetExpr::SetOperation { left, .. } => first_mut(left),
        _ => None,
    }
}

fn expression(text: &str) -> Option<Expr> {
    Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?.parse_expr().ok()
}

#[cfg(test)]
mod tests;
