//! Some files of a table -> others, in one commit that only one of several maintainers can win.

use bytes::Bytes;
use callweave_core::time::Date;
use deltalake_core::arrow::array::RecordBatch;
use deltalake_core::arrow::error::ArrowError;
use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Add, LogicalFileView, Transaction};
use deltalake_core::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use deltalake_core::parquet::errors::ParquetError;
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::table::state::DeltaTableState;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::MaintainError;
use crate::lake::batch::DayBatch;
use crate::lake::commit::{commit_properties, is_conflict};
use crate::lake::delta::Table;
use crate::lake::table::{DATE, TableName};
use crate::lake::writer::Sink;

/// The application that every change of files other than an append is committed as. Two such commits that started
/// from the same version cannot both succeed, which Delta's own conflict check does not see to: it overlooks that
/// a compaction has taken the files away that another one or an erasure read.
const MAINTENANCE: &str = "callweave/maintenance";

/// What becomes of the rows of a file, a batch at a time.
pub(super) enum Change {
    Same,
    Rows(RecordBatch),
}

/// The files of a table that are to go, and those that stand in for them.
pub(super) struct Replacement {
    pub base: DeltaTableState,
    pub old: Vec<LogicalFileView>,
    pub new: Vec<Add>,
    /// Whether the rows differ.
    pub data_change: bool,
    pub operation: DeltaOperation,
}

impl Table {
    /// The table as it is now, to be maintained from.
    pub(super) async fn base(&self) -> Result<DeltaTableState, MaintainError> {
        DeltaTableState::try_new(&self.log, None).await.map_err(|source| self.delta_error(source))
    }

    /// Commits a replacement. If another's came first, the new files are deleted and the error is `Busy`.
    pub(super) async fn replace(&self, with: Replacement) -> Result<DeltaTableState, MaintainError> {
        let removes = with.old.iter().map(|file| Action::Remove(file.remove_action(with.data_change)));
        let actions = removes.chain(with.new.iter().cloned().map(Action::Add)).collect();
        let turn = i64::try_from(with.base.version()).unwrap_or(i64::MAX);
        let properties = commit_properties().with_application_transaction(Transaction::new(MAINTENANCE, turn));
        let commit = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(&with.base), self.log.clone(), with.operation)
            .await;
        match commit {
            Ok(commit) => Ok(commit.snapshot()),
            Err(error) if is_conflict(&error) => {
                for add in &with.new {
                    // Vacuum takes what stays behind.
                    let _ = self.log.object_store(None).delete(&Path::from(add.path.as_str())).await;
                }
                Err(MaintainError::Busy { table: self.name() })
            }
            Err(source) => Err(self.delta_error(source)),
        }
    }

    /// A file's bytes, to be decoded bit by bit.
    pub(super) async fn fetch(&self, file: &LogicalFileView) -> Result<FileRows, MaintainError> {
        let (table, path) = (self.name(), file.object_store_path());
        let fetch = async { self.log.object_store(None).get(&path).await?.bytes().await };
        match fetch.await {
            Ok(bytes) => Ok(FileRows { table, path, bytes }),
            Err(source) => Err(MaintainError::Read { table, path, source }),
        }
    }

    /// Puts the rows of `files` through `change`, and replaces the files of which any row is another afterwards.
    /// Returns how many files were.
    pub(super) async fn rewrite(
        &self,
        base: DeltaTableState,
        files: Vec<LogicalFileView>,
        operation: DeltaOperation,
        change: impl Fn(&RecordBatch) -> Result<Change, ArrowError>,
    ) -> Result<usize, MaintainError> {
        let mut sink = Sink::new(self.target(true));
        let mut old = Vec::new();
        for file in files {
            let Some(date) = day(&file) else { continue };
            let rows = self.fetch(&file).await?;
            let failed = |source| MaintainError::Change { table: self.name(), path: rows.path.clone(), source };
            let mut batches = rows.batches()?;
            let mut same = true;
            while same && let Some(batch) = batches.next().await? {
                same = matches!(change(&batch).map_err(failed)?, Change::Same);
            }
            if same {
                continue;
            }
            let mut batches = rows.batches()?;
            while let Some(batch) = batches.next().await? {
                let rows = match change(&batch).map_err(failed)? {
                    Change::Same => batch,
                    Change::Rows(rows) => rows,
                };
                if rows.num_rows() > 0 {
                    sink.push(DayBatch { date, rows }).await?;
                }
            }
            old.push(file);
        }
        let count = old.len();
        if count > 0 {
            let new = sink.finish().await?;
            self.replace(Replacement { base, old, new, data_change: true, operation }).await?;
        }
        Ok(count)
    }
}

/// The day of a file, by its partition.
pub(super) fn day(file: &LogicalFileView) -> Option<Date> {
    Date::parse(file.partition_values_map().get(DATE)?.as_deref()?).ok()
}

/// The files of a table, by their own order.
pub(super) fn files(base: &DeltaTableState) -> Vec<LogicalFileView> {
    base.log_data().iter().collect()
}

/// The encoded rows of a file. Decoded, they are several times as large.
pub(super) struct FileRows {
    table: TableName,
    path: Path,
    bytes: Bytes,
}

pub(super) struct Batches<'f> {
    file: &'f FileRows,
    reader: Option<ParquetRecordBatchReader>,
}

impl FileRows {
    pub fn batches(&self) -> Result<Batches<'_>, MaintainError> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(self.bytes.clone()).and_then(|builder| builder.build());
        Ok(Batches { file: self, reader: Some(reader.map_err(|source| self.damaged(source))?) })
    }

    fn damaged(&self, source: ParquetError) -> MaintainError {
        MaintainError::Damaged { table: self.table, path: self.path.clone(), source }
    }
}

impl Batches<'_> {
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, MaintainError> {
        let Some(mut reader) = self.reader.take() else { return Ok(None) };
        let decoded = tokio::task::spawn_blocking(move || (reader.next(), reader)).await;
        let (batch, reader) = decoded.map_err(|_| MaintainError::Stopped { table: self.file.table })?;
        self.reader = Some(reader);
        batch.transpose().map_err(|source| self.file.damaged(source.into()))
    }
}
