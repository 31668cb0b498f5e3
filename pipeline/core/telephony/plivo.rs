//! Plivo: forms of a call's own messages, and of its `<Dial>`.
//!
//! A call is the `CallUUID` of its first leg; what a Dial tells of its second leg names the first one's parties. Numbers
//! come without a plus. `StartTime`, `AnswerTime` and `EndTime` are local to the account at Plivo, `SessionStart` is UTC:
//! how far apart the two starts are tells the zone.

use serde_json::{Map, Value};

use super::body::{Members, members, pairs, query};
use super::draft::Draft;
use super::leg::{Callee, End, Message, Step, Who, tell, who};
use super::number::{Book, Digits};
use super::outcome::{Why, cause, code_of, status};
use super::tag::{Role, Tag};
use super::{Hook, Pass, Refused, Taken, Terms, sign, when};
use crate::event::{Direction, HangupBy};
use crate::time::{MICROS_PER_MINUTE, Time};

const SOURCE: &str = "plivo";
const QUARTER: i64 = 15 * MICROS_PER_MINUTE;

/// Takes a message. The secret is the account's auth token.
///
/// # Errors
/// Where it is not signed by Plivo.
pub fn take(hook: &Hook<'_>, terms: &Terms<'_>) -> Result<Taken, Refused> {
    authentic(hook, terms)?;
    let mut draft = Draft::of(hook, terms, SOURCE);
    let of_query = hook.body.is_empty();
    let asked = hook.url.split_once('?').map_or("", |(_, query)| query);
    match members(if of_query { asked.as_bytes() } else { hook.body }) {
        Err(reason) => draft.reject("", format!("the body {reason}")),
        Ok(form) => message(&mut draft, &form, hook, terms),
    }
    Ok(draft.accepted())
}

/// HMAC-SHA256 over the URL, the sorted parameters and a nonce (Plivo's SDK for Python, `utils/signature_v3.py`). The nonce
/// holds no time, and so nothing can be too old.
fn authentic(hook: &Hook<'_>, terms: &Terms<'_>) -> Result<(), Refused> {
    let token = terms.secret.filter(|it| !it.is_empty()).ok_or(Refused::NotConfigured("plivo"))?;
    let signatures = hook.header("x-plivo-signature-v3").ok_or(Refused::NotSigned("X-Plivo-Signature-V3"))?;
    let nonce = hook.header("x-plivo-signature-v3-nonce").ok_or(Refused::NotSigned("X-Plivo-Signature-V3-Nonce"))?;
    let message = format!("{}.{nonce}", signed_text(hook));
    let expected = sign::hmac_sha256(token.as_bytes(), &[message.as_bytes()]).unwrap_or_default();
    let expected = sign::to_base64(&expected);
    let fits = |given: &str| sign::same(given.trim().as_bytes(), expected.as_bytes());
    // Every one of them is compared, however many fit.
    let fitting = signatures.split(',').filter(|given| fits(given)).count();
    if fitting > 0 { Ok(()) } else { Err(Refused::WrongSignature("the token, the URL or the body is another")) }
}

fn signed_text(hook: &Hook<'_>) -> String {
    let (base, _) = hook.url.split_once('?').unwrap_or((hook.url, ""));
    let mut asked = query(hook.url);
    asked.sort();
    let asked: Vec<String> = asked.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let asked = asked.join("&");
    let mut form = if hook.method == "GET" { Vec::new() } else { pairs(hook.body) };
    if form.is_empty() {
        return if asked.is_empty() { base.to_owned() } else { format!("{base}?{asked}") };
    }
    form.sort();
    let form: String = form.iter().map(|(name, value)| format!("{name}{value}")).collect();
    let point = if asked.is_empty() { "" } else { "." };
    format!("{base}?{asked}{point}{form}")
}

fn message(draft: &mut Draft<'_>, form: &Map<String, Value>, hook: &Hook<'_>, terms: &Terms<'_>) {
    let Some(leg) = form.any(&["CallUUID", "DialALegUUID", "ALegUUID"]) else { return draft.missing("CallUUID") };
    let Some(to) = form.text("To") else { return draft.missing("To") };
    let told = match form.text("Direction").as_deref() {
        Some("inbound") => Some(Direction::Inbound),
        Some("outbound") => Some(Direction::Outbound),
        _ => None,
    };
    let book = Book::new(terms.rules);
    let from = form.text("From").unwrap_or_default();
    let sides = (book.side(&from, Digits::International), book.side(&to, Digits::International));
    let tag = Tag::from_pairs(&query(hook.url));
    let (role, parties) = match who(&book, tag.as_ref(), sides, told) {
        Who::Leg(role, parties) => (role, parties),
        Who::Pass(pass) => return draft.pass(pass),
    };
    let dialled = dial(form);
    let Some((step, word)) = dialled.clone().or_else(|| own(form)) else { return draft.pass(Pass::Other) };
    let clock = Clock::of(form, hook.received);
    let ends = matches!(step, Step::Ended(_)) && dialled.is_none();
    let time = |name: &str| form.text(name).and_then(|text| clock.time(&text));
    let callee = if dialled.is_some() { form.any(&["DialBLegTo", "DialTo"]) } else { Some(to) };
    let other = form.text("DialBLegUUID").unwrap_or_default();
    tell(
        draft,
        Message {
            id: if other.is_empty() { format!("{leg}/{word}") } else { format!("{leg}/{other}/{word}") },
            call_id: tag.and_then(|tag| tag.call_id).unwrap_or_else(|| leg.clone()),
            // Only the beginning and the end of a call are dated.
            at: match step {
                Step::Ended(_) if ends => time("EndTime").unwrap_or(hook.received),
                Step::Ringing if dialled.is_none() => {
                    let start = form.text("SessionStart").and_then(|text| when::local(&text, chrono_tz::UTC));
                    start.unwrap_or(hook.received)
                }
                _ => hook.received,
            },
            dialled_at: if dialled.is_none() { time("StartTime") } else { None },
            answered_at: if ends { time("AnswerTime") } else { None },
            step,
            role: if dialled.is_some() && role == Role::Main { Role::Forward } else { role },
            picked_up_by_person: false,
            callee: Callee::new(&book, callee.as_deref(), Digits::International),
            cause: form.any(&["DialHangupCause", "DialBLegHangupCause", "HangupCause", "HangupCauseName"]),
            hangup_by: hangup_by(form, parties.direction).filter(|_| ends && role == Role::Main),
            recording_url: form.any(&["RecordUrl", "RecordingURL", "RecordFile"]),
            parties,
        },
    );
}

/// What a Dial tells: as it goes on (`DialAction`), and at its end (`DialStatus`).
fn dial(form: &Map<String, Value>) -> Option<(Step, String)> {
    let word = form.any(&["DialBLegStatus", "DialAction", "DialStatus"])?;
    let step = match word.as_str() {
        "answer" | "connected" => Step::Bridged,
        "initiated" | "ringing" => Step::Ringing,
        "machine" => Step::Voicemail,
        _ => {
            let cause = form.any(&["DialBLegHangupCause", "DialHangupCause"]).unwrap_or_default();
            let why = super::outcome::cause(&cause).or_else(|| status(&word));
            Step::Ended(End { why, code: code_of(&cause).unwrap_or(0) })
        }
    };
    Some((step, word))
}

/// What the call's own messages tell.
fn own(form: &Map<String, Value>) -> Option<(Step, String)> {
    if form.any(&["RecordUrl", "RecordingURL", "RecordFile"]).is_some() {
        return Some((Step::Recorded, "recorded".to_owned()));
    }
    let word = form.any(&["CallStatus", "Event"])?;
    let step = match word.as_str() {
        // An inbound call rings where its first message says so.
        "ringing" | "initiated" | "queued" | "early-media" => Step::Ringing,
        "in-progress" | "StartApp" => Step::PickedUp,
        other => {
            let named = form.text("HangupCause").unwrap_or_default();
            let why =
                status(other).filter(|why| *why != Why::Over).or_else(|| cause(&named)).or_else(|| status(other))?;
            Step::Ended(End { why: Some(why), code: code_of(&named).unwrap_or(0) })
        }
    };
    Some((step, word))
}

fn hangup_by(form: &Map<String, Value>, direction: Direction) -> Option<HangupBy> {
    let outbound = direction == Direction::Outbound;
    match form.text("HangupSource")?.to_ascii_lowercase().as_str() {
        "caller" => Some(if outbound { HangupBy::Agent } else { HangupBy::Caller }),
        "callee" => Some(if outbound { HangupBy::Caller } else { HangupBy::Agent }),
        "plivo" | "carrier" | "error" | "api request" | "answer xml" => Some(HangupBy::System),
        _ => None,
    }
}

/// How far the account's local times are ahead of UTC.
struct Clock {
    ahead: i64,
}

impl Clock {
    fn of(form: &Map<String, Value>, received: Time) -> Clock {
        let utc = |name: &str| form.text(name).and_then(|text| when::local(&text, chrono_tz::UTC));
        let between = match (utc("StartTime"), utc("SessionStart")) {
            (Some(local), Some(start)) => local.since(start),
            // A message of the end comes at the end.
            _ => utc("EndTime").map_or(0, |local| local.since(received)),
        };
        // Zones are whole quarters of an hour from UTC.
        Clock { ahead: between.saturating_add(QUARTER / 2).div_euclid(QUARTER) * QUARTER }
    }

    fn time(&self, text: &str) -> Option<Time> {
        when::local(text, chrono_tz::UTC).map(|local| local.minus(self.ahead))
    }
}
