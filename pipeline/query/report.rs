//! `callweave report`: the questions of `queries/reports/`, narrowed by what the asker gives.
//!
//! A report reads the marts and is plain SQL without parameters. What the asker gives narrows the marts under it
//! ([`narrow`]): a range of local dates, an account and a condition become filters of them, and the time zone sets their
//! local columns. The columns that a report may be broken down by are named in its header; those that were not chosen are
//! taken out of its statement ([`fold`]).

mod fold;
pub(super) mod narrow;
mod plot;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::dataframe::DataFrame;
use datafusion::sql::parser::Statement;
use futures::{StreamExt, TryStreamExt};

use narrow::Scope;

use super::error::{QueryError, nearest};
use super::format::{Encoder, Format};
use super::guard;
use super::library::{CHECKS, REPORTS, Text};
use super::output::{Output, Shape, pump};
use super::run::{refuse_bytes_on_terminal, refuse_inside, tell_cut};
use super::session::{Answer, QuerySession, Scene};
use crate::telemetry::say;

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
    /// Bars in place of a table.
    pub plot: bool,
    /// The report's statement in place of its answer, for other engines that see the views.
    pub sql: bool,
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
    refuse_inside(&options.lake, options.output.as_deref())?;
    let shape = Shape::new(options.format, options.output.as_deref(), options.max_rows);
    match write_report(&options, shape).await {
        Err(error) if error.is_broken_pipe() => Ok(()),
        result => result,
    }
}

async fn write_report(options: &ReportOptions, shape: Shape) -> Result<(), QueryError> {
    let output = options.output.as_deref();
    if options.plot && options.format != Format::Table {
        return Err(not_plotted(format!("draws text, not {}: leave --format away", options.format)));
    }
    let Some(name) = options.name.as_deref() else {
        let list: Vec<_> = reports().collect();
        let names = StringArray::from_iter_values(list.iter().map(|(name, _)| name));
        let asks = StringArray::from_iter_values(list.iter().map(|(_, question)| question));
        return write_batch(vec![("report", Arc::new(names)), ("asks", Arc::new(asks))], shape, Output::open(output)?);
    };
    if name == CHECKS_NAME {
        refuse_of_checks(options)?;
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
    if options.sql {
        return write_statement(text, options, &range, Output::open(output)?);
    }
    let session = super::run::open(&options.lake)?;
    if let Some(account) = &options.account
        && let Some(told) = stranger(&session, account).await?
    {
        say!("callweave: {told}");
    }
    let (scene, frame) = frame(&session, text, &range).await?;
    let answer = scene.run(frame, text.sql).await?;
    if options.plot {
        return write_plot(answer, text, options, Output::open(output)?).await;
    }
    let (written, to) = pump(answer, shape, text.sql, Output::open(output)?).await?;
    if written.is_cut {
        tell_cut(written.rows, shape.format);
    }
    to.finish()
}

/// Accounts that reports can have rows of.
const ACCOUNTS: &str = "SELECT DISTINCT account FROM (SELECT account FROM calls UNION ALL SELECT account FROM sessions \
    UNION ALL SELECT account FROM leases UNION ALL SELECT account FROM deals UNION ALL SELECT account FROM ad_costs) AS rows";

/// What to say of an account that nothing in the lake is of: its report is empty, and so is that of a misspelt one.
pub(super) async fn stranger(session: &QuerySession, account: &str) -> Result<Option<String>, QueryError> {
    let statement = session.admit(ACCOUNTS)?.pop().ok_or(QueryError::NoQuery)?;
    let rows = session.answer(statement, ACCOUNTS).await?.rows;
    let batches: Vec<RecordBatch> =
        rows.try_collect().await.map_err(|error| QueryError::from_engine(error, ACCOUNTS))?;
    let accounts = |batch: &RecordBatch| cast(batch.column(0), &DataType::Utf8);
    let accounts: Vec<ArrayRef> = batches.iter().map(accounts).collect::<Result<_, _>>()?;
    let known: Vec<&str> = accounts.iter().flat_map(|it| it.as_string::<i32>().iter().flatten()).collect();
    if known.contains(&account) {
        return Ok(None);
    }
    let mend = nearest(account, known).map_or(String::new(), |near| format!("; did you mean {near}?"));
    Ok(Some(format!("nothing in this lake is of account {account}{mend}")))
}

/// The checks look at the whole lake.
fn refuse_of_checks(options: &ReportOptions) -> Result<(), QueryError> {
    let given = [
        ("--from", options.from.is_some()),
        ("--to", options.to.is_some()),
        ("--by", options.by.is_some()),
        ("--where", options.where_.is_some()),
        ("--timezone", options.timezone.is_some()),
        ("--account", options.account.is_some()),
        ("--plot", options.plot),
        ("--sql", options.sql),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => Err(QueryError::Parameter {
            flag,
            problem: "is of a report; checks look at the whole lake: leave it away".to_owned(),
        }),
        None => Ok(()),
    }
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

fn write_statement(text: &Text, options: &ReportOptions, scope: &Scope, mut to: Output) -> Result<(), QueryError> {
    let narrowed = [&options.from, &options.to, &options.timezone, &options.account, &options.where_];
    if narrowed.iter().any(|it| it.is_some()) {
        let problem = "has no range, zone, account or condition: they narrow the views under the statement".to_owned();
        return Err(QueryError::Parameter { flag: "--sql", problem });
    }
    let statement = if scope.folded.is_empty() { text.sql.to_owned() } else { format!("{}\n", folded(text, scope)?) };
    to.write_all(statement.as_bytes()).map_err(|error| QueryError::from(ArrowError::from(error)))?;
    to.finish()
}

fn not_plotted(problem: String) -> QueryError {
    QueryError::Parameter { flag: "--plot", problem }
}

async fn write_plot(
    mut answer: Answer,
    text: &Text,
    options: &ReportOptions,
    mut to: Output,
) -> Result<(), QueryError> {
    let measure = text.list("measure").first().and_then(|name| answer.schema.index_of(name).ok());
    let Some(measure) = measure else {
        return Err(not_plotted(format!("{} has no measure to draw bars of", text.name)));
    };
    let most = options.max_rows.unwrap_or(plot::BARS_MAX).min(plot::BARS_MAX);
    let mut bars = Vec::new();
    while bars.len() <= most
        && let Some(batch) = answer.rows.next().await
    {
        let batch = batch.map_err(|error| QueryError::from_engine(error, text.sql))?;
        bars.extend(plot::bars(&batch, measure)?);
    }
    let is_cut = bars.len() > most;
    bars.truncate(most);
    let names: Vec<&str> = answer.schema.fields()[..=measure].iter().map(|field| field.name().as_str()).collect();
    let drawn = plot::draw(&bars, &names, plot::terminal_width(), &mut to);
    drawn.map_err(|error| QueryError::from(ArrowError::from(error)))?;
    if is_cut {
        tell_cut(most, Format::Table);
    }
    to.finish()
}

fn write_batch(columns: Vec<(&str, ArrayRef)>, shape: Shape, to: Output) -> Result<(), QueryError> {
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut encoder = Encoder::new(shape.format, shape.arrow_file, &batch.schema(), to)?;
    encoder.write(&batch)?;
    encoder.finish()?.1.finish()
}

/// The report over the narrowed marts.
pub(super) async fn frame(
    session: &QuerySession,
    text: &Text,
    scope: &Scope,
) -> Result<(Scene, DataFrame), QueryError> {
    let mut statement = folded(text, scope)?;
    let scene = session.scene(&[&statement]).await?;
    narrow::narrow_marts(scene.context(), text, scope, &mut statement).await?;
    let frame = scene.plan(statement, text.sql).await?;
    Ok((scene, frame))
}

/// The report's statement without the columns that were not asked for.
fn folded(text: &Text, scope: &Scope) -> Result<Statement, QueryError> {
    let statement = guard::admit(text.sql)?.pop().ok_or(QueryError::NoQuery)?;
    let told = |error| QueryError::from_engine(DataFusionError::from(error), text.sql);
    fold::fold(statement, &scope.folded).map_err(told)
}
