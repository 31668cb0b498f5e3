//! Questions to a lake. Every query is planned against one snapshot of each table it names, taken when it arrives.
//!
//! Names, as a query sees them:
//! - `calls`, `sessions`, `leases` and every other table of the contract: what counts (`queries/staging/`);
//! - `history.…`: the same tables as they are stored, with all revisions and retracted sessions;
//! - `marts.calls`, `marts.sessions`: what reports are made of (`queries/marts/`); `touchpoints` and others that no table is called
//!   as go without `marts`.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::execution::memory_pool::TrackConsumersPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use tokio::sync::OnceCell;

use super::access::Access;
use super::bounded::{self, Allowance, ConstantsBesideRows};
use super::bounds::Bounds;
use super::careful::careful;
use super::changes::{CALLS, Changes, ChangesError, changes};
use super::checked;
use super::compact::{self, CompactBeforeSorts};
use super::corrections;
use super::correlated;
use super::dialect;
use super::directory::Directory;
use super::distinct;
use super::error::{QueryError, nearest};
use super::few::{self, FewFirst};
use super::frames;
use super::guard;
use super::lacking;
use super::library::STAGING;
use super::lists::{self, kept_apart};
use super::memory::SharedPool;
use super::modes;
use super::newest::{self, OrderBehindBarrier};
use super::partitions::{self, WholePartitions};
use super::percentiles;
use super::reckon;
use super::removal;
use super::reword;
use super::setter::{Setter, Source};
use super::sums;
use super::tables::Tables;
use super::truths;
use super::twins;
use super::using;
use super::workers::{Crew, LAKE, Stores, of_lake};
use super::yields::{self, YieldInJoins};

/// Memory of all queries of one session together. Sorts, aggregations and joins ([`super::spill`]) beyond it go to disk; what cannot, fails.
pub const MEMORY_BYTES_MAX: usize = 512 << 20;
/// Disk that they may use, in the system's folder for temporary files.
pub const SPILL_BYTES_MAX: u64 = 16 << 30;
/// How long a statement that was given up may take to leave that disk.
const CLEARED_WITHIN: Duration = Duration::from_secs(5);
/// Parts in which a query works, for each core. With one, joins of millions of rows go through tables of keys that no cache holds, and
/// took twice as long.
const PARTS_PER_CORE: usize = 4;
/// Consumers of memory that are named where it runs out.
const CONSUMERS_NAMED_MAX: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3).unwrap();

pub const CATALOG: &str = "callweave";
/// What counts.
pub const CURRENT: &str = "public";
/// What is stored.
pub const HISTORY: &str = "history";
pub const MART: &str = "marts";

/// Rules of our own, whose operators only this process knows.
const OWN_RULES: [&str; 6] = [partitions::RULE, compact::RULE, newest::RULE, few::RULE, bounded::RULE, yields::RULE];

/// What a sort keeps free for merging what it has sent to disk.
const SORT_RESERVED_BYTES: usize = 2 << 20;

/// How many runs a sort merges at once: one for so many bytes of the memory. Without a bound the first to merge takes all that is free, and nothing is left
/// for what comes beside it.
const BYTES_A_RUN: usize = 16 << 20;
const RUNS_MIN: usize = 2;
const RUNS_MAX: usize = 64;

/// Functions that would tell where files lie.
const FUNCTIONS_OUT: [&str; 2] = ["input_file_name", "file_row_index"];

/// A lake that can be asked. Cheap to share; queries of several tasks may run at once.
pub struct QuerySession {
    base: SessionState,
    tables: Arc<Tables>,
    /// What there is, for those who ask: made when the first does.
    directory: Arc<OnceCell<Directory>>,
    /// Whose rows are seen, and what of them; nothing: everything.
    access: Option<Arc<Access>>,
    /// Who helps with what is much; nothing: nobody.
    crew: Option<Arc<Crew>>,
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
        let tables = Arc::new(Tables::at(lake)?);
        let base = base(memory_bytes).map_err(QueryError::engine)?;
        Ok(QuerySession { base, tables, directory: Arc::default(), access: None, crew: None })
    }

    /// The same lake for somebody who sees what `access` allows, with memory of their own.
    pub(crate) fn for_access(&self, access: Access, memory_bytes: usize) -> Result<QuerySession, QueryError> {
        let runtime = bounded_runtime(memory_bytes, None).map_err(QueryError::engine)?;
        if self.crew.is_some() {
            let lake =
                url::Url::parse(LAKE).map_err(|error| QueryError::engine(DataFusionError::External(error.into())))?;
            runtime.register_object_store(&lake, of_lake(self.tables.root())?);
        }
        let base = SessionStateBuilder::new_from_existing(self.base.clone()).with_runtime_env(runtime).build();
        let (tables, directory) = (Arc::clone(&self.tables), Arc::clone(&self.directory));
        Ok(QuerySession { base, tables, directory, access: Some(Arc::new(access)), crew: self.crew.clone() })
    }

    /// Waits until statements that were given up have taken away what they had on disk, for some seconds at most.
    pub(super) async fn cleared(&self) {
        let disk = &self.base.runtime_env().disk_manager;
        let gone = async {
            while disk.used_disk_space() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(CLEARED_WITHIN, gone).await.is_err() {
            tracing::warn!("files of a statement that was given up stay among the system's temporary files");
        }
    }

    /// Joins as it is done where memory has run out.
    #[cfg(test)]
    pub(super) fn with_sorted_sides(mut self) -> QuerySession {
        self.base = super::spill::of_sorted_sides(&self.base);
        self
    }

    /// Shares what is much with workers from now on.
    pub(super) fn with_crew(mut self, crew: Option<Arc<Crew>>) -> QuerySession {
        if crew.is_some() {
            // What datafusion-distributed wants: a subquery that stands beside the plan is not sent along with it.
            let mut config = self.base.config().clone().with_target_partitions(cores());
            config.options_mut().optimizer.enable_physical_uncorrelated_scalar_subquery = false;
            // Nor do they know these operators.
            let rules = self.base.physical_optimizers().iter().filter(|rule| !OWN_RULES.contains(&rule.name()));
            let rules = rules.cloned().collect();
            self.base = SessionStateBuilder::new_from_existing(self.base)
                .with_config(config)
                .with_physical_optimizer_rules(rules)
                .build();
            Allowance::give(&mut self.base, Some(true));
        }
        self.crew = crew;
        self
    }

    /// Reads `sql`, refuses what is no question, and gives its statements one by one to [`QuerySession::answer`].
    pub fn admit(&self, sql: &str) -> Result<Vec<Statement>, QueryError> {
        guard::admit(sql)
    }

    /// Starts to answer one admitted statement. `sql` is the text it came from, for messages.
    pub async fn answer(&self, statement: Statement, sql: &str) -> Result<Answer, QueryError> {
        self.answer_within(statement, sql, None).await
    }

    /// The same within `bounds`.
    pub(crate) async fn answer_within(
        &self,
        statement: Statement,
        sql: &str,
        bounds: Option<Arc<Bounds>>,
    ) -> Result<Answer, QueryError> {
        let scene = self.scene_within(&[&statement], bounds).await?;
        let frame = scene.plan(statement, sql).await?;
        scene.run(frame, sql).await
    }

    /// A view of the lake at this moment that holds what `statements` name, and no more: a table costs a listing of
    /// its newest commits. Where one asks what there is, the other tables stand there, too, without their rows.
    pub async fn scene(&self, statements: &[&Statement]) -> Result<Scene, QueryError> {
        self.scene_within(statements, None).await
    }

    /// The same, for what runs within `bounds`.
    pub(crate) async fn scene_within(
        &self,
        statements: &[&Statement],
        bounds: Option<Arc<Bounds>>,
    ) -> Result<Scene, QueryError> {
        let source = Source::Lake { tables: &self.tables, access: self.access.as_ref(), crew: self.crew.as_ref() };
        let setter = Setter::new(&self.base, source, bounds)?;
        let mut asks_what_there_is = false;
        for statement in statements {
            asks_what_there_is |= setter.add_named_by(statement).await?;
        }
        if asks_what_there_is {
            let directory = self.directory.get_or_try_init(|| Directory::new(&self.base)).await?;
            directory.copy_to(&setter.catalog)?;
        }
        Ok(setter.scene())
    }

    /// Gets to know what the first question would have to wait for: which rows were corrected by later ones.
    pub(crate) async fn look_ahead(&self) {
        // Workers do not know them, and look for themselves.
        if self.crew.is_some() {
            return;
        }
        let state = Arc::new(self.base.clone());
        for table in corrections::tables() {
            if let Err(error) = self.tables.stored(table, &state, false, true).await {
                tracing::debug!(table, %error, "not looked at ahead");
            }
        }
    }

    /// The newest commit of the calls; 0 where there never was one.
    pub(crate) async fn newest_of_calls(&self) -> Result<u64, QueryError> {
        Ok(self.tables.log(CALLS).await?.map_or(0, |(_, newest)| newest))
    }

    /// Which calls of `account` landed behind a place in their log: no more than `limit`.
    pub(crate) async fn changed_calls(
        &self,
        account: &str,
        version: u64,
        keys: usize,
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        changes(&self.tables, account, version, keys, limit).await
    }

    /// Every table and view with its columns, by schema and name.
    pub(crate) async fn everything(&self) -> Result<Vec<(String, String, Arc<dyn TableProvider>)>, QueryError> {
        let directory = self.directory.get_or_try_init(|| Directory::new(&self.base)).await?;
        Ok(directory.everything())
    }

    /// Speaks PostgreSQL from now on: its catalogs and functions are there.
    pub(crate) async fn with_postgres(mut self) -> Result<QuerySession, QueryError> {
        let mut directory = Directory::new(&self.base).await?;
        self.base = directory.add_postgres(&self.base).await?;
        self.directory = Arc::new(OnceCell::new_with(Some(directory)));
        Ok(self)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// The engine without a catalog, and without any way out of it.
fn base(memory_bytes: usize) -> Result<SessionState, DataFusionError> {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, CURRENT)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(PARTS_PER_CORE * cores());
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("+00:00".to_owned());
    // Comments of columns differ between tables, and the planner takes that for another schema where they meet in UNION.
    options.execution.skip_physical_aggregate_schema_check = true;
    // Each sort sets as much aside before it begins, and there is one for each part: with the engine's 10 MiB, a login's memory is gone by that.
    options.execution.sort_spill_reservation_bytes = SORT_RESERVED_BYTES;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    // As deltalake's own sessions have it: pushing lists of join keys down panics on dictionary-coded columns.
    options.optimizer.hash_join_inlist_pushdown_max_size = 0;
    options.optimizer.hash_join_inlist_pushdown_max_distinct_values = 0;
    let mut builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_type_planner(Arc::new(dialect::Types::default()))
        .with_physical_optimizer_rule(Arc::new(WholePartitions))
        .with_physical_optimizer_rule(Arc::new(CompactBeforeSorts))
        .with_physical_optimizer_rule(Arc::new(OrderBehindBarrier))
        .with_physical_optimizer_rule(Arc::new(FewFirst))
        .with_physical_optimizer_rule(Arc::new(ConstantsBesideRows))
        .with_physical_optimizer_rule(Arc::new(YieldInJoins))
        .with_runtime_env(bounded_runtime(memory_bytes, None)?);
    *builder.table_factories() = None;
    *builder.file_formats() = None;
    let state = builder.build();
    let (rules, logical) = (careful(state.physical_optimizers()), kept_apart(state.optimizers()));
    let mut builder = SessionStateBuilder::new_from_existing(state)
        .with_physical_optimizer_rules(rules)
        .with_optimizer_rules(logical);
    // Before the engine's, which takes whatever it is given.
    builder.expr_planners().get_or_insert_default().insert(0, Arc::new(dialect::Patterns));
    let state = builder.build();
    let context = SessionContext::new_with_state(state);
    for function in FUNCTIONS_OUT {
        context.deregister_udf(function);
    }
    removal::register(&context);
    dialect::register(&context)?;
    truths::register(&context)?;
    reckon::register(&context)?;
    checked::register(&context);
    add_functions(&context)?;
    distinct::register(&context);
    Ok(context.state())
}

/// Functions that are told by their names alone, here and to workers.
pub(super) fn add_functions(context: &SessionContext) -> Result<(), DataFusionError> {
    lists::add_functions(context);
    bounded::register(context)?;
    sums::register(context);
    percentiles::register(context);
    modes::register(context);
    frames::register(context);
    lacking::register(context);
    Ok(())
}

/// `stores`: where files may be read; nothing: as the engine has it.
pub(super) fn bounded_runtime(
    memory_bytes: usize,
    stores: Option<Arc<dyn Stores>>,
) -> Result<Arc<RuntimeEnv>, DataFusionError> {
    let pool = TrackConsumersPool::new(SharedPool::new(memory_bytes), CONSUMERS_NAMED_MAX);
    let mut builder = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_max_temp_directory_size(SPILL_BYTES_MAX)
        .with_max_spill_merge_fan_in((memory_bytes / BYTES_A_RUN).clamp(RUNS_MIN, RUNS_MAX));
    if let Some(stores) = stores {
        builder = builder.with_object_store_registry(stores);
    }
    builder.build_arc()
}

/// The lake as it stood when a query arrived.
pub struct Scene {
    context: SessionContext,
}

impl Scene {
    pub(super) fn of(state: &SessionState) -> Scene {
        let mut state = state.clone();
        Allowance::give(&mut state, None);
        Scene { context: SessionContext::new_with_state(state) }
    }

    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Plans one statement, and checks that its plan only reads.
    pub async fn plan(&self, mut statement: Statement, sql: &str) -> Result<DataFrame, QueryError> {
        let mut inner = &mut statement;
        while let Statement::Explain(explain) = inner {
            inner = &mut explain.statement;
        }
        if let Statement::Statement(statement) = inner {
            reword::reword(&mut **statement);
            using::write_out(&mut **statement);
        }
        twins::mark(&mut statement);
        let state = self.context.state();
        let named = state.resolve_table_references(&statement).unwrap_or_default();
        let plan = state.statement_to_plan(statement).await.map_err(|error| with_near_table(error, sql, &named))?;
        guard::admit_plan(&plan)?;
        let plan = correlated::set_right(plan).map_err(|error| QueryError::from_engine(error, sql))?;
        Ok(DataFrame::new(state, plan))
    }

    pub async fn run(&self, frame: DataFrame, sql: &str) -> Result<Answer, QueryError> {
        let rows = frame.execute_stream().await.map_err(|error| QueryError::from_engine(error, sql))?;
        // The plan's own schema is of before types were made to fit each other, as in `SELECT NULL UNION ALL SELECT now()`.
        Ok(Answer { schema: rows.schema(), rows })
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
