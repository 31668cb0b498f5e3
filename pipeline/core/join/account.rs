//! One account's state, and where each type of event goes.

use std::hash::BuildHasherDefault;
use std::sync::Arc;

use hashbrown::{HashMap, HashTable};
use rustc_hash::FxHasher;

use super::arena::Arena;
use super::callers::Caller;
use super::calls::CallState;
use super::decide::Timers;
use super::intern::{Shared, hash_of};
use super::leases::{Lease, Line};
use super::seen::Seen;
use super::sessions::{Session, Visitor};
use super::{Effects, Erasure, Mode, Sizes, Verdict};
use crate::event::{Body, Event, PoolExhausted};
use crate::id::{Id, Key};
use crate::moment::{Moment, MomentKind};
use crate::phone::Phone;
use crate::row::Str;
use crate::settings::{Rules, Settings};
use crate::source::Visit;
use crate::time::Time;

pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<FxHasher>>;

/// Settings and the time from which they are in force.
pub(super) struct Era {
    pub from: Time,
    pub rules: Arc<Rules>,
}

pub(super) struct Account {
    pub name: Str,
    pub watermark: Time,
    /// Events that the join has taken, of all accounts.
    pub taken: u64,
    pub eras: Vec<Era>,
    pub defaults: Arc<Rules>,
    pub seen: Seen,
    pub shared: Shared,
    pub timers: Timers,
    pub visitors: Arena<Visitor>,
    pub sessions: Arena<Session>,
    pub leases: Arena<Lease>,
    pub calls: Arena<CallState>,
    pub callers: Map<Phone, Caller>,
    /// What is known of each tracking number.
    pub lines: Map<Phone, Line>,
    pub visitor_ids: HashTable<u32>,
    pub session_ids: HashTable<u32>,
    pub lease_ids: HashTable<u32>,
    pub call_ids: HashTable<u32>,
}

impl Account {
    pub fn new(name: Str) -> Account {
        Account {
            name,
            watermark: Time::MIN,
            taken: 0,
            eras: Vec::new(),
            defaults: Arc::new(Rules::new(Settings::default())),
            seen: Seen::default(),
            shared: Shared::default(),
            timers: Timers::default(),
            visitors: Arena::default(),
            sessions: Arena::default(),
            leases: Arena::default(),
            calls: Arena::default(),
            callers: Map::default(),
            lines: Map::default(),
            visitor_ids: HashTable::new(),
            session_ids: HashTable::new(),
            lease_ids: HashTable::new(),
            call_ids: HashTable::new(),
        }
    }

    pub fn apply(&mut self, event: &Event<'_>, visit: Option<&Visit<'_>>, mode: Mode, out: &mut Effects) -> Verdict {
        if !self.seen.is_new(Key::of(&[&event.source, &event.id])) {
            return Verdict::Duplicate;
        }
        let at = event.time;
        match &event.body {
            Body::PageView(view) => self.page_view(at, view, visit),
            Body::WebEvent(web) => self.web_event(at, web),
            Body::Heartbeat(beat) => self.heartbeat(at, beat),
            Body::LeaseGranted(lease) => self.lease_granted(at, lease, mode, out),
            Body::LeaseRenewed(lease) => self.lease_renewed(at, lease),
            Body::LeaseReleased(lease) => self.lease_released(at, lease),
            Body::Call(call) => self.call_event(event, call, mode, out),
            Body::CallRecord(record) => self.call_record(event, record, mode, out),
            Body::PoolExhausted(told) => self.pool_exhausted(event, told, out),
            Body::CallTag(tag) => self.said_of_call(event, &tag.call_id, MomentKind::CallTagged, mode, out),
            Body::Transcript(it) => self.said_of_call(event, &it.call_id, MomentKind::CallTranscribed, mode, out),
            Body::Deal(deal) => self.deal(event, deal, mode, out),
            Body::CallNote(_) | Body::AdCost(_) => {}
            Body::AccountSettings(settings) => self.settings(at, settings),
            Body::Erase(erase) => self.erase(erase, out),
        }
        self.advance(event.time.min(event.recorded), mode, out);
        Verdict::Taken
    }

    pub fn tick(&mut self, time: Time, mode: Mode, out: &mut Effects) {
        if self.watermark != Time::MIN {
            self.advance(time, mode, out);
        }
    }

    fn advance(&mut self, to: Time, mode: Mode, out: &mut Effects) {
        if to > self.watermark {
            self.watermark = to;
            if self.seen.advance(to, self.taken) {
                self.forget_silent_callers();
            }
            self.fire(mode, out);
        }
    }

    pub fn watermark(&self) -> Time {
        self.watermark
    }

    pub fn next_due(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The settings in force at `at`: the latest told for that time or before, else the first (contract, small print).
    pub fn rules(&self, at: Time) -> &Arc<Rules> {
        let after = self.eras.partition_point(|era| era.from <= at);
        self.eras.get(after.saturating_sub(1)).map_or(&self.defaults, |era| &era.rules)
    }

    fn settings(&mut self, at: Time, settings: &Settings) {
        let place = self.eras.partition_point(|era| era.from <= at);
        self.eras.insert(place, Era { from: at, rules: Arc::new(Rules::new(settings.clone())) });
        let from = if place == 0 { Time::MIN } else { at };
        let until = self.eras.get(place + 1).map_or(Time::MAX, |era| era.from);
        self.review(from, until);
    }

    /// Other settings hold from `from` until `until`: what was decided by the old ones is decided again.
    fn review(&mut self, from: Time, until: Time) {
        let visitors: Vec<u32> = self.visitors.iter().map(|(ix, _)| ix).collect();
        for visitor in visitors {
            self.rebuild_made_sessions(visitor);
        }
        let calls: Vec<u32> =
            self.calls.iter().filter(|(_, call)| (from..until).contains(&call.start())).map(|(ix, _)| ix).collect();
        for call in calls {
            self.refile_caller(call);
            self.touch_call(call);
        }
    }

    fn said_of_call(&mut self, event: &Event<'_>, id: &str, kind: MomentKind, mode: Mode, out: &mut Effects) {
        let call = self.find_call(id);
        let row = call.filter(|_| mode == Mode::Live).map(|ix| self.current_row(ix));
        out.moments.push(Moment {
            moment_id: moment_id(kind, id, &event.id),
            kind,
            account: self.name.clone(),
            at: event.time,
            call: row,
            call_id: Some(id.into()),
            deal_id: None,
            pool: None,
        });
    }

    fn deal(&mut self, event: &Event<'_>, deal: &crate::event::Deal<'_>, mode: Mode, out: &mut Effects) {
        let call = deal.call_id.as_ref().and_then(|id| self.find_call(id));
        let row = call.filter(|_| mode == Mode::Live).map(|ix| self.current_row(ix));
        out.moments.push(Moment {
            moment_id: moment_id(MomentKind::DealChanged, &deal.deal_id, &event.id),
            kind: MomentKind::DealChanged,
            account: self.name.clone(),
            at: event.time,
            call: row,
            call_id: deal.call_id.as_deref().map(Str::from),
            deal_id: Some(deal.deal_id.as_str().into()),
            pool: None,
        });
    }

    fn pool_exhausted(&mut self, event: &Event<'_>, told: &PoolExhausted<'_>, out: &mut Effects) {
        out.moments.push(Moment {
            moment_id: moment_id(MomentKind::PoolExhausted, &told.pool, &event.id),
            kind: MomentKind::PoolExhausted,
            account: self.name.clone(),
            at: event.time,
            call: None,
            call_id: None,
            deal_id: None,
            pool: Some(told.pool.as_str().into()),
        });
    }

    /// Forgets a person: their sessions, leases and calls leave the state, and no row of them is written again.
    fn erase(&mut self, erase: &crate::event::Erase<'_>, out: &mut Effects) {
        if let Some(visitor) = erase.visitor_id.as_ref().and_then(|id| self.find_visitor(id)) {
            self.forget_visitor(visitor);
        }
        if let Some(phone) = erase.phone {
            self.forget_caller(phone);
        }
        out.erasures.push(Erasure {
            account: self.name.clone(),
            visitor_id: erase.visitor_id.as_deref().map(Str::from),
            phone: erase.phone,
        });
    }

    pub fn add_sizes(&self, sizes: &mut Sizes) {
        sizes.visitors += self.visitors.len();
        sizes.sessions += self.sessions.len();
        sizes.leases += self.leases.len();
        sizes.calls += self.calls.len();
        sizes.callers += self.callers.len();
        sizes.recognised_ids += self.seen.len();
    }

    pub fn find_visitor(&self, id: &str) -> Option<u32> {
        find(&self.visitor_ids, &Id::new(id), |ix| Some(&self.visitors[ix].id))
    }

    pub fn find_session(&self, id: &Id) -> Option<u32> {
        find(&self.session_ids, id, |ix| self.sessions[ix].given.as_ref())
    }

    pub fn find_lease(&self, id: &Id) -> Option<u32> {
        find(&self.lease_ids, id, |ix| Some(&self.leases[ix].id))
    }

    pub fn find_call(&self, id: &str) -> Option<u32> {
        find(&self.call_ids, &Id::new(id), |ix| Some(&self.calls[ix].id))
    }

    pub fn visitor(&mut self, id: &str) -> u32 {
        let id = Id::new(id);
        if let Some(ix) = find(&self.visitor_ids, &id, |ix| Some(&self.visitors[ix].id)) {
            return ix;
        }
        let hash = hash_of(&id);
        let ix = self.visitors.insert(Visitor::new(id));
        let visitors = &self.visitors;
        self.visitor_ids.insert_unique(hash, ix, |&ix| hash_of(&visitors[ix].id));
        ix
    }
}

pub(super) fn find<'s>(table: &HashTable<u32>, id: &Id, of: impl Fn(u32) -> Option<&'s Id>) -> Option<u32> {
    table.find(hash_of(id), |&ix| of(ix) == Some(id)).copied()
}

pub(super) fn unlist(table: &mut HashTable<u32>, id: &Id, ix: u32) {
    if let Ok(entry) = table.find_entry(hash_of(id), |&held| held == ix) {
        entry.remove();
    }
}

/// The same whenever the same events are read again.
pub(super) fn moment_id(kind: MomentKind, of: &str, which: &str) -> Str {
    format!("{}:{of}:{which}", kind.name()).into()
}
