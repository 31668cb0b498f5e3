//! What is told of people after they were erased.

use super::tests::Story;
use super::*;

const PHONE: &str = "+14155550199";
const ERASURES: [&str; 2] =
    [r#"{"visitor_id":"jane-doe","phone":"+14155550199"}"#, r#"{"phone":"+14155550199","visitor_id":"jane-doe"}"#];

fn view(session: &str) -> String {
    format!(
        r#"{{"visitor_id":"jane-doe"{session},"url":"https://example.com/?utm_source=x&gclid=jane-doe","referrer":"https://x.example/?jane-doe",
        "user_id":"jane-doe","client_id":"jane-doe","ip":"192.0.2.1"}}"#
    )
}

fn lease(story: &Story, session: &str) -> String {
    let until = story.time(90);
    format!(
        r#"{{"lease_id":"l1","pool":"p","number":"+14155550100","visitor_id":"jane-doe"{session},"expires_at":"{until}"}}"#
    )
}

fn call(id: &str, status: &str) -> String {
    format!(
        r#"{{"call_id":"{id}","status":"{status}","direction":"inbound","from":"{PHONE}","to":"+14155550100","recording_url":"https://jane-doe.example/"}}"#
    )
}

fn record(story: &Story, from: i64, to: i64) -> String {
    let (from, to) = (story.time(from), story.time(to));
    format!(
        r#"{{"call_id":"c2","direction":"callback","from":"{PHONE}","to":"+14155550100","started_at":"{from}","ended_at":"{to}",
        "destination":"{PHONE}","agent":"{PHONE}"}}"#
    )
}

/// Of the time before, told in any order and by whatever event, nothing names them; what happens later is somebody new's.
#[test]
fn what_is_told_late_of_somebody_erased_names_nobody() {
    for (mode, session, erase) in [Mode::Bounded, Mode::Live]
        .into_iter()
        .flat_map(|mode| ["", r#","session_id":"s1""#].map(|session| (mode, session)))
        .flat_map(|(mode, session)| ERASURES.map(|erase| (mode, session, erase)))
    {
        let mut story = Story::new(mode);
        story.apply(30, "erase", erase);
        story.restart();
        let told = story.told.len();
        let held = lease(&story, session);
        let events = [
            (1, "page_view", view(session)),
            (2, "lease_granted", held),
            (
                3,
                "web_event",
                format!(
                    r#"{{"visitor_id":"jane-doe"{session},"name":"callback_request","properties":{{"phone":"{PHONE}"}}}}"#
                ),
            ),
            (4, "heartbeat", format!(r#"{{"visitor_id":"jane-doe"{session}}}"#)),
            (5, "call", call("c1", "started")),
            (9, "call", call("c1", "ended")),
            (9, "deal", format!(r#"{{"deal_id":"d1","phone":"{PHONE}","visitor_id":"jane-doe","stage":"won"}}"#)),
            (12, "call_record", record(&story, 10, 12)),
            // Told after the erasure, of a call before it.
            (31, "call_record", record(&story, 10, 12)),
        ];
        for (at, kind, data) in &events {
            assert_eq!(story.apply(*at, kind, data), Verdict::Taken, "{kind}");
        }
        story.tick_at(600);
        // What corrects them later does not, either.
        let late = lease(&story, session).replace("l1", "l2");
        story.apply(2, "lease_granted", &late);
        story.tick_at(700);
        story.settle();
        let of_then = &story.told[told..];
        for name in ["jane-doe", "4155550199", "192.0.2.1"] {
            assert!(!of_then.contains(name), "{name}: {mode:?} {session} {of_then}");
        }
        for row in [r#"call_id: "c1""#, r#"call_id: "c2""#, r#"lease_id: "l1""#, "sessions: [SessionRow", "erased-"] {
            assert!(of_then.contains(row), "{row}: {mode:?} {session} {of_then}");
        }
        let told = story.told.len();
        story.apply(800, "page_view", &view(r#","session_id":"s2""#));
        story.apply(801, "call", &call("c3", "started"));
        story.apply(802, "call", &call("c3", "ended"));
        story.settle();
        let of_now = &story.told[told..];
        assert!(
            of_now.contains(r#"visitor_id: "jane-doe""#) && of_now.contains("4155550199"),
            "somebody new: {of_now}"
        );
    }
}

/// A call that is not over when its people are erased goes on as nobody's; what was noted and said in it is kept nowhere.
#[test]
fn a_call_goes_on_as_nobodys() {
    for (mode, erase) in [Mode::Bounded, Mode::Live].into_iter().flat_map(|mode| ERASURES.map(|erase| (mode, erase))) {
        for erase in [erase, r#"{"phone":"+14155550199"}"#, r#"{"visitor_id":"jane-doe"}"#] {
            let mut story = Story::new(mode);
            let session = r#","session_id":"s1""#;
            story.apply(0, "page_view", &view(session));
            let held = lease(&story, session);
            story.apply(0, "lease_granted", &held);
            story.apply(1, "call", &call("c1", "started"));
            story.apply(2, "call", &call("c1", "answered"));
            let told = story.told.len();
            story.apply(3, "erase", erase);
            assert!(story.told[told..].contains(r#"calls: ["c1"]"#), "its notes go: {}", &story.told[told..]);
            story.restart();
            let told = story.told.len();
            assert_eq!(story.apply(4, "call_note", r#"{"call_id":"c1","comment":"Jane"}"#), Verdict::Erased);
            story.apply(5, "call", &call("c1", "ended"));
            story.tick_at(600);
            story.settle();
            let told = &story.told[told..];
            assert!(
                told.contains(r#"call_id: "c1""#) && told.contains("talk_seconds: 180.0"),
                "{mode:?} {erase} {told}"
            );
            assert!(!told.contains("4155550199"), "{mode:?} {erase} {told}");
        }
    }
}

/// The row of a session that was written before its visitor was erased is not written again with the little that comes late.
#[test]
fn a_late_page_leaves_the_row_of_an_erased_session() {
    for mode in [Mode::Bounded, Mode::Live] {
        let mut story = Story::new(mode);
        let session = r#","session_id":"s1""#;
        story.apply(0, "page_view", &view(session));
        story.apply(1, "page_view", &view(session));
        story.apply(200, "erase", r#"{"visitor_id":"jane-doe"}"#);
        let told = story.told.len();
        assert_eq!(story.apply(2, "page_view", &view(session)), Verdict::Taken);
        story.tick_at(600);
        story.settle();
        assert!(!story.told[told..].contains("SessionRow"), "{}", &story.told[told..]);
    }
}

/// A deal that names a telephone is told with the latest call from there.
#[test]
fn a_deal_by_telephone_is_told_with_its_call() {
    let mut story = Story::new(Mode::Live);
    for (at, id) in [(1, "c1"), (3, "c2"), (60, "c3")] {
        story.apply(at, "call", &call(id, "started"));
        story.apply(at + 1, "call", &call(id, "ended"));
    }
    let told = story.told.len();
    story.apply(30, "deal", &format!(r#"{{"deal_id":"d1","phone":"{PHONE}","stage":"won"}}"#));
    assert!(story.told[told..].contains(r#"call_id: Some("c2")"#), "{}", &story.told[told..]);
    let told = story.told.len();
    story.apply(0, "deal", &format!(r#"{{"deal_id":"d2","phone":"{PHONE}","stage":"won"}}"#));
    assert!(!story.told[told..].contains("call_id: Some"), "{}", &story.told[told..]);
}
