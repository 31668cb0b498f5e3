//! The generator: the same by seed, valid, dense enough that every rule bites.

use std::collections::{BTreeMap, BTreeSet};

use callweave_core::time::Time;
use serde_json::Value;

use crate::oracle::history::{Disorder, Size, history, shuffled};
use crate::oracle::{World, join};
use crate::story::TABLES;

const SEEDS: u64 = 60;

fn worlds() -> impl Iterator<Item = (Vec<Value>, World)> {
    (0..SEEDS).map(|seed| {
        let events = history(seed, if seed % 2 == 0 { Size::SMALL } else { Size::MEDIUM });
        let world = join(&events, &TABLES);
        (events, world)
    })
}

#[test]
fn a_seed_names_a_history_and_an_order() {
    let made = || history(7, Size::MEDIUM);
    assert_eq!(made(), made());
    assert_ne!(made(), history(8, Size::MEDIUM));
    for how in [Disorder::InOrder, Disorder::Slight, Disorder::Late, Disorder::Full] {
        let arriving = || shuffled(made(), 1, how);
        assert_eq!(arriving(), arriving());
        assert_eq!(arriving().len(), made().len());
    }
    let times = |events: &[Value]| events.iter().map(|e| e["id"].clone()).collect::<Vec<_>>();
    assert_eq!(times(&shuffled(made(), 1, Disorder::InOrder)), times(&made()));
    assert_ne!(times(&shuffled(made(), 1, Disorder::Slight)), times(&made()));
}

/// Without duplicates, only events of equal time may come of arrival: everything else is the same in any order.
#[test]
fn order_matters_only_to_equal_times() {
    for seed in 0..SEEDS {
        let size = Size { duplicates: false, ..Size::SMALL };
        let mut events = history(seed, size);
        let mut times = BTreeSet::new();
        events.retain(|event| {
            times.insert((event["account"].to_string(), Time::parse(event["time"].as_str().unwrap()).unwrap()))
        });
        let world = join(&events, &TABLES);
        for how in [Disorder::Slight, Disorder::Late, Disorder::Full] {
            assert_eq!(join(&shuffled(events.clone(), seed, how), &TABLES), world, "seed {seed}, {how:?}");
        }
    }
}

#[test]
fn sessions_are_of_one_visitor_and_times_possible() {
    for (events, _) in worlds() {
        let mut visitors: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut beats: BTreeMap<String, usize> = BTreeMap::new();
        for event in &events {
            let data = &event["data"];
            assert!(
                data.as_object()
                    .is_some_and(|data| event["type"] == "account_settings" || data.values().all(|v| !v.is_null()))
            );
            if let Some(session) = data["session_id"].as_str() {
                let visitor = data["visitor_id"].to_string();
                let key = (event["account"].to_string(), session.to_owned());
                assert_eq!(visitors.entry(key).or_insert(visitor.clone()), &visitor);
                if event["type"] == "heartbeat" {
                    *beats.entry(event["account"].to_string() + session).or_default() += 1;
                }
            }
            let time = |member: &Value| member.as_str().map(|text| Time::parse(text).unwrap());
            let (happened, recorded) = (time(&event["time"]).unwrap(), time(&event["recordedtime"]));
            assert!(recorded.is_none_or(|recorded| recorded >= happened) || event["type"] == "account_settings");
            if event["type"] == "call_record" {
                assert!(time(&data["ended_at"]) >= time(&data["started_at"]));
                assert!(time(&data["answered_at"]).is_none_or(|at| Some(at) >= time(&data["started_at"])));
            }
        }
        // Repeated ones among them.
        assert!(beats.values().all(|count| *count <= 80));
    }
}

/// Each of these must turn up among the worlds of a few seeds.
#[test]
fn every_rule_bites() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = |what: String| *seen.entry(what).or_default() += 1;
    for (_, world) in worlds() {
        for row in world.calls.values() {
            for name in ["attribution_method", "outcome", "in_business_hours", "direction", "is_unique", "is_target"]
                .into_iter()
                .chain(["is_repeated", "is_first_target", "is_unique_target", "candidates"])
            {
                count(format!("{name} {}", row.get(name).unwrap_or(&Value::Null)));
            }
            for name in ["caller_calls", "ended_at", "call_page", "first_source", "ring_seconds", "spam_score", "site"]
            {
                count(format!("{name} null {}", row.get(name).is_none_or(Value::is_null)));
            }
        }
        for choice in world.choices.values() {
            count(format!("by_extension {}", choice.by_extension));
            for candidate in &choice.candidates {
                count(format!("clicked {}", candidate.clicked.is_some()));
                count(format!("known_caller {}", candidate.known_caller));
                count(format!("session {}", candidate.session.is_some()));
            }
        }
        for ((_, id), row) in &world.sessions {
            count(format!("unnamed {}", id.contains('.')));
            count(format!("source null {}", row["source"].is_null()));
            count(format!("visit_number {}", row["visit_number"]));
        }
        for row in world.leases.values() {
            count(format!("lease without session {}", row["session_id"].is_null()));
            count(format!("released {}", !row["released_at"].is_null()));
        }
    }
    println!("{seen:#?}");
    let of_kind = |name: &str, values: &[&str]| values.iter().map(|v| format!("{name} {v}")).collect::<Vec<_>>();
    let mut wanted =
        of_kind("attribution_method", &["\"static\"", "\"lease\"", "\"window\"", "\"extension\"", "\"none\"", "null"]);
    wanted.extend(of_kind(
        "outcome",
        &["\"answered\"", "\"missed\"", "\"abandoned_greeting\"", "\"abandoned_menu\"", "\"voicemail\"", "null"],
    ));
    wanted.extend(of_kind("direction", &["\"inbound\"", "\"outbound\"", "\"callback\""]));
    wanted.extend(of_kind("candidates", &["0", "1", "2", "3"]));
    wanted.extend(of_kind("visit_number", &["1", "2", "3", "4"]));
    for either in ["in_business_hours", "is_unique", "is_target", "is_repeated", "is_first_target", "is_unique_target"]
        .into_iter()
        .chain(["caller_calls null", "ended_at null", "call_page null", "first_source null", "ring_seconds null"])
        .chain(["spam_score null", "site null", "by_extension", "clicked", "known_caller", "session", "unnamed"])
        .chain(["source null", "lease without session", "released"])
    {
        wanted.extend(of_kind(either, &["true", "false"]));
    }
    let absent: Vec<&String> = wanted.iter().filter(|what| seen.get(*what).is_none_or(|count| *count < 3)).collect();
    assert!(absent.is_empty(), "seen less than three times: {absent:?}");
}
