//! Subscriptions and exports over HTTP: each account sees its own, by its key.

use std::sync::{Arc, PoisonError};

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use callweave_core::settings::{Export, Webhook};
use callweave_core::time::Time;
use callweave_core::webhook::SigningKey;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::edit::{self, EditError};
use super::service::{Known, Shared};
use super::store::{Change, Kept, StoreError};
use super::stream;
use super::subscription::{Entry, Kind, Subscription};
use super::worker::{Command, Told};
use crate::config::strange_in;
use crate::problem::Problem;

/// Bodies of these routes: a subscription with its template fits.
const BODY_BYTES_MAX: usize = 256 << 10;
/// Attempts and dead letters that one answer lists.
const LISTED_MAX: usize = 500;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("no key was given, or one of no account: send one of the account's keys as `Authorization: Bearer KEY`")]
    Key,
    #[error("the account has no {0} called {1:?}")]
    Unknown(&'static str, String),
    #[error("the body is not what is asked for here: {0}")]
    Body(String),
    #[error("{1}")]
    Unread(StatusCode, String),
    #[error("{0}")]
    Parameter(String),
    #[error("{0}")]
    Wrong(String),
    #[error("all {0} streams are taken: try again later")]
    Full(usize),
    #[error("it cannot be done now: {0}")]
    Away(String),
}

impl From<QueryRejection> for Refused {
    fn from(error: QueryRejection) -> Refused {
        Refused::Parameter(error.body_text())
    }
}

impl From<BytesRejection> for Refused {
    fn from(error: BytesRejection) -> Refused {
        Refused::Unread(error.status(), error.body_text())
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        Refused::Away(error.to_string())
    }
}

impl From<EditError> for Refused {
    fn from(error: EditError) -> Refused {
        match error {
            EditError::Wrong(mistakes) => Refused::Wrong(mistakes),
            other => Refused::Away(other.to_string()),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, name) = match &self {
            Refused::Key => (StatusCode::UNAUTHORIZED, "wrong-key"),
            Refused::Unknown(..) => (StatusCode::NOT_FOUND, "not-found"),
            Refused::Body(_) => (StatusCode::BAD_REQUEST, "bad-body"),
            Refused::Unread(status, _) => (*status, "bad-body"),
            Refused::Parameter(_) => (StatusCode::BAD_REQUEST, "bad-request"),
            Refused::Wrong(_) => (StatusCode::UNPROCESSABLE_ENTITY, "wrong"),
            Refused::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Refused::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "away"),
        };
        Problem::new(status, name, self.to_string()).into_response()
    }
}

type Answered = Result<Json<Value>, Refused>;
type Here = State<Place>;

/// What is asked, and for which of the two.
#[derive(Clone)]
struct Place {
    shared: Arc<Shared>,
    kind: Kind,
}

pub fn routes(shared: Arc<Shared>) -> Router {
    let of = |kind: Kind| {
        let at = |rest: &str| format!("/v1/{}s{rest}", kind.name());
        Router::new()
            .route(&at(""), get(list).post(put))
            .route(&at("/{name}"), get(one).delete(remove))
            .route(&at("/{name}/secret"), get(secret))
            .route(&at("/{name}/attempts"), get(attempts))
            .route(&at("/{name}/dead"), get(dead))
            .route(&at("/{name}/test"), post(test))
            .route(&at("/{name}/resend"), post(resend))
            .route(&at("/{name}/enable"), post(enable))
            .with_state(Place { shared: shared.clone(), kind })
    };
    of(Kind::Webhook)
        .merge(of(Kind::Export))
        .merge(Router::new().route("/v1/stream", get(stream::get)).with_state(shared.clone()))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// The account of a request's key.
pub fn account_of(shared: &Shared, headers: &HeaderMap) -> Result<Arc<str>, Refused> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| value.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| key);
    let key = bearer.or_else(|| text("x-callweave-key")).map(str::trim).ok_or(Refused::Key)?;
    shared.keys.find(key).map(|caller| caller.account.clone()).ok_or(Refused::Key)
}

fn find(place: &Place, headers: &HeaderMap, name: &str) -> Result<(Arc<str>, Known), Refused> {
    let account = account_of(&place.shared, headers)?;
    let known = place.shared.known(place.kind, &account, name);
    known.ok_or_else(|| Refused::Unknown(place.kind.name(), name.chars().take(64).collect()))
}

/// Of an object: serde takes an array for one whose members have no names.
fn parsed<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Refused> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refused::Body("it is no JSON object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| Refused::Body(error.to_string()))
}

/// The same, with all members that it needs and none that nothing reads: without its misspelt filter a subscription is told of
/// everything.
fn understood<T: for<'de> Deserialize<'de> + Serialize>(body: &[u8], needed: &[&str]) -> Result<T, Refused> {
    let known: T = parsed(body)?;
    let again = serde_json::to_value(&known).map_err(|error| Refused::Body(error.to_string()))?;
    let given: Value = parsed(body)?;
    if let Some(nameless) = nameless_in(&given, &again, "") {
        return Err(Refused::Body(format!("{nameless} is no JSON object")));
    }
    let strange = strange_in(&given, &again).into_iter().next();
    let missing: Vec<&str> = needed.iter().copied().filter(|name| given.get(name).is_none()).collect();
    if strange.is_none() && !missing.is_empty() {
        let are = if missing.len() == 1 { "is" } else { "are" };
        return Err(Refused::Body(format!("{} {are} missing", missing.join(" and "))));
    }
    match strange {
        Some((name, members)) => {
            Err(Refused::Body(format!("there is no member {name}; there are {}", members.join(", "))))
        }
        None => Ok(known),
    }
}

/// The first array that stands where an object was read.
fn nameless_in(given: &Value, known: &Value, path: &str) -> Option<String> {
    match (given, known) {
        (Value::Array(_), Value::Object(_)) => Some(path.to_owned()),
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            nameless_in(value, known.get(name)?, &path)
        }),
        (Value::Array(given), Value::Array(known)) => {
            let mut pairs = given.iter().zip(known).enumerate();
            pairs.find_map(|(at, (given, known))| nameless_in(given, known, &format!("{path}[{at}]")))
        }
        _ => None,
    }
}

/// What is shown of a subscription: no secret, and no header's value.
async fn shown(shared: &Shared, of: &Arc<str>, known: &Known) -> Answered {
    let (waiting, dead) = shared.tools.store.counts(of).await?;
    let place = shared.tools.store.start(of).await?.place;
    let last = shared.tools.moments.last_sequence(0).await.map_err(|error| Refused::Away(error.to_string()))?;
    let state = match known {
        Known { broken: Some(_), .. } => "broken",
        Known { stopped: Some(_), .. } => "stopped",
        Known { entry, .. } if !entry.is_enabled() => "off",
        _ => "on",
    };
    let mut shown = match &known.entry {
        Entry::Webhook(webhook) => json!({
            "name": webhook.name,
            "url": webhook.url,
            "moments": webhook.moments,
            "filter": webhook.filter,
            "fields": webhook.fields,
            "body": webhook.body,
            "encoding": webhook.encoding,
            "headers": webhook.headers.keys().collect::<Vec<_>>(),
            "secret_file": webhook.secret_file,
            "connect_seconds": webhook.connect_seconds,
            "answer_seconds": webhook.answer_seconds,
            "enabled": webhook.enabled,
            "ordered": webhook.ordered,
        }),
        Entry::Export(export, _) => {
            let mut shown = json!(export);
            shown["secrets"] = json!(export.secrets.keys().collect::<Vec<_>>());
            shown["moments"] = json!(export.wanted());
            shown["delay_hours"] = json!(export.delay_hours());
            shown
        }
    };
    for (name, value) in [
        ("state", json!(state)),
        ("reason", json!(known.broken.as_ref().or(known.stopped.as_ref()))),
        ("unread", json!(place.map(|place| last.saturating_sub(place)))),
        ("waiting", json!(waiting)),
        ("dead", json!(dead)),
    ] {
        shown[name] = value;
    }
    Ok(Json(shown))
}

async fn list(State(Place { shared, kind }): Here, headers: HeaderMap) -> Answered {
    let account = account_of(&shared, &headers)?;
    let all: Vec<(Arc<str>, Known)> = {
        let known = shared.known.read().unwrap_or_else(PoisonError::into_inner);
        let own = known.iter().filter(|(_, it)| it.account == account && it.entry.kind() == kind);
        own.map(|(of, it)| (of.clone(), it.clone())).collect()
    };
    let mut listed = Vec::new();
    for (of, known) in &all {
        listed.push(shown(&shared, of, known).await?.0);
    }
    Ok(Json(json!({ format!("{}s", kind.name()): listed })))
}

async fn one(State(place): Here, headers: HeaderMap, Path(name): Path<String>) -> Answered {
    let (of, known) = find(&place, &headers, &name)?;
    shown(&place.shared, &of, &known).await
}

/// Makes one, or changes the one of its name.
async fn put(State(Place { shared, kind }): Here, headers: HeaderMap, request: Request) -> Answered {
    let account = account_of(&shared, &headers)?;
    let body = Bytes::from_request(request, &()).await?;
    let entry = match kind {
        Kind::Webhook => Entry::Webhook(understood::<Webhook>(&body, &["name", "url"])?),
        Kind::Export => Entry::Export(Box::new(understood::<Export>(&body, &["name"])?), String::new()),
    };
    Subscription::new(&account, &entry, &shared.secrets).map_err(|error| Refused::Wrong(error.to_string()))?;
    edit::change(&shared, &account, |settings| match entry.clone() {
        Entry::Webhook(webhook) => {
            settings.webhooks.retain(|it| it.name != webhook.name);
            settings.webhooks.push(webhook);
        }
        Entry::Export(export, _) => {
            settings.exports.retain(|it| it.name != export.name);
            settings.exports.push(*export);
        }
    })
    .await?;
    Ok(Json(json!({ "name": entry.name() })))
}

async fn remove(State(place): Here, headers: HeaderMap, Path(name): Path<String>) -> Answered {
    let (_, known) = find(&place, &headers, &name)?;
    edit::change(&place.shared, &known.account, |settings| match place.kind {
        Kind::Webhook => settings.webhooks.retain(|it| it.name != name),
        Kind::Export => settings.exports.retain(|it| it.name != name),
    })
    .await?;
    Ok(Json(json!({ "removed": name })))
}

/// What the receiver verifies with.
async fn secret(State(place): Here, headers: HeaderMap, Path(name): Path<String>) -> Answered {
    let (of, known) = find(&place, &headers, &name)?;
    let Entry::Webhook(webhook) = &known.entry else {
        return Err(Refused::Wrong("an export signs nothing, and its secrets are not shown again".to_owned()));
    };
    let texts = place.shared.secrets.texts(&of, &known.account, webhook);
    let texts = texts.map_err(|error| Refused::Wrong(error.to_string()))?;
    let verifier = |text: &String| SigningKey::parse(text).ok().map(|key| key.public().unwrap_or_else(|| text.clone()));
    Ok(Json(json!({ "secrets": texts.iter().filter_map(verifier).collect::<Vec<_>>() })))
}

async fn attempts(State(place): Here, headers: HeaderMap, Path(name): Path<String>) -> Answered {
    let (of, _) = find(&place, &headers, &name)?;
    Ok(Json(json!({ "attempts": place.shared.tools.store.attempts(&of, LISTED_MAX).await? })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default)]
    after: u64,
}

/// A page of dead letters; the next begins after the last one's `sequence`.
async fn dead(
    State(place): Here,
    headers: HeaderMap,
    Path(name): Path<String>,
    from: Result<Query<After>, QueryRejection>,
) -> Answered {
    let (of, _) = find(&place, &headers, &name)?;
    let Query(from) = from?;
    let dead = place.shared.tools.store.dead(&of, from.after, LISTED_MAX).await?;
    let shown = dead.into_iter().map(|(sequence, dead)| {
        let event: Map<String, Value> = serde_json::from_str(&dead.kept.event).unwrap_or_default();
        json!({
            "sequence": sequence,
            "moment": event.get("type"),
            "moment_id": event.get("id"),
            "subject": event.get("subject"),
            "time": event.get("time"),
            "given_up": Time(dead.given_up).to_string(),
            "attempts": dead.kept.failed,
            "reason": dead.reason,
        })
    });
    Ok(Json(json!({ "dead": shown.collect::<Vec<_>>() })))
}

/// Sends a made-up moment, once and now.
async fn test(State(place): Here, headers: HeaderMap, Path(name): Path<String>) -> Answered {
    let (of, known) = find(&place, &headers, &name)?;
    let shared = place.shared;
    let subscription = Subscription::new(&known.account, &known.entry, &shared.secrets);
    let subscription = subscription.map_err(|error| Refused::Wrong(error.to_string()))?;
    let now = (shared.tools.clock)();
    let told = sample(&known.account, now).ok_or_else(|| Refused::Away("no sample".to_owned()))?;
    let (_, attempt) = told.deliver(&subscription, &shared.tools, 0).await;
    shared.tools.store.commit(&of, vec![Change::Attempt(attempt.clone())]).await?;
    Ok(Json(json!({ "attempt": attempt })))
}

/// A call that never was, from and to numbers that are nobody's.
fn sample(account: &str, now: Time) -> Option<Told> {
    let id = uuid::Uuid::new_v4();
    let mut data: Map<String, Value> = crate::lake::json::schema(crate::lake::TableName::Calls)
        .fields()
        .iter()
        .map(|field| (field.name().clone(), Value::Null))
        .collect();
    for (name, value) in [
        ("account", json!(account)),
        ("date", json!(now.date().to_string())),
        ("call_id", json!(format!("test-{id}"))),
        ("started_at", json!(now.to_string())),
        ("direction", json!("inbound")),
        ("caller", json!("+12025550143")),
        ("tracking_number", json!("+12025550100")),
        ("attribution_method", json!("none")),
        ("talk_seconds", json!(0.0)),
        ("revision", json!(0)),
        ("changes", json!([])),
    ] {
        data.insert(name.to_owned(), value);
    }
    let event = json!({
        "specversion": "1.0", "id": format!("test:{id}"), "source": format!("callweave/{account}"), "type": "call.started",
        "time": now.to_string(), "subject": format!("test-{id}"), "datacontenttype": "application/json", "account": account,
        "test": true, "data": data,
    });
    Told::read(event.to_string(), now)
}

/// Which dead letters are sent again: those named, those of a span of the log, or all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    sequences: Option<Vec<u64>>,
    from: Option<u64>,
    to: Option<u64>,
}

async fn resend(State(place): Here, headers: HeaderMap, Path(name): Path<String>, request: Request) -> Answered {
    let (of, known) = find(&place, &headers, &name)?;
    let body = Bytes::from_request(request, &()).await?;
    let shared = place.shared;
    let wanted: Wanted = if body.is_empty() { parsed(b"{}")? } else { parsed(&body)? };
    let span = wanted.from.unwrap_or(0)..=wanted.to.unwrap_or(u64::MAX);
    let (store, now) = (&shared.tools.store, (shared.tools.clock)());
    let (mut after, mut sent) = (span.start().saturating_sub(1), 0);
    loop {
        let page = store.dead(&of, after, LISTED_MAX).await?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (sequence, dead) in page {
            let named = wanted.sequences.as_ref().is_none_or(|all| all.contains(&sequence));
            if !span.contains(&sequence) || !named {
                continue;
            }
            let kept = Kept { failed: 0, due: now.0, ..dead.kept };
            let call = kept.call;
            store.commit(&of, vec![Change::Revive(sequence, kept)]).await?;
            // A worker that is not there finds it on disk when it begins.
            if let Some(commands) = &known.commands {
                let _ = commands.send(Command::Revived { sequence, call }).await;
            }
            sent += 1;
        }
    }
    Ok(Json(json!({ "resent": sent })))
}

/// Goes on where it was stopped by the receiver's wish.
async fn enable(State(place): Here, headers: HeaderMap, Path(name): Path<String>) -> Answered {
    let (of, _) = find(&place, &headers, &name)?;
    let shared = place.shared;
    shared.tools.store.commit(&of, vec![Change::Go]).await?;
    edit::look(&shared).await;
    Ok(Json(json!({ "enabled": name })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_object_with_all_that_is_needed() {
        let needed = ["name", "url"];
        let webhook = |body: &str| understood::<Webhook>(body.as_bytes(), &needed).map_err(|wrong| wrong.to_string());
        let read = webhook(r#" {"name": "q", "url": "https://example.com/"}"#).expect("a subscription");
        assert_eq!((read.name.as_str(), read.url.as_str()), ("q", "https://example.com/"));
        for (body, says) in [
            ("", "it is no JSON object"),
            (r#"["q", "https://example.com/"]"#, "it is no JSON object"),
            ("{}", "name and url are missing"),
            (r#"{"name": "q"}"#, "url is missing"),
            (r#"{"name": "q", "link": "https://example.com/"}"#, "there is no member link"),
            (r#"{"name": "q", "url": 7}"#, "invalid type"),
        ] {
            let wrong = webhook(body).expect_err(body);
            assert!(wrong.contains(says), "{body}: {wrong}");
        }
        let (given, known) = (json!({"a": [{"b": [1]}], "d": []}), json!({"a": [{"b": {"c": 1}}], "d": []}));
        assert_eq!(nameless_in(&given, &known, "").as_deref(), Some("a[0].b"));
        assert_eq!(nameless_in(&known, &known, ""), None);
        assert!(parsed::<Wanted>(b"[[1], 2, 3]").is_err() && parsed::<Wanted>(b"{}").is_ok());
    }
}
