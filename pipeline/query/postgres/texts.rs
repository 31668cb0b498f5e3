//! Functions of PostgreSQL's that clients ask for names, settings and views with: `format`, `to_regclass`, `current_setting`,
//! `pg_get_viewdef`, `pg_typeof`, `json_build_object`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Builder, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;
use datafusion_postgres::arrow_pg::datatypes::into_pg_type;

use super::mend::VARIABLES;
use crate::query::format::as_json;
use crate::query::session::CURRENT;

/// Adds them. `views`: the SQL of views by their oids; `tables`: oids by schema and name, with a dot between.
pub(super) fn add(context: &SessionContext, views: HashMap<i64, String>, tables: HashMap<String, i64>) {
    for (name, answer) in [
        ("pg_get_viewdef", Answer::View(Arc::new(views))),
        ("current_setting", Answer::Setting),
        ("to_regclass", Answer::Table(Arc::new(tables))),
        ("format", Answer::Format),
        ("pg_typeof", Answer::Type),
        ("json_build_object", Answer::Object),
    ] {
        let signature = Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Stable);
        context.register_udf(ScalarUDF::new_from_impl(Asked { name, answer, signature }));
    }
}

/// A type as PostgreSQL shows it.
fn type_name(kind: &DataType) -> Result<String> {
    let kind = into_pg_type(kind).map_err(|error| DataFusionError::External(Box::new(error)))?;
    let (name, array) = kind.name().strip_prefix('_').map_or((kind.name(), ""), |item| (item, "[]"));
    let name = match name {
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "float4" => "real",
        "float8" => "double precision",
        "bool" => "boolean",
        "timestamptz" => "timestamp with time zone",
        "timestamp" => "timestamp without time zone",
        "time" => "time without time zone",
        other => other,
    };
    Ok(format!("{name}{array}"))
}

#[derive(Clone, PartialEq, Eq)]
enum Answer {
    View(Arc<HashMap<i64, String>>),
    Setting,
    Table(Arc<HashMap<String, i64>>),
    Format,
    Type,
    Object,
}

impl Answer {
    fn rows(&self, columns: &[ArrayRef]) -> Result<ArrayRef> {
        match self {
            Answer::Type => {
                let name = type_name(columns[0].data_type())?;
                Ok(Arc::new(StringArray::from_iter_values((0..columns[0].len()).map(|_| &name))))
            }
            Answer::Object => {
                let pairs = columns.chunks(2).map(|pair| match pair {
                    [key, value] => Ok((strings(key)?, as_json(value)?)),
                    _ => exec_err!("json_build_object takes pairs of a name and a value"),
                });
                objects(&pairs.collect::<Result<Vec<_>>>()?)
            }
            Answer::View(views) => {
                let oids = cast(&columns[0], &DataType::Int64)?;
                let oids = oids.as_primitive::<Int64Type>();
                let mut texts = StringBuilder::new();
                oids.iter().for_each(|oid| texts.append_option(oid.and_then(|oid| views.get(&oid))));
                Ok(Arc::new(texts.finish()))
            }
            Answer::Setting => {
                let mut texts = StringBuilder::new();
                for name in strings(&columns[0])?.as_string::<i32>() {
                    let of = |(known, _): &(&str, &str)| name.is_some_and(|name| name.eq_ignore_ascii_case(known));
                    texts.append_option(VARIABLES.into_iter().find(of).map(|(_, value)| value));
                }
                Ok(Arc::new(texts.finish()))
            }
            Answer::Table(tables) => {
                let mut oids = Int64Builder::new();
                for name in strings(&columns[0])?.as_string::<i32>() {
                    oids.append_option(name.and_then(|name| oid(tables, name)));
                }
                Ok(Arc::new(oids.finish()))
            }
            Answer::Format => {
                let columns = columns.iter().map(strings).collect::<Result<Vec<_>>>()?;
                let mut texts = StringBuilder::new();
                for row in 0..columns[0].len() {
                    let mut values = columns.iter().map(|column| {
                        let column = column.as_string::<i32>();
                        column.is_valid(row).then(|| column.value(row))
                    });
                    let template = values.next().flatten();
                    texts.append_option(template.map(|template| format(template, values)));
                }
                Ok(Arc::new(texts.finish()))
            }
        }
    }
}

/// JSON as PostgreSQL writes it, of names and values that are JSON.
fn objects(pairs: &[(ArrayRef, ArrayRef)]) -> Result<ArrayRef> {
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_string::<i32>(), value.as_string::<i32>())).collect();
    let mut texts = StringBuilder::new();
    for row in 0..pairs.first().map_or(0, |(key, _)| key.len()) {
        let mut text = String::from("{");
        for (at, (key, value)) in pairs.iter().enumerate() {
            if key.is_null(row) {
                return exec_err!("json_build_object: a name is NULL");
            }
            let name = serde_json::Value::from(key.value(row));
            let value = if value.is_valid(row) { value.value(row) } else { "null" };
            text.push_str(&format!("{}{name} : {value}", if at > 0 { ", " } else { "" }));
        }
        text.push('}');
        texts.append_value(text);
    }
    Ok(Arc::new(texts.finish()))
}

fn strings(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(column, &DataType::Utf8)?)
}

/// Of `schema.table`, each with or without quotes; a table alone is one that needs no schema.
fn oid(tables: &HashMap<String, i64>, name: &str) -> Option<i64> {
    let plain = name.replace('"', "");
    let schemas = ["", CURRENT, "pg_catalog"];
    schemas.into_iter().find_map(|schema| match schema {
        "" => tables.get(&plain).copied(),
        schema => tables.get(&format!("{schema}.{plain}")).copied(),
    })
}

/// `%s`, `%I` and `%L` (PostgreSQL's manual, 9.4.1), each the next value; what else follows a `%` stays.
fn format<'a>(template: &str, mut values: impl Iterator<Item = Option<&'a str>>) -> String {
    let (mut text, mut rest) = (String::new(), template);
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let kind = rest[at + 1..].chars().next();
        match kind {
            Some('s') => text.push_str(values.next().flatten().unwrap_or_default()),
            Some('I') => text.push_str(&identifier(values.next().flatten().unwrap_or_default())),
            Some('L') => match values.next().flatten() {
                Some(value) => text.push_str(&format!("'{}'", value.replace('\'', "''"))),
                None => text.push_str("NULL"),
            },
            Some('%') => text.push('%'),
            Some(other) => text.extend(['%', other]),
            None => text.push('%'),
        }
        rest = &rest[at + 1 + kind.map_or(0, char::len_utf8)..];
    }
    text + rest
}

/// With quotes where it would not be read as it is without them.
fn identifier(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

struct Asked {
    name: &'static str,
    answer: Answer,
    signature: Signature,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Asked) -> bool {
        self.name == other.name && self.answer == other.answer
    }
}

impl Eq for Asked {}

impl std::hash::Hash for Asked {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Asked {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.answer {
            Answer::Table(_) => DataType::Int64,
            _ => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.args.is_empty() {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_type())?));
        }
        Ok(ColumnarValue::Array(self.answer.rows(&ColumnarValue::values_to_arrays(&args.args)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_as_postgresql_has_it() {
        for (template, values, expected) in [
            ("%I.%I", vec![Some("marts"), Some("Calls")], "marts.\"Calls\""),
            ("%s %% %L %L", vec![Some("a"), Some("it's"), None], "a % 'it''s' NULL"),
            ("%s%s%x%", vec![Some("ä")], "ä%x%"),
            ("\"%s\".\"%s\"", vec![Some("a"), Some("b")], "\"a\".\"b\""),
        ] {
            assert_eq!(format(template, values.into_iter()), expected);
        }
    }

    #[test]
    fn tables_are_found_by_name() {
        let tables = HashMap::from([("public.calls".to_owned(), 1), ("marts.calls".to_owned(), 2)]);
        for (name, expected) in [("calls", Some(1)), ("\"marts\".calls", Some(2)), ("nothing", None)] {
            assert_eq!(oid(&tables, name), expected, "{name}");
        }
    }
}
