//! What senders are told: the answer for events, and the one table from what went wrong to an HTTP status.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::log::AppendError;
use crate::log::batching::SubmitError;
use crate::problem::{self, Problem, json};

/// Why a request as a whole was not done. Nothing of it was acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    #[error("no key was given: send one of the account's keys as `Authorization: Bearer KEY`, or as `X-Callweave-Key`")]
    NoKey,
    #[error("the key belongs to no account: check it for missing characters, or configure it under [accounts.NAME]")]
    WrongKey,
    #[error("there is nothing here: events are posted to /v1/events")]
    NotFound,
    #[error("this address takes other methods: events are posted")]
    Method,
    #[error("the body holds no event: send one event, an array of events, or one event a line")]
    Empty,
    #[error("the body could not be read to its end: {0}")]
    Cut(String),
    #[error("the body is not {encoding}: {reason}")]
    BadEncoding { encoding: &'static str, reason: String },
    #[error("the body did not arrive within {} seconds: send it faster, or in smaller parts", .0.as_secs())]
    Slow(Duration),
    #[error("the body has more than {limit} bytes{}: send it in several requests", if *.unpacked { " when unpacked" } else { "" })]
    TooLong { limit: u64, unpacked: bool },
    #[error("the body has more than {limit} events: send them in several requests")]
    TooMany { limit: u64 },
    #[error(
        "events do not come as {0:?}: send application/json, application/cloudevents+json, \
         application/cloudevents-batch+json or application/x-ndjson"
    )]
    MediaType(String),
    #[error("{0:?} cannot be unpacked here: send gzip, zstd, or no Content-Encoding")]
    Encoding(String),
    #[error("this key sends more than {per_second} requests a second: send several events in one request")]
    TooFast { per_second: u32, wait: Duration },
    #[error("this {who} sends more than {per_second} requests a second: send several events in one request")]
    TooOften { who: &'static str, per_second: u32, wait: Duration },
    #[error(
        "this page may not speak for the site: name an account and a site that there are, and add the page's origin to the \
         site's `origins` in the account's settings (without sites only pages on localhost may)"
    )]
    Origin,
    #[error("the body cannot be read at byte {at}: send one JSON object as docs/collect.md has it")]
    BadBody { at: usize },
    #[error("{path} {reason}")]
    BadMember { path: &'static str, reason: &'static str },
    #[error("a page's body is not packed: send it without Content-Encoding")]
    Packed,
    #[error("the key is of another account than the body names: leave the account out")]
    OtherAccount,
    #[error("the account has no such site: give the name of one of its sites, or none")]
    NoSite,
    #[error("too many requests are being worked on: send it again in a moment")]
    Busy,
    #[error("the bodies being worked on take all the memory they may: send it again in a moment")]
    Memory,
    #[error("the log did not confirm within {} seconds: send the same events again, those it has count once", .0.as_secs())]
    Unconfirmed(Duration),
    #[error("the events were not taken: {0}; send the same events again, those the log has count once")]
    Log(SubmitError),
    #[error("the collector failed on this request, which is a fault of ours: its log tells more")]
    Fault,
}

/// Time after which a sender that was turned away for want of room may try again.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// The same where the log is away.
const LOG_WAIT: Duration = Duration::from_secs(5);

impl Refusal {
    /// Status and short name: the table.
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Refusal::NoKey => (StatusCode::UNAUTHORIZED, "no-key"),
            Refusal::WrongKey => (StatusCode::UNAUTHORIZED, "wrong-key"),
            Refusal::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Refusal::Method => (StatusCode::METHOD_NOT_ALLOWED, "method"),
            Refusal::Empty => (StatusCode::BAD_REQUEST, "empty"),
            Refusal::Cut(_) => (StatusCode::BAD_REQUEST, "cut"),
            Refusal::BadEncoding { .. } => (StatusCode::BAD_REQUEST, "bad-encoding"),
            Refusal::Slow(_) => (StatusCode::REQUEST_TIMEOUT, "slow"),
            Refusal::TooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-long"),
            Refusal::TooMany { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-many"),
            Refusal::MediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type"),
            Refusal::Encoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding"),
            Refusal::TooFast { .. } => (StatusCode::TOO_MANY_REQUESTS, "too-fast"),
            Refusal::TooOften { .. } => (StatusCode::TOO_MANY_REQUESTS, "too-fast"),
            Refusal::Origin => (StatusCode::FORBIDDEN, "origin"),
            Refusal::BadBody { .. } => (StatusCode::BAD_REQUEST, "bad-body"),
            Refusal::BadMember { .. } => (StatusCode::BAD_REQUEST, "bad-member"),
            Refusal::Packed => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding"),
            Refusal::OtherAccount => (StatusCode::FORBIDDEN, "other-account"),
            Refusal::NoSite => (StatusCode::BAD_REQUEST, "no-site"),
            Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Refusal::Memory => (StatusCode::SERVICE_UNAVAILABLE, "memory"),
            Refusal::Unconfirmed(_) => (StatusCode::SERVICE_UNAVAILABLE, "unconfirmed"),
            Refusal::Log(SubmitError::Append(AppendError::Full(_))) => (StatusCode::INSUFFICIENT_STORAGE, "log-full"),
            Refusal::Log(SubmitError::TooLarge { .. }) => (StatusCode::PAYLOAD_TOO_LARGE, "too-long"),
            Refusal::Log(_) => (StatusCode::SERVICE_UNAVAILABLE, "log"),
            Refusal::Fault => (StatusCode::INTERNAL_SERVER_ERROR, "fault"),
        }
    }

    /// When to come back, where that makes sense.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::TooFast { wait, .. } | Refusal::TooOften { wait, .. } => Some(*wait),
            Refusal::Busy | Refusal::Memory => Some(BUSY_WAIT),
            Refusal::Log(SubmitError::Overloaded { .. }) => Some(BUSY_WAIT),
            Refusal::Log(SubmitError::TooLarge { .. }) => None,
            Refusal::Log(_) | Refusal::Unconfirmed(_) => Some(LOG_WAIT),
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, name) = self.status();
        let mut response = Problem::new(status, name, self.to_string()).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after() {
            // Whole seconds, rounded up: none comes back too early.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
        }
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"callweave\""));
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE if !matches!(self, Refusal::Packed) => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
            }
            // What is left of the body is not waited for.
            StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fate {
    /// Its place in the request, from 0.
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub status: Status,
    /// The offending member; absent where the whole is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Taken,
    Refused,
}

/// Requests of more events are answered with the refused ones alone.
pub const LISTED_MAX: usize = 1000;
/// Refused events that are listed; the rest is counted, and all are in the table `rejected`.
pub const REFUSED_LISTED_MAX: usize = 1000;

/// What became of a request whose events the log has.
#[derive(Debug, Default, Serialize)]
pub struct Answer {
    pub taken: usize,
    pub refused: usize,
    /// Each event's fate, up to [`LISTED_MAX`] events; of larger requests the refused ones.
    pub results: Vec<Fate>,
    #[serde(skip)]
    pub of_other_accounts: usize,
}

/// An answer in which nothing was taken is a problem too.
#[derive(Serialize)]
struct ProblemAnswer<'a> {
    #[serde(flatten)]
    problem: Problem<'a>,
    #[serde(flatten)]
    answer: &'a Answer,
}

impl Answer {
    /// 200 where all were taken, 207 where some were, 400 where none was, 403 where all were of other accounts.
    fn status(&self) -> StatusCode {
        match (self.taken, self.refused) {
            (_, 0) => StatusCode::OK,
            (0, refused) if refused == self.of_other_accounts => StatusCode::FORBIDDEN,
            (0, _) => StatusCode::BAD_REQUEST,
            _ => StatusCode::MULTI_STATUS,
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_success() {
            return json(status, HeaderValue::from_static("application/json"), &self);
        }
        let (name, detail) = match status {
            StatusCode::FORBIDDEN => ("other-account", "no event is of the key's account"),
            _ => ("refused", "no event could be used: each result tells why; all are kept in the table rejected"),
        };
        json(status, problem::MEDIA_TYPE, &ProblemAnswer { problem: Problem::new(status, name, detail), answer: &self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_their_status_and_say_when_to_come_back() {
        let log = |error| Refusal::Log(SubmitError::Append(error));
        let table = [
            (Refusal::NoKey, 401, None),
            (Refusal::WrongKey, 401, None),
            (Refusal::Empty, 400, None),
            (Refusal::Slow(Duration::from_secs(1)), 408, None),
            (Refusal::TooLong { limit: 1, unpacked: true }, 413, None),
            (Refusal::MediaType("image/png".into()), 415, None),
            (Refusal::TooFast { per_second: 1, wait: Duration::from_millis(1200) }, 429, Some("2")),
            (Refusal::TooOften { who: "site", per_second: 1, wait: Duration::from_millis(200) }, 429, Some("1")),
            (Refusal::Origin, 403, None),
            (Refusal::BadBody { at: 7 }, 400, None),
            (Refusal::Packed, 415, None),
            (Refusal::Busy, 503, Some("1")),
            (Refusal::Log(SubmitError::Overloaded { limit: 1 }), 503, Some("1")),
            (log(AppendError::Unavailable("away".into())), 503, Some("5")),
            (log(AppendError::Full("1 GiB".into())), 507, Some("5")),
        ];
        for (refusal, status, retry_after) in table {
            let response = refusal.clone().into_response();
            let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            assert_eq!((response.status().as_u16(), after), (status, retry_after), "{refusal}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], problem::MEDIA_TYPE);
        }
    }

    #[test]
    fn answers_have_their_status() {
        for (taken, refused, of_other_accounts, status) in
            [(0, 0, 0, 200), (3, 0, 0, 200), (2, 1, 1, 207), (0, 2, 1, 400), (0, 2, 2, 403)]
        {
            let answer = Answer { taken, refused, of_other_accounts, results: Vec::new() };
            assert_eq!(answer.into_response().status().as_u16(), status);
        }
    }
}
