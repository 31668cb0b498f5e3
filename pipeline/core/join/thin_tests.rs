//! What is let go of long visits leaves answers as they are.

use super::tests::Story;
use super::*;
use crate::time::MICROS_PER_MINUTE;

const IDS: &str = r#""visitor_id":"v","session_id":"s""#;
const CALL: &str = r#""call_id":"c","from":"+14155550199","to":"+14155550100","direction":"inbound""#;

/// A visit holds a number from the first minute on.
fn hold(story: &mut Story, until: i64) {
    let until = story.time(until);
    let lease = format!(r#"{{"lease_id":"l","pool":"p","number":"+14155550100",{IDS},"expires_at":"{until}"}}"#);
    story.apply(0, "lease_granted", &lease);
}

/// A call to it.
fn ring(story: &mut Story, minute: i64) {
    for status in ["started", "ended"] {
        story.apply(minute, "call", &format!(r#"{{{CALL},"status":"{status}"}}"#));
    }
}

/// A visit that holds a number, a call in its fiftieth minute, and hours of signs of life after it; then its recording is told.
fn told_late(beats: impl Fn(&mut Story, i64)) -> Story {
    let mut story = Story::new(Mode::Live);
    story.apply(0, "page_view", &format!(r#"{{{IDS},"url":"https://example.com/"}}"#));
    hold(&mut story, 60);
    for minute in 1..=600 {
        beats(&mut story, minute);
        if minute == 50 {
            ring(&mut story, 50);
        }
    }
    story.tick_at(605);
    story.apply(605, "call", &format!(r#"{{{CALL},"status":"ended","recording_url":"https://example.com/r"}}"#));
    story.tick_at(610);
    story
}

/// What the call's rows say of how it was joined.
fn joined(story: &Story) -> Vec<String> {
    let member = |row: &str, name: &str| {
        let rest = row.split_once(name).map_or("", |(_, rest)| rest);
        rest.split_once(',').map_or("", |(value, _)| value).to_owned()
    };
    let rows = story.told.split("CallRow {").skip(1).filter(|row| row.contains("revision: "));
    let mut all: Vec<String> =
        rows.map(|row| member(row, "attribution_method: ") + " " + &member(row, "attribution_confidence: ")).collect();
    all.dedup();
    all
}

#[test]
fn heartbeats_that_are_let_go_change_no_answer() {
    let story = told_late(|story, minute| {
        story.apply(minute, "heartbeat", &format!("{{{IDS}}}"));
    });
    assert!(story.told.contains("https://example.com/r"));
    let answers = joined(&story);
    assert!(answers.len() == 1 && answers[0].starts_with("Lease Some(0.9"), "{answers:?}");
    let session = story.join.accounts[0].sessions.iter().next().unwrap().1;
    let signs: Vec<Time> = session.entries().filter(|entry| !entry.is_page()).map(|entry| entry.at).collect();
    assert!(signs.len() <= crate::limits::SIGNS_PER_SESSION);
    let farthest = signs.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap();
    assert!(farthest <= 11 * MICROS_PER_MINUTE, "{farthest}");
}

#[test]
fn renewals_that_are_let_go_change_no_answer() {
    let story = told_late(|story, minute| {
        let until = story.time(minute + 2);
        story.apply(minute, "lease_renewed", &format!(r#"{{"lease_id":"l","expires_at":"{until}"}}"#));
    });
    let answers = joined(&story);
    assert!(answers.len() == 1 && answers[0].starts_with("Lease Some(0.9"), "{answers:?}");
    let lease = story.join.accounts[0].leases.iter().next().unwrap().1;
    assert_eq!(lease.renewals(), 600);
    assert!(lease.ends().count() <= crate::limits::RENEWALS_PER_LEASE);
    assert!((0..600).all(|minute| lease.is_active(story.time(minute))));
}

/// A call's page is the one that it was, however many follow.
#[test]
fn pages_that_are_let_go_change_no_answer() {
    let mut story = Story::new(Mode::Live);
    hold(&mut story, 60);
    for minute in 0..2_300 {
        story.apply(minute, "page_view", &format!(r#"{{{IDS},"url":"https://example.com/{minute}"}}"#));
        if minute == 977 {
            ring(&mut story, 977);
        }
    }
    story.settle();
    let row = story.calls.last().unwrap();
    assert_eq!(row.call_page.as_deref(), Some("https://example.com/977"));
    assert_eq!(row.session_pages, Some(2_300));
}

/// Renewals that came too late leave holes, which stay.
#[test]
fn a_lease_is_not_held_where_it_was_not() {
    let mut story = Story::new(Mode::Live);
    hold(&mut story, 1);
    for minute in (2..1_000).step_by(2) {
        let until = story.time(minute + 1);
        story.apply(minute, "lease_renewed", &format!(r#"{{"lease_id":"l","expires_at":"{until}"}}"#));
    }
    let lease = story.join.accounts[0].leases.iter().next().unwrap().1;
    assert!(lease.ends().count() <= crate::limits::RENEWALS_PER_LEASE);
    assert!((900..1_000).all(|minute| lease.is_active(story.time(minute)) == (minute % 2 == 0)));
}

/// Rows of sessions: start, end and page views of those that exist.
fn visits(story: &Story) -> Vec<(i64, i64, u32)> {
    let sessions = story.join.accounts[0].sessions.iter().map(|(_, session)| session);
    let mut visits: Vec<(i64, i64, u32)> = sessions
        .filter(|session| !session.taken_back)
        .map(|session| (session.started_at().0, session.last_at().0, session.pages_count()))
        .collect();
    visits.sort_unstable();
    visits
}

/// A visit without a name whose events were let go is one, in whatever order they come and whenever settings are told.
#[test]
fn what_is_let_go_makes_no_gap() {
    let settings = |story: &mut Story, minute: i64| {
        story.apply(minute, "account_settings", r#"{"session_timeout_minutes":5}"#);
    };
    for kind in ["page_view", "web_event"] {
        let event = |minute: i64| match kind {
            "page_view" => format!(r#"{{"visitor_id":"v","url":"https://example.com/{minute}"}}"#),
            _ => r#"{"visitor_id":"v","name":"scroll"}"#.to_owned(),
        };
        let told = |minutes: &[i64], again: bool| {
            let mut story = Story::new(Mode::Live);
            settings(&mut story, 0);
            for minute in minutes {
                story.apply(*minute, kind, &event(*minute));
            }
            if again {
                settings(&mut story, 100);
            }
            visits(&story)
        };
        let minutes: Vec<i64> = (0..2_400).collect();
        let mut swapped = minutes.clone();
        swapped.swap(2_300, 2_301);
        let one = told(&minutes, false);
        assert_eq!(one.len(), 1, "{kind}: {one:?}");
        assert_eq!(told(&swapped, false), one, "{kind}");
        assert_eq!(told(&minutes, true), one, "{kind}");
        // A gap is one all the same, before and after.
        let parted: Vec<i64> = minutes.iter().copied().chain(2_500..2_510).chain([2_405]).collect();
        assert_eq!(told(&parted, true).len(), 3, "{kind}");
        let around: Vec<i64> = minutes.iter().map(|minute| minute + 100).chain([50]).collect();
        assert_eq!(told(&around, false).len(), 2, "{kind}");
    }
}

/// What tells of a visit stays, and the last of its signs.
#[test]
fn the_experiment_and_the_last_renewal_stay() {
    let mut story = Story::new(Mode::Live);
    hold(&mut story, 3_000);
    for minute in 0..3_300 {
        let more = if minute == 1_700 { r#","experiment_id":"e","experiment_variant":"b""# } else { "" };
        story.apply(minute, "page_view", &format!(r#"{{{IDS},"url":"https://example.com/{minute}"{more}}}"#));
    }
    ring(&mut story, 3_300);
    story.settle();
    assert!(story.told.contains(r#"experiment_id: Some("e")"#));
    let mut story = Story::new(Mode::Live);
    hold(&mut story, 60);
    for minute in (1..=254).chain([256, 255]) {
        let until = story.time(minute + 60);
        story.apply(minute, "lease_renewed", &format!(r#"{{"lease_id":"l","expires_at":"{until}"}}"#));
    }
    for minute in (257..600).chain([601, 600]) {
        let until = story.time(minute + 60);
        story.apply(minute, "lease_renewed", &format!(r#"{{"lease_id":"l","expires_at":"{until}"}}"#));
        let lease = story.join.accounts[0].leases.iter().next().unwrap().1;
        assert_eq!(
            lease.ends().last().map(|(told, _)| told),
            Some(story.time(minute.max(if minute == 600 { 601 } else { 0 })))
        );
    }
}
