//! What goes wrong around the program: input that is no input, a lake that cannot be written, a log that is away,
//! snapshots that are damaged or gone.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::nats::NatsServer;
use crate::program::{ACCOUNTS, Place, Program, Story, files_in, is_taken, key_of, peak_of, send, until};

/// More than a debug build needs for its engines and one request of the largest size, far less than the input and what
/// it could be blown up to.
const MEMORY_MAX: u64 = 700 << 20;
/// One event may have so many bytes; of longer lines one byte more is kept.
const EVENT_BYTES_MAX: usize = callweave_core::limits::EVENT_BYTES_MAX;

fn event(id: &str, kind: &str, time: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "t", "type": kind, "time": time, "account": ACCOUNTS[0],
        "recordedtime": chrono::Utc::now().to_rfc3339(), "data": data,
    })
}

fn view(id: &str) -> Value {
    let time = (chrono::Utc::now() - chrono::Duration::hours(3)).to_rfc3339();
    event(id, "page_view", &time, json!({ "visitor_id": format!("v-{id}"), "url": "https://www.acme.example/" }))
}

/// What was begun beside it finds the process ended, and says nothing.
#[test]
fn a_port_in_use_is_told_and_nothing_else() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("an address").to_string();
    let place = Place::new();
    for _ in 0..8 {
        let mut program = Program::spawn_at(&place, &["up", "--postgres", "off", "--flight", "off"], &address);
        assert_eq!(program.status().code(), Some(1));
        let said = program.said().join("\n");
        assert!(said.contains(&format!("listen.collect: {address} cannot be listened on")), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        // Why it ends is a line of the log like all others.
        let mut lines = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let why = lines.find(|line| line["level"] == "ERROR").expect("an error");
        assert!(why["message"].as_str().is_some_and(|message| message.contains("cannot be listened on")), "{said}");
    }
}

/// Ends with the test, however that ends: the tests' output is not held open.
struct Started(std::process::Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// Whoever reads the messages may go, and their disk may be full: the work goes on.
#[test]
fn messages_that_cannot_be_written_end_nothing() {
    let place = Place::new();
    for arguments in [&["simulate", "--events", "50", "--output", "events.ndjson"][..], &["run", "events.ndjson"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("a device that is full");
        let status = place.command(arguments).stderr(full).status().expect("the binary runs");
        assert!(status.success(), "{arguments:?}: {status}");
    }
    // It cannot say where it listens. Below the ports that are given to whoever asks for any, so that nobody is given it meanwhile.
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let address = format!("127.0.0.1:{}", (20_100..20_200).find(is_free).expect("a free port"));
    let off = ["--admin", "127.0.0.1:0", "--postgres", "off", "--flight", "off"];
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let up = place.command(&[&["up", "--listen", &address][..], &off].concat());
    // Whoever runs the tests may ignore hangups, and the program would, too.
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP").arg(up.get_program()).args(up.get_args()).current_dir(place.folder.path());
    for (name, _) in up.get_envs().filter(|(_, value)| value.is_none()) {
        command.env_remove(name);
    }
    let mut program = Started(command.stderr(writer).spawn().expect("the binary runs"));
    until("an event is taken", || {
        assert!(program.0.try_wait().expect("its status").is_none(), "it ended");
        let request = ureq::post(format!("http://{address}/v1/events")).content_type("application/x-ndjson");
        let request = request.header("authorization", format!("Bearer {}", key_of(ACCOUNTS[0])));
        request.send(view("a").to_string()).ok()
    });
    until("its row", || {
        (place.sql("SELECT event_id FROM page_views WHERE event_id = 'a'") == [json!({ "event_id": "a" })])
            .then_some(())
    });
    // A hangup lets it end well, too.
    let hung_up = Command::new("kill").args(["-HUP", &program.0.id().to_string()]).status().expect("kill");
    assert!(hung_up.success());
    let status = until("its end", || program.0.try_wait().expect("its status"));
    assert!(status.success(), "{status}");
}

#[test]
fn what_waits_for_its_log_can_be_stopped() {
    let place = Place::new();
    let program = Program::spawn(&place, &["up", "--nats", "nats://127.0.0.1:1"]);
    program.says("waiting for nats");
    program.stop();
}

/// A line that cannot be used, each kind for another reason.
fn bad(draw: &mut StdRng, number: usize) -> Vec<u8> {
    let id = format!("bad-{number}");
    let now = chrono::Utc::now().to_rfc3339();
    let good = view(&id).to_string().into_bytes();
    let with = |member: &str, value: Value| {
        let mut event = view(&id);
        event["data"][member] = value;
        event.to_string().into_bytes()
    };
    let record = |data: Value| event(&id, "call_record", &now, data).to_string().into_bytes();
    let call = json!({
        "call_id": id, "direction": "inbound", "from": "+14155550123", "to": "+14155550199",
        "started_at": "2026-11-20T12:00:00Z", "ended_at": "2026-11-20T11:59:59Z",
    });
    match number % 14 {
        // Bytes of any kind, but for the line feed that would make two of them.
        0 => {
            let length = draw.random_range(1..400);
            let mut bytes: Vec<u8> = (0..length).map(|_| draw.random()).filter(|byte| *byte != b'\n').collect();
            bytes.insert(0, b'#');
            bytes.push(b'#');
            bytes
        }
        // A good one, cut.
        1 => good[..draw.random_range(1..good.len())].to_vec(),
        // A good one with one quote less.
        2 => {
            let quotes: Vec<usize> =
                good.iter().enumerate().filter(|(_, byte)| **byte == b'"').map(|it| it.0).collect();
            let mut bytes = good.clone();
            bytes.remove(quotes[draw.random_range(0..quotes.len())]);
            bytes
        }
        3 => with("visitor_id", json!(7)),
        4 => with("url", json!(["https://www.acme.example/"])),
        5 => with("numbers", json!("no list")),
        6 => view(&id).to_string().replacen("\"data\":{", "\"data\":[{", 1).replacen("}}", "}]}", 1).into_bytes(),
        7 => event(&id, "page_view", "1970-01-01T00:00:00Z", view(&id)["data"].clone()).to_string().into_bytes(),
        8 => event(&id, "page_view", "2090-01-01T00:00:00Z", view(&id)["data"].clone()).to_string().into_bytes(),
        9 => record(call),
        10 => {
            let data = json!({
                "call_id": id, "status": "ended", "direction": "inbound", "from": "+14155550123",
                "to": "+14155550199", "talk_seconds": -5,
            });
            event(&id, "call", &now, data).to_string().into_bytes()
        }
        // 10,000 deep, in a member that nobody knows.
        11 => {
            let depth = 10_000;
            let nest = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            view(&id).to_string().replacen("\"data\":{", &format!("\"x\":{nest},\"data\":{{"), 1).into_bytes()
        }
        12 => "{\"a\":".repeat(10_000).into_bytes(),
        // Two megabytes in one field; a few of them.
        _ if number % 700 == 13 => with("title", json!("x".repeat(2 << 20))),
        _ => with("title", json!("y".repeat(40_000))),
    }
}

/// Good lines among bad ones.
struct Mess {
    lines: Vec<Vec<u8>>,
    good: Vec<String>,
    bad: Vec<Vec<u8>>,
}

impl Mess {
    fn new(seed: u64, count: usize) -> Mess {
        let mut draw = StdRng::seed_from_u64(seed);
        let mut mess = Mess { lines: Vec::new(), good: Vec::new(), bad: Vec::new() };
        for number in 0..count {
            let id = format!("good-{number}");
            let good = view(&id).to_string().into_bytes();
            mess.lines.push(good.clone());
            mess.good.push(id);
            let bad = bad(&mut draw, number);
            mess.lines.push(bad.clone());
            mess.bad.push(bad);
            // The same again is the same event.
            if number % 10 == 0 {
                mess.lines.push(good);
            }
        }
        mess.good.sort();
        mess
    }

    /// Every good neighbour is there once, every bad one with a reason and its bytes, as far as one event may go.
    fn is_sorted_out(&self, place: &Place) -> Result<(), String> {
        let found = place.sql("SELECT event_id FROM page_views ORDER BY event_id");
        let mut found: Vec<String> =
            found.iter().map(|row| row["event_id"].as_str().unwrap_or("").to_owned()).collect();
        found.sort();
        if found != self.good {
            return Err(format!("{} good ones of {}", found.len(), self.good.len()));
        }
        let mut expected: BTreeMap<String, usize> = BTreeMap::new();
        for bytes in &self.bad {
            *expected.entry(hex(&bytes[..bytes.len().min(EVENT_BYTES_MAX)])).or_default() += 1;
        }
        for row in place.sql("SELECT reason, encode(raw, 'hex') AS raw FROM rejected") {
            if row["reason"].as_str().is_none_or(str::is_empty) {
                return Err(format!("no reason: {row}"));
            }
            let raw = row["raw"].as_str().unwrap_or("");
            let raw = &raw[..raw.len().min(2 * EVENT_BYTES_MAX)];
            match expected.get_mut(raw) {
                Some(count) if *count > 0 => *count -= 1,
                _ => return Err(format!("bytes that nobody sent, or too often: {}", &raw[..raw.len().min(2000)])),
            }
        }
        expected.retain(|_, count| *count > 0);
        match expected.first_key_value() {
            None => Ok(()),
            Some((raw, _)) => Err(format!("{} are not in rejected: {}", expected.len(), &raw[..raw.len().min(2000)])),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In pairs, good and bad.
const MESS: usize = 2800;

#[test]
fn bad_lines_of_a_file_are_sorted_out() {
    let mess = Mess::new(22, MESS);
    let place = Place::new();
    std::fs::write(place.folder.path().join("mess.ndjson"), mess.lines.join(&b'\n')).expect("the file");
    let mut job = place.command(&["run", "--input", "mess.ndjson"]).spawn().expect("the binary runs");
    let mut peak = 0;
    let status = until("the end of the run", || {
        peak = peak_of(job.id()).unwrap_or(0).max(peak);
        job.try_wait().expect("its status")
    });
    assert!(status.success(), "{status}");
    mess.is_sorted_out(&place).expect("all in its place");
    assert!(peak < MEMORY_MAX, "it took {} MiB", peak >> 20);
    eprintln!("run: {} MiB", peak >> 20);
}

#[test]
fn bad_lines_of_requests_are_sorted_out() {
    /// So that the largest lines fit.
    const BODY_BYTES: usize = 8 << 20;
    const BODY_LINES: usize = 300;
    let mess = Mess::new(222, MESS);
    let place = Place::new();
    let program = Program::start(&place, &["up"]);
    let mut body = Vec::new();
    let mut held = 0;
    for (number, line) in mess.lines.iter().enumerate() {
        body.extend([line, &b"\n"[..]].concat());
        held += 1;
        if body.len() > BODY_BYTES || held == BODY_LINES || number + 1 == mess.lines.len() {
            let answer = program.post(ACCOUNTS[0], &std::mem::take(&mut body)).expect("an answer");
            assert!(is_taken(&answer), "{answer:?}");
            let answer: Value = serde_json::from_str(&answer.1).expect("JSON");
            assert_eq!(answer["taken"].as_u64().zip(answer["refused"].as_u64()).map(|(a, b)| a + b), Some(held as u64));
            held = 0;
        }
    }
    let mut last = Ok(());
    until("the mess in its place", || {
        last = mess.is_sorted_out(&place);
        last.is_ok().then_some(())
    });
    let peak = program.memory_peak().expect("a running process");
    assert!(peak < MEMORY_MAX, "it took {} MiB", peak >> 20);
    eprintln!("up: {} MiB", peak >> 20);
    program.stop();
    mess.is_sorted_out(&place).expect("all in its place after the end");
}

/// Root may write everywhere, so a file stands where the table's folder was.
struct Blocked {
    table: PathBuf,
    away: PathBuf,
}

impl Blocked {
    fn block(lake: &Path, table: &str) -> Blocked {
        let blocked = Blocked { table: lake.join(table), away: lake.join(format!("{table}.away")) };
        std::fs::rename(&blocked.table, &blocked.away).expect("the table's folder moves");
        std::fs::write(&blocked.table, b"in the way").expect("a file in its place");
        blocked
    }

    fn unblock(self) {
        std::fs::remove_file(&self.table).expect("the file goes");
        std::fs::rename(&self.away, &self.table).expect("the folder comes back");
    }
}

#[test]
fn a_lake_that_cannot_be_written_for_a_while_loses_nothing() {
    let story = Story::new(23, 1200);
    let requests = story.requests(40);
    let (before, rest) = requests.split_at(requests.len() / 3);
    let (during, after) = rest.split_at(rest.len() / 2);
    let place = Place::new();
    let program = Program::start(&place, &["up"]);
    send(&program, before);
    until("the first page views", || (!place.sql("SELECT 1 FROM page_views LIMIT 1").is_empty()).then_some(()));
    let tells_lag = |text: &String| text.contains("callweave_join_watermark_lag_seconds{");
    until("a lag", || program.get("/metrics").filter(tells_lag));
    let blocked = Blocked::block(&place.lake(), "page_views");
    // Senders do not notice: the log takes it.
    send(&program, during);
    let said = program.says("processing stopped, beginning again");
    assert!(said.contains("page_views"), "it tells which table: {said}");
    let metrics = program.get("/metrics").expect("metrics");
    let counted = |line: &str| line.contains("commit_failures_total{table=\"page_views\"}") && !line.ends_with(" 0");
    assert!(metrics.lines().any(counted), "no failure of page_views is counted:\n{metrics}");
    assert!(tells_lag(&metrics), "how far it is behind is told while nothing works, too");
    let (status, told) = health(&program.admin(), "readyz");
    assert!(status == 503 && told.contains("page_views: the latest commit failed: "), "{status} {told}");
    blocked.unblock();
    send(&program, after);
    place.reaches(&story.expected, &program);
    until("it is ready again", || (health(&program.admin(), "readyz").0 == 200).then_some(()));
    place.ends_with(&story.expected, program);
}

#[test]
fn nats_that_is_away_for_a_while_loses_nothing() {
    let story = Story::new(230, 1200);
    let requests = story.requests(40);
    let (before, after) = requests.split_at(requests.len() / 2);
    let mut server = NatsServer::start();
    let url = server.url();
    let place = Place::new();
    let program = Program::start(&place, &["up", "--nats", &url, "--partitions", "2"]);
    send(&program, before);
    server.kill();
    // Each waits for as long as the log has to confirm: ten seconds in all, unless more is asked for.
    let away = std::env::var("CALLWEAVE_TEST_NATS_AWAY_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let since = std::time::Instant::now();
    let mut refused = 0;
    while refused < 3 || since.elapsed().as_secs() < away.unwrap_or(0) {
        let (status, told) = program.post(after[0].0, &after[0].1).expect("an answer");
        assert_eq!(status, 503, "{told}");
        assert!(told.contains("send the same events again"), "{told}");
        refused += 1;
    }
    let (_, told) = health(&program.admin(), "readyz");
    assert!(told.contains("NATS is away"), "{told}");
    server.restart();
    until("the log takes events again", || program.post(after[0].0, &after[0].1).filter(is_taken));
    send(&program, &after[1..]);
    place.reaches(&story.expected, &program);
    place.ends_with(&story.expected, program);
}

/// A certificate and its key for this machine's address, in `folder`: `tls.pem` and `tls.key`.
fn make_certificate(folder: &Path) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    command.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "tls.key", "-out", "tls.pem"]);
    let output = command.current_dir(folder).output().expect("openssl must be installed: apt-get install openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nats_is_spoken_to_over_tls() {
    let place = Place::new();
    let folder = place.folder.path();
    make_certificate(folder);
    let path = |name: &str| folder.join(name).display().to_string();
    let server = NatsServer::start_with(&["-js", "--tls", "--tlscert", &path("tls.pem"), "--tlskey", &path("tls.key")]);
    let configuration = std::fs::read_to_string(folder.join("callweave.toml")).expect("the configuration");
    let configuration = configuration + "[nats]\nca = \"tls.pem\"\n";
    std::fs::write(folder.join("callweave.toml"), configuration).expect("a configuration");
    let program = Program::start(&place, &["up", "--nats", &server.url(), "--partitions", "1"]);
    let taken = program.post(ACCOUNTS[0], view("a").to_string().as_bytes()).expect("an answer");
    assert!(is_taken(&taken), "{taken:?}");
    program.stop();
}

/// A tool keeps its connection open for hours: it is no statement that a stop would wait for.
#[test]
fn a_stop_waits_for_no_idle_connection() {
    let place = Place::new();
    let program = Program::start(&place, &["up", "--flight", "127.0.0.1:0"]);
    let told = program.says("answering queries");
    let (_, address) = told.split_once("\"flight\":\"").expect("an address");
    let (address, _) = address.split_once('"').expect("an address");
    let idle = std::net::TcpStream::connect(address).expect("a connection");
    program.stop();
    drop(idle);
}

/// Status and text of `livez` or `readyz`.
fn health(address: &str, which: &str) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(address).expect("the admin address is served");
    write!(stream, "GET /{which} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").expect("a head").1.to_owned())
}

#[test]
fn nats_that_comes_later_is_waited_for() {
    let story = Story::new(231, 300);
    let requests = story.requests(40);
    let mut server = NatsServer::start();
    let url = server.url();
    server.kill();
    let place = Place::new();
    let program = Program::spawn(&place, &["up", "--nats", &url, "--partitions", "2"]);
    program.says("waiting for nats");
    // What waits as it should is not to be killed, and gets no work.
    let at = program.says("telling of health").parse::<Value>().expect("JSON");
    let at = at["address"].as_str().expect("an address").to_owned();
    assert_eq!(health(&at, "livez").0, 200);
    let (status, told) = health(&at, "readyz");
    assert!(status == 503 && told.contains("waiting for nats: "), "{status} {told}");
    server.restart();
    until("it takes events", || program.post(requests[0].0, &requests[0].1).filter(is_taken));
    until("it is ready", || (health(&at, "readyz").0 == 200).then_some(()));
    send(&program, &requests[1..]);
    place.reaches(&story.expected, &program);
    place.ends_with(&story.expected, program);
}

#[test]
fn damaged_and_lost_snapshots_change_nothing() {
    let story = Story::new(24, 1200);
    let requests = story.requests(20);
    let parts: Vec<_> = requests.chunks(requests.len().div_ceil(4)).collect();
    let place = Place::new();
    let folder = place.lake().join("_state/log-0");
    let mut program = Program::start(&place, &["up", "--partitions", "1"]);
    for part in &parts[..2] {
        let kept = files_in(&folder).len();
        send(&program, part);
        until("another snapshot", || (files_in(&folder).len() > kept).then_some(()));
    }
    program.kill();
    let newest = files_in(&folder).pop().expect("a snapshot");
    let mut bytes = std::fs::read(&newest).expect("its bytes");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).expect("damaged");
    let mut program = Program::start(&place, &["up"]);
    program.says("a snapshot cannot be used, and the one before is taken");
    send(&program, parts[2]);
    until("a snapshot of this life", || (files_in(&folder).pop()? > newest).then_some(()));
    program.kill();
    std::fs::remove_dir_all(&folder).expect("no snapshots");
    let program = Program::start(&place, &["up"]);
    send(&program, parts[3]);
    place.reaches(&story.expected, &program);
    place.ends_with(&story.expected, program);
}

/// A small disk of its own over a place's data, and a file that takes what is left of it.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Nothing where this user may not mount.
    fn over(place: &Place, bytes: u64) -> Option<SmallDisk> {
        let folder = place.folder.path().join("data");
        std::fs::create_dir_all(&folder).expect("a folder");
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&folder).output();
        mounted.is_ok_and(|it| it.status.success()).then_some(SmallDisk { folder })
    }

    fn fill(&self) {
        let mut filler = std::fs::File::create(self.folder.join("filler")).expect("a file");
        while filler.write_all(&[7; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.folder.join("filler")).expect("the filler goes");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let story = Story::new(25, 1200);
    let requests = story.requests(40);
    let (before, after) = requests.split_at(requests.len() / 2);
    let place = Place::new();
    let Some(disk) = SmallDisk::over(&place, 96 << 20) else {
        eprintln!("not tested: this user may not mount a small disk");
        return;
    };
    let program = Program::start(&place, &["up"]);
    send(&program, before);
    until("the first page views", || (!place.sql("SELECT 1 FROM page_views LIMIT 1").is_empty()).then_some(()));
    disk.fill();
    // The log has room of its own for a while; a lake has none.
    let mut acknowledged = 0;
    let refused = after.iter().find_map(|(account, body)| {
        let answer = program.post(account, body).expect("an answer");
        acknowledged += usize::from(is_taken(&answer));
        (!is_taken(&answer)).then_some(answer)
    });
    match refused {
        Some((status, told)) => {
            eprintln!("after {acknowledged} requests: {status} {told}");
            assert!([503, 507].contains(&status), "{status} {told}");
        }
        None => drop(program.says("processing stopped, beginning again")),
    }
    let told = until("it says that it is not ready", || {
        let (status, told) = health(&program.admin(), "readyz");
        (status == 503).then_some(told)
    });
    assert!(told.contains("the latest commit failed: ") || told.contains("appending to the log: "), "{told}");
    disk.free();
    until("it is ready again though nobody sends anything", || {
        (health(&program.admin(), "readyz").0 == 200).then_some(())
    });
    let rest = &after[acknowledged..];
    if let Some((account, body)) = rest.first() {
        until("the log takes events again", || program.post(account, body).filter(is_taken));
        send(&program, &rest[1..]);
    }
    place.reaches(&story.expected, &program);
    until("it is ready again", || (health(&program.admin(), "readyz").0 == 200).then_some(()));
    place.ends_with(&story.expected, program);
    drop(disk);
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let of = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    files_in(folder).into_iter().flat_map(of).collect()
}

/// A lake that was copied while it was written, in the order that docs/operations.md gives, is whole, and the log tells it the rest.
#[test]
fn a_lake_that_was_copied_meanwhile_can_be_restored() {
    let story = Story::new(29, 1200);
    let requests = story.requests(40);
    let place = Place::new();
    let program = Program::start(&place, &["up"]);
    let (lake, copy) = (place.lake(), place.folder.path().join("copy"));
    let parts: [fn(&str) -> bool; 3] = [
        |it| it.starts_with("_state"),
        |it| it.contains("_delta_log"),
        |it| !it.starts_with("_state") && !it.contains("_delta_log"),
    ];
    let pages = || place.sql("SELECT count(*) AS n FROM page_views")[0]["n"].as_u64().expect("a number");
    for (part, requests) in parts.iter().zip(requests.chunks(requests.len().div_ceil(4))) {
        let before = pages();
        send(&program, requests);
        until("more pages", || (pages() > before).then_some(()));
        for file in files_below(&lake) {
            let name = file.strip_prefix(&lake).expect("a file of the lake").to_str().expect("text").to_owned();
            // Names that are about to change are no part of a table.
            if part(&name) && !name.ends_with(".tmp") && file.exists() {
                let to = copy.join(&name);
                std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
                if let Err(error) = std::fs::copy(&file, &to) {
                    assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{name}: {error}");
                }
            }
        }
    }
    send(&program, requests.chunks(requests.len().div_ceil(4)).last().expect("the rest"));
    program.stop();
    std::fs::rename(&lake, place.folder.path().join("lost")).expect("the lake goes");
    std::fs::rename(&copy, &lake).expect("the copy comes");
    assert!(pages() > 0, "the copy is whole");
    let program = Program::start(&place, &["up"]);
    place.reaches(&story.expected, &program);
    place.ends_with(&story.expected, program);
}
