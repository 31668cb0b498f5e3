//! Who asked to be called at a telephone is its caller, whoever holds the number when the call comes.

use super::order_tests::{lease, page};
use super::tests::Story;
use super::*;
use crate::row::Method;

const NUMBER: &str = "+14155550100";
const PHONE: &str = "+14155550199";

fn visit(story: &mut Story, at: i64, visitor: &str) {
    let session = format!("s-{visitor}");
    story.apply(at, "page_view", &page(visitor, &session, ""));
    let held = lease(story, &format!("l-{visitor}"), (visitor, &session), NUMBER, at + 30);
    story.apply(at, "lease_granted", &held);
}

/// Minutes at which the wish is told and the call comes; `Ann` asks, and `Bob` holds the number at the call.
fn call_after(wish: i64, call: i64, direction: &str) -> Arc<CallRow> {
    let mut story = Story::new(Mode::Bounded);
    let ask = |story: &mut Story| {
        let wish_of = format!(
            r#"{{"visitor_id":"ann","session_id":"s-ann","name":"callback_request","properties":{{"phone":"{PHONE}"}}}}"#
        );
        story.apply(wish, "web_event", &wish_of);
    };
    visit(&mut story, 0, "ann");
    if wish <= call {
        ask(&mut story);
    }
    visit(&mut story, call, "bob");
    let (from, to) = (story.time(call), story.time(call + 1));
    let record = format!(
        r#"{{"call_id":"c","direction":"{direction}","from":"{PHONE}","to":"{NUMBER}","started_at":"{from}","ended_at":"{to}"}}"#
    );
    story.apply(call + 1, "call_record", &record);
    if wish > call {
        ask(&mut story);
    }
    story.settle();
    story.calls.pop().expect("a row")
}

#[test]
fn who_asked_to_be_called_is_the_caller() {
    for (wish, call) in [(1, 30), (1, 60), (1, 62), (1, 24 * 60), (90, 30)] {
        for direction in ["callback", "inbound"] {
            let row = call_after(wish, call, direction);
            let told = (row.session_id.as_deref(), row.candidates);
            assert_eq!(told, (Some("s-ann"), 2), "{direction}, asked at {wish}, called at {call}: {row:?}");
            assert_eq!(row.attribution_method, Method::Caller);
            assert!(row.attribution_confidence > Some(0.8), "{direction} at {call}: {:?}", row.attribution_confidence);
        }
    }
}
