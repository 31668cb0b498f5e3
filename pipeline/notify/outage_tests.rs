//! A receiver that is down for an hour, by a clock that the test turns: it gets everything in order per call, another notices nothing,
//! and what is held meanwhile is bounded.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use callweave_core::settings::{Settings, Webhook};
use callweave_core::time::{MICROS_PER_HOUR, MICROS_PER_SECOND, Time};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::address::Guard;
use super::send::Sender;
use super::store::Store;
use super::subscription::{Entry, Secrets, Subscription};
use super::worker::{Tools, Worker};
use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
use crate::log::{Append, MessageId, SharedLog, Subject};
use crate::telemetry::metrics::Metrics;

const CALLS: usize = 400;
const MOMENTS: [&str; 3] = ["call.started", "call.answered", "call.ended"];
/// What may be held in memory and on disk of one receiver: 64 that were not tried, 1,000 that failed.
const HELD_MAX: u64 = 1_064;

/// How far the test's clock is ahead of the machine's.
static AHEAD: AtomicI64 = AtomicI64::new(0);

fn clock() -> Time {
    Time(chrono::Utc::now().timestamp_micros() + AHEAD.load(Ordering::SeqCst))
}

/// Answers 503 while it is down, and notes what it took: call and moment.
struct Receiver {
    address: SocketAddr,
    down: Arc<AtomicBool>,
    took: Arc<Mutex<Vec<(String, String)>>>,
}

impl Receiver {
    fn start() -> Receiver {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free address");
        let address = socket.local_addr().expect("an address");
        let (down, took) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (is_down, all) = (down.clone(), took.clone());
        std::thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                let (is_down, all) = (is_down.clone(), all.clone());
                std::thread::spawn(move || -> Option<()> {
                    let mut reader = BufReader::new(stream.try_clone().ok()?);
                    loop {
                        let mut length = 0;
                        loop {
                            let mut line = String::new();
                            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
                            let Some((name, value)) = line.trim_end().split_once(": ") else {
                                if line.trim().is_empty() { break } else { continue }
                            };
                            if name.eq_ignore_ascii_case("content-length") {
                                length = value.parse().ok()?;
                            }
                        }
                        let mut body = vec![0; length];
                        reader.read_exact(&mut body).ok()?;
                        let event: Value = serde_json::from_slice(&body).ok()?;
                        let of = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                        let status = if is_down.load(Ordering::SeqCst) { 503 } else { 200 };
                        if status == 200 {
                            all.lock().ok()?.push((of("subject"), of("type")));
                        }
                        write!(&stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").ok()?;
                    }
                });
            }
        });
        Receiver { address, down, took }
    }

    fn took(&self) -> Vec<(String, String)> {
        self.took.lock().expect("moments").clone()
    }
}

async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(180);
    while !look().await {
        assert!(std::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn tell(log: &SharedLog, moment: &str) {
    let appends = (0..CALLS).map(|at| {
        let event = json!({"id": format!("{moment}:c{at}:e"), "type": moment, "subject": format!("c{at}"), "account": "acme",
            "time": clock().to_string(), "data": {"call_id": format!("c{at}"), "account": "acme"}});
        let of: u128 = MOMENTS.iter().position(|it| *it == moment).unwrap_or(0) as u128;
        let subject = Subject::moment("acme", moment);
        Append { subject, message_id: MessageId(of << 64 | at as u128), expect: None, payload: event.to_string().into() }
    });
    for told in log.append_all(appends.collect()).await {
        told.expect("appended");
    }
}

async fn work(
    name: &str,
    to: &Receiver,
    tools: &Tools,
) -> (JoinHandle<()>, Arc<str>, mpsc::Sender<super::worker::Command>) {
    let secrets = Secrets { master: Arc::new([7; 32]), folder: None, beside: Arc::default() };
    let webhook =
        Webhook { name: name.into(), url: format!("http://{}/", to.address), ordered: true, ..Webhook::default() };
    let settings = Settings { webhooks: vec![webhook], ..Settings::default() };
    let entry = Entry::all(&settings).remove(0);
    let subscription = Arc::new(Subscription::new("acme", &entry, &secrets).expect("a subscription"));
    let (of, (commands, mut queue)) = (subscription.of.clone(), mpsc::channel(1));
    let worker = Worker::new(subscription, tools.clone()).await.expect("a worker");
    let stop = CancellationToken::new();
    let task = tokio::spawn(async move { drop(worker.run(&stop, &mut queue).await) });
    (task, of, commands)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_outage_loses_nothing_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = EmbeddedOptions { partitions: Some(1), ..EmbeddedOptions::default() };
    let moments: SharedLog = Arc::new(EmbeddedLog::open(folder.path().join("moments"), options).await.expect("a log"));
    let tools = Tools {
        moments: moments.clone(),
        store: Store::open(&folder.path().join("notify")).expect("a store"),
        sender: Sender::new(Guard::new(&["127.0.0.0/8".parse().expect("a network")])),
        metrics: Metrics::new(),
        clock,
        chance: || 0.5,
    };
    let (away, near) = (Receiver::start(), Receiver::start());
    away.down.store(true, Ordering::SeqCst);
    let (away_task, of, _commands) = work("away", &away, &tools).await;
    let (near_task, _, _others) = work("near", &near, &tools).await;
    let mut held_most = 0;
    for (at, moment) in MOMENTS.into_iter().enumerate() {
        tell(&moments, moment).await;
        until("the other to have them", async || near.took().len() == CALLS * (at + 1)).await;
        // Twenty minutes each, a minute at a time, so that it is tried out of turn again and again.
        for _ in 0..20 {
            AHEAD.fetch_add(60 * MICROS_PER_SECOND, Ordering::SeqCst);
            let (waiting, dead) = tools.store.counts(&of).await.expect("counts");
            held_most = held_most.max(waiting);
            assert_eq!(dead, 0, "an hour is no reason to give up");
        }
    }
    assert!(AHEAD.load(Ordering::SeqCst) >= MICROS_PER_HOUR && away.took().is_empty());
    away.down.store(false, Ordering::SeqCst);
    until("everything, once it is back", async || {
        AHEAD.fetch_add(MICROS_PER_SECOND, Ordering::SeqCst);
        away.took().len() >= CALLS * MOMENTS.len()
    })
    .await;
    assert!(held_most <= HELD_MAX, "{held_most} were held");
    for took in [away.took(), near.took()] {
        let mut by_call: BTreeMap<String, Vec<String>> = BTreeMap::new();
        took.into_iter().for_each(|(call, moment)| by_call.entry(call).or_default().push(moment));
        assert_eq!(by_call.len(), CALLS);
        assert!(by_call.values().all(|moments| *moments == MOMENTS), "{by_call:?}");
    }
    [away_task, near_task].iter().for_each(JoinHandle::abort);
}
