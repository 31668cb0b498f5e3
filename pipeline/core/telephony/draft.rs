//! What becomes of one message: events that the decoder would take, what is rejected, and what says nothing.

use super::number::Parties;
use super::{Hook, Pass, Reply, Taken, Terms};
use crate::event::{Body, Call, CallRecord, CallStatus, Event, Rejected, Text, decode};
use crate::limits::{CLOCK_MICROS_MAX, LABEL_BYTES_MAX};
use crate::time::Time;

/// The CloudEvents source of a feed: the system, and a name where there are several of it.
pub fn source_is(system: &str, name: &str) -> String {
    if name.is_empty() { system.to_owned() } else { format!("{system}/{name}") }
}

pub(super) struct Draft<'a> {
    account: &'a str,
    source: &'a str,
    /// Nothing for a file that was written long ago.
    received: Option<Time>,
    raw: &'a [u8],
    taken: Taken,
}

impl<'a> Draft<'a> {
    pub fn of(hook: &Hook<'a>, terms: &Terms<'a>, source: &'a str) -> Draft<'a> {
        Draft::line(hook.body, Some(hook.received), terms, source)
    }

    pub fn line(raw: &'a [u8], received: Option<Time>, terms: &Terms<'a>, source: &'a str) -> Draft<'a> {
        Draft { account: terms.account, source, received, raw, taken: Taken::default() }
    }

    /// The provider's time, or the receipt's where the provider's clock cannot be right.
    pub fn near(&self, at: Time) -> Time {
        match self.received {
            Some(received) if at.since(received).unsigned_abs() > CLOCK_MICROS_MAX.unsigned_abs() => received,
            _ => at,
        }
    }

    pub fn received_or(&self, at: Option<Time>) -> Option<Time> {
        at.map(|at| self.near(at)).or(self.received)
    }

    pub fn call(&mut self, id: String, at: Time, call: Call<'static>) {
        self.event(id, at, Body::Call(call));
    }

    /// A record counts from its end on, or so many microseconds later: of two about one call the later has the last word.
    /// One whose clock was off is moved as a whole, so that its spans stay.
    pub fn record(&mut self, id: String, later: i64, mut record: CallRecord<'static>) {
        let moved = self.near(record.ended_at).since(record.ended_at);
        record.started_at = record.started_at.plus(moved);
        record.answered_at = record.answered_at.map(|at| at.plus(moved));
        record.ended_at = record.ended_at.plus(moved);
        self.event(id, record.ended_at.plus(later), Body::CallRecord(record));
    }

    pub fn event(&mut self, id: String, time: Time, body: Body<'static>) {
        let (account, source) = (self.account.to_owned().into(), self.source.to_owned().into());
        let event = Event { account, source, id: id.into(), time, recorded: self.received.unwrap_or(time), body };
        // The decoder's limits and rules are the only ones.
        let refused = decode(event.to_json().as_bytes(), self.received).err();
        match refused {
            None => self.taken.events.push(event),
            Some(rejected) => self.reject(&rejected.path, rejected.reason),
        }
    }

    /// A message is rejected once, with the first reason.
    pub fn reject(&mut self, path: &str, reason: String) {
        if self.taken.rejected.is_empty() {
            self.taken.rejected.push(Rejected {
                account: Some(self.account.to_owned()),
                reason,
                path: path.to_owned(),
                raw: self.raw.to_vec(),
            });
        }
    }

    pub fn missing(&mut self, member: &str) {
        self.reject(member, format!("{member} is missing in what the {} system sent", self.system()));
    }

    fn system(&self) -> &str {
        self.source.split('/').next().unwrap_or(self.source)
    }

    pub fn pass(&mut self, pass: Pass) {
        self.taken.passed.push(pass);
    }

    pub fn taken(self) -> Taken {
        self.taken
    }

    /// 200 and nothing more: what cannot be used would not be better the next time.
    pub fn accepted(mut self) -> Taken {
        self.taken.reply = Reply { status: 200, ..Reply::default() };
        self.taken
    }
}

/// A step of a call, with nothing but its parties.
pub(super) fn step(call_id: &str, status: CallStatus, parties: &Parties) -> Call<'static> {
    Call {
        call_id: call_id.to_owned().into(),
        status,
        direction: parties.direction,
        from: parties.from,
        to: parties.to,
        extension: None,
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

/// A record with nothing but its parties and times.
pub(super) fn record(call_id: &str, parties: &Parties, started_at: Time, ended_at: Time) -> CallRecord<'static> {
    CallRecord {
        call_id: call_id.to_owned().into(),
        direction: parties.direction,
        from: parties.from,
        to: parties.to,
        extension: None,
        destination: None,
        agent: None,
        started_at,
        answered_at: None,
        ended_at,
        outcome: None,
        cause: None,
        hangup_by: None,
        recording_url: None,
    }
}

/// A label for people: cut where it is too long, for it comes from a telephone system and nobody could mend it there.
pub(super) fn label(text: impl Into<String>) -> Option<Text<'static>> {
    let mut text: String = text.into();
    text.truncate(text.floor_char_boundary(LABEL_BYTES_MAX));
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned().into())
}
