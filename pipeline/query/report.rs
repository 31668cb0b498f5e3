//! `callweave report`: the questions of `queries/reports/`, narrowed by what the asker gives.
//!
//! A report reads the marts and is plain SQL without parameters. What the asker gives narrows the marts under it: a
//! range of local dates, an account and a condition become filters of them, and the time zone sets their
//! `local_started_at`. The columns that a report may be broken down by are named in its header; those that were not
//! chosen are emptied in the marts, so that the report's own GROUP BY folds them, and are left out of the result.

use std::path::PathBuf;
use std::sync::Arc;

use callweave_core::time::{Date, Time};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DataFusionError, ScalarValue, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::functions::datetime::expr_fn::to_local_time;
use datafusion::logical_expr::{Expr, cast, lit};
use datafusion::prelude::{SessionContext, ident};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr as SqlExpr, ExprWithAlias};

use super::error::{QueryError, nearest};
use super::format::{Encoder, Format};
use super::library::{CHECKS, MARTS, REPORTS, Text};
use super::output::{Output, Shape, pump};
use super::run::{refuse_bytes_on_terminal, tell_cut};
use super::session::{MART, QuerySession, Scene};

/// The name under which all checks are counted; `checks/NAME` shows what one of them finds.
const CHECKS_NAME: &str = "checks";

#[derive(Debug, Clone, Default)]
pub struct ReportOptions {
    /// A folder or a URL.
    pub lake: String,
    /// Nothing: the reports are listed.
    pub name: Option<String>,
    /// The first local day, such as `2026-11-01`.
    pub from: Option<String>,
    /// The last local day: it counts whole.
    pub to: Option<String>,
    /// An IANA name such as `Europe/Berlin`. Nothing: UTC.
    pub timezone: Option<String>,
    pub account: Option<String>,
    /// Columns to break down by, with commas between. Nothing: the report's own choice.
    pub by: Option<String>,
    /// A condition in SQL over the columns of the report's marts.
    pub where_: Option<String>,
    pub format: Format,
    pub output: Option<PathBuf>,
    pub max_rows: Option<usize>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    pub name: &'static str,
    pub description: &'static str,
    /// Nothing is right.
    pub offenders: usize,
}

/// The reports' names and questions.
pub fn reports() -> impl Iterator<Item = (&'static str, &'static str)> {
    let checks = (CHECKS_NAME, "What in the lake is not as it should be?");
    REPORTS.iter().map(|text| (text.name, text.description())).chain([checks])
}

/// Writes the report, or the list of reports.
pub async fn report(options: ReportOptions) -> Result<(), QueryError> {
    refuse_bytes_on_terminal(options.format, options.output.as_deref())?;
    let shape = Shape::new(options.format, options.output.as_deref(), options.max_rows);
    match write_report(&options, shape).await {
        Err(error) if error.is_broken_pipe() => Ok(()),
        result => result,
    }
}

async fn write_report(options: &ReportOptions, shape: Shape) -> Result<(), QueryError> {
    let output = options.output.as_deref();
    let Some(name) = options.name.as_deref() else {
        let list: Vec<_> = reports().collect();
        let names = StringArray::from_iter_values(list.iter().map(|(name, _)| name));
        let asks = StringArray::from_iter_values(list.iter().map(|(_, question)| question));
        return write_batch(vec![("report", Arc::new(names)), ("asks", Arc::new(asks))], shape, Output::open(output)?);
    };
    if name == CHECKS_NAME {
        let found = checks(&options.lake).await?;
        let names = StringArray::from_iter_values(found.iter().map(|check| check.name));
        let counts = Int64Array::from_iter_values(found.iter().map(|check| check.offenders as i64));
        let finds = StringArray::from_iter_values(found.iter().map(|check| check.description));
        let columns: Vec<(&str, ArrayRef)> =
            vec![("check", Arc::new(names)), ("offenders", Arc::new(counts)), ("finds", Arc::new(finds))];
        return write_batch(columns, shape, Output::open(output)?);
    }
    let text = find(name)?;
    let range = Scope::read(text, options)?;
    let session = QuerySession::open(&options.lake)?;
    let (scene, frame) = frame(&session, text, &range).await?;
    let answer = scene.run(frame, text.sql).await?;
    let (written, to) = pump(answer, shape, text.sql, Output::open(output)?).await?;
    if written.is_cut {
        tell_cut(written.rows, shape.format);
    }
    to.finish()
}

/// Runs every check of `queries/checks/`.
pub async fn checks(lake: &str) -> Result<Vec<CheckResult>, QueryError> {
    let session = QuerySession::open(lake)?;
    let mut found = Vec::with_capacity(CHECKS.len());
    for text in CHECKS {
        let (_, frame) = frame(&session, text, &Scope::default()).await?;
        let offenders = frame.count().await.map_err(|error| QueryError::from_engine(error, text.sql))?;
        found.push(CheckResult { name: text.name, description: text.description(), offenders });
    }
    Ok(found)
}

fn find(name: &str) -> Result<&'static Text, QueryError> {
    let found = match name.strip_prefix("checks/") {
        Some(check) => Text::find(CHECKS, check),
        None => Text::find(REPORTS, name),
    };
    found.ok_or_else(|| {
        let near = match name.strip_prefix("checks/") {
            Some(check) => nearest(check, CHECKS.iter().map(|text| text.name)).map(|near| format!("checks/{near}")),
            None => nearest(name, reports().map(|(name, _)| name)),
        };
        QueryError::NoReport { name: name.to_owned(), near }
    })
}

fn write_batch(columns: Vec<(&str, ArrayRef)>, shape: Shape, to: Output) -> Result<(), QueryError> {
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut encoder = Encoder::new(shape.format, shape.arrow_file, &batch.schema(), to)?;
    encoder.write(&batch)?;
    encoder.finish()?.1.finish()
}

/// What a report is narrowed to, checked.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The first instant that counts, and the first that no longer does.
    from: Option<Time>,
    before: Option<Time>,
    timezone: Option<Tz>,
    account: Option<String>,
    /// Columns to be folded.
    folded: Vec<&'static str>,
    condition: Option<String>,
}

impl Scope {
    pub(super) fn read(text: &Text, options: &ReportOptions) -> Result<Scope, QueryError> {
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
            from: from.map(|day| start_of_day(day, zone)),
            before: to.and_then(|day| day.succ_opt()).map(|day| start_of_day(day, zone)),
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

/// A day begins at midnight, or where the clock is put forward over midnight, when it is next there.
fn start_of_day(day: NaiveDate, zone: Tz) -> Time {
    let midnight = NaiveDateTime::new(day, NaiveTime::MIN);
    let first = (0..=24)
        .map(|quarters| midnight + TimeDelta::minutes(15 * quarters))
        .find_map(|local| zone.from_local_datetime(&local).earliest());
    Time(first.map_or_else(|| midnight.and_utc().timestamp_micros(), |instant| instant.timestamp_micros()))
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
        let near = near.map_or_else(String::new, |near| format!(", did you mean {near}?"));
        let all = if possible.is_empty() { "nothing".to_owned() } else { possible.join(", ") };
        let problem = format!("{unknown:?} is not what {} can be broken down by{near} It is {all}", text.name);
        return Err(QueryError::Parameter { flag: "--by", problem });
    }
    Ok(possible.into_iter().filter(|column| !chosen.contains(column)).collect())
}

/// The report over the narrowed marts.
pub(super) async fn frame(
    session: &QuerySession,
    text: &Text,
    scope: &Scope,
) -> Result<(Scene, DataFrame), QueryError> {
    let statement = session.admit(text.sql)?.pop().ok_or(QueryError::NoQuery)?;
    let scene = session.scene(&[&statement]).await?;
    narrow_marts(scene.context(), text, scope).await?;
    let frame = scene.plan(statement, text.sql).await?;
    let frame = frame.drop_columns(&scope.folded).map_err(|error| QueryError::from_engine(error, text.sql))?;
    Ok((scene, frame))
}

async fn narrow_marts(context: &SessionContext, text: &Text, scope: &Scope) -> Result<(), QueryError> {
    let sql = scope.condition.as_deref().unwrap_or(text.sql);
    let told = |error| QueryError::from_engine(error, sql);
    let mut conditions = read_condition(context, scope.condition.as_deref())?;
    for mart in MARTS {
        let name = TableReference::partial(MART, mart.name);
        if !context.table_exist(name.clone()).map_err(told)? {
            continue;
        }
        let frame = context.table(name.clone()).await.map_err(told)?;
        let frame = filter(frame, context, &mut conditions).and_then(|frame| narrow(frame, scope)).map_err(told)?;
        context.deregister_table(name.clone()).map_err(told)?;
        context.register_table(name, frame.into_view()).map_err(told)?;
    }
    match conditions.into_iter().find_map(Condition::unmet) {
        Some(error) => Err(told(error)),
        None => Ok(()),
    }
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
        let refused = || DataFusionError::Plan("--where needs a report that reads calls or sessions".to_owned());
        if self.is_met { None } else { Some(self.refused.unwrap_or_else(refused)) }
    }
}

fn read_condition(context: &SessionContext, text: Option<&str>) -> Result<Vec<Condition>, QueryError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let state = context.state();
    let dialect = state.config_options().sql_parser.dialect;
    let whole = state.sql_to_expr(text, &dialect).map_err(|error| QueryError::from_engine(error, text))?;
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

fn filter(
    mut frame: DataFrame,
    context: &SessionContext,
    conditions: &mut [Condition],
) -> Result<DataFrame, DataFusionError> {
    for condition in conditions {
        match context.state().create_logical_expr_from_sql_expr(condition.sql.clone(), frame.schema()) {
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

fn narrow(mut frame: DataFrame, scope: &Scope) -> Result<DataFrame, DataFusionError> {
    if let Some(account) = &scope.account {
        frame = frame.filter(ident("account").eq(lit(account.as_str())))?;
    }
    // The date is said beside the time, since it names the partition.
    if let Some(from) = scope.from {
        frame = frame.filter(ident("started_at").gt_eq(instant(from)).and(ident("date").gt_eq(date(from))))?;
    }
    if let Some(before) = scope.before {
        frame = frame.filter(ident("started_at").lt(instant(before)).and(ident("date").lt_eq(date(before))))?;
    }
    let zone = scope.timezone.filter(|zone| *zone != Tz::UTC);
    let columns: Result<Vec<Expr>, DataFusionError> = frame
        .schema()
        .fields()
        .iter()
        .map(|field| match (field.name().as_str(), zone) {
            (name, _) if scope.folded.contains(&name) => Ok(lit(ScalarValue::try_from(field.data_type())?).alias(name)),
            ("local_started_at", Some(zone)) => Ok(local(zone).alias("local_started_at")),
            (name, _) => Ok(ident(name)),
        })
        .collect();
    frame.select(columns?)
}

fn instant(time: Time) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(time.0), Some("UTC".into())))
}

fn date(time: Time) -> Expr {
    lit(ScalarValue::Date32(Some(time.date().0)))
}

/// The wall clock at `started_at`.
fn local(zone: Tz) -> Expr {
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.name().into()));
    to_local_time(vec![cast(ident("started_at"), zoned)])
}
