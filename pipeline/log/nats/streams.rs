//! The streams themselves: made, brought up to date, trimmed.

use async_nats::jetstream::Context;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, RequestErrorKind, UpdateStreamError};
use async_nats::jetstream::stream::{Config, DiscardPolicy, PurgeErrorKind, StorageType};
use async_nats::jetstream::{Error as JetStreamError, ErrorCode};

use super::{ConnectError, NatsOptions};
use crate::log::{DEFAULT_PARTITIONS, Family, TrimError, WhenFull};

pub(super) fn name_of(family: Family, partition: u16) -> String {
    match family {
        Family::Events => format!("CALLWEAVE_EVENTS_{partition}"),
        Family::Moments => "CALLWEAVE_MOMENTS".to_owned(),
    }
}

/// Makes the streams that are missing, changes what the options ask for in those that are there, and tells how many
/// partitions the log has.
pub(super) async fn provision(context: &Context, options: &NatsOptions) -> Result<u16, ConnectError> {
    check_jetstream(context, &super::shown(&options.servers)).await?;
    let family = options.family;
    let has = match existing(context, family, 0).await? {
        Some(config) => {
            let told = config.description.as_deref().and_then(|told| partitions_in(family, told));
            Some(told.ok_or_else(|| {
                ConnectError::Stream {
                    stream: name_of(family, 0),
                    reason: "it was not made by callweave (its description does not tell the partitions); remove or \
                         rename it"
                        .into(),
                }
            })?)
        }
        None => None,
    };
    let partitions = match (has, options.partitions) {
        (Some(has), Some(wanted)) if has != wanted => return Err(ConnectError::Partitions { has, wanted }),
        (Some(has), _) => has,
        (None, Some(wanted)) => wanted,
        (None, None) if family == Family::Moments => 1,
        (None, None) => DEFAULT_PARTITIONS,
    };
    // In order: stream 0 tells the number, so one that was interrupted here goes on next time.
    for partition in 0..partitions {
        let stream = name_of(family, partition);
        let failed = |reason: String| ConnectError::Stream { stream: stream.clone(), reason };
        match existing(context, family, partition).await? {
            None => {
                let config = fresh(partition, partitions, options);
                let made = match context.create_stream(&config).await {
                    Err(error) if is_for_want_of_room(&error.kind()) => {
                        warn_of_bound(&config);
                        context.create_stream(Config { max_bytes: UNBOUNDED, ..config }).await
                    }
                    made => made,
                };
                made.map_err(|error| failed(error.to_string()))?;
            }
            Some(config) => {
                let wanted = updated(config.clone(), options);
                let done = match update(context, &config, &wanted).await {
                    Err(error) if is_for_want_of_room(&error.kind()) => {
                        warn_of_bound(&wanted);
                        update(context, &config, &Config { max_bytes: config.max_bytes, ..wanted }).await
                    }
                    done => done,
                };
                done.map_err(|error| failed(error.to_string()))?;
            }
        }
    }
    Ok(partitions)
}

/// What a stream's bound says where it has none.
const UNBOUNDED: i64 = -1;

async fn update(context: &Context, config: &Config, wanted: &Config) -> Result<(), UpdateStreamError> {
    if wanted != config {
        context.update_stream(wanted).await?;
    }
    Ok(())
}

/// A server sets aside as many bytes as a stream may ever have, and refuses a stream for which it has not got them.
fn is_for_want_of_room(kind: &CreateStreamErrorKind) -> bool {
    matches!(kind, CreateStreamErrorKind::JetStream(told) if told.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED)
}

/// The store's own size then bounds the stream: what does not fit is refused, and nothing acknowledged is dropped.
fn warn_of_bound(config: &Config) {
    tracing::warn!(
        stream = config.name,
        bytes = config.max_bytes,
        "nats cannot set so many bytes aside for this stream, so its whole store bounds it; give it a larger store, or \
         this program a smaller retention.log_bytes"
    );
}

/// By the API's own answer, of which only the error is read: the client's type for it wants members that servers before
/// 2.10 do not send.
async fn check_jetstream(context: &Context, servers: &str) -> Result<(), ConnectError> {
    #[derive(serde::Deserialize)]
    struct Answer {
        error: Option<JetStreamError>,
    }
    let servers = servers.to_owned();
    match context.request::<_, _, Answer>("INFO", &()).await {
        Ok(Answer { error: None }) => Ok(()),
        Ok(Answer { error: Some(told) }) => match told.error_code() {
            ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                Err(ConnectError::JetStreamOff { servers })
            }
            _ => Err(ConnectError::JetStream { servers, reason: told.to_string() }),
        },
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Err(ConnectError::JetStreamOff { servers }),
        Err(error) => Err(ConnectError::JetStream { servers, reason: error.to_string() }),
    }
}

pub(super) async fn existing(
    context: &Context,
    family: Family,
    partition: u16,
) -> Result<Option<Config>, ConnectError> {
    let stream = name_of(family, partition);
    match context.get_stream(&stream).await {
        Ok(found) => Ok(Some(found.cached_info().config.clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(told) if told.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            _ => Err(ConnectError::Stream { stream, reason: error.to_string() }),
        },
    }
}

fn described(family: Family) -> &'static str {
    match family {
        Family::Events => "callweave's events, partition ",
        Family::Moments => "callweave's moments, partition ",
    }
}

fn describe(family: Family, partition: u16, partitions: u16) -> String {
    format!("{}{partition} of {partitions}", described(family))
}

fn partitions_in(family: Family, description: &str) -> Option<u16> {
    description.strip_prefix(described(family))?.split_once(" of ")?.1.parse().ok()
}

fn fresh(partition: u16, partitions: u16, options: &NatsOptions) -> Config {
    let config = Config {
        name: name_of(options.family, partition),
        description: Some(describe(options.family, partition, partitions)),
        subjects: vec![options.family.wildcard(partition)],
        storage: StorageType::File,
        num_replicas: 1,
        ..Config::default()
    };
    updated(config, options)
}

/// What the options say; everything else stays as the operator has it.
fn updated(mut config: Config, options: &NatsOptions) -> Config {
    config.allow_direct = true;
    if let Some(replicas) = options.replicas {
        config.num_replicas = replicas;
    }
    if let Some(age) = options.retention.max_age {
        config.max_age = age;
    }
    if let Some(bytes) = options.retention.max_bytes {
        config.max_bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        config.discard = match options.retention.when_full {
            WhenFull::Refuse => DiscardPolicy::New,
            WhenFull::DropOldest => DiscardPolicy::Old,
        };
    }
    // The server refuses a window longer than the age.
    let window = options.window;
    config.duplicate_window = if config.max_age.is_zero() { window } else { window.min(config.max_age) };
    config
}

pub(super) async fn trim(context: &Context, stream: String, before: u64) -> Result<(), TrimError> {
    let unavailable = |error: &dyn std::fmt::Display| TrimError::Unavailable(error.to_string());
    // A purge up to sequence 0 would be one of everything.
    if before <= 1 {
        return Ok(());
    }
    let stream = context.get_stream_no_info(stream).await.map_err(|error| unavailable(&error))?;
    // A purge past the end would move the next sequence.
    let info = stream.get_info().await.map_err(|error| unavailable(&error))?;
    let before = before.min(info.state.last_sequence + 1);
    if before <= info.state.first_sequence {
        return Ok(());
    }
    match stream.purge().sequence(before).await {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            PurgeErrorKind::JetStream(told) => Err(TrimError::Refused(told.to_string())),
            PurgeErrorKind::Request | PurgeErrorKind::TimedOut => Err(unavailable(&error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_tells_how_many_there_are() {
        for family in [Family::Events, Family::Moments] {
            assert_eq!(partitions_in(family, &describe(family, 3, 8)), Some(8));
            assert_eq!(partitions_in(family, "orders"), None);
        }
    }
}
