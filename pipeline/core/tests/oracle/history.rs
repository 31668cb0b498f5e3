//! Random histories: small dense worlds in which every rule of the join bites, and orders in which they may arrive.
//!
//! What the contract leaves open is kept out: session ids are unique per visitor, no lease is renewed or released before
//! its grant, a static number with a source has a medium too, no page view has a referrer of its own host, of two
//! records of a call the later has every time that the earlier has, and no settings share the time of the first.

mod accounts;
mod calls;
mod maker;
mod visits;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::read::{micros, rfc3339};
use maker::Maker;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A page stays open for at most so many heartbeats of a session.
const HEARTBEATS_MAX: usize = 40;

/// The most of each thing; how many there are is drawn from 1 up.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub accounts: usize,
    /// Of an account, as the next three.
    pub visitors: usize,
    pub pool_numbers: usize,
    pub callers: usize,
    pub calls: usize,
    /// Of a visitor.
    pub visits: usize,
    pub days: i64,
    /// Events come again, some with other content.
    pub duplicates: bool,
}

impl Size {
    pub const SMALL: Size =
        Size { accounts: 1, visitors: 2, pool_numbers: 1, callers: 2, calls: 5, visits: 3, days: 3, duplicates: true };
    pub const MEDIUM: Size = Size {
        accounts: 2,
        visitors: 4,
        pool_numbers: 3,
        callers: 3,
        calls: 20,
        visits: 6,
        days: 12,
        duplicates: true,
    };
}

/// How arrival differs from the order of `time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disorder {
    /// As they happened.
    InOrder,
    /// A third come late, by less than the default `lateness_seconds`.
    Slight,
    /// A tenth come late, by up to two days.
    Late,
    /// Any order.
    Full,
}

/// Valid events by time, those of equal time in any order; duplicates come a few places after what they repeat. The
/// same seed and size give the same history.
pub fn history(seed: u64, size: Size) -> Vec<Value> {
    let mut rng = StdRng::seed_from_u64(seed);
    // Spans in which clocks change in Berlin or New York, and one without.
    let bases = ["2026-03-27T20:00:00Z", "2026-10-24T06:00:00Z", "2026-10-30T12:00:00Z", "2026-06-10T00:00:00Z"];
    let base = micros(bases[rng.random_range(0..bases.len())]);
    let mut timed = Vec::new();
    for account in 0..rng.random_range(1..=size.accounts) {
        let maker = Maker::new(&mut rng, ["acme", "zenith"][account % 2], base, size);
        timed.extend(maker.account());
    }
    timed.shuffle(&mut rng);
    timed.sort_by_key(|(time, _)| *time);
    let events = timed.into_iter().map(|(_, event)| event).collect();
    if size.duplicates { repeated(events, &mut rng) } else { events }
}

/// The same events as they might arrive. A `recordedtime`, where an event has one, follows its arrival.
pub fn shuffled(events: Vec<Value>, seed: u64, how: Disorder) -> Vec<Value> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut delay = || match how {
        Disorder::Slight if rng.random_bool(0.3) => rng.random_range(0..MINUTE),
        Disorder::Late if rng.random_bool(0.1) => rng.random_range(0..2 * DAY),
        _ => 0,
    };
    let mut arriving: Vec<(i64, Value)> = Vec::new();
    // A repeat keeps its place after the event before it unless it is delayed itself.
    let mut clock = i64::MIN;
    for event in events {
        clock = clock.max(time_of(&event));
        arriving.push((clock + delay(), event));
    }
    arriving.sort_by_key(|(arrival, _)| *arrival);
    let mut events: Vec<Value> = arriving.into_iter().map(|(_, event)| event).collect();
    if how == Disorder::Full {
        events.shuffle(&mut rng);
    }
    let mut clock = i64::MIN;
    for event in &mut events {
        clock = clock.max(time_of(event));
        if event.get("recordedtime").is_some() {
            event["recordedtime"] = json!(rfc3339(clock));
        }
    }
    events
}

fn time_of(event: &Value) -> i64 {
    micros(event["time"].as_str().expect("every event has a time"))
}

/// Some events come again within the next twenty, half of them with other content.
fn repeated(events: Vec<Value>, rng: &mut StdRng) -> Vec<Value> {
    let mut placed: Vec<(usize, Value)> = Vec::new();
    for (place, event) in events.into_iter().enumerate() {
        if rng.random_bool(0.05) {
            let again = if rng.random_bool(0.5) { event.clone() } else { altered(event.clone(), rng) };
            placed.push((place + rng.random_range(1..=20), again));
        }
        placed.push((place, event));
    }
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, event)| event).collect()
}

/// Another event by the same name; valid, and naming the same visitor and session.
fn altered(mut event: Value, rng: &mut StdRng) -> Value {
    let later = rfc3339(time_of(&event) + rng.random_range(0..30) * SECOND);
    match event["type"].as_str() {
        Some("page_view") => event["data"]["url"] = json!("https://shop.example/again?utm_source=again"),
        Some("web_event") => event["data"]["name"] = json!("click_to_call"),
        Some("heartbeat") => retime(&mut event, &later),
        Some("call") => {
            event["data"]["agent"] = json!("again");
            retime(&mut event, &later);
        }
        Some("call_record") => event["data"]["outcome"] = json!("failed"),
        Some("lease_granted" | "lease_renewed") => event["data"]["expires_at"] = json!(later),
        _ => {}
    }
    event
}

fn retime(event: &mut Value, time: &str) {
    event["time"] = json!(time);
    if event.get("recordedtime").is_some() {
        event["recordedtime"] = json!(time);
    }
}
