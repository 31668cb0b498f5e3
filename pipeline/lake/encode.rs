//! Rows of one day -> the bytes of a Parquet file. Pure computation: the writer runs it off the async threads.

use std::collections::HashMap;

use callweave_core::time::Date;
use deltalake_core::arrow::array::{Array, AsArray, RecordBatch};
use deltalake_core::arrow::compute::interleave_record_batch;
use deltalake_core::arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use deltalake_core::parquet::arrow::ArrowWriter;
use deltalake_core::parquet::basic::{Compression, ZstdLevel};
use deltalake_core::parquet::errors::ParquetError;
use deltalake_core::parquet::file::metadata::ParquetMetaData;
use deltalake_core::parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::limits::{DICTIONARY_BYTES_MAX, PAGE_BYTES, PAGE_ROWS_MAX, ROW_GROUP_ROWS_MAX, STATISTICS_TEXT_BYTES};

/// A file that is being encoded. Rows wait until a row group is full; then they are sorted and encoded.
pub struct FileEncoder {
    pub date: Date,
    writer: ArrowWriter<Vec<u8>>,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
    rows: usize,
    taken_bytes: usize,
}

impl FileEncoder {
    pub fn new(date: Date, schema: SchemaRef) -> Result<FileEncoder, ParquetError> {
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties()))?;
        Ok(FileEncoder {
            date,
            writer,
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            rows: 0,
            taken_bytes: 0,
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
        self.taken_bytes + self.writer.inner().len()
    }

    /// Encodes what waits as a row group (as several, where it is too much for one).
    pub fn encode(&mut self) -> Result<(), ParquetError> {
        if self.waiting_rows == 0 {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.rows += self.waiting_rows;
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        match order(&waiting) {
            None => waiting.iter().try_for_each(|batch| self.writer.write(batch))?,
            Some(order) => {
                let batches: Vec<&RecordBatch> = waiting.iter().collect();
                for part in order.chunks(PAGE_ROWS_MAX) {
                    self.writer.write(&interleave_record_batch(&batches, part)?)?;
                }
            }
        }
        self.writer.flush()
    }

    /// The bytes that were encoded since the last call.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(self.writer.inner_mut());
        self.taken_bytes += bytes.len();
        bytes
    }

    /// Ends the file. `encoded_bytes` and `take_bytes` then cover the footer too.
    pub fn finish(&mut self) -> Result<(ParquetMetaData, usize), ParquetError> {
        self.encode()?;
        let metadata = self.writer.finish()?;
        Ok((metadata, self.rows))
    }
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by(concat!("callweave ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_statistics_enabled("account".into(), EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(STATISTICS_TEXT_BYTES))
        .set_column_index_truncate_length(Some(STATISTICS_TEXT_BYTES))
        .build()
}

/// The order by account and time of all rows in `batches`, as (batch, row); nothing if they have it already.
/// Equal rows keep their order, so that the same rows give the same file.
fn order(batches: &[RecordBatch]) -> Option<Vec<(usize, usize)>> {
    let mut keys: Vec<(u32, i64, u32, u32)> = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    let mut accounts = Accounts::default();
    for (number, batch) in batches.iter().enumerate() {
        let account = batch.column(0).as_string::<i32>();
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let rank = accounts.rank(account.is_valid(row).then(|| account.value(row)));
            keys.push((rank, times.value(row), number as u32, row as u32));
        }
    }
    let ranks = accounts.sorted();
    keys.iter_mut().for_each(|key| key.0 = ranks[key.0 as usize]);
    if keys.is_sorted() {
        return None;
    }
    keys.sort_unstable();
    Some(keys.into_iter().map(|(_, _, batch, row)| (batch as usize, row as usize)).collect())
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
