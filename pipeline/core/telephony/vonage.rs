//! Vonage Voice: JSON events, signed as a JWT.
//!
//! A call is a `conversation_uuid`, a leg a `uuid`. Numbers come without a plus; `ringing` may come before `started` at the
//! same instant. That an inbound leg is answered means a person did: with `connect` it is when the other side is. Where a
//! menu answers first, the hook's URL says so with `?answer=menu`.

use serde_json::{Map, Value};

use super::body::{Members, json, members, query};
use super::draft::Draft;
use super::leg::{Callee, End, Message, Step, Who, tell, who};
use super::number::{Book, Digits};
use super::outcome::status;
use super::tag::Tag;
use super::{Hook, Pass, Refused, Taken, Terms, sign, when};
use crate::event::Direction;

const SOURCE: &str = "vonage";
/// How long a token may be that is looked at.
const TOKEN_BYTES_MAX: usize = 8192;

/// Takes an event. The secret is the account's signature secret.
///
/// # Errors
/// Where it is not signed by Vonage, is signed for another body, or was signed more than 300 seconds before or after its
/// receipt.
pub fn take(hook: &Hook<'_>, terms: &Terms<'_>) -> Result<Taken, Refused> {
    authentic(hook, terms)?;
    let mut draft = Draft::of(hook, terms, SOURCE);
    let asked = hook.url.split_once('?').map_or("", |(_, query)| query);
    match members(if hook.body.is_empty() { asked.as_bytes() } else { hook.body }) {
        Err(reason) => draft.reject("", format!("the body {reason}")),
        Ok(body) => event(&mut draft, &body, hook, terms),
    }
    Ok(draft.accepted())
}

/// A JWT (RFC 7519) signed with HS256 alone, whose `payload_hash` is the SHA-256 of the body in hexadecimal.
fn authentic(hook: &Hook<'_>, terms: &Terms<'_>) -> Result<(), Refused> {
    let secret = terms.secret.filter(|it| !it.is_empty()).ok_or(Refused::NotConfigured("vonage"))?;
    let header = hook.header("authorization").ok_or(Refused::NotSigned("Authorization"))?;
    let token = header.strip_prefix("Bearer ").or(header.strip_prefix("bearer ")).unwrap_or_default().trim();
    let no_token = Refused::WrongSignature("Authorization holds no JSON Web Token");
    let Some((signed, signature)) = token.rsplit_once('.').filter(|_| token.len() <= TOKEN_BYTES_MAX) else {
        return Err(no_token);
    };
    let Some((head, claims)) = signed.split_once('.') else { return Err(no_token) };
    let object = |part: &str| sign::base64_url(part).and_then(|bytes| json(&bytes).ok());
    let (Some(head), Some(claims)) = (object(head), object(claims)) else { return Err(no_token) };
    if head.text("alg").as_deref() != Some("HS256") {
        return Err(Refused::WrongSignature("it is not signed with HS256"));
    }
    let given = sign::base64_url(signature).ok_or(no_token)?;
    let expected = sign::hmac_sha256(secret.as_bytes(), &[signed.as_bytes()]).unwrap_or_default();
    if !sign::same(&given, &expected) {
        return Err(Refused::WrongSignature("the signature secret is another"));
    }
    let hash = claims.text("payload_hash").unwrap_or_default().to_ascii_lowercase();
    if !hook.body.is_empty() && !sign::same(hash.as_bytes(), sign::sha256_hex(hook.body).as_bytes()) {
        return Err(Refused::WrongSignature("it is for another body"));
    }
    let seconds = |name: &str| claims.get(name).and_then(Value::as_i64);
    let issued = seconds("iat").ok_or(Refused::WrongSignature("it does not say when it was issued"))?;
    sign::fresh(issued, hook.received)?;
    seconds("exp")
        .filter(|expires| *expires < issued)
        .map_or(Ok(()), |_| Err(Refused::WrongSignature("it has expired")))
}

fn event(draft: &mut Draft<'_>, body: &Map<String, Value>, hook: &Hook<'_>, terms: &Terms<'_>) {
    let asked = query(hook.url);
    let tag = Tag::from_pairs(&asked);
    let Some(leg) = body.any(&["uuid", "conversation_uuid"]) else { return draft.missing("uuid") };
    let call_id = tag.as_ref().and_then(|tag| tag.call_id.clone()).or(body.text("conversation_uuid"));
    let word = body.text("status").unwrap_or_default();
    let recording_url = body.text("recording_url");
    let step = match word.as_str() {
        "started" => Step::Dialled,
        "ringing" => Step::Ringing,
        "answered" | "human" => Step::PickedUp,
        "machine" => Step::Voicemail,
        "" if recording_url.is_some() => Step::Recorded,
        other => match status(other) {
            Some(why) => Step::Ended(End { why: Some(why), code: 0 }),
            None => return draft.pass(Pass::Other),
        },
    };
    let (Some(at), Some(to)) = (at(draft, body, step), body.any(&["to", "called"])) else {
        // A recording's message names no parties.
        return if step == Step::Recorded { draft.pass(Pass::Leg) } else { draft.missing("to") };
    };
    let told = match body.text("direction").as_deref() {
        Some("inbound") => Some(Direction::Inbound),
        Some("outbound") => Some(Direction::Outbound),
        _ => None,
    };
    let book = Book::new(terms.rules);
    let from = body.any(&["from", "caller"]).unwrap_or_default();
    let sides = (book.side(&from, Digits::International), book.side(&to, Digits::International));
    let (role, parties) = match who(&book, tag.as_ref(), sides, told) {
        Who::Leg(role, parties) => (role, parties),
        Who::Pass(pass) => return draft.pass(pass),
    };
    // `start_time` is when it was answered.
    let answered = body.text("start_time").and_then(|text| when::stamp(&text));
    tell(
        draft,
        Message {
            id: format!("{leg}/{}", if word.is_empty() { "recorded" } else { &word }),
            call_id: call_id.unwrap_or(leg),
            at,
            dialled_at: None,
            answered_at: answered.filter(|_| matches!(step, Step::Ended(_))),
            step,
            role,
            parties,
            picked_up_by_person: !asked.iter().any(|(name, value)| name == "answer" && value == "menu"),
            callee: Callee::new(&book, Some(&to), Digits::International),
            cause: body.any(&["reason", "sip_code", "detail"]).or((matches!(step, Step::Ended(_))).then_some(word)),
            hangup_by: None,
            recording_url,
        },
    );
}

/// The end has a time of its own; every event has a time stamp.
fn at(draft: &Draft<'_>, body: &Map<String, Value>, step: Step) -> Option<crate::time::Time> {
    let ended = if matches!(step, Step::Ended(_)) { body.text("end_time") } else { None };
    let told = ended.or(body.text("timestamp")).and_then(|text| when::stamp(&text));
    draft.received_or(told)
}
