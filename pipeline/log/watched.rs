//! A log whose appends are watched: what refuses them keeps the program from its work, though it can be read.

use super::{Append, AppendError, Appended, Entries, Entry, Log, ReadError, Share, SharedLog, Subject, TrimError};
use crate::telemetry::troubles::Troubles;

pub struct Watched {
    log: SharedLog,
    troubles: Troubles,
}

/// What `/readyz` calls it.
const APPENDS: &str = "appending to the log";

impl Watched {
    pub fn new(log: SharedLog, troubles: Troubles) -> Watched {
        Watched { log, troubles }
    }

    fn note(&self, result: &Result<Appended, AppendError>) {
        match result {
            Ok(_) => self.troubles.done(APPENDS),
            Err(error @ (AppendError::Full(_) | AppendError::Unavailable(_) | AppendError::Damaged(_))) => {
                self.troubles.refused(APPENDS, error);
            }
            // The log can do its work: the entry was wrong.
            Err(AppendError::Conflict { .. } | AppendError::TooLarge { .. } | AppendError::NoSuchPartition { .. }) => {}
        }
    }
}

#[async_trait::async_trait]
impl Log for Watched {
    fn partitions(&self) -> u16 {
        self.log.partitions()
    }

    fn max_payload(&self) -> usize {
        self.log.max_payload()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let result = self.log.append(append).await;
        self.note(&result);
        result
    }

    async fn append_all(&self, batch: Vec<Append>) -> Vec<Result<Appended, AppendError>> {
        let results = self.log.append_all(batch).await;
        results.iter().for_each(|result| self.note(result));
        results
    }

    fn read(&self, partition: u16, after: u64) -> Entries {
        self.log.read(partition, after)
    }

    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.log.last_sequence(partition).await
    }

    async fn first_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.log.first_sequence(partition).await
    }

    async fn last_of_subject(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        self.log.last_of_subject(subject).await
    }

    fn share(&self) -> Share {
        self.log.share()
    }

    async fn trim(&self, partition: u16, before: u64) -> Result<(), TrimError> {
        self.log.trim(partition, before).await
    }
}
