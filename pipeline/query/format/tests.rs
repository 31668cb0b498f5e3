//! Round trips of every format.

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
        &expected.as_bytes()[..expected.find('\n').unwrap_or(0) + 1]
    );
    Ok(())
}

#[test]
fn json_is_one_array_and_ndjson_one_object_a_line() -> Fallible {
    let batch = batch();
    let array: serde_json::Value =
        serde_json::from_slice(&encode(Format::Json, false, &batch.schema(), std::slice::from_ref(&batch))?)?;
    let lines = String::from_utf8(encode(Format::Ndjson, false, &batch.schema(), std::slice::from_ref(&batch))?)?;
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
    let text = String::from_utf8(encode(Format::Table, false, &batch.schema(), std::slice::from_ref(&batch))?)?;
    assert_eq!(text, "+---+\n| n |\n+---+\n| 7 |\n|   |\n+---+\n(2 rows)\n");
    let text = String::from_utf8(encode(Format::Table, false, &batch.schema(), &[])?)?;
    assert!(text.contains("| n |") && text.ends_with("(0 rows)\n"), "{text}");
    Ok(())
}

#[test]
fn a_terminal_obeys_no_text_of_a_table() -> Fallible {
    let texts: ArrayRef =
        Arc::new(StringViewArray::from(vec!["\u{1b}]0;owned\u{7}\u{1b}[31mRED\r\na\tb\u{9b}2J\u{7f}", "plain"]));
    let mut list = datafusion::arrow::array::ListBuilder::new(StringBuilder::new());
    list.append_value([Some("\u{1b}[2J")]);
    list.append_value([Some("plain")]);
    let batch = RecordBatch::try_from_iter([("title", texts), ("list", Arc::new(list.finish()) as ArrayRef)])?;
    let text = String::from_utf8(encode(Format::Table, false, &batch.schema(), std::slice::from_ref(&batch))?)?;
    assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
    for shown in ["\\x1B]0;owned\\x07\\x1B[31mRED\\r", "| a\\x09b\\u009B2J\\x7F ", "[\\x1B[2J]"] {
        assert!(text.contains(shown), "{text}");
    }
    // Whoever reads it by a program gets it as it is.
    let csv = String::from_utf8(encode(Format::Csv, false, &batch.schema(), &[batch])?)?;
    assert!(csv.contains("\u{1b}[31mRED"), "{csv:?}");
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
