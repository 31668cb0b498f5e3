//! How soon and how fast subscribers are told here. `cargo test --release --test it notify_rates -- --ignored --nocapture`;
//! `CALLWEAVE_TEST_BACKGROUND` is another number of page views a second beside the calls, `CALLWEAVE_TEST_CALL_MS` another time
//! between two calls: an unoptimised build keeps up with fewer.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::nats::NatsServer;
use crate::notify::{ALLOW, place, step};
use crate::program::{Place, Program, key_of, until};

/// Events a second beside the calls.
const BACKGROUND: f64 = 5_000.0;
const BATCH: usize = 100;
const CALLS: usize = 500;
const CALLS_EVERY_MS: f64 = 20.0;
const SUBSCRIBERS: usize = 10;

/// Answers 204 at once, on connections that stay, and notes when each call came.
struct Receiver {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    came: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Receiver {
    fn start() -> Receiver {
        let socket = TcpListener::bind("127.0.0.1:0").expect("an address");
        let address = socket.local_addr().expect("an address");
        let (count, came) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(HashMap::new())));
        let receiver = Receiver { address, count: count.clone(), came: came.clone() };
        std::thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                let (count, came) = (count.clone(), came.clone());
                std::thread::spawn(move || serve(stream, &count, &came));
            }
        });
        receiver
    }
}

fn serve(mut stream: TcpStream, count: &AtomicUsize, came: &Mutex<HashMap<String, Instant>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while !line.ends_with("\r\n\r\n") {
            let before = line.len();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            if let Some(value) = line[before..].strip_prefix("content-length: ") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let at = Instant::now();
        stream.write_all(b"HTTP/1.1 204 X\r\n\r\n").ok()?;
        count.fetch_add(1, Ordering::Relaxed);
        let call = String::from_utf8(body).ok()?;
        came.lock().ok()?.entry(call).or_insert(at);
    }
}

/// Posts page views at a steady rate until it is told to stop; how many.
fn background(address: String, rate: f64, stop: Arc<AtomicBool>) -> usize {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20))).build().into();
    let (begun, mut sent) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let now = chrono::Utc::now().to_rfc3339();
        let lines: Vec<String> = (sent..sent + BATCH)
            .map(|at| {
                let data = json!({"visitor_id": format!("v{}", at % 20_000), "url": format!("https://example.com/{}", at % 50)});
                let event = json!({"specversion": "1.0", "id": format!("p{at}"), "source": "web", "type": "page_view",
                                   "time": now, "account": "acme", "data": data});
                event.to_string()
            })
            .collect();
        let request = agent.post(format!("http://{address}/v1/events")).header("content-type", "application/x-ndjson");
        let answer = request.header("authorization", format!("Bearer {}", key_of("acme"))).send(lines.join("\n"));
        assert!(answer.is_ok_and(|answer| answer.status() == 200));
        sent += BATCH;
        let due = Duration::from_secs_f64(sent as f64 / rate);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    println!("  {:.0} page views/s beside it", sent as f64 / begun.elapsed().as_secs_f64());
    sent
}

fn hooks(receiver: &Receiver) -> Value {
    let url = format!("http://{}/", receiver.address);
    let hook = |at: usize| json!({"name": format!("s{at}"), "url": url, "moments": ["call.started"], "body": format!("{{{{call_id}}}}/{at}")});
    (0..SUBSCRIBERS).map(hook).collect()
}

fn measure(name: &str, arguments: &[&str]) {
    let receiver = Receiver::start();
    let place: Place = place(hooks(&receiver), ALLOW);
    // As it is run, not as other tests want it.
    let path = place.folder.path().join("callweave.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let text = text.replace("[commit]\ncalls_ms = 100\nbulk_ms = 300\n[snapshot]\nseconds = 1\n", "");
    std::fs::write(&path, text).expect("a configuration");
    let program = Program::start(&place, arguments);
    let stop = Arc::new(AtomicBool::new(false));
    let told = |name: &str, or: f64| std::env::var(name).ok().and_then(|told| told.parse().ok()).unwrap_or(or);
    let rate = told("CALLWEAVE_TEST_BACKGROUND", BACKGROUND);
    let calls_every = Duration::from_secs_f64(told("CALLWEAVE_TEST_CALL_MS", CALLS_EVERY_MS) / 1e3);
    let load = std::thread::spawn({
        let (address, stop) = (program.collect(), stop.clone());
        move || background(address, rate, stop)
    });
    std::thread::sleep(Duration::from_secs(3));
    let mut sent = Vec::new();
    for at in 0..CALLS {
        let event = step(&format!("c{at}"), "started").to_string();
        sent.push(Instant::now());
        assert!(program.post("acme", event.as_bytes()).is_some_and(|(status, _)| status == 200));
        std::thread::sleep(calls_every.saturating_sub(sent[at].elapsed()));
    }
    let all = || (receiver.count.load(Ordering::Relaxed) >= CALLS * SUBSCRIBERS).then_some(());
    until("every call at every subscriber", all);
    stop.store(true, Ordering::Relaxed);
    load.join().expect("the background");
    let came = receiver.came.lock().expect("calls").clone();
    for subscriber in [0, SUBSCRIBERS - 1] {
        let took = |at: usize| came[&format!("c{at}/{subscriber}")].duration_since(sent[at]);
        let mut took: Vec<Duration> = (0..CALLS).map(took).collect();
        took.sort();
        println!(
            "{name}: from posting to receiving, subscriber {subscriber} of {SUBSCRIBERS}: p50 {:?}, p99 {:?}, most {:?}",
            took[CALLS / 2],
            took[CALLS * 99 / 100],
            took[CALLS - 1]
        );
    }

    let begun = Instant::now();
    for part in 0..40 {
        let events: Vec<String> =
            (0..CALLS / 10).map(|at| step(&format!("f{part}-{at}"), "started").to_string()).collect();
        assert!(program.post("acme", events.join("\n").as_bytes()).is_some_and(|(status, _)| status == 200));
    }
    let all = || (receiver.count.load(Ordering::Relaxed) >= 5 * CALLS * SUBSCRIBERS).then_some(());
    until("all of the flood", all);
    let rate = 4.0 * (CALLS * SUBSCRIBERS) as f64 / begun.elapsed().as_secs_f64();
    println!("{name}: {rate:.0} deliveries/s to {SUBSCRIBERS} subscribers, {:?} of memory", program.memory_peak());
    program.stop();
}

#[test]
#[ignore = "measures"]
fn how_soon_and_how_fast() {
    measure("embedded", &["up"]);
    let server = NatsServer::start();
    measure("nats", &["up", "--nats", &server.url()]);
}
