//! The tables of the contract (section 5), one file each: a plain list of columns.

mod ad_costs;
mod call_candidates;
mod call_moments;
mod calls;
mod deals;
mod leases;
mod notes;
mod page_views;
mod rejected;
mod sessions;
mod tags;
mod transcripts;
mod web_events;

use std::fmt;
use std::sync::Arc;

use callweave_core::event::Event;
use callweave_core::row::SourceRow;
use callweave_core::time::Date;
use deltalake_core::arrow::datatypes::DataType;

pub use ad_costs::AdCostRow;
pub use deals::DealRow;
pub use notes::NoteRow;
pub use page_views::PageViewRow;
pub use rejected::RejectedRow;
pub use tags::TagRow;
pub use transcripts::TranscriptRow;
pub use web_events::WebEventRow;

use super::column::{Column, Erase};

/// The column that every table is partitioned by: it is in the path of a file, not in the file.
pub const DATE: &str = "date";
pub const DATE_DOC: &str = "The UTC date of the row's time: the partition, and the cheapest filter.";

/// What the rows of a table are made from. The first column is always the account, the second the time of what
/// happened: files are sorted by these two.
pub trait Row: Sized {
    const TABLE: TableName;
    fn columns() -> Vec<Column<Self>>;
    /// The UTC date of [`Row`]'s time: the partition.
    fn date(&self) -> Date;
}

/// A row that is made from an event as it is.
#[derive(Debug, Clone, Copy)]
pub struct EventRow<'a, Data> {
    pub event: &'a Event<'a>,
    pub data: &'a Data,
    /// That of an amount whose event names none.
    pub currency: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableName {
    PageViews,
    WebEvents,
    Sessions,
    Leases,
    Calls,
    CallCandidates,
    CallMoments,
    Tags,
    Notes,
    Transcripts,
    Deals,
    AdCosts,
    Rejected,
}

impl TableName {
    pub const ALL: [TableName; 13] = [
        TableName::PageViews,
        TableName::WebEvents,
        TableName::Sessions,
        TableName::Leases,
        TableName::Calls,
        TableName::CallCandidates,
        TableName::CallMoments,
        TableName::Tags,
        TableName::Notes,
        TableName::Transcripts,
        TableName::Deals,
        TableName::AdCosts,
        TableName::Rejected,
    ];

    /// The table's name in SQL, and its folder's under the lake's root.
    pub fn name(self) -> &'static str {
        match self {
            TableName::PageViews => "page_views",
            TableName::WebEvents => "web_events",
            TableName::Sessions => "sessions",
            TableName::Leases => "leases",
            TableName::Calls => "calls",
            TableName::CallCandidates => "call_candidates",
            TableName::CallMoments => "call_moments",
            TableName::Tags => "tags",
            TableName::Notes => "notes",
            TableName::Transcripts => "transcripts",
            TableName::Deals => "deals",
            TableName::AdCosts => "ad_costs",
            TableName::Rejected => "rejected",
        }
    }

    /// What a row of it is.
    pub fn doc(self) -> &'static str {
        match self {
            TableName::PageViews => "One row a page view.",
            TableName::WebEvents => {
                "One row an event of a page other than its view: a click to call, a form, any name."
            }
            TableName::Sessions => "One row a revision of a session; the highest revision counts, unless retracted.",
            TableName::Leases => "One row a revision of a lease; the highest revision counts.",
            TableName::Calls => "One row a revision of a call; the highest revision counts.",
            TableName::CallCandidates => {
                "One row a session that could be a call's, and one for none of them; those of the highest revision count."
            }
            TableName::CallMoments => "One row a moment that subscribers were told.",
            TableName::Tags => "One row a tag that a call was given.",
            TableName::Notes => "One row a note on a call.",
            TableName::Transcripts => "One row a call's transcript.",
            TableName::Deals => "One row a stage that a deal reached.",
            TableName::AdCosts => "One row a day's cost of a source, medium, campaign, term and content.",
            TableName::Rejected => "One row an event that could not be used, with its bytes and the reason.",
        }
    }

    pub fn definition(self) -> Definition {
        match self {
            TableName::PageViews => Definition::of::<PageViewRow<'_>>(),
            TableName::WebEvents => Definition::of::<WebEventRow<'_>>(),
            TableName::Sessions => Definition::of::<callweave_core::row::SessionRow>(),
            TableName::Leases => Definition::of::<callweave_core::row::LeaseRow>(),
            TableName::Calls => Definition::of::<callweave_core::row::CallRow>(),
            TableName::CallCandidates => Definition::of::<callweave_core::row::CandidateRow>(),
            TableName::CallMoments => Definition::of::<callweave_core::moment::Moment>(),
            TableName::Tags => Definition::of::<TagRow<'_>>(),
            TableName::Notes => Definition::of::<NoteRow<'_>>(),
            TableName::Transcripts => Definition::of::<TranscriptRow<'_>>(),
            TableName::Deals => Definition::of::<DealRow<'_>>(),
            TableName::AdCosts => Definition::of::<AdCostRow<'_>>(),
            TableName::Rejected => Definition::of::<RejectedRow<'_>>(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A table without its rows' type.
#[derive(Debug, Clone)]
pub struct Definition {
    pub table: TableName,
    /// Without `date`.
    pub columns: Vec<ColumnDefinition>,
}

#[derive(Debug, Clone)]
pub struct ColumnDefinition {
    pub name: &'static str,
    pub doc: &'static str,
    pub data_type: DataType,
    pub stats: bool,
    /// See [`Column::unique`].
    pub unique: bool,
    pub erase: Erase,
}

impl Definition {
    fn of<R: Row>() -> Definition {
        let columns = R::columns()
            .iter()
            .map(|column| ColumnDefinition {
                name: column.name,
                doc: column.doc,
                data_type: column.data_type(),
                stats: column.stats,
                unique: column.unique,
                erase: column.erase,
            })
            .collect();
        Definition { table: R::TABLE, columns }
    }

    /// The table as JSON, for people and for tests that notice when it changes.
    pub fn describe(&self) -> String {
        let mut columns: Vec<serde_json::Value> = self.columns.iter().map(ColumnDefinition::describe).collect();
        columns.insert(1, serde_json::json!({ "name": DATE, "type": "date", "comment": DATE_DOC }));
        let table = serde_json::json!({
            "table": self.table.name(),
            "comment": self.table.doc(),
            "partitioned_by": [DATE],
            "columns": columns,
        });
        format!("{table:#}\n")
    }
}

impl ColumnDefinition {
    fn describe(&self) -> serde_json::Value {
        let data_type = match &self.data_type {
            DataType::Utf8 => "string".to_owned(),
            DataType::Timestamp(..) => "timestamp".to_owned(),
            DataType::Int32 => "integer".to_owned(),
            DataType::Int64 => "long".to_owned(),
            DataType::Float64 => "double".to_owned(),
            DataType::Boolean => "boolean".to_owned(),
            DataType::Binary => "binary".to_owned(),
            DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
            DataType::List(item) if item.data_type() == &DataType::Utf8 => "array<string>".to_owned(),
            DataType::List(_) => "array<struct<speaker:string,start_seconds:double,text:string>>".to_owned(),
            other => other.to_string(),
        };
        serde_json::json!({ "name": self.name, "type": data_type, "comment": self.doc })
    }
}

/// The campaign of a source, for tables that have one.
fn campaign(source: &Option<Arc<SourceRow>>) -> Option<&str> {
    source.as_ref()?.campaign.as_deref()
}

/// A count as SQL's `int`; what does not fit is the greatest that does.
fn count(number: u32) -> Option<i32> {
    Some(i32::try_from(number).unwrap_or(i32::MAX))
}

fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
