//! Events on disk that the log could not take: appended to files, fsynced, and delivered in their order when the log is
//! back, also by the next life of the program. A file goes when the log has all of it; what was delivered twice has the
//! same event ids, and counts once.

mod record;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use record::Kept;
use record::{Found, HEADER, read, write};

use super::outbox::submission_of;
use crate::log::batching::{Batcher, SubmitError};
use crate::telemetry::metrics::Metrics;

/// A file that has grown so large is closed, and the next begun.
const FILE_BYTES: u64 = 4 << 20;
/// Time the log has for one record.
const SUBMIT_TIME: Duration = Duration::from_secs(30);
/// Waits between tries while the log is away: from the first, doubling, to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Why something is not kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("{} cannot be written: {error}; make room there, or let this user write it", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("the spool has reached its {limit} bytes; raise limits.spool_bytes, or bring the log back")]
    Full { limit: u64 },
}

#[derive(Debug, thiserror::Error)]
#[error("{}: the spool cannot be opened: {error}; let this user read and write the folder", path.display())]
pub struct OpenError {
    path: PathBuf,
    error: io::Error,
}

pub struct Spool {
    folder: PathBuf,
    limit: u64,
    files: Mutex<Files>,
    /// Files there are; kept beside the lock, for it is asked for with every request.
    waiting: AtomicU64,
    more: Notify,
    metrics: Metrics,
}

/// The files by number, and the last of them open as long as it is written.
struct Files {
    closed: VecDeque<(u64, u64)>,
    open: Option<Open>,
    next: u64,
}

struct Open {
    number: u64,
    file: File,
    bytes: u64,
}

impl Files {
    fn bytes(&self) -> u64 {
        self.closed.iter().map(|(_, bytes)| bytes).sum::<u64>() + self.open.as_ref().map_or(0, |open| open.bytes)
    }

    fn count(&self) -> u64 {
        self.closed.len() as u64 + u64::from(self.open.is_some())
    }

    fn close(&mut self) {
        if let Some(Open { number, bytes, .. }) = self.open.take() {
            self.closed.push_back((number, bytes));
        }
    }
}

impl Spool {
    /// Opens the folder, if it is there. What an earlier life left in it is waiting.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn open(folder: PathBuf, limit: u64, metrics: Metrics) -> Result<Spool, OpenError> {
        let closed = listed(&folder).map_err(|error| OpenError { path: folder.clone(), error })?;
        let next = closed.last().map_or(1, |(number, _)| number + 1);
        let files = Files { closed: closed.into(), open: None, next };
        let waiting = AtomicU64::new(files.count());
        let spool = Spool { folder, limit, files: Mutex::new(files), waiting, more: Notify::new(), metrics };
        let bytes = spool.told(&spool.lock());
        if bytes > 0 {
            tracing::info!(bytes, "events of an earlier life wait in the spool");
        }
        Ok(spool)
    }

    /// Whether all of it is delivered. While something waits, what comes later has to wait behind it.
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Keeps a record; when it returns, the disk has it. Blocks for as long as that takes.
    ///
    /// # Errors
    /// The disk does not take it, or the spool is full. It is not kept then.
    pub fn keep(&self, kept: &Kept<'_>) -> Result<(), SpoolError> {
        let bytes = write(kept);
        let mut files = self.lock();
        if files.bytes() + (HEADER.len() + bytes.len()) as u64 > self.limit {
            return Err(SpoolError::Full { limit: self.limit });
        }
        let written = self.append(&mut files, &bytes);
        if written.is_err() {
            // What stands at its end is not whole: nothing may follow it.
            files.close();
        }
        self.told(&files);
        written?;
        self.metrics.spool_kept.inc();
        self.more.notify_one();
        Ok(())
    }

    fn append(&self, files: &mut Files, bytes: &[u8]) -> Result<(), SpoolError> {
        if files.open.as_ref().is_some_and(|open| open.bytes >= FILE_BYTES) {
            files.close();
        }
        let number = files.open.as_ref().map_or(files.next, |open| open.number);
        let path = self.path_of(number);
        let failed = |error| SpoolError::Write { path: path.clone(), error };
        let open = match &mut files.open {
            Some(open) => open,
            None => {
                let file = begin(&self.folder, &path).map_err(failed)?;
                files.next += 1;
                files.open.insert(Open { number, file, bytes: HEADER.len() as u64 })
            }
        };
        open.file.write_all(bytes).and_then(|()| open.file.sync_data()).map_err(failed)?;
        open.bytes += bytes.len() as u64;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells others what there is now; its bytes.
    fn told(&self, files: &Files) -> u64 {
        self.waiting.store(files.count(), Ordering::Release);
        let bytes = files.bytes();
        self.metrics.spool_size.set(bytes as f64);
        bytes
    }

    fn path_of(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}.spool"))
    }

    /// The oldest file, which nobody writes any more then.
    fn oldest(&self) -> Option<u64> {
        let mut files = self.lock();
        if files.closed.is_empty() {
            files.close();
        }
        files.closed.front().map(|(number, _)| *number)
    }

    /// The log has all of it, or it cannot be read any further and is put aside.
    fn done(&self, number: u64, damaged: bool) {
        let path = self.path_of(number);
        let gone = if damaged { fs::rename(&path, path.with_extension("damaged")) } else { fs::remove_file(&path) };
        if let Err(error) = gone {
            tracing::error!(path = %path.display(), %error, "a delivered file of the spool cannot be removed");
        }
        let mut files = self.lock();
        files.closed.retain(|(other, _)| *other != number);
        self.told(&files);
    }

    /// Delivers what waits, and what will, until `shutdown`.
    pub async fn run(self: Arc<Spool>, batcher: Batcher, shutdown: CancellationToken) {
        loop {
            let spool = self.clone();
            let oldest = on_disk(move || {
                let number = spool.oldest()?;
                Some((number, fs::read(spool.path_of(number))))
            });
            let next = match oldest.await.flatten() {
                Some((number, Ok(file))) => self.deliver(number, &file, &batcher, &shutdown).await,
                Some((number, Err(error))) => {
                    tracing::error!(path = %self.path_of(number).display(), %error, "a file of the spool cannot be read");
                    pause(PAUSES.1, &shutdown).await
                }
                None => tokio::select! {
                    () = shutdown.cancelled() => None,
                    () = self.more.notified() => Some(()),
                },
            };
            if next.is_none() {
                return;
            }
        }
    }

    /// Delivers one file; nothing where it is to stop.
    async fn deliver(
        self: &Arc<Spool>,
        number: u64,
        file: &[u8],
        batcher: &Batcher,
        shutdown: &CancellationToken,
    ) -> Option<()> {
        let path = self.path_of(number);
        let (mut at, mut records) = (HEADER.len(), 0u64);
        let mut damaged = !file.starts_with(&HEADER) && file.len() >= HEADER.len();
        while !damaged {
            match read(file, at) {
                Found::Record { kept, next } => {
                    submit(&kept, batcher, shutdown).await?;
                    self.metrics.spool_delivered.inc();
                    (at, records) = (next, records + 1);
                }
                Found::End => break,
                Found::Torn => {
                    tracing::warn!(path = %path.display(), at, "a file of the spool ends inside a record that nobody relied on");
                    break;
                }
                Found::Damaged => damaged = true,
            }
        }
        if damaged {
            tracing::error!(path = %path.display(), at, "a file of the spool is damaged from here on, and is put aside");
        }
        let spool = self.clone();
        on_disk(move || spool.done(number, damaged)).await;
        tracing::info!(records, "delivered what was kept in the spool");
        Some(())
    }
}

/// Hands one record to the log until it has it; nothing where it is to stop.
async fn submit(kept: &Kept<'_>, batcher: &Batcher, shutdown: &CancellationToken) -> Option<()> {
    let mut wait = PAUSES.0;
    loop {
        let submission = match submission_of(kept) {
            Ok(submission) => submission,
            Err(error) => {
                tracing::error!(%error, "a record of the spool holds no events, and is passed over");
                return Some(());
            }
        };
        let submitted = tokio::select! {
            () = shutdown.cancelled() => return None,
            submitted = timeout(SUBMIT_TIME, batcher.submit(submission)) => submitted,
        };
        match submitted {
            Ok(Ok(())) => return Some(()),
            Ok(Err(error @ SubmitError::TooLarge { .. })) => {
                tracing::error!(%error, "a record of the spool is passed over");
                return Some(());
            }
            Ok(Err(error)) => tracing::debug!(%error, "the log does not take what is kept in the spool"),
            Err(_) => tracing::debug!("the log does not confirm what is kept in the spool"),
        }
        pause(wait, shutdown).await?;
        wait = (wait * 2).min(PAUSES.1);
    }
}

/// Nothing where it is to stop.
async fn pause(wait: Duration, shutdown: &CancellationToken) -> Option<()> {
    tokio::select! {
        () = shutdown.cancelled() => None,
        () = sleep(wait) => Some(()),
    }
}

/// Nothing where the work panicked.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// A new file, and its name, on disk.
fn begin(folder: &Path, path: &Path) -> io::Result<File> {
    crate::files::private_folder(folder)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(&HEADER)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// The files of a folder with their sizes, by number.
fn listed(folder: &Path) -> io::Result<Vec<(u64, u64)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // It is made when it is needed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".spool")?.parse().ok());
        if let Some(number) = number {
            files.push((number, entry.metadata()?.len()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kind;
    use crate::log::SharedLog;
    use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
    use crate::log::frame::{FrameBuilder, Record};
    use callweave_core::time::Time;
    use futures::StreamExt;

    fn frame(text: &str) -> Vec<u8> {
        let mut frame = FrameBuilder::new();
        let record = Record::Event { received: Time(1), origin: "t", bytes: text.as_bytes() };
        frame.push(&record).expect("a small record");
        frame.finish().to_vec()
    }

    fn keep(spool: &Spool, text: &str) -> Result<(), SpoolError> {
        spool.keep(&Kept { kind: Kind::Call, account: "acme", frame: &frame(text) })
    }

    /// All that a log of one partition holds.
    async fn logged(log: &SharedLog) -> Vec<String> {
        let last = log.last_sequence(0).await.expect("the log answers");
        let (mut entries, mut found, mut at) = (log.read(0, 0), Vec::new(), 0);
        while at < last {
            for entry in entries.next().await.expect("more").expect("entries that can be read") {
                at = entry.sequence;
                for record in entry.records() {
                    if let Record::Event { bytes, .. } = record.expect("a whole frame") {
                        found.push(String::from_utf8_lossy(bytes).into_owned());
                    }
                }
            }
        }
        found
    }

    #[tokio::test]
    async fn everything_is_delivered_in_order_also_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let (at, metrics) = (folder.path().join("spool"), Metrics::new());
        let spool = Spool::open(at.clone(), 1 << 20, metrics.clone()).expect("a new spool");
        assert!(spool.is_empty());
        keep(&spool, "a").and_then(|()| keep(&spool, "b")).expect("room");
        drop(spool);
        // A second life writes a file of its own, and dies while it writes.
        let spool = Spool::open(at.clone(), 1 << 20, metrics.clone()).expect("the same spool");
        assert!(!spool.is_empty());
        keep(&spool, "c").expect("room");
        drop(spool);
        let newest = listed(&at).expect("files").last().expect("a file").0;
        let newest = at.join(format!("{newest:020}.spool"));
        let whole = fs::read(&newest).expect("a file");
        fs::write(&newest, [&whole[..], &whole[4..20]].concat()).expect("a torn end");

        let options = EmbeddedOptions { partitions: Some(1), ..EmbeddedOptions::default() };
        let log: SharedLog = Arc::new(EmbeddedLog::open(folder.path().join("log"), options).await.expect("a new log"));
        let spool = Arc::new(Spool::open(at.clone(), 1 << 20, metrics.clone()).expect("the same spool"));
        let stop = CancellationToken::new();
        let running = tokio::spawn(spool.clone().run(Batcher::new(log.clone(), Default::default()), stop.clone()));
        keep(&spool, "d").expect("room");
        while !spool.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(logged(&log).await, ["a", "b", "c", "d"]);
        assert_eq!(listed(&at).expect("the folder"), []);
        stop.cancel();
        running.await.expect("it ends");
    }

    #[test]
    fn the_spool_is_bounded_and_says_when_the_disk_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path().join("spool"), 200, Metrics::new()).expect("a new spool");
        let kept = (0..10).take_while(|_| keep(&spool, "0123456789").is_ok()).count();
        assert!((2..6).contains(&kept), "{kept}");
        assert!(matches!(keep(&spool, "0123456789"), Err(SpoolError::Full { limit: 200 })));
        let gone = Spool::open(folder.path().join("gone"), 1 << 20, Metrics::new()).expect("a new spool");
        fs::write(folder.path().join("gone"), "no folder").expect("a file");
        assert!(matches!(keep(&gone, "x"), Err(SpoolError::Write { .. })));
    }
}
