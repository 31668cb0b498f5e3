//! What there is: every table and view with its columns and without its rows, for those who ask before they query. It never
//! looks at the lake, and the names of things (PostgreSQL's oids too) stay the same for as long as the program runs.

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, TableProvider};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::oid_type_planner::PgOidTypePlanner;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use futures::FutureExt;

use super::comments;
use super::dialect;
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
        let types = dialect::Types { others: Some(Arc::new(PgOidTypePlanner)) };
        let state = SessionStateBuilder::new_from_existing(context.state()).with_catalog_list(list);
        Ok(state.with_type_planner(Arc::new(types)).build())
    }

    /// Every table and view by schema and name, PostgreSQL's catalogs aside, in this order.
    pub fn everything(&self) -> Vec<(String, String, Arc<dyn TableProvider>)> {
        let mut all = Vec::new();
        for name in self.catalog.schema_names().into_iter().filter(|name| name != PG_CATALOG) {
            let Some(schema) = self.catalog.schema(&name) else { continue };
            for table in schema.table_names() {
                // A schema in memory answers at once.
                if let Some(Ok(Some(provider))) = schema.table(&table).now_or_never() {
                    all.push((name.clone(), table, provider));
                }
            }
        }
        all.sort_by(|(a, b, _), (c, d, _)| (a, b).cmp(&(c, d)));
        all
    }

    /// Fills up a catalog with what it has not.
    pub fn copy_to(&self, catalog: &MemoryCatalogProvider) -> Result<(), QueryError> {
        for (schema, name, table) in self.everything() {
            if let Some(there) = catalog.schema(&schema).filter(|there| !there.table_exist(&name)) {
                there.register_table(name, table).map_err(QueryError::engine)?;
            }
        }
        if let Some(schema) = self.catalog.schema(PG_CATALOG) {
            catalog.register_schema(PG_CATALOG, schema).map_err(QueryError::engine)?;
        }
        Ok(())
    }
}
