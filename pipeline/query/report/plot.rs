//! A report as bars: one a row, as long as its first measure, beside the columns that come before it.

use std::io::{self, Write};

use datafusion::arrow::array::{Array, Float64Array, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::query::format::obeyed_by_none;

/// Bars that are drawn; they are held whole, since the longest sets the scale.
pub const BARS_MAX: usize = 1_000;
/// Columns of a terminal that does not say how wide it is.
const WIDTH_USUAL: usize = 80;
/// A narrower one is written over its edge.
const WIDTH_MIN: usize = 40;
/// What stands for a column without a value.
const NOTHING: &str = "–";
/// Eighths of a block, from none to seven.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The columns of the terminal at standard output, or the usual ones.
pub fn terminal_width() -> usize {
    terminal_size::terminal_size().map_or(WIDTH_USUAL, |(width, _)| usize::from(width.0))
}

/// What one row shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub label: String,
    /// As it is written.
    pub value: String,
    /// How long it is; what is not there or below zero has no length.
    pub length: f64,
}

/// The rows of a batch, by the place of their measure among the columns.
pub fn bars(batch: &RecordBatch, measure: usize) -> Result<Vec<Bar>, ArrowError> {
    let options = FormatOptions::new().with_null(NOTHING);
    let columns = &batch.columns()[..=measure];
    let written: Result<Vec<ArrayFormatter<'_>>, ArrowError> =
        columns.iter().map(|column| ArrayFormatter::try_new(column, &options)).collect();
    let written = written?;
    let lengths = cast(&batch.columns()[measure], &DataType::Float64)?;
    let lengths = lengths.as_any().downcast_ref::<Float64Array>();
    let bar = |row: usize| -> Result<Bar, ArrowError> {
        let words: Result<Vec<String>, ArrowError> =
            written.iter().map(|column| column.value(row).try_to_string()).collect();
        let mut words = words?;
        let value = words.pop().unwrap_or_default();
        let length = lengths.filter(|lengths| lengths.is_valid(row)).map_or(0.0, |lengths| lengths.value(row));
        let label = obeyed_by_none(&words.join(" · ")).into_owned();
        Ok(Bar { label, value, length: if length > 0.0 { length } else { 0.0 } })
    };
    (0..batch.num_rows()).map(bar).collect()
}

/// Draws the bars at most `width` columns wide, under the names of what they show.
pub fn draw(bars: &[Bar], names: &[&str], width: usize, to: &mut impl Write) -> io::Result<()> {
    let (measure, labels) = names.split_last().map_or(("", &[][..]), |(measure, labels)| (*measure, labels));
    let title = if labels.is_empty() { measure.to_owned() } else { format!("{measure} by {}", labels.join(", ")) };
    writeln!(to, "{title}")?;
    let width = width.max(WIDTH_MIN);
    let widest = |of: fn(&Bar) -> &str| bars.iter().map(|bar| of(bar).width()).max().unwrap_or(0);
    let label_width = widest(|bar| &bar.label).min(width * 2 / 5);
    let value_width = widest(|bar| &bar.value);
    let room = width.saturating_sub(label_width + value_width + 3).max(1);
    let longest = bars.iter().map(|bar| bar.length).fold(0.0, f64::max);
    for bar in bars {
        let share = if longest > 0.0 { bar.length / longest } else { 0.0 };
        let eighths = (share * room as f64 * 8.0).round() as usize;
        // Something is never nothing.
        let eighths = if bar.length > 0.0 { eighths.max(1) } else { eighths };
        let blocks = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
        let gap = " ".repeat(value_width - bar.value.width());
        let line = format!("{} {gap}{} {blocks}", padded(&bar.label, label_width), bar.value);
        writeln!(to, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The text in exactly `width` columns; what is cut off ends in an ellipsis.
fn padded(text: &str, width: usize) -> String {
    let mut kept = String::new();
    let is_cut = text.width() > width;
    let room = if is_cut { width.saturating_sub(1) } else { width };
    let mut used = 0;
    for letter in text.chars() {
        let wide = letter.width().unwrap_or(0);
        if used + wide > room {
            break;
        }
        kept.push(letter);
        used += wide;
    }
    if is_cut {
        kept.push('…');
        used += 1;
    }
    kept + &" ".repeat(width.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, length: f64) -> Bar {
        Bar { label: label.to_owned(), value: length.to_string(), length }
    }

    fn drawn(bars: &[Bar], names: &[&str]) -> String {
        let mut bytes = Vec::new();
        draw(bars, names, 40, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_longest_bar_fills_the_width() {
        let long = "█".repeat(30);
        let text = drawn(&[bar("cpc", 60.0), bar("mail", 1.0), bar("none", 0.0)], &["medium", "calls"]);
        assert_eq!(text, format!("calls by medium\ncpc  60 {long}█\nmail  1 ▌\nnone  0\n"));
        assert!(text.lines().all(|line| line.width() <= 40));
    }

    #[test]
    fn something_is_never_nothing() {
        let text = drawn(&[bar("a", 1_000_000.0), bar("b", 1.0)], &["x", "calls"]);
        assert!(text.ends_with("b       1 ▏\n"), "{text}");
    }

    #[test]
    fn long_and_wide_labels_are_cut_to_their_columns() {
        let text = drawn(&[bar(&"長".repeat(20), 2.0), bar(&"x".repeat(50), 1.0)], &["page", "calls"]);
        assert_eq!(
            text.lines().nth(1),
            Some(format!("{}… 2 {}", "長".repeat(7), "█".repeat(20)).replace("… 2", "…  2").as_str())
        );
        assert_eq!(text.lines().nth(2), Some(format!("{}… 1 {}", "x".repeat(15), "█".repeat(10)).as_str()));
    }

    #[test]
    fn nothing_to_draw_is_a_title() {
        assert_eq!(drawn(&[], &["calls"]), "calls\n");
    }
}
