//! Visitors: they arrive, look at pages, are shown a number, leave, and come back.

use callweave_core::time::{MICROS_PER_DAY, MICROS_PER_MINUTE, MICROS_PER_SECOND, Time};

use super::numbers::Country;
use super::tables::{CAMPAIGNS, FIRST_MOBILE, LANGUAGES, PAGES, USER_AGENTS};
use super::truth::Why;
use super::world::{Action, World};
use crate::line::hex;

/// A browser.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor {
    pub(super) id: u64,
    agent: u8,
    language: u8,
    ip: [u8; 4],
    /// The visitor's telephone; 0: not used yet.
    pub(super) phone: u64,
    /// The browser names no session.
    implicit: bool,
    last_seen: Time,
}

/// A visit that goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit {
    pub(super) visitor: Visitor,
    pub(super) account: u16,
    pub(super) campaign: u8,
    /// Counted from 1.
    pub(super) serial: u64,
    /// 0 where the browser names none.
    pub(super) session: u64,
    pub(super) started: Time,
    pub(super) pages: u16,
    pages_left: u16,
    plan: Plan,
    path: u8,
    page_id: u64,
    page_ends: Time,
    /// Index and id of the lease: the index is used again when the lease is over.
    pub(super) lease: Option<(u32, u64)>,
    /// The number on the page.
    pub(super) number: u64,
    pub(super) extension: u16,
}

/// Whether and when this visitor will call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    NoCall,
    /// From the page after which so many are left.
    OnPage(u16),
    /// After the visit, by the delay of this index.
    Later(u8),
}

pub(super) const SOURCE_WEB: &str = "web/main";
/// Pages of a visit at most.
const PAGES_MOST: u16 = 200;
/// A page is left after this time at the latest, so that a visit without session id has no gap that would split it.
pub(super) const PAGE_SECONDS_MOST: i64 = 20 * 60;
/// Visitors of an account who may come back; of more the earliest seen stay away.
const GONE_MOST: usize = 20_000;
/// Nobody comes back sooner, so that a visit without session id is a session of its own.
const AWAY_LEAST: i64 = 45 * MICROS_PER_MINUTE;
/// Visits that end by closing the page in a way that tells so: the lease is given back at once.
pub(super) const RELEASED_SHARE: f64 = 0.4;
/// Of forms: those that ask to be called back.
const CALLBACK_SHARE: f64 = 0.15;
/// Who asks to be called back is, within so many seconds.
pub(super) const CALLBACK_AFTER: (f64, f64) = (45.0, 600.0);
/// The most that [`busy`](super::account::Account::busy) ever is.
const BUSIEST: f64 = 1.75 * 1.15;
/// Nobody calls later than this after a visit.
const LATER_MOST: i64 = 14 * MICROS_PER_DAY;

impl Visitor {
    pub(super) fn is_mobile(&self) -> bool {
        usize::from(self.agent) >= FIRST_MOBILE
    }
}

impl World {
    pub(super) fn plan_arrival(&mut self, account: u16) {
        // Thinning (Lewis and Shedler, 1979): candidates at the rate of the busiest hour, some of which stay away.
        let mean_seconds = MICROS_PER_DAY as f64 / MICROS_PER_SECOND as f64 / (self.options.visits_per_day * BUSIEST);
        // Counted exactly, planned in whole milliseconds: rounding each gap would make busy sites busier.
        let house = &mut self.accounts[usize::from(account)];
        house.arrival = house.arrival.plus((self.draw.standard_exponential() * mean_seconds * 1e6) as i64);
        let after = house.arrival.since(self.now) / 1000 * 1000;
        self.plan(after, Action::Arrive(account));
    }

    pub(super) fn arrive(&mut self, account: u16) {
        if self.closing() {
            return;
        }
        let busy = self.accounts[usize::from(account)].busy(self.now);
        if self.draw.chance(busy / BUSIEST) {
            self.visits_begun += 1;
            let visit = self.new_visit(account);
            let visit = self.visits.put(visit);
            self.page(visit);
        }
        self.plan_arrival(account);
    }

    fn new_visit(&mut self, account: u16) -> Visit {
        let visitor = self.visitor(account);
        let now = self.now;
        let house = &mut self.accounts[usize::from(account)];
        let campaign = self.draw.weighted(house.weights(now));
        house.clicks[campaign] += 1;
        let pages = self.draw.geometric(self.options.pages_per_visit, PAGES_MOST);
        let plan = if !self.draw.chance(self.options.call_share) {
            Plan::NoCall
        } else {
            match self.draw.weighted(&self.delay_sums) {
                0 => Plan::OnPage(self.draw.below(usize::from(pages)) as u16),
                later => Plan::Later(later as u8 - 1),
            }
        };
        Visit {
            serial: self.visits_begun,
            session: if visitor.implicit { 0 } else { self.id() },
            visitor,
            account,
            campaign: campaign as u8,
            started: self.now,
            pages: 0,
            pages_left: pages,
            plan,
            path: self.draw.below(PAGES.len()) as u8,
            page_id: 0,
            page_ends: self.now,
            lease: None,
            number: 0,
            extension: 0,
        }
    }

    /// Somebody who was here before, or somebody new.
    fn visitor(&mut self, account: u16) -> Visitor {
        if self.draw.chance(self.options.returning_share) {
            let gone = &mut self.accounts[usize::from(account)].gone;
            // Recent visitors are likelier to come back: the lesser of two draws, counted from the latest.
            let (a, b) = (self.draw.below(gone.len()), self.draw.below(gone.len()));
            let at = gone.len().saturating_sub(1 + a.min(b));
            if gone.get(at).is_some_and(|visitor| self.now.since(visitor.last_seen) > AWAY_LEAST) {
                // The order of the others hardly matters: the last takes the place.
                if let Some(visitor) = gone.swap_remove_back(at) {
                    return visitor;
                }
            }
        }
        let home = match self.accounts[usize::from(account)].country {
            Country::UnitedStates => 0,
            Country::UnitedKingdom => 2,
        };
        let language =
            if self.draw.chance(0.85) { home + self.draw.below(2) } else { self.draw.below(LANGUAGES.len()) };
        let net = *self.draw.pick(&[[192, 0, 2], [198, 51, 100], [203, 0, 113]]);
        Visitor {
            id: self.id(),
            agent: self.draw.below(USER_AGENTS.len()) as u8,
            language: language as u8,
            ip: [net[0], net[1], net[2], 1 + self.draw.below(254) as u8],
            phone: 0,
            implicit: self.draw.chance(self.options.implicit_session_share),
            last_seen: self.now,
        }
    }

    pub(super) fn page(&mut self, at: u32) {
        let Some(mut visit) = self.visits.get(at) else { return };
        let first = visit.page_id == 0;
        let from = visit.path;
        if !first {
            visit.path = ((usize::from(from) + 1 + self.draw.below(PAGES.len() - 1)) % PAGES.len()) as u8;
        }
        visit.page_id = self.id();
        visit.pages_left = visit.pages_left.saturating_sub(1);
        visit.pages += 1;
        let (before, number) = (visit.lease, visit.number);
        let granted = self.show_number(&mut visit);
        self.note_page(&visit, before.map(|_| number));
        self.write_page(&visit, (!first).then_some(from));
        match granted {
            Some(lease) => self.write_grant(&visit, lease),
            None => self.renew(&visit),
        }
        let extra = self.draw.exponential(self.options.page_seconds - 3.0).min(PAGE_SECONDS_MOST * MICROS_PER_SECOND);
        let stay = 3 * MICROS_PER_SECOND + extra;
        visit.page_ends = self.now.plus(stay);
        if let Some(place) = self.visits.get_mut(at) {
            *place = visit;
        }
        self.plan_page(at, stay);
    }

    /// Plans what happens while the page is open, all of it before it closes.
    fn plan_page(&mut self, at: u32, stay: i64) {
        let Some(visit) = self.visits.get(at) else { return };
        let calls = visit.plan == Plan::OnPage(visit.pages_left);
        let mobile = visit.visitor.is_mobile();
        let beat = self.beat();
        if beat < stay {
            self.plan(beat, Action::Heartbeat(at));
        }
        if calls {
            let dial = part(stay, 0.2 + 0.6 * self.draw.unit());
            let taps = self.draw.chance(self.options.click_share * if mobile { 1.5 } else { 0.5 });
            if taps {
                self.plan(dial, Action::Click(at));
            }
            let after = dial + if taps { self.draw.seconds(1.0, 6.0) } else { 0 };
            self.call_of_visit(at, Why::DuringVisit, after);
        }
        if self.draw.chance(self.options.form_share) {
            self.plan(part(stay, 0.8), Action::Form(at));
        }
        self.plan(stay, if visit.pages_left == 0 { Action::Leave(at) } else { Action::Page(at) });
    }

    fn write_page(&mut self, visit: &Visit, from: Option<u8>) {
        let campaign = &CAMPAIGNS[usize::from(visit.campaign)];
        let click_id = if from.is_none() && !campaign.click_id.is_empty() { self.draw.bits() } else { 0 };
        self.begin(visit.account, SOURCE_WEB, "page_view");
        let site = &self.accounts[usize::from(visit.account)].site;
        let lines = &mut self.lines;
        lines.id("visitor_id", 'v', visit.visitor.id);
        if visit.session != 0 {
            lines.id("session_id", 's', visit.session);
        }
        lines.id("page_view_id", 'p', visit.page_id);
        let (path, title) = PAGES[usize::from(visit.path)];
        match from {
            Some(from) => {
                lines.texts("url", &[site, path]);
                lines.texts("referrer", &[site, PAGES[usize::from(from)].0]);
            }
            None => {
                let value = hex(click_id);
                let value = std::str::from_utf8(&value).unwrap_or_default();
                let query = campaign.query;
                let mark = if query.is_empty() && campaign.click_id.is_empty() { "" } else { "?" };
                let (and, is) = if query.is_empty() { ("", "=") } else { ("&", "=") };
                if campaign.click_id.is_empty() {
                    lines.texts("url", &[site, path, mark, query]);
                } else {
                    lines.texts("url", &[site, path, mark, query, and, campaign.click_id, is, "Cj0KCQ", value]);
                }
                lines.text_if("referrer", campaign.referrer);
            }
        }
        lines.text("title", title);
        lines.text("user_agent", USER_AGENTS[usize::from(visit.visitor.agent)]);
        lines.address("ip", visit.visitor.ip);
        lines.text("language", LANGUAGES[usize::from(visit.visitor.language)]);
        lines.phones("numbers", &[visit.number]);
        self.finish(visit.account, "page_view", None);
    }

    pub(super) fn visitor_members(&mut self, visitor: u64, session: u64) {
        self.lines.id("visitor_id", 'v', visitor);
        if session != 0 {
            self.lines.id("session_id", 's', session);
        }
    }

    pub(super) fn heartbeat(&mut self, at: u32) {
        let Some(visit) = self.visits.get(at) else { return };
        self.begin(visit.account, SOURCE_WEB, "heartbeat");
        self.visitor_members(visit.visitor.id, visit.session);
        self.finish(visit.account, "heartbeat", None);
        self.tell_book(&visit, |book, now| book.beat(visit.number, visit.serial, now));
        self.renew(&visit);
        let beat = self.beat();
        if self.now.plus(beat) < visit.page_ends {
            self.plan(beat, Action::Heartbeat(at));
        }
    }

    fn beat(&self) -> i64 {
        (self.options.heartbeat_seconds * 1000.0) as i64 * 1000
    }

    pub(super) fn click(&mut self, at: u32) {
        let Some(visit) = self.visits.get(at) else { return };
        self.web_event(&visit, "click_to_call");
        self.lines.phone("number", visit.number);
        self.finish(visit.account, "web_event", None);
        self.tell_book(&visit, |book, now| book.clicked(visit.number, visit.serial, now));
    }

    pub(super) fn form(&mut self, at: u32) {
        let Some(visit) = self.visits.get(at) else { return };
        if !self.draw.chance(CALLBACK_SHARE) {
            self.web_event(&visit, "form_submit");
            self.lines.json("properties", r#"{"form":"quote"}"#);
            self.tell_book(&visit, |book, now| book.form(visit.number, visit.serial, None, now));
            return self.finish(visit.account, "web_event", None);
        }
        let phone = self.phone_of(at);
        self.web_event(&visit, "callback_request");
        self.lines.phone("number", visit.number);
        self.lines.object("properties");
        self.lines.phone("phone", phone);
        self.lines.close_object();
        self.finish(visit.account, "web_event", None);
        self.tell_book(&visit, |book, now| book.form(visit.number, visit.serial, Some(phone), now));
        let after = self.draw.seconds(CALLBACK_AFTER.0, CALLBACK_AFTER.1);
        let why = if self.now.plus(after) < visit.page_ends { Why::DuringVisit } else { Why::Later };
        self.callback(at, why, after);
    }

    /// Starts a `web_event`; its number and properties, if any, are the caller's to write.
    fn web_event(&mut self, visit: &Visit, name: &str) {
        self.begin(visit.account, SOURCE_WEB, "web_event");
        self.visitor_members(visit.visitor.id, visit.session);
        self.lines.text("name", name);
        let site = &self.accounts[usize::from(visit.account)].site;
        self.lines.texts("url", &[site, PAGES[usize::from(visit.path)].0]);
    }

    /// The telephone of a visitor, who has one from the first use on.
    pub(super) fn phone_of(&mut self, at: u32) -> u64 {
        let Some(visit) = self.visits.get(at) else { return 0 };
        if visit.visitor.phone != 0 {
            return visit.visitor.phone;
        }
        let phone = self.telephone(visit.account);
        if let Some(visit) = self.visits.get_mut(at) {
            visit.visitor.phone = phone;
        }
        phone
    }

    pub(super) fn leave(&mut self, at: u32) {
        let Some(visit) = self.visits.get(at) else { return };
        if self.draw.chance(RELEASED_SHARE) {
            self.release(&visit);
        }
        if let Plan::Later(delay) = visit.plan {
            let mean = self.options.delays.later[usize::from(delay)].mean_seconds;
            let after = self.draw.exponential(mean).min(LATER_MOST);
            self.call_of_visit(at, Why::Later, after);
        }
        if let Some(Visit { mut visitor, .. }) = self.visits.take(at) {
            visitor.last_seen = self.now;
            let gone = &mut self.accounts[usize::from(visit.account)].gone;
            if gone.len() == GONE_MOST {
                gone.pop_front();
            }
            gone.push_back(visitor);
        }
    }
}

fn part(of: i64, share: f64) -> i64 {
    ((of as f64 * share) as i64 / 1000 * 1000).clamp(1000, of - 1000)
}
