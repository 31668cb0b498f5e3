//! The log that roles meet in, opened as the configuration says.

use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Roles};
use crate::config::{Config, is_in_the_way};
use crate::log::embedded::{EmbeddedLog, EmbeddedOptions, OpenError};
use crate::log::nats::{self, ConnectError, Credentials, NatsLog, NatsOptions};
use crate::log::{DEFAULT_PARTITIONS, Family, Retention, SharedLog, WhenFull};
use crate::telemetry::troubles::Troubles;

/// The first wait for a server that is away; each next one is twice as long, up to the longest.
const CONNECT_WAIT: Duration = Duration::from_secs(1);
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

/// What another start finds no better is a wrong configuration.
impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        let is_usage = match &error {
            OpenError::Partitions { .. } | OpenError::PartitionCount(_) => true,
            OpenError::Io { source, .. } => is_in_the_way(source),
            _ => false,
        };
        if is_usage { Failure::Usage(error.to_string()) } else { Failure::failed(error) }
    }
}

/// Likewise; what the server says of itself and of logins may be mended there.
impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        match error {
            ConnectError::Servers { .. }
            | ConnectError::CredentialsFile { .. }
            | ConnectError::Partitions { .. }
            | ConnectError::PartitionCount(_) => Failure::Usage(error.to_string()),
            _ => Failure::failed(error),
        }
    }
}

/// The events, and the moments where a role needs them.
pub async fn open_all(
    config: &Config,
    roles: Roles,
    troubles: &Troubles,
) -> Result<(SharedLog, Option<SharedLog>), Failure> {
    let events = open(config, Family::Events, troubles).await?;
    let moments = match roles.process || roles.notify {
        true => Some(open(config, Family::Moments, troubles).await?),
        false => None,
    };
    Ok((events, moments))
}

/// The events or the moments: embedded in the data folder, or on NATS once that is there.
async fn open(config: &Config, family: Family, troubles: &Troubles) -> Result<SharedLog, Failure> {
    let partitions = u64::from(config.partitions.unwrap_or(DEFAULT_PARTITIONS));
    let kept = &config.retention;
    let (folder, partitions, retention) = match family {
        Family::Events => {
            // The log bounds each partition.
            let max_bytes = kept.log_bytes.map(|bytes| bytes / partitions);
            ("log", config.partitions, Retention { max_age: kept.log_age, max_bytes, when_full: WhenFull::Refuse })
        }
        Family::Moments => {
            let (max_age, max_bytes) = (Some(kept.moments_age), Some(kept.moments_bytes));
            ("moments", Some(1), Retention { max_age, max_bytes, when_full: WhenFull::DropOldest })
        }
    };
    let Some(nats) = &config.nats else {
        let options = EmbeddedOptions { partitions, retention, ..EmbeddedOptions::default() };
        return Ok(Arc::new(EmbeddedLog::open(config.data.join(folder), options).await?));
    };
    let wrong = nats::look_over(nats.credentials_file.as_deref(), nats.ca.as_deref());
    if !wrong.is_empty() {
        return Err(Failure::Usage(wrong.join("\n")));
    }
    let credentials = match (&nats.credentials_file, &nats.user, &nats.password, &nats.token) {
        (Some(path), ..) => Credentials::File(path.clone()),
        (None, Some(user), Some(password), _) => {
            Credentials::UserPassword { user: user.clone(), password: password.reveal().to_owned() }
        }
        (None, _, _, Some(token)) => Credentials::Token(token.reveal().to_owned()),
        _ => Credentials::None,
    };
    let options = NatsOptions {
        credentials,
        tls_ca: nats.ca.clone(),
        family,
        partitions,
        retention,
        folder: Some(config.data.clone()),
        ..NatsOptions::new(nats.url.clone())
    };
    Ok(Arc::new(connect(options, troubles).await?))
}

/// What `/readyz` says of it while it is waited for.
const WAITING: &str = "waiting for nats";

/// Waits for a server that is only away: what starts at night, or before its server, needs nobody to start it again.
async fn connect(options: NatsOptions, troubles: &Troubles) -> Result<NatsLog, ConnectError> {
    let mut wait = CONNECT_WAIT;
    loop {
        match NatsLog::connect(options.clone()).await {
            Err(error) if error.is_passing() => {
                troubles.failed(WAITING, &error);
                tracing::warn!(%error, retry_seconds = wait.as_secs(), "{WAITING}");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(CONNECT_WAIT_MAX);
            }
            result => {
                troubles.done(WAITING);
                return result;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Nats;

    fn status(config: &Config) -> Option<u8> {
        let runtime = super::super::runtime().expect("threads");
        let opened = runtime.block_on(open_all(config, Roles::COLLECT, &Troubles::default()));
        opened.err().map(|failure| failure.status())
    }

    #[test]
    fn a_log_that_cannot_be_as_configured_is_a_wrong_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "no PEM").expect("written");
        let of = |partitions| Config { data: at("data"), partitions, ..Config::default() };
        assert_eq!(status(&of(Some(2))), None);
        assert_eq!(status(&of(Some(3))), Some(2), "it has two");
        assert_eq!(status(&Config { data: at("file"), ..Config::default() }), Some(2), "no folder");
        let url = || Nats { url: "nats://127.0.0.1:1".to_owned(), ..Nats::default() };
        let (ca, credentials) = (Some(at("file")), Some(at("file")));
        for nats in [Nats { ca, ..url() }, Nats { credentials_file: credentials, ..url() }] {
            assert_eq!(status(&Config { nats: Some(nats), ..of(None) }), Some(2), "no PEM");
        }
    }
}
