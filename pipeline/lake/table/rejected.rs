use callweave_core::time::{Date, Time};

use super::{Row, TableName};
use crate::lake::column::{Column, Erase};

/// Something that arrived and could not be used.
#[derive(Debug, Clone)]
pub struct RejectedRow<'a> {
    /// Where the bytes still tell.
    pub account: Option<&'a str>,
    pub reason: &'a str,
    /// The offending member; empty for the whole.
    pub path: &'a str,
    /// Where it came from: a file and line, or a collector's origin.
    pub source: String,
    pub received_at: Time,
    pub raw: &'a [u8],
}

impl Row for RejectedRow<'_> {
    const TABLE: TableName = TableName::Rejected;

    fn date(&self) -> Date {
        self.received_at.date()
    }

    fn columns() -> Vec<Column<Self>> {
        vec![
            Column::<Self>::text("account", "The tenant, where the bytes still tell.", |r| r.account).stats(),
            Column::<Self>::time("received_at", "When the bytes were taken in.", |r| Some(r.received_at)).stats(),
            // It quotes what is wrong.
            Column::<Self>::text("reason", "What is wrong, and how to mend it.", |r| Some(r.reason)).erase(Erase::Null),
            Column::<Self>::text("path", "The offending member; empty for the whole.", |r| Some(r.path)),
            Column::<Self>::text("source", "Where it came from: a file and line, or a collector's origin.", |r| {
                Some(&*r.source)
            }),
            Column::<Self>::binary(
                "raw",
                "The bytes as they came, without the line feed: of a line of a file the first 1048577, of a request as many as one entry of the log takes.",
                |r| Some(r.raw),
            )
            .erase(Erase::Raw),
        ]
    }
}
