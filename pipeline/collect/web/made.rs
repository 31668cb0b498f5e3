//! Contract events made of what a page sent. What the page must not say itself (account, source, address, user agent,
//! time of receipt) is put in here; everything else stays for the decoder to check, as with events of any sender.

use std::net::IpAddr;

use callweave_core::limits::{LANGUAGE_BYTES_MAX, USER_AGENT_BYTES_MAX};
use callweave_core::time::{MICROS_PER_SECOND, Time};
use sonic_rs::LazyValue;

use super::super::intake::{Intake, Terms};
use super::super::replies::Refusal;
use super::hit::{Events, Sent, raw_events};
use crate::line::{Envelope, Lines};

/// A browser's clock that is off by more is corrected; less may as well be the way here.
const CLOCK_TOLERANCE: i64 = 10 * MICROS_PER_SECOND;
/// What pages may tell. Everything else has senders with a key.
const TYPES: [&str; 3] = ["page_view", "web_event", "heartbeat"];

/// What all events of a request have in common.
pub struct Browser<'a> {
    /// What the events have as `source`.
    pub source: &'a str,
    pub visitor: &'a str,
    pub session: Option<&'a str>,
    pub address: IpAddr,
    pub user_agent: Option<&'a str>,
    /// What is added to the browser's times, in microseconds.
    pub correction: i64,
}

/// What to add to times of a browser whose clock said `sent_at` when this one said `received`: nothing for a clock that is
/// about right, or that says nothing.
pub fn correction(sent_at: Option<&str>, received: Time) -> i64 {
    let off = sent_at.and_then(|text| Time::parse(text).ok()).map_or(0, |sent_at| received.since(sent_at));
    if off.saturating_abs() > CLOCK_TOLERANCE { off } else { 0 }
}

/// A header's value for an event, cut to what an event may have.
pub fn header_text(value: Option<&axum::http::HeaderValue>, max: usize) -> Option<&str> {
    let text = value.and_then(|value| value.to_str().ok())?;
    Some(&text[..text.floor_char_boundary(max)]).filter(|text| !text.is_empty())
}

pub fn user_agent(headers: &axum::http::HeaderMap) -> Option<&str> {
    header_text(headers.get(axum::http::header::USER_AGENT), USER_AGENT_BYTES_MAX)
}

pub fn accept_language(headers: &axum::http::HeaderMap) -> Option<&str> {
    header_text(headers.get(axum::http::header::ACCEPT_LANGUAGE), LANGUAGE_BYTES_MAX)
}

/// Makes events of all that was sent, in order. What cannot be used is kept as it came.
///
/// # Errors
/// The log takes nothing so long.
pub fn take_in(events: &Events<'_>, body: &[u8], browser: &Browser<'_>, terms: &Terms<'_>) -> Result<Intake, Refusal> {
    let mut intake = Intake::new(terms.account);
    let mut line = Lines::default();
    match events {
        Events::Read(events) => {
            // Only where an event is refused its bytes are looked for again.
            let mut raw: Option<Vec<LazyValue<'_>>> = None;
            for (index, sent) in events.iter().enumerate() {
                let mut sent_bytes = || {
                    let raw = raw.get_or_insert_with(|| raw_events(body));
                    raw.get(index).map(|value| value.as_raw_str().as_bytes().to_vec()).unwrap_or_default()
                };
                take_one(&mut intake, index, sent, &mut sent_bytes, (browser, terms, &mut line))?;
            }
        }
        Events::Raw(events) => {
            for (index, value) in events.iter().enumerate() {
                let raw = value.as_raw_str();
                let mut sent_bytes = || raw.as_bytes().to_vec();
                match sonic_rs::from_str::<Sent<'_>>(raw) {
                    Ok(sent) => take_one(&mut intake, index, &sent, &mut sent_bytes, (browser, terms, &mut line))?,
                    Err(_) => {
                        let reason = "is no event of a page: give an object with id, type, time and data";
                        intake.add_unusable(index, raw.as_bytes(), ("", reason), terms)?;
                    }
                }
            }
        }
    }
    Ok(intake)
}

fn take_one(
    intake: &mut Intake,
    index: usize,
    sent: &Sent<'_>,
    sent_bytes: &mut dyn FnMut() -> Vec<u8>,
    (browser, terms, line): (&Browser<'_>, &Terms<'_>, &mut Lines),
) -> Result<(), Refusal> {
    let Some(kind) = TYPES.iter().find(|kind| **kind == sent.kind.as_str()) else {
        let wrong = ("type", "is none that a page may tell: page_view, web_event or heartbeat");
        return intake.add_unusable(index, &sent_bytes(), wrong, terms);
    };
    let Ok(time) = Time::parse(&sent.time) else {
        let wrong = ("time", "is not an RFC 3339 time such as 2026-11-20T12:34:56.789Z");
        return intake.add_unusable(index, &sent_bytes(), wrong, terms);
    };
    let data = sent.data.as_raw_str().trim_ascii();
    let Some(members) = data.strip_prefix('{').and_then(|data| data.strip_suffix('}')) else {
        return intake.add_unusable(index, &sent_bytes(), ("data", "is not a JSON object"), terms);
    };
    line.clear();
    let envelope = Envelope {
        account: terms.account,
        source: browser.source,
        kind,
        time: time.plus(browser.correction),
        recorded: Some(terms.received),
    };
    line.begin(&envelope, &[&sent.id]);
    line.text("visitor_id", browser.visitor);
    line.text_if("session_id", browser.session);
    if *kind == "page_view" {
        address(line, browser.address);
        line.text_if("user_agent", browser.user_agent);
        // A page that has a name of its own for it may tell that.
        if !members.contains("\"page_view_id\"") {
            line.text("page_view_id", &sent.id);
        }
    }
    line.members(members.trim_ascii());
    line.end();
    let made = line.bytes().strip_suffix(b"\n").unwrap_or_default();
    intake.add_made(index, made, sent_bytes, terms)
}

fn address(line: &mut Lines, address: IpAddr) {
    match address {
        IpAddr::V4(address) => line.address("ip", address.octets()),
        IpAddr::V6(address) => line.text("ip", &address.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::hit;
    use super::*;
    use callweave_core::event::{Body, decode};
    use proptest::prelude::*;

    const RECEIVED: Time = Time(1_795_176_001_000_000);
    const TERMS: Terms<'_> =
        Terms { account: "acme", origin: "/v1/web", received: RECEIVED, events_max: 100, payload_max: 1 << 20 };

    fn browser() -> Browser<'static> {
        Browser {
            source: "web/main",
            visitor: "v1",
            session: Some("s1"),
            address: "203.0.113.7".parse().expect("an address"),
            user_agent: Some("Agent \"X\""),
            correction: 0,
        }
    }

    /// Taken events as the log has them, and what is told of the others.
    fn told(body: &str) -> (usize, Vec<(usize, Option<String>)>) {
        let (_, events) = hit::read(body.as_bytes()).expect("a body");
        let intake = take_in(&events, body.as_bytes(), &browser(), &TERMS).expect("small events");
        let refused = intake.answer.results.into_iter().map(|fate| (fate.index, fate.path)).collect();
        (intake.answer.taken, refused)
    }

    #[test]
    fn pages_cannot_say_what_is_not_theirs_to_say() {
        let event = |kind: &str, data: &str| {
            format!(r#"{{"events":[{{"id":"1","type":"{kind}","time":"2026-11-20T12:00:00Z","data":{data}}}]}}"#)
        };
        for (kind, data, expected) in [
            ("page_view", r#"{"url":"https://a.example/"}"#, None),
            ("page_view", r#" { "url" : "https://a.example/" } "#, None),
            ("page_view", "{}", Some(Some("data.url"))),
            ("heartbeat", "{}", None),
            ("web_event", r#"{"name":"form_submit"}"#, None),
            ("page_view", r#"{"url":"https://a.example/","ip":"6.6.6.6"}"#, Some(Some("data.ip"))),
            ("page_view", r#"{"url":"https://a.example/","user_agent":"x"}"#, Some(Some("data.user_agent"))),
            ("heartbeat", r#"{"visitor_id":"other"}"#, Some(Some("data.visitor_id"))),
            ("call", r#"{"call_id":"c"}"#, Some(Some("type"))),
            ("account_settings", "{}", Some(Some("type"))),
            ("lease_granted", "{}", Some(Some("type"))),
            ("heartbeat", "[1]", Some(Some("data"))),
            ("heartbeat", "null", Some(Some("data"))),
        ] {
            let (taken, refused) = told(&event(kind, data));
            let refused: Vec<_> = refused.iter().map(|(_, path)| path.as_deref()).collect();
            assert_eq!((taken, refused.first().copied()), (usize::from(expected.is_none()), expected), "{kind} {data}");
        }
        // What is not JSON inside an event makes the whole body unreadable.
        assert!(hit::read(event("heartbeat", r#"{"x":1}},"account":"other","data":{"#).as_bytes()).is_err());
    }

    #[test]
    fn a_page_view_has_a_name_of_its_own() {
        for (data, expected) in
            [(r#""url":"https://a.example/""#, "7"), (r#""url":"https://a.example/","page_view_id":"p""#, "p")]
        {
            let body = format!(
                r#"{{"events":[{{"id":"7","type":"page_view","time":"2026-11-20T12:00:00Z","data":{{{data}}}}}]}}"#
            );
            let Ok((_, Events::Read(events))) = hit::read(body.as_bytes()) else { panic!("{body}") };
            let (mut line, mut intake, mut bytes) = (Lines::default(), Intake::new("acme"), Vec::new);
            take_one(&mut intake, 0, &events[0], &mut bytes, (&browser(), &TERMS, &mut line)).expect("small");
            let made = line.bytes().to_vec();
            let event = decode(made.trim_ascii_end(), Some(RECEIVED)).expect("taken");
            assert!(
                matches!(&event.body, Body::PageView(view) if view.page_view_id.as_deref() == Some(expected)),
                "{data}"
            );
        }
    }

    #[test]
    fn a_bad_event_harms_no_neighbour() {
        let good = r#"{"id":"1","type":"heartbeat","time":"2026-11-20T12:00:00Z","data":{}}"#;
        let body = format!(r#"{{"events":[{good},7,{{"id":1}},{good}]}}"#);
        assert_eq!(told(&body), (2, vec![(1, None), (2, None)]));
        let late = good.replace("2026", "soon");
        assert_eq!(told(&format!(r#"{{"events":[{late},{good}]}}"#)), (1, vec![(0, Some("time".to_owned()))]));
    }

    #[test]
    fn clocks_that_are_off_are_corrected() {
        let at = |seconds: i64| RECEIVED.plus(seconds * MICROS_PER_SECOND).to_string();
        for (seconds, expected) in [(0, 0), (9, 0), (-9, 0), (11, -11), (-11, 11), (86_400 * 400, -86_400 * 400)] {
            assert_eq!(correction(Some(&at(seconds)), RECEIVED), expected * MICROS_PER_SECOND, "{seconds}");
        }
        assert_eq!((correction(None, RECEIVED), correction(Some("noon"), RECEIVED)), (0, 0));
    }

    proptest! {
        /// Whatever stands in data, what is made of it is an event of this visitor and account, or none.
        #[test]
        fn nothing_breaks_out(text in "[\\[\\]{},:\"a\\\\/ ]{0,60}", name: String) {
            let name = serde_json::to_string(&name).expect("JSON");
            let body = format!(
                r#"{{"events":[{{"id":{name},"type":"web_event","time":"2026-11-20T12:00:00Z","data":{{"name":{name},"x":{text}}}}}]}}"#
            );
            let Ok((_, Events::Read(events))) = hit::read(body.as_bytes()) else { return Ok(()) };
            for sent in &events {
                let mut line = Lines::default();
                let mut intake = Intake::new("acme");
                let mut bytes = Vec::new;
                take_one(&mut intake, 0, sent, &mut bytes, (&browser(), &TERMS, &mut line)).expect("small");
                if intake.answer.taken == 1 {
                    let made = line.bytes().to_vec();
                    let event = decode(made.trim_ascii_end(), Some(RECEIVED)).expect("taken");
                    prop_assert_eq!(event.account.as_str(), "acme");
                    prop_assert_eq!(event.source.as_str(), "web/main");
                    let of_visitor = matches!(&event.body, Body::WebEvent(event) if event.visitor_id.as_str() == "v1");
                    prop_assert!(of_visitor);
                }
            }
        }
    }
}
