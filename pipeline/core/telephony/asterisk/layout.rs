//! Which column is which.

use crate::limits::COLUMNS_MAX;

/// A column of `Master.csv` (Asterisk's `cdr_csv.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    AccountCode,
    Src,
    Dst,
    Dcontext,
    Clid,
    Channel,
    DstChannel,
    LastApp,
    LastData,
    Start,
    Answer,
    End,
    Duration,
    BillSec,
    Disposition,
    AmaFlags,
    UniqueId,
    UserField,
    PeerAccount,
    LinkedId,
    Sequence,
    /// One that is passed over.
    Other,
}

use Column::*;

const STANDARD: [Column; 21] = [
    AccountCode,
    Src,
    Dst,
    Dcontext,
    Clid,
    Channel,
    DstChannel,
    LastApp,
    LastData,
    Start,
    Answer,
    End,
    Duration,
    BillSec,
    Disposition,
    AmaFlags,
    UniqueId,
    UserField,
    PeerAccount,
    LinkedId,
    Sequence,
];

/// The columns of a file, from left to right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(Vec<Column>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error(
        "{0:?} is no column of Master.csv; the columns are accountcode, src, dst, dcontext, clid, channel, dstchannel, \
             lastapp, lastdata, start, answer, end, duration, billsec, disposition, amaflags, uniqueid, userfield, \
             peeraccount, linkedid, sequence, and - for one to pass over"
    )]
    Unknown(String),
    #[error("there are {0} columns, and at most 64 are read")]
    TooMany(usize),
    #[error("the column {0} is missing: without it no call can be made of a line")]
    Missing(&'static str),
    #[error(
        "a line has {0} columns, and {1} were named: say which ones the file has (17 columns may end with uniqueid or with \
             userfield)"
    )]
    Width(usize, usize),
}

impl Layout {
    /// The layout that so many columns mean by `cdr.conf`: 16 (bare), 18 (`loguniqueid` and `loguserfield`), 21 (and
    /// `newcdrcolumns`). 17 and the others are ambiguous.
    pub fn of_width(columns: usize) -> Option<Layout> {
        matches!(columns, 16 | 18 | 21).then(|| Layout(STANDARD[..columns].to_vec()))
    }

    /// Reads `accountcode,src,dst,…` (any order, any case; `-` for a column to pass over), or a width: `18`.
    ///
    /// # Errors
    /// For a name that is no column, and where one is missing without which there is no call.
    pub fn parse(text: &str) -> Result<Layout, LayoutError> {
        if let Some(layout) = text.trim().parse().ok().and_then(Layout::of_width) {
            return Ok(layout);
        }
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        if names.len() > COLUMNS_MAX {
            return Err(LayoutError::TooMany(names.len()));
        }
        let columns = names.into_iter().map(column).collect::<Result<Vec<Column>, LayoutError>>()?;
        for (column, name) in [(Src, "src"), (Dst, "dst"), (Start, "start"), (End, "end"), (Disposition, "disposition")]
        {
            if !columns.contains(&column) {
                return Err(LayoutError::Missing(name));
            }
        }
        Ok(Layout(columns))
    }

    /// The cells of a line by column.
    ///
    /// # Errors
    /// Where the line has fewer or more columns.
    pub(super) fn read(&self, cells: Vec<String>) -> Result<Row, LayoutError> {
        if cells.len() != self.0.len() {
            return Err(LayoutError::Width(cells.len(), self.0.len()));
        }
        Ok(Row(self.0.iter().copied().zip(cells).collect()))
    }
}

fn column(name: &str) -> Result<Column, LayoutError> {
    const NAMES: [&str; 21] = [
        "accountcode",
        "src",
        "dst",
        "dcontext",
        "clid",
        "channel",
        "dstchannel",
        "lastapp",
        "lastdata",
        "start",
        "answer",
        "end",
        "duration",
        "billsec",
        "disposition",
        "amaflags",
        "uniqueid",
        "userfield",
        "peeraccount",
        "linkedid",
        "sequence",
    ];
    if name == "-" {
        return Ok(Other);
    }
    let at = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
    at.map(|at| STANDARD[at]).ok_or_else(|| LayoutError::Unknown(crate::time::shortened(name).to_owned()))
}

/// The cells of one line.
#[derive(Debug, Clone)]
pub(super) struct Row(Vec<(Column, String)>);

impl Row {
    pub fn get(&self, column: Column) -> Option<&str> {
        let (_, cell) = self.0.iter().find(|(held, _)| *held == column)?;
        let cell = cell.trim();
        (!cell.is_empty()).then_some(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_named_or_told_by_their_width() {
        for (text, expected) in [
            ("18", Ok(18)),
            ("16", Ok(16)),
            ("21", Ok(21)),
            ("src,dst,-,start,end,disposition,UniqueID", Ok(7)),
            ("17", Err(LayoutError::Unknown("17".into()))),
            ("src,dst,start,end", Err(LayoutError::Missing("disposition"))),
            ("src,destination", Err(LayoutError::Unknown("destination".into()))),
            (&"-,".repeat(70), Err(LayoutError::TooMany(71))),
        ] {
            assert_eq!(Layout::parse(text).map(|layout| layout.0.len()), expected, "{text}");
        }
        let layout = Layout::of_width(18).unwrap();
        let error = layout.read(vec![String::new(); 17]).unwrap_err();
        assert!(error.to_string().contains("17 columns, and 18 were named"), "{error}");
    }
}
