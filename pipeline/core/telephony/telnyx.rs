//! Telnyx: Call Control webhooks (version 2, and the older version 1), and TeXML's forms.
//!
//! A call is `call_session_id`, a leg `call_leg_id`. Order is by `occurred_at`, duplicates by the message's `id`. A leg
//! that was picked up has met an application; only `call.bridged` is a person.

use serde_json::Value;

use super::body::{Members, members};
use super::draft::Draft;
use super::leg::{Callee, End, Message, Step, Who, tell, who};
use super::number::{Book, Digits, Side};
use super::outcome::{Why, cause, code_of, status};
use super::tag::{Role, Tag};
use super::{Hook, Pass, Refused, Taken, Terms, sign, when};
use crate::event::{Direction, HangupBy};
use crate::time::{MICROS_PER_SECOND, Time};

const SOURCE: &str = "telnyx";

/// Takes a webhook. The secret is the account's public key, 32 bytes in base64 (Telnyx' portal, "Keys & Credentials").
///
/// # Errors
/// Where it is not signed by Telnyx, or was signed more than 300 seconds before or after its receipt.
pub fn take(hook: &Hook<'_>, terms: &Terms<'_>) -> Result<Taken, Refused> {
    authentic(hook, terms)?;
    let mut draft = Draft::of(hook, terms, SOURCE);
    match members(hook.body) {
        Err(reason) => draft.reject("", format!("the body {reason}")),
        Ok(body) if body.contains_key("CallSid") => texml(&mut draft, &Value::Object(body), terms),
        Ok(body) => {
            let body = Value::Object(body);
            // Version 1 has no `data` around it.
            let event = body.get("data").unwrap_or(&body);
            control(&mut draft, event, terms);
        }
    }
    Ok(draft.accepted())
}

/// Ed25519 over `{telnyx-timestamp}|{body}`.
fn authentic(hook: &Hook<'_>, terms: &Terms<'_>) -> Result<(), Refused> {
    let key = terms.secret.filter(|it| !it.is_empty()).ok_or(Refused::NotConfigured("telnyx"))?;
    let signature = hook.header("telnyx-signature-ed25519").ok_or(Refused::NotSigned("telnyx-signature-ed25519"))?;
    let timestamp = hook.header("telnyx-timestamp").ok_or(Refused::NotSigned("telnyx-timestamp"))?;
    let at: i64 = timestamp.parse().map_err(|_| Refused::WrongSignature("telnyx-timestamp is no number of seconds"))?;
    sign::ed25519(key, signature, &[timestamp.as_bytes(), b"|", hook.body].concat())?;
    sign::fresh(at, hook.received)
}

fn control(draft: &mut Draft<'_>, event: &Value, terms: &Terms<'_>) {
    let Some(kind) = event.text("event_type") else { return draft.missing("event_type") };
    let kind = kind.replace('_', ".");
    let Some(payload) = event.get("payload") else { return draft.missing("payload") };
    let Some(step) = step(&kind, payload) else { return draft.pass(Pass::Other) };
    let Some(call_id) = payload.any(&["call_session_id", "call_leg_id"]) else {
        return draft.missing("payload.call_session_id");
    };
    let leg = payload.text("call_leg_id").unwrap_or_else(|| call_id.clone());
    let id = event.text("id").unwrap_or_else(|| format!("{leg}/{kind}"));
    let at = [event.text("occurred_at"), payload.text("occurred_at"), event.text("created_at")];
    let at = draft.received_or(at.into_iter().flatten().find_map(|text| when::rfc(&text)));
    let (Some(at), Some(to)) = (at, payload.text("to")) else { return draft.missing("payload.to") };
    let book = Book::new(terms.rules);
    let tag = payload.text("client_state").and_then(|state| tag(&state));
    let told = match payload.text("direction").as_deref() {
        Some("incoming" | "inbound") => Some(Direction::Inbound),
        Some("outgoing" | "outbound") => Some(Direction::Outbound),
        _ => None,
    };
    let from = payload.text("from").unwrap_or_default();
    let sides = (book.side(&from, Digits::International), book.side(&to, Digits::International));
    // Only the first message of a leg tells its direction: who calls one of the account's numbers from a SIP address calls in to the end.
    let told = told.or_else(|| matches!(sides.1, Side::Own(_)).then_some(Direction::Inbound));
    let (role, parties) = match who(&book, tag.as_ref(), sides, told) {
        Who::Leg(role, parties) => (role, parties),
        Who::Pass(pass) => return draft.pass(pass),
    };
    let names = ["recording_started_at", "start_time"];
    let dialled = if step == Step::Recorded { payload.any(&names) } else { payload.text("start_time") };
    let hangup_by = hangup_by(role, parties.direction, payload.text("hangup_source").as_deref(), step);
    tell(
        draft,
        Message {
            id,
            call_id: tag.and_then(|tag| tag.call_id).unwrap_or(call_id),
            at,
            dialled_at: dialled.and_then(|text| when::rfc(&text)),
            answered_at: None,
            step,
            role,
            parties,
            picked_up_by_person: false,
            callee: Callee::new(&book, Some(&to), Digits::International),
            cause: payload.text("hangup_cause"),
            hangup_by,
            recording_url: recording(payload),
        },
    );
}

fn step(kind: &str, payload: &Value) -> Option<Step> {
    Some(match kind {
        "call.initiated" => Step::Dialled,
        "call.answered" => Step::PickedUp,
        "call.bridged" => Step::Bridged,
        "call.hangup" => {
            let told = payload.text("hangup_cause").unwrap_or_default();
            // Before an answer it is a failure, after one nobody knows what it is: `unspecified` says nothing by itself.
            Step::Ended(End { why: cause(&told), code: code_of(&told).unwrap_or(0) })
        }
        "call.recording.saved" => Step::Recorded,
        "call.machine.detection.ended" | "call.machine.premium.detection.ended" => {
            let result = payload.text("result").unwrap_or_default();
            // A machine that the call was passed on to; at the beginning of an outbound call it is somebody else's.
            (result.starts_with("machine")).then_some(Step::Voicemail)?
        }
        _ => return None,
    })
}

fn tag(client_state: &str) -> Option<Tag> {
    Tag::parse(std::str::from_utf8(&sign::base64(client_state)?).ok()?)
}

/// Of the call's own leg alone: another leg's caller is somebody else.
fn hangup_by(role: Role, direction: Direction, source: Option<&str>, step: Step) -> Option<HangupBy> {
    let inbound = direction != Direction::Outbound;
    if role != Role::Main || !matches!(step, Step::Ended(_)) {
        return None;
    }
    match source? {
        "caller" => Some(if inbound { HangupBy::Caller } else { HangupBy::Agent }),
        "callee" => Some(if inbound { HangupBy::Agent } else { HangupBy::Caller }),
        _ => None,
    }
}

/// The links live for ten minutes (`recording_urls`), or for good (`public_recording_urls`).
fn recording(payload: &Value) -> Option<String> {
    ["public_recording_urls", "recording_urls"].into_iter().find_map(|member| {
        let urls = payload.get(member)?;
        urls.any(&["mp3", "wav"])
    })
}

/// TeXML: Twilio's members, with times in RFC 3339.
fn texml(draft: &mut Draft<'_>, body: &Value, terms: &Terms<'_>) {
    let (Some(leg), Some(to)) = (body.text("CallSid"), body.text("To")) else { return draft.missing("To") };
    let word = body.text("CallStatus").unwrap_or_default();
    let step = match word.as_str() {
        "initiated" | "queued" => Step::Dialled,
        "ringing" => Step::Ringing,
        "in-progress" | "answered" => Step::PickedUp,
        other => match status(other) {
            Some(why) => Step::Ended(End { why: Some(why), code: 0 }),
            None if body.text("RecordingUrl").is_some() => Step::Recorded,
            None => return draft.pass(Pass::Other),
        },
    };
    let Some(at) = draft.received_or(body.text("Timestamp").and_then(|text| when::stamp(&text))) else {
        return draft.missing("Timestamp");
    };
    let book = Book::new(terms.rules);
    let told = match body.text("Direction") {
        Some(text) if text.starts_with("inbound") => Some(Direction::Inbound),
        Some(text) if text.starts_with("outbound") => Some(Direction::Outbound),
        _ => None,
    };
    let from = body.text("From").unwrap_or_default();
    let sides = (book.side(&from, Digits::International), book.side(&to, Digits::International));
    let (role, parties) = match who(&book, None, sides, told) {
        Who::Leg(role, parties) => (role, parties),
        Who::Pass(pass) => return draft.pass(pass),
    };
    let sequence = body.text("SequenceNumber").unwrap_or_default();
    let hangup_by = hangup_by(role, parties.direction, body.text("HangupSource").as_deref(), step);
    // Seconds of talk; with them alone is `completed` more than that the script ran.
    let talked = body.seconds("CallDuration").filter(|seconds| *seconds > 0.0);
    tell(
        draft,
        Message {
            id: format!("{leg}/{word}/{sequence}"),
            call_id: body.text("ParentCallSid").unwrap_or(leg),
            at,
            dialled_at: None,
            answered_at: talked.map(|seconds| Time(at.0 - (seconds * MICROS_PER_SECOND as f64) as i64)),
            step,
            role,
            parties,
            picked_up_by_person: false,
            callee: Callee::new(&book, Some(&to), Digits::International),
            cause: body.any(&["SipResponseCode", "HangupCause"]).or((!matches!(
                step,
                Step::Ended(End { why: Some(Why::Over), .. })
            ))
            .then_some(word)),
            hangup_by,
            recording_url: body.text("RecordingUrl"),
        },
    );
}
