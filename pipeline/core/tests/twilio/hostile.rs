//! What nobody should send, signed all the same: it must neither break anything, nor stand in our answers.

use callweave_core::event::decode;
use callweave_core::phone::Phone;
use callweave_core::settings::Rules;
use callweave_core::telephony::twilio::{Callback, CallbackError, signature, start_callback, take, take_signalwire};
use callweave_core::telephony::{Hook, Pass, Refused, Terms};
use callweave_core::time::Time;
use proptest::prelude::*;

use super::provider::{BASE, NUMBER, SECRET, Sent, attribute, form, receive, rules};

const NOW: Time = Time(1_795_176_001_000_000);

const SETTINGS: &str = r#"{"pools":[{"name":"main","extensions":3,"on_exhausted":"share"}],"agents":{"sip:a&b@example.com":"<Ada>"},
    "numbers":[{"number":"+442079460000","kind":"pool","pool":"main","forward_to":"sip:a&b@example.com","label":"{number}<b>"},
    {"number":"+442079460001","kind":"overflow","forward_to":"Ada"}],
    "voice":{"greeting":"5 < 6 & \"so\"","record":true,"announcement":"https://example.com/a.mp3?x=1&y=2","transcribe":true,
    "whisper":"{label} {unknown} {","detect_machines":true,"menu":{"say":"<Dial>","keys":[{"key":"1","forward_to":"+442079460999"}]},
    "closed":{"voicemail":true},"unanswered":{"say":"sorry","voicemail":true},"voicemail":{"transcribe":true},
    "assessment":{"say":"?","value":true,"categories":[{"key":"1","category":"a"}]},"callback":{},
    "api":{"account":"AC1"}}}"#;

const STEPS: [&str; 20] = [
    "",
    "status",
    "leg",
    "agent",
    "machine",
    "dial",
    "extension/1",
    "extension/2",
    "menu/1",
    "menu/2",
    "whisper",
    "voicemail",
    "bye",
    "recording",
    "message",
    "transcript",
    "callback",
    "assess",
    "assess/1",
    "assess/2",
];

/// Whether elements are closed in order, and nothing stands where it should not.
fn is_well_formed(xml: &str) -> bool {
    let Some(mut rest) = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>") else { return false };
    let mut open: Vec<&str> = Vec::new();
    while let Some(from) = rest.find('<') {
        if !is_text(&rest[..from]) {
            return false;
        }
        let Some(end) = rest.find('>') else { return false };
        let tag = &rest[from + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return false;
            }
            continue;
        }
        let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let name = tag.split(' ').next().unwrap_or_default();
        if !name.bytes().all(|b| b.is_ascii_alphabetic()) || tag.matches('"').count() % 2 != 0 || !is_text(tag) {
            return false;
        }
        if !is_empty {
            open.push(name);
        }
    }
    open.is_empty() && rest.is_empty()
}

fn is_text(text: &str) -> bool {
    let entities = ["amp;", "lt;", "gt;", "quot;", "apos;", "#9;", "#10;", "#13;"];
    !text.contains(['<', '>']) && text.split('&').skip(1).all(|rest| entities.iter().any(|it| rest.starts_with(it)))
}

fn sent(step: &str, tags: &str, pairs: &[(&str, &str)]) -> Sent {
    Sent { url: format!("{BASE}/{step}?{tags}"), body: form(pairs), at: 0, is_stamped: false }
}

#[test]
fn names_and_numbers_are_escaped() {
    let rules = rules(SETTINGS);
    let hostile = "\"/><Hangup/><Say>'&\u{0}\n";
    for step in STEPS {
        let tags = form(&[("call", hostile), ("from", hostile), ("extension", hostile), ("target", hostile)]);
        for (from, digits) in [(hostile, hostile), ("+447700900123", "1"), ("sip:<b>@example.com", "123")] {
            let pairs = [
                ("CallSid", "CA1"),
                ("From", from),
                ("To", NUMBER),
                ("Direction", "inbound"),
                ("CallStatus", "ringing"),
                ("Digits", digits),
                ("DialCallStatus", "busy"),
                ("RecordingUrl", hostile),
                ("TranscriptionText", hostile),
            ];
            let taken = receive(&rules, &sent(step, &tags, &pairs), NOW).expect(step);
            let reply = taken.reply.body;
            assert!(reply.is_empty() || is_well_formed(&reply), "{step}: {reply}");
            // Redirects, says and dials are ours; a hang-up of theirs would stand behind a quote.
            assert!(!reply.contains("\"/><Hangup/><Say>'"), "{step}: {reply}");
        }
    }
    let whisper =
        receive(&rules, &sent("whisper", "to=%2B442079460000", &[("CallSid", "CA1")]), NOW).unwrap().reply.body;
    assert!(whisper.contains("<Say>{number}&lt;b&gt; {unknown} {</Say>"), "{whisper}");
}

#[test]
fn what_cannot_be_used_is_kept_with_its_bytes() {
    let rules = rules(SETTINGS);
    let call = [("CallSid", "CA1"), ("From", "+447700900123"), ("To", NUMBER), ("CallStatus", "ringing")];
    let with = |name: &'static str, value: &'static str| {
        let mut pairs = call.to_vec();
        pairs.retain(|(held, _)| *held != name);
        pairs.extend((!value.is_empty()).then_some((name, value)));
        pairs
    };
    for (step, pairs, path, reply) in [
        ("", with("To", "+15005550006"), "To", "<Reject/>"),
        ("", with("To", "sip:nobody@example.com"), "To", "<Reject/>"),
        ("", with("Direction", "outbound-api"), "Direction", "<Hangup/>"),
        // Somebody calls, whoever it is: the business hears of it.
        ("", with("CallSid", ""), "CallSid", "<Gather"),
        ("leg", with("CallStatus", "on fire"), "CallStatus", ""),
        ("leg", with("CallStatus", ""), "CallStatus", ""),
        ("status", with("To", "+15005550006"), "To", ""),
        ("dial", with("DialCallStatus", ""), "DialCallStatus", "<Hangup/>"),
        ("dial", with("DialCallStatus", "sleeping"), "DialCallStatus", "<Hangup/>"),
        ("recording", with("RecordingUrl", ""), "RecordingUrl", ""),
        ("transcript", with("TranscriptionEvent", "transcription-content"), "TranscriptionData", ""),
        ("callback", with("From", "anonymous"), "from", "<Hangup/>"),
    ] {
        let request = sent(step, "", &pairs);
        let taken = receive(&rules, &request, NOW).expect(step);
        let rejected = taken.rejected.first().unwrap_or_else(|| panic!("{step} {pairs:?}: {:?}", taken.events));
        assert_eq!((rejected.path.as_str(), rejected.account.as_deref()), (path, Some("acme")), "{step} {pairs:?}");
        assert_eq!(rejected.raw, request.body.as_bytes());
        assert!(taken.reply.body.contains(reply), "{step}: {}", taken.reply.body);
        assert_eq!(taken.reply.status, if reply.is_empty() { 204 } else { 200 });
    }
}

#[test]
fn internal_and_outbound_calls_are_kept_apart() {
    let rules = rules(SETTINGS);
    for (step, from, to, direction, passed, events) in [
        ("", "client:ada", "client:bob", "inbound", 1, 0),
        ("", "sip:ada@x.sip.twilio.com", "sip:bob@x.sip.twilio.com", "inbound", 1, 0),
        ("status", "client:ada", "client:bob", "inbound", 1, 0),
        ("status", "client:ada", "+447700900123", "inbound", 1, 0),
        ("status", NUMBER, "client:ada", "outbound-api", 1, 0),
        ("status", NUMBER, "+447700900123", "outbound-dial", 0, 1),
        ("status", "+447700900123", "+442079460999", "outbound-dial", 1, 0),
        // A softphone of the account's own tries a number. From a SIP address somebody else may call.
        ("", "client:ada", NUMBER, "inbound", 1, 0),
        ("", "client:+447700900123", NUMBER, "inbound", 1, 0),
        ("status", "client:ada", NUMBER, "inbound", 1, 0),
        ("", "sip:bob@example.com", NUMBER, "inbound", 0, 2),
        ("", "sip:+447700900123@example.com", NUMBER, "inbound", 0, 2),
        ("status", "sip:bob@example.com", NUMBER, "inbound", 0, 1),
    ] {
        let pairs = [
            ("CallSid", "CA2"),
            ("ParentCallSid", "CA1"),
            ("From", from),
            ("To", to),
            ("Direction", direction),
            ("CallStatus", if step.is_empty() { "ringing" } else { "busy" }),
        ];
        let taken = receive(&rules, &sent(step, "", &pairs), NOW).expect("signed");
        assert_eq!((taken.passed.len(), taken.events.len()), (passed, events), "{step} {from} {to} {taken:?}");
        assert_eq!(taken.rejected, []);
    }
}

/// It is put through like any call, and nothing on its way makes an event.
#[test]
fn a_softphone_that_tries_a_number_takes_the_way_of_its_calls() {
    let rules = rules(
        r#"{"numbers":[{"number":"+442079460000","kind":"overflow","forward_to":"+442079460999"}],
        "voice":{"transcribe":true,"record":true,"unanswered":{"voicemail":true}}}"#,
    );
    let call = [
        ("CallSid", "CA1"),
        ("From", "client:ada"),
        ("To", NUMBER),
        ("Direction", "inbound"),
        ("CallStatus", "ringing"),
    ];
    let reply = receive(&rules, &sent("", "", &call), NOW).expect("signed").reply.body;
    assert!(reply.ends_with(">+442079460999</Number></Dial></Response>"), "{reply}");
    for (element, name, told) in [
        ("Number", "statusCallback", [("CallSid", "CA2"), ("From", NUMBER), ("CallStatus", "in-progress")]),
        (
            "Dial",
            "recordingStatusCallback",
            [("CallSid", "CA1"), ("RecordingUrl", "https://x/r"), ("RecordingSid", "RE1")],
        ),
        ("Dial", "action", [("CallSid", "CA1"), ("DialCallStatus", "no-answer"), ("CallStatus", "in-progress")]),
        (
            "Transcription",
            "statusCallbackUrl",
            [
                ("CallSid", "CA1"),
                ("TranscriptionEvent", "transcription-content"),
                ("TranscriptionData", "{\"transcript\":\"hello\"}"),
            ],
        ),
    ] {
        let url = attribute(&reply, element, name).expect(name);
        let next = Sent { url, body: form(&told), at: 0, is_stamped: false };
        let taken = receive(&rules, &next, NOW).expect("signed");
        assert_eq!((taken.events.len(), taken.rejected.len()), (0, 0), "{name}: {taken:?}");
        assert_eq!(taken.passed, [Pass::Internal], "{name}");
    }
}

#[test]
fn a_step_that_is_not_ours_is_refused() {
    let rules = rules("{}");
    for step in ["menu/3", "dial/", "STATUS", "x"] {
        assert_eq!(
            receive(&rules, &sent(step, "", &[]), NOW),
            Err(Refused::NoSuchStep(step.trim_start_matches('/').into()))
        );
    }
}

#[test]
fn calls_go_through_as_the_settings_say() {
    let json = r#"{"timezone":"Europe/London","business_hours":{"fri":[["09:00","18:00"]]},
        "numbers":[{"number":"+442079460000","kind":"static","source":"van","label":"Van","forward_to":"+442079460999"},
        {"number":"+442079460001","kind":"overflow","forward_to":"tel:+442079460999","voice":{"caller_id":"tracking","ring_seconds":40,
        "language":"en-GB","greeting":"Hello.","whisper":"{label}"}},
        {"number":"+442079460002","kind":"overflow"},{"number":"+442079460003","kind":"overflow","voice":{"forward_to":"sip:a@b"}}],
        "voice":{"closed":{"forward_to":"+447700900999"}}}"#;
    let rules = rules(json);
    let call = |to: &str, from: &str, at: &str| {
        let pairs =
            [("CallSid", "CA1"), ("From", from), ("To", to), ("CallStatus", "ringing"), ("Direction", "inbound")];
        let taken = receive(&rules, &sent("", "", &pairs), Time::parse(at).unwrap()).expect("signed");
        assert_eq!((taken.rejected.len(), taken.reply.status, taken.reply.content_type), (0, 200, "application/xml"));
        taken.reply.body
    };
    let (friday, sunday, caller) = ("2026-11-20T12:00:00Z", "2026-11-22T12:00:00Z", "+447700900123");
    let plain = call("+442079460000", caller, friday);
    assert_eq!(attribute(&plain, "Dial", "timeout").as_deref(), Some("25"));
    assert_eq!(attribute(&plain, "Dial", "answerOnBridge").as_deref(), Some("true"));
    assert_eq!(attribute(&plain, "Dial", "callerId"), None);
    assert_eq!(attribute(&plain, "Dial", "record"), None);
    assert_eq!(attribute(&plain, "Number", "url"), None);
    assert!(plain.ends_with(">+442079460999</Number></Dial></Response>"), "{plain}");
    let withheld = call("+442079460000", "Anonymous", friday);
    assert_eq!(attribute(&withheld, "Dial", "callerId").as_deref(), Some("+442079460000"));
    let own = call("+442079460001", caller, sunday);
    assert!(own.contains("<Response><Say language=\"en-GB\">Hello.</Say><Dial "), "{own}");
    assert_eq!(attribute(&own, "Dial", "callerId").as_deref(), Some("+442079460001"));
    assert_eq!(attribute(&own, "Dial", "timeout").as_deref(), Some("40"));
    assert!(
        attribute(&own, "Number", "url")
            .is_some_and(|url| url.starts_with("https://calls.example.com/v1/hooks/twilio/acme/whisper?"))
    );
    assert!(call("+442079460000", caller, sunday).ends_with(">+447700900999</Number></Dial></Response>"));
    assert!(call("+442079460002", caller, friday).ends_with("<Response><Hangup/></Response>"));
    assert!(call("+442079460003", caller, friday).ends_with(">sip:a@b</Sip></Dial></Response>"));
}

#[test]
fn a_get_request_is_read_from_its_url() {
    let rules = rules(SETTINGS);
    let url = format!(
        "{BASE}?{}",
        form(&[("CallSid", "CA1"), ("From", "+447700900123"), ("To", NUMBER), ("CallStatus", "ringing")])
    );
    let told = signature(&url, b"", SECRET);
    for (header, is_signalwire) in [("x-twilio-signature", false), ("x-signalwire-signature", true)] {
        let headers = [(header, told.as_str())];
        let hook = Hook { method: "GET", url: &url, step: "", headers: &headers, body: b"", received: NOW };
        let terms = Terms { account: "acme", rules: &rules, secret: Some(SECRET), base: BASE };
        let taken = if is_signalwire { take_signalwire(&hook, &terms) } else { take(&hook, &terms) }.expect("signed");
        assert_eq!(taken.events.len(), 2, "{taken:?}");
        assert_eq!(&*taken.events[0].source, if is_signalwire { "signalwire" } else { "twilio" });
    }
}

#[test]
fn a_repeated_request_is_known_by_its_token() {
    let rules = rules(SETTINGS);
    let id = |token: &str, status: &str| {
        let url = format!("{BASE}/leg?from=%2B1415555&to=%2B442079460000");
        let body = form(&[("CallSid", "CA1"), ("CallStatus", status)]);
        let told = signature(&url, body.as_bytes(), SECRET);
        let headers = [("x-twilio-signature", told.as_str()), ("i-twilio-idempotency-token", token)];
        let hook =
            Hook { method: "POST", url: &url, step: "leg", headers: &headers, body: body.as_bytes(), received: NOW };
        let taken =
            take(&hook, &Terms { account: "acme", rules: &rules, secret: Some(SECRET), base: BASE }).expect("signed");
        taken.events[0].id.to_string()
    };
    assert_eq!(id("one", "ringing"), id("one", "ringing"));
    assert_ne!(id("one", "ringing"), id("two", "ringing"));
    assert_ne!(id("", "ringing"), id("", "answered"));
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(
            &[
                "CallSid",
                "ParentCallSid",
                "AccountSid",
                "From",
                "To",
                "FromCountry",
                "Direction",
                "CallStatus",
                "DialCallStatus",
                "DialCallDuration",
                "DialBridged",
                "CallDuration",
                "Timestamp",
                "Digits",
                "RecordingUrl",
                "RecordingStartTime",
                "RecordingStatus",
                "TranscriptionText",
                "TranscriptionEvent",
                "TranscriptionData",
                "Track",
                "AnsweredBy",
                "SequenceNumber",
                "SipResponseCode",
                "call",
                "from",
                "to",
                "way",
                "extension",
                "after",
                "leg",
                "before",
                "last",
                "target"
            ][..]
        )
        .prop_map(str::to_owned),
        any::<String>(),
    ]
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(
            &[
                "CA1",
                NUMBER,
                "+447700900123",
                "anonymous",
                "client:x",
                "sip:a@b",
                "GB",
                "0207946",
                "inbound",
                "outbound-api",
                "ringing",
                "in-progress",
                "completed",
                "busy",
                "failed",
                "no-answer",
                "canceled",
                "false",
                "3",
                "99999999999",
                "-1",
                "Fri, 20 Nov 2026 12:00:03 +0000",
                "2026-11-20T12:00:03Z",
                "9999-12-31T23:59:59Z",
                "123",
                "1",
                "1*5",
                "hangup",
                "transcription-content",
                "{\"transcript\":\"x\"}",
                "machine_start",
                "callback",
                "9223372036854775807",
                "-9223372036854775808",
                "closed",
                "unanswered",
                "unbridged"
            ][..]
        )
        .prop_map(str::to_owned),
        any::<String>(),
    ]
}

fn looked_at(rules: &Rules, request: &Sent, received: Time) -> Result<(), TestCaseError> {
    let Ok(taken) = receive(rules, request, received) else { return Ok(()) };
    for event in &taken.events {
        let line = event.to_json();
        prop_assert!(decode(line.as_bytes(), Some(received)).is_ok(), "{line}");
    }
    prop_assert!(taken.reply.body.is_empty() || is_well_formed(&taken.reply.body), "{}", taken.reply.body);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_signed_breaks_anything(
        step in prop::sample::select(&STEPS[..]),
        in_url in prop::collection::vec((names(), values()), 0..10),
        in_body in prop::collection::vec((names(), values()), 0..20),
        closed in any::<bool>(),
        received in prop_oneof![Just(NOW.0), 946_684_800_000_000i64..4_102_444_800_000_000],
    ) {
        let json = if closed { SETTINGS.replacen('{', "{\"business_hours\":{},", 1) } else { SETTINGS.to_owned() };
        let rules = Rules::new(serde_json::from_str(&json).unwrap());
        let pairs = |list: &[(String, String)]| form(&list.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>());
        let request = Sent { url: format!("{BASE}/{step}?{}", pairs(&in_url)), body: pairs(&in_body), at: 0, is_stamped: false };
        looked_at(&rules, &request, Time(received))?;
    }

    #[test]
    fn bytes_that_are_no_form_break_nothing(
        body in prop::collection::vec(any::<u8>(), 0..400),
        url in any::<String>(),
        method in prop::sample::select(&["GET", "POST", "PUT", ""][..]),
        kind in prop::sample::select(&["application/json", "", "application/x-www-form-urlencoded"][..]),
        signed in any::<bool>(),
    ) {
        let rules = Rules::default();
        let told = if signed { signature(&url, &body, SECRET) } else { url.clone() };
        let headers = [("x-twilio-signature", told.as_str()), ("content-type", kind)];
        for step in STEPS {
            let hook = Hook { method, url: &url, step, headers: &headers, body: &body, received: NOW };
            let _ = take(&hook, &Terms { account: "acme", rules: &rules, secret: Some(SECRET), base: BASE });
        }
    }
}

#[test]
fn nobody_is_called_back_whom_the_settings_do_not_allow() {
    let settings = |voice: &str, forward_to: &str| {
        let hours = r#""timezone":"Europe/London","business_hours":{"fri":[["09:00","18:00"]]}"#;
        let number = format!(r#"{{"number":"+442079460000","kind":"overflow"{forward_to}}}"#);
        rules(&format!(r#"{{{hours},"numbers":[{number}],"voice":{{{voice}}}}}"#))
    };
    let forward = r#","forward_to":"sip:ada@example.com""#;
    let api = r#""api":{"account":"AC1","host":"api.dublin.ie1.twilio.com"}"#;
    let on = format!(r#""callback":{{}},{api}"#);
    let listed = format!(r#""callback":{{"countries":["DE"]}},{api}"#);
    let friday = Time::parse("2026-11-20T12:00:00Z").unwrap();
    let phone = |text| Phone::parse(text).unwrap();
    let (british, german, own) = (phone("+447400123456"), phone("+493012345678"), phone(NUMBER));
    let there = |country: &str| Some(CallbackError::NotThere { country: country.into() });
    for (voice, forward_to, secret, client, number, at, expected) in [
        (on.as_str(), forward, Some(SECRET), british, own, friday, None),
        (&listed, forward, Some(SECRET), german, own, friday, None),
        (&on, forward, None, british, own, friday, Some(CallbackError::NotConfigured)),
        (&on, forward, Some(""), british, own, friday, Some(CallbackError::NotConfigured)),
        (api, forward, Some(SECRET), british, own, friday, Some(CallbackError::NotSwitchedOn)),
        (&on, "", Some(SECRET), british, own, friday, Some(CallbackError::NoAgent(own))),
        (&on, forward, Some(SECRET), british, british, friday, Some(CallbackError::NotOurs(british))),
        (&on, forward, Some(SECRET), british, own, NOW.plus(12 * 3_600_000_000), Some(CallbackError::Closed)),
        (&on, forward, Some(SECRET), german, own, friday, there("DE")),
        (&listed, forward, Some(SECRET), british, own, friday, there("GB")),
        (&on, forward, Some(SECRET), phone("+883510000000000"), own, friday, there("numbers of no country")),
    ] {
        let rules = settings(voice, forward_to);
        let terms = Terms { account: "acme", rules: &rules, secret, base: BASE };
        let wish = Callback { id: "web/main:01J&x", phone: client, number, at };
        let got = start_callback(&wish, &terms);
        assert_eq!(got.as_ref().err(), expected.as_ref(), "{voice} {client}");
        let Ok(asked) = got else { continue };
        assert_eq!(asked.url, "https://api.dublin.ie1.twilio.com/2010-04-01/Accounts/AC1/Calls.json");
        assert_eq!((asked.user.as_str(), asked.password.as_str(), asked.method), ("AC1", SECRET, "POST"));
        assert!(
            asked.body.starts_with("To=sip%3Aada%40example.com&From=%2B442079460000&Url=https%3A%2F%2F"),
            "{}",
            asked.body
        );
        assert_eq!(asked.body.matches("StatusCallbackEvent=").count(), 4);
        assert_eq!(
            super::scenes::asked(&asked.body, "StatusCallback").split('?').next(),
            Some(&*format!("{BASE}/agent"))
        );
    }
}
