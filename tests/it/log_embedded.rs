//! What only a log on disk can suffer.

use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use callweave::log::embedded::{EmbeddedLog, EmbeddedOptions, OpenError};
use callweave::log::{Log, ReadError};
use futures::StreamExt;

use crate::log::{append, take, texts};

const CHILD: &str = "CALLWEAVE_TEST_LOG_FOLDER";

async fn open(folder: &Path) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open(folder, EmbeddedOptions { partitions: Some(2), ..EmbeddedOptions::default() }).await
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = open(folder.path()).await.expect("a new log");
    for number in 1..=10 {
        log.append(append(&format!("e{number}"))).await.expect("added");
    }
    log.trim(0, 4).await.expect("trimmed");
    let mut reader = log.read(0, 3);
    let before = take(&mut reader, 3, 7).await;
    // Dropping the log ends its readers, and frees the file though a reader is still held.
    drop(log);
    assert!(reader.next().await.is_none());
    let log = open(folder.path()).await.expect("the same log");
    assert_eq!(take(&mut log.read(0, 3), 3, 7).await, before);
    assert_eq!(log.first_sequence(0).await, Ok(4));
    // Ids are remembered, even of entries that were trimmed.
    for (text, sequence) in [("e2", 2), ("e9", 9)] {
        let again = log.append(append(text)).await.expect("recognised");
        assert_eq!((again.sequence, again.duplicate), (sequence, true));
    }
    assert_eq!(log.append(append("e11")).await.expect("added").sequence, 11);
}

#[tokio::test]
async fn what_was_handed_over_is_written_before_it_closes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = open(folder.path()).await.expect("a new log");
    for number in 0..50 {
        let mut waiting = Box::pin(log.append(append(&format!("e{number}"))));
        // Handed over, and then nobody waits for it.
        let _ = futures::poll!(&mut waiting);
    }
    drop(log);
    let log = open(folder.path()).await.expect("the same log");
    assert_eq!(log.last_sequence(0).await, Ok(50));
}

#[tokio::test]
async fn opening_tells_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = open(folder.path()).await.expect("a new log");
    let error = open(folder.path()).await.expect_err("it is in use");
    assert!(matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    assert!(error.to_string().contains("log.redb is in use by process"), "{error}");
    drop(log);
    let options = EmbeddedOptions { partitions: Some(3), ..EmbeddedOptions::default() };
    let error = EmbeddedLog::open(folder.path(), options).await.expect_err("two partitions");
    assert!(matches!(error, OpenError::Partitions { has: 2, wanted: 3, .. }), "{error}");
    let log = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).await.expect("as many as it has");
    assert_eq!(log.partitions(), 2);
    let error = EmbeddedLog::open("/proc/nowhere", EmbeddedOptions::default()).await.expect_err("no such folder");
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

/// A file that was cut, or written to by something else, is never taken for a shorter log.
#[tokio::test]
async fn a_damaged_file_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.redb");
    let log = open(folder.path()).await.expect("a new log");
    for number in 0..200 {
        log.append_all((0..10).map(|part| append(&format!("{number}/{part}/{}", "x".repeat(500)))).collect()).await;
    }
    drop(log);
    let whole = std::fs::read(&path).expect("the file");

    std::fs::write(&path, &whole[..whole.len() / 3]).expect("cut");
    check_damage(folder.path(), "cut to a third").await;
    std::fs::write(&path, b"this is not a log at all, but somebody's notes").expect("replaced");
    check_damage(folder.path(), "replaced").await;
    for at in [8, 1000, whole.len() / 4, whole.len() / 2] {
        std::fs::write(&path, &whole).expect("restored");
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).expect("the file");
        file.seek(SeekFrom::Start(at as u64)).expect("a place");
        file.write_all(&[0x5a; 3000]).expect("overwritten");
        drop(file);
        check_damage(folder.path(), &format!("overwritten at {at}")).await;
    }
    std::fs::write(&path, &whole).expect("restored");
    let log = open(folder.path()).await.expect("the whole log");
    assert_eq!(take(&mut log.read(0, 0), 0, 2000).await.len(), 2000);
}

/// Either it does not open, or it reads the true entries up to an error, or all of them (the damage hit a free page).
async fn check_damage(folder: &Path, what: &str) {
    let log = match open(folder).await {
        Ok(log) => log,
        Err(error) => {
            assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}");
            return;
        }
    };
    let last = log.last_sequence(0).await;
    assert_eq!(last, Ok(2000), "{what}");
    let (mut reader, mut read) = (log.read(0, 0), 0);
    while read < 2000 {
        match reader.next().await.expect("an entry or an error") {
            Ok(entries) => {
                for entry in entries {
                    assert!(texts(&entry)[0].starts_with(&format!("{}/{}/", read / 10, read % 10)), "{what}");
                    read += 1;
                }
            }
            Err(error) => {
                assert!(matches!(error, ReadError::Damaged { .. }), "{what}: {error}");
                return;
            }
        }
    }
}

/// Not a test: what [`nothing_acknowledged_is_lost_by_kill_9`] kills. Prints what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_appends() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let log = open(Path::new(&folder)).await.expect("the log");
    let begin = log.last_sequence(0).await.expect("a sequence");
    for round in 0.. {
        let batch = (0..8).map(|part| append(&format!("{begin}.{round}.{part}"))).collect();
        for (part, result) in log.append_all(batch).await.into_iter().enumerate() {
            println!("\nacknowledged {} {begin}.{round}.{part}", result.expect("added").sequence);
        }
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut acknowledged = std::collections::BTreeMap::new();
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "log_embedded::child_that_appends", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        // Killed at another moment in every round: after so many acknowledgements, in the middle of the next commit.
        let enough = 5 + 37 * round;
        let mut told = 0;
        for line in lines.map_while(Result::ok) {
            let Some(line) = line.strip_prefix("acknowledged ") else { continue };
            let (sequence, text) = line.split_once(' ').expect("sequence and text");
            acknowledged.insert(sequence.parse::<u64>().expect("a sequence"), text.to_owned());
            told += 1;
            if told == enough {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("gone");
        assert!(told >= enough, "the child ended by itself after {told}");
        let log = open(folder.path()).await.expect("the log after kill -9");
        let last = log.last_sequence(0).await.expect("a sequence");
        let entries = take(&mut log.read(0, 0), 0, last as usize).await;
        for (sequence, text) in &acknowledged {
            assert_eq!(texts(&entries[*sequence as usize - 1]), [text.as_str()], "round {round}");
        }
        // Made again, an acknowledged append is recognised.
        let (sequence, text) = acknowledged.last_key_value().expect("some");
        assert_eq!(log.append(append(text)).await.expect("recognised").sequence, *sequence);
    }
}
