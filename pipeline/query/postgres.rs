//! PostgreSQL's wire protocol: logins by SCRAM, TLS, cancelling, and the lake behind it.
//!
//! datafusion-postgres speaks the protocol; here stand who may ask ([`super::logins`]), what one statement sees
//! ([`service`]), where clients trip ([`mend`]) and what errors are called ([`errors`]).

mod adapt;
mod answers;
mod casts;
mod catalog;
mod conversation;
mod copy;
mod declared;
mod errors;
pub(super) mod functions;
mod holder;
mod mend;
mod moments;
mod names;
mod numbers;
pub(super) mod overlay;
mod prepared;
mod questions;
mod savepoint;
mod service;
mod startup;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::pgwire::api::auth::sasl::scram::ScramAuth;
use datafusion_postgres::pgwire::api::auth::{AuthSource, LoginInfo, Password, StartupHandler};
use datafusion_postgres::pgwire::api::cancel::CancelHandler;
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::{
    ClientInfo, ErrorHandler, METADATA_USER, PgWireServerHandlers, RandomPidSecretKeyGenerator,
};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::cancel::CancelRequest;
use datafusion_postgres::pgwire::messages::startup::SecretKey;
use datafusion_postgres::pgwire::tokio::TlsAcceptor;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::QueryError;
use super::logins::{Logins, lock};
use super::reckon;
use crate::config::{ITERATIONS, Verifier};
use holder::{Counted, Counts, Holder, Left, LoginKey};
use service::Service;
use startup::Startup;

/// The version that clients go by: what they ask of a server of this version is what datafusion-postgres answers.
const SERVER_VERSION: &str = concat!("16.6 (callweave ", env!("CARGO_PKG_VERSION"), ")");
/// Open connections; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 1_000;
/// Open connections of which it is watched whether the client is still there: each takes a second file handle.
const WATCHED_MAX: usize = 250;
/// Wait after a failure to accept, which is most often one of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For so long a connection without a login is there still, so that its client reads why.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// Time that statements in flight have at a graceful stop.
const DRAIN: Duration = Duration::from_secs(5);

/// The server.
pub struct Postgres {
    logins: Arc<Logins>,
    tls: Option<TlsAcceptor>,
    parser: PostgresCompatibilityParser,
    /// What a connection has between statements: no table, nothing of a login.
    idle: SessionState,
    pids: RandomPidSecretKeyGenerator,
    running: Arc<Running>,
    /// Connections that have not logged in yet, by their [`holder::neighbourhood`].
    strangers: Arc<Counts<IpAddr>>,
    /// Those that have.
    open: Arc<Counts<LoginKey>>,
    /// What answers to unknown names are made with.
    nobody: uuid::Uuid,
}

/// What can be cancelled, by process id.
#[derive(Default)]
struct Running(Mutex<HashMap<i32, (SecretKey, Arc<Current>)>>);

/// The statement that a connection runs now.
#[derive(Default)]
struct Current {
    now: Mutex<CancellationToken>,
    /// The client is no longer there: all that it asked is cancelled.
    gone: CancellationToken,
}

impl Current {
    /// Of the statement that begins now.
    fn next(&self) -> CancellationToken {
        let token = self.gone.child_token();
        *lock(&self.now) = token.clone();
        token
    }

    fn cancel(&self) {
        lock(&self.now).cancel();
    }
}

/// Comes once the other side has closed the connection. Nothing is read while a statement runs, and it would go on for nobody.
async fn closed(watched: Option<TcpStream>) {
    let Some(watched) = watched else { return std::future::pending().await };
    while let Ok(ready) = watched.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            return;
        }
        // What came is for the statement that reads it: here the next change is waited for.
        let _ = watched.try_io(Interest::READABLE, || Err::<(), _>(std::io::ErrorKind::WouldBlock.into()));
    }
}

/// The same connection once more.
fn again(stream: &TcpStream) -> std::io::Result<TcpStream> {
    let again = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
    TcpStream::from_std(again)
}

/// Takes no connection, and says why.
fn refuse(stream: TcpStream, why: PgWireError) -> std::io::Result<()> {
    let mut told = BytesMut::new();
    PgWireBackendMessage::ErrorResponse(ErrorInfo::from(why).into()).encode(&mut told)?;
    // It does not block: what is written fits a new connection's buffer.
    let mut stream = stream.into_std()?;
    // What is closed with something unread in it is reset, and the words may be lost.
    let unread = stream.read(&mut [0; 1 << 10]).unwrap_or(0);
    tracing::trace!(unread, "refused a connection of postgres");
    stream.write_all(&told)
}

/// What statements are described by: with the rules that types follow from.
fn idle() -> SessionState {
    let context = SessionContext::new();
    if let Err(error) = reckon::register(&context) {
        tracing::error!(%error, "answers may be described otherwise than they are");
    }
    context.state()
}

impl Postgres {
    /// `tls`: what connections are encrypted with if the client asks for it.
    pub fn new(logins: Arc<Logins>, tls: Option<TlsAcceptor>) -> Arc<Postgres> {
        Arc::new(Postgres {
            logins,
            tls,
            parser: PostgresCompatibilityParser::new(),
            idle: idle(),
            pids: RandomPidSecretKeyGenerator::default(),
            running: Arc::default(),
            strangers: Counts::new(holder::STRANGERS_MAX),
            open: Counts::new(holder::OF_LOGIN_MAX),
            nobody: uuid::Uuid::new_v4(),
        })
    }

    /// Serves until `shutdown`; statements in flight then have five seconds to end.
    pub async fn serve(self: Arc<Self>, socket: TcpListener, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, socket.accept().await))
            };
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = next => accepted,
            };
            match accepted {
                Some((place, Ok((stream, peer)))) => {
                    let Some(stranger) = self.strangers.one(holder::neighbourhood(peer.ip())) else {
                        let told = refuse(stream, holder::too_many_strangers());
                        tracing::debug!(%peer, ?told, "too many connections of this address have not logged in");
                        continue;
                    };
                    let (connection, cut) = (Connection::new(&self, stranger), cut.clone());
                    let watched = (places.available_permits() >= CONNECTIONS_MAX - WATCHED_MAX).then(|| again(&stream));
                    connections.spawn(async move {
                        connection.run(stream, peer, watched.and_then(Result::ok), cut).await;
                        drop(place);
                    });
                }
                Some((_, Err(error))) => {
                    tracing::warn!(%error, "could not accept a connection of postgres");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                None => break,
            }
        }
        connections.close();
        // A client that is idle keeps its connection: it is not waited for.
        for (_, current) in lock(&self.running.0).values() {
            current.cancel();
        }
        cut.cancel();
        if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "left connections of postgres that did not end");
        }
    }
}

/// One connection.
struct Connection {
    server: Arc<Postgres>,
    service: Arc<Service>,
    current: Arc<Current>,
    holder: Arc<Holder>,
}

impl Connection {
    fn new(server: &Arc<Postgres>, stranger: Counted<IpAddr>) -> Connection {
        let (current, holder) = (Arc::new(Current::default()), Holder::new(stranger));
        let service = Service::new(Arc::clone(server), Arc::clone(&current), Arc::clone(&holder));
        Connection { server: Arc::clone(server), service: Arc::new(service), current, holder }
    }

    async fn run(self, stream: TcpStream, peer: SocketAddr, watched: Option<TcpStream>, cut: CancellationToken) {
        let gone = self.current.gone.clone();
        let (server, holder) = (Arc::clone(&self.server), Arc::clone(&self.holder));
        let tls = server.tls.clone();
        tokio::select! {
            () = cut.cancelled() => {}
            () = async {
                closed(watched).await;
                gone.cancel();
                std::future::pending().await
            } => {}
            // pgwire would go on listening, even after an error that it calls fatal.
            () = async {
                holder.refused.cancelled().await;
                tokio::time::sleep(TOLD_WITHIN).await;
            } => {}
            ended = conversation::answer(stream, tls, self) => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection of postgres ended");
                }
            }
        }
        match holder.left() {
            Left::Number(pid) => {
                lock(&server.running.0).remove(&pid);
            }
            Left::Wrong(name) => server.logins.was_wrong(&name),
            Left::Nothing => {}
        }
    }
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.service)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.service)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        let passwords = Passwords { server: Arc::clone(&self.server), holder: Arc::clone(&self.holder) };
        let mut scram = ScramAuth::new(Arc::new(passwords));
        scram.set_iterations(ITERATIONS as usize);
        let (server, current) = (Arc::clone(&self.server), Arc::clone(&self.current));
        Arc::new(Startup::new(server, current, Arc::clone(&self.holder), scram))
    }

    fn error_handler(&self) -> Arc<impl ErrorHandler> {
        Arc::new(Errors { server: Arc::clone(&self.server), holder: Arc::clone(&self.holder) })
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(Cancel(Arc::clone(&self.server.running)))
    }
}

struct Cancel(Arc<Running>);

#[async_trait]
impl CancelHandler for Cancel {
    async fn on_cancel_request(&self, request: CancelRequest) {
        if let Some((secret, current)) = lock(&self.0.0).get(&request.pid)
            && secret.eq_value(&request.secret_key)
        {
            current.cancel();
        }
    }
}

/// The verifiers of the logins.
struct Passwords {
    server: Arc<Postgres>,
    holder: Arc<Holder>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl AuthSource for Passwords {
    // As `async_trait` has it: see `query`.
    fn get_password<'a, 'b, 'f>(&'a self, login: &'b LoginInfo) -> BoxFuture<'f, PgWireResult<Password>>
    where
        'a: 'f,
        'b: 'f,
    {
        self.verifier(login.user().unwrap_or_default().to_owned(), login.database().map(str::to_owned))
    }
}

impl Passwords {
    /// Of a name that nobody has it gives something that no password fits, so that names cannot be found out.
    fn verifier(&self, user: String, database: Option<String>) -> BoxFuture<'_, PgWireResult<Password>> {
        async move {
            let found = self.server.logins.find(&user, database.as_deref()).await;
            let name = Logins::name(found.as_deref(), &user);
            self.server.logins.may_try(&name).map_err(|why| QueryError::Login(why.to_string()))?;
            let verifier = match &found {
                Some(reader) => reader.verifier.clone(),
                None => Verifier::of_nobody(&user, self.server.nobody.as_bytes()),
            };
            self.holder.ask(name, found);
            Ok(Password::new(Some(verifier.salt), verifier.hash.to_vec()))
        }
        .boxed()
    }
}

struct Errors {
    server: Arc<Postgres>,
    holder: Arc<Holder>,
}

impl ErrorHandler for Errors {
    fn on_error<C>(&self, client: &C, error: &mut PgWireError)
    where
        C: ClientInfo,
    {
        // SCRAM says no name: it stands in what the connection began with.
        if let (PgWireError::InvalidPassword(name), Some(user)) = (&mut *error, client.metadata().get(METADATA_USER)) {
            name.clone_from(user);
        }
        if let PgWireError::ApiError(_) | PgWireError::UserError(_) = error {
            let told = std::mem::replace(error, PgWireError::QueryCanceled);
            *error = errors::told(told);
        }
        // After other errors pgwire takes statements, though nobody has logged in.
        if !self.holder.is_in() {
            let told = std::mem::replace(error, PgWireError::QueryCanceled);
            *error = errors::as_fatal(told);
            self.holder.refused.cancel();
            // Now: whoever keeps the connection open would not be counted for as long.
            if let Left::Wrong(name) = self.holder.left() {
                self.server.logins.was_wrong(&name);
            }
        }
        tracing::debug!(peer = %client.socket_addr(), %error, "told an error by postgres");
    }
}
