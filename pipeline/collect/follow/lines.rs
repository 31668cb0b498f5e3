//! Telephone systems that connect and send a line a call (3CX, "CDR output to a socket").

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Feed;
use crate::collect::server::Listener;

/// Connections at once: a system opens one, and perhaps another before it has noticed that the first broke.
const CONNECTIONS_MAX: usize = 8;
/// One that says nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(24 * 3600);
/// Wait after a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 64 << 10;

/// A listener for lines of calls.
pub struct Lines {
    pub listener: Listener,
    /// Who may connect. There is no password in what these systems send.
    pub allow: Vec<IpAddr>,
}

impl Lines {
    /// Feeds the lines of all connections until `shutdown`; each connection has a feed of its own.
    pub async fn run(self, feed: impl Fn() -> Feed, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let peer = peer.ip().to_canonical();
                    if !self.allow.iter().any(|allowed| allowed.to_canonical() == peer) {
                        tracing::warn!(%peer, "a stranger connected to where a telephone system may; add it to allow, if it is one");
                        continue;
                    }
                    let Ok(place) = places.clone().try_acquire_owned() else {
                        tracing::warn!(%peer, "a telephone system has too many connections open");
                        continue;
                    };
                    let (feed, shutdown) = (feed(), shutdown.clone());
                    connections.spawn(async move {
                        connection(stream, feed, &shutdown).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection of a telephone system");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

async fn connection(mut stream: TcpStream, mut feed: Feed, shutdown: &CancellationToken) {
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let read = tokio::select! {
            () = shutdown.cancelled() => return,
            read = timeout(SILENCE, stream.read(&mut bytes)) => read,
        };
        let ended = match read {
            Ok(Ok(0)) => "closed".to_owned(),
            Ok(Ok(read)) => match feed.take(&bytes[..read], shutdown).await {
                Some(()) => continue,
                None => return,
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "silent".to_owned(),
        };
        tracing::debug!(reason = %ended, "a connection of a telephone system ended");
        // A last line needs no end.
        let _ = feed.take(b"\n", shutdown).await;
        return;
    }
}
