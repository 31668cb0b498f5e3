//! Thousands of visitors at several desks at once, desks that crash and begin anew, a server that is killed; and then the
//! log is read, and proves that no line was held by two sessions at one time, and that it has every answer that was given.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use callweave::lease::{Ask, Desk, How, LeaseError, Shown};
use callweave::log::nats::{NatsLog, NatsOptions};
use callweave::log::{Retention, SharedLog};
use callweave_core::settings::{OnExhausted, Rules};
use callweave_core::time::{MICROS_PER_MINUTE, Time};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::lease::{ACCOUNT, at, desk, events, held_of, rules};
use crate::log::{PARTITIONS, embedded, jetstream};
use crate::nats::NatsServer;

const DESKS: usize = 5;
const VISITORS: usize = 2_400;
/// Those who are on the site at one time.
const AT_ONCE: usize = 150;
const COOLDOWN: i64 = MICROS_PER_MINUTE / 2;
const PATIENCE: Duration = Duration::from_secs(400);

struct Answer {
    visitor: String,
    session: String,
    shown: Shown,
    now: Time,
}

struct Storm {
    desks: Vec<RwLock<Arc<Desk>>>,
    rules: Arc<Rules>,
    /// Goes on with every look at it.
    clock: AtomicI64,
    answers: Mutex<Vec<Answer>>,
    failures: Mutex<Vec<LeaseError>>,
}

impl Storm {
    fn new(log: &SharedLog, rules: Arc<Rules>) -> Arc<Storm> {
        let desks = (0..DESKS).map(|_| RwLock::new(desk(log))).collect();
        let clock = AtomicI64::new(at(0).0);
        Arc::new(Storm { desks, rules, clock, answers: Mutex::default(), failures: Mutex::default() })
    }

    fn desk(&self, at: usize) -> Arc<Desk> {
        self.desks[at].read().expect("a desk").clone()
    }

    /// Its process dies: what it knew is gone, and whoever waits for it gets no answer.
    fn crash(&self, log: &SharedLog, at: usize) {
        *self.desks[at].write().expect("a desk") = desk(log);
    }

    /// A few looks at the site, at whatever desk the load balancer picks.
    async fn visit(self: Arc<Storm>, visitor: usize) {
        let mut random = StdRng::seed_from_u64(visitor as u64);
        let visitor = format!("v{visitor}");
        let (mut held, mut session) = (None, 0);
        for _ in 0..random.random_range(1..6) {
            let desk = self.desk(random.random_range(0..DESKS));
            let now = Time(self.clock.fetch_add(random.random_range(0..200_000), Ordering::Relaxed));
            session += i32::from(random.random_bool(0.1));
            let session_id = format!("{visitor}-{session}");
            let told = held.as_ref().filter(|_| random.random_bool(0.8));
            let ask = Ask {
                account: ACCOUNT,
                rules: &self.rules,
                pool: "main",
                visitor_id: &visitor,
                session_id: Some(&session_id),
                held: told.and_then(held_of),
                now,
            };
            match desk.number(ask).await {
                Ok(shown) => {
                    let answer = Answer { visitor: visitor.clone(), session: session_id, shown: shown.clone(), now };
                    self.answers.lock().expect("answers").push(answer);
                    held = Some(shown);
                }
                Err(error) => self.failures.lock().expect("failures").push(error),
            }
            tokio::task::yield_now().await;
        }
    }

    /// All visitors, some at a time. `between` is called now and then with how many have come.
    async fn rage(self: &Arc<Storm>, mut between: impl FnMut(usize, &mut JoinSet<()>)) {
        let mut on_site = JoinSet::new();
        for visitor in 0..VISITORS {
            on_site.spawn(self.clone().visit(visitor));
            while on_site.len() >= AT_ONCE {
                on_site.join_next().await;
            }
            if visitor % 100 == 99 {
                between(visitor, &mut on_site);
            }
        }
        while on_site.join_next().await.is_some() {}
    }
}

/// A lease by what the log says.
struct Lease {
    line: (String, Option<String>),
    visitor: String,
    session: String,
    from: Time,
    until: Time,
    /// Every end that was told.
    told: Vec<Time>,
    shared: bool,
}

fn time(value: &Value) -> Time {
    Time::parse(value.as_str().expect("a time")).expect("a time")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Reads the log, and holds each line's leases against each other.
fn leases(events: &[(u64, Time, String, Value)], sharing: bool) -> HashMap<String, Lease> {
    let mut leases: HashMap<String, Lease> = HashMap::new();
    let mut lines: HashMap<(String, Option<String>), Vec<String>> = HashMap::new();
    for (sequence, now, kind, data) in events {
        let id = data["lease_id"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "lease_granted" => {
                let line = (text(&data["number"]), data["extension"].as_str().map(str::to_owned));
                let visitor = text(&data["visitor_id"]);
                let shared = data["holders"].as_array().is_some_and(|holders| holders.len() > 1);
                assert!(sharing || !shared, "entry {sequence} shares {line:?}");
                let before = lines.entry(line.clone()).or_default();
                for lease in before.iter().map(|id| &leases[id]).filter(|_| !shared) {
                    let rest = if lease.visitor == visitor { 0 } else { COOLDOWN };
                    assert!(
                        lease.until.plus(rest) <= *now,
                        "entry {sequence}: {line:?} goes to {visitor} at {now}, and {} has it until {}",
                        lease.visitor,
                        lease.until
                    );
                }
                before.push(id.clone());
                let until = time(&data["expires_at"]);
                let session = text(&data["session_id"]);
                let lease = Lease { line, visitor, session, from: *now, until, told: vec![until], shared };
                assert!(leases.insert(id, lease).is_none(), "a lease is granted once");
            }
            "lease_renewed" => {
                let lease = leases.get_mut(&id).expect("a lease that was granted");
                assert!(lease.from <= *now && *now < lease.until, "entry {sequence}: only an active lease is renewed");
                lease.until = time(&data["expires_at"]);
                lease.told.push(lease.until);
            }
            "lease_released" => leases.get_mut(&id).expect("a lease that was granted").until = *now,
            "pool_exhausted" => {}
            other => panic!("{other}"),
        }
    }
    leases
}

/// What the storm's visitors were told is what the log says.
async fn prove(storm: &Storm, log: &SharedLog) -> HashMap<&'static str, usize> {
    let events = events(log).await;
    let sharing = storm.rules.pool("main").is_some_and(|pool| pool.on_exhausted == OnExhausted::Share);
    let leases = leases(&events, sharing);
    let mut counts: HashMap<&'static str, usize> = HashMap::new();
    for Answer { visitor, session, shown, now } in storm.answers.lock().expect("answers").iter() {
        *counts.entry(shown.how.name()).or_default() += 1;
        let Some(id) = &shown.lease_id else {
            assert_eq!(shown.how, How::Overflow);
            continue;
        };
        let lease = leases.get(id).unwrap_or_else(|| panic!("{id} was told to {visitor}, and is not in the log"));
        assert_eq!(lease.line, (shown.number.to_string(), shown.extension.clone()));
        assert_eq!((&lease.visitor, &lease.session), (visitor, session));
        assert!(lease.from <= *now);
        let expires_at = shown.expires_at.expect("a lease ends");
        assert!(lease.told.contains(&expires_at) && expires_at > *now, "{id} until {expires_at}");
        assert_eq!(shown.how == How::Shared, lease.shared && shown.how != How::Kept);
    }
    counts.insert("leases in the log", leases.len());
    counts.insert("events", events.len());
    counts
}

async fn storm(log: SharedLog, rules: Arc<Rules>) {
    let storm = Storm::new(&log, rules);
    let mut random = StdRng::seed_from_u64(1);
    let mut crashes = 0;
    let work = storm.rage(|come, on_site| {
        storm.crash(&log, random.random_range(0..DESKS));
        crashes += 1;
        // Of those who are under way most lose their collector in the middle of whatever it does.
        if come % 400 == 399 {
            on_site.abort_all();
        }
    });
    tokio::time::timeout(PATIENCE, work).await.expect("in time");
    let counts = prove(&storm, &log).await;
    println!("{crashes} crashes; {counts:?}; failures {:?}", storm.failures.lock().expect("failures").len());
    assert!(storm.failures.lock().expect("failures").is_empty(), "{:?}", storm.failures);
    for how in ["leased", "kept"] {
        assert!(counts[how] > 300, "{counts:?}");
    }
    assert!(counts.contains_key("overflow") || counts.contains_key("shared"), "{counts:?}");
}

/// Times that are short beside a visit, so that lines come round several times.
fn pool(numbers: usize, more: Value) -> Arc<Rules> {
    let mut pool = json!({"hold_minutes": 1, "cooldown_minutes": 0.5});
    if let (Some(pool), Value::Object(more)) = (pool.as_object_mut(), more) {
        pool.extend(more);
    }
    rules(numbers, pool)
}

fn numbers() -> Arc<Rules> {
    pool(300, json!({"overflow_number": "+14155559999"}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_is_held_by_two_on_the_embedded_log() {
    let (log, _ground) = embedded(Retention::default()).await;
    storm(log, numbers()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_is_held_by_two_on_jetstream() {
    let (log, _ground) = jetstream(Retention::default()).await;
    storm(log, numbers()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_and_sharing_go_through_a_storm_too() {
    let (log, _ground) = embedded(Retention::default()).await;
    storm(log, pool(3, json!({"extensions": 2, "on_exhausted": "share"}))).await;
}

/// The server is killed with appends under way, and comes back: nobody was told of a lease that it lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_takes_no_lease_along() {
    let server = Arc::new(Mutex::new(NatsServer::start()));
    let options = || {
        let server = server.lock().expect("a server");
        NatsOptions {
            partitions: Some(PARTITIONS),
            ack_timeout: Duration::from_millis(500),
            append_timeout: Duration::from_secs(2),
            ..NatsOptions::new(server.url())
        }
    };
    let log: SharedLog = Arc::new(NatsLog::connect(options()).await.expect("a log"));
    let storm = Storm::new(&log, numbers());
    let work = storm.rage(|come, _| {
        if come == 799 || come == 1599 {
            server.lock().expect("a server").restart();
        }
        storm.crash(&log, come % DESKS);
    });
    tokio::time::timeout(PATIENCE, work).await.expect("in time");
    // Read by a connection that saw nothing of it.
    let fresh: SharedLog = Arc::new(NatsLog::connect(options()).await.expect("a log"));
    let counts = prove(&storm, &fresh).await;
    println!("{counts:?}; failures {}", storm.failures.lock().expect("failures").len());
    assert!(counts["leased"] > 100, "{counts:?}");
}
