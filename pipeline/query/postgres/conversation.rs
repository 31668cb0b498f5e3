//! The messages of one connection, one after the other. It is what pgwire's own loop does, but that no message may be longer than is said
//! here: pgwire gathers up to a gigabyte of one before it asks who sends it.

use std::io;
use std::time::Duration;

use datafusion_postgres::pgwire::api::{ErrorHandler, PgWireServerHandlers};
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::PgWireFrontendMessage;
use datafusion_postgres::pgwire::tokio::TlsAcceptor;
use datafusion_postgres::pgwire::tokio::server::{
    MaybeTls, PgWireMessageServerCodec, negotiate_tls, process_error, process_message,
};
use futures::StreamExt;
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_util::codec::Framed;

use super::{Connection, errors};

/// Bytes of a message of whoever has not logged in: of a start-up there are at most 10,000.
const STRANGERS_MESSAGE_MAX: usize = 64 << 10;
/// Bytes of a message: a statement of 1 MiB, or its parameters.
pub(super) const MESSAGE_MAX: usize = 8 << 20;
/// So long may a login take.
const STARTUP_WITHIN: Duration = Duration::from_secs(60);

type Talk<S> = Framed<MaybeTls, PgWireMessageServerCodec<S>>;

/// Answers until the client goes, or is shown out.
pub(super) async fn answer(stream: TcpStream, tls: Option<TlsAcceptor>, connection: Connection) -> io::Result<()> {
    let holder = &connection.holder;
    let mut startup = std::pin::pin!(tokio::time::sleep(STARTUP_WITHIN));
    let talk = tokio::select! {
        () = &mut startup => return Ok(()),
        talk = negotiate_tls(stream, tls) => talk?,
    };
    // TLS at once, and there is none.
    let Some(mut talk) = talk else { return Ok(()) };
    let (starter, simple, extended) =
        (connection.startup_handler(), connection.simple_query_handler(), connection.extended_query_handler());
    let (copier, canceller) = (connection.copy_handler(), connection.cancel_handler());
    let handler = connection.error_handler();
    loop {
        let heard = match holder.is_in() {
            true => next(&mut talk, MESSAGE_MAX).await,
            false => next_of_stranger(&mut talk, startup.as_mut()).await,
        };
        let (told, waits) = match heard {
            None | Some(Ok(PgWireFrontendMessage::Terminate(_))) => return Ok(()),
            Some(Err(error)) => {
                let mut error = errors::as_fatal(error);
                handler.on_error(&talk, &mut error);
                return process_error(&mut talk, error, false).await;
            }
            Some(Ok(message)) => {
                let waits = message.is_extended_query();
                let (starter, simple, extended) = (starter.clone(), simple.clone(), extended.clone());
                let (copier, canceller) = (copier.clone(), canceller.clone());
                (process_message(message, &mut talk, starter, simple, extended, copier, canceller).await, waits)
            }
        };
        if let Err(mut error) = told {
            handler.on_error(&talk, &mut error);
            process_error(&mut talk, error, waits).await?;
        }
    }
}

/// Nothing once a login has taken too long.
async fn next_of_stranger<S>(
    talk: &mut Talk<S>,
    startup: std::pin::Pin<&mut Sleep>,
) -> Option<Result<PgWireFrontendMessage, PgWireError>> {
    tokio::select! {
        () = startup => None,
        message = next(talk, STRANGERS_MESSAGE_MAX) => message,
    }
}

/// The next message. What is read is looked at whenever nothing more has come: what is not a whole message by then, and longer than `most`,
/// will not be heard to its end.
async fn next<S>(talk: &mut Talk<S>, most: usize) -> Option<Result<PgWireFrontendMessage, PgWireError>> {
    std::future::poll_fn(|context| match talk.poll_next_unpin(context) {
        std::task::Poll::Pending if talk.read_buffer().len() > most => {
            let told = format!("a message is longer than {} KiB: ask in parts", most >> 10);
            std::task::Poll::Ready(Some(Err(errors::fatal(errors::TOO_MANY, told))))
        }
        other => other,
    })
    .await
}
