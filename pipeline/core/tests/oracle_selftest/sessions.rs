//! Sessions, leases, settings and duplicates.

use serde_json::{Value, json};

use crate::oracle::micros;
use crate::story::*;

const HOME: &str = "https://a.example/";

fn unnamed(at: &str) -> String {
    format!("v.{}", micros(&time(at)))
}

#[test]
fn a_gap_of_the_timeout_splits_and_a_microsecond_less_does_not() {
    let story = Story::default().page("10:00:00", HOME).page("10:29:59.999999", HOME).page("10:59:59.999999", HOME);
    assert_eq!(session_ids(&story), [unnamed("10:00:00"), unnamed("10:59:59.999999")]);
    check_session(&story, &unnamed("10:00:00"), json!({"pages": 2, "ended_at": column("10:29:59.999999")}));
}

#[test]
fn a_new_campaign_splits() {
    let spring = "https://a.example/?utm_source=g&utm_campaign=spring";
    let cases: [(&str, &str, usize); 9] = [
        (HOME, spring, 2),
        (spring, "https://a.example/b?utm_campaign=spring&utm_source=g", 1),
        (spring, "https://a.example/?utm_source=g", 2),
        (spring, HOME, 1),
        (spring, "https://a.example/?utm_source=", 1),
        (HOME, "https://a.example/?gclid=1", 2),
        ("https://a.example/?gclid=1", "https://a.example/b?gclid=1", 1),
        ("https://a.example/?gclid=1", "https://a.example/?gclid=2", 2),
        ("https://a.example/?gclid=1", "https://a.example/?msclkid=1", 2),
    ];
    for (first, second, sessions) in cases {
        let story = Story::default().page("10:00:00", first).page("10:01:00", second);
        assert_eq!(session_ids(&story).len(), sessions, "{first} then {second}");
    }
    // Before the first page view there is no campaign to differ from; and two sessions cannot start at one instant.
    let click = json!({"visitor_id": "v", "name": "x"});
    let story = Story::default().on("10:00:00", "web_event", click).page("10:01:00", spring);
    check_session(&story, &unnamed("10:00:00"), json!({"pages": 1, "campaign": "spring"}));
    let story = Story::default().page("10:00:00", HOME).page("10:00:00", spring);
    check_session(&story, &unnamed("10:00:00"), json!({"pages": 2, "source": "(direct)", "exit_page": spring}));
}

#[test]
fn the_timeout_is_that_of_the_later_event() {
    let story = Story::default()
        .settings("09:00:00", json!({"session_timeout_minutes": 10}))
        .settings("10:09:00", json!({"session_timeout_minutes": 5}))
        .page("10:00:00", HOME)
        .page("10:08:59", HOME)
        .page("10:13:59", HOME);
    assert_eq!(session_ids(&story), [unnamed("10:00:00"), unnamed("10:13:59")]);
}

#[test]
fn heartbeats_without_id_belong_to_the_latest_session_begun_and_never_keep_it_open() {
    let beat = json!({"visitor_id": "v"});
    let story = Story::default()
        .on("09:59:59", "heartbeat", beat.clone())
        .page("10:00:00", HOME)
        .on("10:20:00", "heartbeat", beat.clone())
        .page("10:40:00", HOME)
        .on("12:00:00", "heartbeat", beat);
    check_session(&story, &unnamed("10:00:00"), json!({"ended_at": column("10:20:00"), "visit_number": 1}));
    check_session(&story, &unnamed("10:40:00"), json!({"ended_at": column("12:00:00"), "visit_number": 2}));
    assert_eq!(session_ids(&story).len(), 2);
}

#[test]
fn events_with_and_without_id_are_two_sessions_and_any_event_names_one() {
    let named = json!({"visitor_id": "v", "session_id": "s"});
    let story = Story::default().page("10:00:00", HOME).on("09:00:00", "heartbeat", named.clone()).on(
        "10:05:00",
        "page_view",
        with(named, json!({"url": "https://a.example/b?gclid=1", "language": "de"})),
    );
    check_session(
        &story,
        "s",
        json!({"visit_number": 1, "started_at": column("09:00:00"), "ended_at": column("10:05:00"), "pages": 1,
            "click_id_type": "gclid", "click_id": "1", "language": "de", "landing_page": "https://a.example/b?gclid=1"}),
    );
    check_session(&story, &unnamed("10:00:00"), json!({"visit_number": 2, "pages": 1}));
    let story = Story::default().lease("10:00:00", "l", "s", "10:30:00");
    check_session(&story, "s", json!({"visitor_id": "v-s", "pages": 0, "source": null, "channel": null}));
}

#[test]
fn the_first_to_arrive_counts() {
    let mut story = Story::default().page("10:05:00", "https://a.example/told").page("10:00:00", HOME);
    story.0[1]["id"] = story.0[0]["id"].clone();
    assert_eq!(session_ids(&story), [unnamed("10:05:00")]);
    // By account, source and id.
    story.0[1]["source"] = json!("other");
    assert_eq!(session_ids(&story), [unnamed("10:00:00")]);
}

#[test]
fn equal_times_go_by_arrival() {
    let story = Story::default().page("10:00:00", "https://a.example/1").page("10:00:00", "https://a.example/2");
    let pages = json!({"landing_page": "https://a.example/1", "exit_page": "https://a.example/2"});
    check_session(&story, &unnamed("10:00:00"), pages);
}

#[test]
fn a_lease_is_renewed_and_released() {
    let renewed = |until: &str| json!({"lease_id": "l", "expires_at": time(until)});
    let story = Story::default()
        .on("10:01:00", "lease_renewed", renewed("12:00:00"))
        .lease("10:00:00", "l", "s", "10:30:00")
        .lease("10:02:00", "l", "other", "23:00:00")
        .on("10:03:00", "lease_renewed", renewed("10:10:00"))
        .on("10:20:00", "lease_released", json!({"lease_id": "l"}))
        .on("10:15:00", "lease_released", json!({"lease_id": "l"}))
        .on("10:00:00", "lease_renewed", json!({"lease_id": "unknown", "expires_at": time("12:00:00")}));
    let world = story.world();
    assert_eq!(world.leases.len(), 1);
    check(
        &world.leases[&key("l")],
        json!({"session_id": "s", "granted_at": column("10:00:00"), "expires_at": column("12:00:00"),
            "released_at": column("10:15:00"), "renewals": 2, "number": N, "extension": null}),
    );
    assert_eq!(session_ids(&story), ["s"]);
    check_session(&story, "s", json!({"ended_at": column("10:03:00")}));
}

#[test]
fn a_lease_without_id_belongs_to_the_latest_session_begun_by_its_grant() {
    let grant =
        |id: &str| json!({"lease_id": id, "pool": "p", "number": N, "visitor_id": "v", "expires_at": time("13:00:00")});
    let story = Story::default()
        .on("09:00:00", "lease_granted", grant("before"))
        .on("10:00:00", "lease_granted", grant("at"))
        .page("10:00:00", HOME)
        .page("11:00:00", HOME);
    let of = |id: &str| story.world().leases[&key(id)]["session_id"].clone();
    assert_eq!((of("before"), of("at")), (Value::Null, json!(unnamed("10:00:00"))));
}

#[test]
fn first_source_is_that_of_visit_1() {
    let named = json!({"visitor_id": "v-s", "session_id": "a", "url": "https://a.example/?utm_source=first"});
    let story = Story::default()
        .on("10:00:00", "page_view", with(named.clone(), json!({"session_id": "s", "url": HOME})))
        .on("09:00:00", "page_view", named)
        .lease("10:00:00", "l", "s", "10:30:00")
        .call("10:05:00.5", "c", "started", json!({}));
    check_call(
        &story,
        "c",
        json!({"visit_number": 2, "source": "(direct)", "first_source": "first", "first_channel": "first/(none)",
            "first_campaign": null, "session_started_at": column("10:00:00"), "seconds_to_call": 300.5,
            "session_pages": 1, "call_page": HOME}),
    );
}
