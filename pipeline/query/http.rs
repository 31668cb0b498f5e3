//! SQL over HTTP: `POST /v1/sql`, `GET /v1/calls` ([`calls`]), and the document that describes them.
//!
//! An answer is cut at a number of rows that the asker may set, and says so: in its header where the whole of it is ready
//! before the first byte is sent, in the JSON itself, and else by ending in an error. It is never cut in silence.

mod calls;

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use datafusion::arrow::datatypes::SchemaRef;
use futures::StreamExt;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use utoipa::{OpenApi, ToSchema};

use super::error::QueryError;
use super::format::{Encoder, Format, plain_schema};
use super::guard::QUERY_BYTES_MAX;
use super::logins::{Logins, NoEntry, Reader, basic, lock};
use super::session::Answer;
use crate::problem::Problem;

/// Rows of an answer where the asker does not say.
const ROWS: u64 = 10_000;
/// An answer up to this size is made before its first byte is sent, so that its header tells whether it was cut.
const WHOLE_BYTES_MAX: usize = 8 << 20;
/// Parts of an answer that wait for a slow reader.
const PARTS_MAX: usize = 4;
/// Beside the text of SQL, the members of the body.
const BODY_BYTES_MAX: usize = QUERY_BYTES_MAX + (64 << 10);

const TRUNCATED: HeaderName = HeaderName::from_static("x-callweave-truncated");
const MAX_ROWS: HeaderName = HeaderName::from_static("x-callweave-max-rows");

/// What is served.
pub fn routes(logins: Arc<Logins>) -> Router {
    Router::new()
        .route("/v1/sql", post(sql))
        .route("/v1/calls", get(calls::calls))
        .route("/v1/openapi.json", get(openapi))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(logins)
}

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Question {
    /// One statement that reads.
    sql: String,
    /// Rows at most; more are left out, and that is told.
    #[serde(default)]
    #[schema(minimum = 1, default = 10_000)]
    max_rows: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    format: Option<String>,
    max_rows: Option<u64>,
}

#[derive(OpenApi)]
#[openapi(
    paths(sql, calls::calls, openapi),
    components(schemas(Question, Problem)),
    modifiers(&Logging),
    info(title = "callweave", description = "SQL over the tables of callweave.", license(name = "Apache-2.0"))
)]
struct Document;

/// Everybody logs in.
struct Logging;

impl utoipa::Modify for Logging {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
        document.components.get_or_insert_default().add_security_scheme("login", scheme);
    }
}

/// The document that describes what can be asked over HTTP.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200, description = "This document.")))]
async fn openapi() -> Response {
    let text = Document::openapi().to_json().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Answers one statement that reads.
///
/// The format is that of `Accept`: `application/json` (if nothing is said), `application/x-ndjson`, `text/csv`,
/// `application/vnd.apache.arrow.stream`, `application/vnd.apache.parquet`; or the parameter `format`: json, ndjson, csv,
/// arrow or parquet. `x-callweave-truncated` tells whether rows were left out; an answer that is too large for that to be
/// known in advance has `unknown` there, and ends in an error where rows were left out.
#[utoipa::path(
    post,
    path = "/v1/sql",
    request_body(content((Question = "application/json"), (String = "application/sql"), (String = "text/plain"))),
    params(
        ("format" = Option<String>, Query, description = "In place of Accept", pattern = "^(json|ndjson|csv|arrow|parquet)$"),
        ("max_rows" = Option<u64>, Query, description = "Rows at most; 10,000 if absent", minimum = 1)
    ),
    responses(
        (status = 200, description = "The rows."),
        (status = 400, description = "The statement or the request cannot be understood.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No login, or a wrong one.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The statement does more than read.", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "There is no such format.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The text is too long.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is of another kind.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be computed, or the login's bounds are met.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many passwords of this login were wrong; `Retry-After` says when to ask again.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "Something broke.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "All places of the login are taken.", body = Problem, content_type = "application/problem+json")
    ),
    security(("login" = []))
)]
async fn sql(
    State(logins): State<Arc<Logins>>,
    wish: Result<Query<Wish>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let reader = login(&logins, &headers).await?;
    let Query(wish) = wish?;
    let body = body.map_err(|error| Refused::Body(error.status(), error.body_text()))?;
    let question = question(&headers, &body)?;
    let format = format(wish.format.as_deref(), &headers)?;
    let max_rows = question.max_rows.or(wish.max_rows).unwrap_or(ROWS);
    if max_rows == 0 {
        return Err(Refused::Member("max_rows is 0; give 1 or more".to_owned()));
    }
    let mut statements = reader.session.admit(&question.sql)?;
    let (statement, rest) = (statements.pop().ok_or(QueryError::NoQuery)?, statements.len());
    if rest > 0 {
        return Err(Refused::Member(format!("sql holds {} statements; ask one at a time", rest + 1)));
    }
    let cancel = CancellationToken::new();
    let guard = cancel.clone().drop_guard();
    let bounds = reader.bounds(None, cancel).await?;
    let answer = reader.session.answer_within(statement, &question.sql, Some(bounds)).await?;
    let mut page = Page::new(answer, format, max_rows, question.sql)?;
    let mut whole = Vec::new();
    while whole.len() <= WHOLE_BYTES_MAX {
        match page.next().await? {
            Some(part) => whole.extend_from_slice(&part),
            None => {
                let truncated = if page.is_cut { "true" } else { "false" };
                return Ok(reply(format, max_rows, truncated, Body::from(whole)));
            }
        }
    }
    let (to, parts) = mpsc::channel::<Result<Bytes, std::io::Error>>(PARTS_MAX);
    tokio::spawn(async move {
        let _guard = guard;
        if to.send(Ok(whole.into())).await.is_err() {
            return;
        }
        loop {
            let part = match page.next().await {
                Ok(Some(part)) => Ok(Bytes::from(part)),
                Ok(None) if page.is_cut && format != Format::Json => {
                    Err(std::io::Error::other("rows were left out: ask for more with max_rows"))
                }
                Ok(None) => return,
                Err(error) => Err(std::io::Error::other(error)),
            };
            let is_over = part.is_err();
            if to.send(part).await.is_err() || is_over {
                return;
            }
        }
    });
    let parts = futures::stream::unfold(parts, |mut parts| async { parts.recv().await.map(|part| (part, parts)) });
    Ok(reply(format, max_rows, "unknown", Body::from_stream(parts)))
}

fn reply(format: Format, max_rows: u64, truncated: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(format)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(MAX_ROWS, HeaderValue::from(max_rows));
    headers.insert(TRUNCATED, HeaderValue::from_static(truncated));
    response
}

const MEDIA_TYPES: [(Format, &str); 5] = [
    (Format::Json, "application/json"),
    (Format::Ndjson, "application/x-ndjson"),
    (Format::Csv, "text/csv; charset=utf-8"),
    (Format::Arrow, "application/vnd.apache.arrow.stream"),
    (Format::Parquet, "application/vnd.apache.parquet"),
];

fn media_type(format: Format) -> &'static str {
    MEDIA_TYPES.iter().find(|(known, _)| *known == format).map_or("application/octet-stream", |(_, name)| name)
}

fn format(wish: Option<&str>, headers: &HeaderMap) -> Result<Format, Refused> {
    if let Some(name) = wish {
        let format = name.parse::<Format>().ok().filter(|format| *format != Format::Table);
        return format.ok_or_else(|| Refused::Format(name.to_owned()));
    }
    let Some(accept) = headers.get(header::ACCEPT) else { return Ok(Format::Json) };
    let accept = accept.to_str().map_err(|_| Refused::Format("Accept".to_owned()))?;
    for wanted in accept.split(',') {
        let wanted = wanted.split(';').next().unwrap_or_default().trim();
        if matches!(wanted, "*/*" | "application/*" | "") {
            return Ok(Format::Json);
        }
        let fits = |name: &str| name.split(';').next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        if let Some((format, _)) = MEDIA_TYPES.iter().find(|(_, name)| fits(name)) {
            return Ok(*format);
        }
        if wanted == "text/*" {
            return Ok(Format::Csv);
        }
    }
    Err(Refused::Format(accept.to_owned()))
}

fn question(headers: &HeaderMap, body: &[u8]) -> Result<Question, Refused> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => serde_json::from_slice(body)
            .map_err(|error| Refused::Member(format!("the body is not {{\"sql\": \"…\", \"max_rows\": …}}: {error}"))),
        "text/plain" | "application/sql" => match std::str::from_utf8(body) {
            Ok(text) => Ok(Question { sql: text.to_owned(), max_rows: None }),
            Err(error) => Err(Refused::Member(format!("the body is not UTF-8: {error}"))),
        },
        other => Err(Refused::Kind(other.to_owned())),
    }
}

/// Who asks, by `Authorization: Basic`.
pub(super) async fn login(logins: &Logins, headers: &HeaderMap) -> Result<Arc<Reader>, Refused> {
    let value = headers.get(header::AUTHORIZATION).ok_or(Refused::NoLogin)?;
    let (user, password) = value.to_str().ok().and_then(basic).ok_or(Refused::NoLogin)?;
    Ok(logins.enter(&user, &password).await?)
}

/// An answer as bytes, part by part.
struct Page {
    answer: Answer,
    format: Format,
    encoder: Option<Encoder<Shared>>,
    made: Shared,
    left: u64,
    rows: u64,
    is_cut: bool,
    sql: String,
    /// Members of a JSON answer behind those of every answer, with a comma before each.
    tail: String,
}

/// What the encoder has written and nobody has taken yet.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *lock(&self.0))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn new(answer: Answer, format: Format, max_rows: u64, sql: String) -> Result<Page, QueryError> {
        let mut made = Shared::default();
        if format == Format::Json {
            let head = serde_json::json!(columns(&plain_schema(&answer.schema))).to_string();
            let _ = write!(made, "{{\"columns\":{head},\"rows\":");
        }
        let encoder = Encoder::new(format, false, &answer.schema, made.clone())?;
        Ok(Page {
            answer,
            format,
            encoder: Some(encoder),
            made,
            left: max_rows,
            rows: 0,
            is_cut: false,
            sql,
            tail: String::new(),
        })
    }

    /// The next bytes; nothing at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, QueryError> {
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        match self.answer.rows.next().await {
            Some(Ok(batch)) => {
                let rows = (batch.num_rows() as u64).min(self.left);
                self.is_cut |= rows < batch.num_rows() as u64;
                (self.left, self.rows) = (self.left - rows, self.rows + rows);
                encoder.write(&batch.slice(0, rows as usize))?;
                if self.is_cut { self.finish().map(Some) } else { Ok(Some(self.made.take())) }
            }
            Some(Err(error)) => match QueryError::from_engine(error, &self.sql) {
                // The bound of the login lies where the asker wanted the answer to be cut.
                error if self.left == 0 && matches!(error.bound(), Some(QueryError::TooManyRows { .. })) => {
                    self.is_cut = true;
                    self.finish().map(Some)
                }
                error => Err(error),
            },
            None => self.finish().map(Some),
        }
    }

    fn finish(&mut self) -> Result<Vec<u8>, QueryError> {
        if let Some(encoder) = self.encoder.take() {
            encoder.finish()?;
        }
        let mut made = self.made.take();
        if self.format == Format::Json {
            while made.last() == Some(&b'\n') {
                made.pop();
            }
            made.extend_from_slice(
                format!(",\"row_count\":{},\"truncated\":{}{}}}\n", self.rows, self.is_cut, self.tail).as_bytes(),
            );
        }
        Ok(made)
    }
}

fn columns(schema: &SchemaRef) -> Vec<serde_json::Value> {
    let column = |field: &Arc<datafusion::arrow::datatypes::Field>| serde_json::json!({ "name": field.name(), "type": field.data_type().to_string() });
    schema.fields().iter().map(column).collect()
}

/// Why a question was not answered.
#[derive(Debug)]
pub(super) enum Refused {
    NoLogin,
    NoEntry(NoEntry),
    Format(String),
    Kind(String),
    Member(String),
    Body(StatusCode, String),
    Gone(String),
    Query(QueryError),
}

impl From<QueryRejection> for Refused {
    fn from(error: QueryRejection) -> Refused {
        Refused::Member(error.body_text())
    }
}

impl From<NoEntry> for Refused {
    fn from(why: NoEntry) -> Refused {
        Refused::NoEntry(why)
    }
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Refused {
        Refused::Query(error)
    }
}

impl Refused {
    fn told(self) -> (StatusCode, &'static str, String) {
        use StatusCode as Is;
        match self {
            Refused::NoLogin => {
                (Is::UNAUTHORIZED, "no-login", "log in with `Authorization: Basic`, as USER@ACCOUNT or USER".to_owned())
            }
            Refused::NoEntry(why @ NoEntry::Wrong) => (Is::UNAUTHORIZED, "wrong-login", why.to_string()),
            Refused::NoEntry(why @ NoEntry::Wait(_)) => (Is::TOO_MANY_REQUESTS, "wrong-logins", why.to_string()),
            Refused::Format(name) => {
                let all: Vec<&str> = MEDIA_TYPES.iter().map(|(_, name)| *name).collect();
                (Is::NOT_ACCEPTABLE, "format", format!("there is no format {name:?}; accept one of {}", all.join(", ")))
            }
            Refused::Kind(kind) => {
                let detail =
                    format!("a body of {kind:?} is not read; send application/json, application/sql or text/plain");
                (Is::UNSUPPORTED_MEDIA_TYPE, "media-type", detail)
            }
            Refused::Member(detail) => (Is::BAD_REQUEST, "bad-request", detail),
            Refused::Body(status, detail) => (status, "bad-body", detail),
            Refused::Gone(detail) => (Is::GONE, "gone", detail),
            Refused::Query(QueryError::NoQuery) => (Is::BAD_REQUEST, "sql", "sql holds no statement".to_owned()),
            Refused::Query(error) => {
                let (status, name) = of_query(&error);
                (status, name, error.to_string())
            }
        }
    }
}

fn of_query(error: &QueryError) -> (StatusCode, &'static str) {
    use StatusCode as Is;
    match error.bound().unwrap_or(error) {
        QueryError::Sql(_) | QueryError::NoQuery => (Is::BAD_REQUEST, "sql"),
        QueryError::SameName { .. } => (Is::BAD_REQUEST, "same-name"),
        QueryError::Refused { .. } => (Is::FORBIDDEN, "read-only"),
        QueryError::TooLong { .. } => (Is::PAYLOAD_TOO_LARGE, "too-long"),
        QueryError::TooDeep { .. } => (Is::UNPROCESSABLE_ENTITY, "too-deep"),
        QueryError::TimeUp { .. } => (Is::UNPROCESSABLE_ENTITY, "time"),
        QueryError::TooManyRows { .. } => (Is::UNPROCESSABLE_ENTITY, "rows"),
        QueryError::Memory { .. } => (Is::UNPROCESSABLE_ENTITY, "memory"),
        QueryError::Busy { .. } => (Is::SERVICE_UNAVAILABLE, "busy"),
        QueryError::WorkerLost => (Is::SERVICE_UNAVAILABLE, "worker"),
        QueryError::Engine(error) if super::error::is_of_data(error) => (Is::UNPROCESSABLE_ENTITY, "data"),
        _ => (Is::INTERNAL_SERVER_ERROR, "failed"),
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let wait = match &self {
            Refused::NoEntry(NoEntry::Wait(wait)) => Some(wait.as_secs() + 1),
            _ => None,
        };
        let (status, name, detail) = self.told();
        let mut response = Problem::new(status, name, detail).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Basic realm=\"callweave\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        }
        if let Some(seconds) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
