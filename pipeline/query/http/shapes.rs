//! What answers look like, for the document alone: they are written as they come.
#![expect(dead_code, reason = "only their shapes are told")]

use utoipa::ToSchema;

/// Rows, and whether there are more.
#[derive(ToSchema)]
pub(super) struct Answer {
    columns: Vec<Column>,
    /// An object a row, by the names of its columns.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<serde_json::Value>,
    row_count: u64,
    /// Rows were left out.
    truncated: bool,
}

#[derive(ToSchema)]
pub(super) struct Column {
    name: String,
    /// As Arrow calls it.
    r#type: String,
}

/// Calls, and where to go on.
#[derive(ToSchema)]
pub(super) struct Calls {
    columns: Vec<Column>,
    /// An object a call: the columns of the table `calls`.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<serde_json::Value>,
    row_count: u64,
    truncated: bool,
    /// `after` of the next request.
    next: String,
    /// There are more now.
    more: bool,
}

/// A file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(super) struct Bytes(Vec<u8>);
