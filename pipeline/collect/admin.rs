//! Health and metrics, for load balancers, orchestrators and Prometheus. Every role serves them; the collector does so
//! beside its events.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::replies::Refusal;
use super::server::{BindError, Drained, Listener};
use crate::config::Limits;
use crate::log::{Log, SharedLog, Watched};
use crate::problem;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::troubles::Troubles;

/// Asks whether the role can do its work now; if not, the reason.
pub type Ready = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// An answer that takes longer is none.
const READY_TIME: Duration = Duration::from_secs(2);
/// The log has less time, so that it is named where it is the one that does not answer.
const LOG_TIME: Duration = Duration::from_millis(1500);
const NO_LOG: &str = "the log does not answer: NATS is away, or the disk of the embedded log hangs";
/// How long an answer counts, so that asking often costs nothing.
const READY_KEPT: Duration = Duration::from_secs(1);

/// Ready when the log answers.
pub fn log_answers(log: SharedLog) -> Ready {
    Arc::new(move || {
        let log = log.clone();
        Box::pin(async move {
            let asked = timeout(LOG_TIME, log.last_sequence(0)).await.map_err(|_| NO_LOG.to_owned())?;
            asked.map(|_| ()).map_err(|error| error.to_string())
        })
    })
}

/// Ready when the log answers, and takes again what it refused.
pub fn log_takes(log: Arc<Watched>) -> Ready {
    Arc::new(move || {
        let log = log.clone();
        Box::pin(async move {
            let asked = async {
                log.last_sequence(0).await.map_err(|error| error.to_string())?;
                log.look_again().await;
                Ok(())
            };
            timeout(LOG_TIME, asked).await.unwrap_or_else(|_| Err(NO_LOG.to_owned()))
        })
    })
}

/// Ready when that is, and nothing that was tried last has failed.
pub fn untroubled(ready: Ready, troubles: Troubles) -> Ready {
    Arc::new(move || {
        let (ready, troubles) = (ready.clone(), troubles.clone());
        Box::pin(async move {
            ready().await?;
            troubles.told().map_or(Ok(()), Err)
        })
    })
}

/// Not ready, because of these or because it has just begun.
pub fn starting(troubles: Troubles) -> Ready {
    Arc::new(move || {
        let told = troubles.told().unwrap_or_else(|| "starting".to_owned());
        Box::pin(async move { Err(told) })
    })
}

/// Whether the role is ready, asked at most once a second.
pub struct Health {
    ready: SyncMutex<Ready>,
    stopping: CancellationToken,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Health {
    pub fn new(ready: Ready, stopping: CancellationToken) -> Arc<Health> {
        Arc::new(Health { ready: SyncMutex::new(ready), stopping, last: Mutex::new(None) })
    }

    /// From now on it is ready when this is.
    pub async fn ready_when(&self, ready: Ready) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = ready;
        *self.last.lock().await = None;
    }

    async fn ask(&self) -> Result<(), String> {
        if self.stopping.is_cancelled() {
            return Err("stopping".to_owned());
        }
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < READY_KEPT
        {
            return answer.clone();
        }
        let asked = {
            let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            ready()
        };
        let answer = timeout(READY_TIME, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} seconds", READY_TIME.as_secs())));
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

/// `/livez` and `/readyz`.
pub fn health_routes(health: Arc<Health>) -> Router {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(readyz)).with_state(health)
}

/// `/metrics`.
pub fn metrics_routes(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(render)).with_state(metrics)
}

/// `/v1/schemas/TYPE`.
pub fn schema_routes() -> Router {
    Router::new().route("/v1/schemas/{name}", get(schema))
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    match health.ask().await {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

async fn render(State(metrics): State<Metrics>) -> Response {
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], metrics.render()).into_response()
}

async fn schema(Path(name): Path<String>) -> Response {
    match callweave_core::event::schema(&name) {
        Some(schema) => problem::json(StatusCode::OK, HeaderValue::from_static("application/schema+json"), &schema),
        None => Refusal::NotFound.into_response(),
    }
}

/// The admin address, served from its opening on: what waits for something at its start lives, and is not ready.
pub struct Admin {
    address: SocketAddr,
    health: Arc<Health>,
    closing: CancellationToken,
    served: AbortOnDropHandle<Drained>,
}

impl Admin {
    /// Serves. From `stopping` on the role is not ready any more.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn open(
        address: SocketAddr,
        limits: Limits,
        metrics: Metrics,
        ready: Ready,
        stopping: CancellationToken,
    ) -> Result<Admin, BindError> {
        let listener = Listener::bind("listen.admin", address).await?;
        let (address, health, closing) = (listener.address, Health::new(ready, stopping), CancellationToken::new());
        let routes = health_routes(health.clone()).merge(metrics_routes(metrics.clone()));
        let until = closing.clone();
        let serving = async move { listener.serve(routes, &limits, &metrics, until).await };
        Ok(Admin { address, health, closing, served: AbortOnDropHandle::new(tokio::spawn(serving)) })
    }

    /// What it would serve, for an address at which other things are served, too.
    pub fn routes(ready: Ready, metrics: Metrics, stopping: CancellationToken) -> Router {
        health_routes(Health::new(ready, stopping)).merge(metrics_routes(metrics))
    }

    /// The address it has, also where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Accepts nothing more, and finishes what is in flight.
    pub async fn close(self) {
        self.closing.cancel();
        let _ = self.served.await;
    }
}
