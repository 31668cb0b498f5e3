//! What every log must do. Each test runs on the embedded log and on JetStream.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callweave::log::batching::{BatchOptions, Batcher, Submission, SubmitError};
use callweave::log::embedded::{EmbeddedLog, EmbeddedOptions};
use callweave::log::frame::{FrameBuilder, Record};
use callweave::log::nats::{NatsLog, NatsOptions};
use callweave::log::{
    Append, AppendError, Appended, Entries, Entry, Kind, MessageId, ReadError, Retention, SharedLog, Subject, WhenFull,
    partition_of,
};
use callweave_core::time::Time;
use futures::StreamExt;
use tempfile::TempDir;

use crate::nats::NatsServer;

pub const PARTITIONS: u16 = 2;
/// Nothing here takes this long; a test that hangs fails with a word.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Kept beside the log for as long as the test runs.
#[allow(dead_code, reason = "held, not read")]
pub enum Ground {
    Folder(TempDir),
    Server(NatsServer),
}

pub async fn embedded(retention: Retention) -> (SharedLog, Ground) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = EmbeddedOptions { partitions: Some(PARTITIONS), retention, ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open(folder.path(), options).await.expect("a new log");
    (Arc::new(log), Ground::Folder(folder))
}

pub async fn jetstream(retention: Retention) -> (SharedLog, Ground) {
    let server = NatsServer::start();
    let options = NatsOptions { partitions: Some(PARTITIONS), retention, ..NatsOptions::new(server.url()) };
    let log = NatsLog::connect(options).await.expect("a new log");
    (Arc::new(log), Ground::Server(server))
}

macro_rules! on_both {
    ($($(#[$attribute:meta])* async fn $name:ident($log:ident: SharedLog $(, $retention:expr)?) $body:block)*) => {$(
        mod $name {
            use super::*;

            $(#[$attribute])*
            async fn check($log: SharedLog) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn embedded() {
                let (log, _ground) = super::embedded([$($retention,)? Retention::default()][0]).await;
                tokio::time::timeout(PATIENCE, check(log)).await.expect("in time");
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn jetstream() {
                let (log, _ground) = super::jetstream([$($retention,)? Retention::default()][0]).await;
                tokio::time::timeout(PATIENCE, check(log)).await.expect("in time");
            }
        }
    )*};
}

pub(crate) use on_both;

pub fn frame(text: &str) -> Bytes {
    let mut builder = FrameBuilder::new();
    let record = Record::Event { received: Time(1), origin: "test", bytes: text.as_bytes() };
    builder.push(&record).expect("a small record");
    builder.finish()
}

/// An append to partition 0 that is recognised by its text.
pub fn append(text: &str) -> Append {
    append_to(Subject::events(0, Kind::Call, Some("acme")), text)
}

pub fn append_to(subject: Subject, text: &str) -> Append {
    let message_id = MessageId::of(text.as_bytes());
    Append { subject, message_id, expect: None, payload: frame(text) }
}

fn added(sequence: u64) -> Result<Appended, AppendError> {
    Ok(Appended { sequence, duplicate: false })
}

fn again(sequence: u64) -> Result<Appended, AppendError> {
    Ok(Appended { sequence, duplicate: true })
}

/// The texts of an entry's events.
pub fn texts(entry: &Entry) -> Vec<String> {
    let text = |record| match record {
        Ok(Record::Event { bytes, .. }) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    entry.records().map(text).collect()
}

/// Reads until it has `count` entries; each must follow the one before.
pub async fn take(entries: &mut Entries, after: u64, count: usize) -> Vec<Entry> {
    let mut taken: Vec<Entry> = Vec::new();
    while taken.len() < count {
        let batch = entries.next().await.expect("a log has no end").expect("entries");
        assert!(!batch.is_empty());
        for entry in batch {
            assert_eq!(entry.sequence, after + 1 + taken.len() as u64);
            taken.push(entry);
        }
    }
    taken
}

on_both! {
    async fn entries_come_back_in_order(log: SharedLog) {
        assert_eq!((log.first_sequence(0).await, log.last_sequence(0).await), (Ok(1), Ok(0)));
        for number in 1..=5 {
            assert_eq!(log.append(append(&format!("e{number}"))).await, added(number));
        }
        assert_eq!((log.first_sequence(0).await, log.last_sequence(0).await), (Ok(1), Ok(5)));
        let entries = take(&mut log.read(0, 0), 0, 5).await;
        for (number, entry) in (1..).zip(&entries) {
            assert_eq!(texts(entry), [format!("e{number}")]);
            assert_eq!(entry.subject, "callweave.events.0.call.acme");
        }
        assert!(entries.is_sorted_by_key(|entry| entry.appended));
        assert!(entries[0].appended > Time::EARLIEST);
        // Read again, from the middle: the same, to the byte and the microsecond.
        assert_eq!(take(&mut log.read(0, 3), 3, 2).await, entries[3..]);
        // The other partition knows nothing of it.
        assert_eq!(log.last_sequence(1).await, Ok(0));
        assert_eq!(log.append(append_to(Subject::tick(1), "e1")).await, added(1));
    }

    async fn a_reader_waits_for_more(log: SharedLog) {
        let mut reader = log.read(0, 0);
        let mut second = log.read(0, 0);
        for number in 1..=20u64 {
            let waiting = tokio::spawn(async move { (take(&mut reader, number - 1, 1).await, reader) });
            assert_eq!(log.append(append(&format!("e{number}"))).await, added(number));
            let (entries, back) = waiting.await.expect("a reader");
            assert_eq!(texts(&entries[0]), [format!("e{number}")]);
            reader = back;
        }
        assert_eq!(take(&mut second, 0, 20).await.len(), 20);
    }

    async fn a_message_id_counts_once(log: SharedLog) {
        assert_eq!(log.append(append("a")).await, added(1));
        assert_eq!(log.append(append("b")).await, added(2));
        assert_eq!(log.append(append("a")).await, again(1));
        let batch = vec![append("c"), append("c"), append("b"), append("d")];
        assert_eq!(log.append_all(batch).await, [added(3), again(3), again(2), added(4)]);
        assert_eq!(log.last_sequence(0).await, Ok(4));
        // Of its partition only.
        assert_eq!(log.append(append_to(Subject::tick(1), "a")).await, added(1));
    }

    async fn compare_and_append(log: SharedLog) {
        let number = Subject::lease(0, "acme", "+14155550123");
        let other = Subject::lease(0, "acme", "+14155550124");
        let lease = |expect, text: &str| Append { expect: Some(expect), ..append_to(number.clone(), text) };
        assert_eq!(log.last_of_subject(&number).await, Ok(None));
        assert_eq!(log.append(append_to(other.clone(), "elsewhere")).await, added(1));
        assert_eq!(log.append(lease(0, "granted")).await, added(2));
        let conflict = |expected, actual| {
            Err(AppendError::Conflict { subject: number.clone(), expected, actual })
        };
        assert_eq!(log.append(lease(0, "granted twice")).await, conflict(0, 2));
        assert_eq!(log.append(lease(1, "another's")).await, conflict(1, 2));
        // Made again, it is recognised before it is compared.
        assert_eq!(log.append(lease(0, "granted")).await, again(2));
        let last = log.last_of_subject(&number).await.expect("a look-up").expect("an entry");
        assert_eq!((last.sequence, texts(&last)), (2, vec!["granted".to_owned()]));
        assert_eq!(take(&mut log.read(0, 1), 1, 1).await, [last]);
        assert_eq!(log.append(lease(2, "renewed")).await, added(3));
        // A refusal in the middle holds nobody back.
        let batch = vec![append("x"), lease(2, "late"), append("y")];
        assert_eq!(log.append_all(batch).await, [added(4), conflict(2, 3), added(5)]);
    }

    async fn one_of_many_wins(log: SharedLog) {
        let number = Subject::lease(0, "acme", "+14155550123");
        let mut last = 0;
        for round in 0..5 {
            let tries = (0..16).map(|who| {
                let append = Append { expect: Some(last), ..append_to(number.clone(), &format!("{round}/{who}")) };
                let log = log.clone();
                tokio::spawn(async move { log.append(append).await })
            });
            let tries = futures::future::join_all(tries).await;
            let (won, lost): (Vec<_>, Vec<_>) = tries.into_iter().map(|result| result.expect("a try")).partition(Result::is_ok);
            let winner = won[0].clone().expect("a winner").sequence;
            assert_eq!((won.len(), lost.len()), (1, 15));
            for error in lost {
                let expected = AppendError::Conflict { subject: number.clone(), expected: last, actual: winner };
                assert_eq!(error, Err(expected));
            }
            last = winner;
        }
    }

    async fn what_is_trimmed_is_gone(log: SharedLog) {
        let old = Subject::lease(0, "acme", "+14155550123");
        assert_eq!(log.append(append_to(old.clone(), "old")).await, added(1));
        for number in 2..=9 {
            assert_eq!(log.append(append(&format!("e{number}"))).await, added(number));
        }
        log.trim(0, 0).await.expect("nothing to do");
        log.trim(0, 1).await.expect("nothing to do");
        assert_eq!(log.first_sequence(0).await, Ok(1));
        let mut early = log.read(0, 0);
        take(&mut early, 0, 1).await;
        log.trim(0, 5).await.expect("trimmed");
        log.trim(0, 3).await.expect("nothing to do");
        assert_eq!((log.first_sequence(0).await, log.last_sequence(0).await), (Ok(5), Ok(9)));
        assert_eq!(take(&mut log.read(0, 4), 4, 5).await.len(), 5);
        let lost = ReadError::Lost { partition: 0, after: 3, first: 5 };
        assert_eq!(log.read(0, 3).collect::<Vec<_>>().await, [Err(lost)]);
        // It does not count as the last of its subject any more; of the others nothing has changed.
        assert_eq!(log.last_of_subject(&old).await, Ok(None));
        let fresh = Append { expect: Some(0), ..append_to(old.clone(), "new") };
        assert_eq!(log.append(fresh).await, added(10));
        // All of it, and more: sequences go on.
        log.trim(0, 1000).await.expect("trimmed");
        assert_eq!((log.first_sequence(0).await, log.last_sequence(0).await), (Ok(11), Ok(10)));
        assert_eq!(log.append(append("after")).await, added(11));
        assert_eq!(take(&mut log.read(0, 10), 10, 1).await.len(), 1);
    }

    async fn settings_are_found_one_after_the_other(log: SharedLog) {
        let settings = |account: &str| Subject::events(0, Kind::Settings, Some(account));
        let next = async |account: &str, after: u64| log.next_settings(&settings(account), after).await;
        let texts_of = |found: Result<Option<Entry>, ReadError>| {
            found.expect("a look-up").map(|entry| (entry.sequence, texts(&entry)))
        };
        assert_eq!(next("acme", 0).await, Ok(None));
        assert_eq!(log.append(append_to(settings("acme"), "first")).await, added(1));
        assert_eq!(log.append(append("a call")).await, added(2));
        assert_eq!(log.append(append_to(settings("acme.b"), "another's")).await, added(3));
        assert_eq!(log.append(append_to(settings("acme"), "second")).await, added(4));
        let (first, second) = (Some((1, vec!["first".to_owned()])), Some((4, vec!["second".to_owned()])));
        for (after, expected) in [(0, &first), (1, &second), (3, &second), (4, &None), (1000, &None)] {
            assert_eq!(&texts_of(next("acme", after).await), expected, "after {after}");
        }
        // The same to the byte and the microsecond as whoever asks for the last is told.
        assert_eq!(next("acme", 1).await, log.last_of_subject(&settings("acme")).await);
        log.trim(0, 2).await.expect("trimmed");
        assert_eq!(texts_of(next("acme", 0).await), second);
        log.trim(0, 5).await.expect("trimmed");
        assert_eq!(next("acme", 0).await, Ok(None));
        assert_eq!(log.append(append_to(settings("acme"), "third")).await, added(5));
        assert_eq!(texts_of(next("acme", 0).await), Some((5, vec!["third".to_owned()])));
    }

    async fn impossible_wishes_are_told(log: SharedLog) {
        let nowhere = PARTITIONS;
        let missing = ReadError::NoSuchPartition { partition: nowhere, partitions: PARTITIONS };
        assert_eq!(log.last_sequence(nowhere).await, Err(missing.clone()));
        let settings = Subject::events(nowhere, Kind::Settings, Some("acme"));
        assert_eq!(log.next_settings(&settings, 0).await, Err(missing.clone()));
        assert_eq!(log.read(nowhere, 0).collect::<Vec<_>>().await, [Err(missing)]);
        assert!(log.trim(nowhere, 5).await.is_err());
        assert_eq!(
            log.append(append_to(Subject::tick(nowhere), "x")).await,
            Err(AppendError::NoSuchPartition { partition: nowhere, partitions: PARTITIONS })
        );
        let limit = log.max_payload();
        let large = |bytes| Append { payload: Bytes::from(vec![b'x'; bytes]), ..append(&bytes.to_string()) };
        assert_eq!(log.append(large(limit + 1)).await, Err(AppendError::TooLarge { bytes: limit + 1, limit }));
        assert_eq!(log.append(large(limit)).await, added(1));
        let rewound = ReadError::Rewound { partition: 0, after: 7, last: 1 };
        assert_eq!(log.read(0, 7).collect::<Vec<_>>().await, [Err(rewound)]);
    }

    async fn much_goes_through_at_once(log: SharedLog) {
        const WRITERS: usize = 8;
        const EACH: usize = 600;
        let writers = (0..WRITERS).map(|writer| {
            let log = log.clone();
            tokio::spawn(async move {
                let batch = (0..EACH).map(|number| append(&format!("{writer}/{number:04}"))).collect();
                log.append_all(batch).await.into_iter().map(|result| result.expect("added").sequence).collect::<Vec<_>>()
            })
        });
        let mut reader = log.read(0, 0);
        let written = futures::future::join_all(writers).await;
        let entries = take(&mut reader, 0, WRITERS * EACH).await;
        for (writer, sequences) in written.into_iter().enumerate() {
            let sequences = sequences.expect("a writer");
            // Each batch stands in its order, and where it was told.
            assert!(sequences.is_sorted());
            for (number, sequence) in sequences.into_iter().enumerate() {
                assert_eq!(texts(&entries[sequence as usize - 1]), [format!("{writer}/{number:04}")]);
            }
        }
        assert_eq!(log.last_sequence(0).await, Ok((WRITERS * EACH) as u64));
    }

    async fn a_full_log_refuses(log: SharedLog, Retention { max_bytes: Some(4000), ..Retention::default() }) {
        let mut held = 0;
        let error = loop {
            match log.append(append(&format!("{held:0500}"))).await {
                Ok(Appended { sequence, .. }) => held = sequence,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, AppendError::Full(_)), "{error}");
        assert!((3..8).contains(&held), "{held}");
        // What is there can be read, and makes room when it is trimmed.
        take(&mut log.read(0, 0), 0, held as usize).await;
        log.trim(0, 3).await.expect("trimmed");
        assert_eq!(log.append(append("more")).await, added(held + 1));
        // The other partition has room of its own.
        assert_eq!(log.append(append_to(Subject::tick(1), "t")).await, added(1));
    }

    async fn a_full_log_drops_the_oldest(
        log: SharedLog, Retention { max_bytes: Some(4000), when_full: WhenFull::DropOldest, ..Retention::default() }
    ) {
        let mut slow = log.read(0, 0);
        for number in 1..=20 {
            assert_eq!(log.append(append(&format!("{number:0500}"))).await, added(number));
        }
        let first = log.first_sequence(0).await.expect("a sequence");
        assert!((14..=19).contains(&first), "{first}");
        take(&mut log.read(0, first - 1), first - 1, (20 - first) as usize).await;
        // Who was too slow is told: at once, or after what was already on its way.
        let error = loop {
            match slow.next().await.expect("an end with a word") {
                Ok(_) => continue,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ReadError::Lost { partition: 0, .. }), "{error}");
    }

    async fn old_entries_go(log: SharedLog, Retention { max_age: Some(Duration::from_millis(300)), ..Retention::default() }) {
        assert_eq!(log.append(append("old")).await, added(1));
        // Whether or not anything is appended.
        while log.first_sequence(0).await == Ok(1) {
            tokio::task::yield_now().await;
        }
        assert_eq!(log.append(append("new")).await, added(2));
        assert!(log.last_of_subject(&Subject::events(0, Kind::Call, Some("acme"))).await.is_ok());
    }

    async fn batches_keep_the_order_of_a_submission(log: SharedLog) {
        const SUBMITTERS: usize = 24;
        const EACH: usize = 10;
        let batcher = Batcher::new(log.clone(), BatchOptions::default());
        let submitters = (0..SUBMITTERS).map(|who| {
            let batcher = batcher.clone();
            tokio::spawn(async move {
                for round in 0..EACH {
                    let mut submission = Submission::new(format!("account {who}"));
                    for (number, kind) in [Kind::Page, Kind::Page, Kind::Call].into_iter().take(1 + who % 3).enumerate() {
                        let text = format!("{who}/{}", round * 3 + number);
                        let record = Record::Event { received: Time(1), origin: "test", bytes: text.as_bytes() };
                        submission.push(kind, &record).expect("a small record");
                    }
                    batcher.submit(submission).await.expect("taken");
                }
            })
        });
        futures::future::join_all(submitters).await.into_iter().for_each(|done| done.expect("a submitter"));
        assert_eq!(batcher.pending_bytes(), 0);
        batcher.close().await;
        let mut seen = HashSet::new();
        for partition in 0..PARTITIONS {
            let last = log.last_sequence(partition).await.expect("a sequence");
            // Batches are what makes it fast: many submissions share an entry.
            assert!((last as usize) < SUBMITTERS * EACH, "{last} entries");
            let mut latest = [-1; SUBMITTERS];
            for entry in take(&mut log.read(partition, 0), 0, last as usize).await {
                for text in texts(&entry) {
                    let (who, number) = text.split_once('/').expect("who/number");
                    let (who, number): (usize, i32) = (who.parse().expect("who"), number.parse().expect("number"));
                    assert_eq!(partition, partition_of(&format!("account {who}"), PARTITIONS));
                    assert!(latest[who] < number, "{text} after {}", latest[who]);
                    latest[who] = number;
                    assert!(seen.insert(text));
                }
            }
        }
        let per_round: usize = (0..SUBMITTERS).map(|who| 1 + who % 3).sum();
        assert_eq!(seen.len(), per_round * EACH);
    }

    async fn a_large_submission_spans_entries_in_order(log: SharedLog) {
        let batcher = Batcher::new(log.clone(), BatchOptions::default());
        let mut submission = Submission::new("acme");
        let padding = "x".repeat(10_000);
        for number in 0..300 {
            let text = format!("{number:04}{padding}");
            let record = Record::Event { received: Time(1), origin: "test", bytes: text.as_bytes() };
            submission.push(if number % 2 == 0 { Kind::Page } else { Kind::Call }, &record).expect("a record");
        }
        let tick = batcher.submit(Submission::tick(1, Time(5)));
        let (large, tick) = tokio::join!(batcher.submit(submission.with_id(MessageId(77))), tick);
        assert_eq!((large, tick), (Ok(()), Ok(())));
        let partition = partition_of("acme", PARTITIONS);
        let last = log.last_sequence(partition).await.expect("a sequence");
        assert!(last > 5);
        let mut next = 0;
        for entry in take(&mut log.read(partition, 0), 0, last as usize).await {
            for text in texts(&entry).iter().filter(|text| text.len() > 10_000) {
                assert_eq!(text[..4], format!("{next:04}"));
                next += 1;
            }
        }
        assert_eq!(next, 300);
    }

    async fn too_much_is_refused_clearly(log: SharedLog) {
        let limit = 50_000;
        // The first is still waiting for others when the second comes.
        let linger = Duration::from_secs(1);
        let options = BatchOptions { pending_bytes: limit, linger, ..BatchOptions::default() };
        let batcher = Batcher::new(log.clone(), options);
        let submission = |text: &str| {
            let mut submission = Submission::new("acme");
            let record = Record::Event { received: Time(1), origin: "test", bytes: text.as_bytes() };
            submission.push(Kind::Page, &record).expect("a record");
            submission
        };
        let large = "x".repeat(30_000);
        let (first, second) = tokio::join!(batcher.submit(submission(&large)), batcher.submit(submission(&large)));
        assert_eq!((first, second), (Ok(()), Err(SubmitError::Overloaded { limit })));
        // Once that is done there is room again.
        assert_eq!(batcher.submit(submission("small")).await, Ok(()));
        assert_eq!(batcher.submit(Submission::new("nothing")).await, Ok(()));
        assert_eq!(log.last_sequence(partition_of("acme", PARTITIONS)).await, Ok(2));
    }
}
