//! The role `worker`: does the parts of statements that coordinators send it, over its own copy or mount of the lake.

use std::net::SocketAddr;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionContext;
use datafusion_distributed::{
    DistributedExt, Worker, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, WorkerQueryContext,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codegen::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::badge::{ALIVE_EVERY, ALIVE_TIME, Badge, Peers};
use super::codec::Codec;
use super::lake::{OnlyLake, of_lake};
use super::planner::look_over;
use super::whole::whole;
use crate::config::{Config, FirstRunError, mask_key};
use crate::lake::location;
use crate::query::QueryError;
use crate::query::access::MaskKey;
use crate::query::checked;
use crate::query::desk;
use crate::query::reckon;
use crate::query::removal;
use crate::query::server::names_no_lake;
use crate::query::session::{add_functions, bounded_runtime};
use crate::query::yields::yielding;
use crate::telemetry::metrics::Metrics;

/// Bytes of one plan. Its values stand in it: a long list of them makes it long.
const PLAN_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Secret(#[from] FirstRunError),
    #[error(
        "listen.worker: {0} is open to other machines, and whoever reaches a worker reads the whole lake: give \
         query.workers_secret_file, the same on every machine, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    #[error(
        "listen.worker: {address} cannot be listened on: {error}; give another address, or stop what listens there"
    )]
    Bind { address: SocketAddr, error: std::io::Error },
    #[error("no threads can be started for queries: {0}; let this user have more of them")]
    Threads(std::io::Error),
    #[error("the worker's socket failed: {0}")]
    Serve(#[from] tonic::transport::Error),
}

impl WorkerError {
    /// Whether the configuration is wrong (exit status 2), as against something that broke (1).
    pub fn is_usage(&self) -> bool {
        match self {
            WorkerError::Open(_) => true,
            WorkerError::Secret(error) => error.is_usage(),
            WorkerError::Query(error) => names_no_lake(error),
            WorkerError::Bind { .. } | WorkerError::Threads(_) | WorkerError::Serve(_) => false,
        }
    }
}

/// Refuses a worker that others can reach without a secret.
///
/// # Errors
/// With its address.
pub fn refuse_open(config: &Config) -> Result<(), WorkerError> {
    let address = config.listen.worker;
    let is_open = config.query.workers_secret.is_none() && !address.ip().is_loopback();
    if is_open { Err(WorkerError::Open(address)) } else { Ok(()) }
}

/// A worker that listens; it answers once it runs.
pub struct WorkerServer {
    socket: TcpListener,
    worker: Worker,
    badge: Badge,
}

impl WorkerServer {
    /// # Errors
    /// The lake is not there, the address is taken, or it is open to others and there is no secret.
    pub async fn open(config: &Config, metrics: &Metrics) -> Result<WorkerServer, WorkerError> {
        let address = config.listen.worker;
        let secret = config.query.workers_secret.as_ref();
        refuse_open(config)?;
        desk::open().map_err(WorkerError::Threads)?;
        let root = location::resolve(&config.lake(), false).map_err(QueryError::from)?;
        let memory = usize::try_from(config.query.worker_memory).unwrap_or(usize::MAX);
        let runtime = bounded_runtime(memory, Some(Arc::new(OnlyLake(of_lake(&root)?)))).map_err(QueryError::engine)?;
        let mask = MaskKey::new(mask_key(config)?.reveal().as_bytes());
        let socket = TcpListener::bind(address).await.map_err(|error| WorkerError::Bind { address, error })?;
        let badge = Badge::new(secret);
        let worker = worker(badge.clone(), runtime, mask, metrics.clone());
        Ok(WorkerServer { socket, worker, badge })
    }

    #[cfg(test)]
    pub(super) fn with(socket: TcpListener, badge: Badge, runtime: Arc<RuntimeEnv>, mask: MaskKey) -> WorkerServer {
        let worker = worker(badge.clone(), runtime, mask, Metrics::new());
        WorkerServer { socket, worker, badge }
    }

    /// # Errors
    /// The socket has none.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// The socket broke.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let WorkerServer { socket, worker, badge } = self;
        let service = worker.into_worker_server().max_decoding_message_size(PLAN_BYTES_MAX);
        let service = InterceptedService::new(service, move |request| badge.check(request));
        // So that nothing is worked on for a coordinator that vanished without a word.
        let server =
            Server::builder().http2_keepalive_interval(Some(ALIVE_EVERY)).http2_keepalive_timeout(Some(ALIVE_TIME));
        let server = server.tcp_nodelay(true).add_service(service);
        Ok(server.serve_with_incoming_shutdown(TcpIncoming::from(socket), shutdown.cancelled()).await?)
    }
}

fn worker(badge: Badge, runtime: Arc<RuntimeEnv>, mask: MaskKey, metrics: Metrics) -> Worker {
    let version = badge.version().to_owned();
    let (peers, codec) = (Peers::new(badge), Codec::new(mask));
    let session = move |context: WorkerQueryContext| {
        let state = session(context, &peers, &codec, &metrics);
        async move { state }
    };
    Worker::from_session_builder(session).with_runtime_env(runtime).with_version(version)
}

/// What one part of a statement runs in.
fn session(context: WorkerQueryContext, peers: &Peers, codec: &Codec, metrics: &Metrics) -> Result<SessionState> {
    let taken = metrics.worker_tasks.clone();
    let admit = move |event: WorkerPlanRewriteEvent<'_>| {
        look_over(&event.plan)?;
        taken.inc();
        Ok(WorkerPlanRewriteEventResponse::new(whole(yielding(event.plan)?)?))
    };
    let mut builder = context
        .builder
        .with_distributed_channel_resolver(peers.clone())
        .with_distributed_user_codec(codec.clone())
        .with_distributed_worker_plan_rewrite_handler(admit);
    *builder.table_factories() = None;
    *builder.file_formats() = None;
    let context = SessionContext::new_with_state(builder.build());
    removal::register(&context);
    reckon::add_functions(&context);
    checked::add_functions(&context);
    add_functions(&context)?;
    Ok(context.state())
}
