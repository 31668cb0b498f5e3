//! The log in NATS JetStream: one stream a partition, `CALLWEAVE_EVENTS_<p>` on `callweave.events.<p>.>`; moments have one,
//! `CALLWEAVE_MOMENTS` on `callweave.moments.>`.
//!
//! Servers from 2.9 up. What an acknowledgement means there is the server's choice: by default JetStream syncs its
//! files every two minutes, so that a power cut may lose what a killed server does not. `sync_interval: always`, or
//! three replicas in different places, make it as strict as the embedded log.

mod advice;
mod owners;
mod publish;
mod read;
mod streams;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ClientError, ConnectErrorKind, ConnectOptions, Event, ServerError};
use futures::{StreamExt, stream};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::{
    Append, AppendError, Appended, Entries, Entry, Family, Log, MAX_PARTITIONS, ReadError, Retention, Share, Subject,
    TrimError,
};

/// The oldest server with direct gets and with pull requests bounded in bytes.
const OLDEST_SERVER: (i64, i64, i64) = (2, 9, 0);
/// Headers and subject of a message count towards the server's `max_payload`.
const HEADER_BYTES: usize = 1024 + super::MAX_SUBJECT_BYTES;
/// A lost connection is tried again after this times the number of tries, at most two seconds.
const RECONNECT_STEP: Duration = Duration::from_millis(100);
const RECONNECT_LONGEST: Duration = Duration::from_secs(2);
const LOGIN_REFUSED: &str = "the nats server refuses the login (authorization violation)";
/// Streams that are gone for so long are made again.
const MADE_AGAIN_AFTER: Duration = Duration::from_secs(3);

/// How a connection proves who it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all, or by what the URL says (`nats://user:password@host`).
    #[default]
    None,
    UserPassword {
        user: String,
        password: String,
    },
    Token(String),
    /// A `.creds` file: JWT and seed, as `nsc` writes it.
    File(PathBuf),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::None => "None",
            Credentials::UserPassword { .. } => "UserPassword(…)",
            Credentials::Token(_) => "Token(…)",
            Credentials::File(_) => "File(…)",
        })
    }
}

#[derive(Clone)]
pub struct NatsOptions {
    /// One URL, or several of one cluster with commas between: `nats://host:4222`, `tls://host:4222`.
    pub servers: String,
    /// Which log it is.
    pub family: Family,
    pub credentials: Credentials,
    /// Certificates (PEM) to trust in place of the system's.
    pub tls_ca: Option<PathBuf>,
    /// Refuses a connection without TLS.
    pub require_tls: bool,
    /// Fixed when the streams are made; `None`: as many as there are, [`super::DEFAULT_PARTITIONS`] at first.
    pub partitions: Option<u16>,
    /// Copies of each stream: 1, 3 or 5. `None`: what an existing stream has, else 1.
    pub replicas: Option<usize>,
    /// A limit that is `None` leaves that of an existing stream as it is.
    pub retention: Retention,
    /// For how long message ids are remembered.
    pub window: Duration,
    /// Messages that wait for an acknowledgement; further ones wait for a place.
    pub in_flight: usize,
    /// How long one try waits for its acknowledgement.
    pub ack_timeout: Duration,
    /// How long an append is tried before it is [`AppendError::Unavailable`].
    pub append_timeout: Duration,
    /// Where this process keeps its name as an owner of partitions; nowhere: it has another each time.
    pub folder: Option<PathBuf>,
}

impl std::fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let servers = shown(&self.servers);
        f.debug_struct("NatsOptions")
            .field("servers", &servers)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

/// The servers without what stands before an `@`: messages must not tell passwords.
fn shown(servers: &str) -> String {
    let host = |server: &str| match (server.split_once("://"), server.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => server.to_owned(),
    };
    servers.split(',').map(|server| host(server.trim())).collect::<Vec<_>>().join(",")
}

impl NatsOptions {
    pub fn new(servers: impl Into<String>) -> NatsOptions {
        NatsOptions {
            servers: servers.into(),
            family: Family::Events,
            credentials: Credentials::None,
            tls_ca: None,
            require_tls: false,
            partitions: None,
            replicas: None,
            retention: Retention::default(),
            window: Duration::from_secs(120),
            in_flight: 4096,
            ack_timeout: Duration::from_secs(3),
            append_timeout: Duration::from_secs(10),
            folder: None,
        }
    }
}

/// Why the log cannot be had from a server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot read the servers {servers:?}: {reason}; give nats://host:4222")]
    Servers { servers: String, reason: String },
    #[error(
        "cannot use the credentials file {path}: {reason}; set nats.credentials_file to a .creds file as nsc writes it"
    )]
    CredentialsFile { path: PathBuf, reason: String },
    #[error("cannot connect to NATS at {servers}: {reason}; {mend}")]
    Connect { servers: String, reason: String, mend: String, passing: bool },
    #[error("the NATS server at {servers} is {version}; callweave needs 2.9 or newer")]
    OldServer { servers: String, version: String },
    #[error(
        "JetStream is off at {servers}: start nats-server with -js, or put a jetstream {{}} block into its \
         configuration, and enable it for this account"
    )]
    JetStreamOff { servers: String },
    #[error(
        "the streams are for {has} partitions, not {wanted}; their number is fixed when they are made: ask for {has}"
    )]
    Partitions { has: u16, wanted: u16 },
    #[error("a log has 1 to {MAX_PARTITIONS} partitions, not {0}")]
    PartitionCount(u16),
    #[error("cannot set up the stream {stream}: {reason}")]
    Stream { stream: String, reason: String },
    #[error("JetStream at {servers} does not answer: {reason}")]
    JetStream { servers: String, reason: String },
}

impl ConnectError {
    /// Whether the server may only be away, starting or choosing a leader: worth another try without any change.
    pub fn is_passing(&self) -> bool {
        matches!(self, ConnectError::Connect { passing: true, .. } | ConnectError::JetStream { .. })
    }
}

/// The connection and what its events told.
struct Link {
    context: Context,
    client: Client,
    connected: watch::Receiver<bool>,
    /// Rises when the client had to throw messages away: every reader then begins anew behind its last entry.
    faults: watch::Receiver<u64>,
    family: Family,
    partitions: u16,
    append_timeout: Duration,
    replicas: usize,
    folder: Option<PathBuf>,
    /// What streams are made by, where they are gone.
    options: NatsOptions,
    /// Since when a stream is seen to be gone.
    gone_since: Mutex<Option<Instant>>,
}

impl Link {
    /// Makes the streams again, once one has not been there for a while: a server came back without its store. One that is slow to
    /// come up is waited for.
    async fn mend(&self, partition: u16) {
        let Ok(mut since) = self.gone_since.try_lock() else { return };
        let gone = matches!(streams::existing(&self.context, self.family, partition).await, Ok(None));
        let first = *since.get_or_insert_with(Instant::now);
        if !gone {
            *since = None;
        } else if first.elapsed() >= MADE_AGAIN_AFTER {
            *since = None;
            let options = NatsOptions { partitions: Some(self.partitions), ..self.options.clone() };
            match streams::provision(&self.context, &options).await {
                Ok(_) => tracing::warn!(
                    "the nats server has lost its streams: they are made anew, and hold nothing of before"
                ),
                Err(error) => {
                    tracing::warn!(%error, "the nats server has lost its streams, and they cannot be made anew yet")
                }
            }
        }
    }

    fn stream(&self, partition: u16) -> String {
        streams::name_of(self.family, partition)
    }
}

/// A connection to the log's streams. Clones of the connection live in readers; it closes with the last.
pub struct NatsLog {
    link: Arc<Link>,
}

impl std::fmt::Debug for NatsLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsLog").field("partitions", &self.link.partitions).finish_non_exhaustive()
    }
}

impl NatsLog {
    /// Connects, checks the server, and makes the streams or brings them up to date.
    pub async fn connect(options: NatsOptions) -> Result<NatsLog, ConnectError> {
        if let Some(count) = options.partitions
            && !(1..=MAX_PARTITIONS).contains(&count)
        {
            return Err(ConnectError::PartitionCount(count));
        }
        let (connected_sender, connected) = watch::channel(true);
        let (faults_sender, faults) = watch::channel(0);
        let client = connect(&options, connected_sender, faults_sender).await?;
        let servers = shown(&options.servers);
        let (major, minor, patch) = OLDEST_SERVER;
        if !client.is_server_compatible(major, minor, patch) {
            return Err(ConnectError::OldServer { servers, version: client.server_info().version });
        }
        let context = ContextBuilder::new()
            .timeout(options.ack_timeout)
            .max_ack_inflight(options.in_flight)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let partitions = streams::provision(&context, &options).await?;
        let NatsOptions { family, append_timeout, replicas, folder, .. } = options.clone();
        let replicas = replicas.unwrap_or(1);
        let link = Link {
            context,
            client,
            connected,
            faults,
            family,
            partitions,
            append_timeout,
            replicas,
            folder,
            options,
            gone_since: Mutex::new(None),
        };
        Ok(NatsLog { link: Arc::new(link) })
    }

    fn check(&self, partition: u16) -> Result<(), ReadError> {
        let partitions = self.link.partitions;
        if partition < partitions { Ok(()) } else { Err(ReadError::NoSuchPartition { partition, partitions }) }
    }
}

/// What is wrong with the files that a connection would be made with, before it is.
pub fn look_over(credentials: Option<&Path>, tls_ca: Option<&Path>) -> Vec<String> {
    let credentials = credentials.and_then(|path| {
        let read = std::fs::read_to_string(path);
        let error = read.and_then(|text| ConnectOptions::with_credentials(&text).map(drop)).err()?;
        Some(ConnectError::CredentialsFile { path: path.to_owned(), reason: error.to_string() }.to_string())
    });
    let holds_none = |path: &Path| {
        let read = std::fs::read(path).unwrap_or_default();
        memchr::memmem::find(&read, b"-----BEGIN CERTIFICATE-----").is_none()
    };
    let ca = tls_ca.filter(|path| holds_none(path));
    let ca = ca.map(|path| format!("nats.ca: {} holds no certificate; give certificates as PEM", path.display()));
    credentials.into_iter().chain(ca).collect()
}

async fn connect(
    options: &NatsOptions,
    connected: watch::Sender<bool>,
    faults: watch::Sender<u64>,
) -> Result<Client, ConnectError> {
    let servers = options.servers.split(',').map(|server| server.trim().parse::<async_nats::ServerAddr>());
    let servers: Vec<_> = servers
        .collect::<Result<_, _>>()
        .map_err(|error| ConnectError::Servers { servers: options.servers.clone(), reason: error.to_string() })?;
    // The client takes the process's own, and two are linked: whoever set one before has chosen.
    let _ = async_nats::rustls::crypto::ring::default_provider().install_default();
    let login = advice::of_login(&options.credentials);
    let mut connect = ConnectOptions::new()
        .name("callweave")
        .require_tls(options.require_tls)
        .reconnect_delay_callback(|tries| {
            RECONNECT_STEP.saturating_mul(u32::try_from(tries).unwrap_or(u32::MAX)).min(RECONNECT_LONGEST)
        })
        .event_callback(move |event| {
            observe(&event, &connected, &faults, &login);
            std::future::ready(())
        });
    if let Some(certificates) = &options.tls_ca {
        connect = connect.add_root_certificates(certificates.clone());
    }
    connect = match options.credentials.clone() {
        Credentials::None => connect,
        Credentials::UserPassword { user, password } => connect.user_and_password(user, password),
        Credentials::Token(token) => connect.token(token),
        Credentials::File(path) => match connect.credentials_file(&path).await {
            Ok(connect) => connect,
            Err(error) => return Err(ConnectError::CredentialsFile { path, reason: error.to_string() }),
        },
    };
    connect.connect(servers).await.map_err(|error| {
        use ConnectErrorKind::{AuthorizationViolation, Dns, Io, MaxReconnects, TimedOut};
        let passing = matches!(error.kind(), Dns | Io | MaxReconnects | TimedOut);
        let reason = match error.kind() {
            AuthorizationViolation => LOGIN_REFUSED.to_owned(),
            _ => error.to_string(),
        };
        let mend = advice::of_error(&error, options);
        ConnectError::Connect { servers: shown(&options.servers), reason, mend, passing }
    })
}

/// Whether it tells that the server takes the login no more: users change while a connection stands.
fn refuses_login(event: &Event) -> bool {
    match event {
        Event::ServerError(told) => *told == ServerError::AuthorizationViolation,
        // The client tells the kind of what went wrong alone.
        Event::ClientError(ClientError::Other(told)) => *told == ConnectErrorKind::AuthorizationViolation.to_string(),
        _ => false,
    }
}

/// Server messages may hold user names, never passwords. `login` says how a refused one is mended.
fn observe(event: &Event, connected: &watch::Sender<bool>, faults: &watch::Sender<u64>, login: &str) {
    match event {
        Event::Connected => {
            if !connected.send_replace(true) {
                tracing::info!("connected to nats again");
            }
        }
        Event::Disconnected => {
            connected.send_replace(false);
            tracing::warn!("lost the connection to nats; trying again");
        }
        Event::SlowConsumer(subscription) => {
            faults.send_modify(|count| *count += 1);
            tracing::warn!(subscription, "messages from nats were dropped here; reading them again");
        }
        refused if refuses_login(refused) => tracing::warn!("{LOGIN_REFUSED}, trying again; {login}"),
        // Each try to connect again fails with one.
        other if !*connected.borrow() => tracing::debug!(event = %other, "nats"),
        other => tracing::warn!(event = %other, "nats"),
    }
}

#[async_trait::async_trait]
impl Log for NatsLog {
    fn partitions(&self) -> u16 {
        self.link.partitions
    }

    fn max_payload(&self) -> usize {
        self.link.client.max_payload().saturating_sub(HEADER_BYTES)
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let mut results = self.append_all(vec![append]).await;
        results.pop().unwrap_or_else(|| Err(AppendError::Unavailable("no answer".into())))
    }

    async fn append_all(&self, batch: Vec<Append>) -> Vec<Result<Appended, AppendError>> {
        publish::append_all(&self.link, self.max_payload(), batch).await
    }

    fn read(&self, partition: u16, after: u64) -> Entries {
        if let Err(error) = self.check(partition) {
            return stream::iter([Err(error)]).boxed();
        }
        let reader = read::Reader::new(self.link.clone(), partition, after);
        stream::unfold(Some(reader), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(entries) => Some((Ok(entries), Some(reader))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.check(partition)?;
        Ok(read::bounds(&self.link, partition).await?.last)
    }

    async fn identity(&self, partition: u16) -> Result<String, ReadError> {
        self.check(partition)?;
        Ok(read::bounds(&self.link, partition).await?.made)
    }

    async fn first_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.check(partition)?;
        Ok(read::bounds(&self.link, partition).await?.first)
    }

    async fn last_of_subject(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        self.check(subject.partition())?;
        read::last_of_subject(&self.link, subject).await
    }

    async fn next_settings(&self, subject: &Subject, after: u64) -> Result<Option<Entry>, ReadError> {
        self.check(subject.partition())?;
        read::next_of_subject(&self.link, subject, after).await
    }

    fn share(&self) -> Share {
        owners::share(self.link.clone())
    }

    async fn trim(&self, partition: u16, before: u64) -> Result<(), TrimError> {
        let partitions = self.link.partitions;
        if partition >= partitions {
            return Err(TrimError::NoSuchPartition { partition, partitions });
        }
        streams::trim(&self.link.context, self.link.stream(partition), before).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (servers, expected) in [
            ("nats://ann:secret@host:4222", "nats://host:4222"),
            ("nats://ann:s@cret@a:1, tls://b:2", "nats://a:1,tls://b:2"),
            ("token@host", "host"),
            ("host:4222", "host:4222"),
        ] {
            assert_eq!(shown(servers), expected);
            assert!(!format!("{:?}", NatsOptions::new(servers)).contains("cret"));
        }
    }

    #[test]
    fn a_login_that_is_refused_later_is_known_by_its_event() {
        let by_client = |kind: ConnectErrorKind| Event::ClientError(ClientError::Other(kind.to_string()));
        assert!(refuses_login(&by_client(ConnectErrorKind::AuthorizationViolation)));
        assert!(refuses_login(&Event::ServerError(ServerError::AuthorizationViolation)));
        assert!(!refuses_login(&by_client(ConnectErrorKind::Io)));
        assert!(!refuses_login(&Event::Disconnected));
    }
}
