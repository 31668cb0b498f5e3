//! Calls: how they are put together, joined and counted.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::story::*;

#[test]
fn a_call_is_put_together_from_its_events_in_any_order() {
    let story = Story::default()
        .call("10:00:50", "c", "ended", json!({"hangup_by": "agent"}))
        .call("10:00:12", "c", "transferred", json!({"agent": "second"}))
        .call("10:00:40", "c", "ended", json!({"cause": "lost"}))
        .call("10:00:10", "c", "answered", json!({"agent": "first", "cause": "x"}))
        .call("10:00:11", "c", "answered", json!({}))
        .call("10:00:03", "c", "ringing", json!({}))
        .call("10:00:04", "c", "ringing", json!({}))
        .call("10:00:00", "c", "started", json!({}));
    check_call(
        &story,
        "c",
        json!({"started_at": column("10:00:00"), "answered_at": column("10:00:10"), "ended_at": column("10:00:50"),
            "agent": "second", "cause": "lost", "hangup_by": "agent", "outcome": "answered",
            "ring_seconds": 7.0, "talk_seconds": 40.0, "total_seconds": 50.0, "date": "2026-11-20"}),
    );
}

#[test]
fn a_record_tells_the_times_and_the_latest_event_the_members() {
    let story = Story::default()
        .call("10:00:05", "c", "started", json!({"agent": "first", "talk_seconds": 12.5}))
        .call("10:00:00", "c", "menu", json!({}))
        .talk("10:00:01", "c", 60.0, json!({"agent": "second", "talk_seconds": 99.0}))
        .call("10:00:06", "c", "ended", json!({"cause": "x"}));
    check_call(
        &story,
        "c",
        json!({"started_at": column("10:00:01"), "ended_at": column("10:01:01"), "agent": "first", "cause": "x",
            "talk_seconds": 12.5, "ring_seconds": 0.0, "total_seconds": 60.0}),
    );
    let earliest =
        Story::default().call("10:00:05", "c", "ringing", json!({})).call("10:00:01", "c", "menu", json!({}));
    check_call(&earliest, "c", json!({"started_at": column("10:00:01"), "total_seconds": null, "talk_seconds": 0.0}));
}

#[test]
fn clocks_that_disagree_make_no_call_that_ends_before_it_starts() {
    for (answered, ended, expected) in [
        ("10:00:03", "10:00:01", ["10:00:05", "10:00:05"]),
        ("10:00:03", "10:00:30", ["10:00:05", "10:00:30"]),
        ("10:00:40", "10:00:30", ["10:00:30", "10:00:30"]),
        ("10:00:10", "10:00:30", ["10:00:10", "10:00:30"]),
    ] {
        let story = Story::default()
            .call("10:00:05", "c", "started", json!({}))
            .call(answered, "c", "answered", json!({}))
            .call(ended, "c", "ended", json!({}));
        check_call(&story, "c", json!({"answered_at": column(expected[0]), "ended_at": column(expected[1])}));
    }
}

#[test]
fn an_agent_has_the_name_that_the_settings_have() {
    for (told, name) in [("12", "Ada"), ("+14155559999", "Ben"), ("Cem", "Cem")] {
        let story = Story::default()
            .settings("09:00:00", json!({"agents": {"12": "Ada", "+14155559999": "Ben"}}))
            .talk("10:00:00", "c", 60.0, json!({"agent": told}));
        check_call(&story, "c", json!({"agent": name}));
    }
    for (destination, name) in [("+14155559999", json!("Ben")), ("+14155559998", json!(null))] {
        let story = Story::default()
            .settings("09:00:00", json!({"agents": {"12": "Ada", "+14155559999": "Ben"}}))
            .talk("10:00:00", "c", 60.0, json!({"destination": destination}));
        check_call(&story, "c", json!({"agent": name}));
    }
}

#[test]
fn outcomes() {
    let caller = json!({"hangup_by": "caller"});
    type Steps = &'static [(&'static str, &'static str)];
    let cases: Vec<(Steps, Value, Value)> = vec![
        (&[("00", "started"), ("05", "answered"), ("09", "ended")], json!({"outcome": "busy"}), json!("busy")),
        (&[("00", "started"), ("05", "answered"), ("06", "voicemail"), ("09", "ended")], json!({}), json!("answered")),
        (&[("00", "started"), ("05", "voicemail"), ("09", "ended")], caller.clone(), json!("voicemail")),
        (&[("00", "started"), ("01", "menu"), ("10", "ended")], caller.clone(), json!("abandoned_greeting")),
        (&[("00", "started"), ("01", "menu"), ("11", "ended")], caller.clone(), json!("abandoned_menu")),
        (&[("00", "started"), ("01", "menu"), ("02", "ringing"), ("11", "ended")], caller, json!("missed")),
        (&[("00", "started"), ("05", "ended")], json!({"hangup_by": "system"}), json!("missed")),
        (&[("00", "started"), ("05", "voicemail")], json!({}), Value::Null),
        (&[("00", "started"), ("05", "answered")], json!({}), json!("answered")),
        (&[("00", "started"), ("05", "menu")], json!({"outcome": "failed"}), json!("failed")),
        (&[("09", "started"), ("05", "ended")], json!({}), json!("missed")),
    ];
    for (steps, more, outcome) in cases {
        let mut story = Story::default();
        for (second, status) in steps {
            story = story.call(&format!("10:00:{second}"), "c", status, more.clone());
        }
        let row = story.world().calls[&key("c")].clone();
        assert_eq!(row["outcome"], outcome, "{steps:?} {more}");
        assert!(row["total_seconds"].as_f64().is_none_or(|seconds| seconds >= 0.0), "{steps:?}");
    }
}

#[test]
fn business_hours_are_local() {
    let week = json!({"fri": [["09:00", "18:00"], ["20:00", "24:00"]], "sun": [["02:00", "04:00"]]});
    let cases = [
        // Berlin is an hour ahead of UTC in November.
        ("08:00:00", json!({}), true),
        ("07:59:59.999999", json!({}), false),
        ("16:59:59.999999", json!({}), true),
        ("17:00:00", json!({}), false),
        ("22:59:59", json!({}), true),
        ("23:00:00", json!({}), false),
        ("08:00:00", json!({"holidays": ["2026-11-20"]}), false),
        ("2026-11-19T12:00:00Z", json!({}), false),
        ("2026-11-19T12:00:00Z", json!({"business_hours": null}), true),
        ("2026-11-19T23:00:00Z", json!({"business_hours": null, "holidays": ["2026-11-20"]}), false),
        // Clocks go forward at 01:00 UTC, from 02:00 to 03:00; and back at 01:00 UTC, from 03:00 to 02:00.
        ("2026-03-29T00:59:59Z", json!({}), false),
        ("2026-03-29T01:00:00Z", json!({}), true),
        ("2026-03-29T02:00:00Z", json!({}), false),
        ("2026-10-25T00:00:00Z", json!({}), true),
        ("2026-10-25T02:59:59Z", json!({}), true),
        ("2026-10-25T03:00:00Z", json!({}), false),
    ];
    for (at, more, open) in cases {
        let settings = with(json!({"timezone": "Europe/Berlin", "business_hours": week}), more);
        let story = Story::default().settings("2026-01-01T00:00:00Z", settings.clone()).talk(at, "c", 1.0, json!({}));
        let row = story.world().calls[&key("c")].clone();
        assert_eq!(row["in_business_hours"], json!(open), "{at} {settings}");
    }
}

#[test]
fn one_candidate() {
    let leased = Story::default().lease("10:00:00", "l", "s", "10:30:00");
    let renewed = json!({"lease_id": "l", "expires_at": time("11:30:00")});
    let cases = [
        (leased.clone(), "09:59:59.999999", "none", 0),
        (leased.clone(), "10:00:00", "lease", 1),
        (leased.clone(), "10:29:59.999999", "lease", 1),
        (leased.clone(), "10:30:00", "window", 1),
        (leased.clone(), "2026-11-23T10:00:00Z", "window", 1),
        (leased.clone(), "2026-11-23T10:00:00.000001Z", "none", 0),
        (leased.clone().on("10:20:00", "lease_renewed", renewed.clone()), "11:29:59", "lease", 1),
        (leased.clone().on("10:40:00", "lease_renewed", renewed), "10:35:00", "window", 1),
        (leased.clone().on("10:10:00", "lease_released", json!({"lease_id": "l"})), "10:10:00", "window", 1),
        // Its visitor was seen again within the window.
        (
            leased.clone().on("10:00:01", "heartbeat", json!({"visitor_id": "v-s", "session_id": "s"})),
            "2026-11-23T10:00:01Z",
            "window",
            1,
        ),
        // Several leases of one session: the active one, else the latest.
        (leased.lease("10:40:00", "later", "s", "10:50:00"), "10:45:00", "lease", 1),
    ];
    for (story, at, method, candidates) in cases {
        let story = story.call(at, "c", "started", json!({}));
        let session = if candidates == 0 { Value::Null } else { json!("s") };
        let lease = match at {
            _ if candidates == 0 => Value::Null,
            "10:45:00" => json!("later"),
            _ => json!("l"),
        };
        check_call(
            &story,
            "c",
            json!({"attribution_method": method, "candidates": candidates, "session_id": session, "lease_id": lease}),
        );
    }
}

#[test]
fn an_extension_decides() {
    let lease = |story: Story, session: &str, extension: Value| {
        let data = json!({"lease_id": format!("l-{session}"), "pool": "p", "number": N, "visitor_id": "v",
            "session_id": session, "expires_at": time("10:30:00"), "extension": extension});
        story.on("10:00:00", "lease_granted", data)
    };
    let leased = lease(lease(Story::default(), "s", json!("11")), "plain", Value::Null);
    for (extension, method, session) in [("11", "extension", json!("s")), ("12", "none", Value::Null)] {
        let story = leased.clone().call("10:05:00", "c", "started", json!({"extension": extension}));
        check_call(&story, "c", json!({"attribution_method": method, "session_id": session}));
    }
    check_call(&leased.call("10:05:00", "c", "started", json!({})), "c", json!({"candidates": 2}));
}

#[test]
fn a_visitor_without_a_session_is_a_candidate() {
    let grant = json!({"lease_id": "l", "pool": "p", "number": N, "visitor_id": "v", "expires_at": time("10:30:00")});
    let story = Story::default().on("10:00:00", "lease_granted", grant).call("10:05:00", "c", "started", json!({}));
    check_call(
        &story,
        "c",
        json!({"attribution_method": "lease", "candidates": 1, "session_id": null, "visitor_id": "v", "lease_id": "l",
            "source": null, "visit_number": null, "seconds_to_call": null}),
    );
}

#[test]
fn several_candidates_are_told_apart_by_what_is_chosen() {
    let click = json!({"visitor_id": "v-b", "session_id": "b", "name": "click_to_call", "number": N});
    let page = json!({"visitor_id": "v-b", "session_id": "b", "url": "https://a.example/?utm_source=b"});
    let story = Story::default()
        .lease("09:00:00", "la", "a", "09:30:00")
        .call("09:10:00", "c0", "started", json!({}))
        .on("09:59:00", "page_view", page)
        .lease("10:00:00", "lb", "b", "10:30:00")
        .on("10:04:00", "web_event", click)
        .call("10:05:00", "c", "started", json!({}));
    let world = story.world();
    let choice = &world.choices[&key("c")];
    let told: Vec<_> = choice.candidates.iter().map(|c| (c.lease.as_str(), c.active, c.clicked.is_some())).collect();
    assert_eq!(told, [("la", false, false), ("lb", true, true)]);
    assert_eq!(choice.candidates[0].methods, BTreeSet::from(["window", "caller"]));
    assert_eq!(choice.candidates[1].methods, BTreeSet::from(["lease", "click"]));

    // A row that chose b as the rules allow, one that mixes two up, and one that chose none.
    let mut row = world.calls[&key("c")].clone();
    row.extend(choice.candidates[1].row.clone());
    row.insert("attribution_method", json!("click"));
    assert_eq!(world.differences(&key("c"), &row), Vec::<String>::new());
    check(&row, json!({"source": "b", "session_id": "b", "pool": "p", "candidates": 2}));
    row.insert("session_id", json!("a"));
    assert_eq!(world.differences(&key("c"), &row).len(), 1);
    row.extend(choice.none.clone());
    row.extend([("attribution_method", json!("none"))]);
    assert_eq!(world.differences(&key("c"), &row), Vec::<String>::new());
}

#[test]
fn static_numbers_come_before_all() {
    let number = |more: Value| {
        let numbers = json!({"numbers": [with(json!({"number": N, "kind": "static"}), more)]});
        let story = Story::default().settings("09:00:00", numbers).lease("10:00:00", "l", "s", "10:30:00");
        story.call("10:05:00", "c", "started", json!({}))
    };
    check_call(
        &number(json!({"source": "flyer", "medium": "print"})),
        "c",
        json!({"attribution_method": "static", "session_id": null, "candidates": 0, "source": "flyer",
            "medium": "print", "campaign": null, "channel": "flyer/print", "attribution_confidence": 1.0,
            "source_confidence": 1.0, "pool": null}),
    );
    let nothing = json!({"attribution_method": "static", "source": null, "attribution_confidence": null});
    check_call(&number(json!({})), "c", nothing);
}

#[test]
fn pool_and_site_are_the_lease_s_else_the_number_s() {
    let settings = json!({"numbers": [{"number": N, "kind": "pool", "pool": "q"}],
        "pools": [{"name": "p", "site": "p.example"}, {"name": "q", "site": "q.example"}]});
    let story = Story::default()
        .settings("09:00:00", settings)
        .lease("10:00:00", "l", "s", "10:30:00")
        .call("09:30:00", "before", "started", json!({}))
        .call("10:05:00", "c", "started", json!({}));
    check_call(&story, "before", json!({"pool": "q", "site": "q.example", "attribution_method": "none"}));
    check_call(&story, "c", json!({"pool": "p", "site": "p.example"}));
}

#[test]
fn outbound_calls_are_neither_attributed_nor_counted() {
    let swapped = json!({"direction": "outbound", "from": N, "to": CALLER});
    let story = Story::default().lease("10:00:00", "l", "s", "10:30:00").talk("10:04:00", "out", 60.0, swapped).talk(
        "10:05:00",
        "back",
        60.0,
        json!({"direction": "callback"}),
    );
    check_call(
        &story,
        "out",
        json!({"caller": CALLER, "tracking_number": N, "attribution_method": "none", "candidates": 0,
            "attribution_confidence": null, "caller_calls": null, "is_unique": false, "is_target": false}),
    );
    check_call(&story, "back", json!({"attribution_method": "lease", "caller_calls": 1, "is_unique": true}));
}

/// The kinds of a call as a word: unique, target, repeated, first target.
fn kinds(story: &Story, call: &str) -> String {
    let row = story.world().calls[&key(call)].clone();
    let names = [("is_unique", 'u'), ("is_target", 't'), ("is_repeated", 'r'), ("is_first_target", 'f')];
    assert_eq!(row["is_unique_target"], json!(row["is_unique"] == true && row["is_target"] == true));
    let kinds = names.iter().filter(|(name, _)| row[name] == true).map(|(_, letter)| *letter);
    format!("{}{}", row["caller_calls"].as_u64().unwrap_or(0), kinds.collect::<String>())
}

#[test]
fn kinds_of_calls() {
    let story = Story::default()
        .talk("2026-11-27T10:00:00Z", "at the cycle's end", 30.0, json!({}))
        .talk("2026-11-20T10:00:00Z", "b", 30.0, json!({}))
        .talk("2026-11-20T10:00:00Z", "c", 30.0, json!({}))
        .talk("2026-11-20T10:00:00Z", "a", 29.999999, json!({}))
        .talk("2026-11-27T09:59:59.999999Z", "inside", 30.0, json!({}))
        .talk("2026-12-05T10:00:00Z", "told", 99.0, json!({"outcome": "failed"}))
        .talk("2026-12-05T10:00:01Z", "outside", 99.0, json!({}));
    let told = ["a", "b", "c", "inside", "at the cycle's end", "told", "outside"].map(|call| kinds(&story, call));
    assert_eq!(told, ["1u", "2tf", "3r", "4r", "5t", "6", "7t"]);

    let hidden = json!({"from": "anonymous"});
    let story = Story::default().talk("10:00:00", "a", 30.0, hidden.clone()).talk("10:05:00", "b", 30.0, hidden);
    assert_eq!([kinds(&story, "a"), kinds(&story, "b")], ["0t", "0t"]);
}

#[test]
fn settings_in_force_are_those_at_the_start_and_a_cycle_keeps_its_own() {
    let story = Story::default()
        .settings("10:00:00", json!({"target_seconds": 10, "sales_cycle_days": 1}))
        .settings("12:00:00", json!({"target_seconds": 60, "sales_cycle_days": 5}))
        .settings("12:00:00", json!({"target_seconds": 50, "sales_cycle_days": 5}))
        .talk("09:00:00", "before the first", 10.0, json!({}))
        .talk("11:59:59.999999", "before the change", 9.0, json!({}))
        .talk("12:00:00", "at the change", 50.0, json!({}))
        .talk("2026-11-21T09:00:00Z", "after a day", 50.0, json!({}));
    let calls = ["before the first", "before the change", "at the change", "after a day"];
    assert_eq!(calls.map(|call| kinds(&story, call)), ["1utf", "2", "3r", "4t"]);
}
