//! The checked configuration, as plain values.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{Account, Network, Secret, Telephony};
use crate::telemetry::logs::Format;

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

/// Everything that can be configured. [`Config::default`] is what holds where nothing is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Folder of this machine's own data: the embedded log, the first run's key, and the lake unless it lies elsewhere.
    pub data: PathBuf,
    /// Where the lake lies, as it was given: a path or a URL. Absent: see [`Config::lake`].
    pub lake: Option<String>,
    /// NATS in place of the embedded log.
    pub nats: Option<Nats>,
    /// Partitions the log must have. `None`: what it has, or of a new one the log's own default.
    pub partitions: Option<u16>,
    pub listen: Listen,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    pub log: Log,
    pub limits: Limits,
    pub commit: Commit,
    pub snapshot: Snapshot,
    pub retention: Retention,
    pub query: Query,
    pub notify: Notify,
    /// A database of places in MaxMind's format (`.mmdb`).
    pub places: Option<PathBuf>,
    /// Where others reach the collector: what telephone providers are told, and sign.
    pub public_url: Option<String>,
    /// By name.
    pub accounts: BTreeMap<String, Account>,
    /// Telephone systems, by account.
    pub telephony: BTreeMap<String, Telephony>,
    /// What can be used and is hardly meant, in words: misspelt members of an account's settings, and the like.
    pub doubtful: Vec<String>,
}

/// How NATS is reached.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Nats {
    /// Servers, such as `nats://127.0.0.1:4222`; several with commas between.
    pub url: String,
    /// A `.creds` file.
    pub credentials_file: Option<PathBuf>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub token: Option<Secret>,
    /// Certificates (PEM) that the server's must descend from.
    pub ca: Option<PathBuf>,
}

/// Addresses that are listened on; port 0 takes a free one. They may be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// What senders post to.
    pub collect: SocketAddr,
    /// Metrics and health.
    pub admin: SocketAddr,
    /// SQL by PostgreSQL's wire protocol.
    pub postgres: Door,
    /// SQL by Arrow Flight.
    pub flight: Door,
    /// Parts of statements, from coordinators.
    pub worker: SocketAddr,
}

/// An address that may be left closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Closed,
    /// Nobody asked for it: where something else listens there, any free port will do.
    Usual(SocketAddr),
    At(SocketAddr),
}

/// How SQL is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Certificates (PEM), the server's own first.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key (PEM, PKCS #8, PKCS #1 or SEC 1).
    pub tls_key: Option<PathBuf>,
    /// What pseudonyms are made with. Absent: a file in the data folder.
    pub mask_key: Option<Secret>,
    /// Machines that help with what is much.
    pub workers: Vec<Url>,
    /// What a coordinator shows its workers.
    pub workers_secret: Option<Secret>,
    /// Bytes of files for which one more worker is asked.
    pub worker_share: u64,
    /// Memory of all that a worker does at once.
    pub worker_memory: u64,
}

impl Default for Query {
    fn default() -> Query {
        Query {
            tls_certificate: None,
            tls_key: None,
            mask_key: None,
            workers: Vec::new(),
            workers_secret: None,
            worker_share: 64 * MIB,
            worker_memory: GIB,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or a filter in the syntax of `RUST_LOG`.
    pub level: String,
    pub format: Format,
}

/// Bounds of the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one request's body, also after decompression.
    pub body_bytes: u64,
    /// Events of one request.
    pub events: u64,
    /// Open connections; more wait to be accepted.
    pub connections: u32,
    /// Requests being worked on; more are answered 503.
    pub concurrent: u32,
    /// Bytes of all bodies in memory; more are answered 503.
    pub memory_bytes: u64,
    /// For each key; more are answered 429. Twice as many may come in one burst.
    pub requests_per_second: u32,
    /// For each address of a browser; an IPv6 address is its 64 bits of network.
    pub address_requests_per_second: u32,
    /// For each site, from all browsers together.
    pub site_requests_per_second: u32,
    /// Time a sender has for a request's head, and for its next request on the same connection.
    pub head: Duration,
    /// Time a sender has for a request's body.
    pub body: Duration,
    /// Time the log has to confirm; after it the answer is 503.
    pub append: Duration,
    /// Time that requests in flight have to finish at a graceful stop.
    pub drain: Duration,
    /// Bytes of events on disk that wait for the log.
    pub spool_bytes: u64,
}

/// When rows are committed to the lake: at the first of age and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Age of the oldest waiting row of `calls` and what belongs to calls.
    pub calls: Duration,
    /// Age of the oldest waiting row of any other table.
    pub bulk: Duration,
    /// Waiting rows of one table.
    pub rows: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Time from one snapshot of the state to the next.
    pub every: Duration,
}

/// How long the log keeps what has been processed. `None`: for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    pub log_age: Option<Duration>,
    pub log_bytes: Option<u64>,
    /// Of moments: there is always a bound.
    pub moments_age: Duration,
    pub moments_bytes: u64,
}

/// What webhooks may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notify {
    /// Addresses that are not public and may be reached all the same.
    pub allow: Vec<Network>,
    /// Folder of the files that hold secrets.
    pub secrets: Option<PathBuf>,
}

impl Config {
    /// Where the lake lies: as configured, else the folder `lake` in [`Config::data`].
    pub fn lake(&self) -> String {
        self.lake.clone().unwrap_or_else(|| self.data.join("lake").to_string_lossy().into_owned())
    }
}

impl Default for Config {
    fn default() -> Config {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Config {
            data: PathBuf::from("callweave-data"),
            lake: None,
            nats: None,
            partitions: None,
            listen: Listen {
                collect: local(8090),
                admin: local(9090),
                postgres: Door::Usual(local(5433)),
                flight: Door::Usual(local(8815)),
                worker: local(8816),
            },
            query: Query::default(),
            trusted_proxies: Vec::new(),
            log: Log { level: "info".to_owned(), format: Format::Text },
            limits: Limits::default(),
            commit: Commit { calls: Duration::from_millis(500), bulk: Duration::from_secs(5), rows: 100_000 },
            snapshot: Snapshot { every: Duration::from_secs(60) },
            retention: Retention {
                log_age: Some(Duration::from_secs(30 * 86_400)),
                log_bytes: None,
                moments_age: Duration::from_secs(7 * 86_400),
                moments_bytes: GIB,
            },
            notify: Notify::default(),
            places: None,
            public_url: None,
            accounts: BTreeMap::new(),
            telephony: BTreeMap::new(),
            doubtful: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 16 * MIB,
            events: 100_000,
            connections: 1024,
            concurrent: 256,
            memory_bytes: 256 * MIB,
            requests_per_second: 5000,
            address_requests_per_second: 100,
            site_requests_per_second: 5000,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            append: Duration::from_secs(30),
            drain: Duration::from_secs(20),
            spool_bytes: 256 * MIB,
        }
    }
}
