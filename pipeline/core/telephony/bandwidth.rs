//! Bandwidth: JSON events of calls and of their transfers, with basic authentication.
//!
//! A call is a `callId`; a leg that it was transferred to names it as its `parentCallId`. An inbound call that was
//! answered has met BXML; only `transferAnswer` and `bridge…` are a person.

use serde_json::{Map, Value};

use super::body::{Members, members};
use super::draft::Draft;
use super::leg::{Callee, End, Message, Step, Who, tell, who};
use super::number::{Book, Digits};
use super::outcome::{Why, status};
use super::tag::{Role, Tag};
use super::{Hook, Pass, Refused, Taken, Terms, sign, when};
use crate::event::{Direction, HangupBy};

const SOURCE: &str = "bandwidth";

/// Takes an event. The secret is `user:password` as the application's callbacks are configured with.
///
/// # Errors
/// Where user or password is another.
pub fn take(hook: &Hook<'_>, terms: &Terms<'_>) -> Result<Taken, Refused> {
    sign::basic(hook, terms.secret, SOURCE)?;
    let mut draft = Draft::of(hook, terms, SOURCE);
    match members(hook.body) {
        Err(reason) => draft.reject("", format!("the body {reason}")),
        Ok(body) => event(&mut draft, &body, terms),
    }
    Ok(draft.accepted())
}

fn event(draft: &mut Draft<'_>, body: &Map<String, Value>, terms: &Terms<'_>) {
    let Some(kind) = body.text("eventType") else { return draft.missing("eventType") };
    let Some(leg) = body.text("callId") else { return draft.missing("callId") };
    let Some(to) = body.text("to") else { return draft.missing("to") };
    let word = body.text("cause").unwrap_or_default();
    let Some(step) = step(&kind, &word, body) else { return draft.pass(Pass::Other) };
    let time = |name: &str| body.text(name).and_then(|text| when::rfc(&text));
    let ends = matches!(step, Step::Ended(_));
    let told = if ends { time("endTime").or(time("eventTime")) } else { time("eventTime") };
    let Some(at) = draft.received_or(told) else { return draft.missing("eventTime") };
    let direction = match body.text("direction").as_deref() {
        Some("inbound") => Some(Direction::Inbound),
        Some("outbound") => Some(Direction::Outbound),
        _ => None,
    };
    let tag = body.text("tag").and_then(|tag| Tag::parse(&tag));
    let book = Book::new(terms.rules);
    let from = body.text("from").unwrap_or_default();
    let sides = (book.side(&from, Digits::National), book.side(&to, Digits::National));
    let (mut role, parties) = match who(&book, tag.as_ref(), sides, direction) {
        Who::Leg(role, parties) => (role, parties),
        Who::Pass(pass) => return draft.pass(pass),
    };
    let of_transfer = kind.starts_with("transfer") || kind.starts_with("bridge");
    if of_transfer && role == Role::Main {
        if parties.direction == Direction::Outbound {
            return draft.pass(Pass::Leg);
        }
        role = Role::Forward;
    }
    let callee = if of_transfer { body.text("transferTo") } else { Some(to) };
    let parent = body.text("parentCallId");
    tell(
        draft,
        Message {
            id: format!("{leg}/{kind}"),
            call_id: tag.and_then(|tag| tag.call_id).or(parent).unwrap_or_else(|| leg.clone()),
            at,
            dialled_at: time("startTime"),
            // The end of a transfer is told by the call's own leg, which the menu answered.
            answered_at: if ends && kind != "transferComplete" { time("answerTime") } else { None },
            step,
            role,
            picked_up_by_person: false,
            callee: Callee::new(&book, callee.as_deref(), Digits::National),
            hangup_by: hangup_by(&word, parties.direction).filter(|_| role == Role::Main && ends),
            cause: Some(word).filter(|_| ends),
            recording_url: body.text("mediaUrl"),
            parties,
        },
    );
}

fn step(kind: &str, cause: &str, body: &Map<String, Value>) -> Option<Step> {
    Some(match kind {
        "initiate" => Step::Dialled,
        "answer" => Step::PickedUp,
        "transferAnswer" | "bridgeTargetAnswer" => Step::Bridged,
        "disconnect" | "transferDisconnect" | "transferComplete" => Step::Ended(End { why: status(cause), code: 0 }),
        "recordingAvailable" | "recordComplete" => Step::Recorded,
        "machineDetectionComplete" => {
            let detected = body.get("machineDetectionResult").and_then(|result| result.text("value"));
            detected.filter(|value| value == "answering-machine").map(|_| Step::Voicemail)?
        }
        _ => return None,
    })
}

/// `cancel` is the caller's doing while it rings; who hung up later is not told.
fn hangup_by(cause: &str, direction: Direction) -> Option<HangupBy> {
    match status(cause)? {
        Why::GaveUp => Some(if direction == Direction::Outbound { HangupBy::Agent } else { HangupBy::Caller }),
        Why::Failed => Some(HangupBy::System),
        _ => None,
    }
}
