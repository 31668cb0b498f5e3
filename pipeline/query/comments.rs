//! What tables and columns mean, where PostgreSQL's clients look for it: `pg_description`, `obj_description`,
//! `col_description`. The texts are those of the lake's tables.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::catalog::{CatalogProvider, MemTable, MemoryCatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;

use super::error::QueryError;
use super::library::{MARTS, STAGING, Text};
use super::postgres::{functions, overlay};
use super::session::{CURRENT, HISTORY, MART};
use crate::lake::table::{DATE, DATE_DOC, TableName};

const PG_CATALOG: &str = "pg_catalog";
const PG_DESCRIPTION: &str = "pg_description";
const PG_CLASS: &str = "pg_class";

/// By the table's oid and the column's number; 0 is the table itself.
type Comments = HashMap<(i64, i64), String>;

/// What the catalog says about what we have.
#[derive(Default)]
struct Found {
    comments: Comments,
    /// Tables that need no schema before their name.
    visible: HashSet<i64>,
    /// The SQL of views.
    views: HashMap<i64, String>,
    /// By schema and name, with a dot between.
    tables: HashMap<String, i64>,
    /// The oid of `pg_class` itself, which comments of tables are filed under.
    pg_class: i64,
}

/// Replaces the catalog's descriptions, and adds the functions that read them.
pub(super) async fn add(context: &SessionContext, catalog: &MemoryCatalogProvider) -> Result<(), QueryError> {
    let Found { comments, visible, views, tables, pg_class } = read(context).await.map_err(QueryError::engine)?;
    functions::add(context, visible, views, tables);
    let comments = Arc::new(comments);
    for by_column in [false, true] {
        let (comments, name) = (Arc::clone(&comments), if by_column { "col_description" } else { "obj_description" });
        let signature = Signature::variadic_any(Volatility::Stable);
        context.register_udf(ScalarUDF::new_from_impl(Description { name, comments, by_column, signature }));
    }
    let Some(inner) = catalog.schema(PG_CATALOG) else { return Ok(()) };
    let table = table(&*inner, &comments, pg_class).await.map_err(QueryError::engine)?;
    let columns = overlay::information_columns(context).await.map_err(QueryError::engine)?;
    let others =
        HashMap::from([(PG_DESCRIPTION.to_owned(), table), (overlay::INFORMATION_COLUMNS.to_owned(), columns)]);
    let schema = overlay::over(inner, others).await.map_err(QueryError::engine)?;
    catalog.register_schema(PG_CATALOG, schema).map_err(QueryError::engine)?;
    Ok(())
}

/// Asks the catalog for the numbers of what we have texts for.
async fn read(context: &SessionContext) -> Result<Found> {
    let of = texts();
    let mut found = Found::default();
    let sql = "SELECT CAST(c.oid AS BIGINT), n.nspname, c.relname, CAST(a.attnum AS BIGINT), a.attname \
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid";
    for batch in context.sql(sql).await?.collect().await? {
        let numbers = |column: usize| cast(batch.column(column), &DataType::Int64);
        let words = |column: usize| cast(batch.column(column), &DataType::Utf8);
        let (oids, schemas, tables) = (numbers(0)?, words(1)?, words(2)?);
        let (places, names) = (numbers(3)?, words(4)?);
        for row in 0..batch.num_rows() {
            let text = |column: &ArrayRef| column.as_string::<i32>().value(row).to_owned();
            let (oid, place) =
                (oids.as_primitive::<Int64Type>().value(row), places.as_primitive::<Int64Type>().value(row));
            let (schema, table, name) = (text(&schemas), text(&tables), text(&names));
            if schema == CURRENT || schema == PG_CATALOG {
                found.visible.insert(oid);
            }
            found.tables.entry(format!("{schema}.{table}")).or_insert(oid);
            if schema == PG_CATALOG && table == PG_CLASS {
                found.pg_class = oid;
            }
            if let Some(view) = view(&schema, &table) {
                found.views.insert(oid, view.sql.to_owned());
            }
            if let Some(comment) = of.get(&(schema.clone(), table.clone(), String::new())) {
                found.comments.insert((oid, 0), comment.clone());
            }
            if let Some(comment) = of.get(&(schema, table, name)) {
                found.comments.insert((oid, place), comment.clone());
            }
        }
    }
    Ok(found)
}

fn view(schema: &str, table: &str) -> Option<&'static Text> {
    match schema {
        CURRENT => Text::find(STAGING, table),
        MART => Text::find(MARTS, table),
        _ => None,
    }
}

/// By schema, table and column; the table itself has no column. A view's columns mean what the stored columns of their
/// names do.
fn texts() -> HashMap<(String, String, String), String> {
    let mut texts = HashMap::new();
    let mut add = |schema: &str, table: &str, column: &str, text: &str| {
        texts.insert((schema.to_owned(), table.to_owned(), column.to_owned()), text.to_owned());
    };
    for table in TableName::ALL {
        let definition = table.definition();
        let view = Text::find(STAGING, table.name()).map_or("", Text::description);
        add(HISTORY, table.name(), "", table.doc());
        add(CURRENT, table.name(), "", view);
        for column in &definition.columns {
            add(HISTORY, table.name(), column.name, column.doc);
            add(CURRENT, table.name(), column.name, column.doc);
        }
        add(HISTORY, table.name(), DATE, DATE_DOC);
        add(CURRENT, table.name(), DATE, DATE_DOC);
    }
    let columns: Vec<_> = [TableName::Sessions, TableName::Calls].map(|table| table.definition().columns).concat();
    for mart in MARTS {
        add(MART, mart.name, "", mart.description());
        for column in &columns {
            add(MART, mart.name, column.name, column.doc);
        }
        add(MART, mart.name, DATE, DATE_DOC);
    }
    texts
}

/// `pg_description` in the shape that the catalog has it.
async fn table(inner: &dyn SchemaProvider, comments: &Comments, pg_class: i64) -> Result<Arc<dyn TableProvider>> {
    let there = inner.table(PG_DESCRIPTION).await?;
    let schema = there.ok_or_else(|| DataFusionError::Plan(format!("there is no {PG_DESCRIPTION}")))?.schema();
    let mut rows: Vec<_> = comments.iter().collect();
    rows.sort_unstable();
    let column = |name: &str| -> Result<ArrayRef> {
        Ok(match name {
            "objoid" => Arc::new(Int64Array::from_iter_values(rows.iter().map(|((oid, _), _)| *oid))),
            "classoid" => Arc::new(Int64Array::from_iter_values(rows.iter().map(|_| pg_class))),
            "objsubid" => Arc::new(Int64Array::from_iter_values(rows.iter().map(|((_, place), _)| *place))),
            "description" => Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, text)| text))),
            other => return Err(DataFusionError::Plan(format!("{PG_DESCRIPTION} has a column {other}"))),
        })
    };
    let columns: Result<Vec<ArrayRef>> =
        schema.fields().iter().map(|field| Ok(cast(&column(field.name())?, field.data_type())?)).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns?)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

/// `obj_description(oid, catalog)` and `col_description(oid, column)` (PostgreSQL's manual, 9.27.6).
struct Description {
    name: &'static str,
    comments: Arc<Comments>,
    by_column: bool,
    signature: Signature,
}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Description {
    fn eq(&self, other: &Description) -> bool {
        self.name == other.name
    }
}

impl Eq for Description {}

impl std::hash::Hash for Description {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Description {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(oids) = columns.first() else {
            return Err(DataFusionError::Plan(format!("{} needs an oid", self.name)));
        };
        let oids = cast(oids, &DataType::Int64)?;
        let places = match columns.get(1).filter(|_| self.by_column) {
            Some(places) => Some(cast(places, &DataType::Int64)?),
            None => None,
        };
        let oids = oids.as_primitive::<Int64Type>();
        let places = places.as_ref().map(|places| places.as_primitive::<Int64Type>());
        let mut texts = StringBuilder::new();
        for row in 0..oids.len() {
            let place = places.map_or(Some(0), |places| places.is_valid(row).then(|| places.value(row)));
            let text =
                place.filter(|_| oids.is_valid(row)).and_then(|place| self.comments.get(&(oids.value(row), place)));
            texts.append_option(text);
        }
        Ok(ColumnarValue::Array(Arc::new(texts.finish())))
    }
}
