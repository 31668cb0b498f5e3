//! The collector put together.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use callweave_core::source::Surveyor;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::accounts::Accounts;
use super::admin::{Health, Ready, health_routes, metrics_routes, schema_routes};
use super::admission::Admission;
use super::events::{self, Events};
use super::script;
use super::server::{BindError, Drained, Listener};
use super::web::Web;
use super::web::numbers::Dealer;
use crate::config::{Account, Config, Keys, Limits, Listen, Network};
use crate::lease::Desk;
use crate::log::SharedLog;
use crate::log::batching::{BatchOptions, Batcher};
use crate::telemetry::metrics::Metrics;

/// What a collector is made of.
pub struct Collect {
    pub listen: Listen,
    pub limits: Limits,
    pub keys: Keys,
    /// Whose browsers are served.
    pub accounts: Vec<Account>,
    pub trusted_proxies: Vec<Network>,
    /// What tells of a visit, for routes: it finds places if it was given some.
    pub surveyor: Surveyor,
}

/// A collector that listens; it accepts once it runs.
pub struct Bound {
    collect: Listener,
    /// `None`: metrics are served at the address of the events.
    admin: Option<Listener>,
    events: Arc<Events>,
    web: Arc<Web>,
    ready: Ready,
}

impl Collect {
    pub fn of(config: &Config) -> Collect {
        Collect {
            listen: config.listen,
            limits: config.limits.clone(),
            keys: Keys::of(config.accounts.values()),
            accounts: config.accounts.values().cloned().collect(),
            trusted_proxies: config.trusted_proxies.clone(),
            surveyor: Surveyor::default(),
        }
    }

    /// Routes go by these places, too.
    pub fn with_places(self, surveyor: Surveyor) -> Collect {
        Collect { surveyor, ..self }
    }

    /// Takes the addresses. What `ready` says is told at `/readyz` ([`super::log_answers`], or more).
    ///
    /// # Errors
    /// An address cannot be listened on.
    pub async fn bind(self, log: SharedLog, metrics: Metrics, ready: Ready) -> Result<Bound, BindError> {
        let Collect { listen, limits, keys, accounts, trusted_proxies, surveyor } = self;
        let collect = Listener::bind("listen.collect", listen.collect).await?;
        // Port 0 twice is two free ports.
        let shared = listen.admin == listen.collect && listen.admin.port() != 0;
        let admin = if shared { None } else { Some(Listener::bind("listen.admin", listen.admin).await?) };
        let options = BatchOptions::default();
        // A body that was let in must fit.
        let pending_bytes = options.pending_bytes.max(usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX));
        let desk = Desk::new(log.clone(), metrics.clone());
        let events = Arc::new(Events {
            admission: Admission::new(keys, &limits, metrics.clone()),
            accounts: Accounts::new(&accounts, log.clone(), limits.site_requests_per_second),
            limits,
            payload_max: log.max_payload(),
            batcher: Batcher::new(log, BatchOptions { pending_bytes, ..options }),
            metrics,
        });
        let web = Web::new(events.clone(), Dealer::new(desk, &surveyor), trusted_proxies);
        Ok(Bound { collect, admin, events, web, ready })
    }
}

impl Bound {
    /// Where events are taken, also where port 0 was asked for.
    pub fn collect_address(&self) -> SocketAddr {
        self.collect.address
    }

    /// Where metrics and health are served.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.as_ref().unwrap_or(&self.collect).address
    }

    /// Serves until `shutdown`, then finishes what is in flight: `limits.drain` at most, and as long as the log takes to
    /// confirm what it was given, `limits.append` at most. Health and metrics are served until then.
    pub async fn run(self, shutdown: CancellationToken) -> Drained {
        let Bound { collect, admin, events, web, ready } = self;
        let (limits, metrics, batcher) = (events.limits.clone(), events.metrics.clone(), events.batcher.clone());
        let health = Health::new(ready, shutdown.clone());
        let mut routes = Router::new().route("/v1/events", post(events::post)).with_state(events);
        routes = routes.merge(web.routes()).merge(script::routes());
        routes = routes.merge(schema_routes()).merge(health_routes(health.clone()));
        if admin.is_none() {
            routes = routes.merge(metrics_routes(metrics.clone()));
        }
        let drained = CancellationToken::new();
        let beside = async {
            match admin {
                Some(admin) => {
                    let routes = health_routes(health).merge(metrics_routes(metrics.clone()));
                    admin.serve(routes, &limits, &metrics, drained.clone()).await;
                }
                None => drained.cancelled().await,
            }
        };
        let work = async {
            let ended = collect.serve(routes, &limits, &metrics, shutdown).await;
            if timeout(limits.append, batcher.close()).await.is_err() {
                tracing::warn!("the log did not confirm everything in time; nothing of it was acknowledged");
            }
            drained.cancel();
            ended
        };
        let (ended, ()) = tokio::join!(work, beside);
        ended
    }
}
