//! Visitors, and their sessions in order of their start.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::account::Account;
use super::client::Client;
use super::few::Few;
use super::intern::Sym;
use super::links::Person;
use super::name::Name;
use super::session::Session;
use super::timers::Thing;
use crate::limits::{LATE_GRACE, VISITOR_MEMORY};
use crate::phone::Phone;
use crate::time::{MICROS_PER_MINUTE, Time};

#[derive(Serialize, Deserialize)]
pub(super) struct Visitor {
    pub id: Name,
    /// Sessions that came before those, and are forgotten.
    pub forgotten_visits: u32,
    /// The source of visit 1, once that is forgotten.
    pub first_source: Option<Sym>,
    /// When a visitor without sessions is forgotten, in minutes since 1970; 0 as long as that is not known.
    until: u32,
    /// All sessions that are held, by start.
    pub visits: Few,
    pub rest: Option<Box<VisitorRest>>,
}

/// What few visitors have.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct VisitorRest {
    /// Leases that name no session.
    pub loose_leases: Vec<u32>,
    /// Heartbeats that name no session, before any that could have them.
    pub heartbeats: Vec<Time>,
    /// `click_to_call`, and the number.
    pub clicks: Vec<Said>,
    /// `callback_request`, and the number to call.
    pub callbacks: Vec<Said>,
    /// Who the site says this is, by hash.
    pub user: Option<Person>,
    /// Made sessions that were taken back: one that begins when one of them did is that one again.
    pub taken_back: Vec<u32>,
    pub client: Option<Box<Client>>,
}

/// A number that a visitor named.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Said {
    pub at: Time,
    pub phone: Phone,
    /// The session that the event named; nothing if it named none.
    pub given: Option<u32>,
}

impl Visitor {
    pub fn new(id: Name) -> Visitor {
        Visitor { id, forgotten_visits: 0, first_source: None, until: 0, visits: Few::default(), rest: None }
    }

    pub fn rest(&mut self) -> &mut VisitorRest {
        self.rest.get_or_insert_default()
    }

    pub fn loose_leases(&self) -> &[u32] {
        self.rest.as_ref().map_or(&[], |rest| &rest.loose_leases)
    }

    pub fn drop_loose_lease(&mut self, lease: u32) {
        if let Some(rest) = &mut self.rest {
            rest.loose_leases.retain(|held| *held != lease);
        }
    }

    /// When it is to be forgotten, if that is known.
    pub fn until(&self) -> Option<Time> {
        (self.until > 0).then(|| Time(i64::from(self.until) * MICROS_PER_MINUTE))
    }

    fn set_until(&mut self, at: Time) -> Option<Time> {
        let minutes = (at.0.max(0) as u64).div_ceil(MICROS_PER_MINUTE as u64);
        self.until = u32::try_from(minutes).unwrap_or(0);
        self.until()
    }
}

impl Account {
    /// A visitor who has no session, as of `at`, is remembered for a while.
    pub fn remember_visitor(&mut self, ix: u32, at: Time) {
        if self.visitors[ix].visits.is_empty() {
            self.plan_visitor(ix, at.max(self.watermark).plus(VISITOR_MEMORY));
        }
    }

    /// A visitor who has no session showed a sign of life.
    pub fn sessionless_visitor_seen(&mut self, ix: u32, at: Time) {
        // One time in the queue is enough: when it has come, it is put off if it has to be.
        if self.visitors[ix].until().is_none() {
            self.remember_visitor(ix, at);
        }
    }

    fn plan_visitor(&mut self, ix: u32, at: Time) {
        let before = self.visitors[ix].until();
        let until = self.visitors[ix].set_until(at);
        if let Some(until) = until.filter(|_| until != before) {
            self.timers.push(until, Thing::Visitor(ix));
        }
    }

    pub fn visitor_due(&mut self, ix: u32) {
        let visitor = &mut self.visitors[ix];
        visitor.until = 0;
        if !visitor.visits.is_empty() {
            // The last of them plans anew.
            return;
        }
        let heartbeat = visitor.rest.as_ref().and_then(|rest| rest.heartbeats.iter().max());
        let until = match heartbeat.map(|at| at.plus(VISITOR_MEMORY)) {
            Some(until) if until > self.watermark => until,
            _ if !visitor.loose_leases().is_empty() => self.watermark.plus(LATE_GRACE),
            _ => return self.remove_visitor(ix),
        };
        self.plan_visitor(ix, until);
    }

    /// Puts a session among its visitor's by start, and decides anew what follows from its place.
    pub fn file_visit(&mut self, ix: u32) {
        let visitor = self.sessions[ix].visitor;
        let mut visits = std::mem::take(&mut self.visitors[visitor].visits);
        let before = visits.iter().position(|&held| held == ix);
        if before.is_some() {
            visits.retain(|held| held != ix);
        }
        let key = |held: u32| (self.sessions[held].started_at(), self.session_name(held));
        let place = match visits.last() {
            None => 0,
            Some(&last) if self.sessions[last].started_at() < self.sessions[ix].started_at() => visits.len(),
            _ => {
                let own = key(ix);
                visits.iter().position(|&held| key(held) > own).unwrap_or(visits.len())
            }
        };
        visits.insert(place, ix);
        let from = place.min(before.unwrap_or(place));
        let is_last_still = from + 1 == visits.len();
        let moved: SmallVec<[u32; 4]> = if is_last_still { SmallVec::new() } else { visits[from..].into() };
        self.visitors[visitor].visits = visits;
        if !is_last_still {
            self.visits_moved(visitor, from, &moved);
        }
    }

    /// The places of these sessions among their visitor's changed, or what the first of them says.
    pub fn visits_moved(&mut self, visitor: u32, from: usize, moved: &[u32]) {
        let all = if from == 0 { self.visits(visitor) } else { moved.into() };
        for ix in all {
            if !self.sessions[ix].written.is_nothing() {
                self.touch_session(ix);
            }
            self.touch_calls_of(ix);
        }
    }

    /// A visitor's sessions, to go through while they may change.
    pub fn visits(&self, visitor: u32) -> SmallVec<[u32; 4]> {
        self.visitors[visitor].visits[..].into()
    }

    /// A session is no more. If a row of it was written, one that takes it back follows.
    pub fn retract_session(&mut self, ix: u32) {
        let session = &mut self.sessions[ix];
        if let Some(id) = session.given
            && !session.written.is_nothing()
        {
            // It keeps its name, and may come back under it; until then it is among nobody's visits.
            self.session_ids.unlist(id.hash(), ix);
        }
        session.empty();
        let (visitor, was_written) = (session.visitor, !session.written.is_nothing());
        let place = self.visitors[visitor].visits.iter().position(|&held| held == ix);
        if was_written {
            session.taken_back = true;
            self.visitors[visitor].visits.retain(|held| held != ix);
            self.visitors[visitor].rest().taken_back.push(ix);
            self.reshape_session(ix);
        } else {
            self.remove_session(ix);
        }
        // Those behind it are one visit earlier.
        if let Some(place) = place {
            let moved: SmallVec<[u32; 4]> = self.visitors[visitor].visits[place..].into();
            self.visits_moved(visitor, place, &moved);
        }
    }

    /// A session that was taken back and is `wanted` again, if there is one.
    pub fn taken_back(&mut self, visitor: u32, wanted: impl Fn(&Session) -> bool) -> Option<u32> {
        let rest = self.visitors[visitor].rest.as_mut()?;
        let place = rest.taken_back.iter().position(|&ix| wanted(&self.sessions[ix]))?;
        let ix = rest.taken_back.swap_remove(place);
        self.sessions[ix].taken_back = false;
        Some(ix)
    }

    /// Lets a visitor go, with all that hangs on them, and writes nothing.
    pub fn forget_visitor(&mut self, ix: u32) {
        for session in self.visits(ix) {
            for lease in self.sessions[session].held_leases() {
                self.note_lease_forgotten(lease);
                self.forget_lease(lease);
            }
            // For those they were a mere candidate.
            for call in self.sessions[session].calls().to_vec() {
                self.calls[call].let_go(session);
            }
            self.remove_session(session);
        }
        for lease in self.visitors[ix].loose_leases().to_vec() {
            if self.leases.get(lease).is_some() {
                self.note_lease_forgotten(lease);
                self.forget_lease(lease);
            }
        }
        self.remove_visitor(ix);
    }

    fn remove_visitor(&mut self, ix: u32) {
        let rest = self.visitors.get_mut(ix).and_then(|visitor| visitor.rest.as_mut());
        let taken_back = rest.map(|rest| std::mem::take(&mut rest.taken_back)).unwrap_or_default();
        for session in taken_back {
            self.remove_session(session);
        }
        if let Some(visitor) = self.visitors.remove(ix) {
            self.visitor_ids.unlist(visitor.id.hash(), ix);
            self.shared.let_go(1);
        }
    }

    /// Takes a session out of the state; its visitor still counts it.
    pub fn remove_session(&mut self, ix: u32) {
        let Some(session) = self.sessions.remove(ix) else { return };
        self.shared.let_go(session.pages_count() as usize + 1);
        if let Some(id) = &session.given {
            self.session_ids.unlist(id.hash(), ix);
        }
        if let Some(visitor) = self.visitors.get_mut(session.visitor) {
            visitor.visits.retain(|held| held != ix);
            if let Some(rest) = &mut visitor.rest {
                rest.taken_back.retain(|held| *held != ix);
                rest.clicks.retain(|said| said.given != Some(ix));
                rest.callbacks.retain(|said| said.given != Some(ix));
            }
        }
    }
}
