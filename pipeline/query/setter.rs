//! What a statement names, brought together for it: tables, and views on them by the texts of `queries/`.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    Session, TableProvider,
};
use datafusion::common::Result as EngineResult;
use datafusion::datasource::{TableType, ViewTable};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use futures::future::BoxFuture;

use super::access::{Access, Barrier};
use super::bounds::{Bounds, BoundsPlanner};
use super::corrections::{self, Corrections};
use super::error::QueryError;
use super::guard;
use super::library::{MARTS, STAGING, Text};
use super::session::{CATALOG, CURRENT, HISTORY, MART, Scene};
use super::tables::{self, Stored, Tables};
use super::workers::Crew;

/// Where the stored tables come from.
pub(super) enum Source<'a> {
    /// The lake as it is now, as far as `access` goes.
    Lake { tables: &'a Tables, access: Option<&'a Arc<Access>>, crew: Option<&'a Arc<Crew>> },
    /// Their columns alone.
    Shapes,
}

pub(super) struct Setter<'a> {
    source: Source<'a>,
    state: Arc<SessionState>,
    pub(super) catalog: Arc<MemoryCatalogProvider>,
}

impl<'a> Setter<'a> {
    pub fn new(base: &SessionState, source: Source<'a>, bounds: Option<Arc<Bounds>>) -> Result<Setter<'a>, QueryError> {
        let catalog = Arc::new(MemoryCatalogProvider::new());
        for schema in [CURRENT, HISTORY, MART] {
            catalog.register_schema(schema, Arc::new(MemorySchemaProvider::new())).map_err(QueryError::engine)?;
        }
        let list = Arc::new(MemoryCatalogProviderList::new());
        list.register_catalog(CATALOG.to_owned(), Arc::clone(&catalog) as _);
        let mut builder = SessionStateBuilder::new_from_existing(base.clone()).with_catalog_list(list);
        if let Some(bounds) = &bounds {
            // Whoever plans in this scene looks there for what planning may take.
            builder = builder.with_config(base.config().clone().with_extension(Arc::clone(bounds)));
        }
        // What runs without bounds is not shared.
        let crew = match &source {
            Source::Lake { crew, .. } if bounds.is_some() => crew.map(Arc::clone),
            _ => None,
        };
        builder = builder.with_query_planner(Arc::new(BoundsPlanner { bounds, crew }));
        Ok(Setter { source, state: Arc::new(builder.build()), catalog })
    }

    pub fn scene(self) -> Scene {
        Scene::of(&self.state)
    }

    /// Adds what `statement` names; whether it asks what there is (SHOW TABLES, `information_schema`, `pg_catalog`).
    pub async fn add_named_by(&self, statement: &Statement) -> Result<bool, QueryError> {
        let statement = match statement {
            Statement::Explain(explain) => &explain.statement,
            other => other,
        };
        let mut asks_what_there_is = false;
        for reference in self.state.resolve_table_references(statement).map_err(QueryError::engine)? {
            match reference.schema() {
                Some("information_schema" | "pg_catalog") => asks_what_there_is = true,
                None if reference.table().starts_with("pg_") => asks_what_there_is = true,
                schema => self.add(schema.unwrap_or(CURRENT), reference.table()).await?,
            }
        }
        Ok(asks_what_there_is)
    }

    /// Adds all tables and views.
    pub async fn add_everything(&self) -> Result<(), QueryError> {
        for text in STAGING {
            self.add(HISTORY, text.name).await?;
            self.add(CURRENT, text.name).await?;
        }
        for text in MARTS {
            self.add(MART, text.name).await?;
        }
        Ok(())
    }

    /// Adds one table or view, and what it is made of. A name that nothing has is left to the planner to complain of.
    fn add<'s>(
        &'s self,
        schema: &'s str,
        name: &'s str,
    ) -> Pin<Box<dyn Future<Output = Result<(), QueryError>> + Send + 's>> {
        Box::pin(async move {
            let Some(holder) = self.catalog.schema(schema).filter(|holder| !holder.table_exist(name)) else {
                return Ok(());
            };
            let provider = match schema {
                HISTORY => self.stored(name, false).await?.map(|stored| stored.provider),
                MART => self.view(MARTS, name, None).await?,
                _ if !STAGING.iter().any(|text| text.name == name) => self.view(MARTS, name, None).await?,
                _ => {
                    let corrections = self.add_stored(name).await?;
                    let view = self.view(STAGING, name, corrections).await?;
                    view.map(|view| Arc::new(Counted(view)) as Arc<dyn TableProvider>)
                }
            };
            if let Some(provider) = provider {
                holder.register_table(name.to_owned(), provider).map_err(QueryError::engine)?;
            }
            Ok(())
        })
    }

    /// `corrections`: they are wanted, too.
    async fn stored(&self, name: &str, corrections: bool) -> Result<Option<Stored>, QueryError> {
        let Source::Lake { tables, access, crew } = &self.source else {
            return Ok(tables::schema(name).map(Stored::empty));
        };
        // Workers do not know them.
        let corrections = corrections && crew.is_none();
        let mut table = tables.stored(name, &self.state, crew.is_some(), corrections).await?;
        if let (Some(stored), Some(access)) = (&mut table, access) {
            stored.provider = Arc::new(Barrier::new(name, Arc::clone(&stored.provider), Arc::clone(access))?);
        }
        Ok(table)
    }

    /// Adds what a view of the same name is made of; its corrections, unless it was there already, of a version they are not told of.
    async fn add_stored(&self, name: &str) -> Result<Option<Arc<Corrections>>, QueryError> {
        let Some(holder) = self.catalog.schema(HISTORY).filter(|holder| !holder.table_exist(name)) else {
            return Ok(None);
        };
        let Some(stored) = self.stored(name, true).await? else { return Ok(None) };
        holder.register_table(name.to_owned(), stored.provider).map_err(QueryError::engine)?;
        Ok(stored.corrections)
    }

    async fn view(
        &self,
        texts: &[Text],
        name: &str,
        corrections: Option<Arc<Corrections>>,
    ) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let Some(text) = texts.iter().find(|text| text.name == name) else { return Ok(None) };
        let told = |error| QueryError::from_engine(error, text.sql);
        let statement = guard::admit(text.sql)?.pop().ok_or(QueryError::NoQuery)?;
        self.add_named_by(&statement).await?;
        let mut plan = self.state.statement_to_plan(statement).await.map_err(told)?;
        if let Some(corrections) = corrections {
            plan = corrections::told(plan, name, &corrections).map_err(told)?;
        }
        Ok(Some(Arc::new(ViewTable::new(plan, Some(text.sql.to_owned())))))
    }
}

/// A table as far as its rows count. That it is a view over what is stored is nothing that its readers have to know: tools that list
/// tables (psql's `\dt`) list it.
#[derive(Debug)]
struct Counted(Arc<dyn TableProvider>);

impl TableProvider for Counted {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.0.get_logical_plan()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        self.0.supports_filters_pushdown(filters)
    }

    // As `async_trait` has it: see `query`.
    fn scan<'a, 'b, 'c, 'd, 'f>(
        &'a self,
        state: &'b dyn Session,
        projection: Option<&'c Vec<usize>>,
        filters: &'d [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'f, EngineResult<Arc<dyn ExecutionPlan>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
    {
        self.0.scan(state, projection, filters, limit)
    }
}
