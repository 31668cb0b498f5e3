//! Telephone systems and the real program: hooks, the spool, what is followed, and calls back.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::nats::NatsServer;
use crate::program::{Place, Program, files_in, request, until};

/// What providers were told; nobody is asked there.
const PUBLIC: &str = "public_url = \"https://calls.example.com\"\n";
/// The business's number, and where it is put through to.
const NUMBER: &str = "+14155550100";
const FORWARD: &str = "+14155550111";
pub const CALL: [&str; 2] = ["CA00000000000000000000000000000001", "CA00000000000000000000000000000002"];
/// `X-Twilio-Signature` of [`incoming`] for `https://calls.example.com/v1/hooks/twilio/acme`, made by hand:
/// base64(HMAC-SHA1("the-auth-token-of-acme-at-twilio", URL and the parameters by name, name and value without anything between)).
pub const SIGNATURE: [&str; 2] = ["FSINePLp6ui2jJngA9QjtXxryww=", "/7vmDfHEXW/KOBGT8wR1NzkFtJs="];

/// Twilio's form of a call that comes in.
pub fn incoming(call: &str) -> String {
    format!(
        "CallSid={call}&AccountSid=AC00000000000000000000000000000000&From=%2B14155550199&To=%2B14155550100\
         &CallStatus=ringing&Direction=inbound&ApiVersion=2010-04-01&FromCity="
    )
}

/// A place whose account `acme` has telephone systems; `more` stands in its table.
fn place(more: &str) -> Place {
    let place = Place::new();
    let path = place.folder.path().join("callweave.toml");
    let settings = json!({
        "lateness_seconds": 1,
        "numbers": [{"number": NUMBER, "kind": "static", "forward_to": FORWARD, "source": "google", "medium": "cpc"}],
        "voice": {"callback": {}, "api": {"account": "AC00000000000000000000000000000000"}},
    });
    std::fs::write(place.folder.path().join("acme.json"), settings.to_string()).expect("settings");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let own = format!(
        "[accounts.acme]\nsettings = \"acme.json\"\ntwilio_auth_token = \"the-auth-token-of-acme-at-twilio\"\n\
         freeswitch_credentials = \"switch:open sesame\"\n{more}"
    );
    let text = text.replacen("[accounts.acme]\n", "", 1);
    // The keys of acme stand right behind its head.
    let (head, rest) = text.split_once("keys = [\"the-key-of-acme").expect("the keys of acme");
    std::fs::write(&path, format!("{PUBLIC}{head}{own}\nkeys = [\"the-key-of-acme{rest}")).expect("a configuration");
    place
}

struct Answer {
    status: u16,
    content_type: String,
    body: String,
}

fn post(program: &Program, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = program.agent.post(format!("http://{}{path}", program.collect()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = request.send(body).expect("an answer");
    let content_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("");
    Answer {
        status: answer.status().as_u16(),
        content_type: content_type.to_owned(),
        body: answer.body_mut().read_to_string().expect("text"),
    }
}

fn call_comes_in(program: &Program, which: usize) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", SIGNATURE[which])];
    post(program, "/v1/hooks/twilio/acme", &headers, &incoming(CALL[which]))
}

fn is_forwarded(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.content_type.contains("xml"), "{}", answer.content_type);
    assert!(answer.body.contains("<Dial") && answer.body.contains(FORWARD), "{}", answer.body);
}

/// Waits for calls that have begun; each is told once.
fn begun(place: &Place, count: usize) -> Vec<Value> {
    let query = "SELECT call_id FROM call_moments WHERE moment = 'call.started' ORDER BY call_id";
    until(query, || Some(place.sql(query)).filter(|rows| rows.len() >= count))
}

/// Waits for rows of calls.
fn calls(place: &Place, what: &str, count: usize) -> Vec<Value> {
    let query = format!("SELECT * FROM calls WHERE {what} ORDER BY started_at");
    until(&query, || Some(place.sql(&query)).filter(|rows| rows.len() >= count))
}

#[test]
fn a_signed_call_is_forwarded_and_a_forged_one_is_not() {
    let place = place("");
    let program = Program::start(&place, &["up"]);
    is_forwarded(&call_comes_in(&program, 0));
    // The same again changes nothing.
    is_forwarded(&call_comes_in(&program, 0));
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", SIGNATURE[1])];
    let form = incoming(CALL[0]) + "&X=<script>";
    let forged = post(&program, "/v1/hooks/twilio/acme", &headers, &form);
    assert_eq!(forged.status, 403, "{}", forged.body);
    assert!(!forged.body.contains("script") && !forged.body.contains("Dial"), "{}", forged.body);
    let unsigned = post(&program, "/v1/hooks/twilio/acme", &headers[..1], &incoming(CALL[0]));
    assert!(matches!(unsigned.status, 401 | 403), "{} {}", unsigned.status, unsigned.body);
    for (path, status) in [
        ("/v1/hooks/twilio/globex", 403),
        ("/v1/hooks/twilio/nobody", 404),
        ("/v1/hooks/fax/acme", 404),
        ("/v1/hooks/generic/acme/x", 401),
    ] {
        assert_eq!(post(&program, path, &headers, &incoming(CALL[0])).status, status, "{path}");
    }
    let long = "x".repeat((1 << 20) + 1);
    assert_eq!(post(&program, "/v1/hooks/twilio/acme", &headers, &long).status, 413);
    // Of two accounts' keys only the own one opens the generic hook.
    let key = format!("Bearer {}", crate::program::key_of("globex"));
    let foreign = post(&program, "/v1/hooks/generic/acme/x", &[("authorization", &key)], "{}");
    assert_eq!(foreign.status, 401, "{}", foreign.body);

    assert_eq!(begun(&place, 1), [json!({"call_id": CALL[0]})]);
    program.stop();
}

#[test]
fn a_record_of_freeswitch_comes_with_its_password() {
    let place = place("");
    let program = Program::start(&place, &["up"]);
    let now = chrono::Utc::now().timestamp();
    let record = json!({
        "variables": {
            "uuid": "5b1e8a2c-0000-4000-8000-000000000001", "direction": "inbound",
            "start_epoch": (now - 60).to_string(), "answer_epoch": (now - 50).to_string(),
            "bridge_epoch": (now - 50).to_string(), "end_epoch": (now - 5).to_string(),
            "duration": "55", "billsec": "45", "hangup_cause": "NORMAL_CLEARING", "hangup_cause_q850": "16",
        },
        "callflow": [{"caller_profile": {
            "caller_id_number": "14155550199", "destination_number": "14155550100",
            "uuid": "5b1e8a2c-0000-4000-8000-000000000001",
        }}],
    });
    let record = record.to_string();
    let path = "/v1/hooks/freeswitch/acme?uuid=a_5b1e8a2c-0000-4000-8000-000000000001";
    // base64 of `switch:open sesame` and of `switch:wrong`.
    let (right, wrong) = ("Basic c3dpdGNoOm9wZW4gc2VzYW1l", "Basic c3dpdGNoOndyb25n");
    let json = ("content-type", "application/json");
    assert_eq!(post(&program, path, &[json], &record).status, 401);
    assert_eq!(post(&program, path, &[json, ("authorization", wrong)], &record).status, 403);
    for _ in 0..2 {
        let answer = post(&program, path, &[json, ("authorization", right)], &record);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let rows = calls(&place, "outcome = 'answered'", 1);
    assert_eq!((rows.len(), &rows[0]["talk_seconds"]), (1, &json!(45.0)), "{rows:?}");
    program.stop();
}

#[test]
fn a_call_is_forwarded_while_the_log_is_away_and_arrives_later() {
    let mut server = NatsServer::start();
    let place = place("");
    let url = server.url();
    let arguments = ["up", "--nats", &url, "--partitions", "1"];
    let mut program = Program::start(&place, &arguments);
    server.kill();
    is_forwarded(&call_comes_in(&program, 0));
    is_forwarded(&call_comes_in(&program, 1));
    let spool = place.folder.path().join("data/spool");
    let kept = |spool: &Path| files_in(spool).iter().any(|file| file.extension().is_some_and(|it| it == "spool"));
    assert!(kept(&spool), "{:?}", program.said());
    program.kill();
    server.restart();
    let program = Program::start(&place, &arguments);
    assert_eq!(begun(&place, 2), [json!({"call_id": CALL[0]}), json!({"call_id": CALL[1]})]);
    until("an empty spool", || (!kept(&spool)).then_some(()));
    place.check_once();
    program.stop();
}

/// A row of Master.csv with 18 columns, in UTC.
fn cdr(id: u32, from: &str) -> String {
    let at = chrono::Utc::now() - chrono::Duration::minutes(60 - i64::from(id));
    let (start, end) = (at.format("%F %T"), (at + chrono::Duration::seconds(40)).format("%F %T"));
    format!(
        "\"\",\"{from}\",\"14155550100\",\"from-trunk\",\"\"\"x\"\" <{from}>\",\"PJSIP/trunk-{id}\",\"PJSIP/21-{id}\",\
         \"Dial\",\"PJSIP/21\",\"{start}\",\"{start}\",\"{end}\",40,40,\"ANSWERED\",\"DOCUMENTATION\",\"{id}.1\",\"\"\n"
    )
}

#[test]
fn a_followed_file_is_read_across_rotation_and_restarts() {
    let more =
        "[[accounts.acme.follow]]\nformat = \"asterisk\"\nfile = \"Master.csv\"\ncolumns = \"18\"\n[accounts.acme]\n";
    // The tables of a list stand behind the members of their table.
    let place = place("");
    let path = place.folder.path().join("callweave.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let more = more.replace("[accounts.acme]\n", "");
    std::fs::write(&path, text + &more).expect("a configuration");

    let file = place.folder.path().join("Master.csv");
    let write = |text: &str| {
        let mut file = std::fs::File::options().append(true).create(true).open(&file).expect("a file");
        file.write_all(text.as_bytes()).expect("room");
    };
    let program = Program::start(&place, &["up"]);
    let half = cdr(2, "14155550102");
    write(&(cdr(1, "14155550101") + &half[..40]));
    calls(&place, "true", 1);
    write(&half[40..]);
    calls(&place, "true", 2);
    program.stop();
    // While nobody looks: more rows, and a new file with so many that the log packs what they come to.
    write(&cdr(3, "14155550103"));
    std::fs::rename(&file, place.folder.path().join("Master.csv.1")).expect("a new name");
    let many: Vec<String> = (4..=40).map(|id| cdr(id, &format!("141555501{id:02}"))).collect();
    write(&many.concat());
    let program = Program::start(&place, &["up"]);
    let rows = calls(&place, "true", 40);
    let callers: Vec<String> = rows.iter().filter_map(|row| row["caller"].as_str().map(str::to_owned)).collect();
    assert_eq!(callers, (1..=40).map(|id| format!("+141555501{id:02}")).collect::<Vec<_>>());
    assert!(rows.iter().all(|row| row["outcome"] == "answered"), "{rows:?}");
    place.check_once();
    program.stop();
}

/// One call as the manager tells it: a caller's channel, an agent's, and both in a bridge.
fn manager_tells(id: &str) -> String {
    let caller = format!("Uniqueid: {id}\r\nLinkedid: {id}\r\n");
    let agent = format!("Uniqueid: {id}9\r\nLinkedid: {id}\r\n");
    [
        format!("Event: Newchannel\r\nChannel: PJSIP/trunk-1\r\nChannelState: 4\r\nCallerIDNum: 14155550199\r\nExten: 14155550100\r\n{caller}"),
        format!("Event: Newchannel\r\nChannel: PJSIP/21-1\r\nChannelState: 0\r\nCallerIDNum: 21\r\nExten: s\r\n{agent}"),
        format!("Event: DialBegin\r\nChannel: PJSIP/trunk-1\r\nDestChannel: PJSIP/21-1\r\nDestCallerIDNum: 21\r\n{caller}DestUniqueid: {id}9\r\nDestLinkedid: {id}\r\n"),
        format!("Event: DialEnd\r\nDialStatus: ANSWER\r\nDestCallerIDNum: 21\r\n{caller}DestUniqueid: {id}9\r\nDestLinkedid: {id}\r\n"),
        format!("Event: BridgeEnter\r\nBridgeUniqueid: b\r\nBridgeNumChannels: 1\r\n{caller}"),
        format!("Event: BridgeEnter\r\nBridgeUniqueid: b\r\nBridgeNumChannels: 2\r\n{agent}"),
        format!("Event: Hangup\r\nCause: 16\r\nCause-txt: Normal Clearing\r\n{agent}"),
        format!("Event: Hangup\r\nCause: 16\r\nCause-txt: Normal Clearing\r\n{caller}"),
    ]
    .map(|block| block + "\r\n")
    .concat()
}

/// Greets, takes one login, tells `text`, and hangs up.
fn manager_once(listener: &TcpListener, text: &str) -> String {
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.write_all(b"Asterisk Call Manager/9.0.0\r\n").expect("a greeting");
    let (mut login, mut lines) = (String::new(), BufReader::new(stream.try_clone().expect("a stream")));
    while !login.ends_with("\r\n\r\n") {
        assert!(lines.read_line(&mut login).expect("a login") > 0, "it hung up: {login}");
    }
    let answer = "Response: Success\r\nActionID: callweave-login\r\nMessage: Authentication accepted\r\n\r\n";
    stream.write_all(answer.as_bytes()).expect("an answer");
    // In pieces that respect no line.
    for piece in text.as_bytes().chunks(37) {
        stream.write_all(piece).expect("events");
    }
    login
}

#[test]
fn a_manager_is_followed_over_tcp_and_connected_to_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let place = place("");
    let path = place.folder.path().join("callweave.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let follow = format!(
        "[[accounts.acme.follow]]\nformat = \"ami\"\nname = \"pbx\"\nconnect = \"{address}\"\nuser = \"callweave\"\n\
         secret = \"hush hush\"\n"
    );
    std::fs::write(&path, text + &follow).expect("a configuration");
    let manager = std::thread::spawn(move || {
        let login = manager_once(&listener, &manager_tells("1770888534.43"));
        manager_once(&listener, &manager_tells("1770888534.90"));
        login
    });
    let program = Program::start(&place, &["up"]);
    let login = manager.join().expect("a manager");
    assert!(login.contains("Username: callweave\r\n") && login.contains("Secret: hush hush\r\n"), "{login}");
    // `dialplan` tells voicemail.
    assert!(login.contains("Events: call,cdr,dialplan\r\n"), "{login}");
    let rows = calls(&place, "outcome = 'answered'", 2);
    assert_eq!((&rows[0]["caller"], &rows[0]["tracking_number"]), (&json!("+14155550199"), &json!(NUMBER)));
    assert!(!program.said().iter().any(|line| line.contains("hush hush")), "a secret is logged");
    program.stop();
}

#[test]
fn a_line_listener_takes_lines_of_whom_it_knows() {
    let place = place("");
    let path = place.folder.path().join("callweave.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let follow = "[[accounts.acme.follow]]\nformat = \"3cx\"\nlisten = \"127.0.0.1:0\"\nallow = [\"127.0.0.1\"]\n\
                  columns = \"historyid,callid,duration,time-start,time-answered,time-end,reason-terminated,from-no,to-no,\
                  from-dn,to-dn,dial-no,reason-changed,final-number,final-dn\"\n";
    std::fs::write(&path, text + follow).expect("a configuration");
    let program = Program::start(&place, &["up"]);
    let said: Value = serde_json::from_str(&program.says("waiting for a telephone system")).expect("a message");
    let mut stream = TcpStream::connect(said["address"].as_str().expect("its address")).expect("it listens");
    let at = chrono::Utc::now() - chrono::Duration::minutes(5);
    let time = |seconds| (at + chrono::Duration::seconds(seconds)).format("%Y/%m/%d %H:%M:%S").to_string();
    let line = format!(
        "Call 1,_1,00:00:30,{},{},{},TerminatedByDst,14155550199,14155550100,10000,100,14155550100,,100,100\r\n",
        time(0),
        time(8),
        time(38)
    );
    stream.write_all(line.as_bytes()).expect("a line");
    let rows = calls(&place, "true", 1);
    assert_eq!(rows[0]["caller"], "+14155550199", "{rows:?}");
    drop(stream);
    program.stop();
}

/// A provider's API: answers each request with the next status, and keeps what it was asked.
fn provider(statuses: &'static [u16]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = asked.clone();
    std::thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().expect("a connection");
            let (head, body) = request(&stream);
            told.lock().expect("requests").push(head + &body);
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
            stream.write_all(answer.as_bytes()).expect("an answer");
        }
    });
    (url, asked)
}

/// An event of a page that asks to be called back.
pub fn wish(id: &str, phone: &str) -> String {
    json!({
        "specversion": "1.0", "id": id, "source": "web/main", "type": "web_event", "account": "acme",
        "time": chrono::Utc::now().to_rfc3339(),
        "data": {"visitor_id": "v", "name": "callback_request", "number": NUMBER, "properties": {"phone": phone}},
    })
    .to_string()
}

#[test]
fn a_call_back_is_asked_of_the_provider_once() {
    let (url, asked) = provider(&[429, 201, 400]);
    let place = place(&format!("twilio_api_url = \"{url}\"\n"));
    let program = Program::start(&place, &["up"]);
    for _ in 0..2 {
        assert_eq!(program.post("acme", wish("w1", "+14155550177").as_bytes()).expect("an answer").0, 200);
    }
    // The first was turned away, and asked for again; what came twice was asked for once.
    until("two requests", || (asked.lock().expect("requests").len() == 2).then_some(()));
    program.post("acme", wish("w2", "+14155550188").as_bytes()).expect("an answer");
    until("three requests", || (asked.lock().expect("requests").len() == 3).then_some(()));
    let requests = asked.lock().expect("requests").clone();
    assert!(
        requests[0].starts_with("POST /2010-04-01/Accounts/AC00000000000000000000000000000000/Calls"),
        "{requests:?}"
    );
    assert!(requests.iter().all(|it| it.to_ascii_lowercase().contains("authorization: basic ")), "{requests:?}");
    assert!(requests[0].contains("calls.example.com") && requests[0] == requests[1], "{requests:?}");
    // What was refused is a call that failed.
    let rows = calls(&place, "outcome = 'failed'", 1);
    assert_eq!((&rows[0]["direction"], &rows[0]["caller"]), (&json!("callback"), &json!("+14155550188")), "{rows:?}");
    assert_eq!(asked.lock().expect("requests").len(), 3);
    program.stop();
}
