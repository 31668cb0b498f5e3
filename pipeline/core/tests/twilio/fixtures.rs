//! Bodies as they are sent: our own, in the format of those that were captured, and the captured ones where they are.

use std::path::{Path, PathBuf};

use callweave_core::event::{Body, Event};
use callweave_core::settings::Rules;
use callweave_core::telephony::twilio::{signature, take};
use callweave_core::telephony::{Hook, Refused, Terms};
use callweave_core::time::Time;
use serde_json::Value;

use super::provider::{BASE, SECRET, Sent, receive, rules};

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/telephony/twilio").join(name)
}

/// Where the captured bodies are, if they are: beside the repository, or where the project keeps them.
fn original(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cdr");
    [beside, PathBuf::from("/work/shared/data/cdr")]
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const SETTINGS: &str = r#"{"agents":{"+442079460999":"Ada"},"numbers":[
    {"number":"+442079460000","kind":"overflow","forward_to":"+442079460999"},
    {"number":"+12111111111","kind":"overflow","forward_to":"+442079460999"},
    {"number":"+14254096500","kind":"overflow","forward_to":"+442079460999"},
    {"number":"+447412000000","kind":"overflow"},{"number":"+16466060000","kind":"overflow"}]}"#;

/// Events in short: type, status, time of day, and what else they tell.
fn told(event: &Event<'_>) -> String {
    let time = &event.time.to_string()[11..19];
    match &event.body {
        Body::Call(call) => {
            let mut line =
                format!("{} {time} {} {}>{}", event.body.type_name(), call.direction.name(), call.from, call.to);
            line.push_str(&format!(" {:?}", call.status).to_lowercase());
            for (name, value) in [
                ("cause", call.cause.as_deref().map(str::to_owned)),
                ("by", call.hangup_by.map(|it| it.name().to_owned())),
                ("talk", call.talk_seconds.map(|it| it.to_string())),
                ("outcome", call.outcome.map(|it| it.name().to_owned())),
                ("recording", call.recording_url.as_ref().map(|_| "yes".to_owned())),
            ] {
                if let Some(value) = value {
                    line.push_str(&format!(" {name}={value}"));
                }
            }
            line
        }
        other => format!("{} {time}", other.type_name()),
    }
}

fn check(rules: &Rules, body: &str, step: &str, received: &str, expected: &[&str]) {
    // What our own URLs say of the call.
    let tags = "from=%2B447700900123&to=%2B442079460000&after=1&last=1&target=%2B442079460999";
    let url = match step {
        "" => BASE.to_owned(),
        "status" => format!("{BASE}/status"),
        step => format!("{BASE}/{step}?{tags}"),
    };
    let sent = Sent { url, body: body.to_owned(), at: 0, is_stamped: false };
    let received = Time::parse(received).expect(received);
    let taken = receive(rules, &sent, received).expect("signed");
    let mut lines: Vec<String> = taken.events.iter().map(told).collect();
    lines.extend(taken.rejected.iter().map(|it| format!("rejected {}", it.path)));
    lines.extend(taken.passed.iter().map(|it| format!("passed {it:?}").to_lowercase()));
    assert_eq!(lines, expected, "{step} {body}");
    // Sent again, it is the same: the log takes it once.
    let again = receive(rules, &sent, received.plus(60_000_000)).expect("signed");
    let ids = |taken: &[Event<'_>]| taken.iter().map(|it| format!("{} {}", it.source, it.id)).collect::<Vec<_>>();
    assert_eq!(ids(&taken.events), ids(&again.events), "{step}");
    let mut unique = ids(&taken.events);
    unique.dedup();
    assert_eq!(unique.len(), taken.events.len(), "{step}: each event has a name of its own");
}

#[test]
fn own_fixtures_become_events() {
    let rules = rules(SETTINGS);
    const SIDES: &str = "inbound +447700900123>+442079460000";
    for (file, step, expected) in [
        ("incoming_call", "", vec![format!("call 12:02:00 {SIDES} started")]),
        ("incoming_call_withheld", "", vec!["call 12:02:00 inbound anonymous>+442079460000 started".to_owned()]),
        ("leg_ringing", "leg", vec![format!("call 12:00:03 {SIDES} ringing")]),
        ("leg_answered", "leg", vec![format!("call 12:00:09 {SIDES} answered")]),
        ("leg_completed", "leg", vec![format!("call 12:01:12 {SIDES} ended")]),
        ("leg_busy", "leg", vec![format!("call 12:00:05 {SIDES} ended cause=busy (SIP 486) outcome=busy")]),
        (
            "dial_action",
            "dial",
            vec![
                format!("call 12:00:57 {SIDES} answered"),
                format!("call 12:02:00 {SIDES} ended cause=completed by=agent talk=63 recording=yes"),
            ],
        ),
        (
            "dial_action_not_bridged",
            "dial",
            vec![
                format!("call 12:02:00 {SIDES} ringing cause=completed talk=0 outcome=missed"),
                format!("call 12:02:00 {SIDES} ended by=caller"),
            ],
        ),
        (
            "dial_action_no_answer",
            "dial",
            vec![
                format!("call 12:02:00 {SIDES} ringing cause=no-answer talk=0"),
                format!("call 12:02:00 {SIDES} ended by=system"),
            ],
        ),
        (
            "call_completed",
            "status",
            vec![
                format!("call 12:01:13 {SIDES} ended"),
                format!("call 12:00:00 {SIDES} started"),
                format!("call 11:55:00 {SIDES} ended by=caller"),
            ],
        ),
        ("recording", "recording", vec![format!("call 12:00:09 {SIDES} answered recording=yes")]),
        ("transcription", "transcript", vec!["transcript 12:02:00".to_owned()]),
        (
            "outbound_completed",
            "status",
            vec![
                "call 12:00:24 outbound +442079460000>+447700900123 answered".to_owned(),
                "call 12:01:13 outbound +442079460000>+447700900123 ended cause=completed talk=49".to_owned(),
            ],
        ),
    ] {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&rules, &read(&own(&format!("{file}.form"))), step, "2026-11-20T12:02:00.5Z", &expected);
    }
}

#[test]
fn captured_bodies_become_events() {
    let rules = rules(SETTINGS);
    for (file, step, received, expected) in [
        (
            "twilio_inbound_call.form",
            "",
            "2026-11-20T12:00:00Z",
            &["call 12:00:00 inbound +61000000000>+12111111111 started"][..],
        ),
        (
            "twilio_dial_action.form",
            "dial",
            "2026-11-20T12:00:00Z",
            &[
                "call 11:59:57 inbound +447700900123>+442079460000 answered",
                "call 12:00:00 inbound +447700900123>+442079460000 ended cause=completed by=agent talk=3 recording=yes",
            ],
        ),
        (
            "twilio_status_callback_busy.form",
            "status",
            "2022-05-07T14:30:15Z",
            &["call 14:30:14 outbound +447412000000>+260967000000 ended cause=busy (SIP 486) outcome=busy"],
        ),
        (
            "twilio_status_callback_completed.form",
            "status",
            "2018-03-25T09:53:20Z",
            &[
                "call 09:52:30 outbound +16466060000>+551135892100 answered",
                "call 09:53:19 outbound +16466060000>+551135892100 ended cause=completed talk=49",
            ],
        ),
        (
            "twilio_recording_status_SYNTHETIC.form",
            "recording",
            "2026-05-13T12:35:00Z",
            &["call 12:34:19 inbound +447700900123>+442079460000 answered recording=yes"],
        ),
    ] {
        let Some(path) = original(file) else { continue };
        // Personal digits were masked, and so the numbers are none.
        let body = read(&path);
        let body = body.trim_end().replace("2609670000XX", "260967000000").replace("4474120000XX", "447412000000");
        let body = body.replace("1646606XXXX", "16466060000").replace("5511358921XX", "551135892100");
        check(&rules, &body, step, received, expected);
    }
}

fn vectors(path: &Path) {
    let file: Value = serde_json::from_str(&read(path)).expect("JSON");
    let token = file["token"].as_str().expect("a token");
    let vectors = file["vectors"].as_array().expect("vectors");
    assert!(vectors.len() >= 6);
    let (rules, mut last) = (rules("{}"), Value::Null);
    for vector in vectors {
        let (name, url) = (vector["name"].as_str().expect("a name"), vector["url"].as_str().expect("a URL"));
        if vector["params"].is_array() {
            last = vector["params"].clone();
        }
        let pairs: Vec<(&str, &str)> =
            last.as_array().into_iter().flatten().filter_map(|it| it[0].as_str().zip(it[1].as_str())).collect();
        let (body, kind) = match vector["body"].as_str() {
            Some(body) => (body.to_owned(), "application/json"),
            None => (super::provider::form(&pairs), "application/x-www-form-urlencoded"),
        };
        let told = vector["signature"].as_str().expect("a signature");
        let signed = if kind == "application/json" { &b""[..] } else { body.as_bytes() };
        assert_eq!(signature(url, signed, token), told, "{name}");
        // The collector knows its address with the port or without it; Twilio signs what it likes.
        for url in [url.to_owned(), url.replace(":443/", "/").replace(":80/", "/")] {
            let headers = [("x-twilio-signature", told), ("content-type", kind)];
            let hook = |body| Hook {
                method: "POST",
                url: &url,
                step: "status",
                headers: &headers,
                body,
                received: Time(1_795_176_001_000_000),
            };
            let terms = |secret| Terms { account: "acme", rules: &rules, secret: Some(secret), base: BASE };
            assert!(take(&hook(body.as_bytes()), &terms(token)).is_ok(), "{name} {url}");
            let wrong = |it| matches!(it, Err(Refused::WrongSignature(_)));
            assert!(wrong(take(&hook(body.as_bytes()), &terms(SECRET).clone_with(token))), "{name}: another token");
            let other = format!("{body}&x=y");
            assert!(wrong(take(&hook(other.as_bytes()), &terms(token))), "{name}: another body");
        }
    }
}

/// Terms with a token that is surely another.
trait Other {
    fn clone_with(self, token: &str) -> Self;
}

impl Other for Terms<'_> {
    fn clone_with(self, token: &str) -> Self {
        Terms { secret: Some(if token == SECRET { "another" } else { SECRET }), ..self }
    }
}

#[test]
fn vectors_of_the_signature_fit() {
    vectors(&own("signature_vectors.json"));
    if let Some(path) = original("twilio_signature_vectors.json") {
        vectors(&path);
    }
}
