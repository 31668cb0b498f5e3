//! One request, signed and read, and what comes of it.

use super::Provider;
use super::form::Form;
use super::party::{Side, is_softphone, side};
use super::tags::Tags;
use super::xml::Xml;
use crate::event::{Body, Call, CallStatus, Direction, Event, Rejected, Text, decode};
use crate::id::Key;
use crate::limits::{ID_BYTES_MAX, TWILIO_CLOCK_MICROS_MAX};
use crate::phone::Party;
use crate::settings::{Number, Voice};
use crate::telephony::{Hook, Outgoing, Pass, Reply, Taken, Terms};
use crate::time::Time;

pub(super) struct Work<'h> {
    pub hook: &'h Hook<'h>,
    pub terms: &'h Terms<'h>,
    pub provider: Provider,
    pub form: Form<'h>,
    pub tags: Tags,
    taken: Taken,
}

/// What tells one request from another where the provider gives no token of its own.
const NAMES: [&str; 13] = [
    "CallSid",
    "CallbackSource",
    "SequenceNumber",
    "CallStatus",
    "DialCallSid",
    "DialCallStatus",
    "RecordingSid",
    "RecordingStatus",
    "TranscriptionSid",
    "TranscriptionEvent",
    "SequenceId",
    "Track",
    "AnsweredBy",
];

impl<'h> Work<'h> {
    pub fn new(hook: &'h Hook<'h>, terms: &'h Terms<'h>, provider: Provider, form: Form<'h>, tags: Tags) -> Work<'h> {
        Work { hook, terms, provider, form, tags, taken: Taken::default() }
    }

    /// The call that all of its legs belong to.
    pub fn call_id(&self) -> Option<&str> {
        self.tags.call.as_deref().or_else(|| self.form.get("ParentCallSid")).or_else(|| self.form.get("CallSid"))
    }

    pub fn side_from(&self) -> Side {
        side(self.form.get("From").unwrap_or_default(), self.form.get("FromCountry"))
    }

    pub fn side_to(&self) -> Side {
        side(self.form.get("To").unwrap_or_default(), self.form.get("ToCountry"))
    }

    pub fn from(&self) -> Party {
        self.tags.from.unwrap_or_else(|| self.side_from().party())
    }

    pub fn to(&self) -> Party {
        self.tags.to.unwrap_or_else(|| self.side_to().party())
    }

    /// The account's number that the call is about.
    pub fn number(&self) -> Option<&'h Number> {
        self.terms.rules.number(self.to().number()?)
    }

    pub fn voice(&self) -> &'h Voice {
        self.number().and_then(|number| number.voice.as_deref()).unwrap_or(&self.terms.rules.settings().voice)
    }

    pub fn agent(&self, target: &str) -> Option<&'h str> {
        self.terms.rules.settings().agents.get(target).map(String::as_str)
    }

    /// When this request came, and in any case later than the one that led to it. Odd microseconds: nothing that a
    /// request of this kind says is told for the same instant as what a callback says, so that neither depends on which
    /// of them comes first.
    pub fn now(&self) -> Time {
        self.no_sooner(self.hook.received)
    }

    /// The same for something that was before this request.
    pub fn no_sooner(&self, at: Time) -> Time {
        Time(self.later(at).0 | 1)
    }

    /// When what a callback tells happened: by the provider's clock, unless that is far off. Even microseconds.
    pub fn told(&self, stamp: Option<&str>) -> Time {
        let stamp = stamp.and_then(read_time);
        let sane =
            stamp.filter(|at| at.since(self.hook.received).unsigned_abs() <= TWILIO_CLOCK_MICROS_MAX.unsigned_abs());
        Time(self.later(sane.unwrap_or(self.hook.received)).0 & !1)
    }

    fn later(&self, at: Time) -> Time {
        self.tags.after.map_or(at, |after| at.max(after.plus(2)))
    }

    /// A step of this call with nothing told but who calls whom.
    pub fn call(&self, status: CallStatus) -> Call<'static> {
        Call {
            call_id: self.call_id().unwrap_or_default().to_owned().into(),
            status,
            direction: if self.tags.is_callback { Direction::Callback } else { Direction::Inbound },
            from: self.from(),
            to: self.to(),
            extension: self.tags.extension.clone().map(Text::from),
            destination: None,
            agent: None,
            cause: None,
            hangup_by: None,
            talk_seconds: None,
            recording_url: None,
            outcome: None,
            spam_score: None,
        }
    }

    /// The same, and who was reached or tried. The join finds the agent's name by it: a name told here would stay the call's when
    /// somebody without one takes it after all.
    pub fn call_to(&self, status: CallStatus) -> Call<'static> {
        Call { destination: self.tags.target.clone().map(Text::from), ..self.call(status) }
    }

    pub fn tell_call(&mut self, name: &str, at: Time, call: Call<'static>) {
        self.tell(name, at, Body::Call(call));
    }

    /// The beginning of the call, which several requests tell: the one that arrives first counts.
    pub fn tell_start(&mut self, at: Time, call: Call<'static>) {
        let key = Key::of(&["started", self.call_id().unwrap_or_default()]);
        self.tell_as(format!("{:032x}", key.0), at, Body::Call(call));
    }

    /// Whether one of the account's own softphones calls one of its numbers, such as to try it: the call takes its way, and is none.
    fn is_inside(&self) -> bool {
        // Once it is on its way, its URLs tell: a leg of it shows a number as who calls.
        let is_first = self.tags.from.is_none();
        let calls_in = || is_softphone(self.form.get("From").unwrap_or_default()) && self.number().is_some();
        self.tags.is_inside || is_first && calls_in()
    }

    /// Adds an event; `name` tells it from others of the same request.
    pub fn tell(&mut self, name: &str, at: Time, body: Body<'static>) {
        let id = self.id(name);
        self.tell_as(id, at, body);
    }

    fn tell_as(&mut self, id: String, at: Time, body: Body<'static>) {
        if self.is_inside() {
            if !self.taken.passed.contains(&Pass::Internal) {
                self.pass(Pass::Internal);
            }
            return;
        }
        if self.call_id().is_none() {
            return self.reject("CallSid", "is missing: which call is it?".to_owned());
        }
        let event = Event {
            account: self.terms.account.to_owned().into(),
            source: self.source().into(),
            id: id.into(),
            time: at,
            recorded: self.hook.received,
            body,
        };
        // What the log would refuse is told now, beside the bytes that it came from.
        match decode(event.to_json().as_bytes(), Some(self.hook.received)) {
            Ok(_) => self.taken.events.push(event),
            Err(wrong) => self.reject(&wrong.path, wrong.reason),
        }
    }

    /// The same request, sent again, gets the same ids.
    pub fn id(&self, name: &str) -> String {
        let step = self.hook.step;
        let token = self.hook.headers.iter().find(|(name, _)| *name == "i-twilio-idempotency-token");
        let key = match token.map(|(_, value)| value.trim()).filter(|token| !token.is_empty()) {
            Some(token) => Key::of(&[token, step, name]),
            None => {
                let mut parts = vec![step, name, self.tags.leg.name()];
                parts.extend(NAMES.map(|name| self.form.get(name).unwrap_or_default()));
                Key::of(&parts)
            }
        };
        format!("{:032x}", key.0)
    }

    fn source(&self) -> String {
        let account = self.form.get("AccountSid").filter(|sid| sid.len() < ID_BYTES_MAX / 2 && sid.is_ascii());
        let account: String =
            account.unwrap_or_default().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        match account.as_str() {
            "" => self.provider.name().to_owned(),
            account => format!("{}/{account}", self.provider.name()),
        }
    }

    pub fn reject(&mut self, path: &str, reason: String) {
        // The first mistake is enough: the bytes are the same.
        if self.taken.rejected.is_empty() {
            let raw = if self.hook.method == "POST" { self.hook.body } else { self.hook.url.as_bytes() };
            self.taken.rejected.push(Rejected {
                account: Some(self.terms.account.to_owned()),
                reason,
                path: path.to_owned(),
                raw: raw.to_vec(),
            });
        }
    }

    pub fn pass(&mut self, why: Pass) {
        self.taken.passed.push(why);
    }

    pub fn ask(&mut self, outgoing: Outgoing) {
        self.taken.outgoing.push(outgoing);
    }

    pub fn answer(&mut self, document: Xml) {
        self.taken.reply = Reply { status: 200, content_type: "application/xml", body: document.finish() };
    }

    /// Where the provider is to go next, with what it then has to know.
    pub fn url(&self, step: &str, tags: &Tags) -> String {
        format!("{}/{step}?{}", self.terms.base, tags.written())
    }

    /// What is known of the call, for the next request.
    pub fn next(&self) -> Tags {
        Tags {
            call: self.call_id().map(str::to_owned),
            from: Some(self.from()),
            to: Some(self.to()),
            after: Some(self.now()),
            is_inside: self.is_inside(),
            ..self.tags.clone()
        }
    }

    pub fn finish(self) -> Taken {
        self.taken
    }
}

/// RFC 2822 (`Sat, 07 May 2022 14:30:14 +0000`) or RFC 3339: the provider writes both.
fn read_time(text: &str) -> Option<Time> {
    let rfc_2822 = || chrono::DateTime::parse_from_rfc2822(text).ok().map(|at| Time(at.timestamp_micros()));
    Time::parse(text).ok().or_else(rfc_2822)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_formats() {
        let expected = Time::parse("2026-05-13T12:34:19Z").ok();
        for text in ["Wed, 13 May 2026 12:34:19 +0000", "2026-05-13T12:34:19Z", "Wed, 13 May 2026 14:34:19 +0200"] {
            assert_eq!(read_time(text), expected, "{text}");
        }
        for text in ["", "yesterday", "Wed, 13 May 2026", "1795178096"] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }
}
