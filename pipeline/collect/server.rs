//! Connections: accepted up to a number, bounded in every wait, and finished before the end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body;
use super::io::Impatient;
use super::replies::Refusal;
use crate::config::Limits;
use crate::telemetry::metrics::{Metrics, Reply, Route};

/// All bytes of a request's head; hyper may read up to twice as many before it says no.
const HEAD_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 64;
/// Wait after a failure to accept, which is most often one of file handles: they come back when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
#[error("{member}: {address} cannot be listened on: {error}; give another address, or stop what listens there")]
pub struct BindError {
    member: &'static str,
    address: SocketAddr,
    error: std::io::Error,
}

/// Who is at the other end of a request's connection: a browser, or a proxy.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Connections that were cut because they did not finish in time. None of their requests was acknowledged since.
    pub cut: usize,
}

/// An address that is listened on; nothing is accepted yet.
pub struct Listener {
    socket: TcpListener,
    pub address: SocketAddr,
}

impl Listener {
    /// # Errors
    /// The address is in use, or not this machine's; `member` of the configuration gave it.
    pub async fn bind(member: &'static str, address: SocketAddr) -> Result<Listener, BindError> {
        let failed = |error| BindError { member, address, error };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Listener { socket, address })
    }

    /// The next connection.
    pub async fn accept(&self) -> std::io::Result<(TcpStream, SocketAddr)> {
        self.socket.accept().await
    }

    /// Serves until `shutdown`; then nothing is accepted any more, and what is in flight has `limits.drain` to finish.
    pub async fn serve(
        self,
        routes: Router,
        limits: &Limits,
        metrics: &Metrics,
        shutdown: CancellationToken,
    ) -> Drained {
        let serving = Arc::new(Serving {
            routes: routes
                .fallback(async || Refusal::NotFound)
                .method_not_allowed_fallback(async || Refusal::Method)
                .layer(middleware::from_fn_with_state((metrics.clone(), limits.body), bound_and_count)),
            limits: limits.clone(),
            metrics: metrics.clone(),
            shutdown,
            cut: CancellationToken::new(),
        });
        let connections = TaskTracker::new();
        serving.accept(self.socket, &connections).await;
        connections.close();
        let mut drained = Drained::default();
        if timeout(limits.drain, connections.wait()).await.is_err() {
            drained.cut = connections.len();
            tracing::warn!(connections = drained.cut, "cutting connections that did not finish in time");
            serving.cut.cancel();
            connections.wait().await;
        }
        drained
    }
}

struct Serving {
    routes: Router,
    limits: Limits,
    metrics: Metrics,
    shutdown: CancellationToken,
    /// Ends connections wherever they are.
    cut: CancellationToken,
}

impl Serving {
    /// Accepts until shutdown; the socket closes at the end.
    async fn accept(self: &Arc<Self>, socket: TcpListener, connections: &TaskTracker) {
        let places = Arc::new(Semaphore::new(self.limits.connections as usize));
        let next = async || {
            // Where there is no place, the connection waits in the system's queue.
            let place = places.clone().acquire_owned().await.ok()?;
            Some((place, socket.accept().await))
        };
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => return,
                accepted = next() => accepted,
            };
            match accepted {
                Some((place, Ok((stream, peer)))) => {
                    connections.spawn(self.clone().connection(stream, Peer(peer.ip().to_canonical()), place));
                }
                Some((_, Err(error))) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::select! {
                        () = self.shutdown.cancelled() => return,
                        () = sleep(ACCEPT_PAUSE) => {}
                    }
                }
                None => return,
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: Peer, _place: OwnedSemaphorePermit) {
        // Answers are small and whole: waiting for more to send with them only delays them.
        let _ = stream.set_nodelay(true);
        self.metrics.collect_connections.inc();
        let stream = TokioIo::new(Impatient::new(stream, self.limits.body));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(stream, From { peer, routes: TowerToHyperService::new(self.routes.clone()) });
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.cut.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
        }
        self.metrics.collect_connections.dec();
    }
}

/// The routes, for the requests of one connection.
struct From {
    peer: Peer,
    routes: TowerToHyperService<Router>,
}

impl hyper::service::Service<Request<Incoming>> for From {
    type Response = <TowerToHyperService<Router> as hyper::service::Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as hyper::service::Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as hyper::service::Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.routes.call(request)
    }
}

/// Sees to it that bodies arrive in time, and counts requests by route and status. Paths that nobody serves share one name, so that
/// nobody can make up more.
async fn bound_and_count(
    State((metrics, most)): State<(Metrics, Duration)>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let started = Instant::now();
    let route = match request.uri().path() {
        "/v1/events" => "/v1/events",
        "/v1/web" => "/v1/web",
        "/v1/number" => "/v1/number",
        path if path.starts_with("/v1/hooks/") => "/v1/hooks",
        "/livez" => "/livez",
        "/readyz" => "/readyz",
        "/metrics" => "/metrics",
        path if path.starts_with("/v1/schemas/") => "/v1/schemas",
        path if path.starts_with("/callweave") && path.ends_with(".js") => "/callweave.js",
        _ => "other",
    };
    let response = match route {
        // These do it themselves, within their bounds of memory.
        "/v1/events" | "/v1/web" | "/v1/number" | "/v1/hooks" => next.run(request).await,
        _ => body::in_time(request, most, next).await,
    };
    metrics.collect_requests.get_or_create(&Reply { route, status: response.status().as_u16() }).inc();
    metrics.collect_request_duration.get_or_create(&Route { route }).observe(started.elapsed().as_secs_f64());
    response
}
