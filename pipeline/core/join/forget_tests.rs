//! What is forgotten, and when.

use proptest::prelude::*;

use super::tests::Story;
use super::*;
use crate::limits::EVENTS_REMEMBERED;

const DAY: i64 = 24 * 60;

fn page(visitor: u8, session: u8) -> String {
    format!(r#"{{"visitor_id":"v{visitor}","session_id":"v{visitor}s{session}","url":"https://example.com/"}}"#)
}

fn lease(story: &Story, visitor: u8, session: Option<u8>, number: u8, name: &str, until: i64) -> String {
    let session = session.map_or(String::new(), |session| format!(r#""session_id":"v{visitor}s{session}","#));
    let until = story.time(until);
    format!(
        r#"{{"lease_id":"{name}","pool":"p","number":"+1415555010{number}","visitor_id":"v{visitor}",{session}"expires_at":"{until}"}}"#
    )
}

fn call(name: &str, status: &str, caller: u8, number: u8) -> String {
    format!(
        r#"{{"call_id":"{name}","status":"{status}","direction":"inbound","from":"+1415555019{caller}","to":"+1415555010{number}"}}"#
    )
}

/// A session with a lease, of which a call was a day later, and a lease that no session holds.
fn called() -> Story {
    let mut story = Story::new(Mode::Bounded);
    story.apply(0, "page_view", &page(1, 1));
    let held = lease(&story, 1, Some(1), 0, "l1", 30);
    story.apply(1, "lease_granted", &held);
    let loose = lease(&story, 2, None, 1, "l2", 30);
    story.apply(1, "lease_granted", &loose);
    story.apply(DAY, "call", &call("c1", "started", 1, 0));
    story.apply(DAY + 1, "call", &call("c1", "ended", 1, 0));
    story
}

fn held(story: &Story) -> (usize, usize, usize) {
    let sizes = story.join.sizes();
    (sizes.sessions, sizes.leases, sizes.calls)
}

#[test]
fn nothing_goes_before_its_time_or_as_long_as_few_events_came() {
    for restarts in [false, true] {
        let mut story = called();
        story.pass(EVENTS_REMEMBERED * 2);
        story.tick_at(2 * DAY);
        assert_eq!(held(&story), (1, 2, 1), "a call is held for a day after its end, a session for as long");
        let mut story = called();
        story.tick_at(30 * DAY);
        assert_eq!(held(&story), (1, 2, 1), "few events came");
        if restarts {
            story.restart();
        }
        story.pass(EVENTS_REMEMBERED - 100_000);
        story.tick_at(31 * DAY);
        assert_eq!(held(&story), (1, 2, 1), "too few came still");
        story.pass(300_000);
        story.tick_at(32 * DAY);
        story.tick_at(32 * DAY + 1);
        assert_eq!(held(&story), (0, 0, 0), "restarts: {restarts}");
    }
}

/// One name has one row that counts, however late something more is told of it: the row that was right stays.
#[test]
fn what_was_forgotten_has_no_second_row() {
    for restarts in [false, true] {
        let mut story = called();
        story.settle();
        story.pass(2 * EVENTS_REMEMBERED);
        story.tick_at(30 * DAY);
        story.tick_at(30 * DAY + 1);
        assert_eq!(held(&story), (0, 0, 0), "all is forgotten");
        if restarts {
            story.restart();
        }
        let told = story.told.len();
        let again = 31 * DAY;
        assert_eq!(story.apply(again, "call", &call("c1", "ended", 1, 0)), Verdict::Forgotten);
        let record = format!(
            r#"{{"call_id":"c1","direction":"inbound","from":"+14155550191","to":"+14155550100","started_at":"{}","ended_at":"{}"}}"#,
            story.time(DAY),
            story.time(DAY + 1)
        );
        assert_eq!(story.apply(again, "call_record", &record), Verdict::Forgotten);
        assert_eq!(story.apply(again, "page_view", &page(1, 1)), Verdict::Taken);
        for (visitor, session, number, name) in [(1, Some(1), 0, "l1"), (2, None, 1, "l2"), (1, Some(1), 0, "l3")] {
            let held = lease(&story, visitor, session, number, name, again + 30);
            assert_eq!(story.apply(again, "lease_granted", &held), Verdict::Taken);
        }
        // The session goes on, and is joined to, though its row stays.
        assert_eq!(story.apply(again + 1, "call", &call("c2", "started", 2, 0)), Verdict::Taken);
        story.apply(again + 2, "call", &call("c2", "ended", 2, 0));
        story.settle();
        let told = &story.told[told..];
        assert!(!told.contains("SessionRow"), "{told}");
        assert!(!told.contains(r#"call_id: "c1""#), "{told}");
        assert!(!told.contains(r#"LeaseRow { account: "acme", lease_id: "l1""#), "{told}");
        assert!(!told.contains(r#"LeaseRow { account: "acme", lease_id: "l2""#), "{told}");
        assert!(told.contains(r#"LeaseRow { account: "acme", lease_id: "l3", revision: 1"#), "{told}");
        assert!(told.contains(r#"call_id: "c2", revision: 1"#), "{told}");
        assert!(told.contains(r#"session_id: Some("v1s1")"#), "{told}");
        // It was visit 1, and is.
        assert!(told.contains("visit_number: Some(1)"), "{told}");
    }
}

/// A session that no browser named is called by its first page view: told again, that makes no second row.
#[test]
fn a_made_session_that_was_forgotten_has_no_second_row() {
    let mut story = Story::new(Mode::Live);
    let view = r#"{"visitor_id":"v1","url":"https://example.com/"}"#;
    for again in [false, true] {
        let told = story.told.len();
        story.apply(0, "page_view", view);
        story.pass(2 * EVENTS_REMEMBERED);
        for minute in 0..2 {
            story.tick_at((30 + 30 * i64::from(again)) * DAY + minute);
        }
        assert_eq!(held(&story), (0, 0, 0), "it is forgotten");
        assert_eq!(story.told[told..].matches("SessionRow").count(), usize::from(!again), "{}", &story.told[told..]);
    }
}

/// What was erased stays erased for as long as the person is known, and nothing names them: neither a second row nor `rejected`.
#[test]
fn nothing_of_somebody_erased_comes_back() {
    let phone = "+14155550191";
    let erase = format!(r#"{{"phone":"{phone}","visitor_id":"v1"}}"#);
    for forgotten in [false, true] {
        let mut story = called();
        story.settle();
        let forget = |story: &mut Story, day: i64| {
            story.pass(2 * EVENTS_REMEMBERED);
            story.tick_at(day * DAY);
            story.tick_at(day * DAY + 1);
        };
        if forgotten {
            forget(&mut story, 30);
        }
        story.apply(31 * DAY, "erase", &erase);
        forget(&mut story, 60);
        let told = story.told.len();
        assert_eq!(story.apply(DAY, "call", &call("c1", "started", 1, 0)), Verdict::Erased, "forgotten: {forgotten}");
        assert_eq!(story.apply(DAY + 1, "call", &call("c1", "ended", 1, 0)), Verdict::Erased);
        let held = lease(&story, 1, Some(1), 0, "l1", 61 * DAY);
        story.apply(60 * DAY + 2, "page_view", &page(1, 1));
        story.apply(60 * DAY + 2, "lease_granted", &held);
        story.settle();
        let told = &story.told[told..];
        for row in ["CallRow", "SessionRow", "LeaseRow"] {
            assert!(!told.contains(row), "forgotten: {forgotten}: {told}");
        }
        assert!(!told.contains("4155550191"), "{told}");
    }
}

/// What is changed while it waits begins to wait anew.
#[test]
fn what_changed_since_is_remembered_from_then_on() {
    let mut story = called();
    story.tick_at(30 * DAY);
    story.pass(EVENTS_REMEMBERED / 2);
    story.apply(2, "page_view", &page(1, 1));
    story.pass(EVENTS_REMEMBERED * 3 / 4);
    story.tick_at(40 * DAY);
    let sizes = story.join.sizes();
    assert_eq!((sizes.sessions, sizes.calls), (1, 1), "the page view has the call decided anew");
    // Deciding it anew was a change too.
    story.pass(2 * EVENTS_REMEMBERED);
    story.tick_at(50 * DAY);
    story.tick_at(50 * DAY + 1);
    assert_eq!(held(&story), (0, 0, 0));
}

#[derive(Debug, Clone)]
struct Step {
    what: u8,
    visitor: u8,
    session: u8,
    number: u8,
    /// Minutes that pass before it, and by how many it comes late.
    passes: i64,
    late: i64,
    events: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let passes = prop_oneof![3 => 0i64..40, 1 => 0i64..3 * DAY];
    let late = prop_oneof![3 => Just(0i64), 1 => 0i64..2 * DAY];
    let events = prop_oneof![3 => Just(0u64), 1 => 0u64..EVENTS_REMEMBERED];
    ((0u8..8, 0u8..4, 0u8..2, 0u8..2), passes, late, events).prop_map(
        |((what, visitor, session, number), passes, late, events)| Step {
            what,
            visitor,
            session,
            number,
            passes,
            late,
            events,
        },
    )
}

impl Step {
    fn apply(&self, story: &mut Story, n: usize, now: i64) {
        let at = (now - self.late).max(0);
        let Step { visitor, session, number, .. } = *self;
        match self.what {
            0 | 1 => {
                story.apply(at, "page_view", &page(visitor, session));
            }
            2 => {
                let page = format!(r#"{{"visitor_id":"v{visitor}","url":"https://example.com/"}}"#);
                story.apply(at, "page_view", &page);
            }
            3 | 4 => {
                let lease =
                    lease(story, visitor, (!n.is_multiple_of(3)).then_some(session), number, &format!("g{n}"), at + 45);
                story.apply(at, "lease_granted", &lease);
            }
            5 => {
                // Of one of the steps before, if that was a grant.
                let grant = n.saturating_sub(1 + usize::from(visitor));
                let until = story.time(at + 45);
                story.apply(at, "lease_renewed", &format!(r#"{{"lease_id":"g{grant}","expires_at":"{until}"}}"#));
            }
            _ => {
                story.apply(at, "call", &call(&format!("c{n}"), "started", visitor, number));
                story.apply(at + 1, "call", &call(&format!("c{n}"), "ended", visitor, number));
            }
        }
        story.pass(self.events);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(64), ..ProptestConfig::default() })]

    /// What is derived and left out of the state changes nothing, however much was forgotten: a state that was written and read after
    /// each event tells the same.
    #[test]
    fn a_state_that_is_read_anew_tells_the_same(steps in prop::collection::vec(step(), 1..60)) {
        let (mut whole, mut anew, mut now) = (Story::new(Mode::Live), Story::new(Mode::Live), 0);
        for (n, step) in steps.iter().enumerate() {
            now += step.passes;
            for story in [&mut whole, &mut anew] {
                step.apply(story, n, now);
            }
            anew.restart();
        }
        for story in [&mut whole, &mut anew] {
            for days in [10, 20, 30, 40] {
                story.pass(2 * EVENTS_REMEMBERED);
                story.tick_at(now + days * DAY);
                story.tick_at(now + days * DAY + 1);
            }
        }
        prop_assert_eq!(&whole.told, &anew.told);
        prop_assert_eq!(whole.join.sizes(), anew.join.sizes());
        prop_assert_eq!(held(&whole), (0, 0, 0));
    }
}
