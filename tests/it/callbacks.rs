//! Calls back that wait when the program stops, or too many: each is asked for, or is a call that failed.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use crate::hooks;
use crate::program::{Place, Program, is_taken, request, until};

const NUMBER: &str = "+14155550100";
/// What each visitor's telephone begins with.
const VISITORS: &str = "+1415556";
/// Requests that a collector makes at once, calls back that one request of a page may ask for, and requests that wait.
const AT_ONCE: usize = 16;
const OF_A_PAGE: usize = 16;
const WAITING: usize = 1_000;

/// A provider's API that answers nobody before it is told to.
struct Provider {
    url: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    /// The bodies of all requests.
    asked: Vec<String>,
    answers: bool,
}

impl Provider {
    fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = shared.clone();
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Provider { url, state }
    }

    fn asked(&self) -> Vec<String> {
        self.state.0.lock().expect("requests").asked.clone()
    }

    fn answer(&self) {
        self.state.0.lock().expect("requests").answers = true;
        self.state.1.notify_all();
    }
}

fn serve(mut stream: TcpStream, (state, told): &(Mutex<State>, Condvar)) {
    let (_, body) = request(&stream);
    let mut asked = state.lock().expect("requests");
    asked.asked.push(body);
    drop(told.wait_while(asked, |state| !state.answers).expect("requests"));
    // Who asked may have gone.
    let _ = stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
}

/// A place whose account `acme` calls back through `provider`.
fn place(provider: &Provider, drain_seconds: u32) -> Place {
    let place = Place::new();
    let settings = json!({
        "lateness_seconds": 1,
        "numbers": [{"number": NUMBER, "kind": "static", "forward_to": "+14155550111", "source": "google"}],
        "voice": {"callback": {}, "api": {"account": "AC00000000000000000000000000000000"}},
    });
    std::fs::write(place.folder.path().join("acme.json"), settings.to_string()).expect("settings");
    let path = place.folder.path().join("callweave.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let own = format!(
        "[accounts.acme]\nsettings = \"acme.json\"\ntwilio_auth_token = \"the-auth-token-of-acme-at-twilio\"\n\
         twilio_api_url = \"{}\"\n",
        provider.url
    );
    let limits = format!("[limits]\ndrain_seconds = {drain_seconds}\n");
    let text = text.replacen("[accounts.acme]\n", &own, 1).replacen("[limits]\n", &limits, 1);
    assert!(text.contains(&own) && text.contains(&limits), "{text}");
    std::fs::write(&path, format!("public_url = \"https://calls.example.com\"\n{text}")).expect("a configuration");
    place
}

/// Asks for calls back; all are acknowledged.
fn wish(program: &Program, ids: Range<usize>) {
    let wishes: Vec<String> = ids.map(|id| hooks::wish(&format!("w{id}"), &format!("{VISITORS}{id:04}"))).collect();
    for wishes in wishes.chunks(OF_A_PAGE) {
        let answer = program.post("acme", wishes.join("\n").as_bytes()).expect("an answer");
        assert!(answer.0 == 200 && is_taken(&answer), "{answer:?}");
    }
}

/// The ids of the wishes that the program says it has not made, and why.
fn not_made(program: &Program) -> Vec<(String, String)> {
    let said = program.said();
    assert!(!said.iter().any(|line| line.contains(VISITORS)), "a visitor's number is logged");
    let lines = said.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let errors = lines.filter(|line| line["level"] == "ERROR");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    errors
        .map(|line| {
            assert_eq!(
                (&line["message"], &line["account"]),
                (&json!("a call back is not made"), &json!("acme")),
                "{line}"
            );
            (text(&line["id"]), text(&line["reason"]))
        })
        .collect()
}

/// SIGTERM, without waiting for the end.
fn terminate(program: &Program) {
    let status = Command::new("kill").args(["-TERM", &program.pid().to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()));
    program.says("stopping; a second signal stops at once");
}

const FAILED: &str = "SELECT call_id, direction FROM calls WHERE outcome = 'failed'";

#[test]
fn what_waits_at_a_stop_is_asked_for_within_the_drain() {
    let provider = Provider::start();
    let place = place(&provider, 20);
    let mut program = Program::start(&place, &["up"]);
    wish(&program, 0..40);
    until("the first requests", || (provider.asked().len() == AT_ONCE).then_some(()));
    terminate(&program);
    provider.answer();
    program.ended_well();
    assert_eq!(provider.asked().iter().collect::<BTreeSet<_>>().len(), 40, "{:?}", program.said());
    assert!(not_made(&program).is_empty());
    assert_eq!(place.sql(FAILED), Vec::<Value>::new());
}

#[test]
fn what_still_waits_after_the_drain_is_a_call_that_failed() {
    let provider = Provider::start();
    let place = place(&provider, 1);
    let mut program = Program::start(&place, &["up"]);
    wish(&program, 0..AT_ONCE + 4);
    until("the first requests", || (provider.asked().len() == AT_ONCE).then_some(()));
    terminate(&program);
    let told = until("the others", || Some(not_made(&program)).filter(|told| told.len() == 4));
    provider.answer();
    program.ended_well();
    let ids: Vec<String> = (AT_ONCE..AT_ONCE + 4).map(|id| format!("web/main/w{id}")).collect();
    assert_eq!(told.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), ids);
    assert!(told.iter().all(|(_, reason)| reason.contains("the collector stops")), "{told:?}");
    // Whoever starts next has their rows, and asks for nothing once more.
    let program = Program::start(&place, &["up"]);
    let rows = until(FAILED, || Some(place.sql(FAILED)).filter(|rows| rows.len() >= 4));
    let expected = ids.iter().map(|id| json!({"call_id": format!("callback-{id}"), "direction": "callback"}));
    assert_eq!(
        rows.iter().map(Value::to_string).collect::<BTreeSet<_>>(),
        expected.map(|row| row.to_string()).collect()
    );
    assert_eq!(provider.asked().len(), AT_ONCE);
    program.stop();
}

#[test]
fn what_finds_too_many_waiting_is_a_call_that_failed() {
    const WISHES: usize = AT_ONCE + WAITING + 24;
    let provider = Provider::start();
    let place = place(&provider, 20);
    let program = Program::start(&place, &["up"]);
    wish(&program, 0..WISHES);
    until("those that find no room", || (!not_made(&program).is_empty()).then_some(()));
    provider.answer();
    let settled = || provider.asked().len() + not_made(&program).len() == WISHES;
    until("each is asked for, or told", || settled().then_some(()));
    // On a slow machine some are not even looked at.
    let told = not_made(&program);
    let (waited, unseen): (Vec<_>, Vec<_>) =
        told.into_iter().map(|(_, reason)| reason).partition(|reason| reason.contains("too many wait"));
    assert!(unseen.iter().all(|reason| reason.contains("than can be looked at")), "{unseen:?}");
    let rows = until(FAILED, || Some(place.sql(FAILED)).filter(|rows| rows.len() >= waited.len()));
    assert_eq!(rows.len(), waited.len());
    program.stop();
}
