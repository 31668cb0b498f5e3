//! A disk that fails, put in place of the file.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend};

use super::*;
use crate::log::{Kind, MessageId};

/// Room left on the disk, in bytes; writes and growth beyond it fail as a full disk does.
#[derive(Debug, Clone)]
struct Disk {
    room: Arc<AtomicI64>,
    error: io::ErrorKind,
}

impl Disk {
    fn take(&self, bytes: usize) -> io::Result<()> {
        let bytes = bytes as i64;
        if self.room.fetch_sub(bytes, SeqCst) < bytes {
            self.room.fetch_add(bytes, SeqCst);
            return Err(self.error.into());
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Failing {
    file: FileBackend,
    disk: Disk,
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.take(data.len())?;
        self.file.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
    fn try_lock_range(&self, start: std::ops::Bound<u64>, end: std::ops::Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
}

fn backing(path: PathBuf, disk: Disk) -> Backing {
    let for_probe = disk.clone();
    Backing {
        open: Box::new(move || {
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
            let backend = Failing { file: FileBackend::new(file)?, disk: disk.clone() };
            Database::builder().create_with_backend(backend)
        }),
        probe: Box::new(
            move |bytes| {
                if for_probe.room.load(SeqCst) < bytes as i64 { Err(for_probe.error.into()) } else { Ok(()) }
            },
        ),
    }
}

fn append(number: u64, bytes: usize) -> Append {
    Append {
        subject: Subject::events(0, Kind::Page, Some("acme")),
        message_id: MessageId(u128::from(number)),
        expect: None,
        payload: vec![b'x'; bytes].into(),
    }
}

/// Appends until the disk fails, frees it, and goes on: nothing acknowledged is lost, nothing is there twice.
async fn fails_and_recovers(error: io::ErrorKind, is_expected: impl Fn(&AppendError) -> bool) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(FILE);
    let disk = Disk { room: Arc::new(AtomicI64::new(4 << 20)), error };
    let options = EmbeddedOptions { partitions: Some(1), ..EmbeddedOptions::default() };
    let log = EmbeddedLog::start(backing(path.clone(), disk.clone()), options, &path).expect("a new log");
    let mut reader = log.read(0, 0);
    let mut acknowledged = 0;
    let failed = loop {
        match log.append(append(acknowledged + 1, 10_000)).await {
            Ok(appended) => {
                assert_eq!(appended, Appended { sequence: acknowledged + 1, duplicate: false });
                acknowledged += 1;
            }
            Err(failed) => break failed,
        }
    };
    assert!(is_expected(&failed), "{failed}");
    assert!(acknowledged > 3);
    // What is there can be read all the same, by an old reader and by a new one.
    for reader in [&mut reader, &mut log.read(0, 0)] {
        let mut read = 0;
        while read < acknowledged {
            read += reader.next().await.expect("no end").expect("entries").len() as u64;
        }
        assert_eq!(read, acknowledged);
    }
    assert!(log.append(append(acknowledged + 1, 10_000)).await.is_err(), "nothing has changed");
    disk.room.store(1 << 30, SeqCst);
    let appended = loop {
        match log.append(append(acknowledged + 1, 10_000)).await {
            Ok(appended) => break appended,
            Err(error) => assert!(is_expected(&error), "{error}"),
        }
    };
    assert_eq!(appended.sequence, acknowledged + 1);
    assert_eq!(log.append(append(acknowledged + 2, 10)).await.map(|appended| appended.sequence), Ok(acknowledged + 2));
    let after = reader.next().await.expect("no end").expect("entries");
    assert_eq!(after[0].sequence, acknowledged + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_survived() {
    fails_and_recovers(io::ErrorKind::StorageFull, |error| matches!(error, AppendError::Full(_))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_disk_is_told_and_survived() {
    fails_and_recovers(io::ErrorKind::Other, |error| matches!(error, AppendError::Unavailable(_))).await;
}

/// A reader asks while the writer has written an entry and not told of it yet.
#[tokio::test]
async fn what_is_not_told_of_yet_is_not_read() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let options = EmbeddedOptions { partitions: Some(1), ..EmbeddedOptions::default() };
    let log = open_file(folder.path(), options)?;
    for number in 1..=3 {
        log.append(append(number, 10)).await?;
    }
    let (tell, bounds) = watch::channel(Bounds { first: 1, last: 2 });
    let mut tail = Tail { store: log.store.clone(), bounds, partition: 0, after: 0 };
    let told = tail.next().await.ok_or("an end")??;
    assert_eq!(told.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [1, 2]);
    assert!(futures::poll!(Box::pin(tail.next())).is_pending(), "it waits, and takes the log for no other");
    tell.send(Bounds { first: 1, last: 3 })?;
    let told = tail.next().await.ok_or("an end")??;
    assert_eq!(told.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [3]);
    Ok(())
}

/// A file of a callweave that did not keep account of settings.
#[tokio::test]
async fn of_an_older_file_the_last_settings_are_found() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let open = || open_file(folder.path(), EmbeddedOptions { partitions: Some(2), ..EmbeddedOptions::default() });
    let subject = |account: &str| Subject::events(1, Kind::Settings, Some(account));
    let found = async |log: &EmbeddedLog, account: &str, after: u64| {
        log.next_settings(&subject(account), after).await.map(|found| found.map(|entry| entry.sequence))
    };
    let log = open()?;
    for (number, account) in [(1, "acme"), (2, "acme"), (3, "beta")] {
        log.append(Append { subject: subject(account), ..append(number, 10) }).await?;
    }
    log.append(Append { subject: Subject::events(1, Kind::Page, Some("zeta")), ..append(4, 10) }).await?;
    assert_eq!((found(&log, "acme", 0).await, found(&log, "acme", 1).await), (Ok(Some(1)), Ok(Some(2))));
    let removed = log.store.with(|database| {
        let write = database.begin_write()?;
        write.delete_table(store::SETTINGS)?;
        Ok(write.commit()?)
    });
    removed.map_err(|fault| fault.to_string())?;
    drop(log);
    let log = open()?;
    assert_eq!((found(&log, "acme", 0).await, found(&log, "acme", 2).await), (Ok(Some(2)), Ok(None)));
    assert_eq!((found(&log, "beta", 0).await, found(&log, "zeta", 0).await), (Ok(Some(3)), Ok(None)));
    // From here on all are.
    log.append(Append { subject: subject("acme"), ..append(5, 10) }).await?;
    assert_eq!((found(&log, "acme", 0).await, found(&log, "acme", 2).await), (Ok(Some(2)), Ok(Some(5))));
    Ok(())
}

#[test]
fn a_bounded_window_forgets_the_oldest() {
    let window = Window { age: Duration::from_secs(1), ids: 2 };
    let mut remembered = remembered::Remembered::new(window);
    let at = |micros| callweave_core::time::Time(micros);
    for sequence in 1..=3 {
        remembered.insert(MessageId(u128::from(sequence)), sequence, at(sequence as i64));
    }
    assert_eq!(remembered.forget_one(at(3)), Some(1));
    assert_eq!(remembered.forget_one(at(3)), None);
    assert_eq!(remembered.sequence_of(MessageId(1)), None);
    assert_eq!(remembered.sequence_of(MessageId(2)), Some(2));
    assert_eq!(remembered.forget_one(at(1_000_003)), Some(2));
    assert_eq!(remembered.forget_one(at(1_000_003)), None);
    assert_eq!(remembered.sequence_of(MessageId(3)), Some(3));
}
