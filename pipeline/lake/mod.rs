//! The lake: Delta tables on a local disk or in an object store.
//!
//! [`table`] says what the tables are, [`batch`] turns rows into Arrow, [`writer`] into files, [`commit`] makes files
//! part of a table exactly once, [`maintain`] keeps tables small and forgets people, [`state`] keeps snapshots,
//! and [`lock`] keeps two jobs from one state.

pub mod batch;
pub mod column;
pub mod commit;
pub mod delta;
pub mod durable;
mod encode;
pub mod error;
mod hybrid;
pub mod json;
pub mod limits;
pub mod location;
pub mod lock;
pub mod maintain;
mod pages;
pub mod state;
mod stats;
pub mod store;
pub mod table;
mod words;
pub mod writer;

use std::sync::Arc;

use ::url::Url;
use deltalake_core::logstore::object_store::prefix::PrefixStore;
use futures::future::try_join_all;
use object_store::ObjectStore;
use object_store::path::Path;

pub use batch::{DayBatch, rows_to_batches};
pub use commit::{CommitError, Committed, Mark};
pub use delta::Table;
pub use error::{OpenError, StateError};
pub use lock::{Lock, LockError};
pub use maintain::{MaintainError, Person, Retention};
pub use state::StateStore;
pub use table::TableName;
pub use writer::{TableWriter, WriteError};

use delta::Access;
use store::DurableStore;

/// An open lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    url: Url,
    /// In the order of [`TableName::ALL`].
    tables: Arc<[Table]>,
    state: StateStore,
}

impl Lake {
    /// Opens a lake for writing; makes what is missing of it.
    pub async fn open(text: &str) -> Result<Lake, OpenError> {
        let url = location::resolve(text, true)?;
        Lake::with_store(url, Arc::new(DurableStore::default()), Access::Write).await
    }

    /// Opens a lake that is there, and changes nothing about it.
    pub async fn open_to_read(text: &str) -> Result<Lake, OpenError> {
        let url = location::resolve(text, false)?;
        Lake::with_store(url, Arc::new(DurableStore::default()), Access::Read).await
    }

    /// Opens a lake in a given storage, whose root is that of `url`'s scheme (tests wrap it to make it fail).
    pub async fn with_store(url: Url, store: Arc<dyn ObjectStore>, access: Access) -> Result<Lake, OpenError> {
        let tables =
            try_join_all(TableName::ALL.map(|name| Table::open(name, &url, Arc::clone(&store), access))).await?;
        let root = Path::from_url_path(url.path()).unwrap_or_default();
        let state = StateStore::new(Arc::new(PrefixStore::new(store, root)));
        Ok(Lake { url, tables: tables.into(), state })
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn table(&self, name: TableName) -> &Table {
        // `tables` is made from `ALL`, whose order is that of the enum.
        &self.tables[name as usize]
    }

    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Where the join keeps snapshots of its state.
    pub fn state(&self) -> &StateStore {
        &self.state
    }
}
