//! One Delta table: how it is made, checked and opened.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake_core::arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::schema::{DataType, MetadataValue, StructField};
use deltalake_core::kernel::{Add, Version};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, logstore_with};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::SaveMode;
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaTable, DeltaTableError};
use object_store::ObjectStore;
use tokio::sync::Mutex;
use url::Url;

use super::batch::DayBatch;
use super::commit::commit_properties;
use super::error::OpenError;
use super::limits::{CHECKPOINT_COMMITS, FILE_RETENTION_DAYS, LOG_RETENTION_HOURS};
use super::table::{DATE, DATE_DOC, Definition, TableName};
use super::writer::{Sink, TableWriter, Target, WriteError};

/// A table of the lake, open for reading and writing.
#[derive(Debug)]
pub struct Table {
    pub(super) definition: Arc<Definition>,
    pub(super) log: LogStoreRef,
    /// What a file of the table holds: what the table has, which may be more than this program knows.
    schema: SchemaRef,
    /// What this process's next commit starts from. One commit at a time; several processes race through the log.
    pub(super) writing: Mutex<Writing>,
    reading: Mutex<DeltaTable>,
}

/// The snapshot that is committed from, and the marks it was found to hold.
#[derive(Debug, Default)]
pub(super) struct Writing {
    pub snapshot: Option<DeltaTableState>,
    /// By application; only those that are known to be as the snapshot has them.
    pub marks: HashMap<String, Option<i64>>,
}

/// Whether a table that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

impl Table {
    pub(super) async fn open(
        name: TableName,
        lake: &Url,
        store: Arc<dyn ObjectStore>,
        access: Access,
    ) -> Result<Table, OpenError> {
        let url = lake.join(&format!("{name}/")).unwrap_or_else(|_| lake.clone());
        let failed =
            |source: DeltaTableError| OpenError::Delta { table: name, url: url.to_string(), source: source.into() };
        let definition = Arc::new(name.definition());
        let log = logstore_with(store, &url, StorageConfig::default()).map_err(failed)?;
        let mut table = DeltaTable::new(Arc::clone(&log));
        if !table.verify_deltatable_existence().await.map_err(failed)? {
            if access == Access::Read {
                return Err(OpenError::MissingTable { table: name, url: url.to_string() });
            }
            // Whoever comes first makes it; for the others it is there a moment later.
            if let Err(error) = create(&definition, Arc::clone(&log)).await
                && !table.verify_deltatable_existence().await.map_err(failed)?
            {
                return Err(failed(error));
            }
        }
        table.load().await.map_err(failed)?;
        let missing = check(&definition, &url, &table, failed)?;
        if !missing.is_empty() && access == Access::Write {
            table = grow(table, missing).await.map_err(failed)?;
        }
        let snapshot = table.snapshot().map_err(failed)?.clone();
        Ok(Table {
            definition,
            schema: file_schema(&snapshot),
            log,
            writing: Mutex::new(Writing { snapshot: Some(snapshot), marks: HashMap::new() }),
            reading: Mutex::new(table),
        })
    }

    pub fn name(&self) -> TableName {
        self.definition.table
    }

    pub fn url(&self) -> &Url {
        self.log.root_url()
    }

    /// The table as it is now: what a query reads, from its first file to its last.
    pub async fn latest(&self) -> Result<DeltaTable, DeltaTableError> {
        let mut table = self.reading.lock().await;
        table.update_incremental(None).await?;
        Ok(table.clone())
    }

    pub async fn version(&self) -> Result<Version, DeltaTableError> {
        Ok(self.latest().await?.version().unwrap_or_default())
    }

    /// A writer for many rows: it encodes in a task of its own.
    pub fn writer(&self) -> TableWriter {
        TableWriter::start(self.target(true))
    }

    /// Writes few rows at once: each day's go into one file with one put.
    pub async fn write(&self, batches: Vec<DayBatch>) -> Result<Vec<Add>, WriteError> {
        let mut sink = Sink::new(self.target(true));
        for batch in batches {
            sink.push(batch).await?;
        }
        sink.finish().await
    }

    pub(super) fn target(&self, data_change: bool) -> Target {
        Target {
            definition: Arc::clone(&self.definition),
            schema: Arc::clone(&self.schema),
            store: self.log.object_store(None),
            data_change,
        }
    }
}

/// Columns of the table as its files hold them: without the partition, and without the comments.
fn file_schema(snapshot: &DeltaTableState) -> SchemaRef {
    let schema = snapshot.snapshot().arrow_schema();
    let fields = schema.fields().iter().filter(|field| field.name() != DATE);
    let plain = fields.map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Arc::new(Schema::new(plain.collect::<Vec<_>>()))
}

fn kernel_type(data_type: &ArrowType) -> Result<DataType, DeltaTableError> {
    data_type
        .try_into_kernel()
        .map_err(|error| DeltaTableError::Generic(format!("{data_type} is no Delta type: {error}")))
}

/// The table's columns as Delta has them: the partition stands second.
fn fields(definition: &Definition) -> Result<Vec<StructField>, DeltaTableError> {
    let mut fields = Vec::with_capacity(definition.columns.len() + 1);
    for column in &definition.columns {
        fields.push(field(column.name, kernel_type(&column.data_type)?, column.doc));
    }
    fields.insert(1, field(DATE, DataType::DATE, DATE_DOC));
    Ok(fields)
}

fn field(name: &str, data_type: DataType, doc: &str) -> StructField {
    StructField::nullable(name, data_type).with_metadata([("comment", MetadataValue::String(doc.to_owned()))])
}

async fn create(definition: &Definition, log: LogStoreRef) -> Result<DeltaTable, DeltaTableError> {
    let with_stats: Vec<&str> =
        definition.columns.iter().filter(|column| column.stats).map(|column| column.name).collect();
    CreateBuilder::new()
        .with_log_store(log)
        .with_table_name(definition.table.name())
        .with_comment(definition.table.doc())
        .with_columns(fields(definition)?)
        .with_partition_columns([DATE])
        .with_configuration([
            ("delta.checkpointInterval", Some(CHECKPOINT_COMMITS.to_string())),
            ("delta.dataSkippingStatsColumns", Some(with_stats.join(","))),
            ("delta.logRetentionDuration", Some(format!("interval {LOG_RETENTION_HOURS} hours"))),
            ("delta.deletedFileRetentionDuration", Some(format!("interval {FILE_RETENTION_DAYS} days"))),
        ])
        .with_save_mode(SaveMode::ErrorIfExists)
        // Without retries: whoever loses the race for the first version must not make the table once more in the second.
        .with_commit_properties(commit_properties().with_max_retries(0))
        .await
}

/// The columns that the table has not yet, if it is ours otherwise.
fn check(
    definition: &Definition,
    url: &Url,
    table: &DeltaTable,
    failed: impl Fn(DeltaTableError) -> OpenError,
) -> Result<Vec<StructField>, OpenError> {
    let snapshot = table.snapshot().map_err(&failed)?;
    let partition = snapshot.metadata().partition_columns().to_vec();
    if partition != [DATE] {
        return Err(OpenError::Partition { table: definition.table, url: url.to_string(), found: partition });
    }
    let found = snapshot.schema();
    let mut missing = Vec::new();
    for ours in fields(definition).map_err(&failed)? {
        match found.field(ours.name()) {
            None => missing.push(ours),
            Some(theirs) if theirs.data_type() == ours.data_type() => {}
            Some(theirs) => {
                return Err(OpenError::Schema {
                    table: definition.table,
                    url: url.to_string(),
                    column: ours.name().clone(),
                    found: theirs.data_type().to_string(),
                    ours: ours.data_type().to_string(),
                });
            }
        }
    }
    Ok(missing)
}

/// Adds columns that this program knows and the table has not. Where another process was faster, its are taken.
async fn grow(table: DeltaTable, missing: Vec<StructField>) -> Result<DeltaTable, DeltaTableError> {
    let mut fresh = table.clone();
    match table.add_columns().with_fields(missing.clone()).with_commit_properties(commit_properties()).await {
        Ok(table) => Ok(table),
        Err(error) => {
            fresh.update_incremental(None).await?;
            let schema = fresh.snapshot()?.schema();
            if missing.iter().all(|field| schema.field(field.name()).is_some()) { Ok(fresh) } else { Err(error) }
        }
    }
}
