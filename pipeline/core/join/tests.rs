//! Stories that random histories tell rarely or never.

use super::*;
use crate::event::{Body, decode};
use crate::source::Surveyor;
use crate::time::{MICROS_PER_DAY, MICROS_PER_MINUTE};

const START: Time = Time(1_795_132_800_000_000);

struct Story {
    join: Join,
    surveyor: Surveyor,
    events: usize,
    /// After each event what nobody names is let go.
    sweeps: bool,
    told: String,
}

impl Story {
    fn new(mode: Mode) -> Story {
        let (join, surveyor) = (Join::new(mode), Surveyor::default());
        Story { join, surveyor, events: 0, sweeps: false, told: String::new() }
    }

    fn apply(&mut self, minutes: i64, kind: &str, data: &str) {
        self.events += 1;
        let time = START.plus(minutes * MICROS_PER_MINUTE);
        let id = self.events;
        let line = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"web","type":"{kind}","time":"{time}","account":"acme","data":{data}}}"#
        );
        let event = decode(line.as_bytes(), None).unwrap();
        let visit = match &event.body {
            Body::PageView(view) => Some(self.surveyor.visit(view)),
            _ => None,
        };
        let mut out = Effects::default();
        self.join.apply(&event, visit.as_ref(), &mut out);
        self.tell(&out);
    }

    fn tick(&mut self, time: Time) {
        let mut out = Effects::default();
        self.join.tick(time, &mut out);
        self.tell(&out);
    }

    fn tell(&mut self, out: &Effects) {
        self.told += &format!("{out:?}\n");
        if self.sweeps {
            self.join.accounts.iter_mut().for_each(Account::sweep);
        }
    }
}

fn view(visitor: &str, page: &str) -> String {
    format!(r#"{{"visitor_id":"{visitor}","url":"https://example.com/{page}","referrer":"https://www.google.com/"}}"#)
}

/// Two made sessions whose rows are written, and then a late page view that makes them one.
fn take_a_session_back(story: &mut Story, visitor: &str) {
    story.apply(0, "page_view", &view(visitor, "a"));
    story.apply(40, "page_view", &view(visitor, "b"));
    story.apply(200, "heartbeat", r#"{"visitor_id":"other","session_id":"other"}"#);
    story.apply(20, "page_view", &view(visitor, "late"));
}

#[test]
fn an_erased_visitor_leaves_no_session_behind() {
    let mut story = Story::new(Mode::Live);
    take_a_session_back(&mut story, "v-1");
    story.apply(201, "erase", r#"{"visitor_id":"v-1"}"#);
    let told = story.told.len();
    story.tick(START.plus(3 * MICROS_PER_DAY));
    assert!(!story.told[told..].contains("v-1"), "{}", &story.told[told..]);
    assert_eq!(story.join.sizes().sessions, 1, "the other's");
}

#[test]
fn a_visitor_who_never_had_a_session_is_forgotten() {
    let mut story = Story::new(Mode::Live);
    story.apply(0, "heartbeat", r#"{"visitor_id":"v-1"}"#);
    assert_eq!(story.join.sizes().visitors, 1);
    story.tick(START.plus(390 * MICROS_PER_DAY));
    assert_eq!(story.join.sizes().visitors, 1);
    story.tick(START.plus(397 * MICROS_PER_DAY));
    assert_eq!(story.join.sizes().visitors, 0);
}

#[test]
fn letting_go_what_nobody_names_changes_nothing() {
    let tell = |sweeps: bool| {
        let mut story = Story { sweeps, ..Story::new(Mode::Live) };
        let long = "a visitor whose name is too long to be packed";
        take_a_session_back(&mut story, long);
        let paid = "?utm_source=ads&utm_campaign=c&gclid=Cj0KCQ";
        for n in 0..3i64 {
            let session = format!("a session whose name is too long to be packed: {n}");
            story.apply(
                300 + n,
                "page_view",
                &format!(
                    r#"{{"visitor_id":"{long}","session_id":"{session}","url":"https://example.com/{n}{paid}{n}","language":"de","experiment_id":"e-{n}"}}"#
                ),
            );
            story.apply(
                301 + n,
                "lease_granted",
                &format!(
                    r#"{{"lease_id":"a lease whose name is too long to be packed: {n}","pool":"main","number":"+14155550123","extension":"{n}{n}","visitor_id":"{long}","session_id":"{session}","expires_at":"2026-12-24T00:00:00Z"}}"#
                ),
            );
            let call = format!(
                r#"{{"call_id":"a call whose name is too long to be packed: {n}","status":"STATUS","direction":"inbound","from":"+4930123456","to":"+14155550123","extension":"{n}{n}"}}"#
            );
            story.apply(302 + n, "call", &call.replace("STATUS", "started"));
            story.apply(304 + n, "call", &call.replace("STATUS", "ended"));
            story.apply(290, "page_view", &view(long, &format!("late-{n}")));
        }
        story.tick(START.plus(MICROS_PER_DAY));
        let bytes = story.join.snapshot().unwrap();
        story.join = Join::restore(&bytes).unwrap();
        story.apply(2_000, "erase", r#"{"phone":"+4930123456"}"#);
        story.apply(310, "page_view", &view(long, "later"));
        let mut out = Effects::default();
        story.join.settle(&mut out);
        story.told + &format!("{out:?}")
    };
    let told = tell(false);
    assert!(told.contains("gclid") && told.contains("Extension"), "{told}");
    assert_eq!(told, tell(true));
}

/// That a row is final is told once, whether or not it changed since the call was over; what corrects it is told again.
#[test]
fn a_decided_call_is_told_once() {
    let mut story = Story::new(Mode::Live);
    let call = |status: &str| {
        format!(
            r#"{{"call_id":"c1","status":"{status}","direction":"inbound","from":"+14155550199","to":"+14155550100"}}"#
        )
    };
    let attributed = |story: &Story| story.told.matches("kind: CallAttributed").count();
    story.apply(0, "call", &call("started"));
    story.apply(1, "call", &call("ended"));
    assert_eq!(attributed(&story), 0);
    story.tick(START.plus(10 * MICROS_PER_MINUTE));
    assert_eq!(attributed(&story), 1);
    story.tick(START.plus(60 * MICROS_PER_MINUTE));
    assert_eq!(attributed(&story), 1, "nothing changed");
    story.apply(61, "call", &call("answered").replace("}", r#","agent":"Ann"}"#));
    story.tick(START.plus(90 * MICROS_PER_MINUTE));
    assert_eq!(attributed(&story), 2, "a correction");
}
