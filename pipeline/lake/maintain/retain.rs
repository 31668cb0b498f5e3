//! An account's rows of days that it no longer keeps go.

use std::collections::HashSet;

use callweave_core::time::Date;
use deltalake_core::arrow::array::{AsArray, BooleanArray};
use deltalake_core::arrow::compute::filter_record_batch;
use deltalake_core::protocol::DeltaOperation;

use super::MaintainError;
use super::rewrite::{Change, day, files};
use crate::lake::delta::Table;

/// The first day that an account keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    pub account: String,
    pub keep_from: Date,
}

impl Table {
    /// Deletes what the accounts no longer keep. Done again, it finds nothing. Returns how many files it changed.
    pub async fn retain(&self, retentions: &[Retention]) -> Result<usize, MaintainError> {
        let base = self.base().await?;
        let mut changed = 0;
        let Some(last) = retentions.iter().map(|retention| retention.keep_from).max() else { return Ok(changed) };
        let mut days: Vec<Date> = files(&base).iter().filter_map(day).filter(|day| *day < last).collect();
        days.sort_unstable();
        days.dedup();
        for date in days {
            let gone: HashSet<&str> = retentions
                .iter()
                .filter(|retention| date < retention.keep_from)
                .map(|retention| retention.account.as_str())
                .collect();
            let base = self.base().await?;
            let of_the_day = files(&base).into_iter().filter(|file| day(file) == Some(date)).collect();
            let operation = DeltaOperation::Delete { predicate: None };
            changed += self
                .rewrite(base, of_the_day, operation, |batch| {
                    let Some(accounts) = batch.column_by_name("account") else { return Ok(Change::Same) };
                    let keep: BooleanArray = accounts
                        .as_string::<i32>()
                        .iter()
                        .map(|account| Some(account.is_none_or(|account| !gone.contains(account))))
                        .collect();
                    if keep.true_count() == keep.len() {
                        return Ok(Change::Same);
                    }
                    Ok(Change::Rows(filter_record_batch(batch, &keep)?))
                })
                .await?;
        }
        Ok(changed)
    }
}
