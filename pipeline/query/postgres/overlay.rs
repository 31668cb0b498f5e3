//! PostgreSQL's own tables where this server has others than datafusion-postgres 0.19: its comments, no rows about relations
//! that are not here, and columns that clients name and upstream has not.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit};
use datafusion::prelude::SessionContext;

use super::catalog::EMPTY;
pub(in crate::query) use super::catalog::INFORMATION_COLUMNS;

/// Columns that nothing has a value in: table, name, and whether it is an array of texts or a text.
const COLUMNS: [(&str, &str, bool); 3] =
    [("pg_class", "reloptions", true), ("pg_class", "relacl", true), ("pg_settings", "boot_val", false)];

/// `information_schema.columns` (PostgreSQL's manual, 37.17), as far as clients read it.
const INFORMATION_COLUMNS_SQL: &str = "SELECT 'callweave' AS table_catalog, n.nspname AS table_schema, c.relname AS table_name, \
    a.attname AS column_name, CAST(a.attnum AS INT) AS ordinal_position, CAST(NULL AS TEXT) AS column_default, CASE WHEN \
    a.attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable, format_type(a.atttypid, a.atttypmod) AS data_type, CAST(NULL AS INT) AS \
    character_maximum_length, CAST(NULL AS INT) AS character_octet_length, CAST(NULL AS INT) AS numeric_precision, CAST(NULL AS \
    INT) AS numeric_precision_radix, CAST(NULL AS INT) AS numeric_scale, CAST(NULL AS INT) AS datetime_precision, CAST(NULL AS \
    TEXT) AS interval_type, CAST(NULL AS TEXT) AS character_set_name, CAST(NULL AS TEXT) AS collation_name, CAST(NULL AS TEXT) AS \
    domain_name, 'callweave' AS udt_catalog, 'pg_catalog' AS udt_schema, t.typname AS udt_name, 'NO' AS is_identity, CAST(NULL AS \
    TEXT) AS identity_generation, 'NEVER' AS is_generated, CAST(NULL AS TEXT) AS generation_expression, 'NO' AS is_updatable FROM \
    pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = \
    c.relnamespace JOIN pg_catalog.pg_type t ON t.oid = a.atttypid WHERE a.attnum > 0";

/// Stands in for it ([`super::catalog`]).
pub(in crate::query) async fn information_columns(context: &SessionContext) -> Result<Arc<dyn TableProvider>> {
    let plan = context.sql(INFORMATION_COLUMNS_SQL).await?.into_unoptimized_plan();
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// The catalog's schema, with `others` in place of its tables of these names.
pub(in crate::query) async fn over(
    inner: Arc<dyn SchemaProvider>,
    mut others: HashMap<String, Arc<dyn TableProvider>>,
) -> Result<Arc<dyn SchemaProvider>> {
    for name in inner.table_names() {
        let Some(table) = inner.table(&name).await? else { continue };
        if EMPTY.contains(&name.as_str()) {
            others.insert(name, Arc::new(EmptyTable::new(table.schema())));
            continue;
        }
        let more: Vec<Expr> = COLUMNS.into_iter().filter(|(of, ..)| *of == name).map(column).collect();
        if !more.is_empty() {
            let scan = LogicalPlanBuilder::scan(name.as_str(), provider_as_source(table), None)?;
            let there = scan.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
            let plan = scan.project(there.into_iter().chain(more))?.build()?;
            others.insert(name, Arc::new(ViewTable::new(plan, None)));
        }
    }
    Ok(Arc::new(Overlay { inner, others }))
}

fn column((_, name, is_array): (&str, &str, bool)) -> Expr {
    let null = match is_array {
        true => ScalarValue::new_null_list(Field::new_list_field(DataType::Utf8, true).data_type().clone(), true, 1),
        false => ScalarValue::Utf8(None),
    };
    lit(null).alias(name)
}

#[derive(Debug)]
struct Overlay {
    inner: Arc<dyn SchemaProvider>,
    others: HashMap<String, Arc<dyn TableProvider>>,
}

#[async_trait]
impl SchemaProvider for Overlay {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.others.get(&name.to_ascii_lowercase()) {
            Some(table) => Ok(Some(Arc::clone(table))),
            None => self.inner.table(name).await,
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name)
    }
}
