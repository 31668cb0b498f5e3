//! Who held which number when.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::account::{Account, unlist};
use super::decide::Due;
use super::intern::hash_of;
use super::sessions::{SignKind, Written, place_after};
use super::{Effects, Mode};
use crate::event::{LeaseGranted, LeaseReleased, LeaseRenewed};
use crate::id::Id;
use crate::limits::RENEWALS_PER_LEASE;
use crate::phone::Phone;
use crate::row::Str;
use crate::time::Time;

#[derive(Serialize, Deserialize)]
pub(super) struct Lease {
    pub id: Id,
    /// Nothing as long as only renewals or the release are known: the grant is still to come.
    pub terms: Option<Terms>,
    pub granted_at: Time,
    /// What was told of its end: when, and the end. By time, then arrival; the grant's is the first.
    pub ends: SmallVec<[(Time, Time); 1]>,
    pub released_at: Option<Time>,
    pub due: Due,
    pub written: Written,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Terms {
    pub pool: Str,
    pub number: Phone,
    pub extension: Option<Str>,
    pub visitor: u32,
    /// The session that holds it: the one it names, or the made one that it falls into, if there is any.
    pub session: Option<u32>,
    /// It names no session.
    pub loose: bool,
}

/// What is known of a tracking number, each by time.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Line {
    pub leases: Vec<(Time, u32)>,
    pub calls: Vec<(Time, u32)>,
}

impl Lease {
    fn new(id: Id, at: Time) -> Lease {
        Lease {
            id,
            terms: None,
            granted_at: at,
            ends: SmallVec::new(),
            released_at: None,
            due: Due::default(),
            written: Written::default(),
        }
    }

    /// Held at `at`, by what was told until then: from the grant until the latest end or the release.
    pub fn is_active(&self, at: Time) -> bool {
        let released = self.released_at.is_some_and(|released| released <= at);
        let told = self.ends.iter().take_while(|(told_at, _)| *told_at <= at);
        !released && self.granted_at <= at && told.map(|(_, end)| *end).max().is_some_and(|end| at < end)
    }

    /// The latest end that was told at all.
    pub fn expires_at(&self) -> Time {
        self.ends.iter().map(|(_, end)| *end).max().unwrap_or(self.granted_at)
    }

    /// From when on it is surely over.
    pub fn over_at(&self) -> Time {
        self.released_at.map_or(self.expires_at(), |released| released.min(self.expires_at()))
    }

    /// The last grant or renewal at `at` or before.
    pub fn last_told(&self, at: Time) -> Option<Time> {
        self.ends.iter().map(|(told_at, _)| *told_at).take_while(|told_at| *told_at <= at).last()
    }
}

impl Account {
    pub fn lease_granted(&mut self, at: Time, told: &LeaseGranted<'_>, mode: Mode, out: &mut Effects) {
        let ix = self.lease(&told.lease_id, at);
        if self.leases[ix].terms.is_some() {
            // Two grants of one name: the earlier counts, and the other is as if it had never been.
            if self.leases[ix].granted_at <= at {
                return;
            }
            self.take_back_grant(ix);
        }
        let visitor = self.visitor(&told.visitor_id);
        let session = told.session_id.as_ref().map(|id| self.given_session(id, visitor, at));
        let pool = self.shared.text(&told.pool);
        let extension = told.extension.as_deref().map(|it| self.shared.text(it));
        let loose = session.is_none();
        let terms = Terms { pool, number: told.number, extension, visitor, session, loose };
        let lease = &mut self.leases[ix];
        lease.granted_at = at;
        lease.terms = Some(terms);
        lease.ends.insert(0, (at, told.expires_at));
        lease.ends.sort_by_key(|(told_at, _)| *told_at);
        let line = self.lines.entry(told.number).or_default();
        let place = place_after(&line.leases, at, |(at, _)| *at);
        line.leases.insert(place, (at, ix));
        match session {
            Some(session) => self.hold(ix, session),
            None => {
                self.visitors[visitor].loose_leases.push(ix);
                self.place_loose_lease(ix);
            }
        }
        self.touch_calls_on(ix, at);
        self.touch_lease(ix);
        if mode == Mode::Live {
            self.emit_lease(ix, out);
        }
    }

    pub fn lease_renewed(&mut self, at: Time, told: &LeaseRenewed<'_>) {
        let ix = self.lease(&told.lease_id, at);
        let lease = &mut self.leases[ix];
        if lease.ends.len() >= RENEWALS_PER_LEASE {
            let oldest = lease.ends.remove(0);
            lease.ends[0].1 = lease.ends[0].1.max(oldest.1);
        }
        let place = place_after(&lease.ends, at, |(told_at, _)| *told_at);
        lease.ends.insert(place, (at, told.expires_at));
        let session = lease.terms.as_ref().and_then(|terms| terms.session);
        if let Some(session) = session {
            let moved = self.sessions[session].add_sign(at, SignKind::Lease);
            self.session_seen(session, at, moved);
        }
        self.touch_calls_on(ix, at);
        self.touch_lease(ix);
    }

    pub fn lease_released(&mut self, at: Time, told: &LeaseReleased<'_>) {
        let ix = self.lease(&told.lease_id, at);
        let lease = &mut self.leases[ix];
        lease.released_at = Some(lease.released_at.map_or(at, |released| released.min(at)));
        self.touch_calls_on(ix, at);
        self.touch_lease(ix);
    }

    fn lease(&mut self, id: &str, at: Time) -> u32 {
        let id = Id::new(id);
        if let Some(ix) = self.find_lease(&id) {
            return ix;
        }
        let hash = hash_of(&id);
        let ix = self.leases.insert(Lease::new(id, at));
        let leases = &self.leases;
        self.lease_ids.insert_unique(hash, ix, |&ix| hash_of(&leases[ix].id));
        ix
    }

    /// The session holds the lease: its grant and renewals are signs of the session's life.
    fn hold(&mut self, ix: u32, session: u32) {
        if let Some(terms) = &mut self.leases[ix].terms {
            terms.session = Some(session);
        }
        self.sessions[session].leases.push(ix);
        let signs: SmallVec<[Time; 4]> = self.leases[ix].ends.iter().map(|(told_at, _)| *told_at).collect();
        let mut moved = false;
        for at in signs {
            moved |= self.sessions[session].add_sign(at, SignKind::Lease);
        }
        self.session_seen(session, self.leases[ix].granted_at, moved);
    }

    /// Gives a lease without a session to the made session that it falls into.
    pub fn place_loose_lease(&mut self, ix: u32) {
        let Some(terms) = &mut self.leases[ix].terms else { return };
        terms.session = None;
        let visitor = terms.visitor;
        if let Some(session) = self.made_session_at(visitor, self.leases[ix].granted_at) {
            self.hold(ix, session);
        }
        // Its row names the session.
        self.touch_lease(ix);
    }

    /// Decides the calls anew that a sign of this session's life at `from` may change.
    pub fn touch_calls_on_leases(&mut self, session: u32, from: Time) {
        if self.sessions[session].leases.is_empty() {
            return;
        }
        for lease in self.sessions[session].leases.clone() {
            self.touch_calls_on(lease, from);
        }
    }

    /// Decides the calls anew that came on a lease's number at `from` or later.
    pub fn touch_calls_on(&mut self, lease: u32, from: Time) {
        let lease = &self.leases[lease];
        let Some(terms) = &lease.terms else { return };
        let from = from.max(lease.granted_at);
        let Some(line) = self.lines.get(&terms.number) else { return };
        if line.calls.last().is_none_or(|(at, _)| *at < from) {
            return;
        }
        let first = line.calls.partition_point(|(at, _)| *at < from);
        let calls: SmallVec<[u32; 8]> = line.calls[first..].iter().map(|(_, call)| *call).collect();
        for call in calls {
            self.touch_call(call);
        }
    }

    /// Takes a lease from its number, session and visitor; it keeps its name and what was told of its end.
    fn unfile_lease(&mut self, ix: u32) {
        let granted_at = self.leases[ix].granted_at;
        let Some(terms) = self.leases[ix].terms.take() else { return };
        if let Some(line) = self.lines.get_mut(&terms.number) {
            line.leases.retain(|(_, held)| *held != ix);
            if line.leases.is_empty() && line.calls.is_empty() {
                self.lines.remove(&terms.number);
            }
        }
        if let Some(session) = terms.session.and_then(|session| self.sessions.get_mut(session)) {
            session.leases.retain(|held| *held != ix);
        }
        if let Some(visitor) = self.visitors.get_mut(terms.visitor) {
            visitor.loose_leases.retain(|held| *held != ix);
        }
        // Of one instant, the grant's own end stands first.
        let ends = &mut self.leases[ix].ends;
        if let Some(place) = ends.iter().position(|(told_at, _)| *told_at == granted_at) {
            ends.remove(place);
        }
    }

    /// A grant gives way to an earlier one: its session is as if it had never held the lease.
    fn take_back_grant(&mut self, ix: u32) {
        let holder = self.leases[ix].terms.as_ref().and_then(|terms| terms.session);
        let signs: SmallVec<[Time; 4]> = self.leases[ix].ends.iter().map(|(told_at, _)| *told_at).collect();
        self.touch_calls_on(ix, self.leases[ix].granted_at);
        self.unfile_lease(ix);
        let Some(session) = holder else { return };
        let is_left = self.sessions[session].drop_lease_signs(&signs);
        if is_left {
            self.session_seen(session, self.sessions[session].started_at, true);
        } else {
            self.touch_calls_of(session);
            self.retract_session(session);
        }
    }

    pub fn forget_lease(&mut self, ix: u32) {
        self.unfile_lease(ix);
        if let Some(lease) = self.leases.remove(ix) {
            unlist(&mut self.lease_ids, &lease.id, ix);
        }
    }
}
