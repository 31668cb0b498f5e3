//! What has landed in `calls` since a place in that table's own log, so that whoever comes again and again misses nothing,
//! however late a call or its correction came. By time, what came late would be missed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use datafusion::arrow::array::{AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use deltalake_core::kernel::{Action, Add};
use deltalake_core::logstore::{LogStoreRef, get_actions};
use deltalake_core::{DeltaTableError, ObjectStoreError};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::error::QueryError;
use super::tables::{Tables, failed};
use crate::lake::table::DATE;

pub const CALLS: &str = "calls";
/// Commits that one page looks through. There are about one a second where calls come in.
const COMMITS_MAX: u64 = 1000;

/// A place in the calls of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Within the first reading of all calls, by name: `last` was the last. It began at commit `since`, and what landed
    /// after that comes when it is over.
    First { since: u64, last: String },
    /// Behind commit `version`, and behind `keys` calls of the next one.
    Behind { version: u64, keys: usize },
}

/// What `after` is not.
#[derive(Debug, thiserror::Error)]
#[error("after is no place that an answer named as `next`; leave it out to begin with the first call")]
pub struct PlaceError;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::First { since, last } => write!(f, "{since}~{}", URL_SAFE_NO_PAD.encode(last)),
            Place::Behind { version, keys: 0 } => write!(f, "{version}"),
            Place::Behind { version, keys } => write!(f, "{version}.{keys}"),
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Place, PlaceError> {
        if let Some((since, last)) = text.split_once('~') {
            let last = URL_SAFE_NO_PAD.decode(last).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            return Ok(Place::First { since: number(since)?, last: last.ok_or(PlaceError)? });
        }
        let (version, keys) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Place::Behind { version: number(version)?, keys: number(keys)? })
    }
}

fn number<N: FromStr>(text: &str) -> Result<N, PlaceError> {
    Some(text)
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(PlaceError)
}

#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    #[error(
        "what landed after {0} cannot be told any more: the table's log goes back some hours only; leave `after` out and begin with the first call"
    )]
    Gone(Place),
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Which calls have changed.
pub struct Changes {
    /// Their names, no more than were asked for.
    pub calls: BTreeSet<String>,
    /// The days on which their rows lie.
    pub dates: BTreeSet<String>,
    pub next: Place,
    /// Whether there are more now.
    pub more: bool,
}

/// The calls of `account` whose rows landed behind (`version`, `keys`), commit by commit until there are `limit` of them.
/// A call may come again without a change, where its row was only written anew.
///
/// # Errors
/// The log or a file of that time is gone.
pub async fn changes(
    tables: &Tables,
    account: &str,
    version: u64,
    keys: usize,
    limit: usize,
) -> Result<Changes, ChangesError> {
    let gone = || ChangesError::Gone(Place::Behind { version, keys });
    let mut found =
        Changes { calls: BTreeSet::new(), dates: BTreeSet::new(), next: Place::Behind { version, keys }, more: false };
    let Some((log, newest)) = tables.log(CALLS).await? else {
        return if version == 0 { Ok(found) } else { Err(gone()) };
    };
    if version > newest {
        return Err(gone());
    }
    let mut skip = keys;
    for commit in version + 1..=newest.min(version.saturating_add(COMMITS_MAX)) {
        let Some(bytes) = log.read_commit_entry(commit).await.map_err(unreadable)? else { return Err(gone()) };
        let mut calls = BTreeSet::new();
        for action in get_actions(commit, &bytes).map_err(unreadable)? {
            if let Action::Add(add) = action
                && add.data_change
            {
                let Some(of_file) = calls_of(&log, &add, account).await? else { return Err(gone()) };
                if !of_file.is_empty() {
                    found.dates.extend(add.partition_values.get(DATE).cloned().flatten());
                    calls.extend(of_file);
                }
            }
        }
        let mut taken = skip;
        let mut left = calls.into_iter().skip(skip).peekable();
        while let Some(call) = left.next_if(|call| found.calls.len() < limit || found.calls.contains(call)) {
            found.calls.insert(call);
            taken += 1;
        }
        if left.peek().is_some() {
            found.next = Place::Behind { version: commit - 1, keys: taken };
            found.more = true;
            return Ok(found);
        }
        found.next = Place::Behind { version: commit, keys: 0 };
        skip = 0;
    }
    found.more = matches!(found.next, Place::Behind { version, .. } if version < newest);
    Ok(found)
}

/// The names of an account's calls in a file; nothing if the file is no more.
async fn calls_of(log: &LogStoreRef, add: &Add, account: &str) -> Result<Option<BTreeSet<String>>, QueryError> {
    // As it stands in the log, its escapes are undone already.
    let path = Path::parse(&add.path).map_err(|error| unreadable(DeltaTableError::generic(error.to_string())))?;
    let bytes = match log.object_store(None).get(&path).await {
        Ok(file) => file.bytes().await,
        Err(ObjectStoreError::NotFound { .. }) => return Ok(None),
        Err(error) => Err(error),
    };
    let bytes = bytes.map_err(|source| unreadable(DeltaTableError::ObjectStore { source }))?;
    let account = account.to_owned();
    let read = tokio::task::spawn_blocking(move || read(bytes, &account)).await;
    read.map_err(|_| QueryError::Panicked)?.map(Some)
}

fn read(bytes: Bytes, account: &str) -> Result<BTreeSet<String>, QueryError> {
    let damaged = |error: ParquetError| unreadable(error.into());
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(damaged)?;
    let columns = ProjectionMask::columns(builder.parquet_schema(), ["account", "call_id"]);
    let mut found = BTreeSet::new();
    for batch in builder.with_projection(columns).build().map_err(damaged)? {
        found.extend(names(&batch?, account)?);
    }
    Ok(found)
}

fn names(batch: &RecordBatch, account: &str) -> Result<Vec<String>, ArrowError> {
    let (accounts, calls) = (texts(batch, "account")?, texts(batch, "call_id")?);
    let of_account = accounts.iter().zip(&calls).filter(|(of, _)| *of == Some(account));
    Ok(of_account.filter_map(|(_, call)| call.map(str::to_owned)).collect())
}

/// A column of text, however it is stored.
pub fn texts(batch: &RecordBatch, column: &str) -> Result<StringArray, ArrowError> {
    let column = batch.column(batch.schema_ref().index_of(column)?);
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn unreadable(source: DeltaTableError) -> QueryError {
    failed(CALLS, source)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["", "x", "-1", "+1", "1.", "1.x", "1~!", "~", "1.2.3", "99999999999999999999"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
        assert_eq!("7".parse::<Place>().ok(), Some(Place::Behind { version: 7, keys: 0 }));
    }

    proptest! {
        #[test]
        fn places_survive_as_text(number in any::<u64>(), keys in any::<usize>(), last in ".{0,40}") {
            for place in [Place::First { since: number, last }, Place::Behind { version: number, keys }] {
                prop_assert_eq!(place.to_string().parse::<Place>().ok(), Some(place));
            }
        }
    }
}
