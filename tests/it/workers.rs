//! More than one machine: a coordinator and two workers, each a process of its own, over a lake that the real pipeline made,
//! held against a `query` without workers.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::program::{ACCOUNTS, Place, Program, key_of, until, until_now};

/// What only one machine says.
const SHARED: &str = "Workers: machines=";
/// What the coordinator says where workers failed a statement.
const AGAIN: &str = "workers did not answer a statement";
/// More rows than fit into what is on its way, made by all workers.
const PAIRS: &str = "page_views a JOIN page_views b ON left(a.event_id, 1) = left(b.event_id, 1) \
                     JOIN page_views c ON left(b.event_id, 2) = left(c.event_id, 2)";
const MONA: &str = "mona@acme";
const ANNA: &str = "anna@acme";
const GERD: &str = "gerd@globex";

fn password_of(user: &str) -> String {
    format!("password of {user}")
}

/// A lake of two accounts over three days, with logins, a secret and a key of pseudonyms.
fn place() -> Place {
    let place = Place::new();
    let accounts = ACCOUNTS.join(",");
    // Several days are several files, so that each worker has something to read.
    place.run(&[
        "simulate",
        "--seed",
        "5",
        "--days",
        "5",
        "--visits-per-day",
        "60",
        "--calls",
        "0.2",
        "--account",
        &accounts,
        "-o",
        "all.ndjson",
    ]);
    place.run(&["run", "--input", "all.ndjson"]);
    configure(&place);
    place
}

fn configure(place: &Place) {
    let folder = place.folder.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write("workers.secret", "the secret of all machines\n");
    write("mask.key", "the key of pseudonyms\n");
    let mut text = String::from(
        "[query]\nworkers_secret_file = \"workers.secret\"\nmask_key_file = \"mask.key\"\nworker_share_bytes = 1\n",
    );
    for account in ACCOUNTS {
        let logins: Vec<Value> = [(MONA, "manager"), (ANNA, "analyst"), (GERD, "manager")]
            .into_iter()
            .filter(|(user, _)| user.ends_with(account))
            .map(|(user, role)| login(place, user, role))
            .collect();
        write(&format!("{account}.json"), &json!({ "logins": logins }).to_string());
        text += &format!("[accounts.{account}]\nkeys = [\"{}\"]\nsettings = \"{account}.json\"\n", key_of(account));
    }
    write("callweave.toml", &text);
}

impl Place {
    /// Another configuration, with one name in place of another.
    fn config_with(&self, name: &str, other: &str) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("callweave.toml")).expect("the configuration");
        let path = self.folder.path().join(format!("{other}.toml"));
        std::fs::write(&path, text.replace(name, other)).expect("another");
        path.to_string_lossy().into_owned()
    }
}

fn login(place: &Place, user: &str, role: &str) -> Value {
    let name = user.split('@').next().expect("a name");
    let mut command = place.command(&["login", name, "--role", role]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
    writeln!(child.stdin.take().expect("its input"), "{}", password_of(user)).expect("the password");
    let output = child.wait_with_output().expect("its end");
    let mut login: Value = serde_json::from_slice(&output.stdout).expect("a login");
    // The engines of the tests are slow, and share two cores with other tests.
    login["seconds"] = json!(600);
    login
}

/// A worker at `address`, and where it is.
fn worker(place: &Place, address: &str) -> (Program, String) {
    let worker = Program::spawn_at(place, &["worker"], address);
    let line: Value = serde_json::from_str(&worker.says("taking parts of statements")).expect("a line");
    let url = format!("http://{}", line["worker"].as_str().expect("its address"));
    (worker, url)
}

fn tasks(worker: &Program) -> u64 {
    let metrics = worker.get("/metrics").unwrap_or_default();
    let line = metrics.lines().find_map(|line| line.strip_prefix("callweave_worker_tasks_total "));
    line.and_then(|count| count.trim().parse::<f64>().ok()).unwrap_or(0.0) as u64
}

/// `query` on free ports.
struct Query {
    program: Program,
    url: String,
}

impl Query {
    fn start(place: &Place, arguments: &[&str]) -> Query {
        let program = Program::spawn(place, &[&["query", "--postgres", "off", "--flight", "off"], arguments].concat());
        program.says("answering over http");
        let url = format!("http://{}/v1/sql", program.collect());
        Query { program, url }
    }

    /// With both workers.
    fn over(place: &Place, workers: &[&str]) -> Query {
        let query = Query::start(place, &["--workers", &workers.join(",")]);
        for worker in workers {
            query.says_of("worker is there", worker);
        }
        query
    }

    /// Waits until it says this of a worker.
    fn says_of(&self, text: &str, worker: &str) {
        until(&format!("{text} of {worker}"), || self.said_of(text, worker).gt(&0).then_some(()));
    }

    fn said_of(&self, text: &str, worker: &str) -> usize {
        let said = self.program.said();
        said.iter().filter(|line| line.contains(text) && line.contains(worker)).count()
    }

    fn ask(&self, user: &str, sql: &str) -> (u16, String) {
        let mut answer = self.send(user, sql);
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_else(|error| format!("broke: {error}")))
    }

    fn send(&self, user: &str, sql: &str) -> ureq::http::Response<ureq::Body> {
        use base64::Engine;
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password_of(user)));
        let body = json!({ "sql": sql, "max_rows": 100_000_000 }).to_string();
        let request = self.program.agent.post(&self.url).header("authorization", format!("Basic {login}"));
        let request = request.header("content-type", "application/json").header("accept", "application/x-ndjson");
        request.send(body).expect("an answer")
    }

    /// Rows that must be there, as text.
    fn rows(&self, user: &str, sql: &str) -> Vec<String> {
        let (status, body) = self.ask(user, sql);
        assert_eq!(status, 200, "{sql}: {body}\n{}", self.program.said().join("\n"));
        body.lines().map(str::to_owned).collect()
    }

    fn is_shared(&self, user: &str, sql: &str) -> bool {
        self.rows(user, &format!("EXPLAIN {sql}")).iter().any(|row| row.contains(SHARED))
    }

    fn failed_over(&self) -> usize {
        self.program.said().iter().filter(|line| line.contains(AGAIN)).count()
    }
}

#[test]
fn who_asks_before_anything_was_written_finds_empty_tables() {
    let place = Place::new();
    configure(&place);
    let query = Query::start(&place, &[]);
    query.program.says("there is no lake at");
    let counted = || query.rows(MONA, "SELECT count(*) AS n FROM calls");
    assert_eq!(counted(), [r#"{"n":0}"#]);
    assert_eq!(query.program.get("/readyz").as_deref(), Some("ok\n"));
    assert!(query.program.get("/metrics").is_some_and(|told| told.contains("callweave_query_")), "no metrics");
    place.run(&["simulate", "--visits", "50", "--calls", "1", "--account", "acme", "-o", "some.ndjson"]);
    place.run(&["run", "--input", "some.ndjson"]);
    assert_ne!(counted(), [r#"{"n":0}"#]);
}

/// The same rows: in any order where none was asked for, and sums of fractions to a billionth, since machines add them up in
/// another order.
fn check_same(sql: &str, mut expected: Vec<String>, mut found: Vec<String>) {
    assert_eq!(expected.len(), found.len(), "{sql}");
    expected.sort();
    found.sort();
    for (expected, found) in expected.iter().zip(&found) {
        let (one, other): (Value, Value) =
            (serde_json::from_str(expected).expect("a row"), serde_json::from_str(found).expect("a row"));
        assert!(is_same(&one, &other), "{sql}\n  one machine: {expected}\n  workers:     {found}");
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
            _ => a == b,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_same(a, b)))
        }
        _ => one == other,
    }
}

/// Every report, every mart, every table.
fn statements(place: &Place) -> BTreeMap<String, String> {
    let list = place.run(&["report", "--format", "ndjson"]);
    let names = list.lines().filter_map(|line| {
        let row: Value = serde_json::from_str(line).ok()?;
        row["report"].as_str().map(str::to_owned)
    });
    let mut statements: BTreeMap<String, String> = names
        .filter(|name| name != "checks")
        .map(|name| (format!("report {name}"), place.run(&["report", &name, "--sql"])))
        .collect();
    for mart in ["calls", "sessions", "numbers"] {
        statements.insert(format!("mart {mart}"), format!("SELECT * FROM marts.{mart}"));
    }
    for table in ["calls", "sessions", "leases", "page_views", "history.calls", "call_candidates"] {
        statements.insert(format!("table {table}"), format!("SELECT * FROM {table}"));
    }
    let more = [
        ("a scalar subquery", "SELECT count(*) AS n FROM sessions WHERE pages > (SELECT avg(pages) FROM sessions)"),
        (
            "a function of ours",
            "SELECT removal_effects(array_agg(named_struct('a', '(start)', 'b', source, 'c', 1.0))) AS r FROM sessions WHERE source = 'google'",
        ),
        (
            "two days",
            "SELECT date, count(*) AS n FROM page_views WHERE date BETWEEN DATE '2026-11-03' AND DATE '2026-11-04' GROUP BY date",
        ),
        ("nobody", "SELECT count(*) AS n FROM calls WHERE account = 'nobody'"),
        (
            "spans",
            "SELECT source, count(*) AS n FROM sessions WHERE ended_at - started_at < INTERVAL '1 day' GROUP BY source",
        ),
        (
            "a join and a window",
            "SELECT c.call_id, row_number() OVER (PARTITION BY s.source ORDER BY c.started_at, c.call_id) AS n FROM calls c JOIN sessions s USING (session_id)",
        ),
        (
            "a union",
            "SELECT 'call' AS kind, count(*) AS n FROM calls UNION ALL SELECT 'session', count(*) FROM sessions",
        ),
    ];
    statements.extend(more.map(|(name, sql)| (name.to_owned(), sql.to_owned())));
    statements
}

#[test]
fn three_processes_answer_like_one() {
    let place = place();
    let (first, first_url) = worker(&place, "127.0.0.1:0");
    let (second, second_url) = worker(&place, "127.0.0.1:0");
    let alone = Query::start(&place, &[]);
    let query = Query::over(&place, &[&first_url, &second_url]);
    let statements = statements(&place);
    let mut shared = 0;
    for (name, sql) in &statements {
        // Whom people are hidden from sees other rows, not other reports.
        let users = if name.starts_with("report") { &[MONA][..] } else { &[MONA, ANNA] };
        for user in users {
            let (status, expected) = alone.ask(user, sql);
            assert_eq!(status, 200, "{name}: {expected}");
            check_same(name, expected.lines().map(str::to_owned).collect(), query.rows(user, sql));
        }
        shared += usize::from(query.is_shared(MONA, sql));
    }
    assert!(shared * 10 >= statements.len() * 8, "only {shared} of {} statements were shared", statements.len());
    assert_eq!(query.failed_over(), 0, "{}", query.program.said().join("\n"));
    for worker in [&first, &second] {
        assert!(tasks(worker) as usize >= shared, "a worker did {} parts of {shared} statements", tasks(worker));
    }
    assert!(!alone.is_shared(MONA, "SELECT count(*) AS n FROM sessions"));
    // Rows and people are hidden on the workers, too.
    let whose = "SELECT account, count(*) AS n FROM page_views GROUP BY account";
    let rows = query.rows(GERD, whose);
    assert!(rows.len() == 1 && rows[0].contains("globex"), "{rows:?}");
    assert!(query.is_shared(GERD, whose));
    let callers = query.rows(ANNA, "SELECT DISTINCT caller FROM history.calls WHERE caller <> 'anonymous'");
    assert!(!callers.is_empty() && callers.iter().all(|row| row.contains("person-")), "{callers:?}");
    let (status, said) = query.ask(MONA, "SELECT 1 / (pages - pages) AS n FROM sessions");
    assert_eq!((status, &said), (alone.ask(MONA, "SELECT 1 / (pages - pages) AS n FROM sessions").0, &said), "{said}");
    assert!(!said.contains("127.0.0.1"), "{said}");
}

#[test]
fn a_worker_that_dies_changes_no_answer() {
    let place = place();
    let mut workers: Vec<(Program, String)> = (0..3).map(|_| worker(&place, "127.0.0.1:0")).collect();
    let urls: Vec<String> = workers.iter().map(|(_, url)| url.clone()).collect();
    let query = Query::over(&place, &urls.iter().map(String::as_str).collect::<Vec<_>>());
    let sql = "SELECT source, count(*) AS n, sum(pages) AS pages FROM sessions GROUP BY source";
    let expected = query.rows(MONA, sql);
    assert!(expected.len() > 1 && query.failed_over() == 0);

    // In the middle of a statement, before its first row: the others answer.
    let slow = format!("SELECT count(*) AS n FROM {PAIRS} WHERE a.event_id || b.event_id || c.event_id LIKE '%77%77%'");
    let before = tasks(&workers[0].0);
    let right = std::thread::scope(|scope| {
        let asked = scope.spawn(|| query.rows(MONA, &slow));
        until_now("the worker works", || (tasks(&workers[0].0) > before).then_some(()));
        workers[0].0.kill();
        asked.join().expect("an answer")
    });
    query.says_of("worker is left out", &urls[0]);
    assert!(query.failed_over() > 0, "{}", query.program.said().join("\n"));
    assert_eq!(right, query.rows(MONA, &slow), "the answer differs when a worker dies meanwhile");

    // Between two statements: nobody may have found out yet. One that is left is no help.
    workers[1].0.kill();
    check_same(sql, expected.clone(), query.rows(MONA, sql));
    query.says_of("worker is left out", &urls[1]);
    assert!(!query.is_shared(MONA, sql));
    check_same(sql, expected.clone(), query.rows(MONA, sql));

    // One that comes back works again.
    let seen = query.said_of("worker is there", &urls[0]);
    workers[0] = worker(&place, urls[0].trim_start_matches("http://"));
    until("the worker is there again", || (query.said_of("worker is there", &urls[0]) > seen).then_some(()));
    check_same(sql, expected.clone(), query.rows(MONA, sql));
    assert!(tasks(&workers[0].0) > 0 && query.is_shared(MONA, sql));

    after_the_first_row(&query, &mut workers);
    check_same(sql, expected, query.rows(MONA, sql));
    assert!(query.program.said().iter().all(|line| !line.contains("the secret of all machines")));
}

/// There is no second try but the asker's.
fn after_the_first_row(query: &Query, workers: &mut [(Program, String)]) {
    let long = format!("SELECT a.event_id AS a, b.event_id AS b, c.event_id AS c FROM {PAIRS}");
    let mut answer = query.send(MONA, &long);
    let mut body = answer.body_mut().as_reader();
    let mut some = vec![0; 1 << 20];
    body.read_exact(&mut some).expect("its first rows");
    workers.iter_mut().for_each(|(worker, _)| worker.kill());
    let mut rest = 0;
    let end = loop {
        match body.read(&mut some) {
            Ok(0) => break "as if it was whole",
            Ok(read) => rest += read,
            Err(_) => break "in an error",
        }
    };
    let said = query.program.said().join("\n");
    assert_eq!(end, "in an error", "after {rest} bytes more\n{said}");
    // The answer breaks off before the message of why is written.
    query.program.says("workers went away in the middle of an answer");
}

#[test]
fn a_worker_takes_nothing_from_strangers() {
    let place = place();
    // Open to others, and no secret.
    std::fs::write(place.folder.path().join("open.toml"), "").expect("a file");
    let mut open =
        place.command(&["worker", "--config", "open.toml", "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0"]);
    let output = open.output().expect("the binary");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("query.workers_secret_file"), "{said}");

    // Another secret: it is told, and the coordinator answers alone.
    let workers = [worker(&place, "127.0.0.1:0"), worker(&place, "127.0.0.1:0")];
    let done = || workers.iter().map(|(worker, _)| tasks(worker)).sum::<u64>();
    let urls = [&*workers[0].1, &*workers[1].1];
    let both = urls.join(",");
    let sql = "SELECT DISTINCT caller FROM history.calls";
    let expected = Query::start(&place, &[]).rows(ANNA, sql);
    std::fs::write(place.folder.path().join("other.secret"), "another secret than theirs").expect("a file");
    let query =
        Query::start(&place, &["--workers", &both, "--config", &place.config_with("workers.secret", "other.secret")]);
    query.program.says("the secret is not this worker's");
    check_same(sql, expected.clone(), query.rows(ANNA, sql));
    assert!(done() == 0 && !query.is_shared(ANNA, sql));

    // Another key of pseudonyms: names would not be the same everywhere.
    std::fs::write(place.folder.path().join("other.key"), "another key of pseudonyms").expect("a file");
    let other = place.config_with("mask.key", "other.key");
    let expected = Query::start(&place, &["--config", &other]).rows(ANNA, sql);
    let query = Query::start(&place, &["--workers", &both, "--config", &other]);
    urls.iter().for_each(|url| query.says_of("worker is there", url));
    assert!(query.is_shared(ANNA, sql));
    check_same(sql, expected, query.rows(ANNA, sql));
    assert_eq!(query.failed_over(), 1);
    query.program.says("query.mask_key_file");
    // Nothing is hidden from a manager, so nothing depends on the key.
    query.rows(MONA, sql);
    assert_eq!(query.failed_over(), 1);
    assert!(done() > 0);
}
