//! The collector put together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use callweave_core::source::Surveyor;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::accounts::Accounts;
use super::admin::{Admin, Health, Ready, health_routes, metrics_routes, schema_routes};
use super::admission::Admission;
use super::callback::{Callbacks, Caller};
use super::events::{self, Events};
use super::follow::{self, FollowError, Follower};
use super::hooks::{Hooks, HooksOptions};
use super::intake::LookOver;
use super::outbox::Outbox;
use super::script;
use super::server::{BindError, Drained, Listener};
use super::spool::{self, Spool};
use super::web::Web;
use super::web::numbers::Dealer;
use crate::config::{Account, Config, Keys, Limits, Listen, Network, Telephony};
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
    /// This machine's own folder: events that wait for the log lie in its `spool`.
    pub data: PathBuf,
    /// By account.
    pub telephony: BTreeMap<String, Telephony>,
    /// Where others reach it; absent: its own address, which no provider can reach.
    pub public_url: Option<String>,
    /// What other roles of this process serve at the same address.
    pub beside: Router,
    /// Of settings that come as events.
    pub look_over: LookOver,
    /// Where health and metrics are served already.
    pub admin: Option<Admin>,
}

/// Why a collector cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Spool(#[from] spool::OpenError),
    #[error(transparent)]
    Follow(#[from] FollowError),
}

/// A collector that listens; it accepts once it runs.
pub struct Bound {
    collect: Listener,
    /// `None`: metrics are served at the address of the events.
    admin: Option<Admin>,
    events: Arc<Events>,
    web: Arc<Web>,
    hooks: Arc<Hooks>,
    spool: Arc<Spool>,
    outbox: Outbox,
    followers: Vec<Follower>,
    caller: Caller,
    health: Arc<Health>,
    /// Health's, which is served from the start on.
    stopping: CancellationToken,
    beside: Router,
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
            data: config.data.clone(),
            telephony: config.telephony.clone(),
            public_url: config.public_url.clone(),
            beside: Router::new(),
            look_over: |_| Vec::new(),
            admin: None,
        }
    }

    /// Health and metrics are served there already, and told from now on what [`Collect::bind`] is given.
    pub fn with_admin(self, admin: Option<Admin>) -> Collect {
        Collect { admin, ..self }
    }

    /// Settings that come as events are refused where this finds something wrong in them.
    pub fn with_look_over(self, look_over: LookOver) -> Collect {
        Collect { look_over, ..self }
    }

    /// Serves these, too.
    pub fn with_routes(self, beside: Router) -> Collect {
        Collect { beside, ..self }
    }

    /// Routes go by these places, too.
    pub fn with_places(self, surveyor: Surveyor) -> Collect {
        Collect { surveyor, ..self }
    }

    /// Takes the addresses. What `ready` says is told at `/readyz` ([`super::log_answers`], or more).
    ///
    /// # Errors
    /// An address cannot be listened on, the spool not be opened, or what is followed not be understood.
    pub async fn bind(self, log: SharedLog, metrics: Metrics, ready: Ready) -> Result<Bound, StartError> {
        let Collect {
            listen,
            limits,
            keys,
            accounts,
            trusted_proxies,
            surveyor,
            data,
            telephony,
            public_url,
            beside,
            look_over,
            admin,
        } = self;
        let collect = Listener::bind("listen.collect", listen.collect).await?;
        // Port 0 twice is two free ports.
        let shared = listen.admin == listen.collect && listen.admin.port() != 0;
        let stopping = CancellationToken::new();
        let admin = match admin {
            None if !shared => {
                let (limits, metrics, ready) = (limits.clone(), metrics.clone(), ready.clone());
                Some(Admin::open(listen.admin, limits, metrics, ready, stopping.clone()).await?)
            }
            admin => admin,
        };
        let health = match &admin {
            Some(admin) => admin.health().clone(),
            None => Health::new(ready.clone(), stopping.clone()),
        };
        let options = BatchOptions::default();
        // A body that was let in must fit.
        let pending_bytes = options.pending_bytes.max(usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX));
        let desk = Desk::new(log.clone(), metrics.clone());
        let (callbacks, jobs) = Callbacks::new(metrics.clone());
        let events = Arc::new(Events {
            admission: Admission::new(keys, &limits, metrics.clone()),
            accounts: Accounts::new(&accounts, log.clone(), limits.site_requests_per_second),
            limits,
            payload_max: log.max_payload(),
            callbacks,
            batcher: Batcher::new(log, BatchOptions { pending_bytes, ..options }),
            metrics,
            look_over,
        });
        let spool = Spool::open(data.join("spool"), events.limits.spool_bytes, events.metrics.clone())?;
        let spool = Arc::new(spool);
        let outbox = Outbox::new(events.batcher.clone(), spool.clone(), events.payload_max, events.metrics.clone());
        let public_url = public_url.unwrap_or_else(|| format!("http://{}", collect.address));
        let mut followers = Vec::new();
        for (account, telephony) in &telephony {
            for follow in &telephony.follow {
                followers.push(Follower::new(account, follow, &data).await?);
            }
        }
        let caller = Caller {
            queue: jobs,
            telephony: telephony.clone(),
            public_url: public_url.clone(),
            outbox: outbox.clone(),
            metrics: events.metrics.clone(),
            drain: events.limits.drain,
        };
        let options = HooksOptions { telephony, public_url, trusted_proxies: trusted_proxies.clone() };
        let names = accounts.iter().map(|account| account.name.as_str());
        let hooks = Hooks::new(events.clone(), outbox.clone(), names, options);
        let web = Web::new(events.clone(), Dealer::new(desk, &surveyor), trusted_proxies);
        // What was looked at once is known when the log is away.
        events.accounts.look_at_all().await;
        health.ready_when(ready).await;
        Ok(Bound { collect, admin, events, web, hooks, spool, outbox, followers, caller, health, stopping, beside })
    }
}

impl Bound {
    /// Where events are taken, also where port 0 was asked for.
    pub fn collect_address(&self) -> SocketAddr {
        self.collect.address
    }

    /// Where metrics and health are served.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.as_ref().map_or(self.collect.address, Admin::address)
    }

    /// Serves until `shutdown`, then finishes what is in flight: `limits.drain` at most, what a provider that is asked for
    /// a call takes to answer, and as long as the log takes to confirm what it was given, `limits.append` at most. Health
    /// and metrics are served until then.
    pub async fn run(self, shutdown: CancellationToken) -> Drained {
        let Bound { collect, admin, events, web, hooks, spool, outbox, followers, caller, health, stopping, beside } =
            self;
        let (limits, metrics, batcher) = (events.limits.clone(), events.metrics.clone(), events.batcher.clone());
        let is_told = {
            let shutdown = shutdown.clone();
            async move {
                shutdown.cancelled().await;
                stopping.cancel();
            }
        };
        let served = CancellationToken::new();
        let beside_http = tokio::spawn({
            let (events, stop, served) = (events.clone(), shutdown.clone(), served.clone());
            async move {
                tokio::join!(
                    follow::run(followers, &outbox, &events, &stop),
                    caller.run(&events.accounts, stop.clone(), served)
                );
            }
        });
        let mut routes = Router::new().route("/v1/events", post(events::post)).with_state(events);
        routes = routes.merge(web.routes()).merge(script::routes()).merge(hooks.routes());
        routes = routes.merge(schema_routes()).merge(health_routes(health)).merge(beside);
        if admin.is_none() {
            routes = routes.merge(metrics_routes(metrics.clone()));
        }
        let drained = CancellationToken::new();
        let delivering = CancellationToken::new();
        let deliveries = tokio::spawn(spool.run(batcher.clone(), delivering.clone()));
        let beside = async {
            drained.cancelled().await;
            if let Some(admin) = admin {
                admin.close().await;
            }
        };
        let work = async {
            let ended = collect.serve(routes, &limits, &metrics, shutdown).await;
            served.cancel();
            // Followers put what they have read where it is safe; calls back that wait are asked for, or told as failed.
            let _ = beside_http.await;
            delivering.cancel();
            // It ends by itself, and what it has not delivered stays on disk.
            let _ = deliveries.await;
            if timeout(limits.append, batcher.close()).await.is_err() {
                tracing::warn!("the log did not confirm everything in time; nothing of it was acknowledged");
            }
            drained.cancel();
            ended
        };
        let (ended, (), ()) = tokio::join!(work, beside, is_told);
        ended
    }
}
