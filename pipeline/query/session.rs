//! Questions to a lake. Every query is planned against one snapshot of each table it names, taken when it arrives.
//!
//! Names, as a query sees them:
//! - `calls`, `sessions`, `leases` and every other table of the contract: what counts (`queries/staging/`);
//! - `history.…`: the same tables as they are stored, with all revisions and retracted sessions;
//! - `marts.calls`, `marts.sessions`: what reports are made of (`queries/marts/`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
};
use datafusion::common::{DataFusionError, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::ViewTable;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;

use super::error::{QueryError, nearest};
use super::guard;
use super::library::{MARTS, STAGING, Text};
use super::tables::Tables;

/// Memory of all queries of one session together. Sorts and aggregations beyond it go to disk; what cannot, fails.
pub const MEMORY_BYTES_MAX: usize = 512 << 20;
/// Disk that sorts and aggregations may use, in the system's folder for temporary files.
pub const SPILL_BYTES_MAX: u64 = 16 << 30;
/// Consumers of memory that are named where it runs out.
const CONSUMERS_NAMED_MAX: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3).unwrap();

pub const CATALOG: &str = "callweave";
/// What counts.
pub const CURRENT: &str = "public";
/// What is stored.
pub const HISTORY: &str = "history";
pub const MART: &str = "marts";

/// Functions that would tell where files lie.
const FUNCTIONS_OUT: [&str; 2] = ["input_file_name", "file_row_index"];

/// A lake that can be asked. Cheap to share; queries of several tasks may run at once.
pub struct QuerySession {
    base: SessionState,
    tables: Tables,
}

/// The rows of a result, as they come.
pub struct Answer {
    pub schema: SchemaRef,
    pub rows: SendableRecordBatchStream,
}

impl QuerySession {
    /// `lake` is a folder or a URL.
    pub fn open(lake: &str) -> Result<QuerySession, QueryError> {
        QuerySession::open_within(lake, MEMORY_BYTES_MAX)
    }

    /// With another bound of memory than [`MEMORY_BYTES_MAX`].
    pub(crate) fn open_within(lake: &str, memory_bytes: usize) -> Result<QuerySession, QueryError> {
        let tables = Tables::at(lake)?;
        let base = base(memory_bytes).map_err(|error| QueryError::Engine(Box::new(error)))?;
        Ok(QuerySession { base, tables })
    }

    /// Reads `sql`, refuses what is no question, and gives its statements one by one to [`QuerySession::answer`].
    pub fn admit(&self, sql: &str) -> Result<Vec<Statement>, QueryError> {
        guard::admit(sql)
    }

    /// Starts to answer one admitted statement. `sql` is the text it came from, for messages.
    pub async fn answer(&self, statement: Statement, sql: &str) -> Result<Answer, QueryError> {
        let scene = self.scene(&[&statement]).await?;
        let frame = scene.plan(statement, sql).await?;
        scene.run(frame, sql).await
    }

    /// A view of the lake at this moment that holds what `statements` name, and no more: a table costs a listing of
    /// its newest commits.
    pub async fn scene(&self, statements: &[&Statement]) -> Result<Scene, QueryError> {
        let catalog = Arc::new(MemoryCatalogProvider::new());
        for schema in [CURRENT, HISTORY, MART] {
            catalog
                .register_schema(schema, Arc::new(MemorySchemaProvider::new()))
                .map_err(|error| QueryError::Engine(Box::new(error)))?;
        }
        let list = Arc::new(MemoryCatalogProviderList::new());
        list.register_catalog(CATALOG.to_owned(), Arc::clone(&catalog) as _);
        let state = SessionStateBuilder::new_from_existing(self.base.clone()).with_catalog_list(list).build();
        let setter = Setter { tables: &self.tables, state: Arc::new(state), catalog };
        for statement in statements {
            setter.add_named_by(statement).await?;
        }
        Ok(Scene { context: SessionContext::new_with_state(SessionState::clone(&setter.state)) })
    }
}

/// The engine without a catalog, and without any way out of it.
fn base(memory_bytes: usize) -> Result<SessionState, DataFusionError> {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, CURRENT)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(std::thread::available_parallelism().map_or(1, |n| n.get()));
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("+00:00".to_owned());
    // Comments of columns differ between tables, and the planner takes that for another schema where they meet in UNION.
    options.execution.skip_physical_aggregate_schema_check = true;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    // As deltalake's own sessions have it: pushing lists of join keys down panics on dictionary-coded columns.
    options.optimizer.hash_join_inlist_pushdown_max_size = 0;
    options.optimizer.hash_join_inlist_pushdown_max_distinct_values = 0;
    let mut builder =
        SessionStateBuilder::new().with_default_features().with_config(config).with_runtime_env(runtime(memory_bytes)?);
    *builder.table_factories() = None;
    *builder.file_formats() = None;
    let context = SessionContext::new_with_state(builder.build());
    for function in FUNCTIONS_OUT {
        context.deregister_udf(function);
    }
    Ok(context.state())
}

fn runtime(memory_bytes: usize) -> Result<Arc<RuntimeEnv>, DataFusionError> {
    let pool = TrackConsumersPool::new(FairSpillPool::new(memory_bytes), CONSUMERS_NAMED_MAX);
    RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).with_max_temp_directory_size(SPILL_BYTES_MAX).build_arc()
}

/// Sets a scene: tables from the lake, and views on them by the texts of `queries/`.
struct Setter<'a> {
    tables: &'a Tables,
    state: Arc<SessionState>,
    catalog: Arc<MemoryCatalogProvider>,
}

impl Setter<'_> {
    /// Adds what `statement` names. One that asks what there is (SHOW TABLES, `information_schema`) names everything.
    async fn add_named_by(&self, statement: &Statement) -> Result<(), QueryError> {
        let statement = match statement {
            Statement::Explain(explain) => &explain.statement,
            other => other,
        };
        let named =
            self.state.resolve_table_references(statement).map_err(|error| QueryError::Engine(Box::new(error)))?;
        for reference in named {
            match reference.schema() {
                Some("information_schema") => self.add_everything().await?,
                schema => self.add(schema.unwrap_or(CURRENT), reference.table()).await?,
            }
        }
        Ok(())
    }

    async fn add_everything(&self) -> Result<(), QueryError> {
        for text in STAGING {
            self.add(HISTORY, text.name).await?;
            self.add(CURRENT, text.name).await?;
        }
        for text in MARTS {
            self.add(MART, text.name).await?;
        }
        Ok(())
    }

    /// Adds one table or view, and what it is made of. A name that nothing has is left to the planner to complain of.
    fn add<'s>(
        &'s self,
        schema: &'s str,
        name: &'s str,
    ) -> Pin<Box<dyn Future<Output = Result<(), QueryError>> + Send + 's>> {
        Box::pin(async move {
            let Some(holder) = self.catalog.schema(schema).filter(|holder| !holder.table_exist(name)) else {
                return Ok(());
            };
            let provider = if schema == HISTORY {
                self.tables.provider(name, &self.state).await?
            } else {
                self.view(if schema == MART { MARTS } else { STAGING }, name).await?
            };
            if let Some(provider) = provider {
                holder
                    .register_table(name.to_owned(), provider)
                    .map_err(|error| QueryError::Engine(Box::new(error)))?;
            }
            Ok(())
        })
    }

    async fn view(
        &self,
        texts: &[Text],
        name: &str,
    ) -> Result<Option<Arc<dyn datafusion::catalog::TableProvider>>, QueryError> {
        let Some(text) = texts.iter().find(|text| text.name == name) else { return Ok(None) };
        let told = |error| QueryError::from_engine(error, text.sql);
        let statement = guard::admit(text.sql)?.pop().ok_or(QueryError::NoQuery)?;
        self.add_named_by(&statement).await?;
        let plan = self.state.statement_to_plan(statement).await.map_err(told)?;
        Ok(Some(Arc::new(ViewTable::new(plan, Some(text.sql.to_owned())))))
    }
}

/// The lake as it stood when a query arrived.
pub struct Scene {
    context: SessionContext,
}

impl Scene {
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Plans one statement, and checks that its plan only reads.
    pub async fn plan(&self, statement: Statement, sql: &str) -> Result<DataFrame, QueryError> {
        let state = self.context.state();
        let named = state.resolve_table_references(&statement).unwrap_or_default();
        let plan = state.statement_to_plan(statement).await.map_err(|error| with_near_table(error, sql, &named))?;
        guard::admit_plan(&plan)?;
        Ok(DataFrame::new(state, plan))
    }

    pub async fn run(&self, frame: DataFrame, sql: &str) -> Result<Answer, QueryError> {
        let schema = Arc::clone(frame.schema().inner());
        let rows = frame.execute_stream().await.map_err(|error| QueryError::from_engine(error, sql))?;
        Ok(Answer { schema, rows })
    }
}

/// Adds the table that was probably meant.
fn with_near_table(error: DataFusionError, sql: &str, named: &[TableReference]) -> QueryError {
    let mut error = QueryError::from_engine(error, sql);
    if let QueryError::Sql(sql_error) = &mut error
        && sql_error.helps.is_empty()
        && sql_error.message.starts_with("table '")
    {
        let known = || STAGING.iter().map(|text| text.name);
        let unknown = named.iter().find(|r| sql_error.message.contains(&format!(".{}'", r.table())));
        sql_error.helps.push(match unknown.and_then(|r| nearest(r.table(), known())) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", known().collect::<Vec<_>>().join(", ")),
        });
    }
    error
}
