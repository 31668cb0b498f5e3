//! Who may talk to a worker: one who is of the same version, and who knows the secret where there is one.
//!
//! A worker reads the whole lake for whoever asks it, so what a stranger could ask must not get that far: every request is
//! looked at before its body is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::common::{DataFusionError, Result, config_datafusion_err};
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{ChannelResolver, WorkerChannel};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tonic::body::Body;
use tonic::codegen::{Context, Poll, Service, http};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use url::Url;

use crate::config::Secret;
use crate::query::logins::lock;

/// How plans are written, beside what the engine itself says of it; raised whenever that changes.
const PLANS: u32 = 1;
const VERSION: &str = "callweave-version";
const TOKEN: &str = "callweave-token";

/// A machine that does not take a connection within this time is away.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// A machine that vanished without a word is found out by these. One that computes on all its cores answers late.
pub(super) const ALIVE_EVERY: Duration = Duration::from_secs(10);
pub(super) const ALIVE_TIME: Duration = Duration::from_secs(20);
/// Connections to others that one process keeps. A worker learns their addresses from plans.
const PEERS_MAX: usize = 256;

/// What this process shows, and wants to be shown.
#[derive(Clone)]
pub(super) struct Badge {
    version: Arc<str>,
    /// Made from the secret, which itself is never sent.
    token: Option<Arc<str>>,
}

impl Badge {
    pub fn new(secret: Option<&Secret>) -> Badge {
        let version = format!("{} plans {PLANS} engine {}", env!("CARGO_PKG_VERSION"), datafusion::DATAFUSION_VERSION);
        Badge::of_version(&version, secret)
    }

    pub fn of_version(version: &str, secret: Option<&Secret>) -> Badge {
        let token = secret.map(|secret| {
            let hash = Sha256::new_with_prefix(b"callweave worker\0").chain_update(secret.reveal()).finalize();
            hash.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")).into()
        });
        Badge { version: version.into(), token }
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    fn show(&self, headers: &mut http::HeaderMap) {
        if let Ok(version) = http::HeaderValue::from_str(&self.version) {
            headers.insert(VERSION, version);
        }
        if let Some(token) = &self.token
            && let Ok(mut token) = http::HeaderValue::from_str(token)
        {
            token.set_sensitive(true);
            headers.insert(TOKEN, token);
        }
    }

    /// The secret first: a stranger is not told the version.
    pub fn check(&self, request: Request<()>) -> Result<Request<()>, Status> {
        let shown = |name| request.metadata().get(name).map(|value| value.as_bytes()).unwrap_or_default();
        if let Some(token) = &self.token
            && !bool::from(token.as_bytes().ct_eq(shown(TOKEN)))
        {
            return Err(Status::unauthenticated(
                "the secret is not this worker's: give both machines the same query.workers_secret_file",
            ));
        }
        if shown(VERSION) != self.version.as_bytes() {
            let theirs = String::from_utf8_lossy(shown(VERSION)).into_owned();
            return Err(Status::failed_precondition(format!(
                "this worker is callweave {}, and who asks is callweave {theirs}: run one version on all machines",
                self.version(),
            )));
        }
        Ok(request)
    }
}

/// A connection that shows the badge.
#[derive(Clone)]
struct Shown {
    channel: Channel,
    badge: Badge,
}

impl Service<http::Request<Body>> for Shown {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        self.badge.show(request.headers_mut());
        self.channel.call(request)
    }
}

/// Connections to workers, by address. Each finds its way again after a break.
#[derive(Clone)]
pub(super) struct Peers {
    badge: Badge,
    channels: Arc<Mutex<HashMap<Url, Channel>>>,
}

impl Peers {
    pub fn new(badge: Badge) -> Peers {
        Peers { badge, channels: Arc::default() }
    }

    fn channel(&self, url: &Url) -> Result<Channel> {
        let mut channels = lock(&self.channels);
        if let Some(channel) = channels.get(url) {
            return Ok(channel.clone());
        }
        let wrong = |error: tonic::transport::Error| config_datafusion_err!("{url} is no worker's address: {error}");
        let channel = Endpoint::from_shared(url.to_string())
            .map_err(wrong)?
            .connect_timeout(CONNECT_TIME)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(ALIVE_EVERY)
            .keep_alive_timeout(ALIVE_TIME)
            .connect_lazy();
        if channels.len() >= PEERS_MAX {
            channels.clear();
        }
        channels.insert(url.clone(), channel.clone());
        Ok(channel)
    }

    pub fn client(&self, url: &Url) -> Result<Box<dyn WorkerChannel>, DataFusionError> {
        let shown = Shown { channel: self.channel(url)?, badge: self.badge.clone() };
        Ok(create_worker_client(BoxCloneSyncChannel::new(shown)))
    }
}

#[async_trait]
impl ChannelResolver for Peers {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>, DataFusionError> {
        self.client(url)
    }
}
