//! Stories that random histories tell rarely or never.

use super::*;
use crate::event::{Body, decode};
use crate::source::Surveyor;
use crate::time::{MICROS_PER_DAY, MICROS_PER_MINUTE, MICROS_PER_SECOND};

const START: Time = Time(1_795_132_800_000_000);

pub(super) struct Story {
    pub join: Join,
    surveyor: Surveyor,
    events: usize,
    /// After each event what nobody names is let go.
    sweeps: bool,
    pub told: String,
    pub sessions: Vec<SessionRow>,
    pub leases: Vec<LeaseRow>,
    pub calls: Vec<Arc<CallRow>>,
}

impl Story {
    pub fn new(mode: Mode) -> Story {
        let (join, surveyor) = (Join::new(mode), Surveyor::default());
        let (sessions, leases, calls) = (Vec::new(), Vec::new(), Vec::new());
        Story { join, surveyor, events: 0, sweeps: false, told: String::new(), sessions, leases, calls }
    }

    pub fn time(&self, minutes: i64) -> Time {
        START.plus(minutes * MICROS_PER_MINUTE)
    }

    /// So many events of others come.
    pub fn pass(&mut self, events: u64) {
        self.join.taken += events;
    }

    pub fn tick_at(&mut self, minutes: i64) {
        self.tick(self.time(minutes));
    }

    pub fn apply(&mut self, minutes: i64, kind: &str, data: &str) -> Verdict {
        self.events += 1;
        let time = self.time(minutes);
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
        let verdict = self.join.apply(&event, visit.as_ref(), &mut out);
        self.tell(&out);
        verdict
    }

    fn tick(&mut self, time: Time) {
        let mut out = Effects::default();
        self.join.tick(time, &mut out);
        self.tell(&out);
    }

    pub fn settle(&mut self) {
        let mut out = Effects::default();
        self.join.settle(&mut out);
        self.tell(&out);
    }

    pub fn restart(&mut self) {
        self.join = Join::restore(&self.join.snapshot().unwrap()).unwrap();
    }

    fn tell(&mut self, out: &Effects) {
        self.told += &format!("{out:?}\n");
        self.sessions.extend(out.sessions.iter().cloned());
        self.leases.extend(out.leases.iter().cloned());
        self.calls.extend(out.calls.iter().cloned());
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

/// A call's row tells how many pages its session has had, once that is known, and not after each of them.
#[test]
fn pages_after_a_call_correct_it_once() {
    for (mode, tick) in [(Mode::Live, true), (Mode::Live, false), (Mode::Bounded, true), (Mode::Bounded, false)] {
        let mut story = Story::new(mode);
        let given =
            |page: i64| format!(r#"{{"visitor_id":"v-1","session_id":"s-1","url":"https://example.com/{page}"}}"#);
        let call =
            r#"{"call_id":"c-1","status":"STATUS","direction":"inbound","from":"+14155550199","to":"+14155550123"}"#;
        story.apply(0, "page_view", &given(0));
        story.apply(
            0,
            "lease_granted",
            r#"{"lease_id":"l-1","pool":"main","number":"+14155550123","visitor_id":"v-1","session_id":"s-1","expires_at":"2026-12-24T00:00:00Z"}"#,
        );
        story.apply(1, "call", &call.replace("STATUS", "started"));
        story.apply(2, "call", &call.replace("STATUS", "ended"));
        for page in 1..8 {
            story.apply(5 * page, "page_view", &given(page));
        }
        if tick {
            story.tick(START.plus(MICROS_PER_DAY));
        }
        let mut out = Effects::default();
        story.join.settle(&mut out);
        story.tell(&out);
        let told = |pages: u32| story.told.matches(&format!("session_pages: Some({pages})")).count();
        assert_eq!((1..8).map(told).filter(|rows| *rows > 0).count(), 1, "{mode:?} {tick}: only the first row");
        assert!(told(8) > 0, "{mode:?} {tick}: {}", story.told);
    }
}

/// What comes late corrects the rows of its session and call with the next seconds, not only after lateness once more.
#[test]
fn a_correction_comes_soon() {
    let mut story = Story::new(Mode::Live);
    let page =
        |query: &str| format!(r#"{{"visitor_id":"v-1","session_id":"s-1","url":"https://example.com/{query}"}}"#);
    let call = r#"{"call_id":"c-1","status":"STATUS","direction":"inbound","from":"+14155550199","to":"+14155550123"}"#;
    let lease = r#"{"lease_id":"l-1","pool":"main","number":"+14155550123","visitor_id":"v-1","session_id":"s-1","expires_at":"2026-11-20T23:00:00Z"}"#;
    story.apply(10, "page_view", &page(""));
    story.apply(10, "lease_granted", lease);
    story.apply(12, "call", &call.replace("STATUS", "started"));
    story.apply(13, "call", &call.replace("STATUS", "ended"));
    let later = START.plus(MICROS_PER_DAY);
    story.tick(later);
    story.apply(5, "page_view", &page("?utm_source=late&utm_medium=email"));
    let mut out = Effects::default();
    for second in 1..=2 {
        story.join.tick(later.plus(second * MICROS_PER_SECOND), &mut out);
    }
    let session = out.sessions.last().and_then(|row| row.source.as_ref()).map(|it| &*it.source);
    let call = out.calls.last().and_then(|row| Some((&*row.source.as_ref()?.source, row.session_pages?)));
    assert_eq!((session, call), (Some("late"), Some(("late", 2))), "{out:?}");
}

/// That a row is final is told once, whether or not it changed since the call was over; what corrects it is told again.
/// Calls of long ago, told to a live job whose time has passed meanwhile: each decision says something of the caller's other calls.
#[test]
fn calls_of_one_caller_do_not_wait_for_each_other() {
    let mut story = Story::new(Mode::Live);
    story.apply(0, "page_view", &view("v-1", "a"));
    let lease = r#"{"lease_id":"l-1","pool":"main","number":"+14155550100","visitor_id":"v-1","expires_at":"2026-11-20T23:00:00Z"}"#;
    story.apply(0, "lease_granted", lease);
    story.tick_at(20_000);
    for call in 1..=5 {
        let data = format!(
            r#"{{"call_id":"c-{call}","status":"started","direction":"inbound","from":"+14155550123","to":"+14155550100"}}"#
        );
        story.apply(10 * call, "call", &data);
    }
    let told = story.told.len();
    (60..63).for_each(|second| story.tick(story.time(20_000).plus(second * MICROS_PER_SECOND)));
    let is_written = |call: &i64| story.told[told..].contains(&format!(r#"call_id: "c-{call}", revision: 1"#));
    assert_eq!((1..=5).filter(is_written).count(), 5, "{}", &story.told[told..]);
}

/// What sessions that are over tell of calls is held until it changes: who their visitor is may be said much later, elsewhere.
#[test]
fn who_somebody_is_counts_for_their_sessions_before() {
    let tell = |restarts: bool| {
        let mut story = Story::new(Mode::Bounded);
        let page = |visitor: &str, session: &str, user: &str| {
            format!(
                r#"{{"visitor_id":"{visitor}","session_id":"{session}"{user},"url":"https://example.com/","referrer":"https://www.google.com/"}}"#
            )
        };
        let lease = |number: &str, visitor: &str, session: &str| {
            format!(
                r#"{{"lease_id":"l-{session}","pool":"main","number":"{number}","visitor_id":"{visitor}","session_id":"{session}","expires_at":"2026-11-20T00:10:00Z"}}"#
            )
        };
        let call = |id: &str, from: &str, to: &str, at: i64| {
            let (start, end) = (START.plus(at * MICROS_PER_MINUTE), START.plus((at + 1) * MICROS_PER_MINUTE));
            format!(
                r#"{{"call_id":"{id}","direction":"inbound","from":"{from}","to":"{to}","started_at":"{start}","ended_at":"{end}"}}"#
            )
        };
        let (mobile, desk) = ("+14155550100", "+14155550101");
        story.apply(0, "page_view", &page("mobile", "s-0", r#","user_id":"ann""#));
        story.apply(0, "lease_granted", &lease(mobile, "mobile", "s-0"));
        story.apply(1, "page_view", &page("desk", "s-1", ""));
        story.apply(1, "lease_granted", &lease(desk, "desk", "s-1"));
        story.apply(3, "call_record", &call("c-0", "+14155550177", mobile, 2));
        story.apply(101, "call_record", &call("c-1", "+14155550188", desk, 100));
        story.tick_at(108);
        story.apply(110, "page_view", &page("desk", "s-2", r#","user_id":"ann""#));
        if restarts {
            story.restart();
        }
        let told = story.told.len();
        story.apply(121, "call_record", &call("c-2", "+14155550177", desk, 120));
        story.tick_at(200);
        story.settle();
        story.told.split_off(told)
    };
    let told = tell(false);
    let knows = told.matches("known_caller: Some(0.9").count();
    assert_eq!((told == tell(true), knows), (true, 1), "{told}");
}

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

/// Without the click, nothing was seen of its session for so long that another is likelier; the click is no sign of life then.
#[test]
fn a_click_decides_where_another_was_seen_later() {
    let mut story = Story::new(Mode::Bounded);
    let page = |n: u32| format!(r#"{{"visitor_id":"v{n}","session_id":"s{n}","url":"https://example.com/"}}"#);
    let lease = |n: u32| {
        format!(
            r#"{{"lease_id":"l{n}","pool":"p","number":"+14155550100","visitor_id":"v{n}","session_id":"s{n}","expires_at":"2026-12-24T00:00:00Z"}}"#
        )
    };
    for (minutes, n) in [(0, 1), (8, 2)] {
        story.apply(minutes, "page_view", &page(n));
        story.apply(minutes, "lease_granted", &lease(n));
    }
    let click = r#"{"visitor_id":"v1","session_id":"s1","name":"click_to_call","number":"+14155550100"}"#;
    story.apply(9, "web_event", click);
    let call = r#"{"call_id":"c1","status":"started","direction":"inbound","from":"+14155550199","to":"+14155550100"}"#;
    story.apply(9, "call", call);
    let mut out = Effects::default();
    story.join.settle(&mut out);
    let told: Vec<_> = out.calls.iter().map(|it| (it.session_id.as_deref(), it.attribution_method)).collect();
    assert_eq!(told, [(Some("s1"), crate::row::Method::Click)]);
}

/// A bounded job has not written a call yet that is not decided; the call happened all the same. Who calls later is new.
#[test]
fn calls_of_somebody_forgotten_stay() {
    for (erase, caller) in [(r#"{"phone":"+14155550199"}"#, "+14155550199"), (r#"{"visitor_id":"v1"}"#, "+14155550188")]
    {
        let mut story = Story::new(Mode::Bounded);
        let call = |id: &str, status: &str| {
            format!(
                r#"{{"call_id":"{id}","status":"{status}","direction":"inbound","from":"{caller}","to":"+14155550100"}}"#
            )
        };
        story.apply(0, "page_view", r#"{"visitor_id":"v1","session_id":"s1","url":"https://example.com/"}"#);
        let lease = r#"{"lease_id":"l1","pool":"p","number":"+14155550100","visitor_id":"v1","session_id":"s1","expires_at":"2026-12-24T00:00:00Z"}"#;
        story.apply(0, "lease_granted", lease);
        story.apply(1, "call", &call("c1", "started"));
        story.apply(2, "call", &call("c1", "ended"));
        story.apply(2, "erase", erase);
        let until = format!("until: {:?}", START.plus(2 * MICROS_PER_MINUTE));
        assert!(story.told.contains(r#"call_id: "c1""#) && story.told.contains(&until), "{}", story.told);
        story.apply(10, "call", &call("c2", "started"));
        story.apply(11, "call", &call("c2", "ended"));
        let mut out = Effects::default();
        story.join.settle(&mut out);
        let told: Vec<_> = out.calls.iter().map(|it| (&*it.call_id, it.kinds.is_unique)).collect();
        let is_new = erase.contains("phone");
        assert_eq!(told, [("c2", is_new)], "{erase}");
    }
}

const LEASE: &str = r#"{"lease_id":"l1","pool":"p","number":"+14155550100","visitor_id":"v1",SESSION"expires_at":"2026-11-20T00:30:00Z"}"#;
const CALL: &str =
    r#"{"call_id":"c1","status":"STATUS","direction":"inbound","from":"+14155550199","to":"+14155550100"}"#;

/// A visit that was open when its visitor was forgotten, and a lease, are rows as calls are.
#[test]
fn visits_of_somebody_forgotten_stay() {
    for (mode, session) in [
        (Mode::Bounded, r#""session_id":"s1","#),
        (Mode::Bounded, ""),
        (Mode::Live, r#""session_id":"s1","#),
        (Mode::Live, ""),
    ] {
        let mut story = Story::new(mode);
        let of = |data: &str| data.replace("SESSION", session);
        story.apply(0, "page_view", &of(r#"{"visitor_id":"v1",SESSION"url":"https://example.com/a"}"#));
        story.apply(0, "lease_granted", &of(LEASE));
        story.apply(1, "call", &CALL.replace("STATUS", "started"));
        story.apply(2, "call", &CALL.replace("STATUS", "ended"));
        story.apply(3, "page_view", &of(r#"{"visitor_id":"v1",SESSION"url":"https://example.com/b"}"#));
        story.apply(4, "lease_renewed", r#"{"lease_id":"l1","expires_at":"2026-11-20T00:34:00Z"}"#);
        story.apply(5, "erase", r#"{"visitor_id":"v1"}"#);
        story.apply(330, "page_view", r#"{"visitor_id":"v2","session_id":"s2","url":"https://example.com/"}"#);
        let told = story.told.clone();
        story.settle();
        let of_v1: Vec<_> = story.sessions.iter().filter(|it| &*it.visitor_id == "v1").collect();
        let last = of_v1.last().unwrap_or_else(|| panic!("{mode:?} {session}: no session of v1"));
        assert_eq!((last.pages, last.ended_at), (2, START.plus(4 * MICROS_PER_MINUTE)), "{mode:?} {session}");
        let named = format!("session_id: Some({:?})", last.session_id);
        let call = told.rsplit("calls: [CallRow {").next().unwrap();
        assert!(call.contains(&named), "{mode:?} {session}: {call} does not name {named}");
        let leases: Vec<u32> = story.leases.iter().map(|it| it.renewals).collect();
        assert_eq!(leases.last(), Some(&1), "{mode:?} {session}: {leases:?}");
        let counted = story.sessions.iter().map(|it| &it.session_id).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(counted.len(), 2, "{mode:?} {session}: {counted:?}");
    }
}

/// A browser goes on under the name of a session that was erased: another session, of which the later row counts.
#[test]
fn a_session_goes_on_behind_its_erasure() {
    for mode in [Mode::Bounded, Mode::Live] {
        let mut story = Story::new(mode);
        let page = r#"{"visitor_id":"v1","session_id":"a session whose name is too long to be packed","url":"https://example.com/"}"#;
        story.apply(0, "page_view", page);
        story.apply(5, "erase", r#"{"visitor_id":"v1"}"#);
        story.restart();
        story.apply(6, "page_view", page);
        story.apply(7, "page_view", page);
        story.settle();
        let told: Vec<_> = story.sessions.iter().map(|it| (it.revision, it.pages, it.visit_number)).collect();
        assert_eq!(told, [(1, 1, 1), (2, 2, 1)], "{mode:?}");
    }
}

/// Long names are shared values, which are let go when enough of them are idle. Of somebody erased none is written down.
#[test]
fn a_snapshot_does_not_name_who_was_erased() {
    let long = "a visitor whose name is too long to be packed";
    let mut story = Story::new(Mode::Live);
    story.apply(0, "page_view", &view(long, "a"));
    let names = |join: &Join| {
        let bytes = join.snapshot().unwrap();
        bytes.windows(long.len()).any(|it| it == long.as_bytes())
    };
    assert!(names(&story.join));
    story.apply(1, "erase", &format!(r#"{{"visitor_id":"{long}"}}"#));
    story.join.sweep();
    assert!(!names(&story.join));
}

/// What is told of a call after its person was erased does not begin it anew; of one that went on, the rest is somebody's of whom
/// nothing is known.
#[test]
fn what_is_told_of_an_erased_call_stays_erased() {
    let note = r#"{"call_id":"c1","comment":"call Jane back"}"#;
    let erasures = [r#"{"phone":"+14155550199"}"#, r#"{"visitor_id":"v1"}"#];
    for (mode, erase, over) in [Mode::Bounded, Mode::Live]
        .into_iter()
        .flat_map(|mode| erasures.map(|it| (mode, it)))
        .flat_map(|(mode, it)| [(mode, it, true), (mode, it, false)])
    {
        let mut story = Story::new(mode);
        story.apply(0, "page_view", r#"{"visitor_id":"v1","session_id":"s1","url":"https://example.com/"}"#);
        story.apply(0, "lease_granted", &LEASE.replace("SESSION", r#""session_id":"s1","#));
        story.apply(1, "call", &CALL.replace("STATUS", "started"));
        if over {
            story.apply(2, "call", &CALL.replace("STATUS", "ended"));
        }
        story.apply(3, "erase", erase);
        story.restart();
        let told = story.told.len();
        story.apply(4, "call_note", note);
        story.apply(5, "call", &CALL.replace("STATUS", "ended"));
        story.settle();
        let again = story.told[told..].contains(r#"call_id: "c1""#);
        assert_eq!(again, !over, "{mode:?} {erase} {over}: {}", &story.told[told..]);
        let told = story.told.len();
        story.apply(6, "call", &CALL.replace("c1", "c2").replace("STATUS", "ended"));
        story.settle();
        assert!(story.told[told..].contains(r#"call_id: "c2""#), "others are told of: {mode:?} {erase} {over}");
    }
}

/// Nothing of a session that was taken back is left, though it was to be told only later.
#[test]
fn a_session_is_taken_back_before_its_visitor_is_forgotten() {
    let mut story = Story::new(Mode::Bounded);
    take_a_session_back(&mut story, "v-1");
    story.apply(200, "erase", r#"{"visitor_id":"v-1"}"#);
    let told: Vec<_> = story.sessions.iter().map(|it| (it.revision, it.retracted)).collect();
    assert_eq!(told, [(1, false), (1, false), (2, false), (2, true)]);
}

/// A call whose end never came is over once it was silent for as long as a live job waits.
#[test]
fn a_silent_call_of_somebody_forgotten_stays() {
    for (minutes, stays) in [(20, false), (2_000, true)] {
        let mut story = Story::new(Mode::Bounded);
        story.apply(0, "page_view", r#"{"visitor_id":"v1","session_id":"s1","url":"https://example.com/"}"#);
        story.apply(0, "lease_granted", &LEASE.replace("SESSION", r#""session_id":"s1","#));
        story.apply(1, "call", &CALL.replace("STATUS", "started"));
        story.apply(minutes, "erase", r#"{"visitor_id":"v1"}"#);
        assert_eq!(story.told.contains("calls: [CallRow {"), stays, "{minutes}");
    }
}

/// Each category once, as soon as a rule's conditions hold, by the settings in force at the call's start.
#[test]
fn rules_tag_calls() {
    let told = |mode: Mode| {
        let mut story = Story::new(mode);
        let call = |id: &str, status: &str| {
            format!(
                r#"{{"call_id":"{id}","status":"{status}","direction":"inbound","from":"+14155550199","to":"+14155550100"}}"#
            )
        };
        story.apply(
            0,
            "account_settings",
            r#"{"tag_rules":[{"category":"lost","outcome":"missed"},{"category":"long","min_talk_seconds":60},
                {"category":"price","transcript_contains":"How MUCH"},{"category":"lost","outcome":"missed"}]}"#,
        );
        story.apply(1, "call", &call("c1", "started"));
        story.apply(3, "call", &call("c1", "ended"));
        story.apply(4, "call", &call("c2", "answered"));
        story.apply(6, "call", &call("c2", "ended"));
        let segment = |text: &str| format!(r#"{{"speaker":"caller","start_seconds":0,"text":"{text}"}}"#);
        let transcript = |id: &str, text: &str| format!(r#"{{"call_id":"{id}","segments":[{}]}}"#, segment(text));
        story.apply(20, "transcript", &transcript("c2", "So how much is it?"));
        story.apply(21, "transcript", &transcript("c1", "Hello"));
        story.apply(22, "transcript", &transcript("c2", "how much, how much"));
        let bytes = story.join.snapshot().unwrap();
        story.join = Join::restore(&bytes).unwrap();
        story.tick(START.plus(60 * MICROS_PER_MINUTE));
        let mut out = Effects::default();
        story.join.settle(&mut out);
        story.tell(&out);
        let tags: Vec<&str> = story.told.split(r#"source: "callweave/tag_rules", id: "#).skip(1).collect();
        let mut ids: Vec<String> = tags.iter().filter_map(|it| it.split('"').nth(1)).map(str::to_owned).collect();
        ids.sort();
        (ids, story.told.matches("kind: CallTagged").count())
    };
    for mode in [Mode::Live, Mode::Bounded] {
        let (ids, _) = told(mode);
        assert_eq!(ids, ["c1:lost", "c2:long", "c2:price"], "{mode:?}");
    }
    // And three that transcripts are told by are none of these.
    assert_eq!(told(Mode::Live).1, 3);
}

/// A call that was hardly the forgotten visitor's is still itself.
#[test]
fn erasing_a_mere_candidate_leaves_the_call() {
    let mut story = Story::new(Mode::Bounded);
    for (minutes, n) in [(0, 1), (60, 2)] {
        let page = format!(r#"{{"visitor_id":"v{n}","session_id":"s{n}","url":"https://example.com/"}}"#);
        story.apply(minutes, "page_view", &page);
        let lease = format!(
            r#"{{"lease_id":"l{n}","pool":"p","number":"+14155550100","visitor_id":"v{n}","session_id":"s{n}","expires_at":"2026-12-24T00:00:00Z"}}"#
        );
        story.apply(minutes, "lease_granted", &lease);
    }
    let call = r#"{"call_id":"c1","status":"STATUS","direction":"inbound","from":"+14155550199","to":"+14155550100"}"#;
    story.apply(61, "call", &call.replace("STATUS", "started"));
    story.apply(62, "call", &call.replace("STATUS", "ended"));
    story.apply(63, "erase", r#"{"visitor_id":"v1"}"#);
    story.apply(64, "call", &call.replace("STATUS", "answered"));
    let mut out = Effects::default();
    story.join.settle(&mut out);
    story.tell(&out);
    let last = story.told.rsplit(" CallRow {").next().unwrap();
    let start = format!("started_at: {:?}", START.plus(61 * MICROS_PER_MINUTE));
    assert!(
        last.contains("revision: 2") && last.contains(&start) && last.contains(r#"session_id: Some("s2")"#),
        "{last}"
    );
    story.apply(65, "erase", r#"{"visitor_id":"v2"}"#);
    assert_eq!(story.join.sizes().calls, 0, "it was theirs");
}

/// `account`, `source` and `id` name an event: what another source tells under the same id is another moment.
#[test]
fn sources_whose_events_have_one_id_are_all_told_of() {
    let tag = r#""type":"call_tag","data":{"call_id":"c1","category":"lead","origin":"manual"}"#;
    let deal = r#""type":"deal","data":{"deal_id":"d1","call_id":"c1","stage":"won"}"#;
    let transcript = r#""type":"transcript","data":{"call_id":"c1","segments":[]}"#;
    for told in [tag, deal, transcript] {
        let (mut join, mut out) = (Join::new(Mode::Live), Effects::default());
        for source in ["pbx", "crm", "crm"] {
            let line = format!(
                r#"{{"specversion":"1.0","id":"7","source":"{source}","time":"{START}","account":"acme",{told}}}"#
            );
            join.apply(&decode(line.as_bytes(), None).unwrap(), None, &mut out);
        }
        let [pbx, crm] = &out.moments[..] else { panic!("two moments: {:?}", out.moments) };
        assert_ne!(pbx.key(), crm.key(), "{told}");
    }
}
