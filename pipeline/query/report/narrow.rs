//! What the asker gives, as filters and local columns of the marts under a report.
//!
//! A range, an account and a zone are of the whole report. A condition picks what it is about (missed calls, first visits)
//! and not what these are held against (who was reached, what visitors do later): the parts of WITH that a report's header
//! names as `whole` get only those conditions that none of the marts outside of them has the columns of.

use std::collections::HashSet;
use std::ops::ControlFlow;

use callweave_core::time::{Date, Time};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DataFusionError, ScalarValue, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::functions::datetime::expr_fn::{date_part, to_local_time};
use datafusion::logical_expr::{Expr, cast, lit};
use datafusion::prelude::{SessionContext, ident};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr as SqlExpr, ExprWithAlias, Ident, ObjectName, Query, Visit, Visitor, visit_relations,
    visit_relations_mut,
};

use super::ReportOptions;
use crate::query::error::{QueryError, nearest};
use crate::query::library::{MARTS, Text};
use crate::query::session::MART;

/// What a report is narrowed to, checked.
#[derive(Debug, Default)]
pub(in crate::query) struct Scope {
    from: Option<Edge>,
    /// What no longer counts.
    before: Option<Edge>,
    timezone: Option<Tz>,
    account: Option<String>,
    /// Columns to be folded.
    pub(super) folded: Vec<&'static str>,
    condition: Option<String>,
}

/// Where a range of local days begins or ends.
#[derive(Debug, Clone, Copy)]
struct Edge {
    day: NaiveDate,
    /// Its beginning.
    instant: Time,
}

impl Scope {
    pub(in crate::query) fn read(text: &Text, options: &ReportOptions) -> Result<Scope, QueryError> {
        let timezone = match &options.timezone {
            Some(name) => Some(name.parse::<Tz>().map_err(|_| QueryError::Parameter {
                flag: "--timezone",
                problem: format!("knows no zone {name:?}: give an IANA name such as Europe/Berlin"),
            })?),
            None => None,
        };
        let zone = timezone.unwrap_or(Tz::UTC);
        let from = options.from.as_deref().map(|day| read_day("--from", day)).transpose()?;
        let to = options.to.as_deref().map(|day| read_day("--to", day)).transpose()?;
        if let (Some(from), Some(to)) = (from, to)
            && to < from
        {
            return Err(QueryError::Parameter { flag: "--to", problem: format!("{to} is before --from {from}") });
        }
        Ok(Scope {
            from: from.map(|day| Edge::of(day, zone)),
            before: to.and_then(|day| day.succ_opt()).map(|day| Edge::of(day, zone)),
            timezone,
            account: options.account.clone(),
            folded: folded(text, options.by.as_deref())?,
            condition: options.where_.clone(),
        })
    }
}

fn read_day(flag: &'static str, text: &str) -> Result<NaiveDate, QueryError> {
    let problem = || QueryError::Parameter { flag, problem: format!("{text:?} is not a date such as 2026-11-20") };
    Date::parse(text).map_err(|_| problem())?;
    text.parse().map_err(|_| problem())
}

impl Edge {
    /// A day begins at midnight, or where the clock is put forward over midnight, when it is next there.
    fn of(day: NaiveDate, zone: Tz) -> Edge {
        let midnight = NaiveDateTime::new(day, NaiveTime::MIN);
        let first = (0..=24)
            .map(|quarters| midnight + TimeDelta::minutes(15 * quarters))
            .find_map(|local| zone.from_local_datetime(&local).earliest());
        let instant = first.map_or_else(|| midnight.and_utc().timestamp_micros(), |it| it.timestamp_micros());
        Edge { day, instant: Time(instant) }
    }
}

/// The columns that the report is not to be broken down by.
fn folded(text: &Text, by: Option<&str>) -> Result<Vec<&'static str>, QueryError> {
    let possible = text.list("by");
    let Some(by) = by else {
        let default = text.list("default");
        return Ok(possible.into_iter().filter(|column| !default.contains(column)).collect());
    };
    let chosen: Vec<&str> = by.split(',').map(str::trim).filter(|column| !column.is_empty()).collect();
    if let Some(unknown) = chosen.iter().find(|column| !possible.contains(column)) {
        let near = nearest(unknown, possible.iter().copied());
        let near = near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
        let problem = match possible.is_empty() {
            true => format!("is {unknown:?}, but {} cannot be broken down: leave --by away", text.name),
            false => format!(
                "is {unknown:?}, which {} cannot be broken down by{near}: give one or more of {}",
                text.name,
                possible.join(", ")
            ),
        };
        return Err(QueryError::Parameter { flag: "--by", problem });
    }
    Ok(possible.into_iter().filter(|column| !chosen.contains(column)).collect())
}

/// Puts narrowed marts in the place of those under `statement`, which is the one of `text`.
pub(super) async fn narrow_marts(
    context: &SessionContext,
    text: &Text,
    scope: &Scope,
    statement: &mut Statement,
) -> Result<(), QueryError> {
    let sql = scope.condition.as_deref().unwrap_or(text.sql);
    let told = |error| QueryError::from_engine(error, sql);
    let mut conditions = read_condition(context, scope.condition.as_deref())?;
    let mut narrowed = Vec::new();
    for mart in MARTS {
        let name = TableReference::partial(MART, mart.name);
        if !context.table_exist(name.clone()).map_err(told)? {
            continue;
        }
        let frame = context.table(name.clone()).await.map_err(told)?;
        let times = Times::of(mart);
        if matches!(times, Times::None) && (scope.from.is_some() || scope.before.is_some()) {
            let problem = format!("{} is counted over all time: it has no days to pick from", text.name);
            return Err(QueryError::Parameter { flag: "--from or --to", problem });
        }
        narrowed.push((mart.name.to_owned(), narrow(frame, times, scope).map_err(told)?));
    }
    set_apart(statement, &text.list("whole"));
    let named = marts_named(statement);
    let apart: Vec<_> = narrowed.iter().map(|(mart, frame)| (name_apart(mart), frame.clone())).collect();
    for marts in [narrowed, apart] {
        // What was met outside of the parts apart is no condition on them.
        let (met, mut open): (Vec<_>, Vec<_>) = conditions.into_iter().partition(|condition| condition.is_met);
        for (mart, frame) in marts.into_iter().filter(|(mart, _)| named.contains(mart)) {
            let name = TableReference::partial(MART, mart);
            // The condition is over what the report sees: its days and hours are those of the zone.
            let frame = filter(frame, context, &mut open).map_err(|error| mistaken(error, sql))?;
            context.deregister_table(name.clone()).map_err(told)?;
            context.register_table(name, frame.into_view()).map_err(told)?;
        }
        conditions = met.into_iter().chain(open).collect();
    }
    match conditions.into_iter().find_map(Condition::unmet) {
        Some(error) => Err(mistaken(error, sql)),
        None => Ok(()),
    }
}

/// The name of a mart where it stands in a part that a condition leaves whole.
fn name_apart(mart: &str) -> String {
    format!("{mart} whole")
}

/// Gives the marts in these parts of WITH their names apart.
fn set_apart(statement: &mut Statement, parts: &[&str]) {
    let Statement::Statement(statement) = statement else { return };
    let ast::Statement::Query(query) = &mut **statement else { return };
    let Some(with) = &mut query.with else { return };
    for part in with.cte_tables.iter_mut().filter(|part| parts.contains(&part.alias.name.value.as_str())) {
        let _ = visit_relations_mut(&mut *part.query, |name| {
            if let Some(apart) = mart_named(name).map(name_apart) {
                *name = ObjectName::from(vec![Ident::new(MART), Ident::with_quote('"', apart)]);
            }
            ControlFlow::<()>::Continue(())
        });
    }
}

fn marts_named(statement: &Statement) -> HashSet<String> {
    let mut named = HashSet::new();
    if let Statement::Statement(statement) = statement {
        let _ = visit_relations(&**statement, |name| {
            named.extend(mart_named(name).map(str::to_owned));
            ControlFlow::<()>::Continue(())
        });
    }
    named
}

fn mart_named(name: &ObjectName) -> Option<&str> {
    let [schema, mart] = &name.0[..] else { return None };
    (schema.as_ident()?.value == MART).then_some(mart.as_ident()?.value.as_str())
}

fn mistaken(error: DataFusionError, condition: &str) -> QueryError {
    QueryError::Parameter { flag: "--where", problem: QueryError::from_engine(error, condition).to_string() }
}

/// One of the conditions that the asker joined by AND. It holds for every mart that has its columns; where none has
/// them, it is a mistake.
struct Condition {
    sql: ExprWithAlias,
    is_met: bool,
    refused: Option<DataFusionError>,
}

impl Condition {
    fn unmet(self) -> Option<DataFusionError> {
        let refused = || DataFusionError::Plan("--where needs a report that reads marts".to_owned());
        if self.is_met { None } else { Some(self.refused.unwrap_or_else(refused)) }
    }
}

fn read_condition(context: &SessionContext, text: Option<&str>) -> Result<Vec<Condition>, QueryError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let state = context.state();
    let dialect = state.config_options().sql_parser.dialect;
    let whole = state.sql_to_expr(text, &dialect).map_err(|error| mistaken(error, text))?;
    if whole.visit(&mut Subqueries).is_break() {
        return Err(mistaken(not_of_one_row(), text));
    }
    let mut parts = Vec::new();
    split_and(whole, &mut parts);
    let condition = |expr| Condition { sql: ExprWithAlias { expr, alias: None }, is_met: false, refused: None };
    Ok(parts.into_iter().map(condition).collect())
}

/// Depth is bounded by the parser's own limit.
fn split_and(expr: SqlExpr, parts: &mut Vec<SqlExpr>) {
    match expr {
        SqlExpr::BinaryOp { left, op: BinaryOperator::And, right } => {
            split_and(*left, parts);
            split_and(*right, parts);
        }
        SqlExpr::Nested(inner) => split_and(*inner, parts),
        other => parts.push(other),
    }
}

/// Breaks off at the first.
struct Subqueries;

impl Visitor for Subqueries {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

/// Whether one row is not enough to tell, or many rows come of it.
fn is_of_rows(expr: &Expr) -> bool {
    matches!(expr, Expr::AggregateFunction(_) | Expr::WindowFunction(_) | Expr::Unnest(_))
}

fn not_of_one_row() -> DataFusionError {
    DataFusionError::Plan(
        "is a condition on single rows: leave aggregates, window functions and subqueries away".to_owned(),
    )
}

fn filter(
    mut frame: DataFrame,
    context: &SessionContext,
    conditions: &mut [Condition],
) -> Result<DataFrame, DataFusionError> {
    for condition in conditions {
        match context.state().create_logical_expr_from_sql_expr(condition.sql.clone(), frame.schema()) {
            Ok(expr) if expr.exists(|part| Ok(is_of_rows(part)))? => return Err(not_of_one_row()),
            Ok(expr) => {
                frame = frame.filter(expr)?;
                condition.is_met = true;
            }
            Err(error) if matches!(error.find_root(), DataFusionError::SchemaError(..)) => {
                condition.refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(frame)
}

/// What a mart's rows have of time, by its header.
#[derive(Debug, Clone, Copy)]
enum Times {
    /// A column of instants, with `local_` before its name the column of its wall clock.
    At(&'static str),
    /// A column of days that no time zone moves.
    Day(&'static str),
    None,
}

impl Times {
    fn of(mart: &Text) -> Times {
        match (mart.list("time").first(), mart.list("day").first()) {
            (Some(at), _) => Times::At(at),
            (None, Some(day)) => Times::Day(day),
            (None, None) => Times::None,
        }
    }
}

fn narrow(mut frame: DataFrame, times: Times, scope: &Scope) -> Result<DataFrame, DataFusionError> {
    if let Some(account) = &scope.account {
        frame = frame.filter(ident("account").eq(lit(account.as_str())))?;
    }
    let at = match times {
        Times::At(at) => at,
        Times::Day(day) => return days(frame, day, scope),
        Times::None => return Ok(frame),
    };
    // The date is said beside the time, since it names the partition.
    if let Some(Edge { instant: from, .. }) = scope.from {
        frame = frame.filter(ident(at).gt_eq(instant(from)).and(ident("date").gt_eq(date(from))))?;
    }
    if let Some(Edge { instant: before, .. }) = scope.before {
        frame = frame.filter(ident(at).lt(instant(before)).and(ident("date").lt_eq(date(before))))?;
    }
    match scope.timezone.filter(|zone| *zone != Tz::UTC) {
        Some(zone) => localized(frame, at, zone),
        None => Ok(frame),
    }
}

fn days(mut frame: DataFrame, column: &str, scope: &Scope) -> Result<DataFrame, DataFusionError> {
    if let Some(Edge { day, .. }) = scope.from {
        frame = frame.filter(ident(column).gt_eq(day_of(day)))?;
    }
    if let Some(Edge { day, .. }) = scope.before {
        frame = frame.filter(ident(column).lt(day_of(day)))?;
    }
    Ok(frame)
}

/// The same rows with the columns that are read from the wall clock at `at`.
fn localized(frame: DataFrame, at: &str, zone: Tz) -> Result<DataFrame, DataFusionError> {
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.name().into()));
    let wall = || to_local_time(vec![cast(ident(at), zoned.clone())]);
    let whole = format!("local_{at}");
    let local = |name: &str| match name {
        _ if name == whole => Some(wall()),
        "day" => Some(cast(wall(), DataType::Date32)),
        "weekday" => Some(cast(date_part(lit("dow"), wall()), DataType::Int32)),
        "hour" => Some(cast(date_part(lit("hour"), wall()), DataType::Int32)),
        _ => None,
    };
    // Under the mart's name, as the others are: a condition may say `calls.hour`.
    let columns: Vec<Expr> = frame
        .schema()
        .iter()
        .map(|(mart, field)| match local(field.name()) {
            Some(expr) => expr.alias_qualified(mart.cloned(), field.name()),
            None => ident(field.name()),
        })
        .collect();
    frame.select(columns)
}

fn instant(time: Time) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(time.0), Some("UTC".into())))
}

fn date(time: Time) -> Expr {
    lit(ScalarValue::Date32(Some(time.date().0)))
}

fn day_of(day: NaiveDate) -> Expr {
    let since = day.signed_duration_since(NaiveDate::default()).num_days();
    lit(ScalarValue::Date32(i32::try_from(since).ok()))
}
