//! The real binary, run as its users run it: started with a configuration file, posted to, asked with SQL, and ended by
//! its process id.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_callweave");
/// Of two partitions where there are three.
pub const ACCOUNTS: [&str; 2] = ["acme", "globex"];
/// Nothing here takes nearly as long, on a busy machine either; what does has failed.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at something that another process changes.
pub const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// The tables that hold what the join and the senders say. `rejected` has times of receipt, and moments are told once.
pub const TABLES: [&str; 9] =
    ["calls", "sessions", "leases", "page_views", "web_events", "tags", "notes", "deals", "transcripts"];
/// What rightly differs between a file and a log: how often a row was corrected, and when a collector took the event in.
const BESIDE: [&str; 2] = ["revision", "recorded_time"];

pub fn key_of(account: &str) -> String {
    format!("the-key-of-{account}-for-tests")
}

/// Looks until `look` finds something.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_every(LOOK_AGAIN, what, look)
}

/// [`until`], for what is over soon.
pub fn until_now<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_every(Duration::from_millis(1), what, look)
}

fn until_every<T>(pause: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(pause);
    }
}

/// What a provider is asked over a connection: the head of the request, and its body.
pub fn request(stream: &TcpStream) -> (String, String) {
    let mut lines = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let from = head.len();
        assert!(lines.read_line(&mut head).expect("a head") > 0);
        if let Some(value) = head[from..].to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).expect("a body");
    (head, String::from_utf8_lossy(&body).into_owned())
}

/// A folder with a configuration of [`ACCOUNTS`], a log and a lake.
pub struct Place {
    pub folder: TempDir,
}

impl Place {
    pub fn new() -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut text = String::from(
            "[commit]\ncalls_ms = 100\nbulk_ms = 300\n[snapshot]\nseconds = 1\n[limits]\nappend_seconds = 3\n",
        );
        for account in ACCOUNTS {
            text += &format!("[accounts.{account}]\nkeys = [\"{}\"]\n", key_of(account));
        }
        std::fs::write(folder.path().join("callweave.toml"), text).expect("a configuration");
        Place { folder }
    }

    pub fn lake(&self) -> PathBuf {
        self.folder.path().join("data/lake")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CALLWEAVE_")) {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path()).args(arguments).args(["--data", "data"]);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("text")
    }

    pub fn sql(&self, query: &str) -> Vec<Value> {
        let told = self.run(&["sql", "--format", "ndjson", query]);
        told.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
    }

    /// All current rows of [`TABLES`], in the order of their text.
    pub fn rows(&self) -> Rows {
        let query: Vec<String> =
            TABLES.iter().map(|name| format!("SELECT '{name}' AS of_table, * FROM {name}")).collect();
        let mut rows: Rows = TABLES.iter().map(|name| (name.to_string(), Vec::new())).collect();
        for mut row in self.sql(&query.join(";")) {
            let members = row.as_object_mut().expect("a row");
            let table = members.remove("of_table").expect("its table");
            BESIDE.iter().for_each(|name| drop(members.remove(*name)));
            rows.get_mut(table.as_str().unwrap_or("")).expect("a table").push(row.to_string());
        }
        rows.values_mut().for_each(|rows| rows.sort());
        rows
    }

    /// No row is stored twice, whatever a query shows of them.
    pub fn check_once(&self) {
        for (table, key) in [
            ("calls", "account, call_id, revision"),
            ("sessions", "account, session_id, revision"),
            ("leases", "account, lease_id, revision"),
            ("page_views", "account, event_source, event_id"),
            ("web_events", "account, event_source, event_id"),
        ] {
            let query = format!("SELECT {key}, count(*) AS n FROM history.{table} GROUP BY {key} HAVING count(*) > 1");
            assert_eq!(self.sql(&query), Vec::<Value>::new(), "{table} holds rows more than once");
        }
    }

    /// Waits until the lake holds exactly `expected`.
    pub fn reaches(&self, expected: &Rows, program: &Program) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.rows();
            if found == *expected {
                return;
            }
            if Instant::now() > deadline {
                panic!("{}\nthe program said:\n{}", difference(expected, &found), program.said().join("\n"));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Stops it with grace; then the lake holds `expected`, each row once.
    pub fn ends_with(&self, expected: &Rows, program: Program) {
        let said = program.stop();
        let found = self.rows();
        assert!(found == *expected, "{}\nthe program said:\n{}", difference(expected, &found), said.join("\n"));
        self.check_once();
    }
}

/// By table.
pub type Rows = BTreeMap<String, Vec<String>>;

/// The first few rows that only one side has.
pub fn difference(expected: &Rows, found: &Rows) -> String {
    const SHOWN: usize = 3;
    let mut text = String::new();
    for (table, expected) in expected {
        let found = &found[table];
        if expected == found {
            continue;
        }
        text += &format!("{table}: {} rows expected, {} found\n", expected.len(), found.len());
        for row in expected.iter().filter(|row| !found.contains(row)).take(SHOWN) {
            text += &format!("  missing {row}\n");
        }
        for row in found.iter().filter(|row| !expected.contains(row)).take(SHOWN) {
            text += &format!("  too many {row}\n");
        }
    }
    text
}

/// What the program has said so far, and where it listens.
#[derive(Default)]
struct Said {
    lines: Vec<String>,
    collect: Option<String>,
    admin: Option<String>,
    ended: bool,
}

/// `callweave up`, or what else listens.
pub struct Program {
    child: Child,
    said: Arc<(Mutex<Said>, Condvar)>,
    pub agent: ureq::Agent,
}

impl Program {
    /// Does not wait for it to listen.
    pub fn spawn(place: &Place, arguments: &[&str]) -> Program {
        Program::spawn_at(place, arguments, "127.0.0.1:0")
    }

    pub fn spawn_at(place: &Place, arguments: &[&str], address: &str) -> Program {
        Program::spawn_on(place, arguments, address, "127.0.0.1:0")
    }

    /// `admin` may be the same as `address`.
    pub fn spawn_on(place: &Place, arguments: &[&str], address: &str, admin: &str) -> Program {
        let listen = ["--listen", address, "--admin", admin, "--log-format", "json"];
        let mut command = place.command(&[arguments, &listen].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let said = Arc::new((Mutex::new(Said::default()), Condvar::new()));
        let (stderr, to) = (child.stderr.take().expect("its messages"), said.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut said = to.0.lock().expect("messages");
                if let Ok(message) = serde_json::from_str::<Value>(&line) {
                    let text = |name: &str| message[name].as_str().map(str::to_owned);
                    said.collect = text("collect").or(said.collect.take());
                    said.admin = text("admin").or(said.admin.take());
                }
                said.lines.push(line);
                to.1.notify_all();
            }
            to.0.lock().expect("messages").ended = true;
            to.1.notify_all();
        });
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Program { child, said, agent: agent.into() }
    }

    /// Waits until it listens.
    pub fn start(place: &Place, arguments: &[&str]) -> Program {
        let program = Program::spawn(place, arguments);
        assert!(program.listens(PATIENCE), "it does not listen: {}", program.said().join("\n"));
        program
    }

    /// Whether it does so within `patience`.
    pub fn listens(&self, patience: Duration) -> bool {
        let said = self.said.0.lock().expect("messages");
        let waiting = |said: &mut Said| said.admin.is_none() && !said.ended;
        let (said, _) = self.said.1.wait_timeout_while(said, patience, waiting).expect("messages");
        said.admin.is_some()
    }

    pub fn said(&self) -> Vec<String> {
        self.said.0.lock().expect("messages").lines.clone()
    }

    /// Waits until it says something with `text` in it.
    pub fn says(&self, text: &str) -> String {
        let said = self.said.0.lock().expect("messages");
        let waiting = |said: &mut Said| !said.ended && !said.lines.iter().any(|line| line.contains(text));
        let (said, _) = self.said.1.wait_timeout_while(said, PATIENCE, waiting).expect("messages");
        let found = said.lines.iter().find(|line| line.contains(text)).cloned();
        found.unwrap_or_else(|| panic!("it does not say {text:?}:\n{}", said.lines.join("\n")))
    }

    /// Where health and metrics are told.
    pub fn admin(&self) -> String {
        self.said.0.lock().expect("messages").admin.clone().expect("it listens")
    }

    /// Where events are taken.
    pub fn collect(&self) -> String {
        self.said.0.lock().expect("messages").collect.clone().expect("it listens")
    }

    /// Posts lines; status and body of the answer, or nothing where there is none.
    pub fn post(&self, account: &str, body: &[u8]) -> Option<(u16, String)> {
        let url = format!("http://{}/v1/events", self.said.0.lock().expect("messages").collect.clone()?);
        let request = self.agent.post(url).header("content-type", "application/x-ndjson");
        let answer = request.header("authorization", format!("Bearer {}", key_of(account))).send(body);
        let mut answer = answer.inspect_err(|error| println!("no answer to a post: {error}")).ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.body_mut().read_to_string().ok()?))
    }

    /// What stands at a path of the administrators' address.
    pub fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://{}{path}", self.said.0.lock().expect("messages").admin.clone()?);
        self.agent.get(url).call().ok()?.body_mut().read_to_string().ok()
    }

    /// The most memory it ever had, in bytes.
    pub fn memory_peak(&self) -> Option<u64> {
        peak_of(self.child.id())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; it must end well. What it said in its life.
    pub fn stop(mut self) -> Vec<String> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()));
        self.ended_well()
    }

    /// How it ended, when all is read that it said; it does so by itself.
    pub fn status(&mut self) -> std::process::ExitStatus {
        let status = until("its end", || self.child.try_wait().expect("its status"));
        let said = self.said.0.lock().expect("messages");
        drop(self.said.1.wait_while(said, |said| !said.ended).expect("messages"));
        status
    }

    /// Waits for the end after SIGTERM.
    pub fn ended_well(&mut self) -> Vec<String> {
        let (status, said) = (self.status(), self.said());
        assert!(status.success(), "it ended with {status}:\n{}", said.join("\n"));
        said
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Most memory that a running process ever had, in bytes.
pub fn peak_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// A simulated file of [`ACCOUNTS`], and what a bounded job makes of it.
pub struct Story {
    pub lines: Vec<Line>,
    pub expected: Rows,
}

pub struct Line {
    pub account: &'static str,
    pub bytes: Vec<u8>,
}

impl Story {
    /// Late, doubled, unusable events and visitors without session ids among them. It begins with a day, so that it is the same
    /// at all hours, and is over since a day, so that ticks at the clock's time close all of it.
    pub fn new(seed: u64, events: usize) -> Story {
        let place = Place::new();
        let start = chrono::Utc::now() - chrono::Duration::days(2);
        let (seed, events) = (seed.to_string(), events.to_string());
        let accounts = ACCOUNTS.join(",");
        // Twelve hours, whatever their number.
        let visits = format!("{}", events.parse::<f64>().unwrap_or(1.0) / 9.0 / ACCOUNTS.len() as f64 * 2.0);
        let start = start.format("%Y-%m-%dT00:00:00Z").to_string();
        let told = place.run(&[
            "simulate",
            "--seed",
            &seed,
            "--events",
            &events,
            "--start",
            &start,
            "--account",
            &accounts,
            "--visits-per-day",
            &visits,
            "--calls",
            "0.2",
            "--late",
            "0.05",
            "--duplicates",
            "0.03",
            "--unusable",
            "0.01",
            "--without-session-id",
            "0.3",
        ]);
        let mut account = ACCOUNTS[0];
        let mut lines = Vec::new();
        for line in told.lines() {
            let event: Option<Value> = serde_json::from_str(line).ok();
            let named = event.as_ref().and_then(|event| event["account"].as_str());
            account = named.and_then(|name| ACCOUNTS.into_iter().find(|it| *it == name)).unwrap_or(account);
            let settings = event.as_ref().is_some_and(|event| event["type"] == "account_settings");
            let line = if settings {
                line.replacen("\"data\":{", "\"data\":{\"lateness_seconds\":1,", 1)
            } else {
                line.to_owned()
            };
            lines.push(Line { account, bytes: line.into_bytes() });
            let told =
                event.iter().filter(|event| event["type"] == "call_record" || event["data"]["status"] == "ended");
            lines.extend(told.flat_map(follow_up).map(|event| Line { account, bytes: event.to_string().into_bytes() }));
        }
        let file = place.folder.path().join("events.ndjson");
        let bytes: Vec<u8> = lines.iter().flat_map(|line| [&line.bytes[..], b"\n"].concat()).collect();
        std::fs::write(&file, bytes).expect("the events");
        place.run(&["run", "--input", "events.ndjson"]);
        let expected = place.rows();
        assert!(TABLES[..4].iter().all(|table| !expected[*table].is_empty()), "the story is too short");
        Story { lines, expected }
    }

    /// Requests of up to `most` lines of one account each, in order.
    pub fn requests(&self, most: usize) -> Vec<(&'static str, Vec<u8>)> {
        let mut requests: Vec<(&'static str, Vec<u8>)> = Vec::new();
        let mut held = 0;
        for line in &self.lines {
            match requests.last_mut() {
                Some((account, body)) if *account == line.account && held < most => {
                    body.extend([&line.bytes[..], b"\n"].concat());
                    held += 1;
                }
                _ => {
                    requests.push((line.account, [&line.bytes[..], b"\n"].concat()));
                    held = 1;
                }
            }
        }
        requests
    }
}

/// What the simulation leaves out, of a call that is over.
fn follow_up(event: &Value) -> [Value; 2] {
    let call = &event["data"]["call_id"];
    let make = |kind: &str, data: Value| {
        json!({
            "specversion": "1.0", "id": format!("{kind}-{}", event["id"]), "source": "crm", "type": kind,
            "time": event["time"], "account": event["account"], "data": data,
        })
    };
    let segments = json!([{ "speaker": "agent", "start_seconds": 0.5, "text": "Good day" }]);
    [
        make("deal", json!({ "deal_id": call, "call_id": call, "stage": "won", "revenue": 12.5, "currency": "EUR" })),
        make("transcript", json!({ "call_id": call, "segments": segments, "language": "en" })),
    ]
}

/// Whether a request's events are in the log: refused ones are, too.
pub fn is_taken(answer: &(u16, String)) -> bool {
    serde_json::from_str::<Value>(&answer.1).is_ok_and(|body| body["taken"].is_u64() && body["refused"].is_u64())
}

/// Sends all of it; every request must be taken.
pub fn send(program: &Program, requests: &[(&'static str, Vec<u8>)]) {
    for (account, body) in requests {
        let answer = program.post(account, body);
        assert!(answer.as_ref().is_some_and(is_taken), "{answer:?}\n{}", program.said().join("\n"));
    }
}

/// The files in a folder, by name.
pub fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let mut files: Vec<PathBuf> = entries.unwrap_or_default();
    files.sort();
    files
}
