//! A table's snapshot as the plain Parquet files that it consists of.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use deltalake_core::kernel::{EagerSnapshot, LogicalFileView};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::LAKE;
use super::planner::split;
use crate::lake::table::DATE;

/// In a session's configuration: tables are read as plain files.
#[derive(Debug)]
pub(super) struct Plainly;

/// A table that can be read in both ways: as Delta has it, and as files that other machines can read.
pub(in crate::query) struct Pinned {
    table: Arc<str>,
    stored: Arc<dyn TableProvider>,
    snapshot: EagerSnapshot,
    bytes: u64,
}

impl Pinned {
    /// `stored` reads the same snapshot. Nothing where it cannot be read as plain files: rows are deleted in its files without
    /// being gone from them (deletion vectors; this program never writes any).
    pub fn new(table: &str, stored: Arc<dyn TableProvider>, snapshot: EagerSnapshot) -> Option<Pinned> {
        let log = snapshot.try_log_data().ok()?;
        let mut bytes = 0;
        for file in log.iter() {
            if file.deletion_vector_descriptor().is_some() {
                return None;
            }
            bytes += u64::try_from(file.size()).unwrap_or(0);
        }
        Some(Pinned { table: table.into(), stored, snapshot, bytes })
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read<'f>(
        &'f self,
        state: &'f dyn Session,
        projection: Option<&'f Vec<usize>>,
        filters: &'f [Expr],
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>> {
        async move { self.plain(state, projection, filters) }.boxed()
    }

    fn plain(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.stored.schema();
        let (date, stored): (Vec<_>, Vec<_>) = schema.fields().iter().cloned().partition(|field| field.name() == DATE);
        let table = TableSchema::builder(Arc::new(Schema::new(stored))).with_table_partition_cols(date).build();
        let all = Arc::clone(table.table_schema());
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect());
        let predicate = match conjunction(filters.iter().cloned()) {
            Some(filter) => Some(state.create_physical_expr(filter, &DFSchema::try_from(all.as_ref().clone())?)?),
            None => None,
        };
        let files = self.files(predicate.as_ref(), &all)?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(schema.project(&wanted)?))));
        }
        let options = &state.config_options().execution.parquet;
        let options = TableParquetOptions { global: options.clone(), ..TableParquetOptions::default() };
        let mut source = ParquetSource::new(table).with_table_parquet_options(options);
        if let Some(predicate) = predicate {
            source = source.with_predicate(predicate);
        }
        let places: Result<Vec<usize>, _> =
            wanted.iter().map(|column| all.index_of(schema.field(*column).name())).collect();
        let partitions = state.config().target_partitions().max(1);
        let config: FileScanConfig = FileScanConfigBuilder::new(ObjectStoreUrl::parse(LAKE)?, Arc::new(source))
            .with_file_groups(split(&[FileGroup::new(files)], partitions))
            .with_projection_indices(Some(places?))?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Those that may hold rows for which `predicate` is true, by what the commits say of each file.
    fn files(&self, predicate: Option<&Arc<dyn PhysicalExpr>>, all: &SchemaRef) -> Result<Vec<PartitionedFile>> {
        let log = self.snapshot.try_log_data().map_err(|error| DataFusionError::External(Box::new(error)))?;
        let kept = predicate.and_then(|predicate| {
            let pruning = PruningPredicateBuilder::new().with_file_schema(Arc::clone(all));
            pruning.try_build(Arc::clone(predicate)).and_then(|pruning| pruning.prune(&log)).ok()
        });
        let is_kept = |at: usize| kept.as_ref().and_then(|kept| kept.get(at)).copied().unwrap_or(true);
        let date = all.field_with_name(DATE)?.data_type();
        let mut files = Vec::new();
        for (_, file) in log.iter().enumerate().filter(|(at, _)| is_kept(*at)) {
            let day = match file.partition_values_map().remove(DATE).flatten() {
                Some(text) => ScalarValue::try_from_string(text, date)?,
                None => ScalarValue::try_from(date)?,
            };
            files.push(PartitionedFile::new_from_meta(self.place(&file)?).with_partition_values(vec![day]));
        }
        Ok(files)
    }

    fn place(&self, file: &LogicalFileView) -> Result<ObjectMeta> {
        let failed = |error: deltalake_core::DeltaTableError| DataFusionError::External(Box::new(error));
        Ok(ObjectMeta {
            location: Path::from(&*self.table).parts().chain(file.object_store_path().parts()).collect(),
            last_modified: file.modification_datetime().map_err(failed)?,
            size: u64::try_from(file.size()).unwrap_or(0),
            e_tag: None,
            version: None,
        })
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("table", &self.table).field("version", &self.snapshot.version()).finish()
    }
}

impl TableProvider for Pinned {
    fn schema(&self) -> SchemaRef {
        self.stored.schema()
    }

    fn table_type(&self) -> TableType {
        self.stored.table_type()
    }

    /// The files are read by the same conditions, and rows that meet none of them may still come: see [`Pinned::files`].
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    // As `async_trait` has it: see `query`.
    fn scan<'a, 'b, 'c, 'd, 'f>(
        &'a self,
        state: &'b dyn Session,
        projection: Option<&'c Vec<usize>>,
        filters: &'d [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
    {
        match state.config().get_extension::<Plainly>() {
            Some(_) => self.read(state, projection, filters),
            None => self.stored.scan(state, projection, filters, limit),
        }
    }
}
