//! The decoder from outside: what it takes, what it refuses and in which words, and that no bytes whatever upset it.

mod common;

use callweave_core::event::{Body, Event, TYPES, decode};
use callweave_core::limits::{EVENT_BYTES_MAX, NESTING_MAX};
use callweave_core::time::Time;
use common::{bad, data, event, with};
use proptest::prelude::*;
use serde_json::{Value, json};

fn text(event: &Value) -> String {
    event.to_string()
}

/// What stands in `expected` is what is said of `bytes`: account, path and words of the reason.
fn check(bytes: &[u8], received: Option<&str>, expected: (Option<&str>, &str, &str)) {
    let received = received.map(|text| Time::parse(text).expect("a time"));
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
    let rejected = decode(bytes, received).expect_err(&shown);
    let (account, path, words) = expected;
    assert_eq!(
        (rejected.account.as_deref(), rejected.path.as_str()),
        (account, path),
        "{} of {shown}",
        rejected.reason
    );
    assert!(rejected.reason.contains(words), "{:?} lacks {words:?}", rejected.reason);
    assert!(path.is_empty() || rejected.reason.starts_with(&format!("{path}: ")), "{}", rejected.reason);
    assert_eq!(rejected.raw, bytes);
}

#[test]
fn every_type_is_read_and_written_back() {
    let mut seen: Vec<&str> = Vec::new();
    for (kind, data) in data() {
        let text = text(&event(kind, data));
        let event = decode(text.as_bytes(), None).unwrap_or_else(|rejected| panic!("{}: {text}", rejected.reason));
        assert_eq!(event.body.type_name(), kind);
        assert_eq!((event.account.as_str(), event.id.as_str(), event.source.as_str()), ("acme", "01JD3", "web/main"));
        let written = event.to_json();
        assert_eq!(decode(written.as_bytes(), None).as_ref(), Ok(&event), "{written}");
        seen.push(kind);
    }
    assert!(TYPES.iter().all(|kind| seen.contains(kind)));
}

#[test]
fn strings_are_borrowed() {
    let text = text(&event("heartbeat", json!({ "visitor_id": "v-1" })));
    let event = decode(text.as_bytes(), None).expect("an event");
    let Body::Heartbeat(heartbeat) = &event.body else { panic!("{event:?}") };
    assert!(matches!(heartbeat.visitor_id.0, std::borrow::Cow::Borrowed(_)));
}

#[test]
fn bad_data_is_refused_in_words() {
    for (kind, data, path, words, _) in bad() {
        check(text(&event(kind, data)).as_bytes(), None, (Some("acme"), path, words));
    }
}

#[test]
fn bad_envelopes_are_refused_in_words() {
    let good = event("heartbeat", json!({ "visitor_id": "v" }));
    for name in ["specversion", "id", "source", "type", "time", "data"] {
        let mut event = good.clone();
        event.as_object_mut().expect("an object").remove(name);
        check(text(&event).as_bytes(), None, (Some("acme"), name, "is missing"));
    }
    let mut event = good.clone();
    event.as_object_mut().expect("an object").remove("account");
    check(text(&event).as_bytes(), None, (None, "account", "is missing"));
    for (member, value, words) in [
        ("specversion", json!("0.3"), "\"0.3\" is not \"1.0\""),
        ("specversion", json!(1.0), "should be a string"),
        ("id", json!(""), "is empty"),
        ("id", json!("a\nb"), "control characters"),
        ("source", Value::Null, "is null, and should be a string"),
        ("type", json!("pageview"), "\"pageview\" is not one of page_view, web_event, heartbeat"),
        ("type", json!(5), "is the number 5"),
        ("time", json!("1970-01-01T00:00:00Z"), "is before 2000"),
        ("time", json!("2090-01-01T00:00:00Z"), "is more than 24 hours after it was recorded"),
        ("time", json!("yesterday"), "\"yesterday\" is not an RFC 3339 time"),
        ("recordedtime", json!("1970-01-01T00:00:00Z"), "is before 2000"),
        ("recordedtime", json!(0), "is the number 0"),
        ("data", json!(7), "is the number 7, and should be a JSON object"),
    ] {
        check(text(&with(good.clone(), member, value)).as_bytes(), None, (Some("acme"), member, words));
    }
    // An event without `recordedtime` is told of its own member.
    let mut event = with(good.clone(), "time", json!("1970-01-01T00:00:00Z"));
    event.as_object_mut().expect("an object").remove("recordedtime");
    check(text(&event).as_bytes(), None, (Some("acme"), "time", "is before 2000"));
    for account in ["", "a b", "ä", "a/b", &"a".repeat(65)] {
        let event = with(good.clone(), "account", json!(account));
        check(text(&event).as_bytes(), None, (None, "account", "is not an account's name"));
    }
}

#[test]
fn what_is_no_json_is_refused_in_words() {
    let good = text(&event("heartbeat", json!({ "visitor_id": "v" })));
    let acme = Some("acme");
    for (bytes, account, words) in [
        (b"".to_vec(), None, "is empty"),
        (b" \t".to_vec(), None, "is empty"),
        (b"hello".to_vec(), None, "is not JSON: expected value at column 1"),
        (b"[1]".to_vec(), None, "is an array, and an event is a JSON object"),
        (b"\"x\"".to_vec(), None, "is a string, and"),
        (b"12".to_vec(), None, "is a number, and"),
        (b"null".to_vec(), None, "is null, and"),
        (b"{}x".to_vec(), None, "is not JSON: trailing characters at column 3"),
        (format!("{good}{good}").into_bytes(), acme, "is not JSON: trailing characters"),
        (good.as_bytes()[..good.len() - 1].to_vec(), acme, "is not JSON: EOF while parsing an object"),
        (br#"{"account":"acme", oops}"#.to_vec(), acme, "is not JSON: key must be a string at column 20"),
        (b"{\"account\":\"acme\",\n oops}".to_vec(), acme, "at line 2, column 2"),
        (b"{\"account\":\"acme\",\"x\":\"\xff\"}".to_vec(), acme, "is not UTF-8: byte 24 is 0xFF"),
        (b"{\"account\":\"acme\",\"x\":\"\x01\"}".to_vec(), acme, "is not JSON: control character"),
        (b"{\"account\":\"acme\",\"x\":01}".to_vec(), acme, "is not JSON: invalid number"),
        (vec![0; 100], None, "is not JSON"),
    ] {
        check(&bytes, None, (account, "", words));
    }
}

#[test]
fn members_in_any_order_twice_and_unknown() {
    let data_first = r#"{"data":{"visitor_id":"v"},"account":"acme","time":"2026-11-20T12:34:56Z","type":"heartbeat","source":"s","id":"i","specversion":"1.0"}"#;
    assert!(matches!(decode(data_first.as_bytes(), None).map(|event| event.body), Ok(Body::Heartbeat(_))));
    check(data_first.replace("\"v\"", "7").as_bytes(), None, (Some("acme"), "data.visitor_id", "is the number 7"));

    let unknown = data_first
        .replace("{\"visitor_id\"", "{\"x\":1,\"x\":{\"y\":[2]},\"visitor_id\"")
        .replace("\"id\":", "\"q\":null,\"q\":[[]],\"id\":");
    assert!(decode(unknown.as_bytes(), None).is_ok(), "{unknown}");

    let twice = data_first.replace("\"id\":", "\"id\":\"j\",\"id\":");
    check(twice.as_bytes(), None, (Some("acme"), "id", "stands here twice"));
    let twice = data_first.replace("{\"visitor_id\"", "{\"visitor_id\":\"w\",\"visitor_id\"");
    check(twice.as_bytes(), None, (Some("acme"), "data.visitor_id", "stands here twice"));

    let nothing = event("heartbeat", json!({ "visitor_id": "v", "session_id": null }));
    let text = text(&nothing);
    let Ok(Event { body: Body::Heartbeat(heartbeat), .. }) = decode(text.as_bytes(), None) else { panic!("{text}") };
    assert_eq!(heartbeat.session_id, None);
}

#[test]
fn recorded_is_never_later_than_received() {
    let at = |hour: u32| format!("2026-11-20T{hour:02}:00:00Z");
    for (time, recordedtime, received, expected) in [
        (10, None, None, 10),
        (10, None, Some(12), 12),
        (10, Some(11), None, 11),
        (10, Some(11), Some(12), 11),
        (10, Some(13), Some(12), 12),
        (14, Some(13), Some(12), 12),
    ] {
        let mut event = event("heartbeat", json!({ "visitor_id": "v" }));
        event["time"] = json!(at(time));
        event["recordedtime"] = json!(recordedtime.map(at));
        let received = received.map(|hour| Time::parse(&at(hour)).expect("a time"));
        let text = text(&event);
        let recorded = decode(text.as_bytes(), received).map(|event| event.recorded);
        assert_eq!(recorded, Ok(Time::parse(&at(expected)).expect("a time")), "{text}");
    }
    let mut event = event("heartbeat", json!({ "visitor_id": "v" }));
    event["time"] = json!("2026-11-21T12:00:01Z");
    event["recordedtime"] = Value::Null;
    let expected = (Some("acme"), "time", "more than 24 hours after it was recorded");
    check(text(&event).as_bytes(), Some("2026-11-20T12:00:00Z"), expected);
}

#[test]
fn limits_hold_at_the_limit() {
    let good = event("heartbeat", json!({ "visitor_id": "v" }));
    let empty = text(&with(good.clone(), "pad", json!("")));
    let padded = |len: usize| text(&with(good.clone(), "pad", json!("x".repeat(len))));
    assert!(decode(padded(EVENT_BYTES_MAX - empty.len()).as_bytes(), None).is_ok());
    let over = padded(EVENT_BYTES_MAX - empty.len() + 1);
    check(over.as_bytes(), None, (Some("acme"), "", "has more than 1048576 bytes, and an event may have no more"));

    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep = |depth: usize, member: &str| {
        text(&good).replace("{\"visitor_id\"", &format!("{{\"{member}\":{},\"visitor_id\"", nested(depth)))
    };
    for member in ["x", "session_id"] {
        let words = format!("nests more than {NESTING_MAX} arrays");
        for depth in [NESTING_MAX - 1, 1_000, 100_000] {
            check(deep(depth, member).as_bytes(), None, (Some("acme"), "", &words));
        }
    }
    assert!(decode(deep(NESTING_MAX - 2, "x").as_bytes(), None).is_ok());
    check("[".repeat(100_000).as_bytes(), None, (None, "", "nests more than"));
    check("{\"a\":".repeat(100_000).as_bytes(), None, (None, "", "nests more than"));
    let many_flat = text(&with(good, "x", json!(vec![json!([]); 1_000])));
    assert!(decode(many_flat.as_bytes(), None).is_ok());
}

#[test]
fn numbers_that_are_none_are_refused() {
    let call = text(&event(
        "call",
        json!({ "call_id": "c", "status": "ended", "direction": "inbound",
        "from": "anonymous", "to": "+14155550124", "talk_seconds": 77 }),
    ));
    for (number, path, words) in [
        ("1e400", "", ""),
        ("-1e400", "", ""),
        ("NaN", "", "is not JSON"),
        ("Infinity", "", "is not JSON"),
        ("+1", "", "is not JSON"),
        ("-0.001", "data.talk_seconds", "is not between"),
        ("1e300", "data.talk_seconds", "is not between"),
    ] {
        let bytes = call.replace("77", number);
        let rejected = decode(bytes.as_bytes(), None).expect_err(number);
        assert!(path.is_empty() || rejected.path == path, "{number}: {rejected:?}");
        assert!(rejected.reason.contains(words), "{number}: {rejected:?}");
    }
}

/// What the standard reader says of these bytes as JSON.
fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

fn sample() -> impl Strategy<Value = Vec<u8>> {
    let samples: Vec<Vec<u8>> = data().into_iter().map(|(kind, data)| text(&event(kind, data)).into_bytes()).collect();
    prop::sample::select(samples)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes, None);
    }

    #[test]
    fn arbitrary_json_text_never_panics(text in "[\\[\\]{}\":,0-9a-z\\\\ue.+ -]{0,200}") {
        let _ = decode(text.as_bytes(), None);
    }

    #[test]
    fn damaged_events_never_panic_and_what_is_taken_is_json(
        mut bytes in sample(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..4),
    ) {
        for (at, byte, how) in damage {
            let at = at.index(bytes.len().max(1));
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if at < bytes.len() => { bytes.remove(at); }
                _ => bytes.truncate(at.max(1)),
            }
        }
        match decode(&bytes, None) {
            Ok(event) => {
                prop_assert!(is_json(&bytes), "{}", String::from_utf8_lossy(&bytes));
                let written = event.to_json();
                prop_assert_eq!(decode(written.as_bytes(), None), Ok(event), "{}", written);
            }
            Err(rejected) => {
                prop_assert_eq!(&rejected.raw, &bytes);
                prop_assert!(!rejected.reason.is_empty());
            }
        }
    }

    #[test]
    fn strings_of_any_kind_are_read_as_the_standard_reader_does(title in any::<String>(), seconds in 0.0..600_000.0f64) {
        let page = text(&event("page_view", json!({ "visitor_id": "v", "url": "/", "title": title, "consent": seconds })));
        if let Ok(Event { body: Body::PageView(data), .. }) = decode(page.as_bytes(), None) {
            prop_assert_eq!(data.title.as_deref(), Some(title.as_str()));
            prop_assert_eq!(data.consent, Some(json!(seconds)));
        } else {
            prop_assert!(title.len() > 1024);
        }
    }

    #[test]
    fn wrong_types_anywhere_are_refused_with_a_path_or_taken(
        (sample, member, value) in (prop::sample::select(data()), any::<prop::sample::Index>(), prop::sample::select(vec![
            json!(null), json!(true), json!(-1), json!(1e308), json!(""), json!("\u{0}"), json!([]), json!({}),
            json!([[[]]]), json!({"a": {}}), json!("9999-12-31T23:59:59.999999999Z"), json!("x".repeat(20_000)),
        ])),
    ) {
        let (kind, mut data) = sample;
        let names: Vec<String> = data.as_object().map(|data| data.keys().cloned().collect()).unwrap_or_default();
        if !names.is_empty() {
            let name = &names[member.index(names.len())];
            data[name.as_str()] = value;
            let text = text(&event(kind, data));
            match decode(text.as_bytes(), None) {
                Ok(event) => prop_assert_eq!(event.body.type_name(), kind),
                Err(rejected) => prop_assert!(rejected.path.starts_with("data"), "{rejected:?}"),
            }
        }
    }
}
