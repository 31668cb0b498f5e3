//! The lake's tables as the engine sees them: opened once, brought up to date for every query.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionState;
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use tokio::sync::Mutex;

use super::error::QueryError;
use super::library::{STAGING, Text};

/// The tables of a lake root that have been opened so far, and by whom they are shared.
pub struct Tables {
    root: String,
    /// Each table has a lock of its own: bringing one up to date does not hold up questions to another.
    open: BTreeMap<&'static str, Mutex<Option<DeltaTable>>>,
}

impl Tables {
    /// `root` is a folder or a URL. Nothing is read yet.
    pub fn at(root: &str) -> Result<Tables, QueryError> {
        let local = root.strip_prefix("file://").unwrap_or(root);
        if !local.contains("://") && !Path::new(local).is_dir() {
            return Err(QueryError::NoLake { root: root.to_owned() });
        }
        let open = STAGING.iter().map(|&Text { name, .. }| (name, Mutex::new(None))).collect();
        Ok(Tables { root: root.trim_end_matches('/').to_owned(), open })
    }

    /// The table as it stands now, or an empty one of the right shape if nothing was ever written to it; nothing if
    /// the lake has no table of this name.
    pub async fn provider(
        &self,
        table: &str,
        session: &Arc<SessionState>,
    ) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let Some((&name, slot)) = self.open.get_key_value(table) else { return Ok(None) };
        let mut slot = slot.lock().await;
        let failed = |source| QueryError::Table { table: name.to_owned(), source: Box::new(source) };
        if let Some(open) = slot.as_mut()
            && let Err(error) = open.update_state().await
        {
            // The log was cleaned up or replaced under us: what is there now is read from its beginning.
            tracing::debug!(table = name, %error, "snapshot could not be brought up to date; opened anew");
            *slot = None;
        }
        if slot.is_none() {
            *slot = self.load(name).await.map_err(failed)?;
        }
        let Some(open) = slot.as_ref() else {
            let schema = super::interim::schema(name);
            return Ok(schema.map(|schema| Arc::new(EmptyTable::new(schema)) as _));
        };
        let scan = open.table_provider().with_session(Arc::clone(session)).build().await;
        Ok(Some(Arc::new(scan.map_err(|error| failed(error.into()))?)))
    }

    async fn load(&self, name: &str) -> Result<Option<DeltaTable>, DeltaTableError> {
        let url = match deltalake_core::table::builder::parse_table_uri(format!("{}/{name}", self.root)) {
            Ok(url) => url,
            // A folder that does not exist: nothing was ever written to this table.
            Err(DeltaTableError::InvalidTableLocation(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        match DeltaTableBuilder::from_url(url)?.load().await {
            Ok(table) => Ok(Some(table)),
            Err(DeltaTableError::NotATable(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
