//! The log that roles meet in, opened as the configuration says.

use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Roles};
use crate::config::Config;
use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
use crate::log::nats::{ConnectError, Credentials, NatsLog, NatsOptions};
use crate::log::{DEFAULT_PARTITIONS, Family, Retention, SharedLog, WhenFull};
use crate::telemetry::troubles::Troubles;

/// The first wait for a server that is away; each next one is twice as long, up to the longest.
const CONNECT_WAIT: Duration = Duration::from_secs(1);
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

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
        let log = EmbeddedLog::open(config.data.join(folder), options).await.map_err(Failure::failed)?;
        return Ok(Arc::new(log));
    };
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
    Ok(Arc::new(connect(options, troubles).await.map_err(Failure::failed)?))
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
