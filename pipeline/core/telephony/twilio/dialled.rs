//! What became of an attempt to reach somebody: the action of `<Dial>`, which comes on the leg that dialled.

use super::assessment;
use super::outcome::Failure;
use super::tags::Leg;
use super::twiml::{fall_back, response, what_follows};
use super::work::Work;
use crate::event::{Call, CallStatus, HangupBy, Outcome, Text};
use crate::limits::CALL_SECONDS_MAX;
use crate::time::MICROS_PER_SECOND;

pub(super) fn dialled(work: &mut Work<'_>) {
    let Some(status) = work.form.get("DialCallStatus").map(str::to_owned) else {
        work.reject("DialCallStatus", "is missing: what became of the call?".to_owned());
        return hang_up(work);
    };
    let picked_up = matches!(status.as_str(), "completed" | "answered");
    let is_bridged = picked_up && work.form.get("DialBridged") != Some("false");
    if is_bridged {
        return talked(work, &status);
    }
    let failure = if picked_up { Some(Failure::Unbridged) } else { Failure::of(&status) };
    match failure {
        Some(failure) => not_reached(work, &status, failure.with(work.tags.before)),
        None => {
            work.reject("DialCallStatus", format!("{status:?} is not a status of a call"));
            hang_up(work);
        }
    }
}

fn hang_up(work: &mut Work<'_>) {
    let mut xml = response();
    xml.empty("Hangup", &[]);
    work.answer(xml);
}

/// Whether whoever is on this leg is still there.
fn is_alive(work: &Work<'_>) -> bool {
    work.form.get("CallStatus").is_none_or(|status| matches!(status, "in-progress" | "ringing"))
}

/// Who is at this end of the line: the caller, or of a callback the agent.
fn this_end(work: &Work<'_>) -> HangupBy {
    if work.tags.is_callback { HangupBy::Agent } else { HangupBy::Caller }
}

fn other_end(work: &Work<'_>) -> HangupBy {
    if work.tags.is_callback { HangupBy::Caller } else { HangupBy::Agent }
}

fn seconds(work: &Work<'_>) -> Option<f64> {
    let told = work.form.get("DialCallDuration")?.parse::<u32>().ok().map(f64::from)?;
    (told <= CALL_SECONDS_MAX).then_some(told)
}

fn talked(work: &mut Work<'_>, status: &str) {
    let (alive, seconds) = (is_alive(work), seconds(work));
    // Of a callback, what its first leg told before is no longer so.
    let outcome = work.tags.is_callback.then_some(Outcome::Answered);
    if let Some(seconds) = seconds {
        // Where the callback that told of the answer is lost. If it is not, the earlier of both counts, and they agree to
        // within the second that the provider counts in.
        let since = work.hook.received.minus((seconds * MICROS_PER_SECOND as f64) as i64);
        let answered = Call { outcome, ..work.call_to(CallStatus::Answered) };
        work.tell_call("answered", work.no_sooner(since), answered);
    }
    let over = Call {
        outcome,
        cause: Some(status.to_owned().into()),
        hangup_by: Some(if alive { other_end(work) } else { this_end(work) }),
        talk_seconds: seconds,
        recording_url: work.form.get("RecordingUrl").map(|url| Text::from(url.to_owned())),
        ..work.call_to(CallStatus::Ended)
    };
    work.tell_call("ended", work.now().plus(2), over);
    assessment::after_call(work, alive);
}

fn not_reached(work: &mut Work<'_>, status: &str, failure: Failure) {
    let (alive, is_callback) = (is_alive(work), work.tags.is_callback);
    let next = what_follows(work.voice(), work.tags.leg).filter(|_| alive && !is_callback);
    let dials_again = next.as_ref().is_some_and(|next| next.forward_to.is_some());
    // It was tried, even if the callback that told of the ringing is lost. Where somebody else is tried, it is theirs to
    // tell what became of the call.
    let tried = Call {
        outcome: failure.told(is_callback).filter(|_| !dials_again),
        cause: Some(status.to_owned().into()),
        // What was picked up and not connected was no talk, however long it took.
        talk_seconds: (!dials_again).then_some(0.0),
        ..work.call_to(CallStatus::Ringing)
    };
    work.tell_call("tried", work.now(), tried);
    if let Some(next) = next {
        let mut xml = response();
        fall_back(work, &mut xml, &next, follow_up(work.tags.leg), Some(failure));
        return work.answer(xml);
    }
    let by = if alive { HangupBy::System } else { this_end(work) };
    work.tell_call("ended", work.now().plus(2), Call { hangup_by: Some(by), ..work.call(CallStatus::Ended) });
    hang_up(work);
}

fn follow_up(leg: Leg) -> Leg {
    if leg == Leg::Closed { Leg::Closed } else { Leg::Unanswered }
}

/// All was said.
pub(super) fn bye(work: &mut Work<'_>) {
    let by = if is_alive(work) { HangupBy::System } else { this_end(work) };
    work.tell_call("ended", work.now(), Call { hangup_by: Some(by), ..work.call(CallStatus::Ended) });
    hang_up(work);
}
