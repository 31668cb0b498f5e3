//! The lake's tables as the engine sees them: opened once, brought up to date for every query.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionState;
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use tokio::sync::Mutex;
use url::Url;

use super::corrections::{Corrections, Known, key};
use super::error::QueryError;
use super::library::{STAGING, Text};
use super::sure::Sure;
use super::workers::Pinned;
use crate::lake::location;
use crate::lake::table::{DATE, TableName};

/// The tables of a lake root that have been opened so far, and by whom they are shared.
pub struct Tables {
    /// Ends with a slash.
    root: Url,
    /// Each table has a lock of its own: bringing one up to date does not hold up questions to another.
    open: BTreeMap<&'static str, Mutex<Slot>>,
}

#[derive(Default)]
struct Slot {
    table: Option<DeltaTable>,
    /// Of a version of the same table; nothing where nobody asked for them so far.
    known: Option<Known>,
}

/// A table as it stands now.
pub(super) struct Stored {
    pub provider: Arc<dyn TableProvider>,
    /// Of the same version; nothing where they were not asked for, or are not known.
    pub corrections: Option<Arc<Corrections>>,
}

impl Stored {
    pub fn empty(schema: SchemaRef) -> Stored {
        Stored { provider: Arc::new(EmptyTable::new(schema)), corrections: None }
    }
}

impl Tables {
    /// `lake` is a folder or a URL. No table is read yet.
    pub fn at(lake: &str) -> Result<Tables, QueryError> {
        let root = location::resolve(lake, false)?;
        let open = STAGING.iter().map(|&Text { name, .. }| (name, Mutex::default())).collect();
        Ok(Tables { root, open })
    }

    /// The table as it stands now, or an empty one of the right shape if nothing was ever written to it; nothing if
    /// the lake has no table of this name. `pinned`: workers can read it, too. `corrections`: they are wanted, too.
    pub async fn stored(
        &self,
        table: &str,
        session: &Arc<SessionState>,
        pinned: bool,
        corrections: bool,
    ) -> Result<Option<Stored>, QueryError> {
        let Some((&name, slot)) = self.open.get_key_value(table) else { return Ok(None) };
        let mut slot = slot.lock().await;
        self.refresh(name, &mut slot).await?;
        let Slot { table: Some(open), known } = &mut *slot else {
            return Ok(schema(name).map(Stored::empty));
        };
        let scan = open.table_provider().with_session(Arc::clone(session)).build().await;
        let scan: Arc<dyn TableProvider> = Arc::new(scan.map_err(|error| failed(name, error.into()))?);
        if let Some(key) = key(name).filter(|_| corrections) {
            // Where they cannot be told, the statement looks for itself, and says what is wrong.
            let told = Known::of(known.take(), open, key, session).await;
            *known = told.inspect_err(|error| tracing::debug!(table = name, %error, "corrections cannot be told")).ok();
        }
        let corrections = known.as_ref().filter(|_| corrections).and_then(Known::corrections);
        if !pinned {
            return Ok(Some(Stored { provider: Arc::new(Sure(scan)), corrections }));
        }
        let snapshot = open.snapshot().map_err(|error| failed(name, error))?.snapshot().clone();
        let provider: Arc<dyn TableProvider> = match Pinned::new(name, Arc::clone(&scan), snapshot) {
            Some(pinned) => Arc::new(pinned),
            None => Arc::new(Sure(scan)),
        };
        Ok(Some(Stored { provider, corrections }))
    }

    /// Ends with a slash.
    pub fn root(&self) -> &Url {
        &self.root
    }

    /// Where a table's commits are read, and the newest of them; nothing where nothing was ever written to it.
    pub async fn log(&self, table: &str) -> Result<Option<(LogStoreRef, u64)>, QueryError> {
        let Some((&name, slot)) = self.open.get_key_value(table) else { return Ok(None) };
        let mut slot = slot.lock().await;
        self.refresh(name, &mut slot).await?;
        Ok(slot.table.as_ref().and_then(|open| Some((open.log_store(), open.version()?))))
    }

    async fn refresh(&self, name: &'static str, slot: &mut Slot) -> Result<(), QueryError> {
        if let Some(open) = slot.table.as_mut()
            && let Err(error) = open.update_state().await
        {
            // The log was cleaned up or replaced under us: what is there now is read from its beginning.
            tracing::debug!(table = name, %error, "snapshot could not be brought up to date; opened anew");
            *slot = Slot::default();
        }
        if slot.table.is_none() {
            slot.table = self.load(name).await.map_err(|error| failed(name, error))?;
        }
        Ok(())
    }

    /// Nothing where nothing was ever written to the table.
    async fn load(&self, name: &str) -> Result<Option<DeltaTable>, DeltaTableError> {
        let url = self.root.join(&format!("{name}/"));
        let url = url.map_err(|error| DeltaTableError::InvalidTableLocation(error.to_string()))?;
        let mut table = DeltaTableBuilder::from_url(url)?.build()?;
        if !table.verify_deltatable_existence().await? {
            return Ok(None);
        }
        table.load().await?;
        Ok(Some(table))
    }
}

pub(super) fn failed(table: &str, source: DeltaTableError) -> QueryError {
    QueryError::Table { table: table.to_owned(), source: Box::new(source) }
}

/// The columns of a table in the order in which they are stored; nothing for a name that no table has.
pub fn schema(table: &str) -> Option<SchemaRef> {
    let name = TableName::ALL.into_iter().find(|name| name.name() == table)?;
    let columns = name.definition().columns;
    let mut fields: Vec<_> = columns.into_iter().map(|c| Field::new(c.name, c.data_type, true)).collect();
    // As the lake makes its tables: the partition is the second column.
    fields.insert(1, Field::new(DATE, DataType::Date32, true));
    Some(Arc::new(Schema::new(fields)))
}
