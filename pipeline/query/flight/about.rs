//! What there is, as Flight SQL asks for it: catalogs, schemas, tables, keys, types, and what the server can do.

use std::sync::Arc;

use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo, Nullable,
    Searchable, SqlInfo, SqlSupportedTransaction, XdbcDataType,
};
use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, UInt8Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::datasource::TableType;
use tonic::Status;

use super::status;
use crate::query::QuerySession;
use crate::query::format::plain_schema;
use crate::query::library::{FOREIGN_KEYS, ForeignKey, MARTS, STAGING, Text};
use crate::query::session::{CATALOG, CURRENT, HISTORY, MART};

/// As JDBC counts them (`DatabaseMetaData.importedKeyNoAction`).
const NO_ACTION: u8 = 3;

type Batch = Result<RecordBatch, Status>;

fn told(batch: Result<RecordBatch, ArrowError>) -> Batch {
    batch.map_err(|error| Status::internal(error.to_string()))
}

fn of_flight(batch: arrow_flight::error::Result<RecordBatch>) -> Batch {
    batch.map_err(|error| Status::internal(error.to_string()))
}

pub fn catalogs(query: CommandGetCatalogs) -> Batch {
    let mut catalogs = query.into_builder();
    catalogs.append(CATALOG);
    of_flight(catalogs.build())
}

pub fn schemas(query: CommandGetDbSchemas) -> Batch {
    let mut schemas = query.into_builder();
    for schema in [CURRENT, HISTORY, MART] {
        schemas.append(CATALOG, schema);
    }
    of_flight(schemas.build())
}

pub fn table_types(query: CommandGetTableTypes) -> Batch {
    let mut types = query.into_builder();
    ["TABLE", "VIEW"].iter().for_each(|name| types.append(name));
    of_flight(types.build())
}

pub async fn tables(session: &QuerySession, query: CommandGetTables) -> Batch {
    let mut tables = query.into_builder();
    for (schema, name, table) in session.everything().await.map_err(status)? {
        let kind = if table.table_type() == TableType::View { "VIEW" } else { "TABLE" };
        let columns = plain_schema(&table.schema());
        tables.append(CATALOG, schema, name, kind, &columns).map_err(|error| Status::internal(error.to_string()))?;
    }
    of_flight(tables.build())
}

pub fn sql_info(query: CommandGetSqlInfo) -> Batch {
    of_flight(query.into_builder(&infos()?).build())
}

fn infos() -> Result<SqlInfoData, Status> {
    let mut infos = SqlInfoDataBuilder::new();
    infos.append(SqlInfo::FlightSqlServerName, "callweave");
    infos.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    infos.append(SqlInfo::FlightSqlServerArrowVersion, datafusion::arrow::ARROW_VERSION);
    infos.append(SqlInfo::FlightSqlServerReadOnly, true);
    infos.append(SqlInfo::FlightSqlServerSql, true);
    infos.append(SqlInfo::FlightSqlServerSubstrait, false);
    infos.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    infos.append(SqlInfo::FlightSqlServerCancel, true);
    infos.append(SqlInfo::SqlDdlCatalog, false);
    infos.append(SqlInfo::SqlDdlSchema, false);
    infos.append(SqlInfo::SqlDdlTable, false);
    // Names without quotes are in lower case (SqlSupportedCaseSensitivity).
    infos.append(SqlInfo::SqlIdentifierCase, 3i32);
    infos.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    infos.append(SqlInfo::SqlQuotedIdentifierCase, 1i32);
    infos.append(SqlInfo::SqlAllTablesAreSelectable, true);
    // Nothing comes after what is sorted in a descending order (SqlNullOrdering: SQL_NULLS_SORTED_HIGH).
    infos.append(SqlInfo::SqlNullOrdering, 0i32);
    infos.append(SqlInfo::SqlSchemaTerm, "schema");
    infos.append(SqlInfo::SqlCatalogTerm, "catalog");
    infos.append(SqlInfo::SqlSupportsColumnAliasing, true);
    infos.append(SqlInfo::SqlNullPlusNullIsNull, true);
    infos.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    infos.append(SqlInfo::SqlTransactionsSupported, false);
    infos.build().map_err(|error| Status::internal(error.to_string()))
}

pub fn primary_keys(query: CommandGetPrimaryKeys) -> Batch {
    let wants = |schema: &str| query.db_schema.as_deref().is_none_or(|wanted| wanted == schema);
    let mut rows = Vec::new();
    for (schema, texts) in [(CURRENT, STAGING), (MART, MARTS)] {
        let Some(text) = Text::find(texts, &query.table).filter(|_| wants(schema)) else { continue };
        for (at, column) in text.list("key").into_iter().enumerate() {
            rows.push((schema, text.name, column, at as i32 + 1));
        }
    }
    let of = |pick: fn(&(&'static str, &'static str, &'static str, i32)) -> &'static str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(pick)))
    };
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let schema = Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        text("key_name", true),
        Field::new("key_sequence", DataType::Int32, false),
    ]);
    let columns = vec![
        of(|_| CATALOG),
        of(|row| row.0),
        of(|row| row.1),
        of(|row| row.2),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("{}_key", row.1)))) as ArrayRef,
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.3))),
    ];
    told(RecordBatch::try_new(Arc::new(schema), columns))
}

pub fn exported_keys(query: CommandGetExportedKeys) -> Batch {
    foreign(|key| key.refers_to == query.table, query.db_schema.as_deref())
}

pub fn imported_keys(query: CommandGetImportedKeys) -> Batch {
    foreign(|key| key.table == query.table, query.db_schema.as_deref())
}

pub fn cross_reference(query: CommandGetCrossReference) -> Batch {
    foreign(|key| key.refers_to == query.pk_table && key.table == query.fk_table, query.fk_db_schema.as_deref())
}

/// Keys between the tables of the contract, account by account.
fn foreign(wanted: impl Fn(&ForeignKey) -> bool, schema: Option<&str>) -> Batch {
    let mut rows = Vec::new();
    if schema.is_none_or(|schema| schema == CURRENT) {
        for key in FOREIGN_KEYS.iter().filter(|key| wanted(key)) {
            rows.push((key, "account", 1));
            rows.push((key, key.column, 2));
        }
    }
    type Row = (&'static ForeignKey, &'static str, i32);
    let of = |pick: fn(&Row) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(pick))) };
    let rules = || -> ArrayRef { Arc::new(UInt8Array::from_iter_values(rows.iter().map(|_| NO_ACTION))) };
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let schema = Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]);
    let columns = vec![
        of(|_| CATALOG.to_owned()),
        of(|_| CURRENT.to_owned()),
        of(|row| row.0.refers_to.to_owned()),
        of(|row| row.1.to_owned()),
        of(|_| CATALOG.to_owned()),
        of(|_| CURRENT.to_owned()),
        of(|row| row.0.table.to_owned()),
        of(|row| row.1.to_owned()),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.2))) as ArrayRef,
        of(|row| format!("{}_{}", row.0.table, row.0.column)),
        of(|row| format!("{}_key", row.0.refers_to)),
        rules(),
        rules(),
    ];
    told(RecordBatch::try_new(Arc::new(schema), columns))
}

pub fn types(query: CommandGetXdbcTypeInfo) -> Batch {
    let types = all_types().map_err(|error| Status::internal(error.to_string()))?;
    of_flight(query.into_builder(&types).build())
}

fn all_types() -> arrow_flight::error::Result<XdbcTypeInfoData> {
    let mut types = XdbcTypeInfoDataBuilder::new();
    for (name, kind, size, quote) in [
        ("VARCHAR", XdbcDataType::XdbcVarchar, None, true),
        ("INTEGER", XdbcDataType::XdbcInteger, Some(10), false),
        ("BIGINT", XdbcDataType::XdbcBigint, Some(19), false),
        ("DOUBLE", XdbcDataType::XdbcDouble, Some(15), false),
        ("DECIMAL", XdbcDataType::XdbcDecimal, Some(38), false),
        ("BOOLEAN", XdbcDataType::XdbcBit, Some(1), false),
        ("DATE", XdbcDataType::XdbcDate, Some(10), true),
        ("TIMESTAMP", XdbcDataType::XdbcTimestamp, Some(32), true),
        ("VARBINARY", XdbcDataType::XdbcVarbinary, None, true),
    ] {
        let quote = quote.then(|| "'".to_owned());
        types.append(XdbcTypeInfo {
            type_name: name.to_owned(),
            data_type: kind,
            sql_data_type: kind,
            column_size: size,
            literal_prefix: quote.clone(),
            literal_suffix: quote,
            nullable: Nullable::NullabilityNullable,
            case_sensitive: name == "VARCHAR",
            searchable: Searchable::Full,
            num_prec_radix: size.filter(|_| matches!(name, "INTEGER" | "BIGINT" | "DECIMAL")).map(|_| 10),
            ..XdbcTypeInfo::default()
        });
    }
    types.build()
}
