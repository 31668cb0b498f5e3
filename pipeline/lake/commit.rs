//! Files and marks -> one commit, exactly once.
//!
//! A mark says how far an application (a partition of the log) has come in a table. It is committed together with
//! the rows up to it, so that the table itself knows what it holds, whatever crashes.

use std::collections::HashMap;
use std::time::Duration;

use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake_core::kernel::{Action, Add, Transaction, Version};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;

use super::delta::{Table, Writing};
use super::limits::{COMMIT_ATTEMPTS_MAX, COMMIT_PAUSE_MS, COMMIT_RACES_MAX, MARKS_MAX};
use super::table::{DATE, TableName};

/// The files of a commit hold all rows of `app_id` behind `from` up to `to`, and no others of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub app_id: String,
    /// The mark of the commit before; nothing for the first.
    pub from: Option<i64>,
    pub to: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// By this call.
    Now { version: Version },
    /// The table holds these rows already: an earlier try went through, though its answer was lost.
    Before { version: Version },
}

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error(
        "table {table}: {app_id} is to be committed from {from:?} to {to}, and the table holds it up to {held:?}: \
         another process owns {app_id}, or the lake was replaced; this process must read its marks again"
    )]
    Fenced { table: TableName, app_id: String, from: Option<i64>, to: i64, held: Option<i64> },
    #[error("table {table}: {app_id} is marked from {from:?} to {to}: a mark never falls or stays")]
    Backwards { table: TableName, app_id: String, from: Option<i64>, to: i64 },
    #[error(
        "table {table}: some of the marks are in already and others not ({held:?}); rows of several applications were \
         mixed otherwise than before: this process must read its marks again"
    )]
    Mixed { table: TableName, held: Vec<(String, Option<i64>)> },
    #[error("table {table}: not committed after {attempts} tries: {source}; {}", super::error::advice(source.as_ref()))]
    Failed { table: TableName, attempts: u32, source: Box<DeltaTableError> },
    #[error("table {table}: its log cannot be read: {source}; {}", super::error::advice(source.as_ref()))]
    Unreadable { table: TableName, source: Box<DeltaTableError> },
}

/// Every commit's: a checkpoint when its time has come, never a look at the whole log folder for what may be deleted
/// (maintenance does that).
pub(super) fn commit_properties() -> CommitProperties {
    CommitProperties::default().with_cleanup_expired_logs(Some(false)).with_max_retries(COMMIT_RACES_MAX)
}

pub(super) fn is_conflict(error: &DeltaTableError) -> bool {
    matches!(error, DeltaTableError::Transaction { source: TransactionError::CommitConflict(_) })
}

impl Table {
    /// How far the table holds `app_id`, by its newest commit.
    pub async fn mark(&self, app_id: &str) -> Result<Option<i64>, CommitError> {
        Ok(self.marks(&[app_id.to_owned()]).await?.pop().flatten())
    }

    /// [`mark`](Table::mark) of several, by one look at the table.
    pub async fn marks(&self, app_ids: &[String]) -> Result<Vec<Option<i64>>, CommitError> {
        let mut writing = self.writing.lock().await;
        *writing = Writing::default();
        let mut marks = Vec::with_capacity(app_ids.len());
        for app_id in app_ids {
            marks.push(self.held(&mut writing, app_id).await?);
        }
        Ok(marks)
    }

    /// Adds files to the table, with the marks that they bring it to. Rows are in exactly once however often this is
    /// called with the same marks, by however many processes. On an error nothing is lost: the files stay, and
    /// the same call may be made again.
    pub async fn commit(&self, adds: &[Add], marks: &[Mark]) -> Result<Committed, CommitError> {
        let table = self.name();
        for mark in marks {
            if mark.from.is_some_and(|from| from >= mark.to) {
                let Mark { app_id, from, to } = mark.clone();
                return Err(CommitError::Backwards { table, app_id, from, to });
            }
        }
        let mut writing = self.writing.lock().await;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let remembered = writing.snapshot.is_some();
            let tried = self.attempt(&mut writing, adds, marks).await;
            let source = match tried {
                Ok(committed) => return Ok(committed),
                // By what is remembered; the table may have moved on.
                Err(CommitError::Fenced { .. } | CommitError::Mixed { .. }) if remembered => {
                    *writing = Writing::default();
                    continue;
                }
                Err(CommitError::Failed { source, .. } | CommitError::Unreadable { source, .. }) => source,
                Err(error) => return Err(error),
            };
            // What is known may be out of date, or the commit may be in without our having been told.
            *writing = Writing::default();
            if attempt == COMMIT_ATTEMPTS_MAX {
                return Err(CommitError::Failed { table, attempts: attempt, source });
            }
            tracing::warn!(table = table.name(), attempt, error = %source, "commit failed, looking at the log again");
            if !is_conflict(&source) {
                tokio::time::sleep(Duration::from_millis(COMMIT_PAUSE_MS << (attempt - 1))).await;
            }
        }
    }

    async fn attempt(&self, writing: &mut Writing, adds: &[Add], marks: &[Mark]) -> Result<Committed, CommitError> {
        if self.holds(writing, marks).await? {
            let version = self.snapshot(writing).await?.version();
            return Ok(Committed::Before { version });
        }
        let base = self.snapshot(writing).await?.clone();
        let version = base.version();
        let actions = adds.iter().cloned().map(Action::Add).collect();
        let transactions = marks.iter().map(|mark| Transaction::new(&mark.app_id, mark.to)).collect();
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![DATE.to_owned()]),
            predicate: None,
        };
        let properties = commit_properties()
            .with_metadata([("isBlindAppend".to_owned(), true.into())])
            .with_application_transactions(transactions);
        let commit = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(&base), self.log.clone(), operation)
            .await
            .map_err(|source| CommitError::Failed { table: self.name(), attempts: 1, source: source.into() })?;
        // Commits of others came between: those cannot have moved our marks, but may have moved other ones.
        if commit.version() != version + 1 || writing.marks.len() + marks.len() > MARKS_MAX {
            writing.marks.clear();
        }
        writing.marks.extend(marks.iter().map(|mark| (mark.app_id.clone(), Some(mark.to))));
        writing.snapshot = Some(commit.snapshot());
        Ok(Committed::Now { version: commit.version() })
    }

    /// Whether the table has all of `marks` (so their rows too), or none of them and may take them.
    async fn holds(&self, writing: &mut Writing, marks: &[Mark]) -> Result<bool, CommitError> {
        let mut held = Vec::with_capacity(marks.len());
        for mark in marks {
            held.push((mark.app_id.clone(), self.held(writing, &mark.app_id).await?));
        }
        let within = |(mark, held): &(&Mark, &(String, Option<i64>))| held.1.is_some_and(|held| held >= mark.to);
        let pairs = || marks.iter().zip(&held);
        match pairs().filter(within).count() {
            0 => {}
            count if count == marks.len() => return Ok(true),
            _ => return Err(CommitError::Mixed { table: self.name(), held }),
        }
        match pairs().find(|(mark, held)| mark.from != held.1) {
            None => Ok(false),
            Some((Mark { app_id, from, to }, (_, held))) => Err(CommitError::Fenced {
                table: self.name(),
                app_id: app_id.clone(),
                from: *from,
                to: *to,
                held: *held,
            }),
        }
    }

    async fn held(&self, writing: &mut Writing, app_id: &str) -> Result<Option<i64>, CommitError> {
        if let Some(held) = writing.marks.get(app_id) {
            return Ok(*held);
        }
        let snapshot = self.snapshot(writing).await?;
        let held = snapshot.transaction_version(&self.log, app_id).await.map_err(|source| self.unreadable(source))?;
        writing.marks.insert(app_id.to_owned(), held);
        Ok(held)
    }

    pub(super) async fn snapshot<'w>(&self, writing: &'w mut Writing) -> Result<&'w DeltaTableState, CommitError> {
        let snapshot = match writing.snapshot.take() {
            Some(snapshot) => snapshot,
            None => {
                writing.marks = HashMap::new();
                DeltaTableState::try_new(&self.log, None).await.map_err(|source| self.unreadable(source))?
            }
        };
        Ok(writing.snapshot.insert(snapshot))
    }

    fn unreadable(&self, source: DeltaTableError) -> CommitError {
        CommitError::Unreadable { table: self.name(), source: source.into() }
    }
}
