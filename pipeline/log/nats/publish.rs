//! Appending: pipelined publishing with message ids, tried again until it is known or too late.

use std::error::Error;
use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::{Error as JetStreamError, ErrorCode};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Link, read};
use crate::log::{Append, AppendError, Appended, MAX_SUBJECT_BYTES};

/// Between tries.
const PAUSE: Duration = Duration::from_millis(100);

/// What one try came to.
enum Fate {
    Done(Result<Appended, AppendError>),
    /// Nobody knows, or not now: try again with the same id.
    Unknown(String),
    Conflict {
        told: Option<u64>,
    },
    TooLarge,
    /// Nobody takes such messages now.
    NoStream,
}

pub(super) async fn append_all(
    link: &Link,
    max_payload: usize,
    batch: Vec<Append>,
) -> Vec<Result<Appended, AppendError>> {
    let deadline = Instant::now() + link.append_timeout;
    let mut results: Vec<_> = batch.iter().map(|append| check(link, max_payload, append).err().map(Err)).collect();
    let mut reason = "not connected".to_owned();
    loop {
        let open: Vec<usize> = (0..batch.len()).filter(|&index| results[index].is_none()).collect();
        if open.is_empty() || !connected(link, deadline).await {
            break;
        }
        let mut gone = None;
        for (index, fate) in publish(link, deadline, &batch, &open).await {
            match fate {
                Fate::TooLarge => results[index] = Some(Err(too_large(&batch[index], link.client.max_payload()))),
                Fate::Done(result) => results[index] = Some(result),
                Fate::Conflict { told } => results[index] = conflict(link, &batch[index], told).await,
                Fate::Unknown(told) => reason = told,
                Fate::NoStream => gone = Some(batch[index].subject.partition()),
            }
        }
        if let Some(partition) = gone {
            "there is no stream for it".clone_into(&mut reason);
            link.mend(partition).await;
        }
        if Instant::now() >= deadline {
            break;
        }
        if results.iter().any(Option::is_none) {
            tracing::debug!(reason, "an append to nats is tried again");
            sleep(PAUSE).await;
        }
    }
    let patience = link.append_timeout;
    let unknown = || Err(AppendError::Unavailable(format!("no acknowledgement from nats in {patience:?}: {reason}")));
    results.into_iter().map(|result| result.unwrap_or_else(unknown)).collect()
}

fn check(link: &Link, limit: usize, append: &Append) -> Result<(), AppendError> {
    let (partition, partitions) = (append.subject.partition(), link.partitions);
    if partition >= partitions {
        return Err(AppendError::NoSuchPartition { partition, partitions });
    }
    for (bytes, limit) in [(append.payload.len(), limit), (append.subject.as_str().len(), MAX_SUBJECT_BYTES)] {
        if bytes > limit {
            return Err(AppendError::TooLarge { bytes, limit });
        }
    }
    Ok(())
}

/// The limit is the connection's; a stream may have a smaller one of its own.
fn too_large(append: &Append, limit: usize) -> AppendError {
    AppendError::TooLarge { bytes: append.payload.len(), limit }
}

/// What is published without a connection would wait in the client, and go out long after it was given up.
async fn connected(link: &Link, deadline: Instant) -> bool {
    let mut connected = link.connected.clone();
    matches!(timeout_at(deadline, connected.wait_for(|connected| *connected)).await, Ok(Ok(_)))
}

/// Sends in order. Acknowledgements are taken while it waits for a place: they are what makes places free.
async fn publish(link: &Link, deadline: Instant, batch: &[Append], open: &[usize]) -> Vec<(usize, Fate)> {
    let mut fates = Vec::with_capacity(open.len());
    let mut waiting = FuturesUnordered::new();
    for &index in open {
        let mut send = Box::pin(timeout_at(deadline, send(link, &batch[index])));
        let sent = loop {
            tokio::select! {
                biased;
                sent = &mut send => break sent,
                Some(fate) = waiting.next(), if !waiting.is_empty() => fates.push(fate),
            }
        };
        match sent {
            Ok(Ok(acknowledgement)) => waiting.push(async move {
                let acknowledged = timeout_at(deadline, acknowledgement.into_future()).await;
                (index, acknowledged.map_or_else(|_| too_late(), fate_of))
            }),
            Ok(Err(error)) => fates.push((index, fate_of(Err(error)))),
            Err(_) => fates.push((index, too_late())),
        }
    }
    while let Some(fate) = waiting.next().await {
        fates.push(fate);
    }
    fates
}

fn too_late() -> Fate {
    Fate::Unknown("the time is over".into())
}

async fn send(link: &Link, append: &Append) -> Result<async_nats::jetstream::context::PublishAckFuture, PublishError> {
    let mut message = PublishMessage::build()
        .payload(append.payload.clone())
        .message_id(append.message_id.to_string())
        .expected_stream(link.stream(append.subject.partition()));
    if let Some(expected) = append.expect {
        message = message.expected_last_subject_sequence(expected);
    }
    link.context.send_publish(append.subject.as_str().to_owned(), message).await
}

fn fate_of(acknowledged: Result<PublishAck, PublishError>) -> Fate {
    let error = match acknowledged {
        Ok(PublishAck { sequence, duplicate, .. }) => return Fate::Done(Ok(Appended { sequence, duplicate })),
        Err(error) => error,
    };
    let told = error.source().and_then(|source| source.downcast_ref::<JetStreamError>());
    match (error.kind(), told) {
        (PublishErrorKind::WrongLastSequence, told) => {
            Fate::Conflict { told: told.and_then(|told| sequence_in(&told.to_string())) }
        }
        (_, Some(told)) => refusal(told),
        (PublishErrorKind::MaxPayloadExceeded, _) => Fate::TooLarge,
        (PublishErrorKind::StreamNotFound, _) => Fate::NoStream,
        _ => Fate::Unknown(error.to_string()),
    }
}

/// `wrong last sequence: 42 (code …)`; newer servers may leave the number out.
fn sequence_in(description: &str) -> Option<u64> {
    let (_, after) = description.split_once("wrong last sequence: ")?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn refusal(told: &JetStreamError) -> Fate {
    let full = || Fate::Done(Err(AppendError::Full(told.to_string())));
    match told.error_code() {
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => Fate::Conflict { told: None },
        ErrorCode::STORAGE_RESOURCES_EXCEEDED | ErrorCode::INSUFFICIENT_RESOURCES => full(),
        // The server has one code for every failed store; its limits and a full disk are told by their words.
        ErrorCode::STREAM_STORE_FAILED
            if ["maximum", "exceeded", "no space"].iter().any(|word| told.to_string().contains(word)) =>
        {
            full()
        }
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => Fate::TooLarge,
        _ => Fate::Unknown(told.to_string()),
    }
}

/// `None`, to try again, where the server cannot be asked now.
///
/// Newer servers compare before they look for the message id (2.9 does it after; seen with 2.15). What won the
/// comparison is the first entry of the subject behind `expect`: where that is this very append, it only was made again.
async fn conflict(link: &Link, append: &Append, told: Option<u64>) -> Option<Result<Appended, AppendError>> {
    let winner = read::first_of_subject(link, &append.subject, append.expect.unwrap_or_default() + 1).await.ok()?;
    if let Some((sequence, id)) = winner
        && id == append.message_id.to_string()
    {
        return Some(Ok(Appended { sequence, duplicate: true }));
    }
    let actual = match told {
        Some(actual) => actual,
        None => read::last_of_subject(link, &append.subject).await.ok()?.map_or(0, |entry| entry.sequence),
    };
    let expected = append.expect.unwrap_or_default();
    Some(Err(AppendError::Conflict { subject: append.subject.clone(), expected, actual }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_read_from_the_servers_words() {
        for (words, expected) in [
            ("wrong last sequence: 42 (code 400, error code 10071)", Some(42)),
            ("wrong last sequence: 0", Some(0)),
            ("wrong last sequence", None),
            ("wrong last sequence: x", None),
        ] {
            assert_eq!(sequence_in(words), expected, "{words}");
        }
    }
}
