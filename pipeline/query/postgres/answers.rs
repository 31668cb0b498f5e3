//! Questions planned and begun where queries are worked on, within what their statement may take.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::{ParamValues, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{QueryResponse, Response};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::data::DataRow;
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::{StreamExt, stream};

use super::adapt::adapt;
use super::names::name_columns;
use super::prepared::Settings;
use crate::query::bounds::Bounds;
use crate::query::{correlated, guard, reword, using};

/// In a scene's configuration: the format in which the client wants the columns of the statement that is run.
pub(super) struct Shown(pub Format);

/// Answers a question in one text. Upstream would tell its columns by the plan as it was written.
pub(super) async fn rows(
    statement: &Statement,
    context: &SessionContext,
    settings: &Settings,
) -> PgWireResult<Response> {
    let (state, statement) = (context.state(), statement.clone());
    let options = Arc::new(FormatOptions::from_client_metadata(settings));
    let within = bounds(&state);
    let work = within.work(async move {
        let plan = planned(&state, statement).await?;
        encoded(state, plan, &Format::UnifiedText, options).await
    });
    work.await
}

/// The same of a plan with parameters.
pub(super) async fn filled(
    plan: &LogicalPlan,
    values: &ParamValues,
    context: &SessionContext,
    settings: &Settings,
) -> PgWireResult<Response> {
    let (state, plan, values) = (context.state(), plan.clone(), values.clone());
    let options = Arc::new(FormatOptions::from_client_metadata(settings));
    let format = state.config().get_extension::<Shown>();
    bounds(&state)
        .work(async move {
            let plan = plan.replace_params_with_values(&values);
            let plan = plan.map_err(|error| PgWireError::ApiError(Box::new(error)))?;
            let format = format.as_ref().map_or(&Format::UnifiedText, |shown| &shown.0);
            encoded(state, plan, format, options).await
        })
        .await
}

async fn encoded(
    state: SessionState,
    plan: LogicalPlan,
    format: &Format,
    options: Arc<FormatOptions>,
) -> PgWireResult<Response> {
    let plan = settled(&state, plan);
    let frame = DataFrame::new(state, plan);
    let fields = Arc::new(arrow_schema_to_pg_fields(frame.schema().as_arrow(), format, Some(options))?);
    let batches = frame.execute_stream().await.map_err(|error| PgWireError::ApiError(Box::new(error)))?;
    let told = fields.clone();
    let rows = batches.flat_map(move |batch| {
        let rows: Rows = match batch.and_then(with_null_spans) {
            Ok(batch) => encode_recordbatch(told.clone(), batch),
            Err(error) => Box::new(std::iter::once(Err(PgWireError::ApiError(Box::new(error))))),
        };
        stream::iter(rows)
    });
    Ok(Response::Query(QueryResponse::new(fields, rows)))
}

type Rows = Box<dyn Iterator<Item = PgWireResult<DataRow>> + Send + Sync>;

/// Upstream (arrow-pg 0.16, `encoder.rs`) tells a span that is null as none at all, `00:00:00`; it looks for nulls in dictionaries.
fn with_null_spans(batch: RecordBatch) -> Result<RecordBatch> {
    let is_span = |column: &ArrayRef| matches!(column.data_type(), DataType::Interval(_)) && column.null_count() > 0;
    if !batch.columns().iter().any(is_span) {
        return Ok(batch);
    }
    let columns = batch.columns().iter().map(|column| match is_span(column) {
        true => {
            let rows = 0..column.len() as i32;
            let keys: Int32Array = rows.map(|row| column.is_valid(row as usize).then_some(row)).collect();
            Ok(Arc::new(DictionaryArray::try_new(keys, column.clone())?) as ArrayRef)
        }
        false => Ok(column.clone()),
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let fields = batch.schema_ref().fields().iter().zip(&columns);
    let fields = fields.map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// What a scene's statement may take.
fn bounds(state: &SessionState) -> Arc<Bounds> {
    state.config().get_extension().unwrap_or_default()
}

/// Plans a statement, its columns called as PostgreSQL calls them.
pub(super) async fn plan(state: &SessionState, statement: Statement) -> PgWireResult<LogicalPlan> {
    let own = state.clone();
    bounds(state).work(async move { planned(&own, statement).await }).await
}

async fn planned(state: &SessionState, mut statement: Statement) -> PgWireResult<LogicalPlan> {
    if let Statement::Query(query) = &mut statement {
        name_columns(query);
        adapt(query);
        reword::reword(&mut **query);
        using::write_out(&mut **query);
    }
    let statement = DfStatement::Statement(Box::new(statement));
    let plan = state.statement_to_plan(statement).await.map_err(|error| PgWireError::ApiError(Box::new(error)))?;
    guard::admit_plan(&plan)?;
    correlated::set_right(plan).map_err(|error| PgWireError::ApiError(Box::new(error)))
}

/// The plan with the types that its answer is going to have: as it is written, `CASE WHEN a THEN 1 ELSE 0.0 END` is a whole number
/// (Metabase counts with that). With parameters of unknown types it may stay as it is.
pub(super) fn settled(state: &SessionState, plan: LogicalPlan) -> LogicalPlan {
    state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {}).unwrap_or(plan)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::IntervalMonthDayNanoArray;
    use datafusion::arrow::array::types::IntervalMonthDayNano;

    use super::*;

    #[test]
    fn spans_that_are_null_are_told_as_null() -> PgWireResult<()> {
        let spans = IntervalMonthDayNanoArray::from(vec![Some(IntervalMonthDayNano::new(1, 2, 0)), None]);
        let batch = RecordBatch::try_from_iter([("span", Arc::new(spans) as ArrayRef)]).expect("a batch");
        let fields = arrow_schema_to_pg_fields(&batch.schema(), &Format::UnifiedText, None)?;
        let rows = encode_recordbatch(Arc::new(fields), with_null_spans(batch).expect("a batch"));
        let told: Vec<DataRow> = rows.collect::<PgWireResult<_>>()?;
        assert!(told[0].data.len() > 4, "{told:?}");
        // A length of -1.
        assert_eq!(told[1].data[..], [0xff; 4]);
        Ok(())
    }
}
