//! Answers over HTTP, where nothing is taken in: at `listen.collect`, without a collector.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Failure, Up, clock};
use crate::collect::{Admin, Listener, Ready, starting};
use crate::config::Config;
use crate::query::{self, ServeError};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::troubles::Troubles;

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Failure {
        if error.is_usage() { Failure::Usage(error.to_string()) } else { Failure::failed(error) }
    }
}

/// Health and metrics have the address of what else is served over HTTP. Port 0 twice is two free ports.
pub fn is_one_address(config: &Config) -> bool {
    config.listen.admin == config.listen.collect && config.listen.admin.port() != 0
}

/// What is answered over HTTP.
pub struct Answers {
    pub routes: Router,
    /// Told at `/readyz`, where health has this address, too.
    pub ready: Ready,
}

impl Answers {
    /// Serves until `shutdown`, as one of `tasks`; where.
    pub async fn serve(
        self,
        config: &Config,
        metrics: &Metrics,
        shutdown: &CancellationToken,
        tasks: &mut JoinSet<Result<(), Failure>>,
    ) -> Result<SocketAddr, Failure> {
        let Answers { mut routes, ready } = self;
        let listener = Listener::bind("listen.collect", config.listen.collect).await.map_err(Failure::failed)?;
        let address = listener.address;
        tracing::info!(collect = %address, "answering over http");
        if is_one_address(config) {
            routes = routes.merge(Admin::routes(ready, metrics.clone(), shutdown.clone()));
            tracing::info!(admin = %address, "serving health and metrics");
        }
        let (limits, metrics, shutdown) = (config.limits.clone(), metrics.clone(), shutdown.clone());
        tasks.spawn(async move {
            listener.serve(routes, &limits, &metrics, shutdown).await;
            Ok(())
        });
        Ok(address)
    }
}

/// Health and metrics of a process without a log; nothing where they are served with its answers, or nowhere.
async fn admin(config: &Config, metrics: &Metrics, shutdown: &CancellationToken) -> Result<Option<Admin>, Failure> {
    if is_one_address(config) {
        return Ok(None);
    }
    let (address, limits, ready) = (config.listen.admin, config.limits.clone(), starting(Troubles::default()));
    let admin = match Admin::open(address, limits, metrics.clone(), ready, shutdown.clone()).await {
        // The `up` beside it has the usual address.
        Err(error) if address == Config::default().listen.admin => {
            tracing::warn!(%error, "health and metrics are served nowhere: give listen.admin an address");
            return Ok(None);
        }
        admin => admin.map_err(Failure::failed)?,
    };
    tracing::info!(address = %admin.address(), "telling of health, and starting");
    Ok(Some(admin))
}

impl Up {
    /// Answers queries without a log: the embedded one is another process's, and the logins are those configured.
    pub(super) async fn answer_alone(
        config: &Config,
        metrics: Metrics,
        shutdown: CancellationToken,
    ) -> Result<Up, Failure> {
        let admin = admin(config, &metrics, &shutdown).await?;
        let server = query::Server::open(config, None, clock, &metrics).await?;
        let postgres = server.postgres_address();
        // It has no log to wait for: it is ready as soon as it answers.
        let ready: Ready = Arc::new(|| Box::pin(async { Ok(()) }));
        let mut tasks = JoinSet::new();
        let answers = Answers { routes: server.routes(), ready: ready.clone() };
        let address = answers.serve(config, &metrics, &shutdown, &mut tasks).await?;
        server.tell();
        if let Some(admin) = &admin {
            admin.health().ready_when(ready).await;
            tracing::info!(admin = %admin.address(), "serving health and metrics");
        }
        tasks.spawn({
            let shutdown = shutdown.clone();
            async move {
                server.run(shutdown.clone()).await;
                shutdown.cancelled().await;
                if let Some(admin) = admin {
                    admin.close().await;
                }
                Ok(())
            }
        });
        Ok(Up { collect: Some(address), postgres, metrics, shutdown, roles: tasks })
    }
}
