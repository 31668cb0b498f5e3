//! What went wrong with a request, told as RFC 9457 has it: the same way at every address.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

#[derive(Debug, Serialize, ToSchema)]
pub struct Problem<'a> {
    /// `urn:callweave:problem:NAME`: what a program goes by.
    #[serde(rename = "type")]
    pub name: String,
    pub title: &'static str,
    pub status: u16,
    /// What is wrong and how to mend it.
    pub detail: Cow<'a, str>,
}

impl<'a> Problem<'a> {
    pub fn new(status: StatusCode, name: &str, detail: impl Into<Cow<'a, str>>) -> Problem<'a> {
        Problem {
            name: format!("urn:callweave:problem:{name}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }
}

impl IntoResponse for Problem<'_> {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json(status, MEDIA_TYPE, &self)
    }
}

pub fn json<T: Serialize>(status: StatusCode, content_type: HeaderValue, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, content_type)], bytes).into_response(),
        // Only maps with keys that are no text can fail, and no answer has one.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
