//! Logging in by SCRAM-SHA-256 (RFC 7677). pgwire's own handler lets nothing stand between the right password and the first statement.

use std::sync::Arc;

use datafusion_postgres::pgwire::api::auth::sasl::scram::ScramAuth;
use datafusion_postgres::pgwire::api::auth::sasl::{SASLState, SCRAM_SHA_256_METHOD};
use datafusion_postgres::pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::{ClientInfo, PgWireConnectionState, PidSecretKeyGenerator};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::startup::{Authentication, PasswordMessageFamily};
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::future::BoxFuture;
use futures::{FutureExt, Sink, SinkExt};
use tokio::sync::Mutex;

use super::holder::Holder;
use super::{Current, Postgres, SERVER_VERSION};
use crate::query::logins::lock;

/// The login of one connection.
pub(super) struct Startup {
    server: Arc<Postgres>,
    current: Arc<Current>,
    holder: Arc<Holder>,
    scram: ScramAuth,
    parameters: DefaultServerParameterProvider,
    state: Mutex<SASLState>,
}

impl Startup {
    pub fn new(server: Arc<Postgres>, current: Arc<Current>, holder: Arc<Holder>, scram: ScramAuth) -> Startup {
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.server_version = SERVER_VERSION.to_owned();
        parameters.is_superuser = false;
        parameters.default_transaction_read_only = true;
        Startup { server, current, holder, scram, parameters, state: Mutex::new(SASLState::Initial) }
    }

    fn go_on<'f, C>(&'f self, client: &'f mut C, message: PgWireFrontendMessage) -> BoxFuture<'f, PgWireResult<()>>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        async move {
            match message {
                PgWireFrontendMessage::Startup(startup) => {
                    protocol_negotiation(client, &startup).await?;
                    save_startup_parameters_to_metadata(client, &startup);
                    client.set_state(PgWireConnectionState::AuthenticationInProgress);
                    let methods = Authentication::SASL(vec![SCRAM_SHA_256_METHOD.to_owned()]);
                    client.send(PgWireBackendMessage::Authentication(methods)).await?;
                }
                PgWireFrontendMessage::PasswordMessageFamily(message) => {
                    let mut state = self.state.lock().await;
                    let message = if matches!(*state, SASLState::Initial) {
                        let first = message.into_sasl_initial_response()?;
                        if first.auth_method != SCRAM_SHA_256_METHOD {
                            return Err(PgWireError::UnsupportedSASLAuthMethod(first.auth_method));
                        }
                        *state = SASLState::ScramClientFirstReceived;
                        PasswordMessageFamily::SASLInitialResponse(first)
                    } else {
                        PasswordMessageFamily::SASLResponse(message.into_sasl_response()?)
                    };
                    let (answer, next) = self.scram.process_scram_message(client, message, &state).await?;
                    client.send(PgWireBackendMessage::Authentication(answer)).await?;
                    let is_right = matches!(next, SASLState::Finished);
                    *state = next;
                    if is_right {
                        let (pid, secret) = self.server.pids.generate(client);
                        self.holder.enter(&self.server.open, pid)?;
                        lock(&self.server.running.0).insert(pid, (secret.clone(), Arc::clone(&self.current)));
                        client.set_pid_and_secret_key(pid, secret);
                        finish_authentication(client, &self.parameters).await?;
                    }
                }
                _ => {}
            }
            Ok(())
        }
        .boxed()
    }
}

impl StartupHandler for Startup {
    // As `async_trait` has it: see `query`.
    fn on_startup<'a, 'b, 'f, C>(
        &'a self,
        client: &'b mut C,
        message: PgWireFrontendMessage,
    ) -> BoxFuture<'f, PgWireResult<()>>
    where
        'a: 'f,
        'b: 'f,
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'f,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.go_on(client, message)
    }
}
