//! How fast the logs are here. `cargo test --test it log_rates -- --ignored --nocapture`

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use callweave::log::embedded::{EmbeddedLog, EmbeddedOptions};
use callweave::log::frame::{FrameBuilder, Record};
use callweave::log::nats::{NatsLog, NatsOptions};
use callweave::log::{Append, Kind, MessageId, SharedLog, Subject};
use callweave_core::time::Time;
use futures::StreamExt;

use crate::log::append;
use crate::nats::NatsServer;

const EVENTS_A_FRAME: usize = 50;
const EVENT_BYTES: usize = 400;

fn frame_of_events(number: u64) -> Bytes {
    let mut builder = FrameBuilder::new();
    let mut event = [b'x'; EVENT_BYTES];
    event[..8].copy_from_slice(&number.to_le_bytes());
    for _ in 0..EVENTS_A_FRAME {
        builder.push(&Record::Event { received: Time(1), origin: "rates", bytes: &event }).expect("a small record");
    }
    builder.finish()
}

async fn measure(name: &str, log: SharedLog, single: u64, frames: u64) {
    let begun = Instant::now();
    let submitters = (0..64u64).map(|who| {
        let log = log.clone();
        tokio::spawn(async move {
            for number in 0..single / 64 {
                log.append(append(&format!("{who}/{number}"))).await.expect("added");
            }
        })
    });
    futures::future::join_all(submitters).await.into_iter().for_each(|done| done.expect("a submitter"));
    let rate = single as f64 / begun.elapsed().as_secs_f64();
    println!("{name}: {rate:.0} appends/s by 64 submitters, one at a time each");

    let payloads: Vec<Bytes> = (0..frames).map(frame_of_events).collect();
    let begun = Instant::now();
    for some in payloads.chunks(1000) {
        let batch = some.iter().map(|payload| Append {
            subject: Subject::events(1, Kind::Page, None),
            message_id: MessageId::of(payload),
            expect: None,
            payload: payload.clone(),
        });
        log.append_all(batch.collect()).await.into_iter().for_each(|result| {
            result.expect("added");
        });
    }
    let events = (frames as usize * EVENTS_A_FRAME) as f64;
    println!("{name}: {:.0} events/s appended, {EVENTS_A_FRAME} a frame", events / begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    let (mut reader, mut read) = (log.read(1, 0), 0);
    while read < frames as usize * EVENTS_A_FRAME {
        for entry in reader.next().await.expect("no end").expect("entries") {
            read += entry.records().filter(Result::is_ok).count();
        }
    }
    println!("{name}: {:.0} events/s read and taken apart", events / begun.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn embedded() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a temporary folder");
    let options = EmbeddedOptions { partitions: Some(2), ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open(folder.path(), options).await.expect("a log");
    measure("embedded", Arc::new(log), 6400, 10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn jetstream() {
    let server = NatsServer::start();
    let options = NatsOptions { partitions: Some(2), ..NatsOptions::new(server.url()) };
    let log = NatsLog::connect(options).await.expect("a log");
    measure("jetstream", Arc::new(log), 64_000, 20_000).await;
}
