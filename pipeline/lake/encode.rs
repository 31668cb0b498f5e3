//! Rows of one day -> the bytes of a Parquet file. Pure computation: the writer runs it off the async threads.

use std::collections::HashMap;
use std::sync::Arc;

use callweave_core::time::Date;
use deltalake_core::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use deltalake_core::arrow::compute::interleave;
use deltalake_core::arrow::datatypes::{DataType, FieldRef, SchemaRef, TimestampMicrosecondType, UInt32Type};
use deltalake_core::parquet::arrow::ArrowWriter;
use deltalake_core::parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use deltalake_core::parquet::basic::{Compression, Encoding, ZstdLevel};
use deltalake_core::parquet::errors::ParquetError;
use deltalake_core::parquet::file::metadata::ParquetMetaData;
use deltalake_core::parquet::file::properties::{EnabledStatistics, WriterProperties};
use deltalake_core::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use deltalake_core::parquet::schema::types::{ColumnDescPtr, ColumnPath};

use super::limits::{DICTIONARY_BYTES_MAX, PAGE_BYTES, PAGE_ROWS_MAX, ROW_GROUP_ROWS_MAX, STATISTICS_TEXT_BYTES};
use super::pages::{self, Order};
use super::table::Definition;
use super::words::{self, WordArray};

/// A file that is being encoded. Rows wait until a row group is full; then they are sorted and encoded.
pub struct FileEncoder {
    pub date: Date,
    schema: SchemaRef,
    /// Where the account and the time stand: what rows are sorted by.
    key: (usize, usize),
    /// Which columns are text that hardly two rows share.
    unique: Vec<bool>,
    file: SerializedFileWriter<Vec<u8>>,
    /// Makes writers for columns that [`pages`] does not write.
    others: ArrowRowGroupWriterFactory,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
    rows: usize,
}

impl FileEncoder {
    pub fn new(date: Date, schema: SchemaRef, definition: &Definition) -> Result<FileEncoder, ParquetError> {
        let columns = &definition.columns;
        let key = (schema.index_of(columns[0].name)?, schema.index_of(columns[1].name)?);
        let is_unique = |name: &str| columns.iter().any(|column| column.unique && column.name == name);
        let unique = schema.fields().iter().map(|field| is_unique(field.name())).collect();
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties(&schema)))?;
        let (file, others) = writer.into_serialized_writer()?;
        Ok(FileEncoder {
            date,
            schema,
            key,
            unique,
            file,
            others,
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            rows: 0,
        })
    }

    /// Takes rows in; cheap. They are encoded by [`FileEncoder::encode`].
    pub fn push(&mut self, rows: RecordBatch) {
        self.waiting_rows += rows.num_rows();
        self.waiting_bytes += rows.get_array_memory_size();
        self.waiting.push(rows);
    }

    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    pub fn row_group_is_full(&self) -> bool {
        self.waiting_rows >= ROW_GROUP_ROWS_MAX
    }

    pub fn encoded_bytes(&self) -> usize {
        self.file.bytes_written()
    }

    /// Encodes what waits as a row group (as several, where it is too much for one).
    pub fn encode(&mut self) -> Result<(), ParquetError> {
        if self.waiting_rows == 0 {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let rows = std::mem::take(&mut self.waiting_rows);
        self.rows += rows;
        self.waiting_bytes = 0;
        match order(&waiting, self.key) {
            None if rows < 2 * ROW_GROUP_ROWS_MAX => self.row_group(&waiting, None)?,
            order => {
                let order = order.unwrap_or_else(|| as_it_is(&waiting));
                order.chunks(ROW_GROUP_ROWS_MAX).try_for_each(|part| self.row_group(&waiting, Some(part)))?;
            }
        }
        Ok(())
    }

    fn row_group(&mut self, batches: &[RecordBatch], order: Option<&Order>) -> Result<(), ParquetError> {
        let columns = self.file.schema_descr().columns().to_vec();
        let mut leaves =
            columns.into_iter().zip(self.others.create_column_writers(self.file.flushed_row_groups().len())?);
        let mut group = self.file.next_row_group()?;
        for (at, field) in self.schema.fields().iter().enumerate() {
            let column: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(at)).collect();
            if field.data_type() == &DataType::Utf8 {
                let Some((leaf, _)) = leaves.next() else { break };
                let chunk = match self.unique[at] {
                    true => pages::plain(leaf, &texts(&column), order)?,
                    false => words(leaf, &column, order, at == self.key.0)?,
                };
                group.append_column(&chunk.bytes, chunk.close)?;
            } else {
                other(field, &column, order, &mut leaves, &mut group)?;
            }
        }
        group.close()?;
        Ok(())
    }

    /// The bytes that were encoded since the last call.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(self.file.inner_mut())
    }

    /// Ends the file. `encoded_bytes` and `take_bytes` then cover the footer too.
    pub fn finish(&mut self) -> Result<(ParquetMetaData, usize), ParquetError> {
        self.encode()?;
        let metadata = self.file.finish()?;
        Ok((metadata, self.rows))
    }
}

fn texts<'c>(column: &[&'c ArrayRef]) -> Vec<&'c StringArray> {
    column.iter().map(|batch| batch.as_string()).collect()
}

fn words(
    leaf: ColumnDescPtr,
    column: &[&ArrayRef],
    order: Option<&Order>,
    is_account: bool,
) -> Result<pages::Chunk, ParquetError> {
    let column: Vec<ArrayRef> = column.iter().map(|batch| words::words(batch)).collect::<Result<_, _>>()?;
    let batches: Vec<&WordArray> = column.iter().map(|batch| batch.as_dictionary()).collect();
    pages::words(leaf, &batches, order, is_account)
}

/// A column of another type, by the parquet crate's own writers: one for each of its leaves.
fn other(
    field: &FieldRef,
    column: &[&ArrayRef],
    order: Option<&Order>,
    leaves: &mut impl Iterator<Item = (ColumnDescPtr, ArrowColumnWriter)>,
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
) -> Result<(), ParquetError> {
    let sorted = match order {
        None => None,
        Some(order) => {
            let batches: Vec<&dyn Array> = column.iter().map(|batch| batch.as_ref()).collect();
            let rows: Vec<(usize, usize)> = order.iter().map(|(batch, row)| (*batch as usize, *row as usize)).collect();
            Some(interleave(&batches, &rows)?)
        }
    };
    let arrays = if let Some(sorted) = &sorted { vec![sorted] } else { column.to_vec() };
    let mut writers: Vec<ArrowColumnWriter> = Vec::new();
    for array in arrays {
        for (at, leaf) in compute_leaves(field, array)?.iter().enumerate() {
            if at == writers.len() {
                writers.extend(leaves.next().map(|(_, writer)| writer));
            }
            writers[at].write(leaf)?;
        }
    }
    writers.into_iter().try_for_each(|writer| writer.close()?.append_to_row_group(group))
}

fn properties(schema: &SchemaRef) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("callweave ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(STATISTICS_TEXT_BYTES))
        .set_column_index_truncate_length(Some(STATISTICS_TEXT_BYTES));
    for field in schema.fields() {
        // Times hardly repeat, but each is close to the one before.
        if matches!(field.data_type(), DataType::Timestamp(..)) {
            let column: ColumnPath = field.name().as_str().into();
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    }
    properties.build()
}

fn as_it_is(batches: &[RecordBatch]) -> Vec<(u32, u32)> {
    let rows =
        |(number, batch): (usize, &RecordBatch)| (0..batch.num_rows() as u32).map(move |row| (number as u32, row));
    batches.iter().enumerate().flat_map(rows).collect()
}

/// The order by account and time of all rows in `batches`, as (batch, row); nothing if they have it already.
/// Equal rows keep their order, so that the same rows give the same file.
fn order(batches: &[RecordBatch], key: (usize, usize)) -> Option<Vec<(u32, u32)>> {
    let mut keys: Vec<(u32, i64, u32, u32)> = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    let mut accounts = Accounts::default();
    for (number, batch) in batches.iter().enumerate() {
        let times = batch.column(key.1).as_primitive::<TimestampMicrosecondType>();
        let mut push = |row: usize, rank: u32| keys.push((rank, times.value(row), number as u32, row as u32));
        match batch.column(key.0).as_dictionary_opt::<UInt32Type>() {
            Some(words) => {
                let ranks: Vec<u32> =
                    words.values().as_string::<i32>().iter().map(|name| accounts.rank(name)).collect();
                words.keys().values().iter().enumerate().for_each(|(row, key)| push(row, ranks[*key as usize]));
            }
            None => {
                let names = batch.column(key.0).as_string::<i32>().iter();
                names.enumerate().for_each(|(row, name)| push(row, accounts.rank(name)));
            }
        }
    }
    let ranks = accounts.sorted();
    keys.iter_mut().for_each(|key| key.0 = ranks[key.0 as usize]);
    if keys.is_sorted() {
        return None;
    }
    keys.sort_unstable();
    Some(keys.into_iter().map(|(_, _, batch, row)| (batch, row)).collect())
}

/// Numbers the accounts as they come, so that rows are compared by number.
#[derive(Default)]
struct Accounts<'a> {
    numbers: HashMap<Option<&'a str>, u32>,
    last: Option<(Option<&'a str>, u32)>,
}

impl<'a> Accounts<'a> {
    fn rank(&mut self, account: Option<&'a str>) -> u32 {
        if let Some((last, number)) = self.last
            && last == account
        {
            return number;
        }
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(account).or_insert(next);
        self.last = Some((account, number));
        number
    }

    /// Each number's place among the accounts by name.
    fn sorted(self) -> Vec<u32> {
        let mut names: Vec<(Option<&str>, u32)> = self.numbers.into_iter().collect();
        names.sort_unstable();
        let mut ranks = vec![0; names.len()];
        for (rank, (_, number)) in names.into_iter().enumerate() {
            ranks[number as usize] = rank as u32;
        }
        ranks
    }
}
