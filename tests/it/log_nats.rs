//! What only a log behind a network can suffer.

use std::time::Duration;

use callweave::log::nats::{ConnectError, Credentials, NatsLog, NatsOptions};
use callweave::log::{AppendError, Log, ReadError, Retention};
use futures::StreamExt;

use crate::log::{PATIENCE, append, take, texts};
use crate::nats::NatsServer;

fn options(server: &NatsServer) -> NatsOptions {
    NatsOptions {
        partitions: Some(2),
        ack_timeout: Duration::from_millis(500),
        append_timeout: Duration::from_secs(2),
        ..NatsOptions::new(server.url())
    }
}

async fn append_until_taken(log: &NatsLog, text: &str) -> u64 {
    let tries = async {
        loop {
            match log.append(append(text)).await {
                Ok(appended) => break appended.sequence,
                Err(AppendError::Unavailable(_)) => continue,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, tries).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_comes_back() {
    let mut server = NatsServer::start();
    let log = NatsLog::connect(options(&server)).await.expect("a log");
    let mut reader = log.read(0, 0);
    for number in 1..=3 {
        assert_eq!(log.append(append(&format!("e{number}"))).await.expect("added").sequence, number);
    }
    take(&mut reader, 0, 3).await;
    for round in 0..2u64 {
        server.kill();
        let next = 4 + round;
        let error = log.append(append(&format!("e{next}"))).await.expect_err("nobody is there");
        assert!(matches!(error, AppendError::Unavailable(_)), "{error}");
        server.restart();
        // The client may have sent the first try after all: the id tells.
        assert_eq!(append_until_taken(&log, &format!("e{next}")).await, next);
        // The same reader goes on where it was.
        let entries = tokio::time::timeout(PATIENCE, take(&mut reader, next - 1, 1)).await.expect("in time");
        assert_eq!(texts(&entries[0]), [format!("e{next}")]);
    }
    assert_eq!(take(&mut log.read(0, 0), 0, 5).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_loses_nothing() {
    let server = NatsServer::start();
    let log = NatsLog::connect(options(&server)).await.expect("a log");
    let mut reader = log.read(0, 0);
    assert_eq!(log.append(append("e1")).await.expect("added").sequence, 1);
    take(&mut reader, 0, 1).await;
    server.pause();
    let error = log.append(append("e2")).await.expect_err("it hangs");
    assert!(matches!(error, AppendError::Unavailable(_)), "{error}");
    server.resume();
    // What was sent into the void may be stored now: the id tells.
    assert_eq!(append_until_taken(&log, "e2").await, 2);
    assert_eq!(append_until_taken(&log, "e3").await, 3);
    let entries = tokio::time::timeout(PATIENCE, take(&mut reader, 1, 2)).await.expect("in time");
    assert_eq!(entries.iter().flat_map(texts).collect::<Vec<_>>(), ["e2", "e3"]);
}

/// A server cuts off whom it has more for than `max_pending`, 64 MB by default: no pull asks for that much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_large_frames_is_not_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, said) = (folder.path().join("nats.conf"), folder.path().join("log"));
    std::fs::write(&config, "max_pending: 20MB\njetstream: enabled\n").expect("a configuration");
    let path = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let server = NatsServer::start_with(&["-c", &path(&config), "-l", &path(&said)]);
    let log = NatsLog::connect(options(&server)).await.expect("a log");
    for number in 0..100u8 {
        log.append(append(&format!("{number:03}").repeat(300_000))).await.expect("added");
    }
    let mut reader = log.read(0, 0);
    let taken = tokio::time::timeout(PATIENCE, take(&mut reader, 0, 100)).await;
    assert_eq!(taken.map(|taken| taken.len()), Ok(100), "it is cut off again and again");
    let said = std::fs::read_to_string(&said).expect("what the server said");
    assert!(said.contains("Server is ready"), "{said}");
    assert!(!said.contains("Slow Consumer"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_survives_the_loss_of_its_consumer() {
    let server = NatsServer::start();
    let log = NatsLog::connect(options(&server)).await.expect("a log");
    let client = async_nats::connect(server.url()).await.expect("a client");
    let jetstream = async_nats::jetstream::new(client);
    let stream = jetstream.get_stream("CALLWEAVE_EVENTS_0").await.expect("the stream");
    let mut reader = log.read(0, 0);
    for number in 1..=3u64 {
        assert_eq!(log.append(append(&format!("e{number}"))).await.expect("added").sequence, number);
        take(&mut reader, number - 1, 1).await;
        let mut consumers = stream.consumer_names();
        while let Some(name) = consumers.next().await {
            stream.delete_consumer(&name.expect("a name")).await.expect("deleted");
        }
    }
    // A message that an operator deleted is no loss; one that comes from elsewhere is read as it is.
    assert_eq!(log.append(append("e4")).await.expect("added").sequence, 4);
    stream.delete_message(4).await.expect("deleted");
    jetstream
        .publish("callweave.events.0.other.acme", r#"{"id":"bare"}"#.into())
        .await
        .expect("sent")
        .await
        .expect("kept");
    let entries =
        tokio::time::timeout(PATIENCE, reader.next()).await.expect("in time").expect("more").expect("entries");
    assert_eq!((entries[0].sequence, texts(&entries[0])), (5, vec![r#"{"id":"bare"}"#.to_owned()]));
    // A stream that was deleted and made again is another log: the reader does not wait for its sequence 6.
    jetstream.delete_stream("CALLWEAVE_EVENTS_0").await.expect("deleted");
    let again = NatsLog::connect(options(&server)).await.expect("a new stream");
    assert_eq!(again.append(append("e1")).await.expect("added").sequence, 1);
    let error = tokio::time::timeout(PATIENCE, reader.next()).await.expect("in time").expect("a word");
    assert_eq!(error, Err(ReadError::Replaced { partition: 0 }));
    // Whoever only knows how far it was read sees that there is less.
    let error = again.read(0, 5).next().await.expect("a word");
    assert_eq!(error, Err(ReadError::Rewound { partition: 0, after: 5, last: 1 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_lost_are_made_again() {
    let mut server = NatsServer::start();
    let log = NatsLog::connect(options(&server)).await.expect("a log");
    assert_eq!(log.append(append("e1")).await.expect("added").sequence, 1);
    let before = log.identity(0).await.expect("an identity");
    assert_eq!(log.identity(0).await.as_ref(), Ok(&before));
    server.restart();
    let same = async {
        loop {
            if let Ok(identity) = log.identity(0).await {
                break identity;
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, same).await.expect("in time"), before);
    server.lose_all();
    assert_eq!(append_until_taken(&log, "e2").await, 1, "another stream counts anew");
    assert_ne!(log.identity(0).await.expect("an identity"), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_tells_what_is_wrong() {
    let off = NatsServer::start_with(&[]);
    let error = NatsLog::connect(options(&off)).await.expect_err("no jetstream");
    assert!(matches!(error, ConnectError::JetStreamOff { .. }), "{error}");

    let mut closed = NatsServer::start_with(&["-js", "--user", "ann", "--pass", "secret"]);
    let error = NatsLog::connect(options(&closed)).await.expect_err("no password");
    assert!(matches!(error, ConnectError::Connect { .. }), "{error}");
    let credentials = Credentials::UserPassword { user: "ann".into(), password: "secret".into() };
    assert!(!format!("{credentials:?}").contains("secret"));
    let known = NatsOptions { credentials, ..options(&closed) };
    let log = NatsLog::connect(known.clone()).await.expect("the right password");
    assert_eq!(log.append(append("e1")).await.expect("added").sequence, 1);
    let error = NatsLog::connect(NatsOptions { partitions: Some(3), ..known.clone() }).await.expect_err("there are 2");
    assert!(matches!(error, ConnectError::Partitions { has: 2, wanted: 3 }), "{error}");
    // Without a wish it takes what is there, and changes what it is told to.
    let retention = Retention { max_bytes: Some(1), ..Retention::default() };
    let log = NatsLog::connect(NatsOptions { partitions: None, retention, ..known.clone() }).await.expect("a log");
    assert_eq!(log.partitions(), 2);
    let error = log.append(append("e2")).await.expect_err("it may hold one byte");
    assert!(matches!(error, AppendError::Full(_)), "{error}");
    closed.kill();
    let error = NatsLog::connect(known).await.expect_err("nobody is there");
    assert!(matches!(error, ConnectError::Connect { .. }), "{error}");
    let nonsense = NatsOptions::new("not a url at all");
    assert!(matches!(NatsLog::connect(nonsense).await, Err(ConnectError::Servers { .. })));
    let file = Credentials::File("/nowhere/x.creds".into());
    let error = NatsLog::connect(NatsOptions { credentials: file, ..options(&off) }).await.expect_err("no such file");
    assert!(matches!(error, ConnectError::CredentialsFile { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_begins_anew_is_told() {
    let server = NatsServer::start();
    let log = NatsLog::connect(options(&server)).await.expect("a log");
    log.append(append("e1")).await.expect("added");
    let error = log.read(0, 1000).next().await.expect("a word");
    assert_eq!(error, Err(ReadError::Rewound { partition: 0, after: 1000, last: 1 }));
}

/// More than any disk has: the server would have to set it aside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_beyond_the_servers_store_does_not_keep_the_log_from_starting() {
    let server = NatsServer::start();
    let retention = Retention { max_bytes: Some(1 << 60), ..Retention::default() };
    for expected in 1..=2 {
        let log = NatsLog::connect(NatsOptions { retention, ..options(&server) }).await.expect("a log");
        let added = log.append(append(&format!("e{expected}"))).await.expect("added");
        assert_eq!(added.sequence, expected, "it opens again, too");
    }
}
