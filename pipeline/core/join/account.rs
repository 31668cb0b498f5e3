//! One account's state, and where each type of event goes.

use std::sync::Arc;

use super::arena::Arena;
use super::attribution::{Learner, Rates};
use super::callers::Caller;
use super::calls::CallState;
use super::erase::{ErasedCalls, ErasedSessions};
use super::forgotten::Forgotten;
use super::index::Index;
use super::intern::{Named, Shared};
use super::leases::{Lease, Line};
use super::name::Name;
use super::nameless::ErasedPeople;
use super::seen::Seen;
use super::session::Session;
use super::timers::Timers;
use super::visitors::Visitor;
use super::{Effects, Mode, Sizes, Verdict};
use crate::event::{Body, Call, CallRecord, Event, PoolExhausted};
use crate::id::Key;
use crate::limits::ARCHIVE_AGE;
use crate::moment::{Beside, Moment, MomentKind};
use crate::row::Str;
use crate::settings::{Rules, Settings};
use crate::source::Visit;
use crate::time::Time;

/// Settings and the time from which they are in force.
pub(super) struct Era {
    pub from: Time,
    pub rules: Arc<Rules>,
}

pub(super) struct Account {
    pub name: Str,
    pub mode: Mode,
    pub watermark: Time,
    /// What was taken last happened long before it arrived, by the watermark: an archive, in which nobody looks for what is going on.
    pub is_behind: bool,
    /// Events that the join has taken, of all accounts.
    pub taken: u64,
    /// What was due is being looked at.
    pub is_deciding: bool,
    pub eras: Vec<Era>,
    pub defaults: Arc<Rules>,
    pub seen: Seen,
    pub erased: ErasedSessions,
    pub erased_calls: ErasedCalls,
    pub erased_people: ErasedPeople,
    pub forgotten: Forgotten,
    pub shared: Shared,
    pub timers: Timers,
    /// When this account's calls come, as far as it was learned; and what is supposed before that.
    pub learner: Learner,
    pub supposed: Rates,
    pub visitors: Arena<Visitor>,
    pub sessions: Arena<Session>,
    pub leases: Arena<Lease>,
    pub calls: Arena<CallState>,
    pub callers: Arena<Caller>,
    /// What is known of each tracking number.
    pub lines: Arena<Line>,
    /// What all lines hold of settled leases, or held when their last call was forgotten.
    pub settled_held: usize,
    pub visitor_ids: Index,
    pub session_ids: Index,
    pub lease_ids: Index,
    pub call_ids: Index,
    pub caller_numbers: Index,
    pub line_numbers: Index,
}

impl Account {
    pub fn new(name: Str, mode: Mode) -> Account {
        Account {
            name,
            mode,
            watermark: Time::MIN,
            is_behind: false,
            taken: 0,
            is_deciding: false,
            eras: Vec::new(),
            defaults: Arc::new(Rules::new(Settings::default())),
            seen: Seen::default(),
            erased: ErasedSessions::default(),
            erased_calls: ErasedCalls::default(),
            erased_people: ErasedPeople::default(),
            forgotten: Forgotten::default(),
            shared: Shared::default(),
            timers: Timers::default(),
            learner: Learner::default(),
            supposed: Rates::default(),
            visitors: Arena::default(),
            sessions: Arena::default(),
            leases: Arena::default(),
            calls: Arena::default(),
            callers: Arena::default(),
            lines: Arena::default(),
            settled_held: 0,
            visitor_ids: Index::default(),
            session_ids: Index::default(),
            lease_ids: Index::default(),
            call_ids: Index::default(),
            caller_numbers: Index::default(),
            line_numbers: Index::default(),
        }
    }

    pub fn apply(&mut self, event: &Event<'_>, visit: Option<&Visit<'_>>, out: &mut Effects) -> Verdict {
        if !self.seen.is_new(Key::of(&[&event.source, &event.id])) {
            return Verdict::Duplicate;
        }
        let (at, told) = (event.time, out.moments.len());
        let watermark = event.time.min(event.recorded);
        self.is_behind = event.recorded > watermark.max(self.watermark).plus(ARCHIVE_AGE);
        let verdict = if self.erased_calls.are_told_of(&event.body) || self.erased_people.keep_quiet(&event.body) {
            Verdict::Erased
        } else if let Some(call) = self.forgotten_call(&event.body) {
            self.of_forgotten(event, call, out)
        } else {
            Verdict::Taken
        };
        if verdict != Verdict::Taken {
            self.advance(watermark, out);
            self.add_visits(&mut out.moments[told..]);
            return verdict;
        }
        let nobody = self.nobody(event);
        let nameless = nobody.as_ref().map(|nobody| nobody.instead(event));
        let visit_of_nobody = visit.filter(|_| nameless.is_some()).map(Visit::nameless);
        match (&nameless, visit_of_nobody.as_ref().or(visit)) {
            (Some(event), _) if self.is_of_erased_session(&event.body) => {}
            (nameless, visit) => self.take(nameless.as_ref().unwrap_or(event), visit, out),
        }
        if let Some(Body::Call(Call { call_id, .. }) | Body::CallRecord(CallRecord { call_id, .. })) =
            nameless.map(|event| event.body)
        {
            self.note_nameless_call(&call_id, at, out);
        }
        out.nobody = nobody.map(Box::new);
        self.advance(watermark, out);
        self.add_visits(&mut out.moments[told..]);
        Verdict::Taken
    }

    fn take(&mut self, event: &Event<'_>, visit: Option<&Visit<'_>>, out: &mut Effects) {
        let at = event.time;
        match &event.body {
            Body::PageView(view) => self.page_view(at, view, visit),
            Body::WebEvent(web) => self.web_event(at, web),
            Body::Heartbeat(beat) => self.heartbeat(at, beat),
            Body::LeaseGranted(lease) => self.lease_granted(at, lease, out),
            Body::LeaseRenewed(lease) => self.lease_renewed(at, lease),
            Body::LeaseReleased(lease) => self.lease_released(at, lease),
            Body::Call(call) => self.call_event(event, call, out),
            Body::CallRecord(record) => self.call_record(event, record, out),
            Body::PoolExhausted(told) => self.pool_exhausted(event, told, out),
            Body::CallTag(tag) => {
                let beside = || Beside::of_tag(tag);
                self.said_of_call(event, &tag.call_id, MomentKind::CallTagged, beside, out);
            }
            Body::Transcript(it) => {
                self.hear(it);
                let beside = || Beside::of_transcript(it);
                self.said_of_call(event, &it.call_id, MomentKind::CallTranscribed, beside, out);
            }
            Body::Deal(deal) => self.deal(event, deal, out),
            Body::CallNote(_) | Body::AdCost(_) => {}
            Body::AccountSettings(settings) => self.settings(at, settings),
            Body::Erase(erase) => self.erase(event, erase, out),
        }
    }

    pub fn tick(&mut self, time: Time, out: &mut Effects) {
        self.is_behind = false;
        if self.watermark != Time::MIN {
            let told = out.moments.len();
            if time > self.watermark {
                self.advance(time, out);
            } else {
                // The watermark is ahead of the clock: what it has passed is decided all the same.
                self.fire(out);
            }
            self.add_visits(&mut out.moments[told..]);
        }
    }

    fn advance(&mut self, to: Time, out: &mut Effects) {
        if to > self.watermark {
            self.watermark = to;
            if self.seen.advance(to, self.taken) {
                self.forget_silent_callers();
                for hash in self.erased.advance(to) {
                    self.forgotten.sessions.note_hash(hash);
                }
                self.erased_calls.advance(to);
                self.erased_people.advance(to);
            }
            self.fire(out);
            self.learner.pass(self.watermark);
            let things = self.sessions.slots() + self.visitors.slots() + self.leases.slots();
            if self.shared.wants_sweep(things as usize) {
                self.sweep();
            }
        }
    }

    /// Lets go the shared values that nothing names any more.
    pub fn sweep(&mut self) {
        let mut named = Named::default();
        for (_, session) in self.sessions.iter() {
            session.name_values(&mut named);
        }
        for (_, visitor) in self.visitors.iter() {
            visitor.first_source.into_iter().for_each(|source| named.sources.set(source));
            visitor.id.sym().into_iter().for_each(|text| named.texts.set(text));
        }
        for (_, lease) in self.leases.iter() {
            lease.terms.into_iter().for_each(|terms| named.terms.set(terms));
            lease.id.sym().into_iter().for_each(|text| named.texts.set(text));
        }
        for (_, call) in self.calls.iter() {
            call.id.sym().into_iter().for_each(|text| named.texts.set(text));
        }
        self.shared.sweep(named);
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
        let is_same = |era: &Era| era.from == at && era.rules.settings() == settings;
        if place > 0 && is_same(&self.eras[place - 1]) {
            // Told again, so that the log does not forget them.
            return;
        }
        self.eras.insert(place, Era { from: at, rules: Arc::new(Rules::new(settings.clone())) });
        let from = if place == 0 { Time::MIN } else { at };
        let until = self.eras.get(place + 1).map_or(Time::MAX, |era| era.from);
        self.review(from, until);
    }

    /// Other settings hold from `from` until `until`: what was decided by the old ones is decided again.
    fn review(&mut self, from: Time, until: Time) {
        // Whose sessions all lie outside of that span, nothing is decided anew: an event splits by its own time's settings.
        let lies_in = |ix: u32| self.sessions[ix].started_at() < until && self.session_ended_at(ix) >= from;
        let visitors = self.visitors.iter().filter(|(_, visitor)| visitor.visits.iter().any(|&ix| lies_in(ix)));
        let visitors: Vec<u32> = visitors.map(|(ix, _)| ix).collect();
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

    fn said_of_call(
        &mut self,
        event: &Event<'_>,
        id: &str,
        kind: MomentKind,
        beside: impl FnOnce() -> Beside,
        out: &mut Effects,
    ) {
        let call = self.find_call(id);
        let row = call.filter(|_| self.mode == Mode::Live).map(|ix| self.current_row(ix));
        let mut moment = Moment::told_by(event, kind, &self.name, id);
        moment.beside = (self.mode == Mode::Live).then(|| Box::new(beside()));
        out.moments.push(moment.of_call(Some(id.into()), row));
    }

    fn deal(&mut self, event: &Event<'_>, deal: &crate::event::Deal<'_>, out: &mut Effects) {
        // As in the mart, but by this event alone: the call that it names, else the latest of its telephone by then.
        let of_phone = || {
            let calls = deal.phone.map(|phone| self.calls_of_phone(phone)).unwrap_or_default();
            let calls = calls.into_iter().filter(|&ix| self.calls[ix].start() <= event.time);
            calls.max_by_key(|&ix| (self.calls[ix].start(), self.text_of(&self.calls[ix].id)))
        };
        let call = match &deal.call_id {
            Some(id) => self.find_call(id),
            None => of_phone(),
        };
        let id = deal.call_id.as_deref().map(Str::from).or_else(|| call.map(|ix| self.text_of(&self.calls[ix].id)));
        let row = call.filter(|_| self.mode == Mode::Live).map(|ix| self.current_row(ix));
        let mut moment = Moment::told_by(event, MomentKind::DealChanged, &self.name, &deal.deal_id);
        moment.beside = (self.mode == Mode::Live).then(|| Box::new(Beside::of_deal(deal)));
        let moment = moment.of_call(id, row);
        out.moments.push(Moment { deal_id: Some(deal.deal_id.as_str().into()), ..moment });
    }

    fn pool_exhausted(&mut self, event: &Event<'_>, told: &PoolExhausted<'_>, out: &mut Effects) {
        let moment = Moment::told_by(event, MomentKind::PoolExhausted, &self.name, &told.pool);
        out.moments.push(Moment { pool: Some(told.pool.as_str().into()), ..moment });
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
        self.find(&self.visitor_ids, id, |ix| Some(&self.visitors[ix].id))
    }

    pub fn find_session(&self, id: &str) -> Option<u32> {
        self.find(&self.session_ids, id, |ix| self.sessions[ix].given.as_ref())
    }

    pub fn find_lease(&self, id: &str) -> Option<u32> {
        self.find(&self.lease_ids, id, |ix| Some(&self.leases[ix].id))
    }

    pub fn find_call(&self, id: &str) -> Option<u32> {
        self.find(&self.call_ids, id, |ix| Some(&self.calls[ix].id))
    }

    fn find<'s>(&self, table: &Index, id: &str, of: impl Fn(u32) -> Option<&'s Name>) -> Option<u32> {
        let name = Name::find(id, &self.shared.texts)?;
        table.find(name.hash(), |ix| of(ix) == Some(&name))
    }

    pub fn visitor(&mut self, id: &str) -> u32 {
        if let Some(ix) = self.find_visitor(id) {
            return ix;
        }
        let id = self.shared.name(id);
        let ix = self.visitors.insert(Visitor::new(id));
        let visitors = &self.visitors;
        self.visitor_ids.list(id.hash(), ix, |ix| visitors[ix].id.hash());
        ix
    }

    pub fn text_of(&self, name: &Name) -> Str {
        name.with(&self.shared.texts, |text| Str::from(text))
    }
}
