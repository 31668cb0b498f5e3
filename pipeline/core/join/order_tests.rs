//! What is over is written before it is forgotten, however far the watermark jumps; what is left is counted as if all were there still.

use super::tests::Story;
use super::*;
use crate::limits::EVENTS_REMEMBERED;
use crate::row::Method;

const DAY: i64 = 24 * 60;
const NUMBER: &str = "+14155550100";

pub(super) fn page(visitor: &str, session: &str, query: &str) -> String {
    format!(r#"{{"visitor_id":"{visitor}","session_id":"{session}","url":"https://example.com/{query}"}}"#)
}

pub(super) fn lease(story: &Story, name: &str, holder: (&str, &str), number: &str, until: i64) -> String {
    let ((visitor, session), until) = (holder, story.time(until));
    format!(
        r#"{{"lease_id":"{name}","pool":"p","number":"{number}","visitor_id":"{visitor}","session_id":"{session}","expires_at":"{until}"}}"#
    )
}

fn record(story: &Story, name: &str, number: &str, from: i64, to: i64) -> String {
    let (from, to) = (story.time(from), story.time(to));
    format!(
        r#"{{"call_id":"{name}","direction":"inbound","from":"+14155550199","to":"{number}","started_at":"{from}","ended_at":"{to}"}}"#
    )
}

fn call<'a>(story: &'a Story, name: &str) -> &'a CallRow {
    story.calls.iter().rfind(|row| &*row.call_id == name).unwrap()
}

/// A million events come, and days pass of which the account hears nothing.
fn silence(story: &mut Story, days: i64) {
    story.pass(2 * EVENTS_REMEMBERED);
    story.tick_at(days * DAY);
}

#[test]
fn silence_loses_no_row_and_no_candidate() {
    for mode in [Mode::Bounded, Mode::Live] {
        let mut story = Story::new(mode);
        story.apply(0, "page_view", &page("v", "s", ""));
        let held = lease(&story, "l", ("v", "s"), NUMBER, 30);
        story.apply(0, "lease_granted", &held);
        let told = record(&story, "c", NUMBER, 8, 31);
        story.apply(31, "call_record", &told);
        silence(&mut story, 21);
        let row = call(&story, "c");
        assert_eq!((row.attribution_method, row.candidates, row.session_id.as_deref()), (Method::Lease, 1, Some("s")));
        assert!(story.leases.iter().any(|row| &*row.lease_id == "l"));
        story.tick_at(21 * DAY + 1);
        let sizes = story.join.sizes();
        assert_eq!((sizes.sessions, sizes.leases, sizes.calls), (0, 0, 0), "and then all is forgotten");
    }
}

#[test]
fn a_lease_that_outlives_what_is_seen_of_its_session_has_a_row() {
    // One of ten days, and one that says that it ends in sixty years.
    for (until, day_of_row) in [(10 * DAY, 11), (60 * 365 * DAY, 35)] {
        let mut story = Story::new(Mode::Bounded);
        let held = lease(&story, "l", ("v", "s"), NUMBER, until);
        story.apply(0, "lease_granted", &held);
        story.pass(2 * EVENTS_REMEMBERED);
        for day in 1..50 {
            story.tick_at(day * DAY);
            assert_eq!(story.leases.len(), usize::from(day >= day_of_row), "day {day}");
        }
        assert_eq!(story.join.sizes().leases, 0, "and is forgotten");
    }
}

#[test]
fn a_call_whose_end_never_comes_keeps_its_candidates() {
    for named in [true, false] {
        let mut story = Story::new(Mode::Bounded);
        let held = lease(&story, "l", ("v", "s"), NUMBER, 30);
        let held = if named { held } else { held.replace(r#""session_id":"s","#, "") };
        story.apply(0, "lease_granted", &held);
        let ringing = format!(
            r#"{{"call_id":"c","status":"started","direction":"inbound","from":"+14155550199","to":"{NUMBER}"}}"#
        );
        story.apply(5, "call", &ringing);
        for days in [21, 22, 23] {
            silence(&mut story, days);
        }
        story.settle();
        let row = call(&story, "c");
        assert_eq!((row.candidates, row.visitor_id.as_deref()), (1, Some("v")), "named: {named}");
        assert_eq!(row.session_id.as_deref(), named.then_some("s"));
    }
}

/// The first visit is seen for days, the second is over at once.
#[test]
fn visits_are_counted_the_same_after_some_are_forgotten() {
    let mut story = Story::new(Mode::Bounded);
    story.apply(0, "page_view", &page("v", "s1", "?gclid=1"));
    story.apply(5, "page_view", &page("v", "s2", "?msclkid=1"));
    story.pass(2 * EVENTS_REMEMBERED);
    for day in 1..8 {
        story.apply(day * DAY, "heartbeat", r#"{"visitor_id":"v","session_id":"s1"}"#);
    }
    let held = lease(&story, "l1", ("v", "s1"), NUMBER, 7 * DAY + 30);
    story.apply(7 * DAY, "lease_granted", &held);
    let told = record(&story, "c1", NUMBER, 7 * DAY + 5, 7 * DAY + 6);
    story.apply(7 * DAY + 6, "call_record", &told);
    silence(&mut story, 20);
    let number = "+14155550101";
    story.apply(20 * DAY, "page_view", &page("v", "s3", ""));
    let held = lease(&story, "l3", ("v", "s3"), number, 20 * DAY + 30);
    story.apply(20 * DAY, "lease_granted", &held);
    let told = record(&story, "c2", number, 20 * DAY + 5, 20 * DAY + 6);
    story.apply(20 * DAY + 6, "call_record", &told);
    story.settle();
    for (name, visit) in [("c1", 1), ("c2", 3)] {
        let row = call(&story, name);
        let first = row.first_source.as_ref().map(|source| &*source.source);
        assert_eq!((row.visit_number, first), (Some(visit), Some("google")), "{name}");
    }
    let visits = story.sessions.iter().map(|row| (&*row.session_id, row.visit_number));
    assert!(
        visits.clone().all(|visit| [("s1", 1), ("s2", 2), ("s3", 3)].contains(&visit)),
        "{:?}",
        visits.collect::<Vec<_>>()
    );
}

#[test]
fn visits_behind_one_that_is_taken_back_are_one_earlier() {
    for written in [false, true] {
        let mut story = Story::new(Mode::Bounded);
        let first = lease(&story, "l", ("v", "s1"), NUMBER, 60);
        story.apply(3, "lease_granted", &first);
        story.apply(4, "page_view", &page("v", "s2", "?gclid=1"));
        let number = "+14155550101";
        let second = lease(&story, "l2", ("v", "s2"), number, 60);
        story.apply(4, "lease_granted", &second);
        let told = record(&story, "c", number, 20, 30);
        story.apply(30, "call_record", &told);
        if written {
            story.tick_at(300);
            assert_eq!(call(&story, "c").visit_number, Some(2));
        }
        let others = lease(&story, "l", ("w", "w1"), NUMBER, 60);
        story.apply(0, "lease_granted", &others);
        story.settle();
        let row = call(&story, "c");
        let first = row.first_source.as_ref().map(|source| &*source.source);
        assert_eq!((row.visit_number, first), (Some(1), Some("google")), "written: {written}");
        let session = story.sessions.iter().rfind(|row| &*row.session_id == "s2").unwrap();
        assert_eq!(session.visit_number, 1, "written: {written}");
    }
}

/// As where a browser lost its cookie within a visit.
#[test]
fn a_session_of_two_visitors_is_one_candidate() {
    let mut story = Story::new(Mode::Bounded);
    let first = lease(&story, "l1", ("v", "s"), NUMBER, 10);
    story.apply(0, "lease_granted", &first);
    let second = lease(&story, "l2", ("w", "s"), NUMBER, 40);
    story.apply(5, "lease_granted", &second);
    let told = record(&story, "c", NUMBER, 20, 30);
    story.apply(30, "call_record", &told);
    story.settle();
    let row = call(&story, "c");
    assert_eq!((row.candidates, row.attribution_method, row.lease_id.as_deref()), (1, Method::Lease, Some("l2")));
}
