//! What keeps a table small and readable, and takes out of it what must go. Meant for one owner per table, on a timer;
//! if there are two, one of them loses the race and tries again later: nothing is doubled.

mod compact;
mod erase;
mod retain;
mod rewrite;
mod sweep;

use chrono::Utc;
use deltalake_core::DeltaTableError;
use deltalake_core::arrow::error::ArrowError;
use deltalake_core::checkpoints;
use deltalake_core::operations::vacuum::VacuumMode;
use deltalake_core::parquet::errors::ParquetError;
use object_store::path::Path;

use super::commit::commit_properties;
use super::delta::Table;
use super::limits::{FILE_RETENTION_DAYS, LOG_RETENTION_HOURS};
use super::table::TableName;
use super::writer::WriteError;

pub use erase::Person;
pub use retain::Retention;

#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    #[error("table {table}: maintenance failed: {source}; {}", super::error::advice(source.as_ref()))]
    Delta { table: TableName, source: Box<DeltaTableError> },
    #[error("table {table}: cannot read {path}: {source}; {}", super::error::advice(source))]
    Read { table: TableName, path: Path, source: object_store::Error },
    #[error("table {table}: {path} is damaged: {source}; restore it from a backup")]
    Damaged { table: TableName, path: Path, source: ParquetError },
    #[error("table {table}: rows of {path} cannot be changed: {source}")]
    Change { table: TableName, path: Path, source: ArrowError },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("table {table}: another process maintains it at the same time; this one tries again later")]
    Busy { table: TableName },
    #[error("table {table}: maintenance was stopped")]
    Stopped { table: TableName },
    #[error("staged files of {path} cannot be removed: {source}")]
    Sweep { path: std::path::PathBuf, source: std::io::Error },
}

impl Table {
    fn delta_error(&self, source: DeltaTableError) -> MaintainError {
        MaintainError::Delta { table: self.name(), source: source.into() }
    }

    /// Deletes commits that a checkpoint holds and that are older than [`LOG_RETENTION_HOURS`]. Returns how many.
    pub async fn clean_log(&self) -> Result<usize, MaintainError> {
        let version = self.version().await.map_err(|source| self.delta_error(source))?;
        let cutoff = Utc::now() - chrono::Duration::hours(LOG_RETENTION_HOURS);
        checkpoints::cleanup_expired_logs_for(version, self.log.as_ref(), cutoff.timestamp_millis(), None)
            .await
            .map_err(|source| self.delta_error(source))
    }

    /// Deletes files that have not been part of the table for [`FILE_RETENTION_DAYS`]: those that compaction,
    /// retention or erasure replaced, and those of commits that never came. Returns how many.
    pub async fn vacuum(&self) -> Result<usize, MaintainError> {
        let latest = self.latest().await.map_err(|source| self.delta_error(source))?;
        let (_, metrics) = latest
            .vacuum()
            .with_mode(VacuumMode::Full)
            .with_retention_period(chrono::Duration::days(FILE_RETENTION_DAYS))
            .with_commit_properties(commit_properties())
            .await
            .map_err(|source| self.delta_error(source))?;
        Ok(metrics.files_deleted.len())
    }
}
