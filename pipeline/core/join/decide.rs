//! When something is decided, corrected, and forgotten. Only the watermark drives it.
//!
//! Each session, lease, call and visitor has one time at which it is looked at next. A change makes that time earlier;
//! an entry in the queue that is no longer its thing's time is passed over.
//!
//! - A session is decided when the watermark has passed its last sign of life by the session timeout and lateness (a live job writes it,
//!   as it is by then, when the watermark has passed its start by lateness, too, unless it reads an archive); a
//!   lease when its end has passed by lateness; a call when its end has passed by lateness (in a live job also when it
//!   was silent for the call timeout). A change after that is decided with the watermark's next whole second, so that a
//!   correction is there soon, and many at once are one; only a call's first decision waits for lateness once more, since
//!   it is a lesson, unless the change follows from another's decision.
//! - A session is forgotten when the watermark has moved on by the attribution window, the session timeout and
//!   [`LATE_GRACE`] since its last sign of life *and* since its last change, but not before the calls that it is, or may
//!   yet be, a candidate for, its leases' rows, and its visitor's visits before it; a lease with its session; a call after
//!   [`LATE_GRACE`]; a visitor after [`VISITOR_MEMORY`]. And never before [`EVENTS_REMEMBERED`] events were taken since its
//!   last change.
//! - However far the watermark jumps, all this is in order of time: what is due before something is forgotten goes first.

use super::account::Account;
use super::calls::CallState;
use super::leases::Lease;
use super::timers::{Due, Thing};
use super::{Effects, Mode};
use crate::limits::{HOLD_MINUTES_MAX, LATE_GRACE, VISITS_IN_ORDER};
use crate::time::{MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Time, micros};

impl Account {
    /// Whether something is not forgotten before `at`, or is remembered still: then it is looked at again later. `turn`: for when it was
    /// looked at now.
    fn is_kept(&mut self, thing: Thing, at: Time, turn: Time) -> bool {
        let due = match thing {
            Thing::Session(ix) => &mut self.sessions[ix].due,
            Thing::Lease(ix) => &mut self.leases[ix].due,
            Thing::Call(ix) => &mut self.calls[ix].due,
            Thing::Visitor(_) => return false,
        };
        if at > self.watermark.min(turn) {
            self.timers.set(due, at, thing);
            return true;
        }
        let is_remembered = due.is_remembered(self.taken);
        if is_remembered {
            self.timers.wait(*due, self.taken, thing);
        }
        is_remembered
    }

    /// A visitor's time is of another kind.
    fn due_of(&self, thing: Thing) -> Option<Due> {
        match thing {
            Thing::Session(ix) => self.sessions.get(ix).map(|it| it.due),
            Thing::Lease(ix) => self.leases.get(ix).map(|it| it.due),
            Thing::Call(ix) => self.calls.get(ix).map(|it| it.due),
            Thing::Visitor(_) => None,
        }
    }

    fn lateness(&self, at: Time) -> i64 {
        micros(self.rules(at).settings().lateness_seconds, MICROS_PER_SECOND)
    }

    /// A changed thing is open; it is looked at once it can be decided, or earlier if it was to be looked at before.
    pub fn touch_session(&mut self, ix: u32) {
        let due = &mut self.sessions[ix].due;
        due.change(self.watermark, self.taken);
        if due.is_open() {
            // The time in the queue is early enough: it is looked at then, and put off if it has to be.
            return;
        }
        due.set_open(true);
        self.look_again_at_leases(ix);
        let decided = self.session_decided_at(ix);
        let at = if self.has_early_row(ix) { self.early_row_at(ix).min(decided) } else { decided };
        self.timers.set(&mut self.sessions[ix].due, at, Thing::Session(ix));
    }

    /// What a row says that was written early may no longer be so: a live job writes it again soon, and not when the session is over.
    pub fn reshape_session(&mut self, ix: u32) {
        self.touch_session(ix);
        let session = &mut self.sessions[ix];
        let soon = session.due.changed();
        if self.mode == Mode::Live && !session.written.is_nothing() && soon < session.due.at() {
            self.timers.set(&mut session.due, soon, Thing::Session(ix));
        }
    }

    /// Whether a live job is to write a session that goes on, so that reports of this hour count it.
    fn has_early_row(&self, ix: u32) -> bool {
        self.mode == Mode::Live && self.sessions[ix].written.is_nothing()
    }

    /// When that is: once what its first events bring late has arrived.
    fn early_row_at(&self, ix: u32) -> Time {
        let start = self.sessions[ix].started_at();
        start.plus(self.lateness(start))
    }

    pub fn touch_lease(&mut self, ix: u32) {
        self.unsettle_lease(ix);
        let due = &mut self.leases[ix].due;
        due.change(self.watermark, self.taken);
        due.set_open(true);
        let at = self.lease_decided_at(ix);
        self.timers.set(&mut self.leases[ix].due, at, Thing::Lease(ix));
    }

    pub fn touch_call(&mut self, ix: u32) {
        let CallState { due, decided, .. } = &mut self.calls[ix];
        // Nothing arrived: what follows from decisions puts no first decision off, or one caller's calls would wait for each other in turn.
        if *decided || !self.is_deciding {
            due.change(self.watermark, self.taken);
        }
        let was_open = due.is_open();
        due.set_open(true);
        let at = self.call_decided_at(ix, Mode::Live);
        if !was_open || at < self.calls[ix].due.at() {
            self.timers.set(&mut self.calls[ix].due, at, Thing::Call(ix));
        }
    }

    fn session_decided_at(&self, ix: u32) -> Time {
        if self.sessions[ix].taken_back {
            return self.sessions[ix].due.changed();
        }
        let ended_at = self.session_ended_at(ix);
        let settings = self.rules(ended_at).settings();
        let silence = micros(settings.session_timeout_minutes, MICROS_PER_MINUTE);
        let lateness = micros(settings.lateness_seconds, MICROS_PER_SECOND);
        ended_at.plus(silence + lateness).max(self.sessions[ix].due.changed())
    }

    fn lease_decided_at(&self, ix: u32) -> Time {
        let lease = &self.leases[ix];
        lease.over_at().plus(self.lateness(lease.granted_at)).max(lease.due.changed())
    }

    pub fn call_decided_at(&self, ix: u32, mode: Mode) -> Time {
        let call = &self.calls[ix];
        let start = call.start();
        let over = match call.ended_at() {
            Some(ended) => ended,
            // Silent for long; only live jobs give up waiting.
            None if mode == Mode::Live => {
                let silence = micros(self.rules(start).settings().call_timeout_minutes, MICROS_PER_MINUTE);
                call.last_event.plus(silence)
            }
            None => return Time::MAX,
        };
        let lateness = self.lateness(start);
        if call.decided {
            return over.plus(lateness).max(call.due.changed());
        }
        over.max(call.due.changed()).plus(lateness)
    }

    pub fn session_forgotten_at(&self, ix: u32) -> Time {
        let ended_at = self.session_ended_at(ix);
        let settings = self.rules(ended_at).settings();
        let held = micros(settings.attribution_window_hours, MICROS_PER_HOUR)
            + micros(settings.session_timeout_minutes, MICROS_PER_MINUTE)
            + LATE_GRACE;
        ended_at.max(self.sessions[ix].due.changed()).plus(held)
    }

    /// Looks at everything whose time has come.
    pub fn fire(&mut self, out: &mut Effects) {
        self.is_deciding = true;
        // First, since what only waits may be a candidate of calls that are due.
        self.look_at_due(out);
        for thing in self.timers.waited(self.taken) {
            if self.due_of(thing).is_some_and(Due::is_waiting) {
                self.look_at(thing, out);
            }
        }
        // What waited for those that are gone now.
        self.look_at_due(out);
        self.is_deciding = false;
    }

    fn look_at_due(&mut self, out: &mut Effects) {
        while let Some(thing) = self.next_due_thing() {
            self.look_at(thing, out);
        }
    }

    fn look_at(&mut self, thing: Thing, out: &mut Effects) {
        match thing {
            Thing::Session(ix) => self.session_due(ix, out),
            Thing::Lease(ix) => self.lease_due(ix, out),
            Thing::Call(ix) => self.call_due(ix, out),
            Thing::Visitor(ix) => self.visitor_due(ix),
        }
    }

    fn next_due_thing(&mut self) -> Option<Thing> {
        let (sessions, leases, calls, visitors) = (&self.sessions, &self.leases, &self.calls, &self.visitors);
        self.timers.pop(self.watermark, |thing| match thing {
            Thing::Session(ix) => sessions.get(ix).map(|it| it.due.at()),
            Thing::Lease(ix) => leases.get(ix).map(|it| it.due.at()),
            Thing::Call(ix) => calls.get(ix).map(|it| it.due.at()),
            Thing::Visitor(ix) => visitors.get(ix)?.until(),
        })
    }

    fn session_due(&mut self, ix: u32, out: &mut Effects) {
        let turn = self.sessions[ix].due.at();
        self.sessions[ix].due.set_at(Time::MAX);
        if self.sessions[ix].due.is_open() {
            let at = self.session_decided_at(ix);
            if at > self.watermark {
                if self.mode == Mode::Live && !self.is_behind {
                    self.emit_session(ix, out);
                }
                return self.timers.set(&mut self.sessions[ix].due, at, Thing::Session(ix));
            }
            self.decide_session(ix, out);
        }
        let at = self.session_forgotten_at(ix);
        let at = at.max(self.leases_decided_at(ix).min(at.plus(micros(HOLD_MINUTES_MAX, MICROS_PER_MINUTE))));
        if self.is_kept(Thing::Session(ix), at, turn) {
            return;
        }
        let seen = self.session_ended_at(ix);
        if self.sessions[ix].leases().any(|lease| self.may_be_called(lease, seen)) {
            return self.timers.set(&mut self.sessions[ix].due, self.watermark.plus(LATE_GRACE), Thing::Session(ix));
        }
        // The last of its calls to go has it looked at again, and so has the visit before it.
        if self.sessions[ix].calls().is_empty() && self.is_next_to_go(ix) {
            self.forget_session(ix, out);
        }
    }

    /// When the last of its leases that are open will have been decided.
    fn leases_decided_at(&self, ix: u32) -> Time {
        let open = self.sessions[ix].leases().filter(|&lease| self.leases[lease].due.is_open());
        let last = open.map(|lease| self.lease_decided_at(lease)).max();
        last.map_or(Time::MIN, |at| at.plus(MICROS_PER_SECOND))
    }

    /// Whether a call is still to be decided that a lease may be the candidate of, such as one whose end was not told. `seen`: when something
    /// was seen of its session last.
    fn may_be_called(&self, lease: u32, seen: Time) -> bool {
        let granted_at = self.leases[lease].granted_at;
        let calls = self.terms(lease).map_or(&[][..], |terms| self.lines[terms.line].calls());
        let from = calls.partition_point(|(start, _)| *start < granted_at);
        calls[from..].iter().any(|(start, call)| self.calls[*call].due.is_open() && self.window_from(*start) <= seen)
    }

    /// Visits are forgotten from the first on, as those that are left are counted from there. Where there are many, what is seen again and
    /// again holds no others up.
    fn is_next_to_go(&self, ix: u32) -> bool {
        let session = &self.sessions[ix];
        let visits = &self.visitors[session.visitor].visits;
        session.taken_back || visits.first() == Some(&ix) || visits.len() > VISITS_IN_ORDER
    }

    /// A session that waits for nothing but others may go now.
    pub fn look_at_session_again(&mut self, ix: u32) {
        let Some(session) = self.sessions.get_mut(ix) else { return };
        if session.calls().is_empty() && session.due.is_waiting() {
            self.timers.set(&mut session.due, self.watermark, Thing::Session(ix));
        }
    }

    /// A session that nothing can refer to any more goes, and its leases with it. Its visitor still counts it.
    fn forget_session(&mut self, ix: u32, out: &mut Effects) {
        let visitor = self.sessions[ix].visitor;
        let source = self.touch_of(ix).map(|touch| touch.source);
        let was_first = self.visitors[visitor].visits.first() == Some(&ix);
        let holder = &mut self.visitors[visitor];
        if was_first && holder.forgotten_visits == 0 {
            holder.first_source = holder.first_source.or(source);
        }
        if !self.sessions[ix].taken_back {
            holder.forgotten_visits += 1;
        }
        for lease in self.sessions[ix].held_leases() {
            // Held for longer than a lease can be, it has a row all the same.
            if self.leases[lease].due.is_open() {
                self.decide_lease(lease, out);
            }
            self.note_lease_forgotten(lease);
            self.forget_lease(lease);
        }
        let name = self.session_name(ix);
        if !self.sessions[ix].written.is_nothing() || self.forgotten.sessions.knows(&name) {
            self.forgotten.sessions.note(&name);
        }
        self.remove_session(ix);
        if let Some(&next) = self.visitors[visitor].visits.first() {
            self.look_at_session_again(next);
        }
        self.remember_visitor(visitor, self.watermark);
    }

    fn lease_due(&mut self, ix: u32, out: &mut Effects) {
        let turn = self.leases[ix].due.at();
        self.leases[ix].due.set_at(Time::MAX);
        if self.leases[ix].due.is_open() {
            let at = self.lease_decided_at(ix);
            if at > self.watermark {
                return self.timers.set(&mut self.leases[ix].due, at, Thing::Lease(ix));
            }
            self.decide_lease(ix, out);
        }
        if self.leases[ix].session().is_some() {
            // It goes with its session.
            return;
        }
        let lease = &self.leases[ix];
        let window = micros(self.rules(lease.granted_at).settings().attribution_window_hours, MICROS_PER_HOUR);
        let at = lease.over_at().max(lease.due.changed()).plus(window + LATE_GRACE);
        if self.is_kept(Thing::Lease(ix), at, turn) {
            return;
        }
        // Its visitor's signs of life are its own, whatever they are.
        if self.may_be_called(ix, Time::MAX) {
            return self.timers.set(&mut self.leases[ix].due, self.watermark.plus(LATE_GRACE), Thing::Lease(ix));
        }
        self.note_lease_forgotten(ix);
        self.forget_lease(ix);
    }

    pub fn note_lease_forgotten(&mut self, ix: u32) {
        let Some(Lease { id, written, .. }) = self.leases.get(ix) else { return };
        let name = self.text_of(id);
        if !written.is_nothing() || self.forgotten.leases.knows(&name) {
            self.forgotten.leases.note(&name);
        }
    }

    fn call_due(&mut self, ix: u32, out: &mut Effects) {
        let due = self.calls[ix].due.at();
        self.calls[ix].due.set_at(Time::MAX);
        if self.calls[ix].due.is_open() {
            let at = self.call_decided_at(ix, self.mode);
            if at > self.watermark {
                return self.timers.set(&mut self.calls[ix].due, at, Thing::Call(ix));
            }
            self.decide_call(ix, due, out);
        }
        let call = &self.calls[ix];
        let at = call.ended_at().unwrap_or(call.last_event).max(call.due.changed()).plus(LATE_GRACE);
        if !call.due.is_open() && !self.is_kept(Thing::Call(ix), at, due) {
            self.forgotten.calls.note(&self.text_of(&self.calls[ix].id));
            self.forget_call(ix);
        }
    }

    pub fn decide_session(&mut self, ix: u32, out: &mut Effects) {
        self.sessions[ix].due.set_open(false);
        self.emit_session(ix, out);
        self.pages_counted(ix);
    }

    pub fn decide_lease(&mut self, ix: u32, out: &mut Effects) {
        self.leases[ix].due.set_open(false);
        self.emit_lease(ix, out);
    }

    pub fn decide_call(&mut self, ix: u32, due: Time, out: &mut Effects) {
        // Calls are due in order of time, so what was learned by then is the same however far the watermark has jumped.
        self.learner.pass(due);
        self.calls[ix].due.set_open(false);
        let first = !std::mem::replace(&mut self.calls[ix].decided, true);
        let told = out.moments.len();
        let decision = self.emit_call(ix, out);
        if !first {
            return self.tag_by_rules(ix, out);
        }
        // That the row is final is news, even where the row itself is none.
        if out.moments.len() == told {
            let row = self.current_row(ix);
            self.tell_attributed(row, out);
        }
        out.moments[told..].iter_mut().for_each(|moment| moment.beside = None);
        self.tag_by_rules(ix, out);
        self.learn(ix, &decision, due);
    }

    /// Decides all that is open, whatever the watermark. Calls go by start, since one may follow from another.
    pub fn settle(&mut self, out: &mut Effects) {
        let sessions: Vec<u32> = self.sessions.iter().filter(|(_, it)| it.due.is_open()).map(|(ix, _)| ix).collect();
        for ix in sessions {
            self.decide_session(ix, out);
            let at = self.session_forgotten_at(ix);
            self.timers.set(&mut self.sessions[ix].due, at, Thing::Session(ix));
        }
        loop {
            let mut calls: Vec<u32> = self.calls.iter().filter(|(_, it)| it.due.is_open()).map(|(ix, _)| ix).collect();
            if calls.is_empty() {
                break;
            }
            calls.sort_by_cached_key(|&ix| (self.calls[ix].start(), self.text_of(&self.calls[ix].id)));
            for ix in calls {
                self.decide_call(ix, self.watermark, out);
                self.timers.set(&mut self.calls[ix].due, self.watermark.plus(LATE_GRACE), Thing::Call(ix));
            }
        }
        let leases: Vec<u32> = self.leases.iter().filter(|(_, it)| it.due.is_open()).map(|(ix, _)| ix).collect();
        for ix in leases {
            self.decide_lease(ix, out);
        }
    }
}
