//! Rows -> Arrow. The hot path: a million page views a second pass through here.

use std::sync::Arc;

use callweave_core::event::Segment;
use callweave_core::phone::Phone;
use callweave_core::time::Date;
use deltalake_core::arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder,
    ListBuilder, RecordBatch, StringBuilder, StructBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use deltalake_core::arrow::compute::cast;
use deltalake_core::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use deltalake_core::arrow::error::ArrowError;

use super::column::{Cell, Column, MONEY, item, segment_fields};
use super::limits::BLOCK_ROWS;
use super::table::Row;
use super::words::{WordBuilder, is_words};

/// Rows of one day, without the column `date`.
#[derive(Debug, Clone)]
pub struct DayBatch {
    pub date: Date,
    pub rows: RecordBatch,
}

/// Turns rows column-major, one batch a day. The order of rows within a day is kept.
pub fn rows_to_batches<R: Row>(rows: &[R]) -> Result<Vec<DayBatch>, ArrowError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let date = first.date();
    if rows.iter().all(|row| row.date() == date) {
        return Ok(vec![DayBatch { date, rows: build(rows.len(), || rows.iter())? }]);
    }
    let mut order: Vec<(Date, &R)> = rows.iter().map(|row| (row.date(), row)).collect();
    order.sort_by_key(|(date, _)| *date);
    order
        .chunk_by(|a, b| a.0 == b.0)
        .map(|day| Ok(DayBatch { date: day[0].0, rows: build(day.len(), || day.iter().map(|(_, row)| *row))? }))
        .collect()
}

fn build<'r, R: Row + 'r, I: Iterator<Item = &'r R>>(
    count: usize,
    rows: impl Fn() -> I,
) -> Result<RecordBatch, ArrowError> {
    let columns = R::columns();
    let mut builders: Vec<Builder> = columns.iter().map(|column| Builder::new(column, count)).collect();
    let mut scratch = String::new();
    let mut block = Vec::with_capacity(BLOCK_ROWS.min(count));
    let mut rows = rows();
    loop {
        block.clear();
        block.extend(rows.by_ref().take(BLOCK_ROWS));
        if block.is_empty() {
            break;
        }
        for (column, builder) in columns.iter().zip(&mut builders) {
            builder.append(&column.cell, &block, &mut scratch);
        }
    }
    let arrays = builders.into_iter().map(Builder::finish).collect::<Result<Vec<_>, _>>()?;
    let field = |(column, array): (&Column<R>, &ArrayRef)| Field::new(column.name, array.data_type().clone(), true);
    let fields: Vec<Field> = columns.iter().zip(&arrays).map(field).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// Just the columns of `schema`, in its order; a column that the batch has not is null. Text may be words, still.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let conformed = |field: &FieldRef| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
        Some(column) if is_words(column) && field.data_type() == &DataType::Utf8 => Ok(Arc::clone(column)),
        Some(column) => cast(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    };
    let columns = schema.fields().iter().map(conformed).collect::<Result<Vec<_>, _>>()?;
    let field = |(field, column): (&FieldRef, &ArrayRef)| Field::new(field.name(), column.data_type().clone(), true);
    let fields: Vec<Field> = schema.fields().iter().zip(&columns).map(field).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

enum Builder {
    Text(StringBuilder),
    Words(WordBuilder),
    Phones(ListBuilder<StringBuilder>),
    Segments(ListBuilder<StructBuilder>),
    Time(TimestampMicrosecondBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Double(Float64Builder),
    Bool(BooleanBuilder),
    Money(Decimal128Builder),
    Binary(BinaryBuilder),
}

/// Bytes that a text column is given room for per row, before it has to grow.
const TEXT_BYTES: usize = 16;

impl Builder {
    fn new<R>(column: &Column<R>, rows: usize) -> Builder {
        match column.cell {
            Cell::Text(_) | Cell::Show(_) if column.unique => {
                Builder::Text(StringBuilder::with_capacity(rows, rows * TEXT_BYTES))
            }
            Cell::Text(_) | Cell::Show(_) => Builder::Words(WordBuilder::with_capacity(rows)),
            Cell::Phones(_) => {
                Builder::Phones(ListBuilder::with_capacity(StringBuilder::new(), rows).with_field(item(DataType::Utf8)))
            }
            Cell::Segments(_) => {
                let fields = segment_fields();
                let element = item(DataType::Struct(fields.clone()));
                Builder::Segments(
                    ListBuilder::with_capacity(StructBuilder::from_fields(fields, rows), rows).with_field(element),
                )
            }
            Cell::Time(_) => Builder::Time(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC")),
            Cell::Int(_) => Builder::Int(Int32Builder::with_capacity(rows)),
            Cell::Long(_) => Builder::Long(Int64Builder::with_capacity(rows)),
            Cell::Double(_) => Builder::Double(Float64Builder::with_capacity(rows)),
            Cell::Bool(_) => Builder::Bool(BooleanBuilder::with_capacity(rows)),
            Cell::Money(_) => {
                let (precision, scale) = MONEY;
                Builder::Money(
                    Decimal128Builder::with_capacity(rows).with_data_type(DataType::Decimal128(precision, scale)),
                )
            }
            Cell::Binary(_) => Builder::Binary(BinaryBuilder::with_capacity(rows, rows * TEXT_BYTES)),
        }
    }

    /// Appends one column of a block of rows. A builder is always made for its own cell, so no other pair comes up.
    fn append<R>(&mut self, cell: &Cell<R>, rows: &[&R], scratch: &mut String) {
        match (self, cell) {
            (Builder::Text(to), Cell::Text(get)) => rows.iter().for_each(|row| to.append_option(get(row))),
            (Builder::Words(to), Cell::Text(get)) => rows.iter().for_each(|row| to.append(get(row))),
            (Builder::Text(to), Cell::Show(write)) => {
                rows.iter().for_each(|row| to.append_option(shown(*row, write, scratch)));
            }
            (Builder::Words(to), Cell::Show(write)) => {
                rows.iter().for_each(|row| to.append(shown(*row, write, scratch)));
            }
            (Builder::Phones(to), Cell::Phones(get)) => {
                rows.iter().for_each(|row| append_phones(to, get(row), scratch));
            }
            (Builder::Segments(to), Cell::Segments(get)) => rows.iter().for_each(|row| append_segments(to, get(row))),
            (Builder::Time(to), Cell::Time(get)) => {
                rows.iter().for_each(|row| to.append_option(get(row).map(|time| time.0)));
            }
            (Builder::Int(to), Cell::Int(get)) => rows.iter().for_each(|row| to.append_option(get(row))),
            (Builder::Long(to), Cell::Long(get)) => rows.iter().for_each(|row| to.append_option(get(row))),
            (Builder::Double(to), Cell::Double(get)) => rows.iter().for_each(|row| to.append_option(get(row))),
            (Builder::Bool(to), Cell::Bool(get)) => rows.iter().for_each(|row| to.append_option(get(row))),
            (Builder::Money(to), Cell::Money(get)) => {
                rows.iter().for_each(|row| to.append_option(get(row).map(|money| i128::from(money.0))));
            }
            (Builder::Binary(to), Cell::Binary(get)) => rows.iter().for_each(|row| to.append_option(get(row))),
            _ => unreachable!("a builder is made for its own cell"),
        }
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Builder::Words(from) => from.finish()?,
            Builder::Text(mut from) => Arc::new(from.finish()),
            Builder::Phones(mut from) => Arc::new(from.finish()),
            Builder::Segments(mut from) => Arc::new(from.finish()),
            Builder::Time(mut from) => Arc::new(from.finish()),
            Builder::Int(mut from) => Arc::new(from.finish()),
            Builder::Long(mut from) => Arc::new(from.finish()),
            Builder::Double(mut from) => Arc::new(from.finish()),
            Builder::Bool(mut from) => Arc::new(from.finish()),
            Builder::Money(mut from) => Arc::new(from.finish()),
            Builder::Binary(mut from) => Arc::new(from.finish()),
        })
    }
}

fn shown<'s, R>(row: &R, write: &fn(&R, &mut String) -> bool, scratch: &'s mut String) -> Option<&'s str> {
    scratch.clear();
    write(row, scratch).then_some(scratch.as_str())
}

fn append_phones(to: &mut ListBuilder<StringBuilder>, phones: Option<&[Phone]>, scratch: &mut String) {
    for phone in phones.unwrap_or_default() {
        scratch.clear();
        show_phone(*phone, scratch);
        to.values().append_value(&*scratch);
    }
    to.append(phones.is_some());
}

/// Writes E.164; several times faster than through `Display`.
pub fn show_phone(phone: Phone, to: &mut String) {
    let mut digits = [0u8; 20];
    let (mut rest, mut at) = (phone.0, digits.len());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    to.push('+');
    to.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

fn append_segments(to: &mut ListBuilder<StructBuilder>, segments: &[Segment<'_>]) {
    for segment in segments {
        let parts = to.values();
        // The builders of `segment_fields`, in their order.
        if let Some(speaker) = parts.field_builder::<StringBuilder>(0) {
            speaker.append_value(segment.speaker.name());
        }
        if let Some(start) = parts.field_builder::<Float64Builder>(1) {
            start.append_value(segment.start_seconds);
        }
        if let Some(text) = parts.field_builder::<StringBuilder>(2) {
            text.append_value(segment.text.as_str());
        }
        parts.append(true);
    }
    to.append(true);
}
