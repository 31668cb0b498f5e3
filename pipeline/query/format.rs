//! Results as text or as files, batch by batch. All but `table` hold one batch (Parquet: one row group) at a time.
//!
//! In text, times are RFC 3339 in UTC with microseconds (`2026-11-20T12:34:56.789000Z`), local times the same without
//! `Z`, dates `2026-11-20`, booleans `true` and `false`, bytes hexadecimal. Nothing is an empty field in CSV, `null` in
//! JSON and an empty cell in a table.

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
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
        let fields = schema.fields().iter().map(|field| {
            let plain = plain_type(field.data_type(), text);
            // CSV has no lists and structures: they are written as JSON.
            let plain = if format == Format::Csv && plain.is_nested() { DataType::Utf8 } else { plain };
            Field::new(field.name(), plain, true)
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

/// Each value as JSON text.
fn as_json(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
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
    let empty = [RecordBatch::new_empty(Arc::clone(schema))];
    let batches = if batches.is_empty() { &empty } else { batches };
    if !schema.fields().is_empty() {
        writeln!(to, "{}", pretty_format_batches_with_options(batches, &options)?)?;
    }
    writeln!(to, "({rows} {})", if rows == 1 { "row" } else { "rows" })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, StringViewArray,
        TimestampMicrosecondArray, TimestampNanosecondArray,
    };
    use datafusion::arrow::ipc::reader::{FileReader, StreamReader};
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use proptest::prelude::*;

    use super::*;

    type Fallible = Result<(), Box<dyn std::error::Error>>;

    fn batch() -> RecordBatch {
        let micros = 1_795_178_096_789_000;
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("text", Arc::new(StringViewArray::from(vec![Some("a,\"b\"\nc"), None]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(micros), None]).with_timezone("UTC"))),
            ("there", Arc::new(TimestampNanosecondArray::from(vec![micros * 1_000, 0]).with_timezone("+02:00"))),
            ("local", Arc::new(TimestampMicrosecondArray::from(vec![Some(micros), None]))),
            ("date", Arc::new(Date32Array::from(vec![Some(20_777), None]))),
            ("yes", Arc::new(BooleanArray::from(vec![Some(true), Some(false)]))),
            ("number", Arc::new(Int32Array::from(vec![Some(-1), None]))),
            ("real", Arc::new(Float64Array::from(vec![Some(0.25), None]))),
            ("money", Arc::new(money())),
            ("raw", Arc::new(BinaryArray::from(vec![Some(b"\x00\xff".as_slice()), None]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
            .unwrap_or_else(|e| panic!("{e}"))
    }

    fn money() -> Decimal128Array {
        Decimal128Array::from(vec![Some(12_500_000), None])
            .with_precision_and_scale(18, 6)
            .unwrap_or_else(|e| panic!("{e}"))
    }

    fn encode(format: Format, file: bool, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>, QueryError> {
        let mut encoder = Encoder::new(format, file, schema, Vec::new())?;
        for batch in batches {
            encoder.write(batch)?;
        }
        Ok(encoder.finish()?.1)
    }

    #[test]
    fn csv_has_one_header_and_plain_values() -> Fallible {
        let batch = batch();
        let text = String::from_utf8(encode(Format::Csv, false, &batch.schema(), &[batch.clone(), batch.clone()])?)?;
        let expected = "text,at,there,local,date,yes,number,real,money,raw\n\
            \"a,\"\"b\"\"\nc\",2026-11-20T12:34:56.789000Z,2026-11-20T12:34:56.789000Z,2026-11-20T12:34:56.789000,\
            2026-11-20,true,-1,0.25,12.500000,00ff\n\
            ,,1970-01-01T00:00:00.000000Z,,,false,,,,\n";
        let body = expected.split_once('\n').map(|(_, body)| body).unwrap_or_default();
        assert_eq!(text, format!("{expected}{body}"));
        assert_eq!(
            encode(Format::Csv, false, &batch.schema(), &[])?,
            expected[..expected.find('\n').unwrap_or(0) + 1].as_bytes()
        );
        Ok(())
    }

    #[test]
    fn json_is_one_array_and_ndjson_one_object_a_line() -> Fallible {
        let batch = batch();
        let array: serde_json::Value =
            serde_json::from_slice(&encode(Format::Json, false, &batch.schema(), &[batch.clone()])?)?;
        let lines = String::from_utf8(encode(Format::Ndjson, false, &batch.schema(), &[batch.clone()])?)?;
        let lines: Result<Vec<serde_json::Value>, _> = lines.lines().map(serde_json::from_str).collect();
        assert_eq!(array, serde_json::Value::Array(lines?));
        assert_eq!(
            array[0],
            serde_json::json!({
                "text": "a,\"b\"\nc", "at": "2026-11-20T12:34:56.789000Z", "there": "2026-11-20T12:34:56.789000Z",
                "local": "2026-11-20T12:34:56.789000", "date": "2026-11-20", "yes": true, "number": -1, "real": 0.25,
                "money": 12.5, "raw": "00ff",
            })
        );
        assert!(array[1]["text"].is_null() && array[1].get("at").is_some());
        assert_eq!(encode(Format::Json, false, &batch.schema(), &[])?, b"[]\n");
        assert_eq!(encode(Format::Ndjson, false, &batch.schema(), &[])?, b"");
        Ok(())
    }

    #[test]
    fn arrow_and_parquet_are_read_back_with_plain_types() -> Fallible {
        let batch = batch();
        for (format, file) in [(Format::Arrow, false), (Format::Arrow, true), (Format::Parquet, false)] {
            let bytes = encode(format, file, &batch.schema(), &[batch.clone(), batch.clone()])?;
            let read: Vec<RecordBatch> = match (format, file) {
                (Format::Parquet, _) => ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))?
                    .build()?
                    .collect::<Result<_, _>>()?,
                (_, true) => FileReader::try_new(std::io::Cursor::new(bytes), None)?.collect::<Result<_, _>>()?,
                _ => StreamReader::try_new(bytes.as_slice(), None)?.collect::<Result<_, _>>()?,
            };
            assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 4, "{format} {file}");
            assert_eq!(read[0].schema().field(0).data_type(), &DataType::Utf8, "{format} {file}");
            for (column, original) in read[0].columns().iter().zip(batch.columns()) {
                let sliced = column.slice(0, 2);
                assert_eq!(&cast(&sliced, original.data_type())?, original, "{format} {file}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_table_counts_its_rows() -> Fallible {
        let batch = RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![Some(7), None])) as ArrayRef)])?;
        let text = String::from_utf8(encode(Format::Table, false, &batch.schema(), &[batch.clone()])?)?;
        assert_eq!(text, "+---+\n| n |\n+---+\n| 7 |\n|   |\n+---+\n(2 rows)\n");
        let text = String::from_utf8(encode(Format::Table, false, &batch.schema(), &[])?)?;
        assert!(text.contains("| n |") && text.ends_with("(0 rows)\n"), "{text}");
        Ok(())
    }

    #[test]
    fn a_format_is_found_by_its_name() {
        for format in Format::ALL {
            assert_eq!(format.name().parse::<Format>().ok(), Some(format));
        }
        let error = "jsn".parse::<Format>().map_err(|e| e.to_string());
        assert!(error.is_err_and(|text| text.contains("did you mean json?")));
    }

    proptest! {
        /// Whatever a text holds, CSV and JSON give it back.
        #[test]
        fn texts_survive(texts in proptest::collection::vec(proptest::option::of("[^\r]{0,12}"), 1..20)) {
            let column = StringViewArray::from(texts.iter().map(|t| t.as_deref().filter(|t| !t.is_empty())).collect::<Vec<_>>());
            let number = Int32Array::from_iter_values(0..texts.len() as i32);
            let batch = RecordBatch::try_from_iter_with_nullable([
                ("text", Arc::new(column.clone()) as ArrayRef, true), ("n", Arc::new(number) as ArrayRef, true),
            ])?;
            let bytes = encode(Format::Csv, false, &batch.schema(), std::slice::from_ref(&batch)).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let schema = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, true), Field::new("n", DataType::Int32, true)]));
            let read = csv::ReaderBuilder::new(schema).with_header(true).build(bytes.as_slice())?.next().transpose()?;
            let read = read.ok_or_else(|| TestCaseError::fail("no rows"))?;
            let expected = cast(&column, &DataType::Utf8)?;
            prop_assert_eq!(read.column(0), &expected);
            let bytes = encode(Format::Json, false, &batch.schema(), &[batch]).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let array: Vec<serde_json::Value> = serde_json::from_slice(&bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
            for (object, text) in array.iter().zip(column.iter()) {
                prop_assert_eq!(object["text"].as_str(), text);
            }
        }
    }
}
