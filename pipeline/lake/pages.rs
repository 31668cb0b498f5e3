//! Text columns -> column chunks of Parquet. They are most of the lake, and the parquet crate's own writer would hash,
//! compare and copy each row's text once more; here a row is a number that was known before.

use std::cell::RefCell;

use bytes::Bytes;
use deltalake_core::arrow::array::{Array, StringArray};
use deltalake_core::parquet::basic::{BoundaryOrder, Compression, Encoding, Type, ZstdLevel};
use deltalake_core::parquet::column::page::{CompressedPage, Page, PageWriter};
use deltalake_core::parquet::column::writer::ColumnCloseResult;
use deltalake_core::parquet::data_type::ByteArray;
use deltalake_core::parquet::errors::ParquetError;
use deltalake_core::parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use deltalake_core::parquet::file::page_index::column_index::ColumnIndexMetaData;
use deltalake_core::parquet::file::statistics::{Statistics, ValueStatistics};
use deltalake_core::parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use deltalake_core::parquet::schema::types::ColumnDescPtr;

use super::hybrid;
use super::limits::{DICTIONARY_BYTES_MAX, PAGE_BYTES, PAGE_ROWS_MAX, STATISTICS_TEXT_BYTES};
use super::words::{NULL, WordArray, Words, numbers_among};

/// A column chunk as [`append_column`] takes it.
///
/// [`append_column`]: deltalake_core::parquet::file::writer::SerializedRowGroupWriter::append_column
pub struct Chunk {
    pub bytes: Bytes,
    pub close: ColumnCloseResult,
}

/// Rows as (batch, row).
pub type Order = [(u32, u32)];

/// A chunk of the batches' rows, in `order` if there is one. `by_page`: bounds of each page are kept too.
pub fn words(
    column: ColumnDescPtr,
    batches: &[&WordArray],
    order: Option<&Order>,
    by_page: bool,
) -> Result<Chunk, ParquetError> {
    let mut words = Words::default();
    let known: Vec<Vec<u32>> = batches.iter().map(|batch| numbers_among(&mut words, batch)).collect();
    let keys: Vec<&[u32]> = batches.iter().map(|batch| &batch.keys().values()[..]).collect();
    let numbers: Vec<u32> = match order {
        None => keys.iter().zip(&known).flat_map(|(keys, known)| keys.iter().map(|key| known[*key as usize])).collect(),
        Some(order) => {
            order.iter().map(|&(b, row)| known[b as usize][keys[b as usize][row as usize] as usize]).collect()
        }
    };
    let mut pages = Pages::new(column);
    if words.text_bytes() > DICTIONARY_BYTES_MAX {
        let rows = numbers.iter().map(|number| (*number != NULL).then(|| words.get(*number)));
        pages.plain(rows)?;
    } else {
        pages.dictionary(&words)?;
        for numbers in numbers.chunks(PAGE_ROWS_MAX) {
            pages.numbers(numbers, words.len() as u32)?;
        }
    }
    let bounds = Bounds::of(words.iter());
    let index = if by_page && pages.dictionary_at.is_some() { index(&words, &numbers)? } else { None };
    pages.finish(bounds, index)
}

/// The same of text that hardly ever repeats. Nothing is kept of its bounds: those of identifiers tell nothing.
pub fn plain(column: ColumnDescPtr, batches: &[&StringArray], order: Option<&Order>) -> Result<Chunk, ParquetError> {
    let mut pages = Pages::new(column);
    match order {
        None => pages.plain(batches.iter().flat_map(|batch| batch.iter()))?,
        Some(order) => pages.plain(order.iter().map(|&(batch, row)| {
            let (batch, row) = (batches[batch as usize], row as usize);
            batch.is_valid(row).then(|| batch.value(row))
        }))?,
    }
    pages.finish(None, None)
}

thread_local! {
    /// Made once a thread: its tables are as large as many a chunk.
    static ZSTD: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
}

fn compress(bytes: &[u8]) -> Result<Vec<u8>, ParquetError> {
    ZSTD.with_borrow_mut(|compressor| {
        let compressor = match compressor {
            Some(compressor) => compressor,
            None => compressor.insert(zstd::bulk::Compressor::new(ZstdLevel::default().compression_level())?),
        };
        Ok(compressor.compress(bytes)?)
    })
}

/// Pages of a chunk, one behind the other.
struct Pages {
    column: ColumnDescPtr,
    sink: TrackedWrite<Vec<u8>>,
    index: OffsetIndexBuilder,
    encoding: Encoding,
    dictionary_at: Option<i64>,
    data_at: Option<i64>,
    unpacked_bytes: usize,
    rows: usize,
    nulls: usize,
    /// A page before it is compressed.
    page: Vec<u8>,
    /// Whether each row has a value.
    levels: Vec<u32>,
    /// What the rows have that have something.
    numbers: Vec<u32>,
}

impl Pages {
    fn new(column: ColumnDescPtr) -> Pages {
        Pages {
            column,
            sink: TrackedWrite::new(Vec::new()),
            index: OffsetIndexBuilder::new(),
            encoding: Encoding::PLAIN,
            dictionary_at: None,
            data_at: None,
            unpacked_bytes: 0,
            rows: 0,
            nulls: 0,
            page: Vec::new(),
            levels: Vec::new(),
            numbers: Vec::new(),
        }
    }

    fn dictionary(&mut self, words: &Words) -> Result<(), ParquetError> {
        self.encoding = Encoding::RLE_DICTIONARY;
        self.page.clear();
        words.iter().for_each(|word| put(word, &mut self.page));
        let page = Page::DictionaryPage {
            buf: compress(&self.page)?.into(),
            num_values: words.len() as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        self.dictionary_at = Some(self.write(page)?.0);
        Ok(())
    }

    /// A page of numbers of the dictionary's `words` words.
    fn numbers(&mut self, rows: &[u32], words: u32) -> Result<(), ParquetError> {
        self.levels.clear();
        self.levels.extend(rows.iter().map(|number| u32::from(*number != NULL)));
        self.numbers.clear();
        self.numbers.extend(rows.iter().filter(|number| **number != NULL).map(|number| number - 1));
        self.begin_page();
        let width = hybrid::width(words.saturating_sub(1));
        self.page.push(width as u8);
        hybrid::encode(&self.numbers, width, &mut self.page);
        self.end_page()
    }

    fn plain<'t>(&mut self, rows: impl Iterator<Item = Option<&'t str>>) -> Result<(), ParquetError> {
        let mut values = Vec::with_capacity(PAGE_BYTES);
        self.levels.clear();
        for row in rows {
            self.levels.push(u32::from(row.is_some()));
            if let Some(value) = row {
                put(value, &mut values);
            }
            if values.len() >= PAGE_BYTES || self.levels.len() == PAGE_ROWS_MAX {
                self.plain_page(&mut values)?;
            }
        }
        if self.levels.is_empty() { Ok(()) } else { self.plain_page(&mut values) }
    }

    fn plain_page(&mut self, values: &mut Vec<u8>) -> Result<(), ParquetError> {
        self.begin_page();
        self.page.append(values);
        self.end_page()?;
        self.levels.clear();
        Ok(())
    }

    fn begin_page(&mut self) {
        self.page.clear();
        self.page.extend_from_slice(&[0; 4]);
        hybrid::encode(&self.levels, 1, &mut self.page);
        let length = (self.page.len() - 4) as u32;
        self.page[..4].copy_from_slice(&length.to_le_bytes());
    }

    fn end_page(&mut self) -> Result<(), ParquetError> {
        let rows = self.levels.len();
        self.rows += rows;
        self.nulls += self.levels.iter().filter(|level| **level == 0).count();
        let page = Page::DataPage {
            buf: compress(&self.page)?.into(),
            num_values: rows as u32,
            encoding: self.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let (at, bytes) = self.write(page)?;
        self.data_at.get_or_insert(at);
        self.index.append_row_count(rows as i64);
        self.index.append_offset_and_size(at, bytes as i32);
        Ok(())
    }

    /// Where the page stands, and its bytes with its header.
    fn write(&mut self, page: Page) -> Result<(i64, usize), ParquetError> {
        let page = CompressedPage::new(page, self.page.len());
        let written = SerializedPageWriter::new(&mut self.sink).write_page(page)?;
        self.unpacked_bytes += written.uncompressed_size;
        Ok((written.offset as i64, written.compressed_size))
    }

    fn finish(self, bounds: Option<Bounds>, index: Option<ColumnIndexMetaData>) -> Result<Chunk, ParquetError> {
        let bytes = self.sink.into_inner()?;
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, self.encoding])
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(self.unpacked_bytes as i64)
            .set_num_values(self.rows as i64)
            .set_dictionary_page_offset(self.dictionary_at)
            .set_data_page_offset(self.data_at.unwrap_or_default())
            .set_statistics(Bounds::statistics(bounds, self.nulls))
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows as u64,
            metadata,
            bloom_filter: None,
            column_index: index,
            offset_index: Some(self.index.build()),
        };
        Ok(Chunk { bytes: bytes.into(), close })
    }
}

/// A string as Parquet's plain encoding has it.
fn put(text: &str, to: &mut Vec<u8>) {
    to.extend_from_slice(&(text.len() as u32).to_le_bytes());
    to.extend_from_slice(text.as_bytes());
}

/// No value is below the first or above the second.
struct Bounds {
    least: Vec<u8>,
    most: Vec<u8>,
    /// Both are values that there are.
    exact: bool,
}

impl Bounds {
    fn of<'t>(values: impl Iterator<Item = &'t str>) -> Option<Bounds> {
        let (least, most) = values.fold(None, |bounds: Option<(&str, &str)>, value| match bounds {
            None => Some((value, value)),
            Some((least, most)) => Some((least.min(value), most.max(value))),
        })?;
        let exact = least.len().max(most.len()) <= STATISTICS_TEXT_BYTES;
        let least = &least[..least.floor_char_boundary(STATISTICS_TEXT_BYTES)];
        Some(Bounds { least: least.into(), most: upper(most)?, exact })
    }

    fn statistics(bounds: Option<Bounds>, nulls: usize) -> Statistics {
        let nulls = Some(nulls as u64);
        let Some(Bounds { least, most, exact }) = bounds else {
            return Statistics::ByteArray(ValueStatistics::new(None, None, None, nulls, false));
        };
        let (least, most) = (ByteArray::from(least), ByteArray::from(most));
        let statistics = ValueStatistics::new(Some(least), Some(most), None, nulls, false);
        Statistics::ByteArray(statistics.with_min_is_exact(exact).with_max_is_exact(exact))
    }
}

/// A short text that is not below `text`: where it has to be cut, its last letter of ASCII is made the next one.
fn upper(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.as_bytes()[..text.floor_char_boundary(STATISTICS_TEXT_BYTES)].to_vec();
    if bytes.len() < text.len() {
        while *bytes.last()? >= 0x7f {
            bytes.pop();
        }
        *bytes.last_mut()? += 1;
    }
    Some(bytes)
}

/// The bounds of each page of `numbers`.
fn index(words: &Words, numbers: &[u32]) -> Result<Option<ColumnIndexMetaData>, ParquetError> {
    let mut index = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
    let mut last: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut ascending = true;
    for page in numbers.chunks(PAGE_ROWS_MAX) {
        let nulls = page.iter().filter(|number| **number == NULL).count() as i64;
        let mut there: Vec<u32> = page.to_vec();
        there.dedup();
        let values = there.into_iter().filter(|number| *number != NULL).map(|number| words.get(number));
        match Bounds::of(values) {
            Some(Bounds { least, most, .. }) => {
                ascending &= last.is_none_or(|before| before.0 <= least && before.1 <= most);
                index.append(false, least.clone(), most.clone(), nulls);
                last = Some((least, most));
            }
            None if nulls == page.len() as i64 => index.append(true, Vec::new(), Vec::new(), nulls),
            None => return Ok(None),
        }
    }
    index.set_boundary_order(if ascending { BoundaryOrder::ASCENDING } else { BoundaryOrder::UNORDERED });
    index.build().map(Some)
}
