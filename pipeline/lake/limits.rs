//! Every bound of the lake in one place.

/// Rows a row group holds at most: large enough to compress well, small enough that statistics prune.
pub const ROW_GROUP_ROWS_MAX: usize = 128 * 1024;
/// Bytes of rows (in memory, not encoded) that a table's writer holds before it must encode some of them.
pub const PENDING_BYTES_MAX: usize = 64 << 20;
/// A file of this many encoded bytes is closed, and another begun.
pub const FILE_BYTES_MAX: usize = 128 << 20;
/// Days that a writer keeps files open for at once; one more closes the one that was written to longest ago. What waits in them is
/// bounded together, so an open file is cheap; to close and open one for each correction of an older day is not.
pub const OPEN_FILES_MAX: usize = 64;
/// Encoded bytes that are uploaded as one part (S3 takes none below 5 MiB but the last).
pub const PART_BYTES: usize = 8 << 20;
/// Batches that wait between whoever makes rows and the encoder.
pub const QUEUED_BATCHES_MAX: usize = 8;
/// Rows that are turned column-major at a time, so that they stay in the processor's cache.
pub const BLOCK_ROWS: usize = 256;
/// Bytes that a Parquet page holds before it is compressed.
pub const PAGE_BYTES: usize = 256 << 10;
/// Rows that a Parquet page holds at most: what page statistics can prune by.
pub const PAGE_ROWS_MAX: usize = 16 * 1024;
/// Bytes of a dictionary, beyond which a column goes on without one.
pub const DICTIONARY_BYTES_MAX: usize = 512 << 10;
/// Bytes of a string's bound in statistics.
pub const STATISTICS_TEXT_BYTES: usize = 64;

/// Times that a commit is tried before the caller is told.
pub const COMMIT_ATTEMPTS_MAX: u32 = 6;
/// Milliseconds before the second try after the store failed; doubled for each further one.
pub const COMMIT_PAUSE_MS: u64 = 50;
/// Times that a commit moves up because somebody else's came first, within one attempt.
pub const COMMIT_RACES_MAX: usize = 30;
/// Commits from one checkpoint of a table's log to the next.
pub const CHECKPOINT_COMMITS: u64 = 100;
/// Applications whose marks a table remembers; beyond, they are read from the log again.
pub const MARKS_MAX: usize = 1024;

/// Snapshots of one name that are kept: the newest, and those that a damaged newest falls back on.
pub const SNAPSHOTS_KEPT: usize = 3;

/// Files below this are worth compacting.
pub const SMALL_FILE_BYTES: i64 = 32 << 20;
/// Small files of one day that make a compaction worth its commit.
pub const COMPACT_FILES_MIN: usize = 8;
/// Files that one compaction takes together at most.
pub const COMPACT_FILES_MAX: usize = 1000;
/// How long commits stay in a table's log after a checkpoint holds them.
pub const LOG_RETENTION_HOURS: i64 = 6;
/// How long files stay that no longer belong to a table: a query or writer that began earlier may still need them.
pub const FILE_RETENTION_DAYS: i64 = 7;
/// Days after which a half-written staged file is nobody's.
pub const STAGED_FILE_DAYS: u64 = 1;
