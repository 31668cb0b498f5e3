//! What visitors do, and the sessions that it makes. A session is either given (the browser named it) or made
//! ([`super::made`]), from a visitor's run of events that name none.

use smallvec::SmallVec;

use super::account::Account;
use super::intern::{Campaign, Sym, Touch, hash_of};
use super::links::person_named;
use super::session::Session;
use super::thin::Starts;
use super::timeline::{Entry, What};
use super::visitors::Said;
use crate::event::{Heartbeat, PageView, WebEvent};
use crate::limits::{CLICKS_PER_VISITOR, LOOSE_HEARTBEATS_PER_VISITOR};
use crate::phone::Phone;
use crate::row::SourceRow;
use crate::source::Visit;
use crate::time::Time;

/// Where something of time `at` goes in a list by time: behind all of the same time.
pub(super) fn place_after<T>(list: &[T], at: Time, time: impl Fn(&T) -> Time) -> usize {
    match list.last() {
        Some(last) if time(last) > at => list.partition_point(|item| time(item) <= at),
        _ => list.len(),
    }
}

impl Account {
    pub fn page_view(&mut self, at: Time, view: &PageView<'_>, visit: Option<&Visit<'_>>) {
        let visitor = self.visitor(&view.visitor_id);
        if let Some(user) = &view.user_id {
            self.identify(visitor, user);
        }
        self.note_client(visitor, at, view);
        match &view.session_id {
            Some(id) => {
                let ix = self.given_session(id, visitor, at);
                let first = self.sessions[ix].first_page().is_none_or(|(first, _)| at < first);
                // The first says what the session is; a later one may tell an experiment.
                let is_told = first || view.experiment_id.is_some();
                let touch = if is_told { visit.map(|visit| self.touch(view, visit)) } else { None };
                let url = self.shared.texts.intern(&view.url);
                let started_at = self.sessions[ix].started_at();
                let is_first = self.add_page(ix, at, url, touch);
                self.session_seen(ix, at, is_first || at < started_at);
            }
            None => {
                let touch = visit.map(|visit| self.touch(view, visit));
                let url = self.shared.texts.intern(&view.url);
                self.own_event(visitor, Entry { at, what: What::Page { url, touch } });
            }
        }
    }

    /// The site says who the visitor is: their calls are linked to that person from now on.
    fn identify(&mut self, visitor: u32, user: &str) {
        // Apart from the names of browsers.
        let person = person_named(&format!("user {user}"));
        if self.visitors[visitor].rest.as_ref().is_some_and(|rest| rest.user == Some(person)) {
            return;
        }
        self.visitors[visitor].rest().user = Some(person);
        for session in self.visits(visitor) {
            self.unsettle(session);
            self.touch_calls_of(session);
        }
        self.touch_calls_on_loose_leases(visitor, Time::MIN);
    }

    pub fn web_event(&mut self, at: Time, web: &WebEvent<'_>) {
        let visitor = self.visitor(&web.visitor_id);
        let given = web.session_id.as_ref().map(|id| self.given_session(id, visitor, at));
        match given {
            Some(ix) => {
                let moved = self.add_sign(ix, at, What::Web);
                self.session_seen(ix, at, moved);
            }
            None => self.own_event(visitor, Entry { at, what: What::Web }),
        }
        let said = match &*web.name {
            "click_to_call" => web.number.map(|number| (number, false)),
            "callback_request" => {
                let phone = web.properties.as_ref().and_then(|properties| properties.get("phone"));
                phone.and_then(|phone| Phone::parse(phone.as_str()?).ok()).map(|phone| (phone, true))
            }
            _ => None,
        };
        if let Some((phone, is_callback)) = said {
            let rest = self.visitors[visitor].rest();
            let list = if is_callback { &mut rest.callbacks } else { &mut rest.clicks };
            if list.len() >= CLICKS_PER_VISITOR {
                list.remove(0);
            }
            let place = place_after(list, at, |said| said.at);
            list.insert(place, Said { at, phone, given });
            for session in self.visits(visitor) {
                self.unsettle(session);
                self.touch_calls_on_leases(session, at);
            }
            // Who asks to be called may have called before.
            let called_before = if is_callback { self.calls_of_phone(phone) } else { Default::default() };
            for call in called_before {
                self.touch_call(call);
            }
        }
    }

    pub fn heartbeat(&mut self, at: Time, beat: &Heartbeat<'_>) {
        let visitor = self.visitor(&beat.visitor_id);
        let session = match &beat.session_id {
            Some(id) => Some(self.given_session(id, visitor, at)),
            None => self.made_session_at(visitor, at),
        };
        match session {
            Some(ix) => {
                let moved = self.add_sign(ix, at, What::Heartbeat);
                self.session_seen(ix, at, moved);
            }
            None => {
                let rest = self.visitors[visitor].rest();
                if rest.heartbeats.len() < LOOSE_HEARTBEATS_PER_VISITOR {
                    rest.heartbeats.push(at);
                }
                self.sessionless_visitor_seen(visitor, at);
            }
        }
    }

    fn touch(&mut self, view: &PageView<'_>, visit: &Visit<'_>) -> Sym {
        let shared = &mut self.shared;
        let mut text = |text: &str| shared.texts.intern(text);
        let (source, medium) = (text(&visit.source), text(&visit.medium));
        let referrer = visit.referrer.map(&mut text);
        let language = visit.language.as_deref().map(&mut text);
        let utm = &visit.utm;
        let parts = [&utm.source, &utm.medium, &utm.campaign, &utm.term, &utm.content];
        let campaign = Campaign {
            utm: parts.iter().any(|part| part.is_some()).then(|| hash_of(&parts)),
            click: visit.click_id.as_ref().map(hash_of),
            experiment_id: view.experiment_id.as_deref().map(&mut text),
            experiment_variant: view.experiment_variant.as_deref().map(&mut text),
        };
        let mut texts = [&utm.campaign, &utm.term, &utm.content].map(|part| part.as_deref().map(&mut text));
        let [campaign_name, term, content] = texts.each_mut().map(|sym| sym.take().map(|sym| shared.text(sym)));
        let source = SourceRow {
            channel: visit.channel,
            source: shared.text(source),
            medium: shared.text(medium),
            campaign: campaign_name,
            term,
            content,
        };
        let touch = Touch {
            source: shared.sources.hold(source.into()),
            agent: shared.agents.hold(visit.agent.clone()),
            place: shared.places.hold(visit.place.clone()),
            referrer,
            language,
            campaign: (campaign != Campaign::default()).then(|| shared.campaigns.hold(campaign)),
        };
        shared.touches.hold(touch)
    }

    /// The session of that name; a new one begins where there is none.
    pub fn given_session(&mut self, name: &str, visitor: u32, at: Time) -> u32 {
        if let Some(ix) = self.find_session(name) {
            return ix;
        }
        let id = self.shared.name(name);
        let ix = match self.taken_back(visitor, |session| session.given == Some(id)) {
            Some(ix) => ix,
            None => {
                let ix = self.sessions.insert(Session::new(Some(id), visitor, at));
                self.sessions[ix].written = self.erased.written(name);
                if self.forgotten.sessions.knows(name) {
                    // It goes on, and is counted already.
                    let visits = &mut self.visitors[visitor].forgotten_visits;
                    *visits = visits.saturating_sub(1);
                }
                ix
            }
        };
        self.sessions[ix].restart(at);
        let sessions = &self.sessions;
        self.session_ids.list(id.hash(), ix, |ix| sessions[ix].given.map_or(0, |id| id.hash()));
        self.file_visit(ix);
        ix
    }

    /// The visitor's latest made session that began at `at` or before.
    pub fn made_session_at(&self, visitor: u32, at: Time) -> Option<u32> {
        let visits = &self.visitors[visitor].visits;
        visits.iter().rev().copied().find(|&ix| {
            let session = &self.sessions[ix];
            session.given.is_none() && session.started_at() <= at
        })
    }

    /// A session's last sign of life, its leases' too.
    pub fn session_ended_at(&self, ix: u32) -> Time {
        let session = &self.sessions[ix];
        let own = session.last_at();
        if !session.has_leases() {
            return own;
        }
        let of_leases = session.leases().filter_map(|lease| self.leases[lease].last_told(Time::MAX)).max();
        of_leases.map_or(own, |told| own.max(told))
    }

    /// The last sign of life at `at` or before, its leases' too.
    pub fn last_sign(&self, ix: u32, at: Time) -> Option<Time> {
        self.sessions[ix].last_sign(at).max(self.last_sign_of_leases(ix, at))
    }

    /// The same, if the session had not clicked then.
    pub fn last_sign_but(&self, ix: u32, at: Time, clicks: &[Time]) -> Option<Time> {
        let is_click = |entry: &Entry| matches!(entry.what, What::Web) && clicks.contains(&entry.at);
        let own = self.sessions[ix].entries().take_while(|entry| entry.at <= at).filter(|entry| !is_click(entry));
        own.last().map(|entry| entry.at).max(self.last_sign_of_leases(ix, at))
    }

    fn last_sign_of_leases(&self, ix: u32, at: Time) -> Option<Time> {
        let leases = self.sessions[ix].leases();
        leases.filter_map(|lease| self.leases[lease].last_told(at)).max()
    }

    /// Puts a sign of life in its place; whether the session's start changed.
    pub fn add_sign(&mut self, ix: u32, at: Time, what: What) -> bool {
        if self.sessions[ix].is_full() {
            let starts = self.starts_while(ix);
            self.sessions[ix].thin(&starts);
        }
        self.sessions[ix].add_sign(at, what)
    }

    /// Puts a page view in its place; whether it is the first now.
    pub fn add_page(&mut self, ix: u32, at: Time, url: Sym, touch: Option<Sym>) -> bool {
        let starts = if self.sessions[ix].is_full_of_pages() { self.starts_while(ix) } else { Starts::new() };
        let (is_first, let_go) = self.sessions[ix].add_page(at, url, touch, &starts);
        self.shared.let_go(let_go);
        is_first
    }

    /// When calls to its numbers started while it went on.
    fn starts_while(&self, ix: u32) -> Starts {
        let session = &self.sessions[ix];
        let lines = session.leases().filter_map(|lease| self.terms(lease)).map(|terms| terms.line);
        self.starts_on(lines, session.started_at(), session.last_at())
    }

    /// A sign of life of a session at `at`. `reshaped`: its start or its first page view is another than before.
    pub fn session_seen(&mut self, ix: u32, at: Time, reshaped: bool) {
        if reshaped {
            self.file_visit(ix);
            let visitor = self.sessions[ix].visitor;
            if self.visitors[visitor].visits.first() == Some(&ix) && self.visitors[visitor].visits.len() > 1 {
                self.visits_moved(visitor, 0, &[]);
            }
            self.touch_calls_of(ix);
        }
        self.touch_calls_on_leases(ix, at);
        if reshaped { self.reshape_session(ix) } else { self.touch_session(ix) }
    }

    /// Rows of calls that name this session tell its number of pages: those that told another one are decided anew. Done once it is
    /// over, since a row for each page would help nobody.
    pub fn pages_counted(&mut self, ix: u32) {
        let pages = self.sessions[ix].pages_count();
        let is_other = |call: &&u32| self.calls[**call].named.is_some_and(|(of, told)| of == ix && told != pages);
        let calls: SmallVec<[u32; 2]> = self.sessions[ix].calls().iter().filter(is_other).copied().collect();
        for call in calls {
            self.touch_call(call);
        }
    }

    /// Decides the calls anew for which the session is a candidate.
    pub fn touch_calls_of(&mut self, ix: u32) {
        if self.sessions[ix].calls().is_empty() {
            return;
        }
        for call in self.sessions[ix].calls().to_vec() {
            self.touch_call(call);
        }
    }
}
