//! Results as text or as files, batch by batch. All but `table` hold one batch (Parquet: one row group) at a time.
//!
//! In text, times are RFC 3339 in UTC with microseconds (`2026-11-20T12:34:56.789000Z`), local times the same without
//! `Z`, dates `2026-11-20`, booleans `true` and `false`, bytes hexadecimal. Nothing is an empty field in CSV, `null` in
//! JSON and an empty cell in a table. A table is for terminals, and its texts are strangers': characters that a terminal would obey are
//! written as psql writes them (`\x1B`), but for line ends, which stay within their cell.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::writer::{FileWriter, StreamWriter};
use datafusion::arrow::json::writer::{EncoderOptions, JsonArray, LineDelimited, make_encoder};
use datafusion::arrow::json::{Writer as JsonWriter, WriterBuilder as JsonWriterBuilder};
use datafusion::arrow::util::display::FormatOptions;
use datafusion::arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

use super::error::{QueryError, nearest};
use super::twins::told;

/// Rows of a row group of a Parquet result: what is held in memory before it is written.
const ROW_GROUP_ROWS_MAX: usize = 128 * 1024;
/// Rows that a table shows, since it has to be held whole to be laid out.
pub const TABLE_ROWS_MAX: usize = 10_000;

const TIME: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";
const LOCAL_TIME: &str = "%Y-%m-%dT%H:%M:%S%.6f";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For reading: columns side by side.
    #[default]
    Table,
    /// RFC 4180 with a header, lines end in a line feed. Lists and structures are JSON.
    Csv,
    /// One array of objects.
    Json,
    /// One object a line.
    Ndjson,
    /// Arrow IPC: the streaming format (to a file that ends in `.arrow` or `.feather`: the file format).
    Arrow,
    /// Parquet, zstd.
    Parquet,
}

impl Format {
    pub const ALL: [Format; 6] =
        [Format::Table, Format::Csv, Format::Json, Format::Ndjson, Format::Arrow, Format::Parquet];

    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Arrow => "arrow",
            Format::Parquet => "parquet",
        }
    }

    /// Whether it is bytes that a terminal cannot show.
    pub fn is_binary(self) -> bool {
        matches!(self, Format::Arrow | Format::Parquet)
    }

    /// Whether the results of several statements may follow each other.
    pub fn is_sequence(self) -> bool {
        matches!(self, Format::Table | Format::Ndjson)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Format, QueryError> {
        let names = || Format::ALL.into_iter().map(Format::name);
        Format::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| QueryError::Format {
            name: text.to_owned(),
            near: nearest(text, names()),
            all: names().collect::<Vec<_>>().join(", "),
        })
    }
}

/// Writes one result. [`Encoder::finish`] must be called, or a footer is missing.
pub struct Encoder<W: Write + Send> {
    schema: SchemaRef,
    kind: Kind<W>,
    rows: usize,
}

enum Kind<W: Write + Send> {
    Table { batches: Vec<RecordBatch>, to: W },
    Csv(csv::Writer<W>),
    Json(JsonWriter<W, JsonArray>),
    Ndjson(JsonWriter<W, LineDelimited>),
    ArrowStream(StreamWriter<W>),
    ArrowFile(FileWriter<W>),
    Parquet(ArrowWriter<W>),
}

impl<W: Write + Send> Encoder<W> {
    /// `arrow_file`: Arrow's file format in place of its streaming format.
    pub fn new(format: Format, arrow_file: bool, schema: &SchemaRef, to: W) -> Result<Encoder<W>, QueryError> {
        let text = !format.is_binary();
        if matches!(format, Format::Json | Format::Ndjson)
            && let Some(name) = twice(schema)
        {
            return Err(QueryError::SameName { name: name.to_owned(), format: format.name() });
        }
        let fields = schema.fields().iter().map(|field| {
            let plain = plain_type(field.data_type(), text);
            // CSV has no lists and structures: they are written as JSON.
            let plain = if format == Format::Csv && plain.is_nested() { DataType::Utf8 } else { plain };
            Field::new(told(field.name()), plain, true)
        });
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let kind = match format {
            Format::Table => Kind::Table { batches: Vec::new(), to },
            Format::Csv => Kind::Csv(csv_writer(&schema, to)?),
            Format::Json => Kind::Json(json_builder().build(to)),
            Format::Ndjson => Kind::Ndjson(json_builder().build(to)),
            Format::Arrow if arrow_file => Kind::ArrowFile(FileWriter::try_new(to, &schema)?),
            Format::Arrow => Kind::ArrowStream(StreamWriter::try_new(to, &schema)?),
            Format::Parquet => {
                Kind::Parquet(ArrowWriter::try_new(to, Arc::clone(&schema), Some(parquet_properties()?))?)
            }
        };
        Ok(Encoder { schema, kind, rows: 0 })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let batch = self.plain(batch)?;
        self.rows += batch.num_rows();
        match &mut self.kind {
            Kind::Table { batches, .. } => batches.push(batch),
            Kind::Csv(writer) => writer.write(&batch)?,
            Kind::Json(writer) => writer.write(&batch)?,
            Kind::Ndjson(writer) => writer.write(&batch)?,
            Kind::ArrowStream(writer) => writer.write(&batch)?,
            Kind::ArrowFile(writer) => writer.write(&batch)?,
            Kind::Parquet(writer) => writer.write(&batch)?,
        }
        Ok(())
    }

    /// The number of rows written, and what they were written to.
    pub fn finish(self) -> Result<(usize, W), QueryError> {
        let to = match self.kind {
            Kind::Table { batches, mut to } => {
                write_table(&self.schema, &batches, self.rows, &mut to)?;
                to
            }
            Kind::Csv(writer) => writer.into_inner(),
            Kind::Json(mut writer) => {
                writer.finish()?;
                let mut to = writer.into_inner();
                to.write_all(b"\n").map_err(ArrowError::from)?;
                to
            }
            Kind::Ndjson(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Kind::ArrowStream(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            Kind::ArrowFile(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            Kind::Parquet(writer) => writer.into_inner()?,
        };
        Ok((self.rows, to))
    }

    /// The batch with the types of `schema`.
    fn plain(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns: Result<Vec<ArrayRef>, ArrowError> = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| match column.data_type() {
                same if same == field.data_type() => Ok(Arc::clone(column)),
                nested if nested.is_nested() && field.data_type() == &DataType::Utf8 => as_json(column),
                _ => cast(column, field.data_type()),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns?, &options)
    }
}

/// The first name that two columns have. A JSON object's readers keep one of them, and tell nobody.
fn twice(schema: &SchemaRef) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    schema.fields().iter().map(|field| told(field.name())).find(|name| !seen.insert(*name))
}

/// The type that every reader knows: no views, no dictionaries; in text every instant in UTC and microseconds.
fn plain_type(data_type: &DataType, text: bool) -> DataType {
    let item = |field: &Field| Arc::new(field.clone().with_data_type(plain_type(field.data_type(), text)));
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value, text),
        DataType::List(field) | DataType::ListView(field) => DataType::List(item(field)),
        DataType::LargeList(field) => DataType::LargeList(item(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| item(field)).collect()),
        DataType::Timestamp(_, zone) if text => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into()))
        }
        other => other.clone(),
    }
}

/// A schema in types that every reader knows.
pub(super) fn plain_schema(schema: &SchemaRef) -> SchemaRef {
    let plain = |field: &Arc<Field>| Field::new(told(field.name()), plain_type(field.data_type(), false), true);
    Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()))
}

/// A batch in the types of [`plain_schema`].
pub(super) fn plain_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns: Result<Vec<ArrayRef>, ArrowError> =
        batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type())).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns?, &options)
}

/// Each value as JSON text.
pub(super) fn as_json(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = EncoderOptions::default()
        .with_explicit_nulls(true)
        .with_timestamp_tz_format(TIME.to_owned())
        .with_timestamp_format(LOCAL_TIME.to_owned());
    let column = cast(column, &plain_type(column.data_type(), true))?;
    let field = Arc::new(Field::new("value", column.data_type().clone(), true));
    let mut encoder = make_encoder(&field, &column, &options)?;
    let mut texts = StringBuilder::new();
    let mut bytes = Vec::new();
    for row in 0..column.len() {
        if encoder.is_null(row) {
            texts.append_null();
            continue;
        }
        bytes.clear();
        encoder.encode(row, &mut bytes);
        texts.append_value(std::str::from_utf8(&bytes).map_err(|error| ArrowError::JsonError(error.to_string()))?);
    }
    Ok(Arc::new(texts.finish()))
}

fn csv_writer<W: Write>(schema: &SchemaRef, to: W) -> Result<csv::Writer<W>, ArrowError> {
    let mut writer = csv::WriterBuilder::new()
        .with_header(true)
        .with_timestamp_tz_format(TIME.to_owned())
        .with_timestamp_format(LOCAL_TIME.to_owned())
        .build(to);
    // The header stands even over a result without rows.
    if !schema.fields().is_empty() {
        writer.write(&RecordBatch::new_empty(Arc::clone(schema)))?;
    }
    Ok(writer)
}

fn json_builder() -> JsonWriterBuilder {
    JsonWriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_tz_format(TIME.to_owned())
        .with_timestamp_format(LOCAL_TIME.to_owned())
}

fn parquet_properties() -> Result<WriterProperties, QueryError> {
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .build())
}

fn write_table(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    rows: usize,
    to: &mut impl Write,
) -> Result<(), ArrowError> {
    let options =
        FormatOptions::new().with_null("").with_timestamp_tz_format(Some(TIME)).with_timestamp_format(Some(LOCAL_TIME));
    let batches: Vec<RecordBatch> = match batches {
        [] => vec![RecordBatch::new_empty(Arc::clone(schema))],
        some => some.iter().map(for_terminal).collect::<Result<_, _>>()?,
    };
    if !schema.fields().is_empty() {
        let table = pretty_format_batches_with_options(&batches, &options)?.to_string();
        // Names of columns, and texts within lists, are in there as they are.
        writeln!(to, "{}", obeyed_by_none(&table))?;
    }
    writeln!(to, "({rows} {})", if rows == 1 { "row" } else { "rows" })?;
    Ok(())
}

/// The batch with texts that a terminal obeys in nothing, before cells are made as wide as they are.
fn for_terminal(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let shown = |column: &ArrayRef| -> ArrayRef {
        match column.as_string_opt::<i32>().filter(|texts| texts.iter().flatten().any(|text| text.contains(is_obeyed)))
        {
            Some(texts) => Arc::new(texts.iter().map(|text| text.map(obeyed_by_none)).collect::<StringArray>()),
            None => Arc::clone(column),
        }
    };
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), batch.columns().iter().map(shown).collect(), &options)
}

/// What a terminal does something at, beyond a line's end: the control characters of C0 and C1, and delete.
fn is_obeyed(letter: char) -> bool {
    letter.is_control() && letter != '\n'
}

/// The text with such characters by their codes.
pub(super) fn obeyed_by_none(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        let code = u32::from(letter);
        // Nothing fails that writes to a text.
        let _ = match letter {
            '\r' => shown.write_str("\\r"),
            _ if !is_obeyed(letter) => shown.write_char(letter),
            _ if letter.is_ascii() => write!(shown, "\\x{code:02X}"),
            _ => write!(shown, "\\u{code:04X}"),
        };
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests;
