//! `callweave worker`: parts of statements, for coordinators on other machines.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Failure, block_on, start_logs, stop_on_signal};
use crate::collect::Admin;
use crate::config::Config;
use crate::query::{WorkerError, WorkerServer};
use crate::telemetry::metrics::Metrics;

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Failure {
        if error.is_usage() { Failure::Usage(error.to_string()) } else { Failure::failed(error) }
    }
}

/// Works until it is told to stop (SIGINT, SIGTERM, SIGHUP).
pub fn worker(config: &Config) -> Result<(), Failure> {
    start_logs(config)?;
    block_on(async {
        let metrics = Metrics::new();
        let shutdown = CancellationToken::new();
        tokio::spawn(stop_on_signal(shutdown.clone()));
        let server = WorkerServer::open(config, &metrics).await?;
        // It has nobody to wait for: it is ready as soon as it listens.
        let ready = Arc::new(|| Box::pin(async { Ok(()) }) as _);
        let limits = config.limits.clone();
        let admin = Admin::open(config.listen.admin, limits, metrics, ready, shutdown.clone()).await;
        let admin = admin.map_err(Failure::failed)?;
        let worker = server.address().map_err(Failure::failed)?;
        tracing::info!(%worker, "taking parts of statements");
        tracing::info!(admin = %admin.address(), "serving health and metrics");
        let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();
        tasks.spawn({
            let shutdown = shutdown.clone();
            async move { server.run(shutdown).await.map_err(Failure::failed) }
        });
        tasks.spawn({
            let shutdown = shutdown.clone();
            async move {
                shutdown.cancelled().await;
                admin.close().await;
                Ok(())
            }
        });
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            shutdown.cancel();
            let ended = ended.unwrap_or_else(|error| Err(Failure::failed(error)));
            result = result.and(ended);
        }
        result
    })
}
