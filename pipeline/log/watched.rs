//! A log whose appends are watched: what refuses them keeps the program from its work, though it can be read.

use callweave_core::time::Time;

use super::frame::{FrameBuilder, Record};
use super::{
    Append, AppendError, Appended, Entries, Entry, Log, MessageId, ReadError, Share, SharedLog, Subject, TrimError,
};
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

    /// Appends something that says nothing, if appends are refused: whoever is not ready is sent nothing that would tell that there is
    /// room again. A tick of long ago moves no watermark.
    pub async fn look_again(&self) {
        if !self.troubles.has(APPENDS) {
            return;
        }
        let mut frame = FrameBuilder::new();
        // A tick has no field that could be over a limit.
        let _ = frame.push(&Record::Tick { time: Time::EARLIEST });
        // Its own name, or the log would take it for the one before.
        let message_id = MessageId(uuid::Uuid::new_v4().as_u128());
        let append = Append { subject: Subject::tick(0), message_id, expect: None, payload: frame.finish() };
        // How it went is noted.
        let _ = self.append(append).await;
    }

    fn note(&self, result: &Result<Appended, AppendError>) {
        match result {
            Ok(_) => self.troubles.done(APPENDS),
            Err(error @ (AppendError::Full(_) | AppendError::Unavailable(_) | AppendError::Damaged(_))) => {
                self.troubles.failed(APPENDS, error);
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

    async fn identity(&self, partition: u16) -> Result<String, ReadError> {
        self.log.identity(partition).await
    }

    async fn first_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.log.first_sequence(partition).await
    }

    async fn last_of_subject(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        self.log.last_of_subject(subject).await
    }

    async fn next_settings(&self, subject: &Subject, after: u64) -> Result<Option<Entry>, ReadError> {
        self.log.next_settings(subject, after).await
    }

    fn share(&self) -> Share {
        self.log.share()
    }

    async fn trim(&self, partition: u16, before: u64) -> Result<(), TrimError> {
        self.log.trim(partition, before).await
    }
}
