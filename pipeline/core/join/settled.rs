//! What leases of decided sessions tell of any later call, side by side. Looked up anew each is some ten places in memory that no
//! cache holds, and a number that is called has a hundred of them within the window.
//!
//! It is no part of the state: all of it follows from sessions and leases, goes when one of those changes, and is made again
//! when the next call on the number is decided.

use super::account::Account;
use super::attribution::{Evidence, State};
use super::choice::{Candidate, Place};
use super::intern::Sym;
use super::leases::Line;
use super::links::Person;
use super::visitors::VisitorRest;
use crate::time::Time;

/// So many are held of an account at most, in 16 MiB. Then all go, and are made again.
const HELD_MOST: usize = 256 << 10;

/// What a given session and its only lease tell of calls that start at `from` or later: by then they have told everything.
pub(super) struct Settled {
    pub lease: u32,
    session: u32,
    visitor: u32,
    source: Option<Sym>,
    place: Option<Sym>,
    pages: u16,
    /// In thousandths.
    called: u16,
    /// Of the lease.
    state: State,
    /// A part of whom callers know the visitor by: nearly all are told apart from a caller's own by that.
    people: [u16; 2],
    pub from: Time,
    granted_at: Time,
    pub last_sign: Time,
    /// The last sign of life, or when the lease was given back.
    quiet_since: Time,
}

fn part(person: Person) -> u16 {
    person.get() as u16
}

impl Account {
    /// Holds what the leases of a call's number tell of later calls, as far as they are settled.
    pub fn settle_leases(&mut self, call: u32) {
        let Some((number, start)) = self.calls[call].line else { return };
        let Some(line_ix) = self.find_line(number) else { return };
        let mut before = self.lines[line_ix].take_settled().into_iter().peekable();
        let held = before.len();
        let line = &self.lines[line_ix];
        let looked_at = self.leases_looked_at(line, start);
        let (mut settled, mut new) = (Vec::with_capacity(held + 8), Vec::new());
        for (place, &lease) in line.leases[..looked_at.end].iter().enumerate() {
            if let Some(it) = before.next_if(|it| it.lease == lease) {
                settled.push(it);
            } else if looked_at.contains(&place)
                && let Some(it) = self.settled(lease)
            {
                new.push(it.session);
                settled.push(it);
            }
        }
        settled.extend(before);
        for session in new {
            self.sessions[session].set_settled(true);
        }
        self.settled_held = self.settled_held + settled.len() - held;
        self.lines[line_ix].set_settled(settled);
        if self.settled_held > HELD_MOST {
            self.settled_held = 0;
            for line in 0..self.lines.slots() {
                self.lines.get_mut(line).map(Line::take_settled);
            }
        }
    }

    /// Nothing where more may follow, or where it takes more than this to tell.
    fn settled(&self, ix: u32) -> Option<Settled> {
        let lease = &self.leases[ix];
        let session_ix = lease.session().filter(|_| !lease.loose && !lease.due.is_open())?;
        let session = &self.sessions[session_ix];
        let visitor = self.lease_visitor(ix);
        let says_more = |rest: &VisitorRest| !rest.clicks.is_empty() || !rest.callbacks.is_empty();
        if session.due.is_open()
            || !session.has_one_lease()
            || session.visitor != visitor
            || self.visitors[visitor].rest.as_deref().is_some_and(says_more)
        {
            return None;
        }
        let last_sign = self.last_sign(session_ix, Time::MAX).unwrap_or(lease.granted_at);
        let touch = session.touch().map(|touch| self.shared.touches.get(touch));
        let ends = [lease.over_at(), lease.granted_at, lease.released_at().unwrap_or(Time::MIN)];
        let from = ends.into_iter().fold(last_sign, Time::max);
        let (state, quiet_since) = self.state_of(ix, last_sign, from);
        Some(Settled {
            lease: ix,
            session: session_ix,
            visitor,
            source: touch.map(|touch| touch.source),
            place: touch.map(|touch| touch.place),
            pages: u16::try_from(session.pages_count()).ok()?,
            called: session.called(),
            state,
            people: [self.person(visitor), self.browser(visitor)].map(part),
            from,
            granted_at: lease.granted_at,
            last_sign,
            quiet_since,
        })
    }

    /// The session, its lease or its visitor changes.
    pub fn unsettle(&mut self, session: u32) {
        if let Some(session) = self.sessions.get_mut(session)
            && session.is_settled()
        {
            session.set_settled(false);
            for lease in session.held_leases() {
                let line = self.terms(lease).map(|terms| terms.line);
                let line = line.and_then(|line| self.lines.get_mut(line));
                if line.is_some_and(|line| line.drop_settled(lease)) {
                    self.settled_held -= 1;
                }
            }
        }
    }

    pub fn unsettle_lease(&mut self, lease: u32) {
        if let Some(session) = self.leases[lease].session() {
            self.unsettle(session);
        }
    }

    /// The candidate that a lease is which has told everything before the call.
    pub fn settled_candidate(&self, place: &Place<'_>, it: &Settled) -> Candidate {
        let is_known = place.links.iter().any(|link| it.people.contains(&part(link.person)));
        Candidate {
            session: Some(it.session),
            visitor: it.visitor,
            lease: it.lease,
            source: it.source,
            evidence: Evidence {
                last_sign: it.last_sign,
                state: it.state,
                delay: place.start.since(it.quiet_since),
                clicked: None,
                asked: None,
                link: if is_known { self.link(place.links, it.visitor, place.start) } else { 0.0 },
                again: 0.0,
                spent: place.spent_by(it.session, it.called),
                moved: false,
                same_country: self.same_country(place.ix, it.place),
                pages: u32::from(it.pages),
                shown: it.last_sign.since(it.granted_at),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_small() {
        assert_eq!(size_of::<Settled>(), 64);
    }
}
