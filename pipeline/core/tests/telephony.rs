//! Telephone systems: what each sends goes through its parser and the join, in any order, twice, or cut to pieces.

#[path = "telephony/play.rs"]
mod play;
#[path = "telephony/signatures.rs"]
mod signatures;
#[path = "telephony/table.rs"]
mod table;

use std::sync::LazyLock;

use callweave_core::event::Event;
use callweave_core::join::Mode;
use callweave_core::telephony::{Pass, sign};
use callweave_core::time::Time;
use play::{ALL, System, fixtures, join, play, rules};
use proptest::prelude::*;

fn noon() -> Time {
    Time::parse("2026-11-20T13:00:00Z").expect("a time")
}

/// What one call's messages become, message by message.
fn messages(system: System, folder: &str, only: &str) -> Vec<Vec<Event<'static>>> {
    let mut paths: Vec<_> = std::fs::read_dir(fixtures().join(folder))
        .expect("fixtures")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(only)))
        .collect();
    paths.sort();
    let rules = rules();
    let mut found = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).expect("a fixture");
        let parts: Vec<&[u8]> = match system {
            System::Vonage => bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty()).collect(),
            _ => vec![&bytes],
        };
        for part in parts {
            let taken = play(system, part, &rules, noon());
            assert!(taken.rejected.is_empty(), "{path:?}: {:?}", taken.rejected);
            found.push(taken.events);
        }
    }
    assert!(found.len() > 1, "{folder}/{only}");
    found
}

/// Each call that several messages tell, and what comes of it.
fn stories() -> Vec<(&'static str, Vec<Vec<Event<'static>>>)> {
    vec![
        ("telnyx", messages(System::Telnyx, "telnyx", "_")),
        ("plivo", messages(System::Plivo, "plivo", "_")),
        ("vonage", messages(System::Vonage, "vonage", "answered")),
        ("bandwidth", messages(System::Bandwidth, "bandwidth", "_")),
        ("freeswitch", messages(System::FreeSwitch, "freeswitch", "_leg")),
    ]
}

/// A system, a call's messages, and what they come to in order: live, and bounded.
type Story = (&'static str, Vec<Vec<Event<'static>>>, [String; 2]);

static STORIES: LazyLock<Vec<Story>> = LazyLock::new(|| {
    let told = |(name, story): (&'static str, Vec<Vec<Event<'static>>>)| {
        let expected = [Mode::Live, Mode::Bounded].map(|mode| rows(&story, mode));
        (name, story, expected)
    };
    stories().into_iter().map(told).collect()
});

fn rows<'e>(order: impl IntoIterator<Item = &'e Vec<Event<'static>>>, mode: Mode) -> String {
    format!("{:#?}", join(order.into_iter().flatten(), mode))
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(48);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    /// Any order, and any message again.
    #[test]
    fn the_order_of_messages_changes_nothing(
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        keys in prop::collection::vec(any::<u32>(), 24),
        live in any::<bool>(),
    ) {
        let mode = if live { Mode::Live } else { Mode::Bounded };
        for (name, story, expected) in STORIES.iter() {
            let mut shuffled: Vec<_> = story.iter().zip(&keys).collect();
            shuffled.sort_by_key(|(_, key)| **key);
            let mut shuffled: Vec<_> = shuffled.into_iter().map(|(message, _)| message).collect();
            for again in &again {
                let at = again.index(shuffled.len());
                shuffled.push(shuffled[at]);
            }
            prop_assert_eq!(&rows(shuffled, mode), &expected[usize::from(!live)], "{}", name);
        }
    }

    /// A message that never comes leaves a call that can be told of.
    #[test]
    fn what_is_lost_is_survived(lost in prop::collection::vec(any::<bool>(), 24)) {
        for (_, story, _) in STORIES.iter() {
            let kept: Vec<_> = story.iter().zip(&lost).filter(|(_, lost)| !**lost).map(|(it, _)| it).collect();
            let events = kept.iter().map(|it| it.len()).sum::<usize>();
            let rows = join(kept.into_iter().flatten(), Mode::Bounded);
            prop_assert!(events == 0 || !rows.is_empty());
        }
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let rules = rules();
        for system in ALL {
            let taken = play(system, &bytes, &rules, noon());
            join(&taken.events, Mode::Live);
        }
    }

    /// Real messages with some bytes of them changed: deep in the parsers, and never an event that the decoder refuses.
    #[test]
    fn nothing_panics_deep_inside(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let all = table::OWN;
        let (name, system) = all[which.index(all.len())];
        let mut bytes = std::fs::read(fixtures().join(name)).expect("a fixture");
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        let taken = play(system, &bytes, &rules(), noon());
        join(&taken.events, Mode::Live);
    }
}

#[test]
fn a_clock_that_is_off_is_not_believed() {
    let bytes = std::fs::read(fixtures().join("telnyx/7_hangup.json")).expect("a fixture");
    for (received, expected) in [
        ("2026-11-20T12:02:21Z", "2026-11-20T12:02:20.000000Z"),
        ("2026-11-21T12:02:19Z", "2026-11-20T12:02:20.000000Z"),
        ("2026-11-21T12:02:21Z", "2026-11-21T12:02:21.000000Z"),
        ("2026-11-19T12:02:00Z", "2026-11-19T12:02:00.000000Z"),
    ] {
        let taken = play(System::Telnyx, &bytes, &rules(), Time::parse(received).expect("a time"));
        let last = taken.events.last().expect("the end");
        assert_eq!(last.time.to_string(), expected, "received {received}");
    }
    // A record moves as a whole.
    let bytes = std::fs::read(fixtures().join("freeswitch/a_leg.json")).expect("a fixture");
    let received = Time::parse("2026-12-24T00:00:00Z").expect("a time");
    let row = join(&play(System::FreeSwitch, &bytes, &rules(), received).events, Mode::Bounded);
    let row = row.values().next().expect("a call");
    assert_eq!(row.ended_at, Some(received));
    assert_eq!((row.ring_seconds, row.talk_seconds), (Some(9.25), 62.0));
}

#[test]
fn inside_calls_are_no_calls() {
    let bytes = std::fs::read(fixtures().join("asterisk/master_18.csv")).expect("a fixture");
    let taken = play(System::Master, &bytes, &rules(), noon());
    assert_eq!(taken.passed, [Pass::Internal]);
    // A call is told when the next begins: twice the file is twice the same events.
    let ids =
        |taken: &callweave_core::telephony::Taken| taken.events.iter().map(|it| it.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&taken), ids(&play(System::Master, &bytes, &rules(), noon())));
}

/// What Telnyx would say of one leg at this second of the minute, tagged.
fn leg_says(second: u32, leg: &str, role: &str, kind: &str, cause: &str, dialled: u32) -> Vec<Event<'static>> {
    let tag = format!("leg={role}&from=%2B447700900123&to=%2B442079460100&call=cb-1");
    let at = |second: u32| format!("2026-11-20T12:00:{second:02}Z");
    let body = serde_json::json!({ "data": { "event_type": kind, "id": format!("{leg}-{kind}"), "occurred_at": at(second),
        "payload": { "call_leg_id": leg, "call_session_id": leg, "client_state": sign::to_base64(tag.as_bytes()),
            "from": "+442079460100", "to": "+442079460998", "hangup_cause": cause, "start_time": at(dialled) } } });
    play(System::Telnyx, body.to_string().as_bytes(), &rules(), noon()).events
}

#[test]
fn a_transfer_is_answered_by_whom_it_goes_to() {
    let at = |second: u32| format!("2026-11-20T12:00:{second:02}Z");
    let says = |kind: &str, second: u32, cause: &str| {
        let body = serde_json::json!({ "eventType": kind, "callId": "c", "from": "+447700900123", "to": "+442079460100",
            "direction": "inbound", "eventTime": at(second), "startTime": at(0), "answerTime": at(2), "endTime": at(second),
            "transferTo": "+442079460999", "cause": cause });
        play(System::Bandwidth, body.to_string().as_bytes(), &rules(), noon()).events
    };
    let said = [says("initiate", 0, ""), says("transferAnswer", 20, ""), says("transferComplete", 50, "hangup")];
    let rows = join(&said.concat(), Mode::Live);
    let row = rows.get("c").expect("the call");
    assert_eq!(row.answered_at.map(|at| at.to_string()).as_deref(), Some("2026-11-20T12:00:20.000000Z"));
}

/// What Bandwidth would say at this second of a call that began with the minute.
fn bandwidth_says(second: u32, kind: &str, to: &str, cause: &str) -> Vec<Event<'static>> {
    let at = |second: u32| format!("2026-11-20T12:00:{second:02}Z");
    let body = serde_json::json!({ "eventType": kind, "callId": "c", "from": "+447700900123", "to": "+442079460100",
        "direction": "inbound", "eventTime": at(second), "startTime": at(0), "endTime": at(second), "transferTo": to,
        "cause": cause });
    play(System::Bandwidth, body.to_string().as_bytes(), &rules(), noon()).events
}

#[test]
fn the_agent_is_whose_leg_was_joined_last() {
    let (ada, nameless) = ("+442079460998", "+442079460999");
    let said = [bandwidth_says(0, "initiate", ada, ""), bandwidth_says(10, "transferAnswer", ada, "")].concat();
    let then = [said.clone(), bandwidth_says(40, "bridgeTargetAnswer", nameless, "")].concat();
    for (said, expected) in [(said, (Some(ada), Some("Ada"))), (then, (Some(nameless), None))] {
        let rows = join(&said, Mode::Live);
        let row = rows.get("c").expect("the call");
        assert_eq!((row.destination.as_deref(), row.agent.as_deref()), expected);
    }
}

#[test]
fn a_caller_with_a_sip_address_calls_in_to_the_end() {
    for from in ["sip:alice@example.com", "12345", "anonymous"] {
        let says = |second: u32, kind: &str, direction: Option<&str>| {
            let body = serde_json::json!({ "data": { "event_type": kind, "id": kind, "occurred_at": format!("2026-11-20T12:00:{second:02}Z"),
                "payload": { "call_leg_id": "l", "call_session_id": "s", "from": from, "to": "+442079460100", "direction": direction,
                    "hangup_cause": "normal_clearing" } } });
            play(System::Telnyx, body.to_string().as_bytes(), &rules(), noon()).events
        };
        let events = [says(1, "call.initiated", Some("incoming")), says(31, "call.hangup", None)].concat();
        let rows = join(&events, Mode::Live);
        let row = rows.get("s").expect("the call");
        assert_eq!(row.ended_at.map(|at| at.to_string()).as_deref(), Some("2026-11-20T12:00:31.000000Z"), "{from}");
    }
}

#[test]
fn the_legs_of_a_call_make_one_outcome() {
    let (hangup, bridged) = ("call.hangup", "call.bridged");
    type Said = (u32, &'static str, &'static str, &'static str, &'static str, u32);
    let stories: [(&str, &[Said]); 6] = [
        (
            "callback_agent_missed",
            &[(1, "a", "agent", "call.initiated", "", 1), (30, "a", "agent", hangup, "timeout", 1)],
        ),
        (
            "callback_client_missed",
            &[
                (1, "a", "agent", "call.initiated", "", 1),
                (5, "a", "agent", "call.answered", "", 1),
                (6, "c", "client", "call.initiated", "", 6),
                (20, "c", "client", hangup, "user_busy", 6),
                (21, "a", "agent", hangup, "normal_clearing", 1),
            ],
        ),
        (
            "answered",
            &[
                (1, "a", "agent", "call.initiated", "", 1),
                (6, "c", "client", "call.initiated", "", 6),
                (9, "c", "client", bridged, "", 6),
                (50, "c", "client", hangup, "normal_clearing", 6),
                (51, "a", "agent", hangup, "normal_clearing", 1),
            ],
        ),
        // The first is busy, the second takes it.
        (
            "answered",
            &[
                (2, "x", "forward", hangup, "user_busy", 1),
                (9, "y", "forward", bridged, "", 3),
                (50, "y", "forward", hangup, "normal_clearing", 3),
            ],
        ),
        // Answered, then passed on to somebody who is busy, while the first still holds it.
        (
            "answered",
            &[
                (2, "x", "forward", bridged, "", 1),
                (21, "x", "forward", hangup, "normal_clearing", 1),
                (22, "y", "forward", hangup, "user_busy", 20),
            ],
        ),
        // Two at once: busy is told before failed; the one that was cancelled says nothing.
        (
            "busy",
            &[
                (2, "x", "forward", hangup, "user_busy", 1),
                (3, "y", "forward", hangup, "unallocated_number", 1),
                (4, "z", "forward", hangup, "originator_cancel", 1),
                (5, "w", "forward", hangup, "lose_race", 1),
            ],
        ),
    ];
    for (expected, story) in stories {
        let says =
            |&(second, leg, role, kind, cause, dialled): &Said| leg_says(second, leg, role, kind, cause, dialled);
        let told: Vec<_> = story.iter().map(says).collect();
        for order in [told.iter().collect::<Vec<_>>(), told.iter().rev().collect()] {
            let rows = join(order.into_iter().flatten(), Mode::Bounded);
            let outcome = rows.get("cb-1").and_then(|row| row.outcome).map(|outcome| outcome.name());
            assert_eq!((rows.len(), outcome), (1, Some(expected)), "{story:?}");
        }
    }
}
