//! A person is forgotten: by the state at once, and by the tables as far as the [`Erasure`] says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::account::Account;
use super::session::Written;
use super::visitors::VisitorRest;
use super::{Effects, Erasure, Mode};
use crate::event::{Body, Erase, Event};
use crate::id::Key;
use crate::limits::{ERASED_CALLS_KEPT, ERASED_SESSIONS_KEPT, VISITOR_MEMORY};
use crate::phone::Phone;
use crate::row::Str;
use crate::time::Time;

/// Keeps something under a hash; where that makes more than `most`, what is due first goes. Whether there was nothing under it.
pub(super) fn keep<T>(
    kept: &mut BTreeMap<u64, T>,
    most: usize,
    hash: u64,
    value: T,
    until: impl Fn(&T) -> Time,
) -> bool {
    let is_new = kept.insert(hash, value).is_none();
    if kept.len() > most
        && let Some(first) =
            kept.iter().filter(|(it, _)| **it != hash).min_by_key(|(_, it)| until(it)).map(|(it, _)| *it)
    {
        kept.remove(&first);
    }
    is_new
}

/// How far the rows of forgotten sessions had come that a browser named, by the name's hash: the browser may go on under that name, and
/// one name has one session that counts.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct ErasedSessions(BTreeMap<u64, Last>);

#[derive(Serialize, Deserialize)]
struct Last {
    revision: u32,
    /// When the session itself would have been forgotten.
    until: Time,
}

impl ErasedSessions {
    fn note(&mut self, name: &str, revision: u32, until: Time) {
        keep(&mut self.0, ERASED_SESSIONS_KEPT, xxh3_64(name.as_bytes()), Last { revision, until }, |last| last.until);
    }

    pub fn knows(&self, name: &str) -> bool {
        !self.0.is_empty() && self.0.contains_key(&xxh3_64(name.as_bytes()))
    }

    /// What a session that begins under this name goes on from.
    pub fn written(&self, name: &str) -> Written {
        if self.0.is_empty() {
            return Written::default();
        }
        self.0.get(&xxh3_64(name.as_bytes())).map_or_else(Written::default, |last| Written::behind(last.revision))
    }

    /// Those that would have been forgotten by now; their hashes.
    pub fn advance(&mut self, watermark: Time) -> Vec<u64> {
        let due = |last: &Last| last.until <= watermark;
        let hashes = self.0.iter().filter(|(_, last)| due(last)).map(|(hash, _)| *hash).collect();
        self.0.retain(|_, last| !due(last));
        hashes
    }
}

/// Calls of people who were forgotten, by the name's hash, and how long they are recognised. In [`Account::erased_calls`] those of which a row
/// was written before: what is still told of them would begin them anew, with the person's number and as a second first row.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct ErasedCalls(BTreeMap<u64, Time>);

impl ErasedCalls {
    /// Whether the call was not known yet.
    pub fn note(&mut self, name: &str, until: Time) -> bool {
        keep(&mut self.0, ERASED_CALLS_KEPT, xxh3_64(name.as_bytes()), until, |until| *until)
    }

    pub fn knows(&self, name: &str) -> bool {
        !self.0.is_empty() && self.0.contains_key(&xxh3_64(name.as_bytes()))
    }

    /// Whether this tells more of one of them. Tags and deals say nothing of the person.
    pub fn are_told_of(&self, body: &Body<'_>) -> bool {
        let call = match body {
            Body::Call(it) => &it.call_id,
            Body::CallRecord(it) => &it.call_id,
            Body::CallNote(it) => &it.call_id,
            Body::Transcript(it) => &it.call_id,
            _ => return false,
        };
        self.knows(call)
    }

    pub fn advance(&mut self, watermark: Time) {
        self.0.retain(|_, until| *until > watermark);
    }
}

impl Account {
    /// Their sessions, leases and calls leave the state. What is still to be written of them is written first, since they were;
    /// later no row of them is. A call of theirs that goes on is nobody's. Whoever comes by that name or calls from that telephone later is
    /// somebody new.
    pub fn erase(&mut self, event: &Event<'_>, erase: &Erase<'_>, out: &mut Effects) {
        // Rows of what was told before the erasure, though a clock was ahead.
        let mut until = event.time.max(self.watermark);
        let name = Key::of(&[&self.name, &event.source, &event.id]);
        let mut theirs = Vec::new();
        if let Some(visitor) = erase.visitor_id.as_ref().and_then(|id| self.find_visitor(id)) {
            until = until.max(self.visitor_seen_until(visitor));
            self.write_visits(visitor, out);
            let calls = self.calls_of_visitor(visitor);
            self.write_what_is_over(calls.clone(), until, out);
            let joined = calls.into_iter().filter(|&ix| self.is_joined_to(ix, visitor));
            let (written, open) = joined.partition(|&ix| self.calls[ix].written.revision > 0);
            theirs.extend(self.let_go_on(open, until));
            theirs.extend(self.forget_calls(written, until));
            self.forget_visitor(visitor);
        }
        if let Some(phone) = erase.phone {
            let calls: Vec<u32> = self.calls_of(phone);
            until = calls.iter().map(|&ix| self.calls[ix].start()).fold(until, Time::max);
            self.write_what_is_over(calls.clone(), until, out);
            let (written, open) = calls.into_iter().partition(|&ix| self.calls[ix].written.revision > 0);
            theirs.extend(self.let_go_on(open, until));
            theirs.extend(self.forget_calls(written, until));
            self.forget_caller(phone);
            self.forget_wishes(phone);
            self.erased_people.note_phone(phone, until, name);
        }
        if let Some(visitor) = &erase.visitor_id {
            self.erased_people.note_visitor(visitor, until, name);
        }
        out.erasures.push(Erasure {
            account: self.name.clone(),
            visitor_id: erase.visitor_id.as_deref().map(Str::from),
            phone: erase.phone,
            name,
            calls: theirs,
            until,
        });
    }

    /// Calls that are not over go on as nobody's. Returns their names.
    fn let_go_on(&mut self, calls: Vec<u32>, until: Time) -> Vec<Str> {
        let kept = until.plus(VISITOR_MEMORY);
        let hide = |ix| {
            let name = self.text_of(&self.calls[ix].id);
            self.hide_caller(ix);
            self.erased_people.note_call(&name, kept);
            name
        };
        calls.into_iter().map(hide).collect()
    }

    /// Calls of which there are rows leave the state, and stay forgotten. Returns their names.
    fn forget_calls(&mut self, calls: Vec<u32>, until: Time) -> Vec<Str> {
        let kept = until.plus(VISITOR_MEMORY);
        let forget = |ix| {
            let name = self.text_of(&self.calls[ix].id);
            self.forget_call(ix);
            self.erased_calls.note(&name, kept);
            name
        };
        calls.into_iter().map(forget).collect()
    }

    fn calls_of(&self, phone: Phone) -> Vec<u32> {
        self.calls.iter().filter(|(_, it)| it.caller().number() == Some(phone)).map(|(ix, _)| ix).collect()
    }

    /// Nobody asked to be called at this telephone.
    fn forget_wishes(&mut self, phone: Phone) {
        let asked = |rest: &VisitorRest| rest.callbacks.iter().any(|said| said.phone == phone);
        let visitors = self.visitors.iter().filter(|(_, it)| it.rest.as_deref().is_some_and(asked));
        for ix in visitors.map(|(ix, _)| ix).collect::<Vec<u32>>() {
            self.visitors[ix].rest().callbacks.retain(|said| said.phone != phone);
        }
    }

    fn visitor_seen_until(&self, visitor: u32) -> Time {
        let sessions = self.visits(visitor).into_iter().map(|ix| self.session_ended_at(ix));
        let loose = self.visitors[visitor].loose_leases().iter().filter_map(|&ix| self.leases[ix].last_told(Time::MAX));
        sessions.chain(loose).max().unwrap_or(Time::MIN)
    }

    /// The leases that go with a visitor.
    fn leases_of_visitor(&self, visitor: u32) -> Vec<u32> {
        let of_sessions = self.visits(visitor).into_iter().flat_map(|ix| self.sessions[ix].held_leases());
        of_sessions.chain(self.visitors[visitor].loose_leases().iter().copied()).collect()
    }

    /// Writes what is open of a visitor's sessions and leases. Nobody will: they leave the state.
    fn write_visits(&mut self, visitor: u32, out: &mut Effects) {
        let taken_back = self.visitors[visitor].rest.as_ref().map_or(&[][..], |rest| &rest.taken_back);
        let sessions: SmallVec<[u32; 4]> = self.visits(visitor).into_iter().chain(taken_back.iter().copied()).collect();
        for ix in sessions {
            let until = self.session_forgotten_at(ix);
            if self.sessions[ix].due.is_open() {
                self.decide_session(ix, out);
            }
            let session = &self.sessions[ix];
            if session.given.is_some() && session.written.revision > 0 {
                self.erased.note(&self.session_name(ix), self.sessions[ix].written.revision, until);
            }
        }
        for ix in self.leases_of_visitor(visitor) {
            if self.leases[ix].due.is_open() {
                self.decide_lease(ix, out);
            }
        }
    }

    /// Calls to numbers that the visitor held: those that may be theirs.
    fn calls_of_visitor(&self, visitor: u32) -> Vec<u32> {
        let mut calls: Vec<u32> = Vec::new();
        for lease in self.leases_of_visitor(visitor) {
            let Some(terms) = self.terms(lease) else { continue };
            let from = self.leases[lease].granted_at;
            calls.extend(self.lines[terms.line].calls().iter().filter(|(at, _)| *at >= from).map(|(_, call)| *call));
        }
        calls.sort_unstable();
        calls.dedup();
        calls
    }

    /// Whether a call is the visitor's, as far as it can be told.
    fn is_joined_to(&self, ix: u32, visitor: u32) -> bool {
        let decision = self.decide(ix);
        decision.chosen.is_some_and(|at| decision.candidates[at].visitor == visitor)
    }

    /// A bounded job has not written calls yet that are not decided: they happened, whoever called. A live one has, and tells nobody
    /// that what somebody was forgotten for is decided.
    fn write_what_is_over(&mut self, mut calls: Vec<u32>, until: Time, out: &mut Effects) {
        calls.retain(|&ix| {
            let call = &self.calls[ix];
            let is_over = call.is_over() || self.call_decided_at(ix, Mode::Live) <= until;
            is_over && call.due.is_open() && (self.mode == Mode::Bounded || call.written.revision == 0)
        });
        calls.sort_by_cached_key(|&ix| (self.calls[ix].start(), self.text_of(&self.calls[ix].id)));
        for ix in calls {
            self.decide_call(ix, self.watermark, out);
        }
    }
}
