//! What is told late of people who were erased: it counts, and names nobody.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::account::Account;
use super::erase::{ErasedCalls, keep};
use super::{Effects, Erasure};
use crate::event::{Body, Call, CallRecord, Deal, Direction, Event, Heartbeat, LeaseGranted, PageView, Text, WebEvent};
use crate::id::Key;
use crate::limits::{ERASED_PEOPLE_KEPT, VISITOR_MEMORY};
use crate::phone::{Party, Phone};
use crate::source::without_query;
use crate::time::Time;

/// What the names of erased visitors begin with, in all tables. The rest has the form of a UUID.
pub const ERASED: &str = "erased-";

/// What somebody is called who is known by nothing but this key.
pub fn name_of_nobody(Key(key): Key) -> String {
    let hex = format!("{key:032x}");
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    format!("{ERASED}{}", parts.join("-"))
}

/// Who was erased, by the hashes of their names: an event that happened before may arrive later.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct ErasedPeople {
    people: BTreeMap<u64, Gone>,
    /// Calls of theirs that went on, or are told late: what is noted or said in them is kept nowhere.
    calls: ErasedCalls,
}

#[derive(Serialize, Deserialize)]
struct Gone {
    /// What happened until then is theirs.
    until: Time,
    /// What they are called instead.
    name: Key,
}

fn hash_of_visitor(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

fn hash_of_phone(phone: Phone) -> u64 {
    xxh3_64_with_seed(&phone.0.to_le_bytes(), 1)
}

impl ErasedPeople {
    pub fn note_visitor(&mut self, id: &str, until: Time, name: Key) {
        self.note(hash_of_visitor(id), Gone { until, name });
    }

    pub fn note_phone(&mut self, phone: Phone, until: Time, name: Key) {
        self.note(hash_of_phone(phone), Gone { until, name });
    }

    fn note(&mut self, hash: u64, gone: Gone) {
        keep(&mut self.people, ERASED_PEOPLE_KEPT, hash, gone, |gone| gone.until);
    }

    /// Whether the call was not known yet.
    pub fn note_call(&mut self, name: &str, until: Time) -> bool {
        self.calls.note(name, until)
    }

    /// Whether this is what was noted or said in a call of theirs.
    pub fn keep_quiet(&self, body: &Body<'_>) -> bool {
        match body {
            Body::CallNote(it) => self.calls.knows(&it.call_id),
            Body::Transcript(it) => self.calls.knows(&it.call_id),
            _ => false,
        }
    }

    pub fn advance(&mut self, watermark: Time) {
        self.people.retain(|_, gone| gone.until.plus(VISITOR_MEMORY) > watermark);
        self.calls.advance(watermark);
    }

    /// What a visitor is called instead, of whom this happened before they were erased.
    fn visitor(&self, id: &str, at: Time) -> Option<Text<'static>> {
        let gone = self.people.get(&hash_of_visitor(id)).filter(|gone| at <= gone.until)?;
        Some(name_of_nobody(gone.name).into())
    }

    fn is_of_phone(&self, phone: Phone, at: Time) -> bool {
        self.people.get(&hash_of_phone(phone)).is_some_and(|gone| at <= gone.until)
    }
}

/// In place of whom an event names: it tells of their time before they were erased.
#[derive(Debug, Clone, PartialEq)]
pub struct Nobody {
    /// What the visitor is called, if it is the visitor's.
    visitor: Option<Text<'static>>,
    /// It is of a telephone of theirs.
    phone: bool,
}

fn bare(url: &Text<'_>) -> Text<'static> {
    without_query(url).to_owned().into()
}

/// The person outside.
fn caller(direction: Direction, from: Party, to: Party) -> Party {
    if direction == Direction::Outbound { to } else { from }
}

/// Whether a place or agent of a call is told as the caller's own number.
fn is_of(text: &Text<'_>, caller: Party) -> bool {
    caller.number().is_some() && Phone::parse(text).ok() == caller.number()
}

impl Nobody {
    /// The event as nobody's. Of it only that is left which rows of erased people keep, too.
    pub fn instead<'e>(&self, event: &Event<'e>) -> Event<'e> {
        let visitor = |id: &Text<'e>| self.visitor.clone().unwrap_or_else(|| id.clone());
        let without_caller = |direction, from, to| match direction {
            Direction::Outbound => (from, Party::Anonymous),
            Direction::Inbound | Direction::Callback => (Party::Anonymous, to),
        };
        let body = match event.body.clone() {
            Body::PageView(view) => Body::PageView(PageView {
                visitor_id: visitor(&view.visitor_id),
                url: bare(&view.url),
                referrer: view.referrer.as_ref().map(bare),
                user_agent: None,
                ip: None,
                client_id: None,
                client_session_id: None,
                user_id: None,
                consent: None,
                ..view
            }),
            Body::WebEvent(web) => {
                let url = web.url.as_ref().map(bare);
                Body::WebEvent(WebEvent { visitor_id: visitor(&web.visitor_id), url, properties: None, ..web })
            }
            Body::Heartbeat(beat) => Body::Heartbeat(Heartbeat { visitor_id: visitor(&beat.visitor_id), ..beat }),
            Body::LeaseGranted(lease) => {
                Body::LeaseGranted(LeaseGranted { visitor_id: visitor(&lease.visitor_id), ..lease })
            }
            Body::Deal(deal) => {
                let visitor_id = deal.visitor_id.as_ref().map(visitor);
                Body::Deal(Deal { visitor_id, phone: deal.phone.filter(|_| !self.phone), ..deal })
            }
            Body::Call(call) => {
                let caller = caller(call.direction, call.from, call.to);
                let others = |text: &Text<'_>| !is_of(text, caller);
                let (destination, agent) = (call.destination.filter(others), call.agent.filter(others));
                let (from, to) = without_caller(call.direction, call.from, call.to);
                Body::Call(Call { from, to, destination, agent, recording_url: None, ..call })
            }
            Body::CallRecord(record) => {
                let caller = caller(record.direction, record.from, record.to);
                let others = |text: &Text<'_>| !is_of(text, caller);
                let (destination, agent) = (record.destination.filter(others), record.agent.filter(others));
                let (from, to) = without_caller(record.direction, record.from, record.to);
                Body::CallRecord(CallRecord { from, to, destination, agent, recording_url: None, ..record })
            }
            body => body,
        };
        let Event { account, source, id, time, recorded, .. } = event;
        let (account, source, id) = (account.clone(), source.clone(), id.clone());
        Event { account, source, id, time: *time, recorded: *recorded, body }
    }
}

impl Account {
    /// Who stands in place of those whom an event names, if it tells of somebody's time before they were erased.
    pub fn nobody(&self, event: &Event<'_>) -> Option<Nobody> {
        let (people, at) = (&self.erased_people, event.time);
        if people.people.is_empty() {
            return None;
        }
        let mut nobody = Nobody { visitor: None, phone: false };
        let is_theirs = |call: &str, at, caller: Party| {
            let theirs = |phone| people.is_of_phone(phone, self.start_of(call, at));
            people.calls.knows(call) || caller.number().is_some_and(theirs)
        };
        match &event.body {
            Body::PageView(it) => nobody.visitor = people.visitor(&it.visitor_id, at),
            Body::Heartbeat(it) => nobody.visitor = people.visitor(&it.visitor_id, at),
            Body::LeaseGranted(it) => nobody.visitor = people.visitor(&it.visitor_id, at),
            Body::WebEvent(it) => {
                nobody.visitor = people.visitor(&it.visitor_id, at);
                let told = it.properties.iter().flat_map(|it| it.values());
                let mut phones = told.filter_map(|it| Phone::parse(it.as_str()?).ok());
                nobody.phone = phones.any(|phone| people.is_of_phone(phone, at));
            }
            Body::Deal(it) => {
                nobody.visitor = it.visitor_id.as_ref().and_then(|id| people.visitor(id, at));
                nobody.phone = it.phone.is_some_and(|phone| people.is_of_phone(phone, at));
            }
            Body::Call(it) => nobody.phone = is_theirs(&it.call_id, at, caller(it.direction, it.from, it.to)),
            Body::CallRecord(it) => {
                nobody.phone = is_theirs(&it.call_id, it.started_at, caller(it.direction, it.from, it.to))
            }
            _ => {}
        }
        (nobody.visitor.is_some() || nobody.phone).then_some(nobody)
    }

    /// When a call began, as far as this event and those before it tell.
    fn start_of(&self, call: &str, at: Time) -> Time {
        self.find_call(call).map_or(at, |ix| self.calls[ix].start().min(at))
    }

    /// Whether a nameless event is of a session that was written before its visitor was erased: its row stays as it is.
    pub fn is_of_erased_session(&self, body: &Body<'_>) -> bool {
        let session = match body {
            Body::PageView(it) => &it.session_id,
            Body::WebEvent(it) => &it.session_id,
            Body::Heartbeat(it) => &it.session_id,
            Body::LeaseGranted(it) => &it.session_id,
            _ => return false,
        };
        session.as_ref().is_some_and(|name| self.find_session(name).is_none() && self.erased.knows(name))
    }

    /// A call of somebody erased that is told late, or goes on: what was noted of it before goes, too.
    pub fn note_nameless_call(&mut self, id: &str, at: Time, out: &mut Effects) {
        let kept = at.plus(VISITOR_MEMORY);
        if self.erased_people.note_call(id, kept) {
            let (account, calls) = (self.name.clone(), vec![id.into()]);
            out.erasures.push(Erasure { account, visitor_id: None, phone: None, name: Key(0), calls, until: at });
        }
    }
}
