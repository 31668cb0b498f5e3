//! A shared statement that is answered though a machine goes away.

use std::fmt;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tonic::Status;

use super::crew::Crew;
use super::planner::{Shared, alone, shared};
use crate::query::QueryError;
use crate::query::attempts::{Attempts, attempted, begin, with_schema};
use crate::query::spill::spilling;
use crate::query::yields::yielding;
use crate::telemetry::metrics::Way;

pub(super) struct Again {
    crew: Arc<Crew>,
    /// What another attempt is planned from; the snapshots of its tables are the same.
    plan: LogicalPlan,
    state: SessionState,
    first: Shared,
}

/// Workers' answer to a statement, or, where they do not answer, that of fewer or of none.
pub(super) fn again(crew: Arc<Crew>, plan: LogicalPlan, state: SessionState, first: Shared) -> Arc<dyn ExecutionPlan> {
    let schema = first.plan.schema();
    attempted(Again { crew, plan, state, first }, schema)
}

impl Attempts for Again {
    fn name(&self) -> &'static str {
        "Workers"
    }

    fn detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ": machines={}", self.first.machines)
    }

    /// The rows of the first attempt that has one: all workers, then those that still answer, then this machine alone. Errors
    /// of the statement itself come from there, in the same words as without workers.
    fn answer(self: Arc<Self>, context: Arc<TaskContext>) -> BoxFuture<'static, Result<SendableRecordBatchStream>> {
        async move {
            let count = |way| self.crew.metrics.query_shared.get_or_create(&Way { way }).inc();
            match of(&self.first).await {
                Ok(rows) => {
                    count("workers");
                    return Ok(self.guarded(rows));
                }
                Err(error) => self.failed(&error).await,
            }
            // Where all of them answer, it was not for one that went away.
            if self.crew.up().len() < self.first.machines
                && let Some(second) = shared(&self.crew, &self.plan, &self.state).await
            {
                match of(&second).await {
                    Ok(rows) => {
                        count("fewer");
                        return Ok(self.guarded(rows));
                    }
                    Err(error) => self.failed(&error).await,
                }
            }
            count("alone");
            let alone = yielding(alone(&self.plan, &self.state).await?)?;
            execute_stream(spilling(alone, &self.plan, &self.state)?, context)
        }
        .boxed()
    }
}

impl Again {
    async fn failed(&self, error: &DataFusionError) {
        tracing::debug!(%error, "attempt with workers failed");
        self.crew.look().await;
        let (workers, reason) = (self.crew.up().len(), reason(error));
        tracing::warn!(workers, %reason, "workers did not answer a statement; it is tried again");
    }

    /// After the first row there is no other attempt.
    fn guarded(self: Arc<Self>, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let schema = rows.schema();
        let rows = rows.then(move |rows| {
            let again = Arc::clone(&self);
            async move {
                match rows {
                    Err(error) if !is_of_statement(&error) => Err(again.lost(&error).await),
                    other => other,
                }
            }
        });
        with_schema(schema, rows)
    }

    async fn lost(&self, error: &DataFusionError) -> DataFusionError {
        tracing::debug!(%error, "workers failed after the first row");
        // So that whoever asks again is not sent there.
        self.crew.look().await;
        tracing::warn!(workers = self.crew.up().len(), "workers went away in the middle of an answer");
        DataFusionError::External(Box::new(QueryError::WorkerLost))
    }
}

/// What may stand in the log: other words may hold what is in the rows.
fn reason(error: &DataFusionError) -> &str {
    match error.find_root() {
        DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) => text,
        DataFusionError::External(inner) => match inner.downcast_ref::<Status>() {
            Some(status) => status.message(),
            None => "logged as debug",
        },
        _ => "logged as debug",
    }
}

/// Whether it would be met on one machine, too.
fn is_of_statement(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ArrowError(..) | DataFusionError::ResourcesExhausted(_))
}

async fn of(shared: &Shared) -> Result<SendableRecordBatchStream> {
    begin(Arc::clone(&shared.plan), Arc::clone(&shared.context)).await
}
