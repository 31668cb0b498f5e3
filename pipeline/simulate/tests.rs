use std::collections::{BTreeMap, BTreeSet};

use callweave_core::event::{Body, decode};
use callweave_core::settings::OnExhausted;
use callweave_core::source::Surveyor;
use callweave_core::time::Time;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::{PoolSize, SimulateError, Simulation, World, simulate};

fn written(options: &Simulation) -> (Vec<u8>, Vec<Value>) {
    let (mut out, mut truth) = (Vec::new(), Vec::new());
    simulate(options.clone(), &mut out, Some(&mut truth)).expect("simulates");
    (out, parsed(&truth))
}

fn parsed(lines: &[u8]) -> Vec<Value> {
    lines.split(|&b| b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).expect("JSON")).collect()
}

fn small() -> Simulation {
    Simulation { visits_per_day: 2000.0, events: Some(20_000), ..Simulation::default() }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let (first, truth) = written(&small());
    let (second, again) = written(&small());
    assert!(first == second && truth == again);
    assert_eq!(first.iter().filter(|&&b| b == b'\n').count(), 20_000);
    // Pinned: whoever changes what a seed gives must mean to.
    assert_eq!(format!("{:016x}", xxh3_64(&first)), PINNED);
    let (other, _) = written(&Simulation { seed: 2, ..small() });
    assert!(first != other);
}

const PINNED: &str = "ef091807d46e3d6b";

#[test]
fn the_iterator_gives_what_is_written() {
    let options = Simulation { events: Some(3000), late_share: 0.1, duplicate_share: 0.1, ..small() };
    let (out, truth) = written(&options);
    let (mut joined, mut calls) = (Vec::new(), Vec::new());
    let mut last = Time::MIN;
    for event in World::new(options).expect("valid") {
        assert!(event.at >= last);
        last = event.at;
        joined.extend_from_slice(&event.json);
        joined.push(b'\n');
        calls.extend(event.truth);
    }
    assert!(joined == out);
    let ids: Vec<String> = truth.iter().map(|t| t["call_id"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(calls.iter().map(|t| t.call_id()).collect::<Vec<_>>(), ids);
}

#[test]
fn events_are_in_order_with_ids_of_their_own_and_truth_names_sessions_that_exist() {
    let accounts = vec!["acme".to_owned(), "plumbing-2.uk".to_owned()];
    let (out, truth) = written(&Simulation { accounts, events: None, visits: Some(3000), ..small() });
    let (mut ids, mut sessions, mut visitors, mut calls) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let mut last = Time::MIN;
    for event in parsed(&out) {
        let time = Time::parse(event["time"].as_str().unwrap_or_default()).expect("a time");
        assert!(time >= last);
        last = time;
        assert!(ids.insert(event["id"].to_string()));
        sessions.insert(event["data"]["session_id"].to_string());
        visitors.insert(event["data"]["visitor_id"].to_string());
        calls.insert(event["data"]["call_id"].to_string());
        *kinds.entry(event["type"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    assert_eq!(kinds["account_settings"], 2);
    for kind in ["lease_granted", "lease_renewed", "lease_released", "heartbeat", "web_event", "call", "call_record"] {
        assert!(kinds[kind] > 20, "{kind}: {kinds:?}");
    }
    let share = kinds["page_view"] as f64 / ids.len() as f64;
    assert!((0.62..0.78).contains(&share), "{share}");
    let mut whys = BTreeSet::new();
    for fact in &truth {
        assert!(fact["session_id"].is_null() || sessions.contains(&fact["session_id"].to_string()), "{fact}");
        assert!(fact["visitor_id"].is_null() || visitors.contains(&fact["visitor_id"].to_string()), "{fact}");
        assert!(calls.remove(&fact["call_id"].to_string()), "{fact}");
        assert_eq!(fact["source"].is_null(), fact["why"] == "wrong_number");
        whys.insert(fact["why"].to_string());
    }
    assert_eq!(whys.len(), 5);
    // Every call has its truth; what is left stands for events of other types.
    assert_eq!(calls.into_iter().collect::<Vec<_>>(), ["null"]);
}

/// Follows the leases of a run: how often a number (with its extension) was held by two sessions, and how many times a
/// number was given.
fn held_by_two(options: &Simulation) -> (u64, u64) {
    let (out, _) = written(options);
    let mut holders: BTreeMap<String, Vec<(String, Time)>> = BTreeMap::new();
    let mut number_of: BTreeMap<String, String> = BTreeMap::new();
    let (mut twice, mut granted) = (0, 0);
    for event in parsed(&out) {
        let data = &event["data"];
        let lease = data["lease_id"].to_string();
        let now = Time::parse(event["time"].as_str().unwrap_or_default()).expect("a time");
        let expires = data["expires_at"].as_str().map(|at| Time::parse(at).expect("a time"));
        match event["type"].as_str().unwrap_or_default() {
            "lease_granted" => {
                let number = format!("{} {}", data["number"], data["extension"]);
                let leases = holders.entry(number.clone()).or_default();
                leases.retain(|(_, until)| *until > now);
                twice += u64::from(!leases.is_empty());
                granted += 1;
                leases.push((lease.clone(), expires.expect("an end")));
                number_of.insert(lease, number);
            }
            kind @ ("lease_renewed" | "lease_released") => {
                let leases = holders.get_mut(&number_of[&lease]).expect("a lease");
                let held = leases.iter_mut().find(|(id, until)| *id == lease && *until > now).expect("it still runs");
                held.1 = if kind == "lease_renewed" { expires.expect("an end") } else { now };
            }
            _ => {}
        }
    }
    (twice, granted)
}

#[test]
fn a_number_is_held_by_one_session_unless_the_pool_is_exhausted_and_shares() {
    for utilisation in [0.1, 2.0] {
        for extension_digits in [None, Some(3)] {
            let pool = PoolSize::Utilisation(utilisation);
            let overflow = Simulation { pool, extension_digits, ..small() };
            let (twice, granted) = held_by_two(&overflow);
            assert!(twice == 0 && granted > 500, "{overflow:?}: {twice} of {granted}");
            let (twice, granted) = held_by_two(&Simulation { on_exhausted: OnExhausted::Share, ..overflow });
            assert!((twice > 0) == (utilisation > 1.0), "{twice} of {granted}");
        }
    }
}

#[test]
fn faults_come_in_the_shares_that_were_asked_for() {
    let (out, _) = written(&Simulation {
        late_share: 0.05,
        duplicate_share: 0.03,
        unusable_share: 0.02,
        implicit_session_share: 1.0,
        ..small()
    });
    let (mut ids, mut late, mut twice, mut unusable, mut last) = (BTreeSet::new(), 0, 0, 0, String::new());
    for line in out.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        let Some(event) =
            serde_json::from_slice::<Value>(line).ok().filter(|e| e["id"].as_str().map(str::len) == Some(16))
        else {
            unusable += 1;
            continue;
        };
        assert!(event["data"]["session_id"].is_null());
        let time = event["time"].as_str().unwrap_or_default().to_owned();
        late += u64::from(!event["recordedtime"].is_null() && time < last);
        last = last.max(time);
        twice += u64::from(!ids.insert(event["id"].to_string()));
    }
    assert!((800..1100).contains(&late), "{late}");
    assert!((450..750).contains(&twice), "{twice}");
    assert!((300..500).contains(&unusable), "{unusable}");
}

#[test]
fn impossible_wishes_are_refused() {
    let check = |options: Simulation, words: &str| {
        let error = World::new(options).map(|_| ()).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    };
    check(Simulation { late_share: 1.5, ..small() }, "--late is 1.5");
    check(Simulation { call_share: f64::NAN, ..small() }, "--calls is NaN");
    check(Simulation { accounts: vec![], ..small() }, "0 accounts");
    check(Simulation { accounts: vec!["a".into(), "a".into()], ..small() }, "2 accounts");
    check(Simulation { accounts: vec!["o'neil".into()], ..small() }, "not an account's name");
    check(Simulation { page_seconds: 0.0, ..small() }, "--page-seconds is 0");
    check(Simulation { pool: PoolSize::Numbers(0), ..small() }, "--pool-numbers is 0");
    check(Simulation { visits_per_day: 1e9, ..small() }, "tracking numbers");
    assert!(matches!(
        World::new(Simulation { visits_per_day: 1e9, ..small() }),
        Err(SimulateError::Numbers { available: 10_000 })
    ));
}

#[test]
fn every_event_decodes_and_what_is_meant_to_be_unusable_does_not() {
    let accounts = vec!["acme".to_owned(), "plumbing-2.uk".to_owned()];
    let (mut unusable, mut seen) = (0, BTreeSet::new());
    let options = Simulation {
        accounts,
        extension_digits: Some(3),
        late_share: 0.02,
        duplicate_share: 0.02,
        unusable_share: 0.02,
        events: None,
        visits: Some(4000),
        ..small()
    };
    for event in World::new(options).expect("valid") {
        let decoded = decode(&event.json, None);
        if event.kind == "unusable" {
            assert!(decoded.is_err(), "{}", String::from_utf8_lossy(&event.json));
            unusable += 1;
            continue;
        }
        let decoded = decoded.unwrap_or_else(|r| panic!("{r:?}: {}", String::from_utf8_lossy(&event.json)));
        assert_eq!((decoded.body.type_name(), decoded.account.as_str()), (event.kind, &*event.account));
        seen.insert(event.kind);
    }
    assert!(unusable > 100);
    assert_eq!(seen.len(), 14, "{seen:?}");
}

#[test]
fn the_truth_names_sources_as_the_program_does() {
    let (out, truth) = written(&Simulation { events: None, visits: Some(3000), call_share: 0.5, ..small() });
    let mut surveyor = Surveyor::default();
    let mut sources = BTreeMap::new();
    for line in out.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        let event = decode(line, None).expect("decodes");
        if let Body::PageView(page) = &event.body
            && let Some(session) = &page.session_id
            && !sources.contains_key(session.as_str())
        {
            let visit = surveyor.visit(page);
            let campaign = visit.utm.campaign.as_deref().map(str::to_owned);
            sources.insert(session.to_string(), (visit.source.to_string(), visit.medium.to_string(), campaign));
        }
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut checked = BTreeSet::new();
    for fact in truth.iter().filter(|fact| !fact["session_id"].is_null()) {
        let told = (text(&fact["source"]), text(&fact["medium"]), text(&fact["campaign"]));
        let (source, medium, campaign) = sources[&text(&fact["session_id"]).unwrap_or_default()].clone();
        assert_eq!(told, (Some(source), Some(medium), campaign), "{fact}");
        checked.insert(told);
    }
    assert_eq!(checked.len(), super::tables::CAMPAIGNS.len());
}

#[test]
fn every_line_of_the_truth_has_all_members() {
    let (_, truth) =
        written(&Simulation { events: None, visits: Some(3000), call_share: 0.2, optimal: true, ..small() });
    let members = |fact: &Value| fact.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(members(&truth[0]).len(), 18, "{}", truth[0]);
    let (mut leased, mut others) = (0, 0);
    for fact in &truth {
        assert_eq!(members(fact), members(&truth[0]), "{fact}");
        let told = ["candidates", "is_candidate", "optimal_probability", "true_probability"];
        let is_leased = !fact["is_candidate"].is_null();
        assert!(told.iter().all(|name| fact[name].is_null() != is_leased), "{fact}");
        assert!(!is_leased || fact["why"] != "static", "{fact}");
        *if is_leased { &mut leased } else { &mut others } += 1;
    }
    assert!(leased > 20 && others > 5, "{leased} {others}");
}
