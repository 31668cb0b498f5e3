//! `GET /v1/stream`: the account's moments as server-sent events, resumable by `Last-Event-ID`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use callweave_core::moment::MomentKind;
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::filter::Filter;
use super::routes::{Refused, account_of};
use super::service::Shared;
use crate::log::{Entries, Entry, ReadError, Subject};
use crate::telemetry::metrics::Metrics;

/// Streams of all accounts that are open at once.
const STREAMS_MAX: usize = 256;
/// A comment is sent this often where nothing happens, so that nobody in between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

static OPEN: AtomicUsize = AtomicUsize::new(0);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Names with commas between; all if absent.
    moments: Option<String>,
    /// A condition over the row.
    filter: Option<String>,
}

/// A place among the streams, given back when dropped.
struct Place(Metrics);

impl Place {
    fn take(metrics: &Metrics) -> Result<Place, Refused> {
        let room = |open: usize| (open < STREAMS_MAX).then_some(open + 1);
        OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).map_err(|_| Refused::Full(STREAMS_MAX))?;
        metrics.stream_open.inc();
        Ok(Place(metrics.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
        self.0.stream_open.dec();
    }
}

/// What one listener is told.
struct Listener {
    shared: Arc<Shared>,
    account: Arc<str>,
    moments: Option<Vec<MomentKind>>,
    filter: Option<Filter>,
    entries: Entries,
    ready: VecDeque<Event>,
    _place: Place,
}

pub async fn get(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Refused> {
    let account = account_of(&shared, &headers)?;
    let Query(wanted) = wanted?;
    let moments = wanted.moments.as_deref().map(named).transpose()?;
    let filter = wanted.filter.as_deref().map(Filter::parse).transpose();
    let filter = filter.map_err(|error| Refused::Wrong(error.to_string()))?;
    let place = Place::take(&shared.tools.metrics)?;
    let away = |error: ReadError| Refused::Away(error.to_string());
    let log = &shared.tools.moments;
    let (first, last) = (log.first_sequence(0).await.map_err(away)?, log.last_sequence(0).await.map_err(away)?);
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    // What is gone cannot be told, and what was never there neither.
    let after = seen.unwrap_or(last).clamp(first.saturating_sub(1), last.max(first.saturating_sub(1)));
    let listener = Listener {
        entries: log.read(0, after),
        moments,
        ready: VecDeque::new(),
        _place: place,
        shared: shared.clone(),
        account,
        filter,
    };
    // The beginning is told at once: whoever connects knows that it listens.
    let begun = stream::once(async { Ok::<_, Infallible>(Event::default().comment("listening")) });
    let told = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let stopping = shared.stopping.clone();
    let told = begun.chain(told).take_until(async move { stopping.cancelled().await });
    let events = Sse::new(told).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([(header::CACHE_CONTROL, "no-store")], events).into_response())
}

/// The moments that are named. Of an unknown one nothing would ever be told, and nobody would know why.
fn named(names: &str) -> Result<Vec<MomentKind>, Refused> {
    let known =
        |name: &str| MomentKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| name.to_owned());
    let kinds: Result<Vec<MomentKind>, String> = names.split(',').map(|name| known(name.trim())).collect();
    kinds.map_err(|name| {
        let name: String = name.chars().take(64).collect();
        let all: Vec<&str> = MomentKind::ALL.iter().map(|kind| kind.name()).collect();
        Refused::Parameter(format!("there is no moment {name:?}; moments names some of {}", all.join(", ")))
    })
}

impl Listener {
    /// The next event; nothing where the log cannot be read on: the listener connects again.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.entries.next().await? {
                Ok(batch) => {
                    let own: Vec<Event> = batch.iter().filter_map(|entry| self.own(entry)).collect();
                    self.ready.extend(own);
                }
                Err(ReadError::Lost { first, .. }) => {
                    self.entries = self.shared.tools.moments.read(0, first - 1);
                    self.ready.push_back(Event::default().comment("some are gone: they outlived the log"));
                }
                Err(error) => {
                    tracing::warn!(%error, "a stream ends: moments cannot be read");
                    return None;
                }
            }
        }
    }

    fn own(&self, entry: &Entry) -> Option<Event> {
        let account = Subject::account_of_moment(&entry.subject)?;
        let text = std::str::from_utf8(&entry.payload).ok().filter(|_| *account == *self.account)?;
        let event: Map<String, Value> = serde_json::from_str(text).ok()?;
        let moment = event.get("type")?.as_str()?;
        let wanted = self.moments.as_ref().is_none_or(|all| all.iter().any(|kind| kind.name() == moment));
        let met = match (&self.filter, event.get("data").and_then(Value::as_object)) {
            (Some(filter), Some(data)) => filter.is_met(moment, data).unwrap_or(true),
            _ => true,
        };
        (wanted && met).then(|| Event::default().id(entry.sequence.to_string()).event(moment).data(text))
    }
}
