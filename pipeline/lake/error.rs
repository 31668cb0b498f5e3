//! What can be told to a person whose storage failed.

use std::error::Error;
use std::io;

use deltalake_core::DeltaTableError;
use object_store::path::Path;

use super::location::UrlError;
use super::table::TableName;

/// Why a lake cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("there is no table {table} at {url}; check --lake, or let `callweave up` or `callweave run` make it")]
    MissingTable { table: TableName, url: String },
    #[error(
        "table {table} at {url}: column {column} is {found} there, and callweave writes {ours}; the folder is \
         another program's or a much older version's: move it away, or choose another --lake"
    )]
    Schema { table: TableName, url: String, column: String, found: String, ours: String },
    #[error(
        "table {table} at {url} is partitioned by {found:?}, and callweave's by \"date\"; the folder is another \
         program's: move it away, or choose another --lake"
    )]
    Partition { table: TableName, url: String, found: Vec<String> },
    #[error("table {table} at {url}: {source}; {}", advice(source.as_ref()))]
    Delta { table: TableName, url: String, source: Box<DeltaTableError> },
}

/// Why a snapshot of the state cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("state {path}: {source}; {}", advice(source))]
    Store { path: Path, source: object_store::Error },
    #[error(
        "state {path} was written by another process since this one began, and is left as it is; no two may go on from one state at \
         once: see that nobody else does, and start this again"
    )]
    Taken { path: Path },
    #[error("state {name:?}: a name has letters, digits, - and _")]
    Name { name: String },
}

/// What to do about a storage error, by its innermost cause.
pub(super) fn advice(error: &(dyn Error + 'static)) -> &'static str {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "the disk is full: make room, and it goes on where it stopped"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "the lake cannot be written: check its owner, its rights and how it is mounted"
                }
                io::ErrorKind::NotFound => "a file or folder of the lake has gone: was it moved or deleted?",
                _ => "the storage failed: see the system's log",
            };
        }
        cause = error.source();
    }
    "nothing was lost: it is tried again"
}
