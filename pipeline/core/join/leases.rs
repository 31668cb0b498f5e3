//! Who held which number when.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::account::Account;
use super::intern::{Sym, Terms, hash_of};
use super::name::Name;
use super::session::Written;
use super::settled::Settled;
use super::thin::{Spans, is_between};
use super::timers::Due;
use super::visits::place_after;
use super::{Effects, Mode};
use crate::event::{LeaseGranted, LeaseReleased, LeaseRenewed};
use crate::limits::{RENEWALS_PER_LEASE, SIGN_SPANS};
use crate::phone::Phone;
use crate::time::Time;

const MICROS_PER_MILLISECOND: i64 = 1_000;

#[derive(Serialize, Deserialize)]
pub(super) struct Lease {
    pub id: Name,
    /// It names no session.
    pub loose: bool,
    /// `holder` is a session: the one it names, or the made one that it falls into, if there is any.
    in_session: bool,
    /// Nothing as long as only renewals or the release are known: the grant is still to come.
    pub terms: Option<Sym>,
    /// The session that holds it, else its visitor.
    holder: u32,
    /// The one end that was told, in milliseconds since the grant, unless `rest` knows of more.
    hold: u32,
    pub granted_at: Time,
    rest: Option<Box<Rest>>,
    pub due: Due,
    pub written: Written,
}

/// What few leases have, or not for long.
#[derive(Default, Serialize, Deserialize)]
struct Rest {
    /// What was told of its end: when, and the end. By time, then arrival; the grant's is the first. Where this is empty,
    /// the grant alone told of it.
    ends: Vec<(Time, Time)>,
    /// Renewals that became one with the one before.
    let_go: u32,
    released_at: Option<Time>,
    /// The visitor of a lease whose session is another's.
    visitor: Option<u32>,
}

/// What is known of a tracking number, each by time.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub number: Phone,
    /// By the time of their grant.
    pub leases: Vec<u32>,
    /// Most numbers have none most of the time.
    calls: Option<Box<Called>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Called {
    /// By their start.
    calls: Vec<(Time, u32)>,
    /// So many of the number's leases, from the first, are decided sessions' that were seen last at `seen_until` or before: no call
    /// need look at them that asks for later ones. It is told by the rest, and may always be 0.
    #[serde(skip)]
    passed: usize,
    #[serde(skip)]
    seen_until: Option<Time>,
    /// Of some of the number's leases, in their order.
    #[serde(skip)]
    settled: Vec<Settled>,
}

impl Line {
    pub fn calls(&self) -> &[(Time, u32)] {
        self.calls.as_deref().map_or(&[], |called| &called.calls)
    }

    pub fn add_call(&mut self, start: Time, call: u32) {
        let calls = &mut self.calls.get_or_insert_default().calls;
        calls.insert(place_after(calls, start, |(at, _)| *at), (start, call));
    }

    pub fn drop_call(&mut self, call: u32) {
        if let Some(called) = &mut self.calls {
            called.calls.retain(|(_, held)| *held != call);
        }
        if self.calls().is_empty() {
            self.calls = None;
        }
    }

    /// How many of its leases, from the first, were surely seen last before `from`.
    pub fn passed_over(&self, from: Time) -> usize {
        let called = self.calls.as_deref().filter(|called| called.seen_until.is_some_and(|seen| seen < from));
        called.map_or(0, |called| called.passed)
    }

    /// Something may be seen of a lease of that time: it is to be looked at again.
    fn look_again(&mut self, granted_at: Time) {
        if let Some(called) = self.calls.as_deref_mut().filter(|called| called.seen_until >= Some(granted_at)) {
            (called.passed, called.seen_until) = (0, None);
        }
    }

    pub fn settled(&self) -> &[Settled] {
        self.calls.as_deref().map_or(&[], |called| &called.settled)
    }

    pub fn take_settled(&mut self) -> Vec<Settled> {
        self.calls.as_deref_mut().map(|called| std::mem::take(&mut called.settled)).unwrap_or_default()
    }

    /// Held as long as the number has calls.
    pub fn set_settled(&mut self, settled: Vec<Settled>) {
        if let Some(called) = self.calls.as_deref_mut() {
            called.settled = settled;
        }
    }

    /// Whether it was held.
    pub fn drop_settled(&mut self, lease: u32) -> bool {
        let Some(called) = self.calls.as_deref_mut() else { return false };
        let place = called.settled.iter().position(|it| it.lease == lease);
        place.map(|place| called.settled.remove(place)).is_some()
    }

    fn add_lease(&mut self, place: usize, lease: u32, granted_at: Time) {
        self.look_again(granted_at);
        if self.leases.len() == self.leases.capacity() {
            // By an eighth: numbers are leased again and again for days.
            self.leases.reserve_exact(self.leases.len() / 8 + 1);
        }
        self.leases.insert(place, lease);
    }

    fn drop_lease(&mut self, lease: u32) {
        let Some(place) = self.leases.iter().position(|held| *held == lease) else { return };
        self.leases.remove(place);
        if let Some(called) = self.calls.as_deref_mut().filter(|called| place < called.passed) {
            called.passed -= 1;
        }
    }
}

impl Lease {
    fn new(id: Name, at: Time) -> Lease {
        Lease {
            id,
            loose: false,
            in_session: false,
            terms: None,
            holder: 0,
            hold: NOT_TOLD,
            granted_at: at,
            rest: None,
            due: Due::default(),
            written: Written::default(),
        }
    }

    /// What was told of its end, by time: when, and the end.
    pub fn ends(&self) -> impl Iterator<Item = (Time, Time)> {
        let told = self.rest.as_ref().map_or(&[][..], |rest| &rest.ends);
        let own = (told.is_empty() && self.hold != NOT_TOLD)
            .then(|| (self.granted_at, self.granted_at.plus(i64::from(self.hold) * MICROS_PER_MILLISECOND)));
        own.into_iter().chain(told.iter().copied())
    }

    fn set_ends(&mut self, ends: Vec<(Time, Time)>) {
        self.hold = NOT_TOLD;
        if let &[(told_at, end)] = &ends[..]
            && self.terms.is_some()
            && told_at == self.granted_at
            && end.since(told_at) % MICROS_PER_MILLISECOND == 0
            && let Ok(hold) = u32::try_from(end.since(told_at) / MICROS_PER_MILLISECOND)
            && hold != NOT_TOLD
        {
            self.hold = hold;
            if let Some(rest) = &mut self.rest {
                rest.ends = Vec::new();
            }
        } else {
            self.rest().ends = ends;
        }
        self.tidy();
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    fn tidy(&mut self) {
        let idle = |rest: &Rest| rest.ends.is_empty() && rest.released_at.is_none() && rest.visitor.is_none();
        if self.rest.as_deref().is_some_and(idle) {
            self.rest = None;
        }
    }

    pub fn released_at(&self) -> Option<Time> {
        self.rest.as_ref()?.released_at
    }

    /// The session that holds it, if there is one.
    pub fn session(&self) -> Option<u32> {
        self.in_session.then_some(self.holder)
    }

    /// Held at `at`, by what was told until then: from the grant until the latest end or the release.
    pub fn is_active(&self, at: Time) -> bool {
        let released = self.released_at().is_some_and(|released| released <= at);
        let told = self.ends().take_while(|(told_at, _)| *told_at <= at);
        !released && self.granted_at <= at && told.map(|(_, end)| end).max().is_some_and(|end| at < end)
    }

    /// The latest end that was told at all.
    pub fn expires_at(&self) -> Time {
        self.ends().map(|(_, end)| end).max().unwrap_or(self.granted_at)
    }

    /// From when on it is surely over.
    pub fn over_at(&self) -> Time {
        self.released_at().map_or(self.expires_at(), |released| released.min(self.expires_at()))
    }

    /// The last grant or renewal at `at` or before.
    pub fn last_told(&self, at: Time) -> Option<Time> {
        self.ends().map(|(told_at, _)| told_at).take_while(|told_at| *told_at <= at).last()
    }

    /// Reads one place of each piece of memory that it has: see [`Account::fetch`].
    pub fn fetch(&self) -> usize {
        self.rest.as_ref().map_or(0, |rest| rest.ends.first().map_or(0, |(told_at, _)| told_at.0 as usize & 1))
    }

    pub fn renewals(&self) -> u32 {
        let let_go = self.rest.as_ref().map_or(0, |rest| rest.let_go);
        self.ends().count().saturating_sub(1) as u32 + let_go
    }
}

/// Makes renewals one with the one before where the lease was held at all times between, so that none but signs of life are lost: of each
/// span the first stays, and what was told last, of all and before each of `calls`. Where there are more still, the oldest two become one.
fn thin(ends: &mut Vec<(Time, Time)>, calls: &[Time]) {
    let Some((&(first, _), &(last, _))) = ends.first().zip(ends.last()) else { return };
    let (spans, mut until) = (Spans::of(first, last), Time::MIN);
    let mut kept: Vec<(Time, Time)> = Vec::new();
    for (at, &(told_at, end)) in ends.iter().enumerate() {
        let next = ends.get(at + 1).map_or(Time::MAX, |(next, _)| *next);
        match kept.last_mut() {
            Some(before)
                if told_at <= until
                    && told_at != last
                    && !spans.are_apart(before.0, told_at)
                    && !is_between(calls, told_at, next) =>
            {
                before.1 = before.1.max(end);
            }
            _ => kept.push((told_at, end)),
        }
        until = until.max(end);
    }
    while kept.len() > RENEWALS_PER_LEASE - SIGN_SPANS / 2 {
        let oldest = kept.remove(0);
        kept[0].1 = kept[0].1.max(oldest.1);
    }
    *ends = kept;
}

/// Of `hold`: `rest` has the ends, if there are any.
const NOT_TOLD: u32 = u32::MAX;

impl Account {
    pub fn lease_granted(&mut self, at: Time, told: &LeaseGranted<'_>, out: &mut Effects) {
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
        let terms = Terms {
            line: self.line(told.number),
            pool: self.shared.texts.intern(&told.pool),
            extension: told.extension.as_deref().map(|it| self.shared.texts.intern(it)),
        };
        let line = terms.line;
        let terms = self.shared.terms.hold(terms);
        let lease = &mut self.leases[ix];
        let mut ends: Vec<(Time, Time)> = lease.ends().collect();
        ends.insert(0, (at, told.expires_at));
        ends.sort_by_key(|(told_at, _)| *told_at);
        lease.granted_at = at;
        lease.terms = Some(terms);
        lease.loose = session.is_none();
        (lease.in_session, lease.holder) = (false, visitor);
        lease.set_ends(ends);
        let leases = &self.leases;
        let place = place_after(&self.lines[line].leases, at, |lease| leases[*lease].granted_at);
        self.lines[line].add_lease(place, ix, at);
        match session {
            Some(session) => self.hold(ix, session),
            None => {
                self.visitors[visitor].rest().loose_leases.push(ix);
                self.place_loose_lease(ix);
                self.sessionless_visitor_seen(visitor, at);
                self.touch_calls_on_loose_leases(visitor, at);
            }
        }
        self.touch_lease(ix);
        if self.mode == Mode::Live {
            self.emit_lease(ix, out);
        }
    }

    pub fn lease_renewed(&mut self, at: Time, told: &LeaseRenewed<'_>) {
        let ix = self.lease(&told.lease_id, at);
        let lease = &mut self.leases[ix];
        let mut ends: Vec<(Time, Time)> = lease.ends().collect();
        if ends.len() >= RENEWALS_PER_LEASE {
            let line = lease.terms.map(|terms| self.shared.terms.get(terms).line);
            let starts = self.starts_on(line.into_iter(), ends[0].0, ends[ends.len() - 1].0);
            let all = ends.len();
            thin(&mut ends, &starts);
            self.leases[ix].rest().let_go += (all - ends.len()) as u32;
        }
        let lease = &mut self.leases[ix];
        let place = place_after(&ends, at, |(told_at, _)| *told_at);
        ends.insert(place, (at, told.expires_at));
        lease.set_ends(ends);
        let session = lease.session();
        match session {
            Some(session) => {
                let moved = self.sessions[session].add_sign_of_lease(at);
                self.session_seen(session, at, moved);
            }
            None if self.leases[ix].terms.is_some() => self.touch_calls_on_loose_leases(self.lease_visitor(ix), at),
            // Nobody's yet, and on no number: the grant is still to come.
            None => {}
        }
        self.touch_lease(ix);
    }

    pub fn lease_released(&mut self, at: Time, told: &LeaseReleased<'_>) {
        let ix = self.lease(&told.lease_id, at);
        let rest = self.leases[ix].rest();
        rest.released_at = Some(rest.released_at.map_or(at, |released| released.min(at)));
        self.touch_calls_on(ix, at);
        self.touch_lease(ix);
    }

    fn lease(&mut self, id: &str, at: Time) -> u32 {
        if let Some(ix) = self.find_lease(id) {
            return ix;
        }
        let id = self.shared.name(id);
        let ix = self.leases.insert(Lease::new(id, at));
        let leases = &self.leases;
        self.lease_ids.list(id.hash(), ix, |ix| leases[ix].id.hash());
        ix
    }

    pub fn find_line(&self, number: Phone) -> Option<u32> {
        self.line_numbers.find(hash_of(&number), |ix| self.lines[ix].number == number)
    }

    /// What is known of a number.
    pub fn line(&mut self, number: Phone) -> u32 {
        if let Some(ix) = self.find_line(number) {
            return ix;
        }
        let ix = self.lines.insert(Line { number, leases: Vec::new(), calls: None });
        let lines = &self.lines;
        self.line_numbers.list(hash_of(&number), ix, |ix| hash_of(&lines[ix].number));
        ix
    }

    /// Lets a number go of which nothing is known any more.
    pub fn tidy_line(&mut self, ix: u32) {
        let line = &self.lines[ix];
        if line.calls().is_empty()
            && line.leases.is_empty()
            && let Some(line) = self.lines.remove(ix)
        {
            self.line_numbers.unlist(hash_of(&line.number), ix);
        }
    }

    pub fn terms(&self, ix: u32) -> Option<&Terms> {
        self.leases[ix].terms.map(|terms| self.shared.terms.get(terms))
    }

    /// Whose lease it is; of a lease that was not granted yet, nobody's.
    pub fn lease_visitor(&self, ix: u32) -> u32 {
        let lease = &self.leases[ix];
        match lease.session() {
            Some(session) => {
                lease.rest.as_ref().and_then(|rest| rest.visitor).unwrap_or_else(|| self.sessions[session].visitor)
            }
            None => lease.holder,
        }
    }

    /// The session holds the lease: its grant and renewals are signs of the session's life.
    fn hold(&mut self, ix: u32, session: u32) {
        self.look_again_at(ix);
        let visitor = self.lease_visitor(ix);
        let is_others = self.sessions[session].visitor != visitor;
        let lease = &mut self.leases[ix];
        (lease.in_session, lease.holder) = (true, session);
        if is_others {
            lease.rest().visitor = Some(visitor);
        }
        let holder = &mut self.sessions[session];
        holder.add_lease(ix);
        let mut moved = false;
        for (told_at, _) in lease.ends() {
            moved |= holder.add_sign_of_lease(told_at);
        }
        self.session_seen(session, self.leases[ix].granted_at, moved);
    }

    /// The lease is its visitor's, and no session's.
    pub fn hold_no_more(&mut self, ix: u32, visitor: u32) {
        self.look_again_at(ix);
        let lease = &mut self.leases[ix];
        (lease.in_session, lease.holder) = (false, visitor);
        if let Some(rest) = &mut lease.rest {
            rest.visitor = None;
        }
        lease.tidy();
    }

    fn look_again_at(&mut self, ix: u32) {
        self.unsettle_lease(ix);
        let granted_at = self.leases[ix].granted_at;
        let line = self.terms(ix).map(|terms| terms.line);
        if let Some(line) = line.and_then(|line| self.lines.get_mut(line)) {
            line.look_again(granted_at);
        }
    }

    /// A session that was decided may be seen later than it was.
    pub fn look_again_at_leases(&mut self, session: u32) {
        if self.sessions[session].has_leases() {
            self.sessions[session].held_leases().into_iter().for_each(|lease| self.look_again_at(lease));
        }
    }

    /// Notes which leases of its number a call, and later ones, need not look at.
    pub fn pass_over_leases(&mut self, call: u32) {
        let Some((number, start)) = self.calls[call].line else { return };
        let Some(line_ix) = self.find_line(number) else { return };
        let from = self.window_from(start);
        let line = &self.lines[line_ix];
        let Some(called) = line.calls.as_deref() else { return };
        let (mut passed, mut seen_until) = (called.passed, called.seen_until);
        for &lease in line.leases.get(passed..).unwrap_or_default() {
            let granted_at = self.leases[lease].granted_at;
            let session = self.leases[lease].session().filter(|&session| !self.sessions[session].due.is_open());
            let seen = session.map(|session| self.session_ended_at(session).max(granted_at));
            let Some(seen) = seen.filter(|seen| *seen < from) else { break };
            passed += 1;
            seen_until = seen_until.max(Some(seen));
        }
        if let Some(called) = self.lines[line_ix].calls.as_deref_mut() {
            (called.passed, called.seen_until) = (passed, seen_until);
        }
    }

    /// Gives a lease without a session to the made session that it falls into.
    pub fn place_loose_lease(&mut self, ix: u32) {
        if self.leases[ix].terms.is_none() {
            return;
        }
        // A loose lease is always of its session's visitor.
        let visitor = self.lease_visitor(ix);
        self.hold_no_more(ix, visitor);
        if let Some(session) = self.made_session_at(visitor, self.leases[ix].granted_at) {
            self.hold(ix, session);
        }
        // Its row names the session.
        self.touch_lease(ix);
    }

    /// Decides the calls anew that a sign of this session's life at `from` may change.
    pub fn touch_calls_on_leases(&mut self, session: u32, from: Time) {
        if !self.sessions[session].has_leases() {
            return;
        }
        for lease in self.sessions[session].held_leases() {
            self.touch_calls_on(lease, from);
        }
    }

    /// The same, where none of a visitor's sessions was seen: their leases that fall into none share their signs of life.
    pub fn touch_calls_on_loose_leases(&mut self, visitor: u32, from: Time) {
        for lease in self.visitors[visitor].loose_leases().to_vec() {
            self.touch_calls_on(lease, from);
        }
    }

    /// Decides the calls anew that came on a lease's number at `from` or later.
    pub fn touch_calls_on(&mut self, lease: u32, from: Time) {
        let Some(terms) = self.terms(lease) else { return };
        let calls = self.lines[terms.line].calls();
        let from = from.max(self.leases[lease].granted_at);
        if calls.last().is_none_or(|(at, _)| *at < from) {
            return;
        }
        let first = calls.partition_point(|(at, _)| *at < from);
        let calls: SmallVec<[u32; 8]> = calls[first..].iter().map(|(_, call)| *call).collect();
        for call in calls {
            self.touch_call(call);
        }
    }

    /// Takes a lease from its number, session and visitor; it keeps its name and what was told of its end.
    fn unfile_lease(&mut self, ix: u32) {
        self.unsettle_lease(ix);
        let Some(terms) = self.terms(ix) else { return };
        let line = terms.line;
        let (visitor, session) = (self.lease_visitor(ix), self.leases[ix].session());
        self.lines[line].drop_lease(ix);
        self.tidy_line(line);
        if let Some(session) = session.and_then(|session| self.sessions.get_mut(session)) {
            session.drop_lease(ix);
        }
        if let Some(visitor) = self.visitors.get_mut(visitor) {
            visitor.drop_loose_lease(ix);
        }
        self.hold_no_more(ix, visitor);
        self.shared.let_go(1);
        // Of one instant, the grant's own end stands first.
        let lease = &mut self.leases[ix];
        let mut ends: Vec<(Time, Time)> = lease.ends().collect();
        if let Some(place) = ends.iter().position(|(told_at, _)| *told_at == lease.granted_at) {
            ends.remove(place);
        }
        lease.terms = None;
        lease.set_ends(ends);
    }

    /// A grant gives way to an earlier one: its session is as if it had never held the lease.
    fn take_back_grant(&mut self, ix: u32) {
        let (holder, visitor, granted_at) =
            (self.leases[ix].session(), self.lease_visitor(ix), self.leases[ix].granted_at);
        self.touch_calls_on(ix, granted_at);
        self.unfile_lease(ix);
        let Some(session) = holder else { return self.touch_calls_on_loose_leases(visitor, granted_at) };
        let leases = self.sessions[session].leases();
        let of_leases = leases.filter_map(|lease| self.leases[lease].ends().next()).map(|(told_at, _)| told_at);
        let own = self.sessions[session].entries().next().map(|entry| entry.at);
        let Some(first) = own.into_iter().chain(of_leases).min() else {
            self.touch_calls_of(session);
            return self.retract_session(session);
        };
        if self.sessions[session].given.is_some() {
            self.sessions[session].begin(first);
        }
        self.session_seen(session, self.sessions[session].started_at(), true);
    }

    pub fn forget_lease(&mut self, ix: u32) {
        self.unfile_lease(ix);
        if let Some(lease) = self.leases.remove(ix) {
            self.lease_ids.unlist(lease.id.hash(), ix);
            self.shared.let_go(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_small() {
        assert_eq!(size_of::<Option<Lease>>(), 72);
    }
}
