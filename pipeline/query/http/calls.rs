//! `GET /v1/calls?after=…`: calls page by page, by their place in the table's log.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;
use serde::Deserialize;

use super::accept::format;
use super::page::Page;
use super::{Refused, login, reply, shapes};
use crate::problem::Problem;
use crate::query::bounds::Bounds;
use crate::query::changes::{Changes, ChangesError, Place, texts};
use crate::query::error::QueryError;
use crate::query::format::Format;
use crate::query::logins::{Logins, Reader};
use crate::query::session::Answer;

/// Calls of a page where the asker does not say, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

const NEXT: HeaderName = HeaderName::from_static("x-callweave-next");
const MORE: HeaderName = HeaderName::from_static("x-callweave-more");

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    after: Option<String>,
    limit: Option<usize>,
    format: Option<String>,
}

/// Calls as they are now, page by page: first all, then what was new or has changed since.
///
/// Take `next` from one answer as `after` of the next request. Where `more` is false there is nothing else now: ask again
/// later with the same `next`. A call comes again whenever its row has changed, so keep it by `call_id`; nothing is missed,
/// however late it came. In the formats without room for them, `next` and `more` stand in `x-callweave-next` and
/// `x-callweave-more` alone. A place is good for some hours; after that the answer is 410.
#[utoipa::path(
    get,
    path = "/v1/calls",
    params(
        (
            "after" = Option<String>, Query,
            description = "`next` of the answer before; absent: from the first call on",
            pattern = r"^[0-9]+([.][0-9]+|~[A-Za-z0-9_-]*)?$"
        ),
        ("limit" = Option<usize>, Query, description = "Calls at most: 100 if absent", minimum = 1, maximum = 1000),
        ("format" = Option<String>, Query, description = "In place of Accept", pattern = "^(json|ndjson|csv|arrow|parquet)$")
    ),
    responses(
        (
            status = 200,
            description = "Calls, a row each.",
            content(
                (shapes::Calls = "application/json"),
                (String = "application/x-ndjson"),
                (String = "text/csv"),
                (shapes::Bytes = "application/vnd.apache.arrow.stream"),
                (shapes::Bytes = "application/vnd.apache.parquet")
            )
        ),
        (status = 400, description = "A parameter cannot be understood.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No login, or a wrong one.", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "There is no such format.", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The place is too long ago: begin without `after`.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The login's bounds are met.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many passwords of this login were wrong; `Retry-After` says when to ask again.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "Something broke.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "All places of the login are taken.", body = Problem, content_type = "application/problem+json")
    ),
    security(("login" = []))
)]
pub(super) async fn calls(
    State(logins): State<Arc<Logins>>,
    wish: Result<Query<Wish>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let reader = login(&logins, &headers).await?;
    let Query(wish) = wish?;
    let format = format(wish.format.as_deref(), &headers)?;
    let limit = wish.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Refused::Member(format!("limit is {limit}; give 1 to {LIMIT_MAX}")));
    }
    let place = wish.after.map(|after| after.parse::<Place>()).transpose();
    let place = place.map_err(|error| Refused::Member(error.to_string()))?;
    // A page is no longer than an answer of this login may be, and says that there is more.
    let limit = limit.min(usize::try_from(reader.login.rows).unwrap_or(LIMIT_MAX)).max(1);
    let bounds = reader.bounds_of_page().await?;
    let within = Arc::clone(&bounds);
    bounds.work(async move { page(&reader, place, limit, format, within).await }).await
}

async fn page(
    reader: &Reader,
    place: Option<Place>,
    limit: usize,
    format: Format,
    bounds: Arc<Bounds>,
) -> Result<Response, Refused> {
    let (since, last) = match place {
        Some(Place::Behind { version, keys }) => {
            let changes = reader.session.changed_calls(&reader.account, version, keys, limit).await?;
            let rows = rows(reader, &of_changes(&changes), bounds).await?;
            return answer(rows, format, limit, &changes.next, changes.more).await;
        }
        Some(Place::First { since, last }) => (since, Some(last)),
        // Taken before the rows are read: what lands meanwhile comes again later.
        None => (reader.session.newest_of_calls().await?, None),
    };
    let behind = last.as_deref().map_or_else(String::new, |last| format!("WHERE call_id > {}", quoted(last)));
    let sql = format!("SELECT * FROM calls {behind} ORDER BY call_id LIMIT {}", limit + 1);
    // One row more than was asked for tells whether there are more.
    let rows = rows(reader, &sql, bounds).await?;
    if rows.num_rows() <= limit {
        return answer(rows, format, limit, &Place::Behind { version: since, keys: 0 }, false).await;
    }
    let rows = rows.slice(0, limit);
    let last = last_name(&rows).unwrap_or_default();
    answer(rows, format, limit, &Place::First { since, last }, true).await
}

/// All at once: there are no more than a page.
async fn rows(reader: &Reader, sql: &str, bounds: Arc<Bounds>) -> Result<RecordBatch, QueryError> {
    let statement = reader.session.admit(sql)?.pop().ok_or(QueryError::NoQuery)?;
    let answer = reader.session.answer_within(statement, sql, Some(bounds)).await?;
    let batches: Vec<RecordBatch> =
        answer.rows.try_collect().await.map_err(|error| QueryError::from_engine(error, sql))?;
    Ok(concat_batches(&answer.schema, &batches)?)
}

/// A row that has moved to another day since is left to the commit that moved it.
fn of_changes(changes: &Changes) -> String {
    if changes.calls.is_empty() {
        return "SELECT * FROM calls WHERE false".to_owned();
    }
    let calls: Vec<String> = changes.calls.iter().map(|call| quoted(call)).collect();
    let days: Vec<String> = changes.dates.iter().map(|day| format!("DATE {}", quoted(day))).collect();
    let (calls, days) = (calls.join(", "), days.join(", "));
    format!("SELECT * FROM calls WHERE date IN ({days}) AND call_id IN ({calls}) ORDER BY call_id")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn last_name(rows: &RecordBatch) -> Option<String> {
    let names = texts(rows, "call_id").ok()?;
    Some(names.value(names.len().checked_sub(1)?).to_owned())
}

async fn answer(
    rows: RecordBatch,
    format: Format,
    limit: usize,
    next: &Place,
    more: bool,
) -> Result<Response, Refused> {
    let schema = rows.schema();
    let rows = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), futures::stream::iter([Ok(rows)])));
    let mut page = Page::new(Answer { schema, rows }, format, limit as u64, String::new())?;
    page.tail = format!(",\"next\":{},\"more\":{more}", serde_json::json!(next.to_string()));
    let mut whole = Vec::new();
    while let Some(part) = page.next().await? {
        whole.extend_from_slice(&part);
    }
    let mut response = reply(format, limit as u64, "false", Body::from(whole));
    let headers = response.headers_mut();
    if let Ok(next) = HeaderValue::try_from(next.to_string()) {
        headers.insert(NEXT, next);
    }
    headers.insert(MORE, HeaderValue::from_static(if more { "true" } else { "false" }));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

impl From<ChangesError> for Refused {
    fn from(error: ChangesError) -> Refused {
        match error {
            ChangesError::Gone(_) => Refused::Gone(error.to_string()),
            ChangesError::Query(error) => Refused::Query(error),
        }
    }
}
