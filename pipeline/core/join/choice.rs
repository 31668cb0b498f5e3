//! How a call is joined: who could be calling, what is known of each, and which of them it is.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use smallvec::SmallVec;

use super::account::Account;
use super::attribution::{Choice, Click, Evidence, Judge, Rates, RestsOn, State, is_moments_before, rounded, talk_bin};
use super::intern::Sym;
use super::leases::Line;
use super::links::{CALLERS_SUPPOSED, Link};
use super::visitors::Said;
use crate::event::{Direction, Outcome};
use crate::limits::CANDIDATES_PER_CALL;
use crate::phone::Phone;
use crate::row::{Method, SourceRow, Str};
use crate::settings::{Number, NumberKind};
use crate::source::channel;
use crate::time::{MICROS_PER_HOUR, Time, micros};

/// How a call is joined.
#[derive(Default)]
pub(super) struct Decision {
    pub method: Option<Method>,
    pub confidence: Option<f64>,
    pub source_confidence: Option<f64>,
    pub candidates: Vec<Candidate>,
    pub choice: Option<Choice>,
    pub chosen: Option<usize>,
    pub source: Option<Arc<SourceRow>>,
    pub is_static: bool,
}

/// One session that may have held the number, or a visitor's leases that fall into no session.
#[derive(Debug, PartialEq)]
pub(super) struct Candidate {
    pub session: Option<u32>,
    pub visitor: u32,
    pub lease: u32,
    /// Its session's.
    pub source: Option<Sym>,
    pub evidence: Evidence,
}

/// How likely sessions have called before on this number, by session.
pub(super) type Spent = SmallVec<[(u32, f64); 16]>;

/// Where a call finds its candidates.
pub(super) struct Place<'a> {
    pub ix: u32,
    pub start: Time,
    pub links: &'a [Link],
    spent: Spent,
}

impl Place<'_> {
    pub fn spent_by(&self, session: u32, called: u16) -> f64 {
        spent_by(&self.spent, session, called)
    }
}

/// How likely a session has called before. `called`: by calls that are no longer held, in thousandths.
pub(super) fn spent_by(spent: &Spent, session: u32, called: u16) -> f64 {
    let at = spent.binary_search_by_key(&session, |(session, _)| *session);
    (at.map_or(0.0, |at| spent[at].1) + f64::from(called) / 1_000.0).min(1.0)
}

impl Account {
    pub fn decide(&self, ix: u32) -> Decision {
        let Some(number) = self.number_called(ix) else { return Decision::default() };
        if let Some(number) = self.static_number(ix, number) {
            return static_decision(number);
        }
        let links = self.links_of(ix);
        let candidates = self.ordered_candidates(ix, &links);
        if candidates.is_empty() {
            return Decision::default();
        }
        let choice = self.judge(ix, &candidates, &links, |judge, evidence| judge.choose(evidence));
        self.decision(ix, candidates, choice)
    }

    /// Nothing for outbound calls, and those to no number.
    fn number_called(&self, ix: u32) -> Option<Phone> {
        let call = &self.calls[ix];
        call.tracking_number().number().filter(|_| call.direction() != Direction::Outbound)
    }

    /// By the settings in force at the call's start.
    fn static_number(&self, ix: u32, number: Phone) -> Option<&Number> {
        self.rules(self.calls[ix].start()).number(number).filter(|it| it.kind == NumberKind::Static)
    }

    /// Whose a call with these candidates would be if nothing were known of its caller's other calls: the visitor, if that is likely.
    pub fn decide_alone(&self, ix: u32, candidates: &[Candidate]) -> Option<(u32, f64)> {
        if candidates.is_empty() {
            return None;
        }
        let choice = self.judge(ix, candidates, &[], |judge, evidence| judge.unacquainted(evidence));
        choice.chosen.map(|at| (candidates[at].visitor, choice.probabilities[at]))
    }

    /// The latest seen first.
    fn ordered_candidates(&self, ix: u32, links: &[Link]) -> Vec<Candidate> {
        let mut candidates = self.candidates(ix, links);
        if candidates.len() > 1 {
            let key = |it: &Candidate| std::cmp::Reverse((it.evidence.last_sign, self.leases[it.lease].granted_at));
            candidates.sort_by(|a, b| {
                let name = |it: &Candidate| it.session.map(|session| self.session_name(session));
                key(a).cmp(&key(b)).then_with(|| name(a).cmp(&name(b)))
            });
            candidates.truncate(CANDIDATES_PER_CALL);
        }
        candidates
    }

    /// The pool that a call's number belongs to: by the latest of its leases.
    pub fn pool_of(&self, candidates: &[Candidate]) -> Option<Str> {
        let latest = candidates.iter().max_by_key(|it| self.leases[it.lease].granted_at)?;
        self.terms(latest.lease).map(|terms| self.shared.text(terms.pool))
    }

    fn judge<T>(
        &self,
        ix: u32,
        candidates: &[Candidate],
        links: &[Link],
        say: impl FnOnce(&Judge<'_>, &[Evidence]) -> T,
    ) -> T {
        let call = &self.calls[ix];
        let mut evidence: Vec<Evidence> = candidates.iter().map(|it| it.evidence.clone()).collect();
        if links.is_empty() {
            evidence.iter_mut().for_each(|it| it.link = 0.0);
        }
        let asked = evidence.iter_mut().filter(|it| it.asked.is_some());
        let is_asked = asked.map(|it| it.link = it.link.max(ASKER_LINK)).count() > 0;
        let pool = self.pool_of(candidates);
        let rates: &Rates = self.learner.rates(call.start(), pool.as_deref()).unwrap_or(&self.supposed);
        let present = share_links(candidates, &mut evidence);
        let before = self.called_before(ix, links, present);
        let judge = Judge {
            rates,
            anybody: if is_asked { before.anybody.min(1.0 / CALLERS_SUPPOSED) } else { before.anybody },
            is_callback: call.direction() == Direction::Callback,
            called_before: before.since,
            absent: before.absent,
            talk: self.talk(ix),
        };
        say(&judge, &evidence)
    }

    /// How long an answered call was talked that is over, by bin.
    pub fn talk(&self, ix: u32) -> Option<usize> {
        let call = &self.calls[ix];
        let answered = call.outcome(self.rules(call.start()).settings().greeting_seconds) == Some(Outcome::Answered);
        (answered && call.ended_at().is_some()).then(|| talk_bin(call.talk_seconds()))
    }

    fn decision(&self, ix: u32, candidates: Vec<Candidate>, mut choice: Choice) -> Decision {
        let call = &self.calls[ix];
        let threshold = self.rules(call.start()).settings().attribution_threshold;
        choice.chosen = choice.chosen.filter(|at| choice.probabilities[*at] >= threshold.unwrap_or(0.0));
        let source = self.likeliest_source(&candidates, &choice, threshold.unwrap_or(0.0));
        let method = choice.chosen.map(|at| match choice.rests_on {
            Some(RestsOn::Click) => Method::Click,
            Some(RestsOn::Caller) => Method::Caller,
            None if call.extension.get().is_some() => Method::Extension,
            None if candidates[at].evidence.is_active() => Method::Lease,
            None => Method::Window,
        });
        Decision {
            method,
            confidence: choice.chosen.map(|at| choice.probabilities[at]),
            source_confidence: source.as_ref().map(|(_, mass)| rounded(*mass).min(1.0)),
            source: source.map(|(source, _)| source),
            chosen: choice.chosen,
            candidates,
            choice: Some(choice),
            is_static: false,
        }
    }

    /// What the call came by, and how likely: by the chosen session's source, else by one that is likelier than none of them, and of `least`.
    /// Candidates of one campaign add up, whatever their keywords; where no session is chosen, what they differ in is not told.
    fn likeliest_source(&self, candidates: &[Candidate], choice: &Choice, least: f64) -> Option<(Arc<SourceRow>, f64)> {
        // In the order in which candidates name them. One source is held once, so its number tells it.
        let mut masses: SmallVec<[(Sym, f64); 16]> = SmallVec::new();
        for (candidate, probability) in candidates.iter().zip(&choice.probabilities) {
            let Some(source) = candidate.source else { continue };
            match masses.iter_mut().find(|(held, _)| *held == source) {
                Some((_, mass)) => *mass += probability,
                None => masses.push((source, *probability)),
            }
        }
        let row = |source: Sym| self.shared.sources.get(source);
        let is_of = |source: Sym, other: Sym| source == other || row(source).is_campaign_of(row(other));
        // The first source of each campaign, and what all of them have.
        let mut campaigns: SmallVec<[(Sym, f64); 16]> = SmallVec::new();
        for &(source, mass) in &masses {
            match campaigns.iter_mut().find(|(first, _)| is_of(*first, source)) {
                Some((_, all)) => *all += mass,
                None => campaigns.push((source, mass)),
            }
        }
        if let Some(at) = choice.chosen {
            let source = candidates[at].source?;
            let (_, mass) = campaigns.into_iter().find(|(first, _)| is_of(*first, source))?;
            return Some((row(source).clone(), mass));
        }
        let better = |best: Option<(Sym, f64)>, (source, mass): (Sym, f64)| {
            let is_best = mass > best.map_or(choice.none, |(_, most)| most) && mass >= least;
            if is_best { Some((source, mass)) } else { best }
        };
        let (source, mass) = campaigns.into_iter().fold(None, better)?;
        let mut told = row(source).clone();
        for &(other, _) in masses.iter().filter(|(other, _)| *other != source && is_of(*other, source)) {
            let (told, other) = (Arc::make_mut(&mut told), row(other));
            told.term.take_if(|term| Some(&*term) != other.term.as_ref());
            told.content.take_if(|content| Some(&*content) != other.content.as_ref());
        }
        Some((told, mass))
    }

    /// The sessions that held the number (and extension) before the call, and were seen within the window.
    fn candidates(&self, ix: u32, links: &[Link]) -> Vec<Candidate> {
        let call = &self.calls[ix];
        let Some((number, start)) = call.line else { return Vec::new() };
        let Some(line) = self.find_line(number) else { return Vec::new() };
        let line = &self.lines[line];
        let looked_at = self.leases_looked_at(line, start);
        if looked_at.is_empty() {
            return Vec::new();
        }
        let extension = call.extension.get();
        let seen_from = self.window_from(start);
        let place = Place { ix, start, links, spent: self.spent(ix, line, start) };
        let mut candidates = Vec::with_capacity(looked_at.len());
        // In the leases' order.
        let mut settled = line.settled().iter().peekable();
        for &lease in &line.leases[..looked_at.start] {
            settled.next_if(|it| it.lease == lease);
        }
        let mut held: Vec<(Option<u32>, u32, u32)> = Vec::new();
        for &lease in &line.leases[looked_at] {
            if let Some(it) =
                settled.next_if(|it| it.lease == lease).filter(|it| it.from <= start && extension.is_none())
            {
                if it.last_sign >= seen_from {
                    candidates.push(self.settled_candidate(&place, it));
                    debug_assert_eq!(candidates.last(), self.candidate_alone(&place, lease).as_ref());
                }
                continue;
            }
            if self.was_last_seen_before(lease, seen_from) {
                continue;
            }
            let is_dialled = || {
                let own = self.terms(lease).and_then(|terms| terms.extension);
                own.map(|own| self.shared.texts.get(own)) == extension
            };
            if extension.is_none() || is_dialled() {
                held.push((self.leases[lease].session(), self.lease_visitor(lease), lease));
            }
        }
        self.fetch(&held);
        // A session is one candidate, whoever its leases were granted to; without a session a visitor is. Stable: the leases of one stay in
        // order of their grant.
        let holder = |(session, visitor, _): &(Option<u32>, u32, u32)| (*session, session.map_or(*visitor, |_| 0));
        held.sort_by_key(holder);
        for group in held.chunk_by(|a, b| holder(a) == holder(b)) {
            candidates.extend(self.candidate(&place, group, seen_from));
        }
        candidates
    }

    /// Those of a number's leases that a call at `start` looks at: granted by then, and not surely over for too long.
    pub fn leases_looked_at(&self, line: &Line, start: Time) -> Range<usize> {
        let granted = line.leases.partition_point(|lease| self.leases[*lease].granted_at <= start);
        line.passed_over(self.window_from(start)).min(granted)..granted
    }

    /// When a session must have been seen for a call at `start` to be its own.
    pub fn window_from(&self, start: Time) -> Time {
        start.minus(micros(self.rules(start).settings().attribution_window_hours, MICROS_PER_HOUR))
    }

    /// Whether nothing was seen of a lease and its session at `from` or later, as far as that is told without looking at other leases.
    fn was_last_seen_before(&self, lease: u32, from: Time) -> bool {
        let lease = &self.leases[lease];
        let Some(session) = lease.session().filter(|_| lease.granted_at < from) else { return false };
        let session = &self.sessions[session];
        session.last_at() < from && session.has_one_lease() && lease.last_told(Time::MAX).is_none_or(|told| told < from)
    }

    /// Reads a little of everything that [`Account::candidate`] looks at, for all of them: each is some ten places in memory that no
    /// cache holds. One after the other each place would be waited for; side by side the processor waits for many at once.
    fn fetch(&self, held: &[(Option<u32>, u32, u32)]) {
        let mut read = 0;
        for &(session, visitor, lease) in held {
            read += self.leases[lease].fetch() + usize::from(self.visitors[visitor].rest.is_some());
            read += session.map_or(0, |session| self.sessions[session].fetch());
        }
        std::hint::black_box(read);
    }

    /// How likely sessions have made earlier calls to this number, other callers' or this one's.
    fn spent(&self, ix: u32, line: &Line, start: Time) -> Spent {
        let counts = |at, call| call != ix && (at < start || self.is_before(call, ix));
        self.spent_on(line, Time::MIN..=start, counts)
    }

    /// The same of the calls to a number within a time that count.
    pub fn spent_on(&self, line: &Line, within: RangeInclusive<Time>, counts: impl Fn(Time, u32) -> bool) -> Spent {
        let mut spent = Spent::new();
        let calls = line.calls();
        let upto = calls.partition_point(|(at, _)| at <= within.end());
        let from = calls[..upto].partition_point(|(at, _)| at < within.start());
        for &(_, call) in calls[from..upto].iter().filter(|(at, call)| counts(*at, *call)) {
            for &(session, likely) in &self.calls[call].likely {
                spent.push((session, f64::from(likely) / 1_000.0));
            }
        }
        spent.sort_unstable_by_key(|(session, _)| *session);
        spent.dedup_by(|next, held| {
            let same = next.0 == held.0;
            if same {
                held.1 = (held.1 + next.1).min(1.0);
            }
            same
        });
        spent
    }

    /// Of calls that start at once, the one of the lesser id is first.
    fn is_before(&self, call: u32, other: u32) -> bool {
        self.text_of(&self.calls[call].id) < self.text_of(&self.calls[other].id)
    }

    /// One candidate of all leases of a session: the active one, else the latest, is its lease. Nothing where it was last seen
    /// before `seen_from`.
    fn candidate(&self, place: &Place<'_>, group: &[(Option<u32>, u32, u32)], seen_from: Time) -> Option<Candidate> {
        let (ix, start) = (place.ix, place.start);
        let (session, visitor, latest) = group[group.len() - 1];
        let active = || group.iter().rev().map(|(_, _, lease)| *lease).find(|&it| self.leases[it].is_active(start));
        let last_sign = match session {
            Some(session) => self.last_sign(session, start),
            None => self.loose_sign(visitor, start),
        };
        let lease = active().unwrap_or(latest);
        let last_sign = last_sign.unwrap_or(self.leases[lease].granted_at);
        if last_sign < seen_from {
            return None;
        }
        let (state, since) = self.state_of(lease, last_sign, start);
        let shown = |last_sign: Time| last_sign.since(self.leases[group[0].2].granted_at);
        let clicks = session.map_or_else(SmallVec::new, |session| self.clicks(ix, session, visitor, start));
        let clicked = clicks.iter().max().map(|&at| {
            let quiet = session.and_then(|session| self.last_sign_but(session, start, &clicks));
            let quiet = quiet.unwrap_or(self.leases[lease].granted_at);
            let (state, since) = self.state_of(lease, quiet, start);
            Click { since: start.since(at), without: (state, start.since(since), shown(quiet)) }
        });
        let touch = session.and_then(|session| self.touch_of(session));
        let evidence = Evidence {
            last_sign,
            state,
            delay: start.since(since),
            clicked,
            asked: self.asked(ix, visitor, start),
            link: self.link(place.links, visitor, start),
            again: 0.0,
            spent: session.map_or(0.0, |session| place.spent_by(session, self.sessions[session].called())),
            moved: session.is_some_and(|session| self.has_moved(session, lease, start)),
            same_country: self.same_country(ix, touch.map(|touch| touch.place)),
            pages: session.map_or(0, |session| self.sessions[session].pages_by(start)),
            shown: shown(last_sign),
        };
        Some(Candidate { session, visitor, lease, source: touch.map(|touch| touch.source), evidence })
    }

    /// Of a session with no other lease.
    fn candidate_alone(&self, place: &Place<'_>, lease: u32) -> Option<Candidate> {
        self.candidate(place, &[(self.leases[lease].session(), self.lease_visitor(lease), lease)], Time::MIN)
    }

    /// What has become of a lease at `start`, and since when nothing was seen of its session.
    pub fn state_of(&self, lease: u32, last_sign: Time, start: Time) -> (State, Time) {
        let lease = &self.leases[lease];
        match lease.released_at().filter(|at| *at <= start) {
            _ if lease.is_active(start) => (State::Held, last_sign),
            Some(released) if released >= last_sign => (State::Released, released),
            // Something was seen of it since: it did not end with the lease.
            Some(_) | None => (State::Lapsed, last_sign),
        }
    }

    /// Whether the session was shown another number later.
    fn has_moved(&self, session: u32, lease: u32, start: Time) -> bool {
        let mut leases = self.sessions[session].leases();
        if leases.clone().nth(1).is_none() {
            return false;
        }
        let own = &self.leases[lease];
        let line = |lease: u32| self.terms(lease).map(|terms| terms.line);
        leases.any(|other| {
            let granted_at = self.leases[other].granted_at;
            granted_at > own.granted_at && granted_at <= start && line(other) != line(lease)
        })
    }

    /// The last sign of life of a visitor without a session: a grant or renewal of a lease that falls into none.
    fn loose_sign(&self, visitor: u32, start: Time) -> Option<Time> {
        let leases = self.visitors[visitor].loose_leases().iter().map(|&lease| &self.leases[lease]);
        let loose = leases.filter(|lease| lease.session().is_none());
        loose.filter_map(|lease| lease.last_told(start)).max()
    }

    /// When the session clicked on the call's number, moments before it.
    fn clicks(&self, ix: u32, session: u32, visitor: u32, start: Time) -> SmallVec<[Time; 4]> {
        let number = self.calls[ix].tracking_number().number();
        let in_session = |said: &&Said| match said.given {
            Some(given) => session == given,
            None => self.made_session_at(visitor, said.at) == Some(session),
        };
        let said = self.visitors[visitor].rest.as_ref().map_or(&[][..], |rest| &rest.clicks);
        let moments_before = said.iter().filter(|it| Some(it.phone) == number && is_moments_before(it.at, start));
        moments_before.filter(in_session).map(|said| said.at).collect()
    }

    /// How long before the call the visitor asked to be called at the caller's number; less than nothing if later.
    fn asked(&self, ix: u32, visitor: u32, start: Time) -> Option<i64> {
        let rest = self.visitors[visitor].rest.as_ref()?;
        let caller = self.calls[ix].caller().number()?;
        let said = rest.callbacks.iter().filter(|said| said.phone == caller);
        said.map(|said| start.since(said.at)).min_by_key(|since| (*since < 0, since.abs()))
    }

    /// Whether the caller's country is that of a session's place.
    pub fn same_country(&self, ix: u32, place: Option<Sym>) -> Option<bool> {
        let caller = self.calls[ix].country.as_ref()?.1.as_ref()?;
        let place = self.shared.places.get(place?);
        place.country.as_ref().map(|country| **country == **caller)
    }
}

/// How likely a telephone is the visitor's who asked to be called at it: most give their own.
const ASKER_LINK: f64 = 0.95;

/// How much likelier the session of the call before calls again than another one of its visitor.
const SAME_SESSION: f64 = 100.0;

/// Shares each visitor's link out among their sessions, by how likely each has called. How likely the telephone is a candidate's.
fn share_links(candidates: &[Candidate], evidence: &mut [Evidence]) -> f64 {
    let part = |it: &Evidence| 1.0 + SAME_SESSION * it.spent;
    // By visitor: the link, and the parts of all.
    let mut visitors: SmallVec<[(u32, f64, f64); 8]> = SmallVec::new();
    for (candidate, it) in candidates.iter().zip(&*evidence).filter(|(_, it)| it.link > 0.0) {
        match visitors.iter_mut().find(|(visitor, ..)| *visitor == candidate.visitor) {
            Some((_, _, parts)) => *parts += part(it),
            None => visitors.push((candidate.visitor, it.link, part(it))),
        }
    }
    for (candidate, it) in candidates.iter().zip(evidence).filter(|(_, it)| it.link > 0.0) {
        if let Some((_, link, parts)) = visitors.iter().find(|(visitor, ..)| *visitor == candidate.visitor) {
            it.again = link * part(it) / parts;
        }
    }
    visitors.iter().map(|(_, link, _)| link).sum()
}

/// A static number is its source's alone.
fn static_decision(number: &Number) -> Decision {
    let names_source = number.source.is_some() || number.medium.is_some() || number.campaign.is_some();
    let (source, medium) = (number.source.as_deref(), number.medium.as_deref());
    let (source, medium) = (source.unwrap_or("(not set)"), medium.unwrap_or("(not set)"));
    let row = names_source.then(|| {
        Arc::new(SourceRow {
            channel: channel(source, medium, number.campaign.as_deref()),
            source: source.into(),
            medium: medium.into(),
            campaign: number.campaign.as_deref().map(Str::from),
            term: None,
            content: None,
        })
    });
    Decision {
        method: Some(Method::Static),
        confidence: names_source.then_some(1.0),
        source_confidence: names_source.then_some(1.0),
        source: row,
        is_static: true,
        ..Decision::default()
    }
}
