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
