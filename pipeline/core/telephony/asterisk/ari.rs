//! ARI: the events of its WebSocket, one JSON object each. There is no `linkedid`: a call is the channel that came in, and
//! a channel that it dials is told by the event `Dial`.

use serde_json::Value;

use super::{dialled, is_voicemail};
use crate::telephony::body::{Members, json};
use crate::telephony::draft::Draft;
use crate::telephony::outcome::asterisk;
use crate::telephony::tag::Tag;
use crate::telephony::track::{Fact, Happening, Tracker};
use crate::telephony::{Taken, Terms, when};
use crate::time::Time;

/// Reads events. It holds the calls that go on.
pub struct Ari {
    source: String,
    tracker: Tracker,
}

impl Ari {
    pub fn new(source: String) -> Ari {
        Ari { source, tracker: Tracker::default() }
    }

    /// Takes one object: a message of the WebSocket, or a line of a file. `received` is nothing where it may be old.
    pub fn push(&mut self, line: &[u8], terms: &Terms<'_>, received: Option<Time>) -> Taken {
        let mut draft = Draft::line(line, received, terms, &self.source);
        if line.trim_ascii().is_empty() {
            return draft.taken();
        }
        match json(line) {
            Err(reason) => draft.reject("", format!("the line {reason}")),
            Ok(event) => take(&mut self.tracker, &mut draft, &event, terms),
        }
        draft.taken()
    }
}

fn take(tracker: &mut Tracker, draft: &mut Draft<'_>, event: &Value, terms: &Terms<'_>) {
    let Some(kind) = event.text("type") else { return draft.missing("type") };
    let Some(at) = event.text("timestamp").and_then(|text| when::rfc(&text)) else {
        return draft.reject("timestamp", "timestamp is no time such as 2026-11-20T09:00:00.000+0000".to_owned());
    };
    let tag = event.pointer("/channel/channelvars/callweave").and_then(Value::as_str).and_then(Tag::parse);
    let mut put = |channel: &Value, call: Option<&str>, at: Time, what: Happening<'_>| {
        let Some(id) = channel.text("id") else { return };
        tracker.take(draft, &Fact { call, channel: &id, at, tag: tag.clone(), what }, terms);
    };
    let none = Value::Null;
    let channel = event.get("channel").unwrap_or(&none);
    let (caller, peer) = (event.get("caller").unwrap_or(&none), event.get("peer").unwrap_or(&none));
    let state = channel.text("state").unwrap_or_default();
    match kind.as_str() {
        "StasisStart" | "ChannelCreated" => open(&mut put, channel, at),
        "ChannelStateChange" if state == "Up" => {
            let connected = channel.get("connected").and_then(|other| other.text("number"));
            match connected.as_deref().and_then(dialled) {
                // Events of dialling come only to an application that asked for them; whom it met stands here.
                callee @ Some(_) => {
                    let why = asterisk("ANSWER");
                    put(channel, None, at, Happening::DialEnds { why, word: "ANSWER", callee });
                }
                None => put(channel, None, at, Happening::Up),
            }
        }
        "ChannelDialplan" if is_voicemail(&event.text("dialplan_app").unwrap_or_default()) => {
            put(channel, None, at, Happening::Voicemail);
        }
        "Dial" => dial(&mut put, event, (caller, peer), at),
        "ChannelEnteredBridge" => {
            let others = event.pointer("/bridge/channels").and_then(Value::as_array).map_or(0, Vec::len);
            if others > 1 {
                put(channel, None, at, Happening::Bridged);
            }
        }
        "BridgeBlindTransfer" | "BridgeAttendedTransfer" => put(channel, None, at, Happening::Transferred),
        "ChannelHangupRequest" => put(channel, None, at, Happening::HangupAsked),
        "ChannelDestroyed" => {
            // Who connects late may see the end alone: it tells who called whom all the same.
            let created = channel.text("creationtime").and_then(|text| when::rfc(&text));
            open(&mut put, channel, created.unwrap_or(at));
            let code = event.get("cause").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            let text = event.text("cause_txt").unwrap_or_default();
            put(channel, None, at, Happening::Gone { code: code.unwrap_or(0), text: &text });
        }
        _ => {}
    }
}

/// Takes what happened to a channel: of which call, when, what.
type Put<'p> = dyn FnMut(&Value, Option<&str>, Time, Happening<'_>) + 'p;

/// A channel begins: a call of its own, unless it is known as another's.
fn open(put: &mut Put<'_>, channel: &Value, at: Time) {
    let Some(id) = channel.text("id") else { return };
    let from = channel.get("caller").and_then(|caller| caller.text("number")).unwrap_or_default();
    let to = channel.get("dialplan").and_then(|dialplan| dialplan.text("exten")).unwrap_or_default();
    let what = Happening::Opened { from: dialled(&from).unwrap_or_default(), to: dialled(&to).unwrap_or_default() };
    put(channel, Some(&id), at, what);
}

fn dial(put: &mut Put<'_>, event: &Value, (caller, peer): (&Value, &Value), at: Time) {
    let word = event.text("dialstatus").unwrap_or_default();
    let number = peer.get("caller").and_then(|caller| caller.text("number"));
    let callee = number.as_deref().and_then(dialled);
    // The dialled channel belongs to the caller's call from now on.
    if let Some(call) = caller.text("id") {
        put(peer, Some(&call), at, Happening::Opened { from: "", to: "" });
    }
    match word.as_str() {
        "" => put(caller, None, at, Happening::DialBegins { callee }),
        "RINGING" | "PROGRESS" | "PROCEEDING" => {}
        word => put(caller, None, at, Happening::DialEnds { why: asterisk(word), word, callee }),
    }
}
