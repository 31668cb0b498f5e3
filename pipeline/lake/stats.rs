//! Delta's statistics of a file, from Parquet's: what queries skip files by.

use std::collections::BTreeMap;

use callweave_core::time::Time;
use deltalake_core::arrow::datatypes::DataType;
use deltalake_core::parquet::file::metadata::ParquetMetaData;
use deltalake_core::parquet::file::statistics::Statistics;
use serde::Serialize;
use serde_json::Value;

use super::table::Definition;

/// <https://github.com/delta-io/delta/blob/master/PROTOCOL.md#Per-file-Statistics>
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct FileStatistics {
    num_records: usize,
    min_values: BTreeMap<&'static str, Value>,
    max_values: BTreeMap<&'static str, Value>,
    null_count: BTreeMap<&'static str, u64>,
}

/// The JSON of a file's statistics: its number of rows, and the bounds of those columns that keep them.
pub fn statistics(definition: &Definition, metadata: &ParquetMetaData, rows: usize) -> String {
    let mut file = FileStatistics { num_records: rows, ..FileStatistics::default() };
    for column in definition.columns.iter().filter(|column| column.stats) {
        let mut bounds = Bounds::default();
        for group in metadata.row_groups() {
            let chunk = group.columns().iter().find(|chunk| chunk.column_path().string() == column.name);
            bounds.add(chunk.and_then(|chunk| chunk.statistics()), group.num_rows());
        }
        if !bounds.known {
            continue;
        }
        file.null_count.insert(column.name, bounds.nulls);
        if let (Some(min), Some(max)) = (bounds.min, bounds.max)
            && let (Some(min), Some(max)) = (min.json(&column.data_type, false), max.json(&column.data_type, true))
        {
            file.min_values.insert(column.name, min);
            file.max_values.insert(column.name, max);
        }
    }
    serde_json::to_string(&file).unwrap_or_default()
}

/// The bounds of a column over a file's row groups.
struct Bounds {
    /// Every row group told its bounds so far.
    known: bool,
    min: Option<Bound>,
    max: Option<Bound>,
    nulls: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { known: true, min: None, max: None, nulls: 0 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Integer(i64),
    Text(String),
}

impl Bounds {
    fn add(&mut self, statistics: Option<&Statistics>, rows: i64) {
        let Some(statistics) = statistics else {
            self.known = false;
            return;
        };
        let nulls = statistics.null_count_opt().unwrap_or_default();
        self.nulls += nulls;
        let text = |bytes: Option<&[u8]>| bytes.and_then(|b| std::str::from_utf8(b).ok()).map(str::to_owned);
        let (min, max) = match statistics {
            Statistics::Int64(s) => {
                (s.min_opt().copied().map(Bound::Integer), s.max_opt().copied().map(Bound::Integer))
            }
            Statistics::ByteArray(s) => {
                (text(s.min_bytes_opt()).map(Bound::Text), text(s.max_bytes_opt()).map(Bound::Text))
            }
            _ => (None, None),
        };
        match (min, max) {
            (Some(min), Some(max)) => {
                self.min = Some(self.min.take().map_or_else(|| min.clone(), |known| known.min(min.clone())));
                self.max = Some(self.max.take().map_or_else(|| max.clone(), |known| known.max(max.clone())));
            }
            // A group of nulls has no bounds; any other without them leaves the file's unknown.
            _ => self.known &= i64::try_from(nulls) == Ok(rows),
        }
    }
}

impl Bound {
    fn json(self, data_type: &DataType, upper: bool) -> Option<Value> {
        match (self, data_type) {
            (Bound::Integer(micros), DataType::Timestamp(..)) => Some(Value::String(milliseconds(micros, upper))),
            (Bound::Integer(number), DataType::Int64) => Some(number.into()),
            (Bound::Text(text), DataType::Utf8) => Some(Value::String(text)),
            _ => None,
        }
    }
}

/// Delta's bounds of timestamps have milliseconds: a lower one is rounded down, an upper one up.
fn milliseconds(micros: i64, upper: bool) -> String {
    let floor = micros.div_euclid(1000) * 1000;
    let rounded = if upper && floor != micros { floor.saturating_add(1000) } else { floor };
    let mut text = Time(rounded).to_string();
    // `2026-11-20T12:34:56.789000Z`: the last three digits are zero now.
    text.truncate(text.len() - "000Z".len());
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_times_hold_what_they_bound() {
        for (micros, lower, upper) in [
            (1_795_178_096_789_000, "2026-11-20T12:34:56.789Z", "2026-11-20T12:34:56.789Z"),
            (1_795_178_096_789_001, "2026-11-20T12:34:56.789Z", "2026-11-20T12:34:56.790Z"),
            (-1, "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!((milliseconds(micros, false), milliseconds(micros, true)), (lower.into(), upper.into()));
        }
    }
}
