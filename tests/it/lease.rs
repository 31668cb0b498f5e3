//! The desk against both logs: who gets which number, and what stands in the log then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use callweave::lease::{Ask, Desk, Held, How, LeaseError, Shown};
use callweave::log::frame::Record;
use callweave::log::{
    Append, AppendError, Appended, Entries, Entry, Log, ReadError, Retention, SharedLog, Subject, TrimError,
    partition_of,
};
use callweave::telemetry::metrics::Metrics;
use callweave_core::event::{Body, decode};
use callweave_core::phone::Phone;
use callweave_core::settings::Rules;
use callweave_core::time::{MICROS_PER_MINUTE, MICROS_PER_SECOND, Time};
use serde_json::{Value, json};

use crate::log::{PARTITIONS, PATIENCE, embedded, jetstream, on_both, take};

pub const ACCOUNT: &str = "acme";

/// Minutes of a day.
pub fn at(minute: i64) -> Time {
    Time::parse("2026-11-20T00:00:00Z").expect("a time").plus(minute * MICROS_PER_MINUTE)
}

/// A pool of so many numbers, with what else is said of it. Hold and cooldown are 30 and 10 minutes.
pub fn rules(numbers: usize, more: Value) -> Arc<Rules> {
    let mut pool = json!({"name": "main", "hold_minutes": 30, "cooldown_minutes": 10});
    if let (Some(pool), Value::Object(more)) = (pool.as_object_mut(), more) {
        pool.extend(more);
    }
    let mut listed: Vec<Value> =
        (0..numbers).map(|n| json!({"number": format!("+1415555{n:04}"), "kind": "pool", "pool": "main"})).collect();
    listed.push(json!({"number": "+14155559999", "kind": "overflow"}));
    let settings = json!({"numbers": listed, "pools": [pool, {"name": "empty", "on_exhausted": "share"}]});
    Arc::new(Rules::new(serde_json::from_value(settings).expect("settings")))
}

/// The machine is busy: nobody here is to be turned away for that.
pub fn desk(log: &SharedLog) -> Arc<Desk> {
    Desk::with_patience(log.clone(), Metrics::new(), PATIENCE)
}

async fn ask(
    desk: &Desk,
    rules: &Arc<Rules>,
    visitor: &str,
    session: Option<&str>,
    held: Option<&Shown>,
    now: Time,
) -> Result<Shown, LeaseError> {
    let held = held.and_then(held_of);
    let (account, pool) = (ACCOUNT, "main");
    desk.number(Ask { account, rules, pool, visitor_id: visitor, session_id: session, held, now }).await
}

pub fn held_of(shown: &Shown) -> Option<Held<'_>> {
    let lease_id = shown.lease_id.as_deref()?;
    Some(Held { lease_id, number: shown.number, extension: shown.extension.as_deref() })
}

/// The types of all events in the account's partition, in order, each with its data.
pub async fn events(log: &SharedLog) -> Vec<(u64, Time, String, Value)> {
    let partition = partition_of(ACCOUNT, log.partitions());
    let first = log.first_sequence(partition).await.expect("a sequence");
    let last = log.last_sequence(partition).await.expect("a sequence");
    let mut events = Vec::new();
    let count = (last + 1).saturating_sub(first) as usize;
    for entry in take(&mut log.read(partition, first - 1), first - 1, count).await {
        for record in entry.records() {
            let Ok(Record::Event { bytes, received, origin }) = record else { panic!("{record:?}") };
            let event = decode(bytes, Some(received)).unwrap_or_else(|error| panic!("{error:?}"));
            assert_eq!((event.account.as_str(), origin), (ACCOUNT, "lease"));
            let json: Value = serde_json::from_slice(bytes).expect("JSON");
            let kind = event.body.type_name().to_owned();
            events.push((entry.sequence, event.time, kind, json["data"].clone()));
        }
    }
    events
}

async fn kinds(log: &SharedLog) -> Vec<String> {
    events(log).await.into_iter().map(|(_, _, kind, _)| kind).collect()
}

async fn last_sequence(log: &SharedLog) -> u64 {
    log.last_sequence(partition_of(ACCOUNT, PARTITIONS)).await.expect("a sequence")
}

on_both! {
    async fn a_visitor_keeps_their_number_at_every_desk(log: SharedLog) {
        let (one, two, rules) = (desk(&log), desk(&log), rules(5, json!({})));
        let first = ask(&one, &rules, "ann", Some("s1"), None, at(0)).await.expect("a number");
        assert_eq!((first.how, first.expires_at), (How::Leased, Some(at(30))));
        // Nothing is appended for a lease that has nine tenths of its time.
        let kept = Shown { how: How::Kept, ..first.clone() };
        for desk in [&one, &two] {
            assert_eq!(ask(desk, &rules, "ann", Some("s1"), Some(&first), at(3)).await.as_ref(), Ok(&kept));
        }
        assert_eq!(ask(&one, &rules, "ann", None, None, at(3)).await.as_ref(), Ok(&kept), "the browser forgot");
        assert_eq!(kinds(&log).await, ["lease_granted"]);
        // A sign of life at another desk renews it, and the first desk learns so from the log.
        let renewed = Shown { expires_at: Some(at(40)), ..kept.clone() };
        assert_eq!(ask(&two, &rules, "ann", Some("s1"), Some(&first), at(10)).await.as_ref(), Ok(&renewed));
        let again = ask(&one, &rules, "ann", Some("s1"), Some(&first), at(10)).await;
        assert_eq!(again.as_ref(), Ok(&renewed));
        assert_eq!(kinds(&log).await, ["lease_granted", "lease_renewed"]);
        // A new session gets a lease of its own on the same number.
        let second = ask(&one, &rules, "ann", Some("s2"), Some(&first), at(12)).await.expect("a number");
        assert_eq!((second.number, second.how, second.expires_at), (first.number, How::Kept, Some(at(42))));
        assert_ne!(second.lease_id, first.lease_id);
        assert_eq!(kinds(&log).await[2..], ["lease_released", "lease_granted"]);
        // What a browser says is believed only where the log says so.
        let bob = ask(&two, &rules, "bob", None, Some(&second), at(12)).await.expect("a number");
        assert_eq!(bob.how, How::Leased);
        assert_ne!(bob.number, first.number);
        let made_up = Shown { number: Phone(14_155_559_999), ..second.clone() };
        let cec = ask(&two, &rules, "cec", None, Some(&made_up), at(12)).await.expect("a number");
        assert_eq!(cec.how, How::Leased);
        // Long after, nobody else had it.
        let third = ask(&two, &rules, "ann", Some("s3"), Some(&second), at(500)).await.expect("a number");
        assert_eq!((third.number, third.how), (first.number, How::Kept));
    }

    async fn the_browsers_line_goes_before_the_desks_own(log: SharedLog) {
        let (one, two, rules) = (desk(&log), desk(&log), rules(40, json!({})));
        ask(&two, &rules, "bob", None, None, at(0)).await.expect("a number");
        // The second desk knows nothing of her, nor does her browser: she gets another number, unless it tries the very one that
        // she has, and then it learns so.
        let mut visitors = ["ann", "cec", "dan", "eve", "fay", "gus"].into_iter();
        let (her, first) = loop {
            let her = visitors.next().expect("the desks do not meet on one line of forty each time");
            let first = ask(&one, &rules, her, None, None, at(0)).await.expect("a number");
            let other = ask(&two, &rules, her, None, None, at(1)).await.expect("a number");
            if other.number != first.number {
                break (her, first);
            }
            assert_eq!((other.how, other.lease_id), (How::Kept, first.lease_id));
        };
        ask(&one, &rules, her, None, Some(&first), at(20)).await.expect("a number");
        for minute in [21, 36] {
            let kept = ask(&two, &rules, her, None, Some(&first), at(minute)).await.expect("a number");
            assert_eq!((kept.how, kept.lease_id), (How::Kept, first.lease_id.clone()), "at minute {minute}");
        }
    }

    async fn every_event_tells_the_whole_line(log: SharedLog) {
        let (desk, rules) = (desk(&log), rules(1, json!({"on_exhausted": "share"})));
        let ann = ask(&desk, &rules, "ann", Some("s1"), None, at(0)).await.expect("a number");
        let bob = ask(&desk, &rules, "bob", None, None, at(1)).await.expect("a number");
        assert_eq!((bob.how, bob.number), (How::Shared, ann.number));
        let events = events(&log).await;
        let granted: Vec<&Value> =
            events.iter().filter(|(_, _, kind, _)| kind == "lease_granted").map(|(_, _, _, data)| data).collect();
        assert_eq!(granted[0]["session_id"], "s1");
        let holders = |data: &Value| {
            let holders = data["holders"].as_array().expect("holders").clone();
            holders.into_iter().map(|holder| holder["visitor_id"].as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(holders(granted[0]), [Some("ann".to_owned())]);
        assert_eq!(holders(granted[1]), [Some("ann".to_owned()), Some("bob".to_owned())]);
        // A desk that begins now knows both.
        let new = super::desk(&log);
        for (visitor, shown) in [("ann", &ann), ("bob", &bob)] {
            let kept = ask(&new, &rules, visitor, None, Some(shown), at(2)).await.expect("a number");
            assert_eq!((kept.how, &kept.lease_id), (How::Kept, &shown.lease_id));
        }
    }

    async fn a_pool_without_free_lines(log: SharedLog) {
        let desk = desk(&log);
        let overflow = rules(2, json!({"overflow_number": "+14155559999"}));
        for visitor in ["ann", "bob"] {
            assert_eq!(ask(&desk, &overflow, visitor, None, None, at(0)).await.expect("a number").how, How::Leased);
        }
        for minutes in [0, 0, 1] {
            let shown = ask(&desk, &overflow, "cec", None, None, at(minutes)).await.expect("a number");
            let expected = Shown {
                number: Phone(14_155_559_999), extension: None, lease_id: None, expires_at: None, how: How::Overflow,
            };
            assert_eq!(shown, expected);
        }
        let told: Vec<Value> =
            events(&log).await.into_iter().filter(|(_, _, kind, _)| kind == "pool_exhausted").map(|it| it.3).collect();
        let expected = json!({"pool": "main", "size": 2, "held": 2, "on_exhausted": "overflow"});
        assert_eq!(told, [expected.clone(), expected], "once a minute");
        // Without an overflow number the page shows its own; without any number as well.
        let none = ask(&desk, &rules(2, json!({})), "cec", None, None, at(2)).await;
        assert_eq!(none, Err(LeaseError::Exhausted { pool: "main".into(), lines: 2 }));
        let of = |pool| Ask {
            account: ACCOUNT, rules: &overflow, pool, visitor_id: "cec", session_id: None, held: None, now: at(2),
        };
        assert_eq!(desk.number(of("empty")).await, Err(LeaseError::NoLines("empty".into())));
        assert_eq!(desk.number(of("other")).await, Err(LeaseError::NoSuchPool("other".into())));
        // Another desk released a line, and this one finds out when it needs one.
        let ann = ask(&desk, &overflow, "ann", None, None, at(2)).await.expect("a number");
        let other = super::desk(&log);
        ask(&other, &overflow, "bob", None, None, at(2)).await.expect("a number");
        let held = held_of(&ann).expect("a lease");
        assert_eq!(other.release(ACCOUNT, Held { lease_id: "another", ..held }, at(3)).await, Ok(false));
        assert_eq!(other.release("else", held, at(3)).await, Ok(false), "not of another account");
        assert_eq!(other.release(ACCOUNT, held, at(3)).await, Ok(true));
        assert_eq!(other.release(ACCOUNT, held, at(3)).await, Ok(false), "it is over");
        let cec = ask(&desk, &overflow, "cec", None, None, at(12)).await.expect("a number");
        assert_eq!(cec.how, How::Overflow, "it rests");
        let cec = ask(&desk, &overflow, "cec", None, None, at(13)).await.expect("a number");
        assert_eq!((cec.how, cec.number), (How::Leased, ann.number));
    }

    async fn lines_come_and_go_with_the_settings(log: SharedLog) {
        let desk = desk(&log);
        let (one, three) = (rules(1, json!({})), rules(3, json!({})));
        let ann = ask(&desk, &one, "ann", None, None, at(0)).await.expect("a number");
        assert!(ask(&desk, &one, "bob", None, None, at(0)).await.is_err());
        let bob = ask(&desk, &three, "bob", None, None, at(0)).await.expect("a number");
        assert_ne!(bob.number, ann.number);
        assert_eq!(ask(&desk, &three, "ann", None, None, at(0)).await.expect("a number").lease_id, ann.lease_id);
        // Bob's number is the account's no more, so he has none.
        assert!(ask(&desk, &one, "bob", None, Some(&bob), at(0)).await.is_err());
        assert_eq!(ask(&desk, &one, "ann", None, None, at(0)).await.expect("a number").lease_id, ann.lease_id);
        // It comes back, and what stands in the log of it counts.
        let again = ask(&desk, &three, "bob", None, Some(&bob), at(1)).await.expect("a number");
        assert_eq!((again.how, again.lease_id), (How::Kept, bob.lease_id));
    }

    async fn extensions_are_lines_of_their_own(log: SharedLog) {
        let (one, two) = (desk(&log), desk(&log));
        let rules = rules(2, json!({"extensions": 2}));
        let mut seen = std::collections::BTreeSet::new();
        for visitor in 0..180 {
            let desk = if visitor % 3 == 0 { &one } else { &two };
            let shown = ask(desk, &rules, &format!("v{visitor}"), Some("s"), None, at(0)).await.expect("a number");
            let code = shown.extension.clone().expect("a code");
            assert!(code.len() == 2 && !code.starts_with('0'), "{code}");
            assert!(seen.insert((shown.number, code)), "{shown:?} is held by two");
        }
        assert_eq!(
            ask(&one, &rules, "one too many", None, None, at(0)).await,
            Err(LeaseError::Exhausted { pool: "main".into(), lines: 180 })
        );
        // A third desk finds a visitor's code by what the browser remembers, be it among the first that it read or not.
        let four = super::rules(2, json!({"extensions": 4}));
        let (third, mut last) = (super::desk(&log), None);
        for visitor in 0..530 {
            let shown = ask(&one, &four, &format!("w{visitor}"), Some("s"), None, at(0)).await.expect("a number");
            assert_eq!(shown.how, How::Leased);
            last = Some((format!("w{visitor}"), shown));
        }
        let (visitor, shown) = last.expect("a visitor");
        let kept = ask(&third, &four, &visitor, Some("s"), Some(&shown), at(1)).await.expect("a number");
        assert_eq!((kept.how, kept.lease_id), (How::Kept, shown.lease_id));
        let new = ask(&third, &four, "x", Some("s"), None, at(1)).await.expect("a number");
        assert_eq!(new.how, How::Leased);
    }

    async fn what_was_trimmed_is_forgotten(log: SharedLog) {
        let (one, rules) = (desk(&log), rules(1, json!({})));
        ask(&one, &rules, "ann", None, None, at(0)).await.expect("a number");
        let partition = partition_of(ACCOUNT, PARTITIONS);
        log.trim(partition, last_sequence(&log).await + 1).await.expect("trimmed");
        // A desk that saw the lease compares with what is gone, and is told.
        let bob = ask(&one, &rules, "bob", None, None, at(60)).await.expect("a number");
        assert_eq!(bob.how, How::Leased);
        assert_eq!(kinds(&log).await, ["lease_granted"]);
    }

    async fn what_others_wrote_on_a_line_is_respected(log: SharedLog) {
        let partition = partition_of(ACCOUNT, PARTITIONS);
        let subject = |number: &str| Subject::lease(partition, ACCOUNT, number);
        let bare = json!({"specversion": "1.0", "id": "1", "source": "other", "type": "lease_granted",
            "time": at(0), "account": ACCOUNT, "data": {"lease_id": "theirs", "pool": "main", "number": "+14155550000",
            "visitor_id": "ann", "expires_at": at(20)}});
        log.append(crate::log::append_to(subject("+14155550000"), &bare.to_string())).await.expect("added");
        log.append(crate::log::append_to(subject("+14155550001"), "noise")).await.expect("added");
        let (desk, rules) = (desk(&log), rules(2, json!({})));
        let ann = ask(&desk, &rules, "ann", None, None, at(1)).await.expect("a number");
        assert_eq!((ann.how, ann.lease_id.as_deref()), (How::Kept, Some("theirs")));
        // Noise keeps its line for a lease's time from when it was appended, by the clock of the log: now.
        assert!(ask(&desk, &rules, "bob", None, None, at(1)).await.is_err());
    }

    async fn keeping_is_cheap(log: SharedLog) {
        let (desk, rules) = (desk(&log), rules(1000, json!({})));
        for visitor in 0..200 {
            ask(&desk, &rules, &format!("v{visitor}"), Some("s"), None, at(0)).await.expect("a number");
        }
        let before = last_sequence(&log).await;
        let started = std::time::Instant::now();
        const ASKS: u32 = 20_000;
        for n in 0..ASKS {
            let visitor = format!("v{}", n % 200);
            let shown = ask(&desk, &rules, &visitor, Some("s"), None, at(1)).await.expect("a number");
            assert_eq!(shown.how, How::Kept);
        }
        let each = started.elapsed() / ASKS;
        println!("a lease kept: {each:?}");
        assert!(each < Duration::from_millis(1), "{each:?}");
        assert_eq!(last_sequence(&log).await, before, "no append");
    }
}

/// A log that can be made to hang.
struct Moody {
    inner: SharedLog,
    hangs: AtomicBool,
}

impl Moody {
    async fn mood(&self) {
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait::async_trait]
impl Log for Moody {
    fn partitions(&self) -> u16 {
        self.inner.partitions()
    }
    fn max_payload(&self) -> usize {
        self.inner.max_payload()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.mood().await;
        self.inner.append(append).await
    }
    async fn append_all(&self, batch: Vec<Append>) -> Vec<Result<Appended, AppendError>> {
        self.inner.append_all(batch).await
    }
    fn read(&self, partition: u16, after: u64) -> Entries {
        self.inner.read(partition, after)
    }
    async fn last_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.inner.last_sequence(partition).await
    }
    async fn identity(&self, partition: u16) -> Result<String, ReadError> {
        self.inner.identity(partition).await
    }
    async fn first_sequence(&self, partition: u16) -> Result<u64, ReadError> {
        self.inner.first_sequence(partition).await
    }
    async fn last_of_subject(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        self.mood().await;
        self.inner.last_of_subject(subject).await
    }
    async fn next_settings(&self, subject: &Subject, after: u64) -> Result<Option<Entry>, ReadError> {
        self.inner.next_settings(subject, after).await
    }
    async fn trim(&self, partition: u16, before: u64) -> Result<(), TrimError> {
        self.inner.trim(partition, before).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_hangs_holds_nobody_up() {
    let (inner, _ground) = embedded(Retention::default()).await;
    let moody = Arc::new(Moody { inner, hangs: AtomicBool::new(false) });
    let log: SharedLog = moody.clone();
    let patience = Duration::from_millis(300);
    let metrics = Metrics::new();
    let (desk, rules) = (Desk::with_patience(log.clone(), metrics.clone(), patience), rules(2, json!({})));
    // A busy machine may need more than the patience for the first.
    let ann = loop {
        match ask(&desk, &rules, "ann", Some("s"), None, at(0)).await {
            Ok(shown) => break shown,
            Err(LeaseError::Slow(_) | LeaseError::Away(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    moody.hangs.store(true, Ordering::Relaxed);
    assert_eq!(ask(&desk, &rules, "bob", None, None, at(0)).await, Err(LeaseError::Slow(patience)));
    // Those who come next do not even wait.
    assert!(matches!(ask(&desk, &rules, "cec", None, None, at(0)).await, Err(LeaseError::Away(_))));
    // What needs no log goes on, and what cannot be renewed is still theirs for as long as it was told.
    assert_eq!(ask(&desk, &rules, "ann", Some("s"), None, at(1)).await.expect("a number").lease_id, ann.lease_id);
    let kept = ask(&desk, &rules, "ann", Some("s"), None, at(20)).await.expect("a number");
    assert_eq!((kept.how, kept.expires_at), (How::Kept, Some(at(30))));
    assert!(ask(&desk, &rules, "ann", Some("s"), None, at(30)).await.is_err(), "it is over");
    moody.hangs.store(false, Ordering::Relaxed);
    let bob = loop {
        match ask(&desk, &rules, "bob", None, None, at(31)).await {
            Ok(shown) => break shown,
            Err(LeaseError::Slow(_) | LeaseError::Away(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(bob.how, How::Leased);
    desk.refresh(at(31).plus(MICROS_PER_SECOND)).await;
    let text = metrics.render();
    for line in [
        "callweave_lease_lines{account=\"acme\",pool=\"main\"} 2.0\n",
        "callweave_lease_held_lines{account=\"acme\",pool=\"main\"} 1.0\n",
        "callweave_lease_resting_lines{account=\"acme\",pool=\"main\"} 1.0\n",
        "callweave_lease_most_lines{account=\"acme\",pool=\"main\"} 2.0\n",
        "callweave_lease_answers_total{account=\"acme\",pool=\"main\",how=\"leased\"} 2\n",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

/// The join makes the moment of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_of_an_exhausted_pool_decodes() {
    let (log, _ground) = embedded(Retention::default()).await;
    let rules = rules(1, json!({"on_exhausted": "share"}));
    let desk = desk(&log);
    for visitor in ["ann", "bob"] {
        ask(&desk, &rules, visitor, None, None, at(0)).await.expect("a number");
    }
    let partition = partition_of(ACCOUNT, PARTITIONS);
    let entries = take(&mut log.read(partition, 0), 0, last_sequence(&log).await as usize).await;
    let mut join = callweave_core::join::Join::new(callweave_core::join::Mode::Live);
    let mut effects = callweave_core::join::Effects::default();
    for entry in &entries {
        for record in entry.records() {
            let Ok(Record::Event { bytes, received, .. }) = record else { panic!("{record:?}") };
            let event = decode(bytes, Some(received)).expect("an event");
            if let Body::PoolExhausted(told) = &event.body {
                assert!(entry.subject.contains(".other."), "{}", entry.subject);
                assert_eq!((told.size, told.held), (1, 1));
            }
            join.apply(&event, None, &mut effects);
        }
    }
    let moments: Vec<_> = effects.moments.iter().map(|it| (it.kind.name(), it.pool.as_deref(), it.at)).collect();
    assert_eq!(moments, [("pool.exhausted", Some("main"), at(0))]);
    assert_eq!(effects.leases.len(), 2);
}
