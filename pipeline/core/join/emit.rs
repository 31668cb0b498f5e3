//! Rows, made from the state as it is. A row is written only if it differs from what was written before.

use std::cell::RefCell;
use std::sync::Arc;

use serde::Serialize;

use super::account::Account;
use super::calls::seconds_between;
use super::choice::Decision;
use super::intern::{Sym, Touch};
use super::session::Written;
use super::{Effects, Mode};
use crate::moment::{Moment, MomentKind};
use crate::row::{CallRow, LeaseRow, Method, SessionRow, SourceRow, Str};
use crate::source::{Agent, ClickIdType, Place, click_id};

/// What rows of sessions and calls tell of a session's first page view.
struct SeenFrom {
    click_id_type: Option<ClickIdType>,
    click_id: Option<Str>,
    referrer: Option<Str>,
    language: Option<Str>,
    experiment_id: Option<Str>,
    experiment_variant: Option<Str>,
    agent: Option<Arc<Agent>>,
    place: Option<Arc<Place>>,
}

thread_local! {
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What rows are compared by.
pub(super) fn row_hash<R: Serialize + ?Sized>(row: &R, written: u64) -> u64 {
    BYTES.with_borrow_mut(|bytes| {
        bytes.clear();
        match postcard::to_extend(row, std::mem::take(bytes)) {
            Ok(full) => {
                *bytes = full;
                xxhash_rust::xxh3::xxh3_64(bytes)
            }
            // Rows hold nothing that postcard refuses; were it so, each row would count as new.
            Err(_) => written.wrapping_add(1),
        }
    })
}

/// Whether the row is another than what was written; if so, it is its turn.
fn is_news<R: Serialize>(row: &R, written: &mut Written) -> bool {
    let hash = row_hash(row, written.hash());
    if written.revision > 0 && written.hash() == hash {
        return false;
    }
    *written = written.next(hash);
    true
}

impl Account {
    /// What a session is called: its own name, or `visitor.microseconds` of its start where the browser gave none.
    pub fn session_name(&self, ix: u32) -> Str {
        let session = &self.sessions[ix];
        match &session.given {
            Some(id) => self.text_of(id),
            None => format!("{}.{}", self.visitor_name(session.visitor), session.started_at().0).into(),
        }
    }

    pub fn visitor_name(&self, ix: u32) -> Str {
        self.text_of(&self.visitors[ix].id)
    }

    /// What a session's first page view says.
    pub fn touch_of(&self, ix: u32) -> Option<&Touch> {
        self.sessions[ix].touch().map(|touch| self.shared.touches.get(touch))
    }

    pub fn source_of(&self, ix: u32) -> Option<&Arc<SourceRow>> {
        self.touch_of(ix).map(|touch| self.shared.sources.get(touch.source))
    }

    /// What a session's first page view tells, and the first that tells an experiment.
    fn seen_from(&self, session: Option<u32>, landing_page: Option<&Str>) -> SeenFrom {
        let touch = session.and_then(|ix| self.touch_of(ix));
        let campaign_of = |touch: &Touch| touch.campaign.map(|campaign| self.shared.campaigns.get(campaign));
        let campaign = touch.and_then(campaign_of);
        let touches =
            session.into_iter().flat_map(|ix| self.sessions[ix].touches()).map(|touch| self.shared.touches.get(touch));
        let experiment = touches.filter_map(campaign_of).find(|it| it.experiment_id.is_some()).or(campaign);
        let has_click = campaign.is_some_and(|it| it.click.is_some());
        let click = landing_page.filter(|_| has_click).and_then(|url| click_id(url));
        let text = |sym: Option<Sym>| sym.map(|sym| self.shared.text(sym));
        SeenFrom {
            click_id_type: click.as_ref().map(|(kind, _)| *kind),
            click_id: click.map(|(_, id)| id.into()),
            referrer: text(touch.and_then(|touch| touch.referrer)),
            language: text(touch.and_then(|touch| touch.language)),
            experiment_id: text(experiment.and_then(|it| it.experiment_id)),
            experiment_variant: text(experiment.and_then(|it| it.experiment_variant)),
            agent: touch.map(|touch| self.shared.agents.get(touch.agent).clone()),
            place: touch.map(|touch| self.shared.places.get(touch.place).clone()),
        }
    }

    fn visit_number(&self, ix: u32) -> u32 {
        let visitor = &self.visitors[self.sessions[ix].visitor];
        let place = visitor.visits.iter().position(|&held| held == ix).unwrap_or(0);
        visitor.forgotten_visits + place as u32 + 1
    }

    /// The source of the visitor's visit 1.
    fn first_source(&self, visitor: u32) -> Option<Arc<SourceRow>> {
        let visitor = &self.visitors[visitor];
        if visitor.forgotten_visits > 0 || visitor.first_source.is_some() {
            return visitor.first_source.map(|source| self.shared.sources.get(source).clone());
        }
        self.source_of(*visitor.visits.first()?).cloned()
    }

    fn session_row(&self, ix: u32) -> SessionRow {
        let session = &self.sessions[ix];
        let landing_page = session.first_page().map(|(_, url)| self.shared.text(url));
        let seen = self.seen_from(Some(ix), landing_page.as_ref());
        SessionRow {
            account: self.name.clone(),
            session_id: self.session_name(ix),
            revision: 0,
            retracted: session.taken_back,
            visitor_id: self.visitor_name(session.visitor),
            visit_number: if session.taken_back { 0 } else { self.visit_number(ix) },
            started_at: session.started_at(),
            ended_at: self.session_ended_at(ix),
            pages: session.pages_count(),
            source: self.source_of(ix).cloned(),
            click_id_type: seen.click_id_type,
            click_id: seen.click_id,
            referrer: seen.referrer,
            landing_page,
            exit_page: session.last_page().map(|url| self.shared.text(url)),
            experiment_id: seen.experiment_id,
            experiment_variant: seen.experiment_variant,
            agent: seen.agent.unwrap_or_default(),
            language: seen.language,
            place: seen.place.unwrap_or_default(),
        }
    }

    pub fn emit_session(&mut self, ix: u32, out: &mut Effects) {
        let mut row = self.session_row(ix);
        let written = &mut self.sessions[ix].written;
        if written.is_nothing() && self.forgotten.sessions.knows(&row.session_id) {
            return;
        }
        if is_news(&row, written) {
            row.revision = written.revision;
            out.sessions.push(row);
        }
    }

    pub fn emit_lease(&mut self, ix: u32, out: &mut Effects) {
        let lease = &self.leases[ix];
        let Some(terms) = self.terms(ix) else { return };
        let mut row = LeaseRow {
            account: self.name.clone(),
            lease_id: self.text_of(&lease.id),
            revision: 0,
            pool: self.shared.text(terms.pool),
            number: self.lines[terms.line].number,
            extension: terms.extension.map(|extension| self.shared.text(extension)),
            visitor_id: self.visitor_name(self.lease_visitor(ix)),
            session_id: lease.session().map(|session| self.session_name(session)),
            granted_at: lease.granted_at,
            expires_at: lease.expires_at(),
            released_at: lease.released_at(),
            renewals: lease.renewals(),
        };
        let written = &mut self.leases[ix].written;
        if written.is_nothing() && self.forgotten.leases.knows(&row.lease_id) {
            return;
        }
        if is_news(&row, written) {
            row.revision = written.revision;
            out.leases.push(row);
        }
    }

    /// Writes the call's row if it is news. Once the call is decided, subscribers are told of each.
    pub fn emit_call(&mut self, ix: u32, out: &mut Effects) -> Decision {
        self.pass_over_leases(ix);
        let decision = self.decide(ix);
        self.settle_leases(ix);
        let session = decision.chosen.and_then(|at| decision.candidates[at].session);
        let mut row = self.call_row(ix, &decision);
        self.calls[ix].named = session.zip(row.session_pages);
        self.set_candidates(ix, decision.candidates.iter().filter_map(|it| it.session).collect());
        // Of other calls nothing arrived.
        let was_deciding = std::mem::replace(&mut self.is_deciding, true);
        self.set_likely(ix, decision.likely());
        self.note_joined(ix, self.joined(&decision));
        self.note_tells(ix, &decision.candidates);
        self.is_deciding = was_deciding;
        if self.mode == Mode::Live
            && let Some(session) = session
            && self.sessions[session].written.is_nothing()
        {
            self.emit_session(session, out);
        }
        let call = &mut self.calls[ix];
        if !is_news(&row, &mut call.written) {
            return decision;
        }
        row.revision = call.written.revision;
        let decided = call.decided;
        let row = Arc::new(row);
        out.calls.push(row.clone());
        self.emit_candidates(ix, &row, &decision, out);
        if decided {
            self.tell_attributed(row, out);
        }
        decision
    }

    pub fn tell_attributed(&self, row: Arc<CallRow>, out: &mut Effects) {
        let (at, revision) = (row.ended_at.unwrap_or(row.started_at), row.revision.to_string());
        let mut moment = Moment::new(MomentKind::CallAttributed, &self.name, at, &row.call_id, &revision);
        moment.beside().correction = true;
        out.moments.push(moment.of_call(Some(row.call_id.clone()), Some(row)));
    }

    /// The row as it would be written now.
    pub fn current_row(&self, ix: u32) -> Arc<CallRow> {
        let mut row = self.call_row(ix, &self.decide(ix));
        row.revision = self.calls[ix].written.revision;
        Arc::new(row)
    }

    fn call_row(&self, ix: u32, decision: &Decision) -> CallRow {
        let call = &self.calls[ix];
        let start = call.start();
        let rules = self.rules(start);
        let chosen = decision.chosen.map(|at| &decision.candidates[at]);
        let session = chosen.and_then(|it| it.session).map(|session| (session, &self.sessions[session]));
        let page = |url: Sym| self.shared.text(url);
        let landing_page = session.and_then(|(_, it)| it.first_page()).map(|(_, url)| page(url));
        let seen = self.seen_from(session.map(|(ix, _)| ix), landing_page.as_ref());
        let called = call.tracking_number().number().and_then(|number| rules.number(number));
        let of_lease = chosen.and_then(|it| self.terms(it.lease)).map(|terms| self.shared.text(terms.pool));
        let of_number = called.filter(|_| !decision.is_static).and_then(|number| number.pool.as_deref()).map(Str::from);
        let pool = of_lease.or(of_number);
        let site = pool.as_ref().and_then(|pool| rules.pool(pool)?.site.as_deref()).map(Str::from);
        CallRow {
            account: self.name.clone(),
            call_id: self.text_of(&call.id),
            revision: 0,
            direction: call.direction(),
            started_at: start,
            answered_at: call.answered_at(),
            ended_at: call.ended_at(),
            caller: call.caller(),
            caller_country: call.country.as_ref().and_then(|(_, country)| country.clone()),
            tracking_number: call.tracking_number(),
            extension: call.extension.get().cloned(),
            destination: call.destination.get().cloned(),
            agent: {
                let name = |told: &Str| rules.settings().agents.get(&**told).map(|name| Str::from(name.as_str()));
                match call.agent.get() {
                    Some(told) => name(told).or_else(|| Some(told.clone())),
                    None => call.destination.get().and_then(name),
                }
            },
            outcome: call.outcome(rules.settings().greeting_seconds),
            cause: call.cause.get().cloned(),
            hangup_by: call.hangup_by.get().copied(),
            ring_seconds: call.ring_seconds(),
            talk_seconds: call.talk_seconds(),
            total_seconds: call.total_seconds(),
            in_business_hours: rules.in_business_hours(start),
            recording_url: call.recording_url.get().cloned(),
            spam_score: self.spam_score(ix),
            attribution_method: decision.method.unwrap_or(Method::None),
            attribution_confidence: decision.confidence,
            source_confidence: decision.source_confidence,
            candidates: decision.candidates.len() as u32,
            lease_id: chosen.map(|it| self.text_of(&self.leases[it.lease].id)),
            session_id: session.map(|(ix, _)| self.session_name(ix)),
            visitor_id: session
                .map(|(_, it)| it.visitor)
                .or(chosen.map(|it| it.visitor))
                .map(|it| self.visitor_name(it)),
            pool,
            site,
            source: decision.source.clone(),
            click_id_type: seen.click_id_type,
            click_id: seen.click_id,
            referrer: seen.referrer,
            landing_page,
            call_page: session.and_then(|(_, it)| it.page_at(start)).map(page),
            experiment_id: seen.experiment_id,
            experiment_variant: seen.experiment_variant,
            device: seen.agent,
            language: seen.language,
            place: seen.place,
            visit_number: session.map(|(ix, _)| self.visit_number(ix)),
            session_started_at: session.map(|(_, it)| it.started_at()),
            session_pages: session.map(|(at, it)| match call.named {
                // Until the session is over, what was told of it stays: see [`Account::pages_counted`].
                Some((named, told)) if named == at && it.due.is_open() => told,
                _ => it.pages_count(),
            }),
            seconds_to_call: session.map(|(_, it)| seconds_between(it.started_at(), start)),
            first_source: session.and_then(|(_, it)| self.first_source(it.visitor)),
            kinds: self.kinds(ix),
        }
    }
}
