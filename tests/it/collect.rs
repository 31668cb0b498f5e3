//! The collector through real sockets, on the embedded log.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use callweave::collect::{Bound, Collect, Drained, log_answers};
use callweave::config::{Account, Config, Secret};
use callweave::log::embedded::{EmbeddedLog, EmbeddedOptions};
use callweave::log::frame::Record;
use callweave::log::{
    Append, AppendError, Appended, Entries, Entry, Log, ReadError, SharedLog, Subject, TrimError, partition_of,
};
use callweave::telemetry::metrics::Metrics;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const KEY: &str = "the-key-of-acme-for-tests";
/// Nothing here takes nearly as long; what does has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A log whose appends wait until the gate is open.
pub struct Gated {
    log: EmbeddedLog,
    gate: Semaphore,
    waiting: Semaphore,
}

#[async_trait::async_trait]
impl Log for Gated {
    fn partitions(&self) -> u16 {
        self.log.partitions()
    }
    fn max_payload(&self) -> usize {
        self.log.max_payload()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.waiting.add_permits(1);
        let _open = self.gate.acquire().await;
        self.log.append(append).await
    }
    async fn append_all(&self, batch: Vec<Append>) -> Vec<Result<Appended, AppendError>> {
        self.waiting.add_permits(1);
        let _open = self.gate.acquire().await;
        self.log.append_all(batch).await
    }
    fn read(&self, partition: u16, after: u64) -> Entries {
        self.log.read(partition, after)
    }
    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.log.last_sequence(partition).await
    }
    async fn identity(&self, partition: u16) -> Result<String, ReadError> {
        self.log.identity(partition).await
    }
    async fn first_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.log.first_sequence(partition).await
    }
    async fn last_of_subject(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        self.log.last_of_subject(subject).await
    }
    async fn next_settings(&self, subject: &Subject, after: u64) -> Result<Option<Entry>, ReadError> {
        self.log.next_settings(subject, after).await
    }
    async fn trim(&self, partition: u16, before: u64) -> Result<(), TrimError> {
        self.log.trim(partition, before).await
    }
}

pub struct Running {
    pub collect: String,
    admin: String,
    pub log: Arc<Gated>,
    pub metrics: Metrics,
    shutdown: CancellationToken,
    task: JoinHandle<Drained>,
    _folder: tempfile::TempDir,
}

/// A collector for account `acme`, with a log whose gate is open.
pub async fn start(change: impl FnOnce(&mut Config)) -> Running {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut config = Config { data: folder.path().to_owned(), ..Config::default() };
    config.listen.collect.set_port(0);
    config.listen.admin.set_port(0);
    let acme = Account { name: "acme".into(), keys: vec![Secret::new(KEY)], settings: None, logins: Vec::new() };
    config.accounts.insert("acme".into(), acme);
    change(&mut config);
    let log = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).await.expect("a new log");
    let gate = Semaphore::new(Semaphore::MAX_PERMITS);
    let log = Arc::new(Gated { log, gate, waiting: Semaphore::new(0) });
    let shared: SharedLog = log.clone();
    let metrics = Metrics::new();
    let ready = log_answers(shared.clone());
    let bound: Bound = Collect::of(&config).bind(shared, metrics.clone(), ready).await.expect("free ports");
    let (collect, admin) = (bound.collect_address().to_string(), bound.admin_address().to_string());
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(bound.run(shutdown.clone()));
    Running { collect, admin, log, metrics, shutdown, task, _folder: folder }
}

impl Running {
    pub async fn post(&self, headers: &str, body: &[u8]) -> Reply {
        let head = format!("{headers}Authorization: Bearer {KEY}\r\n");
        request(&self.collect, "POST /v1/events", &head, body).await
    }

    /// A request that is sent and not waited for.
    fn post_later(&self, body: String) -> JoinHandle<Reply> {
        let address = self.collect.clone();
        let head = format!("Authorization: Bearer {KEY}\r\n");
        tokio::spawn(async move { request(&address, "POST /v1/events", &head, body.as_bytes()).await })
    }

    /// What the log holds of acme: for an event its bytes, for a rejected one reason, path and bytes.
    pub async fn logged(&self) -> Vec<String> {
        let partition = partition_of("acme", self.log.partitions());
        let last = self.log.last_sequence(partition).await.expect("the log answers");
        let (mut entries, mut logged, mut at) = (self.log.read(partition, 0), Vec::new(), 0);
        while at < last {
            for entry in entries.next().await.expect("more entries").expect("entries that can be read") {
                at = entry.sequence;
                for record in entry.records() {
                    logged.push(match record.expect("a whole frame") {
                        Record::Event { bytes, origin, .. } => {
                            format!("{origin} {}", String::from_utf8_lossy(bytes))
                        }
                        Record::Rejected { account, reason, path, bytes, .. } => {
                            format!("rejected {account:?} [{path}] {reason}: {}", String::from_utf8_lossy(bytes))
                        }
                        Record::Tick { time } => format!("tick {time}"),
                    });
                }
            }
        }
        logged
    }

    pub fn open_gate(&self) {
        self.log.gate.add_permits(Semaphore::MAX_PERMITS);
    }

    pub async fn close_gate(&self) {
        self.log.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Waits until so many appends have come to the closed gate.
    async fn gate_has(&self, appends: u32) {
        let waiting = tokio::time::timeout(PATIENCE, self.log.waiting.acquire_many(appends)).await;
        waiting.expect("appends in time").expect("an open semaphore").forget();
    }

    pub async fn stop(self) -> Drained {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it stops in time").expect("it does not panic")
    }
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One request on a connection of its own; status 0 where the server closes without an answer.
pub async fn request(address: &str, line: &str, headers: &str, body: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let length = if headers.contains("Transfer-Encoding") {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let head = format!("{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{length}{headers}\r\n");
    stream.write_all(head.as_bytes()).await.expect("the head is taken");
    // A server that refuses early may stop reading.
    let _ = stream.write_all(body).await;
    answer(&mut stream).await
}

async fn answer(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an answer in time");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Reply { status: 0, head: format!("{read:?}"), body: text };
    };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn event(id: &str, account: &str) -> String {
    format!(
        "{{ \"specversion\":\"1.0\", \"id\":\"{id}\",\"source\":\"test\",\"type\":\"page_view\",\"time\":\
         \"2026-11-20T12:00:00Z\",\"account\":\"{account}\",\"data\":{{\"visitor_id\":\"v\",\"url\":\"https://a.example/\"}}}}"
    )
}

fn events(ids: std::ops::Range<usize>) -> Vec<String> {
    ids.map(|id| event(&id.to_string(), "acme")).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory is written to")
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("memory is written to")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_taken_in_every_form_byte_for_byte() {
    let running = start(|_| {}).await;
    let all = events(0..12);
    let array = format!(" [{} ,\n {}]", all[1], all[2]);
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&all[11]).expect("JSON")).expect("JSON");
    let table: [(&str, Vec<u8>, usize); 7] = [
        ("Content-Type: application/cloudevents+json\r\n", all[0].clone().into(), 1),
        ("Content-Type: application/json\r\n", array.into(), 2),
        ("Content-Type: application/x-ndjson\r\n", format!("{}\n\n{}\n", all[3], all[4]).into(), 2),
        ("", format!("{}\n{}", all[5], all[6]).into(), 2),
        ("Content-Encoding: gzip\r\n", gzip(format!("[{},{}]", all[7], all[8]).as_bytes()), 2),
        ("Content-Encoding: zstd\r\n", zstd_of(format!("{}\n{}", all[9], all[10]).as_bytes()), 2),
        ("Content-Type: application/x-www-form-urlencoded\r\n", pretty.clone().into(), 1),
    ];
    for (headers, body, count) in &table {
        let reply = running.post(headers, body).await;
        assert_eq!(reply.status, 200, "{headers} {reply:?}");
        let told = reply.json();
        assert_eq!((&told["taken"], &told["refused"]), (&json!(count), &json!(0)), "{headers}");
        assert_eq!(told["results"].as_array().map(Vec::len), Some(*count), "{headers}");
        assert_eq!(told["results"][0]["status"], "taken");
    }
    let mut expected: Vec<String> = all[..11].iter().map(|event| format!("/v1/events {event}")).collect();
    expected.push(format!("/v1/events {pretty}"));
    assert_eq!(running.logged().await, expected);
    let chunked = format!("{:x}\r\n{}\r\n0\r\n\r\n", all[0].len(), all[0]);
    let reply = running.post("Transfer-Encoding: chunked\r\n", chunked.as_bytes()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_told_and_kept_and_harms_no_neighbour() {
    let running = start(|_| {}).await;
    let (first, other, last) = (event("1", "acme"), event("2", "globex"), event("3", "acme"));
    let body = format!("[{first},{{\"id\":\"x\",\"specversion\":\"1.0\"}},{other},\u{1},{last},{{\"cut\"");
    let reply = running.post("", body.as_bytes()).await;
    assert_eq!(reply.status, 207, "{reply:?}");
    let told = reply.json();
    assert_eq!((&told["taken"], &told["refused"]), (&json!(2), &json!(4)));
    let short: Vec<_> = (0..6).map(|at| (&told["results"][at]["status"], &told["results"][at]["id"])).collect();
    let (taken, refused) = (&json!("taken"), &json!("refused"));
    let none = &Value::Null;
    let expected = [
        (taken, &json!("1")),
        (refused, &json!("x")),
        (refused, &json!("2")),
        (refused, none),
        (taken, &json!("3")),
        (refused, none),
    ];
    assert_eq!(short, expected, "{told:#}");
    assert_eq!(told["results"][2]["path"], "account");

    let logged = running.logged().await;
    assert_eq!(logged.len(), 6);
    assert_eq!(logged[0], format!("/v1/events {first}"));
    assert!(
        logged[1].starts_with("rejected Some(\"acme\") [")
            && logged[1].ends_with(": {\"id\":\"x\",\"specversion\":\"1.0\"}")
    );
    assert!(logged[2].starts_with("rejected Some(\"acme\") [account] is \"globex\"") && logged[2].ends_with(&other));
    assert!(logged[3].ends_with(": \u{1}"));
    assert_eq!(logged[4], format!("/v1/events {last}"));
    assert!(logged[5].ends_with(": {\"cut\""), "{}", logged[5]);

    let reply = running.post("", other.as_bytes()).await;
    assert_eq!(
        (reply.status, &reply.json()["type"]),
        (403, &json!("urn:callweave:problem:other-account")),
        "{reply:?}"
    );
    let reply = running.post("", b"hello").await;
    assert_eq!((reply.status, &reply.json()["refused"]), (400, &json!(1)), "{reply:?}");
    assert!(reply.head.contains("content-type: application/problem+json"), "{reply:?}");
    assert_eq!(running.logged().await.len(), 8);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_done_are_refused_with_a_problem() {
    let running = start(|config| {
        config.limits.body_bytes = 100_000;
        config.limits.memory_bytes = 1 << 20;
        config.limits.events = 20;
    })
    .await;
    let good = event("1", "acme");
    let key = format!("Authorization: Bearer {KEY}\r\n");
    let with_key = |headers: &str| format!("{key}{headers}");
    let bomb = vec![b' '; 50 << 20];
    let long = vec![b'x'; 100_001];
    let mut chunked = Vec::new();
    for _ in 0..101 {
        chunked.extend_from_slice(format!("3e8\r\n{}\r\n", "x".repeat(1000)).as_bytes());
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let far_too_long = vec![b' '; 20 << 20];
    let many = "1\n".repeat(21);
    let post = "POST /v1/events";
    let table: &[(&str, String, &[u8], u16, &str)] = &[
        (post, String::new(), good.as_bytes(), 401, "no-key"),
        (post, "Authorization: Bearer of-somebody-else\r\n".into(), good.as_bytes(), 401, "wrong-key"),
        (post, with_key("Content-Type: image/png\r\n"), good.as_bytes(), 415, "media-type"),
        (post, with_key("Content-Encoding: br\r\n"), good.as_bytes(), 415, "encoding"),
        (post, with_key("Content-Encoding: gzip\r\n"), good.as_bytes(), 400, "bad-encoding"),
        (post, with_key("Content-Encoding: gzip\r\n"), &gzip(good.as_bytes())[..40], 400, "bad-encoding"),
        (post, with_key("Content-Encoding: zstd\r\n"), good.as_bytes(), 400, "bad-encoding"),
        (post, with_key("Content-Encoding: gzip\r\n"), &gzip(&bomb), 413, "too-long"),
        (post, with_key("Content-Encoding: zstd\r\n"), &zstd_of(&bomb), 413, "too-long"),
        (post, with_key(""), b" \n", 400, "empty"),
        (post, with_key(""), &long, 413, "too-long"),
        // Its sender reads no answer before all is sent.
        (post, with_key(""), &far_too_long, 413, "too-long"),
        (post, with_key("Transfer-Encoding: chunked\r\n"), &chunked, 413, "too-long"),
        (post, with_key(""), many.as_bytes(), 413, "too-many"),
        ("GET /v1/events", key.clone(), b"", 405, "method"),
        ("POST /v1/event", key.clone(), b"", 404, "not-found"),
    ];
    for (line, headers, body, status, name) in table {
        let reply = request(&running.collect, line, headers, body).await;
        assert_eq!(reply.status, *status, "{line} {headers} {reply:?}");
        assert!(reply.head.contains("content-type: application/problem+json"), "{reply:?}");
        let problem = reply.json();
        assert_eq!(problem["type"], format!("urn:callweave:problem:{name}"), "{line} {headers}");
        assert_eq!(problem["status"], *status);
    }
    assert_eq!(running.metrics.collect_body_memory.get(), 0.0, "memory is given back");
    assert_eq!(running.logged().await.len(), 0);
    let huge = format!("{}X-Much: {}\r\n", key, "x".repeat(100_000));
    assert_eq!(request(&running.collect, post, &huge, b"").await.status, 431);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_there_is_room_for_is_turned_away() {
    let running = start(|config| {
        config.limits.concurrent = 2;
        config.limits.requests_per_second = 3;
    })
    .await;
    running.close_gate().await;
    let first = running.post_later(event("1", "acme"));
    running.gate_has(1).await;
    let second = running.post_later(event("2", "acme"));
    wait_until(|| running.metrics.collect_requests_in_flight.get() == 2.0).await;
    let third = running.post("", event("3", "acme").as_bytes()).await;
    assert_eq!((third.status, &third.json()["type"]), (503, &json!("urn:callweave:problem:busy")));
    assert!(third.head.contains("retry-after: 1"), "{third:?}");
    running.log.gate.add_permits(100);
    assert_eq!(first.await.expect("an answer").status, 200);
    assert_eq!(second.await.expect("an answer").status, 200);
    assert_eq!(running.logged().await.len(), 2);

    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(running.post("", event("4", "acme").as_bytes()).await.status);
    }
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_share_a_bounded_memory() {
    let running = start(|config| {
        config.limits.body_bytes = 1 << 20;
        config.limits.memory_bytes = 2 << 20;
    })
    .await;
    running.close_gate().await;
    let body = format!("{}{}", event("1", "acme"), " ".repeat(900_000));
    let first = running.post_later(body.clone());
    running.gate_has(1).await;
    let second = running.post_later(body.clone());
    wait_until(|| running.metrics.collect_body_memory.get() > 1_800_000.0).await;
    let third = running.post("", body.as_bytes()).await;
    assert_eq!((third.status, &third.json()["type"]), (503, &json!("urn:callweave:problem:memory")));
    running.log.gate.add_permits(100);
    assert_eq!(first.await.expect("an answer").status, 200);
    assert_eq!(second.await.expect("an answer").status, 200);
    wait_until(|| running.metrics.collect_body_memory.get() == 0.0).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_confirm_is_no_acknowledgement() {
    let running = start(|config| config.limits.append = Duration::from_millis(50)).await;
    running.close_gate().await;
    let reply = running.post("", event("1", "acme").as_bytes()).await;
    assert_eq!((reply.status, &reply.json()["type"]), (503, &json!("urn:callweave:problem:unconfirmed")));
    assert!(reply.head.contains("retry-after: "), "{reply:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_senders_are_cut_off() {
    let running = start(|config| {
        config.limits.head = Duration::from_millis(100);
        config.limits.body = Duration::from_millis(100);
        config.limits.connections = 2;
    })
    .await;
    let connect = || TcpStream::connect(running.collect.clone());
    let (mut silent, mut half) = (connect().await.expect("listens"), connect().await.expect("listens"));
    half.write_all(b"POST /v1/events HTTP/1.1\r\nHost: te").await.expect("taken");
    // All places are taken by connections that say nothing: the next waits, and is served once they are cut.
    let reply = running.post("", event("1", "acme").as_bytes()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    for stream in [&mut silent, &mut half] {
        let told = answer(stream).await;
        assert!(matches!(told.status, 0 | 408), "{told:?}");
    }
    let mut stream = connect().await.expect("listens");
    let head =
        format!("POST /v1/events HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 500\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.expect("taken");
    let told = answer(&mut stream).await;
    assert_eq!((told.status, &told.json()["type"]), (408, &json!("urn:callweave:problem:slow")));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_finishes_what_is_in_flight() {
    let running = start(|_| {}).await;
    running.close_gate().await;
    let mut idle = TcpStream::connect(&running.collect).await.expect("listens");
    let waiting: Vec<_> = events(0..20).into_iter().map(|event| running.post_later(event)).collect();
    wait_until(|| running.metrics.collect_requests_in_flight.get() == 20.0).await;
    running.shutdown.cancel();
    // An idle connection is closed, nothing new is accepted, and balancers are told.
    assert_eq!(answer(&mut idle).await.status, 0);
    wait_until_refused(&running.collect).await;
    let ready = request(&running.admin, "GET /readyz", "", b"").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "not ready: stopping\n"));
    assert!(!running.task.is_finished(), "it waits for what is in flight");
    running.log.gate.add_permits(1000);
    for reply in waiting {
        assert_eq!(reply.await.expect("an answer").status, 200);
    }
    wait_until(|| running.task.is_finished()).await;
    assert_eq!(running.logged().await.len(), 20, "all that was acknowledged");
    assert_eq!(running.stop().await, Drained { cut: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_is_bounded_and_acknowledges_nothing_that_is_cut() {
    let running = start(|config| {
        config.limits.drain = Duration::from_millis(50);
        config.limits.append = Duration::from_millis(400);
    })
    .await;
    running.close_gate().await;
    let reply = running.post_later(event("1", "acme"));
    running.gate_has(1).await;
    assert_eq!(running.stop().await, Drained { cut: 1 });
    assert_eq!(reply.await.expect("a closed connection").status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_and_schemas_are_served() {
    let running = start(|_| {}).await;
    running.post("", event("1", "acme").as_bytes()).await;
    let get = async |address: &str, path: &str| request(address, &format!("GET {path}"), "", b"").await;
    for address in [&running.collect, &running.admin] {
        assert_eq!(get(address, "/livez").await.body, "ok\n");
        assert_eq!(get(address, "/readyz").await.status, 200);
    }
    let metrics = get(&running.admin, "/metrics").await;
    assert!(metrics.head.contains("content-type: application/openmetrics-text"), "{metrics:?}");
    for line in [
        "callweave_collect_events_taken_total{type=\"page_view\"} 1\n",
        "callweave_collect_requests_total{route=\"/v1/events\",status=\"200\"} 1\n",
        "callweave_log_appended_events_total 1\n",
    ] {
        assert!(metrics.body.contains(line), "{line} is not in:\n{}", metrics.body);
    }
    assert_eq!(get(&running.collect, "/metrics").await.status, 404, "not for the world");
    assert_eq!(get(&running.collect, "/v1/schemas/call").await.json()["title"], "call");
    assert_eq!(get(&running.collect, "/v1/schemas/fax").await.status, 404);
    running.stop().await;

    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let shared = start(|config| (config.listen.collect, config.listen.admin) = (free, free)).await;
    assert_eq!(shared.collect, shared.admin);
    assert_eq!(get(&shared.collect, "/metrics").await.status, 200);
    shared.stop().await;
}

/// Waits for a condition that something in the background brings about.
pub async fn wait_until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await.expect("the condition in time");
}

async fn wait_until_refused(address: &str) {
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("nothing listens in time");
}
