//! Queries that take all that a core gives, beside everything else that the program does.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use crate::program::{ACCOUNTS, Place, Program, is_taken, key_of, until};

/// Hundreds of millions of pairs, none of which is passed over.
const HEAVY: &str = "SELECT count(*) FROM page_views a, page_views b WHERE a.url < b.url AND a.title || b.title <> 'x'";
const PASSWORD: &str = "the password of all";
/// Of the login `quick`, which may run as many queries as are asked at once.
const AT_ONCE: usize = 3;

/// A lake with some thousand page views; who may ask are `quick`, whose queries are soon over, and `alone`, who runs one at a time.
fn place() -> Place {
    let place = Place::new();
    place.run(&["simulate", "--seed", "3", "--events", "16000", "--account", ACCOUNTS[0], "-o", "all.ndjson"]);
    place.run(&["run", "--input", "all.ndjson"]);
    let logins = [login(&place, "quick", 2, AT_ONCE), login(&place, "alone", 600, 1)];
    std::fs::write(place.folder.path().join("acme.json"), json!({ "logins": logins }).to_string()).expect("settings");
    let text =
        format!("[accounts.{0}]\nkeys = [\"{1}\"]\nsettings = \"acme.json\"\n", ACCOUNTS[0], key_of(ACCOUNTS[0]));
    std::fs::write(place.folder.path().join("callweave.toml"), text).expect("a configuration");
    place
}

fn login(place: &Place, name: &str, seconds: u64, concurrent: usize) -> Value {
    let mut command = place.command(&["login", name, "--role", "manager"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the binary");
    writeln!(child.stdin.take().expect("its input"), "{PASSWORD}").expect("the password");
    let output = child.wait_with_output().expect("its end");
    let mut login: Value = serde_json::from_slice(&output.stdout).expect("a login");
    (login["seconds"], login["concurrent"]) = (json!(seconds), json!(concurrent));
    login
}

fn authorization(user: &str) -> String {
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{PASSWORD}"));
    format!("Basic {login}")
}

/// Status and body; nothing if there was no answer within `patience`.
fn ask(program: &Program, user: &str, sql: &str, patience: Option<Duration>) -> Option<(u16, String)> {
    let url = format!("http://{}/v1/sql", program.collect());
    let request = program.agent.post(&url).header("authorization", authorization(user));
    let request = request.header("content-type", "application/sql");
    match request.config().timeout_global(patience).build().send(sql) {
        Ok(mut answer) => Some((answer.status().as_u16(), answer.body_mut().read_to_string().expect("a text"))),
        Err(ureq::Error::Timeout(_)) => None,
        Err(error) => panic!("{sql}: {error}"),
    }
}

fn event(number: usize) -> String {
    json!({
        "specversion": "1.0", "id": format!("busy-{number}"), "source": "t", "type": "page_view", "account": ACCOUNTS[0],
        "time": chrono::Utc::now().to_rfc3339(),
        "data": { "visitor_id": "v-busy", "url": "https://www.acme.example/" },
    })
    .to_string()
}

#[test]
fn heavy_queries_hold_up_nobody_and_end_when_their_time_is_over() {
    let place = place();
    let program = Program::start(&place, &["up", "--postgres", "off", "--flight", "off"]);
    let answered = AtomicUsize::new(0);
    let mut beside = 0;
    std::thread::scope(|scope| {
        let heavy: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    let answer = ask(&program, "quick", HEAVY, None);
                    answered.fetch_add(1, Ordering::SeqCst);
                    answer.expect("an answer")
                })
            })
            .collect();
        while answered.load(Ordering::SeqCst) == 0 {
            assert!(program.get("/livez").is_some(), "it is alive");
            let posted = program.post(ACCOUNTS[0], event(beside).as_bytes());
            assert!(posted.as_ref().is_some_and(is_taken), "{posted:?}");
            beside += usize::from(answered.load(Ordering::SeqCst) == 0);
        }
        for heavy in heavy {
            let (status, body) = heavy.join().expect("it ended");
            let problem: Value = serde_json::from_str(&body).expect("a problem");
            assert_eq!((status, problem["type"].as_str()), (422, Some("urn:callweave:problem:time")), "{body}");
            assert!(problem["detail"].as_str().is_some_and(|told| told.starts_with("the query took longer")), "{body}");
        }
    });
    assert!(beside > 2, "only {beside} events were taken in beside the queries");
    // Their work ends, too: before that there is no place.
    let light = until("a place of the login is free", || {
        ask(&program, "quick", "SELECT 1 AS n", None).filter(|(status, _)| *status == 200)
    });
    assert!(light.1.contains("\"rows\":[{\"n\":1}]"), "{}", light.1);
    program.stop();
}

#[test]
fn who_goes_away_leaves_no_query_behind() {
    let place = place();
    let program = Program::start(&place, &["up", "--postgres", "off", "--flight", "off"]);
    let mut stream = TcpStream::connect(program.collect()).expect("a connection");
    let head = format!(
        "POST /v1/sql HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/sql\r\ncontent-length: {}\r\n\r\n{HEAVY}",
        authorization("alone"),
        HEAVY.len()
    );
    stream.write_all(head.as_bytes()).expect("it is sent");
    let look = Some(Duration::from_secs(1));
    until("it runs", || ask(&program, "alone", "SELECT 1", look).is_none().then_some(()));
    stream.set_nonblocking(true).expect("it looks");
    assert!(stream.read(&mut [0; 1]).is_err(), "it is answered already");
    drop(stream);
    // Its login may run no other, and would wait ten minutes for it.
    let (status, body) = ask(&program, "alone", "SELECT 1", Some(crate::program::PATIENCE)).expect("an answer");
    assert_eq!(status, 200, "{body}");
    program.stop();
}
