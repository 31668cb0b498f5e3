//! A row as a JSON object: the same names as the table's columns, for those who are told a row outside of the lake.

use deltalake_core::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::{Value, json};

use super::column::Cell;
use super::table::{DATE, Definition, Row, TableName};

/// All columns of a row by name, the partition's date behind the first. What is not known is null. Times are RFC 3339 with
/// microseconds, money is a decimal as text.
pub fn members<R: Row>(row: &R) -> Vec<(&'static str, Value)> {
    let mut scratch = String::new();
    let columns = R::columns();
    let mut members = Vec::with_capacity(columns.len() + 1);
    for column in columns {
        members.push((column.name, value(&column.cell, row, &mut scratch)));
        if members.len() == 1 {
            members.push((DATE, json!(row.date().to_string())));
        }
    }
    members
}

/// The columns in which two rows differ, with the values of both, as [`members`] has them.
pub fn differing<R: Row>(one: &R, other: &R) -> Vec<(&'static str, Value, Value)> {
    let mut scratch = (String::new(), String::new());
    let mut differing = Vec::new();
    for column in R::columns() {
        if !is_same(&column.cell, one, other, &mut scratch) {
            let (one, other) = (value(&column.cell, one, &mut scratch.0), value(&column.cell, other, &mut scratch.0));
            differing.push((column.name, one, other));
        }
    }
    if one.date() != other.date() {
        differing.push((DATE, json!(one.date().to_string()), json!(other.date().to_string())));
    }
    differing
}

fn value<R>(cell: &Cell<R>, row: &R, scratch: &mut String) -> Value {
    match cell {
        Cell::Text(get) => json!(get(row)),
        Cell::Show(write) => show(*write, row, scratch).map_or(Value::Null, Value::from),
        Cell::Phones(get) => json!(get(row).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())),
        Cell::Segments(get) => get(row)
            .iter()
            .map(|it| json!({ "speaker": it.speaker.name(), "start_seconds": it.start_seconds, "text": it.text.as_str() }))
            .collect(),
        Cell::Time(get) => get(row).map_or(Value::Null, |time| Value::from(time.to_string())),
        Cell::Int(get) => json!(get(row)),
        Cell::Long(get) => json!(get(row)),
        Cell::Double(get) => json!(get(row)),
        Cell::Bool(get) => json!(get(row)),
        Cell::Money(get) => json!(get(row).map(|money| money.to_string())),
        Cell::Binary(get) => json!(get(row)),
    }
}

fn is_same<R>(cell: &Cell<R>, one: &R, other: &R, (first, second): &mut (String, String)) -> bool {
    match cell {
        Cell::Text(get) => get(one) == get(other),
        Cell::Show(write) => show(*write, one, first) == show(*write, other, second),
        Cell::Phones(get) => get(one) == get(other),
        Cell::Segments(get) => get(one) == get(other),
        Cell::Time(get) => get(one) == get(other),
        Cell::Int(get) => get(one) == get(other),
        Cell::Long(get) => get(one) == get(other),
        Cell::Double(get) => get(one) == get(other),
        Cell::Bool(get) => get(one) == get(other),
        Cell::Money(get) => get(one) == get(other),
        Cell::Binary(get) => get(one) == get(other),
    }
}

fn show<'s, R>(write: fn(&R, &mut String) -> bool, row: &R, scratch: &'s mut String) -> Option<&'s str> {
    scratch.clear();
    write(row, scratch).then_some(scratch)
}

/// The columns of a table by name, as [`members`] has them: for expressions over one row.
pub fn schema(table: TableName) -> SchemaRef {
    let Definition { columns, .. } = table.definition();
    let mut fields: Vec<Field> =
        columns.iter().map(|column| Field::new(column.name, column.data_type.clone(), true)).collect();
    fields.insert(1, Field::new(DATE, DataType::Date32, true));
    Schema::new(fields).into()
}
