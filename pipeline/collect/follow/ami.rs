//! Asterisk's manager interface: one connection, opened again whenever it ends.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Feed;
use crate::config::Secret;

/// Time to connect, to greet, and to let us in.
const LOGIN_TIME: Duration = Duration::from_secs(10);
/// A connection on which nothing comes for so long is asked whether it lives, and given up after as long again.
const SILENCE: Duration = Duration::from_secs(30);
/// Waits between connections: from the first, doubling, to the last; after a connection that lasted they begin anew.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Bytes of the greeting, and of the answer to the login.
const LINE_BYTES_MAX: u64 = 64 << 10;
const READ_BYTES: usize = 64 << 10;
const LOGIN_ID: &str = "callweave-login";

/// Where and as whom.
pub struct Ami {
    /// `HOST:PORT`
    pub address: String,
    pub user: String,
    pub secret: Secret,
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it cannot be reached: {0}")]
    Unreachable(std::io::Error),
    #[error("it does not answer within {} seconds", .0.as_secs())]
    Silent(Duration),
    #[error("what answers there is no Asterisk manager")]
    NoManager,
    #[error(
        "it does not let this user in; look at manager.conf: user, secret, `read = call,cdr,dialplan`, and `permit`"
    )]
    NotLetIn,
    #[error("it broke off: {0}")]
    Broken(std::io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("stopping")]
    Stopping,
}

impl Ami {
    /// Feeds what the manager says until `shutdown`.
    pub async fn run(self, mut feed: Feed, shutdown: CancellationToken) {
        let mut wait = PAUSES.0;
        loop {
            let began = Instant::now();
            feed.begins();
            let ended = tokio::select! {
                () = shutdown.cancelled() => return,
                ended = self.session(&mut feed, &shutdown) => ended,
            };
            if matches!(ended, Ended::Stopping) {
                return;
            }
            feed.failed();
            tracing::warn!(address = %self.address, reason = %ended, "the connection to an Asterisk manager ended");
            if began.elapsed() > PAUSES.1 {
                wait = PAUSES.0;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(wait) => {}
            }
            wait = (wait * 2).min(PAUSES.1);
        }
    }

    async fn session(&self, feed: &mut Feed, shutdown: &CancellationToken) -> Ended {
        let login = timeout(LOGIN_TIME, self.login());
        let mut stream = match login.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(ended)) => return ended,
            Err(_) => return Ended::Silent(LOGIN_TIME),
        };
        tracing::info!(address = %self.address, "following an Asterisk manager");
        let mut bytes = vec![0; READ_BYTES];
        let mut asked = false;
        loop {
            match timeout(SILENCE, stream.read(&mut bytes)).await {
                Ok(Ok(0)) => return Ended::Closed,
                Ok(Ok(read)) => {
                    asked = false;
                    if feed.take(&bytes[..read], shutdown).await.is_none() {
                        return Ended::Stopping;
                    }
                }
                Ok(Err(error)) => return Ended::Broken(error),
                Err(_) if asked => return Ended::Silent(SILENCE * 2),
                Err(_) => {
                    asked = true;
                    if let Err(error) = stream.write_all(b"Action: Ping\r\n\r\n").await {
                        return Ended::Broken(error);
                    }
                }
            }
        }
    }

    /// Connects and logs in. What the manager says before it has let us in is of nobody's call.
    async fn login(&self) -> Result<BufReader<TcpStream>, Ended> {
        let stream = TcpStream::connect(&self.address).await.map_err(Ended::Unreachable)?;
        let mut stream = BufReader::new(stream);
        let greeting = line(&mut stream).await?;
        if !greeting.starts_with("Asterisk Call Manager") {
            return Err(Ended::NoManager);
        }
        let action = format!(
            "Action: Login\r\nActionID: {LOGIN_ID}\r\nUsername: {}\r\nSecret: {}\r\nEvents: call,cdr,dialplan\r\n\r\n",
            self.user,
            self.secret.reveal()
        );
        stream.write_all(action.as_bytes()).await.map_err(Ended::Broken)?;
        let (mut response, mut ours) = (String::new(), false);
        loop {
            let line = line(&mut stream).await?;
            match line.split_once(':') {
                Some(("Response", value)) => response = value.trim().to_owned(),
                Some(("ActionID", value)) => ours = value.trim() == LOGIN_ID,
                // Old managers do not repeat the id; before the login there is nothing else to answer.
                _ if line.is_empty() && !response.is_empty() && (ours || response == "Error") => {
                    return if response == "Success" { Ok(stream) } else { Err(Ended::NotLetIn) };
                }
                _ if line.is_empty() => (response, ours) = (String::new(), false),
                _ => {}
            }
        }
    }
}

/// One line without its end.
async fn line(stream: &mut BufReader<TcpStream>) -> Result<String, Ended> {
    let mut bytes = Vec::new();
    let read = AsyncReadExt::take(&mut *stream, LINE_BYTES_MAX).read_until(b'\n', &mut bytes).await;
    match read {
        Ok(0) => Err(Ended::Closed),
        Ok(_) => Ok(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned()),
        Err(error) => Err(Ended::Broken(error)),
    }
}
