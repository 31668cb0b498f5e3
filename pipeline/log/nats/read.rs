//! Reading in order, without acknowledgements: an ephemeral pull consumer from the wanted sequence, whose own numbering
//! shows a lost message at once. Whatever goes wrong, a new consumer begins behind the last entry handed out.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::{Batch, Config};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{DirectGetErrorKind, RawMessageErrorKind};
use async_nats::jetstream::{Error as JetStreamError, ErrorCode};
use callweave_core::time::Time;
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Link;
use crate::log::{Entry, ReadError, Subject, frame};

/// One pull asks for so many messages: the client's default of 200 costs half the throughput.
const PULL_MESSAGES: usize = 5000;
/// … and so many bytes, or two of the largest messages: this is what a reader may hold in memory.
const PULL_BYTES: usize = 16 << 20;
/// A server of 2.9.10 was seen to leave pulls that are bounded in bytes without an answer, for as long as they live (benches/README.md);
/// none of 2.15 was. Servers before this are asked for as many messages instead as are so many bytes if all are of the largest size:
/// they cut off whom they have more than 64 MiB for (`max_pending`).
const PULLS_BOUNDED_SINCE: (i64, i64) = (2, 10);
/// A pull that finds nothing ends after this.
const PULL_EXPIRES: Duration = Duration::from_secs(2);
/// One that lives longer was not ended by the server: consumer or connection are gone.
const PULL_OVERDUE: Duration = Duration::from_secs(4);
/// One batch that is handed out.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_ENTRIES: usize = 4096;
/// The server forgets a consumer that nobody pulls from.
const CONSUMER_IDLE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);
/// A stream that does not exist for so long was deleted; a cluster may be this slow to come up.
const GONE_AFTER: Duration = Duration::from_secs(30);

/// The sequences of a stream: `first..=last`, none where `first` is `last + 1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounds {
    /// When the stream was made, which no other of its name was.
    pub(super) made: String,
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Bounds {
    fn check(&self, partition: u16, after: u64) -> Result<(), ReadError> {
        if after > self.last {
            return Err(ReadError::Rewound { partition, after, last: self.last });
        }
        if after + 1 < self.first {
            return Err(ReadError::Lost { partition, after, first: self.first });
        }
        Ok(())
    }
}

pub(super) async fn bounds(link: &Link, partition: u16) -> Result<Bounds, ReadError> {
    match find_bounds(link, partition).await {
        Ok(bounds) => Ok(bounds),
        Err(trouble) => {
            if trouble.gone {
                link.mend(partition).await;
            }
            Err(trouble.into_error())
        }
    }
}

/// The stream is gone, or cannot be asked now.
struct Trouble {
    reason: String,
    gone: bool,
}

impl Trouble {
    fn new(error: &(dyn std::error::Error + 'static)) -> Trouble {
        let told = error.source().and_then(|source| source.downcast_ref::<JetStreamError>());
        let gone = told.is_some_and(|told| told.error_code() == ErrorCode::STREAM_NOT_FOUND);
        Trouble { reason: error.to_string(), gone }
    }

    fn into_error(self) -> ReadError {
        ReadError::Unavailable(self.reason)
    }
}

async fn find_bounds(link: &Link, partition: u16) -> Result<Bounds, Trouble> {
    let stream = link.context.get_stream_no_info(link.stream(partition)).await;
    let stream = stream.map_err(|error| Trouble::new(&error))?;
    let info = stream.get_info().await.map_err(|error| Trouble::new(&error))?;
    let (made, state) = (info.created.unix_timestamp_nanos().to_string(), info.state);
    // An empty stream that never had a message says 0 for both.
    let first = if state.messages == 0 { state.last_sequence + 1 } else { state.first_sequence };
    Ok(Bounds { made, first, last: state.last_sequence })
}

/// By direct get: in a cluster a follower may answer that lags a moment; then a compare-and-append conflicts and tells.
pub(super) async fn last_of_subject(link: &Link, subject: &Subject) -> Result<Option<Entry>, ReadError> {
    let unavailable = |error: &dyn std::fmt::Display| ReadError::Unavailable(error.to_string());
    let stream = link.context.get_stream_no_info(link.stream(subject.partition())).await;
    let stream = stream.map_err(|error| unavailable(&error))?;
    match stream.direct_get_last_for_subject(subject.as_str()).await {
        Ok(message) => Ok(Some(entry_of(message))),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(unavailable(&error)),
    }
}

fn entry_of(message: StreamMessage) -> Entry {
    Entry {
        sequence: message.sequence,
        subject: message.subject.to_string(),
        appended: micros(message.time.unix_timestamp_nanos()),
        payload: frame::unpack(message.payload),
    }
}

/// A subject's first entry behind `after`.
pub(super) async fn next_of_subject(link: &Link, subject: &Subject, after: u64) -> Result<Option<Entry>, ReadError> {
    let message = first_message(link, subject, after.saturating_add(1)).await?;
    Ok(message.map(entry_of))
}

/// Sequence and message id of a subject's first entry from `from` on.
pub(super) async fn first_of_subject(
    link: &Link,
    subject: &Subject,
    from: u64,
) -> Result<Option<(u64, String)>, ReadError> {
    let message = first_message(link, subject, from).await?;
    Ok(message.map(|message| {
        let id = message.headers.get(async_nats::header::NATS_MESSAGE_ID).map(ToString::to_string);
        (message.sequence, id.unwrap_or_default())
    }))
}

/// The first message of a subject from `from` on, as the stream's leader has it.
async fn first_message(link: &Link, subject: &Subject, from: u64) -> Result<Option<StreamMessage>, ReadError> {
    let unavailable = |error: &dyn std::fmt::Display| ReadError::Unavailable(error.to_string());
    let stream = link.context.get_stream_no_info(link.stream(subject.partition())).await;
    let stream = stream.map_err(|error| unavailable(&error))?;
    match stream.get_first_raw_message_by_subject(subject.as_str(), from).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unavailable(&error)),
    }
}

fn micros(nanos: i128) -> Time {
    Time(i64::try_from(nanos.div_euclid(1000)).unwrap_or(i64::MAX))
}

/// A reader's place and its present consumer.
pub(super) struct Reader {
    link: Arc<Link>,
    partition: u16,
    after: u64,
    faults: watch::Receiver<u64>,
    source: Option<Source>,
    gone_since: Option<Instant>,
    /// The stream that is read: when it was made.
    made: Option<String>,
}

struct Source {
    consumer: Consumer<Config>,
    /// The consumer's number of the next message.
    next: u64,
    pull: Batch,
    bound: Bound,
    begun: Instant,
}

/// How much one pull asks for.
#[derive(Clone, Copy)]
enum Bound {
    Bytes(usize),
    Messages(usize),
}

/// Why a source is given up.
enum Broken {
    Anew(String),
    Final(ReadError),
}

impl Reader {
    pub(super) fn new(link: Arc<Link>, partition: u16, after: u64) -> Reader {
        let faults = link.faults.clone();
        Reader { link, partition, after, faults, source: None, gone_since: None, made: None }
    }

    /// The next batch, whatever it takes.
    pub(super) async fn next(&mut self) -> Result<Vec<Entry>, ReadError> {
        loop {
            let Some(source) = self.source.as_mut() else {
                self.open().await?;
                continue;
            };
            let first = tokio::select! {
                biased;
                Ok(()) = self.faults.changed() => Err(Broken::Anew("messages were dropped".into())),
                first = source.first() => first,
            };
            let taken = match first {
                Ok(Some(first)) => self.take(first).await,
                Ok(None) => continue,
                Err(broken) => Err(broken),
            };
            match taken {
                Ok(entries) => return Ok(entries),
                Err(Broken::Final(error)) => return Err(error),
                Err(Broken::Anew(reason)) => {
                    tracing::info!(partition = self.partition, after = self.after, reason, "reading anew from nats");
                    self.source = None;
                }
            }
        }
    }

    /// Makes a consumer, or pauses where that cannot be done now.
    async fn open(&mut self) -> Result<(), ReadError> {
        match self.try_open().await {
            Ok(source) => {
                self.source = Some(source?);
                self.gone_since = None;
            }
            Err(trouble) => {
                let since = *self.gone_since.get_or_insert_with(Instant::now);
                if !trouble.gone {
                    self.gone_since = None;
                } else if since.elapsed() >= GONE_AFTER {
                    return Err(trouble.into_error());
                }
                tracing::warn!(partition = self.partition, reason = trouble.reason, "cannot read from nats yet");
                if trouble.gone {
                    self.link.mend(self.partition).await;
                }
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    async fn try_open(&mut self) -> Result<Result<Source, ReadError>, Trouble> {
        self.faults.mark_unchanged();
        let bounds = find_bounds(&self.link, self.partition).await?;
        if *self.made.get_or_insert_with(|| bounds.made.clone()) != bounds.made {
            return Ok(Err(ReadError::Replaced { partition: self.partition }));
        }
        if let Err(error) = bounds.check(self.partition, self.after) {
            return Ok(Err(error));
        }
        let config = Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.after + 1 },
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            inactive_threshold: CONSUMER_IDLE,
            num_replicas: 1,
            memory_storage: true,
            ..Config::default()
        };
        let stream = self.link.stream(self.partition);
        let consumer = self.link.context.create_consumer_on_stream(config, stream).await;
        let consumer = consumer.map_err(|error| Trouble::new(&error))?;
        let (major, minor) = PULLS_BOUNDED_SINCE;
        let is_bounded = self.link.client.is_server_compatible(major, minor, 0);
        let largest = self.link.client.max_payload();
        let bound = if is_bounded {
            Bound::Bytes(PULL_BYTES.max(2 * largest))
        } else {
            Bound::Messages((PULL_BYTES / largest.max(1)).clamp(2, PULL_MESSAGES))
        };
        let pull = pull(&consumer, bound).await;
        let pull = pull.map_err(|reason| Trouble { reason, gone: false })?;
        Ok(Ok(Source { consumer, next: 1, pull, bound, begun: Instant::now() }))
    }

    /// `first` and all that has arrived behind it.
    async fn take(&mut self, first: jetstream::Message) -> Result<Vec<Entry>, Broken> {
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        while let Some(message) = next {
            let entry = match self.accept(message).await {
                Ok(entry) => entry,
                // What is already in hand is good.
                Err(_) if !entries.is_empty() => {
                    self.source = None;
                    break;
                }
                Err(broken) => return Err(broken),
            };
            self.after = entry.sequence;
            bytes += entry.payload.len() + entry.subject.len();
            entries.push(entry);
            if bytes >= BATCH_BYTES || entries.len() >= BATCH_ENTRIES {
                break;
            }
            let ready = self.source.as_mut().and_then(|source| source.pull.next().now_or_never().flatten());
            next = match ready {
                Some(Ok(message)) => Some(message),
                Some(Err(_)) => {
                    self.source = None;
                    None
                }
                None => None,
            };
        }
        Ok(entries)
    }

    /// An entry, if the message is the next one. Sequences that are missing in the stream were deleted one by one by
    /// an operator, or went with the oldest: only the latter is a loss.
    async fn accept(&mut self, message: jetstream::Message) -> Result<Entry, Broken> {
        let (sequence, number, published) = match message.info() {
            Ok(info) => (info.stream_sequence, info.consumer_sequence, info.published.unix_timestamp_nanos()),
            Err(error) => return Err(Broken::Anew(error.to_string())),
        };
        let Some(source) = self.source.as_mut() else {
            return Err(Broken::Anew("the consumer is gone".into()));
        };
        if number != source.next || sequence <= self.after {
            return Err(Broken::Anew(format!("message {number} of the consumer came in place of {}", source.next)));
        }
        source.next += 1;
        if sequence > self.after + 1 {
            let bounds = find_bounds(&self.link, self.partition).await;
            let bounds = bounds.map_err(|trouble| Broken::Anew(trouble.reason))?;
            if self.made.as_ref() != Some(&bounds.made) {
                return Err(Broken::Final(ReadError::Replaced { partition: self.partition }));
            }
            bounds.check(self.partition, self.after).map_err(Broken::Final)?;
        }
        let message = message.split().0;
        Ok(Entry {
            sequence,
            subject: message.subject.into_string(),
            appended: micros(published),
            payload: frame::unpack(message.payload),
        })
    }
}

impl Source {
    /// The next message; `None` after a pull that ended, and was followed by another.
    async fn first(&mut self) -> Result<Option<jetstream::Message>, Broken> {
        match self.pull.next().await {
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(error)) => {
                let reason = error.to_string();
                // The pull's bytes are used up: as good an end as any.
                if reason.contains("Exceeds MaxBytes") || reason.contains("Batch Completed") {
                    return self.pull_again().await.map(|()| None);
                }
                Err(Broken::Anew(reason))
            }
            None if self.begun.elapsed() >= PULL_OVERDUE => Err(Broken::Anew("the server does not answer".into())),
            None => self.pull_again().await.map(|()| None),
        }
    }

    async fn pull_again(&mut self) -> Result<(), Broken> {
        self.pull = pull(&self.consumer, self.bound).await.map_err(Broken::Anew)?;
        self.begun = Instant::now();
        Ok(())
    }
}

async fn pull(consumer: &Consumer<Config>, bound: Bound) -> Result<Batch, String> {
    let pull = consumer.batch().expires(PULL_EXPIRES);
    let pull = match bound {
        Bound::Bytes(bytes) => pull.max_messages(PULL_MESSAGES).max_bytes(bytes),
        Bound::Messages(messages) => pull.max_messages(messages),
    };
    pull.messages().await.map_err(|error| error.to_string())
}
