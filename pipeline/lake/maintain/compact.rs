//! Many small files of a day -> few large ones.

use std::collections::BTreeMap;

use callweave_core::time::Date;
use deltalake_core::kernel::LogicalFileView;
use deltalake_core::protocol::DeltaOperation;

use super::MaintainError;
use super::rewrite::{Replacement, day, files};
use crate::lake::batch::DayBatch;
use crate::lake::delta::Table;
use crate::lake::limits::{COMPACT_FILES_MAX, COMPACT_FILES_MIN, FILE_BYTES_MAX, SMALL_FILE_BYTES};
use crate::lake::writer::Sink;

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    pub files_before: usize,
    pub files_after: usize,
}

impl Table {
    /// Puts the small files of each day together where there are many. Writers go on meanwhile.
    pub async fn compact(&self) -> Result<Compacted, MaintainError> {
        let mut base = self.base().await?;
        let mut days: BTreeMap<Date, Vec<LogicalFileView>> = BTreeMap::new();
        for file in files(&base) {
            if file.size() < SMALL_FILE_BYTES
                && let Some(date) = day(&file)
            {
                days.entry(date).or_default().push(file);
            }
        }
        let mut done = Compacted::default();
        for (date, mut old) in days {
            if old.len() < COMPACT_FILES_MIN {
                continue;
            }
            old.sort_by_key(LogicalFileView::modification_time);
            old.truncate(COMPACT_FILES_MAX);
            let mut sink = Sink::new(self.target(false));
            for file in &old {
                let file = self.fetch(file).await?;
                let mut batches = file.batches()?;
                while let Some(rows) = batches.next().await? {
                    sink.push(DayBatch { date, rows }).await?;
                }
            }
            let new = sink.finish().await?;
            done.files_before += old.len();
            done.files_after += new.len();
            let operation = DeltaOperation::Optimize { predicate: None, target_size: FILE_BYTES_MAX as i64 };
            base = self.replace(Replacement { base, old, new, data_change: false, operation }).await?;
        }
        Ok(done)
    }
}
