//! SQL over HTTP: `POST /v1/sql`, `GET /v1/calls` ([`calls`]), and the document that describes them.
//!
//! An answer is cut at a number of rows that the asker may set, and says so: in its header where the whole of it is ready
//! before the first byte is sent, in the JSON itself, and else by ending in an error. It is never cut in silence.

mod accept;
mod calls;
mod page;
mod shapes;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::StreamExt;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use utoipa::{OpenApi, ToSchema};

use super::error::QueryError;
use super::format::Format;
use super::guard::QUERY_BYTES_MAX;
use super::logins::{Logins, NoEntry, Reader, basic};
use crate::problem::Problem;
use accept::{format, media_type, media_types};
use page::{Asked, Part, Parts};

/// Rows of an answer where the asker does not say.
const ROWS: u64 = 10_000;
/// An answer up to this size is made before its first byte is sent, so that its header tells whether it was cut.
const WHOLE_BYTES_MAX: usize = 8 << 20;
/// Beside the text of SQL, the members of the body.
const BODY_BYTES_MAX: usize = QUERY_BYTES_MAX + (64 << 10);

const TRUNCATED: HeaderName = HeaderName::from_static("x-callweave-truncated");
const MAX_ROWS: HeaderName = HeaderName::from_static("x-callweave-max-rows");

/// What is served.
pub fn routes(logins: Arc<Logins>) -> Router {
    Router::new()
        .route("/v1/sql", post(sql).fallback(async || Refused::Method("POST")))
        .route("/v1/calls", get(calls::calls).fallback(async || Refused::Method("GET")))
        .route("/v1/openapi.json", get(openapi).fallback(async || Refused::Method("GET")))
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

/// What `schemas/openapi.json` says.
#[cfg(test)]
pub(super) fn document() -> Result<String, serde_json::Error> {
    Document::openapi().to_pretty_json().map(|text| text + "\n")
}

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
        (
            status = 200,
            description = "The rows.",
            content(
                (shapes::Answer = "application/json"),
                (String = "application/x-ndjson"),
                (String = "text/csv"),
                (shapes::Bytes = "application/vnd.apache.arrow.stream"),
                (shapes::Bytes = "application/vnd.apache.parquet")
            )
        ),
        (status = 400, description = "The statement or the request cannot be understood.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No login, or a wrong one.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The statement does more than read.", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "There is no such format.", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time.", body = Problem, content_type = "application/problem+json"),
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
    request: Request,
) -> Result<Response, Refused> {
    // Nothing is read of a stranger's body.
    let reader = login(&logins, &headers).await?;
    let Query(wish) = wish?;
    let body = Bytes::from_request(request, &()).await?;
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
    let bounds = reader.bounds(None, CancellationToken::new()).await?;
    let asked = Asked { statement, sql: question.sql, format, max_rows };
    let mut parts = Parts::of(&reader, asked, bounds);
    let mut whole = Vec::new();
    while whole.len() <= WHOLE_BYTES_MAX {
        match parts.next().await? {
            Part::Bytes(part) => whole.extend_from_slice(&part),
            Part::End { is_cut } => {
                let truncated = if is_cut { "true" } else { "false" };
                return Ok(reply(format, max_rows, truncated, Body::from(whole)));
            }
        }
    }
    let rest = futures::stream::unfold(Some(parts), move |parts| async move {
        let mut parts = parts?;
        match parts.next().await {
            Ok(Part::Bytes(part)) => Some((Ok(Bytes::from(part)), Some(parts))),
            Ok(Part::End { is_cut: true }) if format != Format::Json => {
                Some((Err(std::io::Error::other("rows were left out: ask for more with max_rows")), None))
            }
            Ok(Part::End { .. }) => None,
            Err(error) => Some((Err(std::io::Error::other(error)), None)),
        }
    });
    let first = futures::stream::iter([Ok(Bytes::from(whole))]);
    Ok(reply(format, max_rows, "unknown", Body::from_stream(first.chain(rest))))
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

fn question(headers: &HeaderMap, body: &[u8]) -> Result<Question, Refused> {
    let coding =
        headers.get(header::CONTENT_ENCODING).map(|coding| String::from_utf8_lossy(coding.as_bytes()).into_owned());
    if let Some(coding) = coding.filter(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
        return Err(Refused::Coding(coding));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => {
            let wrong =
                |why: String| Refused::Member(format!("the body is not {{\"sql\": \"…\", \"max_rows\": …}}: {why}"));
            // Serde takes an array for an object whose members have no names.
            if body.trim_ascii_start().first() != Some(&b'{') {
                return Err(wrong("it is no JSON object".to_owned()));
            }
            serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))
        }
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

/// Why a question was not answered.
#[derive(Debug)]
pub(super) enum Refused {
    NoLogin,
    NoEntry(NoEntry),
    Format(String),
    Kind(String),
    Coding(String),
    Method(&'static str),
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

impl From<BytesRejection> for Refused {
    fn from(error: BytesRejection) -> Refused {
        Refused::Body(error.status(), error.body_text())
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
                (Is::NOT_ACCEPTABLE, "format", format!("there is no format {name:?}; accept one of {}", media_types()))
            }
            Refused::Kind(kind) => {
                let detail =
                    format!("a body of {kind:?} is not read; send application/json, application/sql or text/plain");
                (Is::UNSUPPORTED_MEDIA_TYPE, "media-type", detail)
            }
            Refused::Coding(coding) => {
                let detail = format!("a body in {coding:?} is not read; send it without Content-Encoding");
                (Is::UNSUPPORTED_MEDIA_TYPE, "content-encoding", detail)
            }
            Refused::Method(method) => (
                Is::METHOD_NOT_ALLOWED,
                "method",
                format!("this address is asked with {method}: docs/sql.md shows how"),
            ),
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
        QueryError::Sql(_) | QueryError::NoQuery | QueryError::Wrong { .. } => (Is::BAD_REQUEST, "sql"),
        QueryError::SameName { .. } => (Is::BAD_REQUEST, "same-name"),
        QueryError::Refused { .. } => (Is::FORBIDDEN, "read-only"),
        QueryError::TooLong { .. } => (Is::PAYLOAD_TOO_LARGE, "too-long"),
        QueryError::TooDeep { .. } => (Is::UNPROCESSABLE_ENTITY, "too-deep"),
        QueryError::TimeUp { .. } => (Is::UNPROCESSABLE_ENTITY, "time"),
        QueryError::TooManyRows { .. } => (Is::UNPROCESSABLE_ENTITY, "rows"),
        QueryError::Memory { .. } => (Is::UNPROCESSABLE_ENTITY, "memory"),
        QueryError::Busy { .. } => (Is::SERVICE_UNAVAILABLE, "busy"),
        QueryError::WorkerLost => (Is::SERVICE_UNAVAILABLE, "worker"),
        QueryError::Data { .. } => (Is::UNPROCESSABLE_ENTITY, "data"),
        _ => (Is::INTERNAL_SERVER_ERROR, "failed"),
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let wait = match &self {
            Refused::NoEntry(NoEntry::Wait(wait)) => Some(wait.as_secs() + 1),
            _ => None,
        };
        let allow = match &self {
            Refused::Method(method) => Some(*method),
            _ => None,
        };
        let (status, name, detail) = self.told();
        let mut response = Problem::new(status, name, detail).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let realm = HeaderValue::from_static("Basic realm=\"callweave\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        }
        if let Some(method) = allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(method));
        }
        if let Some(seconds) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_an_object_or_a_text() {
        let of = |kind: &'static str, body: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            question(&headers, body.as_bytes()).map(|it| (it.sql, it.max_rows)).map_err(|refused| refused.told())
        };
        let read = ("SELECT 1".to_owned(), Some(2));
        assert_eq!(of("application/json", r#" {"sql": "SELECT 1", "max_rows": 2}"#), Ok(read));
        assert_eq!(of("application/sql", "[1]"), Ok(("[1]".to_owned(), None)));
        for body in [r#"["SELECT 1", 2]"#, r#"["SELECT 1"]"#, r#""SELECT 1""#, "", "7"] {
            let (status, name, detail) = of("application/json; charset=utf-8", body).expect_err(body);
            assert_eq!((status, name), (StatusCode::BAD_REQUEST, "bad-request"), "{body}");
            assert!(detail.ends_with("it is no JSON object"), "{body}: {detail}");
        }
        let (_, _, detail) = of("application/json", "{}").expect_err("no sql");
        assert!(detail.contains("missing field `sql`"), "{detail}");
    }
}
