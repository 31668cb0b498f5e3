//! Questions planned and begun where queries are worked on, within what their statement may take.

use std::sync::Arc;

use datafusion::common::ParamValues;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::arrow_pg::datatypes::df::encode_dataframe;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::Response;
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::types::format::FormatOptions;

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
    Ok(Response::Query(encode_dataframe(frame, format, Some(options)).await?))
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
