//! What was said: messages, recordings, transcripts.

use serde::Deserialize;

use super::twiml::response;
use super::work::Work;
use crate::event::{Body, Call, CallStatus, HangupBy, Outcome, Segment, Speaker, Text, Transcript};
use crate::limits::{CALL_SECONDS_MAX, SEGMENT_TEXT_BYTES_MAX};
use crate::telephony::Pass;
use crate::time::MICROS_PER_SECOND;

fn recording_url(work: &Work<'_>) -> Option<Text<'static>> {
    work.form.get("RecordingUrl").map(|url| url.to_owned().into())
}

/// The action of `<Record>`: the caller left a message.
pub(super) fn voicemail(work: &mut Work<'_>) {
    let by = match work.form.get("Digits") {
        Some("hangup") => HangupBy::Caller,
        _ => HangupBy::System,
    };
    let left = Call {
        outcome: Some(Outcome::Voicemail),
        recording_url: recording_url(work),
        ..work.call(CallStatus::Voicemail)
    };
    work.tell_call("voicemail", work.now(), left);
    work.tell_call("ended", work.now().plus(2), Call { hangup_by: Some(by), ..work.call(CallStatus::Ended) });
    let mut xml = response();
    xml.empty("Hangup", &[]);
    work.answer(xml);
}

/// A recording is ready: of the talk, or the caller's message. It tells when it began, so it tells of that moment.
pub(super) fn recording(work: &mut Work<'_>, is_message: bool) {
    if work.form.get("RecordingStatus").is_some_and(|status| status != "completed") {
        return work.pass(Pass::Other);
    }
    let Some(url) = recording_url(work) else {
        return work.reject("RecordingUrl", "is missing: where is the recording?".to_owned());
    };
    let source = work.form.get("RecordingSource").unwrap_or("DialVerb");
    let status = match source {
        _ if is_message => CallStatus::Voicemail,
        // From the answer on, as our `<Dial>` asks for it.
        "DialVerb" => CallStatus::Answered,
        // Begun by somebody else, at some time of the call: a later start changes nothing.
        _ => CallStatus::Started,
    };
    let outcome = is_message.then_some(Outcome::Voicemail);
    let at = work.told(work.form.get("RecordingStartTime"));
    work.tell_call("recording", at, Call { outcome, recording_url: Some(url), ..work.call(status) });
}

/// `TranscriptionData` of a transcription as it goes.
#[derive(Deserialize)]
struct Heard {
    transcript: String,
}

/// A message that was written down, or a sentence of a talk that is being written down.
pub(super) fn transcript(work: &mut Work<'_>) {
    let (text, speaker) = match work.form.get("TranscriptionEvent") {
        Some("transcription-content") => match heard(work) {
            Some(heard) => (heard.transcript, speaker(work)),
            None => return work.reject("TranscriptionData", "is not JSON with a transcript in it".to_owned()),
        },
        Some(_) => return work.pass(Pass::Other),
        None => match work.form.get("TranscriptionText") {
            Some(text) => (text.to_owned(), Speaker::Caller),
            None => return work.pass(Pass::Other),
        },
    };
    let is_live = work.form.get("TranscriptionEvent").is_some();
    let at = work.told(work.form.get("Timestamp").filter(|_| is_live));
    // A message begins its own recording; of a talk it is counted from when it was begun to be written down.
    let since = work.tags.after.filter(|_| is_live).map_or(0, |after| at.since(after).max(0));
    let start_seconds = (since as f64 / MICROS_PER_SECOND as f64).min(CALL_SECONDS_MAX);
    let end = text.floor_char_boundary(SEGMENT_TEXT_BYTES_MAX);
    let transcript = Transcript {
        call_id: work.call_id().unwrap_or_default().to_owned().into(),
        segments: vec![Segment { speaker, start_seconds, text: text[..end].to_owned().into() }],
        language: work.form.get("LanguageCode").map(|language| language.to_owned().into()),
    };
    work.tell("transcript", at, Body::Transcript(transcript));
}

fn heard(work: &Work<'_>) -> Option<Heard> {
    serde_json::from_str(work.form.get("TranscriptionData")?).ok()
}

/// The inbound track is what comes from whoever is on this leg: the caller, or of a callback the agent.
fn speaker(work: &Work<'_>) -> Speaker {
    let this_end = work.form.get("Track") != Some("outbound_track");
    if this_end != work.tags.is_callback { Speaker::Caller } else { Speaker::Agent }
}
