//! What the provider is told to do (Twilio, "TwiML for Programmable Voice"): the parts that answers are put together from.

use super::outcome::Failure;
use super::tags::{Leg, Tags};
use super::work::Work;
use super::xml::Xml;
use crate::event::{Call, CallStatus, HangupBy, Outcome};
use crate::phone::Party;
use crate::settings::{CallerId, Fallback, Target, Voice};

pub(super) const POST: (&str, &str) = ("method", "POST");
/// Seconds in which the next key has to be pressed.
const KEY_SECONDS: &str = "6";

/// An attempt to reach somebody.
pub(super) struct Attempt {
    pub target: Target,
    pub leg: Leg,
    pub before: Option<Failure>,
}

pub(super) fn response() -> Xml {
    Xml::new("Response")
}

/// Says a text, or plays it if it is an address.
pub(super) fn say(xml: &mut Xml, voice: &Voice, text: &str) {
    if text.starts_with("https://") {
        return xml.text("Play", &[], text);
    }
    let language: Vec<(&str, &str)> = voice.language.iter().map(|it| ("language", it.as_str())).collect();
    xml.text("Say", &language, text);
}

pub(super) fn say_if(xml: &mut Xml, voice: &Voice, text: &Option<String>) {
    if let Some(text) = text {
        say(xml, voice, text);
    }
}

/// Where the called number's calls go.
fn first_target(work: &Work<'_>) -> Option<Target> {
    let number = work.number().and_then(|number| number.forward_to.as_deref()).and_then(Target::parse);
    number.or_else(|| work.voice().forward_to.as_deref().and_then(Target::parse))
}

/// Puts the call through to the business.
pub(super) fn forward(work: &mut Work<'_>, xml: &mut Xml) {
    match first_target(work) {
        Some(target) => dial(work, xml, Attempt { target, leg: Leg::First, before: None }),
        None => nowhere(work, xml),
    }
}

/// A number without `forward_to`: somebody called all the same.
fn nowhere(work: &mut Work<'_>, xml: &mut Xml) {
    if let Some(fallback) = &work.voice().unanswered {
        return fall_back(work, xml, fallback, Leg::Unanswered, Some(Failure::Failed));
    }
    let over = Call {
        outcome: Some(Outcome::Failed),
        cause: Some("no forward_to".into()),
        hangup_by: Some(HangupBy::System),
        ..work.call(CallStatus::Ended)
    };
    work.tell_call("nowhere", work.now(), over);
    xml.empty("Hangup", &[]);
}

/// Another number, else a message from the caller, else the end.
pub(super) fn fall_back(work: &mut Work<'_>, xml: &mut Xml, fallback: &Fallback, leg: Leg, before: Option<Failure>) {
    let voice = work.voice();
    say_if(xml, voice, &fallback.say);
    if let Some(target) = fallback.forward_to.as_deref().and_then(Target::parse) {
        return dial(work, xml, Attempt { target, leg, before });
    }
    if fallback.voicemail {
        return record(work, xml);
    }
    hang_up_after(work, xml);
}

/// Ends the call once what stands before was said, by a request that tells so.
fn hang_up_after(work: &Work<'_>, xml: &mut Xml) {
    xml.text("Redirect", &[POST], &work.url("bye", &work.next()));
}

/// Whether something is tried after an attempt failed.
pub(super) fn what_follows<'v>(voice: &'v Voice, leg: Leg) -> Option<Fallback> {
    let rest = |fallback: &'v Option<Fallback>| {
        let fallback = fallback.as_ref().filter(|it| it.voicemail)?;
        Some(Fallback { say: None, forward_to: None, voicemail: fallback.voicemail })
    };
    match leg {
        Leg::First => voice.unanswered.clone(),
        Leg::Closed => rest(&voice.closed),
        Leg::Unanswered => rest(&voice.unanswered),
    }
}

pub(super) fn dial(work: &Work<'_>, xml: &mut Xml, attempt: Attempt) {
    let voice = work.voice();
    let is_callback = work.tags.is_callback;
    let tags = Tags {
        leg: attempt.leg,
        before: attempt.before,
        is_last: is_callback || what_follows(voice, attempt.leg).is_none(),
        // Of a callback the agent is already there, and the client is who calls.
        target: if is_callback { work.tags.target.clone() } else { Some(attempt.target.text()) },
        ..work.next()
    };
    if voice.transcribe {
        transcribe(work, xml, &tags);
    }
    // Whoever was put through to somebody before has heard it.
    let is_first = work.tags.target.is_none();
    if voice.record && is_first && !is_callback {
        say_if(xml, voice, &voice.announcement);
    }
    let (action, recording) = (work.url("dial", &tags), work.url("recording", &tags));
    let (seconds, caller_id) = (voice.ring_seconds.to_string(), caller_id(work, voice));
    let mut attributes = vec![("action", action.as_str()), POST, ("timeout", &seconds)];
    // Of a callback the agent's leg is long answered.
    if !is_callback {
        attributes.push(("answerOnBridge", "true"));
    }
    if let Some(caller_id) = &caller_id {
        attributes.push(("callerId", caller_id));
    }
    if voice.record {
        attributes.extend([
            ("record", "record-from-answer-dual"),
            ("recordingStatusCallback", recording.as_str()),
            ("recordingStatusCallbackMethod", "POST"),
            ("recordingStatusCallbackEvent", "completed"),
        ]);
    }
    xml.open("Dial", &attributes);
    party(work, xml, &attempt.target, &tags);
    xml.close();
}

fn party(work: &Work<'_>, xml: &mut Xml, target: &Target, tags: &Tags) {
    let voice = work.voice();
    let (leg, whisper, machine) = (work.url("leg", tags), work.url("whisper", tags), work.url("machine", tags));
    let mut attributes = vec![
        ("statusCallback", leg.as_str()),
        ("statusCallbackMethod", "POST"),
        ("statusCallbackEvent", "initiated ringing answered completed"),
    ];
    // Of a callback this is the client, whom nothing is whispered.
    if !work.tags.is_callback {
        if voice.whisper.is_some() {
            attributes.extend([("url", whisper.as_str()), POST]);
        }
        if voice.detect_machines {
            attributes.extend([
                ("machineDetection", "Enable"),
                ("amdStatusCallback", machine.as_str()),
                ("amdStatusCallbackMethod", "POST"),
            ]);
        }
    }
    let name = if matches!(target, Target::Number(_)) { "Number" } else { "Sip" };
    xml.text(name, &attributes, &target.text());
}

/// Twilio shows the caller's number unless told otherwise; who has none that a telephone network takes is shown as the
/// called number.
fn caller_id(work: &Work<'_>, voice: &Voice) -> Option<String> {
    let own = work.to().number().map(|number| number.to_string());
    let shows_own = work.tags.is_callback || voice.caller_id == CallerId::Tracking || work.from() == Party::Anonymous;
    own.filter(|_| shows_own)
}

fn transcribe(work: &Work<'_>, xml: &mut Xml, tags: &Tags) {
    let url = work.url("transcript", tags);
    let mut attributes = vec![
        ("statusCallbackUrl", url.as_str()),
        ("statusCallbackMethod", "POST"),
        ("track", "both_tracks"),
        ("partialResults", "false"),
    ];
    if let Some(language) = &work.voice().language {
        attributes.push(("languageCode", language));
    }
    xml.open("Start", &[]);
    xml.empty("Transcription", &attributes);
    xml.close();
}

/// Lets the caller leave a message. An empty one makes no request of its own, so that the call then ends by `bye`.
pub(super) fn record(work: &Work<'_>, xml: &mut Xml) {
    let (voice, tags) = (work.voice(), work.next());
    let voicemail = voice.voicemail.clone().unwrap_or_default();
    say_if(xml, voice, &voicemail.say);
    let (action, message, transcript) =
        (work.url("voicemail", &tags), work.url("message", &tags), work.url("transcript", &tags));
    let seconds = voicemail.max_seconds.to_string();
    let mut attributes = vec![
        ("action", action.as_str()),
        POST,
        ("maxLength", &seconds),
        ("finishOnKey", "#"),
        ("playBeep", "true"),
        ("recordingStatusCallback", &message),
        ("recordingStatusCallbackMethod", "POST"),
    ];
    if voicemail.transcribe {
        attributes.extend([("transcribe", "true"), ("transcribeCallback", transcript.as_str())]);
    }
    xml.empty("Record", &attributes);
    hang_up_after(work, xml);
}

/// Asks for keys. Where none come in time, the same step is asked without any.
pub(super) fn gather(work: &Work<'_>, xml: &mut Xml, step: &str, tags: &Tags, digits: Option<u8>, text: &str) {
    let url = work.url(step, tags);
    let count = digits.map(|count| count.to_string());
    let mut attributes = vec![("action", url.as_str()), POST, ("input", "dtmf"), ("timeout", KEY_SECONDS)];
    match &count {
        Some(count) => attributes.push(("numDigits", count)),
        None => attributes.push(("finishOnKey", "#")),
    }
    xml.open("Gather", &attributes);
    say(xml, work.voice(), text);
    xml.close();
    xml.text("Redirect", &[POST], &url);
}
