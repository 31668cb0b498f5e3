//! Few rows out of many: `LIMIT 100` without an order is answered from the first part of the files.
//!
//! The engine begins with all parts at once, and each decodes thousands of rows of all columns before the first hundred go out. Here
//! one part after the other is read, in batches of about as many rows as are wanted. Where that takes longer than
//! [`HEAD_START`], since hardly a row is what is looked for, or the files are far away, all other parts are read beside it.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions,
};
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, stream};
use tokio::time::{Sleep, sleep};

use super::operator::{Operation, over};

pub const RULE: &str = "few_first";
/// Who wants more rows than these is better off with all parts from the beginning.
const ROWS_MAX: usize = 10_000;
/// Rows of a batch are no less: each costs the work of opening all columns.
const BATCH_ROWS_MIN: usize = 256;
/// About what a local file's first rows take.
const HEAD_START: Duration = Duration::from_millis(20);
/// What hands rows on as they come. Everything else (joins, aggregates, sorts) works in its parts by itself.
const PLAIN: [&str; 6] =
    ["AccountScan", "CooperativeExec", "DataSourceExec", "DeltaScanExec", "FilterExec", "ProjectionExec"];

/// Puts [`InTurn`] below each limit on rows that are read and looked at one by one.
#[derive(Debug)]
pub struct FewFirst;

impl PhysicalOptimizerRule for FewFirst {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let put = |node: Arc<dyn ExecutionPlan>| {
            let Some(limit) = node.downcast_ref::<CoalescePartitionsExec>() else { return Ok(Transformed::no(node)) };
            let input = limit.input();
            match node.fetch().filter(|rows| *rows <= ROWS_MAX) {
                Some(rows) if input.output_partitioning().partition_count() > 1 && is_plain(input) => {
                    let in_turn = over(Arc::clone(input), InTurn { rows });
                    let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
                    Ok(Transformed::yes(Arc::clone(&node).replace_children(vec![in_turn], anew)?))
                }
                _ => Ok(Transformed::no(node)),
            }
        };
        Ok(plan.transform_up(put)?.data)
    }

    fn name(&self) -> &str {
        RULE
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn is_plain(plan: &Arc<dyn ExecutionPlan>) -> bool {
    PLAIN.contains(&plan.name()) && plan.children().into_iter().all(is_plain)
}

#[derive(Debug, Clone)]
struct InTurn {
    rows: usize,
}

impl Operation for InTurn {
    const IN_ONE_PART: bool = true;

    fn name(&self) -> &'static str {
        "InTurn"
    }

    fn detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ": rows={}", self.rows)
    }

    fn rows(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        part: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if part != 0 {
            return internal_err!("InTurn has one part, and not {part}");
        }
        let usual = context.session_config().batch_size();
        let rows = self.rows.next_power_of_two().max(BATCH_ROWS_MIN).min(usual);
        let config = context.session_config().clone().with_batch_size(rows);
        let parts = Parts {
            input: Arc::clone(input),
            in_turn: Arc::new(with_config(&context, config)),
            beside: context,
            begun: 0,
            current: None,
            alarm: None,
            all: None,
        };
        let rows =
            stream::try_unfold(parts, |mut parts| async move { Ok(parts.next().await?.map(|batch| (batch, parts))) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(input.schema(), rows)))
    }
}

/// The same with another configuration. Functions of plans are found by now.
fn with_config(context: &TaskContext, config: SessionConfig) -> TaskContext {
    TaskContext::new(
        context.task_id(),
        context.session_id(),
        config,
        context.scalar_functions().clone(),
        HashMap::new(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    )
}

struct Parts {
    input: Arc<dyn ExecutionPlan>,
    /// How those are read that are read one after the other, and how those beside each other.
    in_turn: Arc<TaskContext>,
    beside: Arc<TaskContext>,
    /// How many have begun.
    begun: usize,
    current: Option<SendableRecordBatchStream>,
    /// Set with the first question for a row.
    alarm: Option<Pin<Box<Sleep>>>,
    all: Option<SendableRecordBatchStream>,
}

impl Parts {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(all) = &mut self.all {
                return all.next().await.transpose();
            }
            let Some(mut current) = self.current.take().map_or_else(|| self.begin(), |current| Ok(Some(current)))?
            else {
                return Ok(None);
            };
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(HEAD_START)));
            tokio::select! {
                biased;
                () = alarm => self.all = Some(self.beside(current)?),
                batch = current.next() => if let Some(batch) = batch {
                    self.current = Some(current);
                    return batch.map(Some);
                },
            }
        }
    }

    /// The next part; nothing where all have begun.
    fn begin(&mut self) -> Result<Option<SendableRecordBatchStream>> {
        if self.begun == self.input.output_partitioning().partition_count() {
            return Ok(None);
        }
        let part = self.input.execute(self.begun, Arc::clone(&self.in_turn))?;
        self.begun += 1;
        Ok(Some(part))
    }

    /// What is left of the part that has begun, with all that have not.
    fn beside(&mut self, current: SendableRecordBatchStream) -> Result<SendableRecordBatchStream> {
        let parts = self.input.output_partitioning().partition_count();
        let others = self.begun..parts;
        self.begun = parts;
        let mut all = RecordBatchReceiverStream::builder(self.input.schema(), others.len() + 1);
        let others = others.map(|part| self.input.execute(part, Arc::clone(&self.beside)));
        for part in [Ok(current)].into_iter().chain(others) {
            let (mut part, sender) = (part?, all.tx());
            all.spawn(async move {
                // Where nobody listens any more, the limit is reached.
                while let Some(batch) = part.next().await
                    && sender.send(batch).await.is_ok()
                {}
                Ok(())
            });
        }
        Ok(all.build())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array};
    use datafusion::catalog::streaming::StreamingTable;
    use datafusion::datasource::MemTable;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::SessionContext;

    use super::*;

    /// Eight parts of a thousand rows each.
    fn context() -> Result<SessionContext> {
        let part = |part: i64| {
            let rows: ArrayRef = Arc::new((part * 1000..(part + 1) * 1000).collect::<Int64Array>());
            Ok(vec![RecordBatch::try_from_iter([("x", rows)])?])
        };
        let parts = (0..8).map(part).collect::<Result<Vec<_>>>()?;
        let config = SessionConfig::new().with_target_partitions(8);
        let builder = SessionStateBuilder::new().with_default_features().with_config(config);
        let builder = builder.with_physical_optimizer_rule(Arc::new(FewFirst));
        let context = SessionContext::new_with_state(builder.build());
        context.register_table("t", Arc::new(MemTable::try_new(parts[0][0].schema(), parts)?))?;
        Ok(context)
    }

    async fn told(context: &SessionContext, sql: &str) -> Result<(Vec<i64>, bool)> {
        let plan = context.sql(sql).await?.create_physical_plan().await?;
        let is_ours =
            datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string().contains("InTurn");
        let batches = datafusion::physical_plan::collect(plan, context.task_ctx()).await?;
        let values = batches.iter().flat_map(|batch| {
            let column = batch.column(0).as_any().downcast_ref::<Int64Array>();
            column.map(|column| column.values().to_vec()).unwrap_or_default()
        });
        Ok((values.collect(), is_ours))
    }

    #[tokio::test]
    async fn a_limit_gets_its_rows_wherever_they_lie() -> Result<()> {
        let context = context()?;
        for (sql, rows, is_ours) in [
            ("SELECT x FROM t WHERE x >= 0 LIMIT 100", 0..100, true),
            ("SELECT x FROM t WHERE x >= 7990 LIMIT 100", 7990..8000, true),
            ("SELECT x + 0 FROM t WHERE x >= 2990 LIMIT 20", 2990..3010, true),
            ("SELECT x FROM t WHERE x > 8000 LIMIT 1", 0..0, true),
            ("SELECT x FROM t WHERE x >= 0 LIMIT 8000", 0..8000, true),
            ("SELECT x FROM t WHERE x < 5 ORDER BY x LIMIT 8", 0..5, false),
            ("SELECT count(*) FROM t WHERE x < 5 LIMIT 1", 5..6, false),
        ] {
            let (mut found, ours) = told(&context, sql).await?;
            found.sort_unstable();
            assert_eq!((found, ours), (rows.collect(), is_ours), "{sql}");
        }
        // Only so many as are wanted are read: the first part has them.
        assert_eq!(
            told(&context, "SELECT x FROM t WHERE x >= 500 LIMIT 10 OFFSET 5").await?.0,
            (505..515).collect::<Vec<_>>()
        );
        Ok(())
    }

    /// A part that says nothing for ever, and one that has a row.
    #[derive(Debug)]
    struct Part(Option<RecordBatch>, datafusion::arrow::datatypes::SchemaRef);

    impl datafusion::physical_plan::streaming::PartitionStream for Part {
        fn schema(&self) -> &datafusion::arrow::datatypes::SchemaRef {
            &self.1
        }

        fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
            let rows = match self.0.clone() {
                Some(batch) => stream::iter([Ok(batch)]).boxed(),
                None => stream::pending().boxed(),
            };
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.1), rows))
        }
    }

    #[tokio::test]
    async fn no_part_waits_for_one_that_takes_long() -> Result<()> {
        let rows: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        let batch = RecordBatch::try_from_iter([("x", rows)])?;
        let schema = batch.schema();
        let slow: Arc<dyn datafusion::physical_plan::streaming::PartitionStream> =
            Arc::new(Part(None, Arc::clone(&schema)));
        let table =
            StreamingTable::try_new(Arc::clone(&schema), vec![slow, Arc::new(Part(Some(batch), Arc::clone(&schema)))])?;
        let context = SessionContext::new();
        let plan = datafusion::catalog::TableProvider::scan(&table, &context.state(), None, &[], None).await?;
        let in_turn = over(plan, InTurn { rows: 1 });
        let limit = CoalescePartitionsExec::new(in_turn).with_fetch(Some(1));
        let found = limit.execute(0, context.task_ctx())?.next().await.transpose()?;
        assert_eq!(found.map(|batch| batch.num_rows()), Some(1));
        Ok(())
    }
}
