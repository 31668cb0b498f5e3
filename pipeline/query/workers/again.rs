//! A shared statement that is answered though a machine goes away: nobody has seen a row of an attempt that failed before its
//! first, so there can be another one.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, execute_stream,
};
use futures::{StreamExt, TryStreamExt};
use tonic::Status;

use super::crew::Crew;
use super::planner::{Shared, alone, shared};
use crate::query::QueryError;
use crate::query::spill::spilling;
use crate::query::yields::yielding;
use crate::telemetry::metrics::Way;

pub(super) struct Again {
    statement: Arc<Statement>,
    first: Arc<Shared>,
    properties: Arc<PlanProperties>,
}

/// What another attempt is planned from; the snapshots of its tables are the same.
struct Statement {
    crew: Arc<Crew>,
    plan: LogicalPlan,
    state: SessionState,
}

impl Again {
    pub fn new(crew: Arc<Crew>, plan: LogicalPlan, state: SessionState, first: Shared) -> Again {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(first.plan.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Again { statement: Arc::new(Statement { crew, plan, state }), first: Arc::new(first), properties }
    }
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Again").field("first", &self.first.plan).finish_non_exhaustive()
    }
}

impl DisplayAs for Again {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workers: machines={}", self.first.machines)
    }
}

impl ExecutionPlan for Again {
    fn name(&self) -> &str {
        "Workers"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    /// None: which attempt runs is not known yet.
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (statement, first) = (Arc::clone(&self.statement), Arc::clone(&self.first));
        let rows = futures::stream::once(async move { statement.answer(first, context).await }).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

impl Statement {
    /// The rows of the first attempt that has one: all workers, then those that still answer, then this machine alone. Errors
    /// of the statement itself come from there, in the same words as without workers.
    async fn answer(
        self: Arc<Self>,
        first: Arc<Shared>,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let count = |way| self.crew.metrics.query_shared.get_or_create(&Way { way }).inc();
        match begin(&first).await {
            Ok(rows) => {
                count("workers");
                return Ok(self.guarded(rows));
            }
            Err(error) => self.failed(&error).await,
        }
        // Where all of them answer, it was not for one that went away.
        if self.crew.up().len() < first.machines
            && let Some(second) = shared(&self.crew, &self.plan, &self.state).await
        {
            match begin(&second).await {
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
            let statement = Arc::clone(&self);
            async move {
                match rows {
                    Err(error) if !is_of_statement(&error) => Err(statement.lost(&error).await),
                    other => other,
                }
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
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

/// Runs until there is a row, or there is none.
async fn begin(shared: &Shared) -> Result<SendableRecordBatchStream> {
    let mut rows = shared.plan.execute(0, Arc::clone(&shared.context))?;
    let schema = rows.schema();
    let first: Option<RecordBatch> = loop {
        match rows.next().await.transpose()? {
            Some(batch) if batch.num_rows() == 0 => {}
            other => break other,
        }
    };
    let rows = match first {
        Some(first) => futures::stream::iter([Ok(first)]).chain(rows).boxed(),
        None => futures::stream::empty().boxed(),
    };
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}
