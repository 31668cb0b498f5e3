//! When something is decided, corrected, and forgotten. Only the watermark drives it.
//!
//! Each session, lease, call and visitor has one time at which it is looked at next. A change makes that time earlier;
//! an entry in the queue that is no longer its thing's time is passed over.
//!
//! - A session is decided when the watermark has passed its last sign of life by the session timeout and lateness; a
//!   lease when its end has passed by lateness; a call when its end has passed by lateness (in a live job also when it
//!   was silent for the call timeout). A change after that is decided once the watermark has moved on by lateness.
//! - A session is forgotten when the watermark has moved on by the attribution window, the session timeout and
//!   [`LATE_GRACE`] since its last sign of life *and* since its last change, but not before the calls that it is a
//!   candidate for; a lease with its session; a call after [`LATE_GRACE`]; a visitor after [`VISITOR_MEMORY`]. And never
//!   before [`EVENTS_REMEMBERED`] events were taken since its last change.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::{Effects, Mode};
use crate::limits::{EVENTS_REMEMBERED, LATE_GRACE, VISITOR_MEMORY};
use crate::time::{MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Time};

/// Events are counted in this unit where the count is kept with each thing.
const COUNT_UNIT: u64 = 1 << 10;

/// When a thing is looked at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Due {
    pub at: Time,
    /// The watermark when the thing changed last.
    pub changed: Time,
    /// How many events had been taken then, in units of [`COUNT_UNIT`].
    pub changed_count: u32,
    /// Something changed since it was decided.
    pub open: bool,
}

impl Default for Due {
    fn default() -> Due {
        Due { at: Time::MAX, changed: Time::MIN, changed_count: 0, open: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Thing {
    Session(u32),
    Lease(u32),
    Call(u32),
    Visitor(u32),
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Timers {
    queue: BinaryHeap<Reverse<(Time, Thing)>>,
}

impl Timers {
    /// The earliest time at which something is looked at.
    pub fn next(&self) -> Option<Time> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    fn set(&mut self, due: &mut Due, at: Time, thing: Thing) {
        if due.at != at {
            due.at = at;
            if at < Time::MAX {
                self.queue.push(Reverse((at, thing)));
            }
        }
    }

    fn pop(&mut self, watermark: Time) -> Option<(Time, Thing)> {
        let Reverse((at, _)) = self.queue.peek()?;
        if *at > watermark {
            return None;
        }
        self.queue.pop().map(|Reverse(entry)| entry)
    }
}

fn micros(amount: f64, unit: i64) -> i64 {
    (amount * unit as f64) as i64
}

impl Account {
    /// Notes a change.
    fn changed(watermark: Time, taken: u64, due: &mut Due) {
        due.changed = watermark;
        due.changed_count = (taken / COUNT_UNIT) as u32;
    }

    /// Whether something of this last change may be forgotten at `at`: if not, it is looked at again later.
    fn may_forget(&self, due: Due, at: Time) -> bool {
        let since = (self.taken / COUNT_UNIT).saturating_sub(u64::from(due.changed_count));
        at <= self.watermark && since * COUNT_UNIT >= EVENTS_REMEMBERED
    }

    /// When something that could not be forgotten at `at` is looked at again.
    fn again(&self, at: Time) -> Time {
        at.max(self.watermark.plus(LATE_GRACE / 4))
    }

    fn lateness(&self, at: Time) -> i64 {
        micros(self.rules(at).settings().lateness_seconds, MICROS_PER_SECOND)
    }

    /// A changed thing is open; it is looked at once it can be decided, or earlier if it was to be looked at before.
    pub fn touch_session(&mut self, ix: u32) {
        let due = &mut self.sessions[ix].due;
        Account::changed(self.watermark, self.taken, due);
        if due.open {
            // The time in the queue is early enough: it is looked at then, and put off if it has to be.
            return;
        }
        due.open = true;
        let at = self.session_decided_at(ix);
        self.timers.set(&mut self.sessions[ix].due, at, Thing::Session(ix));
    }

    pub fn touch_lease(&mut self, ix: u32) {
        let due = &mut self.leases[ix].due;
        Account::changed(self.watermark, self.taken, due);
        due.open = true;
        let at = self.lease_decided_at(ix);
        self.timers.set(&mut self.leases[ix].due, at, Thing::Lease(ix));
    }

    pub fn touch_call(&mut self, ix: u32) {
        let due = &mut self.calls[ix].due;
        Account::changed(self.watermark, self.taken, due);
        let was_open = std::mem::replace(&mut due.open, true);
        let at = self.call_decided_at(ix, Mode::Live);
        if !was_open || at < self.calls[ix].due.at {
            self.timers.set(&mut self.calls[ix].due, at, Thing::Call(ix));
        }
    }

    fn session_decided_at(&self, ix: u32) -> Time {
        let session = &self.sessions[ix];
        let rules = self.rules(session.ended_at);
        let silence = micros(rules.settings().session_timeout_minutes, MICROS_PER_MINUTE);
        session.ended_at.plus(silence).max(session.due.changed).plus(self.lateness(session.ended_at))
    }

    fn lease_decided_at(&self, ix: u32) -> Time {
        let lease = &self.leases[ix];
        lease.over_at().max(lease.due.changed).plus(self.lateness(lease.granted_at))
    }

    fn call_decided_at(&self, ix: u32, mode: Mode) -> Time {
        let call = &self.calls[ix];
        let start = call.start();
        match call.ended_at() {
            Some(ended) => ended.max(call.due.changed).plus(self.lateness(start)),
            // Silent for long; only live jobs give up waiting.
            None if mode == Mode::Live => {
                let silence = micros(self.rules(start).settings().call_timeout_minutes, MICROS_PER_MINUTE);
                call.last_event.plus(silence).max(call.due.changed).plus(self.lateness(start))
            }
            None => Time::MAX,
        }
    }

    fn session_forgotten_at(&self, ix: u32) -> Time {
        let session = &self.sessions[ix];
        let settings = self.rules(session.ended_at).settings();
        let held = micros(settings.attribution_window_hours, MICROS_PER_HOUR)
            + micros(settings.session_timeout_minutes, MICROS_PER_MINUTE)
            + LATE_GRACE;
        session.ended_at.max(session.due.changed).plus(held)
    }

    /// Looks at everything whose time has come.
    pub fn fire(&mut self, mode: Mode, out: &mut Effects) {
        while let Some((at, thing)) = self.timers.pop(self.watermark) {
            match thing {
                Thing::Session(ix) if self.sessions.get(ix).is_some_and(|it| it.due.at == at) => {
                    self.session_due(ix, out)
                }
                Thing::Lease(ix) if self.leases.get(ix).is_some_and(|it| it.due.at == at) => self.lease_due(ix, out),
                Thing::Call(ix) if self.calls.get(ix).is_some_and(|it| it.due.at == at) => self.call_due(ix, mode, out),
                Thing::Visitor(ix) if self.visitors.get(ix).is_some_and(|it| it.due.at == at) => self.visitor_due(ix),
                _ => {}
            }
        }
    }

    fn session_due(&mut self, ix: u32, out: &mut Effects) {
        self.sessions[ix].due.at = Time::MAX;
        if self.sessions[ix].due.open {
            let at = self.session_decided_at(ix);
            if at > self.watermark {
                return self.timers.set(&mut self.sessions[ix].due, at, Thing::Session(ix));
            }
            self.sessions[ix].due.open = false;
            self.emit_session(ix, out);
        }
        let at = self.session_forgotten_at(ix);
        if self.may_forget(self.sessions[ix].due, at) && self.sessions[ix].calls.is_empty() {
            return self.forget_session(ix);
        }
        let at = self.again(at);
        self.timers.set(&mut self.sessions[ix].due, at, Thing::Session(ix));
    }

    /// A session that nothing can refer to any more goes, and its leases with it. Its visitor still counts it.
    fn forget_session(&mut self, ix: u32) {
        let visitor = self.sessions[ix].visitor;
        let source = self.sessions[ix].source().cloned();
        let was_first = self.visitors[visitor].visits.first() == Some(&ix);
        let holder = &mut self.visitors[visitor];
        if was_first && holder.forgotten_visits == 0 {
            holder.first_source = source;
        }
        if !self.sessions[ix].taken_back {
            holder.forgotten_visits += 1;
        }
        for lease in self.sessions[ix].leases.clone() {
            self.forget_lease(lease);
        }
        self.remove_session(ix);
        if self.visitors[visitor].visits.is_empty() {
            let at = self.watermark.plus(VISITOR_MEMORY);
            self.timers.set(&mut self.visitors[visitor].due, at, Thing::Visitor(visitor));
        }
    }

    fn visitor_due(&mut self, ix: u32) {
        self.visitors[ix].due.at = Time::MAX;
        if self.visitors[ix].visits.is_empty() && self.visitors[ix].loose_leases.is_empty() {
            self.remove_visitor(ix);
        }
    }

    fn lease_due(&mut self, ix: u32, out: &mut Effects) {
        self.leases[ix].due.at = Time::MAX;
        if self.leases[ix].due.open {
            let at = self.lease_decided_at(ix);
            if at > self.watermark {
                return self.timers.set(&mut self.leases[ix].due, at, Thing::Lease(ix));
            }
            self.leases[ix].due.open = false;
            self.emit_lease(ix, out);
        }
        let held = self.leases[ix].terms.as_ref().is_some_and(|terms| terms.session.is_some());
        if held {
            // It goes with its session.
            return;
        }
        let lease = &self.leases[ix];
        let window = micros(self.rules(lease.granted_at).settings().attribution_window_hours, MICROS_PER_HOUR);
        let at = lease.over_at().max(lease.due.changed).plus(window + LATE_GRACE);
        if self.may_forget(lease.due, at) {
            return self.forget_lease(ix);
        }
        let at = self.again(at);
        self.timers.set(&mut self.leases[ix].due, at, Thing::Lease(ix));
    }

    fn call_due(&mut self, ix: u32, mode: Mode, out: &mut Effects) {
        self.calls[ix].due.at = Time::MAX;
        if self.calls[ix].due.open {
            let at = self.call_decided_at(ix, mode);
            if at > self.watermark {
                return self.timers.set(&mut self.calls[ix].due, at, Thing::Call(ix));
            }
            self.decide_call(ix, mode, out);
        }
        let call = &self.calls[ix];
        let at = call.ended_at().unwrap_or(call.last_event).max(call.due.changed).plus(LATE_GRACE);
        if self.may_forget(call.due, at) && !call.due.open {
            return self.forget_call(ix);
        }
        if !self.calls[ix].due.open {
            let at = self.again(at);
            self.timers.set(&mut self.calls[ix].due, at, Thing::Call(ix));
        }
    }

    fn decide_call(&mut self, ix: u32, mode: Mode, out: &mut Effects) {
        self.calls[ix].due.open = false;
        self.calls[ix].decided = true;
        self.emit_call(ix, mode, out);
    }

    /// Decides all that is open, whatever the watermark. Calls go by start, since one may follow from another.
    pub fn settle(&mut self, mode: Mode, out: &mut Effects) {
        loop {
            let mut calls: Vec<u32> = self.calls.iter().filter(|(_, it)| it.due.open).map(|(ix, _)| ix).collect();
            if calls.is_empty() {
                break;
            }
            calls.sort_by_cached_key(|&ix| (self.calls[ix].start(), self.calls[ix].id.to_string()));
            for ix in calls {
                self.decide_call(ix, mode, out);
                self.timers.set(&mut self.calls[ix].due, self.watermark.plus(LATE_GRACE), Thing::Call(ix));
            }
        }
        let sessions: Vec<u32> = self.sessions.iter().filter(|(_, it)| it.due.open).map(|(ix, _)| ix).collect();
        for ix in sessions {
            self.sessions[ix].due.open = false;
            self.emit_session(ix, out);
            let at = self.session_forgotten_at(ix);
            self.timers.set(&mut self.sessions[ix].due, at, Thing::Session(ix));
        }
        let leases: Vec<u32> = self.leases.iter().filter(|(_, it)| it.due.open).map(|(ix, _)| ix).collect();
        for ix in leases {
            self.leases[ix].due.open = false;
            self.emit_lease(ix, out);
        }
    }
}
