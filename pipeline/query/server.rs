//! The role `query`: the lake for those who may ask, by PostgreSQL's protocol, Arrow Flight SQL and HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use callweave_core::time::Time;
use datafusion_postgres::pgwire::tokio::TlsAcceptor;
use datafusion_postgres::pgwire::tokio::tokio_rustls::rustls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::access::MaskKey;
use super::desk;
use super::error::QueryError;
use super::flight::Flight;
use super::http;
use super::logins::Logins;
use super::postgres::Postgres;
use super::session::QuerySession;
use super::workers::{Crew, refuse_open};
use crate::config::{Config, Door, FirstRunError, is_in_the_way, mask_key};
use crate::lake::location::{self, UrlError};
use crate::log::SharedLog;
use crate::telemetry::metrics::Metrics;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Secret(#[from] FirstRunError),
    #[error(
        "{member}: {address} cannot be listened on: {error}; give another address, `off`, or stop what listens there"
    )]
    Bind { member: &'static str, address: SocketAddr, error: std::io::Error },
    #[error("query.tls_certificate and query.tls_key: {0}; give a certificate and its key, both as PEM")]
    Tls(String),
    #[error("no threads can be started for queries: {0}; let this user have more of them")]
    Threads(std::io::Error),
}

impl ServeError {
    /// Whether the configuration is wrong (exit status 2), as against something that broke (1).
    pub fn is_usage(&self) -> bool {
        match self {
            ServeError::Tls(_) => true,
            ServeError::Secret(error) => error.is_usage(),
            ServeError::Query(error) => names_no_lake(error),
            ServeError::Bind { .. } | ServeError::Threads(_) => false,
        }
    }
}

/// Whether the lake's place is wrong as it is written, and another start finds it no better. A folder that is not there may come yet.
pub(super) fn names_no_lake(error: &QueryError) -> bool {
    let QueryError::Location(error) = error else { return false };
    match error {
        UrlError::Scheme { .. } | UrlError::Malformed { .. } | UrlError::NotAFolder { .. } | UrlError::Name { .. } => {
            true
        }
        UrlError::Folder { source, .. } => is_in_the_way(source),
        UrlError::Missing { .. } => false,
    }
}

/// A server that listens; it answers once it runs.
pub struct Server {
    postgres: Option<TcpListener>,
    flight: Option<TcpListener>,
    tls: Option<rustls::ServerConfig>,
    /// The same as text: certificates and key.
    pem: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) logins: Arc<Logins>,
    crew: Option<Arc<Crew>>,
    /// What runs at a stop has so long to end.
    drain: Duration,
}

impl Server {
    /// Opens the lake and takes the addresses. `log`: where settings are told, besides the configuration's.
    ///
    /// # Errors
    /// The lake's place is none, an address is taken, or the certificate cannot be used.
    pub async fn open(
        config: &Config,
        log: Option<SharedLog>,
        clock: fn() -> Time,
        metrics: &Metrics,
    ) -> Result<Server, ServeError> {
        desk::open().map_err(ServeError::Threads)?;
        let mask = MaskKey::new(mask_key(config)?.reveal().as_bytes());
        let crew = Crew::of(config, mask.clone(), metrics.clone());
        if let Some(crew) = &crew {
            crew.look().await;
        }
        // Whoever asks may come before whoever writes, and is told of empty tables meanwhile.
        let place = config.lake();
        if let Err(UrlError::Missing { path }) = location::resolve(&place, false) {
            let path = path.display();
            tracing::warn!(
                "there is no lake at {path} yet: the folder is made, and its tables are empty until `callweave process` fills them"
            );
            location::resolve(&place, true).map_err(QueryError::from)?;
        }
        let lake = QuerySession::open(&place)?.with_postgres().await?.with_crew(crew.clone());
        let logins = Logins::new(config.accounts.values(), log, clock, lake, mask);
        let (tls, pem) = match (&config.query.tls_certificate, &config.query.tls_key) {
            (Some(certificate), Some(key)) => {
                let read = |path| std::fs::read(path).map_err(|error| ServeError::Tls(error.to_string()));
                (Some(tls(certificate, key).map_err(ServeError::Tls)?), Some((read(certificate)?, read(key)?)))
            }
            (None, None) => (None, None),
            _ => return Err(ServeError::Tls("one of them is missing".to_owned())),
        };
        Ok(Server {
            postgres: bind("listen.postgres", config.listen.postgres).await?,
            flight: bind("listen.flight", config.listen.flight).await?,
            tls,
            pem,
            logins: Arc::new(logins),
            crew,
            drain: config.limits.drain,
        })
    }

    pub fn postgres_address(&self) -> Option<SocketAddr> {
        self.postgres.as_ref().and_then(|socket| socket.local_addr().ok())
    }

    pub fn flight_address(&self) -> Option<SocketAddr> {
        self.flight.as_ref().and_then(|socket| socket.local_addr().ok())
    }

    /// Where it answers besides HTTP, for people.
    pub fn tell(&self) {
        let told = |address: Option<SocketAddr>| address.map_or("off".to_owned(), |address| address.to_string());
        let (postgres, flight) = (told(self.postgres_address()), told(self.flight_address()));
        tracing::info!(postgres, flight, "answering queries");
    }

    /// What is served over HTTP.
    pub fn routes(&self) -> Router {
        http::routes(Arc::clone(&self.logins))
    }

    /// Serves until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let Server { postgres, flight, tls, pem, logins, crew, drain } = self;
        let acceptor = tls.clone().map(|tls| TlsAcceptor::from(Arc::new(with_protocol(tls, b"postgresql"))));
        let postgres = async {
            if let Some(socket) = postgres {
                Postgres::new(Arc::clone(&logins), acceptor).serve(socket, shutdown.clone()).await;
            }
        };
        let flight = async {
            let Some(socket) = flight else { return };
            if let Err(error) = Flight::new(Arc::clone(&logins)).serve(socket, pem, shutdown.clone(), drain).await {
                tracing::error!(%error, "flight sql is served no more");
            }
        };
        let crew = async {
            if let Some(crew) = crew {
                crew.keep_looking(shutdown.clone()).await;
            }
        };
        // Beside everything else: nobody waits for it, but who asks meanwhile for the very table that is looked at. Where queries are
        // worked on: those threads stay, and what it is at when it is given up panics without them.
        let ahead = async {
            let looks = Arc::clone(&logins);
            shutdown.run_until_cancelled(desk::spawn(None, async move { looks.look_ahead().await })).await;
        };
        tokio::join!(postgres, flight, crew, ahead);
    }
}

async fn bind(member: &'static str, door: Door) -> Result<Option<TcpListener>, ServeError> {
    let failed = |address: SocketAddr| move |error| ServeError::Bind { member, address, error };
    match door {
        Door::Closed => Ok(None),
        Door::At(address) => TcpListener::bind(address).await.map(Some).map_err(failed(address)),
        Door::Usual(address) => match TcpListener::bind(address).await {
            Ok(socket) => Ok(Some(socket)),
            Err(_) => {
                let free = SocketAddr::new(address.ip(), 0);
                TcpListener::bind(free).await.map(Some).map_err(failed(free))
            }
        },
    }
}

/// What a server or a worker would not start with, beyond what the configuration's own check tells.
pub fn look_over(config: &Config) -> Vec<String> {
    let pair = config.query.tls_certificate.as_ref().zip(config.query.tls_key.as_ref());
    let tls =
        pair.and_then(|(certificate, key)| tls(certificate, key).err()).map(|what| ServeError::Tls(what).to_string());
    let worker = refuse_open(config).err().map(|error| error.to_string());
    tls.into_iter().chain(worker).collect()
}

/// TLS with this certificate; what is wrong with the files otherwise.
fn tls(certificate: &Path, key: &Path) -> Result<rustls::ServerConfig, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(|chain| chain.collect());
    let chain = chain.map_err(|error| format!("{}: {error}", certificate.display()))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Tonic takes the process's own, and two are linked: whoever set one before has chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    config
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| error.to_string())
}

fn with_protocol(mut tls: rustls::ServerConfig, name: &[u8]) -> rustls::ServerConfig {
    tls.alpn_protocols = vec![name.to_vec()];
    tls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_is_told_from_a_broken_machine() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "no PEM").expect("written");
        let below = file.join("lake");
        let place = |text: &str, create| location::resolve(text, create).map(drop).map_err(QueryError::from);
        for (wrong, expected) in [
            (tls(&file, &file).map(drop).map_err(ServeError::Tls), true),
            (place("s3://bucket/lake", true).map_err(ServeError::Query), true),
            (place(&file.to_string_lossy(), false).map_err(ServeError::Query), true),
            (place(&file.to_string_lossy(), true).map_err(ServeError::Query), true),
            (place(&below.to_string_lossy(), true).map_err(ServeError::Query), true),
            (place(&folder.path().join("none").to_string_lossy(), false).map_err(ServeError::Query), false),
            (Err(ServeError::Threads(std::io::ErrorKind::OutOfMemory.into())), false),
        ] {
            let error = wrong.expect_err("wrong");
            assert_eq!(error.is_usage(), expected, "{error}");
        }
    }
}
