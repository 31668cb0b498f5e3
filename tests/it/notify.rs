//! Moments out, by the real program and to a real receiver: in order, signed, again after faults, and nowhere they may not go.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use callweave_core::webhook::{SigningKey, signatures};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::nats::NatsServer;
use crate::program::{Place, Program, key_of, until};

const NUMBER: &str = "+14155550100";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
/// Webhooks go to this machine in these tests.
pub const ALLOW: &str = "[notify]\nallow = [\"127.0.0.0/8\"]\n";

/// One request that a receiver got.
#[derive(Debug, Clone)]
struct Got {
    headers: BTreeMap<String, String>,
    body: String,
    status: u16,
}

impl Got {
    fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    fn event(&self) -> Value {
        serde_json::from_str(&self.body).expect("an event")
    }

    fn moment(&self) -> String {
        self.event()["type"].as_str().expect("a type").to_owned()
    }

    fn call(&self) -> String {
        self.event()["subject"].as_str().expect("a subject").to_owned()
    }
}

type Answers = dyn Fn(usize, &Got) -> u16 + Send + Sync;

/// A receiver on this machine; it answers what it is told to.
struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    closed: Arc<AtomicBool>,
}

impl Receiver {
    fn start(answer: impl Fn(usize, &Got) -> u16 + Send + Sync + 'static) -> Receiver {
        Receiver::at("127.0.0.1:0", answer)
    }

    fn at(address: &str, answer: impl Fn(usize, &Got) -> u16 + Send + Sync + 'static) -> Receiver {
        let socket = until("a free address", || TcpListener::bind(address).ok());
        let (address, answer): (_, Arc<Answers>) = (socket.local_addr().expect("an address"), Arc::new(answer));
        let (got, closed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (all, over) = (got.clone(), closed.clone());
        std::thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, all) = (answer.clone(), all.clone());
                std::thread::spawn(move || while serve(&stream, &answer, &all).is_some() {});
            }
        });
        Receiver { address, got, closed }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?x=y", self.address)
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().expect("requests").clone()
    }

    /// Those that were taken.
    fn taken(&self) -> Vec<Got> {
        self.got().into_iter().filter(|got| got.status < 300).collect()
    }

    fn waits_for(&self, what: &str, count: usize) -> Vec<Got> {
        until(what, || Some(self.taken()).filter(|taken| taken.len() >= count))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// One request of a connection; nothing at its end.
fn serve(stream: &TcpStream, answer: &Arc<Answers>, all: &Mutex<Vec<Got>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let mut got = Got { headers, body: String::from_utf8(body).expect("text"), status: 0 };
    let status = {
        let mut all = all.lock().expect("requests");
        got.status = answer(all.len(), &got);
        all.push(got.clone());
        got.status
    };
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 5\r\nconnection: close\r\n\r\nthere").ok()?;
    None
}

/// A place whose account `acme` has webhooks.
pub fn place(webhooks: Value, more: &str) -> Place {
    let place = Place::new();
    let settings = json!({
        "lateness_seconds": 1,
        "numbers": [{"number": NUMBER, "kind": "static", "source": "google", "medium": "cpc", "campaign": "spring"}],
        "webhooks": webhooks,
    });
    std::fs::write(place.folder.path().join("acme.json"), settings.to_string()).expect("settings");
    let path = place.folder.path().join("callweave.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let text = text.replacen("[accounts.acme]\n", "[accounts.acme]\nsettings = \"acme.json\"\n", 1);
    std::fs::write(&path, format!("{more}{text}")).expect("a configuration");
    place
}

fn event(id: &str, data: Value) -> Value {
    let now = chrono::Utc::now().to_rfc3339();
    json!({"specversion": "1.0", "id": id, "source": "pbx", "type": "call", "time": now, "account": "acme", "data": data})
}

pub fn step(call: &str, status: &str) -> Value {
    let data = json!({"call_id": call, "status": status, "direction": "inbound", "from": "+14155550199", "to": NUMBER});
    event(&format!("{call}-{status}"), data)
}

pub fn post(program: &Program, events: &[Value]) {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    let answer = program.post("acme", lines.join("\n").as_bytes());
    assert!(answer.as_ref().is_some_and(|(status, _)| *status == 200), "{answer:?}");
}

/// Asks the interface for webhooks, as an account.
pub fn ask(program: &Program, account: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let url = format!("http://{}/v1/{path}", program.collect());
    let key = format!("Bearer {}", key_of(account));
    let answer = match method {
        "GET" => program.agent.get(url).header("authorization", key).call(),
        "DELETE" => program.agent.delete(url).header("authorization", key).call(),
        _ => program.agent.post(url).header("authorization", key).send(body),
    };
    let mut answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.body_mut().read_to_string().expect("text")).expect("JSON"))
}

fn is_signed(got: &Got) {
    let key = SigningKey::parse(SECRET).expect("a secret");
    let timestamp = got.headers["webhook-timestamp"].parse().expect("seconds");
    assert_eq!(got.headers["webhook-signature"], signatures(&[key], got.id(), timestamp, got.body.as_bytes()));
    assert!((chrono::Utc::now().timestamp() - timestamp).abs() < 300);
}

/// A call's life, told as it happens, and what a receiver learns of it.
fn told_as_it_happens(arguments: &[&str]) -> Vec<Got> {
    let receiver = Receiver::start(|_, _| 200);
    let webhook = json!({"name": "crm", "url": receiver.url(), "secrets": [SECRET], "ordered": true});
    let place = place(json!([webhook]), ALLOW);
    let program = Program::start(&place, arguments);
    for (at, status) in ["started", "answered", "ended"].into_iter().enumerate() {
        post(&program, &[step("c1", status)]);
        receiver.waits_for(status, at + 1);
    }
    let got = receiver.waits_for("call.attributed", 4);
    let moments: Vec<String> = got.iter().map(Got::moment).collect();
    assert_eq!(moments, ["call.started", "call.answered", "call.ended", "call.attributed"]);
    got.iter().for_each(is_signed);
    let ids: BTreeSet<&str> = got.iter().map(Got::id).collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
    program.stop();
    got
}

#[test]
fn a_call_is_told_as_it_happens() {
    let got = told_as_it_happens(&["up"]);
    let events: Vec<Value> = got.iter().map(Got::event).collect();
    assert!(got[0].headers["content-type"].starts_with("application/cloudevents+json"));
    let started = &events[0];
    assert_eq!((&started["specversion"], &started["account"]), (&json!("1.0"), &json!("acme")));
    let row = &started["data"];
    assert_eq!(
        (&row["call_id"], &row["caller"], &row["answered_at"]),
        (&json!("c1"), &json!("+14155550199"), &json!(null))
    );
    // Joined before anybody answers.
    assert_eq!((&row["attribution_method"], &row["campaign"]), (&json!("static"), &json!("spring")));
    assert_eq!(row["changes"], json!([]));
    let changed = |event: &Value| -> BTreeSet<String> {
        let changes = event["data"]["changes"].as_array().expect("a list");
        changes.iter().map(|change| change["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert!(changed(&events[1]).contains("answered_at"), "{}", events[1]);
    assert!(changed(&events[2]).contains("ended_at"), "{}", events[2]);
    let outcome = events[1]["data"]["changes"].as_array().and_then(|all| all.iter().find(|it| it["name"] == "outcome"));
    assert_eq!(outcome, Some(&json!({"name": "outcome", "from": null, "to": "answered"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_told_on_nats_too() {
    let server = NatsServer::start();
    let client = async_nats::connect(server.url()).await.expect("a connection");
    let mut all = client.subscribe("callweave.moments.>").await.expect("a subscription");
    let mut started = client.subscribe("callweave.moments.acme.call.started").await.expect("a subscription");
    client.flush().await.expect("a server");
    let url = server.url();
    let got = tokio::task::spawn_blocking(move || told_as_it_happens(&["up", "--nats", &url])).await.expect("told");
    for got in &got {
        let message = all.next().await.expect("a message");
        assert_eq!(message.subject.as_str(), format!("callweave.moments.acme.{}", got.moment()));
        let own: Value = serde_json::from_slice(&message.payload).expect("an event");
        assert_eq!(own, got.event());
        let id = message.headers.as_ref().and_then(|headers| headers.get("Nats-Msg-Id")).map(ToString::to_string);
        assert_eq!(id.as_deref(), got.id().strip_prefix("msg_"));
    }
    let first = started.next().await.expect("a message");
    let first: Value = serde_json::from_slice(&first.payload).expect("an event");
    assert_eq!(first, got[0].event());
}

#[test]
fn what_fails_is_sent_again_with_the_same_id() {
    let receiver = Receiver::start(|at, _| if at == 0 { 500 } else { 204 });
    let webhook = json!({"name": "crm", "url": receiver.url(), "secrets": [SECRET], "moments": ["call.started"]});
    let place = place(json!([webhook]), ALLOW);
    let program = Program::start(&place, &["up"]);
    post(&program, &[step("c1", "started")]);
    receiver.waits_for("the second attempt", 1);
    let got = receiver.got();
    assert_eq!((got.len(), got[0].id(), &got[0].body), (2, got[1].id(), &got[1].body));
    got.iter().for_each(is_signed);
    let attempts = until("both attempts", || {
        let (_, told) = ask(&program, "acme", "GET", "webhooks/crm/attempts", "");
        told["attempts"].as_array().filter(|all| all.len() == 2).cloned()
    });
    // The latest first.
    assert_eq!((&attempts[0]["status"], &attempts[0]["attempt"]), (&json!(204), &json!(2)), "{attempts:?}");
    assert_eq!((&attempts[1]["status"], &attempts[1]["answer"]), (&json!(500), &json!("there")), "{attempts:?}");
    program.stop();
}

#[test]
fn a_receiver_that_is_gone_is_told_nothing_until_it_is_switched_on_again() {
    let gone = Arc::new(AtomicBool::new(true));
    let is_gone = gone.clone();
    let receiver = Receiver::start(move |_, _| if is_gone.load(Ordering::SeqCst) { 410 } else { 200 });
    let webhook = json!({"name": "crm", "url": receiver.url(), "moments": ["call.started"]});
    let place = place(json!([webhook]), ALLOW);
    let program = Program::start(&place, &["up"]);
    let is = |state: &str| {
        until(state, || {
            let (_, told) = ask(&program, "acme", "GET", "webhooks/crm", "");
            (told["state"] == state).then_some(told)
        })
    };
    post(&program, &[step("c1", "started")]);
    let told = is("stopped");
    assert_eq!(told["dead"], json!(1), "{told}");
    assert!(told["reason"].as_str().is_some_and(|why| why.contains("410")), "{told}");
    post(&program, &[step("c2", "started")]);
    gone.store(false, Ordering::SeqCst);
    assert_eq!(ask(&program, "acme", "POST", "webhooks/crm/enable", "").0, 200);
    is("on");
    assert_eq!(receiver.waits_for("what came meanwhile", 1)[0].call(), "c2");
    let (_, dead) = ask(&program, "acme", "GET", "webhooks/crm/dead", "");
    assert_eq!(
        (&dead["dead"][0]["subject"], &dead["dead"][0]["reason"]),
        (&json!("c1"), &json!("status 410")),
        "{dead}"
    );
    let (status, told) = ask(&program, "acme", "POST", "webhooks/crm/resend", "");
    assert_eq!((status, &told["resent"]), (200, &json!(1)));
    assert_eq!(receiver.waits_for("the dead letter", 2)[1].call(), "c1");
    assert_eq!(receiver.got().len(), 3, "nothing was sent while it was off");
    program.stop();
}

#[test]
fn a_receiver_that_was_down_gets_everything_in_order() {
    let other = Receiver::start(|_, _| 200);
    let down = Receiver::start(|_, _| 200).address.to_string();
    let hook = |name: &str, url: String| json!({"name": name, "url": url, "ordered": true});
    let webhooks = json!([hook("down", format!("http://{down}/")), hook("up", other.url())]);
    let place = place(webhooks, ALLOW);
    let program = Program::start(&place, &["up"]);
    let calls: Vec<String> = (0..30).map(|at| format!("c{at}")).collect();
    for status in ["started", "answered", "ended"] {
        post(&program, &calls.iter().map(|call| step(call, status)).collect::<Vec<_>>());
    }
    // Others notice nothing.
    other.waits_for("everything, at the other", 90);
    program.says("its receiver is down");
    let back = Receiver::at(&down, |_, _| 200);
    let told = |got: &[Got], call: &String| -> Vec<String> {
        got.iter().filter(|got| got.call() == *call).map(Got::moment).collect()
    };
    // Calls may be attributed meanwhile: that there are ninety does not say that all are there.
    let has_all = |got: &Vec<Got>| calls.iter().all(|call| told(got, call).len() >= 3);
    let got = until("everything, once it is back", || Some(back.taken()).filter(has_all));
    for call in &calls {
        assert_eq!(told(&got, call)[..3], ["call.started", "call.answered", "call.ended"], "{call}");
    }
    program.stop();
}

#[test]
fn every_moment_survives_kill_9() {
    let receiver = Receiver::start(|_, _| 200);
    let webhook = json!({"name": "crm", "url": receiver.url(), "moments": ["call.started", "call.ended"]});
    let place = place(json!([webhook]), ALLOW);
    let (rounds, calls) = (4, 40);
    for round in 0..rounds {
        let mut program = Program::start(&place, &["up"]);
        let seen = receiver.taken().len();
        let names: Vec<String> = (0..calls).map(|at| format!("r{round}-c{at}")).collect();
        post(&program, &names.iter().map(|call| step(call, "started")).collect::<Vec<_>>());
        post(&program, &names.iter().map(|call| step(call, "ended")).collect::<Vec<_>>());
        // Somewhere in the middle of it.
        receiver.waits_for("some of them", seen + 10 * round);
        program.kill();
    }
    let program = Program::start(&place, &["up"]);
    let of = |got: &[Got]| -> BTreeMap<(String, String), BTreeSet<String>> {
        let mut ids: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for got in got {
            ids.entry((got.call(), got.moment())).or_default().insert(got.id().to_owned());
        }
        ids
    };
    let ids = until("every moment", || Some(of(&receiver.taken())).filter(|ids| ids.len() == rounds * calls * 2));
    assert!(ids.values().all(|ids| ids.len() == 1), "a moment came with two ids");
    // Those under way at a kill, and no others.
    let repeated = receiver.taken().len() - ids.len();
    assert!(repeated <= rounds * 16, "{repeated} came again");
    program.stop();
}

#[test]
fn private_addresses_are_not_reached_unless_allowed() {
    let receiver = Receiver::start(|_, _| 200);
    let name = format!("http://localhost:{}/", receiver.address.port());
    let hook = |name: &str, url: &str| json!({"name": name, "url": url, "moments": ["call.started"]});
    let place = place(json!([hook("literal", &receiver.url()), hook("name", &name)]), "");
    let program = Program::start(&place, &["up"]);
    post(&program, &[step("c1", "started")]);
    for hook in ["literal", "name"] {
        let attempt = until("an attempt", || {
            let (_, told) = ask(&program, "acme", "GET", &format!("webhooks/{hook}/attempts"), "");
            told["attempts"].get(0).cloned()
        });
        let outcome = attempt["outcome"].as_str().unwrap_or_default();
        assert!(outcome.starts_with("refused: ") && outcome.contains("public address"), "{attempt}");
        let (_, told) = ask(&program, "acme", "POST", &format!("webhooks/{hook}/test"), "");
        assert!(told["attempt"]["outcome"].as_str().is_some_and(|it| it.starts_with("refused: ")), "{told}");
    }
    assert!(receiver.got().is_empty());
    program.stop();
}

#[test]
fn subscriptions_are_made_changed_and_removed_over_http() {
    let receiver = Receiver::start(|_, _| 200);
    let place = place(json!([]), ALLOW);
    let program = Program::start(&place, &["up"]);
    let made = json!({
        "name": "chat", "url": receiver.url(), "filter": "outcome = 'missed'", "headers": {"x-token": "hush"},
        "body": "{\"text\":\"Missed {{caller}}\",\"call\":{{call_id|json}}}",
    });
    for (change, status, says) in [
        (json!({"filter": "colour = 'red'"}), 422, "colour"),
        (json!({"url": "ftp://example.com"}), 422, "webhooks[0].url"),
        (json!({"fields": ["colour"], "body": null}), 422, "colour"),
        (json!({"url": 7}), 400, "invalid type"),
        (json!({"filtre": "outcome = 'missed'"}), 400, "there is no member filtre; there are name, url"),
        (json!({"description": null}), 200, "chat"),
        (json!({}), 200, "chat"),
    ] {
        let mut body = made.clone();
        body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let (told, answer) = ask(&program, "acme", "POST", "webhooks", &body.to_string());
        assert!(told == status && answer.to_string().contains(says), "{body}: {answer}");
    }
    // Who made one sees it at once.
    let (_, told) = ask(&program, "acme", "GET", "webhooks", "");
    let listed = &told["webhooks"][0];
    assert_eq!(listed["state"], "on", "{told}");
    assert!(!listed.to_string().contains("hush"), "{listed}");
    // Nobody else's.
    assert_eq!(ask(&program, "globex", "GET", "webhooks", "").1, json!({"webhooks": []}));
    assert_eq!(ask(&program, "globex", "GET", "webhooks/chat/secret", "").0, 404);
    let (_, secret) = ask(&program, "acme", "GET", "webhooks/chat/secret", "");
    let secret = secret["secrets"][0].as_str().expect("a secret").to_owned();

    let (_, test) = ask(&program, "acme", "POST", "webhooks/chat/test", "");
    assert_eq!(test["attempt"]["status"], json!(200), "{test}");
    post(&program, &[step("c1", "started"), step("c1", "answered"), step("c1", "ended")]);
    post(&program, &[step("c2", "started"), step("c2", "ended")]);
    let got = receiver.waits_for("the missed call, ended, missed and attributed", 4);
    let key = SigningKey::parse(&secret).expect("a secret");
    for got in &got {
        let timestamp = got.headers["webhook-timestamp"].parse().expect("seconds");
        let key = [key.clone()];
        assert_eq!(got.headers["webhook-signature"], signatures(&key, got.id(), timestamp, got.body.as_bytes()));
        assert_eq!(
            (&got.headers["x-token"], &got.headers["content-type"]),
            (&"hush".into(), &"application/json".into())
        );
    }
    assert!(got[1..].iter().all(|got| got.body == r#"{"text":"Missed +14155550199","call":"c2"}"#), "{got:?}");
    assert_eq!(ask(&program, "acme", "DELETE", "webhooks/chat", "").0, 200);
    assert_eq!(ask(&program, "acme", "GET", "webhooks/chat", "").0, 404);
    assert_eq!(ask(&program, "acme", "GET", "webhooks", "").1, json!({"webhooks": []}));
    program.stop();
}

/// Events of a stream until `count` of them have come: id, type and subject.
fn listen(
    program: &Program,
    account: &str,
    query: &str,
    after: Option<&str>,
) -> impl Iterator<Item = [String; 3]> + use<> {
    let mut stream = TcpStream::connect(program.collect()).expect("a connection");
    let resume = after.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
    let key = key_of(account);
    write!(stream, "GET /v1/stream{query} HTTP/1.1\r\nhost: x\r\nx-callweave-key: {key}\r\n{resume}\r\n")
        .expect("sent");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let begun = lines.find(|line| line.starts_with(": listening"));
    assert!(begun.is_some(), "it does not listen");
    let mut id = String::new();
    let mut kind = String::new();
    lines.filter_map(move |line| {
        let (name, value) = line.split_once(": ")?;
        match name {
            "id" => id = value.to_owned(),
            "event" => kind = value.to_owned(),
            "data" => {
                let event: Value = serde_json::from_str(value).expect("an event");
                let subject = event["subject"].as_str().expect("a subject").to_owned();
                return Some([id.clone(), kind.clone(), subject]);
            }
            _ => {}
        }
        None
    })
}

#[test]
fn a_stream_of_events_is_resumed_where_it_broke() {
    let place = place(json!([]), "");
    let program = Program::start(&place, &["up"]);
    // Of what cannot be meant nothing would ever come, so it is said at once.
    for (query, words) in [
        ("?moments=call.startd", "no moment \"call.startd\"; moments names some of call.started, "),
        ("?moments=", "no moment \"\""),
        ("?moment=call.started", "unknown field `moment`, expected `moments` or `filter`"),
    ] {
        let (status, problem) = ask(&program, "acme", "GET", &format!("stream{query}"), "");
        assert!(status == 400 && problem["detail"].as_str().is_some_and(|it| it.contains(words)), "{query}: {problem}");
    }
    let mut first = listen(&program, "acme", "?moments=call.started", None);
    let mut others = listen(&program, "globex", "", None);
    post(&program, &[step("c1", "started"), step("c1", "answered")]);
    let [id, kind, subject] = first.next().expect("an event");
    assert_eq!((kind.as_str(), subject.as_str()), ("call.started", "c1"));
    drop(first);
    post(&program, &[step("c2", "started")]);
    let again: Vec<[String; 3]> = listen(&program, "acme", "", Some(&id)).take(2).collect();
    let again: Vec<(&str, &str)> = again.iter().map(|[_, kind, subject]| (kind.as_str(), subject.as_str())).collect();
    assert_eq!(again, [("call.answered", "c1"), ("call.started", "c2")]);
    let mut filtered = listen(&program, "acme", "?filter=call_id%3D%27c2%27", Some("0"));
    assert_eq!(filtered.next().map(|[_, _, subject]| subject), Some("c2".to_owned()));
    // Streams end with the program, which does not wait for them; others' had nothing.
    program.stop();
    assert_eq!(others.next(), None);
}

#[test]
fn the_command_line_asks_the_notifier() {
    let receiver = Receiver::start(|_, _| 503);
    let place = place(json!([{"name": "crm", "url": receiver.url()}]), ALLOW);
    let program = Program::start(&place, &["up"]);
    let url = format!("http://{}", program.collect());
    let webhook = |arguments: &[&str]| -> Result<Value, String> {
        let all = [&["webhook", "--account", "acme", "--url", &url], arguments].concat();
        let output = place.command(&all).output().expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            return Err(text(&output.stderr));
        }
        Ok(serde_json::from_str(&text(&output.stdout)).expect("JSON"))
    };
    let told = until("its state", || webhook(&["list", "crm"]).ok());
    assert_eq!((&told["state"], &told["dead"]), (&json!("on"), &json!(0)), "{told}");
    // The attempt is told, and that it came to nothing by the exit status, too.
    let output = place.command(&["webhook", "--account", "acme", "--url", &url, "test", "crm"]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("not delivered: failed: status 503"), "{said}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&told["attempt"]["status"], &told["attempt"]["answer"]), (&json!(503), &json!("there")), "{told}");
    assert_eq!(webhook(&["attempts", "crm"]).expect("attempts")["attempts"][0], told["attempt"]);
    let made = json!({"name": "more", "url": receiver.url(), "enabled": false});
    std::fs::write(place.folder.path().join("more.json"), made.to_string()).expect("a file");
    assert_eq!(webhook(&["put", "more.json"]), Ok(json!({"name": "more"})));
    until("it", || webhook(&["list", "more"]).ok().filter(|told| told["state"] == "off"));
    assert_eq!(webhook(&["dead", "more", "--after", "7"]), Ok(json!({"dead": []})));
    assert_eq!(webhook(&["resend", "more", "--from", "1"]), Ok(json!({"resent": 0})));
    assert_eq!(webhook(&["remove", "more"]), Ok(json!({"removed": "more"})));
    assert!(webhook(&["secret", "none"]).is_err_and(|said| said.contains("no webhook called \"none\"")));
    program.stop();
    assert!(webhook(&["list"]).is_err_and(|said| said.contains("no notifier answers at")));
}

#[test]
fn a_filter_that_cannot_be_read_is_found_by_check_and_holds_nobody_up() {
    let receiver = Receiver::start(|_, _| 200);
    let bad = json!({"name": "bad", "url": receiver.url(), "filter": "colour = 'red'"});
    let place = place(json!([bad, {"name": "good", "url": receiver.url(), "moments": ["call.started"]}]), ALLOW);
    let output = place.command(&["check"]).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains("the webhook bad: the filter cannot be used"), "{said}");
    let program = Program::start(&place, &["up"]);
    // As an event it is refused, with its place.
    let settings = json!({"webhooks": [{"name": "bad", "url": receiver.url(), "filter": "colour = 'red'"}]});
    let told = json!({"specversion": "1.0", "id": "s1", "source": "shell", "type": "account_settings", "account": "acme",
        "time": chrono::Utc::now().to_rfc3339(), "data": settings});
    let (_, said) = program.post("acme", told.to_string().as_bytes()).expect("an answer");
    assert!(said.contains("data.webhooks[0].filter") && said.contains("colour"), "{said}");
    post(&program, &[step("c1", "started")]);
    assert_eq!(receiver.waits_for("the good one", 1).len(), 1);
    let told = until("its state", || {
        Some(ask(&program, "acme", "GET", "webhooks/bad", "").1).filter(|it| it["state"] == "broken")
    });
    assert!(told["reason"].as_str().is_some_and(|why| why.contains("colour")), "{told}");
    program.stop();
}

/// Roles run apart, on NATS: what is told is the same, and the notifier answers by itself.
#[test]
fn a_notifier_runs_apart() {
    let server = NatsServer::start();
    let receiver = Receiver::start(|_, _| 200);
    let place = place(json!([{"name": "crm", "url": receiver.url(), "moments": ["call.started"]}]), ALLOW);
    let url = server.url();
    let role = |name: &str| Program::start(&place, &[name, "--nats", &url, "--partitions", "2"]);
    let (notifier, collector) = (role("notify"), role("collect"));
    let processor = role("process");
    until("its state", || Some(ask(&notifier, "acme", "GET", "webhooks/crm", "").1).filter(|it| it["state"] == "on"));
    post(&collector, &[step("c1", "started")]);
    assert_eq!(receiver.waits_for("the call", 1)[0].call(), "c1");
    processor.stop();
    collector.stop();
    notifier.stop();
}
