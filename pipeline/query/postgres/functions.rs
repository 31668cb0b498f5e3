//! Functions of PostgreSQL's that clients call when they look around, and that datafusion-postgres 0.19 has not or answers
//! differently. There are no functions, sizes or roles to tell of, so most of them are the same for everything.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;

use super::{moments, texts};

/// Name and the one answer (PostgreSQL's manual, 9.27 and 9.28).
fn constants() -> Vec<(&'static str, ScalarValue)> {
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    let none = || ScalarValue::Utf8(None);
    vec![
        // SQLAlchemy reads the number in it.
        ("version", text(&format!("PostgreSQL {}", super::SERVER_VERSION))),
        ("pg_function_is_visible", ScalarValue::Boolean(Some(false))),
        ("pg_type_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_opclass_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_collation_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_operator_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_conversion_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_ts_config_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_ts_dict_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_ts_parser_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_ts_template_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_statistics_obj_is_visible", ScalarValue::Boolean(Some(true))),
        ("getdatabaseencoding", text("UTF8")),
        ("pg_get_functiondef", none()),
        ("pg_get_function_sqlbody", none()),
        ("pg_get_function_arg_default", none()),
        ("pg_get_function_result", text("")),
        ("pg_get_function_arguments", text("")),
        ("pg_get_function_identity_arguments", text("")),
        ("pg_get_indexdef", none()),
        ("pg_get_triggerdef", none()),
        ("pg_get_ruledef", none()),
        ("pg_get_serial_sequence", none()),
        ("pg_tablespace_location", none()),
        ("shobj_description", none()),
        ("pg_size_pretty", none()),
        ("pg_table_size", ScalarValue::Int64(None)),
        ("pg_indexes_size", ScalarValue::Int64(None)),
        ("pg_database_size", ScalarValue::Int64(None)),
        // What asyncpg says before it gives a connection back to its pool.
        ("pg_advisory_unlock_all", none()),
        // SQLAlchemy and psycopg look for types of extensions.
        ("to_regtype", ScalarValue::Int64(None)),
        ("pg_is_in_recovery", ScalarValue::Boolean(Some(false))),
        ("pg_is_other_temp_schema", ScalarValue::Boolean(Some(false))),
        ("pg_my_temp_schema", ScalarValue::Int64(Some(0))),
        ("txid_current", ScalarValue::Int64(Some(1))),
        ("inet_server_addr", none()),
        ("inet_server_port", ScalarValue::Int32(None)),
        ("has_column_privilege", ScalarValue::Boolean(Some(true))),
        ("has_function_privilege", ScalarValue::Boolean(Some(true))),
        ("has_sequence_privilege", ScalarValue::Boolean(Some(false))),
        ("pg_has_role", ScalarValue::Boolean(Some(true))),
        ("row_security_active", ScalarValue::Boolean(Some(false))),
        ("pg_char_to_encoding", ScalarValue::Int32(Some(6))),
        ("pg_encoding_max_length", ScalarValue::Int32(Some(4))),
        ("pg_postmaster_start_time", none()),
    ]
}

/// Adds them. `visible`: the oids of tables that need no schema before their name; `views`: the SQL of views by theirs;
/// `tables`: oids by schema and name, with a dot between.
pub(in crate::query) fn add(
    context: &SessionContext,
    visible: HashSet<i64>,
    views: HashMap<i64, String>,
    tables: HashMap<String, i64>,
) {
    for (name, answer) in constants() {
        context.register_udf(ScalarUDF::new_from_impl(Constant { name, answer, signature: any() }));
    }
    let visible = Visible { oids: Arc::new(visible), signature: any() };
    context.register_udf(ScalarUDF::new_from_impl(visible));
    texts::add(context, views, tables);
    moments::add(context);
}

/// What `current_user` says.
pub(super) fn user(name: &str) -> ScalarUDF {
    let answer = ScalarValue::Utf8(Some(name.to_owned()));
    ScalarUDF::new_from_impl(Constant { name: "session_user", answer, signature: any() })
}

fn any() -> Signature {
    Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Stable)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    answer: ScalarValue,
    signature: Signature,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.answer.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.answer.clone()))
    }
}

/// `pg_table_is_visible`: whether a table is found by its name alone.
struct Visible {
    oids: Arc<HashSet<i64>>,
    signature: Signature,
}

impl fmt::Debug for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Visible {
    fn eq(&self, other: &Visible) -> bool {
        self.oids == other.oids
    }
}

impl Eq for Visible {}

impl std::hash::Hash for Visible {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.oids.len().hash(state);
    }
}

impl ScalarUDFImpl for Visible {
    fn name(&self) -> &'static str {
        "pg_table_is_visible"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(oids) = columns.first() else { return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(None))) };
        let oids = cast(oids, &DataType::Int64)?;
        let oids = oids.as_primitive::<Int64Type>();
        let mut visible = BooleanBuilder::with_capacity(oids.len());
        for row in 0..oids.len() {
            visible.append_option(oids.is_valid(row).then(|| self.oids.contains(&oids.value(row))));
        }
        Ok(ColumnarValue::Array(Arc::new(visible.finish())))
    }
}
