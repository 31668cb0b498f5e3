//! What there is: every table and view with its columns and without its rows, for those who ask before they query. It never
//! looks at the lake, and the names of things (PostgreSQL's oids too) stay the same for as long as the program runs.

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;

use super::comments;
use super::error::QueryError;
use super::session::CATALOG;
use super::setter::{Setter, Source};

const PG_CATALOG: &str = "pg_catalog";

pub(super) struct Directory {
    catalog: Arc<MemoryCatalogProvider>,
    state: SessionState,
}

impl Directory {
    pub async fn new(base: &SessionState) -> Result<Directory, QueryError> {
        let setter = Setter::new(base, Source::Shapes, None)?;
        setter.add_everything().await?;
        let catalog = Arc::clone(&setter.catalog);
        Ok(Directory { catalog, state: setter.scene().context().state() })
    }

    /// Adds PostgreSQL's catalogs; what is given is `base` with its functions and types.
    pub async fn add_postgres(&mut self, base: &SessionState) -> Result<SessionState, QueryError> {
        let context = SessionContext::new_with_state(self.state.clone());
        setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|error| QueryError::engine(*error))?;
        comments::add(&context, &self.catalog).await?;
        let list = Arc::clone(base.catalog_list());
        Ok(SessionStateBuilder::new_from_existing(context.state()).with_catalog_list(list).build())
    }

    /// Fills up a catalog with what it has not.
    pub fn copy_to(&self, catalog: &MemoryCatalogProvider) -> Result<(), QueryError> {
        for name in self.catalog.schema_names() {
            let Some(schema) = self.catalog.schema(&name) else { continue };
            match catalog.schema(&name) {
                Some(there) if name != PG_CATALOG => copy_tables(&*schema, &*there)?,
                _ => {
                    catalog.register_schema(&name, schema).map_err(QueryError::engine)?;
                }
            }
        }
        Ok(())
    }
}

fn copy_tables(from: &dyn SchemaProvider, to: &dyn SchemaProvider) -> Result<(), QueryError> {
    for name in from.table_names() {
        if to.table_exist(&name) {
            continue;
        }
        // A schema in memory answers at once.
        if let Some(Ok(Some(table))) = futures::FutureExt::now_or_never(from.table(&name)) {
            to.register_table(name, table).map_err(QueryError::engine)?;
        }
    }
    Ok(())
}
