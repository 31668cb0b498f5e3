//! Health and metrics, for load balancers, orchestrators and Prometheus. Every role serves them; the collector does so
//! beside its events.

use std::net::SocketAddr;
use std::sync::Arc;
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

use super::replies::Refusal;
use super::server::{BindError, Drained, Listener};
use crate::config::Limits;
use crate::log::SharedLog;
use crate::problem;
use crate::telemetry::metrics::Metrics;

/// Asks whether the role can do its work now; if not, the reason.
pub type Ready = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// An answer that takes longer is none.
const READY_TIME: Duration = Duration::from_secs(2);
/// How long an answer counts, so that asking often costs nothing.
const READY_KEPT: Duration = Duration::from_secs(1);

/// Ready when the log answers.
pub fn log_answers(log: SharedLog) -> Ready {
    Arc::new(move || {
        let log = log.clone();
        Box::pin(async move { log.last_sequence(0).await.map(|_| ()).map_err(|error| error.to_string()) })
    })
}

/// Whether the role is ready, asked at most once a second.
pub struct Health {
    ready: Ready,
    stopping: CancellationToken,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Health {
    pub fn new(ready: Ready, stopping: CancellationToken) -> Arc<Health> {
        Arc::new(Health { ready, stopping, last: Mutex::new(None) })
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
        let answer = timeout(READY_TIME, (self.ready)()).await;
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

/// The admin address of a role that takes no events.
pub struct Admin {
    listener: Listener,
    limits: Limits,
    metrics: Metrics,
    ready: Ready,
}

impl Admin {
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(address: SocketAddr, metrics: Metrics, ready: Ready) -> Result<Admin, BindError> {
        Ok(Admin {
            listener: Listener::bind("listen.admin", address).await?,
            limits: Limits::default(),
            metrics,
            ready,
        })
    }

    /// The address it has, also where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.listener.address
    }

    /// Serves until `shutdown`. `stopping` comes before it: from then on the role is not ready any more.
    pub async fn run(self, stopping: CancellationToken, shutdown: CancellationToken) -> Drained {
        let routes = health_routes(Health::new(self.ready, stopping)).merge(metrics_routes(self.metrics.clone()));
        self.listener.serve(routes, &self.limits, &self.metrics, shutdown).await
    }
}
