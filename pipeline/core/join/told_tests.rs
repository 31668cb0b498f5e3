//! What a call is by what is told of it: by how long it was talked, and by the extension that was dialled.

use super::order_tests::{lease, page};
use super::tests::Story;
use super::*;
use crate::event::Outcome;
use crate::row::Method;

const NUMBER: &str = "+14155550100";
const PHONE: &str = "+14155550199";

fn told(story: &mut Story, minutes: i64, call: &str, status: &str, more: &str) {
    let call = format!(
        r#"{{"call_id":"{call}","status":"{status}","direction":"inbound","from":"{PHONE}","to":"{NUMBER}"{more}}}"#
    );
    story.apply(minutes, "call", &call);
}

#[test]
fn what_was_talked_was_answered() {
    for (steps, more, expected) in [
        (&["started"][..], r#","talk_seconds":40"#, Outcome::Answered),
        (&["started", "ringing"], r#","talk_seconds":40,"hangup_by":"caller""#, Outcome::Answered),
        (&["started", "menu", "ringing"], r#","talk_seconds":40"#, Outcome::Answered),
        (&["started"], r#","talk_seconds":0"#, Outcome::Missed),
        (&["started"], "", Outcome::Missed),
        (&["started", "voicemail"], r#","talk_seconds":40"#, Outcome::Voicemail),
        (&["started", "menu"], r#","talk_seconds":40"#, Outcome::AbandonedMenu),
        (&["started"], r#","talk_seconds":40,"outcome":"busy""#, Outcome::Busy),
    ] {
        let mut story = Story::new(Mode::Bounded);
        steps.iter().for_each(|step| told(&mut story, 0, "c", step, ""));
        told(&mut story, 1, "c", "ended", more);
        story.settle();
        let row = story.calls.last().unwrap();
        assert_eq!(row.outcome, Some(expected), "{steps:?} {more}");
        assert_eq!(row.kinds.is_target, expected == Outcome::Answered, "{steps:?} {more}");
    }
}

/// An extension is one visit's: whose call the one before was tells nothing of it.
#[test]
fn who_dials_anothers_extension_is_not_who_called_before() {
    let mut story = Story::new(Mode::Bounded);
    for (at, visitor, extension) in [(0, "ann", "101"), (60, "bob", "102")] {
        let (session, dialled) = (format!("s-{visitor}"), format!(r#""extension":"{extension}","#));
        story.apply(at, "page_view", &page(visitor, &session, ""));
        let held = lease(&story, &format!("l-{visitor}"), (visitor, &session), NUMBER, at + 30);
        story.apply(at, "lease_granted", &held.replacen('{', &format!("{{{dialled}"), 1));
        told(&mut story, at + 1, visitor, "started", &format!(r#","extension":"{extension}""#));
        told(&mut story, at + 3, visitor, "ended", r#","talk_seconds":60"#);
    }
    story.settle();
    let row = story.calls.iter().rfind(|row| &*row.call_id == "bob").unwrap();
    assert_eq!((row.attribution_method, row.session_id.as_deref()), (Method::Extension, Some("s-bob")));
    assert!(row.attribution_confidence > Some(0.5), "{:?}", row.attribution_confidence);
}

/// A row of a call that goes on tells other calls of its telephone nothing that they would have to wait for.
#[test]
fn calls_of_one_telephone_are_decided_in_time() {
    let mut story = Story::new(Mode::Live);
    story.apply(-600, "account_settings", r#"{"lateness_seconds":180}"#);
    story.apply(0, "page_view", &page("ann", "s-ann", ""));
    let held = lease(&story, "l-ann", ("ann", "s-ann"), NUMBER, 60);
    story.apply(0, "lease_granted", &held);
    for (call, at) in ["c0", "c1", "c2", "c3", "c4"].into_iter().zip((1..).step_by(2)) {
        told(&mut story, at, call, "started", "");
        told(&mut story, at, call, "ended", "");
        if at > 4 {
            let decided = format!("call.attributed:c{}:", (at - 5) / 2);
            assert!(story.told.contains(&decided), "{at}: no {decided}");
        }
    }
}

/// Subscribers hear what happened first, and then what it corrects.
#[test]
fn what_happened_is_told_before_what_it_corrects() {
    let mut story = Story::new(Mode::Live);
    told(&mut story, 0, "c", "started", "");
    told(&mut story, 1, "c", "ended", "");
    story.tick_at(30);
    assert!(story.told.contains("call.attributed:c:1"), "{}", story.told);
    told(&mut story, 1, "c", "answered", r#","talk_seconds":9"#);
    story.tick_at(40);
    told(&mut story, 60, "d", "transferred", "");
    told(&mut story, 60, "d", "started", "");
    assert!(story.told.contains("call.transferred:d:") && !story.told.contains("call.started:d:"));
    let (answered, corrected) = (story.told.find("call.answered:c:"), story.told.find("call.attributed:c:2"));
    assert!(answered.is_some() && answered < corrected, "{answered:?} {corrected:?}");
}

#[test]
fn settings_that_are_told_again_are_one_era() {
    let mut story = Story::new(Mode::Live);
    for (minute, data, eras) in [
        (0, r#"{"target_seconds":20}"#, 1),
        (0, r#"{"target_seconds":20}"#, 1),
        (5, r#"{"target_seconds":20}"#, 2),
        (0, r#"{"target_seconds":40}"#, 3),
    ] {
        story.apply(minute, "account_settings", data);
        assert_eq!(story.join.accounts[0].eras.len(), eras, "{minute} {data}");
    }
    let settings = story.join.settings("acme", story.time(0)).unwrap();
    assert_eq!(settings.target_seconds, 40.0, "of equal times the one that was told last");
}
