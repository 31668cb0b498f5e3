//! A person is forgotten: by the state at once, and by the tables as far as the [`Erasure`] says.

use super::account::Account;
use super::visitors::VisitorRest;
use super::{Effects, Erasure, Mode};
use crate::event::Erase;
use crate::phone::Phone;
use crate::row::Str;
use crate::time::Time;

impl Account {
    /// Their sessions, leases and calls leave the state, and no row of them is written again. Whoever comes by that name
    /// or calls from that telephone later is somebody new.
    pub fn erase(&mut self, at: Time, erase: &Erase<'_>, mode: Mode, out: &mut Effects) {
        // Rows of what was told before the erasure, though a clock was ahead.
        let mut until = at.max(self.watermark);
        if let Some(visitor) = erase.visitor_id.as_ref().and_then(|id| self.find_visitor(id)) {
            until = until.max(self.visitor_seen_until(visitor));
            let calls = self.calls_of_visitor(visitor);
            self.write_what_is_over(calls, mode, out);
            self.forget_visitor(visitor);
        }
        if let Some(phone) = erase.phone {
            let calls: Vec<u32> = self.calls_of(phone);
            until = calls.iter().map(|&ix| self.calls[ix].start()).fold(until, Time::max);
            self.write_what_is_over(calls.clone(), mode, out);
            self.forget_caller(phone);
            // Outbound calls are filed under nobody.
            for ix in calls.into_iter().filter(|&ix| self.calls.get(ix).is_some()).collect::<Vec<u32>>() {
                self.forget_call(ix);
            }
            self.forget_wishes(phone);
        }
        out.erasures.push(Erasure {
            account: self.name.clone(),
            visitor_id: erase.visitor_id.as_deref().map(Str::from),
            phone: erase.phone,
            until,
        });
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

    /// Calls to numbers that the visitor held: those that may be theirs.
    fn calls_of_visitor(&self, visitor: u32) -> Vec<u32> {
        let of_sessions = self.visits(visitor).into_iter().flat_map(|ix| self.sessions[ix].held_leases());
        let mut calls: Vec<u32> = Vec::new();
        for lease in of_sessions.chain(self.visitors[visitor].loose_leases().iter().copied()) {
            let Some(terms) = self.terms(lease) else { continue };
            let from = self.leases[lease].granted_at;
            calls.extend(self.lines[terms.line].calls().iter().filter(|(at, _)| *at >= from).map(|(_, call)| *call));
        }
        calls.sort_unstable();
        calls.dedup();
        calls
    }

    /// A bounded job has not written calls yet that are not decided: they happened, whoever called. A live one has.
    fn write_what_is_over(&mut self, mut calls: Vec<u32>, mode: Mode, out: &mut Effects) {
        calls.retain(|&ix| self.calls[ix].written.revision == 0 && self.calls[ix].is_over());
        calls.sort_by_cached_key(|&ix| (self.calls[ix].start(), self.text_of(&self.calls[ix].id)));
        for ix in calls {
            self.decide_call(ix, self.watermark, mode, out);
        }
    }
}
