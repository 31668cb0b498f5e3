//! The log: the one source of truth. Partitions by account, a total order in each, two implementations.
//!
//! [`embedded`] keeps it in one file on one machine, [`nats`] in JetStream. What a payload holds says [`frame`], where
//! it belongs [`subjects`]; [`batching`] makes few large appends of many small events.
//!
//! What both promise:
//! - An append that returned `Ok` is in the log, for every reader, at the sequence it was told. On disk: the embedded
//!   log has fsynced it; JetStream has it as safely as its `sync_interval` and its replicas make it.
//! - Sequences of a partition begin at 1 and rise by one an entry. A reader gets them in order and without gaps, or
//!   an error that says what is missing.
//! - An error of an append other than [`AppendError::Unavailable`] means that the entry is not in the log. After
//!   `Unavailable` nobody knows: append again with the same message id.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use callweave_core::time::Time;
use futures::stream::BoxStream;
use xxhash_rust::xxh3::xxh3_128;

pub mod batching;
pub mod embedded;
pub mod frame;
pub mod nats;
pub mod settings;
mod share;
pub mod subjects;
mod watched;

pub use share::Share;
pub use subjects::{Family, Kind, Subject, partition_of};
pub use watched::Watched;

/// The log as the roles hold it.
pub type SharedLog = Arc<dyn Log>;

/// The partitions a new log gets where nobody says otherwise.
pub const DEFAULT_PARTITIONS: u16 = 4;
/// More partitions than this are refused: each costs a stream, a reader and a state.
pub const MAX_PARTITIONS: u16 = 1024;
/// The longest subject the log takes, in bytes; a NATS server refuses lines of more than 4,096.
pub const MAX_SUBJECT_BYTES: usize = 1024;

/// What an append is recognised by when it is made again. Unique in its partition for as long as the log's window.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u128);

impl MessageId {
    /// The id of content: the same bytes have the same id.
    pub fn of(content: &[u8]) -> MessageId {
        MessageId(xxh3_128(content))
    }
}

/// 32 hexadecimal digits: the value of `Nats-Msg-Id`.
impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::fmt::Debug for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// What is to be appended. The subject names its partition.
#[derive(Debug, Clone)]
pub struct Append {
    pub subject: Subject,
    pub message_id: MessageId,
    /// Append only if the last entry of this very subject has this sequence; 0: only if the log holds none.
    pub expect: Option<u64>,
    /// A frame (see [`frame`]).
    pub payload: Bytes,
}

/// Where an append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub sequence: u64,
    /// The log already had this message id: nothing was added, `sequence` is the first one's.
    pub duplicate: bool,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    pub subject: String,
    /// When the log took it, by the log's own clock; it is stored, so every reader sees the same.
    pub appended: Time,
    /// Unpacked.
    pub payload: Bytes,
}

impl Entry {
    /// The records of the payload.
    pub fn records(&self) -> frame::Records<'_> {
        frame::Records::new(&self.payload, self.appended, &self.subject)
    }
}

/// What happens to an append when the log has reached its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The append is refused ([`AppendError::Full`]): nothing that was acknowledged is lost unread.
    #[default]
    Refuse,
    /// The oldest entries go, read or not. A reader that still needs them gets [`ReadError::Lost`].
    DropOldest,
}

/// How long the log keeps entries that nobody has trimmed. `None`: for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Entries older than this go, read or not; so keep it well above the longest halt of a reader.
    pub max_age: Option<Duration>,
    /// Bytes of subjects and payloads in one partition.
    pub max_bytes: Option<u64>,
    pub when_full: WhenFull,
}

/// Why an append was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error(
        "the last entry of {subject} is {actual} (0: none), not {expected}: somebody else was first; read it again"
    )]
    Conflict { subject: Subject, expected: u64, actual: u64 },
    #[error(
        "an entry of {bytes} bytes is over the log's limit of {limit}; split it, or raise the server's max_payload"
    )]
    TooLarge { bytes: usize, limit: usize },
    #[error("the log is full: {0}; free space, or raise its limits")]
    Full(String),
    #[error(
        "the log cannot be reached now: {0}; whether it took the entry is unknown: append it again with the same id"
    )]
    Unavailable(String),
    #[error("partition {partition} does not exist: the log has {partitions} (0 to {})", .partitions - 1)]
    NoSuchPartition { partition: u16, partitions: u16 },
    #[error(
        "the log's file is damaged: {0}; restore the folder from a copy, or move log.redb away to begin a new log, which goes on from \
         the lake's newest snapshot (docs/operations.md: a log is lost)"
    )]
    Damaged(String),
}

/// Why nothing can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error(
        "partition {partition}: entries after {after} are gone, the oldest is {first}: they were trimmed or outlived \
         the log's retention before they were read"
    )]
    Lost { partition: u16, after: u64, first: u64 },
    #[error(
        "partition {partition}: the log ends at {last}, but {after} entries were read before: this is another log, or \
         an older copy of it, and what it takes from now on would be taken for known. Put the newest copy of the log back, or begin \
         with a new lake (which takes all that this log holds), or move this log away, too: a new one goes on where the lake is"
    )]
    Rewound { partition: u16, after: u64, last: u64 },
    #[error(
        "partition {partition}: the log is another one than when reading it began: its stream was removed and made anew"
    )]
    Replaced { partition: u16 },
    #[error("partition {partition}: entry {sequence} is damaged: {reason}; restore the log from a copy")]
    Damaged { partition: u16, sequence: u64, reason: String },
    #[error("the log cannot be reached now: {0}")]
    Unavailable(String),
    #[error("partition {partition} does not exist: the log has {partitions} (0 to {})", .partitions - 1)]
    NoSuchPartition { partition: u16, partitions: u16 },
}

/// Why entries were not forgotten. Trimming again is always safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrimError {
    #[error("the log cannot be reached now: {0}")]
    Unavailable(String),
    #[error("the log does not let entries be removed: {0}")]
    Refused(String),
    #[error("partition {partition} does not exist: the log has {partitions} (0 to {})", .partitions - 1)]
    NoSuchPartition { partition: u16, partitions: u16 },
}

/// Batches of entries, in order; it waits for more when it has reached the end, and ends only after an error.
pub type Entries = BoxStream<'static, Result<Vec<Entry>, ReadError>>;

#[async_trait::async_trait]
pub trait Log: Send + Sync + 'static {
    fn partitions(&self) -> u16;

    /// The largest payload that one append may have, in bytes.
    fn max_payload(&self) -> usize;

    /// Appends one entry; returns when the log has it. A message id that the log still remembers adds nothing and
    /// gives the sequence of the first; that is checked before `expect`, so a compare-and-append can be made again.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// Appends many, pipelined; one answer for each, in order. Where all succeed at once, entries of one partition
    /// stand in the log in this order. One that fails holds nobody back: what must not overtake another goes
    /// in a later call.
    async fn append_all(&self, batch: Vec<Append>) -> Vec<Result<Appended, AppendError>>;

    /// Entries with a sequence above `after`, endlessly. A batch is bounded in bytes and never empty. Connections
    /// that break are mended inside; an error is final.
    fn read(&self, partition: u16, after: u64) -> Entries;

    /// The sequence of the newest entry that was ever appended; 0 before the first.
    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError>;

    /// What the partition's log is known by, for as long as it exists: a log that was begun anew has another, and so have its
    /// sequences another meaning. A copy has the same.
    async fn identity(&self, partition: u16) -> Result<String, ReadError>;

    /// The sequence of the oldest entry that is still there; where there is none, that of the next to come.
    async fn first_sequence(&self, partition: u16) -> Result<u64, ReadError>;

    /// The newest entry of exactly this subject, unless it was trimmed or has expired.
    async fn last_of_subject(&self, subject: &Subject) -> Result<Option<Entry>, ReadError>;

    /// The first entry of exactly this subject, one of [`Kind::Settings`], with a sequence above `after` that is still there: an account's
    /// settings are few among many entries, and which hold is not told by the last of them alone. The embedded log knows of what a
    /// callweave appended that did not keep account of settings only the last.
    async fn next_settings(&self, subject: &Subject, after: u64) -> Result<Option<Entry>, ReadError>;

    /// The partitions that this process works on; where others work on the same log, a part of them.
    fn share(&self) -> Share {
        Share::all(self.partitions())
    }

    /// Forgets entries before `before`. They also stop counting as the last of their subject: who appends with
    /// `expect` must trim so late that what it compares with is of no use any more.
    async fn trim(&self, partition: u16, before: u64) -> Result<(), TrimError>;
}

/// The wall clock, to the microsecond.
pub(crate) fn now() -> Time {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    Time(i64::try_from(micros).unwrap_or(i64::MAX))
}
