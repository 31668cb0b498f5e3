//! Visitors and their sessions. A session is either given (the browser named it) or made, from a visitor's run of
//! events that name none.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::account::{Account, unlist};
use super::decide::Due;
use super::intern::hash_of;
use crate::event::{Heartbeat, PageView, WebEvent};
use crate::id::Id;
use crate::limits::{CLICKS_PER_VISITOR, LOOSE_HEARTBEATS_PER_VISITOR, PAGES_PER_SESSION, SIGNS_PER_SESSION};
use crate::phone::Phone;
use crate::row::{SourceRow, Str};
use crate::source::{Agent, ClickIdType, Place, Visit};
use crate::time::{MICROS_PER_MINUTE, Time};

#[derive(Serialize, Deserialize)]
pub(super) struct Visitor {
    pub id: Id,
    /// All sessions that are held, by start.
    pub visits: SmallVec<[u32; 2]>,
    /// Sessions that came before those, and are forgotten.
    pub forgotten_visits: u32,
    /// The source of visit 1, once that is forgotten.
    pub first_source: Option<Arc<SourceRow>>,
    /// Leases that name no session.
    pub loose_leases: SmallVec<[u32; 2]>,
    pub rest: Option<Box<VisitorRest>>,
    pub due: Due,
}

/// What few visitors have.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct VisitorRest {
    /// Heartbeats that name no session, before any that could have them.
    pub heartbeats: Vec<Time>,
    /// `click_to_call`, and the number.
    pub clicks: Vec<Said>,
    /// `callback_request`, and the number to call.
    pub callbacks: Vec<Said>,
    /// Made sessions that were taken back: one that begins when one of them did is that one again.
    pub taken_back: Vec<u32>,
}

/// A number that a visitor named.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Said {
    pub at: Time,
    pub phone: Phone,
    /// The session that the event named; nothing if it named none.
    pub given: Option<u32>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Session {
    /// The browser's name for it; a made session has none.
    pub given: Option<Id>,
    pub visitor: u32,
    pub started_at: Time,
    pub ended_at: Time,
    /// By time, then arrival.
    pub pages: Vec<Page>,
    /// Page views that were let go from the middle of `pages`.
    pub pages_let_go: u32,
    /// All signs of life but page views.
    pub signs: Vec<Sign>,
    pub leases: SmallVec<[u32; 2]>,
    /// Calls for which this session is a candidate.
    pub calls: Vec<u32>,
    /// A made session that turned out not to exist, though a row of it was written.
    pub taken_back: bool,
    pub due: Due,
    pub written: Written,
}

/// What was written of a thing: the next row counts only if it differs.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    pub revision: u32,
    pub hash: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Page {
    pub at: Time,
    pub url: Str,
    /// What this page view says of its session, if it is the first. Given sessions keep it for the first alone; a page
    /// view of a made session may become the first when something late splits the run.
    pub touch: Option<Arc<Touch>>,
}

/// What a session's first page view says.
#[derive(Serialize, Deserialize)]
pub(super) struct Touch {
    pub source: Arc<SourceRow>,
    pub click_id: Option<(ClickIdType, Str)>,
    /// The hash of all `utm_*` together; nothing if there are none.
    pub utm: Option<u64>,
    pub referrer: Option<Str>,
    pub experiment_id: Option<Str>,
    pub experiment_variant: Option<Str>,
    pub agent: Arc<Agent>,
    pub place: Arc<Place>,
    pub language: Option<Str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum SignKind {
    WebEvent,
    Heartbeat,
    /// A grant or renewal: it stands with its lease, too.
    Lease,
}

/// A sign of life: its time and kind in 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sign(i64);

impl Sign {
    pub fn new(at: Time, kind: SignKind) -> Sign {
        Sign(at.0 << 2 | kind as i64)
    }
    pub fn at(self) -> Time {
        Time(self.0 >> 2)
    }
    pub fn kind(self) -> SignKind {
        match self.0 & 3 {
            0 => SignKind::WebEvent,
            1 => SignKind::Heartbeat,
            _ => SignKind::Lease,
        }
    }
}

impl Visitor {
    pub fn new(id: Id) -> Visitor {
        Visitor {
            id,
            visits: SmallVec::new(),
            forgotten_visits: 0,
            first_source: None,
            loose_leases: SmallVec::new(),
            rest: None,
            due: Due::default(),
        }
    }
}

impl Session {
    pub fn new(given: Option<Id>, visitor: u32, at: Time) -> Session {
        Session {
            given,
            visitor,
            started_at: at,
            ended_at: at,
            pages: Vec::new(),
            pages_let_go: 0,
            signs: Vec::new(),
            leases: SmallVec::new(),
            calls: Vec::new(),
            taken_back: false,
            due: Due::default(),
            written: Written::default(),
        }
    }

    pub fn touch(&self) -> Option<&Arc<Touch>> {
        self.pages.first()?.touch.as_ref()
    }

    pub fn source(&self) -> Option<&Arc<SourceRow>> {
        self.touch().map(|touch| &touch.source)
    }

    /// The last sign of life at `at` or before.
    pub fn last_sign(&self, at: Time) -> Option<Time> {
        let page = self.pages.partition_point(|page| page.at <= at);
        let sign = self.signs.partition_point(|sign| sign.at() <= at);
        let page = page.checked_sub(1).map(|ix| self.pages[ix].at);
        let sign = sign.checked_sub(1).map(|ix| self.signs[ix].at());
        page.max(sign)
    }

    /// The page view that was on screen at `at`.
    pub fn page_at(&self, at: Time) -> Option<&Page> {
        let after = self.pages.partition_point(|page| page.at <= at);
        self.pages.get(after.checked_sub(1)?)
    }

    pub fn pages_count(&self) -> u32 {
        self.pages.len() as u32 + self.pages_let_go
    }

    /// Puts a page view in its place; whether it is the first now.
    fn add_page(&mut self, page: Page) -> bool {
        self.started_at = self.started_at.min(page.at);
        self.ended_at = self.ended_at.max(page.at);
        let place = place_after(&self.pages, page.at, |page| page.at);
        if place == 0
            && self.given.is_some()
            && let Some(before) = self.pages.first_mut()
        {
            before.touch = None;
        }
        if self.pages.len() >= PAGES_PER_SESSION && place > 0 {
            self.pages.remove(PAGES_PER_SESSION / 2);
            self.pages_let_go += 1;
            let place = place_after(&self.pages, page.at, |page| page.at);
            self.pages.insert(place, page);
        } else {
            self.pages.insert(place, page);
        }
        place == 0
    }

    /// Whether the session's start changed.
    pub fn add_sign(&mut self, at: Time, kind: SignKind) -> bool {
        // A made session begins with the first event that makes it, and is named by that.
        let earlier = self.given.is_some() && at < self.started_at;
        if earlier {
            self.started_at = at;
        }
        self.ended_at = self.ended_at.max(at);
        if self.signs.len() >= SIGNS_PER_SESSION {
            let half = self.signs.len() / 2;
            let mut at = 0;
            self.signs.retain(|_| {
                at += 1;
                at > half || at % 2 == 0
            });
        }
        let place = place_after(&self.signs, at, |sign| sign.at());
        self.signs.insert(place, Sign::new(at, kind));
        earlier
    }

    /// A lease's signs of life are no longer this session's; whether anything is left of it.
    pub fn drop_lease_signs(&mut self, times: &[Time]) -> bool {
        for at in times {
            let sign = Sign::new(*at, SignKind::Lease);
            if let Some(place) = self.signs.iter().position(|held| *held == sign) {
                self.signs.remove(place);
            }
        }
        let first =
            self.pages.first().map(|page| page.at).into_iter().chain(self.signs.first().map(|it| it.at())).min();
        let last = self.pages.last().map(|page| page.at).max(self.signs.last().map(|it| it.at()));
        if let (Some(first), Some(last)) = (first, last) {
            self.ended_at = last;
            if self.given.is_some() {
                self.started_at = first;
            }
        }
        first.is_some()
    }

    /// The last of the events that make a session: page views and web events.
    fn last_own(&self) -> Time {
        let page = self.pages.last().map(|page| page.at);
        let web = self.signs.iter().rev().find(|sign| sign.kind() == SignKind::WebEvent).map(|sign| sign.at());
        page.max(web).unwrap_or(self.started_at)
    }

    /// Whether a page view with this touch brings a campaign that is not the session's.
    fn differs(&self, touch: &Touch) -> bool {
        let Some(own) = self.touch() else { return false };
        (touch.utm.is_some() && touch.utm != own.utm) || (touch.click_id.is_some() && touch.click_id != own.click_id)
    }
}

/// Where something of time `at` goes in a list by time: behind all of the same time.
pub(super) fn place_after<T>(list: &[T], at: Time, time: impl Fn(&T) -> Time) -> usize {
    match list.last() {
        Some(last) if time(last) > at => list.partition_point(|item| time(item) <= at),
        _ => list.len(),
    }
}

/// An event that makes sessions, while they are made anew.
enum Own {
    Page(Page),
    Web(Time),
}

impl Own {
    fn at(&self) -> Time {
        match self {
            Own::Page(page) => page.at,
            Own::Web(at) => *at,
        }
    }
}

impl Account {
    pub fn page_view(&mut self, at: Time, view: &PageView<'_>, visit: Option<&Visit<'_>>) {
        let visitor = self.visitor(&view.visitor_id);
        match &view.session_id {
            Some(id) => {
                let ix = self.given_session(id, visitor, at);
                let session = &self.sessions[ix];
                let first = session.pages.first().is_none_or(|page| at < page.at);
                let touch = if first { visit.map(|visit| self.touch(view, visit)) } else { None };
                let page = Page { at, url: self.shared.text(&view.url), touch };
                let started_at = self.sessions[ix].started_at;
                let is_first = self.sessions[ix].add_page(page);
                self.session_seen(ix, at, is_first || at < started_at);
                self.pages_changed(ix);
            }
            None => {
                let touch = visit.map(|visit| self.touch(view, visit));
                let page = Page { at, url: self.shared.text(&view.url), touch };
                self.own_event(visitor, Own::Page(page));
            }
        }
    }

    pub fn web_event(&mut self, at: Time, web: &WebEvent<'_>) {
        let visitor = self.visitor(&web.visitor_id);
        let given = web.session_id.as_ref().map(|id| self.given_session(id, visitor, at));
        match given {
            Some(ix) => {
                let moved = self.sessions[ix].add_sign(at, SignKind::WebEvent);
                self.session_seen(ix, at, moved);
            }
            None => self.own_event(visitor, Own::Web(at)),
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
            let rest = self.visitors[visitor].rest.get_or_insert_default();
            let list = if is_callback { &mut rest.callbacks } else { &mut rest.clicks };
            if list.len() >= CLICKS_PER_VISITOR {
                list.remove(0);
            }
            let place = place_after(list, at, |said| said.at);
            list.insert(place, Said { at, phone, given });
            let sessions = self.visitors[visitor].visits.clone();
            for session in sessions {
                self.touch_calls_on_leases(session, at);
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
                let moved = self.sessions[ix].add_sign(at, SignKind::Heartbeat);
                self.session_seen(ix, at, moved);
            }
            None => {
                let rest = self.visitors[visitor].rest.get_or_insert_default();
                if rest.heartbeats.len() < LOOSE_HEARTBEATS_PER_VISITOR {
                    rest.heartbeats.push(at);
                }
            }
        }
    }

    fn touch(&mut self, view: &PageView<'_>, visit: &Visit<'_>) -> Arc<Touch> {
        let shared = &mut self.shared;
        let mut text = |text: &str| shared.texts.intern(text);
        let utm = &visit.utm;
        let source = SourceRow {
            channel: visit.channel,
            source: text(&visit.source),
            medium: text(&visit.medium),
            campaign: utm.campaign.as_deref().map(&mut text),
            term: utm.term.as_deref().map(&mut text),
            content: utm.content.as_deref().map(&mut text),
        };
        let parts = [&utm.source, &utm.medium, &utm.campaign, &utm.term, &utm.content];
        let touch = Touch {
            click_id: visit.click_id.as_ref().map(|(kind, id)| (*kind, text(id))),
            utm: parts.iter().any(|part| part.is_some()).then(|| hash_of(&parts)),
            referrer: view.referrer.as_deref().filter(|it| !it.is_empty()).map(&mut text),
            experiment_id: view.experiment_id.as_deref().map(&mut text),
            experiment_variant: view.experiment_variant.as_deref().map(&mut text),
            agent: visit.agent.clone(),
            place: visit.place.clone(),
            language: visit.language.as_deref().map(&mut text),
            source: shared.sources.share(Arc::new(source)),
        };
        Arc::new(touch)
    }

    /// The session of that name; a new one begins where there is none.
    pub fn given_session(&mut self, id: &str, visitor: u32, at: Time) -> u32 {
        let id = Id::new(id);
        if let Some(ix) = self.find_session(&id) {
            return ix;
        }
        let hash = hash_of(&id);
        let ix = match self.taken_back_session(&id, visitor) {
            Some(ix) => ix,
            None => self.sessions.insert(Session::new(Some(id), visitor, at)),
        };
        (self.sessions[ix].started_at, self.sessions[ix].ended_at) = (at, at);
        let sessions = &self.sessions;
        self.session_ids.insert_unique(hash, ix, |&ix| sessions[ix].given.as_ref().map_or(0, hash_of));
        self.file_visit(ix);
        ix
    }

    /// The session of that name that was taken back, as if it had never been.
    fn taken_back_session(&mut self, id: &Id, visitor: u32) -> Option<u32> {
        let rest = self.visitors[visitor].rest.as_mut()?;
        let place = rest.taken_back.iter().position(|&ix| self.sessions[ix].given.as_ref() == Some(id))?;
        let ix = rest.taken_back.swap_remove(place);
        self.sessions[ix].taken_back = false;
        Some(ix)
    }

    /// The visitor's latest made session that began at `at` or before.
    pub fn made_session_at(&self, visitor: u32, at: Time) -> Option<u32> {
        let visits = &self.visitors[visitor].visits;
        visits.iter().rev().copied().find(|&ix| {
            let session = &self.sessions[ix];
            session.given.is_none() && session.started_at <= at
        })
    }

    /// Puts a session among its visitor's by start, and decides anew what follows from its place.
    pub fn file_visit(&mut self, ix: u32) {
        let visitor = self.sessions[ix].visitor;
        let mut visits = std::mem::take(&mut self.visitors[visitor].visits);
        let before = visits.iter().position(|&held| held == ix);
        if let Some(before) = before {
            visits.remove(before);
        }
        let key = |held: u32| (self.sessions[held].started_at, self.session_name(held));
        let place = match visits.last() {
            Some(&last) if self.sessions[last].started_at < self.sessions[ix].started_at => visits.len(),
            _ => {
                let own = key(ix);
                visits.iter().position(|&held| key(held) > own).unwrap_or(visits.len())
            }
        };
        visits.insert(place, ix);
        let from = place.min(before.unwrap_or(place));
        let is_last_still = from + 1 == visits.len();
        let moved: SmallVec<[u32; 2]> = visits[from..].iter().copied().collect();
        self.visitors[visitor].visits = visits;
        if !is_last_still {
            self.visits_moved(visitor, from, &moved);
        }
    }

    /// The places of these sessions among their visitor's changed, or what the first of them says.
    fn visits_moved(&mut self, visitor: u32, from: usize, moved: &[u32]) {
        let all = if from == 0 { self.visitors[visitor].visits.clone() } else { moved.iter().copied().collect() };
        for ix in all {
            if self.sessions[ix].written.revision > 0 {
                self.touch_session(ix);
            }
            self.touch_calls_of(ix);
        }
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
        self.touch_session(ix);
    }

    /// Rows of calls that name this session tell its number of pages.
    fn pages_changed(&mut self, ix: u32) {
        if !self.sessions[ix].calls.is_empty() {
            self.touch_calls_of(ix);
        }
    }

    /// Decides the calls anew for which the session is a candidate.
    pub fn touch_calls_of(&mut self, ix: u32) {
        if self.sessions[ix].calls.is_empty() {
            return;
        }
        for call in self.sessions[ix].calls.clone() {
            self.touch_call(call);
        }
    }

    /// An event of a visitor that names no session.
    fn own_event(&mut self, visitor: u32, own: Own) {
        let at = own.at();
        let last = self.visitors[visitor].visits.iter().rev().copied().find(|&ix| self.sessions[ix].given.is_none());
        let Some(last) = last else {
            return self.remake_sessions(visitor, Some(own));
        };
        let session = &self.sessions[last];
        let web_at_once = session.signs.iter().rev().any(|sign| *sign == Sign::new(at, SignKind::WebEvent));
        let late = at < session.last_own() || (matches!(own, Own::Page(_)) && web_at_once);
        let splits = self.splits(session, &own);
        if late || (splits && session.ended_at >= at) {
            return self.remake_sessions(visitor, Some(own));
        }
        if splits {
            let ix = self.revived_session(visitor, at);
            self.put_own(ix, own);
            self.file_visit(ix);
            self.session_seen(ix, at, false);
        } else {
            let first = self.put_own(last, own);
            self.session_seen(last, at, first);
            self.pages_changed(last);
        }
    }

    /// Whether a session ends before this event of its visitor.
    fn splits(&self, session: &Session, own: &Own) -> bool {
        let at = own.at();
        let timeout = self.rules(at).settings().session_timeout_minutes * MICROS_PER_MINUTE as f64;
        if at.since(session.last_own()) as f64 >= timeout {
            return true;
        }
        // At the very instant of its start a session takes in everything: two that begin at once would be one by name.
        at != session.started_at && matches!(own, Own::Page(Page { touch: Some(touch), .. }) if session.differs(touch))
    }

    /// Whether the session has another first page view now.
    fn put_own(&mut self, ix: u32, own: Own) -> bool {
        match own {
            Own::Page(page) => self.sessions[ix].add_page(page),
            Own::Web(at) => self.sessions[ix].add_sign(at, SignKind::WebEvent),
        }
    }

    pub fn rebuild_made_sessions(&mut self, visitor: u32) {
        let visits = self.visitors[visitor].visits.clone();
        if visits.iter().any(|&ix| self.sessions[ix].given.is_none()) {
            self.remake_sessions(visitor, None);
        }
        for ix in visits {
            if self.sessions.get(ix).is_some_and(|session| session.given.is_some()) {
                self.touch_session(ix);
            }
        }
    }

    /// Makes a visitor's sessions anew from all their events that name none. A session that begins when one did before
    /// is that one; the others are taken back.
    fn remake_sessions(&mut self, visitor: u32, new: Option<Own>) {
        let old: Vec<u32> = self.visitors[visitor].visits.iter().copied().collect();
        let old: Vec<u32> = old.into_iter().filter(|&ix| self.sessions[ix].given.is_none()).collect();
        let mut heartbeats = match &mut self.visitors[visitor].rest {
            Some(rest) => std::mem::take(&mut rest.heartbeats),
            None => Vec::new(),
        };
        let mut own = Vec::new();
        for &ix in &old {
            let session = &mut self.sessions[ix];
            own.extend(std::mem::take(&mut session.pages).into_iter().map(Own::Page));
            for sign in std::mem::take(&mut session.signs) {
                match sign.kind() {
                    SignKind::WebEvent => own.push(Own::Web(sign.at())),
                    SignKind::Heartbeat => heartbeats.push(sign.at()),
                    SignKind::Lease => {}
                }
            }
            session.leases.clear();
        }
        own.extend(new);
        // Of one instant, page views come first.
        own.sort_by_key(|event| (event.at(), matches!(event, Own::Web(_))));
        let made = self.split_into_sessions(visitor, &old, own);
        for at in heartbeats {
            match self.made_session_at(visitor, at) {
                Some(ix) => drop(self.sessions[ix].add_sign(at, SignKind::Heartbeat)),
                None => self.visitors[visitor].rest.get_or_insert_default().heartbeats.push(at),
            }
        }
        for lease in self.visitors[visitor].loose_leases.clone() {
            self.place_loose_lease(lease);
        }
        for &ix in old.iter().chain(&made) {
            if self.sessions.get(ix).is_some_and(|session| !session.taken_back) {
                let from = self.sessions[ix].started_at;
                self.touch_calls_on_leases(ix, from);
                self.touch_calls_of(ix);
                self.touch_session(ix);
            }
        }
        for lease in self.visitors[visitor].loose_leases.clone() {
            self.touch_calls_on(lease, self.leases[lease].granted_at);
        }
    }

    /// The sessions made of `own`, by start; those of `old` that are no more are taken back.
    fn split_into_sessions(&mut self, visitor: u32, old: &[u32], own: Vec<Own>) -> Vec<u32> {
        let mut left: Vec<u32> = old.to_vec();
        let mut made: Vec<u32> = Vec::new();
        let starts: Vec<Time> = old.iter().map(|&ix| self.sessions[ix].started_at).collect();
        for event in own {
            let current = made.last().copied();
            if let Some(ix) = current
                && !self.splits(&self.sessions[ix], &event)
            {
                self.put_own(ix, event);
                continue;
            }
            let at = event.at();
            let twin =
                old.iter().zip(&starts).find(|(ix, start)| **start == at && left.contains(ix)).map(|(ix, _)| *ix);
            let ix = match twin {
                Some(ix) => {
                    left.retain(|&held| held != ix);
                    self.sessions[ix].started_at = at;
                    self.sessions[ix].ended_at = at;
                    ix
                }
                None => self.revived_session(visitor, at),
            };
            self.put_own(ix, event);
            made.push(ix);
        }
        for &ix in &left {
            self.touch_calls_of(ix);
        }
        self.visitors[visitor].visits.retain(|ix| !old.contains(ix));
        for &ix in &made {
            self.file_visit(ix);
        }
        for ix in left {
            self.retract_session(ix);
        }
        let visits = self.visitors[visitor].visits.clone();
        self.visits_moved(visitor, 0, &visits);
        made
    }

    /// A made session that begins at `at`: one that was taken back, if it began then, else a new one.
    fn revived_session(&mut self, visitor: u32, at: Time) -> u32 {
        if let Some(rest) = &mut self.visitors[visitor].rest
            && let Some(place) = rest.taken_back.iter().position(|&ix| {
                let session = &self.sessions[ix];
                session.given.is_none() && session.started_at == at
            })
        {
            let ix = rest.taken_back.swap_remove(place);
            let session = &mut self.sessions[ix];
            session.taken_back = false;
            session.ended_at = at;
            return ix;
        }
        self.sessions.insert(Session::new(None, visitor, at))
    }

    /// A session is no more. If a row of it was written, one that takes it back follows.
    pub fn retract_session(&mut self, ix: u32) {
        let session = &mut self.sessions[ix];
        if let Some(id) = session.given.clone()
            && session.written.revision > 0
        {
            // It keeps its name, and may come back under it; until then it is among nobody's visits.
            unlist(&mut self.session_ids, &id, ix);
        }
        let session = &mut self.sessions[ix];
        session.calls.clear();
        session.pages_let_go = 0;
        if session.written.revision == 0 {
            return self.remove_session(ix);
        }
        session.taken_back = true;
        session.ended_at = session.started_at;
        let visitor = session.visitor;
        self.visitors[visitor].visits.retain(|held| *held != ix);
        self.visitors[visitor].rest.get_or_insert_default().taken_back.push(ix);
        self.touch_session(ix);
    }

    /// Lets a visitor go, with all that hangs on them, and writes nothing.
    pub fn forget_visitor(&mut self, ix: u32) {
        for session in self.visitors[ix].visits.clone() {
            for lease in self.sessions[session].leases.clone() {
                self.forget_lease(lease);
            }
            for call in self.sessions[session].calls.clone() {
                self.forget_call(call);
            }
            self.remove_session(session);
        }
        for lease in self.visitors[ix].loose_leases.clone() {
            if self.leases.get(lease).is_some() {
                self.forget_lease(lease);
            }
        }
        self.remove_visitor(ix);
    }

    pub fn remove_visitor(&mut self, ix: u32) {
        if let Some(visitor) = self.visitors.remove(ix) {
            unlist(&mut self.visitor_ids, &visitor.id, ix);
        }
    }

    /// Takes a session out of the state; its visitor still counts it.
    pub fn remove_session(&mut self, ix: u32) {
        let Some(session) = self.sessions.remove(ix) else { return };
        if let Some(id) = &session.given {
            unlist(&mut self.session_ids, id, ix);
        }
        if let Some(visitor) = self.visitors.get_mut(session.visitor) {
            visitor.visits.retain(|held| *held != ix);
            if let Some(rest) = &mut visitor.rest {
                rest.taken_back.retain(|held| *held != ix);
                rest.clicks.retain(|said| said.given != Some(ix));
                rest.callbacks.retain(|said| said.given != Some(ix));
            }
        }
    }
}
