//! A row as a JSON object: the same names as the table's columns, for those who are told a row outside of the lake.

use callweave_core::time::Time;
use deltalake_core::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::{Map, Value, json};

use super::column::Cell;
use super::table::{DATE, Definition, Row, TableName};

/// All columns of a row, the partition's date behind the first. What is not known is null. Times are RFC 3339 with
/// microseconds, money is a decimal as text.
pub fn object<R: Row>(row: &R) -> Map<String, Value> {
    let mut object = Map::new();
    let mut scratch = String::new();
    for column in R::columns() {
        let value = match column.cell {
            Cell::Text(get) => json!(get(row)),
            Cell::Show(write) => {
                scratch.clear();
                if write(row, &mut scratch) { json!(scratch) } else { Value::Null }
            }
            Cell::Phones(get) => json!(get(row).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())),
            Cell::Segments(get) => get(row)
                .iter()
                .map(|it| json!({ "speaker": it.speaker.name(), "start_seconds": it.start_seconds, "text": it.text.as_str() }))
                .collect(),
            Cell::Time(get) => json!(get(row).map(time)),
            Cell::Int(get) => json!(get(row)),
            Cell::Long(get) => json!(get(row)),
            Cell::Double(get) => json!(get(row)),
            Cell::Bool(get) => json!(get(row)),
            Cell::Money(get) => json!(get(row).map(|money| money.to_string())),
            Cell::Binary(get) => json!(get(row)),
        };
        object.insert(column.name.to_owned(), value);
        if object.len() == 1 {
            object.insert(DATE.to_owned(), json!(row.date().to_string()));
        }
    }
    object
}

fn time(time: Time) -> String {
    time.to_string()
}

/// The columns of a table by name, as [`object`] has them: for expressions over one row.
pub fn schema(table: TableName) -> SchemaRef {
    let Definition { columns, .. } = table.definition();
    let mut fields: Vec<Field> =
        columns.iter().map(|column| Field::new(column.name, column.data_type.clone(), true)).collect();
    fields.insert(1, Field::new(DATE, DataType::Date32, true));
    Schema::new(fields).into()
}
