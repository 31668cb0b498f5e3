//! Status callbacks of legs. They come in any order, twice, or not at all.
//!
//! What they tell never contradicts what the action of `<Dial>` tells ([`super::dialled`]): an outcome only where the
//! attempt failed and was the last, and then by the same rule; no length of the talk, which is the action's to know.

use super::outcome::{Failure, is_machine};
use super::party::Side;
use super::work::Work;
use crate::event::{Call, CallStatus, Direction, HangupBy, Outcome};
use crate::limits::CALL_SECONDS_MAX;
use crate::phone::Party;
use crate::telephony::Pass;
use crate::time::{MICROS_PER_MINUTE, MICROS_PER_SECOND, Time};

/// So much may our clock and the provider's be apart before a guess counts for more than what we know.
const CLOCKS_APART: i64 = 5 * MICROS_PER_MINUTE;

/// When it happened, by the provider's clock.
fn at(work: &Work<'_>) -> Time {
    work.told(work.form.get("Timestamp"))
}

/// `CallDuration`, in seconds; `Duration` counts billed minutes.
fn seconds(work: &Work<'_>) -> Option<f64> {
    let told = work.form.get("CallDuration")?.parse::<u32>().ok().map(f64::from)?;
    (told <= CALL_SECONDS_MAX).then_some(told)
}

fn before(at: Time, seconds: f64) -> Time {
    at.minus((seconds * MICROS_PER_SECOND as f64) as i64)
}

fn state<'w>(work: &'w Work<'_>) -> &'w str {
    work.form.get("CallStatus").unwrap_or_default()
}

fn unknown(work: &mut Work<'_>) {
    let reason = match work.form.get("CallStatus") {
        Some(status) => format!("{:?} is not a status of a call", crate::time::shortened(status)),
        None => "is missing: what became of the call?".to_owned(),
    };
    work.reject("CallStatus", reason);
}

/// What ended a leg, in the provider's own words.
fn cause(work: &Work<'_>) -> String {
    match work.form.get("SipResponseCode") {
        Some(code) => format!("{} (SIP {code})", state(work)),
        None => state(work).to_owned(),
    }
}

/// The leg that a `<Dial>` of ours started: the business's, or of a callback the client's.
pub(super) fn leg(work: &mut Work<'_>) {
    let status = match state(work) {
        "queued" | "initiated" => return work.pass(Pass::Leg),
        "ringing" => CallStatus::Ringing,
        "in-progress" | "answered" => CallStatus::Answered,
        "completed" => CallStatus::Ended,
        other => match Failure::of(other) {
            // Something else is tried, and tells.
            Some(_) if !work.tags.is_last => return work.pass(Pass::Leg),
            Some(failure) => return lost(work, failure.with(work.tags.before).told(work.tags.is_callback)),
            None => return unknown(work),
        },
    };
    // Of a callback, what its first leg told before is no longer so.
    let reached = work.tags.is_callback && status == CallStatus::Answered;
    let call = Call { outcome: reached.then_some(Outcome::Answered), ..work.call_to(status) };
    work.tell_call("leg", at(work), call);
}

fn lost(work: &mut Work<'_>, outcome: Option<Outcome>) {
    let call = Call { outcome, cause: Some(cause(work).into()), ..work.call_to(CallStatus::Ended) };
    work.tell_call("leg", at(work), call);
}

/// The agent's leg of a callback, which comes first.
pub(super) fn agent(work: &mut Work<'_>) {
    let status = match state(work) {
        "queued" | "initiated" => CallStatus::Started,
        "ringing" => CallStatus::Ringing,
        // The client is called only now.
        "in-progress" | "answered" => return work.pass(Pass::Leg),
        "completed" => CallStatus::Ended,
        other if Failure::of(other).is_some() => return lost(work, Some(Outcome::CallbackAgentMissed)),
        _ => return unknown(work),
    };
    work.tell_call("agent", at(work), work.call(status));
}

/// A machine took the call.
pub(super) fn machine(work: &mut Work<'_>) {
    let answered_by = work.form.get("AnsweredBy").unwrap_or_default().to_owned();
    if !is_machine(&answered_by) {
        return work.pass(Pass::Other);
    }
    let outcome = if work.tags.is_callback { Outcome::CallbackClientMissed } else { Outcome::Voicemail };
    let call = Call { outcome: Some(outcome), cause: Some(answered_by.into()), ..work.call_to(CallStatus::Voicemail) };
    work.tell_call("machine", at(work), call);
}

/// The status callback that a number (or whoever started an outbound call) is set up with: nothing in its URL tells of
/// the call.
pub(super) fn status(work: &mut Work<'_>) {
    if work.form.get("Direction").is_some_and(|direction| direction.starts_with("outbound")) {
        return outbound(work);
    }
    if work.number().is_none() {
        // The first leg of a softphone's call; what it calls has a leg of its own.
        if work.side_from() == Side::Inside {
            let inside = !matches!(work.side_to(), Side::Number(_));
            return work.pass(if inside { Pass::Internal } else { Pass::Leg });
        }
        return work.reject("To", "is not one of the account's numbers: list it in the settings".to_owned());
    }
    let failed = match state(work) {
        "queued" | "initiated" | "ringing" | "in-progress" | "answered" => return work.pass(Pass::Leg),
        "completed" => None,
        other if Failure::of(other).is_some() => Some(other == "failed"),
        _ => return unknown(work),
    };
    let ended = at(work);
    let mut call = work.call(CallStatus::Ended);
    if let Some(failed) = failed {
        call.cause = Some(cause(work).into());
        call.outcome = failed.then_some(Outcome::Failed);
    }
    work.tell_call("ended", ended, call);
    let Some(seconds) = seconds(work) else { return };
    let start = before(ended, seconds);
    let begun = work.call(CallStatus::Started);
    match work.form.get("Timestamp") {
        Some(_) => work.tell_call("started", start, begun),
        // By no clock of theirs: a guess, for numbers of which nothing but this comes here.
        None => work.tell_start(start, begun),
    }
    // Where nothing else tells who hung up, it was the caller: whatever we do to end a call tells so. An earlier end than the
    // one above changes nothing else.
    let by = Call { hangup_by: Some(HangupBy::Caller), ..work.call(CallStatus::Ended) };
    work.tell_call("hung up", start.minus(CLOCKS_APART), by);
}

/// A call that the account makes: from one of its numbers to somebody.
fn outbound(work: &mut Work<'_>) {
    let (from, to) = (work.side_from().party(), work.side_to().party());
    let is_own = |party: Party| party.number().is_some_and(|number| work.terms.rules.number(number).is_some());
    if !is_own(from) {
        // The leg of a forwarded call shows the caller's number. Its own callback tells of it.
        if work.form.get("ParentCallSid").is_some() {
            return work.pass(Pass::Leg);
        }
        return work.reject("From", "is not one of the account's numbers: list it in the settings".to_owned());
    }
    if to == Party::Anonymous {
        return work.pass(Pass::Internal);
    }
    let at = at(work);
    let base = |work: &Work<'_>, status| Call { direction: Direction::Outbound, from, to, ..work.call(status) };
    let status = match state(work) {
        "queued" | "initiated" => CallStatus::Started,
        "ringing" => CallStatus::Ringing,
        "in-progress" | "answered" => CallStatus::Answered,
        "completed" => return outbound_over(work, at, base),
        other => match Failure::of(other) {
            Some(failure) => {
                let call = Call {
                    outcome: failure.told(false),
                    cause: Some(cause(work).into()),
                    ..base(work, CallStatus::Ended)
                };
                return work.tell_call("ended", at, call);
            }
            None => return unknown(work),
        },
    };
    work.tell_call("outbound", at, base(work, status));
}

fn outbound_over<'h>(work: &mut Work<'h>, at: Time, base: impl Fn(&Work<'h>, CallStatus) -> Call<'static>) {
    let seconds = seconds(work);
    if let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) {
        work.tell_call("answered", before(at, seconds), base(work, CallStatus::Answered));
    }
    let machine = work.form.get("AnsweredBy").is_some_and(is_machine);
    let call = Call {
        outcome: machine.then_some(Outcome::Voicemail),
        cause: Some(cause(work).into()),
        talk_seconds: seconds,
        ..base(work, CallStatus::Ended)
    };
    work.tell_call("ended", at, call);
}
