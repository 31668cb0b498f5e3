//! Rows -> Arrow. The hot path: a million page views a second pass through here.

use std::sync::Arc;

use callweave_core::event::Segment;
use callweave_core::phone::Phone;
use callweave_core::row::Money;
use callweave_core::time::{Date, Time};
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
    let mut builders: Vec<Builder<R>> = columns.iter().map(|column| Builder::new(column, count)).collect();
    let mut scratch = String::new();
    let mut block = Vec::with_capacity(BLOCK_ROWS.min(count));
    let mut rows = rows();
    loop {
        block.clear();
        block.extend(rows.by_ref().take(BLOCK_ROWS));
        if block.is_empty() {
            break;
        }
        builders.iter_mut().for_each(|builder| builder.append(&block, &mut scratch));
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

/// A column that is being built, and how its values are read.
enum Builder<R> {
    Text(StringBuilder, Texts<R>),
    Words(WordBuilder, Texts<R>),
    Phones(ListBuilder<StringBuilder>, fn(&R) -> Option<&[Phone]>),
    Segments(ListBuilder<StructBuilder>, for<'r> fn(&'r R) -> &'r [Segment<'r>]),
    Time(TimestampMicrosecondBuilder, fn(&R) -> Option<Time>),
    Int(Int32Builder, fn(&R) -> Option<i32>),
    Long(Int64Builder, fn(&R) -> Option<i64>),
    Double(Float64Builder, fn(&R) -> Option<f64>),
    Bool(BooleanBuilder, fn(&R) -> Option<bool>),
    Money(Decimal128Builder, fn(&R) -> Option<Money>),
    Binary(BinaryBuilder, fn(&R) -> Option<&[u8]>),
}

/// How a text is read.
enum Texts<R> {
    Told(fn(&R) -> Option<&str>),
    Shown(fn(&R, &mut String) -> bool),
}

impl<R> Texts<R> {
    fn each(&self, rows: &[&R], scratch: &mut String, mut to: impl FnMut(Option<&str>)) {
        match self {
            Texts::Told(get) => rows.iter().for_each(|row| to(get(row))),
            Texts::Shown(write) => rows.iter().for_each(|row| to(shown(*row, write, scratch))),
        }
    }
}

/// Bytes that a text column is given room for per row, before it has to grow.
const TEXT_BYTES: usize = 16;

impl<R> Builder<R> {
    fn new(column: &Column<R>, rows: usize) -> Builder<R> {
        match column.cell {
            Cell::Text(get) => Builder::text(column, rows, Texts::Told(get)),
            Cell::Show(write) => Builder::text(column, rows, Texts::Shown(write)),
            Cell::Phones(get) => {
                let phones = ListBuilder::with_capacity(StringBuilder::new(), rows).with_field(item(DataType::Utf8));
                Builder::Phones(phones, get)
            }
            Cell::Segments(get) => {
                let fields = segment_fields();
                let element = item(DataType::Struct(fields.clone()));
                let segments = ListBuilder::with_capacity(StructBuilder::from_fields(fields, rows), rows);
                Builder::Segments(segments.with_field(element), get)
            }
            Cell::Time(get) => {
                Builder::Time(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"), get)
            }
            Cell::Int(get) => Builder::Int(Int32Builder::with_capacity(rows), get),
            Cell::Long(get) => Builder::Long(Int64Builder::with_capacity(rows), get),
            Cell::Double(get) => Builder::Double(Float64Builder::with_capacity(rows), get),
            Cell::Bool(get) => Builder::Bool(BooleanBuilder::with_capacity(rows), get),
            Cell::Money(get) => {
                let (precision, scale) = MONEY;
                let money = Decimal128Builder::with_capacity(rows);
                Builder::Money(money.with_data_type(DataType::Decimal128(precision, scale)), get)
            }
            Cell::Binary(get) => Builder::Binary(BinaryBuilder::with_capacity(rows, rows * TEXT_BYTES), get),
        }
    }

    fn text(column: &Column<R>, rows: usize, texts: Texts<R>) -> Builder<R> {
        match column.unique {
            true => Builder::Text(StringBuilder::with_capacity(rows, rows * TEXT_BYTES), texts),
            false => Builder::Words(WordBuilder::with_capacity(rows), texts),
        }
    }

    /// Appends the column of a block of rows.
    fn append(&mut self, rows: &[&R], scratch: &mut String) {
        match self {
            Builder::Text(to, texts) => texts.each(rows, scratch, |text| to.append_option(text)),
            Builder::Words(to, texts) => texts.each(rows, scratch, |text| to.append(text)),
            Builder::Phones(to, get) => rows.iter().for_each(|row| append_phones(to, get(row), scratch)),
            Builder::Segments(to, get) => rows.iter().for_each(|row| append_segments(to, get(row))),
            Builder::Time(to, get) => rows.iter().for_each(|row| to.append_option(get(row).map(|time| time.0))),
            Builder::Int(to, get) => rows.iter().for_each(|row| to.append_option(get(row))),
            Builder::Long(to, get) => rows.iter().for_each(|row| to.append_option(get(row))),
            Builder::Double(to, get) => rows.iter().for_each(|row| to.append_option(get(row))),
            Builder::Bool(to, get) => rows.iter().for_each(|row| to.append_option(get(row))),
            Builder::Money(to, get) => {
                rows.iter().for_each(|row| to.append_option(get(row).map(|money| i128::from(money.0))));
            }
            Builder::Binary(to, get) => rows.iter().for_each(|row| to.append_option(get(row))),
        }
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Builder::Words(from, _) => from.finish()?,
            Builder::Text(mut from, _) => Arc::new(from.finish()),
            Builder::Phones(mut from, _) => Arc::new(from.finish()),
            Builder::Segments(mut from, _) => Arc::new(from.finish()),
            Builder::Time(mut from, _) => Arc::new(from.finish()),
            Builder::Int(mut from, _) => Arc::new(from.finish()),
            Builder::Long(mut from, _) => Arc::new(from.finish()),
            Builder::Double(mut from, _) => Arc::new(from.finish()),
            Builder::Bool(mut from, _) => Arc::new(from.finish()),
            Builder::Money(mut from, _) => Arc::new(from.finish()),
            Builder::Binary(mut from, _) => Arc::new(from.finish()),
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
