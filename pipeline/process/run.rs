//! The bounded job: files of events into the lake at full speed, with no log in between.
//!
//! One thread reads, as many as there are processors decode, one joins in the order of the files, one makes rows, and
//! the tables' writers encode. A table gets one commit, at the end, marked with the hash of the input: whatever
//! crashes, running the same input again completes it, and once it is complete changes nothing.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use callweave_core::join::{Effects, Erasure, Join, Mode, Sizes};
use callweave_core::source::Surveyor;
use callweave_core::time::Time;
use futures::future::try_join_all;
use xxhash_rust::xxh3::Xxh3;

use super::chunk::{Chunk, Chunks, Ready};
use super::history::{self, History, HistoryError, Past};
use super::maintain::{compact, erase};
use super::step::{Batches, Counts, Fate, apply, effect_rows, rows};
use crate::config::Account;
use crate::files;
use crate::lake::{
    CommitError, Lake, LockError, MaintainError, Mark, StateError, Table, TableName, TableWriter, WriteError,
};
use crate::telemetry::progress::Progress;

/// Chunks that wait between two stages.
const QUEUED_CHUNKS: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{path}: {source}")]
    Input { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("rows cannot be made: {0}")]
    Rows(#[from] arrow::error::ArrowError),
    #[error(transparent)]
    Maintain(#[from] MaintainError),
    #[error("the state cannot be kept: {0}")]
    Snapshot(#[from] callweave_core::join::SnapshotError),
    #[error("a worker stopped early; the reason stands above")]
    Stopped,
}

/// What a run has come to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    pub counts: Counts,
    pub bytes: u64,
    pub calls: u64,
    pub sessions: u64,
    pub sizes: Sizes,
    /// This input was in the lake already.
    pub known: bool,
}

/// Runs `inputs` (`-` is standard input) into the lake. Each worker has another `surveyor`. What `accounts` are configured to is
/// in force until an event says otherwise.
pub async fn run(
    inputs: &[PathBuf],
    lake: &Lake,
    surveyor: &Surveyor,
    accounts: &BTreeMap<String, Account>,
    now: Time,
    progress: Progress,
) -> Result<Summary, RunError> {
    // Two that go on from one state would each forget what the other learned.
    let _alone = lake.lock(history::NAME)?;
    let past = History::load(lake.state()).await?;
    if !past.inputs.is_empty()
        && let Some(hash) = hash_of(inputs)?
        && past.inputs.contains(&hash)
    {
        return Ok(Summary { known: true, ..Summary::default() });
    }
    let Past { mut join, mut inputs_done, sequence } = past.begin(Mode::Bounded);
    let mut led_to = Effects::default();
    configure(&mut join, accounts, sequence, &mut led_to);
    let writers = TableName::ALL.map(|name| lake.table(name).writer());
    let job = Job { inputs: inputs.to_vec(), surveyor: surveyor.another(), now, progress };
    let done = tokio::task::spawn_blocking(move || job.work(join, led_to, &writers).map(|done| (done, writers)));
    let (done, writers) = done.await.map_err(|_| RunError::Stopped)??;
    inputs_done.push(done.hash);
    let Done { mut join, erasures, hash, summary } = done;
    let erased = !erasures.is_empty();
    let kept = tokio::task::spawn_blocking(move || {
        if erased {
            join.sweep();
        }
        (history::bytes(&join, inputs_done), join)
    });
    let mark = Mark { app_id: format!("run-{hash:032x}"), from: None, to: 1 };
    let tables = TableName::ALL.into_iter().zip(writers);
    try_join_all(tables.map(|(name, writer)| land_all(lake.table(name), writer, &mark))).await?;
    erase(lake, &erasures, now).await?;
    let (bytes, join) = kept.await.map_err(|_| RunError::Stopped)?;
    History::save(lake.state(), sequence, bytes?).await?;
    // After all else: whatever becomes of it, the input is in the lake.
    compact(lake).await;
    // To let go of millions of small things takes time, and nobody waits for it.
    std::thread::spawn(move || drop(join));
    Ok(summary)
}

/// Applies settings that the configuration gives, where others are in force: from the beginning for an account of which nothing came
/// before, else behind what came.
fn configure(join: &mut Join, accounts: &BTreeMap<String, Account>, run: u64, out: &mut Effects) {
    for account in accounts.values() {
        let from =
            join.watermark_of(&account.name).map_or(Time::EARLIEST, |watermark| watermark.plus(1).max(Time::EARLIEST));
        if account.settings.as_ref() != join.settings(&account.name, from)
            && let Some(event) = account.settings_event(&run.to_string(), from)
        {
            join.apply(&event, None, out);
        }
    }
}

async fn land_all(table: &Table, writer: TableWriter, mark: &Mark) -> Result<(), RunError> {
    let adds = writer.finish().await?;
    if !adds.is_empty() {
        table.commit(&adds, std::slice::from_ref(mark)).await?;
    }
    Ok(())
}

/// The hash of what the files hold, one behind the other; nothing where one of them can be read only once.
fn hash_of(inputs: &[PathBuf]) -> Result<Option<u128>, RunError> {
    if !inputs.iter().all(|path| files::is_kept(path)) {
        return Ok(None);
    }
    let mut hash = InputHash::default();
    let mut buffer = vec![0; 1 << 20];
    for path in inputs {
        let failed = |source| RunError::Input { path: path.clone(), source };
        let mut file = std::fs::File::open(path).map_err(failed)?;
        hash.next_file();
        loop {
            let read = file.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
        }
    }
    Ok(Some(hash.hash.digest128()))
}

/// The hash of files, one behind the other. A file's last line ends with it, also where it has no line feed: the same bytes in one file are
/// other lines.
#[derive(Default)]
struct InputHash {
    hash: Xxh3,
    first: Option<u8>,
    last: Option<u8>,
}

/// Between two files where a line feed is missing. It is no text, so no line of events holds it.
const NEXT_FILE: &[u8] = b"\xff\0next file\0\xff";
/// Bytes that packed files begin with (gzip, zstd). What is packed is not looked into.
const PACKED: [u8; 2] = [0x1f, 0x28];

impl InputHash {
    fn next_file(&mut self) {
        let is_packed = self.first.is_some_and(|first| PACKED.contains(&first));
        if self.last.is_some_and(|last| last != b'\n') && !is_packed {
            self.hash.update(NEXT_FILE);
        }
        (self.first, self.last) = (None, None);
    }

    fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.first = self.first.or(bytes.first().copied());
        self.last = bytes.last().copied().or(self.last);
    }
}

/// Hashes what passes through.
struct Hashed<R> {
    inner: R,
    hash: Arc<Mutex<InputHash>>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Ok(mut hash) = self.hash.lock() {
            hash.update(&buffer[..read]);
        }
        Ok(read)
    }
}

struct Job {
    inputs: Vec<PathBuf>,
    surveyor: Surveyor,
    now: Time,
    progress: Progress,
}

struct Done {
    join: Join,
    erasures: Vec<Erasure>,
    hash: u128,
    summary: Summary,
}

/// A chunk that was applied, and what it led to.
struct Applied {
    ready: Ready,
    fates: Vec<Fate>,
    effects: Effects,
}

/// A chunk to decode, and where it goes then.
type Order = (Chunk, SyncSender<Ready>);

impl Job {
    fn work(self, join: Join, mut led_to: Effects, writers: &[TableWriter]) -> Result<Done, RunError> {
        let mut batches = Batches::new();
        effect_rows(&mut led_to, &mut batches)?;
        push(batches, writers)?;
        let workers = std::thread::available_parallelism().map_or(1, |count| count.get());
        let (orders, queue) = sync_channel::<Order>(workers);
        let (turns, in_turn) = sync_channel::<Receiver<Ready>>(workers + QUEUED_CHUNKS);
        let (applied, to_rows) = sync_channel::<Applied>(QUEUED_CHUNKS);
        let queue = Arc::new(Mutex::new(queue));
        let Job { inputs, surveyor, now, progress } = self;
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || read(&inputs, &progress, &orders, &turns));
            for _ in 0..workers {
                let (queue, surveyor) = (queue.clone(), surveyor.another());
                scope.spawn(move || decode(&queue, surveyor, now));
            }
            drop(queue);
            let landing = scope.spawn(move || land(&to_rows, writers));
            let joined = join_in_turn(join, &in_turn, &applied);
            drop(applied);
            // Whoever waits for room or for a turn is let go, before they are waited for.
            drop(in_turn);
            landing.join().map_err(|_| RunError::Stopped)??;
            let hash = reading.join().map_err(|_| RunError::Stopped)??;
            let (mut join, mut summary, erasures) = joined?;
            settle(&mut join, writers, &mut summary)?;
            summary.sizes = join.sizes();
            Ok(Done { join, erasures, hash, summary })
        })
    }
}

fn read(
    inputs: &[PathBuf],
    progress: &Progress,
    orders: &SyncSender<Order>,
    turns: &SyncSender<Receiver<Ready>>,
) -> Result<u128, RunError> {
    let hash = Arc::new(Mutex::new(InputHash::default()));
    progress.start(files::total_bytes(inputs));
    for path in inputs {
        let failed = |source| RunError::Input { path: path.clone(), source };
        if let Ok(mut hash) = hash.lock() {
            hash.next_file();
        }
        let raw = Hashed { inner: files::raw(path).map_err(failed)?, hash: hash.clone() };
        let reader = files::unpack(raw, progress).map_err(failed)?;
        let mut chunks = Chunks::new(reader, name_of(path));
        while let Some(chunk) = chunks.next().map_err(failed)? {
            let (done, turn) = sync_channel(1);
            if turns.send(turn).is_err() || orders.send((chunk, done)).is_err() {
                return Err(RunError::Stopped);
            }
        }
    }
    progress.finish();
    hash.lock().map(|hash| hash.hash.digest128()).map_err(|_| RunError::Stopped)
}

fn name_of(path: &Path) -> Arc<str> {
    path.to_string_lossy().as_ref().into()
}

fn decode(queue: &Mutex<Receiver<Order>>, mut surveyor: Surveyor, now: Time) {
    loop {
        let Ok(next) = queue.lock().map(|queue| queue.recv()) else { return };
        let Ok((chunk, done)) = next else { return };
        // Nobody waits for it where the run has failed already.
        let _ = done.send(Ready::new(chunk, now, &mut surveyor));
    }
}

fn join_in_turn(
    mut join: Join,
    in_turn: &Receiver<Receiver<Ready>>,
    applied: &SyncSender<Applied>,
) -> Result<(Join, Summary, Vec<Erasure>), RunError> {
    let mut summary = Summary::default();
    let mut erasures = Vec::new();
    for turn in in_turn {
        let ready = turn.recv().map_err(|_| RunError::Stopped)?;
        let mut effects = Effects::default();
        let fates = apply(&mut join, ready.items(), ready.visits(), &mut effects, &mut summary.counts);
        erasures.append(&mut effects.erasures);
        summary.bytes += ready.bytes() as u64;
        summary.calls += effects.calls.len() as u64;
        summary.sessions += effects.sessions.len() as u64;
        applied.send(Applied { ready, fates, effects }).map_err(|_| RunError::Stopped)?;
    }
    Ok((join, summary, erasures))
}

fn land(to_rows: &Receiver<Applied>, writers: &[TableWriter]) -> Result<(), RunError> {
    for Applied { ready, fates, mut effects } in to_rows {
        push(rows(ready.items(), ready.visits(), &fates, &mut effects)?, writers)?;
    }
    Ok(())
}

fn push(batches: Batches, writers: &[TableWriter]) -> Result<(), RunError> {
    for (table, batch) in batches {
        writers[table as usize].push_blocking(batch)?;
    }
    Ok(())
}

/// Decides what is still open when the input has ended.
fn settle(join: &mut Join, writers: &[TableWriter], summary: &mut Summary) -> Result<(), RunError> {
    let mut effects = Effects::default();
    join.settle(&mut effects);
    summary.calls += effects.calls.len() as u64;
    summary.sessions += effects.sessions.len() as u64;
    let mut batches = Batches::new();
    effect_rows(&mut effects, &mut batches)?;
    push(batches, writers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(files: &[&[u8]]) -> u128 {
        let mut all = InputHash::default();
        for file in files {
            all.next_file();
            file.chunks(2).for_each(|bytes| all.update(bytes));
        }
        all.hash.digest128()
    }

    #[test]
    fn an_input_is_known_by_its_lines() {
        // As inputs of before were known.
        for whole in [&[b"{}\n{}\n".as_slice()] as &[&[u8]], &[b"{}\n", b"{}\n"], &[b"{}\n", b"", b"{}\n"]] {
            assert_eq!(hash(whole), xxhash_rust::xxh3::xxh3_128(b"{}\n{}\n"), "{whole:?}");
        }
        assert_ne!(hash(&[b"{}", b"{}\n"]), hash(&[b"{}{}\n"]));
        assert_ne!(hash(&[b"{}", b"{}\n"]), hash(&[b"{}\n", b"{}\n"]));
        assert_eq!(hash(&[b"\x1f\x8b.", b"\x1f\x8b."]), hash(&[b"\x1f\x8b.\x1f\x8b."]));
    }
}
